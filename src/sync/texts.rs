//! What the connector writes: copies with their headers, split where they are too long (`R16`), and its own notices.

use unicode_segmentation::UnicodeSegmentation as _;

use crate::cases::{Attachment, Capabilities, Comment, TextLimit, markers};
use crate::entities::{Notice, Side};

/// First words of the outage comment; the duration follows.
pub const OUTAGE_PREFIX: &str = "This case has not synced properly in ";
/// The comment after an outage.
pub const RESUMED: &str = "Syncing has resumed.";
/// First words of the comment on a case whose counterpart was deleted.
pub const GONE_PREFIX: &str = "This case no longer syncs: ";
/// First words of the comment on a case that was reopened where the other side cannot follow.
pub const CANNOT_REOPEN_PREFIX: &str = "This case was reopened, but ";

/// How people call a side, in texts.
#[must_use]
pub const fn side_name(side: Side) -> &'static str {
    match side {
        Side::Google => "Google",
        Side::Company => "Company",
    }
}

/// `This case has not synced properly in 2 hours 5 minutes.`
#[must_use]
pub fn outage(since_sync: chrono::Duration) -> String {
    format!("{OUTAGE_PREFIX}{}.", duration_words(since_sync))
}

/// A duration in words, two units at most: `2 hours 5 minutes` (`R23`).
#[must_use]
pub fn duration_words(duration: chrono::Duration) -> String {
    let seconds = duration.num_seconds().max(0);
    let units = [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)];
    let mut rest = seconds;
    let mut words: Vec<String> = Vec::new();
    for (index, (unit, length)) in units.iter().enumerate() {
        let count = rest / length;
        rest %= length;
        let first = words.is_empty();
        let is_last_unit = index == units.len() - 1;
        if count > 0 || (first && is_last_unit) {
            words.push(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }));
        }
        // Two neighbouring units: after the first one that counts, the next one is the last that may follow.
        if words.len() == 2 || (!first && count == 0) {
            break;
        }
    }
    words.join(" ")
}

/// What a person reads on a company case that was reopened while its Google case stays closed (`R19`), or the reverse.
#[must_use]
pub fn cannot_reopen(on: Side, counterpart: &str) -> String {
    match on {
        Side::Company => format!(
            "{CANNOT_REOPEN_PREFIX}Google case {counterpart} stays closed: the Cloud Support API cannot reopen a case. \
             To go on with Google, reopen it in the Google Cloud console, or open a new case."
        ),
        Side::Google => format!(
            "{CANNOT_REOPEN_PREFIX}Company Case {counterpart} stays closed: it cannot be reopened there. \
             To go on, open a new case."
        ),
    }
}

/// What a person reads on the case that is left (`R20`).
#[must_use]
pub fn gone(on: Side, counterpart: &str) -> String {
    match on {
        Side::Company => {
            format!("{GONE_PREFIX}Google case {counterpart} no longer exists, or may no longer be read.")
        }
        Side::Google => {
            format!("{GONE_PREFIX}Company Case {counterpart} no longer exists, or may no longer be read.")
        }
    }
}

/// Which of the connector's notices a comment is, by its text; for recovery only (`R13`).
#[must_use]
pub fn recognise_notice(body: &str) -> Option<Notice> {
    let body = body.trim();
    if body.starts_with(&markers::now_syncing("")) {
        Some(Notice::NowSyncing)
    } else if body.starts_with(OUTAGE_PREFIX) {
        Some(Notice::Outage)
    } else if body == RESUMED {
        Some(Notice::Resumed)
    } else if body.starts_with(CANNOT_REOPEN_PREFIX) {
        Some(Notice::CannotReopen)
    } else if body.starts_with(GONE_PREFIX) {
        Some(Notice::CounterpartGone)
    } else {
        None
    }
}

/// The comments that a comment of `from` becomes on the other side: one, or numbered parts.
#[must_use]
pub fn comment_parts(from: Side, comment: &Comment, target: &Capabilities) -> Vec<String> {
    let author = one_line(&comment.author, "unknown");
    let body = holdable(&comment.body, target);
    split(&body, target.comment_limit, |part, parts| {
        let number = if parts > 1 { format!(" ({part}/{parts})") } else { String::new() };
        format!("[{} Comment {} by {author}{number}]", side_name(from), comment.id)
    })
}

/// The comment that stands for an attachment which the target can never take (`R17`).
#[must_use]
pub fn attachment_refused(
    from: Side,
    case: &str,
    attachment: &Attachment,
    reason: &str,
    target: &Capabilities,
) -> String {
    let author = one_line(&attachment.author, "unknown");
    let size = attachment.size.map_or_else(|| "unknown size".to_owned(), |size| format!("{size} bytes"));
    let place = match from {
        Side::Google => format!("Google case {case}"),
        Side::Company => format!("Company Case {case}"),
    };
    let filename = cut(&one_line(&holdable(&attachment.filename, target), "unnamed"), 300);
    let reason = cut(&one_line(reason, "no reason given"), 500);
    format!(
        "{}\nThe file \"{filename}\" ({size}) could not be copied: {reason}. It can be found in {place}.",
        attachment_marker(from, &attachment.id, &author)
    )
}

/// First line of [`attachment_refused`].
#[must_use]
pub fn attachment_marker(from: Side, id: &str, author: &str) -> String {
    format!("[{} Attachment {id} by {}]", side_name(from), one_line(author, "unknown"))
}

/// Title, description and further parts of the counterpart of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirroredText {
    /// Within the target's title limit.
    pub title: String,
    /// Begins with the header; within the target's description limit.
    pub description: String,
    /// What did not fit, as comments with a header of their own.
    pub further: Vec<String>,
}

/// What a case of `from` is called and says on the other side.
#[must_use]
pub fn mirrored(from: Side, id: &str, title: &str, description: &str, target: &Capabilities) -> MirroredText {
    let header = match from {
        Side::Google => markers::COMPANY_DESCRIPTION_HEADER.to_owned(),
        Side::Company => markers::google_description_header(id),
    };
    let full_title = one_line(&holdable(title, target), "(no title)");
    let title = cut_to(&full_title, target.title_limit);
    let mut body = holdable(description, target);
    if title != full_title {
        body = format!("Title: {full_title}\n\n{body}");
    }
    let whole = format!("{header}\n{body}");
    if target.description_limit.holds(&whole) {
        return MirroredText { title, description: whole, further: Vec::new() };
    }
    let first = take(&body, target.description_limit, &header);
    let rest = &body[first.len()..];
    let further = split(rest, target.comment_limit, |part, parts| {
        format!("[{} Description ({}/{})]", side_name(from), part + 1, parts + 1)
    });
    MirroredText { title, description: format!("{header}\n{first}"), further }
}

/// The first line of what the connector writes: by it, a write whose answer was lost is recognised.
#[must_use]
pub fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Whether `text` begins with the line `marker`. Systems may trim and change line ends.
#[must_use]
pub fn begins_with(text: &str, marker: &str) -> bool {
    first_line(text.trim_start()).trim() == marker.trim()
}

/// Splits a text so that each part with its header fits, at line or word boundaries where there are any. The parts, put
/// together without their headers, are the text.
#[must_use]
pub fn split(text: &str, limit: TextLimit, header: impl Fn(usize, usize) -> String) -> Vec<String> {
    let whole = format!("{}\n{text}", header(1, 1));
    if limit.holds(&whole) {
        return vec![whole];
    }
    // The number of parts stands in each header: try with room for one digit, two, three …
    let mut bodies = Vec::new();
    for digits in 1..=9 {
        let most = 10_usize.pow(digits) - 1;
        let widest = header(most, most);
        bodies.clear();
        let mut rest = text;
        while !rest.is_empty() {
            let part = take(rest, limit, &widest);
            bodies.push(part);
            rest = &rest[part.len()..];
        }
        if bodies.len() <= most {
            break;
        }
    }
    let parts = bodies.len();
    bodies.iter().enumerate().map(|(index, body)| format!("{}\n{body}", header(index + 1, parts))).collect()
}

/// The longest beginning of `text` that fits behind `header`, at a good place to cut; at least one character.
fn take<'a>(text: &'a str, limit: TextLimit, header: &str) -> &'a str {
    let fits = |end: usize| limit.holds(&format!("{header}\n{}", &text[..end]));
    if fits(text.len()) {
        return text;
    }
    // No measure counts less than one for a character, so no more than `max` characters can fit.
    let window = text.char_indices().nth(limit.max + 1).map_or(text.len(), |(index, _)| index);
    let mut boundaries: Vec<usize> =
        text[..window].grapheme_indices(true).map(|(index, _)| index).skip(1).collect();
    let whole_graphemes = boundaries.partition_point(|end| fits(*end));
    if whole_graphemes == 0 {
        // One grapheme longer than the limit: cut between its characters.
        boundaries = text[..window].char_indices().map(|(index, _)| index).skip(1).collect();
    }
    let fitting = boundaries.partition_point(|end| fits(*end)).max(1);
    let end = boundaries.get(fitting - 1).copied().unwrap_or(text.len());
    let (head, half) = (&text[..end], end / 2);
    let after = |found: Option<usize>| found.map(|at| at + 1).filter(|at| *at > half);
    let good = after(head.rfind('\n')).or_else(|| {
        head.char_indices()
            .rfind(|(_, c)| c.is_whitespace())
            .map(|(at, c)| at + c.len_utf8())
            .filter(|at| *at > half)
    });
    &text[..good.unwrap_or(end)]
}

/// What the target can hold: control characters become visible pictures where it cannot (`R25`).
fn holdable(text: &str, target: &Capabilities) -> String {
    if target.control_characters {
        return text.to_owned();
    }
    text.replace("\r\n", "\n")
        .chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            '\r' => '\n',
            '\u{7f}' => '\u{2421}',
            '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
            '\u{80}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
            _ => c,
        })
        .collect()
}

/// Folds white space and drops square brackets' power to end a header early.
fn one_line(text: &str, empty: &str) -> String {
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    if line.is_empty() { empty.to_owned() } else { line }
}

/// At most `max` characters, with an ellipsis where something was left out.
fn cut(text: &str, max: usize) -> String {
    cut_to(text, TextLimit::code_points(max))
}

fn cut_to(text: &str, limit: TextLimit) -> String {
    if limit.holds(text) {
        return text.to_owned();
    }
    let ends: Vec<usize> = text.grapheme_indices(true).map(|(index, _)| index).collect();
    let fitting = ends.partition_point(|end| limit.holds(&format!("{}…", text[..*end].trim_end())));
    let end = ends.get(fitting.saturating_sub(1)).copied().unwrap_or_default();
    format!("{}…", text[..end].trim_end())
}
