//! `sync.since`: cases that were last changed before that time are not taken in when they are first seen.

use std::str::FromStr;

use chrono::{DateTime, Duration, NaiveDate, SecondsFormat, Utc};

use super::Deps;
use crate::entities::{Global, Side};
use crate::store::StoreError;

/// Longest duration that is accepted; a longer one could leave the range of dates.
const LONGEST: Duration = Duration::days(3660);

/// Time before which a case counts as old when it is first seen, by its last update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Since {
    /// No such time.
    #[default]
    Always,
    /// Start of the connector, less a duration: zero for `"now"`.
    Start(Duration),
    /// Fixed time.
    At(DateTime<Utc>),
}

/// Error of a text that is no [`Since`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected \"now\", a date, or a duration")]
pub struct SinceError;

impl FromStr for Since {
    type Err = SinceError;

    fn from_str(text: &str) -> Result<Self, SinceError> {
        let text = text.trim();
        if text == "now" {
            return Ok(Self::Start(Duration::zero()));
        }
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::At(time.to_utc()));
        }
        if let Ok(date) = NaiveDate::parse_from_str(text, "%Y-%m-%d") {
            let midnight = date.and_hms_opt(0, 0, 0).ok_or(SinceError)?;
            return Ok(Self::At(midnight.and_utc()));
        }
        let duration = humantime::parse_duration(text).ok().and_then(|long| Duration::from_std(long).ok());
        duration.filter(|long| *long <= LONGEST).map(Self::Start).ok_or(SinceError)
    }
}

impl Since {
    /// Returns the problem with a time that is not over yet: nothing would be taken in until then. Names the value and the clock.
    #[must_use]
    pub fn problem(self, now: DateTime<Utc>) -> Option<String> {
        let Self::At(time) = self else { return None };
        (time > now).then(|| {
            format!(
                "sync.since is {}, which is in the future: the clock of this machine says {}",
                time.to_rfc3339_opts(SecondsFormat::Secs, true),
                now.to_rfc3339_opts(SecondsFormat::Secs, true)
            )
        })
    }

    /// Returns the time, by our clock; `None` if there is none, or if the connector has not started yet.
    pub(super) fn time(self, began_at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        match self {
            Self::Always => None,
            Self::Start(before) => began_at?.checked_sub_signed(before),
            Self::At(time) => Some(time),
        }
    }
}

/// Stores the time of the first start, if `sync.since` counts from it and none is stored yet. Restarts and other instances find it there.
pub async fn begin(deps: &Deps) -> Result<(), StoreError> {
    begin_with(deps, deps.store.global().await?).await.map(drop)
}

/// Does the same, with `Global` as it was read, and returns it as it is then.
pub(super) async fn begin_with(deps: &Deps, mut global: Global) -> Result<Global, StoreError> {
    let began_at = |side: Side| global.memory[side].began_at;
    let earliest = Side::BOTH.into_iter().filter_map(began_at).min();
    let lacking: Vec<Side> = Side::BOTH.into_iter().filter(|side| began_at(*side).is_none()).collect();
    if !matches!(deps.settings.since, Since::Start(_)) || lacking.is_empty() {
        return Ok(global);
    }
    let began_at = earliest.unwrap_or_else(|| deps.clock.now());
    for side in lacking {
        global.memory[side].began_at = Some(began_at);
        deps.store.set_poll(side, global.last_polled_at(side), &global.memory[side]).await?;
    }
    Ok(global)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_the_future_is_told_with_the_clock() {
        let now: DateTime<Utc> = "2026-11-24T09:00:00Z".parse().unwrap();
        let problem = |text: &str| text.parse::<Since>().unwrap().problem(now);
        for text in ["now", "7d", "2026-11-24", "2026-11-24T09:00:00Z"] {
            assert_eq!(problem(text), None, "{text}");
        }
        let told = problem("2027-03-01").unwrap();
        assert!(told.contains("2027-03-01T00:00:00Z") && told.contains("2026-11-24T09:00:00Z"), "{told}");
    }

    #[test]
    fn a_time_is_now_a_date_or_a_duration() {
        let at = |text: &str| Some(text.parse::<DateTime<Utc>>().unwrap());
        for (text, expected) in [
            ("now", at("2026-11-24T09:00:00Z")),
            (" 7d ", at("2026-11-17T09:00:00Z")),
            ("90m", at("2026-11-24T07:30:00Z")),
            ("2026-11-20", at("2026-11-20T00:00:00Z")),
            ("2026-11-20T08:00:00+02:00", at("2026-11-20T06:00:00Z")),
        ] {
            let since: Since = text.parse().unwrap();
            assert_eq!(since.time(at("2026-11-24T09:00:00Z")), expected, "{text}");
            let counts_from_start = matches!(since, Since::Start(_));
            assert_eq!(since.time(None).is_none(), counts_from_start, "{text}");
        }
        for text in ["", "Now", "yesterday", "7", "-7d", "2026-13-01", "2026-11-20T08:00:00", "4000d"] {
            assert_eq!(text.parse::<Since>(), Err(SinceError), "{text}");
        }
        assert_eq!(Since::default().time(at("2026-11-24T09:00:00Z")), None);
    }
}
