//! Messages of a Pub/Sub push subscription about the events of support cases.
//!
//! Sources: "Authenticate push subscriptions" and "Receive messages with push subscriptions", cloud.google.com/pubsub/docs (November 2026).
//! The contents of an event are not documented. So each attribute that is the name of a case, a comment or an attachment is a hint, and a
//! message without one asks for a poll.

use chrono::{DateTime, Utc};
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use crate::cases::{Hint, Refusal};
use crate::entities::{FirstSeen, GoogleCaseName, ItemKind};
use crate::oidc::{Algorithm, Issuer, TokenError, check_times};

/// Names under which Google issues its tokens.
const ISSUERS: [&str; 2] = ["https://accounts.google.com", "accounts.google.com"];
/// Maximum number of cases that one message may name.
const MOST_HINTS: usize = 50;
/// Beginning of a full resource name (google.aip.dev/122).
const SERVICE: &str = "//cloudsupport.googleapis.com/";

/// Settings of the receiver: `[push.google]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoogleReceiverSettings {
    /// Audience of the tokens, as configured at the push subscription.
    pub audience: String,
    /// Email address of the service account that the push subscription authenticates as.
    pub service_account: String,
    /// URL of the keys that the tokens are signed with.
    pub keys_url: Url,
    /// Parent of the cases: `google.parent`.
    pub parent: String,
}

/// Receiver of Pub/Sub's push messages.
pub struct GoogleReceiver {
    settings: GoogleReceiverSettings,
    issuer: Issuer,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Value,
    exp: i64,
    iat: i64,
    #[serde(default)]
    email: String,
    #[serde(default)]
    email_verified: bool,
}

#[derive(Deserialize)]
struct Push {
    message: serde_json::Map<String, Value>,
}

impl GoogleReceiver {
    /// Creates the receiver. The keys are read when the first message arrives.
    pub fn new(settings: GoogleReceiverSettings) -> Result<Self, reqwest::Error> {
        let issuer = Issuer::new(settings.keys_url.clone(), Algorithm::Rs256)?;
        Ok(Self { settings, issuer })
    }

    /// Verifies the sender's OpenID Connect token, and reads the message.
    pub async fn receive(
        &self,
        token: Option<&str>,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> Result<Vec<Hint>, Refusal> {
        self.verify(token.ok_or(Refusal::Unproven("send the token of the push subscription"))?, now).await?;
        read(body, &self.settings.parent)
    }

    async fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<(), Refusal> {
        let verified = self.issuer.verify(token, |claims| self.check(claims, now)).await;
        verified.map(drop).map_err(|error| match error {
            TokenError::Malformed => Refusal::Unproven("the token is no JSON Web Token signed with RS256"),
            TokenError::Refused(why) => Refusal::Unproven(why),
            TokenError::Unsigned => Refusal::Unproven("the token is not signed by Google"),
            TokenError::Unavailable(reason) => {
                Refusal::Unavailable(format!("the token cannot be verified: {reason}"))
            }
        })
    }

    fn check(&self, claims: &Claims, now: DateTime<Utc>) -> Result<(), &'static str> {
        let Claims { iss, aud, exp, iat, email, email_verified } = claims;
        let is_audience = |value: &Value| value.as_str() == Some(self.settings.audience.as_str());
        let fits_audience = is_audience(aud) || aud.as_array().is_some_and(|all| all.iter().any(is_audience));
        if !ISSUERS.contains(&iss.as_str()) {
            Err("the token was not issued by accounts.google.com")
        } else if !fits_audience {
            Err("the token is for another audience than push.google.audience")
        } else if !email.eq_ignore_ascii_case(&self.settings.service_account) {
            Err("the token is of another account than push.google.service_account")
        } else if !email_verified {
            Err("the email address of the token's account is not verified")
        } else {
            check_times(*iat, *exp, now.timestamp())
        }
    }
}

/// Reads the body of a push request.
fn read(body: &[u8], parent: &str) -> Result<Vec<Hint>, Refusal> {
    let push: Push = serde_json::from_slice(body)
        .map_err(|_| Refusal::Malformed("the body is no push message of Pub/Sub: {\"message\": {…}}"))?;
    hints(push.message.get("attributes").unwrap_or(&Value::Null), parent)
}

/// Reads the attributes of a message. Returns no hint if none of them names a case.
pub(super) fn hints(attributes: &Value, parent: &str) -> Result<Vec<Hint>, Refusal> {
    let attributes = match attributes {
        Value::Null => return Ok(Vec::new()),
        Value::Object(attributes) => attributes,
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            return Err(Refusal::Malformed("the message's attributes are no object"));
        }
    };
    let mut hints = Vec::new();
    for hint in attributes.values().filter_map(Value::as_str).filter_map(|name| hint(name, parent)) {
        if hints.len() < MOST_HINTS && !hints.contains(&hint) {
            hints.push(hint);
        }
    }
    Ok(hints)
}

/// Reads the name of a case, a comment, an attachment or an email message below `parent`. A case of a project is below an organisation: its events come from
/// the organisation's own subscription, and only one of its projects can have them.
fn hint(name: &str, parent: &str) -> Option<Hint> {
    let name = name.strip_prefix(SERVICE).unwrap_or(name);
    let (own, rest) = name.split_once("/cases/")?;
    if own != parent && !(own.starts_with("projects/") && parent.starts_with("organizations/")) {
        return None;
    }
    let mut parts = rest.splitn(3, '/');
    let number = parts.next()?;
    let item = match (parts.next(), parts.next()) {
        // The case is read after a message as well: its feed shows the message if that is configured.
        (None, _) | (Some("emailMessages"), Some(_)) => None,
        (Some("comments"), Some(id)) => Some((ItemKind::Comment, id.to_owned())),
        (Some("attachments"), Some(id)) => Some((ItemKind::Attachment, id.to_owned())),
        (Some(_), _) => return None,
    };
    let case = GoogleCaseName::parse(&format!("{own}/cases/{number}")).ok()?;
    Some(Hint { case: FirstSeen::Google(case), item, user: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attribute_that_names_a_case_is_a_hint() {
        let case = |number: &str, item| {
            let name = GoogleCaseName::parse(&format!("organizations/1/cases/{number}")).unwrap();
            Hint { case: FirstSeen::Google(name), item, user: None }
        };
        let comment = "organizations/1/cases/2/comments/c3";
        for (name, expected) in [
            ("organizations/1/cases/2", Some(case("2", None))),
            ("//cloudsupport.googleapis.com/organizations/1/cases/2", Some(case("2", None))),
            (comment, Some(case("2", Some((ItemKind::Comment, "c3".to_owned()))))),
            ("organizations/1/cases/2/emailMessages/3", Some(case("2", None))),
            ("organizations/1/cases/2/feed/3", None),
            ("organizations/12/cases/2", None),
            ("organizations/1/cases/", None),
            ("organizations/1/cases/2:close", None),
            ("organizations/2/cases/2", None),
            ("CASE_UPDATED", None),
        ] {
            assert_eq!(hint(name, "organizations/1"), expected, "{name}");
        }
        // A project belongs to the organisation; nothing else belongs to a project.
        assert!(hint("projects/p/cases/2/comments/c3", "organizations/1").is_some());
        assert!(hint("projects/p/cases/2", "projects/p").is_some());
        for other in ["projects/q/cases/2", "organizations/1/cases/2", "folders/1/cases/2"] {
            assert_eq!(hint(other, "projects/p"), None, "{other}");
        }
        assert_eq!(hint("folders/1/cases/2", "organizations/1"), None);
        let body = serde_json::json!({ "message": { "attributes": { "a": comment, "b": 3, "c": comment, "d": "x" } } });
        assert_eq!(read(body.to_string().as_bytes(), "organizations/1").unwrap().len(), 1, "each once");
        assert!(read(b"{\"message\": {}}", "organizations/1").unwrap().is_empty());
        for malformed in ["", "{}", "[]", "{\"message\": 3}", "{\"message\": {\"attributes\": []}}"] {
            assert!(matches!(read(malformed.as_bytes(), "organizations/1"), Err(Refusal::Malformed(_))));
        }
    }
}
