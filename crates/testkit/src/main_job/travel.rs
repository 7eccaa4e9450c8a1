//! The main job, thing by thing: what people do on one side arrives on the other, once, and nothing else happens. Over real
//! HTTP on loopback, with the real binary's parts and time in our hand.

use casebridge::entities::Priority;
use casebridge::sandbox::csapi::{Author, Priority as GooglePriority, State};
use chrono::Duration;
use serde_json::json;

use crate::harness::crm::Crm;
use crate::harness::desk::NewCompanyCase;
use crate::harness::{OUTAGE, Options, World, count};

/// As the sandbox CSAPI has a priority.
pub(super) fn at_google(priority: Priority) -> GooglePriority {
    GooglePriority::ALL[usize::from(priority.level())]
}

pub async fn a_google_case_is_created_in_the_crm_with_the_documented_fields_and_texts(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let case = world.google_case("Disk is slow");
    let comment = world.google_says(&case, "We are looking into it.");
    world.settle().await;

    let mapping = world.mapping().await;
    let id = mapping.company_case_id.clone().unwrap().to_string();
    let company = world.company(&id).await;
    assert_eq!(company.title, "Disk is slow");
    assert_eq!(
        company.description,
        "CONTENT MIRRORED FROM GOOGLE SUPPORT:\nThe description of Disk is slow."
    );
    assert!(company.has_priority(Priority::P2), "{company:#?}");
    assert!(company.flagged, "or its updates would never flow back");
    assert_eq!(company.google_name.as_deref(), Some(case.as_str()));
    assert!(company.files.is_empty());
    assert_eq!(
        world.google_texts(&case),
        [
            "We are looking into it.".to_owned(),
            format!("This case is now syncing with Company Case: {}", world.named(&id).await),
        ]
    );
    assert_eq!(
        world.company_texts(&id).await,
        [format!("[Google Comment {comment} by Google Support]\nWe are looking into it.")]
    );
    // And nothing more happens, however long one waits.
    world.assert_quiet().await;
    assert_eq!(world.sizes().await, (1, 1));
}

pub async fn a_flagged_company_case_is_created_at_google_with_the_documented_texts_and_an_unflagged_one_is_not(
    crm: &dyn Crm,
) {
    let world = World::new(crm).await;
    world.desk.opens(NewCompanyCase::new("Order new keyboards")).await;
    let new = NewCompanyCase {
        description: "Since noon.".to_owned(),
        priority: Priority::P1,
        ..NewCompanyCase::flagged("Export fails")
    };
    let company = world.desk.opens(new).await;
    let comment = world.company_says(&company, "It is urgent.").await;
    world.settle().await;

    assert_eq!(world.csapi.cases().len(), 1);
    let case = world.csapi.cases().remove(0);
    assert_eq!(case.display_name, "Export fails");
    assert_eq!(
        case.description,
        format!("CONTENT MIRRORED FROM COMPANY CASE {}:\nSince noon.", world.named(&company).await)
    );
    assert_eq!(case.priority, Some(GooglePriority::P1));
    assert_eq!(
        world.google_texts(&case.name),
        [
            format!("This case is now syncing with Company Case: {}", world.named(&company).await),
            format!("[Company Comment {comment} by Jane Roe]\nIt is urgent."),
        ]
    );
    assert_eq!(world.company(&company).await.google_name.as_deref(), Some(case.name.as_str()));
    world.assert_quiet().await;
    assert_eq!(world.sizes().await, (1, 2));
}

pub async fn comments_travel_both_ways_in_order_and_none_comes_back(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    let mut said_at_google = Vec::new();
    let mut said_in_crm = Vec::new();
    for round in 0..4 {
        for number in 0..5 {
            said_at_google.push(format!("google {round}.{number}"));
            said_in_crm.push(format!("company {round}.{number}"));
            world.google_says(&case, said_at_google.last().unwrap());
            world.company_says(&company, said_in_crm.last().unwrap()).await;
        }
        world.settle().await;
    }
    assert_eq!(world.copies_in_crm(&company).await, said_at_google);
    assert_eq!(world.copies_at_google(&case), said_in_crm);
    assert_eq!(world.google_texts(&case).len(), 20 + 20 + 1);
    assert_eq!(world.company_texts(&company).await.len(), 20 + 20);
    world.assert_quiet().await;
}

pub async fn attachments_travel_both_ways_byte_for_byte(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    world
        .csapi
        .attach(&case, Author::google("Ada Lovelace"), "trace.bin", "application/octet-stream", &bytes)
        .unwrap();
    // Text in Latin-1, for who would convert it.
    world.google_attaches(&case, "alt.txt", b"Gr\xf6\xdfe\r\n");
    world.company_attaches(&company, "empty.txt", b"").await;
    world.company_attaches(&company, "log.txt", b"line\r\n\0\xff").await;
    world.settle().await;

    let view = world.company(&company).await;
    for (name, content) in [("trace.bin", bytes.as_slice()), ("alt.txt", b"Gr\xf6\xdfe\r\n")] {
        let copy = view.file(name);
        assert!(copy.by_connector);
        assert!(world.desk.content(&copy.id).await.unwrap() == content, "{name}");
    }
    assert_eq!(view.files.len(), 4);
    let attachments = world.csapi.attachments(&case).unwrap();
    let content = |name: &str| {
        let attachment = attachments.iter().find(|attachment| attachment.filename == name).unwrap();
        world.csapi.attachment_bytes(&case, &attachment.id).unwrap()
    };
    assert_eq!(content("log.txt"), b"line\r\n\0\xff");
    assert_eq!(content("empty.txt"), b"");
    assert_eq!(attachments.len(), 4);
    world.assert_quiet().await;
}

pub async fn a_changed_priority_follows_and_of_two_the_more_urgent_wins(crm: &dyn Crm) {
    for (google, in_crm, both) in [
        (Some(Priority::P0), None, Priority::P0),
        (None, Some(Priority::P4), Priority::P4),
        (Some(Priority::P3), Some(Priority::P1), Priority::P1),
        (Some(Priority::P1), Some(Priority::P3), Priority::P1),
    ] {
        let world = World::new(crm).await;
        let (case, company) = world.pair().await;
        if let Some(priority) = google {
            world.csapi.set_priority(&case, at_google(priority)).unwrap();
        }
        if let Some(priority) = in_crm {
            world.desk.sets_priority(&company, priority).await;
        }
        world.settle().await;
        let what = format!("{google:?} {in_crm:?}");
        let view = world.company(&company).await;
        assert!(view.has_priority(both), "{what}: {view:#?}");
        // What the CRM does not tell apart cannot be told at Google either.
        let found = world.csapi.case(&case).unwrap().priority.unwrap();
        let same = world.description.same_priority;
        assert!(
            Priority::ALL.into_iter().any(|level| at_google(level) == found && same(level, both)),
            "{what}: {found:?}"
        );
        if google == Some(both) {
            assert_eq!(found, at_google(both), "{what}: it stays as it was said");
        }
        world.assert_quiet().await;
    }
}

pub async fn a_case_closed_at_google_is_closed_in_the_crm_and_a_reopened_one_is_reopened(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    world.csapi.close(&case).unwrap();
    let closed_at = world.csapi.case(&case).unwrap().updated_at;
    world.settle().await;
    assert!(world.company(&company).await.closed);
    assert_eq!(world.mapping().await.resolved_at, Some(closed_at));
    world.google_says(&case, "One more thing.");
    world.settle().await;
    assert_eq!(world.copies_in_crm(&company).await, ["One more thing."]);
    world.assert_quiet().await;

    world.csapi.set_state(&case, State::InProgressGoogleSupport).unwrap();
    world.settle().await;
    assert!(!world.company(&company).await.closed);
    assert_eq!(world.mapping().await.resolved_at, None);
    world.assert_quiet().await;
}

pub async fn a_company_case_that_is_done_closes_its_google_case_and_a_reopened_one_is_told_once_that_google_cannot_follow(
    crm: &dyn Crm,
) {
    let world = World::new(crm).await;
    let (case, company) = world.pair_from_company().await;
    world.desk.closes(&company).await;
    world.settle().await;
    assert_eq!(world.csapi.case(&case).unwrap().state, State::Closed);
    assert!(world.mapping().await.resolved_at.is_some());
    world.assert_quiet().await;

    for round in 1..=2 {
        world.desk.reopens(&company).await;
        world.settle().await;
        world.assert_quiet().await;
        let told = count(&world.company_texts(&company).await, "This case was reopened, but ");
        assert_eq!(told, round, "{:?}", world.company_texts(&company).await);
        assert!(!world.company(&company).await.closed, "it is left open");
        assert_eq!(world.csapi.case(&case).unwrap().state, State::Closed);
        assert_eq!(world.copies_at_google(&case), Vec::<String>::new());
        world.desk.closes(&company).await;
        world.settle().await;
    }
}

pub async fn many_syncs_of_one_case_at_the_same_moment_double_nothing(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    for number in 0..10 {
        world.google_says(&case, &format!("g{number}"));
        world.company_says(&company, &format!("j{number}")).await;
    }
    let posts = (0..12).map(|number| {
        let (case, company, world) = (case.clone(), company.clone(), &world);
        async move {
            if number % 2 == 0 {
                world.post("sync-google-case", json!({ "case_name": case })).await
            } else {
                world.post("sync-company-case", json!({ "case_id": company })).await
            }
        }
    });
    let answers = futures_util::future::join_all(posts).await;
    assert!(answers.iter().all(|(status, _)| matches!(status, 200 | 500)), "{answers:?}");
    world.settle().await;
    let numbers = |letter: &str| (0..10).map(|number| format!("{letter}{number}")).collect::<Vec<_>>();
    assert_eq!(world.copies_in_crm(&company).await, numbers("g"));
    assert_eq!(world.copies_at_google(&case), numbers("j"));
    world.assert_quiet().await;
}

pub async fn while_the_flag_is_away_nothing_is_carried_and_when_it_is_back_nothing_is_missing(crm: &dyn Crm) {
    for noticed in [true, false] {
        let world = World::new(crm).await;
        let (case, company) = world.pair().await;
        world.desk.flags(&company, false).await;
        world.company_says(&company, "j1").await;
        if noticed {
            world.google_says(&case, "g1");
        }
        world.go_on(Duration::hours(5)).await;
        assert_eq!(world.copies_at_google(&case), Vec::<String>::new());
        assert_eq!(world.copies_in_crm(&company).await, Vec::<String>::new());
        assert_eq!(count(&world.google_texts(&case), OUTAGE), 0, "a paused case is in no outage");
        if !noticed {
            world.google_says(&case, "g1");
        }
        world.company_says(&company, "j2").await;
        world.desk.flags(&company, true).await;
        world.settle().await;
        assert_eq!(world.copies_at_google(&case), ["j1", "j2"], "noticed: {noticed}");
        assert_eq!(world.copies_in_crm(&company).await, ["g1"], "noticed: {noticed}");
        world.assert_quiet().await;
    }
}

pub async fn a_clone_does_not_take_its_originals_google_case(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair_from_company().await;
    let clone = NewCompanyCase { google_name: Some(case.clone()), ..NewCompanyCase::flagged("Disk is slow") };
    let clone = world.desk.opens(clone).await;
    world.company_says(&clone, "said on the clone").await;
    world.settle().await;
    assert_eq!(world.csapi.cases().len(), 1);
    let of = |mappings: Vec<casebridge::entities::CaseMapping>, id: &str| {
        let is_it = |mapping: &casebridge::entities::CaseMapping| {
            mapping.company_case_id.as_ref().is_some_and(|company| company.as_str() == id)
        };
        mappings.into_iter().find(is_it).unwrap()
    };
    let pair = of(world.mappings().await, &company);
    assert_eq!(pair.google_case_name.map(|name| name.to_string()), Some(case.clone()));
    assert_eq!(world.copies_at_google(&case), Vec::<String>::new());
    // It is a conflict for whoever looks, and was said once on the clone itself.
    world.go_on(Duration::hours(1)).await;
    world.post("detect-outages", json!({})).await;
    let conflict = of(world.mappings().await, &clone);
    assert!(
        conflict.google_case_name.is_none() && conflict.state.conflict.is_some_and(|conflict| conflict.told)
    );
    let told = world.company_texts(&clone).await;
    assert_eq!(count(&told, "This case is not synchronised with Google: "), 1, "{told:?}");
    // It names both cases as people and other systems know them, the field as it is configured, and what to do (R31).
    let field = world.deps.systems.company.google_name_field();
    let (original, itself) = (world.named(&company).await, world.named(&clone).await);
    let words = [
        format!("company case {itself} names a Google case in {field}, "),
        format!("but {case} already syncs with company case {original}; clear the field"),
    ];
    for words in words {
        assert!(told.iter().any(|text| text.contains(&words)), "{words}: {told:?}");
    }
    assert_eq!(world.deps.metrics.conflicts.get(), 1);
    assert_eq!(world.deps.metrics.outages.get(), 0);
    // With the field cleared, the clone gets a Google case of its own.
    world.desk.sets_google_name(&clone, None).await;
    world.settle().await;
    assert_eq!(world.csapi.cases().len(), 2);
    assert!(of(world.mappings().await, &clone).state.conflict.is_none());
    world.assert_quiet().await;
}

/// The times of some systems are whole seconds or minutes, so that a change has the time of one that was read already.
pub async fn a_name_that_is_taken_back_right_after_it_was_read_is_no_conflict_any_more(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, _company) = world.pair_from_company().await;
    let clone = NewCompanyCase { google_name: Some(case), ..NewCompanyCase::flagged("Disk is slow") };
    let clone = world.desk.opens(clone).await;
    world.settle().await;
    world.company_says(&clone, "not mine").await;
    world.round().await;
    world.within_a_second();
    world.desk.sets_google_name(&clone, None).await;
    // The next poll shows it, unless the CRM's search is late.
    world.go_on(Duration::minutes(1).max(world.description.patience)).await;
    assert_eq!(world.csapi.cases().len(), 2);
}

pub async fn each_of_the_things_can_be_switched_off(crm: &dyn Crm) {
    for off in ["creation", "comments", "attachments", "priority", "title", "status"] {
        let mut options = Options::default();
        let switches = &mut options.rules.switches;
        match off {
            "creation" => switches.creation = false,
            "comments" => switches.comments = false,
            "attachments" => switches.attachments = false,
            "priority" => switches.priority = false,
            "title" => switches.title = false,
            _ => switches.status = false,
        }
        let world = World::with(crm, options).await;
        let case = world.google_case("Disk is slow");
        world.settle().await;
        if off == "creation" {
            assert_eq!((world.desk.cases().await.len(), world.mappings().await.len()), (0, 0));
            continue;
        }
        let company = world.mapping().await.company_case_id.unwrap().to_string();
        world.google_says(&case, "a comment");
        world.google_attaches(&case, "a.txt", b"a");
        world.csapi.set_priority(&case, GooglePriority::P0).unwrap();
        world.csapi.set_display_name(&case, "Disk is full").unwrap();
        world.csapi.close(&case).unwrap();
        world.settle().await;
        let view = world.company(&company).await;
        let carried = [
            ("comments", view.comments.len() == 1),
            ("attachments", view.files.len() == 1),
            ("priority", view.has_priority(Priority::P0)),
            ("title", view.title == "Disk is full"),
            ("status", view.closed),
        ];
        for (what, carried) in carried {
            assert_eq!(carried, off != what, "{what} without {off}");
        }
        world.assert_quiet().await;
    }
}
