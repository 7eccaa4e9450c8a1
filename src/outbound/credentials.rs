//! Credentials of requests. Values are marked sensitive, so that no log prints them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use futures_util::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::clock::{Clock as _, SystemClock};

/// Time for which the result of a search for a new token provider is kept, before another refusal starts a new search.
const FIND_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Error text for a clock before 1970: no check of a certificate or a token works then.
pub(super) const BEFORE_1970: &str =
    "this machine's clock is before 1970: set it, for example with `timedatectl set-ntp true`";

/// Gives each request its credentials.
#[async_trait]
pub trait Credentials: Send + Sync {
    /// Returns the header to send; `None` sends none. The error text says how to fix the problem.
    async fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, String>;

    /// Reads the credentials anew, if they can have changed, after the upstream answered 401 to them. Returns true if another attempt may
    /// help.
    async fn refresh(&self) -> bool {
        false
    }

    /// Returns the file that the credentials come from, for advice. `None` if there is none, or if the configuration names it.
    fn file(&self) -> Option<String> {
        None
    }

    /// Returns the OAuth scopes that the current access token was granted, separated by spaces, where the token endpoint named them.
    async fn granted_scope(&self) -> Option<String> {
        None
    }
}

/// No credentials, for an emulator or a sandbox.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCredentials;

#[async_trait]
impl Credentials for NoCredentials {
    async fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        Ok(None)
    }
}

/// A header with a fixed value.
#[derive(Clone)]
pub struct HeaderCredentials {
    name: HeaderName,
    value: HeaderValue,
}

impl HeaderCredentials {
    /// Creates credentials that send `name: value`. Fails if the value is not valid in a header.
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

/// Creates the header `Authorization: Bearer …`.
pub fn bearer(token: &str) -> Result<HeaderCredentials, String> {
    HeaderCredentials::new(AUTHORIZATION, &format!("Bearer {token}"))
}

/// Creates the header `Authorization: Basic …`.
pub fn basic(user: &str, password: &str) -> Result<HeaderCredentials, String> {
    HeaderCredentials::new(AUTHORIZATION, &format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
}

/// Finds the provider of Google's tokens anew.
pub type FindProvider =
    Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn gcp_auth::TokenProvider>, String>> + Send + Sync>;

/// Google's tokens from a provider of `gcp_auth`: the metadata server or gcloud. Those from a file are
/// [`GoogleFile`](super::GoogleFile)'s.
pub struct GoogleCredentials {
    scopes: &'static [&'static str],
    find: Option<FindProvider>,
    current: Mutex<Current>,
}

struct Current {
    provider: Arc<dyn gcp_auth::TokenProvider>,
    /// Time of the last search for a new provider, and true if one was found.
    found: Option<(Instant, bool)>,
}

impl GoogleCredentials {
    /// OAuth scope that every API of Google Cloud accepts.
    pub const CLOUD_PLATFORM: &'static [&'static str] = &["https://www.googleapis.com/auth/cloud-platform"];

    /// Uses the tokens of `provider`, which caches them and renews them before they expire.
    #[must_use]
    pub fn new(provider: Arc<dyn gcp_auth::TokenProvider>) -> Self {
        let current = Mutex::new(Current { provider, found: None });
        Self { scopes: Self::CLOUD_PLATFORM, find: None, current }
    }

    /// Also searches for a new provider whenever a token is refused. After a clock was set back, the old provider keeps taking an expired
    /// token for valid (`R36`: clock skew); or a key file may have been replaced.
    #[must_use]
    pub fn found_again(self, find: FindProvider) -> Self {
        Self { find: Some(find), ..self }
    }
}

#[async_trait]
impl Credentials for GoogleCredentials {
    async fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        if SystemClock.now() < DateTime::UNIX_EPOCH {
            // `gcp_auth` panics on such a clock.
            return Err(format!("no token for Google Cloud: {BEFORE_1970}"));
        }
        let provider = Arc::clone(&self.current.lock().await.provider);
        let token = provider.token(self.scopes).await.map_err(|error| {
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

    async fn refresh(&self) -> bool {
        let Some(find) = &self.find else { return false };
        let mut current = self.current.lock().await;
        // Several calls may be refused at once: the first one searches, the others reuse its result.
        if let Some((at, found)) = current.found
            && at.elapsed() < FIND_AGAIN_AFTER
        {
            return found;
        }
        let found = match find().await {
            Ok(provider) => {
                current.provider = provider;
                true
            }
            Err(error) => {
                tracing::error!(
                    error,
                    "Google Cloud's credentials were refused and cannot be found anew; the old ones stay"
                );
                false
            }
        };
        current.found = Some((Instant::now(), found));
        found
    }
}
