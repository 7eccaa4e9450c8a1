//! Credentials files of Google Cloud, against a server that plays the token endpoint, the Security Token Service, IAM and an identity
//! provider: each kind, renewed in time, refused with what to do, and no secret in any error.
#![allow(clippy::needless_pass_by_value, reason = "a JSON value is written where it is passed")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use casebridge::clock::{Clock as _, SystemClock};
use casebridge::outbound::{Credentials, GoogleFile, find_google};
use casebridge::store;
use serde_json::{Value, json};
use tempfile::TempDir;

use casebridge_testkit::harness::log::Log;
use casebridge_testkit::scripted::{Asked, Say, Scripted};

const KEY: &str = include_str!("../fixtures/google/key-for-tests-only.pem");
const AUDIENCE: &str =
    "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/corp";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const IMPERSONATION: &str =
    "/v1/projects/-/serviceAccounts/casebridge@p.iam.gserviceaccount.com:generateAccessToken";
/// Secrets of the files and tokens, none of which an error or a log may hold.
const SECRETS: [&str; 5] = ["subj3ct", "cl1ent-s3cret", "r3fresh", "ya29", "MIIEvgIBADAN"];

/// Answers as Google does: the endpoint by its path. `lives`: lifetime of its tokens in seconds.
async fn google(lives: u64) -> Scripted {
    Scripted::new(move |number, asked| match asked.target.as_str() {
        "/sts" | "/token" => Say::json(
            &json!({ "access_token": format!("ya29.{number}"), "expires_in": lives, "token_type": "Bearer" })
                .to_string(),
        ),
        IMPERSONATION => {
            let end = SystemClock.now() + Duration::from_secs(lives);
            Say::json(
                &json!({ "accessToken": format!("ya29.as-{number}"), "expireTime": end.to_rfc3339() })
                    .to_string(),
            )
        }
        "/identity?audience=a" => Say::json(r#"{"value": "subj3ct-of-url"}"#),
        _ => Say::status(404, "", "{}"),
    })
    .await
}

fn at(server: &Scripted, path: &str) -> String {
    server.url.join(path).unwrap().to_string()
}

fn form(asked: &Asked) -> Value {
    let pairs = url::form_urlencoded::parse(&asked.body);
    Value::Object(pairs.map(|(name, value)| (name.into_owned(), Value::String(value.into_owned()))).collect())
}

fn external(server: &Scripted, source: Value) -> Value {
    json!({
        "type": "external_account", "audience": AUDIENCE, "subject_token_type": JWT,
        "token_url": at(server, "/sts"), "credential_source": source,
    })
}

fn with(mut file: Value, name: &str, value: Value) -> Value {
    file[name] = value;
    file
}

fn person(server: &Scripted) -> Value {
    json!({
        "type": "authorized_user", "client_id": "the-client", "client_secret": "cl1ent-s3cret",
        "refresh_token": "r3fresh", "token_uri": at(server, "/token"),
    })
}

fn key(server: &Scripted) -> Value {
    json!({
        "type": "service_account", "project_id": "p", "private_key_id": "k1", "private_key": KEY,
        "client_email": "connector@p.iam.gserviceaccount.com", "token_uri": at(server, "/token"),
    })
}

fn impersonated(server: &Scripted, source: Value) -> Value {
    json!({
        "type": "impersonated_service_account", "delegates": ["projects/-/serviceAccounts/between@p.iam.gserviceaccount.com"],
        "service_account_impersonation_url": at(server, IMPERSONATION), "source_credentials": source,
    })
}

/// Folder with a credentials file and a token of an identity provider.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("subject", "subj3ct\n");
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    async fn open(&self, file: &Value) -> Result<GoogleFile, String> {
        self.write("credentials.json", &file.to_string());
        GoogleFile::open(self.path("credentials.json")).await
    }

    /// Returns the error of the file: of reading it, or of the first token.
    async fn error(&self, file: &Value) -> String {
        match self.open(file).await {
            Ok(file) => file.header().await.unwrap_err(),
            Err(error) => error,
        }
    }
}

async fn token(credentials: &dyn Credentials) -> String {
    let (name, value) = credentials.header().await.unwrap().unwrap();
    assert!(name == "authorization" && value.is_sensitive());
    value.to_str().unwrap().to_owned()
}

fn no_secret(text: &str) {
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
}

#[tokio::test]
async fn a_federated_identity_is_exchanged_at_the_security_token_service() {
    let (folder, server) = (Folder::new(), google(3600).await);
    folder.write("subject.json", r#"{"id_token": "subj3ct-of-json"}"#);
    let (text, json) = (folder.path("subject"), folder.path("subject.json"));
    let format = json!({ "type": "json", "subject_token_field_name": "id_token" });
    let url_format = json!({ "type": "json", "subject_token_field_name": "value" });
    for (source, expected) in [
        (json!({ "file": text }), "subj3ct"),
        (json!({ "file": text, "format": { "type": "text" } }), "subj3ct"),
        (json!({ "file": json, "format": format }), "subj3ct-of-json"),
        (
            json!({ "url": at(&server, "/identity?audience=a"), "headers": { "Metadata": "True" }, "format": url_format }),
            "subj3ct-of-url",
        ),
    ] {
        let is_url = source.get("url").is_some();
        let credentials = folder.open(&external(&server, source)).await.unwrap();
        let token = token(&credentials).await;
        let asked = server.asked();
        assert_eq!(token, format!("Bearer ya29.{}", asked.len() - 1));
        let sent = asked.last().unwrap();
        assert_eq!((sent.method.as_str(), sent.target.as_str()), ("POST", "/sts"));
        assert_eq!(
            form(sent),
            json!({
                "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange", "audience": AUDIENCE, "scope": SCOPE,
                "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "subject_token": expected, "subject_token_type": JWT,
            })
        );
        assert_eq!(sent.header("authorization"), None);
        if is_url {
            let identity = &asked[asked.len() - 2];
            assert_eq!((identity.method.as_str(), identity.header("metadata")), ("GET", Some("True")));
        }
    }
}

#[tokio::test]
async fn a_workforce_pool_names_its_project_or_its_client() {
    let (folder, server) = (Folder::new(), google(3600).await);
    let file = external(&server, json!({ "file": folder.path("subject") }));
    let file = with(file, "workforce_pool_user_project", json!("my-project"));
    token(&folder.open(&file).await.unwrap()).await;
    assert_eq!(form(&server.asked()[0])["options"], json!(r#"{"userProject":"my-project"}"#));
    let file = with(with(file, "client_id", json!("me")), "client_secret", json!("cl1ent-s3cret"));
    token(&folder.open(&file).await.unwrap()).await;
    let asked = &server.asked()[1];
    assert_eq!(form(asked).get("options"), None);
    let expected = format!("Basic {}", STANDARD.encode("me:cl1ent-s3cret"));
    assert_eq!(asked.header("authorization"), Some(expected.as_str()));
}

#[tokio::test]
async fn a_service_account_is_impersonated_with_whatever_token_there_is() {
    let (folder, server) = (Folder::new(), google(3600).await);
    let federated = external(&server, json!({ "file": folder.path("subject") }));
    let url = json!(at(&server, IMPERSONATION));
    let federated_too = with(federated.clone(), "service_account_impersonation_url", url);
    let shorter = with(
        federated_too.clone(),
        "service_account_impersonation",
        json!({ "token_lifetime_seconds": 900 }),
    );
    let delegates = json!(["projects/-/serviceAccounts/between@p.iam.gserviceaccount.com"]);
    for (file, lifetime, delegates) in [
        (federated_too, "3600s", None),
        (shorter, "900s", None),
        (impersonated(&server, person(&server)), "3600s", Some(&delegates)),
        (impersonated(&server, key(&server)), "3600s", Some(&delegates)),
        (impersonated(&server, federated), "3600s", Some(&delegates)),
    ] {
        let before = server.asked().len();
        assert_eq!(token(&folder.open(&file).await.unwrap()).await, format!("Bearer ya29.as-{}", before + 1));
        let asked = &server.asked()[before + 1];
        assert_eq!((asked.method.as_str(), asked.target.as_str()), ("POST", IMPERSONATION));
        assert_eq!(asked.header("authorization"), Some(format!("Bearer ya29.{before}").as_str()));
        let body = asked.json();
        assert_eq!((&body["scope"], &body["lifetime"]), (&json!([SCOPE]), &json!(lifetime)));
        assert_eq!(body.get("delegates"), delegates);
    }
}

#[tokio::test]
async fn a_key_signs_an_assertion_and_a_person_sends_the_refresh_token() {
    let (folder, server) = (Folder::new(), google(3600).await);
    assert_eq!(token(&folder.open(&key(&server)).await.unwrap()).await, "Bearer ya29.0");
    let sent = form(&server.asked()[0]);
    assert_eq!(sent["grant_type"], json!("urn:ietf:params:oauth:grant-type:jwt-bearer"));
    let parts: Vec<Vec<u8>> = sent["assertion"]
        .as_str()
        .unwrap()
        .split('.')
        .map(|part| URL_SAFE_NO_PAD.decode(part).unwrap())
        .collect();
    let [header, claims] = [0, 1].map(|part| serde_json::from_slice::<Value>(&parts[part]).unwrap());
    assert_eq!(header, json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
    assert_eq!(claims["iss"], json!("connector@p.iam.gserviceaccount.com"));
    assert_eq!((&claims["aud"], &claims["scope"]), (&json!(at(&server, "/token")), &json!(SCOPE)));
    let (issued, ends) = (claims["iat"].as_i64().unwrap(), claims["exp"].as_i64().unwrap());
    let now = SystemClock.now().timestamp();
    assert!(ends - issued == 3600 && (now - 70..now).contains(&issued), "{issued} to {ends}");
    // The signature is the one that `gcp_auth` makes with the same key: RS256 has no randomness.
    let file = folder.path("credentials.json");
    let account = gcp_auth::CustomServiceAccount::from_file(&file).unwrap();
    let signed = sent["assertion"].as_str().unwrap().rsplit_once('.').unwrap().0;
    assert_eq!(parts[2], account.signer().sign(signed.as_bytes()).unwrap());

    assert_eq!(token(&folder.open(&person(&server)).await.unwrap()).await, "Bearer ya29.1");
    let expected = json!({
        "grant_type": "refresh_token", "client_id": "the-client", "client_secret": "cl1ent-s3cret", "refresh_token": "r3fresh",
    });
    assert_eq!(form(&server.asked()[1]), expected);
}

#[tokio::test]
async fn a_token_is_requested_once_for_all_who_wait_and_renewed_before_it_expires() {
    let (folder, server) = (Folder::new(), google(5).await);
    for file in [person(&server), impersonated(&server, key(&server))] {
        let before = server.asked().len();
        let requests = if file["type"] == json!("authorized_user") { 1 } else { 2 };
        let credentials = folder.open(&file).await.unwrap();
        let all = futures_util::future::join_all((0..20).map(|_| token(&credentials))).await;
        assert!(all.iter().all(|token| *token == all[0]), "{all:?}");
        assert_eq!(server.asked().len() - before, requests, "one token for 20 calls at once");
        // Three lifetimes.
        let begun = tokio::time::Instant::now();
        while begun.elapsed() < Duration::from_secs(15) {
            token(&credentials).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let issued = (server.asked().len() - before) / requests;
        assert!((3..=7).contains(&issued), "{issued} tokens");
    }
}

#[tokio::test]
async fn each_request_reads_the_files_again_and_a_refused_token_is_replaced() {
    let (folder, server) = (Folder::new(), google(3600).await);
    let credentials =
        folder.open(&external(&server, json!({ "file": folder.path("subject") }))).await.unwrap();
    token(&credentials).await;
    folder.write("subject", "subj3ct-two");
    later().await;
    assert!(credentials.refresh().await);
    assert_eq!(form(&server.asked()[1])["subject_token"], json!("subj3ct-two"));
    assert_eq!(token(&credentials).await, "Bearer ya29.1");
    // Of calls that are refused at once, the first one renews.
    assert!(credentials.refresh().await);
    assert_eq!(server.asked().len(), 2);
    // Somebody puts another kind of file there.
    folder.write("credentials.json", &person(&server).to_string());
    later().await;
    assert!(credentials.refresh().await);
    assert_eq!(server.asked()[2].target, "/token");
}

/// Moves the time by a minute, after which a refused token is requested again.
async fn later() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(1)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn while_a_renewal_fails_the_old_token_is_used_and_the_endpoint_is_spared() {
    let server = Scripted::answers(vec![
        Say::json(r#"{"access_token": "ya29.first", "expires_in": 100}"#),
        Say::status(503, "", "{}"),
    ])
    .await;
    let folder = Folder::new();
    let credentials = folder.open(&person(&server)).await.unwrap();
    token(&credentials).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(90)).await;
    tokio::time::resume();
    for _ in 0..3 {
        assert_eq!(token(&credentials).await, "Bearer ya29.first");
    }
    assert_eq!(server.asked().len(), 2);
    later().await;
    let error = credentials.header().await.unwrap_err();
    assert!(error.contains("it answered 503"), "{error}");
    assert_eq!(credentials.header().await.unwrap_err(), error);
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn a_refusal_says_which_file_which_endpoint_and_what_to_do_and_no_secret() {
    let log = Log::default();
    let _guard = log.capture(casebridge::clock::ManualClock::at("2026-03-01T10:00:00Z".parse().unwrap()));
    let server = Scripted::new(|number, asked| match asked.target.as_str() {
        // As much of the request as a server may repeat.
        "/sts" => Say::status(400, "", r#"{"error": "invalid_target", "error_description": "subj3ct"}"#),
        "/token" if number == 0 => {
            Say::status(400, "", r#"{"error": "invalid_grant", "error_description": "r3fresh"}"#)
        }
        // The beginning of the assertion.
        "/token" if number == 1 => Say::status(401, "", r#"{"error": "eyJhbGciOiJSUzI1NiI"}"#),
        "/token" => Say::json(r#"{"access_token": "ya29.own", "expires_in": 3600}"#),
        IMPERSONATION => Say::status(
            403,
            "",
            r#"{"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "denied to ya29.own"}}"#,
        ),
        "/page" => Say::status(200, "", "<html>subj3ct</html>"),
        _ => Say::status(404, "", "subj3ct"),
    })
    .await;
    let folder = Folder::new();
    let place = format!("127.0.0.1:{}", server.url.port().unwrap());
    let (subject, gone) = (folder.path("subject"), folder.path("gone"));
    folder.write("empty", " \n");
    let json_format = json!({ "type": "json", "subject_token_field_name": "id_token" });
    let page = with(external(&server, json!({ "file": subject })), "token_url", json!(at(&server, "/page")));
    let mut all = String::new();
    for (file, expected) in [
        (
            person(&server),
            vec![
                format!("{place}/token: it answered 400 (invalid_grant)"),
                "application-default login".to_owned(),
            ],
        ),
        (
            key(&server),
            vec![format!("{place}/token: it answered 401; "), "iam service-accounts keys list".to_owned()],
        ),
        (
            external(&server, json!({ "file": subject })),
            vec![
                format!("{place}/sts: it answered 400 (invalid_target)"),
                "providers describe".to_owned(),
                subject.display().to_string(),
            ],
        ),
        (
            impersonated(&server, person(&server)),
            vec![
                format!("{place}{IMPERSONATION}: it answered 403 (PERMISSION_DENIED)"),
                "roles/iam.serviceAccountTokenCreator".to_owned(),
            ],
        ),
        (
            external(&server, json!({ "file": gone })),
            vec![gone.display().to_string(), "identity provider".to_owned()],
        ),
        (external(&server, json!({ "file": folder.path("empty") })), vec!["holds no token".to_owned()]),
        (
            external(&server, json!({ "file": subject, "format": json_format })),
            vec!["the field \"id_token\"".to_owned(), "credential_source.format".to_owned()],
        ),
        (
            external(&server, json!({ "url": at(&server, "/identity?secret=subj3ct") })),
            vec![format!("{place}/identity: it answered 404; "), "credential_source.url".to_owned()],
        ),
        (page, vec![format!("the answer of {place}/page is no token")]),
        (
            with(person(&server), "token_uri", json!("http://127.0.0.1:9/token")),
            vec!["127.0.0.1:9/token: cannot connect".to_owned(), "HTTPS_PROXY".to_owned()],
        ),
    ] {
        let error = folder.error(&file).await;
        assert!(error.starts_with("no token for Google Cloud with "), "{error}");
        for part in expected.into_iter().chain([folder.path("credentials.json").display().to_string()]) {
            assert!(error.contains(&part), "{part:?} is missing in {error}");
        }
        all += &error;
    }
    tracing::error!("{all}");
    no_secret(&log.text());
}

#[tokio::test]
async fn a_malformed_file_says_what_is_wrong_where_and_what_to_do() {
    let (folder, server) = (Folder::new(), google(3600).await);
    let source = json!({ "file": folder.path("subject") });
    let federated = || external(&server, source.clone());
    let sourced = |source: Value| external(&server, source);
    let nested = impersonated(&server, impersonated(&server, person(&server)));
    let seconds = with(
        with(federated(), "service_account_impersonation_url", json!(at(&server, IMPERSONATION))),
        "service_account_impersonation",
        json!({ "token_lifetime_seconds": 5 }),
    );
    for (file, expected) in [
        (json!([]), vec!["it holds no object"]),
        (json!({}), vec!["`type` is missing"]),
        (json!({ "type": "gdch_service_account" }), vec!["`type` must be external_account, "]),
        (json!({ "type": 5 }), vec!["`type` is no text"]),
        (
            json!({ "type": "external_account" }),
            vec![
                "`audience` is missing",
                "`subject_token_type` is missing",
                "`credential_source` is missing",
            ],
        ),
        (with(federated(), "audience", json!(" ")), vec!["`audience` is empty"]),
        (
            with(federated(), "token_url", json!("http://sts.example/v1")),
            vec!["`token_url` must begin with https://"],
        ),
        (
            with(federated(), "token_url", json!("https://me:cl1ent-s3cret@sts.example/v1")),
            vec!["`token_url` holds a user"],
        ),
        (with(federated(), "token_url", json!("sts")), vec!["`token_url` is no address"]),
        (
            with(federated(), "service_account_impersonation_url", json!("https://iam.example/v1/x")),
            vec!["`service_account_impersonation_url` must end like https://iamcredentials.googleapis.com/"],
        ),
        (
            seconds,
            vec!["`service_account_impersonation.token_lifetime_seconds` is no number of seconds from 600"],
        ),
        (sourced(json!("subj3ct")), vec!["`credential_source` is no object"]),
        (sourced(json!({})), vec!["`credential_source.file` or `credential_source.url` must stand there"]),
        (
            sourced(json!({ "environment_id": "aws1", "url": "http://169.254.169.254/x" })),
            vec![
                "`credential_source.environment_id` says that the source is AWS, which is not supported",
                "name it in `credential_source.file`",
            ],
        ),
        (
            sourced(json!({ "executable": { "command": "/bin/subj3ct" } })),
            vec![
                "`credential_source.executable` says that the source is a command, which is not supported",
                "name it in `credential_source.file`",
            ],
        ),
        (sourced(json!({ "certificate": {} })), vec!["a client certificate, which is not supported"]),
        (
            sourced(json!({ "file": "x", "format": { "type": "xml" } })),
            vec!["`credential_source.format.type` must be text or json"],
        ),
        (
            sourced(json!({ "file": "x", "format": { "type": "json" } })),
            vec!["`credential_source.format.subject_token_field_name` is missing"],
        ),
        (
            sourced(json!({ "url": "http://metadata.example/x" })),
            vec!["`credential_source.url` must begin with https://"],
        ),
        (
            sourced(json!({ "url": at(&server, "/x"), "headers": { "a": "subj3ct\n" } })),
            vec!["`credential_source.headers` holds something that cannot stand in a header"],
        ),
        (nested, vec!["`source_credentials.type` is another impersonation", "`delegates`"]),
        (
            with(impersonated(&server, json!(null)), "delegates", json!("a")),
            vec!["`source_credentials` is no object", "`delegates` is no list of texts"],
        ),
        (
            with(key(&server), "private_key", json!("MIIEvgIBADAN")),
            vec!["`private_key` is no RSA key in PEM"],
        ),
        (
            json!({ "type": "authorized_user", "client_secret": "cl1ent-s3cret" }),
            vec!["`client_id` is missing", "`refresh_token` is missing"],
        ),
    ] {
        let error = folder.open(&file).await.err().unwrap();
        let name = folder.path("credentials.json").display().to_string();
        for part in expected.into_iter().chain([name.as_str(), "docs/networks.md"]) {
            assert!(error.contains(part), "{part:?} is missing in {error}");
        }
        no_secret(&error);
    }
    assert_eq!(server.asked().len(), 0);
    folder.write("broken.json", "{\n\"refresh_token\": r3fresh\n}");
    let error = GoogleFile::open(folder.path("broken.json")).await.err().unwrap();
    assert!(error.contains("broken.json is no JSON (line 2, column "), "{error}");
    no_secret(&error);
    let error = GoogleFile::open(folder.path("absent.json")).await.err().unwrap();
    assert!(error.contains("absent.json cannot be read") && error.contains("correct its path"), "{error}");
}

#[tokio::test]
async fn a_file_that_is_named_goes_before_the_one_of_gcloud() {
    let (folder, server) = (Folder::new(), google(3600).await);
    let own = ".config/gcloud/application_default_credentials.json";
    std::fs::create_dir_all(folder.path(".config/gcloud")).unwrap();
    folder.write(own, &person(&server).to_string());
    folder.write("named.json", &external(&server, json!({ "file": folder.path("subject") })).to_string());
    let environment = |named: Option<&Path>| {
        let (named, home) = (named.map(OsString::from), folder.0.path().as_os_str().to_owned());
        move |name: &str| match name {
            "GOOGLE_APPLICATION_CREDENTIALS" => named.clone(),
            "HOME" => Some(home.clone()),
            _ => None,
        }
    };
    for (named, target) in
        [(Some(folder.path("named.json")), "/sts"), (None, "/token"), (Some(PathBuf::new()), "/token")]
    {
        let credentials = find_google(environment(named.as_deref())).await.unwrap();
        token(credentials.as_ref()).await;
        assert_eq!(server.asked().last().unwrap().target, target);
    }
    // Nobody means another file than the one that is named.
    let error = find_google(environment(Some(&folder.path("absent.json")))).await.err().unwrap();
    assert!(error.starts_with("GOOGLE_APPLICATION_CREDENTIALS: the credentials file "), "{error}");
    folder.write(own, "{}");
    let error = find_google(environment(None)).await.err().unwrap();
    assert!(error.contains(own) && error.contains("`type` is missing"), "{error}");
}

/// The channel asks for a token for each call; without one, nothing is sent.
#[tokio::test]
async fn both_databases_take_the_credentials_of_a_file() {
    let (folder, server) = (Folder::new(), Scripted::answers(vec![Say::status(400, "", "{}")]).await);
    for url in ["firestore:my-project", "datastore:my-project"] {
        let credentials = std::sync::Arc::new(folder.open(&person(&server)).await.unwrap());
        let before = server.asked().len();
        let error = store::open(url, Some(credentials)).await.unwrap().check().await.unwrap_err().to_string();
        assert!(error.contains("no token for Google Cloud with ") && error.contains(url), "{error}");
        assert_eq!(server.asked().len(), before + 1);
    }
}
