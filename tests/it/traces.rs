//! Traces that the service exports: what they show of a sync, what they may not hold, and that a collector which is down or hangs holds up
//! nothing. `tests/clients.rs` sends them through a real collector.

use casebridge_testkit::service::until;
use casebridge_testkit::traces::{Receiver, Traced, assert_the_sync_is_one_trace};

/// Lines about the delivery of traces.
fn about_delivery(lines: &[String]) -> Vec<&String> {
    lines.iter().filter(|line| line.contains("delivered")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_is_one_trace_that_continues_its_callers_and_holds_no_content() {
    let receiver = Receiver::default();
    let endpoint = receiver.start().await;
    let service = Traced::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;
    let synced = service.sync().await;
    assert_eq!(service.told(), 0, "other people's systems are not told of a trace");
    // What is not sent yet is sent at the end.
    let lines = service.stop().await;
    assert_the_sync_is_one_trace(&receiver, &synced);
    assert_eq!(about_delivery(&lines), Vec::<&String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_exported_and_nothing_said_of_it_without_a_collector() {
    let service = Traced::start(&[("OTEL_SERVICE_NAME", "casebridge")]).await;
    service.sync().await;
    let lines = service.stop().await;
    assert!(!lines.iter().any(|line| line.contains("traces")), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_refuses_is_logged_once_and_once_more_when_it_takes_traces_again() {
    let receiver = Receiver::default();
    receiver.refuse(true);
    let endpoint = receiver.start().await;
    let service =
        Traced::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "10")]).await;
    service.sync().await;
    for requests in [3, 4, 5] {
        service.task("cleanup", String::new()).await;
        until("another batch is refused", || receiver.requests() >= requests).await;
    }
    receiver.refuse(false);
    service.task("cleanup", String::new()).await;
    until("a batch is taken", || !receiver.spans().is_empty()).await;
    let lines = service.stop().await;
    let [failed, again] = about_delivery(&lines)[..] else { panic!("two lines: {lines:#?}") };
    assert!(failed.contains("it answers 400") && again.contains("again"), "{failed}\n{again}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_hangs_holds_up_neither_a_sync_nor_the_end_of_the_service() {
    // Takes connections, and reads nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let service = Traced::start(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "10"),
        // Longer than any test may take.
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "86400000"),
        // Fewer than a sync has.
        ("OTEL_BSP_MAX_QUEUE_SIZE", "4"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2"),
    ])
    .await;
    service.sync().await;
    let lines = service.stop().await;
    let [failed] = about_delivery(&lines)[..] else { panic!("one line: {lines:#?}") };
    assert!(failed.contains("were not taken in time"), "{failed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_not_there_is_logged_once() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("http://{gone}");
    let service =
        Traced::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "10")]).await;
    service.sync().await;
    service.task("cleanup", String::new()).await;
    let lines = service.stop().await;
    let [failed] = about_delivery(&lines)[..] else { panic!("one line: {lines:#?}") };
    assert!(failed.contains("cannot connect") && failed.contains(&endpoint), "{failed}");
}
