//! Set-up of the CRM's webhook: `casebridge push enable`, `disable`, `status` and `secret`.
//!
//! A CRM whose API offers it gets the webhook by calls; for the others there is a text that says what to paste and where. The steps are
//! computed from what is registered, so a run that broke off is finished by the next one, and none is made twice.

use async_trait::async_trait;
use reqwest::{Method, Url};
use serde_json::Value;

use crate::cases::ApiError;
use crate::outbound::{Body, Call, Upstream};

/// Webhook as it has to be.
#[derive(Clone)]
pub struct WebhookTarget {
    /// Address of `POST /push/company` as the CRM reaches it.
    pub address: Url,
    /// Secret that the CRM signs with, for CRMs that are told it.
    pub secret: Option<String>,
}

impl WebhookTarget {
    /// Returns a script of `deploy/push` with the address in place of the example's. Its first lines say where it belongs.
    pub(super) fn script(&self, script: &str) -> String {
        script.replace("https://casebridge.example/push/company", self.address.as_str())
    }
}

/// Way in which a CRM gets its webhook.
pub enum Registration {
    /// By calls.
    Calls(Box<dyn Webhooks>),
    /// By hand: what to paste, and where.
    Paste(String),
}

/// Calls about a CRM's webhook.
#[async_trait]
pub trait Webhooks: Send + Sync {
    /// Returns what is registered for the address, a line for each thing. Empty if nothing is.
    async fn registered(&self) -> Result<Vec<String>, ApiError>;

    /// Returns the steps that are left until the webhook is registered (`wanted`), or gone.
    async fn steps(&self, wanted: bool) -> Result<Vec<Step>, ApiError>;

    /// Returns the secret that the CRM signs with, where the CRM itself makes it. `None`: it signs with the one that it was given.
    async fn signing_secret(&self) -> Result<Option<String>, ApiError>;

    /// Client of the CRM.
    fn upstream(&self) -> &Upstream;

    /// Text that says what to paste, for a user without the right to make the calls.
    fn by_hand(&self) -> String;
}

/// Step of a set-up.
#[derive(Clone, PartialEq)]
pub struct Step {
    /// Change, in words.
    pub text: String,
    /// Method, path and body of the call. `None` while the step needs the result of an earlier one.
    pub call: Option<(Method, String, Value)>,
}

/// Shows the words only: the body of a call may hold the secret.
impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Step").field("text", &self.text).finish_non_exhaustive()
    }
}

impl Step {
    /// Creates a step that can be made now.
    pub(super) fn now(text: impl Into<String>, method: Method, path: impl Into<String>, body: Value) -> Self {
        Self { text: text.into(), call: Some((method, path.into(), body)) }
    }

    /// Creates a step that needs the result of an earlier one.
    pub(super) fn later(text: impl Into<String>) -> Self {
        Self { text: text.into(), call: None }
    }
}

/// Maximum number of steps of a set-up: more than any has.
const MOST_STEPS: usize = 10;

/// Error of a set-up.
#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    /// A call failed.
    #[error(transparent)]
    Call(#[from] ApiError),
    /// A step took no effect: the CRM still shows the old state.
    #[error("{0}: the CRM accepted the call, but shows no change")]
    NoEffect(String),
}

/// Makes the steps one by one, and looks again after each, until none is left. Tells of each that was made.
pub async fn carry_out(
    webhooks: &dyn Webhooks,
    wanted: bool,
    mut told: impl FnMut(&str),
) -> Result<(), RegistrationError> {
    let mut made: Vec<Step> = Vec::new();
    for _ in 0..MOST_STEPS {
        let steps = webhooks.steps(wanted).await?;
        let Some(step) = steps.into_iter().find(|step| step.call.is_some()) else { return Ok(()) };
        if made.contains(&step) {
            return Err(RegistrationError::NoEffect(step.text));
        }
        if let Some((method, path, body)) = &step.call {
            let call = Call::new(method.clone(), path.clone());
            let call = if body.is_null() { call } else { call.body(Body::Json(body.clone())) };
            webhooks.upstream().write_only(call).await?;
        }
        told(&step.text);
        made.push(step);
    }
    Ok(())
}
