//! Things that are shown of the Google case on the company case besides its state: a link, a label while it is escalated, a mark on each note
//! that was carried. A pure function of the configured rule, both cases and the memory of the pair.
//!
//! Every one is an idempotent write, so no record has to be found again: a write without an answer is repeated. Only the opposite of such a
//! write waits for its in-flight window (`R13`: unknown write outcome), and a failed one for a pause. Nothing else waits for them. The company
//! case is never read for them. A person who removes a link or a label therefore has the last word until the Google case changes.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::texts;
use crate::cases::{Annotation, CarriedMark, Case, CaseLink, LinkDetail};
use crate::entities::{GoogleCaseName, Shown, ShownValue, UnansweredValue};

/// Rule of the configuration, as far as the CRM has a place for each. Empty: nothing is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShownRule {
    /// Parts that the link to the Google case shows. `None`: there is no link.
    pub link: Option<LinkDetail>,
    /// Label of a company case whose Google case is escalated.
    pub escalated_label: Option<String>,
    /// True if notes that were carried get a mark.
    pub marks_notes: bool,
}

impl ShownRule {
    /// Rule that shows nothing.
    pub const NONE: Self = Self { link: None, escalated_label: None, marks_notes: false };
}

/// Facts that the decision goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) rule: &'a ShownRule,
    /// Memory of the pair.
    pub(super) shown: &'a Shown,
    pub(super) google: &'a Case,
    pub(super) company: &'a Case,
    /// Name of the Google case.
    pub(super) name: &'a GoogleCaseName,
    /// IDs of notes that this plan carries.
    pub(super) under_way: &'a BTreeSet<&'a str>,
    /// IDs of remembered notes that an earlier plan has carried without an answer. Nobody knows yet if they stand on the Google case.
    pub(super) unanswered: &'a BTreeSet<&'a str>,
    /// IDs of remembered notes that stand on the Google case, all parts of each.
    pub(super) carried: &'a BTreeSet<&'a str>,
    pub(super) now: DateTime<Utc>,
    /// Time before which a write to the company case was sent if its in-flight window is over.
    pub(super) sent_before: DateTime<Utc>,
}

/// Result of the decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Decision {
    /// Changed memory, which is saved first.
    pub(super) note: Option<Shown>,
    pub(super) annotations: Vec<Annotation>,
}

/// Decides what is to be shown. A plan that was applied is followed by an empty one until the Google case changes or a note is carried.
pub(super) fn decide(facts: Facts<'_>) -> Decision {
    let mut shown = facts.shown.clone();
    let link = link(&mut shown.link, facts);
    let label = label(&mut shown.label, facts);
    let marks = marks(&mut shown, facts);
    Decision {
        annotations: link.into_iter().chain(label).chain(marks).collect(),
        note: (shown != *facts.shown).then_some(shown),
    }
}

/// Returns the link, if it is to be written. A closed company case gets none. One that it has shows that the Google case is closed as well.
/// A Google case without a title changes no link: CSAPI has returned escalated cases without one.
fn link(memory: &mut ShownValue, facts: Facts<'_>) -> Option<Annotation> {
    let Some(detail) = facts.rule.link else {
        switch_off(memory);
        return None;
    };
    let has_one = memory.written.is_some() || memory.unanswered.is_some();
    let is_whole = detail == LinkDetail::Whole;
    let title = texts::shown_title(&facts.google.title);
    let is_too_late = facts.company.closed && !(has_one && facts.google.closed);
    if is_too_late || (is_whole && has_one && title.is_empty()) {
        memory.idle = memory.is_unsettled();
        return None;
    }
    let link = CaseLink {
        name: facts.name.to_string(),
        number: facts.name.number().to_owned(),
        address: facts.name.address(),
        title: is_whole.then_some(title),
        closed: is_whole && facts.google.closed,
    };
    is_due(memory, Some(&link.digest()), facts).then_some(Annotation::Link(link))
}

/// Returns the label's change, if one is to be made. The label that was added is the one that is removed, whatever the configuration names
/// by then. A closed company case keeps its labels.
fn label(memory: &mut ShownValue, facts: Facts<'_>) -> Option<Annotation> {
    let Some(configured) = &facts.rule.escalated_label else {
        switch_off(memory);
        return None;
    };
    if facts.company.closed {
        memory.idle = memory.is_unsettled();
        return None;
    }
    let sent = memory.unanswered.as_ref().and_then(|unanswered| unanswered.value.as_ref());
    let label = memory.written.as_ref().or(sent).unwrap_or(configured).clone();
    let present = facts.google.escalated;
    let is_due = is_due(memory, present.then_some(&label), facts);
    is_due.then_some(Annotation::Label { label, present })
}

/// Returns true if a value is to be written now: the memory does not have it as written, or another one may have arrived since. While that
/// one may still arrive, the memory has the value as put off, so that a later sync comes for it (`Shown::due_at`).
fn is_due(memory: &mut ShownValue, wanted: Option<&String>, facts: Facts<'_>) -> bool {
    memory.idle = false;
    let other = memory.unanswered.as_ref().filter(|unanswered| unanswered.value.as_ref() != wanted);
    let other = other.map(|unanswered| unanswered.at);
    if other.is_none() && memory.written.as_ref() == wanted {
        // What was refused is not wanted any more.
        (memory.refused_at, memory.failing_since) = (None, None);
        return false;
    }
    if memory.is_refused(facts.now) {
        return false;
    }
    let Some(at) = other.filter(|at| facts.sent_before < *at) else { return true };
    (memory.refused_at, memory.failing_since) = (Some(at), Some(at));
    false
}

/// Drops what another sync would have to settle, for a pair for which the value is not written any more.
fn switch_off(memory: &mut ShownValue) {
    let written = memory.written.take();
    *memory = ShownValue { written, ..ShownValue::default() };
}

/// Returns the marks of notes that were carried. A note is remembered before it is carried, so that it gets its mark after a crash. It is
/// forgotten if it is neither carried nor about to be. One without an answer gets its mark once it is known to stand there.
fn marks(shown: &mut Shown, facts: Facts<'_>) -> Vec<Annotation> {
    if !facts.rule.marks_notes {
        shown.unmarked.clear();
        (shown.mark_refused_at, shown.mark_failing_since) = (None, None);
        return Vec::new();
    }
    let is_known = |id: &str| facts.carried.contains(id) || facts.under_way.contains(id);
    shown.unmarked.retain(|id| is_known(id) || facts.unanswered.contains(id.as_str()));
    shown.unmarked.extend(facts.under_way.iter().map(|id| (*id).to_owned()));
    if shown.is_mark_refused(facts.now) {
        return Vec::new();
    }
    let mark = |id: &String| {
        let google_case = facts.name.to_string();
        Annotation::Mark(CarriedMark { comment: id.clone(), google_case, at: facts.now })
    };
    shown.unmarked.iter().filter(|id| is_known(id)).map(mark).collect()
}

impl Shown {
    /// Returns the memory of the value that an annotation writes, and the value. `None` for a mark, which has none.
    fn value_of(&mut self, annotation: &Annotation) -> Option<(&mut ShownValue, Option<String>)> {
        match annotation {
            Annotation::Link(link) => Some((&mut self.link, Some(link.digest()))),
            Annotation::Label { label, present } => Some((&mut self.label, present.then(|| label.clone()))),
            Annotation::Mark(_) => None,
        }
    }

    /// Records that a write begins at `now`, or that one was sent by then and got no answer.
    pub fn begin(&mut self, annotation: &Annotation, now: DateTime<Utc>) {
        if let Some((memory, value)) = self.value_of(annotation) {
            let earlier = memory.unanswered.take().filter(|unanswered| unanswered.value != value);
            if let Some(earlier) = earlier {
                // That write may have had its effect, so a value that was answered before it need not be there any more.
                memory.written = earlier.value;
            }
            memory.unanswered = Some(UnansweredValue { value, at: now });
        }
    }

    /// Records that a write was answered. `earlier` is the memory from before it.
    pub fn done(&mut self, annotation: &Annotation, earlier: &Self) {
        let mut earlier = earlier.clone();
        let unanswered = earlier.value_of(annotation).and_then(|(memory, _)| memory.unanswered.take());
        if let Some((memory, value)) = self.value_of(annotation) {
            // An earlier attempt may still arrive. A write of another value has ended by now.
            memory.unanswered = unanswered.filter(|unanswered| unanswered.value == value);
            memory.written = value;
            (memory.refused_at, memory.failing_since) = (None, None);
        }
        if let Annotation::Mark(mark) = annotation {
            self.unmarked.remove(&mark.comment);
            (self.mark_refused_at, self.mark_failing_since) = (None, None);
        }
    }

    /// Records that a write certainly had no effect, and is tried again. `earlier` is the memory from before it.
    pub fn drop_begun(&mut self, annotation: &Annotation, earlier: &Self) {
        let mut earlier = earlier.clone();
        let earlier = earlier.value_of(annotation).map(|(memory, _)| memory);
        if let (Some((memory, _)), Some(earlier)) = (self.value_of(annotation), earlier) {
            (memory.written, memory.unanswered) = (earlier.written.take(), earlier.unanswered.take());
        }
    }

    /// Records that the company's system refuses a write. It is tried again by the first sync after a day.
    pub fn refuse(&mut self, annotation: &Annotation, now: DateTime<Utc>) {
        let (refused_at, failing_since) = self.refusal_of(annotation);
        (*refused_at, *failing_since) = (Some(now), None);
    }

    /// Records that a write failed, and may succeed later. It is tried again after a pause, which grows from minutes to a day.
    pub fn put_off(&mut self, annotation: &Annotation, now: DateTime<Utc>) {
        let (refused_at, failing_since) = self.refusal_of(annotation);
        *refused_at = Some(now);
        *failing_since = Some(failing_since.map_or(now, |since| since.min(now)));
    }

    /// Returns the times of the last and of the first failure of that kind of write.
    fn refusal_of(
        &mut self,
        annotation: &Annotation,
    ) -> (&mut Option<DateTime<Utc>>, &mut Option<DateTime<Utc>>) {
        let memory = match annotation {
            Annotation::Link(_) => &mut self.link,
            Annotation::Label { .. } => &mut self.label,
            Annotation::Mark(_) => return (&mut self.mark_refused_at, &mut self.mark_failing_since),
        };
        (&mut memory.refused_at, &mut memory.failing_since)
    }
}

#[cfg(test)]
mod tests {
    use chrono::Duration;
    use proptest::prelude::*;

    use super::*;

    const LABEL: &str = "google-escalated";

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Answer {
        Comes,
        /// The write takes effect, and its answer is lost.
        LostAfter,
        /// The write is lost.
        LostBefore,
        /// The system is overloaded: it certainly has not done it.
        Busy,
        Refused,
    }

    /// Pair with a connector that applies the decisions, and a company's system that shows what it is told.
    #[derive(Debug, Clone)]
    struct World {
        rule: ShownRule,
        shown: Shown,
        google: Case,
        company: Case,
        name: GoogleCaseName,
        now: DateTime<Utc>,
        link: Option<CaseLink>,
        labels: BTreeSet<String>,
        marks: Vec<String>,
        /// IDs of notes whose copies got no answer.
        unanswered: Vec<&'static str>,
    }

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::days(100) + Duration::minutes(minute)
    }

    impl World {
        fn new() -> Self {
            Self {
                rule: ShownRule {
                    link: Some(LinkDetail::Whole),
                    escalated_label: Some(LABEL.to_owned()),
                    marks_notes: true,
                },
                shown: Shown::default(),
                google: Case { title: "The disk is full".to_owned(), ..Case::default() },
                company: Case::default(),
                name: GoogleCaseName::parse("organizations/1/cases/42").unwrap(),
                now: at(0),
                link: None,
                labels: BTreeSet::from(["urgent".to_owned()]),
                marks: Vec::new(),
                unanswered: Vec::new(),
            }
        }

        fn decide(&self, under_way: &[&str], carried: &[&str]) -> Decision {
            decide(Facts {
                rule: &self.rule,
                shown: &self.shown,
                google: &self.google,
                company: &self.company,
                name: &self.name,
                under_way: &under_way.iter().copied().collect(),
                unanswered: &self.unanswered.iter().copied().collect(),
                carried: &carried.iter().copied().collect(),
                now: self.now,
                sent_before: self.now - Duration::minutes(2),
            })
        }

        /// Applies a decision as the tasks do. Returns the number of writes.
        fn apply(&mut self, decision: &Decision, answer: Answer) -> usize {
            if let Some(note) = &decision.note {
                self.shown.clone_from(note);
            }
            for annotation in &decision.annotations {
                let earlier = self.shown.clone();
                self.shown.begin(annotation, self.now);
                if matches!(answer, Answer::Comes | Answer::LostAfter) {
                    match annotation {
                        Annotation::Link(link) => self.link = Some(link.clone()),
                        Annotation::Label { label, present: true } => {
                            self.labels.insert(label.clone());
                        }
                        Annotation::Label { label, present: false } => {
                            self.labels.remove(label);
                        }
                        Annotation::Mark(mark) => self.marks.push(mark.comment.clone()),
                    }
                }
                match answer {
                    Answer::Comes => self.shown.done(annotation, &earlier),
                    Answer::LostAfter | Answer::LostBefore => {
                        self.shown.begin(annotation, self.now);
                        self.shown.put_off(annotation, self.now);
                    }
                    Answer::Busy => {
                        self.shown.drop_begun(annotation, &earlier);
                        self.shown.put_off(annotation, self.now);
                    }
                    Answer::Refused => {
                        self.shown.drop_begun(annotation, &earlier);
                        self.shown.refuse(annotation, self.now);
                    }
                }
            }
            decision.annotations.len()
        }

        fn sync(&mut self, answer: Answer) -> usize {
            let decision = self.decide(&[], &[]);
            self.apply(&decision, answer)
        }

        fn assert_at_rest(&self) {
            assert_eq!(self.decide(&[], &[]), Decision::default(), "{self:?}");
            assert!(!self.shown.is_outstanding(self.now), "{self:?}");
        }
    }

    #[test]
    fn the_link_is_written_once_and_again_when_its_title_or_the_closing_changes() {
        let mut world = World::new();
        assert_eq!(world.sync(Answer::Comes), 1);
        let link = world.link.clone().unwrap();
        assert_eq!((link.name.as_str(), link.closed), ("organizations/1/cases/42", false));
        assert_eq!(link.title.as_deref(), Some("The disk is full"));
        assert!(link.address.contains("42"), "{link:?}");
        world.assert_at_rest();
        world.google.title = "The disk is broken".to_owned();
        assert_eq!(world.sync(Answer::Comes), 1);
        world.assert_at_rest();
        let title = std::mem::take(&mut world.google.title);
        world.assert_at_rest();
        world.google.title = title;
        // The company's case was closed first.
        world.company.closed = true;
        world.google.title = "The disk was broken".to_owned();
        world.assert_at_rest();
        world.google.closed = true;
        assert_eq!(world.sync(Answer::Comes), 1);
        assert!(world.link.as_ref().unwrap().closed);
        world.assert_at_rest();
    }

    #[test]
    fn a_link_without_a_title_is_never_written_again() {
        let mut world = World::new();
        world.rule.link = Some(LinkDetail::Address);
        assert_eq!(world.sync(Answer::Comes), 1);
        (world.google.title, world.google.closed) = ("Another".to_owned(), true);
        world.assert_at_rest();
    }

    #[test]
    fn a_closed_company_case_gets_neither_a_link_nor_a_label() {
        let mut world = World::new();
        (world.company.closed, world.google.escalated) = (true, true);
        world.assert_at_rest();
        world.google.closed = true;
        world.assert_at_rest();
        (world.company.closed, world.google.closed) = (false, false);
        assert_eq!(world.sync(Answer::Comes), 2);
        world.assert_at_rest();
    }

    #[test]
    fn the_label_comes_and_goes_with_the_escalation_and_people_have_the_last_word() {
        let mut world = World::new();
        world.rule.link = None;
        world.assert_at_rest();
        world.google.escalated = true;
        assert_eq!(world.sync(Answer::Comes), 1);
        assert!(world.labels.contains(LABEL) && world.labels.contains("urgent"));
        // Somebody removes it.
        world.labels.remove(LABEL);
        world.assert_at_rest();
        world.google.escalated = false;
        assert_eq!(world.sync(Answer::Comes), 1);
        // Somebody adds it by hand.
        world.labels.insert(LABEL.to_owned());
        world.assert_at_rest();
        // Another name in the configuration does not leave the old label behind.
        world.google.escalated = true;
        world.sync(Answer::Comes);
        world.rule.escalated_label = Some("escalated".to_owned());
        world.assert_at_rest();
        world.google.escalated = false;
        world.sync(Answer::Comes);
        assert_eq!(world.labels, BTreeSet::from(["urgent".to_owned()]));
        world.assert_at_rest();
    }

    #[test]
    fn the_opposite_of_a_write_without_an_answer_waits_until_that_cannot_arrive_any_more() {
        for answer in [Answer::LostAfter, Answer::LostBefore] {
            let mut world = World::new();
            world.rule.link = None;
            world.google.escalated = true;
            world.sync(answer);
            assert!(world.shown.awaits_outcome());
            world.google.escalated = false;
            // Somebody asks for a retry.
            world.shown.label.refused_at = Some(DateTime::UNIX_EPOCH);
            world.shown.label.failing_since = None;
            world.now = at(1);
            assert!(world.shown.is_outstanding(world.now));
            assert_eq!(world.sync(Answer::Comes), 0, "{answer:?}");
            world.assert_at_rest();
            assert_eq!(world.shown.due_at(Duration::minutes(2)), Some(at(5)), "{answer:?}");
            assert_eq!(world.shown.due_at(Duration::minutes(9)), Some(at(9)), "{answer:?}");
            world.now = at(5);
            assert!(world.shown.is_outstanding(world.now));
            assert_eq!(world.sync(Answer::Comes), 1, "{answer:?}");
            assert!(!world.labels.contains(LABEL));
            world.assert_at_rest();
        }
    }

    #[test]
    fn a_repetition_that_was_answered_does_not_hide_the_first_attempt() {
        let mut world = World::new();
        world.rule.link = None;
        world.google.escalated = true;
        world.sync(Answer::LostBefore);
        world.shown.label.refused_at = None;
        world.now = at(1);
        assert_eq!(world.sync(Answer::Comes), 1);
        world.assert_at_rest();
        world.google.escalated = false;
        // The first attempt was sent a minute ago.
        assert_eq!(world.sync(Answer::Comes), 0);
        world.assert_at_rest();
        assert_eq!(world.shown.due_at(Duration::minutes(9)), Some(at(9)), "a sync comes for it");
        world.now = at(5);
        assert!(world.shown.is_outstanding(world.now));
        assert_eq!(world.sync(Answer::Comes), 1);
        assert!(!world.labels.contains(LABEL));
        world.assert_at_rest();
    }

    #[test]
    fn a_refusal_is_tried_again_a_day_later() {
        let mut world = World::new();
        world.google.escalated = true;
        assert_eq!(world.sync(Answer::Refused), 2);
        world.assert_at_rest();
        world.now = at(24 * 60 - 1);
        world.assert_at_rest();
        world.now = at(24 * 60);
        assert!(world.shown.is_outstanding(world.now));
        assert_eq!(world.sync(Answer::Comes), 2);
        world.assert_at_rest();
    }

    #[test]
    fn a_refused_label_is_forgotten_once_it_is_not_wanted_any_more() {
        for answer in [Answer::Refused, Answer::Busy] {
            let mut world = World::new();
            world.rule.link = None;
            world.google.escalated = true;
            assert_eq!(world.sync(answer), 1);
            world.google.escalated = false;
            assert_eq!(world.sync(Answer::Comes), 0);
            world.now = at(3 * 24 * 60);
            world.assert_at_rest();
            assert_eq!(world.shown.label, ShownValue::default());
        }
    }

    #[test]
    fn nothing_is_outstanding_while_the_cases_do_not_let_it_be_written_and_it_is_made_up_for_later() {
        for answer in [Answer::Refused, Answer::Busy, Answer::LostAfter, Answer::LostBefore] {
            let mut world = World::new();
            world.google.escalated = true;
            assert_eq!(world.sync(answer), 2);
            world.company.closed = true;
            assert_eq!(world.sync(Answer::Comes), 0);
            world.now = at(3 * 24 * 60);
            world.assert_at_rest();
            assert_eq!(world.shown.due_at(Duration::minutes(2)), None, "{answer:?}");
            world.company.closed = false;
            assert_eq!(world.sync(Answer::Comes), 2, "{answer:?}");
            world.assert_at_rest();
            assert!(world.labels.contains(LABEL) && !world.shown.link.idle && !world.shown.label.idle);
        }
        // The title comes later.
        let mut world = World::new();
        world.sync(Answer::LostAfter);
        let title = std::mem::take(&mut world.google.title);
        world.now = at(60);
        world.sync(Answer::Comes);
        world.assert_at_rest();
        world.google.title = title;
        assert_eq!(world.sync(Answer::Comes), 1);
        world.assert_at_rest();
    }

    #[test]
    fn a_failure_is_tried_again_after_pauses_that_grow_to_a_day_and_a_sync_comes_for_it() {
        for answer in [Answer::Busy, Answer::LostBefore] {
            let mut world = World::new();
            world.rule.link = None;
            world.google.escalated = true;
            let mut pauses = Vec::new();
            for _ in 0..12 {
                assert_eq!(world.sync(answer), 1, "{answer:?}");
                world.assert_at_rest();
                let due = world.shown.due_at(Duration::minutes(2)).unwrap();
                pauses.push((due - world.now).num_minutes());
                world.now = due;
                assert!(world.shown.is_outstanding(due));
            }
            assert_eq!(pauses, [5, 5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440], "{answer:?}");
            assert_eq!(world.sync(Answer::Comes), 1);
            world.assert_at_rest();
            assert_eq!(world.shown.due_at(Duration::minutes(2)), None);
            // The next failure is the first again.
            world.now += Duration::days(1);
            world.google.escalated = false;
            world.sync(answer);
            assert_eq!(world.shown.due_at(Duration::minutes(2)), Some(world.now + Duration::minutes(5)));
        }
    }

    #[test]
    fn a_mark_that_failed_is_tried_again_after_a_pause() {
        let mut world = World::new();
        world.rule.link = None;
        let decision = world.decide(&["7"], &[]);
        world.apply(&decision, Answer::Busy);
        assert_eq!(world.decide(&[], &["7"]), Decision::default());
        assert!(!world.shown.is_outstanding(world.now));
        let due = world.shown.due_at(Duration::minutes(2));
        assert_eq!(due, Some(at(5)));
        world.now = at(5);
        let decision = world.decide(&[], &["7"]);
        assert_eq!(world.apply(&decision, Answer::Comes), 1);
        world.assert_at_rest();
        assert_eq!(world.shown.due_at(Duration::minutes(2)), None);
    }

    #[test]
    fn a_note_is_remembered_before_it_is_carried_and_marked_once() {
        let mut world = World::new();
        world.rule.link = None;
        // The process dies after the note was carried.
        let decision = world.decide(&["7"], &[]);
        assert_eq!(decision.annotations.len(), 1);
        world.shown = decision.note.unwrap();
        assert!(world.shown.is_outstanding(world.now));
        let decision = world.decide(&[], &["7"]);
        assert_eq!(decision.note, None, "it is remembered");
        world.apply(&decision, Answer::LostAfter);
        world.now = at(5);
        let decision = world.decide(&[], &["7"]);
        world.apply(&decision, Answer::Comes);
        assert_eq!(world.marks, ["7", "7"]);
        world.assert_at_rest();
        // One that is not carried after all is forgotten.
        world.shown.unmarked.insert("8".to_owned());
        world.sync(Answer::Comes);
        assert_eq!(world.marks, ["7", "7"]);
        world.assert_at_rest();
    }

    #[test]
    fn a_note_whose_copy_got_no_answer_is_marked_once_that_is_known_to_stand() {
        let mut world = World::new();
        world.rule.link = None;
        world.shown = world.decide(&["7"], &[]).note.unwrap();
        world.unanswered = vec!["7"];
        assert_eq!(world.decide(&[], &[]), Decision::default());
        world.unanswered = Vec::new();
        let decision = world.decide(&[], &["7"]);
        world.apply(&decision, Answer::Comes);
        assert_eq!(world.marks, ["7"]);
        world.assert_at_rest();
    }

    #[test]
    fn what_is_switched_off_leaves_nothing_outstanding() {
        let mut world = World::new();
        world.google.escalated = true;
        world.shown.unmarked.insert("7".to_owned());
        world.sync(Answer::LostAfter);
        world.rule = ShownRule::default();
        assert_eq!(world.sync(Answer::Comes), 0);
        world.assert_at_rest();
    }

    proptest! {
        #[test]
        fn whatever_happens_the_label_follows_the_escalation_and_each_change_is_sent_once_if_answers_come(
            steps in prop::collection::vec((any::<bool>(), any::<bool>(), 0..4_u8), 1..40),
        ) {
            let mut world = World::new();
            world.rule.link = None;
            let mut changes = 0;
            let mut sent = 0;
            let mut lost = false;
            for (escalated, closed, answer) in steps {
                world.now += Duration::minutes(1);
                (world.google.escalated, world.company.closed) = (escalated, closed);
                let before = world.shown.label.written.is_some();
                let answer = match answer {
                    0 | 1 => Answer::Comes,
                    2 => Answer::LostAfter,
                    _ => Answer::LostBefore,
                };
                let count = world.sync(answer);
                prop_assert!(count <= 1 && (count == 0 || !closed));
                sent += count;
                lost |= count > 0 && answer != Answer::Comes;
                changes += usize::from(before != world.shown.label.written.is_some());
                prop_assert!(world.labels.contains("urgent"));
            }
            prop_assert!(lost || sent == changes);
            // Once answers come, and writes in flight have ended, the label stands as it should, and nothing more is done.
            world.company.closed = false;
            world.now += Duration::days(2);
            world.sync(Answer::Comes);
            prop_assert_eq!(world.labels.contains(LABEL), world.google.escalated);
            world.assert_at_rest();
        }
    }
}
