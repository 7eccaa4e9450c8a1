//! Where the program takes its credentials for Google Cloud from, as a process with the environment that people have: the
//! metadata server, whose address is fixed; `gcloud`, as docs/deploy.md has people use it; and nothing at all.
//!
//! Each test has a network of its own (`unshare`, of util-linux), in which nothing else answers.

use std::fmt::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::task_queue::project_file;

const ACCOUNT: &str = "casebridge@my-project.iam.gserviceaccount.com";

/// Runs a shell script in a folder, in a network of its own with `google_front.py` in it. `metadata`: with a metadata server.
/// What it and the script wrote.
fn alone(folder: &Path, metadata: bool, script: &str) -> String {
    let hosts = folder.join("hosts");
    let name = if metadata { "127.0.0.1 metadata.google.internal\n" } else { "" };
    std::fs::write(&hosts, format!("127.0.0.1 localhost\n{name}")).unwrap();
    let front = project_file("tests/clients/google_front.py");
    let around = format!(
        "set -e\n\
         ip link set lo up\n\
         mount --bind {hosts} /etc/hosts\n\
         python3 {front} {metadata} > calls & front=$!\n\
         trap 'kill $front' EXIT\n\
         until grep -q ready calls; do sleep 0.05; done\n\
         set +e\n\
         {script}\n",
        hosts = hosts.display(),
        front = front.display(),
        metadata = if metadata { "metadata" } else { "" },
    );
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "--net", "bash", "-c", &around])
        .current_dir(folder)
        .env("ACCOUNT", ACCOUNT)
        .env("HOME", folder)
        .env_remove("GOOGLE_APPLICATION_CREDENTIALS")
        .output()
        .expect("unshare starts: install util-linux");
    let mut text = String::new();
    for bytes in [&output.stdout, &output.stderr] {
        text.push_str(&String::from_utf8_lossy(bytes));
    }
    let calls =
        std::fs::read_to_string(folder.join("calls")).unwrap_or_else(|error| panic!("{error}: {text}"));
    write!(text, "{calls}").unwrap();
    text
}

/// A program of that name, first on the path.
fn program(folder: &Path, name: &str, script: &str) {
    let bin = folder.join("bin");
    std::fs::create_dir_all(&bin).unwrap();
    let path = bin.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

/// What `app.yaml` would be for these tests: each API is the one that `google_front.py` has.
fn app_yaml() -> String {
    let template = std::fs::read_to_string(project_file("app.yaml")).unwrap();
    let mut app: String = template
        .lines()
        .map(|line| match line.split_once(": ") {
            Some((key, _)) if key.ends_with("ADMIN_TOKEN") || key.ends_with("API_TOKEN") => {
                format!("{key}: env:SECRET\n")
            }
            Some((key, _)) if key.ends_with("STORE__URL") => format!("{key}: sqlite:check.db\n"),
            Some((key, _)) if key.ends_with("COMPANY__BASE_URL") => format!("{key}: http://127.0.0.1:8081\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    app.push_str("  CASEBRIDGE_GOOGLE__BASE_URL: http://127.0.0.1:8081\n");
    app.push_str("  SECRET: 's' # quoted, with a comment\n");
    app.push_str("  CASEBRIDGE_QUEUE__BASE_URL: http://127.0.0.1:8081\n");
    app
}

/// The commands of docs/deploy.md for a check on a workstation.
fn documented_check() -> String {
    let page = std::fs::read_to_string(project_file("docs/deploy.md")).unwrap();
    let step = page.split_once("\n### 7. ").unwrap().1;
    let block = step.split_once("```sh\n").unwrap().1;
    block.split_once("```").unwrap().0.to_owned()
}

fn checking(folder: &Path) -> String {
    let release = folder.join("target/release");
    std::fs::create_dir_all(&release).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_casebridge"), release.join("casebridge")).unwrap();
    std::fs::write(folder.join("app.yaml"), app_yaml()).unwrap();
    program(folder, "cargo", "exit 0");
    format!("export PATH=$PWD/bin:/usr/bin:/bin\n{}", documented_check())
}

/// The lines that say with what the APIs were called.
fn calls(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("called with "))
        .filter(|token| *token != "None")
        .collect()
}

#[test]
fn on_a_workstation_the_documented_check_runs_as_the_service_account() {
    let folder = tempfile::tempdir().unwrap();
    // What a person has there is not what the service has.
    let own = folder.path().join(".config/gcloud/application_default_credentials.json");
    std::fs::create_dir_all(own.parent().unwrap()).unwrap();
    std::fs::write(
        own,
        r#"{"type": "authorized_user", "client_id": "i", "client_secret": "s", "refresh_token": "r"}"#,
    )
    .unwrap();
    let script = format!(
        r#"case "$CLOUDSDK_CONFIG $*" in
"{config} auth print-access-token --quiet") echo "ya29.as-$CLOUDSDK_AUTH_IMPERSONATE_SERVICE_ACCOUNT" ;;
*) exit 1 ;;
esac"#,
        config = folder.path().join(".config/gcloud").display(),
    );
    program(folder.path(), "gcloud", &script);
    let text = alone(folder.path(), false, &checking(folder.path()));
    let google: Vec<&str> = calls(&text).into_iter().filter(|token| token.starts_with("Bearer")).collect();
    assert!(google.len() > 6, "{text}");
    assert!(google.iter().all(|token| *token == format!("Bearer ya29.as-{ACCOUNT}")), "{text}");
    let said: Vec<&str> = text.lines().filter(|line| !line.starts_with("called with ")).collect();
    assert!(
        said.iter().any(|line| line.starts_with("WARN    CSAPI: search cases of organizations/")),
        "{text}"
    );
    assert!(said.iter().all(|line| !line.contains("ya29")), "{text}");
}

#[test]
fn on_google_cloud_the_metadata_server_gives_each_token_and_a_new_one_before_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    program(folder.path(), "gcloud", "echo ya29.not-asked-for");
    let text = alone(folder.path(), true, &checking(folder.path()));
    let google: Vec<&str> = calls(&text).into_iter().filter(|token| token.starts_with("Bearer")).collect();
    assert!(google.len() > 6, "{text}");
    let different: std::collections::BTreeSet<&&str> = google.iter().collect();
    assert!(google.iter().all(|token| token.starts_with("Bearer ya29.metadata-")), "{text}");
    assert_eq!(different.len(), google.len(), "{text}");
    let said = text.lines().filter(|line| !line.starts_with("called with "));
    assert!(
        said.clone().any(|line| line.starts_with("WARN    CSAPI: search cases of organizations/")),
        "{text}"
    );
    assert!(said.clone().all(|line| !line.contains("ya29")), "{text}");
}

#[test]
fn without_credentials_the_check_says_where_they_come_from() {
    let folder = tempfile::tempdir().unwrap();
    program(folder.path(), "gcloud", "exit 1");
    let text = alone(folder.path(), false, &checking(folder.path()));
    assert!(text.contains("no credentials for Google Cloud were found"), "{text}");
    assert!(text.contains("gcloud auth application-default login"), "{text}");
    assert!(text.contains("attach a service account"), "{text}");
}
