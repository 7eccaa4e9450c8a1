//! Errors as `application/problem+json` (RFC 9457).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Error for the caller. Holds no content and no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: Option<String>,
}

impl Problem {
    /// Creates an error with that status. The title is the same for each occurrence of the error.
    #[must_use]
    pub fn new(status: StatusCode, title: &'static str) -> Self {
        Self { status, title, detail: None }
    }

    /// Adds the cause of this occurrence and the remedy.
    #[must_use]
    pub fn detail(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }
}

impl Problem {
    /// Returns the status, the title and the detail, for a page.
    pub(super) fn parts(&self) -> (StatusCode, &'static str, Option<&str>) {
        (self.status, self.title, self.detail.as_deref())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // The type of the problem is its title in the form of a URN, since there is no page to link to.
        let kind: String = self.title.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let mut body = json!({ "type": format!("urn:casebridge:{kind}"), "title": self.title, "status": self.status.as_u16() });
        if let Some(detail) = self.detail {
            body["detail"] = json!(detail);
        }
        let mut response = (self.status, body.to_string()).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}
