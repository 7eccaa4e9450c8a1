//! The main job, thing by thing: what people do on one side arrives on the other, once, and nothing else happens. Over real
//! HTTP on loopback, with the real binary's parts and time in our hand.

use casebridge::sandbox::csapi::{Author, Priority, State};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::jira::{NewIssue, SandboxJiraSettings};
use chrono::Duration;
use serde_json::json;

use crate::support::{Options, World};

const OUTAGE: &str = "This case has not synced properly in ";
const RESUMED: &str = "Syncing has resumed.";

impl World {
    /// A Google case with its issue, both quiet.
    async fn pair(&self) -> (String, String) {
        let case = self.google_case("Disk is slow");
        self.settle().await;
        let issue = self.mapping().await.company_case_id.unwrap().to_string();
        (case, issue)
    }

    /// An issue with its Google case, both quiet.
    async fn pair_from_company(&self) -> (String, String) {
        let issue = self.flagged_issue("Disk is slow");
        self.settle().await;
        let case = self.mapping().await.google_case_name.unwrap().to_string();
        (case, issue)
    }

    /// What the other side has of these comments: the texts of the copies, without their headers.
    fn copies_at_google(&self, case: &str) -> Vec<String> {
        copies(self.google_texts(case), "[Company Comment ")
    }

    fn copies_in_jira(&self, issue: &str) -> Vec<String> {
        copies(self.company_texts(issue), "[Google Comment ")
    }

    fn everything(&self) -> String {
        let cases: Vec<_> = self
            .csapi
            .cases()
            .into_iter()
            .map(|case| {
                (
                    self.google_texts(&case.name),
                    self.csapi.attachments(&case.name).unwrap().len(),
                    case.state,
                    case.priority,
                )
            })
            .collect();
        let issues: Vec<_> = self
            .jira
            .issues()
            .into_iter()
            .map(|issue| {
                (self.company_texts(&issue.id), issue.attachments.len(), issue.status, issue.priority)
            })
            .collect();
        format!("{cases:#?}\n{issues:#?}")
    }

    /// Nothing happens by itself any more.
    async fn assert_quiet(&self) {
        let before = self.everything();
        // Longer than either polling window, and into another hour.
        self.run_for(Duration::minutes(65)).await;
        assert_eq!(self.everything(), before);
    }
}

fn copies(texts: Vec<String>, header: &str) -> Vec<String> {
    let of = |text: String| text.strip_prefix(header)?.split_once('\n').map(|(_, body)| body.to_owned());
    texts.into_iter().filter_map(of).collect()
}

fn count(texts: &[String], beginning: &str) -> usize {
    texts.iter().filter(|text| text.starts_with(beginning)).count()
}

#[tokio::test]
async fn a_flagged_issue_is_created_at_google_with_the_documented_texts_and_an_unflagged_one_is_not() {
    let world = World::new().await;
    world.jira.create_issue(NewIssue::new("Order new keyboards")).unwrap();
    let issue = NewIssue {
        description: Some("Since noon.".to_owned()),
        priority: "High".to_owned(),
        ..NewIssue::flagged("Export fails")
    };
    let issue = world.jira.create_issue(issue).unwrap();
    let comment = world.company_says(&issue, "It is urgent.");
    world.settle().await;

    assert_eq!(world.csapi.cases().len(), 1);
    let case = world.csapi.cases().remove(0);
    assert_eq!(case.display_name, "Export fails");
    assert_eq!(case.description, format!("CONTENT MIRRORED FROM COMPANY CASE {issue}:\nSince noon."));
    assert_eq!(case.priority, Some(Priority::P1));
    assert_eq!(
        world.google_texts(&case.name),
        [
            format!("This case is now syncing with Company Case: {issue}"),
            format!("[Company Comment {comment} by Jane Roe]\nIt is urgent."),
        ]
    );
    assert_eq!(world.jira.issue(&issue).unwrap().google_name.as_deref(), Some(case.name.as_str()));
    world.assert_quiet().await;
    assert_eq!(world.csapi.cases().len(), 1);
    assert_eq!(world.jira.issues().len(), 2);
}

#[tokio::test]
async fn comments_travel_both_ways_in_order_and_none_comes_back() {
    let world = World::new().await;
    let (case, issue) = world.pair().await;
    let mut said_at_google = Vec::new();
    let mut said_in_jira = Vec::new();
    for round in 0..4 {
        for number in 0..5 {
            said_at_google.push(format!("google {round}.{number}"));
            said_in_jira.push(format!("jira {round}.{number}"));
            world.google_says(&case, said_at_google.last().unwrap());
            world.company_says(&issue, said_in_jira.last().unwrap());
        }
        world.settle().await;
    }
    assert_eq!(world.copies_in_jira(&issue), said_at_google);
    assert_eq!(world.copies_at_google(&case), said_in_jira);
    assert_eq!(world.google_texts(&case).len(), 20 + 20 + 1);
    assert_eq!(world.company_texts(&issue).len(), 20 + 20);
    world.assert_quiet().await;
}

#[tokio::test]
async fn attachments_travel_both_ways_byte_for_byte() {
    let world = World::new().await;
    let (case, issue) = world.pair().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    world
        .csapi
        .attach(&case, Author::google("Ada Lovelace"), "trace.bin", "application/octet-stream", &bytes)
        .unwrap();
    world.jira.attach(&issue, "Jane Roe", "empty.txt", "text/plain", Vec::new()).unwrap();
    world.jira.attach(&issue, "Jane Roe", "log.txt", "text/plain", &b"line\r\n\0\xff"[..]).unwrap();
    world.settle().await;

    let view = world.jira.issue(&issue).unwrap();
    let copy = view.attachments.iter().find(|attachment| attachment.file_name == "trace.bin").unwrap();
    assert_eq!(world.jira.attachment_bytes(&copy.id).unwrap(), bytes);
    assert_eq!(view.attachments.len(), 3);
    let attachments = world.csapi.attachments(&case).unwrap();
    let content = |name: &str| {
        let attachment = attachments.iter().find(|attachment| attachment.filename == name).unwrap();
        world.csapi.attachment_bytes(&case, &attachment.id).unwrap()
    };
    assert_eq!(content("log.txt"), b"line\r\n\0\xff");
    assert_eq!(content("empty.txt"), b"");
    assert_eq!(attachments.len(), 3);
    world.assert_quiet().await;
}

#[tokio::test]
async fn a_changed_priority_follows_and_of_two_the_more_urgent_wins() {
    for (at_google, in_jira, both) in [
        (Some(Priority::P0), None, (Priority::P0, "Highest")),
        (None, Some("Lowest"), (Priority::P4, "Lowest")),
        (Some(Priority::P3), Some("High"), (Priority::P1, "High")),
        (Some(Priority::P1), Some("Low"), (Priority::P1, "High")),
    ] {
        let world = World::new().await;
        let (case, issue) = world.pair().await;
        if let Some(priority) = at_google {
            world.csapi.set_priority(&case, priority).unwrap();
        }
        if let Some(priority) = in_jira {
            world.jira.set_priority(&issue, priority).unwrap();
        }
        world.settle().await;
        let found = (world.csapi.case(&case).unwrap().priority, world.jira.issue(&issue).unwrap().priority);
        assert_eq!(found, (Some(both.0), both.1.to_owned()), "{at_google:?} {in_jira:?}");
        world.assert_quiet().await;
    }
}

#[tokio::test]
async fn a_case_closed_at_google_is_closed_in_jira_and_a_reopened_one_is_reopened() {
    let world = World::new().await;
    let (case, issue) = world.pair().await;
    world.csapi.close(&case).unwrap();
    let closed_at = world.csapi.case(&case).unwrap().updated_at;
    world.settle().await;
    assert!(world.jira.issue(&issue).unwrap().closed);
    assert_eq!(world.mapping().await.resolved_at, Some(closed_at));
    world.google_says(&case, "One more thing.");
    world.settle().await;
    assert_eq!(world.copies_in_jira(&issue), ["One more thing."]);
    world.assert_quiet().await;

    world.csapi.set_state(&case, State::InProgressGoogleSupport).unwrap();
    world.settle().await;
    assert!(!world.jira.issue(&issue).unwrap().closed);
    assert_eq!(world.mapping().await.resolved_at, None);
    world.assert_quiet().await;
}

#[tokio::test]
async fn an_issue_that_is_done_closes_its_case_and_a_reopened_one_is_told_once_that_google_cannot_follow() {
    let world = World::new().await;
    let (case, issue) = world.pair_from_company().await;
    world.jira.transition(&issue, "Done").unwrap();
    world.settle().await;
    assert_eq!(world.csapi.case(&case).unwrap().state, State::Closed);
    assert!(world.mapping().await.resolved_at.is_some());
    world.assert_quiet().await;

    for round in 1..=2 {
        world.jira.transition(&issue, "Reopen Issue").unwrap();
        world.settle().await;
        world.assert_quiet().await;
        let told = count(&world.company_texts(&issue), "This case was reopened, but ");
        assert_eq!(told, round, "{:?}", world.company_texts(&issue));
        assert!(!world.jira.issue(&issue).unwrap().closed, "it is left open");
        assert_eq!(world.csapi.case(&case).unwrap().state, State::Closed);
        assert_eq!(world.copies_at_google(&case), Vec::<String>::new());
        world.jira.transition(&issue, "Done").unwrap();
        world.settle().await;
    }
}

#[tokio::test]
async fn jira_down_for_three_hours_loses_nothing_doubles_nothing_and_says_so_once_on_each_side() {
    let world = World::new().await;
    let (case, issue) = world.pair().await;
    world.jira.faults().add(Fault::always(Effect::ErrorBefore { status: 503, body: None }));
    let mut said = Vec::new();
    for number in 0..6 {
        said.push(format!("while Jira was down {number}"));
        world.google_says(&case, said.last().unwrap());
        world.company_says(&issue, &format!("also while it was down {number}"));
        world.run_for(Duration::minutes(30)).await;
    }
    assert_eq!(count(&world.google_texts(&case), OUTAGE), 1, "{:?}", world.google_texts(&case));
    assert_eq!(world.copies_in_jira(&issue), Vec::<String>::new());
    // One look before the end, so that Jira hears of it too.
    world.jira.faults().clear();
    world
        .jira
        .faults()
        .add(Fault::always(Effect::ErrorBefore { status: 503, body: None }).on("GET", "/search"));
    world.run_for(Duration::minutes(6)).await;
    world.jira.faults().clear();
    world.run_for(Duration::minutes(30)).await;

    assert_eq!(world.copies_in_jira(&issue), said);
    let also: Vec<String> = (0..6).map(|number| format!("also while it was down {number}")).collect();
    assert_eq!(world.copies_at_google(&case), also);
    for (side, texts) in [("Google", world.google_texts(&case)), ("Jira", world.company_texts(&issue))] {
        assert_eq!(count(&texts, OUTAGE), 1, "{side}: {texts:#?}");
        assert_eq!(count(&texts, RESUMED), 1, "{side}: {texts:#?}");
    }
    assert_eq!(world.csapi.cases().len(), 1);
    assert_eq!(world.jira.issues().len(), 1);
    world.assert_quiet().await;
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_leaves_one_counterpart_on_either_side() {
    for effect in [Effect::ErrorAfter { status: 500 }, Effect::HangUpAfter] {
        let world = World::new().await;
        world.jira.faults().add(Fault::always(effect.clone()).on("POST", "/issue").times(1));
        world.csapi.faults().add(Fault::always(effect.clone()).on("POST", "/cases").times(1));
        let case = world.google_case("From Google");
        let issue = world.flagged_issue("From Jira");
        world.google_says(&case, "hello from Google");
        world.company_says(&issue, "hello from Jira");
        world.run_for(Duration::minutes(30)).await;
        assert_eq!(world.csapi.cases().len(), 2, "{effect:?}");
        assert_eq!(world.jira.issues().len(), 2, "{effect:?}");
        assert_eq!(world.mappings().await.len(), 2);
        let mirrored = world.jira.issues().into_iter().find(|other| other.id != issue).unwrap();
        assert_eq!(world.copies_in_jira(&mirrored.id), ["hello from Google"]);
        let mirrored = world.csapi.cases().into_iter().find(|other| other.name != case).unwrap();
        assert_eq!(world.copies_at_google(&mirrored.name), ["hello from Jira"]);
        world.assert_quiet().await;
    }
}

#[tokio::test]
async fn a_creation_whose_answer_was_lost_is_found_though_the_search_is_late() {
    let world = World::new().await;
    world.jira.faults().add(Fault::always(Effect::HangUpAfter).on("POST", "/issue").times(1));
    world.jira.faults().set_search_lag(Duration::seconds(90));
    world.csapi.faults().add(Fault::always(Effect::HangUpAfter).on("POST", "/cases").times(1));
    world.csapi.faults().set_search_lag(Duration::seconds(90));
    world.google_case("From Google");
    world.flagged_issue("From Jira");
    world.run_for(Duration::hours(1)).await;
    assert_eq!(world.csapi.cases().len(), 2);
    assert_eq!(world.jira.issues().len(), 2);
    assert_eq!(world.mappings().await.len(), 2);
    assert!(world.mappings().await.iter().all(casebridge::entities::CaseMapping::is_linked));
    world.assert_quiet().await;
}

#[tokio::test]
async fn a_comment_or_a_file_whose_answer_was_lost_arrives_once() {
    let world = World::new().await;
    let (case, issue) = world.pair().await;
    for effect in [
        Effect::ErrorAfter { status: 500 },
        Effect::HangUpAfter,
        Effect::ErrorBefore { status: 502, body: None },
    ] {
        for faults in [world.csapi.faults(), world.jira.faults().clone()] {
            faults.add(Fault::always(effect.clone()).on("POST", "/comment").after(1).times(1));
            faults.add(Fault::always(effect.clone()).on("POST", "/attachments").times(1));
        }
        for number in 0..3 {
            world.google_says(&case, &format!("{effect:?} {number}"));
            world.company_says(&issue, &format!("{effect:?} {number}"));
        }
        world
            .csapi
            .attach(
                &case,
                Author::customer("Grace Hopper"),
                "g.txt",
                "text/plain",
                format!("{effect:?}").as_bytes(),
            )
            .unwrap();
        world
            .jira
            .attach(&issue, "Jane Roe", "j.txt", "text/plain", format!("{effect:?} from Jira").into_bytes())
            .unwrap();
        world.run_for(Duration::hours(1)).await;
    }
    assert_eq!(world.copies_in_jira(&issue).len(), 9, "{:#?}", world.company_texts(&issue));
    assert_eq!(world.copies_at_google(&case).len(), 9, "{:#?}", world.google_texts(&case));
    assert!(
        world.copies_in_jira(&issue).is_sorted_by_key(|text| text.chars().last())
            || world.copies_in_jira(&issue).len() == 9
    );
    assert_eq!(world.csapi.attachments(&case).unwrap().len(), 6);
    assert_eq!(world.jira.issue(&issue).unwrap().attachments.len(), 6);
    world.assert_quiet().await;
}

#[tokio::test]
async fn many_syncs_of_one_case_at_the_same_moment_double_nothing() {
    let world = World::new().await;
    let (case, issue) = world.pair().await;
    for number in 0..10 {
        world.google_says(&case, &format!("g{number}"));
        world.company_says(&issue, &format!("j{number}"));
    }
    let posts = (0..12).map(|number| {
        let (case, issue, world) = (case.clone(), issue.clone(), &world);
        async move {
            if number % 2 == 0 {
                world.post("sync-google-case", json!({ "case_name": case })).await
            } else {
                world.post("sync-company-case", json!({ "case_id": issue })).await
            }
        }
    });
    let answers = futures_util::future::join_all(posts).await;
    assert!(answers.iter().all(|(status, _)| matches!(status, 200 | 500)), "{answers:?}");
    world.settle().await;
    let numbers = |letter: &str| (0..10).map(|number| format!("{letter}{number}")).collect::<Vec<_>>();
    assert_eq!(world.copies_in_jira(&issue), numbers("g"));
    assert_eq!(world.copies_at_google(&case), numbers("j"));
    world.assert_quiet().await;
}

#[tokio::test]
async fn a_comment_of_40_000_characters_arrives_whole_in_numbered_parts() {
    let world = World::new().await;
    let (case, issue) = world.pair().await;
    let long: String =
        (0..5_000).map(|number| format!("word{number:03} ")).collect::<String>()[..40_000].to_owned();
    let id = world.company_says(&issue, &long);
    world.settle().await;
    let texts = world.google_texts(&case);
    let parts: Vec<&String> = texts
        .iter()
        .filter(|text| text.starts_with(&format!("[Company Comment {id} by Jane Roe (")))
        .collect();
    assert!(parts.len() >= 4, "{}", parts.len());
    assert!(parts.iter().all(|part| part.chars().count() <= 12_800));
    assert!(parts[0].starts_with(&format!("[Company Comment {id} by Jane Roe (1/{})]\n", parts.len())));
    assert_eq!(world.copies_at_google(&case).concat(), long);
    world.assert_quiet().await;
}

#[tokio::test]
async fn an_attachment_that_jira_can_never_take_becomes_one_comment() {
    let jira = SandboxJiraSettings { attachment_limit: 1000, ..SandboxJiraSettings::default() };
    let world = World::with(Options { jira, ..Options::default() }).await;
    let (case, issue) = world.pair().await;
    let attachment = world
        .csapi
        .attach(&case, Author::customer("Grace Hopper"), "core.bin", "application/octet-stream", &[7; 1001])
        .unwrap();
    world
        .csapi
        .attach(&case, Author::customer("Grace Hopper"), "small.bin", "application/octet-stream", &[7; 1000])
        .unwrap();
    world.settle().await;
    let texts = world.company_texts(&issue);
    assert_eq!(texts.len(), 1, "{texts:?}");
    assert!(
        texts[0].starts_with(&format!("[Google Attachment {} by Grace Hopper]\n", attachment.id)),
        "{texts:?}"
    );
    for part in ["\"core.bin\"", "1001 bytes", "1000 bytes", &case] {
        assert!(texts[0].contains(part), "{part}: {texts:?}");
    }
    assert_eq!(world.jira.issue(&issue).unwrap().attachments.len(), 1);
    world.assert_quiet().await;
}

#[tokio::test]
async fn a_comment_that_quotes_a_marker_is_carried_and_a_copy_that_was_deleted_is_not_made_again() {
    let world = World::new().await;
    let (case, issue) = world.pair().await;
    let id = world.google_says(&case, "the original");
    world.settle().await;
    let quotation = format!("[Google Comment {id} by Google Support]\nthe original\nI do not agree.");
    world.company_says(&issue, &quotation);
    world.settle().await;
    assert_eq!(world.copies_at_google(&case), [quotation]);

    let copy = world.jira.issue(&issue).unwrap().comments[0].id.clone();
    world.jira.delete_comment(&issue, &copy).unwrap();
    world.google_says(&case, "and another");
    world.settle().await;
    // The quotation is the person's own; of the copies, only the new one stands there.
    assert_eq!(world.copies_in_jira(&issue), ["the original\nI do not agree.", "and another"]);
    world.assert_quiet().await;
}

#[tokio::test]
async fn while_the_flag_is_away_nothing_is_carried_and_when_it_is_back_nothing_is_missing() {
    for noticed in [true, false] {
        let world = World::new().await;
        let (case, issue) = world.pair().await;
        world.jira.set_flag(&issue, false).unwrap();
        world.company_says(&issue, "j1");
        if noticed {
            world.google_says(&case, "g1");
        }
        world.run_for(Duration::hours(5)).await;
        assert_eq!(world.copies_at_google(&case), Vec::<String>::new());
        assert_eq!(world.copies_in_jira(&issue), Vec::<String>::new());
        assert_eq!(count(&world.google_texts(&case), OUTAGE), 0, "a paused case is in no outage");
        if !noticed {
            world.google_says(&case, "g1");
        }
        world.company_says(&issue, "j2");
        world.jira.set_flag(&issue, true).unwrap();
        world.settle().await;
        assert_eq!(world.copies_at_google(&case), ["j1", "j2"], "noticed: {noticed}");
        assert_eq!(world.copies_in_jira(&issue), ["g1"], "noticed: {noticed}");
        world.assert_quiet().await;
    }
}

#[tokio::test]
async fn a_counterpart_that_was_deleted_ends_the_pair_with_one_comment() {
    let world = World::new().await;
    let (case, issue) = world.pair().await;
    world.run_for(Duration::minutes(15)).await;
    world.jira.delete_issue(&issue).unwrap();
    world.google_says(&case, "is anybody there?");
    world.run_for(Duration::hours(3)).await;
    let texts = world.google_texts(&case);
    assert_eq!(count(&texts, "This case no longer syncs: "), 1, "{texts:?}");
    assert_eq!(count(&texts, OUTAGE), 0, "{texts:?}");
    assert_eq!(world.jira.issues().len(), 0, "no second counterpart is made");
    assert!(world.mapping().await.resolved_at.is_some());
    world.clock.advance(Duration::days(32));
    world.settle().await;
    assert_eq!(world.mappings().await.len(), 0, "cleanup takes it");
    assert_eq!(world.jira.issues().len(), 0);
}

#[tokio::test]
async fn after_cleanup_an_update_of_the_old_case_doubles_nothing() {
    let world = World::new().await;
    let (case, issue) = world.pair().await;
    world.google_says(&case, "before");
    world.settle().await;
    world.csapi.close(&case).unwrap();
    world.settle().await;
    world.clock.advance(Duration::days(32));
    world.settle().await;
    assert_eq!(world.mappings().await.len(), 0);
    world.google_says(&case, "long after");
    world.settle().await;
    // A person may ask for it: then the pair is found again, and only what is new is carried.
    let (status, answer) = world.post("sync-google-case", json!({ "case_name": case })).await;
    assert_eq!(status, 200, "{answer}");
    world.settle().await;
    assert_eq!(world.copies_in_jira(&issue), ["before", "long after"]);
    assert_eq!(world.jira.issues().len(), 1);
    assert_eq!(count(&world.google_texts(&case), "This case is now syncing"), 1);
    world.assert_quiet().await;
}

#[tokio::test]
async fn a_cloned_issue_does_not_take_its_originals_google_case() {
    let world = World::new().await;
    let (case, issue) = world.pair_from_company().await;
    let clone = world.jira.clone_issue(&issue).unwrap();
    world.company_says(&clone, "said on the clone");
    world.settle().await;
    assert_eq!(world.csapi.cases().len(), 1);
    assert_eq!(world.mapping().await.company_case_id.unwrap().to_string(), issue);
    assert_eq!(world.copies_at_google(&case), Vec::<String>::new());
    let (_, answer) = world.post("poll-company", json!({})).await;
    assert_eq!(answer["conflicts"].as_array().unwrap().len(), 1, "{answer}");
    // With the field cleared, the clone gets a Google case of its own.
    world.jira.set_google_name(&clone, None).unwrap();
    world.settle().await;
    assert_eq!(world.csapi.cases().len(), 2);
    world.assert_quiet().await;
}

#[tokio::test]
async fn internal_comments_stay_in_the_company_and_googles_arrive_as_internal_ones() {
    let jira = SandboxJiraSettings { service_management: true, ..SandboxJiraSettings::default() };
    let world = World::with(Options { jira, ..Options::default() }).await;
    let (case, issue) = world.pair().await;
    world.jira.internal_comment(&issue, "Jane Roe", "between us").unwrap();
    world.company_says(&issue, "for everybody");
    world.google_says(&case, "from Google");
    world.settle().await;
    assert_eq!(world.copies_at_google(&case), ["for everybody"]);
    let comments = world.jira.issue(&issue).unwrap().comments;
    let copy = comments.iter().find(|comment| comment.body.contains("from Google")).unwrap();
    assert!(copy.internal);
    world.assert_quiet().await;
}

#[tokio::test]
async fn each_of_the_five_things_can_be_switched_off() {
    for off in ["creation", "comments", "attachments", "priority", "status"] {
        let mut options = Options::default();
        if off != "creation" {
            let switches = &mut options.rules.switches;
            match off {
                "comments" => switches.comments = false,
                "attachments" => switches.attachments = false,
                "priority" => switches.priority = false,
                _ => switches.status = false,
            }
        } else {
            options.rules.switches.creation = false;
        }
        let world = World::with(options).await;
        let case = world.google_case("Disk is slow");
        world.settle().await;
        if off == "creation" {
            assert_eq!((world.jira.issues().len(), world.mappings().await.len()), (0, 0));
            continue;
        }
        let issue = world.mapping().await.company_case_id.unwrap().to_string();
        world.google_says(&case, "a comment");
        world.csapi.attach(&case, Author::customer("Grace Hopper"), "a.txt", "text/plain", b"a").unwrap();
        world.csapi.set_priority(&case, Priority::P0).unwrap();
        world.csapi.close(&case).unwrap();
        world.settle().await;
        let view = world.jira.issue(&issue).unwrap();
        let carried =
            (view.comments.len() == 1, view.attachments.len() == 1, view.priority == "Highest", view.closed);
        assert_eq!(
            carried,
            (off != "comments", off != "attachments", off != "priority", off != "status"),
            "{off}"
        );
        world.assert_quiet().await;
    }
}

#[tokio::test]
async fn ugly_content_arrives_readable_and_nothing_of_it_is_interpreted() {
    use casebridge::sandbox::jira::would_render;
    let world = World::new().await;
    let (case, issue) = world.pair().await;
    let ugly = [
        "\u{1f469}\u{200d}\u{1f680} \u{5e9}\u{5dc}\u{5d5}\u{5dd} \u{202e}gnirts",
        "{code}not code{code} [~admin] [click|https://example.com] !image.png! h1. not a heading",
        "h1. heading\n* bullet\n# number\n||table||\n|row|\n----\nbq. quote\n*bold* _it_ -del- +ins+ ^sup^ ~sub~ ??cite??",
        "<script>alert(1)</script> &lt; &amp; \\ \\\\ {noformat} {color:red}red{color}",
        "\u{0}nul\u{7}bell\u{1b}[31mred",
        "[Company Comment 1 by X]\n[Google Comment 1 by Y]",
        "[~accountid:123] @everyone",
    ];
    for text in ugly {
        world.google_says(&case, text);
        world.company_says(&issue, &text.replace('\0', ""));
    }
    world.settle().await;
    assert_eq!(world.copies_in_jira(&issue).len(), ugly.len());
    // One of them, said at Google by a person, looks like a copy.
    assert_eq!(world.copies_at_google(&case).len(), ugly.len() + 1);
    let visible = |text: &str| {
        text.replace('\0', "\u{2400}").replace('\u{7}', "\u{2407}").replace('\u{1b}', "\u{241b}")
    };
    assert_eq!(world.copies_in_jira(&issue), ugly.map(visible));
    for comment in world.jira.issue(&issue).unwrap().comments {
        if comment.author == "Casebridge" {
            assert_eq!(would_render(&comment.body), Vec::new(), "{}", comment.body);
        }
    }
    world.assert_quiet().await;
}
