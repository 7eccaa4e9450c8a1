//! The program as a process: killed, stopped, refused a configuration.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its support code as well as in the test function"
)]

#[path = "process/listing.rs"]
mod listing;

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use casebridge::sandbox::csapi::{Author, synthetic_sha256};
use casebridge::sandbox::jira::{KeepUploads, NewIssue, SandboxJiraSettings};
use serde_json::Value;

use casebridge_testkit::service::{
    Process, Systems, binary, client, free_port, free_ports, post, serve, serve_with, until,
};
use listing::Listing;

/// How often each comment arrived, by its text.
fn copies(texts: impl Iterator<Item = String>) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for text in texts {
        if let Some(line) = text.lines().find(|line| line.starts_with("burst ")) {
            *copies.entry(line.to_owned()).or_default() += 1;
        }
    }
    copies
}

/// Configuration whose tasks may take two minutes, not the usual three seconds.
fn patient_configuration(systems: &Systems, folder: &Path, port: u16) -> String {
    let text = systems.configuration(folder, port);
    text.replace("lease = \"4s\"", "lease = \"3m\"").replace("deadline = \"3s\"", "deadline = \"2m\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_burst_of_100_comments_it_copies_each_once() {
    let systems = Systems::start().await;
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = folder.path().join("casebridge.toml");
    // Jira takes 100 comments on one issue in 30 s: with the usual deadline of 3 s a sync would be cut short while it waits for its turn.
    std::fs::write(&config, patient_configuration(&systems, folder.path(), port)).unwrap();
    let http = client();

    let case = systems.google_case();
    let mut service = serve(&config);
    post(&http, port, "poll-google").await.unwrap();
    until("the case is mirrored", || {
        systems.jira.issues().len() == 1 && systems.csapi.comments(&case).unwrap().len() == 1
    })
    .await;
    let issue = systems.jira.issues()[0].id.clone();

    for number in 0..100 {
        systems
            .csapi
            .add_comment(&case, Author::customer("Grace Hopper"), &format!("burst {number:03}"))
            .unwrap();
        systems.jira.comment(&issue, "Jane Roe", &format!("burst {number:03}")).unwrap();
    }
    let on_jira = || {
        copies(
            systems
                .jira
                .issue(&issue)
                .unwrap()
                .comments
                .into_iter()
                .filter(|c| c.body.contains("Google Comment"))
                .map(|c| c.body),
        )
    };
    let on_google = || {
        copies(
            systems
                .csapi
                .comments(&case)
                .unwrap()
                .into_iter()
                .filter(|c| c.body.starts_with("[Company Comment"))
                .map(|c| c.body),
        )
    };
    // Three times, each time a little further.
    for target in [20, 45, 70] {
        tokio::spawn({
            let http = http.clone();
            async move {
                post(&http, port, "poll-google").await;
                post(&http, port, "poll-company").await;
            }
        });
        until("some are copied", || on_jira().len() + on_google().len() >= target).await;
        service.kill();
        assert!(on_jira().len() + on_google().len() < 200, "the burst was over before it was killed");
        service = serve(&config);
    }
    until("all are copied", || on_jira().len() == 100 && on_google().len() == 100).await;

    // Another round changes nothing.
    post(&http, port, "poll-google").await.unwrap();
    post(&http, port, "poll-company").await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    for (side, copies) in [("Jira", on_jira()), ("Google", on_google())] {
        assert_eq!(copies.len(), 100, "{side}");
        assert!(copies.values().all(|times| *times == 1), "{side}: {copies:?}");
    }
    assert_eq!(systems.jira.issues().len(), 1);
    assert_eq!(systems.csapi.cases().len(), 1);

    // In order, on both sides.
    for texts in [
        systems
            .jira
            .issue(&issue)
            .unwrap()
            .comments
            .into_iter()
            .filter(|c| c.body.contains("Google Comment"))
            .map(|c| c.body)
            .collect::<Vec<_>>(),
        systems
            .csapi
            .comments(&case)
            .unwrap()
            .into_iter()
            .filter(|c| c.body.starts_with("[Company Comment"))
            .map(|c| c.body)
            .collect(),
    ] {
        let numbers: Vec<&str> =
            texts.iter().filter_map(|text| text.lines().find(|line| line.starts_with("burst "))).collect();
        assert_eq!(numbers.len(), 100);
        assert!(numbers.is_sorted(), "{numbers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sigterm_a_running_sync_ends_well_and_the_lease_is_given_back() {
    let systems = Systems::start().await;
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = folder.path().join("casebridge.toml");
    std::fs::write(&config, systems.configuration(folder.path(), port)).unwrap();
    let http = client();
    let issue = systems.jira.create_issue(NewIssue::flagged("An issue")).unwrap();
    for number in 0..30 {
        systems.jira.comment(&issue, "Jane Roe", &format!("burst {number:03}")).unwrap();
    }
    let mut service = serve(&config);
    post(&http, port, "poll-company").await.unwrap();
    until("the sync runs", || systems.csapi.cases().len() == 1).await;
    service.signal("-TERM");
    let status = service.0.wait().unwrap();
    assert!(status.success(), "{status}");
    let output = Command::new(binary())
        .args(["--config", config.to_str().unwrap(), "mappings", "--json"])
        .output()
        .unwrap();
    let mapping: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(mapping["leased_until"], Value::Null);
}

/// Connections that say nothing use all file handles. The service says so, once and not for each of them, serves whoever asks, and its own
/// queue needs no handle.
#[tokio::test(flavor = "multi_thread")]
async fn short_of_file_handles_it_says_so_and_goes_on() {
    let systems = Systems::start().await;
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = folder.path().join("casebridge.toml");
    std::fs::write(&config, systems.configuration(folder.path(), port)).unwrap();
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -n 80; exec \"$0\" --config \"$1\" serve"])
        .args([binary().as_os_str(), config.as_os_str()])
        .env("RUST_LOG", "info")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let _process = Process(child);
    assert!(lines.by_ref().any(|line| line.contains("listening on")), "the service did not start");
    let log = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let written = std::sync::Arc::clone(&log);
    std::thread::spawn(move || lines.for_each(|line| written.lock().unwrap().push(line)));
    let told = || log.lock().unwrap().iter().filter(|line| line.contains("ulimit -n")).count();

    let mut silent = Vec::new();
    for _ in 0..150 {
        silent.push(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    until("it says that it is short of file handles", || told() > 0).await;
    let healthz = client().get(format!("http://127.0.0.1:{port}/healthz")).send();
    let answer = tokio::time::timeout(Duration::from_mins(5), healthz).await.expect("it answers").unwrap();
    assert_eq!(answer.status(), 200);
    // Once a minute, for as long as it lasts.
    assert!((1..=5).contains(&told()), "{:#?}", log.lock().unwrap());
    drop(silent);
    let case = systems.google_case();
    post(&client(), port, "poll-google").await.unwrap();
    until("the case is mirrored", || systems.csapi.comments(&case).unwrap().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attachment_of_300_mebibytes_passes_each_way_in_constant_memory() {
    const SIZE: u64 = 300 * 1024 * 1024;
    let jira = SandboxJiraSettings { uploads: KeepUploads::HashOnly, ..SandboxJiraSettings::default() };
    let systems = Systems::with(jira).await;
    systems.csapi.adjust(|switches| switches.keep_uploads = false);
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = folder.path().join("casebridge.toml");
    std::fs::write(&config, patient_configuration(&systems, folder.path(), port)).unwrap();
    let http = client();

    let case = systems.google_case();
    let service = serve(&config);
    post(&http, port, "poll-google").await.unwrap();
    until("the case is mirrored", || systems.csapi.comments(&case).unwrap().len() == 1).await;
    let issue = systems.jira.issues()[0].id.clone();
    let idle = service.memory("VmHWM:");

    systems.csapi.attach_synthetic(&case, Author::customer("Grace Hopper"), "core.bin", 1, SIZE).unwrap();
    post(&http, port, "poll-google").await.unwrap();
    until("it is in Jira", || systems.jira.issue(&issue).unwrap().attachments.len() == 1).await;
    systems.jira.attach_synthetic(&issue, "Jane Roe", "heap.bin", SIZE, 2).unwrap();
    post(&http, port, "poll-company").await.unwrap();
    until("it is at Google", || systems.csapi.attachments(&case).unwrap().len() == 2).await;
    let peak = service.memory("VmHWM:");

    let in_jira = &systems.jira.issue(&issue).unwrap().attachments[0];
    assert_eq!((in_jira.file_name.as_str(), in_jira.size), ("core.bin", SIZE));
    assert_eq!(systems.jira.attachment_sha256(&in_jira.id).unwrap(), synthetic_sha256(1, SIZE));
    let attachments = systems.csapi.attachments(&case).unwrap();
    let at_google = attachments.iter().find(|attachment| attachment.filename == "heap.bin").unwrap();
    assert_eq!(at_google.size, SIZE);
    println!("peak resident set: {} KiB; before the first attachment: {} KiB", peak / 1024, idle / 1024);
    // A tenth of one attachment: far above what buffers need, far below what holding it would.
    assert!(peak - idle < SIZE / 10, "the resident set grew from {idle} to {peak} bytes");
}

/// The systems, by the task that polls each and the part of the configuration that is its own.
const POLLED: [(&str, &str, &str); 6] = [
    ("CSAPI", "poll-google", "kind = \"jira\"\n[company.jira]\nproject = \"SUP\""),
    ("Jira", "poll-company", "kind = \"jira\"\n[company.jira]\nproject = \"SUP\""),
    (
        "Jira Data Center",
        "poll-company",
        "kind = \"jira\"\n[company.jira]\nproject = \"SUP\"\ndeployment = \"data-center\"",
    ),
    (
        "Zendesk",
        "poll-company",
        "kind = \"zendesk\"\n[priorities]\nP0 = \"urgent\"\nP1 = \"high\"\nP2 = \"normal\"\nP3 = \"low\"\nP4 = \"low\"",
    ),
    (
        "ServiceNow",
        "poll-company",
        "kind = \"servicenow\"\n[priorities]\nP0 = \"1\"\nP1 = \"2\"\nP2 = \"3\"\nP3 = \"4\"\nP4 = \"5\"",
    ),
    (
        "Request Tracker",
        "poll-company",
        "kind = \"request-tracker\"\n[company.request-tracker]\nqueue = \"Support\"\nuser = \"casebridge\"\ntoken = \"env:RT_TOKEN\"\n\
         [priorities]\nP0 = \"100\"\nP1 = \"75\"\nP2 = \"50\"\nP3 = \"25\"\nP4 = \"0\"",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_that_finds_many_cases_holds_a_page_of_them_whatever_their_texts() {
    const FEW: usize = 1_000;
    const MANY: usize = 10_000;
    let mut grown = Vec::new();
    let listing = Listing::start().await;
    for (system, task, company) in POLLED {
        let folder = tempfile::tempdir().unwrap();
        let (http, port, config) = (client(), free_port(), folder.path().join("casebridge.toml"));
        let (address, store) = (listing.address, folder.path().join("casebridge.db"));
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\n\
             [google]\nparent = \"organizations/123\"\nbase_url = \"http://{address}\"\nauth = \"none\"\nclassification_id = \"1\"\n\
             requests_per_minute = 600000\n[store]\nurl = \"sqlite:{}\"\n[queue]\ncron = false\n\
             [company]\nbase_url = \"http://{address}\"\nrequests_per_minute = 600000\n{company}\n",
            store.display(),
        );
        std::fs::write(&config, text).unwrap();
        // One heap: what grows is what is held, not how many threads have had a page in theirs.
        let service = serve_with(&config, &[("MALLOC_ARENA_MAX", "1"), ("RT_TOKEN", "a token")]);
        let peak_of = async |cases: usize| {
            listing.finds(cases);
            let report = post(&http, port, task).await.unwrap();
            assert_eq!(
                (&report["outcome"], &report["found"]),
                (&"done".into(), &cases.into()),
                "{system}: {report}"
            );
            service.memory("VmHWM:")
        };
        let (few, many) = (peak_of(FEW).await, peak_of(MANY).await);
        println!(
            "{system}: peak resident set {} KiB with {FEW} cases, {} KiB with {MANY}",
            few / 1024,
            many / 1024
        );
        // The kernel counts in batches.
        grown.push((system, many.saturating_sub(few)));
    }
    assert_eq!(listing.texts_asked_for(), 0, "nobody asks for texts who can choose");
    // A third of the texts that came: far above what is held of so many cases and what pages differ in, far below the texts.
    let held = ((MANY - FEW) * listing::TEXT / 3) as u64;
    assert!(grown.iter().all(|(_, grown)| *grown < held), "the resident set grew by {grown:?} bytes");
}

#[test]
fn a_wrong_configuration_is_refused_with_every_key_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("casebridge.toml");
    std::fs::write(&config, "[google]\npolling_window = \"soon\"\n[company]\nkind = \"abacus\"\nbase_url = \"ftp://x\"\n[sink]\nx = 1\n")
        .unwrap();
    let output =
        Command::new(binary()).args(["--config", config.to_str().unwrap(), "check"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let errors = String::from_utf8(output.stderr).unwrap();
    for key in ["google.parent", "google.polling_window", "company.kind", "company.base_url", "sink.x"] {
        assert!(errors.contains(key), "{key} is not in:\n{errors}");
    }
}

/// `casebridge sandbox --crm KIND`: nobody touching anything, every sample case stands on both sides.
async fn the_sandbox_shows_cases_travelling(kind: &str, name: &str, options: &[&str]) {
    let (http, port) = (client(), free_ports(3));
    let folder = tempfile::tempdir().unwrap();
    let child = Command::new(binary())
        .args(["sandbox", "--crm", kind, "--port", &port.to_string(), "--data"])
        .arg(folder.path())
        .args(options)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut process = Process(child);
    let mut printed = BufReader::new(process.0.stdout.take().unwrap()).lines();
    let line = format!("the company's side ({name}");
    assert!(printed.by_ref().any(|printed| printed.unwrap().contains(&line)), "it says what runs where");
    let named = printed
        .by_ref()
        .find_map(|line| Some(line.unwrap().split_once("its configuration")?.1.trim().to_owned()));
    let configuration = named.expect("it says where its configuration is");
    // It goes on printing, and must not find the pipe closed.
    std::thread::spawn(move || printed.for_each(drop));
    let limit = Instant::now() + Duration::from_mins(8);
    let is_linked = |mapping: &Value| {
        let waits = |side: &str| !mapping[side]["waiting_since"].is_null();
        mapping["googleCaseName"].is_string()
            && mapping["companyCaseID"].is_string()
            && !waits("google")
            && !waits("company")
    };
    loop {
        let answer = http.get(format!("http://127.0.0.1:{port}/api/mappings")).send().await;
        let mappings: Value = match answer {
            Ok(answer) => answer.json().await.unwrap(),
            Err(_) => Value::Null,
        };
        // Three sample cases at Google, and the flagged one of the CRM's two.
        if mappings["mappings"].as_array().is_some_and(|all| all.len() == 4 && all.iter().all(is_linked)) {
            break;
        }
        assert!(Instant::now() < limit, "never linked: {mappings:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let page = http.get(format!("http://127.0.0.1:{}/", port + 2)).send().await.unwrap();
    let page = page.text().await.unwrap();
    assert!(page.contains(&format!("Sandbox {name}")) && page.contains("/cases/51"), "{page}");
    let case = "projects/sample-shop/cases/51000001";
    for (command, words) in [
        (&["check"][..], "cases"),
        (&["mappings"], "cases"),
        (&["classifications", "ENGINE", "compute"], "Technical Issue > Compute > Compute Engine"),
        (&["sync", "google", case, "--dry-run"], case),
    ] {
        let beside =
            Command::new(binary()).args(["--config", &configuration]).args(command).output().unwrap();
        let text = String::from_utf8_lossy(&beside.stdout).into_owned();
        assert!(beside.status.success() && text.contains(words), "{command:?}: {text}");
    }
    let file = std::fs::read_to_string(&configuration).unwrap();
    assert_eq!(file.contains("client_secret"), options.contains(&"--oauth"), "{file}");
    process.signal("-TERM");
    assert!(process.0.wait().unwrap().success(), "it stops well");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_with_service_management_shows_cases_travelling() {
    the_sandbox_shows_cases_travelling("jira-service-management", "Jira", &["--oauth"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_with_jira_shows_cases_travelling() {
    the_sandbox_shows_cases_travelling("jira", "Jira", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_with_zendesk_shows_cases_travelling() {
    the_sandbox_shows_cases_travelling("zendesk", "Zendesk", &["--oauth"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_with_servicenow_shows_cases_travelling() {
    the_sandbox_shows_cases_travelling("servicenow", "ServiceNow", &["--oauth"]).await;
}
