//! Setup of a sandbox Zendesk: what differs between accounts, plans and roles; and its bad manners while it answers 200.

use serde::{Deserialize, Serialize};

/// Which callers are let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SandboxZendeskAuth {
    /// Any credentials or none.
    Anyone,
    /// `Authorization: Basic` with `{email}/token` and an API token.
    ApiToken {
        /// The agent's e-mail address.
        email: String,
        /// The API token.
        token: String,
    },
    /// `Authorization: Bearer` with an OAuth access token.
    Bearer {
        /// The access token.
        token: String,
    },
}

/// The settings of a [`super::SandboxZendesk`]; start from [`Default`].
#[derive(Debug, Clone)]
pub struct SandboxZendeskSettings {
    /// Which callers are let in.
    pub auth: SandboxZendeskAuth,
    /// The largest upload, in bytes.
    pub attachment_limit: u64,
    /// The longest comment as it is stored, in bytes of UTF-8.
    pub comment_limit: usize,
    /// Requests a minute for the whole account: what the plan allows.
    pub requests_per_minute: usize,
    /// Updates of one ticket by one user within ten minutes.
    pub updates_per_ticket: usize,
    /// Calls of the incremental exports a minute.
    pub exports_per_minute: usize,
    /// The most items on one page of a listing; one of an incremental export holds ten times as many.
    pub page_limit: usize,
    /// Whether the asking user is an administrator; an agent may not use the incremental exports.
    pub admin: bool,
    /// Whether the asking user may add private comments only (a light agent).
    pub only_private_comments: bool,
    /// Whether the field `Root cause` must hold something before a ticket can be solved.
    pub root_cause_required: bool,
    /// The name of the user that the REST callers are.
    pub account: String,
}

impl Default for SandboxZendeskSettings {
    fn default() -> Self {
        Self {
            auth: SandboxZendeskAuth::Anyone,
            attachment_limit: 50 * 1024 * 1024,
            comment_limit: 65_535,
            requests_per_minute: 2_500,
            updates_per_ticket: 30,
            exports_per_minute: 10,
            page_limit: 100,
            admin: true,
            only_private_comments: false,
            root_cause_required: false,
            account: "Casebridge".to_owned(),
        }
    }
}

/// Bad manners of a sandbox Zendesk while it answers 200. By default it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SandboxZendeskSwitches {
    /// It knows no credentials: a token was revoked, or has expired.
    pub anonymous: bool,
    /// The asking user is an end user now.
    pub end_user: bool,
    /// Comments do not say whether they are public.
    pub unmarked: bool,
}

/// Answer in place of a file's content, while the file is listed as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spoilt {
    /// So a status: 404, 403, 410.
    Status(u16),
    /// A page to sign in on, with 200, that is as long as the file.
    SignOn,
    /// So many other bytes.
    OtherSize(usize),
}
