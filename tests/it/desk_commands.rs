//! Commands of a desk that is configured from the documents alone: what they say, and that no log holds an address.

use std::path::Path;
use std::sync::Arc;

use casebridge::clock::SystemClock;
use casebridge::sandbox::csapi::{Author, NewCase, Priority, SAMPLE_ID, SandboxCsapi};
use casebridge::sandbox::jira::{NewIssue, SandboxJira, SandboxJiraSettings};
use casebridge::sandbox::zendesk::{SandboxZendesk, SandboxZendeskSettings};
use casebridge_testkit::harness::serve;
use serde_json::Value;

/// Runs the program in a folder. Returns the exit status, standard output and standard error, which has the log.
async fn run(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_casebridge"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("RUST_LOG", "trace")
        .output()
        .await
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Both systems, and a folder with a configuration.
struct Desk {
    csapi: SandboxCsapi,
    jira: SandboxJira,
    folder: tempfile::TempDir,
    sides: String,
}

impl Desk {
    async fn new(more: &str) -> Self {
        let csapi = SandboxCsapi::new(Arc::new(SystemClock), "organizations/123");
        let jira = SandboxJira::new(Arc::new(SystemClock), SandboxJiraSettings::default());
        let sides = format!(
            "[company]\nkind = \"jira\"\nbase_url = \"http://{}\"\n[company.jira]\nproject = \"SUP\"\n\
             [google]\nparent = \"organizations/123\"\nauth = \"none\"\nclassification_id = \"{SAMPLE_ID}\"\n\
             base_url = \"http://{}\"\n",
            serve(jira.router()).await,
            serve(csapi.router()).await,
        );
        let folder = tempfile::tempdir().unwrap();
        let desk = Self { csapi, jira, folder, sides };
        desk.configure(more);
        desk
    }

    fn configure(&self, more: &str) {
        std::fs::write(self.folder.path().join("casebridge.toml"), self.sides.clone() + more).unwrap();
    }

    fn google_case(&self, parent: &str) -> String {
        let case = NewCase {
            parent: parent.to_owned(),
            display_name: "A case".to_owned(),
            description: "Its description".to_owned(),
            priority: Priority::P2,
            author: Author::customer("Grace Hopper"),
        };
        self.csapi.create_case(case).unwrap().name
    }

    async fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        run(self.folder.path(), arguments).await
    }
}

/// Returns the line of a check.
fn line<'a>(output: &'a str, what: &str) -> &'a str {
    let found = output.lines().find(|line| line[8.min(line.len())..].starts_with(what));
    found.unwrap_or_else(|| panic!("{what}:\n{output}"))
}

const ROUTES: &str = r#"
[[route]]
match = { test_case = true }
mirror = false

[[route]]
match = { project = ["shop-*", "nowhere-*"] }
set = { issue_type = "Bug" }

[[route]]
match = { project = "shop-*", title = "*" }
mirror = true

[[route]]
match = { project = "mistyped" }
mirror = false

[[route]]
match = { component = "Billing" }
google = { parent = "projects/shop-prod" }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_check_has_a_line_for_each_route_and_warns_of_a_project_that_no_case_has() {
    let desk = Desk::new(ROUTES).await;
    desk.google_case("projects/shop-prod");
    desk.jira.create_issue(NewIssue::flagged("Something to look at")).unwrap();
    let (code, output, error) = desk.run(&["check"]).await;
    assert_eq!(code, 0, "{output}{error}");
    for (what, begins, words) in [
        ("Jira: route 1:", "ok", "mirror = false"),
        ("Jira: route 2:", "ok", "issue_type Bug"),
        ("CSAPI: match of route 2:", "WARN", "no visible case is in a project like \"nowhere-*\""),
        ("Jira: route 3:", "ok", "mirror = true"),
        ("CSAPI: match of route 3:", "ok", "shop-*"),
        ("Jira: route 4:", "ok", "mirror = false"),
        ("CSAPI: match of route 4:", "WARN", "projects/mistyped does not exist"),
        ("CSAPI: route 5:", "ok", "projects/shop-prod"),
        // The sample of the documents.
        ("CSAPI: classification of new cases:", "ok", "Cloud Load Balancing"),
    ] {
        let line = line(&output, what);
        assert!(line.starts_with(begins) && line.contains(words), "{line}");
    }
    assert!(
        line(&output, "CSAPI: match of route 2:").contains("the visible cases are of shop-prod"),
        "{output}"
    );
    assert!(!output.contains("option "), "every option has an effect: {output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_option_without_effect_is_a_warning_and_a_start_in_the_future_is_an_error() {
    let zendesk = SandboxZendesk::new(Arc::new(SystemClock), SandboxZendeskSettings::default());
    let desk = Desk::new("").await;
    let sides = format!(
        "[company]\nkind = \"zendesk\"\nbase_url = \"http://{}\"\n[company.zendesk]\n{}[priorities]\nP0 = \"urgent\"\nP1 = \"high\"\n\
         P2 = \"normal\"\nP3 = \"low\"\nP4 = \"low\"\n",
        serve(zendesk.router()).await,
        &desk.sides[desk.sides.find("[google]").unwrap()..],
    );
    let options = "[sync]\nedits = \"note\"\n[status]\nclose_on = [\"solved\", \"archived\"]\n";
    std::fs::write(desk.folder.path().join("casebridge.toml"), sides + options).unwrap();
    let (_, output, _) = desk.run(&["check"]).await;
    for (what, words) in [
        ("option sync.edits:", "nobody edits a comment in Zendesk"),
        ("option status.close_on:", "Zendesk has no case that is archived"),
    ] {
        let line = line(&output, what);
        assert!(line.starts_with("WARN") && line.contains(words), "{line}");
    }
    // In a project without internal comments, nobody marks a note.
    desk.configure("[sync]\ncomments_to_google = \"marked\"\n");
    let (_, output, _) = desk.run(&["check"]).await;
    let marked = line(&output, "Jira: marked notes:");
    assert!(marked.starts_with("WARN") && marked.contains("no internal comments"), "{marked}");

    desk.configure("[sync]\nsince = \"2999-03-01\"\n");
    let (code, output, _) = desk.run(&["check"]).await;
    let since = line(&output, "option sync.since:");
    assert!(code == 1 && since.starts_with("FAILED"), "{output}");
    let (code, _, error) = desk.run(&["serve"]).await;
    assert_eq!(code, 1, "{error}");
    for told in [since, &error] {
        assert!(
            told.contains("2999-03-01T00:00:00Z") && told.contains("the clock of this machine says 20"),
            "{told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poll_says_that_it_only_queues_and_how_many() {
    let desk = Desk::new("").await;
    for _ in 0..2 {
        desk.google_case("organizations/123");
    }
    let (code, output, error) = desk.run(&["poll", "google", "--dry-run"]).await;
    assert!(code == 0 && !error.contains("queued, and nothing"), "{output}{error}");
    let (code, output, error) = desk.run(&["poll", "google"]).await;
    let answer: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((code, answer["queued"].as_u64()), (0, Some(2)), "{output}");
    let words = "casebridge: 2 syncs were queued, and nothing is carried yet: a running `casebridge serve` carries them";
    assert!(error.contains(words), "{error}");
    let (_, _, error) = desk.run(&["poll", "google"]).await;
    assert!(error.contains("casebridge: no sync was queued that was not queued already"), "{error}");
    assert!(desk.jira.issues().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_with_a_new_store_leaves_no_file_behind() {
    let desk = Desk::new("").await;
    let google = desk.google_case("organizations/123");
    let files = || {
        let all = std::fs::read_dir(desk.folder.path()).unwrap();
        let mut names: Vec<String> =
            all.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let before = files();
    for arguments in [&["poll", "google", "--dry-run"][..], &["sync", "google", &google, "--dry-run"]] {
        let (code, output, error) = desk.run(arguments).await;
        assert!(code == 0 && output.contains("plan"), "{output}{error}");
        assert_eq!(files(), before, "{arguments:?}");
    }
    // One that is there is used.
    assert_eq!(desk.run(&["sync", "google", &google]).await.0, 0);
    let (_, output, error) = desk.run(&["sync", "google", &google, "--dry-run"]).await;
    assert!(output.contains("\"plan\": []"), "{output}{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_the_people_who_get_mails_and_of_a_wrong_source_only_the_cause() {
    let domains = "subscriber_domains = [\"example.com\"]\n";
    let desk = Desk::new(&format!("subscribers_from = [\"ccs\"]\n{domains}")).await;
    let (_, output, error) = desk.run(&["check"]).await;
    assert!(line(&output, "Jira: people who get Google's mails").ends_with(": watchers"), "{output}{error}");
    for wrong in ["subscribers_from = [\"everybody\"]\n", "subscriber_from = [\"reporter\"]\n"] {
        let desk = Desk::new(&format!("{wrong}{domains}")).await;
        let (code, output, error) = desk.run(&["check"]).await;
        assert!(code == 2 && error.contains("subscribers_from"), "{output}{error}");
        assert!(!format!("{output}{error}").contains("subscriber_domains"), "{output}{error}");
    }
    // Without any source, the domains are the mistake.
    let desk = Desk::new(domains).await;
    let (_, output, error) = desk.run(&["check"]).await;
    assert!(line(&output, "option google.subscriber_domains").contains("names nobody"), "{output}{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_names_the_addresses_that_google_would_get_and_no_log_does() {
    let address = "jane.roe@example.com";
    let people = "subscribers_from = [\"ccs\"]\nsubscriber_domains = [\"example.com\"]\n";
    let desk = Desk::new(people).await;
    let issue = desk.jira.create_issue(NewIssue::flagged("Watched")).unwrap();
    desk.jira.show_email("Jane Roe", address).unwrap();
    desk.jira.watch(&issue, "Jane Roe", true).unwrap();
    for arguments in
        [&["sync", "company", issue.as_str(), "--dry-run"][..], &["poll", "company", "--dry-run"]]
    {
        let (code, output, error) = desk.run(arguments).await;
        assert_eq!(code, 0, "{output}{error}");
        let answer: Value = serde_json::from_str(&output).unwrap();
        let of_case = answer["cases"].get(0).unwrap_or(&answer);
        assert_eq!(of_case["subscribers"]["add"][0], address, "{answer:#}");
        assert!(of_case["plan"].to_string().contains(&format!(": add {address}")), "{answer:#}");
        assert!(!error.contains("jane.roe"), "{error}");
    }
}
