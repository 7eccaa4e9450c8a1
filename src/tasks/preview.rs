//! Result of a dry run of a sync, and the plan for a case that has no counterpart yet.

use super::compare;
use super::placing::{Unplaced, google_placement};
use super::session::{Session, SyncError};
use super::sync_case::{counterpart_in_place, route_of};
use super::{Deps, TaskReport};
use crate::cases::{Case, Content};
use crate::entities::{
    CaseMapping, CompanyCaseId, GoogleCaseName, GooglePlacement, PriorityReading, Side, Sides,
};
use crate::sync::{
    Counterpart, KnownDifferent, Pair, Plan, Snapshot, SubscriberChange, Totals, counterpart_of, lookalikes,
    plan, texts,
};

/// Stand-ins for the ID of a case that would be created.
const NEW: Sides<&str> = Sides { google: "organizations/new/cases/new", company: "new" };

/// Steps of a sync that is rehearsed in a dry run, with names and counts for people.
#[derive(Debug, Default)]
pub(super) struct Preview {
    /// Name of the case that is carried, as people know it, with its address; and its title.
    case: Option<(String, String)>,
    /// Steps in words: IDs, never content, but for the title of a case that is found or created, and addresses of subscribers.
    steps: Vec<String>,
    totals: Totals,
    /// Addresses that become subscribers of the Google case, and that are none any more.
    subscribers: SubscriberChange,
}

impl Preview {
    /// Creates the preview of a plan for a case.
    pub(super) fn of(deps: &Deps, source: Side, case: &Case, plan: &Plan) -> Self {
        let name = match source {
            Side::Google => case.id.clone(),
            Side::Company => texts::company_name(case, deps.home()).to_string(),
        };
        Self {
            case: Some((name, case.title.clone())),
            steps: plan.describe(),
            totals: plan.totals(),
            subscribers: plan.subscribers().cloned().unwrap_or_default(),
        }
    }

    /// Adds it to a report, where the log does not show it.
    pub(super) fn add_to(self, report: TaskReport) -> TaskReport {
        let report = report.showing("plan", self.steps).showing("totals", self.totals);
        let report = match self.subscribers.count() {
            0 => report,
            _ => report.showing("subscribers", self.subscribers),
        };
        match self.case {
            Some((name, title)) => report.showing("case", name).showing("title", title),
            None => report,
        }
    }
}

impl From<String> for Preview {
    /// Creates the preview of a sync that would do only this.
    fn from(step: String) -> Self {
        Self { steps: vec![step], ..Self::default() }
    }
}

/// Plans the sync of a case without a counterpart: finds the counterpart, or takes the one that would be created, and plans with that.
pub(super) async fn of_unlinked(
    session: &Session<'_>,
    source: Side,
    ours: Case,
) -> Result<Preview, SyncError> {
    let (deps, target) = (session.deps, source.other());
    let facts = deps.capabilities();
    let clocks = deps.clocks();
    let mut mapping = session.mapping.clone();
    let begun = mapping.pending_creation.take();
    let mut of_route = Vec::new();
    let content = deps.systems[source].content(&ours.id, None).await?;
    let found = counterpart_in_place(session, source, &ours).await?;
    let (step, total, theirs) = if let Some(found) = found {
        mapping.recover();
        let name = match target {
            Side::Google => found.id.clone(),
            Side::Company => texts::company_name(&found, deps.home()).to_string(),
        };
        let step = format!("link with {name} in {}: {:?}", facts[target].name, found.title);
        let content = deps.systems[target].content(&found.id, None).await?;
        (step, "links", Snapshot::new(found, content, None))
    } else {
        let routed = route_of(deps, source, &ours);
        if let Some(reason) = routed.and_then(|routed| routed.left_out())
            && begun.is_none()
        {
            return Ok(format!("nothing: {reason}").into());
        }
        let (google, by) = match source {
            Side::Google => {
                let by = routed.map(|routed| format!(" by {}", routed.describe())).unwrap_or_default();
                (GooglePlacement::default(), by)
            }
            // What was decided when the creation began is not decided again.
            Side::Company if begun.is_some() => {
                (mapping.state.google_placement.as_deref().cloned().unwrap_or_default(), String::new())
            }
            Side::Company => match google_placement(deps, &ours).await {
                Ok(placed) => (placed.placement.clone(), placed.describe()),
                Err(Unplaced::ByCase(problem)) => {
                    return Ok(format!("nothing: no Google case is created for it: {problem}").into());
                }
                Err(Unplaced::ByUs(error)) => return Err(error),
            },
        };
        let Counterpart { case: new, parts, header } =
            counterpart_of(source, &ours, deps.home(), facts[target]);
        mapping.description_parts = parts;
        mapping.state.description_header = Some(header).filter(|_| parts > 1);
        mapping.born_open();
        let unless = match begun {
            Some(begun) => format!(
                ", unless the creation of {} shows, which got no answer",
                begun.attempted_at.format("%F %T")
            ),
            None => String::new(),
        };
        let step = format!("create a case in {}: {:?}{by}{unless}", facts[target].name, new.title);
        of_route = google.subscribers.clone().unwrap_or_default();
        let case = Case {
            id: NEW[target].to_owned(),
            title: new.title,
            description: new.description,
            priority: new.priority.map_or(PriorityReading::Unset, PriorityReading::exactly),
            created_at: Some(clocks.of(target)),
            subscribers: (target == Side::Google).then(|| google.subscribers.unwrap_or_default()),
            counterpart: Some(new.counterpart),
            by_connector: Some(true),
            synchronize: true,
            state_text: deps.systems[target].google_state_field().map(|_| String::new()),
            ..Case::default()
        };
        (step, "cases", Snapshot::new(case, Content::default(), None))
    };
    let first_status = first_status(deps, source, &ours, total);
    name_counterpart(&mut mapping, target, &theirs.case.id)?;
    let ours = Snapshot::new(ours, content, None);
    let (google, company) = match source {
        Side::Google => (&ours, &theirs),
        Side::Company => (&theirs, &ours),
    };
    let unchecked = KnownDifferent::default();
    let pair =
        Pair { mapping: &mapping, google, company, known_different: &unchecked, clocks, home: deps.home() };
    let ids = Sides { google: google.case.id.as_str(), company: company.case.id.as_str() };
    let known_different = compare::known_different(deps, &mapping, ids, lookalikes(pair, facts)).await?;
    let plan = plan(source, Pair { known_different: &known_different, ..pair }, &deps.settings.rules, facts);
    let mut preview = Preview::of(deps, source, &ours.case, &plan);
    preview.subscribers.add.splice(0..0, of_route);
    for step in &mut preview.steps {
        *step = step.replace(NEW[Side::Google], "the new case's name");
    }
    preview.steps.insert(0, step);
    preview.steps.extend(first_status);
    *preview.totals.entry(total.to_owned()).or_default() += 1;
    Ok(preview)
}

/// Returns the step that may give a new company case another status. The status that the CRM gives it is not known before.
fn first_status(deps: &Deps, source: Side, google: &Case, total: &str) -> Option<String> {
    let state = google.state.filter(|_| source == Side::Google && total == "cases")?;
    let (_, rule) = deps.settings.rules.statuses.rules().find(|(of, _)| *of == state)?;
    let unless = match rule.incompatible.as_slice() {
        [] => String::new(),
        incompatible => format!(", if it begins with one of {}", incompatible.join(", ")),
    };
    let (status, state) = (&rule.status, state.name());
    Some(format!("set the new case's status to {status:?}, since Google's state is {state}{unless}"))
}

fn name_counterpart(mapping: &mut CaseMapping, side: Side, id: &str) -> Result<(), SyncError> {
    let unusable = |error: crate::entities::NameError| SyncError::Failed(error.to_string());
    match side {
        Side::Google => mapping.google_case_name = Some(GoogleCaseName::parse(id).map_err(unusable)?),
        Side::Company => mapping.company_case_id = Some(CompanyCaseId::parse(id).map_err(unusable)?),
    }
    Ok(())
}
