//! Whatever a system answers, each call of its client ends with a result or a clear error, in time, without a panic.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use casebridge::cases::ApiError;
use casebridge::clock::SystemClock;
use casebridge::config::SecretRef;
use casebridge::entities::{MappingId, Priority, PriorityReading};
use casebridge::outbound::{NoCredentials, RetryPolicy, Upstream, UpstreamSettings};
use casebridge::queue::cloud_tasks::{CloudTasksOptions, CloudTasksQueue};
use casebridge::queue::{QueuedTask, TaskName, TaskQueue as _};
use casebridge::secrets::SecretManager;
use casebridge::store::{DEFAULT_DATABASE, DatabaseLocation, DatastoreStore, MappingFilter, Store as _};
use casebridge::tasks::TaskKind;
use casebridge::telemetry::Metrics;
use proptest::prelude::*;
use serde_json::json;

use crate::spoil::{How, Spoil};
use crate::subjects::{Kind, open};
use crate::{cases, panics, run, spoil};

fn survives(kind: Kind, spoils: Vec<Spoil>) {
    panics::watch();
    run(async {
        let subject = open(kind).await;
        subject.spoiler.begin(spoils);
        subject.exercise().await;
    });
    panics::assert_none();
}

/// What the random cases rest on: unspoilt, every call succeeds, so that spoiling reaches all of them.
#[test]
fn unspoilt_every_call_of_every_client_succeeds() {
    for kind in Kind::ALL {
        run(async {
            let subject = open(kind).await;
            let log = subject.exercise().await;
            // CSAPI cannot reopen.
            let failed: Vec<&String> = log
                .iter()
                .filter(|line| {
                    line.contains(" failed: ") && !(kind == Kind::Csapi && line.starts_with("reopen"))
                })
                .collect();
            assert_eq!(failed, Vec::<&String>::new(), "{kind:?}: {log:#?}");
            assert!(log.iter().any(|line| line.starts_with("download: 5")), "{kind:?}: {log:#?}");
            assert!(log.iter().any(|line| line.starts_with("get found: Some")), "{kind:?}: {log:#?}");
            assert!(subject.spoiler.answers() >= 15, "{kind:?}");
        });
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn spoilt_answers_of_csapi_are_survived(spoils in spoil::spoils(25)) {
        survives(Kind::Csapi, spoils);
    }

    #[test]
    fn spoilt_answers_of_jira_cloud_are_survived(spoils in spoil::spoils(40)) {
        survives(Kind::JiraCloud, spoils);
    }

    #[test]
    fn spoilt_answers_of_jira_data_center_are_survived(spoils in spoil::spoils(40)) {
        survives(Kind::JiraDataCenter, spoils);
    }

    #[test]
    fn spoilt_answers_of_zendesk_are_survived(spoils in spoil::spoils(40)) {
        survives(Kind::Zendesk, spoils);
    }

    #[test]
    fn spoilt_answers_of_servicenow_are_survived(spoils in spoil::spoils(50)) {
        survives(Kind::ServiceNow, spoils);
    }

    #[test]
    fn spoilt_answers_of_request_tracker_are_survived(spoils in spoil::spoils(60)) {
        survives(Kind::RequestTracker, spoils);
    }

    #[test]
    fn spoilt_answers_of_cloud_tasks_and_secret_manager_are_survived(spoils in spoil::spoils(6)) {
        panics::watch();
        run(google(spoils));
        panics::assert_none();
    }
}

async fn google(spoils: Vec<Spoil>) {
    let router = axum::Router::new().fallback(|request: axum::extract::Request| async move {
        axum::Json(if request.uri().path().ends_with(":access") {
            json!({ "name": "projects/p/secrets/s/versions/1", "payload": { "data": "czNjcmV0", "dataCrc32c": "2226635138" } })
        } else {
            json!({ "name": "projects/p/locations/l/queues/q/tasks/t", "state": "RUNNING", "rateLimits": {}, "retryConfig": {} })
        })
    });
    let (server, spoiler) = spoil::serve(router).await;
    spoiler.begin(spoils);
    let upstream = |name| {
        let settings = UpstreamSettings {
            name,
            base_url: server.url.clone(),
            requests_per_minute: NonZeroU32::new(1_000_000).unwrap(),
            timeout: Duration::from_secs(2),
            retry: RetryPolicy {
                attempts: 2,
                first_pause: Duration::from_millis(1),
                longest_pause: Duration::from_millis(5),
            },
            download_hosts: Vec::new(),
        };
        Upstream::new(settings, Arc::new(NoCredentials), Arc::new(SystemClock), Metrics::shared()).unwrap()
    };
    let options = CloudTasksOptions {
        project: "p".to_owned(),
        location: "l".to_owned(),
        service: None,
        dispatch_deadline: Duration::from_secs(60),
    };
    let queue = CloudTasksQueue::new(Arc::new(upstream("Cloud Tasks")), options);
    for name in [None, Some(TaskName::random(TaskKind::PollGoogle))] {
        let task = QueuedTask { kind: TaskKind::PollGoogle, body: json!({}), name, not_before: None };
        let outcome = tokio::time::timeout(Duration::from_secs(20), queue.enqueue(task)).await;
        assert_clear(outcome.expect("queueing ends").err().map(|error| error.to_string()));
    }
    for check in tokio::time::timeout(Duration::from_secs(60), queue.check()).await.expect("checking ends") {
        assert_clear(check.result().err());
    }
    let manager = SecretManager::new(upstream("Secret Manager"));
    let reference: SecretRef = "secret://projects/p/secrets/s/versions/1".parse().unwrap();
    let outcome = tokio::time::timeout(Duration::from_secs(20), reference.resolve(Some(&manager))).await;
    assert_clear(outcome.expect("reading ends").err().map(|error| error.to_string()));
}

fn assert_clear(error: Option<String>) {
    if let Some(error) = error {
        assert!(!error.is_empty() && error.len() < 4_000, "{} bytes", error.len());
        assert!(!error.contains(|c: char| c.is_control()), "{error:?}");
    }
}

proptest! {
    // A store waits between its tries.
    #![proptest_config(cases(8))]

    #[test]
    fn spoilt_answers_of_datastore_are_survived(spoils in spoil::spoils(8)) {
        panics::watch();
        run(datastore(spoils));
        panics::assert_none();
    }
}

/// Datastore as it answers where nothing is kept yet.
async fn datastore(spoils: Vec<Spoil>) {
    let router = axum::Router::new().fallback(|request: axum::extract::Request| async move {
        let path = request.uri().path().to_owned();
        let answer = match path.rsplit(':').next() {
            Some("lookup") => json!({ "found": [], "missing": [{ "entity": { "key": {} } }], "readTime": "2026-11-24T09:00:00Z" }),
            Some("runQuery") => json!({ "batch": { "entityResults": [], "moreResults": "NO_MORE_RESULTS", "endCursor": "Cg==" } }),
            Some("beginTransaction") => json!({ "transaction": "dA==" }),
            Some("allocateIds") => json!({ "keys": [{
                "partitionId": { "projectId": "p" }, "path": [{ "kind": "CaseMapping", "id": "5629499534213120" }],
            }] }),
            _ => json!({ "mutationResults": [{ "version": "1" }], "indexUpdates": 1 }),
        };
        axum::Json(answer)
    });
    let (server, spoiler) = spoil::serve(router).await;
    spoiler.begin(spoils);
    let at = DatabaseLocation {
        project: "p".to_owned(),
        database: DEFAULT_DATABASE.to_owned(),
        emulator: Some(server.url.authority().to_owned()),
    };
    let store = DatastoreStore::new(at, Arc::new(NoCredentials)).unwrap();
    let longest = Duration::from_mins(2);
    for outcome in [
        tokio::time::timeout(longest, store.check()).await.expect("checking ends").map(drop),
        tokio::time::timeout(longest, store.global()).await.expect("reading ends").map(drop),
        tokio::time::timeout(longest, store.get(MappingId(1))).await.expect("getting ends").map(drop),
        tokio::time::timeout(longest, store.list(MappingFilter::All, None, 10))
            .await
            .expect("listing ends")
            .map(drop),
    ] {
        if let Err(error) = outcome {
            let error = error.to_string();
            assert!(!error.is_empty() && error.len() < 4_000, "{} bytes: {error:.300}", error.len());
        }
    }
}

/// A lookup that puts everything off is no lookup, however often it is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_that_is_put_off_for_ever_comes_to_an_end() {
    let put_off = json!({ "deferred": [{
        "partitionId": { "projectId": "p" }, "path": [{ "kind": "CaseMapping", "id": "1" }],
    }] });
    let server =
        casebridge_testkit::scripted::Scripted::answers(vec![casebridge_testkit::scripted::Say::json(
            &put_off.to_string(),
        )])
        .await;
    let at = DatabaseLocation {
        project: "p".to_owned(),
        database: DEFAULT_DATABASE.to_owned(),
        emulator: Some(server.url.authority().to_owned()),
    };
    let store = DatastoreStore::new(at, Arc::new(NoCredentials)).unwrap();
    let outcome = tokio::time::timeout(Duration::from_secs(20), store.get(MappingId(1))).await;
    let error = outcome.expect("it ends").unwrap_err().to_string();
    assert!(error.contains("put off"), "{error}");
    assert!(server.asked().len() < 5, "{} lookups", server.asked().len());
}

/// A time at the end of the calendar, for which there is no second later.
#[tokio::test(flavor = "multi_thread")]
async fn a_time_at_the_end_of_the_calendar_is_no_end_of_the_program() {
    for kind in Kind::ALL {
        for time in [
            "+262142-12-31T23:59:59.999999Z",
            "+262142-12-31T23:59:59.999+0000",
            "+262142-12-31 23:59:59",
            "-262143-01-01T00:00:00.000+0000",
            "-262143-01-01 00:00:00",
            "9999-12-31T23:59:59.999999999Z",
            "0000-01-01T00:00:00+14:00",
        ] {
            let subject = open(kind).await;
            // All times of the sandboxes are of this day.
            subject.spoiler.begin(always(How::Text { from: "\"2026-11-24".to_owned(), to: time.to_owned() }));
            let log = subject.exercise().await;
            assert!(log.len() > 10, "{kind:?} {time}: {log:#?}");
        }
    }
}

/// A priority that is as far from every other as numbers go.
#[tokio::test(flavor = "multi_thread")]
async fn a_priority_beyond_all_numbers_is_read_as_the_nearest() -> Result<(), ApiError> {
    for (priority, level) in [("-9223372036854775808", Priority::P4), ("9223372036854775807", Priority::P0)] {
        let subject = open(Kind::RequestTracker).await;
        subject.spoiler.begin(always(How::Text { from: "\"50\"".to_owned(), to: priority.to_owned() }));
        let case = subject.system.get("1").await?.unwrap();
        assert_eq!(case.priority, PriorityReading::exactly(level), "{priority}");
    }
    Ok(())
}

fn always(how: How) -> Vec<Spoil> {
    vec![Spoil { at: 0, times: 1_000_000, how, place: 0 }]
}
