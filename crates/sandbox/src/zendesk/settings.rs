//! Settings of a sandbox Zendesk: the differences between accounts, plans and roles; and its switches for wrong behaviour behind a 200.

use serde::{Deserialize, Serialize};

use crate::oauth::OauthClient;

/// Credentials that are accepted.
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
    /// `Authorization: Bearer` with a token that `POST /oauth/tokens` issued to this client.
    OauthClient(OauthClient),
}

/// Settings of a [`super::SandboxZendesk`]; start from [`Default`].
#[derive(Debug, Clone)]
pub struct SandboxZendeskSettings {
    /// Credentials that are accepted.
    pub auth: SandboxZendeskAuth,
    /// Maximum size of an upload, in bytes.
    pub attachment_limit: u64,
    /// Maximum size of a comment as it is stored, in bytes of UTF-8.
    pub comment_limit: usize,
    /// Maximum number of requests a minute for the whole account, as the plan sets it.
    pub requests_per_minute: usize,
    /// Maximum number of updates of one ticket by one user within ten minutes.
    pub updates_per_ticket: usize,
    /// Maximum number of calls of the incremental exports a minute.
    pub exports_per_minute: usize,
    /// Maximum number of items on a page of a list; a page of an incremental export holds ten times as many.
    pub page_limit: usize,
    /// True if the asking user is an administrator; an agent may not use the incremental exports.
    pub admin: bool,
    /// True if the asking user may add private comments only (a light agent).
    pub only_private_comments: bool,
    /// True if the field `Root cause` must be filled in before a ticket can be solved.
    pub root_cause_required: bool,
    /// Name of the asking user: the account of all REST callers.
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

/// Wrong behaviour of a sandbox Zendesk while it answers 200, and what an administrator may demand. By default, all switches are off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(clippy::struct_excessive_bools, reason = "one switch each")]
pub struct SandboxZendeskSwitches {
    /// Accepts no credentials, as if the token was revoked or has expired.
    pub anonymous: bool,
    /// Makes the asking user an end user.
    pub end_user: bool,
    /// Leaves the public flag out of comments.
    pub unmarked: bool,
    /// Demands a value for *Root cause* to solve a ticket.
    pub demanding: bool,
}

/// Answer in place of a file's content, while the file is listed as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spoilt {
    /// A status such as 404, 403 or 410.
    Status(u16),
    /// A sign-in page with status 200, which is as long as the file.
    SignOn,
    /// This number of other bytes.
    OtherSize(usize),
}
