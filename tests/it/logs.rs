//! Log of the program on App Engine as Cloud Logging reads it, and the alert policies under `deploy/` against it: each
//! depends on a metric or an entry that really exists.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use casebridge::clock::{Clock as _, SystemClock};
use casebridge::entities::{
    CaseMapping, CompanyCaseId, Conflict, ConflictCause, FirstSeen, GoogleCaseName, ReadOnly,
};
use casebridge::sandbox::csapi::{Author, CLASSIFICATION_ID, NewCase, Priority, SandboxCsapi};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::jira::{SandboxJira, SandboxJiraSettings};
use casebridge::store::{SqliteStore, Store as _};
use casebridge::tasks::{Outcome, TaskKind};
use chrono::TimeDelta;
use serde_json::{Map, Value, json};

use casebridge_testkit::harness::log::Log;
use casebridge_testkit::harness::serve;
use casebridge_testkit::service::{free_port, read_log};

const ADMIN: &str = "the-admin-token-of-this-test";
const TITLE: &str = "title-that-nobody-logs";
const DESCRIPTION: &str = "description-that-nobody-logs";
const REPORTED: &str = "type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent";

/// Service as App Engine starts it; killed on drop.
struct Service {
    process: Child,
    port: u16,
    reader: Option<JoinHandle<Vec<String>>>,
}

impl Service {
    fn start(config: &Path) -> Self {
        let port = free_port();
        let process = Command::new(env!("CARGO_BIN_EXE_casebridge"))
            .args(["--config", config.to_str().unwrap(), "serve"])
            .env("PORT", port.to_string())
            .env("GOOGLE_CLOUD_PROJECT", "p")
            .env("GAE_SERVICE", "default")
            .env("GAE_VERSION", "7")
            .env("ADMIN", ADMIN)
            // The finest level that can be configured.
            .env("RUST_LOG", "trace")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut service = Self { process, port, reader: None };
        let (listens, reader) = read_log(service.process.stderr.take().unwrap());
        service.reader = Some(reader);
        listens.recv().expect("the service starts");
        service
    }

    /// Stops the service as App Engine does; returns everything that it wrote.
    fn stop(mut self) -> Vec<Value> {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert!(self.process.wait().unwrap().success());
        let written = self.reader.take().unwrap().join().unwrap();
        let parsed =
            |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        written.iter().map(parsed).collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the service between two sandboxes through every situation that an alert covers. Returns the lines that it wrote, and for each
/// task that was sent its trace, its kind and its outcome.
async fn written() -> (Vec<Value>, Vec<(String, TaskKind, Outcome)>) {
    casebridge::outbound::install_tls();
    let csapi = SandboxCsapi::new(Arc::new(SystemClock), "organizations/123");
    let jira = SandboxJira::new(Arc::new(SystemClock), SandboxJiraSettings::default());
    let (google, company) = (serve(csapi.router()).await, serve(jira.router()).await);
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("casebridge.db");
    let config = folder.path().join("casebridge.toml");
    let soon = (SystemClock.now() + TimeDelta::days(5)).format("%F");
    std::fs::write(
        &config,
        format!(
            r#"
server = {{ platform = "app-engine", admin_token = "env:ADMIN" }}
google = {{ parent = "organizations/123", base_url = "http://{google}", auth = "none", classification_id = "{CLASSIFICATION_ID}" }}
company = {{ kind = "jira", base_url = "http://{company}", jira = {{ project = "SUP", token_expires = "{soon}" }} }}
store = {{ url = "sqlite:{}" }}
queue = {{ cron = false }}
push = {{ google = {{ audience = "https://a.example", service_account = "a@b.example" }} }}
"#,
            database.display()
        ),
    )
    .unwrap();
    // A case that has been dirty since yesterday, and refuses every change; and one in conflict.
    let forgotten = GoogleCaseName::parse("organizations/123/cases/404").unwrap();
    let yesterday = SystemClock.now() - TimeDelta::days(1);
    let store = SqliteStore::open(&database).unwrap();
    let mut mapping = CaseMapping::first_seen(FirstSeen::Google(forgotten), None, None, yesterday);
    mapping.state.read_only.google =
        Some(ReadOnly { since: yesterday, tried_at: SystemClock.now(), told: true });
    store.create(mapping).await.unwrap();
    let claims = CompanyCaseId::parse("10777").unwrap();
    let mut mapping = CaseMapping::first_seen(FirstSeen::Company(claims), None, None, yesterday);
    mapping.state.conflict = Some(Conflict {
        reason: "it names a Google case that has another partner".to_owned(),
        since: yesterday,
        told: true,
        cause: ConflictCause::Claim,
    });
    store.create(mapping).await.unwrap();
    drop(store);

    let service = tokio::task::spawn_blocking(move || Service::start(&config)).await.unwrap();
    let http = reqwest::Client::new();
    let mut sent = Vec::new();
    let mut task = async |kind: TaskKind, body: &'static str, outcome: Outcome| {
        let trace = format!("{:032x}", sent.len() + 1);
        let answer = http
            .post(format!("http://127.0.0.1:{}{}", service.port, kind.path()))
            .header("x-appengine-queuename", kind.name())
            .header("x-appengine-taskname", "5b21")
            .header("x-appengine-taskretrycount", "0")
            .header("x-cloud-trace-context", format!("{trace}/74;o=1"))
            .body(body)
            .send()
            .await
            .unwrap();
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["outcome"], json!(outcome.name()), "{kind}: {answer}");
        sent.push((trace, kind, outcome));
    };
    task(TaskKind::DetectOutages, "", Outcome::Outage).await;
    let case = NewCase {
        parent: "organizations/123".to_owned(),
        display_name: TITLE.to_owned(),
        description: DESCRIPTION.to_owned(),
        priority: Priority::P2,
        author: Author::customer("Grace Hopper"),
    };
    let case = csapi.create_case(case).unwrap().name;
    task(TaskKind::PollGoogle, "", Outcome::Done).await;
    let limit = Instant::now() + Duration::from_mins(8);
    while jira.issues().is_empty() || csapi.comments(&case).unwrap().is_empty() {
        assert!(Instant::now() < limit, "the case was not carried");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    task(TaskKind::PollCompany, "", Outcome::Done).await;
    task(TaskKind::Cleanup, "", Outcome::Done).await;
    let unknown = r#"{"case_name": "organizations/123/cases/405"}"#;
    task(TaskKind::SyncGoogleCase, unknown, Outcome::Abandoned).await;
    task(TaskKind::SyncCompanyCase, "not what it should be", Outcome::Abandoned).await;
    csapi.faults().add(Fault::always(Effect::ErrorBefore { status: 403, body: None }));
    task(TaskKind::PollGoogle, "", Outcome::Failed).await;
    // Requests of people: one with the right token, and one with a wrong one.
    for token in [ADMIN, "guessed-token"] {
        let url = format!("http://127.0.0.1:{}/api/mappings?after=0", service.port);
        http.get(url).bearer_auth(token).send().await.unwrap();
    }
    let url = format!("http://127.0.0.1:{}/metrics", service.port);
    let shown = http.get(url).bearer_auth(ADMIN).send().await.unwrap().text().await.unwrap();
    for line in [
        r#"casebridge_push_expected{side="google"} 1"#,
        r#"casebridge_push_expected{side="company"} 0"#,
        r#"casebridge_store_free_bytes{store="sqlite"} "#,
        r#"casebridge_credential_days_left{system="Jira"} "#,
        "casebridge_store_up 1",
    ] {
        assert!(shown.lines().any(|known| known.starts_with(line)), "{line}: {shown}");
    }
    let lines = tokio::task::spawn_blocking(move || service.stop()).await.unwrap();
    (lines, sent)
}

/// Converts a line to its log entry, as the agent on App Engine does (Cloud Logging, "Structured logging", special fields).
pub(crate) fn entry(line: &Value) -> Value {
    let mut payload = line.as_object().unwrap().clone();
    let mut entry = Map::new();
    entry.insert("resource".to_owned(), json!({ "type": "gae_app" }));
    for (theirs, ours) in [
        ("severity", "severity"),
        ("time", "timestamp"),
        ("httpRequest", "httpRequest"),
        ("logging.googleapis.com/trace", "trace"),
        ("logging.googleapis.com/spanId", "spanId"),
        ("logging.googleapis.com/trace_sampled", "traceSampled"),
        ("logging.googleapis.com/labels", "labels"),
        ("logging.googleapis.com/sourceLocation", "sourceLocation"),
    ] {
        if let Some(value) = payload.remove(theirs) {
            entry.insert(ours.to_owned(), value);
        }
    }
    entry.insert("jsonPayload".to_owned(), Value::Object(payload));
    Value::Object(entry)
}

/// Condition of a filter: `path`, operator, value. With the operator `OR`, the value has further conditions.
type Condition = (String, String, String);

/// Parses a filter into its conditions, all of which must hold. It supports the parts of the two query languages that the files under
/// `deploy/` use.
pub(crate) fn conditions(filter: &str) -> Vec<Condition> {
    let condition = |text: &str| {
        let text = text.trim();
        if let Some(group) = text.strip_prefix('(') {
            return (String::new(), "OR".to_owned(), group.strip_suffix(')').unwrap().to_owned());
        }
        let at = text.find(['=', ':', '>', '<']).unwrap_or_else(|| panic!("{text} is no condition"));
        let (path, rest) = text.split_at(at);
        let operator = if rest.starts_with(">=") { ">=" } else { &rest[..1] };
        (path.to_owned(), operator.to_owned(), rest[operator.len()..].to_owned())
    };
    filter.split(" AND ").map(condition).collect()
}

/// Returns the JSON pointer of a path such as `jsonPayload."task.result".conflicts`: a quoted part is one name.
pub(crate) fn pointer(path: &str) -> String {
    let parts = path.split('"').enumerate();
    let parts = parts.map(|(at, part)| if at % 2 == 0 { part.replace('.', "/") } else { part.to_owned() });
    format!("/{}", parts.collect::<String>())
}

pub(crate) fn holds(entry: &Value, (path, operator, value): &Condition) -> bool {
    const SEVERITIES: [&str; 4] = ["DEBUG", "INFO", "WARNING", "ERROR"];
    let found = entry.pointer(&pointer(path)).unwrap_or(&Value::Null);
    let rank = |severity: &str| SEVERITIES.iter().position(|known| *known == severity);
    match (operator.as_str(), value.as_str()) {
        ("OR", group) => group.split(" OR ").any(|one| holds(entry, &conditions(one)[0])),
        (":", "*") => !found.is_null(),
        ("=", list) if list.starts_with('(') => {
            list.split('"').skip(1).step_by(2).any(|known| found.as_str() == Some(known))
        }
        (">", least) => found.as_i64() > Some(least.parse().unwrap()),
        ("<", most) => found.as_i64().is_some_and(|found| found < most.trim_matches('"').parse().unwrap()),
        ("=", number) if found.is_number() => found.as_i64() == number.parse().ok(),
        ("=", quoted) => found.as_str() == Some(quoted.trim_matches('"')),
        (">=", least) => rank(found.as_str().unwrap_or_default()) >= Some(rank(least).unwrap()),
        (operator, value) => panic!("{path}{operator}{value} is not understood"),
    }
}

pub(crate) fn yaml(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn deploy() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

/// Returns the files in a folder of `deploy/alerts`, such as the policies of a platform, by their names.
pub(crate) fn policies(platform: &str) -> Vec<(String, Value)> {
    let mut policies: Vec<(String, Value)> = std::fs::read_dir(deploy().join("alerts").join(platform))
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), yaml(&path)))
        .collect();
    policies.sort_by(|one, other| one.0.cmp(&other.0));
    policies
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_service_writes_is_what_cloud_logging_and_the_alerts_read() {
    let (lines, sent) = written().await;
    let entries: Vec<Value> = lines.iter().map(entry).collect();
    for (line, entry) in lines.iter().zip(&entries) {
        assert!(entry["timestamp"].is_string() && entry["sourceLocation"]["file"].is_string(), "{line}");
        assert!(!entry["jsonPayload"]["message"].as_str().unwrap().is_empty(), "{line}");
        let is_error = entry["severity"] == json!("ERROR");
        assert_eq!(entry["jsonPayload"]["@type"] == json!(REPORTED), is_error, "{line}");
        if is_error {
            let payload = &entry["jsonPayload"];
            assert_eq!(payload["serviceContext"], json!({ "service": "default", "version": "7" }), "{line}");
            assert!(payload["context"]["reportLocation"]["filePath"].is_string(), "{line}");
        }
        for hidden in [ADMIN, "guessed-token", TITLE, DESCRIPTION] {
            assert!(!line.to_string().contains(hidden), "{line}");
        }
    }

    // Each task that was sent has exactly one entry, whatever its outcome, with its trace, its request and its labels.
    let runs = |entry: &&Value| !entry["jsonPayload"]["outcome"].is_null();
    for (trace, kind, outcome) in &sent {
        let trace = json!(format!("projects/p/traces/{trace}"));
        let found: Vec<&Value> =
            entries.iter().filter(runs).filter(|entry| entry["trace"] == trace).collect();
        let [run] = found[..] else { panic!("{kind} has {} entries: {found:#?}", found.len()) };
        let severity = match outcome {
            Outcome::Done => "INFO",
            Outcome::Outage | Outcome::Failed => "WARNING",
            Outcome::Abandoned => "ERROR",
        };
        assert_eq!(run["severity"], json!(severity), "{run:#}");
        assert_eq!((&run["spanId"], &run["traceSampled"]), (&json!("000000000000004a"), &json!(true)));
        assert_eq!(run["httpRequest"]["requestMethod"], json!("POST"));
        assert_eq!(run["httpRequest"]["requestUrl"], json!(kind.path()));
        for (label, value) in [
            ("task", kind.name()),
            ("outcome", outcome.name()),
            ("queue.name", kind.name()),
            ("queue.task", "5b21"),
        ] {
            assert_eq!(run["labels"][label], json!(value), "{run:#}");
        }
        assert!(run["jsonPayload"]["task.result"].is_object(), "{run:#}");
    }

    // The metric counts exactly the runs, and can tell them apart.
    let metric = yaml(&deploy().join("log-metric.yaml"));
    let counted = conditions(metric["filter"].as_str().unwrap());
    for entry in &entries {
        let is_run = runs(&entry);
        assert_eq!(counted.iter().all(|condition| holds(entry, condition)), is_run, "{entry:#}");
        for extractor in metric["labelExtractors"].as_object().unwrap().values() {
            let path =
                extractor.as_str().unwrap().strip_prefix("EXTRACT(").unwrap().strip_suffix(')').unwrap();
            let found = entry.pointer(&format!("/{}", path.replace('.', "/")));
            assert!(!is_run || found.is_some_and(Value::is_string), "{path}: {entry:#}");
        }
    }
    // At its start it said how it is: itself and both sides.
    let status: Vec<&Value> =
        entries.iter().filter(|entry| entry["jsonPayload"]["status"].is_object()).collect();
    assert!(status.len() >= 3, "{status:#?}");
    let first = &status[0]["jsonPayload"]["status"];
    assert_eq!((&first["store_up"], &first["starts"]), (&json!(1), &json!(1)));
    // So does the one about push: the case was found by a poll.
    let metric = yaml(&deploy().join("unannounced-metric.yaml"));
    let counted = conditions(metric["filter"].as_str().unwrap());
    let found: Vec<&Value> = entries
        .iter()
        .filter(|entry| counted.iter().all(|condition| holds(entry, condition)))
        .map(|entry| &entry["jsonPayload"]["unannounced"])
        .collect();
    assert_eq!(found, [&json!("google")], "the company's side sends no messages");
    // A policy on log entries matches the entries that it is for, and no normal ones.
    for (name, policy) in policies("app-engine") {
        for condition in policy["conditions"].as_array().unwrap() {
            let Some(filter) = condition["conditionMatchedLog"]["filter"].as_str() else { continue };
            let wanted = conditions(filter);
            let found: Vec<&Value> = entries
                .iter()
                .filter(|entry| wanted.iter().all(|condition| holds(entry, condition)))
                .collect();
            assert!(!found.is_empty(), "{name}");
            for entry in found {
                if name == "tasks-given-up.yaml" {
                    assert_eq!(entry["severity"], json!("ERROR"), "{entry:#}");
                } else {
                    assert_eq!(entry["jsonPayload"]["task"], json!("detect-outages"), "{name}: {entry:#}");
                }
            }
        }
    }
}

#[test]
fn every_alert_goes_by_a_metric_that_is_there_and_says_what_to_do() {
    let metric = yaml(&deploy().join("log-metric.yaml"));
    let extracted: BTreeSet<&String> = metric["labelExtractors"].as_object().unwrap().keys().collect();
    let declared = metric["metricDescriptor"]["labels"].as_array().unwrap();
    assert_eq!(
        declared.iter().map(|label| label["key"].as_str().unwrap()).collect::<Vec<_>>(),
        ["task", "outcome"]
    );
    assert_eq!(extracted.len(), declared.len());
    let outcomes = [Outcome::Done, Outcome::Outage, Outcome::Abandoned, Outcome::Failed].map(Outcome::name);
    let tasks = TaskKind::ALL.map(TaskKind::name);
    let of_app_engine = policies("app-engine");
    assert!(!of_app_engine.is_empty());
    // Cloud Run has the same ones, with its own resource.
    let of_cloud_run = policies("cloud-run").into_iter().map(|(name, policy)| {
        let text = policy.to_string().replace("cloud_run_revision", "gae_app");
        let policy: Value = serde_json::from_str(&text).unwrap();
        (name, policy)
    });
    assert_eq!(of_app_engine, of_cloud_run.collect::<Vec<(String, Value)>>());
    for (name, policy) in &of_app_engine {
        assert!(policy["documentation"]["content"].as_str().unwrap().len() > 100, "{name} says what to do");
        for condition in policy["conditions"].as_array().unwrap() {
            // Another test knows these.
            if !condition["conditionPrometheusQueryLanguage"].is_null() {
                continue;
            }
            let kinds = ["conditionThreshold", "conditionAbsent", "conditionMatchedLog"];
            let kind = kinds.iter().find(|kind| !condition[**kind].is_null()).unwrap();
            let filter = condition[*kind]["filter"].as_str().unwrap();
            if *kind == "conditionMatchedLog" {
                // The other test checks these against real entries.
                assert!(!policy["alertStrategy"]["notificationRateLimit"].is_null(), "{name}: required");
                continue;
            }
            for (path, operator, value) in conditions(filter) {
                assert_eq!(operator, "=", "{name}: {filter}");
                let values: Vec<&str> = value.split('"').skip(1).step_by(2).collect();
                let known: &[&str] = match path.as_str() {
                    // The connector's metric, and the platform's (Cloud Monitoring, "Google Cloud metrics", monitoring).
                    "metric.type" => &[
                        "logging.googleapis.com/user/casebridge_tasks",
                        "logging.googleapis.com/user/casebridge_unannounced",
                        "logging.googleapis.com/user/casebridge_status",
                        "monitoring.googleapis.com/uptime_check/check_passed",
                    ],
                    "resource.type" => &["gae_app", "uptime_url"],
                    "resource.labels.host" => &["HOST"],
                    "metric.labels.task" => &tasks,
                    "metric.labels.outcome" => &outcomes,
                    other => panic!("{name}: nothing has {other}"),
                };
                assert!(!values.is_empty(), "{name}: {filter}");
                assert!(values.iter().all(|value| known.contains(value)), "{name}: {path} is never {value}");
            }
        }
    }
}

#[test]
fn what_another_thread_comes_by_first_is_heard_all_the_same() {
    fn say() {
        tracing::info!("heard");
    }
    let log = Log::default();
    let _guard = log.capture(Arc::new(SystemClock));
    std::thread::spawn(say).join().unwrap();
    say();
    assert_eq!(log.text().matches("heard").count(), 2, "as JSON and as text: {}", log.text());
}
