//! JQL, as far as connectors and people use it: parsing, checking against the existing data, and matching.
//!
//! The semantics follow Atlassian's documentation of JQL fields and operators: text fields support only `~`, times have minutes as
//! their smallest unit and are read in the time zone of the asking user, and an unknown name is an error.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use chrono::{DateTime, Duration, NaiveDate, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation as _;

use super::catalog::{self, Category};
use super::settings::{FlagField, SandboxJiraSettings};
use super::state::{Document, Issue, State};

/// Data that a query is parsed and checked against.
pub(super) struct Context<'a> {
    pub(super) state: &'a State,
    pub(super) settings: &'a SandboxJiraSettings,
    pub(super) now: DateTime<Utc>,
}

/// Parsed and valid query.
#[derive(Debug)]
pub(super) struct Query {
    test: Option<Test>,
    order: Vec<(SortField, Direction)>,
}

#[derive(Debug)]
enum Test {
    All(Vec<Test>),
    Any(Vec<Test>),
    Not(Box<Test>),
    /// The issue has one of these IDs; keys are resolved already.
    Issue(BTreeSet<u64>),
    /// The field has one of these values, compared without case.
    OneOf(Field, BTreeSet<String>),
    Empty(Field),
    Time(Field, Comparison, DateTime<Utc>),
    Priority(Comparison, usize),
    Text(Vec<Field>, TextQuery),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    fn holds(self, ordering: Ordering) -> bool {
        match self {
            Self::Equal => ordering.is_eq(),
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Greater => ordering.is_gt(),
            Self::GreaterOrEqual => ordering.is_ge(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Key,
    Project,
    IssueType,
    Summary,
    Description,
    Comment,
    Text,
    Status,
    StatusCategory,
    Priority,
    Resolution,
    Resolved,
    Created,
    Updated,
    Creator,
    Reporter,
    Assignee,
    Component,
    Labels,
    Attachments,
    Flag,
    GoogleName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SortField {
    Key,
    Summary,
    Status,
    Priority,
    Created,
    Updated,
    Resolved,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Ascending,
    Descending,
}

/// Sort key of an issue in the order of a query; stored in page tokens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum SortKey {
    Number(i64),
    Text(String),
}

impl Query {
    /// Parses and checks a query. An empty query is valid here.
    pub(super) fn parse(text: &str, context: &Context<'_>) -> Result<Self, String> {
        let tokens = tokens(text)?;
        Parser { tokens, position: 0, depth: 0, context }.query()
    }

    /// Reports if the query has a search restriction.
    pub(super) fn is_bounded(&self) -> bool {
        self.test.is_some()
    }

    /// Reports if the query finds an issue; `doc` is the issue as the index knows it.
    pub(super) fn matches(&self, issue: &Issue, doc: &Document) -> bool {
        self.test.as_ref().is_none_or(|test| test.holds(issue, doc))
    }

    /// Returns the sort keys of an issue. The last one is its ID, so no two issues are equal.
    pub(super) fn sort_keys(&self, issue: &Issue, doc: &Document) -> Vec<SortKey> {
        let mut keys: Vec<_> = self.order.iter().map(|(field, _)| field.key(issue, doc)).collect();
        keys.push(SortKey::Number(id_key(issue.id)));
        keys
    }

    /// Compares two issues by their sort keys. Without `ORDER BY`, and among equals, the newest comes first.
    pub(super) fn compare(&self, left: &[SortKey], right: &[SortKey]) -> Ordering {
        let directions =
            self.order.iter().map(|(_, direction)| *direction).chain(std::iter::once(Direction::Descending));
        left.iter()
            .zip(right)
            .zip(directions)
            .map(|((left, right), direction)| match direction {
                Direction::Ascending => left.cmp(right),
                Direction::Descending => right.cmp(left),
            })
            .find(|ordering| ordering.is_ne())
            .unwrap_or(Ordering::Equal)
    }
}

impl Test {
    fn holds(&self, issue: &Issue, doc: &Document) -> bool {
        match self {
            Self::All(tests) => tests.iter().all(|test| test.holds(issue, doc)),
            Self::Any(tests) => tests.iter().any(|test| test.holds(issue, doc)),
            Self::Not(test) => !test.holds(issue, doc),
            Self::Issue(ids) => ids.contains(&issue.id),
            Self::OneOf(field, wanted) => {
                field.values(issue, doc).iter().any(|value| wanted.contains(&value.to_lowercase()))
            }
            Self::Empty(field) => field.values(issue, doc).is_empty(),
            Self::Time(field, comparison, limit) => {
                field.time(issue, doc).is_some_and(|time| comparison.holds(time.cmp(limit)))
            }
            // A more urgent priority counts as greater but has the smaller ID.
            Self::Priority(comparison, id) => comparison.holds(id.cmp(&catalog::priority_id(&doc.priority))),
            Self::Text(fields, query) => {
                fields.iter().any(|field| field.values(issue, doc).iter().any(|text| query.matches(text)))
            }
        }
    }
}

impl Field {
    fn named(name: &str, settings: &SandboxJiraSettings) -> Result<Self, String> {
        let plain = name.to_lowercase();
        Ok(match plain.as_str() {
            "id" | "key" | "issue" | "issuekey" => Self::Key,
            "project" => Self::Project,
            "issuetype" | "type" => Self::IssueType,
            "summary" => Self::Summary,
            "description" => Self::Description,
            "comment" => Self::Comment,
            "text" => Self::Text,
            "status" => Self::Status,
            "statuscategory" => Self::StatusCategory,
            "priority" => Self::Priority,
            "resolution" => Self::Resolution,
            "resolved" | "resolutiondate" => Self::Resolved,
            "created" | "createddate" => Self::Created,
            "updated" | "updateddate" => Self::Updated,
            "creator" => Self::Creator,
            "reporter" => Self::Reporter,
            "assignee" => Self::Assignee,
            "component" => Self::Component,
            "labels" => Self::Labels,
            "attachments" => Self::Attachments,
            other => {
                let is = |id: &str, name: &str, kind: &str| {
                    let number = id.trim_start_matches("customfield_");
                    let name = name.to_lowercase();
                    other == format!("cf[{number}]") || other == name || other == format!("{name}[{kind}]")
                };
                let kind = match settings.flag_field {
                    FlagField::Checkbox => "checkboxes",
                    FlagField::Select => "dropdown",
                    FlagField::Text => "short text",
                };
                if is(catalog::FLAG_FIELD, catalog::FLAG_NAME, kind) {
                    Self::Flag
                } else if is(catalog::GOOGLE_NAME_FIELD, catalog::GOOGLE_NAME_NAME, "short text") {
                    Self::GoogleName
                } else {
                    return Err(format!(
                        "Field '{name}' does not exist or you do not have permission to view it."
                    ));
                }
            }
        })
    }

    fn values(self, issue: &Issue, doc: &Document) -> Vec<String> {
        let one = |value: &str| vec![value.to_owned()];
        match self {
            Self::Key => one(&doc.key),
            Self::Project => one(&doc.project),
            Self::IssueType => one(&doc.issue_type),
            Self::Summary => one(&doc.summary),
            Self::Description => doc.description.iter().cloned().collect(),
            Self::Comment => issue.comments.iter().map(|comment| comment.body.clone()).collect(),
            Self::Text => [Self::Summary, Self::Description, Self::Comment, Self::GoogleName]
                .into_iter()
                .flat_map(|field| field.values(issue, doc))
                .collect(),
            Self::Status => one(&doc.status),
            Self::StatusCategory => one(catalog::status(&doc.status).category.key()),
            Self::Priority => one(&doc.priority),
            Self::Resolution => doc.resolution.iter().cloned().collect(),
            Self::Resolved | Self::Created | Self::Updated => {
                self.time(issue, doc).iter().map(DateTime::to_rfc3339).collect()
            }
            Self::Creator => one(&issue.creator),
            Self::Reporter => one(&doc.reporter),
            Self::Assignee => doc.assignee.iter().cloned().collect(),
            Self::Component => doc.components.iter().cloned().collect(),
            Self::Labels => doc.labels.iter().cloned().collect(),
            Self::Attachments => issue.attachments.iter().map(|file| file.file_name.clone()).collect(),
            Self::Flag => doc.flag.iter().cloned().collect(),
            Self::GoogleName => doc.google_name.iter().cloned().collect(),
        }
    }

    fn time(self, issue: &Issue, doc: &Document) -> Option<DateTime<Utc>> {
        match self {
            Self::Created => Some(issue.created),
            Self::Updated => Some(doc.updated),
            Self::Resolved => doc.resolved,
            Self::Key
            | Self::Project
            | Self::IssueType
            | Self::Summary
            | Self::Description
            | Self::Comment
            | Self::Text
            | Self::Status
            | Self::StatusCategory
            | Self::Priority
            | Self::Resolution
            | Self::Creator
            | Self::Reporter
            | Self::Assignee
            | Self::Component
            | Self::Labels
            | Self::Attachments
            | Self::Flag
            | Self::GoogleName => None,
        }
    }

    fn kind(self, settings: &SandboxJiraSettings) -> Kind {
        match self {
            Self::Key => Kind::Issue,
            Self::Project
            | Self::IssueType
            | Self::Status
            | Self::StatusCategory
            | Self::Resolution
            | Self::Creator
            | Self::Reporter
            | Self::Assignee
            | Self::Component
            | Self::Labels => Kind::Choice,
            Self::Priority => Kind::Ranked,
            Self::Summary | Self::Description | Self::Comment | Self::Text | Self::GoogleName => Kind::Text,
            Self::Resolved | Self::Created | Self::Updated => Kind::Time,
            Self::Attachments => Kind::Presence,
            Self::Flag => match settings.flag_field {
                FlagField::Checkbox | FlagField::Select => Kind::Choice,
                FlagField::Text => Kind::Text,
            },
        }
    }
}

/// Kind of a field, which decides the operators and values that it accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Issue,
    Choice,
    Ranked,
    Text,
    Time,
    Presence,
}

impl SortField {
    fn key(self, issue: &Issue, doc: &Document) -> SortKey {
        let time = |time: DateTime<Utc>| SortKey::Number(time.timestamp_micros());
        match self {
            Self::Key => SortKey::Number(id_key(issue.id)),
            Self::Summary => SortKey::Text(doc.summary.to_lowercase()),
            Self::Status => SortKey::Text(doc.status.clone()),
            Self::Priority => SortKey::Number(-id_key(catalog::priority_id(&doc.priority) as u64)),
            Self::Created => time(issue.created),
            Self::Updated => time(doc.updated),
            Self::Resolved => time(doc.resolved.unwrap_or(DateTime::<Utc>::MIN_UTC)),
        }
    }

    /// Returns the direction if the query names none: descending for times and priorities, else ascending.
    fn default_direction(self) -> Direction {
        match self {
            Self::Priority | Self::Created | Self::Updated | Self::Resolved => Direction::Descending,
            Self::Key | Self::Summary | Self::Status => Direction::Ascending,
        }
    }
}

fn id_key(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

// ---------------------------------------------------------------- text

/// Text search: every part must be found, a phrase as consecutive words. Words are compared without case and without the English
/// plural `s`, so near matches are found too, as in the real index.
#[derive(Debug, PartialEq, Eq)]
struct TextQuery {
    parts: Vec<Vec<Word>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Whole(String),
    Prefix(String),
}

impl TextQuery {
    fn parse(text: &str, field: &str) -> Result<Self, String> {
        if let Some(first) = text.chars().next().filter(|first| matches!(first, '*' | '?')) {
            return Err(format!(
                "The text query '{text}' for field '{field}' is not allowed to start with character '{first}'"
            ));
        }
        let mut parts = Vec::new();
        for (number, piece) in text.split('"').enumerate() {
            if number % 2 == 1 {
                parts.push(words(piece).map(Word::Whole).collect::<Vec<_>>());
                continue;
            }
            for term in piece.split_whitespace() {
                let mut term_words: Vec<_> = words(term).map(Word::Whole).collect();
                if term.ends_with('*')
                    && let Some(Word::Whole(last)) = term_words.pop()
                {
                    term_words.push(Word::Prefix(last));
                }
                parts.push(term_words);
            }
        }
        parts.retain(|part| !part.is_empty());
        Ok(Self { parts })
    }

    fn matches(&self, text: &str) -> bool {
        let text: Vec<String> = words(text).collect();
        !self.parts.is_empty()
            && self.parts.iter().all(|part| {
                text.windows(part.len()).any(|window| {
                    window.iter().zip(part).all(|(found, wanted)| match wanted {
                        Word::Whole(wanted) => found == wanted,
                        Word::Prefix(wanted) => found.starts_with(wanted.as_str()),
                    })
                })
            })
    }
}

fn words(text: &str) -> impl Iterator<Item = String> {
    text.unicode_words().map(|word| {
        let word = word.to_lowercase();
        match word.strip_suffix('s') {
            Some(stem) if stem.len() > 2 && !stem.ends_with('s') => stem.to_owned(),
            Some(_) | None => word,
        }
    })
}

// ---------------------------------------------------------------- grammar

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// A word or a quoted string; the flag is true if it is quoted.
    Word(String, bool),
    /// An operator or a bracket.
    Sign(&'static str),
}

type Placed = (Token, usize);

const SIGNS: [&str; 13] = ["!=", "!~", "<=", ">=", "&&", "||", "=", "<", ">", "~", "(", ")", ","];

/// Maximum nesting of a query: more than any sensible query needs, and too little to overflow the stack.
const DEPTH_LIMIT: usize = 100;

/// Words that must be quoted to be used as names or values.
const RESERVED: [&str; 11] =
    ["and", "or", "not", "in", "is", "was", "changed", "empty", "null", "order", "by"];

fn fault(what: &str, position: usize) -> String {
    format!("Error in the JQL Query: {what} (line 1, character {})", position + 1)
}

fn tokens(text: &str) -> Result<Vec<Placed>, String> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if c.is_whitespace() {
            at += 1;
        } else if c == '"' || c == '\'' {
            let (word, next) = quoted(&chars, at)?;
            tokens.push((Token::Word(word, true), at));
            at = next;
        } else if let Some(sign) =
            SIGNS.iter().find(|sign| chars[at..].starts_with(&sign.chars().collect::<Vec<_>>()))
        {
            tokens.push((Token::Sign(sign), at));
            at += sign.len();
        } else if c == '!' {
            tokens.push((Token::Word("not".to_owned(), false), at));
            at += 1;
        } else if c == '&' || c == '|' {
            return Err(fault(&format!("Expecting either 'OR' or 'AND' but got '{c}'."), at));
        } else {
            let start = at;
            while let Some(&c) =
                chars.get(at).filter(|c| !c.is_whitespace() && !"\"'=!<>~(),&|".contains(**c))
            {
                let custom_field = "[]".contains(c) && chars[start..at].starts_with(&['c', 'f']);
                if !custom_field && "+?;*/%^$#@[]{}\\`".contains(c) {
                    return Err(fault(
                        &format!(
                            "The character '{c}' is a reserved JQL character. You must enclose it in a string or use the escape '\\u{:04x}' instead.",
                            c as u32
                        ),
                        at,
                    ));
                }
                at += 1;
            }
            tokens.push((Token::Word(chars[start..at].iter().collect(), false), start));
        }
    }
    Ok(tokens)
}

/// Reads the quoted string that begins at `start`; returns it and the position after it.
fn quoted(chars: &[char], start: usize) -> Result<(String, usize), String> {
    let quote = chars[start];
    let mut text = String::new();
    let mut at = start + 1;
    loop {
        match chars.get(at) {
            None => {
                return Err(fault("The quoted string has not been completed.", start));
            }
            Some(&c) if c == quote => return Ok((text, at + 1)),
            Some('\\') => {
                let escape = chars.get(at + 1).copied().unwrap_or(' ');
                match escape {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    '\\' | '"' | '\'' | ' ' => text.push(escape),
                    'u' => {
                        let digits: String = chars.iter().skip(at + 2).take(4).collect();
                        let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                        text.push(code.ok_or_else(|| illegal_escape(&format!("u{digits}"), at))?);
                        at += 4;
                    }
                    other => return Err(illegal_escape(&other.to_string(), at)),
                }
                at += 2;
            }
            Some(&c) => {
                text.push(c);
                at += 1;
            }
        }
    }
}

fn illegal_escape(escape: &str, at: usize) -> String {
    fault(
        &format!(
            "'\\{escape}' is an illegal JQL escape sequence. The valid escape sequences are \\', \\\", \\t, \\n, \\r, \\\\, '\\ ' and \\uXXXX."
        ),
        at,
    )
}

struct Parser<'a> {
    tokens: Vec<Placed>,
    position: usize,
    /// Number of open brackets and `NOT`s.
    depth: usize,
    context: &'a Context<'a>,
}

#[derive(Debug)]
enum Operand {
    Values(Vec<String>, bool),
    Empty,
}

impl Parser<'_> {
    fn query(mut self) -> Result<Query, String> {
        let test = if self.peek().is_none() || self.at_word("order") { None } else { Some(self.either()?) };
        let order = self.order()?;
        match self.peek() {
            None => Ok(Query { test, order }),
            Some(_) => Err(self.unexpected("Expecting either 'OR' or 'AND'")),
        }
    }

    fn either(&mut self) -> Result<Test, String> {
        let mut tests = vec![self.both()?];
        while self.take_word("or") || self.take_sign("||") {
            tests.push(self.both()?);
        }
        Ok(single(tests, Test::Any))
    }

    fn both(&mut self) -> Result<Test, String> {
        let mut tests = vec![self.factor()?];
        while self.take_word("and") || self.take_sign("&&") {
            tests.push(self.factor()?);
        }
        Ok(single(tests, Test::All))
    }

    fn factor(&mut self) -> Result<Test, String> {
        let negated = self.take_word("not");
        if !negated && !self.take_sign("(") {
            return self.condition();
        }
        if self.depth == DEPTH_LIMIT {
            return Err("Error in the JQL Query: it is nested too deeply.".to_owned());
        }
        self.depth += 1;
        let test = if negated {
            Test::Not(Box::new(self.factor()?))
        } else {
            let test = self.either()?;
            if !self.take_sign(")") {
                return Err(self.unexpected("Expecting ')'"));
            }
            test
        };
        self.depth -= 1;
        Ok(test)
    }

    fn condition(&mut self) -> Result<Test, String> {
        let Some(name) = self.peek_name().map(str::to_owned) else {
            return Err(self.unexpected("Expecting a field name"));
        };
        self.position += 1;
        let field = Field::named(&name, self.context.settings)?;
        if self.take_word("is") {
            let not = self.take_word("not");
            return match self.operand()? {
                Operand::Empty => Ok(negate(self.empty(field, &name)?, not)),
                Operand::Values(..) => Err(format!(
                    "The operator 'is' only supports the values EMPTY and NULL for the '{name}' field."
                )),
            };
        }
        if self.take_word("not") {
            return if self.take_word("in") {
                let test = self.one_of(field, &name, "not in")?;
                Ok(absent_or(field, test))
            } else {
                Err(self.unexpected("Expecting 'in'"))
            };
        }
        if self.take_word("in") {
            return self.one_of(field, &name, "in");
        }
        for word in ["was", "changed"] {
            if self.at_word(word) {
                return Err(format!("The operator '{word}' is not supported by the '{name}' field."));
            }
        }
        let sign = ["!=", "!~", "<=", ">=", "=", "<", ">", "~"]
            .into_iter()
            .find(|sign| self.take_sign(sign))
            .ok_or_else(|| self.unexpected("Expecting operator but got"))?;
        self.comparison(field, &name, sign)
    }

    fn comparison(&mut self, field: Field, name: &str, sign: &str) -> Result<Test, String> {
        let values = match self.operand()? {
            Operand::Empty => {
                return match sign {
                    "=" => self.empty(field, name),
                    "!=" => Ok(negate(self.empty(field, name)?, true)),
                    other => {
                        Err(format!("The operator '{other}' does not support searching for EMPTY values."))
                    }
                };
            }
            Operand::Values(values, true) => {
                let values = values.join(", ");
                return Err(format!(
                    "Operator '{sign}' does not support the list value '({values})' for field '{name}'."
                ));
            }
            Operand::Values(values, false) => values,
        };
        let value = values.into_iter().next().unwrap_or_default();
        let unsupported = || Err(format!("The operator '{sign}' is not supported by the '{name}' field."));
        match (field.kind(self.context.settings), sign) {
            (Kind::Text, "~" | "!~") => {
                let fields = vec![field];
                let found = Test::Text(fields, TextQuery::parse(&value, name)?);
                Ok(if sign == "!~" { absent_or(field, found) } else { found })
            }
            (Kind::Issue | Kind::Choice | Kind::Ranked, "=") => self.known(field, name, &[value]),
            (Kind::Issue | Kind::Choice | Kind::Ranked, "!=") => {
                let found = self.known(field, name, &[value])?;
                Ok(absent_or(field, found))
            }
            (Kind::Ranked, "<" | "<=" | ">" | ">=") => {
                let priority = canonical_priority(&value)
                    .ok_or_else(|| format!("The value '{value}' does not exist for the field '{name}'."))?;
                Ok(Test::Priority(ordering_of(sign), catalog::priority_id(priority)))
            }
            (Kind::Time, "=" | "!=" | "<" | "<=" | ">" | ">=") => {
                let limit = self.time(&value, name)?;
                let test = Test::Time(field, ordering_of(sign), limit);
                Ok(if sign == "!=" { absent_or(field, test) } else { test })
            }
            _ => unsupported(),
        }
    }

    fn one_of(&mut self, field: Field, name: &str, operator: &str) -> Result<Test, String> {
        match (field.kind(self.context.settings), self.operand()?) {
            (Kind::Issue | Kind::Choice | Kind::Ranked, Operand::Values(values, true)) => {
                self.known(field, name, &values)
            }
            (Kind::Time, Operand::Values(values, true)) => values
                .iter()
                .map(|value| Ok(Test::Time(field, Comparison::Equal, self.time(value, name)?)))
                .collect::<Result<Vec<_>, String>>()
                .map(Test::Any),
            (Kind::Text | Kind::Presence, _) => {
                Err(format!("The operator '{operator}' is not supported by the '{name}' field."))
            }
            (
                Kind::Issue | Kind::Choice | Kind::Ranked | Kind::Time,
                Operand::Values(..) | Operand::Empty,
            ) => {
                Err(format!("Operator '{operator}' does not support the non-list value for field '{name}'."))
            }
        }
    }

    fn empty(&self, field: Field, name: &str) -> Result<Test, String> {
        match field.kind(self.context.settings) {
            Kind::Issue => Err(format!("The field '{name}' does not support searching for EMPTY values.")),
            Kind::Choice | Kind::Ranked | Kind::Text | Kind::Time | Kind::Presence => Ok(Test::Empty(field)),
        }
    }

    /// Builds the test for a list of values, which must exist: an unknown name is an error, as in the real Jira.
    fn known(&self, field: Field, name: &str, values: &[String]) -> Result<Test, String> {
        let state = self.context.state;
        if field == Field::Key {
            let ids = values.iter().map(|value| {
                state
                    .resolve(value)
                    .filter(|id| state.issues.get(id).is_some_and(|issue| state.shows(issue)))
                    .ok_or_else(|| self.no_such_issue(value, name))
            });
            return Ok(Test::Issue(ids.collect::<Result<_, _>>()?));
        }
        if field == Field::Resolution && values.iter().any(|value| value.eq_ignore_ascii_case("unresolved")) {
            return Ok(Test::Empty(field));
        }
        let wanted = values.iter().map(|value| {
            self.canonical(field, value).map(|known| known.to_lowercase()).ok_or_else(|| match field {
                Field::Flag => format!("The option '{value}' for field '{name}' does not exist."),
                Field::Key
                | Field::Project
                | Field::IssueType
                | Field::Summary
                | Field::Description
                | Field::Comment
                | Field::Text
                | Field::Status
                | Field::StatusCategory
                | Field::Priority
                | Field::Resolution
                | Field::Resolved
                | Field::Created
                | Field::Updated
                | Field::Creator
                | Field::Reporter
                | Field::Assignee
                | Field::Component
                | Field::Labels
                | Field::Attachments
                | Field::GoogleName => format!("The value '{value}' does not exist for the field '{name}'."),
            })
        });
        Ok(Test::OneOf(field, wanted.collect::<Result<_, _>>()?))
    }

    fn no_such_issue(&self, value: &str, name: &str) -> String {
        match self.context.settings.deployment {
            super::Deployment::Cloud => {
                "Issue does not exist or you do not have permission to see it.".to_owned()
            }
            super::Deployment::DataCenter if value.parse::<u64>().is_ok() => {
                format!("A value with ID '{value}' does not exist for the field '{name}'.")
            }
            super::Deployment::DataCenter => {
                format!("An issue with key '{value}' does not exist for field '{name}'.")
            }
        }
    }

    /// Returns the stored value of a field for a name or an ID; `None` if there is none.
    fn canonical(&self, field: Field, value: &str) -> Option<String> {
        let in_table = |table: &[(&'static str, &'static str)]| {
            table
                .iter()
                .find(|(id, name)| *id == value || name.eq_ignore_ascii_case(value))
                .map(|(_, name)| (*name).to_owned())
        };
        let state = self.context.state;
        match field {
            Field::Project => state
                .project(value)
                .or_else(|| state.projects.iter().find(|project| project.name.eq_ignore_ascii_case(value)))
                .filter(|project| state.shows_project(project))
                .map(|project| project.key.clone()),
            Field::IssueType => in_table(&catalog::ISSUE_TYPES),
            Field::Component => in_table(&catalog::COMPONENTS),
            Field::Resolution => in_table(&catalog::RESOLUTIONS),
            Field::Status => catalog::STATUSES
                .iter()
                .find(|status| status.id == value || status.name.eq_ignore_ascii_case(value))
                .map(|status| status.name.to_owned()),
            Field::StatusCategory => Category::ALL
                .iter()
                .find(|category| {
                    category.id().to_string() == value
                        || category.key() == value
                        || category.name().eq_ignore_ascii_case(value)
                })
                .map(|category| category.key().to_owned()),
            Field::Priority => canonical_priority(value).map(str::to_owned),
            Field::Creator | Field::Reporter | Field::Assignee => {
                if value.eq_ignore_ascii_case("currentuser()") {
                    return Some(self.context.settings.account.clone());
                }
                state
                    .users
                    .values()
                    .find(|user| {
                        [&user.account_id, &user.name, &user.display_name].iter().any(|id| *id == value)
                    })
                    .map(|user| user.display_name.clone())
            }
            Field::Flag => match self.context.settings.flag_field {
                FlagField::Checkbox => in_table(&catalog::FLAG_OPTIONS[..1]),
                FlagField::Select => in_table(&catalog::FLAG_OPTIONS),
                FlagField::Text => Some(value.to_owned()),
            },
            Field::Labels
            | Field::Key
            | Field::Summary
            | Field::Description
            | Field::Comment
            | Field::Text
            | Field::Resolved
            | Field::Created
            | Field::Updated
            | Field::Attachments
            | Field::GoogleName => Some(value.to_owned()),
        }
    }

    fn time(&self, value: &str, field: &str) -> Result<DateTime<Utc>, String> {
        let zone = &self.context.settings.time_zone;
        if value.eq_ignore_ascii_case("now()") {
            return Ok(self.context.now);
        }
        if value.eq_ignore_ascii_case("startofday()") {
            let today = zone.to_local(self.context.now).date_naive();
            return Ok(zone.to_utc(today.and_time(chrono::NaiveTime::MIN)));
        }
        if let Some(period) = period(value) {
            return Ok(self.context.now.checked_add_signed(period).unwrap_or(self.context.now));
        }
        let minutes = ["%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M"];
        let days = ["%Y-%m-%d", "%Y/%m/%d"];
        minutes
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(value, format).ok())
            .or_else(|| {
                days.iter()
                    .find_map(|format| NaiveDate::parse_from_str(value, format).ok())
                    .map(|day| day.and_time(chrono::NaiveTime::MIN))
            })
            .map(|local| zone.to_utc(local))
            .ok_or_else(|| {
                format!(
                    "Date value '{value}' for field '{field}' is invalid. Valid formats include: 'yyyy/MM/dd HH:mm', 'yyyy-MM-dd HH:mm', 'yyyy/MM/dd', 'yyyy-MM-dd', or a period format e.g. '-5d', '4w 2d'."
                )
            })
    }

    fn operand(&mut self) -> Result<Operand, String> {
        if self.take_sign("(") {
            let mut values = Vec::new();
            loop {
                values.push(self.value()?);
                if self.take_sign(")") {
                    return Ok(Operand::Values(values, true));
                }
                if !self.take_sign(",") {
                    return Err(self.unexpected("Expecting ',' or ')'"));
                }
            }
        }
        if self.take_word("empty") || self.take_word("null") {
            return Ok(Operand::Empty);
        }
        Ok(Operand::Values(vec![self.value()?], false))
    }

    /// Parses a value; a function keeps its brackets (`now()`).
    fn value(&mut self) -> Result<String, String> {
        let Some(word) = self.peek_name().map(str::to_owned) else {
            return Err(self.unexpected("Expecting either a value, list or function"));
        };
        let is_quoted = matches!(self.peek(), Some((Token::Word(_, true), _)));
        self.position += 1;
        if !is_quoted && self.take_sign("(") {
            return if self.take_sign(")")
                && ["now", "startofday", "currentuser"].contains(&word.to_lowercase().as_str())
            {
                Ok(format!("{word}()"))
            } else {
                Err(format!("Unable to find JQL function '{word}()'."))
            };
        }
        Ok(word)
    }

    fn order(&mut self) -> Result<Vec<(SortField, Direction)>, String> {
        let mut order = Vec::new();
        if !self.take_word("order") {
            return Ok(order);
        }
        if !self.take_word("by") {
            return Err(self.unexpected("Expecting 'by'"));
        }
        loop {
            let Some(name) = self.peek_name().map(str::to_owned) else {
                return Err(self.unexpected("Expecting a field name"));
            };
            self.position += 1;
            let field = match Field::named(&name, self.context.settings)? {
                Field::Key => SortField::Key,
                Field::Summary => SortField::Summary,
                Field::Status => SortField::Status,
                Field::Priority => SortField::Priority,
                Field::Created => SortField::Created,
                Field::Updated => SortField::Updated,
                Field::Resolved => SortField::Resolved,
                Field::Project
                | Field::IssueType
                | Field::Description
                | Field::Comment
                | Field::Text
                | Field::StatusCategory
                | Field::Resolution
                | Field::Creator
                | Field::Reporter
                | Field::Assignee
                | Field::Component
                | Field::Labels
                | Field::Attachments
                | Field::Flag
                | Field::GoogleName => {
                    return Err(format!("Not able to sort using field '{name}'."));
                }
            };
            let direction = if self.take_word("asc") {
                Direction::Ascending
            } else if self.take_word("desc") {
                Direction::Descending
            } else {
                field.default_direction()
            };
            order.push((field, direction));
            if !self.take_sign(",") {
                return Ok(order);
            }
        }
    }

    fn peek(&self) -> Option<&Placed> {
        self.tokens.get(self.position)
    }

    /// Returns the next word, unless it is a reserved word without quotes.
    fn peek_name(&self) -> Option<&str> {
        match self.peek() {
            Some((Token::Word(word, quoted), _)) => {
                let reserved = RESERVED.iter().any(|reserved| word.eq_ignore_ascii_case(reserved));
                (*quoted || !reserved).then_some(word)
            }
            Some((Token::Sign(_), _)) | None => None,
        }
    }

    fn at_word(&self, wanted: &str) -> bool {
        matches!(self.peek(), Some((Token::Word(word, false), _)) if word.eq_ignore_ascii_case(wanted))
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let found = self.at_word(wanted);
        self.position += usize::from(found);
        found
    }

    fn take_sign(&mut self, wanted: &str) -> bool {
        let found = matches!(self.peek(), Some((Token::Sign(sign), _)) if *sign == wanted);
        self.position += usize::from(found);
        found
    }

    fn unexpected(&self, expected: &str) -> String {
        match self.peek() {
            Some((Token::Word(word, _), at)) => fault(&format!("{expected} but got '{word}'."), *at),
            Some((Token::Sign(sign), at)) => fault(&format!("{expected} but got '{sign}'."), *at),
            None => format!("Error in the JQL Query: {expected} before the end of the query."),
        }
    }
}

fn single(mut tests: Vec<Test>, join: fn(Vec<Test>) -> Test) -> Test {
    match tests.pop() {
        Some(only) if tests.is_empty() => only,
        Some(last) => {
            tests.push(last);
            join(tests)
        }
        None => join(tests),
    }
}

fn negate(test: Test, not: bool) -> Test {
    if not { Test::Not(Box::new(test)) } else { test }
}

/// Builds the test for `!=`, `!~` and `NOT IN`, which do not find issues with an empty field either.
fn absent_or(field: Field, test: Test) -> Test {
    Test::All(vec![Test::Not(Box::new(Test::Empty(field))), Test::Not(Box::new(test))])
}

fn ordering_of(sign: &str) -> Comparison {
    match sign {
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        _ => Comparison::Equal,
    }
}

fn canonical_priority(value: &str) -> Option<&'static str> {
    catalog::PRIORITIES
        .into_iter()
        .find(|name| name.eq_ignore_ascii_case(value) || catalog::priority_id(name).to_string() == value)
}

/// Parses a period such as `-5d` or `4w 2d`; units are weeks, days, hours and minutes (`m`).
fn period(value: &str) -> Option<Duration> {
    let (sign, digits) = match value.strip_prefix('-') {
        Some(rest) => (-1_i64, rest),
        None => (1, value.strip_prefix('+').unwrap_or(value)),
    };
    let mut minutes = 0_i64;
    for part in digits.split_whitespace() {
        let unit = match part.chars().last()? {
            'w' => 7 * 24 * 60,
            'd' => 24 * 60,
            'h' => 60,
            'm' => 1,
            _ => return None,
        };
        let count: i64 = part.get(..part.len() - 1)?.parse().ok()?;
        minutes = minutes.checked_add(count.checked_mul(unit)?)?;
    }
    (!digits.is_empty()).then_some(())?;
    Duration::try_minutes(minutes.checked_mul(sign)?)
}

#[cfg(test)]
mod tests {
    use super::super::settings::SandboxTimeZone;
    use super::super::state::Draft;
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn sample() -> State {
        let mut state = State::new();
        let draft = |summary: &str| Draft {
            issue_type: "Task".to_owned(),
            summary: summary.to_owned(),
            ..Draft::default()
        };
        let flagged = Draft {
            flag: Some("true".to_owned()),
            google_name: Some("organizations/1/cases/2".to_owned()),
            priority: Some("High".to_owned()),
            ..draft("A disk is full")
        };
        let near = Draft { google_name: Some("see organizations/1/cases/2 too".to_owned()), ..draft("Near") };
        let far = Draft { google_name: Some("organizations/1/cases/22".to_owned()), ..draft("Far") };
        state.create("SUP", "Jane Roe", flagged, at("2026-07-01T12:00:30.500Z"));
        state.create("SUP", "Jane Roe", near, at("2026-07-01T12:01:00Z"));
        state.create("OPS", "Max Doe", far, at("2026-07-01T13:00:00Z"));
        state.edit(10_002, at("2026-07-01T12:30:00Z"), |doc| doc.status = "Done".to_owned());
        state
    }

    fn run(jql: &str, settings: &SandboxJiraSettings) -> Result<Vec<u64>, String> {
        let state = sample();
        let context = Context { state: &state, settings, now: at("2026-07-01T14:00:00Z") };
        let query = Query::parse(jql, &context)?;
        let mut found: Vec<_> = state
            .issues
            .values()
            .filter(|issue| query.matches(issue, &issue.doc))
            .map(|issue| (query.sort_keys(issue, &issue.doc), issue.id - 10_000))
            .collect();
        found.sort_by(|left, right| query.compare(&left.0, &right.0));
        Ok(found.into_iter().map(|(_, id)| id).collect())
    }

    #[test]
    fn queries_find_what_they_describe() {
        for (jql, expected) in [
            ("project = SUP ORDER BY key", vec![1, 2]),
            ("project = sup", vec![2, 1]),
            ("project in (SUP, \"Operations\") order by created asc", vec![1, 2, 3]),
            ("created is not empty order by created", vec![3, 2, 1]),
            ("updated >= \"2026-07-01 12:01\" ORDER BY updated ASC", vec![2, 3]),
            ("updated >= '2026/07/01 12:00' and updated < '2026/07/01 12:01'", vec![1]),
            ("updated >= -65m", vec![3]),
            ("updated > now()", vec![]),
            ("cf[10050] = \"true\"", vec![1]),
            ("cf[10050] = 10200", vec![1]),
            ("synchronizeWithGoogleCloudSupport = true", vec![1]),
            ("\"synchronizeWithGoogleCloudSupport[Checkboxes]\" in (true)", vec![1]),
            ("cf[10050] is empty order by key", vec![2, 3]),
            ("cf[10050] != true", vec![]),
            ("cf[10051] ~ \"\\\"organizations/1/cases/2\\\"\" order by key", vec![1, 2]),
            ("cf[10051] ~ \"\\\"ORGANIZATIONS/1/CASE/2\\\"\" order by key", vec![1, 2]),
            ("cf[10051] ~ \"organizations/1/cases/22\"", vec![3]),
            ("cf[10051] ~ \"organ*\" order by key", vec![1, 2, 3]),
            ("cf[10051] !~ \"\\\"cases 2\\\"\"", vec![3]),
            ("text ~ \"disks full\"", vec![1]),
            ("key in (SUP-1, OPS-1) order by key", vec![1, 3]),
            ("id in (10001, 10002) and not status = Done", vec![1]),
            ("issuekey = 10003", vec![3]),
            (
                "statusCategory = Done or statusCategory = \"to do\" and priority >= High order by key",
                vec![1, 2],
            ),
            ("(statusCategory = Done or statusCategory = \"To Do\") and priority >= High", vec![1]),
            ("statusCategory != done && reporter = \"Jane Roe\"", vec![1]),
            ("resolution = Unresolved and project = OPS", vec![3]),
            ("component is empty and attachments is empty and project=OPS", vec![3]),
        ] {
            assert_eq!(run(jql, &SandboxJiraSettings::default()), Ok(expected), "{jql}");
        }
    }

    #[test]
    fn times_are_read_in_the_users_zone() {
        let settings =
            SandboxJiraSettings { time_zone: SandboxTimeZone::kolkata(), ..SandboxJiraSettings::default() };
        assert_eq!(run("updated >= \"2026-07-01 18:30\"", &settings), Ok(vec![3]));
        assert_eq!(run("updated >= \"2026-07-01 18:00\" ORDER BY key", &settings), Ok(vec![2, 3]));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_reason() {
        for (jql, reason) in [
            ("nonsense = 1", "Field 'nonsense' does not exist"),
            ("project = NOPE", "The value 'NOPE' does not exist for the field 'project'."),
            ("key = SUP-99", "does not exist"),
            (
                "cf[10051] = \"organizations/1/cases/2\"",
                "The operator '=' is not supported by the 'cf[10051]' field.",
            ),
            ("cf[10050] ~ true", "The operator '~' is not supported"),
            ("cf[10050] = maybe", "The option 'maybe' for field 'cf[10050]' does not exist."),
            (
                "updated >= \"2026-07-01 12:00:30\"",
                "Date value '2026-07-01 12:00:30' for field 'updated' is invalid.",
            ),
            ("updated >= \"2026-07-01T12:00\"", "is invalid"),
            ("cf[10051] ~ organizations/1/cases/2", "The character '/' is a reserved JQL character."),
            ("project = SUP and", "before the end of the query"),
            (
                "project = SUP updated > 1d",
                "Expecting either 'OR' or 'AND' but got 'updated'. (line 1, character 15)",
            ),
            ("project = SUP AND AND", "Error in the JQL Query: Expecting a field name but got 'AND'."),
            ("project = SUP & key = SUP-1", "got '&'. (line 1, character 15)"),
            ("project = or", "Expecting either a value, list or function but got 'or'."),
            ("(project = SUP", "Expecting ')'"),
            ("project = \"SUP", "The quoted string has not been completed."),
            ("summary ~ \"a\\q\"", "illegal JQL escape"),
            ("summary ~ \"*a\"", "is not allowed to start with character '*'"),
            ("status was Done", "The operator 'was' is not supported"),
            ("project = SUP order by labels", "Not able to sort"),
            ("project = membersOf(x)", "Unable to find JQL function"),
        ] {
            let error = run(jql, &SandboxJiraSettings::data_center()).unwrap_err();
            assert!(error.contains(reason), "{jql}: {error}");
        }
    }

    #[test]
    fn monstrous_queries_are_refused_quietly() {
        let settings = SandboxJiraSettings::default();
        for jql in [
            "(".repeat(100_000),
            "not ".repeat(100_000),
            "!".repeat(100_000),
            "updated > \"--9223372036854775808m\"".to_owned(),
            "updated > \"99999999999999999w\"".to_owned(),
        ] {
            assert!(run(&jql, &settings).is_err(), "{jql:.40}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_text_is_read_or_refused(text in "[a-z0-9 =!<>~(),&|\"'\\\\\\[\\]*?{}:/é-]{0,40}") {
            let _ = run(&text, &SandboxJiraSettings::default());
        }
    }

    #[test]
    fn the_kind_of_flag_field_decides_how_it_is_asked_for() {
        let text = SandboxJiraSettings { flag_field: FlagField::Text, ..SandboxJiraSettings::default() };
        assert_eq!(run("cf[10050] ~ true", &text), Ok(vec![1]));
        assert!(run("cf[10050] = true", &text).is_err());
        let select = SandboxJiraSettings { flag_field: FlagField::Select, ..SandboxJiraSettings::default() };
        assert_eq!(run("cf[10050] = false", &select), Ok(vec![]));
    }
}
