//! JSON in and out as the API speaks it, and errors as `google.rpc.Status`. In proto3 JSON, values that are false, empty or zero are
//! left out, names are accepted in `camelCase` and `snake_case`, and unknown names are refused.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::model::{Attachment, Author, Comment, Priority, Record, State, Version};
use super::{CLASSIFICATIONS, SandboxError};

/// Error codes that the sandbox answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    InvalidArgument,
    FailedPrecondition,
    PermissionDenied,
    NotFound,
    AlreadyExists,
    Unimplemented,
    Internal,
}

impl Code {
    /// Returns the HTTP status of a `google.rpc.Code`, as `google/rpc/code.proto` maps it.
    fn status(self) -> StatusCode {
        match self {
            Self::InvalidArgument | Self::FailedPrecondition => StatusCode::BAD_REQUEST,
            Self::PermissionDenied => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::AlreadyExists => StatusCode::CONFLICT,
            Self::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
        }
    }
}

/// Error answer.
#[derive(Debug, Clone)]
pub(super) struct ApiError {
    code: Code,
    message: String,
    /// Fields that are wrong, each with a description.
    violations: Vec<(String, String)>,
}

impl ApiError {
    pub(super) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), violations: Vec::new() }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    pub(super) fn not_found() -> Self {
        Self::new(Code::NotFound, "Requested entity was not found.")
    }

    pub(super) fn permission_denied() -> Self {
        Self::new(Code::PermissionDenied, "The caller does not have permission")
    }

    /// Returns the error for one or more wrong fields.
    pub(super) fn fields(violations: Vec<(String, String)>) -> Self {
        let descriptions: Vec<&str> =
            violations.iter().map(|(_, description)| description.as_str()).collect();
        Self { code: Code::InvalidArgument, message: descriptions.join("\n"), violations }
    }

    fn field(field: &str, description: String) -> Self {
        Self::fields(vec![(field.to_owned(), description)])
    }
}

impl From<SandboxError> for ApiError {
    fn from(error: SandboxError) -> Self {
        match error {
            SandboxError::UnknownCase(_) | SandboxError::UnknownAttachment(..) => Self::not_found(),
            SandboxError::UnknownParent(_) => Self::permission_denied(),
            SandboxError::NotKept(_) => Self::new(Code::Unimplemented, error.to_string()),
            SandboxError::OtherData { .. }
            | SandboxError::Files(_)
            | SandboxError::Database(_)
            | SandboxError::Document(_) => Self::new(Code::Internal, error.to_string()),
        }
    }
}

impl From<std::io::Error> for ApiError {
    fn from(error: std::io::Error) -> Self {
        SandboxError::from(error).into()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let mut error = Map::new();
        error.insert("code".into(), status.as_u16().into());
        error.insert("message".into(), self.message.into());
        error.insert("status".into(), self.code.as_str().into());
        if !self.violations.is_empty() {
            let violations: Vec<Value> = self
                .violations
                .into_iter()
                .map(|(field, description)| json!({"field": field, "description": description}))
                .collect();
            error.insert(
                "details".into(),
                json!([{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": violations}]),
            );
        }
        (status, [(header::CONTENT_TYPE, JSON)], json!({ "error": error }).to_string()).into_response()
    }
}

/// Content type of every JSON answer.
pub(super) const JSON: &str = "application/json; charset=UTF-8";

/// Returns an error body in Google's format, for an HTTP status that a fault answers with.
pub fn error_body(status: StatusCode, message: &str) -> String {
    let word = match status.as_u16() {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        412 => "FAILED_PRECONDITION",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        500 => "INTERNAL",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "UNKNOWN",
    };
    json!({"error": {"code": status.as_u16(), "message": message, "status": word}}).to_string()
}

/// JSON object of a request, read field by field.
#[derive(Debug)]
pub(super) struct Input {
    /// Path of the object in error messages, with proto field names: `case`, `case.classification`.
    at: String,
    /// Fields by `camelCase` name, without nulls, since proto3 JSON treats null as absent.
    fields: Map<String, Value>,
}

impl Input {
    /// Parses a body; an empty one is an object without fields.
    pub(super) fn parse(body: &[u8], at: &str, known: &[&str]) -> Result<Self, ApiError> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Self::of(Value::Object(Map::new()), at, known);
        }
        let value = serde_json::from_slice(body)
            .map_err(|error| ApiError::invalid(format!("Invalid JSON payload received. {error}")))?;
        Self::of(value, at, known)
    }

    fn of(value: Value, at: &str, known: &[&str]) -> Result<Self, ApiError> {
        let Value::Object(object) = value else {
            return Err(ApiError::field(
                at,
                format!("Invalid JSON payload received. '{at}' must be an object."),
            ));
        };
        let mut fields = Map::new();
        let mut violations = Vec::new();
        for (name, value) in object {
            let camel = camel_case(&name);
            if !known.contains(&camel.as_str()) {
                violations.push((
                    at.to_owned(),
                    format!(
                        "Invalid JSON payload received. Unknown name \"{name}\" at '{at}': Cannot find field."
                    ),
                ));
            } else if !value.is_null() {
                fields.insert(camel, value);
            }
        }
        if violations.is_empty() {
            Ok(Self { at: at.to_owned(), fields })
        } else {
            Err(ApiError::fields(violations))
        }
    }

    /// Returns a text field, or an empty text if it is absent.
    pub(super) fn string(&self, name: &str) -> Result<String, ApiError> {
        match self.fields.get(name) {
            None => Ok(String::new()),
            Some(Value::String(text)) => Ok(text.clone()),
            Some(other) => Err(self.wrong_type(name, "TYPE_STRING", other)),
        }
    }

    pub(super) fn boolean(&self, name: &str) -> Result<bool, ApiError> {
        match self.fields.get(name) {
            None => Ok(false),
            Some(Value::Bool(value)) => Ok(*value),
            Some(other) => Err(self.wrong_type(name, "TYPE_BOOL", other)),
        }
    }

    pub(super) fn strings(&self, name: &str) -> Result<Vec<String>, ApiError> {
        let wrong = |value: &Value| self.wrong_type(name, "TYPE_STRING", value);
        match self.fields.get(name) {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => values
                .iter()
                .map(|value| value.as_str().map(str::to_owned).ok_or_else(|| wrong(value)))
                .collect(),
            Some(other) => Err(wrong(other)),
        }
    }

    pub(super) fn object(&self, name: &str, known: &[&str]) -> Result<Option<Self>, ApiError> {
        let at = format!("{}.{}", self.at, snake_case(name));
        self.fields.get(name).map(|value| Self::of(value.clone(), &at, known)).transpose()
    }

    /// Returns an enum field, which may be sent as a word or as its number in the list; `None` for the first word, which means "not set".
    pub(super) fn word(
        &self,
        name: &str,
        kind: &str,
        words: &[&'static str],
    ) -> Result<Option<&'static str>, ApiError> {
        let Some(value) = self.fields.get(name) else { return Ok(None) };
        let position = match value {
            Value::String(text) => words.iter().position(|word| word == text),
            Value::Number(number) => number
                .as_u64()
                .and_then(|number| usize::try_from(number).ok())
                .filter(|number| *number < words.len()),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        match position {
            Some(0) => Ok(None),
            Some(position) => Ok(words.get(position).copied()),
            None => Err(self.wrong_type(
                name,
                &format!("type.googleapis.com/google.cloud.support.v2.{kind}"),
                value,
            )),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    fn wrong_type(&self, name: &str, kind: &str, value: &Value) -> ApiError {
        let field = format!("{}.{}", self.at, snake_case(name));
        let description = format!("Invalid value at '{field}' ({kind}), {value}");
        ApiError::field(&field, description)
    }
}

/// Converts `display_name` to `displayName`; a name that is in camel case already stays as it is.
pub(super) fn camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut raise = false;
    for character in name.chars() {
        if character == '_' {
            raise = true;
        } else {
            camel.push(if raise { character.to_ascii_uppercase() } else { character });
            raise = false;
        }
    }
    camel
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len());
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

/// Priorities in the order in which the API numbers them.
pub(super) const PRIORITIES: [&str; 6] = ["PRIORITY_UNSPECIFIED", "P0", "P1", "P2", "P3", "P4"];

/// Format of answers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Style {
    /// `$alt=json;enum-encoding=int`: enums as numbers.
    pub(super) enums_as_numbers: bool,
    /// Leaves out the title of escalated cases.
    pub(super) escalated_without_display_name: bool,
}

impl Style {
    fn word(self, word: &str, position: usize) -> Value {
        if self.enums_as_numbers { Value::from(position) } else { Value::from(word) }
    }

    fn priority(self, priority: Priority) -> Value {
        let position = Priority::ALL.iter().position(|known| *known == priority);
        self.word(priority.as_str(), position.map_or(0, |position| position + 1))
    }

    fn state(self, state: State) -> Value {
        let position = State::ALL.iter().position(|known| *known == state);
        self.word(state.as_str(), position.map_or(0, |position| position + 1))
    }
}

/// JSON object of an answer; empty values are left out.
#[derive(Debug, Default)]
pub(super) struct Output(Map<String, Value>);

impl Output {
    pub(super) fn set(mut self, name: &str, value: impl Into<Value>) -> Self {
        let value = value.into();
        let is_default = match &value {
            Value::Null | Value::Bool(false) => true,
            Value::String(text) => text.is_empty(),
            Value::Array(values) => values.is_empty(),
            Value::Object(fields) => fields.is_empty(),
            Value::Bool(true) | Value::Number(_) => false,
        };
        if !is_default {
            self.0.insert(name.to_owned(), value);
        }
        self
    }

    pub(super) fn done(self) -> Value {
        Value::Object(self.0)
    }
}

pub(super) fn case(record: &Record, version: &Version, name: &str, style: Style) -> Value {
    let hides_name = version.escalated && style.escalated_without_display_name;
    Output::default()
        .set("name", name)
        .set("displayName", if hides_name { "" } else { version.display_name.as_str() })
        .set("description", record.description.as_str())
        .set("classification", classification(&record.classification_id))
        .set("timeZone", record.time_zone.as_str())
        .set("subscriberEmailAddresses", version.subscribers.clone())
        .set("state", style.state(version.state))
        .set("createTime", time(record.created_at))
        .set("updateTime", time(version.updated_at))
        .set("creator", actor(&record.creator))
        .set("priority", version.priority.map_or(Value::Null, |priority| style.priority(priority)))
        .set("languageCode", record.language_code.as_str())
        .set("escalated", version.escalated)
        .set("testCase", record.test_case)
        .done()
}

pub(super) fn comment(comment: &Comment, case_name: &str) -> Value {
    Output::default()
        .set("name", format!("{case_name}/comments/{}", comment.id))
        .set("createTime", time(comment.created_at))
        .set("creator", actor(&comment.author))
        .set("body", comment.body.as_str())
        .set("plainTextBody", comment.body.as_str())
        .done()
}

pub(super) fn attachment(attachment: &Attachment, case_name: &str) -> Value {
    // Proto3 JSON writes a 64-bit number as a string and leaves zero out.
    let size = if attachment.size == 0 { String::new() } else { attachment.size.to_string() };
    Output::default()
        .set("name", format!("{case_name}/attachments/{}", attachment.id))
        .set("createTime", time(attachment.created_at))
        .set("creator", actor(&attachment.author))
        .set("filename", attachment.filename.as_str())
        .set("mimeType", attachment.mime_type.as_str())
        .set("sizeBytes", size)
        .done()
}

pub(super) fn classification(id: &str) -> Value {
    let name = CLASSIFICATIONS.iter().find(|(known, _)| *known == id).map_or("", |(_, name)| name);
    Output::default().set("id", id).set("displayName", name).done()
}

/// Returns an author as JSON. For people at Google the user name is not set, and name and address are masked (discovery document).
pub(super) fn actor(author: &Author) -> Value {
    let (username, is_google) = match author {
        Author::Customer { email, .. } | Author::ServiceAccount { email } => (email.as_str(), false),
        Author::GoogleSupport { .. } => ("", true),
    };
    Output::default()
        .set("displayName", author.display_name())
        .set("email", author.email())
        .set("username", username)
        .set("googleSupport", is_google)
        .done()
}

/// Formats a time in UTC, with as many digits of a second as needed: none, 3, 6 or 9.
pub(super) fn time(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_both_spellings() {
        for (given, camel, snake) in
            [("display_name", "displayName", "display_name"), ("displayName", "displayName", "display_name")]
        {
            assert_eq!((camel_case(given).as_str(), snake_case(camel).as_str()), (camel, snake));
        }
    }

    #[test]
    fn an_enum_is_read_as_word_or_number() {
        let read = |text: &str| {
            Input::parse(text.as_bytes(), "case", &["priority"])
                .and_then(|input| input.word("priority", "Case.Priority", &PRIORITIES))
                .map_err(|error| error.message)
        };
        assert_eq!(read(r#"{"priority":"P3"}"#), Ok(Some("P3")));
        assert_eq!(read(r#"{"priority":1}"#), Ok(Some("P0")));
        for unset in
            [r#"{"priority":0}"#, r#"{"priority":"PRIORITY_UNSPECIFIED"}"#, r#"{"priority":null}"#, "{}", ""]
        {
            assert_eq!(read(unset), Ok(None), "{unset}");
        }
        for wrong in [r#"{"priority":6}"#, r#"{"priority":-1}"#, r#"{"priority":"p3"}"#, r#"{"priority":{}}"#]
        {
            let error = read(wrong).unwrap_err();
            assert!(error.starts_with("Invalid value at 'case.priority'"), "{error}");
        }
    }

    #[test]
    fn times_have_as_many_digits_as_they_need() {
        for (nanos, text) in [
            (0, "2023-11-14T22:13:20Z"),
            (120_000_000, "2023-11-14T22:13:20.120Z"),
            (1_000, "2023-11-14T22:13:20.000001Z"),
        ] {
            assert_eq!(time(DateTime::from_timestamp(1_700_000_000, nanos).unwrap()), text);
        }
    }
}
