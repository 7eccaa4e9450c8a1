//! Deterministic simulation of the whole core: real tasks and a real planner over models of both systems, a store and a
//! queue that behave, in virtual time. One seed decides everything.
//!
//! - `cargo test --test simulation` runs what CI runs.
//! - `CASEBRIDGE_SIMULATION=1000000 cargo test --release --test simulation -- histories --nocapture` runs a million.
//! - `CASEBRIDGE_SEED=7 cargo test --test simulation -- replay --nocapture` shows one, shortened if it fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking, in its support code as well as in the test function"
)]

mod check;
mod dice;
mod faults;
mod generate;
mod history;
mod model;
mod mutation;
mod people;
mod ports;
mod run;
mod shorten;
mod world;

use run::{Options, run};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

#[test]
fn histories() {
    let count = number("CASEBRIDGE_SIMULATION").unwrap_or(1_000);
    let first = number("CASEBRIDGE_FIRST_SEED").unwrap_or(0);
    let started = std::time::Instant::now();
    let (mut runs, mut writes) = (0, 0);
    for seed in first..first + count {
        let verdict = run(&generate::history(seed), Options::default());
        if let Some(violation) = verdict.violation {
            panic!("seed {seed}: {violation}");
        }
        runs += verdict.runs;
        writes += verdict.writes;
    }
    println!("{count} histories, {runs} runs of tasks, {writes} writes in {:?}", started.elapsed());
}

#[test]
fn replay() {
    if let Some(seed) = number("CASEBRIDGE_SEED") {
        let history = shorten::shorten(&generate::history(seed), None);
        let verdict = run(&history, Options { verbose: true, ..Options::default() });
        println!("{}\n{}\n{:?}", verdict.log, shorten::as_rust(&history), verdict.violation);
    }
}

/// What goes wrong how often, with the first seed of each kind: for those who hunt.
#[test]
fn survey() {
    let Some(count) = number("CASEBRIDGE_SURVEY") else { return };
    let first = number("CASEBRIDGE_FIRST_SEED").unwrap_or(0);
    let started = std::time::Instant::now();
    let mut kinds = std::collections::BTreeMap::<String, (u32, u64, String)>::new();
    for seed in first..first + count {
        if let Some(violation) = run(&generate::history(seed), Options::default()).violation {
            let kind = violation.chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
            kinds.entry(kind).or_insert((0, seed, violation)).0 += 1;
        }
    }
    let mut kinds: Vec<_> = kinds.into_values().collect();
    kinds.sort();
    for (times, seed, violation) in kinds.into_iter().rev() {
        println!("{times:6}  seed {seed}: {}", violation.chars().take(220).collect::<String>());
    }
    println!("{count} histories in {:?}", started.elapsed());
}
