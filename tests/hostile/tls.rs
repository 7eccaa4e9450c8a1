//! Nobody in between: certificates are checked, and nothing in the program can switch that off.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use casebridge::cases::ApiErrorKind;
use casebridge::clock::SystemClock;
use casebridge::outbound::{Call, RetryPolicy, Upstream, UpstreamSettings, bearer};
use casebridge::telemetry::Metrics;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::Value;

/// For `localhost` and 127.0.0.1, for a hundred years, signed by itself. The key was made for this test and opens nothing.
const CERTIFICATE: &str = include_str!("../fixtures/tls/self-signed.pem");
const KEY: &str = include_str!("../fixtures/tls/key-for-tests-only.pem");

fn der(pem: &str) -> Vec<u8> {
    let lines: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(lines).unwrap()
}

/// Accepts one connection; what it heard of a request, which is nothing unless the client trusts it.
fn listen() -> (u16, std::thread::JoinHandle<Vec<u8>>) {
    casebridge::outbound::install_tls();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der(KEY)));
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(der(CERTIFICATE))], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut heard = vec![0; 1024];
        let length = stream.read(&mut heard).unwrap_or(0);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
        heard.truncate(length);
        heard
    });
    (port, heard)
}

#[tokio::test]
async fn a_server_that_vouches_for_itself_is_refused_and_hears_nothing() {
    let (port, heard) = listen();
    let settings = UpstreamSettings {
        name: "Test",
        base_url: format!("https://localhost:{port}").parse().unwrap(),
        requests_per_minute: NonZeroU32::new(1_000).unwrap(),
        timeout: Duration::from_secs(10),
        retry: RetryPolicy { attempts: 1, ..RetryPolicy::default() },
        download_hosts: Vec::new(),
    };
    let credentials = Arc::new(bearer("t0p-secret").unwrap());
    let upstream = Upstream::new(settings, credentials, Arc::new(SystemClock), Metrics::shared()).unwrap();
    let error = upstream.read::<Value>(Call::get("/thing")).await.unwrap_err();
    // Before anything was sent: a write would not have happened either.
    assert_eq!(error.kind, ApiErrorKind::NotApplied, "{error}");
    assert!(error.message.contains("certificate"), "{error}");
    assert_eq!(heard.join().unwrap(), b"");
}

/// The server above does work, for whoever is careless enough: otherwise its test would prove nothing.
#[tokio::test]
async fn the_same_server_answers_a_client_that_trusts_its_certificate() {
    let (port, heard) = listen();
    let certificate = reqwest::Certificate::from_pem(CERTIFICATE.as_bytes()).unwrap();
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([certificate]).build().unwrap();
    let answer = http.get(format!("https://localhost:{port}/thing")).send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "{}");
    assert!(heard.join().unwrap().starts_with(b"GET /thing"));
}

fn rust_files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Each file of the program, on one line.
fn program() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    rust_files(&root.join("src"), &mut paths);
    assert!(paths.len() > 50, "the program is not seen any more");
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
            (path.strip_prefix(root).unwrap().display().to_string(), code.collect::<Vec<_>>().join("\n"))
        })
        .collect()
}

#[test]
fn nothing_in_the_program_can_switch_the_check_of_certificates_off() {
    let words = [
        "danger",
        "tls_certs",
        "add_root_certificate",
        "preconfigured",
        "ServerCertVerifier",
        "ClientConfig",
        "tls_sni",
        "native_tls",
        "https_only(false)",
    ];
    let found: Vec<String> = program()
        .iter()
        .flat_map(|(file, code)| {
            words.iter().filter(|word| code.contains(**word)).map(move |word| format!("{file}: {word}"))
        })
        .collect();
    // One place makes a configuration, with the check of the platform, and leaves that as it is.
    assert_eq!(found, [format!("{SHARED}: preconfigured"), format!("{SHARED}: ClientConfig")]);
    let (_, code) = program().into_iter().find(|(file, _)| file == SHARED).unwrap();
    let made: Vec<&str> = code.split("ClientConfig::").skip(1).collect();
    assert!(made.len() == 1 && made[0].starts_with("with_platform_verifier()"), "{code}");
    assert_eq!(code.matches("config.").count(), 2, "{code}");
}

/// File with the TLS configuration that all clients share.
const SHARED: &str = "src/outbound/tls.rs";

/// Each client in the program begins alike: it follows no redirect by itself, and unpacks nothing. What follows a redirect looks
/// first where it leads.
#[test]
fn every_client_in_the_program_begins_with_the_same_precautions() {
    let mut users = 0;
    for (file, code) in program() {
        for made in ["Client::builder()", "Client::new()", "ClientBuilder::new()", "reqwest::get("] {
            let found = code.matches(made).count();
            assert_eq!(
                found,
                usize::from(file == "src/outbound/mod.rs" && made == "Client::builder()"),
                "{file}: {made}"
            );
        }
        for undone in [".redirect(", ".gzip(", ".brotli(", ".zstd(", ".deflate("] {
            assert_eq!(
                code.matches(undone).count(),
                usize::from(file == "src/outbound/mod.rs" && undone == ".redirect("),
                "{file}: {undone}"
            );
        }
        users += code.matches("http_client()").count();
    }
    assert!(users > 3, "{users}");
}

/// `==` on texts stops at the first difference, and so tells how much of a guess was right. A secret's own takes the same time
/// always; what is taken out of one must not be compared otherwise.
#[test]
fn no_secret_is_compared_but_in_constant_time() {
    for (file, code) in program() {
        for line in code.lines().filter(|line| line.contains(".reveal()")) {
            assert!(!line.contains("==") && !line.contains("!=") && !line.contains(".eq("), "{file}: {line}");
        }
        if let Some(before) =
            code.split("pub struct Secret(").next().filter(|_| code.contains("pub struct Secret("))
        {
            let derives = before.lines().next_back().unwrap();
            assert_eq!(derives, "#[derive(Clone)]", "{file}: `==` of a secret must be written by hand");
            assert!(code.contains(".ct_eq("), "{file}");
        }
    }
}
