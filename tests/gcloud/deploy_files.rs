//! `app.yaml`, `cron.yaml` and `queue.yaml` as App Engine's own parsers read them: they accept all three, and understand what our
//! readers of the last two understand.

use casebridge::config::{Config, Platform, QueueConfig as Queue};
use casebridge::queue::cron_yaml::{CronConfig, Schedule};
use casebridge::queue::queue_yaml::QueueConfig;
use chrono::Timelike as _;
use serde_json::{Value, json};

use crate::emulator::sdk_root;
use crate::task_queue::{project_file, sdk_python};

fn parsed() -> Value {
    let root = sdk_root();
    let output = sdk_python(root)
        .arg(project_file("tests/clients/deploy_files.py"))
        .arg(root)
        .arg(project_file(""))
        .output()
        .expect("Python starts");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "App Engine's parsers refuse a file: {complaint}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn queue_yaml_means_to_app_engine_what_it_means_to_us() {
    let parsed = parsed();
    let ours: Vec<Value> = QueueConfig::load(None)
        .unwrap()
        .iter()
        .map(|queue| {
            let retry = queue.retry;
            json!({
                "name": queue.kind.name(),
                "per_second": queue.rate_per_second,
                "bucket_size": queue.bucket_size,
                "max_concurrent_requests": queue.max_concurrent_requests,
                "retry_parameters": {
                    "task_retry_limit": retry.task_retry_limit,
                    "task_age_limit": retry.task_age_limit.map(|limit| limit.num_seconds()),
                    "min_backoff_seconds": retry.min_backoff.as_seconds_f64(),
                    "max_backoff_seconds": retry.max_backoff.as_seconds_f64(),
                    "max_doublings": retry.max_doublings,
                },
            })
        })
        .collect();
    assert_eq!(parsed["queues"], Value::Array(ours));
}

#[test]
fn cron_yaml_means_to_app_engine_what_it_means_to_us() {
    let parsed = parsed();
    let theirs = parsed["cron"].as_array().unwrap();
    let ours = CronConfig::load(None).unwrap();
    assert_eq!(theirs.len(), ours.iter().count());
    for (theirs, job) in theirs.iter().zip(ours.iter()) {
        assert_eq!(theirs["url"], json!(job.url()));
        assert_eq!(theirs["description"], json!(job.description));
        let runs: Vec<f64> =
            theirs["runs"].as_array().unwrap().iter().map(|run| run.as_f64().unwrap()).collect();
        let apart: Vec<f64> = runs.windows(2).map(|pair| pair[1] - pair[0]).collect();
        match job.schedule {
            Schedule::Every(minutes) => assert_eq!(apart, [f64::from(minutes) * 60.0; 2], "{}", job.url()),
            Schedule::Daily(time) => {
                assert_eq!(apart, [86_400.0; 2], "{}", job.url());
                assert!((runs[0] - f64::from(time.num_seconds_from_midnight())).abs() < 1.0, "{}", job.url());
            }
        }
    }
}

#[test]
fn app_yaml_is_accepted_and_its_configuration_is_one() {
    let parsed = parsed();
    let app = &parsed["app"];
    // "vm" is how the parser calls a custom runtime of the flexible environment.
    assert_eq!((&app["runtime"], &app["env"]), (&json!("vm"), &json!("flex")));
    // Memory for one processor: 0.6 to 6.1 GB (app.yaml reference, `resources`).
    let resources = &app["resources"];
    let (processors, memory) = (resources["cpu"].as_f64().unwrap(), resources["memory_gb"].as_f64().unwrap());
    assert!((processors - 0.4..=processors * 6.5 - 0.4).contains(&memory), "{resources}");
    assert!(resources["disk_size_gb"].as_i64().unwrap() >= 10, "{resources}");
    assert_eq!(app["liveness_check"]["path"], json!("/healthz"));
    assert_eq!(app["readiness_check"]["path"], json!("/readyz"));

    let variables = app["env_variables"].as_object().unwrap();
    // What is in capitals is to be replaced; the database's address is checked as far as the name of its project.
    let filled_in = |value: &str| value.replace("firestore:PROJECT", "firestore:my-project");
    let variables = variables.iter().map(|(name, value)| (name.clone(), filled_in(value.as_str().unwrap())));
    let config = Config::parse("", variables).unwrap();
    assert_eq!(config.server.platform, Platform::AppEngine);
    assert!(matches!(config.queue, Queue::CloudTasks { .. }));
    // No database on a disk that goes with the machine.
    assert!(!config.store.url.starts_with("sqlite:"), "{}", config.store.url);
}
