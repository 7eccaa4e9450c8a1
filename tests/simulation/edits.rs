//! Edited comments of the company case, and the notes that follow them at Google.

use std::collections::BTreeMap;

use casebridge::entities::CaseMapping;

use crate::check::{grace, reads_like_ours, squeezed, takes_comments};
use crate::generate::DAY;
use crate::history::{Company, Google, Ms, Rewrite, Side};
use crate::model::{BANNED, Card, Note, Writer, pick};
use crate::world::World;
use casebridge_testkit::dice::Dice;

/// Shortest time between two notes about one comment.
const PAUSE: Ms = 600_000;
/// Age up to which edits of a comment are looked for, less a day for a task that comes late.
const LOOKED_FOR: Ms = 6 * DAY;

/// Notes about edits on a case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Noted {
    /// Parts that stand here, by the comment and the number of the note.
    parts: BTreeMap<(u64, u32), Vec<u32>>,
    texts: BTreeMap<(u64, u32), String>,
    /// The newest note of each comment, and when it began to arrive.
    newest: BTreeMap<u64, (u32, Ms)>,
    /// Text of the last note of each comment that is whole; none if another one has begun since.
    last: BTreeMap<u64, Option<String>>,
}

impl World {
    pub(crate) fn edit_again(
        &mut self,
        case: usize,
        nth: usize,
        how: Rewrite,
        dice: &mut Dice,
    ) -> Option<()> {
        let id = self.case_on(case, Company)?;
        let other = self.case_on(case, Google);
        let card = self.systems[Company].living(&id)?;
        let is_own = |note: &&Note| note.by == Writer::Person && note.deleted.is_none();
        let note = card.notes.iter().rev().filter(is_own).nth(nth)?;
        let (number, internal, before) = (note.id, note.internal, note.body.clone());
        let earlier = note.earlier.last().cloned();
        let body = match how {
            Rewrite::Anew(words) => self.text(Company, words, internal, dice),
            Rewrite::Back => earlier?,
            Rewrite::Layout => before.replacen(' ', "\n", 1),
        };
        if body == before {
            return None;
        }
        self.rewrite(&id, other.as_deref(), number, body)
    }
}

/// A part of a note about an edit arrives on `side`. `other`: the case of the comment.
pub(crate) fn noted(
    world: &mut World,
    side: Side,
    id: &str,
    (other, source, number): (&str, u64, u32),
    (part, parts): (u32, u32),
    text: &str,
) {
    let from = side.other();
    let note =
        world.systems[from].card(other).and_then(|card| card.notes.iter().find(|note| note.id == source));
    let Some(note) = note.cloned() else {
        world.violate(format!("a note about comment {source}, which {from} case {other} does not have"));
        return;
    };
    let wrong = if !world.setting.extras.edits {
        Some("nobody asked for it")
    } else if note.by == Writer::Connector {
        Some("it is the connector's own")
    } else if note.earlier.is_empty() {
        Some("it was never edited")
    } else if !note.carried && !note.edited_meanwhile {
        // Of one that became shorter while it was copied, no further part may come.
        Some("it was not carried")
    } else {
        (note.internal && from == Company && !world.setting.carry_internal).then_some("it is internal")
    };
    if let Some(wrong) = wrong {
        world.violate(format!("a note that comment {source} was edited: {wrong} ({side} case {id})"));
    }
    world.seen.count("connector", pick(side, "notes an edit", "notes an edit at company"));
    let (now, lately) = (world.now, grace(world));
    let was_set = world.host_was_set;
    // A pair that is found again knows only those notes that it can recognise.
    let relinking = world.shelf.of(side, id).is_some_and(|mapping| mapping.relinking);
    let Some(card) = world.systems[side].card_mut(id) else { return };
    let copied = card.tally.texts.get(&source).cloned().filter(|_| !note.edited_meanwhile);
    let tally = &mut card.noted;
    let before = tally.newest.get(&source).copied();
    let stands = tally.parts.entry((source, number)).or_default();
    let mut wrong = Vec::new();
    if stands.contains(&part) {
        wrong.push("part of it is noted twice (R13)");
    } else {
        stands.push(part);
        tally.texts.entry((source, number)).or_default().push_str(text);
    }
    if stands.len() < part as usize {
        wrong.push("an earlier part is missing");
    }
    if part == 1 {
        if before.is_some_and(|(_, at)| now - at < PAUSE - lately) && !was_set {
            wrong.push("the one before it is not ten minutes old");
        }
        if before.is_some_and(|(newest, _)| number != newest + 1) {
            wrong.push("its number is not the next");
        }
        tally.newest.insert(source, (number, now));
    }
    let last = tally.last.get(&source).cloned().unwrap_or(copied);
    if part == parts {
        let whole = tally.texts[&(source, number)].clone();
        if !note.bodies().any(|body| squeezed(body) == squeezed(&whole)) {
            wrong.push("its text never stood there");
        }
        if last.is_some_and(|last| squeezed(&last) == squeezed(&whole)) {
            wrong.push("its text was known");
        }
        tally.last.insert(source, Some(whole));
    } else {
        tally.last.insert(source, None);
    }
    for wrong in wrong.into_iter().filter(|_| !relinking) {
        world.violate(format!("note {number} that comment {source} was edited: {wrong} ({side} case {id})"));
    }
}

/// Returns a comment whose last text Google does not have in the end.
pub(crate) fn disagreement(
    world: &World,
    google: &Card,
    company: &Card,
    mapping: &CaseMapping,
) -> Option<String> {
    let is_on = world.setting.extras.edits && world.setting.comments;
    if !is_on || !takes_comments(world, google, google) || world.host_was_set {
        return None;
    }
    // A clock that was set may have given two edits the same time.
    if world.clock_was_set[Company] {
        return None;
    }
    let lacking = company.notes.iter().find(|note| {
        let Some((_, stamped)) = note.edits.last() else { return false };
        let is_known = note.carried
            && !note.given_up
            && !note.edited_meanwhile
            && !note.unknowable
            && note.deleted.is_none()
            && mapping.linked_at < Some(world.in_our_time(note.at));
        let is_seen = world.now - note.at < LOOKED_FOR
            && note.edits.iter().filter(|(_, other)| other == stamped).count() == 1
            && (!note.internal || world.setting.carry_internal)
            // Where nobody knows who wrote it, such a text is not looked at.
            && !note.bodies().any(reads_like_ours)
            && !note.body.contains(BANNED);
        let stands = match google.noted.last.get(&note.id) {
            Some(last) => last.as_ref(),
            None => google.tally.texts.get(&note.id),
        };
        let is_there = stands.is_some_and(|text| squeezed(text) == squeezed(&note.body));
        note.by == Writer::Person && is_known && is_seen && !is_there
    });
    lacking
        .map(|note| format!("Google case {} does not have the last text of comment {}", google.id, note.id))
}
