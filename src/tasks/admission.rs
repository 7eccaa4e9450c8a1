//! Whether a case gets a mapping, and which (`R9`, `R10`).

use chrono::{DateTime, Duration, Utc};

use super::Deps;
use crate::cases::{ApiError, Found};
use crate::entities::{CaseMapping, CompanyCaseId, FirstSeen, GoogleCaseName, Side, Waiting};
use crate::store::{Created, StoreError, modify};

/// What became of a case that has no mapping yet.
#[derive(Debug)]
pub(super) enum Admission {
    /// A new mapping.
    New(CaseMapping),
    /// The case completes a mapping that was waiting for it, or somebody was faster.
    Existing(CaseMapping),
    /// It takes no part; why.
    Refused(String),
    /// It claims a counterpart that it cannot have; a person has to look.
    Conflict(String),
}

/// What is to become of a case that has no mapping yet, before anything is done about it.
#[derive(Debug)]
pub(super) enum Decision {
    /// This mapping is to be stored.
    New(CaseMapping),
    /// It completes this mapping, which waits for it.
    Completes(CaseMapping),
    /// It takes no part; why.
    Refused(String),
    /// It claims a counterpart that it cannot have; a person has to look.
    Conflict(String),
}

/// Why a case could be neither admitted nor refused: try again.
#[derive(Debug, thiserror::Error)]
pub(super) enum AdmissionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// The name of a case of that side, checked.
pub(super) fn name_of(side: Side, case: &Found) -> Result<FirstSeen, String> {
    match side {
        Side::Google => GoogleCaseName::parse(&case.id).map(FirstSeen::Google),
        Side::Company => CompanyCaseId::parse(&case.id).map(FirstSeen::Company),
    }
    .map_err(|error| error.to_string())
}

/// The mapping of that case.
pub(super) async fn find(deps: &Deps, case: &FirstSeen) -> Result<Option<CaseMapping>, StoreError> {
    match case {
        FirstSeen::Google(name) => deps.store.find_by_google(name).await,
        FirstSeen::Company(id) => deps.store.find_by_company(id).await,
    }
}

/// Gives a case without a mapping one, if it takes part. `max_age` is `None` where a person asks.
pub(super) async fn admit(
    deps: &Deps,
    name: FirstSeen,
    case: &Found,
    now: DateTime<Utc>,
    max_age: Option<Duration>,
) -> Result<Admission, AdmissionError> {
    match decide(deps, &name, case, now, max_age).await? {
        Decision::New(mapping) => Ok(admitted(deps.store.create(mapping).await?)),
        Decision::Completes(existing) => complete(deps, existing, &name, case, now).await,
        Decision::Refused(reason) => Ok(Admission::Refused(reason)),
        Decision::Conflict(reason) => Ok(Admission::Conflict(reason)),
    }
}

/// Decides whether a case without a mapping is to have one, and changes nothing.
pub(super) async fn decide(
    deps: &Deps,
    name: &FirstSeen,
    case: &Found,
    now: DateTime<Utc>,
    max_age: Option<Duration>,
) -> Result<Decision, AdmissionError> {
    let side = name.side();
    if !deps.settings.rules.switches.creation {
        return Ok(Decision::Refused("the creation of counterparts is switched off".to_owned()));
    }
    if !case.synchronize {
        return Ok(Decision::Refused("it is not flagged for synchronisation".to_owned()));
    }
    let mut mapping = CaseMapping::first_seen(name.clone(), case.priority.level(), case.updated_at, now);
    let too_old = max_age.is_some_and(|max| case.created_at.is_some_and(|created| now - created >= max));
    match counterpart(deps, name, case).await? {
        Counterpart::Waits(existing) => return Ok(Decision::Completes(*existing)),
        Counterpart::None | Counterpart::Unmapped(_) if too_old => {
            return Ok(Decision::Refused("it was created too long ago".to_owned()));
        }
        Counterpart::None => {}
        Counterpart::Unmapped(other) => {
            set_name(&mut mapping, &other);
            mapping.linked_at = Some(now);
            mapping.recover();
            return Ok(Decision::New(mapping));
        }
        Counterpart::Conflict(reason) => return Ok(Decision::Conflict(reason)),
    }
    // A company case that was closed before anybody saw it: nobody at Google needs to hear of it.
    if side == Side::Company && case.closed {
        return Ok(Decision::Refused("it was closed before it was ever synchronised".to_owned()));
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

/// What is known of the counterpart that a case names.
enum Counterpart {
    /// It names none that counts.
    None,
    /// Its counterpart has a mapping that waits for this case.
    Waits(Box<CaseMapping>),
    /// Both cases name each other, and neither has a mapping.
    Unmapped(FirstSeen),
    /// It names a case that belongs to another.
    Conflict(String),
}

/// Looks at the counterpart that a case names. Whoever may edit the case can write a name there, so the name alone proves
/// nothing: either a mapping waits for it, or the other case names this one.
async fn counterpart(deps: &Deps, name: &FirstSeen, case: &Found) -> Result<Counterpart, AdmissionError> {
    let Some(claim) = case.counterpart.as_deref() else { return Ok(Counterpart::None) };
    match name {
        FirstSeen::Google(google) => {
            let Ok(company) = CompanyCaseId::parse(claim) else { return Ok(Counterpart::None) };
            if let Some(mapping) = deps.store.find_by_company(&company).await? {
                return Ok(match mapping.google_case_name {
                    None => Counterpart::Waits(Box::new(mapping)),
                    Some(_) => Counterpart::None,
                });
            }
            let other = deps.systems[Side::Company].get(company.as_str()).await?;
            let names_us = other.as_ref().is_some_and(|other| {
                let named = other.counterpart.as_deref().and_then(|named| GoogleCaseName::parse(named).ok());
                other.synchronize && named.is_some_and(|named| named.number() == google.number())
            });
            Ok(if names_us { Counterpart::Unmapped(FirstSeen::Company(company)) } else { Counterpart::None })
        }
        FirstSeen::Company(company) => {
            let conflict = |what: &str| {
                Ok(Counterpart::Conflict(format!(
                    "company case {company} names a Google case in custom_field_google_name, {what}; clear the field if \
                     it is to have a Google case of its own"
                )))
            };
            let Ok(google) = GoogleCaseName::parse(claim) else {
                return conflict("but what stands there is not the name of a Google case");
            };
            if let Some(mapping) = deps.store.find_by_google(&google).await? {
                return match &mapping.company_case_id {
                    None => Ok(Counterpart::Waits(Box::new(mapping))),
                    Some(other) => conflict(&format!("but {google} already syncs with company case {other}")),
                };
            }
            match deps.systems[Side::Google].find_counterpart(company.as_str(), None).await? {
                Some(found)
                    if GoogleCaseName::parse(&found.id)
                        .is_ok_and(|found| found.number() == google.number()) =>
                {
                    Ok(Counterpart::Unmapped(FirstSeen::Google(google)))
                }
                _ => conflict(&format!("but {google} does not say that it syncs with this case")),
            }
        }
    }
}

/// Completes a mapping that waits for this case: it is the counterpart that a sync created without learning its ID.
async fn complete(
    deps: &Deps,
    mapping: CaseMapping,
    name: &FirstSeen,
    case: &Found,
    now: DateTime<Utc>,
) -> Result<Admission, AdmissionError> {
    let side = name.side();
    let id = mapping.id;
    let completed = modify(deps.store.as_ref(), mapping, |mapping| {
        if mapping.has(side) {
            return false;
        }
        set_name(mapping, name);
        mapping.linked_at = Some(now);
        mapping.recover();
        mapping.pending_creation = None;
        mapping.waiting[side].get_or_insert(Waiting { since: now, case_updated_at: case.updated_at });
        true
    })
    .await?;
    let mapping = match completed {
        Some(mapping) => mapping,
        None => deps.store.get(id).await?.ok_or(StoreError::Gone(id))?,
    };
    Ok(Admission::Existing(mapping))
}
