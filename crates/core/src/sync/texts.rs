//! Texts that the connector writes: copies with their headers, split if they are too long (`R16`: long texts), and its own notices.

use sha2::{Digest as _, Sha256};
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation as _};

use super::escalation::EscalationRule;
use crate::cases::markers::CompanyCase;
use crate::cases::{Attachment, Capabilities, Case, Closing, Comment, TextLimit, as_written, markers};
use crate::entities::{EscalationProblem, GoogleState, ItemKind, Notice, Pending, Side};

/// First words of the outage comment; the duration follows.
pub const OUTAGE_PREFIX: &str = "This case has not synced properly in ";
/// Comment after an outage.
pub const RESUMED: &str = "Syncing has resumed.";
/// First words of the comment on a case whose counterpart was deleted.
pub const GONE_PREFIX: &str = "This case no longer syncs: ";
/// First words of the comment on a case that was reopened while the other case stays closed.
pub const CANNOT_REOPEN_PREFIX: &str = "This case was reopened, but ";

/// First words of the comment on a case whose counterpart is back after all.
pub const BACK_PREFIX: &str = "This case syncs again: ";
/// First words of the comment on a company case that names a Google case which is not its own.
pub const CONFLICT_PREFIX: &str = "This case is not synchronised with Google: ";
/// First words of the comment about a change that is given up.
pub const GIVEN_UP_PREFIX: &str = "This case could not be kept in step: ";
/// First words of the comment on a company case that is raised, and whose Google case is not escalated.
pub const NOT_ESCALATED_PREFIX: &str = "The Google case was not escalated: ";
/// First words of the comment on a case whose counterpart takes no changes any more.
pub const READ_ONLY_PREFIX: &str = "Nothing that is written here arrives any more: ";

/// Maximum length of an author's name in the header of a copy, as its target counts.
const AUTHOR_ROOM: usize = 100;
const CANNOT_REOPEN_END: &str = " open a new case.";
const GONE_END: &str = " no longer exists, or may no longer be read.";
const BACK_END: &str = " is back.";
const LEFT_OPEN_MIDDLE: &str = " without being solved (";
const LEFT_OPEN_END: &str = "). This case stays open: close it here if it is not needed any more.";
const MERGED_MIDDLE: &str = " was merged into Company Case ";
const MERGED_ON_END: &str = ", which this case syncs with from now on.";
const MERGED_UNFLAGGED_END: &str =
    ", which is not flagged for synchronisation: nothing is carried until it is.";
const MERGED_AWAY_END: &str = ", which has a Google case of its own.";
const NOT_COPIED: &str = "This comment could not be copied: ";
const FOUND_IN: &str = ". It can be found in ";
/// Maximum length of a reason in a comment, in characters.
const REASON_ROOM: usize = 500;
/// Maximum length of the reason of a conflict, in characters: it is the connector's own, names up to three cases and ends with what to do.
const CONFLICT_ROOM: usize = 1_500;
/// Units of time with their lengths in seconds.
const UNITS: [(&str, i64); 4] = [("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1)];

/// Returns the name of a side in texts.
#[must_use]
pub const fn side_name(side: Side) -> &'static str {
    match side {
        Side::Google => "Google",
        Side::Company => "Company",
    }
}

/// Returns the outage comment: `This case has not synced properly in 2 hours 5 minutes.`
#[must_use]
pub fn outage(since_sync: chrono::Duration) -> String {
    format!("{OUTAGE_PREFIX}{}.", duration_words(since_sync))
}

/// Returns a duration in words, two units at most: `2 hours 5 minutes` (`R23`: durations).
#[must_use]
pub fn duration_words(duration: chrono::Duration) -> String {
    let seconds = duration.num_seconds().max(0);
    let mut rest = seconds;
    let mut words: Vec<String> = Vec::new();
    for (index, (unit, length)) in UNITS.iter().enumerate() {
        let count = rest / length;
        rest %= length;
        let first = words.is_empty();
        let is_last_unit = index == UNITS.len() - 1;
        if count > 0 || (first && is_last_unit) {
            words.push(format!("{count} {unit}{}", if count == 1 { "" } else { "s" }));
        }
        // Two neighbouring units at most: after the first one that counts, only the next one may follow.
        if words.len() == 2 || (!first && count == 0) {
            break;
        }
    }
    words.join(" ")
}

/// Returns the notice on a case that was reopened while its counterpart stays closed (`R19`: status).
#[must_use]
pub fn cannot_reopen(on: Side, counterpart: &str) -> String {
    match on {
        Side::Company => format!(
            "{CANNOT_REOPEN_PREFIX}Google case {counterpart} stays closed: the Cloud Support API cannot reopen a case. \
             To go on with Google, reopen it in the Google Cloud console, or{CANNOT_REOPEN_END}"
        ),
        Side::Google => format!(
            "{CANNOT_REOPEN_PREFIX}Company Case {counterpart} stays closed: it cannot be reopened there. \
             To go on,{CANNOT_REOPEN_END}"
        ),
    }
}

/// Returns the notice on the remaining case that its counterpart no longer exists (`R20`: leaving).
#[must_use]
pub fn gone(on: Side, counterpart: &str) -> String {
    match on {
        Side::Company => {
            format!("{GONE_PREFIX}Google case {counterpart}{GONE_END}")
        }
        Side::Google => {
            format!("{GONE_PREFIX}Company Case {counterpart}{GONE_END}")
        }
    }
}

/// Returns the notice that the counterpart is back, for the case with the notice that it was gone (`R28`: missing is not gone).
#[must_use]
pub fn back(on: Side, counterpart: &str) -> String {
    format!("{BACK_PREFIX}{}{BACK_END}", case_name(on.other(), counterpart))
}

/// Returns the notice on the Google case that the company case was closed in a way that does not close it (`R32`: closed is not solved).
#[must_use]
pub fn left_open(counterpart: &str, closing: Closing) -> String {
    let words = match closing {
        Closing::Solved => "solved",
        Closing::Closed => "closed",
        Closing::Cancelled => "cancelled",
        Closing::Duplicate => "closed as a duplicate",
        Closing::Merged => "merged into another case",
        Closing::Archived => "archived",
    };
    format!("Company Case {counterpart} was closed{LEFT_OPEN_MIDDLE}{words}{LEFT_OPEN_END}")
}

/// Outcome for a pair whose company case was merged into another (`R32`: closed is not solved).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Merged {
    /// The pair continues with the case that is left.
    HandedOver,
    /// The pair continues with the case that is left, once that is flagged.
    Unflagged,
    /// The pair has ended: the case that is left has a pair of its own.
    Ended,
}

/// Returns the notice on the Google case that the company case was merged into another (`R32`: closed is not solved).
#[must_use]
pub fn merged(from: &str, into: &str, outcome: Merged) -> String {
    let (start, end) = match outcome {
        Merged::HandedOver => ("", MERGED_ON_END),
        Merged::Unflagged => ("", MERGED_UNFLAGGED_END),
        Merged::Ended => (GONE_PREFIX, MERGED_AWAY_END),
    };
    format!("{start}Company Case {from}{MERGED_MIDDLE}{into}{end}")
}

/// Returns the notice about a change that was refused for good and is not tried any more (`R33`: final refusals). `what` is a whole clause.
#[must_use]
pub fn given_up(what: &str, reason: &str) -> String {
    format!("{GIVEN_UP_PREFIX}{what}: {}.", reason_of(reason))
}

/// Returns the notice on the case whose counterpart takes no changes any more (`R33`: final refusals).
#[must_use]
pub fn read_only(on: Side, counterpart: &str, reason: &str) -> String {
    let name = case_name(on.other(), counterpart);
    format!("{READ_ONLY_PREFIX}{name} takes no more changes: {}.", reason_of(reason))
}

/// Returns the notice on a company case that names a counterpart which it cannot have (`R31`: an ID is valid only in its own system; `R38`:
/// a claim is not a proof).
#[must_use]
pub fn conflict(reason: &str) -> String {
    let reason = cut(&one_line(reason, "no reason given"), CONFLICT_ROOM);
    format!("{CONFLICT_PREFIX}{}.", reason.trim_end_matches('.'))
}

/// Returns the notice on a raised company case that its Google case was not escalated, with what to do.
#[must_use]
pub fn not_escalated(problem: &EscalationProblem, rule: &EscalationRule) -> String {
    let reason = match problem {
        EscalationProblem::NoJustification => {
            let field = rule.justification_field.as_ref();
            let field = field.map(|name| format!("fill in the field {name}, or ")).unwrap_or_default();
            format!(
                "the justification is missing; {field}add a comment that begins with {} and says why",
                rule.prefix
            )
        }
        EscalationProblem::UnknownWord(word) => {
            format!("{word:?} is no reason for it; choose one of {}", rule.known_words().join(", "))
        }
        EscalationProblem::NotKnown => {
            "whether that was done before is not known any more; to escalate it, empty the field and choose again".to_owned()
        }
        EscalationProblem::Refused(message) => format!("Google refuses: {message}"),
    };
    let reason = cut(&one_line(&reason, "no reason given"), REASON_ROOM);
    format!("{NOT_ESCALATED_PREFIX}{}.", reason.trim_end_matches('.'))
}

/// Returns Google's state in words, as the field for it on the company case shows it. "You" is the company: its people read it.
#[must_use]
pub fn google_state(state: GoogleState, escalated: bool) -> String {
    let words = match state {
        GoogleState::New => "New at Google (new)",
        GoogleState::InProgressGoogleSupport => "Google works on it (in progress)",
        GoogleState::ActionRequired => "Waiting for you (action required)",
        GoogleState::SolutionProvided => "Google offers a solution (solution provided)",
        GoogleState::Closed => "Closed at Google (closed)",
    };
    format!("{words}{}", if escalated { ", escalated" } else { "" })
}

fn case_name(side: Side, name: &str) -> String {
    match side {
        Side::Google => format!("Google case {name}"),
        Side::Company => format!("Company Case {name}"),
    }
}

fn reason_of(reason: &str) -> String {
    cut(&one_line(reason, "no reason given"), REASON_ROOM).trim_end_matches('.').to_owned()
}

/// Returns the comment that takes the place of a copy which the target refuses (`R33`: final refusals).
#[must_use]
pub fn comment_refused(
    from: Side,
    case: &str,
    comment_id: &str,
    author: &str,
    reason: &str,
    target: &Capabilities,
) -> String {
    let room = TextLimit { max: AUTHOR_ROOM, ..target.comment_limit };
    let author = cut_to(&self::author(author), room);
    format!(
        "{}\n{NOT_COPIED}{}{FOUND_IN}{}.",
        comment_header(from, comment_id, &author, 1, 1),
        reason_of(reason),
        case_name(from, case),
    )
}

/// Returns true if the text under the header of a copy is the end of a [`comment_refused`].
#[must_use]
pub fn is_explanation(text: &str) -> bool {
    let text = text.trim();
    text.starts_with(NOT_COPIED) && text.contains(FOUND_IN) && !text.contains('\n')
}

/// Recognises a notice of the connector by the whole text of a comment. Used only while relinking (`R13`: unknown write outcome), and for
/// comments of an earlier pair (`R14`: copies are known by ID).
#[must_use]
pub fn recognise_notice(body: &str) -> Option<Notice> {
    let body = body.trim();
    if body.contains('\n') {
        return None;
    }
    let is_duration = |text: &str| {
        let words: Vec<&str> = text.split(' ').collect();
        words.chunks(2).all(|pair| {
            matches!(pair, [count, unit] if count.bytes().all(|byte| byte.is_ascii_digit())
                && UNITS.iter().any(|(name, _)| unit.strip_prefix(name).is_some_and(|end| matches!(end, "" | "s"))))
        })
    };
    let is = |start: &str, end: &str| body.starts_with(start) && body.ends_with(end);
    if markers::company_case_of_comment(body).is_some() {
        Some(Notice::NowSyncing)
    } else if body
        .strip_prefix(OUTAGE_PREFIX)
        .and_then(|rest| rest.strip_suffix('.'))
        .is_some_and(is_duration)
    {
        Some(Notice::Outage)
    } else if body == RESUMED {
        Some(Notice::Resumed)
    } else if is(CANNOT_REOPEN_PREFIX, CANNOT_REOPEN_END) {
        Some(Notice::CannotReopen)
    } else if is(GONE_PREFIX, GONE_END) {
        Some(Notice::CounterpartGone)
    } else if is(BACK_PREFIX, BACK_END) {
        Some(Notice::CounterpartBack)
    } else if is("Company Case ", LEFT_OPEN_END) && body.contains(LEFT_OPEN_MIDDLE) {
        Some(Notice::LeftOpen)
    } else if is(GONE_PREFIX, MERGED_AWAY_END)
        || ((is("Company Case ", MERGED_ON_END) || is("Company Case ", MERGED_UNFLAGGED_END))
            && body.contains(MERGED_MIDDLE))
    {
        Some(Notice::Merged)
    } else if is(GIVEN_UP_PREFIX, ".") {
        Some(Notice::GivenUp)
    } else if is(READ_ONLY_PREFIX, ".") {
        Some(Notice::ReadOnly)
    } else if is(CONFLICT_PREFIX, ".") {
        Some(Notice::Conflict)
    } else if is(NOT_ESCALATED_PREFIX, ".") {
        Some(Notice::NotEscalated)
    } else {
        None
    }
}

/// Returns the comments that a comment of `from` becomes on the other side: one, or numbered parts.
#[must_use]
pub fn comment_parts(from: Side, comment: &Comment, target: &Capabilities) -> Vec<String> {
    parts_under(comment, target, |author, part, parts| comment_header(from, &comment.id, author, part, parts))
}

/// Returns the comments that note on the other side that a comment of `from` was edited, with its whole text: one, or numbered parts.
/// `number` is that of the note about this comment.
#[must_use]
pub fn edit_parts(from: Side, comment: &Comment, number: u32, target: &Capabilities) -> Vec<String> {
    parts_under(comment, target, |author, part, parts| {
        edit_header(from, &comment.id, number, author, part, parts)
    })
}

/// Returns a comment's text in parts, each under its header, which is made of the author, the number of the part and the number of parts.
fn parts_under(
    comment: &Comment,
    target: &Capabilities,
    header: impl Fn(&str, usize, usize) -> String,
) -> Vec<String> {
    let limit = target.comment_limit;
    let room = TextLimit { max: AUTHOR_ROOM, ..limit };
    let author = cut_to(&author(&comment.author), room);
    let body = carried(&comment.body, target);
    // Splits as if the author's name had its maximum length, so that a rename does not move the split points.
    let longest = "x".repeat(AUTHOR_ROOM);
    let cut = |author: &str| split_within(&body, limit, |part, parts| header(author, part, parts));
    let with_headers = |bodies: Vec<&str>| {
        let parts = bodies.len();
        let bodies = bodies.into_iter().enumerate();
        bodies
            .map(|(index, body)| format!("{}\n{body}", header(&author, index + 1, parts)))
            .collect::<Vec<_>>()
    };
    let parts = with_headers(cut(&longest));
    // If the name counts for more within a comment than the sum of its characters, the parts do not fit, and the actual name decides.
    if parts.iter().all(|part| limit.holds(part)) { parts } else { with_headers(cut(&author)) }
}

/// Returns the first line of a copy: `[Google Comment 3 by Ada (2/3)]`. The number is left out if there is only one part, unless the author's
/// name ends like a number and would be read as one.
fn comment_header(from: Side, id: &str, author: &str, part: usize, parts: usize) -> String {
    format!("[{} Comment {id} by {author}{}]", side_name(from), part_number(author, part, parts))
}

/// Returns the first line of a note about an edit: `[Company Edit 1 of Comment 7 by Jane (2/3)]`. Each note about a comment has its own
/// number: so a note whose answer was lost is not taken for an earlier one, and none for a copy of the comment.
fn edit_header(from: Side, id: &str, number: u32, author: &str, part: usize, parts: usize) -> String {
    let part = part_number(author, part, parts);
    format!("[{} Edit {number} of Comment {id} by {author}{part}]", side_name(from))
}

fn part_number(author: &str, part: usize, parts: usize) -> String {
    let is_numbered = parts > 1 || numbered(author).is_some();
    if is_numbered { format!(" ({part}/{parts})") } else { String::new() }
}

/// Returns the text that arrives on a system: all of it, with the characters replaced that the system cannot hold.
#[must_use]
pub fn carried(body: &str, target: &Capabilities) -> String {
    holdable(body, target)
}

/// Returns the comment that takes the place of an attachment which the target can never take (`R17`: files).
#[must_use]
pub fn attachment_refused(
    from: Side,
    case: &str,
    attachment: &Attachment,
    reason: &str,
    target: &Capabilities,
) -> String {
    let size = attachment.size.map_or_else(|| "unknown size".to_owned(), |size| format!("{size} bytes"));
    let place = case_name(from, case);
    let filename = as_written(&holdable(&attachment.filename, target));
    let filename = cut(&one_line(&filename, "unnamed"), 300);
    let reason = reason_of(reason);
    format!(
        "{}\nThe file \"{filename}\" ({size}) could not be copied: {reason}. It can be found in {place}.",
        attachment_marker(from, &attachment.id, &attachment.author)
    )
}

/// Returns the first line of an [`attachment_refused`].
#[must_use]
pub fn attachment_marker(from: Side, id: &str, author: &str) -> String {
    format!("[{} Attachment {id} by {}]", side_name(from), self::author(author))
}

/// Returns the ID of the file that a text explains as one that could not be copied, if it reads like an [`attachment_refused`].
#[must_use]
pub fn explained_attachment(from: Side, body: &str) -> Option<&str> {
    let (id, _) = header_of(from, body)?.strip_prefix(" Attachment ")?.split_once(" by ")?;
    let body = body.trim();
    let text = body[first_line(body).len()..].trim();
    (text.starts_with("The file \"") && text.contains("could not be copied: ") && text.contains(FOUND_IN))
        .then_some(id)
}

/// Title, description and further parts of the counterpart of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirroredText {
    /// Title, within the target's title limit.
    pub title: String,
    /// Description: begins with the header, and is within the target's description limit.
    pub description: String,
    /// Rest of the description, as comments with a header of their own.
    pub further: Vec<String>,
}

/// Returns the name of a company case in texts outside its own system (`R31`: an ID is valid only in its own system). `home` takes the
/// place of the address of a case without one.
#[must_use]
pub fn company_name<'a>(case: &'a Case, home: Option<&'a str>) -> CompanyCase<'a> {
    CompanyCase { id: &case.id, key: case.key.as_deref(), address: case.address.as_deref().or(home) }
}

/// Returns the first line of the description of the counterpart of a case of `from`.
#[must_use]
pub fn description_header(from: Side, case: &Case, home: Option<&str>) -> String {
    match from {
        Side::Google => markers::COMPANY_DESCRIPTION_HEADER.to_owned(),
        Side::Company => markers::google_description_header(&company_name(case, home)),
    }
}

/// Mark of an internal comment that goes to Google, where [`CommentsToGoogle::Marked`](super::CommentsToGoogle::Marked) is configured.
pub const MARK: &str = "#google";

/// Returns the text after the mark; `None` if the text does not begin with it.
#[must_use]
pub(super) fn after_mark(text: &str) -> Option<&str> {
    let text = text.trim_start();
    let (mark, rest) = text.split_at_checked(MARK.len())?;
    let ends = |c: char| c.is_whitespace() || matches!(c, ':' | ',');
    let is_mark = mark.eq_ignore_ascii_case(MARK) && (rest.is_empty() || rest.starts_with(ends));
    is_mark.then(|| rest.trim_start_matches(ends))
}

/// Returns a title as a case shows it: in one line, without the spaces that systems remove. Empty if it has none.
#[must_use]
pub fn shown_title(title: &str) -> String {
    one_line(title, "")
}

/// Returns a title in one line, with the characters that the target takes, and the same within the target's limit.
fn title_on(title: &str, target: &Capabilities) -> (String, String) {
    let full = one_line(&holdable(title, target), "(no title)");
    let cut = cut_to(&full, target.title_limit);
    (full, cut)
}

/// Returns the title that a counterpart of a case with this title has.
#[must_use]
pub(super) fn mirrored_title(title: &str, target: &Capabilities) -> String {
    title_on(title, target).1
}

/// Returns the whole title that a counterpart's description begins with, since it was cut for the counterpart's own title.
#[must_use]
pub(super) fn cut_title_of(description: &str) -> Option<&str> {
    let (_header, body) = description.split_once('\n')?;
    body.lines().next()?.strip_prefix("Title: ")
}

/// Returns title and texts on the other side of a case of `from`, under this header.
#[must_use]
pub fn mirrored(
    from: Side,
    header: &str,
    title: &str,
    description: &str,
    target: &Capabilities,
) -> MirroredText {
    let (full_title, title) = title_on(title, target);
    let mut body = holdable(description, target);
    if title != full_title {
        body = format!("Title: {full_title}\n\n{body}");
    }
    let whole = format!("{header}\n{body}");
    if target.description_limit.holds(&whole) {
        return MirroredText { title, description: whole, further: Vec::new() };
    }
    let first = take(&body, target.description_limit, header);
    let rest = &body[first.len()..];
    let further = split(rest, target.comment_limit, |part, parts| {
        format!("[{} Description ({}/{})]", side_name(from), part + 1, parts + 1)
    });
    MirroredText { title, description: format!("{header}\n{first}"), further }
}

/// Returns the first line of a text. A write whose answer was lost is recognised by it.
#[must_use]
pub fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Returns true if `text` begins with the line `marker`. White space around the line is ignored, since systems may trim texts and change
/// line ends.
#[must_use]
pub fn begins_with(text: &str, marker: &str) -> bool {
    first_line(text.trim_start()).trim() == marker.trim()
}

/// Returns a hash of a text that does not depend on its white space, since systems may change that.
#[must_use]
pub fn digest(text: &str) -> String {
    let mut hash = Sha256::new();
    for word in text.split_whitespace() {
        hash.update(word.as_bytes());
    }
    hex::encode(&hash.finalize()[..16])
}

/// Returns true if a comment is the result of a write without an answer (`R13`: unknown write outcome).
#[must_use]
pub fn is_outcome_of(pending: &Pending, comment: &Comment) -> bool {
    let by_text = || pending.digest.as_ref().is_none_or(|digest| *digest == self::digest(&comment.body));
    pending.kind == ItemKind::Comment
        && begins_with(&comment.body, &pending.marker)
        && comment.by_connector.unwrap_or_else(by_text)
}

/// Original of a copy, as the header of the copy names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied<'a> {
    /// ID of the comment that was copied.
    pub id: &'a str,
    /// Number of the part.
    pub part: u32,
    /// Number of parts of the whole comment.
    pub parts: u32,
    /// Text under the header.
    pub text: &'a str,
}

impl Copied<'_> {
    /// Returns the copy as one whole part if it explains a refusal, or if its text is all of the original's, in any reading of that. In version 0.1 the header of one
    /// part had no number, and the end of its author's name may read like one.
    #[must_use]
    pub fn as_whole<'r>(self, originals: impl IntoIterator<Item = &'r str>) -> Self {
        let is_all = |original: &str| digest(original) == digest(self.text);
        if is_explanation(self.text) || originals.into_iter().any(is_all) {
            Self { part: 1, parts: 1, ..self }
        } else {
            self
        }
    }
}

/// Returns the comment of `from` that a text names in its header as its original.
#[must_use]
pub fn copied_part(from: Side, body: &str) -> Option<Copied<'_>> {
    let body = body.trim_start();
    let (id, author) = header_of(from, body)?.strip_prefix(" Comment ")?.split_once(" by ")?;
    let (_, part, parts) = numbered(author).unwrap_or((author, 1, 1));
    Some(Copied { id, part, parts, text: &body[first_line(body).len()..] })
}

/// Note about an edit, as its header names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotedEdit<'a> {
    /// ID of the comment that was edited.
    pub id: &'a str,
    /// Number of the note about that comment.
    pub number: u32,
    /// Number of the part.
    pub part: u32,
    /// Text under the header.
    pub text: &'a str,
}

/// Returns the edit of a comment of `from` that a text notes, if it has the header of [`edit_parts`].
#[must_use]
pub fn noted_edit(from: Side, body: &str) -> Option<NotedEdit<'_>> {
    let body = body.trim_start();
    let (number, comment) = header_of(from, body)?.strip_prefix(" Edit ")?.split_once(" of Comment ")?;
    let (id, author) = comment.split_once(" by ")?;
    let number = number.parse().ok().filter(|number| *number > 0)?;
    let (_, part, _) = numbered(author).unwrap_or((author, 1, 1));
    Some(NotedEdit { id, number, part, text: &body[first_line(body).len()..] })
}

/// Returns the content of the brackets in the first line of a text, after the name of `from`: ` Comment 5 by Jane` for
/// `[Google Comment 5 by Jane]`. `None` if the text has no such header.
fn header_of(from: Side, body: &str) -> Option<&str> {
    let header = first_line(body.trim_start()).trim_end();
    header.strip_prefix('[')?.strip_prefix(side_name(from))?.strip_suffix(']')
}

/// Returns true if a text begins with a header that the connector writes for an item of `from`: a copy, a part of a description, a note
/// about an edit, or the explanation why a file could not be copied.
#[must_use]
pub fn has_header_of(from: Side, body: &str) -> bool {
    let kinds = [" Comment ", " Attachment ", " Description"];
    header_of(from, body).is_some_and(|header| kinds.iter().any(|kind| header.starts_with(kind)))
        || noted_edit(from, body).is_some()
}

/// Returns the author in the header of a copy.
#[must_use]
pub fn copied_author(body: &str) -> Option<&str> {
    let header = first_line(body.trim_start()).trim_end().strip_suffix(']')?;
    let (_, author) = header.split_once(" by ")?;
    Some(numbered(author).map_or(author, |(author, ..)| author))
}

/// Returns the number of the part of a description that a text contains, by its header; `None` if it is no such part.
#[must_use]
pub fn description_part(from: Side, body: &str) -> Option<u32> {
    let (_, part, _) = numbered(header_of(from, body)?.strip_prefix(" Description")?)?;
    Some(part).filter(|part| *part > 1)
}

/// Splits `Jane (2/3)` into `Jane`, `2` and `3`. `None` if the text does not end with the number of a part.
fn numbered(header: &str) -> Option<(&str, u32, u32)> {
    let (name, number) = header.strip_suffix(')')?.rsplit_once(" (")?;
    let (part, parts) = number.split_once('/')?;
    let (part, parts) = (part.parse::<u32>().ok()?, parts.parse::<u32>().ok()?);
    (1..=parts).contains(&part).then_some((name, part, parts))
}

/// Returns true if `part` is a piece of `whole`. White space is ignored, since systems may change it.
#[must_use]
pub fn is_piece_of(part: &str, whole: &str) -> bool {
    let squeeze = |text: &str| text.split_whitespace().collect::<String>();
    squeeze(whole).contains(&squeeze(part))
}

/// Splits a text so that each part with its header fits, at line or word boundaries if there are any. The parts, put together without their
/// headers, are the text.
#[must_use]
pub fn split(text: &str, limit: TextLimit, header: impl Fn(usize, usize) -> String) -> Vec<String> {
    let bodies = split_within(text, limit, &header);
    let parts = bodies.len();
    bodies.iter().enumerate().map(|(index, body)| format!("{}\n{body}", header(index + 1, parts))).collect()
}

/// Returns the bodies of the parts that [`split`] makes.
fn split_within(text: &str, limit: TextLimit, header: impl Fn(usize, usize) -> String) -> Vec<&str> {
    if limit.holds(&format!("{}\n{text}", header(1, 1))) {
        return vec![text];
    }
    // Each header contains the number of parts: reserves room for one digit, then two, then three …
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
    bodies
}

/// Returns the longest beginning of `text` that fits behind `header` and ends at a good place to cut; at least one character.
fn take<'a>(text: &'a str, limit: TextLimit, header: &str) -> &'a str {
    let fits = |end: usize| limit.holds(&format!("{header}\n{}", &text[..end]));
    if fits(text.len()) {
        return text;
    }
    // No measure counts less than one for a character, so no more than `max` characters can fit.
    let window = text.char_indices().nth(limit.max + 1).map_or(text.len(), |(index, _)| index);
    let end = longest(text, window, fits).max(text.ceil_char_boundary(1));
    // A grapheme that is longer than the limit is cut between its characters.
    let end = grapheme_end(text, end).unwrap_or(end);
    // Cuts at the end of a line, else of a word, unless that leaves more than half of the room empty.
    let places = || {
        let ends = text[..end].char_indices().rev().map(|(index, c)| (index + c.len_utf8(), c));
        ends.take_while(|(place, _)| *place > end / 2)
    };
    let is_end = |place: &usize| grapheme_end(text, *place) == Some(*place);
    let line = places().filter(|(_, c)| *c == '\n').map(|(place, _)| place).find(is_end);
    let word = || places().filter(|(_, c)| c.is_whitespace()).map(|(place, _)| place).find(is_end);
    &text[..line.or_else(word).unwrap_or(end)]
}

/// Returns the end of the longest beginning of `text` for which `fits` holds. It must not hold for the beginning that ends at `beyond`.
fn longest(text: &str, mut beyond: usize, fits: impl Fn(usize) -> bool) -> usize {
    let mut fitting = 0_usize;
    loop {
        let half = text.floor_char_boundary(fitting.midpoint(beyond));
        let middle = if half > fitting { half } else { text.ceil_char_boundary(fitting + 1) };
        if middle >= beyond {
            return fitting;
        }
        if fits(middle) { fitting = middle } else { beyond = middle }
    }
}

/// Returns the last grapheme boundary at or before `at`, except the beginning of the text.
fn grapheme_end(text: &str, at: usize) -> Option<usize> {
    let mut cursor = GraphemeCursor::new(at, text.len(), true);
    if cursor.is_boundary(text, 0) == Ok(true) {
        return Some(at);
    }
    cursor.prev_boundary(text, 0).ok().flatten().filter(|place| *place > 0)
}

/// Replaces line ends of two characters by one: systems change them.
#[must_use]
pub fn with_plain_line_ends(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// Replaces the characters that the target cannot hold: control characters become visible pictures (`R25`: odd content is content).
fn holdable(text: &str, target: &Capabilities) -> String {
    if target.control_characters {
        return text.to_owned();
    }
    with_plain_line_ends(text)
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

/// Returns an author's name for a header, short enough to leave room for the rest of the header.
fn author(name: &str) -> String {
    cut(&one_line(&as_written(name), "unknown"), 100)
}

/// Joins a text into one line, so that a name cannot end the first line of a copy early: white space and control characters become single
/// spaces. Returns `empty` if nothing is left.
fn one_line(text: &str, empty: &str) -> String {
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    if line.is_empty() { empty.to_owned() } else { line }
}

/// Cuts a text to at most `max` characters, with an ellipsis in the place of the rest.
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

#[cfg(test)]
pub(super) mod tests {
    use chrono::Duration;
    use proptest::prelude::*;

    use super::*;
    use crate::cases::{Visibility, code_points, utf8_bytes, utf16_units};

    #[test]
    fn every_state_in_words_fits_into_the_field_that_the_checks_demand() {
        let mut all = std::collections::BTreeSet::new();
        for (state, escalated) in
            GoogleState::ALL.into_iter().flat_map(|state| [(state, false), (state, true)])
        {
            let words = google_state(state, escalated);
            assert!(words.chars().count() <= crate::cases::GOOGLE_STATE_ROOM, "{words}");
            assert_eq!(words.ends_with(", escalated"), escalated);
            all.insert(words);
        }
        assert_eq!(all.len(), 10, "each says something else");
    }

    pub(in crate::sync) fn capabilities(comment_limit: TextLimit) -> Capabilities {
        Capabilities {
            name: "Test",
            reopen: true,
            comment_when_closed: true,
            internal_comments: true,
            comments_change: false,
            comment_limit,
            title_limit: TextLimit::code_points(60),
            description_limit: comment_limit,
            control_characters: false,
            index_lag: Duration::zero(),
            in_flight_window: Duration::zero(),
            time_resolution: Duration::seconds(1),
            idempotency_keys: false,
            stored_filename: str::to_owned,
        }
    }

    fn comment(id: &str, author: &str, body: &str) -> Comment {
        Comment {
            id: id.to_owned(),
            other_id: None,
            author: author.to_owned(),
            created_at: None,
            body: body.to_owned(),
            earlier_body: None,
            edited_at: None,
            visibility: Visibility::Public,
            by_connector: None,
        }
    }

    #[test]
    fn a_mark_is_a_word_of_its_own_at_the_beginning() {
        for (text, after) in [
            ("#google Look at the quota", Some("Look at the quota")),
            ("#Google: Look", Some("Look")),
            (" \n#google\nLook\nthere", Some("Look\nthere")),
            ("#google", Some("")),
            ("#googled it", None),
            ("see #google", None),
            ("#googlé", None),
            ("", None),
        ] {
            assert_eq!(after_mark(text), after, "{text:?}");
        }
    }

    #[test]
    fn the_explanation_of_a_file_is_known_by_its_text() {
        let attachment = Attachment {
            id: "10005".to_owned(),
            filename: "disk\n(1).log".to_owned(),
            media_type: None,
            size: Some(5_000),
            author: "Jane (2/3)".to_owned(),
            created_at: None,
            visibility: Visibility::Public,
            by_connector: None,
            comment: None,
        };
        let target = capabilities(TextLimit::code_points(2_000));
        let text = attachment_refused(Side::Company, "10003", &attachment, "it is too large", &target);
        for body in [text.clone(), text.replace('\n', "\r\n"), format!("  {text}\n")] {
            assert_eq!(explained_attachment(Side::Company, &body), Some("10005"), "{body:?}");
            assert_eq!(explained_attachment(Side::Google, &body), None);
        }
        for body in
            [text_of_person(&text), format!("Look:\n{text}"), "[Company Attachment 5 by J]".to_owned()]
        {
            assert_eq!(explained_attachment(Side::Company, &body), None, "{body:?}");
        }
    }

    /// Returns the words of a person below the first line of a text.
    fn text_of_person(text: &str) -> String {
        format!("{}\nThe file is too large, I think.", first_line(text))
    }

    /// Counts like a field whose client escapes markup: a bracket or a brace costs two.
    fn escaping(text: &str) -> usize {
        text.chars().map(|c| if "[]{}*_".contains(c) { 2 } else { c.len_utf16() }).sum()
    }

    fn without_header(part: &str) -> &str {
        part.split_once('\n').map_or("", |(_, body)| body)
    }

    #[test]
    fn durations_are_two_units_of_words_at_most() {
        for (seconds, expected) in [
            (-5, "0 seconds"),
            (0, "0 seconds"),
            (1, "1 second"),
            (59, "59 seconds"),
            (60, "1 minute"),
            (61, "1 minute 1 second"),
            (600, "10 minutes"),
            (659, "10 minutes 59 seconds"),
            (3_599, "59 minutes 59 seconds"),
            (3_600, "1 hour"),
            (3_601, "1 hour"),
            (3_660, "1 hour 1 minute"),
            (7_500, "2 hours 5 minutes"),
            (7_559, "2 hours 5 minutes"),
            (86_399, "23 hours 59 minutes"),
            (86_400, "1 day"),
            (86_460, "1 day"),
            (90_000, "1 day 1 hour"),
            (93_600, "1 day 2 hours"),
            (8_640_000, "100 days"),
        ] {
            assert_eq!(duration_words(Duration::seconds(seconds)), expected, "{seconds} s");
        }
    }

    const COMPANY: CompanyCase<'static> =
        CompanyCase { id: "10001", key: Some("SUP-3"), address: Some("https://desk.example/browse/SUP-3") };

    fn escalation_rule() -> EscalationRule {
        EscalationRule {
            signal: crate::sync::EscalationSignal::Field("Escalate".to_owned()),
            words: std::collections::BTreeMap::new(),
            prefix: "#escalate".to_owned(),
            justification_field: Some("Why".to_owned()),
        }
    }

    #[test]
    fn every_notice_is_recognised_and_no_quotation_is() {
        for (body, expected) in [
            ("This case is now syncing with Company Case: 10001".to_owned(), Some(Notice::NowSyncing)),
            (markers::now_syncing(&COMPANY), Some(Notice::NowSyncing)),
            (back(Side::Google, &COMPANY.to_string()), Some(Notice::CounterpartBack)),
            (left_open(&COMPANY.to_string(), Closing::Cancelled), Some(Notice::LeftOpen)),
            (merged("1", "2", Merged::HandedOver), Some(Notice::Merged)),
            (merged("1", "2", Merged::Unflagged), Some(Notice::Merged)),
            (merged("1", "2", Merged::Ended), Some(Notice::Merged)),
            (given_up("its priority could not be set", "no\nreason."), Some(Notice::GivenUp)),
            (read_only(Side::Google, "1", "it is archived."), Some(Notice::ReadOnly)),
            (conflict("it names another case."), Some(Notice::Conflict)),
            (
                not_escalated(&EscalationProblem::NoJustification, &escalation_rule()),
                Some(Notice::NotEscalated),
            ),
            (
                not_escalated(&EscalationProblem::UnknownWord("a\nb".to_owned()), &escalation_rule()),
                Some(Notice::NotEscalated),
            ),
            (
                not_escalated(&EscalationProblem::Refused("no\nright.".to_owned()), &escalation_rule()),
                Some(Notice::NotEscalated),
            ),
            (outage(Duration::hours(2)), Some(Notice::Outage)),
            (RESUMED.to_owned(), Some(Notice::Resumed)),
            (format!(" {RESUMED}\r\n"), Some(Notice::Resumed)),
            (cannot_reopen(Side::Company, "organizations/1/cases/2"), Some(Notice::CannotReopen)),
            (cannot_reopen(Side::Google, "10001"), Some(Notice::CannotReopen)),
            (gone(Side::Company, "organizations/1/cases/2"), Some(Notice::CounterpartGone)),
            (gone(Side::Google, "10001"), Some(Notice::CounterpartGone)),
            (format!("> {RESUMED}"), None),
            (format!("{RESUMED} At last!"), None),
            ("This case has not synced properly in a while. Why?".to_owned(), None),
            ("This case has not synced properly in a while.".to_owned(), None),
            ("This case has not synced properly in 3 days.\nWhy?".to_owned(), None),
            ("This case was reopened, but I can no longer see it".to_owned(), None),
            ("[Google Comment 3 by Ada]\nHello".to_owned(), None),
        ] {
            assert_eq!(recognise_notice(&body), expected, "{body:?}");
        }
    }

    #[test]
    fn a_comment_that_fits_is_one_part_with_the_documented_header() {
        let parts = comment_parts(
            Side::Google,
            &comment("3", "Ada Lovelace", "Hello"),
            // The limit leaves room for a long name.
            &capabilities(TextLimit::code_points(AUTHOR_ROOM + 100)),
        );
        assert_eq!(parts, ["[Google Comment 3 by Ada Lovelace]\nHello"]);
    }

    #[test]
    fn a_note_about_an_edit_is_known_by_its_header_and_is_no_copy() {
        let target = capabilities(TextLimit::code_points(200));
        for author in ["Jane", "Jane (2/3)", "one of Comment 8 by Joe", ""] {
            for body in ["two", "", "[Company Comment 7 by Jane]\ntwo", &"two ".repeat(100)] {
                let parts = edit_parts(Side::Company, &comment("7", author, body), 3, &target);
                for (part, text) in (1..).zip(&parts) {
                    let noted = noted_edit(Side::Company, text).unwrap();
                    assert_eq!((noted.id, noted.number, noted.part), ("7", 3, part), "{text}");
                    assert!(copied_part(Side::Company, text).is_none() && recognise_notice(text).is_none());
                    assert!(has_header_of(Side::Company, text) && !has_header_of(Side::Google, text));
                    assert!(target.comment_limit.holds(text));
                }
                let together: String =
                    parts.iter().filter_map(|part| Some(noted_edit(Side::Company, part)?.text)).collect();
                assert_eq!(digest(&together), digest(body));
            }
        }
        for text in
            ["[Company Edit 0 of Comment 7 by J]", "[Company Edit x of Comment 7 by J]", "[Company Edit]"]
        {
            assert_eq!(noted_edit(Side::Company, text), None, "{text}");
        }
    }

    #[test]
    fn a_comment_of_40000_characters_is_four_numbered_parts_for_csapi() {
        let body = "All work and no play makes Jack a dull boy.\n".repeat(910);
        let comment = comment("7", "Jane Roe", &body);
        let parts = comment_parts(Side::Company, &comment, &capabilities(TextLimit::code_points(12_800)));
        assert_eq!(parts.len(), 4);
        for (index, part) in (1..).zip(&parts) {
            assert_eq!(first_line(part), format!("[Company Comment 7 by Jane Roe ({index}/4)]"));
            assert!(code_points(part) <= 12_800);
            assert!(part.ends_with('\n'), "cut at the end of a line");
        }
        assert_eq!(parts.iter().map(|part| without_header(part)).collect::<String>(), body);
    }

    #[test]
    fn a_header_never_fills_a_comment() {
        let author = "x".repeat(20_000);
        for body in ["Hello".to_owned(), "Hello ".repeat(10_000)] {
            let comment = comment("7", &author, &body);
            let limit = TextLimit::code_points(12_800);
            let parts = comment_parts(Side::Company, &comment, &capabilities(limit));
            assert!(parts.iter().all(|part| limit.holds(part)));
            assert!(parts.len() < 10, "{} parts", parts.len());
            assert_eq!(parts.iter().map(|part| without_header(part)).collect::<String>(), body);
        }
    }

    #[test]
    fn an_author_cannot_break_out_of_the_header() {
        for (author, expected) in [
            ("", "[Google Comment 1 by unknown]"),
            (" \t\n", "[Google Comment 1 by unknown]"),
            ("Ada\nLovelace", "[Google Comment 1 by Ada Lovelace]"),
            ("Ada\r\n\0Lovelace", "[Google Comment 1 by Ada Lovelace]"),
            ("أحمد", "[Google Comment 1 by أحمد]"),
        ] {
            let parts = comment_parts(
                Side::Google,
                &comment("1", author, "x"),
                &capabilities(TextLimit::code_points(500)),
            );
            assert_eq!(first_line(&parts[0]), expected);
        }
    }

    #[test]
    fn an_author_who_is_called_like_a_part_is_one_part() {
        let target = capabilities(TextLimit::code_points(500));
        for author in ["Jane (2/3)", "Jane (1/1)", "Jane (2/3) (1/2)", "Jane (3/2)", "Jane (2)", "(2/3)"] {
            for (body, count) in [("Hello".to_owned(), 1), ("Hello ".repeat(200), 4)] {
                let parts = comment_parts(Side::Google, &comment("5", author, &body), &target);
                assert_eq!(u32::try_from(parts.len()).unwrap(), count);
                for (part, text) in (1..).zip(&parts) {
                    let copied = copied_part(Side::Google, text).unwrap();
                    assert_eq!((copied.id, copied.part, copied.parts), ("5", part, count));
                    assert_eq!(copied_author(text), Some(author));
                }
            }
            let explained = comment_refused(Side::Google, "1", "5", author, "it is too odd", &target);
            let copied = copied_part(Side::Google, &explained).unwrap();
            assert_eq!((copied.id, copied.part, copied.parts), ("5", 1, 1));
            assert!(is_explanation(copied.text));
        }
        let plain = comment_parts(Side::Google, &comment("5", "Jane (3/2)", "Hello"), &target);
        assert_eq!(plain, ["[Google Comment 5 by Jane (3/2)]\nHello"], "no number, so none is added");
    }

    #[test]
    fn control_characters_become_visible_where_the_target_cannot_hold_them() {
        let strict = capabilities(TextLimit::code_points(500));
        let loose = Capabilities { control_characters: true, ..strict.clone() };
        let source = comment("1", "A", "a\0b\u{1b}[1m\u{7f}\tc\r\nd\re\u{85}");
        assert_eq!(
            without_header(&comment_parts(Side::Google, &source, &strict)[0]),
            "a\u{2400}b\u{241b}[1m\u{2421}\tc\nd\ne\u{fffd}"
        );
        assert_eq!(without_header(&comment_parts(Side::Google, &source, &loose)[0]), source.body);
    }

    #[test]
    fn a_long_description_goes_on_in_numbered_comments() {
        let target = capabilities(TextLimit::code_points(200));
        let description = "0123456789 ".repeat(60);
        for from in Side::BOTH {
            let text = mirrored(from, "HEADER:", "The disk is full", &description, &target);
            assert_eq!(text.title, "The disk is full");
            assert!(target.description_limit.holds(&text.description));
            let parts = text.further.len() + 1;
            for (index, part) in (2..).zip(&text.further) {
                assert_eq!(first_line(part), format!("[{} Description ({index}/{parts})]", side_name(from)));
                assert!(target.comment_limit.holds(part));
            }
            let bodies = std::iter::once(&text.description).chain(&text.further);
            assert_eq!(bodies.map(|part| without_header(part)).collect::<String>(), description);
        }
    }

    #[test]
    fn a_title_that_is_too_long_is_cut_visibly_and_kept_in_the_description() {
        let title = "word ".repeat(30);
        let target = capabilities(TextLimit::code_points(2_000));
        let text = mirrored(Side::Google, markers::COMPANY_DESCRIPTION_HEADER, &title, "Body", &target);
        assert!(target.title_limit.holds(&text.title) && text.title.ends_with('…'));
        assert_eq!(
            text.description,
            format!("{}\nTitle: {}\n\nBody", markers::COMPANY_DESCRIPTION_HEADER, title.trim())
        );
        assert_eq!(cut_title_of(&text.description), Some(title.trim()));
        assert_eq!(cut_title_of("HEADER:\nBody\nTitle: not the first line"), None);
        let header = markers::google_description_header(&COMPANY);
        let empty = mirrored(Side::Company, &header, " \n", "", &target);
        assert_eq!(empty.title, "(no title)");
        assert_eq!(
            empty.description,
            "CONTENT MIRRORED FROM COMPANY CASE 10001 (SUP-3, https://desk.example/browse/SUP-3):\n"
        );
    }

    /// Text as people and machines write it: words, long runs, combined characters, line ends of all kinds.
    fn text() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => "[a-zA-Z]{1,12}",
            3 => Just(" ".to_owned()),
            1 => Just("\n".to_owned()),
            1 => Just("\r\n".to_owned()),
            1 => Just(" \u{301}".to_owned()),
            1 => Just("👩‍👩‍👧‍👦".to_owned()),
            1 => Just("e\u{301}\u{302}\u{303}".to_owned()),
            1 => Just("שלום".to_owned()),
            1 => Just("[*_{}]".to_owned()),
            1 => Just("🇩🇪🇫🇷".to_owned()),
            1 => any::<char>().prop_map(String::from),
            1 => "\\PC{0,30}",
        ];
        proptest::collection::vec(piece, 0..120).prop_map(|pieces| pieces.concat())
    }

    fn limit() -> impl Strategy<Value = TextLimit> {
        let measure = prop_oneof![
            Just(code_points as fn(&str) -> usize),
            Just(utf16_units as fn(&str) -> usize),
            Just(utf8_bytes as fn(&str) -> usize),
            Just(escaping as fn(&str) -> usize),
        ];
        (40_usize..400, measure).prop_map(|(max, measure)| TextLimit { max, measure })
    }

    proptest! {
        #[test]
        fn parts_put_together_are_the_text_and_each_fits(text in text(), limit in limit()) {
            let header = |part: usize, parts: usize| format!("[Company Comment 7 by J ({part}/{parts})]");
            let parts = split(&text, limit, header);
            let mut together = String::new();
            for part in &parts {
                prop_assert!(limit.holds(part), "{} > {}", (limit.measure)(part), limit.max);
                together.push_str(without_header(part));
            }
            prop_assert_eq!(&together, &text);
            // Between two parts lies the end of a grapheme, unless that grapheme alone is too long for a part.
            let room = limit.max.saturating_sub((limit.measure)(&header(999_999, 999_999)) + 1);
            let too_long = text.graphemes(true).any(|grapheme| (limit.measure)(grapheme) > room);
            if !too_long {
                let ends: Vec<usize> = text.grapheme_indices(true).map(|(at, g)| at + g.len()).collect();
                let mut at = 0;
                for part in &parts {
                    at += without_header(part).len();
                    prop_assert!(text.is_empty() || ends.contains(&at), "a grapheme was cut at {}", at);
                }
            }
        }

        #[test]
        fn no_text_makes_the_header_unrecognisable(body in text(), author in text(), limit in limit()) {
            let limit = TextLimit { max: limit.max + 800, ..limit };
            let parts = comment_parts(Side::Google, &comment("12", &author, &body), &capabilities(limit));
            for part in &parts {
                prop_assert!(limit.holds(part));
                prop_assert!(first_line(part).starts_with("[Google Comment 12 by "));
                prop_assert!(first_line(part).ends_with(']'));
                // A system may return the text trimmed, with other line ends.
                let returned = part.replace('\n', "\r\n");
                prop_assert!(begins_with(returned.trim(), first_line(part)));
            }
        }

        #[test]
        fn a_counterpart_always_fits(title in text(), description in text(), limit in limit()) {
            let limit = TextLimit { max: limit.max + 40, ..limit };
            let target = capabilities(limit);
            let header = markers::google_description_header(&CompanyCase { key: None, address: None, ..COMPANY });
            let text = mirrored(Side::Company, &header, &title, &description, &target);
            prop_assert!(target.title_limit.holds(&text.title));
            prop_assert!(!text.title.contains(['\n', '\r']));
            prop_assert!(limit.holds(&text.description));
            prop_assert_eq!(markers::company_case_of_description(&text.description).map(|company| company.id), Some("10001"));
            prop_assert!(text.further.iter().all(|part| limit.holds(part)));
        }
    }
}
