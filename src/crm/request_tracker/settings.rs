//! The `[company.request-tracker]` section.

use std::sync::Arc;

use reqwest::Url;
use reqwest::header::AUTHORIZATION;
use serde::Deserialize;
use serde_json::Value;

use super::RequestTracker;
use crate::cases::{CaseSystem, Closing, LinkDetail, Placement};
use crate::clock::SharedClock;
use crate::crm::registration::{Registration, WebhookTarget};
use crate::crm::{CrmKind, PriorityWords, first_given, own_field};
use crate::entities::Priority;
use crate::outbound::{Credentials, HeaderCredentials, Upstream};

/// Settings of the Request Tracker adapter: the `[company.request-tracker]` section.
///
/// `token` is a reference to a secret (`env:NAME`, `file:PATH`, …), never the secret. The code that reads the configuration resolves it and
/// passes the value to [`CrmKind::credentials`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RequestTrackerSettings {
    /// Name of the queue that new cases are created in.
    pub queue: String,
    /// Name of the connector's user, which identifies the adapter's own comments.
    pub user: String,
    /// Reference to the secret that holds the user's authentication token.
    pub token: Option<String>,
    /// End of the credentials, as a date (`2027-03-01`) or a time: `check` warns of it.
    pub token_expires: Option<String>,
    /// Name of the custom field that makes a case take part in the sync.
    pub flag_field: String,
    /// Value of that field if the case takes part. Request Tracker has no boolean field.
    pub flag_value: String,
    /// Name of the custom field for the Google case's name.
    pub google_name_field: String,
    /// Name of the custom field that shows Google's state. Default: none.
    pub google_state_field: Option<String>,
    /// Status of closed cases.
    pub close_status: String,
    /// Status of reopened cases.
    pub reopen_status: String,
    /// Statuses that count as closed: those that the queue's lifecycle calls inactive.
    pub closed_statuses: Vec<String>,
    /// Largest attachment, in bytes: `$MaxAttachmentSize`, beyond which Request Tracker cuts or drops files. REST does not show it.
    pub attachment_limit: Option<u64>,
}

impl Default for RequestTrackerSettings {
    fn default() -> Self {
        Self {
            queue: String::new(),
            user: String::new(),
            token: None,
            token_expires: None,
            flag_field: "synchronizeWithGoogleCloudSupport".to_owned(),
            flag_value: "true".to_owned(),
            google_name_field: "custom_field_google_name".to_owned(),
            google_state_field: None,
            close_status: "resolved".to_owned(),
            reopen_status: "open".to_owned(),
            closed_statuses: vec!["resolved".to_owned(), "rejected".to_owned()],
            attachment_limit: None,
        }
    }
}

impl RequestTrackerSettings {
    /// Reports if a status counts as closed. Compared without case, as in Request Tracker.
    pub(super) fn is_closed(&self, status: &str) -> bool {
        let status = status.to_lowercase();
        self.closed_statuses.iter().any(|closed| closed.trim().to_lowercase() == status)
    }

    /// Returns the way in which a ticket with this status was closed (`R32`: closed is not solved); `None` if it is open. The names are
    /// those of RT's own lifecycles and common others; the meaning of a custom lifecycle's status is unknown.
    ///
    /// Source: `%Lifecycles`, `RT_Config.pm` of RT 5.0.
    pub(super) fn closing(&self, status: &str) -> Option<Closing> {
        if !self.is_closed(status) {
            return None;
        }
        let status = status.to_lowercase();
        let is_solved = status == "resolved" || status == self.close_status.trim().to_lowercase();
        Some(match status.as_str() {
            _ if is_solved => Closing::Solved,
            "rejected" => Closing::Cancelled,
            status if status.starts_with("cancel") => Closing::Cancelled,
            "duplicate" => Closing::Duplicate,
            _ => Closing::Closed,
        })
    }
}

impl CrmKind for RequestTrackerSettings {
    fn name(&self) -> &'static str {
        super::NAME
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, value) in [
            ("queue", &self.queue),
            ("user", &self.user),
            ("flag_field", &self.flag_field),
            ("flag_value", &self.flag_value),
            ("google_name_field", &self.google_name_field),
            ("close_status", &self.close_status),
            ("reopen_status", &self.reopen_status),
        ] {
            if value.trim().is_empty() {
                problems.push(format!("company.request-tracker.{name} is missing or empty"));
            }
        }
        if self.google_state_field.as_ref().is_some_and(|name| name.trim().is_empty()) {
            problems.push(
                "company.request-tracker.google_state_field must not be empty: leave it out if no field is to show Google's state"
                    .to_owned(),
            );
        }
        // TicketSQL: a field's name ends at the brace, a value at the quote.
        for (name, value) in [
            ("flag_field", &self.flag_field),
            ("flag_value", &self.flag_value),
            ("google_name_field", &self.google_name_field),
        ] {
            if value.contains(['{', '}', '\'', '"', '\\']) {
                problems.push(format!(
                    "company.request-tracker.{name} holds a brace, a quote or a backslash, which cannot stand in a query: rename it in Request Tracker"
                ));
            }
        }
        if !self.is_closed(&self.close_status) {
            problems.push(
                "company.request-tracker.close_status must be one of company.request-tracker.closed_statuses"
                    .to_owned(),
            );
        }
        if self.is_closed(&self.reopen_status) {
            problems.push(
                "company.request-tracker.reopen_status must not be one of company.request-tracker.closed_statuses"
                    .to_owned(),
            );
        }
        problems
    }

    fn priority_problem(&self, words: &PriorityWords, priority: Priority) -> Option<String> {
        number(words.word(priority)).is_none().then(|| {
            let problem = words.problem(priority);
            format!("{problem}: Request Tracker's priorities are numbers, give one from 0 to 100")
        })
    }

    fn means_closed(&self, status: &str) -> bool {
        self.is_closed(status.trim())
    }

    fn own_priorities(&self) -> &'static str {
        "give numbers from 0 to 100, such as P0 = \"100\", P1 = \"75\", P2 = \"50\", P3 = \"25\", P4 = \"0\""
    }

    fn api_paths(&self) -> &'static [&'static str] {
        &["/REST/2.0", "/REST/1.0"]
    }

    fn remote_link(&self) -> Result<LinkDetail, String> {
        Ok(LinkDetail::Address)
    }

    fn placement_keys(&self) -> &'static [&'static str] {
        &["project", "assignee", "fields"]
    }

    fn match_keys(&self) -> &'static [&'static str] {
        &["project", "field"]
    }

    fn placement_mistakes(&self, placement: &Placement) -> Vec<String> {
        let own = [&self.flag_field, &self.google_name_field].into_iter().chain(&self.google_state_field);
        let own: Vec<String> = own.map(|name| name.trim().to_lowercase()).collect();
        let mut mistakes = Vec::new();
        for (name, value) in &placement.fields {
            if own.contains(&name.trim().to_lowercase()) {
                mistakes.push(own_field(name));
            }
            let is_text = |value: &Value| value.is_string() || value.is_number();
            if !is_text(value) && !value.as_array().is_some_and(|values| values.iter().all(is_text)) {
                mistakes.push(format!("fields.{name}: expected a text, or a list of texts"));
            }
        }
        mistakes
    }

    fn token_expires(&self) -> Option<&str> {
        self.token_expires.as_deref()
    }

    fn secret(&self) -> Option<(&'static str, &str)> {
        first_given([("token", &self.token)])
    }

    // Source: "Authentication Tokens", RT 5 documentation, `RT::REST2`.
    fn credentials(&self, secret: &str, _site: &Url) -> Result<Arc<dyn Credentials>, String> {
        Ok(Arc::new(HeaderCredentials::new(AUTHORIZATION, &format!("token {}", secret.trim()))?))
    }

    fn registration(&self, target: WebhookTarget, _upstream: Upstream, _clock: SharedClock) -> Registration {
        Registration::Paste(target.script(include_str!("../../../deploy/push/request-tracker.pl")))
    }

    fn connect(
        &self,
        priorities: PriorityWords,
        upstream: Upstream,
        _clock: SharedClock,
    ) -> Arc<dyn CaseSystem> {
        Arc::new(RequestTracker::new(self.clone(), priorities, upstream))
    }
}

/// Parses a word that is a priority of Request Tracker.
pub(super) fn number(word: &str) -> Option<i64> {
    word.trim().parse().ok().filter(|number| (0..=100).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_says_how_a_ticket_was_closed() {
        let closed_statuses =
            ["resolved", "Rejected", "done", "shipped", "cancelled", "duplicate"].map(str::to_owned).to_vec();
        let settings = RequestTrackerSettings {
            close_status: "Done".to_owned(),
            closed_statuses,
            ..RequestTrackerSettings::default()
        };
        for (status, closing) in [
            ("resolved", Some(Closing::Solved)),
            ("done", Some(Closing::Solved)),
            ("rejected", Some(Closing::Cancelled)),
            ("Cancelled", Some(Closing::Cancelled)),
            ("duplicate", Some(Closing::Duplicate)),
            ("shipped", Some(Closing::Closed)),
            ("stalled", None),
        ] {
            assert_eq!(settings.closing(status), closing, "{status}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_key() {
        let sound = RequestTrackerSettings {
            queue: "Support".to_owned(),
            user: "casebridge".to_owned(),
            ..RequestTrackerSettings::default()
        };
        assert_eq!(sound.problems(), Vec::<String>::new());
        for (settings, key) in [
            (RequestTrackerSettings { queue: " ".to_owned(), ..sound.clone() }, "queue"),
            (RequestTrackerSettings { user: String::new(), ..sound.clone() }, "user"),
            (RequestTrackerSettings { flag_field: "a}b".to_owned(), ..sound.clone() }, "flag_field"),
            (RequestTrackerSettings { close_status: "open".to_owned(), ..sound.clone() }, "close_status"),
            (
                RequestTrackerSettings { reopen_status: "Rejected".to_owned(), ..sound.clone() },
                "reopen_status",
            ),
        ] {
            let problems = settings.problems().join("\n");
            assert!(problems.contains(&format!("company.request-tracker.{key}")), "{problems}");
        }
        let words = PriorityWords::new(["100", "high", "50", "-1", "0"].map(str::to_owned)).unwrap();
        let problems = RequestTrackerSettings::default().priority_problems(&words);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].contains("priorities.P1") && problems[1].contains("priorities.P3"));
    }
}
