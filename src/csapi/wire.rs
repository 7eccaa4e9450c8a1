//! CSAPI's JSON, read with the expectation that any field may be missing or odd (`R6`).
//!
//! Only what identifies a thing has to be there. A field of the wrong type counts as missing. Proto3 JSON leaves out what
//! has its default value, so a missing `state` is one that Google does not know, not a closed case.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::CsapiSettings;
use crate::cases::markers::company_case_of_description;
use crate::cases::{Attachment, Case, Comment, NewCase, Visibility};
use crate::clock::to_micros;
use crate::entities::{GoogleCaseName, Priority, PriorityReading};

/// What Google's agents are called when CSAPI masks their names.
const GOOGLE_SUPPORT: &str = "Google Support";

/// The priority of a case whose company case has none that is known: CSAPI demands one (discovery document, revision
/// 20260927, `cases.create`). The third of five: neither an alarm nor out of sight.
const DEFAULT_PRIORITY: Priority = Priority::P2;

/// The longest ID of a comment or an attachment that is believed, in bytes; Google's have 15 to 18.
const MAX_ID: usize = 256;

/// Why something in an answer was not understood. Holds names at most, never a text of the case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Odd(String);

impl Odd {
    fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// A page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// What it holds, each not yet understood.
    pub(super) items: Vec<Value>,
    /// How to get the next page; `None` on the last one, and only there: pages may be short or empty.
    pub(super) next: Option<String>,
}

/// Reads a page whose items stand under `key`.
pub(super) fn page(answer: Value, key: &str) -> Result<Page, Odd> {
    let Value::Object(mut answer) = answer else { return Err(Odd::new("a page is not a JSON object")) };
    let items = match answer.remove(key) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(Odd::new(format!("'{key}' of a page is not a list"))),
    };
    let next = match answer.remove("nextPageToken") {
        None | Some(Value::Null) => None,
        Some(Value::String(token)) => Some(token).filter(|token| !token.is_empty()),
        // To stop here would pass for having seen everything.
        Some(_) => return Err(Odd::new("'nextPageToken' of a page is not a text")),
    };
    Ok(Page { items, next })
}

/// Reads a case. Only its name has to be there.
pub(super) fn case(value: &Value) -> Result<Case, Odd> {
    let fields = object(value, "case")?;
    let name = text(fields, "name").ok_or_else(|| Odd::new("a case without a name"))?;
    let name = GoogleCaseName::parse(name).map_err(|error| Odd::new(error.to_string()))?;
    let description = text(fields, "description").unwrap_or_default().to_owned();
    Ok(Case {
        id: name.into(),
        key: None,
        title: text(fields, "displayName").unwrap_or_default().to_owned(),
        counterpart: company_case_of_description(&description).map(str::to_owned),
        description,
        priority: priority(text(fields, "priority")),
        closed: text(fields, "state") == Some("CLOSED"),
        created_at: time(fields, "createTime"),
        updated_at: time(fields, "updateTime"),
        synchronize: true,
    })
}

/// Reads a comment of a case.
pub(super) fn comment(value: &Value, case: &GoogleCaseName) -> Result<Comment, Odd> {
    let fields = object(value, "comment")?;
    let body = text(fields, "body").or_else(|| text(fields, "plainTextBody"));
    Ok(Comment {
        id: item_id(fields, case, "comments")?,
        author: author(fields),
        created_at: time(fields, "createTime"),
        body: body.unwrap_or_default().to_owned(),
        visibility: Visibility::Public,
        by_connector: None,
    })
}

/// Reads an attachment of a case.
pub(super) fn attachment(value: &Value, case: &GoogleCaseName) -> Result<Attachment, Odd> {
    let fields = object(value, "attachment")?;
    Ok(Attachment {
        id: item_id(fields, case, "attachments")?,
        filename: text(fields, "filename").unwrap_or_default().to_owned(),
        media_type: text(fields, "mimeType").map(str::to_owned),
        size: size(fields),
        author: author(fields),
        created_at: time(fields, "createTime"),
        visibility: Visibility::Public,
        by_connector: None,
    })
}

/// The ID of a classification and what it is called.
pub(super) fn classification(value: &Value) -> Option<(&str, &str)> {
    let fields = value.as_object()?;
    Some((text(fields, "id")?, text(fields, "displayName").unwrap_or_default()))
}

/// The body of `cases.create`. `contactEmail` is left out: it "must not be set" but with Workforce Identity (discovery
/// document, revision 20260927).
pub(super) fn new_case(case: &NewCase, classification_id: &str, settings: &CsapiSettings) -> Value {
    let mut body = json!({
        "displayName": case.title,
        "description": case.description,
        "classification": { "id": classification_id },
        "priority": case.priority.unwrap_or(DEFAULT_PRIORITY).name(),
    });
    if !settings.time_zone.is_empty() {
        body["timeZone"] = json!(settings.time_zone);
    }
    if !settings.language_code.is_empty() {
        body["languageCode"] = json!(settings.language_code);
    }
    if !settings.subscribers.is_empty() {
        body["subscriberEmailAddresses"] = json!(settings.subscribers);
    }
    if settings.test_cases {
        body["testCase"] = json!(true);
    }
    body
}

/// Whether the last part of a comment's or an attachment's name can stand in a URL as it is, and stays within its path
/// segment there. No colon: what follows one is the name of a method.
pub(super) fn is_item_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len())
        && !id.starts_with('.')
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~=+-".contains(&byte))
}

/// The last part of a name `{case}/{collection}/{id}`. The case's parent is not looked at: an organisation and a project may
/// name the same case (`R9`).
fn item_id(fields: &Map<String, Value>, case: &GoogleCaseName, collection: &str) -> Result<String, Odd> {
    let name =
        text(fields, "name").ok_or_else(|| Odd::new(format!("one of the {collection} has no name")))?;
    let parts: Vec<&str> = name.split('/').collect();
    match parts.as_slice() {
        [_, _, "cases", number, found, id]
            if *number == case.number() && *found == collection && is_item_id(id) =>
        {
            Ok((*id).to_owned())
        }
        _ => {
            let name: String = name.chars().take(200).collect();
            Err(Odd::new(format!("{name:?} does not name one of the {collection} of {case}")))
        }
    }
}

/// Whom to name as the author: the display name; for Google's agents, whose names CSAPI masks, the team; an account's
/// name only where there is nothing better.
fn author(fields: &Map<String, Value>) -> String {
    let Some(creator) = fields.get("creator").and_then(Value::as_object) else { return String::new() };
    let part = |name| text(creator, name).map(str::trim).filter(|text| !text.is_empty());
    let display_name = part("displayName");
    if creator.get("googleSupport").and_then(Value::as_bool) == Some(true) {
        // An agent's email is masked as well, so it names nobody.
        return display_name.filter(|name| !is_masked(name)).unwrap_or(GOOGLE_SUPPORT).to_owned();
    }
    display_name.or_else(|| part("username")).or_else(|| part("email")).unwrap_or_default().to_owned()
}

/// How names are masked is not documented. Asterisks, and whatever has neither letter nor digit, tell nobody anything.
fn is_masked(name: &str) -> bool {
    name.contains('*') || !name.chars().any(char::is_alphanumeric)
}

fn priority(word: Option<&str>) -> PriorityReading {
    match word {
        None | Some("PRIORITY_UNSPECIFIED") => PriorityReading::Unset,
        Some(word) => Priority::from_name(word).map_or_else(
            || PriorityReading::Unknown(word.chars().take(64).collect()),
            PriorityReading::exactly,
        ),
    }
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, Odd> {
    value.as_object().ok_or_else(|| Odd::new(format!("a {what} that is not a JSON object")))
}

/// A text that is there and not empty.
fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name)?.as_str().filter(|text| !text.is_empty())
}

fn time(fields: &Map<String, Value>, name: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text(fields, name)?).ok()?;
    Some(to_micros(time.with_timezone(&Utc)))
}

/// `sizeBytes` is an int64, which proto3 JSON writes as a text of digits; a number is understood as well.
fn size(fields: &Map<String, Value>) -> Option<u64> {
    match fields.get("sizeBytes")? {
        Value::String(digits) => digits.parse().ok(),
        Value::Number(number) => number.as_u64(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}
