//! Memory of a pair about what the connector shows of the Google case on the company case besides its state: a link, a label, and a mark on
//! each note that was carried. Each is an idempotent write: it is remembered once it is answered, and repeated otherwise.

use std::collections::BTreeSet;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

/// Pause before a write that the company's system refused is tried again.
const REFUSED_AGE: Duration = Duration::days(1);
/// First pause before a write that failed is tried again. Each further one is as long as the failures have lasted, and at most `REFUSED_AGE`.
const FIRST_PAUSE: Duration = Duration::minutes(5);

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
    /// Time of the last refusal or failure. Nothing is written for a day after a refusal, and for a growing pause after a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused_at: Option<DateTime<Utc>>,
    /// Time of the first of the failures in a row. `None` if the last attempt was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<DateTime<Utc>>,
    /// True if something is left to be written, and the cases do not let it: the company case is closed, or the Google case has no title.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub idle: bool,
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

    /// Returns true if a write was refused or has failed, or has no known outcome.
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        self.refused_at.is_some() || self.awaits_outcome()
    }

    /// Returns true if the next sync has something to do, though neither case changes again.
    fn is_outstanding(&self, now: DateTime<Utc>) -> bool {
        !self.idle && !self.is_refused(now) && self.is_unsettled()
    }

    /// Returns true if a write was refused or has failed lately.
    #[must_use]
    pub fn is_refused(&self, now: DateTime<Utc>) -> bool {
        is_fresh(self.refused_at, self.failing_since, now)
    }

    /// Returns the time at which a value is due whose write has failed, or has to wait for an earlier one. `None` if no sync has to come for
    /// it.
    fn due_at(&self, window: Duration) -> Option<DateTime<Utc>> {
        let is_refused = self.refused_at.is_some() && self.failing_since.is_none();
        if self.idle || is_refused {
            return None;
        }
        let sent = self.unanswered.as_ref().filter(|_| self.is_unsettled());
        let settled_at = sent.and_then(|unanswered| unanswered.at.checked_add_signed(window));
        settled_at.max(retry_at(self.refused_at, self.failing_since))
    }
}

/// Returns the pause after a refusal, or after the last of the failures since `failing_since`.
fn pause(refused_at: DateTime<Utc>, failing_since: Option<DateTime<Utc>>) -> Duration {
    failing_since.map_or(REFUSED_AGE, |since| (refused_at - since).clamp(FIRST_PAUSE, REFUSED_AGE))
}

fn is_fresh(
    refused_at: Option<DateTime<Utc>>,
    failing_since: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> bool {
    refused_at.is_some_and(|at| at <= now && now - at < pause(at, failing_since))
}

/// Returns the end of the pause after a failure.
fn retry_at(
    refused_at: Option<DateTime<Utc>>,
    failing_since: Option<DateTime<Utc>>,
) -> Option<DateTime<Utc>> {
    let at = refused_at.filter(|_| failing_since.is_some())?;
    at.checked_add_signed(pause(at, failing_since))
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
    /// Time at which the company's system last refused such a mark, or at which one failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark_refused_at: Option<DateTime<Utc>>,
    /// Time of the first of the failed marks in a row. `None` if the last one was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark_failing_since: Option<DateTime<Utc>>,
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

    /// Returns true if a mark was refused or has failed lately.
    #[must_use]
    pub fn is_mark_refused(&self, now: DateTime<Utc>) -> bool {
        is_fresh(self.mark_refused_at, self.mark_failing_since, now)
    }

    /// Returns the time at which the first of the writes is due that failed, or that have to wait for an earlier one. `window` is the
    /// in-flight window of the company's system. `None` if no sync has to come for them: a refusal waits for the next one.
    #[must_use]
    pub fn due_at(&self, window: Duration) -> Option<DateTime<Utc>> {
        let mark =
            retry_at(self.mark_refused_at, self.mark_failing_since).filter(|_| !self.unmarked.is_empty());
        [self.link.due_at(window), self.label.due_at(window), mark].into_iter().flatten().min()
    }

    /// Makes what was refused or has failed due at once. Returns true if there was anything.
    pub(super) fn try_again(&mut self) -> bool {
        let Self { link, label, mark_refused_at, .. } = self;
        let times = [&mut link.refused_at, &mut label.refused_at, mark_refused_at];
        let mut is_changed = false;
        // A time stays, since it tells the next sync that something is to be done.
        for at in times.into_iter().flatten() {
            *at = DateTime::UNIX_EPOCH;
            is_changed = true;
        }
        (link.failing_since, label.failing_since, self.mark_failing_since) = (None, None, None);
        is_changed
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
            failing_since: Some(DateTime::UNIX_EPOCH),
            idle: true,
        };
        let full = Shown {
            link: value.clone(),
            label: value,
            unmarked: BTreeSet::from(["7".to_owned()]),
            mark_refused_at: Some(DateTime::UNIX_EPOCH),
            mark_failing_since: Some(DateTime::UNIX_EPOCH),
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
        assert_eq!(refused.due_at(Duration::zero()), None);
    }

    #[test]
    fn what_was_refused_is_due_at_once_if_somebody_asks_for_it() {
        let at = DateTime::UNIX_EPOCH + Duration::days(100);
        assert!(!Shown::default().try_again());
        let refused = ShownValue { refused_at: Some(at), ..ShownValue::default() };
        let failed = ShownValue { failing_since: Some(at - Duration::days(9)), ..refused.clone() };
        let marks = Shown {
            unmarked: BTreeSet::from(["7".to_owned()]),
            mark_refused_at: Some(at),
            ..Shown::default()
        };
        let link = Shown { link: refused.clone(), ..Shown::default() };
        for mut shown in [link, Shown { label: failed, ..Shown::default() }, marks] {
            assert!(!shown.is_outstanding(at), "{shown:?}");
            assert!(shown.try_again());
            assert!(shown.is_outstanding(at), "{shown:?}");
        }
        let mut state = crate::entities::PairState::new();
        state.shown.link = refused;
        assert!(state.try_again() && state.shown.is_outstanding(at));
    }
}
