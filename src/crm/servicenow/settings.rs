//! The `[company.servicenow]` section.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Url;
use reqwest::header::HeaderName;
use serde::Deserialize;
use serde_json::Value;

use super::ServiceNow;
use super::wire::{error_text, is_sys_id};
use crate::cases::{CaseSystem, Closing, LinkDetail, Placement};
use crate::clock::SharedClock;
use crate::crm::registration::{Registration, WebhookTarget};
use crate::crm::{CrmKind, PriorityWords, first_given, own_field};
use crate::entities::Priority;
use crate::outbound::{
    ClientCredentials, Credentials, Dialect, HeaderCredentials, TokenEndpoint, TokenRequest, Upstream, basic,
    bearer,
};
use crate::spelling::nearest;

/// Table of the documented design.
const INCIDENT: &str = "incident";
/// Table of the cases of Customer Service Management.
const CUSTOMER_CASE: &str = "sn_customerservice_case";
/// Table that those of cases extend.
pub(super) const TASK: &str = "task";

/// Impact and urgency, as numbers: 1 is the highest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImpactAndUrgency {
    /// `impact`.
    pub impact: u8,
    /// `urgency`.
    pub urgency: u8,
}

/// Settings of the ServiceNow adapter: the `[company.servicenow]` section.
///
/// `password`, `oauth_token` and `api_key` are references to secrets (`env:NAME`, `file:PATH`, …), never secrets. The code that reads the
/// configuration resolves them and passes the value to [`CrmKind::credentials`].
///
/// Absent settings that depend on the table get the defaults of ServiceNow's own `incident` and `sn_customerservice_case`; for any other
/// table they are required.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceNowSettings {
    /// Table whose records are the cases.
    pub table: String,
    /// The connector's user, by its `user_name`, which identifies the adapter's own comments and files.
    pub user: Option<String>,
    /// Reference to the secret that holds the user's password, for basic authentication.
    pub password: Option<String>,
    /// Reference to the secret that holds an OAuth access token; replaces `password`.
    pub oauth_token: Option<String>,
    /// Reference to the secret that holds a REST API key; replaces `password`.
    pub api_key: Option<String>,
    /// End of the credentials, as a date (`2027-03-01`) or a time: `check` warns of it.
    pub token_expires: Option<String>,
    /// ID of an OAuth application, whose access tokens the connector requests itself; with `client_secret`.
    pub client_id: Option<String>,
    /// Reference to the secret of that OAuth application.
    pub client_secret: Option<String>,
    /// True/false column that makes a case take part in the sync.
    pub flag_field: String,
    /// Column for the Google case's name.
    pub google_name_field: String,
    /// Column of text that shows Google's state. Default: none.
    pub google_state_field: Option<String>,
    /// States that count as closed, by value. A record with `active` = false is closed in any state.
    pub closed_states: Option<Vec<String>>,
    /// Those of the closed states that mean cancelled, by value.
    pub cancelled_states: Option<Vec<String>>,
    /// Values of `close_code` or `resolution_code` that mean cancelled.
    pub cancelled_codes: Option<Vec<String>>,
    /// Values of `close_code` or `resolution_code` that mean that the case is a duplicate of another.
    pub duplicate_codes: Option<Vec<String>>,
    /// State that closes a case, by value.
    pub close_state: Option<String>,
    /// State that reopens a case, by value.
    pub reopen_state: Option<String>,
    /// Fields to set besides the state when a case is closed: `close_code`, `close_notes` and any other mandatory field.
    pub close_fields: Option<BTreeMap<String, String>>,
    /// Fields to set additionally when a case is created: `caller_id`, `assignment_group`, `category`, …
    pub new_fields: BTreeMap<String, String>,
    /// Impact and urgency for each priority, by the priority's value, for tables where ServiceNow computes the priority. If empty,
    /// `priority` is set directly.
    pub impact_and_urgency: Option<BTreeMap<String, ImpactAndUrgency>>,
    /// Longest comment, in characters: the length of the columns `comments` and `work_notes`.
    pub comment_limit: usize,
    /// Longest description, in characters.
    pub description_limit: usize,
    /// Longest short description, in characters.
    pub title_limit: usize,
    /// Largest attachment, in MiB: `com.glide.attachment.max_size`, which REST does not show.
    pub attachment_limit_mib: u64,
}

impl Default for ServiceNowSettings {
    fn default() -> Self {
        Self {
            table: INCIDENT.to_owned(),
            user: None,
            password: None,
            oauth_token: None,
            api_key: None,
            token_expires: None,
            client_id: None,
            client_secret: None,
            flag_field: "u_synchronize_with_google_cloud_support".to_owned(),
            google_name_field: "u_google_case_name".to_owned(),
            google_state_field: None,
            closed_states: None,
            cancelled_states: None,
            cancelled_codes: None,
            duplicate_codes: None,
            close_state: None,
            reopen_state: None,
            close_fields: None,
            new_fields: BTreeMap::new(),
            impact_and_urgency: None,
            // "Multi-line text fields have a default character limit of 4000" (Journal field type, product documentation).
            comment_limit: 4_000,
            description_limit: 4_000,
            // Length of task.short_description in the base system.
            title_limit: 160,
            // "com.glide.attachment.max_size, 1024MB by default" (Attachment API, product documentation).
            attachment_limit_mib: 1_024,
        }
    }
}

impl ServiceNowSettings {
    /// Returns the keys of the configuration that hold the credentials.
    pub(super) const fn credential_keys(&self) -> &'static str {
        if self.api_key.is_some() {
            "company.servicenow.api_key"
        } else if self.oauth_token.is_some() {
            "company.servicenow.oauth_token"
        } else if self.password.is_some() {
            "company.servicenow.user and company.servicenow.password"
        } else {
            "company.servicenow.client_id and company.servicenow.client_secret"
        }
    }

    /// Returns the states that count as closed.
    pub(super) fn closed_states(&self) -> Vec<&str> {
        match (&self.closed_states, self.table.as_str()) {
            (Some(states), _) => states.iter().map(String::as_str).collect(),
            // Resolved, Closed, Canceled.
            (None, INCIDENT) => vec!["6", "7", "8"],
            // Closed, Resolved, Canceled.
            (None, CUSTOMER_CASE) => vec!["3", "6", "7"],
            (None, _) => Vec::new(),
        }
    }

    /// Returns the states that mean that a case was cancelled: "found to be a duplicate incident, an unnecessary incident, or not an
    /// incident at all" (Life cycle of an Incident, product documentation).
    fn cancelled_states(&self) -> Vec<&str> {
        match (&self.cancelled_states, self.table.as_str()) {
            (Some(states), _) => states.iter().map(|state| state.trim()).collect(),
            (None, INCIDENT) => vec!["8"],
            (None, CUSTOMER_CASE) => vec!["7"],
            (None, _) => Vec::new(),
        }
    }

    /// Returns the states that mean solved, unless the code says otherwise: Resolved, and Closed, which follows it ("after it is in the
    /// Resolved state for a specific duration"; "The customer accepts the solution", Case states).
    fn solved_states(&self) -> Vec<&str> {
        match self.table.as_str() {
            INCIDENT => vec!["6", "7", self.close_state()],
            CUSTOMER_CASE => vec!["6", "3", self.close_state()],
            _ => vec![self.close_state()],
        }
    }

    /// Returns the way in which a record was closed (`R32`: closed is not solved): from its state and its code.
    /// `is_duplicate` is true if the record names the one that it duplicates.
    pub(super) fn closing(&self, state: &str, code: Option<&str>, is_duplicate: bool) -> Closing {
        if self.cancelled_states().contains(&state) {
            return Closing::Cancelled;
        }
        if is_duplicate {
            return Closing::Duplicate;
        }
        match code.and_then(|code| self.meaning(code)) {
            Some(closing) => closing,
            None if self.solved_states().contains(&state) => Closing::Solved,
            None => Closing::Closed,
        }
    }

    /// Returns the way of closing that a code means. `None` if the code only means that the case was closed.
    pub(super) fn meaning(&self, code: &str) -> Option<Closing> {
        let is_among = |codes: &Option<Vec<String>>| {
            let codes = codes.iter().flatten();
            codes.map(|known| known.trim().to_lowercase()).any(|known| known == code.trim().to_lowercase())
        };
        if is_among(&self.cancelled_codes) {
            return Some(Closing::Cancelled);
        }
        if is_among(&self.duplicate_codes) {
            return Some(Closing::Duplicate);
        }
        // A configured list replaces the built-in words.
        match word(code) {
            Some(Closing::Cancelled) if self.cancelled_codes.is_some() => None,
            Some(Closing::Duplicate) if self.duplicate_codes.is_some() => None,
            meaning => meaning,
        }
    }

    /// Returns the state that closes a case. Default: Resolved, which can be reopened.
    pub(super) fn close_state(&self) -> &str {
        self.by_table(self.close_state.as_deref(), "6", "6")
    }

    /// Returns the state that reopens a case. Default: In Progress or Open.
    pub(super) fn reopen_state(&self) -> &str {
        self.by_table(self.reopen_state.as_deref(), "2", "10")
    }

    fn by_table<'a>(&self, given: Option<&'a str>, incident: &'a str, customer_case: &'a str) -> &'a str {
        match (given, self.table.as_str()) {
            (Some(given), _) => given.trim(),
            (None, INCIDENT) => incident,
            (None, CUSTOMER_CASE) => customer_case,
            (None, _) => "",
        }
    }

    /// Returns the fields to set besides the state when a case is closed: those that the base system's data policy demands of the table, and
    /// the configured ones. An empty value leaves a field out.
    pub(super) fn close_fields(&self) -> BTreeMap<&str, &str> {
        const NOTES: &str = "The case was closed in Google Cloud support.";
        let demanded = match self.table.as_str() {
            INCIDENT => vec![("close_code", "Solution provided"), ("close_notes", NOTES)],
            // Solved - Fixed by Support/Guidance provided.
            CUSTOMER_CASE => vec![("resolution_code", "1"), ("close_notes", NOTES)],
            _ => Vec::new(),
        };
        let given = self.close_fields.iter().flatten().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut fields: BTreeMap<_, _> = demanded.into_iter().chain(given).collect();
        fields.retain(|_, value| !value.is_empty());
        fields
    }

    /// Returns the impact and urgency for each priority; if empty, the priority is set directly.
    ///
    /// Source of the incident's: the base system's lookup rules ("Incident priority", product documentation): 1 and 1 make 1, 1 and 2 make
    /// 2, 2 and 2 make 3, 2 and 3 make 4, 3 and 3 make 5.
    pub(super) fn impact_and_urgency(&self) -> BTreeMap<String, ImpactAndUrgency> {
        match (&self.impact_and_urgency, self.table.as_str()) {
            (Some(table), _) => table.clone(),
            (None, INCIDENT) => [(1, 1, 1), (2, 2, 1), (3, 2, 2), (4, 3, 2), (5, 3, 3)]
                .into_iter()
                .map(|(priority, impact, urgency)| {
                    (priority.to_string(), ImpactAndUrgency { impact, urgency })
                })
                .collect(),
            (None, _) => BTreeMap::new(),
        }
    }

    /// Returns the table that a column refers to in the base system, for users who may not read the dictionary.
    ///
    /// Source: the forms of incidents and cases, product documentation; the names of columns and tables are known from the base system's
    /// dictionary.
    pub(super) fn base_reference(&self, column: &str) -> Option<&'static str> {
        let is_for = |of: &str| of == TASK || of == self.table;
        REFERENCES.iter().find(|(of, name, _)| is_for(of) && *name == column).map(|(.., table)| *table)
    }

    /// Returns the keys of states that are missing: the base system's tables alone have defaults.
    fn missing_states(&self) -> Vec<&'static str> {
        let keys = [
            ("closed_states", self.closed_states().is_empty()),
            ("close_state", self.close_state().is_empty()),
            ("reopen_state", self.reopen_state().is_empty()),
        ];
        keys.into_iter().filter_map(|(key, missing)| missing.then_some(key)).collect()
    }

    /// Returns the problem with the table's name: one that is misspelt lacks its states as well, which is no mistake of its own.
    fn table_problem(&self) -> Option<String> {
        let (table, lower) = (&self.table, self.table.trim().to_lowercase());
        let tables = [INCIDENT, CUSTOMER_CASE];
        let meant =
            tables.into_iter().find(|known| **known == lower).or_else(|| nearest(&lower, tables.into_iter()));
        match meant {
            Some(meant) if !is_name(table) || !self.missing_states().is_empty() => Some(format!(
                "company.servicenow.table is {table:?}: did you mean {meant:?}? Another table needs closed_states, close_state and \
                 reopen_state as well"
            ))
            .filter(|_| meant != table),
            _ if is_name(table) => None,
            _ => Some(format!(
                "company.servicenow.table is {table:?}, which is no name of a table: they have lower-case letters, digits and \
                 underscores. Give the name in the table's own settings, usually {:?} (System Definition, Tables, Name)",
                words(table).join("_")
            )),
        }
    }

    /// Returns the missing states, each with its key.
    fn missing_state_problems(&self) -> Vec<String> {
        let problem = |key| {
            format!(
                "company.servicenow.{key} is missing: for another table than {INCIDENT} and {CUSTOMER_CASE} it has to be given; \
                 `casebridge check` names the values"
            )
        };
        self.missing_states().into_iter().map(problem).collect()
    }

    /// Reports if a given state is no number, and so most likely a label.
    fn has_labels_for_states(&self) -> bool {
        let one = [&self.close_state, &self.reopen_state].into_iter().flatten();
        let several = [&self.closed_states, &self.cancelled_states].into_iter().flatten().flatten();
        one.chain(several).any(|state| state.trim().parse::<i64>().is_err())
    }

    /// Returns the problems with states that are given.
    fn state_problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut demand = |holds: bool, problem: String| {
            if !holds {
                problems.push(problem);
            }
        };
        let by_value = if self.has_labels_for_states() {
            ": states are given by value, not by label; `casebridge check` names the values"
        } else {
            ""
        };
        let missing = self.missing_states();
        let has_closed = !missing.contains(&"closed_states");
        if has_closed && !missing.contains(&"close_state") {
            let (state, closed) = (self.close_state(), self.closed_states().join(", "));
            demand(
                self.is_closed(state),
                format!(
                    "company.servicenow.close_state is {state:?}, and must be one of company.servicenow.closed_states \
                     ({closed}){by_value}"
                ),
            );
        }
        demand(
            !self.cancelled_states().contains(&self.close_state()),
            "company.servicenow.close_state must not be one of company.servicenow.cancelled_states"
                .to_owned(),
        );
        for state in self.cancelled_states.iter().flatten() {
            demand(
                !has_closed || self.is_closed(state.trim()),
                format!(
                    "company.servicenow.cancelled_states: {state:?} is not one of company.servicenow.closed_states{by_value}"
                ),
            );
        }
        demand(
            !self.is_closed(self.reopen_state()),
            "company.servicenow.reopen_state must not be one of company.servicenow.closed_states".to_owned(),
        );
        problems
    }

    /// Returns the names that no column can have, each with its key, and true if it is a column of one's own: labels, as a rule.
    pub(super) fn misnamed(&self) -> Vec<(&'static str, &str, bool)> {
        let own = [("flag_field", &self.flag_field), ("google_name_field", &self.google_name_field)];
        let state = self.google_state_field.iter().map(|name| ("google_state_field", name));
        let own = own.into_iter().chain(state).map(|(key, name)| (key, name.as_str(), true));
        let new = self.new_fields.keys().map(|name| ("new_fields", name.as_str(), false));
        let close =
            self.close_fields.iter().flatten().map(|(name, _)| ("close_fields", name.as_str(), false));
        own.chain(new).chain(close).filter(|(_, name, _)| !is_name(name)).collect()
    }

    /// Returns the name that ServiceNow most likely gave to a column with this label, for a text.
    fn likely_column(&self, label: &str, is_own: bool) -> String {
        let words = words(label);
        let name = words.strip_prefix(&["u".to_owned()]).unwrap_or(&words).join("_");
        let base = LABELS.iter().find(|(label, _)| self.table == INCIDENT && words.join(" ") == *label);
        match base {
            Some((_, column)) => format!("{column:?}"),
            None if is_own => format!("\"u_{name}\""),
            None => format!("{name:?}, or \"u_{name}\" for a column of your own"),
        }
    }

    /// Reports if a state counts as closed.
    pub(super) fn is_closed(&self, state: &str) -> bool {
        self.closed_states().iter().any(|closed| closed.trim() == state)
    }
}

/// Column of `task` for the ID of the record of another system that corresponds to this one. It holds 100 characters in the base system.
///
/// Source: "ServiceNow to ServiceNow coalescing", docs.perspectium.com (November 2026): integrations use both columns so.
pub(super) const CORRELATION_ID: &str = "correlation_id";
/// Column of `task` for words about that record. It holds 100 characters in the base system.
pub(super) const CORRELATION_DISPLAY: &str = "correlation_display";

/// Column of the group that a record is assigned to, and of the person: those of `task`, which incidents and cases extend.
pub(super) const GROUP: &str = "assignment_group";
/// See [`GROUP`].
pub(super) const ASSIGNEE: &str = "assigned_to";

/// Returns the columns that a route sets on a new record. Numbers and truth values become texts, as the table API takes them.
pub(super) fn placed(placement: &Placement) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut columns: BTreeMap<String, String> =
        placement.fields.iter().map(|(name, value)| (name.clone(), text(value))).collect();
    for (column, value) in [(GROUP, &placement.group), (ASSIGNEE, &placement.assignee)] {
        columns.extend(value.clone().map(|value| (column.to_owned(), value)));
    }
    columns
}

impl CrmKind for ServiceNowSettings {
    fn name(&self) -> &'static str {
        super::NAME
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut demand = |holds: bool, problem: String| {
            if !holds {
                problems.push(problem);
            }
        };
        let secrets = [&self.password, &self.oauth_token, &self.api_key, &self.client_secret];
        demand(
            secrets.iter().filter(|secret| secret.is_some()).count() <= 1,
            "company.servicenow.client_secret, password, oauth_token and api_key exclude each other: give one of them"
                .to_owned(),
        );
        demand(
            self.client_id.is_some() == self.client_secret.is_some(),
            "company.servicenow.client_id and company.servicenow.client_secret belong together: give both"
                .to_owned(),
        );
        demand(
            self.password.is_none() || self.user.is_some(),
            "company.servicenow.user and company.servicenow.password belong together: give both".to_owned(),
        );
        // The defaults go by the table.
        match self.table_problem() {
            Some(problem) => problems.push(problem),
            // A label can be looked up.
            None if self.has_labels_for_states() => {}
            None => problems.extend(self.state_problems()),
        }
        let mut demand = |holds: bool, problem: String| {
            if !holds {
                problems.push(problem);
            }
        };
        for (key, value, least) in [
            // Room for a marker and a few words.
            ("comment_limit", self.comment_limit, 500),
            ("description_limit", self.description_limit, 500),
            ("title_limit", self.title_limit, 40),
        ] {
            demand(value >= least, format!("company.servicenow.{key} must be at least {least}"));
        }
        demand(
            self.attachment_limit_mib > 0,
            "company.servicenow.attachment_limit_mib must be at least 1".to_owned(),
        );
        problems
    }

    fn lookup_problems(&self) -> Vec<String> {
        let problem = |(key, name, is_own): (&str, &str, bool)| {
            let verb = if is_own { "is" } else { "has" };
            let likely = self.likely_column(name, is_own);
            format!(
                "company.servicenow.{key} {verb} {name:?}, which is no name of a column: they have lower-case letters, digits and \
                 underscores. If it is a label, give the column's name, usually {likely}; `casebridge check` looks it up"
            )
        };
        let mut problems: Vec<String> = self.misnamed().into_iter().map(problem).collect();
        if self.table_problem().is_none() {
            problems.extend(self.missing_state_problems());
            if self.has_labels_for_states() {
                problems.extend(self.state_problems());
            }
        }
        problems
    }

    fn priority_problem(&self, words: &PriorityWords, priority: Priority) -> Option<String> {
        let (table, word) = (self.impact_and_urgency(), words.word(priority));
        if word.parse::<u8>().is_err() {
            let problem = words.problem(priority);
            return Some(format!(
                "{problem}: ServiceNow's priorities are numbers, give its value (1 for Critical, and so on)"
            ));
        }
        (!table.is_empty() && !table.contains_key(word)).then(|| {
            format!(
                "priorities.{priority} is {word:?}, for which company.servicenow.impact_and_urgency has no entry: give the impact and the \
                 urgency that make it"
            )
        })
    }

    fn means_closed(&self, status: &str) -> bool {
        self.is_closed(status.trim())
    }

    fn own_priorities(&self) -> &'static str {
        "give the values of ServiceNow's: P0 = \"1\", P1 = \"2\", P2 = \"3\", P3 = \"4\", P4 = \"5\" (a customer service case has \
         four: P4 = \"4\")"
    }

    fn api_paths(&self) -> &'static [&'static str] {
        &["/api/now"]
    }

    fn remote_link(&self) -> Result<LinkDetail, String> {
        let own = [&self.flag_field, &self.google_name_field];
        let own = own.into_iter().chain(&self.google_state_field).chain(self.new_fields.keys());
        let mut taken = own.chain(self.close_fields.iter().flatten().map(|(name, _)| name));
        match taken.find(|name| [CORRELATION_ID, CORRELATION_DISPLAY].contains(&name.as_str())) {
            Some(name) => Err(format!(
                "the link stands in {CORRELATION_ID} and {CORRELATION_DISPLAY}, and company.servicenow uses {name} otherwise: change that"
            )),
            None => Ok(LinkDetail::Address),
        }
    }

    fn placement_keys(&self) -> &'static [&'static str] {
        &["assignee", "group", "fields"]
    }

    fn match_keys(&self) -> &'static [&'static str] {
        &["project", "issue_type", "component", "field"]
    }

    fn field_mistake(&self, name: &str) -> Option<String> {
        (!is_name(name)).then(|| {
            format!(
                "{name:?} is no name of a column. If it is a label, give the column's name, usually {}",
                self.likely_column(name, false)
            )
        })
    }

    fn placement_mistakes(&self, placement: &Placement) -> Vec<String> {
        let mut mistakes = Vec::new();
        for (key, value) in [("group", &placement.group), ("assignee", &placement.assignee)] {
            if value.as_deref().is_some_and(|id| !is_sys_id(id)) {
                mistakes.push(format!(
                    "{key}: expected a sys_id (32 hexadecimal digits, \"Copy sys_id\" in the record's menu)"
                ));
            }
        }
        let own = ["short_description", "description", &self.flag_field, &self.google_name_field];
        for (name, value) in &placement.fields {
            if !is_name(name) {
                mistakes.push(format!(
                    "fields: {name:?} is no name of a column. If it is a label, give the column's name, usually {}",
                    self.likely_column(name, false)
                ));
            }
            if own.contains(&name.as_str()) || self.google_state_field.as_ref() == Some(name) {
                mistakes.push(own_field(name));
            }
            if value.is_array() || value.is_object() {
                mistakes.push(format!("fields.{name}: expected a text, a number, or true or false"));
            }
        }
        mistakes
    }

    fn token_expires(&self) -> Option<&str> {
        self.token_expires.as_deref()
    }

    fn secret(&self) -> Option<(&'static str, &str)> {
        first_given([
            ("client_secret", &self.client_secret),
            ("password", &self.password),
            ("oauth_token", &self.oauth_token),
            ("api_key", &self.api_key),
        ])
    }

    // Sources: "REST API security" (basic authentication, OAuth) and "REST API keys" (`x-sn-apikey`), product documentation.
    fn credentials(&self, secret: &str, site: &Url) -> Result<Arc<dyn Credentials>, String> {
        let secret = secret.trim();
        if let Some(client_id) = &self.client_id {
            return Ok(Arc::new(ClientCredentials::new(token_endpoint(site)?, client_id, secret)?));
        }
        Ok(match (&self.user, &self.password) {
            (Some(user), Some(_)) => Arc::new(basic(user.trim(), secret)?),
            _ if self.api_key.is_some() => {
                Arc::new(HeaderCredentials::new(HeaderName::from_static("x-sn-apikey"), secret)?)
            }
            _ => Arc::new(bearer(secret)?),
        })
    }

    fn dialect(&self) -> Dialect {
        Dialect { stranger: Some(super::stranger), error_text: Some(error_text) }
    }

    fn registration(&self, target: WebhookTarget, _upstream: Upstream, _clock: SharedClock) -> Registration {
        Registration::Paste(target.script(include_str!("../../../deploy/push/servicenow.js")))
    }

    fn connect(
        &self,
        priorities: PriorityWords,
        upstream: Upstream,
        clock: SharedClock,
    ) -> Arc<dyn CaseSystem> {
        Arc::new(ServiceNow::new(self.clone(), priorities, upstream, clock))
    }
}

/// Derives the way of closing from the words of a code or of its label: "Duplicate", "No resolution provided" (codes of the base system,
/// "OOB incident close codes", ServiceNow Community), "Not Solved (Too Costly)" (older ones), "Void/Cancelled/Duplicate Case".
pub(super) fn word(code: &str) -> Option<Closing> {
    let lower = code.to_lowercase();
    let words: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let has = |first: &str, second: &str| words.windows(2).any(|pair| pair[0] == first && pair[1] == second);
    let called_off = words.iter().any(|word| {
        word.starts_with("cancel") || matches!(*word, "void" | "withdrawn" | "rejected" | "abandoned")
    });
    if called_off || has("not", "solved") || has("not", "resolved") || has("no", "resolution") {
        return Some(Closing::Cancelled);
    }
    words.iter().any(|word| word.starts_with("duplicate")).then_some(Closing::Duplicate)
}

/// Labels of the incident's own columns whose names have other words.
///
/// Source: "Create an incident" (fields of the form), product documentation, with the names of the base system's dictionary.
const LABELS: [(&str, &str); 8] = [
    ("caller", "caller_id"),
    ("configuration item", "cmdb_ci"),
    ("service", "business_service"),
    ("channel", "contact_type"),
    ("on hold reason", "hold_reason"),
    ("resolution code", "close_code"),
    ("resolution notes", "close_notes"),
    ("change request", "rfc"),
];

/// Reference columns of the base system: table, column, and the table that it refers to.
const REFERENCES: [(&str, &str, &str); 16] = [
    (TASK, GROUP, "sys_user_group"),
    (TASK, ASSIGNEE, "sys_user"),
    (TASK, "opened_by", "sys_user"),
    (TASK, "closed_by", "sys_user"),
    (TASK, "cmdb_ci", "cmdb_ci"),
    (TASK, "business_service", "cmdb_ci_service"),
    (TASK, "service_offering", "service_offering"),
    (TASK, "company", "core_company"),
    (TASK, "location", "cmn_location"),
    (TASK, "parent", TASK),
    (INCIDENT, "caller_id", "sys_user"),
    (INCIDENT, "parent_incident", INCIDENT),
    (INCIDENT, "problem_id", "problem"),
    (INCIDENT, "rfc", "change_request"),
    (CUSTOMER_CASE, "account", "customer_account"),
    (CUSTOMER_CASE, "contact", "customer_contact"),
];

/// Returns the words of a label, in lower case: `synchronizeWithGoogle` has three.
fn words(label: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for sign in label.chars() {
        let begins = !sign.is_ascii_alphanumeric() || (was_lower && sign.is_ascii_uppercase());
        if begins && words.last().is_some_and(|word| !word.is_empty()) {
            words.push(String::new());
        }
        if let (true, Some(word)) = (sign.is_ascii_alphanumeric(), words.last_mut()) {
            word.push(sign.to_ascii_lowercase());
        }
        was_lower = sign.is_ascii_lowercase() || sign.is_ascii_digit();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Returns the column that a label or a misspelt name most likely means, among columns with their labels. `None` if there is a column of
/// that very name, or none that is near.
pub(super) fn meant<'a>(text: &str, columns: &'a [(String, String)]) -> Option<&'a str> {
    if columns.iter().any(|(name, _)| name == text) {
        return None;
    }
    let bare = |text: &str| -> String {
        let words = words(text);
        words.strip_prefix(&["u".to_owned()]).unwrap_or(&words).concat()
    };
    let wanted = bare(text);
    let called =
        |(name, label): &&(String, String)| [name, label].into_iter().any(|known| bare(known) == wanted);
    let found = columns.iter().find(called).map(|(name, _)| name.as_str());
    found.or_else(|| nearest(text, columns.iter().map(|(name, _)| name.as_str())))
}

/// Reports if a text is a valid name of a table or a column.
fn is_name(text: &str) -> bool {
    let sign = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=80).contains(&text.len()) && text.bytes().all(sign)
}

/// Token endpoint of an instance. The lifetime is the application's own (1,800 s by default).
///
/// Source: "OAuth 2.0 credentials: client credentials grant", product documentation (since Washington DC).
fn token_endpoint(site: &Url) -> Result<TokenEndpoint, String> {
    let url = site.join("/oauth_token.do").map_err(|error| error.to_string())?;
    Ok(TokenEndpoint {
        url,
        key: Some(crate::crm::SITE),
        request: TokenRequest::Form,
        scope: None,
        expires_in: None,
        advice: "check company.servicenow.client_id and client_secret, that the application is active and has an OAuth \
                 Application User, and that glide.oauth.inbound.client.credential.grant_type.enabled is true",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ServiceNowSettings, toml::de::Error> {
        toml::from_str(text)
    }

    fn words(words: [&str; 5]) -> PriorityWords {
        PriorityWords::new(words.map(str::to_owned)).unwrap()
    }

    #[test]
    fn a_label_in_place_of_a_column_is_told_with_the_likely_name() {
        for (line, part) in [
            ("google_name_field = \"Google Case Name\"", "usually \"u_google_case_name\";"),
            ("flag_field = \"U_Flag\"", "usually \"u_flag\";"),
            ("new_fields = { Caller = \"x\" }", "usually \"caller_id\";"),
            ("new_fields = { \"Cost centre\" = \"x\" }", "usually \"cost_centre\", or \"u_cost_centre\" for"),
        ] {
            let settings = read(line).unwrap();
            assert_eq!(settings.problems(), Vec::<String>::new(), "it can be looked up");
            let problems = settings.lookup_problems().join("; ");
            assert!(problems.contains(part), "{problems}");
        }
    }

    #[test]
    fn what_is_meant_is_found_by_label_or_by_spelling() {
        let column = |name: &str, label: &str| (name.to_owned(), label.to_owned());
        let columns = [
            column("caller_id", "Caller"),
            column("u_sync", "Synchronize with Google Cloud Support"),
            column("u_google_case_name", "Google case"),
        ];
        for (text, name) in [
            ("Caller", Some("caller_id")),
            ("caller", Some("caller_id")),
            ("synchronizeWithGoogleCloudSupport", Some("u_sync")),
            ("synchronizewithgooglecloudsupport", Some("u_sync")),
            ("google_case_name", Some("u_google_case_name")),
            ("u_google_cas_name", Some("u_google_case_name")),
            ("caller_id", None),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(meant(text, &columns), name, "{text}");
        }
    }

    #[test]
    fn the_section_has_defaults_for_both_tables_and_refuses_unknown_keys() {
        let incident = read("user = \"bot\"\npassword = \"env:P\"").unwrap();
        assert_eq!(incident.problems(), Vec::<String>::new());
        assert_eq!(incident.secret().map(|(_, reference)| reference), Some("env:P"));
        assert_eq!((incident.close_state(), incident.reopen_state()), ("6", "2"));
        assert_eq!(incident.priority_problems(&words(["1", "2", "3", "4", "5"])), Vec::<String>::new());
        let case = read("table = \"sn_customerservice_case\"\noauth_token = \"env:T\"").unwrap();
        assert_eq!(case.problems(), Vec::<String>::new());
        assert!(case.impact_and_urgency().is_empty() && case.is_closed("3"));
        assert_eq!(case.priority_problems(&words(["1", "2", "3", "4", "4"])), Vec::<String>::new());
        assert!(read("instance = \"dev1\"").is_err());
        let given =
            read("[close_fields]\nclose_code = \"x\"\n[impact_and_urgency]\n1 = { impact = 1, urgency = 2 }")
                .unwrap();
        // What the base system demands stays, unless it is left out.
        let fields = given.close_fields();
        assert_eq!((fields.len(), fields["close_code"]), (2, "x"));
        assert!(fields.contains_key("close_notes"), "{fields:?}");
        let less = read("[close_fields]\nclose_code = \"\"\nu_cause = \"y\"\nclose_notes = \"\"").unwrap();
        assert_eq!(less.close_fields(), BTreeMap::from([("u_cause", "y")]));
        assert_eq!(given.impact_and_urgency()["1"], ImpactAndUrgency { impact: 1, urgency: 2 });
    }

    #[test]
    fn every_problem_is_reported_at_once_by_its_key() {
        let settings = read(
            "table = \"u_ticket\"\npassword = \"env:P\"\napi_key = \"env:K\"\nflag_field = \"Sync^\"\ncomment_limit = 1\n\
             attachment_limit_mib = 0\n[new_fields]\n\"Caller ID\" = \"x\"",
        )
        .unwrap();
        let problems = [settings.problems(), settings.lookup_problems()].concat().join("\n");
        for part in [
            "flag_field",
            "Caller ID",
            "password, oauth_token and api_key",
            "user and company.servicenow.password",
            "closed_states is missing",
            "close_state is missing",
            "reopen_state is missing",
            "comment_limit",
            "attachment_limit_mib",
        ] {
            assert!(problems.contains(part), "{part}: {problems}");
        }
        let swapped = read("close_state = \"2\"\nreopen_state = \"6\"").unwrap();
        assert_eq!(swapped.problems().len(), 2);
    }

    #[test]
    fn closed_is_solved_called_off_or_a_duplicate_by_state_and_code() {
        use Closing::{Cancelled, Closed, Duplicate, Solved};
        let incident = ServiceNowSettings::default();
        for (state, code, is_duplicate, closing) in [
            ("6", Some("Solution provided"), false, Solved),
            ("7", Some("Resolved by caller"), false, Solved),
            ("7", None, false, Solved),
            ("6", Some("Closed/Resolved by Caller"), false, Solved),
            ("6", Some("Duplicate"), false, Duplicate),
            ("7", Some("Solution provided"), true, Duplicate),
            ("6", Some("No resolution provided"), false, Cancelled),
            ("6", Some("Not Solved (Not Reproducible)"), false, Cancelled),
            ("7", Some("Cancelled by user"), false, Cancelled),
            ("8", None, false, Cancelled),
            ("8", Some("Solution provided"), true, Cancelled),
            ("6", Some("Avoided"), false, Solved),
            // Inactive, in a state that is not known as closed.
            ("2", None, false, Closed),
        ] {
            assert_eq!(
                incident.closing(state, code, is_duplicate),
                closing,
                "{state} {code:?} {is_duplicate}"
            );
        }
        let case =
            read("table = \"sn_customerservice_case\"\ncancelled_codes = [\"9\"]\nduplicate_codes = []")
                .unwrap();
        for (state, code, closing) in [
            ("3", Some("1"), Solved),
            ("3", Some("9"), Cancelled),
            ("7", None, Cancelled),
            ("6", Some("Duplicate"), Solved),
            ("6", Some("Void"), Solved),
        ] {
            assert_eq!(case.closing(state, code, false), closing, "{state} {code:?}");
        }
        let other = read(
            "table = \"u_ticket\"\nclosed_states = [\"3\", \"4\", \"5\"]\nclose_state = \"3\"\nreopen_state = \"1\"\n\
             cancelled_states = [\"5\"]",
        )
        .unwrap();
        assert_eq!(other.problems(), Vec::<String>::new());
        for (state, closing) in [("3", Solved), ("4", Closed), ("5", Cancelled)] {
            assert_eq!(other.closing(state, None, false), closing, "{state}");
        }
        let odd = read("cancelled_states = [\"6\", \"9\"]").unwrap().problems();
        assert_eq!(odd.len(), 2, "{odd:?}");
    }

    #[test]
    fn a_priority_that_servicenow_cannot_have_is_named_by_its_key() {
        let incident = ServiceNowSettings::default();
        let problems = incident.priority_problems(&words(["Critical", "2", "3", "4", "9"]));
        assert_eq!(problems.len(), 2);
        assert!(problems[0].starts_with("priorities.P0") && problems[1].contains("impact_and_urgency"));
    }
}
