//! Memory of a pair about what the connector shows of the Google case on the company case besides its state: a link, a label, and a mark on
//! each note that was carried. Each is an idempotent write: it is remembered once it is answered, and repeated otherwise.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

/// Pause before a write that the company's system refused is tried again.
const REFUSED_AGE: Duration = Duration::days(1);

/// Write of a value whose outcome is not known (`R13`: unknown write outcome).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnansweredValue {
    /// Value that was written. `None`: it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Latest time at which the write may have been sent, by our clock.
    pub at: DateTime<Utc>,
}

/// Value that the connector writes onto the company case, and never reads there: a person who removes it has the last word.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ShownValue {
    /// Value that was written last and answered. `None` if there is none, or if it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
    /// Write without an answer. It is kept after a repetition that was answered, since the first attempt may still arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unanswered: Option<UnansweredValue>,
    /// Time of the last refusal. Nothing is written for a day after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_at: Option<DateTime<Utc>>,
}

impl ShownValue {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns true if a write has no known outcome (`R13`: unknown write outcome).
    #[must_use]
    pub fn awaits_outcome(&self) -> bool {
        self.unanswered.as_ref().is_some_and(|unanswered| unanswered.value != self.written)
    }

    /// Returns true if the next sync has something to do, though neither case changes again.
    fn is_outstanding(&self, now: DateTime<Utc>) -> bool {
        !is_fresh(self.refused_at, now) && (self.refused_at.is_some() || self.awaits_outcome())
    }

    /// Returns true if a write was refused lately.
    #[must_use]
    pub fn is_refused(&self, now: DateTime<Utc>) -> bool {
        is_fresh(self.refused_at, now)
    }
}

fn is_fresh(refused_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
    refused_at.is_some_and(|at| at <= now && now - at < REFUSED_AGE)
}

/// Memory of a pair about what is shown of its Google case.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Shown {
    /// Link to the Google case. Its value is a digest of the link.
    #[serde(skip_serializing_if = "ShownValue::is_empty")]
    pub link: ShownValue,
    /// Label that the company case has while its Google case is escalated.
    #[serde(skip_serializing_if = "ShownValue::is_empty")]
    pub label: ShownValue,
    /// IDs of notes of the company case that were carried, or are about to be, and are not marked yet.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub unmarked: BTreeSet<String>,
    /// Time at which the company's system last refused such a mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark_refused_at: Option<DateTime<Utc>>,
}

impl Shown {
    /// Returns true if a write has no known outcome (`R13`: unknown write outcome).
    #[must_use]
    pub fn awaits_outcome(&self) -> bool {
        self.link.awaits_outcome() || self.label.awaits_outcome()
    }

    /// Returns true if the next sync has something to do, though neither case changes again.
    #[must_use]
    pub fn is_outstanding(&self, now: DateTime<Utc>) -> bool {
        let marks = !self.unmarked.is_empty() && !self.is_mark_refused(now);
        marks || self.link.is_outstanding(now) || self.label.is_outstanding(now)
    }

    /// Returns true if a mark was refused lately.
    #[must_use]
    pub fn is_mark_refused(&self, now: DateTime<Utc>) -> bool {
        is_fresh(self.mark_refused_at, now)
    }

    /// Returns the times of writes without an answer, to change them.
    pub(super) fn sent_at(&mut self) -> impl Iterator<Item = &mut DateTime<Utc>> {
        let Self { link, label, .. } = self;
        link.unanswered.iter_mut().chain(&mut label.unanswered).map(|unanswered| &mut unanswered.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_with_fewer_fields_are_read_and_an_empty_one_takes_no_room() {
        assert_eq!(serde_json::from_str::<Shown>("{}").unwrap(), Shown::default());
        assert_eq!(serde_json::to_string(&Shown::default()).unwrap(), "{}");
        let value = ShownValue {
            written: Some("google-escalated".to_owned()),
            unanswered: Some(UnansweredValue { value: None, at: DateTime::UNIX_EPOCH }),
            refused_at: Some(DateTime::UNIX_EPOCH),
        };
        let full = Shown {
            link: value.clone(),
            label: value,
            unmarked: BTreeSet::from(["7".to_owned()]),
            mark_refused_at: Some(DateTime::UNIX_EPOCH),
        };
        let again: Shown = serde_json::from_value(serde_json::to_value(&full).unwrap()).unwrap();
        assert_eq!(again, full);
    }

    #[test]
    fn a_refusal_is_outstanding_only_once_a_day_is_over() {
        let at = DateTime::UNIX_EPOCH + Duration::days(100);
        let refused = Shown {
            link: ShownValue { refused_at: Some(at), ..ShownValue::default() },
            unmarked: BTreeSet::from(["7".to_owned()]),
            mark_refused_at: Some(at),
            ..Shown::default()
        };
        assert!(!refused.is_outstanding(at + Duration::hours(23)));
        assert!(refused.is_outstanding(at + Duration::hours(24)));
        // A clock that was ahead has noted it.
        assert!(refused.is_outstanding(at - Duration::hours(1)));
    }
}
