//! Error answers of the REST API: `{"errorMessages": [...], "errors": {field: message}}`.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::settings::Deployment;

#[derive(Debug, Clone)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) messages: Vec<String>,
    pub(super) errors: BTreeMap<String, String>,
}

impl ApiError {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, messages: vec![message.into()], errors: BTreeMap::new() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, message)
    }

    pub(super) fn fields(errors: BTreeMap<String, String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, messages: Vec::new(), errors }
    }

    pub(super) fn field(name: &str, message: impl Into<String>) -> Self {
        Self::fields(BTreeMap::from([(name.to_owned(), message.into())]))
    }

    pub(super) fn no_issue(deployment: Deployment) -> Self {
        Self::not_found(match deployment {
            Deployment::Cloud => "Issue does not exist or you do not have permission to see it.",
            Deployment::DataCenter => "Issue Does Not Exist",
        })
    }

    /// Returns the error for a failure of the sandbox itself, for example a full disk.
    pub(super) fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %error, "the sandbox Jira cannot keep its state");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({"errorMessages": self.messages, "errors": self.errors});
        (self.status, Json(body)).into_response()
    }
}

/// Returns an error body for a status that a fault answers with.
pub(super) fn error_body(_status: StatusCode, message: &str) -> String {
    json!({"errorMessages": [message], "errors": {}}).to_string()
}
