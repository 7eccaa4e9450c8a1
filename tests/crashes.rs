//! Two instances of the real binary on one database are killed at random moments, while both systems misbehave and people go
//! on working on both sides. Then all trouble ends, and both sides are compared.
//!
//! - `cargo test --test crashes` runs what CI runs: 15 kills.
//! - `CASEBRIDGE_KILLS=200 CASEBRIDGE_CRASH_SEED=7 cargo test --test crashes -- --nocapture` kills 200 times.
//!
//! The seed decides what people do, what goes wrong and when who is killed, all as far as real time and two processes allow:
//! the same seed gives the same plan, not the same interleaving.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its support code as well as in the test function"
)]

#[path = "crashes/compare.rs"]
mod compare;
#[path = "crashes/people.rs"]
mod people;
#[path = "crashes/trouble.rs"]
mod trouble;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use casebridge::entities::Side;
use casebridge_testkit::dice::Dice;
use casebridge_testkit::service::{Process, Systems, client, free_port, post, serve};
use people::People;
use serde_json::Value;

/// How long both sides may take to agree once all is well: a creation without an answer is looked for during two minutes, a
/// dead instance's tasks are delivered again after half a minute, and failed tasks wait for their next attempt.
const PATIENCE: Duration = Duration::from_mins(6);

/// `queue.yaml` with shorter pauses, and with room for the tasks of instances that died: they count as under way until their
/// claims run out.
const QUEUES: &str = "
queue:
- {name: poll-google, rate: 5/s, bucket_size: 5, max_concurrent_requests: 1,
   retry_parameters: {task_retry_limit: 1, task_age_limit: 40s, min_backoff_seconds: 1, max_backoff_seconds: 2}}
- {name: poll-company, rate: 5/s, bucket_size: 5, max_concurrent_requests: 1,
   retry_parameters: {task_retry_limit: 1, task_age_limit: 40s, min_backoff_seconds: 1, max_backoff_seconds: 2}}
- {name: sync-google-case, rate: 50/s, bucket_size: 50, max_concurrent_requests: 24,
   retry_parameters: {min_backoff_seconds: 1, max_backoff_seconds: 5}}
- {name: sync-company-case, rate: 50/s, bucket_size: 50, max_concurrent_requests: 24,
   retry_parameters: {min_backoff_seconds: 1, max_backoff_seconds: 5}}
- {name: cleanup, rate: 1/s, bucket_size: 1, max_concurrent_requests: 1,
   retry_parameters: {task_retry_limit: 1, task_age_limit: 23h}}
- {name: detect-outages, rate: 1/s, bucket_size: 1, max_concurrent_requests: 1,
   retry_parameters: {task_retry_limit: 1, task_age_limit: 180s}}
";

/// Outages within a test's patience.
const TOLERANCES: &str = r#"
[outages.tolerance]
P0 = { fresh = "4s", default = "4s", stale = "4s" }
P1 = { fresh = "5s", default = "5s", stale = "5s" }
P2 = { fresh = "6s", default = "6s", stale = "6s" }
P3 = { fresh = "8s", default = "8s", stale = "8s" }
P4 = { fresh = "10s", default = "10s", stale = "10s" }
"#;

/// One of the two instances, which may be dead at the moment.
struct Instance {
    port: u16,
    config: PathBuf,
    process: Option<Process>,
}

impl Instance {
    fn new(systems: &Systems, folder: &Path, queues: &Path, name: &str) -> Self {
        let port = free_port();
        let config = folder.join(format!("{name}.toml"));
        let queue = format!("[queue]\nqueue_yaml = \"{}\"\n", queues.display());
        let text = systems.configuration(folder, port);
        std::fs::write(&config, format!("{text}{queue}{TOLERANCES}")).unwrap();
        Self { port, config, process: None }
    }

    fn start(&mut self) {
        // The start is waited for on a thread that nothing else needs.
        self.process = Some(tokio::task::block_in_place(|| serve(&self.config)));
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    let given = std::env::var(name).ok();
    given.map_or(otherwise, |value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

async fn pause(milliseconds: i64) {
    tokio::time::sleep(Duration::from_millis(milliseconds.unsigned_abs())).await;
}

/// Waits until one of the systems gets a write, if that happens soon.
async fn next_write(systems: &Systems) {
    let writes = || systems.at_csapi.writes() + systems.at_jira.writes();
    let before = writes();
    let limit = Instant::now() + Duration::from_secs(3);
    while writes() == before && Instant::now() < limit {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Asks for polls all the time, of an instance that may be dead: cron does that too, once a minute.
async fn poll_all_the_time(ports: [u16; 2], seed: u64, stop: Arc<AtomicBool>) {
    let (http, mut dice) = (client(), Dice::of(&[seed, 4]));
    while !stop.load(Ordering::Relaxed) {
        for poll in ["poll-google", "poll-company"] {
            drop(post(&http, dice.pick(&ports), poll).await);
        }
        if dice.percent(20) {
            drop(post(&http, dice.pick(&ports), "detect-outages").await);
        }
        pause(dice.range(200, 800)).await;
    }
}

/// What the connector says about itself: what it still has to do, if anything.
async fn unfinished(http: &reqwest::Client, port: u16) -> Option<String> {
    let url = format!("http://127.0.0.1:{port}/api/mappings?limit=200");
    let answer: Value = http.get(url).send().await.unwrap().json().await.unwrap();
    let mappings = answer["mappings"].as_array().unwrap();
    mappings.iter().find_map(|mapping| {
        let unlinked = !mapping["googleCaseName"].is_string() || !mapping["companyCaseID"].is_string();
        let waits = ["google", "company"].iter().any(|side| !mapping[*side]["waiting_since"].is_null());
        let flagged =
            mapping["outageCommentSentToGoogle"] == true || mapping["outageCommentSentToCompany"] == true;
        let open = unlinked
            || waits
            || flagged
            || mapping["writes_without_answer"] != 0
            || !mapping["leased_until"].is_null()
            || mapping["paused"] == true;
        open.then(|| format!("not finished: {mapping}"))
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_at_random_moments_two_instances_carry_everything_once() {
    let (kills, seed) = (number("CASEBRIDGE_KILLS", 15), number("CASEBRIDGE_CRASH_SEED", 1));
    println!("CASEBRIDGE_KILLS={kills} CASEBRIDGE_CRASH_SEED={seed}");
    let systems = Arc::new(Systems::start().await);
    let folder = tempfile::tempdir().unwrap();
    let queues = folder.path().join("queue.yaml");
    std::fs::write(&queues, QUEUES).unwrap();
    let mut instances = ["first", "second"].map(|name| Instance::new(&systems, folder.path(), &queues, name));
    instances.iter_mut().for_each(Instance::start);
    let ports = [instances[0].port, instances[1].port];

    let (calm, idle) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let polls = tokio::spawn(poll_all_the_time(ports, seed, idle.clone()));
    let people = tokio::spawn(People::new(seed).work(systems.clone(), calm.clone()));
    let trouble = tokio::spawn(trouble::cause(systems.clone(), seed, calm.clone()));

    let mut dice = Dice::of(&[seed, 1]);
    let (began, mut in_the_middle) = (Instant::now(), 0);
    for _ in 0..kills {
        pause(dice.range(300, 2_500)).await;
        if dice.percent(60) {
            next_write(&systems).await;
            pause(dice.range(0, 25)).await;
        }
        let victims = match dice.below(10) {
            0 => vec![0, 1],
            _ => vec![dice.index(2)],
        };
        in_the_middle += usize::from(systems.at_csapi.under_way() + systems.at_jira.under_way() > 0);
        for victim in &victims {
            instances[*victim].kill();
        }
        pause(dice.range(0, 1_000)).await;
        for victim in victims {
            instances[victim].start();
        }
    }
    let lasted = began.elapsed();
    calm.store(true, Ordering::Relaxed);
    let people = people.await.unwrap();
    trouble.await.unwrap();

    let (http, calm_since) = (client(), Instant::now());
    loop {
        // What is wrong now stays wrong.
        let wrong = compare::wrong(&systems, &people);
        assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
        let mut missing = compare::missing(&systems, &people);
        missing.extend(unfinished(&http, ports[0]).await);
        if missing.is_empty() {
            break;
        }
        assert!(calm_since.elapsed() < PATIENCE, "seed {seed}: never agreed: {missing:#?}");
        pause(500).await;
    }
    let agreed = calm_since.elapsed();

    // Both sides agree: whatever runs now, on either instance, writes nothing.
    idle.store(true, Ordering::Relaxed);
    polls.await.unwrap();
    // Except notices of outages: where the machine is busy, a poll may come later than the tolerance of a few seconds.
    let writes = || {
        let notices = |side| compare::outage_notices(&systems, side);
        (systems.at_csapi.writes() - notices(Side::Google), systems.at_jira.writes() - notices(Side::Company))
    };
    let before = writes();
    for task in ["poll-google", "poll-company", "detect-outages"] {
        for port in ports {
            let report = post(&http, port, task).await.unwrap();
            let outcome = report["outcome"].as_str().unwrap();
            assert!(outcome == "done" || (task, outcome) == ("detect-outages", "outage"), "{report}");
        }
    }
    pause(5_000).await;
    assert_eq!(writes(), before, "seed {seed}: writes after both sides agreed");
    // An outage that was noticed now ends with the next look.
    let deadline = Instant::now() + PATIENCE;
    loop {
        for task in ["poll-google", "poll-company", "detect-outages"] {
            post(&http, ports[0], task).await;
        }
        let missing = compare::missing(&systems, &people);
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "seed {seed}: no longer agree: {missing:#?}");
        pause(500).await;
    }
    assert_eq!(writes(), before, "seed {seed}: writes after both sides agreed");
    let wrong = compare::wrong(&systems, &people);
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");

    println!(
        "{kills} kills in {} s, {in_the_middle} of them while a call was under way; {}; {}; agreed {} s after the last trouble",
        lasted.as_secs(),
        people.summary(),
        compare::summary(&systems),
        agreed.as_secs(),
    );
}
