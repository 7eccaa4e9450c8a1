//! Messages of the Pub/Sub emulator, by push and by pull, to the real binary between a sandbox CSAPI and a sandbox Jira, which runs no
//! poll.
//!
//! The emulator signs no tokens, so a front adds the token that Pub/Sub itself would send.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use casebridge::clock::{Clock as _, SystemClock};
use casebridge::sandbox::csapi::{
    Author, CLASSIFICATION_ID, EventSubscription, NewCase, Priority, SandboxCsapi,
};
use casebridge::sandbox::jira::{SandboxJira, SandboxJiraSettings};
use casebridge_testkit::harness::serve;
use casebridge_testkit::service::free_port;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair, RsaPublicKeyComponents};
use serde_json::{Value, json};

use crate::emulator::{Kind, new_project, shared};
use crate::http;

/// RSA key that was made for tests and opens nothing.
const KEY: &str = include_str!("../fixtures/google/key-for-tests-only.pem");
const AUDIENCE: &str = "https://casebridge.example/push/google";
const ACCOUNT: &str = "push@project.iam.gserviceaccount.com";

fn key() -> RsaKeyPair {
    let text: String = KEY.lines().filter(|line| !line.starts_with("-----")).collect();
    RsaKeyPair::from_pkcs8(&STANDARD.decode(text).unwrap()).unwrap()
}

fn token() -> String {
    let now = SystemClock.now().timestamp();
    let claims = json!({
        "iss": "https://accounts.google.com", "aud": AUDIENCE, "email": ACCOUNT, "email_verified": true,
        "iat": now, "exp": now + 3600,
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({ "alg": "RS256", "kid": "first" })), part(&claims));
    let key = key();
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// Passes a push request of the emulator on, with a token.
async fn front(State(service): State<SocketAddr>, body: Bytes) -> StatusCode {
    let url = format!("http://{service}/push/google");
    let answer = http().post(url).bearer_auth(token()).body(body).send().await;
    answer.map_or(StatusCode::BAD_GATEWAY, |answer| StatusCode::from_u16(answer.status().as_u16()).unwrap())
}

async fn certs() -> Json<Value> {
    let key = key();
    let RsaPublicKeyComponents::<Vec<u8>> { n, e } = key.public().into();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    Json(
        json!({ "keys": [{ "kid": "first", "kty": "RSA", "alg": "RS256", "n": encode(&n), "e": encode(&e) }] }),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pubsub_emulator_delivers_by_push_and_by_pull_to_the_real_binary() {
    let emulator = tokio::task::spawn_blocking(|| shared(Kind::Pubsub).host()).await.unwrap();
    for by_push in [true, false] {
        let project = new_project();
        let topic = format!("projects/{project}/topics/case-events");
        let subscription = format!("projects/{project}/subscriptions/case-events");
        let port = free_port();
        let service: SocketAddr = ([127, 0, 0, 1], port).into();
        let front = serve(Router::new().fallback(front).with_state(service)).await;
        let issuer = serve(Router::new().fallback(certs)).await;
        let ask = async |method: reqwest::Method, path: &str, body: Value| {
            let url = format!("http://{emulator}/v1/{path}");
            let answer = http().request(method, url).json(&body).send().await.unwrap();
            assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        };
        ask(reqwest::Method::PUT, &topic, json!({})).await;
        let push = if by_push { json!({ "pushEndpoint": format!("http://{front}/") }) } else { json!({}) };
        ask(reqwest::Method::PUT, &subscription, json!({ "topic": topic, "pushConfig": push })).await;

        let csapi = SandboxCsapi::new(Arc::new(SystemClock), "organizations/123");
        csapi.publish_at(format!("http://{emulator}").parse().unwrap());
        let jira = SandboxJira::new(Arc::new(SystemClock), SandboxJiraSettings::default());
        let (google, company) = (serve(csapi.router()).await, serve(jira.router()).await);
        let folder = tempfile::tempdir().unwrap();
        let way = if by_push {
            format!(
                "audience = \"{AUDIENCE}\"\nservice_account = \"{ACCOUNT}\"\nkeys_url = \"http://{issuer}/certs\"\ntopic = \"{topic}\"\n"
            )
        } else {
            format!("pull = \"{subscription}\"\n")
        };
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\n[google]\nparent = \"organizations/123\"\nauth = \"none\"\n\
             classification_id = \"{CLASSIFICATION_ID}\"\nbase_url = \"http://{google}\"\n[company]\nkind = \"jira\"\n\
             base_url = \"http://{company}\"\n[company.jira]\nproject = \"SUP\"\n[queue]\ncron = false\n[push.google]\n{way}"
        );
        std::fs::write(folder.path().join("casebridge.toml"), text).unwrap();
        let command = |arguments: &[&str]| {
            let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_casebridge"));
            command.args(arguments).current_dir(folder.path()).env_clear().kill_on_drop(true);
            command.env("PUBSUB_EMULATOR_HOST", &emulator);
            command
        };
        let enabled = command(&["push", "enable", "google"]).output().await.unwrap();
        assert!(enabled.status.success(), "{}", String::from_utf8_lossy(&enabled.stderr));
        if !by_push {
            let status = command(&["push", "status", "google"]).output().await.unwrap();
            let told = String::from_utf8_lossy(&status.stdout).into_owned();
            assert!(status.status.success() && told.contains("cannot be looked up here"), "{told}");
        }
        let mut running = command(&["serve"]).spawn().unwrap();
        let health = format!("http://127.0.0.1:{port}/healthz");
        while http().get(&health).send().await.is_err() {
            assert!(running.try_wait().unwrap().is_none(), "the service ended");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let case = csapi
            .create_case(NewCase {
                parent: "organizations/123".to_owned(),
                display_name: "Disk is slow".to_owned(),
                description: "Since this morning".to_owned(),
                priority: Priority::P2,
                author: Author::customer("Grace Hopper"),
            })
            .unwrap();
        until("the case arrives", || jira.issues().len() == 1).await;
        csapi.add_comment(&case.name, Author::google("Ada Lovelace"), "Look at the quota").unwrap();
        let has =
            || jira.issues()[0].comments.iter().any(|comment| comment.body.contains("Look at the quota"));
        until("the comment arrives", has).await;
        let states: Vec<&str> = csapi.event_subscriptions().iter().map(EventSubscription::state).collect();
        assert_eq!(states, ["WORKING"]);
        running.kill().await.unwrap();
        ask(reqwest::Method::DELETE, &subscription, json!({})).await;
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let limit = tokio::time::Instant::now() + Duration::from_mins(12);
    while !holds() {
        assert!(tokio::time::Instant::now() < limit, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
