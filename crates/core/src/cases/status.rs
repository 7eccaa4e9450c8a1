//! Statuses of company cases, as a system lists them. `casebridge check` compares the configuration with them.

/// Length that the field for Google's state has to hold, in characters.
pub const GOOGLE_STATE_ROOM: usize = 60;

/// Status that a company case can have, or a way to one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownStatus {
    /// Names that the configuration may use: name, ID, label.
    pub names: Vec<String>,
    /// Words for people.
    pub shown: String,
    /// True if a case with this status is closed, so that it is no status for an open case.
    pub closed: bool,
    /// True if it is only a way to a status, such as a transition: it can be set, and no case has it.
    pub is_way: bool,
}

impl KnownStatus {
    /// Returns true if the configuration means this status.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        self.names.iter().any(|known| is_same_name(known, name))
    }
}

/// Statuses that a system has told of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Statuses {
    /// Known statuses.
    pub known: Vec<KnownStatus>,
    /// True if there are no others.
    pub complete: bool,
}

/// Returns true if both are the same name of a status, compared without case and blanks around it.
#[must_use]
pub fn is_same_name(one: &str, other: &str) -> bool {
    one.trim().to_lowercase() == other.trim().to_lowercase()
}
