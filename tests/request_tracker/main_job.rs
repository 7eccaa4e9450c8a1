//! The main job's table over the real Request Tracker, and the people at it.

use std::sync::Arc;

use async_trait::async_trait;
use casebridge::cases::{Placement, Visibility};
use casebridge::clock::SharedClock;
use casebridge::crm::PriorityWords;
use casebridge::crm::request_tracker::RequestTrackerSettings;
use casebridge::entities::Priority;
use casebridge::sandbox::faults::Faults;
use casebridge::sync::{CompanyConditions, Pattern};
use serde_json::{Value, json};

use crate::server::{NUMBERS, Person, Server, Slot};
use casebridge_testkit::harness::crm::{Company, Crm, Description, Setup};
use casebridge_testkit::harness::desk::{
    Call, CaseView, CommentView, Desk, FileView, NewCompanyCase, ShownLink,
};
use casebridge_testkit::harness::request_tracker::description;
use casebridge_testkit::main_job::{main_job_over, tests_of};

main_job_over!(&RequestTrackerKind);

/// Custom field for Google's state: seed.pl makes it.
const STATE_FIELD: &str = "Google state";

/// A queue of its own on the shared server.
struct RequestTrackerKind;

#[async_trait]
impl Crm for RequestTrackerKind {
    async fn description(&self) -> Description {
        description()
    }

    async fn open(&self, clock: &SharedClock, setup: &Setup) -> Company {
        let server = tokio::task::spawn_blocking(Server::shared).await.unwrap();
        let slot = server.slot();
        let settings = RequestTrackerSettings {
            google_state_field: setup.state_field.then(|| STATE_FIELD.to_owned()),
            ..Server::settings(&slot)
        };
        let system = Arc::new(server.adapter_with(&slot, settings, clock.clone()));
        Company { desk: Arc::new(RequestTrackerDesk { jane: server.jane(), slot }), system }
    }
}

struct RequestTrackerDesk {
    jane: Person,
    slot: Slot,
}

/// A text field, whether it came as text or as a number.
fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn custom_field(ticket: &Value, name: &str) -> Option<String> {
    let fields = ticket["CustomFields"].as_array()?;
    let field = fields.iter().find(|field| field["name"] == name)?;
    field["values"].as_array()?.first()?.as_str().map(str::to_owned)
}

impl RequestTrackerDesk {
    /// All pages of a listing.
    async fn all(&self, path: &str) -> Vec<Value> {
        let mut items = Vec::new();
        for page in 1.. {
            let found = self.jane.get(&format!("{path}&per_page=100&page={page}")).await;
            let found = found["items"].as_array().unwrap();
            items.extend(found.iter().cloned());
            if found.len() < 100 {
                break;
            }
        }
        items
    }

    async fn fields(&self, case: &str, fields: Value) {
        self.jane.changes(case, json!({ "CustomFields": fields })).await;
    }

    async fn see(&self, ticket: &Value) -> CaseView {
        let id = text(&ticket["id"]);
        let parts = "Filename,ContentType,Content,TransactionId";
        let parts = self.all(&format!("/ticket/{id}/attachments?fields={parts}&orderby=id&order=ASC")).await;
        let history = self.all(&format!("/ticket/{id}/history?fields=Type,Creator")).await;
        let mut view = CaseView {
            title: text(&ticket["Subject"]),
            description: String::new(),
            priority: words().read(Some(&text(&ticket["Priority"]))),
            state: text(&ticket["Status"]),
            closed: matches!(ticket["Status"].as_str(), Some("resolved" | "rejected")),
            flagged: custom_field(ticket, "synchronizeWithGoogleCloudSupport").as_deref() == Some("true"),
            google_name: custom_field(ticket, "custom_field_google_name"),
            comments: Vec::new(),
            files: Vec::new(),
            id,
        };
        for part in parts {
            let transaction = &part["TransactionId"];
            let transaction = text(transaction.get("id").unwrap_or(transaction));
            let entry = history.iter().find(|entry| text(&entry["id"]) == transaction).unwrap();
            let by_connector = entry["Creator"]["id"].as_str() == Some(self.slot.user.as_str());
            let kind = entry["Type"].as_str().unwrap();
            let visibility = if kind == "Comment" { Visibility::Internal } else { Visibility::Public };
            let name = text(&part["Filename"]);
            if !name.is_empty() {
                view.files.push(FileView { id: text(&part["id"]), name, visibility, by_connector });
            } else if part["ContentType"] == "text/plain" {
                let text = part["Content"].as_str().unwrap_or_default().to_owned();
                if kind == "Create" {
                    view.description = text;
                } else if !text.is_empty() {
                    view.comments.push(CommentView { id: transaction, text, visibility, by_connector });
                }
            }
        }
        view
    }
}

fn words() -> PriorityWords {
    PriorityWords::new(NUMBERS.map(|number| number.to_string())).unwrap()
}

#[async_trait]
impl Desk for RequestTrackerDesk {
    async fn opens(&self, case: NewCompanyCase) -> String {
        let id = self.jane.creates(&self.slot.queue, &case.title, &case.description, false).await;
        self.sets_priority(&id, case.priority).await;
        self.sets_google_name(&id, case.google_name.as_deref()).await;
        if case.flagged {
            self.flags(&id, true).await;
        }
        id
    }

    async fn says(&self, case: &str, text: &str, visibility: Visibility) -> String {
        self.jane.writes(case, visibility == Visibility::Public, "text/plain", text).await
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
        // What is called text, it converts; what comes with a type of its own must have a plain name.
        if media_type.starts_with("text/") {
            self.jane.attaches(case, public, name, bytes).await
        } else {
            self.jane.attaches_as(case, public, name, media_type, bytes).await
        }
    }

    async fn flags(&self, case: &str, on: bool) {
        self.jane.flags(case, on).await;
    }

    async fn sets_priority(&self, case: &str, priority: Priority) {
        self.jane.sets_priority(case, priority).await;
    }

    async fn retitles(&self, case: &str, title: &str) {
        self.jane.changes(case, json!({ "Subject": title })).await;
    }

    async fn links(&self, case: &str) -> Vec<ShownLink> {
        let ticket = self.jane.get(&format!("/ticket/{case}")).await;
        let links = ticket["_hyperlinks"].as_array().cloned().unwrap_or_default();
        let links = links.iter().filter(|link| link["ref"] == "refers-to");
        links.map(|link| ShownLink { target: text(&link["_url"]), title: None, closed: false }).collect()
    }

    async fn closes(&self, case: &str) {
        self.jane.sets_status(case, "resolved").await;
    }

    async fn abandons(&self, case: &str) {
        self.jane.sets_status(case, "rejected").await;
    }

    async fn reopens(&self, case: &str) {
        self.jane.sets_status(case, "open").await;
    }

    async fn seals(&self, _case: &str) {
        panic!("a scenario that does this needs Setups");
    }

    async fn sets_google_name(&self, case: &str, name: Option<&str>) {
        self.fields(case, json!({ "custom_field_google_name": name.unwrap_or_default() })).await;
    }

    async fn deletes(&self, case: &str) {
        self.jane.sets_status(case, "deleted").await;
    }

    async fn hides(&self, _case: &str, _hidden: bool) {
        panic!("a scenario that does this needs Hiding");
    }

    async fn deletes_comment(&self, _case: &str, _comment: &str) {
        panic!("a scenario that does this needs DeletingComments");
    }

    async fn deletes_file(&self, _case: &str, _file: &str) {
        panic!("a scenario that does this needs DeletingFiles");
    }

    async fn case(&self, id: &str) -> Option<CaseView> {
        let ticket = self.jane.ticket(id).await;
        if ticket["Status"] == "deleted" { None } else { Some(self.see(&ticket).await) }
    }

    async fn cases(&self) -> Vec<CaseView> {
        let query = format!("Queue%3D%27{}%27", self.slot.queue.replace(' ', "%20"));
        let mut views = Vec::new();
        for found in self.all(&format!("/tickets?query={query}&orderby=id&order=ASC")).await {
            views.extend(self.case(&text(&found["id"])).await);
        }
        views
    }

    async fn content(&self, file: &str) -> Option<Vec<u8>> {
        Some(self.jane.content(file).await)
    }

    /// It shows plain text as it is; what it shows otherwise is of another type.
    async fn interpreted(&self, case: &str) -> Vec<String> {
        let parts =
            self.all(&format!("/ticket/{case}/attachments?fields=Filename,ContentType,Content")).await;
        let others = parts.into_iter().filter(|part| {
            part["Filename"] == "" && part["ContentType"] != "text/plain" && part["Content"] != ""
        });
        others.map(|part| part["ContentType"].to_string()).collect()
    }

    async fn sets_status(&self, case: &str, status: &str) {
        self.jane.sets_status(case, status).await;
    }

    async fn status(&self, case: &str) -> String {
        text(&self.jane.ticket(case).await["Status"])
    }

    async fn state_text(&self, case: &str) -> String {
        custom_field(&self.jane.ticket(case).await, STATE_FIELD).unwrap_or_default()
    }

    fn placement(&self) -> Placement {
        Placement {
            project: Some(self.slot.queue.clone()),
            // Who may own tickets, unlike the connector.
            assignee: Some("jane".to_owned()),
            ..Placement::default()
        }
    }

    fn misplaced(&self) -> Vec<(Placement, &'static str)> {
        let text = |text: &str| Some(text.to_owned());
        vec![
            (Placement { project: text("No such queue"), ..Placement::default() }, "name one of"),
            (Placement { assignee: text("no-such-user"), ..Placement::default() }, "no user"),
            (
                Placement { fields: [("No field".to_owned(), json!("x"))].into(), ..Placement::default() },
                "custom_field_google_name",
            ),
        ]
    }

    async fn placed(&self, case: &str) -> Placement {
        let ticket = self.jane.ticket(case).await;
        let name =
            |field: &str| ticket[field]["Name"].as_str().or(ticket[field]["id"].as_str()).map(str::to_owned);
        // A queue is named by its ID here.
        let queue = name("Queue").map(|_| self.slot.queue.clone());
        Placement { project: queue, assignee: name("Owner"), ..Placement::default() }
    }

    fn conditions(&self) -> CompanyConditions {
        CompanyConditions {
            project: vec![Pattern::new(&self.slot.queue)],
            fields: [("Team".to_owned(), vec![Pattern::new("shop*")])].into(),
            ..CompanyConditions::default()
        }
    }

    async fn marks(&self, case: &str) {
        self.jane.changes(case, json!({ "CustomFields": { "Team": "Shop front" } })).await;
    }

    fn misnamed(&self) -> Vec<(CompanyConditions, &'static str)> {
        let one = |text: &str| vec![Pattern::new(text)];
        let usual = CompanyConditions::default;
        vec![
            (CompanyConditions { project: one("No such queue"), ..usual() }, "Support 1"),
            (CompanyConditions { fields: [("Taem".to_owned(), one("x"))].into(), ..usual() }, "Team"),
        ]
    }

    async fn text_field(&self) -> String {
        "Google project".to_owned()
    }

    async fn writes_field(&self, case: &str, text: &str) {
        self.jane.changes(case, json!({ "CustomFields": { "Google project": text } })).await;
    }

    async fn follows(&self, case: &str, address: &str, on: bool) {
        let ticket = self.jane.ticket(case).await;
        let known = ticket["Cc"].as_array().into_iter().flatten().filter_map(|one| one["id"].as_str());
        let mut all: Vec<&str> = known.filter(|one| *one != address).collect();
        if on {
            all.push(address);
        }
        self.jane.changes(case, json!({ "Cc": all })).await;
    }

    fn faults(&self) -> Option<&Faults> {
        None
    }

    fn calls(&self, _call: Call) -> (&'static str, &'static str) {
        panic!("a scenario that does this needs Faults");
    }
}
