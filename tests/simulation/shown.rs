//! What is shown of a Google case on its company case: a link, a label while it is escalated, a mark on each comment that was carried.

use std::collections::BTreeMap;

use casebridge::cases::{Annotated, Annotation, ApiError, CaseLink, LinkDetail};
use casebridge::entities::CaseMapping;
use casebridge::sync::ShownRule;

use crate::check::check_flag;
use crate::desk_check::{is_recent, lately, pair};
use crate::history::{Company, Extras, Google, Ms, Place, Refused};
use crate::model::{Card, Writer, key};
use crate::world::World;

/// Label of a company case whose Google case is escalated.
const LABEL: &str = "google-escalated";

/// Maximum number of times that the same link may arrive in a row without a mistake: processes die before they note it.
const MOST_REPEATED: u32 = 4;

pub(crate) fn rule(on: Extras) -> ShownRule {
    ShownRule {
        link: on.link.map(|place| match place {
            Place::Field => LinkDetail::Address,
            Place::List => LinkDetail::Whole,
        }),
        escalated_label: on.label.then(|| LABEL.to_owned()),
        marks_notes: on.marks,
    }
}

/// Part of a company case that shows its Google case.
#[derive(Debug, Clone, Default)]
pub(crate) struct ShownCard {
    /// The connector's own link.
    link: Option<CaseLink>,
    /// Links of people.
    others: u32,
    label: bool,
    /// Marks of comments.
    marks: BTreeMap<u64, u32>,
    tally: ShownTally,
}

/// Counts for the checks.
#[derive(Debug, Clone, Default)]
struct ShownTally {
    /// A person removed the link, or put another in its place.
    link_by_hand: bool,
    /// Number of times that the link was sent since one was answered.
    sent: u32,
    /// Number of times that the link arrived again although the one before was answered. A process that dies before it notes the answer sends
    /// it again.
    repeated: u32,
    /// The connector may have added the label since it last removed it.
    is_ours: bool,
    /// Time at which the connector last added the label, or began to.
    added: Option<Ms>,
    /// Time at which a person last added or removed it.
    label_by_hand: Option<Ms>,
}

/// The kind of an annotation: what may be refused, and the name of that.
fn kind(annotation: &Annotation) -> (Refused, &'static str) {
    match annotation {
        Annotation::Link(_) => (Refused::RemoteLink, "remote link"),
        Annotation::Label { .. } => (Refused::Label, "label"),
        Annotation::Mark(_) => (Refused::Mark, "mark"),
    }
}

/// The connector sends an annotation.
pub(crate) fn begins(world: &mut World, id: &str, annotation: &Annotation) {
    let now = world.now;
    let Some(card) = world.systems[Company].card_mut(id) else { return };
    let tally = &mut card.shown.tally;
    match annotation {
        Annotation::Link(_) => tally.sent += 1,
        Annotation::Label { present: true, .. } => (tally.is_ours, tally.added) = (true, Some(now)),
        Annotation::Label { .. } | Annotation::Mark(_) => {}
    }
}

/// The connector stores a mapping. It knows a label as its own from the record of its write on, though it may die before it sends it.
pub(crate) fn stored(world: &mut World, mapping: &CaseMapping) {
    let unanswered = mapping.state.shown.label.unanswered.as_ref();
    if unanswered.is_some_and(|unanswered| unanswered.value.is_some())
        && let Some(id) = mapping.case_id(Company)
        && let Some(card) = world.systems[Company].card_mut(id)
    {
        card.shown.tally.is_ours = true;
    }
}

/// An annotation was answered, or not. What was not written for a while may be written hours later.
pub(crate) fn ends(
    world: &mut World,
    id: &str,
    annotation: &Annotation,
    outcome: &Result<Annotated, ApiError>,
) {
    world.takes_long |= outcome.is_err();
    let Some(card) = world.systems[Company].card_mut(id).filter(|_| outcome.is_ok()) else { return };
    match annotation {
        Annotation::Link(_) => card.shown.tally.sent = 0,
        Annotation::Label { present: false, .. } => card.shown.tally.is_ours = false,
        Annotation::Label { .. } | Annotation::Mark(_) => {}
    }
}

impl World {
    // What people do.

    pub(crate) fn escalate_by_hand(&mut self, case: usize, escalates: bool) -> Option<()> {
        let id = self.case_on(case, Google)?;
        let card = self.systems[Google].living(&id)?;
        if card.desk.escalated == escalates || card.closed {
            return None;
        }
        let company = self.case_on(case, Company);
        // While nobody knows that it was escalated, it cannot be known that this was ended.
        let is_under_way = |mapping: &CaseMapping| mapping.state.escalation.sent_at.is_some();
        if self.shelf.of(Google, &id).is_some_and(is_under_way) {
            return None;
        }
        if let Some(company) = company.and_then(|company| self.systems[Company].card_mut(&company)) {
            company.desk.tally.ended |= !escalates;
        }
        self.change(Google, &id, |card| card.desk.escalated = escalates)
    }

    pub(crate) fn label_by_hand(&mut self, case: usize, adds: bool) -> Option<()> {
        let id = self.case_on(case, Company)?;
        if self.systems[Company].living(&id)?.shown.label == adds {
            return None;
        }
        let now = self.now;
        self.change(Company, &id, |card| {
            card.shown.label = adds;
            card.shown.tally.label_by_hand = Some(now);
        })
    }

    pub(crate) fn unlink_by_hand(&mut self, case: usize, other: bool) -> Option<()> {
        let id = self.case_on(case, Company)?;
        self.systems[Company].living(&id)?;
        self.change(Company, &id, |card| {
            card.shown.link = None;
            card.shown.others = u32::from(other);
            card.shown.tally.link_by_hand = true;
        })
    }

    // What the API changes.

    pub(crate) fn api_annotate(&mut self, id: &str, annotation: &Annotation) -> Result<Annotated, ApiError> {
        self.check_dry("an annotation");
        let card = self.target(Company, id, "annotate")?;
        let (refused, what) = kind(annotation);
        if card.refuses(refused, self.now) {
            return self.refuse(Company, id, what);
        }
        let is_occupied = self.setting.extras.link == Some(Place::Field) && card.shown.others > 0;
        if is_occupied && matches!(annotation, Annotation::Link(_)) {
            self.seen.count("connector", "finds a link of somebody else");
            return Ok(Annotated::Occupied);
        }
        let is_gone = |comment: &str| {
            card.notes.iter().any(|note| note.id.to_string() == comment && note.deleted.is_some())
        };
        if let Annotation::Mark(mark) = annotation
            && is_gone(&mark.comment)
        {
            self.seen.count("connector", "finds a comment gone");
            return Ok(Annotated::Gone);
        }
        annotates(self, id, annotation);
        let before = self.systems[Company].card(id).map(|card| card.shown.clone()).unwrap_or_default();
        let mut after = before.clone();
        let seen = match annotation {
            Annotation::Link(link) => {
                let is_repeated = before.link.as_ref() == Some(link);
                after.tally.repeated = if is_repeated { before.tally.repeated } else { 0 };
                after.tally.repeated += u32::from(is_repeated && before.tally.sent < 2);
                after.link = Some(link.clone());
                "shows a link"
            }
            Annotation::Label { present, .. } => {
                after.label = *present;
                if *present { "adds a label" } else { "removes a label" }
            }
            Annotation::Mark(mark) => {
                *after.marks.entry(mark.comment.parse().unwrap_or_default()).or_default() = 1;
                "marks a comment"
            }
        };
        let is_new = after.link != before.link || after.label != before.label || after.marks != before.marks;
        if after.tally.repeated > MOST_REPEATED {
            self.violate(format!("the link of company case {id} is written again and again"));
        }
        if is_new || self.setting.extras.moves {
            self.change(Company, id, |card| card.shown = after);
        } else if let Some(card) = self.systems[Company].card_mut(id) {
            card.shown = after;
        }
        self.writes += 1;
        self.seen.count("connector", seen);
        self.note("annotates", || format!("company case {id}: {}", annotation.describe()));
        Ok(Annotated::Done)
    }
}

/// An annotation arrives.
fn annotates(world: &mut World, id: &str, annotation: &Annotation) {
    check_flag(world, Company, id, "something is shown");
    let Some((google, company)) = pair(world, Company, id) else { return };
    let wrong = match annotation {
        Annotation::Link(link) => links(world, google, company, link),
        Annotation::Label { label, present } => labels(world, google, company, (label.as_str(), *present)),
        Annotation::Mark(mark) => {
            let note = company.notes.iter().find(|note| note.id.to_string() == mark.comment);
            let is_theirs = note.is_some_and(|note| note.by == Writer::Person);
            let is_carried = note.is_some_and(|note| note.carried);
            if key(&mark.google_case) != key(&google.id) {
                Some(format!("a mark names {}", mark.google_case))
            } else if !is_theirs {
                Some(format!("comment {} is marked, which no person wrote", mark.comment))
            } else {
                (!is_carried).then(|| format!("comment {} is marked, which was not carried", mark.comment))
            }
        }
    };
    if let Some(wrong) = wrong {
        world.violate(format!("{wrong} (company case {id})"));
    }
}

/// A link names its Google case as that was until lately.
fn links(world: &World, google: &Card, company: &Card, link: &CaseLink) -> Option<String> {
    let number = key(&google.id);
    let as_shown = |title: &str| title.split_whitespace().collect::<Vec<_>>().join(" ");
    let is_whole = world.setting.extras.link == Some(Place::List);
    let fits = lately(world, google).any(|case| {
        let title = is_whole.then(|| as_shown(&case.title));
        link.title == title && link.closed == (is_whole && case.closed)
    });
    let is_late = company.closed && !is_recent(world, Some(company.status_changed));
    if key(&link.name) != number || link.number != number || !link.address.contains(number) {
        Some(format!("a link to {} and {}, and not to {}", link.name, link.address, google.id))
    } else if !fits {
        Some(format!("a link shows {:?}, closed: {}, which the Google case is not", link.title, link.closed))
    } else if is_late && company.shown.link.is_none() && !company.shown.tally.link_by_hand && !google.closed {
        Some("a link on a closed case, which had none".to_owned())
    } else {
        None
    }
}

/// The label follows the escalation, and one of people stays.
fn labels(world: &World, google: &Card, company: &Card, (label, present): (&str, bool)) -> Option<String> {
    let tally = &company.shown.tally;
    let is_of_people = company.shown.label && !tally.is_ours && !is_recent(world, tally.label_by_hand);
    if label != LABEL {
        Some(format!("the label {label:?}, which nobody configured"))
    } else if !lately(world, google).any(|case| case.escalated == present) {
        let what = if present { "added, though it is not" } else { "removed, though it is" };
        Some(format!("the label for an escalated Google case is {what}"))
    } else {
        (!present && is_of_people).then(|| "the label is removed, which a person added".to_owned())
    }
}

/// Returns what is not yet shown as it must be in the end.
pub(crate) fn disagreement(
    world: &World,
    google: &Card,
    company: &Card,
    mapping: &CaseMapping,
) -> Option<String> {
    let is_of_earlier_pair = |at: Option<Ms>| {
        world.host_was_set || at.is_some_and(|at| mapping.linked_at > Some(world.in_our_time(at)))
    };
    let on = world.setting.extras;
    let ShownCard { link, label, marks, tally, .. } = &company.shown;
    let is_refused = |what: &str| company.tally.refusals.contains_key(what);
    if on.link.is_some() && !tally.link_by_hand && !is_refused("remote link") {
        let is_whole = on.link == Some(Place::List);
        let title = google.title.split_whitespace().collect::<Vec<_>>().join(" ");
        match link {
            None if !company.closed => return Some(format!("{} has no link to its Google case", company.id)),
            Some(link)
                if is_whole
                    && (!company.closed || google.closed)
                    && (link.title.as_ref() != Some(&title) || link.closed != google.closed) =>
            {
                return Some(format!(
                    "the link of {} shows {:?}, closed: {}, and not {title:?}, closed: {}",
                    company.id, link.title, link.closed, google.closed
                ));
            }
            None | Some(_) => {}
        }
    }
    let hand = tally.label_by_hand.is_some();
    if on.label
        && !company.closed
        && !is_refused("label")
        && !hand
        && *label != google.desk.escalated
        && (!*label || !is_of_earlier_pair(tally.added))
    {
        let escalated = google.desk.escalated;
        return Some(format!(
            "company case {} has the label for escalated ones: {label}, and is escalated: {escalated}",
            company.id
        ));
    }
    let is_marked = |note: u64| marks.contains_key(&note);
    let unmarked = company.notes.iter().find(|note| {
        note.by == Writer::Person
            && note.carried
            && note.deleted.is_none()
            && !note.given_up
            && !is_marked(note.id)
            && !is_of_earlier_pair(Some(note.at))
    });
    unmarked
        .filter(|_| on.marks && !is_refused("mark"))
        .map(|note| format!("comment {} of company case {} was carried and not marked", note.id, company.id))
}
