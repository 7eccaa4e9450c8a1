//! Jira, Cloud and Data Center, as the company's side.
//!
//! | file | contents |
//! | --- | --- |
//! | `settings` | the `[company.jira]` section |
//! | `client` | the calls of the REST API, and its caches |
//! | `wire` | Jira's JSON |
//! | `jql` | the queries |
//! | `paging` | reading a list by offsets while it changes |
//! | `identity` | the user that an answer is for |
//! | `reference` | references to issues as people type them |
//! | `closing` | ways in which an issue was closed |
//! | `files` | files that belong to internal comments |
//! | `markup` | plain text in wiki notation |
//! | `readable` | wiki notation of people as plain text |
//! | `filename` | names of files |
//! | `details` | what routes go by, and the people of an issue |
//! | `discovery` | the custom fields, found by name |
//! | `transitions` | the transitions that close and reopen |
//! | `check` | `casebridge check` |

mod annotations;
mod check;
mod client;
mod closing;
mod details;
mod discovery;
mod filename;
mod files;
mod identity;
mod jql;
pub mod markup;
mod paging;
mod push;
pub mod readable;
mod reference;
mod registration;
mod settings;
mod transitions;
mod values;
mod wire;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use chrono::{DateTime, Duration, Utc};
use reqwest::multipart::{Form, Part};
use serde_json::{Map, Value, json};
use tokio::sync::Mutex;

use self::client::{Client, comment_path, issue_path};
use self::discovery::Fields;
use self::jql::Since;
use self::readable::{Backslash, Names};
use self::wire::{INTERNAL_PROPERTY, Marker};
use super::PriorityWords;
use super::content::Text;
use crate::cases::{
    Annotated, Annotation, ApiError, ApiErrorKind, Attachment, Capabilities, Case, CaseSystem, Check,
    Closing, Comment, Content, CredentialEnd, Details, Download, Filing, Finding, Found, KnownStatus, Needs,
    NewAttachment, NewCase, NewComment, Placement, Statuses, Sweep, TextLimit, Trouble, Visibility, Wanted,
    Written, is_same_name, markers, sort_counterparts, utf16_units,
};
use crate::clock::SharedClock;
use crate::crm::CrmKind as _;
use crate::crm::expiry;
use crate::entities::{GoogleCaseName, Priority, PriorityReading, Side};
use crate::outbound::Upstream;

pub use self::filename::stored_filename;
use self::identity::stranger;
pub use self::settings::{Deployment, JiraSettings};

/// Name of the system in errors and texts.
pub const NAME: &str = "Jira";

/// Name of the field that holds the files of an issue.
const ATTACHMENTS: &str = "attachment";

/// Maximum length of a summary, in UTF-16 units: the width of its column.
const SUMMARY_LIMIT: usize = 255;
/// Maximum length of a comment or description, in UTF-16 units: Jira's default `jira.text.field.character.limit`, and Cloud's.
const TEXT_LIMIT: usize = 32_767;
/// Number of text limits that are learned: more than an administrator sets while the process runs.
const MOST_LEARNED: usize = 8;
/// Lifetime of the cached attachment limit.
const LIMIT_AGE: Duration = Duration::minutes(10);
/// Maximum time by which a comment may be older than a file that it refers to, since a comment can be edited later.
const EDITED_LATER: Duration = Duration::hours(1);

/// Jira as the company's CRM.
pub struct Jira {
    client: Client,
    priorities: PriorityWords,
    clock: SharedClock,
    /// URL of Jira, without a slash at its end.
    home: String,
    configured: Limits,
    /// With the text limits that refusals named, newest last.
    learned: Vec<OnceLock<Limits>>,
    /// Cached attachment limit, with the time at which it was read.
    attachment_limit: Mutex<Option<(DateTime<Utc>, Option<u64>)>>,
    /// True if this Jira refused a period in a query and accepted a written time.
    periods_refused: AtomicBool,
}

/// Capabilities for a limit of texts.
#[derive(Debug)]
struct Limits {
    /// Used unless the project is known to have no internal comments. The property that marks a comment as internal does no harm elsewhere.
    with_internal: Capabilities,
    without_internal: Capabilities,
}

impl Limits {
    fn new(with_internal: Capabilities) -> Self {
        let without_internal = Capabilities { internal_comments: false, ..with_internal.clone() };
        Self { with_internal, without_internal }
    }

    /// Returns the maximum length of a description or a comment.
    fn max_text(&self) -> usize {
        self.with_internal.comment_limit.max
    }

    fn with_max_text(&self, max: usize) -> Self {
        let limit = TextLimit { max, ..self.with_internal.comment_limit };
        let usual = self.with_internal.clone();
        Self::new(Capabilities { comment_limit: limit, description_limit: limit, ..usual })
    }
}

impl Jira {
    /// Creates the adapter behind `upstream`, whose credentials are [`CrmKind::credentials`](crate::crm::CrmKind::credentials) and whose download hosts are
    /// [`CrmKind::allowed_download_hosts`](crate::crm::CrmKind::allowed_download_hosts). Makes no call yet.
    #[must_use]
    pub fn new(
        settings: JiraSettings,
        priorities: PriorityWords,
        upstream: Upstream,
        clock: SharedClock,
    ) -> Self {
        let gateway = settings.gateway(upstream.base_url());
        let upstream = upstream.speaking(settings.dialect()).through(gateway);
        upstream.advise(check::remedies(&settings).advice());
        let max_text = settings.max_text.unwrap_or(TEXT_LIMIT);
        let home = upstream.base_url().as_str().trim_end_matches('/').to_owned();
        let deployment = settings.deployment;
        let client = Client::new(settings, upstream);
        let usual = capabilities(deployment, client.in_flight_window());
        let configured = Limits::new(usual).with_max_text(max_text);
        Self {
            home,
            client,
            priorities,
            clock,
            configured,
            learned: (0..MOST_LEARNED).map(|_| OnceLock::new()).collect(),
            attachment_limit: Mutex::default(),
            periods_refused: AtomicBool::new(false),
        }
    }

    fn settings(&self) -> &JiraSettings {
        self.client.settings()
    }

    fn limits(&self) -> &Limits {
        self.learned.iter().rev().find_map(OnceLock::get).unwrap_or(&self.configured)
    }

    /// Learns the text limit from a refusal that names it, so that the text is split into shorter parts when the sync is repeated. The
    /// limit of Data Center is an administrator's choice, and no call tells it.
    fn learn(&self, sent: &str, error: ApiError) -> ApiError {
        let now = self.limits();
        let Some(max) = named_limit(&error, utf16_units(sent)).filter(|max| *max < now.max_text()) else {
            return error;
        };
        let Some(room) = self.learned.iter().find(|room| room.get().is_none()) else { return error };
        // Another call may have learned it at the same time.
        let _ = room.set(now.with_max_text(max));
        tracing::warn!(
            max,
            "Jira takes shorter texts than assumed: set company.jira.max_text to that length"
        );
        let message =
            format!("{}; the text is split into parts of {max} characters next time", error.message);
        ApiError { kind: ApiErrorKind::NotApplied, message, ..error }
    }

    /// Names of the fields that are read for a case.
    fn case_fields(fields: &Fields) -> String {
        let state = fields.google_state.iter().flatten().map(|field| format!(",{}", field.id));
        let state: String = state.collect();
        format!("summary,description,project,archiveddate,{}{state}", Self::found_fields(fields))
    }

    /// Names of the fields that a search reads, a subset of [`case_fields`](Self::case_fields). It needs no `archiveddate`, since searches
    /// find no archived issues.
    fn found_fields(fields: &Fields) -> String {
        format!(
            "priority,status,resolution,creator,created,updated,{},{}",
            fields.flag.id, fields.google_name.id
        )
    }

    fn case(
        &self,
        issue: &wire::Issue,
        fields: &Fields,
        me: &wire::User,
        names: &Names,
    ) -> Result<Case, wire::WireError> {
        let description = issue.text("description")?.unwrap_or_default();
        let is_copy = description.starts_with(markers::COMPANY_DESCRIPTION_HEADER);
        let description = self.plain(&description, is_copy, names);
        let counterpart = issue.text(&fields.google_name.id)?.map(|name| name.trim().to_owned());
        let (done, archived) = (issue.is_done()?, issue.is_archived());
        let (resolution, status) = (issue.name("resolution")?, issue.name("status")?);
        let closing = if done {
            Some(closing::of(resolution.as_deref(), status.as_deref(), self.settings()))
        } else {
            archived.then_some(Closing::Archived)
        };
        Ok(Case {
            id: issue.id.clone(),
            title: issue.text("summary")?.unwrap_or_default(),
            description: description.now,
            earlier_description: description.earlier,
            priority: self.priorities.read(issue.name("priority")?.as_deref()),
            closed: done || archived,
            closing,
            // Jira merges no issues.
            merged_into: None,
            created_at: issue.time("created")?,
            updated_at: issue.time("updated")?,
            counterpart: counterpart.filter(|name| !name.is_empty()),
            counterpart_address: None,
            by_connector: issue.user("creator")?.and_then(|creator| creator.is(me)),
            address: issue.key.as_deref().map(|key| self.address(key)),
            scope: issue.key.as_deref().and_then(reference::project).map(str::to_owned),
            synchronize: issue.holds(&fields.flag.id, &self.settings().flag_value),
            filing: Filing::default(),
            subscribers: None,
            raised: None,
            key: issue.key.clone(),
            state: None,
            escalated: false,
            status: issue.status_names()?,
            state_text: match &fields.google_state {
                Some(Ok(field)) => Some(issue.text(&field.id)?.unwrap_or_default()),
                // Without the field, the write is refused with the reason.
                Some(Err(_)) => Some(String::new()),
                None => None,
            },
        })
    }

    /// Returns the address of an issue's page.
    fn address(&self, key: &str) -> String {
        format!("{}/browse/{key}", self.home)
    }

    /// Converts a body to plain text; also as version 0.1 did, if that differs. The connector's own text is what it was before it was
    /// escaped.
    fn plain(&self, body: &str, by_connector: bool, names: &Names) -> Text {
        let (earlier, backslash) = match self.settings().deployment {
            _ if by_connector => return Text::of(markup::unescape(body)),
            Deployment::Cloud => (markup::uncover(body), Backslash::OfJira),
            Deployment::DataCenter => (markup::unescape(body), Backslash::Escapes),
        };
        Text::new(readable::to_text(body, backslash, names), earlier)
    }

    fn comment(
        &self,
        comment: wire::Comment,
        visibility: Visibility,
        me: &wire::User,
        names: &Names,
    ) -> Comment {
        let by_connector = comment.author.as_ref().and_then(|author| author.is(me));
        let text = self.plain(&comment.body, by_connector != Some(false), names);
        Comment {
            id: comment.id,
            other_id: None,
            author: comment.author.map(|author| author.shown()).unwrap_or_default(),
            created_at: comment.created,
            body: text.now,
            earlier_body: text.earlier,
            edited_at: comment.edited_at,
            visibility,
            by_connector,
        }
    }

    /// Reads the comments of an issue, back to `since`, each with its visibility (`R29`: private until shown to be public).
    async fn listed_comments(
        &self,
        id: &str,
        since: Option<DateTime<Utc>>,
    ) -> Result<Vec<(wire::Comment, Visibility)>, ApiError> {
        let found =
            self.client.comments(id, |found| since.is_some_and(|since| reaches(found, since))).await?;
        let mut comments = Vec::with_capacity(found.len());
        for value in &found {
            match wire::Comment::read(value) {
                Ok(comment) => comments.push(comment),
                Err(error) => {
                    tracing::warn!(issue = %id, %error, "a comment cannot be understood and is skipped");
                }
            }
        }
        // A comment without a marker is public only in a project that is known to have no customers.
        let unmarked = if comments.iter().any(|comment| comment.marker == Marker::Absent)
            && self.client.service_management_of(id).await? == Some(false)
        {
            Visibility::Public
        } else {
            Visibility::Internal
        };
        let with_visibility = |comment: wire::Comment| {
            let visibility = match comment.marker {
                Marker::Public => Visibility::Public,
                Marker::Internal => Visibility::Internal,
                Marker::Absent => unmarked,
            };
            (comment, visibility)
        };
        Ok(comments.into_iter().map(with_visibility).collect())
    }

    /// Sets fields. A 403 is about the issue, which the connector may not edit, and not about the credentials.
    async fn edit(&self, id: &str, fields: Value) -> Result<(), ApiError> {
        self.client.edit(id, fields).await.map_err(|error| match error.status {
            Some(403) => ApiError { kind: ApiErrorKind::Refused, ..error },
            _ => error,
        })
    }

    /// Current time by Jira's clock, as far as it is known. If it is wrong, the date of a search's answer shows it.
    fn jiras_now(&self) -> DateTime<Utc> {
        let now = self.clock.now();
        self.latest_skew().and_then(|skew| now.checked_add_signed(skew)).unwrap_or(now)
    }

    /// Searches by a period, which Jira counts from its own clock (`R36`: clock skew). The answer's date shows that clock: if the period
    /// turns out too short, the search is repeated.
    async fn search_period(&self, since: DateTime<Utc>) -> Result<Sweep, ApiError> {
        let minutes = jql::minutes_back(self.jiras_now(), since);
        let (sweep, answered_at) = self.search_form(since, Since::Minutes(minutes)).await?;
        match answered_at {
            Some(now) if !jql::reaches(now, minutes, since) => {
                let minutes = jql::minutes_back(now, since);
                Ok(self.search_form(since, Since::Minutes(minutes)).await?.0)
            }
            Some(_) | None => Ok(sweep),
        }
    }

    /// Returns the flagged issues that were updated since `since`, and the time of Jira's answer.
    async fn search_form(
        &self,
        since: DateTime<Utc>,
        form: Since,
    ) -> Result<(Sweep, Option<DateTime<Utc>>), ApiError> {
        self.client
            .with_fields(|fields| async move {
                let query = jql::updated(&fields.flag, &self.settings().flag_value, form);
                // Check the issue's own values, since the index may be stale.
                let takes_part =
                    |case: &Case| case.synchronize && case.updated_at.is_none_or(|updated| updated >= since);
                self.found(&query, &fields, takes_part).await
            })
            .await
    }

    /// Searches and returns the cases for which `keep` is true, the problems with unreadable issues, and the time of Jira's answer.
    async fn found(
        &self,
        query: &str,
        fields: &Fields,
        keep: impl Fn(&Case) -> bool + Send + Sync,
    ) -> Result<(Sweep, Option<DateTime<Utc>>), ApiError> {
        let me = self.client.me().await?;
        let read = |value: &Value| match wire::Issue::read(value)
            .and_then(|issue| self.case(&issue, fields, &me, &Names::new()))
        {
            Ok(case) => keep(&case).then(|| Ok(Found::from(&case))),
            Err(error) => Some(Err(format!("{}: {error}", wire::Issue::label(value)))),
        };
        let found = self.client.search_all(query, &Self::found_fields(fields), read).await?;
        let sweep = Sweep { identified: found.identified, ..found.items.into_iter().flatten().collect() };
        Ok((sweep, found.answered_at))
    }

    /// Creates an issue. Fields that its create screen or project lacks are left out: the priority is returned, to be set afterwards; a
    /// missing component is logged. Jira answers 400 before it changes anything, so another attempt is safe.
    async fn create_issue(
        &self,
        mut fields: Map<String, Value>,
    ) -> Result<(wire::Created, Map<String, Value>), ApiError> {
        let mut later = Map::new();
        loop {
            let error = match self.client.create(Value::Object(fields.clone())).await {
                Ok(created) => return Ok((created, later)),
                Err(error) => error,
            };
            let named = |field: &str| {
                error.status == Some(400)
                    && error.message.split("; ").any(|part| part.starts_with(&format!("{field}: ")))
            };
            let mut left_out = false;
            if named("priority")
                && let Some(priority) = fields.remove("priority")
            {
                later.insert("priority".to_owned(), priority);
                left_out = true;
            }
            let sent = Value::Object(fields.clone());
            if named("components") && fields.remove("components").is_some() {
                tracing::warn!(
                    component = %sent["components"][0]["name"],
                    project = %sent["project"]["key"],
                    reason = %error.message,
                    "a case is created without its component: add it to the Jira project, or name another in company.jira.component or in \
                     the route"
                );
                left_out = true;
            }
            if !left_out {
                let wanted = self.settings().request_type.as_deref().map(str::trim);
                let is_request_type = |(id, value): (&String, &Value)| value.as_str() == wanted && named(id);
                if wanted.is_some() && fields.iter().any(is_request_type) {
                    return Err(ApiError { hint: Some(REQUEST_TYPE.to_owned()), ..error });
                }
                return Err(demanded(error, "company.jira.new_fields", &fields));
            }
        }
    }

    /// Reads an issue as a case, with one more field or none. `None` if it does not exist.
    async fn issue_with(&self, id: &str, field: &str) -> Result<Option<(Case, wire::Issue)>, ApiError> {
        let fields = self.client.fields().await?;
        let me = self.client.me().await?;
        let mut read = Self::case_fields(&fields);
        if !field.is_empty() {
            read = format!("{read},{field}");
        }
        match self.client.issue(id, &read).await {
            Ok(issue) => {
                self.client.remember_project(&issue);
                let not_read = |error| self.not_read(id, &error);
                let description = issue.text("description").map_err(not_read)?.unwrap_or_default();
                let names = self.client.names(readable::mentioned(&description)).await?;
                let case = self.case(&issue, &fields, &me, &names).map_err(not_read)?;
                Ok(Some((case, issue)))
            }
            Err(error) if error.kind == ApiErrorKind::NotFound => {
                self.confirm_missing().await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the files of an issue that was read with [`ATTACHMENTS`].
    async fn attachments_of(
        &self,
        issue: &wire::Issue,
        id: &str,
        since: Option<DateTime<Utc>>,
    ) -> Result<Vec<Attachment>, ApiError> {
        let me = self.client.me().await?;
        let mut attachments = Vec::new();
        for found in issue.attachments().map_err(|error| self.not_read(id, &error))? {
            match found {
                Ok(attachment) => attachments.push(Attachment {
                    id: attachment.id,
                    filename: attachment.filename,
                    media_type: attachment.mime_type,
                    size: attachment.size,
                    by_connector: attachment.author.as_ref().and_then(|author| author.is(&me)),
                    author: attachment.author.map(|author| author.shown()).unwrap_or_default(),
                    created_at: attachment.created,
                    visibility: Visibility::Public,
                    comment: None,
                }),
                Err(error) => {
                    tracing::warn!(issue = %id, %error, "an attachment cannot be understood and is skipped");
                }
            }
        }
        // Comments are read only if a file may belong to one: a new file that the connector did not add.
        let is_new = |file: &&Attachment| {
            file.by_connector != Some(true)
                && since.is_none_or(|since| file.created_at.is_none_or(|created| created >= since))
        };
        let new: Vec<Option<DateTime<Utc>>> =
            attachments.iter().filter(is_new).map(|file| file.created_at).collect();
        if !new.is_empty() {
            let oldest =
                new.into_iter().collect::<Option<Vec<_>>>().and_then(|times| times.into_iter().min());
            let since = oldest.and_then(|oldest| oldest.checked_sub_signed(EDITED_LATER));
            let comments = self.listed_comments(id, since).await?;
            let comments: Vec<(&str, Visibility)> =
                comments.iter().map(|(comment, visibility)| (comment.body.as_str(), *visibility)).collect();
            files::hide(&mut attachments, &comments);
        }
        Ok(attachments)
    }

    /// Checks that Jira knows the connector. Only then does a 404 count: a wrong address and lost credentials look the same.
    async fn confirm_missing(&self) -> Result<(), ApiError> {
        self.client.myself().await.map(drop)
    }
}

#[async_trait]
impl CaseSystem for Jira {
    fn side(&self) -> Side {
        Side::Company
    }

    /// Jira merges no issues.
    fn closes_as(&self, closing: Closing) -> bool {
        !matches!(closing, Closing::Merged)
    }

    fn capabilities(&self) -> &Capabilities {
        let limits = self.limits();
        if self.client.known_service_management() == Some(false) {
            &limits.without_internal
        } else {
            &limits.with_internal
        }
    }

    async fn attachment_limit(&self) -> Result<Option<u64>, ApiError> {
        let mut known = self.attachment_limit.lock().await;
        let now = self.clock.now();
        if let Some((read_at, limit)) = *known
            // A value from the future, after the clock was set back, does not count as fresh.
            && (Duration::zero()..LIMIT_AGE).contains(&(now - read_at))
        {
            return Ok(limit);
        }
        let meta = self.client.attachment_meta().await?;
        // Attachments are disabled: no file is small enough.
        let limit = if meta.enabled == Some(false) { Some(0) } else { meta.upload_limit };
        *known = Some((now, limit));
        Ok(limit)
    }

    fn home(&self) -> Option<&str> {
        Some(&self.home)
    }

    fn google_name_field(&self) -> &str {
        &self.settings().google_name_field
    }

    fn google_state_field(&self) -> Option<&str> {
        self.settings().google_state_field.as_deref()
    }

    fn credential_end(&self) -> Option<CredentialEnd> {
        expiry::configured("jira", self.client.settings().token_expires.as_deref())
    }

    fn clock_skew(&self) -> Option<Duration> {
        self.client.clock_skew()
    }

    fn latest_skew(&self) -> Option<Duration> {
        self.client.latest_skew()
    }

    async fn is_own_user(&self, user: &str) -> bool {
        self.client.is_own_user(user).await
    }

    async fn identify(&self) -> Result<(), ApiError> {
        let me = self.client.identify().await?;
        if me.is_somebody() {
            return Ok(());
        }
        let keys = self.client.credential_keys();
        let message = format!("Jira does not say who the connector's user is: check {keys}");
        Err(self.client.error(ApiErrorKind::Unauthorized, "GET /rest/api/2/myself", message))
    }

    /// Returns the newest case but `except` in the project or with the flag, as proof that Jira shows cases (`R26`: empty answers need proof).
    async fn any_case(&self, except: Option<&str>) -> Result<Option<String>, ApiError> {
        let settings = self.settings();
        let found = self
            .client
            .with_fields(|fields| async move {
                let query = jql::within_scope(&settings.project, &fields.flag, &settings.flag_value);
                self.client.search_some(&query, "created", 2).await
            })
            .await;
        match found {
            Ok(found) => Ok(found
                .iter()
                .filter_map(|value| wire::Issue::read(value).ok())
                .map(|issue| issue.id)
                .find(|id| Some(id.as_str()) != except)),
            // For a query, a hidden project does not exist. With `except`, this means that no other case is shown.
            Err(error) if error.status == Some(400) && except.is_some() => Ok(None),
            Err(error) if error.status == Some(400) => {
                let message = format!(
                    "Jira does not show the project {}: check company.jira.project, and give the connector's user \"Browse Projects\" \
                     there ({})",
                    settings.project, error.message
                );
                Err(ApiError { kind: ApiErrorKind::Unauthorized, message, ..error })
            }
            Err(error) => Err(error),
        }
    }

    async fn resolve(&self, reference: &str) -> Result<Option<Case>, ApiError> {
        match reference::issue(reference, self.client.base_url()) {
            Ok(id_or_key) => self.get(&id_or_key).await,
            Err(problem) => Err(self.client.error(ApiErrorKind::Refused, "look for the issue", problem)),
        }
    }

    async fn search_updated(&self, since: DateTime<Utc>) -> Result<Sweep, ApiError> {
        let written = || async move { Ok(self.search_form(since, Since::WallClock(since)).await?.0) };
        if self.periods_refused.load(Ordering::Relaxed) {
            return written().await;
        }
        match self.search_period(since).await {
            Err(error) if error.status == Some(400) => {
                let sweep = written().await.map_err(|_: ApiError| error)?;
                self.periods_refused.store(true, Ordering::Relaxed);
                Ok(sweep)
            }
            done => done,
        }
    }

    async fn get(&self, id: &str) -> Result<Option<Case>, ApiError> {
        Ok(self.issue_with(id, "").await?.map(|(case, _)| case))
    }

    async fn find_counterparts(
        &self,
        counterpart: &str,
        _home: Option<&str>,
    ) -> Result<Vec<Found>, ApiError> {
        let wanted = GoogleCaseName::parse(counterpart).ok();
        let number = wanted.as_ref().map_or(counterpart, GoogleCaseName::number);
        let is_same = |found: &str| match (&wanted, GoogleCaseName::parse(found)) {
            // R9 (one mapping per case): names with the same number are one case, whatever the parent.
            (Some(wanted), Ok(found)) => wanted.number() == found.number(),
            _ => found == counterpart,
        };
        let mut found = self
            .client
            .with_fields(|fields| async move {
                let query = jql::counterpart(&fields.google_name, counterpart, number);
                self.found(&query, &fields, |case| case.counterpart.as_deref().is_some_and(is_same)).await
            })
            .await?
            .0;
        for problem in &found.skipped {
            tracing::warn!(problem, "an issue cannot be understood");
        }
        sort_counterparts(&mut found.cases);
        Ok(found.cases)
    }

    async fn create(&self, case: &NewCase) -> Result<Case, ApiError> {
        let (settings, place) = (self.settings(), &case.placement);
        let project = place.project.as_deref().unwrap_or(&settings.project);
        let component = place.component.as_deref().unwrap_or_else(|| settings.component.trim());
        let (created, later) = self
            .client
            .with_fields(|fields| async move {
                let mut body = Map::new();
                let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
                put("project", json!({ "key": project }));
                put("issuetype", by_id_or_name(place.issue_type.as_ref().unwrap_or(&settings.issue_type)));
                put("summary", json!(summary(&case.title)));
                put("description", json!(markup::escape(&case.description)));
                put(&fields.flag.id, fields.flag.value(&settings.flag_value));
                put(&fields.google_name.id, fields.google_name.value(&case.counterpart));
                let given = fields.of_new(settings, place).map_err(|problem| {
                    self.client.error(ApiErrorKind::Refused, "POST /rest/api/2/issue", problem)
                })?;
                if !component.is_empty() {
                    put("components", json!([{ "name": component }]));
                }
                if let Some(priority) = case.priority {
                    put("priority", json!({ "name": self.priorities.word(priority) }));
                }
                body.extend(given);
                self.create_issue(body).await
            })
            .await
            .map_err(|error| self.learn(&markup::escape(&case.description), error))?;
        if created.id.is_empty() {
            let message = "the answer names no issue";
            return Err(self.client.error(ApiErrorKind::Unreadable, "POST /rest/api/2/issue", message));
        }
        let mut refused = false;
        if !later.is_empty()
            && let Err(error) = self.client.edit(&created.id, Value::Object(later)).await
        {
            // The case exists. Its priority is the project's default or the requested one; it is read below.
            refused = true;
            tracing::warn!(issue = %created.id, %error, "an issue was created, but its priority was not set");
        }
        match self.get(&created.id).await {
            Ok(Some(case)) => Ok(case),
            // The issue exists although it cannot be read.
            Ok(None) | Err(_) => Ok(Case {
                id: created.id,
                title: summary(&case.title),
                description: case.description.clone(),
                earlier_description: None,
                priority: case.priority.filter(|_| !refused).map_or(PriorityReading::Unset, |priority| {
                    self.priorities.read(Some(self.priorities.word(priority)))
                }),
                closed: false,
                closing: None,
                merged_into: None,
                created_at: None,
                updated_at: None,
                counterpart: Some(case.counterpart.clone()),
                counterpart_address: None,
                by_connector: Some(true),
                address: created.key.as_deref().map(|key| self.address(key)),
                scope: Some(project.to_owned()),
                synchronize: true,
                key: created.key,
                ..Case::default()
            }),
        }
    }

    async fn link(&self, id: &str, counterpart: &str) -> Result<(), ApiError> {
        self.client
            .with_fields(|fields| async move {
                let field = &fields.google_name;
                let issue = self.client.issue(id, &field.id).await?;
                let now = issue.text(&field.id).map_err(|error| self.not_read(id, &error))?;
                if now.as_deref() == Some(counterpart) {
                    return Ok(());
                }
                self.client.edit(id, json!({ field.id.as_str(): field.value(counterpart) })).await
            })
            .await
    }

    async fn comments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Comment>, ApiError> {
        let me = self.client.me().await?;
        let comments = self.listed_comments(id, since).await?;
        let mentioned = comments.iter().flat_map(|(comment, _)| readable::mentioned(&comment.body)).collect();
        let names = self.client.names(mentioned).await?;
        let read = |(comment, visibility)| self.comment(comment, visibility, &me, &names);
        Ok(comments.into_iter().map(read).collect())
    }

    async fn attachments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Attachment>, ApiError> {
        let issue = self.client.issue(id, ATTACHMENTS).await?;
        self.attachments_of(&issue, id, since).await
    }

    /// Reads the issue once, since it holds the files too.
    async fn get_whole(
        &self,
        id: &str,
        since: Option<DateTime<Utc>>,
    ) -> Result<Option<(Case, Content)>, ApiError> {
        let Some((case, issue)) = self.issue_with(id, ATTACHMENTS).await? else { return Ok(None) };
        let (comments, attachments) =
            futures_util::try_join!(self.comments(id, since), self.attachments_of(&issue, id, since))?;
        Ok(Some((case, Content { comments, attachments })))
    }

    async fn add_comment(&self, id: &str, comment: &NewComment) -> Result<Written, ApiError> {
        let mut body = json!({ "body": markup::escape(&comment.body) });
        // Send the property unless the project is known to have no customers. It does no harm elsewhere. Without it, customers would see an
        // internal comment, and the visibility of a public one would be unknown.
        if self.client.service_management_of(id).await.unwrap_or_default() != Some(false) {
            let internal = comment.visibility == Visibility::Internal;
            body["properties"] = json!([{ "key": INTERNAL_PROPERTY, "value": { "internal": internal } }]);
        }
        let created = self.client.add_comment(id, body).await;
        let created = created.map_err(|error| self.learn(&markup::escape(&comment.body), error))?;
        self.written(&format!("POST {}", comment_path(id)), created)
    }

    async fn download(&self, id: &str, attachment: &Attachment) -> Result<Download, ApiError> {
        // The path holds the file's name, which is content, so errors name the ID instead.
        let call = format!("GET attachment {} of issue {id}", attachment.id);
        self.client.content(attachment, call).await
    }

    async fn upload(&self, id: &str, attachment: NewAttachment) -> Result<Written, ApiError> {
        let stream = reqwest::Body::wrap_stream(attachment.content);
        let part = match attachment.size {
            Some(size) => Part::stream_with_length(stream, size),
            None => Part::stream(stream),
        };
        let media_type = attachment
            .media_type
            .as_deref()
            .filter(|media_type| is_media_type(media_type))
            .unwrap_or("application/octet-stream");
        let part = part.mime_str(media_type).map_err(|_| {
            self.client.error(ApiErrorKind::Refused, "upload", "the media type cannot stand in a header")
        })?;
        let part = part.file_name(stored_filename(&attachment.filename));
        let answer = self.client.upload(id, Form::new().part("file", part)).await?;
        let call = format!("POST {}/attachments", issue_path(id));
        let stored = answer.first().map(wire::Attachment::read);
        match stored {
            Some(Ok(stored)) => {
                Ok(Written { id: stored.id, created_at: stored.created, carrier_comment: None })
            }
            Some(Err(error)) => Err(self.client.unreadable(&call, &error)),
            None => Err(self.client.error(ApiErrorKind::Unreadable, &call, "the answer names no attachment")),
        }
    }

    async fn set_priority(&self, id: &str, priority: Priority) -> Result<(), ApiError> {
        let word = self.priorities.word(priority);
        self.edit(id, json!({ "priority": { "name": word } })).await
    }

    async fn set_title(&self, id: &str, title: &str) -> Result<Option<String>, ApiError> {
        self.edit(id, json!({ "summary": summary(title) })).await?;
        Ok(None)
    }

    async fn close(&self, id: &str) -> Result<(), ApiError> {
        if self.is_done(id).await? {
            return Ok(());
        }
        let settings = self.settings();
        let transitions = self.client.transitions(id).await?;
        let refused = |problem: String| {
            // What is wrong, then what to do, as for `check`.
            let Trouble { detail, hint, .. } = problem.into();
            let call = format!("close {}", issue_path(id));
            ApiError { hint, ..self.client.error(ApiErrorKind::Refused, &call, detail) }
        };
        let transition = transitions::closing(&transitions, settings).map_err(refused)?;
        let given = self.client.fields().await?.on_close.clone().map_err(refused)?;
        let fields = transitions::closing_fields(transition, settings, &given).map_err(refused)?;
        let done = self.go(id, &transition.id, fields.clone(), true).await;
        done.map_err(|error| demanded(error, "company.jira.close_fields", &fields))
    }

    async fn reopen(&self, id: &str) -> Result<(), ApiError> {
        if !self.is_done(id).await? {
            return Ok(());
        }
        let transitions = self.client.transitions(id).await?;
        let call = format!("reopen {}", issue_path(id));
        let transition = transitions::opening(&transitions, self.settings().reopen_transition.as_deref())
            .map_err(|problem| self.client.error(ApiErrorKind::Unsupported, &call, problem))?;
        let fields = transitions::fields(transition, self.settings())
            .map_err(|problem| self.client.error(ApiErrorKind::Unsupported, &call, problem))?;
        self.go(id, &transition.id, fields, false).await
    }

    async fn set_status(&self, id: &str, status: &str) -> Result<(), ApiError> {
        let call = format!("set the status of {}", issue_path(id));
        let refused = |problem: String| self.client.error(ApiErrorKind::Refused, &call, problem);
        if self.has_status(id, status).await? {
            return Ok(());
        }
        let transitions = self.client.transitions(id).await?;
        let (transition, fields) =
            transitions::to_status(&transitions, self.settings(), status).map_err(refused)?;
        let mut body = json!({ "transition": { "id": transition.id } });
        if !fields.is_empty() {
            body["fields"] = Value::Object(fields);
        }
        match self.client.transition(id, body).await {
            // Another user made the transition meanwhile.
            Err(error) if error.kind == ApiErrorKind::Refused => match self.has_status(id, status).await {
                Ok(true) => Ok(()),
                Ok(false) | Err(_) => Err(error),
            },
            done => done,
        }
    }

    async fn show_state(&self, id: &str, text: &str) -> Result<(), ApiError> {
        self.client
            .with_fields(|fields| async move {
                let call = format!("PUT {}", issue_path(id));
                let refused = |problem: &str| self.client.error(ApiErrorKind::Refused, &call, problem);
                match &fields.google_state {
                    Some(Ok(field)) => {
                        self.client.edit(id, json!({ field.id.as_str(): field.value(text) })).await
                    }
                    Some(Err(problem)) => Err(refused(problem)),
                    None => Err(refused("company.jira.google_state_field is not given")),
                }
            })
            .await
    }

    async fn annotate(&self, id: &str, annotation: &Annotation) -> Result<Annotated, ApiError> {
        annotations::write(&self.client, id, annotation).await
    }

    /// Returns the statuses of the project, and the transitions that its newest open issue shows.
    async fn statuses(&self) -> Result<Statuses, ApiError> {
        let project = &self.settings().project;
        let status = |status: wire::Status| KnownStatus {
            shown: format!("{:?}", status.name),
            closed: status.is_done(),
            is_way: false,
            names: vec![status.name, status.id],
        };
        let mut known: Vec<KnownStatus> =
            self.client.statuses(project).await?.into_iter().map(status).collect();
        let newest = self.client.search_some(&jql::newest(project), "status", 20).await?;
        let issues = newest.iter().filter_map(|value| wire::Issue::read(value).ok());
        if let Some(open) = issues.into_iter().find(|issue| issue.is_done() == Ok(false)) {
            let ways = self.client.transitions(&open.id).await?;
            known.extend(ways.into_iter().map(|way| KnownStatus {
                shown: format!("the transition {:?} (ID {})", way.name, way.id),
                closed: way.closes(),
                is_way: true,
                names: vec![way.name, way.id],
            }));
        }
        // A transition that is available from another status is not seen.
        Ok(Statuses { complete: false, known })
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

impl Jira {
    fn not_read(&self, id: &str, error: &wire::WireError) -> ApiError {
        self.client.unreadable(&format!("GET {}", issue_path(id)), error)
    }

    fn written(&self, call: &str, created: wire::Created) -> Result<Written, ApiError> {
        if created.id.is_empty() {
            return Err(self.client.error(ApiErrorKind::Unreadable, call, "the answer has no ID"));
        }
        let created_at = created.at.as_deref().and_then(wire::parse_time);
        Ok(Written { id: created.id, created_at, carrier_comment: None })
    }

    /// Reports if an open issue has a status. Fails if the issue is closed.
    async fn has_status(&self, id: &str, status: &str) -> Result<bool, ApiError> {
        let issue = self.client.issue(id, "status").await?;
        if issue.is_done().map_err(|error| self.not_read(id, &error))? {
            let call = format!("set the status of {}", issue_path(id));
            return Err(self.client.error(ApiErrorKind::Refused, &call, "the issue was closed meanwhile"));
        }
        let names = issue.status_names().map_err(|error| self.not_read(id, &error))?;
        Ok(names.iter().any(|name| is_same_name(name, status)))
    }

    async fn is_done(&self, id: &str) -> Result<bool, ApiError> {
        self.client.issue(id, "status").await?.is_done().map_err(|error| self.not_read(id, &error))
    }

    /// Makes a transition. A refusal counts as success if another user has made the transition meanwhile.
    async fn go(
        &self,
        id: &str,
        transition: &str,
        fields: Map<String, Value>,
        to_done: bool,
    ) -> Result<(), ApiError> {
        let mut body = json!({ "transition": { "id": transition } });
        if !fields.is_empty() {
            body["fields"] = Value::Object(fields);
        }
        match self.client.transition(id, body).await {
            Err(error) if error.kind == ApiErrorKind::Refused => match self.is_done(id).await {
                Ok(done) if done == to_done => Ok(()),
                Ok(_) | Err(_) => Err(error),
            },
            done => done,
        }
    }
}

fn capabilities(deployment: Deployment, in_flight_window: Duration) -> Capabilities {
    // Cloud's search is eventually consistent and promises no bound (changelog CHANGE-2046). Data Center's index lag is a few seconds, on
    // the other nodes of a cluster too.
    let (index_lag, time_resolution) = match deployment {
        Deployment::Cloud => (Duration::seconds(120), Duration::milliseconds(1)),
        // Some of its databases keep whole seconds.
        Deployment::DataCenter => (Duration::seconds(30), Duration::seconds(1)),
    };
    Capabilities {
        name: NAME,
        reopen: true,
        comment_when_closed: true,
        internal_comments: true,
        comments_change: true,
        comment_limit: TextLimit { max: TEXT_LIMIT, measure: markup::escaped_units },
        title_limit: TextLimit::utf16_units(SUMMARY_LIMIT),
        description_limit: TextLimit { max: TEXT_LIMIT, measure: markup::escaped_units },
        // Jira exports and indexes in XML 1.0, which has no room for them.
        control_characters: false,
        index_lag,
        in_flight_window,
        time_resolution,
        idempotency_keys: false,
        stored_filename,
    }
}

/// Returns the length that a refusal of a too long text names: "The entered text is too long. It exceeds the allowed limit of 10,000
/// characters.", in any language. `sent` is the length of the text.
fn named_limit(error: &ApiError, sent: usize) -> Option<usize> {
    let names = |part: &&str| part.starts_with("comment: ") || part.starts_with("description: ");
    let part = error.message.split("; ").find(names).filter(|_| error.status == Some(400))?;
    let of_number = |c: char| c.is_ascii_digit() || ",.'\u{a0}\u{202f}\u{2019}".contains(c);
    part.split(|c: char| !of_number(c))
        .filter_map(|number| number.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok())
        .find(|number| (settings::LEAST_TEXT..sent).contains(number))
}

/// Remedy for a request type that Jira refuses.
const REQUEST_TYPE: &str = "company.jira.request_type has to be one of the project's and belong to company.jira.issue_type: `casebridge \
                            check` lists each request type with its issue type";

/// Adds to the hint the key that gives a value to each field that a refusal names and that was not sent: `customfield_10070: Impact is required.`
fn demanded(error: ApiError, key: &str, sent: &Map<String, Value>) -> ApiError {
    if error.status != Some(400) {
        return error;
    }
    let is_id =
        |id: &&str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let parts = error.message.split("; ").filter_map(|part| part.split_once(": "));
    let keys: Vec<String> = parts
        .map(|(id, _)| id)
        .filter(is_id)
        .filter(|id| !sent.contains_key(*id))
        .map(|id| format!("{key}.{id}"))
        .collect();
    if keys.is_empty() {
        return error;
    }
    let give = format!("give what the screen demands a value in {}", keys.join(", "));
    let hint = Some(error.hint.as_deref().map_or(give.clone(), |hint| format!("{hint}; {give}")));
    ApiError { hint, ..error }
}

/// Turns a title into one line that Jira accepts as a summary.
fn summary(title: &str) -> String {
    let line = title.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    if line.is_empty() { "(no title)".to_owned() } else { line }
}

fn by_id_or_name(wanted: &str) -> Value {
    let wanted = wanted.trim();
    let is_id = wanted.bytes().all(|byte| byte.is_ascii_digit());
    if is_id { json!({ "id": wanted }) } else { json!({ "name": wanted }) }
}

/// Reports if comments, read newest first, certainly go back beyond `since`: they are sorted newest first and the last one is older.
/// Unsorted comments show that the server uses another order.
fn reaches(found: &[Value], since: DateTime<Utc>) -> bool {
    let times: Option<Vec<DateTime<Utc>>> =
        found.iter().map(|value| wire::Comment::read(value).ok()?.created).collect();
    times.is_some_and(|times| {
        times.is_sorted_by(|a, b| a >= b) && times.last().is_some_and(|oldest| *oldest < since)
    })
}

/// Reports if a media type is valid in a header: `type/subtype` in ASCII, with or without parameters.
fn is_media_type(text: &str) -> bool {
    let sound = text.len() <= 200 && text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    sound && Part::text("").mime_str(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_limit_in_any_language() {
        for (status, message, limit) in [
            (
                400,
                "comment: The entered text is too long. It exceeds the allowed limit of 10,000 characters.",
                Some(10_000),
            ),
            (
                400,
                "summary: no; description: Der Text ist zu lang, erlaubt sind 10.000 Zeichen.",
                Some(10_000),
            ),
            (400, "comment: Le texte ne doit pas d\u{e9}passer 10\u{202f}000 caract\u{e8}res.", Some(10_000)),
            (400, "comment: 20,001 is more than 10,000", Some(10_000)),
            (400, "comment: no room for more than 3 lines", None),
            (400, "customfield_1: too long, 10,000 at most", None),
            (500, "comment: 10,000", None),
        ] {
            let error = ApiError::new(ApiErrorKind::Refused, NAME, "POST", message);
            let error = ApiError { status: Some(status), ..error };
            assert_eq!(named_limit(&error, 20_001), limit, "{message}");
        }
    }
}
