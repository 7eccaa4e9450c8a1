//! Texts of mails, as Request Tracker keeps them: a tree of parts (`R25`: odd content is content).

use std::collections::BTreeMap;

use serde_json::Value;

use super::wire;
use crate::crm::html;

/// A message's text, as now and as version 0.1 read it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) now: String,
    pub(super) earlier: Option<String>,
}

/// Returns the text of each transaction, in order.
pub(super) fn readings(parts: &[Value]) -> Vec<(String, Text)> {
    let mut earlier: BTreeMap<String, String> = earlier_texts(parts).into_iter().collect();
    texts(parts)
        .into_iter()
        .map(|(transaction, now)| {
            let earlier = earlier.remove(&transaction).filter(|earlier| *earlier != now);
            (transaction, Text { now, earlier })
        })
        .collect()
}

/// Returns the text of each transaction, in order. A mail consists of messages: its own and those that it forwards, each with who wrote
/// it. Of a message, the plain text counts, else the HTML.
#[must_use]
pub fn texts(parts: &[Value]) -> Vec<(String, String)> {
    let tree: BTreeMap<String, &Value> =
        parts.iter().filter_map(|part| Some((wire::text(part, "id")?, part))).collect();
    let mut found: BTreeMap<(u64, String), BTreeMap<(u64, String), Pieces>> = BTreeMap::new();
    for part in parts {
        let Some(piece) = Piece::read(part) else { continue };
        let message = forwarded(part, &tree).unwrap_or_default();
        let messages = found.entry((order(&piece.transaction), piece.transaction)).or_default();
        // A mail's own message comes first.
        let at = if message.is_empty() { 0 } else { order(&message) };
        let pieces = messages.entry((at, message)).or_default();
        if piece.is_html {
            pieces.rich.push((piece.at, html::to_text(&piece.content)));
        } else {
            pieces.plain.push((piece.at, piece.content));
        }
    }
    let of_message = |((_, id), pieces): ((u64, String), Pieces)| {
        let text = joined(if pieces.plain.is_empty() { pieces.rich } else { pieces.plain });
        match tree.get(&id) {
            Some(root) => format!("Forwarded message:\n{}\n{text}", authorship(root)),
            None => text,
        }
    };
    let of_mail = |((_, transaction), messages): ((u64, String), BTreeMap<_, _>)| {
        (transaction, messages.into_iter().map(of_message).collect::<Vec<_>>().join("\n\n"))
    };
    found.into_iter().map(of_mail).collect()
}

/// Returns the texts as version 0.1 did: without the authors of forwarded messages, and all HTML left out if any part is plain.
fn earlier_texts(parts: &[Value]) -> Vec<(String, String)> {
    let mut found: BTreeMap<(u64, String), Pieces> = BTreeMap::new();
    for piece in parts.iter().filter_map(Piece::read) {
        let pieces = found.entry((order(&piece.transaction), piece.transaction)).or_default();
        if piece.is_html {
            pieces.rich.push((piece.at, html::to_text_as_earlier(&piece.content)));
        } else {
            pieces.plain.push((piece.at, piece.content));
        }
    }
    let of_mail = |((_, transaction), pieces): ((u64, String), Pieces)| {
        (transaction, joined(if pieces.plain.is_empty() { pieces.rich } else { pieces.plain }))
    };
    found.into_iter().map(of_mail).collect()
}

/// Texts of a message, each with its place.
#[derive(Default)]
struct Pieces {
    plain: Vec<(u64, String)>,
    rich: Vec<(u64, String)>,
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

fn joined(mut pieces: Vec<(u64, String)>) -> String {
    pieces.sort();
    pieces.dedup_by_key(|(at, _)| *at);
    let pieces: Vec<String> = pieces.into_iter().map(|(_, piece)| piece).collect();
    pieces.join("\n")
}

/// Returns the ID of the forwarded message that a part belongs to: the nearest part above it, or itself, that has an author of its own.
/// The uppermost part is the mail itself.
///
/// Source: `MIME::Parser`, `extract_nested_messages`, which `RT::EmailParser` sets: a forwarded message becomes a part of its own, with
/// its header.
fn forwarded(part: &Value, tree: &BTreeMap<String, &Value>) -> Option<String> {
    let mut part = part;
    // Deeper than mails are, against parts that contain each other.
    for _ in 0..50 {
        let parent = parent(part)?;
        if header(part, "From").is_some() {
            return wire::text(part, "id");
        }
        part = tree.get(&parent)?;
    }
    None
}

/// Returns the ID of the part that contains a part. `None` for the mail itself.
fn parent(part: &Value) -> Option<String> {
    // An object in answers of Request Tracker 5, a number in its database.
    let parent = part.get("Parent")?;
    let id = wire::text(part, "Parent").or_else(|| wire::text(parent, "id"))?;
    (!id.is_empty() && id != "0").then_some(id)
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
        let part = |id: u32, parent: Value, kind: &str, headers: &str, content: &str| {
            json!({"id": id, "TransactionId": "2", "ContentType": kind, "Filename": "", "Content": content,
                "Parent": parent, "Headers": headers})
        };
        let within = |id: u32| json!({"type": "attachment", "id": id.to_string()});
        let parts = [
            part(1, json!({"id": ""}), "multipart/mixed", "From: Jane\nSubject: Fwd: Disk", ""),
            part(2, within(1), "text/html", "Content-Type: text/html", "<p>See below</p>"),
            // RT keeps the container without its content.
            part(3, within(1), "message/rfc822", "Content-Type: message/rfc822", ""),
            part(
                4,
                json!(3),
                "multipart/alternative",
                "From: Bob <bob@e.example>\nDate: Fri, 27 Nov 2026\nSubject: Disk\n is full",
                "",
            ),
            part(5, within(4), "text/plain", "Content-Type: text/plain", "It is full."),
            part(6, within(4), "text/html", "Content-Type: text/html", "<p>It is full.</p>"),
        ];
        let text = "See below\n\nForwarded message:\nFrom: Bob <bob@e.example>\nDate: Fri, 27 Nov 2026\nSubject: Disk is full\n\nIt is full.";
        let expected = Text { now: text.to_owned(), earlier: Some("It is full.".to_owned()) };
        assert_eq!(readings(&parts), [("2".to_owned(), expected)]);
        let circular = [part(1, within(2), "text/plain", "", "a"), part(2, within(1), "text/plain", "", "b")];
        assert_eq!(texts(&circular), [("2".to_owned(), "a\nb".to_owned())]);
    }
}
