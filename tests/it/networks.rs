//! The real binary in a network whose only way out is a proxy, and whose certificates are of a CA of its own.
//!
//! No name under `corp.test` can be resolved: whatever arrives came through the proxy. The certificates in `tests/fixtures/tls` were made for
//! these tests; the key of their CA was thrown away.

use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use axum::middleware;
use axum::response::IntoResponse as _;
use casebridge::clock::SystemClock;
use casebridge::sandbox::csapi::{Author, CLASSIFICATION_ID, NewCase, Priority, SandboxCsapi};
use casebridge::sandbox::jira::{SandboxJira, SandboxJiraSettings};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use casebridge_testkit::harness::serve;
use casebridge_testkit::scripted::{Say, Scripted};

const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/network-ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../fixtures/tls/network-server.pem");
const KEY: &[u8] = include_bytes!("../fixtures/tls/network-key-for-tests-only.pem");
/// Token of the service account, without which the CSAPI answers 401.
const TOKEN: &str = "ya29.as-casebridge";

/// Network with both systems, Google's token servers, and the proxy.
struct Network {
    folder: TempDir,
    csapi: SandboxCsapi,
    jira: SandboxJira,
    proxy: String,
    /// Hosts that the proxy was asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Network {
    async fn new() -> Self {
        let clock = Arc::new(SystemClock);
        let csapi = SandboxCsapi::new(clock.clone(), "organizations/123");
        let jira = SandboxJira::new(clock, SandboxJiraSettings::default());
        let guarded = csapi.router().layer(middleware::from_fn(
            |request: axum::extract::Request, next: middleware::Next| async move {
                let proof = request.headers().get("authorization").and_then(|value| value.to_str().ok());
                if proof == Some(&format!("Bearer {TOKEN}")) {
                    next.run(request).await
                } else {
                    StatusCode::UNAUTHORIZED.into_response()
                }
            },
        ));
        let tokens = Scripted::new(|_, asked| match asked.target.as_str() {
            "/v1/token" => {
                Say::json(r#"{"access_token": "ya29.federated", "expires_in": 3600, "token_type": "Bearer"}"#)
            }
            _ if asked.header("authorization") == Some("Bearer ya29.federated") => {
                Say::json(&json!({ "accessToken": TOKEN, "expireTime": "2100-01-01T00:00:00Z" }).to_string())
            }
            _ => Say::status(403, "", "{}"),
        })
        .await;
        let tokens = tokens.url.socket_addrs(|| None).unwrap()[0];
        let hosts = vec![
            ("sts.corp.test", tokens),
            ("iam.corp.test", tokens),
            ("csapi.corp.test", serve(guarded).await),
            ("jira.corp.test", serve(jira.router()).await),
        ];
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let proxy = proxy(hosts, Arc::clone(&asked)).await;
        let network = Self { folder: tempfile::tempdir().unwrap(), csapi, jira, proxy, asked };
        network.configure();
        network
    }

    fn configure(&self) {
        let folder = self.folder.path();
        std::fs::write(folder.join("subject"), "a-token-of-the-company").unwrap();
        let file = json!({
            "type": "external_account", "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/c",
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": "https://sts.corp.test/v1/token",
            "service_account_impersonation_url":
                "https://iam.corp.test/v1/projects/-/serviceAccounts/casebridge@p.iam.gserviceaccount.com:generateAccessToken",
            "credential_source": { "file": folder.join("subject") },
        });
        std::fs::write(folder.join("google.json"), file.to_string()).unwrap();
        let configuration = format!(
            r#"
[google]
parent = "organizations/123"
base_url = "https://csapi.corp.test"
classification_id = "{CLASSIFICATION_ID}"
timeout = "10s"
[company]
kind = "jira"
base_url = "https://jira.corp.test"
timeout = "10s"
[company.jira]
project = "SUP"
[store]
url = "sqlite:casebridge.db"
"#
        );
        std::fs::write(folder.join("casebridge.toml"), configuration).unwrap();
    }

    /// Runs the binary with nothing but these variables.
    async fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (Output, String) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_casebridge"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("GOOGLE_APPLICATION_CREDENTIALS", self.folder.path().join("google.json"))
            .envs(variables.iter().copied());
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!text.contains("ya29") && !text.contains("a-token-of-the-company"), "{text}");
        (output, text)
    }

    fn asked_for(&self, host: &str) -> bool {
        self.asked.lock().unwrap().iter().any(|asked| asked == &format!("{host}:443"))
    }
}

/// Starts a proxy that only takes CONNECT, and ends TLS for these hosts with the network's certificate.
async fn proxy(hosts: Vec<(&'static str, std::net::SocketAddr)>, asked: Arc<Mutex<Vec<String>>>) -> String {
    casebridge::outbound::install_tls();
    let chain = CertificateDer::pem_slice_iter(CERTIFICATE).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let tls = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let hosts = Arc::new(hosts);
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let (hosts, asked, acceptor) = (Arc::clone(&hosts), Arc::clone(&asked), acceptor.clone());
            tokio::spawn(async move { tunnel(connection, &hosts, &asked, acceptor).await });
        }
    });
    address
}

async fn tunnel(
    mut connection: TcpStream,
    hosts: &[(&str, std::net::SocketAddr)],
    asked: &Mutex<Vec<String>>,
    acceptor: TlsAcceptor,
) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(connection.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    asked.lock().unwrap().push(target.clone());
    let Some((_, address)) = hosts.iter().find(|(host, _)| target == format!("{host}:443")) else {
        connection.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.ok()?;
        return None;
    };
    connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    let mut inner = acceptor.accept(connection).await.ok()?;
    let mut outer = TcpStream::connect(address).await.ok()?;
    tokio::io::copy_bidirectional(&mut inner, &mut outer).await.ok()?;
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_with_a_ca_of_its_own_a_case_travels_and_no_key_is_needed() {
    let network = Network::new().await;
    let around = [("HTTPS_PROXY", network.proxy.as_str()), ("SSL_CERT_FILE", CA)];
    let case = NewCase {
        parent: "organizations/123".to_owned(),
        display_name: "A case".to_owned(),
        description: "Its description".to_owned(),
        priority: Priority::P2,
        author: Author::customer("Grace Hopper"),
    };
    let name = network.csapi.create_case(case).unwrap().name;
    let (_, check) = network.run(&["check"], &around).await;
    assert!(check.contains("ok      CSAPI: search cases of organizations/123"), "{check}");
    assert!(check.contains("ok      Jira: "), "{check}");
    for command in [&["poll", "google"][..], &["sync", "google", &name]] {
        let (output, text) = network.run(command, &around).await;
        assert!(output.status.success(), "{command:?}: {text}");
    }
    assert_eq!(network.jira.issues().len(), 1);
    for host in ["sts.corp.test", "iam.corp.test", "csapi.corp.test", "jira.corp.test"] {
        assert!(network.asked_for(host), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_proxy_or_the_ca_the_error_names_the_variable() {
    let network = Network::new().await;
    let proxy = ("HTTPS_PROXY", network.proxy.as_str());
    let ca = ("SSL_CERT_FILE", CA);
    let sts = "sts.corp.test/v1/token: cannot connect";
    // `NO_PROXY` is obeyed too: that host is not asked for at the proxy.
    for variables in [&[ca][..], &[proxy, ca, ("NO_PROXY", "sts.corp.test")]] {
        let (_, text) = network.run(&["check"], variables).await;
        assert!(text.contains(sts) && text.contains("name it in HTTPS_PROXY"), "{text}");
        assert!(!network.asked_for("sts.corp.test"));
    }
    let (_, text) = network.run(&["check"], &[proxy]).await;
    assert!(text.contains(sts) && text.contains("name its file in SSL_CERT_FILE"), "{text}");
    assert!(network.asked_for("sts.corp.test"));
}
