//! Jira's REST API, version 2: one function for each call, and the caches between calls.
//!
//! Sources: "The Jira Cloud platform REST API", version 2, developer.atlassian.com; "Jira Data Center REST API", version 9,
//! docs.atlassian.com.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::future::Future;
use std::sync::{Arc, Mutex as SyncMutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::discovery::{self, Fields};
use super::filename::stored_filename;
use super::paging::Paging;
use super::readable::Names;
use super::settings::{Deployment, JiraSettings};
use super::wire::{self, Issue, User};
use super::{identity, jql};
use crate::cases::{ApiError, ApiErrorKind, Attachment, Download};
use crate::outbound::{Announced, Body, Call, Listing, Pace, Upstream, WriteLimit};

/// Number of issues on a page of a search, as documented for the poll.
const SEARCH_PAGE: usize = 100;
/// Number of comments on a page, as documented for the sync.
const COMMENT_PAGE: usize = 50;
/// Maximum number of pages of a listing, more than any real one has: a longer one repeats itself.
const MOST_PAGES: usize = 10_000;

/// Lifetime of a cached project of an issue: the issue may be moved.
const PROJECT_AGE: Duration = Duration::from_mins(10);
/// Number of issues whose project is cached.
const MOST_REMEMBERED: usize = 10_000;

/// Lifetime of a cached name of a user.
const NAME_AGE: Duration = Duration::from_hours(24);
/// Number of users whose name is cached.
const MOST_NAMES: usize = 10_000;
/// Number of users that one reading looks up. The others stay without a name: a text with more mentions is no message.
const MOST_LOOKUPS: usize = 50;

/// Paths of Jira that files come from: a redirect to any other path leads to no file (`R34`: other content in place of a file).
const DOWNLOADS: [&str; 2] = ["/rest/api/2/attachment/", "/secure/attachment/"];

/// Characters that are escaped in a path segment: all except unreserved ones.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Escapes one segment of a path.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

pub(super) struct Client {
    upstream: Upstream,
    settings: JiraSettings,
    fields: Mutex<Option<Arc<Fields>>>,
    me: Mutex<Option<Arc<User>>>,
    service_management: OnceLock<bool>,
    projects: SyncMutex<Projects>,
    /// Held while the kind of a project is asked for, so that of several syncs one asks.
    asking_kind: Mutex<()>,
    names: SyncMutex<HashMap<String, KnownName>>,
    pace: Pace,
}

/// Number of writes that one issue takes on Cloud: 20 within 2 seconds and 100 within 30. A tenth is left for others, and the periods
/// are a second longer, for calls that arrive closer together than they were sent.
///
/// Source: "Rate limiting", *Per-issue write limits*, Jira Cloud platform (October 2026). Data Center documents no such limit.
const CLOUD_WRITES: [WriteLimit; 2] = [
    WriteLimit { writes: 18, period: std::time::Duration::from_secs(3) },
    WriteLimit { writes: 90, period: std::time::Duration::from_secs(31) },
];

/// Cached facts about projects, all of which can be read again.
#[derive(Debug, Default)]
struct Projects {
    /// Key of an issue's project and the time it was read, by the issue's ID.
    of_issues: HashMap<String, (String, Instant)>,
    /// True for projects of Jira Service Management, by their keys.
    service_management: HashMap<String, bool>,
}

/// Display name of a mentioned user, and the time it was read. `None` if Jira does not tell it.
type KnownName = (Option<String>, Instant);

/// Result of a search.
pub(super) struct Found<T> {
    pub(super) items: Vec<T>,
    /// True if every page was for a user that Jira knows (`R26`: empty answers need proof).
    pub(super) identified: bool,
    /// Time of the first page, by Jira's clock.
    pub(super) answered_at: Option<DateTime<Utc>>,
}

impl Client {
    pub(super) fn new(settings: JiraSettings, upstream: Upstream) -> Self {
        let service_management = OnceLock::new();
        if let Some(known) = settings.service_management {
            // A new cell is empty.
            let _ = service_management.set(known);
        }
        let pace = Pace::new(match settings.deployment {
            Deployment::Cloud => &CLOUD_WRITES,
            Deployment::DataCenter => &[],
        });
        Self {
            upstream,
            settings,
            fields: Mutex::default(),
            me: Mutex::default(),
            service_management,
            projects: SyncMutex::default(),
            asking_kind: Mutex::default(),
            names: SyncMutex::default(),
            pace,
        }
    }

    /// Upstream that all calls use.
    pub(super) const fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub(super) fn settings(&self) -> &JiraSettings {
        &self.settings
    }

    /// Returns the configured address.
    pub(super) fn base_url(&self) -> &Url {
        self.upstream.base_url()
    }

    /// Time within which a write without an answer may still take effect, its wait for its turn included (`R13`: unknown write outcome).
    pub(super) fn in_flight_window(&self) -> chrono::Duration {
        let waits = chrono::Duration::from_std(self.pace.longest_wait()).unwrap_or_default();
        self.upstream.in_flight_window() + waits
    }

    /// Returns the OAuth scopes of the current access token, if they are known.
    pub(super) async fn granted_scope(&self) -> Option<String> {
        self.upstream.granted_scope().await
    }

    /// Difference between Jira's clock and ours, theirs minus ours (`R36`: clock skew).
    pub(super) fn clock_skew(&self) -> Option<chrono::Duration> {
        self.upstream.clock_skew()
    }

    /// Difference between the clocks according to the newest answer alone.
    pub(super) fn latest_skew(&self) -> Option<chrono::Duration> {
        self.upstream.latest_skew()
    }

    /// Returns the keys of the configuration that hold the credentials.
    pub(super) fn credential_keys(&self) -> &'static str {
        self.settings.credential_keys()
    }

    pub(super) fn error(&self, kind: ApiErrorKind, call: &str, message: impl Into<String>) -> ApiError {
        self.upstream.error(kind, call, message)
    }

    /// Makes the error for an answer that was not understood.
    pub(super) fn unreadable(&self, call: &str, error: &wire::WireError) -> ApiError {
        self.error(ApiErrorKind::Unreadable, call, error.to_string())
    }

    // Caches.

    /// Returns the custom fields; cached.
    pub(super) async fn fields(&self) -> Result<Arc<Fields>, ApiError> {
        let mut known = self.fields.lock().await;
        if let Some(fields) = known.as_ref() {
            return Ok(Arc::clone(fields));
        }
        let fields = Arc::new(self.find_fields().await?);
        for field in [&fields.flag, &fields.google_name].into_iter().filter(|field| field.namesakes > 0) {
            tracing::warn!(field = %field.id, namesakes = field.namesakes, "team-managed projects have fields of the same name");
        }
        *known = Some(Arc::clone(&fields));
        Ok(fields)
    }

    async fn find_fields(&self) -> Result<Fields, ApiError> {
        let all = self.all_fields().await?;
        Fields::find(&self.settings, &all)
            .map_err(|problem| self.error(ApiErrorKind::Refused, "GET /rest/api/2/field", problem))
    }

    /// Runs `act` with the custom fields. If Jira answers 400 and the cached fields are stale (one was deleted and created again), runs it
    /// once more with the new ones.
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

    /// Returns the connector's own user; cached.
    pub(super) async fn me(&self) -> Result<Arc<User>, ApiError> {
        let mut known = self.me.lock().await;
        if let Some(me) = known.as_ref() {
            return Ok(Arc::clone(me));
        }
        let me = Arc::new(self.myself().await?);
        *known = Some(Arc::clone(&me));
        Ok(me)
    }

    /// True if a user's ID, key or name is that of the connector's user, as far as it was read before.
    pub(super) async fn is_own_user(&self, user: &str) -> bool {
        let known = self.me.lock().await;
        known.as_ref().is_some_and(|me| {
            [&me.account_id, &me.key, &me.name].into_iter().flatten().any(|name| name == user)
        })
    }

    /// Reads the connector's own user and refreshes the cache.
    pub(super) async fn identify(&self) -> Result<Arc<User>, ApiError> {
        let me = Arc::new(self.myself().await?);
        *self.me.lock().await = Some(Arc::clone(&me));
        Ok(me)
    }

    /// Reports if the configured project is one of Jira Service Management. `None` if it is not known yet.
    pub(super) fn known_service_management(&self) -> Option<bool> {
        self.service_management.get().copied()
    }

    /// Reports if the configured project is one of Jira Service Management; cached. `None` if Jira does not tell.
    pub(super) async fn service_management(&self) -> Result<Option<bool>, ApiError> {
        match self.known_service_management() {
            Some(known) => Ok(Some(known)),
            None => self.is_service_management(&self.settings.project).await,
        }
    }

    /// Reports if an issue is in a project of Jira Service Management. `None` if Jira does not tell, which must not count as `false`
    /// (`R29`: private until shown to be public).
    pub(super) async fn service_management_of(&self, id: &str) -> Result<Option<bool>, ApiError> {
        let known = self.projects().of_issues.get(id).cloned();
        let project = match known {
            Some((project, seen)) if seen.elapsed() < PROJECT_AGE => Some(project),
            Some(_) | None => {
                let issue = self.issue(id, "project").await?;
                self.remember_project(&issue);
                let project = issue.project().map_err(|error| self.unreadable("GET issue", &error))?;
                project.and_then(|project| project.key)
            }
        };
        match project {
            Some(project) => self.is_service_management(&project).await,
            None => Ok(None),
        }
    }

    async fn is_service_management(&self, project: &str) -> Result<Option<bool>, ApiError> {
        let configured = project.eq_ignore_ascii_case(&self.settings.project);
        if configured && let Some(told) = self.settings.service_management {
            return Ok(Some(told));
        }
        let known = || self.projects().service_management.get(project).copied();
        if let Some(is) = known() {
            return Ok(Some(is));
        }
        let _asking = self.asking_kind.lock().await;
        let is = match known() {
            Some(is) => Some(is),
            None => match self.project(project).await {
                Ok(found) => found.is_service_management(),
                // The project is not shown, so its type stays unknown.
                Err(error) if matches!(error.status, Some(403 | 404)) => None,
                Err(error) => return Err(error),
            },
        };
        if let Some(is) = is {
            self.remember_kind(project, is);
        }
        // For a project of unknown type, the configuration of the connector's own project is the best guess.
        Ok(is.or(self.settings.service_management))
    }

    /// Caches the project that was read with an issue.
    pub(super) fn remember_project(&self, issue: &Issue) {
        let Ok(Some(project)) = issue.project() else { return };
        let kind = project.is_service_management();
        let Some(key) = project.key else { return };
        if let Some(is) = kind {
            self.remember_kind(&key, is);
        }
        let mut projects = self.projects();
        if projects.of_issues.len() >= MOST_REMEMBERED {
            projects.of_issues.clear();
        }
        projects.of_issues.insert(issue.id.clone(), (key, Instant::now()));
    }

    fn remember_kind(&self, project: &str, is: bool) {
        if project.eq_ignore_ascii_case(&self.settings.project) {
            // The first value stays.
            let _ = self.service_management.set(is);
        }
        self.projects().service_management.insert(project.to_owned(), is);
    }

    fn projects(&self) -> MutexGuard<'_, Projects> {
        self.projects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Reading.

    pub(super) async fn myself(&self) -> Result<User, ApiError> {
        self.upstream.read(Call::get("/rest/api/2/myself")).await
    }

    pub(super) async fn all_fields(&self) -> Result<Vec<wire::Field>, ApiError> {
        let fields: Vec<wire::Field> = self.upstream.read(Call::get("/rest/api/2/field")).await?;
        if fields.iter().all(|field| field.project().is_none()) {
            return Ok(fields);
        }
        let project = match self.project(&self.settings.project).await {
            Ok(project) => project.id,
            // The project is not shown, so none of the fields is known to be its own.
            Err(error) if matches!(error.status, Some(403 | 404)) => None,
            Err(error) => return Err(error),
        };
        Ok(discovery::nearest(&self.settings, fields, project.as_deref()))
    }

    /// Returns the display names of mentioned users, by the ID in the mention; cached. Users whom Jira does not name are left out.
    ///
    /// Source: "Get user", Jira Cloud REST API v2 and Jira Data Center REST API. It needs the scope `read:jira-user`, which `myself` needs
    /// as well.
    pub(super) async fn names(&self, mentioned: BTreeSet<String>) -> Result<Names, ApiError> {
        let mut names = Names::new();
        let mut lookups = 0;
        for id in mentioned {
            let known = self.known_names().get(&id).cloned();
            let name = match known {
                Some((name, read_at)) if read_at.elapsed() < NAME_AGE => name,
                Some(_) | None if lookups < MOST_LOOKUPS => {
                    lookups += 1;
                    let name = self.name(&id).await?;
                    let mut known = self.known_names();
                    if known.len() >= MOST_NAMES {
                        known.clear();
                    }
                    known.insert(id.clone(), (name.clone(), Instant::now()));
                    name
                }
                Some(_) | None => None,
            };
            names.extend(name.map(|name| (id, name)));
        }
        Ok(names)
    }

    fn known_names(&self) -> MutexGuard<'_, HashMap<String, KnownName>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn name(&self, id: &str) -> Result<Option<String>, ApiError> {
        let (parameter, value) = match id.strip_prefix("accountid:") {
            Some(account) => ("accountId", account),
            None => ("username", id),
        };
        let call = Call::get("/rest/api/2/user").query(parameter, value);
        match self.upstream.read::<User>(call).await {
            Ok(user) => Ok(user.display_name.filter(|name| !name.trim().is_empty())),
            // Unknown, deleted, or hidden from the connector's user: the text is carried all the same.
            Err(error) if matches!(error.status, Some(400 | 403 | 404)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads Jira's own time, and the date of the answer that holds it.
    pub(super) async fn times(&self) -> Result<(Option<DateTime<Utc>>, Option<DateTime<Utc>>), ApiError> {
        let call = Call::get("/rest/api/2/serverInfo");
        let mut listing = Listing::default();
        let (info, headers): (wire::ServerInfo, _) =
            self.upstream.read_page_with_headers(call, &mut listing).await?;
        Ok((info.server_time.as_deref().and_then(wire::parse_time), date(&headers)))
    }

    pub(super) async fn project(&self, key: &str) -> Result<wire::Project, ApiError> {
        let path = format!("/rest/api/2/project/{}", segment(key));
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

    /// Returns the projects that the connector's user sees.
    ///
    /// Source: "Get all projects", Jira Cloud REST API v2 (deprecated there, but in service) and Jira Data Center REST API.
    pub(super) async fn projects_seen(&self) -> Result<Vec<wire::Project>, ApiError> {
        self.upstream.read(Call::get("/rest/api/2/project")).await
    }

    /// True if there is a user with this account ID, or user name on Data Center.
    pub(super) async fn has_user(&self, user: &str) -> Result<bool, ApiError> {
        let parameter = match self.settings.deployment {
            Deployment::Cloud => "accountId",
            Deployment::DataCenter => "username",
        };
        match self.upstream.read::<User>(Call::get("/rest/api/2/user").query(parameter, user)).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.status, Some(400 | 404)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn issue_types(&self, project: &str) -> Result<Vec<wire::Named>, ApiError> {
        let path = format!("/rest/api/2/issue/createmeta/{}/issuetypes", segment(project));
        let types: wire::IssueTypes = self.upstream.read(Call::get(path).query("maxResults", "200")).await?;
        Ok(types.values)
    }

    /// Returns the request types of a project. A project without a service desk has none.
    ///
    /// The service desk is looked up by the project's key, and a list has at most 100 items a page ("Get service desks", "Get request
    /// types", developer.atlassian.com).
    pub(super) async fn request_types(&self, project: &str) -> Result<Vec<wire::RequestType>, ApiError> {
        const DESKS: &str = "/rest/servicedeskapi/servicedesk";
        let desks: Vec<wire::ServiceDesk> = self.service_desk_list(DESKS).await?;
        let ours = |desk: &&wire::ServiceDesk| desk.project_key.eq_ignore_ascii_case(project);
        match desks.iter().find(ours) {
            Some(desk) => self.service_desk_list(&format!("{DESKS}/{}/requesttype", segment(&desk.id))).await,
            None => Ok(Vec::new()),
        }
    }

    /// Reads a list of Service Management's API to its end, which `isLastPage` marks.
    async fn service_desk_list<T: DeserializeOwned>(&self, path: &str) -> Result<Vec<T>, ApiError> {
        let mut all = Vec::new();
        for _ in 0..MOST_PAGES {
            let call = Call::get(path).query("start", all.len().to_string()).query("limit", "100");
            let page: wire::ServiceDeskPage<T> = self.upstream.read(call).await?;
            let is_empty = page.values.is_empty();
            all.extend(page.values);
            if page.is_last_page || is_empty {
                return Ok(all);
            }
        }
        Err(self.endless(path))
    }

    pub(super) async fn create_screen(
        &self,
        project: &str,
        issue_type: &str,
    ) -> Result<wire::CreateScreen, ApiError> {
        let path =
            format!("/rest/api/2/issue/createmeta/{}/issuetypes/{}", segment(project), segment(issue_type));
        self.upstream.read(Call::get(path).query("maxResults", "200")).await
    }

    pub(super) async fn edit_screen(&self, id: &str) -> Result<wire::EditScreen, ApiError> {
        self.upstream.read(Call::get(format!("{}/editmeta", issue_path(id)))).await
    }

    pub(super) async fn attachment_meta(&self) -> Result<wire::AttachmentMeta, ApiError> {
        self.upstream.read(Call::get("/rest/api/2/attachment/meta")).await
    }

    /// Reads an issue with these fields.
    pub(super) async fn issue(&self, id: &str, fields: &str) -> Result<Issue, ApiError> {
        let path = issue_path(id);
        let value: Value = self.upstream.read(Call::get(path.as_str()).query("fields", fields)).await?;
        Issue::read(&value).map_err(|error| self.unreadable(&format!("GET {path}"), &error))
    }

    /// Reads the statuses of a project's issues, each once.
    ///
    /// Source: "Get all statuses for project", Jira Cloud REST API v2 and Jira Data Center REST API (November 2026).
    pub(super) async fn statuses(&self, project: &str) -> Result<Vec<wire::Status>, ApiError> {
        let path = format!("/rest/api/2/project/{}/statuses", segment(project));
        let types: Vec<wire::StatusesOfType> = self.upstream.read(Call::get(path)).await?;
        let mut seen = HashSet::new();
        let all = types.into_iter().flat_map(|of| of.statuses);
        Ok(all.filter(|status| seen.insert(status.name.clone())).collect())
    }

    /// Returns the users who watch an issue. Needs the permission "View voters and watchers".
    pub(super) async fn watchers(&self, id: &str) -> Result<Vec<User>, ApiError> {
        let answer: wire::Watchers =
            self.upstream.read(Call::get(format!("{}/watchers", issue_path(id)))).await?;
        Ok(answer.watchers)
    }

    /// Returns the components of a project.
    ///
    /// Source: "Get project components", Jira Cloud REST API v2 and Jira Data Center REST API.
    pub(super) async fn components(&self, project: &str) -> Result<Vec<wire::Named>, ApiError> {
        self.upstream.read(Call::get(format!("/rest/api/2/project/{}/components", segment(project)))).await
    }

    pub(super) async fn transitions(&self, id: &str) -> Result<Vec<wire::Transition>, ApiError> {
        let call = Call::get(format!("{}/transitions", issue_path(id))).query("expand", "transitions.fields");
        let answer: wire::Transitions = self.upstream.read(call).await?;
        Ok(answer.transitions)
    }

    /// Reads the first page of a search, with at most `most` issues.
    pub(super) async fn search_some(
        &self,
        query: &str,
        fields: &str,
        most: usize,
    ) -> Result<Vec<Value>, ApiError> {
        let mut listing = Listing::default();
        let (page, _) = self.search_page(query, fields, most, &Position::Start, &mut listing).await?;
        Ok(page.items)
    }

    /// Returns the results of `read` for all issues of a query, each issue in its last seen version. `query` must have no order of its own:
    /// where pages have offsets, it gets one in which changed issues move to the end.
    pub(super) async fn search_all<T: Send>(
        &self,
        query: &str,
        fields: &str,
        read: impl Fn(&Value) -> T + Send,
    ) -> Result<Found<T>, ApiError> {
        match self.settings.deployment {
            Deployment::Cloud => self.search_linked(query, fields, read).await,
            Deployment::DataCenter => {
                self.search_counted(&format!("{query}{}", jql::OLDEST_FIRST), fields, read).await
            }
        }
    }

    /// Cloud: each page has the token of the next. A page may be short or empty (`R6`: a watermark moves only after a complete read).
    async fn search_linked<T: Send>(
        &self,
        query: &str,
        fields: &str,
        read: impl Fn(&Value) -> T + Send,
    ) -> Result<Found<T>, ApiError> {
        let mut found = Pages::default();
        let (mut listing, mut tokens) = (Listing::default(), HashSet::new());
        let mut position = Position::Start;
        for _ in 0..MOST_PAGES {
            let (page, headers) =
                self.search_page(query, fields, SEARCH_PAGE, &position, &mut listing).await?;
            found.add(&page.items, &headers, &read);
            let next = page.next_page_token.filter(|token| !token.is_empty());
            match next {
                Some(token) if page.is_last != Some(true) => {
                    if !tokens.insert(token.clone()) {
                        return Err(self.circular(self.search_path()));
                    }
                    position = Position::Token(token);
                }
                Some(_) | None => return Ok(found.whole()),
            }
        }
        Err(self.endless(self.search_path()))
    }

    /// Data Center: pages have offsets.
    async fn search_counted<T: Send>(
        &self,
        query: &str,
        fields: &str,
        read: impl Fn(&Value) -> T + Send,
    ) -> Result<Found<T>, ApiError> {
        let mut found = Pages::default();
        let (mut listing, mut paging) = (Listing::default(), Paging::new());
        for _ in 0..MOST_PAGES {
            let at = Position::Offset(paging.start());
            let (page, headers) = self.search_page(query, fields, SEARCH_PAGE, &at, &mut listing).await?;
            let more = paging.advance(&ids(&page.items), page.total);
            found.add(&page.items, &headers, &read);
            if paging.is_stuck() {
                break;
            }
            if !more {
                return Ok(found.whole());
            }
        }
        Err(self.endless(self.search_path()))
    }

    async fn search_page(
        &self,
        query: &str,
        fields: &str,
        most: usize,
        at: &Position,
        listing: &mut Listing,
    ) -> Result<(wire::Page, HeaderMap), ApiError> {
        let call = Call::get(self.search_path())
            .query("jql", query)
            .query("fields", fields)
            .query("maxResults", most.to_string());
        let call = match at {
            Position::Start => call,
            Position::Token(token) => call.query("nextPageToken", token.as_str()),
            Position::Offset(offset) => call.query("startAt", offset.to_string()),
        };
        self.upstream.read_page_with_headers(call, listing).await
    }

    /// Path of the search. Cloud no longer has `search`, and Data Center has no `search/jql` (changelog CHANGE-2046,
    /// developer.atlassian.com).
    const fn search_path(&self) -> &'static str {
        match self.settings.deployment {
            Deployment::Cloud => "/rest/api/2/search/jql",
            Deployment::DataCenter => "/rest/api/2/search",
        }
    }

    /// Reads the newest comments of an issue, at most `most`.
    pub(super) async fn some_comments(&self, id: &str, most: usize) -> Result<Vec<Value>, ApiError> {
        let page: wire::Page = self.upstream.read(comment_page(&comment_path(id), 0, most)).await?;
        Ok(page.items)
    }

    /// Reads the comments of an issue, newest first, each once, until `enough` returns true.
    pub(super) async fn comments(
        &self,
        id: &str,
        enough: impl Fn(&[Value]) -> bool,
    ) -> Result<Vec<Value>, ApiError> {
        let path = comment_path(id);
        let mut found = Vec::new();
        let (mut listing, mut paging) = (Listing::default(), Paging::new());
        for _ in 0..MOST_PAGES {
            let call = comment_page(&path, paging.start(), COMMENT_PAGE);
            let page: wire::Page = self.upstream.read_page(call, &mut listing).await?;
            let more = paging.advance(&ids(&page.items), page.total);
            found.extend(page.items);
            if paging.is_stuck() {
                break;
            }
            if !more || enough(&found) {
                return Ok(last_of_each(found.into_iter().map(|item| (known_by(&item), item)).collect()));
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

    /// Opens an attachment's content. Cloud serves it by ID and redirects to another host; Data Center serves it by ID and name.
    pub(super) async fn content(&self, attachment: &Attachment, call: String) -> Result<Download, ApiError> {
        let announced = Announced::of(attachment, call, &DOWNLOADS);
        self.upstream.download(Call::get(self.content_path(attachment)), announced).await
    }

    fn content_path(&self, attachment: &Attachment) -> String {
        let id = segment(&attachment.id);
        match self.settings.deployment {
            Deployment::Cloud => format!("/rest/api/2/attachment/content/{id}"),
            // Data Center uses the ID and ignores the name behind it, but requires one (`ViewAttachmentServlet` in its public sources). A
            // name that is not one path segment, such as `..` or `a/b`, would lead elsewhere.
            Deployment::DataCenter => {
                format!("/secure/attachment/{id}/{}", segment(&stored_filename(&attachment.filename)))
            }
        }
    }

    // Writing.

    pub(super) async fn create(&self, fields: Value) -> Result<wire::Created, ApiError> {
        self.upstream.write(Call::post("/rest/api/2/issue", json!({ "fields": fields }))).await
    }

    pub(super) async fn edit(&self, id: &str, fields: Value) -> Result<(), ApiError> {
        self.pace.turn(id).await;
        let call = Call::new(Method::PUT, issue_path(id)).body(Body::Json(json!({ "fields": fields })));
        self.upstream.write_only(call).await
    }

    pub(super) async fn add_comment(&self, id: &str, comment: Value) -> Result<wire::Created, ApiError> {
        self.pace.turn(id).await;
        self.upstream.write(Call::post(comment_path(id), comment)).await
    }

    pub(super) async fn transition(&self, id: &str, body: Value) -> Result<(), ApiError> {
        self.pace.turn(id).await;
        self.upstream.write_only(Call::post(format!("{}/transitions", issue_path(id)), body)).await
    }

    /// Applies operations on fields, such as adding one label, each of which leaves the rest of its field as it is ("Edit issue").
    pub(super) async fn alter(&self, id: &str, update: Value) -> Result<(), ApiError> {
        self.pace.turn(id).await;
        let call = Call::new(Method::PUT, issue_path(id)).body(Body::Json(json!({ "update": update })));
        self.upstream.write_only(call).await
    }

    /// Creates the remote link, or updates the one with its `globalId` ("Create or update remote issue link").
    pub(super) async fn put_remote_link(&self, id: &str, link: Value) -> Result<(), ApiError> {
        self.pace.turn(id).await;
        self.upstream.write_only(Call::post(format!("{}/remotelink", issue_path(id)), link)).await
    }

    /// Sets a property of a comment of that issue ("Set comment property").
    pub(super) async fn set_comment_property(
        &self,
        id: &str,
        comment: &str,
        key: &str,
        value: Value,
    ) -> Result<(), ApiError> {
        self.pace.turn(id).await;
        let path = format!("/rest/api/2/comment/{}/properties/{}", segment(comment), segment(key));
        self.upstream.write_only(Call::new(Method::PUT, path).body(Body::Json(value))).await
    }

    /// Uploads a file. Jira accepts uploads only with this header, as a protection against forged forms ("Add attachment").
    pub(super) async fn upload(
        &self,
        id: &str,
        form: reqwest::multipart::Form,
    ) -> Result<Vec<Value>, ApiError> {
        self.pace.turn(id).await;
        let call = Call::new(Method::POST, format!("{}/attachments", issue_path(id)))
            .header(HeaderName::from_static("x-atlassian-token"), HeaderValue::from_static("no-check"))
            .body(Body::Multipart(form));
        self.upstream.write(call).await
    }
}

/// Position of a page in a search.
enum Position {
    Start,
    Token(String),
    Offset(usize),
}

/// Pages of a search that were read so far.
struct Pages<T> {
    found: Vec<(String, T)>,
    identified: bool,
    answered_at: Option<DateTime<Utc>>,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { found: Vec::new(), identified: true, answered_at: None }
    }
}

impl<T> Pages<T> {
    fn add(&mut self, items: &[Value], headers: &HeaderMap, read: impl Fn(&Value) -> T) {
        self.found.extend(items.iter().map(|item| (known_by(item), read(item))));
        self.identified &= identity::is_known(headers);
        self.answered_at = self.answered_at.or_else(|| date(headers));
    }

    fn whole(self) -> Found<T> {
        Found { items: last_of_each(self.found), identified: self.identified, answered_at: self.answered_at }
    }
}

/// Time of an answer, by the clock of the server that made it.
fn date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    httpdate::parse_http_date(headers.get(DATE)?.to_str().ok()?).ok().map(DateTime::from)
}

pub(super) fn issue_path(id: &str) -> String {
    format!("/rest/api/2/issue/{}", segment(id))
}

pub(super) fn comment_path(id: &str) -> String {
    format!("{}/comment", issue_path(id))
}

/// Builds the call for a page of comments, newest first. It expands the properties: on Data Center, only they show which comments are
/// internal (`R29`: private until shown to be public).
fn comment_page(path: &str, start: usize, most: usize) -> Call {
    Call::get(path)
        .query("orderBy", "-created")
        .query("startAt", start.to_string())
        .query("maxResults", most.to_string())
        .query("expand", "properties")
}

/// Returns the IDs of the items on a page; an item without an ID is identified by its JSON.
fn ids(values: &[Value]) -> Vec<String> {
    values.iter().map(known_by).collect()
}

fn known_by(value: &Value) -> String {
    match value.get("id") {
        Some(Value::String(id)) => id.clone(),
        Some(other) => other.to_string(),
        None => value.to_string(),
    }
}

/// Deduplicates items by ID and keeps the last version of each.
fn last_of_each<T>(things: Vec<(String, T)>) -> Vec<T> {
    let mut seen = HashSet::new();
    let mut kept: Vec<T> =
        things.into_iter().rev().filter_map(|(id, thing)| seen.insert(id).then_some(thing)).collect();
    kept.reverse();
    kept
}
