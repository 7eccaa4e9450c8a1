//! Routing of requests to the API's methods, and the methods themselves.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Json, Request, State as AxumState};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use chrono::{DateTime, Utc};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::model::{Attachment, Parent, Priority, Record, State, Version};
use super::query::{Dialect, Query, Subject, classification_filter};
use super::upload::{self, Intake};
use super::wire::{self, ApiError, Code, Input, Output, PRIORITIES, Style};
use super::{
    CLASSIFICATIONS, ClassificationState, Data, Moves, Order, SandboxCsapi, SandboxError, Switches, events,
    paging,
};
use crate::page::content_disposition;

/// Maximum length of a comment in code points (CSAPI discovery document, revision 20260927).
const LONGEST_COMMENT: usize = 12_800;

/// Maximum size of a JSON body, in bytes.
const LARGEST_BODY: usize = 4 << 20;

/// Routes of the API.
pub(super) fn routes(sandbox: SandboxCsapi) -> Router {
    Router::new()
        .route("/v2/{*path}", any(api))
        .route("/v2beta/{*path}", any(api))
        .route("/upload/v2/{*path}", any(api))
        .with_state(sandbox)
}

/// Routes of the switches, under `/sandbox/`.
pub(super) fn steering(sandbox: SandboxCsapi) -> Router {
    Router::new().route("/sandbox/switches", get(get_switches).put(put_switches)).with_state(sandbox)
}

async fn get_switches(AxumState(sandbox): AxumState<SandboxCsapi>) -> Json<Switches> {
    Json(sandbox.switches())
}

async fn put_switches(
    AxumState(sandbox): AxumState<SandboxCsapi>,
    switches: Result<Json<Switches>, JsonRejection>,
) -> Response {
    match switches {
        Ok(Json(new)) => {
            sandbox.adjust(|switches| *switches = new);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(rejection) => {
            (StatusCode::BAD_REQUEST, Json(json!({"error": rejection.body_text()}))).into_response()
        }
    }
}

async fn api(AxumState(sandbox): AxumState<SandboxCsapi>, request: Request) -> Response {
    answer(&sandbox, request).await.unwrap_or_else(IntoResponse::into_response)
}

/// Name of a case in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CaseName {
    parent: Parent,
    number: String,
}

/// Resource or method that a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    Classifications,
    Cases(Parent),
    Search(Parent),
    Case(CaseName),
    Close(CaseName),
    Escalate(CaseName),
    Comments(CaseName),
    Comment(CaseName, String),
    Attachments(CaseName),
    Attachment(CaseName, String),
    Download(CaseName, String),
    Feed(CaseName),
    Subscriptions(events::Target),
}

impl Target {
    /// Parses the part of a path after `/v2/`; `None` if the API has no such path.
    fn parse(path: &str) -> Option<Self> {
        let segments: Vec<String> = path
            .split('/')
            .map(|segment| percent_decode_str(segment).decode_utf8().ok().map(String::from))
            .collect::<Option<_>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let case = |kind: &str, id: &str, number: &str| {
            Some(CaseName { parent: Parent::of(kind, id)?, number: number.to_owned() })
        };
        match *segments.as_slice() {
            ["caseClassifications:search"] => Some(Self::Classifications),
            [kind, id, "cases"] => Parent::of(kind, id).map(Self::Cases),
            [kind, id, "cases:search"] => Parent::of(kind, id).map(Self::Search),
            [kind, id, "cases", number] => match number.split_once(':') {
                None => case(kind, id, number).map(Self::Case),
                Some((number, "close")) => case(kind, id, number).map(Self::Close),
                Some((number, "escalate")) => case(kind, id, number).map(Self::Escalate),
                Some(_) => None,
            },
            [kind, id, "cases", number, "comments"] => case(kind, id, number).map(Self::Comments),
            [kind, id, "cases", number, "comments", comment] => {
                Some(Self::Comment(case(kind, id, number)?, comment.to_owned()))
            }
            [kind, id, "cases", number, "attachments"] => case(kind, id, number).map(Self::Attachments),
            [kind, id, "cases", number, "attachments", attachment] => {
                let case = case(kind, id, number)?;
                match attachment.split_once(':') {
                    None => Some(Self::Attachment(case, attachment.to_owned())),
                    Some((attachment, "download")) => Some(Self::Download(case, attachment.to_owned())),
                    Some(_) => None,
                }
            }
            _ => events::Target::parse(&segments).map(Self::Subscriptions),
        }
    }

    /// Parses the part of a path after `/v2beta/`: the feed of a case is all that the sandbox has of that version.
    fn parse_beta(path: &str) -> Option<Self> {
        let decoded = percent_decode_str(path).decode_utf8().ok()?;
        let Some(Self::Case(case)) = Self::parse(decoded.strip_suffix(":showFeed")?) else { return None };
        Some(Self::Feed(case))
    }
}

/// Query parameters of a request: those of the method, by `camelCase` name, and the system parameter `alt`.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    own: BTreeMap<String, String>,
    alt: String,
}

impl Parameters {
    /// Parses a query string. `known` lists the method's parameters; the system parameters of all Google APIs are accepted as well.
    fn read(query: &str, known: &[&str]) -> Result<Self, ApiError> {
        const SYSTEM: [&str; 10] = [
            "$.xgafv",
            "access_token",
            "callback",
            "fields",
            "key",
            "oauth_token",
            "prettyPrint",
            "quotaUser",
            "uploadType",
            "upload_protocol",
        ];
        let mut parameters = Self::default();
        let mut violations = Vec::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let camel = wire::camel_case(&name);
            if known.contains(&camel.as_str()) {
                parameters.own.insert(camel, value.into_owned());
            } else if matches!(name.as_ref(), "alt" | "$alt") {
                parameters.alt = value.into_owned();
            } else if !SYSTEM.contains(&name.trim_start_matches('$')) && !SYSTEM.contains(&name.as_ref()) {
                let description = format!(
                    "Invalid JSON payload received. Unknown name \"{name}\": Cannot bind query parameter. \
                     Field '{name}' could not be found in request message."
                );
                violations.push((String::new(), description));
            }
        }
        if violations.is_empty() { Ok(parameters) } else { Err(ApiError::fields(violations)) }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.own.get(name).map(String::as_str)
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.get(name).unwrap_or_default()
    }
}

async fn answer(sandbox: &SandboxCsapi, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    if let Some(path) = path.strip_prefix("/upload/v2/") {
        return match Target::parse(path) {
            Some(Target::Attachments(case)) if parts.method == Method::POST => {
                upload(sandbox, &case, &parts, body).await
            }
            Some(_) | None => Err(no_such_method()),
        };
    }
    let target = match path.strip_prefix("/v2beta/") {
        Some(path) => Target::parse_beta(path),
        None => path.strip_prefix("/v2/").and_then(Target::parse),
    };
    let target = target.ok_or_else(no_such_method)?;
    let call = Call::read(&parts, body).await?;
    let known = known_parameters(&call.method, &target).ok_or_else(no_such_method)?;
    let parameters = Parameters::read(&call.query, known)?;
    if let Target::Download(case, id) = &target {
        return if parameters.alt == "media" {
            download(sandbox, case, id, &parts.headers).await
        } else {
            Err(ApiError::invalid("A download needs ?alt=media."))
        };
    }
    let value = execute(sandbox, &call, target, &parameters)?;
    in_format(&parameters.alt, &value)
}

fn no_such_method() -> ApiError {
    ApiError::new(Code::NotFound, "Method not found.")
}

/// Call of a method, as it is meant: a POST may stand for a GET.
struct Call {
    method: Method,
    query: String,
    body: bytes::Bytes,
}

impl Call {
    async fn read(parts: &Parts, body: Body) -> Result<Self, ApiError> {
        let method = parts.method.clone();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let body = axum::body::to_bytes(body, LARGEST_BODY).await.map_err(|_| {
            ApiError::invalid(format!("Request payload size exceeds the limit: {LARGEST_BODY} bytes."))
        })?;
        // Google's clients send a query that is too long for a URL as the body of a POST.
        let Some(overridden) = parts.headers.get("x-http-method-override") else {
            return Ok(Self { method, query, body });
        };
        let method = Method::from_bytes(overridden.as_bytes())
            .map_err(|_| ApiError::invalid("X-HTTP-Method-Override is not a method."))?;
        if method == Method::GET {
            let query = String::from_utf8_lossy(&body).into_owned();
            return Ok(Self { method, query, body: bytes::Bytes::new() });
        }
        Ok(Self { method, query, body })
    }
}

/// Returns the query parameters of a method, besides those that all have; `None` if there is no such method.
fn known_parameters(method: &Method, target: &Target) -> Option<&'static [&'static str]> {
    if let Target::Subscriptions(target) = target {
        return target.parameters(method);
    }
    Some(match (method, target) {
        (&Method::GET, Target::Classifications | Target::Search(_)) => &["query", "pageSize", "pageToken"],
        (&Method::GET, Target::Cases(_)) => &["filter", "pageSize", "pageToken"],
        (&Method::GET, Target::Comments(_) | Target::Attachments(_)) => &["pageSize", "pageToken"],
        (&Method::GET, Target::Feed(_)) => &["orderBy", "pageSize", "pageToken"],
        (&Method::PATCH, Target::Case(_)) => &["updateMask"],
        (
            &Method::POST,
            Target::Cases(_)
            | Target::Close(_)
            | Target::Escalate(_)
            | Target::Comments(_)
            | Target::Attachments(_),
        )
        | (
            &Method::GET,
            Target::Case(_) | Target::Comment(..) | Target::Attachment(..) | Target::Download(..),
        ) => &[],
        _ => return None,
    })
}

/// Executes a method that answers with a JSON object.
fn execute(
    sandbox: &SandboxCsapi,
    call: &Call,
    target: Target,
    parameters: &Parameters,
) -> Result<Value, ApiError> {
    let (body, alt) = (&call.body, parameters.alt.as_str());
    match (&call.method, target) {
        (&Method::GET, Target::Classifications) => sandbox.search_classifications(parameters),
        (&Method::GET, Target::Search(parent)) => sandbox.list_cases(&parent, parameters, Dialect::Search),
        (&Method::GET, Target::Cases(parent)) => sandbox.list_cases(&parent, parameters, Dialect::List),
        (&Method::POST, Target::Cases(parent)) => sandbox.create(&parent, body, alt),
        (&Method::GET, Target::Case(case)) => sandbox.show(&case, alt),
        (&Method::PATCH, Target::Case(case)) => {
            sandbox.patch(&case, parameters.text("updateMask"), body)?;
            sandbox.show(&case, alt)
        }
        (&Method::POST, Target::Close(case)) => {
            Input::parse(body, "close_case_request", &[])?;
            sandbox.close_by_api(&case)?;
            sandbox.show(&case, alt)
        }
        (&Method::POST, Target::Escalate(case)) => {
            sandbox.escalate(&case, body)?;
            sandbox.show(&case, alt)
        }
        (&Method::GET, Target::Comments(case)) => sandbox.list_comments(&case, parameters),
        (&Method::POST, Target::Comments(case)) => sandbox.create_comment(&case, body),
        (&Method::GET, Target::Comment(case, id)) => sandbox.with_case(&case, |record, name, _| {
            let comment = record.comments.iter().find(|comment| comment.id == id);
            comment.map(|comment| wire::comment(comment, name)).ok_or_else(ApiError::not_found)
        })?,
        (&Method::GET, Target::Attachments(case)) => sandbox.list_attachments(&case, parameters),
        (&Method::POST, Target::Attachments(_)) => {
            Err(ApiError::invalid("An attachment needs its file: upload it to /upload/v2/."))
        }
        (&Method::GET, Target::Attachment(case, id)) => {
            let (attachment, name) = sandbox.attachment(&case, &id)?;
            Ok(wire::attachment(&attachment, &name))
        }
        (&Method::GET, Target::Feed(case)) => sandbox.show_feed(&case, parameters),
        (method, Target::Subscriptions(target)) => {
            sandbox.on_subscriptions(method, &target, parameters, body)
        }
        _ => Err(no_such_method()),
    }
}

/// Answers in the format that was asked for: JSON is the only one.
fn in_format(alt: &str, value: &Value) -> Result<Response, ApiError> {
    match alt.split(';').next() {
        None | Some("" | "json") => {
            Ok(([(header::CONTENT_TYPE, wire::JSON)], value.to_string()).into_response())
        }
        Some(other) => Err(ApiError::invalid(format!("Unsupported output format: alt={other}"))),
    }
}

impl SandboxCsapi {
    fn search_classifications(&self, parameters: &Parameters) -> Result<Value, ApiError> {
        let query = parameters.text("query");
        let matches = classification_filter(query)
            .map_err(|complaint| ApiError::invalid(format!("Invalid query: {complaint}")))?;
        let data = self.lock();
        let found: Vec<&str> = CLASSIFICATIONS
            .iter()
            .filter(|(id, name)| data.classification(id) == ClassificationState::Listed && matches(name))
            .map(|(id, _)| *id)
            .collect();
        let listing = format!("classifications {query}");
        listed(&listing, "caseClassifications", &found, parameters, &data.switches, |id| {
            wire::classification(id)
        })
    }

    fn list_cases(
        &self,
        parent: &Parent,
        parameters: &Parameters,
        dialect: Dialect,
    ) -> Result<Value, ApiError> {
        let (text, what) = match dialect {
            Dialect::Search => (parameters.text("query"), "query"),
            Dialect::List => (parameters.text("filter"), "filter"),
        };
        let query = Query::parse(text, dialect)
            .map_err(|complaint| ApiError::invalid(format!("Invalid {what}: {complaint}")))?;
        let lag = match dialect {
            Dialect::Search => self.faults().search_lag(),
            Dialect::List => chrono::Duration::zero(),
        };
        let horizon = if lag.is_zero() { DateTime::<Utc>::MAX_UTC } else { self.0.clock.now() - lag };
        let foreign = self.switches().foreign_projects;
        let is_under = |record: &Record| match (parent, dialect) {
            (Parent::Organization(_), Dialect::Search) => {
                !foreign.iter().any(|id| matches!(&record.parent, Parent::Project(project) if project == id))
            }
            (Parent::Organization(_), Dialect::List) | (Parent::Project(_), _) => record.parent == *parent,
        };

        let data = self.lock();
        self.check_parent(&data, parent)?;
        let mut found: Vec<(&Record, &Version)> = data
            .cases
            .values()
            .filter(|record| {
                is_under(record) && !data.switches.no_support_plan && data.switches.shows(record)
            })
            .filter_map(|record| record.version_at(horizon).map(|version| (record, version)))
            .filter(|(record, version)| query.matches(&Subject { record, version, horizon }))
            .collect();
        order(&mut found, data.switches.case_order, |(record, version)| {
            (version.updated_at, record.number.to_string())
        });
        let style = data.switches.style(&parameters.alt);
        let listing = format!("{what} {parent} {text}");
        listed(&listing, "cases", &found, parameters, &data.switches, |(record, version)| {
            let name = data.switches.name(record, parent);
            data.switches.disguised(wire::case(record, version, &name, style))
        })
    }

    fn create(&self, parent: &Parent, body: &[u8], alt: &str) -> Result<Value, ApiError> {
        const FIELDS: [&str; 15] = [
            "name",
            "displayName",
            "description",
            "classification",
            "timeZone",
            "subscriberEmailAddresses",
            "state",
            "createTime",
            "updateTime",
            "creator",
            "contactEmail",
            "escalated",
            "testCase",
            "languageCode",
            "priority",
        ];
        let input = Input::parse(body, "case", &FIELDS)?;
        let classification = input.object("classification", &["id", "displayName"])?;
        let classification_id =
            classification.map(|classification| classification.string("id")).transpose()?.unwrap_or_default();
        let display_name = input.string("displayName")?;
        let description = input.string("description")?;
        let priority = input.word("priority", "Case.Priority", &PRIORITIES)?.and_then(Priority::parse);
        let subscribers = input.strings("subscriberEmailAddresses")?;
        let (time_zone, language_code) = (input.string("timeZone")?, input.string("languageCode")?);
        let test_case = input.boolean("testCase")?;

        let missing: Vec<(String, String)> = [
            ("case.display_name", display_name.is_empty()),
            ("case.description", description.is_empty()),
            ("case.classification.id", classification_id.is_empty()),
            ("case.priority", priority.is_none()),
        ]
        .into_iter()
        .filter(|(_, is_missing)| *is_missing)
        .map(|(field, _)| (field.to_owned(), format!("{field} is required.")))
        .collect();
        if !missing.is_empty() {
            return Err(ApiError::fields(missing));
        }
        if !input.string("contactEmail")?.is_empty() {
            return Err(ApiError::invalid(
                "contact_email must not be set unless the caller uses Workforce Identity Federation.",
            ));
        }
        {
            let data = self.lock();
            self.check_parent(&data, parent)?;
            let known = CLASSIFICATIONS.iter().any(|(id, _)| *id == classification_id);
            if !known || data.classification(&classification_id) == ClassificationState::Expired {
                return Err(ApiError::invalid(format!(
                    "Invalid classification ID: {classification_id}. Use caseClassifications.search to find one."
                )));
            }
        }
        let record = self.insert(|number, now| {
            let mut record = Record::new(
                number,
                parent.clone(),
                now,
                Self::service_account(),
                display_name,
                description,
                priority,
                classification_id,
            );
            record.time_zone = time_zone;
            record.language_code = language_code;
            record.test_case = test_case;
            record.current.subscribers = subscribers;
            record
        })?;
        let switches = self.switches();
        Ok(switches.disguised(wire::case(&record, &record.current, &record.name(), switches.style(alt))))
    }

    fn show(&self, case: &CaseName, alt: &str) -> Result<Value, ApiError> {
        self.with_case(case, |record, name, data| {
            data.switches.disguised(wire::case(record, &record.current, name, data.switches.style(alt)))
        })
    }

    /// Changes fields of a case. Without a mask, fields that the body leaves out are cleared. Fields that cannot be changed are ignored in
    /// the body (AIP-203) and refused in the mask.
    fn patch(&self, case: &CaseName, mask: &str, body: &[u8]) -> Result<(), ApiError> {
        const CHANGEABLE: [&str; 3] = ["priority", "displayName", "subscriberEmailAddresses"];
        const OTHERS: [&str; 12] = [
            "name",
            "description",
            "classification",
            "timeZone",
            "state",
            "createTime",
            "updateTime",
            "creator",
            "contactEmail",
            "escalated",
            "testCase",
            "languageCode",
        ];
        let input = Input::parse(body, "case", &[CHANGEABLE.as_slice(), OTHERS.as_slice()].concat())?;
        let mut fields = Vec::new();
        for path in mask.split(',').map(str::trim).filter(|path| !path.is_empty()) {
            let camel = wire::camel_case(path);
            if path == "*" {
                fields.extend(CHANGEABLE.map(str::to_owned));
            } else if CHANGEABLE.contains(&camel.as_str()) {
                fields.push(camel);
            } else {
                return Err(ApiError::invalid(format!(
                    "Invalid update_mask: '{path}' cannot be updated. \
                     Supported are priority, display_name and subscriber_email_addresses."
                )));
            }
        }
        if fields.is_empty() {
            fields.extend(CHANGEABLE.map(str::to_owned));
        }
        let changes = |name: &str| fields.iter().any(|field| field == name);
        if changes("subscriberEmailAddresses") && self.switches().refuses_subscribers {
            return Err(ApiError::invalid("Invalid subscriber_email_addresses."));
        }
        let priority = input.word("priority", "Case.Priority", &PRIORITIES)?.and_then(Priority::parse);
        let display_name = input.string("displayName")?;
        let subscribers = input.strings("subscriberEmailAddresses")?;
        self.change_case(case, Moves::Case, |record, _| {
            if changes("priority") {
                record.current.priority = priority;
            }
            if changes("displayName") {
                record.current.display_name = display_name;
            }
            if changes("subscriberEmailAddresses") {
                record.current.subscribers = subscribers;
            }
            Ok(())
        })
    }

    fn close_by_api(&self, case: &CaseName) -> Result<(), ApiError> {
        let is_closed = self.with_case(case, |record, _, _| record.current.state == State::Closed)?;
        if is_closed {
            return if self.switches().closing_twice_fails {
                Err(ApiError::new(Code::FailedPrecondition, "The case is already closed."))
            } else {
                Ok(())
            };
        }
        self.change_case(case, Moves::Case, |record, _| {
            record.current.state = State::Closed;
            Ok(())
        })
    }

    fn escalate(&self, case: &CaseName, body: &[u8]) -> Result<(), ApiError> {
        const REASONS: [&str; 4] =
            ["REASON_UNSPECIFIED", "RESOLUTION_TIME", "TECHNICAL_EXPERTISE", "BUSINESS_IMPACT"];
        let input = Input::parse(body, "escalate_case_request", &["escalation"])?;
        let escalation = input.object("escalation", &["reason", "justification"])?;
        let (reason, justification) = match &escalation {
            None => (None, String::new()),
            Some(escalation) => (
                escalation.word("reason", "Escalation.Reason", &REASONS)?,
                escalation.string("justification")?,
            ),
        };
        let Some(reason) = reason.filter(|_| !justification.is_empty()) else {
            return Err(ApiError::invalid("escalation.reason and escalation.justification are required."));
        };
        if self.switches().refuses_escalations {
            return Err(ApiError::invalid("Escalations are not available for this case."));
        }
        self.change_case(case, Moves::Case, |record, _| {
            record.current.escalated = true;
            record.escalations.push((reason.to_owned(), justification));
            Ok(())
        })
    }

    fn list_comments(&self, case: &CaseName, parameters: &Parameters) -> Result<Value, ApiError> {
        self.with_case(case, |record, name, data| {
            let mut comments: Vec<_> = record.comments.iter().collect();
            order(&mut comments, data.switches.comment_order, |comment| {
                (comment.created_at, comment.id.clone())
            });
            if data.switches.no_support_plan {
                comments.clear();
            }
            let listing = format!("comments {}", record.number);
            listed(&listing, "comments", &comments, parameters, &data.switches, |comment| {
                wire::comment(comment, name)
            })
        })?
    }

    fn create_comment(&self, case: &CaseName, body: &[u8]) -> Result<Value, ApiError> {
        let input =
            Input::parse(body, "comment", &["name", "createTime", "creator", "body", "plainTextBody"])?;
        let text = input.string("body")?;
        if text.is_empty() {
            return Err(ApiError::fields(vec![(
                "comment.body".to_owned(),
                "comment.body is required.".to_owned(),
            )]));
        }
        let length = text.chars().count();
        if length > LONGEST_COMMENT {
            return Err(ApiError::fields(vec![(
                "comment.body".to_owned(),
                format!("comment.body has {length} characters; the maximum is {LONGEST_COMMENT}."),
            )]));
        }
        let refuses = self.switches().closed_cases_refuse_comments;
        let comment = self.change_case(case, Moves::Comment, |record, at| {
            if refuses && record.current.state == State::Closed {
                return Err(ApiError::new(
                    Code::FailedPrecondition,
                    "The case is closed; comments can no longer be added.",
                ));
            }
            Ok(record.add_comment(Self::service_account(), text, at))
        })?;
        self.with_case(case, |_, name, _| wire::comment(&comment, name))
    }

    fn list_attachments(&self, case: &CaseName, parameters: &Parameters) -> Result<Value, ApiError> {
        self.with_case(case, |record, name, data| {
            let mut attachments: Vec<_> = record.attachments.iter().collect();
            order(&mut attachments, data.switches.comment_order, |attachment| {
                (attachment.created_at, attachment.id.clone())
            });
            if data.switches.no_support_plan {
                attachments.clear();
            }
            let listing = format!("attachments {}", record.number);
            listed(&listing, "attachments", &attachments, parameters, &data.switches, |attachment| {
                wire::attachment(attachment, name)
            })
        })?
    }

    fn attachment(&self, case: &CaseName, id: &str) -> Result<(Attachment, String), ApiError> {
        self.with_case(case, |record, name, _| {
            let attachment = record.attachments.iter().find(|attachment| attachment.id == id);
            attachment.map(|attachment| (attachment.clone(), name.to_owned())).ok_or_else(ApiError::not_found)
        })?
    }

    /// Checks that the caller may use a parent. An unknown parent gets the same answer as one that the caller may not see.
    pub(super) fn check_parent(&self, data: &Data, parent: &Parent) -> Result<(), ApiError> {
        let is_known = match parent {
            Parent::Organization(id) => *id == self.0.organization,
            Parent::Project(id) => data.projects.contains(id) && !data.switches.has_lost(parent),
        };
        if is_known { Ok(()) } else { Err(ApiError::permission_denied()) }
    }

    /// Reads the case that a request names. The number alone identifies it: each case is found under the organisation, and a case of the
    /// organisation under each project.
    pub(super) fn with_case<T>(
        &self,
        case: &CaseName,
        read: impl FnOnce(&Record, &str, &Data) -> T,
    ) -> Result<T, ApiError> {
        let data = self.lock();
        self.check_parent(&data, &case.parent)?;
        let organization = self.organization_parent();
        let record = case
            .number
            .parse()
            .ok()
            .and_then(|number: u64| data.cases.get(&number))
            .filter(|record| {
                record.parent == case.parent || case.parent == organization || record.parent == organization
            })
            .filter(|record| !data.switches.hidden_cases.contains(&record.number))
            .ok_or_else(ApiError::not_found)?;
        if data.switches.has_lost(&record.parent) {
            return Err(ApiError::permission_denied());
        }
        Ok(read(record, &data.switches.name(record, &case.parent), &data))
    }

    fn change_case<T>(
        &self,
        case: &CaseName,
        moves: Moves,
        make: impl FnOnce(&mut Record, DateTime<Utc>) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let number = self.with_case(case, |record, _, _| record.number)?;
        self.change(&number.to_string(), moves, make)
    }
}

impl Switches {
    fn style(&self, alt: &str) -> Style {
        Style {
            // Google's generated clients ask for numbers, and understand both forms.
            enums_as_numbers: alt.contains("enum-encoding=int"),
            escalated_without_display_name: self.escalated_cases_lose_display_name,
        }
    }

    fn name(&self, record: &Record, asked: &Parent) -> String {
        if self.names_as_asked { format!("{asked}/cases/{}", record.number) } else { record.name() }
    }
}

/// Sorts items by time, or for `Shuffled` by a hash, which looks like no order but is stable.
fn order<T>(items: &mut [T], order: Order, key: impl Fn(&T) -> (DateTime<Utc>, String)) {
    match order {
        Order::NewestFirst => items.sort_by_key(|item| Reverse(key(item))),
        Order::OldestFirst => items.sort_by_key(|item| key(item)),
        Order::Shuffled => items.sort_by_cached_key(|item| Sha256::digest(key(item).1).to_vec()),
    }
}

/// Returns one page of a list as the body of an answer.
pub(super) fn listed<T>(
    listing: &str,
    field: &str,
    items: &[T],
    parameters: &Parameters,
    switches: &Switches,
    write: impl Fn(&T) -> Value,
) -> Result<Value, ApiError> {
    let (range, next) = paging::page(
        listing,
        items.len(),
        parameters.get("pageSize"),
        parameters.get("pageToken"),
        switches.page_style,
    )?;
    let page: Vec<Value> = items[range].iter().map(write).collect();
    Ok(Output::default().set(field, page).set("nextPageToken", next.unwrap_or_default()).done())
}

async fn upload(
    sandbox: &SandboxCsapi,
    case: &CaseName,
    parts: &Parts,
    body: Body,
) -> Result<Response, ApiError> {
    let query = parts.uri.query().unwrap_or_default();
    let parameters = Parameters::read(query, &["attachment.filename"])?;
    let upload_type = url::form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "uploadType" || name == "upload_protocol")
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default();
    let content_type = parts
        .headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let switches = sandbox.switches();
    let refuses_closed =
        |record: &Record| switches.closed_cases_refuse_attachments && record.current.state == State::Closed;
    let is_refused = sandbox.with_case(case, |record, _, _| refuses_closed(record))?;

    let mut intake = Intake::new(sandbox.0.files.sink(switches.keep_uploads), switches.max_attachment_bytes);
    let mut filename = parameters.text("attachment.filename").to_owned();
    let mime_type = match upload_type.as_str() {
        "multipart" => {
            let related = upload::related(body, &content_type, &mut intake).await?;
            let input = Input::parse(&related.metadata, "create_attachment_request", &["attachment"])?;
            let known = ["name", "createTime", "creator", "filename", "mimeType", "sizeBytes"];
            if let Some(attachment) = input.object("attachment", &known)?
                && attachment.has("filename")
            {
                filename = attachment.string("filename")?;
            }
            related.mime_type.unwrap_or_default()
        }
        "" | "media" | "raw" => {
            upload::raw(body, &mut intake).await?;
            content_type
        }
        other => return Err(ApiError::invalid(format!("Upload type '{other}' is not supported."))),
    };
    if filename.is_empty() {
        return Err(ApiError::fields(vec![(
            "attachment.filename".to_owned(),
            "attachment.filename is required.".to_owned(),
        )]));
    }
    let mime_type = if mime_type.is_empty() { "application/octet-stream".to_owned() } else { mime_type };
    if switches.refused_mime_types.contains(&mime_type) {
        return Err(ApiError::invalid(format!("Attachments of type {mime_type} are not accepted.")));
    }
    let closed = || ApiError::new(Code::FailedPrecondition, "The case is closed; it takes no attachments.");
    if is_refused {
        return Err(closed());
    }
    let sink = intake.done()?;
    let size = sink.size();
    let content = sink.finish().await?;
    let stored = content.clone();
    let attached = sandbox.change_case(case, Moves::Attachment, |record, at| {
        if refuses_closed(record) {
            return Err(closed());
        }
        Ok(record.add_attachment(SandboxCsapi::service_account(), filename, mime_type, size, content, at))
    });
    let attachment = attached.inspect_err(|_| sandbox.0.files.remove(&stored))?;
    let value = sandbox.with_case(case, |_, name, _| wire::attachment(&attachment, name))?;
    Ok(([(header::CONTENT_TYPE, wire::JSON)], value.to_string()).into_response())
}

async fn download(
    sandbox: &SandboxCsapi,
    case: &CaseName,
    id: &str,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let (attachment, _) = sandbox.attachment(case, id)?;
    sandbox.file(&attachment, headers).await
}

impl SandboxCsapi {
    /// Returns the bytes of an attachment, or the requested range of them.
    pub(super) async fn file(
        &self,
        attachment: &Attachment,
        headers: &HeaderMap,
    ) -> Result<Response, ApiError> {
        let whole = attachment.size;
        let range = headers.get(header::RANGE).and_then(|range| range.to_str().ok()).and_then(byte_range);
        let (status, start, size) = match range {
            None => (StatusCode::OK, 0, whole),
            Some((start, _)) if start >= whole => {
                return Ok((
                    StatusCode::RANGE_NOT_SATISFIABLE,
                    [(header::CONTENT_RANGE, format!("bytes */{whole}"))],
                )
                    .into_response());
            }
            Some((start, last)) => {
                (StatusCode::PARTIAL_CONTENT, start, last.min(whole - 1).saturating_sub(start) + 1)
            }
        };
        let Some(body) = self.0.files.stream(&attachment.content, start, size).await? else {
            return Err(SandboxError::NotKept(attachment.id.clone()).into());
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        let mime_type = HeaderValue::from_str(&attachment.mime_type)
            .unwrap_or(HeaderValue::from_static("application/octet-stream"));
        headers.insert(header::CONTENT_TYPE, mime_type);
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size));
        headers.insert(header::CONTENT_DISPOSITION, content_disposition(&attachment.filename));
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if status == StatusCode::PARTIAL_CONTENT
            && let Ok(range) = HeaderValue::from_str(&format!("bytes {start}-{}/{whole}", start + size - 1))
        {
            headers.insert(header::CONTENT_RANGE, range);
        }
        Ok(answer)
    }
}

/// Parses `bytes=first-last` or `bytes=first-`; any other range is ignored, as RFC 9110 allows.
fn byte_range(range: &str) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let first = first.parse().ok()?;
    let last = if last.is_empty() { u64::MAX } else { last.parse().ok()? };
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_what_the_discovery_document_says() {
        let case = || CaseName { parent: Parent::Project("p".into()), number: "7".into() };
        for (path, target) in [
            ("caseClassifications:search", Some(Target::Classifications)),
            ("organizations/1/cases:search", Some(Target::Search(Parent::Organization("1".into())))),
            ("projects/p/cases", Some(Target::Cases(Parent::Project("p".into())))),
            ("projects/p/cases/7", Some(Target::Case(case()))),
            ("projects/p/cases/7:close", Some(Target::Close(case()))),
            ("projects/p/cases/7%3Aescalate", Some(Target::Escalate(case()))),
            ("projects/p/cases/7/comments", Some(Target::Comments(case()))),
            ("projects/p/cases/7/comments/a", Some(Target::Comment(case(), "a".into()))),
            ("projects/p/cases/7/attachments", Some(Target::Attachments(case()))),
            ("projects/p/cases/7/attachments/a", Some(Target::Attachment(case(), "a".into()))),
            ("projects/p/cases/7/attachments/a:download", Some(Target::Download(case(), "a".into()))),
            ("projects/p/cases/7:reopen", None),
            ("projects/p/cases/7/attachments/a:delete", None),
            ("folders/1/cases", None),
            ("projects//cases", None),
            ("projects/p/cases/7/comments/a/b", None),
            ("projects/%FF/cases", None),
            ("projects/p/cases/7:showFeed", None),
        ] {
            assert_eq!(Target::parse(path), target, "{path}");
        }
        for (path, target) in [
            ("projects/p/cases/7:showFeed", Some(Target::Feed(case()))),
            ("projects/p/cases/7%3AshowFeed", Some(Target::Feed(case()))),
            ("projects/p/cases/7", None),
            ("projects/p/cases/7/comments:showFeed", None),
        ] {
            assert_eq!(Target::parse_beta(path), target, "{path}");
        }
    }

    #[test]
    fn ranges_are_read_or_ignored() {
        for (text, range) in [
            ("bytes=0-9", Some((0, 9))),
            ("bytes=5-", Some((5, u64::MAX))),
            ("bytes=-5", None),
            ("bytes=9-5", None),
            ("bytes=0-1,3-4", None),
            ("lines=1-2", None),
        ] {
            assert_eq!(byte_range(text), range, "{text}");
        }
    }
}
