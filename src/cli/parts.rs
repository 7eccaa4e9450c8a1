//! Builds the real parts of the service from the configuration.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use casebridge::cases::CaseSystem;
use casebridge::clock::{SharedClock, SystemClock};
use casebridge::config::{Config, Platform, QueueConfig, Secret, SecretRef};
use casebridge::csapi::{self, Csapi};
use casebridge::entities::Sides;
use casebridge::outbound::{
    Credentials, NoCredentials, RetryPolicy, Upstream, UpstreamSettings, find_google,
};
use casebridge::queue::TaskQueue;
use casebridge::queue::cloud_tasks::{self, CloudTasksOptions, CloudTasksQueue};
use casebridge::queue::cron::{EmbeddedCron, EmbeddedCronOptions};
use casebridge::queue::cron_yaml::CronConfig;
use casebridge::queue::embedded::{EmbeddedQueue, EmbeddedQueueOptions};
use casebridge::queue::queue_yaml::QueueConfig as QueueYaml;
use casebridge::secrets::{MakeCredentials, SecretCredentials, SecretManager};
use casebridge::store::{self, Store, StoreUrl};
use casebridge::tasks::Deps;
use casebridge::telemetry::Metrics;
use tokio_util::sync::CancellationToken;

/// Rate limit for Cloud Tasks: far below its quota (500 a second and queue), far above the need of the polls.
const CLOUD_TASKS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(6000).unwrap();
/// Rate limit for Secret Manager, which is read a few times at the start and rarely afterwards.
const SECRETS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).unwrap();

/// Parts that the commands work with.
pub(super) struct Parts {
    pub(super) deps: Arc<Deps>,
    pub(super) admin_token: Option<Secret>,
    pub(super) internal_token: Secret,
    /// Embedded queue and cron, which `serve` runs.
    pub(super) embedded: Option<(Arc<EmbeddedQueue>, Option<Arc<EmbeddedCron>>)>,
    /// Cancelled when running tasks have to stop at once.
    pub(super) stop: CancellationToken,
}

impl Parts {
    pub(super) async fn build(config: &Config) -> anyhow::Result<Self> {
        let clock: SharedClock = Arc::new(SystemClock);
        let metrics = Metrics::shared();
        let google = Google::default();
        let store = open_store(&config.store.url, &google).await?;
        let internal_token = Secret::new(hex::encode(rand::random::<[u8; 32]>()));
        let (queue, embedded) = open_queue(config, &google, &clock, &metrics, &internal_token).await?;
        let secrets = Secrets { google: &google, clock: &clock, metrics: &metrics };
        let systems = Sides {
            google: google_cases(config, &google, &clock, &metrics).await?,
            company: company_cases(config, &secrets).await?,
        };
        let admin_token = match &config.server.admin_token {
            Some(reference) => Some(secrets.read(reference).await.context("server.admin_token")?),
            None => None,
        };
        let stop = CancellationToken::new();
        let deps = Arc::new(Deps {
            clock,
            store,
            queue,
            systems,
            settings: config.tasks.clone(),
            metrics,
            stop: stop.clone(),
        });
        Ok(Self { deps, admin_token, internal_token, embedded, stop })
    }
}

/// Google credentials, looked up at first use and then cached.
#[derive(Default)]
struct Google(tokio::sync::OnceCell<Arc<dyn Credentials>>);

impl Google {
    async fn credentials(&self, authenticate: bool) -> anyhow::Result<Arc<dyn Credentials>> {
        if !authenticate {
            return Ok(Arc::new(NoCredentials));
        }
        let find = || find_google(|name| std::env::var_os(name));
        let credentials = self.0.get_or_try_init(find).await.map_err(|error| anyhow!(error))?;
        Ok(Arc::clone(credentials))
    }
}

/// Returns the address that the service listens on.
pub(super) fn listen_address(config: &Config) -> anyhow::Result<SocketAddr> {
    let port = match std::env::var("PORT") {
        Ok(port) => Some(port.parse::<u16>().context("PORT must be a port number")?),
        Err(_) => None,
    };
    Ok(match (config.server.platform, config.server.listen) {
        (Platform::AppEngine, _) => SocketAddr::from(([0, 0, 0, 0], port.unwrap_or(8080))),
        (Platform::Local, Some(listen)) => listen,
        (Platform::Local, None) => SocketAddr::from(([127, 0, 0, 1], port.unwrap_or(8080))),
    })
}

/// Reads secrets. A client of Secret Manager is set up only for a secret that is kept there, since it needs credentials for Google Cloud.
struct Secrets<'a> {
    google: &'a Google,
    clock: &'a SharedClock,
    metrics: &'a Arc<Metrics>,
}

impl Secrets<'_> {
    async fn manager(&self, reference: &SecretRef) -> anyhow::Result<Option<Arc<SecretManager>>> {
        if !matches!(reference, SecretRef::SecretManager(_)) {
            return Ok(None);
        }
        let settings = upstream_settings(
            SecretManager::NAME,
            SecretManager::BASE_URL.parse()?,
            SECRETS_PER_MINUTE,
            Duration::from_secs(20),
        );
        let credentials = self.google.credentials(true).await?;
        let (clock, metrics) = (Arc::clone(self.clock), Arc::clone(self.metrics));
        let upstream = Upstream::new(settings, credentials, clock, metrics)?;
        Ok(Some(Arc::new(SecretManager::new(upstream))))
    }

    async fn read(&self, reference: &SecretRef) -> anyhow::Result<Secret> {
        let manager = self.manager(reference).await?;
        Ok(reference.resolve(manager.as_deref()).await?)
    }

    /// Makes credentials from a secret; the secret is read again when the upstream refuses the credentials.
    async fn credentials(
        &self,
        reference: SecretRef,
        make: MakeCredentials,
    ) -> anyhow::Result<Arc<dyn Credentials>> {
        let manager = self.manager(&reference).await?;
        let clock = Arc::clone(self.clock);
        Ok(Arc::new(SecretCredentials::read(reference, manager, make, clock).await?))
    }
}

async fn open_store(url: &str, google: &Google) -> anyhow::Result<Arc<dyn Store>> {
    let needs_credentials = url.parse::<StoreUrl>().context("store.url")?.needs_credentials();
    let credentials = if needs_credentials { Some(google.credentials(true).await?) } else { None };
    Ok(store::open(url, credentials).await?)
}

type Embedded = Option<(Arc<EmbeddedQueue>, Option<Arc<EmbeddedCron>>)>;

async fn open_queue(
    config: &Config,
    google: &Google,
    clock: &SharedClock,
    metrics: &Arc<Metrics>,
    internal_token: &Secret,
) -> anyhow::Result<(Arc<dyn TaskQueue>, Embedded)> {
    match &config.queue {
        QueueConfig::Embedded { path, cron, queue_yaml, cron_yaml } => {
            let port = listen_address(config)?.port();
            let target: url::Url = format!("http://127.0.0.1:{port}").parse()?;
            let token = internal_token.reveal().to_owned();
            let queues = QueueYaml::load(queue_yaml.as_deref())?;
            let options =
                EmbeddedQueueOptions::new(path, queues, target.clone(), token.clone(), Arc::clone(clock));
            let queue = Arc::new(EmbeddedQueue::open(options)?);
            let cron = if *cron {
                let jobs = CronConfig::load(cron_yaml.as_deref())?;
                let options = EmbeddedCronOptions::new(path, jobs, target, token, Arc::clone(clock));
                Some(Arc::new(EmbeddedCron::open(options)?))
            } else {
                None
            };
            Ok((Arc::clone(&queue) as Arc<dyn TaskQueue>, Some((queue, cron))))
        }
        QueueConfig::CloudTasks { base_url, project, location, authenticate } => {
            let settings = upstream_settings(
                cloud_tasks::NAME,
                base_url.clone(),
                CLOUD_TASKS_PER_MINUTE,
                config.google.timeout,
            );
            let credentials = google.credentials(*authenticate).await?;
            let upstream = Upstream::new(settings, credentials, Arc::clone(clock), Arc::clone(metrics))?;
            let options = CloudTasksOptions {
                project: project.clone(),
                location: location.clone(),
                service: std::env::var("GAE_SERVICE").ok(),
                dispatch_deadline: config.tasks.deadline + Duration::from_mins(1),
            };
            Ok((Arc::new(CloudTasksQueue::new(Arc::new(upstream), options)), None))
        }
    }
}

async fn google_cases(
    config: &Config,
    google: &Google,
    clock: &SharedClock,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Arc<dyn CaseSystem>> {
    let google_config = &config.google;
    let settings = upstream_settings(
        csapi::NAME,
        google_config.base_url.clone(),
        google_config.requests_per_minute,
        google_config.timeout,
    );
    let credentials = google.credentials(config.google.authenticate).await?;
    let upstream = Upstream::new(settings, credentials, Arc::clone(clock), Arc::clone(metrics))?;
    Ok(Arc::new(Csapi::new(config.google.csapi.clone(), Arc::new(upstream))?))
}

async fn company_cases(config: &Config, secrets: &Secrets<'_>) -> anyhow::Result<Arc<dyn CaseSystem>> {
    let company = &config.company;
    let crm = &company.crm;
    let credentials: Arc<dyn Credentials> = match crm.secret_reference() {
        Some(reference) => {
            let key = "the secret in the CRM's section of the configuration";
            let reference = reference.parse().map_err(|error| anyhow!("{key}: expected {error}"))?;
            let (settings, site) = (crm.clone(), company.base_url.clone());
            let make: MakeCredentials = Box::new(move |secret| settings.credentials(secret.reveal(), &site));
            secrets.credentials(reference, make).await.context(key)?
        }
        None => Arc::new(NoCredentials),
    };
    let settings = UpstreamSettings {
        download_hosts: crm.allowed_download_hosts(),
        ..upstream_settings(
            crm.name(),
            company.base_url.clone(),
            company.requests_per_minute,
            company.timeout,
        )
    };
    let (clock, metrics) = (Arc::clone(secrets.clock), Arc::clone(secrets.metrics));
    let upstream = Upstream::new(settings, credentials, Arc::clone(&clock), metrics)?;
    Ok(crm.connect(company.priorities.clone(), upstream, clock))
}

/// Makes the settings of an upstream without download redirects. A retry pause is at most as long as a call's timeout.
fn upstream_settings(
    name: &'static str,
    base_url: url::Url,
    requests_per_minute: NonZeroU32,
    timeout: Duration,
) -> UpstreamSettings {
    let policy = RetryPolicy::default();
    let retry = RetryPolicy { longest_pause: policy.longest_pause.min(timeout), ..policy };
    UpstreamSettings { name, base_url, requests_per_minute, timeout, retry, download_hosts: Vec::new() }
}
