//! Place and details of a new company case, in the CRM's own terms: what a `[[route]]` sets.

use std::collections::BTreeMap;

use serde_json::Value;

/// Values that a route sets on a new company case. Each is in the CRM's own terms; a CRM has only some of the keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// Project or queue that the case is created in.
    pub project: Option<String>,
    /// Type of the case.
    pub issue_type: Option<String>,
    /// Component.
    pub component: Option<String>,
    /// Labels or tags, besides those that the CRM's section of the configuration gives.
    pub labels: Vec<String>,
    /// Person who gets the case.
    pub assignee: Option<String>,
    /// Group that gets the case.
    pub group: Option<String>,
    /// Request type or form.
    pub request_type: Option<String>,
    /// Further fields, by the CRM's names or IDs.
    pub fields: BTreeMap<String, Value>,
}

impl Placement {
    /// All keys, as in `set` of a route.
    pub const KEYS: [&'static str; 8] =
        ["project", "issue_type", "component", "labels", "assignee", "group", "request_type", "fields"];

    /// Returns the keys that have a value.
    #[must_use]
    pub fn keys(&self) -> Vec<&'static str> {
        let given = [
            self.project.is_some(),
            self.issue_type.is_some(),
            self.component.is_some(),
            !self.labels.is_empty(),
            self.assignee.is_some(),
            self.group.is_some(),
            self.request_type.is_some(),
            !self.fields.is_empty(),
        ];
        Self::KEYS.into_iter().zip(given).filter_map(|(key, given)| given.then_some(key)).collect()
    }

    /// Describes the values for people, such as `project SHOP, labels a and b`. Of fields, it has the names only.
    #[must_use]
    pub fn describe(&self) -> String {
        let texts = [
            ("project", &self.project),
            ("issue_type", &self.issue_type),
            ("component", &self.component),
            ("assignee", &self.assignee),
            ("group", &self.group),
            ("request_type", &self.request_type),
        ];
        let one = texts.into_iter().filter_map(|(key, value)| Some(format!("{key} {}", value.as_ref()?)));
        let names: Vec<String> = self.fields.keys().cloned().collect();
        let lists = [("labels", &self.labels), ("fields", &names)];
        let many = lists.into_iter().filter(|(_, list)| !list.is_empty());
        one.chain(many.map(|(key, list)| format!("{key} {}", list.join(" and "))))
            .collect::<Vec<_>>()
            .join(", ")
    }
}
