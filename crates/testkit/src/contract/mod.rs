//! Contracts of traits: one suite for each trait, which all of its implementations must pass.

pub mod crm;
pub mod queue;
pub mod store;
