//! `casebridge check`: everything that the service needs of ServiceNow, tried without changing anything. Each failure ends with
//! what to do about it, and where.

use super::client::Client;
use super::query::Query;
use super::{NAME, PriorityWords};
use crate::cases::{ApiError, ApiErrorKind, Check};
use crate::entities::Priority;
use chrono::Duration;

/// What a check found: what holds, or what is wrong and what to do.
type Finding = Result<String, String>;

pub(super) async fn all(client: &Client, priorities: &PriorityWords) -> Vec<Check> {
    let mut report = Vec::new();
    let mut add = |what: &str, result: Finding| {
        report.push(Check { what: format!("{NAME}: {what}"), result });
    };
    let settings = client.settings();
    let some = match client.search_some(Query::default()).await {
        Ok(some) => some,
        Err(error) => {
            add("credentials", Err(credentials(&error)));
            return report;
        }
    };
    add("credentials", Ok(format!("the table {} can be read", settings.table)));
    add("user", user(client).await);
    match some.records.first() {
        Some(record) => {
            let columns = client.has_columns(record).map_err(|error| error.message);
            add(
                "columns",
                columns.map(|()| format!("{} and {}", settings.flag_field, settings.google_name_field)),
            );
        }
        None if some.is_withheld() => add(
            "columns",
            Err(format!(
                "the table {} has records, and the connector's user may read none of them: give it a role that does (itil \
                 for incidents, sn_customerservice_agent for cases)",
                settings.table
            )),
        ),
        None => add(
            "columns",
            Ok(format!(
                "the table {} is empty: whether it has them is seen with the first record",
                settings.table
            )),
        ),
    }
    add("search for flagged cases", search(client).await);
    add("comments", journals(client).await);
    add("state that closes", choice(client, "state", settings.close_state(), "close_state").await);
    add("state that opens again", choice(client, "state", settings.reopen_state(), "reopen_state").await);
    for (column, value) in settings.close_fields() {
        if column.ends_with("_code") {
            let key = format!("close_fields.{column}");
            add(column, choice(client, column, value, &key).await);
        }
    }
    add("priorities", words(client, priorities).await);
    add("attachments", files(client).await);
    report
}

fn credentials(error: &ApiError) -> String {
    match error.kind {
        ApiErrorKind::Unauthorized if error.status == Some(403) => format!(
            "{error}; give the connector's user a role that reads the table (itil for incidents, sn_customerservice_agent for \
             cases), and check the REST API's access policies (System Web Services, API Access Policies)"
        ),
        ApiErrorKind::Unauthorized => format!(
            "{error}; check company.servicenow.user and company.servicenow.password (or oauth_token, or api_key), and that the \
             user is active and not locked out"
        ),
        ApiErrorKind::NotFound => {
            format!("{error}; check company.base_url: https://INSTANCE.service-now.com, without a path")
        }
        ApiErrorKind::Refused => error.to_string(),
        ApiErrorKind::Unacceptable
        | ApiErrorKind::Unsupported
        | ApiErrorKind::NotApplied
        | ApiErrorKind::Uncertain
        | ApiErrorKind::Unreadable => format!(
            "{error}; check company.base_url and the network, and whether the instance is awake (developer instances hibernate), \
             then try again"
        ),
    }
}

/// Who we are, as far as ServiceNow tells.
async fn user(client: &Client) -> Finding {
    let configured = client.settings().user.as_deref().map(str::trim);
    match (configured, client.myself().await) {
        (Some(user), Ok(me)) if user.to_lowercase() != me.to_lowercase() => Err(format!(
            "the credentials are those of {me}, and company.servicenow.user is {user:?}: the connector would not know its own \
             comments; give {me}"
        )),
        (_, Ok(me)) => Ok(format!("signed in as {me}")),
        (Some(user), Err(_)) => Ok(format!("{user} (which may not read its own record in sys_user)")),
        (None, Err(error)) => Err(error.to_string()),
    }
}

async fn search(client: &Client) -> Finding {
    let flag = &client.settings().flag_field;
    let query = Query::default().equals(flag, "true").within("sys_updated_on", Duration::days(30));
    match client.search_some(query).await {
        Ok(found) => match found.records.first() {
            Some(record) if !record.is(flag) => Err(format!(
                "ServiceNow left the condition {flag}=true out of the query, which it does with columns that it does not know: \
                 create the column (true/false), or name another in company.servicenow.flag_field"
            )),
            Some(_) => Ok("there are some".to_owned()),
            None => Ok("none yet".to_owned()),
        },
        Err(error) => Err(error.to_string()),
    }
}

async fn journals(client: &Client) -> Finding {
    const ADVICE: &str = "give the connector's user a role with a read ACL on the table sys_journal_field (System Security, Access \
                          Control): without it no comment is ever seen";
    match client.reads_journals().await {
        Ok(Some(true)) => Ok("sys_journal_field can be read".to_owned()),
        Ok(None) => Ok("there is none yet: whether the user may read them is seen with the first".to_owned()),
        Ok(Some(false)) => {
            Err(format!("there are some, and the connector's user may read none of them: {ADVICE}"))
        }
        Err(error) => Err(format!("{error}; {ADVICE}")),
    }
}

/// Whether a column offers a value.
async fn choice(client: &Client, column: &str, value: &str, key: &str) -> Finding {
    let choices = match client.choices(column).await {
        Ok(choices) if !choices.is_empty() => choices,
        // Neither needed nor usual: it only makes mistakes known early.
        Ok(_) | Err(_) => return Ok(format!("{value:?} (the user may not read sys_choice: not looked up)")),
    };
    if let Some(label) = choices.get(value) {
        return Ok(format!("{value:?} ({label})"));
    }
    let known: Vec<String> = choices.iter().map(|(value, label)| format!("{value:?} ({label})")).collect();
    Err(format!(
        "{column} has no choice {value:?}: set company.servicenow.{key} to one of {}",
        known.join(", ")
    ))
}

async fn words(client: &Client, priorities: &PriorityWords) -> Finding {
    let problems = client.settings().priority_problems(priorities);
    if !problems.is_empty() {
        return Err(problems.join("; "));
    }
    let choices = match client.choices("priority").await {
        Ok(choices) if !choices.is_empty() => choices,
        Ok(_) | Err(_) => {
            return Ok("numbers (the user may not read sys_choice: not looked up)".to_owned());
        }
    };
    let missing: Vec<String> = Priority::ALL
        .into_iter()
        .map(|priority| (priority, priorities.word(priority)))
        .filter(|(_, word)| !choices.contains_key(*word))
        .map(|(priority, word)| format!("priorities.{priority} = {word:?}"))
        .collect();
    if missing.is_empty() {
        return Ok("every level has a value that ServiceNow knows".to_owned());
    }
    let known: Vec<String> = choices.iter().map(|(value, label)| format!("{value} ({label})")).collect();
    Err(format!("ServiceNow does not know {}: use {}", missing.join(", "), known.join(", ")))
}

async fn files(client: &Client) -> Finding {
    match client.recent_files(Duration::minutes(1)).await {
        Ok(_) => {
            let limit = client.settings().attachment_limit_mib;
            Ok(format!("up to {limit} MiB (company.servicenow.attachment_limit_mib)"))
        }
        Err(error) => Err(format!(
            "{error}; the connector's user needs a role that reads sys_attachment and may add attachments to {}",
            client.settings().table
        )),
    }
}
