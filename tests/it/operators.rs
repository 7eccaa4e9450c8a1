//! Actions of operators on pairs: pause, resume, unlink, skip, over HTTP and as commands.

use std::sync::Arc;

use casebridge::clock::SystemClock;
use casebridge::entities::Side;
use casebridge::sandbox::csapi::{Author, CLASSIFICATION_ID, NewCase, Priority, SandboxCsapi};
use casebridge::sandbox::faults::{Effect, Fault};
use casebridge::sandbox::jira::{NewIssue, SandboxJira, SandboxJiraSettings};
use casebridge::store::{MappingFilter, SqliteStore, Store as _};
use casebridge::tasks;
use chrono::Duration;
use reqwest::Client;
use serde_json::{Value, json};

use casebridge_testkit::harness::desk::Call;
use casebridge_testkit::harness::jira::JiraKind;
use casebridge_testkit::harness::{World, serve};

async fn api(world: &World, case: &str, action: &str, body: Value) -> (u16, Value) {
    let case = case.replace('/', "%2F");
    let url = format!("http://{}/api/v1/mappings/{case}/{action}", world.service);
    let response = Client::new().post(url).json(&body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_paused_pair_carries_nothing_until_it_is_resumed_and_then_everything() {
    let world = World::new(&JiraKind).await;
    let (google, company) = world.pair().await;
    let (status, answer) = api(&world, "SUP-1", "pause", json!({ "reason": "a migration" })).await;
    assert_eq!((status, &answer["mappings"][0]["action"]), (200, &json!("pause")), "{answer}");
    world.google_says(&google, "from Google");
    world.company_says(&company, "from the desk").await;
    world.run_for_long(Duration::hours(6)).await;
    assert_eq!(world.copies_in_crm(&company).await, Vec::<String>::new());
    assert_eq!(world.copies_at_google(&google), Vec::<String>::new());
    // No notice of an outage either: nobody expects it to sync.
    assert!(!world.google_texts(&google).iter().any(|text| text.contains("has not synced")));
    for (task, body) in [
        ("sync-google-case", json!({ "case_name": google })),
        ("sync-company-case", json!({ "case_id": company })),
    ] {
        let (status, report) = world.post(task, body).await;
        assert_eq!((status, &report["outcome"]), (200, &json!("done")), "{report}");
        assert!(report["detail"].as_str().unwrap().contains("paused by"), "{report}");
    }
    let (_, planned) = world.rehearse("sync-google-case", json!({ "case_name": google })).await;
    assert!(planned["plan"].to_string().contains("copy comment"), "{planned}");
    assert!(planned["detail"].as_str().unwrap().contains("paused by"), "{planned}");
    for action in ["retry", "pause"] {
        let (status, problem) = api(&world, &company, action, json!({})).await;
        assert_eq!(status, 409, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains("casebridge resume"), "{problem}");
    }
    let mapping = world.mapping().await;
    assert_eq!(mapping.state.operator_pause.unwrap().reason.as_deref(), Some("a migration"));
    assert_eq!(api(&world, &company, "resume", json!({})).await.0, 200);
    world.settle().await;
    assert_eq!(world.copies_in_crm(&company).await, ["from Google"]);
    assert_eq!(world.copies_at_google(&google), ["from the desk"]);
    assert_eq!(api(&world, &company, "resume", json!({})).await.0, 409, "it is not paused");
}

#[tokio::test]
async fn a_sync_that_is_under_way_writes_nothing_more_once_its_pair_is_paused() {
    let world = World::new(&JiraKind).await;
    let (google, company) = world.pair().await;
    for text in ["first", "second", "third"] {
        world.google_says(&google, text);
    }
    world.company_faults().clear_calls();
    world.trouble(Call::Comment, Fault::always(Effect::Latency { ms: 5_000 }));
    let pause = async {
        // A call is recorded when it arrives, and answered later.
        let begun = || {
            let calls = world.company_faults().calls();
            calls.iter().any(|call| call.method == "POST" && call.path.contains("/comment"))
        };
        while !begun() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        api(&world, &company, "pause", json!({})).await
    };
    let (sync, paused) = tokio::join!(world.post("sync-google-case", json!({ "case_name": google })), pause);
    assert_eq!((paused.0, sync.0, &sync.1["outcome"]), (200, 200, &json!("done")), "{sync:?}");
    assert!(sync.1["detail"].as_str().unwrap().contains("paused by"), "{sync:?}");
    assert_eq!(world.copies_in_crm(&company).await, ["first"]);
    let mapping = world.mapping().await;
    assert_eq!((mapping.lease, mapping.last_error), (None, None));
    world.company_faults().clear();
    assert_eq!(api(&world, &company, "resume", json!({})).await.0, 200);
    world.settle().await;
    assert_eq!(world.copies_in_crm(&company).await, ["first", "second", "third"]);
}

#[tokio::test]
async fn an_unlinked_pair_stays_unlinked_whatever_the_polls_find_and_can_be_resumed() {
    let world = World::new(&JiraKind).await;
    let (google, company) = world.pair().await;
    let reason = json!({ "reason": "two cases by mistake" });
    assert_eq!(api(&world, &company, "unlink", reason).await.0, 200);
    world.google_says(&google, "from Google");
    world.company_says(&company, "from the desk").await;
    world.run_for_long(Duration::hours(30)).await;
    assert_eq!(world.copies_in_crm(&company).await, Vec::<String>::new());
    assert_eq!(world.sizes().await, (1, 1), "no poll creates another counterpart");
    let left = world.mapping().await;
    assert_eq!((left.dirty.google, left.dirty.company, left.needs_attention()), (None, None, false));
    // Long after its end, cleanup still remembers the pair.
    world.clock().advance(Duration::days(65));
    assert_eq!(world.post("cleanup", json!({})).await.0, 200);
    world.settle().await;
    assert_eq!(world.mappings().await.len(), 1);
    assert_eq!(world.sizes().await, (1, 1));
    let (status, answer) = api(&world, &company, "resume", json!({})).await;
    assert_eq!(status, 200, "{answer}");
    world.settle().await;
    assert_eq!(world.copies_in_crm(&company).await, ["from Google"]);
}

#[tokio::test]
async fn a_skipped_comment_is_left_out_and_its_reason_is_kept() {
    let world = World::new(&JiraKind).await;
    let (google, company) = world.pair().await;
    world.trouble(Call::Comment, Fault::always(Effect::ErrorBefore { status: 500, body: None }));
    let bad = world.google_says(&google, "can never be carried");
    let good = world.google_says(&google, "comes after it");
    world.run_for(Duration::minutes(5)).await;
    let mapping = world.mapping().await;
    assert!(mapping.last_error.is_some());
    for (item, reason, status) in [
        ("none-such", "x", 409),
        (bad.as_str(), " ", 400),
        (bad.as_str(), "broken", 200),
        (bad.as_str(), "again", 409),
    ] {
        let (got, answer) = api(&world, &company, "skip", json!({ "item": item, "reason": reason })).await;
        assert_eq!(got, status, "{item} {reason}: {answer}");
    }
    world.company_faults().clear();
    world.run_for(Duration::minutes(15)).await;
    assert_eq!(world.copies_in_crm(&company).await, ["comes after it"]);
    let mapping = world.mapping().await;
    assert_eq!((mapping.last_error.as_deref(), mapping.dirty.google), (None, None));
    let skipped = &mapping.state.skipped[0];
    assert_eq!(
        (skipped.side, skipped.id.as_str(), skipped.reason.as_str()),
        (Side::Google, bad.as_str(), "broken")
    );
    // Retry tries again what was refused, and not what a person decided.
    assert_eq!(api(&world, &company, "retry", json!({})).await.0, 200);
    world.settle().await;
    assert_eq!(world.copies_in_crm(&company).await, ["comes after it"]);
    let carried = api(&world, &company, "skip", json!({ "item": good, "reason": "x" })).await;
    assert_eq!((carried.0, carried.1["detail"].as_str().unwrap().contains("carried already")), (409, true));
}

#[tokio::test]
async fn an_action_that_is_misspelt_is_refused_and_nothing_is_done() {
    let world = World::new(&JiraKind).await;
    let (_, company) = world.pair().await;
    let (status, problem) = api(&world, &company, "pauze", json!({})).await;
    assert_eq!(status, 404, "{problem}");
    let (status, problem) = api(&world, &company, "pause", json!({ "reson": "x" })).await;
    assert_eq!((status, world.mapping().await.held().is_none()), (400, true), "{problem}");
    let (status, problem) = api(&world, "none-such", "pause", json!({})).await;
    assert!(status == 400 || status == 404, "{problem}");
}

#[tokio::test]
async fn the_tasks_that_the_queue_gave_up_are_listed() {
    let world = World::new(&JiraKind).await;
    let list = async |query: &str| {
        let url = format!("http://{}/api/v1/dead-letters{query}", world.service);
        let answer = reqwest::get(url).await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    assert_eq!(list("").await, (200, json!({ "dead_letters": [] })));
    world.company_faults().add(Fault::always(Effect::ErrorBefore { status: 500, body: None }));
    world.run_for(Duration::minutes(10)).await;
    let (status, answer) = list("?limit=2").await;
    let letters = answer["dead_letters"].as_array().unwrap();
    assert_eq!((status, letters.len()), (200, 2), "{answer}");
    assert_eq!((&letters[0]["task"], &letters[0]["last_status"]), (&json!("poll-company"), &json!(500)));
    assert!(letters[0]["given_up_at"].as_str() > letters[1]["given_up_at"].as_str(), "{answer}");
    assert_eq!(list("?limit=two").await.0, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_action_is_a_command() {
    let csapi = SandboxCsapi::new(Arc::new(SystemClock), "organizations/123");
    let jira = SandboxJira::new(Arc::new(SystemClock), SandboxJiraSettings::default());
    let case = NewCase {
        parent: "organizations/123".to_owned(),
        display_name: "A case".to_owned(),
        description: "Its description".to_owned(),
        priority: Priority::P2,
        author: Author::customer("Grace Hopper"),
    };
    let google = csapi.create_case(case.clone()).unwrap().name;
    let other = csapi.create_case(case).unwrap().name;
    let alone = jira.create_issue(NewIssue::new("Alone")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let configuration = format!(
        "[google]\nparent = \"organizations/123\"\nauth = \"none\"\nclassification_id = \"{CLASSIFICATION_ID}\"\n\
         base_url = \"http://{}\"\n[company]\nkind = \"jira\"\nbase_url = \"http://{}\"\n[company.jira]\nproject = \"SUP\"\n",
        serve(csapi.router()).await,
        serve(jira.router()).await,
    );
    std::fs::write(folder.path().join("casebridge.toml"), &configuration).unwrap();
    let run = async |arguments: &[&str]| {
        let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_casebridge"))
            .args(arguments)
            .current_dir(folder.path())
            .env_clear()
            .env("USER", "jane")
            .output()
            .await
            .unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code().unwrap(), text)
    };
    let (code, text) = run(&["sync", "google", &google]).await;
    assert_eq!(code, 0, "{text}");
    let store = SqliteStore::open(&folder.path().join("casebridge.db")).unwrap();
    let stored = async || store.list(MappingFilter::All, None, 10).await.unwrap().mappings.remove(0);
    let company = stored().await.company_case_id.unwrap().to_string();
    let comment = csapi.add_comment(&google, Author::google("Ada Lovelace"), "leave this out").unwrap().id;
    for (arguments, code, words) in [
        (&["pause", company.as_str(), "--reason", "a migration"] as &[&str], 0, "pause: done"),
        (&["mappings", "show", &company], 0, "paused by jane (command line)"),
        (&["mappings"], 0, "a migration"),
        (&["mappings", "--words", "CASE, a", "--json"], 0, "a migration"),
        (&["mappings", "--words", "cas"], 0, "no pair has all of these words in one title: cas"),
        (&["retry", &company], 1, "casebridge resume"),
        (&["resume", &google], 0, "google: "),
        (&["resume", &google], 1, "it is not paused"),
        (&["skip", &company, &comment], 2, "--reason"),
        (&["skip", &company, &comment, "--reason", "broken"], 0, "google: "),
        (&["mappings", "show", &company], 0, "broken"),
        (&["unlink", &company, "--reason", "a mistake"], 0, "unlink: done"),
        (&["mappings", "show", &company], 0, "unlinked by jane"),
        (&["link", &google, &company], 1, "casebridge resume"),
        (&["link", &other, "SUP-99"], 1, "shows no company case"),
        (&["link", &other, &alone, "--reason", "opened twice"], 0, "linked"),
        (&["link", &other, &alone], 0, "a pair already"),
        (&["mappings", "show", &other], 0, "linked by jane (command line)"),
        (&["mappings", "show", &other, "--json"], 0, "\"linked_by\":{\"by\":\"jane (command line)\""),
        (&["mappings", "show", &company], 0, "do: Resume links the two cases again"),
        (&["pause", "99999"], 1, ""),
    ] {
        let (got, text) = run(arguments).await;
        assert!(got == code && text.contains(words), "{arguments:?}: {got} {text}");
    }
    // What is stored needs no secret to be shown.
    let with_secret = configuration + "client_id = \"x\"\nclient_secret = \"env:NOT_SET\"\n";
    std::fs::write(folder.path().join("casebridge.toml"), with_secret).unwrap();
    for (case, code, words) in [(company.as_str(), 0, "unlinked by jane"), ("SUP-99", 1, "NOT_SET")] {
        let (got, text) = run(&["mappings", "show", case]).await;
        assert!(got == code && text.contains(words), "{case}: {got} {text}");
    }
    let mapping = stored().await;
    assert_eq!(mapping.state.unlinked.as_ref().unwrap().by, "jane (command line)");
    assert_eq!(tasks::held_words(&mapping).unwrap().split(' ').next(), Some("unlinked"));
}
