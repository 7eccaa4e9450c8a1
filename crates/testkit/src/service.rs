//! The real binary as a process of its own, between sandboxes that live in the test: so they outlive it.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use casebridge::clock::SystemClock;
use casebridge::sandbox::csapi::{Author, CLASSIFICATION_ID, NewCase, Priority, SandboxCsapi};
use casebridge::sandbox::jira::{SandboxJira, SandboxJiraSettings};
use serde_json::Value;
use tokio::net::TcpListener;

/// Returns the program, which cargo builds beside the test or benchmark that runs.
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.parent().and_then(Path::parent).unwrap().join(format!("casebridge{}", std::env::consts::EXE_SUFFIX))
}

/// Kills its process when it goes.
pub struct Process(pub Child);

impl Process {
    pub fn kill(&mut self) {
        // SIGKILL, as `kill -9` sends it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }

    pub fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// A line of `/proc/PID/status`, in bytes: `VmRSS:`, `VmHWM:`.
    pub fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let kibibytes: u64 = line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap();
        kibibytes * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What reaches a system, seen from outside.
#[derive(Clone, Default)]
pub struct Meter(Arc<Counts>);

#[derive(Default)]
struct Counts {
    calls: Mutex<Vec<Instant>>,
    writes: AtomicUsize,
    under_way: AtomicUsize,
}

/// A call that is being answered, or whose caller has hung up.
struct UnderWay<'a>(&'a AtomicUsize);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Meter {
    fn around(&self, router: axum::Router) -> axum::Router {
        router.layer(middleware::from_fn_with_state(self.clone(), count))
    }

    /// When each call arrived.
    pub fn calls(&self) -> Vec<Instant> {
        self.0.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many calls were no `GET`. Not each of them changes something: a search may be a `POST`.
    pub fn writes(&self) -> usize {
        self.0.writes.load(Ordering::Relaxed)
    }

    /// How many calls have no answer yet.
    pub fn under_way(&self) -> usize {
        self.0.under_way.load(Ordering::Relaxed)
    }

    /// The most calls that arrived within any span of that length.
    pub fn most_within(&self, span: Duration) -> usize {
        let mut calls = self.calls();
        calls.sort();
        let mut first = 0;
        let mut most = 0;
        for last in 0..calls.len() {
            while calls[last] - calls[first] >= span {
                first += 1;
            }
            most = most.max(last + 1 - first);
        }
        most
    }
}

async fn count(State(meter): State<Meter>, request: Request, next: Next) -> Response {
    if request.uri().path().starts_with("/sandbox/") {
        return next.run(request).await;
    }
    let counts = &meter.0;
    counts.calls.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
    if request.method() != "GET" && !request.uri().path().contains("search") {
        counts.writes.fetch_add(1, Ordering::Relaxed);
    }
    counts.under_way.fetch_add(1, Ordering::Relaxed);
    let _under_way = UnderWay(&counts.under_way);
    next.run(request).await
}

/// Both systems, in this process.
pub struct Systems {
    pub csapi: SandboxCsapi,
    pub jira: SandboxJira,
    pub at_csapi: Meter,
    pub at_jira: Meter,
    csapi_address: SocketAddr,
    jira_address: SocketAddr,
}

pub async fn listen(router: axum::Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

impl Systems {
    pub async fn start() -> Self {
        Self::with(SandboxJiraSettings::default()).await
    }

    pub async fn with(settings: SandboxJiraSettings) -> Self {
        let csapi = SandboxCsapi::new(Arc::new(SystemClock), "organizations/123");
        let jira = SandboxJira::new(Arc::new(SystemClock), settings);
        let (at_csapi, at_jira) = (Meter::default(), Meter::default());
        let csapi_address = listen(at_csapi.around(csapi.router())).await;
        let jira_address = listen(at_jira.around(jira.router())).await;
        Self { csapi, jira, at_csapi, at_jira, csapi_address, jira_address }
    }

    /// A configuration without a word on queues and tolerances, so that sections can be added at its end.
    pub fn configuration(&self, folder: &Path, port: u16) -> String {
        format!(
            r#"
[server]
listen = "127.0.0.1:{port}"
[google]
parent = "organizations/123"
base_url = "http://{}"
auth = "none"
classification_id = "{CLASSIFICATION_ID}"
requests_per_minute = 600000
timeout = "2s"
[company]
kind = "jira"
base_url = "http://{}"
requests_per_minute = 600000
timeout = "2s"
[company.jira]
project = "SUP"
[sync]
lease = "4s"
deadline = "3s"
[store]
url = "sqlite:{}"
"#,
            self.csapi_address,
            self.jira_address,
            folder.join("casebridge.db").display(),
        )
    }

    pub fn google_case(&self) -> String {
        self.google_case_of("A case", Priority::P2)
    }

    pub fn google_case_of(&self, title: &str, priority: Priority) -> String {
        let case = NewCase {
            parent: "organizations/123".to_owned(),
            display_name: title.to_owned(),
            description: "Its description".to_owned(),
            priority,
            author: Author::customer("Grace Hopper"),
        };
        self.csapi.create_case(case).unwrap().name
    }
}

/// Returns a port that nothing listens on.
pub fn free_port() -> u16 {
    free_ports(1)
}

/// Returns the first of `count` free ports in a row. No two calls of a process return the same ports.
///
/// All of them lie below the ports that the system assigns: one of those can become the source port of an outbound connection before the
/// service has bound it, and while the service is restarted.
pub fn free_ports(count: u16) -> u16 {
    static ASKED: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 12_000;
    const PORTS: u16 = 18_000;
    let is_free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    // Test processes that run at the same time begin at different ports.
    let offset = u16::try_from(std::process::id().wrapping_mul(101) % u32::from(PORTS)).unwrap();
    let candidates = std::iter::repeat_with(|| ASKED.fetch_add(count, Ordering::Relaxed));
    let mut candidates =
        candidates.map(|asked| FIRST + (offset + asked % PORTS) % PORTS).take(usize::from(PORTS));
    candidates.find(|first| (*first..*first + count).all(is_free)).expect("some ports are free")
}

/// Starts the service and waits until it listens.
pub fn serve(config: &Path) -> Process {
    serve_with(config, &[])
}

/// The same with these variables in its environment.
pub fn serve_with(config: &Path, environment: &[(&str, &str)]) -> Process {
    let mut child = Command::new(binary())
        .args(["--config", config.to_str().unwrap(), "serve"])
        .env("RUST_LOG", "info")
        .envs(environment.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let process = Process(child);
    assert!(lines.by_ref().any(|line| line.unwrap().contains("listening on")), "the service did not start");
    // The pipe must not fill up.
    std::thread::spawn(move || lines.for_each(drop));
    process
}

pub fn client() -> reqwest::Client {
    casebridge::outbound::http_client().redirect(reqwest::redirect::Policy::default()).build().unwrap()
}

pub async fn post(http: &reqwest::Client, port: u16, task: &str) -> Option<Value> {
    let response = http.post(format!("http://127.0.0.1:{port}/tasks/{task}")).send().await.ok()?;
    response.json().await.ok()
}

/// Waits for something that happens by itself; the limit is only there so that a failure ends.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_mins(8);
    while !holds() {
        assert!(Instant::now() < limit, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Reads what a service logs, all the time, because it blocks if the pipe is full. Tells when it listens, and returns all lines in the end.
pub fn read_log(log: ChildStderr) -> (mpsc::Receiver<()>, JoinHandle<Vec<String>>) {
    let (listening, listens) = mpsc::channel();
    let lines = std::thread::spawn(move || {
        let mut written = Vec::new();
        for line in BufReader::new(log).lines() {
            written.push(line.unwrap());
            if written.last().is_some_and(|line| line.contains("listening on")) {
                let _ = listening.send(());
            }
        }
        written
    });
    (listens, lines)
}
