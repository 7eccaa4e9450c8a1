//! Settings of a sandbox ServiceNow: the differences between instances, their properties and their roles.

use crate::oauth::OauthClient;

/// Credentials that are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SandboxServiceNowAuth {
    /// Any credentials or none.
    Anyone,
    /// `Authorization: Basic` with a user's name and password.
    Basic {
        /// The `user_name`.
        user: String,
        /// The password.
        password: String,
    },
    /// `Authorization: Bearer` with an OAuth access token.
    Bearer {
        /// The access token.
        token: String,
    },
    /// `Authorization: Bearer` with a token that `POST /oauth_token.do` issued to this client.
    OauthClient(OauthClient),
    /// `x-sn-apikey` with a REST API key.
    ApiKey {
        /// The key.
        key: String,
    },
}

/// Wrong behaviour of a sandbox ServiceNow while it answers 200. By default, all switches are off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct SandboxServiceNowSwitches {
    /// Treats every caller as the guest, who may read nothing but the own user: the tables are *Public Pages*. Lists are empty, but their
    /// records are counted.
    pub anonymous: bool,
    /// Leaves `X-Is-Logged-In` out of answers.
    pub no_login_header: bool,
    /// Reads literal times in a query in the asking user's zone.
    pub local_times: bool,
    /// Ignores impact, urgency and priority from REST callers, as if a business rule restored the old values.
    pub keeps_priorities: bool,
}

/// Settings of a [`super::SandboxServiceNow`]; start from [`Default`].
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent properties of an instance")]
pub struct SandboxServiceNowSettings {
    /// Credentials that are accepted.
    pub auth: SandboxServiceNowAuth,
    /// `user_name` of the asking user: the account of all REST callers.
    pub account: String,
    /// Maximum size of an upload, in bytes: `com.glide.attachment.max_size`.
    pub attachment_limit: u64,
    /// File extensions that attachments may have, in lower case: `glide.attachment.extensions`; empty: any.
    pub attachment_extensions: Vec<String>,
    /// Maximum number of requests an hour, as a rate limit rule sets it.
    pub requests_per_hour: Option<usize>,
    /// `glide.invalid_query.returns_no_rows`: an invalid query finds nothing. Otherwise its invalid part is ignored.
    pub invalid_query_returns_no_rows: bool,
    /// True if the asking user may read journal entries. If not, answers leave them out, without an error.
    pub reads_journals: bool,
    /// True if the asking user may read attachments. If not, answers leave them out, without an error.
    pub reads_attachments: bool,
    /// True if the instance has domain separation: records have a `sys_domain`.
    pub separates_domains: bool,
    /// True if the asking user may read choices.
    pub reads_choices: bool,
    /// True if the asking user may read the dictionary and the properties, as administrators may.
    pub reads_setup: bool,
    /// True if the connector's two columns exist.
    pub has_columns: bool,
    /// True if the asking user may write the connector's columns. If not, writes ignore them, without an error.
    pub writes_columns: bool,
    /// True if a data policy makes a resolution code and notes mandatory for resolving.
    pub close_fields_mandatory: bool,
    /// True if a new file marks its record as updated.
    pub files_touch_records: bool,
    /// Hours by which the asking user's time zone is ahead of UTC; display values are in this zone.
    pub time_zone_hours: i32,
}

impl Default for SandboxServiceNowSettings {
    fn default() -> Self {
        Self {
            auth: SandboxServiceNowAuth::Anyone,
            account: "casebridge".to_owned(),
            attachment_limit: 1024 * 1024 * 1024,
            attachment_extensions: Vec::new(),
            requests_per_hour: None,
            invalid_query_returns_no_rows: false,
            reads_journals: true,
            reads_attachments: true,
            separates_domains: false,
            reads_choices: true,
            reads_setup: true,
            has_columns: true,
            writes_columns: true,
            close_fields_mandatory: true,
            files_touch_records: false,
            time_zone_hours: -8,
        }
    }
}
