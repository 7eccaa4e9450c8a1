//! Planner: compares a linked pair with its mapping, and returns the actions to do (`R11`: plan, then act).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Duration, Utc};

use super::action::{Action, CommentToWrite};
use super::attachment_matching::{KnownDifferent, looks_like};
use super::edits::{self, EditedComments};
use super::escalation::{self, EscalationRule, Told};
use super::merge::{Priorities, merge_priority};
use super::shown::{self, ShownRule};
use super::snapshot::{Clocks, Snapshot};
use super::subscribers::{SubscriberChange, merge_subscribers};
use super::texts;
use super::title;
use super::turn::{self, StatusTable};
use crate::cases::{
    Attachment, Capabilities, Case, Closing, ClosingSet, Comment, Needs, NewCase, Placement, Visibility,
    markers,
};
use crate::entities::{
    CaseMapping, Edits, Entry, GoogleCaseName, GooglePlacement, ItemKind, Ledger, Notice, Pending,
    PendingStatus, PriorityReading, Refusable, Side, Sides, Source,
};

/// Switches for the things that are kept in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "the documented switches")]
pub struct Switches {
    /// True if counterparts are created.
    pub creation: bool,
    /// True if comments are copied.
    pub comments: bool,
    /// True if attachments are copied.
    pub attachments: bool,
    /// True if priorities are merged.
    pub priority: bool,
    /// True if closing and reopening are carried.
    pub status: bool,
    /// True if changed titles are carried.
    pub title: bool,
}

impl Switches {
    /// Everything is kept in step: the default.
    pub const ALL: Self =
        Self { creation: true, comments: true, attachments: true, priority: true, status: true, title: true };
}

/// Rules of the configuration that hold for every pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Switches for the things that are kept in step.
    pub switches: Switches,
    /// Comments of the company case that are copied to Google.
    pub comments_to_google: CommentsToGoogle,
    /// Treatment of comments that are edited after they were copied.
    pub edits: EditedComments,
    /// Visibility in the CRM of Google's comments and of the connector's own.
    pub comment_visibility: Visibility,
    /// Ways of closing a company case that close its Google case (`R32`: closed is not solved).
    pub close_on: ClosingSet,
    /// Statuses of the company case for Google's states.
    pub statuses: StatusTable,
    /// Rule for escalations. `None`: people of the company cannot escalate.
    pub escalation: Option<EscalationRule>,
    /// Things that are shown of the Google case on the company case.
    pub shown: ShownRule,
}

impl Rules {
    /// Returns the visibility of the items that the connector writes on that side. Google has no internal comments.
    #[must_use]
    pub const fn visibility_on(&self, side: Side) -> Visibility {
        match side {
            Side::Google => Visibility::Public,
            Side::Company => self.comment_visibility,
        }
    }

    /// Returns the operations that are needed on that side, for `casebridge check`.
    #[must_use]
    pub fn needs(&self, side: Side) -> Needs {
        let Switches { creation, comments: _, attachments, priority, status, title } = self.switches;
        let turn = side == Side::Company && !self.statuses.is_empty();
        let shown = |is_on: bool| side == Side::Company && is_on;
        Needs {
            creation,
            attachments,
            priority,
            status,
            turn,
            title,
            remote_link: shown(self.shown.link.is_some()),
            label: shown(self.shown.escalated_label.is_some()),
            mark: shown(self.shown.marks_notes),
            marked_notes: shown(self.carries_marked_notes()),
            visibility: self.visibility_on(side),
        }
    }

    /// Returns true if notes go to Google, and only those that people have marked.
    #[must_use]
    pub fn carries_marked_notes(&self) -> bool {
        self.switches.comments && self.comments_to_google == CommentsToGoogle::Marked
    }

    /// Returns true if a comment must stay on its side.
    pub(super) fn keeps_comment(&self, side: Side, comment: &Comment) -> bool {
        side == Side::Company
            && match self.comments_to_google {
                CommentsToGoogle::Public => comment.visibility == Visibility::Internal,
                CommentsToGoogle::All => false,
                CommentsToGoogle::Marked => !is_marked(comment),
            }
    }

    /// Returns true if a file must stay on its side. `comments` are those of its case.
    pub(super) fn keeps_file(&self, side: Side, file: &Attachment, comments: &[Comment]) -> bool {
        side == Side::Company
            && match self.comments_to_google {
                CommentsToGoogle::Public => file.visibility == Visibility::Internal,
                CommentsToGoogle::All => false,
                CommentsToGoogle::Marked => {
                    let is_its_own = |comment: &&Comment| file.comment.as_ref() == Some(&comment.id);
                    !comments.iter().find(is_its_own).is_some_and(is_marked)
                }
            }
    }

    /// Returns a comment as it is carried: without the mark that lets it leave the house.
    pub(super) fn as_carried<'c>(&self, side: Side, comment: &'c Comment) -> Cow<'c, Comment> {
        match texts::after_mark(&comment.body) {
            Some(body) if side == Side::Company && self.comments_to_google == CommentsToGoogle::Marked => {
                let earlier_body = comment.earlier_body.as_deref();
                let earlier_body =
                    earlier_body.map(|earlier| texts::after_mark(earlier).unwrap_or(earlier).to_owned());
                Cow::Owned(Comment { body: body.to_owned(), earlier_body, ..comment.clone() })
            }
            Some(_) | None => Cow::Borrowed(comment),
        }
    }
}

/// Comments of the company case that are copied to Google. Files follow the comment that they belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CommentsToGoogle {
    /// Those that are not internal, unless a person decides otherwise.
    #[default]
    Public,
    /// All.
    All,
    /// Internal ones that begin with [`texts::MARK`], for a desk in which everybody else's are for the requester.
    Marked,
}

fn is_marked(comment: &Comment) -> bool {
    comment.visibility == Visibility::Internal && texts::after_mark(&comment.body).is_some()
}

/// Linked pair as a sync has read it.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// Mapping, read before the cases were.
    pub mapping: &'a CaseMapping,
    /// The Google case.
    pub google: &'a Snapshot,
    /// The company case.
    pub company: &'a Snapshot,
    /// Files that are known to only look like copies.
    pub known_different: &'a KnownDifferent,
    /// Clocks at the time at which the reading began.
    pub clocks: Clocks,
    /// Address of the company's system (`R31`: an ID is valid only in its own system).
    pub home: Option<&'a str>,
}

impl<'a> Pair<'a> {
    /// Returns that side's case and its content.
    #[must_use]
    pub fn snapshot(&self, side: Side) -> &'a Snapshot {
        match side {
            Side::Google => self.google,
            Side::Company => self.company,
        }
    }

    /// Returns the name of that side's case in texts on the other side (`R31`: an ID is valid only in its own system).
    fn name(&self, side: Side) -> String {
        match side {
            Side::Google => self.mapping.case_id(side).unwrap_or_default().to_owned(),
            Side::Company => texts::company_name(&self.company.case, self.home).to_string(),
        }
    }
}

/// Result of the planner.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Actions to do, in order.
    pub actions: Vec<Action>,
    /// Writes that have to wait. The sync fails and is repeated.
    pub waits: Vec<Wait>,
    /// Warnings for a person, each given once; with a short code that stays the same as long as the warning does. Never content.
    pub warnings: Vec<(String, String)>,
    /// True if content stays behind because the other side's case is closed and takes no more. Nothing is to be done about it now, but the
    /// horizon must not pass it: the case may be reopened (`R15`: one horizon for both; `R19`: status).
    pub held: bool,
}

impl Plan {
    /// Returns true if nothing is to be done, now or later.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.waits.is_empty()
    }

    /// True if the plan carries a person's change, as opposed to the connector's own bookkeeping.
    #[must_use]
    pub fn carries_changes(&self) -> bool {
        self.actions.iter().any(Action::carries_change)
    }

    /// True if the plan closes or reopens a case, or records the status that both have.
    #[must_use]
    pub fn changes_status(&self) -> bool {
        self.actions.iter().any(Action::changes_status)
    }

    /// Counts the writes of each kind; of subscribers, the people who are added or removed.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::new();
        for action in &self.actions {
            let Some(kind) = action.counts_as() else { continue };
            // One write changes all subscribers, and people are counted.
            let count = if let Action::SetSubscribers { change, .. } = action { change.count() } else { 1 };
            *totals.entry(kind.to_owned()).or_default() += count;
        }
        totals
    }

    /// Returns the addresses that the plan makes subscribers, and those that it removes, for the operator who asks for a dry run.
    #[must_use]
    pub fn subscribers(&self) -> Option<&SubscriberChange> {
        self.actions.iter().find_map(|action| {
            if let Action::SetSubscribers { change, .. } = action { Some(change) } else { None }
        })
    }

    /// Describes the plan in a dry run, a line for each step: IDs, never content, but for the addresses of subscribers.
    #[must_use]
    pub fn describe(&self) -> Vec<String> {
        let actions = self.actions.iter().map(|action| {
            let step = action.describe();
            let Action::SetSubscribers { change, .. } = action else { return step };
            format!("{step}: {}", change.describe())
        });
        let waits = self.waits.iter().map(|wait| format!("wait: {}", wait.reason));
        let warnings = self.warnings.iter().map(|(_, warning)| format!("warning: {warning}"));
        actions.chain(waits).chain(warnings).collect()
    }
}

/// Write that has to wait for the outcome of an earlier one (`R13`: unknown write outcome).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Description for people: what is waited for.
    pub reason: String,
    /// End of the in-flight window of the earlier write. `None` if nothing tells when the wait ends.
    pub until: Option<DateTime<Utc>>,
}

/// Number of writes of each kind: see [`Action::counts_as`].
pub type Totals = BTreeMap<String, usize>;

/// Returns the plan for a sync of `source` on this pair. It is empty if both sides are equal, or if the company case is not flagged (`R20`:
/// leaving).
#[must_use]
pub fn plan(source: Side, pair: Pair<'_>, rules: &Rules, facts: Sides<&Capabilities>) -> Plan {
    if !pair.company.case.synchronize {
        return Plan::default();
    }
    let mut planner = Planner::new(pair, rules, facts);
    if pair.mapping.paused {
        planner.plan.actions.push(Action::Resume);
    }
    planner.adopt();
    planner.link_back();
    planner.carry(source);
    planner.edits();
    planner.title();
    planner.turn();
    planner.escalation();
    planner.shown();
    planner.plan
}

/// Content that a sync of a side leaves uncarried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remaining {
    /// Nothing.
    Nothing,
    /// Only content that the other side's case does not take for now, since it is closed or refuses every write.
    Held,
    /// Changes that the side's own sync has to carry.
    Changes,
}

/// Reports the content of `side` that a sync of `side` would still carry. Used to stamp a side that the sync of the other side has read
/// (`R8`: idle cases).
#[must_use]
pub fn left_on(side: Side, pair: Pair<'_>, rules: &Rules, facts: Sides<&Capabilities>) -> Remaining {
    let mut planner = Planner::new(pair, rules, facts);
    planner.adopt();
    planner.plan = Plan::default();
    planner.carry(side);
    // A record of what both sides hold is no change of `side`, since a later sync makes it as well. The outcome of a change of subscribers is
    // one: only the sync of a company case looks for it.
    let awaits_subscribers = pair.mapping.state.subscribers_sent_at.is_some();
    let is_record = |action: &Action| match action {
        Action::AgreeOnPriority(_) => true,
        Action::AgreeOnSubscribers(_) => !awaits_subscribers,
        _ => false,
    };
    planner.plan.actions.retain(|action| !is_record(action));
    // Writes to a case that refuses every write for now are no change: the sync of `side` would skip them as well (R33: final refusals).
    let is_possible = |action: &Action| !action.is_left_alone(&pair.mapping.state, pair.clocks.now);
    if !planner.plan.actions.iter().all(is_possible) {
        planner.plan.actions.retain(is_possible);
        planner.plan.held = true;
    }
    match planner.plan {
        plan if !plan.is_empty() => Remaining::Changes,
        plan if plan.held => Remaining::Held,
        _ => Remaining::Nothing,
    }
}

/// Returns the short code of the warning that content of `source` is held back. Only a sync of `source` gives that warning.
#[must_use]
pub fn held_code(source: Side) -> String {
    format!("held {source}")
}

/// Counterpart to be created for a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counterpart {
    /// The new case. The caller sets its idempotency key.
    pub case: NewCase,
    /// Number of parts that its description is split into.
    pub parts: u32,
    /// First line of its description.
    pub header: String,
}

/// Returns the counterpart to create for a case of `from`. `home` is the address of the company's system (`R31`: an ID is valid only in its
/// own system).
#[must_use]
pub fn counterpart_of(from: Side, case: &Case, home: Option<&str>, target: &Capabilities) -> Counterpart {
    let header = texts::description_header(from, case, home);
    let text = texts::mirrored(from, &header, &case.title, &case.description, target);
    let parts = u32::try_from(text.further.len() + 1).unwrap_or(u32::MAX);
    let case = NewCase {
        title: text.title,
        description: text.description,
        priority: case.priority.level(),
        counterpart: case.id.clone(),
        idempotency_key: String::new(),
        placement: Placement::default(),
        google: GooglePlacement::default(),
    };
    Counterpart { case, parts, header }
}

/// Pause before a priority that a side refused is set there again (`R30`: merge base).
const UNHELD_AGE: Duration = Duration::days(1);
/// Maximum difference between the clocks of both systems and ours, for the decision which event came first.
const CLOCKS_APART: Duration = Duration::minutes(10);

struct Planner<'a> {
    pair: Pair<'a>,
    rules: &'a Rules,
    facts: Sides<&'a Capabilities>,
    /// Ledger of the mapping, with the entries that this plan adopts.
    ledger: Ledger,
    /// Write-ahead records of the mapping, without those that this plan adopts or forgets.
    pending: Vec<Pending>,
    plan: Plan,
}

impl<'a> Planner<'a> {
    fn new(pair: Pair<'a>, rules: &'a Rules, facts: Sides<&'a Capabilities>) -> Self {
        let ledger = pair.mapping.ledger.clone();
        let pending = pair.mapping.pending.clone();
        Self { pair, rules, facts, ledger, pending, plan: Plan::default() }
    }

    /// Finds the results of earlier writes: first of those whose answer was lost, then, while relinking, all items that read like a copy
    /// (`R13`: unknown write outcome).
    fn adopt(&mut self) {
        for pending in std::mem::take(&mut self.pending) {
            if let Some(entry) = self.outcome_of(&pending) {
                self.record(entry);
            } else if self.is_obsolete(&pending) {
                self.plan.actions.push(Action::Forget(pending));
            } else {
                self.pending.push(pending);
            }
        }
        if self.pair.mapping.relinking {
            for side in Side::BOTH {
                self.recover(side);
            }
        }
        if let Some(done) = self.status_left_behind() {
            let resolved = self.pair.mapping.resolved_at.is_some();
            self.plan.actions.push(match done.closed {
                closed if closed == resolved => Action::ForgetStatus,
                true => Action::Resolve(self.closed_at(done.side.other())),
                false => Action::Unresolve,
            });
        }
    }

    /// Returns the closing or reopening without an answer, if its case has the status that it would have left.
    fn status_left_behind(&self) -> Option<PendingStatus> {
        let pending = self.pair.mapping.pending_status;
        pending.filter(|pending| self.pair.snapshot(pending.side).case.closed == pending.closed)
    }

    /// Returns the time at which the case of that side was closed, as far as it is known: its last update, otherwise now.
    fn closed_at(&self, side: Side) -> DateTime<Utc> {
        self.pair.snapshot(side).case.updated_at.unwrap_or(self.pair.clocks.now)
    }

    fn record(&mut self, entry: Entry) {
        self.ledger.record(entry.clone());
        self.plan.actions.push(Action::Adopt(entry));
    }

    /// Returns the item that a pending write left on its side, if it can be seen there.
    fn outcome_of(&self, pending: &Pending) -> Option<Entry> {
        let snapshot = self.pair.snapshot(pending.side);
        let (id, written_at) = match pending.kind {
            ItemKind::Comment => {
                let comment = snapshot.comments.iter().find(|comment| {
                    !self.ledger.wrote(pending.side, ItemKind::Comment, &comment.id)
                        && texts::is_outcome_of(pending, comment)
                })?;
                (&comment.id, comment.created_at)
            }
            ItemKind::Attachment => {
                if self.uncompared(pending.side, &pending.source).is_some() {
                    return None;
                }
                // If a person's file cannot be told from it, the newest is the likeliest.
                let attachment = snapshot.attachments.iter().rev().find(|attachment| {
                    self.may_be_outcome_of(pending, attachment)
                        && !self.ledger.wrote(pending.side, ItemKind::Attachment, &attachment.id)
                })?;
                (&attachment.id, attachment.created_at)
            }
        };
        Some(Entry {
            side: pending.side,
            kind: pending.kind,
            id: id.clone(),
            source: pending.source.clone(),
            source_at: pending.source_at,
            written_at,
            parts: pending.parts,
        })
    }

    /// Returns the reason why it is not known yet if the copy of a file stands on `side`; `None` if it is known.
    fn uncompared(&self, side: Side, source: &Source) -> Option<&'a str> {
        let Source::Attachment { id: original } = source else { return None };
        self.pair.known_different.uncompared(side, original)
    }

    /// Returns true if a file may be the result of a pending upload.
    fn may_be_outcome_of(&self, pending: &Pending, candidate: &Attachment) -> bool {
        let Source::Attachment { id: original } = &pending.source else { return false };
        pending.kind == ItemKind::Attachment
            && looks_like(candidate, &pending.marker, pending.size)
            && !self.pair.known_different.differ(pending.side, &candidate.id, original)
    }

    /// Returns true if a pending write whose result was not found can be forgotten: its in-flight window is over, and there is no reason
    /// any more to write it.
    fn is_obsolete(&self, pending: &Pending) -> bool {
        let from = pending.side.other();
        let is_due = match &pending.source {
            Source::Comment { id, part } => *part <= self.parts_due(from, id),
            Source::Description { part } => {
                usize::try_from(*part).is_ok_and(|part| part <= self.further_description(from).len() + 1)
            }
            Source::Attachment { id } => {
                let attachment = self.pair.snapshot(from).attachments.iter().find(|file| file.id == *id);
                // What cannot be compared yet may be its copy.
                let is_doubtful = self.uncompared(pending.side, &pending.source).is_some();
                attachment.is_some_and(|attachment| is_doubtful || !self.leaves(from, attachment))
            }
            // The notice is of no use any more once both cases are open, or both are closed, again.
            Source::Notice(Notice::CannotReopen) => {
                let closed = |side: Side| self.pair.snapshot(side).case.closed;
                !closed(pending.side) && closed(pending.side.other())
            }
            // The task that posts such a notice posts it again, if there still is a reason to.
            Source::Notice(
                Notice::CounterpartGone
                | Notice::CounterpartBack
                | Notice::Merged
                | Notice::GivenUp
                | Notice::ReadOnly
                | Notice::Conflict,
            ) => false,
            Source::Notice(Notice::LeftOpen) => {
                self.pair.company.case.closed && !self.pair.google.case.closed
            }
            Source::Notice(Notice::NotEscalated) => {
                let escalation = &self.pair.mapping.state.escalation;
                let is_open = !Side::BOTH.into_iter().any(|side| self.pair.snapshot(side).case.closed);
                escalation.raised && escalation.problem.is_some() && is_open
            }
            // `edits` decides about a note.
            Source::Edit { .. } | Source::Notice(Notice::NowSyncing | Notice::Outage | Notice::Resumed) => {
                true
            }
        };
        let gave_up = || self.gave_up(pending.side, &Refusable::Item(pending.source.clone()));
        (!is_due || gave_up()) && !self.is_in_flight(pending)
    }

    /// Returns the number of parts that a comment is carried in: 0 if it was deleted, may not be carried any more, or comments are not carried.
    fn parts_due(&self, from: Side, id: &str) -> u32 {
        let mut comments = self.pair.snapshot(from).comments.iter();
        let comment = comments.find(|comment| comment.id == *id);
        let comment =
            comment.filter(|comment| self.rules.switches.comments && self.is_to_be_carried(from, comment));
        let parts = comment.map(|comment| self.split(from, &self.rules.as_carried(from, comment)).1.len());
        parts.map_or(0, |parts| u32::try_from(parts).unwrap_or(u32::MAX))
    }

    /// Returns true if a pending write may still take effect.
    fn is_in_flight(&self, pending: &Pending) -> bool {
        self.pair.clocks.now < pending.attempted_at + self.facts[pending.side].in_flight_window
    }

    /// Recognises copies and notices on `side` by their text, since the pair existed before this mapping (relinking).
    #[expect(clippy::single_match_else, reason = "two cases of one question")]
    fn recover(&mut self, side: Side) {
        let from = side.other();
        let sources = self.pair.snapshot(from);
        let candidates = self.pair.snapshot(side);
        let unclaimed = |ledger: &Ledger, comment: &Comment| {
            comment.by_connector != Some(false) && !ledger.wrote(side, ItemKind::Comment, &comment.id)
        };
        for candidate in &candidates.comments {
            let Some(copied) = texts::copied_part(from, &candidate.body) else { continue };
            let original = sources.comments.iter().find(|comment| comment.id == copied.id);
            // Copies of version 0.1 hold the text as that version read it.
            let readings = original.map(|original| {
                let readings = [Some(&original.body), original.earlier_body.as_ref()];
                readings.into_iter().flatten().map(|body| texts::carried(body, self.facts[side])).collect()
            });
            let readings: Option<Vec<String>> = readings;
            let copied = copied.as_whole(readings.iter().flatten().map(String::as_str));
            // If the system does not name the author, a person may have quoted the header, so the text below it must be a piece of the
            // original. If the original was deleted, the header is all there is. Then it counts if the comment and both cases are older
            // than the mapping by their systems' clocks. An unknown time counts as older.
            let is_copy = candidate.by_connector == Some(true)
                || match &readings {
                    Some(readings) => {
                        texts::is_explanation(copied.text)
                            || readings.iter().any(|carried| texts::is_piece_of(copied.text, carried))
                    }
                    None => {
                        let mapped_at = self.pair.mapping.created_at - CLOCKS_APART;
                        let is_older = |side: Side, at: Option<DateTime<Utc>>| {
                            at < Some(self.pair.clocks.in_time_of(side, mapped_at))
                        };
                        self.is_of_another_pair(side, candidate.created_at)
                            || is_older(side, candidate.created_at)
                                && is_older(from, sources.case.created_at)
                                && is_older(side, candidates.case.created_at)
                    }
                };
            let source = Source::Comment { id: copied.id.to_owned(), part: copied.part };
            if is_copy && unclaimed(&self.ledger, candidate) && !self.ledger.has_copy(side, &source) {
                let created_at = original.and_then(|original| original.created_at);
                let entry = comment_entry(side, candidate, source, created_at);
                self.record(Entry { parts: Some(copied.parts), ..entry });
            }
        }
        for candidate in &candidates.comments {
            let Some(noted) = texts::noted_edit(from, &candidate.body) else { continue };
            let original = sources.comments.iter().find(|comment| comment.id == noted.id);
            // The text of an earlier edit tells nothing about its writer, but the author's name may (`recover_by_author`).
            let has_its_text = original.is_some_and(|original| {
                let original = self.rules.as_carried(from, original);
                texts::is_piece_of(noted.text, &texts::carried(&original.body, self.facts[side]))
            });
            let is_note = candidate.by_connector == Some(true) || has_its_text;
            let source = Source::Edit { id: noted.id.to_owned(), number: noted.number, part: noted.part };
            if is_note && unclaimed(&self.ledger, candidate) && !self.ledger.has_copy(side, &source) {
                let created_at = original.and_then(|original| original.created_at);
                self.record(comment_entry(side, candidate, source, created_at));
            }
        }
        for candidate in &candidates.comments {
            if let Some(part) = texts::description_part(from, &candidate.body)
                && unclaimed(&self.ledger, candidate)
            {
                let source = Source::Description { part };
                self.record(comment_entry(side, candidate, source, sources.case.created_at));
            }
        }
        for attachment in &sources.attachments {
            if self.ledger.wrote(from, ItemKind::Attachment, &attachment.id) {
                continue;
            }
            let source = Source::Attachment { id: attachment.id.clone() };
            if self.uncompared(side, &source).is_some() {
                continue;
            }
            if self.ledger.has_copy(side, &source) {
                // Another file of that name and size is a person's. `lookalikes` does not compare it.
                continue;
            }
            let stored_name = (self.facts[side].stored_filename)(&attachment.filename);
            let copy = candidates.attachments.iter().find(|candidate| {
                looks_like(candidate, &stored_name, attachment.size)
                    && !self.ledger.wrote(side, ItemKind::Attachment, &candidate.id)
                    && !self.pair.known_different.differ(side, &candidate.id, &attachment.id)
            });
            let marker = texts::attachment_marker(from, &attachment.id, &attachment.author);
            let explanation = candidates.comments.iter().find(|candidate| {
                unclaimed(&self.ledger, candidate) && texts::begins_with(&candidate.body, &marker)
            });
            let entry = match (copy, explanation) {
                (Some(copy), _) => Entry {
                    side,
                    kind: ItemKind::Attachment,
                    id: copy.id.clone(),
                    source,
                    source_at: attachment.created_at,
                    written_at: copy.created_at,
                    parts: None,
                },
                (None, Some(comment)) => comment_entry(side, comment, source, attachment.created_at),
                (None, None) => continue,
            };
            self.record(entry);
        }
        for comment in &candidates.comments {
            if let Some(notice) = texts::recognise_notice(&comment.body)
                && unclaimed(&self.ledger, comment)
            {
                let entry = comment_entry(side, comment, Source::Notice(notice), None);
                if notice == Notice::NowSyncing {
                    // This notice is posted once per mapping.
                    self.record(entry);
                } else {
                    self.ledger.record(entry.clone());
                    self.plan.actions.push(Action::Recognise(entry));
                }
            }
        }
        self.recover_by_author(side);
    }

    /// Recognises copies on `side` by their author, where their text does not tell: the original was edited or deleted since. Comments are
    /// recognised so if the system does not say who wrote them, files also if it says that the connector did.
    fn recover_by_author(&mut self, side: Side) {
        let names = self.names_of_connector(side);
        let Snapshot { comments, attachments, .. } = self.pair.snapshot(side);
        for comment in comments {
            let is_ours = comment.by_connector.is_none() && names.contains(comment.author.as_str());
            if self.ledger.wrote(side, ItemKind::Comment, &comment.id) {
                continue;
            }
            if is_ours && let Some(copied) = texts::copied_part(side.other(), &comment.body) {
                let source = Source::Comment { id: copied.id.to_owned(), part: copied.part };
                let entry = comment_entry(side, comment, source, None);
                self.record(Entry { parts: Some(copied.parts), ..entry });
            } else if is_ours && let Some(noted) = texts::noted_edit(side.other(), &comment.body) {
                let source = Source::Edit { id: noted.id.to_owned(), number: noted.number, part: noted.part };
                self.record(comment_entry(side, comment, source, None));
            } else if (is_ours || comment.by_connector == Some(true))
                && let Some(id) = texts::explained_attachment(side.other(), &comment.body)
            {
                // Its file is not there any more, or stands on the case that the pair had before.
                let source = Source::Attachment { id: id.to_owned() };
                self.record(comment_entry(side, comment, source, None));
            }
        }
        // A person may use the connector's account. In a relinked pair that is all there is to go by, so such a file counts as a person's,
        // unless it is from an earlier pair of its case.
        let is_shared = |comment| self.is_persons(side, comment);
        let is_shared = comments.iter().filter(|comment| comment.by_connector == Some(true)).any(is_shared);
        let looks_again = self.pair.mapping.state.looks_again;
        for file in attachments {
            let is_ours = match file.by_connector {
                Some(said) => {
                    let is_known = looks_again || self.is_of_another_pair(side, file.created_at);
                    said && is_known && !is_shared
                }
                None => names.contains(file.author.as_str()),
            };
            if is_ours && !self.ledger.wrote(side, ItemKind::Attachment, &file.id) {
                self.record(Entry {
                    side,
                    kind: ItemKind::Attachment,
                    id: file.id.clone(),
                    source: Source::Attachment { id: String::new() },
                    source_at: file.created_at,
                    written_at: file.created_at,
                    parts: None,
                });
            }
        }
    }

    /// Returns the names under which only the connector writes on `side`: those of comments that are known to be its own, by ID or, if the
    /// pair is found again, by their text, and that of the notice which names this pair's company case. A name under which a person writes
    /// as well is none of them.
    fn names_of_connector(&self, side: Side) -> BTreeSet<&'a str> {
        let comments = &self.pair.snapshot(side).comments;
        let company = self.pair.mapping.case_id(Side::Company);
        let links_pair = |comment: &Comment| {
            let named = markers::company_case_of_comment(&comment.body).map(|named| named.id);
            // A message's sender is whoever its headers name.
            side == Side::Google && comment.by_connector != Some(false) && named.is_some() && named == company
        };
        let of_people =
            comments.iter().filter(|comment| self.is_persons(side, comment) && !links_pair(comment));
        let of_people: BTreeSet<&str> = of_people.map(|comment| comment.author.as_str()).collect();
        let ours = comments
            .iter()
            .filter(|comment| self.ledger.wrote(side, ItemKind::Comment, &comment.id) || links_pair(comment));
        let names = ours.map(|comment| comment.author.as_str());
        names.filter(|name| !name.is_empty() && !of_people.contains(name)).collect()
    }

    /// Returns true if a comment is neither known to be the connector's own nor reads like a copy.
    fn is_persons(&self, side: Side, comment: &Comment) -> bool {
        !self.ledger.wrote(side, ItemKind::Comment, &comment.id)
            && !texts::has_header_of(side.other(), &comment.body)
    }

    /// Returns true if an item on the company case is from before this pair, and the case still names the Google case of an earlier one:
    /// that pair's mapping was cleaned up, and this pair continues with its company case (`R32`: closed is not solved).
    fn is_of_another_pair(&self, side: Side, created_at: Option<DateTime<Utc>>) -> bool {
        let mapping = self.pair.mapping;
        let number = |name: &GoogleCaseName| name.number().to_owned();
        let named = self.pair.company.case.counterpart.as_deref();
        let named = named.and_then(|name| GoogleCaseName::parse(name).ok()).map(|name| number(&name));
        let names_another = named.is_some() && named != mapping.google_case_name.as_ref().map(number);
        let linked_at = mapping.linked_at.map(|at| self.pair.clocks.in_time_of(side, at));
        side == Side::Company && names_another && created_at < linked_at
    }

    /// Links the cases: the company case names its Google case, and a comment on the Google case names the company case (`R10`: knowing
    /// one's own cases).
    fn link_back(&mut self) {
        let mapping = self.pair.mapping;
        let (Some(google), Some(company)) = (&mapping.google_case_name, &mapping.company_case_id) else {
            return;
        };
        let named =
            self.pair.company.case.counterpart.as_deref().and_then(|name| GoogleCaseName::parse(name).ok());
        if named.is_none_or(|named| named.number() != google.number())
            && !self.gave_up(Side::Company, &Refusable::LinkBack)
        {
            self.plan.actions.push(Action::LinkBack {
                company_case_id: company.to_string(),
                google_case_name: google.to_string(),
            });
        }
        if self.takes_comments(Side::Google) {
            let body = markers::now_syncing(&texts::company_name(&self.pair.company.case, self.pair.home));
            self.comment(Side::Google, Source::Notice(Notice::NowSyncing), None, body, None);
        }
    }

    /// Plans everything that goes from `source` to the other side.
    fn carry(&mut self, source: Side) {
        let target = source.other();
        let status = self.status(source);
        if source == Side::Company {
            self.subscribers();
        }
        // Reopening comes first where a closed case takes no comments; closing always comes last.
        let reopen_first = !self.facts[target].comment_when_closed;
        if reopen_first {
            self.plan.actions.extend(status.reopen.clone());
        }
        self.know_by_both_ids(source);
        if self.takes_comments(target) || !status.reopen.is_empty() {
            self.content(source);
        } else if self.would_carry_content(source) {
            self.plan.held = true;
            self.plan.warnings.push((
                held_code(source),
                format!(
                    "the {target} case is closed and takes no more comments or attachments: they stay on the {source} case"
                ),
            ));
        }
        if self.rules.switches.priority {
            let state = &self.pair.mapping.state;
            let now = self.pair.clocks.now;
            let is_fresh = |at: Option<DateTime<Utc>>| at.is_none_or(|at| at <= now && now - at < UNHELD_AGE);
            let unheld = |side: Side| state.unheld_priority[side].filter(|_| is_fresh(state.unheld_at[side]));
            let priorities = Priorities {
                base: state.agreed_priority,
                told: state.told_priority,
                unheld: Sides { google: unheld(Side::Google), company: unheld(Side::Company) },
                google: &self.pair.google.case.priority,
                company: &self.pair.company.case.priority,
            };
            let mut merged = merge_priority(source, priorities);
            let decides = !merged.set.is_empty() || merged.agree.is_some();
            if decides && self.priority_is_under_way() {
                (merged.set, merged.agree) = (Vec::new(), None);
            }
            self.plan.warnings.extend(merged.warning);
            let set = merged.set.into_iter().map(|(side, priority)| Action::SetPriority { side, priority });
            self.plan.actions.extend(merged.agree.map(Action::AgreeOnPriority));
            self.plan.actions.extend(set);
        }
        if !reopen_first {
            self.plan.actions.extend(status.reopen);
        }
        self.plan.actions.extend(status.rest);
    }

    /// Adds actions before those that close a case.
    fn before_closing(&mut self, actions: Vec<Action>) {
        let closes = |action: &Action| matches!(action, Action::Close { .. });
        let at = self.plan.actions.iter().position(closes).unwrap_or(self.plan.actions.len());
        self.plan.actions.splice(at..at, actions);
    }

    /// Plans the notes about edited comments of both sides, and records the texts that the other side has. A sync of either side does, since
    /// both have read both cases. The texts are recorded before they are carried.
    fn edits(&mut self) {
        let mapping = self.pair.mapping;
        let mut after = Edits::default();
        let (mut notes, mut waits) = (Vec::new(), Vec::new());
        for side in Side::BOTH {
            let target = side.other();
            // Where edits are not noted, nothing is remembered: those from before are none later.
            if !self.rules.notes_edits(self.facts[side]) {
                continue;
            }
            let Snapshot { comments, earlier, .. } = self.pair.snapshot(side);
            let comments: Vec<&Comment> = earlier.iter().chain(comments).collect();
            let begun = self.begun_copies(target);
            let is_note = |pending: &Pending, of: &str, of_number: u32| match &pending.source {
                Source::Edit { id, number, .. } => pending.side == target && id == of && *number == of_number,
                Source::Comment { .. }
                | Source::Attachment { .. }
                | Source::Description { .. }
                | Source::Notice(_) => false,
            };
            let is_in_flight = |id: &str, number: u32| {
                self.pending.iter().any(|pending| is_note(pending, id, number) && self.is_in_flight(pending))
            };
            let decision = edits::decide(edits::Facts {
                side,
                comments: &comments,
                begun: &begun.iter().map(String::as_str).collect(),
                rules: self.rules,
                state: &mapping.state,
                ledger: &self.ledger,
                target: self.facts[target],
                takes_notes: self.takes_comments(target) && mapping.state.read_only[target].is_none(),
                is_in_flight: &is_in_flight,
                clocks: self.pair.clocks,
            });
            for (id, number) in &decision.waits {
                let of_note = self.pending.iter().filter(|pending| is_note(pending, id, *number));
                waits.extend(of_note.map(|pending| (target, pending.source.clone())));
            }
            after.known[side] = decision.known;
            notes.extend(decision.notes.into_iter().map(|note| (target, note)));
            self.plan.warnings.extend(decision.warnings);
        }
        for (side, source) in waits {
            self.has_to_wait(side, &source);
        }
        self.forget_notes(&after);
        let others = std::mem::take(&mut self.plan.actions);
        for (target, edits::Note { id, created_at, number, bodies }) in notes {
            self.comment_parts_of(target, Some(created_at), bodies, |part| Source::Edit {
                id: id.clone(),
                number,
                part,
            });
        }
        let notes = std::mem::replace(&mut self.plan.actions, others);
        if after != mapping.state.edits {
            let note = Action::NoteEdits(Box::new(after));
            match self.plan.actions.iter().position(|action| copied_comment(action).is_some()) {
                Some(at) => self.plan.actions.insert(at, note),
                None => self.before_closing(vec![note]),
            }
        }
        self.before_closing(notes);
    }

    /// Returns the IDs of the comments whose copies on that side are begun by this plan.
    fn begun_copies(&self, side: Side) -> BTreeSet<String> {
        let copies = self.plan.actions.iter().filter_map(copied_comment);
        let begun = copies.filter(|(to, id)| *to == side && !self.ledger.has_part_of(side, id));
        begun.map(|(_, id)| id.to_owned()).collect()
    }

    /// Forgets the write-ahead records of notes that did not happen and that are not to be written any more.
    fn forget_notes(&mut self, after: &Edits) {
        let is_over = |pending: &Pending| match &pending.source {
            Source::Edit { id, number, .. } => {
                let known = after.known[pending.side.other()].get(id);
                let is_wanted = known.is_some_and(|known| known.noting.is_some() && known.notes == *number);
                !is_wanted && !self.is_in_flight(pending)
            }
            Source::Comment { .. }
            | Source::Attachment { .. }
            | Source::Description { .. }
            | Source::Notice(_) => false,
        };
        let over: Vec<Pending> = self.pending.iter().filter(|pending| is_over(pending)).cloned().collect();
        self.pending.retain(|pending| !over.contains(pending));
        self.plan.actions.extend(over.into_iter().map(Action::Forget));
    }

    /// Plans the title of the case whose counterpart has another one now (`R30`: merge base). A sync of either side does, since both have
    /// read both cases.
    fn title(&mut self) {
        let mapping = self.pair.mapping;
        if !self.rules.switches.title {
            let settled =
                mapping.state.titles.switched_off().map(|titles| Action::NoteTitles(Box::new(titles)));
            self.plan.actions.extend(settled);
            return;
        }
        let is_fixed =
            |side: Side| self.pair.snapshot(side).case.closed || mapping.state.read_only[side].is_some();
        let sent_before = |side: Side| self.pair.clocks.now - self.facts[side].in_flight_window;
        let decision = title::decide(title::Facts {
            titles: &mapping.state.titles,
            cases: Sides { google: &self.pair.google.case, company: &self.pair.company.case },
            is_fixed: Sides { google: is_fixed(Side::Google), company: is_fixed(Side::Company) },
            systems: self.facts,
            now: self.pair.clocks.now,
            sent_before: Sides { google: sent_before(Side::Google), company: sent_before(Side::Company) },
        });
        if let Some((side, at)) = decision.waits_for {
            self.waits_for(side, at);
        }
        self.before_closing(decision.actions);
    }

    /// Plans the company case's status and text for Google's state. A sync of either side does, since both have read both cases. A text is
    /// written before the case is closed.
    fn turn(&mut self) {
        let mapping = self.pair.mapping;
        if mapping.state.read_only[Side::Company].is_some() {
            return;
        }
        let moves = |action: &Action| {
            matches!(action, Action::Close { side: Side::Company } | Action::Reopen { side: Side::Company })
        };
        let is_under_way = mapping.pending_status.is_some_and(|pending| pending.side == Side::Company);
        let decision = turn::decide(turn::Facts {
            table: &self.rules.statuses,
            turn: &mapping.state.turn,
            google: &self.pair.google.case,
            company: &self.pair.company.case,
            status_moves: is_under_way || self.plan.actions.iter().any(moves),
            sent_before: self.pair.clocks.now - self.facts.company.in_flight_window,
        });
        if let Some(at) = decision.waits_for {
            self.waits_for(Side::Company, at);
        }
        self.before_closing(decision.actions);
    }

    /// Plans the escalation of the Google case, or the notice that something is missing for it. A sync of either side does, since both have
    /// read both cases.
    fn escalation(&mut self) {
        let state = &self.pair.mapping.state;
        let Some(rule) = &self.rules.escalation else {
            let memory = state.escalation.switched_off();
            if memory != state.escalation && state.escalation.is_outstanding() {
                self.plan.actions.push(Action::NoteEscalation(Box::new(memory)));
            }
            return;
        };
        let comments = self.pair.company.comments.iter();
        let comments: Vec<&Comment> = comments
            .filter(|comment| {
                comment.by_connector != Some(true)
                    && !self.ledger.wrote(Side::Company, ItemKind::Comment, &comment.id)
                    && self.is_persons(Side::Company, comment)
                    && !self.is_of_another_pair(Side::Company, comment.created_at)
            })
            .collect();
        let mut memory = state.escalation.clone();
        let is_found = self.just_adopted(Side::Company, Notice::NotEscalated);
        memory.told |= is_found && memory.problem.is_some();
        let source = Source::Notice(Notice::NotEscalated);
        let is_under_way =
            |pending: &Pending| pending.is_of(Side::Company, &source) && self.is_in_flight(pending);
        let notice = match is_found {
            true => Told::Found,
            false if self.pending.iter().any(is_under_way) => Told::UnderWay,
            false => Told::AsRemembered,
        };
        let decision = escalation::decide(escalation::Facts {
            rule,
            memory: &memory,
            google: &self.pair.google.case,
            company: &self.pair.company.case,
            comments: &comments,
            is_found_again: self.pair.mapping.relinking && !state.looks_again,
            notice,
            sent_before: self.pair.clocks.now - self.facts.google.in_flight_window,
        });
        if let Some(at) = decision.waits_for {
            self.waits_for(Side::Google, at);
        }
        let note = decision.note.map(|memory| Action::NoteEscalation(Box::new(memory)));
        if decision.waits_for_notice {
            self.has_to_wait(Side::Company, &source);
        }
        let gave_up = self.gave_up(Side::Company, &Refusable::Item(source.clone()));
        let tell = decision.tell.filter(|_| !gave_up && !self.has_to_wait(Side::Company, &source));
        let tell = tell.map(|problem| {
            let body = texts::not_escalated(&problem, rule);
            Action::Comment(CommentToWrite::notice(Side::Company, Notice::NotEscalated, body, self.rules))
        });
        self.plan.actions.extend(note.into_iter().chain(tell).chain(decision.escalate));
    }

    /// Plans what is shown of the Google case on the company case. A sync of either side does, since both have read both cases. It is written
    /// before the company case is closed, and marks after the notes that they are on.
    fn shown(&mut self) {
        let mapping = self.pair.mapping;
        let Some(name) = &mapping.google_case_name else { return };
        if mapping.state.read_only[Side::Company].is_some() {
            return;
        }
        let carried = |source: &Source| match source {
            Source::Comment { id, .. } => Some(id.clone()),
            Source::Description { .. }
            | Source::Attachment { .. }
            | Source::Edit { .. }
            | Source::Notice(_) => None,
        };
        let planned = self.plan.actions.iter().filter_map(|action| {
            let Action::Comment(comment) = action else { return None };
            carried(&comment.source).filter(|_| comment.side == Side::Google)
        });
        let unanswered = self.pending.iter().filter(|pending| pending.side == Side::Google);
        let unanswered = unanswered.filter_map(|pending| carried(&pending.source));
        let unanswered = unanswered.filter(|id| mapping.state.shown.unmarked.contains(id));
        let (under_way, unanswered): (BTreeSet<String>, BTreeSet<String>) =
            (planned.collect(), unanswered.collect());
        let is_carried = |id: &&str| {
            let first = Refusable::Item(Source::Comment { id: (*id).to_owned(), part: 1 });
            self.ledger.has_whole_comment(Side::Google, id) && !self.gave_up(Side::Google, &first)
        };
        let decision = shown::decide(shown::Facts {
            rule: &self.rules.shown,
            shown: &mapping.state.shown,
            google: &self.pair.google.case,
            company: &self.pair.company.case,
            name,
            under_way: &under_way.iter().map(String::as_str).collect(),
            unanswered: &unanswered.iter().map(String::as_str).collect(),
            carried: &mapping.state.shown.unmarked.iter().map(String::as_str).filter(is_carried).collect(),
            now: self.pair.clocks.now,
            sent_before: self.pair.clocks.now - self.facts.company.in_flight_window,
        });
        self.before_closing(decision.annotations.into_iter().map(Action::Annotate).collect());
        if let Some(note) = decision.note {
            self.plan.actions.insert(0, Action::NoteShown(Box::new(note)));
        }
    }

    /// Plans the subscribers of an open Google case, if the people of its company case were read.
    fn subscribers(&mut self) {
        let (google, company) = (&self.pair.google.case, &self.pair.company.case);
        let (Some(wanted), Some(at_google)) = (&company.subscribers, &google.subscribers) else { return };
        if google.closed {
            return;
        }
        let wanted: BTreeSet<String> = wanted.iter().cloned().collect();
        let state = &self.pair.mapping.state;
        let now = self.pair.clocks.now;
        // What Google shows is not final while a change without an answer may still take effect.
        if state.subscribers_sent_at.is_some_and(|at| self.waits_for(Side::Google, at)) {
            return;
        }
        let merge = merge_subscribers(&state.subscribers, &wanted, at_google);
        let Some(set) = merge.set else {
            if merge.after != state.subscribers || state.subscribers_sent_at.is_some() {
                self.plan.actions.push(Action::AgreeOnSubscribers(merge.after));
            }
            return;
        };
        let is_refused = state.refused_subscribers.as_deref().is_some_and(|refused| {
            refused.wanted == wanted && refused.at <= now && now - refused.at < UNHELD_AGE
        });
        if is_refused {
            return;
        }
        let change = SubscriberChange::between(at_google, &set);
        self.plan.actions.push(Action::SetSubscribers { wanted, change });
    }

    /// Returns true if that side's case takes comments and attachments in its current status.
    fn takes_comments(&self, side: Side) -> bool {
        !self.pair.snapshot(side).case.closed || self.facts[side].comment_when_closed
    }

    fn content(&mut self, source: Side) {
        let target = source.other();
        if source == self.pair.mapping.origin && self.pair.mapping.description_parts > 1 {
            self.description_parts(source);
        }
        if self.rules.switches.comments {
            let snapshot = self.pair.snapshot(source);
            for comment in &snapshot.comments {
                if !self.is_to_be_carried(source, comment)
                    || self.ledger.has_whole_comment(target, &comment.id)
                {
                    continue;
                }
                if self.comment_is_under_way(target) {
                    break;
                }
                let comment = &*self.rules.as_carried(source, comment);
                let (id, bodies) = self.split(source, comment);
                let complete = self.comment_parts_of(target, comment.created_at, bodies, |part| {
                    Source::Comment { id: id.to_owned(), part }
                });
                if !complete {
                    // Later comments wait, so that the order is kept.
                    break;
                }
            }
        }
        if self.rules.switches.attachments {
            for attachment in &self.pair.snapshot(source).attachments {
                self.attachment(source, attachment);
            }
        }
    }

    /// Returns the ID under which a comment is copied, and the texts of its parts. A copy that was begun under the other ID goes on under it:
    /// the ID is in the header of each part, and with a shorter one the parts would begin elsewhere in the text. So they would with other line
    /// ends, which the e-mail and the comment that it becomes may have.
    fn split<'c>(&self, source: Side, comment: &'c Comment) -> (&'c str, Vec<String>) {
        let target = source.other();
        let facts = self.facts[target];
        if self.ledger.lacks_parts(target, &comment.id) {
            // Version 0.1 began to copy it, and split the text as that version read it.
            return (&comment.id, texts::comment_parts(source, &comment.as_read_earlier(), facts));
        }
        let id = match &comment.other_id {
            Some(other) if self.ledger.has_part_of(target, other) => other,
            _ => &comment.id,
        };
        let comment =
            Comment { id: id.clone(), body: texts::with_plain_line_ends(&comment.body), ..comment.clone() };
        (id, texts::comment_parts(source, &comment, facts))
    }

    /// Records copies of comments under their own IDs, if they are known by their other ones only: a system may forget those, and does once
    /// `google.feed` is switched off.
    fn know_by_both_ids(&mut self, source: Side) {
        let target = source.other();
        for comment in &self.pair.snapshot(source).comments {
            let Some(other) = &comment.other_id else { continue };
            if self.ledger.has_whole_comment(target, &comment.id)
                || !self.ledger.has_part_of(target, other)
                || !self.is_to_be_carried(source, comment)
            {
                continue;
            }
            let carried = self.rules.as_carried(source, comment);
            let parts = u32::try_from(self.split(source, &carried).1.len()).unwrap_or(u32::MAX);
            for entry in self.ledger.copies_as(target, (other, &comment.id), comment.created_at, parts) {
                // One part may be found later than the others, since it got no answer.
                if self.ledger.has_copy(target, &entry.source) {
                    continue;
                }
                self.ledger.record(entry.clone());
                self.plan.actions.push(Action::Recognise(entry));
            }
        }
    }

    fn would_carry_content(&self, source: Side) -> bool {
        let mut trial = Self {
            plan: Plan::default(),
            ledger: self.ledger.clone(),
            pending: self.pending.clone(),
            ..*self
        };
        trial.content(source);
        !trial.plan.is_empty()
    }

    /// Returns true if a person wrote the comment, the other side may see it, and it is not known to have been carried and forgotten.
    fn is_to_be_carried(&self, side: Side, comment: &Comment) -> bool {
        let private = self.rules.keeps_comment(side, comment);
        let is_over = self.is_over(side, comment.created_at);
        // Whoever skipped the message meant the comment that it became.
        let is_skipped =
            comment.other_id.as_ref().is_some_and(|id| self.pair.mapping.state.is_skipped(side, id));
        let may_be_ours =
            self.pending.iter().any(|pending| pending.side == side && texts::is_outcome_of(pending, comment));
        let is_ours = may_be_ours
            || self.ledger.wrote(side, ItemKind::Comment, &comment.id)
            || self.is_of_earlier_pair(side, comment);
        !private && !is_over && !is_ours && !is_skipped
    }

    /// Returns true if the connector wrote a comment for an earlier pair, whose mapping was cleaned up or lost (`R14`: copies are known by
    /// ID), on the case that this pair began with. If the system does not name the author, the text decides: a notice, word for word, or a
    /// copy by the author of a notice.
    fn is_of_earlier_pair(&self, side: Side, comment: &Comment) -> bool {
        let mapping = self.pair.mapping;
        let mapped_at = mapping.created_at - CLOCKS_APART;
        // Takes the later of both clocks' times, since either clock may have been set meanwhile.
        let mapped_at = mapped_at.max(self.pair.clocks.in_time_of(side, mapped_at));
        // A time in the future was written by a clock that was ahead, and says nothing about the age (R36: clock skew).
        let ahead = self.pair.clocks.of(side) + CLOCKS_APART;
        let is_older = |comment: &Comment| {
            comment.by_connector != Some(false)
                && comment.created_at.is_some_and(|at| at < mapped_at || at > ahead)
        };
        let is_notice = |comment: &Comment| texts::recognise_notice(&comment.body).is_some();
        let is_by_connector = || {
            let of_author = |other: &&Comment| other.author == comment.author;
            let mut comments = self.pair.snapshot(side).comments.iter().filter(of_author);
            comment.by_connector == Some(true) || comments.any(|other| is_older(other) && is_notice(other))
        };
        let has_header = || texts::has_header_of(side.other(), &comment.body);
        side == mapping.origin
            && is_older(comment)
            && (is_notice(comment) || (has_header() && is_by_connector()))
    }

    /// Returns true if an item of that age was carried, or is the connector's own, and was forgotten (`R14`: copies are known by ID). While
    /// relinking, it is listed again, but only to recognise its copies on the other side by their text.
    fn is_over(&self, side: Side, at: Option<DateTime<Utc>>) -> bool {
        at.is_some() && at < self.pair.mapping.state.forgotten_until[side]
    }

    fn description_parts(&mut self, source: Side) {
        let (bodies, created_at) =
            (self.further_description(source), self.pair.snapshot(source).case.created_at);
        let source_of = |part| Source::Description { part: part + 1 };
        self.comment_parts_of(source.other(), created_at, bodies, source_of);
    }

    /// Returns the parts of the description from the second on. They are comments of the counterpart.
    fn further_description(&self, source: Side) -> Vec<String> {
        let target = source.other();
        let case = &self.pair.snapshot(source).case;
        // Version 0.1 stored no header. Its header named a company case by the ID alone.
        let header = self.pair.mapping.state.description_header.clone().unwrap_or_else(|| match source {
            Side::Google => markers::COMPANY_DESCRIPTION_HEADER.to_owned(),
            Side::Company => {
                let company = markers::CompanyCase { id: &case.id, key: None, address: None };
                markers::google_description_header(&company)
            }
        });
        // The title may have been changed since. The parts follow a description that begins with the title that was cut, or with none.
        let created = &self.pair.snapshot(target).case.description;
        let title = texts::cut_title_of(created).unwrap_or_default();
        let text = texts::mirrored(source, &header, title, &case.description, self.facts[target]);
        // The description may have been edited since. The number of parts stays the one that was recorded when the counterpart was created.
        let parts = usize::try_from(self.pair.mapping.description_parts).unwrap_or(usize::MAX);
        text.further.into_iter().take(parts.saturating_sub(1)).collect()
    }

    fn comment_parts_of(
        &mut self,
        side: Side,
        source_at: Option<DateTime<Utc>>,
        bodies: Vec<String>,
        source: impl Fn(u32) -> Source,
    ) -> bool {
        let parts = u32::try_from(bodies.len()).ok();
        (1..).zip(bodies).all(|(part, body)| {
            let source = source(part);
            let parts = parts.filter(|_| matches!(source, Source::Comment { .. }));
            self.comment(side, source, source_at, body, parts)
        })
    }

    /// Plans a comment, unless it was already written or is given up. Returns `false` if it has to wait for the outcome of an earlier
    /// attempt.
    fn comment(
        &mut self,
        side: Side,
        source: Source,
        source_at: Option<DateTime<Utc>>,
        body: String,
        parts: Option<u32>,
    ) -> bool {
        if self.ledger.has_copy(side, &source) || self.gave_up(side, &Refusable::Item(source.clone())) {
            return true;
        }
        if self.has_to_wait(side, &source) {
            return false;
        }
        let visibility = self.rules.visibility_on(side);
        self.plan.actions.push(Action::Comment(CommentToWrite {
            side,
            source,
            source_at,
            body,
            visibility,
            parts,
        }));
        true
    }

    fn attachment(&mut self, from: Side, attachment: &Attachment) {
        let to = from.other();
        let source = Source::Attachment { id: attachment.id.clone() };
        if self.leaves(from, attachment) || self.ledger.has_copy(to, &source) {
            return;
        }
        let left_by =
            |pending: &&Pending| pending.side == from && self.may_be_outcome_of(pending, attachment);
        if let Some(upload) = self.pending.iter().find(left_by).map(|pending| pending.source.clone()) {
            // It is ours, or a person's that waits as long as nobody can tell.
            self.waits_for_comparison(from, &upload);
            return;
        }
        if self.has_to_wait(to, &source) {
            return;
        }
        let visibility = self.rules.visibility_on(to);
        self.plan.actions.push(Action::Attach { to, attachment: attachment.clone(), visibility });
    }

    /// Returns true if an attachment stays on its side: attachments are not carried, it is private, the connector's own, refused for good, or so
    /// old that it was carried.
    fn leaves(&self, from: Side, attachment: &Attachment) -> bool {
        let source = Source::Attachment { id: attachment.id.clone() };
        !self.rules.switches.attachments
            || self.rules.keeps_file(from, attachment, &self.pair.snapshot(from).comments)
            || self.is_over(from, attachment.created_at)
            || self.ledger.wrote(from, ItemKind::Attachment, &attachment.id)
            || self.gave_up(from.other(), &Refusable::Item(source))
    }

    /// Returns true if this write was refused for good and explained, and is not tried any more (`R33`: final refusals).
    fn gave_up(&self, side: Side, what: &Refusable) -> bool {
        self.pair.mapping.state.gave_up(side, what)
    }

    /// Returns true if an earlier attempt to write this may still take effect, or may have taken effect; then the plan waits for it.
    fn has_to_wait(&mut self, side: Side, source: &Source) -> bool {
        if self.waits_for_comparison(side, source) {
            return true;
        }
        let earlier = self.pending.iter().find(|pending| pending.is_of(side, source));
        earlier.map(|pending| pending.attempted_at).is_some_and(|at| self.waits_for(side, at))
    }

    /// Returns true if it is not known yet if a file on `side` is the copy of that one; then the plan waits for it.
    fn waits_for_comparison(&mut self, side: Side, source: &Source) -> bool {
        let Some(reason) = self.uncompared(side, source) else { return false };
        let reason = format!(
            "a file on the {side} case, which may be the copy of another, cannot be compared with it; it is tried again, and after \
             sync.give_up_after its name and size decide: {reason}"
        );
        self.plan.waits.push(Wait { reason, until: None });
        true
    }

    /// Returns true if the copy of a comment may still take effect on that side; then the plan waits for it, so that the order is kept. Its
    /// original may have been edited to fewer parts since, or deleted.
    fn comment_is_under_way(&mut self, side: Side) -> bool {
        let is_copy =
            |pending: &&Pending| pending.side == side && matches!(pending.source, Source::Comment { .. });
        let copies = self.pending.iter().filter(is_copy);
        copies.map(|pending| pending.attempted_at).max().is_some_and(|at| self.waits_for(side, at))
    }

    /// Returns true if a priority that was set without an answer may still take effect; then the plan waits for it. Otherwise it would
    /// overwrite a later one, and look like a person's change.
    fn priority_is_under_way(&mut self) -> bool {
        let state = &self.pair.mapping.state;
        let has_arrived = |side: Side| match &self.pair.snapshot(side).case.priority {
            PriorityReading::Known(set) => state.told_priority[side].is_some_and(|told| set.contains(told)),
            PriorityReading::Unknown(_) | PriorityReading::Unset => false,
        };
        let sent = Side::BOTH.map(|side| (side, state.priority_sent_at[side].filter(|_| !has_arrived(side))));
        sent.into_iter().any(|(side, at)| at.is_some_and(|at| self.waits_for(side, at)))
    }

    /// Returns true if a write to that side, attempted at that time, is still within the in-flight window; then the plan waits for it.
    fn waits_for(&mut self, side: Side, attempted_at: DateTime<Utc>) -> bool {
        let settled_at = attempted_at + self.facts[side].in_flight_window;
        let waits = self.pair.clocks.now < settled_at;
        if waits {
            let reason = format!(
                "a write to the {side} case that was begun at {} got no answer; it is looked for until {}",
                attempted_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
                settled_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            );
            self.plan.waits.push(Wait { reason, until: Some(settled_at) });
        }
        waits
    }

    /// Returns true if the case of that side is closed in a way that closes the other (`R32`: closed is not solved).
    fn is_closed(&self, side: Side) -> bool {
        let case = &self.pair.snapshot(side).case;
        let closes = |closing: Closing| side == Side::Google || self.rules.close_on.contains(closing);
        case.closed && closes(case.closing.unwrap_or(Closing::Closed))
    }

    /// Merges the status of both sides, three ways (`R19`: status). The base is the status that both were last seen to share (`R30`: merge
    /// base); without one, the open case wins. If a case has the status that a write without an answer would have left, no person changed
    /// it, and that status is the base (`R13`: unknown write outcome).
    fn status(&mut self, source: Side) -> StatusActions {
        let target = source.other();
        let (ours, theirs) = (&self.pair.snapshot(source).case, &self.pair.snapshot(target).case);
        let mapping = self.pair.mapping;
        let closed_at = self.closed_at(source);
        let carried = self.rules.switches.status;
        let done = self.status_left_behind();
        let base = done.map_or(mapping.state.agreed_closed, |done| Some(done.closed));
        let mut actions = StatusActions::default();
        if let Some(begun) = mapping.pending_status.filter(|_| done.is_none()) {
            let agreed = (ours.closed, theirs.closed) == (base == Some(true), base == Some(true));
            let what = if begun.closed { Refusable::Close } else { Refusable::Reopen };
            // The write-ahead record is removed once the in-flight window is over, if the change is not tried again: because both cases
            // agree with the base already, or because it was given up.
            if (agreed || self.gave_up(begun.side, &what)) && !self.waits_for(begun.side, begun.attempted_at)
            {
                actions.rest.push(Action::ForgetStatus);
            }
        }
        if carried && source == Side::Company {
            self.left_open();
        }
        let refused = Side::BOTH.into_iter().any(|side| mapping.reopen_refused[side]);
        match (base, ours.closed, theirs.closed) {
            (Some(false) | None, true, true) => {
                actions.rest.push(Action::Resolve(closed_at));
                actions.rest.extend(refused.then_some(Action::RefusedReopening(None)));
            }
            (Some(false), true, false)
                if carried && self.is_closed(source) && !self.gave_up(target, &Refusable::Close) =>
            {
                actions.rest = vec![Action::Close { side: target }, Action::Resolve(closed_at)];
            }
            (Some(true), false, false) => actions.rest.push(Action::Unresolve),
            (None, false, false) if refused => actions.rest.push(Action::Unresolve),
            (Some(true), true, true) if refused => actions.rest.push(Action::RefusedReopening(None)),
            // Without a base, an open case is never closed (R30: merge base): it counts as reopened.
            (Some(true) | None, false, true) if carried && (base.is_some() || self.is_closed(target)) => {
                let notice = Source::Notice(Notice::CannotReopen);
                // In a relinked pair, the reopening that a notice belongs to is unknown. The notice is taken for that of this reopening.
                let stands = base.is_none() && self.ledger.has_copy(source, &notice);
                if mapping.reopen_refused[source] {
                    // The notice was posted.
                } else if stands || self.just_adopted(source, Notice::CannotReopen) {
                    actions.rest.push(Action::RefusedReopening(Some(source)));
                } else if self.has_to_wait(source, &notice) {
                    // The notice may have been posted.
                } else if self.facts[target].reopen && !self.gave_up(target, &Refusable::Reopen) {
                    actions.reopen = vec![Action::Reopen { side: target }, Action::Unresolve];
                } else {
                    let told = CommentToWrite::cannot_reopen(source, &self.pair.name(target), self.rules);
                    actions.rest.push(Action::Comment(told));
                    actions.rest.push(Action::RefusedReopening(Some(source)));
                }
            }
            _ => {}
        }
        actions
    }

    /// Plans the notice on the Google case, once for each closing, that the company case was closed in a way that does not close it (`R32`:
    /// closed is not solved).
    fn left_open(&mut self) {
        let company = &self.pair.company.case;
        let told =
            self.pair.mapping.state.left_open_told || self.just_adopted(Side::Google, Notice::LeftOpen);
        let concerns = company.closed && !self.is_closed(Side::Company) && !self.pair.google.case.closed;
        if !concerns {
            if self.pair.mapping.state.left_open_told && !company.closed {
                self.plan.actions.push(Action::ForgetLeftOpen);
            }
            return;
        }
        let source = Source::Notice(Notice::LeftOpen);
        if !told && !self.has_to_wait(Side::Google, &source) {
            let closing = company.closing.unwrap_or(Closing::Closed);
            let body = texts::left_open(&self.pair.name(Side::Company), closing);
            let notice = CommentToWrite::notice(Side::Google, Notice::LeftOpen, body, self.rules);
            self.plan.actions.push(Action::Comment(notice));
        }
    }

    /// Returns true if this plan found a notice on that side that an earlier sync wrote without a record that it did.
    fn just_adopted(&self, side: Side, notice: Notice) -> bool {
        let adopted = |action: &Action| matches!(action, Action::Adopt(entry) | Action::Recognise(entry) if entry.side == side && entry.source == Source::Notice(notice));
        self.plan.actions.iter().any(adopted)
    }
}

/// Result of a merge of the status: the actions that reopen a case, and the rest, which comes last.
#[derive(Debug, Default)]
struct StatusActions {
    reopen: Vec<Action>,
    rest: Vec<Action>,
}

/// Returns the side that gets a copy of a comment, and the ID of the comment; `None` if the action copies none.
fn copied_comment(action: &Action) -> Option<(Side, &str)> {
    let Action::Comment(CommentToWrite { side, source: Source::Comment { id, .. }, .. }) = action else {
        return None;
    };
    Some((*side, id))
}

fn comment_entry(side: Side, comment: &Comment, source: Source, source_at: Option<DateTime<Utc>>) -> Entry {
    Entry {
        side,
        kind: ItemKind::Comment,
        id: comment.id.clone(),
        source,
        source_at,
        written_at: comment.created_at,
        parts: None,
    }
}
