//! Checks of the table of beginners' mistakes in docs/deploy.md, row by row, against the program's messages.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs `casebridge check` with a Firestore store and these variables; returns its output.
fn check(variables: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_casebridge"))
        .arg("check")
        .current_dir(folder.path())
        .envs([
            ("CASEBRIDGE_GOOGLE__PARENT", "organizations/1"),
            ("CASEBRIDGE_GOOGLE__BASE_URL", "http://127.0.0.1:9"),
            ("CASEBRIDGE_GOOGLE__AUTH", "none"),
            ("CASEBRIDGE_GOOGLE__CLASSIFICATION_ID", "1"),
            ("CASEBRIDGE_GOOGLE__TIMEOUT", "1s"),
            ("CASEBRIDGE_COMPANY__KIND", "jira"),
            ("CASEBRIDGE_COMPANY__BASE_URL", "http://127.0.0.1:9"),
            ("CASEBRIDGE_COMPANY__TIMEOUT", "1s"),
            ("CASEBRIDGE_COMPANY__JIRA__PROJECT", "SUP"),
            ("CASEBRIDGE_STORE__URL", "firestore:my-project"),
        ])
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn an_emulator_variable_that_is_left_set_is_named() {
    // Nothing listens there.
    let free = "127.0.0.1:1";
    let workstation = check(&[("FIRESTORE_EMULATOR_HOST", free)]);
    let expected = [
        "FAILED  store: firestore:my-project: ",
        "firestore:my-project/(default): nothing answers at ",
        "where FIRESTORE_EMULATOR_HOST says that an emulator is",
        "unset FIRESTORE_EMULATOR_HOST to use the real project my-project",
    ];
    for words in expected {
        assert!(workstation.contains(words), "{words}: {workstation}");
    }
    let cloud = check(&[("FIRESTORE_EMULATOR_HOST", free), ("GAE_SERVICE", "default")]);
    let expected = [
        "FIRESTORE_EMULATOR_HOST is set",
        " although this runs on Google Cloud (GAE_SERVICE is set): unset it, or every mapping is lost with the emulator",
    ];
    for words in expected {
        assert!(cloud.contains(words), "{words}: {cloud}");
    }
}

/// Returns all files under a folder of the project as one text, without the line breaks in strings.
fn text_of(folder: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &text_of(&path);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            text += &std::fs::read_to_string(&path).unwrap();
        }
    }
    text
}

/// Joins strings that continue on the next line after a backslash.
fn joined(source: &str) -> String {
    let mut parts = source.split("\\\n");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.trim_start())
}

#[test]
fn each_row_of_the_table_of_mistakes_is_what_the_program_says_and_has_its_test() {
    let page = std::fs::read_to_string(project().join("docs/deploy.md")).unwrap();
    let section = page.split_once("\n## When something is wrong\n").unwrap().1;
    let section = section.split_once("\n## ").unwrap().0;
    let rows: Vec<Vec<&str>> = section
        .lines()
        .filter(|line| {
            line.starts_with("| ") && !line.starts_with("| ---") && !line.starts_with("| what was done")
        })
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    assert!(rows.len() >= 20, "{} rows", rows.len());
    let said = joined(&text_of(&project().join("src")));
    let tests = text_of(&project().join("tests")) + &text_of(&project().join("src"));
    for row in rows {
        let [mistake, words, held_by] = row[..] else { panic!("{row:?}") };
        let words = words.trim_matches('`');
        assert!(said.contains(words), "{mistake}: nothing in src says {words:?}");
        for test in held_by.split(", ") {
            let function = format!("fn {}(", test.trim_matches('`'));
            assert!(tests.contains(&function), "{mistake}: there is no test {test}");
        }
    }
}

#[test]
fn every_role_that_the_program_asks_for_is_granted_on_the_page() {
    let page = std::fs::read_to_string(project().join("docs/deploy.md")).unwrap();
    let source = text_of(&project().join("src"));
    let roles: BTreeSet<&str> = source
        .split("roles/")
        .skip(1)
        .map(|rest| {
            rest.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.').next().unwrap()
        })
        .map(|role| role.trim_end_matches('.'))
        .collect();
    assert!(roles.len() >= 6, "{roles:?}");
    for role in roles {
        assert!(page.contains(&format!("roles/{role}")), "docs/deploy.md grants no roles/{role}");
    }
}
