//! Places of new Google cases, and the people who get their mails: what routes and fields of the company case decide, looked up in both
//! systems.

use super::Deps;
use super::session::SyncError;
use crate::cases::{ApiError, ApiErrorKind, Case, CaseSystem, Details, PlacementError, Wanted};
use crate::entities::Side;
use crate::sync::{EscalationRule, Placed, allowed_addresses};

/// Reason why no place was found for a Google case.
pub(super) enum Unplaced {
    /// A field of the company case cannot be used. Holds the problem, for the people of the case.
    ByCase(String),
    /// The configuration cannot be used, or a system does not answer.
    ByUs(SyncError),
}

impl<E: Into<SyncError>> From<E> for Unplaced {
    fn from(error: E) -> Self {
        Self::ByUs(error.into())
    }
}

/// Decides where the Google case of a company case is created. The classification in the result is an ID.
pub(super) async fn google_placement(deps: &Deps, case: &Case) -> Result<Placed, Unplaced> {
    let (placing, routes) = (&deps.settings.placing, &deps.settings.routes);
    let wanted = placing.wanted(routes);
    if wanted.is_empty() && routes.company_routes().is_empty() {
        return Ok(Placed::default());
    }
    let details = if wanted.is_empty() {
        Details::default()
    } else {
        deps.systems[Side::Company].details(&case.id, &wanted).await?
    };
    let mut placed = placing.decide(routes, &details).map_err(Unplaced::ByCase)?;
    let google = &deps.systems[Side::Google];
    if let (Some(field), Some(parent)) = (&placed.parent_from, &placed.placement.parent) {
        google.check_parent(parent).await.map_err(|error| of_field(field, error))?;
    }
    if let Some(text) = &placed.placement.classification {
        let found = google.classification_id(text).await;
        let id = found.map_err(|error| match (&placed.classification_from, error) {
            (Some(field), error) => of_field(field, error),
            (None, PlacementError::Unusable(problem)) => {
                let number = placed.route.unwrap_or_default();
                SyncError::Failed(format!("route {number}, google.classification: {problem}")).into()
            }
            (None, PlacementError::Api(error)) => error.into(),
        })?;
        placed.placement.classification = Some(id);
    }
    Ok(placed)
}

/// Tells whose mistake a value of a field is.
fn of_field(field: &str, error: PlacementError) -> Unplaced {
    match error {
        PlacementError::Unusable(problem) => Unplaced::ByCase(format!("field {field}: {problem}")),
        PlacementError::Api(error) => error.into(),
    }
}

/// Adds what the configuration wants of a company case besides the usual: its people whose addresses may leave the house, and its wish to
/// escalate. Details that the connector may not see are left alone, with a warning: they hold nothing else up.
pub(super) async fn with_details(deps: &Deps, side: Side, case: Case) -> Result<Case, ApiError> {
    let placing = &deps.settings.placing;
    let escalation = deps.settings.rules.escalation.as_ref();
    let people = !placing.subscribers_from.is_empty();
    if side == Side::Google || !(people || escalation.is_some()) || !case.synchronize {
        return Ok(case);
    }
    let of_people = Wanted { people: placing.subscribers_from.clone(), ..Wanted::default() };
    let all = Wanted {
        people: of_people.people.clone(),
        ..escalation.map(EscalationRule::wanted).unwrap_or_default()
    };
    let subscribers = |details: &Details| {
        let found = details.people.iter().map(String::as_str);
        allowed_addresses(found, &placing.subscriber_domains).into_iter().collect()
    };
    let system = &deps.systems[side];
    if let Some(details) = readable(system.as_ref(), &all, &case).await? {
        let raised = escalation.map(|rule| rule.read(&details));
        return Ok(Case { subscribers: people.then(|| subscribers(&details)), raised, ..case });
    }
    // One field that this case does not have hides neither the others nor the people.
    let mut case = case;
    if people && of_people != all {
        let details = readable(system.as_ref(), &of_people, &case).await?;
        case.subscribers = details.as_ref().map(subscribers);
    }
    if let Some(rule) = escalation.filter(|rule| rule.wanted() != rule.signal_alone()) {
        let details = readable(system.as_ref(), &rule.signal_alone(), &case).await?;
        case.raised = details.map(|details| rule.read(&details));
    }
    Ok(case)
}

/// Reads the details; `None`, with a warning, if the system refuses them for good. What is not found is read a second time, since the case may
/// have been hidden for a moment: without its details a sync would end well, and what people changed would not be carried (`R28`: missing is
/// not gone).
async fn readable(
    system: &dyn CaseSystem,
    wanted: &Wanted,
    case: &Case,
) -> Result<Option<Details>, ApiError> {
    let mut details = system.details(&case.id, wanted).await;
    if details.as_ref().is_err_and(|error| error.kind == ApiErrorKind::NotFound) {
        if !system.shows(&case.id).await? {
            return details.map(Some);
        }
        details = system.details(&case.id, wanted).await;
    }
    match details {
        Ok(details) => Ok(Some(details)),
        Err(error) if error.is_for_good() => {
            tracing::warn!(case.company_id = case.id, "details of the case cannot be read: {error}");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
