//! The three-way merge of the priority (`R18`).

use crate::entities::{Priority, PriorityReading, Side, Sides};

/// What a merge of priorities asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriorityMerge {
    /// Set this priority on these sides.
    pub set: Vec<(Side, Priority)>,
    /// Both sides then agree on this.
    pub agree: Option<Priority>,
    /// What a person should know.
    pub warning: Option<String>,
}

/// Merges the priorities of both sides, as a sync of `source` may: what only the other side changed is left to the other
/// sync. The side that differs from `base` has changed; if both have, the more urgent one wins on both.
#[must_use]
pub fn merge_priority(
    source: Side,
    base: Option<Priority>,
    google: &PriorityReading,
    company: &PriorityReading,
) -> PriorityMerge {
    let readings = Sides { google, company };
    let warning = match company {
        PriorityReading::Unknown(word) => Some(format!(
            "the company case's priority {word:?} is not among the configured [priorities]: no priority is carried"
        )),
        PriorityReading::Known(_) | PriorityReading::Unset => None,
    };
    if warning.is_some() {
        return PriorityMerge { warning, ..PriorityMerge::default() };
    }
    let changed = |side: Side| match readings[side] {
        PriorityReading::Known(set) if base.is_none_or(|base| !set.contains(base)) => set.most_urgent(),
        PriorityReading::Known(_) | PriorityReading::Unknown(_) | PriorityReading::Unset => None,
    };
    let winner = match (changed(source), changed(source.other())) {
        (Some(ours), Some(theirs)) => ours.min(theirs),
        (Some(ours), None) => ours,
        (None, _) => return PriorityMerge::default(),
    };
    let holds = |side: Side| matches!(readings[side], PriorityReading::Known(set) if set.contains(winner));
    let set = Side::BOTH.into_iter().filter(|side| !holds(*side)).map(|side| (side, winner)).collect();
    PriorityMerge { set, agree: Some(winner), warning: None }
}
