//! Sandbox Zendesk, and the people who work with it.

use std::sync::Arc;

use async_trait::async_trait;
use casebridge::cases::{Placement, Visibility};
use casebridge::clock::{ManualClock, SharedClock};
use casebridge::crm::PriorityWords;
use casebridge::crm::zendesk::{Zendesk, ZendeskSettings, text};
use casebridge::entities::Priority;
use casebridge::sandbox::faults::Faults;
use casebridge::sandbox::zendesk::{
    NewTicket, ROOT_CAUSE_FIELD, SandboxZendesk, SandboxZendeskAuth, SandboxZendeskSettings, TicketView,
};
use casebridge::sync::{CompanyConditions, Pattern};
use chrono::{DateTime, Duration, Utc};

use super::crm::{Company, Crm, Description, Setup, Turns};
use super::desk::{Call, CaseView, CommentView, Desk, FileView, NewCompanyCase};
use super::{serve, upstream};

/// Zendesk Support, with its usual limits.
pub struct ZendeskKind;

#[async_trait]
impl Crm for ZendeskKind {
    async fn description(&self) -> Description {
        let clock: SharedClock = ManualClock::at(DateTime::<Utc>::UNIX_EPOCH);
        let company = self.open(&clock, &Setup::default()).await;
        Description {
            name: "Zendesk",
            capabilities: company.system.capabilities().clone(),
            same_priority: |one, other| words().word(one) == words().word(other),
            // Zendesk limits the updates of a ticket in ten minutes; further ones wait for the next ten.
            takes_file_name: |_| true,
            patience: Duration::minutes(30),
            clock_in_hand: true,
            faults: true,
            setups: true,
            hiding: true,
            // "closed" is final: the ticket accepts no further change.
            sealed_takes_comments: false,
            deleting_comments: false,
            deleting_files: true,
            remote_link: None,
            labels: true,
            marks: false,
            // One of the account's own statuses among system statuses.
            turns: Turns {
                first: "New",
                google: "Waiting for Google",
                ours: "Open",
                nowhere: "Waiting for the vendor",
                closed: "Solved",
            },
        }
    }

    async fn open(&self, clock: &SharedClock, setup: &Setup) -> Company {
        ZendeskDesk::start(clock, SandboxZendeskSettings::default(), setup).await.1
    }
}

/// Returns four words for five levels.
fn words() -> PriorityWords {
    PriorityWords::new(["urgent", "high", "normal", "low", "low"].map(str::to_owned)).unwrap()
}

/// People who work with a sandbox Zendesk.
pub struct ZendeskDesk {
    zendesk: SandboxZendesk,
}

impl ZendeskDesk {
    /// Starts a sandbox Zendesk with its content host, and an adapter in front of it.
    pub async fn start(
        clock: &SharedClock,
        settings: SandboxZendeskSettings,
        setup: &Setup,
    ) -> (SandboxZendesk, Company) {
        let mut settings = settings;
        let mut ours = ZendeskSettings {
            google_state_field: setup.state_field.then(|| "Google state".to_owned()),
            ..ZendeskSettings::default()
        };
        if let Some(limit) = setup.attachment_limit {
            settings.attachment_limit = limit;
            ours.attachment_limit_mib = limit.div_ceil(1024 * 1024);
        }
        if let Some(client) = &setup.tokens {
            settings.auth = SandboxZendeskAuth::OauthClient(client.clone());
        }
        (ours.client_id, ours.client_secret) = setup.client();
        let zendesk = SandboxZendesk::new(clock.clone(), settings);
        let address = serve(zendesk.router()).await;
        // Faults of Zendesk apply to its content host as well.
        let content = zendesk.faults().wrap(zendesk.content_router(), |_, _| String::new());
        let content_address = serve(content).await;
        zendesk.set_content_base(&format!("http://{content_address}"));
        let credentials = setup.credentials(&ours, address);
        let hosts = vec![content_address.to_string()];
        let upstream = upstream("Zendesk", address, hosts, setup.timeout, clock, credentials);
        let system = Arc::new(Zendesk::new(ours, words(), upstream, clock.clone()));
        let desk = Arc::new(Self { zendesk: zendesk.clone() });
        (zendesk, Company { desk, system })
    }

    fn view(ticket: TicketView) -> CaseView {
        let files = ticket.comments.iter().flat_map(|comment| {
            comment.attachments.iter().map(|file| FileView {
                id: file.id.clone(),
                name: file.file_name.clone(),
                visibility: visibility(comment.public),
                by_connector: comment.author == "Casebridge",
            })
        });
        let first = ticket.comments.first().map(|first| (first.author.clone(), first.html.clone()));
        let said = ticket.comments.iter().skip(1).filter(|comment| comment.attachments.is_empty());
        let said = said.map(|comment| {
            let by_connector = comment.author == "Casebridge";
            CommentView {
                id: comment.id.clone(),
                text: if by_connector {
                    text::decode(&comment.html)
                } else {
                    // Zendesk's plain text writes a hard space like this, so it cannot be told from the same text typed by a person.
                    text::readable(&comment.html, &comment.text.replace("&nbsp;", " "))
                },
                visibility: visibility(comment.public),
                by_connector,
            }
        });
        CaseView {
            files: files.collect(),
            // A comment of which the file was removed still has this text.
            comments: said
                .filter(|comment| !comment.text.starts_with("[File copied by casebridge]"))
                .collect(),
            id: ticket.id,
            title: text::join(&ticket.subject),
            description: match first {
                Some((author, html)) if author != "Casebridge" => text::readable(&html, &ticket.description),
                Some(_) | None => text::join(&ticket.description),
            },
            priority: words().read(ticket.priority.as_deref()),
            state: ticket.status,
            closed: ticket.closed,
            flagged: ticket.flagged,
            google_name: ticket.google_name,
        }
    }
}

fn visibility(public: bool) -> Visibility {
    if public { Visibility::Public } else { Visibility::Internal }
}

/// Reports if a comment's HTML has a placeholder, or a tag other than line ends and the frame. A placeholder that was replaced already is
/// not found; a comparison of the texts finds it.
pub fn is_interpreted(html: &str) -> bool {
    let inner = html
        .strip_prefix("<div class=\"zd-comment\" dir=\"auto\">")
        .and_then(|html| html.strip_suffix("</div>"))
        .unwrap_or(html);
    let rest = inner.replace("<br>", "");
    rest.contains('<') || rest.contains("{{") || rest.contains("{%")
}

#[async_trait]
impl Desk for ZendeskDesk {
    async fn opens(&self, case: NewCompanyCase) -> String {
        let ticket = NewTicket {
            description: case.description,
            priority: Some(words().word(case.priority).to_owned()),
            flagged: case.flagged,
            google_name: case.google_name,
            ..NewTicket::new(&case.title)
        };
        self.zendesk.create_ticket(ticket).unwrap()
    }

    async fn says(&self, case: &str, text: &str, visibility: Visibility) -> String {
        match visibility {
            Visibility::Public => self.zendesk.comment(case, "Jane Roe", text).unwrap(),
            Visibility::Internal => self.zendesk.internal_comment(case, "Jane Roe", text).unwrap(),
        }
    }

    async fn attaches(
        &self,
        case: &str,
        name: &str,
        media_type: &str,
        bytes: &[u8],
        visibility: Visibility,
    ) -> String {
        let public = visibility == Visibility::Public;
        self.zendesk.attach_with(case, "Jane Roe", name, media_type, bytes.to_vec(), "", public).unwrap()
    }

    async fn flags(&self, case: &str, on: bool) {
        self.zendesk.set_flag(case, on).unwrap();
    }

    async fn sets_priority(&self, case: &str, priority: Priority) {
        self.zendesk.set_priority(case, Some(words().word(priority))).unwrap();
    }

    async fn retitles(&self, case: &str, title: &str) {
        self.zendesk.set_subject(case, title).unwrap();
    }

    async fn closes(&self, case: &str) {
        self.zendesk.set_status(case, "solved").unwrap();
    }

    /// Seals the ticket: Zendesk's other closed state is the final one.
    async fn abandons(&self, case: &str) {
        self.seals(case).await;
    }

    async fn reopens(&self, case: &str) {
        self.zendesk.set_status(case, "open").unwrap();
    }

    /// Closes the ticket, as an automation does with solved tickets after a while.
    async fn seals(&self, case: &str) {
        self.zendesk.set_status(case, "closed").unwrap();
    }

    async fn sets_google_name(&self, case: &str, name: Option<&str>) {
        self.zendesk.set_google_name(case, name).unwrap();
    }

    async fn deletes(&self, case: &str) {
        self.zendesk.delete_ticket(case).unwrap();
    }

    async fn hides(&self, case: &str, hidden: bool) {
        self.zendesk.set_visible(case, !hidden).unwrap();
    }

    async fn deletes_comment(&self, _case: &str, _comment: &str) {
        panic!("a scenario that does this needs DeletingComments");
    }

    async fn deletes_file(&self, _case: &str, file: &str) {
        self.zendesk.redact_attachment(file).unwrap();
    }

    async fn case(&self, id: &str) -> Option<CaseView> {
        self.zendesk.ticket(id).map(Self::view)
    }

    async fn cases(&self) -> Vec<CaseView> {
        self.zendesk.tickets().into_iter().map(Self::view).collect()
    }

    async fn content(&self, file: &str) -> Option<Vec<u8>> {
        self.zendesk.attachment_bytes(file)
    }

    async fn interpreted(&self, case: &str) -> Vec<String> {
        let ticket = self.zendesk.ticket(case).unwrap();
        let ours = ticket.comments.into_iter().filter(|comment| comment.author == "Casebridge");
        ours.map(|comment| comment.html).filter(|html| is_interpreted(html)).collect()
    }

    async fn sets_status(&self, case: &str, status: &str) {
        self.zendesk.set_custom_status(case, status).unwrap();
    }

    async fn status(&self, case: &str) -> String {
        self.zendesk.ticket(case).unwrap().status_label
    }

    async fn state_text(&self, case: &str) -> String {
        self.zendesk.ticket(case).unwrap().google_state.unwrap_or_default()
    }

    fn placement(&self) -> Placement {
        Placement {
            issue_type: Some("incident".to_owned()),
            labels: vec!["gcp".to_owned(), "shop".to_owned()],
            group: Some("360000000101".to_owned()),
            ..Placement::default()
        }
    }

    fn misplaced(&self) -> Vec<(Placement, &'static str)> {
        let text = |text: &str| Some(text.to_owned());
        vec![
            (Placement { group: text("7"), ..Placement::default() }, "360000000101 (Cloud)"),
            (Placement { request_type: text("7"), ..Placement::default() }, "360000000103 (Default)"),
            (Placement { assignee: text("7"), ..Placement::default() }, "no user 7"),
            (
                Placement { fields: [("7".to_owned(), true.into())].into(), ..Placement::default() },
                "no ticket field 7",
            ),
        ]
    }

    async fn placed(&self, case: &str) -> Placement {
        let ticket = self.zendesk.ticket(case).unwrap();
        Placement {
            issue_type: ticket.kind,
            // The others are those of the configuration.
            labels: ticket.tags.into_iter().filter(|tag| tag != "google_cloud").collect(),
            group: ticket.group.map(|group| group.to_string()),
            ..Placement::default()
        }
    }

    fn conditions(&self) -> CompanyConditions {
        CompanyConditions {
            project: vec![Pattern::new("Example")],
            label: vec![Pattern::new("shop*")],
            ..CompanyConditions::default()
        }
    }

    async fn marks(&self, case: &str) {
        self.zendesk.set_tags(case, &["shop_prod"]).unwrap();
    }

    fn misnamed(&self) -> Vec<(CompanyConditions, &'static str)> {
        let one = |text: &str| vec![Pattern::new(text)];
        let usual = CompanyConditions::default;
        vec![
            (CompanyConditions { project: one("Nope"), ..usual() }, "Example"),
            (CompanyConditions { component: one("Nope"), ..usual() }, "Cloud, Network"),
            (CompanyConditions { issue_type: one("Bug"), ..usual() }, "incident, problem, question, task"),
            (CompanyConditions { fields: [("7".to_owned(), one("x"))].into(), ..usual() }, "(Root cause)"),
        ]
    }

    async fn text_field(&self) -> String {
        ROOT_CAUSE_FIELD.to_string()
    }

    async fn writes_field(&self, case: &str, text: &str) {
        self.zendesk.set_text(case, ROOT_CAUSE_FIELD, Some(text)).unwrap();
    }

    async fn follows(&self, case: &str, address: &str, on: bool) {
        self.zendesk.copy_to(case, (address, address), on).unwrap();
    }

    async fn labels(&self, case: &str) -> Vec<String> {
        self.zendesk.ticket(case).unwrap().tags
    }

    async fn relabels(&self, case: &str, label: &str, on: bool) {
        let tags = self.zendesk.ticket(case).unwrap().tags;
        let others = tags.iter().map(String::as_str).filter(|own| *own != label);
        let tags: Vec<&str> = others.chain(on.then_some(label)).collect();
        self.zendesk.set_tags(case, &tags).unwrap();
    }

    fn faults(&self) -> Option<&Faults> {
        Some(self.zendesk.faults())
    }

    fn calls(&self, call: Call) -> (&'static str, &'static str) {
        match call {
            Call::Create => ("POST", "/tickets"),
            Call::Comment | Call::Attach | Call::Close => ("PUT", "/tickets/"),
            // Removing one is a DELETE.
            Call::Label => ("PUT", "/tags"),
            Call::Link | Call::Mark => panic!("Zendesk has no such call"),
            Call::Search => ("GET", "/search"),
            Call::Download => ("GET", "/attachment/"),
        }
    }
}
