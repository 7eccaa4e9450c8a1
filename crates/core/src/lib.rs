//! What the connector decides, without I/O: no runtime, no HTTP, no store. The compiler holds that, since this crate depends on none.
//!
//! `ARCHITECTURE.md` has the map, `docs/design.md` the rules (`R1` to `R39`).

pub mod cases;
pub mod clock;
pub mod entities;
pub mod sync;
