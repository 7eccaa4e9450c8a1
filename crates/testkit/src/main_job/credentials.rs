//! Credentials that expire while the connector works.

use std::time::Duration;

use casebridge::sandbox::oauth::OauthClient;

use crate::harness::crm::{CLIENT_SECRET, Crm, Setup};
use crate::harness::{Options, World};

pub async fn comments_and_files_arrive_across_three_expiries_of_the_access_token(crm: &dyn Crm) {
    let lifetime = Duration::from_secs(1);
    let client = OauthClient::new("casebridge", CLIENT_SECRET, lifetime);
    let setup = Setup { tokens: Some(client.clone()), ..Setup::default() };
    let world = World::with(crm, Options { setup, ..Options::default() }).await;
    let (case, company) = world.pair().await;
    let mut texts = Vec::new();
    for round in 1..=3 {
        // Real time: tokens expire by the system's own clock.
        tokio::time::sleep(lifetime + Duration::from_millis(100)).await;
        let text = format!("round {round}");
        world.google_says(&case, &text);
        world.company_says(&company, &text).await;
        world.google_attaches(&case, &format!("google-{round}.txt"), b"from Google");
        world.company_attaches(&company, &format!("company-{round}.txt"), b"from the company").await;
        world.settle().await;
        texts.push(text);
    }
    assert_eq!((world.copies_in_crm(&company).await, world.copies_at_google(&case)), (texts.clone(), texts));
    assert_eq!(world.company(&company).await.files.len(), 6);
    assert_eq!(world.csapi.attachments(&case).unwrap().len(), 6);
    assert!(client.issued() >= 4, "{} tokens", client.issued());
}
