//! Passes the commit to the program, for `--version`, the log and the metric `casebridge_build_info`.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CASEBRIDGE_COMMIT");
    let given = std::env::var("CASEBRIDGE_COMMIT").ok().filter(|commit| !commit.trim().is_empty());
    let commit = given.or_else(commit_of_checkout).unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=CASEBRIDGE_COMMIT={}", commit.trim());
}

/// The commit that is checked out. Only of a release: any other build would compile everything again after each commit.
fn commit_of_checkout() -> Option<String> {
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        return None;
    }
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/logs/HEAD");
    let output = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
