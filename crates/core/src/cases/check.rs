//! Results of `casebridge check`: one line for each operation that was tried.

use std::fmt;

use chrono::{DateTime, Utc};

use super::{ApiError, ApiErrorKind};

/// Status of a line. The order is by urgency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub enum CheckStatus {
    /// Works.
    #[serde(rename = "ok")]
    Ok,
    /// Works, but something is missing or will end; or was not tried, since it needs something that another line reports as failed.
    #[serde(rename = "WARN")]
    Warn,
    /// Does not work.
    #[serde(rename = "FAILED")]
    Failed,
}

impl fmt::Display for CheckStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warn => "WARN",
            Self::Failed => "FAILED",
        })
    }
}

/// One line of `casebridge check`.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// Status of the line.
    pub status: CheckStatus,
    /// Operation that was tried: `CSAPI: search cases of organizations/1`.
    pub what: String,
    /// Result of the try: what was found, or what is wrong.
    pub detail: String,
    /// Remedy. `None` if nothing is wrong, or if the detail names it.
    pub hint: Option<String>,
}

impl Check {
    /// Creates the line of a finding.
    pub fn new(what: impl Into<String>, finding: Finding) -> Self {
        let what = what.into();
        match finding {
            Ok(detail) => Self { status: CheckStatus::Ok, what, detail, hint: None },
            Err(Trouble { status, detail, hint }) => Self { status, what, detail, hint },
        }
    }

    /// Returns the detail and the hint as one text.
    #[must_use]
    pub fn text(&self) -> String {
        join(&self.detail, self.hint.as_deref())
    }

    /// Returns the text of the line: an error only if the check failed.
    pub fn result(&self) -> Result<String, String> {
        let text = self.text();
        if self.status == CheckStatus::Failed { Err(text) } else { Ok(text) }
    }
}

/// Result of a check: a confirmation, or a trouble.
pub type Finding = Result<String, Trouble>;

/// Something that is wrong or missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// [`CheckStatus::Warn`] or [`CheckStatus::Failed`].
    pub status: CheckStatus,
    /// Problem, and its place.
    pub detail: String,
    /// Remedy.
    pub hint: Option<String>,
}

impl Trouble {
    /// Creates the trouble of something that does not work.
    pub fn failed(detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status: CheckStatus::Failed, detail: detail.into(), hint: Some(hint.into()) }
    }

    /// Creates the trouble of a failed call. The error's own hint comes before the given one: it is the one that polls and syncs report. An
    /// error about credentials says itself what to do, and the system was reached.
    #[must_use]
    pub fn of(error: &ApiError, hint: impl Into<String>) -> Self {
        if error.hint.is_none() && error.kind == ApiErrorKind::Unauthorized {
            return error.to_string().into();
        }
        Self::failed(error.without_hint(), error.hint.clone().unwrap_or_else(|| hint.into()))
    }

    /// Creates the trouble of something that works, although something is missing or will end.
    pub fn warning(detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status: CheckStatus::Warn, ..Self::failed(detail, hint) }
    }
}

/// Lines of the check of one system. One mistake is one failed line: a check that needs the result of a failed one is not tried.
#[derive(Debug)]
pub struct Report {
    system: &'static str,
    lines: Vec<Check>,
}

impl Report {
    /// Creates the report of a system, whose name begins each line.
    #[must_use]
    pub const fn new(system: &'static str) -> Self {
        Self { system, lines: Vec::new() }
    }

    /// Adds a line. Returns true if it has not failed.
    pub fn add(&mut self, what: &str, finding: Finding) -> bool {
        let check = Check::new(format!("{}: {what}", self.system), finding);
        let holds = check.status != CheckStatus::Failed;
        self.lines.push(check);
        holds
    }

    /// Adds a line for something that was not tried: it needs `cause`, which is the name of a line that failed.
    pub fn add_untried(&mut self, what: &str, cause: &str) {
        let trouble = Trouble::warning("not tried", see(&format!("{}: {cause}", self.system)));
        self.add(what, Err(trouble));
    }

    /// Returns the lines, in the order in which they were added.
    #[must_use]
    pub fn into_lines(self) -> Vec<Check> {
        self.lines
    }
}

/// Replaces a remedy that an earlier failed line has already by a reference to that line, and the failure by a warning: one mistake is one
/// failed line.
pub fn fold(checks: &mut [Check]) {
    for index in 1..checks.len() {
        let (earlier, rest) = checks.split_at_mut(index);
        let check = &mut rest[0];
        let same = |other: &&Check| {
            let same_remedy =
                other.hint == check.hint && (check.hint.is_some() || other.detail == check.detail);
            other.status == CheckStatus::Failed && same_remedy
        };
        if check.status == CheckStatus::Failed
            && let Some(first) = earlier.iter().find(same)
        {
            check.status = CheckStatus::Warn;
            check.hint = Some(see(&first.what));
        }
    }
}

/// Returns the remedy that refers to another line.
fn see(line: &str) -> String {
    format!("see the line {line:?}")
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&join(&self.detail, self.hint.as_deref()))
    }
}

/// A text of the form `what is wrong; what to do`, as the texts of errors are.
impl From<String> for Trouble {
    fn from(text: String) -> Self {
        match text.rsplit_once("; ") {
            Some((detail, hint)) => Self::failed(detail, hint),
            None => Self { status: CheckStatus::Failed, detail: text, hint: None },
        }
    }
}

impl From<&ApiError> for Trouble {
    fn from(error: &ApiError) -> Self {
        match &error.hint {
            Some(hint) => Self::of(error, hint),
            None => error.to_string().into(),
        }
    }
}

impl From<Trouble> for String {
    fn from(trouble: Trouble) -> Self {
        trouble.to_string()
    }
}

fn join(detail: &str, hint: Option<&str>) -> String {
    hint.map_or_else(|| detail.to_owned(), |hint| format!("{detail}; {hint}"))
}

/// End of the credentials that a system is called with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialEnd {
    /// Name of the credentials: `the API token`.
    pub what: String,
    /// Time of the end.
    pub at: DateTime<Utc>,
    /// Remedy, to be carried out before the end.
    pub hint: String,
}

/// Returns the most urgent status of the lines.
#[must_use]
pub fn worst(checks: &[Check]) -> CheckStatus {
    checks.iter().map(|check| check.status).max().unwrap_or(CheckStatus::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mistake_is_one_failed_line() {
        let (failed, warn) = (CheckStatus::Failed, CheckStatus::Warn);
        let line = |what: &str, status, detail: &str, hint: Option<&str>| Check {
            status,
            what: what.to_owned(),
            detail: detail.to_owned(),
            hint: hint.map(str::to_owned),
        };
        let grant = Some("grant the role");
        let mut checks = [
            line("search", failed, "refused", grant),
            line("classification", failed, "refused too", grant),
            line("clock", warn, "refused", grant),
            line("files", failed, "refused", Some("raise the limit")),
            line("comments", failed, "refused", grant),
            line("one", failed, "broken", None),
            line("another", failed, "broken", None),
            line("third", failed, "odd", None),
        ];
        fold(&mut checks);
        let shown: Vec<_> = checks.iter().map(|check| (check.status, check.hint.as_deref())).collect();
        let see = Some("see the line \"search\"");
        let expected = [
            (failed, grant),
            (warn, see),
            (warn, grant),
            (failed, Some("raise the limit")),
            (warn, see),
            (failed, None),
            (warn, Some("see the line \"one\"")),
            (failed, None),
        ];
        assert_eq!(shown, expected);
        let mut report = Report::new("Jira");
        assert!(report.add("clock", Ok("right".to_owned())));
        assert!(!report.add("field flag", Err("there is none; make one".to_owned().into())));
        report.add_untried("search", "field flag");
        let lines = report.into_lines();
        assert_eq!(lines[2].text(), "not tried; see the line \"Jira: field flag\"");
        assert_eq!((lines[2].status, worst(&lines)), (warn, failed));
    }

    #[test]
    fn an_error_about_credentials_gets_no_advice_about_the_network() {
        let error = |kind| ApiError::new(kind, "Jira", "GET /myself", "refused");
        let network = "check the network";
        let unauthorized = Trouble::of(&error(ApiErrorKind::Unauthorized), network);
        assert_eq!(unauthorized.hint, None, "the system was reached");
        let hinted =
            ApiError { hint: Some("renew the token".to_owned()), ..error(ApiErrorKind::Unauthorized) };
        assert_eq!(Trouble::of(&hinted, network).hint.as_deref(), Some("renew the token"));
        let unreached = Trouble::of(&error(ApiErrorKind::NotApplied), network);
        assert_eq!(unreached.hint.as_deref(), Some(network));
    }
}
