//! Zendesk Support as the company's side.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `settings` | the `[company.zendesk]` section |
//! | `client` | the calls of the REST API, and what is remembered between them |
//! | `wire` | Zendesk's JSON |
//! | `text` | plain text as a comment's HTML |
//! | `pacing` | how often a ticket may be updated |
//! | `check` | `casebridge check` |
//!
//! What is particular to Zendesk:
//!
//! - The first comment is the description, and is no comment to the core. It may be an internal note; what is internal stays.
//! - There is no call that adds a comment or a file: both are updates of the ticket. A file rides on a comment that only says so; that
//!   carrier is known by its author and its text, and is never listed, so that it is not carried back even if the answer to
//!   its creation was lost.
//! - `solved` can be opened again, `closed` is final. Closing a case means solving it.

mod check;
mod client;
mod pacing;
mod settings;
pub mod text;
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};
use serde_json::{Map, Value, json};

use self::client::{Client, Comments, FINAL, Fields, is_about_closed};
use self::wire::{AddedComment, Changed, Ticket};
use super::PriorityWords;
use super::content::{media_type, one_line};
// The strictest rules for names of files that any CRM has; here they keep names readable in a listing.
use super::jira::stored_filename;
use crate::cases::{
    ApiError, ApiErrorKind, Attachment, Capabilities, Case, CaseSystem, Check, Comment, Download, Found,
    Needs, NewAttachment, NewCase, NewComment, Sweep, TextLimit, Visibility, Written,
};
use crate::clock::SharedClock;
use crate::entities::{GoogleCaseName, Priority, PriorityReading, Side};
use crate::outbound::{Announced, Upstream};

pub use self::settings::ZendeskSettings;

/// What people call the system.
pub const NAME: &str = "Zendesk";

/// The priorities that a ticket can have, besides none (reference of tickets).
pub const PRIORITIES: [&str; 4] = ["urgent", "high", "normal", "low"];

/// The longest comment, in bytes: 64 KB, less the frame that Zendesk puts around every comment's HTML. An assumption: known in the
/// field, and not in the reference of ticket comments. A comment that is refused all the same fails and says so.
const COMMENT_LIMIT: usize = 65_535 - 100;
/// The longest subject, in characters: what the agents' workspace takes.
const SUBJECT_LIMIT: usize = 150;
/// How late the search may be: new tickets may take up to a few minutes to be indexed (reference of the Search API). That five
/// are enough, and that changes are as late as new tickets, is an assumption.
const SEARCH_LAG: Duration = Duration::minutes(5);
/// How late an `external_id` is found: it is not searched for, but databases have replicas.
const LOOKUP_LAG: Duration = Duration::seconds(30);
/// How far back a poll reads the export, which makes up for a search that is late.
const EXPORT_REACH: Duration = Duration::hours(1);
/// What an export leaves out, and refuses to start in: the last minute; and as much again for clocks that differ.
const EXPORT_DELAY: Duration = Duration::minutes(2);
/// How many pages of an export a poll reads: 10,000 tickets, and what Zendesk allows in a minute.
const EXPORT_PAGES: usize = 10;
/// How often a change that met another one is tried.
const LINK_TRIES: u32 = 3;
/// What the `external_id` of a ticket begins with that mirrors a Google case; its number follows (`R9`).
const EXTERNAL_ID_PREFIX: &str = "google-cloud-support-case-";
/// The text of the comment that a file rides on; the file's name follows.
const CARRIER: &str = "[File copied by casebridge]";
/// What the description of a ticket is called whose first comment is an internal note.
const INTERNAL_DESCRIPTION: &str =
    "(The first comment of the ticket is an internal note and is not passed on.)";

/// Zendesk Support as the company's CRM.
pub struct Zendesk {
    client: Client,
    priorities: PriorityWords,
    clock: SharedClock,
    capabilities: Capabilities,
}

impl Zendesk {
    /// Zendesk behind `upstream`, whose credentials are [`ZendeskSettings::credentials`] and whose download hosts are
    /// [`ZendeskSettings::allowed_download_hosts`]. Nothing is asked of Zendesk yet.
    #[must_use]
    pub fn new(
        settings: ZendeskSettings,
        priorities: PriorityWords,
        upstream: Upstream,
        clock: SharedClock,
    ) -> Self {
        let search_lag = if settings.use_external_id { LOOKUP_LAG } else { SEARCH_LAG };
        let client = Client::new(settings, upstream, clock.clone());
        let limit = TextLimit { max: COMMENT_LIMIT, measure: text::encoded_bytes };
        let capabilities = Capabilities {
            name: NAME,
            reopen: true,
            // True of `solved`. Of `closed` no capability speaks: there every change is refused, in words that say so.
            comment_when_closed: true,
            internal_comments: true,
            comment_limit: limit,
            title_limit: TextLimit { max: SUBJECT_LIMIT, measure: text::parted_characters },
            description_limit: limit,
            // Not documented either way; what HTML has no room for is not relied on.
            control_characters: false,
            search_lag,
            // A creation without an answer is sent once more.
            write_settles: client.write_settles() * 2,
            time_resolution: Duration::seconds(1),
            // The creation of a ticket carries one, and the adapter repeats it by that; "Idempotency" documents nothing for
            // updates, and so for comments.
            idempotency_keys: false,
            stored_filename,
        };
        Self { client, priorities, clock, capabilities }
    }

    fn settings(&self) -> &ZendeskSettings {
        self.client.settings()
    }

    /// A ticket as a case; `description` is what the first comment says, if it was asked for.
    fn case(&self, ticket: &Ticket, fields: Fields, description: Option<String>) -> Case {
        // Without a public comment the first one is internal.
        let withheld = ticket.is_public == Some(false) && !self.settings().carry_internal_description;
        let own = ticket.description.as_deref().filter(|text| !text.is_empty());
        let description = description.unwrap_or_else(|| match own {
            Some(_) if withheld => INTERNAL_DESCRIPTION.to_owned(),
            Some(own) => text::join(own),
            None => String::new(),
        });
        Case {
            id: ticket.id.to_string(),
            key: Some(format!("#{}", ticket.id)),
            title: text::join(ticket.subject.as_deref().unwrap_or_default()),
            description,
            priority: self.priorities.read(ticket.priority.as_deref()),
            closed: ticket.is_done(),
            created_at: ticket.created_at,
            updated_at: ticket.updated_at,
            counterpart: ticket.line(fields.google_name).map(str::to_owned),
            synchronize: ticket.is_checked(fields.flag),
            ..Case::default()
        }
    }

    /// The first comment's text: as it was sent, if we wrote it; withheld, if it is internal.
    async fn description(&self, ticket: &Ticket) -> Result<Option<String>, ApiError> {
        let Some(first) = self.client.first_comment(ticket.id).await? else { return Ok(None) };
        let me = self.client.me().await?;
        if first.author_id == me.id {
            return Ok(Some(body(&first, true)));
        }
        let blank = ticket.description.as_deref().unwrap_or_default().is_empty();
        let withheld = !first.public && !blank && !self.settings().carry_internal_description;
        Ok(Some(match &ticket.description {
            Some(_) if withheld => INTERNAL_DESCRIPTION.to_owned(),
            Some(own) => text::join(own),
            None => String::new(),
        }))
    }

    /// A ticket that a search or an export found, if it was updated since; or why it cannot be understood.
    fn found(&self, value: &Value, fields: Fields, since: DateTime<Utc>) -> Option<Result<Found, String>> {
        let ticket = match Ticket::read(value) {
            Ok(ticket) => ticket,
            Err(error) => return Some(Err(format!("{}: {error}", Ticket::label(value)))),
        };
        // Its times are cut down to the second.
        let recent = ticket.updated_at.is_none_or(|at| at > since - Duration::seconds(1));
        // Exports tell of deleted tickets too.
        let deleted = ticket.status.as_deref() == Some("deleted");
        let case = || self.case(&ticket, fields, Some(String::new()));
        (recent && !deleted).then(|| Ok(Found::from(&case())))
    }

    /// When a ticket was made, and its number, if it mirrors a Google case: by the custom field or, where that is empty, by
    /// `external_id`.
    fn mirror(
        &self,
        value: &Value,
        fields: Fields,
        counterpart: &str,
    ) -> Option<(Option<DateTime<Utc>>, u64)> {
        let ticket = match Ticket::read(value) {
            Ok(ticket) => ticket,
            Err(error) => {
                tracing::warn!(ticket = %Ticket::label(value), %error, "a ticket cannot be understood");
                return None;
            }
        };
        let is_same = match ticket.line(fields.google_name) {
            Some(name) => match (GoogleCaseName::parse(counterpart), GoogleCaseName::parse(name)) {
                // R9: one number is one case, whatever its parent.
                (Ok(wanted), Ok(found)) => wanted.number() == found.number(),
                _ => name == counterpart,
            },
            None => self.settings().use_external_id && ticket.external_id == Some(external_id(counterpart)),
        };
        is_same.then_some((ticket.created_at, ticket.id))
    }

    /// The tickets that mirror a Google case and are found by `external_id`.
    async fn mirrors_by_external_id(
        &self,
        counterpart: &str,
        fields: Fields,
    ) -> Result<Vec<(Option<DateTime<Utc>>, u64)>, ApiError> {
        if !self.settings().use_external_id {
            return Ok(Vec::new());
        }
        let read = |value: Value| self.mirror(&value, fields, counterpart);
        let found = self.client.with_external_id(&external_id(counterpart), read).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// What a new ticket is made of.
    fn new_ticket(&self, case: &NewCase, fields: Fields) -> Value {
        let settings = self.settings();
        let public = settings.description_visibility == Visibility::Public;
        let mut ticket = Map::new();
        let mut put = |name: &str, value: Value| ticket.insert(name.to_owned(), value);
        put("subject", json!(text::part(&one_line(&case.title))));
        put("comment", json!({ "html_body": text::encode(&case.description), "public": public }));
        put(
            "custom_fields",
            json!([
                { "id": fields.flag, "value": true },
                { "id": fields.google_name, "value": case.counterpart },
            ]),
        );
        if settings.use_external_id {
            put("external_id", json!(external_id(&case.counterpart)));
        }
        if let Some(priority) = case.priority {
            put("priority", json!(self.word(priority)));
        }
        if !settings.tags.is_empty() {
            put("tags", json!(settings.tags));
        }
        for (name, id) in [
            ("group_id", settings.group_id),
            ("brand_id", settings.brand_id),
            ("ticket_form_id", settings.ticket_form_id),
        ] {
            if let Some(id) = id {
                put(name, json!(id));
            }
        }
        Value::Object(ticket)
    }

    /// Zendesk's words are in lower case.
    fn word(&self, priority: Priority) -> String {
        self.priorities.word(priority).to_lowercase()
    }

    fn final_error(&self, id: u64, what: &str) -> ApiError {
        let message = format!(
            "{FINAL}: only a solved ticket takes changes and can be opened again; open a follow-up ticket and set the \
             flag there"
        );
        self.client.error(ApiErrorKind::Unsupported, &format!("{what} /api/v2/tickets/{id}"), message)
    }
}

#[async_trait]
impl CaseSystem for Zendesk {
    fn side(&self) -> Side {
        Side::Company
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Zendesk has no call that tells it.
    async fn attachment_limit(&self) -> Result<Option<u64>, ApiError> {
        Ok(Some(self.settings().attachment_limit_mib.saturating_mul(1024 * 1024)))
    }

    /// By a search, which reaches back as far as it is asked to and may be late, and by an export of the last hour, which misses
    /// nothing but the last minute: what one poll misses of it, the next one finds, since polls overlap (`R6`).
    async fn search_updated(&self, since: DateTime<Utc>) -> Result<Sweep, ApiError> {
        let fields = self.client.fields().await?;
        let query =
            format!("custom_field_{}:true updated>={}", fields.flag, since.format("%Y-%m-%dT%H:%M:%SZ"));
        let read = |value: Value| self.found(&value, fields, since);
        let mut found = self.client.search(&query, read).await?;
        if self.settings().use_incremental_export {
            let now = self.clock.now();
            let start = since.max(now - EXPORT_REACH).min(now - EXPORT_DELAY);
            let (exported, complete) = self.client.export(start, EXPORT_PAGES, read).await.map_err(|error| {
                if error.status == Some(403) {
                    let message = format!(
                        "{}; incremental exports take an administrator: give the connector's agent that role, or set \
                         company.zendesk.use_incremental_export = false and be content with the search, which may be late",
                        error.message
                    );
                    return ApiError { message, ..error };
                }
                error
            })?;
            if !complete {
                tracing::warn!(
                    tickets = exported.len(),
                    "more tickets changed than one poll reads: what is left of them is found by the search, which may be late"
                );
            }
            found.extend(exported);
        }
        let mut cases: BTreeMap<String, Found> = BTreeMap::new();
        let mut skipped = BTreeSet::new();
        for found in found.into_iter().flatten() {
            match found {
                Ok(case) if cases.get(&case.id).is_none_or(|known| known.updated_at <= case.updated_at) => {
                    cases.insert(case.id.clone(), case);
                }
                Ok(_) => {}
                Err(problem) => drop(skipped.insert(problem)),
            }
        }
        let cases = cases.into_values().filter(|case| case.synchronize).collect();
        Ok(Sweep { cases, skipped: skipped.into_iter().collect(), identified: false })
    }

    async fn get(&self, id: &str) -> Result<Option<Case>, ApiError> {
        let Ok(number) = self.client.number(id) else { return Ok(None) };
        let fields = self.client.fields().await?;
        let ticket = match self.client.ticket(number).await {
            Ok(ticket) => ticket,
            Err(error) if error.kind == ApiErrorKind::NotFound => {
                // A 404 counts only from a Zendesk that knows us: a wrong address looks the same.
                self.client.myself().await?;
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let description = match self.description(&ticket).await {
            // It was deleted a moment ago.
            Err(error) if error.kind == ApiErrorKind::NotFound => return Ok(None),
            description => description?,
        };
        Ok(Some(self.case(&ticket, fields, description)))
    }

    /// By `external_id`, which is found at once, and by a search for the custom field, which people may have filled in.
    async fn find_counterpart(
        &self,
        counterpart: &str,
        _home: Option<&str>,
    ) -> Result<Option<Case>, ApiError> {
        let fields = self.client.fields().await?;
        let wanted = GoogleCaseName::parse(counterpart).ok();
        let number = wanted.as_ref().map_or(counterpart, GoogleCaseName::number);
        let mut found = self.mirrors_by_external_id(counterpart, fields).await?;
        // Text is searched by words, so what comes back has to be compared; the number stands in every name of the case.
        let query = format!("custom_field_{}:\"{}\"", fields.google_name, words(number));
        let read = |value: Value| self.mirror(&value, fields, counterpart);
        found.extend(self.client.search(&query, read).await?.into_iter().flatten());
        match found.into_iter().min() {
            // Read again: the index may be late.
            Some((_, oldest)) => self.get(&oldest.to_string()).await,
            None => Ok(None),
        }
    }

    async fn create(&self, case: &NewCase) -> Result<Case, ApiError> {
        let fields = self.client.fields().await?;
        let changed = match self.client.create(self.new_ticket(case, fields), &case.idempotency_key).await {
            Ok(changed) => changed,
            Err(error) if matches!(error.status, Some(400 | 409 | 422)) => {
                // The same key with another body: the title was changed since the try whose answer was lost.
                let earlier = self.mirrors_by_external_id(&case.counterpart, fields).await;
                let Some((_, oldest)) = earlier.ok().into_iter().flatten().min() else { return Err(error) };
                return self.get(&oldest.to_string()).await?.ok_or(error);
            }
            Err(error) => return Err(error),
        };
        let ticket = Ticket::read(&changed.ticket)
            .map_err(|error| self.client.unreadable("POST /api/v2/tickets", &error))?;
        Ok(Case {
            title: one_line(&case.title),
            priority: match case.priority {
                Some(priority) => self.priorities.read(Some(self.priorities.word(priority))),
                None => PriorityReading::Unset,
            },
            ..self.case(&ticket, fields, Some(case.description.clone()))
        })
    }

    /// The custom field always; `external_id` only where it is empty: somebody else's stays.
    async fn link(&self, id: &str, counterpart: &str) -> Result<(), ApiError> {
        let number = self.client.number(id)?;
        let fields = self.client.fields().await?;
        let mut tries = 1;
        loop {
            let ticket = self.client.ticket(number).await?;
            let mut changes = Map::new();
            if ticket.line(fields.google_name) != Some(counterpart) {
                let field = json!([{ "id": fields.google_name, "value": counterpart }]);
                changes.insert("custom_fields".to_owned(), field);
            }
            if self.settings().use_external_id && ticket.external_id.as_deref().unwrap_or_default().is_empty()
            {
                changes.insert("external_id".to_owned(), json!(external_id(counterpart)));
            }
            if changes.is_empty() {
                return Ok(());
            }
            if let Some(stamp) = ticket.updated_stamp {
                // So that nobody's `external_id` of this moment is overwritten ("Protecting against ticket update
                // collisions").
                changes.insert("safe_update".to_owned(), json!(true));
                changes.insert("updated_stamp".to_owned(), json!(stamp));
            }
            match self.client.update(number, Value::Object(changes)).await {
                Err(error) if error.status == Some(409) && tries < LINK_TRIES => tries += 1,
                outcome => return outcome.map(drop),
            }
        }
    }

    async fn comments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Comment>, ApiError> {
        let me = self.client.me().await?.id;
        let found = self.client.comments(self.client.number(id)?, since).await?;
        let mut comments = Vec::with_capacity(found.newest_first.len());
        for comment in &found.newest_first {
            let ours = comment.author_id.is_some() && comment.author_id == me;
            let text = body(comment, ours);
            let is_carrier = ours && !comment.attachments.is_empty() && text.starts_with(CARRIER);
            // A file without a word is carried as a file.
            let is_silent = !comment.attachments.is_empty() && text.trim().is_empty();
            if found.first == Some(comment.id) || is_carrier || is_silent {
                continue;
            }
            comments.push(Comment {
                id: comment.id.to_string(),
                author: author(comment, &found),
                created_at: comment.created_at,
                body: text,
                visibility: visibility(comment),
                by_connector: comment.author_id.map(|author| Some(author) == me),
            });
        }
        Ok(comments)
    }

    /// Those of all comments, the first one's included: they are as visible as their comment.
    async fn attachments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Attachment>, ApiError> {
        let me = self.client.me().await?.id;
        let found = self.client.comments(self.client.number(id)?, since).await?;
        let mut attachments = Vec::new();
        for comment in &found.newest_first {
            for attachment in comment.attachments.clone() {
                match attachment {
                    Ok(attachment) if attachment.deleted => {}
                    Ok(attachment) if attachment.withheld => tracing::warn!(
                        ticket = id,
                        attachment = attachment.id,
                        "Zendesk found malware in an attachment and does not hand it out: it is not copied"
                    ),
                    Ok(attachment) => attachments.push(read_attachment(comment, attachment, &found, me)),
                    Err(error) => {
                        tracing::warn!(ticket = id, %error, "an attachment cannot be understood and is skipped");
                    }
                }
            }
        }
        Ok(attachments)
    }

    async fn add_comment(&self, id: &str, comment: &NewComment) -> Result<Written, ApiError> {
        let number = self.client.number(id)?;
        let body = json!({
            "html_body": text::encode(&comment.body),
            "public": comment.visibility == Visibility::Public,
        });
        let changed = self.client.update(number, json!({ "comment": body })).await?;
        let added = self.added(number, &changed)?;
        Ok(Written { id: added.id.to_string(), created_at: added.created_at, carrier_comment: None })
    }

    async fn download(&self, id: &str, attachment: &Attachment) -> Result<Download, ApiError> {
        // The address holds a token: errors name the ID instead.
        let call = format!("GET attachment {} of ticket {id}", crate::outbound::shorten(&attachment.id));
        let label = call.clone();
        let rename = move |error: ApiError| ApiError { call: call.clone(), ..error };
        let known = self.client.attachment(&attachment.id).await.map_err(&rename)?;
        let gone = |message| rename(self.client.error(ApiErrorKind::NotFound, "", message));
        if known.deleted {
            return Err(gone("the attachment was redacted"));
        }
        let address = known.content_url.ok_or_else(|| gone("the attachment has no content"))?;
        let size = attachment.size.or(known.size);
        let announced = Announced { size, ..Announced::of(attachment, label, &["/attachments/"]) };
        self.client.content(&address, announced).await
    }

    /// First the file, which waits for an hour at most; then the comment that it rides on. Without the comment nothing is left.
    async fn upload(&self, id: &str, attachment: NewAttachment) -> Result<Written, ApiError> {
        let number = self.client.number(id)?;
        // Before anything is sent: a closed or unknown ticket takes nothing, and an update too many would waste the upload.
        if self.client.ticket(number).await?.is_closed() {
            let error = self.final_error(number, "PUT");
            return Err(ApiError { kind: ApiErrorKind::Refused, ..error });
        }
        self.client.pace(number)?;
        let name = stored_filename(&attachment.filename);
        let media_type = media_type(attachment.media_type.as_deref());
        let upload = self.client.upload(&name, media_type, attachment.size, attachment.content).await?;
        let body = json!({
            "html_body": text::encode(&format!("{CARRIER} {name}")),
            "public": attachment.visibility == Visibility::Public,
            "uploads": [upload.token],
        });
        let changed = match self.client.paced_update(number, json!({ "comment": body })).await {
            Ok(changed) => changed,
            Err(error) => {
                if !error.may_have_happened() {
                    self.client.forget_upload(&upload.token).await;
                }
                return Err(error);
            }
        };
        let added = self.added(number, &changed)?;
        let uploaded = upload.attachment.as_ref().and_then(|known| known.get("id")?.as_u64());
        let Some(stored) = added.attachments.first().copied().or(uploaded) else {
            let call = format!("PUT /api/v2/tickets/{number}");
            return Err(self.client.error(ApiErrorKind::Unreadable, &call, "the answer names no attachment"));
        };
        Ok(Written { id: stored.to_string(), created_at: added.created_at, carrier_comment: None })
    }

    async fn set_priority(&self, id: &str, priority: Priority) -> Result<(), ApiError> {
        let number = self.client.number(id)?;
        self.client.update(number, json!({ "priority": self.word(priority) })).await.map(drop)
    }

    /// Solves it: Zendesk closes solved tickets itself, after days.
    async fn close(&self, id: &str) -> Result<(), ApiError> {
        let number = self.client.number(id)?;
        let ticket = self.client.ticket(number).await?;
        if ticket.is_done() {
            return Ok(());
        }
        let mut changes = Map::new();
        changes.insert("status".to_owned(), json!("solved"));
        if ticket.assignee_id.is_none() {
            // A ticket cannot be solved by nobody.
            let solver = match self.settings().solver_id {
                Some(solver) => Some(solver),
                None => self.client.me().await?.id,
            };
            changes.insert("assignee_id".to_owned(), json!(solver));
        }
        let fields = &self.settings().solve_fields;
        if !fields.is_empty() {
            let fields = fields
                .iter()
                .filter_map(|(id, value)| Some(json!({ "id": id.parse::<u64>().ok()?, "value": value })));
            changes.insert("custom_fields".to_owned(), fields.collect());
        }
        match self.client.update(number, Value::Object(changes)).await {
            // Somebody was faster.
            Err(error) if is_about_closed(&error) => Ok(()),
            Err(error) if error.status == Some(422) => {
                let message = format!(
                    "{}; fields that are required to solve a ticket are set with company.zendesk.solve_fields",
                    error.message
                );
                Err(ApiError { message, ..error })
            }
            outcome => outcome.map(drop),
        }
    }

    async fn reopen(&self, id: &str) -> Result<(), ApiError> {
        let number = self.client.number(id)?;
        let ticket = self.client.ticket(number).await?;
        if ticket.is_closed() {
            return Err(self.final_error(number, "reopen"));
        }
        if !ticket.is_done() {
            return Ok(());
        }
        match self.client.update(number, json!({ "status": "open" })).await {
            Err(error) if is_about_closed(&error) => Err(self.final_error(number, "reopen")),
            outcome => outcome.map(drop),
        }
    }

    async fn check(&self, needs: Needs) -> Vec<Check> {
        check::all(&self.client, &self.priorities, needs).await
    }
}

impl Zendesk {
    /// The comment that came with a change.
    fn added(&self, ticket: u64, changed: &Changed) -> Result<AddedComment, ApiError> {
        changed.comment().ok_or_else(|| {
            // Of a comment that it takes for blank Zendesk makes none, and says nothing.
            let call = format!("PUT /api/v2/tickets/{ticket}");
            self.client.error(ApiErrorKind::Unreadable, &call, "the answer tells of no new comment")
        })
    }
}

/// What identifies the ticket of a Google case, whatever the case's parent (`R9`).
fn external_id(counterpart: &str) -> String {
    match GoogleCaseName::parse(counterpart) {
        Ok(name) => format!("{EXTERNAL_ID_PREFIX}{}", name.number()),
        Err(_) => format!("{EXTERNAL_ID_PREFIX}{counterpart}"),
    }
}

/// Without what has a meaning in a search.
fn words(text: &str) -> String {
    text.chars().map(|c| if c == '"' || c == '\\' || c.is_control() { ' ' } else { c }).collect()
}

/// A comment's text: as it was sent, if we wrote it; else the plain text that Zendesk makes of it.
fn body(comment: &wire::Comment, ours: bool) -> String {
    match (&comment.html_body, &comment.plain_body, &comment.body) {
        (Some(html), ..) if ours => text::decode(html),
        // It writes hard spaces as entities there.
        (_, Some(plain), _) => plain.replace("&nbsp;", " "),
        (_, None, Some(body)) => body.clone(),
        (Some(html), None, None) => text::decode(html),
        (None, None, None) => String::new(),
    }
}

fn read_attachment(
    comment: &wire::Comment,
    attachment: wire::Attachment,
    comments: &Comments,
    me: Option<u64>,
) -> Attachment {
    Attachment {
        id: attachment.id.to_string(),
        filename: attachment.file_name,
        media_type: attachment.content_type,
        size: attachment.size,
        author: author(comment, comments),
        created_at: comment.created_at,
        visibility: visibility(comment),
        by_connector: comment.author_id.map(|author| Some(author) == me),
    }
}

fn author(comment: &wire::Comment, comments: &Comments) -> String {
    comment.author_id.and_then(|author| comments.names.get(&author).cloned()).unwrap_or_default()
}

fn visibility(comment: &wire::Comment) -> Visibility {
    if comment.public { Visibility::Public } else { Visibility::Internal }
}
