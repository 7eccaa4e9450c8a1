//! What a support desk needs to switch the connector on without fear: dry runs, cases that are left out, cases by the names that people use.

use std::collections::BTreeSet;

use casebridge::cases::{CheckStatus, Placement, Visibility};
use casebridge::entities::Side;
use casebridge::sandbox::csapi::{Author, NewCase, Priority as GooglePriority, State};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sync::{Conditions, Destination, Pattern, Placing, Route, RouteTable};
use casebridge::tasks::check_routes;
use chrono::Duration;
use serde_json::{Value, json};

use crate::harness::crm::{Crm, Setup};
use crate::harness::desk::{Call, NewCompanyCase};
use crate::harness::{Options, Time, World};

pub async fn a_dry_run_of_a_poll_lists_what_would_be_created_linked_and_written_and_writes_nothing(
    crm: &dyn Crm,
) {
    let world = World::new(crm).await;
    let crm_name = world.description.capabilities.name;
    let google = world.google_case("The disk is slow");
    world.google_says(&google, "one");
    world.google_says(&google, "two");
    world.google_attaches(&google, "a.txt", b"a");
    let company = world.company_case("The network is slow").await;
    world.company_says(&company, "three").await;
    world.desk.opens(NewCompanyCase::new("Not flagged")).await;

    let (status, report) = world.rehearse("poll-google", json!({})).await;
    assert_eq!(
        (status, &report["outcome"], &report["dry_run"]),
        (200, &json!("done"), &json!(true)),
        "{report}"
    );
    assert_eq!((&report["found"], &report["mapped"], &report["queued"]), (&json!(1), &json!(1), &json!(1)));
    let cases = report["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 1, "{report}");
    let case = &cases[0];
    assert_eq!(
        (&case["side"], &case["case"], &case["title"]),
        (&json!("google"), &json!(google), &json!("The disk is slow"))
    );
    let plan = plan_of(case);
    assert_eq!(plan[0], format!("create a case in {crm_name}: \"The disk is slow\""), "{report}");
    assert!(plan.iter().any(|step| step == "add the notice NowSyncing to the google case"), "{report}");
    let totals = &report["totals"];
    assert_eq!(
        (&totals["cases"], &totals["comments"], &totals["files"]),
        (&json!(1), &json!(2), &json!(1)),
        "{report}"
    );

    let (status, report) = world.rehearse("poll-company", json!({})).await;
    assert_eq!((status, &report["mapped"]), (200, &json!(1)), "{report}");
    let case = &report["cases"][0];
    // People know the company case by its key and its address.
    assert_eq!(case["case"], json!(world.named(&company).await), "{report}");
    assert_eq!(case["title"], "The network is slow");
    let plan = plan_of(case);
    assert_eq!(plan[0], "create a case in Google Cloud Customer Care: \"The network is slow\"", "{report}");
    assert!(
        plan.iter().any(|step| step == &format!("write the new case's name onto company case {company}")),
        "{report}"
    );
    assert_eq!(
        (&report["totals"]["cases"], &report["totals"]["comments"], &report["totals"]["links"]),
        (&json!(1), &json!(1), &json!(1))
    );

    // What it said is what happens.
    world.settle().await;
    assert_eq!(world.sizes().await, (2, 3));
    let mappings = world.mappings().await;
    let mirror =
        mappings.iter().find(|mapping| mapping.case_id(Side::Google) == Some(google.as_str())).unwrap();
    let mirror = mirror.case_id(Side::Company).unwrap().to_owned();
    assert_eq!(world.copies_in_crm(&mirror).await, ["one", "two"]);

    // A pair that has its mapping lost is linked again; a changed one is only carried.
    let mapping =
        mappings.iter().find(|mapping| mapping.case_id(Side::Google) == Some(google.as_str())).unwrap();
    world.store.delete(mapping).await.unwrap();
    world.google_says(&google, "four");
    world.desk.says(&company, "five", Visibility::Public).await;
    let (_, report) = world.rehearse("poll-google", json!({})).await;
    let cases = report["cases"].as_array().unwrap();
    let found = cases.iter().find(|case| case["case"] == json!(google)).unwrap_or_else(|| panic!("{report}"));
    let step = &plan_of(found)[0];
    assert!(step.starts_with("link with ") && step.contains(&mirror) && step.contains(crm_name), "{report}");
    assert_eq!(
        (&report["totals"]["links"], &report["totals"]["comments"]),
        (&json!(1), &json!(1)),
        "{report}"
    );
    let (_, report) = world.rehearse("poll-company", json!({})).await;
    let totals = &report["totals"];
    assert_eq!((totals.get("cases"), &totals["comments"]), (None, &json!(1)), "{report}");
    let (_, report) = world.rehearse("sync-google-case", json!({ "case_name": google })).await;
    assert_eq!(
        (&report["title"], &report["totals"]["comments"]),
        (&json!("The disk is slow"), &json!(1)),
        "{report}"
    );
    let (_, report) = world.rehearse("sync-company-case", json!({ "case_id": company })).await;
    assert_eq!(
        (&report["title"], &report["totals"]["comments"]),
        (&json!("The network is slow"), &json!(1)),
        "{report}"
    );
}

pub async fn a_dry_run_of_the_other_tasks_tells_what_they_would_do_and_writes_nothing(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (google, company) = world.pair().await;
    world.trouble(Call::Comment, Fault::always(Effect::ErrorBefore { status: 503, body: None }));
    world.google_says(&google, "cannot arrive");
    world.run_for(Duration::minutes(9)).await;
    let late = world.clock();
    // In these hours no task runs but the sync, which is retried now.
    late.advance(Duration::hours(3));
    world.deliver().await;
    let (status, report) = world.rehearse("detect-outages", json!({})).await;
    assert_eq!(
        (status, &report["outcome"], &report["dry_run"]),
        (500, &json!("outage"), &json!(true)),
        "{report}"
    );
    let notices = report["notices"].as_array().unwrap();
    let told: Vec<(&str, &str)> =
        notices.iter().map(|told| (told["side"].as_str().unwrap(), told["case"].as_str().unwrap())).collect();
    assert_eq!(told, [("google", google.as_str()), ("company", company.as_str())], "{report}");
    assert!(notices[0]["text"].as_str().unwrap().starts_with(crate::harness::OUTAGE), "{report}");
    assert_eq!(report["syncs"], json!([google]), "{report}");
    world.company_faults().clear();
    world.run_for(Duration::minutes(30)).await;

    world.csapi.close(&google).unwrap();
    world.settle().await;
    let (_, report) = world.rehearse("cleanup", json!({})).await;
    assert_eq!((&report["deleted"], &report["mappings"]), (&json!(0), &json!([])), "{report}");
    late.advance(Duration::days(31));
    world.round().await;
    let (status, report) = world.rehearse("cleanup", json!({})).await;
    assert_eq!((status, &report["deleted"]), (200, &json!(1)), "{report}");
    assert_eq!(report["mappings"][0]["google_case_name"], json!(google), "{report}");
    assert_eq!(report["mappings"][0]["company_case_id"], json!(company), "{report}");
}

pub async fn a_case_that_is_closed_when_it_is_first_seen_is_left_alone_until_it_is_reopened(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let google = world.google_case("Closed at Google");
    world.csapi.close(&google).unwrap();
    let company = world.company_case("Closed at the company").await;
    world.desk.closes(&company).await;
    for poll in ["poll-google", "poll-company"] {
        let (status, report) = world.post(poll, json!({})).await;
        assert_eq!((status, &report["mapped"], &report["refused"]), (200, &json!(0), &json!(1)), "{report}");
        let reason = "it was closed before it was ever synchronised";
        assert_eq!(report["left_out"], json!({ reason: 1 }), "{report}");
    }
    // Nor does a change bring it in, as long as it stays closed.
    world.google_says(&google, "It was solved long ago.");
    world.settle().await;
    assert_eq!((world.mappings().await.len(), world.sizes().await), (0, (1, 1)));

    world.csapi.set_state(&google, State::InProgressGoogleSupport).unwrap();
    world.desk.reopens(&company).await;
    world.settle().await;
    assert_eq!((world.mappings().await.len(), world.sizes().await), (2, (2, 2)));
    let mappings = world.mappings().await;
    let of_google =
        mappings.iter().find(|mapping| mapping.case_id(Side::Google) == Some(google.as_str())).unwrap();
    let mirror = of_google.case_id(Side::Company).unwrap();
    assert_eq!(world.copies_in_crm(mirror).await, ["It was solved long ago."]);

    // One that was open when it was first seen goes on, though it is closed before its sync has its turn.
    let late = world.google_case("Closed before its turn");
    assert_eq!(world.post("poll-google", json!({})).await.1["mapped"], 1);
    world.csapi.close(&late).unwrap();
    world.settle().await;
    let mappings = world.mappings().await;
    let of_late =
        mappings.iter().find(|mapping| mapping.case_id(Side::Google) == Some(late.as_str())).unwrap();
    assert!(world.company(of_late.case_id(Side::Company).unwrap()).await.closed);
}

pub async fn with_since_only_cases_that_change_after_it_are_taken_in(crm: &dyn Crm) {
    for (since, is_taken) in
        [("now", [false, false]), ("2h", [false, true]), ("2026-11-24T10:30:00Z", [false, true])]
    {
        let options = Options { since: since.parse().unwrap(), ..Options::default() };
        let world = World::with(crm, options).await;
        let mut old = Vec::new();
        // At 9 and at 11 o'clock; the connector starts at 12.
        for _ in is_taken {
            old.push((world.google_case("Before").clone(), world.company_case("Before").await));
            world.clock().advance(Duration::hours(2));
        }
        world.clock().advance(-Duration::hours(1));
        let (_, report) = world.rehearse("poll-google", json!({})).await;
        assert_eq!(report["mapped"], is_taken.iter().filter(|taken| **taken).count(), "{since}: {report}");
        world.settle().await;
        // A restart, and another instance, go by the first start.
        world.clock().advance(Duration::hours(1));
        world.settle().await;
        let (google, company) = (world.google_case("After"), world.company_case("After").await);
        world.settle().await;
        let has = async |side: Side, id: &str| {
            world
                .mappings()
                .await
                .iter()
                .any(|mapping| mapping.case_id(side) == Some(id) && mapping.is_linked())
        };
        for ((google, company), taken) in old.iter().zip(is_taken) {
            assert_eq!(has(Side::Google, google).await, taken, "{since}: {google}");
            assert_eq!(has(Side::Company, company).await, taken, "{since}: {company}");
        }
        assert!(has(Side::Google, &google).await && has(Side::Company, &company).await, "{since}");
        // The next word on an old case brings it in, with all that it has.
        world.google_says(&old[0].0, "still there?");
        world.company_says(&old[0].1, "still here").await;
        world.settle().await;
        assert!(has(Side::Google, &old[0].0).await && has(Side::Company, &old[0].1).await, "{since}");
        // A person may ask for any.
        let (status, answer) = world.post("sync-google-case", json!({ "case_name": old[1].0 })).await;
        assert_eq!(status, 200, "{since}: {answer}");
        assert!(has(Side::Google, &old[1].0).await, "{since}");
    }
}

pub async fn a_case_is_asked_for_by_key_id_or_address_and_one_of_another_host_is_refused(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let company = world.company_case("Asked for by its address").await;
    let system = &world.deps.systems.company;
    let case = system.get(&company).await.unwrap().unwrap();
    let address = case.address.clone().unwrap();
    let key = case.key.clone().unwrap_or_else(|| company.clone());
    // Without a pair, each name leads to the same plan.
    for name in [&company, &key, &address, &format!(" {address} ")] {
        let (status, report) = world.rehearse("sync-company-case", json!({ "case_id": name })).await;
        assert_eq!((status, &report["title"]), (200, &json!("Asked for by its address")), "{name}: {report}");
        assert_eq!(report["case"], json!(world.named(&company).await), "{name}: {report}");
    }
    let home = system.home().unwrap();
    let elsewhere = address.replacen(home, "https://desk.of-another.example", 1);
    let (status, report) = world.rehearse("sync-company-case", json!({ "case_id": elsewhere })).await;
    let said = report["detail"].as_str().unwrap_or_default();
    assert_eq!(status, 404, "{report}");
    assert!(
        said.contains("desk.of-another.example, which is another system") && said.contains(home),
        "{said}"
    );

    let (status, report) = world.post("sync-company-case", json!({ "case_id": address })).await;
    assert_eq!(status, 200, "{report}");
    assert_eq!(report["company_case_id"], json!(company), "{report}");
    assert_eq!(report["company_case"], json!(world.named(&company).await), "{report}");
    let mapping = world.mapping().await;
    let google = mapping.google_case_name.clone().unwrap();
    for name in [company.as_str(), &key, &address, google.as_str(), google.number(), &google.address()] {
        let (status, answer) = world.ask_for_mappings(&[("case", name)]).await;
        assert_eq!(status, 200, "{name}: {answer}");
        // The number of a Google case may be the ID of a company case: both would be listed.
        assert_eq!(answer["mappings"].as_array().map(Vec::len), Some(1), "{name}: {answer}");
        let shown = &answer["mappings"][0];
        assert_eq!((&shown["ID"], &shown["companyCaseID"]), (&json!(mapping.id), &json!(company)), "{name}");
        assert_eq!(shown["company_case_address"], json!(address), "{shown}");
        assert_eq!(shown["company_case_key"], json!(case.key), "{shown}");
        assert_eq!(shown["google_case_address"], json!(google.address()), "{shown}");
        assert!(mapping.is_called(name), "{name}");
    }
    for name in [google.as_str(), google.number(), &google.address()] {
        let (status, report) = world.rehearse("sync-google-case", json!({ "case_name": name })).await;
        assert_eq!((status, &report["google_case_name"]), (200, &json!(google)), "{name}: {report}");
    }
    for (name, status) in [(elsewhere.as_str(), 400), ("the one with the printer", 400), ("99999999", 200)] {
        let (answered, answer) = world.ask_for_mappings(&[("case", name)]).await;
        assert_eq!(answered, status, "{name}: {answer}");
        assert_eq!(answer.get("mappings"), (status == 200).then_some(&json!([])), "{name}: {answer}");
        assert!(!mapping.is_called(name), "{name}");
    }
}

/// Returns a route for cases with this title.
fn route(title: &str, destination: Destination) -> Route {
    Route {
        conditions: Conditions { title: vec![Pattern::new(title)], ..Conditions::default() },
        destination,
    }
}

pub async fn a_google_case_that_a_route_leaves_out_gets_no_company_case_and_a_pair_that_exists_goes_on(
    crm: &dyn Crm,
) {
    let left_out = || [route("*internal*", Destination::LeaveOut)].into_iter().collect();
    let world = World::with(crm, Options { routes: left_out(), ..Options::default() }).await;
    let internal = world.google_case("An INTERNAL matter");
    let reason = "route 1 leaves it out (mirror = false)";
    let (status, report) = world.rehearse("poll-google", json!({})).await;
    assert_eq!((status, &report["left_out"]), (200, &json!({ reason: 1 })), "{report}");
    for _ in 0..2 {
        let (status, report) = world.post("poll-google", json!({})).await;
        assert_eq!((status, &report["mapped"], &report["refused"]), (200, &json!(0), &json!(1)), "{report}");
        assert_eq!(report["left_out"], json!({ reason: 1 }), "{report}");
    }
    world.google_says(&internal, "for our eyes only");
    world.settle().await;
    assert_eq!((world.mappings().await.len(), world.sizes().await), (0, (1, 0)));
    // Nor does a person's sync mirror it: the rule is changed in the configuration.
    let (_, report) = world.post("sync-google-case", json!({ "case_name": internal })).await;
    assert!(report["detail"].as_str().unwrap_or_default().ends_with(reason), "{report}");
    assert_eq!(world.sizes().await, (1, 0));

    // Another case is mirrored as ever, and goes on though a route would leave it out from now on.
    let google = world.google_case("Disk is slow");
    world.settle().await;
    let company = world.mapping().await.company_case_id.unwrap().to_string();
    world.csapi.set_display_name(&google, "Disk is slow, internal").unwrap();
    world.google_says(&google, "still here");
    world.settle().await;
    assert_eq!(world.copies_in_crm(&company).await, ["still here"]);
    assert_eq!((world.mappings().await.len(), world.sizes().await), (1, (2, 1)));

    // One that was renamed before its sync had its turn is left out, and forgotten.
    let late = world.google_case("Not yet");
    assert_eq!(world.post("poll-google", json!({})).await.1["mapped"], 1);
    world.csapi.set_display_name(&late, "Now internal").unwrap();
    // Its sync is queued already, so this is no rehearsal after which nothing has changed.
    let (_, report) = world.post("sync-google-case?dry_run=true", json!({ "case_name": late })).await;
    assert_eq!(report["plan"], json!([format!("nothing: {reason}")]), "{report}");
    world.settle().await;
    assert_eq!((world.mappings().await.len(), world.sizes().await), (1, (3, 1)));
    world.assert_quiet().await;
}

pub async fn a_first_start_among_200_google_cases_does_what_its_dry_run_has_shown(crm: &dyn Crm) {
    let elsewhere = Conditions { project: vec![Pattern::new("other-*")], ..Conditions::default() };
    let route = Route { conditions: elsewhere, destination: Destination::LeaveOut };
    let world =
        World::with(crm, Options { routes: [route].into_iter().collect(), ..Options::default() }).await;
    for number in 0..200 {
        let of_another = number % 5 == 4;
        let case = NewCase {
            parent: if of_another { "projects/other-shop" } else { "organizations/123" }.to_owned(),
            display_name: format!("Case {number}"),
            description: "Since this morning".to_owned(),
            priority: GooglePriority::P2,
            author: Author::customer("Grace Hopper"),
        };
        let name = world.csapi.create_case(case).unwrap().name;
        if !of_another && number % 8 < 3 {
            world.csapi.close(&name).unwrap();
        }
    }
    let closed = world.csapi.cases().iter().filter(|case| case.state == State::Closed).count();
    assert_eq!(closed, 60);
    let (status, report) = world.rehearse("poll-google", json!({})).await;
    assert_eq!(status, 200, "{report}");
    let reason = "route 1 leaves it out (mirror = false)";
    assert_eq!(report["left_out"][reason], 40, "{}", report["left_out"]);
    let left_out = report["left_out"].as_object().unwrap().values().filter_map(Value::as_u64).sum::<u64>();
    assert_eq!(left_out, 100, "{}", report["left_out"]);
    let titles = |cases: &[Value]| -> BTreeSet<String> {
        cases.iter().map(|case| case["title"].as_str().unwrap().to_owned()).collect()
    };
    let shown = titles(report["cases"].as_array().unwrap());
    assert_eq!((shown.len(), world.sizes().await), (100, (200, 0)));

    world.run_for(Duration::minutes(20)).await;
    assert_eq!((world.mappings().await.len(), world.sizes().await), (100, (200, 100)));
    let made = world.desk.cases().await.into_iter().map(|case| json!({ "title": case.title }));
    let made = titles(&made.collect::<Vec<_>>());
    let is_mirrored = |title: &String| made.iter().any(|made| made.ends_with(title.as_str()));
    assert!(made.len() == 100 && shown.iter().all(is_mirrored), "{made:?}");
}

pub async fn a_route_decides_where_a_company_case_belongs_when_it_is_created_and_never_again(crm: &dyn Crm) {
    let time = Time::for_crm(&crm.description().await);
    let company = crm.open(&time.clock(), &Setup::default()).await;
    let placement = company.desk.placement();
    let routes = [
        route("unusual*", Destination::Mirror(Placement::default())),
        route("*disk*", Destination::Mirror(placement.clone())),
        route("*", Destination::LeaveOut),
    ];
    let options =
        Options { routes: routes.into_iter().collect(), backend: crm.backend(), ..Options::default() };
    let world = World::around(time, crm.description().await, company, options).await;
    let google = world.google_case("The disk is slow");
    let (_, report) = world.rehearse("sync-google-case", json!({ "case_name": google })).await;
    let step = &plan_of(&report)[0];
    let by = format!(" by route 2 ({})", placement.describe());
    assert!(step.starts_with("create a case in ") && step.ends_with(&by), "{step}");
    world.settle().await;
    let company = world.mapping().await.company_case_id.unwrap().to_string();
    assert_eq!(world.desk.placed(&company).await, placement);

    // It stays where it is, whatever happens at Google.
    world.csapi.set_display_name(&google, "Unusual: the network is slow").unwrap();
    world.google_says(&google, "It was not the disk.");
    world.settle().await;
    assert_eq!(world.desk.placed(&company).await, placement);
    assert_eq!(world.copies_in_crm(&company).await, ["It was not the disk."]);

    // The first route that matches decides: nothing is special about this one.
    let google = world.google_case("Unusual disk");
    world.settle().await;
    let mappings = world.mappings().await;
    let mapping = mappings.iter().find(|mapping| mapping.case_id(Side::Google) == Some(google.as_str()));
    let usual = world.desk.placed(mapping.unwrap().case_id(Side::Company).unwrap()).await;
    assert_ne!(usual, placement);
    world.google_case("Something else");
    world.settle().await;
    assert_eq!(world.sizes().await, (3, 2));
    world.assert_quiet().await;
}

pub async fn the_check_names_a_value_of_a_route_that_is_not_there_with_those_that_are(crm: &dyn Crm) {
    let world = World::new(crm).await;
    // Some checks need a case to look at.
    world.company_case("Something to look at").await;
    let system = &world.deps.systems.company;
    let right = world.desk.placement();
    let routes: RouteTable =
        [route("*", Destination::LeaveOut), route("*", Destination::Mirror(right.clone()))]
            .into_iter()
            .collect();
    let checks = check_routes(system.as_ref(), &routes, &Placing::default()).await;
    assert_eq!(checks.len(), 2, "{checks:?}");
    for (check, number) in checks.iter().zip(1..) {
        assert!(check.what.ends_with(&format!("route {number}")), "{check:?}");
        assert_eq!(check.status, CheckStatus::Ok, "{check:?}");
    }
    assert!(checks[0].detail.contains("mirror = false"), "{checks:?}");
    for (wrong, words) in world.desk.misplaced() {
        let trouble = system.check_placement(&wrong).await.unwrap_err();
        let told = format!("{trouble:?}");
        assert!(told.contains(&words.replace('"', "\\\"")), "{}: {told}", wrong.describe());
    }
}

/// Returns the steps of a plan, as JSON lists them.
fn plan_of(case: &Value) -> Vec<String> {
    let steps = case["plan"].as_array().unwrap_or_else(|| panic!("no plan: {case}"));
    steps.iter().map(|step| step.as_str().unwrap().to_owned()).collect()
}
