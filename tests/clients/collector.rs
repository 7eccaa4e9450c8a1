//! Rotel, a collector for OpenTelemetry (<https://github.com/streamfold/rotel>): it takes the service's traces, reads them with code of its own, and
//! passes them on to the test. Its Python package brings the program.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use casebridge_testkit::service::{Process, free_ports, until};
use casebridge_testkit::traces::{CALLER, Receiver, Traced, assert_the_sync_is_one_trace};

use crate::python;

/// Path of the program, asked of the package.
fn rotel() -> PathBuf {
    let code = "import os, rotel; print(os.path.join(os.path.dirname(rotel.__file__), 'rotel-agent'))";
    let output = Command::new(python()).args(["-c", code]).output().unwrap();
    let path = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    assert!(path.is_file(), "the package rotel is missing: run .ci/python-clients.sh");
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_collector_takes_the_trace_of_a_sync_and_passes_it_on() {
    let receiver = Receiver::default();
    let behind = receiver.start().await;
    let port = free_ports(2);
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let collector = Command::new(rotel())
        .args(["start", "--pid-file", &place("pid"), "--log-file", &place("agent.log")])
        .args(["--otlp-http-endpoint", &format!("127.0.0.1:{port}")])
        .args(["--otlp-grpc-endpoint", &format!("127.0.0.1:{}", port + 1)])
        .args(["--debug-log", "traces", "--debug-log-verbosity", "detailed"])
        .args(["--exporter", "otlp", "--otlp-exporter-protocol", "http"])
        .args(["--otlp-exporter-endpoint", &behind])
        .stdout(log.try_clone().unwrap())
        .stderr(Stdio::from(log))
        .spawn()
        .unwrap();
    let _collector = Process(collector);
    let address = format!("127.0.0.1:{port}");
    until("the collector listens", || {
        let address = address.parse().unwrap();
        std::net::TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
    })
    .await;

    let endpoint = format!("http://{address}");
    let service = Traced::start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)]).await;
    let synced = service.sync().await;
    let lines = service.stop().await;
    assert!(!lines.iter().any(|line| line.contains("not delivered")), "{lines:#?}");
    // The request ends last, so its span is in the last batch.
    let arrived = || receiver.spans().iter().any(|span| span.trace == CALLER.0 && span.parent == CALLER.1);
    until("the trace has passed the collector", arrived).await;
    assert_the_sync_is_one_trace(&receiver, &synced);
    let shown = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(shown.contains(CALLER.0) && shown.contains("sync-google-case"), "{shown}");
}
