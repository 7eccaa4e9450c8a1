//! `casebridge push`, and the messages that the sandboxes send once it has set them up: the real binary, without a single poll.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use casebridge::clock::SystemClock;
use casebridge::sandbox::csapi::{Author, CLASSIFICATION_ID, EventSubscription, FailureReason, SandboxCsapi};
use casebridge::sandbox::faults::{Faults, Sending};
use casebridge::sandbox::jira::{NewIssue, SandboxJira, SandboxJiraSettings};
use casebridge::sandbox::pubsub::SandboxPubsub;
use casebridge::sandbox::servicenow::{NewRecord, SandboxServiceNow, SandboxServiceNowSettings};
use casebridge::sandbox::zendesk::{NewTicket, SandboxZendesk, SandboxZendeskSettings};
use casebridge_testkit::harness::serve;
use casebridge_testkit::service::{client, free_port};
use serde_json::json;

const TOPIC: &str = "projects/p/topics/case-events";
const SUBSCRIPTION: &str = "projects/p/subscriptions/case-events";
const SECRET: &str = "a-webhook-secret-of-this-test";

/// Runs a command in a folder with the environment of these tests. Returns the exit status and what it printed.
async fn run(folder: &Path, arguments: &[&str], pubsub: Option<SocketAddr>) -> (i32, String) {
    let output = command(folder, arguments, pubsub).output().await.unwrap();
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), text)
}

fn command(folder: &Path, arguments: &[&str], pubsub: Option<SocketAddr>) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_casebridge"));
    command.args(arguments).current_dir(folder).env_clear().env("WEBHOOK_SECRET", SECRET).kill_on_drop(true);
    if let Some(pubsub) = pubsub {
        command.env("PUBSUB_EMULATOR_HOST", pubsub.to_string());
    }
    command
}

fn configure(folder: &Path, google: SocketAddr, rest: &str) {
    let text = format!(
        "[google]\nparent = \"organizations/123\"\nauth = \"none\"\nclassification_id = \"{CLASSIFICATION_ID}\"\n\
         base_url = \"http://{google}\"\n{rest}"
    );
    std::fs::write(folder.join("casebridge.toml"), text).unwrap();
}

fn jira(address: SocketAddr) -> String {
    format!(
        "[company]\nkind = \"jira\"\nbase_url = \"http://{address}\"\n[company.jira]\nproject = \"SUP\"\n"
    )
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let limit = tokio::time::Instant::now() + Duration::from_mins(8);
    while !holds() {
        assert!(tokio::time::Instant::now() < limit, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn states(csapi: &SandboxCsapi) -> Vec<&'static str> {
    csapi.event_subscriptions().iter().map(EventSubscription::state).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_event_subscription_is_made_once_told_of_and_restored() {
    let csapi = SandboxCsapi::new(Arc::new(SystemClock), "organizations/123");
    let folder = tempfile::tempdir().unwrap();
    let address = serve(csapi.router()).await;
    let push = format!(
        "[push.google]\ntopic = \"{TOPIC}\"\naudience = \"https://a.example\"\nservice_account = \"a@b.example\"\n"
    );
    configure(folder.path(), address, &format!("{push}{}", jira("127.0.0.1:9".parse().unwrap())));
    let push = async |arguments: &[&str]| {
        let arguments: Vec<&str> = ["push"].iter().chain(arguments).copied().collect();
        run(folder.path(), &arguments, None).await
    };
    let (code, text) = push(&["status", "google"]).await;
    assert!(code == 1 && text.contains("casebridge push enable google"), "{text}");
    let (code, text) = push(&["enable", "google", "--dry-run"]).await;
    assert!(code == 0 && text.contains("would create an event subscription"), "{text}");
    assert!(states(&csapi).is_empty(), "a dry run makes nothing");
    for _ in 0..2 {
        let (code, text) = push(&["enable", "google"]).await;
        assert!(code == 0 && text.contains(&format!("publishes to {TOPIC}")), "{text}");
        assert_eq!(states(&csapi), ["WORKING"], "once");
    }
    let id = csapi.event_subscriptions()[0].id.clone();
    for (failure, told) in [
        (FailureReason::PermissionDenied, "add-iam-policy-binding case-events --project=p"),
        (FailureReason::TopicNotFound, "gcloud pubsub topics create case-events --project=p"),
    ] {
        csapi.fail_subscription(&id, Some(failure));
        for arguments in [["push", "status", "google"].as_slice(), &["push", "enable", "google"], &["check"]]
        {
            let (code, text) = run(folder.path(), arguments, None).await;
            assert!(code == 1 && text.contains(told), "{arguments:?}: {text}");
        }
    }
    csapi.fail_subscription(&id, None);
    let (_, text) = run(folder.path(), &["check"], None).await;
    assert!(text.contains("ok      CSAPI: event subscription: "), "{text}");
    assert_eq!(push(&["disable", "google"]).await.0, 0);
    assert_eq!(states(&csapi), ["DELETED"]);
    let (code, text) = push(&["status", "google"]).await;
    assert!(code == 1 && text.contains("restores it"), "{text}");
    assert_eq!(push(&["enable", "google"]).await.0, 0);
    assert_eq!(states(&csapi), ["WORKING"], "restored, and no second one");
    assert_eq!(csapi.event_subscriptions()[0].id, id);
    assert_eq!(push(&["disable", "google", "--expunge"]).await.0, 0);
    assert!(states(&csapi).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_subscription_is_left_alone_unless_it_is_named() {
    let csapi = SandboxCsapi::new(Arc::new(SystemClock), "organizations/123");
    let folder = tempfile::tempdir().unwrap();
    let address = serve(csapi.router()).await;
    configure(
        folder.path(),
        address,
        &format!("[push.google]\ntopic = \"{TOPIC}\"\n{}", jira("127.0.0.1:9".parse().unwrap())),
    );
    let url = format!("http://{address}/v2/organizations/123/supportEventSubscriptions");
    let body = json!({ "pubSubTopic": "projects/p/topics/other" });
    let made = client().post(&url).json(&body).send().await.unwrap();
    let name = made.json::<serde_json::Value>().await.unwrap()["name"].as_str().unwrap().to_owned();
    let arguments = ["push", "enable", "google", "--replace", &name];
    let (code, text) = run(folder.path(), &arguments, None).await;
    assert_eq!(code, 0, "{text}");
    let topics: Vec<String> = csapi.event_subscriptions().into_iter().map(|known| known.topic).collect();
    assert_eq!(topics, [TOPIC]);
    let foreign = "organizations/123/supportEventSubscriptions/x/../../cases";
    csapi.fail_subscription("none", None);
    let (_, _) = run(folder.path(), &["push", "disable", "google", "--expunge"], None).await;
    let (code, text) = run(folder.path(), &["push", "enable", "google", "--replace", foreign], None).await;
    assert!(code == 1 && text.contains("is no name of an event subscription"), "{text}");
}

/// Connector between a sandbox CSAPI with Pub/Sub and a CRM, which runs no poll.
struct Pushed {
    folder: tempfile::TempDir,
    csapi: SandboxCsapi,
    pubsub: SocketAddr,
    port: u16,
    service: Option<tokio::process::Child>,
}

impl Pushed {
    async fn new(company: &str, section: &str) -> Self {
        let clock = Arc::new(SystemClock);
        let csapi = SandboxCsapi::new(clock.clone(), "organizations/123");
        let pubsub = serve(SandboxPubsub::new(clock, None).router()).await;
        csapi.publish_at(format!("http://{pubsub}").parse().unwrap());
        let http = client();
        for (name, body) in [(TOPIC, json!({})), (SUBSCRIPTION, json!({ "topic": TOPIC }))] {
            let made = http.put(format!("http://{pubsub}/v1/{name}")).json(&body).send().await.unwrap();
            assert_eq!(made.status(), 200);
        }
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let google = serve(csapi.router()).await;
        let rest = format!(
            "[server]\nlisten = \"127.0.0.1:{port}\"\n[queue]\ncron = false\n[push.google]\npull = \"{SUBSCRIPTION}\"\n\
             [push.company]\n{section}\naddress = \"http://127.0.0.1:{port}/push/company\"\n{company}"
        );
        configure(folder.path(), google, &rest);
        Self { folder, csapi, pubsub, port, service: None }
    }

    async fn run(&self, arguments: &[&str]) -> (i32, String) {
        run(self.folder.path(), arguments, Some(self.pubsub)).await
    }

    async fn start(&mut self) {
        self.service = Some(command(self.folder.path(), &["serve"], Some(self.pubsub)).spawn().unwrap());
        let http = client();
        let url = format!("http://127.0.0.1:{}/healthz", self.port);
        let limit = tokio::time::Instant::now() + Duration::from_mins(8);
        while http.get(&url).send().await.is_err() {
            assert!(tokio::time::Instant::now() < limit, "the service starts");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn counted(&self, side: &str, outcome: &str) -> u64 {
        let url = format!("http://127.0.0.1:{}/metrics", self.port);
        let text = client().get(url).send().await.unwrap().text().await.unwrap();
        let line = format!("casebridge_push_messages_total{{side=\"{side}\",outcome=\"{outcome}\"}} ");
        text.lines().find_map(|text| text.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
    }

    /// Texts on the only Google case.
    fn google_texts(&self) -> Vec<String> {
        let cases = self.csapi.cases();
        let texts = cases.first().map(|case| self.csapi.comments(&case.name).unwrap()).unwrap_or_default();
        texts.into_iter().map(|comment| comment.body).collect()
    }

    fn has(&self, text: &str) -> usize {
        self.google_texts().iter().filter(|known| known.contains(text)).count()
    }

    /// Says something in the CRM in each manner that its messages may have, and at Google.
    async fn talk(&self, faults: &Faults, says: &dyn Fn(&str), hears: &dyn Fn(&str) -> bool) {
        until("the flagged case arrives", || self.csapi.cases().len() == 1).await;
        says("in time");
        until("it arrives", || self.has("in time") == 1).await;
        faults.set_sending(Sending { twice: true, late_ms: 200, ..Sending::default() });
        says("late and twice");
        until("it arrives", || self.has("late and twice") == 1).await;
        faults.set_sending(Sending { reversed: true, ..Sending::default() });
        says("first of two");
        says("second of two");
        until("both arrive", || self.has("first of two") == 1 && self.has("second of two") == 1).await;
        faults.set_sending(Sending { forged: true, ..Sending::default() });
        let before = self.counted("company", "unproven").await;
        says("forged");
        let limit = tokio::time::Instant::now() + Duration::from_mins(8);
        while self.counted("company", "unproven").await == before {
            assert!(tokio::time::Instant::now() < limit, "the forged message is refused");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        faults.set_sending(Sending::default());
        says("and again");
        until("the next message brings both", || self.has("and again") == 1 && self.has("forged") == 1).await;
        // Google's side, by the subscription that is pulled from.
        let case = self.csapi.cases()[0].name.clone();
        self.csapi.add_comment(&case, Author::google("Ada Lovelace"), "Look at the quota").unwrap();
        until("Google's comment arrives", || hears("Look at the quota")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jira_and_google_tell_of_every_change_once_they_are_set_up() {
    let jira_sandbox = SandboxJira::new(Arc::new(SystemClock), SandboxJiraSettings::default());
    let address = serve(jira_sandbox.router()).await;
    let mut pushed = Pushed::new(&jira(address), "secret = \"env:WEBHOOK_SECRET\"").await;
    let (code, text) = pushed.run(&["push", "enable", "--dry-run"]).await;
    assert!(code == 0 && text.contains("Jira: would create a webhook"), "{text}");
    let (code, text) = pushed.run(&["push", "enable"]).await;
    assert!(code == 0 && text.contains("Jira: webhook: webhook \"casebridge\""), "{text}");
    let (code, text) = pushed.run(&["push", "status"]).await;
    assert!(code == 0 && text.contains("Pub/Sub: ") && !text.contains(SECRET), "{text}");
    let (_, text) = pushed.run(&["push", "enable", "company"]).await;
    assert!(text.contains("Jira: nothing is to be changed"), "{text}");
    pushed.start().await;
    // Not flagged: Jira's own filter leaves it out.
    jira_sandbox.create_issue(NewIssue::new("Nothing of Google's")).unwrap();
    let issue = jira_sandbox.create_issue(NewIssue::flagged("Disk is slow")).unwrap();
    let says = |text: &str| {
        jira_sandbox.comment(&issue, "Jane Roe", text).unwrap();
    };
    let hears = |text: &str| {
        let issue = jira_sandbox.issue(&issue).unwrap();
        issue.comments.iter().any(|comment| comment.body.contains(text))
    };
    pushed.talk(jira_sandbox.faults(), &says, &hears).await;
    assert!(pushed.counted("company", "own").await > 0, "the connector's own comment came back as a message");
    let (code, text) = pushed.run(&["push", "disable", "company"]).await;
    assert!(code == 0 && text.contains("delete the webhook"), "{text}");
    let (code, text) = pushed.run(&["push", "status", "company"]).await;
    assert!(code == 1 && text.contains("nothing is registered"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn zendesk_makes_its_own_secret_which_the_configuration_gets() {
    let zendesk = SandboxZendesk::new(Arc::new(SystemClock), SandboxZendeskSettings::default());
    let address = serve(zendesk.router()).await;
    let company = format!(
        "[company]\nkind = \"zendesk\"\nbase_url = \"http://{address}\"\n[priorities]\nP0 = \"urgent\"\nP1 = \"high\"\nP2 = \"normal\"\n\
         P3 = \"low\"\nP4 = \"low\"\n"
    );
    let mut pushed = Pushed::new(&company, "secret = \"file:webhook-secret\"").await;
    let (code, text) = pushed.run(&["push", "enable"]).await;
    assert!(code == 1 && text.contains("casebridge push secret"), "its secret is not here yet: {text}");
    let (code, secret) = pushed.run(&["push", "secret"]).await;
    assert!(code == 0 && !text.contains(secret.trim()), "{text}");
    std::fs::write(pushed.folder.path().join("webhook-secret"), &secret).unwrap();
    let (code, text) = pushed.run(&["push", "status", "company"]).await;
    assert!(code == 0 && text.contains("trigger \"casebridge\""), "{text}");
    pushed.start().await;
    let ticket = zendesk.create_ticket(NewTicket::flagged("Disk is slow")).unwrap();
    let says = |text: &str| {
        zendesk.comment(&ticket, "Jane Roe", text).unwrap();
    };
    let hears = |text: &str| {
        let ticket = zendesk.ticket(&ticket).unwrap();
        ticket.comments.iter().any(|comment| comment.text.contains(text))
    };
    pushed.talk(zendesk.faults(), &says, &hears).await;
    let (code, text) = pushed.run(&["push", "disable", "company"]).await;
    assert!(
        code == 0 && text.contains("delete the trigger") && text.contains("delete the webhook"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn servicenows_business_rule_tells_of_every_change() {
    let servicenow = SandboxServiceNow::new(Arc::new(SystemClock), SandboxServiceNowSettings::default());
    let address = serve(servicenow.router()).await;
    let company = format!(
        "[company]\nkind = \"servicenow\"\nbase_url = \"http://{address}\"\n[priorities]\nP0 = \"1\"\nP1 = \"2\"\nP2 = \"3\"\n\
         P3 = \"4\"\nP4 = \"5\"\n"
    );
    let mut pushed = Pushed::new(&company, "secret = \"env:WEBHOOK_SECRET\"").await;
    let (code, text) = pushed.run(&["push", "enable", "google"]).await;
    assert_eq!(code, 0, "{text}");
    let rule = json!({ "url": format!("http://127.0.0.1:{}/push/company", pushed.port), "secret": SECRET });
    let url = format!("http://{address}/sandbox/business-rule");
    let set = client().put(url).json(&rule).send().await.unwrap();
    assert_eq!(set.status(), 204);
    pushed.start().await;
    let record = servicenow.create_record(&NewRecord::flagged("Disk is slow")).unwrap();
    let says = |text: &str| {
        servicenow.comment(&record, "Jane Roe", text).unwrap();
    };
    let hears = |text: &str| {
        let record = servicenow.record(&record).unwrap();
        record.journal.iter().any(|entry| entry.text.contains(text))
    };
    pushed.talk(servicenow.faults(), &says, &hears).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_connectors_user_may_not_do_is_told_to_a_person() {
    let mut settings = SandboxJiraSettings::default();
    settings.denied_permissions.insert("ADMINISTER".to_owned());
    let jira_sandbox = SandboxJira::new(Arc::new(SystemClock), settings);
    let address = serve(jira_sandbox.router()).await;
    let own = "http://127.0.0.1:1/push/company";
    let scripted = |kind: &str, section: &str| {
        format!(
            "[company]\nkind = \"{kind}\"\nbase_url = \"http://127.0.0.1:9\"\n{section}[priorities]\nP0 = \"1\"\nP1 = \"2\"\nP2 = \"3\"\n\
             P3 = \"4\"\nP4 = \"5\"\n"
        )
    };
    let rt = "[company.request-tracker]\nqueue = \"General\"\nuser = \"casebridge\"\n";
    let centre = jira(address) + "deployment = \"data-center\"\n";
    for (company, code, told) in [
        (jira(address), 1, "System, WebHooks"),
        (centre, 0, "System, WebHooks"),
        (scripted("servicenow", ""), 0, "casebridge.url     http://127.0.0.1:1/push/company"),
        (scripted("request-tracker", rt), 0, "Set($CasebridgeURL, 'http://127.0.0.1:1/push/company');"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let push = format!("[push.company]\nsecret = \"env:WEBHOOK_SECRET\"\naddress = \"{own}\"\n");
        configure(folder.path(), "127.0.0.1:9".parse().unwrap(), &format!("{push}{company}"));
        let (status, text) = run(folder.path(), &["push", "enable", "company"], None).await;
        assert!(status == code && text.contains(told) && text.contains(own), "{text}");
        assert!(!text.contains(SECRET), "{text}");
    }
}
