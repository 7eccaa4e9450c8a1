//! Most integration tests in one binary; its modules are the suites. The main job's table is one of its own, so that both compile at once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its support code as well as in the test function"
)]

/// Takes less processor time than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod alerts;
mod architecture;
mod callers;
mod check_command;
mod command_line;
mod configuration;
mod costs;
mod csapi_client;
mod deploy_files;
mod desk_commands;
mod embedded_cron;
mod embedded_queue;
mod example_desk;
mod google_credentials;
mod google_files;
mod hostile_crm;
mod jira_adapter;
mod jira_scenarios;
mod linking;
mod logs;
mod network;
mod networks;
mod newcomers;
mod oauth;
mod openapi;
mod operators;
mod outbound;
mod pages;
mod planner;
mod pull;
mod push;
mod push_setup;
mod sandbox_csapi;
mod sandbox_jira;
mod sandbox_servicenow;
mod sandbox_setup;
mod sandbox_zendesk;
mod servicenow_adapter;
mod sqlite_store;
mod status_log;
mod text;
mod tolerances;
mod traces;
mod zendesk_adapter;
mod zendesk_scenarios;
