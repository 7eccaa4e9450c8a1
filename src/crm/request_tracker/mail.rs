//! Texts of mails, as Request Tracker keeps them: a tree of parts (`R25`: odd content is content).

use std::collections::BTreeMap;

use serde_json::Value;

use super::wire;
use crate::crm::content::Text;
use crate::crm::html;

/// Returns the text of each transaction, in order.
pub(super) fn readings(parts: &[Value]) -> Vec<(String, Text)> {
    let mut earlier: BTreeMap<String, String> = earlier_texts(parts).into_iter().collect();
    texts(parts)
        .into_iter()
        .map(|(transaction, now)| {
            let text = match earlier.remove(&transaction) {
                Some(earlier) => Text::new(now, earlier),
                None => Text::of(now),
            };
            (transaction, text)
        })
        .collect()
}

/// Returns the text of each transaction, in order. A mail consists of messages: its own and those that it forwards, each with who wrote
/// it. Of a message, the plain text counts, else the HTML.
///
/// A forwarded message is known by a header with an author of its own. All that follows belongs to it, up to the next one: parts are
/// numbered from the outside to the inside, and REST tells no part's parent (`Parent` in a list of fields is answered with 500 for each
/// mail itself: `RT::REST2::Resource::expand_field` calls a method of the parent that is not there).
///
/// Source: `MIME::Parser`, `extract_nested_messages`, which `RT::EmailParser` sets: a forwarded message becomes a part of its own, with
/// its header.
#[must_use]
pub fn texts(parts: &[Value]) -> Vec<(String, String)> {
    let mut mails: BTreeMap<(u64, String), Vec<(u64, &Value)>> = BTreeMap::new();
    for part in parts {
        let Some(transaction) = wire::text(part, "TransactionId") else { continue };
        let at = wire::text(part, "id").map_or(u64::MAX, |id| order(&id));
        mails.entry((order(&transaction), transaction)).or_default().push((at, part));
    }
    let mut texts = Vec::with_capacity(mails.len());
    for ((_, transaction), mut parts) in mails {
        parts.sort_by_key(|(at, _)| *at);
        parts.dedup_by_key(|(at, _)| *at);
        let mut messages = vec![Message::default()];
        for (index, (_, part)) in parts.into_iter().enumerate() {
            if index > 0 && header(part, "From").is_some() {
                messages.push(Message { forwarded: Some(part), ..Message::default() });
            }
            if let (Some(piece), Some(message)) = (Piece::read(part), messages.last_mut()) {
                message.pieces.add(piece, html::to_text);
            }
        }
        let said: Vec<String> = messages.into_iter().filter_map(Message::text).collect();
        if !said.is_empty() {
            texts.push((transaction, said.join("\n\n")));
        }
    }
    texts
}

/// A message of a mail.
#[derive(Default)]
struct Message<'a> {
    /// Part that begins it, if it is forwarded.
    forwarded: Option<&'a Value>,
    pieces: Pieces,
}

impl Message<'_> {
    /// Returns its text. `None` if it has no part that is text.
    fn text(self) -> Option<String> {
        let text = self.pieces.text()?;
        Some(match self.forwarded {
            Some(part) => format!("Forwarded message:\n{}\n{text}", authorship(part)),
            None => text,
        })
    }
}

/// Returns the texts as version 0.1 did: without the authors of forwarded messages, and all HTML left out if any part is plain.
fn earlier_texts(parts: &[Value]) -> Vec<(String, String)> {
    let mut found: BTreeMap<(u64, String), Pieces> = BTreeMap::new();
    for piece in parts.iter().filter_map(Piece::read) {
        let key = (order(&piece.transaction), piece.transaction.clone());
        found.entry(key).or_default().add(piece, html::to_text_as_earlier);
    }
    let of_mail = |((_, transaction), pieces): ((u64, String), Pieces)| Some((transaction, pieces.text()?));
    found.into_iter().filter_map(of_mail).collect()
}

/// Texts of a message, each with its place.
#[derive(Default)]
struct Pieces {
    plain: Vec<(u64, String)>,
    rich: Vec<(u64, String)>,
}

impl Pieces {
    fn add(&mut self, piece: Piece, read: fn(&str) -> String) {
        if piece.is_html {
            self.rich.push((piece.at, read(&piece.content)));
        } else {
            self.plain.push((piece.at, piece.content));
        }
    }

    fn text(self) -> Option<String> {
        let mut pieces = if self.plain.is_empty() { self.rich } else { self.plain };
        pieces.sort();
        pieces.dedup_by_key(|(at, _)| *at);
        let pieces: Vec<String> = pieces.into_iter().map(|(_, piece)| piece).collect();
        (!pieces.is_empty()).then(|| pieces.join("\n"))
    }
}

/// Part of a mail that is text and no file.
struct Piece {
    transaction: String,
    at: u64,
    is_html: bool,
    content: String,
}

impl Piece {
    fn read(part: &Value) -> Option<Self> {
        if wire::text(part, "Filename").is_some_and(|name| !name.is_empty()) {
            return None;
        }
        let is_html = match wire::text(part, "ContentType").as_deref() {
            Some("text/plain") => false,
            Some("text/html") => true,
            Some(_) | None => return None,
        };
        let at = wire::text(part, "id").map_or(u64::MAX, |id| order(&id));
        let content = wire::text(part, "Content").unwrap_or_default();
        Some(Self { transaction: wire::text(part, "TransactionId")?, at, is_html, content })
    }
}

/// Place of an ID among others.
fn order(id: &str) -> u64 {
    id.parse().unwrap_or(u64::MAX)
}

/// Returns a field of a part's header, in one line.
fn header(part: &Value, name: &str) -> Option<String> {
    let headers = wire::text(part, "Headers")?;
    let mut lines = headers.lines().skip_while(|line| {
        line.split_once(':').is_none_or(|(field, _)| !field.trim().eq_ignore_ascii_case(name))
    });
    let mut value = lines.next()?.split_once(':')?.1.trim().to_owned();
    for more in lines.take_while(|line| line.starts_with([' ', '\t'])) {
        value.push(' ');
        value.push_str(more.trim());
    }
    (!value.is_empty()).then_some(value)
}

/// Returns who wrote a forwarded message, when, and its subject, each on a line.
fn authorship(message: &Value) -> String {
    let line = |name: &str| header(message, name).map(|value| format!("{name}: {value}\n"));
    ["From", "Date", "Subject"].into_iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_forwarded_message_keeps_who_wrote_it() {
        let part = |id: u32, kind: &str, headers: &str, content: &str| {
            json!({"id": id, "TransactionId": "2", "ContentType": kind, "Filename": "", "Content": content,
                "Headers": headers})
        };
        let parts = [
            part(6, "text/html", "Content-Type: text/html", "<p>It is full.</p>"),
            part(1, "multipart/mixed", "From: Jane\nSubject: Fwd: Disk", ""),
            part(2, "text/html", "Content-Type: text/html", "<p>See below</p>"),
            // RT keeps the container without its content.
            part(3, "message/rfc822", "Content-Type: message/rfc822", ""),
            part(
                4,
                "multipart/alternative",
                "From: Bob <bob@e.example>\nDate: Fri, 27 Nov 2026\nSubject: Disk\n is full",
                "",
            ),
            part(5, "text/plain", "Content-Type: text/plain", "It is full."),
        ];
        let text = "See below\n\nForwarded message:\nFrom: Bob <bob@e.example>\nDate: Fri, 27 Nov 2026\n\
                    Subject: Disk is full\n\nIt is full.";
        let expected = Text { now: text.to_owned(), earlier: Some("It is full.".to_owned()) };
        assert_eq!(readings(&parts), [("2".to_owned(), expected)]);
        let file = json!({"id": 1, "TransactionId": "3", "ContentType": "image/png", "Filename": "a.png"});
        assert_eq!(texts(&[file]), []);
    }
}
