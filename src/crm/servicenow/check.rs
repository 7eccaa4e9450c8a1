//! `casebridge check` for ServiceNow: tries everything that the service needs, without changing anything. Each failure ends with advice on
//! how to fix it, and where.

use super::client::{COMMENTS, Choices, Client, Column, Listing, Referenced, Target, WORK_NOTES};
use super::query::Query;
use super::settings::{self, CORRELATION_DISPLAY, CORRELATION_ID, ServiceNowSettings, meant, word};
use super::wire::is_sys_id;
use super::{NAME, PriorityWords};
use crate::cases::{
    Attachment, Check, CheckStatus, Finding, GOOGLE_STATE_ROOM, Needs, Placement, Report, Trouble, Visibility,
};
use crate::clock::SharedClock;
use crate::crm::{CrmKind as _, sign_in};
use crate::entities::Priority;
use crate::outbound::Remedies;
use futures_util::StreamExt as _;
use std::collections::BTreeMap;

/// Largest file that a check downloads, in bytes.
const SMALL: u64 = 256 * 1024;
/// Number of files that are tried until a download succeeds.
const TRIES: usize = 3;

pub(super) async fn all(
    client: &Client,
    priorities: &PriorityWords,
    clock: &SharedClock,
    needs: Needs,
) -> Vec<Check> {
    let mut report = Report::new(NAME);
    let settings = client.settings();
    let some = match client.search_some(Query::default()).await {
        Ok(some) => some,
        Err(error) => {
            let advice = "check company.base_url and the network, and whether the instance is awake";
            report.add("credentials", Err(Trouble::of(&error, advice)));
            return report.into_lines();
        }
    };
    report.add("credentials", Ok(format!("the table {} can be read", settings.table)));
    report.add("user", user(client).await);
    if report.add(COLUMNS, columns(client, &some).await) {
        report.add(SEARCH, search(client).await);
    } else {
        report.add_untried(SEARCH, COLUMNS);
    }
    if let Some(column) = &settings.google_state_field {
        report.add("column for Google's state", state_column(client, column).await);
    }
    if needs.remote_link && settings.remote_link().is_ok() {
        report.add("columns of the link to the Google case", link_columns(client).await);
    }
    report.add("times in searches", times(client).await);
    report.add("comments", journals(client, needs.visibility).await);
    report.add("lengths of texts", lengths(client).await);
    if needs.creation {
        let fields = settings.new_fields.iter().map(|(column, value)| (column.as_str(), value.as_str()));
        report.add("columns of new cases", written(client, &fields.collect(), "new_fields", |_| false).await);
    }
    if needs.status {
        closing_and_opening(&mut report, client).await;
    }
    if needs.creation || needs.priority {
        report.add("priorities", words(client, priorities).await);
    }
    if needs.attachments {
        report.add("attachments", files(client, clock).await);
    }
    report.into_lines()
}

/// Checks that the columns for the record of another system can be read. That they can be written shows only by writing.
async fn link_columns(client: &Client) -> Finding {
    let columns = [CORRELATION_ID, CORRELATION_DISPLAY];
    let hint = "give the user a role that reads them, or set company.remote_link = false";
    let absent = client.absent_columns(&columns).await;
    let absent = absent.map_err(|error| Trouble::warning(error.without_hint(), hint))?.unwrap_or_default();
    if absent.is_empty() {
        return Ok(columns.join(", "));
    }
    let (table, absent) = (&client.settings().table, absent.join(", "));
    let problem = format!("the table {table} has no {absent} that the connector's user may read");
    Err(Trouble::warning(problem, hint))
}

/// Checks the column for Google's state, as far as the user may look it up.
async fn state_column(client: &Client, column: &str) -> Finding {
    const KEY: &str = "company.servicenow.google_state_field";
    let table = &client.settings().table;
    let place = format!("System Definition, Tables, {table}, Columns");
    if client.settings().misnamed().iter().any(|(key, ..)| *key == "google_state_field") {
        let labels = client.labels().await.unwrap_or_default();
        return Err(Trouble::failed(
            format!("{KEY} names {column:?}, which is no column of the table {table}"),
            correction("google_state_field", column, &labels),
        ));
    }
    let absent = client.absent_columns(&[column]).await.map_err(|error| Trouble::from(&error))?;
    if absent.is_some_and(|absent| !absent.is_empty()) {
        let labels = client.labels().await.unwrap_or_default();
        return Err(Trouble::failed(
            format!("the table {table} has no column {column} that the connector's user may read"),
            format!(
                "{}, create it ({place}), or give the user a role that reads it",
                correction("google_state_field", column, &labels)
            ),
        ));
    }
    let room = u64::try_from(GOOGLE_STATE_ROOM).unwrap_or(u64::MAX);
    match client.dictionary(&[column]).await.unwrap_or_default().get(column) {
        Some(found) if !found.kind.starts_with("string") => Err(Trouble::failed(
            format!("the column {column} is of the type {}", found.kind),
            format!("create one of the type String with 100 characters ({place}), or name another in {KEY}"),
        )),
        Some(found) if found.length < room => Err(Trouble::failed(
            format!("the column {column} holds {} characters, and the texts need {room}", found.length),
            format!("make it longer ({place})"),
        )),
        Some(found) if found.read_only => Err(Trouble::failed(
            format!("the column {column} is read-only"),
            format!("take that away ({place})"),
        )),
        Some(found) => Ok(format!("{column} ({} characters)", found.length)),
        None => Ok(format!("{column} (type and rights to write: {NO_DICTIONARY})")),
    }
}

const COLUMNS: &str = "columns";
const SEARCH: &str = "search for flagged cases";

/// Checks that all names can be those of columns, that records have both custom columns, and that the types of these fit.
async fn columns(client: &Client, some: &Listing) -> Finding {
    let (settings, table) = (client.settings(), &client.settings().table);
    let misnamed = settings.misnamed();
    if !misnamed.is_empty() {
        let labels = client.labels().await.unwrap_or_default();
        let (problems, hints): (Vec<String>, Vec<String>) = misnamed
            .into_iter()
            .map(|(key, name, _)| {
                let problem = format!(
                    "company.servicenow.{key} names {name:?}, which is no column of the table {table}"
                );
                (problem, correction(key, name, &labels))
            })
            .unzip();
        return Err(Trouble::failed(problems.join(", "), hints.join(", ")));
    }
    match some.records.first() {
        Some(record) => {
            let lacking = client.lacking(record);
            if lacking.is_empty() {
                return types(client).await;
            }
            let labels = client.labels().await.unwrap_or_default();
            let (columns, hints): (Vec<&str>, Vec<String>) =
                lacking.into_iter().map(|(key, column)| (column, correction(key, column, &labels))).unzip();
            Err(Trouble::failed(
                format!(
                    "the table {table} has no column {} that the connector's user may read",
                    columns.join(" and no column ")
                ),
                format!(
                    "{}, create it (System Definition, Tables, {table}, Columns), or give the user a role that reads it",
                    hints.join(", ")
                ),
            ))
        }
        None if some.is_withheld() => Err(Trouble::failed(
            format!("the table {table} has records, and the connector's user may read none of them"),
            "give it a role that does (itil for incidents, sn_customerservice_agent for cases)",
        )),
        None => Err(Trouble::warning(
            format!("the table {table} is empty: whether it has them is seen with the first record"),
            "create a record, and check again",
        )),
    }
}

/// Returns the advice for a name that is none of a column: the one that the instance's dictionary has for it, if there is one.
fn correction(key: &str, name: &str, labels: &[(String, String)]) -> String {
    match meant(name, labels) {
        Some(column) => format!("give {column:?} in company.servicenow.{key} in place of {name:?}"),
        None if labels.is_empty() => {
            format!("give the column's name in company.servicenow.{key} ({NO_DICTIONARY})")
        }
        None => format!("give another column's name in company.servicenow.{key}"),
    }
}

/// Checks the states and the columns of closing and opening again.
async fn closing_and_opening(report: &mut Report, client: &Client) {
    let settings = client.settings();
    report.add("state that closes", choice(client, "state", settings.close_state(), "close_state").await);
    if let Some(finding) = closed_states(client).await {
        report.add("states that count as closed", finding);
    }
    report.add("how cases are closed", closings(client).await);
    report.add(
        "state that opens again",
        choice(client, "state", settings.reopen_state(), "reopen_state").await,
    );
    let fields = settings.close_fields();
    let is_code = |column: &str| column.ends_with("_code");
    report.add("columns of closing", written(client, &fields, "close_fields", is_code).await);
    for (column, value) in fields.into_iter().filter(|(column, _)| is_code(column)) {
        let key = format!("close_fields.{column}");
        report.add(column, choice(client, column, value, &key).await);
    }
}

/// Looks up the values that a route sets.
pub(super) async fn placement(client: &Client, placement: &Placement) -> Finding {
    let columns = settings::placed(placement);
    let columns = columns.iter().map(|(column, value)| (column.as_str(), value.as_str())).collect();
    written_by(client, &columns, "the route's set", |_| false).await
}

/// Note for results without the dictionary.
const NO_DICTIONARY: &str = "the user may not read sys_dictionary: not looked up";

/// Checks that the types of the two custom columns fit their use.
async fn types(client: &Client) -> Finding {
    /// Length that is too short for the longest name of a Google case.
    const SHORT: u64 = 100;
    let settings = client.settings();
    let (flag, name) = (settings.flag_field.as_str(), settings.google_name_field.as_str());
    let columns = client.dictionary(&[flag, name]).await.unwrap_or_default();
    let (Some(of_flag), Some(of_name)) = (columns.get(flag), columns.get(name)) else {
        return Ok(format!("{flag} and {name} (types and rights to write: {NO_DICTIONARY})"));
    };
    let place = format!("System Definition, Tables, {}, Columns", settings.table);
    let wrong = |column: &str, problem: &str, wanted: &str, key: &str| {
        Err(Trouble::failed(
            format!("the column {column} {problem}"),
            format!("create one of the type {wanted} ({place}), or name another in company.servicenow.{key}"),
        ))
    };
    if of_flag.kind != "boolean" {
        return wrong(flag, &format!("is of the type {}", of_flag.kind), "True/False", "flag_field");
    }
    if !of_name.kind.starts_with("string") {
        let problem = format!("is of the type {}", of_name.kind);
        return wrong(name, &problem, "String with 255 characters", "google_name_field");
    }
    if of_name.length < SHORT {
        let problem = format!("holds {} characters, which a Google case's name may not fit", of_name.length);
        return wrong(name, &problem, "String with 255 characters", "google_name_field");
    }
    for (column, found) in [(flag, of_flag), (name, of_name)] {
        if found.read_only {
            return Err(Trouble::failed(
                format!("the column {column} is read-only"),
                format!("take that away ({place})"),
            ));
        }
    }
    Ok(format!(
        "{flag} (True/False) and {name} ({} characters); that they may be written is seen with the first case",
        of_name.length
    ))
}

/// Checks that no text is longer than its column, since ServiceNow cuts it silently.
async fn lengths(client: &Client) -> Finding {
    let settings = client.settings();
    let ours = [
        ("short_description", "title_limit", settings.title_limit),
        ("description", "description_limit", settings.description_limit),
        (COMMENTS, "comment_limit", settings.comment_limit),
        (WORK_NOTES, "comment_limit", settings.comment_limit),
    ];
    let columns = client.dictionary(&ours.map(|(column, ..)| column)).await.unwrap_or_default();
    if columns.is_empty() {
        return Ok(format!("as configured ({NO_DICTIONARY})"));
    }
    let (long, hints): (Vec<String>, Vec<String>) = ours
        .iter()
        .filter_map(|(column, key, limit)| {
            let Column { length, .. } = columns.get(*column)?;
            let fits = u64::try_from(*limit).is_ok_and(|limit| limit <= *length);
            let trouble =
                || (format!("{column} holds {length}"), format!("set company.servicenow.{key} to {length}"));
            (!fits).then(trouble)
        })
        .unzip();
    if long.is_empty() {
        Ok("fit into their columns".to_owned())
    } else {
        Err(Trouble::failed(long.join(", "), hints.join(", ")))
    }
}

/// Checks that additionally written columns exist, since ServiceNow silently ignores others, and that the values fit them. The choices of
/// columns that are `told_apart` are not compared.
async fn written(
    client: &Client,
    fields: &BTreeMap<&str, &str>,
    key: &str,
    told_apart: fn(&str) -> bool,
) -> Finding {
    // Those that are no names are told in the line about the columns.
    let misnamed = client.settings().misnamed();
    let fields: BTreeMap<&str, &str> = fields
        .iter()
        .map(|(name, value)| (*name, *value))
        .filter(|(name, _)| misnamed.iter().all(|(_, known, _)| known != name))
        .collect();
    written_by(client, &fields, &format!("company.servicenow.{key}"), told_apart).await
}

/// Does the same for columns that `place` of the configuration names.
async fn written_by(
    client: &Client,
    fields: &BTreeMap<&str, &str>,
    place: &str,
    told_apart: fn(&str) -> bool,
) -> Finding {
    if fields.is_empty() {
        return Ok("none".to_owned());
    }
    let columns: Vec<&str> = fields.keys().copied().collect();
    let absent = client.absent_columns(&columns).await.map_err(|error| Trouble::from(&error))?;
    let has_record = absent.is_some();
    let absent = absent.unwrap_or_default();
    let mut troubles = Vec::new();
    if !absent.is_empty() {
        troubles.push(missing(client, &absent, place).await);
    }
    // These lookups are neither needed nor usually allowed; they only reveal mistakes early.
    let dictionary = client.dictionary(&columns).await.unwrap_or_default();
    let choices = client.choices_of(&columns).await.unwrap_or_default();
    for (column, value) in fields.iter().map(|(column, value)| (*column, value.trim())) {
        if value.is_empty() || absent.contains(&column) {
            continue;
        }
        let found = dictionary.get(column);
        if let Some(target) = target(client, column, found) {
            let values = match found {
                // "Watch list" and its like: people stand in them by their addresses as well.
                Some(found) if found.kind == LIST => {
                    value.split(',').filter(|one| !one.contains('@')).collect()
                }
                Some(_) | None => vec![value],
            };
            for value in values {
                troubles.extend(record(client, column, &target, value.trim(), place).await?);
            }
        } else if let Some(choices) = choices.get(column).filter(|_| !told_apart(column)) {
            troubles.extend(outside(column, value, choices, &format!("{column} in {place}")));
        } else if let Some(problem) = found.and_then(|found| unfit(&found.kind, value)) {
            troubles.push(Trouble::warning(
                format!("{column} {problem}: ServiceNow leaves such a value out without a word"),
                format!("correct {place}"),
            ));
        }
    }
    if let Some(trouble) = joined(troubles) {
        return Err(trouble);
    }
    Ok(match (has_record, dictionary.is_empty()) {
        (false, _) => format!("{}: there is no record yet to see them on: not tried", columns.join(", ")),
        (true, false) => columns.join(", "),
        (true, true) => format!("{} (types of the values: {NO_DICTIONARY})", columns.join(", ")),
    })
}

/// Joins the troubles of one line. It failed if any of them did.
fn joined(troubles: Vec<Trouble>) -> Option<Trouble> {
    let has_failed = troubles.iter().any(|trouble| trouble.status == CheckStatus::Failed);
    let (details, hints): (Vec<String>, Vec<Option<String>>) =
        troubles.into_iter().map(|trouble| (trouble.detail, trouble.hint)).unzip();
    let mut hints: Vec<String> = hints.into_iter().flatten().collect();
    hints.dedup();
    let (detail, hint) = (details.join("; "), hints.join("; "));
    let make = if has_failed { Trouble::failed } else { Trouble::warning };
    (!details.is_empty()).then(|| make(detail, hint))
}

/// Tells of columns that the newest record does not show.
async fn missing(client: &Client, absent: &[&str], place: &str) -> Trouble {
    let labels = client.labels().await.unwrap_or_default();
    let meant: Vec<String> = absent
        .iter()
        .filter_map(|name| Some(format!(" ({:?} in place of {name:?})", meant(name, &labels)?)))
        .collect();
    Trouble::warning(
        format!(
            "the table {} has no {} that the connector's user may read: what is written there would be left out without a word",
            client.settings().table,
            absent.join(" and ")
        ),
        format!("correct {place}{}, or give the user a role that reads it", meant.concat()),
    )
}

/// Type of a column that holds a list of references.
const LIST: &str = "glide_list";

/// Returns the records that a column may name, if it is a reference: by the dictionary, else as in the base system.
fn target(client: &Client, column: &str, found: Option<&Column>) -> Option<Target> {
    match found {
        Some(found) if found.kind == "reference" || found.kind == LIST => {
            found.target.clone().or_else(|| Some(Target::by_id(client.settings().base_reference(column)?)))
        }
        Some(_) => None,
        None => Some(Target::by_id(client.settings().base_reference(column)?)),
    }
}

/// Checks the record that a value of a reference column names.
///
/// The Table API does not: with `sysparm_input_display_value=false` it "treats input values as actual values and stores them in the database
/// without manipulation" (Table API, product documentation). That a field whose value is no record's looks empty is known from the field.
async fn record(
    client: &Client,
    column: &str,
    target: &Target,
    value: &str,
    place: &str,
) -> Result<Option<Trouble>, Trouble> {
    let Target { table, key } = target;
    let found = client.referenced(target, value).await.map_err(|error| Trouble::from(&error))?;
    let another =
        format!("write a record's {key} for {column} in {place} (\"Copy sys_id\" in the record's menu)");
    Ok(Some(match found {
        Referenced::Found { is_active: true, .. } => return Ok(None),
        Referenced::Found { record, is_active: false } => Trouble::warning(
            format!("{column} names the record {record} of {table}, which is inactive"),
            another,
        ),
        Referenced::Named(records) => Trouble::failed(
            format!(
                "{column} takes the {key} of a record of {table}, and {value:?} is a name: ServiceNow would store the text as it stands, \
                 and the field would look empty"
            ),
            format!("write {} for {column} in {place}", records.join(" or ")),
        ),
        Referenced::Absent(records) => Trouble::failed(
            format!("{column}: {table} has no record {value:?} that the connector's user may read"),
            match records.as_slice() {
                [] => another,
                records => {
                    format!("write the {key} of one of these for {column} in {place}: {}", records.join(", "))
                }
            },
        ),
        Referenced::Unread if key == "sys_id" && !is_sys_id(value) => Trouble::warning(
            format!(
                "{column} takes the sys_id of a record of {table} (32 hexadecimal digits), not {value:?}, and {table} cannot be read"
            ),
            another,
        ),
        Referenced::Unread => Trouble::warning(
            format!("{column}: {table} cannot be read, so {value:?} could not be looked up"),
            format!(
                "compare {place} with the record's {key}, or give the connector's user a role that reads {table}"
            ),
        ),
    }))
}

/// Tells of a value that a column does not offer, which a column of text may hold nevertheless. `key` names the value for advice.
fn outside(column: &str, value: &str, choices: &Choices, key: &str) -> Option<Trouble> {
    if choices.contains_key(value) {
        return None;
    }
    let trouble = no_choice(column, value, choices, key);
    Some(if labelled(value, choices).is_some() {
        trouble
    } else {
        Trouble { status: CheckStatus::Warn, ..trouble }
    })
}

/// Names an entry of a list for advice.
fn entry(key: &str) -> String {
    format!("the entry in company.servicenow.{key}")
}

/// Returns the value and the label of the choice with this label.
fn labelled<'a>(label: &str, choices: &'a Choices) -> Option<(&'a str, &'a str)> {
    let same = |known: &str| known.trim().to_lowercase() == label.trim().to_lowercase();
    let found = choices.iter().find(|(_, known)| same(known))?;
    Some((found.0, found.1))
}

/// Lists choices: `"6" (Resolved), "7" (Closed)`.
fn listed(choices: &Choices) -> String {
    let shown: Vec<String> = choices.iter().map(|(value, label)| format!("{value:?} ({label})")).collect();
    shown.join(", ")
}

/// Tells of a value that a column does not offer, and which ones it does.
fn no_choice(column: &str, value: &str, choices: &Choices, key: &str) -> Trouble {
    match labelled(value, choices) {
        _ if value.is_empty() => {
            Trouble::failed(format!("{key} is missing"), format!("set it to one of {}", listed(choices)))
        }
        Some((meant, label)) => Trouble::failed(
            format!(
                "{column} has no choice {value:?}: that is the label of {meant:?}, and the value is needed"
            ),
            format!("set {key} to {meant:?} ({label}), or to another one of {}", listed(choices)),
        ),
        None => Trouble::failed(
            format!("{column} has no choice {value:?}"),
            format!("set {key} to one of {}", listed(choices)),
        ),
    }
}

/// Returns the mistake in a value for a column of that type.
fn unfit(kind: &str, value: &str) -> Option<String> {
    let value = value.trim();
    let (fits, wanted) = match kind {
        "boolean" => (matches!(value, "true" | "false" | "1" | "0"), "true or false"),
        "integer" | "longint" => (value.parse::<i64>().is_ok(), "a whole number"),
        "decimal" | "float" | "currency" | "price" => (value.parse::<f64>().is_ok(), "a number"),
        "reference" => (is_sys_id(value), "the sys_id of a record (32 hexadecimal digits)"),
        "glide_date" => {
            (chrono::NaiveDate::parse_from_str(value, "%Y-%m-%d").is_ok(), "a date such as 2026-01-31")
        }
        "glide_date_time" => (
            chrono::NaiveDateTime::parse_from_str(value, "%Y-%m-%d %H:%M:%S").is_ok(),
            "a time in UTC such as 2026-01-31 09:00:00",
        ),
        _ => (true, ""),
    };
    (!fits).then(|| format!("is of the type {kind} and takes {wanted}, not {value:?}"))
}

/// Returns the remedy for credentials that are not accepted, or that are somebody else's.
pub(super) fn sign_in_remedy(settings: &ServiceNowSettings) -> String {
    let keys = settings.credential_keys();
    let otherwise = format!(
        "the credentials are missing, expired or wrong: check {keys}, and that the user is active and not locked out"
    );
    sign_in(settings, keys, otherwise)
}

/// Returns the remedies for failed calls.
pub(super) fn remedies(settings: &ServiceNowSettings) -> Remedies {
    let table = &settings.table;
    let files = format!(
        "the connector's user needs a role that reads sys_attachment and may add attachments to {table}"
    );
    Remedies {
        sign_in: sign_in_remedy(settings),
        rights: vec![
            ("GET", "/sys_journal_field", JOURNAL.to_owned()),
            ("GET", "attachment", files.clone()),
            ("POST", "attachment", files),
        ],
        right: "give the connector's user a role that reads the table and writes to it (itil for incidents, sn_customerservice_agent for \
                cases), and check the REST API's access policies (System Web Services, API Access Policies)"
            .to_owned(),
        fixed: vec![format!("/table/{table}"), "/table/sys_user".to_owned()],
        address: "check company.base_url: https://INSTANCE.service-now.com, without a path".to_owned(),
        refusals: Vec::new(),
        download_hosts: None,
        reach: "check company.base_url and the network (docs/networks.md), and whether the instance is awake (developer instances \
                hibernate)"
            .to_owned(),
    }
}

/// Remedy for a journal that cannot be read.
const JOURNAL: &str = "give the connector's user a role with a read ACL on the table sys_journal_field (System Security, Access \
                       Control): without it no comment is ever seen";

/// Checks the connector's user, as far as ServiceNow shows it.
async fn user(client: &Client) -> Finding {
    let configured = client.settings().user.as_deref().map(str::trim);
    if let (Some(user), Ok(me)) = (configured, client.myself().await)
        && user.to_lowercase() != me.to_lowercase()
    {
        return Err(Trouble::failed(
            format!(
                "the credentials are those of {me}, and company.servicenow.user is {user:?}: the connector would not know its own \
                 comments"
            ),
            format!("give {me}"),
        ));
    }
    match (client.identify().await, client.myself().await) {
        (Ok(()), Ok(me)) => Ok(format!("signed in as {me}")),
        (Ok(()), Err(_)) => Ok(format!(
            "{} (which may not read its own record in sys_user)",
            configured.unwrap_or("signed in")
        )),
        (Err(error), _) => Err((&error).into()),
    }
}

async fn search(client: &Client) -> Finding {
    let flag = &client.settings().flag_field;
    let query = Query::default().equals(flag, "true").order_by_desc("sys_updated_on");
    let found = client.search_page(query).await.map_err(|error| Trouble::from(&error))?;
    if found.hidden > 0 {
        return Err(Trouble::failed(
            format!(
                "{} of the records with {flag} that were updated last are hidden from the connector's user by access rules, and polls \
                 fail as long as one of them is new",
                found.hidden
            ),
            "give it a role that reads them (System Security, Access Control), or take the flag off them",
        ));
    }
    match found.records.first() {
        Some(record) if !record.is(flag) => Err(Trouble::failed(
            format!(
                "ServiceNow left the condition {flag}=true out of the query, which it does with columns that it does not know"
            ),
            "create the column (true/false), or name another in company.servicenow.flag_field",
        )),
        Some(_) => Ok("there are some, and none of the newest is hidden".to_owned()),
        None => Ok("none yet".to_owned()),
    }
}

/// Checks that polls find updated records by a written time.
async fn times(client: &Client) -> Finding {
    match client.reads_times().await {
        Ok(Some(true)) => Ok("a record is found by its own time of update, in UTC".to_owned()),
        Ok(None) => Ok("there is no record yet to try it with".to_owned()),
        Ok(Some(false)) => Err(Trouble::failed(
            "the newest record is not found by its own time of update",
            "either ServiceNow reads times in searches in another zone than UTC (give the connector's user the time zone GMT), \
             or the user may not search by sys_updated_on (a query_range ACL on that column: System Security, Access Control)",
        )),
        Err(error) => Err((&error).into()),
    }
}

/// Checks that every code that means not solved is read as such, and that the given codes are values.
async fn closings(client: &Client) -> Finding {
    let settings = client.settings();
    let mut known = Vec::new();
    let codes = client.choices_of(&["close_code", "resolution_code"]).await.unwrap_or_default();
    if let Some(trouble) = joined(given_codes(settings, &codes)) {
        return Err(trouble);
    }
    for (column, choices) in &codes {
        for (code, label) in choices {
            let (read, said) = (settings.meaning(code), word(label));
            if let (None, Some(said), None, None) =
                (read, said, &settings.cancelled_codes, &settings.duplicate_codes)
            {
                let key = if said == crate::cases::Closing::Duplicate { "duplicate" } else { "cancelled" };
                return Err(Trouble::warning(
                    format!("the {column} {code:?} is called {label:?}, and counts as solved"),
                    format!(
                        "if it does not mean that, add {code:?} to company.servicenow.{key}_codes, else set that key to []"
                    ),
                ));
            }
            known.extend(read.map(|read| format!("{code:?} is {}", read.name())));
        }
    }
    Ok(if known.is_empty() {
        "every close code counts as solved, as far as they could be looked up".to_owned()
    } else {
        format!("{}; any other close code counts as solved", known.join(", "))
    })
}

/// Tells of the given codes that no column offers. Case does not count, as in [`ServiceNowSettings::meaning`].
fn given_codes(settings: &ServiceNowSettings, codes: &BTreeMap<String, Choices>) -> Vec<Trouble> {
    let columns: Vec<&str> = codes.keys().map(String::as_str).collect();
    let all: Choices = codes.values().flatten().map(|(code, label)| (code.clone(), label.clone())).collect();
    let is_offered = |given: &str| all.keys().any(|code| code.trim().to_lowercase() == given.to_lowercase());
    let mut troubles = Vec::new();
    for (key, given) in
        [("cancelled_codes", &settings.cancelled_codes), ("duplicate_codes", &settings.duplicate_codes)]
    {
        for code in given.iter().flatten().map(|code| code.trim()) {
            if !all.is_empty() && !is_offered(code) {
                troubles.extend(outside(&columns.join(" or "), code, &all, &entry(key)));
            }
        }
    }
    troubles
}

async fn journals(client: &Client, visibility: Visibility) -> Finding {
    let written = match visibility {
        Visibility::Public => COMMENTS,
        Visibility::Internal => WORK_NOTES,
    };
    match client.reads_journals().await {
        Ok(Some(true)) => Ok(format!(
            "sys_journal_field can be read; its column element says who sees an entry (comments: the caller; work_notes or anything \
             else: colleagues); that {written} may be written is seen with the first comment"
        )),
        Ok(None) => Ok(format!(
            "there is none yet: that sys_journal_field may be read and {written} be written is seen with the first"
        )),
        Ok(Some(false)) => {
            Err(Trouble::failed("there are some, and the connector's user may read none of them", JOURNAL))
        }
        Err(error) => Err(Trouble::of(&error, JOURNAL)),
    }
}

/// Note for results without the choices.
const NO_CHOICES: &str = "the user may not read sys_choice: not looked up";

/// Checks that a column offers a value.
async fn choice(client: &Client, column: &str, value: &str, key: &str) -> Finding {
    let key = format!("company.servicenow.{key}");
    match client.choices(column).await {
        Ok(choices) if !choices.is_empty() => match choices.get(value) {
            Some(label) => Ok(format!("{value:?} ({label})")),
            None => Err(no_choice(column, value, &choices, &key)),
        },
        Ok(_) | Err(_) if value.is_empty() => Err(Trouble::failed(
            format!("{key} is missing"),
            format!("give the value of {column} ({NO_CHOICES})"),
        )),
        // The lookup is neither needed nor usually allowed; it only reveals mistakes early.
        Ok(_) | Err(_) => Ok(format!("{value:?} ({NO_CHOICES})")),
    }
}

/// Checks the given states that count as closed. `None` if none is given and none needs to be.
async fn closed_states(client: &Client) -> Option<Finding> {
    let settings = client.settings();
    let is_missing = settings.closed_states().is_empty();
    let given: Vec<(&str, &str)> =
        [("closed_states", &settings.closed_states), ("cancelled_states", &settings.cancelled_states)]
            .into_iter()
            .flat_map(|(key, states)| states.iter().flatten().map(move |state| (key, state.trim())))
            .collect();
    if given.is_empty() && !is_missing {
        return None;
    }
    let choices = client.choices("state").await.unwrap_or_default();
    if is_missing {
        let hint =
            if choices.is_empty() { NO_CHOICES.to_owned() } else { format!("of {}", listed(&choices)) };
        return Some(Err(Trouble::failed(
            "company.servicenow.closed_states is missing",
            format!("list the values of the states that mean that a case is closed ({hint})"),
        )));
    }
    if choices.is_empty() {
        return Some(Ok(NO_CHOICES.to_owned()));
    }
    // The state that closes has a line of its own, and a mistake in one list is not told again for the other.
    let mut told = vec![settings.close_state()];
    let mut troubles = Vec::new();
    for (key, state) in &given {
        if !told.contains(state) {
            told.push(state);
            troubles.extend(outside("state", state, &choices, &entry(key)));
        }
    }
    let states: Vec<&str> = given.iter().map(|(_, state)| *state).collect();
    Some(joined(troubles).map_or_else(|| Ok(states.join(", ")), Err))
}

/// A check changes nothing, and no table tells what a business rule does.
const KEPT: &str = "that no business rule restores the old one is seen with the first change";

async fn words(client: &Client, priorities: &PriorityWords) -> Finding {
    let problems = client.settings().priority_problems(priorities);
    if !problems.is_empty() {
        return Err(problems.join(", ").into());
    }
    let mut all = client.choices_of(&["priority", "impact", "urgency"]).await.unwrap_or_default();
    let Some(choices) = all.remove("priority") else {
        return Ok(format!("numbers ({NO_CHOICES}); {KEPT}"));
    };
    let missing: Vec<String> = Priority::ALL
        .into_iter()
        .map(|priority| (priority, priorities.word(priority)))
        .filter(|(_, word)| !choices.contains_key(*word))
        .map(|(priority, word)| format!("priorities.{priority} = {word:?}"))
        .collect();
    let mut troubles = Vec::new();
    if !missing.is_empty() {
        let detail = format!("ServiceNow does not know {}", missing.join(", "));
        troubles.push(Trouble::warning(detail, format!("use {}", listed(&choices))));
    }
    for (priority, made_of) in client.settings().impact_and_urgency() {
        for (column, value) in [("impact", made_of.impact), ("urgency", made_of.urgency)] {
            let place = format!("{column} in company.servicenow.impact_and_urgency.{priority}");
            let choices = all.get(column);
            troubles.extend(choices.and_then(|choices| outside(column, &value.to_string(), choices, &place)));
        }
    }
    match joined(troubles) {
        Some(trouble) => Err(trouble),
        None => Ok(format!("every level has a value that ServiceNow knows; {KEPT}")),
    }
}

async fn files(client: &Client, clock: &SharedClock) -> Finding {
    let settings = client.settings();
    if let Err(error) = client.recent_files(clock.now()).await {
        return Err(Trouble::of(
            &error,
            format!(
                "the connector's user needs a role that reads sys_attachment and may add attachments to {}",
                settings.table
            ),
        ));
    }
    let tried = download(client).await?;
    let limit = settings.attachment_limit_mib;
    match client.largest_file_mib().await {
        Ok(Some(theirs)) if theirs < limit => Err(Trouble::warning(
            format!(
                "ServiceNow takes files of up to {theirs} MiB only (com.glide.attachment.max_size), and larger ones would be tried in \
                 vain"
            ),
            format!("set company.servicenow.attachment_limit_mib to {theirs}"),
        )),
        Ok(Some(_)) => Ok(format!("{tried}; up to {limit} MiB (company.servicenow.attachment_limit_mib)")),
        // The lookup is neither needed nor usually allowed; it only reveals a mistake early.
        Ok(None) | Err(_) => Ok(format!(
            "{tried}; up to {limit} MiB (company.servicenow.attachment_limit_mib; the user may not read sys_properties: not \
             compared)"
        )),
    }
}

/// Downloads one small file, if there is one (`R34`: other content in place of a file).
async fn download(client: &Client) -> Finding {
    let files = client.small_files().await.map_err(|error| Trouble::from(&error))?;
    let size =
        |file: &super::wire::Record| file.number("size_bytes").filter(|size| (1..=SMALL).contains(size));
    let mut problem = None;
    for (file, size) in files.iter().filter_map(|file| Some((file, size(file)?))).take(TRIES) {
        match whole(client, &file.attachment()).await {
            Ok(()) => return Ok(format!("a file of {size} bytes was downloaded whole")),
            Err(error) => problem = problem.or(Some(error)),
        }
    }
    match problem {
        None => Ok("no small file yet to download".to_owned()),
        Some(problem) => Err(Trouble::failed(
            format!("{problem}; files are listed and not handed out"),
            "check the connector's rights on sys_attachment, and that no proxy or sign-on stands before /api/now/attachment",
        )),
    }
}

/// Reads a file to its end. Fails if it is not the listed file.
async fn whole(client: &Client, file: &Attachment) -> Result<(), String> {
    let call = format!("GET attachment {}", file.id);
    let mut opened = client.content(file, call).await.map_err(|error| error.to_string())?;
    while let Some(piece) = opened.content.next().await {
        piece.map_err(|error| error.to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_compared_with_the_type_of_its_column() {
        let sys_id = "0123456789abcdef0123456789ABCDEF";
        for (kind, right, wrong) in [
            ("boolean", "true", "yes"),
            ("integer", "-3", "three"),
            ("decimal", "1.5", "1,5"),
            ("reference", sys_id, "Abel Tuter"),
            ("glide_date", "2026-01-31", "31.1.2026"),
            ("glide_date_time", "2026-01-31 09:00:00", "2026-01-31T09:00:00Z"),
        ] {
            assert_eq!(unfit(kind, right), None, "{kind}");
            assert!(unfit(kind, wrong).is_some_and(|problem| problem.contains(wrong)), "{kind}");
        }
        assert_eq!(unfit("string", "Abel Tuter"), None);
    }
}
