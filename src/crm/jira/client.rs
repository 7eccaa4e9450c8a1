//! Jira's REST API, version 2: one function for each call, and what is remembered between calls.
//!
//! Sources: "The Jira Cloud platform REST API", version 2, developer.atlassian.com; "Jira Data Center REST API", version 9,
//! docs.atlassian.com.

use std::collections::HashSet;
use std::future::Future;
use std::sync::{Arc, OnceLock};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::discovery::Fields;
use super::jql;
use super::paging::Paging;
use super::settings::{Deployment, JiraSettings};
use super::wire::{self, Issue, User};
use crate::cases::{ApiError, ApiErrorKind, Attachment, Download};
use crate::outbound::{Announced, Body, Call, Listing, Upstream};

/// Issues on a page of a search, as documented for the poll.
const SEARCH_PAGE: &str = "100";
/// Comments on a page, as documented for the sync.
const COMMENT_PAGE: &str = "50";
/// More pages than any listing has: one that goes on beyond is going round in circles.
const MOST_PAGES: usize = 10_000;

/// What may stand in a path as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// One part of a path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

pub(super) struct Client {
    upstream: Upstream,
    settings: JiraSettings,
    fields: Mutex<Option<Arc<Fields>>>,
    me: Mutex<Option<Arc<User>>>,
    service_management: OnceLock<bool>,
}

impl Client {
    pub(super) fn new(settings: JiraSettings, upstream: Upstream) -> Self {
        let service_management = OnceLock::new();
        if let Some(known) = settings.service_management {
            // A new cell is empty.
            let _ = service_management.set(known);
        }
        Self { upstream, settings, fields: Mutex::default(), me: Mutex::default(), service_management }
    }

    pub(super) fn settings(&self) -> &JiraSettings {
        &self.settings
    }

    pub(super) fn error(&self, kind: ApiErrorKind, call: &str, message: impl Into<String>) -> ApiError {
        self.upstream.error(kind, call, message)
    }

    /// An answer with something in it that was not understood.
    pub(super) fn unreadable(&self, call: &str, error: &wire::WireError) -> ApiError {
        self.error(ApiErrorKind::Unreadable, call, error.to_string())
    }

    // What is remembered.

    /// The custom fields; asked for once.
    pub(super) async fn fields(&self) -> Result<Arc<Fields>, ApiError> {
        let mut known = self.fields.lock().await;
        if let Some(fields) = known.as_ref() {
            return Ok(Arc::clone(fields));
        }
        let fields = Arc::new(self.find_fields().await?);
        *known = Some(Arc::clone(&fields));
        Ok(fields)
    }

    async fn find_fields(&self) -> Result<Fields, ApiError> {
        let all = self.all_fields().await?;
        Fields::find(&self.settings, &all)
            .map_err(|problem| self.error(ApiErrorKind::Refused, "GET /rest/api/2/field", problem))
    }

    /// Does something with the custom fields; if Jira refuses it, and the fields turn out to be others than remembered (one
    /// was deleted and made again), once more with those.
    pub(super) async fn with_fields<T, F>(&self, act: impl Fn(Arc<Fields>) -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let fields = self.fields().await?;
        let error = match act(Arc::clone(&fields)).await {
            Err(error) if error.status == Some(400) => error,
            done => return done,
        };
        let Ok(now) = self.find_fields().await else { return Err(error) };
        if now == *fields {
            return Err(error);
        }
        let now = Arc::new(now);
        *self.fields.lock().await = Some(Arc::clone(&now));
        act(now).await
    }

    /// The connector's own user; asked for once.
    pub(super) async fn me(&self) -> Result<Arc<User>, ApiError> {
        let mut known = self.me.lock().await;
        if let Some(me) = known.as_ref() {
            return Ok(Arc::clone(me));
        }
        let me = Arc::new(self.myself().await?);
        *known = Some(Arc::clone(&me));
        Ok(me)
    }

    /// Whether the project is one of Jira Service Management, if that is known.
    pub(super) fn known_service_management(&self) -> Option<bool> {
        self.service_management.get().copied()
    }

    /// Whether the project is one of Jira Service Management; asked for once.
    pub(super) async fn service_management(&self) -> Result<bool, ApiError> {
        if let Some(known) = self.known_service_management() {
            return Ok(known);
        }
        let project = self.project().await?;
        let is = project.project_type_key.as_deref() == Some("service_desk");
        Ok(*self.service_management.get_or_init(|| is))
    }

    // Reading.

    pub(super) async fn myself(&self) -> Result<User, ApiError> {
        self.upstream.read(Call::get("/rest/api/2/myself")).await
    }

    pub(super) async fn all_fields(&self) -> Result<Vec<wire::Field>, ApiError> {
        self.upstream.read(Call::get("/rest/api/2/field")).await
    }

    pub(super) async fn project(&self) -> Result<wire::Project, ApiError> {
        let path = format!("/rest/api/2/project/{}", segment(&self.settings.project));
        self.upstream.read(Call::get(path)).await
    }

    pub(super) async fn named(&self, what: &str) -> Result<Vec<wire::Named>, ApiError> {
        self.upstream.read(Call::get(format!("/rest/api/2/{what}"))).await
    }

    pub(super) async fn permissions(&self, names: &[&str]) -> Result<wire::Permissions, ApiError> {
        let call = Call::get("/rest/api/2/mypermissions")
            .query("projectKey", self.settings.project.as_str())
            .query("permissions", names.join(","));
        self.upstream.read(call).await
    }

    pub(super) async fn issue_types(&self) -> Result<Vec<wire::Named>, ApiError> {
        let path = format!("/rest/api/2/issue/createmeta/{}/issuetypes", segment(&self.settings.project));
        let types: wire::IssueTypes = self.upstream.read(Call::get(path).query("maxResults", "200")).await?;
        Ok(types.values)
    }

    pub(super) async fn create_screen(&self, issue_type: &str) -> Result<wire::CreateScreen, ApiError> {
        let path = format!(
            "/rest/api/2/issue/createmeta/{}/issuetypes/{}",
            segment(&self.settings.project),
            segment(issue_type)
        );
        self.upstream.read(Call::get(path).query("maxResults", "200")).await
    }

    pub(super) async fn edit_screen(&self, id: &str) -> Result<wire::EditScreen, ApiError> {
        self.upstream.read(Call::get(format!("{}/editmeta", issue_path(id)))).await
    }

    pub(super) async fn attachment_meta(&self) -> Result<wire::AttachmentMeta, ApiError> {
        self.upstream.read(Call::get("/rest/api/2/attachment/meta")).await
    }

    /// An issue with these fields.
    pub(super) async fn issue(&self, id: &str, fields: &str) -> Result<Issue, ApiError> {
        let path = issue_path(id);
        let value: Value = self.upstream.read(Call::get(path.as_str()).query("fields", fields)).await?;
        Issue::read(&value).map_err(|error| self.unreadable(&format!("GET {path}"), &error))
    }

    pub(super) async fn transitions(&self, id: &str) -> Result<Vec<wire::Transition>, ApiError> {
        let call = Call::get(format!("{}/transitions", issue_path(id))).query("expand", "transitions.fields");
        let answer: wire::Transitions = self.upstream.read(call).await?;
        Ok(answer.transitions)
    }

    /// The first page of a search.
    pub(super) async fn search_some(&self, query: &str, fields: &str) -> Result<Vec<Value>, ApiError> {
        let mut listing = Listing::default();
        Ok(self.search_page(query, fields, &Position::Start, &mut listing).await?.items)
    }

    /// What `read` makes of each issue that a search finds, as it was met last. Where pages are counted, `query` must not have
    /// an order of its own: it gets one in which changes move to the end.
    pub(super) async fn search_all<T: Send>(
        &self,
        query: &str,
        fields: &str,
        read: impl Fn(&Value) -> T + Send,
    ) -> Result<Vec<T>, ApiError> {
        match self.settings.deployment {
            Deployment::Cloud => self.search_linked(query, fields, read).await,
            Deployment::DataCenter => {
                self.search_counted(&format!("{query}{}", jql::OLDEST_FIRST), fields, read).await
            }
        }
    }

    /// Cloud: pages lead to each other by tokens. A page may be short or empty (`R6`).
    async fn search_linked<T: Send>(
        &self,
        query: &str,
        fields: &str,
        read: impl Fn(&Value) -> T + Send,
    ) -> Result<Vec<T>, ApiError> {
        let mut found = Vec::new();
        let (mut listing, mut tokens) = (Listing::default(), HashSet::new());
        let mut position = Position::Start;
        for _ in 0..MOST_PAGES {
            let page = self.search_page(query, fields, &position, &mut listing).await?;
            found.extend(page.items.iter().map(|item| (identity(item), read(item))));
            let next = page.next_page_token.filter(|token| !token.is_empty());
            match next {
                Some(token) if page.is_last != Some(true) => {
                    if !tokens.insert(token.clone()) {
                        return Err(self.circular(self.search_path()));
                    }
                    position = Position::Token(token);
                }
                Some(_) | None => return Ok(last_of_each(found)),
            }
        }
        Err(self.endless(self.search_path()))
    }

    /// Data Center: pages are counted.
    async fn search_counted<T: Send>(
        &self,
        query: &str,
        fields: &str,
        read: impl Fn(&Value) -> T + Send,
    ) -> Result<Vec<T>, ApiError> {
        let mut found = Vec::new();
        let (mut listing, mut paging) = (Listing::default(), Paging::new());
        for _ in 0..MOST_PAGES {
            let page =
                self.search_page(query, fields, &Position::Offset(paging.start()), &mut listing).await?;
            let more = paging.take(&ids(&page.items), page.total);
            found.extend(page.items.iter().map(|item| (identity(item), read(item))));
            if paging.is_stuck() {
                break;
            }
            if !more {
                return Ok(last_of_each(found));
            }
        }
        Err(self.endless(self.search_path()))
    }

    async fn search_page(
        &self,
        query: &str,
        fields: &str,
        at: &Position,
        listing: &mut Listing,
    ) -> Result<wire::Page, ApiError> {
        let call = Call::get(self.search_path())
            .query("jql", query)
            .query("fields", fields)
            .query("maxResults", SEARCH_PAGE);
        let call = match at {
            Position::Start => call,
            Position::Token(token) => call.query("nextPageToken", token.as_str()),
            Position::Offset(offset) => call.query("startAt", offset.to_string()),
        };
        self.upstream.read_page(call, listing).await
    }

    /// Cloud has no `search` any more, and Data Center no `search/jql` (changelog CHANGE-2046, developer.atlassian.com).
    const fn search_path(&self) -> &'static str {
        match self.settings.deployment {
            Deployment::Cloud => "/rest/api/2/search/jql",
            Deployment::DataCenter => "/rest/api/2/search",
        }
    }

    /// The comments of an issue, the newest first, until `enough` says that no more are needed; each once.
    pub(super) async fn comments(
        &self,
        id: &str,
        enough: impl Fn(&[Value]) -> bool,
    ) -> Result<Vec<Value>, ApiError> {
        let path = format!("{}/comment", issue_path(id));
        let mut found = Vec::new();
        let (mut listing, mut paging) = (Listing::default(), Paging::new());
        for _ in 0..MOST_PAGES {
            let call = Call::get(path.as_str())
                .query("orderBy", "-created")
                .query("startAt", paging.start().to_string())
                .query("maxResults", COMMENT_PAGE);
            let page: wire::Page = self.upstream.read_page(call, &mut listing).await?;
            let more = paging.take(&ids(&page.items), page.total);
            found.extend(page.items);
            if paging.is_stuck() {
                break;
            }
            if !more || enough(&found) {
                return Ok(last_of_each(found.into_iter().map(|item| (identity(&item), item)).collect()));
            }
        }
        Err(self.endless(&path))
    }

    fn endless(&self, path: &str) -> ApiError {
        let message = format!("the listing goes on for more than {MOST_PAGES} pages");
        self.error(ApiErrorKind::Unreadable, &format!("GET {path}"), message)
    }

    fn circular(&self, path: &str) -> ApiError {
        let message = "a page names a page that was read already as the next";
        self.error(ApiErrorKind::Unreadable, &format!("GET {path}"), message)
    }

    /// Opens an attachment's content. Cloud serves it by ID and redirects to another host; Data Center serves it under
    /// ID and name.
    pub(super) async fn content(&self, attachment: &Attachment, call: String) -> Result<Download, ApiError> {
        let (id, filename) = (&attachment.id, &attachment.filename);
        let path = match self.settings.deployment {
            Deployment::Cloud => format!("/rest/api/2/attachment/content/{}", segment(id)),
            Deployment::DataCenter => format!("/secure/attachment/{}/{}", segment(id), segment(filename)),
        };
        let announced = Announced::of(attachment, call, &["/rest/api/2/attachment/", "/secure/attachment/"]);
        self.upstream.download(Call::get(path), announced).await
    }

    // Writing.

    pub(super) async fn create(&self, fields: Value) -> Result<wire::Created, ApiError> {
        self.upstream.write(Call::post("/rest/api/2/issue", json!({ "fields": fields }))).await
    }

    pub(super) async fn edit(&self, id: &str, fields: Value) -> Result<(), ApiError> {
        let call = Call::new(Method::PUT, issue_path(id)).body(Body::Json(json!({ "fields": fields })));
        self.upstream.write_only(call).await
    }

    pub(super) async fn add_comment(&self, id: &str, comment: Value) -> Result<wire::Created, ApiError> {
        self.upstream.write(Call::post(format!("{}/comment", issue_path(id)), comment)).await
    }

    pub(super) async fn transition(&self, id: &str, body: Value) -> Result<(), ApiError> {
        self.upstream.write_only(Call::post(format!("{}/transitions", issue_path(id)), body)).await
    }

    /// Uploads a file. Jira takes uploads only with this header, against forged forms ("Add attachment").
    pub(super) async fn upload(
        &self,
        id: &str,
        form: reqwest::multipart::Form,
    ) -> Result<Vec<Value>, ApiError> {
        let call = Call::new(Method::POST, format!("{}/attachments", issue_path(id)))
            .header(HeaderName::from_static("x-atlassian-token"), HeaderValue::from_static("no-check"))
            .body(Body::Multipart(form));
        self.upstream.write(call).await
    }
}

/// Where a page of a search begins.
enum Position {
    Start,
    Token(String),
    Offset(usize),
}

pub(super) fn issue_path(id: &str) -> String {
    format!("/rest/api/2/issue/{}", segment(id))
}

/// The IDs of things on a page; what has none is known by its text.
fn ids(values: &[Value]) -> Vec<String> {
    values.iter().map(identity).collect()
}

fn identity(value: &Value) -> String {
    match value.get("id") {
        Some(Value::String(id)) => id.clone(),
        Some(other) => other.to_string(),
        None => value.to_string(),
    }
}

/// Each thing once, as it was met last.
fn last_of_each<T>(things: Vec<(String, T)>) -> Vec<T> {
    let mut seen = HashSet::new();
    let mut kept: Vec<T> =
        things.into_iter().rev().filter_map(|(id, thing)| seen.insert(id).then_some(thing)).collect();
    kept.reverse();
    kept
}
