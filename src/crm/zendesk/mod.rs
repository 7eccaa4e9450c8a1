//! Zendesk Support as the company's side.
//!
//! | file | contents |
//! | --- | --- |
//! | `settings` | the `[company.zendesk]` section |
//! | `client` | the calls of the REST API, and its caches |
//! | `details` | what routes go by, and the people of a case |
//! | `wire` | Zendesk's JSON |
//! | `text` | plain text as a comment's HTML |
//! | `closing` | ways in which a ticket was closed, and the comments that a merge leaves |
//! | `reference` | references to tickets as people type them |
//! | `pacing` | limit on updates of a ticket |
//! | `check` | `casebridge check` |
//!
//! Particular to Zendesk:
//!
//! - The first comment is the description; the core does not see it as a comment. It may be an internal note, whose text is not passed on
//!   by default.
//! - There is no call that adds a comment or a file: both are updates of the ticket. A file is attached to a carrier comment that only
//!   announces it. The carrier is recognised by its author and text and never listed, so that it is not copied back even if the answer to
//!   its creation was lost.
//! - A `solved` ticket can be reopened, `closed` is final. Closing a case means solving the ticket.
//! - A ticket that is merged into another one is closed and tagged. On the target ticket, one comment by the merging agent quotes the
//!   merged ticket's last comment and has that ticket's files. Any part of it that the connector wrote is not carried anywhere.

mod check;
mod client;
mod closing;
mod details;
mod pacing;
mod push;
mod reference;
mod registration;
mod settings;
pub mod text;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};
use serde_json::{Map, Value, json};

use self::client::{Client, Comments, FINAL, Fields, OwnPart, is_about_closed, is_key_taken};
use self::closing::Quoted;
use self::wire::{AddedComment, Changed, CustomStatus, Ticket, User};
use super::PriorityWords;
use super::content::{Text, media_type, one_line};
// Jira's rules for file names are the strictest of all CRMs; here they keep names readable in a listing.
use super::jira::stored_filename;
use crate::cases::markers::COMPANY_DESCRIPTION_HEADER;
use crate::cases::{
    Annotated, Annotation, ApiError, ApiErrorKind, Attachment, Capabilities, Case, CaseSystem, Check,
    Closing, Comment, Content, CredentialEnd, Details, Download, Filing, Finding, Found, KnownStatus, Needs,
    NewAttachment, NewCase, NewComment, Placement, Statuses, Sweep, TextLimit, Visibility, Wanted, Written,
    is_same_name, sort_counterparts,
};
use crate::clock::SharedClock;
use crate::crm::CrmKind as _;
use crate::crm::expiry;
use crate::entities::{GoogleCaseName, Priority, Side};
use crate::outbound::{Announced, Upstream};

pub use self::settings::ZendeskSettings;

/// Name of the system in errors and texts.
pub const NAME: &str = "Zendesk";

/// Priorities that a ticket can have, besides none (reference of tickets).
pub const PRIORITIES: [&str; 4] = ["urgent", "high", "normal", "low"];

/// Maximum length of a comment, in bytes: 64 KB, less the frame that Zendesk puts around every comment's HTML. An assumption: it is known
/// from practice, and not in the reference of ticket comments. A longer comment that is refused fails with an error.
const COMMENT_LIMIT: usize = 65_535 - 100;
/// Maximum length of a subject, in characters: the limit of the agents' workspace.
const SUBJECT_LIMIT: usize = 150;
/// Assumed index lag of the search. New tickets may take up to a few minutes to be indexed (reference of the Search API). It is an
/// assumption that five minutes are enough, and that changes take as long as new tickets.
const SEARCH_LAG: Duration = Duration::minutes(5);
/// Assumed lag of a lookup by `external_id`. It does not use the search index, but databases have replicas.
const LOOKUP_LAG: Duration = Duration::seconds(30);
/// Time span of the export that a poll reads, to make up for a search that is late.
const EXPORT_REACH: Duration = Duration::hours(1);
/// Minimum time between the start of an export and now. Zendesk leaves the last minute out and refuses to start in it; the second minute
/// allows for an imprecise clock.
const EXPORT_DELAY: Duration = Duration::minutes(2);
/// Maximum number of export pages that a poll reads: 10,000 tickets, and as many calls as Zendesk allows in a minute.
const EXPORT_PAGES: usize = 10;
/// Number of attempts for an update that collides with another one.
const LINK_TRIES: u32 = 3;
/// Prefix of the `external_id` of a ticket that mirrors a Google case; the case's number follows (`R9`: one mapping per case).
const EXTERNAL_ID_PREFIX: &str = "google-cloud-support-case-";
/// Text of the carrier comment of a file; the file's name follows.
const CARRIER: &str = "[File copied by casebridge]";
/// Prefixes of the texts that the connector writes on tickets. They identify its own comment where the comment about a merge quotes the
/// merged ticket's last comment.
const OWN_WORDS: [&str; 5] =
    ["[Google Comment ", "[Google Description ", "[Google Attachment ", COMPANY_DESCRIPTION_HEADER, CARRIER];
/// Replacement for the description of a ticket whose first comment is an internal note.
const INTERNAL_DESCRIPTION: &str =
    "(The first comment of the ticket is an internal note and is not passed on.)";

/// Custom fields and connector user, which are needed to read any ticket.
struct Known {
    fields: Fields,
    me: Arc<User>,
}

/// Zendesk Support as the company's CRM.
pub struct Zendesk {
    client: Client,
    priorities: PriorityWords,
    capabilities: Capabilities,
}

impl Zendesk {
    /// Creates the adapter behind `upstream`, whose credentials are [`CrmKind::credentials`](crate::crm::CrmKind::credentials) and whose download hosts are
    /// [`CrmKind::allowed_download_hosts`](crate::crm::CrmKind::allowed_download_hosts). Makes no call yet.
    #[must_use]
    pub fn new(
        settings: ZendeskSettings,
        priorities: PriorityWords,
        upstream: Upstream,
        clock: SharedClock,
    ) -> Self {
        let index_lag = if settings.use_external_id { LOOKUP_LAG } else { SEARCH_LAG };
        let upstream = upstream.speaking(settings.dialect());
        upstream.advise(check::remedies(&settings).advice());
        let client = Client::new(settings, upstream, clock);
        let limit = TextLimit { max: COMMENT_LIMIT, measure: text::encoded_bytes };
        let capabilities = Capabilities {
            name: NAME,
            reopen: true,
            // True for `solved`. A `closed` ticket refuses every change, with a clear error; no capability describes that.
            comment_when_closed: true,
            internal_comments: true,
            comments_change: false,
            comment_limit: limit,
            title_limit: TextLimit { max: SUBJECT_LIMIT, measure: text::parted_characters },
            description_limit: limit,
            // Not documented either way, so nothing depends on characters that HTML has no room for.
            control_characters: false,
            index_lag,
            // Twice, because a creation without an answer is sent once more.
            in_flight_window: client.in_flight_window() * 2,
            time_resolution: Duration::seconds(1),
            // `create` sends a key and repeats the creation with it. "Idempotency" documents nothing for updates, and so nothing for
            // comments.
            idempotency_keys: false,
            stored_filename,
        };
        Self { client, priorities, capabilities }
    }

    fn settings(&self) -> &ZendeskSettings {
        self.client.settings()
    }

    /// Converts a ticket to a case, without the way in which it was closed. `description` is the first comment's text.
    fn case(&self, ticket: &Ticket, known: &Known, description: Text) -> Case {
        Case {
            id: ticket.id.to_string(),
            key: Some(format!("#{}", ticket.id)),
            title: text::join(ticket.subject.as_deref().unwrap_or_default()),
            description: description.now,
            earlier_description: description.earlier,
            priority: self.priorities.read(ticket.priority.as_deref()),
            closed: ticket.is_done(),
            closing: None,
            merged_into: None,
            created_at: ticket.created_at,
            updated_at: ticket.updated_at,
            counterpart: ticket.line(known.fields.google_name).map(str::to_owned),
            counterpart_address: None,
            by_connector: ticket.submitter_id.map(|submitter| Some(submitter) == known.me.id),
            address: Some(format!("{}/agent/tickets/{}", self.client.home(), ticket.id)),
            scope: scope(&known.me, ticket),
            synchronize: ticket.is_checked(known.fields.flag),
            filing: Filing::default(),
            state: None,
            escalated: false,
            status: ticket.status_names(),
            // Without the field, the write is refused with the reason.
            state_text: self.settings().google_state_field.as_ref().map(|_| {
                let text = known.fields.google_state.and_then(|field| ticket.line(field));
                text.unwrap_or_default().to_owned()
            }),
            subscribers: None,
            raised: None,
        }
    }

    /// Returns the cached custom fields and connector user.
    async fn known(&self) -> Result<Known, ApiError> {
        Ok(Known { fields: self.client.fields().await?, me: self.client.me().await? })
    }

    /// Returns a ticket as a case, with its description and the way in which it was closed.
    async fn whole_case(
        &self,
        ticket: &Ticket,
        known: &Known,
        first: Option<wire::Comment>,
    ) -> Result<Case, ApiError> {
        let description = self.description(ticket, first, known);
        let (closing, merged_into) = self.closing(ticket).await?;
        Ok(Case { closing, merged_into, ..self.case(ticket, known, description) })
    }

    /// Returns the way in which a ticket was closed, and the ticket that it was merged into (`R32`: closed is not solved).
    async fn closing(&self, ticket: &Ticket) -> Result<(Option<Closing>, Option<String>), ApiError> {
        let name = match ticket.custom_status_id {
            Some(id) if ticket.is_done() => self.client.status_name(id).await?,
            Some(_) | None => None,
        };
        let closing = closing::of(ticket, name.as_deref());
        let into = match closing {
            Some(Closing::Merged) => self.client.merged_into(ticket.id).await?,
            Some(
                Closing::Solved
                | Closing::Closed
                | Closing::Cancelled
                | Closing::Duplicate
                | Closing::Archived,
            )
            | None => None,
        };
        Ok((closing, into.map(|into| into.to_string())))
    }

    /// Returns the first comment's text: as it was sent, if the connector wrote it; withheld, unless it is marked public (`R29`: private
    /// until shown to be public). What the connector creates names its Google case. Another ticket of the connector's agent was filed by a
    /// person or a program that shares it.
    fn description(&self, ticket: &Ticket, first: Option<wire::Comment>, known: &Known) -> Text {
        let own = ticket.description.as_deref().filter(|text| !text.is_empty());
        let public = first.as_ref().and_then(|first| first.public) == Some(true);
        let is_mirror = ticket.line(known.fields.google_name).is_some();
        match (first, own) {
            (Some(first), _)
                if first.author_id.is_some() && first.author_id == known.me.id && (public || is_mirror) =>
            {
                Text::of(body(&first, true))
            }
            (_, None) => Text::default(),
            (first, Some(own)) if public || self.settings().carry_internal_description => {
                match first.and_then(|first| first.html_body) {
                    Some(html) => Text::new(text::readable(&html, own), text::join(own)),
                    None => Text::of(text::join(own)),
                }
            }
            (_, Some(_)) => Text::of(INTERNAL_DESCRIPTION.to_owned()),
        }
    }

    /// Reads a ticket from a search or an export. `None` if it was not updated since `since` or is deleted; an error if it is not
    /// understood.
    fn found(&self, value: &Value, known: &Known, since: DateTime<Utc>) -> Option<Result<Found, String>> {
        let ticket = match Ticket::read(value) {
            Ok(ticket) => ticket,
            Err(error) => return Some(Err(format!("{}: {error}", Ticket::label(value)))),
        };
        // Zendesk cuts times to whole seconds.
        let recent = ticket.updated_at.is_none_or(|at| at > since - Duration::seconds(1));
        // Exports include deleted tickets.
        let deleted = ticket.status.as_deref() == Some("deleted");
        let case = || self.case(&ticket, known, Text::default());
        (recent && !deleted).then(|| Ok(Found::from(&case())))
    }

    /// Reads a ticket and returns it if it mirrors the Google case: by the custom field or, where that is empty, by `external_id`.
    fn mirror(&self, value: &Value, known: &Known, counterpart: &str) -> Option<Found> {
        let ticket = match Ticket::read(value) {
            Ok(ticket) => ticket,
            Err(error) => {
                tracing::warn!(ticket = %Ticket::label(value), %error, "a ticket cannot be understood");
                return None;
            }
        };
        let is_same = match ticket.line(known.fields.google_name) {
            Some(name) => match (GoogleCaseName::parse(counterpart), GoogleCaseName::parse(name)) {
                // R9 (one mapping per case): names with the same number are one case, whatever the parent.
                (Ok(wanted), Ok(found)) => wanted.number() == found.number(),
                _ => name == counterpart,
            },
            None => self.settings().use_external_id && ticket.external_id == Some(external_id(counterpart)),
        };
        is_same.then(|| Found::from(&self.case(&ticket, known, Text::default())))
    }

    /// Returns the tickets that mirror a Google case, looked up by `external_id`.
    async fn mirrors_by_external_id(&self, counterpart: &str, known: &Known) -> Result<Vec<Found>, ApiError> {
        if !self.settings().use_external_id {
            return Ok(Vec::new());
        }
        let read = |value: Value| self.mirror(&value, known, counterpart);
        let found = self.client.with_external_id(&external_id(counterpart), read).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// Returns the tickets that mirror a Google case, searched by the custom field, which people may have filled in.
    async fn mirrors_by_search(&self, counterpart: &str, known: &Known) -> Result<Vec<Found>, ApiError> {
        let wanted = GoogleCaseName::parse(counterpart).ok();
        let number = wanted.as_ref().map_or(counterpart, GoogleCaseName::number);
        // Zendesk searches text by words, so the results have to be compared. The number is part of every name of the case.
        let query = format!("custom_field_{}:\"{}\"", known.fields.google_name, words(number));
        let read = |value: Value| self.mirror(&value, known, counterpart);
        Ok(self.client.search(&query, read).await?.into_iter().flatten().collect())
    }

    /// Returns the ticket that an earlier request of the connector made for a Google case, if it is shown (`R13`: unknown write outcome,
    /// `R31`: an ID is valid only in its own system). A ticket of another author that names the same case does not count.
    async fn left_behind(&self, counterpart: &str, known: &Known) -> Result<Option<Case>, ApiError> {
        let mut found = self.mirrors_by_external_id(counterpart, known).await?;
        if !self.settings().use_external_id {
            found = self.mirrors_by_search(counterpart, known).await?;
        }
        found.retain(|ticket| ticket.by_connector == Some(true));
        sort_counterparts(&mut found);
        match found.first() {
            Some(ours) => self.get(&ours.id).await,
            None => Ok(None),
        }
    }

    /// Builds the JSON of a new ticket.
    fn new_ticket(&self, case: &NewCase, fields: Fields) -> Value {
        let (settings, place) = (self.settings(), &case.placement);
        let public = settings.description_visibility == Visibility::Public;
        let mut ticket = Map::new();
        let mut put = |name: &str, value: Value| ticket.insert(name.to_owned(), value);
        put("subject", json!(text::part(&one_line(&case.title))));
        put("comment", json!({ "html_body": text::encode(&case.description), "public": public }));
        let placed = place.fields.iter().filter_map(|(id, value)| Some((id.parse().ok()?, value.clone())));
        let own = [(fields.flag, json!(true)), (fields.google_name, json!(case.counterpart))];
        let custom: BTreeMap<u64, Value> = placed.chain(own).collect();
        let custom: Vec<Value> =
            custom.into_iter().map(|(id, value)| json!({ "id": id, "value": value })).collect();
        put("custom_fields", json!(custom));
        if settings.use_external_id {
            put("external_id", json!(external_id(&case.counterpart)));
        }
        if let Some(priority) = case.priority {
            put("priority", json!(self.word(priority)));
        }
        let labels = place.labels.iter().filter(|label| !settings.tags.contains(label));
        let tags: Vec<&String> = settings.tags.iter().chain(labels).collect();
        if !tags.is_empty() {
            put("tags", json!(tags));
        }
        if let Some(kind) = &place.issue_type {
            put("type", json!(kind.to_lowercase()));
        }
        let id = |given: Option<&String>| given.and_then(|id| id.parse::<u64>().ok());
        // Source: "Tickets", *JSON format*, developer.zendesk.com: `assignee_email` is written only.
        match (&place.assignee, id(place.assignee.as_ref())) {
            (_, Some(id)) => put("assignee_id", json!(id)),
            (Some(email), None) => put("assignee_email", json!(email)),
            (None, None) => None,
        };
        for (name, id) in [
            ("group_id", id(place.group.as_ref()).or(settings.group_id)),
            ("brand_id", settings.brand_id),
            ("ticket_form_id", id(place.request_type.as_ref()).or(settings.ticket_form_id)),
        ] {
            if let Some(id) = id {
                put(name, json!(id));
            }
        }
        Value::Object(ticket)
    }

    /// Returns the word for a priority, in lower case as Zendesk has it.
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

    async fn shown_ticket(&self, number: u64) -> Result<Option<Ticket>, ApiError> {
        match self.client.ticket(number).await {
            Ok(ticket) => Ok(Some(ticket)),
            // A role without access gets either status. Both count only if Zendesk knows the connector: a wrong address answers the same.
            Err(error) if error.kind == ApiErrorKind::NotFound || error.status == Some(403) => {
                self.client.identify().await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the flagged tickets that were updated since `since`, from a search and, with `export`, from the export too.
    async fn sweep(&self, since: DateTime<Utc>, export: bool) -> Result<Sweep, ApiError> {
        let known = self.known().await?;
        let query = format!(
            "custom_field_{}:true updated>={}",
            known.fields.flag,
            since.format("%Y-%m-%dT%H:%M:%SZ")
        );
        let read = |value: Value| self.found(&value, &known, since);
        let mut found = self.client.search(&query, read).await?;
        if export {
            found.extend(self.exported(since, read).await?);
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
        Ok(Sweep { cases, skipped: skipped.into_iter().collect(), identified: true })
    }

    /// Returns the comments that are none of the ticket's description and no mere carriers of files.
    async fn comments_among(&self, number: u64, found: &Comments) -> Result<Vec<Comment>, ApiError> {
        let me = self.client.me().await?.id;
        let mut comments = Vec::with_capacity(found.newest_first.len());
        for comment in &found.newest_first {
            let ours = comment.author_id.is_some() && comment.author_id == me;
            let mut said = body(comment, ours);
            let is_carrier = ours && !comment.attachments.is_empty() && said.starts_with(CARRIER);
            // A file without text is carried as a file only.
            let is_silent = !comment.attachments.is_empty() && said.trim().is_empty();
            if found.first == Some(comment.id) || is_carrier || is_silent {
                continue;
            }
            let absorbed = closing::absorbed(number, comment, &said);
            if let Some(quoted) = absorbed.as_ref().and_then(|absorbed| absorbed.quoted.as_ref())
                && self.is_ours(quoted, &said).await?
            {
                // Text that came from Google does not go back to it.
                said.truncate(quoted.at);
            }
            // Zendesk's own words about a merge are plain.
            let text = match &comment.html_body {
                Some(html) if !ours && absorbed.is_none() => Text::new(text::readable(html, &said), said),
                Some(_) | None => Text::of(said),
            };
            comments.push(Comment {
                id: comment.id.to_string(),
                other_id: None,
                author: author(comment, found),
                created_at: comment.created_at,
                body: text.now,
                earlier_body: text.earlier,
                edited_at: None,
                visibility: visibility(comment),
                by_connector: comment.author_id.map(|author| Some(author) == me),
            });
        }
        Ok(comments)
    }

    /// Returns the files of all comments, the first one's included; a file is as visible as its comment. Of a ticket that was merged into
    /// this one, files that the connector put there are left out: they came from Google.
    async fn attachments_among(&self, number: u64, found: &Comments) -> Result<Vec<Attachment>, ApiError> {
        let me = self.client.me().await?.id;
        let mut attachments = Vec::new();
        for comment in &found.newest_first {
            let moved = self.moved_along(number, comment).await?;
            for attachment in comment.attachments.clone() {
                match attachment {
                    Ok(attachment) if attachment.deleted || is_among(&moved, &attachment) => {}
                    Ok(attachment) => attachments.push(read_attachment(comment, attachment, found, me)),
                    Err(error) => {
                        tracing::warn!(ticket = number, %error, "an attachment cannot be understood and is skipped");
                    }
                }
            }
        }
        Ok(attachments)
    }
}

#[async_trait]
impl CaseSystem for Zendesk {
    fn side(&self) -> Side {
        Side::Company
    }

    fn home(&self) -> Option<&str> {
        Some(self.client.home())
    }

    fn google_name_field(&self) -> &str {
        &self.settings().google_name_field
    }

    fn google_state_field(&self) -> Option<&str> {
        self.settings().google_state_field.as_deref()
    }

    fn credential_end(&self) -> Option<CredentialEnd> {
        let settings = self.client.settings();
        let configured = expiry::configured("zendesk", settings.token_expires.as_deref());
        settings
            .api_token
            .is_some()
            .then(last_api_token)
            .into_iter()
            .chain(configured)
            .min_by_key(|end| end.at)
    }

    fn clock_skew(&self) -> Option<Duration> {
        self.client.upstream().clock_skew()
    }

    fn latest_skew(&self) -> Option<Duration> {
        self.client.upstream().latest_skew()
    }

    async fn is_own_user(&self, user: &str) -> bool {
        self.client.is_own_user(user).await
    }

    async fn identify(&self) -> Result<(), ApiError> {
        self.client.identify().await
    }

    /// Uses the list of tickets, which does not depend on the index. The list leaves out archived tickets, which were closed months ago.
    async fn any_case(&self, except: Option<&str>) -> Result<Option<String>, ApiError> {
        let shown = self.client.some_tickets().await?;
        Ok(shown.into_iter().map(|id| id.to_string()).find(|id| Some(id.as_str()) != except))
    }

    async fn resolve(&self, reference: &str) -> Result<Option<Case>, ApiError> {
        match reference::ticket(reference, self.client.base_url()) {
            Ok(number) => self.get(&number.to_string()).await,
            Err(problem) => {
                let call = format!("ticket {}", crate::cases::shorten(reference));
                Err(self.client.error(ApiErrorKind::Refused, &call, problem))
            }
        }
    }

    /// A ticket that Zendesk archives stays as it was closed.
    fn closes_as(&self, closing: Closing) -> bool {
        !matches!(closing, Closing::Archived)
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Returns the configured limit: Zendesk has no call that reports it.
    async fn attachment_limit(&self) -> Result<Option<u64>, ApiError> {
        Ok(Some(self.settings().attachment_limit_mib.saturating_mul(1024 * 1024)))
    }

    /// Combines a search, which reaches back as far as asked but may be late, with an export of the last hour, which is complete except for
    /// the last minute. The next poll finds changes of that minute, since polls overlap (`R6`: a watermark moves last).
    ///
    /// Both calls are for agents and administrators only ("Allowed for", reference), and an anonymous caller gets 401, so an answer proves
    /// that Zendesk knows the connector (`R26`: empty answers need proof). Tickets that a restricted agent may not see are left out
    /// silently.
    async fn search_updated(&self, since: DateTime<Utc>) -> Result<Sweep, ApiError> {
        self.sweep(since, self.searches_twice()).await
    }

    /// True if the export is used: it is exact, but a minute late, while the search shows most changes at once.
    fn searches_twice(&self) -> bool {
        self.settings().use_incremental_export
    }

    async fn search_first(&self, since: DateTime<Utc>) -> Result<Sweep, ApiError> {
        self.sweep(since, false).await
    }

    async fn get(&self, id: &str) -> Result<Option<Case>, ApiError> {
        let Ok(number) = self.client.number(id) else { return Ok(None) };
        let known = self.known().await?;
        let Some(ticket) = self.shown_ticket(number).await? else { return Ok(None) };
        let rest = async {
            let first = self.client.first_comment(number).await?;
            self.whole_case(&ticket, &known, first).await
        };
        match rest.await {
            // The ticket was deleted meanwhile.
            Err(error) if error.kind == ApiErrorKind::NotFound => Ok(None),
            case => case.map(Some),
        }
    }

    async fn shows(&self, id: &str) -> Result<bool, ApiError> {
        let Ok(number) = self.client.number(id) else { return Ok(false) };
        Ok(self.shown_ticket(number).await?.is_some())
    }

    /// Finds by `external_id`, which is immediate, and by a search for the custom field, which people may have filled in.
    async fn find_counterparts(
        &self,
        counterpart: &str,
        _home: Option<&str>,
    ) -> Result<Vec<Found>, ApiError> {
        let known = self.known().await?;
        let mut found = self.mirrors_by_external_id(counterpart, &known).await?;
        found.extend(self.mirrors_by_search(counterpart, &known).await?);
        sort_counterparts(&mut found);
        // The ticket is next to itself: both ways may find it.
        found.dedup_by(|a, b| a.id == b.id);
        Ok(found)
    }

    async fn create(&self, case: &NewCase) -> Result<Case, ApiError> {
        let known = self.known().await?;
        let ticket = self.new_ticket(case, known.fields);
        let changed = match self.client.create(ticket.clone(), &case.idempotency_key).await {
            Ok(changed) => changed,
            Err(error) if matches!(error.status, Some(400 | 409 | 422)) => {
                // The key was used with another body: for this case, if its title changed after an attempt whose answer was lost; or by
                // another installation.
                let taken = is_key_taken(&error);
                match self.left_behind(&case.counterpart, &known).await {
                    Ok(Some(earlier)) => return Ok(earlier),
                    Ok(None) if taken => {
                        let key = Client::fresh_key(&case.idempotency_key, &ticket);
                        self.client.create(ticket, &key).await?
                    }
                    // It is unknown if the first request created a ticket.
                    Err(unseen) if taken => {
                        return Err(ApiError { kind: ApiErrorKind::NotApplied, ..unseen });
                    }
                    Ok(None) | Err(_) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        let ticket = Ticket::read(&changed.ticket)
            .map_err(|error| self.client.unreadable("POST /api/v2/tickets", &error))?;
        Ok(Case {
            title: one_line(&case.title),
            ..self.case(&ticket, &known, Text::of(case.description.clone()))
        })
    }

    /// Sets the custom field. Sets `external_id` only if it is empty, so as not to replace another program's value.
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
                // Protects an `external_id` that is set at the same moment from being overwritten ("Protecting against ticket update
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
        let number = self.client.number(id)?;
        let found = self.client.comments(number, since).await?;
        self.comments_among(number, &found).await
    }

    async fn attachments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Attachment>, ApiError> {
        let number = self.client.number(id)?;
        let found = self.client.comments(number, since).await?;
        self.attachments_among(number, &found).await
    }

    /// Reads the list of comments once, since it holds the files too.
    async fn content(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Content, ApiError> {
        let number = self.client.number(id)?;
        let found = self.client.comments(number, since).await?;
        Ok(Content {
            comments: self.comments_among(number, &found).await?,
            attachments: self.attachments_among(number, &found).await?,
        })
    }

    /// Reads the list of comments once: if it goes back to the first one, that is the description.
    async fn get_whole(
        &self,
        id: &str,
        since: Option<DateTime<Utc>>,
    ) -> Result<Option<(Case, Content)>, ApiError> {
        let Ok(number) = self.client.number(id) else { return Ok(None) };
        let known = self.known().await?;
        let Some(ticket) = self.shown_ticket(number).await? else { return Ok(None) };
        let rest = async {
            let found = self.client.comments(number, since).await?;
            let first = found.newest_first.iter().find(|comment| found.first == Some(comment.id));
            let first = match first {
                Some(first) => Some(first.clone()),
                None => self.client.first_comment(number).await?,
            };
            let content = Content {
                comments: self.comments_among(number, &found).await?,
                attachments: self.attachments_among(number, &found).await?,
            };
            Ok::<_, ApiError>((self.whole_case(&ticket, &known, first).await?, content))
        };
        match rest.await {
            // The ticket was deleted meanwhile.
            Err(error) if error.kind == ApiErrorKind::NotFound => Ok(None),
            whole => whole.map(Some),
        }
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
        let call = client::download_call(&attachment.id, id);
        let named = |error| ApiError { call: call.clone(), ..error };
        let known = self.client.attachment(&attachment.id).await.map_err(named)?;
        self.client.open(&known, Announced::of(attachment, call, &client::DOWNLOADS)).await
    }

    /// Uploads the file, which Zendesk keeps for an hour at most, then adds its carrier comment. Without the comment nothing is left.
    async fn upload(&self, id: &str, attachment: NewAttachment) -> Result<Written, ApiError> {
        let number = self.client.number(id)?;
        // Before anything is sent: a closed or unknown ticket refuses changes, and an update beyond the limit would waste the upload.
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
        let word = self.word(priority);
        let changed = self.client.update(number, json!({ "priority": word })).await?;
        let kept = changed.ticket.get("priority").and_then(Value::as_str).unwrap_or("none");
        if kept.eq_ignore_ascii_case(&word) {
            return Ok(());
        }
        // Setting it again would not help: a trigger runs within the update ("About triggers and how they work").
        let message = format!(
            "Zendesk keeps the priority {kept} where {word} was set: a trigger sets another one, or the connector's user may not \
             change this field"
        );
        let call = format!("PUT /api/v2/tickets/{number}");
        Err(self.client.error(ApiErrorKind::Refused, &call, message))
    }

    async fn set_title(&self, id: &str, title: &str) -> Result<Option<String>, ApiError> {
        let number = self.client.number(id)?;
        let changed = self.client.update(number, json!({ "subject": text::part(&one_line(title)) })).await?;
        Ok(changed.ticket.get("subject").and_then(Value::as_str).map(text::join))
    }

    /// Solves the ticket; Zendesk itself closes solved tickets after days.
    async fn close(&self, id: &str) -> Result<(), ApiError> {
        let number = self.client.number(id)?;
        let ticket = self.client.ticket(number).await?;
        if ticket.is_done() {
            return Ok(());
        }
        let mut changes = Map::new();
        changes.insert("status".to_owned(), json!("solved"));
        if ticket.assignee_id.is_none() {
            // A ticket cannot be solved without an assignee.
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
            // The ticket was closed meanwhile.
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

    /// Adds the name of the account's own status, which only its list has.
    async fn status_names(&self, case: &Case) -> Result<Vec<String>, ApiError> {
        let own = self.client.own_statuses(client::STATUSES_AGE).await?;
        let is_own = |status: &&CustomStatus| case.status.contains(&status.id.to_string());
        let label = own.iter().find(is_own).map(|status| status.agent_label.clone());
        Ok(case.status.iter().cloned().chain(label).collect())
    }

    /// Sets one of the account's own statuses, if one has this name or ID, else the system status. A system status sets the account's own
    /// one that is the default of its category.
    ///
    /// Source: "Tickets", *JSON format*, and "Custom Ticket Statuses", developer.zendesk.com (November 2026).
    async fn set_status(&self, id: &str, status: &str) -> Result<(), ApiError> {
        let number = self.client.number(id)?;
        let call = format!("PUT /api/v2/tickets/{number}");
        let refused = |problem: String| Err(self.client.error(ApiErrorKind::Refused, &call, problem));
        let ticket = self.client.ticket(number).await?;
        if ticket.is_done() {
            return refused("the ticket was solved meanwhile".to_owned());
        }
        let own = self.client.own_statuses(Duration::minutes(5)).await?;
        let system = system_status(status);
        let is_it = |own: &&CustomStatus| {
            own.id.to_string() == status.trim() || is_same_name(&own.agent_label, status)
        };
        let (change, is_set, category) = match (system, own.iter().find(is_it)) {
            (None, Some(own)) => (
                json!({ "custom_status_id": own.id }),
                ticket.custom_status_id == Some(own.id),
                own.status_category.as_str(),
            ),
            (Some(system), _) => {
                (json!({ "status": system }), ticket.status.as_deref() == Some(system), system)
            }
            (None, None) => {
                return refused(format!(
                    "there is no status {status:?}: `casebridge check` lists those that there are"
                ));
            }
        };
        if ["solved", "closed"].contains(&category) {
            return refused(format!(
                "{status:?} means that the ticket is solved: name the status of an open ticket in [status.google]"
            ));
        }
        if is_set {
            return Ok(());
        }
        let set = Ticket::read(&self.client.update(number, change).await?.ticket)
            .map_err(|error| self.client.unreadable(&call, &error))?;
        if is_same_name(set.status.as_deref().unwrap_or_default(), category) {
            return Ok(());
        }
        refused(format!(
            "Zendesk keeps the status {} where {status:?} was set: a trigger sets another one, or the account has no such status",
            set.status.as_deref().unwrap_or("none")
        ))
    }

    async fn show_state(&self, id: &str, text: &str) -> Result<(), ApiError> {
        let number = self.client.number(id)?;
        let Some(field) = self.client.fields().await?.google_state else {
            let all = self.client.all_fields().await?;
            let problem = match client::google_state_field(self.settings(), &all) {
                Some(Err(problem)) => problem,
                Some(Ok(_)) => {
                    "the field was created after the start of the service: start it again".to_owned()
                }
                None => "company.zendesk.google_state_field is not given".to_owned(),
            };
            let call = format!("PUT /api/v2/tickets/{number}");
            return Err(self.client.error(ApiErrorKind::Refused, &call, problem));
        };
        let change = json!({ "custom_fields": [{ "id": field, "value": text }] });
        self.client.update(number, change).await.map(drop)
    }

    /// Adds or removes one tag, and leaves the others as they are. Zendesk writes tags in lower case.
    async fn annotate(&self, id: &str, annotation: &Annotation) -> Result<Annotated, ApiError> {
        let number = self.client.number(id)?;
        let Annotation::Label { label, present } = annotation else {
            let call = format!("{} ({number})", annotation.describe());
            let problem = "a ticket has no place for it without an app";
            return Err(self.client.error(ApiErrorKind::Unsupported, &call, problem));
        };
        let tag = label.to_lowercase();
        let tags = self.client.change_tags(number, &tag, *present).await?;
        if tags.iter().any(|kept| kept.to_lowercase() == tag) == *present {
            return Ok(Annotated::Done);
        }
        let message = format!("Zendesk answered 200 and left the tag {tag:?} as it was");
        let call = format!("PUT /api/v2/tickets/{number}/tags");
        Err(self.client.error(ApiErrorKind::Refused, &call, message))
    }

    async fn statuses(&self) -> Result<Statuses, ApiError> {
        let own = self.client.own_statuses(Duration::zero()).await?;
        let is_active = |status: &&CustomStatus| status.active != Some(false);
        let own = own.iter().filter(is_active).map(|status| KnownStatus {
            names: vec![status.agent_label.clone(), status.id.to_string()],
            shown: format!("{:?} ({})", status.agent_label, status.status_category),
            closed: ["solved", "closed"].contains(&status.status_category.as_str()),
            is_way: false,
        });
        let system = SYSTEM_STATUSES.iter().map(|(name, other)| KnownStatus {
            names: vec![(*name).to_owned(), (*other).to_owned()],
            shown: format!("{name:?}"),
            closed: ["solved", "closed"].contains(name),
            is_way: false,
        });
        // A name of the account's own that is also a system status means that, as it does when it is set.
        let system: Vec<KnownStatus> = system.collect();
        let own = own.filter(|own| !system.iter().any(|known| known.is_called(&own.names[0])));
        let known = own.collect::<Vec<_>>().into_iter().chain(system.clone()).collect();
        Ok(Statuses { known, complete: true })
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

impl Zendesk {
    /// Reads the export of the last hour. A temporary refusal does not fail the poll, since all programs of an account share ten calls a
    /// minute. The next poll then starts at the same time again.
    async fn exported<T: Send>(
        &self,
        since: DateTime<Utc>,
        read: impl Fn(Value) -> T + Send,
    ) -> Result<Vec<T>, ApiError> {
        let now = self.client.now();
        let latest = minus(now, EXPORT_DELAY);
        let start = self.client.export_start(since, minus(now, EXPORT_REACH)).await.min(latest);
        match self.client.export(start, EXPORT_PAGES, read).await {
            Ok((exported, complete)) => {
                self.client.note_export(None).await;
                if !complete {
                    tracing::warn!(
                        tickets = exported.len(),
                        "more tickets changed than one poll reads: what is left of them is found by the search, which may be late"
                    );
                }
                Ok(exported)
            }
            Err(error) if error.kind == ApiErrorKind::Unauthorized => Err(error),
            Err(error) => {
                self.client.note_export(Some(start)).await;
                tracing::warn!(
                    %error,
                    "the incremental export was refused: until it is not, changes are found by the search, which may be late"
                );
                Ok(Vec::new())
            }
        }
    }

    /// Reports if the connector wrote the comment that the comment about a merge quotes. Decided by the quotation's first words or, failing
    /// that, by the author of the merged ticket's last comment.
    async fn is_ours(&self, quoted: &Quoted, text: &str) -> Result<bool, ApiError> {
        let words = text.get(quoted.at..).unwrap_or_default();
        if OWN_WORDS.iter().any(|own| words.starts_with(own)) {
            return Ok(true);
        }
        match quoted.ticket {
            Some(ticket) => Ok(self.client.own_part(ticket).await?.last_comment),
            None => Ok(false),
        }
    }

    /// Returns the connector's part of each ticket that, according to a comment, was merged into this one.
    async fn moved_along(&self, ticket: u64, comment: &wire::Comment) -> Result<Vec<Arc<OwnPart>>, ApiError> {
        if comment.attachments.is_empty() {
            return Ok(Vec::new());
        }
        let Some(absorbed) = closing::absorbed(ticket, comment, &body(comment, false)) else {
            return Ok(Vec::new());
        };
        let mut moved = Vec::new();
        for from in absorbed.from {
            moved.push(self.client.own_part(from).await?);
        }
        Ok(moved)
    }

    /// Returns the comment that an update added.
    fn added(&self, ticket: u64, changed: &Changed) -> Result<AddedComment, ApiError> {
        changed.comment().ok_or_else(|| {
            // Zendesk silently adds no comment if it takes the text for blank.
            let call = format!("PUT /api/v2/tickets/{ticket}");
            self.client.error(ApiErrorKind::Unreadable, &call, "the answer tells of no new comment")
        })
    }
}

/// System statuses of a ticket, each with the name that agents see ("Tickets", *JSON format*, developer.zendesk.com). `hold` has to be
/// switched on by the account.
const SYSTEM_STATUSES: [(&str, &str); 6] = [
    ("new", "New"),
    ("open", "Open"),
    ("pending", "Pending"),
    ("hold", "On-hold"),
    ("solved", "Solved"),
    ("closed", "Closed"),
];

/// Returns the system status of that name.
fn system_status(name: &str) -> Option<&'static str> {
    let is_it = |(status, other): &&(&str, &str)| is_same_name(status, name) || is_same_name(other, name);
    SYSTEM_STATUSES.iter().find(is_it).map(|(status, _)| *status)
}

/// Returns the `external_id` of the ticket of a Google case, the same for any parent of the case (`R9`: one mapping per case).
fn external_id(counterpart: &str) -> String {
    match GoogleCaseName::parse(counterpart) {
        Ok(name) => format!("{EXTERNAL_ID_PREFIX}{}", name.number()),
        Err(_) => format!("{EXTERNAL_ID_PREFIX}{counterpart}"),
    }
}

/// Replaces characters that have a meaning in a search by spaces.
fn words(text: &str) -> String {
    text.chars().map(|c| if c == '"' || c == '\\' || c.is_control() { ' ' } else { c }).collect()
}

/// Returns a comment's text: as it was sent, if the connector wrote it; else Zendesk's plain text, which lacks the targets of links.
fn body(comment: &wire::Comment, ours: bool) -> String {
    match (&comment.html_body, &comment.plain_body, &comment.body) {
        (Some(html), ..) if ours => text::decode(html),
        // Zendesk writes hard spaces as entities in plain text.
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
        comment: Some(comment.id.to_string()),
    }
}

fn author(comment: &wire::Comment, comments: &Comments) -> String {
    comment.author_id.and_then(|author| comments.names.get(&author).cloned()).unwrap_or_default()
}

/// Internal, unless the comment is marked public (`R29`: private until shown to be public).
fn visibility(comment: &wire::Comment) -> Visibility {
    if comment.public == Some(true) { Visibility::Public } else { Visibility::Internal }
}

/// Reports if a file is among those that the connector put on a merged ticket.
fn is_among(moved: &[Arc<OwnPart>], attachment: &wire::Attachment) -> bool {
    let file = (attachment.file_name.clone(), attachment.size);
    moved.iter().any(|part| part.files.contains(&file))
}

/// Group or organization that access to a ticket depends on (`R26`: empty answers need proof). `None` if the connector's user sees all
/// tickets.
fn scope(me: &User, ticket: &Ticket) -> Option<String> {
    let named =
        |what: &str, id: Option<u64>| id.map_or_else(|| format!("no {what}"), |id| format!("{what} {id}"));
    match me.ticket_restriction.as_deref() {
        Some("organization") => Some(named("organization", ticket.organization_id)),
        Some(_) => Some(named("group", ticket.group_id)),
        None if me.restricted_agent => Some(named("group", ticket.group_id)),
        None => None,
    }
}

/// Subtracts a duration from a time, down to the earliest time that chrono has.
fn minus(at: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    at.checked_sub_signed(by).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// End of all API tokens. Source: "Migrating from API tokens to OAuth access tokens", developer.zendesk.com (November 2026).
fn last_api_token() -> CredentialEnd {
    CredentialEnd {
        what: "every API token of Zendesk".to_owned(),
        at: expiry::read("2027-04-30").unwrap_or(DateTime::<Utc>::MAX_UTC),
        hint: "make an OAuth client, and set company.zendesk.client_id and client_secret instead: docs/crm-zendesk.md"
            .to_owned(),
    }
}
