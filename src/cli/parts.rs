//! Builds the real parts of the service from the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use casebridge::cases::{CaseSystem, Trouble};
use casebridge::clock::{SharedClock, SystemClock};
use casebridge::config::{
    CompanyConfig, Config, GoogleConfig, GooglePush, Platform, QueueConfig, Secret, SecretError, SecretRef,
    ServerConfig, StoreConfig, Trust,
};
use casebridge::csapi::{self, Csapi};
use casebridge::entities::Sides;
use casebridge::http::Iap;
use casebridge::outbound::{
    AnswerMemory, Credentials, NoCredentials, RetryPolicy, Upstream, UpstreamSettings, find_google,
};
use casebridge::push::{CompanyReceiver, GoogleReceiver, PullSettings, PullSubscription, Receivers, pull};
use casebridge::queue::cloud_tasks::{self, CloudTasksOptions, CloudTasksQueue};
use casebridge::queue::cron::{EmbeddedCron, EmbeddedCronOptions};
use casebridge::queue::cron_yaml::CronConfig;
use casebridge::queue::embedded::{EmbeddedQueue, EmbeddedQueueOptions};
use casebridge::queue::queue_yaml::QueueConfig as QueueYaml;
use casebridge::queue::{TaskKind, TaskQueue};
use casebridge::secrets::{MakeCredentials, SecretCredentials, SecretManager};
use casebridge::sqlite;
use casebridge::store::{self, Store, StoreUrl};
use casebridge::tasks::{Deps, Pacer, Unchanged};
use casebridge::telemetry::Metrics;
use tokio_util::sync::CancellationToken;

/// Rate limit for Cloud Tasks: far below its quota (500 a second and queue), far above the need of the polls.
const CLOUD_TASKS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(6000).unwrap();
/// Rate limit for Secret Manager, which is read a few times at the start and rarely afterwards.
const SECRETS_PER_MINUTE: NonZeroU32 = NonZeroU32::new(600).unwrap();

/// Variable that names Pub/Sub's emulator ("Testing apps locally with the emulator", cloud.google.com/pubsub/docs/emulator).
const EMULATOR: &str = "PUBSUB_EMULATOR_HOST";

/// Parts that the commands work with.
pub(super) struct Parts {
    pub(super) deps: Arc<Deps>,
    pub(super) admin_token: Option<Secret>,
    pub(super) push: Receivers,
    pub(super) iap: Option<Arc<Iap>>,
    pub(super) internal_token: Secret,
    /// Embedded queue and cron, which `serve` runs.
    pub(super) embedded: Option<(Arc<EmbeddedQueue>, Option<Arc<EmbeddedCron>>)>,
    /// Cancelled when running tasks have to stop at once.
    pub(super) stop: CancellationToken,
}

impl Parts {
    pub(super) async fn build(config: &Config) -> anyhow::Result<Self> {
        let maker = Maker::default();
        if let Some(problem) = config.tasks.since.problem(maker.clock.now()) {
            anyhow::bail!("{problem}; give \"now\" or a time that is over, or set the clock");
        }
        let store = maker.store(&config.store.url).await?;
        let internal_token = Secret::new(hex::encode(rand::random::<[u8; 32]>()));
        let (queue, embedded) = maker.queue(&config.queue, Around::new(config)?, &internal_token).await?;
        let systems = Sides {
            google: maker.google(&config.google).await?,
            company: maker.company(&config.company).await?,
        };
        let admin_token = match &config.server.admin_token {
            Some(reference) => Some(maker.secret(reference).await.context("server.admin_token")?),
            None => None,
        };
        let push = maker.receivers(config).await?;
        let iap = config.server.iap.clone().map(|iap| Iap::new(iap.audience, iap.people, iap.keys_url));
        let iap = iap.transpose()?.map(Arc::new);
        let stop = CancellationToken::new();
        let deps = Arc::new(Deps {
            pacer: Pacer::default(),
            unchanged: Unchanged::default(),
            clock: maker.clock,
            store,
            queue,
            systems,
            settings: config.tasks.clone(),
            metrics: maker.metrics,
            stop: stop.clone(),
        });
        Ok(Self { deps, admin_token, push, iap, internal_token, embedded, stop })
    }
}

/// Returns the dangers of SQLite files that other users of the machine may read.
pub(super) fn exposed_files(store: &StoreConfig, queue: &QueueConfig) -> Vec<Trouble> {
    let store = match store.url.parse() {
        Ok(StoreUrl::Sqlite(path)) => Some(path),
        Ok(StoreUrl::Google { .. }) | Err(_) => None,
    };
    let queue = match queue {
        QueueConfig::Embedded { path, .. } => Some(path.clone()),
        QueueConfig::CloudTasks { .. } => None,
    };
    let files: BTreeSet<PathBuf> = store.into_iter().chain(queue).collect();
    let exposed = files.iter().filter_map(|path| Some((path, sqlite::command_to_hide(path)?)));
    exposed
        .map(|(path, command)| {
            let what = "other users of this machine may read it, with texts of cases in it";
            Trouble::warning(format!("{}: {what}", path.display()), format!("`{command}`"))
        })
        .collect()
}

/// Values of other sections that the queue needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Around {
    /// Address that the service listens on.
    pub(super) listen: SocketAddr,
    /// Timeout of calls to Google Cloud.
    pub(super) timeout: Duration,
    /// Longest run of a task.
    pub(super) deadline: Duration,
}

impl Around {
    fn new(config: &Config) -> anyhow::Result<Self> {
        let listen = listen_address(&config.server)?;
        Ok(Self { listen, timeout: config.google.timeout, deadline: config.tasks.deadline })
    }
}

/// Returns the danger of believing App Engine's headers where no App Engine runs the process (`R5`: callers). App Engine sets `GAE_INSTANCE`
/// ("The flexible environment: environment variables").
pub(super) fn trust_problem(server: &ServerConfig) -> Option<Trouble> {
    let is_app_engine = ["GAE_INSTANCE", "GAE_SERVICE"].iter().any(|name| std::env::var_os(name).is_some());
    (server.trust == Trust::AppEngineHeaders && !is_app_engine).then(|| {
        Trouble::warning(
            "server.trust is \"app-engine-headers\", and this is not App Engine: whoever reaches the port and sends X-Appengine-* \
             headers is believed",
            "set server.trust = \"token\" and server.admin_token",
        )
    })
}

/// Makes the parts one by one, so that one that cannot be made keeps nobody from the others.
pub(super) struct Maker {
    pub(super) clock: SharedClock,
    pub(super) metrics: Arc<Metrics>,
    google: Google,
    /// Memory for the answers of all upstreams together.
    answers: AnswerMemory,
    /// SQLite files that were opened.
    opened: Mutex<BTreeSet<PathBuf>>,
    /// Variables in which secrets are looked up instead of the process's environment.
    variables: Option<BTreeMap<String, String>>,
}

impl Default for Maker {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            metrics: Metrics::shared(),
            google: Google::default(),
            answers: AnswerMemory::default(),
            opened: Mutex::default(),
            variables: None,
        }
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

/// Returns the address that the service listens on: `server.listen`, else port `PORT`, or 8080, on the platform's interfaces. On
/// App Engine, `PORT` comes first: the platform sends its requests there.
pub(super) fn listen_address(server: &ServerConfig) -> anyhow::Result<SocketAddr> {
    let port = match std::env::var("PORT") {
        Ok(port) => Some(port.parse().context("PORT must be a port number")?),
        Err(_) => None,
    };
    Ok(choose_address(server.platform, server.listen, port))
}

fn choose_address(platform: Platform, listen: Option<SocketAddr>, port: Option<u16>) -> SocketAddr {
    let interfaces = match platform {
        Platform::AppEngine => [0, 0, 0, 0],
        Platform::Local => [127, 0, 0, 1],
    };
    match (listen, port) {
        (Some(listen), None) => listen,
        (Some(listen), Some(_)) if platform == Platform::Local => listen,
        (_, port) => SocketAddr::from((interfaces, port.unwrap_or(8080))),
    }
}

impl Maker {
    /// Looks secrets up in these variables instead of the process's environment.
    pub(super) fn with_variables(variables: Option<BTreeMap<String, String>>) -> Self {
        Self { variables, ..Self::default() }
    }

    /// True if the parts are for a service in this environment.
    pub(super) const fn runs_here(&self) -> bool {
        self.variables.is_none()
    }

    /// Reads a variable of the environment that the parts are for.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        match &self.variables {
            Some(variables) => variables.get(name).cloned(),
            None => std::env::var(name).ok(),
        }
    }

    /// Makes the client of Secret Manager, only for a secret that is kept there: it needs credentials for Google Cloud.
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
        let (clock, metrics) = (Arc::clone(&self.clock), Arc::clone(&self.metrics));
        let upstream = Upstream::new(settings, credentials, clock, metrics)?;
        Ok(Some(Arc::new(SecretManager::new(upstream))))
    }

    /// Reads a secret.
    pub(super) async fn secret(&self, reference: &SecretRef) -> anyhow::Result<Secret> {
        if let Some(secret) = self.given(reference) {
            return Ok(secret?);
        }
        let manager = self.manager(reference).await?;
        Ok(reference.resolve(manager.as_deref()).await?)
    }

    /// Reads a secret that is kept in a variable, if variables were given.
    fn given(&self, reference: &SecretRef) -> Option<Result<Secret, SecretError>> {
        let (SecretRef::Environment(name), Some(variables)) = (reference, &self.variables) else {
            return None;
        };
        let value = variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty());
        Some(value.map(Secret::new).ok_or_else(|| SecretError::NotInFile(name.clone())))
    }

    /// Makes the receivers of push messages.
    async fn receivers(&self, config: &Config) -> anyhow::Result<Receivers> {
        let (google, pull) = match &config.push.google {
            Some(GooglePush::Pushed(settings)) => (Some(GoogleReceiver::new(settings.clone())?), None),
            Some(GooglePush::Pulled(settings)) => {
                let subscription = self.subscription(settings, config.google.authenticate).await?;
                (None, Some(Arc::new(subscription)))
            }
            None => (None, None),
        };
        let company = match &config.push.company {
            Some((secret, previous)) => {
                let mut secrets = vec![self.secret(secret).await.context("push.company.secret")?];
                if let Some(previous) = previous {
                    secrets.push(self.secret(previous).await.context("push.company.previous_secret")?);
                }
                let secrets: Vec<&str> = secrets.iter().map(Secret::reveal).collect();
                Some(CompanyReceiver::new(config.company.crm.clone(), &secrets))
            }
            None => None,
        };
        Ok(Receivers { google, company, pull })
    }

    /// Makes the client of the subscription that messages are pulled from. `PUBSUB_EMULATOR_HOST` names an emulator in place of Pub/Sub, as
    /// for Google's own clients; it gets no credentials.
    pub(super) async fn subscription(
        &self,
        settings: &PullSettings,
        authenticate: bool,
    ) -> anyhow::Result<PullSubscription> {
        let emulator = self.variable(EMULATOR).filter(|host| !host.trim().is_empty());
        let (base_url, authenticate) = match &emulator {
            Some(host) => {
                let url = format!("http://{}", host.trim());
                (url.parse().with_context(|| format!("{EMULATOR} must be a host and port"))?, false)
            }
            None => (settings.base_url.clone(), authenticate),
        };
        let credentials = self.google.credentials(authenticate).await?;
        let settings_of = upstream_settings(pull::NAME, base_url, pull::PER_MINUTE, pull::TIMEOUT);
        let (clock, metrics) = (Arc::clone(&self.clock), Arc::clone(&self.metrics));
        let upstream = Upstream::new(settings_of, credentials, clock, metrics)?.sharing(self.answers.clone());
        Ok(PullSubscription::new(settings.clone(), upstream))
    }

    /// Makes credentials from a secret; the secret is read again when the upstream refuses the credentials.
    async fn credentials(
        &self,
        reference: SecretRef,
        make: MakeCredentials,
    ) -> anyhow::Result<Arc<dyn Credentials>> {
        if let Some(secret) = self.given(&reference) {
            return make(&secret?).map_err(|error| anyhow!(error));
        }
        let manager = self.manager(&reference).await?;
        let clock = Arc::clone(&self.clock);
        Ok(Arc::new(SecretCredentials::read(reference, manager, make, clock).await?))
    }

    /// Opens the store at that address.
    pub(super) async fn store(&self, url: &str) -> anyhow::Result<Arc<dyn Store>> {
        let place = url.parse::<StoreUrl>().context("store.url")?;
        if let StoreUrl::Sqlite(path) = &place {
            self.may_open(path)?;
        }
        let needs_credentials = place.needs_credentials();
        let credentials = if needs_credentials { Some(self.google.credentials(true).await?) } else { None };
        Ok(store::open(url, credentials).await?)
    }

    /// Checks an SQLite file before it is opened for the first time.
    fn may_open(&self, path: &Path) -> anyhow::Result<()> {
        let name = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        if self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(name) {
            sqlite::refuse_foreign_log(path).map_err(|error| anyhow!(error))?;
        }
        Ok(())
    }

    /// Opens the queue, and the embedded cron with it.
    pub(super) async fn queue(
        &self,
        queue: &QueueConfig,
        around: Around,
        internal_token: &Secret,
    ) -> anyhow::Result<(Arc<dyn TaskQueue>, Embedded)> {
        let clock = &self.clock;
        match queue {
            QueueConfig::Embedded { path, cron, queue_yaml, cron_yaml } => {
                self.may_open(path)?;
                let target: url::Url = format!("http://{}", reachable(around.listen)).parse()?;
                let token = internal_token.reveal().to_owned();
                let queues = QueueYaml::load(queue_yaml.as_deref())?;
                let options =
                    EmbeddedQueueOptions::new(path, queues, target.clone(), token.clone(), Arc::clone(clock));
                // A delivery within the process cannot get lost, so only a task that carries a large file takes so long.
                let deadline = options.deadline.max(TaskKind::SyncGoogleCase.longest_delivery());
                let options = EmbeddedQueueOptions { deadline, ..options };
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
                    around.timeout,
                );
                let credentials = self.google.credentials(*authenticate).await?;
                let upstream =
                    Upstream::new(settings, credentials, Arc::clone(clock), Arc::clone(&self.metrics))?
                        .sharing(self.answers.clone());
                let options = CloudTasksOptions {
                    project: project.clone(),
                    location: location.clone(),
                    service: std::env::var("GAE_SERVICE").ok(),
                    dispatch_deadline: around.deadline + Duration::from_mins(1),
                };
                Ok((Arc::new(CloudTasksQueue::new(Arc::new(upstream), options)), None))
            }
        }
    }

    /// Makes the client of CSAPI, as a system with cases.
    pub(super) async fn google(&self, google: &GoogleConfig) -> anyhow::Result<Arc<dyn CaseSystem>> {
        Ok(Arc::new(self.csapi(google).await?))
    }

    /// Makes the client of CSAPI.
    pub(super) async fn csapi(&self, google: &GoogleConfig) -> anyhow::Result<Csapi> {
        let settings = upstream_settings(
            csapi::NAME,
            google.base_url.clone(),
            google.requests_per_minute,
            google.timeout,
        );
        let credentials = self.google.credentials(google.authenticate).await?;
        let upstream =
            Upstream::new(settings, credentials, Arc::clone(&self.clock), Arc::clone(&self.metrics))?
                .sharing(self.answers.clone());
        Ok(Csapi::new(google.csapi.clone(), Arc::new(upstream))?)
    }

    /// Makes the client of the CRM.
    pub(super) async fn company(&self, company: &CompanyConfig) -> anyhow::Result<Arc<dyn CaseSystem>> {
        let upstream = self.company_upstream(company).await?;
        Ok(company.crm.connect(company.priorities.clone(), upstream, Arc::clone(&self.clock)))
    }

    /// Makes the connection to the CRM.
    pub(super) async fn company_upstream(&self, company: &CompanyConfig) -> anyhow::Result<Upstream> {
        let crm = &company.crm;
        let credentials: Arc<dyn Credentials> = match crm.secret_key() {
            Some((key, reference)) => {
                let reference = reference.parse().map_err(|error| anyhow!("{key}: expected {error}"))?;
                let (settings, site) = (crm.clone(), company.base_url.clone());
                let make: MakeCredentials =
                    Box::new(move |secret| settings.credentials(secret.reveal(), &site));
                self.credentials(reference, make).await.context(key)?
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
        let (clock, metrics) = (Arc::clone(&self.clock), Arc::clone(&self.metrics));
        Ok(Upstream::new(settings, credentials, clock, metrics)?.sharing(self.answers.clone()))
    }
}

/// Embedded queue and cron, if the queue is embedded.
pub(super) type Embedded = Option<(Arc<EmbeddedQueue>, Option<Arc<EmbeddedCron>>)>;

/// Returns the address at which this machine reaches a service that listens on `address`.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => SocketAddr::from(([127, 0, 0, 1], address.port())),
        IpAddr::V6(ip) if ip.is_unspecified() => SocketAddr::from((Ipv6Addr::LOCALHOST, address.port())),
        IpAddr::V4(_) | IpAddr::V6(_) => address,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn app_engines_port_wins_and_elsewhere_the_configuration_does() {
        let listen = Some("127.0.0.1:9000".parse().unwrap());
        for (platform, listen, port, chosen) in [
            (Platform::AppEngine, listen, Some(8081), "0.0.0.0:8081"),
            (Platform::AppEngine, listen, None, "127.0.0.1:9000"),
            (Platform::AppEngine, None, Some(8081), "0.0.0.0:8081"),
            (Platform::AppEngine, None, None, "0.0.0.0:8080"),
            (Platform::Local, listen, Some(8081), "127.0.0.1:9000"),
            (Platform::Local, None, Some(8081), "127.0.0.1:8081"),
            (Platform::Local, None, None, "127.0.0.1:8080"),
        ] {
            let address = choose_address(platform, listen, port);
            assert_eq!(address.to_string(), chosen, "{platform:?} {listen:?} {port:?}");
        }
    }
}
