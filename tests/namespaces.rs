//! The real service in a network namespace whose only way out is a CONNECT proxy with a private CA. It shows that nothing, a
//! request for a token included, goes around the proxy: there is no other way.
//!
//! Needs `unshare` (util-linux), `ip` (iproute2) and `python3`, and the right to make a namespace. Without one of them it fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its support code as well"
)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use casebridge::sandbox::csapi::{Author, NewCase, Priority};

use network::{CA, Network};

#[path = "it/network.rs"]
mod network;

/// Port of the relay to the proxy, and of the service, inside the namespace.
const PROXY: &str = "http://127.0.0.1:3128";

/// Script around a command, which has a network of its own: the loopback, and a relay to the proxy's Unix socket.
const AROUND: &str = r#"
set -eu
ip link set lo up
: > relay # the last command's relay said "ready" in it
python3 "$RELAY" 3128 "$SOCKET" > relay & relay=$!
trap 'kill $relay' EXIT
until grep -q ready relay; do sleep 0.05; done
"$@"
"#;

/// Script that runs the service until its input ends, and asks for both polls each second, as cron does each minute.
const SERVICE: &str = r#"
"$CASEBRIDGE" serve & service=$!
while read -r -t 1 || [ $? -gt 128 ]; do
    for side in google company; do
        if exec 3<>/dev/tcp/127.0.0.1/8080; then
            printf 'POST /tasks/poll-%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n' $side >&3
            cat <&3 >/dev/null
            exec 3>&-
        fi
    done 2>/dev/null
done
kill $service
wait $service
"#;

/// Makes the command that runs in a namespace of its own, with nothing but these variables.
fn inside(network: &Network, command: &[&str], variables: &[(&str, &str)]) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut unshare = Command::new("unshare");
    unshare
        .args(["--map-root-user", "--net", "bash", "-c", AROUND, "bash"])
        .args(command)
        .current_dir(network.folder())
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", network.folder())
        .env("RELAY", root.join("tests/clients/relay.py"))
        .env("SOCKET", network.socket())
        .env("CASEBRIDGE", env!("CARGO_BIN_EXE_casebridge"))
        .env("GOOGLE_APPLICATION_CREDENTIALS", network.credentials())
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    unshare
}

/// Runs the program to its end; returns all that it printed.
async fn run(network: &Network, arguments: &[&str], variables: &[(&str, &str)]) -> (bool, String) {
    let command: Vec<&str> =
        [env!("CARGO_BIN_EXE_casebridge")].into_iter().chain(arguments.iter().copied()).collect();
    let mut command = inside(network, &command, variables);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    let output = output.expect("unshare starts: install util-linux");
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(
        !text.contains("unshare failed") && !text.contains("unshare: "),
        "no namespace can be made here: run the suite as root, or allow user namespaces: {text}"
    );
    Network::keeps_secrets(&text);
    (output.status.success(), text)
}

/// Service that ends when its input does: at the latest when this is dropped.
struct Service {
    process: Child,
    log: PathBuf,
}

impl Service {
    fn start(network: &Network, variables: &[(&str, &str)]) -> Self {
        let log = network.folder().join("service.log");
        let mut command = inside(network, &["bash", "-c", SERVICE], variables);
        // A file, since a pipe that nobody reads fills up.
        command.stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap());
        Self { process: command.spawn().unwrap(), log }
    }

    /// Ends the service; returns its log.
    fn end(mut self) -> String {
        drop(self.process.stdin.take());
        let ended = self.process.wait().unwrap();
        let log = std::fs::read_to_string(&self.log).unwrap();
        assert!(ended.success(), "{log}");
        log
    }
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_mins(8), "{what} did not happen within 8 minutes");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_does_the_main_job_through_the_proxy_and_has_no_other_way_out() {
    let network = Network::new().await;
    let case = NewCase {
        parent: "organizations/123".to_owned(),
        display_name: "A case".to_owned(),
        description: "Its description".to_owned(),
        priority: Priority::P2,
        author: Author::customer("Grace Hopper"),
    };
    let name = network.csapi.create_case(case).unwrap().name;
    let around = [("HTTPS_PROXY", PROXY), ("SSL_CERT_FILE", CA)];
    // Fails with what to do if no namespace can be made.
    run(&network, &["--version"], &[]).await;
    let service = Service::start(&network, &around);

    until("the issue", || network.jira.issues().len() == 1).await;
    let issue = network.jira.issues()[0].id.clone();
    network.csapi.add_comment(&name, Author::google("Ada"), "from Google").unwrap();
    network
        .csapi
        .attach(&name, Author::google("Ada"), "google.txt", "text/plain", b"a file of Google's")
        .unwrap();
    network.jira.comment(&issue, "Jane Roe", "from the company").unwrap();
    network.jira.attach(&issue, "Jane Roe", "company.txt", "text/plain", "a file of the company's").unwrap();
    until("the comment in Jira", || {
        network
            .jira
            .issue(&issue)
            .unwrap()
            .comments
            .iter()
            .any(|comment| comment.body.contains("from Google"))
    })
    .await;
    until("the comment at Google", || {
        network.csapi.comments(&name).unwrap().iter().any(|comment| comment.body.contains("from the company"))
    })
    .await;
    until("the files", || {
        network.jira.issue(&issue).unwrap().attachments.len() == 2
            && network.csapi.attachments(&name).unwrap().len() == 2
    })
    .await;
    network.csapi.close(&name).unwrap();
    until("the closing", || network.jira.issue(&issue).unwrap().closed).await;
    let log = service.end();
    Network::keeps_secrets(&log);
    for host in ["sts.corp.test", "iam.corp.test", "csapi.corp.test", "jira.corp.test"] {
        assert!(network.asked_for(host), "{host}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_proxy_or_the_ca_nothing_gets_out_and_the_error_names_the_variable() {
    let network = Network::new().await;
    let (works, text) = run(&network, &["check"], &[("SSL_CERT_FILE", CA)]).await;
    assert!(!works && text.contains("name it in HTTPS_PROXY"), "{text}");
    assert!(!network.asked_for("sts.corp.test") && !network.asked_for("jira.corp.test"));
    let (works, text) = run(&network, &["check"], &[("HTTPS_PROXY", PROXY)]).await;
    assert!(!works && text.contains("SSL_CERT_FILE"), "{text}");
    let (works, text) = run(&network, &["check"], &[("HTTPS_PROXY", PROXY), ("SSL_CERT_FILE", CA)]).await;
    assert!(works && text.contains("CSAPI: search cases of organizations/123: no case at all"), "{text}");
}
