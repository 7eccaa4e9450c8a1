//! Comments that are written on many cases at once, carried by the real binary at its default limits: how long each takes to arrive.
//!
//! - `cargo bench --bench comments` measures 100 and 600 cases with one comment each, at 300 calls a minute to each system.
//! - `CASEBRIDGE_CASES=100 CASEBRIDGE_REQUESTS_PER_MINUTE=12000 cargo bench --bench comments` measures one size at another limit.
//!
//! The cases are linked first, without a limit. Cron, queues, retries and tolerances are as in production. Each case gets its comment at
//! the same moment at Google.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark fails by panicking, in its support code as well as in itself"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use casebridge::sandbox::csapi::Author;
use casebridge_testkit::service::{Systems, free_port, serve};

/// Rate limit of the default configuration.
const DEFAULT_RATE: usize = 300;
const WORDS: &str = "It happens again";

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

#[tokio::main]
async fn main() {
    let rate = number("CASEBRIDGE_REQUESTS_PER_MINUTE").unwrap_or(DEFAULT_RATE);
    println!("{rate} calls a minute are allowed to each system");
    println!("| comments | median | 99 % | last | calls to CSAPI | calls to Jira | notices of outages |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for cases in number("CASEBRIDGE_CASES").map_or(vec![100, 600], |cases| vec![cases]) {
        measure(cases, rate).await;
    }
}

/// Writes the configuration of production with that limit.
fn configure(systems: &Systems, folder: &Path, rate: usize) -> std::path::PathBuf {
    let path = folder.join("casebridge.toml");
    let text = systems.configuration(folder, free_port());
    let text = text
        .replace("600000", &rate.to_string())
        .replace("timeout = \"2s\"", "timeout = \"60s\"")
        .replace("[sync]\nlease = \"4s\"\ndeadline = \"3s\"\n", "");
    std::fs::write(&path, text).unwrap();
    path
}

async fn measure(cases: usize, rate: usize) {
    let systems = Systems::start().await;
    let names: Vec<String> = (0..cases).map(|_| systems.google_case()).collect();
    let folder = tempfile::tempdir().unwrap();
    let unlimited = serve(&configure(&systems, folder.path(), 600_000));
    // A comment of the connector itself ends the linking of each case.
    while systems.jira.issues().len() < cases || has_not(&systems, &names, "now syncing") > 0 {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    tokio::time::sleep(Duration::from_secs(90)).await;
    drop(unlimited);

    let service = serve(&configure(&systems, folder.path(), rate));
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (google_before, jira_before) = (systems.at_csapi.calls().len(), systems.at_jira.calls().len());
    let began = Instant::now();
    for name in &names {
        systems.csapi.add_comment(name, Author::customer("Grace Hopper"), WORDS).unwrap();
    }
    let mut arrived = Vec::new();
    while arrived.len() < cases {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let issues = systems.jira.issues();
        let texts = issues.iter().flat_map(|issue| &issue.comments);
        let now = texts.filter(|comment| comment.body.contains(WORDS)).count();
        arrived.resize(now.max(arrived.len()), began.elapsed());
    }
    let at = |part: usize| arrived[(arrived.len() * part / 100).min(arrived.len() - 1)].as_secs_f64();
    println!(
        "| {cases} | {:.0} s | {:.0} s | {:.0} s | {} | {} | {} |",
        at(50),
        at(99),
        at(100),
        systems.at_csapi.calls().len() - google_before,
        systems.at_jira.calls().len() - jira_before,
        cases - has_not(&systems, &names, "has not synced properly"),
    );
    drop(service);
}

/// Number of Google cases without a comment that contains these words.
fn has_not(systems: &Systems, names: &[String], words: &str) -> usize {
    let has = |name: &&String| {
        systems.csapi.comments(name).unwrap().iter().any(|comment| comment.body.contains(words))
    };
    names.len() - names.iter().filter(has).count()
}
