//! The Jira adapter against the sandbox Jira, over real HTTP: the suite that all CRMs share, and Jira's own traps.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use async_trait::async_trait;
use casebridge::cases::{
    ApiErrorKind, Attachment, CaseSystem, Check, NewCase, NewComment, Sweep, Visibility,
};
use casebridge::clock::{Clock as _, ManualClock};
use casebridge::crm::PriorityWords;
use casebridge::crm::jira::{Deployment, Jira, JiraSettings};
use casebridge::entities::{Priority, PriorityReading};
use casebridge::outbound::{Credentials, NoCredentials, RetryPolicy, Upstream, UpstreamSettings};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::jira::{
    self as sandbox, FlagField, MarkupKind, NewIssue, ResolutionOnClosing, SandboxJira, SandboxJiraAuth,
    SandboxJiraSettings, SandboxTimeZone, would_render,
};
use casebridge::telemetry::Metrics;
use chrono::{DateTime, Duration, Utc};
use futures_util::TryStreamExt as _;

use crate::contract::crm::{self as suite, CrmUnderTest, crm_contract};

mod cloud {
    use super::{cloud, crm_contract, suite};

    crm_contract!(suite, cloud());
}

mod cloud_service_management {
    use super::{cloud_service_management, crm_contract, suite};

    crm_contract!(suite, cloud_service_management());
}

mod data_center {
    use super::{crm_contract, data_center, suite};

    crm_contract!(suite, data_center());
}

mod awkward_data_center {
    use super::{awkward_data_center, crm_contract, suite};

    crm_contract!(suite, awkward_data_center());
}

/// Nothing special.
async fn cloud() -> Running {
    start(SandboxJiraSettings::default(), |_| ()).await
}

/// Internal comments, credentials, short pages, summer time.
async fn cloud_service_management() -> Running {
    let settings = SandboxJiraSettings {
        service_management: true,
        time_zone: SandboxTimeZone::berlin(),
        search_page_limit: 7,
        auth: SandboxJiraAuth::Basic { email: "bot@example.com".to_owned(), token: "s3cret".to_owned() },
        resolution_on_closing: ResolutionOnClosing::NotOnScreen,
        can_reopen: false,
        ..SandboxJiraSettings::default()
    };
    start(settings, |_| ()).await
}

/// Nothing special.
async fn data_center() -> Running {
    start(SandboxJiraSettings::data_center(), |_| ()).await
}

/// Everything that can be different is.
async fn awkward_data_center() -> Running {
    let settings = SandboxJiraSettings {
        time_zone: SandboxTimeZone::fixed("Asia/Kathmandu", 345),
        auth: SandboxJiraAuth::Bearer { token: "s3cret".to_owned() },
        flag_field: FlagField::Text,
        priority_on_create_screen: false,
        resolution_on_closing: ResolutionOnClosing::Required,
        time_resolution_ms: 1000,
        search_page_limit: 20,
        attachment_limit: 2 * 1024 * 1024,
        ..SandboxJiraSettings::data_center()
    };
    start(settings, |jira| jira.project = "sup".to_uppercase()).await
}

/// A sandbox Jira, its media host and the adapter, until it is dropped.
struct Running {
    jira: SandboxJira,
    adapter: Jira,
    clock: Arc<ManualClock>,
    servers: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

fn noon() -> DateTime<Utc> {
    "2026-07-01T12:00:00.250Z".parse().unwrap()
}

fn words(words: [&str; 5]) -> PriorityWords {
    PriorityWords::new(words.map(str::to_owned)).unwrap()
}

fn usual_words() -> PriorityWords {
    words(["Highest", "High", "Medium", "Low", "Lowest"])
}

async fn serve(router: axum::Router) -> (String, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    (base, tokio::spawn(async move { axum::serve(listener, router).await.unwrap() }))
}

/// The adapter for a Jira at `base`.
fn connect(
    settings: JiraSettings,
    words: PriorityWords,
    base: &str,
    credentials: Arc<dyn Credentials>,
    clock: &Arc<ManualClock>,
) -> Jira {
    let upstream = UpstreamSettings {
        name: casebridge::crm::jira::NAME,
        base_url: base.parse().unwrap(),
        requests_per_minute: NonZeroU32::new(10_000_000).unwrap(),
        timeout: StdDuration::from_secs(10),
        retry: RetryPolicy {
            attempts: 3,
            first_pause: StdDuration::from_millis(5),
            longest_pause: StdDuration::from_millis(20),
        },
        download_hosts: settings.allowed_download_hosts(),
    };
    let upstream = Upstream::new(upstream, credentials, clock.clone(), Metrics::shared()).unwrap();
    Jira::new(settings, words, upstream, clock.clone())
}

async fn start(settings: SandboxJiraSettings, change: impl FnOnce(&mut JiraSettings)) -> Running {
    start_with(settings, usual_words(), change).await
}

async fn start_with(
    settings: SandboxJiraSettings,
    words: PriorityWords,
    change: impl FnOnce(&mut JiraSettings),
) -> Running {
    let clock = ManualClock::at(noon());
    let jira = SandboxJira::new(clock.clone(), settings);
    let (base, server) = serve(jira.router()).await;
    let (media, media_server) = serve(jira.media_router()).await;
    jira.set_media_base(&media);
    let mut ours = JiraSettings {
        project: "SUP".to_owned(),
        deployment: match jira.settings().deployment {
            sandbox::Deployment::Cloud => Deployment::Cloud,
            sandbox::Deployment::DataCenter => Deployment::DataCenter,
        },
        download_hosts: vec![media.trim_start_matches("http://").to_owned()],
        ..JiraSettings::default()
    };
    let secret = match &jira.settings().auth {
        SandboxJiraAuth::Anyone => None,
        SandboxJiraAuth::Basic { email, token } => {
            ours.email = Some(email.clone());
            ours.api_token = Some("env:TOKEN".to_owned());
            Some(token.clone())
        }
        SandboxJiraAuth::Bearer { token } => {
            ours.personal_access_token = Some("env:TOKEN".to_owned());
            Some(token.clone())
        }
    };
    change(&mut ours);
    assert_eq!(ours.problems(), Vec::<String>::new());
    let credentials = secret.map_or_else(
        || Arc::new(NoCredentials) as Arc<dyn Credentials>,
        |secret| ours.credentials(&secret).unwrap(),
    );
    let adapter = connect(ours, words, &base, credentials, &clock);
    Running { jira, adapter, clock, servers: vec![server, media_server] }
}

#[async_trait]
impl CrmUnderTest for Running {
    fn system(&self) -> &dyn CaseSystem {
        &self.adapter
    }

    async fn tick(&self) {
        self.clock.advance(Duration::seconds(2));
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn unknown_case(&self) -> String {
        "99999".to_owned()
    }

    async fn person_creates(&self, title: &str, description: &str, flagged: bool) -> String {
        let description = (!description.is_empty()).then(|| description.to_owned());
        self.jira.create_issue(NewIssue { description, flagged, ..NewIssue::new(title) }).unwrap()
    }

    async fn person_comments(&self, case: &str, body: &str, visibility: Visibility) -> String {
        match visibility {
            Visibility::Public => self.jira.comment(case, "Jane Roe", body).unwrap(),
            Visibility::Internal => self.jira.internal_comment(case, "Jane Roe", body).unwrap(),
        }
    }

    async fn person_attaches(&self, case: &str, filename: &str, content: &[u8]) -> String {
        self.jira.attach(case, "Jane Roe", filename, "image/png", content.to_vec()).unwrap()
    }

    async fn person_flags(&self, case: &str, flagged: bool) {
        self.jira.set_flag(case, flagged).unwrap();
    }

    async fn person_sets_priority(&self, case: &str, priority: Priority) {
        self.jira.set_priority(case, usual_words().word(priority)).unwrap();
    }

    async fn person_closes(&self, case: &str) {
        self.jira.transition(case, "Done").unwrap();
    }

    async fn person_deletes(&self, case: &str) {
        self.jira.delete_issue(case).unwrap();
    }

    async fn kept(&self, _case: &str, attachment: &str) -> Option<Vec<u8>> {
        self.jira.attachment_bytes(attachment)
    }

    async fn interpreted(&self, case: &str) -> Vec<String> {
        let issue = self.jira.issue(case).unwrap();
        let texts = issue.comments.into_iter().map(|comment| comment.body).chain(issue.description);
        texts.flat_map(|text| interpreted(&text)).collect()
    }
}

/// What Jira would not show as it was typed; within an address it looks for nothing.
fn interpreted(text: &str) -> Vec<String> {
    would_render(text)
        .into_iter()
        .filter(|markup| markup.kind != MarkupKind::BareAddress && !text.contains("://"))
        .map(|markup| format!("{:?} in {text:?}", markup.kind))
        .collect()
}
