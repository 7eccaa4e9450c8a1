//! Rechecks: an unchanged case is read again a few times after its last update, for content that its lists show late (`R8`: idle cases).
//!
//! A list may lag behind the time of last update of its case, and a sync that runs in between finds nothing. So a poll queues a few more
//! syncs of the case, at growing distances. Most of them find nothing, and therefore read the lists of that one case only.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Duration, Utc};

use super::edits::read_since;
use super::placing::with_details;
use super::session::{Session, SyncError};
use super::sight::{Look, plus};
use super::sync_case::{seems_set, settled_update};
use crate::cases::{ApiErrorKind, Case, Content, Found};
use crate::entities::{CaseMapping, Side, Sides};
use crate::sync::{has_new_edit, has_nothing_new, horizons, is_at_rest};

/// Age of a case's last update at the first recheck. Each further recheck is at three times the age of the one before.
const FIRST: Duration = Duration::minutes(2);
const GROWTH: i32 = 3;
/// Time between the last recheck and the end of the polling window. Polls are a minute apart, so one falls into it.
const BEFORE_THE_END: Duration = Duration::seconds(90);
/// Interval of the rechecks of a case whose last update lies in the future: a clock that was ahead wrote it, and its age says nothing.
const AHEAD_EVERY: Duration = Duration::minutes(6);

/// Returns the age of a case's last update at the last recheck.
fn last_recheck(window: Duration) -> Duration {
    (window - BEFORE_THE_END).max(window / 2)
}

/// Recheck that a poll has to queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Recheck {
    /// The case is about to leave the polling window, and no later poll finds it.
    Last,
    /// Another one follows.
    Early,
}

/// Interval of the searched system's time that a poll covers: since the poll before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// Time of the last poll; `None` if there was none.
    pub(super) from: Option<DateTime<Utc>>,
    /// Time of this poll.
    pub(super) until: DateTime<Utc>,
    /// Polling window.
    pub(super) window: Duration,
}

impl Slot {
    /// Returns the interval of a poll that started at `started` by our clock, and at `theirs` by the system's.
    pub(super) fn of(
        look: Look,
        last_polled_at: Option<DateTime<Utc>>,
        started: DateTime<Utc>,
        theirs: DateTime<Utc>,
        window: Duration,
    ) -> Self {
        let from = last_polled_at.map(|last| plus(last.min(started), theirs - started));
        Self { from: look.at_most_shown(from), until: theirs, window }
    }

    /// Returns the recheck of an unchanged case that is due in this interval. Uses the time of last update only, so that nothing has to be
    /// stored. After a pause of the polls, several due rechecks count as one.
    pub(super) fn recheck(&self, updated_at: Option<DateTime<Utc>>) -> Option<Recheck> {
        // Without its time of last update, a case is unchanged as far as anybody can tell, in every poll.
        let (Some(updated_at), Some(from)) = (updated_at, self.from) else { return Some(Recheck::Last) };
        let (age, before) = (self.until - updated_at, from - updated_at);
        if age <= Duration::zero() {
            let turn = |at: DateTime<Utc>| at.timestamp().div_euclid(AHEAD_EVERY.num_seconds());
            return (turn(from) != turn(self.until)).then_some(Recheck::Last);
        }
        let is_due = |at: Duration| before < at && at <= age;
        let last = last_recheck(self.window);
        if is_due(last) {
            return Some(Recheck::Last);
        }
        let mut early = std::iter::successors(Some(FIRST), |at| at.checked_mul(GROWTH));
        early.by_ref().take_while(|at| *at * 2 <= last).any(is_due).then_some(Recheck::Early)
    }
}

/// Cases that a poll of this process has shown to be unchanged, so that the next polls need not read their mappings, not even to queue a
/// recheck (`R8`: idle cases).
///
/// Holds only cases whose pair is linked, open and at rest. What other tasks change about such a pair, they queue themselves.
#[derive(Debug, Default)]
pub struct Unchanged(Mutex<Sides<HashMap<String, Shown>>>);

/// State of a case when a poll has shown it.
#[derive(Debug, Clone, Copy)]
struct Shown {
    updated_at: DateTime<Utc>,
    shown_at: DateTime<Utc>,
}

impl Unchanged {
    /// Time for which a case is not looked up again.
    const AGE: Duration = Duration::minutes(15);
    /// Maximum number of cases of a side, some hundred bytes each.
    const MOST: usize = 20_000;

    /// Returns true if the case was shown lately with the same time of last update.
    pub(super) fn has(&self, side: Side, case: &Found, now: DateTime<Utc>) -> bool {
        let all = self.lock();
        let shown = all[side].get(&case.id);
        shown.is_some_and(|shown| Some(shown.updated_at) == case.updated_at && shown.is_fresh(now))
            && !case.closed
    }

    /// Records that a case is unchanged.
    pub(super) fn note(&self, side: Side, case: &Found, now: DateTime<Utc>) {
        let Some(updated_at) = case.updated_at else { return };
        let mut all = self.lock();
        let of_side = &mut all[side];
        if of_side.len() >= Self::MOST {
            of_side.retain(|_, shown| shown.is_fresh(now));
        }
        if of_side.len() < Self::MOST {
            of_side.insert(case.id.clone(), Shown { updated_at, shown_at: now });
        }
    }

    /// Forgets the cases of a pair that an operator has changed.
    pub(super) fn forget(&self, mapping: &CaseMapping) {
        let mut all = self.lock();
        for side in Side::BOTH {
            mapping.case_id(side).and_then(|case| all[side].remove(case));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sides<HashMap<String, Shown>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown {
    fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        now >= self.shown_at && now - self.shown_at < Unchanged::AGE
    }
}

/// Lists of a case, and the horizon of the sync that they were read for. They may go back further.
pub(super) type PrefetchedContent = (Option<DateTime<Utc>>, Content);

/// Case and lists of one side, if they were read already.
#[derive(Debug, Default)]
pub(super) struct Prefetched {
    pub(super) case: Option<Case>,
    /// Lists, read after the case.
    pub(super) content: Option<PrefetchedContent>,
}

/// Outcome of reading one side alone.
pub(super) enum Reading {
    /// Nothing there is new.
    Nothing,
    /// Only a complete sync can tell. It needs not read these again.
    Unclear(Box<Prefetched>),
}

/// Reads one side of a pair that is at rest, to see if anything there is new.
///
/// If the case is unchanged, only its lists are read. If a poll found it changed, it is read itself first: most changes are the connector's
/// own writes, or fields that are not kept in step. The mark is cleared then, and no stamp moves, since the other side was not read (`R15`:
/// one horizon for both).
pub(super) async fn look(session: &mut Session<'_>, side: Side) -> Result<Reading, SyncError> {
    let deps = session.deps;
    let clocks = deps.clocks();
    let in_doubt = || Side::BOTH.into_iter().any(|side| deps.clock_doubt(side).is_some());
    let unclear = |prefetched| Ok(Reading::Unclear(Box::new(prefetched)));
    let id = session.mapping.case_id(side).map(str::to_owned);
    let Some(id) = id.filter(|_| is_at_rest(&session.mapping, side, clocks) && !in_doubt()) else {
        return unclear(Prefetched::default());
    };
    let system = &deps.systems[side];
    let horizon = horizons(&session.mapping, deps.settings.windows, clocks)[side];
    let since = read_since(deps, &session.mapping, side, horizon);
    let (mut read, mut lists) = (None, None);
    if session.mapping.dirty[side].is_some() {
        let whole = match system.get_whole(&id, since).await {
            Err(error) if error.kind != ApiErrorKind::NotFound => return Err(error.into()),
            whole => whole.ok().flatten(),
        };
        // A case that is not found is the complete sync's concern (R28: missing is not gone).
        let Some((case, content)) = whole else { return unclear(Prefetched::default()) };
        let case = with_details(deps, side, case).await?;
        if session.mapping.state.read_as[side] != Some(case.digest()) {
            return unclear(Prefetched { case: Some(case), content: Some((horizon, content)) });
        }
        (read, lists) = (Some(case), Some(content));
    }
    let carried = session.mapping.carried_updated_at[side];
    let updated_at = read.as_ref().and_then(|case| case.updated_at).filter(|at| carried != Some(*at));
    if seems_set(&session.mapping, side, (updated_at, horizon), clocks, deps.settings.windows[side]) {
        // What is new may look older than the horizon. A complete sync reads both cases from the beginning (R36: clock skew).
        return unclear(Prefetched { case: read, content: None });
    }
    let content = match lists {
        Some(content) => content,
        None => match system.content(&id, since).await {
            Ok(content) => content,
            Err(error) if error.kind == ApiErrorKind::NotFound => return unclear(Prefetched::default()),
            Err(error) => return Err(SyncError::Unread(error)),
        },
    };
    let content = content.since(since);
    let rules = (&deps.settings.rules, deps.capabilities()[side]);
    let is_edited = has_new_edit(side, &session.mapping, (&content.comments, since), rules, clocks);
    let recent =
        if since == horizon { Cow::Borrowed(&content) } else { Cow::Owned(content.clone().since(horizon)) };
    if is_edited || !has_nothing_new(side, &session.mapping, &recent, &deps.settings.rules) || in_doubt() {
        // Lists that were read before their case may lack what its time of last update covers.
        let content = read.is_some().then_some((horizon, content));
        return unclear(Prefetched { case: read, content });
    }
    let Some(case) = read else {
        let window = deps.settings.windows[side];
        let carried = carried.filter(|at| clocks.of(side) - *at >= last_recheck(window));
        if session.mapping.state.read_unshown[side] && carried.is_some() {
            session.settle_at_rest(side, carried, |mapping| is_at_rest(mapping, side, clocks)).await?;
        }
        return Ok(Reading::Nothing);
    };
    let updated_at = settled_update(deps, side, &case, clocks.or_earlier(deps.clocks()), session.started);
    if session.settle_at_rest(side, updated_at, |mapping| is_at_rest(mapping, side, clocks)).await? {
        return Ok(Reading::Nothing);
    }
    unclear(Prefetched::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::seconds(seconds)
    }

    /// Returns the minutes after an update, of all polls a minute apart, that queue a recheck.
    fn rechecks(window: i64, polls: i64) -> Vec<(i64, Recheck)> {
        let due = |minute: i64| {
            let (from, until) = (Some(at(minute * 60 - 60)), at(minute * 60));
            let slot = Slot { from, until, window: Duration::minutes(window) };
            Some((minute, slot.recheck(Some(at(0)))?))
        };
        (1..=polls).filter_map(due).collect()
    }

    #[test]
    fn a_case_is_read_again_at_growing_distances_and_before_it_leaves_the_window() {
        use Recheck::{Early, Last};
        assert_eq!(rechecks(30, 60), [(2, Early), (6, Early), (29, Last)]);
        assert_eq!(rechecks(5, 60), [(4, Last)]);
        assert_eq!(rechecks(1, 60), [(1, Last)]);
    }

    #[test]
    fn no_recheck_is_missed_while_no_poll_succeeds() {
        let slot = |from: i64, until: i64| Slot {
            from: Some(at(from)),
            until: at(until),
            window: Duration::minutes(30),
        };
        assert_eq!(slot(120, 900).recheck(Some(at(0))), Some(Recheck::Early));
        assert_eq!(slot(120, 86_400).recheck(Some(at(0))), Some(Recheck::Last));
        assert_eq!(slot(1_800, 86_400).recheck(Some(at(0))), None, "it had its last one");
        assert_eq!(Slot { from: None, ..slot(0, 60) }.recheck(Some(at(0))), Some(Recheck::Last));
    }

    #[test]
    fn a_case_from_the_future_is_read_again_every_six_minutes() {
        let due = |minute: i64| {
            let (from, until) = (Some(at(minute * 60 - 60)), at(minute * 60));
            Slot { from, until, window: Duration::minutes(5) }.recheck(Some(at(1_000_000)))
        };
        assert_eq!((1..=60).filter_map(due).count(), 10);
        assert_eq!(
            Slot { from: Some(at(0)), until: at(60), window: Duration::minutes(5) }.recheck(None),
            Some(Recheck::Last)
        );
    }
}
