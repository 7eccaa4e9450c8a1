//! The suite that all CRMs share, and Request Tracker's own traps.

use std::time::Duration;

use async_trait::async_trait;
use casebridge::cases::{
    Annotated, Annotation, ApiErrorKind, CaseLink, CaseSystem, Closing, Comment, Download, NewAttachment,
    NewCase, NewComment, Placement, Visibility,
};
use casebridge::clock::{Clock as _, SystemClock};
use casebridge::crm::request_tracker::{RequestTracker, RequestTrackerSettings};
use casebridge::entities::{Priority, PriorityReading};
use casebridge::telemetry::Metrics;
use chrono::{DateTime, TimeDelta, TimeZone as _, Utc};
use futures_util::TryStreamExt as _;
use serde_json::json;

use crate::server::{Person, Server, Slot};
use casebridge_testkit::contract::crm::{self as suite, CrmUnderTest, crm_contract};

crm_contract!(suite, running());

/// A queue of its own on the shared server.
struct Running {
    adapter: RequestTracker,
    jane: Person,
    slot: Slot,
}

async fn running() -> Running {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let slot = server.slot();
    Running { adapter: server.adapter(&slot), jane: server.jane(), slot }
}

#[async_trait]
impl CrmUnderTest for Running {
    fn system(&self) -> &dyn CaseSystem {
        &self.adapter
    }

    async fn tick(&self) {
        // Its times are whole seconds: less would leave two things at one time.
        tokio::time::sleep(Duration::from_millis(2100)).await;
    }

    fn now(&self) -> DateTime<Utc> {
        SystemClock.now()
    }

    fn unknown_case(&self) -> String {
        "99999999".to_owned()
    }

    async fn person_creates(&self, title: &str, description: &str, flagged: bool) -> String {
        self.jane.creates(&self.slot.queue, title, description, flagged).await
    }

    async fn person_comments(&self, case: &str, body: &str, visibility: Visibility) -> String {
        self.jane.writes(case, visibility == Visibility::Public, "text/plain", body).await
    }

    async fn person_attaches(&self, case: &str, filename: &str, content: &[u8]) -> String {
        self.jane.attaches(case, true, filename, content).await
    }

    async fn person_flags(&self, case: &str, flagged: bool) {
        self.jane.flags(case, flagged).await;
    }

    async fn person_sets_priority(&self, case: &str, priority: Priority) {
        self.jane.sets_priority(case, priority).await;
    }

    async fn person_closes(&self, case: &str) {
        self.jane.sets_status(case, "resolved").await;
    }

    async fn person_deletes(&self, case: &str) {
        self.jane.sets_status(case, "deleted").await;
    }

    async fn kept(&self, _case: &str, attachment: &str) -> Option<Vec<u8>> {
        Some(self.jane.content(attachment).await)
    }

    async fn interpreted(&self, case: &str) -> Vec<String> {
        // Request Tracker shows plain text as it is; what it shows otherwise is of another type.
        let parts = self.jane.parts(case).await.into_iter();
        let others = parts.filter(|part| part["ContentType"] != "text/plain" && part["Content"] != "");
        others.map(|part| part["ContentType"].to_string()).collect()
    }

    fn more_cases_than_a_page(&self) -> usize {
        105
    }

    fn more_comments_than_a_page(&self) -> usize {
        105
    }
}

#[tokio::test]
async fn what_people_write_in_the_editor_is_read_as_plain_text() {
    let crm = running().await;
    let id = crm.person_creates("rich", "", true).await;
    let html = "<p>It &lt;fails&gt;<br>again</p><p>See <b>log</b></p>";
    crm.jane.writes(&id, true, "text/html", html).await;
    let comments = crm.adapter.comments(&id, None).await.unwrap();
    let bodies: Vec<&str> = comments.iter().map(|comment| comment.body.as_str()).collect();
    assert_eq!(bodies, ["It <fails>\nagain\n\nSee log"]);
    assert_eq!(comments[0].author, "Jane Roe");
}

#[tokio::test]
async fn a_priority_between_two_numbers_is_the_nearest() {
    let crm = running().await;
    let id = crm.person_creates("escalating", "", true).await;
    for (number, priority) in [(99, Priority::P0), (80, Priority::P1), (12, Priority::P4), (13, Priority::P3)]
    {
        crm.jane.changes(&id, json!({ "Priority": number })).await;
        let case = crm.adapter.get(&id).await.unwrap().unwrap();
        assert_eq!(case.priority, PriorityReading::exactly(priority), "{number}");
    }
}

#[tokio::test]
async fn a_ticket_that_was_merged_names_the_one_that_it_was_merged_into_and_takes_nothing() {
    let crm = running().await;
    let (first, second) =
        (crm.person_creates("first", "d", true).await, crm.person_creates("second", "d", true).await);
    let ours = NewComment {
        body: "ours".to_owned(),
        visibility: Visibility::Internal,
        idempotency_key: String::new(),
    };
    let written = crm.adapter.add_comment(&first, &ours).await.unwrap().id;
    let file = crm.jane.attaches(&first, true, "a.txt", b"a").await;
    crm.jane.changes(&first, json!({ "MergeInto": second })).await;

    let gone = crm.adapter.get(&first).await.unwrap().unwrap();
    assert_eq!((gone.id.as_str(), gone.title.as_str()), (first.as_str(), "first"));
    assert_eq!(
        (gone.closed, gone.closing, gone.merged_into),
        (true, Some(Closing::Merged), Some(second.clone()))
    );
    assert!(gone.synchronize, "its own flag is still there");
    let stays = crm.adapter.get(&second).await.unwrap().unwrap();
    assert_eq!((stays.closed, stays.closing, stays.merged_into), (false, None, None));

    // What stood on it has moved, and is called as before.
    let moved = crm.adapter.comments(&second, None).await.unwrap();
    assert!(
        moved.iter().any(|comment| comment.id == written && comment.by_connector == Some(true)),
        "{moved:?}"
    );
    let files = crm.adapter.attachments(&second, None).await.unwrap();
    assert!(files.iter().any(|found| found.id == file), "{files:?}");

    // RT would put it on the ticket that stays.
    let before = crm.jane.parts(&second).await.len();
    let error = crm.adapter.add_comment(&first, &ours).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::NotFound, "{error}");
    assert!(error.message.contains(&format!("merged into ticket {second}")), "{error}");
    for error in [
        crm.adapter.close(&first).await.unwrap_err(),
        crm.adapter.set_priority(&first, Priority::P0).await.unwrap_err(),
    ] {
        assert_eq!(error.kind, ApiErrorKind::NotFound, "{error}");
    }
    assert_eq!(crm.jane.parts(&second).await.len(), before);

    crm.jane.sets_status(&second, "deleted").await;
    assert_eq!(crm.adapter.get(&first).await.unwrap(), None, "nothing is left of either");
}

/// Merging changes no time of the ticket that goes, so that no window would ever show it.
#[tokio::test]
async fn a_search_tells_of_a_merged_ticket_however_old_it_is_and_of_the_other_one_a_poll_later() {
    let crm = running().await;
    let first = crm.person_creates("first", "", true).await;
    crm.tick().await;
    let second = crm.person_creates("second", "", false).await;
    let since = crm.jane.updated_at(&second).await;
    let third = crm.person_creates("third", "", true).await;
    crm.jane.changes(&first, json!({ "MergeInto": second })).await;
    crm.jane.flags(&second, true).await;
    let told = async || {
        let sweep = crm.adapter.search_updated(since).await.unwrap();
        assert_eq!(sweep.skipped, Vec::<String>::new());
        let mut found: Vec<_> = sweep.cases.into_iter().map(|case| (case.id, case.closed)).collect();
        found.sort_by_key(|(id, _)| id.parse::<u64>().unwrap());
        found
    };
    let all = [(first.clone(), true), (second.clone(), false), (third.clone(), false)];
    assert_eq!(told().await, [all[0].clone(), all[2].clone()], "first the one that goes");
    assert_eq!(told().await, all);
    assert_eq!(told().await, all);
    assert_eq!(told().await, all[1..], "nobody asked for so old a ticket");
}

#[tokio::test]
async fn the_status_says_how_a_ticket_was_closed() {
    let crm = running().await;
    let id = crm.person_creates("closed", "", true).await;
    for (status, closing) in [
        ("resolved", Some(Closing::Solved)),
        ("open", None),
        ("rejected", Some(Closing::Cancelled)),
        ("stalled", None),
    ] {
        crm.jane.sets_status(&id, status).await;
        let case = crm.adapter.get(&id).await.unwrap().unwrap();
        assert_eq!((case.closing, case.closed), (closing, closing.is_some()), "{status}");
    }
}

#[tokio::test]
async fn a_ticket_says_who_made_it_where_it_lies_and_where_people_find_it() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let crm = running().await;
    let since = SystemClock.now() - TimeDelta::seconds(5);
    let theirs = crm.person_creates("theirs", "", true).await;
    let new = NewCase {
        title: "ours".to_owned(),
        description: String::new(),
        priority: None,
        counterpart: "organizations/1/cases/5".to_owned(),
        idempotency_key: String::new(),
        placement: Placement::default(),
        google: casebridge::entities::GooglePlacement::default(),
    };
    let ours = crm.adapter.create(&new).await.unwrap().id;
    let home = server.home();
    assert_eq!(crm.adapter.home(), Some(home.as_str()));
    let sweep = crm.adapter.search_updated(since).await.unwrap();
    for (id, by_connector) in [(&theirs, false), (&ours, true)] {
        let case = crm.adapter.get(id).await.unwrap().unwrap();
        assert_eq!(case.by_connector, Some(by_connector), "{id}");
        assert_eq!(case.scope, Some(crm.slot.queue.clone()));
        assert_eq!(case.address, Some(format!("{home}/Ticket/Display.html?id={id}")));
        let found = sweep.cases.iter().find(|found| found.id == *id).unwrap();
        assert_eq!((found.by_connector, &found.scope), (case.by_connector, &case.scope));
    }
    assert_eq!(crm.adapter.any_case(None).await.unwrap(), Some(ours.clone()));
    assert_eq!(crm.adapter.any_case(Some(&ours)).await.unwrap(), Some(theirs));
}

#[tokio::test]
async fn what_people_call_a_ticket_is_understood_and_another_systems_address_is_refused() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let crm = running().await;
    let id = crm.person_creates("called so", "", false).await;
    let home = server.home();
    for reference in [
        id.clone(),
        format!(" #{id} "),
        format!("000{id}"),
        format!("{home}/Ticket/Display.html?id={id}"),
        format!("{home}/Ticket/Display.html?TicketType=x&id={id}#txn-7"),
        format!("{home}/SelfService/Display.html?id={id}"),
        format!("{home}/REST/2.0/ticket/{id}"),
    ] {
        let found = crm.adapter.resolve(&reference).await.unwrap();
        assert_eq!(found.map(|found| found.id), Some(id.clone()), "{reference}");
    }
    assert_eq!(crm.adapter.resolve("99999999").await.unwrap(), None);
    for (reference, said) in [
        (format!("https://rt.other.example/Ticket/Display.html?id={id}"), "is of rt.other.example"),
        (
            format!("https{}/Ticket/Display.html?id={id}", home.strip_prefix("http").unwrap()),
            "is of 127.0.0.1",
        ),
        (format!("{home}/Search/Results.html?Query=x"), "names no ticket"),
        ("SUP-1".to_owned(), "no ticket is called so"),
        (String::new(), "no ticket is called so"),
        ("0".to_owned(), "no ticket is called so"),
    ] {
        let error = crm.adapter.resolve(&reference).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Refused, "{reference}: {error}");
        assert!(error.message.contains(said), "{reference}: {error}");
    }
}

#[tokio::test]
async fn the_connectors_user_is_named_and_anybody_else_is_an_error_that_says_what_to_do() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let crm = running().await;
    crm.adapter.identify().await.unwrap();
    let other = server.slot();
    let clock = || std::sync::Arc::new(SystemClock);
    let settings =
        |user: &str| RequestTrackerSettings { user: user.to_owned(), ..Server::settings(&crm.slot) };
    let wrong = Slot { token: "1-23-0123456789abcdef0123456789abcdef".to_owned(), ..crm.slot.clone() };
    for (adapter, said) in [
        (server.adapter_with(&crm.slot, settings(&other.user), clock()), "the token is another user's"),
        (
            server.adapter_with(&crm.slot, settings("nobody-is-called-so"), clock()),
            "company.request-tracker.user",
        ),
        (server.adapter(&wrong), "company.request-tracker.token"),
    ] {
        let error = adapter.identify().await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Unauthorized, "{error}");
        assert!(error.to_string().contains(said), "{said}: {error}");
    }
    server.alter(&crm.slot, "must($user->SetName('somebody-' . $user->Id))");
    let error = crm.adapter.identify().await.unwrap_err();
    assert!(error.message.contains("there is no user"), "its token is still good: {error}");
    server.alter(&other, "must($user->SetDisabled(1))");
    for error in [
        server.adapter(&other).identify().await.unwrap_err(),
        server.adapter(&other).search_updated(SystemClock.now()).await.unwrap_err(),
    ] {
        assert_eq!((error.kind, error.status), (ApiErrorKind::Unauthorized, Some(401)), "{error}");
    }
}

#[tokio::test]
async fn a_right_that_is_taken_away_shows_wherever_request_tracker_lets_it() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let crm = running().await;
    let id = crm.person_creates("seen", "", true).await;
    let file = crm.jane.attaches(&id, true, "a.txt", b"a").await;
    let since = SystemClock.now() - TimeDelta::minutes(5);
    let listed = crm.adapter.attachments(&id, None).await.unwrap().remove(0);
    assert_eq!(listed.id, file);
    server.alter(&crm.slot, "revoke('ShowTicket', $queue)");
    // The search says nothing of it: its total counts what may be seen.
    let sweep = crm.adapter.search_updated(since).await.unwrap();
    assert_eq!((sweep.cases.len(), sweep.identified), (0, false));
    assert_eq!(crm.adapter.any_case(None).await.unwrap(), None);
    let error = crm.adapter.get(&id).await.unwrap_err();
    assert_eq!((error.kind, error.status), (ApiErrorKind::Unauthorized, Some(403)), "{error}");
    assert!(error.to_string().contains("grant ShowTicket on its queue"), "{error}");
    let error = crm.adapter.download(&id, &listed).await.err().unwrap();
    assert!(error.status == Some(403) && error.is_for_good(), "{error}");
    server.alter(&crm.slot, "grant('ShowTicket', $queue)");
    assert_eq!(crm.adapter.search_updated(since).await.unwrap().cases.len(), 1);
    for field in ["flag", "name"] {
        // A ticket is found by a field that it does not show.
        server.alter(&crm.slot, &format!("revoke('SeeCustomField', ${field})"));
        for error in
            [crm.adapter.search_updated(since).await.unwrap_err(), crm.adapter.get(&id).await.unwrap_err()]
        {
            assert_eq!(error.kind, ApiErrorKind::Unauthorized, "{error}");
            assert!(error.message.contains("SeeCustomField"), "{error}");
        }
        server.alter(&crm.slot, &format!("grant('SeeCustomField', ${field})"));
    }
    server.alter(&crm.slot, "revoke('SeeQueue', $queue)");
    assert_eq!(crm.adapter.search_updated(since).await.unwrap().cases.len(), 1, "tickets show all the same");
}

#[tokio::test]
async fn on_a_queue_without_the_fields_a_ticket_takes_no_part_and_is_no_error() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let (crm, other) = (running().await, server.slot());
    server.alter(
        &crm.slot,
        &format!(
            "my $o = RT::Queue->new($system); must($o->Load('{}')); grant($_, $o) for qw(SeeQueue ShowTicket); \
             must($_->RemoveFromObject($o)) for $flag, $name",
            other.queue
        ),
    );
    let id = crm.person_creates("moved", "", true).await;
    let since = SystemClock.now() - TimeDelta::minutes(5);
    crm.jane.changes(&id, json!({ "Queue": other.queue })).await;
    assert!(!crm.adapter.get(&id).await.unwrap().unwrap().synchronize);
    let sweep = crm.adapter.search_updated(since).await.unwrap();
    assert_eq!(sweep.cases.len(), 0);
    assert!(sweep.skipped[0].contains("does not show the custom field"), "{sweep:?}");
}

/// Request Tracker would read "3700 seconds ago" as the year 3700, and "1500 seconds ago" as eight in the evening.
#[tokio::test]
async fn however_far_a_search_looks_back_it_finds_what_was_updated_since() {
    let crm = running().await;
    let id = crm.person_creates("found", "", true).await;
    let updated = crm.jane.updated_at(&id).await;
    for seconds in [10, 1_380, 1_800, 3_580, 9_000, 200_000] {
        let since = updated - TimeDelta::seconds(seconds);
        let found = crm.adapter.search_updated(since).await.unwrap();
        assert_eq!(found.cases.len(), 1, "{seconds} seconds back");
        assert_eq!(found.cases[0].id, id);
    }
    let later = SystemClock.now() + TimeDelta::minutes(1);
    assert_eq!(crm.adapter.search_updated(later).await.unwrap().cases.len(), 0);
}

#[tokio::test]
async fn a_file_that_is_gone_is_not_found_though_request_tracker_calls_it_an_error_of_its_own() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let crm = running().await;
    let id = crm.person_creates("files", "", true).await;
    // First the one that goes: SQLite gives the ID of the last row that is deleted to the next, which is another test's.
    let shredded = crm.jane.attaches(&id, true, "shredded.bin", b"shredded").await;
    let kept = crm.jane.attaches(&id, true, "kept.bin", b"kept").await;
    let listed = crm.adapter.attachments(&id, None).await.unwrap();
    assert_eq!(listed.len(), 2);
    server.alter(
        &crm.slot,
        &format!("my $a = RT::Attachment->new($system); must($a->Load({shredded})); must($a->Delete)"),
    );
    for file in &listed {
        let read = async |download: Download| -> Vec<u8> {
            let pieces: Vec<_> = download.content.try_collect().await.unwrap();
            pieces.concat()
        };
        match crm.adapter.download(&id, file).await {
            Ok(download) => {
                assert_eq!((file.id.as_str(), read(download).await), (kept.as_str(), b"kept".to_vec()));
            }
            Err(error) => {
                assert_eq!(file.id, shredded);
                assert!(error.kind == ApiErrorKind::NotFound && error.is_for_good(), "{error}");
            }
        }
    }
    assert_eq!(crm.adapter.attachments(&id, None).await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_a_right_is_missing_for_is_refused_for_good_and_said_in_request_trackers_words() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let crm = running().await;
    let id = crm.person_creates("read-only", "", true).await;
    let file = || NewAttachment {
        filename: "a.bin".to_owned(),
        media_type: None,
        size: Some(1),
        content: Box::pin(futures_util::stream::iter([Ok(vec![b'x'].into())])),
        visibility: Visibility::Internal,
        idempotency_key: String::new(),
    };
    let comment =
        |visibility| NewComment { body: "x".to_owned(), visibility, idempotency_key: String::new() };
    server.alter(&crm.slot, "revoke($_, $queue) for qw(ModifyTicket CommentOnTicket ReplyToTicket)");
    for error in [
        crm.adapter.set_priority(&id, Priority::P0).await.unwrap_err(),
        crm.adapter.close(&id).await.unwrap_err(),
        crm.adapter.add_comment(&id, &comment(Visibility::Internal)).await.unwrap_err(),
        crm.adapter.add_comment(&id, &comment(Visibility::Public)).await.unwrap_err(),
        crm.adapter.upload(&id, file()).await.unwrap_err(),
    ] {
        assert!(error.is_for_good() && !error.may_have_happened(), "{error:?}");
        assert!(error.message.contains("Permission Denied"), "{error}");
    }
    crm.jane.sets_status(&id, "deleted").await;
    let error = crm.adapter.add_comment(&id, &comment(Visibility::Internal)).await.unwrap_err();
    assert!(error.kind == ApiErrorKind::NotFound && error.message.contains("deleted"), "{error}");
}

/// An upload that is not shown cannot be known for ours: it would be made at every try.
#[tokio::test]
async fn without_the_right_to_see_comments_a_file_is_attached_once_and_is_found_when_the_right_is_there() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let crm = running().await;
    let id = crm.person_creates("files", "", true).await;
    let file = |visibility| NewAttachment {
        filename: "a.bin".to_owned(),
        media_type: None,
        size: Some(1),
        content: Box::pin(futures_util::stream::iter([Ok(vec![b'x'].into())])),
        visibility,
        idempotency_key: String::new(),
    };
    server.alter(&crm.slot, "revoke('ShowTicketComments', $queue)");
    let error = crm.adapter.upload(&id, file(Visibility::Internal)).await.unwrap_err();
    assert!(error.kind == ApiErrorKind::Uncertain, "{error}");
    for _ in 0..2 {
        let error = crm.adapter.upload(&id, file(Visibility::Internal)).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Unauthorized, "{error}");
        assert!(error.message.contains("grant the connector's user ShowTicketComments"), "{error}");
        assert!(!error.is_for_good(), "it waits for the right");
    }
    crm.adapter.upload(&id, file(Visibility::Public)).await.unwrap();
    server.alter(&crm.slot, "grant('ShowTicketComments', $queue)");
    let files = crm.adapter.attachments(&id, None).await.unwrap();
    assert_eq!(files.len(), 2, "{files:?}");
    crm.adapter.upload(&id, file(Visibility::Internal)).await.unwrap();
}

#[tokio::test]
async fn a_ticket_that_is_made_and_may_not_be_seen_is_made_once() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let crm = running().await;
    server.alter(&crm.slot, "revoke('ShowTicket', $queue)");
    let case = NewCase {
        title: "unseen".to_owned(),
        description: "d".to_owned(),
        priority: Some(Priority::P1),
        counterpart: "organizations/1/cases/5".to_owned(),
        idempotency_key: String::new(),
        placement: Placement::default(),
        google: casebridge::entities::GooglePlacement::default(),
    };
    let made = crm.adapter.create(&case).await.unwrap();
    let ticket = crm.jane.ticket(&made.id).await;
    assert_eq!((&ticket["Subject"], &ticket["Priority"]), (&json!("unseen"), &json!("75")));
    assert_eq!(made.by_connector, Some(true));
    server.alter(&crm.slot, "grant('ShowTicket', $queue)");
    let seen = crm.adapter.get(&made.id).await.unwrap().unwrap();
    let times = |case: &casebridge::cases::Case| (case.created_at, case.updated_at);
    assert_eq!(times(&made), (None, None));
    // What the queue gave it is not known.
    let unknown = casebridge::cases::Case { created_at: None, updated_at: None, status: Vec::new(), ..seen };
    assert_eq!(unknown, made);
}

/// Rows are taken off pages that were cut before, and nobody says how many there are.
#[tokio::test]
async fn where_pages_are_thinned_out_an_empty_one_is_not_the_end() {
    let server =
        tokio::task::spawn_blocking(|| Server::with(2, "Set($UseSQLForACLChecks, 0);")).await.unwrap();
    let (slot, hidden) = (server.slot(), server.slot());
    let jane = server.jane();
    let since = SystemClock.now() - TimeDelta::minutes(5);
    let name = json!({ "CustomFields": { "custom_field_google_name": "organizations/1/cases/5" } });
    let old = jane.creates(&slot.queue, "below", "", true).await;
    jane.changes(&old, name.clone()).await;
    // More than a page of what may not be seen lies before it and behind it.
    server.alter(
        &hidden,
        "for (1..105) { must(RT::Ticket->new($system)->Create(Queue => $queue, Subject => 'hidden', \
         'CustomField-' . $flag->Id => 'true')) }",
    );
    let adapter = server.adapter(&slot);
    let ids =
        |sweep: casebridge::cases::Sweep| sweep.cases.into_iter().map(|case| case.id).collect::<Vec<_>>();
    assert_eq!(ids(adapter.search_updated(since).await.unwrap()), std::slice::from_ref(&old));
    let above = jane.creates(&slot.queue, "above", "", true).await;
    let mut found = ids(adapter.search_updated(since).await.unwrap());
    found.sort();
    assert_eq!(found, [old, above]);
    let checks = adapter.check(casebridge::cases::Needs::all(Visibility::Internal)).await;
    let search = checks.iter().find(|check| check.what.contains("search for flagged cases")).unwrap();
    assert!(search.result().unwrap_err().contains("$UseSQLForACLChecks"), "{search:?}");
}

/// In these hours Request Tracker takes "60 seconds ago" for a time that lies ahead.
#[tokio::test]
async fn in_the_hours_after_summer_time_began_what_is_updated_is_found() {
    let server = tokio::task::spawn_blocking(|| Server::start(1)).await.unwrap();
    let slot = server.slot();
    server.stop();
    // An hour and ten minutes after it began in New York, where this one is.
    server.resume_at("@2026-03-08 08:10:00");
    let id = server.jane().creates(&slot.queue, "in spring", "", true).await;
    let adapter = server.adapter(&slot);
    for (hour, minute, found) in [(8, 5, 1), (6, 0, 1), (0, 0, 1), (9, 0, 0)] {
        let since = Utc.with_ymd_and_hms(2026, 3, 8, hour, minute, 0).unwrap();
        let sweep = adapter.search_updated(since).await.unwrap();
        assert_eq!(sweep.cases.len(), found, "{since}");
        assert!(sweep.cases.iter().all(|case| case.id == id));
    }
    assert!(adapter.clock_skew().is_some());
}

#[tokio::test]
async fn a_reply_of_ours_leaves_a_closed_ticket_closed_and_one_of_a_person_opens_it() {
    let crm = running().await;
    let id = crm.person_creates("closed", "", true).await;
    for status in ["rejected", "resolved"] {
        crm.jane.sets_status(&id, status).await;
        let comment = NewComment {
            body: "late".to_owned(),
            visibility: Visibility::Public,
            idempotency_key: String::new(),
        };
        crm.adapter.add_comment(&id, &comment).await.unwrap();
        assert_eq!(crm.jane.ticket(&id).await["Status"], status);
        crm.jane.writes(&id, true, "text/plain", "not solved").await;
        assert!(!crm.adapter.get(&id).await.unwrap().unwrap().closed);
    }
}

#[tokio::test]
async fn without_the_right_to_set_fields_one_ticket_is_made_and_is_completed_when_the_right_is_there() {
    let server = tokio::task::spawn_blocking(|| Server::start(1)).await.unwrap();
    let slot = server.slot();
    server.alter(&slot, "revoke('ModifyCustomField', $_) for $flag, $name");
    let adapter = server.adapter(&slot);
    let case = |number: u32| NewCase {
        title: " A  title".to_owned(),
        description: "CONTENT MIRRORED FROM GOOGLE SUPPORT:\nA description.".to_owned(),
        priority: None,
        counterpart: format!("organizations/1/cases/{number}"),
        idempotency_key: String::new(),
        placement: Placement::default(),
        google: casebridge::entities::GooglePlacement::default(),
    };
    for _ in 0..3 {
        let error = adapter.create(&case(5)).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Uncertain, "{error}");
        for part in ["grant the connector's user ModifyCustomField", "Permission Denied"] {
            assert!(error.message.contains(part), "{error}");
        }
        assert_eq!(adapter.find_counterparts("organizations/1/cases/5", None).await.unwrap(), []);
    }
    server.stop();
    server.alter(&slot, "grant('ModifyCustomField', $_) for $flag, $name");
    server.resume();
    let made = adapter.create(&case(5)).await.unwrap();
    assert_eq!((made.synchronize, made.counterpart.as_deref()), (true, Some("organizations/1/cases/5")));
    // The same text for another Google case is another ticket.
    let other = adapter.create(&case(6)).await.unwrap();
    assert_ne!(made.id, other.id);
    let all = server.jane().get("/tickets?query=id%3E0").await;
    assert_eq!(all["items"].as_array().unwrap().len(), 2, "{all}");
}

#[tokio::test]
async fn what_is_refused_with_200_is_an_error_that_says_why() {
    let crm = running().await;
    let id = crm.person_creates("depends", "", true).await;
    let other = crm.person_creates("blocker", "", true).await;
    crm.jane.changes(&id, json!({ "DependsOn": other })).await;
    let error = crm.adapter.close(&id).await.unwrap_err();
    assert_eq!(error.kind, ApiErrorKind::Refused, "{error}");
    assert!(error.message.contains("Request Tracker says"), "{error}");
    crm.jane.sets_status(&other, "resolved").await;
    crm.adapter.close(&id).await.unwrap();
}

#[tokio::test]
async fn a_file_that_request_tracker_cuts_or_drops_is_not_taken_for_carried() {
    for how in ["TruncateLongAttachments", "DropLongAttachments"] {
        let lines = format!("Set($MaxAttachmentSize, 1000); Set(${how}, 1);");
        let server = tokio::task::spawn_blocking(move || Server::with(1, &lines)).await.unwrap();
        let slot = server.slot();
        let adapter = server.adapter(&slot);
        let id = server.jane().creates(&slot.queue, "files", "", true).await;
        let of = |size: usize| NewAttachment {
            filename: "a.bin".to_owned(),
            media_type: None,
            size: Some(size as u64),
            content: Box::pin(futures_util::stream::iter([Ok(vec![b'x'; size].into())])),
            visibility: Visibility::Internal,
            idempotency_key: String::new(),
        };
        let error = adapter.upload(&id, of(1001)).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Unacceptable, "{how}: {error}");
        adapter.upload(&id, of(1000)).await.unwrap();
    }
}

#[tokio::test]
async fn a_ticket_refers_to_its_google_case_once_and_keeps_its_other_links() {
    let rt = running().await;
    let other = rt.jane.creates(&rt.slot.queue, "Another", "", false).await;
    let id = rt.jane.creates(&rt.slot.queue, "The disk is full", "", true).await;
    rt.jane.changes(&id, json!({ "RefersTo": [other, "https://example.com/manual"] })).await;
    let address = "https://console.cloud.google.com/support/cases/detail/v2/42?organizationId=1";
    let link = Annotation::Link(CaseLink {
        name: "organizations/1/cases/42".to_owned(),
        number: "42".to_owned(),
        address: address.to_owned(),
        title: None,
        closed: false,
    });
    for _ in 0..2 {
        assert_eq!(rt.adapter.annotate(&id, &link).await.unwrap(), Annotated::Done);
        let ticket = rt.jane.get(&format!("/ticket/{id}")).await;
        let links = ticket["_hyperlinks"].as_array().unwrap().iter();
        let links: Vec<&str> = links
            .filter(|link| link["ref"] == "refers-to")
            .filter_map(|link| link["_url"].as_str())
            .collect();
        assert_eq!(links.len(), 3, "{links:?}");
        assert!(links.contains(&address) && links.contains(&"https://example.com/manual"), "{links:?}");
        assert!(links.iter().any(|link| link.ends_with(&format!("/ticket/{other}"))), "{links:?}");
    }
    // A link is no message: nothing of it is carried.
    assert_eq!(rt.adapter.comments(&id, None).await.unwrap(), []);
    let label = Annotation::Label { label: "x".to_owned(), present: true };
    assert_eq!(rt.adapter.annotate(&id, &label).await.unwrap_err().kind, ApiErrorKind::Unsupported);
}

/// Counts the calls for a ticket with few messages. The parts of visible messages are read by ID, with one call for texts and one for files:
/// none of them can be hidden. The history takes three, since a listing that may hide items ends only after two empty pages.
#[tokio::test]
async fn a_short_ticket_is_read_in_five_calls() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let (slot, jane, metrics) = (server.slot(), server.jane(), Metrics::shared());
    let adapter = server.counted_adapter(&slot, metrics.clone());
    let ticket = jane.creates(&slot.queue, "Five calls", "the first message", false).await;
    for number in 1..=3 {
        jane.writes(&ticket, true, "text/plain", &format!("reply {number}")).await;
    }
    jane.attaches(&ticket, true, "log.txt", b"all of it").await;
    let calls = || {
        let text = metrics.render();
        let counts = text.lines().filter(|line| line.starts_with("casebridge_upstream_calls_total{"));
        counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap()).sum::<u32>()
    };
    let before = calls();
    let content = adapter.content(&ticket, None).await.unwrap();
    assert_eq!((content.comments.len(), content.attachments.len()), (3, 1));
    assert_eq!(calls() - before, 5);
    // The ticket, the transaction that created it, which is remembered, and the text of that.
    for expected in [3, 2] {
        let before = calls();
        assert_eq!(adapter.get(&ticket).await.unwrap().unwrap().description, "the first message");
        assert_eq!(calls() - before, expected);
    }
}

#[tokio::test]
async fn the_messages_of_a_long_ticket_are_all_read() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let (slot, jane) = (server.slot(), server.jane());
    let adapter = server.adapter(&slot);
    let ticket = jane.creates(&slot.queue, "Long", "the first message", false).await;
    // One more than are asked for by ID, and one more.
    for number in 1..=41 {
        jane.writes(&ticket, number % 2 == 0, "text/plain", &format!("message {number}")).await;
        if number >= 39 {
            let content = adapter.content(&ticket, None).await.unwrap();
            assert_eq!(content.comments.len(), number);
            let expected = |comment: &Comment| comment.body == format!("message {number}");
            assert!(content.comments.iter().any(expected), "{number}");
        }
    }
}
