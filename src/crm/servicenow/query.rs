//! Encoded queries: `field=value^other=value^ORDERBYsys_id`.
//!
//! Two traps. There is no way to write a `^` within a value, so that a stranger's value could add conditions of its own; here
//! only what cannot hold one is put into a query. And "if part of a query is invalid, such as an invalid field name, the
//! instance ignores the invalid part" (Table API, `sysparm_query`, product documentation): it then answers with records that
//! nobody asked for. So whoever reads an answer compares every record with what was asked.

use chrono::Duration;

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

    /// Not longer ago than that, in whole minutes, rounded up. A time could be written out, but in which zone it is read depends
    /// on who asks; a period has none.
    pub(super) fn within(self, field: &str, ago: Duration) -> Self {
        let minutes = (ago.num_seconds().max(0) / 60).saturating_add(1);
        self.and(&format!("{field}RELATIVEGT@minute@ago@{minutes}"))
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
            .within("e", Duration::seconds(61))
            .order_by("f")
            .order_by_desc("g");
        assert_eq!(
            query.into_string(),
            "a=b^cSTARTSWITHx^dIN1,5^eRELATIVEGT@minute@ago@2^ORDERBYf^ORDERBYDESCg"
        );
    }
}
