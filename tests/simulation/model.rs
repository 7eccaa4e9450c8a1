//! The two systems, at the level of `CaseSystem`: what they hold, what they show, and how late they show it.

use std::collections::BTreeMap;

use casebridge::cases::{
    ApiError, ApiErrorKind, Attachment, Case, Comment, Found, NewCase, NewComment, Sweep, Visibility,
    Written, markers,
};
use casebridge::entities::{Priority, PriorityReading};
use chrono::{DateTime, Utc};

use crate::check;
use crate::dice::{Dice, hash};
use crate::history::{Company, Google, Ms, Side, Traits};
use crate::world::{World, real};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    Person,
    Connector,
}

/// A comment, and what the checks remember of it.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub(crate) id: u64,
    pub(crate) at: Ms,
    pub(crate) by: Writer,
    pub(crate) author: String,
    pub(crate) body: String,
    pub(crate) internal: bool,
    pub(crate) deleted: Option<Ms>,
    /// All of it has arrived on the other side.
    pub(crate) carried: bool,
    /// What stood there before it was edited.
    pub(crate) earlier: Vec<String>,
    /// It was edited while part of it had been copied.
    pub(crate) edited_meanwhile: bool,
}

impl Note {
    /// All that ever stood there.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = &str> {
        self.earlier.iter().chain([&self.body]).map(String::as_str)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) id: u64,
    pub(crate) at: Ms,
    pub(crate) by: Writer,
    pub(crate) author: String,
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
    pub(crate) internal: bool,
    pub(crate) deleted: Option<Ms>,
    pub(crate) carried: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub(crate) id: String,
    pub(crate) by: Writer,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) priority: Priority,
    pub(crate) closed: bool,
    pub(crate) flagged: bool,
    /// `custom_field_google_name`.
    pub(crate) google_name: Option<String>,
    pub(crate) created: Ms,
    pub(crate) updated: Ms,
    pub(crate) deleted: Option<Ms>,
    /// The case that it was made to mirror.
    pub(crate) mirror_of: Option<String>,
    /// A person cloned another: the Google case that it names belongs to that one.
    pub(crate) is_clone: bool,
    pub(crate) notes: Vec<Note>,
    pub(crate) files: Vec<File>,
    /// What it looked like, since when.
    versions: Vec<(Ms, Case)>,
    /// When it was last flagged or unflagged.
    pub(crate) flag_changed: Ms,
    /// When it was last closed or opened again.
    pub(crate) status_changed: Ms,
    pub(crate) tally: Tally,
}

/// Counts for the checks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) closings_by_people: u32,
    pub(crate) reopenings_by_people: u32,
    pub(crate) status_by_connector: u32,
    pub(crate) priorities_by_people: u32,
    /// How often the connector overwrote what a person had changed a moment before.
    pub(crate) overwritten: u32,
    pub(crate) priorities_by_connector: u32,
    /// When a person last changed it.
    pub(crate) priority_changed: Ms,
    /// What both sides last agreed on, on the Google case.
    pub(crate) agreed: Option<Priority>,
    /// Copies that stand here or once stood here: what of the other side they are copies of.
    pub(crate) copies: BTreeMap<String, Vec<u32>>,
    /// Texts of the parts, put together.
    pub(crate) texts: BTreeMap<u64, String>,
    /// What arrived of the other side's description.
    pub(crate) described: String,
    /// The newest source that was copied here.
    pub(crate) newest_source: (u64, u32),
    pub(crate) outage_stands: bool,
    pub(crate) notices: BTreeMap<&'static str, u32>,
    /// Sources whose copies were refused here, by their IDs.
    pub(crate) refused: Vec<u64>,
}

#[derive(Debug)]
pub(crate) struct System {
    pub(crate) cards: BTreeMap<String, Card>,
    next_id: u64,
    keys: BTreeMap<String, (String, u64)>,
    pub(crate) renamed: u32,
}

/// The identity of a case in the model: the number of a Google case, the ID of a company case.
pub(crate) fn key(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

pub(crate) fn error(kind: ApiErrorKind, side: Side, call: &str) -> ApiError {
    let upstream = match side {
        Google => "CSAPI",
        Company => "CRM",
    };
    ApiError::new(kind, upstream, call, format!("{kind:?} in the simulation"))
}

pub(crate) fn stored_under_other_name(name: &str) -> String {
    let safe: String = name.chars().map(|c| if "/\\\"\n".contains(c) { '_' } else { c }).collect();
    safe.chars().take(40).collect()
}

/// As the system writes a time: by its own clock, as precisely as it can.
pub(crate) fn stamp(traits: &Traits, at: Ms) -> DateTime<Utc> {
    let shown = at + traits.skew * 1000;
    let unit = if traits.resolution == 0 { 1 } else { traits.resolution * 1000 };
    real(shown.div_euclid(unit) * unit)
}

impl System {
    pub(crate) fn new(side: Side) -> Self {
        let next_id = match side {
            Google => 500,
            Company => 10_000,
        };
        Self { cards: BTreeMap::new(), next_id, keys: BTreeMap::new(), renamed: 0 }
    }

    pub(crate) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    pub(crate) fn card(&self, id: &str) -> Option<&Card> {
        self.cards.get(key(id))
    }

    pub(crate) fn card_mut(&mut self, id: &str) -> Option<&mut Card> {
        self.cards.get_mut(key(id))
    }

    /// The case, if it exists.
    pub(crate) fn living(&mut self, id: &str) -> Option<&mut Card> {
        self.cards.get_mut(key(id)).filter(|card| card.deleted.is_none())
    }
}

impl Card {
    fn shown(&self, side: Side, traits: &Traits) -> Case {
        let counterpart = match side {
            Google => {
                markers::company_case_of_description(&self.description).map(|company| company.id.to_owned())
            }
            Company => self.google_name.clone(),
        };
        Case {
            id: self.id.clone(),
            key: None,
            title: self.title.clone(),
            description: self.description.clone(),
            priority: reading(traits, side, self.priority),
            closed: self.closed,
            created_at: Some(stamp(traits, self.created)),
            updated_at: Some(stamp(traits, self.updated)),
            counterpart,
            synchronize: side == Google || self.flagged,
            ..Case::default()
        }
    }

    /// What a search or list that is `late` behind shows of the case.
    fn as_of(&self, at: Ms) -> Option<&Case> {
        self.versions.iter().rev().find(|(since, _)| *since <= at).map(|(_, case)| case)
    }
}

fn reading(traits: &Traits, side: Side, priority: Priority) -> PriorityReading {
    let shared = [Priority::P3, Priority::P4];
    if side == Company && traits.four_priorities && shared.contains(&priority) {
        PriorityReading::Known(shared.into_iter().collect())
    } else {
        PriorityReading::exactly(priority)
    }
}

impl World {
    /// Changes a case: its time of last update moves, and a new version of it can be seen from now on.
    pub(crate) fn change<T>(
        &mut self,
        side: Side,
        id: &str,
        change: impl FnOnce(&mut Card) -> T,
    ) -> Option<T> {
        let (now, traits) = (self.now, *self.traits(side));
        let card = self.systems[side].living(id)?;
        let closed = card.closed;
        let value = change(card);
        card.updated = now;
        if card.closed != closed {
            card.status_changed = now;
        }
        let shown = card.shown(side, &traits);
        card.versions.push((now, shown));
        Some(value)
    }

    pub(crate) fn add_card(&mut self, side: Side, by: Writer, fill: impl FnOnce(&mut Card)) -> String {
        let number = self.systems[side].new_id();
        let id = match side {
            Google => format!("organizations/1/cases/{number}"),
            Company => number.to_string(),
        };
        let now = self.now;
        let mut card = Card {
            id: id.clone(),
            by,
            title: String::new(),
            description: String::new(),
            priority: Priority::P4,
            closed: false,
            flagged: false,
            google_name: None,
            created: now,
            updated: now,
            deleted: None,
            mirror_of: None,
            is_clone: false,
            notes: Vec::new(),
            files: Vec::new(),
            versions: Vec::new(),
            flag_changed: now,
            status_changed: now,
            tally: Tally::default(),
        };
        fill(&mut card);
        let shown = card.shown(side, self.traits(side));
        card.versions.push((now, shown));
        self.systems[side].cards.insert(key(&id).to_owned(), card);
        id
    }

    pub(crate) fn author(&self, side: Side) -> String {
        match (side, self.systems[side].renamed) {
            (Google, 0) => "Ada".to_owned(),
            (Company, 0) => "Jane Roe".to_owned(),
            (_, times) => format!("Renamed {times}"),
        }
    }

    pub(crate) fn add_note(
        &mut self,
        side: Side,
        id: &str,
        by: Writer,
        body: String,
        internal: bool,
    ) -> Option<u64> {
        let number = self.systems[side].new_id();
        let author = match by {
            Writer::Person => self.author(side),
            Writer::Connector => "casebridge".to_owned(),
        };
        let now = self.now;
        self.change(side, id, |card| {
            card.notes.push(Note {
                id: number,
                at: now,
                by,
                author,
                body,
                internal,
                deleted: None,
                carried: false,
                earlier: Vec::new(),
                edited_meanwhile: false,
            });
        })?;
        Some(number)
    }

    pub(crate) fn add_file(
        &mut self,
        side: Side,
        id: &str,
        by: Writer,
        name: String,
        content: Vec<u8>,
        internal: bool,
    ) -> Option<u64> {
        let number = self.systems[side].new_id();
        let author = match by {
            Writer::Person => self.author(side),
            Writer::Connector => "casebridge".to_owned(),
        };
        let now = self.now;
        self.change(side, id, |card| {
            card.files.push(File {
                id: number,
                at: now,
                by,
                author,
                name,
                content,
                internal,
                deleted: None,
                carried: false,
            });
        })?;
        Some(number)
    }

    /// As of when something that may be `seconds` late is shown.
    fn late(&mut self, what: &'static str, seconds: i64, dice: &mut Dice) -> Ms {
        if seconds > 0 && dice.percent(50) {
            self.seen.count("calls", what);
            self.now - dice.range(0, seconds * 1000)
        } else {
            self.now
        }
    }

    // What the API shows.

    pub(crate) fn search(&mut self, side: Side, since: DateTime<Utc>, dice: &mut Dice) -> Sweep {
        let lag = self.traits(side).lag;
        let mut cases = Vec::new();
        let at = self.late("late search", lag, dice);
        for card in self.systems[side].cards.values() {
            if card.deleted.is_some() {
                continue;
            }
            // An index is late for some cases, and up to date for others.
            let at = if dice.percent(50) { at } else { self.now };
            let Some(case) = card.as_of(at) else { continue };
            if !case.synchronize || case.updated_at.is_none_or(|updated| updated <= since) {
                continue;
            }
            let mut case = Found::from(case);
            if side == Google && dice.percent(20) {
                // The same case, by the name of its project.
                case.id = format!("projects/p/cases/{}", key(&case.id));
            }
            cases.push(case);
        }
        if dice.percent(50) {
            cases.reverse();
        }
        Sweep { cases, skipped: Vec::new(), identified: true }
    }

    pub(crate) fn get_case(&self, side: Side, id: &str) -> Option<Case> {
        let card = self.systems[side].card(id).filter(|card| card.deleted.is_none())?;
        Some(card.shown(side, self.traits(side)))
    }

    pub(crate) fn find_mirror(&mut self, side: Side, counterpart: &str, dice: &mut Dice) -> Option<Case> {
        let lag = self.traits(side).lag;
        let at = self.late("late search", lag, dice);
        self.systems[side]
            .cards
            .values()
            .filter(|card| card.deleted.is_none())
            .filter_map(|card| card.as_of(at))
            .find(|case| case.counterpart.as_deref().is_some_and(|named| key(named) == key(counterpart)))
            .cloned()
    }

    fn exists(&self, side: Side, id: &str, call: &str) -> Result<&Card, ApiError> {
        let card = self.systems[side].card(id).filter(|card| card.deleted.is_none());
        card.ok_or_else(|| error(ApiErrorKind::NotFound, side, call))
    }

    pub(crate) fn list_notes(
        &mut self,
        side: Side,
        id: &str,
        since: Option<DateTime<Utc>>,
        dice: &mut Dice,
    ) -> Result<Vec<Comment>, ApiError> {
        let traits = *self.traits(side);
        let at = self.late("stale list", traits.stale, dice);
        let card = self.exists(side, id, "list comments")?;
        let mut comments: Vec<Comment> = card
            .notes
            .iter()
            .filter(|note| note.at <= at && note.deleted.is_none_or(|deleted| deleted > at))
            .map(|note| Comment {
                id: note.id.to_string(),
                author: match note.by {
                    Writer::Person => self.author(side),
                    Writer::Connector => note.author.clone(),
                },
                created_at: Some(stamp(&traits, note.at)),
                body: given_back(&note.body, note.id),
                visibility: visibility(note.internal),
                by_connector: traits.knows_connector.then_some(note.by == Writer::Connector),
            })
            .collect();
        if dice.percent(70) {
            comments.retain(|comment| since.is_none() || comment.created_at >= since);
        }
        if dice.percent(50) {
            comments.reverse();
        }
        Ok(comments)
    }

    pub(crate) fn list_files(
        &mut self,
        side: Side,
        id: &str,
        since: Option<DateTime<Utc>>,
        dice: &mut Dice,
    ) -> Result<Vec<Attachment>, ApiError> {
        let traits = *self.traits(side);
        let at = self.late("stale list", traits.stale, dice);
        let card = self.exists(side, id, "list attachments")?;
        let mut files: Vec<Attachment> = card
            .files
            .iter()
            .filter(|file| file.at <= at && file.deleted.is_none_or(|deleted| deleted > at))
            .map(|file| Attachment {
                id: file.id.to_string(),
                filename: file.name.clone(),
                media_type: None,
                size: Some(file.content.len() as u64),
                author: file.author.clone(),
                created_at: Some(stamp(&traits, file.at)),
                visibility: visibility(file.internal),
                by_connector: traits.knows_connector.then_some(file.by == Writer::Connector),
            })
            .collect();
        if dice.percent(70) {
            files.retain(|file| since.is_none() || file.created_at >= since);
        }
        if dice.percent(50) {
            files.reverse();
        }
        Ok(files)
    }

    pub(crate) fn file_content(&self, side: Side, id: &str, file: &str) -> Result<Vec<u8>, ApiError> {
        let card = self.exists(side, id, "download")?;
        let found = card.files.iter().find(|other| other.id.to_string() == file && other.deleted.is_none());
        let found = found.ok_or_else(|| error(ApiErrorKind::NotFound, side, "download"))?;
        Ok(found.content.clone())
    }

    // What the API changes.

    pub(crate) fn api_create(&mut self, side: Side, new: &NewCase) -> Case {
        let idempotent = self.traits(side).idempotent;
        if idempotent
            && let Some((id, _)) = self.systems[side].keys.get(&new.idempotency_key).cloned()
            && let Some(created) = self.get_case(side, &id)
        {
            self.seen.count("connector", "is answered by a key");
            return created;
        }
        check::created(self, side, new);
        let id = self.add_card(side, Writer::Connector, |card| {
            card.title.clone_from(&new.title);
            card.description.clone_from(&new.description);
            card.priority = new.priority.unwrap_or(Priority::P4);
            card.flagged = true;
            card.mirror_of = Some(new.counterpart.clone());
            if side == Company {
                card.google_name = Some(new.counterpart.clone());
            }
        });
        self.systems[side].keys.insert(new.idempotency_key.clone(), (id.clone(), 0));
        self.writes += 1;
        self.seen.count("connector", pick(side, "creates at google", "creates at company"));
        self.note("creates", || format!("{side} case {id} for {}", new.counterpart));
        self.get_case(side, &id).unwrap_or_else(|| unreachable!("just created"))
    }

    pub(crate) fn api_link(&mut self, side: Side, id: &str, counterpart: &str) -> Result<(), ApiError> {
        self.check_dry("link");
        let name = self.exists(side, id, "link")?.google_name.clone();
        if side == Company && name.as_deref() != Some(counterpart) {
            self.change(side, id, |card| card.google_name = Some(counterpart.to_owned()));
            self.writes += 1;
            self.seen.count("connector", "links");
            self.note("links", || format!("{side} case {id} to {counterpart}"));
        }
        Ok(())
    }

    fn writable(&self, side: Side, id: &str, call: &str) -> Result<(), ApiError> {
        let card = self.exists(side, id, call)?;
        if card.closed && !self.traits(side).comment_when_closed {
            return Err(error(ApiErrorKind::Refused, side, call));
        }
        Ok(())
    }

    pub(crate) fn api_comment(
        &mut self,
        side: Side,
        id: &str,
        new: &NewComment,
    ) -> Result<Written, ApiError> {
        self.check_dry("comment");
        if let Err(refused) = self.writable(side, id, "add comment") {
            self.seen.count("connector", "is refused a comment");
            check::refused(self, side, id, &new.body);
            return Err(refused);
        }
        let traits = *self.traits(side);
        if let Some((_, number)) = self.systems[side].keys.get(&new.idempotency_key).cloned()
            && traits.idempotent
        {
            self.seen.count("connector", "is answered by a key");
            return Ok(written(&traits, number, None));
        }
        if new.body.chars().count() > traits.limit {
            self.violate(format!("a comment of {} characters for {side}", new.body.chars().count()));
        }
        let internal = new.visibility == Visibility::Internal;
        check::visible(self, side, internal);
        check::commented(self, side, id, &new.body);
        let number = self.add_note(side, id, Writer::Connector, new.body.clone(), internal);
        let number = number.unwrap_or_else(|| unreachable!("it exists"));
        self.systems[side].keys.insert(new.idempotency_key.clone(), (id.to_owned(), number));
        self.writes += 1;
        let at = self.now;
        self.note("comments", || {
            format!("on {side} case {id}: {number} {:?}", new.body.chars().take(90).collect::<String>())
        });
        Ok(written(&traits, number, Some(at)))
    }

    pub(crate) fn api_upload(
        &mut self,
        side: Side,
        id: &str,
        name: &str,
        content: Vec<u8>,
        internal: bool,
    ) -> Result<Written, ApiError> {
        self.check_dry("upload");
        self.writable(side, id, "upload")?;
        if !takes(name, &content) {
            return Err(error(ApiErrorKind::Unacceptable, side, "upload"));
        }
        let traits = *self.traits(side);
        let stored = if traits.renames_files { stored_under_other_name(name) } else { name.to_owned() };
        check::visible(self, side, internal);
        check::uploaded(self, side, id, name, &content);
        let number = self.add_file(side, id, Writer::Connector, stored, content, internal);
        let number = number.unwrap_or_else(|| unreachable!("it exists"));
        self.writes += 1;
        let at = self.now;
        self.seen.count("connector", pick(side, "uploads to google", "uploads to company"));
        self.note("uploads", || format!("to {side} case {id}: {number} {name:?}"));
        Ok(written(&traits, number, Some(at)))
    }

    pub(crate) fn api_priority(&mut self, side: Side, id: &str, priority: Priority) -> Result<(), ApiError> {
        self.check_dry("priority");
        let before = self.exists(side, id, "set priority")?.priority;
        if before != priority {
            check::prioritised(self, side, id, priority);
            check::overwrites(self, side, id);
            self.change(side, id, |card| {
                card.priority = priority;
                card.tally.priorities_by_connector += 1;
            });
            self.writes += 1;
            self.seen.count("connector", pick(side, "prioritises at google", "prioritises at company"));
            self.note("sets priority", || format!("of {side} case {id}: {before} to {priority}"));
            check::steered(self, side, id);
        }
        Ok(())
    }

    pub(crate) fn api_status(&mut self, side: Side, id: &str, closed: bool) -> Result<(), ApiError> {
        self.check_dry("status");
        let before = self.exists(side, id, "set status")?.closed;
        if !closed && !self.traits(side).reopen {
            self.violate(format!("{side} case {id} is to be reopened, which cannot be done there"));
            return Err(error(ApiErrorKind::Unsupported, side, "reopen"));
        }
        if before != closed {
            check::overwrites(self, side, id);
            self.change(side, id, |card| {
                card.closed = closed;
                card.tally.status_by_connector += 1;
            });
            self.writes += 1;
            self.seen.count(
                "connector",
                match (side, closed) {
                    (Google, true) => "closes at google",
                    (Company, true) => "closes at company",
                    (Google, false) => "reopens at google",
                    (Company, false) => "reopens at company",
                },
            );
            self.note(if closed { "closes" } else { "reopens" }, || format!("{side} case {id}"));
            check::steered(self, side, id);
        }
        Ok(())
    }
}

pub(crate) fn pick(side: Side, google: &'static str, company: &'static str) -> &'static str {
    match side {
        Google => google,
        Company => company,
    }
}

/// The largest file that either system takes.
pub(crate) const FILE_LIMIT: u64 = 4_000;

/// Whether either system takes that file at all.
pub(crate) fn takes(name: &str, content: &[u8]) -> bool {
    content.len() as u64 <= FILE_LIMIT && !name.to_ascii_lowercase().ends_with(".exe")
}

fn written(traits: &Traits, id: u64, at: Option<Ms>) -> Written {
    Written { id: id.to_string(), created_at: at.map(|at| stamp(traits, at)), carrier_comment: None }
}

fn visibility(internal: bool) -> Visibility {
    if internal { Visibility::Internal } else { Visibility::Public }
}

/// Systems trim what they are given, and change its line ends.
fn given_back(body: &str, id: u64) -> String {
    match hash(&id.to_be_bytes()) % 3 {
        0 => body.to_owned(),
        1 => body.trim().to_owned(),
        _ => body.replace("\r\n", "\n").replace('\n', "\r\n"),
    }
}
