//! What strangers, upstreams and files may do to the service: property tests of everything that reads what others wrote, the
//! caps on what it takes, and what `SECURITY.md` promises.
//!
//! `cargo test --test hostile` runs a moderate number of random cases, few of what is dear; `PROPTEST_CASES=N` runs N of each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its support code as well as in the test function"
)]

/// Takes less processor time than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[path = "hostile/addresses.rs"]
mod addresses;
#[path = "hostile/answers.rs"]
mod answers;
#[path = "hostile/caps.rs"]
mod caps;
#[path = "hostile/connector.rs"]
mod connector;
#[path = "hostile/files.rs"]
mod files;
#[path = "hostile/panics.rs"]
mod panics;
#[path = "hostile/request_tracker.rs"]
mod request_tracker;
#[path = "hostile/requests.rs"]
mod requests;
#[path = "hostile/secrets.rs"]
mod secrets;
#[path = "hostile/spoil.rs"]
mod spoil;
#[path = "hostile/subjects.rs"]
mod subjects;
#[path = "hostile/texts.rs"]
mod texts;
#[path = "hostile/tls.rs"]
mod tls;

use proptest::test_runner::Config;

/// So many random cases, unless `PROPTEST_CASES` says otherwise.
fn cases(usual: u32) -> Config {
    Config {
        cases: usual,
        // A case that talks to servers takes a while.
        max_shrink_iters: 300,
        failure_persistence: None,
        ..Config::default()
    }
}

/// Runs it to its end, on a runtime of its own.
fn run<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(what)
}
