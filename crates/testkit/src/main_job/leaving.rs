//! Closing, reopening, deleting: how a pair ends, and what comes after (`R19`, `R20`).

use casebridge::entities::Side;
use casebridge::sandbox::csapi::State;
use casebridge::sandbox::faults::{Effect, Fault};
use chrono::Duration;
use serde_json::json;

use crate::harness::crm::{Crm, Setup};
use crate::harness::desk::{Call, NewCompanyCase};
use crate::harness::{OUTAGE, Options, World, count};

pub async fn a_case_reopened_at_google_whose_company_case_cannot_be_reopened_is_no_ping_pong(crm: &dyn Crm) {
    let setup = Setup { closing_is_final: true, ..Setup::default() };
    let world = World::with(crm, Options { setup, ..Options::default() }).await;
    let (case, company) = world.pair().await;
    world.csapi.close(&case).unwrap();
    world.settle().await;
    assert!(world.company(&company).await.closed);
    world.desk.seals(&company).await;
    world.csapi.set_state(&case, State::InProgressGoogleSupport).unwrap();
    world.run_for(Duration::minutes(30)).await;
    let told = || count(&world.google_texts(&case), "This case was reopened, but ");
    assert_eq!(told(), 1, "{:#?}", world.google_texts(&case));
    assert_eq!(world.company_texts(&company).await, Vec::<String>::new());
    assert_eq!(world.post("detect-outages", json!({})).await.0, 200);

    let comment = world.google_says(&case, "It is open again.");
    world.run_for(Duration::hours(1)).await;
    let texts = world.company_texts(&company).await;
    let outage = if world.description.sealed_takes_comments {
        assert_eq!(texts, [format!("[Google Comment {comment} by Google Support]\nIt is open again.")]);
        200
    } else {
        assert_eq!(texts, Vec::<String>::new(), "it takes nothing");
        assert_eq!(count(&world.google_texts(&case), OUTAGE), 1, "and that is said where it can be");
        500
    };
    assert!(world.company(&company).await.closed);
    assert_eq!(world.csapi.case(&case).unwrap().state, State::InProgressGoogleSupport, "it is left open");
    assert_eq!(told(), 1, "{:#?}", world.google_texts(&case));
    let before = (world.google_texts(&case), world.company(&company).await);
    world.run_for_long(Duration::hours(3)).await;
    assert_eq!((world.google_texts(&case), world.company(&company).await), before);
    assert_eq!(world.post("detect-outages", json!({})).await.0, outage);
}

pub async fn a_pair_closed_on_both_sides_at_once_is_only_noted(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    world.csapi.close(&case).unwrap();
    world.desk.abandons(&company).await;
    let chosen = world.company(&company).await.state;
    world.go_on(Duration::hours(2)).await;
    assert!(world.mapping().await.resolved_at.is_some());
    assert_eq!(world.company(&company).await.state, chosen, "what a person chose stays");
    assert_eq!((world.google_texts(&case).len(), world.company_texts(&company).await.len()), (1, 0));
}

pub async fn a_closing_whose_answer_was_lost_is_repeated_and_done_once(crm: &dyn Crm) {
    for effect in [Effect::ErrorAfter { status: 500 }, Effect::HangUpAfter, Effect::HangUpBefore] {
        let world = World::new(crm).await;
        let (case, company) = world.pair().await;
        world.trouble(Call::Close, Fault::always(effect.clone()).times(1));
        world.google_says(&case, "Last words.");
        world.csapi.close(&case).unwrap();
        world.run_for(Duration::minutes(20)).await;
        assert!(world.company(&company).await.closed, "{effect:?}");
        assert!(world.mapping().await.resolved_at.is_some(), "{effect:?}");
        assert_eq!(world.company_texts(&company).await.len(), 1, "{effect:?}");

        let other = world.company_case("Another").await;
        world.settle().await;
        world.csapi.faults().add(Fault::always(effect.clone()).on("POST", ":close").times(1));
        world.desk.closes(&other).await;
        world.run_for(Duration::minutes(20)).await;
        let name = world.company(&other).await.google_name.unwrap();
        assert_eq!(world.csapi.case(&name).unwrap().state, State::Closed, "{effect:?}");
        assert!(world.mappings().await.iter().all(|mapping| mapping.resolved_at.is_some()));
    }
}

pub async fn a_google_case_that_is_gone_ends_the_pair_with_one_comment_in_the_crm(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    // Whoever shows this one shows that the other is gone, and not all of them (R28).
    let other = world.google_case("Another");
    world.run_for(Duration::minutes(15)).await;
    world.csapi.delete_case(&case).unwrap();
    world.company_says(&company, "Is anybody there?").await;
    world.run_for(Duration::minutes(40)).await;
    assert_eq!(world.company_texts(&company).await.len(), 1, "nothing is said before the hour is over");
    world.run_for_long(Duration::hours(3)).await;
    let texts = world.company_texts(&company).await;
    assert_eq!(texts.len(), 2, "{texts:#?}");
    assert_eq!(
        texts[1],
        format!("This case no longer syncs: Google case {case} no longer exists, or may no longer be read.")
    );
    assert_eq!(world.csapi.cases().len(), 1, "no second counterpart is made");
    assert_eq!(world.post("detect-outages", json!({})).await.0, 200, "and it is no outage");
    world.company_says(&company, "Still nobody?").await;
    world.run_for_long(Duration::hours(3)).await;
    assert_eq!(world.company_texts(&company).await.len(), 3);
    world.csapi.close(&other).unwrap();
    world.clock().advance(Duration::days(32));
    world.run_for_long(Duration::days(1)).await;
    let left = world.mappings().await;
    assert!(
        left.iter().all(|mapping| mapping.case_id(Side::Google) == Some(other.as_str())),
        "cleanup takes it"
    );
    world.company_says(&company, "After all that time.").await;
    world.settle().await;
    assert_eq!(world.csapi.cases().len(), 1);
    assert_eq!(world.company_texts(&company).await.len(), 4);
}

pub async fn cleanup_takes_a_mapping_thirty_days_after_its_case_was_resolved_and_no_sooner(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (closed, _) = world.pair().await;
    world.csapi.close(&closed).unwrap();
    let closed_at = world.csapi.case(&closed).unwrap().updated_at;
    // Until a poll has come by for which it is out of the window.
    world.run_for(Duration::hours(1)).await;
    let open = world.google_case("Stays open");
    world.settle().await;
    assert_eq!(world.mappings().await.len(), 2);
    world.clock().set(closed_at + Duration::days(30) - Duration::microseconds(1));
    assert_eq!(world.post("cleanup", json!({})).await.0, 200);
    assert_eq!(world.mappings().await.len(), 2);
    world.clock().set(closed_at + Duration::days(30) + Duration::microseconds(1));
    assert_eq!(world.post("cleanup", json!({})).await.0, 200);
    let left = world.mappings().await;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].google_case_name.as_ref().map(ToString::to_string), Some(open));
    assert_eq!(world.desk.cases().await.len(), 2, "the cases themselves stay");
}

pub async fn a_company_case_hidden_for_a_moment_after_linking_does_not_end_the_pair(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let case = world.google_case("Disk is slow");
    world.run_for(Duration::minutes(1)).await;
    let company = world.desk.cases().await.remove(0).id;
    world.desk.hides(&company, true).await;
    world.google_says(&case, "hello");
    world.run_for(Duration::minutes(2)).await;
    assert_eq!(world.mapping().await.gone, None);
    world.desk.hides(&company, false).await;
    world.run_for(Duration::minutes(30)).await;
    assert_eq!(world.mapping().await.gone, None);
    assert_eq!(world.company_texts(&company).await.len(), 1);
}

pub async fn a_counterpart_that_was_deleted_ends_the_pair_with_one_comment(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    // Whoever shows this one shows that the other is gone, and not all of them (R28).
    world.desk.opens(NewCompanyCase::new("Another")).await;
    world.run_for(Duration::minutes(15)).await;
    world.desk.deletes(&company).await;
    world.google_says(&case, "is anybody there?");
    world.run_for(Duration::minutes(40)).await;
    assert_eq!(
        count(&world.google_texts(&case), "This case no longer syncs: "),
        0,
        "not before the hour is over"
    );
    world.run_for_long(Duration::hours(3)).await;
    let texts = world.google_texts(&case);
    assert_eq!(count(&texts, "This case no longer syncs: "), 1, "{texts:?}");
    assert_eq!(count(&texts, OUTAGE), 0, "{texts:?}");
    assert_eq!(world.desk.cases().await.len(), 1, "no second counterpart is made");
    assert!(world.mapping().await.resolved_at.is_some());
    world.clock().advance(Duration::days(32));
    world.settle().await;
    assert_eq!(world.mappings().await.len(), 0, "cleanup takes it");
    assert_eq!(world.desk.cases().await.len(), 1);
}

pub async fn after_cleanup_an_update_of_the_old_case_doubles_nothing(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    world.google_says(&case, "before");
    world.settle().await;
    world.csapi.close(&case).unwrap();
    world.run_for(Duration::hours(1)).await;
    world.clock().advance(Duration::days(32));
    world.settle().await;
    assert_eq!(world.mappings().await.len(), 0);
    world.google_says(&case, "long after");
    world.settle().await;
    // A person may ask for it: then the pair is found again, and only what is new is carried.
    let (status, answer) = world.post("sync-google-case", json!({ "case_name": case })).await;
    assert_eq!(status, 200, "{answer}");
    world.settle().await;
    assert_eq!(world.copies_in_crm(&company).await, ["before", "long after"]);
    assert_eq!(world.desk.cases().await.len(), 1);
    assert_eq!(count(&world.google_texts(&case), "This case is now syncing"), 1);
    world.assert_quiet().await;
}
