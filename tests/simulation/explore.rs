//! Runs many histories, on as many threads as there are cores.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::coverage::Coverage;
use crate::generate;
use crate::mutation::Mutation;
use crate::run::{Options, run};
use crate::shorten;

/// A history that went wrong.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    pub(crate) violation: String,
}

/// What many histories came to.
#[derive(Debug, Default)]
pub(crate) struct Explored {
    pub(crate) histories: u64,
    runs: u64,
    writes: u64,
    most_rounds: u32,
    pub(crate) seen: Coverage,
    /// By seed.
    pub(crate) failures: Vec<Failure>,
    took: Duration,
    threads: usize,
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = u32::try_from(self.threads).unwrap_or(1);
        let histories = u32::try_from(self.histories).unwrap_or(u32::MAX).max(1);
        let per_history = self.took.as_secs_f64() * 1e3 * f64::from(threads) / f64::from(histories);
        writeln!(f, "{}", self.seen)?;
        write!(
            f,
            "{} histories: {} runs of tasks, {} writes, at most {} rounds until both sides agreed; {:.1} s on {} threads, \
             {per_history:.2} ms for each history and thread",
            self.histories,
            self.runs,
            self.writes,
            self.most_rounds,
            self.took.as_secs_f64(),
            self.threads
        )
    }
}

/// The number in that environment variable.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

/// Runs the histories of `count` seeds from `first`, until one fails.
pub(crate) fn explore(first: u64, count: u64, mutation: Option<Mutation>) -> Explored {
    on_all_cores(first, count, mutation, false)
}

/// Runs the histories of `count` seeds from `first`, whatever they come to.
pub(crate) fn survey(first: u64, count: u64, mutation: Option<Mutation>) -> Explored {
    on_all_cores(first, count, mutation, true)
}

fn on_all_cores(first: u64, count: u64, mutation: Option<Mutation>, go_on: bool) -> Explored {
    let threads = number("CASEBRIDGE_THREADS")
        .and_then(|threads| usize::try_from(threads).ok())
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    let started = Instant::now();
    let next = AtomicU64::new(first);
    let end = AtomicU64::new(first + count);
    let total = Mutex::new(Explored { threads, ..Explored::default() });
    let work = || {
        let mut own = Explored::default();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= end.load(Ordering::Relaxed) {
                break;
            }
            let verdict = run(&generate::history(seed), Options { mutation, ..Options::default() });
            own.histories += 1;
            own.runs += verdict.runs as u64;
            own.writes += verdict.writes;
            own.most_rounds = own.most_rounds.max(verdict.rounds);
            own.seen.add(&verdict.seen);
            if let Some(violation) = verdict.violation {
                own.failures.push(Failure { seed, violation });
                if !go_on {
                    // Every smaller seed has been begun already, and is finished.
                    end.fetch_min(seed, Ordering::Relaxed);
                }
            }
        }
        let mut total = total.lock().unwrap();
        total.histories += own.histories;
        total.runs += own.runs;
        total.writes += own.writes;
        total.most_rounds = total.most_rounds.max(own.most_rounds);
        total.seen.add(&own.seen);
        total.failures.extend(own.failures);
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut total = total.into_inner().unwrap();
    total.failures.sort_by_key(|failure| failure.seed);
    total.took = started.elapsed();
    total
}

/// What a person needs to go on: the seed, the shortened history, and the command that replays it.
pub(crate) fn explain(failure: &Failure) -> String {
    let whole = generate::history(failure.seed);
    let short = shorten::shorten(&whole, None);
    format!(
        "seed {}: {}\n\nshortened from {} steps to {}:\n{}\n\nreplay it: CASEBRIDGE_SEED={} .ci/simulation.sh replay",
        failure.seed,
        failure.violation,
        whole.steps.len(),
        short.steps.len(),
        shorten::as_rust(&short),
        failure.seed,
    )
}
