//! Main job over every CRM that a test can start without an installation; `tests/request_tracker.rs` has the other one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, in its support code as well as in the test function"
)]

use casebridge_testkit::harness::crm::{Crm, Description};
use casebridge_testkit::harness::jira::JiraKind;
use casebridge_testkit::harness::request_tracker;
use casebridge_testkit::harness::servicenow::ServiceNowKind;
use casebridge_testkit::harness::zendesk::ZendeskKind;
use casebridge_testkit::main_job::credentials::Renewing;
use casebridge_testkit::main_job::{matrix, played_of, what_travels};
use mimalloc::MiMalloc;

/// Takes less processor time than the system's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

mod jira {
    use casebridge_testkit::harness::jira::JiraKind;
    use casebridge_testkit::main_job::{main_job_over, tests_of};

    main_job_over!(&JiraKind);
}

mod zendesk {
    use casebridge_testkit::harness::zendesk::ZendeskKind;
    use casebridge_testkit::main_job::{main_job_over, tests_of};

    main_job_over!(&ZendeskKind);
}

mod servicenow {
    use casebridge_testkit::harness::servicenow::ServiceNowKind;
    use casebridge_testkit::main_job::{main_job_over, tests_of};

    main_job_over!(&ServiceNowKind);
}

/// Plays the main job, as far as [`what_travels!`] goes, with access tokens that last a second, and no other credentials. Plays it again
/// until the tokens were renewed three times, since a fast machine is done before.
async fn across_expiring_tokens(crm: &dyn Crm) {
    let crm = Renewing::new(crm);
    let mut played = 0;
    for _ in 0..=10 {
        if crm.renewals() < 3 {
            played = what_travels!(&crm);
        }
    }
    let all = casebridge_testkit::main_job::TABLE.len();
    println!("{played} of {all} scenarios, {} renewals", crm.renewals());
    assert!(played >= 25, "{played} of {all}");
    assert!(crm.renewals() >= 3, "{} renewals", crm.renewals());
}

#[tokio::test]
async fn jira_cloud_behind_its_gateway_does_the_main_job_with_tokens_that_expire() {
    across_expiring_tokens(&JiraKind).await;
}

#[tokio::test]
async fn zendesk_does_the_main_job_with_tokens_that_expire() {
    across_expiring_tokens(&ZendeskKind).await;
}

#[tokio::test]
async fn servicenow_does_the_main_job_with_tokens_that_expire() {
    across_expiring_tokens(&ServiceNowKind).await;
}

/// Returns all CRMs, in the order of the documentation.
async fn crms() -> Vec<Description> {
    vec![
        JiraKind.description().await,
        ZendeskKind.description().await,
        ServiceNowKind.description().await,
        request_tracker::description(),
    ]
}

#[tokio::test]
async fn the_printed_matrix_is_the_one_in_the_documentation_and_has_every_crm() {
    let crms = crms().await;
    assert_eq!(crms.len(), casebridge::crm::CrmSettings::KINDS.len(), "a CRM is missing");
    let matrix = matrix(&crms);
    println!("{matrix}");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/crm-matrix.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, documented) = page.split_once("<!-- the printed matrix -->\n").unwrap();
    assert!(documented == matrix, "{path} differs from the table; below its mark it must say:\n{matrix}");
}
