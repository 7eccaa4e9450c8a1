//! Pages of the sandboxes that list what a configuration can name, and the forms of the desks.

use std::sync::Arc;

use casebridge::clock::SystemClock;
use casebridge::sandbox::csapi::{SAMPLE_ID, SandboxCsapi};
use casebridge::sandbox::jira::{NewIssue, SandboxJira, SandboxJiraSettings};
use casebridge::sandbox::servicenow::{SandboxServiceNow, SandboxServiceNowSettings};
use casebridge::sandbox::zendesk::{NewTicket, SandboxZendesk, SandboxZendeskSettings};
use casebridge_testkit::harness::serve;
use casebridge_testkit::service::client;
use serde_json::{Value, json};

async fn text(url: String) -> String {
    let answer = client().get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.text().await.unwrap()
}

#[tokio::test]
async fn each_sandbox_lists_what_a_configuration_can_name() {
    let clock = || Arc::new(SystemClock);
    let jira = SandboxJiraSettings { service_management: true, ..SandboxJiraSettings::default() };
    let jira = SandboxJira::new(clock(), jira);
    jira.add_text_field("Escalate to Google").unwrap();
    for (router, words) in [
        (
            SandboxCsapi::new(clock(), "organizations/123").router(),
            &["organizations/123", SAMPLE_ID, "ACTION_REQUIRED", "Compute Engine"][..],
        ),
        (
            jira.router(),
            &[
                "SUP",
                "Waiting for customer",
                "Report an incident",
                "customfield_10050",
                "Escalate to Google",
                "Support",
            ],
        ),
        (
            SandboxZendesk::new(clock(), SandboxZendeskSettings::default()).router(),
            &["360000000101", "Waiting for Google", "custom_field_google_name", "urgent"],
        ),
        (
            SandboxServiceNow::new(clock(), SandboxServiceNowSettings::default()).router(),
            &["287ebd7da9fe198100f92cc8d1d2154e", "On Hold", "incident: columns", "watch_list", "close_code"],
        ),
    ] {
        let address = serve(router).await;
        assert!(text(format!("http://{address}/")).await.contains("href=\"/setup\""));
        let page = text(format!("http://{address}/setup")).await;
        for word in words {
            assert!(page.contains(word), "{word}: {page}");
        }
    }
}

#[tokio::test]
async fn a_comment_is_edited_on_the_page_of_its_issue() {
    let jira = SandboxJira::new(Arc::new(SystemClock), SandboxJiraSettings::default());
    let id = jira.create_issue(NewIssue::new("Disk is slow")).unwrap();
    let comment = jira.comment(&id, "Jane Roe", "Frist").unwrap();
    let key = jira.issue(&id).unwrap().key;
    let at = format!("http://{}/browse/{key}", serve(jira.router()).await);
    assert!(text(at.clone()).await.contains(&format!("/comments/{comment}")));
    let form = async |fields: &[(&str, &str)]| {
        let answer = client().post(format!("{at}/comments/{comment}")).form(fields).send().await.unwrap();
        answer.status().as_u16()
    };
    assert!(form(&[("body", "First")]).await < 400);
    let shown = || jira.issue(&id).unwrap().comments[0].clone();
    assert_eq!(
        (shown().body.as_str(), shown().internal, shown().author.as_str()),
        ("First", false, "Jane Roe")
    );
    assert!(form(&[("body", "First, for us"), ("internal", "true")]).await < 400);
    assert_eq!((shown().body.as_str(), shown().internal), ("First, for us", true));
    assert_eq!(form(&[("body", " ")]).await, 400);
}

// Source: "Setting email CCs", developer.zendesk.com.
#[tokio::test]
async fn people_are_copied_on_a_ticket_by_id_or_by_address_and_taken_off_again() {
    let zendesk = SandboxZendesk::new(Arc::new(SystemClock), SandboxZendeskSettings::default());
    let id = zendesk.create_ticket(NewTicket::new("Disk is slow")).unwrap();
    let at = format!("http://{}", serve(zendesk.router()).await);
    let ticket = format!("{at}/api/v2/tickets/{id}");
    let put = async |fields: Value| {
        let answer = client().put(&ticket).json(&json!({ "ticket": fields })).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let (status, answer) = put(json!({ "email_ccs": [
        { "user_email": "ann@customer.example", "user_name": "Ann Other", "action": "put" },
        { "user_email": "max@customer.example" },
    ] }))
    .await;
    assert_eq!(
        (status, answer["ticket"]["email_cc_ids"].as_array().map(Vec::len)),
        (200, Some(2)),
        "{answer}"
    );
    let listed: Value =
        client().get(format!("{ticket}/email_ccs")).send().await.unwrap().json().await.unwrap();
    let ann = &listed["users"][0];
    assert_eq!(
        (&ann["email"], &ann["role"]),
        (&json!("ann@customer.example"), &json!("end-user")),
        "{listed}"
    );
    let (_, answer) = put(json!({ "email_ccs": [{ "user_id": ann["id"], "action": "delete" }] })).await;
    assert_eq!(answer["ticket"]["email_cc_ids"].as_array().map(Vec::len), Some(1), "{answer}");
    // An end user follows no ticket, and somebody unknown is nobody.
    for followers in [json!([{ "user_id": ann["id"] }]), json!([{ "user_email": "nobody@customer.example" }])]
    {
        assert_eq!(put(json!({ "followers": followers })).await.0, 422);
    }
    // The same on its page.
    let form = [("email", "eve@customer.example"), ("name", "Eve"), ("action", "put")];
    let answer = client().post(format!("{at}/agent/tickets/{id}/ccs")).form(&form).send().await.unwrap();
    assert!(answer.status().as_u16() < 400);
    // Another one of that name is another person.
    let namesake = json!([{ "user_email": "eve@company.example", "user_name": "Eve", "action": "put" }]);
    assert_eq!(put(json!({ "email_ccs": namesake })).await.0, 200);
    let page = text(format!("{at}/agent/tickets/{id}")).await;
    for eve in ["Eve &lt;eve@customer.example&gt;", "Eve &lt;eve@company.example&gt;"] {
        assert!(page.contains(eve), "{eve}: {page}");
    }
}
