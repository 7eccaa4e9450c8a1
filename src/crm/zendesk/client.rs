//! Zendesk's REST API: one function for each call, and the caches between calls.
//!
//! Sources: the API reference at developer.zendesk.com: tickets, ticket comments, ticket attachments, search, incremental exports,
//! ticket fields, users, "Idempotency" and "Rate limits".

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use futures_util::TryStreamExt as _;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use super::check;
use super::closing;
use super::pacing::Pacing;
use super::settings::ZendeskSettings;
use super::wire::{self, Attachment, Changed, Comment, CustomStatus, Field, Named, Page, Ticket, User};
use crate::cases::{ApiError, ApiErrorKind, ByteStream, Download};
use crate::clock::SharedClock;
use crate::outbound::{Announced, Body, Call, Listing, Upstream};

/// Number of tickets on a page of a search, as documented for the poll.
const SEARCH_PAGE: &str = "100";
/// Number of comments on a page, as documented for the sync.
const COMMENT_PAGE: &str = "50";
/// Number of tickets on a page of an export: the maximum.
const EXPORT_PAGE: &str = "1000";
/// Number of last comments that are searched for the target of a merge.
const LAST_COMMENTS: &str = "20";
/// Path prefixes of files. A caller that has to sign in first is redirected to other paths of the same host, and so is one that asks for a
/// file with malware.
pub(super) const DOWNLOADS: [&str; 1] = ["/attachments/"];
/// Time for which the names of the account's own statuses are cached.
pub(super) const STATUSES_AGE: Duration = Duration::hours(1);
/// Number of flagged tickets that a check reads to find a small file.
const LOOKED_AT: &str = "5";
/// Number of merged tickets for which the connector's own part is cached.
const MOST_ABSORBED: usize = 1_000;
/// Maximum number of pages of a listing, more than any real one has: a longer one repeats itself.
const MOST_PAGES: usize = 2_000;
/// Maximum length of an idempotency key, in bytes.
const LONGEST_KEY: usize = 255;
/// Types of the two custom fields: a checkbox and a text field.
const CHECKBOX: &str = "checkbox";
const TEXTS: [&str; 2] = ["text", "textarea"];

/// Error text for any change to a closed ticket.
pub(super) const FINAL: &str = "the ticket is closed, which is final in Zendesk";

/// IDs of the custom fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fields {
    pub(super) flag: u64,
    pub(super) google_name: u64,
    /// Field for Google's state, if one is configured and found.
    pub(super) google_state: Option<u64>,
}

/// Comments of a ticket, and the names of their authors.
pub(super) struct Comments {
    /// The comments that could be read.
    pub(super) newest_first: Vec<Comment>,
    /// Display names by user.
    pub(super) names: HashMap<u64, String>,
    /// ID of the ticket's first comment, if the listing went back to it.
    pub(super) first: Option<u64>,
}

/// The account's own statuses.
#[derive(Default)]
struct OwnStatuses {
    all: Arc<Vec<CustomStatus>>,
    asked: Option<DateTime<Utc>>,
}

/// Comments and files that the connector put on a ticket.
#[derive(Debug)]
pub(super) struct OwnPart {
    /// Names and sizes of its files.
    pub(super) files: HashSet<(String, Option<u64>)>,
    /// The last comment is its own, not counting one that tells of a merge.
    pub(super) last_comment: bool,
}

pub(super) struct Client {
    upstream: Upstream,
    settings: ZendeskSettings,
    clock: SharedClock,
    home: String,
    pacing: Pacing,
    fields: Mutex<Option<Fields>>,
    me: Mutex<Option<Arc<User>>>,
    statuses: Mutex<OwnStatuses>,
    /// The connector's part of tickets that were merged into others. They are closed, so it never changes.
    own_parts: Mutex<HashMap<u64, Arc<OwnPart>>>,
    /// Start of the time range that has not been exported, since an export was refused. `None` if none is missing.
    unexported: Mutex<Option<DateTime<Utc>>>,
}

impl Client {
    pub(super) fn new(settings: ZendeskSettings, upstream: Upstream, clock: SharedClock) -> Self {
        let pacing = Pacing::new(settings.updates_per_ticket);
        let home = upstream.base_url().as_str().trim_end_matches('/').to_owned();
        Self {
            upstream,
            settings,
            clock,
            home,
            pacing,
            fields: Mutex::default(),
            me: Mutex::default(),
            statuses: Mutex::default(),
            own_parts: Mutex::default(),
            unexported: Mutex::default(),
        }
    }

    /// Configured address, without a slash at its end.
    pub(super) fn home(&self) -> &str {
        &self.home
    }

    /// Configured address as a URL.
    pub(super) fn base_url(&self) -> &url::Url {
        self.upstream.base_url()
    }

    pub(super) fn settings(&self) -> &ZendeskSettings {
        &self.settings
    }

    /// Current time by Zendesk's clock, as far as its answers show it (`R36`: clock skew).
    pub(super) fn now(&self) -> DateTime<Utc> {
        let ours = self.clock.now();
        self.upstream.clock_skew().and_then(|skew| ours.checked_add_signed(skew)).unwrap_or(ours)
    }

    /// Upstream that all calls use.
    pub(super) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub(super) fn in_flight_window(&self) -> chrono::Duration {
        self.upstream.in_flight_window()
    }

    pub(super) fn error(&self, kind: ApiErrorKind, call: &str, message: impl Into<String>) -> ApiError {
        self.upstream.error(kind, call, message)
    }

    /// Makes the error for an answer that was not understood.
    pub(super) fn unreadable(&self, call: &str, error: &wire::WireError) -> ApiError {
        self.error(ApiErrorKind::Unreadable, call, error.to_string())
    }

    /// Parses the number of a ticket. Any other text is not found.
    pub(super) fn number(&self, id: &str) -> Result<u64, ApiError> {
        let missing = || {
            let message = "the ID is no number, and so no ticket's";
            self.error(ApiErrorKind::NotFound, &format!("ticket {}", crate::cases::shorten(id)), message)
        };
        if !id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(missing());
        }
        id.parse().map_err(|_| missing())
    }

    // Caches.

    /// Returns the custom fields; cached.
    pub(super) async fn fields(&self) -> Result<Fields, ApiError> {
        let mut known = self.fields.lock().await;
        if let Some(fields) = *known {
            return Ok(fields);
        }
        let all = self.all_fields().await?;
        let refused = |problem| self.error(ApiErrorKind::Refused, "GET /api/v2/ticket_fields", problem);
        let fields = Fields {
            flag: flag_field(&self.settings, &all).map_err(refused)?.id,
            google_name: google_name_field(&self.settings, &all).map_err(refused)?.id,
            google_state: google_state_field(&self.settings, &all).and_then(Result::ok).map(|field| field.id),
        };
        *known = Some(fields);
        Ok(fields)
    }

    /// Returns the connector's own user; cached until [`identify`](Self::identify) reads it again.
    pub(super) async fn me(&self) -> Result<Arc<User>, ApiError> {
        let mut known = self.me.lock().await;
        if let Some(me) = known.as_ref() {
            return Ok(Arc::clone(me));
        }
        let me = Arc::new(self.myself().await?);
        *known = Some(Arc::clone(&me));
        Ok(me)
    }

    /// True if an ID is that of the connector's user, as far as it was read before.
    pub(super) async fn is_own_user(&self, user: &str) -> bool {
        let known = self.me.lock().await;
        known.as_ref().and_then(|me| me.id).is_some_and(|id| id.to_string() == user)
    }

    /// Checks that Zendesk knows the connector as an agent (`R26`: empty answers need proof), and refreshes the cached user.
    pub(super) async fn identify(&self) -> Result<(), ApiError> {
        let me = self.myself().await?;
        if me.is_end_user() {
            let message = format!(
                "{} is an end user, to whom Zendesk shows nothing but its own requests: make the connector's user an agent \
                 again (Admin Center, People, Team members)",
                me.name
            );
            return Err(self.error(ApiErrorKind::Unauthorized, "GET /api/v2/users/me", message));
        }
        // After a change, the credentials may be another user's, or the user may have other rights.
        *self.me.lock().await = Some(Arc::new(me));
        Ok(())
    }

    /// Returns the name of one of the account's own statuses. `None` if it has no such status, or none at all.
    pub(super) async fn status_name(&self, id: u64) -> Result<Option<String>, ApiError> {
        let statuses = self.own_statuses(STATUSES_AGE).await?;
        Ok(statuses.iter().find(|status| status.id == id).map(|status| status.agent_label.clone()))
    }

    /// Returns the account's own statuses, none if it has none; cached for at most `age`.
    ///
    /// Source: "Custom Ticket Statuses", developer.zendesk.com (November 2026).
    pub(super) async fn own_statuses(&self, age: Duration) -> Result<Arc<Vec<CustomStatus>>, ApiError> {
        let mut statuses = self.statuses.lock().await;
        let now = self.clock.now();
        let is_fresh = statuses.asked.is_some_and(|asked| asked <= now && now - asked < age);
        if !is_fresh {
            match self.upstream.read::<Page>(Call::get("/api/v2/custom_statuses")).await {
                Ok(page) => {
                    let read = |value| serde_json::from_value::<CustomStatus>(value).ok();
                    statuses.all = Arc::new(page.items.into_iter().filter_map(read).collect());
                }
                // The account has no statuses of its own.
                Err(error) if error.is_for_good() => statuses.all = Arc::default(),
                Err(error) => return Err(error),
            }
            statuses.asked = Some(now);
        }
        Ok(Arc::clone(&statuses.all))
    }

    // Reading.

    /// Reads the connector's own user. To unknown credentials, Zendesk answers 200 with a user without an ID.
    pub(super) async fn myself(&self) -> Result<User, ApiError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            #[serde(default)]
            user: User,
        }
        let answer: Answer = self.upstream.read(Call::get("/api/v2/users/me")).await?;
        if answer.user.id.is_none() {
            let message = "Zendesk does not know these credentials";
            let hint = Some(check::sign_in_remedy(&self.settings));
            let error = self.error(ApiErrorKind::Unauthorized, "GET /api/v2/users/me", message);
            return Err(ApiError { hint, ..error });
        }
        Ok(answer.user)
    }

    pub(super) async fn all_fields(&self) -> Result<Vec<Field>, ApiError> {
        self.all("ticket_fields").await
    }

    /// Reads a whole list, and leaves out what cannot be read. `list` is the API's word for it, such as `webhooks`.
    pub(super) async fn all<T: serde::de::DeserializeOwned + Send>(
        &self,
        list: &str,
    ) -> Result<Vec<T>, ApiError> {
        let query = [("page[size]", SEARCH_PAGE)];
        let read = |value| serde_json::from_value(value).ok();
        let found = self.listing(&format!("/api/v2/{list}"), &query, read, |_| false).await?;
        Ok(found.0.into_iter().flatten().collect())
    }

    /// Returns those of the groups, brands or ticket forms that can be used. `list` is the API's word for them, such as `groups`.
    ///
    /// Sources: "List groups", "List brands", "List ticket forms", developer.zendesk.com.
    pub(super) async fn usable(&self, list: &str) -> Result<Vec<Named>, ApiError> {
        let found: Vec<Named> = self.all(list).await?;
        Ok(found.into_iter().filter(|named| !named.is_deleted() && !named.is_inactive()).collect())
    }

    /// Reads a group, brand, ticket form or user by ID. `None` if there is none. `list` and `one` are the API's words, such as `groups` and
    /// `group`.
    ///
    /// Sources: "Show group", "Show brand", "Show ticket form", "Show user", developer.zendesk.com.
    pub(super) async fn object<T: serde::de::DeserializeOwned>(
        &self,
        list: &str,
        one: &str,
        id: &str,
    ) -> Result<Option<T>, ApiError> {
        let path = format!("/api/v2/{list}/{id}");
        let mut answer: Map<String, Value> = match self.upstream.read(Call::get(&path)).await {
            Ok(answer) => answer,
            Err(error) if error.status == Some(404) => return Ok(None),
            Err(error) => return Err(error),
        };
        let found = answer.remove(one).and_then(|value| serde_json::from_value(value).ok());
        let unreadable =
            || self.error(ApiErrorKind::Unreadable, &format!("GET {path}"), format!("it has no {one}"));
        found.map(Some).ok_or_else(unreadable)
    }

    /// Reads the largest file size that the account accepts, in bytes, if it is given.
    ///
    /// Source: "Account settings", `limits.attachment_size`, developer.zendesk.com.
    pub(super) async fn largest_file(&self) -> Result<Option<u64>, ApiError> {
        let answer: Value = self.upstream.read(Call::get("/api/v2/account/settings")).await?;
        Ok(answer.pointer("/settings/limits/attachment_size").and_then(Value::as_u64))
    }

    pub(super) async fn ticket(&self, id: u64) -> Result<Ticket, ApiError> {
        let ticket = self.raw_ticket(id).await?;
        Ticket::read(&ticket).map_err(|error| self.unreadable(&format!("GET /api/v2/tickets/{id}"), &error))
    }

    pub(super) async fn raw_ticket(&self, id: u64) -> Result<Value, ApiError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            ticket: Value,
        }
        let answer: Answer = self.upstream.read(Call::get(format!("/api/v2/tickets/{id}"))).await?;
        Ok(answer.ticket)
    }

    /// Returns the primary email addresses of users, as far as they have one.
    ///
    /// Source: "Show many users", developer.zendesk.com: at most 100 at a time.
    pub(super) async fn addresses(&self, users: &[u64]) -> Result<Vec<String>, ApiError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            users: Vec<Value>,
        }
        let mut addresses = Vec::new();
        for some in users.chunks(100) {
            let ids = some.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
            let call = Call::get("/api/v2/users/show_many").query("ids", ids);
            let answer: Answer = self.upstream.read(call).await?;
            let address = |user: &Value| Some(user.get("email")?.as_str()?.to_owned());
            addresses.extend(answer.users.iter().filter_map(address));
        }
        Ok(addresses)
    }

    /// Reads the first comment of a ticket, which is its description.
    pub(super) async fn first_comment(&self, id: u64) -> Result<Option<Comment>, ApiError> {
        let path = format!("/api/v2/tickets/{id}/comments");
        // More than one: after the clock was set back, another comment can have an earlier time.
        let call = Call::get(&path).query("sort", "created_at").query("page[size]", COMMENT_PAGE);
        let page: Page = self.upstream.read(call).await?;
        let comment = page.items.iter().min_by_key(|value| number_of(value)).map(Comment::read).transpose();
        comment.map_err(|error| self.unreadable(&format!("GET {path}"), &error))
    }

    /// Returns the ticket that this one was merged into, according to its last comments (`R32`: closed is not solved).
    pub(super) async fn merged_into(&self, id: u64) -> Result<Option<u64>, ApiError> {
        let call = Call::get(format!("/api/v2/tickets/{id}/comments"))
            .query("sort", "-created_at")
            .query("page[size]", LAST_COMMENTS)
            .query("include", "users");
        let page: Page = self.upstream.read(call).await?;
        let staff: HashSet<u64> =
            page.users.iter().filter(|user| user.is_staff()).filter_map(|user| user.id).collect();
        let comments: Vec<Comment> =
            page.items.iter().filter_map(|value| Comment::read(value).ok()).collect();
        let is_staff = |comment: &Comment| comment.author_id.is_some_and(|author| staff.contains(&author));
        Ok(closing::merged_into(id, &comments, is_staff))
    }

    /// Returns the connector's part of a ticket that was merged into another one; cached. Empty if that ticket is not shown.
    pub(super) async fn own_part(&self, id: u64) -> Result<Arc<OwnPart>, ApiError> {
        let mut known = self.own_parts.lock().await;
        if let Some(part) = known.get(&id) {
            return Ok(Arc::clone(part));
        }
        let me = self.me().await?.id;
        let is_ours = |comment: &Comment| comment.author_id.is_some() && comment.author_id == me;
        let comments = match self.comments(id, None).await {
            Ok(comments) => comments.newest_first,
            Err(error) if error.kind == ApiErrorKind::NotFound || error.status == Some(403) => Vec::new(),
            Err(error) => return Err(error),
        };
        let files =
            comments.iter().filter(|comment| is_ours(comment)).flat_map(|comment| &comment.attachments);
        let part = Arc::new(OwnPart {
            files: files
                .filter_map(|attachment| attachment.as_ref().ok())
                .map(|attachment| (attachment.file_name.clone(), attachment.size))
                .collect(),
            last_comment: comments.iter().find(|comment| !closing::is_farewell(comment)).is_some_and(is_ours),
        });
        if known.len() >= MOST_ABSORBED {
            known.clear();
        }
        known.insert(id, Arc::clone(&part));
        Ok(part)
    }

    /// Reads the comments, newest first, at least back to `since`.
    pub(super) async fn comments(&self, id: u64, since: Option<DateTime<Utc>>) -> Result<Comments, ApiError> {
        let path = format!("/api/v2/tickets/{id}/comments");
        let query = [
            ("sort", "-created_at"),
            ("page[size]", COMMENT_PAGE),
            ("include", "users"),
            // Inline images are attachments too.
            ("include_inline_images", "true"),
        ];
        let enough = |found: &[Value]| since.is_some_and(|since| reaches(found, since));
        let (found, names, complete) = self.listing(&path, &query, |value| value, enough).await?;
        let mut comments = Vec::with_capacity(found.len());
        for value in &found {
            match Comment::read(value) {
                Ok(comment) => comments.push(comment),
                Err(error) => {
                    tracing::warn!(ticket = id, %error, "a comment cannot be understood and is skipped");
                }
            }
        }
        let first = found.iter().map(number_of).min().filter(|_| complete);
        Ok(Comments { newest_first: comments, names, first })
    }

    /// Returns the results of `read` for all tickets of a query. Subject to index lag.
    pub(super) async fn search<T: Send>(
        &self,
        query: &str,
        read: impl Fn(Value) -> T + Send,
    ) -> Result<Vec<T>, ApiError> {
        let query = [("query", query), ("filter[type]", "ticket"), ("page[size]", SEARCH_PAGE)];
        Ok(self.listing("/api/v2/search/export", &query, read, |_| false).await?.0)
    }

    /// Reads the first page of a search, to check that searching works. Returns the number of tickets on it.
    pub(super) async fn search_some(&self, query: &str) -> Result<usize, ApiError> {
        let query = [("query", query), ("filter[type]", "ticket"), ("page[size]", "1")];
        Ok(self.listing("/api/v2/search/export", &query, |_| (), |_| true).await?.0.len())
    }

    /// Returns the numbers of the first tickets that Zendesk lists, flagged or not.
    pub(super) async fn some_tickets(&self) -> Result<Vec<u64>, ApiError> {
        // Two, because the caller may have to leave one out.
        let call = Call::get("/api/v2/tickets").query("page[size]", "2");
        let page: Page = self.upstream.read(call).await?;
        Ok(page.items.iter().filter_map(|value| value.get("id")?.as_u64()).collect())
    }

    /// Returns the numbers of some flagged tickets; if any of them have files, only those.
    pub(super) async fn some_flagged(&self, flag: u64) -> Result<Vec<u64>, ApiError> {
        // "has_attachment" ("Zendesk Support search reference", support.zendesk.com).
        for query in
            [format!("custom_field_{flag}:true has_attachment:true"), format!("custom_field_{flag}:true")]
        {
            let query = [("query", query.as_str()), ("filter[type]", "ticket"), ("page[size]", LOOKED_AT)];
            let read = |value: Value| value.get("id").and_then(Value::as_u64);
            let found = self.listing("/api/v2/search/export", &query, read, |_| true).await?.0;
            if !found.is_empty() {
                return Ok(found.into_iter().flatten().collect());
            }
        }
        Ok(Vec::new())
    }

    /// Returns the results of `read` for all tickets with an `external_id`. Not a search, so not subject to index lag.
    pub(super) async fn with_external_id<T: Send>(
        &self,
        external_id: &str,
        read: impl Fn(Value) -> T + Send,
    ) -> Result<Vec<T>, ApiError> {
        let query = [("external_id", external_id), ("page[size]", SEARCH_PAGE)];
        Ok(self.listing("/api/v2/tickets", &query, read, |_| false).await?.0)
    }

    /// Returns the results of `read` for all tickets that changed since `start`, oldest change first, except those of the last minute; and
    /// true if `pages` pages held them all.
    pub(super) async fn export<T: Send>(
        &self,
        start: DateTime<Utc>,
        pages: usize,
        read: impl Fn(Value) -> T + Send,
    ) -> Result<(Vec<T>, bool), ApiError> {
        // "Rate limits", October 2026: exports have a limit of their own, of ten calls a minute.
        let page_of =
            || Call::get("/api/v2/incremental/tickets/cursor").query("per_page", EXPORT_PAGE).limited_apart();
        let mut call = page_of().query("start_time", start.timestamp().to_string());
        let (mut found, mut listing) = (Vec::new(), Listing::default());
        for _ in 0..pages {
            let page: Page = self.upstream.read_page(call, &mut listing).await?;
            found.extend(page.items.into_iter().map(&read));
            let next = page.after_cursor.filter(|_| page.end_of_stream == Some(false));
            let Some(cursor) = next else { return Ok((found, true)) };
            call = page_of().query("cursor", cursor);
        }
        Ok((found, false))
    }

    /// Returns the start of the next export. It is `start`, or earlier if an export before was refused, but not before `earliest`.
    pub(super) async fn export_start(&self, start: DateTime<Utc>, earliest: DateTime<Utc>) -> DateTime<Utc> {
        let unexported = *self.unexported.lock().await;
        unexported.map_or(start, |from| from.min(start)).max(earliest)
    }

    /// Records the start of an export that was refused; `None` after one that succeeded.
    pub(super) async fn note_export(&self, refused_from: Option<DateTime<Utc>>) {
        *self.unexported.lock().await = refused_from;
    }

    /// Reads a listing by cursor until it ends or `enough` returns true. Returns the results of `read`, the names of the users that came
    /// with the items, and true if the listing ended.
    async fn listing<T: Send>(
        &self,
        path: &str,
        query: &[(&'static str, &str)],
        read: impl Fn(Value) -> T + Send,
        enough: impl Fn(&[T]) -> bool + Send,
    ) -> Result<(Vec<T>, HashMap<u64, String>, bool), ApiError> {
        let unreadable =
            |message: &str| self.error(ApiErrorKind::Unreadable, &format!("GET {path}"), message);
        let (mut items, mut names) = (Vec::new(), HashMap::new());
        let (mut listing, mut seen) = (Listing::default(), HashSet::new());
        let mut after: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let mut call = Call::get(path);
            for (name, value) in query {
                call = call.query(name, *value);
            }
            if let Some(after) = &after {
                call = call.query("page[after]", after.as_str());
            }
            let page: Page = self.upstream.read_page(call, &mut listing).await?;
            items.extend(page.items.into_iter().map(&read));
            names.extend(page.users.into_iter().filter_map(|user| Some((user.id?, user.name))));
            if !page.meta.has_more {
                return Ok((items, names, true));
            }
            if enough(&items) {
                return Ok((items, names, false));
            }
            match page.meta.after_cursor {
                Some(next) if seen.insert(next.clone()) => after = Some(next),
                Some(_) => {
                    return Err(unreadable("a page names a page that was read already as the next"));
                }
                None => return Err(unreadable("a page says that there are more and does not say where")),
            }
        }
        Err(unreadable("the listing does not end"))
    }

    pub(super) async fn attachment(&self, id: &str) -> Result<Attachment, ApiError> {
        #[derive(serde::Deserialize)]
        struct Answer {
            attachment: Value,
        }
        let path = format!("/api/v2/attachments/{}", self.number(id)?);
        let answer: Answer = self.upstream.read(Call::get(&path)).await?;
        Attachment::read(&answer.attachment).map_err(|error| self.unreadable(&format!("GET {path}"), &error))
    }

    /// Opens the content of a file, which has to agree with `announced`.
    pub(super) async fn open(
        &self,
        file: &Attachment,
        announced: Announced<'_>,
    ) -> Result<Download, ApiError> {
        let failed = |kind, message: &str| self.error(kind, &announced.call, message);
        if file.deleted {
            return Err(failed(ApiErrorKind::NotFound, "the attachment was redacted"));
        }
        if file.withheld {
            // "Managing malicious attachments", support.zendesk.com.
            let message = "Zendesk found malware in the file and does not hand it out; an administrator can allow it on the ticket";
            return Err(failed(ApiErrorKind::Refused, message));
        }
        let Some(address) = &file.content_url else {
            return Err(failed(ApiErrorKind::NotFound, "the attachment has no content"));
        };
        let size = announced.size.or(file.size);
        self.content(address, Announced { size, ..announced }).await
    }

    /// Downloads a file and drops the content. Returns its size in bytes.
    pub(super) async fn read_whole(&self, file: &Attachment, ticket: u64) -> Result<u64, ApiError> {
        let announced = Announced {
            call: download_call(&file.id.to_string(), &ticket.to_string()),
            filename: &file.file_name,
            media_type: file.content_type.as_deref(),
            size: file.size,
            paths: &DOWNLOADS,
        };
        let mut content = self.open(file, announced).await?.content;
        let mut size = 0;
        while let Some(piece) = content.try_next().await? {
            size += piece.len() as u64;
        }
        Ok(size)
    }

    /// Opens the content of an attachment. Only the path of the address from Zendesk is used: requests with the connector's credentials go
    /// to the configured address only.
    async fn content(&self, address: &str, announced: Announced<'_>) -> Result<Download, ApiError> {
        let odd = |message: &str| self.error(ApiErrorKind::Unreadable, "GET attachment", message);
        let url = url::Url::parse(address).map_err(|_| odd("content_url is no address"))?;
        // For other schemes, the parser keeps parts of a path that it resolves in an https address: `..` behind a backslash.
        if !matches!(url.scheme(), "http" | "https") || !url.path().starts_with(DOWNLOADS[0]) {
            return Err(odd("content_url does not lead to an attachment"));
        }
        let mut call = Call::get(url.path());
        if let Some((_, name)) = url.query_pairs().find(|(key, _)| key == "name") {
            call = call.query("name", name);
        }
        self.upstream.download(call, announced).await
    }

    // Writing.

    /// Creates a ticket. `key` makes the creation idempotent: Zendesk answers a second request with the ticket of the first one. So a
    /// request without an answer is sent once more (`R13`: unknown write outcome).
    pub(super) async fn create(&self, ticket: Value, key: &str) -> Result<Changed, ApiError> {
        let body = json!({ "ticket": ticket });
        let call = || {
            Call::post("/api/v2/tickets", body.clone())
                .header(HeaderName::from_static("idempotency-key"), header_value(key))
        };
        match self.upstream.write(call()).await {
            Err(error) if error.may_have_happened() => self.upstream.write(call()).await,
            outcome => outcome,
        }
    }

    /// Derives a new key for the same creation. No other request used it, and the next attempt of this creation derives it again.
    pub(super) fn fresh_key(key: &str, ticket: &Value) -> String {
        let hash = hex::encode(Sha256::digest(ticket.to_string()));
        format!("{key}-{}", &hash[..16])
    }

    /// Updates a ticket; counted against Zendesk's limit.
    pub(super) async fn update(&self, id: u64, ticket: Value) -> Result<Changed, ApiError> {
        self.pace(id)?;
        self.paced_update(id, ticket).await
    }

    /// Counts an update of a ticket. Fails if it exceeds the limit.
    pub(super) fn pace(&self, id: u64) -> Result<(), ApiError> {
        self.pacing.take(id, self.clock.now()).map_err(|next| {
            let message = format!(
                "the ticket was updated {} times within ten minutes, and Zendesk takes no more from one user: the next \
                 update waits until {}",
                self.settings.updates_per_ticket,
                next.to_rfc3339_opts(SecondsFormat::Secs, true)
            );
            self.error(ApiErrorKind::NotApplied, &format!("PUT /api/v2/tickets/{id}"), message)
        })
    }

    /// Updates a ticket; the update must have been counted already.
    pub(super) async fn paced_update(&self, id: u64, ticket: Value) -> Result<Changed, ApiError> {
        // The same page: so have the updates of one ticket.
        let call = Call::new(Method::PUT, format!("/api/v2/tickets/{id}"))
            .body(Body::Json(json!({ "ticket": ticket })))
            .limited_apart();
        let changed: Changed = self.upstream.write(call).await.map_err(|error: ApiError| {
            if is_about_closed(&error) {
                let message = format!(
                    "{FINAL}: it takes no comment, file or change any more; whoever goes on with the matter opens a \
                     follow-up ticket"
                );
                return ApiError { message, ..error };
            }
            error
        })?;
        if changed.ticket.get("id").and_then(Value::as_u64) == Some(id) {
            return Ok(changed);
        }
        let message = "the answer does not show the ticket";
        Err(self.error(ApiErrorKind::Unreadable, &format!("PUT /api/v2/tickets/{id}"), message))
    }

    /// Adds a tag to a ticket, or removes it, and returns the tags that the ticket has then. Other tags stay. A closed ticket takes none
    /// ("Tags", *Tag Endpoint Limitations*, developer.zendesk.com). Counted against the limit as other updates are (assumed).
    pub(super) async fn change_tags(
        &self,
        id: u64,
        tag: &str,
        present: bool,
    ) -> Result<Vec<String>, ApiError> {
        self.pace(id)?;
        let method = if present { Method::PUT } else { Method::DELETE };
        let call = Call::new(method, format!("/api/v2/tickets/{id}/tags"))
            .body(Body::Json(json!({ "tags": [tag] })))
            .limited_apart();
        let changed: wire::TagsAnswer = self.upstream.write(call).await?;
        Ok(changed.tags)
    }

    /// Uploads a file, which Zendesk keeps until a comment refers to it, for an hour at most.
    pub(super) async fn upload(
        &self,
        filename: &str,
        media_type: HeaderValue,
        size: Option<u64>,
        content: ByteStream,
    ) -> Result<wire::Upload, ApiError> {
        let call = Call::new(Method::POST, "/api/v2/uploads")
            .query("filename", filename)
            .header(CONTENT_TYPE, media_type)
            .body(Body::Stream(content, size));
        match self.upstream.write::<wire::UploadAnswer>(call).await {
            Ok(answer) => Ok(answer.upload),
            // The request itself is always the same, so the refusal is about this file: its size, type or name.
            Err(error) if matches!(error.status, Some(400 | 413 | 415 | 422)) => {
                Err(ApiError { kind: ApiErrorKind::Unacceptable, ..error })
            }
            // An upload without a comment leaves nothing behind, even if it arrived.
            Err(error) if error.may_have_happened() => {
                Err(ApiError { kind: ApiErrorKind::NotApplied, ..error })
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes an upload that no comment refers to. Zendesk would delete it after an hour anyway.
    pub(super) async fn forget_upload(&self, token: &str) {
        if !token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return;
        }
        let call = Call::new(Method::DELETE, format!("/api/v2/uploads/{token}"));
        if let Err(error) = self.upstream.write_only(call).await {
            // The call is not logged, since it holds the token.
            tracing::debug!(status = error.status, "an upload without a comment was not taken back");
        }
    }
}

/// Describes a download in errors. Its address would reveal a token.
pub(super) fn download_call(attachment: &str, ticket: &str) -> String {
    format!("GET attachment {} of ticket {ticket}", crate::cases::shorten(attachment))
}

/// Reports if a creation was refused because its key was used for another creation within two hours, by any caller: a known key with other
/// parameters is answered with 400 ("Idempotency", reference of the Ticketing API). Zendesk's own client for Java recognises that answer by
/// its `error`, `IdempotentRequestError`; the message here holds only the description.
pub(super) fn is_key_taken(error: &ApiError) -> bool {
    let message = error.message.to_ascii_lowercase();
    error.status == Some(400)
        && (message.contains("idempoten") || message.contains("request parameters don't match"))
}

/// Reports if an update was refused because the ticket is closed: `Status: closed prevents ticket update`.
pub(super) fn is_about_closed(error: &ApiError) -> bool {
    error.status == Some(422)
        && (error.message.contains("closed prevents") || error.message.starts_with(FINAL))
}

/// Returns an idempotency key as a header value, or its hash if the key is not valid there.
fn header_value(key: &str) -> HeaderValue {
    HeaderValue::from_str(key)
        .ok()
        .filter(|value| value.len() <= LONGEST_KEY && key.is_ascii() && !key.is_empty())
        .unwrap_or_else(|| {
            let hash = hex::encode(Sha256::digest(key));
            HeaderValue::from_str(&hash).unwrap_or_else(|_| HeaderValue::from_static("casebridge"))
        })
}

/// Reports if comments, read newest first, certainly go back beyond `since`: they are sorted newest first and the last one is older.
/// Unsorted comments show that the server uses another order.
fn reaches(found: &[Value], since: DateTime<Utc>) -> bool {
    let times: Option<Vec<DateTime<Utc>>> =
        found.iter().map(|value| Comment::read(value).ok()?.created_at).collect();
    times.is_some_and(|times| {
        times.is_sorted_by(|a, b| a >= b) && times.last().is_some_and(|oldest| *oldest < since)
    })
}

/// Finds the checkbox among all fields. The error says what to do.
pub(super) fn flag_field<'a>(settings: &ZendeskSettings, fields: &'a [Field]) -> Result<&'a Field, String> {
    field("flag_field", &settings.flag_field, fields, "Checkbox", &[CHECKBOX])
}

/// Finds the text field for the Google case's name among all fields. The error says what to do.
pub(super) fn google_name_field<'a>(
    settings: &ZendeskSettings,
    fields: &'a [Field],
) -> Result<&'a Field, String> {
    field("google_name_field", &settings.google_name_field, fields, "Text", &TEXTS)
}

/// Finds the text field for Google's state among all fields. `None` if none is configured. The error says what to do.
pub(super) fn google_state_field<'a>(
    settings: &ZendeskSettings,
    fields: &'a [Field],
) -> Option<Result<&'a Field, String>> {
    let wanted = settings.google_state_field.as_ref()?;
    Some(field("google_state_field", wanted, fields, "Text", &TEXTS))
}

fn field<'a>(
    key: &str,
    wanted: &str,
    fields: &'a [Field],
    kind: &str,
    kinds: &[&str],
) -> Result<&'a Field, String> {
    let wanted = wanted.trim();
    let named: Vec<&Field> = fields
        .iter()
        .filter(|field| field.id.to_string() == wanted || field.title.to_lowercase() == wanted.to_lowercase())
        .collect();
    let place = "Admin Center, Objects and rules, Tickets, Fields";
    let found = match named.as_slice() {
        [] => {
            return Err(format!(
                "Zendesk has no ticket field {wanted:?}: create one of the type {kind} ({place}), or name another in \
                 company.zendesk.{key}"
            ));
        }
        [one] => *one,
        [..] => {
            return Err(format!(
                "Zendesk has several ticket fields {wanted:?}: give the ID of the right one in company.zendesk.{key}"
            ));
        }
    };
    if found.active == Some(false) {
        return Err(format!("the ticket field {wanted:?} is inactive: activate it ({place})"));
    }
    if !kinds.contains(&found.kind.as_str()) {
        return Err(format!(
            "the ticket field {wanted:?} is of the type {:?}: it has to be of the type {kind}; create one ({place}), or \
             name another in company.zendesk.{key}",
            found.kind
        ));
    }
    Ok(found)
}

/// Returns the number of a comment, also of one that is not understood. Zendesk numbers comments in the order in which they are made
/// (assumed), so that the lowest is the ticket's description. Times do not tell: a clock may have been set back (`R36`: clock skew).
fn number_of(comment: &Value) -> u64 {
    comment.get("id").and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_title_or_id_and_have_to_be_of_the_right_type() {
        let make = |id, title: &str, kind: &str, active| Field {
            id,
            title: title.to_owned(),
            kind: kind.to_owned(),
            active: Some(active),
            ..Field::default()
        };
        let fields = [
            make(1, "SynchronizeWithGoogleCloudSupport", "checkbox", true),
            make(2, "twice", "checkbox", true),
            make(3, "twice", "checkbox", true),
            make(4, "off", "checkbox", false),
            make(5, "a text", "text", true),
        ];
        for (wanted, expected) in [
            ("synchronizeWithGoogleCloudSupport", Ok(1)),
            (" 3 ", Ok(3)),
            ("twice", Err("several")),
            ("off", Err("inactive")),
            ("a text", Err("has to be of the type Checkbox")),
            ("none", Err("create one")),
        ] {
            let settings = ZendeskSettings { flag_field: wanted.to_owned(), ..ZendeskSettings::default() };
            match (flag_field(&settings, &fields), expected) {
                (Ok(found), Ok(id)) => assert_eq!(found.id, id, "{wanted}"),
                (Err(problem), Err(part)) => assert!(problem.contains(part), "{problem}"),
                (found, _) => panic!("{wanted}: {found:?}"),
            }
        }
    }

    #[test]
    fn every_key_can_stand_in_a_header() {
        assert_eq!(header_value("casebridge-7-case"), "casebridge-7-case");
        for odd in ["", "a\nb", "\u{e4}", &"x".repeat(300)] {
            assert_eq!(header_value(odd).len(), 64, "{odd:?}");
        }
    }
}
