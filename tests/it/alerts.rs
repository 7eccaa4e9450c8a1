//! Alerts and dashboards under `deploy/`, made of `deploy/alerts/alerts.toml`: they go by metrics that the service shows; each alert has its
//! section in `docs/alerts.md` and its test for promtool. `.ci/alerts.sh` has Prometheus itself read them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use casebridge::clock::Clock as _;
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::store::{SqliteStore, Store as _};
use casebridge::telemetry::{
    CallLabels, CarriedLabels, Metrics, PullLabels, PushLabels, SideLabels, StoreLabels, SystemLabels,
    TaskLabels, UpstreamLabels,
};
use chrono::Duration;
use serde_json::Value;

use casebridge_testkit::harness::World;
use casebridge_testkit::harness::jira::JiraKind;

fn project(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub(crate) fn text(path: &str) -> String {
    std::fs::read_to_string(project(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the tables of that name in `alerts.toml`.
pub(crate) fn tables(name: &str) -> Vec<toml::Table> {
    let source: toml::Table = toml::from_str(&text("deploy/alerts/alerts.toml")).unwrap();
    source[name].as_array().unwrap().iter().map(|table| table.as_table().unwrap().clone()).collect()
}

fn alert_names() -> Vec<String> {
    tables("alert").iter().map(|alert| alert["name"].as_str().unwrap().to_owned()).collect()
}

/// Returns the metrics that a text names.
fn named(text: &str) -> BTreeSet<String> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.starts_with("casebridge_"))
        .map(str::to_owned)
        .collect()
}

/// Gives every metric a value, since those with labels are shown only with one.
pub(crate) fn touch(metrics: &Metrics) {
    let side = &SideLabels { side: "google" };
    metrics.poll_age_seconds.get_or_create(side).set(1);
    metrics.proof_age_seconds.get_or_create(side).set(1);
    metrics.empty_seconds.get_or_create(side).set(1);
    metrics.propagation_seconds.get_or_create(side).observe(1.0);
    metrics.task_seconds.get_or_create(&TaskLabels { task: "cleanup", outcome: "done" }).observe(1.0);
    let call = CallLabels { upstream: "CSAPI", method: "GET".to_owned(), status: "200".to_owned() };
    metrics.upstream_calls.get_or_create(&call).inc_by(0);
    let upstream = &UpstreamLabels { upstream: "CSAPI" };
    metrics.upstream_pauses.get_or_create(upstream).inc_by(0);
    metrics.clock_skew_seconds.get_or_create(upstream).set(1);
    metrics.credential_days_left.get_or_create(&SystemLabels { system: "CSAPI" }).set(1);
    metrics.push_messages.get_or_create(&PushLabels { side: "google", outcome: "queued" }).inc_by(0);
    metrics.pulls.get_or_create(&PullLabels { outcome: "empty" }).inc_by(0);
    metrics.carried.get_or_create(&CarriedLabels { kind: "comment", to: "google" }).inc_by(0);
    metrics.store_free_bytes.get_or_create(&StoreLabels { store: "sqlite" }).set(1);
}

async fn shown(world: &World) -> String {
    reqwest::get(format!("http://{}/metrics", world.service)).await.unwrap().text().await.unwrap()
}

/// Returns the value of a line of `GET /metrics`.
async fn value(world: &World, metric: &str) -> Option<i64> {
    let start = format!("{metric} ");
    shown(world).await.lines().find_map(|line| line.strip_prefix(&start)?.parse().ok())
}

#[tokio::test]
async fn alerts_and_dashboards_go_by_metrics_that_the_service_shows() {
    let world = World::new(&JiraKind).await;
    touch(&world.deps.metrics);
    let shown = shown(&world).await;
    let there: BTreeSet<String> =
        shown.lines().filter(|line| !line.starts_with('#')).flat_map(named).collect();
    for file in [
        "deploy/alerts/alerts.toml",
        "deploy/prometheus/casebridge.rules.yml",
        "deploy/prometheus/tests/each.yml",
        "deploy/prometheus/tests/healthy.yml",
        "deploy/grafana/casebridge.json",
        "deploy/alerts/dashboard.json",
    ] {
        let mut used = named(&text(file));
        // Names of the log metrics.
        let of_logs = ["casebridge_tasks", "casebridge_unannounced", "casebridge_status"];
        used.retain(|name| !of_logs.contains(&name.as_str()));
        assert!(!used.is_empty(), "{file}");
        let unknown: Vec<&String> = used.difference(&there).collect();
        assert!(unknown.is_empty(), "{file} goes by {unknown:?}, which GET /metrics does not show: {shown}");
    }
}

#[test]
fn every_alert_has_its_section_its_rule_its_policy_and_its_test() {
    let page = text("docs/alerts.md");
    let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    let rules = text("deploy/prometheus/casebridge.rules.yml");
    let tests = text("deploy/prometheus/tests/each.yml");
    let names = alert_names();
    assert_eq!(sections, names, "the sections of docs/alerts.md stand in the order of alerts.toml");
    for name in &names {
        assert!(rules.contains(&format!("- alert: {name}\n")), "{name}: run deploy/alerts/generate.py");
        assert!(rules.contains(&format!("docs/alerts.md#{}\"", name.to_lowercase())), "{name}");
        assert!(
            tests.contains(&format!("- name: {name}\n")),
            "{name} has no test in deploy/prometheus/tests"
        );
        let section = page.split_once(&format!("### {name}\n")).unwrap().1;
        let section = section.split("\n### ").next().unwrap();
        for part in ["**Means.**", "**Look.**", "**Do.**"] {
            assert!(section.contains(part), "{name} does not say {part}");
        }
    }
    let policies = std::fs::read_dir(project("deploy/alerts/managed-prometheus")).unwrap().count();
    assert_eq!(policies, names.len());
}

#[test]
fn each_alert_is_whole_and_its_page_exists() {
    for alert in tables("alert") {
        let name = alert["name"].as_str().unwrap();
        let severity = alert["severity"].as_str().unwrap();
        assert!(name.starts_with("Casebridge") && ["critical", "warning"].contains(&severity), "{name}");
        for key in ["for", "expr", "when", "do"] {
            assert!(!alert[key].as_str().unwrap().is_empty(), "{name}: {key}");
        }
        let page = alert["page"].as_str().unwrap();
        let filter = page.strip_prefix("/cases?filter=");
        let known = casebridge::tasks::Which::ALL.iter().any(|(known, _)| Some(*known) == filter);
        assert!(page == "/" || known, "{name}: {page}");
    }
}

#[test]
fn every_panel_stands_on_both_dashboards() {
    let grafana: Value = serde_json::from_str(&text("deploy/grafana/casebridge.json")).unwrap();
    let cloud: Value = serde_json::from_str(&text("deploy/alerts/dashboard.json")).unwrap();
    for panel in tables("panel") {
        let title = panel["title"].as_str().unwrap();
        let queries = panel["queries"].as_array().unwrap().len();
        let of_grafana =
            grafana["panels"].as_array().unwrap().iter().find(|panel| panel["title"] == title).unwrap();
        assert_eq!(of_grafana["targets"].as_array().unwrap().len(), queries, "{title}");
        let tiles = cloud["mosaicLayout"]["tiles"].as_array().unwrap();
        let shown = tiles.iter().find(|tile| tile["widget"]["title"] == title).unwrap();
        assert_eq!(shown["widget"]["xyChart"]["dataSets"].as_array().unwrap().len(), queries, "{title}");
    }
}

#[tokio::test]
async fn metrics_tell_proofs_doubts_limits_failing_pairs_and_tasks_that_were_given_up() {
    let world = World::new(&JiraKind).await;
    let start = world.clock().now().timestamp();
    let (google, _) = world.pair().await;
    world.run_for(Duration::minutes(6)).await;
    for (metric, expected) in [
        ("casebridge_start_time_seconds", start),
        ("casebridge_store_up", 1),
        (r#"casebridge_poll_limit_seconds{side="google"}"#, 600),
        (r#"casebridge_answers_doubted{side="google"}"#, 0),
        (r#"casebridge_push_expected{side="google"}"#, 0),
        (r#"casebridge_dead_letters{task="poll-company"}"#, 0),
        ("casebridge_failing_pairs", 0),
        ("casebridge_missing_cases", 0),
        // Counts that an alert goes by begin with 0, or Prometheus would not see the first.
        (r#"casebridge_late_changes_total{side="company"}"#, 0),
        (r#"casebridge_tasks_total{task="cleanup",outcome="abandoned"}"#, 0),
    ] {
        assert_eq!(value(&world, metric).await, Some(expected), "{metric}: {}", shown(&world).await);
    }
    let proof = r#"casebridge_proof_age_seconds{side="google"}"#;
    assert!(value(&world, proof).await.is_some_and(|age| (0..1200).contains(&age)));
    assert!(value(&world, "casebridge_pairs_checked_timestamp_seconds").await > Some(start));

    // The desk takes no comment: the pair fails.
    let fault = Fault::always(Effect::ErrorBefore { status: 500, body: None });
    world.company_faults().add(fault.clone().on("POST", "comment"));
    world.google_says(&google, "not taken");
    world.run_for(Duration::minutes(8)).await;
    assert_eq!(value(&world, "casebridge_failing_pairs").await, Some(1));
    // The desk is down: polls are given up.
    world.company_faults().add(fault);
    world.run_for(Duration::minutes(10)).await;
    let given_up = r#"casebridge_dead_letters{task="poll-company"}"#;
    assert!(value(&world, given_up).await > Some(1));
    // Google does not show the only case any more, which nobody believes: R26.
    let number = google.rsplit('/').next().unwrap().parse().unwrap();
    world.csapi.adjust(|switches| switches.hidden_cases = [number].into());
    world.run_for(Duration::minutes(40)).await;
    assert_eq!(value(&world, r#"casebridge_answers_doubted{side="google"}"#).await, Some(1));
}

#[test]
fn a_database_in_a_file_tells_how_much_room_its_disk_has() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("casebridge.db")).unwrap();
    let (name, free) = store.free_bytes().unwrap();
    assert!(name == "sqlite" && free > 0, "{free}");
    assert_eq!(SqliteStore::in_memory().unwrap().free_bytes(), None);
}
