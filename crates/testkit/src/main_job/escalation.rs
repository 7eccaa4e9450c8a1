//! People of the company case escalate its Google case.

use casebridge::cases::{CheckStatus, Visibility};
use casebridge::entities::{EscalationReason, Side};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sync::{EscalationRule, EscalationSignal};
use casebridge::tasks::check_escalation;
use chrono::Duration;
use serde_json::json;

use crate::harness::crm::{Crm, Setup};
use crate::harness::{Options, Time, World, count};

const NOT_ESCALATED: &str = "The Google case was not escalated: ";

/// Starts a world in which the desk's text field raises a case, by the word "down".
async fn world(crm: &dyn Crm) -> World {
    let description = crm.description().await;
    let time = Time::for_crm(&description);
    let company = crm.open(&time.clock(), &Setup::default()).await;
    let mut options = Options { backend: crm.backend(), ..Options::default() };
    options.rules.escalation = Some(EscalationRule {
        signal: EscalationSignal::Field(company.desk.text_field().await),
        words: [("down".to_owned(), EscalationReason::BusinessImpact)].into(),
        prefix: "#escalate".to_owned(),
        justification_field: None,
    });
    World::around(time, description, company, options).await
}

pub async fn a_raised_company_case_escalates_its_google_case_once_and_again_only_when_it_is_raised_again(
    crm: &dyn Crm,
) {
    let world = world(crm).await;
    let (google, company) = world.pair_from_company().await;
    let escalations = || world.csapi.case(&google).unwrap().escalations;
    world.desk.writes_field(&company, "Down").await;
    world.company_says(&company, "#escalate The shop has been down for an hour.").await;
    let (_, report) = world.rehearse("sync-company-case", json!({ "case_id": company })).await;
    assert!(report["plan"].to_string().contains("escalate the google case (BUSINESS_IMPACT)"), "{report}");
    assert!(escalations().is_empty());
    world.settle().await;
    let first = ("BUSINESS_IMPACT".to_owned(), "The shop has been down for an hour.".to_owned());
    assert_eq!(escalations(), std::slice::from_ref(&first));
    world.assert_quiet().await;
    // Google ends the escalation. The company case is still raised, and nobody has raised it again.
    world.csapi.set_escalated(&google, false).unwrap();
    world.company_says(&company, "Any news?").await;
    world.settle().await;
    assert_eq!(escalations().len(), 1);
    world.desk.writes_field(&company, "no").await;
    world.settle().await;
    world.desk.writes_field(&company, "down").await;
    world.company_says(&company, "#escalate: down again").await;
    world.settle().await;
    assert_eq!(escalations(), [first, ("BUSINESS_IMPACT".to_owned(), "down again".to_owned())]);
    // Comments that justify travel like all others.
    assert_eq!(world.copies_at_google(&google).len(), 3);
    assert_eq!(count(&world.company_texts(&company).await, NOT_ESCALATED), 0);
    world.assert_quiet().await;
    let (rule, system) = (world.deps.settings.rules.escalation.clone().unwrap(), &world.deps.systems.company);
    let checks = check_escalation(system.as_ref(), Some(&rule)).await;
    assert!(checks.len() == 1 && checks[0].status == CheckStatus::Ok, "{checks:?}");
    let rule = EscalationRule { signal: EscalationSignal::Field("u_no_such_field_987".to_owned()), ..rule };
    let checks = check_escalation(system.as_ref(), Some(&rule)).await;
    assert_eq!(checks[0].status, CheckStatus::Failed, "{checks:?}");
}

pub async fn what_an_escalation_lacks_and_what_google_refuses_is_told_once(crm: &dyn Crm) {
    let world = world(crm).await;
    let (google, company) = world.pair_from_company().await;
    let told = async || {
        let texts = world.company_texts(&company).await;
        texts.into_iter().filter(|text| text.contains(NOT_ESCALATED)).collect::<Vec<_>>()
    };
    for (word, number, words) in [
        ("perhaps", 1, "\"perhaps\" is no reason for it; choose one of down"),
        ("down", 2, "begins with #escalate"),
    ] {
        world.desk.writes_field(&company, word).await;
        for _ in 0..2 {
            world.company_says(&company, "Nothing about it.").await;
            world.settle().await;
            let told = told().await;
            assert!(told.len() == number && told[number - 1].contains(words), "{told:?}");
        }
    }
    world.csapi.adjust(|switches| switches.refuses_escalations = true);
    // An internal comment will do, which is not carried.
    world.desk.says(&company, "#escalate The shop is down.", Visibility::Internal).await;
    for _ in 0..2 {
        world.settle().await;
        let told = told().await;
        assert!(told.len() == 3 && told[2].contains("Google refuses: "), "{told:?}");
    }
    let mapping = world.mapping().await;
    assert!(mapping.last_error.is_none() && mapping.dirty[Side::Company].is_none(), "{mapping:?}");
    assert!(world.csapi.case(&google).unwrap().escalations.is_empty());
    assert_eq!(world.copies_at_google(&google).len(), 4, "notices are not carried");
    world.assert_quiet().await;
}

pub async fn an_escalation_whose_answer_was_lost_is_made_once(crm: &dyn Crm) {
    for is_made in [true, false] {
        let world = world(crm).await;
        let (google, company) = world.pair_from_company().await;
        let effect = if is_made { Effect::HangUpAfter } else { Effect::HangUpBefore };
        world.csapi.faults().add(Fault::always(effect).times(1).on("POST", ":escalate"));
        world.desk.writes_field(&company, "down").await;
        world.company_says(&company, "#escalate The shop is down.").await;
        world.run_for(Duration::minutes(60)).await;
        assert_eq!(world.csapi.case(&google).unwrap().escalations.len(), 1, "{is_made}");
        assert_eq!(world.copies_at_google(&google).len(), 1, "{is_made}");
        world.assert_quiet().await;
    }
}
