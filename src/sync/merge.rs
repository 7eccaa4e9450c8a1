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
        (Some(ours), Some(theirs)) => shared(google, company).unwrap_or(ours.min(theirs)),
        (Some(ours), None) => ours,
        (None, _) => return PriorityMerge::default(),
    };
    let holds = |side: Side| matches!(readings[side], PriorityReading::Known(set) if set.contains(winner));
    let set = Side::BOTH.into_iter().filter(|side| !holds(*side)).map(|side| (side, winner)).collect();
    PriorityMerge { set, agree: Some(winner), warning: None }
}

/// The level that both sides stand for already, whatever else a word may mean.
fn shared(google: &PriorityReading, company: &PriorityReading) -> Option<Priority> {
    match (google, company) {
        (PriorityReading::Known(google), PriorityReading::Known(company)) => {
            google.and(*company).most_urgent()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Priority::{P0, P1, P2, P3, P4};

    /// The priorities to set, and what both sides then agree on.
    type Expected = Option<(&'static [(Side, Priority)], Priority)>;

    fn known(levels: &[Priority]) -> PriorityReading {
        PriorityReading::Known(levels.iter().copied().collect())
    }

    #[test]
    fn priorities_are_merged_three_ways() {
        use PriorityReading::Unset;
        use Side::{Company, Google};
        let p = |level| known(&[level]);
        // base, Google's, the company's → what a sync of Google does, what a sync of the company does
        let cases: [(Option<Priority>, PriorityReading, PriorityReading, Expected, Expected); 16] = [
            (Some(P2), p(P2), p(P2), None, None),
            // One side changed: its own sync carries it.
            (Some(P2), p(P1), p(P2), Some((&[(Company, P1)], P1)), None),
            (Some(P2), p(P2), p(P3), None, Some((&[(Google, P3)], P3))),
            // Both changed: the more urgent one wins on both.
            (Some(P2), p(P1), p(P0), Some((&[(Google, P0)], P0)), Some((&[(Google, P0)], P0))),
            (Some(P2), p(P3), p(P4), Some((&[(Company, P3)], P3)), Some((&[(Company, P3)], P3))),
            (Some(P2), p(P4), p(P4), Some((&[], P4)), Some((&[], P4))),
            // No base yet.
            (None, p(P3), p(P1), Some((&[(Google, P1)], P1)), Some((&[(Google, P1)], P1))),
            (None, p(P3), Unset, Some((&[(Company, P3)], P3)), None),
            (None, Unset, Unset, None, None),
            // A side without a priority has changed nothing.
            (Some(P2), p(P2), Unset, None, None),
            (Some(P2), p(P1), Unset, Some((&[(Company, P1)], P1)), None),
            // A word that stands for several levels holds each of them.
            (Some(P1), p(P1), known(&[P0, P1]), None, None),
            (Some(P0), p(P1), known(&[P0, P1]), Some((&[], P1)), None),
            (Some(P2), p(P2), known(&[P3, P4]), None, Some((&[(Google, P3)], P3))),
            // Both chose what that word stands for: nobody's choice is overwritten.
            (Some(P2), p(P4), known(&[P3, P4]), Some((&[], P4)), Some((&[], P4))),
            (Some(P4), p(P0), known(&[P3, P4]), Some((&[(Company, P0)], P0)), None),
        ];
        for (base, google, company, of_google, of_company) in cases {
            for (source, expected) in [(Google, of_google), (Company, of_company)] {
                let merge = merge_priority(source, base, &google, &company);
                let expected = expected.map_or_else(PriorityMerge::default, |(set, agree)| PriorityMerge {
                    set: set.to_vec(),
                    agree: Some(agree),
                    warning: None,
                });
                assert_eq!(merge, expected, "{source}: base {base:?}, {google:?}, {company:?}");
            }
        }
    }

    #[test]
    fn a_word_that_the_configuration_lacks_is_a_warning_and_no_change() {
        for source in Side::BOTH {
            let unknown = PriorityReading::Unknown("Blocker".to_owned());
            let merge = merge_priority(source, Some(P2), &known(&[P0]), &unknown);
            assert!(merge.set.is_empty() && merge.agree.is_none());
            assert!(merge.warning.is_some_and(|warning| warning.contains("Blocker")));
        }
    }
}
