//! Credentials that expire while the connector works.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use casebridge::clock::SharedClock;
use casebridge::sandbox::oauth::OauthClient;

use crate::harness::backend::Backend;
use crate::harness::crm::{CLIENT_SECRET, Company, Crm, Description, Setup};
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

/// CRM whose only accepted credentials are access tokens that last a second. All its worlds share one OAuth client.
pub struct Renewing<'a> {
    crm: &'a dyn Crm,
    client: OauthClient,
    /// Number of connectors so far; each requests a first token.
    opened: AtomicUsize,
}

impl<'a> Renewing<'a> {
    #[must_use]
    pub fn new(crm: &'a dyn Crm) -> Self {
        let client = OauthClient::new("casebridge", CLIENT_SECRET, Duration::from_secs(1));
        Self { crm, client, opened: AtomicUsize::new(0) }
    }

    /// Returns the number of renewals: tokens beyond the first one of each connector.
    #[must_use]
    pub fn renewals(&self) -> usize {
        self.client.issued().saturating_sub(self.opened.load(Ordering::Relaxed))
    }
}

#[async_trait]
impl Crm for Renewing<'_> {
    async fn description(&self) -> Description {
        // The CRM's own description is that of a desk that lets anybody in.
        self.crm.description().await
    }

    async fn open(&self, clock: &SharedClock, setup: &Setup) -> Company {
        if setup.tokens.is_some() {
            // The scenario has a client of its own.
            return self.crm.open(clock, setup).await;
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        let setup = Setup { tokens: Some(self.client.clone()), ..setup.clone() };
        let company = self.crm.open(clock, &setup).await;
        // A fault that lasts hours for the scenario lasts milliseconds, and the next request for a token comes seconds later.
        if let Some(faults) = company.desk.faults() {
            faults.spare("/oauth");
        }
        company
    }

    fn backend(&self) -> Option<Arc<dyn Backend>> {
        self.crm.backend()
    }
}
