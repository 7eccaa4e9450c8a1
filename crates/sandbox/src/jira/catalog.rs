//! Tables that are the same in every sandbox Jira: statuses, transitions, priorities, resolutions, issue types, field IDs.

use super::settings::{ResolutionOnClosing, SandboxJiraSettings};

/// ID of the custom field `synchronizeWithGoogleCloudSupport`.
pub const FLAG_FIELD: &str = "customfield_10050";
/// ID of the custom field `custom_field_google_name`.
pub const GOOGLE_NAME_FIELD: &str = "customfield_10051";
/// ID of the text *Google state*, which every desk has on its edit screen, and no other screen.
pub const GOOGLE_STATE_FIELD: &str = "customfield_10052";
/// ID of the choice *Impact*, which a demanding desk has on its create screen.
pub const IMPACT_FIELD: &str = "customfield_10070";
/// ID of the text *Root cause*, which a demanding desk has on its closing screens.
pub const ROOT_CAUSE_FIELD: &str = "customfield_10071";
/// ID of the field for the request type of a demanding desk.
pub const REQUEST_TYPE_FIELD: &str = "customfield_10010";
/// ID of a team-managed project's field that is called like the flag.
pub(super) const NAMESAKE_FIELD: &str = "customfield_20050";
/// Options of *Impact*: IDs and values.
pub(super) const IMPACTS: [(&str, &str); 2] = [("10300", "High"), ("10301", "Low")];
/// Request types of every service desk: ID, name and issue type.
pub(super) const REQUEST_TYPES: [(&str, &str, &str); 2] =
    [("25", "Get IT help", "Task"), ("26", "Report an incident", "Support")];
pub(super) const FLAG_NAME: &str = "synchronizeWithGoogleCloudSupport";
pub(super) const GOOGLE_NAME_NAME: &str = "custom_field_google_name";

/// Priorities, most urgent first; IDs are 1 to 5.
pub(super) const PRIORITIES: [&str; 5] = ["Highest", "High", "Medium", "Low", "Lowest"];
pub(super) const DEFAULT_PRIORITY: &str = "Medium";

pub(super) const RESOLUTIONS: [(&str, &str); 4] =
    [("10000", "Done"), ("10001", "Won't Do"), ("10002", "Duplicate"), ("10003", "Cannot Reproduce")];

pub(super) const ISSUE_TYPES: [(&str, &str); 3] = [("10002", "Task"), ("10004", "Bug"), ("10010", "Support")];

pub(super) const COMPONENTS: [(&str, &str); 3] =
    [("10100", "Google Cloud"), ("10101", "Network"), ("10102", "Billing")];

/// Options of the flag field, if the field has options: IDs and values.
pub(super) const FLAG_OPTIONS: [(&str, &str); 2] = [("10200", "true"), ("10201", "false")];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Category {
    New,
    Indeterminate,
    Done,
}

impl Category {
    pub(super) const ALL: [Self; 3] = [Self::New, Self::Indeterminate, Self::Done];

    pub(super) const fn id(self) -> u32 {
        match self {
            Self::New => 2,
            Self::Indeterminate => 4,
            Self::Done => 3,
        }
    }

    pub(super) const fn key(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Indeterminate => "indeterminate",
            Self::Done => "done",
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::New => "To Do",
            Self::Indeterminate => "In Progress",
            Self::Done => "Done",
        }
    }

    pub(super) const fn color(self) -> &'static str {
        match self {
            Self::New => "blue-gray",
            Self::Indeterminate => "yellow",
            Self::Done => "green",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) category: Category,
}

/// All statuses. No transition leads to *With vendor*, which an administrator moves issues to.
pub(super) const STATUSES: [Status; 8] = [
    Status { id: "10000", name: "To Do", category: Category::New },
    Status { id: "3", name: "In Progress", category: Category::Indeterminate },
    Status { id: "10005", name: "Waiting for customer", category: Category::Indeterminate },
    Status { id: "10001", name: "Done", category: Category::Done },
    Status { id: "10006", name: "Cancelled", category: Category::Done },
    Status { id: "10007", name: "Duplicate", category: Category::Done },
    Status { id: "4", name: "Reopened", category: Category::New },
    Status { id: "10008", name: "With vendor", category: Category::Indeterminate },
];

pub(super) const FIRST_STATUS: &str = "To Do";

/// Returns the status with that name. An unknown name cannot occur, since issues get names from the table only, and gives the first one.
pub(super) fn status(name: &str) -> Status {
    STATUSES.into_iter().find(|status| status.name == name).unwrap_or(STATUSES[0])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transition {
    pub(super) id: &'static str,
    pub(super) name: &'static str,
    pub(super) to: Status,
    /// Setting for the resolution, if the transition closes the issue.
    pub(super) resolution: Option<ResolutionOnClosing>,
}

/// Returns the transitions of an issue in that status. With `three_ways_to_close`, *Done* is the last of the closing ones.
pub(super) fn transitions(
    from: &str,
    settings: &SandboxJiraSettings,
    three_ways_to_close: bool,
) -> Vec<Transition> {
    let closing = Some(settings.resolution_on_closing);
    let step = |id, name, to: &str, resolution| Transition { id, name, to: status(to), resolution };
    match status(from).category {
        Category::Done if settings.can_reopen => vec![step("41", "Reopen Issue", "Reopened", None)],
        Category::Done => Vec::new(),
        Category::New | Category::Indeterminate => [
            step("11", "Back to To Do", "To Do", None),
            step("21", "Start Progress", "In Progress", None),
            step("22", "Respond to customer", "Waiting for customer", None),
        ]
        .into_iter()
        .chain(if three_ways_to_close {
            vec![
                step("51", "Cancel", "Cancelled", closing),
                step("61", "Duplicate", "Duplicate", closing),
                step("31", "Done", "Done", closing),
            ]
        } else {
            vec![step("31", "Done", "Done", closing), step("51", "Cancel", "Cancelled", closing)]
        })
        .filter(|transition| transition.to.name != from)
        .collect(),
    }
}

pub(super) fn id_of(table: &[(&'static str, &'static str)], name: &str) -> &'static str {
    table.iter().find(|(_, known)| *known == name).map_or("0", |(id, _)| id)
}

/// Returns the request type with that ID, or with those keys: `portalkey/requesttypekey`.
pub(super) fn request_type(given: &str) -> Option<&'static (&'static str, &'static str, &'static str)> {
    let key = given.split_once('/').map(|(_, key)| key);
    let is_it = |(id, name, _): &&(&str, &str, &str)| match key {
        Some(key) => name.to_lowercase().replace(' ', "-") == key,
        None => *id == given,
    };
    REQUEST_TYPES.iter().find(is_it)
}

pub(super) fn name_of(table: &[(&'static str, &'static str)], id: &str) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == id).map(|(_, name)| *name)
}

/// Returns the priority's ID, 1 to 5; 0 for an unknown name.
pub(super) fn priority_id(name: &str) -> usize {
    PRIORITIES.iter().position(|known| *known == name).map_or(0, |index| index + 1)
}
