//! Network of a company: both systems and Google's token servers behind a CONNECT proxy, with certificates of a CA of its own.
//!
//! No name under `corp.test` can be resolved: whatever arrives came through the proxy. The certificates in `tests/fixtures/tls` were made for
//! these tests; the key of their CA was thrown away.

#![allow(dead_code, reason = "two suites have it, and each uses a part")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use axum::http::StatusCode;
use axum::middleware;
use axum::response::IntoResponse as _;
use casebridge::clock::SystemClock;
use casebridge::sandbox::csapi::{CLASSIFICATION_ID, SandboxCsapi};
use casebridge::sandbox::jira::{SandboxJira, SandboxJiraSettings};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio_rustls::TlsAcceptor;

use casebridge_testkit::harness::serve;
use casebridge_testkit::scripted::{Say, Scripted};

pub(crate) const CA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/network-ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("../fixtures/tls/network-server.pem");
const KEY: &[u8] = include_bytes!("../fixtures/tls/network-key-for-tests-only.pem");
/// Token of the service account, without which the CSAPI answers 401.
const TOKEN: &str = "ya29.as-casebridge";
/// Name of the proxy's Unix socket.
const SOCKET: &str = "proxy.sock";

/// Network with both systems, Google's token servers, and the proxy.
pub(crate) struct Network {
    folder: TempDir,
    pub(crate) csapi: SandboxCsapi,
    pub(crate) jira: SandboxJira,
    /// Address of the proxy; it listens on [`Self::socket`] as well.
    pub(crate) proxy: String,
    /// Hosts that the proxy was asked for.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Network {
    pub(crate) async fn new() -> Self {
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
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixListener::bind(folder.path().join(SOCKET)).unwrap();
        let proxy = proxy(hosts, Arc::clone(&asked), socket).await;
        let network = Self { folder, csapi, jira, proxy, asked };
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
[server]
listen = "127.0.0.1:8080"
"#
        );
        std::fs::write(folder.join("casebridge.toml"), configuration).unwrap();
    }

    /// Folder of the configuration, and of what the program keeps.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Unix socket of the proxy, which a process in another network namespace reaches too.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder().join(SOCKET)
    }

    /// Google's credentials file.
    pub(crate) fn credentials(&self) -> PathBuf {
        self.folder().join("google.json")
    }

    /// Fails if the text holds a token.
    pub(crate) fn keeps_secrets(text: &str) {
        assert!(!text.contains("ya29") && !text.contains("a-token-of-the-company"), "{text}");
    }

    /// Reports if the proxy was asked for a host.
    pub(crate) fn asked_for(&self, host: &str) -> bool {
        self.asked.lock().unwrap().iter().any(|asked| asked == &format!("{host}:443"))
    }
}

/// Starts a proxy that only takes CONNECT, and ends TLS for these hosts with the network's certificate.
async fn proxy(
    hosts: Vec<(&'static str, std::net::SocketAddr)>,
    asked: Arc<Mutex<Vec<String>>>,
    socket: UnixListener,
) -> String {
    casebridge::outbound::install_tls();
    let chain = CertificateDer::pem_slice_iter(CERTIFICATE).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(KEY).unwrap();
    let tls = rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let hosts = Arc::new(hosts);
    tokio::spawn(async move {
        loop {
            let (hosts, asked, acceptor) = (Arc::clone(&hosts), Arc::clone(&asked), acceptor.clone());
            tokio::select! {
                Ok((connection, _)) = listener.accept() => {
                    tokio::spawn(async move { tunnel(connection, &hosts, &asked, acceptor).await });
                }
                Ok((connection, _)) = socket.accept() => {
                    tokio::spawn(async move { tunnel(connection, &hosts, &asked, acceptor).await });
                }
                else => break,
            }
        }
    });
    address
}

async fn tunnel(
    mut connection: impl AsyncRead + AsyncWrite + Unpin,
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
