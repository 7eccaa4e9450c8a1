//! The one integration test binary; its modules are the suites.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its support code as well as in the test function"
)]

mod architecture;
mod configuration;
mod contract;
mod csapi_client;
mod deploy_files;
mod embedded_cron;
mod embedded_queue;
mod google_credentials;
mod jira_adapter;
mod main_job;
mod outbound;
mod planner;
mod queue_contract;
mod sandbox_csapi;
mod sandbox_jira;
mod sandbox_zendesk;
mod scenarios;
mod scripted;
mod support;
mod zendesk_adapter;
mod zendesk_scenarios;
