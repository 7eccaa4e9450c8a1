//! Horizon of a poll (`R6`: a watermark moves last; `R27`: sweeps; `R36`: clock skew), and the proof that its system shows all cases that
//! it has to show (`R26`: empty answers need proof).

use chrono::{DateTime, Duration, Utc};

use super::Deps;
use super::sync_case::scope_in_name;
use crate::cases::{ApiError, ApiErrorKind, Found};
use crate::entities::{Canary, CaseMapping, CompanyCaseId, GoogleCaseName, IndexLag, PollMemory, Side};
use crate::store::{MappingFilter, StoreError, modify};

/// Time that the very first poll looks back (`R6`: a watermark moves last).
const FIRST_LOOK: Duration = Duration::days(30);
/// Interval of the sweeps over the last day (`R27`: sweeps).
const SWEEP_DAY_EVERY: Duration = Duration::hours(1);
/// Interval of the sweeps over the whole of `max_case_age` (`R27`: sweeps).
const SWEEP_ALL_EVERY: Duration = Duration::days(1);
/// Lifetime of a proof of sight, or of identity. Each proof is a call: for both sides together this makes one in seven minutes.
const PROOF_AGE: Duration = Duration::minutes(15);
/// Interval of the second search of a system that takes two. The polls of an idle minute then make two calls on average.
const SECOND_SEARCH_EVERY: Duration = Duration::minutes(4);
/// Time after which an overdue second search is made in any minute, since it was missed in the side's own minutes.
const SECOND_SEARCH_OVERDUE: Duration = Duration::minutes(6);
/// Maximum time that a poll looks back further because a clock seems to have been set back. A sweep covers the time before (R27: sweeps).
const SET_BACK_AT_MOST: Duration = Duration::days(1);
/// Maximum correction of a clock for which the search is not repeated.
const CORRECTION: Duration = Duration::minutes(1);
/// Maximum number of scopes with a canary.
const MOST_SCOPES: usize = 64;
/// Number of open mappings that are read to find another canary.
const CANDIDATES: usize = 200;
/// Age of a change, relative to the last poll, above which it counts as shown late by the index.
const SHOWN_LATE: Duration = Duration::seconds(10);
/// Lifetime of the longest index lag.
const LAG_AGE: Duration = Duration::days(1);

/// Horizon of a poll. All times are the searched system's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// Start of the search.
    pub(super) since: DateTime<Utc>,
    /// Start of the usual polling window. Earlier updates are found only by a poll that looks back further.
    pub(super) recent: DateTime<Utc>,
    /// Time up to which all changes were shown to earlier polls.
    shown_until: Option<DateTime<Utc>>,
    sweeps_day: bool,
    sweeps_all: bool,
    /// True if both searches are made, for a system that takes two.
    pub(super) second: bool,
}

impl Look {
    /// Computes the horizon of a poll that starts at `now`, by our clock. `skew` is the time by which the system's clock is ahead.
    pub(super) fn new(
        memory: &PollMemory,
        last_polled_at: Option<DateTime<Utc>>,
        (now, skew): (DateTime<Utc>, Duration),
        window: Duration,
        max_case_age: Duration,
    ) -> Self {
        let theirs = plus(now, skew);
        // A watermark in the future was set by a clock that was ahead (R36: clock skew).
        let polled_at = |at: DateTime<Utc>| plus(at.min(now), skew);
        // If the system's clock was set back, changes since the last poll may have times before it. The last poll therefore counts at the
        // time that the system's clock, as it is now, would have shown then (R36: clock skew). A jump of our own clock ahead looks the
        // same, so this goes back a day at most.
        let in_their_time = last_polled_at.into_iter().chain(memory.seen_at).min().map(polled_at);
        let as_polled = in_their_time.map_or(theirs, |at| at.max(minus(theirs, SET_BACK_AT_MOST)));
        let shown_until = memory
            .shown_until
            .map(|until| until.min(as_polled))
            .or_else(|| last_polled_at.map(polled_at))
            .map(|until| until.min(theirs));
        let Some(until) = shown_until else {
            let since = minus(theirs, FIRST_LOOK);
            return Self {
                since,
                recent: since,
                shown_until,
                sweeps_day: true,
                sweeps_all: true,
                second: true,
            };
        };
        let recent = minus(until, window);
        let is_due =
            |swept: Option<DateTime<Utc>>, every| swept.is_none_or(|at| at > now || now - at >= every);
        let sweeps_all = is_due(memory.swept_all_at, SWEEP_ALL_EVERY);
        let sweeps_day = sweeps_all || is_due(memory.swept_day_at, SWEEP_DAY_EVERY);
        let mut since = recent;
        if sweeps_day {
            // After a pause the sweep starts before the last one: a change that was hidden then is found by no other sweep.
            let swept = memory.swept_day_at.map_or(theirs, |at| plus(at, skew).min(theirs));
            since = since.min(minus(swept, Duration::days(1)));
        }
        if sweeps_all {
            since = since.min(minus(theirs, max_case_age));
        }
        Self { since, recent, shown_until, sweeps_day, sweeps_all, second: true }
    }

    /// Lets the first poll look back to `wanted`, in the system's time, if people asked for what has changed since then.
    pub(super) fn first_from(mut self, wanted: Option<DateTime<Utc>>) -> Self {
        if let Some(wanted) = wanted.filter(|_| self.shown_until.is_none()) {
            self.since = self.since.min(wanted);
            self.recent = self.since;
        }
        self
    }

    /// Adapts the horizon for a system that takes two searches. The second search is made in some polls only, and looks back to its last
    /// time.
    pub(super) fn of_two_searches(
        mut self,
        memory: &PollMemory,
        side: Side,
        (now, skew): (DateTime<Utc>, Duration),
        window: Duration,
    ) -> Self {
        let last = memory.searched_twice_at.filter(|at| *at <= now);
        let age = last.map(|at| now - at);
        let is_due = age.is_none_or(|age| {
            age >= SECOND_SEARCH_OVERDUE || (age >= SECOND_SEARCH_EVERY && has_turn(side, now))
        });
        self.second = self.sweeps_day || is_due;
        if let (true, Some(last)) = (self.second, last) {
            let last = plus(last, skew);
            self.since = self.since.min(minus(last, window));
            // A change that only the second search finds was not shown late by an index.
            self.shown_until = self.shown_until.map(|until| until.min(last));
        }
        self
    }

    /// True if this horizon is so much earlier than `other` that the search has to be repeated.
    pub(super) fn reaches_beyond(&self, other: &Self) -> bool {
        plus(self.since, CORRECTION) < other.since
    }

    /// Returns the earlier one of that time and the time up to which all changes were shown.
    pub(super) fn at_most_shown(&self, at: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
        at.map(|at| self.shown_until.map_or(at, |until| until.min(at)))
    }

    /// True if a change is older than the usual polling window, so that a poll finds it only by looking back further.
    pub(super) fn is_late(&self, updated_at: Option<DateTime<Utc>>) -> bool {
        updated_at.is_some_and(|at| at < self.recent)
    }

    /// Returns the index lag of a change that the last poll should have found; `None` if there was no lag. A time that is precise to
    /// `resolution` only may be that of a change after the poll.
    pub(super) fn index_lag(
        &self,
        updated_at: Option<DateTime<Utc>>,
        theirs: DateTime<Utc>,
        resolution: Duration,
    ) -> Option<Duration> {
        let (at, until) = (updated_at?, self.shown_until?);
        (plus(at, resolution) < minus(until, SHOWN_LATE)).then(|| theirs - at)
    }

    /// Records if a sweep over everything found no case (`R24`: health of the polls). A shorter look that finds nothing says nothing.
    pub(super) fn note_emptiness(&self, memory: &mut PollMemory, found: bool, now: DateTime<Utc>) {
        if found {
            memory.empty_since = None;
        } else if self.sweeps_all {
            memory.empty_since = Some(memory.empty_since.map_or(now, |since| since.min(now)));
        }
    }

    /// Records the sweeps and the second search that were made.
    pub(super) fn note(&self, memory: &mut PollMemory, now: DateTime<Utc>) {
        if self.sweeps_day {
            memory.swept_day_at = Some(now);
        }
        if self.sweeps_all {
            memory.swept_all_at = Some(now);
        }
        if self.second {
            memory.searched_twice_at = Some(now);
        }
    }
}

/// True if it is this side's minute for calls beside its search. The sides alternate, so that no minute has two such calls.
fn has_turn(side: Side, now: DateTime<Utc>) -> bool {
    now.timestamp().div_euclid(60).rem_euclid(2) == i64::from(side == Side::Google)
}

/// Adds a duration to a time, up to the end of the calendar.
pub(super) fn plus(at: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    at.checked_add_signed(by).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

pub(super) fn minus(at: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    at.checked_sub_signed(by).unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// Records the longest index lag within a day (`R27`: sweeps).
pub(super) fn note_index_lag(memory: &mut PollMemory, lag: Duration, now: DateTime<Utc>) {
    let seconds = lag.num_seconds();
    let known = memory.index_lag.filter(|known| now - known.at < LAG_AGE && known.at <= now);
    if known.is_none_or(|known| known.seconds < seconds) {
        memory.index_lag = Some(IndexLag { seconds, at: now });
    }
}

/// Records that a linked, open case was shown, so that it can be the canary of its scope.
pub(super) fn note_shown(memory: &mut PollMemory, side: Side, case: &Found, now: DateTime<Utc>) {
    let scope = case.scope.clone().or_else(|| scope_in_name(side, &case.id)).unwrap_or_default();
    if memory.canaries.len() < MOST_SCOPES || memory.canaries.contains_key(&scope) {
        memory.canaries.insert(scope, Canary { case: case.id.clone(), seen_at: now });
    }
}

/// Reason why a poll cannot trust the result of its search.
#[derive(Debug, thiserror::Error)]
pub(super) enum Doubt {
    /// The system does not show a case that it has to show; `since` is the time, by our clock, from which that may be so.
    #[error("{reason}")]
    Unseen { reason: String, since: DateTime<Utc> },
    /// The system could not be asked.
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Facts about the result of a search that its proof depends on.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one answer")]
pub(super) struct Shown {
    /// True if the search found a case.
    pub(super) found: bool,
    /// True if the search found a case that was updated within the usual polling window.
    pub(super) is_recent: bool,
    /// True if a second search was made: this minute has had its third call.
    pub(super) second: bool,
    /// True if the answers showed that the system recognises the connector's user.
    pub(super) identified: bool,
}

/// Makes sure that the system shows all cases that it has to show, usually with one call at most (`R26`: empty answers need proof). Returns
/// true if this poll has a proof. An empty answer without a proof is accepted for now, but the next poll searches the same time again.
pub(super) async fn prove(
    deps: &Deps,
    side: Side,
    memory: &mut PollMemory,
    shown: Shown,
    now: DateTime<Utc>,
) -> Result<bool, Doubt> {
    let emptied = !shown.found && memory.found_last;
    // A result of a sweep alone does not make the usual empty answer after it suspicious.
    memory.found_last = shown.is_recent;
    if shown.identified {
        memory.identified_at = Some(now);
    }
    if shown.found {
        memory.seen_at = Some(now);
    }
    let is_stale = |at: Option<DateTime<Utc>>| at.is_none_or(|at| at > now || now - at >= PROOF_AGE);
    // If no case was ever shown, a proof is requested at the usual interval.
    let is_unknown = memory.seen_at.is_none() && is_stale(memory.probed_at);
    let must = emptied || memory.doubt.is_some() || is_unknown;
    if !must && (shown.second || !has_turn(side, now)) {
        return Ok(shown.found);
    }
    if memory.canaries.is_empty() && is_stale(memory.seen_at) && is_stale(memory.probed_at) {
        choose_canary(deps, side, memory).await?;
    }
    // A canary from the future was seen by a clock that was ahead, and nobody knows when (R36: clock skew): it counts as the oldest.
    let seen_at = |canary: &Canary| Some(canary.seen_at).filter(|at| *at <= now);
    let oldest = memory.canaries.iter().min_by_key(|(_, canary)| seen_at(canary));
    let oldest = oldest.map(|(scope, canary)| (scope.clone(), canary.clone()));
    let sight_is_stale = match &oldest {
        Some((_, canary)) => is_stale(Some(canary.seen_at)),
        None => is_stale(memory.seen_at) && is_stale(memory.probed_at),
    };
    if !must && !sight_is_stale && !is_stale(memory.identified_at) {
        return Ok(shown.found);
    }
    memory.probed_at = Some(now);
    let sees = match oldest {
        Some((scope, canary)) if must || sight_is_stale => {
            see_canary(deps, side, memory, &scope, &canary, now).await?
        }
        Some(_) => {
            deps.systems[side].identify().await?;
            false
        }
        None if shown.found && !sight_is_stale => {
            deps.systems[side].identify().await?;
            false
        }
        None => deps.systems[side].any_case(None).await?.is_some(),
    };
    memory.identified_at = Some(now);
    if sees {
        memory.seen_at = Some(now);
    }
    // A proof that was requested because an answer was doubtful does not vouch for that answer. The next answer is trusted.
    Ok((sees && !must) || shown.found)
}

/// Chooses an open linked case as a canary, if no poll has found one yet.
async fn choose_canary(deps: &Deps, side: Side, memory: &mut PollMemory) -> Result<(), Doubt> {
    let page = deps.store.list(MappingFilter::Open, None, CANDIDATES).await?;
    let chosen = page.mappings.iter().rev().find(|mapping| is_candidate(mapping, side));
    if let Some(mapping) = chosen
        && let Some(case) = mapping.case_id(side)
    {
        let scope = scope_of(mapping, side);
        // The case was last seen when it was last carried.
        let seen_at = mapping.stored_synced_at(side).unwrap_or(mapping.created_at);
        memory.canaries.insert(scope, Canary { case: case.to_owned(), seen_at });
    }
    Ok(())
}

fn scope_of(mapping: &CaseMapping, side: Side) -> String {
    let known = mapping.state.scope[side].clone();
    known.or_else(|| scope_in_name(side, mapping.case_id(side)?)).unwrap_or_default()
}

/// True if the system has to show the mapping's case of that side.
fn is_candidate(mapping: &CaseMapping, side: Side) -> bool {
    mapping.is_linked()
        && mapping.is_open()
        && mapping.gone.is_none()
        && (side == Side::Google || !mapping.paused)
}

/// Reads a canary. If it is not shown, another open linked case of its scope, or any case of that scope, may prove that only this one is
/// missing (`R28`: missing is not gone). Returns true if one of them is shown.
async fn see_canary(
    deps: &Deps,
    side: Side,
    memory: &mut PollMemory,
    scope: &str,
    canary: &Canary,
    now: DateTime<Utc>,
) -> Result<bool, Doubt> {
    let Some(trouble) = unseen(deps, side, &canary.case).await? else {
        memory.canaries.insert(scope.to_owned(), Canary { seen_at: now, ..canary.clone() });
        return Ok(true);
    };
    memory.canaries.remove(scope);
    let mapping = match side {
        Side::Google => match GoogleCaseName::parse(&canary.case) {
            Ok(name) => deps.store.find_by_google(&name).await?,
            Err(_) => None,
        },
        Side::Company => match CompanyCaseId::parse(&canary.case) {
            Ok(id) => deps.store.find_by_company(&id).await?,
            Err(_) => None,
        },
    };
    let page = deps.store.list(MappingFilter::Open, None, CANDIDATES).await?;
    let mut others = page.mappings.iter().rev().filter(|mapping| {
        is_candidate(mapping, side)
            && mapping.state.missing[side].is_none()
            && scope_of(mapping, side) == scope
            && mapping.case_id(side) != Some(canary.case.as_str())
    });
    let other = others.find_map(|mapping| mapping.case_id(side)).map(str::to_owned);
    let witness = match other {
        Some(other) => unseen(deps, side, &other).await?.is_none().then_some(other),
        None => another_of_scope(deps, side, scope, &canary.case).await?,
    };
    let is_linked = mapping.as_ref().is_some_and(|mapping| is_candidate(mapping, side));
    match (witness, is_linked) {
        (Some(witness), _) => {
            memory.canaries.insert(scope.to_owned(), Canary { case: witness, seen_at: now });
            if let Some(mapping) = mapping.filter(|_| is_linked) {
                look_after(deps, side, mapping, now).await?;
            }
            Ok(true)
        }
        // No case of that scope has to be shown any more, such as after its last pair was closed. That none is shown proves nothing.
        (None, false) => Ok(false),
        (None, true) => {
            // Keeps the canary, so that it is read until it is shown. Its own sync finds out if it is gone.
            memory.canaries.insert(scope.to_owned(), canary.clone());
            if let Some(mapping) = mapping {
                look_after(deps, side, mapping, now).await?;
            }
            let name = deps.systems[side].capabilities().name;
            let place = if scope.is_empty() { String::new() } else { format!(" of {scope}") };
            Err(Doubt::Unseen {
                reason: format!(
                    "{name} does not show the linked case {}{place} any more, nor another one there ({trouble}): nothing that it \
                     leaves out is believed until it does. Give the connector's user the right to read it again; `casebridge check` \
                     tries its rights",
                    canary.case
                ),
                since: canary.seen_at,
            })
        }
    }
}

/// Returns the reason why a case is not shown; `None` if it is.
async fn unseen(deps: &Deps, side: Side, case: &str) -> Result<Option<String>, Doubt> {
    match deps.systems[side].shows(case).await {
        Ok(true) => Ok(None),
        Ok(false) => Ok(Some("not found".to_owned())),
        Err(error) if matches!(error.kind, ApiErrorKind::NotFound | ApiErrorKind::Unauthorized) => {
            Ok(Some(error.to_string()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns another case of the same scope, if the system shows one.
async fn another_of_scope(deps: &Deps, side: Side, scope: &str, but: &str) -> Result<Option<String>, Doubt> {
    let Some(id) = deps.systems[side].any_case(Some(but)).await? else { return Ok(None) };
    let case = deps.systems[side].get(&id).await?;
    let found = case.map(|case| super::sync_case::scope_of(side, &case).unwrap_or_default());
    Ok(found.filter(|found| found == scope).map(|_| id))
}

/// Marks a missing case as dirty, so that its sync looks at it: no poll will find it.
async fn look_after(deps: &Deps, side: Side, mapping: CaseMapping, now: DateTime<Utc>) -> Result<(), Doubt> {
    let global = deps.store.global().await?;
    modify(deps.store.as_ref(), mapping, |mapping| {
        let known = mapping.dirty[side].is_some();
        mapping.wait(side, &global, now);
        !known
    })
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::minutes(minute)
    }

    const WINDOW: Duration = Duration::minutes(5);
    const AGE: Duration = Duration::days(30);

    fn swept(shown_until: i64, day: i64, all: i64) -> PollMemory {
        PollMemory {
            shown_until: Some(at(shown_until)),
            swept_day_at: Some(at(day)),
            swept_all_at: Some(at(all)),
            ..PollMemory::default()
        }
    }

    fn look(memory: &PollMemory, last: Option<i64>, now: i64, skew: i64) -> Look {
        Look::new(memory, last.map(at), (at(now), Duration::minutes(skew)), WINDOW, AGE)
    }

    #[test]
    fn the_first_poll_looks_back_as_far_as_people_asked_for() {
        let days = |days: i64| Some(at(0) - Duration::days(days));
        let first = || look(&PollMemory::default(), None, 0, 0);
        assert_eq!(first().first_from(days(90)).since, at(0) - Duration::days(90));
        assert!(!first().first_from(days(90)).is_late(Some(at(0) - Duration::days(80))));
        assert_eq!(
            first().first_from(days(3)),
            first(),
            "no less: an older case is left out with its reason"
        );
        assert_eq!(first().first_from(None), first());
        let later = || look(&PollMemory::default(), Some(-1), 0, 0);
        assert_eq!(later().first_from(days(90)), later());
    }

    #[test]
    fn the_first_poll_looks_back_a_month() {
        let first = look(&PollMemory::default(), None, 0, 7);
        assert_eq!(first.since, at(7) - FIRST_LOOK);
        assert!(
            !first.is_late(Some(at(-30_000)))
                && first.index_lag(Some(at(-30_000)), at(0), Duration::zero()).is_none()
        );
    }

    #[test]
    fn the_horizon_is_in_the_searched_systems_time_and_never_in_its_future() {
        let day = |memory: PollMemory| memory;
        for (memory, last, now, skew, since) in [
            (day(swept(100, 90, 90)), Some(100), 101, 0, 95),
            // The watermark counts in their time, independent of our clock.
            (day(swept(100, 90, 90)), Some(100), 101, 3, 95),
            // Ours was set ahead by two hours, or theirs back: those two hours are searched again.
            (swept(100, 200, 200), Some(100), 221, -120, 95 - 120),
            // Theirs was set back by four years, ten minutes ago.
            (swept(100, 105, 105), Some(100), 110, -2_000_000, 95 - 2_000_000),
            // Ours was set ahead by as much: a day is enough.
            (swept(100, 2_000_100, 2_000_100), Some(100), 2_000_110, -2_000_000, 110 - 5 - 24 * 60),
            // Ours was ahead, and is right again.
            (swept(220, 100, 100), Some(220), 101, 0, 96),
        ] {
            assert_eq!(look(&memory, last, now, skew).since, at(since), "{memory:?} {now} {skew}");
        }
        // A database of version 0.1: our own watermark is converted to their time, and one full sweep is made.
        let old = look(&PollMemory::default(), Some(100), 101, -15);
        assert_eq!((old.recent, old.since), (at(100 - 15) - WINDOW, at(101 - 15) - AGE));
        let ahead = look(&PollMemory::default(), Some(500), 101, 0);
        assert_eq!(ahead.recent, at(101) - WINDOW);
    }

    #[test]
    fn a_sweep_looks_over_a_day_every_hour_and_over_everything_every_day() {
        for (day, all, now, since) in [
            (100, 100, 159, at(95)),
            // From before the last sweep.
            (100, 100, 160, at(100) - Duration::days(1)),
            (1500, 100, 1540, at(1540) - AGE),
            // Swept in the future, by a clock that was ahead.
            (5000, 100, 160, at(160) - Duration::days(1)),
            (100, 5000, 101, at(101) - AGE),
        ] {
            assert_eq!(look(&swept(100, day, all), Some(100), now, 0).since, since, "{day} {all} {now}");
        }
    }

    #[test]
    fn the_second_search_is_made_every_four_minutes_and_looks_back_to_the_one_before() {
        let side = Side::Company;
        let window = |minute: i64| at(minute) - WINDOW;
        // at(0) is an even minute, which is the company's.
        for (second, now, is_made, since) in [
            (Some(100), 101, false, window(100)),
            (Some(100), 103, false, window(102)),
            (Some(100), 104, true, window(100)),
            // Not the company's minute: made only when it is overdue.
            (Some(100), 105, false, window(104)),
            (Some(99), 105, true, window(99)),
            // Long overdue: looks back to the last time.
            (Some(10), 105, true, window(10)),
            // Never made, or made by a clock that was ahead.
            (None, 101, true, window(100)),
            (Some(500), 101, true, window(100)),
        ] {
            let memory = PollMemory { searched_twice_at: second.map(at), ..swept(now - 1, now - 1, now - 1) };
            let look = look(&memory, Some(now - 1), now, 0);
            let look = look.of_two_searches(&memory, side, (at(now), Duration::zero()), WINDOW);
            assert_eq!((look.second, look.since), (is_made, since), "{second:?} {now}");
        }
    }

    #[test]
    fn what_a_sweep_alone_finds_is_late_and_shows_how_late_the_index_is() {
        let look = look(&swept(100, 90, 90), Some(100), 101, 0);
        assert!(!look.is_late(Some(at(95))) && look.is_late(Some(at(94))) && !look.is_late(None));
        let (exact, rounded) = (Duration::zero(), Duration::minutes(1));
        assert_eq!(look.index_lag(Some(at(100)), at(101), exact), None);
        assert_eq!(look.index_lag(Some(at(99)), at(101), exact), Some(Duration::minutes(2)));
        assert_eq!(
            look.index_lag(Some(at(99)), at(101), rounded),
            None,
            "it may be of the second before 100"
        );
        assert_eq!(look.index_lag(Some(at(98)), at(101), rounded), Some(Duration::minutes(3)));
        let mut memory = PollMemory::default();
        note_index_lag(&mut memory, Duration::minutes(3), at(101));
        note_index_lag(&mut memory, Duration::minutes(1), at(102));
        assert_eq!(memory.index_lag, Some(IndexLag { seconds: 180, at: at(101) }));
        note_index_lag(&mut memory, Duration::minutes(1), at(101) + LAG_AGE);
        assert_eq!(memory.index_lag.map(|lag| lag.seconds), Some(60), "the longest within a day");
    }

    #[test]
    fn no_time_of_the_calendar_is_too_far() {
        for now in [DateTime::<Utc>::MIN_UTC, DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC] {
            for skew in [Duration::days(-4_000), Duration::zero(), Duration::days(4_000)] {
                let memory = PollMemory { shown_until: Some(now), ..PollMemory::default() };
                let _ = Look::new(&memory, Some(now), (now, skew), WINDOW, Duration::days(1_000_000));
                let _ = Look::new(&PollMemory::default(), None, (now, skew), WINDOW, AGE);
            }
        }
    }
}
