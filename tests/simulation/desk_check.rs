//! Checks of the features of the desk: whenever something is written for them, and in the end.

use casebridge::cases::{ApiError, Case, NewCase};
use casebridge::entities::{CaseMapping, GooglePlacement, GoogleState, Priority};

use crate::check::{across, check_flag, grace};
use crate::desk::{DOMAIN, PEOPLE, PROJECT, RAISED, gives_way, justification, normal, rule, urgent_project};
use crate::history::{Company, Google, Ms, Side};
use crate::model::{Card, Writer, key};
use crate::world::World;

/// The words for Google's state in the field of the company case.
fn words(state: GoogleState, escalated: bool) -> String {
    let words = match state {
        GoogleState::New => "New at Google (new)",
        GoogleState::InProgressGoogleSupport => "Google works on it (in progress)",
        GoogleState::ActionRequired => "Waiting for you (action required)",
        GoogleState::SolutionProvided => "Google offers a solution (solution provided)",
        GoogleState::Closed => "Closed at Google (closed)",
    };
    format!("{words}{}", if escalated { ", escalated" } else { "" })
}

/// Returns how a case has looked for as long as a write may have been under way.
pub(crate) fn lately<'a>(world: &World, card: &'a Card) -> impl Iterator<Item = &'a Case> {
    card.shown_since(world.now - grace(world)).iter().map(|(_, case)| case)
}

pub(crate) fn is_recent(world: &World, at: Option<Ms>) -> bool {
    at.is_some_and(|at| world.now - at < grace(world))
}

/// Both cases of the pair of a Google case or a company case. `None`: the pair went on with another company case, whose past is not known.
pub(crate) fn pair<'a>(world: &'a World, side: Side, id: &str) -> Option<(&'a Card, &'a Card)> {
    if world.systems[Company].cards.values().any(|card| card.merged_into.is_some()) {
        return None;
    }
    let other = across(world, side, id)?;
    let (ours, theirs) = (world.systems[side].card(id)?, world.systems[side.other()].card(&other)?);
    Some(if side == Google { (ours, theirs) } else { (theirs, ours) })
}

/// The connector is about to set the status of a company case: Google's state has changed, and the status is one that gives way.
pub(crate) fn sets_status(world: &mut World, id: &str, status: &str) {
    check_flag(world, Company, id, "a status is set");
    let Some((google, company)) = pair(world, Company, id) else { return };
    let seen: Vec<GoogleState> = lately(world, google).filter_map(|case| case.state).collect();
    let of_state = |state: &GoogleState| {
        let Some(rule) = rule(*state).filter(|(wanted, _)| *wanted == status) else { return false };
        lately(world, company).flat_map(|case| &case.status).any(|status| gives_way(rule, status))
    };
    let is_meant = seen.iter().any(of_state);
    let all: Vec<GoogleState> =
        google.shown_since(Ms::MIN).iter().filter_map(|(_, case)| case.state).collect();
    let is_ruled = |states: &&[GoogleState]| states[0] != states[1] && rule(states[1]).is_some();
    let changes = all.windows(2).filter(is_ruled).count();
    let tally = &google.desk.tally;
    // A company case that the connector created gets its first status by Google's state, without a change of it.
    let is_its = |card: &&Card| {
        let other = across(world, Company, &card.id);
        card.by == Writer::Connector && other.is_some_and(|other| key(&other) == key(&google.id))
    };
    let created = world.systems[Company].cards.values().filter(is_its).count();
    let is_known = (tally.statuses_set as usize) < changes + created + tally.status_races as usize;
    let google_id = google.id.clone();
    let before = company.desk.status.clone();
    if !is_meant {
        world.violate(format!(
            "the status of company case {id} becomes {status:?} from {before:?}, though Google's state is {seen:?}"
        ));
    } else if !is_known {
        world.violate(format!(
            "the status of company case {id} is set once more, though Google's state has changed {changes} times"
        ));
    }
    if let Some(google) = world.systems[Google].card_mut(&google_id) {
        google.desk.tally.statuses_set += 1;
    }
}

/// The connector is about to write Google's state onto a company case.
pub(crate) fn shows_state(world: &mut World, id: &str, text: &str) {
    check_flag(world, Company, id, "Google's state is shown");
    let Some((google, _)) = pair(world, Company, id) else { return };
    let is = |case: &Case| case.state.is_some_and(|state| words(state, case.escalated) == text);
    if !lately(world, google).any(is) {
        let text = format!("company case {id} shows {text:?}, which Google's state is not");
        world.violate(text);
    }
}

/// Returns true if a company case is raised, or was until lately.
pub(crate) fn is_raised(world: &World, company: &Card) -> bool {
    company.desk.raised.is_some() || is_recent(world, company.desk.tally.raise_changed)
}

/// A request for an escalation arrives: somebody raised the company case and justified that, and it is the first one for that.
pub(crate) fn escalates(world: &mut World, id: &str, text: &str) {
    check_flag(world, Google, id, "an escalation is asked for");
    let Some((google, company)) = pair(world, Google, id) else { return };
    // Systems change white space, and people do.
    let words = |text: &str| text.split_whitespace().collect::<String>();
    let says = |body: &str| justification(body.trim()).map(words) == Some(words(text));
    let by_people = |by: Writer| by == Writer::Person;
    let note = company.notes.iter().find(|note| by_people(note.by) && note.bodies().any(says));
    // Where a newer comment was deleted or edited, nobody knows that an older one was used before.
    let is_clear = company.notes.iter().all(|note| note.deleted.is_none() && note.earlier.is_empty());
    let number = note.map(|note| note.id);
    let used = number.is_some_and(|number| google.desk.tally.justified.contains(&number)) && is_clear;
    let company_id = company.id.clone();
    let wrong = if !is_raised(world, company) {
        Some(format!("Google case {id} is escalated, though company case {company_id} is not raised"))
    } else if number.is_none() {
        Some(format!("Google case {id} is escalated with {text:?}, which nobody wrote"))
    } else if company.desk.tally.requested > 0 {
        Some(format!("Google case {id} is escalated once more for one raise (R13)"))
    } else {
        used.then(|| format!("Google case {id} is escalated with {text:?}, which was used before"))
    };
    if let Some(wrong) = wrong {
        world.violate(wrong);
    }
    if let Some(google) = world.systems[Google].card_mut(id) {
        google.desk.tally.justified.extend(number);
    }
    if let Some(company) = world.systems[Company].card_mut(&company_id) {
        company.desk.tally.requested += 1;
    }
}

/// The connector is about to set the subscribers of a Google case.
pub(crate) fn subscribes(world: &mut World, id: &str, wanted: &[String]) {
    check_flag(world, Google, id, "subscribers are set");
    let Some((google, company)) = pair(world, Google, id) else { return };
    let tally = &google.desk.tally;
    let by_hand = |address: &str| is_recent(world, tally.hand.get(&normal(address)).copied());
    let watch_changed =
        |address: &str| is_recent(world, company.desk.tally.watch_changed.get(&normal(address)).copied());
    let known_since = world.shelf.of(Google, id).and_then(|mapping| mapping.linked_at);
    let is_of_earlier_pair =
        tally.first_subscribed.is_some_and(|at| known_since > Some(world.in_our_time(at)));
    let mut wrong = None;
    for address in wanted.iter().filter(|address| !google.desk.is_subscribed(address)) {
        let is_allowed = address.matches('@').count() == 1
            && address.rsplit_once('@').is_some_and(|(_, domain)| domain.eq_ignore_ascii_case(DOMAIN));
        let is_theirs = company.desk.is_watched_by(address) || watch_changed(address);
        if by_hand(address) {
            continue;
        }
        if !is_allowed {
            wrong = Some(format!("{address} is subscribed, who is not of this house"));
        } else if !is_theirs {
            wrong = Some(format!("{address} is subscribed, who does not watch company case {}", company.id));
        } else if tally.removed.contains(&normal(address)) && !is_of_earlier_pair && !watch_changed(address) {
            wrong = Some(format!("{address} is subscribed again, whom a person at Google removed (R30)"));
        }
    }
    let is_kept = |address: &String| wanted.iter().any(|kept| normal(kept) == normal(address));
    for address in google.desk.subscribers.iter().filter(|address| !is_kept(address)) {
        let watches = company.desk.is_watched_by(address) && !watch_changed(address);
        let may_be_ours = tally.ours.contains(&normal(address)) || tally.asked.contains(&normal(address));
        if !by_hand(address) && (watches || !may_be_ours) {
            wrong = Some(format!("{address} is subscribed no more, whom the connector may not remove (R30)"));
        }
    }
    if let Some(wrong) = wrong {
        world.violate(format!("{wrong} (Google case {id})"));
    }
}

/// The place where the counterpart of a case belongs is another.
pub(crate) fn misplaced(world: &World, side: Side, source: &Card, new: &NewCase) -> Option<String> {
    if !world.setting.desk.routes {
        return None;
    }
    if source.desk.test_case {
        return Some(format!("a counterpart of {}, which a route leaves out", source.id));
    }
    match side {
        Company => {
            let is_urgent = |level: Option<Priority>| matches!(level, Some(Priority::P0 | Priority::P1));
            let project = urgent_project(&world.setting).to_string();
            let fits = lately(world, source).any(|case| {
                let wanted = Some(&project).filter(|_| is_urgent(case.priority.level()));
                new.placement.project.as_ref() == wanted
            });
            (!fits).then(|| format!("the counterpart of {} is in a place of no route", source.id))
        }
        // A creation that may have happened is repeated where it was begun.
        Google => {
            let wanted = source.desk.has_label().then_some(PROJECT);
            let was_begun = world.creations.get(&source.id).is_some_and(|(_, begun)| *begun == new.google);
            let changed = is_recent(world, source.desk.tally.label_changed);
            let fits = new.google.parent.as_deref() == wanted || changed || was_begun;
            (!fits).then(|| format!("the counterpart of {} is in a place of no route", source.id))
        }
    }
}

/// The connector sends a creation. One that may have happened already is repeated in the same place only.
pub(crate) fn creates(world: &mut World, side: Side, new: &NewCase) {
    if side == Company || !world.setting.desk.routes {
        return;
    }
    let company = key(&new.counterpart).to_owned();
    let mapping = world.shelf.of(Company, &company).map_or(0, |mapping| mapping.id.0);
    let earlier = world.creations.insert(company.clone(), (mapping, new.google.clone()));
    let is_moved = |(begun_by, place): (i64, GooglePlacement)| begun_by == mapping && place != new.google;
    if earlier.is_some_and(is_moved) {
        world.violate(format!("the counterpart of company case {company} is created in another place (R13)"));
    }
}

/// A creation was answered, or not.
pub(crate) fn created(world: &mut World, side: Side, new: &NewCase, outcome: &Result<Case, ApiError>) {
    let is_open = outcome.as_ref().is_err_and(ApiError::may_have_happened);
    if side == Google && !is_open {
        world.creations.remove(key(&new.counterpart));
    }
}

/// True if a case of a pair refuses changes, so that nothing has to come right on it.
pub(crate) fn is_held(google: &Card, company: &Card, mapping: &CaseMapping) -> bool {
    let read_only = &mapping.state.read_only;
    [google, company].iter().any(|card| !card.refuses.is_empty())
        || read_only.google.is_some()
        || read_only.company.is_some()
}

/// Returns something that is not yet as it must be in the end, on a pair that is flagged and not paused.
pub(crate) fn disagreement(
    world: &World,
    google: &Card,
    company: &Card,
    mapping: &CaseMapping,
) -> Option<String> {
    let state = &mapping.state;
    if is_held(google, company, mapping) {
        return None;
    }
    if state.turn.awaits_outcome() {
        return Some(format!("a write for Google's state is pending: {:?}", state.turn));
    }
    if state.escalation.sent_at.is_some() {
        return Some(format!("an escalation is pending: {:?}", state.escalation));
    }
    status(world, google, company)
        .or_else(|| text(world, google, company))
        .or_else(|| escalation(world, google, company, mapping))
        .or_else(|| subscribers(world, google, company, mapping))
}

/// The status for Google's state stands, unless somebody has changed something since.
fn status(world: &World, google: &Card, company: &Card) -> Option<String> {
    let due = google.desk.tally.due.as_ref().filter(|_| world.setting.desk.turn)?;
    let is_moved = |card: &Card| card.closed || card.status_changed >= due.since;
    let is_other = key(&due.company) != key(&company.id);
    if is_other || is_moved(google) || is_moved(company) || company.desk.status == due.status {
        return None;
    }
    Some(format!(
        "the status of company case {} is {:?}, and not {:?} for Google's state",
        company.id, company.desk.status, due.status
    ))
}

fn text(world: &World, google: &Card, company: &Card) -> Option<String> {
    let wanted = words(google.desk.state_of(google.closed), google.desk.escalated);
    let shown = &company.desk.state_text;
    (world.setting.desk.turn && *shown != wanted).then(|| {
        format!("company case {} shows {shown:?} for Google's state, and not {wanted:?}", company.id)
    })
}

/// A case that was raised and justified is escalated. One that was only raised is told that something is missing.
fn escalation(world: &World, google: &Card, company: &Card, mapping: &CaseMapping) -> Option<String> {
    let chosen = company.desk.raised.filter(|_| world.setting.desk.escalation)?;
    let tally = &company.desk.tally;
    // What was raised before both were found is not escalated, since it may have been before.
    let is_older = !tally.raised_known
        || world.host_was_set
        || mapping.linked_at > Some(world.in_our_time(tally.raised_at));
    let was_asked = tally.requested > 0 || google.desk.escalated || tally.ended;
    let is_refused = google.tally.refusals.contains_key("escalation")
        || company.tally.refusals.contains_key("notice not escalated");
    if google.closed || company.closed || company.is_clone || is_older || was_asked || is_refused {
        return None;
    }
    let is_known = |at: Ms| !world.has_caught_up(Company, at);
    let justified = company.notes.iter().any(|note| {
        note.by == Writer::Person
            && justification(&note.body).is_some()
            && note.at > tally.raised_at
            && note.deleted.is_none()
            && note.earlier.is_empty()
            && !note.unknowable
            && is_known(note.at)
    });
    if chosen == RAISED && justified {
        return Some(format!(
            "company case {} is raised and justified, and Google case {} was not escalated",
            company.id, google.id
        ));
    }
    let told = company.tally.notices.get("not escalated").copied().unwrap_or_default();
    let is_told = told > tally.told_before || mapping.state.escalation.told;
    (!is_told).then(|| format!("company case {} is raised, not escalated, and not told why", company.id))
}

/// Everybody who watches the company case is subscribed, and nobody else whom no person at Google added.
fn subscribers(world: &World, google: &Card, company: &Card, mapping: &CaseMapping) -> Option<String> {
    if !world.setting.desk.subscribers || google.closed || mapping.state.refused_subscribers.is_some() {
        return None;
    }
    if mapping.state.subscribers_sent_at.is_some() {
        return Some("subscribers are pending".to_owned());
    }
    let tally = &google.desk.tally;
    let first = tally.first_subscribed;
    let is_of_earlier_pair =
        world.host_was_set || first.is_some_and(|at| mapping.linked_at > Some(world.in_our_time(at)));
    PEOPLE.into_iter().filter(|address| !tally.hand.contains_key(&normal(address))).find_map(|address| {
        let (is_there, watches) = (google.desk.is_subscribed(address), company.desk.is_watched_by(address));
        let is_allowed = normal(address).ends_with("@example.com") && address.matches('@').count() == 1;
        match (is_there, watches && is_allowed) {
            (false, true) => Some(format!("{address} watches {}, and is not subscribed", company.id)),
            (true, false) if !is_of_earlier_pair => {
                Some(format!("{address} does not watch {}, and is still subscribed", company.id))
            }
            (true, true | false) | (false, false) => None,
        }
    })
}
