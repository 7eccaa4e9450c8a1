//! The real binary behind a CONNECT proxy with a CA of its own. `tests/namespaces.rs` has it where there is no other way out.

use std::process::Output;

use casebridge::sandbox::csapi::{Author, NewCase, Priority};

use super::network::{CA, Network};

/// Runs the binary with nothing but these variables.
async fn run(network: &Network, arguments: &[&str], variables: &[(&str, &str)]) -> (Output, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_casebridge"));
    command
        .args(arguments)
        .current_dir(network.folder())
        .env_clear()
        .env("HOME", network.folder())
        .env("GOOGLE_APPLICATION_CREDENTIALS", network.credentials())
        .envs(variables.iter().copied());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    Network::keeps_secrets(&text);
    (output, text)
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_proxy_with_a_ca_of_its_own_a_case_travels_and_no_key_is_needed() {
    let network = Network::new().await;
    let around = [("HTTPS_PROXY", network.proxy.as_str()), ("SSL_CERT_FILE", CA)];
    let case = NewCase {
        parent: "organizations/123".to_owned(),
        display_name: "A case".to_owned(),
        description: "Its description".to_owned(),
        priority: Priority::P2,
        author: Author::customer("Grace Hopper"),
    };
    let name = network.csapi.create_case(case).unwrap().name;
    let (_, check) = run(&network, &["check"], &around).await;
    assert!(check.contains("ok      CSAPI: search cases of organizations/123"), "{check}");
    assert!(check.contains("ok      Jira: "), "{check}");
    for command in [&["poll", "google"][..], &["sync", "google", &name]] {
        let (output, text) = run(&network, command, &around).await;
        assert!(output.status.success(), "{command:?}: {text}");
    }
    assert_eq!(network.jira.issues().len(), 1);
    for host in ["sts.corp.test", "iam.corp.test", "csapi.corp.test", "jira.corp.test"] {
        assert!(network.asked_for(host), "{host}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_proxy_or_the_ca_the_error_names_the_variable() {
    let network = Network::new().await;
    let proxy = ("HTTPS_PROXY", network.proxy.as_str());
    let ca = ("SSL_CERT_FILE", CA);
    let sts = "sts.corp.test/v1/token: cannot connect";
    // `NO_PROXY` is obeyed too: that host is not asked for at the proxy.
    for variables in [&[ca][..], &[proxy, ca, ("NO_PROXY", "sts.corp.test")]] {
        let (_, text) = run(&network, &["check"], variables).await;
        assert!(text.contains(sts) && text.contains("name it in HTTPS_PROXY"), "{text}");
        assert!(!network.asked_for("sts.corp.test"));
    }
    let (_, text) = run(&network, &["check"], &[proxy]).await;
    assert!(text.contains(sts) && text.contains("name its file in SSL_CERT_FILE"), "{text}");
    assert!(network.asked_for("sts.corp.test"));
}
