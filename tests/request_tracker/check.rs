//! `casebridge check` against set-ups that are wrong: each failure says what to change, and where.

use std::sync::Arc;

use casebridge::cases::{CaseSystem as _, Check, Needs, Visibility};
use casebridge::clock::SystemClock;
use casebridge::crm::request_tracker::RequestTrackerSettings;
use casebridge::entities::GooglePlacement;
use casebridge::sync::{CompanyConditions, CompanyRoute, Pattern, Placing};
use casebridge::tasks::check_routes;

use crate::server::{Server, Slot};

/// A queue with an open and a closed ticket, set up as documented.
async fn ready(server: &Server) -> Slot {
    let slot = server.slot();
    let jane = server.jane();
    jane.creates(&slot.queue, "open", "", false).await;
    let closed = jane.creates(&slot.queue, "closed", "", false).await;
    jane.sets_status(&closed, "resolved").await;
    slot
}

async fn checked(server: &Server, slot: &Slot, settings: RequestTrackerSettings) -> Vec<Check> {
    checked_for(server, slot, settings, Needs::all(Visibility::Internal)).await
}

async fn checked_for(
    server: &Server,
    slot: &Slot,
    settings: RequestTrackerSettings,
    needs: Needs,
) -> Vec<Check> {
    server.adapter_with(slot, settings, Arc::new(SystemClock)).check(needs).await
}

fn failures(checks: &[Check]) -> Vec<String> {
    let failed = checks.iter().filter_map(|check| check.result().err().map(|error| (check, error)));
    failed.map(|(check, error)| format!("{}: {error}", check.what)).collect()
}

#[tokio::test]
async fn a_set_up_as_documented_passes_with_everything_tried_that_can_be() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let slot = ready(server).await;
    let jane = server.jane();
    let open = jane.creates(&slot.queue, "with files", "", false).await;
    jane.attaches(&open, true, "large.bin", &[7; 5000]).await;
    let small = jane.attaches(&open, true, "small.bin", b"small").await;
    jane.writes(&open, false, "text/plain", "among us").await;
    let checks = checked(server, &slot, Server::settings(&slot)).await;
    assert_eq!(failures(&checks), Vec::<String>::new());
    let found: Vec<&str> = checks.iter().map(|check| check.detail.as_str()).collect();
    for expected in ["CreateTicket", "has the value true", "holds one line of text", "CommentOnTicket"] {
        assert!(found.contains(&expected), "{expected}: {found:?}");
    }
    for part in [
        "leads from open to resolved",
        "leads from resolved to open",
        "understood; 0 tickets",
        "no ticket has another",
        &format!(
            "Comment is internal, Correspond and Create are public; 1 and 3 of the newest on ticket {open}"
        ),
        &format!("attachment {small} of ticket {open}: 5 bytes"),
    ] {
        assert!(found.iter().any(|found| found.contains(part)), "{part}: {found:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_seen_is_not_called_wrong() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    // A queue without tickets, and the right to see fields on the queue alone.
    let slot = server.slot();
    server
        .alter(&slot, "for ($flag, $name) { revoke('SeeCustomField', $_) } grant('SeeCustomField', $queue)");
    let checks = checked(server, &slot, Server::settings(&slot)).await;
    assert_eq!(failures(&checks), Vec::<String>::new());
    let untried = checks.iter().filter(|check| check.result().unwrap().contains("not tried")).count();
    assert_eq!(untried, 7, "{checks:#?}");
}

#[tokio::test]
async fn each_failure_says_what_to_change_and_where() {
    type Change = fn(RequestTrackerSettings) -> RequestTrackerSettings;
    let same: Change = |settings| settings;
    let cases: [(&str, Change, &str, &str); 17] = [
        ("revoke('SeeQueue', $queue)", same, "queue Support", "grant the connector's user SeeQueue"),
        (
            "revoke('CreateTicket', $queue)",
            same,
            "right to create tickets",
            "grant CreateTicket on the queue",
        ),
        ("must($queue->SetDisabled(1))", same, "right to create tickets", "enable it"),
        ("revoke('ShowTicket', $queue)", same, "", ""),
        (
            "revoke('CommentOnTicket', $queue)",
            same,
            "right to comment",
            "lacks CommentOnTicket; grant it on the queue",
        ),
        ("revoke('ModifyTicket', $queue)", same, "closing", "ModifyTicket on the queue"),
        ("must($flag->RemoveFromObject($queue))", same, "field synchronize", "has no custom field"),
        ("revoke('SeeCustomField', $name)", same, "field custom_field_google_name", "grant SeeCustomField"),
        (
            "replace_field($flag, Name => 'free', Type => 'FreeformSingle')",
            |settings| RequestTrackerSettings { flag_field: "free".to_owned(), ..settings },
            "field free",
            "\"Select one value\"",
        ),
        (
            "replace_field($flag, Name => 'several', Type => 'SelectMultiple')",
            |settings| RequestTrackerSettings { flag_field: "several".to_owned(), ..settings },
            "field several",
            "\"Select one value\"",
        ),
        (
            "replace_field($name, Name => 'wide', Type => 'Text')",
            |settings| RequestTrackerSettings { google_name_field: "wide".to_owned(), ..settings },
            "field wide",
            "\"Enter one value\"",
        ),
        (
            "1",
            |settings| RequestTrackerSettings { flag_value: "yes".to_owned(), ..settings },
            "field synchronize",
            "company.request-tracker.flag_value",
        ),
        (
            "1",
            |settings| RequestTrackerSettings { queue: "Nowhere".to_owned(), ..settings },
            "queue Nowhere",
            "company.request-tracker.queue",
        ),
        (
            "1",
            |settings| RequestTrackerSettings { user: "jane".to_owned(), ..settings },
            "user jane",
            "company.request-tracker.user has to be the name of the user whose token it is",
        ),
        (
            "1",
            |settings| RequestTrackerSettings {
                close_status: "done".to_owned(),
                closed_statuses: vec!["resolved".to_owned(), "done".to_owned()],
                ..settings
            },
            "closing",
            "company.request-tracker.close_status",
        ),
        (
            "1",
            |settings| RequestTrackerSettings {
                close_status: "rejected".to_owned(),
                closed_statuses: vec!["rejected".to_owned()],
                ..settings
            },
            "statuses that are closed",
            "counts as open; add resolved to company.request-tracker.closed_statuses",
        ),
        (
            "1",
            |settings| RequestTrackerSettings { reopen_status: "reopened".to_owned(), ..settings },
            "opening again",
            "company.request-tracker.reopen_status",
        ),
    ];
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    for (wrong, change, what, advice) in cases {
        let slot = ready(server).await;
        server.alter(&slot, wrong);
        let checks = checked(server, &slot, change(Server::settings(&slot))).await;
        let failures = failures(&checks);
        if what.is_empty() {
            // Tickets that may not be seen look like none.
            assert!(
                checks.iter().any(|check| check.result().is_ok_and(|found| found.contains("ShowTicket"))),
                "{checks:#?}"
            );
            continue;
        }
        let said = failures.iter().find(|failure| failure.contains(&format!("Request Tracker: {what}")));
        let said = said.unwrap_or_else(|| panic!("{wrong}: {what}: {checks:#?}"));
        assert!(said.contains(advice), "{wrong}: {said}");
    }
}

#[tokio::test]
async fn only_what_is_needed_is_asked_for() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let slot = ready(server).await;
    server.alter(&slot, "revoke('ReplyToTicket', $queue)");
    let settings = || Server::settings(&slot);
    let internal = Needs::all(Visibility::Internal);
    assert_eq!(failures(&checked_for(server, &slot, settings(), internal).await), Vec::<String>::new());
    let public = checked_for(server, &slot, settings(), Needs::all(Visibility::Public)).await;
    let failures = failures(&public);
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert!(
        failures[0]
            .contains("right to reply: the connector's user lacks ReplyToTicket; grant it on the queue")
    );
}

#[tokio::test]
async fn without_cases_to_create_or_to_close_those_rights_are_not_needed() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let slot = ready(server).await;
    server.alter(&slot, "revoke('CreateTicket', $queue); revoke('ModifyTicket', $queue)");
    let all = Needs::all(Visibility::Internal);
    let few = Needs { creation: false, status: false, ..all };
    assert_eq!(
        failures(&checked_for(server, &slot, Server::settings(&slot), few).await),
        Vec::<String>::new()
    );
    assert_eq!(failures(&checked_for(server, &slot, Server::settings(&slot), all).await).len(), 3);
}

#[tokio::test]
async fn a_wrong_token_and_a_wrong_address_are_told_apart() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let slot = server.slot();
    let wrong = Slot { token: "1-23-0123456789abcdef0123456789abcdef".to_owned(), ..slot.clone() };
    let checks = checked(server, &wrong, Server::settings(&wrong)).await;
    assert_eq!(checks.len(), 1);
    assert!(failures(&checks)[0].contains("company.request-tracker.token"), "{checks:#?}");
    let checks = server.adapter_at(&slot, "/elsewhere").check(Needs::all(Visibility::Internal)).await;
    assert_eq!(checks.len(), 1);
    assert!(failures(&checks)[0].contains("company.base_url"), "{checks:#?}");
}

/// Request Tracker removes hidden queues after it has cut a page, and the first hundred are others' here.
#[tokio::test]
async fn a_queue_that_a_route_names_is_found_behind_a_hundred_hidden_ones() {
    let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
    let slot = server.slot_behind_a_hundred();
    let adapter = server.adapter(&slot);
    for (name, expected) in
        [(slot.queue.to_lowercase(), None), ("Nobody's".to_owned(), Some("there is no queue \"nobody's\""))]
    {
        let conditions =
            CompanyConditions { project: vec![Pattern::new(&name)], ..CompanyConditions::default() };
        let route = CompanyRoute { conditions, placement: GooglePlacement::default() };
        let checks = check_routes(&adapter, &[route].into_iter().collect(), &Placing::default()).await;
        let failed = failures(&checks);
        match expected {
            None => assert_eq!(failed, Vec::<String>::new(), "{name}"),
            Some(words) => {
                assert!(failed[0].contains(words) && failed[0].contains(&slot.queue), "{failed:?}");
            }
        }
    }
}
