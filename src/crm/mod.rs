//! The company's side: one folder for each kind of CRM, every one of them a [`CaseSystem`].
//!
//! What the kinds share stands here: their names in the configuration, the words they use for priorities, and `content`.

mod content;
pub mod jira;
pub mod request_tracker;
pub mod servicenow;
pub mod zendesk;

use std::sync::Arc;

use serde::Deserialize as _;

use self::jira::{Jira, JiraSettings};
use self::request_tracker::{RequestTracker, RequestTrackerSettings};
use self::servicenow::{ServiceNow, ServiceNowSettings};
use self::zendesk::{Zendesk, ZendeskSettings};
use crate::cases::{CaseSystem, shorten};
use crate::clock::SharedClock;
use crate::entities::{Priority, PriorityReading};
use crate::outbound::{Credentials, Stranger, Upstream};

/// The CRM that the company has, with its kind's own section of the configuration: `company.kind` and `[company.{kind}]`.
#[derive(Debug, Clone)]
pub enum CrmSettings {
    /// Jira, Cloud or Data Center.
    Jira(JiraSettings),
    /// Zendesk Support.
    Zendesk(ZendeskSettings),
    /// ServiceNow: incidents, customer service cases, or another table of that kind.
    ServiceNow(ServiceNowSettings),
    /// Request Tracker 5.
    RequestTracker(RequestTrackerSettings),
}

impl CrmSettings {
    /// The kinds, as the configuration names them.
    pub const KINDS: [&'static str; 4] = ["jira", "zendesk", "servicenow", "request-tracker"];

    /// Reads the section of a kind. Errors name every key that is wrong, as far as it can be told.
    pub fn read(kind: &str, section: toml::Table) -> Result<Self, Vec<String>> {
        // The parser's message would quote a number that was meant to be a secret.
        let untold: Vec<String> = section
            .iter()
            .filter(|(key, value)| {
                ["token", "password", "api_key"].iter().any(|secret| key.contains(secret)) && !value.is_str()
            })
            .map(|(key, _)| format!("company.{kind}.{key}: expected a text that names a secret"))
            .collect();
        if !untold.is_empty() {
            return Err(untold);
        }
        let settings = Self::parse(kind, section).map_err(|error| vec![error])?;
        let problems = match &settings {
            Self::Jira(settings) => settings.problems(),
            Self::Zendesk(settings) => settings.problems(),
            Self::ServiceNow(settings) => settings.problems(),
            Self::RequestTracker(settings) => settings.problems(),
        };
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }

    /// Whether the section of a kind may hold these keys with values of these types.
    #[must_use]
    pub fn takes(kind: &str, section: toml::Table) -> bool {
        Self::parse(kind, section).is_ok()
    }

    fn parse(kind: &str, section: toml::Table) -> Result<Self, String> {
        let parsed = match kind {
            "jira" => JiraSettings::deserialize(section).map(Self::Jira),
            "zendesk" => ZendeskSettings::deserialize(section).map(Self::Zendesk),
            "servicenow" => ServiceNowSettings::deserialize(section).map(Self::ServiceNow),
            "request-tracker" => RequestTrackerSettings::deserialize(section).map(Self::RequestTracker),
            _ => return Err(format!("company.kind: expected {}", Self::KINDS.join(" or "))),
        };
        // The parser repeats what it did not expect, however long that is.
        parsed.map_err(|error| format!("company.{kind}: {}", shorten(error.message())))
    }

    /// What is wrong with the `[priorities]` for this kind, where that can be told without asking it (`R18`).
    #[must_use]
    pub fn priority_problems(&self, words: &PriorityWords) -> Vec<String> {
        match self {
            Self::Jira(_) | Self::Zendesk(_) => Vec::new(),
            Self::ServiceNow(settings) => settings.priority_problems(words),
            Self::RequestTracker(_) => RequestTrackerSettings::priority_problems(words),
        }
    }

    /// What people call the CRM.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Jira(_) => jira::NAME,
            Self::Zendesk(_) => zendesk::NAME,
            Self::ServiceNow(_) => servicenow::NAME,
            Self::RequestTracker(_) => request_tracker::NAME,
        }
    }

    /// The reference to the secret that the connector's user goes by; `None` if there is none, as for a sandbox.
    #[must_use]
    pub fn secret_reference(&self) -> Option<&str> {
        match self {
            Self::Jira(settings) => settings.secret_reference(),
            Self::Zendesk(settings) => settings.secret_reference(),
            Self::ServiceNow(settings) => settings.secret_reference(),
            Self::RequestTracker(settings) => settings.secret_reference(),
        }
    }

    /// The credentials, from the secret that [`secret_reference`](Self::secret_reference) names. Errors if they cannot stand
    /// in a header.
    pub fn credentials(&self, secret: &str) -> Result<Arc<dyn Credentials>, String> {
        match self {
            Self::Jira(settings) => settings.credentials(secret),
            Self::Zendesk(settings) => settings.credentials(secret),
            Self::ServiceNow(settings) => settings.credentials(secret),
            Self::RequestTracker(settings) => settings.credentials(secret),
        }
    }

    /// Where attachments may be downloaded from besides the CRM itself.
    #[must_use]
    pub fn allowed_download_hosts(&self) -> Vec<String> {
        match self {
            Self::Jira(settings) => settings.allowed_download_hosts(),
            Self::Zendesk(settings) => settings.allowed_download_hosts(),
            // Their files lie in their own databases.
            Self::ServiceNow(_) | Self::RequestTracker(_) => Vec::new(),
        }
    }

    /// Function that finds out from the headers of an answer that it is for somebody else than the connector's user (`R26`). `None`
    /// for systems whose headers do not tell.
    #[must_use]
    pub fn stranger(&self) -> Option<Stranger> {
        match self {
            Self::Jira(_) => Some(jira::stranger),
            Self::ServiceNow(_) => Some(servicenow::stranger),
            Self::Zendesk(_) | Self::RequestTracker(_) => None,
        }
    }

    /// The client.
    #[must_use]
    pub fn connect(
        &self,
        priorities: PriorityWords,
        upstream: Upstream,
        clock: SharedClock,
    ) -> Arc<dyn CaseSystem> {
        match self {
            Self::Jira(settings) => Arc::new(Jira::new(settings.clone(), priorities, upstream, clock)),
            Self::Zendesk(settings) => Arc::new(Zendesk::new(settings.clone(), priorities, upstream, clock)),
            Self::ServiceNow(settings) => {
                Arc::new(ServiceNow::new(settings.clone(), priorities, upstream, clock))
            }
            Self::RequestTracker(settings) => {
                Arc::new(RequestTracker::new(settings.clone(), priorities, upstream))
            }
        }
    }
}

/// The CRM's words for the five levels: the `[priorities]` section (`R18`). A CRM with fewer words than levels has the
/// same word for several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriorityWords([String; 5]);

impl PriorityWords {
    /// The words for `P0` to `P4`, in this order. Errors if one is blank, with the key's name.
    pub fn new(words: [String; 5]) -> Result<Self, String> {
        let words = words.map(|word| word.trim().to_owned());
        for (priority, word) in Priority::ALL.iter().zip(&words) {
            if word.is_empty() {
                return Err(format!("priorities.{priority} is empty: name the CRM's word for it"));
            }
        }
        Ok(Self(words))
    }

    /// The word for a level.
    #[must_use]
    pub fn word(&self, priority: Priority) -> &str {
        &self.0[usize::from(priority.level())]
    }

    /// What a word stands for: all levels that have it. Compared without case; `None` and nothing but blanks are unset.
    #[must_use]
    pub fn read(&self, word: Option<&str>) -> PriorityReading {
        let Some(word) = word.map(str::trim).filter(|word| !word.is_empty()) else {
            return PriorityReading::Unset;
        };
        let lower = word.to_lowercase();
        let levels: Vec<Priority> = Priority::ALL
            .into_iter()
            .filter(|priority| self.word(*priority).to_lowercase() == lower)
            .collect();
        if levels.is_empty() {
            PriorityReading::Unknown(word.to_owned())
        } else {
            PriorityReading::Known(levels.into_iter().collect())
        }
    }

    /// The words that are not among `known` (compared without case), each with its level.
    #[must_use]
    pub fn missing_from(&self, known: &[&str]) -> Vec<(Priority, &str)> {
        let known: Vec<String> = known.iter().map(|word| word.trim().to_lowercase()).collect();
        Priority::ALL
            .into_iter()
            .map(|priority| (priority, self.word(priority)))
            .filter(|(_, word)| !known.contains(&word.to_lowercase()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: [&str; 5]) -> PriorityWords {
        PriorityWords::new(words.map(str::to_owned)).unwrap()
    }

    #[test]
    fn a_word_stands_for_every_level_that_has_it() {
        let four = words(["urgent", "high", "normal", "low", "Low"]);
        let low = PriorityReading::Known([Priority::P3, Priority::P4].into_iter().collect());
        for (word, expected) in [
            (Some("Urgent"), PriorityReading::exactly(Priority::P0)),
            (Some(" low "), low),
            (Some("blocker"), PriorityReading::Unknown("blocker".to_owned())),
            (Some(" "), PriorityReading::Unset),
            (None, PriorityReading::Unset),
        ] {
            assert_eq!(four.read(word), expected, "{word:?}");
        }
        assert_eq!(four.word(Priority::P3), "low");
        assert_eq!(
            four.missing_from(&["Urgent", "high", "LOW"]),
            [(Priority::P2, "normal")],
            "what the CRM lacks is named with its level"
        );
    }

    #[test]
    fn a_blank_word_is_refused_by_its_key() {
        let words = ["a", "b", " ", "d", "e"].map(str::to_owned);
        assert!(PriorityWords::new(words).unwrap_err().starts_with("priorities.P2"));
    }
}
