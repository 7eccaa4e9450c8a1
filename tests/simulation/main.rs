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
        let verdict = run(&generate::history(seed), Options { verbose: true, ..Options::default() });
        println!("{}\n{:?}", verdict.log, verdict.violation);
    }
}
