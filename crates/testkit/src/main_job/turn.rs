//! Whose turn it is: Google's state as the company case's status, and in words in a field of it.

use std::collections::BTreeMap;

use casebridge::cases::CheckStatus;
use casebridge::entities::GoogleState;
use casebridge::sandbox::csapi::State;
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sync::{StatusRule, StatusTable};
use casebridge::tasks::check_statuses;
use chrono::Duration;
use serde_json::json;

use crate::harness::crm::{Crm, Setup, Turns};
use crate::harness::desk::Call;
use crate::harness::{Options, World};

/// Returns a table in which each status gives way to the one that follows from Google's next state.
fn table(turns: Turns) -> StatusTable {
    let rule = |status: &str, incompatible: &[&str]| StatusRule {
        status: status.to_owned(),
        incompatible: incompatible.iter().map(|status| (*status).to_owned()).collect(),
    };
    [
        (GoogleState::InProgressGoogleSupport, rule(turns.google, &[turns.first, turns.ours])),
        (GoogleState::ActionRequired, rule(turns.ours, &[turns.google])),
        (GoogleState::SolutionProvided, rule(turns.nowhere, &[])),
    ]
    .into_iter()
    .collect()
}

/// Starts a connector with that table, and with a field for Google's state if `state_field` is true.
async fn world(crm: &dyn Crm, state_field: bool) -> World {
    let mut options = Options { setup: Setup { state_field, ..Setup::default() }, ..Options::default() };
    options.rules.statuses = table(crm.description().await.turns);
    World::with(crm, options).await
}

pub async fn googles_state_becomes_the_cases_status_once_and_what_people_set_stays(crm: &dyn Crm) {
    let world = world(crm, false).await;
    let turns = world.description.turns;
    let (google, company) = world.pair().await;
    assert_eq!(
        world.desk.status(&company).await,
        turns.first,
        "a new case keeps the status that it begins with"
    );

    world.csapi.set_state(&google, State::InProgressGoogleSupport).unwrap();
    let (_, report) = world.rehearse("sync-google-case", json!({ "case_name": google })).await;
    let step = format!(
        "set the company case's status to {:?}, since Google's state is IN_PROGRESS_GOOGLE_SUPPORT",
        turns.google
    );
    assert_eq!(report["plan"], json!([step]), "{report}");
    assert_eq!(report["totals"], json!({ "statuses": 1 }), "{report}");
    world.settle().await;
    assert_eq!(world.desk.status(&company).await, turns.google);

    // People set another one, which stays while Google's state does, and when it changes to one that the status fits.
    world.desk.sets_status(&company, turns.first).await;
    world.google_says(&google, "We look at it.");
    world.settle().await;
    assert_eq!(world.desk.status(&company).await, turns.first);
    world.csapi.set_state(&google, State::ActionRequired).unwrap();
    world.settle().await;
    assert_eq!(world.desk.status(&company).await, turns.first);

    // The next change finds it incompatible.
    world.csapi.set_state(&google, State::InProgressGoogleSupport).unwrap();
    world.settle().await;
    assert_eq!(world.desk.status(&company).await, turns.google);
    world.csapi.set_state(&google, State::ActionRequired).unwrap();
    world.settle().await;
    assert_eq!(world.desk.status(&company).await, turns.ours);

    // No way leads to a status: the case keeps its own, and everything else goes on.
    world.csapi.set_state(&google, State::SolutionProvided).unwrap();
    world.google_says(&google, "Try this.");
    world.settle().await;
    assert_eq!(world.desk.status(&company).await, turns.ours);
    let mapping = world.mapping().await;
    assert_eq!((mapping.last_error, mapping.state.turn.seen), (None, Some(GoogleState::SolutionProvided)));
    assert!(mapping.state.refusals.is_empty());
    assert_eq!(world.copies_in_crm(&company).await, ["We look at it.", "Try this."]);

    // Nothing of it has come back to Google, and a closed case keeps the status that it was closed with.
    assert_eq!(world.csapi.case(&google).unwrap().state, State::SolutionProvided);
    assert_eq!(world.copies_at_google(&google), [""; 0]);
    world.desk.closes(&company).await;
    world.settle().await;
    assert_eq!(world.csapi.case(&google).unwrap().state, State::Closed);
    assert_eq!(world.desk.status(&company).await, turns.closed);
    world.assert_quiet().await;
}

pub async fn a_new_case_gets_the_status_for_googles_state_with_its_first_sync_and_never_again(crm: &dyn Crm) {
    let world = world(crm, true).await;
    let turns = world.description.turns;
    let states = [State::New, State::InProgressGoogleSupport, State::ActionRequired, State::SolutionProvided];
    let cases = states.map(|state| {
        let case = world.google_case(&format!("{state:?} at first sight"));
        world.csapi.set_state(&case, state).unwrap();
        case
    });
    let (_, report) = world.rehearse("sync-google-case", json!({ "case_name": cases[1] })).await;
    let plan = report["plan"].to_string();
    assert!(plan.contains(&format!("set the new case's status to \\\"{}\\\"", turns.google)), "{report}");
    world.settle().await;
    let companies = world.mappings().await.into_iter().map(|mapping| {
        assert_eq!((&mapping.last_error, mapping.state.turn.fresh), (&None, false), "{mapping:#?}");
        assert!(mapping.state.turn.seen.is_some() && mapping.state.refusals.is_empty(), "{mapping:#?}");
        (mapping.google_case_name.unwrap().to_string(), mapping.company_case_id.unwrap().to_string())
    });
    let companies: BTreeMap<String, String> = companies.collect();
    // No status is configured for the first; a new one does not give way for the third; no way leads to the last's.
    for (case, status) in cases.iter().zip([turns.first, turns.google, turns.first, turns.first]) {
        assert_eq!(world.desk.status(&companies[case]).await, status, "{case}");
    }
    // People set it back, and it stays.
    world.desk.sets_status(&companies[&cases[1]], turns.first).await;
    for case in &cases {
        world.google_says(case, "We look at it.");
    }
    world.settle().await;
    for case in &cases {
        assert_eq!(world.desk.status(&companies[case]).await, turns.first, "{case}");
        assert_eq!(world.copies_in_crm(&companies[case]).await, ["We look at it."]);
        assert_eq!(world.copies_at_google(case), [""; 0]);
    }
    // A company case from before Google's, whose status people have chosen, keeps it.
    let company = world.company_case("From the company").await;
    let chosen = world.desk.status(&company).await;
    world.settle().await;
    assert_eq!(world.desk.status(&company).await, chosen);
    world.assert_quiet().await;
}

pub async fn a_new_cases_status_is_set_though_the_answer_of_its_creation_was_lost(crm: &dyn Crm) {
    let world = world(crm, false).await;
    let turns = world.description.turns;
    world.trouble(Call::Create, Fault::always(Effect::HangUpAfter).times(1));
    let case = world.google_case("Disk is slow");
    world.csapi.set_state(&case, State::InProgressGoogleSupport).unwrap();
    world.run_for(Duration::minutes(40)).await;
    let mapping = world.mapping().await;
    let company = mapping.company_case_id.unwrap().to_string();
    assert_eq!(world.desk.cases().await.len(), 1);
    assert_eq!(world.desk.status(&company).await, turns.google);
    assert_eq!((mapping.last_error, mapping.state.turn.fresh), (None, false));
    world.desk.sets_status(&company, turns.first).await;
    world.run_for(Duration::minutes(40)).await;
    assert_eq!(world.desk.status(&company).await, turns.first);
}

pub async fn a_status_whose_answer_was_lost_is_found_and_one_that_was_lost_itself_is_set(crm: &dyn Crm) {
    for effect in [Effect::HangUpAfter, Effect::HangUpBefore] {
        let world = world(crm, true).await;
        let turns = world.description.turns;
        let (google, company) = world.pair().await;
        // The text and the status are two writes, and neither has an answer.
        for _ in 0..2 {
            world.trouble(Call::Close, Fault::always(effect.clone()).times(1));
        }
        world.csapi.set_state(&google, State::InProgressGoogleSupport).unwrap();
        world.run_for(Duration::minutes(40)).await;
        assert_eq!(world.desk.status(&company).await, turns.google, "{effect:?}");
        assert_eq!(world.desk.state_text(&company).await, "Google works on it (in progress)", "{effect:?}");
        let mapping = world.mapping().await;
        assert_eq!(mapping.state.turn.seen, Some(GoogleState::InProgressGoogleSupport), "{effect:?}");
        assert!(!mapping.state.turn.awaits_outcome() && mapping.last_error.is_none(), "{mapping:#?}");
        world.assert_quiet().await;
    }
}

pub async fn the_state_stands_in_words_in_a_field_with_escalation(crm: &dyn Crm) {
    let world = world(crm, true).await;
    let (google, company) = world.pair().await;
    assert_eq!(world.desk.state_text(&company).await, "New at Google (new)");
    world.csapi.set_state(&google, State::ActionRequired).unwrap();
    let (_, report) = world.rehearse("sync-google-case", json!({ "case_name": google })).await;
    let plan = report["plan"].to_string();
    assert!(plan.contains("into the company case's field for Google's state"), "{report}");
    assert_eq!(report["totals"]["states"], json!(1), "{report}");
    world.settle().await;
    assert_eq!(world.desk.state_text(&company).await, "Waiting for you (action required)");
    world.csapi.set_escalated(&google, true).unwrap();
    world.settle().await;
    assert_eq!(world.desk.state_text(&company).await, "Waiting for you (action required), escalated");
    world.csapi.set_escalated(&google, false).unwrap();
    world.csapi.set_state(&google, State::SolutionProvided).unwrap();
    world.settle().await;
    assert_eq!(world.desk.state_text(&company).await, "Google offers a solution (solution provided)");
    world.csapi.close(&google).unwrap();
    world.settle().await;
    assert_eq!(world.desk.state_text(&company).await, "Closed at Google (closed)");
    assert!(world.company(&company).await.closed);
    assert_eq!(world.mapping().await.last_error, None);
    // No word of it is a comment, on either side.
    assert_eq!(world.copies_in_crm(&company).await, [""; 0]);
    assert_eq!(world.copies_at_google(&google), [""; 0]);
    world.assert_quiet().await;
}

pub async fn the_check_names_a_status_that_is_not_there_with_those_that_are(crm: &dyn Crm) {
    let world = world(crm, true).await;
    // Some checks need an open case and a closed one to look at.
    world.company_case("Something to look at").await;
    let closed = world.company_case("Something closed").await;
    world.desk.closes(&closed).await;
    let turns = world.description.turns;
    let system = world.deps.systems.company.as_ref();
    let rule = |status: &str, incompatible: &str| {
        let rule = StatusRule { status: status.to_owned(), incompatible: vec![incompatible.to_owned()] };
        [(GoogleState::ActionRequired, rule)].into_iter().collect::<StatusTable>()
    };
    for (status, incompatible, names) in [
        (turns.google, turns.first, None),
        ("No such status", turns.first, Some("status.google.ACTION_REQUIRED")),
        (turns.google, "No such status", Some("status.incompatible.ACTION_REQUIRED")),
        (turns.closed, turns.first, Some("would close the Google case")),
    ] {
        let checks = check_statuses(system, &rule(status, incompatible)).await;
        assert_eq!(checks.len(), 1, "{checks:?}");
        assert!(checks[0].what.ends_with("status for ACTION_REQUIRED"), "{checks:?}");
        let told = format!("{checks:?}");
        match names {
            None => assert_eq!(checks[0].status, CheckStatus::Ok, "{told}"),
            Some(names) => {
                assert_ne!(checks[0].status, CheckStatus::Ok, "{told}");
                assert!(told.contains(names) && told.contains(turns.google), "{told}");
            }
        }
    }
    assert_eq!(check_statuses(system, &StatusTable::new()).await, []);
}
