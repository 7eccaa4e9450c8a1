//! Whose turn is it: Google's state becomes the company case's status, and stands in words in a field of it. A pure function of the
//! configured statuses, both cases and the memory of the pair.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::action::Action;
use super::texts;
use crate::cases::{Case, is_same_name};
use crate::entities::{GoogleState, StatusBegun, TextBegun, Turn};

/// Status for one state of Google's: an entry of `[status.google]`, with that of `[status.incompatible]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusRule {
    /// Status to set, in the CRM's own terms.
    pub status: String,
    /// Statuses that are replaced by it. Empty: all are.
    pub incompatible: Vec<String>,
}

impl StatusRule {
    /// Returns true if a case with a status of these names gets another one.
    fn replaces(&self, names: &[String]) -> bool {
        self.incompatible.is_empty() || self.incompatible.iter().any(|status| is_among(status, names))
    }
}

fn is_among(status: &str, names: &[String]) -> bool {
    names.iter().any(|name| is_same_name(name, status))
}

/// Statuses of the company case for Google's states. Without an entry, a state changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusTable(BTreeMap<GoogleState, StatusRule>);

impl StatusTable {
    /// Returns a table that changes nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self(BTreeMap::new())
    }

    /// Returns true if no state has a status.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the entries, in the order of Google's states.
    pub fn rules(&self) -> impl Iterator<Item = (GoogleState, &StatusRule)> {
        self.0.iter().map(|(state, rule)| (*state, rule))
    }

    /// Returns true if the next plan compares the company case's status, so that all its names have to be known.
    #[must_use]
    pub fn compares(&self, google: &Case, turn: &Turn) -> bool {
        let is_set = turn.fresh || (turn.seen.is_some() && turn.seen != google.state);
        !self.is_empty() && (turn.setting.is_some() || is_set)
    }
}

impl FromIterator<(GoogleState, StatusRule)> for StatusTable {
    fn from_iter<T: IntoIterator<Item = (GoogleState, StatusRule)>>(rules: T) -> Self {
        Self(rules.into_iter().collect())
    }
}

/// Facts that the decision goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) table: &'a StatusTable,
    /// Memory of the pair.
    pub(super) turn: &'a Turn,
    pub(super) google: &'a Case,
    pub(super) company: &'a Case,
    /// True if the company case is being closed or reopened: its status is left alone until that is done.
    pub(super) status_moves: bool,
    /// Time before which a write was sent if its in-flight window is over.
    pub(super) sent_before: DateTime<Utc>,
}

/// Result of the decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Decision {
    pub(super) actions: Vec<Action>,
    /// Time of a write whose outcome has to be waited for.
    pub(super) waits_for: Option<DateTime<Utc>>,
}

/// Decides about the status and the text. A plan that was applied is followed by an empty one until Google's case changes: a person's change
/// of the company case plans nothing.
pub(super) fn decide(facts: Facts<'_>) -> Decision {
    let mut turn = facts.turn.clone();
    let mut waits = [None, None];
    let set = settle_status(&mut turn, facts, &mut waits[0]).and_then(|()| status(&mut turn, facts));
    let shown = settle_text(&mut turn, facts, &mut waits[1]).and_then(|()| text(&mut turn, facts));
    let noted = (turn != *facts.turn).then(|| Action::NoteTurn(Box::new(turn)));
    Decision {
        actions: noted.into_iter().chain(shown).chain(set).collect(),
        waits_for: waits.into_iter().flatten().max(),
    }
}

/// Settles a status that was set without an answer: it is set, or has had no effect, or a person has set another one since. `None` while
/// that cannot be told.
fn settle_status(turn: &mut Turn, facts: Facts<'_>, waits: &mut Option<DateTime<Utc>>) -> Option<()> {
    let Some(begun) = &turn.setting else { return Some(()) };
    let names = &facts.company.status;
    if !facts.company.closed && !is_among(&begun.status, names) && *names == begun.from {
        if facts.sent_before < begun.attempted_at {
            *waits = Some(begun.attempted_at);
            return None;
        }
        // It has had no effect, so that the change is still to be made.
        turn.setting = None;
        return Some(());
    }
    turn.seen = Some(begun.state);
    (turn.fresh, turn.setting) = (false, None);
    Some(())
}

/// Decides about the status. A state counts as seen once the company case's status was compared with it, whether that was changed or not. The
/// first state of a pair is only noted, unless the connector has created the company case: its status is the one of a new case then.
fn status(turn: &mut Turn, facts: Facts<'_>) -> Option<Action> {
    if facts.table.is_empty() {
        // A table that is configured later counts from then on.
        turn.fresh = false;
        return None;
    }
    let state = facts.google.state.filter(|state| turn.fresh || turn.seen != Some(*state))?;
    let is_compared = turn.fresh || turn.seen.is_some();
    let rule = facts.table.0.get(&state);
    if facts.status_moves && rule.is_some() && is_compared {
        // It is compared once the case is open, or closed, for good.
        return None;
    }
    let is_set = is_compared && !facts.company.closed;
    match rule.filter(|rule| is_set && !is_among(&rule.status, &facts.company.status)) {
        Some(rule) if rule.replaces(&facts.company.status) => {
            Some(Action::SetStatus { state, status: rule.status.clone(), from: facts.company.status.clone() })
        }
        Some(_) | None => {
            turn.seen = Some(state);
            turn.fresh = false;
            None
        }
    }
}

/// Settles a text that was written without an answer. `None` while its outcome cannot be told.
fn settle_text(turn: &mut Turn, facts: Facts<'_>, waits: &mut Option<DateTime<Utc>>) -> Option<()> {
    let Some(begun) = &turn.showing else { return Some(()) };
    if facts.company.state_text.as_ref() == Some(&begun.text) {
        turn.shown = Some(begun.text.clone());
    } else if facts.sent_before < begun.attempted_at {
        *waits = Some(begun.attempted_at);
        return None;
    }
    turn.showing = None;
    Some(())
}

/// Decides about the text. It is written if it differs from the one that was written last, so that a person's edit stays until Google's case
/// changes.
fn text(turn: &mut Turn, facts: Facts<'_>) -> Option<Action> {
    let now = facts.company.state_text.as_ref()?;
    let text = texts::google_state(facts.google.state?, facts.google.escalated);
    if turn.shown.as_ref() == Some(&text) {
        return None;
    }
    if *now == text {
        turn.shown = Some(text);
        return None;
    }
    Some(Action::ShowState(text))
}

impl Action {
    /// Returns the record of the write that this action begins at `now`, for the memory of the pair.
    pub fn begins_turn(&self, turn: &mut Turn, now: DateTime<Utc>) {
        match self {
            Self::SetStatus { state, status, from } => {
                let (status, from) = (status.clone(), from.clone());
                turn.setting = Some(StatusBegun { state: *state, status, from, attempted_at: now });
            }
            Self::ShowState(text) => {
                turn.showing = Some(TextBegun { text: text.clone(), attempted_at: now });
            }
            _ => {}
        }
    }

    /// Records that the write of this action is done, or that the system refuses it for good: it is not tried again before Google's state
    /// changes again.
    pub fn ends_turn(&self, turn: &mut Turn) {
        match self {
            Self::SetStatus { state, .. } => {
                turn.seen = Some(*state);
                (turn.fresh, turn.setting) = (false, None);
            }
            Self::ShowState(text) => {
                turn.shown = Some(text.clone());
                turn.showing = None;
            }
            _ => {}
        }
    }

    /// Removes the record of the write of this action, which certainly had no effect and is tried again.
    pub fn drops_turn(&self, turn: &mut Turn) {
        match self {
            Self::SetStatus { .. } => turn.setting = None,
            Self::ShowState(_) => turn.showing = None,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Duration;
    use proptest::prelude::*;

    use super::*;
    use GoogleState::{ActionRequired, Closed, InProgressGoogleSupport, New, SolutionProvided};

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::minutes(minute)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn table() -> StatusTable {
        let rule = |status: &str, incompatible: &[&str]| StatusRule {
            status: status.to_owned(),
            incompatible: names(incompatible),
        };
        [
            (InProgressGoogleSupport, rule("Waiting for Google", &["Open", "Waiting for us"])),
            (ActionRequired, rule("Waiting for us", &[])),
        ]
        .into_iter()
        .collect()
    }

    /// Pair with a connector that applies the decisions.
    #[derive(Debug, Clone)]
    struct World {
        table: StatusTable,
        turn: Turn,
        google: Case,
        company: Case,
        status_moves: bool,
        now: DateTime<Utc>,
    }

    impl World {
        fn new(seen: Option<GoogleState>, state: GoogleState, status: &str) -> Self {
            Self {
                table: table(),
                turn: Turn { seen, ..Turn::default() },
                google: Case { state: Some(state), ..Case::default() },
                company: Case { status: names(&[status, "1"]), ..Case::default() },
                status_moves: false,
                now: at(100),
            }
        }

        fn decide(&self) -> Decision {
            decide(Facts {
                table: &self.table,
                turn: &self.turn,
                google: &self.google,
                company: &self.company,
                status_moves: self.status_moves,
                sent_before: self.now - Duration::minutes(2),
            })
        }

        /// Applies a decision. `answers`: the outcome of each write.
        fn apply(&mut self, decision: &Decision, answer: Answer) {
            for action in &decision.actions {
                if let Action::NoteTurn(turn) = action {
                    self.turn = Turn::clone(turn);
                    continue;
                }
                action.begins_turn(&mut self.turn, self.now);
                if answer != Answer::LostBefore {
                    match action {
                        Action::SetStatus { status, .. } => self.company.status = names(&[status, "1"]),
                        Action::ShowState(text) => self.company.state_text = Some(text.clone()),
                        other => panic!("{other:?}"),
                    }
                }
                if answer == Answer::Comes {
                    action.ends_turn(&mut self.turn);
                }
            }
        }

        /// Returns the status that is to be set.
        fn sets(&self) -> Option<String> {
            self.decide().actions.iter().find_map(|action| match action {
                Action::SetStatus { status, .. } => Some(status.clone()),
                _ => None,
            })
        }
    }

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Answer {
        Comes,
        /// The write takes effect, and its answer is lost.
        LostAfter,
        /// The write is lost.
        LostBefore,
    }

    #[test]
    fn a_status_is_set_when_googles_state_changes_and_the_case_has_one_that_does_not_fit() {
        for (seen, state, status, expected) in [
            (Some(New), InProgressGoogleSupport, "Open", Some("Waiting for Google")),
            (Some(New), InProgressGoogleSupport, " oPEN", Some("Waiting for Google")),
            // People set another one, which stays.
            (Some(New), InProgressGoogleSupport, "On hold", None),
            // An empty list replaces every status.
            (Some(New), ActionRequired, "On hold", Some("Waiting for us")),
            (Some(New), ActionRequired, "waiting for US", None),
            // Nothing changed, or nothing is known of before.
            (Some(ActionRequired), ActionRequired, "Open", None),
            (None, ActionRequired, "Open", None),
            // No status is configured for it.
            (Some(New), SolutionProvided, "Open", None),
            (Some(New), Closed, "Open", None),
        ] {
            let mut world = World::new(seen, state, status);
            assert_eq!(world.sets().as_deref(), expected, "{seen:?} {state:?} {status}");
            let decision = world.decide();
            world.apply(&decision, Answer::Comes);
            assert_eq!(world.turn.seen, Some(state));
            assert_eq!(world.decide(), Decision::default());
        }
        let world = World { table: StatusTable::new(), ..World::new(Some(New), ActionRequired, "Open") };
        assert_eq!(world.decide(), Decision::default());
    }

    #[test]
    fn a_case_that_the_connector_created_is_compared_once_with_the_state_that_google_has_by_then() {
        for (state, status, expected) in [
            (InProgressGoogleSupport, "Open", Some("Waiting for Google")),
            (ActionRequired, "Open", Some("Waiting for us")),
            // A person was faster, or it begins with a status that fits.
            (InProgressGoogleSupport, "On hold", None),
            (ActionRequired, "Waiting for us", None),
            (New, "Open", None),
            (Closed, "Open", None),
        ] {
            let mut world = World::new(None, state, status);
            world.turn.fresh = true;
            assert!(world.table.compares(&world.google, &world.turn));
            assert_eq!(world.sets().as_deref(), expected, "{state:?} {status}");
            let decision = world.decide();
            world.apply(&decision, Answer::Comes);
            assert_eq!(world.turn, Turn { seen: Some(state), ..Turn::default() });
            // A person sets it back, and it stays.
            world.company.status = names(&[status, "1"]);
            assert_eq!(world.decide(), Decision::default(), "{state:?} {status}");
        }
        // While it is closed or reopened it waits, and a lost write is made again.
        let mut world = World::new(None, ActionRequired, "Open");
        (world.turn.fresh, world.status_moves) = (true, true);
        assert_eq!(world.decide(), Decision::default());
        world.status_moves = false;
        let decision = world.decide();
        world.apply(&decision, Answer::LostBefore);
        world.now = at(110);
        assert_eq!(world.sets().as_deref(), Some("Waiting for us"));
        // A table that is taken away and comes back finds a pair from before.
        let table = std::mem::take(&mut world.table);
        world.turn.setting = None;
        let decision = world.decide();
        world.apply(&decision, Answer::Comes);
        world.table = table;
        assert_eq!(world.sets(), None);
    }

    #[test]
    fn a_closed_case_is_left_alone_and_one_that_moves_is_compared_afterwards() {
        let mut world = World::new(Some(New), ActionRequired, "Done");
        world.company.closed = true;
        assert_eq!(world.sets(), None);
        assert_eq!(world.decide().actions.len(), 1, "it is noted, so that a reopened case keeps its status");
        let mut world = World::new(Some(Closed), ActionRequired, "Reopened");
        world.status_moves = true;
        assert_eq!(world.decide(), Decision::default());
        world.status_moves = false;
        assert_eq!(world.sets().as_deref(), Some("Waiting for us"));
        let mut world = World::new(Some(ActionRequired), Closed, "Open");
        world.status_moves = true;
        let decision = world.decide();
        world.apply(&decision, Answer::Comes);
        assert_eq!(world.turn.seen, Some(Closed), "a case that is closed and reopened has changed its state");
    }

    #[test]
    fn a_lost_answer_is_found_out_by_reading_again() {
        for answer in [Answer::LostAfter, Answer::LostBefore] {
            let mut world = World::new(Some(New), InProgressGoogleSupport, "Open");
            let decision = world.decide();
            world.apply(&decision, answer);
            if answer == Answer::LostBefore {
                assert_eq!(world.decide(), Decision { actions: vec![], waits_for: Some(at(100)) });
                world.now = at(103);
                assert_eq!(world.sets().as_deref(), Some("Waiting for Google"));
            } else {
                // A person sets another one before it is read again.
                world.company.status = names(&["Open again", "7"]);
            }
            let decision = world.decide();
            world.apply(&decision, Answer::Comes);
            assert_eq!(
                (world.turn.seen, world.decide()),
                (Some(InProgressGoogleSupport), Decision::default())
            );
        }
    }

    #[test]
    fn the_text_is_written_when_it_changes_and_not_when_a_person_changes_it() {
        let mut world = World::new(None, ActionRequired, "Open");
        assert!(!world.decide().actions.iter().any(|action| matches!(action, Action::ShowState(_))));
        world.company.state_text = Some(String::new());
        let decision = world.decide();
        assert!(
            decision.actions.contains(&Action::ShowState("Waiting for you (action required)".to_owned()))
        );
        world.apply(&decision, Answer::Comes);
        assert_eq!(world.decide(), Decision::default());
        world.company.state_text = Some("ask Joe".to_owned());
        assert_eq!(world.decide(), Decision::default());
        world.google.escalated = true;
        let decision = world.decide();
        world.apply(&decision, Answer::LostAfter);
        assert_eq!(world.company.state_text.as_deref(), Some("Waiting for you (action required), escalated"));
        let decision = world.decide();
        assert!(matches!(decision.actions.as_slice(), [Action::NoteTurn(_)]), "{decision:?}");
        world.apply(&decision, Answer::Comes);
        assert_eq!(world.decide(), Decision::default());
        // A new database, or a field that shows it already: nothing is written.
        world.turn.shown = None;
        assert!(matches!(world.decide().actions.as_slice(), [Action::NoteTurn(_)]));
    }

    fn statuses() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("open".to_owned()),
            Just("Waiting".to_owned()),
            Just("hold".to_owned()),
            "[a-c]{1,2}"
        ]
    }

    fn states() -> impl Strategy<Value = Option<GoogleState>> {
        proptest::option::of(proptest::sample::select(GoogleState::ALL.to_vec()))
    }

    fn tables() -> impl Strategy<Value = StatusTable> {
        let rule = (statuses(), proptest::collection::vec(statuses(), 0..3))
            .prop_map(|(status, incompatible)| StatusRule { status, incompatible });
        proptest::collection::btree_map(proptest::sample::select(GoogleState::OPEN.to_vec()), rule, 0..5)
            .prop_map(StatusTable)
    }

    /// Event between two syncs.
    #[derive(Debug, Clone)]
    enum Event {
        Google(Option<GoogleState>, bool),
        Person(String),
        PersonWrites(String),
        CompanyCloses(bool),
        Minutes(i64),
    }

    fn events() -> impl Strategy<Value = Event> {
        prop_oneof![
            (states(), any::<bool>()).prop_map(|(state, escalated)| Event::Google(state, escalated)),
            statuses().prop_map(Event::Person),
            "[a-c]{0,2}".prop_map(Event::PersonWrites),
            any::<bool>().prop_map(Event::CompanyCloses),
            (0_i64..5).prop_map(Event::Minutes),
        ]
    }

    fn answers() -> impl Strategy<Value = Answer> {
        prop_oneof![3 => Just(Answer::Comes), 1 => Just(Answer::LostAfter), 1 => Just(Answer::LostBefore)]
    }

    proptest! {
        /// Nothing is planned twice, and nothing without a change of Google's or a write without an answer.
        #[test]
        fn no_table_plans_anything_twice(
            table in tables(),
            shows in any::<bool>(),
            fresh in any::<bool>(),
            events in proptest::collection::vec((events(), answers()), 0..12),
        ) {
            let mut world = World::new(None, New, "open");
            world.table = table;
            world.company.state_text = shows.then(String::new);
            world.turn.fresh = fresh;
            for (event, answer) in events {
                let is_googles = matches!(event, Event::Google(..));
                let was_settled = !world.turn.awaits_outcome() && world.decide().actions.is_empty();
                match event {
                    Event::Google(state, escalated) => {
                        (world.google.state, world.google.escalated) = (state, escalated);
                        world.google.closed = state == Some(Closed);
                    }
                    Event::Person(status) => world.company.status = names(&[&status, "2"]),
                    Event::PersonWrites(text) => {
                        world.company.state_text = world.company.state_text.map(|_| text);
                    }
                    Event::CompanyCloses(closed) => world.company.closed = closed,
                    Event::Minutes(minutes) => world.now += Duration::minutes(minutes),
                }
                let decision = world.decide();
                if was_settled && !is_googles {
                    prop_assert_eq!(&decision, &Decision::default(), "{:?}", world);
                }
                let before = world.company.clone();
                world.apply(&decision, answer);
                // People's status stays unless the table replaces it, and a closed case keeps its own.
                if before.status != world.company.status {
                    let rule = world.google.state.and_then(|state| world.table.0.get(&state)).unwrap();
                    prop_assert!(rule.replaces(&before.status) && !before.closed);
                }
                let again = world.decide();
                if answer == Answer::Comes && decision.waits_for.is_none() {
                    prop_assert_eq!(&again, &Decision::default(), "{:?}", world);
                }
            }
            // Once every write is answered and its window is over, both sides agree.
            for _ in 0..3 {
                world.now += Duration::minutes(10);
                let decision = world.decide();
                world.apply(&decision, Answer::Comes);
            }
            prop_assert_eq!(world.decide(), Decision::default());
            prop_assert!(!world.turn.awaits_outcome());
            prop_assert!(!world.turn.fresh || world.google.state.is_none() || world.table.is_empty());
        }

        /// However often a person sets the status of a new case back, it is set once for a state of Google's.
        #[test]
        fn a_new_cases_status_is_set_once_for_a_state(
            table in tables(),
            state in proptest::sample::select(GoogleState::ALL.to_vec()),
            begins in statuses(),
            later in proptest::collection::vec((statuses(), answers()), 1..6),
        ) {
            let mut world = World::new(None, state, &begins);
            (world.table, world.turn.fresh) = (table, true);
            let mut sets = 0;
            for (status, answer) in later {
                // An unanswered write may have to be repeated, but only if it had no effect.
                let decision = world.decide();
                let is_set = decision.actions.iter().any(|action| matches!(action, Action::SetStatus { .. }));
                world.apply(&decision, answer);
                sets += usize::from(is_set && answer != Answer::LostBefore);
                world.now += Duration::minutes(10);
                world.company.status = names(&[&status, "2"]);
            }
            prop_assert!(sets <= 1, "{:?}", world);
        }
    }
}
