//! The three-way merge of the titles (`R30`: merge base). A pure function of both cases and the memory of the pair.

use chrono::{DateTime, Duration, Utc};

use super::action::Action;
use super::texts;
use crate::cases::{Capabilities, Case};
use crate::entities::{CreatedTitles, RefusedTitle, Side, Sides, TitleBegun, TitleDigest, Titles};

/// Pause before a title that a side refused is set there again.
const REFUSED_AGE: Duration = Duration::days(1);

/// Facts that the decision goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    /// Memory of the pair.
    pub(super) titles: &'a Titles,
    pub(super) cases: Sides<&'a Case>,
    /// True for a side whose case takes no title now: it is closed, or refuses every write.
    pub(super) is_fixed: Sides<bool>,
    pub(super) systems: Sides<&'a Capabilities>,
    pub(super) now: DateTime<Utc>,
    /// Time before which a write to each side was sent if its in-flight window is over.
    pub(super) sent_before: Sides<DateTime<Utc>>,
}

/// Result of the decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Decision {
    pub(super) actions: Vec<Action>,
    /// Side and time of a write whose outcome has to be waited for.
    pub(super) waits_for: Option<(Side, DateTime<Utc>)>,
}

/// Decides about the titles. A title that differs from the merge base has changed, and is carried. If both have changed, the company's is
/// carried: its people search for their case by it. The titles of a pair that is read for the first time stay as they are.
///
/// A title that was cut or cleaned for the other side counts as the same, and is not carried back. A closed case keeps its title. A case
/// without a title decides nothing: CSAPI has returned escalated cases without one. While a title that was sent without an answer may still
/// arrive, nothing is merged (`R13`: unknown write outcome).
pub(super) fn decide(facts: Facts<'_>) -> Decision {
    let shown = |side: Side| texts::shown_title(&facts.cases[side].title);
    let shown = Sides { google: shown(Side::Google), company: shown(Side::Company) };
    let mut titles = facts.titles.clone();
    if shown.google.is_empty() || shown.company.is_empty() {
        // Whether it arrived is seen once there is a title again; it no longer may.
        if let Some(begun) = &mut titles.setting {
            begun.sent_at = begun.sent_at.filter(|at| facts.sent_before[begun.side] < *at);
        }
        return Decision { actions: noted(titles, facts), waits_for: None };
    }
    let read = Sides { google: TitleDigest::of(&shown.google), company: TitleDigest::of(&shown.company) };
    if let Some(waits) = settle(&mut titles, &read, facts) {
        return Decision { actions: Vec::new(), waits_for: Some(waits) };
    }
    if let Some(created) =
        titles.created.take().filter(|created| read[created.side] == created.titles[created.side])
    {
        titles.base = titles.base.or(Some(created.titles));
    }
    let fitted = |side: Side| texts::mirrored_title(&shown[side.other()], facts.systems[side]);
    let is_same = |side: Side| fitted(side) == shown[side];
    let set = if Side::BOTH.into_iter().any(is_same) {
        titles = Titles { base: Some(read), ..Titles::default() };
        None
    } else {
        change(&mut titles, read, facts).map(|(side, from)| Action::SetTitle {
            side,
            title: fitted(side),
            from,
        })
    };
    let set = set.filter(|action| match action {
        Action::SetTitle { side, title, .. } => !is_refused(&titles, *side, title, facts.now),
        _ => true,
    });
    let actions = noted(titles, facts).into_iter().chain(set).collect();
    Decision { actions, waits_for: None }
}

fn noted(titles: Titles, facts: Facts<'_>) -> Vec<Action> {
    if titles == *facts.titles { Vec::new() } else { vec![Action::NoteTitles(Box::new(titles))] }
}

/// Settles a title that was set: the side has it, or the write has had no effect, or a person has changed the title since. Returns the write
/// to wait for while it may still arrive. A title without an effect although it was answered counts as refused: something puts the old one
/// back, and would do so again.
fn settle(titles: &mut Titles, read: &Sides<TitleDigest>, facts: Facts<'_>) -> Option<(Side, DateTime<Utc>)> {
    let begun = titles.setting.as_ref()?;
    let side = begun.side;
    let is_there = read[side] == begun.title;
    if let Some(at) = begun.sent_at.filter(|at| !is_there && facts.sent_before[side] < *at) {
        return Some((side, at));
    }
    if begun.detached {
        // The other side's title before it is that of another case: both are read anew.
        titles.base = None;
    } else if is_there || read[side] != begun.from[side] {
        titles.base = Some(begun.after());
    } else if begun.sent_at.is_none() {
        titles.refused = Some(RefusedTitle { side, title: begun.wanted.clone(), at: facts.now });
    }
    titles.setting = None;
    None
}

/// Returns the side that gets the other one's title, with the titles of both before; `None` if neither has changed.
fn change(
    titles: &mut Titles,
    read: Sides<TitleDigest>,
    facts: Facts<'_>,
) -> Option<(Side, Sides<TitleDigest>)> {
    let Some(base) = &titles.base else {
        titles.base = Some(read);
        return None;
    };
    let changed = |side: &Side| read[*side] != base[*side];
    let Some(winner) = [Side::Company, Side::Google].into_iter().find(changed) else {
        // What was refused was taken back.
        titles.refused = None;
        return None;
    };
    let side = winner.other();
    (!facts.is_fixed[side]).then_some((side, read))
}

fn is_refused(titles: &Titles, side: Side, title: &str, now: DateTime<Utc>) -> bool {
    titles.refused.as_ref().is_some_and(|refused| {
        let is_fresh = refused.at <= now && now - refused.at < REFUSED_AGE;
        refused.side == side && refused.title == TitleDigest::of(title) && is_fresh
    })
}

impl Titles {
    /// Records that a counterpart on `side` is about to be created with a title, made from that of its original.
    pub fn create(&mut self, side: Side, title: &str, original: &str) {
        let mut titles = Sides::default();
        titles[side] = TitleDigest::of(&texts::shown_title(title));
        titles[side.other()] = TitleDigest::of(&texts::shown_title(original));
        self.created = Some(CreatedTitles { side, titles });
    }

    /// Records that the write of a title begins at `now`.
    pub fn begin(&mut self, side: Side, title: &str, from: &Sides<TitleDigest>, now: DateTime<Utc>) {
        let title = TitleDigest::of(title);
        let (wanted, from) = (title.clone(), from.clone());
        self.setting = Some(TitleBegun { side, title, wanted, from, sent_at: Some(now), detached: false });
        self.refused = None;
    }

    /// Records that the write was answered: the system has stored `stored`, which may be something else than was asked for. That is the merge
    /// base only after the side was read with it (`R30`: merge base).
    pub fn answered(&mut self, stored: &str) {
        if let Some(begun) = &mut self.setting {
            begun.sent_at = None;
            begun.title = TitleDigest::of(&texts::shown_title(stored));
        }
    }

    /// Returns the memory without what another sync would have to settle; for a pair whose titles are not carried any more.
    #[must_use]
    pub(super) fn switched_off(&self) -> Option<Self> {
        self.is_outstanding().then(Self::default)
    }

    /// Records that the write did not happen, and is to be done again.
    pub fn drop_setting(&mut self) {
        self.setting = None;
    }

    /// Records that the side refuses a title: each side keeps its own.
    pub fn refuse(&mut self, side: Side, title: &str, now: DateTime<Utc>) {
        self.setting = None;
        self.refused = Some(RefusedTitle { side, title: TitleDigest::of(title), at: now });
    }
}

#[cfg(test)]
mod tests {
    use Side::{Company, Google};
    use chrono::TimeZone as _;
    use proptest::prelude::*;

    use super::*;
    use crate::cases::TextLimit;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Answer {
        Comes,
        LostAfter,
        LostBefore,
        Refused,
    }

    #[derive(Debug, Clone)]
    struct World {
        titles: Titles,
        google: Case,
        company: Case,
        systems: Sides<Capabilities>,
        now: DateTime<Utc>,
    }

    fn at(minutes: i64) -> DateTime<Utc> {
        Utc.with_ymd_and_hms(2026, 11, 30, 9, 0, 0).unwrap() + Duration::minutes(minutes)
    }

    impl World {
        /// A pair whose titles were read before. The company's system takes at most 20 characters.
        fn new(google: &str, company: &str) -> Self {
            let case = |title: &str| Case { title: title.to_owned(), ..Case::default() };
            let limit = |characters| Capabilities {
                title_limit: TextLimit::code_points(characters),
                ..texts::tests::capabilities(TextLimit::code_points(1_000))
            };
            let mut world = Self {
                titles: Titles::default(),
                google: case(google),
                company: case(company),
                systems: Sides { google: limit(300), company: limit(20) },
                now: at(100),
            };
            world.sync(Answer::Comes);
            world
        }

        fn decide(&self) -> Decision {
            let before = self.now - Duration::minutes(2);
            decide(Facts {
                titles: &self.titles,
                cases: Sides { google: &self.google, company: &self.company },
                is_fixed: Sides { google: self.google.closed, company: self.company.closed },
                systems: Sides { google: &self.systems.google, company: &self.systems.company },
                now: self.now,
                sent_before: Sides { google: before, company: before },
            })
        }

        fn case(&mut self, side: Side) -> &mut Case {
            match side {
                Google => &mut self.google,
                Company => &mut self.company,
            }
        }

        /// Applies a plan as the tasks do; returns the number of titles that were sent.
        fn apply(&mut self, decision: &Decision, answer: Answer) -> usize {
            let mut sent = 0;
            for action in &decision.actions {
                match action {
                    Action::NoteTitles(titles) => self.titles = Titles::clone(titles),
                    Action::SetTitle { side, title, from } => {
                        sent += 1;
                        let now = self.now;
                        self.titles.begin(*side, title, from, now);
                        if matches!(answer, Answer::Comes | Answer::LostAfter) {
                            self.case(*side).title.clone_from(title);
                        }
                        match answer {
                            Answer::Comes => {
                                let stored = self.case(*side).title.clone();
                                self.titles.answered(&stored);
                            }
                            Answer::LostAfter | Answer::LostBefore => {}
                            Answer::Refused => self.titles.refuse(*side, title, now),
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
            sent
        }

        fn sync(&mut self, answer: Answer) -> usize {
            let decision = self.decide();
            self.apply(&decision, answer)
        }

        fn shown(&self) -> (&str, &str) {
            (&self.google.title, &self.company.title)
        }

        fn assert_at_rest(&self) {
            assert_eq!(self.decide(), Decision::default(), "{self:?}");
            assert!(!self.titles.is_outstanding());
        }
    }

    #[test]
    fn a_change_of_either_side_is_carried_once() {
        for side in Side::BOTH {
            let mut world = World::new("The disk is full", "The disk is full");
            world.assert_at_rest();
            world.case(side).title = "The disk is broken".to_owned();
            assert_eq!(world.sync(Answer::Comes), 1);
            assert_eq!(world.shown(), ("The disk is broken", "The disk is broken"));
            assert!(world.titles.is_outstanding(), "the side was not read with it");
            assert_eq!(world.sync(Answer::Comes), 0);
            world.assert_at_rest();
        }
    }

    // The company case is merged into another one while a title for Google has no answer. It may arrive after the merge, and is no change of
    // Google's then.
    #[test]
    fn a_title_that_arrives_late_at_a_pair_with_another_company_case_is_not_carried_back() {
        for arrives in [true, false] {
            let mut world = World::new("Disk is slow", "Disk is slow");
            world.company.title = "Disk is broken".to_owned();
            world.sync(Answer::LostBefore);
            // The pair continues with another company case, whose title is its own.
            world.titles.base = None;
            world.titles.setting.as_mut().unwrap().detached = true;
            world.company.title = "Many disks".to_owned();
            assert_eq!(world.decide(), Decision { actions: vec![], waits_for: Some((Google, at(100))) });
            if arrives {
                world.google.title = "Disk is broken".to_owned();
            }
            world.now = at(103);
            assert_eq!(world.sync(Answer::Comes), 0);
            world.assert_at_rest();
            assert_eq!(world.company.title, "Many disks", "{arrives}");
            // From then on, changes are carried.
            world.google.title = "Disk is mended".to_owned();
            world.sync(Answer::Comes);
            assert_eq!(world.company.title, "Disk is mended");
        }
    }

    #[test]
    fn a_title_that_is_cut_for_the_other_side_is_not_carried_back() {
        let mut world = World::new("A disk", "A disk");
        world.google.title = "A disk that is full since this morning".to_owned();
        world.sync(Answer::Comes);
        assert_eq!(world.company.title, "A disk that is full…");
        world.sync(Answer::Comes);
        world.assert_at_rest();
        // A change of the part that was cut changes nothing there.
        world.google.title = "A disk that is full since yesterday".to_owned();
        world.sync(Answer::Comes);
        world.assert_at_rest();
        assert_eq!(world.company.title, "A disk that is full…");
        // A person's own words are carried.
        world.company.title = "A full disk".to_owned();
        world.sync(Answer::Comes);
        assert_eq!(world.google.title, "A full disk");
        // Spaces that a system adds or removes are no change.
        world.sync(Answer::Comes);
        world.company.title = " A full\tdisk ".to_owned();
        world.assert_at_rest();
    }

    #[test]
    fn a_title_that_was_corrected_since_its_counterpart_was_created_is_carried() {
        for side in Side::BOTH {
            let mut world = World::new("The disk is full", "The disk is full");
            world.titles = Titles::default();
            world.titles.create(side.other(), "The disk is full", "The disk is full");
            world.case(side).title = "The disk is slow".to_owned();
            world.sync(Answer::Comes);
            assert_eq!(world.shown(), ("The disk is slow", "The disk is slow"));
            world.sync(Answer::Comes);
            world.assert_at_rest();
            assert_eq!(world.titles.created, None);
            // A rule of the other side made something else of the title.
            world.titles = Titles::default();
            world.titles.create(side.other(), "The disk is slow", "The disk is slow");
            world.case(side.other()).title = "[GCP] Disk".to_owned();
            world.sync(Answer::Comes);
            world.assert_at_rest();
            assert_eq!(world.case(side).title, "The disk is slow");
        }
    }

    #[test]
    fn what_stands_when_a_pair_is_first_read_is_no_change() {
        let mut world = World::new("Google's words", "The desk's words");
        world.assert_at_rest();
        assert_eq!(world.shown(), ("Google's words", "The desk's words"));
        world.google.title = "Google's new words".to_owned();
        world.sync(Answer::Comes);
        assert_eq!(world.company.title, "Google's new words");
        // A rule of the company's made something else of the title when the case was created.
        let world = World::new("A", "[GCP] A");
        world.assert_at_rest();
        assert_eq!(world.shown(), ("A", "[GCP] A"));
    }

    #[test]
    fn the_companys_title_wins_and_a_case_without_a_title_or_closed_is_left_alone() {
        let mut world = World::new("A", "A");
        (world.google.title, world.company.title) = ("B".to_owned(), "C".to_owned());
        world.sync(Answer::Comes);
        assert_eq!(world.shown(), ("C", "C"));
        world.sync(Answer::Comes);
        world.google.title = String::new();
        world.assert_at_rest();
        world.google.title = "D".to_owned();
        world.company.closed = true;
        world.assert_at_rest();
        world.company.closed = false;
        assert_eq!(world.sync(Answer::Comes), 1);
        assert_eq!(world.shown(), ("D", "D"));
    }

    #[test]
    fn a_lost_answer_is_found_out_by_reading_again() {
        for answer in [Answer::LostAfter, Answer::LostBefore] {
            for changed in [false, true] {
                let mut world = World::new("A", "A");
                world.google.title = "B".to_owned();
                world.sync(answer);
                let waits = Decision { actions: Vec::new(), waits_for: Some((Company, at(100))) };
                if answer == Answer::LostBefore {
                    assert_eq!(world.decide(), waits);
                }
                if changed {
                    world.company.title = "C".to_owned();
                    assert_eq!(world.decide(), waits, "it may still arrive over a person's");
                }
                world.now = at(103);
                world.sync(Answer::Comes);
                world.sync(Answer::Comes);
                world.assert_at_rest();
                let expected = if changed { "C" } else { "B" };
                assert_eq!(world.shown(), (expected, expected), "{answer:?}");
            }
        }
    }

    #[test]
    fn an_answer_without_an_effect_is_no_change_of_the_other_side() {
        let mut world = World::new("A", "A");
        world.google.title = "B".to_owned();
        let decision = world.decide();
        world.apply(&decision, Answer::Comes);
        // The system has answered 200 and kept the title.
        world.company.title = "A".to_owned();
        assert_eq!(world.sync(Answer::Comes), 0, "something puts it back, and would do so again");
        assert_eq!(world.shown(), ("B", "A"));
        assert_eq!(world.decide(), Decision::default());
        world.now += Duration::hours(25);
        assert_eq!(world.sync(Answer::Comes), 1);
        assert_eq!(world.shown(), ("B", "B"));
    }

    #[test]
    fn what_a_system_makes_of_a_title_is_no_change_of_a_person() {
        let mut world = World::new("A", "A");
        world.google.title = "B".to_owned();
        let decision = world.decide();
        world.apply(&decision, Answer::Comes);
        // The answer says what was stored.
        world.company.title = "[GCP] B".to_owned();
        world.titles.answered("[GCP] B");
        assert_eq!(world.sync(Answer::Comes), 0);
        world.assert_at_rest();
        assert_eq!(world.shown(), ("B", "[GCP] B"));
    }

    #[test]
    fn a_title_that_is_refused_is_set_again_a_day_later_or_when_it_changes() {
        let mut world = World::new("A", "A");
        world.google.title = "B".to_owned();
        world.sync(Answer::Refused);
        assert_eq!(world.decide(), Decision::default());
        world.now += Duration::hours(25);
        assert_eq!(world.sync(Answer::Refused), 1);
        world.google.title = "C".to_owned();
        assert_eq!(world.sync(Answer::Comes), 1);
        world.sync(Answer::Comes);
        world.assert_at_rest();
        // Set back by the person: nothing is left to be tried, also where the titles differ.
        for other in ["C", "another"] {
            world = World::new("C", other);
            world.google.title = "D".to_owned();
            world.sync(Answer::Refused);
            world.google.title = "C".to_owned();
            world.sync(Answer::Comes);
            world.assert_at_rest();
        }
    }

    fn words() -> impl Strategy<Value = String> {
        prop_oneof!["[a-c]{1,2}", "[a-b ]{0,30}", Just("\u{1}tab\tand line\n".to_owned())]
    }

    fn answers() -> impl Strategy<Value = Answer> {
        prop_oneof![
            3 => Just(Answer::Comes),
            1 => Just(Answer::LostAfter),
            1 => Just(Answer::LostBefore),
            1 => Just(Answer::Refused),
        ]
    }

    proptest! {
        /// Each change is sent at most once, and both sides come to rest, with any titles and any lost answers.
        #[test]
        fn no_title_goes_back_and_forth(
            first in (words(), words()),
            events in proptest::collection::vec((any::<bool>(), words(), 0_i64..4, answers()), 0..12),
        ) {
            let mut world = World::new(&first.0, &first.1);
            for (at_google, title, minutes, answer) in events {
                world.now += Duration::minutes(minutes);
                world.case(if at_google { Google } else { Company }).title = title;
                world.sync(answer);
                if answer == Answer::Comes {
                    world.sync(Answer::Comes);
                    if world.decide().waits_for.is_none() {
                        prop_assert!(world.decide().actions.is_empty(), "{:?}", world);
                    }
                }
            }
            let mut sent = 0;
            for _ in 0..4 {
                world.now += Duration::hours(25);
                sent += world.sync(Answer::Comes);
            }
            prop_assert!(sent <= 1, "{} titles: {:?}", sent, world);
            prop_assert_eq!(world.decide(), Decision::default());
            prop_assert!(!world.titles.awaits_outcome());
        }
    }
}
