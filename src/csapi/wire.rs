//! CSAPI's JSON. Any field may be missing or odd (`R6`).
//!
//! Only the field that identifies an item is required. A field of the wrong type counts as missing. Proto3 JSON leaves out default values,
//! so
//! a missing `state` means a state that Google does not know, not a closed case.

use chrono::{DateTime, Utc};
use reqwest::Url;
use serde_json::{Map, Value, json};

use super::CsapiSettings;
use crate::cases::markers::company_case_of_description;
use crate::cases::{Attachment, Case, Closing, Comment, Filing, NewCase, Visibility};
use crate::clock::to_micros;
use crate::entities::{GoogleCaseName, GoogleState, Priority, PriorityReading};

/// Author name for Google's agents where CSAPI masks their names.
const GOOGLE_SUPPORT: &str = "Google Support";

/// Priority of a Google case whose company case has no known priority. CSAPI requires one (discovery document, revision 20260927,
/// `cases.create`). The third of five: neither an alarm nor out of sight.
const DEFAULT_PRIORITY: Priority = Priority::P2;

/// Title of a Google case whose company case has none. CSAPI requires one as well.
const NO_TITLE: &str = "(no title)";

/// Maximum length of a comment's or attachment's ID, in bytes. Google's have 15 to 18.
const MAX_ID: usize = 256;

/// Reason why a part of an answer was not understood. Holds names at most, never a text of the case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Odd(String);

impl Odd {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// A page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// Items of the page, not parsed yet.
    pub(super) items: Vec<Value>,
    /// Token of the next page. `None` only on the last page: pages before it may be short or empty.
    pub(super) next: Option<String>,
}

/// Reads a page whose items are in the field `key`.
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
        // Treating it as the last page would look like a complete list.
        Some(_) => return Err(Odd::new("'nextPageToken' of a page is not a text")),
    };
    Ok(Page { items, next })
}

/// Reads a case. Only its name is required.
pub(super) fn case(value: &Value) -> Result<Case, Odd> {
    let fields = object(value, "case")?;
    let name = text(fields, "name").ok_or_else(|| Odd::new("a case without a name"))?;
    let name = GoogleCaseName::parse(name).map_err(|error| Odd::new(error.to_string()))?;
    let description = text(fields, "description").unwrap_or_default().to_owned();
    let named = company_case_of_description(&description);
    let state = text(fields, "state").and_then(GoogleState::from_name);
    let closed = state == Some(GoogleState::Closed);
    Ok(Case {
        key: None,
        title: text(fields, "displayName").unwrap_or_default().to_owned(),
        counterpart: named.map(|company| company.id.to_owned()),
        counterpart_address: named.and_then(|company| company.address).map(str::to_owned),
        priority: priority(text(fields, "priority")),
        closed,
        // `CLOSED` is the only such state; it does not tell whether the case was solved, withdrawn or a duplicate.
        closing: closed.then_some(Closing::Closed),
        merged_into: None,
        created_at: time(fields, "createTime"),
        updated_at: time(fields, "updateTime"),
        // `creator` names an account, but nothing tells the connector which account is its own.
        by_connector: None,
        address: Some(name.address()),
        scope: Some(parent(&name).to_owned()),
        synchronize: true,
        filing: filing(fields),
        subscribers: subscribers(fields),
        id: name.into(),
        description,
        earlier_description: None,
        state,
        // Proto3 JSON leaves out `false`.
        escalated: fields.get("escalated").and_then(Value::as_bool) == Some(true),
        status: Vec::new(),
        state_text: None,
        raised: None,
    })
}

/// Returns what a case is filed as.
fn filing(fields: &Map<String, Value>) -> Filing {
    let classification = fields.get("classification").and_then(Value::as_object);
    let part = |name| classification.and_then(|fields| text(fields, name)).map(str::to_owned);
    Filing {
        classification_id: part("id"),
        classification: part("displayName"),
        test_case: fields.get("testCase").and_then(Value::as_bool) == Some(true),
    }
}

/// Returns the subscribers. A missing field is an empty list; one that is no list of texts is unknown, and must not be replaced.
fn subscribers(fields: &Map<String, Value>) -> Option<Vec<String>> {
    match fields.get("subscriberEmailAddresses") {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(Value::Array(all)) => all.iter().map(|one| one.as_str().map(str::to_owned)).collect(),
        Some(_) => None,
    }
}

/// Returns the organisation or project at the beginning of a case's name.
fn parent(name: &GoogleCaseName) -> &str {
    name.as_str().split_once("/cases/").map_or("", |(parent, _)| parent)
}

/// Parses a reference to a case as a person types it: its full name, its number, or its address in the console or in the API at `api`. A
/// bare number refers to a case of `parent`. The error lists the accepted forms.
pub(super) fn named(reference: &str, parent: &str, api: Option<&Url>) -> Result<GoogleCaseName, String> {
    let reference = reference.trim();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let numbered = |number: &str| GoogleCaseName::parse(&format!("{parent}/cases/{number}"));
    let understood = "a case is named by its full name (organizations/1/cases/51000001), its number, or the address of its page in \
                      Google Cloud's console";
    if is_number(reference) {
        return numbered(reference).map_err(|error| error.to_string());
    }
    if !reference.contains("://") {
        return GoogleCaseName::parse(reference).map_err(|error| format!("{error}; {understood}"));
    }
    let url = Url::parse(reference).map_err(|error| format!("this is no address ({error}); {understood}"))?;
    let host = url.host_str().unwrap_or_default();
    if host == GoogleCaseName::CONSOLE {
        let number = url.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        if url.path().starts_with("/support/cases/") && is_number(number) {
            return numbered(number).map_err(|error| error.to_string());
        }
    } else if let Some(api) = api
        && (url.scheme(), url.host_str(), url.port_or_known_default())
            == (api.scheme(), api.host_str(), api.port_or_known_default())
    {
        let path = url.path().strip_prefix(api.path().trim_end_matches('/')).unwrap_or_default();
        if let Some(name) = path.strip_prefix("/v2/") {
            return GoogleCaseName::parse(name).map_err(|error| format!("{error}; {understood}"));
        }
    } else {
        return Err(format!("{host} is not where Google's cases are; {understood}"));
    }
    Err(format!("this is the address of no case; {understood}"))
}

/// Reads a comment of a case.
pub(super) fn comment(value: &Value, case: &GoogleCaseName) -> Result<Comment, Odd> {
    let fields = object(value, "comment")?;
    let body = text(fields, "body").or_else(|| text(fields, "plainTextBody"));
    Ok(Comment {
        id: item_id(fields, case, "comments")?,
        other_id: None,
        author: author(fields, "creator"),
        created_at: time(fields, "createTime"),
        body: body.unwrap_or_default().to_owned(),
        earlier_body: None,
        edited_at: None,
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
        author: author(fields, "creator"),
        created_at: time(fields, "createTime"),
        visibility: Visibility::Public,
        by_connector: None,
        comment: None,
    })
}

/// Returns the ID and the display name of a classification.
pub(super) fn classification(value: &Value) -> Option<(&str, &str)> {
    let fields = value.as_object()?;
    Some((text(fields, "id")?, text(fields, "displayName").unwrap_or_default()))
}

/// Builds the body of `cases.create`. `contactEmail` is left out: it "must not be set" except with Workforce Identity (discovery document,
/// revision 20260927).
pub(super) fn new_case(case: &NewCase, classification_id: &str, settings: &CsapiSettings) -> Value {
    let mut body = json!({
        "displayName": if case.title.trim().is_empty() { NO_TITLE } else { &case.title },
        "description": case.description,
        "classification": { "id": classification_id },
        "priority": case.priority.unwrap_or(DEFAULT_PRIORITY).name(),
    });
    let own = &case.google;
    let time_zone = own.time_zone.as_ref().unwrap_or(&settings.time_zone);
    if !time_zone.is_empty() {
        body["timeZone"] = json!(time_zone);
    }
    let language_code = own.language_code.as_ref().unwrap_or(&settings.language_code);
    if !language_code.is_empty() {
        body["languageCode"] = json!(language_code);
    }
    let subscribers = own.subscribers.as_ref().unwrap_or(&settings.subscribers);
    if !subscribers.is_empty() {
        body["subscriberEmailAddresses"] = json!(subscribers);
    }
    if own.test_case.unwrap_or(settings.test_cases) {
        body["testCase"] = json!(true);
    }
    body
}

/// Reports if the last part of a comment's or attachment's name can be put into a URL unescaped without leaving its path segment. Colons
/// are not allowed: a colon starts the name of a method.
pub(super) fn is_item_id(id: &str) -> bool {
    (1..=MAX_ID).contains(&id.len())
        && !id.starts_with('.')
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~=+-".contains(&byte))
}

/// Returns the last part of a name `{case}/{collection}/{id}`. The case's parent is not compared: an organisation and a project may name
/// the same case (`R9`: one mapping per case).
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

/// Returns the author to show, from the field that holds the actor: the display name; the team for Google's agents whose names CSAPI masks;
/// the account's name if there is nothing better.
pub(super) fn author(fields: &Map<String, Value>, actor: &str) -> String {
    let Some(creator) = fields.get(actor).and_then(Value::as_object) else { return String::new() };
    let part = |name| text(creator, name).map(str::trim).filter(|text| !text.is_empty());
    let display_name = part("displayName");
    if creator.get("googleSupport").and_then(Value::as_bool) == Some(true) {
        // An agent's email is masked as well, so it identifies no person.
        return display_name.filter(|name| !is_masked(name)).unwrap_or(GOOGLE_SUPPORT).to_owned();
    }
    display_name.or_else(|| part("username")).or_else(|| part("email")).unwrap_or_default().to_owned()
}

/// Reports if a name is masked. The form of masking is not documented: a name with an asterisk, or without any letter or digit, counts as
/// masked.
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

pub(super) fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, Odd> {
    value.as_object().ok_or_else(|| Odd::new(format!("a {what} that is not a JSON object")))
}

/// Returns a text field if it is present and not empty.
pub(super) fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    fields.get(name)?.as_str().filter(|text| !text.is_empty())
}

pub(super) fn time(fields: &Map<String, Value>, name: &str) -> Option<DateTime<Utc>> {
    let time = DateTime::parse_from_rfc3339(text(fields, name)?).ok()?;
    Some(to_micros(time.with_timezone(&Utc)))
}

/// Reads `sizeBytes`, an int64, which proto3 JSON writes as a string of digits; a number is accepted as well.
fn size(fields: &Map<String, Value>) -> Option<u64> {
    match fields.get("sizeBytes")? {
        Value::String(digits) => digits.parse().ok(),
        Value::Number(number) => number.as_u64(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::Placement;
    use crate::entities::GooglePlacement;

    fn name() -> GoogleCaseName {
        GoogleCaseName::parse("organizations/1/cases/2").unwrap()
    }

    /// A case with a name and no other field.
    fn bare() -> Case {
        Case {
            id: "organizations/1/cases/2".to_owned(),
            key: None,
            title: String::new(),
            description: String::new(),
            earlier_description: None,
            priority: PriorityReading::Unset,
            closed: false,
            closing: None,
            merged_into: None,
            created_at: None,
            updated_at: None,
            counterpart: None,
            counterpart_address: None,
            by_connector: None,
            address: Some(
                "https://console.cloud.google.com/support/cases/detail/v2/2?organizationId=1".to_owned(),
            ),
            scope: Some("organizations/1".to_owned()),
            synchronize: true,
            subscribers: Some(Vec::new()),
            ..Case::default()
        }
    }

    fn at(time: &str) -> DateTime<Utc> {
        time.parse().unwrap()
    }

    #[test]
    fn a_whole_case_is_read() {
        let value = json!({
            "name": "projects/p/cases/51234456",
            "displayName": "Disk full",
            "description": "CONTENT MIRRORED FROM COMPANY CASE 10001:\nIt is full",
            "priority": "P1",
            "state": "CLOSED",
            "escalated": true,
            "createTime": "2026-03-01T12:00:00Z",
            "updateTime": "2026-03-01T14:00:00.123456789+01:00",
            "testCase": true,
            "classification": { "id": "100152", "displayName": "Technical Issue > Compute" },
            "tomorrow": { "there": "is more" },
        });
        let expected = Case {
            id: "projects/p/cases/51234456".to_owned(),
            title: "Disk full".to_owned(),
            description: "CONTENT MIRRORED FROM COMPANY CASE 10001:\nIt is full".to_owned(),
            priority: PriorityReading::exactly(Priority::P1),
            closed: true,
            closing: Some(Closing::Closed),
            address: Some(
                "https://console.cloud.google.com/support/cases/detail/v2/51234456?project=p".to_owned(),
            ),
            scope: Some("projects/p".to_owned()),
            created_at: Some(at("2026-03-01T12:00:00Z")),
            updated_at: Some(at("2026-03-01T13:00:00.123456Z")),
            counterpart: Some("10001".to_owned()),
            filing: Filing {
                classification_id: Some("100152".to_owned()),
                classification: Some("Technical Issue > Compute".to_owned()),
                test_case: true,
            },
            state: Some(GoogleState::Closed),
            escalated: true,
            ..bare()
        };
        assert_eq!(case(&value), Ok(expected));
    }

    #[test]
    fn every_field_of_a_case_but_its_name_may_be_missing_or_odd() {
        let fields = [
            "displayName",
            "description",
            "priority",
            "state",
            "createTime",
            "updateTime",
            "creator",
            "classification",
        ];
        assert_eq!(case(&json!({ "name": "organizations/1/cases/2" })), Ok(bare()));
        for field in fields {
            for odd in [json!(null), json!(""), json!(7), json!(true), json!([]), json!({})] {
                let value = json!({ "name": "organizations/1/cases/2", field: odd });
                assert_eq!(case(&value), Ok(bare()), "{value}");
            }
        }
        for time in ["yesterday", "2026-03-01", "2026-02-30T00:00:00Z", "1772366400"] {
            let value = json!({ "name": "organizations/1/cases/2", "createTime": time, "updateTime": time });
            assert_eq!(case(&value), Ok(bare()), "{value}");
        }
    }

    #[test]
    fn a_case_without_a_sound_name_is_not_understood() {
        for value in [
            json!(null),
            json!("organizations/1/cases/2"),
            json!([]),
            json!({}),
            json!({ "name": null }),
            json!({ "name": "" }),
            json!({ "name": 5 }),
            json!({ "name": "cases/2" }),
            json!({ "name": "organizations/1/cases/2/comments/3" }),
            json!({ "name": "organizations/1/cases/../../x" }),
            json!({ "displayName": "Confidential" }),
        ] {
            let odd = case(&value).unwrap_err().to_string();
            assert!(!odd.contains("Confidential"), "{odd}");
        }
    }

    #[test]
    fn states_and_priorities_are_read() {
        for (state, closed) in [
            ("CLOSED", true),
            ("NEW", false),
            ("IN_PROGRESS_GOOGLE_SUPPORT", false),
            ("ACTION_REQUIRED", false),
            ("SOLUTION_PROVIDED", false),
            ("STATE_UNSPECIFIED", false),
            ("closed", false),
            ("SOMETHING_NEW", false),
        ] {
            let value = json!({ "name": "organizations/1/cases/2", "state": state });
            assert_eq!(case(&value).unwrap().closed, closed, "{state}");
        }
        for level in Priority::ALL {
            assert_eq!(priority(Some(level.name())), PriorityReading::exactly(level));
        }
        assert_eq!(priority(Some("PRIORITY_UNSPECIFIED")), PriorityReading::Unset);
        assert_eq!(priority(Some("P5")), PriorityReading::Unknown("P5".to_owned()));
    }

    #[test]
    fn authors_are_named_as_well_as_they_may_be() {
        for (creator, expected) in [
            (json!(null), ""),
            (json!("Jane"), ""),
            (json!({}), ""),
            (json!({ "displayName": "Jane Roe", "username": "jroe", "email": "j@example.com" }), "Jane Roe"),
            (json!({ "displayName": "  ", "username": "jroe", "email": "j@example.com" }), "jroe"),
            (json!({ "username": "", "email": "j@example.com" }), "j@example.com"),
            (json!({ "displayName": 7, "googleSupport": false, "email": "j@example.com" }), "j@example.com"),
            (json!({ "displayName": "***" }), "***"),
            (json!({ "googleSupport": true }), "Google Support"),
            (json!({ "googleSupport": true, "email": "x***@google.com" }), "Google Support"),
            (json!({ "googleSupport": true, "displayName": "S*** R***" }), "Google Support"),
            (json!({ "googleSupport": true, "displayName": "…" }), "Google Support"),
            (json!({ "googleSupport": true, "displayName": "Sam (Google)" }), "Sam (Google)"),
        ] {
            let value = json!({ "name": "organizations/1/cases/2/comments/3", "creator": creator });
            assert_eq!(comment(&value, &name()).unwrap().author, expected, "{creator}");
        }
    }

    #[test]
    fn a_case_is_found_by_its_name_its_number_and_its_address() {
        let api = Url::parse("https://cloudsupport.googleapis.com/").unwrap();
        for (reference, expected) in [
            ("organizations/1/cases/2", Some("organizations/1/cases/2")),
            (" projects/p/cases/2\n", Some("projects/p/cases/2")),
            ("51000001", Some("organizations/9/cases/51000001")),
            (
                "https://console.cloud.google.com/support/cases/detail/v2/51000001?organizationId=9",
                Some("organizations/9/cases/51000001"),
            ),
            (
                "https://console.cloud.google.com/support/cases/detail/51000001/?project=p#x",
                Some("organizations/9/cases/51000001"),
            ),
            ("https://cloudsupport.googleapis.com/v2/projects/p/cases/2", Some("projects/p/cases/2")),
            ("https://console.cloud.google.com/support/cases?project=p", None),
            ("https://console.cloud.google.com/support/cases/detail/v2/x1", None),
            ("https://console.cloud.google.com.evil.example/support/cases/detail/v2/2", None),
            ("https://desk.example/browse/SUP-1", None),
            ("https://cloudsupport.googleapis.com/v2/projects/p/cases/2:close", None),
            ("https://", None),
            ("SUP-1", None),
            ("", None),
        ] {
            let found = named(reference, "organizations/9", Some(&api));
            assert_eq!(found.as_ref().ok().map(GoogleCaseName::as_str), expected, "{reference}: {found:?}");
            if let Err(message) = found {
                assert!(message.contains("a case is named by"), "{message}");
            }
        }
        let message = named("https://desk.example/browse/SUP-1", "organizations/9", None).unwrap_err();
        assert!(message.starts_with("desk.example is not where Google's cases are"), "{message}");
    }

    #[test]
    fn comments_and_attachments_are_known_by_the_last_part_of_their_name() {
        for (collection, id, expected) in [
            ("organizations/1/cases/2/comments", "3", Some("3")),
            ("projects/p/cases/2/comments", "0684M00000Pw6pHQAR", Some("0684M00000Pw6pHQAR")),
            ("organizations/1/cases/2/comments", "a=b+c~d", Some("a=b+c~d")),
            ("organizations/1/cases/9/comments", "3", None),
            ("organizations/1/cases/2/attachments", "3", None),
            ("organizations/1/cases/2/comments", "", None),
            ("organizations/1/cases/2/comments", "..", None),
            ("organizations/1/cases/2/comments", "3/4", None),
            ("organizations/1/cases/2/comments", "3?alt=media", None),
            ("organizations/1/cases/2/comments", "3:delete", None),
            ("organizations/1/cases/2/comments", "3%2F4", None),
            ("organizations/1/cases/2/comments", "3#4", None),
            ("organizations/1/cases/2/comments", "3 4", None),
            ("organizations/1/cases/2/comments", "3\r\n4", None),
            ("comments", "3", None),
            ("https://example.com/organizations/1/cases/2/comments", "3", None),
        ] {
            let value = json!({ "name": format!("{collection}/{id}") });
            let found = comment(&value, &name()).map(|comment| comment.id);
            assert_eq!(found.as_deref().ok(), expected, "{collection}/{id}: {found:?}");
        }
        let long = json!({ "name": format!("organizations/1/cases/2/comments/{}", "3".repeat(300)) });
        assert!(comment(&long, &name()).unwrap_err().to_string().len() < 400);
        for value in [json!(null), json!({}), json!({ "name": 1 }), json!([1])] {
            assert!(comment(&value, &name()).is_err() && attachment(&value, &name()).is_err(), "{value}");
        }
    }

    #[test]
    fn subscribers_that_are_not_understood_are_unknown_and_not_none() {
        for (given, expected) in [
            (json!(null), Some(vec![])),
            (json!([]), Some(vec![])),
            (json!(["a@example.com"]), Some(vec!["a@example.com".to_owned()])),
            (json!(["a@example.com", 7]), None),
            (json!("a@example.com"), None),
        ] {
            let value = json!({ "name": "organizations/1/cases/2", "subscriberEmailAddresses": given });
            assert_eq!(case(&value).unwrap().subscribers, expected, "{given}");
        }
    }

    #[test]
    fn a_comments_text_is_its_body() {
        for (fields, expected) in [
            (json!({ "body": "new", "plainTextBody": "old" }), "new"),
            (json!({ "plainTextBody": "old" }), "old"),
            (json!({ "body": "", "plainTextBody": "old" }), "old"),
            (json!({ "body": null }), ""),
            (json!({}), ""),
        ] {
            let mut value = fields.clone();
            value["name"] = json!("organizations/1/cases/2/comments/3");
            assert_eq!(comment(&value, &name()).unwrap().body, expected, "{fields}");
        }
    }

    #[test]
    fn an_attachment_may_be_nothing_but_a_name() {
        let name_of = "organizations/1/cases/2/attachments/3";
        let bare = Attachment {
            id: "3".to_owned(),
            filename: String::new(),
            media_type: None,
            size: None,
            author: String::new(),
            created_at: None,
            visibility: Visibility::Public,
            by_connector: None,
            comment: None,
        };
        assert_eq!(attachment(&json!({ "name": name_of }), &name()), Ok(bare.clone()));
        for (size, expected) in [
            (json!("7340032"), Some(7_340_032)),
            (json!(5), Some(5)),
            (json!("0"), Some(0)),
            (json!("-1"), None),
            (json!(-1), None),
            (json!(1.5), None),
            (json!("many"), None),
            (json!([]), None),
        ] {
            let value = json!({ "name": name_of, "sizeBytes": size });
            assert_eq!(attachment(&value, &name()).unwrap().size, expected, "{size}");
        }
        for field in ["filename", "mimeType", "sizeBytes", "createTime", "creator"] {
            for odd in [json!(null), json!({}), json!(true)] {
                let value = json!({ "name": name_of, field: odd });
                assert_eq!(attachment(&value, &name()), Ok(bare.clone()), "{value}");
            }
        }
    }

    #[test]
    fn pages_end_where_the_token_does() {
        for (answer, items, next) in [
            (json!({}), 0, None),
            (json!({ "cases": [] }), 0, None),
            (json!({ "cases": null, "nextPageToken": null }), 0, None),
            (json!({ "cases": [1, 2], "nextPageToken": "" }), 2, None),
            (json!({ "nextPageToken": "t" }), 0, Some("t")),
            (json!({ "cases": [{}], "nextPageToken": "t" }), 1, Some("t")),
        ] {
            let page = page(answer.clone(), "cases").unwrap();
            assert_eq!((page.items.len(), page.next.as_deref()), (items, next), "{answer}");
        }
        for answer in
            [json!(null), json!([]), json!("x"), json!({ "cases": {} }), json!({ "nextPageToken": 5 })]
        {
            assert!(page(answer.clone(), "cases").is_err(), "{answer}");
        }
    }

    #[test]
    fn a_new_case_says_what_is_configured_and_never_a_contact_email() {
        let new = NewCase {
            title: "Disk full".to_owned(),
            description: "It is full".to_owned(),
            priority: Some(Priority::P1),
            counterpart: "10001".to_owned(),
            idempotency_key: "key".to_owned(),
            placement: Placement::default(),
            google: GooglePlacement::default(),
        };
        let least = CsapiSettings { parent: "organizations/1".to_owned(), ..CsapiSettings::default() };
        let most = CsapiSettings {
            time_zone: "+00:00".to_owned(),
            language_code: "en".to_owned(),
            subscribers: vec!["oncall@example.com".to_owned()],
            test_cases: true,
            ..least.clone()
        };
        assert_eq!(
            new_case(&new, "class", &least),
            json!({
                "displayName": "Disk full",
                "description": "It is full",
                "classification": { "id": "class" },
                "priority": "P1",
            })
        );
        assert_eq!(
            new_case(&NewCase { priority: None, title: " ".to_owned(), ..new.clone() }, "class", &most),
            json!({
                "displayName": "(no title)",
                "description": "It is full",
                "classification": { "id": "class" },
                "priority": "P2",
                "timeZone": "+00:00",
                "languageCode": "en",
                "subscriberEmailAddresses": ["oncall@example.com"],
                "testCase": true,
            })
        );
        // What a route decides takes the place of all of it.
        let google = GooglePlacement {
            language_code: Some("de".to_owned()),
            time_zone: Some("Europe/Berlin".to_owned()),
            test_case: Some(false),
            subscribers: Some(Vec::new()),
            ..GooglePlacement::default()
        };
        assert_eq!(
            new_case(&NewCase { google, ..new }, "class", &most),
            json!({
                "displayName": "Disk full",
                "description": "It is full",
                "classification": { "id": "class" },
                "priority": "P1",
                "timeZone": "Europe/Berlin",
                "languageCode": "de",
            })
        );
    }
}
