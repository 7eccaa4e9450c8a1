//! Other people's clients, unchanged, against the sandboxes: they hold a simulated server to the truth.
//!
//! Needs the feature `real-parts` and a Python that has the packages of `tests/clients/requirements.txt`:
//! `.ci/python-clients.sh` makes one and prints its path, which `CASEBRIDGE_CLIENTS_PYTHON` overrides. Without it these tests fail;
//! they are never skipped.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use casebridge::clock::SystemClock;
use casebridge::sandbox::csapi::SandboxCsapi;

/// The Python to use, or what to do to have one.
fn python() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = std::env::var_os("CASEBRIDGE_CLIENTS_PYTHON")
        .map_or_else(|| root.join("target/clients-venv/bin/python"), PathBuf::from);
    assert!(
        python.exists(),
        "{} does not exist: run .ci/python-clients.sh, or set CASEBRIDGE_CLIENTS_PYTHON to a Python that has the packages \
         of tests/clients/requirements.txt",
        python.display()
    );
    python
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn googles_python_clients_work_with_the_sandbox_csapi() {
    let python = python();
    let sandbox = SandboxCsapi::new(Arc::new(SystemClock), "organizations/123");
    sandbox.seed_samples().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move { axum::serve(listener, sandbox.router()).await.unwrap() });

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/csapi_google_client.py");
    let run = move || {
        let mut command = Command::new(python);
        command.arg(script).arg(url).env("NO_PROXY", "*").output()
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap().expect("Python starts");
    server.abort();

    let printed = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    println!("{printed}");
    assert!(output.status.success(), "{}\n{printed}\n{complaints}", output.status);
    assert!(
        printed.trim_end().ends_with("all passed"),
        "the closing line is missing:\n{printed}\n{complaints}"
    );
}
