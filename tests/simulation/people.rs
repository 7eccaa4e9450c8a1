//! What people do, done to the systems at once.

use casebridge::entities::Priority;
use casebridge::sync::texts;

use crate::check;
use crate::dice::Dice;
use crate::history::{Company, Deed, FileKind, Google, Side, Words};
use crate::model::{Note, Writer, key};
use crate::world::World;

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

    fn attempt(&mut self, deed: Deed, salt: u64) -> Option<()> {
        let mut dice = Dice::of(&[salt]);
        match deed {
            Deed::Create { side, flagged, priority, words } => {
                let description = self.text(side, words, false, &mut dice);
                let id = self.add_card(side, Writer::Person, |card| {
                    card.title = format!("Trouble {}", card.id);
                    card.description = description;
                    card.priority = level(priority);
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
                };
                let secret = if internal { SECRET } else { "" };
                let mut content = format!("{secret}{side} {} ", self.systems[side].new_id()).into_bytes();
                content.resize(if file == FileKind::TooLarge { 5_000 } else { 700 }, b'.');
                self.add_file(side, &id, Writer::Person, name, content, internal)?;
            }
            Deed::Prioritise { case, side, priority } => {
                let id = self.case_on(case, side)?;
                let now = self.now;
                self.change(side, &id, |card| {
                    let changed = card.priority != level(priority);
                    card.priority = level(priority);
                    card.tally.priorities_by_people += u32::from(changed);
                    card.tally.priority_changed = now;
                })?;
            }
            Deed::Close { case, side } => {
                let id = self.case_on(case, side)?;
                if self.systems[side].living(&id)?.closed {
                    return None;
                }
                self.change(side, &id, |card| {
                    card.closed = true;
                    card.tally.closings_by_people += 1;
                })?;
            }
            Deed::Reopen { case, side } => {
                let id = self.case_on(case, side)?;
                if !self.systems[side].living(&id)?.closed {
                    return None;
                }
                self.change(side, &id, |card| {
                    card.closed = false;
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
            }
            Deed::Edit { case, nth, words } => self.edit(case, nth, words, &mut dice)?,
            Deed::Clone { case } => self.clone_case(case)?,
            Deed::Rename { side } => self.systems[side].renamed += 1,
            Deed::Touch { case, side } => {
                let id = self.case_on(case, side)?;
                self.change(side, &id, |_| ())?;
            }
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
        let begun = other
            .and_then(|other| self.systems[Google].card(&other))
            .is_some_and(|card| card.tally.texts.contains_key(&number));
        self.change(Company, &id, |card| {
            let note = card.notes.iter_mut().find(|note| note.id == number);
            if let Some(note) = note {
                note.earlier.push(std::mem::replace(&mut note.body, body));
                note.edited_meanwhile |= begun && !note.carried;
            }
        })
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

    fn text(&self, side: Side, words: Words, internal: bool, dice: &mut Dice) -> String {
        let secret = if internal { SECRET } else { "" };
        let number = dice.below(1_000_000);
        match words {
            Words::Short => format!("{secret}Remark {number}."),
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
    };
    let mut names = vec![match deed {
        Deed::Create { side, .. } => at(side, "create at google", "create at company"),
        Deed::Comment { side, .. } => at(side, "comment at google", "comment at company"),
        Deed::Attach { side, .. } => at(side, "attach at google", "attach at company"),
        Deed::Prioritise { side, .. } => at(side, "prioritise at google", "prioritise at company"),
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
        }),
        _ => {}
    }
    names
}

/// Stands in everything that is internal, and must not be seen at Google.
pub(crate) const SECRET: &str = "SECRET ";

fn level(priority: u8) -> Priority {
    Priority::ALL[usize::from(priority) % 5]
}
