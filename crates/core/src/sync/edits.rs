//! Notes about edited comments, for `sync.edits = "note"`: a comment that was carried and is edited is followed on the other side by one
//! comment with its new text. A pure function of one side's comments and the memory of the pair.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};

use super::plan::Rules;
use super::snapshot::Clocks;
use super::texts;
use crate::cases::{Capabilities, Comment};
use crate::entities::{
    CaseMapping, ItemKind, KnownText, Ledger, NoteBegun, PairState, Side, Source, TextDigest,
};

/// Age of a comment up to which its edits are noticed. A list of comments is read back so far; most cases have no more comments in that
/// time than one page holds, which is read in any case.
const READ_BACK: Duration = Duration::days(7);
/// Number of newest carried comments of a side whose texts a pair remembers: some hundred bytes each, in a record that each change of the
/// pair writes.
const MOST_TRACKED: usize = 64;
/// Maximum number of notes about one comment. A system that shows another text at each reading would fill the other case otherwise.
const MOST_NOTES: u32 = 20;

/// Treatment of edited comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EditedComments {
    /// An edit stays on its side.
    #[default]
    Off,
    /// A comment on the other side says that the comment was edited, with the new text.
    Note,
}

impl Rules {
    /// Returns true if edits of comments in this system are noted on the other side.
    #[must_use]
    pub fn notes_edits(&self, facts: &Capabilities) -> bool {
        self.edits == EditedComments::Note && self.switches.comments && facts.comments_change
    }
}

/// Returns the time from which on comments of `side` are listed so that their edits are noticed, by the clock of the side.
#[must_use]
pub fn reads_back_to(mapping: &CaseMapping, side: Side, clocks: Clocks) -> DateTime<Utc> {
    let since = tracked_since(side, clocks);
    mapping.state.edits.oldest_outstanding(side, clocks.now).map_or(since, |at| at.min(since))
}

fn tracked_since(side: Side, clocks: Clocks) -> DateTime<Utc> {
    let now = clocks.of(side);
    now.checked_sub_signed(READ_BACK).unwrap_or(now)
}

/// Returns true if a list of comments holds an edit that no complete sync has seen, or a carried comment whose text is not known yet. A
/// complete sync then decides. It sees no comment from before `since`, so none counts, though a page of the list may have some.
#[must_use]
pub fn has_new_edit(
    side: Side,
    mapping: &CaseMapping,
    (comments, since): (&[Comment], Option<DateTime<Utc>>),
    (rules, facts): (&Rules, &Capabilities),
    clocks: Clocks,
) -> bool {
    if !rules.notes_edits(facts) {
        return false;
    }
    let (ledger, state) = (&mapping.ledger, &mapping.state);
    let is_concerned = |comment: &&Comment| {
        comment.created_at >= since
            && may_be_noted(side, comment, rules, (ledger, state))
            && was_carried(side, comment, (ledger, state))
    };
    let carried: Vec<&Comment> = comments.iter().filter(is_concerned).collect();
    let tracked = newest(&carried, tracked_since(side, clocks));
    carried.iter().any(|comment| match state.edits.known[side].get(&comment.id) {
        Some(known) => {
            let text = TextDigest::of(&rules.as_carried(side, comment).body);
            let is_new = match &known.noting {
                // A note that was refused rests, but another text does not wait for it.
                Some(begun) => begun.text != text,
                None => known.lacks(&text, comment.edited_at),
            };
            is_new && !known.owed && !known.ended
        }
        None => tracked.contains(comment.id.as_str()),
    })
}

/// Returns true if an edit of the comment may be noted: a person wrote it, and the other side may see it as it is now. What the edit has
/// made internal, or has taken the mark from, stays on its side.
fn may_be_noted(
    side: Side,
    comment: &Comment,
    rules: &Rules,
    (ledger, state): (&Ledger, &PairState),
) -> bool {
    // The ledger forgets old copies, which may still be listed here.
    let reads_like_ours = || {
        comment.by_connector != Some(false)
            && (texts::has_header_of(side.other(), &comment.body)
                || texts::recognise_notice(&comment.body).is_some())
    };
    comment.created_at.is_some()
        && !rules.keeps_comment(side, comment)
        && !ledger.wrote(side, ItemKind::Comment, &comment.id)
        && !state.is_skipped(side, &comment.id)
        && !reads_like_ours()
}

/// Returns true if the other side has the comment (`R14`: copies are known by ID). Of what the ledger has forgotten, that is known only of the
/// comments whose texts are: a comment may also be old because it was internal, or because comments were not carried then.
fn was_carried(side: Side, comment: &Comment, (ledger, state): (&Ledger, &PairState)) -> bool {
    let is_known = || state.edits.known[side].contains_key(&comment.id);
    let was_forgotten = || comment.created_at < state.forgotten_until[side] && is_known();
    ledger.has_whole_comment(side.other(), &comment.id) || was_forgotten()
}

/// Returns the IDs of the newest comments, none older than `since`.
fn newest<'a>(comments: &[&'a Comment], since: DateTime<Utc>) -> BTreeSet<&'a str> {
    let mut recent: Vec<&Comment> =
        comments.iter().copied().filter(|comment| comment.created_at >= Some(since)).collect();
    recent.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    recent.iter().rev().take(MOST_TRACKED).map(|comment| comment.id.as_str()).collect()
}

/// Facts that the decision goes by.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    /// Side whose comments are looked at.
    pub(super) side: Side,
    /// Its comments, those from before the horizon as well.
    pub(super) comments: &'a [&'a Comment],
    /// IDs of the comments whose first part is carried by the same plan.
    pub(super) begun: &'a BTreeSet<&'a str>,
    pub(super) rules: &'a Rules,
    pub(super) state: &'a PairState,
    /// Ledger, with what the same plan adopts.
    pub(super) ledger: &'a Ledger,
    /// Facts about the system that gets the notes.
    pub(super) target: &'a Capabilities,
    /// True if the other case takes comments now.
    pub(super) takes_notes: bool,
    /// Returns true if a part of that note may still arrive (`R13`: unknown write outcome): the ID of the comment, the number of the note.
    pub(super) is_in_flight: &'a dyn Fn(&str, u32) -> bool,
    pub(super) clocks: Clocks,
}

/// Note to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Note {
    /// ID of the comment that was edited.
    pub(super) id: String,
    /// Time of creation of that comment.
    pub(super) created_at: DateTime<Utc>,
    /// Number of the note about that comment.
    pub(super) number: u32,
    /// Texts of its parts, those that are written already as well.
    pub(super) bodies: Vec<String>,
}

/// Result of the decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Decision {
    /// Memory of the pair about the side.
    pub(super) known: BTreeMap<String, KnownText>,
    pub(super) notes: Vec<Note>,
    /// Notes whose outcome has to be waited for: the ID of the comment, the number of the note.
    pub(super) waits: Vec<(String, u32)>,
    pub(super) warnings: Vec<(String, String)>,
}

/// Step for one comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Nothing,
    /// Wait for the outcome of the last note.
    Wait,
    /// Write the parts of the last note that are missing.
    Write,
}

/// Decides about the comments of one side. A comment that is carried by the same plan, or that was carried and is read for the first time,
/// is remembered with its text. One whose text has been edited since gets a note, at most one in [`NOTE_PAUSE`](crate::entities::NOTE_PAUSE);
/// an edit before that is owed, and the note then has the text of its time.
pub(super) fn decide(facts: Facts<'_>) -> Decision {
    let Facts { side, rules, ledger, state, .. } = facts;
    let before = &state.edits.known[side];
    let mut decision = Decision { known: before.clone(), ..Decision::default() };
    let is_concerned = |comment: &&&Comment| {
        may_be_noted(side, comment, rules, (ledger, state))
            && (facts.begun.contains(comment.id.as_str()) || was_carried(side, comment, (ledger, state)))
    };
    let mut shown: Vec<&Comment> = facts.comments.iter().filter(is_concerned).copied().collect();
    shown.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
    // A list that changes while it is read may have a comment twice.
    let mut ids = BTreeSet::new();
    shown.retain(|comment| ids.insert(comment.id.as_str()));
    let since = tracked_since(side, facts.clocks);
    let tracked = newest(&shown, since);
    for comment in &shown {
        let Some(created_at) = comment.created_at else { continue };
        let carried = rules.as_carried(side, comment);
        let text = TextDigest::of(&carried.body);
        let Some(known) = decision.known.get_mut(&comment.id) else {
            if tracked.contains(comment.id.as_str()) {
                let notes = ledger.last_note(side.other(), &comment.id);
                let known = KnownText::carried(created_at, text, comment.edited_at, notes);
                decision.known.insert(comment.id.clone(), known);
            }
            continue;
        };
        if facts.begun.contains(comment.id.as_str()) {
            // An earlier attempt to carry it has failed, maybe with another text.
            *known = KnownText::carried(created_at, text, comment.edited_at, known.notes);
            continue;
        }
        match review(known, comment, &text, facts) {
            Step::Nothing => {}
            Step::Wait => decision.waits.push((comment.id.clone(), known.notes)),
            Step::Write => {
                let bodies = texts::edit_parts(side, &carried, known.notes, facts.target);
                if let Some(begun) = &mut known.noting {
                    begun.parts = u32::try_from(bodies.len()).unwrap_or(u32::MAX);
                }
                let (id, number) = (comment.id.clone(), known.notes);
                decision.notes.push(Note { id, created_at, number, bodies });
            }
        }
    }
    for (id, known) in &mut decision.known {
        // Deleted, or not to be seen by the other side any more.
        if !ids.contains(id.as_str()) && known.is_outstanding() && !known.is_refused(facts.clocks.now) {
            known.owed = false;
            if !(facts.is_in_flight)(id, known.notes) {
                give_up(known, parts_written(id, known, facts));
            }
        }
        if known.ended {
            let warning = format!(
                "comment {id} of the {side} case was edited more than {MOST_NOTES} times: its further edits are not noted on the other case"
            );
            decision.warnings.push((format!("edits of {side} comment {id}"), warning));
        }
    }
    if decision.known != *before {
        prune(&mut decision.known, (&ids, &tracked), since);
    }
    decision
}

/// Decides about one comment that the other side has, and that it may see.
fn review(known: &mut KnownText, comment: &Comment, text: &TextDigest, facts: Facts<'_>) -> Step {
    let now = facts.clocks.now;
    let written = parts_written(&comment.id, known, facts);
    if let Some(begun) = &mut known.noting {
        if (facts.is_in_flight)(&comment.id, known.notes) {
            return Step::Wait;
        }
        let goes_on = written < begun.parts && begun.text == *text;
        if goes_on && (!facts.takes_notes || begun.is_refused(now)) {
            return Step::Nothing;
        }
        // The ledger may have forgotten the parts that stood when the next one was refused, so the whole text becomes another note.
        let is_cut_off = begun.refused_at.is_some() && written > 0;
        if goes_on && (!is_cut_off || known.notes < MOST_NOTES) {
            known.notes += u32::from(is_cut_off);
            (begun.refused_at, begun.stands) = (None, 0);
            // The pause counts from the last attempt: nobody reads a note before it arrives.
            known.noted_at = Some(now);
            return Step::Write;
        }
        give_up(known, written);
    }
    if known.text == *text && comment.edited_at.is_some() {
        // An edit of the layout, which is none here. What is read in another way later is none either.
        known.edited_at = comment.edited_at;
    }
    let lacks = known.lacks(text, comment.edited_at);
    known.ended |= lacks && known.notes >= MOST_NOTES;
    // A note in the future was begun by a clock that was ahead.
    let is_early = known.noted_at.is_some_and(|at| at <= now) && known.due_at().is_some_and(|due| now < due);
    known.owed = lacks && !known.ended && facts.takes_notes && is_early;
    if !lacks || known.ended || known.owed || !facts.takes_notes {
        return Step::Nothing;
    }
    known.notes += 1;
    known.noted_at = Some(now);
    known.noting = Some(NoteBegun::new(text.clone(), comment.edited_at));
    Step::Write
}

/// Ends a note that is whole, or whose rest is not written any more, since its text is not that of the comment any more. Of a note whose
/// rest is missing the other side knows no whole text, so that any later text gets a note, the one of this note as well. A note of which
/// nothing was written has not happened: its number is used again, and it came late enough after the one before. A refusal keeps its
/// distance to the next attempt all the same.
fn give_up(known: &mut KnownText, written: u32) {
    let Some(begun) = known.noting.take() else { return };
    if written > 0 {
        let is_whole = written >= begun.parts;
        let text = if is_whole { begun.text } else { TextDigest::default() };
        (known.text, known.edited_at) = (text, begun.edited_at);
    } else {
        known.notes = known.notes.saturating_sub(1);
        known.noted_at = known.noted_at.filter(|_| begun.refused_at.is_some());
    }
}

/// Returns the number of parts of the last note that stand on the other case.
fn parts_written(id: &str, known: &KnownText, facts: Facts<'_>) -> u32 {
    let (parts, stood) = known.noting.as_ref().map_or((0, 0), |begun| (begun.parts, begun.stands));
    let stands = |part: &u32| {
        let source = Source::Edit { id: id.to_owned(), number: known.notes, part: *part };
        facts.ledger.has_copy(facts.side.other(), &source)
    };
    u32::try_from((1..=parts).filter(stands).count()).unwrap_or(u32::MAX).max(stood)
}

/// Forgets the texts of old comments. Called with other changes only, so that the passing of time is no change. Of the comments that are not
/// shown now, as many are kept: one that is internal for a while may be public again.
fn prune(
    known: &mut BTreeMap<String, KnownText>,
    (shown, tracked): (&BTreeSet<&str>, &BTreeSet<&str>),
    since: DateTime<Utc>,
) {
    let mut hidden: Vec<(DateTime<Utc>, String)> = known
        .iter()
        .filter(|(id, known)| !shown.contains(id.as_str()) && known.created_at >= since)
        .map(|(id, known)| (known.created_at, id.clone()))
        .collect();
    hidden.sort();
    let hidden: BTreeSet<String> = hidden.into_iter().rev().take(MOST_TRACKED).map(|(_, id)| id).collect();
    known.retain(|id, known| {
        known.is_outstanding() || tracked.contains(id.as_str()) || hidden.contains(id.as_str())
    });
}

#[cfg(test)]
mod tests {
    use Side::{Company, Google};
    use proptest::prelude::*;

    use super::*;
    use crate::cases::{Case, ClosingSet, TextLimit, Visibility};
    use crate::entities::{
        CompanyCaseId, Entry, FirstSeen, GoogleCaseName, NOTE_PAUSE, Notice, Pending, Sides,
    };
    use crate::sync::action::{Action, CommentToWrite};
    use crate::sync::attachment_matching::KnownDifferent;
    use crate::sync::plan::{CommentsToGoogle, Pair, Plan, Switches, plan};
    use crate::sync::shown::ShownRule;
    use crate::sync::snapshot::Snapshot;
    use crate::sync::turn::StatusTable;

    const GOOGLE: &str = "organizations/1/cases/2";
    const COMPANY: &str = "10001";

    /// Outcome of a write.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Answer {
        Comes,
        LostAfter,
        LostBefore,
        Fails,
        Refused,
    }

    /// Linked pair, both of whose cases are read and written as the tasks do. Google does not say who wrote a comment.
    #[derive(Debug, Clone)]
    struct World {
        mapping: CaseMapping,
        comments: Sides<Vec<Comment>>,
        facts: Sides<Capabilities>,
        rules: Rules,
        now: DateTime<Utc>,
        ids: u32,
        /// Times of the last whole syncs of each side.
        synced: Sides<Option<DateTime<Utc>>>,
    }

    fn start() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::days(20_000)
    }

    impl World {
        fn new() -> Self {
            let company = CompanyCaseId::parse(COMPANY).unwrap();
            let mut mapping = CaseMapping::first_seen(FirstSeen::Company(company), None, None, start());
            mapping.google_case_name = Some(GoogleCaseName::parse(GOOGLE).unwrap());
            mapping.state.agreed_closed = Some(false);
            mapping.ledger.record(Entry {
                side: Google,
                kind: ItemKind::Comment,
                id: "1".to_owned(),
                source: Source::Notice(Notice::NowSyncing),
                source_at: None,
                written_at: Some(start()),
                parts: None,
            });
            let facts = |comments_change| Capabilities {
                comments_change,
                in_flight_window: Duration::minutes(2),
                ..texts::tests::capabilities(TextLimit::code_points(300))
            };
            let rules = Rules {
                switches: Switches {
                    creation: false,
                    comments: true,
                    attachments: false,
                    priority: false,
                    status: false,
                    title: false,
                },
                comments_to_google: CommentsToGoogle::Public,
                edits: EditedComments::Note,
                comment_visibility: Visibility::Public,
                close_on: ClosingSet::SOLVED,
                statuses: StatusTable::new(),
                escalation: None,
                shown: ShownRule::NONE,
            };
            Self {
                mapping,
                comments: Sides::default(),
                facts: Sides { google: facts(false), company: facts(true) },
                rules,
                now: start() + Duration::hours(1),
                synced: Sides::default(),
                ids: 100,
            }
        }

        fn adds(&mut self, side: Side, body: &str, by_connector: Option<bool>) -> String {
            self.ids += 1;
            let id = self.ids.to_string();
            self.comments[side].push(Comment {
                id: id.clone(),
                author: if by_connector == Some(false) { "Jane" } else { "Connector" }.to_owned(),
                created_at: Some(self.now + Duration::milliseconds(self.ids.into())),
                body: body.to_owned(),
                earlier_body: None,
                other_id: None,
                edited_at: None,
                visibility: Visibility::Public,
                by_connector,
            });
            id
        }

        fn says(&mut self, body: &str) -> String {
            self.adds(Company, body, Some(false))
        }

        fn comment(&mut self, id: &str) -> &mut Comment {
            self.comments.company.iter_mut().find(|comment| comment.id == id).unwrap()
        }

        fn edits(&mut self, id: &str, body: &str) {
            self.ids += 1;
            let edited_at = Some(self.now + Duration::milliseconds(self.ids.into()));
            let comment = self.comment(id);
            (comment.body, comment.edited_at) = (body.to_owned(), edited_at);
        }

        fn later(&mut self, minutes: i64) {
            self.now += Duration::minutes(minutes);
        }

        fn clocks(&self) -> Clocks {
            Clocks { now: self.now, skew: Sides { google: Duration::zero(), company: Duration::zero() } }
        }

        /// Reads a case from the horizon, and its comments further back for their edits.
        fn read(&self, side: Side) -> Snapshot {
            let case = Case {
                id: if side == Google { GOOGLE } else { COMPANY }.to_owned(),
                counterpart: (side == Company).then(|| GOOGLE.to_owned()),
                created_at: Some(start()),
                synchronize: true,
                ..Case::default()
            };
            let horizon = self.mapping.state.forgotten_until[side];
            let is_recent = |comment: &Comment| horizon.is_none() || comment.created_at >= horizon;
            let (comments, mut earlier): (Vec<Comment>, Vec<Comment>) =
                self.comments[side].iter().cloned().partition(is_recent);
            let since = reads_back_to(&self.mapping, side, self.clocks());
            earlier.retain(|comment| {
                self.rules.notes_edits(&self.facts[side]) && comment.created_at >= Some(since)
            });
            Snapshot { case, comments, attachments: Vec::new(), earlier }
        }

        fn plan(&self, source: Side) -> Plan {
            let (google, company) = (self.read(Google), self.read(Company));
            let pair = Pair {
                mapping: &self.mapping,
                google: &google,
                company: &company,
                known_different: &KnownDifferent::default(),
                clocks: self.clocks(),
                home: None,
            };
            plan(
                source,
                pair,
                &self.rules,
                Sides { google: &self.facts.google, company: &self.facts.company },
            )
        }

        /// Returns true if the answer came.
        fn write(&mut self, comment: &CommentToWrite, answer: Answer) -> bool {
            let CommentToWrite { side, source, source_at, body, parts, .. } = comment.clone();
            self.mapping.pending.retain(|pending| pending.side != side || pending.source != source);
            self.mapping.pending.push(Pending {
                side,
                kind: ItemKind::Comment,
                source: source.clone(),
                marker: texts::first_line(&body).to_owned(),
                digest: Some(texts::digest(&body)),
                size: None,
                source_at,
                attempted_at: self.now,
                parts,
            });
            if matches!(answer, Answer::Comes | Answer::LostAfter) {
                let id = self.adds(side, &body, (side == Company).then_some(true));
                let written_at = self.comments[side].last().and_then(|comment| comment.created_at);
                let kind = ItemKind::Comment;
                if answer == Answer::Comes {
                    self.mapping.record(Entry { side, kind, id, source, source_at, written_at, parts });
                }
            } else if matches!(answer, Answer::Fails | Answer::Refused) {
                self.mapping.pending.retain(|pending| pending.source != source);
            }
            if let (Answer::Refused, Source::Edit { id, part, .. }) = (answer, &comment.source) {
                self.mapping.state.edits.refuse_note(side.other(), id, *part, self.now);
            }
            answer == Answer::Comes
        }

        /// Runs a sync; the first comment that it writes gets this answer, and ends it if the answer does not come. A refusal ends it too, and
        /// leaves nothing to carry. Returns the number of notes that were sent.
        fn sync(&mut self, source: Side, answer: Answer) -> usize {
            let plan = self.plan(source);
            let (mut notes, mut is_whole, mut answer) = (0, plan.waits.is_empty(), answer);
            for action in &plan.actions {
                match action {
                    Action::Adopt(entry) => self.mapping.record(entry.clone()),
                    Action::Forget(over) => self.mapping.pending.retain(|pending| pending != over),
                    Action::NoteEdits(edits) => self.mapping.state.edits.clone_from(edits),
                    Action::Comment(comment) => {
                        notes += usize::from(matches!(comment.source, Source::Edit { .. }));
                        let answer = std::mem::replace(&mut answer, Answer::Comes);
                        if !self.write(comment, answer) {
                            is_whole &= answer == Answer::Refused;
                            break;
                        }
                    }
                    other => panic!("{other:?}"),
                }
            }
            if is_whole {
                // A sync of one side says nothing about what is still to be carried from the other.
                self.synced[source] = Some(self.now);
                let before = |side: Side, minutes| Some(self.synced[side]? - Duration::minutes(minutes));
                self.mapping.forget_before(Sides { google: before(Google, 30), company: before(Company, 5) });
            }
            notes
        }

        fn syncs(&mut self) -> usize {
            self.sync(Company, Answer::Comes) + self.sync(Google, Answer::Comes)
        }

        /// Returns true if a look at the company case alone finds an edit.
        fn looks_edited(&self) -> bool {
            let back_to = reads_back_to(&self.mapping, Company, self.clocks());
            let since = self.mapping.state.forgotten_until.company.map(|horizon| horizon.min(back_to));
            let rules = (&self.rules, &self.facts.company);
            has_new_edit(Company, &self.mapping, (&self.comments.company, since), rules, self.clocks())
        }

        /// Loses the mapping, and finds the pair again.
        fn is_found_again(&mut self) {
            let notice = crate::cases::markers::now_syncing(&crate::cases::markers::CompanyCase {
                id: COMPANY,
                key: None,
                address: None,
            });
            self.adds(Google, &notice, None);
            let company = CompanyCaseId::parse(COMPANY).unwrap();
            let mut found = CaseMapping::first_seen(FirstSeen::Company(company), None, None, self.now);
            found.google_case_name = self.mapping.google_case_name.clone();
            found.recover();
            self.mapping = found;
        }

        /// Returns the texts of the notes at Google, parts put together.
        fn notes(&self, id: &str) -> Vec<String> {
            let mut notes: BTreeMap<u32, String> = BTreeMap::new();
            for comment in &self.comments.google {
                if let Some(noted) = texts::noted_edit(Company, &comment.body).filter(|noted| noted.id == id)
                {
                    let note = notes.entry(noted.number).or_default();
                    if noted.part == 1 {
                        note.clear();
                    }
                    note.push_str(noted.text.strip_prefix('\n').unwrap_or(noted.text));
                }
            }
            notes.into_values().collect()
        }

        /// Returns the text that readers at Google take for the comment's.
        fn shown(&self, id: &str) -> Option<String> {
            let copied = self.comments.google.iter().filter_map(|comment| {
                texts::copied_part(Company, &comment.body).filter(|copied| copied.id == id)
            });
            let parts: BTreeMap<u32, &str> = copied.map(|copied| (copied.part, copied.text)).collect();
            let copy = parts.values().map(|text| text.strip_prefix('\n').unwrap_or(text)).collect::<String>();
            self.notes(id).pop().or((!parts.is_empty()).then_some(copy))
        }

        fn assert_quiet(&self) {
            assert!(!self.looks_edited(), "{self:#?}");
            for source in Side::BOTH {
                assert_eq!(self.plan(source), Plan::default(), "{source}: {self:#?}");
            }
            let company = &self.comments.company;
            assert!(company.iter().all(|comment| comment.by_connector == Some(false)), "{company:#?}");
        }
    }

    #[test]
    fn an_edit_is_followed_by_one_note_with_the_new_text() {
        for minutes in [0, 3, 60, 2_000] {
            let mut world = World::new();
            let id = world.says("The disk is full.");
            assert_eq!(world.syncs(), 0);
            world.assert_quiet();
            world.later(minutes);
            world.syncs();
            world.edits(&id, "The disk is full since noon.");
            assert!(world.looks_edited());
            let plan = world.plan(Company);
            assert!(
                plan.describe().contains(&format!("note edit 1 of comment {id} (part 1) on the google case")),
                "{minutes}: {plan:#?}"
            );
            assert_eq!(plan.totals(), [("edits".to_owned(), 1)].into());
            assert_eq!(world.syncs(), 1, "{minutes}");
            assert_eq!(world.notes(&id), ["The disk is full since noon."]);
            let note = world.comments.google.last().unwrap();
            assert!(note.body.starts_with(&format!("[Company Edit 1 of Comment {id} by Jane]\n")));
            world.assert_quiet();
            world.later(60);
            assert_eq!(world.syncs(), 0);
            world.assert_quiet();
        }
    }

    #[test]
    fn edits_within_ten_minutes_become_one_note_with_the_newest_text() {
        let mut world = World::new();
        let id = world.says("one");
        world.syncs();
        world.edits(&id, "two");
        assert_eq!(world.syncs(), 1);
        for text in ["three", "four"] {
            world.later(3);
            world.edits(&id, text);
            assert_eq!(world.syncs(), 0);
            let edits = &world.mapping.state.edits;
            assert_eq!(edits.due_at(Company), Some(start() + Duration::hours(1) + NOTE_PAUSE));
            world.assert_quiet();
        }
        world.later(4);
        assert!(world.mapping.state.edits.is_due(world.now));
        assert_eq!(world.sync(Google, Answer::Comes), 1, "a sync of either side writes it");
        assert_eq!(world.notes(&id), ["two", "four"]);
        world.assert_quiet();
        // Edited, and back again.
        world.later(1);
        world.edits(&id, "five");
        world.syncs();
        world.later(1);
        world.edits(&id, "four");
        world.syncs();
        assert!(!world.mapping.state.edits.owes(Company));
        world.later(60);
        assert_eq!(world.syncs(), 0);
    }

    #[test]
    fn a_note_that_was_cut_off_is_followed_by_a_whole_one_when_its_text_comes_back() {
        let mut world = World::new();
        let long = "The disk of the third node is full. ".repeat(20);
        let id = world.says("The disk is full.");
        world.syncs();
        world.edits(&id, &long);
        world.sync(Company, Answer::LostAfter);
        // While the first of its parts stands, the comment gets its old text back, and then the other one again.
        world.edits(&id, "The disk is full.");
        world.later(3);
        world.syncs();
        world.edits(&id, &long);
        for _ in 0..2 {
            world.later(60);
            world.syncs();
        }
        let shown = world.shown(&id).unwrap();
        assert_eq!(TextDigest::of(&shown), TextDigest::of(&long), "{shown:?}");
        world.assert_quiet();
    }

    #[test]
    fn what_reads_the_same_or_is_read_in_another_way_is_no_edit() {
        let mut world = World::new();
        let id = world.says("The disk\nis  full, Jane.");
        world.syncs();
        world.edits(&id, "The disk is full,\tJane.");
        assert_eq!(world.syncs(), 0);
        // A person who is mentioned was renamed: nobody has edited the comment.
        world.comment(&id).body = "The disk is full, Jane Roe.".to_owned();
        assert_eq!(world.syncs(), 0);
        world.assert_quiet();
    }

    #[test]
    fn a_comment_from_before_the_switch_is_remembered_as_it_is_first_read() {
        let mut world = World::new();
        world.rules.edits = EditedComments::Off;
        let id = world.says("one");
        world.syncs();
        world.edits(&id, "two");
        assert_eq!(world.plan(Company), Plan::default());
        assert_eq!(world.mapping.state.edits, crate::entities::Edits::default());
        world.rules.edits = EditedComments::Note;
        assert_eq!(world.syncs(), 0);
        world.assert_quiet();
        world.edits(&id, "three");
        assert_eq!(world.syncs(), 1);
        // What is edited while it is off stays unsaid when it is on again.
        world.rules.edits = EditedComments::Off;
        world.syncs();
        world.edits(&id, "four");
        world.later(60);
        world.rules.edits = EditedComments::Note;
        assert_eq!(world.syncs(), 0);
        world.edits(&id, "five");
        assert_eq!(world.syncs(), 1);
        assert_eq!(world.notes(&id), ["three", "five"]);
        world.assert_quiet();
    }

    #[test]
    fn an_edit_that_hides_the_comment_is_not_noted() {
        let mut world = World::new();
        let id = world.says("one");
        world.syncs();
        world.edits(&id, "two");
        world.syncs();
        // The third text is owed when the comment becomes internal.
        world.edits(&id, "three");
        world.syncs();
        world.edits(&id, "a secret");
        world.comment(&id).visibility = Visibility::Internal;
        world.later(20);
        assert_eq!(world.syncs(), 0);
        assert!(!world.mapping.state.edits.owes(Company));
        world.assert_quiet();
        world.comment(&id).visibility = Visibility::Public;
        world.edits(&id, "four");
        assert_eq!(world.syncs(), 1);
        assert_eq!(world.notes(&id), ["two", "four"]);
        // A mark that is taken away.
        let mut world = World::new();
        world.rules.comments_to_google = CommentsToGoogle::Marked;
        let id = world.says("#google one");
        world.comment(&id).visibility = Visibility::Internal;
        world.syncs();
        world.edits(&id, "a secret");
        assert_eq!(world.syncs(), 0);
        world.edits(&id, "#google: two");
        assert_eq!(world.syncs(), 1);
        assert_eq!(world.notes(&id), ["two"]);
        world.assert_quiet();
    }

    #[test]
    fn a_lost_answer_leaves_one_note() {
        for answer in [Answer::LostAfter, Answer::LostBefore, Answer::Fails] {
            for long in [false, true] {
                let mut world = World::new();
                let text = if long { "The disk is full. ".repeat(40) } else { "two".to_owned() };
                let id = world.says("one");
                world.syncs();
                world.edits(&id, &text);
                assert_eq!(world.sync(Company, answer), 1);
                if answer == Answer::LostBefore {
                    assert_eq!(world.sync(Company, Answer::Comes), 0, "it may still arrive");
                    assert!(!world.plan(Company).waits.is_empty());
                }
                world.later(3);
                world.syncs();
                world.syncs();
                let notes = world.notes(&id);
                assert_eq!(notes.len(), 1, "{answer:?}: {notes:?}");
                assert_eq!(TextDigest::of(&notes[0]), TextDigest::of(&text), "{answer:?}");
                world.assert_quiet();
            }
        }
    }

    #[test]
    fn a_note_that_was_cut_off_is_followed_by_the_newest_text() {
        let mut world = World::new();
        let id = world.says("one");
        world.syncs();
        world.edits(&id, &"The disk is full. ".repeat(40));
        // The first part arrives, the second does not.
        let plan = world.plan(Company);
        let first = plan.actions.iter().find_map(|action| match action {
            Action::Comment(comment) => Some(comment.clone()),
            _ => None,
        });
        let memory = plan.actions.iter().find_map(|action| match action {
            Action::NoteEdits(edits) => Some(edits.clone()),
            _ => None,
        });
        world.mapping.state.edits = *memory.unwrap();
        assert!(world.write(&first.unwrap(), Answer::Comes));
        world.edits(&id, "three");
        assert_eq!(world.syncs(), 0, "a note was begun just now");
        world.later(10);
        assert_eq!(world.syncs(), 1);
        assert_eq!(world.shown(&id).as_deref(), Some("three"));
        world.assert_quiet();
    }

    #[test]
    fn a_comment_that_changes_at_each_reading_gets_twenty_notes_and_then_a_warning() {
        let mut world = World::new();
        let id = world.says("0");
        world.syncs();
        let mut notes = 0;
        for minute in 1..400 {
            world.later(1);
            world.edits(&id, &minute.to_string());
            notes += world.syncs();
            assert!(notes <= 1 + minute / 10, "{minute}");
        }
        assert_eq!(notes, 20);
        let warnings = world.plan(Google).warnings;
        assert!(warnings.len() == 1 && warnings[0].1.contains(&id), "{warnings:?}");
        assert!(world.plan(Google).actions.is_empty());
        // Other comments are noted as ever.
        let other = world.says("one");
        world.syncs();
        world.edits(&other, "two");
        assert_eq!(world.syncs(), 1);
    }

    #[test]
    fn a_system_whose_comments_cannot_be_edited_gets_no_note() {
        let mut world = World::new();
        world.facts.company.comments_change = false;
        let id = world.says("My number is 4711.");
        world.syncs();
        // Redacted.
        world.edits(&id, "My number is ▇▇▇▇.");
        assert_eq!(world.syncs(), 0);
        assert_eq!(world.mapping.state.edits, crate::entities::Edits::default());
    }

    #[test]
    fn notes_are_recognised_when_a_pair_is_found_again() {
        for by_connector in [None, Some(true)] {
            let mut world = World::new();
            let id = world.says("one");
            world.syncs();
            for text in ["two", "three"] {
                world.edits(&id, text);
                assert_eq!(world.syncs(), 1);
                world.later(20);
            }
            world.is_found_again();
            for comment in &mut world.comments.google {
                comment.by_connector = by_connector;
            }
            assert_eq!(world.syncs(), 0);
            world.mapping.relinking = false;
            world.assert_quiet();
            world.edits(&id, "four");
            assert_eq!(world.syncs(), 1);
            assert_eq!(world.notes(&id), ["two", "three", "four"], "{by_connector:?}");
            world.assert_quiet();
        }
    }

    #[test]
    fn a_person_who_pastes_a_note_is_carried_when_a_pair_is_found_again() {
        let mut world = World::new();
        let id = world.says("one");
        world.syncs();
        world.edits(&id, "two");
        assert_eq!(world.syncs(), 1);
        let note = world.comments.google.last().unwrap().body.clone();
        let pasted = world.adds(Google, &note, None);
        world.comments.google.last_mut().unwrap().author = "Kim".to_owned();
        world.is_found_again();
        let source = Source::Comment { id: pasted, part: 1 };
        let plan = world.plan(Google);
        let is_copy = |action: &Action| matches!(action, Action::Comment(copy) if copy.source == source);
        assert!(plan.actions.iter().any(is_copy), "{plan:#?}");
    }

    #[test]
    fn a_comment_that_was_never_carried_gets_no_note() {
        for hidden in [false, true] {
            let mut world = World::new();
            world.rules.switches.comments = hidden;
            let id = world.says("one");
            if hidden {
                world.comment(&id).visibility = Visibility::Internal;
            }
            world.syncs();
            world.later(60);
            world.syncs();
            world.rules.switches.comments = true;
            world.comment(&id).visibility = Visibility::Public;
            assert_eq!(world.syncs(), 0);
            world.edits(&id, "two");
            assert!(!world.looks_edited());
            assert_eq!(world.syncs(), 0);
            assert!(world.comments.google.is_empty());
            world.assert_quiet();
        }
    }

    #[test]
    fn a_refused_note_is_tried_again_after_a_day() {
        let mut world = World::new();
        let id = world.says("one");
        world.syncs();
        world.edits(&id, "two");
        assert!(world.looks_edited());
        assert_eq!(world.sync(Company, Answer::Refused), 1);
        for _ in 0..4 {
            assert!(!world.mapping.state.edits.is_due(world.now) && !world.looks_edited());
            assert_eq!(world.syncs(), 0);
            world.assert_quiet();
            world.later(5 * 60);
        }
        world.later(5 * 60);
        assert!(world.mapping.state.edits.is_due(world.now));
        assert_eq!(world.syncs(), 1);
        assert_eq!(world.notes(&id), ["two"]);
        assert!(!world.mapping.state.edits.is_due(world.now));
        world.assert_quiet();
    }

    #[test]
    fn another_edit_does_not_wait_for_the_note_that_was_refused() {
        let mut world = World::new();
        let id = world.says("one");
        world.syncs();
        world.edits(&id, "two");
        world.sync(Company, Answer::Refused);
        world.later(1);
        world.edits(&id, "three");
        assert!(world.looks_edited());
        assert_eq!(world.syncs(), 0, "one was tried just now");
        assert!(world.mapping.state.edits.owes(Company));
        world.later(10);
        assert_eq!(world.syncs(), 1);
        assert_eq!(world.notes(&id), ["three"]);
        assert!(world.comments.google.last().unwrap().body.starts_with("[Company Edit 1 of Comment "));
        world.assert_quiet();
    }

    #[test]
    fn a_note_that_was_refused_in_the_middle_stands_whole_a_day_later() {
        let mut world = World::new();
        let id = world.says("one");
        world.syncs();
        let text = "The disk is full. ".repeat(40);
        world.edits(&id, &text);
        let plan = world.plan(Company);
        let mut answers = [Answer::Comes, Answer::Refused].into_iter();
        for action in &plan.actions {
            match action {
                Action::NoteEdits(edits) => world.mapping.state.edits.clone_from(edits),
                Action::Comment(comment) => {
                    if let Some(answer) = answers.next() {
                        world.write(comment, answer);
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(answers.next().is_none(), "it takes two parts");
        assert_eq!(world.syncs(), 0);
        world.later(2 * 60);
        assert_eq!(world.syncs(), 0, "the ledger forgets the first part");
        world.assert_quiet();
        world.later(23 * 60);
        assert!(world.syncs() > 1);
        assert_eq!(world.notes(&id).len(), 2, "the cut one, and a whole one");
        assert_eq!(TextDigest::of(&world.shown(&id).unwrap()), TextDigest::of(&text));
        let mut headers: Vec<&str> =
            world.comments.google.iter().map(|comment| texts::first_line(&comment.body)).collect();
        headers.sort_unstable();
        headers.dedup();
        assert_eq!(headers.len(), world.comments.google.len(), "nothing is written twice");
        world.assert_quiet();
    }

    #[test]
    fn a_look_finds_no_edit_that_a_sync_does_not_see() {
        for (days, is_seen) in [(6, true), (8, false)] {
            let mut world = World::new();
            let id = world.says("one");
            world.syncs();
            world.later(days * 24 * 60);
            world.syncs();
            world.edits(&id, "two");
            assert_eq!(world.looks_edited(), is_seen, "{days}");
            assert_eq!(world.syncs(), usize::from(is_seen), "{days}");
            assert!(!world.looks_edited());
        }
    }

    #[test]
    fn the_texts_of_the_newest_comments_are_remembered_and_nothing_comes_and_goes() {
        let mut world = World::new();
        let ids: Vec<String> = (0..200).map(|number| world.says(&format!("comment {number}"))).collect();
        world.syncs();
        assert_eq!(world.mapping.state.edits.known.company.len(), MOST_TRACKED);
        world.assert_quiet();
        world.edits(&ids[0], "too old");
        world.edits(&ids[199], "new enough");
        assert_eq!(world.syncs(), 1);
        world.assert_quiet();
        world.later(8 * 24 * 60);
        world.assert_quiet();
        world.says("another");
        world.syncs();
        assert_eq!(world.mapping.state.edits.known.company.len(), 1, "with the next change");
        world.assert_quiet();
    }

    #[derive(Debug, Clone)]
    enum Step {
        Say,
        Edit(usize),
        Hide(usize),
        Show(usize),
        Sync(Side, Answer),
        Later(i64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        let side = prop_oneof![Just(Google), Just(Company)];
        let answer = prop_oneof![
            6 => Just(Answer::Comes),
            1 => Just(Answer::LostAfter),
            1 => Just(Answer::LostBefore),
            1 => Just(Answer::Fails),
        ];
        prop_oneof![
            1 => Just(Step::Say),
            4 => (0_usize..3).prop_map(Step::Edit),
            1 => (0_usize..3).prop_map(Step::Hide),
            1 => (0_usize..3).prop_map(Step::Show),
            6 => (side, answer).prop_map(|(side, answer)| Step::Sync(side, answer)),
            4 => (1_i64..15).prop_map(Step::Later),
        ]
    }

    proptest! {
        #[test]
        fn the_last_text_arrives_nothing_internal_does_and_notes_keep_their_distance(
            steps in proptest::collection::vec(any_step(), 1..60),
        ) {
            let mut world = World::new();
            let mut ids = vec![world.says("text 0")];
            let mut count = 0;
            let mut noted: BTreeMap<(String, u32), DateTime<Utc>> = BTreeMap::new();
            for step in steps {
                count += 1;
                match step {
                    Step::Say => ids.push(world.says(&format!("text {count}"))),
                    Step::Edit(which) => {
                        let id = ids[which % ids.len()].clone();
                        let is_hidden = world.comment(&id).visibility == Visibility::Internal;
                        let kind = if is_hidden { "secret" } else { "text" };
                        // Some texts take two parts.
                        world.edits(&id, &format!("{kind} {}", format!("{count} ").repeat(1 + 150 * (count % 2))));
                    }
                    Step::Hide(which) => {
                        let id = ids[which % ids.len()].clone();
                        world.edits(&id, &format!("secret {count}"));
                        world.comment(&id).visibility = Visibility::Internal;
                    }
                    Step::Show(which) => {
                        let id = ids[which % ids.len()].clone();
                        world.edits(&id, &format!("text {count}"));
                        world.comment(&id).visibility = Visibility::Public;
                    }
                    Step::Sync(side, answer) => {
                        world.sync(side, answer);
                    }
                    Step::Later(minutes) => world.later(minutes),
                }
                for comment in &world.comments.google {
                    prop_assert!(!comment.body.contains("secret"), "{}", comment.body);
                    if let Some(note) = texts::noted_edit(Company, &comment.body) {
                        noted.entry((note.id.to_owned(), note.number)).or_insert(comment.created_at.unwrap());
                    }
                }
            }
            let times: Vec<_> = noted.iter().collect();
            for pair in times.windows(2) {
                let [((one, _), first), ((other, _), second)] = pair else { unreachable!() };
                // The times of comments are a little apart, so that each is another.
                prop_assert!(one != other || **second - **first > NOTE_PAUSE - Duration::minutes(1), "{noted:?}");
            }
            for _ in 0..4 {
                world.later(11);
                world.syncs();
            }
            world.assert_quiet();
            for id in ids {
                let comment = world.comment(&id).clone();
                let shown = world.shown(&id);
                // A comment that was hidden before it was carried as a whole may stay where it is.
                if let Some(shown) = shown
                    && comment.visibility == Visibility::Public
                    && world.mapping.pending.is_empty()
                {
                    let shown = TextDigest::of(&shown);
                    prop_assert_eq!(shown, TextDigest::of(&comment.body), "{:?}", world.notes(&id));
                }
            }
        }
    }
}
