//! Checks of everything that the tasks depend on, for `casebridge check` and `GET /api/check`. It is not a task, and changes nothing.

use chrono::{DateTime, Duration, Utc};

use super::effects::check_effects;
use super::{Deps, Since};
use crate::cases::{
    CaseSystem, Check, CredentialEnd, Details, Finding, KnownStatus, Needs, PlacementError, SeenScopes,
    Statuses, Trouble, Wanted, fold, shorten,
};
use crate::entities::{GoogleState, Side};
use crate::queue::TaskQueue;
use crate::store::Store;
use crate::sync::{
    Destination, EscalationRule, Pattern, Placing, Route, RouteTable, Rules, StatusRule, StatusTable,
};

/// Largest difference between two clocks that is no trouble (`R36`: clock skew).
const MAX_SKEW: Duration = Duration::seconds(60);
/// Time before the end of credentials from which on it is a warning.
const WARNED_BEFORE: Duration = Duration::days(30);

/// Checks the store, the queues and both systems. The first result is the store's.
pub async fn check(deps: &Deps) -> Vec<Check> {
    let mut checks = vec![Check::new("store", check_store(deps.store.as_ref()).await)];
    checks.extend(check_queues(deps.queue.as_ref()).await);
    for side in Side::BOTH {
        let system = deps.systems[side].as_ref();
        checks.extend(check_system(system, deps.settings.rules.needs(side), deps.clock.now()).await);
        checks.extend(check_routes(system, &deps.settings.routes, &deps.settings.placing).await);
    }
    let company = deps.systems[Side::Company].as_ref();
    checks.extend(check_rules(company, &deps.settings.rules).await);
    checks.extend(check_effects(company, &deps.settings));
    checks.extend(check_since(deps.settings.since, deps.clock.now()));
    checks
}

/// Looks up in the CRM what the rules name there.
pub async fn check_rules(company: &dyn CaseSystem, rules: &Rules) -> Vec<Check> {
    let mut checks = check_statuses(company, &rules.statuses).await;
    checks.extend(check_escalation(company, rules.escalation.as_ref()).await);
    checks
}

/// Checks that the store can be used.
pub async fn check_store(store: &dyn Store) -> Finding {
    store.check().await.map_err(|error| Trouble::from(error.to_string()))?;
    Ok("can be read and written".to_owned())
}

/// Checks the queues.
pub async fn check_queues(queue: &dyn TaskQueue) -> Vec<Check> {
    let mut checks = queue.check().await;
    fold(&mut checks);
    checks
}

/// Checks a system and the end of its credentials, and afterwards its clock, which its answers have shown by then.
pub async fn check_system(system: &dyn CaseSystem, needs: Needs, now: DateTime<Utc>) -> Vec<Check> {
    let mut checks = system.check(needs).await;
    fold(&mut checks);
    let name = system_name(system);
    if let Some(end) = system.credential_end() {
        checks.push(Check::new(format!("{name}: end of the credentials"), credentials(&end, now)));
    }
    if let Some(skew) = system.clock_skew() {
        checks.push(Check::new(format!("{name}: clock skew"), clock(name, skew)));
    }
    checks
}

/// Checks `sync.since`: no line unless it is wrong.
#[must_use]
pub fn check_since(since: Since, now: DateTime<Utc>) -> Option<Check> {
    let problem = since.problem(now)?;
    Some(Check::new(
        "option sync.since",
        Err(Trouble::failed(problem, "give \"now\" or a time that is over")),
    ))
}

/// Checks what the routes, and the keys beside them, name in a system: a line for each route in the system that it creates cases in, one for
/// each route whose conditions can be looked up, and one for the fields of `[google]`.
pub async fn check_routes(system: &dyn CaseSystem, routes: &RouteTable, placing: &Placing) -> Vec<Check> {
    let name = system_name(system);
    let mut checks = Vec::new();
    if system.side() == Side::Google {
        for (number, route) in routes.company_routes() {
            let finding = system.check_google_placement(&route.placement).await;
            checks.push(Check::new(format!("{name}: route {number}"), finding));
        }
        checks.extend(check_projects(system, routes).await);
        return checks;
    }
    for (number, route) in routes.google_routes() {
        let finding = match &route.destination {
            Destination::Mirror(placement) if !placement.keys().is_empty() => {
                system.check_placement(placement).await
            }
            Destination::Mirror(_) => {
                Ok("what matches is mirrored as without a route (mirror = true)".to_owned())
            }
            Destination::LeaveOut => Ok("what matches gets no company case (mirror = false)".to_owned()),
        };
        checks.push(Check::new(format!("{name}: route {number}"), finding));
    }
    for (number, route) in routes.company_routes() {
        let literals = route.conditions.literals();
        let fields = route.conditions.fields.keys().cloned().collect();
        let wanted = Wanted { terms: literals != Details::default(), fields, people: Vec::new() };
        if !wanted.is_empty() {
            let finding = system.check_details(&wanted, &literals).await;
            checks.push(Check::new(format!("{name}: match of route {number}"), finding));
        }
    }
    let fields = placing.parent_field.iter().chain(&placing.classification_field).cloned().collect();
    let people = placing.subscribers_from.clone();
    for (what, wanted) in [
        ("fields with the place of Google cases", Wanted { fields, ..Wanted::default() }),
        ("people who get Google's mails", Wanted { people, ..Wanted::default() }),
    ] {
        if !wanted.is_empty() {
            let finding = system.check_details(&wanted, &Details::default()).await;
            checks.push(Check::new(format!("{name}: {what}"), finding));
        }
    }
    checks
}

/// Compares `match.project` of the routes for Google cases with the projects whose cases are visible: a line for each route that has it.
async fn check_projects(system: &dyn CaseSystem, routes: &RouteTable) -> Vec<Check> {
    let name = system_name(system);
    let has_projects = |(_, route): &&(usize, Route)| !route.conditions.project.is_empty();
    let routes: Vec<&(usize, Route)> = routes.google_routes().iter().filter(has_projects).collect();
    if routes.is_empty() {
        return Vec::new();
    }
    let seen = match system.seen_scopes().await {
        Ok(seen) => seen,
        Err(error) => {
            let trouble = Trouble::of(&error, "the projects of cases cannot be looked up");
            return vec![Check::new(format!("{name}: projects of routes"), Err(trouble))];
        }
    };
    let mut checks = Vec::new();
    for (number, route) in routes {
        let finding = projects(system, &route.conditions.project, &seen).await;
        checks.push(Check::new(format!("{name}: match of route {number}"), finding));
    }
    checks
}

/// Judges the patterns for projects of one route.
async fn projects(system: &dyn CaseSystem, patterns: &[Pattern], seen: &SeenScopes) -> Finding {
    let id = |scope: &String| scope.strip_prefix("projects/").unwrap_or(scope).to_owned();
    let ids: Vec<String> = seen.scopes.iter().map(id).collect();
    let (mut found, mut lacking) = (Vec::new(), Vec::new());
    for pattern in patterns {
        let matched = ids.iter().filter(|id| pattern.matches(id)).count();
        if matched > 0 {
            found.push(format!("project {pattern}"));
            continue;
        }
        let Some(project) = pattern.literal() else {
            lacking.push(format!("no visible case is in a project like {:?}", pattern.to_string()));
            continue;
        };
        match system.check_parent(&format!("projects/{project}")).await {
            Ok(()) => found.push(format!("project {project}, which has no case yet")),
            Err(PlacementError::Unusable(problem)) => lacking.push(problem),
            Err(PlacementError::Api(error)) => return Err((&error).into()),
        }
    }
    if lacking.is_empty() {
        return Ok(found.join(", "));
    }
    let of = if seen.complete { "the visible cases are" } else { "the newest visible cases are" };
    let known = match ids.as_slice() {
        [] => "no case is visible yet".to_owned(),
        ids => format!("{of} of {}", ids.join(", ")),
    };
    Err(Trouble::warning(lacking.join("; "), format!("correct match.project of the route; {known}")))
}

/// Looks up the fields of `google.escalate_field` and `google.escalate_justification_field` in the CRM. That Google takes an escalation cannot
/// be tried: it would call people.
pub async fn check_escalation(system: &dyn CaseSystem, rule: Option<&EscalationRule>) -> Vec<Check> {
    let Some(rule) = rule.filter(|_| system.side() == Side::Company) else { return Vec::new() };
    let wanted = Wanted { terms: false, ..rule.wanted() };
    if wanted.is_empty() {
        return Vec::new();
    }
    let finding = system.check_details(&wanted, &Details::default()).await;
    vec![Check::new(format!("{}: fields for escalations", system_name(system)), finding)]
}

/// Looks up the statuses of `[status.google]` and `[status.incompatible]` in the CRM: a line for each of Google's states that has one.
pub async fn check_statuses(system: &dyn CaseSystem, table: &StatusTable) -> Vec<Check> {
    if table.is_empty() {
        return Vec::new();
    }
    let name = system_name(system);
    let statuses = match system.statuses().await {
        Ok(statuses) => statuses,
        Err(error) => {
            let trouble = Trouble::of(&error, "the statuses of cases cannot be looked up");
            return vec![Check::new(format!("{name}: statuses"), Err(trouble))];
        }
    };
    let check = |(state, rule): (GoogleState, &StatusRule)| {
        let state = state.name();
        Check::new(format!("{name}: status for {state}"), status(state, rule, &statuses))
    };
    table.rules().map(check).collect()
}

/// Judges the configured statuses for one of Google's states.
fn status(state: &str, rule: &StatusRule, statuses: &Statuses) -> Finding {
    if statuses.known.is_empty() {
        return Ok(format!("{:?}; the statuses cannot be looked up: not tried", rule.status));
    }
    let find =
        |wanted: &str| statuses.known.iter().filter(|known| known.is_called(wanted)).collect::<Vec<_>>();
    let listed = |is_fit: fn(&KnownStatus) -> bool| {
        let known = statuses.known.iter().filter(|known| is_fit(known));
        known.map(|known| known.shown.as_str()).collect::<Vec<_>>().join(", ")
    };
    let key = format!("status.google.{state}");
    let found = find(&rule.status);
    let to_set = || format!("name one of {} in {key}", listed(|known| !known.closed));
    if !found.is_empty() && found.iter().all(|known| known.closed) {
        return Err(Trouble::failed(
            format!("{:?} means that the case is closed, which would close the Google case", rule.status),
            to_set(),
        ));
    }
    let keys = format!("status.incompatible.{state}");
    let has = |wanted: &&String| find(wanted).iter().any(|known| !known.is_way);
    let lacking = rule.incompatible.iter().filter(|wanted| !has(wanted));
    let lacking: Vec<String> = lacking.map(|wanted| format!("{:?}", shorten(wanted))).collect();
    let doubtful = if statuses.complete { Trouble::failed } else { Trouble::warning };
    let seen =
        if statuses.complete { "there is no status" } else { "none of the statuses that were seen is" };
    match (found.first(), lacking.as_slice()) {
        (None, _) => Err(doubtful(format!("{seen} {:?}", rule.status), to_set())),
        (Some(_), [_, ..]) => Err(doubtful(
            format!("{seen} {}", lacking.join(" or ")),
            format!("name some of {} in {keys}", listed(|known| !known.is_way)),
        )),
        (Some(found), []) if rule.incompatible.is_empty() => {
            Ok(format!("{}, in place of any other", found.shown))
        }
        (Some(found), []) => Ok(format!("{}, in place of {}", found.shown, rule.incompatible.join(", "))),
    }
}

/// Returns the short name of a system, as in the metrics: `CSAPI`, `Jira`.
#[must_use]
pub fn system_name(system: &dyn CaseSystem) -> &'static str {
    match system.side() {
        Side::Google => "CSAPI",
        Side::Company => system.capabilities().name,
    }
}

/// Returns the name of a side in sentences for people: `Google`, `Jira`.
#[must_use]
pub fn name_of_side(deps: &Deps, side: Side) -> &'static str {
    match side {
        Side::Google => "Google",
        Side::Company => deps.systems[side].capabilities().name,
    }
}

/// Judges the end of a system's credentials.
fn credentials(end: &CredentialEnd, now: DateTime<Utc>) -> Finding {
    let CredentialEnd { what, at, hint } = end;
    let (date, days) = (at.format("%F"), (*at - now).num_days());
    let text = match days {
        _ if *at <= now => format!("{what} ended on {date}"),
        0 => format!("{what} ends on {date}, in less than a day"),
        1 => format!("{what} ends on {date}, in 1 day"),
        _ => format!("{what} ends on {date}, in {days} days"),
    };
    if *at - now > WARNED_BEFORE { Ok(text) } else { Err(Trouble::warning(text, hint)) }
}

/// Judges the lead of a system's clock over ours (`R36`: clock skew).
fn clock(name: &str, skew: Duration) -> Finding {
    let seconds = skew.abs().num_seconds();
    let way = if skew < Duration::zero() { "behind" } else { "ahead of" };
    let apart = match seconds {
        0 => format!("{name}'s clock and this machine's agree"),
        1 => format!("{name}'s clock is 1 second {way} this machine's"),
        _ => format!("{name}'s clock is {seconds} seconds {way} this machine's"),
    };
    if skew.abs() <= MAX_SKEW {
        return Ok(apart);
    }
    let hint = format!(
        "if the other system's clock agrees with this machine's, leave this one alone and tell whoever runs {name}; if both differ alike, set \
         this machine's, for example with `timedatectl set-ntp true`"
    );
    Err(Trouble::warning(apart, hint))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cases::CheckStatus;

    #[test]
    fn credentials_that_end_within_30_days_are_a_warning() {
        let now: DateTime<Utc> = "2027-02-01T12:00:00Z".parse().unwrap();
        for (at, status, text) in [
            ("2027-04-30T00:00:00Z", CheckStatus::Ok, "ends on 2027-04-30, in 87 days"),
            ("2027-03-03T12:00:01Z", CheckStatus::Ok, "in 30 days"),
            ("2027-03-03T12:00:00Z", CheckStatus::Warn, "in 30 days"),
            ("2027-02-02T00:00:00Z", CheckStatus::Warn, "in less than a day"),
            ("2027-02-01T12:00:00Z", CheckStatus::Warn, "ended on 2027-02-01"),
            ("2026-12-01T00:00:00Z", CheckStatus::Warn, "ended on 2026-12-01"),
        ] {
            let end = CredentialEnd {
                what: "the token".to_owned(),
                at: at.parse().unwrap(),
                hint: "make another".to_owned(),
            };
            let check = Check::new("", credentials(&end, now));
            assert_eq!(check.status, status, "{check:?}");
            assert!(check.detail.contains(text), "{check:?}");
            assert_eq!(check.hint.is_some(), status == CheckStatus::Warn, "{check:?}");
        }
    }

    #[test]
    fn clocks_more_than_a_minute_apart_are_a_warning() {
        for (seconds, status, text) in [
            (0, CheckStatus::Ok, "Jira's clock and this machine's agree"),
            (-1, CheckStatus::Ok, "1 second behind"),
            (60, CheckStatus::Ok, "60 seconds ahead of this machine's"),
            (61, CheckStatus::Warn, "61 seconds ahead of this machine's"),
            (-3_600, CheckStatus::Warn, "3600 seconds behind this machine's"),
        ] {
            let check = Check::new("Jira: clock skew", clock("Jira", Duration::seconds(seconds)));
            assert_eq!(check.status, status, "{seconds}");
            assert!(check.detail.contains(text), "{check:?}");
            assert_eq!(check.hint.is_some(), status == CheckStatus::Warn, "{check:?}");
        }
    }
}
