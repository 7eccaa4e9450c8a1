//! Admission of cases: decides if a case gets a mapping, and which one (`R9`: one mapping per case; `R10`: knowing one's own cases).

use chrono::{DateTime, Duration, Utc};

use super::Deps;
use super::sight::plus;
use super::sync_case::{names_google, says_the_same};
use crate::cases::{ApiError, Found, markers};
use crate::entities::{
    CaseMapping, CompanyCaseId, Conflict, ConflictCause, Dirty, FirstSeen, Global, GoogleCaseName, Side,
};
use crate::store::{Created, StoreError, modify};
use crate::sync::texts::company_name;

/// Tolerance for times of one system that were read one after the other.
const CLOCKS_APART: Duration = Duration::minutes(10);

/// Outcome of the admission of a case that had no mapping.
#[derive(Debug)]
pub(super) enum Admission {
    /// A new mapping was stored.
    New(CaseMapping),
    /// The case completes a mapping that was waiting for it, or another process mapped it first.
    Existing(CaseMapping),
    /// The case takes no part, for this reason.
    Refused(String),
}

/// Decision about a case that has no mapping yet, before anything is changed.
#[derive(Debug)]
pub(super) enum Decision {
    /// Store this new mapping.
    New(CaseMapping),
    /// Add the case to this mapping, which waits for it.
    Completes(CaseMapping),
    /// The case takes no part, for this reason.
    Refused(String),
}

/// Error that leaves the admission of a case undecided; it may succeed later.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdmissionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// Parses the name of a case of that side.
pub(super) fn name_of(side: Side, case: &Found) -> Result<FirstSeen, String> {
    match side {
        Side::Google => GoogleCaseName::parse(&case.id).map(FirstSeen::Google),
        Side::Company => CompanyCaseId::parse(&case.id).map(FirstSeen::Company),
    }
    .map_err(|error| error.to_string())
}

/// Returns the mapping of that case.
pub(super) async fn find(deps: &Deps, case: &FirstSeen) -> Result<Option<CaseMapping>, StoreError> {
    match case {
        FirstSeen::Google(name) => deps.store.find_by_google(name).await,
        FirstSeen::Company(id) => deps.store.find_by_company(id).await,
    }
}

/// Limits for the cases that polls and push hints take in. A person may ask for any case.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Age of a case, by its creation, from which on it is too old.
    max_age: Duration,
    /// Time before which a case must not have been changed last, by our clock.
    since: Option<DateTime<Utc>>,
}

impl Limits {
    /// Returns the configured limits for the cases of that side.
    pub(super) fn of(deps: &Deps, global: &Global, side: Side) -> Self {
        let since = deps.settings.since.time(global.memory[side].began_at);
        Self { max_age: deps.settings.max_case_age, since }
    }

    /// Returns the reason why a case is too old to be taken in; `None` if it is not.
    fn too_old(&self, deps: &Deps, side: Side, case: &Found, now: DateTime<Utc>) -> Option<String> {
        let clocks = deps.clocks();
        let theirs = clocks.in_time_of(side, now);
        if case.created_at.is_some_and(|created| age(created, theirs, now) >= self.max_age) {
            return Some("it was created too long ago (sync.max_case_age)".to_owned());
        }
        let since = self.since?;
        // A time that is precise to the minute only may be that of a change up to a minute later.
        let resolution = deps.capabilities()[side].time_resolution;
        let changed = plus(case.updated_at.or(case.created_at)?, resolution);
        (changed < clocks.in_time_of(side, since))
            .then(|| format!("it was last changed before {} (sync.since)", since.format("%F %T")))
    }
}

/// Maps a case that has no mapping, if it takes part. `limits` is `None` if a person asks.
pub(super) async fn admit(
    deps: &Deps,
    name: FirstSeen,
    case: &Found,
    now: DateTime<Utc>,
    limits: Option<Limits>,
) -> Result<Admission, AdmissionError> {
    match decide(deps, &name, case, now, limits).await? {
        Decision::New(mapping) => Ok(admitted(deps.store.create(mapping).await?)),
        Decision::Completes(existing) => complete(deps, existing, &name, case, now).await,
        Decision::Refused(reason) => Ok(Admission::Refused(reason)),
    }
}

/// Returns the time since a case was created, by its system's clock. If the creation lies in the future of that clock, the clock was set
/// back, so ours is used instead (`R36`: clock skew).
fn age(created: DateTime<Utc>, theirs: DateTime<Utc>, ours: DateTime<Utc>) -> Duration {
    let age = theirs - created;
    if age < -CLOCKS_APART { ours - created } else { age }
}

/// Decides if a case without a mapping gets one, and changes nothing.
pub(super) async fn decide(
    deps: &Deps,
    name: &FirstSeen,
    case: &Found,
    now: DateTime<Utc>,
    limits: Option<Limits>,
) -> Result<Decision, AdmissionError> {
    let side = name.side();
    if !deps.settings.rules.switches.creation {
        return Ok(Decision::Refused("the creation of counterparts is switched off".to_owned()));
    }
    if !case.synchronize {
        return Ok(Decision::Refused("it is not flagged for synchronisation".to_owned()));
    }
    let mut mapping = CaseMapping::first_seen(name.clone(), case.priority.level(), case.updated_at, now);
    let too_old = limits.and_then(|limits| limits.too_old(deps, side, case, now));
    if let Some(desk) = desk_of_another(deps, case) {
        return Ok(Decision::Refused(format!("it mirrors a case of another desk: {desk}")));
    }
    match claim(deps, name, case).await? {
        Claim::Waits(existing) => return Ok(Decision::Completes(*existing)),
        Claim::None | Claim::Unmapped(_) | Claim::Conflict(_) if let Some(reason) = too_old => {
            return Ok(Decision::Refused(reason));
        }
        Claim::None => {}
        Claim::Undecided => {
            return Ok(Decision::Refused(
                "the sync of the company case that it names looks for it".to_owned(),
            ));
        }
        Claim::Orphan(reason) => return Ok(Decision::Refused(reason)),
        Claim::Unmapped(other) => {
            set_name(&mut mapping, &other);
            mapping.linked_at = Some(now);
            mapping.recover();
            return Ok(Decision::New(mapping));
        }
        Claim::Conflict(_) if case.closed => {
            return Ok(Decision::Refused("it was closed before it was ever synchronised".to_owned()));
        }
        Claim::Conflict(reason) => {
            mapping.state.conflict =
                Some(Conflict { reason, since: now, told: false, cause: ConflictCause::Claim });
            return Ok(Decision::New(mapping));
        }
    }
    // A case that was closed before the connector saw it needs no counterpart. A person may still ask for the copy of a Google case; a new
    // case at Google would reach an agent.
    if case.closed && (side == Side::Company || limits.is_some()) {
        return Ok(Decision::Refused("it was closed before it was ever synchronised".to_owned()));
    }
    if side == Side::Google
        && let Some(reason) = deps.settings.routes.decide(case).and_then(|routed| routed.left_out())
    {
        return Ok(Decision::Refused(reason));
    }
    Ok(Decision::New(mapping))
}

fn admitted(created: Created) -> Admission {
    match created {
        Created::New(mapping) => Admission::New(mapping),
        Created::Existing(mapping) => Admission::Existing(mapping),
    }
}

pub(super) fn set_name(mapping: &mut CaseMapping, name: &FirstSeen) {
    match name {
        FirstSeen::Google(name) => mapping.google_case_name = Some(name.clone()),
        FirstSeen::Company(id) => mapping.company_case_id = Some(id.clone()),
    }
}

/// Returns the address that a Google case names in its description, if it is not the configured CRM's (`R31`: an ID is valid only in its
/// own system). The case then belongs to another service desk.
pub(super) fn desk_of_another<'a>(deps: &Deps, case: &'a Found) -> Option<&'a str> {
    let (address, home) = (case.counterpart_address.as_deref()?, deps.home()?);
    (!markers::is_within(address, home)).then_some(address)
}

/// Result of checking the counterpart that a case names. Anybody who may edit the case can write a name there, and case numbers can be
/// guessed before they exist, so the name alone proves nothing (`R38`: a claim is not a proof).
pub(super) enum Claim {
    /// The case names no counterpart that counts.
    None,
    /// The counterpart has a mapping that waits for this case.
    Waits(Box<CaseMapping>),
    /// Both cases name each other, and neither has a mapping.
    Unmapped(FirstSeen),
    /// The sync of the counterpart may have created the case, and only that sync can tell.
    Undecided,
    /// The case mirrors a company case of ours that is not found, and whose mapping is gone or has ended. Holds the reason why it gets no
    /// other counterpart.
    Orphan(String),
    /// The case names a counterpart that it cannot have. Holds the problem and the remedy.
    Conflict(String),
}

/// Checks the counterpart that a case names.
pub(super) async fn claim(deps: &Deps, name: &FirstSeen, case: &Found) -> Result<Claim, AdmissionError> {
    let Some(claimed) = case.counterpart.as_deref() else { return Ok(Claim::None) };
    match name {
        FirstSeen::Google(google) => {
            let Ok(company) = CompanyCaseId::parse(claimed) else { return Ok(Claim::None) };
            claim_of_google(deps, google, company, case).await
        }
        FirstSeen::Company(company) => claim_of_company(deps, company, claimed, case).await,
    }
}

/// Checks a Google case that names a company case of ours in the first line of its description.
async fn claim_of_google(
    deps: &Deps,
    google: &GoogleCaseName,
    company: CompanyCaseId,
    case: &Found,
) -> Result<Claim, AdmissionError> {
    let mapping = deps.store.find_by_company(&company).await?;
    if mapping.as_ref().is_some_and(|mapping| mapping.google_case_name.is_some()) {
        return Ok(Claim::None);
    }
    let waits = mapping.filter(|mapping| mapping.state.conflict.is_none());
    // The write-ahead record shows that the connector started the creation (R13: unknown write outcome). A case of version 0.1 names no
    // service desk.
    let begun = waits.as_ref().is_some_and(|mapping| mapping.pending_creation.is_some());
    let ours = case.by_connector == Some(true) || (begun && case.counterpart_address.is_some());
    if let Some(mapping) = waits.clone().filter(|_| ours && case.by_connector != Some(false)) {
        return Ok(Claim::Waits(Box::new(mapping)));
    }
    let other = deps.systems[Side::Company].get(company.as_str()).await?;
    // The company case was deleted, or is hidden for now. Its mirror needs no company case of its own (R10: knowing one's own cases).
    let address = case.counterpart_address.as_deref().filter(|_| deps.home().is_some());
    if let (None, Some(address)) = (&other, address) {
        return Ok(Claim::Orphan(format!(
            "it mirrors company case {company} ({address}), which is not found"
        )));
    }
    let names_us =
        other.as_ref().is_some_and(|other| other.synchronize && names_google(other, google.as_str()));
    Ok(match waits {
        Some(mapping) if names_us => Claim::Waits(Box::new(mapping)),
        // Version 0.1 named no service desk, so the text decides if the case belongs to this one. There may never be another way to decide
        // it, since the company case may be paused.
        Some(_) if begun && case.counterpart_address.is_none() => {
            let google = deps.systems[Side::Google].get(google.as_str()).await?;
            match (other, google) {
                (Some(company), Some(google)) if !says_the_same(deps, &company, &google) => Claim::None,
                _ => Claim::Undecided,
            }
        }
        None if names_us => Claim::Unmapped(FirstSeen::Company(company)),
        Some(_) | None => Claim::None,
    })
}

/// Checks a company case that names a Google case in `custom_field_google_name`.
async fn claim_of_company(
    deps: &Deps,
    company: &CompanyCaseId,
    claimed: &str,
    case: &Found,
) -> Result<Claim, AdmissionError> {
    let (key, address) = (case.key.as_deref(), case.address.as_deref().or(deps.home()));
    let named = markers::CompanyCase { id: company.as_str(), key, address };
    let conflict = |what: &str| {
        let field = deps.systems[Side::Company].google_name_field();
        Ok(Claim::Conflict(format!(
            "company case {named} names a Google case in {field}, {what}; clear the field if it is to have a Google case \
             of its own"
        )))
    };
    let Ok(google) = GoogleCaseName::parse(claimed) else {
        return conflict("but what stands there is not the name of a Google case");
    };
    let mapping = deps.store.find_by_google(&google).await?;
    let adopts = deps.settings.adopt_claims;
    match mapping {
        Some(mapping) if mapping.company_case_id.is_none() => {
            let begun = mapping.pending_creation.is_some();
            let created = case.by_connector == Some(true) || (begun && case.by_connector.is_none());
            if created || adopts || google_names_company(deps, &google, company).await? {
                return Ok(Claim::Waits(Box::new(mapping)));
            }
        }
        Some(mapping) => {
            let other = mapping.company_case_id.as_ref().map_or("", CompanyCaseId::as_str);
            // Version 0.1 stored the key that a person gave it: this may be the same case under another name.
            let known = deps.systems[Side::Company].get(other).await?;
            if known.as_ref().is_some_and(|known| known.id == company.as_str()) {
                return Ok(Claim::Waits(Box::new(mapping)));
            }
            let unread = markers::CompanyCase { id: other, key: None, address: deps.home() };
            let other = known.as_ref().map_or(unread, |known| company_name(known, deps.home()));
            return conflict(&format!("but {google} already syncs with company case {other}"));
        }
        None => {
            if adopts || google_names_company(deps, &google, company).await? {
                return Ok(Claim::Unmapped(FirstSeen::Google(google)));
            }
        }
    }
    conflict(&format!(
        "but {google} does not say that it syncs with this case, and the connector did not create this case"
    ))
}

/// True if a search at Google for the cases that name this company case finds that Google case.
async fn google_names_company(
    deps: &Deps,
    google: &GoogleCaseName,
    company: &CompanyCaseId,
) -> Result<bool, AdmissionError> {
    let found = deps.systems[Side::Google].find_counterparts(company.as_str(), deps.home()).await?;
    let mut names = found.iter().filter_map(|found| GoogleCaseName::parse(&found.id).ok());
    Ok(names.any(|found| found.number() == google.number()))
}

/// Completes a mapping that waits for this case, usually the counterpart that a sync created without learning its ID.
pub(super) async fn complete(
    deps: &Deps,
    mapping: CaseMapping,
    name: &FirstSeen,
    case: &Found,
    now: DateTime<Utc>,
) -> Result<Admission, AdmissionError> {
    let side = name.side();
    let id = mapping.id;
    let statuses = &deps.settings.rules.statuses;
    let completed = modify(deps.store.as_ref(), mapping, |mapping| {
        if mapping.has(side) {
            // The same case, which version 0.1 stored under the key that a person gave it.
            let corrected = mapping.case_id(side) != Some(case.id.as_str());
            set_name(mapping, name);
            return corrected;
        }
        if join(mapping, name, case, now) {
            mapping.state.turn.fresh = side == Side::Company && !statuses.is_empty();
        }
        true
    })
    .await?;
    let mapping = match completed {
        Some(mapping) => mapping,
        None => deps.store.get(id).await?.ok_or(StoreError::Gone(id))?,
    };
    Ok(Admission::Existing(mapping))
}

/// Adds a case that was found to the mapping that waits for it, and begins to relink. Returns true if the mapping waited for its creation.
pub(super) fn join(mapping: &mut CaseMapping, name: &FirstSeen, case: &Found, now: DateTime<Utc>) -> bool {
    set_name(mapping, name);
    mapping.linked_at = Some(now);
    let created = mapping.pending_creation.take().is_some();
    mapping.recover_found(created);
    mapping.dirty[name.side()].get_or_insert(Dirty { case_updated_at: case.updated_at, ..Dirty::since(now) });
    created
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_from_the_future_of_its_systems_clock_is_as_old_as_ours_says() {
        let at = |day: i64| DateTime::UNIX_EPOCH + Duration::days(20_000 + day);
        for (created, theirs, ours, days) in [
            (0, 40, 40, 40),
            // Ours is years ahead, so theirs gives the age.
            (0, 1, 4_000, 1),
            // Theirs was set back by years.
            (0, -4_000, 40, 40),
            (40, -4_000, 40, 0),
        ] {
            assert_eq!(
                age(at(created), at(theirs), at(ours)),
                Duration::days(days),
                "{created} {theirs} {ours}"
            );
        }
        let (soon, now) = (at(0) + Duration::minutes(1), at(0));
        assert_eq!(age(soon, now, at(4_000)), -Duration::minutes(1), "clocks are never quite the same");
    }
}
