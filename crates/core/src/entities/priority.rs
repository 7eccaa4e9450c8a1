//! Priority levels, and sets of levels that one word of a CRM stands for.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Priority level, `P0` (most urgent) to `P4`; stored as the integers 0 to 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
#[expect(missing_docs, reason = "the names are the documented levels")]
pub enum Priority {
    P0,
    P1,
    P2,
    P3,
    P4,
}

impl Priority {
    /// All levels, most urgent first.
    pub const ALL: [Self; 5] = [Self::P0, Self::P1, Self::P2, Self::P3, Self::P4];

    /// Returns the level as a number, 0 to 4.
    #[must_use]
    pub const fn level(self) -> u8 {
        match self {
            Self::P0 => 0,
            Self::P1 => 1,
            Self::P2 => 2,
            Self::P3 => 3,
            Self::P4 => 4,
        }
    }

    /// Returns the name, `P0` to `P4`, as CSAPI writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P0 => "P0",
            Self::P1 => "P1",
            Self::P2 => "P2",
            Self::P3 => "P3",
            Self::P4 => "P4",
        }
    }

    /// Returns the level with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|priority| priority.name() == name)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.level()
    }
}

impl TryFrom<u8> for Priority {
    type Error = String;

    fn try_from(level: u8) -> Result<Self, String> {
        Self::ALL
            .get(usize::from(level))
            .copied()
            .ok_or_else(|| format!("{level} is not a priority level: 0 to 4"))
    }
}

/// Set of levels, such as those that one word of a CRM with fewer words than levels stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrioritySet(u8);

impl PrioritySet {
    /// Returns true if the set contains `priority`.
    #[must_use]
    pub const fn contains(self, priority: Priority) -> bool {
        self.0 & (1 << priority.level()) != 0
    }

    /// Returns the intersection with the other set.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Returns the most urgent level of the set; `None` if the set is empty.
    #[must_use]
    pub fn most_urgent(self) -> Option<Priority> {
        Priority::ALL.into_iter().find(|priority| self.contains(*priority))
    }
}

impl From<Priority> for PrioritySet {
    fn from(priority: Priority) -> Self {
        Self(1 << priority.level())
    }
}

impl FromIterator<Priority> for PrioritySet {
    fn from_iter<I: IntoIterator<Item = Priority>>(priorities: I) -> Self {
        Self(priorities.into_iter().fold(0, |set, priority| set | 1 << priority.level()))
    }
}

/// Priority of a case as its side shows it (`R18`: priority).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PriorityReading {
    /// A word that the configuration maps to one level or more. Never empty.
    Known(PrioritySet),
    /// A word that the configuration lacks. It causes a warning and no change.
    Unknown(String),
    /// No priority: the field is empty or absent.
    #[default]
    Unset,
}

impl PriorityReading {
    /// Creates a reading of exactly this level.
    #[must_use]
    pub fn exactly(priority: Priority) -> Self {
        Self::Known(priority.into())
    }

    /// Returns the level: the most urgent one if the word stands for several.
    #[must_use]
    pub fn level(&self) -> Option<Priority> {
        match self {
            Self::Known(set) => set.most_urgent(),
            Self::Unknown(_) | Self::Unset => None,
        }
    }
}
