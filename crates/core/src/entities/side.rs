//! The two systems, and values that exist once for each.

use std::fmt;
use std::ops::{Index, IndexMut};

use serde::{Deserialize, Serialize};

/// One of the two systems that are kept in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Google Cloud Customer Care, through CSAPI.
    Google,
    /// The company's CRM.
    Company,
}

impl Side {
    /// Both sides, Google first.
    pub const BOTH: [Self; 2] = [Self::Google, Self::Company];

    /// Returns the other side.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Google => Self::Company,
            Self::Company => Self::Google,
        }
    }

    /// Returns `google` or `company`, as in property names and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::Company => "company",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A value for each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Sides<T> {
    /// Value for Google.
    pub google: T,
    /// Value for the company.
    pub company: T,
}

impl<T> Index<Side> for Sides<T> {
    type Output = T;

    fn index(&self, side: Side) -> &T {
        match side {
            Side::Google => &self.google,
            Side::Company => &self.company,
        }
    }
}

impl<T> IndexMut<Side> for Sides<T> {
    fn index_mut(&mut self, side: Side) -> &mut T {
        match side {
            Side::Google => &mut self.google,
            Side::Company => &mut self.company,
        }
    }
}
