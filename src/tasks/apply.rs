//! Applies a plan, action by action (`R11`: plan, then act). Each write is recorded before it is sent and again when its outcome is known
//! (`R13`: unknown write outcome). A final refusal is explained once and delays nothing else (`R33`: final refusals).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use tracing::{Instrument as _, Span};

use super::session::{Ahead, Failure, Session, SyncError};
use crate::cases::{
    Annotated, Annotation, ApiError, ApiErrorKind, Attachment, ByteStream, Case, CaseSystem, Comment,
    Download, NewAttachment, NewComment, Visibility, Written, bounded, shorten,
};
use crate::entities::{
    Edits, Entry, Escalation, EscalationProblem, EscalationReason, Explained, ItemKind, Notice, Pending,
    PendingStatus, Priority, ReadOnly, Refusal, RefusedSubscribers, Shown, Side, Sides, Source, Subscribed,
    TitleDigest, Titles, Turn,
};
use crate::sync::{Action, Blocked, CommentToWrite, Plan, SubscriberMerge, merge_subscribers, texts};
use crate::telemetry::{step_trace, trace_failed};

/// Minimum number of refusals before an action is given up (`R33`: final refusals).
const TRIES: u32 = 3;
/// Maximum length of Google's message about a refused escalation, in bytes.
const MAX_REFUSAL: usize = 500;

/// Outcome of applying a plan.
#[derive(Debug, Default)]
pub(super) struct CarriedOut {
    /// Failures that will be retried.
    pub(super) failures: Vec<Failure>,
    /// Time at which the first of the writes that had to wait need not wait any longer.
    pub(super) until: Option<DateTime<Utc>>,
    /// True if actions were skipped because a case refuses them for now (`R33`: final refusals).
    pub(super) held: bool,
}

/// Decision about an action that failed.
enum Verdict {
    /// Retry the action.
    Again,
    /// Do not retry the action as it is. This is no failure: the refusal is explained, or recorded.
    Settled,
    /// The case of the action is read-only.
    Held,
}

/// Returns the write-ahead record of a comment.
fn record(comment: &CommentToWrite, attempted_at: DateTime<Utc>) -> Pending {
    Pending {
        side: comment.side,
        kind: ItemKind::Comment,
        source: comment.source.clone(),
        marker: texts::first_line(&comment.body).to_owned(),
        digest: Some(texts::digest(&comment.body)),
        size: None,
        source_at: comment.source_at,
        attempted_at,
        parts: comment.parts,
    }
}

impl Session<'_> {
    /// Applies the plan. Skips only the actions that depend on one that failed. Ends early, with `Unfinished`, if there is more to carry
    /// than fits into the deadline: being cut off counts as a failure, and is retried with growing delays.
    pub(super) async fn apply(&mut self, plan: Plan) -> Result<CarriedOut, SyncError> {
        let done = self.apply_actions(plan).await;
        self.forget_unsent();
        done
    }

    async fn apply_actions(&mut self, plan: Plan) -> Result<CarriedOut, SyncError> {
        let until = plan.waits.iter().filter_map(|wait| wait.until).min();
        let failures = plan.waits.into_iter().map(|wait| Failure::of(wait.reason)).collect();
        let mut done = CarriedOut { failures, until, held: false };
        // A case is not closed while content for it may still arrive.
        let mut blocked = Blocked::new(!done.failures.is_empty());
        for (at, action) in plan.actions.iter().enumerate() {
            if done.failures.is_empty() && !self.carried.is_empty() && self.is_late() {
                return Err(SyncError::Unfinished);
            }
            if action.is_blocked(&blocked) {
                // Content for a case that could not be reopened is held, as in a system that cannot reopen cases.
                done.held |= action.is_content();
                continue;
            }
            if action.is_left_alone(&self.mapping.state, self.deps.clock.now()) {
                done.held = true;
                // Dependent actions are skipped too: a pair is not resolved while its closing is postponed.
                action.block(&mut blocked, true);
                continue;
            }
            let trace = match (action.counts_as(), action.writes_to()) {
                (Some(what), Some(side)) => step_trace(what, side.name()),
                (Some(_) | None, _) => Span::none(),
            };
            self.begin_comments(&plan.actions[at..], &blocked).await?;
            let mut outcome = self.act(action).instrument(trace.clone()).await;
            if let Err(SyncError::Api(error)) = &outcome {
                trace_failed(&trace, error.status, &error.kind);
            }
            if let (Action::Reopen { side }, Err(SyncError::Api(error))) = (action, &outcome)
                && error.kind == ApiErrorKind::Unsupported
            {
                // The system can reopen cases, but this case's workflow cannot. No retry changes that (R19: status).
                blocked.stays_closed(*side, self.deps.systems[*side].capabilities().comment_when_closed);
                outcome = self.tell_cannot_reopen(*side).await;
            }
            match outcome {
                Ok(()) => self.forget_refusal(action).await?,
                Err(SyncError::Api(error)) => {
                    let refused = self.is_refusal(&error).await && !self.was_closed_meanwhile(action).await;
                    action.block(&mut blocked, refused);
                    match self.judge(action, &error, refused).await? {
                        Verdict::Again => done.failures.push(Failure::from(&error)),
                        Verdict::Settled => {}
                        Verdict::Held => done.held = true,
                    }
                }
                Err(fatal) => return Err(fatal),
            }
        }
        Ok(done)
    }

    /// Saves the write-ahead records of the comments at the beginning of these actions together. A single one is recorded when it is sent.
    async fn begin_comments(&mut self, actions: &[Action], blocked: &Blocked) -> Result<(), SyncError> {
        if let Some(Action::Comment(first)) = actions.first()
            && self.is_begun(first.side, &first.source)
        {
            return Ok(());
        }
        let now = self.deps.clock.now();
        let next = |action: &Action| match action {
            Action::Comment(comment) if self.may_begin_early(action, comment, blocked, now) => {
                Some(record(comment, now))
            }
            _ => None,
        };
        let records: Vec<Pending> = actions.iter().map_while(next).take(Ahead::MOST).collect();
        if records.len() > 1 { self.begin_all(records).await } else { Ok(()) }
    }

    /// Returns true if the write-ahead record of a comment may be saved before those in front of it are sent. An earlier record may not be
    /// dropped before its outcome is known, as this one is if the comment is not sent.
    fn may_begin_early(
        &self,
        action: &Action,
        comment: &CommentToWrite,
        blocked: &Blocked,
        now: DateTime<Utc>,
    ) -> bool {
        let is_it = |earlier: &Pending| earlier.is_of(comment.side, &comment.source);
        matches!(comment.source, Source::Comment { .. })
            && !self.mapping.pending.iter().any(is_it)
            && !action.is_blocked(blocked)
            && !action.is_left_alone(&self.mapping.state, now)
    }

    /// True if a system refused an action for good (`R33`: final refusals). A 404 counts only if the system shows both cases of the pair;
    /// otherwise the next sync finds that a case is missing (`R28`: missing is not gone).
    async fn is_refusal(&self, error: &ApiError) -> bool {
        if error.kind != ApiErrorKind::NotFound {
            return error.is_for_good();
        }
        for side in Side::BOTH {
            let Some(id) = self.mapping.case_id(side) else { return false };
            if !matches!(self.deps.systems[side].get(id).await, Ok(Some(_))) {
                return false;
            }
        }
        true
    }

    /// True if the case was closed since it was read, and takes no content while it is closed. The closing is then the cause of the refusal
    /// (`R19`: status), and the next sync holds the content back.
    async fn was_closed_meanwhile(&self, action: &Action) -> bool {
        let Some(side) = action.writes_to().filter(|_| action.writes_content()) else { return false };
        let system = &self.deps.systems[side];
        let Some(id) = self.mapping.case_id(side) else { return false };
        !system.capabilities().comment_when_closed
            && matches!(system.get(id).await, Ok(Some(case)) if case.closed)
    }

    /// Deletes the record of an earlier refusal after the action succeeded.
    async fn forget_refusal(&mut self, action: &Action) -> Result<(), SyncError> {
        let (Some(side), Some(what)) = (action.writes_to(), action.refusable()) else { return Ok(()) };
        let state = &self.mapping.state;
        if state.refusal(side, &what).is_none() && state.read_only[side].is_none() {
            return Ok(());
        }
        // A kind of write that was never refused says nothing about those that were.
        if state.read_only[side].is_some() && state.refuses_kind(side, &what) {
            self.takes_again(side).await?;
        }
        self.save(|mapping| {
            mapping.state.refusals.retain(|refusal| refusal.side != side || refusal.what != what);
        })
        .await
    }

    /// Records that a read-only case takes writes again. Marks the other side as dirty, so that the content held back is carried by the
    /// next sync and not only at the next daily attempt (`R7`: dirty sides).
    async fn takes_again(&mut self, side: Side) -> Result<(), SyncError> {
        let (global, started) = (self.deps.store.global().await?, self.started);
        self.save(|mapping| {
            mapping.state.read_only[side] = None;
            mapping.wait(side.other(), &global, started);
        })
        .await
    }

    /// Decides about an action that failed (`R33`: final refusals). An action that was refused for good, often enough and for long enough,
    /// is explained once and then holds up nothing.
    async fn judge(
        &mut self,
        action: &Action,
        error: &ApiError,
        refused: bool,
    ) -> Result<Verdict, SyncError> {
        if refused && matches!(action, Action::SetStatus { .. } | Action::ShowState(_)) {
            self.turn_refused(action, error);
            return Ok(Verdict::Settled);
        }
        if refused && let Action::SetTitle { side, title, .. } = action {
            self.title_refused(*side, title, error);
            return Ok(Verdict::Settled);
        }
        // Invalid credentials concern the connector, and fail every sync.
        if let Action::Annotate(annotation) = action
            && (refused || error.kind != ApiErrorKind::Unauthorized)
        {
            self.annotation_failed(annotation, error, refused);
            return Ok(Verdict::Settled);
        }
        if refused
            && let Action::Comment(CommentToWrite { side, source: Source::Edit { id, part, .. }, .. }) =
                action
        {
            self.edit_refused(*side, id, *part, error);
            return Ok(Verdict::Settled);
        }
        if refused && matches!(action, Action::Escalate { .. }) {
            return self.escalation_refused(error).await;
        }
        let (Some(side), Some(what)) = (action.writes_to(), action.refusable()) else {
            return Ok(Verdict::Again);
        };
        // A source that lists a file but does not return it counts as a refusal, with any error except "not applied" and invalid
        // credentials.
        let withheld = matches!(action, Action::Attach { .. })
            && std::mem::take(&mut self.source_failed)
            && error.kind != ApiErrorKind::NotApplied
            && error.status != Some(401);
        if !refused && !withheld {
            return Ok(Verdict::Again);
        }
        let now = self.deps.clock.now();
        if let Action::SetPriority { side, priority } = action {
            self.remember_unheld(*side, *priority, error).await?;
            return Ok(Verdict::Settled);
        }
        let is_read_only = self.mapping.state.read_only[side].is_some() && !withheld;
        let mut refusal = self.mapping.state.refused_again(side, what.clone(), now, error.to_string());
        refusal.remedy = error.remedy();
        let over = refusal.tries >= TRIES && now - refusal.since >= self.deps.settings.give_up_after;
        let since = refusal.since;
        self.save(|mapping| mapping.state.keep_refusal(refusal.clone())).await?;
        if is_read_only && !action.is_explained_by_copy() {
            return self.note_read_only(side, now, error).await;
        }
        if !over {
            if is_read_only {
                return self.note_read_only(side, now, error).await;
            }
            return Ok(Verdict::Again);
        }
        if action.is_explained_by_notice() && self.awaits_notice(side.other(), Notice::GivenUp) {
            // It may arrive yet, and would then not be known as the connector's own.
            return Ok(Verdict::Again);
        }
        match self.explain_refusal(action, side, error).await {
            // The case takes writes again, and refuses only this action.
            Ok(()) if is_read_only => self.takes_again(side).await?,
            Ok(()) => {}
            Err(SyncError::Api(refused)) if self.is_refusal(&refused).await => {
                if is_read_only {
                    return self.note_read_only(side, now, error).await;
                }
                // The explanation is refused too, so the case is read-only.
                if action.is_explained_where_refused() {
                    self.become_read_only(side, since, now, &refused).await?;
                    return Ok(Verdict::Held);
                }
                // The other case refuses the explanation. There is no place left for it, and nothing waits for that.
                if matches!(action, Action::Reopen { .. }) {
                    self.save(|mapping| mapping.reopen_refused[side.other()] = true).await?;
                }
            }
            Err(SyncError::Api(_)) => return Ok(Verdict::Again),
            Err(fatal) => return Err(fatal),
        }
        let is_it = |refusal: &Refusal| refusal.side == side && refusal.what == what;
        self.save(|mapping| {
            let refusals = mapping.state.refusals.iter_mut();
            refusals.filter(|refusal| is_it(refusal)).for_each(|refusal| refusal.given_up = true);
        })
        .await?;
        tracing::warn!(
            case.google_name = self.mapping.case_id(Side::Google),
            case.company_id = self.mapping.case_id(Side::Company),
            "given up, and explained on the case if that takes it: {error}"
        );
        Ok(Verdict::Settled)
    }

    /// Records that a case refuses a part of a note about an edit. The note is tried again after a day; a further edit of the comment gets
    /// a note of its own before that. No sync fails.
    fn edit_refused(&mut self, side: Side, id: &str, part: u32, error: &ApiError) {
        tracing::warn!(
            case.google_name = self.mapping.case_id(Side::Google),
            case.company_id = self.mapping.case_id(Side::Company),
            "the {side} case does not take the note that comment {id} was edited: a day later it is tried again. {error}"
        );
        let mut edits = self.progress.edits.as_ref().unwrap_or(&self.mapping.state.edits).clone();
        edits.refuse_note(side.other(), id, part, self.deps.clock.now());
        self.progress.edits = Some(edits);
    }

    /// Records a priority that a side refuses (`R30`: merge base). The other side keeps its own.
    async fn remember_unheld(
        &mut self,
        side: Side,
        priority: Priority,
        error: &ApiError,
    ) -> Result<(), SyncError> {
        tracing::warn!(
            case.google_name = self.mapping.case_id(Side::Google),
            case.company_id = self.mapping.case_id(Side::Company),
            "the {side} case does not take priority {priority}: each side keeps its own. {error}"
        );
        let now = self.deps.clock.now();
        self.save(|mapping| {
            mapping.state.unheld_priority[side] = Some(priority);
            mapping.state.unheld_at[side] = Some(now);
        })
        .await
    }

    /// Records another attempt on a read-only case, which still refuses, and posts the notice about it if that has not succeeded yet.
    async fn note_read_only(
        &mut self,
        side: Side,
        now: DateTime<Utc>,
        error: &ApiError,
    ) -> Result<Verdict, SyncError> {
        self.save(|mapping| {
            if let Some(read_only) = &mut mapping.state.read_only[side] {
                read_only.tried_at = now;
            }
        })
        .await?;
        self.tell_read_only(side, error).await?;
        Ok(Verdict::Held)
    }

    /// Records that a case is read-only, and posts the notice about it.
    async fn become_read_only(
        &mut self,
        side: Side,
        since: DateTime<Utc>,
        now: DateTime<Utc>,
        error: &ApiError,
    ) -> Result<(), SyncError> {
        self.save(|mapping| {
            mapping.state.read_only[side] = Some(ReadOnly { since, tried_at: now, told: false });
        })
        .await?;
        self.tell_read_only(side, error).await
    }

    /// Posts the notice that the case of `side` is read-only on the other case, once (`R33`: final refusals). If that fails, the next
    /// attempt on the read-only case posts it.
    async fn tell_read_only(&mut self, side: Side, error: &ApiError) -> Result<(), SyncError> {
        let on = side.other();
        let is_told = self.mapping.state.read_only[side].as_ref().is_none_or(|read_only| read_only.told);
        if is_told || self.awaits_notice(on, Notice::ReadOnly) {
            return Ok(());
        }
        let body = texts::read_only(on, &self.name_for_other_side(side), &error.message);
        match self.notice(on, Notice::ReadOnly, body).await {
            Ok(()) | Err(SyncError::Api(_)) => Ok(()),
            Err(fatal) => Err(fatal),
        }
    }

    /// Posts an explanation of the refusal, once. If an item was refused, the comment takes the place of its copy.
    async fn explain_refusal(
        &mut self,
        action: &Action,
        side: Side,
        error: &ApiError,
    ) -> Result<(), SyncError> {
        let from_case = self.name_for_other_side(side.other());
        match action {
            Action::Comment(comment) => match &comment.source {
                Source::Comment { id, .. } => {
                    let capabilities = self.deps.systems[side].capabilities();
                    let author = texts::copied_author(&comment.body).unwrap_or_default();
                    let body = texts::comment_refused(
                        side.other(),
                        &from_case,
                        id,
                        author,
                        &error.message,
                        capabilities,
                    );
                    self.comment(&CommentToWrite { body, parts: Some(1), ..comment.clone() }).await
                }
                Source::Description { .. } => {
                    let what = format!(
                        "the rest of the description could not be copied to {}",
                        self.case_words(side)
                    );
                    let body = texts::given_up(&what, &error.message);
                    self.notice(side.other(), Notice::GivenUp, body).await
                }
                // The connector's own texts need no explanation.
                Source::Attachment { .. } | Source::Notice(_) | Source::Edit { .. } => Ok(()),
            },
            Action::Attach { attachment, visibility, .. } => {
                self.explain(side, &from_case, attachment, &error.message, *visibility).await
            }
            Action::Close { .. } => {
                let what = format!("{} could not be closed", self.case_words(side));
                self.notice(side.other(), Notice::GivenUp, texts::given_up(&what, &error.message)).await
            }
            Action::Reopen { .. } => self.tell_cannot_reopen(side).await,
            Action::LinkBack { .. }
            | Action::SetPriority { .. }
            | Action::Resume
            | Action::Adopt(_)
            | Action::Recognise(_)
            | Action::Forget(_)
            | Action::AgreeOnPriority(_)
            | Action::SetSubscribers { .. }
            | Action::AgreeOnSubscribers(_)
            | Action::Escalate { .. }
            | Action::NoteEscalation(_)
            | Action::Resolve(_)
            | Action::Unresolve
            | Action::ForgetStatus
            | Action::RefusedReopening(_)
            | Action::ForgetLeftOpen
            | Action::SetStatus { .. }
            | Action::ShowState(_)
            | Action::SetTitle { .. }
            | Action::NoteTitles(_)
            | Action::Annotate(_)
            | Action::NoteShown(_)
            | Action::NoteEdits(_)
            | Action::NoteTurn(_) => Ok(()),
        }
    }

    /// Posts a notice of the connector.
    pub(super) async fn notice(&mut self, side: Side, notice: Notice, body: String) -> Result<(), SyncError> {
        let comment = CommentToWrite::notice(side, notice, body, &self.deps.settings.rules);
        self.comment(&comment).await
    }

    fn case_words(&self, side: Side) -> String {
        match side {
            Side::Google => format!("Google case {}", self.name_for_other_side(side)),
            Side::Company => format!("Company Case {}", self.name_for_other_side(side)),
        }
    }

    /// Posts a notice, once, on the reopened case: the case of `side` stays closed (`R19`: status).
    async fn tell_cannot_reopen(&mut self, side: Side) -> Result<(), SyncError> {
        let name = self.name_for_other_side(side);
        let comment = CommentToWrite::cannot_reopen(side.other(), &name, &self.deps.settings.rules);
        self.comment(&comment).await?;
        self.save(|mapping| mapping.reopen_refused[side.other()] = true).await
    }

    async fn act(&mut self, action: &Action) -> Result<(), SyncError> {
        match action {
            Action::Resume => self.save(|mapping| mapping.paused = false).await?,
            Action::Adopt(entry) => {
                self.progress.settled.push((entry.side, entry.source.clone()));
                self.progress.entries.push(entry.clone());
            }
            Action::Recognise(entry) => self.progress.recognised.push(entry.clone()),
            Action::Forget(pending) => self.progress.settled.push((pending.side, pending.source.clone())),
            Action::LinkBack { company_case_id, google_case_name } => {
                self.deps.systems[Side::Company].link(company_case_id, google_case_name).await?;
            }
            Action::Comment(comment) => self.comment(comment).await?,
            Action::Attach { to, attachment, visibility } => {
                self.attach(*to, attachment, *visibility).await?;
            }
            Action::SetPriority { side, priority } => {
                let id = self.case_id(*side)?;
                // Saved first, so that the change is known as the connector's own if no answer comes. The value becomes the merge base only
                // after the side was read with it (R30: merge base), but it counts for the urgency of the case at once.
                self.write_ahead(|mapping, now| {
                    mapping.priority = Some(*priority);
                    mapping.state.priority_sent_at[*side] = Some(now);
                    mapping.state.told_priority[*side] = Some(*priority);
                    mapping.state.told_priority[side.other()] = None;
                    mapping.state.unheld_priority[*side] = None;
                })
                .await?;
                let outcome = self.deps.systems[*side].set_priority(&id, *priority).await;
                let is_unanswered = outcome.as_ref().is_err_and(ApiError::may_have_happened);
                let sent_at = is_unanswered.then(|| self.deps.clock.now());
                self.progress.priorities.push((*side, sent_at));
                outcome?;
                self.note("priority", *side, Some(priority.to_string()), None);
            }
            Action::SetSubscribers { wanted, .. } => self.set_subscribers(wanted).await?,
            Action::AgreeOnSubscribers(people) => {
                self.save(|mapping| {
                    mapping.state.subscribers.clone_from(people);
                    mapping.state.subscribers_sent_at = None;
                    mapping.state.refused_subscribers = None;
                })
                .await?;
            }
            Action::Escalate { reason, justification } => self.escalate(*reason, justification).await?,
            Action::NoteEscalation(memory) => {
                self.save(|mapping| mapping.state.escalation = Escalation::clone(memory)).await?;
            }
            Action::AgreeOnPriority(priority) => {
                self.save(|mapping| {
                    mapping.priority = Some(*priority);
                    mapping.state.agreed_priority = Some(*priority);
                    mapping.state.told_priority = Sides::default();
                    mapping.state.priority_sent_at = Sides::default();
                    mapping.state.unheld_priority = Sides::default();
                })
                .await?;
            }
            Action::Close { side } => self.set_closed(*side, true).await?,
            Action::Reopen { side } => self.set_closed(*side, false).await?,
            Action::ForgetStatus => self.save(|mapping| mapping.pending_status = None).await?,
            Action::Resolve(at) => {
                self.save(|mapping| {
                    mapping.resolved_at = Some(*at);
                    mapping.pending_status = None;
                    mapping.state.agreed_closed = Some(true);
                })
                .await?;
            }
            Action::Unresolve => {
                self.save(|mapping| {
                    mapping.resolved_at = None;
                    mapping.pending_status = None;
                    mapping.state.agreed_closed = Some(false);
                    mapping.reopen_refused = Sides::default();
                })
                .await?;
            }
            Action::RefusedReopening(refused) => {
                self.save(|mapping| match refused {
                    Some(side) => mapping.reopen_refused[*side] = true,
                    None => mapping.reopen_refused = Sides::default(),
                })
                .await?;
            }
            Action::ForgetLeftOpen => self.save(|mapping| mapping.state.left_open_told = false).await?,
            Action::SetStatus { status, .. } => {
                let id = self.case_id(Side::Company)?;
                self.begin_turn(action).await?;
                let outcome = self.deps.systems[Side::Company].set_status(&id, status).await;
                self.end_turn(action, outcome)?;
                self.note("status", Side::Company, Some(status.clone()), None);
            }
            Action::ShowState(text) => {
                let id = self.case_id(Side::Company)?;
                self.begin_turn(action).await?;
                let outcome = self.deps.systems[Side::Company].show_state(&id, text).await;
                self.end_turn(action, outcome)?;
                self.note("state", Side::Company, Some(text.clone()), None);
            }
            Action::SetTitle { side, title, from } => self.set_title(*side, title, from).await?,
            Action::NoteTitles(titles) => {
                self.save(|mapping| mapping.state.titles = Titles::clone(titles)).await?;
            }
            Action::Annotate(annotation) => self.annotate(annotation).await?,
            Action::NoteShown(shown) => {
                self.save(|mapping| mapping.state.shown = Shown::clone(shown)).await?;
            }
            // Saved along with the write-ahead record of the first comment that follows, or at the end.
            Action::NoteEdits(edits) => self.progress.edits = Some(Edits::clone(edits)),
            Action::NoteTurn(turn) => self.save(|mapping| mapping.state.turn = Turn::clone(turn)).await?,
        }
        Ok(())
    }

    /// Saves the write-ahead record of a status or a text for Google's state (`R13`: unknown write outcome).
    async fn begin_turn(&mut self, action: &Action) -> Result<(), SyncError> {
        self.write_ahead(|mapping, now| action.begins_turn(&mut mapping.state.turn, now)).await
    }

    /// Sets the subscribers of the Google case. Reads them once more before, since CSAPI replaces the whole list: what a person at Google has
    /// changed since the plan was made must stay. The record is saved first, so that an address without an answer is known as the
    /// connector's own (`R13`: unknown write outcome).
    async fn set_subscribers(&mut self, wanted: &BTreeSet<String>) -> Result<(), SyncError> {
        let id = self.case_id(Side::Google)?;
        let Some(at_google) = self.read_again(Side::Google).await?.subscribers else { return Ok(()) };
        let earlier = self.mapping.state.subscribers.clone();
        let SubscriberMerge { set, before, after } = merge_subscribers(&earlier, wanted, &at_google);
        if let Some(set) = set {
            self.write_ahead(|mapping, now| {
                mapping.state.subscribers.clone_from(&before);
                mapping.state.subscribers_sent_at = Some(now);
            })
            .await?;
            if let Err(error) = self.deps.systems[Side::Google].set_subscribers(&id, &set).await {
                return self.subscribers_failed(wanted, earlier, error).await;
            }
            self.note("subscribers", Side::Google, None, None);
        }
        self.save(|mapping| {
            mapping.state.subscribers.clone_from(&after);
            mapping.state.subscribers_sent_at = None;
            mapping.state.refused_subscribers = None;
        })
        .await
    }

    /// Escalates the Google case. The record is saved first, so that a request without an answer is not sent a second time before its in-flight
    /// window is over (`R13`: unknown write outcome). Google's support calls people for an escalation.
    async fn escalate(&mut self, reason: EscalationReason, justification: &str) -> Result<(), SyncError> {
        let id = self.case_id(Side::Google)?;
        self.write_ahead(|mapping, now| mapping.state.escalation.sent_at = Some(now)).await?;
        let outcome = self.deps.systems[Side::Google].escalate(&id, reason, justification).await;
        let mut memory = self.mapping.state.escalation.clone();
        match &outcome {
            Ok(()) => memory.settle(),
            Err(error) if error.may_have_happened() => memory.sent_at = Some(self.deps.clock.now()),
            Err(_) => memory.sent_at = None,
        }
        self.progress.escalation = Some(memory);
        outcome?;
        self.note("escalation", Side::Google, Some(reason.name().to_owned()), None);
        Ok(())
    }

    /// Records that Google refuses an escalation, and tells the company case. It is asked again once people have lowered and raised the case
    /// again; no sync fails.
    async fn escalation_refused(&mut self, error: &ApiError) -> Result<Verdict, SyncError> {
        tracing::warn!(
            case.google_name = self.mapping.case_id(Side::Google),
            case.company_id = self.mapping.case_id(Side::Company),
            "Google refuses to escalate the case, which is told: {error}"
        );
        if self.awaits_notice(Side::Company, Notice::NotEscalated) {
            // It would be taken for the notice about this refusal.
            return Ok(Verdict::Again);
        }
        let problem = EscalationProblem::Refused(bounded(&error.message, MAX_REFUSAL));
        let mut memory = self.mapping.state.escalation.clone();
        memory.settle();
        (memory.problem, memory.told) = (Some(problem.clone()), false);
        self.progress.escalation = None;
        self.save(|mapping| mapping.state.escalation.clone_from(&memory)).await?;
        let Some(rule) = &self.deps.settings.rules.escalation else { return Ok(Verdict::Settled) };
        match self.notice(Side::Company, Notice::NotEscalated, texts::not_escalated(&problem, rule)).await {
            Ok(()) => Ok(Verdict::Settled),
            // The next sync posts it.
            Err(SyncError::Api(_)) => Ok(Verdict::Again),
            Err(fatal) => Err(fatal),
        }
    }

    /// Notes the outcome of such a write. It stays begun only if it failed and may have happened.
    fn end_turn(&mut self, action: &Action, outcome: Result<(), ApiError>) -> Result<(), SyncError> {
        let mut turn = self.turn();
        match &outcome {
            Ok(()) => action.ends_turn(&mut turn),
            Err(error) if error.may_have_happened() => action.begins_turn(&mut turn, self.deps.clock.now()),
            Err(_) => action.drops_turn(&mut turn),
        }
        self.progress.turn = Some(turn);
        Ok(outcome?)
    }

    /// Records that the company case refuses a status or a text for Google's state. It is tried again once that changes; no sync fails.
    fn turn_refused(&mut self, action: &Action, error: &ApiError) {
        tracing::warn!(
            case.google_name = self.mapping.case_id(Side::Google),
            case.company_id = self.mapping.case_id(Side::Company),
            "Google's state cannot be shown on the company case, which stays as it is until that changes again ({}): {error}",
            action.describe()
        );
        let mut turn = self.turn();
        action.ends_turn(&mut turn);
        self.progress.turn = Some(turn);
    }

    /// Reads a case of the pair once more. Fails if it is not shown, so that the sync is repeated (`R28`: missing is not gone).
    async fn read_again(&self, side: Side) -> Result<Case, SyncError> {
        let id = self.case_id(side)?;
        let case = self.deps.systems[side].get(&id).await?;
        case.ok_or_else(|| {
            SyncError::Failed(format!("the {side} case {id} was found at first, and is not found any more"))
        })
    }

    /// Sets a title. Reads the case once more before, since files may have been carried for minutes since the plan was made: a title that a
    /// person has set meanwhile must stay.
    async fn set_title(
        &mut self,
        side: Side,
        title: &str,
        from: &Sides<TitleDigest>,
    ) -> Result<(), SyncError> {
        let id = self.case_id(side)?;
        let now = self.read_again(side).await?.title;
        if from[side] != TitleDigest::of(&texts::shown_title(&now)) {
            // The next sync compares both again.
            return Ok(());
        }
        self.write_ahead(|mapping, now| mapping.state.titles.begin(side, title, from, now)).await?;
        let outcome = self.deps.systems[side].set_title(&id, title).await;
        if let Ok(Some(stored)) = &outcome
            && TitleDigest::of(&texts::shown_title(stored)) == from[side]
        {
            self.title_refused(side, title, &"the answer has the title from before");
            return Ok(());
        }
        let mut titles = self.mapping.state.titles.clone();
        match &outcome {
            Ok(stored) => titles.answered(stored.as_deref().unwrap_or(title)),
            Err(error) if error.may_have_happened() => {
                titles.begin(side, title, from, self.deps.clock.now());
            }
            Err(_) => titles.drop_setting(),
        }
        self.progress.titles = Some(titles);
        outcome?;
        self.note("title", side, None, None);
        Ok(())
    }

    /// Records that a case refuses a title. Each side keeps its own; no sync fails.
    fn title_refused(&mut self, side: Side, title: &str, error: &dyn std::fmt::Display) {
        tracing::warn!(
            case.google_name = self.mapping.case_id(Side::Google),
            case.company_id = self.mapping.case_id(Side::Company),
            "the {side} case does not take the other side's title: each side keeps its own, and a day later it is tried again. {error}"
        );
        let mut titles = self.mapping.state.titles.clone();
        titles.refuse(side, title, self.deps.clock.now());
        self.progress.titles = Some(titles);
    }

    /// Shows something of the Google case on the company case. The write is idempotent. The time of a link or a label is recorded first all the
    /// same: the opposite must not be written before this one can arrive no more (`R13`: unknown write outcome).
    async fn annotate(&mut self, annotation: &Annotation) -> Result<(), SyncError> {
        let id = self.case_id(Side::Company)?;
        let earlier = self.shown();
        let is_mark = matches!(annotation, Annotation::Mark(_));
        if is_mark && earlier.is_mark_refused(self.deps.clock.now()) {
            // The one before it was refused just now.
            return Ok(());
        }
        if !is_mark {
            self.write_ahead(|mapping, now| mapping.state.shown.begin(annotation, now)).await?;
        }
        let outcome = self.deps.systems[Side::Company].annotate(&id, annotation).await;
        let mut shown = self.shown();
        match &outcome {
            Ok(_) => shown.done(annotation, &earlier),
            Err(error) if error.may_have_happened() => shown.begin(annotation, self.deps.clock.now()),
            Err(_) => shown.drop_begun(annotation, &earlier),
        }
        self.progress.shown = Some(shown);
        match outcome? {
            Annotated::Done => self.note("shown", Side::Company, None, None),
            Annotated::Occupied => tracing::info!(
                case.google_name = self.mapping.case_id(Side::Google),
                case.company_id = self.mapping.case_id(Side::Company),
                "the place for it holds another value, which stays: {}",
                annotation.describe()
            ),
            Annotated::Gone => {}
        }
        Ok(())
    }

    /// Records that the company's system refuses a link, a label or a mark, or has failed to take it. Everything else is carried; no sync
    /// fails.
    fn annotation_failed(&mut self, annotation: &Annotation, error: &ApiError, refused: bool) {
        let (mut shown, now) = (self.shown(), self.deps.clock.now());
        let when = if refused {
            shown.refuse(annotation, now);
            "a day later"
        } else {
            shown.put_off(annotation, now);
            "after a pause"
        };
        tracing::warn!(
            case.google_name = self.mapping.case_id(Side::Google),
            case.company_id = self.mapping.case_id(Side::Company),
            "the company case stays as it is, and {when} it is tried again ({}): {error}",
            annotation.describe()
        );
        self.progress.shown = Some(shown);
    }

    /// Returns the memory about what is shown of the Google case, with what was not saved yet.
    fn shown(&self) -> Shown {
        self.progress.shown.as_ref().unwrap_or(&self.mapping.state.shown).clone()
    }

    /// Returns the memory about Google's state, with what was not saved yet.
    fn turn(&self) -> Turn {
        self.progress.turn.as_ref().unwrap_or(&self.mapping.state.turn).clone()
    }

    /// Records the outcome of a change of subscribers that failed. A refusal holds nothing else up: the Google case keeps those that it has.
    async fn subscribers_failed(
        &mut self,
        wanted: &BTreeSet<String>,
        earlier: BTreeMap<String, Subscribed>,
        error: ApiError,
    ) -> Result<(), SyncError> {
        let now = self.deps.clock.now();
        if error.may_have_happened() {
            self.save(|mapping| mapping.state.subscribers_sent_at = Some(now)).await?;
            return Err(error.into());
        }
        let refused = self.is_refusal(&error).await;
        let note = RefusedSubscribers { wanted: wanted.clone(), at: now };
        self.save(|mapping| {
            mapping.state.subscribers.clone_from(&earlier);
            mapping.state.subscribers_sent_at = None;
            if refused {
                mapping.state.refused_subscribers = Some(Box::new(note.clone()));
            }
        })
        .await?;
        if !refused {
            return Err(error.into());
        }
        tracing::warn!(
            case.google_name = self.mapping.case_id(Side::Google),
            case.company_id = self.mapping.case_id(Side::Company),
            "the google case does not take the people of the company case as subscribers: it keeps those that it has. {error}"
        );
        Ok(())
    }

    /// Closes or reopens a case. The write-ahead record is saved first: without an answer, the status found by the next sync may be the
    /// connector's own change and not a person's (`R13`: unknown write outcome; `R19`: status).
    async fn set_closed(&mut self, side: Side, closed: bool) -> Result<(), SyncError> {
        let id = self.case_id(side)?;
        let earlier = self.mapping.pending_status;
        let begun = PendingStatus { side, closed, attempted_at: self.deps.clock.now() };
        let skew = self.deps.clocks().skew;
        self.save(|mapping| {
            mapping.begins_to_write(skew, begun.attempted_at);
            mapping.pending_status = Some(begun);
        })
        .await?;
        let system = &self.deps.systems[side];
        let outcome = if closed { system.close(&id).await } else { system.reopen(&id).await };
        if let Err(error) = outcome {
            let now = self.deps.clock.now();
            let unanswered = PendingStatus { attempted_at: now, ..begun };
            // An earlier attempt whose in-flight window is over has had no effect, or this one would not have been made.
            let is_under_way = |earlier: &PendingStatus| {
                let window = self.deps.systems[earlier.side].capabilities().in_flight_window;
                now < earlier.attempted_at + window
            };
            let left =
                if error.may_have_happened() { Some(unanswered) } else { earlier.filter(is_under_way) };
            self.save(|mapping| mapping.pending_status = left).await?;
            return Err(error.into());
        }
        let what = if closed { "closed" } else { "reopened" };
        self.note("status", side, Some(what.to_owned()), None);
        Ok(())
    }

    /// Adds a comment and records its ID.
    pub(super) async fn comment(&mut self, comment: &CommentToWrite) -> Result<(), SyncError> {
        let id = self.case_id(comment.side)?;
        self.begin(record(comment, self.deps.clock.now())).await?;
        let new = NewComment {
            body: comment.body.clone(),
            visibility: comment.visibility,
            idempotency_key: self.key(comment.side, &comment.source, comment.body.as_bytes()),
        };
        let outcome = self.deps.systems[comment.side].add_comment(&id, &new).await;
        let written = self.settle(comment.side, &comment.source, outcome)?;
        self.progress.entries.push(Entry {
            side: comment.side,
            kind: ItemKind::Comment,
            id: written.id.clone(),
            source: comment.source.clone(),
            source_at: comment.source_at,
            written_at: written.created_at,
            parts: comment.parts,
        });
        let (kind, source) = match &comment.source {
            Source::Comment { id, .. } => ("comment", Some(id.clone())),
            Source::Attachment { id } => ("attachment", Some(id.clone())),
            Source::Description { part } => ("description", Some(part.to_string())),
            Source::Notice(_) => ("notice", None),
            Source::Edit { id, .. } => ("edit", Some(id.clone())),
        };
        self.note(kind, comment.side, source, Some(written.id));
        // The age of a comment says nothing about how long its edit took.
        if kind != "edit" {
            self.propagated(comment.side, comment.source_at);
        }
        Ok(())
    }

    /// Copies a file, or posts a comment that explains why it cannot be copied (`R17`: files).
    async fn attach(
        &mut self,
        to: Side,
        attachment: &Attachment,
        visibility: Visibility,
    ) -> Result<(), SyncError> {
        let from = to.other();
        let from_name = self.name_for_other_side(from);
        let limit = self.deps.systems[to].attachment_limit().await?;
        let too_large = |size: Option<u64>| match (size, limit) {
            (Some(size), Some(limit)) if size > limit => {
                Some(format!("it is larger than the {limit} bytes allowed there"))
            }
            _ => None,
        };
        if let Some(reason) = too_large(attachment.size) {
            return self.explain_at_once(to, &from_name, attachment, &reason, visibility).await;
        }
        let Some(mut download) = self.open_file(from, attachment).await? else { return Ok(()) };
        download.size = attachment.size.or(download.size);
        if let Some(reason) = too_large(download.size) {
            return self.explain_at_once(to, &from_name, attachment, &reason, visibility).await;
        }
        match self.upload(to, attachment, download, visibility).await {
            Ok(written) => {
                self.note_file(to, attachment, written);
                Ok(())
            }
            Err(SyncError::Api(error)) if error.kind == ApiErrorKind::Unacceptable && !self.source_failed => {
                self.explain_at_once(to, &from_name, attachment, &error.message, visibility).await
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a file for reading. `None` if it was deleted since the listing, so that there is nothing to copy.
    ///
    /// The sync fails if the file is still listed, or if the whole case is missing or unreadable (`R39`: a file may be listed and not
    /// returned).
    async fn open_file(
        &mut self,
        from: Side,
        attachment: &Attachment,
    ) -> Result<Option<Download>, SyncError> {
        let (system, case) = (&self.deps.systems[from], self.case_id(from)?);
        match system.download(&case, attachment).await {
            Ok(download) => Ok(Some(download)),
            Err(error) if error.kind == ApiErrorKind::NotFound => {
                let exists = system.get(&case).await?.is_some();
                let listed = system.attachments(&case, None).await?;
                if exists && !listed.iter().any(|listed| listed.id == attachment.id) {
                    return Ok(None);
                }
                self.source_failed = exists;
                Err(error.into())
            }
            Err(error) => {
                self.source_failed = true;
                Err(error.into())
            }
        }
    }

    /// Uploads a file while it is downloaded.
    async fn upload(
        &mut self,
        to: Side,
        attachment: &Attachment,
        download: Download,
        visibility: Visibility,
    ) -> Result<Written, SyncError> {
        let case = self.case_id(to)?;
        let source = Source::Attachment { id: attachment.id.clone() };
        self.begin(Pending {
            side: to,
            kind: ItemKind::Attachment,
            source: source.clone(),
            marker: (self.deps.systems[to].capabilities().stored_filename)(&attachment.filename),
            digest: None,
            size: download.size,
            source_at: attachment.created_at,
            attempted_at: self.deps.clock.now(),
            parts: None,
        })
        .await?;
        let (content, source_failure) = watched(download.content);
        let new = NewAttachment {
            filename: attachment.filename.clone(),
            media_type: attachment.media_type.clone(),
            size: download.size,
            content,
            visibility,
            idempotency_key: self.key(to, &source, attachment.filename.as_bytes()),
        };
        let upload = self.deps.systems[to].upload(&case, new);
        let in_time = tokio::time::timeout(self.time_for_a_file(), upload).await;
        let outcome = in_time.unwrap_or_else(|_| {
            // As if its source did not hand it out: explained in the end (R33: final refusals).
            self.source_failed = true;
            let message = "the file moves so slowly that no queue waits for its end";
            let system = self.deps.capabilities()[to].name;
            Err(ApiError::new(ApiErrorKind::Uncertain, system, "upload", message))
        });
        let settled = self.settle(to, &source, outcome);
        let source_failure = source_failure.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let (Err(_), Some(error)) = (&settled, source_failure) {
            // The upload was cut off because the download from its source failed.
            self.source_failed = true;
            return Err(error.into());
        }
        settled
    }

    /// Records a file that was copied, and the comment that carries it where a system has one for each file.
    fn note_file(&mut self, to: Side, attachment: &Attachment, written: Written) {
        let carrier = written.carrier_comment.map(|id| (ItemKind::Comment, id));
        for (kind, id) in [(ItemKind::Attachment, written.id.clone())].into_iter().chain(carrier) {
            self.progress.entries.push(Entry {
                side: to,
                kind,
                id,
                source: Source::Attachment { id: attachment.id.clone() },
                source_at: attachment.created_at,
                written_at: written.created_at,
                parts: None,
            });
        }
        self.note("attachment", to, Some(attachment.id.clone()), Some(written.id));
        self.propagated(to, attachment.created_at);
    }

    /// Explains a file that a system can never take, and remembers the reason for operators: nothing is tried again.
    async fn explain_at_once(
        &mut self,
        to: Side,
        from_case: &str,
        attachment: &Attachment,
        reason: &str,
        visibility: Visibility,
    ) -> Result<(), SyncError> {
        self.explain(to, from_case, attachment, reason, visibility).await?;
        self.progress.explained.push(Explained {
            side: to,
            what: Source::Attachment { id: attachment.id.clone() },
            at: self.deps.clock.now(),
            reason: shorten(reason),
        });
        Ok(())
    }

    /// Posts a comment that explains why a file cannot be copied (`R17`: files).
    async fn explain(
        &mut self,
        to: Side,
        from_case: &str,
        attachment: &Attachment,
        reason: &str,
        visibility: Visibility,
    ) -> Result<(), SyncError> {
        let capabilities = self.deps.systems[to].capabilities();
        let body = texts::attachment_refused(to.other(), from_case, attachment, reason, capabilities);
        self.comment(&CommentToWrite {
            side: to,
            source: Source::Attachment { id: attachment.id.clone() },
            source_at: attachment.created_at,
            body,
            visibility,
            parts: None,
        })
        .await
    }
}

/// Wraps a stream so that the error that it ends with, if any, can be read afterwards.
fn watched(content: ByteStream) -> (ByteStream, Arc<Mutex<Option<ApiError>>>) {
    let failure = Arc::new(Mutex::new(None));
    let left = Arc::clone(&failure);
    let content = content.inspect_err(move |error: &ApiError| {
        *left.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
    });
    (Box::pin(content), failure)
}

/// Returns the comments of a case, written at or after `since`, that may come from a write without an answer (`R13`: unknown write
/// outcome). A listing may go back further than `since`, and the same notice may have been posted before, so older comments are left out.
pub(super) async fn outcomes(
    system: &dyn CaseSystem,
    case: &str,
    pending: &Pending,
    since: Option<DateTime<Utc>>,
) -> Result<Vec<Comment>, ApiError> {
    let mut comments = system.comments(case, since).await?;
    comments.retain(|comment| {
        let reached = since.is_none() || comment.created_at.is_none() || comment.created_at >= since;
        reached && texts::is_outcome_of(pending, comment)
    });
    Ok(comments)
}
