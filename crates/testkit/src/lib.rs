//! What the test suites share, compiled once: a whole connector on loopback, the table of the main job, the contracts of the traits, the
//! real binary as a process.
#![allow(
    missing_docs,
    clippy::expect_used,
    clippy::len_without_is_empty,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::new_without_default,
    clippy::return_self_not_must_use,
    clippy::should_implement_trait,
    clippy::panic,
    clippy::unwrap_used,
    reason = "it is part of tests, which fail by panicking"
)]

pub mod contract;
pub mod dice;
pub mod harness;
pub mod main_job;
pub mod memory;
pub mod scripted;
pub mod service;
pub mod traces;
