//! Why a call to one of the systems failed, by what the caller can do about it.

/// What the caller may do after a failed call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiErrorKind {
    /// The thing does not exist (or may not be seen: many systems answer 404 for both).
    NotFound,
    /// The credentials are missing, wrong or lack a right: a person has to act; the call may succeed afterwards.
    Unauthorized,
    /// The system understood and refused; the same call will be refused again.
    Refused,
    /// This content can never be taken: too large, type not allowed (`R17`).
    Unacceptable,
    /// The system cannot do this at all.
    Unsupported,
    /// It is certain that nothing happened; a later try may succeed.
    NotApplied,
    /// It may have happened (`R13`): look before trying again. For reads: a later try may succeed.
    Uncertain,
    /// The answer was not understood. A write may have happened.
    Unreadable,
}

/// A failed call. Never holds a body, a token or a case's content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{upstream}: {call}: {message}{}", status.map(|status| format!(" (HTTP {status})")).unwrap_or_default())]
pub struct ApiError {
    /// What the caller may do next.
    pub kind: ApiErrorKind,
    /// Which system: `CSAPI`, `Jira`.
    pub upstream: &'static str,
    /// What was asked, without a query that could hold content: `GET /v2/organizations/1/cases/2/comments`.
    pub call: String,
    /// The upstream's HTTP status, if it answered. Never copied into ours (`R4`).
    pub status: Option<u16>,
    /// The upstream's own message, shortened, or what went wrong on the way.
    pub message: String,
}

impl ApiError {
    /// An error without an HTTP answer.
    #[must_use]
    pub fn new(
        kind: ApiErrorKind,
        upstream: &'static str,
        call: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, upstream, call: call.into(), status: None, message: message.into() }
    }

    /// Whether a write that ended so may have taken effect (`R13`).
    #[must_use]
    pub const fn may_have_happened(&self) -> bool {
        match self.kind {
            ApiErrorKind::Uncertain | ApiErrorKind::Unreadable => true,
            ApiErrorKind::NotFound
            | ApiErrorKind::Unauthorized
            | ApiErrorKind::Refused
            | ApiErrorKind::Unacceptable
            | ApiErrorKind::Unsupported
            | ApiErrorKind::NotApplied => false,
        }
    }

    /// Whether Google refused since the project has not enabled the API: it answers 403 for that as for a missing role, and
    /// only its message tells ("… has not been used in project … before or it is disabled").
    #[must_use]
    pub fn is_disabled_api(&self) -> bool {
        self.message.contains("has not been used in project") || self.message.contains("it is disabled")
    }
}
