//! Keeps Google Cloud support cases and a company's service desk in step, both ways.
//!
//! Modules in reading order. `ARCHITECTURE.md` has the map, `docs/design.md` the contract (rules `R1` to `R39`).

pub use casebridge_core::{cases, clock, entities, sync};
#[cfg(feature = "sandbox")]
pub use casebridge_sandbox as sandbox;

mod address;
pub mod config;
pub mod crm;
pub mod csapi;
pub mod http;
pub mod oidc;
#[cfg(feature = "otlp")]
pub mod otlp;
pub mod outbound;
pub mod progress;
pub mod puller;
pub mod push;
pub mod queue;
pub mod secrets;
mod spelling;
pub mod sqlite;
pub mod store;
pub mod tasks;
pub mod telemetry;
