//! The commands of docs/deploy.md that make the uptime check, the metric, the channel and the alert policies: run as they stand
//! there, by the real gcloud, against a server that takes what Cloud Monitoring and Cloud Logging are sent.

use std::process::Command;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::Uri;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::task_queue::project_file;

type Taken = Arc<Mutex<Vec<(String, Value)>>>;

/// Takes whatever it is sent, gives it a name, and sends it back, as the APIs do that create something.
async fn take(State(taken): State<Taken>, uri: Uri, body: Bytes) -> Json<Value> {
    let sent: Value = serde_json::from_slice(&body).unwrap();
    let path = uri.path().to_owned();
    let mut made = sent.clone();
    if made["name"].is_null() {
        let number = taken.lock().unwrap().len();
        made["name"] = json!(format!("{}/{number}", path.trim_start_matches("/v3/")));
    }
    taken.lock().unwrap().push((path, sent));
    Json(made)
}

fn documented(section: &str) -> String {
    let page = std::fs::read_to_string(project_file("docs/deploy.md")).unwrap();
    let section = page.split_once(&format!("\n## {section}\n")).unwrap().1;
    let block = section.split_once("```sh\n").unwrap().1;
    block.split_once("```").unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_commands_send_what_the_files_hold() {
    let taken = Taken::default();
    let app = Router::new().fallback(take).with_state(taken.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let api = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let folder = tempfile::tempdir().unwrap();
    let access = folder.path().join("token");
    std::fs::write(&access, "ya29.token").unwrap();
    // Two people may try this at once.
    let script = documented("Watching it").replace("/tmp/policy.yaml", "\"$FOLDER/policy.yaml\"");
    let output = tokio::task::spawn_blocking(move || {
        Command::new("bash")
            .args(["-e", "-c", &script])
            .current_dir(project_file(""))
            .env("FOLDER", folder.path())
            .env("HOST", "my-project.ew.r.appspot.com")
            .env("PROJECT", "my-project")
            .env("CLOUDSDK_CONFIG", folder.path())
            .env("CLOUDSDK_CORE_PROJECT", "my-project")
            .env("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
            .env("CLOUDSDK_AUTH_ACCESS_TOKEN_FILE", &access)
            .env("CLOUDSDK_API_ENDPOINT_OVERRIDES_MONITORING", &api)
            .env("CLOUDSDK_API_ENDPOINT_OVERRIDES_LOGGING", &api)
            .env("NO_PROXY", "*")
            .output()
            .expect("bash starts")
    })
    .await
    .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let taken = taken.lock().unwrap().clone();
    let of = |kind: &str| -> Vec<&Value> {
        let path = format!("/projects/my-project/{kind}");
        taken.iter().filter(|(known, _)| known.ends_with(&path)).map(|(_, sent)| sent).collect()
    };
    let [uptime] = of("uptimeCheckConfigs")[..] else { panic!("{taken:#?}") };
    assert_eq!(uptime["httpCheck"]["path"], json!("/healthz/sync"));
    assert_eq!((&uptime["httpCheck"]["useSsl"], &uptime["period"]), (&json!(true), &json!("300s")));
    assert_eq!(uptime["monitoredResource"]["labels"]["host"], json!("my-project.ew.r.appspot.com"));
    let mut metrics: Vec<&str> =
        of("metrics").into_iter().map(|metric| metric["name"].as_str().unwrap()).collect();
    let mut files: Vec<String> = std::fs::read_dir(project_file("deploy/alerts/log-metrics"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|file| format!("casebridge_{}", file.file_stem().unwrap().to_string_lossy()))
        .collect();
    files.sort();
    metrics[2..].sort_unstable();
    assert_eq!(metrics[..2], ["casebridge_tasks", "casebridge_unannounced"]);
    assert_eq!(metrics[2..], files);
    let [channel] = of("notificationChannels")[..] else { panic!("{taken:#?}") };
    assert_eq!(channel["type"], json!("email"));
    let policies = of("alertPolicies");
    let files = std::fs::read_dir(project_file("deploy/alerts/app-engine")).unwrap().count();
    assert_eq!(policies.len(), files);
    for policy in policies {
        let channels = policy["notificationChannels"].as_array().unwrap();
        assert!(channels[0].as_str().unwrap().contains("/notificationChannels/"), "{policy:#}");
        assert!(!policy.to_string().contains("HOST"), "{policy:#}");
        assert!(!policy["conditions"].as_array().unwrap().is_empty(), "{policy:#}");
    }
}
