//! What every implementation of a trait must hold, as one suite per trait.

pub(crate) mod crm;
mod sqlite_store;
pub(crate) mod store;
