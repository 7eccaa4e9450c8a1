//! Messages of the CRMs' webhooks: the proofs and the readings that several kinds of CRM share. Each kind reads its own messages
//! ([`CrmKind::read_webhook`](super::CrmKind::read_webhook)).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Duration, Utc};
use reqwest::header::HeaderMap;
use ring::hmac;
use serde::Deserialize;
use serde_json::Value;

use crate::cases::{Hint, Refusal};
use crate::entities::{CompanyCaseId, FirstSeen, ItemKind};

/// Header with the secret, for senders that cannot sign: scripts and automations.
const SECRET_HEADER: &str = "x-casebridge-secret";
/// Age of a message above which it counts as replayed.
const MOST_AGE: Duration = Duration::minutes(5);

/// Secret that proves the sender of a message.
#[derive(Clone)]
pub struct WebhookSecret(hmac::Key);

impl WebhookSecret {
    /// Takes the secret's text.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// True if `given` is the secret itself. Compares hashes, so that the time shows neither its text nor its length.
    fn is(&self, given: &str) -> bool {
        let own = hmac::Key::new(hmac::HMAC_SHA256, given.as_bytes());
        hmac::verify(&self.0, SECRET_HEADER.as_bytes(), hmac::sign(&own, SECRET_HEADER.as_bytes()).as_ref())
            .is_ok()
    }
}

impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

/// Message of a webhook, not verified yet.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    /// Headers of the request.
    pub headers: &'a HeaderMap,
    /// Body, as it was received.
    pub body: &'a [u8],
    /// Current secret, and the previous one while it is rotated.
    pub secrets: &'a [WebhookSecret],
    /// Current time.
    pub now: DateTime<Utc>,
}

impl Message<'_> {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the body as JSON. Only a proven message may be read.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Refusal> {
        serde_json::from_slice(self.body)
            .map_err(|_| Refusal::Malformed("the body is not the JSON that docs/push.md describes"))
    }

    /// Verifies `X-Hub-Signature`: `sha256=` and the HMAC of the body in hex (WebSub, section 7.1). `None` if the header is missing.
    #[must_use]
    pub fn hub_signature(&self) -> Option<Result<(), Refusal>> {
        let given = self.header("x-hub-signature")?;
        let signature = given.strip_prefix("sha256=").and_then(|text| hex::decode(text).ok());
        Some(self.signed(signature, &[self.body]))
    }

    /// Verifies a base64 HMAC over a recent timestamp and the body. `None` if one of the headers is missing.
    #[must_use]
    pub fn stamped_signature(&self, signature: &str, timestamp: &str) -> Option<Result<(), Refusal>> {
        let (signature, stamp) = (self.header(signature)?, self.header(timestamp)?);
        let signed = self.signed(STANDARD.decode(signature).ok(), &[stamp.as_bytes(), self.body]);
        let at = DateTime::parse_from_rfc3339(stamp).map(|at| at.to_utc()).ok();
        Some(signed.and_then(|()| self.recent(at)))
    }

    /// Checks that a proven time is recent: an older message may be a replay.
    pub fn recent(&self, at: Option<DateTime<Utc>>) -> Result<(), Refusal> {
        if at.is_some_and(|at| (self.now - at).abs() <= MOST_AGE) {
            Ok(())
        } else {
            Err(Refusal::Unproven("the message is older than five minutes, from the future, or has no time"))
        }
    }

    /// Verifies `X-Casebridge-Secret`. `None` if the header is missing.
    #[must_use]
    pub fn secret_header(&self) -> Option<Result<(), Refusal>> {
        let given = self.header(SECRET_HEADER)?;
        // Looks at all secrets, so that the time does not show which one it was.
        let fits = self.secrets.iter().fold(false, |fits, secret| secret.is(given) | fits);
        Some(if fits {
            Ok(())
        } else {
            Err(Refusal::Unproven("X-Casebridge-Secret is not push.company.secret"))
        })
    }

    fn signed(&self, signature: Option<Vec<u8>>, parts: &[&[u8]]) -> Result<(), Refusal> {
        let signature = signature.ok_or(Refusal::Unproven("the signature cannot be read"))?;
        let content = parts.concat();
        let fits = self
            .secrets
            .iter()
            .fold(false, |fits, secret| hmac::verify(&secret.0, &content, &signature).is_ok() | fits);
        if fits {
            Ok(())
        } else {
            Err(Refusal::Unproven("the signature was not made with push.company.secret"))
        }
    }

    /// Reads a message of the connector's own format, which scripts and automations send with the secret's header:
    /// `{"case_id": "…", "user": "…"}`. Refuses a message without the header.
    pub fn own_format(&self) -> Result<Vec<Hint>, Refusal> {
        #[derive(Deserialize)]
        struct Event {
            case_id: Value,
            #[serde(default)]
            user: Option<Value>,
        }
        self.secret_header()
            .unwrap_or(Err(Refusal::Unproven("the message has neither a signature nor the secret")))?;
        let event: Event = self.json()?;
        let case =
            id(Some(&event.case_id)).ok_or(Refusal::Malformed("case_id is neither a text nor a number"))?;
        hint_about(&case, None, id(event.user.as_ref()))
    }
}

/// Reads an ID that is a text or a number.
pub(super) fn id(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::String(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Returns the hint about a company case. Refuses an ID that no case can have.
pub(super) fn hint_about(
    case: &str,
    comment: Option<String>,
    user: Option<String>,
) -> Result<Vec<Hint>, Refusal> {
    let case =
        CompanyCaseId::parse(case).map_err(|_| Refusal::Malformed("the ID of the case is not valid"))?;
    let item = comment.map(|id| (ItemKind::Comment, id));
    Ok(vec![Hint { case: FirstSeen::Company(case), item, user }])
}
