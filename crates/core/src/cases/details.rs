//! Details of a company case that routes to Google go by, and addresses of the people around it. They are read only where a configuration
//! needs them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::entities::EscalationReason;

/// Place on a company case at which addresses of people are found.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PeopleSource {
    /// Person who reported the case.
    Reporter,
    /// People who follow the case.
    Watchers,
    /// Field of the CRM, by name or ID.
    Field(String),
}

impl PeopleSource {
    /// Parses `reporter`, `watchers` or `field:NAME`. `ccs` is another name of `watchers`: the people in copy are those who follow a case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "reporter" => Some(Self::Reporter),
            "watchers" | "ccs" => Some(Self::Watchers),
            other => {
                let name = other.strip_prefix("field:")?.trim();
                (!name.is_empty()).then(|| Self::Field(name.to_owned()))
            }
        }
    }

    /// Returns the name of the field, if it is one.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Reporter | Self::Watchers => None,
            Self::Field(name) => Some(name),
        }
    }
}

impl fmt::Display for PeopleSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reporter => f.write_str("reporter"),
            Self::Watchers => f.write_str("watchers"),
            Self::Field(name) => write!(f, "field:{name}"),
        }
    }
}

/// Details to read of a company case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// True to read project, type, components and labels.
    pub terms: bool,
    /// Fields to read, by the CRM's names or IDs.
    pub fields: BTreeSet<String>,
    /// Places to read addresses from.
    pub people: Vec<PeopleSource>,
}

impl Wanted {
    /// True if nothing is to be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the names of all fields that are read, for values or for addresses.
    pub fn all_fields(&self) -> impl Iterator<Item = &str> {
        let people = self.people.iter().filter_map(PeopleSource::field);
        self.fields.iter().map(String::as_str).chain(people)
    }

    /// True if addresses are read from there.
    #[must_use]
    pub fn has(&self, source: &PeopleSource) -> bool {
        self.people.contains(source)
    }
}

/// Details of a company case. Each list holds every name of a thing: its key, its name, its ID.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Details {
    /// Project, brand, table or queue.
    pub project: Vec<String>,
    /// Type or category.
    pub issue_type: Vec<String>,
    /// Components, or the group.
    pub component: Vec<String>,
    /// Labels or tags.
    pub label: Vec<String>,
    /// Values of the wanted fields, by the names under which they are wanted. A field without a value has no entry.
    pub fields: BTreeMap<String, Vec<String>>,
    /// Addresses of people as they stand there: not checked, and each as often as it was found.
    pub people: Vec<String>,
}

/// Wish of a company case to have its Google case escalated, as the configured rule reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raised {
    /// The case is not raised.
    No,
    /// The case is raised.
    For {
        /// Reason that the case's word stands for.
        reason: EscalationReason,
        /// Justification in a field of the case.
        justification: Option<String>,
    },
    /// The case is raised with this word, which stands for no reason.
    Unknown(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_of_people_is_read_and_written_alike() {
        for text in ["reporter", "watchers", "field:Request participants", "field:customfield_10050"] {
            assert_eq!(PeopleSource::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(PeopleSource::parse(" ccs "), Some(PeopleSource::Watchers));
        for text in ["", "cc", "Reporter", "field:", "field: ", "watcher", "fields:x"] {
            assert_eq!(PeopleSource::parse(text), None, "{text:?}");
        }
        assert_eq!(PeopleSource::parse(" field: a b ").unwrap().field(), Some("a b"));
    }
}
