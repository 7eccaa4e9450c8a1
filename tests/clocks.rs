//! The real binary on a machine whose clock is off by decades (`faketime`): it answers, its queue goes on, and it says so.
//!
//! Both systems have the right time, and live in this process.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its support code as well as in the test function"
)]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use casebridge_testkit::service::{Process, Systems, binary, client, free_port, until};

/// Debian's place for the library that `faketime` loads, by machine.
fn library() -> String {
    let found =
        Command::new("sh").args(["-c", "ls /usr/lib/*/faketime/libfaketimeMT.so.1"]).output().unwrap();
    let path = String::from_utf8(found.stdout).unwrap().lines().next().unwrap_or_default().to_owned();
    assert!(!path.is_empty(), "faketime is missing: `apt-get install faketime`, or .ci/tools.sh");
    path
}

/// Starts the service at that time, and waits until it listens. What it logs is in the second part.
///
/// The library itself and not the command: the process that is killed is then the service.
fn serve_at(config: &Path, time: &str) -> (Process, Arc<Mutex<String>>) {
    let mut child = Command::new(binary())
        .args(["--config", config.to_str().unwrap(), "serve"])
        .env("RUST_LOG", "info")
        .env("LD_PRELOAD", library())
        .env("FAKETIME", format!("@{time}"))
        // Durations are measured by the monotonic clock, which is right on such a machine.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("DONT_FAKE_MONOTONIC", "1")
        .env("TZ", "UTC")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let process = Process(child);
    let log: Arc<Mutex<String>> = Arc::default();
    let (into, (ready, listening)) = (Arc::clone(&log), std::sync::mpsc::channel());
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if line.contains("listening on") {
                let _ = ready.send(());
            }
            let mut log = into.lock().unwrap();
            log.push_str(&line);
            log.push('\n');
        }
    });
    let started = listening.recv_timeout(std::time::Duration::from_mins(8));
    assert!(started.is_ok(), "the service did not start: {}", log.lock().unwrap());
    (process, log)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_whose_clock_is_off_by_decades_answers_carries_and_says_so() {
    for time in ["2030-01-01 00:00:00", "2263-01-01 00:00:00"] {
        let systems = Systems::start().await;
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let config = folder.path().join("casebridge.toml");
        std::fs::write(&config, systems.configuration(folder.path(), port)).unwrap();
        let case = systems.google_case();
        let (service, log) = serve_at(&config, time);
        let http = client();
        let get = async |path: &str| {
            let answer = http.get(format!("http://127.0.0.1:{port}{path}")).send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        };
        assert_eq!(get("/healthz").await.0, 200, "{time}");
        // Nobody calls a task: cron does, and the queue delivers what it queues.
        until("the case is mirrored", || {
            systems.jira.issues().len() == 1 && systems.csapi.comments(&case).unwrap().len() == 1
        })
        .await;
        let issue = systems.jira.issues()[0].id.clone();
        systems.jira.comment(&issue, "Jane Roe", "written at the right time").unwrap();
        let asked = http.post(format!("http://127.0.0.1:{port}/tasks/poll-company")).send().await.unwrap();
        assert_eq!(asked.status().as_u16(), 200, "{time}: {}", asked.text().await.unwrap());
        until("the comment is carried", || {
            let comments = systems.csapi.comments(&case).unwrap();
            comments.iter().any(|comment| comment.body.contains("written at the right time"))
        })
        .await;
        let (status, health) = get("/healthz/sync").await;
        let health: Value = serde_json::from_str(&health).unwrap();
        assert_eq!((status, health["status"].as_str()), (200, Some("ok")), "{time}: {health}");
        drop(service);
        let log = log.lock().unwrap().clone();
        assert!(!log.contains("panicked"), "{time}: {log}");
        assert!(
            log.contains("ahead of that of") && log.contains("timedatectl set-ntp true"),
            "{time}: {log}"
        );
    }
}

/// HTTP has no dates before 1970, and `hyper` panics over one: until the clock is right, nobody is answered, and nothing breaks.
#[tokio::test(flavor = "multi_thread")]
async fn before_1970_a_service_refuses_connections_and_does_not_panic() {
    let systems = Systems::start().await;
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = folder.path().join("casebridge.toml");
    std::fs::write(&config, systems.configuration(folder.path(), port)).unwrap();
    let (service, log) = serve_at(&config, "1969-07-20 20:17:40");
    assert!(client().get(format!("http://127.0.0.1:{port}/healthz")).send().await.is_err());
    // Cron and the queue go on trying.
    tokio::time::sleep(std::time::Duration::from_secs(5)).await;
    drop(service);
    let log = log.lock().unwrap().clone();
    assert!(!log.contains("panicked") && log.contains("before 1970"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_was_filled_decades_ahead_goes_on_when_the_clock_is_right() {
    let systems = Systems::start().await;
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = folder.path().join("casebridge.toml");
    std::fs::write(&config, systems.configuration(folder.path(), port)).unwrap();
    let (service, _) = serve_at(&config, "2263-01-01 00:00:00");
    let case = systems.google_case();
    until("the case is mirrored", || systems.jira.issues().len() == 1).await;
    drop(service);
    systems
        .csapi
        .add_comment(&case, casebridge::sandbox::csapi::Author::customer("Grace Hopper"), "afterwards")
        .unwrap();
    let now = casebridge::clock::Clock::now(&casebridge::clock::SystemClock);
    let (service, log) = serve_at(&config, &now.format("%Y-%m-%d %H:%M:%S").to_string());
    let issue = systems.jira.issues()[0].id.clone();
    until("what was written afterwards is carried", || {
        let comments = systems.jira.issue(&issue).unwrap().comments;
        comments.iter().any(|comment| comment.body.contains("afterwards"))
    })
    .await;
    drop(service);
    assert!(!log.lock().unwrap().contains("panicked"), "{}", log.lock().unwrap());
}
