//! Sandbox ServiceNow, and the people who work with it.

use std::sync::Arc;

use async_trait::async_trait;
use casebridge::cases::{LinkDetail, Placement, Visibility};
use casebridge::clock::{ManualClock, SharedClock};
use casebridge::crm::PriorityWords;
use casebridge::crm::servicenow::{ServiceNow, ServiceNowSettings, text};
use casebridge::entities::Priority;
use casebridge::sandbox::faults::Faults;
use casebridge::sandbox::servicenow::{
    EntryView, GOOGLE_STATE_COLUMN, NewRecord, RecordView, SandboxServiceNow, SandboxServiceNowAuth,
    SandboxServiceNowSettings,
};
use casebridge::sync::{CompanyConditions, Pattern};
use chrono::{DateTime, Duration, Utc};
use serde_json::json;

use super::crm::{Company, Crm, Description, Setup, Turns};
use super::desk::{Call, CaseView, CommentView, Desk, FileView, NewCompanyCase, ShownLink};
use super::{serve, upstream};

/// Name of the connector's user.
const CONNECTOR: &str = "Casebridge";

/// ServiceNow, with incidents as the cases.
pub struct ServiceNowKind;

#[async_trait]
impl Crm for ServiceNowKind {
    async fn description(&self) -> Description {
        let clock: SharedClock = ManualClock::at(DateTime::<Utc>::UNIX_EPOCH);
        let company = self.open(&clock, &Setup::default()).await;
        Description {
            name: "ServiceNow",
            capabilities: company.system.capabilities().clone(),
            same_priority: |one, other| one == other,
            takes_file_name: |_| true,
            patience: Duration::zero(),
            clock_in_hand: true,
            faults: true,
            setups: true,
            hiding: true,
            // "Closed" is final: the record accepts no further change.
            sealed_takes_comments: false,
            deleting_comments: false,
            deleting_files: true,
            remote_link: Some(LinkDetail::Address),
            labels: false,
            marks: false,
            // Labels, which the adapter looks up.
            turns: Turns {
                first: "New",
                google: "In Progress",
                ours: "On Hold",
                nowhere: "Awaiting Vendor",
                closed: "Resolved",
            },
        }
    }

    async fn open(&self, clock: &SharedClock, setup: &Setup) -> Company {
        ServiceNowDesk::start(clock, SandboxServiceNowSettings::default(), setup).await.1
    }
}

/// Returns ServiceNow's own five priorities.
pub fn words() -> PriorityWords {
    PriorityWords::new(["1", "2", "3", "4", "5"].map(str::to_owned)).unwrap()
}

/// People who work with a sandbox ServiceNow.
pub struct ServiceNowDesk {
    servicenow: SandboxServiceNow,
}

impl ServiceNowDesk {
    /// Starts a sandbox ServiceNow, and an adapter in front of it.
    pub async fn start(
        clock: &SharedClock,
        settings: SandboxServiceNowSettings,
        setup: &Setup,
    ) -> (SandboxServiceNow, Company) {
        let mut settings = settings;
        let mut ours = ServiceNowSettings {
            google_state_field: setup.state_field.then(|| GOOGLE_STATE_COLUMN.to_owned()),
            ..ServiceNowSettings::default()
        };
        if let Some(limit) = setup.attachment_limit {
            settings.attachment_limit = limit;
            ours.attachment_limit_mib = limit.div_ceil(1024 * 1024);
        }
        if let Some(client) = &setup.tokens {
            settings.auth = SandboxServiceNowAuth::OauthClient(client.clone());
        }
        (ours.client_id, ours.client_secret) = setup.client();
        let servicenow = SandboxServiceNow::new(clock.clone(), settings);
        let address = serve(servicenow.router()).await;
        let credentials = setup.credentials(&ours, address);
        let upstream = upstream("ServiceNow", address, Vec::new(), setup.timeout, clock, credentials);
        let system = Arc::new(ServiceNow::new(ours, words(), upstream, clock.clone()));
        let desk = Arc::new(Self { servicenow: servicenow.clone() });
        (servicenow, Company { desk, system })
    }

    fn view(record: RecordView) -> CaseView {
        let said = record.journal.into_iter().map(|entry| {
            let by_connector = entry.author == CONNECTOR;
            CommentView {
                id: entry.id,
                text: if by_connector { text::decode(&entry.text) } else { text::readable(&entry.text) },
                visibility: if entry.public { Visibility::Public } else { Visibility::Internal },
                by_connector,
            }
        });
        let files = record.attachments.into_iter().map(|file| FileView {
            id: file.id,
            name: file.file_name,
            visibility: Visibility::Public,
            by_connector: file.author == CONNECTOR,
        });
        CaseView {
            comments: said.collect(),
            files: files.collect(),
            id: record.id,
            title: record.short_description,
            description: record.description,
            priority: words().read(Some(&record.priority)),
            state: record.state_label,
            closed: record.closed,
            flagged: record.flagged,
            google_name: record.google_name,
        }
    }
}

/// Returns the connector's journal entries whose HTML differs from the escaped text.
pub fn interpreted(journal: &[EntryView]) -> Vec<String> {
    let escaped = |text: &str| {
        text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
    };
    let ours = journal.iter().filter(|entry| entry.author == CONNECTOR);
    ours.filter(|entry| entry.html != escaped(&entry.text)).map(|entry| entry.html.clone()).collect()
}

#[async_trait]
impl Desk for ServiceNowDesk {
    async fn opens(&self, case: NewCompanyCase) -> String {
        let record = NewRecord {
            description: case.description,
            flagged: case.flagged,
            google_name: case.google_name,
            ..NewRecord::new(&case.title)
        };
        let id = self.servicenow.create_record(&record).unwrap();
        self.servicenow.set_priority(&id, words().word(case.priority)).unwrap();
        id
    }

    async fn says(&self, case: &str, text: &str, visibility: Visibility) -> String {
        match visibility {
            Visibility::Public => self.servicenow.comment(case, "Jane Roe", text).unwrap(),
            Visibility::Internal => self.servicenow.work_note(case, "Jane Roe", text).unwrap(),
        }
    }

    /// Returns false: times are whole seconds, and IDs show no order.
    fn keeps_order_within_a_second(&self) -> bool {
        false
    }

    async fn attaches(
        &self,
        case: &str,
        name: &str,
        media_type: &str,
        bytes: &[u8],
        _visibility: Visibility,
    ) -> String {
        self.servicenow.attach(case, "Jane Roe", name, media_type, bytes.to_vec()).unwrap()
    }

    async fn flags(&self, case: &str, on: bool) {
        self.servicenow.set_flag(case, on).unwrap();
    }

    async fn sets_priority(&self, case: &str, priority: Priority) {
        self.servicenow.set_priority(case, words().word(priority)).unwrap();
    }

    async fn retitles(&self, case: &str, title: &str) {
        self.servicenow.set_short_description(case, title).unwrap();
    }

    async fn closes(&self, case: &str) {
        self.servicenow.resolve(case).unwrap();
    }

    async fn abandons(&self, case: &str) {
        self.servicenow.set_state(case, "8").unwrap();
    }

    async fn reopens(&self, case: &str) {
        self.servicenow.reopen(case).unwrap();
    }

    /// Closes the record, as a job does with resolved incidents after a while.
    async fn seals(&self, case: &str) {
        self.servicenow.close(case).unwrap();
    }

    async fn sets_google_name(&self, case: &str, name: Option<&str>) {
        self.servicenow.set_google_name(case, name).unwrap();
    }

    async fn deletes(&self, case: &str) {
        self.servicenow.delete_record(case).unwrap();
    }

    /// Hides a case as a query rule or another domain does, which no answer shows. A case that an access rule hides is counted, and makes a
    /// search fail by itself.
    async fn hides(&self, case: &str, hidden: bool) {
        self.servicenow.set_left_out(case, hidden).unwrap();
    }

    async fn deletes_comment(&self, _case: &str, _comment: &str) {
        panic!("a scenario that does this needs DeletingComments");
    }

    async fn deletes_file(&self, _case: &str, file: &str) {
        self.servicenow.delete_attachment(file).unwrap();
    }

    async fn case(&self, id: &str) -> Option<CaseView> {
        self.servicenow.record(id).map(Self::view)
    }

    async fn cases(&self) -> Vec<CaseView> {
        self.servicenow.records().into_iter().map(Self::view).collect()
    }

    async fn content(&self, file: &str) -> Option<Vec<u8>> {
        self.servicenow.attachment_bytes(file)
    }

    async fn interpreted(&self, case: &str) -> Vec<String> {
        interpreted(&self.servicenow.record(case).unwrap().journal)
    }

    async fn sets_status(&self, case: &str, status: &str) {
        let value = match status {
            "New" => "1",
            "In Progress" => "2",
            "On Hold" => "3",
            other => panic!("there is no state {other}"),
        };
        self.servicenow.set_state(case, value).unwrap();
    }

    async fn status(&self, case: &str) -> String {
        self.servicenow.record(case).unwrap().state_label
    }

    async fn state_text(&self, case: &str) -> String {
        self.servicenow.record(case).unwrap().google_state
    }

    fn placement(&self) -> Placement {
        Placement {
            // The connector's own user.
            assignee: Some("6816f79cc0a8016401c5a33be04be441".to_owned()),
            group: Some("287ebd7da9fe198100f92cc8d1d2154e".to_owned()),
            fields: [("category".to_owned(), json!("network"))].into(),
            ..Placement::default()
        }
    }

    fn misplaced(&self) -> Vec<(Placement, &'static str)> {
        let id = Some("00000000000000000000000000000000".to_owned());
        let column = [("catgory".to_owned(), json!("network"))].into();
        vec![
            (
                Placement { group: id.clone(), ..Placement::default() },
                "287ebd7da9fe198100f92cc8d1d2154e (Cloud)",
            ),
            (Placement { assignee: id, ..Placement::default() }, "6816f79cc0a8016401c5a33be04be441 ("),
            (Placement { fields: column, ..Placement::default() }, "has no catgory"),
        ]
    }

    async fn placed(&self, case: &str) -> Placement {
        let record = self.servicenow.record(case).unwrap();
        Placement {
            assignee: Some(record.assigned_to),
            group: Some(record.assignment_group),
            fields: [("category".to_owned(), json!(record.category))].into(),
            ..Placement::default()
        }
    }

    fn conditions(&self) -> CompanyConditions {
        CompanyConditions {
            project: vec![Pattern::new("incident")],
            component: vec![Pattern::new("Cloud")],
            fields: [("impact".to_owned(), vec![Pattern::new("1*")])].into(),
            ..CompanyConditions::default()
        }
    }

    async fn marks(&self, case: &str) {
        self.servicenow.set_column(case, "assignment_group", "287ebd7da9fe198100f92cc8d1d2154e").unwrap();
        self.servicenow.set_column(case, "impact", "1").unwrap();
    }

    fn misnamed(&self) -> Vec<(CompanyConditions, &'static str)> {
        let one = |text: &str| vec![Pattern::new(text)];
        let usual = CompanyConditions::default;
        vec![(
            CompanyConditions { fields: [("catgory".to_owned(), one("x"))].into(), ..usual() },
            "category (Category)",
        )]
    }

    async fn text_field(&self) -> String {
        "correlation_id".to_owned()
    }

    async fn writes_field(&self, case: &str, text: &str) {
        self.servicenow.set_column(case, "correlation_id", text).unwrap();
    }

    /// Adds a user of the instance for most addresses, and for those of another domain the address itself: a watch list takes both.
    async fn follows(&self, case: &str, address: &str, on: bool) {
        let entry = if address.ends_with("@example.com") {
            self.servicenow.user_with_email(address, address).unwrap()
        } else {
            address.to_owned()
        };
        let before = self.servicenow.record(case).unwrap().watch_list;
        let mut list: Vec<&str> = before.split(',').filter(|one| !one.is_empty() && *one != entry).collect();
        if on {
            list.push(&entry);
        }
        self.servicenow.set_column(case, "watch_list", &list.join(",")).unwrap();
    }

    async fn links(&self, case: &str) -> Vec<ShownLink> {
        let target = self.servicenow.record(case).unwrap().correlation_id;
        let link = ShownLink { target, title: None, closed: false };
        [link].into_iter().filter(|link| !link.target.is_empty()).collect()
    }

    fn faults(&self) -> Option<&Faults> {
        Some(self.servicenow.faults())
    }

    fn calls(&self, call: Call) -> (&'static str, &'static str) {
        match call {
            Call::Create => ("POST", "/table/incident"),
            Call::Comment | Call::Close | Call::Link => ("PATCH", "/table/incident/"),
            Call::Attach => ("POST", "/attachment/file"),
            Call::Label | Call::Mark => panic!("ServiceNow has no such call"),
            Call::Search => ("GET", "/table/incident?"),
            Call::Download => ("GET", "/file"),
        }
    }
}
