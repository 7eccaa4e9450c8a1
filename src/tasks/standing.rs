//! State of a pair in words for people: what is wrong, since when, why, and what to do. A pure function of the mapping and the watermarks.

use std::borrow::Cow;

use chrono::{DateTime, Utc};

use super::detect_outages::lateness;
use super::sync_case::held_words;
use crate::cases::without_remedy;
use crate::entities::{CaseMapping, Global, Side, ToleranceTable};

/// Kind of state, the most urgent one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Out of step for longer than the tolerance.
    Late,
    /// Its syncs fail.
    Failing,
    /// The company case names a counterpart that it cannot have (`R31`, `R38`).
    Conflict,
    /// A case is not found (`R28`: missing is not gone).
    Missing,
    /// A case refuses every write (`R33`: final refusals).
    ReadOnly,
    /// A write was refused for good and given up (`R33`: final refusals).
    GivenUp,
    /// A change is on its way.
    Waiting,
    /// An operator has paused it.
    PausedByOperator,
    /// The company case has no flag (`R20`: leaving).
    PausedByFlag,
    /// An operator has ended it.
    Unlinked,
    /// A case no longer exists.
    Ended,
    /// Both cases are closed.
    Resolved,
    /// Nothing waits.
    InStep,
}

impl Kind {
    /// True if an operator has to look at it.
    #[must_use]
    pub const fn needs_look(self) -> bool {
        matches!(
            self,
            Self::Late | Self::Failing | Self::Conflict | Self::Missing | Self::ReadOnly | Self::GivenUp
        )
    }

    /// Returns the state in one or a few words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Late => "out of step",
            Self::Failing => "failing",
            Self::Conflict => "conflict",
            Self::Missing => "case not found",
            Self::ReadOnly => "takes no changes",
            Self::GivenUp => "given up",
            Self::Waiting => "on its way",
            Self::PausedByOperator => "paused by an operator",
            Self::PausedByFlag => "paused: no flag",
            Self::Unlinked => "unlinked",
            Self::Ended => "ended",
            Self::Resolved => "resolved",
            Self::InStep => "in step",
        }
    }
}

/// State of a pair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Kind of state.
    pub kind: Kind,
    /// Time since which it is so, as far as that is known.
    pub since: Option<DateTime<Utc>>,
    /// Cause. Empty if there is nothing to say.
    pub why: String,
    /// Advice for a person: the remedy of the error, if it has one. Empty if there is nothing to do.
    pub advice: Cow<'static, str>,
    /// True if the pair is out of step for longer than its tolerance, whatever the kind.
    pub is_late: bool,
}

/// Advice for an error that names no remedy.
const REPAIR: &str = "Repair the cause that the error names; `casebridge check` tries every connection and right, and says what to do";
/// End of the advice about every error.
const AGAIN: &str = "After a change of the configuration, restart the service. The queue tries again by itself, every 5 minutes at most; \
    Retry tries now.";

/// Returns the advice about an error with that remedy.
fn repair(remedy: Option<&str>) -> Cow<'static, str> {
    format!("{}. {AGAIN}", remedy.unwrap_or(REPAIR)).into()
}

fn and_more(number: usize) -> String {
    if number == 0 { String::new() } else { format!("; and {number} more") }
}

/// Returns the state of a pair at `now`. Of several states, the most telling: an error says more than the lateness that it causes.
#[must_use]
pub fn standing(
    mapping: &CaseMapping,
    global: &Global,
    tolerances: &ToleranceTable,
    now: DateTime<Utc>,
) -> Standing {
    let state = &mapping.state;
    let known = |kind, since, why: String, advice: &'static str| {
        let advice = Cow::Borrowed(advice);
        Standing { kind, since, why, advice, is_late: false }
    };
    if let (Some(order), Some(words)) = (mapping.held(), held_words(mapping)) {
        let is_unlinked = state.unlinked.is_some();
        let (kind, advice) = if is_unlinked {
            (Kind::Unlinked, "Resume links the two cases again and carries what was written in between.")
        } else {
            (Kind::PausedByOperator, "Resume carries everything that was written in between.")
        };
        return known(kind, Some(order.since), words, advice);
    }
    if let Some(conflict) = &state.conflict {
        return known(
            Kind::Conflict,
            Some(conflict.since),
            conflict.reason.clone(),
            "Clear the field on the company case, if it was copied from another, or correct it; the next poll looks again.",
        );
    }
    if let Some(side) = mapping.gone {
        let why = match &state.merged_into {
            Some(into) => format!("the company case was merged into {into}, which has a pair of its own"),
            None => format!("the {side} case no longer exists"),
        };
        return known(Kind::Ended, mapping.resolved_at, why, "");
    }
    if mapping.paused {
        let why = "the company case has no flag".to_owned();
        return known(Kind::PausedByFlag, None, why, "Set the flag on the company case to go on.");
    }
    let oldest = Side::BOTH.into_iter().filter_map(|side| mapping.dirty[side]).map(|dirty| dirty.since).min();
    let is_late = lateness(tolerances, global, mapping, now).is_some();
    let advised = |kind, since, why: String, advice| Standing { kind, since, why, advice, is_late };
    let looked_at =
        |kind, since, why: String, advice: &'static str| advised(kind, since, why, Cow::Borrowed(advice));
    for side in Side::BOTH {
        if let Some(missing) = state.missing[side] {
            let why = format!("the {side} case is not found; {} reads did not show it", missing.reads);
            let advice = "If the case exists, give the connector's user the right to read it. If it was deleted, the pair ends by itself.";
            return looked_at(Kind::Missing, Some(missing.since), why, advice);
        }
    }
    if let Some(error) = &mapping.last_error {
        // A sync of the other side that ended well may have begun the count anew.
        let since = state.failing.as_ref().map(|failing| failing.since).into_iter().chain(oldest).min();
        let remedy = state.failing.as_deref().and_then(|failing| failing.remedy.as_deref());
        let why = without_remedy(error, remedy).to_owned();
        return advised(Kind::Failing, since, why, repair(remedy));
    }
    for side in Side::BOTH {
        if let Some(read_only) = &state.read_only[side] {
            let why = format!("the {side} case refuses every change");
            let advice = "Give the connector's user the right to change it, or reopen it; then Retry. It is tried once a day anyway.";
            return looked_at(Kind::ReadOnly, Some(read_only.since), why, advice);
        }
    }
    // The sync of the other side may have ended well since, and its error is forgotten.
    let mut still_tried = state.refusals.iter().filter(|refusal| !refusal.given_up);
    if let Some(refusal) = still_tried.next() {
        let remedy = refusal.remedy.as_deref();
        let why = format!("{}{}", without_remedy(&refusal.reason, remedy), and_more(still_tried.count()));
        return advised(Kind::Failing, Some(refusal.since), why, repair(remedy));
    }
    if is_late {
        let since = oldest
            .or_else(|| Side::BOTH.into_iter().filter_map(|side| mapping.synced_at(side, global)).min());
        let why = if mapping.is_linked() {
            "no sync has carried its changes in the tolerated time, and none has failed".to_owned()
        } else {
            "it has no counterpart yet".to_owned()
        };
        let advice = "If a side is not polled, repair that first: the overview says why. If both are, Sync now carries it at once, or says why not.";
        return looked_at(Kind::Late, since, why, advice);
    }
    let mut given_up = state.refusals.iter().filter(|refusal| refusal.given_up);
    if let Some(refusal) = given_up.next() {
        let remedy = refusal.remedy.as_deref();
        let why = format!("{}{}", without_remedy(&refusal.reason, remedy), and_more(given_up.count()));
        let advice = remedy.map_or(
            Cow::Borrowed("Repair the cause and Retry, or leave it: it is explained on the case."),
            |remedy| format!("{remedy}. Then Retry, or leave it: it is explained on the case.").into(),
        );
        return advised(Kind::GivenUp, Some(refusal.since), why, advice);
    }
    if let Some(since) = oldest {
        let sides: Vec<&str> =
            Side::BOTH.into_iter().filter(|side| mapping.dirty[*side].is_some()).map(Side::name).collect();
        let why = format!("changes of the {} side are on their way", sides.join(" and the "));
        return looked_at(Kind::Waiting, Some(since), why, "");
    }
    match mapping.resolved_at {
        Some(at) => looked_at(Kind::Resolved, Some(at), String::new(), ""),
        None => looked_at(Kind::InStep, None, String::new(), ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entities::{
        Conflict, ConflictCause, FirstSeen, GoogleCaseName, Order, ReadOnly, Refusable, Refusal,
    };
    use chrono::Duration;

    fn start() -> DateTime<Utc> {
        "2026-03-01T10:00:00Z".parse().unwrap()
    }

    fn linked() -> CaseMapping {
        let name = GoogleCaseName::parse("organizations/1/cases/7").unwrap();
        let mut mapping = CaseMapping::first_seen(FirstSeen::Google(name), None, None, start());
        mapping.company_case_id = crate::entities::CompanyCaseId::parse("10001").ok();
        mapping.dirty[Side::Google] = None;
        mapping.move_stored_synced_at(Side::Google, start());
        mapping
    }

    #[test]
    fn each_state_is_told_with_its_time_its_cause_and_what_to_do() {
        let order = || Some(Box::new(Order { since: start(), by: "Jane".to_owned(), reason: None }));
        let refusal = Refusal {
            side: Side::Company,
            what: Refusable::Priority,
            since: start(),
            tries: 3,
            tried_at: start(),
            reason: "not on the screen".to_owned(),
            remedy: None,
            given_up: true,
        };
        let change = |change: &dyn Fn(&mut CaseMapping)| {
            let mut mapping = linked();
            change(&mut mapping);
            mapping
        };
        let soon = start() + Duration::minutes(1);
        for (kind, mapping, now, why) in vec![
            (Kind::InStep, linked(), soon, ""),
            (Kind::Resolved, change(&|m| m.resolved_at = Some(start())), soon, ""),
            (
                Kind::Waiting,
                change(&|m| m.dirty.company = Some(crate::entities::Dirty::since(start()))),
                soon,
                "company side",
            ),
            (Kind::Late, linked(), start() + Duration::days(2), "no sync has carried"),
            (Kind::Failing, change(&|m| m.failed("HTTP 500".to_owned(), start())), soon, "HTTP 500"),
            (Kind::PausedByFlag, change(&|m| m.paused = true), soon, "no flag"),
            (Kind::Ended, change(&|m| m.gone = Some(Side::Google)), soon, "google case no longer exists"),
            (Kind::PausedByOperator, change(&|m| m.state.operator_pause = order()), soon, "paused by Jane"),
            (Kind::Unlinked, change(&|m| m.state.unlinked = order()), soon, "unlinked by Jane"),
            (Kind::GivenUp, change(&|m| m.state.refusals.push(refusal.clone())), soon, "not on the screen"),
            (
                Kind::ReadOnly,
                change(&|m| {
                    m.state.read_only.company =
                        Some(ReadOnly { since: start(), tried_at: start(), told: true });
                }),
                soon,
                "refuses every change",
            ),
            (
                Kind::Conflict,
                change(&|m| {
                    m.state.conflict = Some(Conflict {
                        reason: "taken".to_owned(),
                        since: start(),
                        told: true,
                        cause: ConflictCause::Claim,
                    });
                }),
                soon,
                "taken",
            ),
        ] {
            let told = standing(&mapping, &Global::default(), &ToleranceTable::default(), now);
            assert_eq!(told.kind, kind, "{told:?}");
            assert!(told.why.contains(why), "{told:?}");
            let acts = !matches!(kind, Kind::InStep | Kind::Resolved | Kind::Waiting | Kind::Ended);
            assert_eq!(!told.advice.is_empty(), acts, "{told:?}");
            assert_eq!(told.kind.needs_look(), kind <= Kind::GivenUp);
        }
    }

    #[test]
    fn the_remedy_of_an_error_is_the_advice_and_not_a_part_of_the_cause() {
        let told = |mapping: &CaseMapping| {
            standing(mapping, &Global::default(), &ToleranceTable::default(), start())
        };
        let mut mapping = linked();
        mapping.failed("HTTP 401; renew the token".to_owned(), start());
        // As a version before this one has stored it.
        let older = told(&mapping);
        assert_eq!(older.why, "HTTP 401; renew the token");
        assert!(older.advice.contains("casebridge check"), "{older:?}");
        if let Some(failing) = &mut mapping.state.failing {
            failing.remedy = Some("renew the token".to_owned());
        }
        let newer = told(&mapping);
        assert_eq!(newer.why, "HTTP 401");
        assert!(newer.advice.starts_with("renew the token. After a change"), "{newer:?}");
        let mut mapping = linked();
        for given_up in [false, true] {
            let reason = "not on the screen; put it there".to_owned();
            let refusal = mapping.state.refused_again(Side::Company, Refusable::Close, start(), reason);
            let remedy = Some("put it there".to_owned());
            mapping.state.keep_refusal(Refusal { remedy, given_up, ..refusal });
            let told = told(&mapping);
            assert_eq!(told.kind, if given_up { Kind::GivenUp } else { Kind::Failing });
            assert_eq!(told.why, "not on the screen");
            assert!(told.advice.starts_with("put it there. "), "{told:?}");
        }
    }
}
