//! An operator links two cases that exist: each comes to the other once, and nothing is doubled.

use casebridge::entities::Sides;
use casebridge::tasks;

use crate::harness::World;
use crate::harness::crm::Crm;
use crate::harness::desk::NewCompanyCase;

pub async fn two_cases_that_people_opened_apart_become_one_pair_by_an_operators_order(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let google = world.google_case("Disk is slow");
    let company = world.desk.opens(NewCompanyCase::new("The disk is slow")).await;
    world.google_says(&google, "from Google");
    world.company_says(&company, "from the desk").await;
    let cases = Sides { google: google.as_str(), company: company.as_str() };
    let linked = tasks::link(&world.deps, cases, Some("opened twice"), "jane").await.unwrap();
    assert!(linked.is_new && linked.remark.unwrap().contains("not flagged"));
    world.settle().await;
    assert_eq!(
        world.copies_at_google(&google),
        Vec::<String>::new(),
        "nothing leaves a case without the flag"
    );
    world.desk.flags(&company, true).await;
    world.settle().await;
    assert_eq!(world.copies_in_crm(&company).await, ["from Google"]);
    assert_eq!(world.copies_at_google(&google), ["from the desk"]);
    assert_eq!(world.company(&company).await.google_name.as_deref(), Some(google.as_str()));
    let named = world.named(&company).await;
    assert!(world.google_texts(&google).iter().any(|text| text.contains(&named)), "{named}");
    assert_eq!(world.sizes().await, (1, 1), "nothing was created");
    let mapping = world.mapping().await;
    let order = mapping.state.linked_by.clone().unwrap();
    assert_eq!((order.by.as_str(), order.reason.as_deref()), ("jane", Some("opened twice")));
    let again = tasks::link(&world.deps, cases, None, "joe").await.unwrap();
    assert!(!again.is_new && again.mapping.id == mapping.id && again.remark.is_none());
    assert_eq!(again.mapping.state.linked_by, mapping.state.linked_by);
    world.assert_quiet().await;
}

pub async fn a_pair_whose_mapping_was_lost_is_linked_again_and_nothing_is_doubled(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (google, company) = world.pair().await;
    world.google_says(&google, "from Google");
    world.google_attaches(&google, "log.txt", b"a log of Google");
    world.company_says(&company, "from the desk").await;
    world.company_attaches(&company, "trace.txt", b"a trace of the desk").await;
    world.settle().await;
    world.deps.store.delete(&world.mapping().await).await.unwrap();
    world.google_says(&google, "since then");
    let cases = Sides { google: google.as_str(), company: company.as_str() };
    let linked = tasks::link(&world.deps, cases, None, "jane").await.unwrap();
    assert!(linked.is_new && linked.remark.is_none());
    world.settle().await;
    assert_eq!(world.copies_in_crm(&company).await, ["from Google", "since then"]);
    assert_eq!(world.copies_at_google(&google), ["from the desk"]);
    assert_eq!(world.company(&company).await.copied_files().len(), 1);
    assert_eq!(world.csapi.attachments(&google).unwrap().len(), 2);
    assert_eq!(world.sizes().await, (1, 1));
    world.assert_quiet().await;
}
