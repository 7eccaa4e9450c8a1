//! Work of one task on one mapping: its lease, and the saves that write ahead of each change and record what it became (`R12`, `R13`).

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};

use super::Deps;
use super::report::CarriedItem;
use crate::cases::ApiError;
use crate::cases::markers::CompanyCase;
use crate::entities::{CaseMapping, Entry, Lease, Pending, Side, Sides, Source, Waiting};
use crate::store::{StoreError, modify};
use crate::telemetry::{CarriedLabels, SideLabels};

/// Why a sync stopped before its plan was done.
#[derive(Debug, thiserror::Error)]
pub(super) enum SyncError {
    /// It can never succeed.
    #[error("{0}")]
    Abandoned(String),
    /// Somebody else works on the case (`R12`).
    #[error("another sync of this case is under way")]
    Busy,
    /// The mapping was changed between reading it and taking the lease: read everything again.
    #[error("the mapping was changed meanwhile")]
    Raced,
    /// The lease expired, or was taken over, in the middle.
    #[error("the lease on the case was lost")]
    LeaseLost,
    /// It failed in a way that may pass.
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// What was done since the mapping was last saved. Saved with whatever is saved next: a process that dies before that finds
/// the pending write and looks for what it left (`R13`).
#[derive(Debug, Default, Clone)]
pub(super) struct Progress {
    pub(super) entries: Vec<Entry>,
    /// Older notices that were found again.
    pub(super) recognised: Vec<Entry>,
    pub(super) settled: Vec<(Side, Source)>,
    /// Writes that got no answer, and until when they may have been sent.
    pub(super) unanswered: Vec<(Side, Source, DateTime<Utc>)>,
}

impl Progress {
    fn apply(&self, mapping: &mut CaseMapping) {
        for entry in &self.entries {
            mapping.record(entry.clone());
        }
        for entry in &self.recognised {
            mapping.recognise(entry.clone());
        }
        for (side, source, at) in &self.unanswered {
            let pending = mapping.pending.iter_mut();
            for pending in pending.filter(|pending| pending.side == *side && pending.source == *source) {
                pending.attempted_at = pending.attempted_at.max(*at);
            }
        }
        mapping.pending.retain(|pending| {
            !self.settled.iter().any(|(side, source)| *side == pending.side && *source == pending.source)
        });
    }
}

/// Work on one mapping by one run of a task.
pub(super) struct Session<'a> {
    pub(super) deps: &'a Deps,
    /// The newest copy.
    pub(super) mapping: CaseMapping,
    /// What waited when the mapping was read, before the cases were (`R7`).
    pub(super) waited: Sides<Option<Waiting>>,
    pub(super) started: DateTime<Utc>,
    pub(super) carried: Vec<CarriedItem>,
    holder: &'a str,
    leased: bool,
    pub(super) progress: Progress,
    /// The last attachment failed at its source, not where it was to be written.
    pub(super) source_failed: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(deps: &'a Deps, mapping: CaseMapping, started: DateTime<Utc>, holder: &'a str) -> Self {
        let waited = mapping.waiting;
        let mut mapping = mapping;
        // By the time now: what others began since this task did lies in the future of its beginning.
        mapping.bring_back(deps.clock.now(), deps.settings.lease);
        if let Some(lease) = mapping.lease.as_ref().filter(|lease| lease.holder != holder) {
            // Whoever held it died, and sent nothing after it expired.
            let last = lease.expires_at.min(started);
            mapping.sent_no_later_than(last);
        }
        Self {
            deps,
            mapping,
            waited,
            started,
            carried: Vec::new(),
            holder,
            leased: false,
            progress: Progress::default(),
            source_failed: false,
        }
    }

    /// Takes the lease, if the mapping is still as it was read (`R12`): then everything read since is still good to act on,
    /// because whoever writes to a case takes the lease first.
    pub(super) async fn take_lease(&mut self) -> Result<(), SyncError> {
        if self.leased {
            return Ok(());
        }
        let now = self.deps.clock.now();
        let ours = self.mapping.lease.as_ref().is_some_and(|lease| lease.holder == self.holder);
        if !ours && !self.mapping.lease_is_free(now, self.deps.settings.lease) {
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

    /// Makes sure that what was read is still good to act on: the lease is taken, or taken anew, over the mapping as it
    /// was before the cases were read. Without that, a notice that `detect-outages` claimed and wrote meanwhile, for which
    /// it needs no lease, would be taken for a person's comment.
    pub(super) async fn confirm_lease(&mut self) -> Result<(), SyncError> {
        self.leased = false;
        self.take_lease().await
    }

    /// Gives the lease back, if it is held, and changes nothing else.
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

    /// Saves a change together with the progress made, as long as the lease is held.
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
        .await?;
        self.mapping = saved.ok_or(SyncError::LeaseLost)?;
        Ok(())
    }

    /// Saves a change without the lease, if nobody changed the mapping since it was read.
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

    /// Saves with or without the lease, whichever holds.
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

    /// Remembers why the sync failed and gives the lease back. That something waits is remembered too (`R7`).
    pub(super) async fn fail(&mut self, side: Side, reason: &str) -> Result<(), SyncError> {
        let started = self.started;
        let progress = std::mem::take(&mut self.progress);
        let holder = self.holder;
        let global = self.deps.store.global().await?;
        modify(self.deps.store.as_ref(), self.mapping.clone(), |mapping| {
            let before = mapping.clone();
            progress.apply(mapping);
            mapping.wait(side, &global, started);
            mapping.last_error = Some(reason.to_owned());
            if mapping.lease.as_ref().is_some_and(|lease| lease.holder == holder) {
                mapping.lease = None;
            }
            *mapping != before
        })
        .await?;
        Ok(())
    }

    /// Name of that side's case in texts on the other side (`R31`), as far as it is known without reading it.
    pub(super) fn name_for_other_side(&self, side: Side) -> String {
        let id = self.mapping.case_id(side).unwrap_or_default();
        match side {
            Side::Google => id.to_owned(),
            Side::Company => CompanyCase { id, key: None, address: self.deps.home() }.to_string(),
        }
    }

    pub(super) fn case_id(&self, side: Side) -> Result<String, SyncError> {
        let id = self.mapping.case_id(side).map(str::to_owned);
        id.ok_or_else(|| SyncError::Failed(format!("the {side} case is not known yet")))
    }

    /// Remembers that a write begins (`R13`).
    pub(super) async fn begin(&mut self, pending: Pending) -> Result<(), SyncError> {
        self.save(|mapping| {
            mapping
                .pending
                .retain(|earlier| earlier.side != pending.side || earlier.source != pending.source);
            mapping.pending.push(pending.clone());
        })
        .await
    }

    /// A write that certainly did not happen is no longer pending; one that may have stays.
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

    /// The same write has the same key; another text has another.
    pub(super) fn key(&self, side: Side, source: &Source, content: &[u8]) -> String {
        self.key_of(&format!("{side} {source:?}"), content)
    }

    /// Idempotency key of a write for this pair: see [`key_of`].
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
        self.carried.push(CarriedItem { kind, to: to.name(), source, written });
    }

    pub(super) fn propagated(&self, to: Side, created_at: Option<DateTime<Utc>>) {
        if let Some(created_at) = created_at {
            let seconds = (self.deps.clock.now() - created_at).as_seconds_f64().max(0.0);
            self.deps
                .metrics
                .propagation_seconds
                .get_or_create(&SideLabels { side: to.name() })
                .observe(seconds);
        }
    }
}

/// Idempotency key of a write for a pair. It names the pair by what nobody else has (`R31`): the case that it began with, the address of
/// the company's system, and when the mapping was made, so that a database that was begun anew makes other keys.
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
