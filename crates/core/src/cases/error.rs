//! Why a call to one of the systems failed, by what the caller can do about it.

/// How much of a call is shown, in characters.
const MAX_CALL: usize = 300;
/// How much of a message is shown, in characters: an upstream's own words are 500 at most, the rest is advice.
const MAX_MESSAGE: usize = 2_000;
/// Longest part of a foreign text (an upstream's, the configuration's) that an error repeats, in characters.
const MAX_TEXT: usize = 500;

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
    /// What arrived in place of a file is not the file: a page, a placeholder, another size than was announced (`R34`).
    WrongContent,
}

/// A failed call. Never holds a body, a token or a case's content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{upstream}: {}: {}{}", one_line(call, MAX_CALL), one_line(message, MAX_MESSAGE), status.map(|status| format!(" (HTTP {status})")).unwrap_or_default())]
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
            | ApiErrorKind::WrongContent
            | ApiErrorKind::NotApplied => false,
        }
    }

    /// Whether the system said no to this one thing: the same call is most likely refused again, while others succeed (`R33`).
    /// 401 is no such answer: it is about the connector, not about the thing.
    #[must_use]
    pub fn is_for_good(&self) -> bool {
        match self.kind {
            ApiErrorKind::NotFound
            | ApiErrorKind::Refused
            | ApiErrorKind::Unacceptable
            | ApiErrorKind::Unsupported
            | ApiErrorKind::WrongContent => true,
            ApiErrorKind::Unauthorized => self.status == Some(403),
            ApiErrorKind::NotApplied | ApiErrorKind::Uncertain | ApiErrorKind::Unreadable => false,
        }
    }

    /// Whether Google refused since the project has not enabled the API: it answers 403 for that as for a missing role, and
    /// only its message tells ("… has not been used in project … before or it is disabled").
    #[must_use]
    pub fn is_disabled_api(&self) -> bool {
        self.message.contains("has not been used in project") || self.message.contains("it is disabled")
    }
}

/// One line of at most 500 characters, without control characters: safe in a log and in an error. An upstream can make up any text,
/// the ID of a file or a case too.
#[must_use]
pub fn shorten(text: &str) -> String {
    one_line(text, MAX_TEXT)
}

fn one_line(text: &str, longest: usize) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(longest).collect();
    if text.chars().nth(longest).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_line_whatever_an_upstream_calls_its_things() {
        let call = format!("GET attachment 7\r\nERROR: forged\u{0} of issue {}", "9".repeat(100_000));
        let error = ApiError::new(ApiErrorKind::NotFound, "Jira", call, "it is\u{1b}[31m gone");
        let text = error.to_string();
        assert!(text.starts_with("Jira: GET attachment 7  ERROR: forged  of issue 9"), "{text}");
        assert!(!text.contains(|c: char| c.is_control()) && text.len() < 400, "{text}");
        assert!(text.ends_with("it is [31m gone"), "{text}");
    }
}
