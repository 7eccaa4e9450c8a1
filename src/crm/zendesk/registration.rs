//! Webhook and trigger of Zendesk.
//!
//! Sources: "Webhooks", "Show Webhook Signing Secret", "Ticket Triggers" and "Conditions reference", developer.zendesk.com (November 2026).
//! Only administrators may make them. Assumed: the condition on a checkbox compares with `true`.

use async_trait::async_trait;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Client;
use crate::cases::{ApiError, ApiErrorKind};
use crate::crm::registration::{Step, WebhookTarget, Webhooks};
use crate::outbound::{Call, Upstream};

/// Name of the webhook, and title of the trigger.
const NAME: &str = "casebridge";
/// Body of the trigger's messages, which `push.rs` reads.
const MESSAGE: &str = r#"{"case_id": "{{ticket.id}}", "user": "{{current_user.id}}"}"#;

pub(super) struct Registrar {
    client: Client,
    target: WebhookTarget,
}

#[derive(Deserialize)]
struct Webhook {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    endpoint: String,
    #[serde(default)]
    status: String,
}

#[derive(Deserialize)]
struct Trigger {
    id: u64,
    #[serde(default)]
    title: String,
    #[serde(default)]
    active: bool,
    #[serde(default)]
    actions: Vec<Value>,
    #[serde(default)]
    conditions: Value,
}

impl Trigger {
    fn calls(&self, webhook: &str) -> bool {
        let is_call =
            |action: &&Value| action["field"] == "notification_webhook" && action["value"][0] == webhook;
        self.actions.iter().any(|action| is_call(&action))
    }
}

impl Registrar {
    pub(super) const fn new(client: Client, target: WebhookTarget) -> Self {
        Self { client, target }
    }

    /// Webhooks with the address.
    async fn webhooks(&self) -> Result<Vec<Webhook>, ApiError> {
        let all: Vec<Webhook> = self.client.all("webhooks").await?;
        let address = self.target.address.as_str();
        let is_plain = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        Ok(all.into_iter().filter(|webhook| webhook.endpoint == address && is_plain(&webhook.id)).collect())
    }

    async fn triggers(&self, webhooks: &[Webhook]) -> Result<Vec<Trigger>, ApiError> {
        if webhooks.is_empty() {
            return Ok(Vec::new());
        }
        let all: Vec<Trigger> = self.client.all("triggers").await?;
        Ok(all
            .into_iter()
            .filter(|trigger| webhooks.iter().any(|webhook| trigger.calls(&webhook.id)))
            .collect())
    }

    /// Conditions of the trigger: a ticket with the flag is created or updated.
    async fn conditions(&self) -> Result<Value, ApiError> {
        let flag = self.client.fields().await?.flag;
        let condition =
            |field: &str, value: &str| json!({ "field": field, "operator": "is", "value": value });
        Ok(json!({
            "all": [condition(&format!("custom_fields_{flag}"), "true")],
            "any": [condition("update_type", "Create"), condition("update_type", "Change")],
        }))
    }
}

#[async_trait]
impl Webhooks for Registrar {
    async fn registered(&self) -> Result<Vec<String>, ApiError> {
        let webhooks = self.webhooks().await?;
        let triggers = self.triggers(&webhooks).await?;
        let mut lines: Vec<String> = webhooks
            .iter()
            .map(|webhook| format!("webhook {:?} ({}): {}", webhook.name, webhook.id, webhook.status))
            .collect();
        lines.extend(triggers.iter().map(|trigger| {
            let state = if trigger.active { "active" } else { "inactive" };
            format!("trigger {:?} ({}): {state}", trigger.title, trigger.id)
        }));
        Ok(lines)
    }

    async fn steps(&self, wanted: bool) -> Result<Vec<Step>, ApiError> {
        let webhooks = self.webhooks().await?;
        let triggers = self.triggers(&webhooks).await?;
        let mut steps = Vec::new();
        if !wanted {
            for trigger in &triggers {
                let (text, path) = (
                    format!("delete the trigger {}", trigger.id),
                    format!("/api/v2/triggers/{}", trigger.id),
                );
                steps.push(Step::now(text, Method::DELETE, path, Value::Null));
            }
            for Webhook { id, .. } in &webhooks {
                let (text, path) = (format!("delete the webhook {id}"), format!("/api/v2/webhooks/{id}"));
                steps.push(Step::now(text, Method::DELETE, path, Value::Null));
            }
            return Ok(steps);
        }
        let trigger_text = format!("create a trigger {NAME:?} for tickets with the flag");
        let Some(webhook) = webhooks.first() else {
            let webhook = json!({ "webhook": {
                "name": NAME, "endpoint": self.target.address.as_str(), "http_method": "POST", "request_format": "json",
                "status": "active", "subscriptions": ["conditional_ticket_events"],
            }});
            let text = format!("create a webhook {NAME:?} to {}", self.target.address);
            steps.push(Step::now(text, Method::POST, "/api/v2/webhooks", webhook));
            steps.push(Step::later(trigger_text));
            return Ok(steps);
        };
        if webhook.status != "active" {
            let body = json!({ "webhook": { "status": "active" } });
            let path = format!("/api/v2/webhooks/{}", webhook.id);
            steps.push(Step::now(format!("activate the webhook {}", webhook.id), Method::PATCH, path, body));
        }
        let conditions = self.conditions().await?;
        match triggers.first() {
            None => {
                let action = json!({ "field": "notification_webhook", "value": [webhook.id, MESSAGE] });
                let trigger =
                    json!({ "trigger": { "title": NAME, "conditions": conditions, "actions": [action] } });
                steps.push(Step::now(trigger_text, Method::POST, "/api/v2/triggers", trigger));
            }
            // Conditions that people have changed stay; only a trigger that never fires is mended.
            Some(trigger) if !trigger.active => {
                let path = format!("/api/v2/triggers/{}", trigger.id);
                let body = json!({ "trigger": { "active": true } });
                steps.push(Step::now(
                    format!("activate the trigger {}", trigger.id),
                    Method::PUT,
                    path,
                    body,
                ));
            }
            Some(trigger)
                if trigger.conditions["all"] == json!([]) && trigger.conditions["any"] == json!([]) =>
            {
                let path = format!("/api/v2/triggers/{}", trigger.id);
                let body = json!({ "trigger": { "conditions": conditions } });
                steps.push(Step::now(
                    format!("give the trigger {} its conditions", trigger.id),
                    Method::PUT,
                    path,
                    body,
                ));
            }
            Some(_) => {}
        }
        Ok(steps)
    }

    async fn signing_secret(&self) -> Result<Option<String>, ApiError> {
        let webhooks = self.webhooks().await?;
        let Some(Webhook { id, .. }) = webhooks.first() else { return Ok(None) };
        let path = format!("/api/v2/webhooks/{id}/signing_secret");
        let answer: Value = self.upstream().read(Call::get(&path)).await?;
        let secret = answer.pointer("/signing_secret/secret").and_then(Value::as_str);
        secret.map(|secret| Some(secret.to_owned())).ok_or_else(|| {
            let message = "the answer holds no secret";
            self.upstream().error(ApiErrorKind::Unreadable, &format!("GET {path}"), message)
        })
    }

    fn upstream(&self) -> &Upstream {
        self.client.upstream()
    }

    fn by_hand(&self) -> String {
        format!(
            "An administrator makes both (Admin Center):\n\
             1. Apps and integrations, Webhooks: connect it to a trigger; endpoint {}, method POST, format JSON. Its signing secret is \
             push.company.secret.\n\
             2. Objects and rules, Triggers: when a ticket is created or updated and the flag is checked, notify that webhook with\n\
             {MESSAGE}",
            self.target.address
        )
    }
}
