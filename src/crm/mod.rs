//! The company's side: one folder for each kind of CRM, every one of them a [`CaseSystem`](crate::cases::CaseSystem).
//!
//! What the kinds share stands here: their names in the configuration, and the words they use for priorities.

pub mod jira;
pub mod request_tracker;

use serde::Deserialize;

use crate::entities::{Priority, PriorityReading};

/// Which CRM the company has: `company.kind` in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CrmKind {
    /// Jira, Cloud or Data Center.
    Jira,
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
