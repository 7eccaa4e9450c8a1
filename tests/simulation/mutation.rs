//! Turning a rule off, to prove that the simulation would notice: what the rule sees, remembers or says is taken away where
//! the core meets the outside, so that the core itself needs no switches.

use casebridge::cases::{ApiError, ApiErrorKind, Case, Closing, Comment, Found, Sweep, Visibility};
use casebridge::entities::{CaseMapping, Edits, GoogleState, Ledger, PollMemory, ShownValue, Sides, Source};
use chrono::{DateTime, Duration, Utc};

use crate::explore::{Failure, explore};
use crate::history::Side;
use crate::model::visibility;
use crate::run::WINDOWS;
use crate::world::{Shared, World};

/// A rule, or a part of one, that is turned off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {
    HalfSweep,
    WaitingForgotten,
    EverythingStamped,
    TwoMappings,
    NamesCompared,
    OwnUnknown,
    Backwards,
    NothingBlocked,
    NoLease,
    PendingForgotten,
    CreationForgotten,
    LedgerForgotten,
    LaterStamp,
    NoLimit,
    HalfFiles,
    TriedForEver,
    NoBase,
    NoTitleBase,
    StatusWithoutChange,
    NoEscalationRecord,
    PlacementForgotten,
    SubscribersWithoutRecord,
    LinkForgotten,
    LabelForgotten,
    MarksForgotten,
    EditsForgotten,
    NoteWithoutRecord,
    OtherIdUnread,
    ClosingForgotten,
    FlagIgnored,
    SilenceBelieved,
    NoSecondLook,
    GoneAtOnce,
    MarkerAssumed,
    DefaultsDecide,
    Homeless,
    AddressIgnored,
    ClosedIsSolved,
    RefusedForEver,
    PageBelieved,
    ClocksBelieved,
    ClaimsBelieved,
}

use Mutation as M;

/// One line of the table in `docs/reliability.md`.
struct Row {
    mutation: Mutation,
    rule: &'static str,
    /// What is turned off.
    off: &'static str,
    /// How many histories are enough.
    within: u64,
    /// The first seed that is noticed, when it was last looked for. Tried before all others, which saves their time.
    seed: u64,
    /// What the check that notices says.
    noticed: &'static str,
}

const fn row(
    mutation: Mutation,
    rule: &'static str,
    off: &'static str,
    within: u64,
    seed: u64,
    noticed: &'static str,
) -> Row {
    Row { mutation, rule, off, within, seed, noticed }
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    row(M::HalfSweep, "R6", "a search that fails counts as one that found nothing, and the watermark moves", 200, 73, "(R7)"),
    row(M::WaitingForgotten, "R7", "that something waits is not remembered", 20, 1, "(R7)"),
    row(M::EverythingStamped, "R8", "a poll stamps every open mapping that it did not find", 10, 0, "yet another round writes"),
    row(M::TwoMappings, "R9", "the store takes two mappings for a case", 500, 23, "two mappings for"),
    row(M::NamesCompared, "R9", "Google cases are compared by their full names", 10, 0, "two mappings for"),
    row(M::OwnUnknown, "R10", "a poll does not see which case another mirrors", 50, 4, "(R10)"),
    row(M::Backwards, "R11", "the newest comment comes first", 50, 1, "after a later one (R11)"),
    row(M::NothingBlocked, "R11", "a write that failed holds up nothing that depends on it", 3000, 146, "Google has"),
    row(M::NoLease, "R12", "leases are invisible to others, and every update wins", 20, 0, "R14)"),
    row(M::PendingForgotten, "R13", "a write is not recorded before it is sent", 20, 6, "R14)"),
    row(M::CreationForgotten, "R13", "a counterpart is created without looking for one", 100, 59, "a second counterpart"),
    row(M::LedgerForgotten, "R14", "what was written is not remembered by its ID", 10, 0, "once too often"),
    row(M::LaterStamp, "R15", "both listings go back to the later of the two stamps", 100, 1, "out of reach (R7, R15)"),
    row(M::NoLimit, "R16", "a system says that its comments may be of any length", 10, 1, "characters for"),
    row(M::HalfFiles, "R17", "a file that breaks off counts as whole", 2000, 106, "(R17)"),
    row(M::TriedForEver, "R17", "what a system can never take may be taken the next time", 50, 0, "after 150 rounds"),
    row(M::NoBase, "R18", "the priority last agreed on is not remembered", 3000, 1849, "yet another round writes"),
    row(M::NoTitleBase, "R30", "the titles that both sides had are not remembered", 200, 1, "Google's title is"),
    row(M::StatusWithoutChange, "R30", "the state of Google's that was seen last is not remembered", 500, 393, "Google's state has changed"),
    row(M::NoEscalationRecord, "R13", "a request for an escalation is not recorded before it is sent", 1000, 669, "once more for one raise (R13)"),
    row(M::PlacementForgotten, "R13", "the place of a creation is not recorded before it is sent", 500, 5, "in another place (R13)"),
    row(M::SubscribersWithoutRecord, "R30", "the subscribers that the connector added are not remembered", 500, 12, "subscribe"),
    row(M::LinkForgotten, "R8", "the link to the Google case is not remembered", 200, 11, "again and again"),
    row(M::LabelForgotten, "R30", "the label that the connector added is not remembered", 500, 152, "label for escalated ones: true"),
    row(M::MarksForgotten, "R13", "the comments that are to be marked are not remembered", 500, 152, "was carried and not marked"),
    row(M::EditsForgotten, "R14", "the texts that the other side has are not remembered", 1000, 259, "does not have the last text"),
    row(M::NoteWithoutRecord, "R13", "a note about an edit is not recorded before it is sent", 500, 105, "is noted twice (R13)"),
    row(M::OtherIdUnread, "R14", "that a comment was an e-mail before is not read", 200, 73, "R14)"),
    row(M::ClosingForgotten, "R19", "that the pair is resolved is not remembered", 20, 7, "resolvedAt is not"),
    row(M::FlagIgnored, "R20", "a case always counts as flagged", 20, 8, "is not flagged (R20)"),
    row(M::SilenceBelieved, "R26", "every poll counts as proven", 3000, 1397, "(R7)"),
    row(M::NoSecondLook, "R27", "every sweep counts as made", 200, 1, "rounds:"),
    row(M::GoneAtOnce, "R28", "a case that is missing counts as missing for a day", 200, 49, "(R28)"),
    row(M::MarkerAssumed, "R29", "what is listed without a marker counts as public", 200, 182, "something internal arrives"),
    row(M::DefaultsDecide, "R30", "what a side was told counts as agreed on", 200, 3, "(R30)"),
    row(M::Homeless, "R31", "the company's system has no address", 20, 6, "(R31)"),
    row(M::AddressIgnored, "R31", "the address of a company case is not read", 200, 22, "another desk's (R31)"),
    row(M::ClosedIsSolved, "R32", "every closed case counts as solved", 200, 11, "(R32)"),
    row(M::RefusedForEver, "R33", "what is refused for good may be taken the next time", 200, 3, "rounds:"),
    row(M::PageBelieved, "R34", "what comes in place of a file counts as the file", 5000, 3668, "does not have (R17)"),
    row(M::ClocksBelieved, "R36", "every clock counts as right", 200, 3, "(R7)"),
    row(M::ClaimsBelieved, "R38", "every company case counts as the connector's own", 1000, 348, "R38)"),
];

/// The mutation that `CASEBRIDGE_MUTATION` names, for those who want to look at one.
pub(crate) fn chosen() -> Option<Mutation> {
    let name = std::env::var("CASEBRIDGE_MUTATION").ok()?;
    let row = TABLE.iter().find(|row| format!("{:?}", row.mutation) == name);
    Some(row.unwrap_or_else(|| panic!("there is no mutation {name}")).mutation)
}

/// Turns each rule off, and panics if its check does not notice within as many histories as the table allows.
pub(crate) fn prove() {
    let document = include_str!("../../docs/reliability.md");
    let mut unnoticed = Vec::new();
    for row in TABLE {
        let line = format!("| {} | {} | {} |", row.rule, row.off, row.within);
        match first_noticed(row) {
            Some(failure) => {
                println!("{:?}: {line} seed {}: {}", row.mutation, failure.seed, failure.violation);
            }
            None => unnoticed.push(format!("{line} {} | is not noticed", row.noticed)),
        }
        if !document.contains(&format!("{line} {} |", row.noticed)) {
            unnoticed.push(format!("{line} {} | is not in docs/reliability.md", row.noticed));
        }
    }
    assert!(unnoticed.is_empty(), "{}", unnoticed.join("\n"));
}

/// Returns a history in which the row's own check notices: the one of the known seed, or else the first. Other checks may notice before.
fn first_noticed(row: &Row) -> Option<Failure> {
    assert!(row.seed < row.within, "{:?}: seed {} is not within {}", row.mutation, row.seed, row.within);
    let known = explore(row.seed, 1, Some(row.mutation)).failures.into_iter().next();
    if let Some(failure) = known.filter(|failure| failure.violation.contains(row.noticed)) {
        return Some(failure);
    }
    println!("{:?}: seed {} is not noticed any more", row.mutation, row.seed);
    let mut first = 0;
    while first < row.within {
        let failure = explore(first, row.within - first, Some(row.mutation)).failures.into_iter().next()?;
        if failure.violation.contains(row.noticed) {
            return Some(failure);
        }
        first = failure.seed + 1;
    }
    None
}

fn is(world: &Shared, mutation: Mutation) -> bool {
    world.lock().mutation == Some(mutation)
}

pub(crate) fn searched(world: &Shared, sweep: Result<Sweep, ApiError>) -> Result<Sweep, ApiError> {
    match sweep {
        Err(_) if is(world, M::HalfSweep) => Ok(Sweep::default()),
        Ok(mut sweep) => {
            let mutation = world.lock().mutation;
            sweep.cases.iter_mut().for_each(|case| found_in_search(mutation, case));
            Ok(sweep)
        }
        failed => failed,
    }
}

fn found_in_search(mutation: Option<Mutation>, case: &mut Found) {
    match mutation {
        Some(M::OwnUnknown) => case.counterpart = None,
        Some(M::AddressIgnored) => case.counterpart_address = None,
        Some(M::ClaimsBelieved) => case.by_connector = case.by_connector.map(|_| true),
        _ => {}
    }
}

pub(crate) fn got(world: &Shared, case: Option<Case>) -> Option<Case> {
    let mutation = world.lock().mutation;
    case.map(|case| match mutation {
        Some(M::FlagIgnored) => Case { synchronize: true, ..case },
        Some(M::AddressIgnored) => Case { counterpart_address: None, ..case },
        Some(M::ClaimsBelieved) => Case { by_connector: case.by_connector.map(|_| true), ..case },
        Some(M::ClosedIsSolved) => Case { closing: case.closing.map(|_| Closing::Solved), ..case },
        _ => case,
    })
}

pub(crate) fn counterparts(world: &Shared, mut found: Vec<Found>) -> Vec<Found> {
    let mutation = world.lock().mutation;
    if mutation == Some(M::CreationForgotten) {
        return Vec::new();
    }
    for case in &mut found {
        found_in_search(mutation, case);
    }
    found
}

/// What the store is given of a poll.
pub(crate) fn remembered(
    world: &World,
    now: DateTime<Utc>,
    theirs: DateTime<Utc>,
    memory: PollMemory,
) -> PollMemory {
    match world.mutation {
        Some(M::SilenceBelieved) => PollMemory {
            shown_until: Some(theirs),
            seen_at: Some(now),
            identified_at: Some(now),
            canaries: std::collections::BTreeMap::new(),
            found_last: false,
            doubt: None,
            ..memory
        },
        Some(M::NoSecondLook) => PollMemory { swept_day_at: Some(now), swept_all_at: Some(now), ..memory },
        _ => memory,
    }
}

pub(crate) fn identified(world: &Shared, known: Result<(), ApiError>) -> Result<(), ApiError> {
    if is(world, M::SilenceBelieved) { Ok(()) } else { known }
}

pub(crate) fn is_homeless(world: &Shared) -> bool {
    is(world, M::Homeless)
}

/// Whether the search for a counterpart finds one of another home.
pub(crate) fn ignores_homes(world: &World) -> bool {
    matches!(world.mutation, Some(M::Homeless | M::AddressIgnored))
}

pub(crate) fn believes_clocks(world: &Shared) -> bool {
    is(world, M::ClocksBelieved)
}

/// Who may read something, as its adapter says: `unmarked` if the system does not.
pub(crate) fn marked(world: &World, unmarked: bool, internal: bool) -> Visibility {
    match world.mutation {
        Some(M::MarkerAssumed) if unmarked => Visibility::Public,
        _ => visibility(internal || unmarked),
    }
}

/// A comment without the ID that it had before, if its adapter does not read that.
pub(crate) fn one_id(world: &World, comment: Comment) -> Comment {
    match world.mutation {
        Some(M::OtherIdUnread) => Comment { other_id: None, ..comment },
        _ => comment,
    }
}

/// What comes in place of a file, if its adapter does not notice.
pub(crate) fn page(world: &World) -> Option<Vec<u8>> {
    (world.mutation == Some(M::PageBelieved)).then(|| b"<html>Please log in".to_vec())
}

pub(crate) fn listed(world: &Shared, side: Side, case: &str, mut comments: Vec<Comment>) -> Vec<Comment> {
    let world = world.lock();
    match world.mutation {
        Some(M::Backwards) => {
            let times: Vec<_> = comments.iter().filter_map(|comment| comment.created_at).collect();
            if let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) {
                for comment in &mut comments {
                    comment.created_at = comment.created_at.map(|at| *first + (*last - at));
                }
            }
        }
        Some(M::LaterStamp) => {
            let stamps = world
                .shelf
                .of(side, case)
                .map(|mapping| Side::BOTH.map(|side| mapping.stored_synced_at(side)));
            if let Some([Some(one), Some(other)]) = stamps {
                let horizon = Some(one.max(other) - WINDOWS[side]);
                comments.retain(|comment| comment.created_at >= horizon);
            }
        }
        _ => {}
    }
    comments
}

/// The literal reading of a poll: everything open that it did not find is stamped.
pub(crate) fn polled(world: &mut World, side: Side, at: DateTime<Utc>) {
    if world.mutation == Some(M::EverythingStamped) {
        let open = world.shelf.mappings.values_mut();
        for mapping in open.filter(|mapping| mapping.is_open() && mapping.dirty == Sides::default()) {
            mapping.move_stored_synced_at(side, at);
            mapping.version += 1;
            world.writes += 1;
        }
    }
}

/// What the store is given.
pub(crate) fn stored(world: &Shared, mut mapping: CaseMapping) -> CaseMapping {
    match world.lock().mutation {
        Some(M::WaitingForgotten) => mapping.dirty = Sides::default(),
        Some(M::PendingForgotten) => {
            mapping.pending.clear();
            mapping.pending_creation = None;
            mapping.pending_status = None;
        }
        Some(M::LedgerForgotten) => mapping.ledger = Ledger::default(),
        Some(M::NoBase) => mapping.state.agreed_priority = None,
        Some(M::NoTitleBase) => mapping.state.titles.base = None,
        Some(M::StatusWithoutChange) => {
            // Of a state that an open case never has, every other is a change.
            mapping.state.turn.seen = mapping.state.turn.seen.map(|_| GoogleState::Closed);
        }
        Some(M::NoEscalationRecord) => mapping.state.escalation.sent_at = None,
        Some(M::PlacementForgotten) => mapping.state.google_placement = None,
        Some(M::SubscribersWithoutRecord) => mapping.state.subscribers.clear(),
        Some(M::LinkForgotten) => mapping.state.shown.link = ShownValue::default(),
        Some(M::LabelForgotten) => mapping.state.shown.label = ShownValue::default(),
        Some(M::MarksForgotten) => mapping.state.shown.unmarked.clear(),
        Some(M::EditsForgotten) => mapping.state.edits = Edits::default(),
        Some(M::NoteWithoutRecord) => {
            mapping.pending.retain(|pending| !matches!(pending.source, Source::Edit { .. }));
        }
        Some(M::DefaultsDecide) if mapping.is_linked() => {
            mapping.state.agreed_priority = mapping.state.agreed_priority.or(mapping.priority);
        }
        Some(M::ClosingForgotten) => mapping.resolved_at = None,
        _ => {}
    }
    mapping
}

/// What the store gives out when a mapping is looked for.
pub(crate) fn shown(world: &Shared, mapping: Option<CaseMapping>) -> Option<CaseMapping> {
    let mutation = world.lock().mutation;
    mapping.map(|mut mapping| {
        match mutation {
            Some(M::NoLease) => mapping.lease = None,
            Some(M::GoneAtOnce) => {
                for side in Side::BOTH {
                    if let Some(missing) = &mut mapping.state.missing[side] {
                        missing.since -= Duration::days(1);
                        missing.reads += 10;
                    }
                }
            }
            _ => {}
        }
        mapping
    })
}

/// Whether two Google cases are compared by their full names.
pub(crate) fn compares_names(world: &World) -> bool {
    world.mutation == Some(M::NamesCompared)
}

pub(crate) fn allows_twins(world: &World) -> bool {
    world.mutation == Some(M::TwoMappings)
}

pub(crate) fn ignores_versions(world: &World) -> bool {
    world.mutation == Some(M::NoLease)
}

/// What the core is told about the longest comment.
pub(crate) fn limit(world: &Shared, limit: usize) -> usize {
    if is(world, M::NoLimit) { usize::MAX } else { limit }
}

pub(crate) fn keeps_half_files(world: &Shared) -> bool {
    is(world, M::HalfFiles)
}

/// What the core is told about a write that failed.
pub(crate) fn failed(world: &Shared, error: ApiError) -> ApiError {
    let kind = match (world.lock().mutation, error.kind) {
        (Some(M::NothingBlocked), ApiErrorKind::NotApplied) => ApiErrorKind::Refused,
        (Some(M::TriedForEver), ApiErrorKind::Unacceptable) => ApiErrorKind::NotApplied,
        (Some(M::RefusedForEver), ApiErrorKind::Refused) => ApiErrorKind::NotApplied,
        (_, kind) => kind,
    };
    ApiError { kind, ..error }
}
