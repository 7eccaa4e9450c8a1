//! ServiceNow's REST API: one function for each call, and the caches between calls.
//!
//! Sources: "Table API" and "Attachment API" in the REST API reference, product documentation.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Duration, Utc};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LINK};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::check;
use super::query::Query;
use super::settings::{ServiceNowSettings, TASK};
use super::wire::{Answer, Record, is_sys_id};
use crate::cases::{ApiError, ApiErrorKind, Attachment, ByteStream, Download};
use crate::outbound::{self, Announced, Body, Call, Upstream};

/// Number of cases on a page, as documented for the poll.
const CASE_PAGE: usize = 100;
/// Number of comments on a page, as documented for the sync.
const COMMENT_PAGE: usize = 50;
/// Number of files on a page: the default for attachments.
const FILE_PAGE: usize = 1_000;
/// Number of records that the next page repeats. If records leave the listing meanwhile, the rest moves forward, and a page without overlap
/// would skip some.
const OVERLAP: usize = 10;
/// Maximum number of pages of a listing, more than any real one has.
const MOST_PAGES: usize = 10_000;
/// Number of pages in a row with records but no new one that mean that the listing repeats itself.
const STALE_PAGES: usize = 20;
/// Maximum number of IDs in one query: they make an address of some 2,000 characters.
const MOST_IDS: usize = 50;
/// Number of users whose names are cached.
const MOST_NAMES: usize = 5_000;
/// Number of records that are searched for one that the user sees, or for a small file; and that a message names.
const FEW: usize = 20;

/// Columns of the two journals.
pub(super) const COMMENTS: &str = "comments";
pub(super) const WORK_NOTES: &str = "work_notes";

/// Content of a listing.
#[derive(Debug)]
pub(super) struct Listing<T = Record> {
    /// Records that could be read, in order, each once.
    pub(super) records: Vec<T>,
    /// Problems with records that could not be read.
    pub(super) skipped: Vec<String>,
    /// Number of records that a user with all rights would see, if ServiceNow gives it.
    pub(super) total: Option<usize>,
    /// Number of records that were hidden on the pages read (`R26`: empty answers need proof).
    ///
    /// ServiceNow applies rights after it cuts a page ("This limit is applied before ACL evaluation", Table API, `sysparm_limit`), and
    /// `X-Total-Count` is the count of the query. So a page with fewer records than the count leaves for it lacks the records that an
    /// access rule hides. Rules that change the query itself (before-query business rules, domain separation) are not detected here:
    /// "Filtering the data is transparent" (Before Query business rules, product documentation).
    pub(super) hidden: usize,
    /// True if every answer was for a signed-in user: [`LOGGED_IN`].
    pub(super) identified: bool,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { records: Vec::new(), skipped: Vec::new(), total: None, hidden: 0, identified: true }
    }
}

impl<T> Listing<T> {
    /// True if there are records but the user may read none of them.
    pub(super) fn is_withheld(&self) -> bool {
        self.records.is_empty() && self.hidden > 0
    }

    /// Replaces the records and keeps the rest.
    fn with<U>(self, records: Vec<U>) -> Listing<U> {
        let Self { skipped, total, hidden, identified, .. } = self;
        Listing { records, skipped, total, hidden, identified }
    }
}

/// Values that a column offers, each with its label.
pub(super) type Choices = BTreeMap<String, String>;

/// Records that a reference column may name.
///
/// Source: "Reference field type" (`reference`, `reference_key`), product documentation: the column stores the `sys_id` of a record of this
/// table, or the value of the key column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) table: String,
    pub(super) key: String,
}

impl Target {
    /// Creates the target of a column that stores the `sys_id` of a record of the table.
    pub(super) fn by_id(table: &str) -> Self {
        Self { table: table.to_owned(), key: SYS_ID.to_owned() }
    }
}

/// Result of looking up the record that a value of a reference column is to name. Records are texts: the value that the column stores, and
/// the name.
#[derive(Debug)]
pub(super) enum Referenced {
    /// There is a record with this value.
    Found { record: String, is_active: bool },
    /// The value is the name of these records.
    Named(Vec<String>),
    /// There is no such record. Lists those that can be used, if they are few.
    Absent(Vec<String>),
    /// The user may not read the table.
    Unread,
}

/// A column, according to the dictionary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// Records that it may name, if it is a reference or a list of them.
    pub(super) target: Option<Target>,
    /// Type: `boolean`, `string`, …
    pub(super) kind: String,
    /// Maximum length, in characters.
    pub(super) length: u64,
    pub(super) read_only: bool,
}

pub(super) struct Client {
    upstream: Upstream,
    settings: ServiceNowSettings,
    me: Mutex<Option<String>>,
    names: Mutex<HashMap<String, String>>,
    /// Cached result of the check that both custom columns exist and can be written; the error otherwise.
    columns: Mutex<Option<Result<(), ApiError>>>,
}

impl Client {
    pub(super) fn new(settings: ServiceNowSettings, upstream: Upstream) -> Self {
        Self { upstream, settings, me: Mutex::default(), names: Mutex::default(), columns: Mutex::default() }
    }

    pub(super) const fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub(super) fn settings(&self) -> &ServiceNowSettings {
        &self.settings
    }

    /// Address of the instance, without a slash at its end.
    pub(super) fn home(&self) -> &str {
        self.upstream.base_url().as_str().trim_end_matches('/')
    }

    pub(super) fn in_flight_window(&self) -> Duration {
        self.upstream.in_flight_window()
    }

    pub(super) fn error(&self, kind: ApiErrorKind, call: &str, message: impl Into<String>) -> ApiError {
        self.upstream.error(kind, call, message)
    }

    /// Returns the path of a record. An ID of another form is not found.
    pub(super) fn path(&self, id: &str) -> Result<String, ApiError> {
        let table = &self.settings.table;
        if is_sys_id(id) {
            return Ok(format!("/api/now/table/{table}/{id}"));
        }
        let call = format!("{table} {}", crate::cases::shorten(id));
        Err(self.error(ApiErrorKind::NotFound, &call, "the ID is no sys_id, and so no record's"))
    }

    /// Names of the columns that are read for a case.
    fn columns_read(&self) -> String {
        let state: String =
            self.settings.google_state_field.iter().map(|column| format!(",{column}")).collect();
        format!("short_description,description,{}{state}", self.columns_found())
    }

    /// Names of the columns that a search reads, a subset of [`columns_read`](Self::columns_read).
    fn columns_found(&self) -> String {
        // Columns that the table lacks are left out of the answer.
        format!(
            "sys_id,number,state,active,priority,close_code,resolution_code,duplicate_of,sys_domain,sys_created_by,sys_created_on,\
             sys_updated_on,{},{}",
            self.settings.flag_field, self.settings.google_name_field
        )
    }

    // Reading.

    /// Returns the `user_name` of the connector's user: as configured, else from ServiceNow; cached.
    pub(super) async fn me(&self) -> Result<String, ApiError> {
        if let Some(user) = &self.settings.user {
            return Ok(user.trim().to_owned());
        }
        let mut known = self.me.lock().await;
        if let Some(me) = known.as_ref() {
            return Ok(me.clone());
        }
        let me = self.myself().await?;
        *known = Some(me.clone());
        Ok(me)
    }

    /// Returns the `user_name` of the connector's user, as far as it was configured or read before.
    pub(super) async fn known_user(&self) -> Option<String> {
        match &self.settings.user {
            Some(user) => Some(user.trim().to_owned()),
            None => self.me.lock().await.clone(),
        }
    }

    /// Reads the `user_name` of the connector's user from ServiceNow.
    pub(super) async fn myself(&self) -> Result<String, ApiError> {
        let (name, _) = self.asked_who_we_are().await?;
        name.ok_or_else(|| {
            let message = "ServiceNow does not tell who the connector's user is: give its user_name in \
                           company.servicenow.user";
            self.error(ApiErrorKind::Unauthorized, WHO_CALL, message)
        })
    }

    /// Checks with one call that ServiceNow knows the connector as its configured user (`R26`: empty answers need proof).
    pub(super) async fn identify(&self) -> Result<(), ApiError> {
        let unknown = |message: String| self.error(ApiErrorKind::Unauthorized, WHO_CALL, message);
        let configured = self.settings.user.as_deref().map(str::trim);
        match (self.asked_who_we_are().await?, configured) {
            ((Some(me), _), _) if me.eq_ignore_ascii_case(GUEST) => Err(ApiError {
                hint: Some(check::sign_in_remedy(&self.settings)),
                ..unknown(format!("ServiceNow takes the connector for its guest, {me}"))
            }),
            ((Some(me), _), Some(user)) if me.to_lowercase() != user.to_lowercase() => Err(unknown(format!(
                "the credentials are those of {me}, and company.servicenow.user is {user:?}: correct whichever is wrong"
            ))),
            // A configured user that may not read its own record is accepted if the answer is for a signed-in user.
            ((Some(_), _), _) | ((None, Some(true)), Some(_)) => Ok(()),
            ((None, _), _) => {
                let sign_in = check::sign_in_remedy(&self.settings);
                Err(ApiError {
                    hint: Some(format!(
                        "{sign_in}; if they are right, let it read its own record in sys_user"
                    )),
                    ..unknown("ServiceNow does not tell who the connector's user is".to_owned())
                })
            }
        }
    }

    /// Reads the `user_name` of the requesting user, if it may read it, and whether it is signed in, if ServiceNow tells.
    async fn asked_who_we_are(&self) -> Result<(Option<String>, Option<bool>), ApiError> {
        let query = Query::default().and("sys_id=javascript:gs.getUserID()");
        let mut one = outbound::Listing::default();
        let (found, headers) =
            self.page("/api/now/table/sys_user", &query, Some("sys_id,user_name"), 2, 0, &mut one).await?;
        let name = match found.as_slice() {
            [Value::Object(user)] => {
                user.get("user_name").and_then(Value::as_str).filter(|name| !name.is_empty())
            }
            // None: the user may not read its own record. Several: ServiceNow ignored the condition.
            _ => None,
        };
        Ok((name.map(str::to_owned), is_logged_in(&headers)))
    }

    /// Returns the display names of users by their `user_name`; cached. Names that cannot be read are left out.
    pub(super) async fn names(&self, users: BTreeSet<&str>) -> HashMap<String, String> {
        let mut known = self.names.lock().await;
        if known.len() > MOST_NAMES {
            known.clear();
        }
        let unknown: Vec<&str> = users.iter().copied().filter(|user| !known.contains_key(*user)).collect();
        for some in unknown.chunks(MOST_IDS) {
            let query = Query::default().one_of("user_name", some);
            let fields = Some("sys_id,user_name,name");
            let mut one = outbound::Listing::default();
            let page = self.page("/api/now/table/sys_user", &query, fields, MOST_IDS, 0, &mut one);
            let found = match page.await {
                Ok((found, _)) => found,
                Err(error) => {
                    tracing::debug!(%error, "users' names cannot be read: their user_name stands for them");
                    break;
                }
            };
            for user in found {
                let text = |name| user.get(name).and_then(Value::as_str).map(str::trim).unwrap_or_default();
                let (login, name) = (text("user_name"), text("name"));
                // Checks each user, since ServiceNow may have ignored the condition.
                if some.contains(&login) && !name.is_empty() {
                    known.insert(login.to_owned(), name.to_owned());
                }
            }
            // Caches unknown users too, under their `user_name`, so that they are not looked up again.
            for user in some {
                known.entry((*user).to_owned()).or_insert_with(|| (*user).to_owned());
            }
        }
        users.into_iter().filter_map(|user| Some((user.to_owned(), known.get(user)?.clone()))).collect()
    }

    /// Checks that both custom columns exist; a success is cached. ServiceNow silently ignores unknown columns in answers, queries and
    /// writes.
    pub(super) async fn columns(&self) -> Result<(), ApiError> {
        let mut known = self.columns.lock().await;
        if let Some(known) = known.as_ref() {
            return known.clone();
        }
        let found = self.search_some(Query::default()).await?;
        if let Some(record) = found.records.first() {
            self.has_columns(record)?;
            *known = Some(Ok(()));
        }
        Ok(())
    }

    /// Records that writes to the columns have no effect, so that no further case is created that could not be found again.
    pub(super) async fn columns_are_not_writable(&self, error: ApiError) {
        *self.columns.lock().await = Some(Err(error));
    }

    /// Returns those of both custom columns that a record lacks, each with its key.
    pub(super) fn lacking(&self, record: &Record) -> Vec<(&'static str, &str)> {
        let ours = [
            ("flag_field", &self.settings.flag_field),
            ("google_name_field", &self.settings.google_name_field),
        ];
        ours.into_iter()
            .map(|(key, column)| (key, column.as_str()))
            .filter(|(_, column)| !record.has(column))
            .collect()
    }

    /// Checks that a record has both custom columns.
    pub(super) fn has_columns(&self, record: &Record) -> Result<(), ApiError> {
        let table = &self.settings.table;
        match self.lacking(record).first() {
            None => Ok(()),
            Some((key, column)) => {
                let message = format!(
                    "the table {table} has no column {column} that the connector's user may read: create it (System \
                     Definition, Tables, {table}, Columns), give the user a role that reads it, or name another in \
                     company.servicenow.{key}"
                );
                Err(self.error(ApiErrorKind::Refused, &format!("GET /api/now/table/{table}"), message))
            }
        }
    }

    pub(super) async fn record(&self, id: &str) -> Result<Record, ApiError> {
        let path = self.path(id)?;
        let call = Call::get(&path).query("sysparm_fields", self.columns_read());
        let record = self.read_record(call, &format!("GET {path}")).await?;
        self.has_columns(&record)?;
        Ok(record)
    }

    /// Reads columns of a record, each as an object with its value and its display value.
    pub(super) async fn both_values(&self, id: &str, columns: &[&str]) -> Result<Value, ApiError> {
        let call = Call::get(self.path(id)?)
            .query("sysparm_fields", format!("sys_id,{}", columns.join(",")))
            .query("sysparm_display_value", "all")
            .query("sysparm_exclude_reference_link", "true");
        let answer: Answer<Value> = self.upstream.read(call).await?;
        Ok(answer.result)
    }

    /// Returns the email addresses of these users, as far as the connector's user may read them.
    pub(super) async fn addresses(&self, users: &[&str]) -> Result<Vec<String>, ApiError> {
        let mut addresses = Vec::new();
        for some in users.chunks(MOST_IDS) {
            let query = Query::default().one_of("sys_id", some);
            let mut one = outbound::Listing::default();
            let page =
                self.page("/api/now/table/sys_user", &query, Some("sys_id,email"), MOST_IDS, 0, &mut one);
            let (found, _) = page.await?;
            let text = |user: &Value, name: &str| user.get(name).and_then(Value::as_str).map(str::to_owned);
            // Checks each user, since ServiceNow may have ignored the condition.
            let is_asked = |user: &&Value| text(user, "sys_id").is_some_and(|id| some.contains(&id.as_str()));
            addresses.extend(found.iter().filter(is_asked).filter_map(|user| text(user, "email")));
        }
        Ok(addresses)
    }

    async fn read_record(&self, call: Call, label: &str) -> Result<Record, ApiError> {
        let answer: Answer<Value> = self.upstream.read(values(call)).await?;
        Record::read(answer.result).map_err(|error| self.error(ApiErrorKind::Unreadable, label, error))
    }

    /// Returns the results of `read` for all cases of a query, in no particular order. Fails if any of them are hidden, since hidden cases
    /// must not count as absent (`R26`: empty answers need proof).
    pub(super) async fn search<T: Send>(
        &self,
        query: Query,
        read: impl Fn(&Record) -> T + Send + Sync,
    ) -> Result<Listing<T>, ApiError> {
        let path = format!("/api/now/table/{}", self.settings.table);
        // Sort by a column that never changes, so that an update moves no record. New records only make others appear twice.
        let query = query.order_by("sys_id");
        let read = |record| self.has_columns(&record).map(|()| read(&record));
        let columns = self.columns_found();
        let mut found = self.listing_of(&path, &query, Some(&columns), CASE_PAGE, read, |_| false).await?;
        let records = std::mem::take(&mut found.records).into_iter().collect::<Result<_, _>>()?;
        let advice = format!(
            "give it a role that reads them (itil for incidents, sn_customerservice_agent for cases; System Security, Access Control), \
             or clear {} and {} on them",
            self.settings.flag_field, self.settings.google_name_field
        );
        self.all_shown(&found, &path, &advice)?;
        Ok(found.with(records))
    }

    /// Fails if records of a listing were hidden.
    fn all_shown<T>(&self, found: &Listing<T>, path: &str, advice: &str) -> Result<(), ApiError> {
        if found.hidden == 0 {
            return Ok(());
        }
        let total = found.total.map(|total| format!(" of {total}")).unwrap_or_default();
        let message = format!(
            "{}{total} records are hidden from the connector's user by access rules (X-Total-Count counts more than are shown): {advice}",
            found.hidden
        );
        Err(self.error(ApiErrorKind::Unauthorized, &format!("GET {path}"), message))
    }

    /// Returns the ID of one of the most recently updated cases that the user sees, other than `except`.
    pub(super) async fn any_case(&self, except: Option<&str>) -> Result<Option<String>, ApiError> {
        let path = format!("/api/now/table/{}", self.settings.table);
        let others = match except.filter(|id| is_sys_id(id)) {
            Some(id) => Query::default().and(&format!("sys_id!={id}")),
            None => Query::default(),
        };
        let query = others.order_by_desc("sys_updated_on");
        let found = self.listing(&path, &query, Some("sys_id"), FEW, |_| true).await?;
        if found.is_withheld() {
            let advice = "none of those that were updated last is shown: give it a role that reads the table (itil for incidents, \
                          sn_customerservice_agent for cases)";
            self.all_shown(&found, &path, advice)?;
        }
        Ok(found.records.iter().map(|record| record.id().to_owned()).find(|id| Some(id.as_str()) != except))
    }

    /// Returns the IDs of the cases with a number. Usually there is one, but several are possible.
    pub(super) async fn numbered(&self, number: &str) -> Result<BTreeSet<String>, ApiError> {
        let path = format!("/api/now/table/{}", self.settings.table);
        let query = Query::default().equals("number", number);
        let found = self.listing(&path, &query, Some("sys_id,number"), CASE_PAGE, |_| false).await?;
        self.all_shown(&found, &path, "give it a role that reads them")?;
        // Checks each record, since ServiceNow may have ignored the condition.
        let same = |record: &&Record| record.text("number").is_some_and(|it| it.eq_ignore_ascii_case(number));
        Ok(found.records.iter().filter(same).map(|record| record.id().to_owned()).collect())
    }

    /// Reports if ServiceNow reads a written time in a search as UTC, or at least as no later: a search for records updated at or after
    /// the newest record's own time has to find that record. `None` if no record is shown.
    pub(super) async fn reads_times(&self) -> Result<Option<bool>, ApiError> {
        let path = format!("/api/now/table/{}", self.settings.table);
        let fields = Some("sys_id,sys_updated_on");
        let newest = Query::default().order_by_desc("sys_updated_on");
        let found = self.listing(&path, &newest, fields, FEW, |_| true).await?;
        let Some((record, at)) =
            found.records.iter().find_map(|record| Some((record, record.time("sys_updated_on")?)))
        else {
            return Ok(None);
        };
        let itself = Query::default().equals("sys_id", record.id()).since("sys_updated_on", at);
        let found = self.listing(&path, &itself, fields, 1, |_| true).await?;
        Ok(Some(found.records.iter().any(|found| found.id() == record.id())))
    }

    /// Reads one of the cases of a query, to check that the query works.
    pub(super) async fn search_some(&self, query: Query) -> Result<Listing, ApiError> {
        let path = format!("/api/now/table/{}", self.settings.table);
        self.listing(&path, &query, Some(&self.columns_read()), 1, |_| true).await
    }

    /// Reads one page of the cases of a query, with the number of hidden ones.
    pub(super) async fn search_page(&self, query: Query) -> Result<Listing, ApiError> {
        let path = format!("/api/now/table/{}", self.settings.table);
        self.listing(&path, &query, Some(&self.columns_found()), CASE_PAGE, |_| true).await
    }

    /// Returns the results of `read` for the flagged cases among these IDs.
    pub(super) async fn flagged<T: Send>(
        &self,
        ids: &[&str],
        read: impl Fn(&Record) -> T + Send + Sync,
    ) -> Result<Listing<T>, ApiError> {
        let mut all = Listing::default();
        for some in ids.chunks(MOST_IDS) {
            let query = Query::default().equals(&self.settings.flag_field, "true").one_of("sys_id", some);
            let found =
                self.search(query, |record| some.contains(&record.id()).then(|| read(record))).await?;
            all.records.extend(found.records.into_iter().flatten());
            all.skipped.extend(found.skipped);
            all.identified &= found.identified;
        }
        Ok(all)
    }

    /// Reads the entries of a case's journals, newest first, at least back to `since`.
    pub(super) async fn journal(
        &self,
        id: &str,
        since: Option<DateTime<Utc>>,
    ) -> Result<Vec<Record>, ApiError> {
        let path = "/api/now/table/sys_journal_field";
        let query = Query::default()
            .equals("element_id", id)
            .one_of("element", &[COMMENTS, WORK_NOTES])
            .order_by_desc("sys_created_on")
            .order_by_desc("sys_id");
        let fields = Some("sys_id,element_id,element,value,sys_created_by,sys_created_on");
        let enough = |found: &[Record]| since.is_some_and(|since| reaches(found, since));
        let found = self.listing(path, &query, fields, COMMENT_PAGE, enough).await?;
        let advice = "they are comments and work notes: give it a role with a read ACL on sys_journal_field and on \
                      sys_journal_field.*, for both journals (System Security, Access Control)";
        self.all_shown(&found, path, advice)?;
        for problem in &found.skipped {
            tracing::warn!(case = id, "a comment cannot be understood and is skipped: {problem}");
        }
        Ok(found.records.into_iter().filter(|entry| entry.text("element_id") == Some(id)).collect())
    }

    /// Reports if the user may read the newest entry of a journal. `None` if there is no entry yet.
    pub(super) async fn reads_journals(&self) -> Result<Option<bool>, ApiError> {
        let query =
            Query::default().equals("name", &self.settings.table).one_of("element", &[COMMENTS, WORK_NOTES]);
        let found =
            self.listing("/api/now/table/sys_journal_field", &query, Some("sys_id"), 1, |_| true).await?;
        Ok(if found.is_withheld() { Some(false) } else { (!found.records.is_empty()).then_some(true) })
    }

    /// Reads the attachments of a case, newest first, at least back to `since`.
    pub(super) async fn files(
        &self,
        id: &str,
        since: Option<DateTime<Utc>>,
    ) -> Result<Vec<Record>, ApiError> {
        let enough = |found: &[Record]| since.is_some_and(|since| reaches(found, since));
        let found = self.listing(FILES, &files_of(&self.settings.table, id), None, FILE_PAGE, enough).await?;
        let advice =
            "they are files: give it a role that reads sys_attachment (System Security, Access Control)";
        self.all_shown(&found, FILES, advice)?;
        for problem in &found.skipped {
            tracing::warn!(case = id, "an attachment cannot be understood and is skipped: {problem}");
        }
        Ok(found.records.into_iter().filter(|file| file.text("table_sys_id") == Some(id)).collect())
    }

    /// Returns the time of the newest attachment of a case that the user sees. Hidden attachments are reported by [`files`](Self::files).
    pub(super) async fn newest_file(&self, id: &str) -> Result<Option<DateTime<Utc>>, ApiError> {
        let found = self.listing(FILES, &files_of(&self.settings.table, id), None, 1, |_| true).await?;
        let newest = found.records.iter().find(|file| file.text("table_sys_id") == Some(id));
        Ok(newest.and_then(|file| file.time("sys_created_on")))
    }

    /// Returns the cases to which files were added since `since`, each with the time of its newest file.
    ///
    /// The query covers the files of all records of the table, also of records that the user need not see, so some may be hidden. If the
    /// user sees none of several, it lacks the right to read files.
    pub(super) async fn recent_files(
        &self,
        since: DateTime<Utc>,
    ) -> Result<Listing<(String, DateTime<Utc>)>, ApiError> {
        let table = self.settings.table.as_str();
        let query =
            Query::default().equals("table_name", table).since("sys_created_on", since).order_by("sys_id");
        let read = |file: Record| {
            let is_ours = file.text("table_name") == Some(table);
            Some((file.text("table_sys_id")?.to_owned(), file.time("sys_created_on")?)).filter(|_| is_ours)
        };
        let mut found = self.listing_of(FILES, &query, None, FILE_PAGE, read, |_| false).await?;
        if found.is_withheld() {
            self.small_files().await?;
        }
        let mut newest = BTreeMap::new();
        for (case, at) in std::mem::take(&mut found.records).into_iter().flatten() {
            let known = newest.entry(case).or_insert(at);
            *known = at.max(*known);
        }
        Ok(found.with(newest.into_iter().collect()))
    }

    /// Returns those of the table's newest files that the user sees, the smallest first. Fails if there are files and all of these are
    /// hidden.
    pub(super) async fn small_files(&self) -> Result<Vec<Record>, ApiError> {
        let table = self.settings.table.as_str();
        let query = Query::default().equals("table_name", table).order_by_desc("sys_created_on");
        let found = self.listing(FILES, &query, None, FEW, |_| true).await?;
        if found.is_withheld() {
            let advice = "none of the newest files is shown: give it a role that reads sys_attachment, and the records that they \
                          belong to";
            self.all_shown(&found, FILES, advice)?;
        }
        let mut files = found.records;
        files.retain(|file| file.text("table_name") == Some(table));
        files.sort_by_key(|file| file.number("size_bytes").unwrap_or(u64::MAX));
        Ok(files)
    }

    /// Returns the virus scanner's state of a file: `available`, `pending` or another. `None` if files are not scanned or the column cannot
    /// be read.
    ///
    /// Source: "states of an attachment" (KB0785328, Now Support). The Attachment API does not show the column.
    pub(super) async fn file_state(&self, id: &str) -> Result<Option<String>, ApiError> {
        let path = format!("/api/now/table/sys_attachment/{id}");
        let call = Call::get(&path).query("sysparm_fields", "sys_id,state");
        let file = self.read_record(call, &format!("GET {path}")).await?;
        Ok(file.text("state").map(str::to_owned))
    }

    /// Looks up the record that a value of a reference column is to name.
    pub(super) async fn referenced(&self, target: &Target, value: &str) -> Result<Referenced, ApiError> {
        let path = format!("/api/now/table/{}", target.table);
        let naming = self.naming_columns(&target.table).await;
        // Columns that the table lacks are left out of the answer.
        let fields = format!("sys_id,active,{},{}", target.key, naming.join(","));
        let shown = |record: &Record| {
            let name = naming.iter().find_map(|column| record.text(column)).unwrap_or_default();
            format!("{} ({name})", record.text(&target.key).unwrap_or_default())
        };
        let is_inactive = |record: &Record| record.has("active") && !record.is("active");
        let is_same = |text: &str| text.trim().to_lowercase() == value.trim().to_lowercase();
        let key = (target.key != SYS_ID || is_sys_id(value)).then_some(target.key.as_str());
        for column in key.into_iter().chain(naming.iter().map(String::as_str)) {
            let query = Query::default().equals(column, value.trim());
            let found = match self.listing(&path, &query, Some(&fields), FEW, |_| true).await {
                Err(error) if matches!(error.status, Some(400 | 401 | 403 | 404)) => {
                    return Ok(Referenced::Unread);
                }
                found => found?.records,
            };
            // Checks each record, since ServiceNow may have ignored the condition.
            let same: Vec<&Record> =
                found.iter().filter(|record| record.text(column).is_some_and(is_same)).collect();
            match same.as_slice() {
                [] => {}
                [record, ..] if Some(column) == key => {
                    return Ok(Referenced::Found { record: shown(record), is_active: !is_inactive(record) });
                }
                records => return Ok(Referenced::Named(records.iter().copied().map(shown).collect())),
            }
        }
        // An empty answer needs proof (`R26`): a user who may read other records of the table would have been shown this one.
        let any = Query::default().order_by(SYS_ID);
        let found = self.listing(&path, &any, Some(&fields), FEW + 1, |_| true).await?;
        if found.records.is_empty() {
            return Ok(Referenced::Unread);
        }
        let is_complete = found.hidden == 0 && found.records.len() <= FEW;
        let usable = found.records.iter().filter(|record| is_complete && !is_inactive(record));
        Ok(Referenced::Absent(usable.map(shown).collect()))
    }

    /// Returns the columns that may hold the name of a table's record, the likeliest first. The table need not have them all.
    ///
    /// Sources: "Display values" and "Select a field as the table display value" (the dictionary's `display`), product documentation. Where
    /// no column is marked, or the mark is a parent table's, ServiceNow shows the name or the number: assumed, known from the Community.
    async fn naming_columns(&self, table: &str) -> Vec<String> {
        let query = Query::default().equals("name", table).equals("display", "true").equals("active", "true");
        let fields = Some("sys_id,name,element,display");
        let marked = self.listing(DICTIONARY, &query, fields, FEW, |_| true).await.unwrap_or_default();
        let is_marked = |entry: &&Record| entry.text("name") == Some(table) && entry.is("display");
        let marked = marked.records.iter().filter(is_marked).filter_map(|entry| entry.text("element"));
        let mut columns: Vec<String> = marked.map(str::to_owned).collect();
        // People are also known by their user ID and address.
        let of_people: &[&str] = if table == USERS { &["user_name", "email"] } else { &[] };
        for column in ["name", "number"].iter().chain(of_people) {
            if !columns.iter().any(|known| known == column) {
                columns.push((*column).to_owned());
            }
        }
        columns
    }

    /// Returns the values that a column offers, with their labels; empty if they cannot be read.
    pub(super) async fn choices(&self, column: &str) -> Result<Choices, ApiError> {
        Ok(self.choices_of(&[column]).await?.remove(column).unwrap_or_default())
    }

    /// Returns the choices of those of the columns that have some; empty if they cannot be read.
    pub(super) async fn choices_of(&self, columns: &[&str]) -> Result<BTreeMap<String, Choices>, ApiError> {
        let own = self.settings.table.as_str();
        let query = Query::default()
            .one_of("name", &[own, TASK])
            .one_of("element", columns)
            .equals("inactive", "false");
        let fields = Some("sys_id,name,element,value,label");
        let found = self.listing("/api/now/table/sys_choice", &query, fields, CASE_PAGE, |_| false).await?;
        let mut all: BTreeMap<String, Choices> = BTreeMap::new();
        // A table that extends `task` inherits its choices where it has none of its own.
        for table in [own, TASK] {
            let mut of_table: BTreeMap<String, Choices> = BTreeMap::new();
            // Checks each choice, since ServiceNow may have ignored a condition.
            for choice in found.records.iter().filter(|choice| choice.text("name") == Some(table)) {
                let element = choice.text("element").filter(|element| columns.contains(element));
                let (Some(element), Some(value)) = (element, choice.text("value")) else { continue };
                let label = choice.text("label").unwrap_or_default().to_owned();
                of_table.entry(element.to_owned()).or_default().insert(value.to_owned(), label);
            }
            for (element, choices) in of_table {
                all.entry(element).or_insert(choices);
            }
        }
        Ok(all)
    }

    /// Returns the dictionary's entries for columns of the table, by name; empty if they cannot be read.
    ///
    /// Source: "System dictionary" (`sys_dictionary`), product documentation. An inherited column is listed under the name of the table
    /// that it comes from.
    pub(super) async fn dictionary(&self, columns: &[&str]) -> Result<BTreeMap<String, Column>, ApiError> {
        let tables = [self.settings.table.as_str(), TASK];
        let query =
            Query::default().one_of("name", &tables).one_of("element", columns).equals("active", "true");
        let fields = Some("sys_id,name,element,internal_type,max_length,read_only,reference,reference_key");
        let found = self.listing(DICTIONARY, &query, fields, CASE_PAGE, |_| false).await?;
        let mut known: BTreeMap<String, Column> = BTreeMap::new();
        for entry in &found.records {
            let (Some(table), Some(element)) = (entry.text("name"), entry.text("element")) else { continue };
            // Checks each entry, since ServiceNow may have ignored a condition.
            if !tables.contains(&table) || !columns.contains(&element) {
                continue;
            }
            let target = |table: &str| Target {
                table: table.to_owned(),
                key: entry.text("reference_key").unwrap_or(SYS_ID).to_owned(),
            };
            let column = Column {
                target: entry.text("reference").map(target),
                kind: entry.text("internal_type").unwrap_or_default().to_owned(),
                length: entry.number("max_length").unwrap_or_default(),
                read_only: entry.is("read_only"),
            };
            // The table's own entry takes precedence over that of the table it extends.
            if table == self.settings.table || !known.contains_key(element) {
                known.insert(element.to_owned(), column);
            }
        }
        Ok(known)
    }

    /// Returns the names of the table's columns with their labels, the table's own first; empty if they cannot be read.
    pub(super) async fn labels(&self) -> Result<Vec<(String, String)>, ApiError> {
        let own = self.settings.table.as_str();
        let query = Query::default().one_of("name", &[own, TASK]).equals("active", "true");
        let fields = Some("sys_id,name,element,column_label");
        let found = self.listing(DICTIONARY, &query, fields, CASE_PAGE, |_| false).await?;
        let mut columns = Vec::new();
        for table in [own, TASK] {
            let entries = found.records.iter().filter(|entry| entry.text("name") == Some(table));
            let column = |entry: &Record| {
                let label = entry.text("column_label").unwrap_or_default();
                Some((entry.text("element")?.to_owned(), label.to_owned()))
            };
            columns.extend(entries.filter_map(column));
        }
        Ok(columns)
    }

    /// Returns those of the columns that the newest record does not show. `None` if there is no record.
    pub(super) async fn absent_columns<'a>(
        &self,
        columns: &[&'a str],
    ) -> Result<Option<Vec<&'a str>>, ApiError> {
        let path = format!("/api/now/table/{}", self.settings.table);
        let fields = format!("sys_id,{}", columns.join(","));
        let query = Query::default().order_by_desc("sys_created_on");
        let found = self.listing(&path, &query, Some(&fields), 1, |_| true).await?;
        let absent = |record: &Record| columns.iter().copied().filter(|column| !record.has(column)).collect();
        Ok(found.records.first().map(absent))
    }

    /// Reads the property `com.glide.attachment.max_size`. `None` if it is not set or cannot be read.
    pub(super) async fn largest_file_mib(&self) -> Result<Option<u64>, ApiError> {
        const PROPERTY: &str = "com.glide.attachment.max_size";
        let query = Query::default().equals("name", PROPERTY);
        let fields = Some("sys_id,name,value");
        let found =
            self.listing("/api/now/table/sys_properties", &query, fields, CASE_PAGE, |_| true).await?;
        let property = found.records.iter().find(|found| found.text("name") == Some(PROPERTY));
        Ok(property.and_then(|property| property.number("value")))
    }

    /// Reads a listing until it ends or `enough` returns true.
    async fn listing(
        &self,
        path: &str,
        query: &Query,
        fields: Option<&str>,
        page: usize,
        enough: impl Fn(&[Record]) -> bool + Send,
    ) -> Result<Listing, ApiError> {
        self.listing_of(path, query, fields, page, |record| record, enough).await
    }

    /// Reads a listing like [`listing`](Self::listing), and applies `read` to each record.
    async fn listing_of<T: Send>(
        &self,
        path: &str,
        query: &Query,
        fields: Option<&str>,
        page: usize,
        read: impl Fn(Record) -> T + Send,
        enough: impl Fn(&[T]) -> bool + Send,
    ) -> Result<Listing<T>, ApiError> {
        let mut all = Listing::default();
        let mut seen = BTreeSet::new();
        let mut size = outbound::Listing::default();
        let (mut offset, mut stale) = (0, 0);
        for _ in 0..MOST_PAGES {
            let (mut items, mut headers) = self.page(path, query, fields, page, offset, &mut size).await?;
            if lacking(&items, &headers, page, offset) > 0 {
                // Rows and count come in one answer but not from one moment: a record that changed between them is not hidden.
                (items, headers) = self.page(path, query, fields, page, offset, &mut size).await?;
            }
            let (count, known) = (items.len(), seen.len());
            // A hidden record on the overlap of two pages counts twice, so the number is not exact.
            all.hidden += lacking(&items, &headers, page, offset);
            all.identified &= is_logged_in(&headers) == Some(true);
            for item in items {
                match Record::read(item) {
                    Ok(record) if seen.insert(record.id().to_owned()) => all.records.push(read(record)),
                    Ok(_) => {}
                    Err(problem) => all.skipped.push(problem),
                }
            }
            let total = total(&headers);
            let before = all.total.or(total);
            all.total = total.or(all.total);
            // A page's length does not tell, because hidden records are removed after the page was cut.
            let more = match total {
                Some(total) => offset + page < total,
                None => has_next(&headers) || count == page,
            };
            if !more || enough(&all.records) {
                return Ok(all);
            }
            stale = if seen.len() > known || count == 0 { 0 } else { stale + 1 };
            if stale >= STALE_PAGES {
                break;
            }
            let gone = before.unwrap_or_default().saturating_sub(total.unwrap_or_default());
            let step = page.saturating_sub(OVERLAP).max(1);
            offset = (offset + step).saturating_sub(if total.is_some() { gone } else { 0 });
        }
        Err(self.error(ApiErrorKind::Unreadable, &format!("GET {path}"), "the listing does not end"))
    }

    /// Reads one page of a listing, with the headers that tell if there is another.
    async fn page(
        &self,
        path: &str,
        query: &Query,
        fields: Option<&str>,
        limit: usize,
        offset: usize,
        listing: &mut outbound::Listing,
    ) -> Result<(Vec<Value>, HeaderMap), ApiError> {
        let mut call = values(Call::get(path))
            .query("sysparm_query", query.clone().into_string())
            .query("sysparm_limit", limit.to_string())
            .query("sysparm_offset", offset.to_string());
        if let Some(fields) = fields {
            call = call.query("sysparm_fields", fields);
        }
        let (answer, headers): (Answer<Vec<Value>>, HeaderMap) =
            self.upstream.read_page_with_headers(call, listing).await.map_err(|error| {
                if error.message.contains("Invalid table") {
                    let message = format!(
                        "{}: company.servicenow.table takes the table's name, as in its address, and the connector's user needs \
                         a role that reads it",
                        error.message
                    );
                    return ApiError { message, ..error };
                }
                error
            })?;
        Ok((answer.result, headers))
    }

    /// Opens the content of an attachment.
    pub(super) async fn content(&self, attachment: &Attachment, call: String) -> Result<Download, ApiError> {
        let id = &attachment.id;
        if !is_sys_id(id) {
            let call = format!("GET attachment {}", crate::cases::shorten(id));
            return Err(self.error(
                ApiErrorKind::NotFound,
                &call,
                "the ID is no sys_id, and so no attachment's",
            ));
        }
        let announced = Announced::of(attachment, call, &[FILES]);
        self.upstream.download(Call::get(format!("{FILES}/{id}/file")), announced).await
    }

    // Writing.

    /// Creates a case.
    pub(super) async fn create(&self, fields: Map<String, Value>) -> Result<Record, ApiError> {
        let path = format!("/api/now/table/{}", self.settings.table);
        self.write(Method::POST, path, fields, "company.servicenow.new_fields").await
    }

    /// Updates a case and returns its new values.
    pub(super) async fn update(&self, id: &str, fields: Map<String, Value>) -> Result<Record, ApiError> {
        let path = self.path(id)?;
        self.write(Method::PATCH, path, fields, "company.servicenow.close_fields").await
    }

    async fn write(
        &self,
        method: Method,
        path: String,
        fields: Map<String, Value>,
        key: &str,
    ) -> Result<Record, ApiError> {
        let label = format!("{method} {path}");
        let call = values(Call::new(method, path))
            .query("sysparm_fields", self.columns_read())
            // Display values would depend on the user's language and time zone.
            .query("sysparm_input_display_value", "false")
            .body(Body::Json(Value::Object(fields)));
        let answer: Answer<Value> = self.upstream.write(call).await.map_err(|error: ApiError| {
            if is_data_policy(&error) {
                // The status is 403 as well, but no right is missing.
                let hint = Some(format!("give a value for each in {key}"));
                return ApiError { kind: ApiErrorKind::Refused, hint, ..error };
            }
            error
        })?;
        Record::read(answer.result).map_err(|error| self.error(ApiErrorKind::Unreadable, &label, error))
    }

    /// Adds a file to a case.
    pub(super) async fn upload(
        &self,
        id: &str,
        filename: &str,
        media_type: HeaderValue,
        size: Option<u64>,
        content: ByteStream,
    ) -> Result<Record, ApiError> {
        // Fails if the ID is not valid.
        self.path(id)?;
        let path = format!("{FILES}/file");
        let call = Call::new(Method::POST, &path)
            .query("table_name", &self.settings.table)
            .query("table_sys_id", id)
            .query("file_name", filename)
            .header(CONTENT_TYPE, media_type)
            .body(Body::Stream(content, size));
        let answer: Answer<Value> = match self.upstream.write(call).await {
            Ok(answer) => answer,
            // The request itself is always the same, so the refusal is about this file: its size, type or name.
            Err(error) if error.kind == ApiErrorKind::Refused => {
                return Err(ApiError { kind: ApiErrorKind::Unacceptable, ..error });
            }
            Err(error) => return Err(error),
        };
        Record::read(answer.result)
            .map_err(|error| self.error(ApiErrorKind::Unreadable, &format!("POST {path}"), error))
    }
}

/// Path of the Attachment API.
const FILES: &str = "/api/now/attachment";
/// Path of the dictionary, which has an entry for each column.
const DICTIONARY: &str = "/api/now/table/sys_dictionary";
/// Table of people.
const USERS: &str = "sys_user";
/// Column of a record's ID.
const SYS_ID: &str = "sys_id";
/// The call that shows the connector's user.
const WHO_CALL: &str = "GET /api/now/table/sys_user";
/// `user_name` that ServiceNow uses for calls without a sign-in.
const GUEST: &str = "guest";
/// Header that tells in every answer if the requesting user is signed in; `false` is an error of every call ([`stranger`]). Source: the
/// example of `GlideHTTPResponse.getAllHeaders` in the product documentation, which is an answer of the Table API. Its meaning is not
/// documented, but assumed.
const LOGGED_IN: &str = "x-is-logged-in";

/// Returns the reason if an answer's headers show that the user is not signed in (`R26`: empty answers need proof).
/// ServiceNow answers a query of a table among the *Public Pages* to any caller, with 200 and without the records that access rules hide
/// ("REST API security", product documentation).
#[must_use]
pub(super) fn stranger(headers: &HeaderMap) -> Option<String> {
    (is_logged_in(headers) == Some(false))
        .then(|| "ServiceNow takes the connector for nobody who signed in (X-Is-Logged-In: false)".to_owned())
}

/// Reports if the requesting user is signed in, if ServiceNow tells.
fn is_logged_in(headers: &HeaderMap) -> Option<bool> {
    match headers.get(LOGGED_IN)?.to_str().ok()?.trim() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Returns the number of records that a page lacks compared with the total count.
fn lacking(items: &[Value], headers: &HeaderMap, page: usize, offset: usize) -> usize {
    let there = total(headers).map_or(0, |total| total.saturating_sub(offset).min(page));
    there.saturating_sub(items.len())
}

fn files_of(table: &str, id: &str) -> Query {
    Query::default()
        .equals("table_name", table)
        .equals("table_sys_id", id)
        .order_by_desc("sys_created_on")
        .order_by_desc("sys_id")
}

/// Requests values as they are in the database, not display values, and references without addresses.
fn values(call: Call) -> Call {
    call.query("sysparm_display_value", "false").query("sysparm_exclude_reference_link", "true")
}

fn total(headers: &HeaderMap) -> Option<usize> {
    headers.get("x-total-count")?.to_str().ok()?.trim().parse().ok()
}

/// Reports if the `Link` header (RFC 8288) names a next page.
fn has_next(headers: &HeaderMap) -> bool {
    let links = headers.get_all(LINK).iter().filter_map(|link| link.to_str().ok());
    links.flat_map(|link| link.split(';')).any(|part| part.trim_start().starts_with("rel=\"next\""))
}

/// Reports if a write was refused because a mandatory field is missing: `Data Policy Exception: The following fields are mandatory: …`,
/// with 403.
pub(super) fn is_data_policy(error: &ApiError) -> bool {
    error.status == Some(403) && error.message.contains("Data Policy")
}

/// Reports if records, read newest first, certainly go back beyond `since`: they are sorted newest first and the last one is older.
/// Unsorted records show that the server uses another order.
fn reaches(found: &[Record], since: DateTime<Utc>) -> bool {
    let times: Option<Vec<DateTime<Utc>>> =
        found.iter().map(|record| record.time("sys_created_on")).collect();
    times.is_some_and(|times| {
        times.is_sorted_by(|a, b| a >= b) && times.last().is_some_and(|oldest| *oldest < since)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_known_by_the_link_header() {
        for (link, expected) in [
            (
                "<https://x/api?sysparm_offset=0>;rel=\"first\",<https://x/api?sysparm_offset=40>;rel=\"next\"",
                true,
            ),
            ("<https://x/api?sysparm_offset=0>;rel=\"prev\",<https://x/api?q=rel=next>;rel=\"last\"", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, HeaderValue::from_str(link).unwrap());
            assert_eq!(has_next(&headers), expected, "{link}");
        }
    }
}
