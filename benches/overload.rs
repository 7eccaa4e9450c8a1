//! Processing of a backlog by the real binary, over sandboxes: time, calls to each upstream, and memory.
//!
//! - `cargo bench --bench overload` measures 1,000, 5,000 and 10,000 cases that were opened at Google during an outage.
//! - `CASEBRIDGE_CASES=1000 CASEBRIDGE_REQUESTS_PER_MINUTE=300 cargo bench --bench overload` measures one size at the
//!   rate limit of the sample configuration. Without it, 12,000 calls a minute are allowed: forty times as many.
//!
//! Cron, queues, retries and tolerances are as in production. Half-way, a person opens a P0 case.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark fails by panicking, in its support code as well as in itself"
)]

use std::time::{Duration, Instant};

use casebridge::sandbox::csapi::{Author, NewCase, Priority};
use serde_json::Value;

use casebridge_testkit::service::{Process, Systems, client, free_port, post, serve};

const MINUTE: Duration = Duration::from_mins(1);

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

#[tokio::main]
async fn main() {
    let rate = number("CASEBRIDGE_REQUESTS_PER_MINUTE").unwrap_or(12_000);
    println!("{rate} calls a minute are allowed to each upstream");
    println!(
        "| cases | minutes | calls to CSAPI | calls to Jira | calls for each case | most calls in a minute | peak memory | fresh P0 after |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for cases in number("CASEBRIDGE_CASES").map_or(vec![1_000, 5_000, 10_000], |cases| vec![cases]) {
        measure(cases, rate).await;
    }
}

/// Opens a case as a person does, with a description of two kilobytes; returns its name.
fn open(systems: &Systems, title: &str, priority: Priority) -> String {
    let case = NewCase {
        parent: "organizations/123".to_owned(),
        display_name: title.to_owned(),
        description: "What happened, in the words of whoever saw it. ".repeat(43),
        priority,
        author: Author::customer("Grace Hopper"),
    };
    systems.csapi.create_case(case).unwrap().name
}

async fn measure(cases: usize, rate: usize) {
    let systems = Systems::start().await;
    for case in 0..cases {
        open(&systems, &format!("Case {case}"), Priority::ALL[(case % 16).min(4)]);
    }
    let folder = tempfile::tempdir().unwrap();
    let (port, config) = (free_port(), folder.path().join("casebridge.toml"));
    let text = systems.configuration(folder.path(), port);
    let text = text
        .replace("600000", &rate.to_string())
        .replace("timeout = \"2s\"", "timeout = \"60s\"")
        .replace("[sync]\nlease = \"4s\"\ndeadline = \"3s\"\n", "");
    std::fs::write(&config, text).unwrap();
    let service = serve(&config);
    let http = client();
    let began = Instant::now();
    let mut p0 = None;
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let carried = systems.jira.issues().len();
        if p0.is_none() && carried >= cases / 2 {
            p0 = Some(fresh_p0(&systems, &http, port).await);
        }
        if p0.is_some() && carried > cases && nothing_waits(&http, port).await {
            break;
        }
    }
    let took = began.elapsed();
    assert_eq!(systems.jira.issues().len(), cases + 1, "each case once");
    // The rate limit allows a burst of a sixth of a minute's calls.
    for (name, meter) in [("CSAPI", &systems.at_csapi), ("Jira", &systems.at_jira)] {
        for (span, worth) in [(MINUTE, rate), (MINUTE / 6, rate / 6)] {
            let most = meter.most_within(span);
            assert!(most <= worth + rate / 6, "{name} got {most} calls within {} s", span.as_secs());
        }
    }
    print_row(cases, took, &systems, &service, p0.unwrap());
}

/// Measures the time from the poll that sees a new P0 case until the case is in Jira.
async fn fresh_p0(systems: &Systems, http: &reqwest::Client, port: u16) -> Duration {
    let name = open(systems, "Everything is down", Priority::P0);
    post(http, port, "poll-google").await.unwrap();
    let seen = Instant::now();
    while !systems.jira.issues().iter().any(|issue| issue.google_name.as_ref() == Some(&name)) {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    seen.elapsed()
}

async fn nothing_waits(http: &reqwest::Client, port: u16) -> bool {
    let url = format!("http://127.0.0.1:{port}/api/mappings?filter=waiting&limit=1");
    let answer: Value = http.get(url).send().await.unwrap().json().await.unwrap();
    answer["mappings"].as_array().unwrap().is_empty()
}

fn print_row(cases: usize, took: Duration, systems: &Systems, service: &Process, p0: Duration) {
    let (google, company) = (systems.at_csapi.calls().len(), systems.at_jira.calls().len());
    let most = systems.at_csapi.most_within(MINUTE).max(systems.at_jira.most_within(MINUTE));
    println!(
        "| {cases} | {:.1} | {google} | {company} | {:.1} and {:.1} | {most} | {} MiB | {:.1} s |",
        took.as_secs_f64() / 60.0,
        ratio(google, cases),
        ratio(company, cases),
        service.memory("VmHWM:") / 1024 / 1024,
        p0.as_secs_f64(),
    );
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn ratio(calls: usize, cases: usize) -> f64 {
    calls as f64 / cases as f64
}
