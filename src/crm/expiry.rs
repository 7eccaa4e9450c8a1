//! End of a CRM's credentials, and the scopes of its tokens, for `casebridge check` and `GET /metrics`.

use chrono::{DateTime, NaiveDate, Utc};

use crate::cases::{CredentialEnd, Finding, Trouble};

/// Reads a date, which counts from its first moment in UTC, or a time with its zone.
pub(super) fn read(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    let date = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok();
    let midnight = date.and_then(|date| date.and_hms_opt(0, 0, 0)).map(|time| time.and_utc());
    midnight.or_else(|| Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc()))
}

/// Returns the end that `company.{kind}.token_expires` names.
pub(super) fn configured(kind: &str, token_expires: Option<&str>) -> Option<CredentialEnd> {
    let at = token_expires.and_then(read)?;
    let hint = format!("make new ones, and change company.{kind}.token_expires with them");
    Some(CredentialEnd { what: format!("the credentials (company.{kind}.token_expires)"), at, hint })
}

/// Compares the scopes that a token was granted with those that the connector needs. `advice` says where scopes are given.
pub(super) fn scopes(granted: &str, needed: &[&str], advice: &str) -> Finding {
    let granted: Vec<&str> = granted.split([' ', ',']).filter(|scope| !scope.is_empty()).collect();
    let missing: Vec<&str> = needed.iter().copied().filter(|scope| !granted.contains(scope)).collect();
    if missing.is_empty() {
        return Ok(needed.join(", "));
    }
    let shown = if granted.is_empty() { "none".to_owned() } else { granted.join(", ") };
    Err(Trouble::warning(
        format!("the access token lacks {} and has {shown}", missing.join(", ")),
        format!("{advice}; other scopes that allow the same will do"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_date_or_a_time() {
        let at = |text: &str| read(text).map(|at| at.to_rfc3339());
        assert_eq!(at("2027-03-01").as_deref(), Some("2027-03-01T00:00:00+00:00"));
        assert_eq!(at(" 2027-03-01T12:00:00+02:00 ").as_deref(), Some("2027-03-01T10:00:00+00:00"));
        for text in ["", "soon", "2027-13-01", "01.03.2027", "2027-03-01T12:00:00"] {
            assert_eq!(at(text), None, "{text}");
        }
    }

    #[test]
    fn scopes_that_are_missing_are_named() {
        let needed = ["read:jira-work", "write:jira-work"];
        assert!(scopes("write:jira-work read:jira-work offline_access", &needed, "").is_ok());
        for (granted, missing) in [
            ("read:jira-work", "lacks write:jira-work and has read:jira-work"),
            ("", "lacks read:jira-work, write:jira-work and has none"),
        ] {
            let trouble = scopes(granted, &needed, "give them").unwrap_err();
            assert_eq!(trouble.status, crate::cases::CheckStatus::Warn);
            assert!(trouble.to_string().contains(missing), "{trouble}");
        }
    }
}
