//! `CaseMapping`: the link between a Google case and a company case, with the progress of their sync.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::{
    CompanyCaseId, Edits, Entry, Escalation, Failing, Global, GoogleCaseName, KnownCase, Ledger, MappingId,
    Notice, Order, PairState, Pending, Priority, Shown, Side, Sides, Source, TitleWords, Turn,
};

/// Minimum change of both systems' leads over our clock for which our clock counts as set, and maximum difference between the two.
const SET_AT_LEAST: Duration = Duration::seconds(20);

/// Longest time by which a write is recorded in advance.
const RECORDED_AHEAD: Duration = Duration::hours(1);

/// Dirty mark of a side: it has changes that no sync has carried to the other side yet (`R7`: dirty sides).
///
/// Set by the task that detects a change. A sync clears the mark only if it still has the value that was read before the case was read, so
/// clocks play no part in that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dirty {
    /// Time at which the side was last in step before the change was detected. The side counts as out of step since then.
    pub since: DateTime<Utc>,
    /// Last update time of the case when the change was last detected; `None` if it is not known.
    pub case_updated_at: Option<DateTime<Utc>>,
    /// Delivery time of the sync that was queued for the last push hint; `None` if no hint set or renewed the mark. Each further hint
    /// changes it, so that a sync which began before the hint does not clear the mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_due_at: Option<DateTime<Utc>>,
    /// Time at which the mark was set, which is a part of the names of its syncs: a mark that was cleared and set again with the same times
    /// gets a sync of its own. `None` if version 0.1 set it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marked_at: Option<DateTime<Utc>>,
}

impl Dirty {
    /// Returns a mark with this time and nothing else.
    #[must_use]
    pub const fn since(since: DateTime<Utc>) -> Self {
        Self { since, case_updated_at: None, sync_due_at: None, marked_at: None }
    }
}

/// Right to work on a pair for a limited time (`R12`: lease). Taken by compare-and-swap; expires by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Holder of the lease: unique for each run of a task.
    pub holder: String,
    /// Time at which the lease expires.
    pub expires_at: DateTime<Utc>,
}

/// Write-ahead record of the creation of a counterpart whose outcome is not known yet (`R13`: unknown write outcome).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingCreation {
    /// Side on which the counterpart was to be created.
    pub side: Side,
    /// Latest time at which the request may have been sent, by our clock.
    pub attempted_at: DateTime<Utc>,
}

/// Write-ahead record of a closing or reopening whose outcome is not known yet (`R13`: unknown write outcome).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingStatus {
    /// Side of the case.
    pub side: Side,
    /// True if the case was to be closed, false if it was to be reopened.
    pub closed: bool,
    /// Latest time at which the request may have been sent, by our clock.
    pub attempted_at: DateTime<Utc>,
}

/// Mapping of one synchronised pair of cases. The cleanup task deletes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "stored properties, two of them documented; each stands alone"
)]
pub struct CaseMapping {
    /// Primary key; documented as `ID`.
    pub id: MappingId,
    /// Full name of the Google case, as first seen; `None` until it is known.
    #[serde(rename = "googleCaseName")]
    pub google_case_name: Option<GoogleCaseName>,
    /// ID of the company case; `None` until it is known.
    #[serde(rename = "companyCaseID")]
    pub company_case_id: Option<CompanyCaseId>,
    /// Last time at which new content was detected on either side.
    #[serde(rename = "newContentAt")]
    pub new_content_at: DateTime<Utc>,
    /// Time at which the pair was resolved; cleanup counts from it. The merge base of the status is `PairState::agreed_closed` (`R19`:
    /// status).
    #[serde(rename = "resolvedAt")]
    pub resolved_at: Option<DateTime<Utc>>,
    /// Last time at which everything new in the CRM had been carried to Google. See [`synced_at`](Self::synced_at).
    #[serde(rename = "companyUpdatesSyncedAt")]
    pub company_updates_synced_at: Option<DateTime<Utc>>,
    /// Last time at which everything new at Google had been carried to the CRM. See [`synced_at`](Self::synced_at).
    #[serde(rename = "googleUpdatesSyncedAt")]
    pub google_updates_synced_at: Option<DateTime<Utc>>,
    /// True if the Google case has an outage comment, and no later notice that syncing has resumed.
    #[serde(rename = "outageCommentSentToGoogle")]
    pub outage_comment_sent_to_google: bool,
    /// True if the company case has an outage comment, and no later notice that syncing has resumed.
    #[serde(rename = "outageCommentSentToCompany")]
    pub outage_comment_sent_to_company: bool,
    /// Priority that the tolerance and the urgency of the pair depend on: at first that of the mapped case, later the one that was last set
    /// or agreed on. The merge base is `PairState::agreed_priority` (`R18`: priority).
    pub priority: Option<Priority>,

    // State for the rules of part 2 of `docs/design.md`.
    /// Time of creation of the mapping. A stamp that is null counts from here (`R22`: "recently added" has an end).
    pub created_at: DateTime<Utc>,
    /// Side on which the pair began: the other case was created from this side's case, or adopted.
    pub origin: Side,
    /// Time at which both IDs became known.
    pub linked_at: Option<DateTime<Utc>>,
    /// Dirty mark of each side (`R7`: dirty sides).
    pub dirty: Sides<Option<Dirty>>,
    /// Last update time of each case when a sync last carried all of it. A poll that finds another value marks the side as dirty.
    pub carried_updated_at: Sides<Option<DateTime<Utc>>>,
    /// Lease of the task that works on the pair now (`R12`: lease).
    pub lease: Option<Lease>,
    /// Ledger of the items that the connector wrote (`R14`: copies are known by ID).
    pub ledger: Ledger,
    /// Write-ahead records of comments and attachments whose outcome is not known yet (`R13`: unknown write outcome).
    pub pending: Vec<Pending>,
    /// Write-ahead record of the creation of the counterpart, while its outcome is not known (`R13`: unknown write outcome).
    pub pending_creation: Option<PendingCreation>,
    /// Write-ahead record of the closing or reopening of one case, while its outcome is not known (`R13`: unknown write outcome).
    pub pending_status: Option<PendingStatus>,
    /// True while relinking: the counterpart existed before this mapping, so copies are recognised by their text until the first complete
    /// sync. Also true after a system's clock was set; see `PairState::looks_again`.
    pub relinking: bool,
    /// Number of parts that the description was split into when the creation of the counterpart was begun; 1 if it was not split, or if no
    /// creation was begun.
    pub description_parts: u32,
    /// True if the flag was removed from the company case: nothing is carried until it is set again (`R20`: leaving).
    pub paused: bool,
    /// Side whose case no longer exists, which has ended the pair (`R20`: leaving).
    pub gone: Option<Side>,
    /// True for a side whose case was reopened after the pair was closed, and has the notice that the other case stays closed (`R19`:
    /// status). The notice is posted once.
    pub reopen_refused: Sides<bool>,
    /// Error of the last sync, for people; no bodies, no secrets.
    pub last_error: Option<String>,
    /// State for the rules of part 3 of `docs/design.md`.
    pub state: Box<PairState>,
    /// Number of changes so far, for compare-and-swap. Only the store changes it.
    pub version: u64,
}

impl CaseMapping {
    /// Creates the mapping for a case that a poll, or a person, found at `now`. It is not stored yet.
    ///
    /// As documented, the side of the case has no stamp and is dirty, and the other side counts as synced as of now.
    #[must_use]
    pub fn first_seen(
        case: FirstSeen,
        priority: Option<Priority>,
        case_updated_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Self {
        let side = case.side();
        let (google_case_name, company_case_id) = match case {
            FirstSeen::Google(name) => (Some(name), None),
            FirstSeen::Company(id) => (None, Some(id)),
        };
        let mut mapping = Self {
            id: MappingId(0),
            google_case_name,
            company_case_id,
            new_content_at: now,
            resolved_at: None,
            company_updates_synced_at: None,
            google_updates_synced_at: None,
            outage_comment_sent_to_google: false,
            outage_comment_sent_to_company: false,
            priority,
            created_at: now,
            origin: side,
            linked_at: None,
            dirty: Sides::default(),
            carried_updated_at: Sides::default(),
            lease: None,
            ledger: Ledger::default(),
            pending: Vec::new(),
            pending_creation: None,
            pending_status: None,
            relinking: false,
            description_parts: 1,
            paused: false,
            gone: None,
            reopen_refused: Sides { google: false, company: false },
            last_error: None,
            state: Box::new(PairState::new()),
            version: 0,
        };
        mapping.move_stored_synced_at(side.other(), now);
        // No listing was read for that stamp, so the first one starts at the beginning, whichever clock the stamp is by (R36: clock skew).
        mapping.state.read_until[side.other()] =
            Sides { google: Some(DateTime::UNIX_EPOCH), company: Some(DateTime::UNIX_EPOCH) };
        mapping.dirty[side] = Some(Dirty { case_updated_at, ..Dirty::since(now) });
        mapping
    }

    /// Notes that a sync failed at `now`.
    pub fn failed(&mut self, error: String, now: DateTime<Utc>) {
        let before = self.state.failing.take();
        self.last_error = Some(error);
        self.state.failing = Some(Box::new(Failing {
            since: before.as_ref().map_or(now, |failing| failing.since),
            last_at: now,
            tries: before.as_ref().map_or(0, |failing| failing.tries).saturating_add(1),
            hangs: 0,
            repeats: before.is_some_and(|failing| failing.repeats),
            remedy: None,
        }));
    }

    /// Notes that a sync failed at `now` because a call got no answer (`R37`: nobody waits for the slowest).
    pub fn hung(&mut self, error: String, now: DateTime<Utc>) {
        let before = self.state.failing.as_ref().map_or(0, |failing| failing.hangs);
        self.failed(error, now);
        if let Some(failing) = &mut self.state.failing {
            failing.hangs = before.saturating_add(1);
        }
    }

    /// Notes that a sync ended well.
    pub fn succeeded(&mut self) {
        self.last_error = None;
        self.state.failing = None;
    }

    /// Returns the order of an operator that keeps the pair from being synced: a pause, or its end.
    #[must_use]
    pub fn held(&self) -> Option<&Order> {
        self.state.unlinked.as_deref().or(self.state.operator_pause.as_deref())
    }

    /// Returns true if both IDs are known.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        self.google_case_name.is_some() && self.company_case_id.is_some()
    }

    /// Returns true if the case of that side is known.
    #[must_use]
    pub fn has(&self, side: Side) -> bool {
        match side {
            Side::Google => self.google_case_name.is_some(),
            Side::Company => self.company_case_id.is_some(),
        }
    }

    /// Returns the case's ID on that side: the full name at Google, the ID in the CRM.
    #[must_use]
    pub fn case_id(&self, side: Side) -> Option<&str> {
        match side {
            Side::Google => self.google_case_name.as_ref().map(GoogleCaseName::as_str),
            Side::Company => self.company_case_id.as_ref().map(CompanyCaseId::as_str),
        }
    }

    /// Returns the stored stamp, `googleUpdatesSyncedAt` or `companyUpdatesSyncedAt`: the last time that a sync had carried everything of
    /// that side.
    #[must_use]
    pub fn stored_synced_at(&self, side: Side) -> Option<DateTime<Utc>> {
        match side {
            Side::Google => self.google_updates_synced_at,
            Side::Company => self.company_updates_synced_at,
        }
    }

    /// Moves the stored stamp forward to `at`; never back.
    pub fn move_stored_synced_at(&mut self, side: Side, at: DateTime<Utc>) {
        let stamp = self.stored_stamp_mut(side);
        *stamp = (*stamp).max(Some(at));
    }

    fn stored_stamp_mut(&mut self, side: Side) -> &mut Option<DateTime<Utc>> {
        match side {
            Side::Google => &mut self.google_updates_synced_at,
            Side::Company => &mut self.company_updates_synced_at,
        }
    }

    /// Records that everything of `side` was carried, with each system read up to `read` in its own time (`R15`: one horizon for both;
    /// `R36`: clock skew).
    pub fn carried(&mut self, side: Side, at: DateTime<Utc>, read: Sides<DateTime<Utc>>) {
        self.move_stored_synced_at(side, at);
        self.state.read_until[side] = Sides { google: Some(read.google), company: Some(read.company) };
    }

    /// Records the time of last update that `side`'s case was read with. `shown` is the one that a poll has shown: a case that was read before
    /// any poll has shown its update may never be shown in time for its rechecks (`R8`: idle cases).
    pub fn note_update(&mut self, side: Side, read: Option<DateTime<Utc>>, shown: Option<DateTime<Utc>>) {
        if self.carried_updated_at[side] != read || shown == read {
            self.state.read_unshown[side] = read.is_some() && shown != read;
        }
        self.carried_updated_at[side] = read;
    }

    /// Moves times in the future back to `now`, since a clock that was ahead wrote them (`R36`: clock skew). Times up to `ahead` after
    /// `now` are kept: for an outage notice, the latest time at which it may be sent is recorded in advance. Returns true if anything was
    /// changed.
    pub fn bring_back(&mut self, now: DateTime<Utc>, ahead: Duration) -> bool {
        let before = self.clone();
        let latest = now + ahead;
        let back = |at: &mut DateTime<Utc>| {
            if *at > latest {
                *at = now;
            }
        };
        for side in Side::BOTH {
            self.stored_stamp_mut(side).iter_mut().for_each(back);
            self.dirty[side].iter_mut().for_each(|waiting| back(&mut waiting.since));
            self.state.missing[side].iter_mut().for_each(|missing| {
                back(&mut missing.since);
                back(&mut missing.read_at);
            });
            self.state.read_only[side].iter_mut().for_each(|read_only| {
                back(&mut read_only.since);
                back(&mut read_only.tried_at);
            });
        }
        back(&mut self.new_content_at);
        back(&mut self.created_at);
        self.linked_at.iter_mut().for_each(back);
        self.pending.iter_mut().for_each(|pending| back(&mut pending.attempted_at));
        self.pending_creation.iter_mut().for_each(|creation| back(&mut creation.attempted_at));
        self.pending_status.iter_mut().for_each(|status| back(&mut status.attempted_at));
        self.state.values_sent_at().for_each(back);
        self.state.edits.times().for_each(back);
        self.state.refusals.iter_mut().for_each(|refusal| {
            back(&mut refusal.since);
            back(&mut refusal.tried_at);
        });
        *self != before
    }

    /// Returns the effective stamp (`R8`: idle cases). A clean side counts as synced as of its last poll; a dirty side counts as synced as
    /// of its last poll before the change.
    ///
    /// A side without a stored stamp has no effective stamp while it is dirty, while the pair is not linked, or during relinking: it is not
    /// known then what was carried before this mapping.
    #[must_use]
    pub fn synced_at(&self, side: Side, global: &Global) -> Option<DateTime<Utc>> {
        let stored = self.stored_synced_at(side);
        match self.dirty[side] {
            None if stored.is_some() || (self.is_linked() && !self.relinking) => {
                stored.max(global.last_polled_at(side))
            }
            Some(waiting) if stored.is_some() => stored.max(Some(waiting.since)),
            None | Some(_) => stored,
        }
    }

    /// Marks a side as dirty at `now`, since the time at which it was last known to be in step. An existing mark keeps its time. Returns
    /// the mark.
    pub fn wait(&mut self, side: Side, global: &Global, now: DateTime<Utc>) -> &mut Dirty {
        let since = self.synced_at(side, global).unwrap_or(now);
        self.dirty[side].get_or_insert(Dirty { marked_at: Some(now), ..Dirty::since(since) })
    }

    /// Returns true if that side's case has an outage comment, and no later notice that syncing has resumed.
    #[must_use]
    pub fn outage_comment_sent_to(&self, side: Side) -> bool {
        match side {
            Side::Google => self.outage_comment_sent_to_google,
            Side::Company => self.outage_comment_sent_to_company,
        }
    }

    /// Sets the flag that `outage_comment_sent_to` returns.
    pub fn set_outage_comment_sent_to(&mut self, side: Side, sent: bool) {
        match side {
            Side::Google => self.outage_comment_sent_to_google = sent,
            Side::Company => self.outage_comment_sent_to_company = sent,
        }
    }

    /// Starts relinking, since the counterpart turned out to exist already: copies are recognised by their text until the first complete
    /// sync, and nothing is known to have been carried. The stamps are cleared too. The stamp that a new mapping gets for the side without
    /// a case means that there is nothing to carry there, which does not hold for a case that people could already write on.
    pub fn recover(&mut self) {
        self.relinking = true;
        self.google_updates_synced_at = None;
        self.company_updates_synced_at = None;
        self.state.read_until = Sides::default();
        self.state.forgotten_until = Sides::default();
        // A relinked pair has no merge base: the values of either side may be its defaults (R30: merge base).
        self.state.agreed_priority = None;
        self.state.agreed_closed = None;
        self.state.titles = self.state.titles.begun_anew(|_| true);
        self.state.shown = Shown::default();
        self.state.edits = Edits::default();
    }

    /// Starts relinking with a counterpart that was found. `created` is true if an earlier attempt of the connector had begun to create it: then
    /// it was open and had the values of its original, and what a person has changed since is a change (`R30`: merge base).
    pub fn recover_found(&mut self, created: bool) {
        let titles = self.state.titles.created.take();
        self.recover();
        if created {
            self.born_open();
            self.state.titles.created = titles;
        } else {
            self.state.told_priority = Sides::default();
        }
    }

    /// Returns the company case as it was last read, if the pair still has that case.
    #[must_use]
    pub fn known_company_case(&self) -> Option<&KnownCase> {
        let id = self.company_case_id.as_ref()?;
        self.state.company_case.as_ref().filter(|known| known.id == id.as_str())
    }

    /// Returns the name of that side's case for people: `10003 (SUP-3, https://example.atlassian.net/browse/SUP-3)`, as far as it is known
    /// without reading the case. Only the company case has its address in it.
    #[must_use]
    pub fn name_for_people(&self, side: Side) -> Option<String> {
        let id = self.case_id(side)?;
        let known = self.known_company_case().filter(|_| side == Side::Company);
        let known =
            known.map(|known| (known.key.as_deref().filter(|key| *key != id), known.address.as_deref()));
        Some(match known {
            Some((Some(key), Some(address))) => format!("{id} ({key}, {address})"),
            Some((Some(name), None) | (None, Some(name))) => format!("{id} ({name})"),
            Some((None, None)) | None => id.to_owned(),
        })
    }

    /// True if a person may mean this pair by `text`: the ID, key or address of its company case, as far as they are known; the name,
    /// number or address of its Google case.
    #[must_use]
    pub fn is_called(&self, text: &str) -> bool {
        let text = text.trim().trim_end_matches('/');
        let company = self.company_case_id.as_ref().is_some_and(|id| id.as_str() == text)
            || self.known_company_case().is_some_and(|known| {
                known.key.as_ref().is_some_and(|key| key.eq_ignore_ascii_case(text))
                    || known.address.as_ref().is_some_and(|address| address.trim_end_matches('/') == text)
            });
        let google = self.google_case_name.as_ref().is_some_and(|name| {
            let named = GoogleCaseName::parse(text).is_ok_and(|other| other.number() == name.number());
            named || name.number() == text || name.address() == text
        });
        company || google
    }

    /// Forgets the notices on that side's case and its refusals: the pair continues with another case, which has none of them (`R32`:
    /// closed is not solved).
    pub fn forget_told(&mut self, side: Side) {
        self.set_outage_comment_sent_to(side, false);
        self.reopen_refused[side] = false;
        let state = &mut self.state;
        // A priority that the other side was told is one that the former case held.
        state.told_priority = Sides::default();
        state.priority_sent_at[side] = None;
        state.unheld_priority[side] = None;
        state.unheld_at[side] = None;
        state.titles = state.titles.begun_anew(|kept| kept != side);
        state.title_words[side] = TitleWords::default();
        state.edits = Edits::default();
        state.missing[side] = None;
        state.read_only[side] = None;
        state.scope[side] = None;
        state.refusals.retain(|refusal| refusal.side != side);
        if side == Side::Company {
            // Nothing of Google's state stands on the other case yet, and its people have set its status.
            state.turn = Turn::default();
            state.shown = Shown::default();
            // A request that was sent may still arrive.
            state.escalation = Escalation { sent_at: state.escalation.sent_at, ..Escalation::default() };
        }
    }

    /// Records that the connector created the counterpart, and created it open. So if the other case is closed, a person closed it (`R30`:
    /// merge base).
    pub fn born_open(&mut self) {
        self.state.agreed_closed = Some(false);
    }

    /// Records the result of a write: removes its write-ahead record and adds it to the ledger. Also sets the flags for outage comments,
    /// refused reopenings and other notices, independent of which task finds that the notice was written.
    pub fn record(&mut self, entry: Entry) {
        let pending = self.pending.len();
        self.pending.retain(|pending| pending.side != entry.side || pending.source != entry.source);
        if pending > self.pending.len() || !self.state.looks_again {
            self.note(&entry);
        }
        let note = match &entry.source {
            Source::Edit { id, number, .. } => Some((entry.side, id.clone(), *number)),
            Source::Comment { .. }
            | Source::Attachment { .. }
            | Source::Description { .. }
            | Source::Notice(_) => None,
        };
        self.ledger.record(entry);
        if let Some((side, id, number)) = note {
            let ledger = &self.ledger;
            self.state.edits.settle(side.other(), &id, number, |part| {
                ledger.has_copy(side, &Source::Edit { id: id.clone(), number, part })
            });
        }
    }

    /// Records a notice that was found again by its text, or a copy under the other ID of its original. Write-ahead records are kept: one with
    /// the same words belongs to another write (`R13`: unknown write outcome). The flags are kept if a system's clock was set, since the
    /// notices on the cases are known then (`R36`: clock skew), and if a later notice of the same kind is known: a pair may continue with
    /// another case on one side only.
    pub fn recognise(&mut self, entry: Entry) {
        if !self.state.looks_again && !self.is_outdated(&entry) {
            self.note(&entry);
        }
        self.ledger.record(entry);
    }

    /// Returns true if the ledger has a later notice that says the same of its case, or the contrary.
    fn is_outdated(&self, entry: &Entry) -> bool {
        let is_about_outage =
            |source: &Source| matches!(source, Source::Notice(Notice::Outage | Notice::Resumed));
        let is_about_end = |source: &Source| {
            matches!(source, Source::Notice(Notice::CounterpartGone | Notice::CounterpartBack))
        };
        self.ledger.entries().any(|known| {
            let is_same = (is_about_outage(&known.source) && is_about_outage(&entry.source))
                || (is_about_end(&known.source) && is_about_end(&entry.source));
            is_same && known.side == entry.side && known.written_at > entry.written_at
        })
    }

    /// Sets the flags that follow from an entry, unless the ledger already contains it.
    fn note(&mut self, entry: &Entry) {
        if self.ledger.wrote(entry.side, entry.kind, &entry.id) {
            return;
        }
        match entry.source {
            Source::Notice(Notice::Outage) => self.set_outage_comment_sent_to(entry.side, true),
            Source::Notice(Notice::Resumed) => self.set_outage_comment_sent_to(entry.side, false),
            // On an open pair, the notice belongs to an earlier reopening.
            Source::Notice(Notice::CannotReopen) if self.resolved_at.is_some() => {
                self.reopen_refused[entry.side] = true;
            }
            Source::Notice(Notice::CounterpartGone) if self.is_linked() && !self.relinking => {
                self.state.gone_told = true;
            }
            Source::Notice(Notice::CounterpartBack) => self.state.gone_told = false,
            Source::Notice(Notice::LeftOpen) => self.state.left_open_told = true,
            Source::Notice(Notice::NotEscalated) => self.state.escalation.told = true,
            Source::Notice(Notice::Conflict) => {
                if let Some(conflict) = &mut self.state.conflict {
                    conflict.told = true;
                }
            }
            Source::Notice(Notice::ReadOnly) => {
                if let Some(read_only) = &mut self.state.read_only[entry.side.other()] {
                    read_only.told = true;
                }
            }
            Source::Notice(
                Notice::NowSyncing
                | Notice::CannotReopen
                | Notice::CounterpartGone
                | Notice::GivenUp
                | Notice::Merged,
            )
            | Source::Comment { .. }
            | Source::Attachment { .. }
            | Source::Description { .. }
            | Source::Edit { .. } => {}
        }
    }

    /// Removes the ledger entries that no listing can reach any more. Does nothing while the outcome of a write is unknown: the listing that
    /// looks for its result begins where the ledger was forgotten, which has to be before the write (`R13`: unknown write outcome). Keeps the
    /// copies of notes that have yet to be marked as carried, since only the ledger tells that they were. Removes the texts of comments of
    /// which no attempt has carried a part, since a known text then stands for a forgotten copy.
    pub fn forget_before(&mut self, horizons: Sides<Option<DateTime<Utc>>>) {
        if self.pending.is_empty() {
            let unmarked = &self.state.shown.unmarked;
            let awaits_mark = |entry: &Entry| match &entry.source {
                Source::Comment { id, .. } => entry.side == Side::Google && unmarked.contains(id),
                Source::Attachment { .. }
                | Source::Description { .. }
                | Source::Notice(_)
                | Source::Edit { .. } => false,
            };
            for side in Side::BOTH {
                let (ledger, forgotten) = (&self.ledger, self.state.forgotten_until[side]);
                self.state.edits.known[side].retain(|id, known| {
                    let created_at = Some(known.created_at);
                    created_at < forgotten
                        || created_at >= horizons[side]
                        || ledger.has_part_of(side.other(), id)
                });
            }
            self.ledger.forget_unwanted(horizons, awaits_mark);
            self.state.forgotten_until = horizons;
        }
    }

    /// Returns the write-ahead record of a notice about an outage, or about its end, on that side (`R13`: unknown write outcome).
    #[must_use]
    pub fn pending_outage_notice(&self, side: Side) -> Option<&Pending> {
        self.pending.iter().find(|pending| pending.side == side && pending.is_about_an_outage())
    }

    /// Returns true if `detect-outages` has to check the pair even while the polls are on time (`R8`: idle cases). That is so if a side is
    /// dirty, if an outage comment is posted, if an outage notice has no outcome yet, if a case is read-only and tried daily (`R33`: final
    /// refusals), if a note about an edit is due later, or if the pair was never linked. A pair that an operator has ended needs none. Stores
    /// keep the result as an indexed property.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        if self.state.unlinked.is_some() {
            return false;
        }
        Side::BOTH.into_iter().any(|side| {
            self.dirty[side].is_some()
                || self.outage_comment_sent_to(side)
                || self.pending_outage_notice(side).is_some()
                || self.state.read_only[side].is_some()
                || self.state.edits.owes(side)
        }) || !self.is_linked()
    }

    /// Returns true if the pair is paused and no poll has found the company case since. Polls find only flagged cases, so finding the case
    /// would mean that its flag is set again (`R20`: leaving).
    #[must_use]
    pub fn is_dormant(&self) -> bool {
        let found = self.dirty[Side::Company].is_some_and(|waiting| waiting.case_updated_at.is_some());
        self.paused && !found
    }

    /// Pauses the pair, since its company case was read without the flag (`R20`: leaving). Nothing is carried until the flag is set again.
    /// Both sides are marked as dirty: they have to be read then, and no stamp may move meanwhile. `waited` is the dirty mark of the
    /// company side from before the case was read.
    pub fn pause(&mut self, waited: Option<Dirty>, global: &Global, now: DateTime<Utc>) {
        self.paused = true;
        let unchanged = self.dirty[Side::Company] == waited;
        for side in Side::BOTH {
            self.wait(side, global, now);
        }
        if let Some(waiting) = self.dirty[Side::Company].as_mut().filter(|_| unchanged) {
            waiting.case_updated_at = None;
        }
    }

    /// Resumes a pair that an operator has paused or ended. If it was ended, both sides are marked as dirty since they were last in step:
    /// everything that was written in between is carried. Returns false if there was no such order.
    pub fn resume_held(&mut self, now: DateTime<Utc>) -> bool {
        let was_unlinked = self.state.unlinked.take().is_some();
        if was_unlinked {
            for side in Side::BOTH {
                let since = self.stored_synced_at(side).unwrap_or(self.created_at).min(now);
                self.dirty[side] = Some(Dirty { marked_at: Some(now), ..Dirty::since(since) });
            }
        }
        self.state.operator_pause.take().is_some() || was_unlinked
    }

    /// Ends the pair by the order of an operator, although both cases exist. Nothing is carried any more, and nothing counts as late.
    pub fn unlink(&mut self, order: Order) {
        for side in Side::BOTH {
            let seen = self.dirty[side].take().and_then(|waiting| waiting.case_updated_at);
            self.carried_updated_at[side] = seen.or(self.carried_updated_at[side]);
        }
        self.succeeded();
        self.state.operator_pause = None;
        self.state.unlinked = Some(Box::new(order));
    }

    /// Returns true if the pair is not resolved, and so is one of the "open mappings" of the documented stamping.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.resolved_at.is_none()
    }

    /// Records that all unanswered writes of a sync were sent no later than `at`, so that the in-flight window starts then (`R13`: unknown
    /// write outcome). A write is recorded before it is sent, and it may have to wait long for its turn.
    pub fn sent_no_later_than(&mut self, at: DateTime<Utc>) {
        for pending in self.pending.iter_mut().filter(|pending| !pending.is_about_an_outage()) {
            pending.attempted_at = pending.attempted_at.max(at);
        }
        if let Some(creation) = &mut self.pending_creation {
            creation.attempted_at = creation.attempted_at.max(at);
        }
        if let Some(status) = &mut self.pending_status {
            status.attempted_at = status.attempted_at.max(at);
        }
        for sent_at in self.state.values_sent_at() {
            *sent_at = (*sent_at).max(at);
        }
    }

    /// Returns true if the outcome of a write is not known yet (`R13`: unknown write outcome).
    #[must_use]
    pub fn awaits_outcome(&self) -> bool {
        !self.pending.is_empty()
            || self.pending_creation.is_some()
            || self.pending_status.is_some()
            || self.state.priority_sent_at != Sides::default()
            || self.state.turn.awaits_outcome()
            || self.state.titles.awaits_outcome()
            || self.state.shown.awaits_outcome()
            || self.state.subscribers_sent_at.is_some()
            || self.state.escalation.sent_at.is_some()
    }

    /// Moves the times of writes without an answer forward, if our clock was set ahead since they were recorded (`R36`: clock skew): else
    /// their in-flight windows would end early, and they would be sent again. The clock was set if both systems' leads over it have
    /// shrunk alike. `skew` holds the leads at `now`. A time that would then lie in the future was recorded by the clock as it is now, and
    /// stays.
    pub fn follow_host_clock(&mut self, skew: Sides<Duration>, now: DateTime<Utc>) {
        if !self.awaits_outcome() {
            return;
        }
        let set_ahead = |side: Side| {
            self.state.sent_at_skew[side].and_then(Duration::try_seconds).map(|then| then - skew[side])
        };
        let (Some(google), Some(company)) = (set_ahead(Side::Google), set_ahead(Side::Company)) else {
            return;
        };
        let by = google.min(company);
        if by <= SET_AT_LEAST || google.max(company) - by > SET_AT_LEAST {
            return;
        }
        self.note_skew(skew);
        let pending = self.pending.iter_mut().map(|pending| &mut pending.attempted_at);
        let creation = self.pending_creation.iter_mut().map(|creation| &mut creation.attempted_at);
        let status = self.pending_status.iter_mut().map(|status| &mut status.attempted_at);
        let values = self.state.values_sent_at();
        for at in pending.chain(creation).chain(status).chain(values) {
            let moved = at.checked_add_signed(by).filter(|moved| *moved - now <= RECORDED_AHEAD);
            *at = moved.unwrap_or(*at);
        }
    }

    /// Prepares for the write-ahead record of a write that is sent at `now`, while the systems' clocks have these leads over ours (`R36`:
    /// clock skew).
    pub fn begins_to_write(&mut self, skew: Sides<Duration>, now: DateTime<Utc>) {
        self.follow_host_clock(skew, now);
        self.note_skew(skew);
    }

    fn note_skew(&mut self, skew: Sides<Duration>) {
        for side in Side::BOTH {
            self.state.sent_at_skew[side] = Some(skew[side].num_seconds());
        }
    }

    /// Returns true if another task may take the lease at `now`. `length` is the lifetime of a lease: one that ends later than that was
    /// taken by a clock that was ahead, and counts as expired (`R36`: clock skew).
    #[must_use]
    pub fn lease_is_free(&self, now: DateTime<Utc>, length: Duration) -> bool {
        self.lease.as_ref().is_none_or(|lease| lease.expires_at <= now || lease.expires_at > now + length)
    }
}

/// Case that a mapping begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstSeen {
    /// Case that was found at Google.
    Google(GoogleCaseName),
    /// Case that was found in the CRM.
    Company(CompanyCaseId),
}

impl FirstSeen {
    /// Returns the side on which the case was found.
    #[must_use]
    pub const fn side(&self) -> Side {
        match self {
            Self::Google(_) => Side::Google,
            Self::Company(_) => Side::Company,
        }
    }

    /// Returns the case's ID on its side: the full name at Google, the ID in the CRM.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Google(name) => name.as_str(),
            Self::Company(id) => id.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Duration;

    use super::*;
    use crate::entities::{ItemKind, TitleBegun, TitleDigest, Titles};

    fn at(minute: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::minutes(minute)
    }

    fn mapping() -> CaseMapping {
        let name = GoogleCaseName::parse("organizations/1/cases/2").unwrap();
        CaseMapping::first_seen(FirstSeen::Google(name), None, None, at(0))
    }

    fn notice(notice: Notice) -> Entry {
        Entry {
            side: Side::Company,
            kind: ItemKind::Comment,
            id: "77".to_owned(),
            source: Source::Notice(notice),
            source_at: None,
            written_at: Some(at(1)),
            parts: None,
        }
    }

    fn pending(notice: Notice) -> Pending {
        Pending {
            side: Side::Company,
            kind: ItemKind::Comment,
            source: Source::Notice(notice),
            marker: String::new(),
            digest: None,
            size: None,
            source_at: None,
            attempted_at: at(1),
            parts: None,
        }
    }

    #[test]
    fn a_notice_that_is_found_again_changes_no_flag_if_a_later_one_is_known() {
        let entry = |kind: Notice, id: &str, minute: i64| Entry {
            id: id.to_owned(),
            written_at: Some(at(minute)),
            ..notice(kind)
        };
        let mut mapping = mapping();
        mapping.record(entry(Notice::Resumed, "79", 3));
        mapping.recognise(entry(Notice::Outage, "78", 2));
        assert!(!mapping.outage_comment_sent_to(Side::Company));
        mapping.recognise(entry(Notice::Outage, "80", 4));
        assert!(mapping.outage_comment_sent_to(Side::Company));
    }

    #[test]
    fn the_copy_of_a_note_is_not_forgotten_before_the_note_is_marked() {
        let copy = |id: &str, minute: i64| Entry {
            side: Side::Google,
            id: format!("copy of {id}"),
            source: Source::Comment { id: id.to_owned(), part: 1 },
            source_at: Some(at(minute)),
            written_at: Some(at(minute)),
            parts: Some(1),
            ..notice(Notice::NowSyncing)
        };
        let mut mapping = mapping();
        // Enough to fill a page.
        (0..60).for_each(|number| mapping.record(copy(&number.to_string(), number)));
        mapping.ledger.pack();
        mapping.state.shown.unmarked.insert("7".to_owned());
        mapping.forget_before(Sides { google: Some(at(90)), company: Some(at(90)) });
        assert!(mapping.ledger.has_whole_comment(Side::Google, "7"));
        assert_eq!(mapping.ledger.len(), 1, "all others are forgotten, and their page");
        mapping.state.shown.unmarked.clear();
        mapping.forget_before(Sides { google: Some(at(90)), company: Some(at(90)) });
        assert!(mapping.ledger.is_empty());
    }

    #[test]
    fn writes_without_an_answer_follow_the_hosts_clock_and_no_system() {
        let lead = |google: i64, company: i64| Sides {
            google: Duration::seconds(google),
            company: Duration::seconds(company),
        };
        let day = 86_400;
        for (then, now, moved) in [
            // The host was a day behind, and is right.
            ((day, day + 30), (0, 30), day),
            ((0, 0), (0, 0), 0),
            ((0, 0), (-30, -day), 0),
            // The clock of one system was set, and the host's was set back.
            ((0, day), (0, 0), 0),
            ((0, 0), (day, day), 0),
        ] {
            let mut mapping = mapping();
            let right = at(2) + Duration::seconds(day);
            mapping.begins_to_write(lead(then.0, then.1), at(1));
            mapping.pending.push(pending(Notice::Outage));
            // One that the clock recorded as it is now.
            mapping.pending.push(Pending { attempted_at: right, ..pending(Notice::Resumed) });
            mapping.follow_host_clock(lead(now.0, now.1), right);
            let expected = if moved == day { at(1) + Duration::seconds(day) } else { at(1) };
            assert_eq!(mapping.pending[0].attempted_at, expected, "{then:?} {now:?}");
            assert_eq!(mapping.pending[1].attempted_at, right, "{then:?} {now:?}");
            // Once only.
            mapping.follow_host_clock(lead(now.0, now.1), right);
            assert_eq!(mapping.pending[0].attempted_at, expected, "{then:?} {now:?}");
        }
    }

    #[test]
    fn failures_in_a_row_are_counted_until_a_sync_ends_well() {
        let start = at(0);
        let mut mapping = mapping();
        let failed = |since, last_at, tries| {
            Some(Box::new(Failing { since, last_at, tries, hangs: 0, repeats: false, remedy: None }))
        };
        mapping.failed("a".to_owned(), start);
        assert_eq!(mapping.state.failing, failed(start, start, 1));
        mapping.failed("b".to_owned(), at(5));
        assert_eq!(
            (mapping.last_error.as_deref(), mapping.state.failing.clone()),
            (Some("b"), failed(start, at(5), 2))
        );
        mapping.succeeded();
        assert_eq!((mapping.last_error.as_deref(), mapping.state.failing.clone()), (None, None));
    }

    #[test]
    fn a_pair_that_hangs_is_tried_later_each_time_until_it_answers() {
        let mut mapping = mapping();
        for (hangs, minutes) in [(1, 2), (2, 4), (3, 8), (4, 10), (5, 10)] {
            mapping.hung("no answer".to_owned(), at(hangs));
            let failing = mapping.state.failing.as_deref().cloned().unwrap();
            assert_eq!(i64::from(failing.hangs), hangs);
            assert_eq!(failing.waits_until(), Some(at(hangs) + Duration::minutes(minutes)));
        }
        mapping.failed("it answered 500".to_owned(), at(9));
        assert_eq!(mapping.state.failing.as_deref().and_then(Failing::waits_until), None);
        let stored = serde_json::to_value(mapping.state.failing.clone()).unwrap();
        assert_eq!(stored.get("hangs"), None, "a pair that answers is stored as before");
    }

    #[test]
    fn whoever_finds_a_notice_sets_the_flag_that_it_stands_for() {
        let mut mapping = mapping();
        mapping.record(notice(Notice::Outage));
        assert!(mapping.outage_comment_sent_to(Side::Company));
        assert!(!mapping.outage_comment_sent_to(Side::Google));
        let mut resolved = CaseMapping { resolved_at: Some(at(0)), ..self::mapping() };
        resolved.record(notice(Notice::CannotReopen));
        assert_eq!(resolved.reopen_refused, Sides { google: false, company: true });
        // On an open pair, the notice belongs to an earlier reopening.
        let mut open = self::mapping();
        open.record(notice(Notice::CannotReopen));
        assert_eq!(open.reopen_refused, Sides::default());
    }

    #[test]
    fn what_is_found_to_wait_does_so_since_its_side_was_last_in_step() {
        let global = Global { google_last_polled_at: Some(at(50)), ..Global::default() };
        let mut mapping = mapping();
        mapping.dirty[Side::Google] = None;
        mapping.move_stored_synced_at(Side::Google, at(10));
        for (now, since) in [(60, 50), (70, 50)] {
            assert_eq!(mapping.wait(Side::Google, &global, at(now)).since, at(since));
            assert_eq!(mapping.synced_at(Side::Google, &global), Some(at(50)));
        }
        let later = Global { google_last_polled_at: Some(at(80)), ..global };
        assert_eq!(mapping.synced_at(Side::Google, &later), Some(at(50)), "polls change nothing about it");
        // A side that was never in step is dirty since now.
        mapping.recover();
        mapping.dirty[Side::Google] = None;
        assert_eq!(mapping.wait(Side::Google, &later, at(90)).since, at(90));
        assert_eq!(mapping.synced_at(Side::Google, &later), None);
    }

    #[test]
    fn a_title_without_an_answer_is_waited_for_though_the_company_case_is_another_one() {
        let sent = |side: Side, sent_at: Option<DateTime<Utc>>| {
            let mut mapping = mapping();
            let title = TitleDigest::of("The new one");
            let from = Sides { google: TitleDigest::of("The old one"), company: title.clone() };
            let wanted = title.clone();
            let begun = TitleBegun { side, title, wanted, from: from.clone(), sent_at, detached: false };
            mapping.state.titles = Titles { base: Some(from), setting: Some(begun), ..Titles::default() };
            // As a merge in the company's system does.
            mapping.recover();
            mapping.forget_told(Side::Company);
            mapping
        };
        let mapping = sent(Side::Google, Some(at(5)));
        let setting = mapping.state.titles.setting.as_ref().unwrap();
        assert!(setting.detached && mapping.awaits_outcome() && mapping.state.titles.base.is_none());
        // Nothing comes of a title for the former company case, nor of one that was answered.
        assert_eq!(sent(Side::Company, Some(at(5))).state.titles, Titles::default());
        assert_eq!(sent(Side::Google, None).state.titles, Titles::default());
    }

    #[test]
    fn nothing_is_forgotten_while_a_write_has_no_outcome() {
        let horizons = Sides { google: Some(at(100)), company: Some(at(100)) };
        let mut mapping = mapping();
        let source = Source::Comment { id: "7".to_owned(), part: 1 };
        mapping.record(Entry { source, source_at: Some(at(1)), ..notice(Notice::Resumed) });
        mapping.pending.push(pending(Notice::Outage));
        mapping.forget_before(horizons);
        assert_eq!(mapping.ledger.len(), 1);
        mapping.pending.clear();
        mapping.forget_before(horizons);
        assert_eq!(mapping.ledger.len(), 0);
    }

    #[test]
    fn a_lease_says_nothing_about_what_detect_outages_began() {
        let mut mapping = mapping();
        mapping.pending = vec![pending(Notice::Outage), pending(Notice::NowSyncing)];
        mapping.sent_no_later_than(at(9));
        let times: Vec<_> = mapping.pending.iter().map(|pending| pending.attempted_at).collect();
        assert_eq!(times, [at(1), at(9)]);
    }
}
