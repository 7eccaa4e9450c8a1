//! Systems that answer 200 and are wrong: what they do not show is not gone, what they claim is not so (`R26` to `R39`).

use casebridge::entities::{Priority, Side};
use casebridge::sandbox::csapi::{Priority as GooglePriority, State};
use casebridge::sandbox::faults::{Effect, Fault, Faults};
use chrono::Duration;
use serde_json::json;

use super::travel::at_google;
use crate::harness::crm::Crm;
use crate::harness::desk::{Call, NewCompanyCase};
use crate::harness::{Options, World, count, idle};

const GONE: &str = "This case no longer syncs: ";
const BACK: &str = "This case syncs again: ";

fn refusal(status: u16) -> Fault {
    Fault::always(Effect::ErrorBefore { status, body: None })
}

impl World {
    /// Comments of either side that arrived on the other.
    async fn carried(&self, case: &str, company: &str) -> (Vec<String>, Vec<String>) {
        (self.copies_in_crm(company).await, self.copies_at_google(case))
    }

    /// Our own clock jumps, and theirs do not.
    fn jump(&self, by: Duration) {
        for faults in [&self.csapi.faults(), self.company_faults()] {
            faults.set_clock_ahead(faults.clock_ahead() - by);
        }
        self.clock().set(self.deps.clock.now() + by);
    }

    async fn healthz_sync(&self) -> u16 {
        let answer = reqwest::get(format!("http://{}/healthz/sync", self.service)).await.unwrap();
        answer.status().as_u16()
    }
}

// R26, R28
pub async fn a_right_that_was_taken_is_an_outage_and_nothing_is_missed_when_it_is_back(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    world.run_for(Duration::minutes(40)).await;
    assert_eq!(world.healthz_sync().await, 200);
    // All that the connector may read in the CRM is hidden from it, and its search says so to nobody.
    world.desk.hides(&company, true).await;
    let new = world.company_case("Opened in the dark").await;
    world.desk.hides(&new, true).await;
    world.company_says(&company, "said in the dark").await;
    world.run_for(Duration::minutes(50)).await;
    let (status, answer) = world.post("poll-company", json!({})).await;
    assert_eq!(status, 500, "{answer}");
    assert!(answer["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{answer}");
    assert_eq!(world.healthz_sync().await, 500);
    assert_eq!(world.post("detect-outages", json!({})).await.0, 500);
    assert_eq!(count(&world.google_texts(&case), GONE), 0, "nothing is said to be gone");
    for hidden in [&company, &new] {
        world.desk.hides(hidden, false).await;
    }
    world.run_for(Duration::minutes(20)).await;
    assert_eq!(world.copies_at_google(&case), ["said in the dark"]);
    assert_eq!(world.csapi.cases().len(), 2, "the case that was opened meanwhile is found");
    assert_eq!(world.healthz_sync().await, 200);
    assert_eq!(count(&world.google_texts(&case), GONE), 0);
    world.assert_quiet().await;
}

// R27
pub async fn what_the_index_hid_for_longer_than_the_window_is_carried_within_the_hour(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    world.run_for(Duration::minutes(70)).await;
    world.company_faults().set_search_lag(Duration::minutes(20));
    world.csapi.faults().set_search_lag(Duration::minutes(50));
    // One after the other: the sync of either would carry the other as well.
    world.google_says(&case, "indexed late at Google");
    world.run_for(Duration::minutes(125)).await;
    world.company_says(&company, "indexed late in the CRM").await;
    world.run_for(Duration::minutes(125)).await;
    let expected = (vec!["indexed late at Google".to_owned()], vec!["indexed late in the CRM".to_owned()]);
    assert_eq!(world.carried(&case, &company).await, expected);
    let metrics = world.deps.metrics.render();
    // A CRM that searches its own tables has no index to be late, and one that also tells of changes in order is believed there.
    let indexed = world.description.capabilities.index_lag > Duration::seconds(30);
    let late: Vec<Side> = Side::BOTH.into_iter().filter(|side| *side == Side::Google || indexed).collect();
    for side in late.iter().map(|side| side.name()) {
        let line = metrics
            .lines()
            .find(|line| line.starts_with(&format!("casebridge_late_changes_total{{side=\"{side}\"}}")));
        assert!(line.is_some_and(|line| !line.ends_with(" 0")), "{side}: {line:?}");
    }
    // What was measured is how long a lost creation is looked for.
    let global = world.store.global().await.unwrap();
    for side in late {
        assert!(
            global.memory[side].index_lag.is_some_and(|lag| lag.seconds >= 15 * 60),
            "{:?}",
            global.memory[side]
        );
    }
    world.trouble(Call::Create, Fault::always(Effect::HangUpAfter).times(1));
    world.csapi.faults().add(Fault::always(Effect::HangUpAfter).on("POST", "/cases").times(1));
    world.google_case("From Google");
    world.company_case("From the company").await;
    world.run_for_long(Duration::hours(6)).await;
    assert_eq!(world.sizes().await, (3, 3), "and nothing is created twice");
}

// R28
pub async fn a_case_that_is_not_found_for_a_while_is_missing_and_nobody_is_told(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    world.desk.opens(NewCompanyCase::new("Another")).await;
    world.run_for(Duration::minutes(15)).await;
    world.desk.hides(&company, true).await;
    world.google_says(&case, "one");
    world.company_says(&company, "two").await;
    world.run_for(Duration::minutes(30)).await;
    let mapping = world.mapping().await;
    assert!(mapping.state.missing[Side::Company].is_some() && mapping.gone.is_none(), "{mapping:#?}");
    let (status, answer) = world.post("detect-outages", json!({})).await;
    assert_eq!((status, answer["missing"].as_u64()), (500, Some(1)), "{answer}");
    let texts = world.google_texts(&case);
    assert_eq!(texts.len(), 2, "nothing is said while it is missing: {texts:?}");
    world.desk.hides(&company, false).await;
    world.run_for(Duration::hours(2)).await;
    let expected = (vec!["one".to_owned()], vec!["two".to_owned()]);
    assert_eq!(world.carried(&case, &company).await, expected);
    assert_eq!(world.mapping().await.state.missing[Side::Company], None);
    world.assert_quiet().await;
}

// R28
pub async fn a_pair_that_ended_goes_on_when_its_case_is_back_and_misses_nothing(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair().await;
    world.desk.opens(NewCompanyCase::new("Another")).await;
    world.run_for(Duration::minutes(15)).await;
    world.desk.hides(&company, true).await;
    world.google_says(&case, "one");
    world.run_for_long(Duration::hours(4)).await;
    assert_eq!(world.mapping().await.gone, Some(Side::Company));
    assert_eq!(count(&world.google_texts(&case), GONE), 1);
    world.google_says(&case, "two");
    world.company_says(&company, "three").await;
    world.run_for_long(Duration::days(2)).await;
    world.desk.hides(&company, false).await;
    world.run_for_long(Duration::hours(26)).await;
    let expected = (vec!["one".to_owned(), "two".to_owned()], vec!["three".to_owned()]);
    assert_eq!(world.carried(&case, &company).await, expected);
    let texts = world.google_texts(&case);
    assert_eq!((count(&texts, GONE), count(&texts, BACK)), (1, 1), "{texts:?}");
    assert_eq!(world.mapping().await.gone, None);
    world.assert_quiet().await;
}

// R28
pub async fn several_cases_that_go_missing_together_end_no_pair(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let mut pairs = Vec::new();
    for number in 0..3 {
        let case = world.google_case(&format!("Case {number}"));
        world.settle().await;
        let mappings = world.mappings().await;
        let mapping = mappings.iter().find(|mapping| mapping.case_id(Side::Google) == Some(case.as_str()));
        let company = mapping.unwrap().case_id(Side::Company).unwrap().to_owned();
        pairs.push((case, company));
    }
    world.desk.opens(NewCompanyCase::new("Another")).await;
    world.run_for(Duration::minutes(40)).await;
    for (case, company) in &pairs {
        world.desk.hides(company, true).await;
        world.google_says(case, "anybody there?");
    }
    world.run_for_long(Duration::hours(5)).await;
    for (case, company) in &pairs {
        assert_eq!(count(&world.google_texts(case), GONE), 0);
        world.desk.hides(company, false).await;
    }
    assert!(world.mappings().await.iter().all(|mapping| mapping.gone.is_none()));
    world.run_for(Duration::hours(2)).await;
    for (_, company) in &pairs {
        assert_eq!(world.copies_in_crm(company).await, ["anybody there?"]);
    }
}

// R30
pub async fn a_pair_that_is_found_again_lowers_no_priority_and_closes_nothing(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let (case, company) = world.pair_from_company().await;
    world.csapi.set_priority(&case, GooglePriority::P0).unwrap();
    world.settle().await;
    // The database is lost, and meanwhile the company case falls back to its default.
    world.store.delete(&world.mapping().await).await.unwrap();
    world.desk.sets_priority(&company, Priority::P2).await;
    world.company_says(&company, "hello").await;
    world.settle().await;
    assert_eq!(
        world.csapi.case(&case).unwrap().priority,
        Some(GooglePriority::P0),
        "a live P0 is not lowered"
    );
    assert!(world.company(&company).await.has_priority(Priority::P0));
    assert_eq!(world.copies_at_google(&case), ["hello"]);
    // From now on there is a base, and a person may lower it.
    world.desk.sets_priority(&company, Priority::P2).await;
    world.settle().await;
    assert_eq!(world.csapi.case(&case).unwrap().priority, Some(GooglePriority::P2));
    world.assert_quiet().await;
}

/// A person corrects title and priority of a company case whose Google case was just created, in a request that gets such a trouble.
async fn is_corrected_at_once(crm: &dyn Crm, trouble: Option<Fault>) {
    let world = World::new(crm).await;
    let company = world.company_case("Disk is slow").await;
    if let Some(fault) = trouble {
        world.csapi.faults().add(fault.on("POST", "/cases").times(1));
    }
    world.post("sync-company-case", json!({ "case_id": company })).await;
    world.a_moment_later();
    world.desk.sets_priority(&company, Priority::P4).await;
    world.desk.retitles(&company, "Disk is fast").await;
    world.settle().await;
    let case = world.csapi.case(&world.mapping().await.google_case_name.unwrap().to_string()).unwrap();
    let same = world.description.same_priority;
    let is_low = |level| case.priority == Some(at_google(level)) && same(level, Priority::P4);
    assert!(Priority::ALL.into_iter().any(is_low), "{:?}", case.priority);
    assert_eq!(case.display_name, "Disk is fast");
    let company = world.company(&company).await;
    assert!(company.has_priority(Priority::P4), "{company:#?}");
    assert_eq!(company.title, "Disk is fast");
    world.assert_quiet().await;
}

// R30
pub async fn what_a_person_corrects_on_a_new_case_before_its_pair_is_read_is_carried(crm: &dyn Crm) {
    is_corrected_at_once(crm, None).await;
    let world = World::new(crm).await;
    let case = world.google_case("Disk is slow");
    world.post("sync-google-case", json!({ "case_name": case })).await;
    world.a_moment_later();
    world.csapi.set_priority(&case, GooglePriority::P4).unwrap();
    world.csapi.set_display_name(&case, "Disk is fast").unwrap();
    world.settle().await;
    let company = world.mapping().await.company_case_id.unwrap().to_string();
    assert_eq!(world.csapi.case(&case).unwrap().priority, Some(GooglePriority::P4));
    assert!(world.company(&company).await.has_priority(Priority::P4));
    assert_eq!(world.company(&company).await.title, "Disk is fast");
    world.assert_quiet().await;
}

// R13, R30
pub async fn what_a_person_corrects_while_the_answer_of_a_creation_is_lost_is_carried(crm: &dyn Crm) {
    is_corrected_at_once(crm, Some(Fault::always(Effect::HangUpAfter))).await;
}

// R30
pub async fn a_google_case_without_a_known_priority_keeps_what_it_has_and_the_crm_its_default(crm: &dyn Crm) {
    for shown in ["", "PRIORITY_UNSPECIFIED", "P9"] {
        let world = World::new(crm).await;
        world.csapi.adjust(|switches| switches.shown_priority = Some(shown.to_owned()));
        let (case, company) = world.pair().await;
        world.csapi.set_priority(&case, GooglePriority::P0).unwrap();
        let default = world.company(&company).await.priority;
        world.csapi.faults().clear_calls();
        world.google_says(&case, "one");
        world.company_says(&company, "two").await;
        world.run_for(Duration::hours(2)).await;
        let expected = (vec!["one".to_owned()], vec!["two".to_owned()]);
        assert_eq!(world.carried(&case, &company).await, expected, "{shown:?}");
        let patches = world.csapi.faults().calls().into_iter().filter(|call| call.method == "PATCH").count();
        assert_eq!(patches, 0, "{shown:?}");
        assert_eq!(world.company(&company).await.priority, default, "{shown:?}");
        // It says a priority that is known: from now on that counts.
        world.csapi.adjust(|switches| switches.shown_priority = None);
        world.csapi.touch(&case).unwrap();
        world.settle().await;
        assert!(world.company(&company).await.has_priority(Priority::P0), "{shown:?}");
        assert_eq!(world.csapi.case(&case).unwrap().priority, Some(GooglePriority::P0), "{shown:?}");
        world.assert_quiet().await;
    }
}

// R30, R38
pub async fn a_case_that_names_a_google_case_is_no_proof_and_lowers_no_priority(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let claim = |name: &str| NewCompanyCase {
        google_name: Some(name.to_owned()),
        ..NewCompanyCase::flagged("Claim")
    };
    // Before that case exists: whoever opens it is not copied to whoever guessed its number.
    let guessed = world.desk.opens(claim("organizations/123/cases/51000001")).await;
    world.settle().await;
    let case = world.google_case("The real one");
    assert_eq!(case, "organizations/123/cases/51000001");
    world.csapi.set_priority(&case, GooglePriority::P0).unwrap();
    world.google_says(&case, "a secret");
    let late = world.desk.opens(claim(&case)).await;
    world.run_for(Duration::hours(1)).await;
    assert_eq!(world.csapi.case(&case).unwrap().priority, Some(GooglePriority::P0));
    let mappings = world.mappings().await;
    let pair =
        mappings.iter().find(|mapping| mapping.is_linked()).expect("the Google case has a pair of its own");
    let own = pair.case_id(Side::Company).unwrap().to_owned();
    assert_eq!(world.copies_in_crm(&own).await, ["a secret"]);
    for claimed in [&guessed, &late] {
        assert_ne!(*claimed, own);
        let texts = world.company_texts(claimed).await;
        assert_eq!(texts.len(), 1, "{texts:?}");
        assert!(texts[0].starts_with("This case is not synchronised with Google: "), "{texts:?}");
    }
    assert_eq!(world.sizes().await, (1, 3));
    assert_eq!(world.deps.metrics.conflicts.get(), 2);
    world.assert_quiet().await;
}

// R31
pub async fn two_desks_on_one_organisation_are_never_linked_and_never_mirrored_across(crm: &dyn Crm) {
    let one = World::new(crm).await;
    let other = one.beside(crm).await;
    let run_for = async |minutes: u32| {
        for _ in 0..minutes {
            one.run_for(Duration::seconds(30)).await;
            other.run_for(Duration::seconds(30)).await;
        }
    };
    // The same number in both.
    let first = one.company_case("At the first desk").await;
    run_for(5).await;
    let second = other.company_case("At the second desk").await;
    run_for(5).await;
    assert!(first == second || one.description.name == "ServiceNow", "the desks count alike");
    assert_eq!(one.csapi.cases().len(), 2, "each has a Google case of its own");
    let pair_of = async |world: &World| world.mapping().await.google_case_name.unwrap().to_string();
    let (firsts, seconds) = (pair_of(&one).await, pair_of(&other).await);
    assert_ne!(firsts, seconds);
    one.google_says(&firsts, "for the first");
    one.google_says(&seconds, "for the second");
    one.company_says(&first, "from the first").await;
    other.company_says(&second, "from the second").await;
    one.company_attaches(&first, "first.txt", b"x").await;
    // The second one's database is lost: it may look for its own, and finds no other's.
    other.store.delete(&other.mapping().await).await.unwrap();
    run_for(90).await;
    assert_eq!(one.copies_at_google(&firsts), ["from the first"]);
    assert_eq!(one.copies_at_google(&seconds), ["from the second"]);
    assert_eq!(one.copies_in_crm(&first).await, ["for the first"]);
    assert_eq!(other.copies_in_crm(&second).await, ["for the second"]);
    assert_eq!((pair_of(&one).await, pair_of(&other).await), (firsts.clone(), seconds.clone()));
    assert_eq!(one.csapi.attachments(&seconds).unwrap().len(), 0);
    assert_eq!(one.csapi.attachments(&firsts).unwrap().len(), 1);
    assert_eq!((one.sizes().await, other.sizes().await), ((2, 1), (2, 1)), "and neither mirrors the other's");
}

// R31
pub async fn every_notice_at_google_names_the_company_case_with_its_key_and_its_address(crm: &dyn Crm) {
    let options = Options { give_up_after: Duration::hours(2), ..Options::default() };
    let world = World::with(crm, options).await;
    let (case, company) = world.pair().await;
    let named = world.named(&company).await;
    let (_, download) = world.desk.calls(Call::Download);
    let withheld = world.company_faults().add(refusal(403).on("GET", download));
    world.company_attaches(&company, "blocked.txt", b"x").await;
    world.run_for_long(Duration::hours(4)).await;
    world.company_faults().remove(withheld);
    world.desk.opens(NewCompanyCase::new("Another")).await;
    world.run_for(Duration::minutes(15)).await;
    world.desk.hides(&company, true).await;
    world.google_says(&case, "one");
    world.run_for_long(Duration::hours(4)).await;
    world.desk.hides(&company, false).await;
    world.run_for_long(Duration::hours(26)).await;
    world.trouble(Call::Comment, refusal(403));
    world.google_says(&case, "two");
    world.run_for_long(Duration::hours(4)).await;
    let texts = world.google_texts(&case);
    for start in ["[Company Attachment ", GONE, BACK, "Nothing that is written here arrives any more: "] {
        let found: Vec<_> = texts.iter().filter(|text| text.starts_with(start)).collect();
        assert_eq!(found.len(), 1, "{start}: {texts:#?}");
        assert!(found[0].contains(&format!("Company Case {named}")), "{named}: {found:?}");
    }
}

// R31
pub async fn a_case_that_is_asked_for_by_what_people_call_it_is_mapped_by_its_id(crm: &dyn Crm) {
    let world = World::new(crm).await;
    let company = world.company_case("Asked for by name").await;
    let system = &world.deps.systems.company;
    let case = system.get(&company).await.unwrap().unwrap();
    for name in [case.key.unwrap_or_else(|| company.clone()), company.clone()] {
        let (status, answer) = world.post("sync-company-case", json!({ "case_id": name })).await;
        assert_eq!(status, 200, "{name}: {answer}");
        let mapping = world.mapping().await;
        assert_eq!(mapping.company_case_id.as_ref().unwrap().as_str(), company, "{name}");
    }
    let mapping = world.mapping().await;
    let google = mapping.google_case_name.unwrap().to_string();
    let description = world.csapi.case(&google).unwrap().description;
    assert!(description.contains(&world.named(&company).await), "{description}");
    world.company_says(&company, "hello").await;
    world.settle().await;
    assert_eq!(world.copies_at_google(&google), ["hello"]);
    assert_eq!(world.sizes().await, (1, 1));
    assert!(world.mapping().await.state.conflict.is_none());
}

// R32
pub async fn a_company_case_that_was_not_solved_leaves_its_google_case_open_and_says_so_once(crm: &dyn Crm) {
    let mut options = Options::default();
    options.rules.close_on = [casebridge::cases::Closing::Archived].into_iter().collect();
    let world = World::with(crm, options).await;
    let (case, company) = world.pair_from_company().await;
    let left_open = |world: &World| {
        world.google_texts(&case).iter().filter(|text| text.contains("This case stays open")).count()
    };
    for times in 1..=2 {
        world.desk.closes(&company).await;
        world.run_for(Duration::hours(1)).await;
        assert_eq!(world.csapi.case(&case).unwrap().state, State::New);
        assert_eq!(left_open(&world), times, "{:?}", world.google_texts(&case));
        world.desk.reopens(&company).await;
        world.run_for(Duration::hours(1)).await;
    }
    world.desk.closes(&company).await;
    world.settle().await;
    world.csapi.close(&case).unwrap();
    world.settle().await;
    assert!(world.mapping().await.resolved_at.is_some(), "closed on both sides, it is closed");
    world.assert_quiet().await;
}

// R33, R39
pub async fn a_file_that_its_source_never_hands_out_is_explained_once_and_holds_up_nothing(crm: &dyn Crm) {
    for status in [403, 404] {
        let options = Options { give_up_after: Duration::hours(2), ..Options::default() };
        let world = World::with(crm, options).await;
        let (case, company) = world.pair().await;
        let (_, download) = world.desk.calls(Call::Download);
        world.company_faults().add(refusal(status).on("GET", download));
        world.csapi.faults().add(refusal(status).on("GET", ":download"));
        world.company_attaches(&company, "from-the-company.txt", b"x").await;
        // Not at once: tasks that take no time would meet at every try, and one of the two syncs would always find the pair leased.
        world.run_for(Duration::seconds(100)).await;
        world.google_attaches(&case, "from-google.txt", b"y");
        world.settle().await;
        world.company_says(&company, "after the file").await;
        world.google_says(&case, "after the other file");
        world.run_for(Duration::minutes(30)).await;
        let expected = (vec!["after the other file".to_owned()], vec!["after the file".to_owned()]);
        let mapping = world.mapping().await;
        assert_eq!(world.carried(&case, &company).await, expected, "{status}: {:?}", mapping.last_error);
        assert!(mapping.last_error.is_some(), "it has failed, and says so");
        world.desk.closes(&company).await;
        world.run_for(Duration::hours(1)).await;
        assert_eq!(
            world.csapi.case(&case).unwrap().state,
            State::Closed,
            "{status}: it does not hold up the closing"
        );
        world.run_for_long(Duration::hours(4)).await;
        let explained = |texts: &[String], name: &str| {
            texts.iter().filter(|text| text.contains(name) && text.contains("could not be copied")).count()
        };
        assert_eq!(explained(&world.google_texts(&case), "from-the-company.txt"), 1, "{status}");
        assert_eq!(explained(&world.company_texts(&company).await, "from-google.txt"), 1, "{status}");
        assert_eq!(world.mapping().await.last_error, None, "{status}");
        world.assert_quiet().await;
    }
}

// R13, R39
pub async fn a_lost_upload_waits_for_a_file_that_cannot_be_compared_and_holds_up_nothing_else(crm: &dyn Crm) {
    for (source, comes_back) in Side::BOTH.into_iter().flat_map(|side| [(side, true), (side, false)]) {
        let options = Options { give_up_after: Duration::hours(2), ..Options::default() };
        let world = World::with(crm, options).await;
        let (case, company) = world.pair().await;
        world.run_for(Duration::minutes(1)).await;
        let (_, download) = world.desk.calls(Call::Download);
        // The file is read once, for its upload. From then on neither it nor its copy is found.
        let reads = |side: Side| u32::from(side == source);
        let (google, desk) = (world.csapi.faults(), world.company_faults().clone());
        google.add(refusal(404).on("GET", ":download").after(reads(Side::Google)));
        desk.add(refusal(404).on("GET", download).after(reads(Side::Company)));
        let lost = || Fault::always(Effect::HangUpAfter).times(1);
        match source {
            Side::Google => {
                world.trouble(Call::Attach, lost());
                world.google_attaches(&case, "disk.log", b"full");
            }
            Side::Company => {
                google.add(lost().on("POST", "/attachments"));
                world.company_attaches(&company, "disk.log", b"full").await;
            }
        }
        world.run_for(Duration::minutes(10)).await;
        world.google_says(&case, "from Google");
        world.company_says(&company, "from the company").await;
        world.run_for(Duration::minutes(50)).await;
        let about = format!("{source}, {comes_back}");
        let said = (vec!["from Google".to_owned()], vec!["from the company".to_owned()]);
        let mapping = world.mapping().await;
        assert_eq!(world.carried(&case, &company).await, said, "{about}: {:?}", mapping.last_error);
        let error = mapping.last_error.unwrap_or_default();
        assert!(error.contains("cannot be compared"), "{about}: the upload waits, and says why: {error:?}");
        assert_eq!(mapping.pending.len(), 1, "{about}");
        if comes_back {
            google.clear();
            desk.clear();
            world.run_for(Duration::hours(1)).await;
        } else {
            world.run_for_long(Duration::hours(4)).await;
        }
        let mapping = world.mapping().await;
        assert_eq!((mapping.pending.len(), mapping.last_error), (0, None), "{about}");
        assert_eq!(world.csapi.attachments(&case).unwrap().len(), 1, "{about}");
        assert_eq!(world.company(&company).await.files.len(), 1, "{about}");
        world.assert_quiet().await;
    }
}

// R33
pub async fn a_case_that_takes_no_comments_still_takes_a_file_a_priority_and_its_closing(crm: &dyn Crm) {
    let options = Options { give_up_after: Duration::hours(2), ..Options::default() };
    let world = World::with(crm, options).await;
    let (case, company) = world.pair().await;
    let refused = world.csapi.faults().add(refusal(403).on("POST", "/comments"));
    world.company_says(&company, "one that is refused").await;
    world.run_for_long(Duration::hours(4)).await;
    let read_only = |mapping: casebridge::entities::CaseMapping| mapping.state.read_only.google.is_some();
    assert!(read_only(world.mapping().await), "the explanation is a comment and was refused as well");

    // The other kinds of write do not wait for the next daily attempt with the comment.
    world.desk.sets_priority(&company, Priority::P1).await;
    world.company_attaches(&company, "after.txt", b"x").await;
    world.run_for(Duration::minutes(10)).await;
    let found = world.csapi.case(&case).unwrap().priority.unwrap();
    let same = world.description.same_priority;
    assert!(Priority::ALL.into_iter().any(|level| at_google(level) == found && same(level, Priority::P1)));
    assert_eq!(world.csapi.attachments(&case).unwrap().len(), 1);
    world.desk.closes(&company).await;
    world.run_for(Duration::minutes(10)).await;
    assert_eq!(world.csapi.case(&case).unwrap().state, State::Closed);

    // The comment itself is tried once a day, and no notice is repeated.
    world.run_for_long(Duration::days(1)).await;
    assert!(read_only(world.mapping().await));
    let texts = world.company_texts(&company).await;
    assert_eq!(count(&texts, "Nothing that is written here arrives any more"), 1, "{texts:#?}");
    world.csapi.faults().remove(refused);
    world.run_for_long(Duration::days(2)).await;
    assert_eq!(world.copies_at_google(&case), ["one that is refused"]);
    world.assert_quiet().await;
}

// R36
pub async fn clocks_that_are_apart_hide_nothing(crm: &dyn Crm) {
    for (google, company) in [(-6, -6), (-35, 0), (0, -15), (35, 20), (-5_256_000, 0), (0, 5_256_000)] {
        let world = World::new(crm).await;
        world.csapi.faults().set_clock_ahead(Duration::minutes(google));
        world.company_faults().set_clock_ahead(Duration::minutes(company));
        let case = world.google_case("Disk is slow");
        world.settle().await;
        let company_case = world.mapping().await.company_case_id.unwrap().to_string();
        for round in 0..3 {
            world.google_says(&case, &format!("g{round}"));
            world.company_says(&company_case, &format!("c{round}")).await;
            world.run_for(Duration::minutes(20)).await;
        }
        let said = |side: &str| (0..3).map(|round| format!("{side}{round}")).collect::<Vec<_>>();
        assert_eq!(world.carried(&case, &company_case).await, (said("g"), said("c")), "{google} {company}");
        assert_eq!(world.healthz_sync().await, 200, "{google} {company}");
        assert_eq!(world.sizes().await, (1, 1));
    }
}

// R36
pub async fn a_clock_of_ours_that_jumps_hides_nothing(crm: &dyn Crm) {
    for minutes in [6, 120, -120, 5_256_000, -5_256_000] {
        let world = World::new(crm).await;
        let (case, company) = world.pair().await;
        world.run_for(Duration::minutes(45)).await;
        let mut said = 0;
        for by in [minutes, -minutes] {
            world.jump(Duration::minutes(by));
            for _ in 0..2 {
                world.google_says(&case, &format!("g{said}"));
                world.company_says(&company, &format!("c{said}")).await;
                said += 1;
                world.run_for(Duration::minutes(12)).await;
            }
        }
        let all = |side: &str| (0..said).map(|number| format!("{side}{number}")).collect::<Vec<_>>();
        assert_eq!(world.carried(&case, &company).await, (all("g"), all("c")), "{minutes}");
        assert_eq!(world.healthz_sync().await, 200, "{minutes}");
        assert!(world.mapping().await.lease.is_none());
    }
}

// R26, R27
pub async fn an_idle_minute_costs_two_calls_on_the_mean_and_three_at_most(crm: &dyn Crm) {
    const MINUTES: usize = 5 * 60;
    let world = World::new(crm).await;
    world.pair().await;
    idle::open_mappings(&world, 200).await;
    // The pair leaves both windows.
    world.run_for(Duration::minutes(45)).await;
    let mut calls = Vec::new();
    for _ in 0..MINUTES {
        let both = [world.csapi.faults(), world.company_faults().clone()];
        both.iter().for_each(Faults::clear_calls);
        world.run_for(Duration::minutes(1)).await;
        // Access tokens are renewed by the machine's clock, which no test moves.
        let calls_now = both.iter().flat_map(Faults::calls);
        calls.push(calls_now.filter(|call| !call.path.starts_with("/oauth")).collect::<Vec<_>>());
    }
    if let Some(most) = calls.iter().find(|calls| calls.len() > 3) {
        panic!("more than three in a minute: {most:#?}");
    }
    let total: usize = calls.iter().map(Vec::len).sum();
    // Beside the two searches one proof in seven minutes, and every four minutes the second search of a system that takes two.
    let second = if world.deps.systems.company.searches_twice() { MINUTES / 4 } else { 0 };
    let most = MINUTES * 2 + MINUTES / 7 + second + 2;
    assert!(total <= most, "{total} calls in {MINUTES} minutes");
}
