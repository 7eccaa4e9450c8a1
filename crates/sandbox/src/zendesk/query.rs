//! Zendesk's search syntax, as far as tickets go: words, phrases, `field:value`, `field>value`, and `-` before any of them.

use chrono::{DateTime, Duration, NaiveDate, NaiveTime, Utc};
use serde_json::Value;

use super::state::{Document, PRIORITIES, STATUSES, Ticket};

/// Parsed query: all of its terms must match.
#[derive(Debug)]
pub(super) struct Query(Vec<Term>);

#[derive(Debug)]
struct Term {
    negated: bool,
    /// Field and operator; `None` for a word or a phrase.
    field: Option<(String, Operator)>,
    value: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Is,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let mut terms = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let negated = rest.starts_with('-');
            rest = rest.strip_prefix('-').unwrap_or(rest);
            let name_end =
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|end| *end > 0).unwrap_or(0);
            let operators = [
                (">=", Operator::GreaterOrEqual),
                ("<=", Operator::LessOrEqual),
                (">", Operator::Greater),
                ("<", Operator::Less),
                (":", Operator::Is),
            ];
            let found =
                operators.into_iter().find(|(sign, _)| name_end > 0 && rest[name_end..].starts_with(sign));
            let field = found.map(|(sign, operator)| {
                let name = rest[..name_end].to_lowercase();
                rest = &rest[name_end + sign.len()..];
                (name, operator)
            });
            let value = if let Some(quoted) = rest.strip_prefix('"') {
                let end = quoted.find('"').unwrap_or(quoted.len());
                rest = quoted.get(end + 1..).unwrap_or_default();
                &quoted[..end]
            } else {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                let (value, after) = rest.split_at(end);
                rest = after;
                value
            };
            if field.is_some() || !value.is_empty() {
                terms.push(Term { negated, field, value: value.to_owned() });
            }
            rest = rest.trim_start();
        }
        Self(terms)
    }

    /// Reports if the query finds a ticket; `doc` is the ticket as the index knows it.
    pub(super) fn matches(&self, ticket: &Ticket, doc: &Document, now: DateTime<Utc>) -> bool {
        self.0.iter().all(|term| term.matches(ticket, doc, now) != term.negated)
    }
}

impl Term {
    fn matches(&self, ticket: &Ticket, doc: &Document, now: DateTime<Utc>) -> bool {
        let value = self.value.to_lowercase();
        let Some((field, operator)) = &self.field else {
            return contains_words(&doc.subject, &value)
                || ticket.comments.iter().any(|comment| contains_words(&comment.body, &value))
                || doc.custom.values().filter_map(Value::as_str).any(|text| contains_words(text, &value));
        };
        let rank = |names: &[&str], name: &str| names.iter().position(|known| *known == name);
        match field.as_str() {
            "type" => value == "ticket" || doc.kind.as_deref() == Some(&value),
            "updated" | "updated_at" => operator.on_times(doc.updated, &value, now),
            "created" | "created_at" => operator.on_times(ticket.created, &value, now),
            "status" => operator.on_ranks(rank(&STATUSES, &doc.status), rank(&STATUSES, &value)),
            "priority" => {
                // The list has the most urgent priority first; in a search, it is the greatest.
                let own = doc.priority.as_deref().and_then(|own| rank(&PRIORITIES, own));
                let turned = |at: usize| PRIORITIES.len() - at;
                operator.on_ranks(own.map(turned), rank(&PRIORITIES, &value).map(turned))
            }
            "external_id" => doc.external_id.as_deref().is_some_and(|own| own.to_lowercase() == value),
            "tags" => doc.tags.contains(&value),
            "has_attachment" => {
                let has = ticket.comments.iter().any(|comment| !comment.attachments.is_empty());
                has.to_string() == value
            }
            "subject" => contains_words(&doc.subject, &value),
            "fieldvalue" => doc.custom.values().any(|own| holds(own, &value)),
            "id" | "ticket_id" => ticket.id.to_string() == value,
            field => field
                .strip_prefix("custom_field_")
                .and_then(|id| doc.custom.get(&id.parse().ok()?))
                .is_some_and(|own| holds(own, &value)),
        }
    }
}

impl Operator {
    fn on_ranks(self, own: Option<usize>, asked: Option<usize>) -> bool {
        own.is_some_and(|own| asked.is_some_and(|asked| self.holds(&own, &asked)))
    }

    fn on_times(self, own: DateTime<Utc>, asked: &str, now: DateTime<Utc>) -> bool {
        match (time(asked, now), self) {
            (None, _) => false,
            // A date without a time means the whole day.
            (Some(asked), Self::Is) => own >= asked && own < asked + Duration::days(1),
            (Some(asked), operator) => operator.holds(&own, &asked),
        }
    }

    fn holds<T: Ord>(self, own: &T, asked: &T) -> bool {
        match self {
            Self::Is => own == asked,
            Self::Less => own < asked,
            Self::LessOrEqual => own <= asked,
            Self::Greater => own > asked,
            Self::GreaterOrEqual => own >= asked,
        }
    }
}

/// Compares a custom field's value: a checkbox is `true` or `false`, a text is searched by its words.
fn holds(own: &Value, asked: &str) -> bool {
    match own {
        Value::Bool(own) => own.to_string() == asked,
        Value::String(own) => contains_words(own, asked),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => false,
    }
}

/// Reports if a text contains the words of `asked` one after the other. All characters but letters and digits separate words.
fn contains_words(text: &str, asked: &str) -> bool {
    fn words(text: &str) -> Vec<String> {
        let parts = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        parts.map(str::to_lowercase).collect()
    }
    let (text, asked) = (words(text), words(asked));
    !asked.is_empty() && text.windows(asked.len()).any(|window| window == asked)
}

/// Parses a time: `2026-11-24T13:00:00Z`, `2026-11-24`, or a period before now such as `4hours`.
fn time(text: &str, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(&text.to_uppercase()) {
        return Some(time.with_timezone(&Utc));
    }
    if let Ok(date) = text.parse::<NaiveDate>() {
        return Some(date.and_time(NaiveTime::MIN).and_utc());
    }
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let amount: i64 = text[..digits].parse().ok()?;
    let ago = match text[digits..].trim_end_matches('s') {
        "minute" => Duration::try_minutes(amount)?,
        "hour" => Duration::try_hours(amount)?,
        "day" => Duration::try_days(amount)?,
        "week" => Duration::try_weeks(amount)?,
        _ => return None,
    };
    now.checked_sub_signed(ago)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_parted_by_what_is_no_letter_or_digit() {
        for (text, asked, found) in [
            ("organizations/1/cases/2", "organizations/1/cases/2", true),
            ("organizations/1/cases/23", "organizations/1/cases/2", false),
            ("organizations 1 cases 2 more", "organizations/1/cases/2", true),
            ("", "x", false),
            ("x", "", false),
        ] {
            assert_eq!(contains_words(text, asked), found, "{text:?} {asked:?}");
        }
    }

    #[test]
    fn times_are_moments_days_or_periods() {
        let now = "2026-11-24T13:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-11-24t12:00:00z", Some("2026-11-24T12:00:00Z")),
            ("2026-11-24", Some("2026-11-24T00:00:00Z")),
            ("4hours", Some("2026-11-24T09:00:00Z")),
            ("1day", Some("2026-11-23T13:00:00Z")),
            ("soon", None),
        ] {
            assert_eq!(time(text, now), expected.map(|time| time.parse().unwrap()), "{text}");
        }
    }
}
