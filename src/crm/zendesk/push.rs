//! Messages of Zendesk's webhooks: events that a webhook subscribes to, and what a trigger sends.
//!
//! Sources: "Verifying webhooks", developer.zendesk.com/documentation/webhooks/verifying; "Ticket events",
//! developer.zendesk.com/api-reference/webhooks/event-types/ticket-events (November 2026).

use serde::Deserialize;
use serde_json::Value;

use crate::cases::{Hint, Refusal};
use crate::crm::Message;
use crate::crm::webhook::{hint_about, id};

const SIGNATURE: &str = "x-zendesk-webhook-signature";
const TIMESTAMP: &str = "x-zendesk-webhook-signature-timestamp";

#[derive(Deserialize)]
struct Event {
    /// Ticket of an event.
    #[serde(default)]
    detail: Option<Value>,
    #[serde(default, rename = "event")]
    what: Option<Value>,
    /// Ticket that a trigger's own body names.
    #[serde(default)]
    case_id: Option<Value>,
    #[serde(default)]
    user: Option<Value>,
}

/// Verifies a message, and reads it.
pub(super) fn read(message: &Message<'_>) -> Result<Vec<Hint>, Refusal> {
    let Some(signed) = message.stamped_signature(SIGNATURE, TIMESTAMP) else { return message.own_format() };
    signed?;
    let event: Event = message.json()?;
    let at = |value: &Option<Value>, path: &str| id(value.as_ref().and_then(|value| value.pointer(path)));
    let Some(ticket) = id(event.case_id.as_ref()).or_else(|| at(&event.detail, "/id")) else {
        return Ok(Vec::new());
    };
    let user = id(event.user.as_ref()).or_else(|| at(&event.detail, "/actor_id"));
    hint_about(&ticket, at(&event.what, "/comment/id"), user)
}
