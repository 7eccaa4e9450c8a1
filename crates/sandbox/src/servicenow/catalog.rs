//! Tables, their columns, and the choices of those that have some: a small part of the base system.

use super::{FLAG_COLUMN, GOOGLE_NAME_COLUMN};

/// Table of incidents.
pub const INCIDENT: &str = "incident";
/// Table of customer service cases.
pub const CUSTOMER_CASE: &str = "sn_customerservice_case";
/// Column for the domain, on instances with domain separation.
pub(super) const DOMAIN: &str = "sys_domain";
pub(super) const USERS: &str = "sys_user";
pub(super) const GROUPS: &str = "sys_user_group";
pub(super) const JOURNAL: &str = "sys_journal_field";
pub(super) const ATTACHMENTS: &str = "sys_attachment";
/// Column of an attachment with the virus scanner's verdict.
pub(super) const STATE_OF_FILE: &str = "state";
pub(super) const CHOICES: &str = "sys_choice";
pub(super) const DICTIONARY: &str = "sys_dictionary";
pub(super) const PROPERTIES: &str = "sys_properties";

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text with this maximum length in characters; longer text is cut off without an error.
    Text(usize),
    Number,
    Boolean,
    Time,
    /// The `sys_id` of a user.
    User,
    /// Input for a journal: text written here becomes a journal entry.
    Journal,
    /// Set by the system only.
    System,
}

const SYSTEM: [(&str, Kind); 6] = [
    ("sys_id", Kind::System),
    ("sys_created_on", Kind::Time),
    ("sys_created_by", Kind::System),
    ("sys_updated_on", Kind::Time),
    ("sys_updated_by", Kind::System),
    ("sys_mod_count", Kind::System),
];

const TASK: [(&str, Kind); 25] = [
    ("number", Kind::System),
    ("sys_class_name", Kind::System),
    ("short_description", Kind::Text(160)),
    ("description", Kind::Text(4_000)),
    ("state", Kind::Number),
    ("active", Kind::Boolean),
    ("priority", Kind::Number),
    ("impact", Kind::Number),
    ("urgency", Kind::Number),
    ("opened_at", Kind::Time),
    ("opened_by", Kind::User),
    ("resolved_at", Kind::Time),
    ("closed_at", Kind::Time),
    ("assigned_to", Kind::User),
    ("assignment_group", Kind::Text(80)),
    ("correlation_id", Kind::Text(100)),
    ("parent_incident", Kind::Text(32)),
    ("duplicate_of", Kind::Text(32)),
    (DOMAIN, Kind::System),
    ("comments", Kind::Journal),
    ("work_notes", Kind::Journal),
    ("comments_and_work_notes", Kind::Journal),
    ("close_notes", Kind::Text(4_000)),
    (FLAG_COLUMN, Kind::Boolean),
    (GOOGLE_NAME_COLUMN, Kind::Text(255)),
];

/// Returns the columns of a table; `None` if there is no such table.
pub(super) fn columns(table: &str) -> Option<Vec<(&'static str, Kind)>> {
    let text = |name| (name, Kind::Text(4_000));
    let own: Vec<(&'static str, Kind)> = match table {
        INCIDENT => [("caller_id", Kind::User), ("category", Kind::Text(40)), ("close_code", Kind::Text(40))]
            .into_iter()
            .chain(TASK)
            .collect(),
        CUSTOMER_CASE => {
            [("contact", Kind::User), ("resolution_code", Kind::Text(40))].into_iter().chain(TASK).collect()
        }
        USERS => {
            vec![text("user_name"), text("name"), text("email"), text("time_zone"), ("active", Kind::Boolean)]
        }
        GROUPS => vec![text("name"), ("active", Kind::Boolean)],
        JOURNAL => {
            vec![text("name"), text("element"), text("element_id"), ("value", Kind::Text(usize::MAX))]
        }
        ATTACHMENTS => vec![
            text("table_name"),
            text("table_sys_id"),
            text("file_name"),
            text("content_type"),
            text("download_link"),
            ("size_bytes", Kind::Number),
            ("size_compressed", Kind::Number),
            ("compressed", Kind::Boolean),
            text("hash"),
            (STATE_OF_FILE, Kind::System),
        ],
        CHOICES => vec![
            text("name"),
            text("element"),
            text("value"),
            text("label"),
            text("language"),
            ("inactive", Kind::Boolean),
        ],
        DICTIONARY => vec![
            text("name"),
            text("element"),
            text("column_label"),
            text("internal_type"),
            ("max_length", Kind::Number),
            ("read_only", Kind::Boolean),
            ("active", Kind::Boolean),
        ],
        PROPERTIES => vec![text("name"), text("value")],
        _ => return None,
    };
    Some(own.into_iter().chain(SYSTEM).collect())
}

/// Returns type and length of a column, as the dictionary states them.
pub(super) fn dictionary(kind: Kind) -> (&'static str, usize) {
    match kind {
        Kind::Text(length) => ("string", length),
        Kind::Number => ("integer", 40),
        Kind::Boolean => ("boolean", 40),
        Kind::Time => ("glide_date_time", 40),
        Kind::User => ("reference", 32),
        Kind::Journal => ("journal_input", 4_000),
        Kind::System => ("string", 40),
    }
}

/// Returns the label of a column, as a person sees it: most are made of the name's words.
pub(super) fn column_label(table: &str, column: &str) -> String {
    let known = match (table, column) {
        (_, "caller_id") => "Caller",
        (INCIDENT, "close_code") => "Resolution code",
        (INCIDENT, "close_notes") => "Resolution notes",
        _ => "",
    };
    if !known.is_empty() {
        return known.to_owned();
    }
    let words = column.strip_prefix("u_").unwrap_or(column).replace('_', " ");
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Returns the type of a column; `None` if the table has no such column.
pub(super) fn kind(table: &str, column: &str) -> Option<Kind> {
    columns(table)?.into_iter().find(|(name, _)| *name == column).map(|(_, kind)| kind)
}

/// Reports if records of the table are cases.
pub(super) fn is_task(table: &str) -> bool {
    matches!(table, INCIDENT | CUSTOMER_CASE)
}

/// Returns the choices of a column: values and labels.
pub(super) fn choices(table: &str, column: &str) -> &'static [(&'static str, &'static str)] {
    match (table, column) {
        (INCIDENT, "state") => &[
            ("1", "New"),
            ("2", "In Progress"),
            ("3", "On Hold"),
            ("6", "Resolved"),
            ("7", "Closed"),
            ("8", "Canceled"),
        ],
        (CUSTOMER_CASE, "state") => &[
            ("1", "New"),
            ("10", "Open"),
            ("18", "Awaiting Info"),
            ("6", "Resolved"),
            ("3", "Closed"),
            ("7", "Cancelled"),
        ],
        (INCIDENT, "priority") => {
            &[("1", "Critical"), ("2", "High"), ("3", "Moderate"), ("4", "Low"), ("5", "Planning")]
        }
        (CUSTOMER_CASE, "priority") => &[("1", "Critical"), ("2", "High"), ("3", "Moderate"), ("4", "Low")],
        (INCIDENT, "impact" | "urgency") => &[("1", "High"), ("2", "Medium"), ("3", "Low")],
        (INCIDENT, "close_code") => &[
            ("Solution provided", "Solution provided"),
            ("Workaround provided", "Workaround provided"),
            ("Resolved by caller", "Resolved by caller"),
            ("No resolution provided", "No resolution provided"),
            ("Duplicate", "Duplicate"),
        ],
        (CUSTOMER_CASE, "resolution_code") => &[
            ("1", "Solved - Fixed by Support/Guidance provided"),
            ("2", "Solved - Fixed by Customer"),
            ("3", "Void/Cancelled/Duplicate Case"),
        ],
        _ => &[],
    }
}

/// Returns the label of a column, as messages of a data policy show it.
pub(super) fn label(column: &str) -> &str {
    match column {
        "close_code" | "resolution_code" => "Resolution code",
        "close_notes" => "Resolution notes",
        "comments" => "Additional comments",
        "work_notes" => "Work notes",
        column => column,
    }
}

/// Returns the column for the resolution code of a case.
pub(super) fn code_column(table: &str) -> &'static str {
    if table == CUSTOMER_CASE { "resolution_code" } else { "close_code" }
}

/// Reports if a case in that state is resolved, and so can be reopened.
pub(super) fn is_resolved(state: &str) -> bool {
    state == "6"
}

/// Reports if the state is final: the case is inactive and cannot be changed any more.
pub(super) fn is_final(table: &str, state: &str) -> bool {
    let states: [&str; 2] = if table == CUSTOMER_CASE { ["3", "7"] } else { ["7", "8"] };
    states.contains(&state)
}

/// Returns the state that a case gets when people reopen it.
pub(super) fn open_state(table: &str) -> &'static str {
    if table == CUSTOMER_CASE { "10" } else { "2" }
}

/// Returns the priority of an incident from impact and urgency, by the base system's rules.
pub(super) fn priority(impact: &str, urgency: &str) -> &'static str {
    let rank = |text: &str| text.parse::<usize>().unwrap_or(3).clamp(1, 3);
    ["1", "2", "3", "4", "5"][rank(impact) + rank(urgency) - 2]
}
