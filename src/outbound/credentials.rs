//! What a request proves itself with. Values are marked sensitive, so that no log prints them.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};

/// Gives each request its credentials.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// The header to send; `None` sends none. The error says what to do about it.
    async fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, String>;

    /// The upstream answered 401 to what was given last: read it anew, if it can have changed. Returns whether another
    /// attempt may help.
    async fn refresh(&self) -> bool {
        false
    }
}

/// For an emulator or a sandbox.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCredentials;

#[async_trait]
impl Credentials for NoCredentials {
    async fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        Ok(None)
    }
}

/// A header that stays the same.
#[derive(Clone)]
pub struct HeaderCredentials {
    name: HeaderName,
    value: HeaderValue,
}

impl HeaderCredentials {
    /// Sends `name: value`. Errors if the value cannot stand in a header.
    pub fn new(name: HeaderName, value: &str) -> Result<Self, String> {
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| "the credentials hold characters that cannot stand in a header".to_owned())?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

#[async_trait]
impl Credentials for HeaderCredentials {
    async fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        Ok(Some((self.name.clone(), self.value.clone())))
    }
}

/// `Authorization: Bearer …`.
pub fn bearer(token: &str) -> Result<HeaderCredentials, String> {
    HeaderCredentials::new(AUTHORIZATION, &format!("Bearer {token}"))
}

/// `Authorization: Basic …`.
pub fn basic(user: &str, password: &str) -> Result<HeaderCredentials, String> {
    HeaderCredentials::new(AUTHORIZATION, &format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

/// Google's tokens, by whatever way the environment offers: key file, gcloud, metadata server.
#[derive(Clone)]
pub struct GoogleCredentials {
    provider: Arc<dyn gcp_auth::TokenProvider>,
    scopes: &'static [&'static str],
}

impl GoogleCredentials {
    /// The one scope that every API of Google Cloud takes.
    pub const CLOUD_PLATFORM: &'static [&'static str] = &["https://www.googleapis.com/auth/cloud-platform"];

    /// Tokens from `provider`, which caches them and renews them before they expire.
    #[must_use]
    pub fn new(provider: Arc<dyn gcp_auth::TokenProvider>) -> Self {
        Self { provider, scopes: Self::CLOUD_PLATFORM }
    }
}

#[async_trait]
impl Credentials for GoogleCredentials {
    async fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        let token = self.provider.token(self.scopes).await.map_err(|error| {
            format!(
                "no token for Google Cloud: {error}; on a workstation run `gcloud auth application-default login`, elsewhere \
                 attach a service account; if there is one, check that this machine's clock is right"
            )
        })?;
        let mut value = HeaderValue::from_str(&format!("Bearer {}", token.as_str()))
            .map_err(|_| "the token for Google Cloud cannot stand in a header".to_owned())?;
        value.set_sensitive(true);
        Ok(Some((AUTHORIZATION, value)))
    }
}
