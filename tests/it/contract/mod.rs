//! What every implementation of a trait must hold, as one suite per trait.

mod sqlite_store;
pub(crate) mod store;
