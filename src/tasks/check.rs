//! Checks of everything that the tasks depend on, for `casebridge check` and `GET /api/check`. It is not a task, and changes nothing.

use chrono::{DateTime, Duration, Utc};

use super::Deps;
use crate::cases::{CaseSystem, Check, CredentialEnd, Finding, Needs, Trouble, fold};
use crate::entities::Side;
use crate::queue::TaskQueue;
use crate::store::Store;
use crate::sync::{Destination, RouteTable};

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
    }
    checks.extend(check_routes(deps.systems[Side::Company].as_ref(), &deps.settings.routes).await);
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

/// Checks what the routes set in the CRM: a line for each route that sets anything.
pub async fn check_routes(system: &dyn CaseSystem, routes: &RouteTable) -> Vec<Check> {
    let name = system_name(system);
    let mut checks = Vec::new();
    for (number, route) in (1..).zip(routes.routes()) {
        match &route.destination {
            Destination::Mirror(placement) if !placement.keys().is_empty() => {
                let finding = system.check_placement(placement).await;
                checks.push(Check::new(format!("{name}: route {number}"), finding));
            }
            Destination::Mirror(_) | Destination::LeaveOut => {}
        }
    }
    checks
}

/// Returns the short name of a system, as in the metrics: `CSAPI`, `Jira`.
#[must_use]
pub fn system_name(system: &dyn CaseSystem) -> &'static str {
    match system.side() {
        Side::Google => "CSAPI",
        Side::Company => system.capabilities().name,
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
        "set this machine's clock, for example with `timedatectl set-ntp true`; if it is right, tell whoever runs {name}"
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
