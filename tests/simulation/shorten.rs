//! Makes a failing history short: steps are left out as long as it still fails in the same way.

use crate::history::History;
use crate::mutation::Mutation;
use crate::run::{Options, run};

/// What kind of violation it is: its words without numbers and names.
pub(crate) fn kind(violation: &str) -> String {
    violation
        .split_whitespace()
        .filter(|word| word.chars().all(|c| c.is_alphabetic() || ",()'".contains(c)))
        .take(12)
        .collect()
}

/// The shortest history found that fails in the same way.
pub(crate) fn shorten(history: &History, mutation: Option<Mutation>) -> History {
    let fails = |history: &History| run(history, Options { mutation, ..Options::default() }).violation;
    let Some(violation) = fails(history) else { return history.clone() };
    let wanted = kind(&violation);
    let same = |history: &History| fails(history).is_some_and(|violation| kind(&violation) == wanted);
    let mut short = history.clone();
    let mut size = short.steps.len() / 2;
    while size > 0 {
        let mut from = 0;
        while from < short.steps.len() {
            let mut trial = short.clone();
            let to = (from + size).min(trial.steps.len());
            trial.steps.drain(from..to);
            if same(&trial) {
                short = trial;
            } else {
                from += size;
            }
        }
        size = if size == 1 && short.steps.len() < history.steps.len() / 2 { 0 } else { size / 2 };
    }
    short
}

/// The history as Rust, to be kept as a reproduction.
pub(crate) fn as_rust(history: &History) -> String {
    let steps: Vec<String> = history.steps.iter().map(|step| format!("        {step:?},")).collect();
    format!(
        "History {{\n    setting: {:?},\n    steps: vec![\n{}\n    ],\n}}",
        history.setting,
        steps.join("\n")
    )
}
