//! Which transition closes a case or opens it again, and what its screen demands (`R19`).

use serde_json::{Map, Value, json};

use super::wire::{Named, ScreenField, Transition};

/// The resolution that Jira itself starts out with.
const USUAL_RESOLUTION: &str = "Done";

/// The transition that closes: the configured one, or else the first to a status of the category "done". The error names
/// what there is.
pub(super) fn closing<'a>(
    transitions: &'a [Transition],
    configured: Option<&str>,
) -> Result<&'a Transition, String> {
    choose(transitions, configured, "company.jira.close_transition", Transition::closes).map_err(|what| {
        format!(
            "the case cannot be closed from its status: {what}; open the workflow for it, or name another transition in \
             company.jira.close_transition"
        )
    })
}

/// The transition that opens again: the configured one, or else the first to a status of another category than "done".
pub(super) fn opening<'a>(
    transitions: &'a [Transition],
    configured: Option<&str>,
) -> Result<&'a Transition, String> {
    choose(transitions, configured, "company.jira.reopen_transition", |transition| !transition.closes()).map_err(|what| {
        format!(
            "the case cannot be opened again from its status: {what}; add such a transition to the workflow, or name one in \
             company.jira.reopen_transition"
        )
    })
}

impl Transition {
    pub(super) fn closes(&self) -> bool {
        self.to.is_done()
    }
}

fn choose<'a>(
    transitions: &'a [Transition],
    configured: Option<&str>,
    key: &str,
    leads_there: impl Fn(&Transition) -> bool,
) -> Result<&'a Transition, String> {
    let found = match configured.map(str::trim) {
        Some(wanted) => {
            let lower = wanted.to_lowercase();
            let by =
                |test: &dyn Fn(&Transition) -> bool| transitions.iter().find(|transition| test(transition));
            by(&|transition| transition.id == wanted)
                .or_else(|| by(&|transition| transition.name.to_lowercase() == lower))
                .or_else(|| by(&|transition| transition.to.name.to_lowercase() == lower))
                .ok_or_else(|| {
                    format!("there is no transition {wanted:?} as {key} says, {}", listed(transitions))
                })
        }
        None => transitions
            .iter()
            .find(|transition| leads_there(transition))
            .ok_or_else(|| format!("no transition leads there, {}", listed(transitions))),
    }?;
    if leads_there(found) {
        Ok(found)
    } else {
        Err(format!("the transition {:?} of {key} leads to {:?}", found.name, found.to.name))
    }
}

/// What can be done from here, for people.
fn listed(transitions: &[Transition]) -> String {
    if transitions.is_empty() {
        return "and the connector's user may make none at all (does it hold \"Transition issues\"?)"
            .to_owned();
    }
    let names: Vec<String> = transitions
        .iter()
        .map(|transition| format!("{:?} to {:?} (ID {})", transition.name, transition.to.name, transition.id))
        .collect();
    format!("there are {}", names.join(", "))
}

/// What to send with a transition: the resolution where the screen has one. The error names what else it demands.
pub(super) fn fields(
    transition: &Transition,
    resolution: Option<&str>,
) -> Result<Map<String, Value>, String> {
    let mut fields = Map::new();
    if let Some(screen) = transition.fields.get("resolution")
        && let Some(chosen) = chosen_resolution(screen, resolution)?
    {
        fields.insert("resolution".to_owned(), json!({ "name": chosen }));
    }
    let unmet: Vec<&str> = transition
        .fields
        .iter()
        .filter(|(id, field)| field.required && !field.has_default_value && !fields.contains_key(*id))
        .map(|(id, field)| if field.name.is_empty() { id.as_str() } else { field.name.as_str() })
        .collect();
    if unmet.is_empty() {
        Ok(fields)
    } else {
        Err(format!(
            "the screen of the transition {:?} demands {}: make that optional, or name another transition in the configuration",
            transition.name,
            unmet.join(", ")
        ))
    }
}

fn chosen_resolution(screen: &ScreenField, configured: Option<&str>) -> Result<Option<String>, String> {
    let allowed = &screen.allowed_values;
    let find =
        |wanted: &str| allowed.iter().find(|value| value.is(wanted)).map(|value| value.shown().to_owned());
    match configured {
        Some(wanted) if allowed.is_empty() => Ok(Some(wanted.to_owned())),
        Some(wanted) => find(wanted).map(Some).ok_or_else(|| {
            let names: Vec<&str> = allowed.iter().map(Named::shown).collect();
            format!(
                "the resolution {wanted:?} cannot be chosen there: name one of {} in company.jira.resolution",
                names.join(", ")
            )
        }),
        None => Ok(find(USUAL_RESOLUTION).or_else(|| {
            let first = allowed.first().map(|value| value.shown().to_owned());
            screen.required.then(|| first.unwrap_or_else(|| USUAL_RESOLUTION.to_owned()))
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transitions() -> Vec<Transition> {
        serde_json::from_value(json!([
            {"id": "11", "name": "Start", "to": {"name": "In Progress", "statusCategory": {"key": "indeterminate"}}},
            {"id": "31", "name": "Finish", "to": {"name": "Done", "statusCategory": {"key": "done"}}},
            {"id": "51", "name": "Cancel", "to": {"name": "Cancelled", "statusCategory": {"key": "done"}}, "fields": null},
            {"id": "61", "name": "odd", "to": null},
        ]))
        .unwrap()
    }

    #[test]
    fn a_transition_is_found_by_what_is_configured_or_by_where_it_leads() {
        let all = transitions();
        let close = |configured| closing(&all, configured).map(|transition| transition.id.as_str());
        assert_eq!(close(None), Ok("31"));
        for configured in ["51", "cancel", "CANCELLED"] {
            assert_eq!(close(Some(configured)), Ok("51"), "{configured}");
        }
        for (configured, hint) in
            [("Close", "\"Finish\" to \"Done\" (ID 31)"), ("Start", "leads to \"In Progress\"")]
        {
            let error = close(Some(configured)).unwrap_err();
            assert!(error.contains(hint) && error.contains("close_transition"), "{error}");
        }
        assert_eq!(opening(&all, None).unwrap().id, "11");
        assert!(closing(&[], None).unwrap_err().contains("Transition issues"));
        assert!(opening(&all[1..3], None).is_err());
    }

    #[test]
    fn the_resolution_is_sent_where_the_screen_has_one() {
        let with = |fields: Value| -> Transition {
            serde_json::from_value(json!({"id": "1", "name": "Finish", "fields": fields})).unwrap()
        };
        let screen = |required: bool, names: &[&str]| {
            let allowed: Vec<Value> = names.iter().map(|name| json!({"id": "1", "name": name})).collect();
            json!({"resolution": {"required": required, "name": "Resolution", "allowedValues": allowed}})
        };
        let chosen = |name: &str| Ok(Map::from_iter([("resolution".to_owned(), json!({"name": name}))]));
        for (screen, configured, expected) in [
            (json!({}), Some("Fixed"), Ok(Map::new())),
            (screen(false, &["Fixed", "Done"]), None, chosen("Done")),
            (screen(false, &["Fixed"]), None, Ok(Map::new())),
            (screen(true, &["Fixed"]), None, chosen("Fixed")),
            (screen(true, &[]), None, chosen("Done")),
            (screen(true, &["Fixed", "Done"]), Some("fixed"), chosen("Fixed")),
            (screen(true, &["Fixed"]), Some("Gone"), Err("one of Fixed")),
            (json!({"customfield_1": {"required": true, "name": "Cause"}}), None, Err("demands Cause")),
            (json!({"c": {"required": true, "hasDefaultValue": true}}), None, Ok(Map::new())),
        ] {
            let result = fields(&with(screen.clone()), configured);
            match expected {
                Ok(expected) => assert_eq!(result, Ok(expected), "{screen}"),
                Err(hint) => assert!(result.unwrap_err().contains(hint), "{screen}"),
            }
        }
    }
}
