//! The `[company.jira]` section.

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::Jira;
use super::client::Client;
use super::registration::Registrar;
use super::wire::error_text;
use crate::address;
use crate::cases::{CaseSystem, Hint, LinkDetail, Placement, Refusal};
use crate::clock::SharedClock;
use crate::crm::registration::{Registration, WebhookTarget};
use crate::crm::{CrmKind, Message, PriorityWords, first_given, is_number, own_field, spaced_labels};
use crate::outbound::{
    ClientCredentials, Credentials, Dialect, Gateway, TokenEndpoint, TokenRequest, Upstream, basic, bearer,
};

/// Atlassian's gateway: the only address that takes the tokens of service accounts. The site's cloud ID comes after it.
///
/// Source: "401 Unauthorized error when service account accesses Jira or Confluence API", support.atlassian.com (November 2026).
const GATEWAY: &str = "https://api.atlassian.com/ex/jira";
/// Token endpoint of Cloud.
///
/// Source: "Create OAuth 2.0 credential for service accounts", support.atlassian.com (November 2026).
const CLOUD_TOKENS: &str = "https://auth.atlassian.com/oauth/token";

/// Least length of a text that a copy with its header needs, in characters.
pub(super) const LEAST_TEXT: usize = 1_000;

/// Kind of Jira installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deployment {
    /// Atlassian's own: `https://SITE.atlassian.net`.
    #[default]
    Cloud,
    /// Jira Data Center or Server, run by the company.
    DataCenter,
}

/// Settings of the Jira adapter: the `[company.jira]` section.
///
/// `client_secret`, `api_token` and `personal_access_token` are references to secrets (`env:NAME`, `file:PATH`, …), never secrets. The code that reads the
/// configuration resolves them and passes the value to [`CrmKind::credentials`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JiraSettings {
    /// Cloud or Data Center: they differ in searches and credentials.
    pub deployment: Deployment,
    /// Key of the project that new cases are created in: `SUP`.
    pub project: String,
    /// Issue type of new cases, by name or ID.
    pub issue_type: String,
    /// Client ID of a service account's OAuth credential.
    pub client_id: Option<String>,
    /// Reference to the secret that holds the client's secret. The connector requests its access tokens with it.
    pub client_secret: Option<String>,
    /// URL that issues access tokens. Default: Atlassian's for Cloud, `/rest/oauth2/latest/token` at the site for Data Center.
    pub token_url: Option<String>,
    /// Cloud: email address of the connector's user.
    pub email: Option<String>,
    /// Cloud: reference to the secret that holds the user's API token.
    pub api_token: Option<String>,
    /// Cloud: true if calls go through Atlassian's gateway, the only one that takes an API token with scopes, as each of a service
    /// account's has. With `client_id` they always do.
    pub use_gateway: bool,
    /// Cloud: address of that gateway.
    pub gateway_url: String,
    /// Data Center: reference to the secret that holds the user's personal access token.
    pub personal_access_token: Option<String>,
    /// End of the credentials, as a date (`2027-03-01`) or a time: `check` warns of it.
    pub token_expires: Option<String>,
    /// Component of new cases.
    pub component: String,
    /// Custom field that makes a case take part in the sync, by name or by ID (`customfield_10050`).
    pub flag_field: String,
    /// Value of that field if the case takes part: the option's name. Jira has no boolean field.
    pub flag_value: String,
    /// Custom text field for the Google case's name, by name or by ID.
    pub google_name_field: String,
    /// Custom text field that shows Google's state, by name or by ID. Default: none.
    pub google_state_field: Option<String>,
    /// Key of the comment property that a note gets once it was carried, if only marked notes are. Empty: none.
    pub carried_property: String,
    /// Fields to set additionally when a case is created, by name or ID, in Jira's own JSON.
    pub new_fields: BTreeMap<String, Value>,
    /// Fields to set with the closing transition, by name or ID, in Jira's own JSON. Those that are not on its screen are left out.
    pub close_fields: BTreeMap<String, Value>,
    /// Request type of new cases in Jira Service Management: its ID, or `portalkey/requesttypekey`. Without one, a case is on no portal and
    /// in no queue that goes by request types.
    pub request_type: Option<String>,
    /// Transition that closes a case, by name or ID. Default: a transition to a status of the category "done" that means solved, else the
    /// only one that does not mean the contrary (`R32`: closed is not solved).
    pub close_transition: Option<String>,
    /// Resolution of closed cases, by name. Default: `Done` or another one that means solved, if the transition's screen has one.
    pub resolution: Option<String>,
    /// Names of resolutions and statuses that mean solved, besides *Done*, *Fixed*, *Resolved* and similar ones (`R32`: closed is not
    /// solved).
    pub solved_names: Vec<String>,
    /// Names that mean cancelled, besides *Won't Do*, *Cancelled*, *Declined*, *Rejected* and similar ones.
    pub cancelled_names: Vec<String>,
    /// Names that mean duplicate, besides names with the word *duplicate*.
    pub duplicate_names: Vec<String>,
    /// Transition that reopens a case, by name or ID. Default: the first to a status of another category.
    pub reopen_transition: Option<String>,
    /// Maximum length of a description or a comment, in characters: `jira.text.field.character.limit` of Data Center. Default: 32,767, or the
    /// limit that a refusal names.
    pub max_text: Option<usize>,
    /// True if the project is one of Jira Service Management, where comments can be internal. If absent, the connector asks Jira.
    pub service_management: Option<bool>,
    /// Hosts besides Jira's own that attachments may be downloaded from: `host`, `host:port` or `.domain`.
    pub download_hosts: Vec<String>,
}

impl Default for JiraSettings {
    fn default() -> Self {
        Self {
            deployment: Deployment::default(),
            project: String::new(),
            issue_type: "Task".to_owned(),
            client_id: None,
            client_secret: None,
            token_url: None,
            email: None,
            api_token: None,
            use_gateway: false,
            gateway_url: GATEWAY.to_owned(),
            personal_access_token: None,
            token_expires: None,
            component: "Google Cloud".to_owned(),
            flag_field: "synchronizeWithGoogleCloudSupport".to_owned(),
            flag_value: "true".to_owned(),
            google_name_field: "custom_field_google_name".to_owned(),
            google_state_field: None,
            carried_property: "casebridge.carried".to_owned(),
            new_fields: BTreeMap::new(),
            close_fields: BTreeMap::new(),
            request_type: None,
            close_transition: None,
            resolution: None,
            solved_names: Vec::new(),
            cancelled_names: Vec::new(),
            duplicate_names: Vec::new(),
            reopen_transition: None,
            max_text: None,
            service_management: None,
            download_hosts: Vec::new(),
        }
    }
}

impl JiraSettings {
    /// Gateway that the calls go through; `None` if they go to the site.
    pub(super) fn gateway(&self, site: &Url) -> Option<Gateway> {
        if self.deployment == Deployment::DataCenter || !(self.use_gateway || self.client_id.is_some()) {
            return None;
        }
        // `problems` has refused an address that is none.
        let base = Url::parse(&self.gateway_url).ok()?;
        let lookup = site.join("/_edge/tenant_info").ok()?;
        Some(Gateway { base, key: "company.jira.gateway_url", lookup, member: "cloudId" })
    }

    /// Keys of the configuration that hold the credentials, or should.
    pub(super) fn credential_keys(&self) -> &'static str {
        match self.deployment {
            Deployment::Cloud if self.email.is_some() || self.api_token.is_some() => {
                "company.jira.email and company.jira.api_token"
            }
            Deployment::DataCenter if self.client_id.is_none() => "company.jira.personal_access_token",
            Deployment::Cloud | Deployment::DataCenter => {
                "company.jira.client_id and company.jira.client_secret"
            }
        }
    }

    /// True if the connector itself sets that field.
    fn is_own(&self, name: &str) -> bool {
        ["project", "issuetype", "summary", "description", &self.flag_field, &self.google_name_field]
            .contains(&name)
            || self.google_state_field.as_deref() == Some(name)
    }

    fn token_endpoint(&self, site: &Url) -> Result<TokenEndpoint, String> {
        let (url, key) = match (&self.token_url, self.deployment) {
            (Some(url), _) => (Url::parse(url), Some("company.jira.token_url")),
            (None, Deployment::Cloud) => (Url::parse(CLOUD_TOKENS), None),
            (None, Deployment::DataCenter) => (
                Url::parse(&format!("{}/rest/oauth2/latest/token", site.as_str().trim_end_matches('/'))),
                Some("company.base_url and company.jira.deployment"),
            ),
        };
        let url = url.map_err(|error| error.to_string())?;
        Ok(match self.deployment {
            Deployment::Cloud => TokenEndpoint {
                url,
                key,
                request: TokenRequest::Json,
                scope: None,
                expires_in: None,
                advice: "check company.jira.client_id and client_secret: they belong to an OAuth 2.0 credential of a service account \
                         (admin.atlassian.com > Directory > Service accounts)",
            },
            // Source: "Service accounts overview", confluence.atlassian.com/enterprise (November 2026): the scope must be named.
            Deployment::DataCenter => TokenEndpoint {
                url,
                key,
                request: TokenRequest::Form,
                scope: Some("WRITE"),
                expires_in: None,
                advice: "check company.jira.client_id and client_secret, that the service account has the scope WRITE, and that this Jira \
                         has service accounts",
            },
        })
    }
}

impl CrmKind for JiraSettings {
    fn name(&self) -> &'static str {
        super::NAME
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut demand = |holds: bool, problem: &str| {
            if !holds {
                problems.push(problem.to_owned());
            }
        };
        demand(
            is_project_key(&self.project),
            "company.jira.project is missing or is no project key: give the letters in front of the issue numbers, such as SUP",
        );
        for (name, value) in [
            ("issue_type", &self.issue_type),
            ("flag_field", &self.flag_field),
            ("flag_value", &self.flag_value),
            ("google_name_field", &self.google_name_field),
        ] {
            demand(!value.trim().is_empty(), &format!("company.jira.{name} must not be empty"));
        }
        demand(
            self.google_state_field.as_ref().is_none_or(|name| !name.trim().is_empty()),
            "company.jira.google_state_field must not be empty: leave it out if no field is to show Google's state",
        );
        // "Set comment property", developer.atlassian.com: the key has at most 255 characters, and Data Center counts bytes.
        demand(
            self.carried_property.len() <= 255 && self.carried_property.trim() == self.carried_property,
            "company.jira.carried_property: expected the key of a comment property, at most 255 characters without spaces around \
             them, or \"\" for none",
        );
        // It would change who reads the comment.
        demand(
            !self.carried_property.starts_with("sd."),
            "company.jira.carried_property begins with sd., as Service Management's own properties do: choose another key",
        );
        for name in self.new_fields.keys() {
            demand(
                !self.is_own(name),
                &format!("company.jira.new_fields.{name} is set by the connector itself: leave it out"),
            );
        }
        // A name would have to be looked up in Service Management's own API.
        demand(
            self.request_type.as_ref().is_none_or(|given| is_request_type(given)),
            "company.jira.request_type is no request type's ID: give the number in the address of its settings, or \
             portalkey/requesttypekey",
        );
        demand(
            self.max_text.is_none_or(|max| max >= LEAST_TEXT),
            "company.jira.max_text is too short for a copy with its header: give 1000 or more",
        );
        for (name, url) in [("token_url", self.token_url.as_ref()), ("gateway_url", Some(&self.gateway_url))]
        {
            let read = url.map_or(Ok(()), |url| address::read(url).map(drop));
            demand(
                read.is_ok(),
                &format!("company.jira.{name}: expected {}", read.err().unwrap_or_default()),
            );
        }
        demand(
            self.client_id.is_some() == self.client_secret.is_some(),
            "company.jira.client_id and company.jira.client_secret belong together: give both",
        );
        let ways = [&self.client_secret, &self.api_token, &self.personal_access_token];
        demand(
            self.client_secret.is_none() || ways.into_iter().flatten().count() == 1,
            "company.jira.client_secret excludes api_token and personal_access_token: give one of them",
        );
        match self.deployment {
            Deployment::Cloud => {
                demand(
                    self.email.is_some() == self.api_token.is_some(),
                    "company.jira.email and company.jira.api_token belong together: give both, or none for a sandbox",
                );
                demand(
                    self.personal_access_token.is_none(),
                    "company.jira.personal_access_token is for Data Center: give email and api_token, or set deployment = \"data-center\"",
                );
            }
            Deployment::DataCenter => demand(
                self.email.is_none() && self.api_token.is_none() && !self.use_gateway,
                "company.jira.email, api_token and use_gateway are for Cloud: give client_id and client_secret or \
                 personal_access_token, or set deployment = \"cloud\"",
            ),
        }
        problems
    }

    fn remote_link(&self) -> Result<LinkDetail, String> {
        Ok(LinkDetail::Whole)
    }

    fn marks_comments(&self) -> bool {
        !self.carried_property.is_empty()
    }

    fn placement_keys(&self) -> &'static [&'static str] {
        &["project", "issue_type", "component", "labels", "assignee", "request_type", "fields"]
    }

    fn match_keys(&self) -> &'static [&'static str] {
        &["project", "issue_type", "component", "label", "field"]
    }

    fn placement_mistakes(&self, placement: &Placement) -> Vec<String> {
        let mut mistakes = Vec::new();
        let mut demand = |holds: bool, mistake: String| {
            if !holds {
                mistakes.push(mistake);
            }
        };
        demand(
            placement.project.as_deref().is_none_or(is_project_key),
            "project is no project key: give the letters in front of the issue numbers, such as SUP"
                .to_owned(),
        );
        demand(
            placement.request_type.as_deref().is_none_or(is_request_type),
            "request_type is no request type's ID: give the number in the address of its settings, or portalkey/requesttypekey"
                .to_owned(),
        );
        for mistake in spaced_labels(placement, "which no label of Jira may") {
            demand(false, mistake);
        }
        for name in placement.fields.keys() {
            demand(!self.is_own(name), own_field(name));
        }
        mistakes
    }

    fn own_priorities(&self) -> &'static str {
        "`casebridge check` lists Jira's priorities"
    }

    fn api_paths(&self) -> &'static [&'static str] {
        &["/rest/api/2", "/rest/api/3", "/rest/api/latest", "/rest/api"]
    }

    fn token_expires(&self) -> Option<&str> {
        self.token_expires.as_deref()
    }

    fn read_webhook(&self, message: &Message<'_>) -> Result<Vec<Hint>, Refusal> {
        super::push::read(message)
    }

    fn secret(&self) -> Option<(&'static str, &str)> {
        let other = match self.deployment {
            Deployment::Cloud => ("api_token", &self.api_token),
            Deployment::DataCenter => ("personal_access_token", &self.personal_access_token),
        };
        first_given([("client_secret", &self.client_secret), other])
    }

    // Sources: "Basic auth for REST APIs", developer.atlassian.com; "Using Personal Access Tokens", confluence.atlassian.com.
    fn credentials(&self, secret: &str, site: &Url) -> Result<Arc<dyn Credentials>, String> {
        let secret = secret.trim();
        if let Some(client_id) = &self.client_id {
            return Ok(Arc::new(ClientCredentials::new(self.token_endpoint(site)?, client_id, secret)?));
        }
        Ok(match self.deployment {
            Deployment::Cloud => Arc::new(basic(self.email.as_deref().unwrap_or_default().trim(), secret)?),
            Deployment::DataCenter => Arc::new(bearer(secret)?),
        })
    }

    // Cloud keeps files on separate hosts, to which the answer redirects ("Get attachment content", Jira Cloud REST API v2).
    fn allowed_download_hosts(&self) -> Vec<String> {
        let own: &[&str] = match self.deployment {
            Deployment::Cloud => &[".atlassian.com", ".atl-paas.net"],
            Deployment::DataCenter => &[],
        };
        own.iter().map(|host| (*host).to_owned()).chain(self.download_hosts.iter().cloned()).collect()
    }

    fn dialect(&self) -> Dialect {
        Dialect { stranger: Some(super::stranger), error_text: Some(error_text) }
    }

    fn registration(&self, target: WebhookTarget, upstream: Upstream, _clock: SharedClock) -> Registration {
        if self.deployment == Deployment::DataCenter || self.client_id.is_some() || self.use_gateway {
            return Registration::Paste(super::registration::by_hand(&target));
        }
        let upstream = upstream.speaking(self.dialect());
        Registration::Calls(Box::new(Registrar::new(Client::new(self.clone(), upstream), target)))
    }

    fn connect(
        &self,
        priorities: PriorityWords,
        upstream: Upstream,
        clock: SharedClock,
    ) -> Arc<dyn CaseSystem> {
        Arc::new(Jira::new(self.clone(), priorities, upstream, clock))
    }
}

fn is_project_key(key: &str) -> bool {
    let key = key.as_bytes();
    key.first().is_some_and(u8::is_ascii_alphabetic)
        && key.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
}

/// True for the ID of a request type, or `portalkey/requesttypekey`.
fn is_request_type(given: &str) -> bool {
    let given = given.trim();
    given.contains('/') || is_number(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<JiraSettings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn an_address_that_gets_credentials_is_https_and_holds_none() {
        for key in ["token_url", "gateway_url"] {
            for (address, is_taken) in [
                ("https://auth.example/oauth/token", true),
                ("http://127.0.0.1:2/oauth/token", true),
                ("http://192.0.2.2/oauth/token", false),
                ("https://bot:hunter2@auth.example/oauth/token", false),
                ("https://auth.example/oauth/token?key=hunter2", false),
                ("auth.example", false),
            ] {
                let settings = read(&format!("project = \"SUP\"\n{key} = \"{address}\"")).unwrap();
                let problems = settings.problems().join("\n");
                assert_eq!(
                    !problems.contains(&format!("company.jira.{key}: expected")),
                    is_taken,
                    "{problems}"
                );
                assert!(!problems.contains("hunter2"), "{problems}");
            }
        }
    }

    #[test]
    fn the_section_has_defaults_and_refuses_unknown_keys() {
        let settings = read("project = \"SUP\"\nemail = \"a@b.example\"\napi_token = \"env:TOKEN\"").unwrap();
        assert_eq!(settings.deployment, Deployment::Cloud);
        assert_eq!(settings.flag_field, "synchronizeWithGoogleCloudSupport");
        assert_eq!(settings.secret().map(|(_, reference)| reference), Some("env:TOKEN"));
        assert_eq!(settings.problems(), Vec::<String>::new());
        assert!(read("projekt = \"SUP\"").is_err());
        assert_eq!(read("deployment = \"data-center\"").unwrap().deployment, Deployment::DataCenter);
    }

    #[test]
    fn every_problem_is_reported_at_once_by_its_key() {
        let settings = read(
            "deployment = \"data-center\"\nproject = \"S P\"\nissue_type = \" \"\nemail = \"a@b.example\"",
        )
        .unwrap();
        let problems = settings.problems();
        for key in ["company.jira.project", "company.jira.issue_type", "company.jira.email"] {
            assert!(problems.iter().any(|problem| problem.starts_with(key)), "{key}: {problems:?}");
        }
        let settings =
            read("project = \"SUP\"\nemail = \"a@b.example\"\npersonal_access_token = \"env:T\"").unwrap();
        assert_eq!(settings.problems().len(), 2);
    }
}
