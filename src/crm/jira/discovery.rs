//! Finds the custom fields of an installation: people know them by name, the API by ID.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::settings::{Deployment, JiraSettings};
use super::wire;
use crate::cases::{Placement, Trouble};

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
    /// Number of fields of other projects with the same name.
    pub(super) namesakes: usize,
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
        Self { id: field.id.clone(), name: field.name.clone(), kind, namesakes: field.namesakes }
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

/// The custom fields that the connector uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    /// `synchronizeWithGoogleCloudSupport`.
    pub(super) flag: CustomField,
    /// `custom_field_google_name`.
    pub(super) google_name: CustomField,
    /// Field for Google's state, if one is configured. An error concerns that field only.
    pub(super) google_state: Option<Result<CustomField, String>>,
    /// Values of `new_fields` by ID, with the request type. An error concerns new cases only.
    pub(super) on_create: Result<Map<String, Value>, String>,
    /// Values of `close_fields` by ID. An error concerns closing only.
    pub(super) on_close: Result<Map<String, Value>, String>,
    /// All fields of Jira, for the fields that a route names.
    all: Vec<wire::Field>,
}

impl Fields {
    /// Finds both fields among Jira's fields. The error says what to do.
    pub(super) fn find(settings: &JiraSettings, fields: &[wire::Field]) -> Result<Self, String> {
        Ok(Self {
            flag: flag_field(settings, fields)?,
            google_name: google_name_field(settings, fields)?,
            google_state: google_state_field(settings, fields).map(|found| found.map_err(String::from)),
            on_create: on_create(settings, fields),
            on_close: on_close(settings, fields),
            all: fields.to_vec(),
        })
    }

    /// Returns all fields of Jira.
    pub(super) fn all(&self) -> &[wire::Field] {
        &self.all
    }

    /// Returns the fields of a new case with this placement, by ID: those of the configuration, and those of the route, which come first.
    pub(super) fn of_new(
        &self,
        settings: &JiraSettings,
        placement: &Placement,
    ) -> Result<Map<String, Value>, String> {
        let mut values = self.on_create.clone()?;
        values.extend(placed(settings, placement, &self.all)?);
        if placement.request_type.is_none() && moves(settings, placement) {
            // A request type belongs to one project.
            if let Some(field) = request_type_field(&self.all) {
                values.remove(&field.id);
            }
        }
        Ok(values)
    }
}

/// True if a placement names another project than the configured one.
fn moves(settings: &JiraSettings, placement: &Placement) -> bool {
    placement.project.as_deref().is_some_and(|project| !project.eq_ignore_ascii_case(settings.project.trim()))
}

/// Returns the fields that a route sets, by ID, with its labels, assignee and request type.
pub(super) fn placed(
    settings: &JiraSettings,
    placement: &Placement,
    fields: &[wire::Field],
) -> Result<Map<String, Value>, String> {
    // A field of another team-managed project is not among `fields`, but its ID is as good.
    let (ids, names): (BTreeMap<_, _>, BTreeMap<_, _>) =
        placement.fields.clone().into_iter().partition(|(name, _)| name.starts_with(PREFIX));
    let mut values = by_id("the route's fields", &names, fields)?;
    values.extend(ids);
    if !placement.labels.is_empty() {
        values.insert("labels".to_owned(), json!(placement.labels));
    }
    if let Some(person) = &placement.assignee {
        // Source: "Create issue", Jira Cloud REST API v2 and Jira Data Center REST API.
        let key = match settings.deployment {
            Deployment::Cloud => "accountId",
            Deployment::DataCenter => "name",
        };
        values.insert("assignee".to_owned(), json!({ key: person }));
    }
    if let Some(wanted) = &placement.request_type {
        values.insert(request_type_field_of("the route's request_type", fields)?.id.clone(), json!(wanted));
    }
    Ok(values)
}

/// Type of the field that holds the request type. Its name is free, and its ID differs between sites.
const REQUEST_TYPE: &str = "com.atlassian.servicedesk:vp-origin";

/// Returns the configured fields of new cases, by ID.
///
/// Jira takes the request type as text: "Operation value must be a string" is its answer to an object
/// (github.com/getsentry/sentry/issues/38179). `POST /rest/servicedeskapi/request` would take only the fields of the request's form.
pub(super) fn on_create(
    settings: &JiraSettings,
    fields: &[wire::Field],
) -> Result<Map<String, Value>, String> {
    let mut values = by_id("company.jira.new_fields", &settings.new_fields, fields)?;
    if let Some(wanted) = &settings.request_type {
        let field = request_type_field_of("company.jira.request_type", fields)?;
        values.insert(field.id.clone(), json!(wanted.trim()));
    }
    Ok(values)
}

fn request_type_field(fields: &[wire::Field]) -> Option<&wire::Field> {
    fields.iter().find(|field| field.schema.custom.as_deref() == Some(REQUEST_TYPE))
}

fn request_type_field_of<'a>(key: &str, fields: &'a [wire::Field]) -> Result<&'a wire::Field, String> {
    request_type_field(fields).ok_or_else(|| {
        format!(
            "{key}: this Jira has no field for request types, or does not show it: it is for Jira Service Management only"
        )
    })
}

/// Returns the configured fields of the closing transition, by ID.
pub(super) fn on_close(
    settings: &JiraSettings,
    fields: &[wire::Field],
) -> Result<Map<String, Value>, String> {
    by_id("company.jira.close_fields", &settings.close_fields, fields)
}

fn by_id(
    key: &str,
    values: &BTreeMap<String, Value>,
    fields: &[wire::Field],
) -> Result<Map<String, Value>, String> {
    let mut found = Map::new();
    for (wanted, value) in values {
        let lower = wanted.trim().to_lowercase();
        let by = |of: fn(&wire::Field) -> &str| -> Vec<&str> {
            let same = fields.iter().filter(|field| of(field).to_lowercase() == lower);
            same.map(|field| field.id.as_str()).collect()
        };
        let ids = by(|field| &field.id);
        let ids = if ids.is_empty() { by(|field| &field.name) } else { ids };
        match ids.as_slice() {
            [id] => found.insert((*id).to_owned(), value.clone()),
            [] => {
                return Err(format!(
                    "{key}: Jira has no field {wanted:?}, or the connector's user may not see it: give another's name or ID"
                ));
            }
            several => {
                return Err(format!(
                    "{key}: Jira has several fields {wanted:?}: give the ID of the right one ({})",
                    several.join(", ")
                ));
            }
        };
    }
    Ok(found)
}

/// Leaves out the fields whose name a nearer one has: the project's own comes before that of all projects, and that before those of other
/// team-managed projects. A field that the configuration names by ID stays.
pub(super) fn nearest(
    settings: &JiraSettings,
    fields: Vec<wire::Field>,
    project: Option<&str>,
) -> Vec<wire::Field> {
    let distance = |field: &wire::Field| match field.project() {
        Some(id) if Some(id) == project => 0,
        None => 1,
        Some(_) => 2,
    };
    let mut best: BTreeMap<String, u8> = BTreeMap::new();
    for field in fields.iter().filter(|field| field.id.starts_with(PREFIX)) {
        let best = best.entry(field.name.to_lowercase()).or_insert(2);
        *best = (*best).min(distance(field));
    }
    let named_by_id = |id: &String| {
        [&settings.flag_field, &settings.google_name_field].contains(&id)
            || settings.google_state_field.as_ref() == Some(id)
            || settings.new_fields.contains_key(id)
            || settings.close_fields.contains_key(id)
    };
    let stays = |field: &wire::Field| {
        let best = best.get(&field.name.to_lowercase()).copied().unwrap_or(2);
        !field.id.starts_with(PREFIX) || distance(field) == best || named_by_id(&field.id)
    };
    let (mut kept, left): (Vec<_>, Vec<_>) = fields.into_iter().partition(stays);
    for field in &mut kept {
        field.namesakes =
            left.iter().filter(|other| other.name.to_lowercase() == field.name.to_lowercase()).count();
    }
    kept
}

/// Finds the flag field and checks that it is of a usable kind.
pub(super) fn flag_field(settings: &JiraSettings, fields: &[wire::Field]) -> Result<CustomField, Trouble> {
    let field = find("company.jira.flag_field", &settings.flag_field, "Checkboxes", fields)?;
    match &field.kind {
        FieldKind::Options | FieldKind::Option | FieldKind::Text => Ok(field),
        FieldKind::Other(kind) => Err(Trouble::failed(
            format!(
                "the field {} ({}) is of type {kind}: the flag has to be of type Checkboxes with the option {:?}",
                field.name, field.id, settings.flag_value
            ),
            "make such a field and name it in company.jira.flag_field",
        )),
    }
}

/// Finds the field for the Google case's name and checks that it holds text.
pub(super) fn google_name_field(
    settings: &JiraSettings,
    fields: &[wire::Field],
) -> Result<CustomField, Trouble> {
    let field = find("company.jira.google_name_field", &settings.google_name_field, "Short text", fields)?;
    if field.is_text() {
        Ok(field)
    } else {
        Err(Trouble::failed(
            format!("the field {} ({}) holds no text", field.name, field.id),
            "make a custom field of type Short text and name it in company.jira.google_name_field",
        ))
    }
}

/// Finds the field for Google's state and checks that it holds text. `None` if none is configured.
pub(super) fn google_state_field(
    settings: &JiraSettings,
    fields: &[wire::Field],
) -> Option<Result<CustomField, Trouble>> {
    let wanted = settings.google_state_field.as_ref()?;
    let found = find("company.jira.google_state_field", wanted, "Short text", fields);
    Some(found.and_then(|field| {
        if field.is_text() {
            return Ok(field);
        }
        Err(Trouble::failed(
            format!("the field {} ({}) holds no text", field.name, field.id),
            "make a custom field of type Short text and name it in company.jira.google_state_field",
        ))
    }))
}

fn find(key: &str, wanted: &str, kind: &str, fields: &[wire::Field]) -> Result<CustomField, Trouble> {
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
        [] => Err(Trouble::failed(
            format!("Jira has no custom field {wanted:?}, or the connector's user may not see it"),
            format!(
                "make one of type {kind} and put it on the project's screens, or give another's name or ID in {key}"
            ),
        )),
        several => {
            let ids: Vec<&str> = several.iter().map(|field| field.id.as_str()).collect();
            Err(Trouble::failed(
                format!("Jira has several custom fields {wanted:?}"),
                format!("give the ID of the right one in {key} ({})", ids.join(", ")),
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
    fn of_fields_with_one_name_the_nearest_is_taken() {
        let field = |id: &str, project: Option<&str>| {
            let scope = project.map(|id| json!({"type": "PROJECT", "project": {"id": id}}));
            json!({"id": id, "name": "Cause", "schema": {"type": "string"}, "scope": scope})
        };
        let all = |list: &[(&str, Option<&str>)]| -> Vec<wire::Field> {
            list.iter().map(|(id, project)| serde_json::from_value(field(id, *project)).unwrap()).collect()
        };
        let by_id = JiraSettings { flag_field: "customfield_2".to_owned(), ..JiraSettings::default() };
        let usual = JiraSettings::default();
        let (global, own, other) =
            (("customfield_1", None), ("customfield_2", Some("10")), ("customfield_3", Some("20")));
        for (settings, fields, expected) in [
            (&usual, vec![global, other], vec![("customfield_1", 1)]),
            (&usual, vec![global, own, other], vec![("customfield_2", 2)]),
            (&usual, vec![other], vec![("customfield_3", 0)]),
            (
                &by_id,
                vec![global, ("customfield_2", Some("20"))],
                vec![("customfield_1", 0), ("customfield_2", 0)],
            ),
        ] {
            let found = nearest(settings, all(&fields), Some("10"));
            let found: Vec<(&str, usize)> =
                found.iter().map(|field| (field.id.as_str(), field.namesakes)).collect();
            assert_eq!(found, expected, "{fields:?}");
        }
    }

    #[test]
    fn configured_fields_are_found_by_name_or_id() {
        let request_type = json!({"id": "customfield_9", "name": "Anfragetyp", "schema": {"type": "sd-customerrequesttype", "custom": REQUEST_TYPE}});
        let mut all = fields();
        all.push(serde_json::from_value(request_type).unwrap());
        let with = |name: &str| JiraSettings {
            new_fields: BTreeMap::from([(name.to_owned(), json!({"value": "x"}))]),
            request_type: Some("25".to_owned()),
            ..JiraSettings::default()
        };
        for (name, expected) in [
            ("Count", Ok("customfield_5")),
            ("CUSTOMFIELD_5", Ok("customfield_5")),
            ("twice", Err("give the ID of the right one (customfield_3, customfield_4)")),
            ("nothing", Err("company.jira.new_fields: Jira has no field \"nothing\"")),
        ] {
            match (on_create(&with(name), &all), expected) {
                (Ok(found), Ok(id)) => {
                    assert_eq!(Value::from(found), json!({id: {"value": "x"}, "customfield_9": "25"}));
                }
                (Err(problem), Err(hint)) => assert!(problem.contains(hint), "{problem}"),
                (found, expected) => panic!("{name}: {found:?} instead of {expected:?}"),
            }
        }
        let problem = on_create(&with("count"), &fields()).unwrap_err();
        assert!(problem.starts_with("company.jira.request_type"), "{problem}");
    }

    #[test]
    fn a_route_sets_its_fields_and_a_request_type_stays_in_its_project() {
        let request_type = json!({"id": "customfield_9", "name": "Anfragetyp", "schema": {"type": "sd-customerrequesttype", "custom": REQUEST_TYPE}});
        let mut all = fields();
        all.push(serde_json::from_value(request_type).unwrap());
        let settings = JiraSettings {
            project: "SUP".to_owned(),
            new_fields: BTreeMap::from([
                ("count".to_owned(), json!(1)),
                ("customfield_3".to_owned(), json!("x")),
            ]),
            request_type: Some("25".to_owned()),
            ..JiraSettings::default()
        };
        let data_center = JiraSettings { deployment: Deployment::DataCenter, ..settings.clone() };
        let text = |text: &str| Some(text.to_owned());
        let usual = json!({"customfield_5": 1, "customfield_3": "x", "customfield_9": "25"});
        for (settings, placement, expected) in [
            (&settings, Placement::default(), usual.clone()),
            (&settings, Placement { project: text("sup"), ..Placement::default() }, usual),
            (
                &settings,
                Placement { project: text("SHOP"), ..Placement::default() },
                json!({"customfield_5": 1, "customfield_3": "x"}),
            ),
            (
                &settings,
                Placement { project: text("SHOP"), request_type: text("31"), ..Placement::default() },
                json!({"customfield_5": 1, "customfield_3": "x", "customfield_9": "31"}),
            ),
            (
                &settings,
                Placement {
                    labels: vec!["a".to_owned(), "b".to_owned()],
                    assignee: text("5b1"),
                    // The second is a field of another team-managed project, which is not listed.
                    fields: [("Count".to_owned(), json!(2)), ("customfield_77".to_owned(), json!("y"))]
                        .into(),
                    ..Placement::default()
                },
                json!({
                    "customfield_5": 2, "customfield_3": "x", "customfield_9": "25", "customfield_77": "y",
                    "labels": ["a", "b"], "assignee": {"accountId": "5b1"},
                }),
            ),
            (
                &data_center,
                Placement { assignee: text("jane"), ..Placement::default() },
                json!({
                    "customfield_5": 1, "customfield_3": "x", "customfield_9": "25", "assignee": {"name": "jane"},
                }),
            ),
        ] {
            let found = Fields::find(settings, &all).unwrap().of_new(settings, &placement).unwrap();
            assert_eq!(Value::from(found), expected, "{placement:?}");
        }
        let unknown = Placement { fields: [("nothing".to_owned(), json!(1))].into(), ..Placement::default() };
        let problem = Fields::find(&settings, &all).unwrap().of_new(&settings, &unknown).unwrap_err();
        assert!(problem.starts_with("the route's fields: Jira has no field \"nothing\""), "{problem}");
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
