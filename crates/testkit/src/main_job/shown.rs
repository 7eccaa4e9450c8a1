//! Things that are shown of a Google case on its company case besides its state: a link, a label, a mark on each note that was carried.

use casebridge::cases::Visibility;
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sync::{CommentsToGoogle, ShownRule};
use chrono::Duration;
use serde_json::json;

use crate::harness::crm::Crm;
use crate::harness::desk::Call;
use crate::harness::{Options, World};

const LABEL: &str = "google-escalated";

async fn world(crm: &dyn Crm, rule: ShownRule) -> World {
    let mut options = Options::default();
    if rule.marks_notes {
        options.rules.comments_to_google = CommentsToGoogle::Marked;
    }
    options.rules.shown = rule;
    World::with(crm, options).await
}

async fn linking(crm: &dyn Crm) -> World {
    let link = crm.description().await.remote_link;
    world(crm, ShownRule { link, ..ShownRule::NONE }).await
}

async fn labelling(crm: &dyn Crm) -> World {
    world(crm, ShownRule { escalated_label: Some(LABEL.to_owned()), ..ShownRule::NONE }).await
}

/// Number of a Google case, by which every kind of link names it.
fn number(google: &str) -> &str {
    google.rsplit('/').next().unwrap_or_default()
}

pub async fn a_company_case_has_one_link_to_its_google_case_whatever_is_synced_again(crm: &dyn Crm) {
    let world = linking(crm).await;
    let (google, company) = world.pair().await;
    world.settle().await;
    let links = world.desk.links(&company).await;
    assert_eq!(links.len(), 1, "{links:?}");
    assert!(links[0].target.contains(number(&google)), "{links:?}");
    assert!(!links[0].closed);
    world.assert_quiet().await;
    world.csapi.set_display_name(&google, "The disk is broken").unwrap();
    world.google_says(&google, "We look at it.");
    world.company_says(&company, "Thank you.").await;
    world.settle().await;
    let links = world.desk.links(&company).await;
    assert_eq!(links.len(), 1, "{links:?}");
    if let Some(title) = &links[0].title {
        assert!(title.ends_with("The disk is broken"), "{links:?}");
    }
    let shows_closing = links[0].title.is_some();
    world.csapi.close(&google).unwrap();
    world.settle().await;
    let links = world.desk.links(&company).await;
    assert_eq!((links.len(), links[0].closed), (1, shows_closing), "{links:?}");
    assert!(world.company(&company).await.closed);
    assert_eq!(world.mapping().await.last_error, None);
    // No word of it is a comment, on either side.
    assert_eq!(world.copies_in_crm(&company).await, ["We look at it."]);
    assert_eq!(world.copies_at_google(&google), ["Thank you."]);
    world.assert_quiet().await;
}

pub async fn a_link_whose_answer_was_lost_stands_once(crm: &dyn Crm) {
    for effect in [Effect::HangUpAfter, Effect::HangUpBefore] {
        let world = linking(crm).await;
        world.trouble(Call::Link, Fault::always(effect.clone()).times(1));
        let google = world.google_case("The disk is full");
        world.run_for(Duration::minutes(40)).await;
        let mapping = world.mapping().await;
        let company = mapping.company_case_id.clone().unwrap().to_string();
        let links = world.desk.links(&company).await;
        assert_eq!(links.len(), 1, "{effect:?}: {links:?}");
        assert!(links[0].target.contains(number(&google)), "{effect:?}: {links:?}");
        assert!(mapping.state.shown.link.written.is_some() && mapping.last_error.is_none(), "{mapping:#?}");
        world.assert_quiet().await;
    }
}

pub async fn the_label_of_an_escalated_case_comes_and_goes_and_one_that_people_remove_stays_away(
    crm: &dyn Crm,
) {
    let world = labelling(crm).await;
    let (google, company) = world.pair().await;
    world.settle().await;
    let has = async |label: &str| world.desk.labels(&company).await.iter().any(|own| own == label);
    world.desk.relabels(&company, "urgent", true).await;
    world.settle().await;
    assert!(!has(LABEL).await);
    world.csapi.set_escalated(&google, true).unwrap();
    let (_, report) = world.rehearse("sync-google-case", json!({ "case_name": google })).await;
    assert_eq!(report["totals"]["labels"], json!(1), "{report}");
    world.settle().await;
    assert!(has(LABEL).await && has("urgent").await);
    world.assert_quiet().await;
    // People take it away, and it stays away while Google's flag does not change.
    world.desk.relabels(&company, LABEL, false).await;
    world.google_says(&google, "We look at it.");
    world.settle().await;
    assert!(!has(LABEL).await);
    world.csapi.set_escalated(&google, false).unwrap();
    world.settle().await;
    world.csapi.set_escalated(&google, true).unwrap();
    world.settle().await;
    assert!(has(LABEL).await, "another escalation");
    world.csapi.set_escalated(&google, false).unwrap();
    world.settle().await;
    assert!(!has(LABEL).await && has("urgent").await);
    // What people add themselves is theirs.
    world.desk.relabels(&company, LABEL, true).await;
    world.google_says(&google, "It is solved.");
    world.settle().await;
    assert!(has(LABEL).await);
    assert_eq!(world.mapping().await.last_error, None);
    assert_eq!(world.copies_in_crm(&company).await, ["We look at it.", "It is solved."]);
    world.assert_quiet().await;
}

pub async fn a_label_whose_answer_was_lost_is_there_once_google_escalates_and_gone_once_it_does_not(
    crm: &dyn Crm,
) {
    for effect in [Effect::HangUpAfter, Effect::HangUpBefore] {
        let world = labelling(crm).await;
        let (google, company) = world.pair().await;
        world.settle().await;
        for escalated in [true, false] {
            world.trouble(Call::Label, Fault::always(effect.clone()).times(1));
            world.csapi.set_escalated(&google, escalated).unwrap();
            world.run_for(Duration::minutes(40)).await;
            let labels = world.desk.labels(&company).await;
            assert_eq!(labels.iter().any(|label| label == LABEL), escalated, "{effect:?}: {labels:?}");
            assert_eq!(world.mapping().await.last_error, None, "{effect:?}");
            world.assert_quiet().await;
        }
    }
}

pub async fn a_marked_note_that_was_carried_says_so_where_programs_can_read_it(crm: &dyn Crm) {
    let world = world(crm, ShownRule { marks_notes: true, ..ShownRule::NONE }).await;
    let (google, company) = world.pair().await;
    let carried = world.desk.says(&company, "#google Look at the quota", Visibility::Internal).await;
    let kept = world.desk.says(&company, "between us", Visibility::Internal).await;
    world.settle().await;
    assert_eq!(world.copies_at_google(&google), ["Look at the quota"]);
    let mark = world.desk.carried_mark(&company, &carried).await.unwrap();
    assert!(mark.contains(&google), "{mark}");
    assert_eq!(world.desk.carried_mark(&company, &kept).await, None);
    assert!(world.mapping().await.state.shown.unmarked.is_empty());
    world.assert_quiet().await;
}

pub async fn a_mark_whose_answer_was_lost_is_set_and_its_note_is_carried_once(crm: &dyn Crm) {
    for effect in [Effect::HangUpAfter, Effect::HangUpBefore] {
        let world = world(crm, ShownRule { marks_notes: true, ..ShownRule::NONE }).await;
        let (google, company) = world.pair().await;
        world.settle().await;
        world.trouble(Call::Mark, Fault::always(effect.clone()).times(1));
        let note = world.desk.says(&company, "#google Look at the quota", Visibility::Internal).await;
        world.run_for(Duration::minutes(40)).await;
        assert_eq!(world.copies_at_google(&google), ["Look at the quota"], "{effect:?}");
        assert!(world.desk.carried_mark(&company, &note).await.is_some(), "{effect:?}");
        let mapping = world.mapping().await;
        assert!(mapping.state.shown.unmarked.is_empty() && mapping.last_error.is_none(), "{mapping:#?}");
        world.assert_quiet().await;
    }
}
