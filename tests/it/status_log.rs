//! Status entries of the service, and the log metrics under `deploy/alerts/log-metrics` that read them for the policies of App Engine and
//! Cloud Run.

use std::collections::{BTreeMap, BTreeSet};

use casebridge::entities::Side;
use casebridge::http::StatusLog;
use casebridge::telemetry::{CallLabels, SideLabels, UpstreamLabels};
use chrono::Duration;
use serde_json::{Value, json};

use casebridge_testkit::harness::World;
use casebridge_testkit::harness::jira::JiraKind;
use casebridge_testkit::harness::log::Log;

use crate::alerts::{tables, text, touch};
use crate::logs::{conditions, entry, holds, pointer, policies};

const STATUS: &str = "jsonPayload.status.";

/// Returns the entries that are written next, as Cloud Logging has them.
async fn written(world: &World, status: &mut StatusLog) -> Vec<Value> {
    let log = Log::default();
    let guard = log.capture(world.deps.clock.clone());
    status.write(&world.deps).await;
    drop(guard);
    let text = log.text();
    let lines = text.lines().filter(|line| line.starts_with('{'));
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["message"] == "status").map(|line| entry(&line)).collect()
}

/// Returns the log metrics by their names.
fn log_metrics() -> BTreeMap<String, Value> {
    let named = policies("log-metrics").into_iter();
    named.map(|(file, metric)| (file.strip_suffix(".yaml").unwrap().to_owned(), metric)).collect()
}

fn meets(entry: &Value, metric: &Value) -> bool {
    conditions(metric["filter"].as_str().unwrap()).iter().all(|condition| holds(entry, condition))
}

/// Returns the names of the log metrics that count one of the entries.
fn met(entries: &[Value], metrics: &BTreeMap<String, Value>) -> Vec<String> {
    let is_met = |metric: &&Value| entries.iter().any(|entry| meets(entry, metric));
    metrics.iter().filter(|(_, metric)| is_met(metric)).map(|(name, _)| name.clone()).collect()
}

/// Returns the fields of the status entries that a filter or an extractor names.
fn fields(text: &str) -> BTreeSet<&str> {
    let ends = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
    text.split(STATUS).skip(1).map(|rest| rest.split(ends).next().unwrap()).collect()
}

/// Returns the number that a log metric takes from an entry.
fn extracted(entry: &Value, metric: &Value) -> Option<i64> {
    let path = metric["valueExtractor"].as_str()?.strip_prefix("EXTRACT(")?.strip_suffix(')')?;
    entry.pointer(&pointer(path))?.as_i64()
}

#[tokio::test]
async fn status_entries_have_exactly_what_the_log_metrics_read() {
    let world = World::new(&JiraKind).await;
    world.pair().await;
    world.run_for(Duration::minutes(6)).await;
    touch(&world.deps.metrics);
    let entries = written(&world, &mut StatusLog::default()).await;
    let sides: Vec<&Value> = entries.iter().map(|entry| &entry["jsonPayload"]["side"]).collect();
    assert_eq!(sides, [&json!(null), &json!("google"), &json!("company")]);
    let in_entries: BTreeSet<&str> = entries
        .iter()
        .flat_map(|entry| entry["jsonPayload"]["status"].as_object().unwrap())
        .inspect(|(name, value)| assert!(value.is_i64(), "{name} is no number: {value}"))
        .map(|(name, _)| name.as_str())
        .collect();
    let metrics = log_metrics();
    let files: String = metrics.values().map(Value::to_string).collect();
    assert_eq!(in_entries, fields(&files), "run deploy/alerts/generate.py, or change src/http/status_log.rs");

    for (name, metric) in &metrics {
        // All fields of a filter are in one entry, and so are the labels.
        let filter = metric["filter"].as_str().unwrap();
        let whole = |entry: &&Value| {
            fields(filter).iter().all(|field| entry["jsonPayload"]["status"][*field].is_i64())
        };
        let with_fields: Vec<&Value> = entries.iter().filter(whole).collect();
        assert!(!with_fields.is_empty(), "{name}: no entry has all of {:?}", fields(filter));
        for (label, path) in metric["labelExtractors"].as_object().into_iter().flatten() {
            assert_eq!(path, &json!(format!("EXTRACT(jsonPayload.{label})")), "{name}");
            assert!(
                with_fields.iter().all(|entry| entry["jsonPayload"][label].is_string()),
                "{name}: {label}"
            );
        }
        // It counts an entry with the value that its filter is about.
        let mut wrong = with_fields[0].clone();
        for (path, operator, value) in conditions(filter) {
            let (path, operator, value) = match operator.as_str() {
                "OR" => conditions(&value.split(" OR ").next().unwrap().replace(['(', ')'], ""))[0].clone(),
                _ => (path, operator, value),
            };
            let Ok(bound) = value.trim_matches('"').parse::<i64>() else { continue };
            let beyond = match operator.as_str() {
                ">" => bound + 1,
                "<" => bound - 1,
                _ => bound,
            };
            *wrong.pointer_mut(&pointer(&path)).unwrap() = json!(beyond);
        }
        assert!(meets(&wrong, metric), "{name}: {wrong:#}");
    }
}

#[tokio::test]
async fn a_healthy_service_meets_no_log_metric_of_an_alert_and_counts_are_growth() {
    let world = World::new(&JiraKind).await;
    world.pair().await;
    world.run_for(Duration::minutes(6)).await;
    let (metrics, mut status) = (log_metrics(), StatusLog::default());
    // The clients of these worlds count their calls elsewhere.
    assert_eq!(met(&written(&world, &mut status).await, &metrics), ["starts", "status"]);
    assert_eq!(met(&written(&world, &mut status).await, &metrics), ["status"], "nothing has happened since");

    let counted = &world.deps.metrics;
    let called = |upstream: &'static str, status: &str, times: u64| {
        let labels = CallLabels { upstream, method: "GET".to_owned(), status: status.to_owned() };
        counted.upstream_calls.get_or_create(&labels).inc_by(times);
    };
    called("Jira", "200", 5);
    called("Jira", "503", 2);
    called("Jira", "none", 1);
    called("CSAPI", "401", 3);
    counted.clock_skew_seconds.get_or_create(&UpstreamLabels { upstream: "CSAPI" }).set(-61);
    counted.late_changes.get_or_create(&SideLabels { side: "google" }).inc_by(4);
    counted.failing_pairs.set(1);
    let entries = written(&world, &mut status).await;
    let expected = [
        "clock_skew",
        "late_changes",
        "pairs_fail",
        "status",
        "upstream_calls",
        "upstream_failed",
        "upstream_refused",
    ];
    assert_eq!(met(&entries, &metrics), expected);
    for (name, side, value) in [
        ("upstream_calls", Side::Google, 3),
        ("upstream_calls", Side::Company, 8),
        ("upstream_failed", Side::Company, 3),
        ("upstream_refused", Side::Google, 3),
        ("late_changes", Side::Google, 4),
    ] {
        let its = |entry: &&Value| entry["jsonPayload"]["side"] == side.name();
        let entry = entries.iter().find(its).unwrap();
        assert_eq!(extracted(entry, &metrics[name]), Some(value), "{name}: {entry:#}");
    }
    // What stands still has not grown; what detect-outages counted long ago is another instance's.
    world.clock().advance(Duration::minutes(20));
    assert_eq!(met(&written(&world, &mut status).await, &metrics), ["clock_skew", "status"]);
}

#[test]
fn every_alert_but_those_that_say_why_has_a_policy_by_log_metrics_that_exist() {
    let metrics = log_metrics();
    let kebab = |name: &str| {
        let words = name.strip_prefix("Casebridge").unwrap().chars();
        let dashed =
            words.flat_map(|letter| letter.is_uppercase().then_some('-').into_iter().chain([letter]));
        dashed.collect::<String>().trim_start_matches('-').to_lowercase()
    };
    let mut used = BTreeSet::new();
    for alert in tables("alert") {
        let name = alert["name"].as_str().unwrap();
        let path = format!("deploy/alerts/app-engine/{}.yaml", kebab(name));
        if let Some(reason) = alert.get("nowhere") {
            assert!(!reason.as_str().unwrap().is_empty(), "{name}");
            assert!(!std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(&path).exists(), "{path}");
            continue;
        }
        let policy = text(&path);
        let ends = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
        for mark in ["user_casebridge_", "user/casebridge_"] {
            let named = policy.split(mark).skip(1).map(|rest| rest.split(ends).next().unwrap());
            // `_sum` is PromQL's suffix of a distribution.
            used.extend(named.map(|name| name.strip_suffix("_sum").unwrap_or(name).to_owned()));
        }
    }
    for of_tasks in ["tasks", "unannounced"] {
        assert!(used.remove(of_tasks), "{of_tasks}");
    }
    assert_eq!(
        used,
        metrics.into_keys().collect::<BTreeSet<_>>(),
        "each log metric is used, and each that is used is there"
    );
}
