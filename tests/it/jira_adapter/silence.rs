//! Answers that the adapter must not believe (`R26`, `R29`, `R31` to `R34`, `R36`): answers for another user, markers that are left
//! out, other ways to close, pages in place of files, clocks.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::IntoResponse as _;
use casebridge::cases::{ApiError, Case, Closing};
use casebridge::config::SecretRef;
use casebridge::sandbox::jira::{InPlaceOfContent, Manners};
use casebridge::secrets::SecretCredentials;

use super::*;

/// Starts a service management project on Data Center.
pub(super) async fn data_center_service_management() -> Running {
    start(SandboxJiraSettings { service_management: true, ..SandboxJiraSettings::data_center() }, |_| ())
        .await
}

async fn both() -> [Running; 2] {
    [cloud().await, data_center().await]
}

async fn got(crm: &Running, id: &str) -> Case {
    crm.adapter.get(id).await.unwrap().unwrap()
}

async fn found(crm: &Running) -> Vec<String> {
    let sweep = crm.adapter.search_updated(noon() - Duration::hours(1)).await.unwrap();
    sweep.cases.into_iter().map(|case| case.id).collect()
}

/// Number of requests whose path contains `path`.
fn calls(crm: &Running, path: &str) -> usize {
    crm.jira.faults().calls().iter().filter(|call| call.path.contains(path)).count()
}

// ---------------------------------------------------------------- identity of a case

#[tokio::test]
async fn a_case_tells_who_made_it_where_it_lies_and_where_people_find_it() {
    for crm in both().await {
        let home = crm.adapter.home().unwrap().to_owned();
        assert!(home.starts_with("http://127.0.0.1:") && !home.ends_with('/'), "{home}");
        let ours = crm.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap();
        let theirs = crm.person_creates("theirs", "", true).await;
        for (id, key, by_connector) in [(&ours.id, "SUP-1", true), (&theirs, "SUP-2", false)] {
            let case = got(&crm, id).await;
            assert_eq!(case.by_connector, Some(by_connector), "{key}");
            assert_eq!(case.address, Some(format!("{home}/browse/{key}")));
            assert_eq!(case.scope.as_deref(), Some("SUP"));
            assert_eq!((case.closing, case.merged_into), (None, None));
        }
        let key = crm.jira.move_issue(&theirs, "OPS").unwrap();
        let case = got(&crm, &theirs).await;
        assert_eq!(case.address, Some(format!("{home}/browse/{key}")));
        crm.tick().await;
        let sweep = crm.adapter.search_updated(noon()).await.unwrap();
        let moved = sweep.cases.into_iter().find(|case| case.id == theirs).unwrap();
        assert_eq!((moved.scope.as_deref(), moved.by_connector), (Some("OPS"), Some(false)));
    }
}

#[tokio::test]
async fn an_id_a_key_and_an_address_name_the_same_case_and_its_id_is_its_own() {
    for crm in both().await {
        let id = crm.person_creates("t", "", true).await;
        let home = crm.adapter.home().unwrap().to_owned();
        let new_key = crm.jira.move_issue(&id, "OPS").unwrap();
        for reference in [
            id.as_str(),
            "SUP-1",
            "sup-1",
            &new_key,
            &format!(" {home}/browse/SUP-1 "),
            &format!("{home}/projects/OPS/queues/custom/3/{new_key}"),
        ] {
            let case = crm.adapter.resolve(reference).await.unwrap().unwrap();
            assert_eq!((case.id.as_str(), case.key.as_deref()), (id.as_str(), Some(new_key.as_str())));
        }
        assert_eq!(got(&crm, "SUP-1").await.id, id, "asked for by its key, it answers with its ID");
        assert_eq!(crm.adapter.resolve("SUP-99").await.unwrap(), None);
        for (reference, hint) in [
            ("https://other.atlassian.net/browse/SUP-1", home.as_str()),
            ("the printer is on fire", "its key"),
        ] {
            let error = crm.adapter.resolve(reference).await.unwrap_err();
            assert_eq!(error.kind, ApiErrorKind::Refused);
            assert!(error.message.contains(hint), "{error}");
        }
    }
}

// ---------------------------------------------------------------- silence

/// Returns settings of a Jira that requires credentials and has no public projects.
fn visited(deployment: sandbox::Deployment) -> SandboxJiraSettings {
    match deployment {
        sandbox::Deployment::Cloud => {
            let auth =
                SandboxJiraAuth::Basic { email: "bot@example.com".to_owned(), token: "s3cret".to_owned() };
            SandboxJiraSettings { auth, ..SandboxJiraSettings::default() }
        }
        sandbox::Deployment::DataCenter => {
            let auth = SandboxJiraAuth::Bearer { token: "s3cret".to_owned() };
            SandboxJiraSettings { auth, ..SandboxJiraSettings::data_center() }
        }
    }
}

#[tokio::test]
async fn an_answer_for_somebody_whom_jira_does_not_know_is_never_believed() {
    for (deployment, header, keys) in [
        (
            sandbox::Deployment::Cloud,
            "X-Seraph-LoginReason: AUTHENTICATED_FAILED",
            "company.jira.email and company.jira.api_token",
        ),
        (sandbox::Deployment::DataCenter, "X-AUSERNAME: anonymous", "company.jira.personal_access_token"),
    ] {
        let crm = start(visited(deployment), |_| ()).await;
        let id = crm.person_creates("t", "", true).await;
        crm.person_comments(&id, "hello", Visibility::Public).await;
        assert_eq!(found(&crm).await, std::slice::from_ref(&id));
        crm.adapter.identify().await.unwrap();
        crm.jira.set_manners(Manners { expired_credentials: true, ..Manners::default() });
        let errors: [(&str, Option<ApiError>); 7] = [
            ("search", crm.adapter.search_updated(noon()).await.err()),
            ("get", crm.adapter.get(&id).await.err()),
            ("comments", crm.adapter.comments(&id, None).await.err()),
            ("attachments", crm.adapter.attachments(&id, None).await.err()),
            ("any case", crm.adapter.any_case(None).await.err()),
            ("find", crm.adapter.find_counterparts("organizations/1/cases/2", None).await.err()),
            ("priority", crm.adapter.set_priority(&id, Priority::P0).await.err()),
        ];
        for (call, error) in errors {
            let error = error.unwrap_or_else(|| panic!("{call} on {deployment:?} is believed"));
            assert_eq!(error.kind, ApiErrorKind::Unauthorized, "{call}: {error}");
            assert!(!error.is_for_good(), "{call}: it is about the connector, not about the case");
            let text = error.to_string();
            // The keys that are configured and no others, and only where an operator reads them.
            assert!(error.message.contains(header) && text.contains(keys), "{call}: {error}");
            assert_eq!(
                text.matches("company.jira.").count(),
                keys.matches("company.jira.").count(),
                "{text}"
            );
            assert!(!error.message.contains("company."), "{call}: {error}");
            assert!(!error.to_string().contains("s3cret"), "{call}: {error}");
        }
        let error = crm.adapter.identify().await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Unauthorized);
        assert!(error.to_string().contains(keys), "{error}");
        let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
        assert!(line(&checks, "credentials").unwrap_err().contains(keys), "{checks:?}");
        crm.jira.set_manners(Manners::default());
        assert_eq!(found(&crm).await, [id]);
    }
}

#[tokio::test]
async fn a_secret_that_was_replaced_is_read_again_when_an_answer_is_for_somebody_else() {
    let crm = start(visited(sandbox::Deployment::Cloud), |_| ()).await;
    let id = crm.person_creates("t", "", true).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "s3cret").unwrap();
    let settings = JiraSettings {
        project: "SUP".to_owned(),
        email: Some("bot@example.com".to_owned()),
        api_token: Some("file:token".to_owned()),
        ..JiraSettings::default()
    };
    let reference: SecretRef = format!("file:{}", file.display()).parse().unwrap();
    let make = {
        let settings = settings.clone();
        move |secret: &casebridge::config::Secret| {
            settings.credentials(secret.reveal(), &"http://localhost".parse().unwrap())
        }
    };
    let credentials =
        SecretCredentials::read(reference, None, Box::new(make), crm.clock.clone()).await.unwrap();
    let home = crm.adapter.home().unwrap();
    let adapter = connect(settings, usual_words(), home, Arc::new(credentials), &crm.clock);
    let search = async || adapter.search_updated(noon()).await;
    assert!(search().await.unwrap().identified);

    crm.jira.set_manners(Manners { visitors: true, ..Manners::default() });
    let auth = SandboxJiraAuth::Basic { email: "bot@example.com".to_owned(), token: "n3w".to_owned() };
    crm.jira.set_auth(auth);
    assert_eq!(search().await.unwrap_err().kind, ApiErrorKind::Unauthorized);
    std::fs::write(&file, "n3w").unwrap();
    crm.clock.advance(Duration::minutes(7));
    let sweep = search().await.unwrap();
    assert_eq!(sweep.cases.iter().map(|case| case.id.as_str()).collect::<Vec<_>>(), [id.as_str()]);
    assert!(sweep.identified);
    adapter.add_comment(&id, &new_comment("again", Visibility::Public)).await.unwrap();
}

#[tokio::test]
async fn a_write_that_succeeded_as_somebody_elses_may_have_happened_and_is_not_repeated() {
    let calls = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let router = axum::Router::new().fallback(move |method: axum::http::Method| {
        let counted = Arc::clone(&counted);
        async move {
            if method == axum::http::Method::GET {
                return axum::Json(json!({"id": "1", "fields": {}})).into_response();
            }
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let headers = [("X-Seraph-LoginReason", "AUTHENTICATED_FAILED")];
            (axum::http::StatusCode::CREATED, headers, axum::Json(json!({"id": "7"}))).into_response()
        }
    });
    let (base, server) = serve(router).await;
    let settings = JiraSettings { project: "SUP".to_owned(), ..JiraSettings::default() };
    let jira = connect(settings, usual_words(), &base, Arc::new(NoCredentials), &ManualClock::at(noon()));
    let error = jira.add_comment("1", &new_comment("x", Visibility::Public)).await.unwrap_err();
    assert!(error.may_have_happened(), "{error}");
    assert!(error.hint.as_deref().is_some_and(|hint| hint.contains("credentials")), "{error}");
    assert_eq!(calls.load(std::sync::atomic::Ordering::SeqCst), 1);
    server.abort();
}

#[tokio::test]
async fn a_search_is_identified_only_by_answers_that_name_the_user() {
    for crm in both().await {
        assert!(crm.adapter.search_updated(noon()).await.unwrap().identified, "an empty one too");
    }
    let (jira, server) = scripted(Deployment::Cloud, |path, _| match path {
        "/rest/api/2/field" => (200, fields("customfield_1")),
        "/rest/api/2/myself" => (200, json!({"accountId": "5b10"})),
        _ => (200, json!({"issues": [], "isLast": true})),
    })
    .await;
    assert!(!jira.search_updated(noon()).await.unwrap().identified, "a proxy took the headers away");
    jira.identify().await.unwrap();
    server.abort();
    let (jira, server) = scripted(Deployment::Cloud, |_, _| (200, json!({"displayName": "?"}))).await;
    let error = jira.identify().await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Unauthorized);
    assert!(error.message.contains("company.jira.client_secret"), "{error}");
    server.abort();
}

#[tokio::test]
async fn a_right_that_was_taken_away_is_seen_by_asking_for_any_case_and_by_nothing_else() {
    for crm in both().await {
        let id = crm.person_creates("t", "", true).await;
        let project = ["SUP".to_owned()].into();
        crm.jira.set_manners(Manners { hidden_projects: project, ..Manners::default() });
        let sweep = crm.adapter.search_updated(noon()).await.unwrap();
        assert_eq!((sweep.cases.len(), sweep.identified), (0, true), "polite, known and blind");
        assert_eq!(crm.adapter.get(&id).await.unwrap(), None);
        crm.adapter.identify().await.unwrap();
        let error = crm.adapter.any_case(None).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Unauthorized);
        assert!(error.message.contains("Browse Projects") && error.message.contains("SUP"), "{error}");
        assert_eq!(crm.adapter.any_case(Some(&id)).await.unwrap(), None, "no witness");
        let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
        assert!(line(&checks, "project SUP").unwrap_err().contains("Browse Projects"));
        crm.jira.set_manners(Manners::default());
        assert_eq!(crm.adapter.any_case(None).await.unwrap(), Some(id));
    }
}

#[tokio::test]
async fn any_case_is_one_call_for_a_case_of_the_project_or_one_that_takes_part() {
    for crm in both().await {
        crm.jira.create_issue(NewIssue { project: "OPS".to_owned(), ..NewIssue::new("elsewhere") }).unwrap();
        assert_eq!(crm.adapter.any_case(None).await.unwrap(), None);
        let first = crm.person_creates("not flagged", "", false).await;
        crm.tick().await;
        assert_eq!(crm.adapter.any_case(None).await.unwrap(), Some(first.clone()));
        assert_eq!(crm.adapter.any_case(Some(&first)).await.unwrap(), None);
        let elsewhere = NewIssue { project: "OPS".to_owned(), ..NewIssue::flagged("elsewhere, takes part") };
        let second = crm.jira.create_issue(elsewhere).unwrap();
        crm.clock.advance(Duration::days(400));
        crm.jira.faults().clear_calls();
        assert_eq!(crm.adapter.any_case(Some(&first)).await.unwrap(), Some(second.clone()));
        assert_eq!(crm.adapter.any_case(Some(&second)).await.unwrap(), Some(first));
        assert_eq!(crm.jira.faults().calls().len(), 2);
    }
}

#[tokio::test]
async fn a_case_that_is_not_shown_for_a_while_is_none_while_jira_knows_us_and_comes_back() {
    let crm = cloud().await;
    let id = crm.person_creates("t", "", true).await;
    crm.jira.set_manners(Manners { hidden_issues: [id.clone()].into(), ..Manners::default() });
    assert_eq!(crm.adapter.get(&id).await.unwrap(), None);
    assert_eq!(found(&crm).await, [""; 0]);
    crm.jira.set_manners(Manners::default());
    assert_eq!(got(&crm, &id).await.id, id);
    assert_eq!(found(&crm).await, [id]);
}

// ---------------------------------------------------------------- confidentiality

async fn visibilities(crm: &Running, id: &str) -> Vec<(String, Visibility)> {
    let mut comments = crm.adapter.comments(id, None).await.unwrap();
    comments.sort_by(|a, b| a.id.cmp(&b.id));
    comments.into_iter().map(|comment| (comment.body, comment.visibility)).collect()
}

#[tokio::test]
async fn without_a_marker_a_comment_is_public_only_where_there_are_no_customers() {
    use Visibility::{Internal, Public};
    for (crm, unmarked) in [
        (data_center_service_management().await, Internal),
        (data_center().await, Public),
        (cloud_service_management().await, Public),
        (cloud().await, Public),
    ] {
        let id = crm.person_creates("t", "", true).await;
        crm.jira.comment(&id, "Jane Roe", "for all").unwrap();
        crm.jira.internal_comment(&id, "Jane Roe", "for us").unwrap();
        crm.jira.unmarked_comment(&id, "A program", "for whom").unwrap();
        let ours = crm.adapter.add_comment(&id, &new_comment("ours", Public)).await.unwrap();
        let expected = [("for all", Public), ("for us", Internal), ("for whom", unmarked), ("ours", Public)];
        let expected = expected.map(|(text, visibility)| (text.to_owned(), visibility));
        assert_eq!(visibilities(&crm, &id).await, expected, "{:?}", crm.jira.settings().deployment);
        assert!(!ours.id.is_empty());
    }
}

/// Reads the one comment without a marker on issue 1 of a Data Center, and returns its visibility. `project` is the project as the issue
/// describes it, and `answer` the answer to a request for the project itself.
async fn unmarked(project: Value, answer: (u16, Value), told: Option<bool>) -> Result<Visibility, ApiError> {
    let (jira, server) = scripted_with(
        Deployment::DataCenter,
        |settings| settings.service_management = told,
        move |path, _| match path {
            "/rest/api/2/myself" => (200, json!({"name": "bot"})),
            "/rest/api/2/issue/1" => (200, json!({"id": "1", "fields": {"project": project}})),
            path if path.starts_with("/rest/api/2/project/") => answer.clone(),
            _ => (200, json!({"comments": [{"id": "7", "body": "b"}], "total": 1})),
        },
    )
    .await;
    let comments = jira.comments("1", None).await;
    server.abort();
    comments.map(|comments| comments[0].visibility)
}

#[tokio::test]
async fn what_kind_of_project_a_comment_is_in_has_to_be_known() {
    let kind = |key: &str, kind: &str| json!({"key": key, "projectTypeKey": kind});
    let nothing = || (404, json!({"errorMessages": ["No project could be found"]}));
    for (project, answer, told, expected) in [
        (kind("SUP", "software"), nothing(), None, Visibility::Public),
        (kind("SUP", "service_desk"), nothing(), None, Visibility::Internal),
        (json!({"key": "SUP"}), (200, kind("SUP", "business")), None, Visibility::Public),
        (json!({"key": "SUP"}), (200, kind("SUP", "service_desk")), None, Visibility::Internal),
        (json!({"key": "SUP"}), (200, json!({})), None, Visibility::Internal),
        (json!({"key": "SUP"}), nothing(), None, Visibility::Internal),
        (json!({"key": "SUP"}), (403, json!({})), None, Visibility::Internal),
        (Value::Null, (200, kind("SUP", "software")), None, Visibility::Internal),
        // The configuration decides for its own project, and for others if their kind is unknown.
        (kind("SUP", "service_desk"), nothing(), Some(false), Visibility::Public),
        (kind("SUP", "software"), nothing(), Some(true), Visibility::Internal),
        (kind("OPS", "service_desk"), nothing(), Some(false), Visibility::Internal),
        (json!({"key": "OPS"}), nothing(), Some(false), Visibility::Public),
    ] {
        let seen = unmarked(project.clone(), answer.clone(), told).await.unwrap();
        assert_eq!(seen, expected, "{project} {answer:?} {told:?}");
    }
    // A temporary error is retried, because a comment that was once taken for internal is never copied.
    for status in [401, 500, 503] {
        let error = unmarked(json!({"key": "SUP"}), (status, json!({})), None).await.unwrap_err();
        assert!(!error.is_for_good(), "{status}: {error}");
    }
}

#[tokio::test]
async fn of_eight_syncs_that_begin_together_one_asks_for_the_project() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let (jira, server) = scripted_with(
        Deployment::DataCenter,
        |_| (),
        move |path, _| match path {
            "/rest/api/2/myself" => (200, json!({"name": "bot"})),
            "/rest/api/2/project/SUP" => {
                counter.fetch_add(1, Ordering::SeqCst);
                (200, json!({"key": "SUP", "projectTypeKey": "software"}))
            }
            path if path.ends_with("/comment") => {
                (200, json!({"comments": [{"id": "7", "body": "b"}], "total": 1}))
            }
            path => {
                let id = path.rsplit('/').next();
                (200, json!({"id": id, "fields": {"project": {"key": "SUP"}}}))
            }
        },
    )
    .await;
    let ids: Vec<String> = (1..=8).map(|id| id.to_string()).collect();
    let all = futures_util::future::join_all(ids.iter().map(|id| jira.comments(id, None))).await;
    server.abort();
    assert!(all.into_iter().all(|comments| comments.unwrap()[0].visibility == Visibility::Public));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_internal_comment_says_so_in_every_project_that_may_have_customers() {
    for (crm, expected) in [
        (data_center_service_management().await, Some(json!({"internal": true}))),
        (data_center().await, None),
        (cloud_service_management().await, Some(json!({"internal": true}))),
    ] {
        let id = crm.person_creates("t", "", true).await;
        for (visibility, internal) in [(Visibility::Internal, true), (Visibility::Public, false)] {
            let written = crm.adapter.add_comment(&id, &new_comment("x", visibility)).await.unwrap();
            let (status, property) =
                raw(&crm, &format!("comment/{}/properties/sd.public.comment", written.id)).await;
            match &expected {
                Some(_) => assert_eq!(property["value"], json!({"internal": internal})),
                None => assert_eq!(status, 404),
            }
        }
    }
}

/// Answer of the sandbox to another client.
async fn raw(crm: &Running, path: &str) -> (u16, Value) {
    let mut request =
        reqwest::Client::new().get(format!("{}/rest/api/2/{path}", crm.adapter.home().unwrap()));
    if let SandboxJiraAuth::Basic { email, token } = &crm.jira.settings().auth {
        request = request.basic_auth(email, Some(token));
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_file_of_internal_comments_is_internal() {
    for crm in [data_center_service_management().await, cloud_service_management().await] {
        let id = crm.person_creates("t", "", true).await;
        for name in ["ours.txt", "shared.png", "alone.txt"] {
            crm.person_attaches(&id, name, b"abc").await;
        }
        crm.tick().await;
        crm.jira.internal_comment(&id, "Jane Roe", "look at [^ours.txt] and !shared.png|thumbnail!").unwrap();
        crm.jira.comment(&id, "Jane Roe", "here it is: !shared.png!").unwrap();
        let hidden = |files: &[Attachment]| -> Vec<String> {
            let hidden = files.iter().filter(|file| file.visibility == Visibility::Internal);
            hidden.map(|file| file.filename.clone()).collect()
        };
        let files = crm.adapter.attachments(&id, None).await.unwrap();
        assert_eq!(hidden(&files), ["ours.txt"]);
        crm.jira.faults().clear_calls();
        let files = crm.adapter.attachments(&id, Some(noon() + Duration::minutes(1))).await.unwrap();
        assert_eq!((files.len(), calls(&crm, "/comment")), (3, 0), "comments are read only for what is new");
    }
}

#[tokio::test]
async fn a_check_says_by_what_comments_tell_who_may_read_them() {
    for (crm, expected) in [
        (data_center_service_management().await, "told by the property sd.public.comment"),
        (cloud_service_management().await, "told by jsdPublic"),
        (data_center().await, "no customers"),
    ] {
        let needs = Needs::all(Visibility::Internal);
        let id = crm.person_creates("t", "", true).await;
        crm.tick().await;
        let before = crm.adapter.check(needs).await;
        if crm.jira.settings().service_management {
            assert!(line(&before, "confidential").unwrap().contains("no comment yet"), "{before:?}");
        }
        crm.jira.comment(&id, "Jane Roe", "for all").unwrap();
        let checks = crm.adapter.check(needs).await;
        assert!(line(&checks, "confidential").unwrap().contains(expected), "{checks:?}");
    }
    let crm = data_center_service_management().await;
    let id = crm.person_creates("t", "", true).await;
    crm.jira.unmarked_comment(&id, "A program", "x").unwrap();
    crm.tick().await;
    let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
    assert!(line(&checks, "confidential").unwrap_err().contains("none of 1 comments"), "{checks:?}");
}

// ---------------------------------------------------------------- closing

#[tokio::test]
async fn how_a_case_was_closed_is_told() {
    for crm in both().await {
        crm.jira.set_manners(Manners { three_ways_to_close: true, ..Manners::default() });
        for (transition, expected) in [
            ("Done", Some(Closing::Solved)),
            ("Cancel", Some(Closing::Cancelled)),
            ("Duplicate", Some(Closing::Duplicate)),
            ("Start Progress", None),
        ] {
            let id = crm.person_creates(transition, "", true).await;
            crm.jira.transition(&id, transition).unwrap();
            let case = got(&crm, &id).await;
            assert_eq!((case.closing, case.closed), (expected, expected.is_some()), "{transition}");
        }
        crm.tick().await;
        let sweep = crm.adapter.search_updated(noon()).await.unwrap();
        let closed = sweep.cases.iter().filter(|case| case.closed).count();
        assert_eq!(closed, 3);
    }
    let crm =
        start(SandboxJiraSettings::default(), |jira| jira.cancelled_names = vec!["done".to_owned()]).await;
    let id = crm.person_creates("t", "", true).await;
    crm.person_closes(&id).await;
    assert_eq!(got(&crm, &id).await.closing, Some(Closing::Cancelled), "as the configuration says");
}

#[tokio::test]
async fn of_three_ways_to_close_the_one_that_solves_is_taken() {
    for resolution_on_closing in
        [ResolutionOnClosing::Required, ResolutionOnClosing::Optional, ResolutionOnClosing::NotOnScreen]
    {
        let crm =
            start(SandboxJiraSettings { resolution_on_closing, ..SandboxJiraSettings::default() }, |_| ())
                .await;
        crm.jira.set_manners(Manners { three_ways_to_close: true, ..Manners::default() });
        let id = crm.person_creates("t", "", true).await;
        crm.adapter.close(&id).await.unwrap();
        let issue = crm.jira.issue(&id).unwrap();
        assert_eq!((issue.status.as_str(), issue.resolution.as_deref()), ("Done", Some("Done")));
        assert_eq!(got(&crm, &id).await.closing, Some(Closing::Solved));
        crm.tick().await;
        let open = crm.person_creates("open", "", true).await;
        let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
        assert_eq!(line(&checks, "closing").as_deref(), Ok("\"Done\" to \"Done\""), "{open}");
    }
}

#[tokio::test]
async fn an_archived_case_is_closed_as_such_and_takes_nothing() {
    let crm = data_center().await;
    let open = crm.person_creates("open", "", true).await;
    let done = crm.person_creates("done", "", true).await;
    crm.person_closes(&done).await;
    let archived_issues = [open.clone(), done.clone()].into();
    crm.jira.set_manners(Manners { archived_issues, ..Manners::default() });
    let case = got(&crm, &open).await;
    assert_eq!((case.closed, case.closing), (true, Some(Closing::Archived)));
    assert_eq!(got(&crm, &done).await.closing, Some(Closing::Solved), "it was solved before");
    assert_eq!(found(&crm).await, [""; 0], "searches find no archived issues");
    let refused = [
        ("comment", crm.adapter.add_comment(&open, &new_comment("x", Visibility::Public)).await.err()),
        ("priority", crm.adapter.set_priority(&open, Priority::P0).await.err()),
        ("closing", crm.adapter.close(&open).await.err()),
        ("link", crm.adapter.link(&open, "organizations/1/cases/2").await.err()),
    ];
    for (what, error) in refused {
        let error = error.unwrap_or_else(|| panic!("{what} succeeds"));
        assert!(error.is_for_good(), "{what}: {error}");
    }
}

// ---------------------------------------------------------------- refusals

#[tokio::test]
async fn what_is_refused_for_good_is_told_from_what_passes() {
    let no = |status: u16| Effect::ErrorBefore { status, body: None };
    let crm = data_center().await;
    let id = crm.person_creates("t", "", true).await;
    crm.person_attaches(&id, "a.txt", b"abc").await;
    let file = crm.adapter.attachments(&id, None).await.unwrap().remove(0);
    for (status, for_good) in [
        (400, true),
        (401, false),
        (403, true),
        (404, true),
        (409, false),
        (410, true),
        (413, true),
        (415, true),
        (422, true),
        (429, false),
        (500, false),
        (503, false),
    ] {
        for (method, path) in [
            ("POST", "/comment"),
            ("PUT", "/issue/"),
            ("GET", "/secure/"),
            ("POST", "/attachments"),
            ("POST", "/transitions"),
        ] {
            let fault = crm.jira.faults().add(Fault::always(no(status)).on(method, path));
            let error = match path {
                "/comment" => crm.adapter.add_comment(&id, &new_comment("x", Visibility::Public)).await.err(),
                "/issue/" => crm.adapter.set_priority(&id, Priority::P0).await.err(),
                "/secure/" => crm.adapter.download(&id, &file).await.err(),
                "/attachments" => crm.adapter.upload(&id, small_file()).await.err(),
                _ => crm.adapter.close(&id).await.err(),
            };
            crm.jira.faults().remove(fault);
            let error = error.unwrap_or_else(|| panic!("{method} {path} {status}"));
            assert_eq!(error.is_for_good(), for_good, "{method} {path}: {error}");
            assert_eq!(error.status, Some(status), "{method} {path}: {error}");
        }
    }
}

fn small_file() -> casebridge::cases::NewAttachment {
    casebridge::cases::NewAttachment {
        filename: "b.txt".to_owned(),
        media_type: None,
        size: Some(3),
        content: Box::pin(futures_util::stream::iter([Ok(bytes::Bytes::from_static(b"abc"))])),
        visibility: Visibility::Public,
        idempotency_key: "k".to_owned(),
    }
}

#[tokio::test]
async fn a_priority_that_cannot_be_set_is_refused_and_is_no_news_of_the_credentials() {
    let crm = cloud().await;
    let id = crm.person_creates("t", "", true).await;
    let off_screen = json!({"errorMessages": [], "errors": {
        "priority": "Field 'priority' cannot be set. It is not on the appropriate screen, or unknown."
    }});
    for (status, body) in [(400, Some(off_screen.to_string())), (403, None)] {
        let fault =
            crm.jira.faults().add(Fault::always(Effect::ErrorBefore { status, body }).on("PUT", "/issue/"));
        let error = crm.adapter.set_priority(&id, Priority::P0).await.unwrap_err();
        crm.jira.faults().remove(fault);
        assert_eq!((error.kind, error.status), (ApiErrorKind::Refused, Some(status)), "{error}");
        assert!(error.is_for_good());
    }
}

#[tokio::test]
async fn a_case_whose_priority_was_refused_is_created_all_the_same() {
    let settings = SandboxJiraSettings { priority_on_create_screen: false, ..SandboxJiraSettings::default() };
    for effect in [
        Effect::ErrorBefore { status: 400, body: None },
        Effect::ErrorBefore { status: 403, body: None },
        Effect::ErrorBefore { status: 500, body: None },
        Effect::HangUpBefore,
    ] {
        let crm = start(settings.clone(), |_| ()).await;
        crm.jira.faults().add(Fault::always(effect.clone()).on("PUT", "/issue/"));
        let case = crm.adapter.create(&new_case("organizations/1/cases/2")).await.unwrap();
        assert_eq!(
            case.priority,
            PriorityReading::exactly(Priority::P2),
            "{effect:?}: the project's default"
        );
        assert_eq!(case, got(&crm, &case.id).await);
        crm.jira
            .faults()
            .add(Fault::always(Effect::ErrorBefore { status: 500, body: None }).on("GET", "/issue/"));
        let case = crm.adapter.create(&new_case("organizations/1/cases/3")).await.unwrap();
        assert_eq!((case.priority, case.by_connector), (PriorityReading::Unset, Some(true)), "{effect:?}");
        assert_eq!((case.scope.as_deref(), crm.jira.issues().len()), (Some("SUP"), 2));
    }
}

// ---------------------------------------------------------------- content

#[tokio::test]
async fn what_comes_in_place_of_a_file_is_not_the_file() {
    let content = "<not a page, but as long as one>".repeat(100);
    for crm in both().await {
        let (id, file) = attached(&crm, content.as_bytes()).await;
        for (what, kinds) in [
            (InPlaceOfContent::LoginPage, [ApiErrorKind::WrongContent].as_slice()),
            (InPlaceOfContent::OtherSize, &[ApiErrorKind::WrongContent]),
            (InPlaceOfContent::Missing, &[ApiErrorKind::NotFound]),
            (InPlaceOfContent::Forbidden, &[ApiErrorKind::Unauthorized, ApiErrorKind::Refused]),
        ] {
            let content = [(file.id.clone(), what)].into();
            crm.jira.set_manners(Manners { content, ..Manners::default() });
            for _ in 0..2 {
                let error = match crm.adapter.download(&id, &file).await {
                    Err(error) => error,
                    Ok(download) => download.content.try_collect::<Vec<_>>().await.unwrap_err(),
                };
                assert!(kinds.contains(&error.kind) && error.is_for_good(), "{what:?}: {error}");
                assert!(!error.to_string().contains("not a page"), "{what:?}: {error}");
            }
            let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
            let problem = line(&checks, "download").unwrap_err();
            assert!(problem.contains("files cannot be carried to Google"), "{what:?}: {problem}");
            assert!(!problem.contains("not a page"), "{what:?}: {problem}");
        }
        crm.jira.set_manners(Manners::default());
        let checks = crm.adapter.check(Needs::all(Visibility::Internal)).await;
        let expected = format!("attachment {} arrives whole, {} bytes", file.id, content.len());
        assert_eq!(line(&checks, "download").as_deref(), Ok(expected.as_str()));
        let download = crm.adapter.download(&id, &file).await.unwrap();
        let read: Vec<bytes::Bytes> = download.content.try_collect().await.unwrap();
        assert_eq!(read.concat(), content.as_bytes());
    }
}

#[tokio::test]
async fn a_file_whose_name_is_a_path_is_downloaded() {
    for crm in both().await {
        let id = crm.person_creates("t", "", true).await;
        for name in ["..", ".", "a/b", "a\\b", "%2e%2e", "?x=1#y", "x;y", "\u{e4}\u{1f600}"] {
            crm.person_attaches(&id, name, name.as_bytes()).await;
        }
        let files = crm.adapter.attachments(&id, None).await.unwrap();
        assert_eq!(files.len(), 8);
        for file in files {
            let download = crm.adapter.download(&id, &file).await.unwrap();
            let read: Vec<bytes::Bytes> = download.content.try_collect().await.unwrap();
            assert_eq!(read.concat(), file.filename.as_bytes(), "{:?}", file.filename);
        }
    }
}

// ---------------------------------------------------------------- clocks

#[tokio::test]
async fn a_search_reaches_back_by_jiras_clock_whatever_ours_says() {
    let decade = 10 * 366 * 24 * 60;
    for minutes in [0, 6, -6, 15, -15, 35, -35, 120, -120, decade, -decade] {
        for crm in both().await {
            let clock = ManualClock::at(noon() + Duration::minutes(minutes));
            let settings = JiraSettings {
                project: "SUP".to_owned(),
                deployment: match crm.jira.settings().deployment {
                    sandbox::Deployment::Cloud => Deployment::Cloud,
                    sandbox::Deployment::DataCenter => Deployment::DataCenter,
                },
                ..JiraSettings::default()
            };
            let home = crm.adapter.home().unwrap();
            let jira = connect(settings, usual_words(), home, Arc::new(NoCredentials), &clock);
            let old = crm.person_creates("old", "", true).await;
            crm.clock.advance(Duration::minutes(10));
            let id = crm.person_creates("new", "", true).await;
            crm.clock.advance(Duration::minutes(4));
            for since in [crm.clock.now() - Duration::minutes(5), noon() - Duration::hours(1)] {
                let sweep = jira.search_updated(since).await.unwrap();
                let mut found: Vec<String> = sweep.cases.into_iter().map(|case| case.id).collect();
                found.sort();
                let expected = if since > noon() { vec![id.clone()] } else { vec![old.clone(), id.clone()] };
                assert_eq!(found, expected, "our clock is {minutes} minutes ahead");
            }
        }
    }
}
