//! `CaseMapping`: what ties a Google case to a company case, and how far their sync has come.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::{
    CompanyCaseId, Entry, Global, GoogleCaseName, Ledger, MappingId, Notice, PairState, Pending, Priority,
    Side, Sides, Source,
};

/// Something on one side waits to be carried to the other (`R7`).
///
/// Set by whoever detects it. A sync clears it only if it is still the value that the sync read before it looked at
/// the case, so clocks play no part in that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// As of when the side is not in step: when it last was, before this was first detected.
    pub since: DateTime<Utc>,
    /// The case's time of last update, as it was when this was last detected.
    pub case_updated_at: Option<DateTime<Utc>>,
}

/// The right to work on a case (`R12`). Taken by compare-and-swap; expires by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it: unique for each run of a task.
    pub holder: String,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

/// The creation of the counterpart was begun and its outcome is not known (`R13`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingCreation {
    /// Where the counterpart was to be created.
    pub side: Side,
    /// When, by our clock.
    pub attempted_at: DateTime<Utc>,
}

/// A case was to be closed or opened again, and whether it was is not known (`R13`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingStatus {
    /// Whose case.
    pub side: Side,
    /// Whether it was to be closed.
    pub closed: bool,
    /// When, by our clock.
    pub attempted_at: DateTime<Utc>,
}

/// One for each synchronised pair of cases; deleted by cleanup.
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
    /// Last time that new content was detected on either side.
    #[serde(rename = "newContentAt")]
    pub new_content_at: DateTime<Utc>,
    /// When the case was resolved; cleanup goes by it. Also the base of the three-way merge of the status (`R19`).
    #[serde(rename = "resolvedAt")]
    pub resolved_at: Option<DateTime<Utc>>,
    /// Last time that everything new in the CRM had been carried to Google. See [`synced_at`](Self::synced_at).
    #[serde(rename = "companyUpdatesSyncedAt")]
    pub company_updates_synced_at: Option<DateTime<Utc>>,
    /// Last time that everything new at Google had been carried to the CRM. See [`synced_at`](Self::synced_at).
    #[serde(rename = "googleUpdatesSyncedAt")]
    pub google_updates_synced_at: Option<DateTime<Utc>>,
    /// An outage comment stands on the Google case.
    #[serde(rename = "outageCommentSentToGoogle")]
    pub outage_comment_sent_to_google: bool,
    /// An outage comment stands on the company case.
    #[serde(rename = "outageCommentSentToCompany")]
    pub outage_comment_sent_to_company: bool,
    /// The priority that both sides last agreed on: the base of the three-way merge (`R18`).
    pub priority: Option<Priority>,

    // What the rules of part 2 need.
    /// When the mapping was made. A stamp that is null counts from here (`R22`).
    pub created_at: DateTime<Utc>,
    /// On which side the pair began: the other case was created from it, or adopted.
    pub origin: Side,
    /// When both IDs became known.
    pub linked_at: Option<DateTime<Utc>>,
    /// What waits on each side to be carried (`R7`).
    pub waiting: Sides<Option<Waiting>>,
    /// Each case's time of last update when a sync last carried all of it: a poll that sees another one has found news.
    pub carried_updated_at: Sides<Option<DateTime<Utc>>>,
    /// Who works on the case now (`R12`).
    pub lease: Option<Lease>,
    /// What the connector wrote (`R14`).
    pub ledger: Ledger,
    /// Writes whose outcome is not known (`R13`).
    pub pending: Vec<Pending>,
    /// The creation of the counterpart, if its outcome is not known (`R13`).
    pub pending_creation: Option<PendingCreation>,
    /// The closing or reopening of one of the cases, if its outcome is not known (`R13`).
    pub pending_status: Option<PendingStatus>,
    /// The counterpart existed before this mapping: until the first complete sync, copies are recognised by their text.
    pub recovering: bool,
    /// Into how many parts the description was split when the counterpart's creation was begun; 1 if it was not.
    pub description_parts: u32,
    /// The flag was taken away: nothing is carried until it is back (`R20`).
    pub paused: bool,
    /// On which side the case no longer exists (`R20`).
    pub gone: Option<Side>,
    /// On which sides the case was reopened after the pair was closed, in vain, and was told so, once (`R19`).
    pub reopen_refused: Sides<bool>,
    /// What went wrong in the last sync, for people; no bodies, no secrets.
    pub last_error: Option<String>,
    /// What the rules of part 3 need.
    pub state: PairState,
    /// Counts the changes; compare-and-swap goes by it. The store's business.
    pub version: u64,
}

impl CaseMapping {
    /// The mapping that a poll, or a person, makes for a case of `side` first seen at `now`; not stored yet.
    ///
    /// As documented: the side of the case has not been synced and has something waiting, the other is synced as of now.
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
            waiting: Sides::default(),
            carried_updated_at: Sides::default(),
            lease: None,
            ledger: Ledger::default(),
            pending: Vec::new(),
            pending_creation: None,
            pending_status: None,
            recovering: false,
            description_parts: 1,
            paused: false,
            gone: None,
            reopen_refused: Sides { google: false, company: false },
            last_error: None,
            state: PairState::new(),
            version: 0,
        };
        mapping.move_stored_synced_at(side.other(), now);
        // Nothing was read for it: its first listing begins at the beginning, whatever clock the stamp is by (R36).
        mapping.state.read_until[side.other()] =
            Sides { google: Some(DateTime::UNIX_EPOCH), company: Some(DateTime::UNIX_EPOCH) };
        mapping.waiting[side] = Some(Waiting { since: now, case_updated_at });
        mapping
    }

    /// Whether both IDs are known.
    #[must_use]
    pub fn is_linked(&self) -> bool {
        self.google_case_name.is_some() && self.company_case_id.is_some()
    }

    /// Whether the case is known on that side.
    #[must_use]
    pub fn has(&self, side: Side) -> bool {
        match side {
            Side::Google => self.google_case_name.is_some(),
            Side::Company => self.company_case_id.is_some(),
        }
    }

    /// The case's name on that side.
    #[must_use]
    pub fn case_id(&self, side: Side) -> Option<&str> {
        match side {
            Side::Google => self.google_case_name.as_ref().map(GoogleCaseName::as_str),
            Side::Company => self.company_case_id.as_ref().map(CompanyCaseId::as_str),
        }
    }

    /// The stored stamp: `googleUpdatesSyncedAt` or `companyUpdatesSyncedAt`, when a sync of that side last ended well.
    #[must_use]
    pub fn stored_synced_at(&self, side: Side) -> Option<DateTime<Utc>> {
        match side {
            Side::Google => self.google_updates_synced_at,
            Side::Company => self.company_updates_synced_at,
        }
    }

    /// Moves the stored stamp on to `at`; never back.
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

    /// Notes that everything of `side` was carried, with each system read up to `read` in its own time (`R15`, `R36`).
    pub fn carried(&mut self, side: Side, at: DateTime<Utc>, read: Sides<DateTime<Utc>>) {
        self.move_stored_synced_at(side, at);
        self.state.read_until[side] = Sides { google: Some(read.google), company: Some(read.company) };
    }

    /// Brings back what lies in the future of the clock that reads it (`R36`): a clock that was ahead is right again. `ahead` is how
    /// far in the future the end of something that was begun may lie. Returns whether anything was changed.
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
            self.waiting[side].iter_mut().for_each(|waiting| back(&mut waiting.since));
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
        self.state.refusals.iter_mut().for_each(|refusal| {
            back(&mut refusal.since);
            back(&mut refusal.tried_at);
        });
        *self != before
    }

    /// The effective stamp (`R8`): with nothing waiting, a side was synced as of its last poll; with something waiting, as of its
    /// last poll before that.
    ///
    /// A side that was never synced has no stamp, whatever the polls say, while it is not linked, or while it is not known what
    /// was carried before there was this mapping.
    #[must_use]
    pub fn synced_at(&self, side: Side, global: &Global) -> Option<DateTime<Utc>> {
        let stored = self.stored_synced_at(side);
        match self.waiting[side] {
            None if stored.is_some() || (self.is_linked() && !self.recovering) => {
                stored.max(global.last_polled_at(side))
            }
            Some(waiting) if stored.is_some() => stored.max(Some(waiting.since)),
            None | Some(_) => stored,
        }
    }

    /// Notes that something waits on a side, of which nothing was known before `now`: it waits since the side was last known
    /// to be in step. If it is known already, since when stays as it is.
    pub fn wait(&mut self, side: Side, global: &Global, now: DateTime<Utc>) -> &mut Waiting {
        let since = self.synced_at(side, global).unwrap_or(now);
        self.waiting[side].get_or_insert(Waiting { since, case_updated_at: None })
    }

    /// Whether the outage comment stands on that side's case.
    #[must_use]
    pub fn outage_comment_sent_to(&self, side: Side) -> bool {
        match side {
            Side::Google => self.outage_comment_sent_to_google,
            Side::Company => self.outage_comment_sent_to_company,
        }
    }

    /// Sets that flag.
    pub fn set_outage_comment_sent_to(&mut self, side: Side, sent: bool) {
        match side {
            Side::Google => self.outage_comment_sent_to_google = sent,
            Side::Company => self.outage_comment_sent_to_company = sent,
        }
    }

    /// The counterpart turned out to exist already: copies are recognised by their text until the first complete sync, and
    /// nothing is known to have been carried. The stamp that a new mapping gets for the side that has no case yet says that
    /// there is nothing to carry there, which does not hold for a case that people could write on.
    pub fn recover(&mut self) {
        self.recovering = true;
        self.google_updates_synced_at = None;
        self.company_updates_synced_at = None;
        self.state.read_until = Sides::default();
        self.state.forgotten_until = Sides::default();
        // A pair that was found has no base: what either side holds may be its default (R30).
        self.state.agreed_priority = None;
        self.state.agreed_closed = None;
    }

    /// Forgets what that side's case was told and what it refused: the pair goes on with another one, which knows nothing of it (`R32`).
    pub fn forget_told(&mut self, side: Side) {
        self.set_outage_comment_sent_to(side, false);
        self.reopen_refused[side] = false;
        let state = &mut self.state;
        state.told_priority[side] = None;
        state.unheld_priority[side] = None;
        state.unheld_at[side] = None;
        state.missing[side] = None;
        state.read_only[side] = None;
        state.scope[side] = None;
        state.refusals.retain(|refusal| refusal.side != side);
    }

    /// The connector created the counterpart, and created it open: if the other case is closed, a person closed it (`R30`).
    pub fn born_open(&mut self) {
        self.state.agreed_closed = Some(false);
    }

    /// Records what a write became: it is no longer pending, it is in the ledger, and the flags say whether an outage comment
    /// stands and whether a reopening was refused, whoever finds that the notice was written.
    pub fn record(&mut self, entry: Entry) {
        let pending = self.pending.len();
        self.pending.retain(|pending| pending.side != entry.side || pending.source != entry.source);
        if pending > self.pending.len() || !self.state.looks_again {
            self.note(&entry);
        }
        self.ledger.record(entry);
    }

    /// Records a notice that was found again by its text. One in the same words that got no answer is another (`R13`), and what stands on the
    /// cases of a pair that looks again is known (`R36`).
    pub fn recognise(&mut self, entry: Entry) {
        if !self.state.looks_again {
            self.note(&entry);
        }
        self.ledger.record(entry);
    }

    /// Notes what something that was not known to be written changes.
    fn note(&mut self, entry: &Entry) {
        if self.ledger.wrote(entry.side, entry.kind, &entry.id) {
            return;
        }
        match entry.source {
            Source::Notice(Notice::Outage) => self.set_outage_comment_sent_to(entry.side, true),
            Source::Notice(Notice::Resumed) => self.set_outage_comment_sent_to(entry.side, false),
            // One that was found with an old pair is of no reopening since.
            Source::Notice(Notice::CannotReopen) if self.resolved_at.is_some() => {
                self.reopen_refused[entry.side] = true;
            }
            Source::Notice(Notice::CounterpartGone) if self.is_linked() && !self.recovering => {
                self.state.gone_told = true;
            }
            Source::Notice(Notice::CounterpartBack) => self.state.gone_told = false,
            Source::Notice(Notice::LeftOpen) => self.state.left_open_told = true,
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
            | Source::Description { .. } => {}
        }
    }

    /// Forgets what no listing can reach any more. Not while the outcome of a write is unknown: a notice is given again and
    /// again in the same words, and an earlier one that was forgotten would look like it (`R13`).
    pub fn forget_before(&mut self, horizons: Sides<Option<DateTime<Utc>>>) {
        if self.pending.is_empty() {
            self.ledger.forget_before(horizons);
            self.state.forgotten_until = horizons;
        }
    }

    /// The notice about an outage, or its end, whose outcome on that side is not known (`R13`).
    #[must_use]
    pub fn pending_outage_notice(&self, side: Side) -> Option<&Pending> {
        self.pending.iter().find(|pending| pending.side == side && pending.is_about_an_outage())
    }

    /// Whether `detect-outages` has to look at it even while the polls are on time (`R8`): something waits, a flag
    /// stands, a notice of its own has no outcome yet, a case takes nothing and is tried daily (`R33`), or it was never linked. Stores
    /// keep this as an indexed property.
    #[must_use]
    pub fn needs_watching(&self) -> bool {
        Side::BOTH.into_iter().any(|side| {
            self.waiting[side].is_some()
                || self.outage_comment_sent_to(side)
                || self.pending_outage_notice(side).is_some()
                || self.state.read_only[side].is_some()
        }) || !self.is_linked()
    }

    /// Whether it is paused, and no poll has found the company case since, which would mean that its flag is back (`R20`).
    #[must_use]
    pub fn rests(&self) -> bool {
        let found = self.waiting[Side::Company].is_some_and(|waiting| waiting.case_updated_at.is_some());
        self.paused && !found
    }

    /// The company case was read at a time when `waited` waited there, and is not flagged: nothing is carried until it is again.
    /// Both sides then have to be looked at, and no stamp may move meanwhile (`R20`).
    pub fn pause(&mut self, waited: Option<Waiting>, global: &Global, now: DateTime<Utc>) {
        self.paused = true;
        let unchanged = self.waiting[Side::Company] == waited;
        for side in Side::BOTH {
            self.wait(side, global, now);
        }
        if let Some(waiting) = self.waiting[Side::Company].as_mut().filter(|_| unchanged) {
            waiting.case_updated_at = None;
        }
    }

    /// Whether it takes part in the documented stamping of "open mappings": not resolved.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.resolved_at.is_none()
    }

    /// Notes that whatever a sync has begun and has no answer to yet was sent no later than `at`: from then on it is waited for
    /// (`R13`). A write begins before it is sent, and it may have to wait long for its turn.
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
    }

    /// Whether somebody else may work on the case at `now`, where leases are taken for `length`: one that ends later than that was
    /// taken by a clock that was ahead, and is over (`R36`).
    #[must_use]
    pub fn lease_is_free(&self, now: DateTime<Utc>, length: Duration) -> bool {
        self.lease.as_ref().is_none_or(|lease| lease.expires_at <= now || lease.expires_at > now + length)
    }
}

/// The case that a mapping begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirstSeen {
    /// Seen at Google.
    Google(GoogleCaseName),
    /// Seen in the CRM.
    Company(CompanyCaseId),
}

impl FirstSeen {
    /// The side it was seen on.
    #[must_use]
    pub const fn side(&self) -> Side {
        match self {
            Self::Google(_) => Side::Google,
            Self::Company(_) => Side::Company,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::Duration;

    use super::*;
    use crate::entities::ItemKind;

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
    fn whoever_finds_a_notice_sets_the_flag_that_it_stands_for() {
        let mut mapping = mapping();
        mapping.record(notice(Notice::Outage));
        assert!(mapping.outage_comment_sent_to(Side::Company));
        assert!(!mapping.outage_comment_sent_to(Side::Google));
        let mut resolved = CaseMapping { resolved_at: Some(at(0)), ..self::mapping() };
        resolved.record(notice(Notice::CannotReopen));
        assert_eq!(resolved.reopen_refused, Sides { google: false, company: true });
        // One that was found with an old pair, which is open, is of no reopening.
        let mut open = self::mapping();
        open.record(notice(Notice::CannotReopen));
        assert_eq!(open.reopen_refused, Sides::default());
    }

    #[test]
    fn what_is_found_to_wait_does_so_since_its_side_was_last_in_step() {
        let global = Global { google_last_polled_at: Some(at(50)), ..Global::default() };
        let mut mapping = mapping();
        mapping.waiting[Side::Google] = None;
        mapping.move_stored_synced_at(Side::Google, at(10));
        for (now, since) in [(60, 50), (70, 50)] {
            assert_eq!(mapping.wait(Side::Google, &global, at(now)).since, at(since));
            assert_eq!(mapping.synced_at(Side::Google, &global), Some(at(50)));
        }
        let later = Global { google_last_polled_at: Some(at(80)), ..global };
        assert_eq!(mapping.synced_at(Side::Google, &later), Some(at(50)), "polls change nothing about it");
        // Of what was never in step, it is only known that it waits now.
        mapping.recover();
        mapping.waiting[Side::Google] = None;
        assert_eq!(mapping.wait(Side::Google, &later, at(90)).since, at(90));
        assert_eq!(mapping.synced_at(Side::Google, &later), None);
    }

    #[test]
    fn nothing_is_forgotten_while_a_write_has_no_outcome() {
        let horizons = Sides { google: Some(at(100)), company: Some(at(100)) };
        let mut mapping = mapping();
        mapping.record(notice(Notice::Resumed));
        mapping.pending.push(pending(Notice::Outage));
        mapping.forget_before(horizons);
        assert_eq!(mapping.ledger.entries().len(), 1);
        mapping.pending.clear();
        mapping.forget_before(horizons);
        assert_eq!(mapping.ledger.entries().len(), 0);
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
