//! How a sandbox ServiceNow is set up: what differs between instances, properties and roles.

/// Which callers are let in.
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
    /// `x-sn-apikey` with a REST API key.
    ApiKey {
        /// The key.
        key: String,
    },
}

/// What a sandbox ServiceNow does wrong while it answers 200. Everything off: nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct SandboxServiceNowSwitches {
    /// Takes every caller for the guest, who may read nothing but its own user: the tables are *Public Pages*. Lists are empty and
    /// counted.
    pub anonymous: bool,
    /// Leaves `X-Is-Logged-In` out of its answers.
    pub no_login_header: bool,
    /// Reads times that are written out in a query in the asking user's zone.
    pub local_times: bool,
    /// A business rule puts back what REST callers write into impact, urgency and priority.
    pub keeps_priorities: bool,
}

/// The settings of a [`super::SandboxServiceNow`]; start from [`Default`].
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent properties of an instance")]
pub struct SandboxServiceNowSettings {
    /// Which callers are let in.
    pub auth: SandboxServiceNowAuth,
    /// The `user_name` of the user that the REST callers are.
    pub account: String,
    /// The largest upload, in bytes: `com.glide.attachment.max_size`.
    pub attachment_limit: u64,
    /// The endings that an attachment's name may have, in lower case: `glide.attachment.extensions`; empty: any.
    pub attachment_extensions: Vec<String>,
    /// Requests an hour: a rate limit rule.
    pub requests_per_hour: Option<usize>,
    /// `glide.invalid_query.returns_no_rows`: otherwise the invalid part of a query is ignored.
    pub invalid_query_returns_no_rows: bool,
    /// Whether the asking user may read entries of journals. If not, they are taken out of the answers, without an error.
    pub reads_journals: bool,
    /// Whether the asking user may read attachments. If not, they are taken out of the answers as well.
    pub reads_attachments: bool,
    /// Whether domains are separated: records have a `sys_domain`.
    pub separates_domains: bool,
    /// Whether the asking user may read choices.
    pub reads_choices: bool,
    /// Whether the asking user may read the dictionary and the properties, as administrators may.
    pub reads_setup: bool,
    /// Whether the two columns of the connector exist.
    pub has_columns: bool,
    /// Whether the asking user may write them. If not, they are left out of what is written, without an error.
    pub writes_columns: bool,
    /// Whether a data policy makes a code and notes mandatory for resolving.
    pub close_fields_mandatory: bool,
    /// Whether a new file makes its record updated.
    pub files_touch_records: bool,
    /// How many hours the asking user's time zone is ahead of UTC: display values are in it.
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
