//! Request Tracker's REST API, version 2: one function for each call.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::multipart::Form;
use serde_json::{Value, json};

use super::settings::RequestTrackerSettings;
use super::wire::{self, Page};
use crate::cases::{ApiError, ApiErrorKind, Download, shorten};
use crate::outbound::{Announced, Body, Call, Listing, Upstream};

/// Number of items on a page: the maximum of Request Tracker (`RT::REST2`, "Paging").
pub(super) const PAGE: usize = 100;
/// Maximum number of pages of a listing, more than any real one has.
const MOST_PAGES: usize = 10_000;
/// Number of empty pages that end a listing. In histories and attachments, hidden items are removed after a page was cut, so a page may be
/// empty before the end.
const EMPTY_PAGES: usize = 2;

/// Number of transactions whose parts are asked for by ID. Each takes some 100 bytes of an address, and web servers take 8,000.
const ASKED_BY_ID: usize = 40;

/// Number of empty pages that end a search without a total: see [`Page::total`].
const EMPTY_SEARCH_PAGES: usize = 5;

/// Maximum number of pages in a row without a new item. Each means that a hundred items were added while the page before was read.
const STALE_PAGES: usize = 10;

/// Number of tickets on the first page of a listing that is read newest first: enough for the changes of a minute, at a fifth of the cost
/// of a whole page.
const FIRST_PAGE: usize = 20;

/// Fields of a ticket that a search reads: no texts.
const TICKET_FIELDS: &str = "Status,Priority,CustomFields,Created,LastUpdated,EffectiveId,Creator,Queue";
/// Condition that makes a search find merged tickets too: Request Tracker leaves them out unless a query uses `EffectiveId` (`RT::Tickets`,
/// `_sql_looking_at`).
pub(super) const MERGED_TOO: &str = "EffectiveId > 0";
const PART_FIELDS: &str = "Filename,ContentType,ContentLength,TransactionId,Created";
const TEXT_FIELDS: &str = "Filename,ContentType,Content,TransactionId,Created,Headers";

/// Characters that are escaped in a path segment: all except unreserved ones.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// Items that Request Tracker removes from a listing after it has cut the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hidden {
    /// A page may be short or empty before the end.
    Possible,
    /// The page that is not full is the last one.
    None,
}

/// Path of the listing of a ticket's attachments.
fn attachments(ticket: &str) -> String {
    format!("/REST/2.0/ticket/{}/attachments", segment(ticket))
}

pub(super) struct Client {
    upstream: Upstream,
    settings: RequestTrackerSettings,
}

impl Client {
    pub(super) const fn new(settings: RequestTrackerSettings, upstream: Upstream) -> Self {
        Self { upstream, settings }
    }

    pub(super) const fn settings(&self) -> &RequestTrackerSettings {
        &self.settings
    }

    /// Address of the web pages, without a slash at its end.
    pub(super) fn home(&self) -> &str {
        self.upstream.base_url().as_str().trim_end_matches('/')
    }

    pub(super) const fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub(super) fn error(&self, kind: ApiErrorKind, call: &str, message: impl Into<String>) -> ApiError {
        self.upstream.error(kind, call, message)
    }

    /// Prepares Request Tracker's message for an error text.
    pub(super) async fn presentable(&self, words: &str) -> String {
        self.upstream.presentable(words).await
    }

    // Reading.

    pub(super) async fn version(&self) -> Result<Value, ApiError> {
        self.upstream.read(Call::get("/REST/2.0/rt")).await
    }

    /// Checks that the token is the configured user's (`R26`: empty answers need proof). A user sees its
    /// own record in full, and those of others only as an administrator (`RT::REST2::Resource::User`). Anonymous callers are refused
    /// (`RT::REST2::Middleware::Auth`).
    pub(super) async fn identify(&self) -> Result<(), ApiError> {
        let name = self.settings.user.trim();
        let call = Call::get(format!("/REST/2.0/user/{}", segment(name)));
        let told = "company.request-tracker.user has to be the name of the user whose token it is";
        let user: Value = self.upstream.read(call).await.map_err(|error| match error.status {
            Some(403 | 404) => {
                let message =
                    format!("{}; there is no user {name}, or it may not see itself: {told}", error.message);
                ApiError { kind: ApiErrorKind::Unauthorized, message, hint: None, ..error }
            }
            _ => error,
        })?;
        let is_it =
            wire::text(&user, "Name").is_some_and(|found| found.to_lowercase() == name.to_lowercase());
        if is_it && user.get("Memberships").is_some() {
            return Ok(());
        }
        let message = format!("the token is another user's; {told}");
        Err(self.error(ApiErrorKind::Unauthorized, "GET user", message))
    }

    pub(super) async fn queue(&self) -> Result<Value, ApiError> {
        self.queue_named(self.settings.queue.trim()).await
    }

    pub(super) async fn queue_named(&self, name: &str) -> Result<Value, ApiError> {
        self.upstream.read(Call::get(format!("/REST/2.0/queue/{}", segment(name)))).await
    }

    /// Returns names of queues that the connector's user sees, for a message: those of the first page that shows any. The other queues are
    /// removed after a page was cut (`AddRecord` in `RT::Queues`), so that a page may be empty, and a queue that is not listed may exist.
    pub(super) async fn some_queues(&self) -> Result<Vec<String>, ApiError> {
        for page in 1..=EMPTY_SEARCH_PAGES {
            let call = Call::get("/REST/2.0/queues/all")
                .query("fields", "Name")
                .query("per_page", PAGE.to_string())
                .query("page", page.to_string());
            let page: Page = self.upstream.read(call).await?;
            if !page.items.is_empty() {
                return Ok(page.items.iter().filter_map(|queue| wire::text(queue, "Name")).collect());
            }
        }
        Ok(Vec::new())
    }

    /// True if there is a user with this name.
    pub(super) async fn has_user(&self, name: &str) -> Result<bool, ApiError> {
        let call = Call::get(format!("/REST/2.0/user/{}", segment(name.trim())));
        match self.upstream.read::<Value>(call).await {
            Ok(_) => Ok(true),
            Err(error) if error.status == Some(404) => Ok(false),
            // It exists, and is not for the connector's user to see.
            Err(error) if error.status == Some(403) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Returns the email address of a user: its name if that is one, as of users whom a mail has made; else the one of its record. `None` if
    /// the connector's user may not see it.
    pub(super) async fn address(&self, name: &str) -> Result<Option<String>, ApiError> {
        if name.contains('@') {
            return Ok(Some(name.to_owned()));
        }
        match self.upstream.read::<Value>(Call::get(format!("/REST/2.0/user/{}", segment(name)))).await {
            Ok(user) => Ok(wire::text(&user, "EmailAddress")),
            Err(error) if matches!(error.status, Some(403 | 404)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a custom field by its ID.
    pub(super) async fn custom_field(&self, id: &str) -> Result<Value, ApiError> {
        self.upstream.read(Call::get(format!("/REST/2.0/customfield/{}", segment(id)))).await
    }

    /// Checks that both custom fields are on the configured queue.
    pub(super) async fn fields_exist(&self) -> Result<(), ApiError> {
        self.fields_exist_on(self.settings.queue.trim()).await
    }

    /// Checks that both custom fields are on a queue: a query with an unknown field finds nothing, without an error.
    pub(super) async fn fields_exist_on(&self, name: &str) -> Result<(), ApiError> {
        let queue = self.queue_named(name).await?;
        for (key, field) in [
            ("flag_field", &self.settings.flag_field),
            ("google_name_field", &self.settings.google_name_field),
        ] {
            field_of(&queue, field).ok_or_else(|| {
                let message = format!(
                    "the queue {name} has no custom field {field}, or the connector's user may not see it: put it on the queue and grant SeeCustomField, or correct company.request-tracker.{key}"
                );
                self.error(ApiErrorKind::Unauthorized, "GET queue", message)
            })?;
        }
        Ok(())
    }

    /// Reads a ticket, or the one that it was merged into.
    pub(super) async fn ticket(&self, id: &str) -> Result<Value, ApiError> {
        if !is_id(id) {
            let message = "a ticket's ID is a number";
            return Err(self.error(ApiErrorKind::NotFound, "GET ticket", message));
        }
        let call = Call::get(format!("/REST/2.0/ticket/{id}")).query("fields[Queue]", "Name");
        self.upstream.read(call).await
    }

    /// Reads a merged ticket's own fields. `None` if it is hidden.
    pub(super) async fn merged(&self, id: &str) -> Result<Option<Value>, ApiError> {
        let call = tickets(&format!("id = {id} AND {MERGED_TOO}"), PAGE, 1)
            .query("fields", format!("Subject,{TICKET_FIELDS}"));
        let page: Page = self.upstream.read(call).await?;
        Ok(page.items.into_iter().find(|ticket| wire::text(ticket, "id").as_deref() == Some(id)))
    }

    /// Reads a page of a search. If Request Tracker gives the total, the page must show all of its tickets: a missing ticket means that a
    /// right is missing (`R26`: empty answers need proof).
    async fn page_of_tickets(
        &self,
        with: impl Fn() -> Call + Send,
        (number, per_page): (usize, usize),
        listing: &mut Listing,
    ) -> Result<Page, ApiError> {
        let page: Page = self.upstream.read_page(with(), listing).await?;
        if !page.hides(number, per_page) {
            return Ok(page);
        }
        // Rows and total come from two queries of its database: a ticket may have been added between them.
        let page: Page = self.upstream.read_page(with(), listing).await?;
        if !page.hides(number, per_page) {
            return Ok(page);
        }
        let message = format!(
            "it found {} tickets and shows {}: grant the connector's user ShowTicket on every queue whose tickets take part",
            page.total().unwrap_or_default(),
            page.items.len()
        );
        Err(self.error(ApiErrorKind::Unauthorized, "GET tickets", message))
    }

    /// Returns the results of `read` for all tickets of a query, each once. Pages go by ID and not by number, so that tickets that leave or
    /// join meanwhile do not move the rest. The search ends at an empty page, since pages may be short.
    pub(super) async fn search_all<T: Send>(
        &self,
        query: &str,
        read: impl Fn(&Value) -> T + Send,
    ) -> Result<Vec<T>, ApiError> {
        let (mut found, mut listing) = (Vec::new(), Listing::default());
        let (mut last, mut number) = (0_u64, 1);
        for _ in 0..MOST_PAGES {
            let call = || {
                tickets(&format!("({query}) AND id > {last}"), PAGE, number)
                    .query("fields", TICKET_FIELDS)
                    .query("fields[Queue]", "Name")
                    .query("orderby", "id")
                    .query("order", "ASC")
            };
            let page = self.page_of_tickets(call, (number, PAGE), &mut listing).await?;
            let ids = page.items.iter().filter_map(|item| wire::text(item, "id")?.parse::<u64>().ok());
            match ids.max() {
                Some(highest) if highest > last => (last, number) = (highest, 1),
                None if page.items.is_empty() && (page.total().is_some() || number >= EMPTY_SEARCH_PAGES) => {
                    return Ok(found);
                }
                None if page.items.is_empty() => number += 1,
                Some(_) | None => {
                    let message = "a page holds nothing that was asked for";
                    return Err(self.error(ApiErrorKind::Unreadable, "GET tickets", message));
                }
            }
            found.extend(page.items.iter().map(&read));
        }
        Err(self.endless("GET tickets"))
    }

    /// Returns the results of `read` for the tickets of a query, each once: from the most recently updated one to the first page that ends
    /// with a ticket for which `is_old` is true.
    ///
    /// The query has no time. Request Tracker reads a time in its user's zone, and misreads periods: "3700 seconds ago" is the year 3700,
    /// and for some hours after summer time begins, "60 seconds ago" is an hour ahead (`RT::Date`, `ParseByTimeParseDate`; measured with RT
    /// 5.0.3). Its answers have times in UTC.
    pub(super) async fn search_newest_first<T: Send>(
        &self,
        query: &str,
        is_old: impl Fn(&Value) -> bool + Send,
        read: impl Fn(&Value) -> T + Send,
    ) -> Result<Vec<T>, ApiError> {
        let (mut found, mut listing) = (Vec::new(), Listing::default());
        let mut seen = BTreeSet::new();
        let (mut number, mut per_page) = (1, FIRST_PAGE);
        let (mut empty, mut stale) = (0, 0);
        let mut known_total: Option<u64> = None;
        for _ in 0..MOST_PAGES {
            let call = || {
                tickets(query, per_page, number)
                    .query("fields", TICKET_FIELDS)
                    .query("fields[Queue]", "Name")
                    .query("orderby", "LastUpdated")
                    .query("order", "DESC")
                    .query("orderby", "id")
                    .query("order", "DESC")
            };
            let page = self.page_of_tickets(call, (number, per_page), &mut listing).await?;
            let before = found.len();
            for item in &page.items {
                if seen.insert(wire::text(item, "id")) {
                    found.push(read(item));
                }
            }
            stale = if found.len() == before { stale + 1 } else { 0 };
            if stale > STALE_PAGES {
                let message = "the listing brings the same page again and again";
                return Err(self.error(ApiErrorKind::Unreadable, "GET tickets", message));
            }
            let total = page.total();
            // Tickets that left the listing moved the rest towards its beginning, to pages that were read already.
            let lost = match (known_total, total) {
                (Some(before), Some(now)) => {
                    usize::try_from(before.saturating_sub(now)).unwrap_or(usize::MAX)
                }
                (_, _) => 0,
            };
            known_total = total.or(known_total);
            if lost > 0 && number > 1 {
                number = number.saturating_sub(lost.div_ceil(per_page)).max(1);
                continue;
            }
            empty = if page.items.is_empty() { empty + 1 } else { 0 };
            let is_whole = match total {
                Some(total) => (number as u64).saturating_mul(per_page as u64) >= total,
                None => empty >= EMPTY_SEARCH_PAGES,
            };
            let is_past = page.items.last().is_some_and(&is_old) && is_descending(&page.items);
            if is_whole || is_past {
                return Ok(found);
            }
            (number, per_page) = if per_page == PAGE { (number + 1, PAGE) } else { (1, PAGE) };
        }
        Err(self.endless("GET tickets"))
    }

    /// Reads the transactions that created these tickets.
    pub(super) async fn creations(&self, tickets: &[&str]) -> Result<Vec<Value>, ApiError> {
        if tickets.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = tickets.iter().map(|id| format!("ObjectId = {id}")).collect();
        let query = format!("ObjectType = 'RT::Ticket' AND Type = 'Create' AND ({})", ids.join(" OR "));
        let call = Call::get("/REST/2.0/transactions")
            .query("query", query)
            .query("fields", "ObjectId,Type")
            .query("per_page", PAGE.to_string());
        let page: Page = self.upstream.read(call).await?;
        Ok(page.items)
    }

    /// Reads the parts without a file name of these transactions, which the connector's user sees, with their contents.
    pub(super) async fn texts_of(&self, transactions: &[&str]) -> Result<Vec<Value>, ApiError> {
        self.parts_by_id(transactions, Some(no_file_name()), TEXT_FIELDS).await
    }

    /// Reads the parts of one transaction.
    pub(super) async fn parts_of(&self, transaction: &str) -> Result<Vec<Value>, ApiError> {
        let path = format!("/REST/2.0/transaction/{transaction}/attachments");
        self.list_parts(&path, None, Hidden::Possible, Vec::new(), PART_FIELDS).await
    }

    /// Reads the parts of a ticket's messages that have no file name, with their contents, back to `since`. `transactions` are the IDs of the
    /// messages, which the connector's user sees.
    pub(super) async fn texts(
        &self,
        id: &str,
        since: Option<DateTime<Utc>>,
        transactions: &[&str],
    ) -> Result<Vec<Value>, ApiError> {
        self.parts_for((id, since), transactions, Some(no_file_name()), TEXT_FIELDS).await
    }

    /// Reads the parts of a ticket's messages, without their contents, as [`Self::texts`].
    pub(super) async fn parts(
        &self,
        id: &str,
        since: Option<DateTime<Utc>>,
        transactions: &[&str],
    ) -> Result<Vec<Value>, ApiError> {
        self.parts_for((id, since), transactions, None, PART_FIELDS).await
    }

    /// Reads the parts of all of a ticket's transactions, without their contents, back to `since`.
    pub(super) async fn all_parts(
        &self,
        id: &str,
        since: Option<DateTime<Utc>>,
    ) -> Result<Vec<Value>, ApiError> {
        self.list_parts(&attachments(id), since, Hidden::Possible, Vec::new(), PART_FIELDS).await
    }

    /// Reads the parts of these transactions by their IDs if they are few, and from the ticket's listing otherwise.
    async fn parts_for(
        &self,
        (id, since): (&str, Option<DateTime<Utc>>),
        transactions: &[&str],
        filter: Option<Value>,
        fields: &str,
    ) -> Result<Vec<Value>, ApiError> {
        if transactions.len() <= ASKED_BY_ID {
            return self.parts_by_id(transactions, filter, fields).await;
        }
        let filter = filter.into_iter().collect();
        self.list_parts(&attachments(id), since, Hidden::Possible, filter, fields).await
    }

    /// Reads the parts of these transactions. A part is shown if its transaction is (`AddRecord` in `RT::Attachments`), so that none is hidden.
    async fn parts_by_id(
        &self,
        transactions: &[&str],
        filter: Option<Value>,
        fields: &str,
    ) -> Result<Vec<Value>, ApiError> {
        let mut found = Vec::new();
        for some in transactions.chunks(ASKED_BY_ID) {
            let ids = some
                .iter()
                .map(|id| json!({"field": "TransactionId", "value": id, "entry_aggregator": "OR"}));
            let query = ids.chain(filter.clone()).collect();
            found.extend(self.list_parts("/REST/2.0/attachments", None, Hidden::None, query, fields).await?);
        }
        Ok(found)
    }

    /// Reads a listing of parts, all of them if the query is empty.
    async fn list_parts(
        &self,
        path: &str,
        since: Option<DateTime<Utc>>,
        hidden: Hidden,
        query: Vec<Value>,
        fields: &str,
    ) -> Result<Vec<Value>, ApiError> {
        let query = (!query.is_empty()).then(|| Value::Array(query).to_string());
        self.newest_first(path, since, hidden, |call| {
            let call = call.query("fields", fields);
            match &query {
                Some(query) => call.query("query", query.as_str()),
                None => call,
            }
        })
        .await
    }

    /// Reads the transactions of a ticket, back to `since`.
    pub(super) async fn history(
        &self,
        id: &str,
        since: Option<DateTime<Utc>>,
    ) -> Result<Vec<Value>, ApiError> {
        let path = format!("/REST/2.0/ticket/{}/history", segment(id));
        self.newest_first(&path, since, Hidden::Possible, |call| {
            call.query("fields", "Type,Creator,Created,Data,OldValue,NewValue")
                .query("fields[Creator]", "RealName")
        })
        .await
    }

    /// Reads a listing newest first, each item once, until items are older than `since`. Items that are added meanwhile move the rest to
    /// later pages, where it is seen twice, but not missed.
    async fn newest_first(
        &self,
        path: &str,
        since: Option<DateTime<Utc>>,
        hidden: Hidden,
        with: impl Fn(Call) -> Call,
    ) -> Result<Vec<Value>, ApiError> {
        let (mut found, mut listing) = (Vec::new(), Listing::default());
        let mut seen = BTreeSet::new();
        let (mut empty, mut stale) = (0, 0);
        for page in 1..=MOST_PAGES {
            let call = Call::get(path)
                .query("orderby", "id")
                .query("order", "DESC")
                .query("per_page", PAGE.to_string())
                .query("page", page.to_string());
            let page: Page = self.upstream.read_page(with(call), &mut listing).await?;
            empty = if page.items.is_empty() { empty + 1 } else { 0 };
            let is_final = hidden == Hidden::None && page.items.len() < PAGE;
            let is_past = since.is_some_and(|since| {
                page.items.last().and_then(|item| wire::time(item, "Created")).is_some_and(|at| at < since)
            });
            let before = found.len();
            found.extend(page.items.into_iter().filter(|item| seen.insert(wire::text(item, "id"))));
            stale = if found.len() == before { stale + 1 } else { 0 };
            if stale > STALE_PAGES {
                return Err(self.error(
                    ApiErrorKind::Unreadable,
                    &format!("GET {path}"),
                    "the listing brings the same page again and again",
                ));
            }
            if is_final || is_past || empty >= EMPTY_PAGES {
                return Ok(found);
            }
        }
        Err(self.endless(&format!("GET {path}")))
    }

    pub(super) async fn transaction(&self, id: &str) -> Result<Value, ApiError> {
        self.upstream.read(Call::get(format!("/REST/2.0/transaction/{id}"))).await
    }

    /// Opens the JSON that holds an attachment's content.
    pub(super) async fn content(&self, id: &str) -> Result<Download, ApiError> {
        // The expected answer is JSON that holds the file, of any type and size.
        let announced = Announced {
            call: format!("GET attachment {}", shorten(id)),
            filename: "",
            media_type: Some("application/json"),
            size: None,
            paths: &["/REST/2.0/attachment/"],
        };
        self.upstream.download(Call::get(format!("/REST/2.0/attachment/{}", segment(id))), announced).await
    }

    /// Reads a queue's tickets that the connector created and that name no Google case, newest first, at most one page.
    pub(super) async fn nameless(&self, queue: &str) -> Result<Vec<Value>, ApiError> {
        let settings = &self.settings;
        let query = format!(
            "Queue = {} AND Creator = {} AND 'CF.{{{}}}' IS NULL",
            quoted(queue),
            quoted(&settings.user),
            settings.google_name_field.trim(),
        );
        let call = tickets(&query, PAGE, 1)
            .query("fields", format!("Subject,{TICKET_FIELDS}"))
            .query("orderby", "id")
            .query("order", "DESC");
        let page: Page = self.upstream.read(call).await?;
        Ok(page.items)
    }

    /// Reads a page with the newest ticket of a query. Fails if there is one but it is hidden.
    pub(super) async fn newest(&self, query: &str) -> Result<Page, ApiError> {
        let call =
            || tickets(query, 1, 1).query("fields", "Status").query("orderby", "id").query("order", "DESC");
        self.page_of_tickets(call, (1, 1), &mut Listing::default()).await
    }

    /// Reports if the ticket's own listing has an attachment.
    pub(super) async fn is_listed(&self, ticket: &str, attachment: &str) -> Result<bool, ApiError> {
        let call = Call::get(attachments(ticket))
            .query("query", json!([{ "field": "id", "value": attachment }]).to_string());
        let page: Page = self.upstream.read(call).await?;
        Ok(page.items.iter().any(|part| wire::text(part, "id").as_deref() == Some(attachment)))
    }

    // Writing.

    /// Creates a ticket and returns its ID.
    pub(super) async fn create(&self, ticket: Value) -> Result<String, ApiError> {
        let made: Value = self.upstream.write(Call::post("/REST/2.0/ticket", ticket)).await?;
        wire::text(&made, "id")
            .filter(|id| is_id(id))
            .ok_or_else(|| self.error(ApiErrorKind::Unreadable, "POST ticket", "the answer names no ticket"))
    }

    /// Updates a ticket and returns Request Tracker's messages about it.
    pub(super) async fn change(&self, id: &str, fields: Value) -> Result<Vec<String>, ApiError> {
        let call =
            Call::new(Method::PUT, format!("/REST/2.0/ticket/{}", segment(id))).body(Body::Json(fields));
        let said: Value = self.upstream.write(call).await?;
        let said = said.as_array().into_iter().flatten();
        Ok(said.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// Adds a `comment` or a `correspond` to a ticket; returns the path of the new item.
    pub(super) async fn write(
        &self,
        id: &str,
        how: &str,
        body: Value,
        form: Option<Form>,
    ) -> Result<Option<String>, ApiError> {
        let path = format!("/REST/2.0/ticket/{}/{how}", segment(id));
        let call = match form {
            Some(form) => {
                Call::new(Method::POST, path).body(Body::Multipart(form.text("JSON", body.to_string())))
            }
            None => Call::post(path, body),
        };
        self.upstream.write_located(call).await
    }

    fn endless(&self, call: &str) -> ApiError {
        let message = format!("the listing goes on for more than {MOST_PAGES} pages");
        self.error(ApiErrorKind::Unreadable, call, message)
    }
}

/// Builds the call for a page of a search for tickets.
fn tickets(query: &str, per_page: usize, number: usize) -> Call {
    Call::get("/REST/2.0/tickets")
        .query("query", query)
        .query("per_page", per_page.to_string())
        .query("page", number.to_string())
}

/// Reports if tickets are sorted by their updates, newest first.
fn is_descending(tickets: &[Value]) -> bool {
    let times: Vec<DateTime<Utc>> =
        tickets.iter().filter_map(|ticket| wire::time(ticket, "LastUpdated")).collect();
    times.is_sorted_by(|one, next| one >= next)
}

/// Reports if a text is the ID of a ticket in Request Tracker's form.
pub(super) fn is_id(text: &str) -> bool {
    !text.is_empty() && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Quotes a value for a query.
pub(super) fn quoted(value: &str) -> String {
    format!("'{}'", value.trim().replace('\\', "\\\\").replace('\'', "\\'"))
}

fn no_file_name() -> Value {
    json!({"field": "Filename", "operator": "IS", "value": "NULL"})
}

/// Returns the ID of a custom field of a queue's tickets.
pub(super) fn field_of(queue: &Value, name: &str) -> Option<String> {
    let fields = queue.get("TicketCustomFields").and_then(Value::as_array);
    let wanted = name.trim().to_lowercase();
    let field = fields.into_iter().flatten().find(|field| {
        field.get("name").and_then(Value::as_str).is_some_and(|name| name.to_lowercase() == wanted)
    });
    field.and_then(|field| wire::text(field, "id"))
}
