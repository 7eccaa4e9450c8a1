//! Chooses the transition that closes or reopens a case, and the fields that its screen requires (`R19`: status, `R32`: closed is not
//! solved).

use serde_json::{Map, Value, json};

use super::closing;
use super::settings::JiraSettings;
use super::values;
use super::wire::{Named, ScreenField, Transition};
use crate::cases::{Closing, is_same_name};

/// Jira's own default resolution.
const USUAL_RESOLUTION: &str = "Done";

/// Configuration key of the closing transition.
const CLOSE: &str = "company.jira.close_transition";

/// Chooses the transition that closes a case. The configured one comes first. Then comes a transition to a status of the category "done"
/// that means solved, by its name, its status or the resolutions on its screen. Then the only one that does not mean the contrary (`R32`:
/// closed is not solved). The error lists the available transitions.
pub(super) fn closing<'a>(
    transitions: &'a [Transition],
    settings: &JiraSettings,
) -> Result<&'a Transition, String> {
    let found = match settings.close_transition.as_deref() {
        Some(_) => choose(transitions, settings.close_transition.as_deref(), CLOSE, Transition::closes),
        None => solving(transitions, settings),
    };
    found.map_err(|what| {
        format!(
            "the case cannot be closed from its status: {what}; open the workflow for it, or name the right transition in {CLOSE}"
        )
    })
}

fn solving<'a>(transitions: &'a [Transition], settings: &JiraSettings) -> Result<&'a Transition, String> {
    let closing: Vec<&Transition> = transitions.iter().filter(|transition| transition.closes()).collect();
    if closing.is_empty() {
        return Err(format!("no transition leads there, {}", listed(transitions)));
    }
    let said = |transition: &Transition| {
        [&transition.name, &transition.to.name].map(|name| closing::says(name, settings))
    };
    let plain: Vec<&Transition> = closing
        .into_iter()
        .filter(|transition| said(transition).iter().all(|said| matches!(said, None | Some(Closing::Solved))))
        .collect();
    let solved = |transition: &&&Transition| said(transition).contains(&Some(Closing::Solved));
    if let Some(found) = plain.iter().find(solved) {
        return Ok(found);
    }
    let by_resolution: Vec<&Transition> =
        plain.iter().copied().filter(|transition| offers_solved(transition, settings)).collect();
    match (by_resolution.as_slice(), plain.as_slice()) {
        ([found], _) | ([], [found]) => Ok(found),
        ([], []) => {
            Err(format!("every transition there cancels it or calls it a duplicate, {}", listed(transitions)))
        }
        _ => {
            Err(format!("none of several transitions there says that it is solved, {}", listed(transitions)))
        }
    }
}

/// Reports if a resolution that means solved can be chosen on the transition's screen.
fn offers_solved(transition: &Transition, settings: &JiraSettings) -> bool {
    transition.fields.get("resolution").is_some_and(|screen| {
        screen.allowed_values.iter().any(|value| match settings.resolution.as_deref() {
            Some(wanted) => value.is(wanted),
            None => closing::says(value.shown(), settings) == Some(Closing::Solved),
        })
    })
}

/// Chooses the transition that reopens a case: the configured one, or else the first to a status of another category than "done".
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

/// Chooses the transition that leads to a status, or that has this name or ID, with the fields to send. Of several that lead there, takes
/// one whose screen demands nothing. The error lists the available transitions.
pub(super) fn to_status<'a>(
    transitions: &'a [Transition],
    settings: &JiraSettings,
    wanted: &str,
) -> Result<(&'a Transition, Map<String, Value>), String> {
    let leads_there = |transition: &&Transition| {
        [&transition.to.name, &transition.to.id].iter().any(|name| is_same_name(name, wanted))
    };
    let is_it =
        |transition: &&Transition| transition.id == wanted.trim() || is_same_name(&transition.name, wanted);
    let mut ways: Vec<&Transition> = transitions.iter().filter(leads_there).collect();
    if ways.is_empty() {
        ways = transitions.iter().filter(is_it).collect();
    }
    if let Some(closing) = ways.iter().find(|way| way.closes()) {
        return Err(format!(
            "{wanted:?} leads to {:?}, which means that the case is closed: name the status of an open case in [status.google]",
            closing.to.name
        ));
    }
    let mut filled = ways.into_iter().map(|way| Ok((way, fields(way, settings)?)));
    let first = filled.next().unwrap_or_else(|| {
        Err(format!(
            "no transition leads to {wanted:?} from the case's status, {}; open the workflow for it, or name another status in \
             [status.google]",
            listed(transitions)
        ))
    });
    first.or_else(|problem| filled.find_map(Result::ok).ok_or(problem))
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

/// Lists the available transitions for an error text.
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

/// Returns the fields to send with the closing transition: the given ones that its screen has, and those of [`fields`].
pub(super) fn closing_fields(
    transition: &Transition,
    settings: &JiraSettings,
    given: &Map<String, Value>,
) -> Result<Map<String, Value>, String> {
    let given = given.iter().filter(|(id, _)| transition.fields.contains_key(*id));
    let given = given.map(|(id, value)| (id.clone(), value.clone())).collect();
    filled(transition, settings, given)
}

/// Returns the fields to send with a transition. The resolution is sent if the screen requires it, or if the screen has it and the
/// transition closes the case. The error lists other fields that the screen requires.
pub(super) fn fields(transition: &Transition, settings: &JiraSettings) -> Result<Map<String, Value>, String> {
    filled(transition, settings, Map::new())
}

fn filled(
    transition: &Transition,
    settings: &JiraSettings,
    mut fields: Map<String, Value>,
) -> Result<Map<String, Value>, String> {
    if !fields.contains_key("resolution")
        && let Some(screen) = transition.fields.get("resolution")
        && (transition.closes() || screen.required)
        && let Some(chosen) = chosen_resolution(screen, settings)?
    {
        fields.insert("resolution".to_owned(), json!({ "name": chosen }));
    }
    let unmet: Vec<(&str, &ScreenField)> = transition
        .fields
        .iter()
        .map(|(id, field)| (id.as_str(), field))
        .filter(|(id, field)| field.required && !field.has_default_value && !fields.contains_key(*id))
        .collect();
    if unmet.is_empty() {
        return Ok(fields);
    }
    let described: Vec<String> = unmet.iter().map(|(id, field)| field.described(id)).collect();
    let give = if transition.closes() {
        values::give_values("company.jira.close_fields", &unmet, settings.deployment) + ", "
    } else {
        String::new()
    };
    Err(format!(
        "the screen of the transition {:?} demands {}; {give}make that optional, or name another transition in the configuration",
        transition.name,
        described.join(", "),
    ))
}

fn chosen_resolution(screen: &ScreenField, settings: &JiraSettings) -> Result<Option<String>, String> {
    let allowed = &screen.allowed_values;
    let find =
        |wanted: &str| allowed.iter().find(|value| value.is(wanted)).map(|value| value.shown().to_owned());
    let refused = |what: String| {
        let names: Vec<&str> = allowed.iter().map(Named::shown).collect();
        format!("{what}; name one of {} in company.jira.resolution", names.join(", "))
    };
    let said = |wanted: Option<Closing>| {
        let fits = move |value: &&Named| closing::says(value.shown(), settings) == wanted;
        allowed.iter().filter(fits).map(|value| value.shown().to_owned())
    };
    if let Some(wanted) = settings.resolution.as_deref() {
        return if allowed.is_empty() {
            Ok(Some(wanted.to_owned()))
        } else {
            find(wanted)
                .map(Some)
                .ok_or_else(|| refused(format!("the resolution {wanted:?} cannot be chosen there")))
        };
    }
    if let Some(solved) = find(USUAL_RESOLUTION).or_else(|| said(Some(Closing::Solved)).next()) {
        return Ok(Some(solved));
    }
    match (screen.required, said(None).collect::<Vec<_>>().as_slice()) {
        (false, _) => Ok(None),
        (true, _) if allowed.is_empty() => Ok(Some(USUAL_RESOLUTION.to_owned())),
        (true, [plain]) => Ok(Some(plain.clone())),
        (true, _) => Err(refused(
            "the screen demands a resolution, and none of them says that it is solved".to_owned(),
        )),
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

    fn configured(transition: Option<&str>, resolution: Option<&str>) -> JiraSettings {
        JiraSettings {
            close_transition: transition.map(str::to_owned),
            resolution: resolution.map(str::to_owned),
            ..JiraSettings::default()
        }
    }

    #[test]
    fn a_transition_is_found_by_what_is_configured_or_by_where_it_leads() {
        let all = transitions();
        let close =
            |wanted| closing(&all, &configured(wanted, None)).map(|transition| transition.id.as_str());
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
        let nothing = closing(&[], &configured(None, None)).unwrap_err();
        assert!(nothing.contains("Transition issues"), "{nothing}");
        assert!(opening(&all[1..3], None).is_err());
    }

    #[test]
    #[expect(clippy::type_complexity, reason = "a table")]
    fn of_several_ways_to_close_the_one_that_says_solved_is_taken_or_none() {
        let to = |(name, status): &(&str, &str)| json!({"id": name, "name": name, "to": {"name": status, "statusCategory": {"key": "done"}}});
        let closes: &[(&[(&str, &str)], Result<&str, &str>)] = &[
            (&[("Cancel", "Cancelled"), ("Duplicate", "Duplicate"), ("Done", "Done")], Ok("Done")),
            (&[("Cancel request", "Canceled"), ("Resolve this issue", "Resolved")], Ok("Resolve this issue")),
            (&[("Close", "Closed"), ("Finish", "Closed")], Ok("Finish")),
            (&[("Close", "Closed"), ("End", "Done")], Ok("End")),
            (&[("Reject", "Done"), ("Close", "Closed")], Ok("Close")),
            (&[("Close", "Closed")], Ok("Close")),
            (&[("Done", "Cancelled"), ("Close", "Closed")], Ok("Close")),
            (&[("Close", "Closed"), ("Archive", "Archived")], Err("\"Close\" to \"Closed\" (ID Close)")),
            (&[("Cancel", "Cancelled"), ("Duplicate", "Duplicate")], Err("company.jira.close_transition")),
            (&[("Cancel", "Done")], Err("\"Cancel\" to \"Done\"")),
            (&[], Err("no transition leads there")),
        ];
        for (ways, expected) in closes {
            let transitions: Vec<Value> = ways.iter().map(to).collect();
            let transitions: Vec<Transition> = serde_json::from_value(json!(transitions)).unwrap();
            let found = closing(&transitions, &JiraSettings::default());
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found.id, *expected, "{ways:?}"),
                (Err(problem), Err(hint)) => assert!(problem.contains(hint), "{ways:?}: {problem}"),
                (found, expected) => panic!("{ways:?}: {found:?} instead of {expected:?}"),
            }
        }
        let screen = json!({"resolution": {"allowedValues": [{"id": "1", "name": "Fixed"}, {"id": "2", "name": "Invalid"}]}});
        let mut ways: Vec<Value> = [("Close", "Closed"), ("Archive", "Archived")].iter().map(to).collect();
        ways[0]["fields"] = screen;
        let ways: Vec<Transition> = serde_json::from_value(json!(ways)).unwrap();
        for (resolution, expected) in [(None, true), (Some("Invalid"), true), (Some("Gone"), false)] {
            let found = closing(&ways, &configured(None, resolution));
            assert_eq!(found.is_ok_and(|found| found.id == "Close"), expected, "{resolution:?}");
        }
    }

    #[test]
    fn a_status_is_reached_by_the_transition_that_leads_there() {
        let status = |id: &str, name: &str, category: &str| json!({"id": id, "name": name, "statusCategory": {"key": category}});
        let demanding = json!({"reason": {"required": true, "name": "Reason"}});
        let transitions: Vec<Transition> = serde_json::from_value(json!([
            {"id": "11", "name": "Ask", "to": status("5", "Waiting for us", "indeterminate"), "fields": demanding},
            {"id": "12", "name": "Ask at once", "to": status("5", "Waiting for us", "indeterminate")},
            {"id": "13", "name": "Escalate", "to": status("6", "Escalated", "new"), "fields": demanding},
            {"id": "14", "name": "Finish", "to": status("7", "Done", "done")},
        ]))
        .unwrap();
        let settings = JiraSettings::default();
        for (wanted, expected) in [
            ("waiting for US", Ok("12")),
            ("5", Ok("12")),
            (" Ask at once", Ok("12")),
            ("11", Err("demands Reason")),
            ("Escalated", Err("demands Reason")),
            ("Done", Err("means that the case is closed")),
            ("14", Err("means that the case is closed")),
            ("On hold", Err("\"Ask\" to \"Waiting for us\" (ID 11)")),
        ] {
            match (to_status(&transitions, &settings, wanted), expected) {
                (Ok((found, _)), Ok(id)) => assert_eq!(found.id, id, "{wanted}"),
                (Err(problem), Err(part)) => assert!(problem.contains(part), "{wanted}: {problem}"),
                (found, _) => panic!("{wanted}: {found:?}"),
            }
        }
    }

    #[test]
    fn given_fields_are_sent_where_the_screen_has_them() {
        let done = json!({"name": "Done", "statusCategory": {"key": "done"}});
        let cause = json!({"required": true, "name": "Cause", "schema": {"type": "option"}, "allowedValues": [{"id": "1", "value": "Bug"}]});
        let with = |fields: Value| -> Transition {
            serde_json::from_value(json!({"id": "1", "name": "Finish", "to": done, "fields": fields}))
                .unwrap()
        };
        let given = Map::from_iter([("c1".to_owned(), json!({"value": "Bug"}))]);
        let settings = JiraSettings::default();
        let sent =
            |fields: Value, given: &Map<String, Value>| closing_fields(&with(fields), &settings, given);
        assert_eq!(sent(json!({"c1": cause}), &given), Ok(given.clone()));
        assert_eq!(sent(json!({}), &given), Ok(Map::new()), "it is not on the screen");
        let problem = sent(json!({"c1": cause}), &Map::new()).unwrap_err();
        for hint in [
            "Cause (c1, option: one of Bug)",
            "give it a value in company.jira.close_fields, such as \"Cause\" = { value = \"Bug\" }",
        ] {
            assert!(problem.contains(hint), "{problem}");
        }
    }

    #[test]
    fn the_resolution_is_sent_where_the_screen_has_one() {
        let with = |fields: Value| -> Transition {
            let done = json!({"name": "Done", "statusCategory": {"key": "done"}});
            serde_json::from_value(json!({"id": "1", "name": "Finish", "to": done, "fields": fields}))
                .unwrap()
        };
        let screen = |required: bool, names: &[&str]| {
            let allowed: Vec<Value> = names.iter().map(|name| json!({"id": "1", "name": name})).collect();
            json!({"resolution": {"required": required, "name": "Resolution", "allowedValues": allowed}})
        };
        let chosen = |name: &str| Ok(Map::from_iter([("resolution".to_owned(), json!({"name": name}))]));
        for (screen, configured, expected) in [
            (json!({}), Some("Fixed"), Ok(Map::new())),
            (screen(false, &["Fixed", "Done"]), None, chosen("Done")),
            (screen(false, &["Won't Do", "Fixed"]), None, chosen("Fixed")),
            (screen(false, &["Won't Do", "Duplicate"]), None, Ok(Map::new())),
            (screen(true, &["Won't Do", "Fixed"]), None, chosen("Fixed")),
            (screen(true, &["Won't Do", "Processed"]), None, chosen("Processed")),
            (
                screen(true, &["Won't Do", "Duplicate"]),
                None,
                Err("one of Won't Do, Duplicate in company.jira.resolution"),
            ),
            (screen(true, &["Accepted", "Processed"]), None, Err("company.jira.resolution")),
            (screen(true, &[]), None, chosen("Done")),
            (screen(true, &["Fixed", "Done"]), Some("fixed"), chosen("Fixed")),
            (screen(true, &["Fixed"]), Some("Gone"), Err("one of Fixed")),
            (json!({"customfield_1": {"required": true, "name": "Cause"}}), None, Err("demands Cause")),
            (json!({"c": {"required": true, "hasDefaultValue": true}}), None, Ok(Map::new())),
        ] {
            let result = fields(&with(screen.clone()), &self::configured(None, configured));
            match expected {
                Ok(expected) => assert_eq!(result, Ok(expected), "{screen}"),
                Err(hint) => assert!(result.unwrap_err().contains(hint), "{screen}"),
            }
        }
        let reopen = |required| {
            let open = json!({"name": "Open", "statusCategory": {"key": "new"}});
            let all = json!({"id": "1", "name": "Reopen", "to": open, "fields": screen(required, &["Done"])});
            fields(&serde_json::from_value(all).unwrap(), &JiraSettings::default())
        };
        assert_eq!(reopen(false), Ok(Map::new()), "an open case has no resolution");
        assert_eq!(reopen(true), chosen("Done").map_err(str::to_owned));
    }
}
