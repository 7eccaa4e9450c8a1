//! Keeps Google Cloud support cases and a company's service desk in step, both ways.
//!
//! The modules in reading order; `ARCHITECTURE.md` has the map, `docs/design.md` the contract (rules `R1` to `R25`).

pub mod cases;
pub mod clock;
pub mod config;
pub mod crm;
pub mod csapi;
pub mod entities;
pub mod http;
pub mod outbound;
pub mod queue;
pub mod sandbox;
pub mod secrets;
pub mod store;
pub mod sync;
pub mod tasks;
pub mod telemetry;
