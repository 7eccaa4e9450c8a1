//! A small CSAPI, a small Pub/Sub and small CRMs (Jira, ServiceNow, Zendesk) that speak the real wire protocols, for trying things out and for tests.
//!
//! Only `main.rs` and the tests use them. Each sandbox is an `axum::Router` over state of its own; [`faults`] makes any of
//! them misbehave on demand, and [`page`] is the common layout of their pages for people.

mod blobs;
pub mod csapi;
pub mod faults;
pub mod jira;
pub mod oauth;
mod outbox;
pub mod page;
mod panel;
pub mod pubsub;
pub mod servicenow;
pub mod zendesk;
