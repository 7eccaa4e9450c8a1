//! Sandbox Jira, and the people who work with it.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use casebridge::cases::markers::COMPANY_DESCRIPTION_HEADER;
use casebridge::cases::{LinkDetail, Placement, Visibility};
use casebridge::clock::{ManualClock, SharedClock};
use casebridge::crm::PriorityWords;
use casebridge::crm::jira::readable::{self, Backslash, Names};
use casebridge::crm::jira::{Jira, JiraSettings, markup};
use casebridge::entities::Priority;
use casebridge::sandbox::faults::Faults;
use casebridge::sandbox::jira::{
    GOOGLE_STATE_FIELD, IssueView, MarkupKind, NewIssue, RemoteLinkView, SandboxJira, SandboxJiraAuth,
    SandboxJiraSettings, would_render,
};
use casebridge::sync::{CompanyConditions, Pattern};
use chrono::{DateTime, Duration, Utc};

use super::crm::{Company, Crm, Description, Setup, Turns};
use super::desk::{Call, CaseView, CommentView, Desk, FileView, NewCompanyCase, ShownLink};
use super::{serve, upstream};

/// Service management project of Jira Cloud: the kind with all features.
pub struct JiraKind;

#[async_trait]
impl Crm for JiraKind {
    async fn description(&self) -> Description {
        // The adapter learns from a call if the projects have internal comments. An empty Jira is enough for that.
        let clock: SharedClock = ManualClock::at(DateTime::<Utc>::UNIX_EPOCH);
        let company = self.open(&clock, &Setup::default()).await;
        company.system.search_updated(DateTime::<Utc>::UNIX_EPOCH).await.unwrap();
        describe(company.system.capabilities().clone())
    }

    async fn open(&self, clock: &SharedClock, setup: &Setup) -> Company {
        let usual = SandboxJiraSettings {
            service_management: true,
            limits_writes: true,
            ..SandboxJiraSettings::default()
        };
        let settings = SandboxJiraSettings {
            attachment_limit: setup.attachment_limit.unwrap_or(usual.attachment_limit),
            can_reopen: !setup.closing_is_final,
            ..usual
        };
        let ours = JiraSettings {
            project: "SUP".to_owned(),
            google_state_field: setup.state_field.then(|| "Google state".to_owned()),
            ..JiraSettings::default()
        };
        JiraDesk::start(clock, settings, ours, setup).await.1
    }
}

/// Returns the properties of every sandbox Jira.
pub fn describe(capabilities: casebridge::cases::Capabilities) -> Description {
    Description {
        name: "Jira",
        capabilities,
        same_priority: |one, other| one == other,
        takes_file_name: |_| true,
        patience: Duration::zero(),
        clock_in_hand: true,
        faults: true,
        setups: true,
        hiding: true,
        sealed_takes_comments: true,
        deleting_comments: true,
        deleting_files: true,
        remote_link: Some(LinkDetail::Whole),
        labels: true,
        marks: true,
        turns: Turns {
            first: "To Do",
            google: "In Progress",
            ours: "Waiting for customer",
            nowhere: "With vendor",
            closed: "Done",
        },
    }
}

fn words() -> PriorityWords {
    PriorityWords::new(["Highest", "High", "Medium", "Low", "Lowest"].map(str::to_owned)).unwrap()
}

/// People who work with a sandbox Jira.
pub struct JiraDesk {
    pub jira: SandboxJira,
}

impl JiraDesk {
    /// Starts a sandbox Jira with its media host, and an adapter in front of it.
    pub async fn start(
        clock: &SharedClock,
        settings: SandboxJiraSettings,
        ours: JiraSettings,
        setup: &Setup,
    ) -> (SandboxJira, Company) {
        let (mut settings, mut ours) = (settings, ours);
        if let Some(client) = &setup.tokens {
            settings.auth = SandboxJiraAuth::OauthClient(client.clone());
        }
        let jira = SandboxJira::new(clock.clone(), settings);
        let address = serve(jira.router()).await;
        (ours.client_id, ours.client_secret) = setup.client();
        ours.token_url = Some(format!("http://{address}/oauth/token"));
        ours.gateway_url = format!("http://{address}/ex/jira");
        // Faults of Jira apply to its media host as well.
        let media = jira.faults().wrap(jira.media_router(), |_, _| String::new());
        let media_address: SocketAddr = serve(media).await;
        jira.set_media_base(&format!("http://{media_address}"));
        let credentials = setup.credentials(&ours, address);
        let hosts = vec![media_address.to_string()];
        let upstream = upstream("Jira", address, hosts, setup.timeout, clock, credentials);
        let system = Arc::new(Jira::new(ours, words(), upstream, clock.clone()));
        (jira.clone(), Company { desk: Arc::new(Self { jira }), system })
    }
}

/// Reads a person's text: what it becomes stands in `docs/text.md`.
fn read(wiki: &str) -> String {
    readable::to_text(wiki, Backslash::OfJira, &Names::new())
}

fn view(issue: IssueView) -> CaseView {
    CaseView {
        title: issue.summary,
        description: {
            let description = issue.description.unwrap_or_default();
            let is_copy = description.starts_with(COMPANY_DESCRIPTION_HEADER);
            if is_copy { markup::unescape(&description) } else { read(&description) }
        },
        priority: words().read(Some(&issue.priority)),
        state: issue.status,
        closed: issue.closed,
        flagged: issue.flagged,
        google_name: issue.google_name,
        comments: issue
            .comments
            .into_iter()
            .map(|comment| {
                let by_connector = comment.author == "Casebridge";
                CommentView {
                    id: comment.id,
                    text: if by_connector { markup::unescape(&comment.body) } else { read(&comment.body) },
                    visibility: if comment.internal { Visibility::Internal } else { Visibility::Public },
                    by_connector,
                }
            })
            .collect(),
        files: issue
            .attachments
            .into_iter()
            .map(|file| FileView {
                id: file.id,
                name: file.file_name,
                visibility: Visibility::Public,
                by_connector: file.author == "Casebridge",
            })
            .collect(),
        id: issue.id,
    }
}

/// Returns the markup that Jira would render in a text. Nothing in a web address that stands between blanks is reported.
pub fn interpreted(text: &str) -> Vec<String> {
    let mut rest = text;
    let mut without_addresses = String::new();
    while let Some(at) = rest.find("http") {
        let alone = rest[..at].chars().next_back().is_none_or(char::is_whitespace);
        let address = rest[at..].split(char::is_whitespace).next().unwrap_or_default();
        let skipped = if alone && address.contains("://") { address.len() } else { "http".len() };
        without_addresses.push_str(&rest[..at]);
        without_addresses.push_str("http");
        rest = &rest[at + skipped..];
    }
    without_addresses.push_str(rest);
    would_render(&without_addresses)
        .into_iter()
        .filter(|markup| markup.kind != MarkupKind::BareAddress)
        .map(|markup| format!("{:?} in {text:?}", markup.kind))
        .collect()
}

#[async_trait]
impl Desk for JiraDesk {
    async fn opens(&self, case: NewCompanyCase) -> String {
        let issue = NewIssue {
            description: Some(case.description),
            priority: words().word(case.priority).to_owned(),
            flagged: case.flagged,
            google_name: case.google_name,
            ..NewIssue::new(&case.title)
        };
        self.jira.create_issue(issue).unwrap()
    }

    async fn says(&self, case: &str, text: &str, visibility: Visibility) -> String {
        match visibility {
            Visibility::Public => self.jira.comment(case, "Jane Roe", text).unwrap(),
            Visibility::Internal => self.jira.internal_comment(case, "Jane Roe", text).unwrap(),
        }
    }

    async fn attaches(
        &self,
        case: &str,
        name: &str,
        media_type: &str,
        bytes: &[u8],
        _visibility: Visibility,
    ) -> String {
        self.jira.attach(case, "Jane Roe", name, media_type, bytes.to_vec()).unwrap()
    }

    async fn flags(&self, case: &str, on: bool) {
        self.jira.set_flag(case, on).unwrap();
    }

    async fn sets_priority(&self, case: &str, priority: Priority) {
        self.jira.set_priority(case, words().word(priority)).unwrap();
    }

    async fn retitles(&self, case: &str, title: &str) {
        self.jira.set_summary(case, title).unwrap();
    }

    async fn closes(&self, case: &str) {
        self.jira.transition(case, "Done").unwrap();
    }

    async fn abandons(&self, case: &str) {
        self.jira.transition(case, "Cancel").unwrap();
    }

    async fn reopens(&self, case: &str) {
        self.jira.transition(case, "Reopen Issue").unwrap();
    }

    /// Does nothing: the workflow has no way back, see [`Setup::closing_is_final`].
    async fn seals(&self, _case: &str) {}

    async fn sets_google_name(&self, case: &str, name: Option<&str>) {
        self.jira.set_google_name(case, name).unwrap();
    }

    async fn deletes(&self, case: &str) {
        self.jira.delete_issue(case).unwrap();
    }

    async fn hides(&self, case: &str, hidden: bool) {
        self.jira.set_visible(case, !hidden).unwrap();
    }

    async fn edits_comment(&self, case: &str, comment: &str, text: &str, visibility: Visibility) {
        let internal = visibility == Visibility::Internal;
        self.jira.edit_comment_and_visibility(case, comment, text, internal).unwrap();
    }

    async fn deletes_comment(&self, case: &str, comment: &str) {
        self.jira.delete_comment(case, comment).unwrap();
    }

    async fn deletes_file(&self, _case: &str, file: &str) {
        self.jira.delete_attachment(file).unwrap();
    }

    async fn case(&self, id: &str) -> Option<CaseView> {
        self.jira.issue(id).map(view)
    }

    async fn cases(&self) -> Vec<CaseView> {
        self.jira.issues().into_iter().map(view).collect()
    }

    async fn content(&self, file: &str) -> Option<Vec<u8>> {
        self.jira.attachment_bytes(file)
    }

    async fn interpreted(&self, case: &str) -> Vec<String> {
        let issue = self.jira.issue(case).unwrap();
        let ours = issue.comments.into_iter().filter(|comment| comment.author == "Casebridge");
        let description = issue.description.filter(|_| issue.reporter == "Casebridge");
        let texts = ours.map(|comment| comment.body).chain(description);
        texts.flat_map(|text| interpreted(&text)).collect()
    }

    async fn sets_status(&self, case: &str, status: &str) {
        let way = match status {
            "To Do" => "Back to To Do",
            "In Progress" => "Start Progress",
            "Waiting for customer" => "Respond to customer",
            other => panic!("no way to {other}"),
        };
        self.jira.transition(case, way).unwrap();
    }

    async fn status(&self, case: &str) -> String {
        self.jira.issue(case).unwrap().status
    }

    async fn state_text(&self, case: &str) -> String {
        let fields = self.jira.issue(case).unwrap().other_fields;
        fields.get(GOOGLE_STATE_FIELD).and_then(|text| text.as_str()).unwrap_or_default().to_owned()
    }

    fn placement(&self) -> Placement {
        Placement {
            project: Some("OPS".to_owned()),
            issue_type: Some("Support".to_owned()),
            component: Some("Network".to_owned()),
            labels: vec!["gcp".to_owned(), "shop".to_owned()],
            ..Placement::default()
        }
    }

    fn misplaced(&self) -> Vec<(Placement, &'static str)> {
        let text = |text: &str| Some(text.to_owned());
        vec![
            (Placement { project: text("NOPE"), ..Placement::default() }, "SUP, OPS"),
            (Placement { issue_type: text("Epic"), ..Placement::default() }, "Task, Bug, Support"),
            (Placement { component: text("Netwrk"), ..Placement::default() }, "Network"),
            (Placement { request_type: text("99"), ..Placement::default() }, "\"25\" (Get IT help)"),
            (Placement { request_type: text("26"), ..Placement::default() }, "the issue type Support"),
            (Placement { assignee: text("nobody"), ..Placement::default() }, "account ID"),
            (
                Placement { fields: [("Imapct".to_owned(), true.into())].into(), ..Placement::default() },
                "no field",
            ),
        ]
    }

    async fn placed(&self, case: &str) -> Placement {
        let issue = self.jira.issue(case).unwrap();
        Placement {
            project: issue.key.split_once('-').map(|(project, _)| project.to_owned()),
            issue_type: Some(issue.issue_type),
            component: issue.components.first().cloned(),
            labels: issue.labels,
            ..Placement::default()
        }
    }

    fn conditions(&self) -> CompanyConditions {
        CompanyConditions {
            project: vec![Pattern::new("SUP")],
            issue_type: vec![Pattern::new("Support")],
            label: vec![Pattern::new("shop*")],
            ..CompanyConditions::default()
        }
    }

    async fn marks(&self, case: &str) {
        self.jira.set_issue_type(case, "Support").unwrap();
        self.jira.set_labels(case, &["gcp", "shop-prod"]).unwrap();
    }

    fn misnamed(&self) -> Vec<(CompanyConditions, &'static str)> {
        let one = |text: &str| vec![Pattern::new(text)];
        let usual = CompanyConditions::default;
        vec![
            (CompanyConditions { project: one("NOPE"), ..usual() }, "OPS, SUP"),
            (CompanyConditions { issue_type: one("Epic"), ..usual() }, "Bug, Support, Task"),
            (CompanyConditions { component: one("Netwrk"), ..usual() }, "Billing, Google Cloud, Network"),
            (CompanyConditions { fields: [("Imapct".to_owned(), one("x"))].into(), ..usual() }, "Imapct"),
        ]
    }

    async fn text_field(&self) -> String {
        self.jira.add_text_field("Google project").unwrap();
        "google project".to_owned()
    }

    async fn writes_field(&self, case: &str, text: &str) {
        let field = self.jira.add_text_field("Google project").unwrap();
        self.jira.set_text(case, &field, Some(text)).unwrap();
    }

    async fn follows(&self, case: &str, address: &str, on: bool) {
        self.jira.show_email(address, address).unwrap();
        self.jira.watch(case, address, on).unwrap();
    }

    async fn links(&self, case: &str) -> Vec<ShownLink> {
        let links = self.jira.issue(case).unwrap().remote_links.into_iter();
        let shown = |link: RemoteLinkView| ShownLink {
            target: link.url,
            title: Some(link.title),
            closed: link.resolved,
        };
        links.map(shown).collect()
    }

    async fn labels(&self, case: &str) -> Vec<String> {
        self.jira.issue(case).unwrap().labels
    }

    async fn relabels(&self, case: &str, label: &str, on: bool) {
        let labels = self.jira.issue(case).unwrap().labels;
        let others = labels.iter().map(String::as_str).filter(|own| *own != label);
        let labels: Vec<&str> = others.chain(on.then_some(label)).collect();
        self.jira.set_labels(case, &labels).unwrap();
    }

    async fn carried_mark(&self, case: &str, comment: &str) -> Option<String> {
        let comments = self.jira.issue(case).unwrap().comments;
        let comment = comments.into_iter().find(|own| own.id == comment).unwrap();
        comment.properties.get("casebridge.carried").map(ToString::to_string)
    }

    fn faults(&self) -> Option<&Faults> {
        Some(self.jira.faults())
    }

    fn calls(&self, call: Call) -> (&'static str, &'static str) {
        match call {
            Call::Create => ("POST", "/issue"),
            Call::Comment => ("POST", "/comment"),
            Call::Attach => ("POST", "/attachments"),
            Call::Close => ("POST", "/transitions"),
            Call::Link => ("POST", "/remotelink"),
            Call::Label => ("PUT", "/issue/"),
            Call::Mark => ("PUT", "/properties/"),
            Call::Search => ("GET", "/search"),
            Call::Download => ("GET", "/file/"),
        }
    }
}
