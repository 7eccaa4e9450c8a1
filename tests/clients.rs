//! Other people's clients, unchanged, against the sandboxes: they hold a simulated server to the truth. And a client that other people's
//! generator makes of our own description, against the service; and a collector of theirs behind it.
//!
//! Needs a Python that has the packages of `tests/clients/requirements.txt`:
//! `.ci/python-clients.sh` makes one and prints its path, which `CASEBRIDGE_CLIENTS_PYTHON` overrides. Without it these tests fail;
//! they are never skipped.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its support code as well"
)]

#[path = "clients/collector.rs"]
mod collector;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use casebridge::clock::SystemClock;
use casebridge::config::Platform;
use casebridge::sandbox::csapi::SandboxCsapi;
use casebridge::sandbox::jira::{ResolutionOnClosing, SandboxJira, SandboxJiraAuth, SandboxJiraSettings};
use casebridge::sandbox::oauth::OauthClient;
use casebridge::sandbox::servicenow::{SandboxServiceNow, SandboxServiceNowAuth, SandboxServiceNowSettings};
use casebridge::sandbox::zendesk::{SandboxZendesk, SandboxZendeskAuth, SandboxZendeskSettings};
use casebridge_testkit::harness::World;
use casebridge_testkit::harness::jira::JiraKind;
use tokio::task::JoinHandle;

/// The Python to use, or what to do to have one.
fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("CASEBRIDGE_CLIENTS_PYTHON")
        .map_or_else(|| root.join("target/clients-venv/bin/python"), PathBuf::from);
    assert!(
        python.exists(),
        "{} does not exist: run .ci/python-clients.sh, or set CASEBRIDGE_CLIENTS_PYTHON to a Python that has the packages \
         of tests/clients/requirements.txt",
        python.display()
    );
    python
}

/// Serves a router on a port of its own; returns its URL.
async fn serve(router: axum::Router) -> (String, JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (url, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

/// Runs a script of `tests/clients` to its end; it must say that all passed.
async fn run(script: &str, arguments: Vec<String>) {
    let python = python();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let run = move || {
        let mut command = Command::new(python);
        command.arg(script).args(arguments).env("NO_PROXY", "*").output()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap().expect("Python starts");

    let printed = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    println!("{printed}");
    assert!(output.status.success(), "{}\n{printed}\n{complaints}", output.status);
    assert!(
        printed.trim_end().ends_with("all passed"),
        "the closing line is missing:\n{printed}\n{complaints}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn googles_python_clients_work_with_the_sandbox_csapi() {
    let sandbox = SandboxCsapi::new(Arc::new(SystemClock), "organizations/123");
    sandbox.seed_samples().unwrap();
    let (url, server) = serve(sandbox.router()).await;
    run("csapi_google_client.py", vec![url]).await;
    server.abort();
}

/// Returns the OAuth client whose tokens the scripts request, told `oauth`: the only credentials that are taken then.
fn client() -> OauthClient {
    OauthClient::new("casebridge", "secret", Duration::from_hours(1))
}

/// The credentials are those that the script sends.
async fn jiras_python_client_works_with(deployment: &str, settings: SandboxJiraSettings) {
    let oauth = matches!(settings.auth, SandboxJiraAuth::OauthClient(_)).then(|| "oauth".to_owned());
    let sandbox = SandboxJira::new(Arc::new(SystemClock), settings);
    sandbox.seed_samples().unwrap();
    let (url, server) = serve(sandbox.router()).await;
    let (media_url, media_server) = serve(sandbox.media_router()).await;
    sandbox.set_media_base(&media_url);
    run("jira_client.py", [deployment.to_owned(), url].into_iter().chain(oauth).collect()).await;
    server.abort();
    media_server.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_client_jira_works_with_the_sandbox_jira_as_cloud() {
    let auth = SandboxJiraAuth::Basic { email: "bot@example.com".to_owned(), token: "secret".to_owned() };
    let settings = SandboxJiraSettings { auth, service_management: true, ..SandboxJiraSettings::default() };
    jiras_python_client_works_with("cloud", settings).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_client_jira_works_with_the_sandbox_jira_as_data_center() {
    let auth = SandboxJiraAuth::Bearer { token: "secret".to_owned() };
    let settings = SandboxJiraSettings {
        auth,
        resolution_on_closing: ResolutionOnClosing::Required,
        ..SandboxJiraSettings::data_center()
    };
    jiras_python_client_works_with("data-center", settings).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_client_jira_works_with_an_access_token_through_the_gateway_of_cloud() {
    let auth = SandboxJiraAuth::OauthClient(client());
    let settings = SandboxJiraSettings { auth, service_management: true, ..SandboxJiraSettings::default() };
    jiras_python_client_works_with("cloud", settings).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_client_jira_works_with_an_access_token_of_data_center() {
    let settings = SandboxJiraSettings {
        auth: SandboxJiraAuth::OauthClient(client()),
        resolution_on_closing: ResolutionOnClosing::Required,
        ..SandboxJiraSettings::data_center()
    };
    jiras_python_client_works_with("data-center", settings).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_client_zenpy_works_with_the_sandbox_zendesk() {
    let auth =
        SandboxZendeskAuth::ApiToken { email: "bot@example.com".to_owned(), token: "secret".to_owned() };
    zenpy_works_with(auth, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_python_client_zenpy_works_with_an_access_token() {
    zenpy_works_with(SandboxZendeskAuth::OauthClient(client()), Some("oauth")).await;
}

/// The credentials are those that the script sends.
async fn zenpy_works_with(auth: SandboxZendeskAuth, how: Option<&str>) {
    // Small pages, so that there are several.
    let settings = SandboxZendeskSettings { auth, page_limit: 3, ..SandboxZendeskSettings::default() };
    let sandbox = SandboxZendesk::new(Arc::new(SystemClock), settings);
    sandbox.seed_samples().unwrap();
    let (url, server) = serve(sandbox.router()).await;
    let (content_url, content_server) = serve(sandbox.content_router()).await;
    sandbox.set_content_base(&content_url);
    run("zendesk_zenpy.py", [url].into_iter().chain(how.map(str::to_owned)).collect()).await;
    server.abort();
    content_server.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_vendors_python_client_pysnc_works_with_the_sandbox_servicenow() {
    let auth = SandboxServiceNowAuth::Basic { user: "bot".to_owned(), password: "secret".to_owned() };
    pysnc_works_with(auth, None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_vendors_python_client_pysnc_works_with_an_access_token() {
    pysnc_works_with(SandboxServiceNowAuth::OauthClient(client()), Some("oauth")).await;
}

/// The credentials are those that the script sends.
async fn pysnc_works_with(auth: SandboxServiceNowAuth, how: Option<&str>) {
    let settings =
        SandboxServiceNowSettings { auth, account: "bot".to_owned(), ..SandboxServiceNowSettings::default() };
    let sandbox = SandboxServiceNow::new(Arc::new(SystemClock), settings);
    sandbox.seed_samples().unwrap();
    let (url, server) = serve(sandbox.router()).await;
    run("servicenow_pysnc.py", [url].into_iter().chain(how.map(str::to_owned)).collect()).await;
    server.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_generated_from_the_description_works_with_the_service() {
    let world = World::new(&JiraKind).await;
    world.pair().await;
    let at = world.another_instance(Platform::Local, Some("the-admin-token")).await;
    run("openapi_client.py", vec![format!("http://{at}")]).await;
}
