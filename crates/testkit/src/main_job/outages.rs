//! `detect-outages`, and what is left of an outage when it is over (`R7`, `R22`, `R23`).

use std::time::Duration as StdDuration;

use casebridge::cases::{Needs, Visibility};
use casebridge::clock::Clock as _;
use casebridge::entities::{Dirty, PollMemory, Priority, Side};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::store::modify;
use chrono::{DateTime, Duration, Utc};
use serde_json::json;

use crate::harness::crm::{Crm, Setup};
use crate::harness::desk::Call;
use crate::harness::{OUTAGE, Options, RESUMED, World, count};

impl World {
    /// The pair as it would be if the last content came at `content` and `side` had last been carried at `synced`.
    pub async fn be_late(
        &self,
        priority: Priority,
        content: DateTime<Utc>,
        side: Side,
        synced: DateTime<Utc>,
    ) {
        let now = self.deps.clock.now();
        for polled in Side::BOTH {
            self.store.set_poll(polled, Some(now), &PollMemory::default()).await.unwrap();
        }
        let changed = modify(self.store.as_ref(), self.mapping().await, |mapping| {
            mapping.priority = Some(priority);
            mapping.new_content_at = content;
            mapping.dirty = casebridge::entities::Sides::default();
            mapping.dirty[side] = Some(Dirty::since(synced));
            mapping.google_updates_synced_at = Some(synced);
            mapping.company_updates_synced_at = Some(synced);
            true
        });
        changed.await.unwrap().unwrap();
    }

    /// How often the outage was told at Google and in the CRM, and its end.
    pub async fn notices(&self, case: &str, company: &str) -> [usize; 4] {
        let (google, company) = (self.google_texts(case), self.company_texts(company).await);
        [count(&google, OUTAGE), count(&company, OUTAGE), count(&google, RESUMED), count(&company, RESUMED)]
    }
}

pub async fn each_of_the_four_comments_is_tried_on_its_own(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    let now = world.deps.clock.now();
    let refuse = || Fault::always(Effect::ErrorBefore { status: 403, body: None });
    let late = now - Duration::hours(2) - Duration::minutes(5);
    world.be_late(Priority::P2, late, Side::Google, late).await;
    // Google does not take the outage comment; the CRM gets it all the same.
    world.csapi.faults().add(refuse().on("POST", "/comment"));
    for _ in 0..2 {
        assert_eq!(world.post("detect-outages", json!({})).await.0, 500);
        assert_eq!(world.notices(&case, &company).await, [0, 1, 0, 0]);
    }
    world.csapi.faults().clear();
    assert_eq!(world.post("detect-outages", json!({})).await.0, 500);
    assert_eq!(world.notices(&case, &company).await, [1, 1, 0, 0]);
    let text = format!("{OUTAGE}2 hours 5 minutes.");
    assert_eq!(world.google_texts(&case).last(), Some(&text));
    assert_eq!(world.company_texts(&company).await.last(), Some(&text));
    // It is over, and the CRM does not take the resume comment.
    world.be_late(Priority::P2, now, Side::Google, now).await;
    world.trouble(Call::Comment, refuse());
    let (status, answer) = world.post("detect-outages", json!({})).await;
    assert_eq!((status, &answer["outcome"]), (500, &json!("failed")), "it is repeated: {answer}");
    assert_eq!(world.notices(&case, &company).await, [1, 1, 1, 0]);
    world.company_faults().clear();
    for _ in 0..2 {
        assert_eq!(world.post("detect-outages", json!({})).await.0, 200);
        assert_eq!(world.notices(&case, &company).await, [1, 1, 1, 1]);
    }
    world.run_for(Duration::hours(2)).await;
    assert_eq!(world.notices(&case, &company).await, [1, 1, 1, 1]);
}

pub async fn an_outage_comment_whose_answer_was_lost_stands_once_and_is_never_carried(crm: &dyn Crm) {
    for effect in [Effect::ErrorAfter { status: 500 }, Effect::HangUpAfter] {
        let world = World::new(crm).await;
        let (case, company) = world.pair().await;
        let now = world.deps.clock.now();
        let late = now - Duration::hours(3);
        let once = || Fault::always(effect.clone()).times(1);
        world.csapi.faults().add(once().on("POST", "/comment"));
        world.trouble(Call::Comment, once());
        world.be_late(Priority::P2, late, Side::Company, late).await;
        assert_eq!(world.post("detect-outages", json!({})).await.0, 500);
        assert_eq!(world.post("detect-outages", json!({})).await.0, 500);
        assert_eq!(world.notices(&case, &company).await, [1, 1, 0, 0], "{effect:?}");
        world.run_for(Duration::hours(2)).await;
        assert_eq!(world.notices(&case, &company).await, [1, 1, 1, 1], "{effect:?}");
        assert_eq!(world.google_texts(&case).len(), 3, "{:?}", world.google_texts(&case));
        assert_eq!(world.company_texts(&company).await.len(), 2, "{:?}", world.company_texts(&company).await);
    }
}

pub async fn google_down_for_three_hours_loses_nothing_doubles_nothing_and_says_so_once_on_each_side(
    crm: &dyn Crm,
) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    let down = || Fault::always(Effect::ErrorBefore { status: 503, body: None });
    world.csapi.faults().add(down());
    let mut said = [Vec::new(), Vec::new()];
    for number in 0..6 {
        said[0].push(format!("g{number}"));
        said[1].push(format!("j{number}"));
        world.google_says(&case, &said[0][number]);
        world.company_says(&company, &said[1][number]).await;
        world.run_for(Duration::minutes(30)).await;
    }
    assert_eq!(world.notices(&case, &company).await, [0, 1, 0, 0]);
    // Comments can be added again while polls and syncs still fail: the Google case hears of the outage too.
    world.csapi.faults().clear();
    world.csapi.faults().add(down().on("GET", ":search"));
    world.csapi.faults().add(down().on("GET", "/attachments"));
    world.run_for(Duration::minutes(6)).await;
    world.csapi.faults().clear();
    world.run_for(Duration::minutes(30)).await;
    assert_eq!(world.notices(&case, &company).await, [1, 1, 1, 1]);
    assert_eq!(world.copies_in_crm(&company).await, said[0]);
    assert_eq!(world.copies_at_google(&case), said[1]);
    // Six of its own, six copies, "is now syncing", the outage and its end; the issue has no "is now syncing".
    let sizes = async || (world.google_texts(&case).len(), world.company_texts(&company).await.len());
    assert_eq!(sizes().await, (15, 14));
    world.run_for(Duration::hours(2)).await;
    assert_eq!(sizes().await, (15, 14));
    assert_eq!(world.sizes().await, (1, 1));
}

pub async fn a_case_that_never_gets_its_counterpart_is_an_outage_told_on_the_side_that_exists(crm: &dyn Crm) {
    let world = World::new(crm).await;
    world.trouble(Call::Create, Fault::always(Effect::ErrorBefore { status: 500, body: None }));
    let case = world.google_case("Disk is slow");
    world.run_for(Duration::minutes(9)).await;
    let outages = |texts: Vec<String>| texts.iter().filter(|text| text.starts_with(OUTAGE)).count();
    assert_eq!(outages(world.google_texts(&case)), 0, "recently added");
    world.run_for(Duration::hours(2)).await;
    assert_eq!(outages(world.google_texts(&case)), 1);
    assert_eq!(world.post("detect-outages", json!({})).await.0, 500);
    assert_eq!(world.desk.cases().await.len(), 0);
    world.company_faults().clear();
    world.run_for(Duration::minutes(20)).await;
    assert_eq!(world.desk.cases().await.len(), 1);
    let company = world.desk.cases().await.remove(0).id;
    assert_eq!(world.notices(&case, &company).await[0], 1);
    assert_eq!(world.notices(&case, &company).await[2], 1);
    assert_eq!(
        world.company_texts(&company).await,
        Vec::<String>::new(),
        "the new one never was in an outage"
    );
    assert_eq!(world.post("detect-outages", json!({})).await.0, 200);
}

pub async fn a_crm_down_for_three_hours_loses_nothing_doubles_nothing_and_says_so_once_on_each_side(
    crm: &dyn Crm,
) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    world.company_faults().add(Fault::always(Effect::ErrorBefore { status: 503, body: None }));
    let mut said = Vec::new();
    for number in 0..6 {
        said.push(format!("while the CRM was down {number}"));
        world.google_says(&case, said.last().unwrap());
        world.company_says(&company, &format!("also while it was down {number}")).await;
        world.run_for(Duration::minutes(30)).await;
    }
    assert_eq!(count(&world.google_texts(&case), OUTAGE), 1, "{:?}", world.google_texts(&case));
    assert_eq!(world.copies_in_crm(&company).await, Vec::<String>::new());
    // One look before the end, so that the CRM hears of it too.
    world.company_faults().clear();
    world.trouble(Call::Search, Fault::always(Effect::ErrorBefore { status: 503, body: None }));
    world.run_for(Duration::minutes(6)).await;
    world.company_faults().clear();
    world.run_for(Duration::minutes(30)).await;

    assert_eq!(world.copies_in_crm(&company).await, said);
    let also: Vec<String> = (0..6).map(|number| format!("also while it was down {number}")).collect();
    assert_eq!(world.copies_at_google(&case), also);
    for (side, texts) in
        [("Google", world.google_texts(&case)), ("the CRM", world.company_texts(&company).await)]
    {
        assert_eq!(count(&texts, OUTAGE), 1, "{side}: {texts:#?}");
        assert_eq!(count(&texts, RESUMED), 1, "{side}: {texts:#?}");
    }
    assert_eq!(world.csapi.cases().len(), 1);
    assert_eq!(world.desk.cases().await.len(), 1);
    world.assert_quiet().await;
}

pub async fn a_sync_that_fails_while_both_polls_succeed_is_an_outage_until_it_has_carried_everything(
    crm: &dyn Crm,
) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    world.trouble(Call::Comment, Fault::always(Effect::ErrorBefore { status: 503, body: None }));
    world.google_says(&case, "said while nothing could be written");
    // Far longer than the polling window: to the letter, the polls would have called it synced by now (R7).
    world.run_for_long(Duration::hours(3)).await;
    let mapping = world.mapping().await;
    let global = world.store.global().await.unwrap();
    let polled = global.last_polled_at(Side::Google).unwrap();
    assert!(world.deps.clock.now() - polled < Duration::minutes(2), "the polls succeed");
    assert!(mapping.synced_at(Side::Google, &global).unwrap() < polled - Duration::hours(2), "{mapping:#?}");
    assert_eq!(world.notices(&case, &company).await, [1, 0, 0, 0]);
    assert_eq!(world.post("detect-outages", json!({})).await.0, 500, "it is not over");
    world.company_faults().clear();
    world.run_for(Duration::hours(1)).await;
    assert_eq!(world.copies_in_crm(&company).await, ["said while nothing could be written"]);
    let [told, _, over, _] = world.notices(&case, &company).await;
    assert_eq!((told, over), (1, 1), "{:#?}", world.google_texts(&case));
    world.assert_quiet().await;
}

pub async fn the_error_of_a_failing_poll_and_of_a_failing_sync_says_what_to_do(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    let system = &world.deps.systems[Side::Company];
    let failure = |status| Fault::always(Effect::ErrorBefore { status, body: None });
    world.company_faults().add(failure(401));
    let checks = system.check(Needs::all(Visibility::Internal)).await;
    let advised = checks.into_iter().find_map(|check| check.hint).unwrap();
    let detail = |(status, answer): (u16, serde_json::Value)| {
        assert_eq!(status, 500, "{answer}");
        answer["detail"].as_str().unwrap().to_owned()
    };
    let polled = detail(world.post("poll-company", json!({})).await);
    assert!(polled.contains(&advised), "{polled}");
    world.google_says(&case, "said while the token was expired");
    let synced = detail(world.post("sync-google-case", json!({ "case_name": case })).await);
    assert!(synced.contains(&advised), "{synced}");
    assert!(world.mapping().await.last_error.is_some_and(|error| error.ends_with(&advised)));
    world.company_faults().clear();
    world.trouble(Call::Comment, failure(403));
    let synced = detail(world.post("sync-google-case", json!({ "case_name": case })).await);
    assert!(synced.contains("(HTTP 403); ") && synced.contains("the connector's user"), "{synced}");
    world.company_faults().clear();
    world.csapi.faults().add(failure(401));
    let polled = detail(world.post("poll-google", json!({})).await);
    assert!(polled.contains("check google.auth"), "{polled}");
    world.csapi.faults().clear();
    world.run_for(Duration::hours(1)).await;
    assert_eq!(world.copies_in_crm(&company).await, ["said while the token was expired"]);
    assert_eq!(world.mapping().await.last_error, None);
}

pub async fn an_idle_pair_is_written_to_by_nobody_and_yet_counts_as_synced(crm: &dyn Crm) {
    let world = World::new(crm).await;
    for number in 0..5 {
        world.google_case(&format!("Idle {number}"));
    }
    world.settle().await;
    // Until the last look of the polling windows has passed.
    world.run_for(Duration::hours(1)).await;
    let before = world.mappings().await;
    assert_eq!(before.len(), 5);
    world.run_for_long(Duration::hours(6)).await;
    // The version too: each write, were it of the same values, would have raised it (R8).
    assert_eq!(world.mappings().await, before);
    let (now, global) = (world.deps.clock.now(), world.store.global().await.unwrap());
    for mapping in &before {
        for side in Side::BOTH {
            let synced = mapping.synced_at(side, &global).unwrap();
            assert!(now - synced < Duration::minutes(2), "{side}: {mapping:#?}");
        }
    }
    assert_eq!(world.post("detect-outages", json!({})).await.0, 200);
}

pub async fn what_waits_for_a_lost_answer_is_carried_when_its_window_ends(crm: &dyn Crm) {
    // The queue's own pauses double (10, 20, 40 s), and would end at 70 s.
    let setup = Setup { timeout: StdDuration::from_secs(40), ..Setup::default() };
    let world = World::with(crm, Options { setup, ..Options::default() }).await;
    let (case, company) = world.pair().await;
    for to in Side::BOTH {
        let lost = Fault::always(Effect::HangUpBefore).times(1);
        match to {
            Side::Google => {
                world.csapi.faults().add(lost.on("POST", "/comment"));
                world.company_says(&company, "lost").await;
            }
            Side::Company => {
                world.trouble(Call::Comment, lost);
                world.google_says(&case, "lost");
            }
        }
        let limit = world.clock().now() + Duration::minutes(20);
        while world.mapping().await.pending.is_empty() {
            assert!(world.clock().now() < limit, "no write to {to}");
            world.run_for(Duration::seconds(1)).await;
        }
        let attempted_at = world.mapping().await.pending[0].attempted_at;
        let window = world.deps.systems[to].capabilities().in_flight_window;
        let copies = async || match to {
            Side::Google => world.copies_at_google(&case),
            Side::Company => world.copies_in_crm(&company).await,
        };
        while copies().await.is_empty() {
            assert!(world.clock().now() < limit, "not carried to {to}: {:#?}", world.mapping().await);
            world.run_for(Duration::seconds(1)).await;
        }
        assert_eq!(copies().await, ["lost"], "{to}");
        let took = world.clock().now() - attempted_at;
        assert!(took <= window + Duration::seconds(5), "{to}: {took} after a window of {window}");
        world.settle().await;
    }
    world.assert_quiet().await;
}
