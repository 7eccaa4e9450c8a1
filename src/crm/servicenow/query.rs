//! Encoded queries: `field=value^other=value^ORDERBYsys_id`.
//!
//! Two traps:
//!
//! - A value cannot contain a `^`, so a foreign value could add conditions. Only values without one are put into a query.
//! - "If part of a query is invalid, such as an invalid field name, the instance ignores the invalid part" (Table API, `sysparm_query`,
//!   product documentation). It then returns records that do not match. So the code that reads an answer compares every record with the
//!   query.

use chrono::{DateTime, Datelike as _, Utc};

/// Builder of an encoded query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query(String);

impl Query {
    /// Adds `field=value`. If the value has a `^` or a line break, adds `fieldSTARTSWITH` with the part before it: that finds more records,
    /// which the caller compares.
    pub(super) fn equals(self, field: &str, value: &str) -> Self {
        let safe = value.split(['^', '\n', '\r']).next().unwrap_or_default();
        let operator = if safe.len() == value.len() { "=" } else { "STARTSWITH" };
        self.and(&format!("{field}{operator}{safe}"))
    }

    /// Adds `fieldENDSWITHvalue`. The value must hold no `^`.
    pub(super) fn ends_with(self, field: &str, value: &str) -> Self {
        self.and(&format!("{field}ENDSWITH{value}"))
    }

    /// Adds `fieldINa,b,c`. Values with a `^`, a comma or a line break are left out.
    pub(super) fn one_of(self, field: &str, values: &[&str]) -> Self {
        let sound: Vec<&str> =
            values.iter().copied().filter(|value| !value.contains(['^', ',', '\n', '\r'])).collect();
        self.and(&format!("{field}IN{}", sound.join(",")))
    }

    /// Adds `field>=2026-11-24 13:00:00`: at this time or later, by the instance's clock (`R36`: clock skew).
    ///
    /// A written time is UTC, while `gs.dateGenerate` makes one in the user's zone ("SOAP web service and time zones examples", a
    /// ServiceNow employee's article in the Community: "If you pass the information as TEXT (not inside javascript), it's considered as
    /// UTC"). The Table API's own pages say so of values, not of queries; `casebridge check` tests it. A period (`RELATIVEGT@minute@ago@5`)
    /// would need no zone, but counts from the instance's clock, of which only the measured skew is known.
    pub(super) fn since(self, field: &str, time: DateTime<Utc>) -> Self {
        // The year must have four digits; no record is older or newer.
        let year = time.year().clamp(1970, 9999);
        let time = if year == time.year() {
            time.format("%Y-%m-%d %H:%M:%S").to_string()
        } else {
            format!("{year}-01-01 00:00:00")
        };
        self.and(&format!("{field}>={time}"))
    }

    /// Sorts by a field, ascending.
    pub(super) fn order_by(self, field: &str) -> Self {
        self.and(&format!("ORDERBY{field}"))
    }

    /// Sorts by a field, descending.
    pub(super) fn order_by_desc(self, field: &str) -> Self {
        self.and(&format!("ORDERBYDESC{field}"))
    }

    /// Adds a condition as it is. It must hold no foreign text.
    pub(super) fn and(mut self, condition: &str) -> Self {
        if !self.0.is_empty() {
            self.0.push('^');
        }
        self.0.push_str(condition);
        self
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_adds_a_condition() {
        let query = Query::default()
            .equals("a", "b")
            .equals("c", "x^NQactive=true")
            .one_of("d", &["1", "2^ORe=f", "3,4", "5"])
            .since("e", "2026-11-24T13:00:01.9Z".parse().unwrap())
            .order_by("f")
            .order_by_desc("g");
        assert_eq!(
            query.into_string(),
            "a=b^cSTARTSWITHx^dIN1,5^e>=2026-11-24 13:00:01^ORDERBYf^ORDERBYDESCg"
        );
    }

    #[test]
    fn every_time_is_written_with_a_year_of_four_digits() {
        for (time, written) in [
            (DateTime::<Utc>::MIN_UTC, "1970-01-01 00:00:00"),
            (DateTime::<Utc>::UNIX_EPOCH, "1970-01-01 00:00:00"),
            ("9999-12-31T23:59:59Z".parse().unwrap(), "9999-12-31 23:59:59"),
            (DateTime::<Utc>::MAX_UTC, "9999-01-01 00:00:00"),
        ] {
            assert_eq!(Query::default().since("t", time).into_string(), format!("t>={written}"));
        }
    }
}
