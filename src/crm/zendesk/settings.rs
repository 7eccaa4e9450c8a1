//! The `[company.zendesk]` section.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::Zendesk;
use super::client::Client;
use super::registration::Registrar;
use super::wire::error_text;
use crate::cases::{CaseSystem, Hint, LinkDetail, Placement, Refusal, Visibility, is_same_name};
use crate::clock::SharedClock;
use crate::crm::registration::{Registration, WebhookTarget};
use crate::crm::{CrmKind, Message, PriorityWords, first_given, is_number, own_field, spaced_labels};
use crate::outbound::{
    ClientCredentials, Credentials, Dialect, TokenEndpoint, TokenRequest, Upstream, basic, bearer,
};

/// Settings of the Zendesk adapter: the `[company.zendesk]` section.
///
/// `api_token` and `oauth_token` are references to secrets (`env:NAME`, `file:PATH`, …), never secrets. The code that reads the
/// configuration resolves them and passes the value to [`CrmKind::credentials`].
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ZendeskSettings {
    /// Email address of the connector's agent, for an API token.
    pub email: Option<String>,
    /// Reference to the secret that holds an API token.
    pub api_token: Option<String>,
    /// Reference to the secret that holds an OAuth access token; replaces `email` and `api_token`.
    pub oauth_token: Option<String>,
    /// Unique identifier of an OAuth client, whose access tokens the connector requests itself; with `client_secret`.
    pub client_id: Option<String>,
    /// Reference to the secret of that OAuth client.
    pub client_secret: Option<String>,
    /// End of the credentials, as a date (`2027-03-01`) or a time: `check` warns of it.
    pub token_expires: Option<String>,
    /// Checkbox field that makes a case take part in the sync, by title or by ID.
    pub flag_field: String,
    /// Text field for the Google case's name, by title or by ID.
    pub google_name_field: String,
    /// Text field that shows Google's state, by title or by ID. Default: none.
    pub google_state_field: Option<String>,
    /// True if tickets made for Google cases also have the Google case in `external_id`, by which Zendesk finds them at once. Switch it off
    /// if another program uses that field.
    pub use_external_id: bool,
    /// True if polls also read the incremental export, which is complete where the search may be late. Requires an administrator.
    pub use_incremental_export: bool,
    /// Visibility of the description of a ticket made for a Google case.
    pub description_visibility: Visibility,
    /// True if the description of a ticket goes to Google even if it is an internal note.
    pub carry_internal_description: bool,
    /// Tags of new tickets.
    pub tags: Vec<String>,
    /// Group that new tickets are assigned to.
    pub group_id: Option<u64>,
    /// Brand of new tickets.
    pub brand_id: Option<u64>,
    /// Form of new tickets.
    pub ticket_form_id: Option<u64>,
    /// Assignee to set when a ticket without one is solved. Default: the connector's agent.
    pub solver_id: Option<u64>,
    /// Custom fields to set when a ticket is solved, by ID: those that are required for it.
    pub solve_fields: BTreeMap<String, Value>,
    /// Maximum number of updates of one ticket that the connector makes in ten minutes.
    pub updates_per_ticket: usize,
    /// Largest attachment, in MiB.
    pub attachment_limit_mib: u64,
    /// Hosts besides Zendesk's own that attachments may be downloaded from: `host`, `host:port` or `.domain`.
    pub download_hosts: Vec<String>,
}

/// Types of a ticket ("Tickets", *JSON format*, developer.zendesk.com).
const TYPES: [&str; 4] = ["problem", "incident", "question", "task"];

impl ZendeskSettings {
    /// Returns the keys of the configuration that hold the credentials.
    pub(super) const fn credential_keys(&self) -> &'static str {
        if self.oauth_token.is_some() {
            "company.zendesk.oauth_token"
        } else if self.email.is_some() || self.api_token.is_some() {
            "company.zendesk.email and company.zendesk.api_token"
        } else {
            "company.zendesk.client_id and company.zendesk.client_secret"
        }
    }
}

impl Default for ZendeskSettings {
    fn default() -> Self {
        Self {
            email: None,
            api_token: None,
            oauth_token: None,
            client_id: None,
            client_secret: None,
            token_expires: None,
            flag_field: "synchronizeWithGoogleCloudSupport".to_owned(),
            google_name_field: "custom_field_google_name".to_owned(),
            google_state_field: None,
            use_external_id: true,
            use_incremental_export: true,
            description_visibility: Visibility::Internal,
            carry_internal_description: false,
            tags: vec!["google_cloud".to_owned()],
            group_id: None,
            brand_id: None,
            ticket_form_id: None,
            solver_id: None,
            solve_fields: BTreeMap::new(),
            // "30 updates per 10 minutes per user per ticket" (Rate limits, developer.zendesk.com), less two for a person who uses the same
            // agent.
            updates_per_ticket: 28,
            // An assumption, known from practice: the reference of ticket attachments gives no limit. A file that Zendesk refuses
            // nevertheless becomes a comment as well.
            attachment_limit_mib: 50,
            download_hosts: Vec::new(),
        }
    }
}

impl CrmKind for ZendeskSettings {
    fn name(&self) -> &'static str {
        super::NAME
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut demand = |holds: bool, problem: String| {
            if !holds {
                problems.push(problem);
            }
        };
        for (name, value) in
            [("flag_field", &self.flag_field), ("google_name_field", &self.google_name_field)]
        {
            demand(!value.trim().is_empty(), format!("company.zendesk.{name} must not be empty"));
        }
        demand(
            self.google_state_field.as_ref().is_none_or(|name| !name.trim().is_empty()),
            "company.zendesk.google_state_field must not be empty: leave it out if no field is to show Google's state".to_owned(),
        );
        demand(
            self.email.is_some() == self.api_token.is_some(),
            "company.zendesk.email and company.zendesk.api_token belong together: give both, or client_id and \
             client_secret, or none for a sandbox"
                .to_owned(),
        );
        demand(
            self.client_id.is_some() == self.client_secret.is_some(),
            "company.zendesk.client_id and company.zendesk.client_secret belong together: give both"
                .to_owned(),
        );
        let ways = [&self.oauth_token, &self.api_token, &self.client_secret];
        demand(
            ways.into_iter().flatten().count() <= 1,
            "company.zendesk.client_secret, oauth_token and api_token exclude each other: give one of them"
                .to_owned(),
        );
        demand(
            self.updates_per_ticket > 0,
            "company.zendesk.updates_per_ticket must be at least 1".to_owned(),
        );
        demand(
            self.attachment_limit_mib > 0,
            "company.zendesk.attachment_limit_mib must be at least 1".to_owned(),
        );
        for id in self.solve_fields.keys() {
            demand(
                id.parse::<u64>().is_ok(),
                format!(
                    "company.zendesk.solve_fields.{id} is no field's ID: give the number in the field's address"
                ),
            );
        }
        problems
    }

    // A ticket's side bar shows links to other systems only where an app draws them ("Ticket sidebar", developer.zendesk.com).
    fn remote_link(&self) -> Result<LinkDetail, String> {
        Err("a ticket of Zendesk has no links to other systems without an app; company.zendesk.google_name_field shows the Google \
             case's name"
            .to_owned())
    }

    fn placement_keys(&self) -> &'static [&'static str] {
        &["issue_type", "labels", "assignee", "group", "request_type", "fields"]
    }

    fn match_keys(&self) -> &'static [&'static str] {
        &["project", "issue_type", "component", "label", "field"]
    }

    fn field_mistake(&self, name: &str) -> Option<String> {
        (!is_number(name)).then(|| {
            format!("{name:?} is no field's ID: give the number in the field's address (Admin Center, Tickets, Fields)")
        })
    }

    fn placement_mistakes(&self, placement: &Placement) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut demand = |holds: bool, mistake: String| {
            if !holds {
                mistakes.push(mistake);
            }
        };
        demand(
            placement.issue_type.as_ref().is_none_or(|kind| TYPES.contains(&kind.to_lowercase().as_str())),
            format!("issue_type: expected one of {}", TYPES.join(", ")),
        );
        for (key, value) in [("group", &placement.group), ("request_type", &placement.request_type)] {
            demand(
                value.as_deref().is_none_or(is_number),
                format!("{key}: expected an ID, the number in the address of the group or the ticket form"),
            );
        }
        demand(
            placement.assignee.as_deref().is_none_or(|person| is_number(person) || person.contains('@')),
            "assignee: expected an agent's ID or email address".to_owned(),
        );
        for mistake in spaced_labels(placement, "at which Zendesk splits tags") {
            demand(false, mistake);
        }
        for name in placement.fields.keys() {
            demand(
                is_number(name),
                format!("fields.{name} is no field's ID: give the number in the field's address"),
            );
            let is_own = [&self.flag_field, &self.google_name_field].contains(&name)
                || self.google_state_field.as_ref() == Some(name);
            demand(!is_own, own_field(name));
        }
        mistakes
    }

    fn means_closed(&self, status: &str) -> bool {
        ["solved", "closed"].iter().any(|closed| is_same_name(closed, status))
    }

    fn own_priorities(&self) -> &'static str {
        "use urgent, high, normal and low: P0 = \"urgent\", P1 = \"high\", P2 = \"normal\", P3 = \"low\", P4 = \"low\""
    }

    fn api_paths(&self) -> &'static [&'static str] {
        &["/api/v2"]
    }

    fn token_expires(&self) -> Option<&str> {
        self.token_expires.as_deref()
    }

    fn read_webhook(&self, message: &Message<'_>) -> Result<Vec<Hint>, Refusal> {
        super::push::read(message)
    }

    fn secret(&self) -> Option<(&'static str, &str)> {
        first_given([
            ("client_secret", &self.client_secret),
            ("api_token", &self.api_token),
            ("oauth_token", &self.oauth_token),
        ])
    }

    // Source: "Security and authentication", developer.zendesk.com: `{email}/token:{api_token}`, or a bearer token.
    fn credentials(&self, secret: &str, site: &Url) -> Result<Arc<dyn Credentials>, String> {
        let secret = secret.trim();
        if let Some(client_id) = &self.client_id {
            return Ok(Arc::new(ClientCredentials::new(token_endpoint(site)?, client_id, secret)?));
        }
        Ok(match &self.email {
            Some(email) => Arc::new(basic(&format!("{}/token", email.trim()), secret)?),
            None => Arc::new(bearer(secret)?),
        })
    }

    // Zendesk keeps files on a separate domain, to which `content_url` redirects.
    fn allowed_download_hosts(&self) -> Vec<String> {
        [".zdusercontent.com".to_owned()].into_iter().chain(self.download_hosts.iter().cloned()).collect()
    }

    fn dialect(&self) -> Dialect {
        Dialect { stranger: None, error_text: Some(error_text) }
    }

    fn is_told_secret(&self) -> bool {
        false
    }

    fn registration(&self, target: WebhookTarget, upstream: Upstream, clock: SharedClock) -> Registration {
        let upstream = upstream.speaking(self.dialect());
        Registration::Calls(Box::new(Registrar::new(Client::new(self.clone(), upstream, clock), target)))
    }

    fn connect(
        &self,
        priorities: PriorityWords,
        upstream: Upstream,
        clock: SharedClock,
    ) -> Arc<dyn CaseSystem> {
        Arc::new(Zendesk::new(self.clone(), priorities, upstream, clock))
    }
}

/// Token endpoint of an account. The longest lifetime that may be asked for is just under two days; an hour limits the damage of a leak.
///
/// Source: "OAuth Tokens for Grant Types", developer.zendesk.com (November 2026).
fn token_endpoint(site: &Url) -> Result<TokenEndpoint, String> {
    let url = site.join("/oauth/tokens").map_err(|error| error.to_string())?;
    Ok(TokenEndpoint {
        url,
        key: Some(crate::crm::SITE),
        request: TokenRequest::Json,
        scope: Some("read write"),
        expires_in: Some(3_600),
        advice: "check company.zendesk.client_id (the client's unique identifier) and client_secret, and that the client is a \
                 confidential one (Admin Center > Apps and integrations > APIs > OAuth clients)",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<ZendeskSettings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn the_section_has_defaults_and_refuses_unknown_keys() {
        let settings = read("email = \"a@b.example\"\napi_token = \"env:TOKEN\"").unwrap();
        assert_eq!(settings.flag_field, "synchronizeWithGoogleCloudSupport");
        assert_eq!(settings.description_visibility, Visibility::Internal);
        assert_eq!(settings.secret().map(|(_, reference)| reference), Some("env:TOKEN"));
        assert_eq!(settings.problems(), Vec::<String>::new());
        assert!(read("mail = \"a@b.example\"").is_err());
        let settings =
            read("oauth_token = \"env:T\"\ndescription_visibility = \"public\"\n[solve_fields]\n360 = \"x\"")
                .unwrap();
        assert_eq!(settings.description_visibility, Visibility::Public);
        assert_eq!(settings.solve_fields["360"], Value::from("x"));
        assert_eq!(settings.problems(), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_reported_at_once_by_its_key() {
        let settings = read(
            "email = \"a@b.example\"\noauth_token = \"env:T\"\nflag_field = \" \"\nupdates_per_ticket = 0\n\
             attachment_limit_mib = 0\n[solve_fields]\nroot = 1",
        )
        .unwrap();
        let problems = settings.problems();
        for key in ["email", "flag_field", "updates_per_ticket", "attachment_limit_mib", "solve_fields.root"]
        {
            let key = format!("company.zendesk.{key}");
            assert!(problems.iter().any(|problem| problem.starts_with(&key)), "{key}: {problems:?}");
        }
    }
}
