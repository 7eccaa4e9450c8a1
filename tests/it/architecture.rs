//! Checks of the statements in `ARCHITECTURE.md` against the code: imports run one way, and time comes from one place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Modules that each top-level module may import, from the bottom up.
///
/// The way is `http → tasks → {sync, csapi, crm, store, queue} → {cases, entities}`. The imports in [`NARROW`] run against it.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("entities", &[]),
    ("clock", &[]),
    // Settings of a connection that the store and the queue have in common.
    ("sqlite", &[]),
    // Addresses in the configuration.
    ("address", &[]),
    // Progress of a running task, which the clients report and the tasks look at.
    ("progress", &[]),
    // Suggests a name for a misspelt one, in the configuration and in requests.
    ("spelling", &[]),
    ("cases", &["entities"]),
    ("sync", &["cases", "entities"]),
    // Shared by all clients; its interface uses the errors and streams of `cases`.
    ("outbound", &["cases", "clock", "progress", "telemetry"]),
    ("telemetry", &["clock", "config"]),
    ("csapi", &["cases", "clock", "entities", "outbound"]),
    ("crm", &["address", "cases", "clock", "entities", "outbound", "spelling"]),
    // A store or a queue behind a URL is a client as well.
    ("store", &["cases", "clock", "entities", "outbound", "sqlite"]),
    ("queue", &["cases", "clock", "entities", "outbound", "sqlite"]),
    ("tasks", &["cases", "clock", "entities", "progress", "queue", "spelling", "store", "sync", "telemetry"]),
    // Exports the spans of `telemetry`.
    ("otlp", &["outbound", "telemetry"]),
    // Verifies tokens that prove an identity.
    ("oidc", &["outbound"]),
    // Verifies and reads push messages; the tasks do what they ask for.
    ("push", &["cases", "crm", "entities", "oidc", "outbound"]),
    // Pulls push messages, and has the tasks do what they ask for.
    ("puller", &["cases", "entities", "push", "tasks", "telemetry"]),
    // Reads the settings of the parts into the parts' own types.
    (
        "config",
        &["address", "cases", "crm", "csapi", "entities", "push", "spelling", "store", "sync", "tasks"],
    ),
    // Reads the secrets that the configuration names.
    ("secrets", &["cases", "clock", "config", "outbound"]),
    (
        "http",
        &[
            "cases",
            "clock",
            "config",
            "entities",
            "oidc",
            "push",
            "queue",
            "spelling",
            "store",
            "sync",
            "tasks",
            "telemetry",
        ],
    ),
    // Plays the other side. It must not share wire formats with the program, or both could be wrong in the same way.
    ("sandbox", &["clock"]),
];

/// Imports against the way, with the only items that they may name.
const NARROW: &[(&str, &str, &[&str])] = &[
    // On App Engine, logs are JSON.
    ("telemetry", "config", &["LogFormat"]),
    ("http", "config", &["Platform", "Secret", "Trust"]),
    ("secrets", "config", &["Secret", "SecretError", "SecretRef"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Returns a file's code on one line, without comments, unit tests and line breaks.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    code.lines().map(str::trim).filter(|line| !line.starts_with("//")).collect::<Vec<_>>().join(" ")
}

/// Returns all source files of the program: the service, and the crates that it consists of.
fn all_files() -> Vec<PathBuf> {
    ["src", "crates/core/src", "crates/sandbox/src"]
        .iter()
        .flat_map(|folder| rust_files(&root().join(folder)))
        .collect()
}

/// Returns the top-level module of a file; all sandboxes are one module.
fn module_of(path: &Path) -> String {
    if path.starts_with(root().join("crates/sandbox")) {
        return "sandbox".to_owned();
    }
    let within =
        ["src", "crates/core/src"].iter().find_map(|folder| path.strip_prefix(root().join(folder)).ok());
    let first = within.unwrap().components().next().unwrap().as_os_str().to_string_lossy();
    first.trim_end_matches(".rs").to_owned()
}

/// Returns the items that a path names after `crate::module`: the first names only.
fn items(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(rest) = rest.strip_prefix("::") else { return Vec::new() };
    match rest.strip_prefix('{') {
        Some(list) => list
            .split('}')
            .next()
            .unwrap_or_default()
            .split(',')
            .map(name)
            .filter(|item| !item.is_empty())
            .collect(),
        None => vec![name(rest)],
    }
}

/// Returns each `crate::module` in the library, with the items that it names.
fn imports() -> Vec<(PathBuf, String, String, Vec<String>)> {
    let mut found = Vec::new();
    for path in all_files() {
        let module = module_of(&path);
        if ["lib", "main", "cli"].contains(&module.as_str()) {
            continue;
        }
        let mut code = code(&path);
        assert!(!code.contains("crate::{"), "{}: import each module in a line of its own", path.display());
        if module == "sandbox" {
            // A sandbox imports items of the program from another crate.
            code = code.replace("crate::", "").replace("casebridge_core::", "crate::");
        }
        for (at, _) in code.match_indices("crate::") {
            let rest = &code[at + "crate::".len()..];
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (target, rest) = rest.split_at(end);
            if target != module {
                found.push((path.clone(), module.clone(), target.to_owned(), items(rest)));
            }
        }
    }
    found
}

#[test]
fn every_module_has_its_place() {
    let mut declared = BTreeSet::from(["sandbox".to_owned()]);
    for library in ["src/lib.rs", "crates/core/src/lib.rs"] {
        let text = std::fs::read_to_string(root().join(library)).unwrap();
        let modules = text.lines().filter_map(|line| {
            line.strip_prefix("pub mod ").or_else(|| line.strip_prefix("mod "))?.strip_suffix(';')
        });
        declared.extend(modules.map(str::to_owned));
    }
    let placed: BTreeSet<String> = MAY_IMPORT.iter().map(|(module, _)| (*module).to_owned()).collect();
    assert_eq!(declared, placed);
}

#[test]
fn imports_run_one_way() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let imports = imports();
    assert!(
        imports.len() > 50,
        "only {} imports were found: does the test still see the code?",
        imports.len()
    );
    let wrong: Vec<String> = imports
        .iter()
        .filter(|(_, module, target, _)| !allowed[module.as_str()].contains(&target.as_str()))
        .map(|(path, _, target, _)| format!("{} imports {target}", path.display()))
        .collect();
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn what_runs_against_the_way_is_narrow() {
    let mut wrong = Vec::new();
    for (path, module, target, items) in imports() {
        let Some((_, _, only)) = NARROW.iter().find(|(from, to, _)| *from == module && *to == target) else {
            continue;
        };
        if items.is_empty() || !items.iter().all(|item| only.contains(&item.as_str())) {
            wrong.push(format!("{} imports {items:?} of {target}; only {only:?} is agreed", path.display()));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// Follows from [`imports_run_one_way`]. It is a test of its own because it keeps the service from serving a sandbox.
#[test]
fn nobody_imports_http_or_the_sandbox_but_the_binary() {
    for (path, _, target, _) in imports() {
        assert!(!["http", "sandbox"].contains(&target.as_str()), "{} imports {target}", path.display());
    }
}

/// Differences between CRMs are data in their adapters' `Capabilities`. The core depends on these and not on the kind of CRM.
#[test]
fn the_core_knows_no_crm_by_name() {
    let nameless = ["entities", "cases", "sync", "tasks", "http", "store", "queue"];
    let mut looked_at = 0;
    for path in all_files() {
        if !nameless.contains(&module_of(&path).as_str()) {
            continue;
        }
        looked_at += 1;
        let code = code(&path).to_lowercase();
        for name in ["jira", "zendesk", "servicenow", "request_tracker", "request-tracker", "requesttracker"]
        {
            assert!(!code.contains(name), "{} names {name}", path.display());
        }
    }
    assert!(looked_at > 30, "{looked_at} files");
}

#[test]
fn the_machines_clock_is_read_in_one_place() {
    let readers = ["Utc::now", "Local::now", "SystemTime::now"];
    let mut found = BTreeSet::new();
    for path in all_files() {
        let code = code(&path);
        if readers.iter().any(|reader| code.contains(reader)) {
            found.insert(path.strip_prefix(root()).unwrap().display().to_string());
        }
    }
    assert_eq!(found, BTreeSet::from(["crates/core/src/clock.rs".to_owned()]));
}

#[test]
fn there_is_one_tls_stack() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for other in ["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys"] {
        assert!(!lock.contains(&format!("name = \"{other}\"\n")), "{other} has come in");
    }
    assert!(lock.contains("name = \"rustls\"\n") && lock.contains("name = \"ring\"\n"));
}

/// Returns the documents that describe the code.
fn documents() -> Vec<(PathBuf, String)> {
    let mut paths: Vec<PathBuf> =
        ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "README.md", "CHANGELOG.md"]
            .iter()
            .map(|name| root().join(name))
            .collect();
    for folder in ["docs", "docs/adr"] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
        paths.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

/// Returns the texts between single backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

#[test]
fn the_documents_cite_files_that_exist() {
    let mut missing = Vec::new();
    for (path, text) in documents() {
        let folder = path.parent().unwrap();
        let cited = quoted(&text)
            .filter(|quote| {
                ["src/", "crates/", "tests/", "docs/"].iter().any(|start| quote.starts_with(start))
            })
            .filter(|quote| !quote.contains("NAME") && !quote.contains(' '))
            .map(|quote| root().join(quote));
        let linked = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
            .filter(|link| !link.contains("://") && !link.starts_with('#'))
            .map(|link| folder.join(link.split('#').next().unwrap_or_default()));
        for file in cited.chain(linked).filter(|file| !file.exists()) {
            missing.push(format!("{} cites {}", path.display(), file.display()));
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_design_has_every_rule_and_names_tests_that_exist() {
    let design = std::fs::read_to_string(root().join("docs/design.md")).unwrap();
    for rule in (1..=34).chain([36, 38, 39]) {
        assert!(design.contains(&format!("\n### R{rule}. ")), "R{rule} is missing");
    }
    let code: String = ["src", "crates", "tests"]
        .iter()
        .flat_map(|folder| rust_files(&root().join(folder)))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let tests = design.split("*Held by*").skip(1).filter_map(|rest| rest.split("\n\n").next());
    let missing: Vec<&str> = tests
        .flat_map(quoted)
        .filter(|name| name.matches('_').count() > 1 && name.chars().all(|c| c.is_alphanumeric() || c == '_'))
        .filter(|name| !code.contains(&format!("fn {name}(")))
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}
