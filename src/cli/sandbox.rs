//! `casebridge sandbox`: runs the service with all parts embedded, and sandboxes of both systems beside it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use casebridge::clock::{SharedClock, SystemClock};
use casebridge::config::Config;
use casebridge::sandbox::csapi::{CLASSIFICATION_ID, SandboxCsapi};
use casebridge::sandbox::jira::{SandboxJira, SandboxJiraAuth, SandboxJiraSettings};
use casebridge::sandbox::oauth::OauthClient;
use casebridge::sandbox::servicenow::{SandboxServiceNow, SandboxServiceNowAuth, SandboxServiceNowSettings};
use casebridge::sandbox::zendesk::{SandboxZendesk, SandboxZendeskAuth, SandboxZendeskSettings};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::serve::{cancel_on_signal, serve};

/// Arguments of the command.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Port of the service; the sandbox CSAPI gets the next one, the sandbox CRM the one after.
    #[arg(long, default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..=65533))]
    port: u16,
    /// CRM on the company's side.
    #[arg(long, value_enum, default_value_t = CrmArg::Jira)]
    crm: CrmArg,
    /// Folder for the state; without it, a temporary folder.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Runs no cron: polls run only when you start them.
    #[arg(long)]
    no_cron: bool,
    /// Lets the sandbox CRM take the access tokens of one OAuth client only, which expire after a minute; the configuration names the client.
    #[arg(long)]
    oauth: bool,
}

/// OAuth client of the sandbox CRM, and its secret.
const CLIENT: (&str, &str) = ("casebridge", "the-secret-of-the-sandbox");
/// Lifetime of the tokens of that client.
const TOKEN_LIFETIME: Duration = Duration::from_mins(1);

/// CRM for which there is a sandbox.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum CrmArg {
    Jira,
    /// A service project, where comments can be internal.
    JiraServiceManagement,
    Zendesk,
    Servicenow,
}

impl CrmArg {
    /// Returns the name of the argument, which names its folder too.
    fn name(self) -> &'static str {
        match self {
            Self::Jira => "jira",
            Self::JiraServiceManagement => "jira-service-management",
            Self::Zendesk => "zendesk",
            Self::Servicenow => "servicenow",
        }
    }

    /// Returns the product name for people.
    fn label(self) -> &'static str {
        match self {
            Self::Jira => "Jira",
            Self::JiraServiceManagement => "Jira Service Management",
            Self::Zendesk => "Zendesk",
            Self::Servicenow => "ServiceNow",
        }
    }
}

pub(super) async fn run(args: Args) -> anyhow::Result<bool> {
    // Held until the end, since the temporary folder is deleted on drop.
    let temporary = if args.data.is_none() { Some(Temporary::new()?) } else { None };
    let data = args
        .data
        .clone()
        .or_else(|| temporary.as_ref().map(|temporary| temporary.0.clone()))
        .unwrap_or_default();
    // A mapping names cases of one CRM, so each CRM has its own folder.
    let data = match args.crm {
        CrmArg::Jira => data,
        CrmArg::JiraServiceManagement | CrmArg::Zendesk | CrmArg::Servicenow => {
            data.join(format!("with-{}", args.crm.name()))
        }
    };
    // The configuration that is written names files from any working directory.
    let data = std::path::absolute(&data).with_context(|| format!("cannot find {}", data.display()))?;
    std::fs::create_dir_all(&data).with_context(|| format!("cannot make {}", data.display()))?;
    let clock: SharedClock = Arc::new(SystemClock);
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));

    let csapi = SandboxCsapi::with_data_dir(Arc::clone(&clock), "organizations/123", &data.join("csapi"))?;
    let client = args.oauth.then(|| OauthClient::new(CLIENT.0, CLIENT.1, TOKEN_LIFETIME));
    let mut crm = SandboxCrm::open(args.crm, client, clock, &data).await?;
    let (csapi_port, crm_port) = (args.port + 1, args.port + 2);
    let csapi_listener = listen(csapi_port).await?;
    let crm_listener = listen(crm_port).await?;
    csapi.seed_samples()?;
    let routers = [(csapi_listener, csapi.router()), (crm_listener, crm.router)];
    for (listener, router) in routers.into_iter().chain(crm.content) {
        tokio::spawn(serve_until(listener, router, shutdown.clone()));
    }
    if args.oauth {
        name_client(&mut crm.configuration, &args, &data)?;
    }
    let text = configuration(&args, &data, crm.configuration);
    let config = Config::parse(&text, std::iter::empty())?;
    let file = data.join("casebridge.toml");
    std::fs::write(&file, &text).with_context(|| format!("cannot write {}", file.display()))?;
    let sample = csapi.cases().first().map(|case| case.name.clone());
    print_where(&args, &data, &file, sample.as_deref());
    serve(&config, shutdown).await?;
    Ok(true)
}

/// Sandbox CRM with a few sample cases.
struct SandboxCrm {
    router: Router,
    /// File host of the CRM, if it is separate; it listens on a port that the system picks.
    content: Option<(TcpListener, Router)>,
    /// Part of the configuration about the CRM, without its address: `[company]` with the kind's own section, and `[priorities]`.
    configuration: toml::Table,
}

impl SandboxCrm {
    /// Opens a CRM of that kind, which keeps its state in its own folder.
    async fn open(
        kind: CrmArg,
        client: Option<OauthClient>,
        clock: SharedClock,
        data: &Path,
    ) -> anyhow::Result<Self> {
        let dir = data.join(kind.name());
        match kind {
            CrmArg::Jira | CrmArg::JiraServiceManagement => {
                let service_management = matches!(kind, CrmArg::JiraServiceManagement);
                let auth = client.map_or(SandboxJiraAuth::Anyone, SandboxJiraAuth::OauthClient);
                let settings =
                    SandboxJiraSettings { service_management, auth, ..SandboxJiraSettings::default() };
                let jira = SandboxJira::with_data_dir(clock, settings, &dir)?;
                jira.seed_samples()?;
                // Atlassian keeps files on another host than Jira.
                let media = listen(0).await?;
                let address = media.local_addr()?.to_string();
                jira.set_media_base(&format!("http://{address}"));
                let hosts = toml::Value::from(vec![address]);
                let mut configuration = toml::toml! {
                    [company]
                    kind = "jira"
                    [company.jira]
                    project = "SUP"
                };
                set(&mut configuration, &["company", "jira", "download_hosts"], hosts);
                Ok(Self { router: jira.router(), content: Some((media, jira.media_router())), configuration })
            }
            CrmArg::Zendesk => {
                let auth = client.map_or(SandboxZendeskAuth::Anyone, SandboxZendeskAuth::OauthClient);
                let settings = SandboxZendeskSettings { auth, ..SandboxZendeskSettings::default() };
                let zendesk = SandboxZendesk::with_data_dir(clock, settings, &dir)?;
                zendesk.seed_samples()?;
                // Zendesk keeps files on another host as well.
                let files = listen(0).await?;
                let address = files.local_addr()?.to_string();
                zendesk.set_content_base(&format!("http://{address}"));
                let hosts = toml::Value::from(vec![address]);
                let mut configuration = toml::toml! {
                    [company]
                    kind = "zendesk"
                    [company.zendesk]
                    [priorities]
                    P0 = "urgent"
                    P1 = "high"
                    P2 = "normal"
                    P3 = "low"
                    P4 = "low"
                };
                set(&mut configuration, &["company", "zendesk", "download_hosts"], hosts);
                Ok(Self {
                    router: zendesk.router(),
                    content: Some((files, zendesk.content_router())),
                    configuration,
                })
            }
            CrmArg::Servicenow => {
                let auth = client.map_or(SandboxServiceNowAuth::Anyone, SandboxServiceNowAuth::OauthClient);
                let settings = SandboxServiceNowSettings { auth, ..SandboxServiceNowSettings::default() };
                let servicenow = SandboxServiceNow::with_data_dir(clock, settings, &dir)?;
                servicenow.seed_samples()?;
                let configuration = toml::toml! {
                    [company]
                    kind = "servicenow"
                    [company.servicenow]
                    [priorities]
                    P0 = "1"
                    P1 = "2"
                    P2 = "3"
                    P3 = "4"
                    P4 = "5"
                };
                Ok(Self { router: servicenow.router(), content: None, configuration })
            }
        }
    }
}

/// Adds the OAuth client to the configuration; its secret goes into a file of its own, as on a real machine.
fn name_client(configuration: &mut toml::Table, args: &Args, data: &Path) -> anyhow::Result<()> {
    let secret = data.join("client-secret");
    std::fs::write(&secret, CLIENT.1).with_context(|| format!("cannot write {}", secret.display()))?;
    let crm = format!("http://127.0.0.1:{}", args.port + 2);
    let section = match args.crm {
        CrmArg::Jira | CrmArg::JiraServiceManagement => {
            // Both are Atlassian's own hosts, and not the site's.
            for (key, path) in [("token_url", "/oauth/token"), ("gateway_url", "/ex/jira")] {
                set(configuration, &["company", "jira", key], format!("{crm}{path}").into());
            }
            "jira"
        }
        CrmArg::Zendesk => "zendesk",
        CrmArg::Servicenow => "servicenow",
    };
    set(configuration, &["company", section, "client_id"], CLIENT.0.into());
    set(configuration, &["company", section, "client_secret"], format!("file:{}", secret.display()).into());
    Ok(())
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

/// Returns the whole configuration as TOML; `crm` is the part about the CRM.
fn configuration(args: &Args, data: &Path, crm: toml::Table) -> String {
    let mut table = toml::toml! {
        [sync]
        lease = "30s"
        deadline = "25s"
        [google]
        parent = "organizations/123"
        auth = "none"
        timeout = "5s"
    };
    table.extend(crm);
    let database = data.join("casebridge.db");
    let address = |port: u16| toml::Value::from(format!("http://127.0.0.1:{port}"));
    for (path, value) in [
        (["server", "listen"], format!("127.0.0.1:{}", args.port).into()),
        (["google", "base_url"], address(args.port + 1)),
        (["google", "classification_id"], CLASSIFICATION_ID.into()),
        (["google", "requests_per_minute"], 6000.into()),
        (["company", "base_url"], address(args.port + 2)),
        (["company", "timeout"], "5s".into()),
        (["company", "requests_per_minute"], 6000.into()),
        (["store", "url"], format!("sqlite:{}", database.display()).into()),
        (["queue", "cron"], (!args.no_cron).into()),
    ] {
        set(&mut table, &path, value);
    }
    table.to_string()
}

/// Sets a key; creates missing sections.
fn set(table: &mut toml::Table, path: &[&str], value: toml::Value) {
    match path {
        [] => {}
        [key] => {
            table.insert((*key).to_owned(), value);
        }
        [section, rest @ ..] => {
            let empty = || toml::Value::Table(toml::Table::new());
            if let toml::Value::Table(section) = table.entry(*section).or_insert_with(empty) {
                set(section, rest, value);
            }
        }
    }
}

fn print_where(args: &Args, data: &Path, file: &Path, sample: Option<&str>) {
    let base = format!("http://127.0.0.1:{}", args.port);
    let (csapi, crm) = (args.port + 1, args.port + 2);
    println!("casebridge sandbox\n");
    println!("  Google's side (sandbox CSAPI)        http://127.0.0.1:{csapi}/");
    println!("  {:<36} http://127.0.0.1:{crm}/", format!("the company's side ({})", args.crm.label()));
    println!("  the connector                        {base}/");
    println!("  its configuration                    {}", file.display());
    println!(
        "  state                                {}{}\n",
        data.display(),
        if args.data.is_some() { "" } else { " (removed at the end)" }
    );
    if args.no_cron {
        println!("Cron is off. Poll by hand:");
    } else {
        println!("Both sides are polled each minute: watch the sample cases appear on the other side.");
        println!(
            "Add a comment, a file, a priority on either page; it arrives within about a minute, or at once with:"
        );
    }
    println!("  curl -X POST {base}/tasks/poll-google");
    println!("  curl -X POST {base}/tasks/poll-company\n");
    println!("In another terminal, beside it:");
    let program = std::env::args().next().unwrap_or_else(|| "casebridge".to_owned());
    let begin = format!("{} --config {}", shell_word(&program), shell_word(&file.display().to_string()));
    println!("  {begin} check");
    println!("  {begin} mappings");
    if let Some(case) = sample {
        println!("  {begin} sync google {case} --dry-run");
    }
    println!();
    if args.oauth {
        println!("The CRM takes the tokens of this OAuth client only, which expire after a minute:");
        println!("  client_id {}, client_secret {}\n", CLIENT.0, CLIENT.1);
    }
    println!(
        "Make the sandboxes misbehave: POST, GET, DELETE http://127.0.0.1:{csapi}/sandbox/faults, or {crm}"
    );
    println!("Stop with Ctrl-C.\n");
}

/// Quotes a word for a shell, if it needs that.
fn shell_word(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@".contains(&byte);
    if word.bytes().all(is_plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// Temporary folder that is deleted on drop.
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
