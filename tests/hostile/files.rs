//! Configuration, `queue.yaml` and `cron.yaml`: whatever stands in them, a mistake is told by where it is and what to write instead.

use casebridge::config::Config;
use casebridge::queue::cron_yaml::CronConfig;
use casebridge::queue::queue_yaml::QueueConfig;
use proptest::prelude::*;

use crate::{cases, panics};

const SAMPLE: &str = include_str!("../../casebridge.toml");
const QUEUES: &str = include_str!("../../queue.yaml");
const CRON: &str = include_str!("../../cron.yaml");

/// A secret that somebody put where its name belongs.
const SECRET: &str = "hunter2-hunter2";

/// What may be done to a file of text.
#[derive(Debug, Clone)]
enum Edit {
    /// The value on a line is another.
    Value(usize, String),
    /// A line is gone.
    Without(usize),
    /// A line is there twice.
    Twice(usize),
    /// Another line comes in.
    With(usize, String),
    /// It ends there.
    End(usize),
    /// A mark of a comment is taken away, so that an example counts.
    Awake(usize),
    /// A line moves to the right by so much.
    Indent(usize, usize),
}

fn value() -> impl Strategy<Value = String> {
    let odd = [
        "",
        " ",
        "\"\"",
        "\" \"",
        "0",
        "-1",
        "1",
        "9223372036854775807",
        "-9223372036854775808",
        "99999999999999999999",
        "1e400",
        "nan",
        "inf",
        "true",
        "[]",
        "[1]",
        "[\"a\", 1]",
        "{}",
        "{ a = 1 }",
        "\"0s\"",
        "\"1ns\"",
        "\"584942417355y\"",
        "\"-5m\"",
        "\"http://example.com\"",
        "\"https://\"",
        "\"https://u:p@h/\"",
        "\"file:///etc/passwd\"",
        "\"env:\"",
        "\"secret://x\"",
        "\"sqlite:\"",
        "\"sqlite:/nowhere/x.db\"",
        "\"organizations/../x\"",
        "\"\\u0000\"",
        "\"🦀\"",
        "1979-05-27T07:32:00Z",
        "'''\n'''",
        "\"\"\"\n\"\"\"",
        "!!binary x",
        "&a *a",
        "*a",
        "? : :",
        "|",
        ">-",
        "every 0 minutes",
        "every 99999999999 hours",
        "every day 99:99",
        "0/s",
        "1e9/s",
        "5/x",
        "- - -",
        "{a: [b, {c: d}]}",
        "\"unclosed",
    ];
    prop_oneof![
        6 => prop::sample::select(odd.map(str::to_owned).to_vec()),
        1 => Just(format!("\"{SECRET}\"")),
        1 => "\\PC{0,40}",
        1 => Just("[".repeat(20_000)),
        1 => Just(format!("\"{}\"", "x".repeat(100_000))),
    ]
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        6 => (any::<usize>(), value()).prop_map(|(line, value)| Edit::Value(line, value)),
        1 => any::<usize>().prop_map(Edit::Without),
        1 => any::<usize>().prop_map(Edit::Twice),
        2 => (any::<usize>(), prop_oneof!["\\PC{0,60}", "[a-z.-]{1,20} ?[=:] ?[-a-z0-9\"\\[\\]{}]{0,20}", "\\[[a-z.\\[\\]\" -]{0,30}\\]?"])
            .prop_map(|(line, text)| Edit::With(line, text)),
        1 => any::<usize>().prop_map(Edit::End),
        4 => any::<usize>().prop_map(Edit::Awake),
        1 => (any::<usize>(), 1..9_usize).prop_map(|(line, by)| Edit::Indent(line, by)),
    ];
    prop::collection::vec(edit, 0..8)
}

fn edited(file: &str, edits: &[Edit]) -> String {
    let mut lines: Vec<String> = file.lines().map(str::to_owned).collect();
    for edit in edits {
        let count = lines.len().max(1);
        match edit {
            Edit::Value(line, value) => {
                if let Some(text) = lines.get_mut(line % count)
                    && let Some(at) = text.find(['=', ':'])
                {
                    let kept = text[..=at].trim_start_matches(['#', ' ']).to_owned();
                    *text = format!("{kept} {value}");
                }
            }
            Edit::Without(line) => drop((!lines.is_empty()).then(|| lines.remove(line % count))),
            Edit::Twice(line) => {
                if let Some(text) = lines.get(line % count).cloned() {
                    lines.insert(line % count, text);
                }
            }
            Edit::With(line, text) => lines.insert(line % count, text.clone()),
            Edit::End(line) => lines.truncate(line % count),
            Edit::Awake(line) => {
                if let Some(text) = lines.get_mut(line % count) {
                    *text = text.trim_start_matches(['#', ' ']).to_owned();
                }
            }
            Edit::Indent(line, by) => {
                if let Some(text) = lines.get_mut(line % count) {
                    *text = format!("{}{text}", " ".repeat(*by));
                }
            }
        }
    }
    lines.join("\n")
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_spoilt_configuration_is_told_by_its_keys(edits in edits(), variables in prop::collection::vec(("CASEBRIDGE_(SERVER|GOOGLE|COMPANY|SYNC|STORE|QUEUE|OUTAGES|PRIORITIES)__[A-Z_]{0,20}", "\\PC{0,20}"), 0..3)) {
        panics::watch();
        let text = edited(SAMPLE, &edits);
        if let Err(errors) = Config::parse(&text, variables.into_iter()) {
            prop_assert!(!errors.0.is_empty());
            for error in &errors.0 {
                // A key, a variable, or a line of the file; then what is wrong.
                let has_place = error.contains("line ") || error.split([':', ' ']).next().is_some_and(|place| {
                    place.starts_with("CASEBRIDGE_") || place.chars().next().is_some_and(|c| !c.is_whitespace())
                });
                prop_assert!(has_place && error.len() > 8, "{:?}", error);
                // What other keys hold may be repeated.
                let place = error.split(':').next().unwrap_or_default().to_lowercase();
                let is_secret = ["token", "password", "api_key"].iter().any(|word| place.contains(word));
                prop_assert!(!is_secret || !error.contains(SECRET), "{:?}", error);
                prop_assert!(error.len() < 2_000, "an error of {} bytes: {:.300}", error.len(), error);
            }
        }
        panics::assert_none();
    }

    #[test]
    fn a_spoilt_queue_yaml_is_told_by_its_lines(edits in edits()) {
        panics::watch();
        let text = edited(QUEUES, &edits);
        if let Err(error) = QueueConfig::parse("queue.yaml", &text) {
            let error = error.to_string();
            prop_assert!(error.contains("queue.yaml"), "{:?}", error);
            prop_assert!(error.contains("line ") || error.chars().any(|c| c.is_ascii_digit()) || error.contains("queue"), "{:?}", error);
            prop_assert!(error.len() < 20_000, "an error of {} bytes: {:.300}", error.len(), error);
        }
        panics::assert_none();
    }

    #[test]
    fn a_spoilt_cron_yaml_is_told_by_its_lines(edits in edits()) {
        panics::watch();
        let text = edited(CRON, &edits);
        if let Err(error) = CronConfig::parse("cron.yaml", &text) {
            let error = error.to_string();
            prop_assert!(error.contains("cron.yaml"), "{:?}", error);
            prop_assert!(error.len() < 20_000, "an error of {} bytes: {:.300}", error.len(), error);
        }
        panics::assert_none();
    }
}
