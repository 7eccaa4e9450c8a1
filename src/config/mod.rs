//! Configuration of the service: one struct for each section, read once and checked as a whole. All errors are reported at once, each with
//! its key.
//!
//! Each key may be overridden by an environment variable: `CASEBRIDGE_` + section + `__` + key, in capitals. A table is given as JSON, or
//! entry by entry with `__` + entry behind it.

pub mod app_yaml;
mod reader;
mod routes;
mod secret;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration as StdDuration;

use chrono::Duration;

use crate::address;
use crate::cases::{Closing, ClosingSet, PeopleSource, Placement, Visibility, shorten};
use crate::crm::{CrmSettings, PriorityWords};
use crate::csapi::{CsapiSettings, EventSettings};
use crate::entities::{EscalationReason, GoogleState, Priority, Sides, Tolerance, ToleranceTable};
use crate::push::pull::is_resource;
use crate::push::{GoogleReceiverSettings, PullSettings};
use crate::store::StoreUrl;
use crate::sync::{
    CommentsToGoogle, EditedComments, EscalationRule, EscalationSignal, Placing, RouteTable, Rules,
    ShownRule, StatusRule, StatusTable, Switches, is_address,
};
use crate::tasks::TaskSettings;

use reader::Reader;
pub use secret::{Secret, SecretError, SecretRef};

/// Platform that the service runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    /// Any platform but App Engine.
    Local,
    /// App Engine.
    AppEngine,
}

impl Platform {
    /// Returns the format of the logs, unless `server.log_format` names another.
    #[must_use]
    pub const fn log_format(self) -> LogFormat {
        match self {
            Self::Local => LogFormat::Text,
            Self::AppEngine => LogFormat::Json,
        }
    }

    /// Returns the proof of a caller without a token, unless `server.trust` names another.
    #[must_use]
    pub const fn trust(self) -> Trust {
        match self {
            Self::Local => Trust::Loopback,
            Self::AppEngine => Trust::AppEngineHeaders,
        }
    }
}

/// Format of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for a person.
    Text,
    /// One JSON object a line, as Cloud Logging reads it.
    Json,
}

/// Proof of a caller who sends no token (`R5`: callers). A token is a proof in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trust {
    /// No proof but the token.
    Token,
    /// While there is no admin token, a request of a person at this machine.
    Loopback,
    /// `X-Appengine-*` headers. Safe only where nobody but App Engine reaches the port: it strips them from outside requests.
    AppEngineHeaders,
}

/// `[server]`
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Platform that the service runs on: the default of the other keys.
    pub platform: Platform,
    /// Format of the logs.
    pub log_format: LogFormat,
    /// True if the numbers that the alerts go by are logged each minute.
    pub log_status: bool,
    /// Proof of a caller who sends no token.
    pub trust: Trust,
    /// Address and port to listen on. `None`: `PORT`, or 8080, on the interfaces that the platform needs. App Engine's `PORT` wins over it.
    pub listen: Option<std::net::SocketAddr>,
    /// Reference to the bearer token that people send.
    pub admin_token: Option<SecretRef>,
    /// `[server.iap]`
    pub iap: Option<IapConfig>,
}

/// `[server.iap]`: people whom Identity-Aware Proxy has signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IapConfig {
    /// Audience of the proxy's tokens.
    pub audience: String,
    /// Email addresses of the people who may use the pages.
    pub people: Vec<String>,
    /// URL of the keys that the tokens are signed with.
    pub keys_url: url::Url,
}

/// `[google]`
#[derive(Debug, Clone)]
pub struct GoogleConfig {
    /// Settings of the CSAPI client.
    pub csapi: CsapiSettings,
    /// URL of CSAPI.
    pub base_url: url::Url,
    /// True if credentials are sent; a sandbox needs none.
    pub authenticate: bool,
    /// Polling window: time before the watermark that a poll searches again, since a search index is late.
    pub polling_window: Duration,
    /// Client-side rate limit.
    pub requests_per_minute: NonZeroU32,
    /// Timeout of a whole call. For streamed content, the longest time without any data.
    pub timeout: StdDuration,
}

/// `[company]`
#[derive(Debug, Clone)]
pub struct CompanyConfig {
    /// Kind of CRM, with the settings of its own section, such as `[company.jira]`.
    pub crm: CrmSettings,
    /// URL of the CRM.
    pub base_url: url::Url,
    /// Polling window: time before the watermark that a poll searches again, since a search index is late.
    pub polling_window: Duration,
    /// Client-side rate limit.
    pub requests_per_minute: NonZeroU32,
    /// Timeout of a whole call. For streamed content, the longest time without any data.
    pub timeout: StdDuration,
    /// Names of P0 to P4 in the CRM, from `[priorities]`.
    pub priorities: PriorityWords,
}

/// `[push]`: messages in which a system says that a case may have changed. The polls go on beside them.
#[derive(Debug, Clone, Default)]
pub struct PushConfig {
    /// `[push.google]`
    pub google: Option<GooglePush>,
    /// Topic that CSAPI publishes to, for `casebridge push` and the check.
    pub topic: Option<String>,
    /// `[push.company]`: reference to the secret that proves the CRM's messages, and to the previous one while it is rotated.
    pub company: Option<(SecretRef, Option<SecretRef>)>,
    /// Address of `POST /push/company` as the CRM reaches it, for `casebridge push`.
    pub address: Option<url::Url>,
}

impl PushConfig {
    /// Returns true for each side whose messages arrive.
    fn announced(&self) -> Sides<bool> {
        Sides { google: self.google.is_some(), company: self.company.is_some() }
    }

    fn events(&self) -> EventSettings {
        EventSettings { topic: self.topic.clone() }
    }
}

/// Way on which Pub/Sub's messages arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GooglePush {
    /// Pub/Sub calls `POST /push/google`, with a token.
    Pushed(GoogleReceiverSettings),
    /// The service pulls them.
    Pulled(PullSettings),
}

/// `[store]`
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// `sqlite:PATH`, `firestore:PROJECT[/DATABASE]`, `datastore:PROJECT[/DATABASE]`
    pub url: String,
}

/// `[queue]`
#[derive(Debug, Clone)]
pub enum QueueConfig {
    /// Embedded queue in this process.
    Embedded {
        /// Database file of the queue; the store's own file by default if that is SQLite.
        path: PathBuf,
        /// True if the jobs of `cron.yaml` run too.
        cron: bool,
        /// Path of a `queue.yaml` that replaces the built-in one.
        queue_yaml: Option<PathBuf>,
        /// Path of a `cron.yaml` that replaces the built-in one.
        cron_yaml: Option<PathBuf>,
    },
    /// Cloud Tasks.
    CloudTasks {
        /// URL of Cloud Tasks.
        base_url: url::Url,
        /// Google Cloud project.
        project: String,
        /// Region, such as `europe-west1`.
        location: String,
        /// True if credentials are sent; an emulator needs none.
        authenticate: bool,
    },
}

/// Whole configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[server]`
    pub server: ServerConfig,
    /// `[google]`
    pub google: GoogleConfig,
    /// `[company]` and `[priorities]`
    pub company: CompanyConfig,
    /// `[sync]`, `[status]`, `[outages]` and `[[route]]`
    pub tasks: TaskSettings,
    /// `[push]`
    pub push: PushConfig,
    /// `[store]`
    pub store: StoreConfig,
    /// `[queue]`
    pub queue: QueueConfig,
}

/// A configuration as far as it can be used: the sections without an error, and all errors. For `casebridge check`, which tries what is there.
#[derive(Debug, Clone, Default)]
pub struct Sections {
    /// `[server]`
    pub server: Option<ServerConfig>,
    /// `[google]`
    pub google: Option<GoogleConfig>,
    /// `[company]` and `[priorities]`
    pub company: Option<CompanyConfig>,
    /// `[sync]` and `[outages]`
    pub tasks: Option<TaskSettings>,
    /// `[push]`
    pub push: Option<PushConfig>,
    /// `[store]`
    pub store: Option<StoreConfig>,
    /// `[queue]`
    pub queue: Option<QueueConfig>,
    /// All errors, each with its key and its variable. Empty if the whole configuration can be used.
    pub errors: Vec<String>,
}

/// All errors of a configuration.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be used:\n{}", .0.iter().map(|error| format!("  - {error}")).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub Vec<String>);

impl Config {
    /// Reads `path`, or `casebridge.toml` if that exists, and the environment.
    pub fn load(
        path: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        Sections::load(path, environment).whole()
    }

    /// Reads a TOML text and the environment.
    pub fn parse(
        text: &str,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigErrors> {
        Sections::parse(text, environment).whole()
    }
}

impl Sections {
    /// Reads `path`, or `casebridge.toml` if that exists, and the environment.
    pub fn load(path: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Self {
        let fallback = Path::new("casebridge.toml");
        let path = path.or_else(|| fallback.exists().then_some(fallback));
        let text = match path.map(|path| (path, std::fs::read_to_string(path))) {
            None => String::new(),
            Some((_, Ok(text))) => text,
            Some((path, Err(error))) => {
                return Self::unreadable(&format!("{} cannot be read: {error}", path.display()));
            }
        };
        match text.parse() {
            Ok(table) => Self::of(table, environment),
            Err(error) => {
                let file = path.unwrap_or(fallback).display();
                Self::unreadable(&format!("{file}: {}", toml_error(&text, &error)))
            }
        }
    }

    /// Reads a TOML text and the environment.
    pub fn parse(text: &str, environment: impl Iterator<Item = (String, String)>) -> Self {
        match text.parse() {
            Ok(table) => Self::of(table, environment),
            Err(error) => Self::unreadable(&toml_error(text, &error)),
        }
    }

    fn of(table: toml::Table, environment: impl Iterator<Item = (String, String)>) -> Self {
        let mut reader = Reader::new(table, environment);
        let sections = read(&mut reader);
        Self { errors: reader.finish(), ..sections }
    }

    fn unreadable(error: &str) -> Self {
        Self { errors: vec![reader::bounded(error)], ..Self::default() }
    }

    /// Returns the whole configuration, or all its errors.
    pub fn whole(self) -> Result<Config, ConfigErrors> {
        match (self.server, self.google, self.company, self.tasks, self.push, self.store, self.queue) {
            (
                Some(server),
                Some(google),
                Some(company),
                Some(tasks),
                Some(push),
                Some(store),
                Some(queue),
            ) if self.errors.is_empty() => Ok(Config { server, google, company, tasks, push, store, queue }),
            _ => Err(ConfigErrors(self.errors)),
        }
    }
}

/// Returns the line and message of a syntax error, without the line's text, which may hold a secret.
fn toml_error(text: &str, error: &toml::de::Error) -> String {
    let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
    format!("line {line} is not valid TOML: {}", error.message())
}

/// Reads all sections, also after one with an error, so that all errors are reported at once.
fn read(r: &mut Reader) -> Sections {
    let server = read_server(r);
    let google = read_google(r);
    let company = read_company(r);
    let windows = Sides {
        google: google.as_ref().map(|google| google.polling_window).unwrap_or_default(),
        company: company.as_ref().map(|company| company.polling_window).unwrap_or_default(),
    };
    let requests_per_minute = google.as_ref().zip(company.as_ref()).map(|(google, company)| Sides {
        google: google.requests_per_minute,
        company: company.requests_per_minute,
    });
    let routes = routes::read(r, company.as_ref().map(|company| &company.crm));
    let statuses = read_statuses(r, company.as_ref().map(|company| &company.crm));
    let placing = read_placing(r, company.as_ref().map(|company| &company.crm));
    let escalation = read_escalation(r, company.as_ref().map(|company| &company.crm));
    let shown = read_shown(r, company.as_ref().map(|company| &company.crm), escalation.as_ref());
    let google = google.map(|google| watch_parents(r, google, &routes));
    let tasks = read_tasks(r, windows, requests_per_minute.map_or(1, TaskSettings::pace));
    let tasks = tasks.map(|tasks| TaskSettings {
        routes,
        placing,
        rules: Rules {
            shown: ShownRule {
                marks_notes: shown.marks_notes && tasks.rules.carries_marked_notes(),
                ..shown
            },
            statuses,
            escalation,
            ..tasks.rules
        },
        ..tasks
    });
    let creates = tasks.as_ref().is_none_or(|tasks| tasks.rules.switches.creation);
    if creates && google.as_ref().is_some_and(|google| google.csapi.classification_id.is_none()) {
        r.error(
            "google.classification_id is missing: Google takes no case without one; find one with `casebridge classifications WORDS`, \
             or set sync.creation = false",
        );
    }
    let url = r.string_or("store.url", "sqlite:casebridge.db");
    let store = url.parse::<StoreUrl>().map_err(|error| r.error(format!("store.url: {error}")));
    let queue = read_queue(r, &url);
    let push = read_push(r, google.as_ref());
    let tasks = tasks.map(|tasks| {
        let poll_every = read_poll_every(r, push.as_ref(), &tasks);
        TaskSettings {
            poll_every,
            announced: push.as_ref().map(PushConfig::announced).unwrap_or_default(),
            ..tasks
        }
    });
    let events = push.as_ref().filter(|push| push.google.is_some()).map(PushConfig::events);
    let google =
        google.map(|google| GoogleConfig { csapi: CsapiSettings { events, ..google.csapi }, ..google });
    let store = store.ok().map(|_| StoreConfig { url });
    Sections { server, google, company, tasks, push, store, queue, errors: Vec::new() }
}

fn read_server(r: &mut Reader) -> Option<ServerConfig> {
    let platform = r.choice(
        "server.platform",
        "local",
        &[("local", Platform::Local), ("app-engine", Platform::AppEngine)],
    );
    let listen = r.parsed("server.listen", "an address and port like 127.0.0.1:8080");
    let admin_token = r.secret("server.admin_token");
    let log_format =
        r.optional_choice("server.log_format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]);
    let is_json = log_format.or(platform.map(Platform::log_format)) == Some(LogFormat::Json);
    let log_status = r.bool_or("server.log_status", is_json);
    let trust = r.optional_choice(
        "server.trust",
        &[
            ("token", Trust::Token),
            ("loopback", Trust::Loopback),
            ("app-engine-headers", Trust::AppEngineHeaders),
        ],
    );
    let iap = read_iap(r, admin_token.is_some());
    let platform = platform?;
    Some(ServerConfig {
        platform,
        log_format: log_format.unwrap_or_else(|| platform.log_format()),
        log_status,
        trust: trust.unwrap_or_else(|| platform.trust()),
        listen,
        admin_token,
        iap: iap?,
    })
}

/// Reads the section `server.iap`. The outer `None`: it has an error, which the reader holds.
#[expect(clippy::option_option, reason = "an error, or nothing configured")]
fn read_iap(r: &mut Reader, has_admin_token: bool) -> Option<Option<IapConfig>> {
    let audience = r.string("server.iap.audience");
    let people = r.strings("server.iap.people");
    let keys_url = r.url("server.iap.keys_url", Some("https://www.gstatic.com/iap/verify/public_key-jwk"))?;
    let Some(audience) = audience else {
        if people.is_empty() {
            return Some(None);
        }
        r.error("server.iap.audience is missing: the audience that the proxy's settings show");
        return None;
    };
    if people.is_empty() {
        r.error("server.iap.people is missing: the email addresses of the people who may use the pages");
        return None;
    }
    if !has_admin_token {
        r.error("server.admin_token is missing: beside server.iap it signs the forms of the pages");
        return None;
    }
    Some(Some(IapConfig { audience, people, keys_url }))
}

fn read_google(r: &mut Reader) -> Option<GoogleConfig> {
    let parent = r.required("google.parent", "organizations/NUMBER, or projects/ID for one project only");
    let base_url = r.url("google.base_url", Some("https://cloudsupport.googleapis.com"));
    let authenticate = r.choice("google.auth", "default", &[("default", true), ("none", false)]);
    let polling_window = r.duration("google.polling_window", "30m");
    let requests_per_minute = r.positive("google.requests_per_minute", 300);
    let timeout = r.duration("google.timeout", "60s");
    let csapi = CsapiSettings {
        parent: parent.clone().unwrap_or_default(),
        other_parents: Vec::new(),
        classification_id: r.string("google.classification_id"),
        time_zone: r.string_or("google.time_zone", "+00:00"),
        language_code: r.string_or("google.language_code", "en"),
        subscribers: r.strings("google.subscribers"),
        test_cases: r.bool_or("google.test_cases", false),
        feed: r.bool_or("google.feed", false),
        key_expires: r.date("google.key_expires"),
        events: None,
    };
    parent?;
    Some(GoogleConfig {
        csapi,
        base_url: base_url?,
        authenticate: authenticate?,
        polling_window: polling_window?,
        requests_per_minute: requests_per_minute?,
        timeout: timeout?.to_std().unwrap_or_default(),
    })
}

/// Lets the projects be polled that routes create cases in and that the configured parent does not cover.
fn watch_parents(r: &mut Reader, google: GoogleConfig, routes: &RouteTable) -> GoogleConfig {
    let own = google.csapi.parent.clone();
    let is_organization = own.starts_with("organizations/");
    let mut others: Vec<String> = Vec::new();
    for (number, route) in routes.company_routes() {
        let Some(parent) = route.placement.parent.as_ref().filter(|parent| **parent != own) else { continue };
        if parent.starts_with("organizations/") {
            r.error(format!(
                "route {number}, google.parent is {parent}, and google.parent is {own}: the connector watches one organisation, or \
                 projects; set google.parent = \"{parent}\", or name a project in the route"
            ));
        } else if !is_organization && !others.contains(parent) {
            others.push(parent.clone());
        }
    }
    GoogleConfig { csapi: CsapiSettings { other_parents: others, ..google.csapi }, ..google }
}

/// Reads the keys of `google` that name fields and people of company cases.
fn read_placing(r: &mut Reader, crm: Option<&CrmSettings>) -> Placing {
    let field = |r: &mut Reader, key: &str| {
        let name = r.string(key)?;
        if let Some(problem) = crm.and_then(|crm| crm.field_mistake(&name)) {
            r.error(format!("{key}: {problem}"));
        }
        Some(name)
    };
    let parent_field = field(r, "google.parent_field");
    let classification_field = field(r, "google.classification_field");
    let key = "google.subscribers_from";
    let mut subscribers_from = Vec::new();
    for text in r.strings(key) {
        match PeopleSource::parse(&text) {
            Some(source) => {
                if let Some(problem) =
                    source.field().and_then(|name| crm.and_then(|crm| crm.field_mistake(name)))
                {
                    r.error(format!("{key}: {problem}"));
                }
                if !subscribers_from.contains(&source) {
                    subscribers_from.push(source);
                }
            }
            None => r.error(format!(
                "{key}: expected some of \"reporter\", \"watchers\" (or \"ccs\") and \"field:NAME\", not {:?}",
                shorten(&text)
            )),
        }
    }
    let key = "google.subscriber_domains";
    let errors = r.error_count();
    let mut subscriber_domains = Vec::new();
    for text in r.strings(key) {
        let domain = text.trim().trim_start_matches('@').to_lowercase();
        if is_address(&format!("a@{domain}")) {
            subscriber_domains.push(domain);
        } else {
            r.error(format!("{key}: {:?} is no domain, such as \"example.com\"", shorten(&text)));
        }
    }
    // Without a right domain there is none: that is no error of its own.
    let lacks_domains =
        !subscribers_from.is_empty() && subscriber_domains.is_empty() && r.error_count() == errors;
    if lacks_domains && !r.is_given(key) {
        r.error(format!(
            "{key} is missing: google.subscribers_from sends addresses of people to Google, and only those of these domains may leave \
             the house; name them, such as [\"example.com\"]"
        ));
    } else if lacks_domains {
        r.error(format!(
            "{key} is empty: name the domains of google.subscribers_from that may leave the house"
        ));
    }
    Placing { parent_field, classification_field, subscribers_from, subscriber_domains }
}

/// Reads the keys `google.escalate_…`.
fn read_escalation(r: &mut Reader, crm: Option<&CrmSettings>) -> Option<EscalationRule> {
    let signal = r.string("google.escalate_field");
    let prefix = r.string_or("google.escalate_prefix", "#escalate");
    let justification_field = r.string("google.escalate_justification_field");
    let mut words = BTreeMap::new();
    for reason in EscalationReason::ALL {
        let key = format!("google.escalate_words.{}", reason.name());
        for word in r.strings(&key) {
            let word = word.trim().to_owned();
            if word.is_empty() {
                r.error(format!("{key}: a word must not be empty"));
            } else if words.insert(word.clone(), reason).is_some_and(|other| other != reason) {
                r.error(format!("{key}: {:?} stands for another reason as well", shorten(&word)));
            }
        }
    }
    let Some(signal) = signal else {
        if justification_field.is_some() {
            r.error(
                "google.escalate_justification_field does nothing without google.escalate_field: name the field or label by which people \
                 escalate",
            );
        }
        if !words.is_empty() {
            r.error("google.escalate_words does nothing without google.escalate_field: name the field or label by which people escalate");
        }
        return None;
    };
    let Some(signal) = EscalationSignal::parse(&signal) else {
        r.error("google.escalate_field: expected the name of a field, or \"label:NAME\"");
        return None;
    };
    let field = match &signal {
        EscalationSignal::Field(name) => Some(("google.escalate_field", name)),
        EscalationSignal::Label(_) => {
            let problems =
                crm.map(|crm| crm.match_problems(&["label"], std::iter::empty())).unwrap_or_default();
            for problem in problems {
                r.error(format!("google.escalate_field: {}", problem.trim_start_matches('.')));
            }
            None
        }
    };
    let justification =
        justification_field.as_ref().map(|name| ("google.escalate_justification_field", name));
    for (key, name) in field.into_iter().chain(justification) {
        if let Some(problem) = crm.and_then(|crm| crm.field_mistake(name)) {
            r.error(format!("{key}: {problem}"));
        }
    }
    let rule = EscalationRule { signal, words, prefix: prefix.trim().to_owned(), justification_field };
    if let EscalationSignal::Label(label) = &rule.signal
        && rule.reason(label).is_none()
    {
        r.error(format!(
            "google.escalate_words has no reason for the label {:?} of google.escalate_field: add it, such as \
             google.escalate_words.BUSINESS_IMPACT = [{0:?}]",
            shorten(label)
        ));
    }
    Some(rule)
}

/// Reads what is shown of a Google case on its company case besides its state. Notes are marked if the CRM has a place for that.
fn read_shown(r: &mut Reader, crm: Option<&CrmSettings>, escalation: Option<&EscalationRule>) -> ShownRule {
    const LABEL: &str = "google.escalated_label";
    let is_linked = r.bool_or("company.remote_link", false);
    let link = match crm.filter(|_| is_linked).map(|crm| crm.remote_link()) {
        Some(Ok(detail)) => Some(detail),
        Some(Err(problem)) => {
            r.error(format!("company.remote_link: {problem}"));
            None
        }
        None => None,
    };
    let escalated_label = r.string(LABEL).map(|label| label.trim().to_owned());
    if let (Some(label), Some(crm)) = (&escalated_label, crm) {
        let placement = Placement { labels: vec![label.clone()], ..Placement::default() };
        for problem in crm.placement_problems(&placement) {
            r.error(format!("{LABEL}: {}", problem.trim_start_matches(".labels: ")));
        }
    }
    if let (Some(label), Some(rule)) = (&escalated_label, escalation)
        && rule.is_raised_by(label)
    {
        r.error(format!(
            "{LABEL} and google.escalate_field name the same label {:?}: a case that Google escalates would be raised by it; give two \
             labels",
            shorten(label)
        ));
    }
    ShownRule { link, escalated_label, marks_notes: crm.is_some_and(|crm| crm.marks_comments()) }
}

/// Reads the section `company`, and the words in `priorities`. `None` if a value is missing or invalid; the reader holds the errors.
fn read_company(r: &mut Reader) -> Option<CompanyConfig> {
    for kind in CrmSettings::KINDS {
        r.knows(CrmSettings::keys(kind).into_iter().map(|key| format!("company.{kind}.{key}")));
    }
    let kind = r.required("company.kind", &format!("the CRM: {}", CrmSettings::kinds()));
    let base_url = r.url("company.base_url", None);
    let polling_window = r.duration("company.polling_window", "5m");
    let requests_per_minute = r.positive("company.requests_per_minute", 300);
    let timeout = r.duration("company.timeout", "60s");
    let known = kind.as_deref().filter(|kind| CrmSettings::KINDS.contains(kind));
    if known.is_none() {
        if let Some(kind) = &kind {
            r.error(CrmSettings::no_such_kind(kind));
        }
        for kind in CrmSettings::KINDS {
            r.ignore(&format!("company.{kind}"));
        }
    }
    if let (Some(kind), Some(base_url)) = (known, &base_url)
        && let Some(problem) = CrmSettings::address_problem(kind, base_url)
    {
        r.error(problem);
    }
    let crm = known.and_then(|kind| read_crm(r, kind, base_url.as_ref()));
    let priorities = read_priorities(r, crm.as_ref());
    Some(CompanyConfig {
        base_url: base_url?,
        polling_window: polling_window?,
        requests_per_minute: requests_per_minute?,
        timeout: timeout?.to_std().unwrap_or_default(),
        crm: crm?,
        priorities: priorities?,
    })
}

/// Reads the section `priorities`. A level whose word cannot be read has one error, and no other.
fn read_priorities(r: &mut Reader, crm: Option<&CrmSettings>) -> Option<PriorityWords> {
    let mut unread = Vec::new();
    let words = Priority::ALL.map(|priority| {
        let (key, default) =
            (format!("priorities.{priority}"), PriorityWords::DEFAULT[usize::from(priority.level())]);
        let word = r.word(&key);
        if word.is_none() && r.is_given(&key) {
            unread.push(priority);
        }
        word.unwrap_or_else(|| default.to_owned())
    });
    let words = PriorityWords::new(words).map_err(|error| r.error(error)).ok()?;
    let problems = match crm {
        None => Vec::new(),
        Some(crm) if unread.is_empty() => crm.priority_problems(&words),
        Some(crm) => Priority::ALL
            .into_iter()
            .filter(|priority| !unread.contains(priority))
            .filter_map(|priority| crm.priority_problem(&words, priority))
            .collect(),
    };
    for problem in problems {
        r.error(problem);
    }
    unread.is_empty().then_some(words)
}

/// Reads the section of the CRM's kind. `site` is `company.base_url`.
fn read_crm(r: &mut Reader, kind: &str, site: Option<&url::Url>) -> Option<CrmSettings> {
    let section = format!("company.{kind}");
    // A table with this one key may be incomplete, but that is not a type error.
    let table = r.subtable(&section, |alone| CrmSettings::takes(kind, alone));
    // A sandbox needs no credentials.
    let unsigned = CrmSettings::without_credentials(kind, &table)
        .filter(|_| site.is_some_and(|site| !address::is_loopback(site)));
    let settings = match CrmSettings::read(kind, table) {
        Ok(settings) => settings,
        Err(problems) => {
            // A proxy may add them, so their lack alone is no mistake.
            let incomplete = problems.iter().any(|problem| problem.contains(" is missing"));
            for problem in problems.into_iter().chain(unsigned.filter(|_| incomplete)) {
                r.error(problem);
            }
            return None;
        }
    };
    let problems = settings.lookup_problems();
    let incomplete = problems.iter().any(|problem| problem.contains(" is missing"));
    for problem in problems.into_iter().chain(unsigned.filter(|_| incomplete)) {
        r.error(problem);
    }
    // The message does not show the value, which may be the secret itself, put here by mistake.
    if let Some((key, Err(error))) = settings.secret_key().map(|(key, text)| (key, text.parse::<SecretRef>()))
    {
        r.error(format!("{key}: expected {error}"));
        return None;
    }
    Some(settings)
}

/// Reads which comments go to Google. `sync.internal_comments` is the older key, of version 0.1.
fn read_comments_to_google(r: &mut Reader) -> CommentsToGoogle {
    let choices = [
        ("public", CommentsToGoogle::Public),
        ("all", CommentsToGoogle::All),
        ("marked", CommentsToGoogle::Marked),
    ];
    let chosen = r.optional_choice("sync.comments_to_google", &choices);
    let internal = r.bool_or("sync.internal_comments", false);
    if internal && chosen.is_some_and(|chosen| chosen != CommentsToGoogle::All) {
        r.error(
            "sync.internal_comments: true contradicts sync.comments_to_google: remove sync.internal_comments"
                .to_owned(),
        );
    }
    chosen.unwrap_or(if internal { CommentsToGoogle::All } else { CommentsToGoogle::Public })
}

fn read_tasks(r: &mut Reader, windows: Sides<Duration>, syncs_per_minute: u32) -> Option<TaskSettings> {
    let switches = Switches {
        creation: r.bool_or("sync.creation", true),
        comments: r.bool_or("sync.comments", true),
        attachments: r.bool_or("sync.attachments", true),
        priority: r.bool_or("sync.priority", true),
        status: r.bool_or("sync.status", true),
        title: r.bool_or("sync.title", true),
    };
    let comments_to_google = read_comments_to_google(r);
    let edits =
        r.choice("sync.edits", "off", &[("off", EditedComments::Off), ("note", EditedComments::Note)]);
    let comment_visibility = r.choice(
        "sync.comment_visibility",
        "internal",
        &[("internal", Visibility::Internal), ("public", Visibility::Public)],
    );
    let max_case_age = r.duration("sync.max_case_age", "30d");
    let since = r.parsed_or_date(
        "sync.since",
        "\"now\", a date like \"2027-03-01\" or \"2027-03-01T08:00:00Z\", or a duration like \"7d\"",
    );
    let retention = r.duration("sync.retention", "30d");
    let missing_grace = r.duration("sync.missing_grace", "1h");
    let give_up_after = r.duration("sync.give_up_after", "12h");
    let adopt_claims = r.bool_or("sync.adopt_claims", false);
    let close_on = read_close_on(r);
    let deadline = r.duration("sync.deadline", "4m");
    let lease = r.duration("sync.lease", "5m");
    if let (Some(deadline), Some(lease)) = (deadline, lease)
        && deadline >= lease
    {
        r.error("sync.deadline must be shorter than sync.lease: a task must end before another may take its case over");
    }
    let mut tolerances = ToleranceTable::default();
    for priority in Priority::ALL {
        let row = &mut tolerances.0[usize::from(priority.level())];
        let tolerance = |r: &mut Reader, column: &str, default: Duration| {
            let key = format!("outages.tolerance.{priority}.{column}");
            r.duration(&key, &format!("{}m", default.num_minutes())).unwrap_or(default)
        };
        *row = Tolerance {
            fresh: tolerance(r, "fresh", row.fresh),
            default: tolerance(r, "default", row.default),
            stale: tolerance(r, "stale", row.stale),
        };
    }
    Some(TaskSettings {
        rules: Rules {
            switches,
            comments_to_google,
            edits: edits?,
            comment_visibility: comment_visibility?,
            close_on,
            statuses: StatusTable::new(),
            escalation: None,
            shown: ShownRule::NONE,
        },
        windows,
        max_case_age: max_case_age?,
        since: since.unwrap_or_default(),
        retention: retention?,
        tolerances,
        deadline: deadline?.to_std().unwrap_or(StdDuration::ZERO),
        lease: lease?,
        syncs_per_minute,
        missing_grace: missing_grace?,
        give_up_after: give_up_after?,
        adopt_claims,
        routes: RouteTable::default(),
        poll_every: Sides::default(),
        announced: Sides::default(),
        placing: Placing::default(),
    })
}

/// Reads `push.poll_every`, for the sides whose messages arrive.
fn read_poll_every(
    r: &mut Reader,
    push: Option<&PushConfig>,
    tasks: &TaskSettings,
) -> Sides<Option<Duration>> {
    const KEY: &str = "push.poll_every";
    if !r.is_given(KEY) {
        r.knows([KEY.to_owned()]);
        return Sides::default();
    }
    let Some(every) = r.duration(KEY, "5m") else { return Sides::default() };
    if every.num_seconds() % 60 != 0 {
        r.error("push.poll_every: expected whole minutes, like \"5m\": cron asks for a poll once a minute");
    }
    let window = tasks.windows.google.min(tasks.windows.company);
    if every > window {
        r.error(format!(
            "push.poll_every is longer than a polling window: set google.polling_window and company.polling_window to {} at least",
            minutes(every)
        ));
    }
    // An idle pair counts as in step as of the last polls: with a longer interval one poll that fails would be an outage of every case.
    if every * 2 > tasks.tolerances.smallest() {
        r.error(format!(
            "push.poll_every is longer than half of the smallest tolerance: set those of outages.tolerance to {} at least",
            minutes(every * 2)
        ));
    }
    let Some(push) = push else { return Sides::default() };
    if push.google.is_none() && push.company.is_none() {
        r.error("push.poll_every needs messages between the polls: configure push.google or push.company (docs/push.md)");
    }
    Sides { google: push.google.as_ref().map(|_| every), company: push.company.as_ref().map(|_| every) }
}

/// Returns a duration in minutes, as it is written in the configuration.
fn minutes(duration: Duration) -> String {
    format!("\"{}m\"", (duration.num_seconds() + 59) / 60)
}

/// Reads `status.close_on`: the ways of closing a company case that close its Google case (`R32`: closed is not solved).
fn read_close_on(r: &mut Reader) -> ClosingSet {
    let chosen = r.choices("status.close_on", &Closing::ALL.map(|closing| (closing.name(), closing)));
    if chosen.is_empty() { ClosingSet::default() } else { chosen.into_iter().collect() }
}

/// Reads `status.google` and `status.incompatible`: the company case's statuses for Google's states. `crm` is the configured CRM, which knows
/// the statuses that mean closed; `None` if its section has errors.
fn read_statuses(r: &mut Reader, crm: Option<&CrmSettings>) -> StatusTable {
    let mut rules = Vec::new();
    for state in GoogleState::OPEN {
        let (key, keys) =
            (format!("status.google.{}", state.name()), format!("status.incompatible.{}", state.name()));
        let is_given = r.is_given(&key);
        let status = r.word(&key).map(|status| status.trim().to_owned());
        let incompatible: Vec<String> =
            r.strings(&keys).iter().map(|status| status.trim().to_owned()).collect();
        if incompatible.iter().any(String::is_empty) {
            r.error(format!("{keys}: a status must not be empty"));
        }
        if !is_given && !incompatible.is_empty() {
            r.error(format!("{keys} does nothing without {key}: name the status to set in {key}"));
        }
        let Some(status) = status else { continue };
        if crm.is_some_and(|crm| crm.means_closed(&status)) {
            r.error(format!(
                "{key} is {status:?}, which means that the case is closed and would close the Google case: name the status of an open \
                 case; Google's own closing closes the company case without it"
            ));
        }
        rules.push((state, StatusRule { status, incompatible }));
    }
    rules.into_iter().collect()
}

/// Reads the section `push`. A side takes messages once its proof, or the subscription to pull from, is configured.
fn read_push(r: &mut Reader, google: Option<&GoogleConfig>) -> Option<PushConfig> {
    let google = read_push_google(r, google);
    let topic = r.string("push.google.topic");
    if topic.as_ref().is_some_and(|topic| !is_resource(topic, "topics")) {
        r.error("push.google.topic: expected the name of a Pub/Sub topic like \"projects/my-project/topics/case-events\"");
    }
    let address = if r.is_given("push.company.address") {
        r.url("push.company.address", None)
    } else {
        r.knows(["push.company.address".to_owned()]);
        None
    };
    let secret = r.secret("push.company.secret");
    let previous = r.secret("push.company.previous_secret");
    if secret.is_none() && previous.is_some() {
        r.error("push.company.secret is missing: push.company.previous_secret is valid only beside it");
        return None;
    }
    Some(PushConfig { google: google?, topic, company: secret.map(|secret| (secret, previous)), address })
}

/// Reads the section `push.google`. The outer `None`: it has an error, which the reader holds.
#[expect(clippy::option_option, reason = "an error, or nothing configured")]
fn read_push_google(r: &mut Reader, google: Option<&GoogleConfig>) -> Option<Option<GooglePush>> {
    let audience = r.string("push.google.audience");
    let account = r.string("push.google.service_account");
    let keys_url = r.url("push.google.keys_url", Some("https://www.googleapis.com/oauth2/v3/certs"));
    let pull = r.string("push.google.pull");
    let base_url = r.url("push.google.base_url", Some("https://pubsub.googleapis.com"));
    if let Some(subscription) = &pull {
        if !is_resource(subscription, "subscriptions") {
            r.error("push.google.pull: expected the name of a Pub/Sub subscription like \"projects/my-project/subscriptions/case-events\"");
            return None;
        }
        let other = [("audience", &audience), ("service_account", &account)];
        if let Some((key, _)) = other.into_iter().find(|(_, value)| value.is_some()) {
            r.error(format!(
                "push.google.{key} and push.google.pull exclude each other: Pub/Sub either calls POST /push/google with a token for that \
                 audience, or the service pulls; remove one of the two"
            ));
            return None;
        }
    }
    let (keys_url, base_url) = (keys_url?, base_url?);
    let parent = google.map(|google| google.csapi.parent.clone());
    match (pull, audience, account) {
        (Some(subscription), _, _) => {
            Some(parent.map(|parent| GooglePush::Pulled(PullSettings { subscription, base_url, parent })))
        }
        (None, Some(audience), Some(service_account)) => Some(parent.map(|parent| {
            GooglePush::Pushed(GoogleReceiverSettings { audience, service_account, keys_url, parent })
        })),
        (None, None, None) => Some(None),
        (None, Some(_), None) => {
            r.error("push.google.service_account is missing: the account that the push subscription authenticates as");
            None
        }
        (None, None, Some(_)) => {
            r.error("push.google.audience is missing: the audience of the push subscription");
            None
        }
    }
}

fn read_queue(r: &mut Reader, store: &str) -> Option<QueueConfig> {
    #[derive(Clone, Copy)]
    enum Kind {
        Embedded,
        CloudTasks,
    }
    let kind = r.choice(
        "queue.kind",
        "embedded",
        &[("embedded", Kind::Embedded), ("cloud-tasks", Kind::CloudTasks)],
    )?;
    match kind {
        Kind::Embedded => {
            // The store's own file if it is a SQLite file, so that one file holds everything.
            let default = store.strip_prefix("sqlite:").unwrap_or("casebridge-queue.db").to_owned();
            let path = PathBuf::from(r.string_or("queue.path", &default));
            let cron = r.bool_or("queue.cron", true);
            let queue_yaml = r.string("queue.queue_yaml").map(PathBuf::from);
            let cron_yaml = r.string("queue.cron_yaml").map(PathBuf::from);
            Some(QueueConfig::Embedded { path, cron, queue_yaml, cron_yaml })
        }
        Kind::CloudTasks => {
            let base_url = r.url("queue.base_url", Some("https://cloudtasks.googleapis.com"));
            let project = r.required("queue.project", "the Google Cloud project that holds the queues");
            let location = r.required("queue.location", "the queues' region, like europe-west1");
            let authenticate = r.choice("queue.auth", "default", &[("default", true), ("none", false)]);
            Some(QueueConfig::CloudTasks {
                base_url: base_url?,
                project: project?,
                location: location?,
                authenticate: authenticate?,
            })
        }
    }
}
