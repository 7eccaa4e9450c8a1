//! Finds the custom fields of an installation: people know them by name, the API by ID.

use serde_json::{Value, json};

use super::settings::JiraSettings;
use super::wire;

/// Kind of value that a custom field holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FieldKind {
    /// Checkboxes or a multiple-choice list.
    Options,
    /// Single-choice list or radio buttons.
    Option,
    /// Text.
    Text,
    /// Any other type, which the adapter cannot use; holds the type's name.
    Other(String),
}

/// A custom field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CustomField {
    /// ID for the API: `customfield_10050`.
    pub(super) id: String,
    /// Name for people.
    pub(super) name: String,
    pub(super) kind: FieldKind,
}

impl CustomField {
    fn new(field: &wire::Field) -> Self {
        let schema = &field.schema;
        let kind = match (schema.kind.as_str(), schema.items.as_deref()) {
            ("array", Some("option")) => FieldKind::Options,
            ("option", _) => FieldKind::Option,
            ("string", _) => FieldKind::Text,
            (kind, _) => FieldKind::Other(schema.custom.clone().unwrap_or_else(|| kind.to_owned())),
        };
        Self { id: field.id.clone(), name: field.name.clone(), kind }
    }

    /// Returns the name for JQL, independent of the field's own name: `cf[10050]`.
    pub(super) fn clause(&self) -> String {
        format!("cf[{}]", self.id.strip_prefix(PREFIX).unwrap_or(&self.id))
    }

    pub(super) fn is_text(&self) -> bool {
        match self.kind {
            FieldKind::Text => true,
            FieldKind::Options | FieldKind::Option | FieldKind::Other(_) => false,
        }
    }

    /// Returns the JSON that sets the field to `word`.
    pub(super) fn value(&self, word: &str) -> Value {
        match self.kind {
            FieldKind::Options => json!([{ "value": word }]),
            FieldKind::Option => json!({ "value": word }),
            FieldKind::Text | FieldKind::Other(_) => json!(word),
        }
    }
}

const PREFIX: &str = "customfield_";

/// The two custom fields that the connector uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    /// `synchronizeWithGoogleCloudSupport`.
    pub(super) flag: CustomField,
    /// `custom_field_google_name`.
    pub(super) google_name: CustomField,
}

impl Fields {
    /// Finds both fields among Jira's fields. The error says what to do.
    pub(super) fn find(settings: &JiraSettings, fields: &[wire::Field]) -> Result<Self, String> {
        Ok(Self { flag: flag_field(settings, fields)?, google_name: google_name_field(settings, fields)? })
    }
}

/// Finds the flag field and checks that it is of a usable kind.
pub(super) fn flag_field(settings: &JiraSettings, fields: &[wire::Field]) -> Result<CustomField, String> {
    let field = find("company.jira.flag_field", &settings.flag_field, "Checkboxes", fields)?;
    match &field.kind {
        FieldKind::Options | FieldKind::Option | FieldKind::Text => Ok(field),
        FieldKind::Other(kind) => Err(format!(
            "the field {} ({}) is of type {kind}: the flag has to be of type Checkboxes with the option {:?}; make such a field \
             and name it in company.jira.flag_field",
            field.name, field.id, settings.flag_value
        )),
    }
}

/// Finds the field for the Google case's name and checks that it holds text.
pub(super) fn google_name_field(
    settings: &JiraSettings,
    fields: &[wire::Field],
) -> Result<CustomField, String> {
    let field = find("company.jira.google_name_field", &settings.google_name_field, "Short text", fields)?;
    if field.is_text() {
        Ok(field)
    } else {
        Err(format!(
            "the field {} ({}) holds no text: make a custom field of type Short text and name it in \
             company.jira.google_name_field",
            field.name, field.id
        ))
    }
}

fn find(key: &str, wanted: &str, kind: &str, fields: &[wire::Field]) -> Result<CustomField, String> {
    let wanted = wanted.trim();
    let custom = || fields.iter().filter(|field| field.id.starts_with(PREFIX));
    if let Some(field) = custom().find(|field| field.id == wanted) {
        return Ok(CustomField::new(field));
    }
    let lower = wanted.to_lowercase();
    let exact: Vec<_> = custom().filter(|field| field.name == wanted).collect();
    let named = if exact.is_empty() {
        custom().filter(|field| field.name.to_lowercase() == lower).collect()
    } else {
        exact
    };
    match named.as_slice() {
        [field] => Ok(CustomField::new(field)),
        [] => Err(format!(
            "Jira has no custom field {wanted:?}, or the connector's user may not see it: make one of type {kind} and put it on \
             the project's screens, or give another's name or ID in {key}"
        )),
        several => {
            let ids: Vec<&str> = several.iter().map(|field| field.id.as_str()).collect();
            Err(format!(
                "Jira has several custom fields {wanted:?}: give the ID of the right one in {key} ({})",
                ids.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Vec<wire::Field> {
        let field = |id: &str, name: &str, kind: &str, items: Option<&str>| json!({"id": id, "name": name, "schema": {"type": kind, "items": items}});
        serde_json::from_value(json!([
            {"id": "summary", "name": "custom_field_google_name"},
            field("customfield_1", "synchronizeWithGoogleCloudSupport", "array", Some("option")),
            field("customfield_2", "Custom_Field_Google_Name", "string", None),
            field("customfield_3", "twice", "string", None),
            field("customfield_4", "twice", "option", None),
            field("customfield_5", "count", "number", None),
            {"id": "customfield_6", "name": "odd", "schema": null},
        ]))
        .unwrap()
    }

    #[test]
    fn fields_are_found_by_id_or_name_and_must_be_one_of_a_usable_type() {
        let with = |flag: &str, google: &str| JiraSettings {
            flag_field: flag.to_owned(),
            google_name_field: google.to_owned(),
            ..JiraSettings::default()
        };
        let found = Fields::find(&JiraSettings::default(), &fields()).unwrap();
        assert_eq!(
            (found.flag.id.as_str(), found.google_name.id.as_str()),
            ("customfield_1", "customfield_2")
        );
        assert_eq!(found.flag.clause(), "cf[1]");
        assert_eq!(found.flag.value("true"), json!([{"value": "true"}]));
        assert_eq!(found.google_name.value("n"), json!("n"));
        let found = Fields::find(&with("customfield_4", "customfield_3"), &fields()).unwrap();
        assert_eq!(found.flag.value("yes"), json!({"value": "yes"}));
        for (settings, hint) in [
            (with("nothing", "customfield_3"), "company.jira.flag_field"),
            (with("twice", "customfield_3"), "customfield_3, customfield_4"),
            (with("count", "customfield_3"), "is of type number"),
            (with("odd", "customfield_3"), "Checkboxes"),
            (with("customfield_1", "customfield_4"), "holds no text"),
            (with("customfield_1", "summary"), "company.jira.google_name_field"),
        ] {
            let error = Fields::find(&settings, &fields()).unwrap_err();
            assert!(error.contains(hint), "{error}");
        }
    }
}
