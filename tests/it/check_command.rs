//! `casebridge check` and `casebridge mappings` as commands, against sandboxes: each side without the other, JSON always, no credentials
//! where none are needed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use casebridge::clock::{Clock as _, SharedClock, SystemClock};
use casebridge::sandbox::csapi::{Author, CLASSIFICATION_ID, NewCase, Priority, SandboxCsapi};
use casebridge::sandbox::jira::{SandboxJira, SandboxJiraAuth, SandboxJiraSettings};
use casebridge::sandbox::oauth::OauthClient;
use casebridge::sandbox::pubsub::SandboxPubsub;
use casebridge_testkit::harness::serve;
use casebridge_testkit::service::client;
use serde_json::{Value, json};

/// Runs the program in a folder of its own environment. Returns the exit status, standard output and standard error.
async fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_casebridge"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(variables.iter().copied())
        .output()
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Runs `check --json`. Returns the exit status and the object, of which each check has its four members.
async fn json(folder: &Path, variables: &[(&str, &str)]) -> (i32, Value) {
    let (code, output, error) = run(folder, &["check", "--json"], variables).await;
    let answer: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output}{error}"));
    for check in answer["checks"].as_array().unwrap() {
        assert!(["ok", "WARN", "FAILED"].contains(&check["status"].as_str().unwrap()), "{check}");
        assert!(check["what"].is_string() && check["detail"].is_string(), "{check}");
        let hint = check.as_object().unwrap().get("hint").unwrap();
        assert!(hint.is_string() || hint.is_null(), "{check}");
    }
    (code, answer)
}

fn check<'a>(answer: &'a Value, what: &str) -> &'a Value {
    let mut checks = answer["checks"].as_array().unwrap().iter();
    let found = checks.find(|check| check["what"].as_str().unwrap().starts_with(what));
    found.unwrap_or_else(|| panic!("{what}: {answer:#}"))
}

/// Google's side with one case, and its part of the configuration.
async fn google() -> String {
    let csapi = SandboxCsapi::new(Arc::new(SystemClock), "organizations/123");
    csapi
        .create_case(NewCase {
            parent: "organizations/123".to_owned(),
            display_name: "A case".to_owned(),
            description: "Its description".to_owned(),
            priority: Priority::P2,
            author: Author::customer("Grace Hopper"),
        })
        .unwrap();
    format!(
        "[google]\nparent = \"organizations/123\"\nauth = \"none\"\nclassification_id = \"{CLASSIFICATION_ID}\"\n\
         base_url = \"http://{}\"\n",
        serve(csapi.router()).await
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn one_side_is_tried_although_the_others_credentials_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    let text = google().await
        + "[company]\nkind = \"jira\"\nbase_url = \"http://127.0.0.1:9\"\n[company.jira]\nproject = \"SUP\"\n\
           email = \"a@b.example\"\napi_token = \"env:NOT_SET\"\n";
    std::fs::write(folder.path().join("casebridge.toml"), text).unwrap();
    let (code, output, error) = run(folder.path(), &["check"], &[]).await;
    assert_eq!(code, 1, "{output}{error}");
    for line in [
        "ok      store: sqlite:casebridge.db: can be read and written",
        "ok      queues: embedded",
        "ok      CSAPI: search cases of organizations/123: ",
        "FAILED  Jira: credentials: ",
    ] {
        assert!(output.lines().any(|found| found.starts_with(line)), "{line}\n{output}");
    }
    assert!(output.contains("NOT_SET is not set, or empty; set NOT_SET"), "{output}");
    let (code, answer) = json(folder.path(), &[]).await;
    assert_eq!((code, &answer["status"]), (1, &json!("FAILED")));
    assert_eq!(check(&answer, "CSAPI: search")["status"], "ok");
    assert_eq!(check(&answer, "Jira: credentials")["status"], "FAILED");
    // Mappings are in the store alone, and nothing leaves a file behind.
    let (code, output, error) = run(folder.path(), &["mappings"], &[]).await;
    assert_eq!((code, output.as_str()), (0, ""), "{error}");
    assert!(error.contains("casebridge.db is not there yet"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "the configuration alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_side_is_tried_although_the_other_is_not_configured() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("casebridge.toml"),
        google().await + "requests_per_minute = \"many\"\n",
    )
    .unwrap();
    let (code, answer) = json(folder.path(), &[("CASEBRIDGE_GOOGLE__REQUESTS_PER_MINUTE", "100")]).await;
    assert_eq!((code, &answer["status"]), (2, &json!("FAILED")));
    assert_eq!(check(&answer, "CSAPI: search")["status"], "ok");
    let wrong = |key: &str, variable: &str| {
        let mut checks = answer["checks"].as_array().unwrap().iter();
        checks.any(|check| {
            let detail = check["detail"].as_str().unwrap();
            check["what"] == "configuration" && detail.contains(key) && detail.contains(variable)
        })
    };
    assert!(wrong("company.kind is missing", "CASEBRIDGE_COMPANY__KIND"), "{answer:#}");
    assert!(wrong("company.base_url is missing", "CASEBRIDGE_COMPANY__BASE_URL"), "{answer:#}");
    // The object comes even where nothing can be read.
    std::fs::write(folder.path().join("casebridge.toml"), "[google\n").unwrap();
    let (code, answer) = json(folder.path(), &[]).await;
    assert_eq!((code, &answer["status"]), (2, &json!("FAILED")));
    assert_eq!(answer["checks"].as_array().unwrap().len(), 1, "{answer:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_app_engine_would_be_given_is_read_from_app_yaml() {
    let folder = tempfile::tempdir().unwrap();
    let clock: SharedClock = Arc::new(SystemClock);
    let csapi = serve(SandboxCsapi::new(clock.clone(), "organizations/123").router()).await;
    let token = "of-app-engine";
    let auth = SandboxJiraAuth::Basic { email: "a@b.example".to_owned(), token: token.to_owned() };
    let jira = SandboxJira::new(clock, SandboxJiraSettings { auth, ..SandboxJiraSettings::default() });
    let jira = serve(jira.router()).await;
    let app = format!(
        "runtime: custom\nenv_variables:\n  CASEBRIDGE_SERVER__PLATFORM: app-engine # JSON logs\n  \
         CASEBRIDGE_GOOGLE__PARENT: \"organizations/123\"\n  CASEBRIDGE_GOOGLE__AUTH: none\n  \
         CASEBRIDGE_GOOGLE__BASE_URL: http://{csapi}\n  CASEBRIDGE_GOOGLE__CLASSIFICATION_ID: '{CLASSIFICATION_ID}'\n  \
         CASEBRIDGE_COMPANY__KIND: jira\n  CASEBRIDGE_COMPANY__BASE_URL: 'http://{jira}' # quoted\n  \
         CASEBRIDGE_COMPANY__JIRA__PROJECT: SUP\n  CASEBRIDGE_COMPANY__JIRA__EMAIL: a@b.example\n  \
         CASEBRIDGE_COMPANY__JIRA__API_TOKEN: env:TOKEN\n  TOKEN: \"{token}\"\n"
    );
    std::fs::write(folder.path().join("app.yaml"), app).unwrap();
    // Neither of these counts.
    std::fs::write(folder.path().join("casebridge.toml"), "[sink]\nx = 1\n").unwrap();
    let ours = [("CASEBRIDGE_GOOGLE__PARENT", "organizations/9"), ("TOKEN", "of-the-shell")];
    let (code, output, error) = run(folder.path(), &["check", "--app-yaml", "app.yaml"], &ours).await;
    assert_eq!(code, 0, "a warning is no failure: {output}{error}");
    assert!(
        output.contains("WARN    CSAPI: search cases of organizations/123: no case at all; if "),
        "{output}"
    );
    assert!(output.contains("ok      Jira: credentials: signed in as"), "{output}");
    assert!(!output.contains("callers") && !output.contains(token), "{output}");
    // A secret that only the shell has is none that App Engine will have.
    let app = std::fs::read_to_string(folder.path().join("app.yaml")).unwrap();
    let without = app.replace(&format!("  TOKEN: \"{token}\"\n"), "");
    std::fs::write(folder.path().join("app.yaml"), without).unwrap();
    let (code, output, _) = run(folder.path(), &["check", "--app-yaml", "app.yaml"], &ours).await;
    let line = output.lines().find(|line| line.contains("Jira: credentials")).unwrap();
    assert_eq!(code, 1, "{output}");
    for part in ["TOKEN is not among the file's env_variables", "add TOKEN to the file's env_variables"] {
        assert!(line.contains(part), "{line}");
    }
    let (code, output, _) = run(folder.path(), &["check", "--json", "--app-yaml", "none.yaml"], &[]).await;
    let answer: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((code, &answer["status"]), (2, &json!("FAILED")));
    assert!(
        check(&answer, "configuration")["detail"].as_str().unwrap().starts_with("none.yaml cannot be read")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_or_certificates_that_the_client_would_ignore_are_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("casebridge.toml"), google().await).unwrap();
    for (variable, value) in
        [("HTTPS_PROXY", "http//user:pass@proxy"), ("ALL_PROXY", "socks5://user:pass@proxy.example:1080")]
    {
        let (_, answer) = json(folder.path(), &[(variable, value)]).await;
        let proxy = check(&answer, "proxy");
        assert_eq!(proxy["status"], "FAILED");
        let (detail, hint) = (proxy["detail"].as_str().unwrap(), proxy["hint"].as_str().unwrap());
        assert!(detail.starts_with(variable) && hint.contains("http://proxy.example:3128"), "{proxy}");
        assert!(!format!("{answer}").contains("pass@"), "{answer:#}");
    }
    let (_, answer) = json(folder.path(), &[("SSL_CERT_FILE", "/nowhere/ca.pem")]).await;
    let certificates = check(&answer, "certificates");
    assert_eq!(certificates["status"], "FAILED");
    assert!(
        certificates["detail"].as_str().unwrap().starts_with("SSL_CERT_FILE: /nowhere/ca.pem cannot be read")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_end_and_scopes_that_are_missing_are_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let client = OauthClient::new("casebridge", "s3cret-of-the-client", Duration::from_hours(1))
        .with_scopes("read:jira-work write:jira-work");
    let auth = SandboxJiraAuth::OauthClient(client);
    let settings = SandboxJiraSettings { auth, ..SandboxJiraSettings::default() };
    let site = serve(SandboxJira::new(Arc::new(SystemClock), settings).router()).await;
    let end = (SystemClock.now() + chrono::Duration::days(10)).format("%F");
    let text = google().await
        + &format!(
            "key_expires = \"2099-01-01\"\n[company]\nkind = \"jira\"\nbase_url = \"http://{site}\"\n[company.jira]\nproject = \"SUP\"\n\
             client_id = \"casebridge\"\nclient_secret = \"env:SECRET\"\ntoken_url = \"http://{site}/oauth/token\"\n\
             gateway_url = \"http://{site}/ex/jira\"\ntoken_expires = \"{end}\"\n"
        );
    std::fs::write(folder.path().join("casebridge.toml"), text).unwrap();
    let (code, answer) = json(folder.path(), &[("SECRET", "s3cret-of-the-client")]).await;
    assert_eq!((code, &answer["status"]), (0, &json!("WARN")), "{answer:#}");
    let scopes = check(&answer, "Jira: scopes");
    assert_eq!(scopes["status"], "WARN");
    assert!(scopes["detail"].as_str().unwrap().contains("lacks read:jira-user and has "), "{scopes}");
    let ends = check(&answer, "Jira: end of the credentials");
    assert_eq!(ends["status"], "WARN");
    // In 8 days if a day ended in the middle of the test.
    let told = [9, 8].map(|days| format!("ends on {end}, in {days} days"));
    assert!(told.iter().any(|words| ends["detail"].as_str().unwrap().contains(words)), "{ends}");
    assert_eq!(check(&answer, "CSAPI: end of the credentials")["status"], "ok");
    assert_eq!(check(&answer, "Jira: clock skew")["status"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_subscription_to_pull_from_is_tried_at_the_emulator_that_the_variable_names() {
    let pubsub = SandboxPubsub::new(Arc::new(SystemClock), None);
    let address = serve(pubsub.router()).await;
    let folder = tempfile::tempdir().unwrap();
    let text = google().await
        + "[push.google]\npull = \"projects/p/subscriptions/case-events\"\n[company]\nkind = \"jira\"\n\
           base_url = \"http://127.0.0.1:9\"\n[company.jira]\nproject = \"SUP\"\nemail = \"a@b.example\"\n\
           api_token = \"env:NOT_SET\"\n";
    std::fs::write(folder.path().join("casebridge.toml"), text).unwrap();
    let emulator = address.to_string();
    let variables = [("PUBSUB_EMULATOR_HOST", emulator.as_str())];
    let what = "Pub/Sub: projects/p/subscriptions/case-events";
    let (_, answer) = json(folder.path(), &variables).await;
    let missing = check(&answer, what);
    assert_eq!(missing["status"], "FAILED");
    assert!(missing["hint"].as_str().unwrap().contains("gcloud pubsub subscriptions create case-events"));
    let http = client();
    for (name, body) in [
        ("topics/case-events", json!({})),
        ("subscriptions/case-events", json!({ "topic": "projects/p/topics/case-events" })),
    ] {
        let url = format!("http://{address}/v1/projects/p/{name}");
        assert_eq!(http.put(url).json(&body).send().await.unwrap().status(), 200, "{name}");
    }
    let (_, answer) = json(folder.path(), &variables).await;
    assert_eq!(check(&answer, what)["status"], "ok");
}
