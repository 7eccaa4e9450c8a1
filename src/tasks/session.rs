//! Work of one task on one mapping: its lease, and the saves that write ahead of each change and record its outcome (`R12`: lease; `R13`:
//! unknown write outcome).

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::report::CarriedItem;
use super::sync_case::held_words;
use super::{Deps, LONGEST_FILE};
use crate::cases::markers::CompanyCase;
use crate::cases::{ApiError, Case, bounded, without_remedy};
use crate::entities::{
    CaseMapping, Dirty, Edits, Entry, Escalation, Explained, KnownCase, Lease, Notice, Pending, Shown, Side,
    Sides, Source, TitleWords, Titles, Turn,
};
use crate::progress;
use crate::store::{StoreError, modify};
use crate::telemetry::{CarriedLabels, SideLabels};

/// Time to record the outcome of a file that took too long.
const TO_RECORD: std::time::Duration = std::time::Duration::from_mins(2);
/// Maximum length of the error that a mapping remembers, in bytes.
const MAX_LAST_ERROR: usize = 4 * 1024;

/// Reason why a sync stopped before its plan was done.
#[derive(Debug, thiserror::Error)]
pub(super) enum SyncError {
    /// The sync can never succeed.
    #[error("{0}")]
    Abandoned(String),
    /// A push hint named a case that takes no part in the sync.
    #[error("{0}")]
    NoPart(String),
    /// Another task works on the case (`R12`: lease).
    #[error("another sync of this case is under way")]
    Busy,
    /// The mapping was changed between reading it and taking the lease: read everything again.
    #[error("the mapping was changed meanwhile")]
    Raced,
    /// The case hung the last time, and is not tried before a time, or before another one has ended (`R37`: nobody waits for the slowest).
    #[error("{0}")]
    Postponed(String),
    /// An unchanged case could not be read. The queue retries the task, and no side is dirty.
    #[error(transparent)]
    Unread(ApiError),
    /// An operator paused or unlinked the pair during the sync.
    #[error("{0}")]
    Held(String),
    /// The lease expired, or was taken over, during the sync.
    #[error("the lease on the case was lost")]
    LeaseLost,
    /// Half of the deadline was over with changes left. What was carried is recorded, and a task of its own carries the rest.
    #[error("there is more to carry than fits into one task: another one goes on")]
    Unfinished,
    /// An earlier write got no answer, and may take effect until then (`R13`: unknown write outcome).
    #[error("{reason}")]
    Undecided { reason: String, until: DateTime<Utc> },
    /// The sync failed in a way that may pass.
    #[error("{0}")]
    Failed(String),
    /// Writes failed in a way that may pass; the rest of the plan was carried out.
    #[error("{}", .0.reason)]
    Partly(Failure),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl SyncError {
    /// Returns true if the mapping keeps the error, for people.
    pub(super) const fn is_remembered(&self) -> bool {
        matches!(
            self,
            Self::Undecided { .. } | Self::Failed(_) | Self::Partly(_) | Self::Api(_) | Self::Store(_)
        )
    }

    /// Returns the error as the mapping keeps it.
    pub(super) fn failure(&self) -> Failure {
        let remedy = match self {
            Self::Api(error) | Self::Unread(error) => error.remedy(),
            Self::Partly(failure) => return failure.clone(),
            Self::Abandoned(_)
            | Self::NoPart(_)
            | Self::Busy
            | Self::Raced
            | Self::Postponed(_)
            | Self::Held(_)
            | Self::LeaseLost
            | Self::Unfinished
            | Self::Undecided { .. }
            | Self::Failed(_)
            | Self::Store(_) => None,
        };
        Failure { reason: self.to_string(), remedy }
    }
}

/// Failure of a sync or of a write, as the mapping keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// Error. It ends with the remedy, unless only the kind of the error tells one.
    pub(super) reason: String,
    /// Remedy for an operator, as far as there is one.
    pub(super) remedy: Option<String>,
}

impl Failure {
    /// Creates a failure without a remedy.
    pub(super) const fn of(reason: String) -> Self {
        Self { reason, remedy: None }
    }

    /// Joins the first failures of a sync, and counts the others: thousands of files may fail for one reason. A remedy that all of them share
    /// stands once, at the end; otherwise each keeps its own, and the first counts.
    pub(super) fn joined(failures: &[Self]) -> Self {
        const SHOWN: usize = 3;
        let remedy = failures.iter().find_map(|failure| failure.remedy.clone());
        let is_shared = failures.iter().all(|failure| failure.remedy == remedy && failure.ends_with_remedy());
        let text = |failure: &Self| {
            if is_shared { failure.bare().to_owned() } else { failure.reason.clone() }
        };
        let more = failures.len().saturating_sub(SHOWN);
        let mut parts: Vec<String> = failures.iter().take(SHOWN).map(text).collect();
        if more > 0 {
            parts.push(format!("and {more} more failures"));
        }
        parts.extend(remedy.clone().filter(|_| is_shared));
        Self { reason: parts.join("; "), remedy }
    }

    fn ends_with_remedy(&self) -> bool {
        self.bare().len() < self.reason.len()
    }

    /// Returns the error without the remedy at its end.
    fn bare(&self) -> &str {
        without_remedy(&self.reason, self.remedy.as_deref())
    }
}

impl From<&ApiError> for Failure {
    fn from(error: &ApiError) -> Self {
        Self { reason: error.to_string(), remedy: error.remedy() }
    }
}

/// Outcomes of writes since the mapping was last saved. They are saved together with the next change. If the process dies before that, the
/// next sync finds the write-ahead record and searches for the write (`R13`: unknown write outcome).
#[derive(Debug, Default, Clone)]
pub(super) struct Progress {
    pub(super) entries: Vec<Entry>,
    /// Files that were explained in their place.
    pub(super) explained: Vec<Explained>,
    /// Older notices that were found again.
    pub(super) recognised: Vec<Entry>,
    pub(super) settled: Vec<(Side, Source)>,
    /// Write-ahead records of writes that were not sent.
    pub(super) unsent: Vec<Pending>,
    /// Writes without an answer, each with the latest time at which it may have been sent.
    pub(super) unanswered: Vec<(Side, Source, DateTime<Utc>)>,
    /// Sides whose priority was set, each with the latest time at which that may have been sent if there was no answer.
    pub(super) priorities: Vec<(Side, Option<DateTime<Utc>>)>,
    /// Memory about Google's state after a write for it.
    pub(super) turn: Option<Turn>,
    /// Memory about titles after the write of one.
    pub(super) titles: Option<Titles>,
    /// Memory about what is shown of the Google case after a write for it.
    pub(super) shown: Option<Shown>,
    /// Memory about an escalation after the request for it.
    pub(super) escalation: Option<Escalation>,
    /// Memory about the texts of comments.
    pub(super) edits: Option<Edits>,
}

impl Progress {
    fn apply(&self, mapping: &mut CaseMapping) {
        // Before the entries: one for the last part of a note settles it there.
        if let Some(edits) = &self.edits {
            mapping.state.edits.clone_from(edits);
        }
        for entry in &self.entries {
            mapping.record(entry.clone());
        }
        for explained in &self.explained {
            mapping.state.keep_explained(explained.clone());
        }
        for entry in &self.recognised {
            mapping.recognise(entry.clone());
        }
        for (side, source, at) in &self.unanswered {
            let pending = mapping.pending.iter_mut();
            for pending in pending.filter(|pending| pending.is_of(*side, source)) {
                pending.attempted_at = pending.attempted_at.max(*at);
            }
        }
        for (side, sent_at) in &self.priorities {
            mapping.state.priority_sent_at[*side] = *sent_at;
        }
        if let Some(turn) = &self.turn {
            mapping.state.turn.clone_from(turn);
        }
        if let Some(titles) = &self.titles {
            mapping.state.titles.clone_from(titles);
        }
        if let Some(shown) = &self.shown {
            mapping.state.shown.clone_from(shown);
        }
        if let Some(escalation) = &self.escalation {
            mapping.state.escalation.clone_from(escalation);
        }
        mapping.pending.retain(|pending| {
            let is_it = |(side, source): &(Side, Source)| pending.is_of(*side, source);
            // Only a record that is equal: a sync that has taken over the lease may have recorded the same write since.
            !self.settled.iter().any(is_it) && !self.unsent.contains(pending)
        });
    }
}

/// Write-ahead records of comments that were saved together, as long as the comments are not sent (`R13`: unknown write outcome).
///
/// Thousands of comments would be thousands of commits otherwise. Each save also shows if the lease was lost or if an operator has paused the
/// pair, so no record is used for long.
#[derive(Debug)]
pub(super) struct Ahead {
    records: Vec<Pending>,
    saved_at: DateTime<Utc>,
    saved: Instant,
}

impl Ahead {
    /// Maximum number of comments whose records are saved together.
    pub(super) const MOST: usize = 50;
    /// Time for which a record may be used.
    const LONGEST: std::time::Duration = std::time::Duration::from_secs(5);

    fn of(records: Vec<Pending>, saved_at: DateTime<Utc>) -> Self {
        Self { records, saved_at, saved: Instant::now() }
    }

    /// Returns the index of the record of that write. `None` if it has none, or an old one, by either clock: this process may have slept.
    fn position(&self, side: Side, source: &Source, now: DateTime<Utc>) -> Option<usize> {
        let age = (now - self.saved_at).abs();
        let is_old =
            self.saved.elapsed() >= Self::LONGEST || age.to_std().is_ok_and(|age| age >= Self::LONGEST);
        self.records.iter().position(|record| !is_old && record.is_of(side, source))
    }
}

/// Work on one mapping by one run of a task.
pub(super) struct Session<'a> {
    pub(super) deps: &'a Deps,
    /// Newest copy of the mapping.
    pub(super) mapping: CaseMapping,
    /// Dirty marks when the mapping was read, which was before the cases were read (`R7`: dirty sides).
    pub(super) waited: Sides<Option<Dirty>>,
    pub(super) started: DateTime<Utc>,
    /// Start, by a clock that nobody sets.
    began: Instant,
    pub(super) carried: Vec<CarriedItem>,
    holder: &'a str,
    leased: bool,
    pub(super) progress: Progress,
    ahead: Ahead,
    /// True if the last attachment failed at its source, not at its target.
    pub(super) source_failed: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(deps: &'a Deps, mapping: CaseMapping, started: DateTime<Utc>, holder: &'a str) -> Self {
        let waited = mapping.dirty;
        let mut mapping = mapping;
        // Uses the current time: relative to the start of this task, times that other tasks have written since would lie in the future.
        mapping.bring_back(deps.clock.now(), deps.settings.lease);
        if let Some(lease) = mapping.lease.as_ref().filter(|lease| lease.holder != holder) {
            // The former holder died. Its pending writes may have been sent until its lease expired, but not later.
            let last = lease.expires_at.min(started);
            mapping.sent_no_later_than(last);
        }
        Self {
            deps,
            mapping,
            waited,
            started,
            began: Instant::now(),
            carried: Vec::new(),
            holder,
            leased: false,
            progress: Progress::default(),
            ahead: Ahead::of(Vec::new(), started),
            source_failed: false,
        }
    }

    /// Takes the lease, if the mapping is unchanged since it was read (`R12`: lease). Everything that was read since then is still valid,
    /// because each sync takes the lease before it writes to a case.
    pub(super) async fn take_lease(&mut self) -> Result<(), SyncError> {
        if self.leased {
            return Ok(());
        }
        let now = self.deps.clock.now();
        let ours = self.mapping.lease.as_ref().is_some_and(|lease| lease.holder == self.holder);
        let is_free = ours || self.mapping.lease_is_free(now, self.deps.settings.lease);
        if !is_free && !self.holder_has_ended() {
            return Err(SyncError::Busy);
        }
        let mut leased = self.mapping.clone();
        leased.lease =
            Some(Lease { holder: self.holder.to_owned(), expires_at: now + self.deps.settings.lease });
        self.mapping = match self.deps.store.update(&leased).await {
            Err(StoreError::Conflict(_)) => return Err(SyncError::Raced),
            outcome => outcome?,
        };
        self.leased = true;
        Ok(())
    }

    /// True if the process that holds the lease has ended, so that nobody releases it (`R37`: nobody waits for the slowest).
    fn holder_has_ended(&self) -> bool {
        let holder = self.mapping.lease.as_ref().and_then(|lease| lease.holder.split_once('-'));
        holder.is_some_and(|(process, _)| self.deps.store.has_ended(process))
    }

    /// Confirms that the data which was read is still valid, by taking or renewing the lease on the mapping as it was before the cases were
    /// read. `detect-outages` needs no lease, so without this check a notice that it claimed and wrote meanwhile would be taken for a
    /// person's comment.
    pub(super) async fn confirm_lease(&mut self) -> Result<(), SyncError> {
        self.leased = false;
        self.take_lease().await
    }

    /// Releases the lease, if it is held, and changes nothing else.
    pub(super) async fn release(&mut self) -> Result<(), StoreError> {
        let holder = self.holder;
        modify(self.deps.store.as_ref(), self.mapping.clone(), |mapping| {
            let ours = mapping.lease.as_ref().is_some_and(|lease| lease.holder == holder);
            if ours {
                mapping.lease = None;
            }
            ours
        })
        .await?;
        Ok(())
    }

    /// Saves a change together with the progress. Fails with `LeaseLost` if the lease is no longer held, and with `Held` if an operator has
    /// paused or unlinked the pair meanwhile.
    pub(super) async fn save(
        &mut self,
        mut change: impl FnMut(&mut CaseMapping) + Send,
    ) -> Result<(), SyncError> {
        let progress = std::mem::take(&mut self.progress);
        let holder = self.holder;
        let saved = modify(self.deps.store.as_ref(), self.mapping.clone(), |mapping| {
            if mapping.lease.as_ref().is_none_or(|lease| lease.holder != holder) {
                return false;
            }
            progress.apply(mapping);
            change(mapping);
            true
        })
        .await;
        if saved.is_err() {
            // The next save has it: else a write without an answer would count as sent when it was recorded.
            self.progress = progress;
        }
        self.mapping = saved?.ok_or(SyncError::LeaseLost)?;
        match held_words(&self.mapping) {
            // What was written is recorded, and nothing more is written.
            Some(held) => Err(SyncError::Held(held)),
            None => Ok(()),
        }
    }

    /// Saves a change without the lease. Fails with `Raced` if the mapping was changed since it was read.
    pub(super) async fn save_unleased(
        &mut self,
        change: impl FnOnce(&mut CaseMapping),
    ) -> Result<(), SyncError> {
        let mut changed = self.mapping.clone();
        change(&mut changed);
        if changed == self.mapping {
            return Ok(());
        }
        self.mapping = match self.deps.store.update(&changed).await {
            Err(StoreError::Conflict(_)) => return Err(SyncError::Raced),
            outcome => outcome?,
        };
        Ok(())
    }

    /// Clears the dirty mark of a side that was read and has nothing new, if the mapping still `is_at_rest` and no poll has found another
    /// change since. Returns true if it was cleared.
    pub(super) async fn settle_at_rest(
        &mut self,
        side: Side,
        updated_at: Option<DateTime<Utc>>,
        is_at_rest: impl Fn(&CaseMapping) -> bool + Send + Sync,
    ) -> Result<bool, SyncError> {
        let waited = self.waited[side];
        // A case without a mark is settled after its last recheck, which a poll or a sweep queued.
        let shown = waited.map_or(updated_at, |mark| mark.case_updated_at);
        let settled = modify(self.deps.store.as_ref(), self.mapping.clone(), |mapping| {
            let unchanged = mapping.dirty[side] == waited && is_at_rest(mapping);
            if unchanged {
                mapping.dirty[side] = None;
                mapping.note_update(side, updated_at, shown);
            }
            unchanged
        })
        .await?;
        let is_settled = settled.is_some();
        self.mapping = settled.unwrap_or_else(|| self.mapping.clone());
        Ok(is_settled)
    }

    /// Saves a change and releases the lease; without a lease, saves it only if the mapping is unchanged.
    pub(super) async fn save_either(
        &mut self,
        mut change: impl FnMut(&mut CaseMapping) + Send,
    ) -> Result<(), SyncError> {
        if self.leased {
            self.save(|mapping| {
                change(mapping);
                mapping.lease = None;
            })
            .await
        } else {
            self.save_unleased(change).await
        }
    }

    /// True once half of the task's deadline is over. The other half is for what was begun.
    pub(super) fn is_late(&self) -> bool {
        self.began.elapsed() >= self.deps.settings.deadline / 2
    }

    /// Returns the time that is left for a file, as long as it moves (`R37`: nobody waits for the slowest). Less than the task's own, so that
    /// the outcome can be recorded.
    pub(super) fn time_for_a_file(&self) -> std::time::Duration {
        LONGEST_FILE.saturating_sub(self.began.elapsed()).saturating_sub(TO_RECORD)
    }

    /// Saves the reason of the failure, marks the side as dirty (`R7`: dirty sides) and releases the lease. `repeats`: the queue repeats the
    /// task.
    pub(super) async fn fail(
        &mut self,
        side: Side,
        failure: &Failure,
        repeats: bool,
    ) -> Result<(), SyncError> {
        self.leave(side, Some((failure, repeats))).await
    }

    /// Saves what was carried, marks the side as dirty (`R7`: dirty sides), and with a failure as failed, and releases the lease.
    pub(super) async fn leave(
        &mut self,
        side: Side,
        failed: Option<(&Failure, bool)>,
    ) -> Result<(), SyncError> {
        let hung = progress::current().is_some_and(|task| task.has_hung());
        let started = self.started;
        let progress = std::mem::take(&mut self.progress);
        let holder = self.holder;
        let global = self.deps.store.global().await?;
        modify(self.deps.store.as_ref(), self.mapping.clone(), |mapping| {
            let before = mapping.clone();
            progress.apply(mapping);
            mapping.wait(side, &global, started);
            match failed {
                Some((failure, _)) if hung => mapping.hung(bounded(&failure.reason, MAX_LAST_ERROR), started),
                Some((failure, _)) => mapping.failed(bounded(&failure.reason, MAX_LAST_ERROR), started),
                None => mapping.succeeded(),
            }
            if let (Some((failure, repeats)), Some(failing)) = (failed, &mut mapping.state.failing) {
                failing.repeats |= repeats;
                failing.remedy.clone_from(&failure.remedy);
            }
            if mapping.lease.as_ref().is_some_and(|lease| lease.holder == holder) {
                mapping.lease = None;
            }
            *mapping != before
        })
        .await?;
        Ok(())
    }

    /// Remembers the name of the company case, which was just read, for texts on the Google case. It is saved along with the next change of
    /// the mapping, and is no reason for one (`R8`: idle cases).
    pub(super) fn note_company(&mut self, case: &Case) {
        let Case { id, key, address, .. } = case;
        self.mapping.state.company_case =
            Some(KnownCase { id: id.clone(), key: key.clone(), address: address.clone() });
    }

    /// Remembers the words of a case's title, which was just read, so that people find the pair by them. As with [`Self::note_company`], this
    /// is no reason to save the mapping. A case without a title keeps the words: CSAPI has returned escalated cases without one.
    pub(super) fn note_title(&mut self, side: Side, case: &Case) {
        if !case.title.trim().is_empty() {
            self.mapping.state.title_words[side] = TitleWords::of(&case.title);
        }
    }

    /// Returns the name of that side's case for texts on the other side (`R31`: an ID is valid only in its own system), as far as it is
    /// known without reading the case.
    pub(super) fn name_for_other_side(&self, side: Side) -> String {
        let id = self.mapping.case_id(side).unwrap_or_default();
        match side {
            Side::Google => id.to_owned(),
            Side::Company => {
                company_name(id, self.mapping.state.company_case.as_ref(), self.deps.home()).to_string()
            }
        }
    }

    pub(super) fn case_id(&self, side: Side) -> Result<String, SyncError> {
        let id = self.mapping.case_id(side).map(str::to_owned);
        id.ok_or_else(|| SyncError::Failed(format!("the {side} case is not known yet")))
    }

    /// Moves the times of writes without an answer along with the host's clock, if that was set since (`R36`: clock skew). Fails while a clock
    /// is in doubt.
    pub(super) fn follow_host_clock(&mut self) -> Result<(), SyncError> {
        if let Some(doubt) = Side::BOTH.into_iter().find_map(|side| self.deps.clock_doubt(side)) {
            return Err(SyncError::Failed(doubt));
        }
        self.mapping.follow_host_clock(self.deps.clocks().skew, self.deps.clock.now());
        Ok(())
    }

    /// Saves a write-ahead record, which `record` makes of the current time (`R13`: unknown write outcome).
    pub(super) async fn write_ahead(
        &mut self,
        mut record: impl FnMut(&mut CaseMapping, DateTime<Utc>) + Send,
    ) -> Result<(), SyncError> {
        let (now, skew) = (self.deps.clock.now(), self.deps.clocks().skew);
        self.save(|mapping| {
            mapping.begins_to_write(skew, now);
            record(mapping, now);
        })
        .await
    }

    /// Saves the write-ahead record of a comment or a file, unless that of the same write was saved a moment ago.
    pub(super) async fn begin(&mut self, pending: Pending) -> Result<(), SyncError> {
        let at = self.ahead.position(pending.side, &pending.source, self.deps.clock.now());
        let earlier = at.map(|at| self.ahead.records.swap_remove(at));
        if earlier.is_some_and(|earlier| earlier.digest == pending.digest) {
            return Ok(());
        }
        self.begin_all(vec![pending]).await?;
        self.ahead.records.clear();
        Ok(())
    }

    /// Returns true if the write-ahead record of that write was saved a moment ago.
    pub(super) fn is_begun(&self, side: Side, source: &Source) -> bool {
        self.ahead.position(side, source, self.deps.clock.now()).is_some()
    }

    /// Saves the write-ahead records of comments that are sent one after the other.
    pub(super) async fn begin_all(&mut self, records: Vec<Pending>) -> Result<(), SyncError> {
        self.forget_unsent();
        // Before they are saved: none is sent either if that fails.
        self.ahead = Ahead::of(records.clone(), self.deps.clock.now());
        self.write_ahead(|mapping, _| {
            for record in &records {
                mapping.pending.retain(|earlier| !earlier.is_of(record.side, &record.source));
                mapping.pending.push(record.clone());
            }
        })
        .await
    }

    /// Notes that the comments whose records were saved and which were not sent yet are not sent. A process that dies cannot say so, and the
    /// next sync looks for them.
    pub(super) fn forget_unsent(&mut self) {
        self.progress.unsent.append(&mut self.ahead.records);
    }

    /// Returns true if a notice on that side was written without an answer, and may be there already: a sync looks for it.
    pub(super) fn awaits_notice(&self, side: Side, notice: Notice) -> bool {
        let source = Source::Notice(notice);
        self.mapping.pending.iter().any(|pending| pending.is_of(side, &source))
    }

    /// Notes the outcome of a write. The write stays pending only if it failed and may have happened.
    pub(super) fn settle<T>(
        &mut self,
        side: Side,
        source: &Source,
        outcome: Result<T, ApiError>,
    ) -> Result<T, SyncError> {
        if outcome.as_ref().err().is_none_or(|error| !error.may_have_happened()) {
            self.progress.settled.push((side, source.clone()));
        } else {
            self.progress.unanswered.push((side, source.clone(), self.deps.clock.now()));
        }
        Ok(outcome?)
    }

    /// Returns the idempotency key of a write: the same for the same write, another for another text, and another for a notice that is
    /// repeated in the same words.
    pub(super) fn key(&self, side: Side, source: &Source, content: &[u8]) -> String {
        match self.mapping.ledger.times_written(side, source) {
            0 => self.key_of(&format!("{side} {source:?}"), content),
            earlier => self.key_of(&format!("{side} {source:?} {earlier}"), content),
        }
    }

    /// Returns the idempotency key of a write for this pair: see [`key_of`].
    pub(super) fn key_of(&self, what: &str, content: &[u8]) -> String {
        key_of(self.deps, &self.mapping, what, content)
    }

    pub(super) fn note(
        &mut self,
        kind: &'static str,
        to: Side,
        source: Option<String>,
        written: Option<String>,
    ) {
        self.deps.metrics.carried.get_or_create(&CarriedLabels { kind, to: to.name() }).inc();
        self.deps.metrics.recent.carried(self.deps.clock.now(), kind);
        self.carried.push(CarriedItem { kind, to: to.name(), source, written });
    }

    pub(super) fn propagated(&self, to: Side, created_at: Option<DateTime<Utc>>) {
        if let Some(created_at) = created_at {
            let now = self.deps.clock.now();
            let seconds = (now - created_at).as_seconds_f64().max(0.0);
            self.deps.metrics.recent.propagated(now, seconds);
            self.deps
                .metrics
                .propagation_seconds
                .get_or_create(&SideLabels { side: to.name() })
                .observe(seconds);
        }
    }
}

/// Returns the idempotency key of a write for a pair. It is made of values that are unique to the pair (`R31`: an ID is valid only in its
/// own system): the case that it began with, the address of the company's system, and the mapping's creation time, so that a new database
/// makes other keys.
pub(super) fn key_of(deps: &Deps, mapping: &CaseMapping, what: &str, content: &[u8]) -> String {
    let made_at = mapping.created_at.timestamp_micros().to_string();
    let case = mapping.case_id(mapping.origin).unwrap_or_default();
    let parts = [deps.home().unwrap_or_default(), case, &made_at, what];
    let mut hash = Sha256::new();
    for part in parts.map(str::as_bytes).into_iter().chain([content]) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    format!("casebridge-{}", hex::encode(&hash.finalize()[..16]))
}

/// Returns the name of the company case with that ID. A record of another case, from before the pair was handed over, does not count; without
/// one, `home` takes the place of the address.
fn company_name<'a>(id: &'a str, known: Option<&'a KnownCase>, home: Option<&'a str>) -> CompanyCase<'a> {
    let known = known.filter(|known| known.id == id);
    CompanyCase {
        id,
        key: known.and_then(|known| known.key.as_deref()),
        address: known.and_then(|known| known.address.as_deref()).or(home),
    }
}

#[cfg(test)]
mod tests {
    use chrono::Duration;

    use super::*;
    use crate::entities::{CompanyCaseId, FirstSeen, ItemKind, KnownText, NoteBegun, TextDigest};

    fn comment(id: &str, attempted_at: DateTime<Utc>) -> Pending {
        Pending {
            side: Side::Google,
            kind: ItemKind::Comment,
            source: Source::Comment { id: id.to_owned(), part: 1 },
            marker: "marker".to_owned(),
            digest: None,
            size: None,
            source_at: None,
            attempted_at,
            parts: Some(1),
        }
    }

    #[test]
    fn a_record_that_was_saved_ahead_is_used_for_five_seconds_by_either_clock() {
        let at = DateTime::UNIX_EPOCH;
        let second = comment("2", at);
        let mut ahead = Ahead::of(vec![comment("1", at), second.clone()], at);
        let found = |ahead: &Ahead, seconds: i64| {
            ahead.position(Side::Google, &second.source, at + Duration::seconds(seconds))
        };
        for (seconds, is_found) in [(0, true), (4, true), (5, false), (-5, false), (3_600, false)] {
            assert_eq!(found(&ahead, seconds), is_found.then_some(1), "{seconds} s later");
        }
        assert_eq!(ahead.position(Side::Company, &second.source, at), None, "the other side's");
        ahead.saved = ahead.saved.checked_sub(Ahead::LONGEST).unwrap();
        assert_eq!(found(&ahead, 0), None, "the host's clock was set back while the process slept");
    }

    #[test]
    fn only_an_equal_record_is_dropped_as_unsent() {
        let at = DateTime::UNIX_EPOCH;
        let (ours, later) = (comment("1", at), comment("1", at + Duration::seconds(60)));
        let seen = FirstSeen::Company(CompanyCaseId::parse("10001").unwrap());
        let mut mapping = CaseMapping::first_seen(seen, None, None, at);
        let progress = Progress { unsent: vec![ours.clone()], ..Progress::default() };
        for (stored, left) in [(ours, Vec::new()), (later.clone(), vec![later])] {
            mapping.pending = vec![stored];
            progress.apply(&mut mapping);
            assert_eq!(mapping.pending, left);
        }
    }

    #[test]
    fn failures_for_one_reason_name_their_remedy_once_and_the_rest_by_number() {
        let failure = |number: usize, remedy: Option<&str>| {
            let end = remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
            Failure { reason: format!("file {number}{end}"), remedy: remedy.map(str::to_owned) }
        };
        let renew = Some("renew it");
        for (failures, reason, remedy) in [
            (vec![failure(1, renew)], "file 1; renew it", renew),
            (vec![failure(1, renew), failure(2, renew)], "file 1; file 2; renew it", renew),
            (vec![failure(1, None), failure(2, renew)], "file 1; file 2; renew it", renew),
            (vec![failure(1, renew), failure(2, None)], "file 1; renew it; file 2", renew),
            (vec![failure(1, None)], "file 1", None),
            (
                (1..=5).map(|number| failure(number, renew)).collect(),
                "file 1; file 2; file 3; and 2 more failures; renew it",
                renew,
            ),
        ] {
            let joined = Failure::joined(&failures);
            assert_eq!((joined.reason.as_str(), joined.remedy.as_deref()), (reason, remedy));
        }
        // Only the kind of the error tells it, and the text does not end with it.
        let by_kind = Failure { reason: "refused".to_owned(), remedy: Some("wait".to_owned()) };
        assert_eq!(Failure::joined(std::slice::from_ref(&by_kind)), by_kind);
    }

    #[test]
    fn a_note_that_was_written_stays_settled_when_the_next_one_is_refused() {
        let now = DateTime::UNIX_EPOCH;
        let seen = FirstSeen::Company(CompanyCaseId::parse("10001").unwrap());
        let mut mapping = CaseMapping::first_seen(seen, None, None, now);
        let mut edits = Edits::default();
        for id in ["7", "8"] {
            let known = KnownText {
                notes: 1,
                noting: Some(NoteBegun::new(TextDigest::of("two"), Some(now))),
                ..KnownText::carried(now, TextDigest::of("one"), None, 0)
            };
            edits.known[Side::Company].insert(id.to_owned(), known);
        }
        edits.refuse_note(Side::Company, "8", 1, now);
        let written = Entry {
            side: Side::Google,
            kind: ItemKind::Comment,
            id: "20".to_owned(),
            source: Source::Edit { id: "7".to_owned(), number: 1, part: 1 },
            source_at: None,
            written_at: None,
            parts: None,
        };
        Progress { entries: vec![written], edits: Some(edits), ..Progress::default() }.apply(&mut mapping);
        let known = &mapping.state.edits.known[Side::Company];
        assert!(known["7"].noting.is_none() && known["8"].is_refused(now));
    }

    #[test]
    fn a_company_case_is_named_as_it_was_last_read() {
        let sys_id = "9d385017c611228701d22104cc95c371";
        let record = format!("https://dev1.service-now.com/nav_to.do?uri=incident.do?sys_id={sys_id}");
        for (home, id, key, address, name) in [
            (
                "https://example.atlassian.net",
                "10003",
                Some("SUP-3"),
                Some("https://example.atlassian.net/browse/SUP-3"),
                "10003 (SUP-3, https://example.atlassian.net/browse/SUP-3)".to_owned(),
            ),
            (
                "https://acme.zendesk.com",
                "35",
                None,
                Some("https://acme.zendesk.com/agent/tickets/35"),
                "35 (https://acme.zendesk.com/agent/tickets/35)".to_owned(),
            ),
            (
                "https://dev1.service-now.com",
                sys_id,
                Some("INC0010001"),
                Some(record.as_str()),
                format!("{sys_id} (INC0010001, {record})"),
            ),
            (
                "https://rt.example",
                "4711",
                None,
                Some("https://rt.example/Ticket/Display.html?id=4711"),
                "4711 (https://rt.example/Ticket/Display.html?id=4711)".to_owned(),
            ),
            ("https://rt.example", "4711", None, None, "4711 (https://rt.example)".to_owned()),
        ] {
            let known = KnownCase {
                id: id.to_owned(),
                key: key.map(str::to_owned),
                address: address.map(str::to_owned),
            };
            assert_eq!(company_name(id, Some(&known), Some(home)).to_string(), name);
            let without = format!("{id} ({home})");
            assert_eq!(company_name(id, None, Some(home)).to_string(), without, "it was never read");
            let other = KnownCase { id: format!("{id}0"), ..known };
            assert_eq!(
                company_name(id, Some(&other), Some(home)).to_string(),
                without,
                "another case was read"
            );
        }
    }
}
