//! Turning a rule off, to prove that the simulation would notice: what the rule sees, remembers or says is taken away where
//! the core meets the outside, so that the core itself needs no switches.

use casebridge::cases::{ApiError, ApiErrorKind, Case, Comment, Sweep};
use casebridge::entities::{CaseMapping, Ledger, Sides};
use chrono::{DateTime, Utc};

use crate::explore::{Failure, explore};
use crate::history::Side;
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
    ClosingForgotten,
    FlagIgnored,
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
    /// What the check that notices says.
    noticed: &'static str,
}

const fn row(
    mutation: Mutation,
    rule: &'static str,
    off: &'static str,
    within: u64,
    noticed: &'static str,
) -> Row {
    Row { mutation, rule, off, within, noticed }
}

#[rustfmt::skip]
const TABLE: &[Row] = &[
    row(M::HalfSweep, "R6", "a search that fails counts as one that found nothing, and the watermark moves", 50, "(R7)"),
    row(M::WaitingForgotten, "R7", "that something waits is not remembered", 20, "(R7)"),
    row(M::EverythingStamped, "R8", "a poll stamps every open mapping that it did not find", 10, "yet another round writes"),
    row(M::TwoMappings, "R9", "the store takes two mappings for a case", 500, "two mappings for"),
    row(M::NamesCompared, "R9", "Google cases are compared by their full names", 10, "two mappings for"),
    row(M::OwnUnknown, "R10", "a poll does not see which case another mirrors", 50, "(R10)"),
    row(M::Backwards, "R11", "the newest comment comes first", 50, "after a later one (R11)"),
    row(M::NothingBlocked, "R11", "a write that failed holds up nothing that depends on it", 3000, "arrives"),
    row(M::NoLease, "R12", "leases are invisible to others, and every update wins", 20, "R14)"),
    row(M::PendingForgotten, "R13", "a write is not recorded before it is sent", 20, "R14)"),
    row(M::CreationForgotten, "R13", "a counterpart is created without looking for one", 100, "a second counterpart"),
    row(M::LedgerForgotten, "R14", "what was written is not remembered by its ID", 10, "once too often"),
    row(M::LaterStamp, "R15", "both listings go back to the later of the two stamps", 100, "out of reach (R7, R15)"),
    row(M::NoLimit, "R16", "a system says that its comments may be of any length", 10, "characters for"),
    row(M::HalfFiles, "R17", "a file that breaks off counts as whole", 500, "(R17)"),
    row(M::TriedForEver, "R17", "what a system can never take may be taken the next time", 50, "after 150 rounds"),
    row(M::NoBase, "R18", "the priority last agreed on is not remembered", 10, "something waits"),
    row(M::ClosingForgotten, "R19", "that the pair is resolved is not remembered", 20, "something waits"),
    row(M::FlagIgnored, "R20", "a case always counts as flagged", 20, "is not flagged (R20)"),
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

/// The first history in which the row's own check notices; others may have noticed before.
fn first_noticed(row: &Row) -> Option<Failure> {
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
        Ok(mut sweep) if is(world, M::OwnUnknown) => {
            sweep.cases.iter_mut().for_each(|case| case.counterpart = None);
            Ok(sweep)
        }
        sweep => sweep,
    }
}

pub(crate) fn got(world: &Shared, case: Option<Case>) -> Option<Case> {
    let flagged = is(world, M::FlagIgnored);
    case.map(|case| Case { synchronize: case.synchronize || flagged, ..case })
}

pub(crate) fn found(world: &Shared, case: Option<Case>) -> Option<Case> {
    case.filter(|_| !is(world, M::CreationForgotten))
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
        for mapping in open.filter(|mapping| mapping.is_open() && mapping.waiting == Sides::default()) {
            mapping.move_stored_synced_at(side, at);
            mapping.version += 1;
            world.writes += 1;
        }
    }
}

/// What the store is given.
pub(crate) fn stored(world: &Shared, mut mapping: CaseMapping) -> CaseMapping {
    match world.lock().mutation {
        Some(M::WaitingForgotten) => mapping.waiting = Sides::default(),
        Some(M::PendingForgotten) => {
            mapping.pending.clear();
            mapping.pending_creation = None;
            mapping.pending_status = None;
        }
        Some(M::LedgerForgotten) => mapping.ledger = Ledger::default(),
        Some(M::NoBase) => mapping.priority = None,
        Some(M::ClosingForgotten) => mapping.resolved_at = None,
        _ => {}
    }
    mapping
}

/// What the store gives out when a mapping is looked for.
pub(crate) fn shown(world: &Shared, mapping: Option<CaseMapping>) -> Option<CaseMapping> {
    let hidden = is(world, M::NoLease);
    mapping.map(|mapping| CaseMapping { lease: mapping.lease.clone().filter(|_| !hidden), ..mapping })
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
        (_, kind) => kind,
    };
    ApiError { kind, ..error }
}
