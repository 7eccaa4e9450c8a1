//! Who may read what: internal comments stay in the company, and what comes from Google arrives as it is configured.

use casebridge::cases::Visibility;
use casebridge::sync::CommentsToGoogle;

use crate::harness::crm::Crm;
use crate::harness::{Options, World};

pub async fn what_is_internal_goes_to_google_only_if_configured_and_googles_arrive_as_configured(
    crm: &dyn Crm,
) {
    for (carry_internal, comment_visibility) in
        [(false, Visibility::Internal), (false, Visibility::Public), (true, Visibility::Internal)]
    {
        let mut options = Options::default();
        if carry_internal {
            options.rules.comments_to_google = CommentsToGoogle::All;
        }
        options.rules.comment_visibility = comment_visibility;
        let world = World::with(crm, options).await;
        let (case, company) = world.pair().await;
        world.desk.says(&company, "between us", Visibility::Internal).await;
        world.company_says(&company, "for everybody").await;
        let file =
            world.desk.attaches(&company, "ours.txt", "text/plain", b"secret", Visibility::Internal).await;
        world.company_attaches(&company, "for-all.txt", b"open").await;
        world.google_says(&case, "from Google");
        world.settle().await;
        let what = format!("internal ones carried: {carry_internal}, Google's {comment_visibility:?}");
        let mut expected = vec!["for everybody"];
        if carry_internal {
            expected.insert(0, "between us");
        }
        assert_eq!(world.copies_at_google(&case), expected, "{what}");
        // A file is as internal as the comment that it hangs on; where it hangs on none, everybody sees it.
        let view = world.company(&company).await;
        let visibility = view.files.iter().find(|found| found.id == file).unwrap().visibility;
        let mut at_google: Vec<String> =
            world.csapi.attachments(&case).unwrap().into_iter().map(|file| file.filename).collect();
        at_google.sort();
        let expected = match visibility {
            Visibility::Internal if !carry_internal => vec!["for-all.txt"],
            Visibility::Internal | Visibility::Public => vec!["for-all.txt", "ours.txt"],
        };
        assert_eq!(at_google, expected, "{what}");
        let copy = view.comments.iter().find(|comment| comment.text.ends_with("from Google")).unwrap();
        assert_eq!((copy.visibility, copy.by_connector), (comment_visibility, true), "{what}");
        world.assert_quiet().await;
    }
}

pub async fn where_comments_are_marked_only_internal_ones_with_the_mark_go_to_google(crm: &dyn Crm) {
    let mut options = Options::default();
    options.rules.comments_to_google = CommentsToGoogle::Marked;
    let world = World::with(crm, options).await;
    let (case, company) = world.pair().await;
    world.company_says(&company, "for the requester").await;
    world.company_says(&company, "#google for the requester as well").await;
    world.desk.says(&company, "between us", Visibility::Internal).await;
    world.desk.says(&company, "#googled it", Visibility::Internal).await;
    world.desk.says(&company, "#google Look at the quota", Visibility::Internal).await;
    world.company_attaches(&company, "for-the-requester.txt", b"open").await;
    world.google_says(&case, "from Google");
    world.settle().await;
    assert_eq!(world.copies_at_google(&case), ["Look at the quota"]);
    assert!(world.csapi.attachments(&case).unwrap().is_empty());
    assert_eq!(world.copies_in_crm(&company).await, ["from Google"]);
    world.assert_quiet().await;
}

pub async fn unless_configured_otherwise_nothing_that_the_connector_writes_is_public(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    world.google_says(&case, "from Google");
    world.google_attaches(&case, "g.txt", b"g");
    world.csapi.close(&case).unwrap();
    world.settle().await;
    world.desk.reopens(&company).await;
    world.settle().await;
    let view = world.company(&company).await;
    let ours: Vec<_> = view.comments.iter().filter(|comment| comment.by_connector).collect();
    assert_eq!(ours.len(), 2, "the copy, and that Google cannot reopen: {view:#?}");
    assert!(ours.iter().all(|comment| comment.visibility == Visibility::Internal), "{ours:#?}");
    assert_eq!(view.copied_files().len(), 1, "{view:#?}");
}
