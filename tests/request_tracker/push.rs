//! The documented scrip, in the real Request Tracker: what it sends names the ticket and the user, and is proven.

use std::time::Duration;

use casebridge::cases::Hint;
use casebridge::clock::{Clock as _, SystemClock};
use casebridge::crm::CrmSettings;
use casebridge::entities::{CompanyCaseId, FirstSeen};
use casebridge::push::CompanyReceiver;
use casebridge_testkit::scripted::{Say, Scripted};
use reqwest::header::{HeaderMap, HeaderValue};

use crate::server::Server;

const SECRET: &str = "the-webhook-secret";

#[tokio::test]
async fn the_documented_scrip_tells_of_each_change_of_a_ticket() {
    let service = Scripted::answers(vec![Say::status(204, "", "")]).await;
    let lines =
        format!("Set($CasebridgeURL, '{}push/company');\nSet($CasebridgeSecret, '{SECRET}');", service.url);
    let server = tokio::task::spawn_blocking(move || Server::with(1, &lines)).await.unwrap();
    let slot = server.slot();
    let scrip = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/push/request-tracker.pl");
    server.alter(
        &slot,
        &format!(
            r"open( my $file, '<', '{scrip}' ) or die; my $code = do {{ local $/; <$file> }};
            my $scrip = RT::Scrip->new($system);
            must( $scrip->Create( Queue => $queue->Id, Description => 'casebridge', Template => 'Blank',
                ScripCondition => 'On Transaction', ScripAction => 'User Defined',
                CustomPrepareCode => 'return 1;', CustomCommitCode => $code ) );"
        ),
    );
    let jane = server.jane();
    let ticket = jane.creates(&slot.queue, "Quota", "It is used up", true).await;
    jane.writes(&ticket, true, "text/plain", "Still").await;

    let settings = "queue = \"General\"\nuser = \"casebridge\"".parse().unwrap();
    let receiver = CompanyReceiver::new(CrmSettings::read("request-tracker", settings).unwrap(), &[SECRET]);
    let case = FirstSeen::Company(CompanyCaseId::parse(&ticket).unwrap());
    let mut users = Vec::new();
    for asked in service.asked() {
        let mut headers = HeaderMap::new();
        let secret = asked.header("x-casebridge-secret").unwrap();
        headers.insert("x-casebridge-secret", HeaderValue::from_str(secret).unwrap());
        let hints =
            receiver.receive(&headers, asked.json().to_string().as_bytes(), SystemClock.now()).unwrap();
        let [Hint { case: named, item: None, user: Some(user) }] = hints.as_slice() else {
            panic!("{hints:?}")
        };
        assert_eq!(named, &case);
        users.push(user.clone());
    }
    // Request Tracker itself sets some fields of a new ticket.
    users.retain(|user| user != "RT_System");
    assert!(users.len() >= 2, "creation and comment: {users:?}\n{}", server.log());
    assert!(users.iter().all(|user| user == "jane"), "{users:?}");
    // A service that does not answer delays the person by seconds and fails nothing.
    drop(service);
    tokio::time::timeout(Duration::from_mins(5), jane.writes(&ticket, true, "text/plain", "Nobody listens"))
        .await
        .unwrap();
}
