//! A CRM as the table of scenarios has it: what it is like, as data, and how to open one.

use std::sync::Arc;
use std::time::Duration as StdDuration;

use async_trait::async_trait;
use casebridge::cases::{Capabilities, CaseSystem};
use casebridge::clock::SharedClock;
use casebridge::entities::Priority;
use chrono::Duration;

use super::backend::Backend;
use super::desk::Desk;

/// A kind of CRM: opens a new, empty one as often as asked.
#[async_trait]
pub(crate) trait Crm: Send + Sync {
    /// What it is like. Takes no running CRM.
    async fn description(&self) -> Description;

    /// A new one with nothing in it.
    async fn open(&self, clock: &SharedClock, setup: &Setup) -> Company;

    /// What keeps the mappings and delivers the tasks beside it; without it, what suits its clock.
    fn backend(&self) -> Option<Arc<dyn Backend>> {
        None
    }
}

/// A running CRM: the people who work with it, and the adapter in front of it.
pub(crate) struct Company {
    pub(crate) desk: Arc<dyn Desk>,
    pub(crate) system: Arc<dyn CaseSystem>,
}

/// How a CRM is to be set up.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    /// How long one call to either system may take.
    pub(crate) timeout: StdDuration,
    /// The largest file that it takes, in bytes; without it, its own limit.
    pub(crate) attachment_limit: Option<u64>,
    /// Whether what is closed stays closed.
    pub(crate) closing_is_final: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { timeout: StdDuration::from_secs(10), attachment_limit: None, closing_is_final: false }
    }
}

/// All by which scenarios differ between CRMs: what the adapter says of itself, and what a test can do with this one.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a CRM")]
pub(crate) struct Description {
    /// What the column is called.
    pub(crate) name: &'static str,
    /// What the adapter says.
    pub(crate) capabilities: Capabilities,
    /// For each level, the levels that the CRM does not tell from it: it has fewer words than levels.
    pub(crate) same_priority: fn(Priority, Priority) -> bool,
    /// Whether a person can give a file this name.
    pub(crate) takes_file_name: fn(&str) -> bool,
    /// How much longer than usual a burst may take, where the CRM allows only so many changes in a time.
    pub(crate) patience: Duration,
    /// Whether time is the test's.
    pub(crate) clock_in_hand: bool,
    /// Whether its answers can be spoiled.
    pub(crate) faults: bool,
    /// Whether it can be set up otherwise than usual: see [`Setup`].
    pub(crate) setups: bool,
    /// Whether a case can be hidden from the connector for a while.
    pub(crate) hiding: bool,
    /// Whether a case that nobody opens again takes comments.
    pub(crate) sealed_takes_comments: bool,
    /// Whether people can delete a comment.
    pub(crate) deleting_comments: bool,
    /// Whether people can delete a file.
    pub(crate) deleting_files: bool,
}

/// What a scenario cannot do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    ClockInHand,
    Faults,
    Setups,
    Hiding,
    InternalComments,
    DeletingComments,
    DeletingFiles,
}

impl Description {
    /// Why that need is not met, if it is not.
    pub(crate) fn lacks(&self, need: Need) -> Option<&'static str> {
        let (met, reason) = match need {
            Need::ClockInHand => (self.clock_in_hand, "its time cannot be moved"),
            Need::Faults => (self.faults, "its answers cannot be spoiled"),
            Need::Setups => (self.setups, "its limits cannot be changed"),
            Need::Hiding => (self.hiding, "no case can be hidden for a while"),
            Need::InternalComments => (self.capabilities.internal_comments, "has no internal comments"),
            Need::DeletingComments => (self.deleting_comments, "nobody can delete a comment"),
            Need::DeletingFiles => (self.deleting_files, "nobody can delete a file"),
        };
        (!met).then_some(reason)
    }

    /// The reasons why a scenario with these needs does not apply; none if it does.
    pub(crate) fn lacks_any(&self, needs: &[Need]) -> Vec<&'static str> {
        needs.iter().filter_map(|need| self.lacks(*need)).collect()
    }
}
