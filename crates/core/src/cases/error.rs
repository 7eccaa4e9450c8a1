//! Errors of calls to the systems, classified by the next step that is left to the caller.

use super::is_hidden_control;

/// Maximum length of the call in the text of an error, in characters.
const MAX_CALL: usize = 300;
/// Maximum length of the message in the text of an error, in characters: an upstream's own words are 500 at most, the rest is advice.
const MAX_MESSAGE: usize = 2_000;
/// Maximum length of a foreign text (from an upstream or the configuration) that an error repeats, in characters.
const MAX_TEXT: usize = 500;

/// Class of a failed call, by the next step that is left to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiErrorKind {
    /// The item does not exist, or may not be seen: many systems answer 404 for both.
    NotFound,
    /// The credentials are missing or wrong, or lack a right. A person has to act; the call may succeed afterwards.
    Unauthorized,
    /// The system understood the call and refused it. The same call will be refused again.
    Refused,
    /// The system can never take this content: it is too large, or its type is not allowed (`R17`: files).
    Unacceptable,
    /// The system cannot do this at all.
    Unsupported,
    /// The call certainly had no effect. A later retry may succeed.
    NotApplied,
    /// The call may have had an effect (`R13`: unknown write outcome): search for the effect before a retry. A read may be retried later.
    Uncertain,
    /// The answer was not understood. A write may have had an effect.
    Unreadable,
    /// The answer is not the file: a page, a placeholder, or content of another size than was announced (`R34`: other content in place of a
    /// file).
    WrongContent,
}

/// A failed call. Never holds a body, a token or a case's content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}", self.without_hint(), hint.as_deref().map(|hint| format!("; {}", one_line(hint, MAX_MESSAGE))).unwrap_or_default())]
pub struct ApiError {
    /// Class of the error, which tells the next step of the caller.
    pub kind: ApiErrorKind,
    /// Name of the system: `CSAPI`, `Jira`.
    pub upstream: &'static str,
    /// Call that failed, without a query that could hold content: `GET /v2/organizations/1/cases/2/comments`.
    pub call: String,
    /// HTTP status of the upstream, if it answered. Never copied into our own status (`R4`: status codes).
    pub status: Option<u16>,
    /// Message of the upstream, shortened, or the failure on the way. A notice on a case may repeat it.
    pub message: String,
    /// Remedy for an operator. Part of the error's text, but never of a notice on a case. `None` if the message names the remedy itself.
    pub hint: Option<String>,
}

impl ApiError {
    /// Creates an error without an HTTP answer.
    #[must_use]
    pub fn new(
        kind: ApiErrorKind,
        upstream: &'static str,
        call: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self { kind, upstream, call: call.into(), status: None, message: message.into(), hint: None }
    }

    /// Returns the text of the error without its hint.
    #[must_use]
    pub fn without_hint(&self) -> String {
        let status = self.status.map(|status| format!(" (HTTP {status})")).unwrap_or_default();
        let (call, message) = (one_line(&self.call, MAX_CALL), one_line(&self.message, MAX_MESSAGE));
        format!("{}: {call}: {message}{status}", self.upstream)
    }

    /// Returns the remedy for an operator: the hint, or the step that the kind of the error leaves. `None` if neither tells.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        if let Some(hint) = &self.hint {
            return Some(one_line(hint, MAX_MESSAGE));
        }
        let system = self.upstream;
        match (self.kind, self.status) {
            (ApiErrorKind::NotApplied, Some(_)) => Some(format!(
                "wait: {system} asks for a pause, which the connector keeps; if that lasts for hours, lower requests_per_minute of its side"
            )),
            (ApiErrorKind::Refused, Some(_)) => Some(format!(
                "correct in {system} what its answer names, or give the connector's user the right to it; a comment or a file that can \
                 never be carried is left out by Skip"
            )),
            (ApiErrorKind::NotFound, _) => Some(format!(
                "see in {system} whether it is still there, and whether the connector's user may see it"
            )),
            (ApiErrorKind::WrongContent, _) => Some(format!(
                "open the file in {system}, which hands out something else in its place; a file that can never be carried is left out by Skip"
            )),
            (
                ApiErrorKind::Unauthorized
                | ApiErrorKind::Refused
                | ApiErrorKind::Unacceptable
                | ApiErrorKind::Unsupported
                | ApiErrorKind::NotApplied
                | ApiErrorKind::Uncertain
                | ApiErrorKind::Unreadable,
                _,
            ) => None,
        }
    }

    /// Returns true if a write that ended with this error may have taken effect (`R13`: unknown write outcome).
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

    /// Returns true if the system refused this one call: it most likely refuses the same call again, while others succeed (`R33`: final
    /// refusals). 401 does not count: it concerns the connector, not the item.
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

    /// Returns true if Google refused because the project has not enabled the API. Google answers 403 for that as for a missing role, so
    /// only the message distinguishes them ("… has not been used in project … before or it is disabled").
    #[must_use]
    pub fn is_disabled_api(&self) -> bool {
        self.message.contains("has not been used in project") || self.message.contains("it is disabled")
    }
}

/// Returns the text of an error without the remedy at its end.
#[must_use]
pub fn without_remedy<'a>(text: &'a str, remedy: Option<&str>) -> &'a str {
    let rest = remedy.and_then(|remedy| text.strip_suffix(remedy)?.strip_suffix("; "));
    rest.unwrap_or(text)
}

/// Cuts a text to at most `most` bytes, at the end of a character, and says how much was left out.
#[must_use]
pub fn bounded(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let kept = &text[..text.floor_char_boundary(most)];
    format!("{kept}… ({} bytes left out)", text.len() - kept.len())
}

/// Shortens a text to one line of at most 500 characters, without control characters and those of bidirectional text: safe in a log and in
/// an error. An upstream can return any text, even as the ID of a file or a case.
#[must_use]
pub fn shorten(text: &str) -> String {
    one_line(text, MAX_TEXT)
}

fn one_line(text: &str, longest: usize) -> String {
    let mut line: String =
        text.chars().map(|c| if is_hidden_control(c) { ' ' } else { c }).take(longest).collect();
    if text.chars().nth(longest).is_some() {
        line.push('…');
    }
    line
}

/// Error of looking up a value that decides where a Google case is created.
#[derive(Debug, thiserror::Error)]
pub enum PlacementError {
    /// The value cannot be used. Holds the problem and the remedy, for people.
    #[error("{0}")]
    Unusable(String),
    /// The value could not be looked up.
    #[error(transparent)]
    Api(#[from] ApiError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_says_how_much_is_left_out() {
        for (text, most, expected) in [
            ("", 0, ""),
            ("abc", 3, "abc"),
            ("abcd", 3, "abc… (1 bytes left out)"),
            ("a\u{e9}\u{e9}", 4, "a\u{e9}… (2 bytes left out)"),
            ("\u{1f511}x", 3, "… (5 bytes left out)"),
        ] {
            assert_eq!(bounded(text, most), expected, "{text:?}, {most}");
        }
    }

    #[test]
    fn each_error_that_a_person_can_end_has_a_remedy_and_a_text_without_it() {
        for (kind, status, expected) in [
            (ApiErrorKind::NotApplied, Some(429), Some("wait: Jira asks for a pause")),
            (ApiErrorKind::Refused, Some(400), Some("correct in Jira what its answer names")),
            (ApiErrorKind::NotFound, Some(404), Some("see in Jira whether it is still there")),
            (ApiErrorKind::WrongContent, None, Some("open the file in Jira")),
            (ApiErrorKind::Unacceptable, Some(413), None),
            (ApiErrorKind::Refused, None, None),
        ] {
            let error = ApiError { status, ..ApiError::new(kind, "Jira", "GET /x", "refused") };
            let remedy = error.remedy();
            assert_eq!(remedy.is_some(), expected.is_some(), "{error}");
            assert!(remedy.unwrap_or_default().starts_with(expected.unwrap_or_default()), "{error}");
        }
        for (text, remedy, expected) in [
            ("refused; renew it", Some("renew it"), "refused"),
            ("refused; renew it", Some("wait"), "refused; renew it"),
            ("renew it", Some("renew it"), "renew it"),
            ("refused; renew it", None, "refused; renew it"),
        ] {
            assert_eq!(without_remedy(text, remedy), expected);
        }
    }

    #[test]
    fn an_error_is_one_line_whatever_an_upstream_calls_its_things() {
        let call = format!("GET attachment 7\r\nERROR: forged\u{202e} of issue {}", "9".repeat(100_000));
        let error = ApiError::new(ApiErrorKind::NotFound, "Jira", call, "it is\u{1b}[31m gone");
        let text = error.to_string();
        assert!(text.starts_with("Jira: GET attachment 7  ERROR: forged  of issue 9"), "{text}");
        assert!(!text.contains(|c: char| c.is_control()) && text.len() < 400, "{text}");
        assert!(text.ends_with("it is [31m gone"), "{text}");
        let advised = ApiError { hint: Some("check\nthe address".to_owned()), ..error };
        assert_eq!(advised.to_string(), format!("{text}; check the address"));
        assert_eq!(advised.without_hint(), text);
        // The end of the text, so that it can be taken off.
        assert_eq!(advised.remedy().as_deref(), Some("check the address"));
    }
}
