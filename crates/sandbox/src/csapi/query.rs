//! Query language of `cases.search`, filter of `cases.list` and query of `caseClassifications.search`.
//!
//! Only the syntax in the discovery document (CSAPI v2, revision 20260927) is accepted, anything else is an error: `state=`,
//! `priority=`, `creator.email=`, `update_time>` and quoted free text, joined by `AND`, with `OR` between priorities and
//! with parentheses. As in AIP-160, `OR` binds more tightly than `AND`.

use chrono::{DateTime, Utc};

use super::model::{Comment, Priority, Record, State, Version};

/// Parsed query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Query {
    All(Vec<Query>),
    Any(Vec<Query>),
    Open,
    Closed,
    Priority(Priority),
    CreatorEmail(String),
    UpdatedAfter(DateTime<Utc>),
    Text(String),
}

/// Method that a query belongs to, which decides which restrictions are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `cases.search`.
    Search,
    /// `cases.list`: no `update_time`, no free text.
    List,
}

/// Case that a query is matched against, as the search index knows it.
pub(super) struct Subject<'a> {
    pub(super) record: &'a Record,
    pub(super) version: &'a Version,
    /// Time up to which the index has seen comments; younger ones are not found.
    pub(super) horizon: DateTime<Utc>,
}

impl Query {
    /// Parses a query; the error describes the problem. An empty query finds everything.
    pub(super) fn parse(text: &str, dialect: Dialect) -> Result<Self, String> {
        let tokens = tokenize(text)?;
        if tokens.is_empty() {
            return Ok(Self::All(Vec::new()));
        }
        let mut parser = Parser { tokens: tokens.into_iter().peekable(), depth: 0, dialect };
        let query = parser.conjunction()?;
        match parser.tokens.next() {
            None => Ok(query),
            Some(token) => Err(format!("{token} where AND, OR or the end was expected")),
        }
    }

    pub(super) fn matches(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.matches(subject)),
            Self::Any(parts) => parts.iter().any(|part| part.matches(subject)),
            Self::Open => subject.version.state != State::Closed,
            Self::Closed => subject.version.state == State::Closed,
            Self::Priority(priority) => subject.version.priority == Some(*priority),
            Self::CreatorEmail(email) => subject.record.creator.email().eq_ignore_ascii_case(email),
            Self::UpdatedAfter(time) => subject.version.updated_at > *time,
            Self::Text(wanted) => {
                let known = |comment: &&Comment| comment.created_at <= subject.horizon;
                let comments = subject.record.comments.iter().filter(known).map(|comment| &comment.body);
                [&subject.version.display_name, &subject.record.description]
                    .into_iter()
                    .chain(comments)
                    .any(|text| words(text).contains(wanted.as_str()))
            }
        }
    }

    /// Reports if the query is about priorities only: just these may be joined by `OR`.
    fn is_about_priority(&self) -> bool {
        match self {
            Self::Priority(_) => true,
            Self::Any(parts) => parts.iter().all(Self::is_about_priority),
            Self::All(_)
            | Self::Open
            | Self::Closed
            | Self::CreatorEmail(_)
            | Self::UpdatedAfter(_)
            | Self::Text(_) => false,
        }
    }
}

/// Returns the words of a text as the full text search compares them: in lower case, with one space between them. Google does not
/// document how its search splits words. This finds more than it should, and a caller has to expect that.
fn words(text: &str) -> String {
    let spaced: String = text
        .chars()
        .flat_map(char::to_lowercase)
        .map(|character| if character.is_alphanumeric() { character } else { ' ' })
        .collect();
    spaced.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Parses the query of `caseClassifications.search` into a filter for classification names. It is empty, or `display_name:"*part*"`
/// with any number of asterisks.
pub(super) fn classification_filter(text: &str) -> Result<impl Fn(&str) -> bool, String> {
    let tokens = tokenize(text)?;
    let pattern = match tokens.as_slice() {
        [] => None,
        [Token::Word(field), Token::Operator(operator), Token::Quoted(pattern)]
            if field == "display_name" && (*operator == ":" || *operator == "=") =>
        {
            Some(pattern.to_lowercase())
        }
        _ => return Err("give nothing, or display_name:\"*part of the name*\"".to_owned()),
    };
    Ok(move |name: &str| pattern.as_deref().is_none_or(|pattern| wildcard(pattern, &name.to_lowercase())))
}

/// Reports if a text matches a pattern in which `*` stands for any text.
fn wildcard(pattern: &str, text: &str) -> bool {
    let Some((head, mut rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    while let Some((part, after)) = rest.split_once('*') {
        let Some(position) = text.find(part) else { return false };
        text = &text[position + part.len()..];
        rest = after;
    }
    text.ends_with(rest)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    And,
    Or,
    Word(String),
    Quoted(String),
    Operator(&'static str),
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open => f.write_str("'('"),
            Self::Close => f.write_str("')'"),
            Self::And => f.write_str("'AND'"),
            Self::Or => f.write_str("'OR'"),
            Self::Word(word) => write!(f, "'{word}'"),
            Self::Quoted(text) => write!(f, "\"{text}\""),
            Self::Operator(operator) => write!(f, "'{operator}'"),
        }
    }
}

fn tokenize(text: &str) -> Result<Vec<Token>, String> {
    /// Operators, longest first, so that `<=` is not read as `<`.
    const OPERATORS: [&str; 7] = ["!=", "<=", ">=", "=", "<", ">", ":"];
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if let Some(operator) = OPERATORS.into_iter().find(|operator| rest.starts_with(operator)) {
            tokens.push(Token::Operator(operator));
            rest = &rest[operator.len()..];
        } else if first == '(' || first == ')' {
            tokens.push(if first == '(' { Token::Open } else { Token::Close });
            rest = &rest[1..];
        } else if first == '"' {
            let (quoted, after) = quoted(&rest[1..])?;
            tokens.push(Token::Quoted(quoted));
            rest = after;
        } else {
            let end = rest
                .find(|character: char| character.is_whitespace() || "()\"=<>!:".contains(character))
                .unwrap_or(rest.len());
            if end == 0 {
                return Err(format!("unexpected character '{first}'"));
            }
            tokens.push(match &rest[..end] {
                "AND" => Token::And,
                "OR" => Token::Or,
                word => Token::Word(word.to_owned()),
            });
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// Splits a text at its closing quote. In the first part, `\` makes the next character literal.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut content = String::new();
    let mut characters = text.char_indices();
    while let Some((position, character)) = characters.next() {
        match character {
            '"' => return Ok((content, &text[position + 1..])),
            '\\' => match characters.next() {
                Some((_, literal)) => content.push(literal),
                None => break,
            },
            _ => content.push(character),
        }
    }
    Err("a quotation mark is never closed".to_owned())
}

/// Maximum nesting of parentheses; deeper queries are refused.
const DEEPEST: usize = 32;

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    depth: usize,
    dialect: Dialect,
}

impl Parser {
    fn conjunction(&mut self) -> Result<Query, String> {
        let mut parts = vec![self.disjunction()?];
        while self.tokens.next_if_eq(&Token::And).is_some() {
            parts.push(self.disjunction()?);
        }
        Ok(Self::joined(parts, Query::All))
    }

    fn disjunction(&mut self) -> Result<Query, String> {
        let mut parts = vec![self.factor()?];
        while self.tokens.next_if_eq(&Token::Or).is_some() {
            parts.push(self.factor()?);
        }
        if parts.len() > 1 && !parts.iter().all(Query::is_about_priority) {
            return Err("OR may only join priorities".to_owned());
        }
        Ok(Self::joined(parts, Query::Any))
    }

    fn joined(mut parts: Vec<Query>, join: fn(Vec<Query>) -> Query) -> Query {
        match parts.pop() {
            Some(only) if parts.is_empty() => only,
            Some(last) => {
                parts.push(last);
                join(parts)
            }
            None => join(parts),
        }
    }

    fn factor(&mut self) -> Result<Query, String> {
        match self.tokens.next() {
            Some(Token::Open) => {
                self.depth += 1;
                if self.depth > DEEPEST {
                    return Err(format!("parentheses are nested more than {DEEPEST} deep"));
                }
                let inner = self.conjunction()?;
                self.depth -= 1;
                match self.tokens.next() {
                    Some(Token::Close) => Ok(inner),
                    Some(token) => Err(format!("{token} where ')' was expected")),
                    None => Err("a parenthesis is never closed".to_owned()),
                }
            }
            Some(Token::Quoted(text)) if self.dialect == Dialect::Search => Ok(Query::Text(words(&text))),
            Some(Token::Quoted(_)) => Err("free text is not supported here".to_owned()),
            Some(Token::Word(field)) => self.restriction(&field),
            Some(token @ (Token::Close | Token::And | Token::Or | Token::Operator(_))) => {
                Err(format!("{token} where a condition was expected"))
            }
            None => Err("it ends where a condition was expected".to_owned()),
        }
    }

    fn restriction(&mut self, field: &str) -> Result<Query, String> {
        let expected = match field {
            "state" | "priority" | "creator.email" => "=",
            "update_time" if self.dialect == Dialect::Search => ">",
            _ => return Err(format!("unknown field '{field}' (free text must be quoted)")),
        };
        match self.tokens.next() {
            Some(Token::Operator(operator)) if operator == expected => {}
            _ => return Err(format!("'{field}' only supports the operator '{expected}'")),
        }
        let (value, is_quoted) = match self.tokens.next() {
            Some(Token::Word(value)) => (value, false),
            Some(Token::Quoted(value)) => (value, true),
            _ => return Err(format!("'{field}' needs a value")),
        };
        match (field, value.as_str()) {
            ("state", "OPEN") => Ok(Query::Open),
            ("state", "CLOSED") => Ok(Query::Closed),
            ("state", _) => Err(format!("state can be OPEN or CLOSED, not '{value}'")),
            ("priority", _) => Priority::parse(&value)
                .map(Query::Priority)
                .ok_or_else(|| format!("priority can be P0, P1, P2, P3 or P4, not '{value}'")),
            (_, _) if !is_quoted => Err(format!("the value of '{field}' must be quoted")),
            ("creator.email", _) => Ok(Query::CreatorEmail(value)),
            (_, _) => DateTime::parse_from_rfc3339(&value)
                .map(|time| Query::UpdatedAfter(time.to_utc()))
                .map_err(|error| format!("update_time: '{value}' is not an RFC 3339 time: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Query, String> {
        Query::parse(text, Dialect::Search)
    }

    #[test]
    fn the_documented_examples_are_understood() {
        use Priority::{P0, P1};
        use Query::{All, Any, Closed, CreatorEmail, Open, Priority as Is, Text, UpdatedAfter};
        let new_year = "2020-01-01T05:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("", All(vec![])),
            ("  ", All(vec![])),
            ("state=CLOSED", Closed),
            ("state = OPEN", Open),
            ("priority=P1 OR priority=P0", Any(vec![Is(P1), Is(P0)])),
            (
                r#"state=OPEN AND creator.email="tester@example.com""#,
                All(vec![Open, CreatorEmail("tester@example.com".into())]),
            ),
            ("state=OPEN AND (priority=P0 OR priority=P1)", All(vec![Open, Any(vec![Is(P0), Is(P1)])])),
            ("state=OPEN AND priority=P0 OR priority=P1", All(vec![Open, Any(vec![Is(P0), Is(P1)])])),
            (r#"update_time>"2020-01-01T00:00:00-05:00""#, UpdatedAfter(new_year)),
            (r#"update_time > "2020-01-01T05:00:00Z""#, UpdatedAfter(new_year)),
            (r#""my \"own\" search""#, Text("my own search".into())),
            (r#"(("a") AND state=OPEN)"#, All(vec![Text("a".into()), Open])),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_documented_is_refused() {
        for (text, complaint) in [
            ("state=open", "OPEN or CLOSED"),
            ("state:OPEN", "operator '='"),
            ("priority=P5", "P0, P1"),
            ("priority=P0 OR state=OPEN", "OR may only join priorities"),
            ("creator.email=a@example.com", "must be quoted"),
            (r#"update_time>="2020-01-01T00:00:00Z""#, "operator '>'"),
            (r#"update_time="2020-01-01T00:00:00Z""#, "operator '>'"),
            ("update_time>2020", "must be quoted"),
            (r#"update_time>"yesterday""#, "RFC 3339"),
            (r#"updateTime>"2020-01-01T00:00:00Z""#, "unknown field"),
            ("database", "unknown field"),
            (r#""a" "b""#, "AND, OR or the end"),
            ("state=OPEN AND", "it ends"),
            ("AND state=OPEN", "a condition was expected"),
            ("(state=OPEN", "never closed"),
            ("state=OPEN)", "AND, OR or the end"),
            (r#""open"#, "never closed"),
            ("state=", "needs a value"),
            ("!", "unexpected character"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(complaint), "{text}: {error}");
        }
        assert!(parse(&format!("{}state=OPEN{}", "(".repeat(99), ")".repeat(99))).is_err());
    }

    #[test]
    fn a_list_filter_knows_neither_time_nor_text() {
        for text in [r#"update_time>"2020-01-01T00:00:00Z""#, r#""text""#] {
            assert!(Query::parse(text, Dialect::List).is_err(), "{text}");
        }
        assert_eq!(Query::parse("state=OPEN", Dialect::List), Ok(Query::Open));
    }

    #[test]
    fn classifications_are_found_by_pattern() {
        let name = "Technical Issue > Compute > Compute Engine";
        for (query, found) in [
            ("", true),
            (r#"display_name:"*Compute Engine*""#, true),
            (r#"display_name:"*compute*engine""#, true),
            (r#"display_name:"Compute*""#, false),
            (r#"display_name:"*Engine > *""#, false),
            (r#"display_name:"Technical Issue > Compute > Compute Engine""#, true),
        ] {
            assert_eq!(classification_filter(query).map(|filter| filter(name)), Ok(found), "{query}");
        }
        assert!(classification_filter("Compute").is_err());
    }
}
