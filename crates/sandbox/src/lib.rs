//! A small CSAPI and a small CRM that speak the real wire protocols, for trying things out and for tests.
//!
//! Only `main.rs` and the tests know them. Each sandbox is an `axum::Router` over state of its own; [`faults`] makes any of
//! them misbehave on demand, [`page`] is the look that their pages for people share.

mod blobs;
pub mod csapi;
pub mod faults;
pub mod jira;
pub mod page;
pub mod servicenow;
pub mod zendesk;
