//! Webhook of Jira.
//!
//! Sources: "Webhooks", *Registering a webhook via the Jira REST API* and *Secure admin webhooks*,
//! developer.atlassian.com/cloud/jira/platform/webhooks (January 2026). Only administrators may make them.
//!
//! - Cloud: `/rest/webhooks/1.0/webhook` at the site's own address. Atlassian's gateway does not have that path, so a service account
//!   cannot call it; and dynamic webhooks (`/rest/api/2/webhook`) are for apps only, end after 30 days, and know no JQL on own fields.
//! - Data Center: version 10 has another path with another format than version 9 ("Jira 10.0 release notes"), so people make it.

use async_trait::async_trait;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Client;
use super::jql;
use crate::cases::ApiError;
use crate::crm::registration::{Step, WebhookTarget, Webhooks};
use crate::outbound::{Call, Upstream};

const NAME: &str = "casebridge";
/// Path of all webhooks.
const PATH: &str = "/rest/webhooks/1.0/webhook";
/// Events that lead to a sync.
const EVENTS: [&str; 4] = ["jira:issue_created", "jira:issue_updated", "comment_created", "comment_updated"];
/// Member of `filters` that holds the JQL for events of issues.
const FILTER: &str = "issue-related-events-section";

pub(super) struct Registrar {
    client: Client,
    target: WebhookTarget,
}

#[derive(Deserialize)]
struct Webhook {
    #[serde(default)]
    name: String,
    #[serde(default)]
    url: String,
    #[serde(default)]
    events: Vec<String>,
    #[serde(default)]
    enabled: Option<bool>,
    #[serde(rename = "self")]
    address: String,
}

impl Webhook {
    /// Number at the end of the webhook's own address.
    fn id(&self) -> Option<&str> {
        let id = self.address.rsplit('/').next()?;
        (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())).then_some(id)
    }

    fn is_right(&self) -> bool {
        self.enabled != Some(false)
            && EVENTS.iter().all(|event| self.events.iter().any(|known| known == event))
    }
}

impl Registrar {
    pub(super) const fn new(client: Client, target: WebhookTarget) -> Self {
        Self { client, target }
    }

    /// Webhooks to the address.
    async fn webhooks(&self) -> Result<Vec<Webhook>, ApiError> {
        let all: Vec<Webhook> = self.upstream().read(Call::get(PATH)).await?;
        Ok(all.into_iter().filter(|webhook| webhook.url == self.target.address.as_str()).collect())
    }

    /// Webhook as it has to be.
    async fn wanted(&self) -> Result<Value, ApiError> {
        let fields = self.client.fields().await?;
        let filter = jql::flagged(&fields.flag, &self.client.settings().flag_value);
        let mut wanted = json!({
            "name": NAME,
            "description": "Tells casebridge that a case may have changed",
            "url": self.target.address.as_str(),
            "events": EVENTS,
            "filters": { FILTER: filter },
            "excludeBody": false,
        });
        if let Some(secret) = &self.target.secret {
            wanted["secret"] = secret.as_str().into();
        }
        Ok(wanted)
    }
}

#[async_trait]
impl Webhooks for Registrar {
    async fn registered(&self) -> Result<Vec<String>, ApiError> {
        let webhooks = self.webhooks().await?;
        Ok(webhooks
            .iter()
            .map(|webhook| {
                let state = if webhook.enabled == Some(false) { "disabled" } else { "enabled" };
                format!(
                    "webhook {:?} ({}): {state}, {}",
                    webhook.name,
                    webhook.id().unwrap_or("?"),
                    webhook.events.join(", ")
                )
            })
            .collect())
    }

    async fn steps(&self, wanted: bool) -> Result<Vec<Step>, ApiError> {
        let webhooks = self.webhooks().await?;
        let known = webhooks.iter().filter_map(|webhook| Some((webhook, webhook.id()?)));
        if !wanted {
            let delete = |(_, id): (&Webhook, &str)| {
                Step::now(
                    format!("delete the webhook {id}"),
                    Method::DELETE,
                    format!("{PATH}/{id}"),
                    Value::Null,
                )
            };
            return Ok(known.map(delete).collect());
        }
        let body = self.wanted().await?;
        match known.clone().next() {
            None => {
                let text = format!("create a webhook {NAME:?} to {}", self.target.address);
                Ok(vec![Step::now(text, Method::POST, PATH, body)])
            }
            Some((webhook, _)) if webhook.is_right() => Ok(Vec::new()),
            Some((_, id)) => {
                let text = format!("enable the webhook {id}, with the events that are needed");
                let mut body = body;
                body["enabled"] = true.into();
                Ok(vec![Step::now(text, Method::PUT, format!("{PATH}/{id}"), body)])
            }
        }
    }

    async fn signing_secret(&self) -> Result<Option<String>, ApiError> {
        Ok(None)
    }

    fn upstream(&self) -> &Upstream {
        self.client.upstream()
    }

    fn by_hand(&self) -> String {
        by_hand(&self.target)
    }
}

/// Says what an administrator of Jira does.
pub(super) fn by_hand(target: &WebhookTarget) -> String {
    format!(
        "An administrator of Jira makes it: System, WebHooks, Create a WebHook; URL {address}, secret: that of push.company.secret, events \
         Issue created and updated, Comment created and updated, JQL: your flag, so that other issues send nothing.\n\
         Or a rule of Jira Automation: trigger \"Field value changed\" or \"Work item commented\", action \"Send web request\" to {address}, \
         method POST, header X-Casebridge-Secret with the secret, custom data\n\
         {{\"case_id\": \"{{{{issue.id}}}}\", \"user\": \"{{{{initiator.accountId}}}}\"}}",
        address = target.address
    )
}
