//! Lists of pairs for people, by what they need.

use chrono::{DateTime, Utc};

use super::detect_outages::lateness;
use crate::entities::{CaseMapping, Global, Side, ToleranceTable};
use crate::store::MappingFilter;

/// Mappings to be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All mappings.
    All,
    /// Mappings that are not resolved.
    Open,
    /// Mappings with a dirty side.
    Dirty,
    /// Mappings whose company case names a counterpart that it cannot have.
    Conflicts,
    /// Mappings that are out of step for longer than their tolerance.
    Late,
}

impl Which {
    /// All of them, with their names in requests.
    pub const ALL: [(&'static str, Self); 5] = [
        ("all", Self::All),
        ("open", Self::Open),
        ("dirty", Self::Dirty),
        ("conflicts", Self::Conflicts),
        ("late", Self::Late),
    ];

    /// Returns the narrowest filter of a store that shows all of them.
    #[must_use]
    pub const fn filter(self) -> MappingFilter {
        match self {
            // A mapping that no poll has reached for long is late, and not marked.
            Self::All | Self::Late | Self::Conflicts => MappingFilter::All,
            Self::Open => MappingFilter::Open,
            Self::Dirty => MappingFilter::NeedsWatching,
        }
    }

    /// Returns true if a mapping that [`Which::filter`] has shown is one of them.
    #[must_use]
    pub fn holds(
        self,
        mapping: &CaseMapping,
        global: &Global,
        tolerances: &ToleranceTable,
        now: DateTime<Utc>,
    ) -> bool {
        match self {
            Self::All | Self::Open => true,
            Self::Dirty => Side::BOTH.into_iter().any(|side| mapping.dirty[side].is_some()),
            Self::Conflicts => mapping.state.conflict.is_some(),
            Self::Late => {
                let is_expected = mapping.state.conflict.is_none()
                    && !mapping.paused
                    && mapping.held().is_none()
                    && mapping.gone.is_none();
                is_expected && lateness(tolerances, global, mapping, now).is_some()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entities::{Conflict, ConflictCause, Dirty, FirstSeen, GoogleCaseName};

    fn start() -> DateTime<Utc> {
        "2026-03-01T10:00:00Z".parse().unwrap()
    }

    #[test]
    fn each_list_holds_what_its_name_says() {
        let now = start() + chrono::Duration::days(2);
        let name = GoogleCaseName::parse("organizations/1/cases/7").unwrap();
        let late = CaseMapping::first_seen(FirstSeen::Google(name), None, None, start());
        let clean = {
            let mut mapping = late.clone();
            mapping.dirty[Side::Google] = None;
            mapping.created_at = now;
            mapping
        };
        let mut dirty = clean.clone();
        dirty.dirty[Side::Company] = Some(Dirty::since(now));
        let mut conflict = late.clone();
        conflict.state.conflict = Some(Conflict {
            reason: "taken".to_owned(),
            since: start(),
            told: true,
            cause: ConflictCause::Claim,
        });
        let paused = CaseMapping { paused: true, ..late.clone() };
        let global = Global::default();
        let tolerances = ToleranceTable::default();
        for (what, mapping, expected) in [
            ("clean", &clean, vec!["all", "open"]),
            ("dirty", &dirty, vec!["all", "open", "dirty"]),
            ("late", &late, vec!["all", "open", "dirty", "late"]),
            ("in conflict", &conflict, vec!["all", "open", "dirty", "conflicts"]),
            ("paused", &paused, vec!["all", "open", "dirty"]),
        ] {
            let holds =
                Which::ALL.iter().filter(|(_, which)| which.holds(mapping, &global, &tolerances, now));
            assert_eq!(holds.map(|(name, _)| *name).collect::<Vec<_>>(), expected, "{what}");
        }
    }
}
