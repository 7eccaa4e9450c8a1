//! Where the Google case of a company case belongs, and who gets its mails: routes, fields and people of the company case decide.

use casebridge::cases::{CheckStatus, PeopleSource};
use casebridge::entities::{GooglePlacement, Side};
use casebridge::sandbox::csapi::{
    CLASSIFICATION_ID, Case, ClassificationState, STORAGE_ID, SUCCESSOR_ID, SandboxCsapi,
};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sync::{CompanyConditions, CompanyRoute, Placing, RouteTable};
use casebridge::tasks::check_routes;
use chrono::Duration;
use serde_json::{Value, json};

use crate::harness::crm::{Crm, Setup};
use crate::harness::{Options, Time, World, count};

/// Project of the organisation in which routed cases are created.
const SHOP: &str = "projects/shop-prod";

/// Starts a world whose organisation has the project [`SHOP`], with a route for the company cases of [`Desk::conditions`](crate::harness::desk::Desk::conditions).
async fn world(crm: &dyn Crm, placement: GooglePlacement, placing: Placing) -> World {
    let time = Time::for_crm(&crm.description().await);
    let company = crm.open(&time.clock(), &Setup::default()).await;
    let route = CompanyRoute { conditions: company.desk.conditions(), placement };
    around(crm, time, company, [route].into_iter().collect(), placing).await
}

async fn around(
    crm: &dyn Crm,
    time: Time,
    company: crate::harness::crm::Company,
    routes: RouteTable,
    placing: Placing,
) -> World {
    let csapi = SandboxCsapi::new(time.clock(), "organizations/123");
    csapi.add_project("shop-prod").unwrap();
    let options =
        Options { routes, placing, backend: crm.backend(), csapi: Some(csapi), ..Options::default() };
    World::around(time, crm.description().await, company, options).await
}

/// Returns the Google case of a company case; `None` if there is none yet.
async fn google_of(world: &World, company: &str) -> Option<Case> {
    let mappings = world.mappings().await;
    let mapping = mappings.iter().find(|mapping| mapping.case_id(Side::Company) == Some(company))?;
    let name = mapping.case_id(Side::Google)?;
    world.csapi.cases().into_iter().find(|case| case.name == name)
}

pub async fn a_company_cases_route_decides_its_google_project_classification_and_language_once(
    crm: &dyn Crm,
) {
    let placement = GooglePlacement {
        parent: Some(SHOP.to_owned()),
        classification: Some("cloud storage".to_owned()),
        language_code: Some("de".to_owned()),
        time_zone: Some("Europe/Berlin".to_owned()),
        test_case: Some(true),
        subscribers: Some(vec!["oncall@example.com".to_owned()]),
    };
    let world = world(crm, placement, Placing::default()).await;
    let usual = world.company_case("Usual").await;
    let shops = world.company_case("The shop is slow").await;
    world.desk.marks(&shops).await;
    let (_, report) = world.rehearse("sync-company-case", json!({ "case_id": shops })).await;
    let step = &plan_of(&report)[0];
    let by = format!(" by route 1 (parent {SHOP}, classification {STORAGE_ID}, language_code de, ");
    assert!(step.contains(&by), "{step}");
    world.settle().await;

    let found = google_of(&world, &shops).await.unwrap();
    assert!(found.name.starts_with("projects/shop-prod/cases/"), "{}", found.name);
    assert_eq!(
        (found.classification_id.as_str(), found.language_code.as_str(), found.time_zone.as_str()),
        (STORAGE_ID, "de", "Europe/Berlin")
    );
    assert_eq!((found.test_case, &found.subscribers), (true, &vec!["oncall@example.com".to_owned()]));
    let other = google_of(&world, &usual).await.unwrap();
    assert!(other.name.starts_with("organizations/123/cases/"), "{}", other.name);
    assert_eq!(
        (other.classification_id.as_str(), other.language_code.as_str(), other.test_case),
        (CLASSIFICATION_ID, "en", false)
    );

    // The case in the project is polled like any other, and nothing is ever moved.
    world.google_says(&found.name, "Which bucket?");
    world.desk.marks(&usual).await;
    world.company_says(&usual, "It is the shop as well.").await;
    world.settle().await;
    assert_eq!(world.copies_in_crm(&shops).await, ["Which bucket?"]);
    assert_eq!(world.copies_at_google(&other.name), ["It is the shop as well."]);
    assert_eq!((world.mappings().await.len(), world.sizes().await), (2, (2, 2)));
    world.assert_quiet().await;

    // Google gives the classification up and has another of that name: the words mean that one from now on.
    world.csapi.set_classification(STORAGE_ID, ClassificationState::Expired);
    world.csapi.set_classification(SUCCESSOR_ID, ClassificationState::Listed);
    let late = world.company_case("The shop is slow again").await;
    world.desk.marks(&late).await;
    world.settle().await;
    world.settle().await;
    let found = google_of(&world, &late).await.unwrap();
    assert_eq!(found.classification_id, SUCCESSOR_ID);
    assert_eq!(world.sizes().await, (3, 3));
}

pub async fn a_field_of_a_company_case_names_its_google_project_and_a_wrong_one_is_told_once(crm: &dyn Crm) {
    let time = Time::for_crm(&crm.description().await);
    let company = crm.open(&time.clock(), &Setup::default()).await;
    let route = CompanyRoute {
        conditions: CompanyConditions::default(),
        placement: GooglePlacement {
            parent: Some("organizations/123".to_owned()),
            language_code: Some("ja".to_owned()),
            ..GooglePlacement::default()
        },
    };
    let placing = Placing { parent_field: Some(company.desk.text_field().await), ..Placing::default() };
    let world = around(crm, time, company, [route].into_iter().collect(), placing).await;
    let case = world.company_case("In the shop").await;
    world.desk.writes_field(&case, "the shop's project").await;
    world.company_says(&case, "It is urgent.").await;
    let (_, report) = world.rehearse("sync-company-case", json!({ "case_id": case })).await;
    assert!(plan_of(&report)[0].contains("names no project"), "{report}");
    let told = async || {
        let all = world.company_texts(&case).await;
        all.iter().filter(|text| text.contains("no Google case is created for it")).count()
    };
    for expected in ["names no project", "does not exist"] {
        let before = told().await;
        world.settle().await;
        world.settle().await;
        assert_eq!(told().await, before + 1, "{:?}", world.company_texts(&case).await);
        let last = world.company_texts(&case).await.pop().unwrap();
        assert!(last.contains(expected), "{last}");
        let mapping = world.mapping().await;
        assert!(mapping.google_case_name.is_none() && mapping.state.conflict.is_some(), "{mapping:?}");
        // A change of something else tells nothing again.
        world.company_says(&case, "Any news?").await;
        world.settle().await;
        assert_eq!((told().await, world.sizes().await.0), (before + 1, 0));
        world.desk.writes_field(&case, "no-such-project").await;
    }
    world.desk.writes_field(&case, "shop-prod").await;
    world.settle().await;
    let found = google_of(&world, &case).await.unwrap();
    assert!(found.name.starts_with("projects/shop-prod/cases/"), "{}", found.name);
    assert_eq!(found.language_code, "ja", "the route decides the rest");
    assert_eq!(world.copies_at_google(&found.name), ["It is urgent.", "Any news?", "Any news?"]);
    assert!(world.mapping().await.state.conflict.is_none());
    // It stays there.
    world.desk.writes_field(&case, "organizations/123").await;
    world.settle().await;
    assert_eq!((world.sizes().await, told().await), ((1, 1), 2));
    world.assert_quiet().await;
}

pub async fn a_routed_creation_whose_answer_was_lost_is_found_in_its_project_and_repeated_as_it_was_decided(
    crm: &dyn Crm,
) {
    // The answer is lost, first of a creation that was made, then of one that was not.
    for is_made in [true, false] {
        let placement = GooglePlacement {
            parent: Some(SHOP.to_owned()),
            classification: Some("Cloud Storage".to_owned()),
            ..GooglePlacement::default()
        };
        let world = world(crm, placement, Placing::default()).await;
        // Nothing but a search in the project itself would find it.
        world.csapi.adjust(|switches| {
            switches.foreign_projects.insert("shop-prod".to_owned());
        });
        let effect = if is_made { Effect::HangUpAfter } else { Effect::HangUpBefore };
        world.csapi.faults().add(Fault::always(effect).times(1).on("POST", "/cases"));
        let case = world.company_case("Lost").await;
        world.desk.marks(&case).await;
        world.run_for(Duration::minutes(2)).await;
        // What the words mean by now does not matter to a creation that has begun.
        world.csapi.set_classification(STORAGE_ID, ClassificationState::Unlisted);
        world.csapi.set_classification(SUCCESSOR_ID, ClassificationState::Listed);
        world.run_for(Duration::minutes(60)).await;
        assert_eq!(world.sizes().await, (1, 1), "{is_made}");
        let found = google_of(&world, &case).await.unwrap();
        assert!(found.name.starts_with("projects/shop-prod/cases/"), "{}", found.name);
        assert_eq!(found.classification_id, STORAGE_ID, "{is_made}");
    }
}

pub async fn subscribers_follow_and_only_of_the_domains_that_may_leave(crm: &dyn Crm) {
    let placing = Placing {
        subscribers_from: vec![PeopleSource::Watchers],
        subscriber_domains: vec!["example.com".to_owned()],
        ..Placing::default()
    };
    let world = World::with(crm, Options { placing, ..Options::default() }).await;
    let case = world.company_case("Watched").await;
    let (jane, joe, boss) = ("jane.roe@example.com", "joe.bloggs@example.com", "boss@customer.example");
    world.desk.follows(&case, jane, true).await;
    world.desk.follows(&case, "max@elsewhere.net", true).await;
    let change = async |add: Value, remove: Value| {
        let (_, report) = world.rehearse("sync-company-case", json!({ "case_id": case })).await;
        assert_eq!(report["subscribers"], json!({ "add": add, "remove": remove }), "{report}");
        let plan = report["plan"].to_string();
        for address in [add, remove].iter().filter_map(|list| list[0].as_str()) {
            assert!(plan.contains(address), "{report}");
        }
    };
    change(json!([jane]), json!([])).await;
    world.settle().await;
    let google = google_of(&world, &case).await.unwrap().name;
    let subscribed = || world.csapi.case(&google).unwrap().subscribers;
    assert_eq!(subscribed(), [jane]);
    world.assert_quiet().await;

    // What people decide at Google by hand stays.
    world.csapi.set_subscribers(&google, &[boss]).unwrap();
    world.company_says(&case, "Still slow.").await;
    world.settle().await;
    assert_eq!(subscribed(), [boss]);
    world.desk.follows(&case, joe, true).await;
    world.company_says(&case, "Joe knows more.").await;
    world.settle().await;
    assert_eq!(subscribed(), [boss, joe]);
    world.desk.follows(&case, joe, false).await;
    change(json!([]), json!([joe])).await;
    world.company_says(&case, "Joe is away.").await;
    world.settle().await;
    assert_eq!(subscribed(), [boss]);
    // Whoever follows again is added again.
    world.desk.follows(&case, joe, true).await;
    world.company_says(&case, "Joe is back.").await;
    world.settle().await;
    assert_eq!(subscribed(), [boss, joe]);
    world.assert_quiet().await;
    assert_eq!(subscribed(), [boss, joe]);

    // A Google case that takes none holds up nothing else.
    world.csapi.adjust(|switches| switches.refuses_subscribers = true);
    world.desk.follows(&case, "ann@example.com", true).await;
    world.company_says(&case, "Ann as well.").await;
    world.settle().await;
    assert_eq!(subscribed(), [boss, joe]);
    assert_eq!(count(&world.google_texts(&google), "[Company Comment "), 5);
    assert!(world.mapping().await.last_error.is_none());
}

pub async fn subscribers_whose_answer_was_lost_are_set_once_and_known_as_the_connectors(crm: &dyn Crm) {
    for is_made in [true, false] {
        let placing = Placing {
            subscribers_from: vec![PeopleSource::Watchers],
            subscriber_domains: vec!["example.com".to_owned()],
            ..Placing::default()
        };
        let world = World::with(crm, Options { placing, ..Options::default() }).await;
        let (google, case) = world.pair_from_company().await;
        let effect = if is_made { Effect::HangUpAfter } else { Effect::HangUpBefore };
        world.csapi.faults().add(Fault::always(effect).times(1).on("PATCH", "/cases/"));
        world.desk.follows(&case, "jane.roe@example.com", true).await;
        world.company_says(&case, "Jane wants to know.").await;
        world.run_for(Duration::minutes(60)).await;
        let subscribed = || world.csapi.case(&google).unwrap().subscribers;
        assert_eq!(subscribed(), ["jane.roe@example.com"], "{is_made}");
        world.desk.follows(&case, "jane.roe@example.com", false).await;
        world.company_says(&case, "Not any more.").await;
        world.run_for(Duration::minutes(60)).await;
        assert!(subscribed().is_empty(), "{is_made}");
        assert_eq!(world.copies_at_google(&google), ["Jane wants to know.", "Not any more."], "{is_made}");
    }
}

// R28
pub async fn subscribers_are_set_whichever_read_of_the_case_finds_nothing(crm: &dyn Crm) {
    let placing = Placing {
        subscribers_from: vec![PeopleSource::Watchers],
        subscriber_domains: vec!["example.com".to_owned()],
        ..Placing::default()
    };
    let world = World::with(crm, Options { placing, ..Options::default() }).await;
    let (google, case) = world.pair_from_company().await;
    let subscribed = || world.csapi.case(&google).unwrap().subscribers;
    let nothing = |passed: u32| {
        Fault::always(Effect::ErrorBefore { status: 404, body: None }).on("GET", "").after(passed).times(1)
    };
    let address = "jane.roe@example.com";
    for passed in 0..12 {
        for (faults, follows) in [(&world.csapi.faults(), true), (world.company_faults(), false)] {
            faults.add(nothing(passed));
            world.desk.follows(&case, address, follows).await;
            world.company_says(&case, "Something new.").await;
            world.run_for(Duration::minutes(12)).await;
            assert_eq!(subscribed() == [address], follows, "{passed}");
            faults.clear();
        }
    }
}

pub async fn the_check_names_what_a_route_to_google_has_wrong_on_either_side(crm: &dyn Crm) {
    let placement = GooglePlacement {
        parent: Some(SHOP.to_owned()),
        classification: Some("compute engine".to_owned()),
        ..GooglePlacement::default()
    };
    let world = world(crm, placement.clone(), Placing::default()).await;
    // Some checks need a case to look at.
    let looked_at = world.company_case("Something to look at").await;
    world.desk.marks(&looked_at).await;
    world.settle().await;
    let (google, company) = (&world.deps.systems.google, &world.deps.systems.company);
    let placing = Placing {
        parent_field: Some(world.desk.text_field().await),
        subscribers_from: vec![PeopleSource::Reporter, PeopleSource::Watchers],
        ..Placing::default()
    };
    let routes = &world.deps.settings.routes;
    for (system, lines) in [(google, 1), (company, 3)] {
        let checks = check_routes(system.as_ref(), routes, &placing).await;
        assert_eq!(checks.len(), lines, "{checks:?}");
        assert!(checks.iter().all(|check| check.status == CheckStatus::Ok), "{checks:?}");
        assert!(checks[0].what.contains("route 1"), "{checks:?}");
    }
    for (wrong, words) in world.desk.misnamed() {
        let route = CompanyRoute { conditions: wrong, placement: GooglePlacement::default() };
        let checks =
            check_routes(company.as_ref(), &[route].into_iter().collect(), &Placing::default()).await;
        assert!(format!("{checks:?}").contains(words), "{words}: {checks:?}");
        assert_eq!(checks[0].status, CheckStatus::Failed, "{checks:?}");
    }
    let told = async |placement: GooglePlacement| {
        format!("{:?}", google.check_google_placement(&placement).await.unwrap_err())
    };
    let ambiguous = GooglePlacement { classification: Some("engine".to_owned()), ..placement.clone() };
    assert!(told(ambiguous).await.contains("Technical Issue > Compute > App Engine"));
    let absent = GooglePlacement { parent: Some("projects/nowhere".to_owned()), ..placement.clone() };
    assert!(told(absent).await.contains("it must exist"));
    world.csapi.adjust(|switches| {
        switches.foreign_projects.insert("shop-prod".to_owned());
    });
    assert!(told(placement).await.contains("is not below it"));
}

/// Returns the steps of a plan, as JSON lists them.
fn plan_of(report: &Value) -> Vec<String> {
    let steps = report["plan"].as_array().unwrap_or_else(|| panic!("no plan: {report}"));
    steps.iter().map(|step| step.as_str().unwrap().to_owned()).collect()
}
