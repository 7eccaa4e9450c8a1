//! Settings of a sandbox Jira: the differences between real installations that a connector has to cope with.

use std::collections::BTreeSet;

use crate::oauth::OauthClient;
use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, NaiveDateTime, Offset as _, Utc, Weekday};

/// Product that the sandbox simulates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deployment {
    /// Jira Cloud: `search/jql` with `nextPageToken`, account IDs, REST versions 2 and 3.
    Cloud,
    /// Jira Data Center 9: `search` with `startAt`, user names, REST version 2 only.
    DataCenter,
}

/// Type of the custom field `synchronizeWithGoogleCloudSupport`. Jira has no boolean field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagField {
    /// Checkboxes with the one option `true`.
    Checkbox,
    /// A single-choice list with the options `true` and `false`.
    Select,
    /// A single line of text.
    Text,
}

/// Handling of `resolution` on the screen of the closing transitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResolutionOnClosing {
    /// The resolution must be sent.
    Required,
    /// The resolution may be sent; otherwise the workflow sets `Done`.
    Optional,
    /// The resolution is not on the screen: sending it is refused, and the workflow sets `Done`.
    NotOnScreen,
}

/// Credentials that are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SandboxJiraAuth {
    /// Any credentials or none.
    Anyone,
    /// `Authorization: Basic` with e-mail address and API token, as on Cloud.
    Basic {
        /// The e-mail address.
        email: String,
        /// The API token.
        token: String,
    },
    /// `Authorization: Bearer` with a personal access token, as on Data Center.
    Bearer {
        /// The personal access token.
        token: String,
    },
    /// `Authorization: Bearer` with a token that was issued to this client: by `POST /oauth/token` on Cloud, which takes it through the
    /// gateway only; by `POST /rest/oauth2/latest/token` on Data Center.
    OauthClient(OauthClient),
    /// `Authorization: Basic` with a service account's e-mail address and API token. Cloud takes it through the gateway only.
    ScopedToken {
        /// The service account's e-mail address.
        email: String,
        /// The API token with scopes.
        token: String,
    },
}

impl SandboxJiraAuth {
    /// True if only Atlassian's gateway takes these credentials.
    pub(super) const fn needs_gateway(&self, deployment: Deployment) -> bool {
        matches!((self, deployment), (Self::OauthClient(_) | Self::ScopedToken { .. }, Deployment::Cloud))
    }
}

/// Handling of the bytes of uploads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepUploads {
    /// The bytes are kept and can be downloaded: in files with a data directory, else in memory.
    Whole,
    /// Only size and SHA-256 are kept: for uploads that are too large to keep.
    HashOnly,
}

/// Settings of a [`super::SandboxJira`]; start from [`Default`] (Cloud) or [`SandboxJiraSettings::data_center`].
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches")]
pub struct SandboxJiraSettings {
    /// Cloud or Data Center.
    pub deployment: Deployment,
    /// True if the project is a service management project: comments then have `jsdPublic`, and are internal with the property
    /// `sd.public.comment` = `{"internal": true}`.
    pub service_management: bool,
    /// Time zone of the asking user: JQL times are read in it, and answers show times in it.
    pub time_zone: SandboxTimeZone,
    /// Maximum size of an attachment, in bytes.
    pub attachment_limit: u64,
    /// Maximum length of a comment or description, in UTF-16 code units.
    pub comment_limit: usize,
    /// Handling of the resolution on the closing transitions' screen.
    pub resolution_on_closing: ResolutionOnClosing,
    /// True if the workflow has a transition from closed to open.
    pub can_reopen: bool,
    /// True if `priority` may be sent when an issue is created. It can be edited in any case.
    pub priority_on_create_screen: bool,
    /// Resolution of stored times, in milliseconds; some databases store whole seconds only.
    pub time_resolution_ms: u32,
    /// Type of the flag field.
    pub flag_field: FlagField,
    /// Credentials that are accepted.
    pub auth: SandboxJiraAuth,
    /// Handling of uploads.
    pub uploads: KeepUploads,
    /// Maximum number of issues on a page of a search; Cloud sends short pages even if more were asked for.
    pub search_page_limit: usize,
    /// Permissions that the asking user lacks in the projects (`ADD_COMMENTS`, `CREATE_ISSUES`, …).
    pub denied_permissions: BTreeSet<String>,
    /// True if an issue takes 20 writes within 2 seconds and 100 within 30, as on Cloud; more are answered with 429.
    pub limits_writes: bool,
    /// Display name of the asking user: the account of all REST callers.
    pub account: String,
}

impl Default for SandboxJiraSettings {
    fn default() -> Self {
        Self {
            deployment: Deployment::Cloud,
            service_management: false,
            time_zone: SandboxTimeZone::utc(),
            attachment_limit: 1024 * 1024 * 1024,
            comment_limit: 32_767,
            resolution_on_closing: ResolutionOnClosing::Optional,
            can_reopen: true,
            priority_on_create_screen: true,
            time_resolution_ms: 1,
            flag_field: FlagField::Checkbox,
            auth: SandboxJiraAuth::Anyone,
            uploads: KeepUploads::Whole,
            search_page_limit: 100,
            denied_permissions: BTreeSet::new(),
            limits_writes: false,
            account: "Casebridge".to_owned(),
        }
    }
}

impl SandboxJiraSettings {
    /// Returns the default settings of Data Center, with its default limits: attachments of 10 MiB, and pages of up to 1,000 issues.
    #[must_use]
    pub fn data_center() -> Self {
        Self {
            deployment: Deployment::DataCenter,
            attachment_limit: 10 * 1024 * 1024,
            search_page_limit: 1000,
            ..Self::default()
        }
    }

    pub(super) fn may(&self, permission: &str) -> bool {
        !self.denied_permissions.contains(permission)
    }
}

/// Time zone of a user: a name from the time zone database, and its rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SandboxTimeZone {
    name: String,
    standard: FixedOffset,
    summer_time: SummerTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SummerTime {
    Never,
    /// One hour more from 01:00 UTC on the last Sunday of March to 01:00 UTC on the last Sunday of October
    /// (Directive 2000/84/EC).
    European,
}

impl SandboxTimeZone {
    /// Returns `Etc/UTC`.
    #[must_use]
    pub fn utc() -> Self {
        Self::fixed("Etc/UTC", 0)
    }

    /// Returns `Asia/Kolkata`: an offset with half an hour, without summer time.
    #[must_use]
    pub fn kolkata() -> Self {
        Self::fixed("Asia/Kolkata", 330)
    }

    /// Returns `Europe/Berlin`: with summer time.
    #[must_use]
    pub fn berlin() -> Self {
        Self { summer_time: SummerTime::European, ..Self::fixed("Europe/Berlin", 60) }
    }

    /// Returns a zone without summer time, `minutes_east` of Greenwich. An offset of a day or more is read as none.
    #[must_use]
    pub fn fixed(name: &str, minutes_east: i32) -> Self {
        let utc = Utc.fix();
        let standard = minutes_east.checked_mul(60).and_then(FixedOffset::east_opt).unwrap_or(utc);
        Self { name: name.to_owned(), standard, summer_time: SummerTime::Never }
    }

    /// Returns the name from the time zone database.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the offset from UTC at a moment.
    pub fn offset_at(&self, moment: DateTime<Utc>) -> FixedOffset {
        match self.summer_time {
            SummerTime::Never => self.standard,
            SummerTime::European => {
                let year = moment.year();
                let summer = change_over(year, 3)..change_over(year, 10);
                if summer.contains(&moment.naive_utc()) { self.summer_offset() } else { self.standard }
            }
        }
    }

    /// Converts a local time to a moment. A local time that occurs twice gives the earlier moment. One that is skipped is read with the
    /// standard offset.
    pub fn to_utc(&self, local: NaiveDateTime) -> DateTime<Utc> {
        let summer = read(local, self.summer_offset());
        if self.offset_at(summer) == self.summer_offset() { summer } else { read(local, self.standard) }
    }

    pub(super) fn to_local(&self, moment: DateTime<Utc>) -> DateTime<FixedOffset> {
        moment.with_timezone(&self.offset_at(moment))
    }

    fn summer_offset(&self) -> FixedOffset {
        match self.summer_time {
            SummerTime::Never => self.standard,
            SummerTime::European => {
                FixedOffset::east_opt(self.standard.local_minus_utc() + 3600).unwrap_or(self.standard)
            }
        }
    }
}

fn read(local: NaiveDateTime, offset: FixedOffset) -> DateTime<Utc> {
    let seconds = i64::from(offset.local_minus_utc());
    local.checked_sub_signed(chrono::Duration::seconds(seconds)).unwrap_or(local).and_utc()
}

/// Returns 01:00 on the last Sunday of March or October.
fn change_over(year: i32, month: u32) -> NaiveDateTime {
    // Both months have 31 days, so one of the last seven is the last Sunday.
    (25..=31)
        .filter_map(|day| NaiveDate::from_ymd_opt(year, month, day))
        .find(|day| day.weekday() == Weekday::Sun)
        .and_then(|day| day.and_hms_opt(1, 0, 0))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_times_are_read_in_the_users_zone() {
        for (zone, local, utc) in [
            (SandboxTimeZone::utc(), "2026-07-01T12:00:00", "2026-07-01T12:00:00Z"),
            (SandboxTimeZone::kolkata(), "2026-07-01T12:00:00", "2026-07-01T06:30:00Z"),
            (SandboxTimeZone::berlin(), "2026-07-01T12:00:00", "2026-07-01T10:00:00Z"),
            (SandboxTimeZone::berlin(), "2026-12-01T12:00:00", "2026-12-01T11:00:00Z"),
            // Occurs twice: the earlier one.
            (SandboxTimeZone::berlin(), "2026-10-25T02:30:00", "2026-10-25T00:30:00Z"),
            // Skipped: read with the standard offset.
            (SandboxTimeZone::berlin(), "2026-03-29T02:30:00", "2026-03-29T01:30:00Z"),
        ] {
            let read = zone.to_utc(local.parse().unwrap());
            assert_eq!(read, utc.parse::<DateTime<Utc>>().unwrap(), "{local} in {}", zone.name());
        }
    }

    #[test]
    fn summer_time_begins_and_ends_at_one_oclock_utc() {
        let offset = |moment: &str| {
            SandboxTimeZone::berlin().offset_at(moment.parse().unwrap()).local_minus_utc() / 3600
        };
        assert_eq!(offset("2026-03-29T00:59:59Z"), 1);
        assert_eq!(offset("2026-03-29T01:00:00Z"), 2);
        assert_eq!(offset("2026-10-25T00:59:59Z"), 2);
        assert_eq!(offset("2026-10-25T01:00:00Z"), 1);
    }
}
