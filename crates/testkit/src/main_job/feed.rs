//! Replies to a Google case by email, which only its feed shows.

use casebridge::sandbox::csapi::Author;
use casebridge::sandbox::faults::{Effect, Fault};
use chrono::Duration;

use crate::harness::crm::Crm;
use crate::harness::desk::Call;
use crate::harness::{Options, World};

/// Starts a connector that reads the feed.
async fn world(crm: &dyn Crm) -> World {
    World::with(crm, Options { feed: true, ..Options::default() }).await
}

pub async fn a_reply_by_email_arrives_once_and_in_order_with_the_comments(crm: &dyn Crm) {
    let world = world(crm).await;
    let (google, company) = world.pair().await;
    world.google_says(&google, "Which disk is it?");
    let email = world.google_mails(&google, "Re: Disk is slow", "The new one.");
    world.google_says(&google, "We look at it.");
    // Google counts messages and comments apart.
    let known = world.csapi.comments(&google).unwrap();
    assert!(known.iter().any(|comment| email.ends_with(&comment.id)), "{email}: {known:#?}");
    world.settle().await;
    assert_eq!(world.copies_in_crm(&company).await, ["Which disk is it?", "The new one.", "We look at it."]);
    let texts = world.company_texts(&company).await;
    assert!(texts.contains(&format!("[Google Comment {email} by Grace Hopper]\nThe new one.")), "{texts:#?}");
    world.assert_quiet().await;

    // A forwarded mail keeps its subject, and who wrote it.
    let forwarded = "---------- Forwarded message ---------\nFrom: Ada Lovelace\n\nReplace it.";
    world.google_mails(&google, "Fwd: Answer of the vendor", forwarded);
    let agent = Author::google("Sam Rivera");
    world.csapi.receive_email(&google, agent, "Re: Case", "Please try that.").unwrap();
    world.settle().await;
    let texts = world.company_texts(&company).await;
    let forwarded = texts.iter().find(|text| text.contains("Forwarded message")).unwrap();
    for part in
        ["by Grace Hopper]\nSubject: Fwd: Answer of the vendor\n", "From: Ada Lovelace", "Replace it."]
    {
        assert!(forwarded.contains(part), "{forwarded}");
    }
    assert!(texts.iter().any(|text| text.ends_with("by Google Support]\nPlease try that.")), "{texts:#?}");
    assert_eq!(world.copies_in_crm(&company).await.len(), 5);
    assert_eq!(world.copies_at_google(&google), [""; 0]);
    world.assert_quiet().await;
}

pub async fn an_email_that_google_shows_as_a_comment_too_arrives_once(crm: &dyn Crm) {
    let world = world(crm).await;
    let (google, company) = world.pair().await;
    let says = |body: &str| {
        world.csapi.add_comment(&google, Author::customer("Grace Hopper"), body).unwrap();
    };
    // It was carried before it became a comment.
    world.google_mails(&google, "Re: Disk is slow", "The new one.");
    world.settle().await;
    says("The new one.\n\nOn Monday, Google wrote:\n> Which disk is it?");
    world.settle().await;
    assert_eq!(world.copies_in_crm(&company).await, ["The new one."]);
    // Both are there at once.
    world.google_mails(&google, "Re: Disk is slow", "It works now.");
    says("It works now.");
    world.settle().await;
    world.google_mails(&google, "Re: Disk is slow", "Thank you.");
    world.settle().await;
    assert_eq!(world.copies_in_crm(&company).await, ["The new one.", "It works now.", "Thank you."]);
    world.assert_quiet().await;
}

pub async fn a_reply_by_email_whose_copy_got_no_answer_arrives_once(crm: &dyn Crm) {
    for effect in [Effect::HangUpAfter, Effect::HangUpBefore] {
        let world = world(crm).await;
        let (google, company) = world.pair().await;
        world.trouble(Call::Comment, Fault::always(effect.clone()).times(1));
        world.google_mails(&google, "Re: Disk is slow", "The new one.");
        world.google_says(&google, "We look at it.");
        world.run_for(Duration::minutes(40)).await;
        let copies = world.copies_in_crm(&company).await;
        assert_eq!(copies, ["The new one.", "We look at it."], "{effect:?}");
        world.assert_quiet().await;
    }
}

pub async fn without_the_feed_no_reply_by_email_arrives_and_the_beta_api_is_not_asked(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (google, company) = world.pair().await;
    world.google_mails(&google, "Re: Disk is slow", "The new one.");
    world.google_says(&google, "We look at it.");
    world.settle().await;
    assert_eq!(world.copies_in_crm(&company).await, ["We look at it."]);
    let calls = world.csapi.faults().calls();
    assert!(calls.iter().all(|call| !call.path.contains("v2beta")), "{calls:?}");
    world.assert_quiet().await;
}

pub async fn a_feed_that_google_does_not_show_is_an_error_that_says_what_to_do_and_loses_nothing(
    crm: &dyn Crm,
) {
    for status in [403, 404] {
        let world = world(crm).await;
        let (google, company) = world.pair().await;
        let refusal = Fault::always(Effect::ErrorBefore { status, body: None });
        world.csapi.faults().add(refusal.on("GET", ":showFeed"));
        world.google_mails(&google, "Re: Disk is slow", "The new one.");
        world.google_says(&google, "We look at it.");
        world.run_for(Duration::minutes(10)).await;
        let error = world.mapping().await.last_error.unwrap_or_default();
        assert!(error.contains("set google.feed = false"), "{status}: {error}");
        assert_eq!(world.copies_in_crm(&company).await, [""; 0], "{status}");
        world.csapi.faults().clear();
        world.run_for(Duration::hours(1)).await;
        let copies = world.copies_in_crm(&company).await;
        assert_eq!(copies, ["The new one.", "We look at it."], "{status}");
        let mapping = world.mapping().await;
        assert_eq!((mapping.last_error, mapping.gone.is_none()), (None, true), "{status}");
    }
}
