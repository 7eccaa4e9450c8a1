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
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { records: Vec::new(), skipped: Vec::new(), total: None }
    }
}

impl Listing {
    /// Whether there are records of which the user may read none: rights are looked at after a page was cut, and are no error.
    pub(super) fn is_withheld(&self) -> bool {
        self.records.is_empty() && self.total.is_some_and(|total| total > 0)
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

    pub(super) fn settings(&self) -> &ServiceNowSettings {
        &self.settings
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
        let call = format!("{table} {}", crate::outbound::shorten(id));
        Err(self.error(ApiErrorKind::NotFound, &call, "the ID is no sys_id, and so no record's"))
    }

    /// The columns that are read of a case.
    fn columns_read(&self) -> String {
        format!("number,short_description,description,{}", self.columns_found())
    }

    /// Those of them that a search asks for.
    fn columns_found(&self) -> String {
        format!(
            "sys_id,state,active,priority,sys_created_on,sys_updated_on,{},{}",
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
        let path = "/api/now/table/sys_user";
        let query = Query::default().and("sys_id=javascript:gs.getUserID()");
        let mut one = outbound::Listing::default();
        let found = self.page(path, &query, Some("sys_id,user_name"), 2, 0, &mut one).await?.0;
        match found.as_slice() {
            [Value::Object(user)] => {
                user.get("user_name").and_then(Value::as_str).filter(|name| !name.is_empty())
            }
            // None: the user may not read its own record. Several: the condition was not understood.
            _ => None,
        }
        .map(str::to_owned)
        .ok_or_else(|| {
            let message = "ServiceNow does not tell who the connector's user is: give its user_name in \
                           company.servicenow.user";
            self.error(ApiErrorKind::Unauthorized, &format!("GET {path}"), message)
        })
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

    /// What `read` makes of each case that a query finds, in no particular order.
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
        let found = self.listing_of(&path, &query, Some(&columns), CASE_PAGE, read, |_| false).await?;
        let Listing { records, skipped, total } = found;
        Ok(Listing { records: records.into_iter().collect::<Result<_, _>>()?, skipped, total })
    }

    /// A few of the cases that a query finds, to see whether it works.
    pub(super) async fn search_some(&self, query: Query) -> Result<Listing, ApiError> {
        let path = format!("/api/now/table/{}", self.settings.table);
        self.listing(&path, &query, Some(&self.columns_read()), 1, |_| true).await
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
        if found.is_withheld() {
            let message = "the connector's user may not read sys_journal_field, in which the comments are: give it a role \
                           with a read ACL on that table";
            return Err(self.error(ApiErrorKind::Unauthorized, &format!("GET {path}"), message));
        }
        for problem in &found.skipped {
            tracing::warn!(case = id, "a comment cannot be understood and is skipped: {problem}");
        }
        Ok(found.records.into_iter().filter(|entry| entry.text("element_id") == Some(id)).collect())
    }

    /// Whether the user may read journals at all; `None`: there is none yet.
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
        for problem in &found.skipped {
            tracing::warn!(case = id, "an attachment cannot be understood and is skipped: {problem}");
        }
        Ok(found.records.into_iter().filter(|file| file.text("table_sys_id") == Some(id)).collect())
    }

    /// When the newest attachment was added to a case.
    pub(super) async fn newest_file(&self, id: &str) -> Result<Option<DateTime<Utc>>, ApiError> {
        let found = self.listing(FILES, &files_of(&self.settings.table, id), None, 1, |_| true).await?;
        let newest = found.records.iter().find(|file| file.text("table_sys_id") == Some(id));
        Ok(newest.and_then(|file| file.time("sys_created_on")))
    }

    /// When files were added to cases within so much time, by the case: the last one of each.
    pub(super) async fn recent_files(
        &self,
        ago: Duration,
    ) -> Result<BTreeMap<String, DateTime<Utc>>, ApiError> {
        let table = self.settings.table.as_str();
        let query =
            Query::default().equals("table_name", table).within("sys_created_on", ago).order_by("sys_id");
        let read = |file: Record| {
            let is_ours = file.text("table_name") == Some(table);
            Some((file.text("table_sys_id")?.to_owned(), file.time("sys_created_on")?)).filter(|_| is_ours)
        };
        let found = self.listing_of(FILES, &query, None, FILE_PAGE, read, |_| false).await?;
        let mut newest = BTreeMap::new();
        for (case, at) in found.records.into_iter().flatten() {
            let known = newest.entry(case).or_insert(at);
            *known = at.max(*known);
        }
        Ok(newest)
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
            let (items, headers) = self.page(path, query, fields, page, offset, &mut size).await?;
            let (count, known) = (items.len(), seen.len());
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
            let call = format!("GET attachment {}", crate::outbound::shorten(id));
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
