//! Tables, their columns, and the choices of those that have some: a small part of the base system.

use super::{FLAG_COLUMN, GOOGLE_NAME_COLUMN, GOOGLE_STATE_COLUMN};

/// Table of incidents.
pub const INCIDENT: &str = "incident";
/// Table of customer service cases.
pub const CUSTOMER_CASE: &str = "sn_customerservice_case";
/// Table of problems.
pub const PROBLEM: &str = "problem";
/// Tables whose records are cases.
pub(super) const CASE_TABLES: [&str; 3] = [INCIDENT, CUSTOMER_CASE, PROBLEM];
/// Column for the domain, on instances with domain separation.
pub(super) const DOMAIN: &str = "sys_domain";
pub(super) const USERS: &str = "sys_user";
pub(super) const GROUPS: &str = "sys_user_group";
/// Configuration items, and the services among them, whose table extends that of the items.
pub(super) const ITEMS: &str = "cmdb_ci";
pub(super) const SERVICES: &str = "cmdb_ci_service";
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
    /// The `sys_id` of a record of this table.
    Reference(&'static str),
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

const TASK: [(&str, Kind); 30] = [
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
    ("opened_by", Kind::Reference(USERS)),
    ("resolved_at", Kind::Time),
    ("closed_at", Kind::Time),
    ("assigned_to", Kind::Reference(USERS)),
    ("assignment_group", Kind::Reference(GROUPS)),
    ("cmdb_ci", Kind::Reference(ITEMS)),
    ("business_service", Kind::Reference(SERVICES)),
    ("correlation_id", Kind::Text(100)),
    ("correlation_display", Kind::Text(100)),
    // A list of users, by `sys_id`, and of addresses of others ("Watch list", product documentation). Its length is assumed.
    ("watch_list", Kind::Text(4_000)),
    ("parent_incident", Kind::Text(32)),
    ("duplicate_of", Kind::Text(32)),
    (DOMAIN, Kind::System),
    ("comments", Kind::Journal),
    ("work_notes", Kind::Journal),
    ("comments_and_work_notes", Kind::Journal),
    ("close_notes", Kind::Text(4_000)),
    (FLAG_COLUMN, Kind::Boolean),
    (GOOGLE_NAME_COLUMN, Kind::Text(255)),
    (GOOGLE_STATE_COLUMN, Kind::Text(100)),
];

/// Returns the columns of a table; `None` if there is no such table.
pub(super) fn columns(table: &str) -> Option<Vec<(&'static str, Kind)>> {
    let text = |name| (name, Kind::Text(4_000));
    let own: Vec<(&'static str, Kind)> = match table {
        INCIDENT => [
            ("caller_id", Kind::Reference(USERS)),
            ("category", Kind::Text(40)),
            ("close_code", Kind::Text(40)),
        ]
        .into_iter()
        .chain(TASK)
        .collect(),
        CUSTOMER_CASE => [("contact", Kind::Reference(USERS)), ("resolution_code", Kind::Text(40))]
            .into_iter()
            .chain(TASK)
            .collect(),
        PROBLEM => [("resolution_code", Kind::Text(40))].into_iter().chain(TASK).collect(),
        USERS => {
            vec![text("user_name"), text("name"), text("email"), text("time_zone"), ("active", Kind::Boolean)]
        }
        GROUPS => vec![text("name"), ("active", Kind::Boolean)],
        ITEMS | SERVICES => vec![text("name")],
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
            text("reference"),
            text("reference_key"),
            ("display", Kind::Boolean),
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
        Kind::Reference(_) => ("reference", 32),
        Kind::Journal => ("journal_input", 4_000),
        Kind::System => ("string", 40),
    }
}

/// Returns the table that a column refers to, as the dictionary states it.
pub(super) fn referenced(kind: Kind) -> &'static str {
    match kind {
        Kind::Reference(table) => table,
        Kind::Text(_) | Kind::Number | Kind::Boolean | Kind::Time | Kind::Journal | Kind::System => "",
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
    CASE_TABLES.contains(&table)
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
        // The states since Madrid ("Problem form", product documentation); their values are known from the field.
        (PROBLEM, "state") => &[
            ("101", "New"),
            ("102", "Assess"),
            ("103", "Root Cause Analysis"),
            ("104", "Fix in Progress"),
            ("106", "Resolved"),
            ("107", "Closed"),
        ],
        (INCIDENT | PROBLEM, "priority") => {
            &[("1", "Critical"), ("2", "High"), ("3", "Moderate"), ("4", "Low"), ("5", "Planning")]
        }
        (CUSTOMER_CASE, "priority") => &[("1", "Critical"), ("2", "High"), ("3", "Moderate"), ("4", "Low")],
        (INCIDENT | PROBLEM, "impact" | "urgency") => &[("1", "High"), ("2", "Medium"), ("3", "Low")],
        (INCIDENT, "category") => &[
            ("inquiry", "Inquiry / Help"),
            ("software", "Software"),
            ("hardware", "Hardware"),
            ("network", "Network"),
            ("database", "Database"),
        ],
        (PROBLEM, "resolution_code") => &[
            ("fix_applied", "Fix Applied"),
            ("risk_accepted", "Risk Accepted"),
            ("canceled", "Canceled"),
            ("duplicate", "Duplicate"),
        ],
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
    if table == INCIDENT { "close_code" } else { "resolution_code" }
}

/// Returns the state of a resolved case, which can be reopened.
pub(super) fn resolved_state(table: &str) -> &'static str {
    if table == PROBLEM { "106" } else { "6" }
}

/// Returns the state of a case that is closed for good.
pub(super) fn closed_state(table: &str) -> &'static str {
    match table {
        CUSTOMER_CASE => "3",
        PROBLEM => "107",
        _ => "7",
    }
}

/// Reports if a case in that state is resolved.
pub(super) fn is_resolved(table: &str, state: &str) -> bool {
    state == resolved_state(table)
}

/// Reports if the state is final: the case is inactive and cannot be changed any more.
pub(super) fn is_final(table: &str, state: &str) -> bool {
    let cancelled = match table {
        CUSTOMER_CASE => Some("7"),
        INCIDENT => Some("8"),
        _ => None,
    };
    state == closed_state(table) || Some(state) == cancelled
}

/// Returns the state that a case gets when people reopen it.
pub(super) fn open_state(table: &str) -> &'static str {
    match table {
        CUSTOMER_CASE => "10",
        PROBLEM => "104",
        _ => "2",
    }
}

/// Returns the priority of an incident from impact and urgency, by the base system's rules.
pub(super) fn priority(impact: &str, urgency: &str) -> &'static str {
    let rank = |text: &str| text.parse::<usize>().unwrap_or(3).clamp(1, 3);
    ["1", "2", "3", "4", "5"][rank(impact) + rank(urgency) - 2]
}
