//! What people are told to type: every `gcloud` command that a page, a deployed file or the program itself names is one that
//! gcloud takes, by gcloud's own check of its commands; and the files that such commands read are what Google's own messages
//! hold.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::emulator::sdk_root;
use crate::task_queue::{project_file, sdk_python};

/// Where commands stand.
const FOLDERS: [&str; 4] = ["docs", "deploy", "deploy/alerts/app-engine", "src"];

fn texts(folder: &Path, found: &mut Vec<(String, String)>, into_folders: bool) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            if into_folders {
                texts(&path, found, true);
            }
            continue;
        }
        let name = path.strip_prefix(project_file("")).unwrap().display().to_string();
        if ["md", "yaml", "rs"].iter().any(|kind| path.extension().is_some_and(|found| found == *kind)) {
            found.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
}

/// The commands in a text: those of shell blocks, and those between backquotes.
fn commands(text: &str) -> Vec<String> {
    // A string of the program goes on in the next line after a backslash, as a shell's command does; a wrapped line of prose
    // or comment goes on as well.
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    let text = text.replace("\\\n", " ").replace("\n//! ", " ").replace("\n/// ", " ");
    let mut found = Vec::new();
    let (mut rest, mut shell) = (text.as_str(), false);
    while let Some(at) = rest.find("```") {
        let (block, after) = rest.split_at(at);
        found.extend(if shell { of_shell(block) } else { between_backquotes(block) });
        (rest, shell) = (&after[3..], !shell);
    }
    found.extend(between_backquotes(rest));
    found
}

fn of_shell(block: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in block.lines() {
        let line = line.split(" # ").next().unwrap_or_default();
        // Also within `$(…)` and behind a pipe, a loop's `do`, or a variable.
        for (at, _) in line.match_indices("gcloud ") {
            let command = &line[at..];
            found.push(command[..end_of_command(command)].trim().to_owned());
        }
    }
    found
}

/// Where a command ends that stands in a longer line: not within quotes, nor within `$(…)`.
fn end_of_command(line: &str) -> usize {
    let (mut quote, mut depth) = (None, 0);
    let mut before = ' ';
    for (at, letter) in line.char_indices() {
        match (quote, letter) {
            (None, '\'' | '"') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            (None, '(') if before == '$' => depth += 1,
            (None, ')') if depth > 0 => depth -= 1,
            (None, ')' | '|' | ';' | '>' | '&') if depth == 0 => return at,
            _ => {}
        }
        before = letter;
    }
    // A quote that is not closed was opened before the command began.
    line.rfind('"').filter(|_| quote == Some('"')).unwrap_or(line.len())
}

fn between_backquotes(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(|quoted| quoted.replace('\n', " "))
        .filter(|quoted| quoted.starts_with("gcloud ") && quoted.contains(' '))
        .collect()
}

/// The command with something in each place that is left open, and without what is left out.
fn filled_in(command: &str) -> String {
    let mut filled = command.replace("--type={mode}", "--type=firestore-native");
    for (open, close) in [("$(", ')'), ("{", '}')] {
        while let Some(at) = filled.find(open) {
            let end = filled[at..].find(close).map_or(filled.len(), |end| at + end + 1);
            filled.replace_range(at..end, "x1");
        }
    }
    let words = filled.split_whitespace().filter(|word| *word != "…");
    let words: Vec<String> =
        words.map(|word| word.replace('$', "").replace("PROJECT", "my-project")).collect();
    words.join(" ")
}

#[test]
fn every_command_that_people_are_told_is_one_that_gcloud_takes() {
    let mut sources = Vec::new();
    for folder in FOLDERS {
        texts(&project_file(folder), &mut sources, folder == "src");
    }
    for name in ["app.yaml", "queue.yaml", "cron.yaml", "README.md"] {
        sources.push((name.to_owned(), std::fs::read_to_string(project_file(name)).unwrap()));
    }
    let told: Vec<(String, String)> = sources
        .iter()
        .flat_map(|(name, text)| {
            commands(text).into_iter().map(move |command| (name.clone(), filled_in(&command)))
        })
        .collect();
    assert!(told.len() > 40, "only {} commands were found", told.len());
    let list: Vec<Value> = told
        .iter()
        .enumerate()
        .map(|(number, (_, command))| json!({ "command_string": command, "id": number + 1 }))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("commands.json");
    std::fs::write(&file, Value::Array(list).to_string()).unwrap();
    let output = Command::new("gcloud")
        .args(["meta", "lint-gcloud-commands", "--commands-file"])
        .arg(&file)
        .env("CLOUDSDK_CONFIG", folder.path())
        .output()
        .expect("gcloud starts: install the Google Cloud SDK");
    let results: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    let refused: Vec<String> = results
        .as_array()
        .unwrap()
        .iter()
        .filter(|result| result["success"] != json!(true))
        .map(|result| {
            let command = result["command_string"].as_str().unwrap_or_default();
            let source = told.iter().find(|(_, known)| known == command).map_or("?", |(name, _)| name);
            format!("{source}: {command}: {}", result["error_message"])
        })
        .collect();
    assert!(refused.is_empty(), "gcloud does not take\n{}", refused.join("\n"));
}

#[test]
fn the_alert_policies_and_the_metric_hold_nothing_that_google_does_not_know() {
    let root = sdk_root();
    let output = sdk_python(root)
        .arg(project_file("tests/clients/alert_policies.py"))
        .arg(root)
        .arg(project_file(""))
        .output()
        .expect("Python starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let unknown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let unknown = unknown.as_object().unwrap();
    // Two log metrics, the dashboard, the policies of two platforms, and one for each alert.
    let alerts = std::fs::read_dir(project_file("deploy/alerts/managed-prometheus")).unwrap().count();
    let by_log = std::fs::read_dir(project_file("deploy/alerts/app-engine")).unwrap().count();
    let metrics = std::fs::read_dir(project_file("deploy/alerts/log-metrics")).unwrap().count();
    assert_eq!(unknown.len(), 3 + 2 * by_log + alerts + metrics);
    assert!(unknown.values().all(|fields| *fields == json!([])), "{unknown:#?}");
}
