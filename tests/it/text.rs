//! One corpus of texts for all CRMs: what people write, how it arrives at Google, and how Google's text is stored in each CRM so that it
//! shows as it was written (`R25`: odd content is content). `docs/text.md` has the table for people.

use std::fmt::Write as _;

use casebridge::crm::jira::readable::{self, Backslash, Names};
use casebridge::crm::{jira, request_tracker, servicenow, zendesk};
use casebridge::sandbox::jira::would_render;
use serde::Deserialize;
use serde_json::Value;

/// Names of the CRMs in the corpus, and for people.
const CRMS: [(&str, &str); 5] = [
    ("jira-cloud", "Jira Cloud"),
    ("jira-data-center", "Jira Data Center"),
    ("zendesk", "Zendesk"),
    ("servicenow", "ServiceNow"),
    ("request-tracker", "Request Tracker"),
];

#[derive(Deserialize)]
struct Corpus {
    text: Vec<Sample>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sample {
    #[serde(default)]
    crm: String,
    what: String,
    written: String,
}

fn corpus(name: &str) -> Vec<Sample> {
    let path = format!("{}/tests/fixtures/text/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let corpus: Corpus = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    corpus.text
}

fn arrives(crm: &str, written: &str) -> String {
    let names = [("accountid:5b10a2844c20165700ede21g", "Jane Doe"), ("jdoe", "John Doe")];
    let names: Names = names.map(|(id, name)| (id.to_owned(), name.to_owned())).into_iter().collect();
    match crm {
        "jira-cloud" => readable::to_text(written, Backslash::OfJira, &names),
        "jira-data-center" => readable::to_text(written, Backslash::Escapes, &names),
        "zendesk" => zendesk::text::readable(written, ""),
        "servicenow" => servicenow::text::readable(written),
        "request-tracker" => {
            let parts: Vec<Value> = serde_json::from_str(written).unwrap();
            let texts = request_tracker::mail::texts(&parts);
            assert_eq!(texts.len(), 1, "one mail");
            texts.into_iter().map(|(_, text)| text).collect()
        }
        other => panic!("no CRM is called {other}"),
    }
}

/// Shows a text in a cell of a table, each line as it is.
fn cell(text: &str) -> String {
    let line = |line: &str| {
        let hard = line.replace('|', "\\|");
        match (line.is_empty(), line.contains('`')) {
            (true, _) => String::new(),
            (false, false) => format!("`{hard}`"),
            (false, true) => format!("```` {hard} ````"),
        }
    };
    text.split('\n').map(line).collect::<Vec<_>>().join("<br>")
}

fn tables() -> (String, String) {
    let mut people = String::from("| people write | in | what arrives at Google |\n| --- | --- | --- |\n");
    for text in corpus("people") {
        let (_, crm) = CRMS.into_iter().find(|(name, _)| *name == text.crm).unwrap();
        let arrives = cell(arrives(&text.crm, &text.written).trim_end());
        writeln!(people, "| {} | {crm} | {arrives} |", text.what).unwrap();
    }
    let mut google = String::from(
        "| Google writes | text | Jira stores | Zendesk stores | ServiceNow stores |\n| --- | --- | --- | --- | --- |\n",
    );
    for text in corpus("google") {
        let plain = &text.written;
        // The joiner has no width.
        let shown = |stored: String| cell(&stored.replace('\u{2060}', "\u{b7}"));
        let stored = [
            shown(jira::markup::escape(plain)),
            shown(zendesk::text::encode(plain)),
            shown(servicenow::text::encode(plain)),
        ];
        writeln!(google, "| {} | {} | {} |", text.what, cell(plain), stored.join(" | ")).unwrap();
    }
    (people, google)
}

#[test]
fn what_people_write_arrives_readable_and_the_documents_show_it() {
    let (people, google) = tables();
    insta::assert_snapshot!("people", people);
    insta::assert_snapshot!("google", google);
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/text.md")).unwrap();
    for table in [people, google] {
        assert!(page.contains(table.trim_end()), "docs/text.md lacks this table, as it is now:\n{table}");
    }
}

#[test]
fn no_markup_of_a_crm_is_left_in_what_arrives() {
    for text in corpus("people") {
        let arrives = arrives(&text.crm, &text.written);
        for markup in [
            "{color",
            "{panel",
            "{quote",
            "{adf",
            "smart-link",
            "accountid:",
            "[code]",
            "<p",
            "</",
            "&nbsp;",
            "||",
        ] {
            assert!(!arrives.contains(markup), "{} in {}: {arrives}", text.what, text.crm);
        }
    }
}

#[test]
fn what_google_writes_shows_as_written_in_every_crm() {
    let addresses = |markup: &casebridge::sandbox::jira::Markup| {
        markup.kind == casebridge::sandbox::jira::MarkupKind::BareAddress
    };
    for text in corpus("google") {
        let plain = &text.written;
        let wiki = jira::markup::escape(plain);
        // An address is a link, as it should be.
        let rendered: Vec<_> = would_render(&wiki).into_iter().filter(|markup| !addresses(markup)).collect();
        assert_eq!(rendered, [], "{}", text.what);
        assert_eq!(&jira::markup::unescape(&wiki), plain);
        let html = zendesk::text::encode(plain);
        assert_eq!(&zendesk::text::decode(&html), plain);
        assert!(!html.contains("{{") && !html.replace("<br>", "").contains('<'), "{html}");
        let journal = servicenow::text::encode(plain);
        assert_eq!(&servicenow::text::decode(&journal), plain);
        assert!(!journal.contains("[code]") && !journal.contains("@["), "{journal}");
        // The connector reads its own copy as it wrote it, and a person's quotation of it loses nothing that is seen.
        let seen =
            |text: &str| text.replace(['\u{2060}', '\u{a0}'], " ").split_whitespace().collect::<String>();
        assert_eq!(seen(&casebridge::crm::html::to_text(&html)), seen(plain), "{}", text.what);
    }
}
