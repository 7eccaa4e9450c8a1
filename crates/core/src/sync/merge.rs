//! The three-way merge of the priority (`R18`: priority; `R30`: merge base).

use crate::entities::{Priority, PriorityReading, Side, Sides};

/// Priorities of both sides, with the recorded values that the merge needs.
#[derive(Debug, Clone, Copy)]
pub struct Priorities<'a> {
    /// Merge base: value that both sides have been seen to hold; `None` if there is none yet.
    pub base: Option<Priority>,
    /// Value that was written to each side, and with which the side was not read yet.
    pub told: Sides<Option<Priority>>,
    /// Value that each side refused to hold.
    pub unheld: Sides<Option<Priority>>,
    /// Priority of the Google case.
    pub google: &'a PriorityReading,
    /// Priority of the company case.
    pub company: &'a PriorityReading,
}

/// Result of a merge of priorities.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriorityMerge {
    /// Priorities to set, each with its side.
    pub set: Vec<(Side, Priority)>,
    /// Priority that both sides hold, or have held: it is the base from now on.
    pub agree: Option<Priority>,
    /// Warning for a person, given once; with a short code that stays the same as long as it is the same warning.
    pub warning: Option<(String, String)>,
}

impl PriorityMerge {
    fn warning(code: impl Into<String>, text: impl Into<String>) -> Self {
        Self { warning: Some((code.into(), text.into())), ..Self::default() }
    }
}

/// Merges the priorities of both sides in a sync of `source`. A change that only the other side made is left to the other side's sync. The
/// side that differs from the base has changed. If both have, or if there is no base, the more urgent priority wins on both.
///
/// A side without a priority, or with an unknown one, decides nothing, and Google's priority is not changed then. A value that was set
/// becomes the base only after the side that it was written to has been read with it: then both sides have held it (`R30`: merge base).
#[must_use]
pub fn merge_priority(source: Side, priorities: Priorities<'_>) -> PriorityMerge {
    let Priorities { base, told, unheld, google, company } = priorities;
    let (google_set, company_set) = match (google, company) {
        (_, PriorityReading::Unknown(word)) => {
            return PriorityMerge::warning(
                format!("priority company {word}"),
                format!(
                    "the company case's priority {word:?} is not among the configured [priorities]: no priority is carried"
                ),
            );
        }
        (PriorityReading::Unknown(word), _) => {
            return PriorityMerge::warning(
                format!("priority google {word}"),
                format!(
                    "the Google case's priority {word:?} is not one that is known, P0 to P4: no priority is carried"
                ),
            );
        }
        (PriorityReading::Unset, PriorityReading::Unset) => {
            return PriorityMerge::warning("priority none", "neither case has a priority: none is carried");
        }
        (PriorityReading::Unset, PriorityReading::Known(_)) => {
            return PriorityMerge::warning(
                "priority google",
                "the Google case has no priority: none is carried, and the company case keeps its own",
            );
        }
        (PriorityReading::Known(google), PriorityReading::Unset) => (*google, None),
        (PriorityReading::Known(google), PriorityReading::Known(company)) => (*google, Some(*company)),
    };
    let Some(company_set) = company_set else {
        let wanted = google_set.most_urgent().filter(|_| source == Side::Google);
        let set = wanted.filter(|wanted| unheld.company != Some(*wanted));
        return PriorityMerge {
            set: set.map(|priority| (Side::Company, priority)).into_iter().collect(),
            ..PriorityMerge::default()
        };
    };
    let sets = Sides { google: google_set, company: company_set };
    if base.is_some_and(|base| google_set.and(company_set).contains(base)) {
        return PriorityMerge::default();
    }
    if let Some(shared) = google_set.and(company_set).most_urgent() {
        return PriorityMerge { agree: Some(shared), ..PriorityMerge::default() };
    }
    // A side that holds the value that was written to it: the other side held the value at that time, and has changed since.
    let held = |side: Side| told[side].filter(|told| sets[side].contains(*told));
    let held = held(source).or_else(|| held(source.other()));
    let base = held.or(base);
    let changed = |side: Side| {
        let set = sets[side];
        if base.is_none_or(|base| !set.contains(base)) { set.most_urgent() } else { None }
    };
    let winner = match (changed(source), changed(source.other())) {
        (Some(ours), Some(theirs)) => ours.min(theirs),
        (Some(ours), None) => ours,
        (None, _) => return PriorityMerge { agree: held, ..PriorityMerge::default() },
    };
    let holds = |side: Side| match side {
        Side::Google => google_set.contains(winner),
        Side::Company => company_set.contains(winner),
    };
    let set = Side::BOTH
        .into_iter()
        .filter(|side| !holds(*side) && unheld[*side] != Some(winner))
        .map(|side| (side, winner))
        .collect();
    PriorityMerge { set, agree: held, ..PriorityMerge::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Priority::{P0, P1, P2, P3, P4};
    use PriorityReading::Unset;
    use Side::{Company, Google};

    /// Priorities to set, and the priority that both sides agree on.
    type Expected = (&'static [(Side, Priority)], Option<Priority>);

    const NOTHING: Expected = (&[], None);

    fn known(levels: &[Priority]) -> PriorityReading {
        PriorityReading::Known(levels.iter().copied().collect())
    }

    fn merge(
        source: Side,
        base: Option<Priority>,
        google: &PriorityReading,
        company: &PriorityReading,
    ) -> PriorityMerge {
        let (told, unheld) = (Sides::default(), Sides::default());
        merge_priority(source, Priorities { base, told, unheld, google, company })
    }

    #[test]
    fn what_a_side_was_told_is_the_base_once_it_holds_it() {
        let (p0, p3) = (known(&[P0]), known(&[P3]));
        let unheld = Sides::default();
        let merge = |source: Side, told: Sides<Option<Priority>>, google, company| {
            let merged = merge_priority(source, Priorities { base: Some(P0), told, unheld, google, company });
            (merged.set, merged.agree)
        };
        let told = Sides { google: Some(P3), company: None };
        // The company's P3 was carried to Google, and then the company's was set back. No person chose Google's value.
        assert_eq!(merge(Company, told, &p3, &p0), (vec![(Google, P0)], Some(P3)));
        assert_eq!(merge(Google, told, &p3, &p0), (Vec::new(), Some(P3)));
        // The value was written, and did not arrive.
        assert_eq!(merge(Company, told, &p0, &p3), (vec![(Google, P3)], None));
        // Without a written value, Google's value is its own.
        assert_eq!(merge(Google, Sides::default(), &p3, &p0), (vec![(Company, P3)], None));
    }

    #[test]
    fn priorities_are_merged_three_ways() {
        let p = |level| known(&[level]);
        // base, Google's priority, the company's priority → result of a sync of Google, result of a sync of the company
        let cases: [(Option<Priority>, PriorityReading, PriorityReading, Expected, Expected); 17] = [
            (Some(P2), p(P2), p(P2), NOTHING, NOTHING),
            // One side changed: its own sync carries it.
            (Some(P2), p(P1), p(P2), (&[(Company, P1)], None), NOTHING),
            (Some(P2), p(P2), p(P3), NOTHING, (&[(Google, P3)], None)),
            // Both changed: the more urgent one wins on both.
            (Some(P2), p(P1), p(P0), (&[(Google, P0)], None), (&[(Google, P0)], None)),
            (Some(P2), p(P3), p(P4), (&[(Company, P3)], None), (&[(Company, P3)], None)),
            // A value that was set becomes the base once both sides were read with it.
            (Some(P2), p(P4), p(P4), (&[], Some(P4)), (&[], Some(P4))),
            (None, p(P4), p(P4), (&[], Some(P4)), (&[], Some(P4))),
            // No base: nothing is lowered, whichever side is synced.
            (None, p(P3), p(P1), (&[(Google, P1)], None), (&[(Google, P1)], None)),
            (None, p(P0), p(P2), (&[(Company, P0)], None), (&[(Company, P0)], None)),
            (None, p(P3), Unset, (&[(Company, P3)], None), NOTHING),
            // A side without a priority has changed nothing, and Google's priority is not written for it.
            (Some(P2), Unset, p(P3), NOTHING, NOTHING),
            (None, Unset, p(P2), NOTHING, NOTHING),
            (None, Unset, Unset, NOTHING, NOTHING),
            // A word that stands for several levels holds each of them.
            (Some(P1), p(P1), known(&[P0, P1]), NOTHING, NOTHING),
            (Some(P0), p(P1), known(&[P0, P1]), (&[], Some(P1)), (&[], Some(P1))),
            (Some(P2), p(P2), known(&[P3, P4]), NOTHING, (&[(Google, P3)], None)),
            (Some(P4), p(P0), known(&[P3, P4]), (&[(Company, P0)], None), NOTHING),
        ];
        for (base, google, company, of_google, of_company) in cases {
            for (source, (set, agree)) in [(Google, of_google), (Company, of_company)] {
                let merged = merge(source, base, &google, &company);
                assert_eq!(
                    (merged.set.as_slice(), merged.agree),
                    (set, agree),
                    "{source}: {base:?}, {google:?}, {company:?}"
                );
            }
        }
    }

    #[test]
    fn what_a_side_cannot_hold_is_not_set_again_and_the_other_keeps_its_own() {
        let unheld = Sides { google: None, company: Some(P1) };
        for (base, google, set) in [
            (Some(P2), P1, &[][..]),
            (None, P1, &[][..]),
            // Another value is tried.
            (Some(P2), P0, &[(Company, P0)][..]),
        ] {
            for source in Side::BOTH {
                let (google, company) = (known(&[google]), known(&[P2]));
                let told = Sides::default();
                let merged = merge_priority(
                    source,
                    Priorities { base, told, unheld, google: &google, company: &company },
                );
                let expected = if source == Google || base.is_none() { set } else { &[] };
                assert_eq!(
                    (merged.set.as_slice(), merged.agree),
                    (expected, None),
                    "{source} {base:?} {google:?}"
                );
            }
        }
    }

    #[test]
    fn a_word_that_is_not_known_is_a_warning_and_no_change() {
        let word = PriorityReading::Unknown("Blocker".to_owned());
        for source in Side::BOTH {
            for (google, company) in
                [(known(&[P0]), word.clone()), (word.clone(), known(&[P2])), (word.clone(), Unset)]
            {
                let merged = merge(source, Some(P2), &google, &company);
                assert!(merged.set.is_empty() && merged.agree.is_none());
                assert!(
                    merged
                        .warning
                        .is_some_and(|(code, text)| code.contains("Blocker") && text.contains("Blocker"))
                );
            }
        }
    }
}
