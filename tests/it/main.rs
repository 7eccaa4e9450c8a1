//! The one integration test binary; its modules are the suites.
mod sandbox_jira;
