//! ServiceNow as the company's side: incidents, customer service cases, or another table of that kind.
//!
//! | file | contents |
//! | --- | --- |
//! | `settings` | the `[company.servicenow]` section |
//! | `client` | the calls of the REST API, and its caches |
//! | `details` | what routes go by, and the people of a case |
//! | `query` | encoded queries |
//! | `wire` | ServiceNow's JSON |
//! | `text` | plain text in a journal |
//! | `address` | references to cases as people type them: number, `sys_id`, address |
//! | `check` | `casebridge check` |
//!
//! Particular to ServiceNow:
//!
//! - It ignores unknown columns silently: in a query (which then finds everything), in an answer and in a write. So every record is
//!   compared with the query, and every write is verified.
//! - Comments are entries of two journals: `comments`, which the caller sees, and `work_notes`. They are written as columns of the record
//!   and read from `sys_journal_field`, so the entry of a new comment has to be looked up.
//! - A new file need not update its record: polls search for both.
//! - Records that an access rule hides are missing in an answer but counted in its `X-Total-Count`. Hidden records are an error, not an
//!   empty answer (`R26`: empty answers need proof).

mod address;
mod check;
mod client;
mod details;
mod query;
mod settings;
pub mod text;
mod wire;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};
use serde_json::{Map, Value, json};

use self::address::Reference;
use self::client::{COMMENTS, Choices, Client, WORK_NOTES};
use self::query::Query;
use self::settings::{CORRELATION_DISPLAY, CORRELATION_ID};
use self::wire::{Record, is_sys_id};
use super::PriorityWords;
use super::content::{Text, media_type, one_line};
// Jira's rules for file names are the strictest of all CRMs; here they keep names readable in a listing.
use super::jira::stored_filename;
use crate::cases::{
    Annotated, Annotation, ApiError, ApiErrorKind, Attachment, Capabilities, Case, CaseLink, CaseSystem,
    Check, Closing, Comment, Content, CredentialEnd, Details, Download, Filing, Finding, Found,
    GOOGLE_STATE_ROOM, KnownStatus, Needs, NewAttachment, NewCase, NewComment, Placement, Statuses, Sweep,
    TextLimit, Visibility, Wanted, Written, is_same_name, sort_counterparts, utf16_units,
};
use crate::clock::SharedClock;
use crate::crm::CrmKind as _;
use crate::crm::expiry;
use crate::entities::{GoogleCaseName, Priority, PriorityReading, Side};
use crate::outbound::Upstream;

use self::client::stranger;
pub use self::settings::{ImpactAndUrgency, ServiceNowSettings};

/// Name of the system in errors and texts.
pub const NAME: &str = "ServiceNow";

/// Minimum length of an entry that may be a comment that was cut, in bytes. No comment column is shorter, so a shorter entry is another
/// comment.
const SHORTEST_COLUMN: usize = 250;

/// ServiceNow as the company's CRM.
pub struct ServiceNow {
    client: Client,
    priorities: PriorityWords,
    clock: SharedClock,
    capabilities: Capabilities,
}

impl ServiceNow {
    /// Creates the adapter behind `upstream`, whose base is the instance's address and whose credentials are
    /// [`CrmKind::credentials`](crate::crm::CrmKind::credentials). The words of `priorities` have to be values of priorities:
    /// [`CrmKind::priority_problems`](crate::crm::CrmKind::priority_problems). Makes no call yet.
    #[must_use]
    pub fn new(
        settings: ServiceNowSettings,
        priorities: PriorityWords,
        upstream: Upstream,
        clock: SharedClock,
    ) -> Self {
        let upstream = upstream.speaking(settings.dialect());
        upstream.advise(check::remedies(&settings).advice());
        let client = Client::new(settings, upstream);
        let settings = client.settings();
        let capabilities = Capabilities {
            name: NAME,
            // True for Resolved. Closed and Canceled are final in the base system; `reopen` reports that.
            reopen: true,
            comment_when_closed: true,
            internal_comments: true,
            comments_change: false,
            comment_limit: TextLimit { max: settings.comment_limit, measure: text::encoded_units },
            title_limit: TextLimit { max: settings.title_limit, measure: utf16_units },
            description_limit: TextLimit { max: settings.description_limit, measure: utf16_units },
            // Answers also come as XML, which has no room for them.
            control_characters: false,
            // Queries go to the database, so there is no index lag.
            index_lag: Duration::zero(),
            in_flight_window: client.in_flight_window(),
            time_resolution: Duration::seconds(1),
            idempotency_keys: false,
            stored_filename,
        };
        Self { client, priorities, clock, capabilities }
    }

    fn settings(&self) -> &ServiceNowSettings {
        self.client.settings()
    }

    /// Converts a record to a case. `me` is the connector's user. `files` is the time of the newest file: it counts as an update, which it
    /// need not be to ServiceNow.
    fn case(&self, record: &Record, me: &str, files: Option<DateTime<Utc>>) -> Case {
        let settings = self.settings();
        let closed = self.is_closed(record);
        Case {
            id: record.id().to_owned(),
            key: record.text("number").map(str::to_owned),
            title: record.text("short_description").unwrap_or_default().to_owned(),
            description: record.text("description").unwrap_or_default().to_owned(),
            // People write it without markup.
            earlier_description: None,
            priority: self.priorities.read(record.text("priority")),
            closed,
            closing: closed.then(|| self.closing(record)),
            // ServiceNow merges no records: a duplicate remains a record of its own.
            merged_into: None,
            created_at: record.time("sys_created_on"),
            updated_at: record.time("sys_updated_on").max(files),
            counterpart: self.counterpart(record).map(str::to_owned),
            counterpart_address: None,
            by_connector: record.text("sys_created_by").map(|user| is_same_user(user, me)),
            address: Some(address::of(self.client.home(), &settings.table, record.id())),
            scope: Some(match record.text("sys_domain") {
                // Where domains are separated, rights are granted by domain.
                Some(domain) => format!("{}/{domain}", settings.table),
                None => settings.table.clone(),
            }),
            synchronize: record.is(&settings.flag_field),
            filing: Filing::default(),
            subscribers: None,
            raised: None,
            state: None,
            escalated: false,
            status: record.text("state").map(str::to_owned).into_iter().collect(),
            state_text: settings
                .google_state_field
                .as_ref()
                .map(|column| record.text(column).unwrap_or_default().to_owned()),
        }
    }

    /// Returns the states with their labels; empty if the user may not read them.
    async fn state_choices(&self) -> Result<Choices, ApiError> {
        match self.client.choices("state").await {
            Err(error) if error.is_for_good() || error.kind == ApiErrorKind::Unauthorized => {
                Ok(Choices::default())
            }
            choices => choices,
        }
    }

    /// Returns the way in which a closed record was closed (`R32`: closed is not solved).
    fn closing(&self, record: &Record) -> Closing {
        let code = record.text("close_code").or_else(|| record.text("resolution_code"));
        let is_duplicate = record.text("duplicate_of").is_some();
        self.settings().closing(record.text("state").unwrap_or_default(), code, is_duplicate)
    }

    fn counterpart<'a>(&self, record: &'a Record) -> Option<&'a str> {
        record.text(&self.settings().google_name_field).map(str::trim).filter(|name| !name.is_empty())
    }

    fn is_closed(&self, record: &Record) -> bool {
        record.text("state").is_some_and(|state| self.settings().is_closed(state))
            || (record.has("active") && !record.is("active"))
    }

    /// Returns the fields that set a priority.
    fn priority_fields(&self, priority: Priority) -> Result<Map<String, Value>, ApiError> {
        let word = self.priorities.word(priority);
        let table = self.settings().impact_and_urgency();
        if table.is_empty() {
            return Ok(Map::from_iter([("priority".to_owned(), json!(word))]));
        }
        let Some(found) = table.get(word) else {
            let message = format!(
                "priorities.{priority} is {word:?}, which company.servicenow.impact_and_urgency lacks"
            );
            return Err(self.client.error(ApiErrorKind::Refused, "set priority", message));
        };
        Ok(Map::from_iter([
            ("impact".to_owned(), json!(found.impact.to_string())),
            ("urgency".to_owned(), json!(found.urgency.to_string())),
        ]))
    }

    /// Updates a case and verifies the result: ServiceNow answers 200 even if it ignores fields that do not exist or that the user may not
    /// write.
    async fn change(
        &self,
        id: &str,
        fields: Map<String, Value>,
        what: &str,
        holds: impl Fn(&Record) -> bool + Send,
    ) -> Result<(), ApiError> {
        let changed = self.client.update(id, fields).await?;
        if holds(&changed) {
            return Ok(());
        }
        let call = format!("PATCH {}", self.client.path(id)?);
        Err(self.client.error(
            ApiErrorKind::Refused,
            &call,
            format!("ServiceNow answered 200 and left {what} as it was"),
        ))
    }

    /// Writes the Google case into the columns for the record of another system. They stay as they are if another integration uses them.
    async fn correlate(&self, id: &str, call: &str, link: &CaseLink) -> Result<Annotated, ApiError> {
        let wanted =
            [(CORRELATION_ID, link.name.clone()), (CORRELATION_DISPLAY, correlation_display(&link.number))];
        let columns = wanted.each_ref().map(|(column, _)| *column);
        let before = self.client.both_values(id, &columns).await?;
        let value = |record: &Value, column: &str| {
            let value = record.get(column).and_then(|both| both.get("value")).and_then(Value::as_str);
            value.map(|value| value.trim().to_owned())
        };
        // ServiceNow leaves out columns that a table does not have, or that the user may not read.
        if let Some(absent) = columns.iter().find(|column| value(&before, column).is_none()) {
            let problem = format!(
                "the record has no column {absent}, or the connector's user may not read it: grant it a role that does, or set \
                 company.remote_link = false"
            );
            return Err(self.client.error(ApiErrorKind::Refused, call, problem));
        }
        let is_free = |(column, wanted): &(&str, String)| {
            value(&before, column).is_some_and(|now| now.is_empty() || now == *wanted)
        };
        let [name, display] = columns.map(|column| value(&before, column).unwrap_or_default());
        // The link to an earlier Google case of this record.
        let is_ours =
            GoogleCaseName::parse(&name).is_ok_and(|name| display == correlation_display(name.number()));
        if !is_ours && !wanted.iter().all(is_free) {
            return Ok(Annotated::Occupied);
        }
        let stands = |record: &Value| {
            wanted.iter().all(|(column, wanted)| value(record, column).as_ref() == Some(wanted))
        };
        if stands(&before) {
            return Ok(Annotated::Done);
        }
        let fields = wanted.iter().map(|(column, value)| ((*column).to_owned(), json!(value))).collect();
        self.client.update(id, fields).await?;
        if stands(&self.client.both_values(id, &columns).await?) {
            return Ok(Annotated::Done);
        }
        let problem = format!(
            "ServiceNow answered 200 and left {CORRELATION_ID} and {CORRELATION_DISPLAY} as they were: the connector's user needs a role \
             that writes them"
        );
        Err(self.client.error(ApiErrorKind::Refused, call, problem))
    }

    async fn by_connector(&self, user: Option<&str>) -> Result<Option<bool>, ApiError> {
        let Some(user) = user else { return Ok(None) };
        Ok(Some(is_same_user(user, &self.client.me().await?)))
    }

    /// Explains why a file's content is refused, and chooses the kind of error by whether that may pass (`R33`: permanent refusals are
    /// explained once).
    async fn blocked(&self, attachment: &Attachment, refused: ApiError) -> ApiError {
        let (kind, why) = match self.client.file_state(&attachment.id).await.ok().flatten().as_deref() {
            Some("pending") => (
                ApiErrorKind::NotApplied,
                "ServiceNow's virus scanner has not looked at the file yet (state pending)",
            ),
            Some("not_available") => (
                ApiErrorKind::Refused,
                "ServiceNow's virus scanner blocks the file (state not_available): see Antivirus Scanning, Quarantined Files",
            ),
            Some(_) | None => (refused.kind, "give the connector's user the right to read this file"),
        };
        let message = format!("{}; {why}", refused.message);
        ApiError { kind, message, ..refused }
    }

    /// Finds the case with a number.
    async fn numbered(&self, number: &str) -> Result<Option<Case>, ApiError> {
        let found = self.client.numbered(number).await?;
        let mut ids = found.iter();
        match (ids.next(), ids.next()) {
            (Some(id), None) => self.get(id).await,
            (None, _) => Ok(None),
            (Some(one), Some(other)) => {
                let message = format!(
                    "{} records have the number {number}, {one} and {other} among them: give the sys_id",
                    found.len()
                );
                Err(self.client.error(
                    ApiErrorKind::Refused,
                    &format!("{} {number}", self.settings().table),
                    message,
                ))
            }
        }
    }

    /// Returns a function for the display names of the users who created these records.
    async fn authors(&self, records: &[Record]) -> impl Fn(&Record) -> String + use<> {
        let users: BTreeSet<&str> =
            records.iter().filter_map(|record| record.text("sys_created_by")).collect();
        let names = self.client.names(users).await;
        move |record: &Record| {
            let user = record.text("sys_created_by").unwrap_or_default();
            names.get(user).cloned().unwrap_or_else(|| user.to_owned())
        }
    }

    /// Finds the journal entry of a comment that the connector just added.
    async fn entry(&self, id: &str, column: &str, text: &str, call: &str) -> Result<Written, ApiError> {
        // The comment was added, even if the lookup fails.
        let lost = |error: ApiError| ApiError { kind: ApiErrorKind::Uncertain, ..error };
        let me = self.client.me().await.map_err(lost)?.to_lowercase();
        let journal = self.client.journal(id, Some(self.clock.now())).await.map_err(lost)?;
        let sent = text.trim_end();
        let mut ours = journal.iter().filter_map(|entry| {
            let author = entry.text("sys_created_by").unwrap_or_default().to_lowercase();
            let value = entry.text("value").unwrap_or_default().replace("\r\n", "\n").trim_end().to_owned();
            (entry.text("element") == Some(column) && author == me).then_some((entry, value))
        });
        let found = ours.clone().find(|(_, value)| value == sent).or_else(|| {
            // A column that is shorter than configured cuts the text.
            let cut = ours.find(|(_, value)| value.len() >= SHORTEST_COLUMN && sent.starts_with(value))?;
            tracing::warn!(
                case = id,
                kept = cut.1.len(),
                sent = sent.len(),
                "ServiceNow cut a comment: lower company.servicenow.comment_limit to the length of the column {column}"
            );
            Some(cut)
        });
        let Some((entry, _)) = found else {
            let message = "the comment was taken, and sys_journal_field does not show it: the connector's user needs a role that \
                           reads that table";
            return Err(self.client.error(ApiErrorKind::Unreadable, call, message));
        };
        let created_at = entry.time("sys_created_on");
        Ok(Written { id: entry.id().to_owned(), created_at, carrier_comment: None })
    }

    async fn shown_record(&self, id: &str) -> Result<Option<Record>, ApiError> {
        if !is_sys_id(id) {
            return Ok(None);
        }
        match self.client.record(id).await {
            Ok(record) => Ok(Some(record)),
            Err(error) if error.kind == ApiErrorKind::NotFound => {
                // A 404 counts only if the instance has the table: a wrong address answers the same.
                self.client.search_some(Query::default()).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the flagged records that were updated since `since`. Without `files`, records of which only the files are new are left out.
    async fn sweep(&self, since: DateTime<Utc>, files: bool) -> Result<Sweep, ApiError> {
        let me = self.client.me().await?;
        let flagged = Query::default().equals(&self.settings().flag_field, "true");
        let read = |record: &Record| Found::from(&self.case(record, &me, None));
        let mut found = self.client.search(flagged.since("sys_updated_on", since), read).await?;
        // A record must have the same update time in both kinds of search, or it would count as changed. So the files are read too, unless
        // nothing was found.
        if !files && found.records.is_empty() && found.skipped.is_empty() {
            return Ok(Sweep { identified: found.identified, ..Sweep::default() });
        }
        let recent = self.client.recent_files(since).await?;
        let mut identified = found.identified && recent.identified;
        let files: BTreeMap<String, DateTime<Utc>> = recent.records.into_iter().collect();
        let known: BTreeSet<&str> = found.records.iter().map(|case| case.id.as_str()).collect();
        let others: Vec<&str> =
            files.keys().map(String::as_str).filter(|id| is_sys_id(id) && !known.contains(id)).collect();
        let others = self.client.flagged(&others, read).await?;
        identified &= others.identified;
        found.records.extend(others.records);
        found.skipped.extend(others.skipped);
        // Times are whole seconds: a later update within the same second has the same time. The second is subtracted from `since`, because
        // adding it to the record's time could overflow.
        let since = since.checked_sub_signed(Duration::seconds(1)).unwrap_or(since);
        found.records.retain_mut(|case| {
            case.updated_at = case.updated_at.max(files.get(&case.id).copied());
            // Checks each record again, since ServiceNow may have ignored a condition.
            case.synchronize && case.updated_at.is_none_or(|at| at > since)
        });
        Ok(Sweep { cases: found.records, skipped: found.skipped, identified })
    }

    /// Returns the comments and work notes of a journal.
    async fn comments_of(&self, journal: &[Record]) -> Result<Vec<Comment>, ApiError> {
        let author = self.authors(journal).await;
        let mut comments = Vec::with_capacity(journal.len());
        for entry in journal {
            let visibility = match entry.text("element") {
                Some(COMMENTS) => Visibility::Public,
                // Work notes, another journal of the table, or a column that the user may not read (R29: private until shown to be public).
                Some(_) | None => Visibility::Internal,
            };
            let value = entry.text("value").unwrap_or_default().replace("\r\n", "\n");
            let by_connector = self.by_connector(entry.text("sys_created_by")).await?;
            let text = match by_connector {
                Some(false) => Text::new(text::readable(&value), text::decode(&value)),
                Some(true) | None => Text::of(text::decode(&value)),
            };
            comments.push(Comment {
                id: entry.id().to_owned(),
                other_id: None,
                author: author(entry),
                created_at: entry.time("sys_created_on"),
                body: text.now,
                earlier_body: text.earlier,
                edited_at: None,
                visibility,
                by_connector,
            });
        }
        Ok(comments)
    }

    /// Returns all files as public. Files belong to the record itself, even those added with a work note. Users who see the record see its
    /// files, and no column restricts that. This is assumed of the base system.
    async fn attachments_of(&self, files: &[Record]) -> Result<Vec<Attachment>, ApiError> {
        let author = self.authors(files).await;
        let mut attachments = Vec::with_capacity(files.len());
        for file in files {
            attachments.push(Attachment {
                author: author(file),
                by_connector: self.by_connector(file.text("sys_created_by")).await?,
                ..file.attachment()
            });
        }
        Ok(attachments)
    }
}

#[async_trait]
impl CaseSystem for ServiceNow {
    fn side(&self) -> Side {
        Side::Company
    }

    /// ServiceNow merges and archives no task of these tables.
    fn closes_as(&self, closing: Closing) -> bool {
        !matches!(closing, Closing::Merged | Closing::Archived)
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// Returns the configured limit: REST shows it to administrators only.
    async fn attachment_limit(&self) -> Result<Option<u64>, ApiError> {
        Ok(Some(self.settings().attachment_limit_mib.saturating_mul(1024 * 1024)))
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
        expiry::configured("servicenow", self.client.settings().token_expires.as_deref())
    }

    fn clock_skew(&self) -> Option<Duration> {
        self.client.upstream().clock_skew()
    }

    fn latest_skew(&self) -> Option<Duration> {
        self.client.upstream().latest_skew()
    }

    async fn is_own_user(&self, user: &str) -> bool {
        self.client.known_user().await.is_some_and(|me| is_same_user(&me, user))
    }

    async fn identify(&self) -> Result<(), ApiError> {
        self.client.identify().await
    }

    async fn any_case(&self, except: Option<&str>) -> Result<Option<String>, ApiError> {
        self.client.any_case(except).await
    }

    async fn resolve(&self, reference: &str) -> Result<Option<Case>, ApiError> {
        let settings = self.settings();
        match Reference::read(reference, self.client.home(), &settings.table) {
            Ok(Reference::Id(id)) => self.get(&id).await,
            Ok(Reference::Number(number)) => self.numbered(&number).await,
            Err(why) => {
                let call = format!("{} {}", settings.table, crate::cases::shorten(reference));
                Err(self.client.error(ApiErrorKind::Refused, &call, why))
            }
        }
    }

    async fn search_updated(&self, since: DateTime<Utc>) -> Result<Sweep, ApiError> {
        self.sweep(since, true).await
    }

    /// True: a new file does not change the update time of its record (an assumption), so files have a search of their own.
    fn searches_twice(&self) -> bool {
        true
    }

    async fn search_first(&self, since: DateTime<Utc>) -> Result<Sweep, ApiError> {
        self.sweep(since, false).await
    }

    async fn get(&self, id: &str) -> Result<Option<Case>, ApiError> {
        let Some(record) = self.shown_record(id).await? else { return Ok(None) };
        let me = self.client.me().await?;
        Ok(Some(self.case(&record, &me, self.client.newest_file(id).await?)))
    }

    async fn shows(&self, id: &str) -> Result<bool, ApiError> {
        Ok(self.shown_record(id).await?.is_some())
    }

    async fn find_counterparts(
        &self,
        counterpart: &str,
        _home: Option<&str>,
    ) -> Result<Vec<Found>, ApiError> {
        let column = self.settings().google_name_field.clone();
        let wanted = GoogleCaseName::parse(counterpart).ok();
        let query = match &wanted {
            // R9 (one mapping per case): names with the same number are one case, whatever the parent.
            Some(name) => Query::default().ends_with(&column, &format!("/{}", name.number())),
            None => Query::default().equals(&column, counterpart),
        };
        let is_same = |name: &str| match (&wanted, GoogleCaseName::parse(name)) {
            (Some(wanted), Ok(found)) => wanted.number() == found.number(),
            _ => name == counterpart,
        };
        let me = self.client.me().await?;
        let read = |record: &Record| {
            let is_same = self.counterpart(record).is_some_and(is_same);
            is_same.then(|| Found::from(&self.case(record, &me, None)))
        };
        let mut found: Vec<Found> =
            self.client.search(query, read).await?.records.into_iter().flatten().collect();
        sort_counterparts(&mut found);
        Ok(found)
    }

    async fn create(&self, case: &NewCase) -> Result<Case, ApiError> {
        // Before anything is created: a case without the Google case's name could never be found again (R13: unknown write outcome).
        self.client.columns().await?;
        let me = self.client.me().await?;
        let settings = self.settings();
        let mut fields: Map<String, Value> =
            settings.new_fields.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        fields
            .extend(settings::placed(&case.placement).into_iter().map(|(name, value)| (name, json!(value))));
        if let Some(priority) = case.priority {
            fields.extend(self.priority_fields(priority)?);
        }
        fields.extend([
            ("short_description".to_owned(), json!(one_line(&case.title))),
            ("description".to_owned(), json!(case.description)),
            (settings.flag_field.clone(), json!("true")),
            (settings.google_name_field.clone(), json!(case.counterpart)),
        ]);
        let record = self.client.create(fields).await?;
        if !record.is(&settings.flag_field) || self.counterpart(&record) != Some(case.counterpart.as_str()) {
            let call = format!("POST /api/now/table/{}", settings.table);
            let message = format!(
                "{} was created without {} and {}: create those columns, or give the connector's user a role that writes them, \
                 and set both on that record; until the service is started again, no more cases are created",
                record.text("number").unwrap_or_else(|| record.id()),
                settings.flag_field,
                settings.google_name_field
            );
            let error = self.client.error(ApiErrorKind::Refused, &call, message);
            self.client.columns_are_not_writable(error.clone()).await;
            return Err(error);
        }
        Ok(self.case(&record, &me, None))
    }

    async fn link(&self, id: &str, counterpart: &str) -> Result<(), ApiError> {
        let column = &self.settings().google_name_field;
        let holds = |record: &Record| self.counterpart(record) == Some(counterpart);
        if holds(&self.client.record(id).await?) {
            return Ok(());
        }
        let fields = Map::from_iter([(column.clone(), json!(counterpart))]);
        self.change(
            id,
            fields,
            &format!("{column} (the connector's user needs a role that writes it)"),
            holds,
        )
        .await
    }

    async fn comments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Comment>, ApiError> {
        // Fails if the ID is not valid.
        self.client.path(id)?;
        let journal = self.client.journal(id, since).await?;
        if journal.is_empty() {
            // A record that does not exist has an empty journal, with 200.
            self.client.record(id).await?;
        }
        self.comments_of(&journal).await
    }

    async fn attachments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Attachment>, ApiError> {
        self.client.path(id)?;
        let files = self.client.files(id, since).await?;
        if files.is_empty() {
            self.client.record(id).await?;
        }
        self.attachments_of(&files).await
    }

    /// Reads the record itself only if both lists are empty: an entry of either shows that the record exists.
    async fn content(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Content, ApiError> {
        self.client.path(id)?;
        let (journal, files) =
            tokio::try_join!(self.client.journal(id, since), self.client.files(id, since))?;
        if journal.is_empty() && files.is_empty() {
            self.client.record(id).await?;
        }
        let (comments, attachments) =
            tokio::try_join!(self.comments_of(&journal), self.attachments_of(&files))?;
        Ok(Content { comments, attachments })
    }

    /// Reads the files once: the newest one also has the time that counts as the case's last update.
    async fn get_whole(
        &self,
        id: &str,
        since: Option<DateTime<Utc>>,
    ) -> Result<Option<(Case, Content)>, ApiError> {
        let Some(record) = self.shown_record(id).await? else { return Ok(None) };
        let me = self.client.me().await?;
        let (journal, files) =
            tokio::try_join!(self.client.journal(id, since), self.client.files(id, since))?;
        let newest = files.iter().filter_map(|file| file.time("sys_created_on")).max();
        let (comments, attachments) =
            tokio::try_join!(self.comments_of(&journal), self.attachments_of(&files))?;
        Ok(Some((self.case(&record, &me, newest), Content { comments, attachments })))
    }

    async fn add_comment(&self, id: &str, comment: &NewComment) -> Result<Written, ApiError> {
        let column = match comment.visibility {
            Visibility::Public => COMMENTS,
            Visibility::Internal => WORK_NOTES,
        };
        let text = text::encode(&comment.body);
        self.client.update(id, Map::from_iter([(column.to_owned(), json!(text))])).await?;
        self.entry(id, column, &text, &format!("PATCH {}", self.client.path(id)?)).await
    }

    async fn download(&self, id: &str, attachment: &Attachment) -> Result<Download, ApiError> {
        let call = format!("GET attachment {} of record {id}", attachment.id);
        match self.client.content(attachment, call).await {
            Err(error) if error.status == Some(403) => Err(self.blocked(attachment, error).await),
            outcome => outcome,
        }
    }

    async fn upload(&self, id: &str, attachment: NewAttachment) -> Result<Written, ApiError> {
        let limit = self.settings().attachment_limit_mib.saturating_mul(1024 * 1024);
        if let Some(size) = attachment.size.filter(|size| *size > limit) {
            let call = format!("POST attachment on record {}", crate::cases::shorten(id));
            let message = format!(
                "{size} bytes are more than ServiceNow takes ({limit}, company.servicenow.attachment_limit_mib)"
            );
            return Err(self.client.error(ApiErrorKind::Unacceptable, &call, message));
        }
        let name = stored_filename(&attachment.filename);
        let media_type = media_type(attachment.media_type.as_deref());
        let file = self.client.upload(id, &name, media_type, attachment.size, attachment.content).await?;
        let created_at = file.time("sys_created_on");
        Ok(Written { id: file.id().to_owned(), created_at, carrier_comment: None })
    }

    async fn set_priority(&self, id: &str, priority: Priority) -> Result<(), ApiError> {
        let word = self.priorities.word(priority);
        let fields = self.priority_fields(priority)?;
        let changed = self.client.update(id, fields).await?;
        let is_set = match self.priorities.read(changed.text("priority")) {
            PriorityReading::Known(levels) => levels.contains(priority),
            PriorityReading::Unknown(_) | PriorityReading::Unset => false,
        };
        if is_set {
            return Ok(());
        }
        let left = changed.text("priority").map_or_else(|| "none".to_owned(), |left| format!("{left:?}"));
        let message = format!(
            "ServiceNow answered 200, and the record's priority is {left} where {word:?} was asked for: a business rule or a data \
             policy puts it back, or company.servicenow.impact_and_urgency does not agree with the instance's own rules (Priority \
             Lookup Rules)"
        );
        Err(self.client.error(ApiErrorKind::Refused, &format!("PATCH {}", self.client.path(id)?), message))
    }

    async fn set_title(&self, id: &str, title: &str) -> Result<Option<String>, ApiError> {
        let fields = Map::from_iter([("short_description".to_owned(), json!(one_line(title)))]);
        let changed = self.client.update(id, fields).await?;
        Ok(changed.text("short_description").map(str::to_owned))
    }

    /// Resolves the record; ServiceNow itself closes resolved records after days.
    async fn close(&self, id: &str) -> Result<(), ApiError> {
        if self.is_closed(&self.client.record(id).await?) {
            return Ok(());
        }
        let settings = self.settings();
        let mut fields: Map<String, Value> = settings
            .close_fields()
            .into_iter()
            .map(|(name, value)| (name.to_owned(), json!(value)))
            .collect();
        fields.insert("state".to_owned(), json!(settings.close_state()));
        let what = "the state (company.servicenow.close_state; a business rule may have put it back)";
        self.change(id, fields, what, |record| self.is_closed(record)).await
    }

    async fn reopen(&self, id: &str) -> Result<(), ApiError> {
        let record = self.client.record(id).await?;
        if !self.is_closed(&record) {
            return Ok(());
        }
        let fields = Map::from_iter([("state".to_owned(), json!(self.settings().reopen_state()))]);
        let what = "the state (company.servicenow.reopen_state)";
        let final_in = |error: ApiError| {
            let state = record.text("state").unwrap_or_default();
            let message = format!(
                "{}; a record in the state {state:?} may be final: only a resolved one can be opened again. Create a new \
                 one, and set the flag there",
                error.message
            );
            ApiError { kind: ApiErrorKind::Unsupported, message, hint: None, ..error }
        };
        match self.change(id, fields, what, |record| !self.is_closed(record)).await {
            Err(error) if error.status == Some(403) || error.kind == ApiErrorKind::Refused => {
                Err(final_in(error))
            }
            outcome => outcome,
        }
    }

    /// Adds the label of the state, which only the table of choices has.
    async fn status_names(&self, case: &Case) -> Result<Vec<String>, ApiError> {
        let choices = self.state_choices().await?;
        let labels = case.status.iter().filter_map(|state| choices.get(state).cloned());
        Ok(case.status.iter().cloned().chain(labels).collect())
    }

    async fn set_status(&self, id: &str, status: &str) -> Result<(), ApiError> {
        let call = format!("PATCH {}", self.client.path(id)?);
        let refused = |problem: String| self.client.error(ApiErrorKind::Refused, &call, problem);
        let record = self.client.record(id).await?;
        if self.is_closed(&record) {
            return Err(refused("the record was closed meanwhile".to_owned()));
        }
        let choices = self.state_choices().await?;
        let wanted = status.trim();
        let labelled =
            choices.iter().find(|(_, label)| is_same_name(label, wanted)).map(|(value, _)| value.as_str());
        let value = match (choices.contains_key(wanted), labelled) {
            (true, _) => wanted,
            (false, Some(value)) => value,
            // Without the choices, only a value can be told.
            (false, None) if choices.is_empty() && wanted.parse::<i64>().is_ok() => wanted,
            (false, None) if choices.is_empty() => {
                return Err(refused(format!(
                    "{status:?} is no value of a state, and the user may not read sys_choice, which has the labels: give the value in \
                     [status.google]"
                )));
            }
            (false, None) => {
                return Err(refused(format!(
                    "the column state has no choice {status:?}: `casebridge check` lists those that there are"
                )));
            }
        };
        if self.settings().is_closed(value) {
            return Err(refused(format!(
                "{status:?} means that the record is closed: name the state of an open record in [status.google]"
            )));
        }
        if record.text("state") == Some(value) {
            return Ok(());
        }
        let fields = Map::from_iter([("state".to_owned(), json!(value))]);
        let what = "the state (a business rule may have put it back, or demands another column with it)";
        self.change(id, fields, what, |record| record.text("state") == Some(value)).await
    }

    async fn show_state(&self, id: &str, text: &str) -> Result<(), ApiError> {
        let Some(column) = &self.settings().google_state_field else {
            let call = format!("PATCH {}", self.client.path(id)?);
            let problem = "company.servicenow.google_state_field is not given";
            return Err(self.client.error(ApiErrorKind::Refused, &call, problem));
        };
        let fields = Map::from_iter([(column.clone(), json!(text))]);
        let what = format!(
            "{column} (company.servicenow.google_state_field: it has to be a column of text that holds {GOOGLE_STATE_ROOM} characters, and \
             the connector's user needs a role that writes it)"
        );
        self.change(id, fields, &what, |record| record.text(column) == Some(text)).await
    }

    async fn annotate(&self, id: &str, annotation: &Annotation) -> Result<Annotated, ApiError> {
        let call = format!("PATCH {}", self.client.path(id)?);
        match annotation {
            Annotation::Link(link) => self.correlate(id, &call, link).await,
            Annotation::Label { .. } | Annotation::Mark(_) => {
                let problem = "the connector sets no tags and marks no journal entries there";
                Err(self.client.error(ApiErrorKind::Unsupported, &call, problem))
            }
        }
    }

    async fn statuses(&self) -> Result<Statuses, ApiError> {
        let choices = self.state_choices().await?;
        let status = |(value, label): (String, String)| KnownStatus {
            shown: format!("{value:?} ({label})"),
            closed: self.settings().is_closed(&value),
            is_way: false,
            names: vec![value, label],
        };
        Ok(Statuses { known: choices.into_iter().map(status).collect(), complete: true })
    }

    async fn check(&self, needs: Needs) -> Vec<Check> {
        check::all(&self.client, &self.priorities, &self.clock, needs).await
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

/// Returns the words for a Google case in the column `correlation_display`.
fn correlation_display(number: &str) -> String {
    format!("Google case {number}")
}

/// Reports if two `user_name`s are the same user's.
fn is_same_user(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}
