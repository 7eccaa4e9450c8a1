//! The Cloud Support API v2 (CSAPI) as a [`CaseSystem`].
//!
//! ```text
//! mod.rs     settings, capabilities, the calls
//! classification.rs  classifications by ID and by words
//! wire.rs    JSON in and out
//! order.rs   how far a long list has to be read
//! feed.rs    email messages, which only the feed of a case shows
//! events.rs  event subscriptions
//! check.rs   the tests behind `casebridge check`
//! ```
//!
//! Facts come from the discovery document, revision 20260927. It leaves some points open: the order of lists, which changes a closed case
//! accepts, limits, index lag. The code assumes nothing about them; where it needs a number anyway, the constant's comment gives the
//! reason.

mod check;
mod classification;
pub mod events;
mod feed;
mod order;
mod wire;

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Duration, SecondsFormat, Utc};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde_json::{Value, json};

use crate::cases::{
    ApiError, ApiErrorKind, Attachment, Capabilities, Case, CaseSystem, Check, Comment, CredentialEnd,
    Download, Finding, Found, Needs, NewAttachment, NewCase, NewComment, PlacementError, SeenScopes, Sweep,
    TextLimit, Written, as_written, is_hidden_control, markers, sort_counterparts,
};
use crate::entities::{CompanyCaseId, EscalationReason, GoogleCaseName, GooglePlacement, Priority, Side};
use crate::outbound::{Announced, Body, Call, Listing, Upstream};

use self::order::{Observed, Order};

pub use classification::Classification;
pub use events::EventSettings;

/// Name of the system in errors and metrics; also the name to give its [`Upstream`].
pub const NAME: &str = "CSAPI";

/// Page size of every list request. For attachments it is the documented maximum; for the others, the number that the documented design
/// asks for.
const PAGE_SIZE: u32 = 100;

/// Maximum number of pages of one list: 200,000 items, more than any list has. It stops a server that names new pages without end, after
/// about seven minutes at the default rate limit.
const MAX_PAGES: usize = 2_000;

/// `Comment.body`: "Maximum of 12800 characters".
const COMMENT_LIMIT: usize = 12_800;

/// Maximum length of a description. `Case.description` has no documented limit, so the only text limit that CSAPI documents is used. Text
/// beyond it becomes comments, while a case whose description is too long could never be created.
const DESCRIPTION_LIMIT: usize = COMMENT_LIMIT;

/// Maximum length of a title. `Case.displayName`, a "short summary", has no documented limit. 255 is what issue trackers commonly allow
/// (Jira's summary). A shortened title still says enough, while one that is too long would keep the case from being created.
const TITLE_LIMIT: usize = 255;

/// Assumed index lag of searches, which are eventually consistent; no figure is documented. Two minutes are twice the poll interval, and
/// well below the shortest tolerance for an outage.
const SEARCH_LAG: Duration = Duration::minutes(2);

/// Paths of file downloads: `media.download` of the discovery document, and the path to which Google redirects its other media downloads.
const DOWNLOADS: &[&str] = &["/v2/", "/download/"];

/// Settings of the CSAPI client.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CsapiSettings {
    /// Scope of the connector: `organizations/123` covers its cases and those of every project below it; `projects/p` covers that project
    /// only.
    pub parent: String,
    /// Further projects whose cases are polled: those that routes create cases in, and that `parent` does not cover.
    pub other_parents: Vec<String>,
    /// Classification of cases created from the CRM. Required for creating a case.
    pub classification_id: Option<String>,
    /// Time zone of cases created from the CRM: `+00:00` or an IANA name. Not sent if empty.
    pub time_zone: String,
    /// Language of cases created from the CRM, BCP 47. Not sent if empty.
    pub language_code: String,
    /// Email addresses that get Google's mails about cases created from the CRM.
    pub subscribers: Vec<String>,
    /// Marks cases created from the CRM as test cases, which no agent looks at.
    pub test_cases: bool,
    /// True if the email messages of a case's feed count as comments.
    pub feed: bool,
    /// End of the service account's key, if it has one.
    pub key_expires: Option<DateTime<Utc>>,
    /// Expectation about the event subscriptions; `None` if no messages are expected.
    pub events: Option<EventSettings>,
}

/// Client of CSAPI.
///
/// - Comments and attachments without a valid ID are logged and skipped: they could be neither carried nor recognised later.
/// - The order of lists is not documented. A long list is read back to `since` only if it was seen to be sorted, and to its end often enough
///   that nothing is lost if that changes: see `order.rs`.
/// - `by_connector` is always `None`: CSAPI names the service account of a comment, but offers no way to learn the connector's own.
/// - Setting a priority always sends `updateMask`: without it, CSAPI clears the fields that are left out.
pub struct Csapi {
    settings: CsapiSettings,
    upstream: Arc<Upstream>,
    capabilities: Capabilities,
    observed: Observed,
    known: classification::Known,
    titles: feed::Titles,
}

impl Csapi {
    /// Creates a client for the cases of `settings.parent`. Fails unless that is the name of an organisation or a project.
    pub fn new(settings: CsapiSettings, upstream: Arc<Upstream>) -> Result<Self, ApiError> {
        // A parent is valid if the name of a case below it would be.
        if GoogleCaseName::parse(&format!("{}/cases/1", settings.parent)).is_err() {
            let message = format!(
                "google.parent is {:?}: expected organizations/NUMBER or projects/ID",
                settings.parent
            );
            return Err(upstream.error(ApiErrorKind::Refused, "set up", message));
        }
        // `in_flight_window` counts from the first attempt: the last one may start up to `longest_pause` later, and may take effect until its
        // timeout.
        let capabilities = Capabilities {
            name: "Google Cloud Customer Care",
            reopen: false,
            // Not documented. If CSAPI refuses the comment, the error is visible to operators. Not trying would drop the comment silently,
            // and R19 (status) wants the comments of a closed pair carried.
            comment_when_closed: true,
            internal_comments: false,
            comments_change: false,
            comment_limit: TextLimit::code_points(COMMENT_LIMIT),
            title_limit: TextLimit::code_points(TITLE_LIMIT),
            description_limit: TextLimit::code_points(DESCRIPTION_LIMIT),
            control_characters: false,
            index_lag: SEARCH_LAG,
            in_flight_window: upstream.in_flight_window(),
            // `google-datetime` may be finer; the stores keep microseconds.
            time_resolution: Duration::microseconds(1),
            idempotency_keys: false,
            stored_filename: filename,
        };
        let parent = settings.parent.clone();
        let file = upstream.credentials_file();
        upstream.advise(Box::new(move |error| check::remedy(&parent, file.as_deref(), error)));
        Ok(Self {
            settings,
            upstream,
            capabilities,
            observed: Observed::default(),
            known: classification::Known::default(),
            titles: feed::Titles::default(),
        })
    }

    /// Validates the name of a case before it becomes part of a URL.
    fn name(&self, id: &str) -> Result<GoogleCaseName, ApiError> {
        GoogleCaseName::parse(id)
            .map_err(|error| self.upstream.error(ApiErrorKind::Refused, "name of a case", error.to_string()))
    }

    /// Reads a list to the end (`R6`: a watermark moves only after a complete read) and passes each item to `take` before the next page is
    /// read.
    async fn each(
        &self,
        path: &str,
        query: &[(&'static str, &str)],
        key: &str,
        mut take: impl FnMut(Value) + Send,
    ) -> Result<(), ApiError> {
        let all = |page: Vec<Value>| {
            page.into_iter().for_each(&mut take);
            ControlFlow::Continue(())
        };
        self.each_page(path, query, key, all).await.map(drop)
    }

    /// Reads a list page by page, until its end or until `take` says that the rest is not needed.
    async fn each_page(
        &self,
        path: &str,
        query: &[(&'static str, &str)],
        key: &str,
        mut take: impl FnMut(Vec<Value>) -> ControlFlow<()> + Send,
    ) -> Result<ControlFlow<()>, ApiError> {
        let unreadable =
            |message: String| self.upstream.error(ApiErrorKind::Unreadable, &format!("GET {path}"), message);
        let mut size = PAGE_SIZE;
        let mut token: Option<String> = None;
        let mut seen = HashSet::new();
        let mut listing = Listing::default();
        for _ in 0..MAX_PAGES {
            let answer: Value = loop {
                let mut call = Call::get(path).query("pageSize", size.to_string());
                for (name, value) in query {
                    call = call.query(name, *value);
                }
                if let Some(token) = &token {
                    call = call.query("pageToken", token);
                }
                match self.upstream.read_page(call, &mut listing).await {
                    // A page of a hundred huge cases can exceed the limit on answers in memory; a single case never does.
                    Err(error) if error.kind == ApiErrorKind::Unreadable && size > 1 => size /= 10,
                    outcome => break outcome?,
                }
            };
            let page = wire::page(answer, key).map_err(|odd| unreadable(odd.to_string()))?;
            let enough = take(page.items);
            match page.next {
                None => return Ok(ControlFlow::Continue(())),
                Some(_) if enough.is_break() => return Ok(enough),
                Some(next) if seen.insert(next.clone()) => token = Some(next),
                Some(_) => {
                    return Err(unreadable("a page names a page that was read already as the next".into()));
                }
            }
        }
        Err(unreadable(format!("more than {MAX_PAGES} pages")))
    }

    /// True if a search of the configured parent finds the cases of `parent`, as far as the names tell: an organisation covers projects, and
    /// no name says which.
    fn covers(&self, parent: &str) -> bool {
        let own = self.settings.parent.as_str();
        parent == own || (own.starts_with("organizations/") && parent.starts_with("projects/"))
    }

    /// Returns all cases that match a query, of all parents that are polled: each case once, in its newest version.
    async fn search(&self, query: &str) -> Result<Sweep, ApiError> {
        let others = self.settings.other_parents.iter().map(String::as_str);
        let parents: Vec<&str> = std::iter::once(self.settings.parent.as_str()).chain(others).collect();
        self.search_in(&parents, query).await
    }

    /// Returns all cases of these parents that match a query: each case once, in its newest version.
    async fn search_in(&self, parents: &[&str], query: &str) -> Result<Sweep, ApiError> {
        let mut cases: HashMap<String, Found> = HashMap::new();
        let mut skipped = Vec::new();
        for parent in parents {
            let path = format!("/v2/{parent}/cases:search");
            self.each(&path, &[("query", query)], "cases", |value| match wire::case(&value) {
                Ok(case) => keep_newest(&mut cases, Found::of(Side::Google, &case)),
                Err(odd) => skipped.push(odd.to_string()),
            })
            .await?;
        }
        // Google refuses searches of an unknown caller, so a successful search proves that the caller was identified.
        Ok(Sweep { cases: cases.into_values().collect(), skipped, identified: true })
    }

    /// Searches for a text, in one parent or in all that are polled, and returns the matches in the order of
    /// [`sort_counterparts`]. Matches may not contain the exact text, so the caller has to compare.
    async fn search_text(&self, under: Option<&str>, text: &str) -> Result<Vec<Found>, ApiError> {
        let found = match under {
            None => self.search(&quoted(text)).await,
            Some(parent) => self.search_in(&[parent], &quoted(text)).await,
        };
        let Sweep { mut cases, skipped, identified: _ } = found?;
        for what in skipped {
            tracing::warn!(upstream = NAME, what, "left out of a search: not understood");
        }
        sort_counterparts(&mut cases);
        Ok(cases)
    }

    /// Reads the items of a collection of a case (comments, attachments), those from `since` on at least, and returns them oldest first.
    async fn items<T>(
        &self,
        case: &GoogleCaseName,
        collection: &str,
        since: Option<DateTime<Utc>>,
        read: fn(&Value, &GoogleCaseName) -> Result<T, wire::Odd>,
        order: fn(&T) -> (Option<DateTime<Utc>>, &str),
    ) -> Result<Vec<T>, ApiError>
    where
        T: Send,
    {
        let path = format!("/v2/{case}/{collection}");
        let began = self.their_time();
        let stop = self.observed.stop(&path, since, began);
        let (mut items, mut seen) = (Vec::new(), Order::default());
        let page = |values: Vec<Value>| {
            for value in values {
                match read(&value, case) {
                    Ok(item) => {
                        seen.see(order(&item).0);
                        items.push(item);
                    }
                    Err(odd) => tracing::warn!(
                        upstream = NAME,
                        case.google_name = %case,
                        what = %odd,
                        "left out of a list: not understood"
                    ),
                }
            }
            match stop {
                Some(since) if seen.is_beyond(since) => ControlFlow::Break(()),
                Some(_) | None => ControlFlow::Continue(()),
            }
        };
        if self.each_page(&path, &[], collection, page).await?.is_continue() {
            self.observed.note(&path, &seen, began);
        }
        items.sort_by(|a, b| order(a).cmp(&order(b)));
        // A list that grows while it is read can show the same item on two pages.
        items.dedup_by(|a, b| order(a) == order(b));
        Ok(items)
    }

    /// Returns CSAPI's own time; `None` before its first answer (`R36`: clock skew).
    fn their_time(&self) -> Option<DateTime<Utc>> {
        let skew = self.upstream.clock_skew()?.min(self.upstream.latest_skew()?);
        self.upstream.now().checked_add_signed(skew)
    }

    async fn comments_of(
        &self,
        case: &GoogleCaseName,
        since: Option<DateTime<Utc>>,
    ) -> Result<Vec<Comment>, ApiError> {
        self.items(case, "comments", since, wire::comment, |comment| (comment.created_at, &comment.id)).await
    }

    /// Makes a change of state. After a refusal the case is read: a case that has the state already counts as success.
    async fn change_state(&self, id: &str, call: Call, has_it: fn(&Case) -> bool) -> Result<(), ApiError> {
        let Err(error) = self.upstream.write_only(call).await else { return Ok(()) };
        if error.kind == ApiErrorKind::Refused
            && let Ok(Some(case)) = self.get(id).await
            && has_it(&case)
        {
            return Ok(());
        }
        Err(error)
    }

    /// Searches first by the first line of the description, which the connector writes, then by the comment that names the company case
    /// that a Google case syncs with.
    async fn counterparts_in(
        &self,
        under: Option<&str>,
        counterpart: &str,
        home: Option<&str>,
    ) -> Result<Vec<Found>, ApiError> {
        // The check also protects the query: a valid ID holds no quotes.
        let counterpart = CompanyCaseId::parse(counterpart).map_err(|error| {
            self.upstream.error(ApiErrorKind::Refused, "search for a company case", error.to_string())
        })?;
        let counterpart = counterpart.as_str();
        let of_another_home = |case: &Found| {
            let address = case.counterpart_address.as_deref();
            address.zip(home).is_some_and(|(address, home)| !markers::is_within(address, home))
        };
        let mut named = self.search_text(under, &markers::google_description_search(counterpart)).await?;
        named.retain(|case| case.counterpart.as_deref() == Some(counterpart) && !of_another_home(case));
        if !named.is_empty() {
            return Ok(named);
        }
        let mut announced = Vec::new();
        for case in self.search_text(under, &markers::now_syncing_search(counterpart)).await? {
            // If the description names another company case, it takes precedence over a comment.
            if case.counterpart.is_some() {
                continue;
            }
            let comments = self.comments_of(&self.name(&case.id)?, None).await?;
            let names_it =
                comments.iter().filter_map(|comment| markers::company_case_of_comment(&comment.body));
            let of_home = |company: &markers::CompanyCase<'_>| home.and_then(|home| company.is_of(home));
            if names_it
                .into_iter()
                .any(|company| company.id == counterpart && of_home(&company) != Some(false))
            {
                announced.push(case);
            }
        }
        Ok(announced)
    }

    /// Makes the error for an answer to a write that cannot be read: the write may have happened (`R13`: unknown write outcome).
    fn unreadable(&self, call: &str, odd: &wire::Odd) -> ApiError {
        self.upstream.error(ApiErrorKind::Unreadable, call, odd.to_string())
    }
}

#[async_trait]
impl CaseSystem for Csapi {
    fn side(&self) -> Side {
        Side::Google
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn credential_end(&self) -> Option<CredentialEnd> {
        let hint = "make a new key, or use Workload Identity Federation, which needs none: docs/networks.md";
        self.settings.key_expires.map(|at| CredentialEnd {
            what: "the service account's key (google.key_expires)".to_owned(),
            at,
            hint: hint.to_owned(),
        })
    }

    fn clock_skew(&self) -> Option<Duration> {
        self.upstream.clock_skew()
    }

    fn latest_skew(&self) -> Option<Duration> {
        self.upstream.latest_skew()
    }

    /// Does nothing: CSAPI answers 401 to every call of an unknown caller, and has no call that names the caller (discovery document,
    /// revision 20260927).
    async fn identify(&self) -> Result<(), ApiError> {
        Ok(())
    }

    /// Returns any case from a search without a query. A page may be empty although more follow, so this may take several calls.
    async fn any_case(&self, except: Option<&str>) -> Result<Option<String>, ApiError> {
        let except = except.map(number);
        let take = |case: &Value| {
            let name = wire::case(case).ok()?.id;
            (Some(number(&name)) != except).then_some(name)
        };
        self.first_case(take, None).await
    }

    async fn resolve(&self, reference: &str) -> Result<Option<Case>, ApiError> {
        let api = self.upstream.base_url();
        let name = wire::named(reference, &self.settings.parent, Some(api))
            .map_err(|message| self.upstream.error(ApiErrorKind::Refused, "find a case", message))?;
        let case = self.get(name.as_str()).await?;
        // A bare number does not tell the case's parent; the answer does.
        let own_name = |scope: &str| GoogleCaseName::parse(&format!("{scope}/cases/{}", name.number())).ok();
        Ok(case.map(|case| match case.scope.as_deref().and_then(own_name) {
            Some(own_name) => Case { id: own_name.into(), ..case },
            None => case,
        }))
    }

    /// Returns `None`: the limit is not documented, so the first refused upload shows it.
    async fn attachment_limit(&self) -> Result<Option<u64>, ApiError> {
        Ok(None)
    }

    async fn search_updated(&self, since: DateTime<Utc>) -> Result<Sweep, ApiError> {
        let since = since.to_rfc3339_opts(SecondsFormat::Micros, true);
        self.search(&format!("update_time>{}", quoted(&since))).await
    }

    async fn get(&self, id: &str) -> Result<Option<Case>, ApiError> {
        let name = self.name(id)?;
        let path = format!("/v2/{name}");
        let mut answer: Value = match self.upstream.read(Call::get(&path)).await {
            Ok(answer) => answer,
            Err(error) if error.kind == ApiErrorKind::NotFound => {
                // "Not found" ends a pair (R20: leaving), but a wrong base_url or a gateway in between answers 404 to everything. A
                // successful search proves that CSAPI itself answered.
                return match self.has_cases().await {
                    Ok(_) => Ok(None),
                    Err(search) if search.kind == ApiErrorKind::NotFound => {
                        let message = format!(
                            "nothing is found there, not even {}: check google.base_url and google.parent",
                            self.settings.parent
                        );
                        Err(ApiError { kind: ApiErrorKind::Uncertain, message, ..error })
                    }
                    Err(search) => Err(search),
                };
            }
            Err(error) => return Err(error),
        };
        // An answer without a name is accepted: the caller knows which case it asked for.
        if let Some(fields) = answer.as_object_mut() {
            fields.entry("name").or_insert_with(|| json!(name.as_str()));
        }
        let odd = |what: String| self.upstream.error(ApiErrorKind::Unreadable, &format!("GET {path}"), what);
        let case = wire::case(&answer).map_err(|error| odd(error.to_string()))?;
        if number(&case.id) == name.number() {
            if self.settings.feed {
                self.titles.note(&name, &case.title);
            }
            Ok(Some(Case { id: name.into(), ..case }))
        } else {
            Err(odd(format!("the answer is about another case: {}", case.id)))
        }
    }

    async fn find_counterparts(&self, counterpart: &str, home: Option<&str>) -> Result<Vec<Found>, ApiError> {
        self.counterparts_in(None, counterpart, home).await
    }

    async fn find_counterparts_under(
        &self,
        parent: &str,
        counterpart: &str,
        home: Option<&str>,
    ) -> Result<Vec<Found>, ApiError> {
        self.counterparts_in(Some(parent), counterpart, home).await
    }

    async fn classification_id(&self, text: &str) -> Result<String, PlacementError> {
        Ok(self.find_classification(text).await?.id)
    }

    /// Searches for cases in the parent: CSAPI answers 403 or 404 to a search of a project that does not exist or may not be seen.
    async fn check_parent(&self, parent: &str) -> Result<(), PlacementError> {
        if !self.covers(parent) && !self.settings.other_parents.iter().any(|other| other == parent) {
            return Err(PlacementError::Unusable(format!(
                "the connector does not watch {parent}, but {} and what is below",
                self.settings.parent
            )));
        }
        if parent == self.settings.parent {
            return Ok(());
        }
        match self.first_case_of(parent, None, |_| Some(()), Some(())).await {
            Ok(_) => Ok(()),
            Err(error) if error.kind == ApiErrorKind::Refused || matches!(error.status, Some(403 | 404)) => {
                Err(PlacementError::Unusable(format!(
                    "{parent} does not exist, or the connector may not open cases there"
                )))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn create(&self, case: &NewCase) -> Result<Case, ApiError> {
        let parent = case.google.parent.as_ref().unwrap_or(&self.settings.parent);
        let path = format!("/v2/{parent}/cases");
        let label = format!("POST {path}");
        let configured = self.settings.classification_id.as_ref();
        let id = case.google.classification.as_ref().or(configured).ok_or_else(|| {
            let message = "google.classification_id is not set, and CSAPI creates no case without a classification; \
                           see caseClassifications.search for the IDs";
            self.upstream.error(ApiErrorKind::Refused, &label, message)
        })?;
        let body = wire::new_case(case, id, &self.settings);
        let answer: Value = match self.upstream.write(Call::post(path, body)).await {
            Ok(answer) => answer,
            Err(error) => {
                self.note_refusal(id, &error).await;
                return Err(error);
            }
        };
        wire::case(&answer).map_err(|odd| self.unreadable(&label, &odd))
    }

    /// Does nothing: a Google case has no field for it, and its description names its counterpart.
    async fn link(&self, _id: &str, _counterpart: &str) -> Result<(), ApiError> {
        Ok(())
    }

    async fn comments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Comment>, ApiError> {
        self.conversation(&self.name(id)?, since).await
    }

    async fn attachments(&self, id: &str, since: Option<DateTime<Utc>>) -> Result<Vec<Attachment>, ApiError> {
        self.items(&self.name(id)?, "attachments", since, wire::attachment, |attachment| {
            (attachment.created_at, &attachment.id)
        })
        .await
    }

    async fn add_comment(&self, id: &str, comment: &NewComment) -> Result<Written, ApiError> {
        let name = self.name(id)?;
        let path = format!("/v2/{name}/comments");
        let label = format!("POST {path}");
        let answer: Value = self.upstream.write(Call::post(path, json!({ "body": comment.body }))).await?;
        let comment = wire::comment(&answer, &name).map_err(|odd| self.unreadable(&label, &odd))?;
        Ok(Written { id: comment.id, created_at: comment.created_at, carrier_comment: None })
    }

    async fn download(&self, id: &str, attachment: &Attachment) -> Result<Download, ApiError> {
        let name = self.name(id)?;
        if !wire::is_item_id(&attachment.id) {
            let message = format!("{:?} is not the ID of an attachment", attachment.id);
            return Err(self.upstream.error(ApiErrorKind::Refused, "download", message));
        }
        let path = format!("/v2/{name}/attachments/{}:download", attachment.id);
        let label = format!("GET {path}");
        let announced = Announced::of(attachment, label, DOWNLOADS);
        self.upstream.download(Call::get(path).query("alt", "media"), announced).await
    }

    async fn upload(&self, id: &str, attachment: NewAttachment) -> Result<Written, ApiError> {
        let name = self.name(id)?;
        let path = format!("/upload/v2/{name}/attachments");
        let label = format!("POST {path}");
        let call = Call::new(Method::POST, path)
            .query("attachment.filename", filename(&attachment.filename))
            .header(CONTENT_TYPE, content_type(attachment.media_type.as_deref()))
            .body(Body::Stream(attachment.content, attachment.size));
        let answer: Value = self.upstream.write(call).await.map_err(|error| {
            // The request itself is always the same, so a 400 is about this file: its name, type or size.
            let unacceptable = error.kind == ApiErrorKind::Refused && error.status == Some(400);
            ApiError { kind: if unacceptable { ApiErrorKind::Unacceptable } else { error.kind }, ..error }
        })?;
        let attachment = wire::attachment(&answer, &name).map_err(|odd| self.unreadable(&label, &odd))?;
        Ok(Written { id: attachment.id, created_at: attachment.created_at, carrier_comment: None })
    }

    async fn set_priority(&self, id: &str, priority: Priority) -> Result<(), ApiError> {
        let path = format!("/v2/{}", self.name(id)?);
        let call = Call::new(Method::PATCH, path)
            .query("updateMask", "priority")
            .body(Body::Json(json!({ "priority": priority.name() })));
        self.upstream.write_only(call).await
    }

    async fn set_title(&self, id: &str, title: &str) -> Result<Option<String>, ApiError> {
        let path = format!("/v2/{}", self.name(id)?);
        let call = Call::new(Method::PATCH, path)
            .query("updateMask", "displayName")
            .body(Body::Json(json!({ "displayName": title })));
        // The answer is the case (discovery document, revision 20260927, `cases.patch`).
        let case: Value = self.upstream.write(call).await?;
        Ok(case.get("displayName").and_then(Value::as_str).map(str::to_owned))
    }

    /// Replaces the whole list: CSAPI has no call that adds one (discovery document, revision 20260927, `cases.patch`).
    async fn set_subscribers(&self, id: &str, subscribers: &[String]) -> Result<(), ApiError> {
        let path = format!("/v2/{}", self.name(id)?);
        let call = Call::new(Method::PATCH, path)
            .query("updateMask", "subscriberEmailAddresses")
            .body(Body::Json(json!({ "subscriberEmailAddresses": subscribers })));
        self.upstream.write_only(call).await
    }

    /// Escalates the case (discovery document, revision 20260927, `cases.escalate`). The answer for an escalated case is not documented, so
    /// after a refusal the case is read: escalated counts as success.
    async fn escalate(
        &self,
        id: &str,
        reason: EscalationReason,
        justification: &str,
    ) -> Result<(), ApiError> {
        let escalation = json!({ "reason": reason.name(), "justification": justification });
        let body = json!({ "escalation": escalation });
        let call = Call::post(format!("/v2/{}:escalate", self.name(id)?), body);
        self.change_state(id, call, |case| case.escalated).await
    }

    /// Closes the case. CSAPI's answer for a case that is closed already is not documented, so after a refusal the case is read: closed
    /// counts as success.
    async fn close(&self, id: &str) -> Result<(), ApiError> {
        let call = Call::post(format!("/v2/{}:close", self.name(id)?), json!({}));
        self.change_state(id, call, |case| case.closed).await
    }

    /// Always fails: CSAPI has no such method; `close` is the only change of state (`R19`: status).
    async fn reopen(&self, id: &str) -> Result<(), ApiError> {
        let message = "CSAPI cannot reopen a case; ask Google's support to, or open a new one";
        Err(self.upstream.error(ApiErrorKind::Unsupported, &format!("reopen {id}"), message))
    }

    async fn seen_scopes(&self) -> Result<SeenScopes, ApiError> {
        self.scopes_of_cases().await
    }

    async fn check(&self, _needs: Needs) -> Vec<Check> {
        self.check_all().await
    }

    async fn check_google_placement(&self, placement: &GooglePlacement) -> Finding {
        self.placement(placement).await
    }
}

/// Keeps the newest version of each case. The key is the number: two names with the same number are one case (`R9`: one mapping per case).
fn keep_newest(cases: &mut HashMap<String, Found>, case: Found) {
    let key = number(&case.id).to_owned();
    if cases.get(&key).is_none_or(|known| known.updated_at < case.updated_at) {
        cases.insert(key, case);
    }
}

fn number(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Quotes a text for CSAPI's query language.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Makes a file name that CSAPI accepts: not empty, since the field is required, and without control characters, whose support is not
/// documented and which would make it show as another name. The name is sent percent-encoded, so no other character can do harm.
fn filename(name: &str) -> String {
    let name = as_written(name);
    if name.is_empty() {
        return "unnamed".to_owned();
    }
    name.chars().map(|c| if is_hidden_control(c) { '_' } else { c }).collect()
}

/// Returns the media type if it is valid, else `application/octet-stream`. A `multipart` type would be mistaken for the upload's own
/// framing (the discovery document announces multipart uploads at the same address).
fn content_type(media_type: Option<&str>) -> HeaderValue {
    let sound = media_type.filter(|media_type| {
        let essence = media_type.split(';').next().unwrap_or_default().trim();
        let token = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
        };
        essence.split_once('/').is_some_and(|(kind, subtype)| {
            token(kind) && token(subtype) && !kind.eq_ignore_ascii_case("multipart")
        })
    });
    sound
        .and_then(|media_type| HeaderValue::from_str(media_type).ok())
        .unwrap_or_else(|| HeaderValue::from_static("application/octet-stream"))
}
