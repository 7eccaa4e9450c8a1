//! Stored form of a [`CaseMapping`], the same in each backend. Each documented property is stored by itself under its documented name. The
//! rest, which is never searched for, is one JSON text.

use std::sync::Arc;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use crate::entities::{
    CaseMapping, CompanyCaseId, Dirty, Entry, GoogleCaseName, Lease, Ledger, LedgerPage, MappingId,
    PairState, Pending, PendingCreation, PendingStatus, PollMemory, Priority, Side, Sides, Source,
};

use super::{MappingFilter, StoreError};

/// Format version of [`Details`]. Raised when an older program must not touch data of a newer one. A new optional field does not need that.
const FORMAT: u32 = 3;
/// Format version of details without notes about edits, which versions without `sync.edits` can read.
const FORMAT_WITHOUT_NOTES: u32 = 2;
/// Format version of details without ledger pages, which version 0.1 can read.
const FORMAT_WITHOUT_PAGES: u32 = 1;

/// Properties of a mapping, without its ID and version, which each backend keeps in its own way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) google_case_name: Option<String>,
    /// Derived: number that makes the Google case unique (`R9`: one mapping per case).
    pub(super) google_case_number: Option<String>,
    pub(super) company_case_id: Option<String>,
    pub(super) new_content_at: DateTime<Utc>,
    pub(super) resolved_at: Option<DateTime<Utc>>,
    pub(super) company_updates_synced_at: Option<DateTime<Utc>>,
    pub(super) google_updates_synced_at: Option<DateTime<Utc>>,
    pub(super) outage_comment_sent_to_google: bool,
    pub(super) outage_comment_sent_to_company: bool,
    pub(super) priority: Option<i64>,
    /// Derived from [`CaseMapping::needs_attention`].
    pub(super) needs_attention: bool,
    /// JSON of [`Details`].
    pub(super) details: String,
}

/// Fields that part 2 of the contract added.
#[derive(Debug, Serialize, Deserialize)]
struct Details {
    format: u32,
    created_at: DateTime<Utc>,
    origin: Side,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    linked_at: Option<DateTime<Utc>>,
    #[serde(default, rename = "waiting")]
    dirty: Sides<Option<Dirty>>,
    #[serde(default)]
    carried_updated_at: Sides<Option<DateTime<Utc>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease: Option<Lease>,
    /// Entries that are in no page.
    #[serde(default)]
    ledger: Vec<Entry>,
    /// Numbers of the ledger's pages, oldest entries first (`R35`: ledger pages).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    ledger_pages: Vec<u64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    next_ledger_page: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pending: Vec<Pending>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending_creation: Option<PendingCreation>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pending_status: Option<PendingStatus>,
    #[serde(default, rename = "recovering")]
    relinking: bool,
    #[serde(default = "one")]
    description_parts: u32,
    #[serde(default)]
    paused: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gone: Option<Side>,
    #[serde(default, deserialize_with = "each_or_both")]
    reopen_refused: Sides<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    #[serde(flatten)]
    state: Box<PairState>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

const fn one() -> u32 {
    1
}

/// Returns the oldest format version that has everything which is to be stored.
fn format_of(ledger: &Ledger, pending: &[Pending]) -> u32 {
    let mut sources =
        pending.iter().map(|pending| &pending.source).chain(ledger.entries().map(|entry| &entry.source));
    if sources.any(|source| matches!(source, Source::Edit { .. })) {
        FORMAT
    } else if ledger.pages().is_empty() {
        FORMAT_WITHOUT_PAGES
    } else {
        FORMAT_WITHOUT_NOTES
    }
}

/// Reads one value for each side; the first records had one value for both.
fn each_or_both<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Sides<bool>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum EachOrBoth {
        Each(Sides<bool>),
        Both(bool),
    }
    Ok(match EachOrBoth::deserialize(deserializer)? {
        EachOrBoth::Each(sides) => sides,
        EachOrBoth::Both(both) => Sides { google: both, company: both },
    })
}

/// Part of the details that is read before [`Details`]: the format, so that the error for a newer one can say so, and the pages.
#[derive(Deserialize)]
struct Head {
    format: u32,
    #[serde(default)]
    ledger_pages: Vec<u64>,
}

impl Record {
    /// Makes the record for `mapping`, whose times must have been [`cut`]. Fails only if JSON cannot hold it.
    pub(super) fn of(mapping: &CaseMapping) -> Result<Self, StoreError> {
        let needs_attention = mapping.needs_attention();
        // Destructured without `..`, so that a new field cannot be forgotten here.
        let CaseMapping {
            id,
            google_case_name,
            company_case_id,
            new_content_at,
            resolved_at,
            company_updates_synced_at,
            google_updates_synced_at,
            outage_comment_sent_to_google,
            outage_comment_sent_to_company,
            priority,
            created_at,
            origin,
            linked_at,
            dirty,
            carried_updated_at,
            lease,
            ledger,
            pending,
            pending_creation,
            pending_status,
            relinking,
            description_parts,
            paused,
            gone,
            reopen_refused,
            last_error,
            state,
            version: _,
        } = mapping.clone();
        let details = Details {
            format: format_of(&ledger, &pending),
            created_at,
            origin,
            linked_at,
            dirty,
            carried_updated_at,
            lease,
            ledger_pages: ledger.pages().iter().map(|page| page.number()).collect(),
            next_ledger_page: ledger.next_page(),
            ledger: ledger.newest().to_vec(),
            pending,
            pending_creation,
            pending_status,
            relinking,
            description_parts,
            paused,
            gone,
            reopen_refused,
            last_error,
            state,
        };
        let details = serde_json::to_string(&details).map_err(|error| {
            StoreError::Corrupt(format!("mapping {id} cannot be written as JSON: {error}"))
        })?;
        Ok(Self {
            google_case_number: google_case_name.as_ref().map(|name| name.number().to_owned()),
            google_case_name: google_case_name.map(String::from),
            company_case_id: company_case_id.map(String::from),
            new_content_at,
            resolved_at,
            company_updates_synced_at,
            google_updates_synced_at,
            outage_comment_sent_to_google,
            outage_comment_sent_to_company,
            priority: priority.map(|priority| i64::from(priority.level())),
            needs_attention,
            details,
        })
    }

    /// Returns the numbers of the ledger's pages. Details that cannot be read name none.
    pub(super) fn ledger_pages(&self) -> Vec<u64> {
        serde_json::from_str::<Head>(&self.details).map(|head| head.ledger_pages).unwrap_or_default()
    }

    /// Restores the mapping; `page` returns the page of its ledger with that number. Fails with `Corrupt`, which names the mapping and the
    /// property.
    pub(super) fn into_mapping<E: From<StoreError>>(
        self,
        id: MappingId,
        version: u64,
        page: impl FnMut(u64) -> Result<Arc<LedgerPage>, E>,
    ) -> Result<CaseMapping, E> {
        let corrupt = |property: &str, reason: &dyn std::fmt::Display| {
            StoreError::Corrupt(format!("mapping {id}, property {property}: {reason}"))
        };
        let Head { format, .. } =
            serde_json::from_str(&self.details).map_err(|error| corrupt("details", &error))?;
        if format > FORMAT {
            let reason = format!(
                "written in format {format} by a newer casebridge, this one reads up to {FORMAT}: upgrade it"
            );
            return Err(corrupt("details", &reason).into());
        }
        let details: Details =
            serde_json::from_str(&self.details).map_err(|error| corrupt("details", &error))?;
        let pages = details.ledger_pages.into_iter().map(page).collect::<Result<_, _>>()?;
        let ledger = Ledger::from_parts(pages, details.ledger, details.next_ledger_page);
        let priority = self
            .priority
            .map(|level| {
                u8::try_from(level)
                    .map_err(|_| format!("{level} is not a priority level: 0 to 4"))
                    .and_then(Priority::try_from)
                    .map_err(|error| corrupt("priority", &error))
            })
            .transpose()?;
        let mut state = details.state;
        if !state.part_3 {
            // Version 0.1 kept one base for both sides: the values that a complete sync had left on both (R18: priority; R19: status).
            let complete = details.linked_at.is_some()
                && !details.relinking
                && self.google_updates_synced_at.is_some()
                && self.company_updates_synced_at.is_some();
            state.agreed_priority = priority.filter(|_| complete);
            state.agreed_closed = complete.then_some(self.resolved_at.is_some());
            state.part_3 = true;
        }
        Ok(CaseMapping {
            id,
            google_case_name: self
                .google_case_name
                .map(GoogleCaseName::try_from)
                .transpose()
                .map_err(|error| corrupt("googleCaseName", &error))?,
            company_case_id: self
                .company_case_id
                .map(CompanyCaseId::try_from)
                .transpose()
                .map_err(|error| corrupt("companyCaseID", &error))?,
            new_content_at: self.new_content_at,
            resolved_at: self.resolved_at,
            company_updates_synced_at: self.company_updates_synced_at,
            google_updates_synced_at: self.google_updates_synced_at,
            outage_comment_sent_to_google: self.outage_comment_sent_to_google,
            outage_comment_sent_to_company: self.outage_comment_sent_to_company,
            priority,
            created_at: details.created_at,
            origin: details.origin,
            linked_at: details.linked_at,
            dirty: details.dirty,
            carried_updated_at: details.carried_updated_at,
            lease: details.lease,
            ledger,
            pending: details.pending,
            pending_creation: details.pending_creation,
            pending_status: details.pending_status,
            relinking: details.relinking,
            description_parts: details.description_parts,
            paused: details.paused,
            gone: details.gone,
            reopen_refused: details.reopen_refused,
            last_error: details.last_error,
            state,
            version,
        })
    }
}

/// Serialises the poll memory of a side. Fails only if JSON cannot hold it.
pub(super) fn write_memory(memory: &PollMemory) -> Result<String, StoreError> {
    serde_json::to_string(memory)
        .map_err(|error| StoreError::Corrupt(format!("Global cannot be written as JSON: {error}")))
}

/// Reads the text of [`write_memory`]. `None`, as in a database of version 0.1, gives the default.
pub(super) fn read_memory(stored: Option<&str>, side: Side) -> Result<PollMemory, StoreError> {
    stored.map_or_else(
        || Ok(PollMemory::default()),
        |stored| {
            serde_json::from_str(stored)
                .map_err(|error| StoreError::Corrupt(format!("Global, {side}_poll_memory: {error}")))
        },
    )
}

/// Value of one property, for the backends that keep properties by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Property {
    Null,
    Boolean(bool),
    Integer(i64),
    Time(DateTime<Utc>),
    Text(String),
}

impl From<bool> for Property {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i64> for Property {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<DateTime<Utc>> for Property {
    fn from(value: DateTime<Utc>) -> Self {
        Self::Time(value)
    }
}

impl From<String> for Property {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl<T: Into<Self>> From<Option<T>> for Property {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

macro_rules! from_property {
    ($($type:ty: $variant:ident, $expected:literal;)*) => {
        $(
            impl TryFrom<Property> for $type {
                type Error = String;

                fn try_from(property: Property) -> Result<Self, String> {
                    match property {
                        Property::$variant(value) => Ok(value),
                        other => Err(format!("expected {}, found {}", $expected, other.kind())),
                    }
                }
            }

            impl TryFrom<Property> for Option<$type> {
                type Error = String;

                fn try_from(property: Property) -> Result<Self, String> {
                    if property == Property::Null { Ok(None) } else { property.try_into().map(Some) }
                }
            }
        )*
    };
}

from_property! {
    bool: Boolean, "a boolean";
    i64: Integer, "an integer";
    DateTime<Utc>: Time, "a time";
    String: Text, "a text";
}

impl Property {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Boolean(_) => "a boolean",
            Self::Integer(_) => "an integer",
            Self::Time(_) => "a time",
            Self::Text(_) => "a text",
        }
    }
}

/// Properties that queries search for; no other needs an index.
pub(super) const SEARCHED: [&str; 4] = ["googleCaseNumber", "companyCaseID", "resolvedAt", "needsWatching"];

impl Record {
    /// Returns the properties by name.
    pub(super) fn into_properties(self) -> Vec<(&'static str, Property)> {
        vec![
            ("googleCaseName", self.google_case_name.into()),
            ("googleCaseNumber", self.google_case_number.into()),
            ("companyCaseID", self.company_case_id.into()),
            ("newContentAt", self.new_content_at.into()),
            ("resolvedAt", self.resolved_at.into()),
            ("companyUpdatesSyncedAt", self.company_updates_synced_at.into()),
            ("googleUpdatesSyncedAt", self.google_updates_synced_at.into()),
            ("outageCommentSentToGoogle", self.outage_comment_sent_to_google.into()),
            ("outageCommentSentToCompany", self.outage_comment_sent_to_company.into()),
            ("priority", self.priority.into()),
            ("needsWatching", self.needs_attention.into()),
            ("details", self.details.into()),
        ]
    }

    /// Builds the record from properties. `property` returns the property with that name, or an error.
    pub(super) fn from_properties(
        id: MappingId,
        property: impl Fn(&str) -> Result<Property, String>,
    ) -> Result<Self, StoreError> {
        fn read<T: TryFrom<Property, Error = String>>(
            id: MappingId,
            name: &str,
            property: &impl Fn(&str) -> Result<Property, String>,
        ) -> Result<T, StoreError> {
            property(name)
                .and_then(T::try_from)
                .map_err(|error| StoreError::Corrupt(format!("mapping {id}, property {name}: {error}")))
        }
        let property = &property;
        Ok(Self {
            google_case_name: read(id, "googleCaseName", property)?,
            google_case_number: read(id, "googleCaseNumber", property)?,
            company_case_id: read(id, "companyCaseID", property)?,
            new_content_at: read(id, "newContentAt", property)?,
            resolved_at: read(id, "resolvedAt", property)?,
            company_updates_synced_at: read(id, "companyUpdatesSyncedAt", property)?,
            google_updates_synced_at: read(id, "googleUpdatesSyncedAt", property)?,
            outage_comment_sent_to_google: read(id, "outageCommentSentToGoogle", property)?,
            outage_comment_sent_to_company: read(id, "outageCommentSentToCompany", property)?,
            priority: read(id, "priority", property)?,
            needs_attention: read(id, "needsWatching", property)?,
            details: read(id, "details", property)?,
        })
    }

    /// Returns the cases that no other mapping may hold (`R9`: one mapping per case), the Google case first.
    pub(super) fn keys(&self) -> Vec<CaseKey> {
        let google = self.google_case_number.clone().map(CaseKey::Google);
        let company = self.company_case_id.clone().map(CaseKey::Company);
        google.into_iter().chain(company).collect()
    }
}

/// Case that at most one mapping may hold (`R9`: one mapping per case). Some backends store it as a separate entity, whose atomic creation
/// ensures uniqueness.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum CaseKey {
    /// Google case, by its number.
    Google(String),
    /// Company case, by its ID.
    Company(String),
}

impl CaseKey {
    /// Kind, or collection, of these entities.
    pub(super) const KIND: &'static str = "CaseMappingKey";
    /// Only property of these entities: the mapping's ID.
    pub(super) const HOLDER: &'static str = "mapping";

    /// Returns the name of the key. The prefix avoids names that stores reserve, such as `__x__`.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Google(number) => format!("google:{number}"),
            Self::Company(id) => format!("company:{id}"),
        }
    }

    /// Returns the property of the mapping that holds the case.
    pub(super) const fn property(&self) -> &'static str {
        match self {
            Self::Google(_) => "googleCaseNumber",
            Self::Company(_) => "companyCaseID",
        }
    }

    /// Returns the case's number or ID.
    pub(super) fn value(&self) -> &str {
        match self {
            Self::Google(value) | Self::Company(value) => value,
        }
    }
}

/// Cuts the times of a mapping to the range that all stores can keep: whole microseconds, in the years 1 to 9999. Earlier and later times
/// become the first and the last of these.
pub(super) fn cut(mut mapping: CaseMapping) -> CaseMapping {
    mapping.new_content_at = cut_time(mapping.new_content_at);
    mapping.created_at = cut_time(mapping.created_at);
    for time in [
        &mut mapping.resolved_at,
        &mut mapping.company_updates_synced_at,
        &mut mapping.google_updates_synced_at,
        &mut mapping.linked_at,
        &mut mapping.carried_updated_at.google,
        &mut mapping.carried_updated_at.company,
    ] {
        *time = time.map(cut_time);
    }
    for waiting in [&mut mapping.dirty.google, &mut mapping.dirty.company].into_iter().flatten() {
        waiting.since = cut_time(waiting.since);
        waiting.case_updated_at = waiting.case_updated_at.map(cut_time);
        waiting.sync_due_at = waiting.sync_due_at.map(cut_time);
        waiting.marked_at = waiting.marked_at.map(cut_time);
    }
    if let Some(lease) = &mut mapping.lease {
        lease.expires_at = cut_time(lease.expires_at);
    }
    for pending in &mut mapping.pending {
        pending.source_at = pending.source_at.map(cut_time);
        pending.attempted_at = cut_time(pending.attempted_at);
    }
    if let Some(creation) = &mut mapping.pending_creation {
        creation.attempted_at = cut_time(creation.attempted_at);
    }
    if let Some(status) = &mut mapping.pending_status {
        status.attempted_at = cut_time(status.attempted_at);
    }
    // The entries in pages were cut before they got there.
    for entry in mapping.ledger.newest_mut() {
        entry.source_at = entry.source_at.map(cut_time);
        entry.written_at = entry.written_at.map(cut_time);
    }
    mapping
}

/// Cuts one time; see [`cut`].
pub(super) fn cut_time(time: DateTime<Utc>) -> DateTime<Utc> {
    let midnight = |year, month, day| {
        NaiveDate::from_ymd_opt(year, month, day)
            .and_then(|date| date.and_hms_opt(0, 0, 0))
            .map_or(DateTime::UNIX_EPOCH, |time| time.and_utc())
    };
    let first = midnight(1, 1, 1).timestamp_micros();
    let last = midnight(10_000, 1, 1).timestamp_micros() - 1;
    DateTime::from_timestamp_micros(time.timestamp_micros().clamp(first, last)).unwrap_or(time)
}

/// Rounds `time` up to a whole microsecond.
pub(super) fn exclusive(time: DateTime<Utc>) -> DateTime<Utc> {
    let cut = cut_time(time);
    if cut < time { cut + chrono::Duration::microseconds(1) } else { cut }
}

/// True if the filter includes the mapping.
pub(super) fn passes(filter: MappingFilter, mapping: &CaseMapping) -> bool {
    match filter {
        MappingFilter::All => true,
        MappingFilter::NeedsWatching => mapping.needs_attention(),
        MappingFilter::Open => mapping.is_open(),
        MappingFilter::ResolvedBefore(time) => mapping.resolved_at.is_some_and(|at| at < time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entities::FirstSeen;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn no_page(number: u64) -> Result<Arc<LedgerPage>, StoreError> {
        Err(StoreError::Corrupt(format!("page {number}")))
    }

    #[test]
    fn times_are_cut_to_microseconds_within_the_years_1_to_9999() {
        for (given, expected) in [
            ("2026-01-02T03:04:05.123456789Z", "2026-01-02T03:04:05.123456Z"),
            ("1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("-0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999Z"),
            ("+12345-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(cut_time(time(given)), time(expected), "{given}");
        }
        assert_eq!(cut_time(DateTime::<Utc>::MIN_UTC), time("0001-01-01T00:00:00Z"));
        assert_eq!(cut_time(DateTime::<Utc>::MAX_UTC), time("9999-12-31T23:59:59.999999Z"));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let seen = FirstSeen::Google(GoogleCaseName::parse("projects/p/cases/1").unwrap());
        let sound =
            Record::of(&CaseMapping::first_seen(seen, None, None, time("2026-01-01T00:00:00Z"))).unwrap();
        for (spoilt, expected) in [
            (Record { priority: Some(7), ..sound.clone() }, "priority: 7 is not a priority level"),
            (Record { priority: Some(-1), ..sound.clone() }, "priority: -1 is not a priority level"),
            (Record { google_case_name: Some("x".into()), ..sound.clone() }, "googleCaseName: \"x\""),
            (Record { company_case_id: Some("a b".into()), ..sound.clone() }, "companyCaseID: \"a b\""),
            (Record { details: "{".into(), ..sound.clone() }, "details: EOF"),
            (Record { details: r#"{"format":1}"#.into(), ..sound.clone() }, "details: missing field"),
            (
                Record { details: r#"{"format":4}"#.into(), ..sound.clone() },
                "details: written in format 4 by a newer",
            ),
        ] {
            let error = spoilt.into_mapping(MappingId(5), 1, no_page).unwrap_err();
            assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
            assert!(error.to_string().contains(&format!("mapping 5, property {expected}")), "{error}");
        }
        sound.into_mapping(MappingId(5), 1, no_page).unwrap();
    }

    #[test]
    fn a_mapping_of_22_000_items_fits_its_store_many_times() {
        let seen = FirstSeen::Company(CompanyCaseId::parse("7").unwrap());
        let mut mapping = CaseMapping::first_seen(seen, None, None, time("2026-01-01T00:00:00Z"));
        let text = |number: usize, digits| format!("{number:0digits$}");
        let (mut largest, mut written, mut pages, mut samples) = (0, 0, 0, 0);
        for number in 0..22_000 {
            mapping.ledger.record(Entry {
                side: Side::Google,
                kind: crate::entities::ItemKind::Comment,
                id: text(number, 64),
                source: crate::entities::Source::Comment { id: text(number, 64), part: 1 },
                source_at: Some(mapping.created_at),
                written_at: Some(mapping.created_at),
                parts: Some(1),
            });
            for page in mapping.ledger.pack().added {
                let size = super::super::pages::write(MappingId(1), &page).unwrap().len();
                assert!(size < 512 * 1024, "{size} bytes");
                pages += size;
            }
            if number.is_multiple_of(37) {
                let size = Record::of(&mapping).unwrap().details.len();
                largest = largest.max(size);
                written += size;
                samples += 1;
            }
        }
        println!("at most {largest} bytes, {} on the mean, {} in pages", written / samples, pages / 22_000);
        assert!(largest < 16 * 1024, "{largest} bytes");
        assert!(written / samples < 12 * 1024, "{} bytes for each", written / samples);
        assert!(pages / 22_000 < 1024, "{} bytes for each", pages / 22_000);
    }

    #[test]
    fn a_mapping_without_pages_can_be_read_by_version_0_1() {
        let seen = FirstSeen::Company(CompanyCaseId::parse("7").unwrap());
        let mapping = CaseMapping::first_seen(seen, None, None, time("2026-01-01T00:00:00Z"));
        let details = Record::of(&mapping).unwrap().details;
        assert!(details.starts_with(r#"{"format":1,"#), "{details}");
        assert!(!details.contains("ledger_page"), "{details}");
    }

    #[test]
    fn a_mapping_with_notes_about_edits_says_that_it_needs_a_newer_version() {
        let seen = FirstSeen::Company(CompanyCaseId::parse("7").unwrap());
        let mapping = CaseMapping::first_seen(seen, None, None, time("2026-01-01T00:00:00Z"));
        let note = Source::Edit { id: "10023".to_owned(), number: 1, part: 1 };
        let pending = Pending {
            side: Side::Google,
            kind: crate::entities::ItemKind::Comment,
            source: note.clone(),
            marker: "[Company Edit 1 of Comment 10023 by Jane]".to_owned(),
            digest: None,
            size: None,
            source_at: None,
            attempted_at: mapping.created_at,
            parts: None,
        };
        let entry = |number: usize, source: Source| Entry {
            side: Side::Google,
            kind: crate::entities::ItemKind::Comment,
            id: number.to_string(),
            source,
            source_at: None,
            written_at: None,
            parts: None,
        };
        let mut begun = mapping.clone();
        begun.pending.push(pending);
        let mut written = mapping.clone();
        written.ledger.record(entry(0, note));
        let mut paged = written.clone();
        let mut without = mapping;
        for number in 1..1_000 {
            let source = Source::Comment { id: number.to_string(), part: 1 };
            paged.ledger.record(entry(number, source.clone()));
            without.ledger.record(entry(number, source));
            paged.ledger.pack();
            without.ledger.pack();
        }
        assert!(!paged.ledger.newest().iter().any(|entry| matches!(entry.source, Source::Edit { .. })));
        for (mapping, format) in [(begun, 3), (written, 3), (paged, 3), (without, 2)] {
            let details = Record::of(&mapping).unwrap().details;
            assert!(details.starts_with(&format!(r#"{{"format":{format},"#)), "{format}: {details}");
        }
    }

    #[test]
    fn fields_that_a_later_version_adds_may_be_absent() {
        let details = r#"{"format":1,"created_at":"2026-01-01T00:00:00Z","origin":"company"}"#;
        let seen = FirstSeen::Company(CompanyCaseId::parse("7").unwrap());
        let mapping = CaseMapping::first_seen(seen, None, None, time("2026-01-01T00:00:00Z"));
        let record = Record { details: details.to_owned(), ..Record::of(&mapping).unwrap() };
        assert_eq!(record.into_mapping(MappingId(1), 1, no_page).unwrap().description_parts, 1);
    }
}
