//! Details of an issue that routes go by, and the addresses of its people.

use serde_json::Value;

use super::client::Client;
use super::discovery::Fields;
use super::wire::{self, Named};
use crate::cases::{ApiError, ApiErrorKind, Details, Finding, PeopleSource, Trouble, Wanted};
use crate::crm::details::{CORRECT_FIELD, addresses, looked_up, texts, unknown};

/// Reads the details of an issue: one call, and one more for the watchers.
///
/// Sources: "Get issue" (`fields`) and "Get issue watchers", Jira Cloud REST API v2 and Jira Data Center REST API. Cloud leaves
/// `emailAddress` out where the user's profile hides it ("Profile visibility", developer.atlassian.com); such a person gets no mails.
pub(super) async fn read(client: &Client, id: &str, wanted: &Wanted) -> Result<Details, ApiError> {
    let fields = client.fields().await?;
    let named = |name: &str| {
        fields.named(name).ok_or_else(|| {
            let message = format!("Jira has no field {name:?}, or shows it to others only: {CORRECT_FIELD}");
            client.error(ApiErrorKind::Refused, "GET /rest/api/2/field", message)
        })
    };
    let mut read: Vec<String> = Vec::new();
    if wanted.terms {
        read.extend(["project", "issuetype", "components", "labels"].map(str::to_owned));
    }
    if wanted.has(&PeopleSource::Reporter) {
        read.push("reporter".to_owned());
    }
    for name in wanted.all_fields() {
        read.push(named(name)?);
    }
    let mut details = Details::default();
    if !read.is_empty() {
        let issue = client.issue(id, &read.join(",")).await?;
        let of = |field: &str| issue.fields.get(field).unwrap_or(&Value::Null);
        if wanted.terms {
            details.project = texts(of("project"));
            details.issue_type = texts(of("issuetype"));
            details.component = texts(of("components"));
            details.label = texts(of("labels"));
        }
        for name in &wanted.fields {
            details.fields.insert(name.clone(), texts(of(&named(name)?)));
        }
        if wanted.has(&PeopleSource::Reporter) {
            details.people.extend(addresses(of("reporter")));
        }
        for name in wanted.people.iter().filter_map(PeopleSource::field) {
            details.people.extend(addresses(of(&named(name)?)));
        }
    }
    if wanted.has(&PeopleSource::Watchers) {
        let watchers = client.watchers(id).await?;
        details.people.extend(watchers.into_iter().filter_map(|watcher| watcher.email_address));
    }
    details.fields.retain(|_, values| !values.is_empty());
    Ok(details)
}

impl Fields {
    /// Returns the ID of a field by its ID or its name. Of several with one name, the first is taken: of those in question, discovery keeps
    /// the one of the configured project.
    fn named(&self, wanted: &str) -> Option<String> {
        let lower = wanted.trim().to_lowercase();
        let all = self.all();
        let by_id = all.iter().find(|field| field.id.to_lowercase() == lower);
        by_id
            .or_else(|| all.iter().find(|field| field.name.to_lowercase() == lower))
            .map(|field| field.id.clone())
    }
}

/// Looks up the fields, and the projects, types and components that routes match exactly. Labels are free.
pub(super) async fn check(client: &Client, wanted: &Wanted, terms: &Details) -> Finding {
    let failed = |error: &ApiError| Trouble::from(error);
    let names: Vec<&str> = wanted.all_fields().collect();
    if !names.is_empty() {
        let fields = client.all_fields().await.map_err(|error| failed(&error))?;
        let known: Vec<Vec<String>> =
            fields.into_iter().map(|field: wire::Field| vec![field.name, field.id]).collect();
        if let Some(trouble) = unknown("field", names.iter().copied(), &known) {
            return Err(trouble);
        }
    }
    let of_named = |all: Vec<Named>| -> Vec<Vec<String>> {
        all.into_iter().map(|one| vec![one.shown().to_owned(), one.id]).collect()
    };
    let seen = if terms.project.is_empty() && terms.component.is_empty() {
        Vec::new()
    } else {
        client.projects_seen().await.map_err(|error| failed(&error))?
    };
    let projects: Vec<Vec<String>> = seen
        .iter()
        .map(|project| [&project.key, &project.name, &project.id].into_iter().flatten().cloned().collect())
        .collect();
    if let Some(trouble) = unknown("project", terms.project.iter().map(String::as_str), &projects) {
        return Err(trouble);
    }
    if !terms.issue_type.is_empty() {
        let types = client.named("issuetype").await.map_err(|error| failed(&error))?;
        if let Some(trouble) =
            unknown("issue type", terms.issue_type.iter().map(String::as_str), &of_named(types))
        {
            return Err(trouble);
        }
    }
    if !terms.component.is_empty() {
        let is_meant = |project: &&wire::Project| {
            let names = [&project.key, &project.name, &project.id];
            let mut names = names.into_iter().flatten().map(|name| name.to_lowercase());
            terms.project.is_empty() || names.any(|name| terms.project.contains(&name))
        };
        let mut known = Vec::new();
        for key in
            seen.iter().filter(is_meant).filter_map(|project| project.key.as_deref()).take(MOST_PROJECTS)
        {
            known.extend(of_named(client.components(key).await.map_err(|error| failed(&error))?));
        }
        if let Some(trouble) = unknown("component", terms.component.iter().map(String::as_str), &known) {
            return Err(trouble);
        }
    }
    let all = looked_up(wanted, terms);
    Ok(if all.is_empty() { "labels are free".to_owned() } else { all })
}

/// Number of projects whose components a check reads.
const MOST_PROJECTS: usize = 20;
