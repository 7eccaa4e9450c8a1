//! The two systems, at the level of `CaseSystem`: what they hold, what they show, and how late they show it.

use std::collections::BTreeMap;

use casebridge::cases::{
    ApiError, ApiErrorKind, Attachment, Case, Closing, Comment, Found, NewCase, NewComment, Sweep,
    Visibility, Written, markers, sort_counterparts,
};
use casebridge::entities::{Priority, PriorityReading};
use chrono::{DateTime, Utc};

use crate::check;
use crate::desk::{self, DeskCard};
use crate::edits::Noted;
use crate::generate::DAY;
use crate::history::{Blur, Company, Desk, Google, Ms, Refused, Side, Traits, Trouble, Withheld};
use crate::mail::{self, Mail};
use crate::mutation;
use crate::shown::ShownCard;
use crate::world::{World, real};
use casebridge_testkit::dice::{Dice, hash};

/// Address of the company's system.
pub(crate) const HOME: &str = "https://desk.example";
/// That of another installation on the same organisation.
pub(crate) const OTHER_HOME: &str = "https://test-desk.example";
/// Stands in what the other system refuses.
pub(crate) const BANNED: &str = "BANNED";
/// The ending of a file's name that the other system refuses.
pub(crate) const BLOCKED: &str = "blocked";
/// A new case has it where nobody chooses another.
const DEFAULT: Priority = Priority::P2;

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
    /// As the system writes it.
    pub(crate) stamped: DateTime<Utc>,
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
    /// It is public, and was once listed without its marker; or it was written while the clock was behind, and looks old.
    pub(crate) unknowable: bool,
    /// It was explained that it could not be copied.
    pub(crate) given_up: bool,
    /// True if a sync was copying it to a company case when that case was merged into another.
    pub(crate) merged_under_way: bool,
    /// Times of its edits, and as the system writes them.
    pub(crate) edits: Vec<(Ms, DateTime<Utc>)>,
    /// E-mail that it came by.
    pub(crate) mail: Option<Mail>,
}

impl Note {
    /// All that ever stood there.
    pub(crate) fn bodies(&self) -> impl Iterator<Item = &str> {
        let as_comment = self.mail.iter().filter_map(Mail::body);
        self.earlier.iter().chain([&self.body]).map(String::as_str).chain(as_comment)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) id: u64,
    pub(crate) at: Ms,
    pub(crate) stamped: DateTime<Utc>,
    pub(crate) by: Writer,
    pub(crate) author: String,
    pub(crate) name: String,
    pub(crate) content: Vec<u8>,
    pub(crate) internal: bool,
    pub(crate) deleted: Option<Ms>,
    pub(crate) carried: bool,
    pub(crate) unknowable: bool,
    /// It is not handed out until then.
    pub(crate) withheld: Option<(Withheld, Ms)>,
    /// How often it was asked for in vain, and since when.
    pub(crate) refusals: Option<(Ms, u32)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Card {
    pub(crate) id: String,
    pub(crate) by: Writer,
    pub(crate) title: String,
    pub(crate) description: String,
    pub(crate) priority: Priority,
    /// What stands in place of a priority.
    pub(crate) blur: Option<Blur>,
    pub(crate) closed: bool,
    /// How, if it is a company case.
    pub(crate) closing: Option<Closing>,
    /// The case that it was merged into.
    pub(crate) merged_into: Option<String>,
    pub(crate) flagged: bool,
    /// `custom_field_google_name`.
    pub(crate) google_name: Option<String>,
    /// Project, queue or table.
    pub(crate) scope: Option<u8>,
    pub(crate) created: Ms,
    pub(crate) updated: Ms,
    created_stamp: DateTime<Utc>,
    pub(crate) updated_stamp: DateTime<Utc>,
    pub(crate) deleted: Option<Ms>,
    /// It is as if it did not exist until then.
    pub(crate) vanished_until: Ms,
    /// When it first vanished.
    pub(crate) vanished_at: Option<Ms>,
    /// When it was last updated by a clock that was behind, and is right again.
    pub(crate) backdated: Option<Ms>,
    /// The index shows it as of the one, until the other.
    pub(crate) index_late: Option<(Ms, Ms)>,
    /// Kinds of writes that it refuses, until then.
    pub(crate) refuses: Vec<(Refused, Ms)>,
    /// The case that it was made to mirror.
    pub(crate) mirror_of: Option<String>,
    /// A person wrote the name of a Google case into it that is not its own: it was cloned, or somebody guessed.
    pub(crate) is_clone: bool,
    /// Another installation mirrors a case of its own desk, with or without its address.
    pub(crate) foreign: Option<bool>,
    pub(crate) notes: Vec<Note>,
    pub(crate) files: Vec<File>,
    /// What it looked like, since when.
    versions: Vec<(Ms, Case)>,
    /// When it was last flagged or unflagged.
    pub(crate) flag_changed: Ms,
    /// When it was last closed or opened again.
    pub(crate) status_changed: Ms,
    pub(crate) tally: Tally,
    pub(crate) desk: DeskCard,
    pub(crate) shown: ShownCard,
    /// Of a Google case: notes about edits that stand here.
    pub(crate) noted: Noted,
}

/// Counts for the checks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) closings_by_people: u32,
    pub(crate) reopenings_by_people: u32,
    pub(crate) status_by_connector: u32,
    pub(crate) priorities_by_people: u32,
    pub(crate) retitled_by_people: u32,
    pub(crate) retitled_by_connector: u32,
    /// Title that a person gave it last.
    pub(crate) newest_title: Option<String>,
    /// Titles that it had before.
    pub(crate) titles: Vec<String>,
    /// A person changed the title before both titles were read.
    pub(crate) retitled_unknown: bool,
    /// How often the connector overwrote what a person had changed a moment before.
    pub(crate) overwritten: u32,
    pub(crate) priorities_by_connector: u32,
    /// When a person last changed it.
    pub(crate) priority_changed: Ms,
    /// A person chose the priority that it has.
    pub(crate) chosen: bool,
    /// Since when it had which priority.
    pub(crate) priorities: Vec<(Ms, Priority)>,
    /// What both sides last agreed on, on the Google case.
    pub(crate) agreed: Option<Priority>,
    /// Closings by people that leave the Google case open.
    pub(crate) closings_otherwise: u32,
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
    /// What was refused here for good: since when, and how often.
    pub(crate) refusals: BTreeMap<String, (Ms, u32)>,
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
    let last = id.rsplit('/').next().unwrap_or(id);
    last.strip_prefix("SUP-").unwrap_or(last)
}

pub(crate) fn error(kind: ApiErrorKind, side: Side, call: &str) -> ApiError {
    let upstream = match side {
        Google => "CSAPI",
        Company => "CRM",
    };
    ApiError::new(kind, upstream, call, format!("{kind:?} in the simulation"))
}

/// 401: the credentials are not known.
fn nobody(side: Side, call: &str) -> ApiError {
    ApiError { status: Some(401), ..error(ApiErrorKind::Unauthorized, side, call) }
}

/// 403: known, and not allowed.
fn not_allowed(side: Side, call: &str) -> ApiError {
    ApiError { status: Some(403), ..error(ApiErrorKind::Unauthorized, side, call) }
}

/// What people call a company case.
pub(crate) fn name_of(id: &str) -> String {
    format!("SUP-{id}")
}

/// Where people see a company case.
pub(crate) fn address_of(id: &str) -> String {
    format!("{HOME}/browse/{}", name_of(id))
}

pub(crate) fn stored_under_other_name(name: &str) -> String {
    let safe: String = name.chars().map(|c| if "/\\\"\n".contains(c) { '_' } else { c }).collect();
    safe.chars().take(40).collect()
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

    /// The number that the `ahead`-th of the next cases will have, if nothing else is numbered before.
    pub(crate) fn next_id(&self, ahead: u8) -> u64 {
        self.next_id + 1 + u64::from(ahead)
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
    fn new(id: String, by: Writer, at: Ms, stamped: DateTime<Utc>, features: Desk) -> Self {
        Self {
            id,
            by,
            title: String::new(),
            description: String::new(),
            priority: Priority::P4,
            blur: None,
            closed: false,
            closing: None,
            merged_into: None,
            flagged: false,
            google_name: None,
            scope: None,
            created: at,
            updated: at,
            created_stamp: stamped,
            updated_stamp: stamped,
            deleted: None,
            vanished_until: Ms::MIN / 2,
            vanished_at: None,
            backdated: None,
            index_late: None,
            refuses: Vec::new(),
            mirror_of: None,
            is_clone: false,
            foreign: None,
            notes: Vec::new(),
            files: Vec::new(),
            versions: Vec::new(),
            flag_changed: at,
            status_changed: at,
            tally: Tally::default(),
            desk: DeskCard::new(features),
            shown: ShownCard::default(),
            noted: Noted::default(),
        }
    }

    fn shown(&self, side: Side, traits: &Traits) -> Case {
        let named = match side {
            Google => markers::company_case_of_description(&self.description),
            Company => None,
        };
        let counterpart = match side {
            Google => named.map(|company| company.id.to_owned()),
            Company => self.google_name.clone(),
        };
        let people_call_it = side == Company && traits.addresses;
        Case {
            id: self.id.clone(),
            key: people_call_it.then(|| name_of(&self.id)),
            title: self.title.clone(),
            description: self.description.clone(),
            earlier_description: None,
            priority: match self.blur {
                Some(Blur::Nothing) => PriorityReading::Unset,
                Some(Blur::Word) => PriorityReading::Unknown("Blocker".to_owned()),
                None => reading(traits, side, self.priority),
            },
            closed: self.closed,
            closing: self.closing.filter(|_| self.closed),
            merged_into: self.merged_into.clone(),
            created_at: Some(self.created_stamp),
            updated_at: Some(self.updated_stamp),
            counterpart,
            counterpart_address: named.and_then(|company| company.address).map(str::to_owned),
            by_connector: (side == Company && traits.knows_creator).then_some(self.by == Writer::Connector),
            address: people_call_it.then(|| address_of(&self.id)),
            scope: self.scope.map(|scope| format!("scope {scope}")),
            synchronize: side == Google || self.flagged,
            ..self.desk.shown(side, self.closed)
        }
    }

    /// The states in which it was shown since then, and that in which it was then.
    pub(crate) fn shown_since(&self, at: Ms) -> &[(Ms, Case)] {
        let first = self.versions.iter().rposition(|(since, _)| *since <= at).unwrap_or(0);
        &self.versions[first..]
    }

    /// Whether a comment of the connector's says so.
    fn says_it_syncs_with(&self, company: &str, at: Ms) -> bool {
        let says =
            |body: &str| markers::company_case_of_comment(body).is_some_and(|named| named.id == company);
        let standing = |note: &&Note| note.at <= at && note.deleted.is_none_or(|deleted| deleted > at);
        self.notes.iter().filter(standing).any(|note| note.by == Writer::Connector && says(&note.body))
    }

    /// Whether it refuses such a write for good now.
    pub(crate) fn refuses(&self, what: Refused, now: Ms) -> bool {
        self.refuses
            .iter()
            .any(|(refused, until)| *until > now && (*refused == what || *refused == Refused::Everything))
    }

    /// What a search or list that is `late` behind shows of the case.
    fn as_of(&self, at: Ms) -> Option<&Case> {
        self.versions.iter().rev().find(|(since, _)| *since <= at).map(|(_, case)| case)
    }
}

pub(crate) fn reading(traits: &Traits, side: Side, priority: Priority) -> PriorityReading {
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
        let (now, traits, stamp) = (self.now, *self.traits(side), self.stamp(side));
        let card = self.systems[side].living(id)?;
        let (closed, priority) = (card.closed, card.priority);
        let value = change(card);
        card.updated = now;
        card.updated_stamp = stamp;
        if card.closed != closed {
            card.status_changed = now;
            card.merged_into = card.merged_into.take().filter(|_| card.closed);
        }
        if card.priority != priority {
            card.tally.priorities.push((now, card.priority));
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
        let mut card = Card::new(id, by, self.now, self.stamp(side), self.setting.desk);
        if side == Company && self.traits(side).scopes > 0 {
            let scopes = u64::from(self.traits(side).scopes);
            card.scope = u8::try_from(Dice::of(&[self.setting.seed, number]).below(scopes)).ok();
        }
        desk::born(side, by, number, self.setting.seed, &mut card);
        fill(&mut card);
        let id = card.id.clone();
        self.put(side, card, self.now);
        id
    }

    fn put(&mut self, side: Side, mut card: Card, at: Ms) {
        card.tally.priorities.push((at, card.priority));
        let shown = card.shown(side, self.traits(side));
        card.versions.push((at, shown));
        self.systems[side].cards.insert(key(&card.id).to_owned(), card);
    }

    /// Each system has a case that nobody asks to be carried: an old one of Google's, and one without the flag.
    pub(crate) fn furnish(&mut self) {
        for (side, id, at) in [(Google, "organizations/1/cases/1", -60 * DAY), (Company, "1", -60 * DAY)] {
            let mut card = Card::new(id.to_owned(), Writer::Person, at, real(at), self.setting.desk);
            card.title = "The printer is on fire".to_owned();
            card.scope = Some(9).filter(|_| side == Company && self.traits(side).scopes > 0);
            self.put(side, card, at);
        }
    }

    /// Whether the system shows the case to the connector now.
    pub(crate) fn is_shown(&self, side: Side, card: &Card) -> bool {
        card.deleted.is_none()
            && card.vanished_until <= self.now
            && !self.blind(side).any(|(scope, _)| scope.is_none() || scope == card.scope)
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
        let (now, stamped) = (self.now, self.stamp(side));
        self.change(side, id, |card| {
            card.notes.push(Note {
                id: number,
                at: now,
                stamped,
                by,
                author,
                body,
                internal,
                deleted: None,
                carried: false,
                earlier: Vec::new(),
                edited_meanwhile: false,
                unknowable: false,
                given_up: false,
                merged_under_way: false,
                edits: Vec::new(),
                mail: None,
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
        let (now, stamped) = (self.now, self.stamp(side));
        self.change(side, id, |card| {
            card.files.push(File {
                id: number,
                at: now,
                stamped,
                by,
                author,
                name,
                content,
                internal,
                deleted: None,
                carried: false,
                unknowable: false,
                withheld: None,
                refusals: None,
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

    /// What a call comes to that an anonymous caller makes, if the system takes the connector for one.
    fn known(&mut self, side: Side, call: &str) -> Result<bool, ApiError> {
        if !self.is_anonymous(side) {
            return Ok(true);
        }
        self.seen.count("lies", "an answer to somebody anonymous");
        if self.traits(side).tells_identity { Err(nobody(side, call)) } else { Ok(false) }
    }

    pub(crate) fn identify(&mut self, side: Side) -> Result<(), ApiError> {
        self.seen.count("calls", "identify");
        if self.is_anonymous(side) { Err(nobody(side, "identify")) } else { Ok(()) }
    }

    pub(crate) fn any_case(
        &mut self,
        side: Side,
        except: Option<&str>,
        dice: &mut Dice,
    ) -> Result<Option<String>, ApiError> {
        self.seen.count("calls", "any case");
        if !self.known(side, "find any case")? {
            return Ok(None);
        }
        let cards = self.systems[side].cards.values();
        let shown: Vec<&Card> = cards
            .filter(|card| except.is_none_or(|except| key(except) != key(&card.id)))
            .filter(|card| self.is_shown(side, card))
            .collect();
        Ok((!shown.is_empty()).then(|| dice.pick(&shown).id.clone()))
    }

    pub(crate) fn resolve(&mut self, side: Side, reference: &str) -> Result<Option<Case>, ApiError> {
        if reference.contains("://") && !markers::is_within(reference, HOME) {
            return Err(error(ApiErrorKind::Refused, side, "resolve"));
        }
        self.get_case(side, reference)
    }

    pub(crate) fn search(
        &mut self,
        side: Side,
        since: DateTime<Utc>,
        dice: &mut Dice,
    ) -> Result<Sweep, ApiError> {
        let Traits { lag, tells_identity, .. } = *self.traits(side);
        if !self.known(side, "search")? {
            return Ok(Sweep::default());
        }
        let mut cases = Vec::new();
        let at = self.late("late search", lag, dice);
        let (mut hidden, mut late_index) = (0, 0);
        for card in self.systems[side].cards.values() {
            if card.deleted.is_some() {
                continue;
            }
            // An index is late for some cases, and up to date for others.
            let mut at = if dice.percent(50) { at } else { self.now };
            if let Some((since, until)) = card.index_late
                && until > self.now
            {
                late_index += u64::from(card.updated > since);
                at = at.min(since);
            }
            let Some(case) = card.as_of(at) else { continue };
            if !case.synchronize || case.updated_at.is_none_or(|updated| updated <= since) {
                continue;
            }
            if !self.is_shown(side, card) {
                hidden += 1;
                continue;
            }
            let mut case = Found::of(side, case);
            if side == Google && dice.percent(20) {
                // The same case, by the name of its project.
                case.id = format!("projects/p/cases/{}", key(&case.id));
            }
            cases.push(case);
        }
        for (what, count) in
            [("a search that hides a case", hidden), ("a search behind by hours", late_index)]
        {
            if count > 0 {
                self.seen.count("lies", what);
            }
        }
        if dice.percent(50) {
            cases.reverse();
        }
        Ok(Sweep { cases, skipped: Vec::new(), identified: tells_identity })
    }

    pub(crate) fn get_case(&mut self, side: Side, id: &str) -> Result<Option<Case>, ApiError> {
        if !self.known(side, "get a case")? {
            return Ok(None);
        }
        let card = self.systems[side].card(id);
        let shown =
            card.filter(|card| self.is_shown(side, card)).map(|card| card.shown(side, self.traits(side)));
        if shown.is_none() && card.is_some_and(|card| card.deleted.is_none()) {
            self.seen.count("lies", "a case that is not found");
        }
        Ok(shown)
    }

    /// All that name it, in the order that is asked for (R38), but none that names another system (R31). `under`: only of that organisation or project, whose index is not late for hours.
    pub(crate) fn find_mirrors(
        &mut self,
        side: Side,
        (counterpart, home): (&str, Option<&str>),
        under: Option<&str>,
        dice: &mut Dice,
    ) -> Result<Vec<Found>, ApiError> {
        let lag = self.traits(side).lag;
        if !self.known(side, "find a counterpart")? {
            return Ok(Vec::new());
        }
        let at = self.late("late search", lag, dice);
        let other_home = |case: &&Case| {
            let address = case.counterpart_address.as_deref();
            address.zip(home).is_some_and(|(address, home)| !markers::is_within(address, home))
        };
        let mut found: Vec<Found> = self.systems[side]
            .cards
            .values()
            .filter(|card| self.is_shown(side, card))
            .filter(|card| under.is_none_or(|parent| card.id.starts_with(parent)))
            .filter_map(|card| {
                let late = card.index_late.filter(|(_, until)| *until > self.now && under.is_none());
                let at = late.map_or(at, |(since, _)| at.min(since));
                let case = card.as_of(at)?;
                let named = case.counterpart.as_deref().is_some_and(|named| key(named) == key(counterpart));
                (named || (side == Google && card.says_it_syncs_with(counterpart, at))).then_some(case)
            })
            .filter(|case| !other_home(case) || mutation::ignores_homes(self))
            .map(|case| Found::of(side, case))
            .collect();
        sort_counterparts(&mut found);
        Ok(found)
    }

    pub(crate) fn exists(&self, side: Side, id: &str, call: &str) -> Result<&Card, ApiError> {
        if self.is_anonymous(side) && self.traits(side).tells_identity {
            return Err(nobody(side, call));
        }
        let card = self.systems[side].card(id);
        let card = card.filter(|card| self.is_shown(side, card) && !self.is_anonymous(side));
        card.ok_or_else(|| error(ApiErrorKind::NotFound, side, call))
    }

    /// What is written has to be allowed.
    pub(crate) fn target(&self, side: Side, id: &str, call: &str) -> Result<&Card, ApiError> {
        if self.is_anonymous(side) {
            return Err(nobody(side, call));
        }
        self.exists(side, id, call)
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
        self.exists(side, id, "list comments")?;
        let unmarked = self.unmark(side, id);
        let card = self.exists(side, id, "list comments")?;
        let edits = self.setting.extras.edits;
        let mut comments: Vec<Comment> = card
            .notes
            .iter()
            .filter(|note| note.at <= at && note.deleted.is_none_or(|deleted| deleted > at))
            .map(|note| {
                let comment = Comment {
                    id: note.id.to_string(),
                    other_id: None,
                    author: match note.by {
                        Writer::Person => self.author(side),
                        Writer::Connector => note.author.clone(),
                    },
                    created_at: Some(note.stamped),
                    body: given_back(&note.body, note.id),
                    earlier_body: None,
                    edited_at: note.edits.last().map(|(_, stamped)| *stamped).filter(|_| edits),
                    visibility: mutation::marked(self, unmarked, note.internal),
                    by_connector: traits.knows_connector.then_some(note.by == Writer::Connector),
                };
                mutation::one_id(self, mail::shown(note, at, comment))
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
        self.exists(side, id, "list attachments")?;
        let unmarked = self.unmark(side, id);
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
                created_at: Some(file.stamped),
                visibility: mutation::marked(self, unmarked, file.internal),
                by_connector: traits.knows_connector.then_some(file.by == Writer::Connector),
                comment: None,
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

    /// Whether listings leave the markers out: what is public then counts as internal (R29).
    fn unmark(&mut self, side: Side, id: &str) -> bool {
        if side == Google || !self.lies(side).any(|lie| lie == Trouble::Unmarked) {
            return false;
        }
        self.seen.count("lies", "a listing without markers");
        if let Some(card) = self.systems[side].card_mut(id) {
            card.notes.iter_mut().filter(|note| !note.internal).for_each(|note| {
                note.unknowable |= !note.carried;
                // No sync reads the case again once the markers are back.
                note.edited_meanwhile |= !note.edits.is_empty();
            });
            card.files
                .iter_mut()
                .filter(|file| !file.internal)
                .for_each(|file| file.unknowable |= !file.carried);
        }
        true
    }

    /// Notes that a file could not be read.
    pub(crate) fn withheld(&mut self, side: Side, id: &str, file: &str) {
        let now = self.now;
        let card = self.systems[side].card_mut(id);
        if let Some(file) =
            card.and_then(|card| card.files.iter_mut().find(|other| other.id.to_string() == file))
        {
            file.refusals.get_or_insert((now, 0)).1 += 1;
        }
    }

    pub(crate) fn file_content(&mut self, side: Side, id: &str, file: &str) -> Result<Vec<u8>, ApiError> {
        let now = self.now;
        let missing = |call: &str| error(ApiErrorKind::NotFound, side, call);
        self.exists(side, id, "download")?;
        let card = self.systems[side].card_mut(id).ok_or_else(|| missing("download"))?;
        let found =
            card.files.iter_mut().find(|other| other.id.to_string() == file && other.deleted.is_none());
        let found = found.ok_or_else(|| missing("download"))?;
        let content = found.content.clone();
        let Some((how, _)) = found.withheld.filter(|(_, until)| *until > now) else { return Ok(content) };
        match how {
            Withheld::NotThere => {
                self.seen.count("lies", "a file that is not there");
                Err(missing("download"))
            }
            Withheld::Blocked => {
                self.seen.count("lies", "a file that is blocked");
                Err(not_allowed(side, "download"))
            }
            Withheld::Page => {
                self.seen.count("lies", "a page in place of a file");
                mutation::page(self).ok_or_else(|| error(ApiErrorKind::WrongContent, side, "download"))
            }
        }
    }

    // What the API changes.

    pub(crate) fn api_create(&mut self, side: Side, new: &NewCase) -> Result<Case, ApiError> {
        let Traits { idempotent, default_priority, unholdable, .. } = *self.traits(side);
        if self.is_anonymous(side) {
            return Err(nobody(side, "create a case"));
        }
        if self.blind(side).any(|(_, creates)| !creates) {
            return Err(not_allowed(side, "create a case"));
        }
        if idempotent
            && let Some((id, _)) = self.systems[side].keys.get(&new.idempotency_key).cloned()
            && let Some(created) = self.systems[side].card(&id).filter(|card| card.deleted.is_none())
        {
            let created = created.shown(side, self.traits(side));
            self.seen.count("connector", "is answered by a key");
            return Ok(created);
        }
        check::created(self, side, new);
        let id = self.add_card(side, Writer::Connector, |card| {
            card.title.clone_from(&new.title);
            card.description.clone_from(&new.description);
            let holds = |priority: &Priority| !default_priority && unholdable != Some(priority.level());
            card.priority = new.priority.filter(holds).unwrap_or(DEFAULT);
            card.flagged = true;
            card.mirror_of = Some(new.counterpart.clone());
            desk::place(side, card, new);
            if side == Company {
                card.google_name = Some(new.counterpart.clone());
            }
        });
        self.systems[side].keys.insert(new.idempotency_key.clone(), (id.clone(), 0));
        self.writes += 1;
        self.placed(side, &id, new);
        self.seen.count("connector", pick(side, "creates at google", "creates at company"));
        self.note("creates", || format!("{side} case {id} for {}", new.counterpart));
        let created = self.systems[side].card(&id).map(|card| card.shown(side, self.traits(side)));
        Ok(created.unwrap_or_else(|| unreachable!("just created")))
    }

    pub(crate) fn api_link(&mut self, side: Side, id: &str, counterpart: &str) -> Result<(), ApiError> {
        self.check_dry("link");
        let card = self.target(side, id, "link")?;
        let name = card.google_name.clone();
        if side == Company && name.as_deref() != Some(counterpart) {
            if card.refuses(Refused::Link, self.now) {
                return self.refuse(side, id, "link");
            }
            self.change(side, id, |card| card.google_name = Some(counterpart.to_owned()));
            self.writes += 1;
            self.seen.count("connector", "links");
            self.note("links", || format!("{side} case {id} to {counterpart}"));
        }
        Ok(())
    }

    /// Notes that something was refused for good.
    pub(crate) fn refuse<T>(&mut self, side: Side, id: &str, what: &str) -> Result<T, ApiError> {
        let now = self.now;
        self.seen.count("lies", "a write that is refused for good");
        self.note("refuses", || format!("{what} on {side} case {id}"));
        if let Some(card) = self.systems[side].card_mut(id) {
            let (_, tries) = card.tally.refusals.entry(what.to_owned()).or_insert((now, 0));
            *tries += 1;
        }
        Err(ApiError { status: Some(400), ..error(ApiErrorKind::Refused, side, what) })
    }

    fn writable(&self, side: Side, id: &str, call: &str) -> Result<(), ApiError> {
        let card = self.target(side, id, call)?;
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
        let refuses = |card: &Card| card.refuses(Refused::Comments, self.now);
        if new.body.contains(BANNED) || self.systems[side].card(id).is_some_and(refuses) {
            let what = check::refused(self, side, id, &new.body);
            return self.refuse(side, id, &what);
        }
        let traits = *self.traits(side);
        if let Some((_, number)) = self.systems[side].keys.get(&new.idempotency_key).cloned()
            && traits.idempotent
        {
            self.seen.count("connector", "is answered by a key");
            return Ok(written(number, None));
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
        let at = self.stamp(side);
        self.note("comments", || {
            format!("on {side} case {id}: {number} {:?}", new.body.chars().take(90).collect::<String>())
        });
        Ok(written(number, Some(at)))
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
        let refuses = |card: &Card| card.refuses(Refused::Files, self.now);
        if name.ends_with(BLOCKED) || self.systems[side].card(id).is_some_and(refuses) {
            let what = check::refused_file(self, side, id, &content);
            return self.refuse(side, id, &what);
        }
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
        let at = self.stamp(side);
        self.seen.count("connector", pick(side, "uploads to google", "uploads to company"));
        self.note("uploads", || format!("to {side} case {id}: {number} {name:?}"));
        Ok(written(number, Some(at)))
    }

    pub(crate) fn api_priority(&mut self, side: Side, id: &str, priority: Priority) -> Result<(), ApiError> {
        self.check_dry("priority");
        let card = self.target(side, id, "set priority")?;
        let (before, blur) = (card.priority, card.blur);
        if card.refuses(Refused::Priority, self.now) || self.traits(side).unholdable == Some(priority.level())
        {
            return self.refuse(side, id, "priority");
        }
        if before != priority || blur.is_some() {
            check::prioritised(self, side, id, priority);
            check::overwrites(self, side, id);
            self.change(side, id, |card| {
                card.priority = priority;
                card.blur = None;
                card.tally.chosen = false;
                card.tally.priorities_by_connector += 1;
            });
            self.writes += 1;
            self.seen.count("connector", pick(side, "prioritises at google", "prioritises at company"));
            self.note("sets priority", || format!("of {side} case {id}: {before} to {priority}"));
            check::steered(self, side, id);
        }
        Ok(())
    }

    pub(crate) fn api_title(&mut self, side: Side, id: &str, title: &str) -> Result<(), ApiError> {
        self.check_dry("title");
        let card = self.target(side, id, "set title")?;
        let before = card.title.clone();
        if card.refuses(Refused::Title, self.now) {
            return self.refuse(side, id, "title");
        }
        if before != title {
            check::retitled(self, side, id, title);
            self.change(side, id, |card| {
                card.title = title.to_owned();
                card.tally.retitled_by_connector += 1;
            });
            self.writes += 1;
            self.seen.count("connector", pick(side, "retitles at google", "retitles at company"));
            self.note("sets title", || format!("of {side} case {id}: {before:?} to {title:?}"));
        }
        Ok(())
    }

    pub(crate) fn api_status(&mut self, side: Side, id: &str, closed: bool) -> Result<(), ApiError> {
        self.check_dry("status");
        let card = self.target(side, id, "set status")?;
        let before = card.closed;
        let what = if closed { Refused::Close } else { Refused::Reopen };
        let refuses = card.refuses(what, self.now);
        if !closed && !self.traits(side).reopen {
            self.violate(format!("{side} case {id} is to be reopened, which cannot be done there"));
            return Err(error(ApiErrorKind::Unsupported, side, "reopen"));
        }
        if before != closed {
            if refuses {
                return self.refuse(side, id, if closed { "close" } else { "reopen" });
            }
            check::closes(self, side, id, closed);
            check::overwrites(self, side, id);
            self.change(side, id, |card| {
                card.closed = closed;
                card.closing = Some(Closing::Solved).filter(|_| closed && side == Company);
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

fn written(id: u64, created_at: Option<DateTime<Utc>>) -> Written {
    Written { id: id.to_string(), created_at, carrier_comment: None }
}

pub(crate) fn visibility(internal: bool) -> Visibility {
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
