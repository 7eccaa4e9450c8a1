//! Polls at longer intervals, for a side whose changes are announced by push messages: `push.poll_every`.
//!
//! Only the polls that cron asks for become seldom. A poll that a person or a message without a case asks for, and each sync of an announced
//! case, run as they do otherwise; the sweeps (`R27`) are made by the polls that are left.

use chrono::{DateTime, Duration, Utc};

use super::{Deps, TaskKind};

/// Reports if a task that cron asks for has to run: a poll comes earlier than its interval allows. A store that cannot be read keeps no poll
/// back.
pub async fn is_poll_due(deps: &Deps, kind: TaskKind) -> bool {
    let Some(side) = kind.polled_side() else { return true };
    let Some(every) = deps.settings.poll_every[side] else { return true };
    match deps.store.global().await {
        Ok(global) => is_due(global.last_polled_at(side), every, deps.clock.now()),
        Err(_) => true,
    }
}

/// Reports if no complete poll has begun since the last whole multiple of the interval. So two polls are never further apart than the
/// interval and cron's own, also after a poll between the multiples. A poll in the future was made by a clock that was ahead.
fn is_due(last: Option<DateTime<Utc>>, every: Duration, now: DateTime<Utc>) -> bool {
    let seconds = every.num_seconds().max(1);
    let begun = now.timestamp() - now.timestamp().rem_euclid(seconds);
    last.is_none_or(|last| last.timestamp() < begun || last > now)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    #[test]
    fn a_poll_is_due_once_in_each_interval() {
        for (last, now, expected) in [
            (None, 0, true),
            (Some(0), 60, false),
            (Some(1), 299, false),
            (Some(0), 300, true),
            // As cron is sometimes a little early or late.
            (Some(2), 300, true),
            (Some(299), 301, true),
            (Some(300), 599, false),
            // The clock was set back.
            (Some(900), 400, true),
        ] {
            let due = is_due(last.map(at), Duration::minutes(5), at(now));
            assert_eq!(due, expected, "last {last:?}, now {now}");
        }
    }

    proptest! {
        /// Cron asks every minute, at any second; further polls come at any time.
        #[test]
        fn two_polls_are_never_further_apart_than_the_interval_and_a_minute(
            minutes in 1_i64..60,
            second in 0_i64..60,
            others in proptest::collection::btree_set(0_i64..20_000, 0..20),
        ) {
            let every = Duration::minutes(minutes);
            let (mut last, mut longest) = (at(0), 0);
            let asked = (0..400).map(|minute| (minute * 60 + second, true));
            let mut times: Vec<(i64, bool)> = asked.chain(others.iter().map(|time| (*time, false))).collect();
            times.sort_unstable();
            for (time, by_cron) in times {
                if !by_cron || is_due(Some(last), every, at(time)) {
                    longest = longest.max((at(time) - last).num_seconds());
                    last = at(time);
                }
            }
            prop_assert!(longest <= (minutes + 1) * 60, "{longest} s");
        }
    }
}
