//! The one integration test binary; its modules are the suites.

mod outbound;
mod scripted;
