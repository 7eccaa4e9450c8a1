//! Receiver of the CRM's webhooks. Each kind of CRM reads its own messages.

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};

use crate::cases::{Hint, Refusal};
use crate::crm::{CrmSettings, Message, WebhookSecret};

/// Receiver of the CRM's webhooks.
pub struct CompanyReceiver {
    crm: CrmSettings,
    secrets: Vec<WebhookSecret>,
}

impl CompanyReceiver {
    /// Creates the receiver. A message has to be proven with one of the secrets: the current one, or the previous one while it is rotated.
    #[must_use]
    pub fn new(crm: CrmSettings, secrets: &[&str]) -> Self {
        Self { crm, secrets: secrets.iter().map(|secret| WebhookSecret::new(secret)).collect() }
    }

    /// Verifies a message, and reads it. Returns no hint if the message names no case.
    pub fn receive(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Vec<Hint>, Refusal> {
        self.crm.read_webhook(&Message { headers, body, secrets: &self.secrets, now })
    }
}
