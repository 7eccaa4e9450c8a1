//! Contracts of traits: one suite for each trait, which all of its implementations must pass.

pub(crate) mod crm;
mod sqlite_store;
pub(crate) mod store;
