//! Decisions of the connector, without I/O: no runtime, no HTTP, no store. The compiler enforces this, since the crate depends on none of
//! them.
//!
//! `ARCHITECTURE.md` has the map, `docs/design.md` the rules (`R1` to `R39`).

pub mod cases;
pub mod clock;
pub mod entities;
pub mod sync;
