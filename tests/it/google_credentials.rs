//! Tokens and secrets of Google Cloud, from servers that answer as Google's do: fetched, cached, renewed in time, never logged.
//!
//! The key in `tests/fixtures/google` was made for these tests and opens nothing.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use casebridge::cases::ApiError;
use casebridge::clock::{ManualClock, SharedClock};
use casebridge::config::SecretRef;
use casebridge::outbound::{
    Call, Credentials, FindProvider, GoogleCredentials, NoCredentials, RetryPolicy, Upstream,
    UpstreamSettings, bearer,
};
use casebridge::secrets::{SecretCredentials, SecretManager};
use casebridge::telemetry::Metrics;
use chrono::TimeDelta;
use serde_json::{Value, json};
use url::Url;

use casebridge_testkit::harness::log::Log;

const KEY: &str = include_str!("../fixtures/google/key-for-tests-only.pem");
const EMAIL: &str = "connector@p.iam.gserviceaccount.com";
const VERSION: &str = "projects/p/secrets/jira/versions/latest";

/// Behaviour of the servers, and the requests that they got.
#[derive(Default)]
struct Google {
    /// Lifetime of a token in seconds; `None`: no token is issued.
    token_lives: Option<u64>,
    /// Forms that the token server got.
    token_requests: Vec<Value>,
    /// Value of the secret, or status and message of a refusal.
    secret: Option<Result<String, (u16, &'static str)>>,
    checksum: Option<&'static str>,
    secret_reads: Vec<String>,
    /// Bearer token that the API accepts; `None`: any.
    accepted: Option<String>,
    /// `Authorization` headers that the API got.
    api_calls: Vec<String>,
}

type Shared = Arc<Mutex<Google>>;

async fn start(google: Google) -> (Shared, Url) {
    let shared: Shared = Arc::new(Mutex::new(google));
    let app = Router::new()
        .route("/token", post(token))
        .route("/v1/{*version}", get(access))
        .route("/api", get(api))
        .with_state(Arc::clone(&shared));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });
    (shared, url)
}

async fn token(State(google): State<Shared>, Form(form): Form<Value>) -> (StatusCode, Json<Value>) {
    let mut google = google.lock().unwrap();
    google.token_requests.push(form.clone());
    match google.token_lives {
        Some(seconds) => {
            let token = format!("ya29.token-{}", google.token_requests.len());
            (
                StatusCode::OK,
                Json(json!({ "access_token": token, "expires_in": seconds, "token_type": "Bearer" })),
            )
        }
        // Some servers repeat the request in the error.
        None => (
            StatusCode::BAD_REQUEST,
            Json(json!({ "error": "invalid_grant", "error_description": form["assertion"] })),
        ),
    }
}

async fn access(
    State(google): State<Shared>,
    Path(version): Path<String>,
    headers: HeaderMap,
) -> (StatusCode, Json<Value>) {
    let mut google = google.lock().unwrap();
    google.secret_reads.push(version.clone());
    google.api_calls.push(authorization(&headers));
    match google.secret.clone() {
        Some(Ok(value)) => {
            let mut payload = json!({ "data": STANDARD.encode(value) });
            if let Some(sum) = google.checksum {
                payload["dataCrc32c"] = sum.into();
            }
            let name = version.trim_end_matches(":access");
            (StatusCode::OK, Json(json!({ "name": name, "payload": payload })))
        }
        Some(Err((status, message))) => (
            StatusCode::from_u16(status).unwrap(),
            Json(json!({ "error": { "code": status, "message": message } })),
        ),
        None => (StatusCode::NOT_FOUND, Json(json!({ "error": { "code": 404, "message": "not found" } }))),
    }
}

async fn api(State(google): State<Shared>, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    let mut google = google.lock().unwrap();
    let got = authorization(&headers);
    google.api_calls.push(got.clone());
    match &google.accepted {
        Some(accepted) if got != format!("Bearer {accepted}") => (
            StatusCode::UNAUTHORIZED,
            Json(json!({ "error": { "message": format!("bad credentials: {got}") } })),
        ),
        Some(_) | None => (StatusCode::OK, Json(json!({ "ok": true }))),
    }
}

fn authorization(headers: &HeaderMap) -> String {
    headers.get("authorization").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
}

fn clock() -> Arc<ManualClock> {
    ManualClock::at("2026-03-01T10:00:00Z".parse().unwrap())
}

fn upstream(at: &Url, credentials: Arc<dyn Credentials>, clock: SharedClock) -> Upstream {
    let settings = UpstreamSettings {
        name: "API",
        base_url: at.clone(),
        requests_per_minute: NonZeroU32::new(60_000).unwrap(),
        timeout: Duration::from_secs(10),
        retry: RetryPolicy {
            attempts: 2,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(1),
        },
        download_hosts: Vec::new(),
    };
    Upstream::new(settings, credentials, clock, Metrics::shared()).unwrap()
}

/// Returns credentials from a key file, with tokens from this server.
fn key_file(at: &Url) -> Arc<dyn Credentials> {
    Arc::new(GoogleCredentials::new(account(at)))
}

fn account(at: &Url) -> Arc<dyn gcp_auth::TokenProvider> {
    let key = json!({
        "type": "service_account", "project_id": "p", "private_key_id": "1", "private_key": KEY,
        "client_email": EMAIL, "client_id": "1", "auth_uri": at.join("/auth").unwrap().as_str(),
        "token_uri": at.join("/token").unwrap().as_str(),
        "auth_provider_x509_cert_url": at.join("/certs").unwrap().as_str(), "client_x509_cert_url": at.join("/cert").unwrap().as_str(),
    });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), key.to_string()).unwrap();
    Arc::new(gcp_auth::CustomServiceAccount::from_file(file.path()).unwrap())
}

async fn call(upstream: &Upstream) -> Result<Value, ApiError> {
    upstream.read(Call::get("/api")).await
}

#[tokio::test]
async fn a_token_is_fetched_with_the_key_and_used_while_it_lasts() {
    let (google, at) = start(Google { token_lives: Some(3600), ..Google::default() }).await;
    let api = upstream(&at, key_file(&at), clock());
    for _ in 0..3 {
        call(&api).await.unwrap();
    }
    let google = google.lock().unwrap();
    assert_eq!(google.api_calls, ["Bearer ya29.token-1"; 3]);
    assert_eq!(google.token_requests.len(), 1);
    let assertion = google.token_requests[0]["assertion"].as_str().unwrap();
    let claims = assertion.split('.').nth(1).unwrap();
    let claims = URL_SAFE.decode(claims).or_else(|_| URL_SAFE_NO_PAD.decode(claims)).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["iss"], json!(EMAIL));
    assert_eq!(claims["aud"], json!(at.join("/token").unwrap().as_str()));
    assert_eq!(claims["scope"], json!("https://www.googleapis.com/auth/cloud-platform"));
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    // A token that is valid for only 15 more seconds is not used any more.
    let (google, at) = start(Google { token_lives: Some(15), ..Google::default() }).await;
    let api = upstream(&at, key_file(&at), clock());
    for _ in 0..3 {
        call(&api).await.unwrap();
    }
    let google = google.lock().unwrap();
    assert_eq!(google.api_calls, ["Bearer ya29.token-1", "Bearer ya29.token-2", "Bearer ya29.token-3"]);
}

#[tokio::test]
async fn a_token_that_is_refused_while_it_seems_to_last_is_replaced() {
    // If the clock was ahead, a token seems to be valid for years, but is refused after an hour.
    let ten_years = Google {
        token_lives: Some(315_360_000),
        accepted: Some("ya29.token-2".to_owned()),
        ..Google::default()
    };
    let (google, at) = start(ten_years).await;
    let found = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let (counted, key_at) = (Arc::clone(&found), at.clone());
    let find: FindProvider = Box::new(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let provider = account(&key_at);
        Box::pin(async { Ok(provider) })
    });
    let credentials = Arc::new(GoogleCredentials::new(account(&at)).found_again(find));
    let api = upstream(&at, credentials, clock());
    call(&api).await.unwrap();
    assert_eq!(google.lock().unwrap().api_calls, ["Bearer ya29.token-1", "Bearer ya29.token-2"]);
    // The credentials are not looked up again on each refused call.
    google.lock().unwrap().accepted = Some("ya29.token-9".to_owned());
    for _ in 0..3 {
        call(&api).await.unwrap_err();
    }
    assert_eq!(found.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn calls_at_the_same_moment_share_one_token() {
    let (google, at) = start(Google { token_lives: Some(3600), ..Google::default() }).await;
    let api = upstream(&at, key_file(&at), clock());
    call(&api).await.unwrap();
    let calls = futures_util::future::join_all((0..16).map(|_| call(&api))).await;
    assert!(calls.iter().all(Result::is_ok));
    assert_eq!(google.lock().unwrap().token_requests.len(), 1);
}

#[tokio::test]
async fn no_log_and_no_error_holds_a_token_a_secret_or_the_key() {
    let log = Log::default();
    let _guard = log.capture(clock());
    let mut errors = String::new();

    let refusing = Google { token_lives: Some(3600), accepted: Some("x".to_owned()), ..Google::default() };
    let (google, at) = start(refusing).await;
    errors += &call(&upstream(&at, key_file(&at), clock())).await.unwrap_err().to_string();
    google.lock().unwrap().token_lives = None;
    errors += &call(&upstream(&at, key_file(&at), clock())).await.unwrap_err().to_string();
    let assertion = google.lock().unwrap().token_requests[1]["assertion"].as_str().unwrap().to_owned();

    google.lock().unwrap().secret = Some(Ok("s3cret-one".to_owned()));
    let credentials = secret_credentials(&at, &clock()).await;
    google.lock().unwrap().secret = Some(Ok("s3cret-two".to_owned()));
    errors += &call(&upstream(&at, credentials, clock())).await.unwrap_err().to_string();

    tracing::error!("{errors}");
    let text = log.text();
    assert!(text.contains("no token for Google Cloud"), "{text}");
    let key_line = KEY.lines().nth(1).unwrap();
    for secret in ["ya29", "s3cret", assertion.as_str(), key_line] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

fn manager(at: &Url, credentials: Arc<dyn Credentials>) -> Arc<SecretManager> {
    Arc::new(SecretManager::new(upstream(at, credentials, clock())))
}

async fn secret_credentials(at: &Url, clock: &Arc<ManualClock>) -> Arc<dyn Credentials> {
    let reference: SecretRef = format!("secret://{VERSION}").parse().unwrap();
    let make = |value: &casebridge::config::Secret| {
        bearer(value.reveal()).map(|credentials| Arc::new(credentials) as Arc<dyn Credentials>)
    };
    let manager = Some(manager(at, Arc::new(NoCredentials)));
    Arc::new(SecretCredentials::read(reference, manager, Box::new(make), clock.clone()).await.unwrap())
}

#[tokio::test]
async fn a_secret_is_read_from_secret_manager_with_a_token() {
    let secret = Some(Ok("s3cret\n".to_owned()));
    let (google, at) = start(Google { token_lives: Some(3600), secret, ..Google::default() }).await;
    let reference: SecretRef = format!("secret://{VERSION}").parse().unwrap();
    let value = reference.resolve(Some(&manager(&at, key_file(&at)))).await.unwrap();
    assert_eq!(value.reveal(), "s3cret");
    let google = google.lock().unwrap();
    assert_eq!(google.secret_reads, [format!("{VERSION}:access")]);
    assert_eq!(google.api_calls, ["Bearer ya29.token-1"]);
}

#[tokio::test]
async fn a_secret_that_cannot_be_had_comes_with_what_to_do() {
    let refused = |status, message| (Some(Err((status, message))), None);
    let disabled = "Secret Manager API has not been used in project 1 before or it is disabled.";
    for ((secret, checksum), expected) in [
        (refused(403, "denied"), "gcloud secrets add-iam-policy-binding jira --project=p"),
        (refused(403, disabled), "gcloud services enable secretmanager.googleapis.com --project=p"),
        (refused(404, "not found"), "gcloud secrets create jira --data-file=- --project=p"),
        (refused(400, "is in DESTROYED state"), "gcloud secrets versions list jira --project=p"),
        (refused(401, "bad token"), "clock is right"),
        (refused(500, "internal"), "HTTP 500"),
        ((Some(Ok(" \n".to_owned())), None), "empty"),
        ((Some(Ok("s3cret".to_owned())), Some("1")), "checksum"),
    ] {
        let (_, at) = start(Google { secret, checksum, ..Google::default() }).await;
        let reference: SecretRef = format!("secret://{VERSION}").parse().unwrap();
        let error =
            reference.resolve(Some(&manager(&at, Arc::new(NoCredentials)))).await.unwrap_err().to_string();
        assert!(error.starts_with(&format!("Secret Manager: {VERSION}: ")), "{error}");
        assert!(error.contains(expected) && !error.contains("s3cret"), "{expected}: {error}");
    }
    // "123456789" has a well-known CRC32C checksum: 0xE3069283.
    let secret = Some(Ok("123456789".to_owned()));
    let (_, at) = start(Google { secret, checksum: Some("3808858755"), ..Google::default() }).await;
    assert!(manager(&at, Arc::new(NoCredentials)).access(VERSION).await.is_ok());
}

#[tokio::test]
async fn a_secret_is_read_again_when_the_upstream_refuses_it() {
    let first = Google { secret: Some(Ok("one".to_owned())), ..Google::default() };
    let (google, at) = start(first).await;
    let clock = clock();
    let credentials = secret_credentials(&at, &clock).await;
    let api = upstream(&at, credentials, clock.clone());
    call(&api).await.unwrap();
    assert_eq!(google.lock().unwrap().secret_reads.len(), 1, "read once at the start");

    // The secret changed in Secret Manager and at the upstream: the call that meets the change succeeds, and so do the concurrent ones.
    {
        let mut google = google.lock().unwrap();
        (google.secret, google.accepted) = (Some(Ok("two".to_owned())), Some("two".to_owned()));
    }
    let calls = futures_util::future::join_all((0..8).map(|_| call(&api))).await;
    assert!(calls.iter().all(Result::is_ok), "{calls:?}");
    assert_eq!(google.lock().unwrap().secret_reads.len(), 2, "read once more for all of them");

    // If the upstream refuses the current secret too, it is read again only rarely, and calls fail.
    google.lock().unwrap().accepted = Some("three".to_owned());
    clock.advance(TimeDelta::minutes(1));
    for _ in 0..3 {
        assert_eq!(call(&api).await.unwrap_err().status, Some(401));
    }
    assert_eq!(google.lock().unwrap().secret_reads.len(), 3);

    // If Secret Manager fails, the old value is kept and the secret is read again later.
    clock.advance(TimeDelta::minutes(1));
    google.lock().unwrap().secret = Some(Err((403, "denied")));
    assert!(call(&api).await.is_err());
    clock.advance(TimeDelta::minutes(1));
    google.lock().unwrap().secret = Some(Ok("three".to_owned()));
    call(&api).await.unwrap();
}

/// Returns an upstream whose server refuses everything and sends this `Date`.
async fn refusing(date: &'static str, credentials: Arc<dyn Credentials>) -> Upstream {
    let refuse = move || async move { (StatusCode::UNAUTHORIZED, [("date", date)], "{}") };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(refuse)).await });
    upstream(&at, credentials, clock())
}

#[tokio::test]
async fn a_clock_that_is_off_is_found_by_the_date_of_the_upstreams_answer() {
    let (_, no_token) = start(Google { token_lives: None, ..Google::default() }).await;
    let right =
        ["Sun, 01 Mar 2026 10:00:00 GMT", "Sun, 01 Mar 2026 10:01:00 GMT", "Sun, 01 Mar 2026 09:59:00 GMT"];
    let wrong = [
        ("Sun, 01 Mar 2026 10:12:00 GMT", "this machine's clock is 12m behind that of API"),
        ("Sun, 01 Mar 2026 07:58:30 GMT", "this machine's clock is 2h 1m 30s ahead of that of API"),
    ];
    // Refused by the upstream, and by the token server, whose error does not mention clocks.
    for (credentials, said) in [
        (Arc::new(bearer("ya29.old").unwrap()) as Arc<dyn Credentials>, "HTTP 401"),
        (key_file(&no_token), "no token for Google Cloud"),
    ] {
        for (date, expected) in wrong {
            let error = call(&refusing(date, credentials.clone()).await).await.unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains("timedatectl set-ntp true"), "{error}");
            assert!(error.contains(said), "{error}");
        }
        for date in right {
            let error = call(&refusing(date, credentials.clone()).await).await.unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("this machine's clock is 1"), "{error}");
            assert!(!error.contains("timedatectl"), "{error}");
        }
    }
}
