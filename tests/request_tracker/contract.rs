//! The suite that all CRMs share, and Request Tracker's own traps.

use std::time::Duration;

use async_trait::async_trait;
use casebridge::cases::{ApiErrorKind, CaseSystem, NewAttachment, NewCase, NewComment, Visibility};
use casebridge::clock::{Clock as _, SystemClock};
use casebridge::crm::request_tracker::RequestTracker;
use casebridge::entities::{Priority, PriorityReading};
use chrono::{DateTime, Utc};
use serde_json::json;

use crate::crm::{self as suite, CrmUnderTest, crm_contract};
use crate::server::{Person, Server, Slot};

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
async fn a_ticket_that_was_merged_into_another_is_gone() {
    let crm = running().await;
    let first = crm.person_creates("first", "", true).await;
    let second = crm.person_creates("second", "", true).await;
    crm.jane.changes(&first, json!({ "MergeInto": second })).await;
    assert_eq!(crm.adapter.get(&first).await.unwrap(), None);
    assert!(crm.adapter.get(&second).await.unwrap().is_some());
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
    };
    for _ in 0..3 {
        let error = adapter.create(&case(5)).await.unwrap_err();
        assert_eq!(error.kind, ApiErrorKind::Uncertain, "{error}");
        for part in ["grant the connector's user ModifyCustomField", "Permission Denied"] {
            assert!(error.message.contains(part), "{error}");
        }
        assert_eq!(adapter.find_counterpart("organizations/1/cases/5", None).await.unwrap(), None);
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
