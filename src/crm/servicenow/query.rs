//! Encoded queries: `field=value^other=value^ORDERBYsys_id`.
//!
//! Two traps. There is no way to write a `^` within a value, so that a stranger's value could add conditions of its own; here
//! only what cannot hold one is put into a query. And "if part of a query is invalid, such as an invalid field name, the
//! instance ignores the invalid part" (Table API, `sysparm_query`, product documentation): it then answers with records that
//! nobody asked for. So whoever reads an answer compares every record with what was asked.

use chrono::{DateTime, Datelike as _, Utc};

/// An encoded query that is being put together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query(String);

impl Query {
    /// `field=value`; the value up to its first `^` or line break, with `STARTSWITH` if there is one: then more is found, and
    /// compared afterwards.
    pub(super) fn equals(self, field: &str, value: &str) -> Self {
        let safe = value.split(['^', '\n', '\r']).next().unwrap_or_default();
        let operator = if safe.len() == value.len() { "=" } else { "STARTSWITH" };
        self.and(&format!("{field}{operator}{safe}"))
    }

    /// `fieldENDSWITHvalue`. The value must hold no `^`.
    pub(super) fn ends_with(self, field: &str, value: &str) -> Self {
        self.and(&format!("{field}ENDSWITH{value}"))
    }

    /// `fieldINa,b,c`; values that hold a `^` or a comma are left out.
    pub(super) fn one_of(self, field: &str, values: &[&str]) -> Self {
        let sound: Vec<&str> =
            values.iter().copied().filter(|value| !value.contains(['^', ',', '\n', '\r'])).collect();
        self.and(&format!("{field}IN{}", sound.join(",")))
    }

    /// `field>=2026-11-24 13:00:00`: then or later, by the instance's clock, whatever ours says (`R36`).
    ///
    /// A time that is written out is UTC, one that `gs.dateGenerate` makes is in the user's zone ("SOAP web service and time zones
    /// examples", a ServiceNow employee's article in the Community: "If you pass the information as TEXT (not inside javascript),
    /// it's considered as UTC"); the Table API's own pages say it of values, not of queries. `casebridge check` tries it. A period
    /// (`RELATIVEGT@minute@ago@5`) would need no zone, but counts from the instance's clock, of which we know only what we measured.
    pub(super) fn since(self, field: &str, time: DateTime<Utc>) -> Self {
        // Four digits for the year: no record is older or newer.
        let year = time.year().clamp(1970, 9999);
        let time = if year == time.year() {
            time.format("%Y-%m-%d %H:%M:%S").to_string()
        } else {
            format!("{year}-01-01 00:00:00")
        };
        self.and(&format!("{field}>={time}"))
    }

    /// Ascending.
    pub(super) fn order_by(self, field: &str) -> Self {
        self.and(&format!("ORDERBY{field}"))
    }

    /// Descending.
    pub(super) fn order_by_desc(self, field: &str) -> Self {
        self.and(&format!("ORDERBYDESC{field}"))
    }

    /// A condition as it is. It must hold nothing of a stranger's.
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
