//! Deterministic simulation of the whole core: real tasks and a real planner over models of both systems, a store and a
//! queue that behave, in virtual time. One seed decides everything.
//!
//! `.ci/simulation.sh` runs it as it is meant to be run, optimised:
//!
//! - `.ci/simulation.sh` runs what CI runs: 10,000 histories, the mutations and the reproductions.
//! - `CASEBRIDGE_HISTORIES=1000000 .ci/simulation.sh histories` runs a million histories.
//! - `CASEBRIDGE_SEED=7 .ci/simulation.sh replay` shows one, shortened if it fails.
//! - `CASEBRIDGE_SURVEY=2000 .ci/simulation.sh survey` counts what goes wrong, by kind, and goes on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::assigning_clones,
    clippy::match_same_arms,
    clippy::needless_for_each,
    clippy::struct_excessive_bools,
    reason = "a test fails by panicking, in its support code as well as in the test function"
)]

mod check;
mod coverage;
mod desk;
mod desk_check;
mod edits;
mod explore;
mod extras;
mod faults;
mod generate;
mod history;
mod lies;
mod mail;
mod model;
mod mutation;
mod people;
mod ports;
mod reproductions;
mod run;
mod shorten;
mod shown;
mod world;

use explore::{explore, number};
use mimalloc::MiMalloc;
use run::{Options, run};

/// A history allocates much and keeps little.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How many histories the test runs if nobody says otherwise.
const HISTORIES: u64 = 10_000;
/// So many do everything that the generator is there for.
const ENOUGH: u64 = 2_000;

/// No history breaks a rule, and all of them together do everything that the generator is there for.
#[test]
fn histories() {
    let count = number("CASEBRIDGE_HISTORIES").unwrap_or(HISTORIES);
    let first = number("CASEBRIDGE_FIRST_SEED").unwrap_or(0);
    let explored = explore(first, count, None);
    if let Some(failure) = explored.failures.first() {
        panic!("{}", explore::explain(failure));
    }
    println!("{explored}");
    assert_eq!(explored.histories, count);
    if count >= ENOUGH {
        assert_eq!(explored.seen.missing(), [""; 0], "this never happened: the generator is idle there");
    }
}

/// The same seed gives the same history and the same trace: each write, each run and each check at the same moment.
#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in (0..2_000).step_by(50) {
        let history = generate::history(seed);
        assert_eq!(history, generate::history(seed));
        let verdict = run(&history, Options::default());
        assert!(verdict.trace != 0 && verdict.runs > 0, "seed {seed} does nothing");
        assert_eq!(verdict, run(&history, Options::default()), "seed {seed}");
        // Whether somebody watches makes no difference.
        let watched = run(&history, Options { verbose: true, ..Options::default() });
        assert_eq!((verdict.trace, verdict.rounds), (watched.trace, watched.rounds), "seed {seed}");
    }
}

/// Shows the history of `CASEBRIDGE_SEED`, shortened if it fails (unless `CASEBRIDGE_WHOLE` is set), event by event.
#[test]
fn replay() {
    let seed = number("CASEBRIDGE_SEED").unwrap_or(0);
    let whole = generate::history(seed);
    let history = if number("CASEBRIDGE_WHOLE").is_some() {
        whole
    } else {
        shorten::shorten(&whole, mutation::chosen())
    };
    let verdict = run(&history, Options { verbose: true, mutation: mutation::chosen() });
    println!("{}\n{}\n{:?}", verdict.log, shorten::as_rust(&history), verdict.violation);
    assert!(!verdict.log.is_empty(), "nothing happened");
    assert_eq!(verdict.violation, None, "seed {seed}");
}

/// What goes wrong how often in `CASEBRIDGE_SURVEY` histories, with the first seed of each kind: for those who hunt.
#[test]
fn survey() {
    let count = number("CASEBRIDGE_SURVEY").unwrap_or(20);
    let first = number("CASEBRIDGE_FIRST_SEED").unwrap_or(0);
    let explored = explore::survey(first, count, mutation::chosen());
    let mut kinds = std::collections::BTreeMap::<String, Vec<&explore::Failure>>::new();
    for failure in &explored.failures {
        kinds.entry(shorten::kind(&failure.violation)).or_default().push(failure);
    }
    let mut kinds: Vec<_> = kinds.into_values().collect();
    kinds.sort_by_key(Vec::len);
    for failures in kinds.into_iter().rev() {
        let (times, first) = (failures.len(), failures[0]);
        println!("{times:6}  seed {}: {}", first.seed, first.violation.chars().take(220).collect::<String>());
        let others: Vec<String> = failures[1..].iter().map(|failure| failure.seed.to_string()).collect();
        if !others.is_empty() {
            println!("        and {}", others.join(", "));
        }
    }
    println!("{explored}");
    assert_eq!(explored.histories, count);
}

/// Each rule that can be turned off is missed within as many histories as the table says.
#[test]
fn the_absence_of_a_rule_is_noticed() {
    mutation::prove();
}
