//! A history: what the systems are like, and what people, cron and misfortune do to them, and when.
//!
//! Plain data. `{:?}` of a history is Rust that makes it again, so a shortened one can be kept as a reproduction.

/// Milliseconds since the history began.
pub(crate) type Ms = i64;

pub(crate) use casebridge::cases::Closing;
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
    /// The answers of its searches show as whom it knows the connector.
    pub(crate) tells_identity: bool,
    /// It says whether the connector's user created a case.
    pub(crate) knows_creator: bool,
    /// Its cases have addresses and names that people use.
    pub(crate) addresses: bool,
    /// Number of projects, queues or tables that cases lie in; 0: it knows no such thing.
    pub(crate) scopes: u8,
    /// A level that it does not hold.
    pub(crate) unholdable: Option<u8>,
    /// Every new case has its default priority, whatever is asked for.
    pub(crate) default_priority: bool,
}

impl Traits {
    /// What histories from before part 3 of the contract leave out.
    pub(crate) const BEFORE: Self = Self {
        reopen: false,
        comment_when_closed: false,
        knows_connector: false,
        settles: 45,
        lag: 0,
        stale: 0,
        resolution: 0,
        skew: 0,
        limit: 2_000,
        control_characters: false,
        renames_files: false,
        idempotent: false,
        tells_limit: false,
        four_priorities: false,
        tells_identity: false,
        knows_creator: true,
        addresses: false,
        scopes: 0,
        unholdable: None,
        default_priority: false,
    };
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
    /// How far the clock of the connector's host is ahead, in seconds.
    pub(crate) host: i64,
    /// `sync.missing_grace`, in minutes.
    pub(crate) missing_grace: i64,
    /// `sync.give_up_after`, in minutes.
    pub(crate) give_up_after: i64,
    pub(crate) desk: Desk,
    pub(crate) extras: Extras,
}

/// Features of the desk that are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub(crate) struct Desk {
    /// Google's state sets the company case's status, and stands in a field of it.
    pub(crate) turn: bool,
    /// People of the company escalate.
    pub(crate) escalation: bool,
    /// New cases have places: there are routes in both directions.
    pub(crate) routes: bool,
    /// People who watch the company case are subscribers of the Google case.
    pub(crate) subscribers: bool,
}

impl Desk {
    pub(crate) const OFF: Self = Self { turn: false, escalation: false, routes: false, subscribers: false };
}

/// Features besides those of the desk that are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub(crate) struct Extras {
    /// The company case has a link to its Google case, in such a place.
    pub(crate) link: Option<Place>,
    /// True if company cases get a label while their Google case is escalated.
    pub(crate) label: bool,
    /// Its comments that were carried have a mark.
    pub(crate) marks: bool,
    /// Each such write moves the case's time of last update, also one that repeats what is there.
    pub(crate) moves: bool,
    /// An edited comment of the company case is followed by a note.
    pub(crate) edits: bool,
    /// Google shows replies by e-mail.
    pub(crate) mail: bool,
}

/// Place for a link in the company's system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A field that holds one, without title and state.
    Field,
    /// A list, whose links have a title and a state.
    List,
}

impl Extras {
    pub(crate) const OFF: Self =
        Self { link: None, label: false, marks: false, moves: false, edits: false, mail: false };
}

/// Subject of a push message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    Case(usize),
    /// The `nth` comment of a case, by whoever wrote it.
    Comment {
        case: usize,
        nth: usize,
    },
    /// A case that does not exist.
    Unknown,
    /// No case at all.
    Nothing,
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
    /// Answers are as if to somebody anonymous: 200, and nothing in them.
    Anonymous,
    /// The right to read was taken, for one scope or for all: what it was for is left out, without a word.
    Blind { scope: Option<u8>, creates: bool },
    /// Listings leave out which comments and files are internal.
    Unmarked,
}

/// A lie about one case, and for how many minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// The index goes on showing it as it was.
    LateIndex { case: usize, side: Side, minutes: i64 },
    /// It is as if it did not exist; then it is back.
    Vanish { case: usize, side: Side, minutes: i64 },
    /// A file is listed, and not handed out; `None`: for ever.
    Withhold { case: usize, side: Side, nth: usize, how: Withheld, minutes: Option<i64> },
    /// One kind of write is refused for good, while others succeed; `None`: for ever.
    Refuse { case: usize, side: Side, what: Refused, minutes: Option<i64> },
}

/// What comes in place of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Withheld {
    /// 404.
    NotThere,
    /// 403.
    Blocked,
    /// A page to log in on.
    Page,
}

/// Kinds of writes that a case can refuse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    Comments,
    Files,
    Priority,
    Title,
    /// Another status of an open case.
    Status,
    /// The field for Google's state.
    StateText,
    Escalation,
    Subscribers,
    /// A link to the Google case.
    RemoteLink,
    Label,
    /// The mark on a comment that was carried.
    Mark,
    Close,
    Reopen,
    Link,
    /// It is archived: it takes nothing.
    Everything,
}

/// A clock that is set wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    /// That of the connector's host.
    Host,
    Of(Side),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    GoogleApi,
    CompanyApi,
    Store,
    Queue,
}

impl Part {
    pub(crate) fn of(side: Side) -> Self {
        match side {
            Google => Self::GoogleApi,
            Company => Self::CompanyApi,
        }
    }
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
    /// Something in it is refused by the other system.
    Banned,
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
    /// Refused by the other system with 403.
    Banned,
}

/// What stands in place of a priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blur {
    Nothing,
    /// A word that nobody configured.
    Word,
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
    /// Changes the title; `long`: to one that does not fit into the other system.
    Retitle {
        case: usize,
        side: Side,
        long: bool,
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
    /// Closes the company case otherwise than by solving it.
    CloseAs {
        case: usize,
        how: Closing,
    },
    /// Merges the company case into another.
    Merge {
        case: usize,
        into: usize,
    },
    /// The priority is unset, or a word that nobody knows.
    Blur {
        case: usize,
        side: Side,
        how: Blur,
    },
    /// Creates a company case that names a Google case: that of `case`, or the `ahead`-th that is yet to be created.
    Claim {
        case: usize,
        ahead: Option<u8>,
    },
    /// Clears the field of the newest case that names a Google case which is not its own.
    Unclaim,
    /// Another installation on the same organisation mirrors a case of its own desk, of the same ID as one here.
    Foreign {
        case: usize,
        address: bool,
    },
    Desk(DeskDeed),
    Extra(ExtraDeed),
}

/// Deed of a person with the features of the desk. Numbers are positions in the lists of `desk.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeskDeed {
    /// Google's support changes the state of an open case.
    State {
        case: usize,
        state: u8,
    },
    /// A person of the company sets the status of an open case.
    Status {
        case: usize,
        status: u8,
    },
    /// A person raises the company case, with a word that is known or not.
    Raise {
        case: usize,
        known: bool,
    },
    Lower {
        case: usize,
    },
    /// A person of the company writes a comment that justifies an escalation.
    Justify {
        case: usize,
        internal: bool,
    },
    /// Google's support ends an escalation.
    EndEscalation {
        case: usize,
    },
    /// A person follows the company case, or no longer does.
    Watch {
        case: usize,
        who: u8,
        on: bool,
    },
    /// A person at Google adds a subscriber, or removes one.
    Subscribe {
        case: usize,
        who: u8,
        on: bool,
    },
    /// Sets or removes the label of the company case that a route goes by.
    Relabel {
        case: usize,
    },
}

/// Deed of a person with the features of [`Extras`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExtraDeed {
    /// People at Google escalate the case, or end that.
    Escalate { case: usize, on: bool },
    /// A person adds the label for escalated cases to the company case, or removes it.
    Label { case: usize, on: bool },
    /// A person removes the links of the company case; `other`: and puts another one there.
    Unlink { case: usize, other: bool },
    /// Edits a comment of the company case, counted from the newest.
    Rewrite { case: usize, nth: usize, how: Rewrite },
    /// A person answers Google by e-mail.
    Mail { case: usize, words: Words },
    /// An e-mail of the Google case, counted from the newest, stands there as a comment from now on.
    Become { case: usize, nth: usize },
}

/// Way in which a person edits a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rewrite {
    Anew(Words),
    /// To the text before the last edit.
    Back,
    /// Only its layout changes.
    Layout,
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
    /// A system tells by push that something may have changed.
    Hint {
        side: Side,
        about: About,
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
    Lie(Lie),
    /// A clock is `ahead` seconds ahead of where it was: for so long, or from now on.
    Clock {
        whose: Clock,
        ahead: i64,
        seconds: Option<i64>,
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
    /// What histories from before part 3 of the contract leave out.
    pub(crate) const BEFORE: Self = Self {
        seed: 0,
        google: Traits::BEFORE,
        company: Traits::BEFORE,
        comments: true,
        attachments: true,
        priority: true,
        status: true,
        carry_internal: false,
        internal_copies: false,
        late: 0,
        twice: 0,
        clock_offset: 0,
        deadline: 120,
        lease: 180,
        host: 0,
        missing_grace: 60,
        give_up_after: 720,
        desk: Desk::OFF,
        extras: Extras::OFF,
    };

    pub(crate) fn traits(&self, side: Side) -> &Traits {
        match side {
            Google => &self.google,
            Company => &self.company,
        }
    }
}
