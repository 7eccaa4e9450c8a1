//! `casebridge completions` and `casebridge man`: made of the command line itself, so that no command is missing.

use std::process::{Command, Output, Stdio};

/// Runs the program in an empty folder. The configuration file that the environment names does not exist.
fn run(arguments: &[&str], output: Stdio) -> Output {
    let folder = tempfile::tempdir().unwrap();
    Command::new(env!("CARGO_BIN_EXE_casebridge"))
        .args(arguments)
        .current_dir(folder.path())
        .env_clear()
        .env("CASEBRIDGE_CONFIG", "/nowhere/private.toml")
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
}

/// Runs a command that needs no configuration and cannot fail; returns the text on its standard output.
fn printed(arguments: &[&str]) -> String {
    let output = run(arguments, Stdio::piped());
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
    assert!(output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns all commands as words, such as `["mappings", "show"]`, as the help of each command lists them.
fn commands() -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = vec![Vec::new()];
    let mut at = 0;
    while at < found.len() {
        let above = found[at].clone();
        let mut arguments: Vec<&str> = above.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = printed(&arguments);
        let list = help.split_once("\nCommands:\n").map(|(_, list)| list).unwrap_or_default();
        let names = list.lines().take_while(|line| line.starts_with("  "));
        let names =
            names.filter(|line| !line.starts_with("    ")).filter_map(|line| line.split_whitespace().next());
        found.extend(names.filter(|name| *name != "help").map(|name| {
            let mut words = above.clone();
            words.push(name.to_owned());
            words
        }));
        at += 1;
    }
    found.remove(0);
    found
}

#[test]
fn the_script_of_each_shell_completes_every_command() {
    let commands = commands();
    assert!(commands.len() > 15, "{commands:?}");
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = printed(&["completions", shell]);
        for name in commands.iter().flatten() {
            assert!(script.contains(name), "{shell}: {name}");
        }
        assert!(script.contains("--dry-run") || script.contains("dry-run"), "{shell}");
        assert!(!script.contains("private.toml"), "{shell}");
    }
    let unknown = run(&["completions", "tcsh"], Stdio::piped());
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
}

#[test]
fn the_manual_page_has_a_section_for_every_command() {
    // A hyphen is escaped, so that it is not typeset as a dash.
    let page = printed(&["man"]).replace("\\-", "-");
    for command in commands() {
        let heading = format!(".SS \"casebridge {}\"", command.join(" "));
        assert!(page.lines().any(|line| line == heading), "{heading}\n{page}");
    }
    assert!(page.contains(".TH casebridge 1"), "{page}");
    for words in [".SH NAME", ".SH \"EXIT STATUS\"", "CASEBRIDGE_CONFIG", "--dry-run", "--reason"] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    assert!(!page.contains("private.toml"), "{page}");
    // Options that every command takes stand once.
    assert_eq!(page.matches("Print help").count(), 1, "{page}");
}

/// `/dev/full` refuses every write, like a disk without room.
#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_written_is_a_failure_and_no_panic() {
    for arguments in [&["man"] as &[&str], &["completions", "bash"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = run(arguments, full.into());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.starts_with("casebridge: standard output cannot be written: "), "{said}");
    }
}
