//! Scenarios of the main job that are specific to Jira: kinds of deployment and of fields, and issues that move.

use std::collections::BTreeMap;

use casebridge::cases::{CheckStatus, Needs, Visibility};
use casebridge::crm::jira::{Deployment, JiraSettings, markup};
use casebridge::entities::Side;
use casebridge::sandbox::csapi::{Author, NewCase, Priority};
use casebridge::sandbox::jira::{
    self as sandbox, FlagField, IMPACT_FIELD, Manners, REQUEST_TYPE_FIELD, ROOT_CAUSE_FIELD,
    ResolutionOnClosing, SandboxJira, SandboxJiraSettings, SandboxTimeZone,
};
use casebridge::tasks::{self, Caller, Mode, SyncCompanyCase, SyncGoogleCase, Task};
use chrono::Duration;
use serde_json::json;
use sha2::Digest as _;

use casebridge_testkit::harness::crm::{Crm as _, Setup};
use casebridge_testkit::harness::jira::{JiraDesk, JiraKind};
use casebridge_testkit::harness::{Options, Time, World};

/// Starts a connector in front of a Jira with these settings.
async fn world(settings: SandboxJiraSettings) -> (World, SandboxJira) {
    world_with(settings, JiraSettings::default()).await
}

/// The same, with these settings of the connector besides.
async fn world_with(settings: SandboxJiraSettings, ours: JiraSettings) -> (World, SandboxJira) {
    let ours = JiraSettings {
        deployment: match settings.deployment {
            sandbox::Deployment::Cloud => Deployment::Cloud,
            sandbox::Deployment::DataCenter => Deployment::DataCenter,
        },
        project: "SUP".to_owned(),
        ..ours
    };
    let description = JiraKind.description().await;
    let time = Time::for_crm(&description);
    let (jira, company) = JiraDesk::start(&time.clock(), settings, ours, &Setup::default()).await;
    (World::around(time, description, company, Options::default()).await, jira)
}

#[tokio::test]
async fn every_kind_of_jira_gets_the_documented_fields_and_gives_everything_back() {
    for (what, settings) in [
        ("Cloud, without service management", SandboxJiraSettings::default()),
        ("Data Center", SandboxJiraSettings::data_center()),
        (
            "Data Center that keeps whole seconds, half an hour off",
            SandboxJiraSettings {
                time_resolution_ms: 1000,
                time_zone: SandboxTimeZone::kolkata(),
                ..SandboxJiraSettings::data_center()
            },
        ),
        (
            "a flag that is a list, a resolution that must be sent, no priority on the create screen",
            SandboxJiraSettings {
                flag_field: FlagField::Select,
                resolution_on_closing: ResolutionOnClosing::Required,
                priority_on_create_screen: false,
                time_zone: SandboxTimeZone::berlin(),
                ..SandboxJiraSettings::default()
            },
        ),
        (
            "a flag that is text, no resolution on the screen",
            SandboxJiraSettings {
                flag_field: FlagField::Text,
                resolution_on_closing: ResolutionOnClosing::NotOnScreen,
                ..SandboxJiraSettings::default()
            },
        ),
    ] {
        let (world, jira) = world(settings).await;
        let case = world
            .csapi
            .create_case(NewCase {
                parent: "organizations/123".to_owned(),
                display_name: "Disk is slow".to_owned(),
                description: "Since noon.\nVery slow.".to_owned(),
                priority: Priority::P1,
                author: Author::customer("Grace Hopper"),
            })
            .unwrap()
            .name;
        world.settle().await;
        let issue = jira.issues().remove(0);
        assert_eq!(issue.summary, "Disk is slow", "{what}");
        assert_eq!(
            issue.description.as_deref().map(casebridge::crm::jira::markup::unescape).as_deref(),
            Some("CONTENT MIRRORED FROM GOOGLE SUPPORT:\nSince noon.\nVery slow."),
            "{what}"
        );
        assert_eq!((issue.priority.as_str(), issue.flagged), ("High", true), "{what}");
        assert_eq!(issue.google_name.as_deref(), Some(case.as_str()), "{what}");
        assert_eq!(issue.components, ["Google Cloud"], "{what}");
        assert!(issue.attachments.is_empty() && issue.comments.is_empty(), "{what}");
        let home = world.deps.systems[Side::Company].home().unwrap();
        let named = format!("{} ({key}, {home}/browse/{key})", issue.id, key = issue.key);
        assert_eq!(
            world.google_texts(&case),
            [format!("This case is now syncing with Company Case: {named}")],
            "{what}"
        );

        let said = world.company_says(&issue.id, "Any news?").await;
        jira.attach(&issue.id, "Jane Roe", "log.txt", "text/plain", &b"1\n2\n"[..]).unwrap();
        jira.set_priority(&issue.id, "Highest").unwrap();
        world.settle().await;
        assert_eq!(
            world.google_texts(&case)[1..],
            [format!("[Company Comment {said} by Jane Roe]\nAny news?")],
            "{what}"
        );
        let files = world.csapi.attachments(&case).unwrap();
        assert_eq!(files.len(), 1, "{what}");
        assert_eq!(world.csapi.attachment_bytes(&case, &files[0].id).unwrap(), b"1\n2\n", "{what}");
        assert_eq!(world.csapi.case(&case).unwrap().priority, Some(Priority::P0), "{what}");

        world.csapi.close(&case).unwrap();
        world.settle().await;
        assert!(world.company(&issue.id).await.closed, "{what}");
        let flagged = world.company_case("From the company").await;
        world.settle().await;
        assert_eq!(world.csapi.cases().len(), 2, "{what}");
        let google_name = world.company(&flagged).await.google_name;
        assert_eq!(google_name, Some(world.csapi.cases().remove(1).name), "{what}");
        world.run_for(Duration::hours(2)).await;
        assert_eq!(world.sizes().await, (2, 2), "{what}");
        assert_eq!(world.google_texts(&case).len(), 2, "{what}");
        assert_eq!(world.company(&issue.id).await.comments.len(), 1, "{what}");
    }
}

#[tokio::test]
async fn an_issue_that_was_moved_to_another_project_still_syncs() {
    let (world, jira) = world(SandboxJiraSettings::default()).await;
    let (case, issue) = world.pair().await;
    let key = jira.move_issue(&issue, "OPS").unwrap();
    assert!(key.starts_with("OPS-"));
    world.google_says(&case, "from Google");
    world.company_says(&issue, "from Jira").await;
    world.run_for(Duration::hours(1)).await;
    assert_eq!((world.google_texts(&case).len(), world.company_texts(&issue).await.len()), (3, 2));
    assert_eq!(world.sizes().await, (1, 1));
}

/// Dry run: the first step of a person after `casebridge check`.
#[tokio::test]
async fn a_dry_run_of_a_case_that_nobody_has_seen_yet_tells_what_would_happen_and_does_nothing() {
    let (world, jira) = world(SandboxJiraSettings::default()).await;
    let case = world.google_case("From Google");
    let flagged = world.company_case("From the company").await;
    let other = jira.create_issue(sandbox::NewIssue::new("Not flagged")).unwrap();
    let run = async |task: Task| tasks::run(&world.deps, task, Caller::Person, Mode::DryRun).await.to_json();
    let google = async |case: &str| run(Task::SyncGoogleCase(SyncGoogleCase::of(case))).await;
    let company = async |id: &str| run(Task::SyncCompanyCase(SyncCompanyCase::of(id))).await;
    let report = google(&case).await;
    assert_eq!(report["outcome"], "done", "{report}");
    assert_eq!(report["plan"][0], "create a case in Jira: \"From Google\"", "{report}");
    let report = company(&flagged).await;
    assert_eq!(
        report["plan"][0], "create a case in Google Cloud Customer Care: \"From the company\"",
        "{report}"
    );
    assert!(report["mapping"].is_null(), "{report}");
    let report = company(&other).await;
    assert_eq!(report["outcome"], "abandoned", "{report}");
    assert!(report["detail"].as_str().unwrap().contains("not flagged"), "{report}");
    let report = google("organizations/123/cases/99999999").await;
    assert!(report["detail"].as_str().unwrap().contains("there is no such case"), "{report}");
    assert_eq!((world.mappings().await.len(), world.csapi.cases().len(), jira.issues().len()), (0, 1, 2));
    // Both cases exist and name each other, but their mapping is lost: the dry run reports the items that a sync would still copy.
    world.settle().await;
    let mapping = world
        .mappings()
        .await
        .into_iter()
        .find(|mapping| mapping.google_case_name.as_ref().is_some_and(|name| name.to_string() == case));
    let mapping = mapping.unwrap();
    let mirror = mapping.company_case_id.as_ref().unwrap().to_string();
    world.deps.store.delete(&mapping).await.unwrap();
    let said = world.company_says(&mirror, "since then").await;
    let before = world.google_texts(&case);
    let report = company(&mirror).await;
    let plan = report["plan"].to_string();
    assert!(plan.contains("comment") && plan.contains(&said), "{report}");
    assert_eq!((world.google_texts(&case), world.mappings().await.len()), (before, 1));
}

#[tokio::test]
async fn a_text_limit_that_an_administrator_set_is_learned_from_the_first_refusal() {
    let limited = SandboxJiraSettings { comment_limit: 10_000, ..SandboxJiraSettings::data_center() };
    let (world, jira) = world(limited).await;
    let description: String = (0..4_000).map(|number| format!("line {number}\n")).collect();
    let new = NewCase {
        parent: "organizations/123".to_owned(),
        display_name: "Long".to_owned(),
        description: description.clone(),
        priority: Priority::P2,
        author: Author::customer("Grace Hopper"),
    };
    let case = world.csapi.create_case(new).unwrap();
    world.go_on(Duration::hours(1)).await;
    let issues = jira.issues();
    assert_eq!(issues.len(), 1, "a description is never refused for ever");
    let said: String = (0..4_000).map(|number| format!("word{number} ")).collect();
    world.google_says(&case.name, &said);
    world.go_on(Duration::hours(1)).await;
    let issue = jira.issues().remove(0);
    let of = |header: &str| -> String {
        let texts = issue.comments.iter().map(|comment| markup::unescape(&comment.body));
        texts
            .filter(|text| text.starts_with(header))
            .map(|text| text.split_once('\n').unwrap().1.to_owned())
            .collect()
    };
    let words = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(words(&of("[Google Comment ")), words(&said));
    let stored = markup::unescape(issue.description.as_deref().unwrap());
    let first = stored.split_once('\n').unwrap().1;
    assert_eq!(words(&format!("{first}{}", of("[Google Description "))), words(&description));
    let longest = issue.comments.iter().map(|comment| comment.body.encode_utf16().count()).max();
    assert!(longest > Some(9_000) && longest <= Some(10_000), "{longest:?}");
    world.assert_quiet().await;
}

#[tokio::test]
async fn a_desk_as_demanding_as_a_real_one_gets_the_fields_that_it_demands() {
    let desk = SandboxJiraSettings { service_management: true, ..SandboxJiraSettings::default() };
    let ours = JiraSettings {
        new_fields: BTreeMap::from([("Impact".to_owned(), json!({ "value": "High" }))]),
        close_fields: BTreeMap::from([("Root cause".to_owned(), json!("Google"))]),
        request_type: Some("25".to_owned()),
        ..JiraSettings::default()
    };
    let (world, jira) = world_with(desk, ours).await;
    jira.set_manners(Manners { demanding: true, ..Manners::default() });
    let new = NewCase {
        parent: "organizations/123".to_owned(),
        display_name: "Disk is slow".to_owned(),
        description: "Since noon.".to_owned(),
        priority: Priority::P1,
        author: Author::customer("Grace Hopper"),
    };
    let case = world.csapi.create_case(new).unwrap().name;
    world.settle().await;
    let issue = jira.issues().remove(0);
    let demanded = [(IMPACT_FIELD, json!("High")), (REQUEST_TYPE_FIELD, json!("25"))];
    for (field, value) in &demanded {
        assert_eq!(issue.other_fields.get(*field), Some(value), "{field}");
    }
    assert!(issue.flagged, "the flag of all projects, not that of a team-managed one");
    let said = world.company_says(&issue.id, "Any news?").await;
    world.google_says(&case, "It is fixed.");
    world.settle().await;
    let at_google = world.google_texts(&case);
    assert!(at_google.contains(&format!("[Company Comment {said} by Jane Roe]\nAny news?")), "{at_google:?}");
    world.csapi.close(&case).unwrap();
    world.settle().await;
    let issue = jira.issues().remove(0);
    assert!(issue.closed, "{}", issue.status);
    assert_eq!(issue.other_fields.get(ROOT_CAUSE_FIELD), Some(&json!("Google")));
    world.assert_quiet().await;
}

#[tokio::test]
async fn a_demanding_desk_that_is_not_given_its_fields_says_which() {
    let (world, jira) = world(SandboxJiraSettings::default()).await;
    jira.set_manners(Manners { demanding: true, ..Manners::default() });
    let checks = world.deps.systems[Side::Company].check(Needs::all(Visibility::Internal)).await;
    let failed: Vec<String> = checks.into_iter().filter_map(|check| check.result().err()).collect();
    for field in ["Impact (customfield_10070, option: one of High, Low)", "company.jira.new_fields"] {
        assert!(failed.iter().any(|problem| problem.contains(field)), "{field}: {failed:?}");
    }
}

#[tokio::test]
async fn check_reads_the_values_that_a_demanding_desk_is_given() {
    let right = JiraSettings {
        new_fields: BTreeMap::from([("Impact".to_owned(), json!({ "value": "High" }))]),
        close_fields: BTreeMap::from([("Root cause".to_owned(), json!("Google"))]),
        request_type: Some("25".to_owned()),
        ..JiraSettings::default()
    };
    let new_field = |name: &str, value: serde_json::Value| JiraSettings {
        new_fields: BTreeMap::from([
            ("Impact".to_owned(), json!({ "value": "High" })),
            (name.to_owned(), value),
        ]),
        ..right.clone()
    };
    let close_field = |name: &str, value: serde_json::Value| JiraSettings {
        close_fields: BTreeMap::from([("Root cause".to_owned(), json!("Google")), (name.to_owned(), value)]),
        ..right.clone()
    };
    let request_type =
        |id: Option<&str>| JiraSettings { request_type: id.map(str::to_owned), ..right.clone() };
    for (settings, expected) in [
        (right.clone(), None),
        (new_field("Impact", json!("High")), Some("such as \"Impact\" = { value = \"High\" }")),
        (new_field("Impact", json!({"value": "Hgih"})), Some("none of High, Low")),
        (new_field("Labels", json!("cloud")), Some("Labels is text, not a list")),
        (new_field("Root cause", json!("x")), Some("customfield_10071 not on the create screen")),
        (
            JiraSettings { new_fields: BTreeMap::new(), ..right.clone() },
            Some("give it a value in company.jira.new_fields, such as \"Impact\" = { value = \"High\" }"),
        ),
        (close_field("Root cause", json!(["x"])), Some("Root cause is a list, not text")),
        (close_field("Impact", json!({"value": "High"})), Some("its screen has no customfield_10070")),
        (
            request_type(None),
            Some("\"25\" (Get IT help, issue type Task), \"26\" (Report an incident, issue type Support)"),
        ),
        (request_type(Some("99")), Some("project SUP has no request type \"99\"")),
        (
            request_type(Some("26")),
            Some(
                "the request type \"26\" (Report an incident) is for issues of the type Support, and company.jira.issue_type is \"Task\"",
            ),
        ),
        (request_type(Some("sup/get-it-help")), None),
    ] {
        for deployment in [sandbox::Deployment::Cloud, sandbox::Deployment::DataCenter] {
            let mut desk = match deployment {
                sandbox::Deployment::Cloud => SandboxJiraSettings::default(),
                sandbox::Deployment::DataCenter => SandboxJiraSettings::data_center(),
            };
            desk.service_management = true;
            let (world, jira) = world_with(desk, settings.clone()).await;
            jira.set_manners(Manners { demanding: true, ..Manners::default() });
            // The closing transition is looked at on an open issue.
            jira.create_issue(sandbox::NewIssue::new("Disk")).unwrap();
            let checks = world.deps.systems[Side::Company].check(Needs::all(Visibility::Internal)).await;
            let wrong = checks.iter().filter(|check| check.status != CheckStatus::Ok);
            let problems: Vec<String> = wrong.map(casebridge::cases::Check::text).collect();
            let as_expected = match expected {
                None => problems.is_empty(),
                Some(words) => problems.len() == 1 && problems[0].contains(words),
            };
            assert!(as_expected, "{expected:?}, {deployment:?}: {problems:#?}");
        }
    }
}

#[tokio::test]
async fn an_issue_whose_request_type_belongs_to_another_issue_type_is_refused_as_check_says() {
    let desk = SandboxJiraSettings { service_management: true, ..SandboxJiraSettings::default() };
    let ours = JiraSettings {
        new_fields: BTreeMap::from([("Impact".to_owned(), json!({ "value": "High" }))]),
        request_type: Some("26".to_owned()),
        ..JiraSettings::default()
    };
    let (world, jira) = world_with(desk, ours).await;
    jira.set_manners(Manners { demanding: true, ..Manners::default() });
    let case = casebridge::cases::NewCase {
        title: "Disk is slow".to_owned(),
        description: "Since noon.".to_owned(),
        priority: None,
        counterpart: "organizations/123/cases/1".to_owned(),
        idempotency_key: "k".to_owned(),
        placement: casebridge::cases::Placement::default(),
        google: casebridge::entities::GooglePlacement::default(),
    };
    let error = world.deps.systems[Side::Company].create(&case).await.unwrap_err().to_string();
    for part in ["customfield_10010", "company.jira.request_type", "company.jira.issue_type"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    assert_eq!(jira.issues().len(), 0);
}

#[tokio::test]
async fn a_person_who_is_mentioned_is_named_at_google() {
    for settings in [SandboxJiraSettings::default(), SandboxJiraSettings::data_center()] {
        let is_cloud = settings.deployment == sandbox::Deployment::Cloud;
        let (world, jira) = world(settings).await;
        let new = sandbox::NewIssue { flagged: true, ..sandbox::NewIssue::new("Disk") };
        let issue = jira.create_issue(new).unwrap();
        // The sandbox makes the ID of a name.
        let account = &hex::encode(sha2::Sha256::digest("Jane Roe"))[..20];
        let (mention, unknown) = if is_cloud {
            (format!("accountid:5b10{account}"), "accountid:gone")
        } else {
            ("jane.roe".to_owned(), "gone")
        };
        let said = jira.comment(&issue, "Jane Roe", &format!("[~{mention}] and [~{unknown}], see")).unwrap();
        world.settle().await;
        let case = world.csapi.cases().remove(0).name;
        let nobody = if is_cloud { "@someone" } else { "@gone" };
        let expected = format!("[Company Comment {said} by Jane Roe]\n@Jane Roe and {nobody}, see");
        assert!(world.google_texts(&case).contains(&expected), "{:?}", world.google_texts(&case));
    }
}
