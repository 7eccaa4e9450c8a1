//! Replies to Google by e-mail, which stand there as messages, and some later as comments.

use casebridge::cases::Comment;
use chrono::{DateTime, Utc};

use crate::history::{Company, Google, Ms, Side, Words};
use crate::model::{Note, Writer};
use crate::world::World;
use casebridge_testkit::dice::Dice;

/// Beginning of the ID of a message among those of comments.
const PREFIX: &str = "email:";
/// End of a message that quotes what it answers.
const QUOTED: &str = "\n> How is it going?";
/// Longest time between a message and the comment that it becomes.
const NEAR: Ms = 600_000;

/// A comment that came by e-mail.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mail {
    comment: Option<AsComment>,
}

#[derive(Debug, Clone)]
struct AsComment {
    /// Since when it is one.
    since: Ms,
    id: u64,
    stamped: DateTime<Utc>,
    /// Without what the message quotes.
    body: String,
}

impl Mail {
    pub(crate) const fn is_comment(&self) -> bool {
        self.comment.is_some()
    }

    pub(crate) fn body(&self) -> Option<&str> {
        self.comment.as_ref().map(|comment| comment.body.as_str())
    }
}

/// Returns the number in the ID of a comment or a message.
pub(crate) fn number(id: &str) -> Option<u64> {
    id.strip_prefix(PREFIX).unwrap_or(id).parse().ok()
}

/// Returns true if that is the ID of the comment that a message has become.
pub(crate) fn is_known_as(note: &Note, id: &str) -> bool {
    let as_comment = note.mail.as_ref().and_then(|mail| mail.comment.as_ref());
    as_comment.is_some_and(|comment| comment.id.to_string() == id)
}

/// Returns the number of a comment by which the checks know it: of a message that has become a comment, the message's.
pub(crate) fn known_as(world: &World, side: Side, case: &str, number: u64) -> u64 {
    let card = world.systems[side].card(case);
    let note = card.and_then(|card| {
        card.notes.iter().find(|note| {
            let as_comment = note.mail.as_ref().and_then(|mail| mail.comment.as_ref());
            as_comment.is_some_and(|comment| comment.id == number)
        })
    });
    note.map_or(number, |note| note.id)
}

/// Returns the time of a comment as its system writes it by now.
pub(crate) fn stamped(note: &Note) -> DateTime<Utc> {
    let as_comment = note.mail.as_ref().and_then(|mail| mail.comment.as_ref());
    as_comment.map_or(note.stamped, |comment| comment.stamped.max(note.stamped))
}

/// Returns a comment as a list shows it that is as of `at`.
pub(crate) fn shown(note: &Note, at: Ms, comment: Comment) -> Comment {
    let Some(mail) = &note.mail else { return comment };
    let message = format!("{PREFIX}{}", comment.id);
    match mail.comment.as_ref().filter(|comment| comment.since <= at) {
        Some(as_comment) => Comment {
            id: as_comment.id.to_string(),
            other_id: Some(message),
            created_at: Some(as_comment.stamped),
            body: as_comment.body.clone(),
            ..comment
        },
        None => Comment { id: message, by_connector: Some(false), ..comment },
    }
}

impl World {
    pub(crate) fn answer_by_mail(&mut self, case: usize, words: Words, dice: &mut Dice) -> Option<()> {
        let id = self.case_on(case, Google)?;
        let card = self.systems[Google].living(&id)?;
        if card.closed && !self.setting.google.comment_when_closed {
            return None;
        }
        let body = self.text(Google, words, false, dice);
        let body = if dice.percent(30) { format!("{body}{QUOTED}") } else { body };
        let number = self.add_note(Google, &id, Writer::Person, body, false)?;
        let notes = &mut self.systems[Google].card_mut(&id)?.notes;
        notes.iter_mut().filter(|note| note.id == number).for_each(|note| note.mail = Some(Mail::default()));
        Some(())
    }

    pub(crate) fn become_comment(&mut self, case: usize, nth: usize) -> Option<()> {
        let id = self.case_on(case, Google)?;
        let company = self.case_on(case, Company);
        let is_message = |note: &&Note| note.mail.as_ref().is_some_and(|mail| !mail.is_comment());
        let note = self.systems[Google].living(&id)?.notes.iter().rev().filter(is_message).nth(nth)?;
        let (message, written, stamped, body) = (note.id, note.at, note.stamped, note.body.clone());
        let is_carried = note.carried;
        let number = self.systems[Google].new_id();
        let (now, stamp) = (self.now, self.stamp(Google));
        let is_near = now - written < NEAR && (stamp - stamped).num_milliseconds().abs() < NEAR;
        let stamped = if is_near { stamp } else { stamped };
        let body = body.strip_suffix(QUOTED).unwrap_or(&body).to_owned();
        let begun = company
            .and_then(|company| self.systems[Company].card(&company))
            .is_some_and(|card| card.tally.texts.contains_key(&message));
        if is_carried {
            self.seen.count("people", "show an e-mail as a comment that was carried");
        }
        self.change(Google, &id, |card| {
            let note = card.notes.iter_mut().find(|note| note.id == message);
            if let Some(note) = note {
                // What is left of it is cut under another header, and out of another text.
                note.edited_meanwhile |= begun && !note.carried;
                note.mail = Some(Mail { comment: Some(AsComment { since: now, id: number, stamped, body }) });
            }
        })
    }
}
