//! `casebridge check` for ServiceNow: tries everything that the service needs, without changing anything. Each failure ends with advice on
//! how to fix it, and where.

use super::client::{self, COMMENTS, Client, Column, Listing, WORK_NOTES};
use super::query::Query;
use super::settings::{self, ServiceNowSettings, meant, word};
use super::{NAME, PriorityWords};
use crate::cases::{Attachment, Check, Finding, Needs, Placement, Report, Trouble, Visibility};
use crate::clock::SharedClock;
use crate::crm::CrmKind as _;
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
    report.add("times in searches", times(client).await);
    report.add("comments", journals(client, needs.visibility).await);
    report.add("lengths of texts", lengths(client).await);
    if needs.creation {
        let fields = settings.new_fields.iter().map(|(column, value)| (column.as_str(), value.as_str()));
        report.add("columns of new cases", written(client, &fields.collect(), "new_fields").await);
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
    report.add("how cases are closed", closings(client).await);
    report.add(
        "state that opens again",
        choice(client, "state", settings.reopen_state(), "reopen_state").await,
    );
    let fields = settings.close_fields();
    report.add("columns of closing", written(client, &fields, "close_fields").await);
    for (column, value) in fields.into_iter().filter(|(column, _)| column.ends_with("_code")) {
        let key = format!("close_fields.{column}");
        report.add(column, choice(client, column, value, &key).await);
    }
}

/// Number of groups that a message lists.
const LISTED: usize = 20;

/// Looks up the values that a route sets: groups and people, if their tables can be read, then the columns.
pub(super) async fn placement(client: &Client, placement: &Placement) -> Finding {
    let mut notes = Vec::new();
    for (what, table, wanted) in
        [("group", "sys_user_group", &placement.group), ("person", "sys_user", &placement.assignee)]
    {
        let Some(wanted) = wanted else { continue };
        match client.names_in(table).await {
            Ok(known) if known.contains_key(wanted) => {}
            // The user sees only some of them, or the page was full.
            Ok(known) if known.is_empty() || known.len() >= client::NAMES_READ => {
                notes
                    .push(format!("{table} cannot be read, or not to its end: the {what} was not looked up"));
            }
            Ok(known) => {
                let shown: Vec<String> =
                    known.iter().take(LISTED).map(|(id, name)| format!("{id} ({name})")).collect();
                return Err(Trouble::failed(
                    format!("there is no {what} {wanted} that the connector's user may read"),
                    format!("give one of these in the route's set: {}", shown.join(", ")),
                ));
            }
            Err(error) if matches!(error.status, Some(400 | 401 | 403 | 404)) => {
                notes.push(format!("{table} cannot be read: the {what} was not looked up"));
            }
            Err(error) => return Err((&error).into()),
        }
    }
    let columns = settings::placed(placement);
    let columns = columns.iter().map(|(column, value)| (column.as_str(), value.as_str())).collect();
    let found = written_by(client, &columns, "the route's set").await?;
    notes.insert(0, found);
    Ok(notes.join("; "))
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

/// Checks that additionally written columns exist, since ServiceNow silently ignores others, and that the values fit their types.
async fn written(client: &Client, fields: &BTreeMap<&str, &str>, key: &str) -> Finding {
    // Those that are no names are told in the line about the columns.
    let misnamed = client.settings().misnamed();
    let fields: BTreeMap<&str, &str> = fields
        .iter()
        .map(|(name, value)| (*name, *value))
        .filter(|(name, _)| misnamed.iter().all(|(_, known, _)| known != name))
        .collect();
    written_by(client, &fields, &format!("company.servicenow.{key}")).await
}

/// Does the same for columns that `place` of the configuration names.
async fn written_by(client: &Client, fields: &BTreeMap<&str, &str>, place: &str) -> Finding {
    if fields.is_empty() {
        return Ok("none".to_owned());
    }
    let columns: Vec<&str> = fields.keys().copied().collect();
    let known = match client.absent_columns(&columns).await.map_err(|error| Trouble::from(&error))? {
        Some(absent) if !absent.is_empty() => {
            let labels = client.labels().await.unwrap_or_default();
            let meant: Vec<String> = absent
                .iter()
                .filter_map(|name| Some(format!(" ({:?} in place of {name:?})", meant(name, &labels)?)))
                .collect();
            return Err(Trouble::warning(
                format!(
                    "the table {} has no {} that the connector's user may read: what is written there would be left out without a word",
                    client.settings().table,
                    absent.join(" and ")
                ),
                format!("correct {place}{}, or give the user a role that reads it", meant.concat()),
            ));
        }
        known => known,
    };
    // The lookup is neither needed nor usually allowed; it only reveals mistakes early.
    let dictionary = client.dictionary(&columns).await.unwrap_or_default();
    let unfit: Vec<String> = fields
        .iter()
        .filter_map(|(column, value)| {
            Some(format!("{column} {}", unfit(&dictionary.get(*column)?.kind, value)?))
        })
        .collect();
    if !unfit.is_empty() {
        return Err(Trouble::warning(
            format!("{}: ServiceNow leaves such a value out without a word", unfit.join("; ")),
            format!("correct {place}"),
        ));
    }
    Ok(match (known, dictionary.is_empty()) {
        (None, _) => format!("{}: there is no record yet to see them on: not tried", columns.join(", ")),
        (Some(_), false) => columns.join(", "),
        (Some(_), true) => format!("{} (types of the values: {NO_DICTIONARY})", columns.join(", ")),
    })
}

/// Returns the mistake in a value for a column of that type.
fn unfit(kind: &str, value: &str) -> Option<String> {
    let value = value.trim();
    let is_sys_id = value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    let (fits, wanted) = match kind {
        "boolean" => (matches!(value, "true" | "false" | "1" | "0"), "true or false"),
        "integer" | "longint" => (value.parse::<i64>().is_ok(), "a whole number"),
        "decimal" | "float" | "currency" | "price" => (value.parse::<f64>().is_ok(), "a number"),
        "reference" => (is_sys_id, "the sys_id of a record (32 hexadecimal digits)"),
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

/// Returns the remedies for failed calls.
pub(super) fn remedies(settings: &ServiceNowSettings) -> Remedies {
    let table = &settings.table;
    let files = format!(
        "the connector's user needs a role that reads sys_attachment and may add attachments to {table}"
    );
    Remedies {
        sign_in: format!(
            "the credentials are missing, expired or wrong: check {}, and that the user is active and not locked out",
            settings.credential_keys()
        ),
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

/// Checks that every code that means not solved is read as such.
async fn closings(client: &Client) -> Finding {
    let settings = client.settings();
    let mut known = Vec::new();
    for column in ["close_code", "resolution_code"] {
        for (code, label) in client.choices(column).await.unwrap_or_default() {
            let (read, said) = (settings.meaning(&code), word(&label));
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

/// Checks that a column offers a value.
async fn choice(client: &Client, column: &str, value: &str, key: &str) -> Finding {
    let choices = match client.choices(column).await {
        Ok(choices) if !choices.is_empty() => choices,
        // The lookup is neither needed nor usually allowed; it only reveals mistakes early.
        Ok(_) | Err(_) => return Ok(format!("{value:?} (the user may not read sys_choice: not looked up)")),
    };
    if let Some(label) = choices.get(value) {
        return Ok(format!("{value:?} ({label})"));
    }
    let known: Vec<String> = choices.iter().map(|(value, label)| format!("{value:?} ({label})")).collect();
    Err(Trouble::failed(
        format!("{column} has no choice {value:?}"),
        format!("set company.servicenow.{key} to one of {}", known.join(", ")),
    ))
}

/// A check changes nothing, and no table tells what a business rule does.
const KEPT: &str = "that no business rule restores the old one is seen with the first change";

async fn words(client: &Client, priorities: &PriorityWords) -> Finding {
    let problems = client.settings().priority_problems(priorities);
    if !problems.is_empty() {
        return Err(problems.join(", ").into());
    }
    let choices = match client.choices("priority").await {
        Ok(choices) if !choices.is_empty() => choices,
        Ok(_) | Err(_) => {
            return Ok(format!("numbers (the user may not read sys_choice: not looked up); {KEPT}"));
        }
    };
    let missing: Vec<String> = Priority::ALL
        .into_iter()
        .map(|priority| (priority, priorities.word(priority)))
        .filter(|(_, word)| !choices.contains_key(*word))
        .map(|(priority, word)| format!("priorities.{priority} = {word:?}"))
        .collect();
    if missing.is_empty() {
        return Ok(format!("every level has a value that ServiceNow knows; {KEPT}"));
    }
    let known: Vec<String> = choices.iter().map(|(value, label)| format!("{value} ({label})")).collect();
    Err(Trouble::warning(
        format!("ServiceNow does not know {}", missing.join(", ")),
        format!("use {}", known.join(", ")),
    ))
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
