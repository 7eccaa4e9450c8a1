//! Turning a rule off, to prove that the simulation would notice: what the rule sees or remembers is taken away where the
//! core meets the outside, so that the core itself needs no switches.

use casebridge::cases::{Case, Comment, Sweep};
use casebridge::entities::CaseMapping;
use chrono::{DateTime, Utc};

use crate::history::Side;
use crate::world::{Shared, World};

/// A rule that is turned off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mutation {}

pub(crate) fn searched(_world: &Shared, sweep: Sweep) -> Sweep {
    sweep
}

pub(crate) fn got(_world: &Shared, case: Option<Case>) -> Option<Case> {
    case
}

pub(crate) fn found(_world: &Shared, case: Option<Case>) -> Option<Case> {
    case
}

pub(crate) fn listed(_world: &Shared, _side: Side, _case: &str, comments: Vec<Comment>) -> Vec<Comment> {
    comments
}

pub(crate) fn watermark(_world: &Shared, at: DateTime<Utc>) -> DateTime<Utc> {
    at
}

pub(crate) fn stored(_world: &Shared, mapping: CaseMapping) -> CaseMapping {
    mapping
}

pub(crate) fn allows_twins(_world: &World) -> bool {
    false
}

pub(crate) fn ignores_versions(_world: &World) -> bool {
    false
}
