//! Request Tracker 5 as the company's side, over REST 2.
//!
//! | file | contents |
//! | --- | --- |
//! | `settings` | the `[company.request-tracker]` section |
//! | `client` | the calls of the REST API |
//! | `details` | what routes go by, and the people of a case |
//! | `wire` | Request Tracker's JSON |
//! | `mail` | texts out of the parts of a mail |
//! | `download` | content out of the JSON that it comes in |
//! | `filename` | names of files |
//! | `check` | `casebridge check` |
//!
//! Sources: `RT::REST2` and `RT::Query`, documentation of RT 5.0; measured against RT 5.0.3 of Debian 12.

mod check;
mod client;
mod details;
mod download;
mod filename;
pub mod mail;
mod settings;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};
use reqwest::Url;
use reqwest::multipart::{Form, Part};
use serde_json::{Map, Value, json};

use self::client::{Client, MERGED_TOO, quoted};
use self::mail::readings;
use super::PriorityWords;
use super::content::{Text, one_line};
use super::expiry;
use super::reference::path_within;
use crate::cases::{
    Annotated, Annotation, ApiError, ApiErrorKind, Attachment, Capabilities, Case, CaseSystem, Check,
    Closing, Comment, Content, CredentialEnd, Details, Download, Filing, Finding, Found, KnownStatus, Needs,
    NewAttachment, NewCase, NewComment, Placement, Statuses, Sweep, TextLimit, Visibility, Wanted, Written,
    is_same_name, sort_counterparts,
};
use crate::entities::{GoogleCaseName, Priority, PriorityReading, Side};
use crate::outbound::Upstream;

pub use self::filename::stored_filename;
pub use self::settings::RequestTrackerSettings;

/// Name of the system in errors and texts.
pub const NAME: &str = "Request Tracker";

/// Maximum length of a subject, in bytes of UTF-8. The width of the column `Tickets.Subject` counts characters, but the written text is cut
/// by bytes (`DBIx::SearchBuilder::Record`, `TruncateValue`).
const SUBJECT_LIMIT: usize = 200;
/// Maximum length of a text, in bytes. Well below `$MaxInlineBody` (25 KiB in `RT_Config.pm` of RT 5.0; an installation may set less),
/// beyond which a ticket's page shows no text.
const TEXT_LIMIT: usize = 12_000;
/// Text that Request Tracker keeps in place of a file that it drops.
const DROPPED: &str = "Large attachment dropped";
/// Status of deleted tickets: they remain, but searches do not find them.
const DELETED: &str = "deleted";
/// Number of searches of this process that report a merged ticket that has not been updated. More than one, since a poll may fail after its
/// search.
const TELLINGS: u8 = 3;
/// Number of merged tickets whose reports are counted. Beyond that, they are reported again, which changes nothing.
const MOST_TOLD: usize = 1_000;

/// Number of tickets whose creation is remembered: some 50 bytes each.
const MOST_CREATIONS: usize = 10_000;

/// Request Tracker as the company's CRM.
pub struct RequestTracker {
    client: Client,
    priorities: PriorityWords,
    capabilities: Capabilities,
    /// Number of searches that have reported each merged ticket, by ID.
    searches: Mutex<BTreeMap<String, u8>>,
    /// Transaction of an upload of the connector that was made but is not shown to it.
    unseen: Mutex<Option<String>>,
    /// Transaction that created each ticket, by the ticket's ID: it stays the same.
    creations: Mutex<BTreeMap<String, String>>,
}

impl RequestTracker {
    /// Creates the adapter behind `upstream`, whose base is the web address of Request Tracker (without `/REST/2.0`) and whose credentials
    /// are [`CrmKind::credentials`](crate::crm::CrmKind::credentials). The words of `priorities` have to be numbers:
    /// [`CrmKind::priority_problems`](crate::crm::CrmKind::priority_problems). Makes no call yet.
    #[must_use]
    pub fn new(settings: RequestTrackerSettings, priorities: PriorityWords, upstream: Upstream) -> Self {
        let capabilities = Capabilities {
            name: NAME,
            reopen: true,
            comment_when_closed: true,
            internal_comments: true,
            comments_change: false,
            comment_limit: TextLimit::utf8_bytes(TEXT_LIMIT),
            title_limit: TextLimit::utf8_bytes(SUBJECT_LIMIT),
            description_limit: TextLimit::utf8_bytes(TEXT_LIMIT),
            // Not every database that it runs on has room for NUL.
            control_characters: false,
            // Searches go to the database, so there is no index lag.
            index_lag: Duration::zero(),
            in_flight_window: upstream.in_flight_window(),
            time_resolution: Duration::seconds(1),
            idempotency_keys: false,
            stored_filename,
        };
        upstream.advise(check::remedies(&settings).advice());
        let client = Client::new(settings, upstream);
        Self {
            client,
            priorities,
            capabilities,
            searches: Mutex::default(),
            unseen: Mutex::default(),
            creations: Mutex::default(),
        }
    }

    fn settings(&self) -> &RequestTrackerSettings {
        self.client.settings()
    }

    /// Converts a ticket to a case without its description. `None` if it was deleted.
    fn case(&self, ticket: &Value) -> Result<Option<Case>, String> {
        let settings = self.settings();
        let id = wire::text(ticket, "id").ok_or("a ticket without an ID")?;
        let status =
            wire::text(ticket, "Status").ok_or_else(|| format!("ticket {id}: the status is missing"))?;
        if status == DELETED {
            return Ok(None);
        }
        let flag = settings.flag_value.trim().to_lowercase();
        let flagged = wire::custom_field(ticket, &settings.flag_field).unwrap_or_default();
        let google = wire::custom_field(ticket, &settings.google_name_field).unwrap_or_default();
        let google = google.first().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        // A merged ticket keeps its status and its fields, but people are shown the ticket that it was merged into.
        let merged_into = wire::text(ticket, "EffectiveId").filter(|effective| *effective != id);
        let closing = if merged_into.is_some() { Some(Closing::Merged) } else { settings.closing(&status) };
        Ok(Some(Case {
            key: None,
            title: wire::text(ticket, "Subject").unwrap_or_default(),
            description: String::new(),
            earlier_description: None,
            priority: self.priority(wire::text(ticket, "Priority").as_deref()),
            closed: closing.is_some(),
            closing,
            merged_into,
            created_at: wire::time(ticket, "Created"),
            updated_at: wire::time(ticket, "LastUpdated"),
            counterpart: google,
            counterpart_address: None,
            by_connector: self.by_connector(ticket),
            address: Some(self.address(&id)),
            scope: wire::name(ticket, "Queue"),
            synchronize: flagged.iter().any(|value| value.trim().to_lowercase() == flag),
            filing: Filing::default(),
            state: None,
            escalated: false,
            status: vec![status],
            state_text: settings.google_state_field.as_ref().map(|field| {
                let values = wire::custom_field(ticket, field).unwrap_or_default();
                values.first().map(|text| (*text).to_owned()).unwrap_or_default()
            }),
            subscribers: None,
            raised: None,
            id,
        }))
    }

    /// Returns the address of a ticket's page.
    fn address(&self, id: &str) -> String {
        format!("{}/Ticket/Display.html?id={id}", self.client.home())
    }

    /// Returns the name of a custom field, one of the two, that a ticket does not show.
    fn hidden_field(&self, ticket: &Value) -> Option<&str> {
        let settings = self.settings();
        [&settings.flag_field, &settings.google_name_field]
            .into_iter()
            .find(|name| wire::custom_field(ticket, name).is_none())
            .map(String::as_str)
    }

    /// Maps a priority to the nearest configured number, of two the greater (`R18`: priority). Values in between are normal: Request
    /// Tracker itself raises priorities as a ticket gets older.
    fn priority(&self, number: Option<&str>) -> PriorityReading {
        let Some(text) = number else { return PriorityReading::Unset };
        let Ok(number) = text.trim().parse::<i64>() else { return PriorityReading::Unknown(text.to_owned()) };
        let words = Priority::ALL.map(|priority| self.priorities.word(priority));
        let nearest = words
            .into_iter()
            .filter_map(|word| settings::number(word).map(|known| (known.abs_diff(number), -known, word)))
            .min();
        nearest.map_or_else(
            || PriorityReading::Unknown(text.to_owned()),
            |(_, _, word)| self.priorities.read(Some(word)),
        )
    }

    /// Adds the descriptions to cases: the texts of the transactions that created them.
    async fn describe(&self, mut cases: Vec<Case>) -> Result<Vec<Case>, ApiError> {
        for some in cases.chunks_mut(client::PAGE) {
            let ids: Vec<&str> = some.iter().map(|case| case.id.as_str()).collect();
            let ticket_of = self.creations(&ids).await?;
            let transactions: Vec<&str> = ticket_of.keys().map(String::as_str).collect();
            let texts = readings(&self.client.texts_of(&transactions).await?);
            let mut descriptions: BTreeMap<&str, Text> = BTreeMap::new();
            for (transaction, text) in texts {
                if let Some(ticket) = ticket_of.get(&transaction) {
                    descriptions.insert(ticket, text);
                }
            }
            for case in some {
                let text = descriptions.remove(case.id.as_str()).unwrap_or_default();
                (case.description, case.earlier_description) = (text.now, text.earlier);
            }
        }
        Ok(cases)
    }

    /// Returns the tickets by the IDs of the transactions that created them. Reads only those that are not remembered. Forgets all at
    /// [`MOST_CREATIONS`] tickets.
    async fn creations(&self, tickets: &[&str]) -> Result<BTreeMap<String, String>, ApiError> {
        let (mut found, mut unknown) = (BTreeMap::new(), Vec::new());
        {
            let known = self.creations.lock().unwrap_or_else(PoisonError::into_inner);
            for ticket in tickets {
                match known.get(*ticket) {
                    Some(creation) => drop(found.insert(creation.clone(), (*ticket).to_owned())),
                    None => unknown.push(*ticket),
                }
            }
        }
        let read = self.client.creations(&unknown).await?;
        let mut known = self.creations.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST_CREATIONS {
            known.clear();
        }
        for creation in &read {
            let ticket = wire::text(creation, "ObjectId").filter(|ticket| unknown.contains(&ticket.as_str()));
            if let (Some(id), Some(ticket)) = (wire::text(creation, "id"), ticket) {
                known.insert(ticket.clone(), id.clone());
                found.insert(id, ticket);
            }
        }
        Ok(found)
    }

    /// Searches and returns the cases for which `keep` is true, and the problems with unreadable tickets.
    async fn found(
        &self,
        query: &str,
        keep: impl Fn(&Case) -> bool + Send + Sync,
    ) -> Result<Sweep, ApiError> {
        self.client.fields_exist().await?;
        let read = |ticket: &Value| match self.case(ticket) {
            Ok(case) => case.filter(&keep).map(|case| Ok(Found::from(&case))),
            Err(problem) => Some(Err(problem)),
        };
        Ok(self.client.search_all(query, read).await?.into_iter().flatten().collect())
    }

    /// Classifies a ticket from the search for updates.
    fn row(&self, ticket: &Value, since: DateTime<Utc>) -> Row {
        let mut case = match self.case(ticket) {
            Ok(Some(case)) => case,
            Ok(None) => return Row::Nothing,
            Err(problem) => return Row::Unreadable(problem),
        };
        let is_old = case.updated_at.is_some_and(|updated| updated < since);
        if let Some(into) = case.merged_into.take() {
            // A merge changes the time of the surviving ticket, not of the merged one. With a later time, the merged ticket counts as
            // changed. Its counterpart is cleared: it is read when the case itself is read.
            case.updated_at =
                case.updated_at.map(|at| at.checked_add_signed(Duration::seconds(1)).unwrap_or(at));
            case.counterpart = None;
            return Row::Merged { case: Found::from(&case), into, is_old };
        }
        if is_old {
            return Row::Nothing;
        }
        // It was found by the flag. If it does not show the flag, a right is missing, or the field is not on its queue.
        match self.hidden_field(ticket) {
            Some(field) => Row::Hidden(format!(
                "ticket {} does not show the custom field {field}: put it on its queue and grant the connector's user SeeCustomField",
                case.id
            )),
            None if case.synchronize => Row::Case(Found::from(&case)),
            None => Row::Nothing,
        }
    }

    /// Counts a search that found a merged ticket, and returns the count before. Drops all counts at [`MOST_TOLD`] tickets.
    fn count_search(&self, id: &str) -> u8 {
        let mut searches = self.searches.lock().unwrap_or_else(PoisonError::into_inner);
        if searches.len() >= MOST_TOLD && !searches.contains_key(id) {
            searches.clear();
        }
        let times = searches.entry(id.to_owned()).or_default();
        let before = *times;
        *times = before.saturating_add(1);
        before
    }

    /// Reads a ticket. Fails if it does not exist, was deleted or was merged.
    async fn ticket(&self, id: &str) -> Result<Value, ApiError> {
        let ticket = self.client.ticket(id).await?;
        let failed = |kind, problem: String| self.client.error(kind, &format!("GET ticket {id}"), problem);
        match (self.case(&ticket), wire::text(&ticket, "id")) {
            // Writes to a merged ticket would go to the one that it was merged into.
            (Ok(Some(case)), Some(answered)) if answered != id => {
                Err(failed(ApiErrorKind::NotFound, format!("the ticket was merged into ticket {}", case.id)))
            }
            (Ok(Some(_)), _) => Ok(ticket),
            (Ok(None), _) => Err(failed(ApiErrorKind::NotFound, "the ticket was deleted".to_owned())),
            (Err(problem), _) => Err(failed(ApiErrorKind::Unreadable, problem)),
        }
    }

    /// Reads a merged ticket. `survivor` is the answer to its ID. `None` if the surviving ticket was deleted.
    async fn merged(&self, id: &str, survivor: &Value) -> Result<Option<Case>, ApiError> {
        let unreadable =
            |problem| self.client.error(ApiErrorKind::Unreadable, &format!("GET ticket {id}"), problem);
        let Some(survivor) = self.case(survivor).map_err(unreadable)? else { return Ok(None) };
        let own = match self.client.merged(id).await? {
            Some(ticket) => self.case(&ticket).map_err(unreadable)?,
            None => None,
        };
        Ok(Some(Case {
            id: id.to_owned(),
            closed: true,
            closing: Some(Closing::Merged),
            merged_into: Some(survivor.id),
            address: Some(self.address(id)),
            ..own.unwrap_or_default()
        }))
    }

    fn is_closed(&self, ticket: &Value) -> bool {
        wire::text(ticket, "Status").is_some_and(|status| self.settings().is_closed(&status))
    }

    /// Updates a ticket and verifies the result: Request Tracker answers a refused change with 200 and a sentence.
    async fn change(
        &self,
        id: &str,
        body: Value,
        holds: impl Fn(&Value) -> bool + Send,
    ) -> Result<(), ApiError> {
        let call = format!("PUT ticket {id}");
        let said = self.client.change(id, body).await?;
        let now = self.client.ticket(id).await?;
        if holds(&now) {
            return Ok(());
        }
        let by_us = wire::text(&now, "LastUpdatedBy").is_some_and(|user| self.is_ours(&user));
        if !by_us && said.is_empty() {
            return Err(self.client.error(
                ApiErrorKind::NotApplied,
                &call,
                "somebody changed the ticket at the same time",
            ));
        }
        let said = self.client.presentable(&said.join("; ")).await;
        Err(self.client.error(
            ApiErrorKind::Refused,
            &call,
            format!("the change was not made; Request Tracker says: {said}"),
        ))
    }

    fn is_ours(&self, user: &str) -> bool {
        user.to_lowercase() == self.settings().user.trim().to_lowercase()
    }

    /// Reads the transactions of a ticket that were made at or after `since`, by ID.
    async fn transactions(
        &self,
        id: &str,
        since: Option<DateTime<Utc>>,
    ) -> Result<BTreeMap<String, Value>, ApiError> {
        let found = self.client.history(id, since).await?;
        if found.is_empty() {
            // A ticket that does not exist has an empty history, with 200.
            self.ticket(id).await?;
        }
        Ok(found.into_iter().filter_map(|found| Some((wire::text(&found, "id")?, found))).collect())
    }

    fn by_connector(&self, transaction: &Value) -> Option<bool> {
        wire::text(transaction, "Creator").map(|user| self.is_ours(&user))
    }

    /// Returns the visibility of a transaction (`R29`: private until shown to be public). `None` if it is no message of a person, but a
    /// mail that was sent or a note of Request Tracker itself. A transaction without a type is internal.
    fn visibility(transaction: &Value) -> Option<Visibility> {
        match wire::text(transaction, "Type").as_deref() {
            Some("Correspond" | "Create") => Some(Visibility::Public),
            Some("Comment") | None => Some(Visibility::Internal),
            Some(_) => None,
        }
    }

    /// Returns the IDs of the transactions that are messages of people.
    fn messages(transactions: &BTreeMap<String, Value>) -> Vec<&str> {
        let messages = transactions.iter().filter(|(_, found)| Self::visibility(found).is_some());
        messages.map(|(id, _)| id.as_str()).collect()
    }

    /// Adds a comment or a reply to a ticket. Returns the ID of the new transaction.
    async fn write(
        &self,
        id: &str,
        visibility: Visibility,
        mut body: Map<String, Value>,
        form: Option<Form>,
    ) -> Result<Option<String>, ApiError> {
        let ticket = self.ticket(id).await?;
        if self.is_closed(&ticket)
            && let Some(status) = wire::text(&ticket, "Status")
        {
            // A reply reopens a closed ticket (scrip "On Correspond Open Inactive Tickets"); a copied comment must not.
            body.insert("Status".to_owned(), Value::String(status));
        }
        let how = match visibility {
            Visibility::Public => "correspond",
            Visibility::Internal => "comment",
        };
        let location = self.client.write(id, how, Value::Object(body), form).await?;
        Ok(location.and_then(|path| {
            let (_, transaction) = path.rsplit_once("/transaction/")?;
            transaction.bytes().all(|byte| byte.is_ascii_digit()).then(|| transaction.to_owned())
        }))
    }

    /// Returns the comments that people wrote in these transactions.
    async fn comments_among(
        &self,
        id: &str,
        since: Option<DateTime<Utc>>,
        transactions: &BTreeMap<String, Value>,
    ) -> Result<Vec<Comment>, ApiError> {
        let parts = self.client.texts(id, since, &Self::messages(transactions)).await?;
        let mut comments = Vec::new();
        for (transaction, text) in readings(&parts) {
            let Some(found) = transactions.get(&transaction) else { continue };
            // The text of the first message is the description.
            let is_first = wire::text(found, "Type").as_deref() == Some("Create");
            let Some(visibility) = Self::visibility(found).filter(|_| !is_first) else { continue };
            comments.push(Comment {
                id: transaction,
                other_id: None,
                author: wire::person(found, "Creator"),
                created_at: wire::time(found, "Created"),
                body: text.now,
                earlier_body: text.earlier,
                edited_at: None,
                visibility,
                by_connector: self.by_connector(found),
            });
        }
        Ok(comments)
    }

    /// Returns the files that were added in these transactions.
    async fn attachments_among(
        &self,
        id: &str,
        since: Option<DateTime<Utc>>,
        transactions: &BTreeMap<String, Value>,
    ) -> Result<Vec<Attachment>, ApiError> {
        let parts = self.client.parts(id, since, &Self::messages(transactions)).await?;
        let cut = cut_files(&parts, transactions.values());
        let mut attachments = Vec::new();
        for part in &parts {
            let Some(id) = wire::text(part, "id") else { continue };
            let transaction = wire::text(part, "TransactionId").unwrap_or_default();
            let Some(found) = transactions.get(&transaction) else { continue };
            let Some(visibility) = Self::visibility(found) else { continue };
            let Some(filename) = file_name(part) else { continue };
            let by_connector = self.by_connector(found);
            let cut = cut.get(&id);
            if cut.is_some() && by_connector == Some(true) {
                // The rest of an upload that counts as refused is not a file to carry.
                continue;
            }
            let told = wire::text(part, "ContentLength").and_then(|size| size.parse().ok());
            attachments.push(Attachment {
                id,
                filename,
                media_type: wire::text(part, "ContentType").filter(|kind| !kind.is_empty()),
                // For a file that was cut, Request Tracker lists the original length.
                size: cut.copied().or(told),
                author: wire::person(found, "Creator"),
                created_at: wire::time(part, "Created"),
                visibility,
                by_connector,
                comment: Some(transaction),
            });
        }
        Ok(attachments)
    }
}

#[async_trait]
impl CaseSystem for RequestTracker {
    fn side(&self) -> Side {
        Side::Company
    }

    /// Request Tracker archives no tickets.
    fn closes_as(&self, closing: Closing) -> bool {
        !matches!(closing, Closing::Archived)
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn attachment_limit(&self) -> Result<Option<u64>, ApiError> {
        Ok(self.settings().attachment_limit)
    }

    fn home(&self) -> Option<&str> {
        Some(self.client.home())
    }

    fn google_name_field(&self) -> &str {
        self.settings().google_name_field.trim()
    }

    fn google_state_field(&self) -> Option<&str> {
        self.settings().google_state_field.as_deref()
    }

    fn credential_end(&self) -> Option<CredentialEnd> {
        expiry::configured("request-tracker", self.client.settings().token_expires.as_deref())
    }

    fn clock_skew(&self) -> Option<Duration> {
        self.client.upstream().clock_skew()
    }

    fn latest_skew(&self) -> Option<Duration> {
        self.client.upstream().latest_skew()
    }

    async fn is_own_user(&self, user: &str) -> bool {
        self.settings().user.trim().to_lowercase() == user.to_lowercase()
    }

    async fn identify(&self) -> Result<(), ApiError> {
        self.client.identify().await
    }

    /// Searches the queue of new cases only: a case of another queue proves nothing about this one.
    async fn any_case(&self, except: Option<&str>) -> Result<Option<String>, ApiError> {
        let mut query = format!("Queue = {}", quoted(&self.settings().queue));
        if let Some(except) = except.filter(|id| client::is_id(id)) {
            query = format!("{query} AND id != {except}");
        }
        let newest = self.client.newest(&query).await?;
        Ok(newest.items.first().and_then(|ticket| wire::text(ticket, "id")))
    }

    /// Finds a ticket by `5`, `#5`, or the address of one of its pages: `…/Ticket/Display.html?id=5`, `…/SelfService/Display.html?id=5`,
    /// `…/REST/2.0/ticket/5`.
    async fn resolve(&self, reference: &str) -> Result<Option<Case>, ApiError> {
        match named(reference, self.client.home()) {
            Ok(id) => self.get(&id).await,
            Err(problem) => Err(self.client.error(ApiErrorKind::Refused, "GET ticket", problem)),
        }
    }

    async fn search_updated(&self, since: DateTime<Utc>) -> Result<Sweep, ApiError> {
        let settings = self.settings();
        let query = format!(
            "'CF.{{{}}}' = '{}' AND {MERGED_TOO}",
            settings.flag_field.trim(),
            settings.flag_value.trim()
        );
        // Times are whole seconds: a later update within the same second has the same time.
        let since = since
            .checked_sub_signed(Duration::nanoseconds(i64::from(since.timestamp_subsec_nanos())))
            .unwrap_or(since);
        let is_old =
            |ticket: &Value| wire::time(ticket, "LastUpdated").is_some_and(|updated| updated < since);
        let rows = self.client.search_newest_first(&query, is_old, |ticket| self.row(ticket, since)).await?;
        // A query with a field that does not exist or is hidden finds nothing, without an error.
        if rows.is_empty() || rows.iter().any(|row| matches!(row, Row::Hidden(_))) {
            self.client.fields_exist().await?;
        }
        let mut sweep = Sweep::default();
        let mut survivors = BTreeSet::new();
        for row in rows {
            match row {
                Row::Case(case) => sweep.cases.push(case),
                Row::Merged { case, into, is_old } => {
                    let before = self.count_search(&case.id);
                    if before == 0 {
                        survivors.insert(into);
                    }
                    if !is_old || before < TELLINGS {
                        sweep.cases.push(case);
                    }
                }
                Row::Hidden(problem) | Row::Unreadable(problem) => sweep.skipped.push(problem),
                Row::Nothing => {}
            }
        }
        // A ticket that another one was merged into is reported one poll later. Until then, it can take over the merged ticket's pair (R32:
        // closed is not solved); otherwise it would get a Google case of its own.
        sweep.cases.retain(|case| !survivors.contains(&case.id));
        Ok(sweep)
    }

    async fn get(&self, id: &str) -> Result<Option<Case>, ApiError> {
        let ticket = match self.client.ticket(id).await {
            Ok(ticket) => ticket,
            Err(error) if error.kind == ApiErrorKind::NotFound => {
                // A wrong address answers 404 as well.
                self.client.queue().await?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let unreadable =
            |problem| self.client.error(ApiErrorKind::Unreadable, &format!("GET ticket {id}"), problem);
        match wire::text(&ticket, "id") {
            Some(answered) if answered == id => {}
            // The ID of a merged ticket returns the ticket that it was merged into.
            Some(_) => return self.merged(id, &ticket).await,
            // The answer is no ticket, which does not mean that the ticket is gone.
            None => return Err(unreadable("the answer is no ticket".to_owned())),
        }
        let Some(case) = self.case(&ticket).map_err(unreadable)? else { return Ok(None) };
        if let Some(field) = self.hidden_field(&ticket) {
            // Without a right, a field is left out, and looks empty (R26: empty answers need proof). On another queue, it may really not
            // exist.
            self.client.fields_exist().await?;
            let queue = self.settings().queue.trim().to_lowercase();
            if case.scope.as_ref().is_some_and(|scope| scope.to_lowercase() == queue) {
                let message = format!(
                    "the ticket does not show the custom field {field}: grant the connector's user SeeCustomField"
                );
                return Err(self.client.error(
                    ApiErrorKind::Unauthorized,
                    &format!("GET ticket {id}"),
                    message,
                ));
            }
        }
        Ok(self.describe(vec![case]).await?.pop())
    }

    async fn find_counterparts(
        &self,
        counterpart: &str,
        _home: Option<&str>,
    ) -> Result<Vec<Found>, ApiError> {
        let Ok(wanted) = GoogleCaseName::parse(counterpart) else { return Ok(Vec::new()) };
        let query = format!(
            "'CF.{{{}}}' LIKE '/cases/{}'",
            self.settings().google_name_field.trim(),
            wanted.number()
        );
        // R9 (one mapping per case): names with the same number are one case, whatever the parent.
        let same = |case: &Case| {
            case.counterpart
                .as_deref()
                .and_then(|name| GoogleCaseName::parse(name).ok())
                .is_some_and(|name| name.number() == wanted.number())
        };
        let mut sweep = self.found(&query, same).await?;
        for skipped in &sweep.skipped {
            tracing::warn!(problem = %skipped, "a ticket cannot be understood");
        }
        sort_counterparts(&mut sweep.cases);
        Ok(sweep.cases)
    }

    async fn create(&self, case: &NewCase) -> Result<Case, ApiError> {
        let (settings, place) = (self.settings(), &case.placement);
        let queue = self.queue_of(case);
        // A field that is not on the queue is dropped silently, and the ticket would be created again and again.
        self.client.fields_exist_on(queue).await?;
        let mut body = json!({
            "Queue": queue,
            "Subject": one_line(&case.title),
            "Content": case.description,
            "ContentType": "text/plain",
            "CustomFields": {
                settings.flag_field.trim(): settings.flag_value.trim(),
                settings.google_name_field.trim(): case.counterpart,
            },
        });
        for (name, value) in &place.fields {
            body["CustomFields"][name.trim()] = value.clone();
        }
        if let Some(owner) = &place.assignee {
            body["Owner"] = json!(owner);
        }
        if let Some(priority) = case.priority {
            body["Priority"] = json!(self.number(priority)?);
        }
        if let Some(id) = self.left_over(case).await? {
            return self.complete(&id, case).await;
        }
        let id = self.client.create(body).await?;
        self.complete(&id, case).await
    }

    async fn link(&self, id: &str, counterpart: &str) -> Result<(), ApiError> {
        let field = self.settings().google_name_field.trim();
        let ticket = self.ticket(id).await?;
        let is_set = |ticket: &Value| {
            wire::custom_field(ticket, field).is_some_and(|values| values.first() == Some(&counterpart))
        };
        if is_set(&ticket) {
            return Ok(());
        }
        self.change(id, json!({ "CustomFields": { field: counterpart } }), is_set).await
    }

    async fn comments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Comment>, ApiError> {
        self.comments_among(id, since, &self.transactions(id, since).await?).await
    }

    async fn attachments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Attachment>, ApiError> {
        self.attachments_among(id, since, &self.transactions(id, since).await?).await
    }

    /// Reads the transactions once for both lists.
    async fn content(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Content, ApiError> {
        let transactions = self.transactions(id, since).await?;
        let (comments, attachments) = tokio::try_join!(
            self.comments_among(id, since, &transactions),
            self.attachments_among(id, since, &transactions),
        )?;
        Ok(Content { comments, attachments })
    }

    async fn add_comment(&self, id: &str, comment: &NewComment) -> Result<Written, ApiError> {
        // Perl treats "0" as empty.
        let body = if comment.body == "0" { "0\n" } else { comment.body.as_str() };
        let content = Map::from_iter([
            ("Content".to_owned(), json!(body)),
            // Plain text is not interpreted.
            ("ContentType".to_owned(), json!("text/plain")),
        ]);
        let Some(transaction) = self.write(id, comment.visibility, content, None).await? else {
            let message = "the answer does not say which transaction the comment became";
            return Err(self.client.error(
                ApiErrorKind::Unreadable,
                &format!("POST comment on ticket {id}"),
                message,
            ));
        };
        let made = self.client.transaction(&transaction).await.ok();
        let created_at = made.and_then(|made| wire::time(&made, "Created"));
        Ok(Written { id: transaction, created_at, carrier_comment: None })
    }

    async fn download(&self, id: &str, attachment: &Attachment) -> Result<Download, ApiError> {
        let json = match self.client.content(&attachment.id).await {
            Ok(download) => download.content,
            Err(error) => return Err(self.gone_or(error, id, &attachment.id).await),
        };
        // Text is converted to UTF-8 in transfer, so its length may change.
        let is_text = attachment.media_type.as_deref().is_some_and(|kind| kind.starts_with("text/"));
        let size = attachment.size.filter(|_| !is_text);
        let call = format!("GET attachment {} of ticket {id}", attachment.id);
        Ok(Download { size, content: download::content(json, size, call) })
    }

    async fn upload(&self, id: &str, attachment: NewAttachment) -> Result<Written, ApiError> {
        let call = format!("POST attachment on ticket {id}");
        if let (Some(size), Some(limit)) = (attachment.size, self.settings().attachment_limit)
            && size > limit
        {
            let message = format!(
                "{size} bytes are more than Request Tracker takes ({limit}, company.request-tracker.attachment_limit)"
            );
            return Err(self.client.error(ApiErrorKind::Unacceptable, &call, message));
        }
        if attachment.visibility == Visibility::Internal {
            self.sees_its_uploads(&call).await?;
        }
        let name = stored_filename(&attachment.filename);
        let kind = kept_type(attachment.media_type.as_deref());
        let mut body = Map::new();
        let form = if attachment.size == Some(0) {
            // An uploaded file without content is refused. In JSON, base64 of only padding counts as content.
            let file = json!({ "FileName": name, "FileType": kind, "FileContent": "=" });
            body.insert("Attachments".to_owned(), json!([file]));
            None
        } else {
            let stream = reqwest::Body::wrap_stream(attachment.content);
            let part = match attachment.size {
                Some(size) => Part::stream_with_length(stream, size),
                None => Part::stream(stream),
            };
            let part = part.mime_str(kind).map_err(|_| {
                self.client.error(ApiErrorKind::Refused, &call, "the media type cannot stand in a header")
            })?;
            // Names are sent unencoded: Request Tracker does not understand the form of RFC 5987 here.
            Some(Form::new().percent_encode_noop().part("Attachments", part.file_name(name.clone())))
        };
        body.insert("NoContent".to_owned(), json!(1));
        let transaction = self.write(id, attachment.visibility, body, form).await?;
        let unknown = |message: &str| self.client.error(ApiErrorKind::Unreadable, &call, message);
        let transaction =
            transaction.ok_or_else(|| unknown("the answer does not say what the file became"))?;
        let parts = self.client.parts_of(&transaction).await.map_err(|error| ApiError {
            // The file may have been stored.
            kind: ApiErrorKind::Uncertain,
            ..error
        })?;
        let Some(stored) = parts.iter().find(|part| file_name(part).is_some()) else {
            return Err(match self.client.transaction(&transaction).await {
                Err(error) if error.status == Some(403) => {
                    *self.unseen.lock().unwrap_or_else(PoisonError::into_inner) = Some(transaction);
                    let message = format!("the file was attached, and is not shown: {}", blind(&error));
                    self.client.error(ApiErrorKind::Uncertain, &call, message)
                }
                _ => unknown("there is no file where the answer says that it is"),
            });
        };
        let created_at = wire::time(stored, "Created");
        // The file is stored, even if this call fails.
        let history = self
            .client
            .history(id, created_at)
            .await
            .map_err(|error| ApiError { kind: ApiErrorKind::Uncertain, ..error })?;
        if !cut_files(&parts, history.iter()).is_empty() {
            let message = "Request Tracker did not keep all of the file: raise $MaxAttachmentSize there, or set company.request-tracker.attachment_limit to it";
            return Err(self.client.error(ApiErrorKind::Unacceptable, &call, message));
        }
        let id = wire::text(stored, "id").ok_or_else(|| unknown("the file has no ID"))?;
        Ok(Written { id, created_at, carrier_comment: None })
    }

    async fn set_priority(&self, id: &str, priority: Priority) -> Result<(), ApiError> {
        let number = self.number(priority)?;
        self.ticket(id).await?;
        self.change(id, json!({ "Priority": number }), |ticket| {
            wire::text(ticket, "Priority").and_then(|now| now.trim().parse().ok()) == Some(number)
        })
        .await
    }

    async fn set_title(&self, id: &str, title: &str) -> Result<Option<String>, ApiError> {
        self.ticket(id).await?;
        self.client.change(id, json!({ "Subject": one_line(title) })).await?;
        Ok(wire::text(&self.client.ticket(id).await?, "Subject"))
    }

    async fn close(&self, id: &str) -> Result<(), ApiError> {
        if self.is_closed(&self.ticket(id).await?) {
            return Ok(());
        }
        let body = json!({ "Status": self.settings().close_status.trim() });
        self.change(id, body, |ticket| self.is_closed(ticket)).await
    }

    async fn reopen(&self, id: &str) -> Result<(), ApiError> {
        if !self.is_closed(&self.ticket(id).await?) {
            return Ok(());
        }
        let body = json!({ "Status": self.settings().reopen_status.trim() });
        match self.change(id, body, |ticket| !self.is_closed(ticket)).await {
            // The lifecycle has no such transition.
            Err(error) if error.kind == ApiErrorKind::Refused => {
                Err(ApiError { kind: ApiErrorKind::Unsupported, ..error })
            }
            done => done,
        }
    }

    async fn set_status(&self, id: &str, status: &str) -> Result<(), ApiError> {
        let ticket = self.ticket(id).await?;
        let refused = |problem: String| self.client.error(ApiErrorKind::Refused, "PUT ticket", problem);
        if self.is_closed(&ticket) {
            return Err(refused(format!("ticket {id} was closed meanwhile")));
        }
        if self.settings().is_closed(status.trim()) {
            return Err(refused(format!(
                "{status:?} means that the ticket is closed: name the status of an open ticket in [status.google]"
            )));
        }
        let is_set =
            |ticket: &Value| wire::text(ticket, "Status").is_some_and(|now| is_same_name(&now, status));
        if is_set(&ticket) {
            return Ok(());
        }
        self.change(id, json!({ "Status": status.trim() }), is_set).await
    }

    async fn show_state(&self, id: &str, text: &str) -> Result<(), ApiError> {
        let Some(field) = self.settings().google_state_field.as_deref().map(str::trim) else {
            let problem = "company.request-tracker.google_state_field is not given";
            return Err(self.client.error(ApiErrorKind::Refused, "PUT ticket", problem));
        };
        let ticket = self.ticket(id).await?;
        // A field that is not on the ticket's queue is dropped silently.
        if wire::custom_field(&ticket, field).is_none() {
            let problem = format!(
                "ticket {id} has no custom field {field}: put it on its queue and grant the connector's user SeeCustomField and \
                 ModifyCustomField, or correct company.request-tracker.google_state_field"
            );
            return Err(self.client.error(ApiErrorKind::Refused, "PUT ticket", problem));
        }
        let is_set = |ticket: &Value| {
            wire::custom_field(ticket, field).is_some_and(|values| values.first() == Some(&text))
        };
        self.change(id, json!({ "CustomFields": { field: text } }), is_set).await
    }

    /// Adds the link *Refers to*, and leaves the ticket's other links as they are, even one to an earlier Google case of it: `RefersTo`
    /// would replace them, `AddRefersTo` adds one (`RT::REST2::Resource::Record::Writable`, `_update_links`). Adding a link that exists
    /// answers "Link already exists" (`RT::Record`, `_AddLink`).
    async fn annotate(&self, id: &str, annotation: &Annotation) -> Result<Annotated, ApiError> {
        let Annotation::Link(link) = annotation else {
            let problem = "a ticket has no place for it";
            return Err(self.client.error(ApiErrorKind::Unsupported, &annotation.describe(), problem));
        };
        let is_linked = |ticket: &Value| {
            check::links(ticket, "refers-to")
                .any(|shown| wire::text(shown, "_url").as_deref() == Some(link.address.as_str()))
        };
        if is_linked(&self.ticket(id).await?) {
            return Ok(Annotated::Done);
        }
        self.change(id, json!({ "AddRefersTo": link.address }), is_linked).await?;
        Ok(Annotated::Done)
    }

    /// Returns the statuses that the newest tickets of the queue have or lead to: REST does not list those of a lifecycle.
    async fn statuses(&self) -> Result<Statuses, ApiError> {
        let mut names = BTreeSet::new();
        for closed in [false, true] {
            if let Some(ticket) = check::newest(&self.client, closed).await? {
                names.extend(wire::text(&ticket, "Status"));
                names.extend(check::ways(&ticket));
            }
        }
        let status = |name: String| KnownStatus {
            shown: name.clone(),
            closed: self.settings().is_closed(&name),
            is_way: false,
            names: vec![name],
        };
        Ok(Statuses { known: names.into_iter().map(status).collect(), complete: false })
    }

    async fn check(&self, needs: Needs) -> Vec<Check> {
        check::all(&self.client, &self.priorities, needs).await
    }

    async fn check_placement(&self, placement: &Placement) -> Finding {
        check::placement(&self.client, placement).await
    }

    async fn details(&self, id: &str, wanted: &Wanted) -> Result<Details, ApiError> {
        details::read(&self.client, id, wanted).await
    }

    async fn check_details(&self, wanted: &Wanted, terms: &Details) -> Finding {
        details::check(&self.client, wanted, terms).await
    }
}

impl RequestTracker {
    /// Explains a failed download. For an attachment that does not exist, Request Tracker 5.0 answers 500, an error of its own, and not 404
    /// (measured; `RT::REST2::Resource::Record`, `forbidden`, uses a transaction that does not exist).
    async fn gone_or(&self, error: ApiError, ticket: &str, attachment: &str) -> ApiError {
        if error.status != Some(500) || !matches!(self.client.is_listed(ticket, attachment).await, Ok(false))
        {
            return error;
        }
        let message = format!("the file is not listed any more, and its content answers {}", error.message);
        ApiError { kind: ApiErrorKind::NotFound, message, ..error }
    }

    /// Checks that the connector may see its own internal files, if an earlier one was not shown. Such a file could not be recognised as
    /// the connector's, and would be attached again at every attempt.
    async fn sees_its_uploads(&self, call: &str) -> Result<(), ApiError> {
        let unseen = self.unseen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(transaction) = unseen else { return Ok(()) };
        match self.client.transaction(&transaction).await {
            Err(error) if error.status == Some(403) => {
                let message = format!("an earlier file was attached, and is not shown: {}", blind(&error));
                Err(ApiError { status: None, ..self.client.error(ApiErrorKind::Unauthorized, call, message) })
            }
            Err(error) if error.kind != ApiErrorKind::NotFound => Err(error),
            Ok(_) | Err(_) => {
                *self.unseen.lock().unwrap_or_else(PoisonError::into_inner) = None;
                Ok(())
            }
        }
    }

    /// Finds a ticket that an earlier attempt created without the Google case's name (a right was missing). Only its title and
    /// description identify it. Without this lookup, each attempt would create another ticket.
    async fn left_over(&self, case: &NewCase) -> Result<Option<String>, ApiError> {
        let mut nameless = Vec::new();
        for ticket in self.client.nameless(self.queue_of(case)).await? {
            if let Ok(Some(found)) = self.case(&ticket) {
                nameless.push(found);
            }
        }
        nameless.retain(|found| found.counterpart.is_none() && found.title == one_line(&case.title));
        let described = self.describe(nameless).await?;
        Ok(described.into_iter().find(|found| found.description == case.description).map(|found| found.id))
    }

    /// Ensures that a new ticket has the flag and the Google case's name. Dropped values show only when the ticket is read again.
    async fn complete(&self, id: &str, case: &NewCase) -> Result<Case, ApiError> {
        let settings = self.settings();
        let uncertain = |message: String| {
            self.client.error(
                ApiErrorKind::Uncertain,
                "POST ticket",
                format!("ticket {id} was created, but {message}"),
            )
        };
        let made = match self.get(id).await {
            // The ticket was certainly created, and its ID is known. Another attempt would create a second one.
            Err(error) if error.status == Some(403) => return Ok(self.unseen_case(id, case)),
            made => made.map_err(|error| uncertain(format!("cannot be read: {error}")))?,
        };
        let made = made.ok_or_else(|| uncertain("is not there".to_owned()))?;
        if made.counterpart.as_deref() == Some(case.counterpart.as_str()) && made.synchronize {
            return Ok(made);
        }
        // Set them once more: this time, the answer gives a reason.
        let fields = json!({ "CustomFields": {
            settings.flag_field.trim(): settings.flag_value.trim(),
            settings.google_name_field.trim(): case.counterpart,
        } });
        self.change(id, fields, |ticket| self.carries(ticket, &case.counterpart)).await.map_err(|error| {
            uncertain(format!(
                "its custom fields were not set; grant the connector's user ModifyCustomField on both: {}",
                error.message
            ))
        })?;
        self.get(id).await?.ok_or_else(|| uncertain("is not there".to_owned()))
    }

    /// Builds the case of a new ticket that the connector may not read.
    fn unseen_case(&self, id: &str, case: &NewCase) -> Case {
        Case {
            id: id.to_owned(),
            key: None,
            title: one_line(&case.title),
            description: case.description.clone(),
            earlier_description: None,
            priority: case.priority.map_or(PriorityReading::Unset, PriorityReading::exactly),
            closed: false,
            closing: None,
            merged_into: None,
            created_at: None,
            updated_at: None,
            counterpart: Some(case.counterpart.clone()),
            counterpart_address: None,
            by_connector: Some(true),
            address: Some(self.address(id)),
            scope: Some(self.queue_of(case).to_owned()),
            synchronize: true,
            ..Case::default()
        }
    }

    /// Returns the queue that a new ticket is created in.
    fn queue_of<'a>(&'a self, case: &'a NewCase) -> &'a str {
        case.placement.project.as_deref().unwrap_or(&self.settings().queue).trim()
    }

    /// Returns the number for a level.
    fn number(&self, priority: Priority) -> Result<i64, ApiError> {
        let word = self.priorities.word(priority);
        settings::number(word).ok_or_else(|| {
            let message = format!("priorities.{priority} is {word:?}: give a number from 0 to 100");
            self.client.error(ApiErrorKind::Refused, "set priority", message)
        })
    }

    /// Reports if a ticket has the flag and this counterpart.
    fn carries(&self, ticket: &Value, counterpart: &str) -> bool {
        self.case(ticket)
            .ok()
            .flatten()
            .is_some_and(|case| case.synchronize && case.counterpart.as_deref() == Some(counterpart))
    }
}

/// Result of the search for updates for one ticket.
#[derive(Debug)]
enum Row {
    /// The ticket takes part.
    Case(Found),
    /// The ticket was merged into another. `is_old`: its last update is before the requested time, but the merge may be later.
    Merged { case: Found, into: String, is_old: bool },
    /// The ticket does not show the field that it was found by; holds the reason.
    Hidden(String),
    /// The ticket cannot be understood; holds the reason.
    Unreadable(String),
    /// The ticket does not take part, or was not updated since.
    Nothing,
}

/// Explains why an internal file is not shown, with the remedy.
fn blind(error: &ApiError) -> String {
    format!("{}; grant the connector's user ShowTicketComments on every queue that takes part", error.message)
}

/// Parses a reference to a ticket as a person types it (`R31`: an ID is valid only in its own system). The error says what is wrong.
fn named(reference: &str, home: &str) -> Result<String, String> {
    let expected = "expected a ticket's number (5 or #5) or the address of its page";
    let number = |text: &str| -> Option<String> {
        let digits = text.trim().trim_start_matches('0');
        client::is_id(digits).then(|| digits.to_owned())
    };
    let reference = reference.trim();
    if let Some(id) = number(reference.strip_prefix('#').unwrap_or(reference)) {
        return Ok(id);
    }
    let Ok(address) = Url::parse(reference) else {
        return Err(format!("no ticket is called so: {expected}"));
    };
    let base = Url::parse(home).map_err(|_| "company.base_url is no address".to_owned())?;
    let path = path_within(&address, &base)?;
    let queried = address.query_pairs().find(|(name, _)| name == "id").and_then(|(_, id)| number(&id));
    let last = || path.strip_prefix("/REST/2.0/ticket/").and_then(|rest| number(rest.trim_end_matches('/')));
    queried.or_else(last).ok_or_else(|| format!("the address names no ticket: {expected}"))
}

/// Returns the file name of a part. `None` for texts, for containers of other parts, and for parts without a name and content.
fn file_name(part: &Value) -> Option<String> {
    let name = wire::text(part, "Filename").unwrap_or_default();
    if !name.trim().is_empty() {
        return Some(name);
    }
    let kind = wire::text(part, "ContentType").unwrap_or_default();
    let is_empty = wire::text(part, "ContentLength").is_none_or(|size| size == "0");
    let is_file = !is_empty && !["text/", "multipart/"].iter().any(|start| kind.starts_with(start));
    is_file.then(|| "unnamed".to_owned())
}

/// Returns the files that Request Tracker cut or dropped, by ID, each with the length that it kept (`$TruncateLongAttachments`,
/// `$DropLongAttachments`). Only the ticket's history shows that: a transaction that follows the file's and has its name (`RT::Record`,
/// `_EncodeLOB`). The length that Request Tracker lists for the file is the original one.
fn cut_files<'a>(parts: &[Value], transactions: impl Iterator<Item = &'a Value>) -> BTreeMap<String, u64> {
    let number = |value: &Value, field: &str| wire::text(value, field)?.parse::<u64>().ok();
    let mut cut = BTreeMap::new();
    for note in transactions {
        let dropped = match wire::text(note, "Type").as_deref() {
            Some("AttachmentTruncate") => false,
            Some("AttachmentDrop") => true,
            _ => continue,
        };
        let (Some(at), Some(name)) = (number(note, "id"), wire::text(note, "Data")) else { continue };
        // A dropped file gets an extension; a name that is too long for it is cut.
        let is_it = |part: &&Value| {
            let found = wire::text(part, "Filename").unwrap_or_default();
            let same_name = found == name
                || (dropped && found.len() + 4 > name.len() && format!("{name}.txt").starts_with(&found));
            let told = number(part, "ContentLength");
            same_name
                && told == number(note, "OldValue")
                && number(part, "TransactionId").is_some_and(|transaction| transaction < at)
        };
        let file = parts.iter().filter(is_it).max_by_key(|part| number(part, "id"));
        if let Some(id) = file.and_then(|file| wire::text(file, "id")) {
            let kept =
                if dropped { DROPPED.len() as u64 } else { number(note, "NewValue").unwrap_or_default() };
            cut.insert(id, kept);
        }
    }
    cut
}

/// Returns the media type under which a file is stored. Text would be converted to UTF-8 and so change its bytes, messages would be taken
/// apart, and content that a browser runs should not be offered as such. All of these are sent as plain bytes.
fn kept_type(media_type: Option<&str>) -> &str {
    const BYTES: &str = "application/octet-stream";
    let Some(kind) = media_type else { return BYTES };
    let lower = kind.to_ascii_lowercase();
    let is_sound =
        kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/.+-".contains(&byte)) && kind.len() <= 80;
    let is_kept = ["image/", "audio/", "video/", "application/"].iter().any(|start| lower.starts_with(start))
        && !["xml", "html", "script"].iter().any(|word| lower.contains(word));
    if is_sound && is_kept { kind } else { BYTES }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_comes_before_html_and_files_are_no_texts() {
        let part = |id: u32, transaction: u32, kind: &str, name: &str, content: &str| {
            json!({"id": id, "TransactionId": transaction.to_string(), "ContentType": kind, "Filename": name,
                "Content": content, "ContentLength": content.len()})
        };
        let parts = [
            part(9, 10, "text/plain", "", "later"),
            part(1, 2, "multipart/alternative", "", ""),
            part(3, 2, "text/html", "", "<p>rich</p>"),
            part(2, 2, "text/plain", "", "plain"),
            part(4, 3, "text/html", "", "<b>a</b> &amp; b"),
            part(5, 3, "text/plain", "log.txt", "a file"),
            part(6, 4, "application/octet-stream", "", ""),
            part(7, 4, "image/png", "", "x"),
        ];
        let expected = [("2", "plain"), ("3", "a & b"), ("10", "later")];
        assert_eq!(mail::texts(&parts), expected.map(|(id, text)| (id.to_owned(), text.to_owned())));
        let names: Vec<String> = parts.iter().filter_map(file_name).collect();
        assert_eq!(names, ["log.txt", "unnamed"]);
    }

    #[test]
    fn what_does_not_say_that_it_is_public_is_internal_or_no_message() {
        for (kind, visibility) in [
            (json!("Correspond"), Some(Visibility::Public)),
            (json!("Create"), Some(Visibility::Public)),
            (json!("Comment"), Some(Visibility::Internal)),
            (json!(null), Some(Visibility::Internal)),
            (json!({}), Some(Visibility::Internal)),
            (json!(["Correspond"]), Some(Visibility::Internal)),
            (json!(""), None),
            (json!("EmailRecord"), None),
            (json!("CommentEmailRecord"), None),
            (json!("correspond"), None),
        ] {
            assert_eq!(RequestTracker::visibility(&json!({ "Type": kind })), visibility, "{kind}");
        }
        assert_eq!(RequestTracker::visibility(&json!({})), Some(Visibility::Internal));
    }

    #[test]
    fn what_people_call_a_ticket_is_its_number_or_an_address_of_its_own_desk() {
        let home = "https://rt.example.com/support";
        for reference in [
            "5",
            "#5",
            " 005 ",
            "https://rt.example.com/support/Ticket/Display.html?id=5",
            "https://RT.example.com:443/support/Ticket/History.html?x=1&id=5#txn-9",
            "https://rt.example.com/support/SelfService/Display.html?id=5",
            "http://rt.example.com/support/Ticket/Display.html?id=5",
            "https://rt.example.com/support/REST/2.0/ticket/5/",
        ] {
            assert_eq!(named(reference, home), Ok("5".to_owned()), "{reference}");
        }
        for (reference, problem) in [
            ("https://rt.example.com/Ticket/Display.html?id=5", "is of rt.example.com"),
            ("https://rt.example.com/supporters/Ticket/Display.html?id=5", "is of rt.example.com"),
            ("https://rt.example.com:8443/support/Ticket/Display.html?id=5", "is of rt.example.com"),
            ("https://other.example/support/Ticket/Display.html?id=5", "is of other.example"),
            ("https://rt.example.com/support/Ticket/Display.html?id=x", "names no ticket"),
            ("https://rt.example.com/support/REST/2.0/ticket/5/history", "names no ticket"),
            ("SUP-5", "no ticket is called so"),
            ("##5", "no ticket is called so"),
            ("0", "no ticket is called so"),
        ] {
            let said = named(reference, home).unwrap_err();
            assert!(said.contains(problem), "{reference}: {said}");
        }
    }

    #[test]
    fn what_would_be_changed_or_run_goes_as_plain_bytes() {
        for (kind, kept) in [
            ("image/png", "image/png"),
            ("application/pdf", "application/pdf"),
            ("text/plain", "application/octet-stream"),
            ("message/rfc822", "application/octet-stream"),
            ("image/svg+xml", "application/octet-stream"),
            ("application/xhtml+xml", "application/octet-stream"),
            ("image/png\r\nX: 1", "application/octet-stream"),
        ] {
            assert_eq!(kept_type(Some(kind)), kept);
        }
    }
}
