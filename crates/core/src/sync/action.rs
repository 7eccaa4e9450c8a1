//! Single step of a plan, with all facts about each kind of step: the side that it writes to, the steps that it blocks, its description in
//! a dry run. A new kind of step is added here; `tasks` applies it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::plan::Rules;
use super::subscribers::SubscriberChange;
use super::texts;
use crate::cases::{Annotation, Attachment, Visibility};
use crate::entities::{
    Edits, Entry, Escalation, EscalationReason, GoogleState, ItemKind, Notice, PairState, Pending, Priority,
    Refusable, Shown, Side, Sides, Source, Subscribed, TitleDigest, Titles, Turn,
};

/// Comment that the connector is to add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommentToWrite {
    /// Side that the comment is written to.
    pub side: Side,
    /// Original that the comment copies, or the notice that it is.
    pub source: Source,
    /// Creation time of the original, by the clock of its side.
    pub source_at: Option<DateTime<Utc>>,
    /// Complete text. The first line is the marker by which the comment is recognised (`R13`: unknown write outcome).
    pub body: String,
    /// Readers of the comment.
    pub visibility: Visibility,
    /// Number of parts that the whole comment is split into; only for the copy of a comment.
    pub parts: Option<u32>,
}

impl CommentToWrite {
    /// Creates a notice of the connector itself.
    #[must_use]
    pub fn notice(side: Side, notice: Notice, body: String, rules: &Rules) -> Self {
        let visibility = rules.visibility_on(side);
        Self { side, source: Source::Notice(notice), source_at: None, body, visibility, parts: None }
    }

    /// Creates the notice on `side`, where a case was reopened, that its counterpart stays closed (`R19`: status).
    #[must_use]
    pub fn cannot_reopen(side: Side, counterpart: &str, rules: &Rules) -> Self {
        Self::notice(side, Notice::CannotReopen, texts::cannot_reopen(side, counterpart), rules)
    }
}

/// Step of a plan. Steps that change a case come in the order in which they are to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Resume a paused pair: the company case is flagged again (`R20`: leaving).
    Resume,
    /// Record an item that the connector wrote: a write whose answer was lost did happen, or a copy was found while relinking (`R13`:
    /// unknown write outcome).
    Adopt(Entry),
    /// Record an older notice that was found again while relinking, or a copy under the other ID of its original. A write-ahead record with
    /// the same words belongs to another write (`R13`: unknown write outcome).
    Recognise(Entry),
    /// Remove the write-ahead record of a write that did not happen and whose source is not to be written any more (`R13`: unknown write
    /// outcome).
    Forget(Pending),
    /// Write the Google case's name onto the company case (`R10`: knowing one's own cases).
    LinkBack {
        /// ID of the company case.
        company_case_id: String,
        /// Full name of the Google case.
        google_case_name: String,
    },
    /// Add a comment.
    Comment(CommentToWrite),
    /// Copy an attachment, or explain on the side that gets it why that cannot be done (`R17`: files).
    Attach {
        /// The side that gets it.
        to: Side,
        /// Attachment to copy.
        attachment: Attachment,
        /// Readers of the copy, in a system whose attachments belong to comments.
        visibility: Visibility,
    },
    /// Set the priority of one side.
    SetPriority {
        /// Side of the case.
        side: Side,
        /// Level to set.
        priority: Priority,
    },
    /// Record that both sides were read with this priority: it is the base of the next merge (`R18`: priority; `R30`: merge base).
    AgreeOnPriority(Priority),
    /// Let people of the company case get Google's mails about the Google case.
    SetSubscribers {
        /// Addresses of all people of the company case that may leave the house.
        wanted: BTreeSet<String>,
        /// Addresses that the Google case gets and loses by it.
        change: SubscriberChange,
    },
    /// Record the people of the company case as subscribers that Google has, or that a person removed there (`R30`: merge base).
    AgreeOnSubscribers(BTreeMap<String, Subscribed>),
    /// Escalate the Google case, since the company case is raised.
    Escalate {
        /// Reason, by the word of the company case.
        reason: EscalationReason,
        /// Text of a person of the company case.
        justification: String,
    },
    /// Record how far the company case's wish to escalate is fulfilled.
    NoteEscalation(Box<Escalation>),
    /// Close the case of one side.
    Close {
        /// Side of the case.
        side: Side,
    },
    /// Reopen the case of one side (`R19`: status).
    Reopen {
        /// Side of the case.
        side: Side,
    },
    /// Record that the pair is closed, as of this time.
    Resolve(DateTime<Utc>),
    /// Record that the pair is open again.
    Unresolve,
    /// Remove the write-ahead record of a closing or reopening whose answer was lost: its outcome is already recorded, or it is not to be
    /// done any more and its in-flight window is over (`R13`: unknown write outcome).
    ForgetStatus,
    /// Record that the case on this side has the notice that the other cannot follow its reopening (`R19`: status). `None`: clear that
    /// record, since both cases are closed again.
    RefusedReopening(Option<Side>),
    /// Clear the record of a `Notice::LeftOpen`: the company case is open again, and its next closing gets a new notice (`R32`: closed is
    /// not solved).
    ForgetLeftOpen,
    /// Set the status of the company case, since Google's state has changed.
    SetStatus {
        /// State of the Google case.
        state: GoogleState,
        /// Status, as the configuration names it.
        status: String,
        /// Names of the status that the company case has now.
        from: Vec<String>,
    },
    /// Write Google's state in words into the field for it on the company case.
    ShowState(String),
    /// Record how far Google's state is shown on the company case.
    NoteTurn(Box<Turn>),
    /// Set the title of one side, since the other side's has changed (`R30`: merge base).
    SetTitle {
        /// Side of the case.
        side: Side,
        /// Title, within the limit of the side.
        title: String,
        /// Titles of both sides before.
        from: Sides<TitleDigest>,
    },
    /// Record both titles as compared (`R30`: merge base).
    NoteTitles(Box<Titles>),
    /// Show something of the Google case on the company case.
    Annotate(Annotation),
    /// Record what is shown of the Google case on the company case, and what is still to be shown.
    NoteShown(Box<Shown>),
    /// Record the texts of comments that the other side has, and the notes about their edits that are begun.
    NoteEdits(Box<Edits>),
}

impl Action {
    /// Returns the side whose case the action writes to; `None` if it only changes the mapping.
    #[must_use]
    pub const fn writes_to(&self) -> Option<Side> {
        match self {
            Self::LinkBack { .. } | Self::SetStatus { .. } | Self::ShowState(_) | Self::Annotate(_) => {
                Some(Side::Company)
            }
            Self::SetSubscribers { .. } | Self::Escalate { .. } => Some(Side::Google),
            Self::Comment(comment) => Some(comment.side),
            Self::Attach { to: side, .. }
            | Self::SetPriority { side, .. }
            | Self::SetTitle { side, .. }
            | Self::Close { side }
            | Self::Reopen { side } => Some(*side),
            Self::Resume
            | Self::Adopt(_)
            | Self::Recognise(_)
            | Self::Forget(_)
            | Self::AgreeOnPriority(_)
            | Self::AgreeOnSubscribers(_)
            | Self::Resolve(_)
            | Self::Unresolve
            | Self::ForgetStatus
            | Self::RefusedReopening(_)
            | Self::ForgetLeftOpen
            | Self::NoteEscalation(_)
            | Self::NoteTitles(_)
            | Self::NoteShown(_)
            | Self::NoteEdits(_)
            | Self::NoteTurn(_) => None,
        }
    }

    /// Returns the kind of write that is recorded as refused if the system refuses the action for good (`R33`: final refusals).
    #[must_use]
    pub fn refusable(&self) -> Option<Refusable> {
        match self {
            Self::LinkBack { .. } => Some(Refusable::LinkBack),
            Self::Comment(comment) => Some(Refusable::Item(comment.source.clone())),
            Self::Attach { attachment, .. } => {
                Some(Refusable::Item(Source::Attachment { id: attachment.id.clone() }))
            }
            Self::SetPriority { .. } => Some(Refusable::Priority),
            Self::Close { .. } => Some(Refusable::Close),
            Self::Reopen { .. } => Some(Refusable::Reopen),
            Self::Resume
            | Self::Adopt(_)
            | Self::Recognise(_)
            | Self::Forget(_)
            | Self::AgreeOnPriority(_)
            | Self::AgreeOnSubscribers(_)
            | Self::SetSubscribers { .. }
            | Self::Resolve(_)
            | Self::Unresolve
            | Self::ForgetStatus
            | Self::RefusedReopening(_)
            | Self::ForgetLeftOpen
            // A refusal of these is settled at once: the next change of Google's state or of a title, or the next raise, is the next attempt.
            | Self::Escalate { .. }
            | Self::NoteEscalation(_)
            | Self::SetStatus { .. }
            | Self::ShowState(_)
            | Self::SetTitle { .. }
            | Self::NoteTitles(_)
            | Self::Annotate(_)
            | Self::NoteShown(_)
            | Self::NoteEdits(_)
            | Self::NoteTurn(_) => None,
        }
    }

    /// True if the action writes to a read-only case that has refused this kind of write, and the next attempt is not due yet (`R33`: final
    /// refusals).
    #[must_use]
    pub fn is_left_alone(&self, state: &PairState, now: DateTime<Utc>) -> bool {
        match (self.writes_to(), self.refusable()) {
            // It was never refused: a refusal settles it.
            _ if matches!(self, Self::Escalate { .. }) => false,
            (Some(side), Some(what)) => state.is_left_alone(side, &what, now),
            (Some(side), None) => state.is_read_only(side, now),
            (None, _) => false,
        }
    }

    /// True if the action copies text or a file that a person wrote.
    #[must_use]
    pub const fn is_content(&self) -> bool {
        match self {
            Self::Comment(comment) => !matches!(comment.source, Source::Notice(_)),
            Self::Attach { .. } => true,
            Self::Resume
            | Self::Adopt(_)
            | Self::Recognise(_)
            | Self::Forget(_)
            | Self::LinkBack { .. }
            | Self::SetPriority { .. }
            | Self::AgreeOnPriority(_)
            | Self::AgreeOnSubscribers(_)
            | Self::SetSubscribers { .. }
            | Self::Close { .. }
            | Self::Reopen { .. }
            | Self::Resolve(_)
            | Self::Unresolve
            | Self::ForgetStatus
            | Self::ForgetLeftOpen
            | Self::RefusedReopening(_)
            | Self::Escalate { .. }
            | Self::NoteEscalation(_)
            | Self::SetStatus { .. }
            | Self::ShowState(_)
            | Self::SetTitle { .. }
            | Self::NoteTitles(_)
            | Self::Annotate(_)
            | Self::NoteShown(_)
            | Self::NoteEdits(_)
            | Self::NoteTurn(_) => false,
        }
    }

    /// True if the action carries a person's change to the other side; false for notices and bookkeeping.
    #[must_use]
    pub const fn carries_change(&self) -> bool {
        self.is_content()
            || matches!(
                self,
                Self::SetPriority { .. }
                    | Self::SetTitle { .. }
                    | Self::SetSubscribers { .. }
                    | Self::Escalate { .. }
                    | Self::Close { .. }
                    | Self::Reopen { .. }
            )
    }

    /// True if the action closes or reopens a case, or records the status that both have.
    #[must_use]
    pub const fn changes_status(&self) -> bool {
        matches!(self, Self::Close { .. } | Self::Reopen { .. } | Self::Resolve(_) | Self::Unresolve)
    }

    /// True if a final refusal is explained on the case that refused; false if it is explained on its counterpart (`R33`: final refusals).
    #[must_use]
    pub const fn is_explained_where_refused(&self) -> bool {
        match self {
            Self::Comment(comment) => !matches!(comment.source, Source::Description { .. }),
            Self::Close { .. } | Self::Reopen { .. } => false,
            Self::Attach { .. }
            | Self::Resume
            | Self::Adopt(_)
            | Self::Recognise(_)
            | Self::Forget(_)
            | Self::LinkBack { .. }
            | Self::SetPriority { .. }
            | Self::AgreeOnPriority(_)
            | Self::AgreeOnSubscribers(_)
            | Self::SetSubscribers { .. }
            | Self::Resolve(_)
            | Self::Unresolve
            | Self::ForgetStatus
            | Self::ForgetLeftOpen
            | Self::RefusedReopening(_)
            | Self::Escalate { .. }
            | Self::NoteEscalation(_)
            | Self::SetStatus { .. }
            | Self::ShowState(_)
            | Self::SetTitle { .. }
            | Self::NoteTitles(_)
            | Self::Annotate(_)
            | Self::NoteShown(_)
            | Self::NoteEdits(_)
            | Self::NoteTurn(_) => true,
        }
    }

    /// True if an explanation takes the place of the copy, and so says why the action was refused.
    #[must_use]
    pub const fn is_explained_by_copy(&self) -> bool {
        match self {
            Self::Comment(comment) => matches!(comment.source, Source::Comment { .. }),
            Self::Attach { .. } => true,
            _ => false,
        }
    }

    /// True if a [`Notice::GivenUp`] on the other case says why the action was refused.
    #[must_use]
    pub const fn is_explained_by_notice(&self) -> bool {
        match self {
            Self::Comment(comment) => matches!(comment.source, Source::Description { .. }),
            Self::Close { .. } => true,
            _ => false,
        }
    }

    /// True if the action adds a comment or a file.
    #[must_use]
    pub const fn writes_content(&self) -> bool {
        matches!(self, Self::Comment(_) | Self::Attach { .. })
    }

    /// Returns the side whose case the action changes, other than by a comment or a file.
    #[must_use]
    pub fn changes_case(&self) -> Option<Side> {
        self.writes_to().filter(|_| !self.writes_content())
    }

    /// True if the action must be skipped, because an earlier one that has to come first has failed.
    #[must_use]
    pub fn is_blocked(&self, blocked: &Blocked) -> bool {
        match self {
            Self::Comment(comment) => match comment.source {
                Source::Notice(Notice::CannotReopen) => blocked.status,
                Source::Comment { .. } | Source::Description { .. } | Source::Edit { .. } => {
                    blocked.comments[comment.side]
                        || blocked.content[comment.side]
                        || first_part(&comment.source)
                            .is_some_and(|first| blocked.texts.contains(&(comment.side, first)))
                }
                Source::Attachment { .. } | Source::Notice(_) => false,
            },
            Self::Attach { to, .. } => blocked.content[*to],
            // A note that was not carried yet gets no mark.
            Self::Annotate(Annotation::Mark(mark)) => {
                let first = Source::Comment { id: mark.comment.clone(), part: 1 };
                blocked.comments[Side::Google]
                    || blocked.content[Side::Google]
                    || blocked.texts.contains(&(Side::Google, first))
            }
            Self::AgreeOnPriority(_) => blocked.priority,
            Self::Close { .. }
            | Self::Reopen { .. }
            | Self::Resolve(_)
            | Self::Unresolve
            | Self::RefusedReopening(_) => blocked.status,
            Self::Annotate(Annotation::Link(_) | Annotation::Label { .. })
            | Self::Resume
            | Self::Adopt(_)
            | Self::Recognise(_)
            | Self::Forget(_)
            | Self::ForgetStatus
            | Self::ForgetLeftOpen
            | Self::LinkBack { .. }
            | Self::SetSubscribers { .. }
            | Self::AgreeOnSubscribers(_)
            | Self::SetPriority { .. }
            | Self::Escalate { .. }
            | Self::NoteEscalation(_)
            | Self::SetStatus { .. }
            | Self::ShowState(_)
            | Self::SetTitle { .. }
            | Self::NoteTitles(_)
            | Self::NoteShown(_)
            | Self::NoteEdits(_)
            | Self::NoteTurn(_) => false,
        }
    }

    /// Adds to `blocked` all actions that must be skipped since this one failed. A final refusal blocks little: the blocked actions would
    /// never be done. A write that may still arrive blocks more: comments keep their order, and a case is not closed before its content has
    /// arrived.
    pub fn block(&self, blocked: &mut Blocked, is_final: bool) {
        match self {
            Self::Comment(comment) => {
                blocked.texts.extend(first_part(&comment.source).map(|first| (comment.side, first)));
                if !is_final {
                    blocked.comments[comment.side] = true;
                    blocked.status = true;
                }
                if comment.source == Source::Notice(Notice::CannotReopen) {
                    blocked.status = true;
                }
            }
            // A status that may still arrive must not open a case that was closed meanwhile.
            Self::Attach { .. } | Self::SetStatus { .. } => blocked.status |= !is_final,
            Self::SetPriority { .. } => blocked.priority = true,
            Self::Reopen { side } => {
                blocked.status = true;
                blocked.content[*side] = true;
            }
            Self::Close { .. } => blocked.status = true,
            Self::Resume
            | Self::Adopt(_)
            | Self::Recognise(_)
            | Self::Forget(_)
            | Self::LinkBack { .. }
            | Self::AgreeOnPriority(_)
            | Self::AgreeOnSubscribers(_)
            | Self::SetSubscribers { .. }
            | Self::Resolve(_)
            | Self::Unresolve
            | Self::ForgetStatus
            | Self::ForgetLeftOpen
            | Self::RefusedReopening(_)
            | Self::Escalate { .. }
            | Self::NoteEscalation(_)
            | Self::ShowState(_)
            | Self::SetTitle { .. }
            | Self::NoteTitles(_)
            | Self::Annotate(_)
            | Self::NoteShown(_)
            | Self::NoteEdits(_)
            | Self::NoteTurn(_) => {}
        }
    }

    /// Returns the name under which a dry run counts the action; `None` if it writes to no system.
    #[must_use]
    pub const fn counts_as(&self) -> Option<&'static str> {
        match self {
            Self::LinkBack { .. } => Some("links"),
            Self::Comment(comment) => match comment.source {
                Source::Comment { .. } | Source::Description { .. } => Some("comments"),
                Source::Edit { .. } => Some("edits"),
                Source::Attachment { .. } | Source::Notice(_) => Some("notices"),
            },
            Self::Attach { .. } => Some("files"),
            Self::SetPriority { .. } => Some("priorities"),
            Self::SetTitle { .. } => Some("titles"),
            Self::SetSubscribers { .. } => Some("subscribers"),
            Self::Escalate { .. } => Some("escalations"),
            Self::Close { .. } => Some("closings"),
            Self::Reopen { .. } => Some("reopenings"),
            Self::SetStatus { .. } => Some("statuses"),
            Self::ShowState(_) => Some("states"),
            Self::Annotate(Annotation::Link(_)) => Some("remote links"),
            Self::Annotate(Annotation::Label { .. }) => Some("labels"),
            Self::Annotate(Annotation::Mark(_)) => Some("marks"),
            Self::Resume
            | Self::Adopt(_)
            | Self::Recognise(_)
            | Self::Forget(_)
            | Self::AgreeOnPriority(_)
            | Self::AgreeOnSubscribers(_)
            | Self::Resolve(_)
            | Self::Unresolve
            | Self::ForgetStatus
            | Self::RefusedReopening(_)
            | Self::ForgetLeftOpen
            | Self::NoteEscalation(_)
            | Self::NoteTitles(_)
            | Self::NoteShown(_)
            | Self::NoteEdits(_)
            | Self::NoteTurn(_) => None,
        }
    }

    /// Describes the action in a dry run: IDs, never content.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Resume => "resume: the company case is flagged again".to_owned(),
            Self::Adopt(entry) | Self::Recognise(entry) => {
                format!("adopt {} {} on the {} case", kind_name(entry.kind), entry.id, entry.side)
            }
            Self::Forget(pending) => {
                format!("forget a write to the {} case that did not happen", pending.side)
            }
            Self::LinkBack { company_case_id, google_case_name } => {
                format!("write {google_case_name} onto company case {company_case_id}")
            }
            Self::Comment(comment) => match &comment.source {
                Source::Comment { id, part } => {
                    format!("copy comment {id} (part {part}) to the {} case", comment.side)
                }
                Source::Description { part } => {
                    format!("add part {part} of the description to the {} case", comment.side)
                }
                Source::Attachment { id } => {
                    format!("explain attachment {id} on the {} case", comment.side)
                }
                Source::Notice(notice) => format!("add the notice {notice:?} to the {} case", comment.side),
                Source::Edit { id, number, part } => {
                    format!("note edit {number} of comment {id} (part {part}) on the {} case", comment.side)
                }
            },
            Self::Attach { to, attachment, .. } => {
                format!("copy attachment {} to the {to} case", attachment.id)
            }
            Self::SetPriority { side, priority } => {
                format!("set the {side} case's priority to {priority}")
            }
            Self::AgreeOnPriority(priority) => format!("note that both sides have {priority}"),
            Self::SetSubscribers { change, .. } => {
                format!("change {} of the google case's subscribers", change.count())
            }
            Self::AgreeOnSubscribers(people) => {
                format!("note that {} people of the company case are known at Google", people.len())
            }
            Self::Escalate { reason, .. } => format!("escalate the google case ({})", reason.name()),
            Self::NoteEscalation(_) => "note how far the google case is escalated".to_owned(),
            Self::Close { side } => format!("close the {side} case"),
            Self::Reopen { side } => format!("reopen the {side} case"),
            Self::Resolve(at) => format!("note that the pair is resolved as of {at}"),
            Self::Unresolve => "note that the pair is open again".to_owned(),
            Self::ForgetStatus => "forget a change of status that got no answer".to_owned(),
            Self::RefusedReopening(Some(side)) => {
                format!("note that the {} case cannot be reopened as the {side} case was", side.other())
            }
            Self::RefusedReopening(None) => "note that both cases are closed again".to_owned(),
            Self::ForgetLeftOpen => "note that the company case is open again".to_owned(),
            Self::SetStatus { state, status, .. } => {
                format!(
                    "set the company case's status to {status:?}, since Google's state is {}",
                    state.name()
                )
            }
            Self::ShowState(text) => {
                format!("write {text:?} into the company case's field for Google's state")
            }
            Self::NoteTurn(_) => "note Google's state".to_owned(),
            Self::SetTitle { side, .. } => format!("set the {side} case's title to the other side's"),
            Self::NoteTitles(_) => "note both titles".to_owned(),
            Self::Annotate(annotation) => annotation.describe(),
            Self::NoteShown(_) => "note what is shown of the google case".to_owned(),
            Self::NoteEdits(_) => "note the texts of comments, to notice their edits".to_owned(),
        }
    }
}

const fn kind_name(kind: ItemKind) -> &'static str {
    match kind {
        ItemKind::Comment => "comment",
        ItemKind::Attachment => "attachment",
    }
}

/// Actions to skip because an earlier one failed.
#[derive(Debug, Default)]
pub struct Blocked {
    /// Copies of comments, by the side that gets them.
    comments: Sides<bool>,
    /// Comments and files, by the side that gets them.
    content: Sides<bool>,
    /// Texts with a part that did not arrive: the parts after it make no sense without it.
    texts: Vec<(Side, Source)>,
    priority: bool,
    status: bool,
}

impl Blocked {
    /// Creates a set that blocks nothing, except closing and reopening if a write has to wait for an earlier one in flight.
    #[must_use]
    pub fn new(is_waiting: bool) -> Self {
        Self { status: is_waiting, ..Self::default() }
    }

    /// Blocks the actions that need the case of `side` to be open, since it cannot be reopened: changes of status and, if a closed case
    /// takes no comments, its content.
    pub fn stays_closed(&mut self, side: Side, takes_comments: bool) {
        self.status = true;
        self.content[side] = !takes_comments;
    }
}

/// Returns part 1 of the text that `source` is a part of; `None` if it is no part of a text.
fn first_part(source: &Source) -> Option<Source> {
    match source {
        Source::Comment { id, .. } => Some(Source::Comment { id: id.clone(), part: 1 }),
        Source::Description { .. } => Some(Source::Description { part: 1 }),
        Source::Edit { id, number, .. } => Some(Source::Edit { id: id.clone(), number: *number, part: 1 }),
        Source::Attachment { .. } | Source::Notice(_) => None,
    }
}
