//! State of a Google case, which says whose turn it is, and the memory of a pair about showing it on the company case.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// State of a Google case, by its name in the Cloud Support API (discovery document, revision 20260927, `Case.state`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum GoogleState {
    /// Opened, and not looked at by Google's support yet.
    New,
    /// Google's support works on the case.
    InProgressGoogleSupport,
    /// Google's support waits for the customer.
    ActionRequired,
    /// Google's support has offered a solution.
    SolutionProvided,
    /// The case is closed.
    Closed,
}

impl GoogleState {
    /// States of an open case, which the configuration maps to a status.
    pub const OPEN: [Self; 4] =
        [Self::New, Self::InProgressGoogleSupport, Self::ActionRequired, Self::SolutionProvided];

    /// All states.
    pub const ALL: [Self; 5] = [
        Self::New,
        Self::InProgressGoogleSupport,
        Self::ActionRequired,
        Self::SolutionProvided,
        Self::Closed,
    ];

    /// Returns the name in the API and in the configuration, such as `ACTION_REQUIRED`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "NEW",
            Self::InProgressGoogleSupport => "IN_PROGRESS_GOOGLE_SUPPORT",
            Self::ActionRequired => "ACTION_REQUIRED",
            Self::SolutionProvided => "SOLUTION_PROVIDED",
            Self::Closed => "CLOSED",
        }
    }

    /// Returns the state with that name; `None` if there is none.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Write-ahead record of a status that is set on the company case because Google's state changed (`R13`: unknown write outcome).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusBegun {
    /// State of the Google case that the status is for.
    pub state: GoogleState,
    /// Status to set, as the configuration names it.
    pub status: String,
    /// Names of the status that the company case had before. While it still has that status, the write has had no effect.
    #[serde(default)]
    pub from: Vec<String>,
    /// Latest time at which the write may have been sent, by our clock.
    pub attempted_at: DateTime<Utc>,
}

/// Write-ahead record of a text that is written into the field for Google's state (`R13`: unknown write outcome).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextBegun {
    /// Text to write.
    pub text: String,
    /// Latest time at which the write may have been sent, by our clock.
    pub attempted_at: DateTime<Utc>,
}

/// Memory of a pair about Google's state on the company case.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Turn {
    /// State of the Google case that the company case's status was last compared with. `None` until `[status.google]` is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<GoogleState>,
    /// True if the connector has created the company case, and its status was not compared with Google's state yet: no person has chosen it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
    /// Status that is being set, or was set without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub setting: Option<StatusBegun>,
    /// Text that was written into the field for Google's state last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
    /// Text that is being written, or was written without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub showing: Option<TextBegun>,
}

impl Turn {
    /// Returns true if a write has no known outcome (`R13`: unknown write outcome).
    #[must_use]
    pub const fn awaits_outcome(&self) -> bool {
        self.setting.is_some() || self.showing.is_some()
    }

    /// Returns the times of writes without an answer, to change them.
    pub(super) fn sent_at(&mut self) -> impl Iterator<Item = &mut DateTime<Utc>> {
        let setting = self.setting.iter_mut().map(|begun| &mut begun.attempted_at);
        setting.chain(self.showing.iter_mut().map(|begun| &mut begun.attempted_at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_has_the_apis_name() {
        for state in GoogleState::ALL {
            assert_eq!(GoogleState::from_name(state.name()), Some(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.name());
        }
        assert_eq!(GoogleState::from_name("STATE_UNSPECIFIED"), None);
    }

    #[test]
    fn records_with_fewer_fields_are_read() {
        assert_eq!(serde_json::from_str::<Turn>("{}").unwrap(), Turn::default());
        let begun = r#"{"seen":"NEW","setting":{"state":"ACTION_REQUIRED","status":"Waiting","attempted_at":"2026-11-29T09:00:00Z"}}"#;
        let turn: Turn = serde_json::from_str(begun).unwrap();
        assert!(turn.awaits_outcome());
        let again: Turn = serde_json::from_value(serde_json::to_value(&turn).unwrap()).unwrap();
        assert_eq!(again, turn);
    }
}
