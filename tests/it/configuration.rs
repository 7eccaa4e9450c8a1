//! Configuration: the sample file, its document and the code agree, and all mistakes are reported at once, by key.

use std::collections::BTreeSet;
use std::path::Path;

use casebridge::config::{Config, ConfigErrors, LogFormat, Platform, QueueConfig, SecretRef, Trust};
use casebridge::entities::{EscalationReason, GoogleState, Priority};
use chrono::Duration;

const SAMPLE: &str = include_str!("../../casebridge.toml");
const DOCUMENT: &str = include_str!("../../docs/configuration.md");
const CODE: &str = include_str!("../../src/config/mod.rs");
/// CRMs: kind, struct of its section, and source code of that struct.
const CRMS: [(&str, &str, &str); 4] = [
    ("jira", "JiraSettings", include_str!("../../src/crm/jira/settings.rs")),
    ("zendesk", "ZendeskSettings", include_str!("../../src/crm/zendesk/settings.rs")),
    ("servicenow", "ServiceNowSettings", include_str!("../../src/crm/servicenow/settings.rs")),
    ("request-tracker", "RequestTrackerSettings", include_str!("../../src/crm/request_tracker/settings.rs")),
];

/// Minimal configuration: the mandatory keys only.
const LEAST: &str = r#"
[google]
parent = "organizations/123"
classification_id = "100152"
[company]
kind = "jira"
base_url = "https://example.atlassian.net"
[company.jira]
project = "SUP"
"#;

/// Keys that Cloud Tasks needs.
const CLOUD_TASKS: [(&str, &str); 3] =
    [("queue", "kind = \"cloud-tasks\""), ("queue", "project = \"p\""), ("queue", "location = \"l\"")];

fn parse(text: &str) -> Result<Config, ConfigErrors> {
    parse_with(text, &[])
}

fn parse_with(text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse(text, environment)
}

/// Parses a configuration and formats it, for comparison.
fn shown(text: &str) -> String {
    format!("{:#?}", parse(text).unwrap())
}

/// Adds lines to [`LEAST`], each under its section.
fn with(lines: &[(&str, &str)]) -> String {
    with_crm("jira", lines)
}

/// Adds lines to [`LEAST`] for another kind of CRM.
fn with_crm(kind: &str, lines: &[(&str, &str)]) -> String {
    let least = match kind {
        "request-tracker" => LEAST
            .replace("project = \"SUP\"", "queue = \"Q\"\nuser = \"u\"\n[priorities]\nP0 = \"9\"\nP1 = \"7\"\nP2 = \"5\"\nP3 = \"3\"\nP4 = \"1\""),
        "zendesk" => LEAST.replace("project = \"SUP\"", ""),
        "servicenow" => LEAST.replace("project = \"SUP\"", "[priorities]\nP0 = \"1\"\nP1 = \"2\"\nP2 = \"3\"\nP3 = \"4\"\nP4 = \"5\""),
        _ => LEAST.to_owned(),
    };
    let least =
        least.replace("\"jira\"", &format!("\"{kind}\"")).replace("company.jira", &format!("company.{kind}"));
    let mut table: toml::Table = least.parse().unwrap();
    for (section, line) in lines {
        let mut at = &mut table;
        for part in section.split('.') {
            let entry = at.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            at = entry.as_table_mut().unwrap();
        }
        at.extend(line.parse::<toml::Table>().unwrap());
    }
    table.to_string()
}

/// Key of the sample.
#[derive(Debug)]
struct SampleKey {
    section: String,
    name: String,
    line: String,
    /// True if the line is commented out with `#`.
    optional: bool,
    /// True if the value is the default, false if it is an example.
    default: bool,
    /// True if the key applies only if Cloud Tasks is the queue.
    cloud_tasks: bool,
}

impl SampleKey {
    /// Returns the kind of CRM that the key applies to.
    fn crm(&self) -> &str {
        self.section.strip_prefix("company.").unwrap_or("jira")
    }

    fn full(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }
}

fn sample_keys() -> Vec<SampleKey> {
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in SAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            name.clone_into(&mut section);
            continue;
        }
        let optional = line.starts_with('#');
        let line = line.strip_prefix('#').unwrap_or(line);
        let Some((name, _)) = line.split_once(" = ").filter(|(name, _)| !name.contains(' ')) else {
            continue;
        };
        keys.push(SampleKey {
            section: section.clone(),
            name: name.to_owned(),
            line: line.to_owned(),
            optional,
            default: optional && !line.contains("no default)"),
            cloud_tasks: line.contains("(cloud-tasks"),
        });
    }
    keys
}

/// Returns other keys that a key depends on.
fn needed_beside(key: &SampleKey) -> Vec<(&str, &str)> {
    let section = key.section.as_str();
    match key.name.as_str() {
        "email" | "api_token" => {
            vec![(section, "email = \"a@b.example\""), (section, "api_token = \"env:OTHER\"")]
        }
        "client_id" | "client_secret" => {
            vec![(section, "client_id = \"other\""), (section, "client_secret = \"env:OTHER\"")]
        }
        "audience" | "people" if section == "server.iap" => vec![
            (section, "audience = \"/projects/1/apps/a\""),
            (section, "people = [\"other@example.com\"]"),
            ("server", "admin_token = \"env:TOKEN\""),
        ],
        "audience" | "service_account" => {
            vec![
                (section, "audience = \"https://a.example\""),
                (section, "service_account = \"a@b.example\""),
            ]
        }
        "escalate_justification_field" => vec![(section, "escalate_field = \"Other\"")],
        "previous_secret" => vec![(section, "secret = \"env:OTHER\"")],
        "poll_every" => vec![("push.company", "secret = \"env:OTHER\"")],
        "NEW" if section == "status.incompatible" => vec![("status.google", "NEW = \"Waiting\"")],
        "IN_PROGRESS_GOOGLE_SUPPORT" if section == "status.incompatible" => {
            vec![("status.google", "IN_PROGRESS_GOOGLE_SUPPORT = \"Waiting\"")]
        }
        "ACTION_REQUIRED" if section == "status.incompatible" => {
            vec![("status.google", "ACTION_REQUIRED = \"Waiting\"")]
        }
        "SOLUTION_PROVIDED" if section == "status.incompatible" => {
            vec![("status.google", "SOLUTION_PROVIDED = \"Waiting\"")]
        }
        "password" => vec![("company.servicenow", "user = \"casebridge\"")],
        "personal_access_token" => vec![("company.jira", "deployment = \"data-center\"")],
        _ if key.cloud_tasks => CLOUD_TASKS.to_vec(),
        _ => Vec::new(),
    }
}

/// Returns every key that the code reads, extracted from the source.
fn keys_in_code() -> BTreeSet<String> {
    let sections = ["server", "google", "company", "push", "status", "sync", "store", "queue"];
    let literals = CODE.split('"').filter(|text| {
        text.split_once('.').is_some_and(|(section, key)| {
            sections.contains(&section)
                && !key.is_empty()
                && key.bytes().all(|byte| byte.is_ascii_lowercase() || b"_.".contains(&byte))
        })
    });
    let mut keys: BTreeSet<String> = literals.map(str::to_owned).collect();
    for (kind, name, code) in CRMS {
        let settings = code.split(&format!("pub struct {name} {{")).nth(1).unwrap();
        let settings = settings.split("\n}").next().unwrap();
        let fields = settings.lines().filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'));
        keys.extend(fields.map(|(field, _)| format!("company.{kind}.{field}")));
    }
    for priority in Priority::ALL {
        keys.insert(format!("priorities.{priority}"));
        keys.insert(format!("outages.tolerance.{priority}"));
    }
    for state in GoogleState::OPEN {
        keys.insert(format!("status.google.{}", state.name()));
        keys.insert(format!("status.incompatible.{}", state.name()));
    }
    for reason in EscalationReason::ALL {
        keys.insert(format!("google.escalate_words.{}", reason.name()));
    }
    keys
}

#[test]
fn the_sample_can_be_used_as_it_is() {
    let config = parse(SAMPLE).unwrap();
    assert_eq!(config.google.csapi.parent, "organizations/123");
    assert_eq!(config.server.platform, Platform::Local);
}

#[test]
fn the_sample_holds_every_key_and_no_other() {
    let sample: BTreeSet<String> = sample_keys().iter().map(SampleKey::full).collect();
    assert_eq!(sample, keys_in_code());
}

#[test]
fn a_default_in_the_sample_changes_nothing_when_its_mark_is_taken_away() {
    let mut checked = 0;
    for key in sample_keys().iter().filter(|key| key.default) {
        let mut lines = if key.cloud_tasks { CLOUD_TASKS.to_vec() } else { Vec::new() };
        let without = shown(&with_crm(key.crm(), &lines));
        lines.push((&key.section, &key.line));
        assert_eq!(shown(&with_crm(key.crm(), &lines)), without, "{}", key.full());
        checked += 1;
    }
    assert!(checked > 45, "only {checked} defaults were found");
}

#[test]
fn an_example_in_the_sample_is_understood() {
    for key in sample_keys().iter().filter(|key| key.optional && !key.default) {
        let mut lines = needed_beside(key);
        let without = shown(&with_crm(key.crm(), &lines));
        lines.push((&key.section, &key.line));
        let outcome = parse(&with_crm(key.crm(), &lines));
        assert!(outcome.is_ok(), "{}: {:?}", key.full(), outcome.err());
        assert_ne!(shown(&with_crm(key.crm(), &lines)), without, "{} changes nothing", key.full());
    }
}

#[test]
fn the_document_tells_of_every_key_and_of_no_other() {
    let sample: BTreeSet<String> = sample_keys().iter().map(SampleKey::full).collect();
    let rows = DOCUMENT.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let told: BTreeSet<String> =
        rows.map(|(key, _)| key.to_owned()).filter(|key| key.contains('.')).collect();
    assert_eq!(told, sample);
}

/// Pages of the CRMs, by kind.
const PAGES: [(&str, &str); 4] = [
    ("jira", include_str!("../../docs/crm-jira.md")),
    ("zendesk", include_str!("../../docs/crm-zendesk.md")),
    ("servicenow", include_str!("../../docs/crm-servicenow.md")),
    ("request-tracker", include_str!("../../docs/crm-request-tracker.md")),
];

#[test]
fn every_crm_has_a_page_whose_configuration_can_be_used_as_it_is() {
    assert_eq!(PAGES.map(|(kind, _)| kind), casebridge::crm::CrmSettings::KINDS);
    for (kind, page) in PAGES {
        let blocks = page.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap());
        let mut whole = toml::Table::new();
        for block in blocks {
            // Optional lines of the page are commented out.
            let block = block.replace("# new_fields", "new_fields");
            // A further block continues the same configuration.
            whole.extend(block.parse::<toml::Table>().unwrap());
            let config = parse(&whole.to_string());
            assert!(config.is_ok(), "{kind}: {:?}\n{whole}", config.err());
            assert!(config.unwrap().company.crm.secret_key().is_some(), "{kind}: credentials");
        }
        assert!(!whole.is_empty(), "{kind}");
    }
}

#[test]
fn every_key_that_a_crms_page_names_exists() {
    let keys = keys_in_code();
    let sections = ["server", "google", "company", "sync", "store", "queue", "outages"];
    for (kind, page) in PAGES {
        let prose: String = page.split("```").step_by(2).collect();
        let mut named = 0;
        for quoted in prose.split('`').skip(1).step_by(2) {
            let (key, value) =
                quoted.split_once(" = ").map_or((quoted, None), |(key, value)| (key, Some(value)));
            let dotted = key.split_once('.').is_some_and(|(section, rest)| {
                sections.contains(&section)
                    && rest.bytes().all(|byte| b"_.-".contains(&byte) || byte.is_ascii_lowercase())
            });
            let own = format!("company.{kind}.{key}");
            // A bare name that gets a value is a key of the CRM's own section; without a value, it may be a name in the CRM.
            if dotted {
                assert!(keys.contains(key), "docs/crm-{kind}.md names {key}");
            } else if value.is_some() && key.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()) {
                assert!(keys.contains(&own), "docs/crm-{kind}.md gives a value to {key}");
            } else if !keys.contains(&own) {
                continue;
            }
            named += 1;
        }
        assert!(named >= 5, "docs/crm-{kind}.md names {named} keys");
    }
}

#[test]
fn what_has_to_be_given_is_named() {
    let errors = parse("").unwrap_err().0;
    for key in ["google.parent", "company.kind", "company.base_url"] {
        assert!(
            errors.iter().any(|error| error.starts_with(&format!("{key} is missing: "))),
            "{key}: {errors:?}"
        );
    }
    let errors = parse("[company]\nkind = \"jira\"").unwrap_err().0;
    assert!(errors.iter().any(|error| error.starts_with("company.jira.project is missing")), "{errors:?}");
    // The settings for new Google cases are mandatory only if cases are created at Google.
    let without = LEAST.replace("classification_id", "#");
    let errors = parse(&without).unwrap_err().0;
    assert!(
        errors.len() == 1 && errors[0].starts_with("google.classification_id is missing: "),
        "{errors:?}"
    );
    assert!(parse(&format!("{without}[sync]\ncreation = false\n")).is_ok());
}

#[test]
fn a_bad_value_is_named_by_its_key_with_what_was_expected() {
    for (section, line, error) in [
        ("server", "platform = \"gae\"", "server.platform: expected \"local\" or \"app-engine\""),
        ("server", "listen = \"8080\"", "server.listen: expected an address and port like 127.0.0.1:8080"),
        ("server", "listen = 8080", "server.listen: expected a text in quotes"),
        ("google", "parent = \"\"", "google.parent: expected a text that is not empty"),
        ("google", "auth = \"yes\"", "google.auth: expected \"default\" or \"none\""),
        (
            "google",
            "requests_per_minute = 0",
            "google.requests_per_minute: expected a whole number greater than 0",
        ),
        (
            "google",
            "requests_per_minute = -1",
            "google.requests_per_minute: expected a whole number greater than 0",
        ),
        (
            "google",
            "requests_per_minute = 1.5",
            "google.requests_per_minute: expected a whole number greater than 0",
        ),
        ("google", "subscribers = [1]", "google.subscribers: expected a list of texts"),
        ("google", "test_cases = 1", "google.test_cases: expected true or false"),
        ("google", "feed = \"yes\"", "google.feed: expected true or false"),
        ("google", "polling_window = \"0s\"", "google.polling_window: expected a duration like"),
        ("google", "timeout = \"soon\"", "google.timeout: expected a duration like"),
        ("google", "polling_window = 30", "google.polling_window: expected a duration like"),
        ("company", "polling_window = \"5\"", "company.polling_window: expected a duration like"),
        ("company", "polling_window = \"11years\"", "company.polling_window: expected a duration like"),
        ("company", "kind = \"siebel\"", "company.kind: expected"),
        ("company.jira", "project = \"S-1\"", "company.jira.project is missing or is no project key"),
        ("company.jira", "issue_type = \"\"", "company.jira.issue_type must not be empty"),
        (
            "company.jira",
            "email = \"a@b.example\"",
            "company.jira.email and company.jira.api_token belong together",
        ),
        ("company.jira", "deployment = \"server\"", "company.jira: unknown variant `server`"),
        ("priorities", "P1 = \"\"", "priorities.P1: expected a text that is not empty"),
        ("sync", "comments = \"maybe\"", "sync.comments: expected true or false"),
        (
            "sync",
            "comment_visibility = \"secret\"",
            "sync.comment_visibility: expected \"internal\" or \"public\"",
        ),
        ("sync", "edits = \"copy\"", "sync.edits: expected \"off\" or \"note\""),
        ("sync", "max_case_age = \"-1d\"", "sync.max_case_age: expected a duration like"),
        ("outages.tolerance.P2", "stale = \"long\"", "outages.tolerance.P2.stale: expected a duration like"),
        ("queue", "kind = \"pubsub\"", "queue.kind: expected \"embedded\" or \"cloud-tasks\""),
        ("queue", "kind = \"cloud-tasks\"", "queue.project is missing"),
        ("queue", "kind = \"cloud-tasks\"", "queue.location is missing"),
        ("queue", "cron = 1", "queue.cron: expected true or false"),
    ] {
        let errors = parse(&with(&[(section, line)])).unwrap_err().0;
        assert!(errors.iter().any(|found| found.starts_with(error)), "{section}: {line}: {errors:?}");
    }
}

#[test]
fn a_mistake_is_told_with_its_key_and_its_variable() {
    let text =
        with(&[("company.jira", "deployment = \"server\"\nissue_type = 3\nuse_gateway = \"perhaps\"")]);
    let errors = parse_with(&text, &[("CASEBRIDGE_SYNC__LEASE", "long")]).unwrap_err();
    for (key, variable) in [
        ("company.jira.deployment", "CASEBRIDGE_COMPANY__JIRA__DEPLOYMENT"),
        ("company.jira.issue_type", "CASEBRIDGE_COMPANY__JIRA__ISSUE_TYPE"),
        ("company.jira.use_gateway", "CASEBRIDGE_COMPANY__JIRA__USE_GATEWAY"),
        ("sync.lease", "CASEBRIDGE_SYNC__LEASE"),
    ] {
        assert!(
            errors.0.iter().any(|error| error.contains(key) && error.contains(variable)),
            "{key}: {errors}"
        );
    }
    assert_eq!(errors.0.len(), 4, "all at once: {errors}");
}

#[test]
fn log_format_listen_address_and_trust_follow_the_platform_unless_they_are_given() {
    for (lines, log_format, trust) in [
        ("log_status = false", LogFormat::Text, Trust::Loopback),
        ("platform = \"app-engine\"", LogFormat::Json, Trust::AppEngineHeaders),
        ("log_format = \"json\"\ntrust = \"token\"", LogFormat::Json, Trust::Token),
        (
            "platform = \"app-engine\"\nlog_format = \"text\"\ntrust = \"token\"",
            LogFormat::Text,
            Trust::Token,
        ),
    ] {
        let server = parse(&with(&[("server", lines)])).unwrap().server;
        assert_eq!((server.log_format, server.trust), (log_format, trust), "{lines}");
        assert_eq!(server.log_status, log_format == LogFormat::Json, "{lines}");
    }
    for (lines, expected) in
        [("", false), ("log_status = true", true), ("log_format = \"json\"\nlog_status = false", false)]
    {
        assert_eq!(parse(&with(&[("server", lines)])).unwrap().server.log_status, expected, "{lines}");
    }
    let errors = parse(&with(&[("server", "log_status = \"each minute\"")])).unwrap_err();
    assert!(errors.0[0].starts_with("server.log_status"), "{errors}");
}

#[test]
fn an_end_of_credentials_that_is_no_date_is_an_error() {
    for (section, key) in [("company.jira", "company.jira.token_expires"), ("google", "google.key_expires")] {
        let name = key.rsplit('.').next().unwrap();
        for value in ["\"soon\"", "\"\"", "\"31.12.2027\""] {
            let errors = parse(&with(&[(section, &format!("{name} = {value}"))])).unwrap_err();
            assert!(errors.0[0].starts_with(&format!("{key}: expected a date like")), "{errors}");
        }
        assert!(parse(&with(&[(section, &format!("{name} = 2027-03-01"))])).is_ok(), "a date without quotes");
    }
}

#[test]
fn a_key_that_nobody_knows_stops_the_start() {
    for (section, line, error) in [
        ("server", "colour = 1", "server.colour: there is no such key"),
        ("google", "parents = \"organizations/1\"", "google.parents: there is no such key"),
        ("companies", "x = 1", "companies.x: there is no such key"),
        (
            "company.jira",
            "projekt = \"X\"",
            "company.jira.projekt: there is no such key; did you mean company.jira.project?",
        ),
        ("priorities", "P5 = \"Nothing\"", "priorities.P5: there is no such key"),
        ("outages.tolerance.P0", "old = \"1m\"", "outages.tolerance.P0.old: there is no such key"),
        ("queue", "project = \"p\"", "queue.project: there is no such key"),
    ] {
        let errors = parse(&with(&[(section, line)])).unwrap_err().0;
        assert!(
            errors.len() == 1 && errors[0].starts_with(error),
            "{section}: {line}: {errors:?}, expected {error}"
        );
    }
}

#[test]
fn polls_are_seldom_only_between_messages_and_within_windows_and_tolerances() {
    let secret = ("push.company", "secret = \"env:X\"");
    let every = |text: &'static str| ("push", text);
    let config = parse(&with(&[secret, every("poll_every = \"5m\"")])).unwrap();
    assert_eq!(config.tasks.poll_every.company, Some(Duration::minutes(5)));
    assert_eq!(config.tasks.poll_every.google, None, "Google sends nothing");
    assert_eq!((config.tasks.announced.google, config.tasks.announced.company), (false, true));
    for (lines, told) in [
        (vec![every("poll_every = \"5m\"")], vec!["push.poll_every needs messages"]),
        (vec![secret, every("poll_every = \"90s\"")], vec!["push.poll_every: expected whole minutes"]),
        (
            vec![secret, every("poll_every = \"6m\"")],
            vec!["company.polling_window to \"6m\" at least", "outages.tolerance to \"12m\" at least"],
        ),
        (
            vec![secret, every("poll_every = \"10m\""), ("company", "polling_window = \"10m\"")],
            vec!["outages.tolerance to \"20m\" at least"],
        ),
        (vec![secret, every("poll_every = \"often\"")], vec!["push.poll_every: expected a duration"]),
    ] {
        let errors = parse(&with(&lines)).unwrap_err().0;
        assert_eq!(errors.len(), told.len(), "{errors:?}");
        for (error, told) in errors.iter().zip(told) {
            assert!(error.contains(told), "{told}: {error}");
        }
    }
}

#[test]
fn googles_messages_are_either_pushed_or_pulled() {
    let subscription = "pull = \"projects/p/subscriptions/case-events\"";
    for (other, key) in [
        ("audience = \"https://a.example\"", "push.google.audience"),
        ("service_account = \"a@b.example\"", "push.google.service_account"),
    ] {
        let errors = parse(&with(&[("push.google", subscription), ("push.google", other)])).unwrap_err().0;
        let told = format!("{key} and push.google.pull exclude each other");
        assert!(errors.len() == 1 && errors[0].starts_with(&told), "{errors:?}");
    }
    for name in ["case-events", "projects/p/topics/case-events", "projects/p/subscriptions/"] {
        let errors = parse(&with(&[("push.google", &format!("pull = \"{name}\""))])).unwrap_err().0;
        assert!(
            errors.len() == 1 && errors[0].starts_with("push.google.pull: expected the name"),
            "{errors:?}"
        );
    }
}

#[test]
fn a_misspelt_key_of_the_file_is_told_with_the_right_one() {
    for (section, line, meant) in [
        ("google", "parnet = \"organizations/1\"", "google.parent"),
        ("googel", "time_zone = \"+00:00\"", "google.time_zone"),
        ("sync", "max_case_agee = \"1d\"", "sync.max_case_age"),
        ("company.jira", "porject = \"X\"", "company.jira.project"),
        ("company.jira", "new_field = {}", "company.jira.new_fields"),
        ("push.company", "secrets = \"env:X\"", "push.company.secret"),
    ] {
        let errors = parse(&with(&[(section, line)])).unwrap_err().0;
        let told = format!("did you mean {meant}?");
        assert!(errors.iter().any(|error| error.contains(&told)), "{section}: {line}: {errors:?}");
    }
    // Nothing is near.
    let errors = parse(&with(&[("queue", "colour = 1")])).unwrap_err();
    assert!(!errors.to_string().contains("did you mean"), "{errors}");
}

#[test]
fn a_variable_below_a_value_that_is_no_table_is_an_error() {
    for (variable, key) in [
        ("CASEBRIDGE_COMPANY__JIRA__PROJECT__KEY", "company.jira.project"),
        ("CASEBRIDGE_COMPANY__JIRA__API_TOKEN__VALUE", "company.jira.api_token"),
        ("CASEBRIDGE_GOOGLE__PARENT__NAME", "CASEBRIDGE_GOOGLE__PARENT"),
    ] {
        let given = "email = \"a@b.example\"\napi_token = \"env:X\"";
        let errors = parse_with(&with(&[("company.jira", given)]), &[(variable, "X")]).unwrap_err().0;
        assert!(errors.len() == 1 && errors[0].starts_with(variable), "{variable}: {errors:?}");
        assert!(errors[0].contains(key), "{variable}: {errors:?}");
    }
}

/// Returns the errors of a configuration of [`LEAST`] for another kind, with other sections than those of `with_crm`.
fn errors_of(kind: &str, base_url: &str, rest: &str) -> Vec<String> {
    let text = format!(
        "[google]\nparent = \"organizations/123\"\nclassification_id = \"1\"\n[company]\nkind = \"{kind}\"\nbase_url = \"{base_url}\"\n{rest}"
    );
    parse(&text).map_or_else(|errors| errors.0, |_| Vec::new())
}

#[test]
fn a_misspelt_crm_is_told_with_the_right_one_first() {
    for (kind, meant) in [
        ("jria", "jira"),
        ("Zendesk", "zendesk"),
        ("service-now", "servicenow"),
        ("request_tracker", "request-tracker"),
    ] {
        let errors = errors_of(kind, "https://crm.example.com", "");
        let expected = format!(
            "company.kind: expected jira, zendesk, servicenow or request-tracker; did you mean {meant}?"
        );
        assert!(errors.len() == 1 && errors[0].starts_with(&expected), "{errors:?}");
    }
    let errors = errors_of("siebel", "https://crm.example.com", "");
    assert!(errors.len() == 1 && !errors[0].contains("did you mean"), "{errors:?}");
}

#[test]
fn a_key_that_no_crm_has_is_told_with_the_right_one_before_all_others() {
    for (kind, key, meant) in [
        ("zendesk", "flagfield", "flag_field"),
        ("servicenow", "google_name_feild", "google_name_field"),
        ("request-tracker", "ueue", "queue"),
    ] {
        let section = format!("company.{kind}");
        let errors = parse(&with_crm(kind, &[(&section, &format!("{key} = \"x\""))])).unwrap_err().0;
        let expected = format!("{section}.{key}: there is no such key; did you mean {section}.{meant}?");
        assert!(errors.len() == 1 && errors[0].starts_with(&expected), "{errors:?}");
        assert!(!errors[0].contains("expected one of"), "{errors:?}");
    }
    // Nothing is near: all keys are listed.
    let errors = parse(&with_crm("zendesk", &[("company.zendesk", "colour = 1")])).unwrap_err().0;
    assert!(
        errors.len() == 1
            && errors[0].starts_with("company.zendesk.colour: there is no such key; the section has ")
            && errors[0].contains("flag_field"),
        "{errors:?}"
    );
}

#[test]
fn a_priority_that_is_a_number_is_told_once_with_its_quotes() {
    for kind in ["request-tracker", "servicenow", "zendesk", "jira"] {
        let errors = parse(&with_crm(kind, &[("priorities", "P0 = 1")])).unwrap_err().0;
        assert!(
            errors.len() == 1 && errors[0].starts_with("priorities.P0: expected a text in quotes: \"1\""),
            "{kind}: {errors:?}"
        );
    }
    // A number may have been meant to be a secret.
    let errors = parse(&with(&[("server", "admin_token = 4711")])).unwrap_err();
    assert!(!errors.to_string().contains("4711"), "{errors}");
}

#[test]
fn priorities_that_are_missing_are_not_told_as_if_they_were_written() {
    let of = |kind: &str, section: &str| {
        errors_of(kind, "https://crm.example.com", &format!("[company.{kind}]\n{section}"))
    };
    for (kind, section) in [("request-tracker", "queue = \"Q\"\nuser = \"u\""), ("servicenow", "")] {
        let errors = of(kind, section);
        assert!(
            errors.len() == 1
                && errors[0].starts_with("[priorities] is missing, or ")
                && errors[0].contains("P0")
                && !errors[0].contains("Highest"),
            "{kind}: {errors:?}"
        );
    }
    assert_eq!(of("jira", "project = \"SUP\""), Vec::<String>::new(), "the default words are Jira's");
    // One level alone is named by its key.
    let four =
        "queue = \"Q\"\nuser = \"u\"\n[priorities]\nP0 = \"100\"\nP1 = \"75\"\nP2 = \"50\"\nP3 = \"25\"";
    let errors = of("request-tracker", four);
    assert!(errors.len() == 1 && errors[0].starts_with("priorities.P4 is missing, or "), "{errors:?}");
}

#[test]
fn every_key_that_a_crm_lacks_is_told_at_once() {
    let of = |kind: &str, section: &str| {
        let priorities = "[priorities]\nP0 = \"1\"\nP1 = \"2\"\nP2 = \"3\"\nP3 = \"4\"\nP4 = \"5\"";
        errors_of(kind, "https://crm.example.com", &format!("[company.{kind}]\n{section}\n{priorities}"))
    };
    let errors = of("request-tracker", "");
    assert_eq!(errors.len(), 3, "{errors:?}");
    for key in ["queue", "user", "token"] {
        let expected = format!("company.request-tracker.{key} is missing");
        assert!(errors.iter().any(|error| error.starts_with(&expected)), "{key}: {errors:?}");
    }
    for (kind, section, keys) in [
        (
            "jira",
            "",
            [
                "company.jira.project is missing",
                "company.jira has no credentials: give company.jira.client_secret or ",
            ],
        ),
        (
            "servicenow",
            "table = \"x\"",
            ["company.servicenow.closed_states is missing", "company.servicenow has no credentials: give "],
        ),
    ] {
        let errors = of(kind, section);
        for key in keys {
            assert!(errors.iter().any(|error| error.contains(key)), "{key}: {errors:?}");
        }
    }
    // A sandbox needs none, nor does a proxy that adds them.
    let errors = errors_of("jira", "http://127.0.0.1:8082", "[company.jira]\nproject = \"\"");
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(
        errors_of("jira", "https://proxy.example.com", "[company.jira]\nproject = \"SUP\""),
        Vec::<String>::new()
    );
}

#[test]
fn an_address_of_the_api_is_refused_with_the_part_to_remove() {
    for (kind, section, path, part) in [
        ("request-tracker", "queue = \"Q\"\nuser = \"u\"", "/rt/REST/2.0", "/REST/2.0"),
        ("request-tracker", "queue = \"Q\"\nuser = \"u\"", "/REST/2.0/", "/REST/2.0"),
        ("jira", "project = \"SUP\"", "/rest/api/3", "/rest/api/3"),
        ("jira", "project = \"SUP\"", "/jira/rest/api/2/", "/rest/api/2"),
        ("zendesk", "", "/api/v2", "/api/v2"),
        ("servicenow", "", "/api/now", "/api/now"),
        ("servicenow", "", "/api/now/table/incident", "/api/now/table/incident"),
    ] {
        let words = if kind == "zendesk" {
            ["urgent", "high", "normal", "low", "low"]
        } else {
            ["1", "2", "3", "4", "5"]
        };
        let words: String =
            words.iter().enumerate().map(|(level, word)| format!("P{level} = \"{word}\"\n")).collect();
        let rest = format!("[company.{kind}]\n{section}\n[priorities]\n{words}");
        let address = format!("https://crm.example.com{path}");
        let errors = errors_of(kind, &address, &rest);
        let expected = format!("company.base_url is {address}: remove {part}");
        assert!(errors.len() == 1 && errors[0].starts_with(&expected), "{expected}: {errors:?}");
        let without = address.trim_end_matches('/').strip_suffix(part).unwrap();
        assert_eq!(errors_of(kind, without, &rest), Vec::<String>::new(), "{without}");
    }
}

#[test]
fn a_table_that_is_misspelt_is_one_mistake() {
    for (table, expected) in [
        ("Incident", "company.servicenow.table is \"Incident\": did you mean \"incident\"?"),
        ("incidents", "company.servicenow.table is \"incidents\": did you mean \"incident\"?"),
        (
            "sn_customer_service_case",
            "company.servicenow.table is \"sn_customer_service_case\": did you mean \"sn_customerservice_case\"?",
        ),
        ("Change Request", "company.servicenow.table is \"Change Request\""),
    ] {
        let errors =
            parse(&with_crm("servicenow", &[("company.servicenow", &format!("table = \"{table}\""))]))
                .unwrap_err()
                .0;
        assert!(errors.len() == 1 && errors[0].starts_with(expected), "{errors:?}");
    }
}

#[test]
fn a_label_in_place_of_a_state_is_told_with_its_key_and_looked_up_by_the_check() {
    for (line, key) in [
        ("close_state = \"Resolved\"", "close_state is \"Resolved\", and must be one of"),
        ("closed_states = [\"Resolved\", \"Closed\"]", "close_state is \"6\", and must be one of"),
        ("cancelled_states = [\"Canceled\"]", "cancelled_states: \"Canceled\" is not one of"),
    ] {
        let errors = parse(&with_crm("servicenow", &[("company.servicenow", line)])).unwrap_err().0;
        assert!(
            errors.len() == 1
                && errors[0].starts_with(&format!("company.servicenow.{key}"))
                && errors[0].contains("by value, not by label; `casebridge check` names the values"),
            "{line}: {errors:?}"
        );
    }
}

#[test]
fn a_label_in_place_of_a_column_is_told_with_its_key_and_the_columns_name() {
    for (line, key, column) in [
        (
            "flag_field = \"Synchronize with Google Cloud Support\"",
            "flag_field",
            "u_synchronize_with_google_cloud_support",
        ),
        (
            "flag_field = \"synchronizeWithGoogleCloudSupport\"",
            "flag_field",
            "u_synchronize_with_google_cloud_support",
        ),
        ("google_name_field = \"Google case name\"", "google_name_field", "u_google_case_name"),
        ("new_fields = { Caller = \"x\" }", "new_fields", "caller_id"),
        ("new_fields = { \"Assignment group\" = \"x\" }", "new_fields", "assignment_group"),
        ("new_fields = { \"Configuration item\" = \"x\" }", "new_fields", "cmdb_ci"),
        ("close_fields = { \"Resolution notes\" = \"x\" }", "close_fields", "close_notes"),
    ] {
        let errors = parse(&with_crm("servicenow", &[("company.servicenow", line)])).unwrap_err().0;
        assert!(
            errors.len() == 1
                && errors[0].starts_with(&format!("company.servicenow.{key}"))
                && errors[0].contains(&format!("\"{column}\"")),
            "{line}: {errors:?}"
        );
        let other = if key == "new_fields" { "close_fields" } else { "new_fields" };
        assert!(!errors[0].contains(other), "{errors:?}");
    }
}

#[test]
fn a_secret_that_is_given_itself_is_told_by_its_key_and_never_shown() {
    for (kind, lines, key) in [
        ("jira", "email = \"a@b.example\"\napi_token = \"s3cret\"", "company.jira.api_token"),
        ("jira", "client_id = \"x\"\nclient_secret = \"s3cret\"", "company.jira.client_secret"),
        ("zendesk", "client_id = \"x\"\nclient_secret = \"s3cret\"", "company.zendesk.client_secret"),
        ("servicenow", "user = \"x\"\npassword = \"s3cret\"", "company.servicenow.password"),
        ("request-tracker", "token = \"s3cret\"", "company.request-tracker.token"),
        ("zendesk", "client_id = \"x\"\nclient_secret = 4711", "company.zendesk.client_secret"),
    ] {
        let section = format!("company.{kind}");
        let errors = parse(&with_crm(kind, &[(&section, lines)])).unwrap_err().to_string();
        assert!(errors.contains(&format!("{key}: expected")), "{key}: {errors}");
        assert!(!errors.contains("s3cret") && !errors.contains("4711"), "{errors}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = with(&[
        ("server", "platform = \"moon\""),
        ("google", "polling_window = \"soon\""),
        ("company", "base_url = \"nowhere\""),
        ("company.jira", "project = \"\""),
        ("sync", "status = 3"),
        ("outages.tolerance.P4", "fresh = \"\""),
        ("queue", "kind = \"paper\""),
        ("quue", "kind = \"embedded\""),
    ]);
    let errors = parse(&text).unwrap_err();
    for key in [
        "server.platform",
        "google.polling_window",
        "company.base_url",
        "company.jira.project",
        "sync.status",
        "outages.tolerance.P4.fresh",
        "queue.kind",
        "quue.kind",
    ] {
        assert_eq!(errors.0.iter().filter(|error| error.starts_with(key)).count(), 1, "{key}: {errors}");
    }
    assert_eq!(errors.0.len(), 8, "{errors}");
    assert_eq!(errors.to_string().lines().count(), 9, "a heading, and a line for each");
}

#[test]
fn the_environment_has_the_last_word() {
    let environment = [
        ("CASEBRIDGE_GOOGLE__PARENT", "projects/other"),
        ("CASEBRIDGE_GOOGLE__REQUESTS_PER_MINUTE", "60"),
        ("CASEBRIDGE_GOOGLE__SUBSCRIBERS", "a@example.com, b@example.com"),
        ("CASEBRIDGE_COMPANY__BASE_URL", "http://127.0.0.1:8082"),
        ("CASEBRIDGE_COMPANY__JIRA__PROJECT", "OPS"),
        ("CASEBRIDGE_COMPANY__JIRA__SERVICE_MANAGEMENT", "false"),
        ("CASEBRIDGE_PRIORITIES__P0", "Blocker"),
        ("CASEBRIDGE_SYNC__ATTACHMENTS", "false"),
        ("CASEBRIDGE_OUTAGES__TOLERANCE__P3__STALE", "8h"),
        ("CASEBRIDGE_STORE__URL", "sqlite:/data/x.db"),
        // These are not keys: one has no section, and the others belong to other programs.
        ("CASEBRIDGE_CONFIG", "other.toml"),
        ("CASEBRIDGE_ADMIN_TOKEN", "s3cret"),
        ("GOOGLE__PARENT", "nonsense"),
    ];
    let config = parse_with(LEAST, &environment).unwrap();
    assert_eq!(config.google.csapi.parent, "projects/other");
    assert_eq!(config.google.requests_per_minute.get(), 60);
    assert_eq!(config.google.csapi.subscribers, ["a@example.com", "b@example.com"]);
    assert_eq!(config.company.base_url.as_str(), "http://127.0.0.1:8082/");
    assert_eq!(jira(&config).project, "OPS");
    assert_eq!(jira(&config).service_management, Some(false));
    assert_eq!(config.company.priorities.word(Priority::P0), "Blocker");
    assert!(!config.tasks.rules.switches.attachments && config.tasks.rules.switches.comments);
    assert_eq!(config.tasks.tolerances.0[3].stale, Duration::hours(8));
    let QueueConfig::Embedded { path, cron, .. } = config.queue else { panic!("embedded is the default") };
    assert_eq!((path.as_path(), cron), (Path::new("/data/x.db"), true), "one folder holds everything");
}

#[test]
fn a_mistake_in_the_environment_is_named_by_its_variable() {
    for (name, value) in [
        ("CASEBRIDGE_GOOGLE__AUTH", "perhaps"),
        ("CASEBRIDGE_GOOGLE__COLOUR", "blue"),
        ("CASEBRIDGE_SYNC__LEASE", "long"),
        ("CASEBRIDGE_COMPANY__REQUESTS_PER_MINUTE", "many"),
    ] {
        let errors = parse_with(LEAST, &[(name, value)]).unwrap_err().0;
        assert!(errors.len() == 1 && errors[0].starts_with(&format!("{name}: ")), "{name}: {errors:?}");
    }
}

#[test]
fn a_configuration_may_come_from_the_environment_alone() {
    let environment = [
        ("CASEBRIDGE_GOOGLE__PARENT", "organizations/1"),
        ("CASEBRIDGE_GOOGLE__CLASSIFICATION_ID", "100152"),
        ("CASEBRIDGE_COMPANY__KIND", "jira"),
        ("CASEBRIDGE_COMPANY__BASE_URL", "https://example.atlassian.net"),
        ("CASEBRIDGE_COMPANY__JIRA__PROJECT", "SUP"),
    ];
    assert!(parse_with("", &environment).is_ok());
}

#[test]
fn a_secret_is_told_by_where_it_is_kept() {
    for (text, expected) in [
        ("env:TOKEN", SecretRef::Environment("TOKEN".to_owned())),
        ("file:/run/secrets/token", SecretRef::File("/run/secrets/token".into())),
        (
            "secret://projects/p/secrets/s/versions/latest",
            SecretRef::SecretManager("projects/p/secrets/s/versions/latest".to_owned()),
        ),
    ] {
        let config = parse(&with(&[("server", &format!("admin_token = \"{text}\""))])).unwrap();
        assert_eq!(config.server.admin_token, Some(expected));
    }
}

#[test]
fn a_secret_in_clear_is_refused_and_not_repeated() {
    const SECRET: &str = "Tr0ub4dor-and-3";
    for value in [SECRET.to_owned(), format!("secret://{SECRET}"), format!("plain:{SECRET}")] {
        let errors = parse(&with(&[("server", &format!("admin_token = \"{value}\""))])).unwrap_err();
        assert!(
            errors.0[0].starts_with("server.admin_token: expected env:NAME, file:PATH or secret://"),
            "{errors}"
        );
        assert!(!errors.to_string().contains(SECRET), "{errors}");
        let errors = parse_with(LEAST, &[("CASEBRIDGE_SERVER__ADMIN_TOKEN", &value)]).unwrap_err();
        assert!(errors.0[0].starts_with("CASEBRIDGE_SERVER__ADMIN_TOKEN: "), "{errors}");
        assert!(!errors.to_string().contains(SECRET), "{errors}");
    }
}

#[test]
fn what_is_not_toml_is_told_with_the_name_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("desk.toml");
    std::fs::write(&path, "[server\n").unwrap();
    let errors = Config::load(Some(&path), std::iter::empty()).unwrap_err().to_string();
    let told = format!("{}: line 1 is not valid TOML", path.display());
    assert!(errors.contains(&told), "{errors}");
}

#[test]
fn what_is_not_toml_is_told_by_its_line_alone() {
    const SECRET: &str = "Tr0ub4dor-and-3";
    for text in [
        format!("[server]\nadmin_token = {SECRET}\n"),
        format!("[server]\nadmin_token = \"{SECRET}\n"),
        format!("[server]\nadmin_token \"{SECRET}\"\n"),
        format!("[server]\nplatform = \"local\" {SECRET}\n"),
    ] {
        let errors = parse(&text).unwrap_err();
        assert_eq!(errors.0.len(), 1);
        assert!(errors.0[0].starts_with("line 2 is not valid TOML"), "{errors}");
        assert!(!errors.to_string().contains(SECRET), "{errors}");
    }
}

#[test]
fn credentials_never_cross_a_network_in_clear() {
    for (url, accepted) in [
        ("https://example.atlassian.net", true),
        ("https://jira.example.com:8443/jira", true),
        ("http://127.0.0.1:8082", true),
        ("http://127.8.9.1:8082", true),
        ("http://localhost:8082", true),
        ("http://[::1]:8082", true),
        ("http://jira.example.com", false),
        ("http://10.0.0.5", false),
        ("http://localhost.example.com", false),
        ("http://127.0.0.1.example.com", false),
        ("https://user:hunter2@jira.example.com", false),
        ("https://user@jira.example.com", false),
        ("https://jira.example.com/?x=1", false),
        ("ftp://jira.example.com", false),
        ("jira.example.com", false),
        ("file:///etc/passwd", false),
    ] {
        let cloud_tasks = "kind = \"cloud-tasks\"\nproject = \"p\"\nlocation = \"l\"";
        for (section, more) in [("google", ""), ("company", ""), ("queue", cloud_tasks)] {
            let outcome = parse(&with(&[(section, &format!("{more}\nbase_url = \"{url}\""))]));
            assert_eq!(outcome.is_ok(), accepted, "{section}: {url}: {:?}", outcome.err());
            if let Err(errors) = outcome {
                assert!(errors.0[0].starts_with(&format!("{section}.base_url: expected ")), "{errors}");
                assert!(!errors.to_string().contains("hunter2"), "{errors}");
            }
        }
    }
}

#[test]
fn statuses_for_googles_states_are_read_and_their_mistakes_told() {
    let text = "[status.google]\nACTION_REQUIRED = \" Waiting for us \"\n[status.incompatible]\nACTION_REQUIRED = [\"Open\"]";
    let config = parse(&format!("{LEAST}\n{text}")).unwrap();
    let table = &config.tasks.rules.statuses;
    let rules: Vec<_> = table.rules().collect();
    assert_eq!(rules.len(), 1);
    assert_eq!((rules[0].0, rules[0].1.status.as_str()), (GoogleState::ActionRequired, "Waiting for us"));
    assert_eq!(rules[0].1.incompatible, ["Open"]);
    let by_variable = [("CASEBRIDGE_STATUS__GOOGLE__ACTION_REQUIRED", "Waiting for us")];
    let config = parse_with(LEAST, &by_variable).unwrap();
    assert_eq!(config.tasks.rules.statuses.rules().count(), 1);
    assert!(
        parse(LEAST).unwrap().tasks.rules.statuses.is_empty(),
        "nothing is shown unless it is configured"
    );
    let closed = "which means that the case is closed";
    for (kind, lines, parts) in [
        (
            "jira",
            "[status.google]\nACTION_REQUIRD = \"Open\"",
            ["did you mean status.google.ACTION_REQUIRED?", ""],
        ),
        ("jira", "[status.google]\nNEW = 3", ["status.google.NEW: expected a text in quotes: \"3\"", ""]),
        ("jira", "[status.google]\nCLOSED = \"Done\"", ["status.google.CLOSED: there is no such key", ""]),
        (
            "jira",
            "[status.incompatible]\nNEW = [\"Open\"]",
            ["status.incompatible.NEW does nothing", "status.google.NEW"],
        ),
        (
            "jira",
            "[status.google]\nNEW = \"A\"\n[status.incompatible]\nNEW = [\" \"]",
            ["status.incompatible.NEW: a status must not be empty", ""],
        ),
        (
            "zendesk",
            "[status.google]\nSOLUTION_PROVIDED = \"Solved\"",
            ["SOLUTION_PROVIDED is \"Solved\"", closed],
        ),
        ("servicenow", "[status.google]\nSOLUTION_PROVIDED = \"6\"", ["SOLUTION_PROVIDED is \"6\"", closed]),
        (
            "request-tracker",
            "[status.google]\nSOLUTION_PROVIDED = \"Resolved\"",
            ["SOLUTION_PROVIDED is \"Resolved\"", closed],
        ),
    ] {
        let errors = parse(&format!("{}\n{lines}", with_crm(kind, &[]))).unwrap_err().0;
        assert_eq!(errors.len(), 1, "{lines}: {errors:?}");
        assert!(parts.iter().all(|part| errors[0].contains(part)), "{lines}: {errors:?}");
    }
    for kind in ["jira", "zendesk", "servicenow", "request-tracker"] {
        let section = format!("company.{kind}");
        let errors = parse(&with_crm(kind, &[(&section, "google_state_field = \" \"")])).unwrap_err().0;
        assert!(errors[0].contains(&format!("{section}.google_state_field")), "{errors:?}");
    }
}

#[test]
fn a_task_ends_before_another_may_take_its_case_over() {
    for (deadline, lease, accepted) in
        [("4m", "5m", true), ("299s", "5m", true), ("5m", "5m", false), ("10m", "5m", false)]
    {
        let lines = format!("deadline = \"{deadline}\"\nlease = \"{lease}\"");
        let outcome = parse(&with(&[("sync", &lines)]));
        assert_eq!(outcome.is_ok(), accepted, "{lines}");
        if let Err(errors) = outcome {
            assert!(errors.0[0].starts_with("sync.deadline must be shorter than sync.lease"), "{errors}");
        }
    }
    assert!(parse(&with(&[("sync", "deadline = \"6m\"")])).is_err(), "against the default lease");
}

#[test]
fn one_tolerance_changes_and_the_others_stay_as_documented() {
    let minutes = |text: &str| -> Vec<[i64; 3]> {
        let rows = parse(text).unwrap().tasks.tolerances.0;
        rows.map(|row| [row.fresh, row.default, row.stale].map(|time| time.num_minutes())).to_vec()
    };
    let documented = vec![[10, 10, 15], [10, 15, 60], [10, 20, 120], [10, 20, 240], [10, 30, 240]];
    assert_eq!(minutes(LEAST), documented);
    for (section, line, row, expected) in [
        ("outages.tolerance", "P0 = { fresh = \"5m\", default = \"6m\", stale = \"7m\" }", 0, [5, 6, 7]),
        ("outages.tolerance", "P1 = { default = \"1h\" }", 1, [10, 60, 60]),
        ("outages.tolerance.P4", "stale = \"1d\"", 4, [10, 30, 1440]),
    ] {
        let mut rows = documented.clone();
        rows[row] = expected;
        assert_eq!(minutes(&with(&[(section, line)])), rows, "{line}");
    }
}

#[test]
fn a_secret_in_an_empty_file_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    for content in ["", "  \n"] {
        let file = folder.path().join("token");
        std::fs::write(&file, content).unwrap();
        let error = SecretRef::File(file.clone()).read_local().unwrap_err().to_string();
        assert!(error.contains(&file.display().to_string()) && error.contains("it is empty"), "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let errors = Config::load(Some(Path::new("/nowhere/casebridge.toml")), std::iter::empty()).unwrap_err();
    assert!(errors.0[0].starts_with("/nowhere/casebridge.toml cannot be read: "), "{errors}");
}

fn jira(config: &Config) -> &casebridge::crm::jira::JiraSettings {
    let kind: &dyn std::any::Any = &*config.company.crm;
    kind.downcast_ref().unwrap()
}

#[test]
fn the_crms_section_takes_texts_lists_and_numbers_from_the_environment() {
    let config = parse_with(
        LEAST,
        &[
            ("CASEBRIDGE_COMPANY__JIRA__FLAG_VALUE", "true"),
            ("CASEBRIDGE_COMPANY__JIRA__CLOSE_TRANSITION", "31"),
            ("CASEBRIDGE_COMPANY__JIRA__DOWNLOAD_HOSTS", "a.example,b.example"),
            ("CASEBRIDGE_COMPANY__JIRA__SERVICE_MANAGEMENT", "true"),
        ],
    )
    .unwrap();
    let jira = jira(&config);
    assert_eq!(jira.flag_value, "true");
    assert_eq!(jira.close_transition.as_deref(), Some("31"));
    assert_eq!(jira.download_hosts, ["a.example", "b.example"]);
    assert_eq!(jira.service_management, Some(true));
}

#[test]
fn a_secret_of_the_crm_in_clear_text_is_refused_and_not_quoted() {
    for value in ["\"s3cret-in-clear\"", "1234567"] {
        let text = format!("{LEAST}email = \"a@b.example\"\napi_token = {value}\n");
        let errors = parse(&text).unwrap_err().to_string();
        assert!(errors.contains("company.jira"), "{errors}");
        assert!(!errors.contains("s3cret") && !errors.contains("1234567"), "{errors}");
    }
}

/// Returns the variable that sets a key.
fn variable(key: &str) -> String {
    format!("CASEBRIDGE_{}", key.replace('.', "__").replace('-', "_").to_uppercase())
}

/// Returns a value of the file as the text of a variable.
fn as_text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(values) => values.iter().map(as_text).collect::<Vec<_>>().join(","),
        toml::Value::Table(table) => serde_json::to_string(table).unwrap(),
        other => other.to_string(),
    }
}

#[test]
fn every_key_can_be_set_by_its_variable() {
    let mut set = 0;
    for key in sample_keys() {
        let lines = needed_beside(&key);
        let mut in_file = lines.clone();
        in_file.push((&key.section, &key.line));
        let line: toml::Table = key.line.parse().unwrap();
        let (name, value) = (variable(&key.full()), as_text(&line[&key.name]));
        let by_variable = parse_with(&with_crm(key.crm(), &lines), &[(&name, &value)]);
        let by_variable = by_variable.unwrap_or_else(|errors| panic!("{name}={value}: {errors}"));
        assert_eq!(format!("{by_variable:#?}"), shown(&with_crm(key.crm(), &in_file)), "{name}={value}");
        set += 1;
    }
    assert!(set > 120, "{set}");
}

/// A value of any length is repeated in part only, so that the error can be read, and so can the log that it is written to.
#[test]
fn an_error_about_a_long_value_is_short() {
    let long = "x".repeat(100_000);
    let words = "word ".repeat(20_000);
    let mut wrong = 0;
    for key in sample_keys() {
        let lines = needed_beside(&key);
        for value in
            [long.clone(), words.clone(), format!("https://{long}"), format!("[{long}"), format!("-{long}=1")]
        {
            let line = format!("{} = \"{value}\"", key.name);
            let mut in_file = lines.clone();
            in_file.push((&key.section, &line));
            let from_file = parse(&with_crm(key.crm(), &in_file));
            let from_variable = parse_with(&with_crm(key.crm(), &lines), &[(&variable(&key.full()), &value)]);
            for errors in [from_file, from_variable].into_iter().filter_map(Result::err) {
                wrong += 1;
                for error in errors.0 {
                    assert!(error.len() < 2_000, "{}: {} bytes: {error:.300}", key.full(), error.len());
                }
            }
        }
    }
    assert!(wrong > 500, "{wrong}");
}

/// Kind of CRM, section, line of the file, and the variables that say the same.
type TableCase<'a> = (&'a str, &'a str, &'a str, Vec<(String, String)>);

#[test]
fn a_table_is_given_as_json_or_entry_by_entry() {
    let impact = "impact_and_urgency = { 1 = { impact = 1, urgency = 2 }, 2 = { impact = 1, urgency = 1 }, 3 = { impact = 2, urgency = 2 }, 4 = { impact = 3, urgency = 2 }, 5 = { impact = 3, urgency = 3 } }";
    let row = |priority: u8, name: &str, value: &str| {
        (format!("CASEBRIDGE_COMPANY__SERVICENOW__IMPACT_AND_URGENCY__{priority}{name}"), value.to_owned())
    };
    let whole = r#"{"1": {"impact": 1, "urgency": 2}, "2": {"impact": 1, "urgency": 1}, "3": {"impact": 2, "urgency": 2}, "4": {"impact": 3, "urgency": 2}, "5": {"impact": 3, "urgency": 3}}"#;
    let one = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let cases: Vec<TableCase<'_>> = vec![
        (
            "servicenow",
            "company.servicenow",
            impact,
            one("CASEBRIDGE_COMPANY__SERVICENOW__IMPACT_AND_URGENCY", whole),
        ),
        (
            "servicenow",
            "company.servicenow",
            impact,
            vec![
                row(1, "__IMPACT", "1"),
                row(1, "__URGENCY", "2"),
                row(2, "", r#"{"impact": 1, "urgency": 1}"#),
                row(3, "", r#"{"impact": 2, "urgency": 2}"#),
                row(4, "", r#"{"impact": 3, "urgency": 2}"#),
                row(5, "", r#"{"impact": 3, "urgency": 3}"#),
            ],
        ),
        (
            "jira",
            "company.jira",
            "new_fields = { customfield_7 = { value = \"x\" } }\nclose_fields = { customfield_8 = 3 }",
            vec![
                (
                    "CASEBRIDGE_COMPANY__JIRA__NEW_FIELDS".to_owned(),
                    r#"{"customfield_7": {"value": "x"}}"#.to_owned(),
                ),
                ("CASEBRIDGE_COMPANY__JIRA__CLOSE_FIELDS__CUSTOMFIELD_8".to_owned(), "3".to_owned()),
            ],
        ),
        (
            "servicenow",
            "company.servicenow",
            "new_fields = { caller_id = \"7\" }",
            one("CASEBRIDGE_COMPANY__SERVICENOW__NEW_FIELDS__CALLER_ID", "7"),
        ),
        (
            "zendesk",
            "company.zendesk",
            "solve_fields = { 360 = true, 361 = \"7\", 362 = \"by Google\" }",
            vec![
                ("CASEBRIDGE_COMPANY__ZENDESK__SOLVE_FIELDS__360".to_owned(), "true".to_owned()),
                ("CASEBRIDGE_COMPANY__ZENDESK__SOLVE_FIELDS__361".to_owned(), "\"7\"".to_owned()),
                ("CASEBRIDGE_COMPANY__ZENDESK__SOLVE_FIELDS__362".to_owned(), "by Google".to_owned()),
            ],
        ),
        (
            "jira",
            "outages.tolerance",
            "P0 = { fresh = \"5m\", stale = \"1h\" }",
            one("CASEBRIDGE_OUTAGES__TOLERANCE__P0", r#"{"fresh": "5m", "stale": "1h"}"#),
        ),
    ];
    for (crm, section, line, variables) in cases {
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let config = parse_with(&with_crm(crm, &[]), &variables);
        let config = config.unwrap_or_else(|errors| panic!("{variables:?}: {errors}"));
        assert_eq!(format!("{config:#?}"), shown(&with_crm(crm, &[(section, line)])), "{variables:?}");
    }
    let file = with_crm("zendesk", &[("company.zendesk", "solve_fields = { 1 = \"a\", 2 = \"b\" }")]);
    for (name, value, expected) in [
        ("CASEBRIDGE_COMPANY__ZENDESK__SOLVE_FIELDS__2", "c", "solve_fields = { 1 = \"a\", 2 = \"c\" }"),
        ("CASEBRIDGE_COMPANY__ZENDESK__SOLVE_FIELDS", r#"{"2": "c"}"#, "solve_fields = { 2 = \"c\" }"),
    ] {
        let config = parse_with(&file, &[(name, value)]).unwrap();
        let expected = shown(&with_crm("zendesk", &[("company.zendesk", expected)]));
        assert_eq!(format!("{config:#?}"), expected, "an entry is added, a table is replaced");
    }
}

#[test]
fn a_misspelt_variable_is_an_error_that_names_the_right_one() {
    for (name, right) in [
        ("CASEBRIDGE_GOOGLE_PARENT", "CASEBRIDGE_GOOGLE__PARENT"),
        ("CASEBRIDGE_GOOGEL__PARENT", "CASEBRIDGE_GOOGLE__PARENT"),
        ("CASEBRIDGE_GOOGLE__PARNET", "CASEBRIDGE_GOOGLE__PARENT"),
        ("CASEBRIDGE_STORE_URL", "CASEBRIDGE_STORE__URL"),
        ("CASEBRIDGE_COMPANY_JIRA__PROJECT", "CASEBRIDGE_COMPANY__JIRA__PROJECT"),
        ("CASEBRIDGE_COMPANY__JIRA_PROJECT", "CASEBRIDGE_COMPANY__JIRA__PROJECT"),
        ("CASEBRIDGE_COMPANY__JIRA__PROJEKT", "CASEBRIDGE_COMPANY__JIRA__PROJECT"),
        ("CASEBRIDGE_COMPANY__JIRA__CLOSETRANSITION", "CASEBRIDGE_COMPANY__JIRA__CLOSE_TRANSITION"),
        ("CASEBRIDGE_OUTAGES__TOLERANCE_P3__STALE", "CASEBRIDGE_OUTAGES__TOLERANCE__P3__STALE"),
        ("CASEBRIDGE_PRIORITIES_P0", "CASEBRIDGE_PRIORITIES__P0"),
    ] {
        let errors = parse_with(LEAST, &[(name, "organizations/1")]).unwrap_err().0;
        let expected = format!("{name}: there is no such key; did you mean {right}?");
        assert!(errors.len() == 1 && errors[0].starts_with(&expected), "{errors:?}, expected {expected}");
    }
    // These are names of their own: of other programs, and of a secret.
    let secret = with(&[("server", "admin_token = \"env:CASEBRIDGE_SERVER_ADMIN_TOKEN\"")]);
    for name in
        ["CASEBRIDGE_CONFIG", "CASEBRIDGE_SEED", "CASEBRIDGE_ADMIN_TOKEN", "CASEBRIDGE_SERVER_ADMIN_TOKEN"]
    {
        assert!(parse_with(&secret, &[(name, "x")]).is_ok(), "{name}");
    }
}

/// Returns the routes of a configuration with these lines behind a minimal one, for a kind of CRM.
fn with_routes(kind: &str, routes: &str) -> Result<Config, ConfigErrors> {
    parse(&format!("{}\n{routes}", with_crm(kind, &[])))
}

#[test]
fn routes_are_read_in_order_from_the_file_and_from_the_environment() {
    use casebridge::sync::{Destination, Route, RouteTable};

    let file = r#"
[[route]]
match = { test_case = true }
mirror = false

[[route]]
match = { project = "shop-*", priority = ["P0", "P1"], classification = "*Compute*", title = ["*disk*"] }
set = { project = "SHOP", issue_type = "Bug", labels = ["gcp"], request_type = 25, fields = { "Impact" = { value = "High" } } }

[[route]]
mirror = true
"#;
    let config = with_routes("jira", file).unwrap();
    let routes: Vec<&Route> = config.tasks.routes.google_routes().iter().map(|(_, route)| route).collect();
    assert_eq!(routes.len(), 3);
    assert_eq!(routes[0].destination, Destination::LeaveOut);
    assert_eq!(routes[0].conditions.test_case, Some(true));
    let Destination::Mirror(placement) = &routes[1].destination else { panic!("{routes:?}") };
    assert_eq!(placement.keys(), ["project", "issue_type", "labels", "request_type", "fields"]);
    assert_eq!(placement.request_type.as_deref(), Some("25"));
    assert_eq!(placement.fields["Impact"], serde_json::json!({ "value": "High" }));
    assert!(routes[2].conditions.is_empty());
    assert_eq!(parse(LEAST).unwrap().tasks.routes, RouteTable::default());

    let json = r#"[
        { "match": { "test_case": true }, "mirror": false },
        { "match": { "project": "shop-*", "priority": ["P0", "P1"], "classification": "*Compute*", "title": "*disk*" },
          "set": { "project": "SHOP", "issue_type": "Bug", "labels": ["gcp"], "request_type": 25,
                   "fields": { "Impact": { "value": "High" } } } },
        { "mirror": true }
    ]"#;
    let by_variable = parse_with(LEAST, &[("CASEBRIDGE_ROUTE", json)]).unwrap();
    assert_eq!(by_variable.tasks.routes, config.tasks.routes);
    // The variable takes the place of the file's.
    let replaced = parse_with(&format!("{LEAST}\n{file}"), &[("CASEBRIDGE_ROUTE", "[]")]).unwrap();
    assert_eq!(replaced.tasks.routes, RouteTable::default());
}

#[test]
fn every_mistake_in_a_route_is_told_with_its_place_and_what_there_is() {
    for (kind, lines, expected) in [
        ("jira", "mirror = false\nset = {}", "route 1 has mirror = false and set"),
        ("jira", "match = { title = \"x\" }", "route 1 does nothing"),
        (
            "jira",
            "mirorr = false",
            "route 1: there is no key mirorr; did you mean mirror?; there are match, mirror, set",
        ),
        (
            "jira",
            "match = { proiect = \"x\" }\nmirror = false",
            "route 1, match: there is no key proiect; did you mean project?",
        ),
        (
            "jira",
            "match = { project = [\"shop-*\", \"projects/shop-prod\"] }\nmirror = false",
            "route 1, match.project: \"projects/shop-prod\" matches no case: give the project's ID alone, \"shop-prod\"",
        ),
        (
            "jira",
            "match = { priority = \"P7\" }\nmirror = false",
            "route 1, match.priority: expected some of P0",
        ),
        (
            "jira",
            "match = { title = 7 }\nmirror = false",
            "route 1, match.title: expected a text or a list of texts",
        ),
        ("jira", "match = { title = [] }\nmirror = false", "route 1, match.title is empty"),
        ("jira", "set = { project = \"S P\" }", "route 1, set.project is no project key"),
        ("jira", "set = { labels = [\"two words\"] }", "route 1, set.labels: \"two words\" holds a space"),
        (
            "jira",
            "set = { fields = { summary = \"x\" } }",
            "route 1, set.fields.summary is set by the connector itself",
        ),
        (
            "jira",
            "set = { group = \"x\" }",
            "route 1, set.group: Jira has nothing of that kind; it has project, issue_type",
        ),
        (
            "zendesk",
            "set = { project = \"x\" }",
            "route 1, set.project: Zendesk has nothing of that kind; it has issue_type, labels",
        ),
        ("zendesk", "set = { group = \"Cloud\" }", "route 1, set.group: expected an ID"),
        ("zendesk", "set = { issue_type = \"bug\" }", "expected one of problem, incident, question, task"),
        (
            "servicenow",
            "set = { labels = [\"x\"] }",
            "ServiceNow has nothing of that kind; it has assignee, group, fields",
        ),
        ("servicenow", "set = { group = \"Cloud\" }", "route 1, set.group: expected a sys_id"),
        ("servicenow", "set = { fields = { Category = \"x\" } }", "is no name of a column"),
        (
            "request-tracker",
            "set = { group = \"x\" }",
            "Request Tracker has nothing of that kind; it has project, assignee, fields",
        ),
        ("jira", "mirror = true\n[[route]]\nmirror = false", "route 1 matches every case"),
    ] {
        let errors = with_routes(kind, &format!("[[route]]\n{lines}")).unwrap_err().0;
        assert_eq!(errors.len(), 1, "{lines}: {errors:?}");
        assert!(errors[0].contains(expected), "{lines}: {errors:?}");
    }
    let errors = with_routes("jira", "[route]\nmirror = false").unwrap_err().0;
    assert_eq!(errors, ["[route] is a list: write [[route]] (CASEBRIDGE_ROUTE)"]);
    let errors = parse_with(LEAST, &[("CASEBRIDGE_ROUTE", "mirror = false")]).unwrap_err().0;
    assert!(errors[0].contains("CASEBRIDGE_ROUTE: expected tables, each under [[route]]"), "{errors:?}");
    let errors = parse_with(LEAST, &[("CASEBRIDGE_ROUTES", "[]")]).unwrap_err().0;
    assert!(errors[0].contains("did you mean CASEBRIDGE_ROUTE?"), "{errors:?}");
}

#[test]
fn routes_of_both_directions_are_read_and_keep_their_numbers() {
    let file = r#"
[[route]]
match = { label = ["gcp-*", "shop"], field = { "Team" = "Payments" } }
google = { parent = "projects/shop-prod", classification = "Compute Engine", language_code = "de", subscribers = [] }

[[route]]
match = { title = "*internal*" }
mirror = false

[[route]]
google = { test_case = true, time_zone = "Europe/Berlin", classification = 100152 }
"#;
    let config = with_routes("jira", file).unwrap();
    let (google, company) = (config.tasks.routes.google_routes(), config.tasks.routes.company_routes());
    let numbers = |routes: &[(usize, _)]| routes.iter().map(|(number, _)| *number).collect::<Vec<_>>();
    assert_eq!(google.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2]);
    assert_eq!(numbers(company), [1, 3]);
    let (first, last) = (&company[0].1, &company[1].1);
    assert_eq!((first.conditions.label.len(), first.conditions.fields["Team"].len()), (2, 1));
    assert_eq!(
        first.placement.describe(),
        "parent projects/shop-prod, classification Compute Engine, language_code de, 0 subscribers"
    );
    assert!(last.conditions.is_empty());
    assert_eq!(last.placement.describe(), "classification 100152, time_zone Europe/Berlin, test_case true");
    // A project below the organisation is polled with it. One beside a project is polled besides.
    assert!(config.google.csapi.other_parents.is_empty());
    let project = with_crm("jira", &[]).replace("organizations/123", "projects/shop");
    let config = parse(&format!("{project}\n{file}")).unwrap();
    assert_eq!(config.google.csapi.other_parents, ["projects/shop-prod"]);
}

#[test]
fn every_mistake_in_a_route_to_google_is_told() {
    let google = "google = { language_code = \"de\" }";
    for (kind, lines, expected) in [
        (
            "jira",
            format!("{google}\nmirror = false"),
            "route 1 has google, which is for company cases, and mirror",
        ),
        ("jira", format!("{google}\nset = {{}}"), "route 1 has google, which is for company cases, and set"),
        (
            "jira",
            format!("match = {{ title = \"x\", priority = \"P0\" }}\n{google}"),
            "route 1, match: priority and title are for Google cases; a route with google is for company cases, and matches project, ",
        ),
        (
            "jira",
            "match = { label = \"x\" }\nmirror = false".to_owned(),
            "route 1, match: label is for company cases, which need google; a route for Google cases, with mirror or set, matches project, ",
        ),
        ("jira", "google = {}".to_owned(), "route 1, google is empty: give some of parent, classification"),
        ("jira", "google = { parnet = \"x\" }".to_owned(), "there is no key parnet; did you mean parent?"),
        (
            "jira",
            "google = { language_code = \"German\" }".to_owned(),
            "google.language_code: expected the code of a language, such as \"de\" or \"pt-BR\": \"German\"",
        ),
        (
            "jira",
            "google = { parent = \"shop\" }".to_owned(),
            "google.parent: expected projects/ID or organizations/NUMBER",
        ),
        (
            "jira",
            "google = { parent = \"organizations/7\" }".to_owned(),
            "route 1, google.parent is organizations/7, and google.parent is organizations/123",
        ),
        (
            "jira",
            "google = { subscribers = [\"jane\"] }".to_owned(),
            "google.subscribers: \"jane\" is no email address",
        ),
        ("jira", format!("match = {{ label = [] }}\n{google}"), "route 1, match.label is empty"),
        (
            "jira",
            format!("match = {{ field = {{ Team = 7 }} }}\n{google}"),
            "route 1, match.field: expected a text",
        ),
        (
            "servicenow",
            format!("match = {{ label = \"x\" }}\n{google}"),
            "route 1, match.label: ServiceNow has nothing of that kind; it has project, issue_type, component, field",
        ),
        (
            "servicenow",
            format!("match = {{ field = {{ \"Short name\" = \"x\" }} }}\n{google}"),
            "route 1, match.field: \"Short name\" is no name of a column",
        ),
        (
            "request-tracker",
            format!("match = {{ issue_type = \"x\" }}\n{google}"),
            "route 1, match.issue_type: Request Tracker has nothing of that kind; it has project, field",
        ),
        (
            "zendesk",
            format!("match = {{ field = {{ Team = \"x\" }} }}\n{google}"),
            "route 1, match.field: \"Team\" is no field's ID",
        ),
        ("jira", format!("{google}\n[[route]]\n{google}"), "route 1 matches every case"),
    ] {
        let errors = with_routes(kind, &format!("[[route]]\n{lines}")).unwrap_err().0;
        assert_eq!(errors.len(), 1, "{lines}: {errors:?}");
        assert!(errors[0].contains(expected), "{lines}: {errors:?}");
    }
    // The directions do not hide each other.
    assert!(with_routes("jira", &format!("[[route]]\nmirror = false\n[[route]]\n{google}")).is_ok());
}

#[test]
fn a_field_or_a_label_escalates_with_words_for_googles_reasons() {
    use casebridge::sync::EscalationSignal;

    assert_eq!(parse(&with(&[])).unwrap().tasks.rules.escalation, None);
    let good = "escalate_field = \"Escalate\"\nescalate_justification_field = \"Why\"\n\
                escalate_words.BUSINESS_IMPACT = [\"Down\"]";
    let rule = parse(&with(&[("google", good)])).unwrap().tasks.rules.escalation.unwrap();
    assert_eq!(rule.signal, EscalationSignal::Field("Escalate".to_owned()));
    assert_eq!((rule.prefix.as_str(), rule.justification_field.as_deref()), ("#escalate", Some("Why")));
    assert_eq!(rule.reason("down"), Some(EscalationReason::BusinessImpact));
    let label = "escalate_field = \"label:gcp\"\nescalate_words.RESOLUTION_TIME = [\"gcp\"]";
    assert!(parse(&with(&[("google", label)])).is_ok());
    for kind in ["servicenow", "request-tracker"] {
        let errors = parse(&with_crm(kind, &[("google", label)])).unwrap_err().0;
        assert!(errors.len() == 1 && errors[0].contains("google.escalate_field: label: "), "{errors:?}");
    }
    for (lines, expected) in [
        ("escalate_field = \"label:gcp\"", "has no reason for the label \"gcp\""),
        ("escalate_field = \"label:\"", "expected the name of a field, or \"label:NAME\""),
        ("escalate_justification_field = \"Why\"", "does nothing without google.escalate_field"),
        ("escalate_words.BUSINESS_IMPACT = [\"x\"]", "google.escalate_words does nothing without"),
        ("escalate_field = \"E\"\nescalate_words.BUSINESS_IMPACT = [\" \"]", "a word must not be empty"),
        (
            "escalate_field = \"E\"\nescalate_words.BUSINESS_IMPACT = [\"x\"]\nescalate_words.RESOLUTION_TIME = [\"x\"]",
            "\"x\" stands for another reason as well",
        ),
        ("escalate_field = \"E\"\nescalate_words.URGENT = [\"x\"]", "google.escalate_words.URGENT"),
    ] {
        let errors = parse(&with(&[("google", lines)])).unwrap_err().0;
        assert_eq!(errors.len(), 1, "{lines}: {errors:?}");
        assert!(errors[0].contains(expected), "{lines}: {errors:?}");
    }
}

#[test]
fn what_is_shown_of_a_google_case_is_off_unless_configured_and_only_where_the_crm_has_a_place_for_it() {
    use casebridge::cases::LinkDetail;
    use casebridge::sync::ShownRule;

    let rule =
        |kind: &str, lines: &[(&str, &str)]| parse(&with_crm(kind, lines)).map(|c| c.tasks.rules.shown);
    for kind in ["jira", "zendesk", "servicenow", "request-tracker"] {
        assert_eq!(rule(kind, &[]).unwrap(), ShownRule::NONE, "{kind}");
    }
    let link = ("company", "remote_link = true");
    let label = ("google", "escalated_label = \"google-escalated\"");
    let marked = ("sync", "comments_to_google = \"marked\"");
    assert_eq!(rule("jira", &[link]).unwrap().link, Some(LinkDetail::Whole));
    assert_eq!(rule("servicenow", &[link]).unwrap().link, Some(LinkDetail::Address));
    assert_eq!(rule("request-tracker", &[link]).unwrap().link, Some(LinkDetail::Address));
    for kind in ["jira", "zendesk"] {
        let found = rule(kind, &[label]).unwrap().escalated_label;
        assert_eq!(found.as_deref(), Some("google-escalated"), "{kind}");
    }
    assert!(rule("jira", &[marked]).unwrap().marks_notes);
    assert!(!rule("zendesk", &[marked]).unwrap().marks_notes);
    let without = ("company.jira", "carried_property = \"\"");
    assert!(!rule("jira", &[marked, without]).unwrap().marks_notes);
    let in_use = ("company.servicenow", "google_name_field = \"correlation_id\"");
    let both = "escalated_label = \"GCP\"\nescalate_field = \"label:gcp\"\nescalate_words.RESOLUTION_TIME = [\"gcp\"]";
    for (kind, lines, expected) in [
        ("zendesk", vec![link], "company.remote_link: a ticket of Zendesk has no links"),
        ("servicenow", vec![link, in_use], "company.servicenow uses correlation_id otherwise"),
        ("servicenow", vec![label], "google.escalated_label: ServiceNow has nothing of that kind"),
        ("request-tracker", vec![label], "google.escalated_label: Request Tracker has nothing of that kind"),
        ("jira", vec![("google", "escalated_label = \"is escalated\"")], "google.escalated_label: "),
        ("jira", vec![("google", "escalated_label = \" \"")], "google.escalated_label: expected"),
        ("jira", vec![("google", both)], "name the same label \"GCP\""),
        ("jira", vec![("company", "remote_link = \"yes\"")], "company.remote_link: expected"),
        ("jira", vec![("company.jira", "carried_property = \"sd.public.comment\"")], "begins with sd."),
        ("jira", vec![("company.jira", "carried_property = \" \"")], "without spaces around"),
    ] {
        let errors = parse(&with_crm(kind, &lines)).unwrap_err().0;
        assert_eq!(errors.len(), 1, "{lines:?}: {errors:?}");
        assert!(errors[0].contains(expected), "{lines:?}: {errors:?}");
    }
}

#[test]
fn people_leave_the_house_only_with_the_domains_that_may() {
    use casebridge::cases::PeopleSource;

    let good = "parent_field = \"Google project\"\nsubscribers_from = [\"reporter\", \"field:Contacts\"]\n\
                subscriber_domains = [\"Example.com\", \"@example.org\"]";
    let config = parse(&with(&[("google", good)])).unwrap();
    let placing = config.tasks.placing;
    assert_eq!(placing.parent_field.as_deref(), Some("Google project"));
    assert_eq!(
        placing.subscribers_from,
        [PeopleSource::Reporter, PeopleSource::Field("Contacts".to_owned())]
    );
    assert_eq!(placing.subscriber_domains, ["example.com", "example.org"]);
    // The people in copy are the watchers, whichever word a desk has for them.
    let both = "subscribers_from = [\"ccs\", \"watchers\"]\nsubscriber_domains = [\"example.com\"]";
    let config = parse(&with(&[("google", both)])).unwrap();
    assert_eq!(config.tasks.placing.subscribers_from, [PeopleSource::Watchers]);
    for (lines, expected) in [
        ("subscribers_from = [\"watchers\"]", "google.subscriber_domains is missing"),
        ("subscribers_from = [\"watchers\"]\nsubscriber_domains = []", "google.subscriber_domains is empty"),
        (
            "subscribers_from = [\"everybody\"]\nsubscriber_domains = [\"example.com\"]",
            "expected some of \"reporter\"",
        ),
        ("subscriber_domains = [\"jane@example.com\"]", "\"jane@example.com\" is no domain"),
        (
            "subscribers_from = [\"reporter\"]\nsubscriber_domains = [\"jane@example.com\"]",
            "\"jane@example.com\" is no domain",
        ),
        ("subscribers_from = [\"reporter\"]\nsubscriber_domains = 7", "expected a list of texts"),
    ] {
        let errors = parse(&with(&[("google", lines)])).unwrap_err().0;
        assert_eq!(errors.len(), 1, "{lines}: {errors:?}");
        assert!(errors[0].contains(expected), "{lines}: {errors:?}");
    }
}
