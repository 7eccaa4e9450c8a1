//! JSON of Datastore's API: keys, entities, filters and answers (REST reference of Datastore, v1).

use std::collections::HashMap;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ApiFailure, Code, Property, SEARCHED};

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Key {
    pub(super) partition_id: Partition,
    pub(super) path: Vec<PathElement>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Partition {
    pub(super) project_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) database_id: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct PathElement {
    pub(super) kind: String,
    #[serde(flatten)]
    pub(super) name: Identity,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Identity {
    /// Number as text: JSON numbers would lose the last digits.
    Id(String),
    Name(String),
}

#[derive(Debug, Deserialize)]
pub(super) struct Entity {
    pub(super) key: Key,
    #[serde(default)]
    pub(super) properties: HashMap<String, serde_json::Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Found {
    pub(super) entity: Entity,
}

#[derive(Debug, Deserialize)]
pub(super) struct LookupAnswer {
    #[serde(default)]
    pub(super) found: Vec<Found>,
    #[serde(default)]
    pub(super) missing: Vec<serde::de::IgnoredAny>,
    #[serde(default)]
    pub(super) deferred: Vec<Key>,
}

#[derive(Debug, Deserialize)]
pub(super) struct BeginAnswer {
    pub(super) transaction: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct QueryAnswer {
    pub(super) batch: Batch,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Batch {
    #[serde(default)]
    pub(super) entity_results: Vec<Found>,
    #[serde(default)]
    pub(super) more_results: String,
    pub(super) end_cursor: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AllocateAnswer {
    #[serde(default)]
    pub(super) keys: Vec<Key>,
}

pub(super) fn all_of(mut filters: Vec<serde_json::Value>) -> Option<serde_json::Value> {
    if filters.len() < 2 {
        return filters.pop();
    }
    Some(json!({ "compositeFilter": { "op": "AND", "filters": filters } }))
}

pub(super) fn compare(name: &str, operator: &str, value: &Property) -> serde_json::Value {
    json!({ "propertyFilter": { "property": { "name": name }, "op": operator, "value": to_value(value) } })
}

pub(super) fn to_value(property: &Property) -> serde_json::Value {
    match property {
        Property::Null => json!({ "nullValue": null }),
        Property::Boolean(value) => json!({ "booleanValue": value }),
        Property::Integer(value) => json!({ "integerValue": value.to_string() }),
        Property::Time(value) => {
            json!({ "timestampValue": value.to_rfc3339_opts(SecondsFormat::Micros, true) })
        }
        Property::Text(value) => json!({ "stringValue": value }),
    }
}

pub(super) fn entity<'a>(
    key: &Key,
    properties: impl IntoIterator<Item = (&'a str, Property)>,
) -> serde_json::Value {
    let properties: serde_json::Map<_, _> = properties
        .into_iter()
        .map(|(name, property)| {
            let mut value = to_value(&property);
            if !SEARCHED.contains(&name) {
                value["excludeFromIndexes"] = json!(true);
            }
            (name.to_owned(), value)
        })
        .collect();
    json!({ "key": key, "properties": properties })
}

/// Reads a property of an entity. A missing one counts as null, since a person may have removed it.
pub(super) fn property(entity: &Entity, name: &str) -> Result<Property, String> {
    let Some(value) = entity.properties.get(name) else { return Ok(Property::Null) };
    if let Some(value) = value.get("stringValue").and_then(serde_json::Value::as_str) {
        Ok(Property::Text(value.to_owned()))
    } else if let Some(value) = value.get("booleanValue").and_then(serde_json::Value::as_bool) {
        Ok(Property::Boolean(value))
    } else if let Some(value) = value.get("integerValue") {
        value
            .as_str()
            .and_then(|value| value.parse().ok())
            .or_else(|| value.as_i64())
            .map(Property::Integer)
            .ok_or_else(|| "not an integer".to_owned())
    } else if let Some(value) = value.get("timestampValue").and_then(serde_json::Value::as_str) {
        DateTime::parse_from_rfc3339(value)
            .map(|time| Property::Time(time.to_utc()))
            .map_err(|error| error.to_string())
    } else if value.get("nullValue").is_some() {
        Ok(Property::Null)
    } else {
        Err("a value of a type that is never stored here".to_owned())
    }
}

/// Interprets an answer that is no success. Google's own errors have a name and details; a proxy in front of its services may answer in
/// another form.
pub(super) fn to_failure(status: reqwest::StatusCode, body: &[u8]) -> ApiFailure {
    #[derive(Deserialize)]
    struct Answer {
        error: ErrorBody,
    }
    #[derive(Deserialize)]
    struct ErrorBody {
        #[serde(default)]
        status: String,
        #[serde(default)]
        message: String,
        #[serde(default)]
        details: Vec<serde_json::Value>,
    }
    let Ok(Answer { error }) = serde_json::from_slice::<Answer>(body) else {
        let code = match status.as_u16() {
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::NotFound,
            429 => Code::ResourceExhausted,
            500.. => Code::Unavailable,
            _ => Code::Other,
        };
        return ApiFailure { code, reason: String::new(), message: format!("HTTP {status}") };
    };
    let expired = error.message.contains("transaction")
        && ["expired", "no longer valid", "closed", "invalid"]
            .iter()
            .any(|sign| error.message.contains(sign));
    let code = match Code::from_name(&error.status) {
        // An expired transaction is treated like contention: start again.
        Code::InvalidArgument | Code::FailedPrecondition | Code::NotFound if expired => Code::Aborted,
        code => code,
    };
    let reason = error.details.iter().find_map(|detail| detail.get("reason")?.as_str()).unwrap_or_default();
    ApiFailure { code, reason: reason.to_owned(), message: error.message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read_with_their_reason() {
        let google = r#"{"error": {"code": 403, "message": "Cloud Datastore API is off", "status": "PERMISSION_DENIED",
            "details": [{"@type": "type.googleapis.com/google.rpc.Help", "links": []},
                        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"}]}}"#;
        let expired = r#"{"error": {"code": 400, "status": "INVALID_ARGUMENT",
            "message": "The referenced transaction has expired or is no longer valid."}}"#;
        for (status, body, code, reason, message) in [
            (403, google, Code::PermissionDenied, "SERVICE_DISABLED", "Cloud Datastore API is off"),
            (
                400,
                expired,
                Code::Aborted,
                "",
                "The referenced transaction has expired or is no longer valid.",
            ),
            (409, r#"{"error": {"status": "ABORTED", "message": "m"}}"#, Code::Aborted, "", "m"),
            (409, r#"{"error": {"status": "ALREADY_EXISTS"}}"#, Code::AlreadyExists, "", ""),
            (401, "<html>", Code::Unauthenticated, "", "HTTP 401 Unauthorized"),
            (502, "<html>", Code::Unavailable, "", "HTTP 502 Bad Gateway"),
            (418, "", Code::Other, "", "HTTP 418 I'm a teapot"),
        ] {
            let failure = to_failure(reqwest::StatusCode::from_u16(status).unwrap(), body.as_bytes());
            assert_eq!(
                (failure.code, failure.reason.as_str(), failure.message.as_str()),
                (code, reason, message)
            );
        }
    }

    #[test]
    fn keys_are_written_as_the_api_takes_them() {
        let key = |database_id: Option<&str>, name| Key {
            partition_id: Partition {
                project_id: "p".to_owned(),
                database_id: database_id.map(str::to_owned),
            },
            path: vec![PathElement { kind: "K".to_owned(), name }],
        };
        for (key, expected) in [
            (
                key(None, Identity::Id("7".to_owned())),
                json!({"partitionId": {"projectId": "p"}, "path": [{"kind": "K", "id": "7"}]}),
            ),
            (
                key(Some("d"), Identity::Name("n".to_owned())),
                json!({"partitionId": {"projectId": "p", "databaseId": "d"}, "path": [{"kind": "K", "name": "n"}]}),
            ),
        ] {
            assert_eq!(serde_json::to_value(&key).unwrap(), expected);
            assert_eq!(serde_json::from_value::<Key>(expected).unwrap(), key);
        }
    }
}
