//! ServiceNow's REST API: one function for each call, and what is remembered between calls.
//!
//! Sources: "Table API" and "Attachment API" in the REST API reference, product documentation.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Duration, Utc};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LINK};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::query::Query;
use super::settings::ServiceNowSettings;
use super::wire::{Answer, Record, is_sys_id};
use crate::cases::{ApiError, ApiErrorKind, Attachment, ByteStream, Download};
use crate::outbound::{self, Announced, Body, Call, Upstream};

/// Cases on a page, as documented for the poll.
const CASE_PAGE: usize = 100;
/// Comments on a page, as documented for the sync.
const COMMENT_PAGE: usize = 50;
/// Files on a page: what a page of attachments has by default.
const FILE_PAGE: usize = 1_000;
/// How many records of a page come again with the next one: what was taken out of a listing meanwhile moves the rest of it
/// forward, past the place where the next page begins.
const OVERLAP: usize = 10;
/// More pages than any listing has.
const MOST_PAGES: usize = 10_000;
/// So many pages in a row that hold records, and none that is new, and the listing goes in a circle.
const STALE_PAGES: usize = 20;
/// How many records are asked for by their IDs at once: their IDs make an address of some 2,000 signs.
const MOST_IDS: usize = 50;
/// How many users' names are remembered.
const MOST_NAMES: usize = 5_000;
/// How many records are looked at for one that the user sees, or for a small file.
const FEW: usize = 20;

/// The two journals.
pub(super) const COMMENTS: &str = "comments";
pub(super) const WORK_NOTES: &str = "work_notes";

/// What a listing held.
#[derive(Debug)]
pub(super) struct Listing<T = Record> {
    /// What could be read, in order, each record once.
    pub(super) records: Vec<T>,
    /// What could not be read.
    pub(super) skipped: Vec<String>,
    /// How many records there are for those who may read them all, if ServiceNow says.
    pub(super) total: Option<usize>,
    /// How many of the records on its pages were kept back (`R26`).
    ///
    /// Rights are looked at after a page was cut ("This limit is applied before ACL evaluation", Table API, `sysparm_limit`), and
    /// `X-Total-Count` is of the query. A page with fewer records than the count leaves for it lacks those that an access rule
    /// hides. Rules that change the query itself (before-query business rules, domain separation) are not seen here: "Filtering
    /// the data is transparent" (Before Query business rules, product documentation).
    pub(super) hidden: usize,
    /// Whether every answer was given to somebody who is signed in: [`LOGGED_IN`].
    pub(super) identified: bool,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { records: Vec::new(), skipped: Vec::new(), total: None, hidden: 0, identified: true }
    }
}

impl<T> Listing<T> {
    /// Whether there are records of which the user may read none.
    pub(super) fn is_withheld(&self) -> bool {
        self.records.is_empty() && self.hidden > 0
    }

    /// The same with what was made of the records.
    fn with<U>(self, records: Vec<U>) -> Listing<U> {
        let Self { skipped, total, hidden, identified, .. } = self;
        Listing { records, skipped, total, hidden, identified }
    }
}

/// A column, as the dictionary has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// `boolean`, `string`, …
    pub(super) kind: String,
    /// In characters.
    pub(super) length: u64,
    pub(super) read_only: bool,
}

pub(super) struct Client {
    upstream: Upstream,
    settings: ServiceNowSettings,
    me: Mutex<Option<String>>,
    names: Mutex<HashMap<String, String>>,
    /// That the columns of the two custom fields are there, and take what is written into them; else what is wrong.
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

    /// The instance's address, without a slash at its end.
    pub(super) fn home(&self) -> &str {
        self.upstream.base_url().as_str().trim_end_matches('/')
    }

    pub(super) fn write_settles(&self) -> Duration {
        self.upstream.write_settles()
    }

    pub(super) fn error(&self, kind: ApiErrorKind, call: &str, message: impl Into<String>) -> ApiError {
        self.upstream.error(kind, call, message)
    }

    /// Where a record is; whatever has no ID of the right form does not exist.
    pub(super) fn path(&self, id: &str) -> Result<String, ApiError> {
        let table = &self.settings.table;
        if is_sys_id(id) {
            return Ok(format!("/api/now/table/{table}/{id}"));
        }
        let call = format!("{table} {}", crate::cases::shorten(id));
        Err(self.error(ApiErrorKind::NotFound, &call, "the ID is no sys_id, and so no record's"))
    }

    /// The columns that are read of a case.
    fn columns_read(&self) -> String {
        format!("number,short_description,description,{}", self.columns_found())
    }

    /// Those of them that a search asks for.
    fn columns_found(&self) -> String {
        // Those that the table lacks are left out of the answer.
        format!(
            "sys_id,state,active,priority,close_code,resolution_code,duplicate_of,sys_domain,sys_created_by,sys_created_on,\
             sys_updated_on,{},{}",
            self.settings.flag_field, self.settings.google_name_field
        )
    }

    // Reading.

    /// Who we are, by `user_name`: as configured, else as ServiceNow says; asked for once.
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

    /// Who we are, as ServiceNow says.
    pub(super) async fn myself(&self) -> Result<String, ApiError> {
        let (name, _) = self.asked_who_we_are().await?;
        name.ok_or_else(|| {
            let message = "ServiceNow does not tell who the connector's user is: give its user_name in \
                           company.servicenow.user";
            self.error(ApiErrorKind::Unauthorized, WHO_CALL, message)
        })
    }

    /// Makes sure, with one call, that ServiceNow knows us as the connector's user (`R26`).
    pub(super) async fn identify(&self) -> Result<(), ApiError> {
        let unknown = |message: String| self.error(ApiErrorKind::Unauthorized, WHO_CALL, message);
        let configured = self.settings.user.as_deref().map(str::trim);
        match (self.asked_who_we_are().await?, configured) {
            ((Some(me), _), _) if me.eq_ignore_ascii_case(GUEST) => {
                Err(unknown(format!("ServiceNow takes the connector for its guest, {me}: {SIGN_IN}")))
            }
            ((Some(me), _), Some(user)) if me.to_lowercase() != user.to_lowercase() => Err(unknown(format!(
                "the credentials are those of {me}, and company.servicenow.user is {user:?}: correct whichever is wrong"
            ))),
            // Of whoever may not read its own record, it will do that it is signed in, with the credentials of the configured user.
            ((Some(_), _), _) | ((None, Some(true)), Some(_)) => Ok(()),
            ((None, _), _) => Err(unknown(format!(
                "ServiceNow does not tell who the connector's user is: {SIGN_IN}; if they are right, let it read its own record \
                 in sys_user"
            ))),
        }
    }

    /// The asking user's `user_name`, if it may read it, and whether it is signed in, if ServiceNow says.
    async fn asked_who_we_are(&self) -> Result<(Option<String>, Option<bool>), ApiError> {
        let query = Query::default().and("sys_id=javascript:gs.getUserID()");
        let mut one = outbound::Listing::default();
        let (found, headers) =
            self.page("/api/now/table/sys_user", &query, Some("sys_id,user_name"), 2, 0, &mut one).await?;
        let name = match found.as_slice() {
            [Value::Object(user)] => {
                user.get("user_name").and_then(Value::as_str).filter(|name| !name.is_empty())
            }
            // None: the user may not read its own record. Several: the condition was not understood.
            _ => None,
        };
        Ok((name.map(str::to_owned), is_logged_in(&headers)))
    }

    /// The display names of users, by their `user_name`; those that cannot be read are left out.
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
                // Whatever was found: the condition may have been ignored.
                if some.contains(&login) && !name.is_empty() {
                    known.insert(login.to_owned(), name.to_owned());
                }
            }
            // Nobody's user: asked for once all the same.
            for user in some {
                known.entry((*user).to_owned()).or_insert_with(|| (*user).to_owned());
            }
        }
        users.into_iter().filter_map(|user| Some((user.to_owned(), known.get(user)?.clone()))).collect()
    }

    /// Makes sure, once, that the columns of the two custom fields are there: ServiceNow leaves out what it does not know, in
    /// answers, in queries and in what is written, and says nothing.
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

    /// Notes that what is written into the columns does not arrive, so that no further case is made that nobody would find again.
    pub(super) async fn columns_are_not_writable(&self, error: ApiError) {
        *self.columns.lock().await = Some(Err(error));
    }

    /// Whether a record has the columns of the two custom fields.
    pub(super) fn has_columns(&self, record: &Record) -> Result<(), ApiError> {
        let table = &self.settings.table;
        for (key, column) in [
            ("flag_field", &self.settings.flag_field),
            ("google_name_field", &self.settings.google_name_field),
        ] {
            if !record.has(column) {
                let message = format!(
                    "the table {table} has no column {column} that the connector's user may read: create it (System \
                     Definition, Tables, {table}, Columns), give the user a role that reads it, or name another in \
                     company.servicenow.{key}"
                );
                return Err(self.error(
                    ApiErrorKind::Refused,
                    &format!("GET /api/now/table/{table}"),
                    message,
                ));
            }
        }
        Ok(())
    }

    pub(super) async fn record(&self, id: &str) -> Result<Record, ApiError> {
        let path = self.path(id)?;
        let call = Call::get(&path).query("sysparm_fields", self.columns_read());
        let record = self.read_record(call, &format!("GET {path}")).await?;
        self.has_columns(&record)?;
        Ok(record)
    }

    async fn read_record(&self, call: Call, label: &str) -> Result<Record, ApiError> {
        let answer: Answer<Value> = self.upstream.read(values(call)).await?;
        Record::read(answer.result).map_err(|error| self.error(ApiErrorKind::Unreadable, label, error))
    }

    /// What `read` makes of each case that a query finds, in no particular order. An error if some of them are hidden: what is not
    /// shown is not taken for nothing (`R26`).
    pub(super) async fn search<T: Send>(
        &self,
        query: Query,
        read: impl Fn(&Record) -> T + Send + Sync,
    ) -> Result<Listing<T>, ApiError> {
        let path = format!("/api/now/table/{}", self.settings.table);
        // By what never changes: an update moves no record then. What comes in meanwhile only makes others come twice.
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

    /// An error if something of a listing was kept back.
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

    /// ID of one of the cases that were updated last and that the user sees, but not `except`.
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

    /// IDs of the cases of that number: there is one, but nothing forbids several.
    pub(super) async fn numbered(&self, number: &str) -> Result<BTreeSet<String>, ApiError> {
        let path = format!("/api/now/table/{}", self.settings.table);
        let query = Query::default().equals("number", number);
        let found = self.listing(&path, &query, Some("sys_id,number"), CASE_PAGE, |_| false).await?;
        self.all_shown(&found, &path, "give it a role that reads them")?;
        // Whatever was found.
        let same = |record: &&Record| record.text("number").is_some_and(|it| it.eq_ignore_ascii_case(number));
        Ok(found.records.iter().filter(same).map(|record| record.id().to_owned()).collect())
    }

    /// Whether a time that is written out in a search is read as UTC, or at least as no later: the newest record has to be among
    /// those that were updated at its own time or later. `None`: no record is shown.
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

    /// A few of the cases that a query finds, to see whether it works.
    pub(super) async fn search_some(&self, query: Query) -> Result<Listing, ApiError> {
        let path = format!("/api/now/table/{}", self.settings.table);
        self.listing(&path, &query, Some(&self.columns_read()), 1, |_| true).await
    }

    /// One page of the cases that a query finds, with how many of them are hidden.
    pub(super) async fn search_page(&self, query: Query) -> Result<Listing, ApiError> {
        let path = format!("/api/now/table/{}", self.settings.table);
        self.listing(&path, &query, Some(&self.columns_found()), CASE_PAGE, |_| true).await
    }

    /// What `read` makes of the flagged ones among the cases of these IDs.
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

    /// The entries of a case's journals, newest first, back to `since` at least.
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

    /// Whether the user may read the newest entry of a journal; `None`: there is none yet.
    pub(super) async fn reads_journals(&self) -> Result<Option<bool>, ApiError> {
        let query =
            Query::default().equals("name", &self.settings.table).one_of("element", &[COMMENTS, WORK_NOTES]);
        let found =
            self.listing("/api/now/table/sys_journal_field", &query, Some("sys_id"), 1, |_| true).await?;
        Ok(if found.is_withheld() { Some(false) } else { (!found.records.is_empty()).then_some(true) })
    }

    /// The attachments of a case, newest first, back to `since` at least.
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

    /// When the newest attachment that the user sees was added to a case. Hidden ones are told by [`files`](Self::files).
    pub(super) async fn newest_file(&self, id: &str) -> Result<Option<DateTime<Utc>>, ApiError> {
        let found = self.listing(FILES, &files_of(&self.settings.table, id), None, 1, |_| true).await?;
        let newest = found.records.iter().find(|file| file.text("table_sys_id") == Some(id));
        Ok(newest.and_then(|file| file.time("sys_created_on")))
    }

    /// When files were added to cases since then, by the case: the last one of each.
    ///
    /// Files of all records of the table are asked for, of those too that the user need not see: so some may be hidden. That the
    /// user sees none of several means that it may read no files.
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

    /// Files among the newest ones of the table's records that the user sees, the smallest first; an error if there are files and
    /// it sees none of these.
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

    /// What the scanner made of a file: `available`, `pending`, …; `None` if nobody scans, or the column cannot be read.
    ///
    /// Source: "states of an attachment" (KB0785328, Now Support). The Attachment API does not show the column.
    pub(super) async fn file_state(&self, id: &str) -> Result<Option<String>, ApiError> {
        let path = format!("/api/now/table/sys_attachment/{id}");
        let call = Call::get(&path).query("sysparm_fields", "sys_id,state");
        let file = self.read_record(call, &format!("GET {path}")).await?;
        Ok(file.text("state").map(str::to_owned))
    }

    /// The values that a column of the table offers, with their labels; empty if they cannot be read.
    pub(super) async fn choices(&self, column: &str) -> Result<BTreeMap<String, String>, ApiError> {
        // A table that extends task takes over its choices where it has none of its own.
        for table in [self.settings.table.as_str(), "task"] {
            let query =
                Query::default().equals("name", table).equals("element", column).equals("inactive", "false");
            let fields = Some("sys_id,name,element,value,label");
            let found =
                self.listing("/api/now/table/sys_choice", &query, fields, CASE_PAGE, |_| false).await?;
            let choices: BTreeMap<String, String> = found
                .records
                .iter()
                .filter(|choice| choice.text("name") == Some(table) && choice.text("element") == Some(column))
                .filter_map(|choice| {
                    let value = choice.text("value")?;
                    Some((value.to_owned(), choice.text("label").unwrap_or_default().to_owned()))
                })
                .collect();
            if !choices.is_empty() {
                return Ok(choices);
            }
        }
        Ok(BTreeMap::new())
    }

    /// What the dictionary says of columns of the table, by name; empty if it cannot be read.
    ///
    /// Source: "System dictionary" (`sys_dictionary`), product documentation. A column of a table that this one extends is filed
    /// under that one's name.
    pub(super) async fn dictionary(&self, columns: &[&str]) -> Result<BTreeMap<String, Column>, ApiError> {
        let tables = [self.settings.table.as_str(), "task"];
        let query =
            Query::default().one_of("name", &tables).one_of("element", columns).equals("active", "true");
        let fields = Some("sys_id,name,element,internal_type,max_length,read_only");
        let found =
            self.listing("/api/now/table/sys_dictionary", &query, fields, CASE_PAGE, |_| false).await?;
        let mut known: BTreeMap<String, Column> = BTreeMap::new();
        for entry in &found.records {
            let (Some(table), Some(element)) = (entry.text("name"), entry.text("element")) else { continue };
            // Whatever was found: the condition may have been ignored.
            if !tables.contains(&table) || !columns.contains(&element) {
                continue;
            }
            let column = Column {
                kind: entry.text("internal_type").unwrap_or_default().to_owned(),
                length: entry.number("max_length").unwrap_or_default(),
                read_only: entry.is("read_only"),
            };
            // The table's own entry counts before that of the table which it extends.
            if table == self.settings.table || !known.contains_key(element) {
                known.insert(element.to_owned(), column);
            }
        }
        Ok(known)
    }

    /// Which of these columns the newest record does not show; `None`: there is no record.
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

    /// `com.glide.attachment.max_size`; `None` if it is not set or cannot be read.
    pub(super) async fn largest_file_mib(&self) -> Result<Option<u64>, ApiError> {
        const PROPERTY: &str = "com.glide.attachment.max_size";
        let query = Query::default().equals("name", PROPERTY);
        let fields = Some("sys_id,name,value");
        let found =
            self.listing("/api/now/table/sys_properties", &query, fields, CASE_PAGE, |_| true).await?;
        let property = found.records.iter().find(|found| found.text("name") == Some(PROPERTY));
        Ok(property.and_then(|property| property.number("value")))
    }

    /// Reads a listing until it ends or `enough` has come.
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

    /// The same of what `read` makes of each record.
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
                // The rows and the count are of one answer, but not of one moment: a record that moved between them is no hidden one.
                (items, headers) = self.page(path, query, fields, page, offset, &mut size).await?;
            }
            let (count, known) = (items.len(), seen.len());
            // Those on the overlap of two pages are counted twice: it says how much is hidden, not exactly how many.
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
            // Never by a page's length: records that the user may not see are taken out after it was cut.
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

    /// One page of a listing, and the headers that say whether there is another.
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

    /// Changes a case; how it is afterwards.
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
            // Display values would be read in the user's language and time zone.
            .query("sysparm_input_display_value", "false")
            .body(Body::Json(Value::Object(fields)));
        let answer: Answer<Value> = self.upstream.write(call).await.map_err(|error: ApiError| {
            if is_data_policy(&error) {
                // 403 as well, but no matter of rights.
                let message = format!("{}; give a value for each in {key}", error.message);
                return ApiError { kind: ApiErrorKind::Refused, message, ..error };
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
        // For the error of an ID that cannot be one.
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
            // The request itself is always the same; what is refused is this file: its size, its type or its name.
            Err(error) if error.kind == ApiErrorKind::Refused => {
                return Err(ApiError { kind: ApiErrorKind::Unacceptable, ..error });
            }
            Err(error) => return Err(error),
        };
        Record::read(answer.result)
            .map_err(|error| self.error(ApiErrorKind::Unreadable, &format!("POST {path}"), error))
    }
}

/// The Attachment API.
const FILES: &str = "/api/now/attachment";
/// The call that tells who we are.
const WHO_CALL: &str = "GET /api/now/table/sys_user";
/// The `user_name` that everything is done under that nobody signed in for.
const GUEST: &str = "guest";
/// What to do if ServiceNow takes us for somebody else.
const SIGN_IN: &str = "check the credentials (company.servicenow.user and company.servicenow.password, or oauth_token, or api_key), and \
                       that the user is active and not locked out";
/// Says in every answer whether the asking user is signed in; `false` is an error of every call ([`stranger`]). Source: the example of `GlideHTTPResponse.getAllHeaders` in the product
/// documentation, which is an answer of the Table API; what it means is told nowhere, and assumed.
const LOGGED_IN: &str = "x-is-logged-in";

/// What an answer's headers show if it is for somebody who is not signed in (`R26`): why, and what to do. A table that is among the
/// *Public Pages* is answered to anybody, with 200 and without what its access rules hide ("REST API security", product
/// documentation).
#[must_use]
pub(super) fn stranger(headers: &HeaderMap) -> Option<String> {
    (is_logged_in(headers) == Some(false)).then(|| {
        format!("ServiceNow takes the connector for nobody who signed in (X-Is-Logged-In: false): {SIGN_IN}")
    })
}

/// Whether the asking user is signed in, if ServiceNow says.
fn is_logged_in(headers: &HeaderMap) -> Option<bool> {
    match headers.get(LOGGED_IN)?.to_str().ok()?.trim() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// How many records a page lacks of those that the count leaves for it.
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

/// Values as the database has them, not as they are shown to somebody; references without addresses.
fn values(call: Call) -> Call {
    call.query("sysparm_display_value", "false").query("sysparm_exclude_reference_link", "true")
}

fn total(headers: &HeaderMap) -> Option<usize> {
    headers.get("x-total-count")?.to_str().ok()?.trim().parse().ok()
}

/// Whether the `Link` header (RFC 8288) names a next page.
fn has_next(headers: &HeaderMap) -> bool {
    let links = headers.get_all(LINK).iter().filter_map(|link| link.to_str().ok());
    links.flat_map(|link| link.split(';')).any(|part| part.trim_start().starts_with("rel=\"next\""))
}

/// Whether a write was refused because something mandatory is missing: `Data Policy Exception: The following fields are
/// mandatory: …`, with 403.
pub(super) fn is_data_policy(error: &ApiError) -> bool {
    error.status == Some(403) && error.message.contains("Data Policy")
}

/// Whether records, read from the newest, certainly go back beyond `since`: the last is older, and nothing in the order of
/// all of them says that the server sorts otherwise.
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
