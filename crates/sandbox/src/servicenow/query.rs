//! Encoded queries, with their traps: a part that is not understood is left out, and a `^` always ends a value.
//!
//! Sources: "Encoded query strings", "Operators available for filters and queries" and the parameter `sysparm_query` of the Table
//! API, product documentation. Not supported: related lists, joins, full text.

use chrono::{DateTime, Duration, FixedOffset, NaiveDateTime, TimeZone as _, Utc};

/// Condition on one column.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    field: String,
    operator: &'static str,
    value: String,
}

/// Parsed query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// Conditions: groups are joined by `^NQ`, the lists in a group by `^`, and the conditions in a list by `^OR`.
    groups: Vec<Vec<Vec<Condition>>>,
    /// Columns to sort by; the flag is true for descending order.
    order: Vec<(String, bool)>,
    /// True if a part was left out because it was not understood.
    pub(super) invalid: bool,
}

/// Operators; a longer one comes before an operator that it begins with.
const OPERATORS: [&str; 24] = [
    "ISNOTEMPTY",
    "ISEMPTY",
    "EMPTYSTRING",
    "ANYTHING",
    "NOT IN",
    "NOT LIKE",
    "NOTLIKE",
    "DOES NOT CONTAIN",
    "CONTAINS",
    "STARTSWITH",
    "ENDSWITH",
    "RELATIVEGT",
    "RELATIVEGE",
    "RELATIVELT",
    "RELATIVELE",
    "BETWEEN",
    "LIKE",
    "IN",
    "!=",
    ">=",
    "<=",
    "=",
    ">",
    "<",
];

/// User, time zone and time of a query.
#[derive(Debug, Clone)]
pub(super) struct Asking<'a> {
    pub(super) now: DateTime<Utc>,
    pub(super) zone: FixedOffset,
    /// The user's `sys_id` and `user_name`.
    pub(super) user: (&'a str, &'a str),
    /// True if literal times are read in the user's zone; otherwise they are in UTC.
    pub(super) local_times: bool,
}

impl Query {
    /// Parses a query. `known` reports if a column exists.
    pub(super) fn parse(text: &str, known: impl Fn(&str) -> bool, asking: &Asking<'_>) -> Self {
        let mut query = Self::default();
        let mut group: Vec<Vec<Condition>> = Vec::new();
        for part in text.split('^') {
            if part.is_empty() || part == "EQ" {
                continue;
            }
            if let Some(field) = part.strip_prefix("ORDERBYDESC") {
                query.order_by(field, true, &known);
                continue;
            }
            if let Some(field) = part.strip_prefix("ORDERBY") {
                query.order_by(field, false, &known);
                continue;
            }
            // Column names are in lower case, so `OR` and `NQ` cannot be the beginning of one.
            let (or, part) = part.strip_prefix("OR").map_or((false, part), |part| (true, part));
            let (new, part) = part.strip_prefix("NQ").map_or((false, part), |part| (true, part));
            if new && !group.is_empty() {
                query.groups.push(std::mem::take(&mut group));
            }
            match Condition::parse(part, &known, asking) {
                Some(condition) if or && !group.is_empty() => {
                    if let Some(last) = group.last_mut() {
                        last.push(condition);
                    }
                }
                Some(condition) => group.push(vec![condition]),
                None => query.invalid = true,
            }
        }
        query.groups.push(group);
        query
    }

    fn order_by(&mut self, field: &str, descending: bool, known: impl Fn(&str) -> bool) {
        if known(field) {
            self.order.push((field.to_owned(), descending));
        } else {
            self.invalid = true;
        }
    }

    /// Reports if a record matches; `value` returns the comparable value of a column.
    pub(super) fn matches(&self, value: impl Fn(&str) -> Value, asking: &Asking<'_>) -> bool {
        self.groups.iter().any(|group| {
            group.iter().all(|any| {
                any.iter().any(|condition| condition.holds(&value(&condition.field), asking).unwrap_or(true))
            })
        })
    }

    /// Compares two records by the query's sort columns.
    pub(super) fn compare<T>(&self, a: &T, b: &T, value: impl Fn(&T, &str) -> Value) -> std::cmp::Ordering {
        let each = self.order.iter().map(|(field, descending)| {
            let order = value(a, field).cmp(&value(b, field));
            if *descending { order.reverse() } else { order }
        });
        each.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
    }
}

/// Comparable value of a column.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    /// Number, or `None` if the column is empty.
    Number(Option<i64>),
    /// Any other value; times are in a format that sorts correctly as text.
    Text(String),
}

impl Value {
    fn like(&self, text: &str) -> Self {
        match self {
            Self::Number(_) => Self::Number(text.trim().parse().ok()),
            Self::Text(_) => Self::Text(text.to_owned()),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.map(|number| number.to_string()).unwrap_or_default(),
            Self::Text(text) => text.clone(),
        }
    }
}

impl Condition {
    fn parse(part: &str, known: impl Fn(&str) -> bool, asking: &Asking<'_>) -> Option<Self> {
        let sign = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
        let end = part.find(|c| !sign(c))?;
        let (field, rest) = part.split_at(end);
        let operator = OPERATORS.into_iter().find(|operator| rest.starts_with(operator))?;
        if !known(field) {
            return None;
        }
        let value = script(&rest[operator.len()..], asking);
        let condition = Self { field: field.to_owned(), operator, value };
        // A condition that cannot be evaluated counts as not understood.
        condition.holds(&Value::Text(String::new()), asking).is_some().then_some(condition)
    }

    /// Evaluates the condition; `None` if its value does not suit the operator.
    fn holds(&self, actual: &Value, asking: &Asking<'_>) -> Option<bool> {
        let (text, wanted) = (actual.text(), self.value.as_str());
        let same = |value: &str| *actual == actual.like(value);
        let (lower, wanted_lower) = (text.to_lowercase(), wanted.to_lowercase());
        let is_empty = text.is_empty();
        Some(match self.operator {
            "ISEMPTY" | "EMPTYSTRING" => is_empty,
            "ISNOTEMPTY" => !is_empty,
            "ANYTHING" => true,
            "=" => same(wanted),
            "!=" => !same(wanted),
            "IN" => wanted.split(',').any(|value| same(value.trim())),
            "NOT IN" => !wanted.split(',').any(|value| same(value.trim())),
            "LIKE" | "CONTAINS" => lower.contains(&wanted_lower),
            "NOT LIKE" | "NOTLIKE" | "DOES NOT CONTAIN" => !lower.contains(&wanted_lower),
            "STARTSWITH" => lower.starts_with(&wanted_lower),
            "ENDSWITH" => lower.ends_with(&wanted_lower),
            ">" => !is_empty && *actual > actual.like(wanted),
            ">=" => !is_empty && *actual >= actual.like(wanted),
            "<" => !is_empty && *actual < actual.like(wanted),
            "<=" => !is_empty && *actual <= actual.like(wanted),
            "BETWEEN" => {
                let (low, high) = wanted.split_once('@')?;
                !is_empty && *actual >= actual.like(low) && *actual <= actual.like(high)
            }
            "RELATIVEGT" => {
                let moment = relative(wanted, asking)?;
                !is_empty && text > moment
            }
            "RELATIVEGE" => {
                let moment = relative(wanted, asking)?;
                !is_empty && text >= moment
            }
            "RELATIVELT" => {
                let moment = relative(wanted, asking)?;
                !is_empty && text < moment
            }
            "RELATIVELE" => {
                let moment = relative(wanted, asking)?;
                !is_empty && text <= moment
            }
            _ => return None,
        })
    }
}

/// Converts a relative time such as `@minute@ago@5` to the format of a column.
fn relative(value: &str, asking: &Asking<'_>) -> Option<String> {
    let mut parts = value.strip_prefix('@')?.split('@');
    let unit = match parts.next()? {
        "minute" => Duration::minutes(1),
        "hour" => Duration::hours(1),
        "dayofweek" | "day" => Duration::days(1),
        _ => return None,
    };
    let ahead = match parts.next()? {
        "ago" => -1,
        "ahead" => 1,
        _ => return None,
    };
    let count: i32 = parts.next()?.parse().ok()?;
    Some(wire_time(asking.now + unit * count * ahead))
}

/// Evaluates the few scripts that queries may contain. A time that a script generates is read in the user's zone; a literal time is in
/// UTC, unless `local_times` is on.
fn script(value: &str, asking: &Asking<'_>) -> String {
    let Some(script) = value.strip_prefix("javascript:") else {
        let local = asking.local_times.then(|| local(value, asking)).flatten();
        return local.unwrap_or_else(|| value.to_owned());
    };
    match script.trim_end_matches(';') {
        "gs.getUserID()" => asking.user.0.to_owned(),
        "gs.getUserName()" => asking.user.1.to_owned(),
        script => {
            let made = script.strip_prefix("gs.dateGenerate(").and_then(|rest| {
                let (day, time) = rest.strip_suffix(')')?.split_once(',')?;
                let text = format!("{} {}", day.trim().trim_matches('\''), time.trim().trim_matches('\''));
                local(&text, asking)
            });
            made.unwrap_or_default()
        }
    }
}

/// Converts a time in the user's zone to the format of the database.
fn local(text: &str, asking: &Asking<'_>) -> Option<String> {
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok()?;
    Some(wire_time(asking.zone.from_local_datetime(&local).single()?.with_timezone(&Utc)))
}

/// Formats a time as the database stores it: UTC, whole seconds, no zone.
pub(super) fn wire_time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asking() -> Asking<'static> {
        Asking {
            now: "2026-11-24T13:00:00Z".parse().unwrap(),
            zone: FixedOffset::west_opt(8 * 3600).unwrap(),
            user: ("u1", "bot"),
            local_times: false,
        }
    }

    /// Returns a column of a test record with `a` = 5, `b` = "Some text", `c` = "", `t` = 12:58:00, `by` = u1.
    fn value(field: &str) -> Value {
        match field {
            "a" => Value::Number(Some(5)),
            "b" => Value::Text("Some text".to_owned()),
            "t" => Value::Text("2026-11-24 12:58:00".to_owned()),
            "by" => Value::Text("u1".to_owned()),
            _ => Value::Text(String::new()),
        }
    }

    #[test]
    fn conditions_are_joined_as_documented() {
        let known = |field: &str| ["a", "b", "c", "t", "by"].contains(&field);
        for (text, expected) in [
            ("", true),
            ("a=5", true),
            ("a=05^b=Some text", true),
            ("a=4^ORa=5^b=Some text", true),
            ("a=4^ORa=5^b=x", false),
            ("a=4^b=x^NQa=5", true),
            ("a>10", false),
            ("a>=5^a<6^aBETWEEN1@5", true),
            ("bLIKEsome^bSTARTSWITHSome^bENDSWITHTEXT^bNOTLIKEother", true),
            ("aIN1,5^bNOT INx,y", true),
            ("cISEMPTY^bISNOTEMPTY", true),
            ("c<5", false),
            ("tRELATIVEGT@minute@ago@3", true),
            ("tRELATIVEGT@minute@ago@2", false),
            ("tRELATIVEGE@minute@ago@2", true),
            ("t>=2026-11-24 12:58:00", true),
            ("t>javascript:gs.dateGenerate('2026-11-24','05:00:00')", false),
            ("t>javascript:gs.dateGenerate('2026-11-24','04:00:00')", true),
            ("by=javascript:gs.getUserID()", true),
        ] {
            let query = Query::parse(text, known, &asking());
            assert_eq!((query.matches(value, &asking()), query.invalid), (expected, false), "{text}");
        }
    }

    #[test]
    fn a_time_that_is_written_out_is_utc_or_the_users() {
        for (local_times, text, expected) in [
            (false, "t>=2026-11-24 12:58:00", true),
            (true, "t>=2026-11-24 12:58:00", false),
            (true, "t>=2026-11-24 04:58:00", true),
        ] {
            let asking = Asking { local_times, ..asking() };
            let query = Query::parse(text, |_| true, &asking);
            assert_eq!(query.matches(value, &asking), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_left_out_and_then_everything_matches() {
        let known = |field: &str| field == "a";
        for text in
            ["nothing=1", "a~5", "a", "nothing=1^a=5", "aRELATIVEGT@eon@ago@1", "ORDERBYnothing", "a.b=1"]
        {
            let query = Query::parse(text, known, &asking());
            assert!(query.invalid && query.matches(value, &asking()), "{text}");
        }
        // A `^` in a value ends the value.
        let query = Query::parse("a=5x^NQa=5", known, &asking());
        assert!(query.matches(value, &asking()));
    }

    #[test]
    fn orders_are_taken_one_after_the_other() {
        let query = Query::parse("ORDERBYDESCa^ORDERBYb", |_| true, &asking());
        let mut rows = [(1, "x"), (10, "b"), (10, "a")];
        rows.sort_by(|a, b| {
            query.compare(a, b, |row, field| match field {
                "a" => Value::Number(Some(row.0)),
                _ => Value::Text(row.1.to_owned()),
            })
        });
        assert_eq!(rows, [(10, "a"), (10, "b"), (1, "x")]);
    }
}
