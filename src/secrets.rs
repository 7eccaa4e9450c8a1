//! Client of Secret Manager's REST API. Reads versions of secrets at the start, and again when an upstream no longer accepts the
//! credentials.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::header::{HeaderName, HeaderValue};
use serde::Deserialize;
use tokio::sync::Mutex;

use crate::cases::{ApiError, ApiErrorKind};
use crate::clock::SharedClock;
use crate::config::{Secret, SecretError, SecretRef};
use crate::outbound::{Call, Credentials, Upstream};

/// Minimum time between two reads of a secret, for an upstream that refuses every call.
const READ_AGAIN_AFTER: TimeDelta = TimeDelta::seconds(10);

/// Client of Google's Secret Manager.
pub struct SecretManager {
    upstream: Upstream,
}

impl SecretManager {
    /// Name of the service in errors and logs.
    pub const NAME: &'static str = "Secret Manager";
    /// URL of the service.
    pub const BASE_URL: &'static str = "https://secretmanager.googleapis.com";

    /// Creates a client that calls `upstream`, whose credentials need `roles/secretmanager.secretAccessor`.
    #[must_use]
    pub fn new(upstream: Upstream) -> Self {
        Self { upstream }
    }

    /// Returns the value of a version, `projects/P/secrets/S/versions/V`, without white space at its end. Errors name the command that
    /// helps.
    pub async fn access(&self, version: &str) -> Result<Secret, SecretError> {
        let failed = |reason: String| SecretError::SecretManager(format!("{version}: {reason}"));
        let call = Call::get(format!("/v1/{version}:access"));
        let answer: Answer =
            self.upstream.read(call).await.map_err(|error| failed(advice(version, &error)))?;
        let bytes = STANDARD
            .decode(&answer.payload.data)
            .map_err(|_| failed("the value is not valid base64".to_owned()))?;
        // JSON holds an int64 as a text (discovery document, `SecretPayload.dataCrc32c`).
        if let Some(sum) = &answer.payload.checksum
            && sum.parse() != Ok(u64::from(crc32c(&bytes)))
        {
            return Err(failed("the value was damaged on its way: its checksum does not fit".to_owned()));
        }
        let text = String::from_utf8(bytes).map_err(|_| failed("the value is not UTF-8 text".to_owned()))?;
        match text.trim_end() {
            "" => Err(failed("the value is empty".to_owned())),
            value => Ok(Secret::new(value)),
        }
    }
}

/// Answer of `projects.secrets.versions.access`.
#[derive(Deserialize)]
struct Answer {
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    data: String,
    #[serde(rename = "dataCrc32c")]
    checksum: Option<String>,
}

/// Returns the error with its remedy.
fn advice(version: &str, error: &ApiError) -> String {
    // The form projects/P/secrets/S/versions/V was checked when the configuration was read.
    let mut parts = version.split('/').skip(1).step_by(2);
    let (project, secret) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let advice = match error.status {
        Some(403) if error.is_disabled_api() => {
            format!("`gcloud services enable secretmanager.googleapis.com --project={project}`")
        }
        Some(403) => format!(
            "the service account may not read it: `gcloud secrets add-iam-policy-binding {secret} --project={project} \
             --member=serviceAccount:SERVICE_ACCOUNT --role=roles/secretmanager.secretAccessor`"
        ),
        Some(404) => format!(
            "there is no such version: `gcloud secrets versions list {secret} --project={project}` shows those there are, \
             `gcloud secrets create {secret} --data-file=- --project={project}` makes the secret"
        ),
        // FAILED_PRECONDITION: the version is disabled or destroyed.
        Some(400) => format!(
            "this version cannot be read; `gcloud secrets versions list {secret} --project={project}` shows its state"
        ),
        Some(401) => {
            "check which service account runs the service, and that this machine's clock is right".to_owned()
        }
        _ if error.kind == ApiErrorKind::Unauthorized => return error.to_string(),
        _ => "it is asked again at the next start".to_owned(),
    };
    format!("{error}; {advice}")
}

/// Computes CRC-32C (Castagnoli, reflected; RFC 3720, appendix B.4). Values are short, so no lookup table is used.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| (sum >> 1) ^ (0x82F6_3B78 & (sum & 1).wrapping_neg()))
    })
}

impl SecretRef {
    /// Reads the secret from the place that it names. `manager` is used only for a secret in Secret Manager; such a secret is an error
    /// without it.
    pub async fn resolve(&self, manager: Option<&SecretManager>) -> Result<Secret, SecretError> {
        match (self, manager) {
            (Self::SecretManager(version), Some(manager)) => manager.access(version).await,
            (Self::SecretManager(version), None) => Err(SecretError::SecretManager(format!(
                "{version}: there are no credentials for Google Cloud"
            ))),
            (Self::Environment(_) | Self::File(_), _) => self.read_local(),
        }
    }
}

/// Function that makes credentials from a secret's value.
pub type MakeCredentials = Box<dyn Fn(&Secret) -> Result<Arc<dyn Credentials>, String> + Send + Sync>;

/// Credentials made from a secret. When the upstream answers 401, or a token endpoint refuses the secret, the secret is read again from its
/// place, so that a changed secret takes effect without a restart.
pub struct SecretCredentials {
    reference: SecretRef,
    manager: Option<Arc<SecretManager>>,
    make: MakeCredentials,
    clock: SharedClock,
    current: Mutex<Current>,
}

struct Current {
    value: Secret,
    credentials: Arc<dyn Credentials>,
    /// Time of the last re-read, and true if the value had changed.
    read_again: Option<(DateTime<Utc>, bool)>,
}

impl SecretCredentials {
    /// Reads the secret and makes credentials from it.
    pub async fn read(
        reference: SecretRef,
        manager: Option<Arc<SecretManager>>,
        make: MakeCredentials,
        clock: SharedClock,
    ) -> Result<Self, SecretError> {
        let value = reference.resolve(manager.as_deref()).await?;
        let credentials = make(&value).map_err(SecretError::Unusable)?;
        let current = Mutex::new(Current { value, credentials, read_again: None });
        Ok(Self { reference, manager, make, clock, current })
    }

    /// Reads the secret again. Returns true if its value has changed.
    async fn read_again(&self, current: &mut Current) -> Result<bool, SecretError> {
        let value = self.reference.resolve(self.manager.as_deref()).await?;
        if value == current.value {
            return Ok(false);
        }
        current.credentials = (self.make)(&value).map_err(SecretError::Unusable)?;
        current.value = value;
        Ok(true)
    }
}

#[async_trait]
impl Credentials for SecretCredentials {
    async fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        let credentials = Arc::clone(&self.current.lock().await.credentials);
        match credentials.header().await {
            // A token endpoint that refuses the secret: it may have been replaced.
            Err(error) if self.read_again_if_due().await => {
                let credentials = Arc::clone(&self.current.lock().await.credentials);
                credentials.header().await.map_err(|_| error)
            }
            answer => answer,
        }
    }

    async fn refresh(&self) -> bool {
        if self.read_again_if_due().await {
            return true;
        }
        // The same secret may give another access token.
        let credentials = Arc::clone(&self.current.lock().await.credentials);
        credentials.refresh().await
    }

    async fn granted_scope(&self) -> Option<String> {
        let credentials = Arc::clone(&self.current.lock().await.credentials);
        credentials.granted_scope().await
    }
}

impl SecretCredentials {
    /// Reads the secret again after it was refused, unless that was done a moment ago. Returns true if it had changed.
    async fn read_again_if_due(&self) -> bool {
        let mut current = self.current.lock().await;
        let now = self.clock.now();
        // Several calls may be refused at once: the first one reads, the others get the cached result.
        if let Some((at, changed)) = current.read_again
            // `now` is before `at` if the clock was set back; then the cached result is not used.
            && (at..at + READ_AGAIN_AFTER).contains(&now)
        {
            return changed;
        }
        let changed = match self.read_again(&mut current).await {
            Ok(changed) => changed,
            Err(error) => {
                tracing::error!(error = %error, "a secret that was refused cannot be read again; the old value stays");
                false
            }
        };
        current.read_again = Some((now, changed));
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnolis() {
        // RFC 3720, appendix B.4, and the usual check value.
        let check = |bytes: &[u8], expected| assert_eq!(crc32c(bytes), expected, "{bytes:?}");
        check(b"123456789", 0xE306_9283);
        check(&[0; 32], 0x8A91_36AA);
        check(&[0xFF; 32], 0x62A8_AB43);
        check(b"", 0);
    }
}
