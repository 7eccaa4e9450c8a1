//! A history: what the systems are like, and what people, cron and misfortune do to them, and when.
//!
//! Plain data. `{:?}` of a history is Rust that makes it again, so a shortened one can be kept as a reproduction.

/// Milliseconds since the history began.
pub(crate) type Ms = i64;

pub(crate) use casebridge::entities::Side::{self, Company, Google};
pub(crate) use casebridge::tasks::TaskKind::{self, Cleanup, DetectOutages, PollCompany, PollGoogle};

/// What one system is like; times in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a system")]
pub(crate) struct Traits {
    pub(crate) reopen: bool,
    pub(crate) comment_when_closed: bool,
    /// Whether it says which comments the connector's user wrote.
    pub(crate) knows_connector: bool,
    /// How long a write without an answer may still be under way.
    pub(crate) settles: i64,
    /// How late its searches may be.
    pub(crate) lag: i64,
    /// How late its lists may be.
    pub(crate) stale: i64,
    /// How precise its times are; 0: milliseconds.
    pub(crate) resolution: i64,
    /// How far its clock is ahead.
    pub(crate) skew: i64,
    /// The longest comment, in code points.
    pub(crate) limit: usize,
    pub(crate) control_characters: bool,
    /// It stores files under names of its own making.
    pub(crate) renames_files: bool,
    /// It knows idempotency keys.
    pub(crate) idempotent: bool,
    /// It tells its attachment limit.
    pub(crate) tells_limit: bool,
    /// One word stands for P3 and P4.
    pub(crate) four_priorities: bool,
}

/// What everything is like.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub(crate) struct Setting {
    /// Decides how long each call takes and whether trouble hits it.
    pub(crate) seed: u64,
    pub(crate) google: Traits,
    pub(crate) company: Traits,
    pub(crate) comments: bool,
    pub(crate) attachments: bool,
    pub(crate) priority: bool,
    pub(crate) status: bool,
    pub(crate) carry_internal: bool,
    /// Copies arrive in the CRM as internal comments.
    pub(crate) internal_copies: bool,
    /// Percent of the tasks that are delivered minutes late.
    pub(crate) late: u32,
    /// Percent of the tasks that are delivered twice.
    pub(crate) twice: u32,
    /// How far the second instance's clock is ahead of the first's, in milliseconds.
    pub(crate) clock_offset: Ms,
    /// In seconds.
    pub(crate) deadline: i64,
    /// In seconds.
    pub(crate) lease: i64,
}

/// What hits the calls to one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing gets through; it is certain that nothing happened.
    Down,
    /// Calls end without an answer, some before the effect and some after it.
    Unanswered(u32),
    /// Some writes take effect long after the caller gave up.
    Late(u32),
    /// 429, again and again.
    RateLimited(u32),
    /// Everything takes tens of seconds, and some of it too long.
    Slow,
    /// Answers that cannot be read; writes happened.
    Unreadable(u32),
    /// The credentials are refused.
    Unauthorized,
    /// Downloads break off.
    BrokenDownloads(u32),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    GoogleApi,
    CompanyApi,
    Store,
    Queue,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    Short,
    /// Longer than either limit.
    Long,
    /// Begins with the header of a copy, or is a notice, word for word.
    Quotation(u8),
    /// Line ends and control characters of all kinds.
    Odd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    Plain,
    /// The same name and size as another.
    Namesake,
    /// A name that a system may have to change.
    OddName,
    TooLarge,
    /// Of a type that is refused.
    Forbidden,
}

/// What a person does. `case` counts the cases that people made, from 0; what cannot be done is not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Create {
        side: Side,
        flagged: bool,
        priority: u8,
        words: Words,
    },
    Comment {
        case: usize,
        side: Side,
        words: Words,
        internal: bool,
    },
    Attach {
        case: usize,
        side: Side,
        file: FileKind,
        internal: bool,
    },
    Prioritise {
        case: usize,
        side: Side,
        priority: u8,
    },
    Close {
        case: usize,
        side: Side,
    },
    Reopen {
        case: usize,
        side: Side,
    },
    Flag {
        case: usize,
    },
    Unflag {
        case: usize,
    },
    /// Deletes a comment or attachment that the connector wrote.
    DeleteCopy {
        case: usize,
        side: Side,
        nth: usize,
    },
    /// Deletes a comment or attachment that a person wrote.
    DeleteOwn {
        case: usize,
        side: Side,
        nth: usize,
    },
    DeleteCase {
        case: usize,
        side: Side,
    },
    /// Edits a comment of the company case.
    Edit {
        case: usize,
        nth: usize,
        words: Words,
    },
    /// Makes another company case with all the fields of this one.
    Clone {
        case: usize,
    },
    /// Everybody's display name changes.
    Rename {
        side: Side,
    },
    /// Something changes that is not carried.
    Touch {
        case: usize,
        side: Side,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    Person(Deed),
    /// Cron fires.
    Cron(TaskKind),
    /// A person asks for the sync of a case.
    ByHand {
        case: usize,
        side: Side,
        dry_run: bool,
    },
    /// An instance dies at its `awaits`-th await from now, and is started again.
    Crash {
        instance: usize,
        awaits: u32,
    },
    /// An instance is told to stop, and is started again.
    Stop {
        instance: usize,
    },
    Trouble {
        part: Part,
        trouble: Trouble,
        seconds: i64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) at: Ms,
    pub(crate) what: What,
    /// Decides what chance does to this step.
    pub(crate) salt: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct History {
    pub(crate) setting: Setting,
    pub(crate) steps: Vec<Step>,
}

impl Setting {
    pub(crate) fn traits(&self, side: Side) -> &Traits {
        match side {
            Google => &self.google,
            Company => &self.company,
        }
    }
}
