//! CRM in the table of scenarios: its properties as data, and the way to open one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration as StdDuration;

use async_trait::async_trait;
use casebridge::cases::{Capabilities, CaseSystem, LinkDetail};
use casebridge::clock::SharedClock;
use casebridge::crm::CrmKind;
use casebridge::entities::Priority;
use casebridge::outbound::{Credentials, NoCredentials};
use casebridge::sandbox::oauth::OauthClient;
use chrono::Duration;

use super::backend::Backend;
use super::desk::Desk;

/// Kind of CRM, which opens a new, empty one on each call.
#[async_trait]
pub trait Crm: Send + Sync {
    /// Returns the properties of the CRM. Needs no running CRM.
    async fn description(&self) -> Description;

    /// Opens a new, empty CRM.
    async fn open(&self, clock: &SharedClock, setup: &Setup) -> Company;

    /// Returns the store and queue to use with it; `None` for those that suit its clock.
    fn backend(&self) -> Option<Arc<dyn Backend>> {
        None
    }
}

/// Running CRM: the people who work with it, and the adapter in front of it.
pub struct Company {
    pub desk: Arc<dyn Desk>,
    pub system: Arc<dyn CaseSystem>,
}

/// Setup of a CRM.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Timeout of a call to either system.
    pub timeout: StdDuration,
    /// Maximum size of a file, in bytes; `None` for the CRM's own limit.
    pub attachment_limit: Option<u64>,
    /// True if a closed case cannot be reopened.
    pub closing_is_final: bool,
    /// True if a field shows Google's state.
    pub state_field: bool,
    /// OAuth client whose access tokens are the only accepted credentials; `None` accepts anybody.
    pub tokens: Option<OauthClient>,
}

/// Secret of [`Setup::tokens`], a client with the ID `casebridge`.
pub const CLIENT_SECRET: &str = "the-secret-of-the-client";

impl Setup {
    /// Returns the credentials that the adapter needs, once its settings name the OAuth client.
    pub fn credentials(&self, ours: &impl CrmKind, address: SocketAddr) -> Arc<dyn Credentials> {
        let site = format!("http://{address}").parse().unwrap();
        match &self.tokens {
            Some(_) => ours.credentials(CLIENT_SECRET, &site).unwrap(),
            None => Arc::new(NoCredentials),
        }
    }

    /// Returns the settings `client_id` and `client_secret`.
    pub fn client(&self) -> (Option<String>, Option<String>) {
        self.tokens.as_ref().map(|_| ("casebridge".to_owned(), "env:X".to_owned())).unzip()
    }
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            timeout: StdDuration::from_secs(10),
            attachment_limit: None,
            closing_is_final: false,
            state_field: false,
            tokens: None,
        }
    }
}

/// Differences between CRMs that scenarios depend on: the adapter's capabilities, and the abilities of a test on this CRM.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about a CRM")]
pub struct Description {
    /// Title of the CRM's column.
    pub name: &'static str,
    /// Capabilities that the adapter reports.
    pub capabilities: Capabilities,
    /// True if the CRM cannot tell these two levels apart, since it has fewer words than levels.
    pub same_priority: fn(Priority, Priority) -> bool,
    /// True if a person can give a file this name.
    pub takes_file_name: fn(&str) -> bool,
    /// Additional time that a burst may take, if the CRM limits the rate of changes.
    pub patience: Duration,
    /// True if the test controls the CRM's clock.
    pub clock_in_hand: bool,
    /// True if faults can be injected into its answers.
    pub faults: bool,
    /// True if it can be set up in unusual ways: see [`Setup`].
    pub setups: bool,
    /// True if a case can be hidden from the connector for a while.
    pub hiding: bool,
    /// True if a case that cannot be reopened accepts comments.
    pub sealed_takes_comments: bool,
    /// True if people can delete a comment.
    pub deleting_comments: bool,
    /// True if people can delete a file.
    pub deleting_files: bool,
    /// Parts of a link to a Google case that a case shows. `None` if there is no place for one.
    pub remote_link: Option<LinkDetail>,
    /// True if the connector adds and removes labels.
    pub labels: bool,
    /// True if a comment can carry a mark that programs read.
    pub marks: bool,
    /// Statuses of its cases.
    pub turns: Turns,
}

/// Statuses of a CRM, by the names that the configuration uses.
#[derive(Debug, Clone, Copy)]
pub struct Turns {
    /// Status of a new case.
    pub first: &'static str,
    /// Status while Google works on a case.
    pub google: &'static str,
    /// Status while Google waits.
    pub ours: &'static str,
    /// Status that no way leads to.
    pub nowhere: &'static str,
    /// Status of a closed case.
    pub closed: &'static str,
}

/// Ability that a scenario depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    ClockInHand,
    Faults,
    Setups,
    Hiding,
    InternalComments,
    EditingComments,
    DeletingComments,
    DeletingFiles,
    ExpiringTokens,
    RemoteLinks,
    Labels,
    Marks,
}

impl Description {
    /// Returns the reason why the CRM does not meet the need; `None` if it does.
    pub fn lacks(&self, need: Need) -> Option<&'static str> {
        let (met, reason) = match need {
            Need::ClockInHand => (self.clock_in_hand, "its time cannot be moved"),
            Need::Faults => (self.faults, "its answers cannot be spoiled"),
            Need::Setups => (self.setups, "its limits cannot be changed"),
            Need::Hiding => (self.hiding, "no case can be hidden for a while"),
            Need::InternalComments => (self.capabilities.internal_comments, "has no internal comments"),
            Need::EditingComments => (self.capabilities.comments_change, "nobody can edit a comment"),
            Need::DeletingComments => (self.deleting_comments, "nobody can delete a comment"),
            Need::ExpiringTokens => (self.setups, "its tokens do not expire"),
            Need::RemoteLinks => (self.remote_link.is_some(), "shows no links to other systems"),
            Need::Labels => (self.labels, "the connector sets no labels there"),
            Need::Marks => (self.marks, "its comments carry no marks"),
            Need::DeletingFiles => (self.deleting_files, "nobody can delete a file"),
        };
        (!met).then_some(reason)
    }

    /// Returns the reasons why a scenario with these needs does not apply; none if it does.
    pub fn lacks_any(&self, needs: &[Need]) -> Vec<&'static str> {
        needs.iter().filter_map(|need| self.lacks(*need)).collect()
    }
}
