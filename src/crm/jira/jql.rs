//! JQL queries of the adapter.

use chrono::{DateTime, Duration, Utc};

use super::discovery::CustomField;

/// Extra time that a query looks back: JQL's periods are whole minutes, and time passes until Jira counts.
const MARGIN: Duration = Duration::minutes(2);

/// Largest time by which a local clock is behind UTC.
const WESTERNMOST: Duration = Duration::hours(12);

/// Form of a start time in a query.
///
/// Jira reads a written time in the time zone of the requesting user ("JQL fields", support.atlassian.com), and offers only the name of
/// that zone. A period before now is the same moment in every zone, by Jira's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    /// `"-35m"`: number of minutes before now, by Jira's clock (`R36`: clock skew).
    Minutes(i64),
    /// `"2026-11-24 13:00"`, early enough for every time zone. For servers that accept only this form.
    WallClock(DateTime<Utc>),
}

/// Returns the number of minutes that a query has to look back at `now`, by Jira's clock, to reach `since` with some margin.
pub(super) fn minutes_back(now: DateTime<Utc>, since: DateTime<Utc>) -> i64 {
    // No issue is older than 1970. No overflow: the minutes between any two times fit an i64.
    (now - since.max(DateTime::UNIX_EPOCH) + MARGIN).num_minutes().max(0) + 1
}

/// Reports if a query for `minutes`, answered at `now` by Jira's clock, has reached `since`.
pub(super) fn reaches(now: DateTime<Utc>, minutes: i64, since: DateTime<Utc>) -> bool {
    (now - since.max(DateTime::UNIX_EPOCH)).num_minutes() < minutes
}

/// Query for flagged cases that were updated since `since`.
pub(super) fn updated(flag: &CustomField, value: &str, since: Since) -> String {
    let moment = match since {
        Since::Minutes(minutes) => format!("-{minutes}m"),
        Since::WallClock(since) => {
            let early = since.checked_sub_signed(MARGIN + WESTERNMOST).unwrap_or(DateTime::UNIX_EPOCH);
            early.max(DateTime::UNIX_EPOCH).format("%Y-%m-%d %H:%M").to_string()
        }
    };
    format!("{} AND updated >= {}", flag_is(flag, value), quoted(&moment))
}

/// Order for pages with offsets: issues that change meanwhile move to the end.
pub(super) const OLDEST_FIRST: &str = " ORDER BY updated ASC, key ASC";

/// Query for cases whose Google-name field may hold this Google case. Jira searches text by words, and the characters that separate words
/// depend on the version. So the query asks for the whole name and for the number alone (`R9`: one mapping per case), and the results have
/// to be compared.
pub(super) fn counterpart(field: &CustomField, name: &str, number: &str) -> String {
    let clause = field.clause();
    let phrase = quoted(&format!("\"{}\"", words(name)));
    let number = quoted(&format!("\"{}\"", words(number)));
    format!("{clause} ~ {phrase} OR {clause} ~ {number}")
}

/// Query for all cases that the connector works with, newest first: those of a project, and flagged ones.
pub(super) fn within_scope(project: &str, flag: &CustomField, value: &str) -> String {
    format!("project = {} OR {} ORDER BY created DESC", quoted(project), flag_is(flag, value))
}

/// Query for the cases of a project, newest first.
pub(super) fn newest(project: &str) -> String {
    format!("project = {} ORDER BY created DESC", quoted(project))
}

/// Query for flagged cases.
pub(super) fn flagged(flag: &CustomField, value: &str) -> String {
    flag_is(flag, value)
}

fn flag_is(flag: &CustomField, value: &str) -> String {
    let operator = if flag.is_text() { '~' } else { '=' };
    format!("{} {operator} {}", flag.clause(), quoted(value))
}

/// Quotes a JQL string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push(' '),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Replaces characters that have a meaning in a text search by spaces.
fn words(text: &str) -> String {
    text.chars().map(|c| if c == '"' || c == '\\' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::discovery::FieldKind;
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn field(kind: FieldKind) -> CustomField {
        CustomField { id: "customfield_10050".to_owned(), name: "flag".to_owned(), kind, namesakes: 0 }
    }

    #[test]
    fn updated_cases_are_asked_for_without_a_time_zone_and_a_little_further_back() {
        let now = at("2026-11-24T13:00:30Z");
        for (since, kind, expected) in [
            ("2026-11-24T12:55:30Z", FieldKind::Options, "cf[10050] = \"true\" AND updated >= \"-8m\""),
            ("2026-10-25T13:00:30Z", FieldKind::Option, "cf[10050] = \"true\" AND updated >= \"-43203m\""),
            ("2026-11-24T14:00:00Z", FieldKind::Text, "cf[10050] ~ \"true\" AND updated >= \"-1m\""),
        ] {
            let minutes = minutes_back(now, at(since));
            assert_eq!(updated(&field(kind), "true", Since::Minutes(minutes)), expected);
            assert!(reaches(now, minutes, at(since)));
        }
        let written = |since| updated(&field(FieldKind::Options), "true", Since::WallClock(since));
        assert!(written(at("2026-11-24T12:55:30Z")).ends_with("updated >= \"2026-11-24 00:53\""));
        for since in [DateTime::<Utc>::MIN_UTC, DateTime::UNIX_EPOCH] {
            assert!(written(since).ends_with("updated >= \"1970-01-01 00:00\""));
            assert_eq!(minutes_back(now, since), 29_925_423);
        }
        assert_eq!(minutes_back(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC), 1);
    }

    #[test]
    fn a_horizon_that_was_counted_from_another_clock_may_be_too_late() {
        let since = at("2026-11-24T12:55:30Z");
        let minutes = minutes_back(at("2026-11-24T13:00:30Z"), since);
        for (jiras_now, expected) in [
            ("2026-11-24T12:00:00Z", true),
            ("2026-11-24T13:03:29Z", true),
            ("2026-11-24T13:03:30Z", false),
            ("2026-11-24T13:15:00Z", false),
        ] {
            assert_eq!(reaches(at(jiras_now), minutes, since), expected, "{jiras_now}");
        }
    }

    #[test]
    fn nothing_in_a_value_can_leave_its_quotes() {
        assert_eq!(quoted("a\" OR b\\\n"), "\"a\\\" OR b\\\\ \"");
        assert_eq!(
            counterpart(&field(FieldKind::Text), "organizations/1/cases/2", "2"),
            "cf[10050] ~ \"\\\"organizations/1/cases/2\\\"\" OR cf[10050] ~ \"\\\"2\\\"\""
        );
        assert_eq!(newest("SUP"), "project = \"SUP\" ORDER BY created DESC");
        assert_eq!(
            within_scope("SUP", &field(FieldKind::Options), "true"),
            "project = \"SUP\" OR cf[10050] = \"true\" ORDER BY created DESC"
        );
    }
}
