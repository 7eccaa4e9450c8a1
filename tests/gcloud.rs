//! Stores, queues, credentials and what is deployed, against Google's own software from the Cloud SDK.
//!
//! Runs with `cargo test --test gcloud`. Needs `gcloud` with its emulators, and Java; starts and
//! stops the emulators itself, each on a free port.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its support code as well as in the test function"
)]

#[path = "gcloud/backend.rs"]
mod backend;
#[path = "gcloud/cloud_tasks.rs"]
mod cloud_tasks;
#[path = "gcloud/commands.rs"]
mod commands;
#[path = "gcloud/credentials.rs"]
mod credentials;
#[path = "gcloud/datastore.rs"]
mod datastore;
#[path = "gcloud/deploy_files.rs"]
mod deploy_files;
#[path = "gcloud/emulator.rs"]
mod emulator;
#[path = "gcloud/firestore.rs"]
mod firestore;
#[path = "gcloud/instances.rs"]
mod instances;
#[path = "gcloud/main_job.rs"]
mod main_job_table;
#[path = "gcloud/pubsub.rs"]
mod pubsub;
#[path = "gcloud/relay.rs"]
mod relay;
#[path = "gcloud/task_queue.rs"]
mod task_queue;
#[path = "gcloud/watching.rs"]
mod watching;

/// Waits until a store whose database was started again answers.
async fn answers_again(store: &dyn casebridge::store::Store) {
    let begun = tokio::time::Instant::now();
    while let Err(error) = store.check().await {
        assert!(begun.elapsed() < std::time::Duration::from_mins(5), "{error}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// A plain client, to look at what is stored without our stores.
fn http() -> reqwest::Client {
    casebridge_testkit::service::client()
}
