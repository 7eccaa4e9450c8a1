//! What people do, done to the systems at once.

use casebridge::cases::{Closing, ClosingSet, Hint};
use casebridge::entities::{CompanyCaseId, FirstSeen, GoogleCaseName, ItemKind, Priority};
use casebridge::sync::texts;

use crate::check;
use crate::desk;
use crate::extras;
use crate::faults::Window;
use crate::history::{
    About, Clock, Company, Deed, FileKind, Google, Lie, Ms, Part, Refused, Side, Trouble, What, Words,
};
use crate::model::{BANNED, BLOCKED, HOME, Note, OTHER_HOME, Writer, key};
use crate::world::{NEVER, World, WrongClock};
use casebridge_testkit::dice::Dice;

const MINUTE: Ms = 60_000;

impl World {
    /// The case of that side that belongs to the `case`-th case that people made.
    pub(crate) fn case_on(&self, case: usize, side: Side) -> Option<String> {
        let (made_on, id) = self.made.get(case)?;
        if *made_on == side {
            return Some(id.clone());
        }
        let mirror = self.systems[side]
            .cards
            .values()
            .find(|card| card.mirror_of.as_deref().is_some_and(|of| key(of) == key(id)))?;
        Some(mirror.id.clone())
    }

    /// Whether its mapping was cleaned up after its counterpart was deleted, or while another company case claims it as well.
    pub(crate) fn is_widowed(&self, side: Side, id: &str) -> bool {
        let names = |name: &Option<String>| name.as_deref().is_some_and(|name| key(name) == key(id));
        self.shelf.of(side, id).is_none()
            && self.systems[side.other()].cards.values().any(|card| {
                (card.deleted.is_some() && names(&card.mirror_of))
                    || (card.is_clone && names(&card.google_name))
            })
            || self.shelf.of(side, id).is_none() && self.is_lost_on_recovery(side, id)
    }

    /// Whether the case mirrors one that was deleted, or a comment was edited or a copy deleted: a pair that is found again knows
    /// copies by their text, where the system does not say who wrote what.
    fn is_lost_on_recovery(&self, side: Side, id: &str) -> bool {
        let mirrored = self.systems[side].card(id).and_then(|card| card.mirror_of.as_deref());
        let source = mirrored.and_then(|of| self.systems[side.other()].card(of));
        let unknown = |note: &Note| {
            !note.earlier.is_empty() || (note.by == Writer::Connector && note.deleted.is_some())
        };
        let mut notes = self.systems[Company].cards.values().flat_map(|card| &card.notes);
        source.is_some_and(|source| source.deleted.is_some()) || notes.any(unknown)
    }

    pub(crate) fn act(&mut self, deed: Deed, salt: u64) {
        let done = self.attempt(deed, salt);
        if done.is_some() {
            for what in names(deed) {
                self.seen.count("people", what);
            }
            self.note("person", || format!("{deed:?}"));
        }
    }

    /// A system begins to lie, or a clock is set.
    pub(crate) fn deceive(&mut self, what: What) {
        let done = match what {
            What::Lie(lie) => self.lie(lie),
            What::Clock { whose, ahead, seconds } => {
                let until = seconds.map_or(NEVER, |seconds| self.now + seconds * 1000);
                self.wrong_clocks.push(WrongClock { whose, ahead: ahead * 1000, since: self.now, until });
                match whose {
                    Clock::Host => self.host_was_set = true,
                    Clock::Of(side) => self.clock_was_set[side] = true,
                }
                self.set_clocks();
                let what = match (whose, seconds) {
                    (Clock::Host, Some(_)) => "the host's clock jumps",
                    (Clock::Host, None) => "the host's clock is set",
                    (Clock::Of(_), Some(_)) => "a system's clock jumps",
                    (Clock::Of(_), None) => "a system's clock is set",
                };
                self.seen.count("lies", what);
                Some(())
            }
            What::Trouble { part, trouble, seconds } => {
                let until = self.now + seconds * 1000;
                self.troubles.push(Window { part, trouble, until });
                self.troubled_until = self.troubled_until.max(until);
                if matches!(trouble, Trouble::Anonymous | Trouble::Blind { .. }) {
                    let side = if part == Part::GoogleApi { Google } else { Company };
                    let all = !matches!(trouble, Trouble::Blind { scope: Some(_), .. });
                    let hid = if all { &mut self.mute_until } else { &mut self.hid_until };
                    hid[side] = hid[side].max(until);
                    self.takes_long = true;
                }
                Some(())
            }
            What::Person(_)
            | What::Cron(_)
            | What::ByHand { .. }
            | What::Hint { .. }
            | What::Crash { .. }
            | What::Stop { .. } => None,
        };
        if done.is_some() {
            self.note("trouble", || format!("{what:?}"));
        }
    }

    fn lie(&mut self, lie: Lie) -> Option<()> {
        let now = self.now;
        let until = |minutes: Option<i64>| minutes.map_or(NEVER, |minutes| now + minutes * MINUTE);
        let (case, side) = match lie {
            Lie::LateIndex { case, side, .. }
            | Lie::Vanish { case, side, .. }
            | Lie::Withhold { case, side, .. }
            | Lie::Refuse { case, side, .. } => (case, side),
        };
        let id = self.case_on(case, side)?;
        // Of a counterpart that is not linked yet, nobody could know that it is there.
        let linked = self.shelf.of(side, &id).is_some_and(casebridge::entities::CaseMapping::is_linked);
        let card = self.systems[side].living(&id)?;
        let known = linked || card.by == Writer::Person;
        match lie {
            Lie::LateIndex { minutes, .. } => {
                card.index_late = Some((now, now + minutes * MINUTE)).filter(|_| known);
                // A creation without an answer is looked for as long as the index was seen to be late (R27).
                self.takes_long |= minutes > 120;
            }
            Lie::Vanish { minutes, .. } => {
                if !known || card.vanished_until > now {
                    return None;
                }
                // It may be missing ever since it first vanished, if nobody looks in between.
                card.vanished_at.get_or_insert(now);
                card.vanished_until = now + minutes * MINUTE;
                self.takes_long = true;
                self.seen.count("lies", "a case vanishes");
            }
            Lie::Withhold { nth, how, minutes, .. } => {
                let mut files = card.files.iter_mut();
                let file =
                    files.by_ref().filter(|file| file.by == Writer::Person && !file.carried).nth(nth)?;
                file.withheld = Some((how, until(minutes)));
                self.takes_long = true;
            }
            Lie::Refuse { what, minutes, .. } => {
                card.refuses.push((what, until(minutes)));
                self.takes_long = true;
                if what == Refused::Everything {
                    self.seen.count("lies", "a case takes nothing");
                }
            }
        }
        Some(())
    }

    /// A system's clock was behind, and is right again: what was written meanwhile, and was not carried, looks old from now on, so that
    /// nobody need find it.
    pub(crate) fn was_behind(&mut self, wrong: WrongClock) {
        let Clock::Of(side) = wrong.whose else { return };
        if wrong.ahead > 4 * MINUTE {
            let right = wrong.until.min(self.now);
            self.was_ahead.push((side, right, right + wrong.ahead));
        }
        if wrong.ahead > -4 * MINUTE {
            return;
        }
        for card in self.systems[side].cards.values_mut() {
            let old = |at: Ms| at >= wrong.since && at <= wrong.until;
            card.backdated = Some(card.updated).filter(|at| old(*at)).or(card.backdated);
            card.notes
                .iter_mut()
                .filter(|note| old(note.at))
                .for_each(|note| note.unknowable |= !note.carried);
            card.files
                .iter_mut()
                .filter(|file| old(file.at))
                .for_each(|file| file.unknowable |= !file.carried);
        }
    }

    /// All lies end, but for what is refused or withheld for ever. A clock that was set stays as it is.
    pub(crate) fn be_honest(&mut self) {
        let now = self.now;
        self.troubles.clear();
        self.troubled_until = self.troubled_until.min(self.now);
        for wrong in
            self.wrong_clocks.clone().into_iter().filter(|wrong| wrong.until != NEVER && wrong.until > now)
        {
            self.was_behind(wrong);
        }
        self.wrong_clocks.retain(|wrong| wrong.until == NEVER);
        self.set_clocks();
        for side in Side::BOTH {
            self.hid_until[side] = self.hid_until[side].min(now);
            self.mute_until[side] = self.mute_until[side].min(now);
            for card in self.systems[side].cards.values_mut() {
                card.vanished_until = card.vanished_until.min(now);
                card.index_late = card.index_late.map(|(since, until)| (since, until.min(now)));
                card.refuses
                    .iter_mut()
                    .filter(|(_, until)| *until != NEVER)
                    .for_each(|(_, until)| *until = now.min(*until));
                for file in &mut card.files {
                    file.withheld = file.withheld.filter(|(_, until)| *until == NEVER);
                }
            }
        }
    }

    fn attempt(&mut self, deed: Deed, salt: u64) -> Option<()> {
        let mut dice = Dice::of(&[salt]);
        match deed {
            Deed::Create { side, flagged, priority, words } => {
                let description = self.text(side, words, false, &mut dice);
                let priority = self.level(side, priority);
                let id = self.add_card(side, Writer::Person, |card| {
                    card.title = format!("Trouble {}", card.id);
                    card.description = description;
                    card.priority = priority;
                    card.tally.chosen = true;
                    card.flagged = flagged;
                });
                self.made.push((side, id));
            }
            Deed::Comment { case, side, words, internal } => {
                let id = self.case_on(case, side)?;
                let internal = internal && side == Company;
                let card = self.systems[side].living(&id)?;
                if card.closed && !self.setting.traits(side).comment_when_closed {
                    return None;
                }
                self.takes_long |= words == Words::Banned;
                let body = self.text(side, words, internal, &mut dice);
                self.add_note(side, &id, Writer::Person, body, internal)?;
            }
            Deed::Attach { case, side, file, internal } => {
                let id = self.case_on(case, side)?;
                let internal = internal && side == Company;
                let card = self.systems[side].living(&id)?;
                if card.closed && !self.setting.traits(side).comment_when_closed {
                    return None;
                }
                let number = card.files.len();
                let name = match file {
                    FileKind::Plain | FileKind::TooLarge => format!("disk-{number}.log"),
                    FileKind::Namesake => "screenshot.png".to_owned(),
                    FileKind::OddName => format!("../a\\b \"{number}\"\n{}.txt", "x".repeat(60)),
                    FileKind::Forbidden => format!("setup-{number}.exe"),
                    FileKind::Banned => format!("setup-{number}.{BLOCKED}"),
                };
                self.takes_long |= file == FileKind::Banned;
                let secret = if internal { SECRET } else { "" };
                let mut content = format!("{secret}{side} {} ", self.systems[side].new_id()).into_bytes();
                content.resize(if file == FileKind::TooLarge { 5_000 } else { 700 }, b'.');
                self.add_file(side, &id, Writer::Person, name, content, internal)?;
            }
            Deed::Prioritise { case, side, priority } => {
                let id = self.case_on(case, side)?;
                let (now, priority) = (self.now, self.level(side, priority));
                self.change(side, &id, |card| {
                    let changed = card.priority != priority || card.blur.is_some();
                    card.priority = priority;
                    card.blur = None;
                    card.tally.priorities_by_people += u32::from(changed);
                    card.tally.priority_changed = now;
                    card.tally.chosen = true;
                })?;
            }
            Deed::Retitle { case, side, long } => {
                let id = self.case_on(case, side)?;
                let words =
                    if long { "since this morning, and nobody knows why".repeat(3) } else { String::new() };
                let title = format!("Trouble {} {words}", dice.below(1_000_000));
                // Before both titles were read once, nobody can tell a change, except on the original of a case that the connector has
                // created (R30).
                let other = side.other();
                let is_known = self.shelf.of(side, &id).is_some_and(|mapping| {
                    let was_synced = |side: Side| mapping.stored_synced_at(side).is_some();
                    let counterpart =
                        mapping.case_id(other).and_then(|counterpart| self.systems[other].card(counterpart));
                    let is_as_created = counterpart.is_some_and(|card| {
                        card.mirror_of.as_deref().is_some_and(|of| key(of) == key(&id))
                            && card.tally.retitled_by_people == 0
                    });
                    let is_known = is_as_created || Side::BOTH.into_iter().all(was_synced);
                    // The case that the pair goes on with has a title of its own (R32).
                    let is_merged = counterpart.is_some_and(|card| card.merged_into.is_some());
                    mapping.is_linked() && !mapping.relinking && is_known && !is_merged
                });
                self.change(side, &id, |card| {
                    card.tally.newest_title = Some(title.trim().to_owned());
                    card.tally.titles.push(std::mem::replace(&mut card.title, title.trim().to_owned()));
                    card.tally.retitled_by_people += 1;
                    card.tally.retitled_unknown |= !is_known;
                })?;
            }
            Deed::Close { case, side } => self.close(case, side, Closing::Solved)?,
            Deed::CloseAs { case, how } => self.close(case, Company, how)?,
            Deed::Merge { case, into } => self.merge(case, into)?,
            Deed::Blur { case, side, how } => {
                let id = self.case_on(case, side)?;
                let now = self.now;
                self.change(side, &id, |card| {
                    card.blur = Some(how);
                    card.tally.priorities_by_people += 1;
                    card.tally.priority_changed = now;
                })?;
            }
            Deed::Claim { case, ahead } => self.claim(case, ahead)?,
            Deed::Unclaim => self.unclaim()?,
            Deed::Foreign { case, address } => self.foreign(case, address)?,
            Deed::Reopen { case, side } => {
                let id = self.case_on(case, side)?;
                if !self.systems[side].living(&id)?.closed {
                    return None;
                }
                if self.systems[side].living(&id)?.merged_into.is_some() {
                    return None;
                }
                self.change(side, &id, |card| {
                    card.closed = false;
                    card.closing = None;
                    card.tally.reopenings_by_people += 1;
                })?;
            }
            Deed::Flag { case } | Deed::Unflag { case } => {
                let flagged = matches!(deed, Deed::Flag { .. });
                let id = self.case_on(case, Company)?;
                if self.systems[Company].living(&id)?.flagged == flagged {
                    return None;
                }
                let now = self.now;
                self.change(Company, &id, |card| {
                    card.flagged = flagged;
                    card.flag_changed = now;
                })?;
            }
            Deed::DeleteCopy { case, side, nth } => {
                let id = self.case_on(case, side)?;
                if side == Google {
                    // No comment can be deleted there, and files only by their authors.
                    return None;
                }
                self.remove(side, &id, nth, Writer::Connector)?;
            }
            Deed::DeleteOwn { case, side, nth } => {
                let id = self.case_on(case, side)?;
                self.remove(side, &id, nth, Writer::Person)?;
            }
            Deed::DeleteCase { case, side } => {
                if side == Google {
                    return None;
                }
                let id = self.case_on(case, side)?;
                let now = self.now;
                self.systems[side].living(&id)?.deleted = Some(now);
                self.takes_long = true;
            }
            Deed::Edit { case, nth, words } => self.edit(case, nth, words, &mut dice)?,
            Deed::Clone { case } => self.clone_case(case)?,
            Deed::Rename { side } => self.systems[side].renamed += 1,
            Deed::Touch { case, side } => {
                let id = self.case_on(case, side)?;
                self.change(side, &id, |_| ())?;
            }
            Deed::Desk(deed) => self.act_at_the_desk(deed, &mut dice)?,
            Deed::Extra(deed) => self.act_besides(deed, &mut dice)?,
        }
        check::stamps(self);
        Some(())
    }

    /// In the CRM, people edit their comments.
    fn edit(&mut self, case: usize, nth: usize, words: Words, dice: &mut Dice) -> Option<()> {
        let id = self.case_on(case, Company)?;
        let other = self.case_on(case, Google);
        let card = self.systems[Company].living(&id)?;
        let mut own = card.notes.iter().filter(|note| note.by == Writer::Person && note.deleted.is_none());
        let (number, internal) = own.nth(nth).map(|note| (note.id, note.internal))?;
        let body = self.text(Company, words, internal, dice);
        self.rewrite(&id, other.as_deref(), number, body)
    }

    /// A comment of the company case gets that text. `other`: its Google case.
    pub(crate) fn rewrite(&mut self, id: &str, other: Option<&str>, number: u64, body: String) -> Option<()> {
        let (now, stamped) = (self.now, self.stamp(Company));
        let begun = other
            .and_then(|other| self.systems[Google].card(other))
            .is_some_and(|card| card.tally.texts.contains_key(&number));
        self.change(Company, id, |card| {
            let note = card.notes.iter_mut().find(|note| note.id == number);
            if let Some(note) = note {
                note.earlier.push(std::mem::replace(&mut note.body, body));
                note.edited_meanwhile |= begun && !note.carried;
                note.edits.push((now, stamped));
            }
        })
    }

    fn close(&mut self, case: usize, side: Side, how: Closing) -> Option<()> {
        let id = self.case_on(case, side)?;
        if self.systems[side].living(&id)?.closed {
            return None;
        }
        self.change(side, &id, |card| {
            card.closed = true;
            card.closing = Some(how).filter(|_| side == Company);
            card.tally.closings_by_people += 1;
            card.tally.closings_otherwise += u32::from(!ClosingSet::SOLVED.contains(how));
        })
    }

    /// People merge a company case into another.
    fn merge(&mut self, case: usize, into: usize) -> Option<()> {
        let (id, into) = (self.case_on(case, Company)?, self.case_on(into, Company)?);
        let survivor = self.systems[Company].living(&into)?;
        if id == into || survivor.merged_into.is_some() {
            return None;
        }
        let survivor_title = survivor.title.clone();
        let merged = self.systems[Company].living(&id)?;
        if merged.closed {
            return None;
        }
        // The case that the pair goes on with has a title of its own, and one that is not carried yet stays on its own side (R32).
        let titles = [merged.title.clone(), survivor_title];
        let google =
            self.shelf.of(Company, &id).and_then(|mapping| mapping.case_id(Google).map(str::to_owned));
        if let Some(google) = google.and_then(|google| self.systems[Google].card_mut(&google)) {
            let is_shared = titles.iter().all(|title| check::is_same_title(&google.title, title));
            google.tally.retitled_unknown |= !is_shared;
        }
        self.change(Company, &id, |card| {
            card.closed = true;
            card.closing = Some(Closing::Merged);
            card.merged_into = Some(into.clone());
            card.tally.closings_by_people += 1;
            card.tally.closings_otherwise += 1;
        })?;
        self.change(Company, &into, |_| ())
    }

    /// Somebody creates a company case that names a Google case: one that exists, or one whose number can be guessed.
    fn claim(&mut self, case: usize, ahead: Option<u8>) -> Option<()> {
        let name = match ahead {
            None => self.case_on(case, Google)?,
            Some(ahead) => format!("organizations/1/cases/{}", self.systems[Google].next_id(ahead)),
        };
        self.add_card(Company, Writer::Person, |card| {
            card.title = "Guess what".to_owned();
            card.flagged = true;
            card.google_name = Some(name);
            card.is_clone = true;
            card.tally.chosen = true;
        });
        Some(())
    }

    /// Somebody clears the field of a case that named a Google case which is not its own.
    fn unclaim(&mut self) -> Option<()> {
        let cards = self.systems[Company].cards.values();
        let id = cards.rev().find(|card| card.is_clone && card.deleted.is_none())?.id.clone();
        self.change(Company, &id, |card| {
            card.google_name = None;
            card.is_clone = false;
        })?;
        self.made.push((Company, id));
        Some(())
    }

    /// Another installation mirrors a case of its own desk, whose ID is that of a case here.
    fn foreign(&mut self, case: usize, address: bool) -> Option<()> {
        let id = self.case_on(case, Company)?;
        let name = if address { format!("{id} (SUP-{id}, {OTHER_HOME}/browse/SUP-{id})") } else { id };
        let id = self.add_card(Google, Writer::Person, |card| {
            card.title = "Of another desk".to_owned();
            card.description = format!("CONTENT MIRRORED FROM COMPANY CASE {name}:\nThe disk is full.");
            card.foreign = Some(address);
            card.tally.chosen = true;
        });
        if !address {
            // It does not say so: it is a case like any other.
            self.made.push((Google, id));
        }
        Some(())
    }

    /// The level of that number, if that system holds it.
    fn level(&self, side: Side, priority: u8) -> Priority {
        let wanted = Priority::ALL[usize::from(priority) % 5];
        if self.setting.traits(side).unholdable == Some(wanted.level()) { Priority::P2 } else { wanted }
    }

    /// What a person calls a case: its ID, its key or its address.
    pub(crate) fn called(&self, side: Side, id: &str, salt: u64) -> String {
        if side == Google || !self.setting.company.addresses {
            return id.to_owned();
        }
        match salt % 3 {
            0 => id.to_owned(),
            1 => format!("SUP-{id}"),
            _ => format!("{HOME}/browse/SUP-{id}"),
        }
    }

    /// Returns the content of a push message of that side, with the name that it is counted by; the outer `None` if there is nothing to tell of, or nothing that the
    /// checks could judge ([`World::is_widowed`]).
    #[expect(clippy::option_option, reason = "no message, or one that names nothing")]
    pub(crate) fn hint(&self, side: Side, about: About) -> (&'static str, Option<Option<Hint>>) {
        let hint = |id: &str, item: Option<(ItemKind, String)>| {
            let case = match side {
                Google => FirstSeen::Google(GoogleCaseName::parse(id).ok()?),
                Company => FirstSeen::Company(CompanyCaseId::parse(id).ok()?),
            };
            Some(Some(Hint { case, item, user: None }))
        };
        let of = |case: usize| self.case_on(case, side).filter(|id| !self.is_widowed(side, id));
        match about {
            About::Nothing => ("name nothing", Some(None)),
            About::Unknown => {
                let id = if side == Google { "organizations/1/cases/99999999" } else { "99999999" };
                ("name a case that does not exist", hint(id, None))
            }
            About::Case(case) => ("name a case", of(case).and_then(|id| hint(&id, None))),
            About::Comment { case, nth } => {
                let note = of(case).and_then(|id| {
                    let note = self.systems[side].card(&id)?.notes.iter().rev().nth(nth)?;
                    hint(&id, Some((ItemKind::Comment, note.id.to_string())))
                });
                ("name a comment", note)
            }
        }
    }

    /// People clone company cases, field and all: the clone claims a Google case that has a partner already.
    fn clone_case(&mut self, case: usize) -> Option<()> {
        let id = self.case_on(case, Company)?;
        let original = self.systems[Company].living(&id)?.clone();
        let name = original.google_name.filter(|_| original.flagged)?;
        // While nobody knows the counterpart, the clone is as good as the original.
        self.shelf.of(Google, &name).filter(|mapping| mapping.case_id(Company) == Some(&id))?;
        self.add_card(Company, Writer::Person, |card| {
            card.title = original.title;
            card.description = original.description;
            card.priority = original.priority;
            card.flagged = true;
            card.google_name = Some(name);
            card.is_clone = true;
            card.tally.chosen = true;
        });
        Some(())
    }

    fn remove(&mut self, side: Side, id: &str, nth: usize, by: Writer) -> Option<()> {
        let now = self.now;
        let card = self.systems[side].living(id)?;
        let mut notes = card.notes.iter_mut().filter(|note| note.by == by && note.deleted.is_none());
        let mut files = card.files.iter_mut().filter(|file| file.by == by && file.deleted.is_none());
        if side == Company && nth.is_multiple_of(2) {
            notes.nth(nth / 2)?.deleted = Some(now);
        } else {
            files.nth(nth / 2)?.deleted = Some(now);
        }
        self.change(side, id, |_| ())
    }

    pub(crate) fn text(&self, side: Side, words: Words, internal: bool, dice: &mut Dice) -> String {
        let secret = if internal { SECRET } else { "" };
        let number = dice.below(1_000_000);
        match words {
            Words::Short => format!("{secret}Remark {number}."),
            Words::Banned => format!("{secret}Remark {number}: {BANNED}."),
            Words::Long => {
                let limit = self.setting.google.limit.max(self.setting.company.limit);
                format!("{secret}Remark {number}. ")
                    + &"All work and no play makes Jack a dull boy.\n".repeat(limit / 20)
            }
            Words::Odd => format!("{secret}\u{1f469}\u{200d}\u{1f469}\r\nשלום\0 \u{1b}[1m {number}\r"),
            Words::Quotation(kind) => {
                let notes = || {
                    let cards = self.systems[side.other()].cards.values();
                    cards.flat_map(|card| &card.notes)
                };
                let newest = notes().next_back().map_or(1, |note| note.id);
                let quoted = match kind % 6 {
                    0 => format!("[Google Comment {newest} by Ada]\nI agree, {number}."),
                    1 => format!("[Company Comment {newest} by Jane Roe]\nI agree, {number}."),
                    2 => format!("[Google Comment {newest} by Ada (1/2)]\nI agree, {number}."),
                    3 => format!("{} {number}", texts::RESUMED),
                    4 => format!("This case is now syncing with Company Case: {number}?"),
                    _ => format!("{}a while, {number}", texts::OUTAGE_PREFIX),
                };
                format!("{quoted}{secret}")
            }
        }
    }
}

/// What a deed counts as.
fn names(deed: Deed) -> Vec<&'static str> {
    let at = |side, google, company| if side == Google { google } else { company };
    let wordy = |words| match words {
        Words::Short => None,
        Words::Long => Some("write more than fits"),
        Words::Quotation(_) => Some("quote the connector"),
        Words::Odd => Some("write oddly"),
        Words::Banned => Some("write what is refused"),
    };
    let mut names = vec![match deed {
        Deed::Create { side, .. } => at(side, "create at google", "create at company"),
        Deed::Comment { side, .. } => at(side, "comment at google", "comment at company"),
        Deed::Attach { side, .. } => at(side, "attach at google", "attach at company"),
        Deed::Prioritise { side, .. } => at(side, "prioritise at google", "prioritise at company"),
        Deed::Retitle { side, .. } => at(side, "retitle at google", "retitle at company"),
        Deed::Close { side, .. } => at(side, "close at google", "close at company"),
        Deed::Reopen { side, .. } => at(side, "reopen at google", "reopen at company"),
        Deed::Flag { .. } => "flag",
        Deed::Unflag { .. } => "unflag",
        Deed::DeleteCopy { .. } => "delete a copy",
        Deed::DeleteOwn { .. } => "delete their own",
        Deed::DeleteCase { .. } => "delete a case",
        Deed::Clone { .. } => "clone a case",
        Deed::Edit { .. } => "edit a comment",
        Deed::Rename { .. } => "rename themselves",
        Deed::Touch { .. } => "touch",
        Deed::CloseAs { how: Closing::Archived, .. } => "archive",
        Deed::CloseAs { how: Closing::Duplicate, .. } => "close as a duplicate",
        Deed::CloseAs { .. } => "cancel",
        Deed::Merge { .. } => "merge a case",
        Deed::Blur { .. } => "blur a priority",
        Deed::Claim { ahead: None, .. } => "name a stranger's case",
        Deed::Claim { .. } => "guess a case",
        Deed::Unclaim => "clear a name",
        Deed::Foreign { address: true, .. } => "mirror another desk",
        Deed::Foreign { .. } => "mirror another desk without its address",
        Deed::Desk(deed) => desk::name(deed),
        Deed::Extra(deed) => extras::name(deed),
    }];
    match deed {
        Deed::Create { side, flagged, words, .. } => {
            names.extend((side == Company && !flagged).then_some("create without the flag"));
            names.extend(wordy(words));
        }
        Deed::Comment { side, internal, words, .. } => {
            names.extend((side == Company && internal).then_some("comment internally"));
            names.extend(wordy(words));
        }
        Deed::Attach { file, .. } => names.extend(match file {
            FileKind::Plain => None,
            FileKind::Namesake => Some("attach a namesake"),
            FileKind::OddName => Some("attach an odd name"),
            FileKind::TooLarge => Some("attach too much"),
            FileKind::Forbidden => Some("attach a forbidden type"),
            FileKind::Banned => Some("attach what is refused"),
        }),
        _ => {}
    }
    names
}

/// Stands in everything that is internal, and must not be seen at Google.
pub(crate) const SECRET: &str = "SECRET ";
