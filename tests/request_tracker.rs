//! The Request Tracker adapter against the real Request Tracker 5, and whole connectors with it.
//!
//! Runs with `cargo test --test request_tracker`. Needs what `.ci/request-tracker.sh` installs; starts and
//! stops its own servers, each with its own database, on free ports. What is missing fails.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its support code as well as in the test function"
)]

#[path = "request_tracker/check.rs"]
mod check;
#[path = "request_tracker/contract.rs"]
mod contract;
#[path = "request_tracker/main_job.rs"]
mod main_job_table;
#[path = "request_tracker/push.rs"]
mod push;
#[path = "request_tracker/scenarios.rs"]
mod scenarios;
#[path = "request_tracker/server.rs"]
mod server;
#[path = "request_tracker/world.rs"]
mod world;
