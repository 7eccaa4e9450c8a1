//! `casebridge sandbox`: the service with everything embedded, and both systems beside it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use casebridge::clock::{SharedClock, SystemClock};
use casebridge::config::Config;
use casebridge::sandbox::csapi::{CLASSIFICATION_ID, SandboxCsapi};
use casebridge::sandbox::jira::{SandboxJira, SandboxJiraSettings};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::SandboxArgs;
use super::serve::{cancel_on_signal, serve};

pub(super) async fn run(args: SandboxArgs) -> anyhow::Result<bool> {
    // Held until the end: the folder goes with it.
    let temporary = if args.data.is_none() { Some(Temporary::new()?) } else { None };
    let data = args
        .data
        .clone()
        .or_else(|| temporary.as_ref().map(|temporary| temporary.0.clone()))
        .unwrap_or_default();
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let clock: SharedClock = Arc::new(SystemClock);
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));

    let csapi = SandboxCsapi::with_data_dir(Arc::clone(&clock), "organizations/123", &data.join("csapi"))?;
    let jira = SandboxJira::with_data_dir(clock, SandboxJiraSettings::default(), &data.join("jira"))?;
    // Atlassian keeps files on another host than Jira; so does the sandbox, on a port that the system picks.
    let media = listen(0).await?;
    let media_address = media.local_addr()?;
    jira.set_media_base(&format!("http://{media_address}"));
    let (csapi_port, jira_port) = (args.port + 1, args.port + 2);
    let csapi_listener = listen(csapi_port).await?;
    let jira_listener = listen(jira_port).await?;
    csapi.seed_samples()?;
    jira.seed_samples()?;
    for (listener, router) in
        [(csapi_listener, csapi.router()), (jira_listener, jira.router()), (media, jira.media_router())]
    {
        tokio::spawn(serve_until(listener, router, shutdown.clone()));
    }
    let text = configuration(args.port, csapi_port, jira_port, &media_address, &data, !args.no_cron);
    let config = Config::parse(&text, std::iter::empty())?;
    print_where(args.port, csapi_port, jira_port, &data, args.data.is_some(), args.no_cron);
    serve(&config, shutdown).await?;
    Ok(true)
}

async fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; --port N moves all three to N, N+1 and N+2"))
}

async fn serve_until(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let served =
        axum::serve(listener, router).with_graceful_shutdown(async move { shutdown.cancelled().await });
    if let Err(error) = served.await {
        tracing::error!("a sandbox stopped: {error}");
    }
}

fn configuration(port: u16, csapi: u16, jira: u16, media: &SocketAddr, data: &Path, cron: bool) -> String {
    let database = data.join("casebridge.db");
    let mut table = toml::toml! {
        [sync]
        lease = "30s"
        deadline = "25s"
        [google]
        parent = "organizations/123"
        auth = "none"
        timeout = "5s"
        [company]
        kind = "jira"
        timeout = "5s"
        [company.jira]
        project = "SUP"
    };
    let mut set = |section: &str, key: &str, value: toml::Value| {
        let section = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        if let toml::Value::Table(section) = section {
            section.insert(key.to_owned(), value);
        }
    };
    set("server", "listen", format!("127.0.0.1:{port}").into());
    set("google", "base_url", format!("http://127.0.0.1:{csapi}").into());
    set("google", "classification_id", CLASSIFICATION_ID.into());
    set("google", "requests_per_minute", 6000.into());
    set("company", "base_url", format!("http://127.0.0.1:{jira}").into());
    set("company", "requests_per_minute", 6000.into());
    set("store", "url", format!("sqlite:{}", database.display()).into());
    set("queue", "cron", cron.into());
    if let Some(jira) = table
        .get_mut("company")
        .and_then(|company| company.get_mut("jira"))
        .and_then(toml::Value::as_table_mut)
    {
        jira.insert("download_hosts".to_owned(), vec![media.to_string()].into());
    }
    table.to_string()
}

fn print_where(port: u16, csapi: u16, jira: u16, data: &Path, kept: bool, no_cron: bool) {
    let base = format!("http://127.0.0.1:{port}");
    println!("casebridge sandbox\n");
    println!("  Google's side (sandbox CSAPI)   http://127.0.0.1:{csapi}/");
    println!("  the company's side (Jira)       http://127.0.0.1:{jira}/");
    println!("  the connector                   {base}/api/mappings");
    println!(
        "  state                           {}{}\n",
        data.display(),
        if kept { "" } else { " (removed at the end)" }
    );
    if no_cron {
        println!("Cron is off. Poll by hand:");
    } else {
        println!("Both sides are polled each minute: watch the sample cases appear on the other side.");
        println!(
            "Add a comment, a file, a priority on either page; it arrives within about a minute, or at once with:"
        );
    }
    println!("  curl -X POST {base}/tasks/poll-google");
    println!("  curl -X POST {base}/tasks/poll-company\n");
    println!("Make the sandboxes misbehave: POST, GET, DELETE http://127.0.0.1:{csapi}/sandbox/faults");
    println!("Stop with Ctrl-C.\n");
}

/// A folder that goes when the sandbox does.
struct Temporary(std::path::PathBuf);

impl Temporary {
    fn new() -> anyhow::Result<Self> {
        let path =
            std::env::temp_dir().join(format!("casebridge-{}", hex::encode(rand::random::<[u8; 8]>())));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
