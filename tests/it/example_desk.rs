//! The desk of `docs/examples/jira-desk.toml`, from end to end: the real binary with that file, between sandboxes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use casebridge::clock::SystemClock;
use casebridge::sandbox::csapi::{Author, CLASSIFICATION_ID, Case, NewCase, Priority, SandboxCsapi, State};
use casebridge::sandbox::jira::{IssueView, NewIssue, SandboxJira, SandboxJiraAuth, SandboxJiraSettings};
use casebridge::sandbox::oauth::OauthClient;
use casebridge_testkit::harness::serve;
use casebridge_testkit::service::{Process, client, free_port, serve_with, until};
use tempfile::TempDir;

const SECRET: &str = "s3cret-of-the-example";

struct Desk {
    csapi: SandboxCsapi,
    jira: SandboxJira,
    escalate: String,
    environment: BTreeMap<&'static str, String>,
    port: u16,
    _folder: TempDir,
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/jira-desk.toml")
}

impl Desk {
    async fn new() -> Self {
        let client = OauthClient::new("casebridge", SECRET, Duration::from_hours(1));
        let settings = SandboxJiraSettings {
            service_management: true,
            auth: SandboxJiraAuth::OauthClient(client),
            ..SandboxJiraSettings::default()
        };
        let jira = SandboxJira::new(Arc::new(SystemClock), settings);
        let escalate = jira.add_text_field("Escalate to Google").unwrap();
        let csapi = SandboxCsapi::new(Arc::new(SystemClock), "organizations/123456789012");
        let (google, site) = (serve(csapi.router()).await, serve(jira.router()).await);
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let environment = BTreeMap::from([
            ("CASEBRIDGE_SERVER__LISTEN", format!("127.0.0.1:{port}")),
            ("CASEBRIDGE_STORE__URL", format!("sqlite:{}", folder.path().join("casebridge.db").display())),
            ("CASEBRIDGE_GOOGLE__BASE_URL", format!("http://{google}")),
            ("CASEBRIDGE_GOOGLE__AUTH", "none".to_owned()),
            ("CASEBRIDGE_COMPANY__BASE_URL", format!("http://{site}")),
            ("CASEBRIDGE_COMPANY__JIRA__TOKEN_URL", format!("http://{site}/oauth/token")),
            ("CASEBRIDGE_COMPANY__JIRA__GATEWAY_URL", format!("http://{site}/ex/jira")),
            ("JIRA_CLIENT_SECRET", SECRET.to_owned()),
        ]);
        Self { csapi, jira, escalate, environment, port, _folder: folder }
    }

    fn serve(&self) -> Process {
        let environment: Vec<_> =
            self.environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        serve_with(&file(), &environment)
    }

    fn case(&self, project: &str, title: &str, priority: Priority) -> String {
        let case = NewCase {
            parent: format!("projects/{project}"),
            display_name: title.to_owned(),
            description: "Its description".to_owned(),
            priority,
            author: Author::customer("Grace Hopper"),
        };
        self.csapi.create_case(case).unwrap().name
    }

    fn issue(&self, summary: &str) -> Option<IssueView> {
        self.jira.issues().into_iter().find(|issue| issue.summary == summary)
    }

    fn google(&self, title: &str) -> Option<Case> {
        self.csapi.cases().into_iter().find(|case| case.display_name == title)
    }

    /// Polls both sides until something holds.
    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let polls = async {
            loop {
                for side in ["google", "company"] {
                    let url = format!("http://127.0.0.1:{}/tasks/poll-{side}", self.port);
                    let _ = client().post(url).send().await;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        tokio::select! {
            () = polls => {}
            () = until(what, holds) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_passes_its_check() {
    let desk = Desk::new().await;
    for project in ["shop-prod", "shop-test", "data-prod"] {
        desk.case(project, "From before", Priority::P3);
    }
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_casebridge"))
        .args(["--config", file().to_str().unwrap(), "check"])
        .env_clear()
        .envs(&desk.environment)
        .output()
        .await
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !told.contains("FAILED"), "{told}");
    for line in
        ["ok      CSAPI: route 5", "ok      Jira: route 2", "ok      Jira: status for ACTION_REQUIRED"]
    {
        assert!(told.contains(line), "{line}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_does_what_its_sentences_say() {
    let desk = Desk::new().await;
    let old = desk.case("shop-prod", "From before", Priority::P0);
    // What changes at the first start or later is taken in; that is kept to the second.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let _service = desk.serve();
    desk.until("the service has polled", || desk.csapi.faults().calls().len() > 2).await;

    // Who gets what.
    desk.case("shop-test", "Only a test", Priority::P0);
    let urgent = desk.case("shop-prod", "Checkout is down", Priority::P0);
    desk.case("shop-prod", "A question", Priority::P3);
    desk.case("data-prod", "Slow queries", Priority::P0);
    let all = ["Checkout is down", "A question", "Slow queries"];
    desk.until("three issues", || all.iter().all(|title| desk.issue(title).is_some())).await;
    let place = |title: &str| {
        let issue = desk.issue(title).unwrap();
        let project = issue.key.split_once('-').unwrap().0.to_owned();
        (project, issue.issue_type, issue.components, issue.labels)
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let of = |project: &str, issue_type: &str, component: &str, labels: &[&str]| {
        (project.to_owned(), issue_type.to_owned(), words(&[component]), words(labels))
    };
    assert_eq!(place("Checkout is down"), of("OPS", "Bug", "Network", &["gcp", "on-call"]));
    assert_eq!(place("A question"), of("SUP", "Support", "Google Cloud", &["gcp", "shop"]));
    assert_eq!(place("Slow queries"), of("SUP", "Support", "Google Cloud", &["data", "gcp"]));
    assert_eq!(desk.issue("From before"), None);
    assert_eq!(desk.issue("Only a test"), None);

    // From the desk to Google.
    let shop = desk.jira.create_issue(NewIssue::new("No machine starts")).unwrap();
    desk.jira.set_labels(&shop, &["shop"]).unwrap();
    desk.jira.set_flag(&shop, true).unwrap();
    let plain = desk.jira.create_issue(NewIssue::flagged("A bill is wrong")).unwrap();
    desk.until("two cases", || {
        desk.google("No machine starts").is_some() && desk.google("A bill is wrong").is_some()
    })
    .await;
    let at_google = desk.google("No machine starts").unwrap();
    assert!(at_google.name.starts_with("projects/shop-prod/"), "{at_google:?}");
    assert_eq!(at_google.classification_id, CLASSIFICATION_ID);
    assert!(desk.google("A bill is wrong").unwrap().name.starts_with("organizations/123456789012/"));

    // Who hears what.
    let issue = desk.issue("Checkout is down").unwrap().id;
    desk.jira.comment(&issue, "Jane Roe", "We are on it").unwrap();
    desk.jira.internal_comment(&issue, "Jane Roe", "who is on call?").unwrap();
    desk.jira.internal_comment(&issue, "Jane Roe", "#google No order since 9:00").unwrap();
    let texts = || -> Vec<String> {
        desk.csapi.comments(&urgent).unwrap().into_iter().map(|comment| comment.body).collect()
    };
    desk.until("the note", || texts().iter().any(|text| text.ends_with("No order since 9:00"))).await;
    assert!(
        !texts().iter().any(|text| text.contains("We are on it") || text.contains("on call")),
        "{:?}",
        texts()
    );
    assert!(!texts().iter().any(|text| text.contains("#google")), "{:?}", texts());

    // Whose turn it is.
    let shown = || desk.jira.issue(&issue).unwrap();
    desk.until("the state in words", || {
        shown()
            .other_fields
            .values()
            .any(|value| value.as_str().is_some_and(|text| text.starts_with("New at Google")))
    })
    .await;
    desk.csapi.set_state(&urgent, State::InProgressGoogleSupport).unwrap();
    desk.until("Google works on it", || shown().status == "In Progress").await;
    desk.csapi.set_state(&urgent, State::ActionRequired).unwrap();
    desk.until("the desk's turn", || shown().status == "Waiting for customer").await;

    // Titles.
    desk.jira.set_summary(&issue, "Checkout is down in Europe").unwrap();
    desk.until("the title", || desk.google("Checkout is down in Europe").is_some()).await;

    // Links, and the mark of the note.
    let links = || shown().remote_links;
    desk.until("the link", || links().iter().any(|link| link.title.ends_with("Checkout is down in Europe")))
        .await;
    assert!(
        links().len() == 1 && links()[0].url.contains(urgent.rsplit('/').next().unwrap()),
        "{:?}",
        links()
    );
    let marked =
        || shown().comments.into_iter().filter(|one| one.properties.contains_key("casebridge.carried"));
    desk.until("the mark", || marked().count() == 1).await;
    assert!(marked().all(|note| note.body == "#google No order since 9:00"));

    // Escalation.
    desk.jira.internal_comment(&issue, "Jane Roe", "#escalate Nobody can buy anything").unwrap();
    desk.jira.set_text(&issue, &desk.escalate, Some("Business is down")).unwrap();
    let escalations = || desk.csapi.case(&urgent).unwrap().escalations;
    desk.until("the escalation", || !escalations().is_empty()).await;
    assert_eq!(escalations(), [("BUSINESS_IMPACT".to_owned(), "Nobody can buy anything".to_owned())]);
    desk.until("the label", || shown().labels.iter().any(|label| label == "google-escalated")).await;

    // Google's mails.
    desk.jira.show_email("joe", "joe@example.com").unwrap();
    desk.jira.show_email("eve", "eve@elsewhere.example").unwrap();
    desk.jira.watch(&plain, "joe", true).unwrap();
    desk.jira.watch(&plain, "eve", true).unwrap();
    desk.jira.internal_comment(&plain, "Jane Roe", "#google and again").unwrap();
    desk.until("a subscriber", || !desk.google("A bill is wrong").unwrap().subscribers.is_empty()).await;
    assert_eq!(desk.google("A bill is wrong").unwrap().subscribers, ["joe@example.com"]);

    // The end.
    desk.csapi.close(&urgent).unwrap();
    desk.until("the closing", || shown().closed && links()[0].resolved).await;
    assert_eq!(desk.csapi.comments(&old).unwrap(), []);
}
