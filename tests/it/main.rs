//! The only integration test binary; its modules are the suites.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its support code as well as in the test function"
)]

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../main_job/mod.rs"]
mod main_job;

mod architecture;
mod callers;
mod configuration;
mod contract;
mod costs;
mod csapi_client;
mod deploy_files;
mod embedded_cron;
mod embedded_queue;
mod google_credentials;
mod hostile_crm;
mod jira_adapter;
mod jira_scenarios;
mod logs;
mod main_job_table;
mod newcomers;
mod oauth;
mod outbound;
mod planner;
mod queue_contract;
mod sandbox_csapi;
mod sandbox_jira;
mod sandbox_servicenow;
mod sandbox_zendesk;
mod scripted;
mod servicenow_adapter;
mod tolerances;
mod zendesk_adapter;
mod zendesk_scenarios;
