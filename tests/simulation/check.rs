//! What must never happen, checked whenever anything changes; and what must be true in the end.
//!
//! Knows the contract's texts on its own, not from the core: a marker that changed by accident is a violation.

use casebridge::cases::{Closing, ClosingSet, NewCase};
use casebridge::entities::{
    CaseMapping, ItemKind, Notice, Priority, PriorityReading, Refusable, Sides, Source,
};
use casebridge::sync::{Clocks, horizons};
use chrono::{DateTime, Duration, Utc};

use crate::desk_check;
use crate::edits;
use crate::extras;
use crate::generate::DAY;
use crate::history::{Blur, Company, Google, Ms, Refused, Side};
use crate::mail;
use crate::model::{
    Card, File, HOME, Note, Writer, address_of, key, name_of, pick, reading, stored_under_other_name, takes,
};
use crate::people::SECRET;
use crate::run::WINDOWS;
use crate::world::{NEVER, World, real};

/// How long after its flag was taken away something may still be written that was under way: a task's deadline and what
/// a write may take to arrive.
pub(crate) fn grace(world: &World) -> Ms {
    let settles = world.setting.google.settles.max(world.setting.company.settles);
    (world.setting.deadline + settles) * 1000
}

/// What a comment that the connector writes is, by its text.
#[derive(Debug, PartialEq, Eq)]
enum Meaning<'a> {
    Comment { id: u64, part: u32, parts: u32, text: &'a str },
    Edit { id: u64, number: u32, part: u32, parts: u32, text: &'a str },
    Attachment { id: u64 },
    Description { part: u32, parts: u32 },
    Notice(&'static str),
}

fn other_name(side: Side) -> &'static str {
    match side {
        Google => "Company",
        Company => "Google",
    }
}

/// Reads `[Google Comment 3 by Ada (2/3)]` and the like as they arrive on `side`.
fn meaning(side: Side, body: &str) -> Option<Meaning<'_>> {
    let notices = [
        ("syncing", "This case is now syncing with Company Case: ", ""),
        ("outage", "This case has not synced properly in ", ""),
        ("resumed", "Syncing has resumed.", ""),
        ("cannot reopen", "This case was reopened, but ", ""),
        ("merged", "This case no longer syncs: ", " was merged into "),
        ("merged", "Company Case ", " was merged into "),
        ("left open", "Company Case ", " without being solved ("),
        ("gone", "This case no longer syncs: ", ""),
        ("back", "This case syncs again: ", ""),
        ("conflict", "This case is not synchronised with Google: ", ""),
        ("given up", "This case could not be kept in step: ", ""),
        ("read only", "Nothing that is written here arrives any more: ", ""),
        ("not escalated", "The Google case was not escalated: ", ""),
    ];
    let is = |start: &str, middle: &str| body.starts_with(start) && body.contains(middle);
    if let Some((name, ..)) = notices.iter().find(|(_, start, middle)| is(start, middle)) {
        return Some(Meaning::Notice(name));
    }
    let (header, text) = body.split_once('\n')?;
    let header = header.strip_prefix('[')?.strip_suffix(']')?.strip_prefix(other_name(side))?;
    let number = header.rsplit_once(" (").and_then(|(_, number)| {
        let (part, parts) = number.strip_suffix(')')?.split_once('/')?;
        Some((part.parse().ok()?, parts.parse().ok()?))
    });
    let (part, parts) = number.unwrap_or((1, 1));
    if let Some(rest) = header.strip_prefix(" Comment ") {
        let id = mail::number(rest.split_once(" by ")?.0)?;
        return Some(Meaning::Comment { id, part, parts, text });
    }
    if let Some(rest) = header.strip_prefix(" Edit ") {
        let (number, rest) = rest.split_once(" of Comment ")?;
        let id = mail::number(rest.split_once(" by ")?.0)?;
        return Some(Meaning::Edit { id, number: number.parse().ok()?, part, parts, text });
    }
    if let Some(rest) = header.strip_prefix(" Attachment ") {
        return Some(Meaning::Attachment { id: rest.split_once(" by ")?.0.parse().ok()? });
    }
    header.starts_with(" Description").then_some(Meaning::Description { part, parts })
}

/// Returns true if a comment of the company case reads like one that the connector writes there.
pub(crate) fn reads_like_ours(body: &str) -> bool {
    meaning(Company, body.trim_start()).is_some()
}

/// A company case as texts at Google name it (R31).
fn company_name(world: &World, id: &str) -> String {
    if world.setting.company.addresses {
        format!("{id} ({}, {})", name_of(id), address_of(id))
    } else {
        format!("{id} ({HOME})")
    }
}

/// The case across, as the store or the case itself has it.
pub(crate) fn across(world: &World, side: Side, id: &str) -> Option<String> {
    if let Some(mapping) = world.shelf.of(side, id) {
        return mapping.case_id(side.other()).map(str::to_owned);
    }
    let other = side.other();
    let card = world.systems[side].card(id)?;
    card.mirror_of.clone().or_else(|| {
        let mirrors = |other: &&Card| other.mirror_of.as_deref().is_some_and(|of| key(of) == key(id));
        world.systems[other].cards.values().find(mirrors).map(|card| card.id.clone())
    })
}

/// The company case of a pair, if it is flagged or was until lately.
pub(crate) fn check_flag(world: &mut World, side: Side, id: &str, what: &str) {
    let company = match side {
        Company => Some(id.to_owned()),
        Google => across(world, side, id),
    };
    // Whether a case that was deleted since was flagged cannot be known.
    let card = company.and_then(|company| world.systems[Company].card(&company));
    let Some(card) = card.filter(|card| card.deleted.is_none()) else { return };
    if !card.flagged && world.now - card.flag_changed > grace(world) {
        let name = card.id.clone();
        world.violate(format!("{what} on {side} case {id}, though {name} is not flagged (R20)"));
    }
}

/// A counterpart is about to be created on `side`.
pub(crate) fn created(world: &mut World, side: Side, new: &NewCase) {
    world.check_dry("a case");
    let from = side.other();
    let Some(source) = world.systems[from].card(&new.counterpart) else {
        world.violate(format!("a {side} case is created for {}, which does not exist", new.counterpart));
        return;
    };
    let (source_id, by, flagged, titles, description) = (
        source.id.clone(),
        source.by,
        source.flagged || from == Google,
        source.tally.titles.iter().chain([&source.title]).cloned().collect::<Vec<_>>(),
        source.description.clone(),
    );
    let changed = source.flag_changed;
    let misplaced = desk_check::misplaced(world, side, source, new);
    let (is_foreign, is_old) = (source.foreign == Some(true), source.created < -50 * DAY);
    if let Some(misplaced) = misplaced {
        world.violate(misplaced);
    }
    if is_old && !world.host_was_set {
        world.violate(format!("a counterpart of {source_id}, which was created months ago (R36)"));
    }
    if is_foreign {
        world.violate(format!(
            "a counterpart of {}, which mirrors a case of another desk (R31)",
            new.counterpart
        ));
    }
    if world.systems[from].card(&source_id).is_some_and(|card| card.is_clone) {
        world.violate(format!(
            "a counterpart of {source_id}, which claims one that belongs to another (R10, R38)"
        ));
    }
    if by == Writer::Connector {
        world.violate(format!("a counterpart of {source_id}, which is a counterpart itself (R10)"));
    }
    if !flagged && world.now - changed > grace(world) {
        world.violate(format!("a counterpart of {source_id}, which is not flagged"));
    }
    let twin = world.systems[side]
        .cards
        .values()
        // One that was deleted, and whose mapping was cleaned up since, is replaced if a person asks for it.
        .filter(|card| card.deleted.is_none_or(|deleted| world.now - deleted < 30 * DAY))
        // Or one that was deleted before anybody knew of it.
        .filter(|card| card.deleted.is_none() || world.shelf.of(side, &card.id).is_some())
        .find(|card| card.mirror_of.as_deref().is_some_and(|of| key(of) == key(&source_id)))
        .map(|card| card.id.clone());
    if let Some(twin) = twin {
        world.violate(format!("a second counterpart of {source_id}; the first is {twin} (R9, R10, R13)"));
    }
    if world.systems[side]
        .cards
        .values()
        .any(|card| card.mirror_of.as_deref().is_some_and(|of| key(of) == key(&source_id)))
        && let Some(card) = world.systems[from].card_mut(&new.counterpart)
    {
        // It replaces one that was deleted, and is announced as that one was.
        card.tally.notices.remove("syncing");
    }
    if !titles.iter().any(|title| is_same_title(&new.title, title)) {
        world.violate(format!("the title of {source_id} arrives as {:?}", new.title));
    }
    let header = match side {
        Google => format!("CONTENT MIRRORED FROM COMPANY CASE {}:\n", company_name(world, &source_id)),
        Company => "CONTENT MIRRORED FROM GOOGLE SUPPORT:\n".to_owned(),
    };
    let Some(text) = new.description.strip_prefix(&header) else {
        world.violate(format!("the description for {source_id} does not begin with its header (R31)"));
        return;
    };
    if !same(&description, without_title(text), true) {
        world.violate(format!("the description of {source_id} arrives as {text:?}"));
    }
    if new.description.chars().count() > world.traits(side).limit {
        world.violate("a description is too long".to_owned());
    }
}

/// Whether `copy` is `text`, or its beginning, as far as a system can hold it.
fn same(text: &str, copy: &str, beginning: bool) -> bool {
    let squeeze = |text: &str| {
        text.chars()
            .filter(|c| !c.is_whitespace() && !c.is_control() && !('\u{2400}'..='\u{2421}').contains(c))
            .collect::<String>()
    };
    let (text, copy) = (squeeze(text), squeeze(copy));
    if beginning { text.starts_with(&copy) } else { text == copy }
}

/// Whether people deleted what the connector wrote there.
fn has_lost_a_copy(card: &Card) -> bool {
    card.notes.iter().any(|note| note.by == Writer::Connector && note.deleted.is_some())
}

/// The connector is about to add a comment.
pub(crate) fn commented(world: &mut World, side: Side, id: &str, body: &str) {
    let from = side.other();
    if side == Google && body.contains(SECRET.trim()) && !world.setting.carry_internal {
        world.violate(format!("something internal arrives at Google: {body:?}"));
    }
    let Some(meaning) = meaning(side, body) else {
        world.violate(format!("a comment that says nothing known on {side} case {id}: {body:?}"));
        return;
    };
    if let Meaning::Notice(notice) = meaning {
        noticed(world, side, id, notice, body);
        return;
    }
    check_flag(world, side, id, "something is carried");
    let Some(other) = across(world, side, id) else {
        world.violate(format!("a copy on {side} case {id}, which has no counterpart"));
        return;
    };
    match meaning {
        Meaning::Comment { id: source, part, parts, text } => {
            copied_comment(world, side, id, (&other, source), (part, parts), text);
        }
        Meaning::Edit { id: source, number, part, parts, text } => {
            edits::noted(world, side, id, (&other, source, number), (part, parts), text);
        }
        Meaning::Attachment { id: source } => {
            let file = world.systems[from].card(&other);
            let file = file.and_then(|card| card.files.iter().find(|file| file.id == source));
            let refused = file.and_then(|file| file.refusals);
            let tally = world.systems[side].card(id).map(|card| &card.tally.refusals);
            let there = tally.and_then(|tally| tally.get(&format!("file {source}")).copied());
            let both = refused.into_iter().chain(there);
            let refused = both.reduce(|one, other| (one.0.min(other.0), one.1 + other.1));
            if file.is_some_and(|file| takes(&file.name, &file.content)) && !is_for_good(world, refused) {
                world.violate(format!("file {source} is explained, though it could be copied (R17, R33)"));
            }
            world.seen.count("connector", "explains a file");
            copied_file(world, side, id, &other, source);
        }
        Meaning::Description { part, parts } => {
            let description = world.systems[from].card(&other).map(|card| card.description.clone());
            let text = body.split_once('\n').map_or("", |(_, text)| text);
            if description.is_none_or(|description| !squeezed(&description).contains(&squeezed(text))) {
                world.violate(format!("part {part} of {parts} of a description is not in it"));
            }
            world.seen.count("connector", "copies a description's part");
            let first = claim(world, side, id, &format!("description {part}"), 1);
            if first && let Some(card) = world.systems[side].card_mut(id) {
                card.tally.described.push_str(text);
            }
        }
        Meaning::Notice(_) => {}
    }
}

pub(crate) fn squeezed(text: &str) -> String {
    text.chars()
        .filter(|c| !c.is_whitespace() && !c.is_control() && !('\u{2400}'..='\u{2421}').contains(c))
        .collect()
}

/// Whether what was refused since then, so often, may be given up (R33).
fn is_for_good(world: &World, refused: Option<(Ms, u32)>) -> bool {
    let after = world.setting.give_up_after * 60_000 - 60_000;
    refused.is_some_and(|(since, tries)| tries >= 3 && (world.now - since >= after || world.host_was_set))
}

/// Notes that something was copied; it must not have been before.
/// Counts a copy; whether it is the first of that part.
fn claim(world: &mut World, side: Side, id: &str, what: &str, part: u32) -> bool {
    let Some(card) = world.systems[side].card_mut(id) else { return true };
    let parts = card.tally.copies.entry(what.to_owned()).or_default();
    let twice = parts.contains(&part);
    parts.push(part);
    if twice && !deleted_unseen(world, side, id) {
        world.violate(format!("{what} (part {part}) is copied twice to {side} case {id} (R13, R14)"));
    }
    !twice
}

/// Whether somebody deleted something that the connector wrote there without ever learning that it did.
fn deleted_unseen(world: &World, side: Side, id: &str) -> bool {
    let (Some(card), Some(mapping)) = (world.systems[side].card(id), world.shelf.of(side, id)) else {
        return false;
    };
    let notes = card.notes.iter().map(|note| (ItemKind::Comment, note.id, note.by, note.deleted));
    let files = card.files.iter().map(|file| (ItemKind::Attachment, file.id, file.by, file.deleted));
    notes.chain(files).any(|(kind, item, by, deleted)| {
        by == Writer::Connector && deleted.is_some() && !mapping.ledger.wrote(side, kind, &item.to_string())
    })
}

fn copied_comment(
    world: &mut World,
    side: Side,
    id: &str,
    (other, source): (&str, u64),
    (part, parts): (u32, u32),
    text: &str,
) {
    let from = side.other();
    let source = mail::known_as(world, from, other, source);
    let note =
        world.systems[from].card(other).and_then(|card| card.notes.iter().find(|note| note.id == source));
    let Some(note) = note.cloned() else {
        world.violate(format!("a copy of comment {source}, which {from} case {other} does not have"));
        return;
    };
    if note.by == Writer::Connector {
        world.violate(format!(
            "the connector's own comment {source} is carried back to {side} case {id} (R14)"
        ));
    }
    let explained = text.starts_with("This comment could not be copied: ");
    if explained {
        let tally = world.systems[side].card(id).map(|card| &card.tally.refusals);
        let refused = tally.and_then(|tally| tally.get(&format!("comment {source}")).copied());
        if !is_for_good(world, refused) {
            world.violate(format!("comment {source} is given up after {refused:?} (R33)"));
        }
        world.seen.count("connector", "explains a comment");
    }
    // The copy of a comment that was edited since is not known by its text, when that is all there is to go by.
    let relinking = world.shelf.of(side, id).is_some_and(|mapping| mapping.relinking);
    let unknown = relinking && !note.earlier.is_empty();
    // Nor is it known what an earlier pair had copied, whose mapping was cleaned up, when another pair goes on with its case (R14, R32).
    let by_earlier_pair = world.systems[side].cards.values().any(|card| {
        let is_forgotten = key(&card.id) != key(id) && world.shelf.of(side, &card.id).is_none();
        is_forgotten && card.tally.copies.contains_key(&format!("comment {source}"))
    });
    // Nor whether one arrived that was on its way to a case that was merged: what is there is not read any more (R32).
    let elsewhere = by_earlier_pair || note.merged_under_way;
    if note.carried && !unknown && !elsewhere && !deleted_unseen(world, side, id) {
        world.violate(format!("part {part} of comment {source} comes after all of it had arrived (R14)"));
    }
    if note.internal && from == Company && !world.setting.carry_internal {
        world.violate(format!("the internal comment {source} is carried to Google"));
    }
    world.seen.count("connector", pick(side, "copies a comment to google", "copies a comment to company"));
    if parts > 1 {
        world.seen.count("connector", "copies a part");
    }
    if note.mail.is_some() {
        world.seen.count("connector", "copies an e-mail");
    }
    if unknown
        && part == 1
        && let Some(card) = world.systems[side].card_mut(id)
    {
        // As if it had never been copied.
        card.tally.copies.remove(&format!("comment {source}"));
        card.tally.texts.remove(&source);
        card.tally.refused.push(source);
    }
    let first = claim(world, side, id, &format!("comment {source}"), part);
    // The order is that of the times that the system gives; a pair that goes on with another case begins anew.
    let unordered = world.clock_was_set[from]
        || world.systems[Company].cards.values().any(|card| card.merged_into.is_some());
    // A message has an order among comments by its time only, and another one as a comment.
    let coarse = world.traits(from).resolution > 0;
    let has_two_times = note.mail.as_ref().is_some_and(|mail| mail.is_comment() || coarse);
    let newest = world.systems[side].card(id).map(|card| card.tally.newest_source);
    let is_earlier = newest.is_some_and(|newest| (source, part) < newest);
    // A part that somebody deleted before the connector knew of it is written again.
    let is_again = is_earlier && deleted_unseen(world, side, id);
    let Some(card) = world.systems[side].card_mut(id) else { return };
    let tally = &mut card.tally;
    // What was refused on its own account comes when it can, after what was not; and what was not marked as public.
    let free = tally.refused.contains(&source) || unordered || note.unknowable || has_two_times || is_again;
    let out_of_order = !free && is_earlier;
    tally.newest_source = tally.newest_source.max((source, part));
    let so_far = tally.texts.entry(source).or_default();
    if first {
        so_far.push_str(text);
    }
    let so_far = so_far.clone();
    let missing = tally.copies[&format!("comment {source}")].len() < part as usize;
    if out_of_order {
        world.violate(format!(
            "comment {source} (part {part}) arrives on {side} case {id} after a later one (R11)"
        ));
    }
    if missing {
        world.violate(format!("part {part} of comment {source} arrives before an earlier part"));
    }
    let card = world.systems[from].card_mut(other);
    if let Some(note) = card.and_then(|card| card.notes.iter_mut().find(|note| note.id == source)) {
        note.carried |= part == parts;
        note.merged_under_way &= part < parts;
        note.given_up |= explained;
        // Read before it was edited, and written after.
        let of_another = !note.earlier.is_empty() && !squeezed(&note.body).starts_with(&squeezed(&so_far));
        note.edited_meanwhile |= part < parts && of_another;
    }
    if part == parts && !explained {
        let whole = note.bodies().any(|body| same(body, &so_far, false));
        if !whole && !note.edited_meanwhile {
            world.violate(format!("comment {source} arrives as {so_far:?} (R16, R25)"));
        }
    }
}

fn copied_file(world: &mut World, side: Side, id: &str, other: &str, source: u64) {
    let from = side.other();
    // Likewise the copy of a file that was deleted, when the pair is found again.
    let found_at = world.shelf.of(side, id).map(|mapping| mapping.created_at);
    let across = world.systems[side].card(id);
    let original_is_gone = across.is_some_and(|card| {
        card.files.iter().any(|file| file.by == Writer::Person && file.deleted.is_some())
    });
    let unmarked = original_is_gone && !world.traits(from).knows_connector;
    let confused = confused(world, from, other);
    let card = world.systems[from].card_mut(other);
    let Some(file) = card.and_then(|card| card.files.iter_mut().find(|file| file.id == source)) else {
        world.violate(format!("a copy of file {source}, which {from} case {other} does not have"));
        return;
    };
    file.carried = true;
    let (by, internal, at) = (file.by, file.internal, real(file.at));
    if by == Writer::Connector && !confused && !(unmarked && found_at > Some(at)) {
        world.violate(format!("the connector's own file {source} is carried back to {side} case {id} (R14)"));
    }
    if internal && from == Company && !world.setting.carry_internal {
        world.violate(format!("the internal file {source} is carried to Google"));
    }
    claim(world, side, id, &format!("file {source}"), 1);
}

/// Whether a person's file and a copy of another of its name and size cannot be told apart: the system does not say whose they
/// are, and nobody can compare them, since the other was deleted, or one of them is not handed out.
fn confused(world: &World, side: Side, id: &str) -> bool {
    let across = across(world, side, id).and_then(|id| world.systems[side.other()].card(&id));
    let card = world.systems[side].card(id);
    let (Some(card), Some(across)) = (card, across) else { return false };
    let namesakes = |on: Side, file: &File, original: &File| {
        let stored = if world.traits(on).renames_files {
            stored_under_other_name(&original.name)
        } else {
            original.name.clone()
        };
        !world.traits(on).knows_connector
            && [file, original].iter().all(|file| file.by == Writer::Person)
            && file.name == stored
            && file.content.len() == original.content.len()
    };
    across.files.iter().any(|other| {
        card.files.iter().any(|file| {
            let withheld = file.withheld.is_some() || other.withheld.is_some();
            (namesakes(side, file, other) && (other.deleted.is_some() || withheld))
                || (namesakes(side.other(), other, file) && withheld)
        })
    })
}

/// A comment was refused. What it stands for.
pub(crate) fn refused(world: &mut World, side: Side, id: &str, body: &str) -> String {
    match meaning(side, body) {
        Some(Meaning::Comment { id: source, .. }) => {
            let other = across(world, side, id);
            let source = other.map_or(source, |other| mail::known_as(world, side.other(), &other, source));
            if let Some(card) = world.systems[side].card_mut(id) {
                card.tally.refused.push(source);
            }
            format!("comment {source}")
        }
        Some(Meaning::Edit { id: source, .. }) => format!("edit of comment {source}"),
        Some(Meaning::Attachment { id: source }) => format!("file {source}"),
        Some(Meaning::Notice(notice)) => format!("notice {notice}"),
        Some(Meaning::Description { .. }) | None => "description".to_owned(),
    }
}

/// A file was refused. What it stands for.
pub(crate) fn refused_file(world: &World, side: Side, id: &str, content: &[u8]) -> String {
    let from = across(world, side, id).and_then(|other| world.systems[side.other()].card(&other));
    let file = from.and_then(|card| card.files.iter().find(|file| file.content == content));
    file.map_or_else(|| "file".to_owned(), |file| format!("file {}", file.id))
}

/// Whether the connector cannot have been shown the case for as long as a task takes.
fn is_hidden(world: &World, side: Side, card: &Card) -> bool {
    let lately = world.now - grace(world);
    let hidden = world.hid_until[side].max(world.mute_until[side]);
    card.deleted.is_some() || card.vanished_until > lately || hidden > lately
}

/// A notice must not be false.
fn is_false(world: &World, side: Side, id: &str, notice: &'static str, body: &str) -> Option<&'static str> {
    let card = world.systems[side].card(id)?;
    let other = across(world, side, id).and_then(|other| world.systems[side.other()].card(&other));
    let mapping = world.shelf.of(side, id);
    let missing = |side: Side| {
        let since = mapping.and_then(|mapping| mapping.state.missing[side]).map(|missing| missing.since);
        since.is_some_and(|since| since < world.in_our_time(world.now - grace(world)))
    };
    let merged = || world.systems[Company].cards.values().any(|card| card.merged_into.is_some());
    match notice {
        "syncing" => {
            let named = body.strip_prefix("This case is now syncing with Company Case: ")?;
            let known = other.is_some_and(|other| named == company_name(world, &other.id));
            (!known).then_some("the case that it names is another, or is not named with its home (R31)")
        }
        "outage" if Side::BOTH.into_iter().any(missing) && !world.host_was_set => {
            Some("a case is missing, of which nobody is to be told (R28)")
        }
        "gone" => {
            let other = other?;
            let grace = world.setting.missing_grace * 60_000;
            let since = other.deleted.unwrap_or(Ms::MAX).min(other.vanished_at.unwrap_or(Ms::MAX));
            // Of a right that was taken it is not known since when; and what vanished twice may have been missing in between.
            let never = world.hid_until[side.other()].max(world.mute_until[side.other()]) < 0;
            let known = never && !world.host_was_set;
            if !is_hidden(world, side.other(), other) {
                Some("the other case is there (R28)")
            } else if known && world.now - since < grace - self::grace(world) {
                Some("it was too early to say so (R28)")
            } else {
                None
            }
        }
        "back" => {
            let told = |notice| card.tally.notices.get(notice).copied().unwrap_or_default();
            (told("back") > told("gone")).then_some("nobody was told the contrary (R28)")
        }
        "conflict" => {
            // Of a pair that cleanup has forgotten nothing is left at Google, if its closed case took no comment.
            let original = card.mirror_of.as_deref().and_then(|of| world.systems[side.other()].card(of));
            let forgotten = mapping.is_none_or(|mapping| !mapping.is_linked())
                && original.is_some_and(|original| !original.tally.notices.contains_key("syncing"));
            (side == Google || !(card.is_clone || forgotten || world.now - card.updated < grace(world)))
                .then_some("its name is no stranger's (R38)")
        }
        "left open" => {
            let ways = other.map_or(0, |other| other.tally.closings_otherwise);
            let told = card.tally.notices.get("left open").copied().unwrap_or_default();
            (side == Company || (told > ways && !merged())).then_some("nobody closed it so (R32)")
        }
        "merged" => (side == Company || !merged()).then_some("nobody merged it (R32)"),
        "given up" => {
            let refused = [Some(card), other].into_iter().flatten();
            let mut refused = refused.flat_map(|card| card.tally.refusals.values());
            (!refused.any(|refused| is_for_good(world, Some(*refused))))
                .then_some("nothing was refused so often (R33)")
        }
        "read only" => {
            let takes = |card: &Card| {
                !card.refuses.iter().any(|(what, _)| matches!(what, Refused::Everything | Refused::Comments))
            };
            other.is_none_or(takes).then_some("the other case takes what is written (R33)")
        }
        "not escalated" => {
            let is_raised = desk_check::is_raised(world, card);
            (side == Google || !is_raised).then_some("nobody raised it")
        }
        _ => None,
    }
}

fn noticed(world: &mut World, side: Side, id: &str, notice: &'static str, body: &str) {
    world.seen.count(
        "connector",
        match notice {
            "syncing" => "says syncing",
            "outage" => "says outage",
            "resumed" => "says resumed",
            "cannot reopen" => "says cannot reopen",
            "back" => "says back",
            "conflict" => "says conflict",
            "left open" => "says left open",
            "merged" => "says merged",
            "given up" => "says given up",
            "read only" => "says read only",
            "not escalated" => "says not escalated",
            _ => "says gone",
        },
    );
    // Without a base, an open case counts as reopened, whoever closed the other one (R30).
    let baseless = world.shelf.of(side, id).is_some_and(|mapping| mapping.state.agreed_closed.is_none());
    let Some(card) = world.systems[side].card_mut(id) else { return };
    let count = card.tally.notices.entry(notice).or_default();
    *count += 1;
    let (count, reopenings) = (*count, card.tally.reopenings_by_people);
    let stands = card.tally.outage_stands;
    let told = |notice| card.tally.notices.get(notice).copied().unwrap_or_default();
    let changed = card.flag_changed.max(card.status_changed) > card.created;
    let wrong = match notice {
        "back" | "left open" | "merged" | "given up" | "read only" | "not escalated" => false,
        "conflict" => count > 1 && !changed,
        "gone" => count > told("back") + 1,
        "syncing" => count > 1 || side == Company,
        "outage" => stands,
        "resumed" => !stands,
        "cannot reopen" => count > reopenings + u32::from(baseless),
        _ => count > 1,
    };
    card.tally.outage_stands = match notice {
        "outage" => true,
        "resumed" => false,
        _ => stands,
    };
    // Somebody deleted one: a pair that is found again knows only what is left.
    let deleted = world.systems[side].card(id).is_some_and(has_lost_a_copy);
    if wrong && !(deleted && matches!(notice, "outage" | "resumed")) {
        world.violate(format!("the notice {notice:?} once too often on {side} case {id}"));
    }
    if let Some(why) = is_false(world, side, id, notice, body) {
        world.violate(format!("the notice {notice:?} on {side} case {id} is false: {why}"));
    }
    // Whether a case is flagged cannot be known while its system does not answer: that is an outage.
    let unknowable = notice == "outage" && world.now - world.troubled_until < grace(world);
    if !unknowable && (notice == "outage" || notice == "cannot reopen") {
        check_flag(world, side, id, "a notice");
    }
}

/// The connector is about to add a file.
pub(crate) fn uploaded(world: &mut World, side: Side, id: &str, name: &str, content: &[u8]) {
    check_flag(world, side, id, "a file is carried");
    if side == Google && content.starts_with(SECRET.as_bytes()) && !world.setting.carry_internal {
        world.violate("an internal file arrives at Google".to_owned());
    }
    let Some(other) = across(world, side, id) else {
        world.violate(format!("a file on {side} case {id}, which has no counterpart"));
        return;
    };
    let from = side.other();
    let source = world.systems[from]
        .card(&other)
        .and_then(|card| card.files.iter().find(|file| file.content == content))
        .map(|file| (file.id, file.name.clone()));
    let Some((source, original)) = source else {
        world.violate(format!(
            "a file of {} bytes that {from} case {other} does not have (R17)",
            content.len()
        ));
        return;
    };
    if name != original && name != stored_under_other_name(&original) {
        world.violate(format!("the file {original:?} arrives as {name:?} (R17)"));
    }
    copied_file(world, side, id, &other, source);
}

/// The connector is about to write something that only these may read.
pub(crate) fn visible(world: &mut World, side: Side, internal: bool) {
    if internal != (side == Company && world.setting.internal_copies) {
        world
            .violate(format!("what is written to {side} is internal: {internal}, against the configuration"));
    }
}

/// The core takes this for what both sides agree on: both have to have held it (R30). A pair that is made, or that goes on with another
/// case, has no base yet.
pub(crate) fn agreed(world: &mut World, before: Option<&CaseMapping>, mapping: &CaseMapping) {
    let is_new = before.is_none_or(|before| before.company_case_id != mapping.company_case_id);
    if is_new
        && let Some(card) = mapping.case_id(Google).and_then(|google| world.systems[Google].card_mut(google))
    {
        card.tally.agreed = None;
    }
    let known = |mapping: &CaseMapping| mapping.state.agreed_priority;
    let Some(base) = known(mapping) else { return };
    if before.and_then(known) == Some(base) {
        return;
    }
    let held = |side: Side| {
        let Some(card) = mapping.case_id(side).and_then(|id| world.systems[side].card(id)) else {
            return true;
        };
        card.tally.priorities.iter().any(|(_, level)| {
            matches!(reading(world.traits(side), side, *level), PriorityReading::Known(set) if set.contains(base))
        })
    };
    if let Some(side) = Side::BOTH.into_iter().find(|side| !held(*side)) {
        world.violate(format!(
            "both sides are taken to agree on {base}, which the {side} case never held (R30)"
        ));
    }
    if let Some(card) = mapping.case_id(Google).and_then(|google| world.systems[Google].card_mut(google)) {
        card.tally.agreed = Some(base);
    }
}

/// Whether a Google case's priority is what the company case's stands for.
fn alike(world: &World, google: Priority, company: Priority) -> bool {
    let low = [Priority::P3, Priority::P4];
    google == company
        || (world.setting.company.four_priorities && low.contains(&google) && low.contains(&company))
}

/// The connector is about to overwrite what a person has changed since it looked: from now on that counts as changed by a
/// person, and is carried.
pub(crate) fn overwrites(world: &mut World, side: Side, id: &str) {
    let (now, lately) = (world.now, grace(world));
    let Some(card) = world.systems[side].card_mut(id) else { return };
    let changed = card.tally.priority_changed.max(card.status_changed);
    card.tally.overwritten += u32::from(now - changed < lately);
}

/// The connector is about to set a title: not more often than people have changed one, but for writes that take effect late.
pub(crate) fn retitled(world: &mut World, side: Side, id: &str, title: &str) {
    let Some(other) = across(world, side, id) else { return };
    let by_people =
        |side: Side, id: &str| world.systems[side].card(id).map_or(0, |card| card.tally.retitled_by_people);
    let by_people = by_people(side, id) + by_people(side.other(), &other);
    let before = world.systems[side].card(id).map_or(0, |card| card.tally.retitled_by_connector);
    if before >= 3 * by_people {
        world.violate(format!("the title of {side} case {id} is set once more, to {title:?}"));
    }
}

/// A description without the title that stands before it, since it was cut.
fn without_title(text: &str) -> &str {
    let titled = text.starts_with("Title: ").then(|| text.split_once("\n\n")).flatten();
    titled.map_or(text, |(_, text)| text)
}

/// Returns true if both titles are equal, or one is the other as it was cut for a system.
pub(crate) fn is_same_title(one: &str, other: &str) -> bool {
    let is_cut =
        |cut: &str, whole: &str| cut.strip_suffix('…').is_some_and(|beginning| whole.starts_with(beginning));
    one == other || is_cut(one, other) || is_cut(other, one)
}

/// A title that a person changed on either side stands on both, where neither case is closed or refuses it.
fn titles(google: &Card, company: &Card) -> Option<String> {
    let cards = [google, company];
    let changed = cards.iter().any(|card| card.tally.retitled_by_people > 0);
    let excused = |card: &Card| {
        card.closed
            || card.is_clone
            || card.tally.retitled_unknown
            || card.tally.refusals.contains_key("title")
            || takes_nothing(card)
    };
    if !changed || cards.into_iter().any(excused) {
        return None;
    }
    if is_same_title(&google.title, &company.title) {
        // Where people of one side alone have changed theirs, it is the newest of it that stands.
        let alone = match cards.map(|card| card.tally.newest_title.as_deref()) {
            [Some(newest), None] => Some((google, newest)),
            [None, Some(newest)] => Some((company, newest)),
            _ => None,
        };
        let lost = alone.filter(|(card, newest)| card.title != *newest);
        return lost.map(|(card, newest)| format!("{newest:?} was lost, the title is {:?}", card.title));
    }
    Some(format!("Google's title is {:?}, the company's {:?}", google.title, company.title))
}

/// The connector is about to set a priority: what a person changed is not overwritten with what nobody did (R18).
pub(crate) fn prioritised(world: &mut World, side: Side, id: &str, priority: Priority) {
    let Some(other) = across(world, side, id) else { return };
    let (google, company) = match side {
        Google => (id, other.as_str()),
        Company => (other.as_str(), id),
    };
    let (Some(google), Some(company)) =
        (world.systems[Google].card(google), world.systems[Company].card(company))
    else {
        return;
    };
    let cards = Sides { google, company };
    let (ours, theirs) = (cards[side], cards[side.other()]);
    let lately = |card: &Card| world.now - card.tally.priority_changed < grace(world);
    let any_lately = lately(ours) || lately(theirs);
    // The level of a case that has none, or whose word nobody knows, is nobody's to choose (R30).
    let nobodys = match (side, ours.blur, theirs.blur) {
        (Google, Some(_), _) | (_, Some(Blur::Word), _) | (_, _, Some(_)) => !any_lately,
        _ => false,
    };
    if nobodys {
        world.violate(format!(
            "the {side} case {id} is set to {priority}, though one side has no priority (R30)"
        ));
        return;
    }
    if ours.blur.is_none() && priority > ours.priority && !any_lately {
        // Somebody lowered the other, after both were once seen to agree.
        let lowered = theirs.tally.chosen && theirs.priority >= priority;
        let at = mapped_base(world, side, id);
        if !lowered || at.is_none() {
            let base = at.map_or("none".to_owned(), |at| at.to_string());
            world.violate(format!(
                "the {side} case {id} is lowered from {} to {priority}, which nobody did (base: {base}) (R30)",
                cards[side].priority
            ));
            return;
        }
    }
    let Some(base) = cards.google.tally.agreed else { return };
    if cards.google.blur.is_some() || cards.company.blur.is_some() {
        return;
    }
    let (google, company) = (cards.google, cards.company);
    let changed = |side: Side| match side {
        Google => base != google.priority,
        Company => !alike(world, base, company.priority),
    };
    // What a person changed while the sync was under way cannot be known to it.
    let lately = any_lately;
    let (ours, theirs) = (changed(side), changed(side.other()));
    let most_urgent = google.priority.min(company.priority);
    let wrong = match (ours, theirs) {
        _ if lately => None,
        (true, false) => Some(format!("{}, which a person chose, becomes {priority}", cards[side].priority)),
        (true, true) if priority != most_urgent => {
            Some(format!("{} and {} become {priority}", google.priority, company.priority))
        }
        _ => None,
    };
    if let Some(wrong) = wrong {
        world.violate(format!("the priority of {side} case {id}: {wrong} (R18)"));
    }
}

/// What the store knows that both sides held.
fn mapped_base(world: &World, side: Side, id: &str) -> Option<Priority> {
    world.shelf.of(side, id).and_then(|mapping| mapping.state.agreed_priority)
}

/// The connector is about to close or reopen a case: somebody meant it (R32).
pub(crate) fn closes(world: &mut World, side: Side, id: &str, closed: bool) {
    let Some(other) = across(world, side, id).and_then(|other| world.systems[side.other()].card(&other))
    else {
        return;
    };
    let lately = world.now - other.status_changed < grace(world);
    let solves = side == Company || ClosingSet::SOLVED.contains(other.closing.unwrap_or(Closing::Closed));
    let wrong = closed && !lately && !(other.closed && solves);
    if wrong {
        let how = other.closing;
        world.violate(format!("the {side} case {id} is closed, though the other one is {how:?} (R32)"));
    }
}

/// The connector has changed a status or a priority: it only ever follows people.
pub(crate) fn steered(world: &mut World, side: Side, id: &str) {
    check_flag(world, side, id, "a status or priority is carried");
    if world.systems[side].card(id).is_some_and(|card| card.is_clone) {
        world.violate(format!("{side} case {id} is steered, though it only claims a counterpart (R10)"));
    }
    let Some(other) = across(world, side, id) else { return };
    let (mut by_connector, mut by_people, mut set, mut changed) = (0, 0, 0, 0);
    if world.systems[Company].cards.values().any(|card| card.merged_into.is_some()) {
        // Whose doing it was, on a pair that went on with another case, is not known.
        return;
    }
    for (side, id) in [(side, id), (side.other(), other.as_str())] {
        let Some(card) = world.systems[side].card(id) else { continue };
        by_connector += card.tally.status_by_connector;
        by_people += card.tally.closings_by_people + card.tally.reopenings_by_people + card.tally.overwritten;
        set += card.tally.priorities_by_connector;
        changed += card.tally.priorities_by_people + card.tally.overwritten;
    }
    if by_connector > by_people {
        world.violate(format!(
            "the status of {id} is changed {by_connector} times, by people {by_people} times (R19)"
        ));
    }
    if set > changed + 1 {
        world
            .violate(format!("the priority of {id} is changed {set} times, by people {changed} times (R18)"));
    }
}

/// Notes which comments were on their way to a company case that was merged, and whose pair goes on with another one.
fn handed_over(world: &mut World, before: &CaseMapping, mapping: &CaseMapping) {
    let google = mapping.case_id(Google).and_then(|google| world.systems[Google].card_mut(google));
    let Some(google) = google.filter(|_| before.company_case_id != mapping.company_case_id) else { return };
    for pending in before.pending.iter().filter(|pending| pending.side == Company) {
        if let Source::Comment { id, .. } = &pending.source {
            let mut notes = google.notes.iter_mut();
            notes
                .by_ref()
                .filter(|note| Some(note.id) == mail::number(id) || mail::is_known_as(note, id))
                .for_each(|note| note.merged_under_way = true);
        }
    }
}

/// A mapping was stored.
pub(crate) fn stored(world: &mut World, before: Option<&CaseMapping>, mapping: &CaseMapping) {
    if let Some(before) = before {
        handed_over(world, before, mapping);
    }
    let merged = |id: &str| {
        let cards = world.systems[Company].cards.values();
        cards.filter_map(|card| card.merged_into.as_deref()).any(|into| into == id)
    };
    if let (Some(google), Some(company)) = (mapping.case_id(Google), mapping.case_id(Company)) {
        let mirrors = |side: Side, id: &str, of: &str| {
            let card = world.systems[side].card(id);
            card.and_then(|card| card.mirror_of.as_deref()).is_some_and(|source| key(source) == key(of))
        };
        if !mirrors(Google, google, company) && !mirrors(Company, company, google) && !merged(company) {
            let text = format!("{google} is mapped to {company}, which is a stranger (R31, R38)");
            world.violate(text);
        }
    }
    for side in Side::BOTH {
        let Some(id) = mapping.case_id(side) else { continue };
        let twins = world
            .shelf
            .mappings
            .values()
            .filter(|other| other.case_id(side).is_some_and(|other| key(other) == key(id)));
        if twins.count() > 1 {
            world.violate(format!("two mappings for {side} case {id} (R9)"));
        }
        let card = world.systems[side].card(id);
        if card.is_some_and(|card| card.is_clone) && (mapping.state.conflict.is_none() || mapping.is_linked())
        {
            world.violate(format!(
                "a mapping for {side} case {id}, which only claims a counterpart (R10, R38)"
            ));
            return;
        }
        if card.is_some_and(|card| card.foreign == Some(true)) {
            world.violate(format!("a mapping for {side} case {id}, which is another desk's (R31)"));
            return;
        }
        let ended = mapping.gone == Some(side) && before.is_none_or(|before| before.gone.is_none());
        if ended && card.is_some_and(|card| !is_hidden(world, side, card) && card.merged_into.is_none()) {
            world.violate(format!("{side} case {id} counts as gone, but it exists (R20, R28)"));
            return;
        }
    }
    if mapping.relinking {
        pass_for_copies(world, mapping);
    }
    out_of_reach(world, mapping);
    stamps(world);
}

/// A pair that is relinked knows copies by their texts. What a person wrote in the words of a copy passes for it if the original was deleted:
/// nobody can tell then which of two is the copy (R14).
fn pass_for_copies(world: &mut World, mapping: &CaseMapping) {
    for side in Side::BOTH {
        let card = |side: Side| mapping.case_id(side).and_then(|id| world.systems[side].card(id));
        let (Some(card), Some(across)) = (card(side), card(side.other())) else { continue };
        let is_deleted = |id: u64| across.notes.iter().any(|note| note.id == id && note.deleted.is_some());
        let passes = |note: &&Note| {
            let meaning = meaning(side, &note.body);
            note.by == Writer::Person
                && !world.traits(side).knows_connector
                && matches!(meaning, Some(Meaning::Comment { id, .. }) if is_deleted(id))
        };
        let (id, notes) =
            (card.id.clone(), card.notes.iter().filter(passes).map(|note| note.id).collect::<Vec<_>>());
        if let Some(card) = world.systems[side].card_mut(&id) {
            let notes = card.notes.iter_mut().filter(|note| notes.contains(&note.id));
            notes.for_each(|note| note.unknowable |= !note.carried);
        }
    }
}

/// What a person wrote on `side` and has yet to arrive on the other.
fn missing<'a>(
    world: &'a World,
    side: Side,
    card: &'a Card,
) -> impl Iterator<Item = (String, Ms, DateTime<Utc>)> + 'a {
    let setting = world.setting;
    let confused = confused(world, side, &card.id);
    let open = move |by: Writer, internal: bool, deleted: Option<Ms>, carried: bool| {
        by == Writer::Person
            && !carried
            && deleted.is_none()
            && (side == Google || !internal || setting.carry_internal)
    };
    let notes = card
        .notes
        .iter()
        // Of one that was edited while it was being copied, there may be nothing left to copy.
        .filter(move |note| setting.comments && !note.edited_meanwhile)
        // What once counted as internal may have been passed by.
        .filter(move |note| !note.unknowable && !world.has_caught_up(side, note.at))
        .filter(move |note| open(note.by, note.internal, note.deleted, note.carried))
        .map(|note: &Note| (format!("comment {}", note.id), note.at, mail::stamped(note)));
    let files = card
        .files
        .iter()
        .filter(move |file| setting.attachments && open(file.by, file.internal, file.deleted, file.carried))
        .filter(move |file| !confused && !file.unknowable && !world.has_caught_up(side, file.at))
        .map(|file| (format!("file {}", file.id), file.at, file.stamped));
    notes.chain(files)
}

/// A mapping is about to be deleted: what was written long enough ago to be known must have been carried (R20).
pub(crate) fn forgotten(world: &mut World, id: casebridge::entities::MappingId) {
    let Some(mapping) = world.shelf.mappings.get(&id.0) else { return };
    let card = |side: Side| {
        let card = mapping.case_id(side).and_then(|id| world.systems[side].card(id));
        card.filter(|card| card.deleted.is_none())
    };
    let (Some(google), Some(company)) = (card(Google), card(Company)) else { return };
    if mapping.gone.is_some() || !company.flagged {
        // If they are linked again, their titles stay as they are (R30).
        let id = Some(google.id.clone()).filter(|_| !is_same_title(&google.title, &company.title));
        if let Some(google) = id.and_then(|id| world.systems[Google].card_mut(&id)) {
            google.tally.retitled_unknown = true;
        }
        return;
    }
    let lost = [(Google, google, company), (Company, company, google)].into_iter().find_map(
        |(side, card, target)| {
            let takes = !target.closed || world.traits(side.other()).comment_when_closed;
            // Who wrote it was told that nothing arrives any more (R33).
            let told = card.tally.notices.get("read only").is_some_and(|count| *count > 0);
            let takes = takes && !(told && mapping.state.read_only[side.other()].is_some());
            // What was written while it looked cannot be known.
            missing(world, side, card)
                .find(|(_, at, _)| world.now - at > 60_000)
                .filter(|_| takes && !takes_nothing(card) && !takes_nothing(target))
                .map(|(what, ..)| format!("{what} of {side} case {}", card.id))
        },
    );
    let open =
        [google, company].into_iter().all(|card| !card.closed && world.now - card.status_changed > 60_000);
    if let Some(lost) = lost.or_else(|| open.then(|| format!("{}, open again,", google.id))) {
        world.violate(format!("{lost} is forgotten by the cleanup (R20)"));
    }
}

/// Whether it was archived, for ever: a case that does not even take a comment counts as such.
fn takes_nothing(card: &Card) -> bool {
    refuses(card, Refused::Comments)
}

/// Whether a case refuses something for ever.
pub(crate) fn is_tried_daily(world: &World) -> bool {
    let refuses = |card: &Card| card.refuses.iter().any(|(_, until)| *until == NEVER);
    Side::BOTH.into_iter().any(|side| world.systems[side].cards.values().any(refuses))
}

/// No horizon may pass what was not carried (R7, R15).
fn out_of_reach(world: &mut World, mapping: &CaseMapping) {
    // From the beginning of both cases: what was read up to a time that has not come yet was read by a clock that was set back since.
    let unread = |side: Side| {
        let latest = world.theirs(side) + Duration::minutes(1);
        let read = Side::BOTH.map(|read_for| mapping.state.read_until[read_for][side]);
        read.into_iter().chain([mapping.state.forgotten_until[side]]).any(|until| until > Some(latest))
    };
    if mapping.gone.is_some() || mapping.relinking || Side::BOTH.into_iter().any(unread) {
        return;
    }
    // Likewise of a case that was changed at a time before the horizon.
    let changed_before = |side: Side, horizon: DateTime<Utc>| {
        let card = mapping.case_id(side).and_then(|id| world.systems[side].card(id));
        card.map(|card| card.updated_stamp)
            .is_some_and(|at| mapping.carried_updated_at[side] != Some(at) && at < horizon)
    };
    let now = world.in_our_time(world.now);
    let clocks = Clocks {
        now,
        skew: Sides { google: world.theirs(Google) - now, company: world.theirs(Company) - now },
    };
    let horizons: Sides<Option<DateTime<Utc>>> = horizons(mapping, WINDOWS, clocks);
    let mut lost = None;
    if Side::BOTH.into_iter().any(|side| horizons[side].is_some_and(|horizon| changed_before(side, horizon)))
    {
        return;
    }
    for side in Side::BOTH {
        let (Some(horizon), Some(card)) =
            (horizons[side], mapping.case_id(side).and_then(|id| world.systems[side].card(id)))
        else {
            continue;
        };
        // What was written while the system's clock was behind looks older than what was read before.
        let was_set = world.clock_was_set[side];
        lost = lost.or(missing(world, side, card)
            .find(|(.., stamped)| !was_set && *stamped < horizon)
            .map(|(what, ..)| format!("{what} of {side} case {} is out of reach (R7, R15)", card.id)));
    }
    if let Some(lost) = lost {
        world.violate(lost);
    }
}

/// No effective stamp may pass what was not carried (R7, R8).
pub(crate) fn stamps(world: &mut World) {
    let mut wrong = None;
    if world.host_was_set {
        // What was stamped by a clock that is set since cannot be compared.
        return;
    }
    for mapping in world.shelf.mappings.values() {
        if mapping.gone.is_some() || mapping.paused || !mapping.is_linked() {
            continue;
        }
        let card = |side: Side| {
            let card = mapping.case_id(side).and_then(|id| world.systems[side].card(id));
            card.filter(|card| card.deleted.is_none())
        };
        let (Some(google), Some(company)) = (card(Google), card(Company)) else { continue };
        if !company.flagged {
            continue;
        }
        for (side, card, target) in [(Google, google, company), (Company, company, google)] {
            let traits = world.traits(side);
            // A case that was last changed by a clock that was behind shows in no poll, with all that was written on it before.
            if card.backdated == Some(card.updated) {
                continue;
            }
            // What a closed case does not take stays behind; so does what an archived one does not.
            if mapping.state.read_only[side.other()].is_some() {
                continue;
            }
            let takes = world.traits(side.other()).comment_when_closed;
            if !takes && target.closed {
                continue;
            }
            // A list that is late hides what a poll has just counted as carried. The routine sync that the same poll queued
            // finds it, as soon as it gets to the case, or one of a later poll, if the other side was silent: before the case
            // leaves the window.
            let last = world.shelf.global.last_polled_at(side);
            let seen = last.is_some_and(|last| {
                world.in_our_time(card.updated) + Duration::minutes(1) > last - WINDOWS[side]
            });
            if traits.stale > 0 && (seen || world.checks_soon(side, &card.id)) {
                continue;
            }
            // What waited for a case to be opened or flagged again is found by a poll of that case's side: until then it is
            // that side that counts as late.
            // So does what was written while a sync was at work that had seen the case closed.
            let opened = target.status_changed + world.setting.deadline * 1000;
            let due = company.flag_changed.max(if takes { 0 } else { opened });
            let stamp_of = |side: Side| mapping.synced_at(side, &world.shelf.global);
            let synced = |at: Ms| {
                // The sync that found the case open again notes that the rest waits, too, as of that side's last poll.
                let known = mapping.dirty[side].is_some();
                let of_both = stamp_of(side).min(stamp_of(side.other()));
                match at < due {
                    true if known => mapping.stored_synced_at(side),
                    true => of_both,
                    false => stamp_of(side),
                }
            };
            // What the systems themselves show late cannot be known earlier.
            let across = world.traits(side.other());
            let late =
                traits.lag.max(across.lag) + traits.stale + traits.resolution.max(across.resolution) + 20;
            let passed = missing(world, side, card).find(|(_, at, _)| {
                Some(world.in_our_time((*at).max(due)) + Duration::seconds(late)) < synced(*at)
            });
            // Since when what was hidden waits, or what a list showed late, or what a case refused for a while, cannot be known, once it is
            // found.
            let hid = hidden_until(world, side, card).max(world.mute_until[side]);
            let unknown = |at: Ms| at < hid || traits.stale > 0 || !target.refuses.is_empty();
            let found = |at: Ms| unknown(at) && mapping.dirty[side].is_some();
            // Nor since when something waits on a case that a clock changed last that was behind. Another change shows it to the next poll.
            let shown_again = mapping.dirty[side].is_some()
                || last.is_none_or(|last| last < world.in_our_time(card.updated) + Duration::seconds(late));
            let behind = |at: Ms| card.backdated.is_some_and(|until| at <= until) && shown_again;
            // Nor can it be known that a case was opened, while that is hidden; nor since when it is open, once it is found.
            let hid_across = hidden_until(world, side.other(), target).max(world.mute_until[side.other()]);
            let opened_unseen = target.status_changed < hid_across && mapping.dirty[side.other()].is_some();
            let across = |at: Ms| at < opened && (opened_unseen || was_hidden(world, side.other(), target));
            let passed = passed.filter(|(_, at, _)| {
                !was_hidden(world, side, card) && !found(*at) && !behind(*at) && !across(*at)
            });
            if let Some((what, at, _)) = passed {
                wrong = Some(format!(
                    "{what} of {side} case {}, written at {}, waits, but the {side} side counts as synced at {:?} (R7)",
                    card.id,
                    real(at).format("%H:%M:%S"),
                    synced(at).map(|at| at.format("%H:%M:%S").to_string())
                ));
            }
        }
    }
    if let Some(wrong) = wrong {
        world.violate(wrong);
    }
}

/// Whether its system left the case out of a search, and no sweep has looked since (R26, R27).
fn was_hidden(world: &World, side: Side, card: &Card) -> bool {
    let until = hidden_until(world, side, card);
    let over = |at: Option<DateTime<Utc>>, until: Ms| {
        until < -DAY
            || at.is_some_and(|at| at > world.in_our_time(until.min(world.now)) + Duration::seconds(5))
    };
    // Where everything was left out, the first good poll looks back to before that.
    let global = &world.shelf.global;
    !over(global.memory[side].swept_day_at, until)
        || !over(global.last_polled_at(side), world.mute_until[side])
}

/// Until when it was hidden, while others were shown.
fn hidden_until(world: &World, side: Side, card: &Card) -> Ms {
    let until = card.vanished_until.max(card.index_late.map_or(Ms::MIN, |(_, until)| until));
    until.max(world.hid_until[side])
}

/// A poll that is late, of a clock and a search that are behind, sees a case for longer than its window, but not for longer
/// than this.
const SEEN_LONGER: Ms = 5 * 60_000;

/// Duration of the idle rounds, in which nothing may be written.
const IDLE_ROUNDS: Duration = Duration::minutes(6);

/// For how long the sweeps of a day find a case: each looks back a day from the one before, and one is made every hour (R27).
const SWEPT: Ms = DAY + 3_600_000;

/// What is not yet as it must be in the end.
pub(crate) fn disagreement(world: &World) -> Option<String> {
    for side in Side::BOTH {
        if let Some(doubt) = &world.shelf.global.memory[side].doubt {
            return Some(format!("the polls of the {side} side are in doubt: {doubt}"));
        }
    }
    if let Some(canary) = canary_to_be_missed(world) {
        return Some(format!("the polls have yet to miss {canary}, which was deleted"));
    }
    for card in world.systems[Company].cards.values() {
        if let Some(text) = claim_disagrees(world, card) {
            return Some(format!("{text} (company case {})", card.id));
        }
    }
    for (side, id) in &world.made {
        let card = world.systems[*side].card(id)?;
        let mapping = world.shelf.of(*side, id);
        if let Some(name) = mapping.and_then(|mapping| may_yet_be_told(world, mapping)) {
            return Some(format!("{name} may yet be told that its counterpart was deleted"));
        }
        if card.deleted.is_some() {
            continue;
        }
        let Some(mapping) = mapping else {
            // One that was closed when it was first seen gets none.
            let must = !card.closed && (*side == Google || card.flagged) && !card.desk.test_case;
            let young = world.now - card.created < 29 * DAY && card.backdated.is_none();
            if must && young {
                return Some(format!("{side} case {id} has no mapping"));
            }
            continue;
        };
        if let Some(text) = pair_disagrees(world, *side, card, mapping) {
            return Some(format!("{text} ({side} case {id})"));
        }
        if let Some(hidden) = yet_to_be_found(world, mapping) {
            return Some(format!("a sweep has yet to look for {hidden}, which was hidden"));
        }
        if let Some(of_now) = is_of_now(world, mapping) {
            return Some(format!("{of_now} was last changed at what is the present to its system"));
        }
    }
    None
}

/// A case that was deleted, and that a poll is to read within a quarter of an hour, as proof that its system shows what it has (R26).
fn canary_to_be_missed(world: &World) -> Option<&str> {
    Side::BOTH.into_iter().find_map(|side| {
        let canaries = world.shelf.global.memory[side].canaries.values();
        let mut cards = canaries.filter_map(|canary| world.systems[side].card(&canary.case));
        cards.find(|card| card.deleted.is_some()).map(|card| card.id.as_str())
    })
}

/// A case whose last change was hidden from the polls, and may be found by a sweep that is still to be made (R27). Until then, it is not known
/// whether both sides are idle.
fn yet_to_be_found(world: &World, mapping: &CaseMapping) -> Option<String> {
    Side::BOTH.into_iter().find_map(|side| {
        let card = world.systems[side].card(mapping.case_id(side)?)?;
        let is_known = mapping.carried_updated_at[side] == Some(card.updated_stamp);
        let may_be_found = card.deleted.is_none() && !is_known && was_hidden(world, side, card);
        may_be_found.then(|| format!("the {side} case {}", card.id))
    })
}

/// A case whose time of last update may be that of a change that is still to come, since it was written by a clock that was ahead and is not
/// precise. Such a time is no mark of what was carried, until it is over (R15, R36).
fn is_of_now(world: &World, mapping: &CaseMapping) -> Option<String> {
    Side::BOTH.into_iter().find_map(|side| {
        let card = world.systems[side].card(mapping.case_id(side)?)?;
        let apart = Duration::seconds(world.traits(side).resolution + 60);
        let ahead = card.updated_stamp - world.theirs(side);
        let is_of_now = ahead >= -apart - Duration::minutes(1) && ahead <= apart + IDLE_ROUNDS;
        (card.deleted.is_none() && world.traits(side).resolution > 0 && is_of_now)
            .then(|| format!("the {side} case {}", card.id))
    })
}

/// A case that names a Google case which is not its own is told so, once (R38).
fn claim_disagrees(world: &World, card: &Card) -> Option<String> {
    let young = world.now - card.created < 29 * DAY;
    if !card.is_clone || card.deleted.is_some() || !card.flagged || card.closed || !young {
        return None;
    }
    // What was written by a clock that was behind shows in no search.
    if card.backdated == Some(card.updated) {
        return None;
    }
    let Some(mapping) = world.shelf.of(Company, &card.id) else {
        return Some("its claim is not known".to_owned());
    };
    let told = card.tally.notices.get("conflict").copied().unwrap_or_default() > 0;
    (mapping.state.conflict.is_none() || !told)
        .then(|| "nobody said that its claim does not hold (R38)".to_owned())
}

/// A paused pair is looked at once an hour, for as long as the polls see its Google case, or their sweeps of a day do (R27). Then
/// nobody need notice that the company case was deleted.
fn may_yet_be_told<'a>(world: &World, mapping: &'a CaseMapping) -> Option<&'a str> {
    let google = mapping.case_id(Google)?;
    let updated = world.systems[Google].card(google).filter(|card| card.deleted.is_none())?.updated;
    let company = world.systems[Company].card(mapping.case_id(Company)?)?;
    let seen = world.now - updated < SWEPT + SEEN_LONGER;
    (seen && mapping.paused && mapping.gone.is_none() && company.deleted.is_some()).then_some(google)
}

/// True if three or more cases of that side went missing within an hour: that is taken for a right that was taken away, and no pair ends (R28).
fn are_taken_for_hidden(world: &World, side: Side, mapping: &CaseMapping) -> bool {
    let since = |mapping: &CaseMapping| mapping.state.missing[side].map(|missing| missing.since);
    let Some(first) = since(mapping) else { return false };
    let together = |other: &&CaseMapping| {
        other.gone.is_none() && since(other).is_some_and(|at| (at - first).abs() <= Duration::hours(1))
    };
    world.shelf.mappings.values().filter(together).count() >= 3
}

/// Syncs of pairs that are taken for hidden fail until the cases are shown, or until somebody takes the pairs apart.
pub(crate) fn tries_for_ever(world: &World) -> bool {
    let of =
        |mapping: &CaseMapping| Side::BOTH.into_iter().any(|side| are_taken_for_hidden(world, side, mapping));
    world.shelf.mappings.values().any(of)
}

fn pair_disagrees(world: &World, side: Side, card: &Card, mapping: &CaseMapping) -> Option<String> {
    let now = world.in_our_time(world.now);
    if let Some(lease) = &mapping.lease
        && lease.expires_at > now
        && lease.expires_at <= now + Duration::seconds(world.setting.lease)
    {
        return Some(format!("the lease of {} was never given back", lease.holder));
    }
    if let Some(gone) = mapping.gone {
        if mapping.state.merged_into.is_some() {
            return None;
        }
        let there = mapping.case_id(gone).and_then(|id| world.systems[gone].card(id));
        let company = mapping.case_id(Company).and_then(|id| world.systems[Company].card(id));
        // It goes on if both exist: the other one may have been deleted since.
        let flagged = company.is_some_and(|card| card.flagged && card.deleted.is_none());
        // No search reaches a case that was last changed before all of them look back, or seems so by a clock that was behind.
        let reached = there.is_some_and(|card| {
            let by_wrong_clock = card.backdated == Some(card.updated);
            card.deleted.is_none() && world.now - card.updated < 29 * DAY && !by_wrong_clock
        });
        if reached && flagged {
            return Some(format!("the {gone} case is back, and the pair has ended (R28)"));
        }
        if there.is_some_and(|card| card.deleted.is_none()) || card.vanished_at.is_some() {
            return None;
        }
        let told = card.tally.notices.get("gone").copied().unwrap_or_default();
        // Whether it could be told, and was to be, is only certain if it never changed.
        let certain = card.flag_changed == card.created && card.status_changed == card.created;
        let flagged = (side == Google || card.flagged) && card.refuses.is_empty();
        return (gone != side && certain && flagged && told == 0)
            .then(|| "its counterpart is gone, and nobody said so (R20)".to_owned());
    }
    if side == Company && !card.flagged {
        return None;
    }
    let Some(other_id) = mapping.case_id(side.other()) else {
        // What was written by a clock that was behind shows in no search.
        if card.backdated == Some(card.updated) {
            return None;
        }
        return Some("there is no counterpart".to_owned());
    };
    let Some(other) = world.systems[side.other()].card(other_id) else {
        return Some(format!("the counterpart {other_id} does not exist"));
    };
    if other.deleted.is_some() {
        // It shows as soon as there is something to carry to it, unless the pair is paused.
        let takes = !other.closed || world.traits(side.other()).comment_when_closed;
        let told = takes && !mapping.paused && !are_taken_for_hidden(world, side.other(), mapping);
        let waits = missing(world, side, card).next().filter(|_| told);
        return waits
            .map(|(what, ..)| format!("{other_id} was deleted, and nobody noticed, though {what} waits"));
    }
    let (google, company) = match side {
        Google => (card, other),
        Company => (other, card),
    };
    if !company.flagged {
        // Nobody need have noticed: an unflagged case is found by no poll, and its sync looks first.
        return None;
    }
    if [google, company].iter().any(|card| card.backdated == Some(card.updated)) {
        return None;
    }
    if mapping.paused {
        return Some("it is flagged, and still paused".to_owned());
    }
    for (side, card, target) in [(Google, google, company), (Company, company, google)] {
        let takes = !target.closed || world.traits(side.other()).comment_when_closed;
        let takes = takes && !takes_nothing(target);
        if takes && let Some((what, ..)) = missing(world, side, card).next() {
            return Some(format!("{what} of {side} case {} was never carried", card.id));
        }
        if let Some(waiting) = mapping.dirty[side] {
            return Some(format!("something waits on the {side} side since {}", waiting.since));
        }
        let takes_notices =
            (!card.closed || world.traits(side).comment_when_closed) && !refuses(card, Refused::Comments);
        // One that was deleted before its answer was looked for cannot be known.
        if has_lost_a_copy(card) {
            continue;
        }
        if card.tally.outage_stands && takes_notices {
            return Some(format!("the outage comment still stands on {side} case {}", card.id));
        }
        if mapping.outage_comment_sent_to(side) != card.tally.outage_stands && takes_notices {
            return Some(format!("the outage flag of {side} case {} is not what stands there", card.id));
        }
    }
    // What a closed case no longer takes stays as it was.
    let stuck = |side: Side, card: &Card| {
        (card.closed && !world.traits(side).comment_when_closed) || takes_nothing(card)
    };
    let held = Sides { google: stuck(Google, google), company: stuck(Company, company) };
    if let Some(pending) = mapping.pending.iter().find(|pending| !held[pending.side]) {
        return Some(format!("a write is pending: {pending:?}"));
    }
    if let Some(pending) = &mapping.pending_status {
        return Some(format!("a change of status is pending: {pending:?}"));
    }
    if mapping.relinking || mapping.pending_creation.is_some() {
        return Some("it is still relinking".to_owned());
    }
    if let Some(error) = &mapping.last_error {
        return Some(format!("its last sync failed: {error}"));
    }
    let notices = |card: &Card, notice| card.tally.notices.get(notice).copied().unwrap_or_default() > 0;
    let told = |card: &Card| notices(card, "cannot reopen") || !takes_comments(world, card, google);
    let solved = ClosingSet::SOLVED.contains(company.closing.unwrap_or(Closing::Closed));
    let left_open = !solved && (notices(google, "left open") || !takes_comments(world, google, google));
    // What was given up is not tried again, though it would be taken by now; that was said where it could be (R33).
    let given_up = |side: Side, what: &Refusable| mapping.state.gave_up(side, what);
    let said_so = |card: &Card| {
        let refused = card.tally.refusals.contains_key("notice given up");
        notices(card, "given up") || refused || !takes_comments(world, card, google)
    };
    let settled = match (google.closed, company.closed) {
        (true, false) => {
            let given_up = given_up(Company, &Refusable::Close) && said_so(google);
            (!world.traits(Google).reopen && told(company)) || refuses(company, Refused::Close) || given_up
        }
        (false, true) => {
            let refused = refuses(company, Refused::Reopen) || refuses(google, Refused::Close);
            let given_up = (given_up(Google, &Refusable::Close) && said_so(company))
                || (given_up(Company, &Refusable::Reopen) && notices(google, "cannot reopen"));
            (!world.traits(Company).reopen && told(google)) || left_open || refused || given_up
        }
        (true, true) | (false, false) => true,
    };
    if world.setting.status && !settled {
        return Some(format!(
            "Google's case is closed: {}, the company's: {}",
            google.closed, company.closed
        ));
    }
    if world.setting.status
        && google.closed == company.closed
        && mapping.resolved_at.is_some() != google.closed
    {
        return Some("resolvedAt is not what both sides say".to_owned());
    }
    let unset = google.blur.is_some() || company.blur == Some(Blur::Word);
    let unheld = |side: Side, wanted: Priority, card: &Card| {
        let refused = card.tally.refusals.contains_key("priority");
        let cannot = world.traits(side).unholdable == Some(wanted.level()) || refused;
        cannot && mapping.state.unheld_priority[side].is_some()
    };
    let unset = unset
        || unheld(Google, company.priority, google)
        || unheld(Company, google.priority, company)
        || takes_nothing(google)
        || takes_nothing(company);
    if world.setting.priority && !unset && !alike(world, google.priority, company.priority) {
        return Some(format!("Google has {}, the company {}", google.priority, company.priority));
    }
    if let Some(violation) = titles(google, company) {
        return Some(violation);
    }
    if let Some(violation) = desk_check::disagreement(world, google, company, mapping) {
        return Some(violation);
    }
    if let Some(violation) = extras::disagreement(world, google, company, mapping) {
        return Some(violation);
    }
    let names = company.google_name.as_deref().is_some_and(|name| key(name) == key(&google.id));
    let refused_long = |side: Side, card: &Card, what: &str, known: &Refusable| {
        is_for_good(world, card.tally.refusals.get(what).copied()) && given_up(side, known)
    };
    let link_given_up = refused_long(Company, company, "link", &Refusable::LinkBack);
    if !names && !refuses(company, Refused::Link) && !link_given_up {
        return Some("the company case does not name its Google case".to_owned());
    }
    let said = google.tally.notices.get("syncing").copied().unwrap_or_default() == 1;
    let syncing = Refusable::Item(Source::Notice(Notice::NowSyncing));
    if !said
        && takes_comments(world, google, google)
        && !refused_long(Google, google, "notice syncing", &syncing)
    {
        return Some("the Google case does not say with which company case it syncs".to_owned());
    }
    let is_part = |what: &Refusable| matches!(what, Refusable::Item(Source::Description { .. }));
    let mut refusals = mapping.state.refusals.iter();
    let part_given_up =
        refusals.any(|refusal| refusal.side == side.other() && refusal.given_up && is_part(&refusal.what));
    let described = described(card, other) || (part_given_up && said_so(card));
    (!described).then(|| "the description has not arrived whole (R16)".to_owned())
}

/// Whether it refuses that for ever.
fn refuses(card: &Card, wanted: Refused) -> bool {
    let refused = |what: Refused| what == wanted || what == Refused::Everything;
    card.refuses.iter().any(|(what, until)| refused(*what) && *until == NEVER)
}

/// Whether a case takes comments as it is; `google` is the Google case of its pair.
pub(crate) fn takes_comments(world: &World, card: &Card, google: &Card) -> bool {
    let side = if card.id == google.id { Google } else { Company };
    (!card.closed || world.traits(side).comment_when_closed) && !refuses(card, Refused::Comments)
}

/// Whether the mirror holds all of the description of `card`, as far as it takes comments.
fn described(card: &Card, mirror: &Card) -> bool {
    let another = mirror.mirror_of.as_deref().is_none_or(|of| key(of) != key(&card.id));
    if another || mirror.closed || refuses(mirror, Refused::Comments) {
        return true;
    }
    let first = mirror.description.split_once('\n').map_or("", |(_, text)| without_title(text));
    squeezed(&card.description) == squeezed(&format!("{first}{}", mirror.tally.described))
}
