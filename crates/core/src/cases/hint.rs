//! Push hints: a system says that a case may have changed. Only a hint: the case itself is read anyway (`R26`: empty answers need proof).

use crate::entities::{FirstSeen, ItemKind};

/// Event that a system has sent about a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Case that may have changed.
    pub case: FirstSeen,
    /// Comment or attachment that the event is about, if it names one.
    pub item: Option<(ItemKind, String)>,
    /// User who caused the event, as the system's webhooks name users; `None` if it does not tell.
    pub user: Option<String>,
}

/// Reason why a push message is refused. The texts quote nothing of the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The sender did not prove who they are.
    #[error("{0}")]
    Unproven(&'static str),
    /// The message does not have the documented shape.
    #[error("{0}")]
    Malformed(&'static str),
    /// The proof cannot be verified now. The sender has to send the message again.
    #[error("{0}")]
    Unavailable(String),
}

impl Refusal {
    /// Returns the name in metrics.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Unproven(_) => "unproven",
            Self::Malformed(_) => "malformed",
            Self::Unavailable(_) => "unavailable",
        }
    }
}
