//! The last word of `cargo test`: which suites it did not run, and how to run them. It tests nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "it fails by panicking, as a test does")]

use std::path::Path;

/// A test target with `test = false`, which the plain command does not run.
struct Suite {
    name: String,
}

fn main() {
    // Whoever lists the tests finds none here.
    if std::env::args().any(|argument| argument == "--list") {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let suites = left_out(&manifest);
    println!("\nNot run by `cargo test` alone: suites that need other people's software, or take long.\n");
    for Suite { name } in &suites {
        let about = about(&root.join("tests"), name);
        println!("  cargo test --test {name}\n      {about}");
    }
    println!(
        "\nCONTRIBUTING.md says what each needs; `.ci/real.sh` installs what it can and runs them, as CI does. None of them \
         skips in silence: without its software it fails.\n"
    );
}

fn left_out(manifest: &str) -> Vec<Suite> {
    let text = |line: &str, key: &str| {
        line.strip_prefix(key).map(|value| value.trim_matches(['[', ']', '"', ' ']).to_owned())
    };
    let of_target = |target: &str| {
        let own = target.split("\n[").next().unwrap_or_default();
        let find = |key| own.lines().find_map(|line| text(line, key));
        (find("test = ")? == "false").then_some(Suite { name: find("name = ")? })
    };
    manifest.split("\n[[test]]\n").skip(1).filter_map(of_target).collect()
}

/// The first sentence of what a suite says about itself.
fn about(tests: &Path, name: &str) -> String {
    let files = [tests.join(format!("{name}.rs")), tests.join(name).join("main.rs")];
    let file = files.iter().find(|file| file.exists()).expect("a target has its file");
    let text = std::fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.lines().map_while(|line| line.strip_prefix("//! ")).collect();
    let paragraph = lines.join(" ");
    paragraph.split_inclusive(". ").next().unwrap_or_default().trim_end().to_owned()
}
