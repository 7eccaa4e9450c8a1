//! Access tokens that the program requests itself: kept while they last, renewed before they expire, once for all who wait.

use std::time::Duration;

use bytes::Bytes;
use rand::RngExt as _;
use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::masking::mask;
use super::upstream::{Broken, chain, read_capped, with_proxy_for};

/// Time limit of a request for a token. Calls of the upstream wait for it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum size of an endpoint's answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Part of a token's lifetime after which it is renewed, at the latest. Each instance draws its own, so that not all renew at once.
const RENEW_AT: std::ops::RangeInclusive<f64> = 0.7..=0.8;
/// Lifetime of a token whose answer names none. RFC 6749 only recommends `expires_in`.
const DEFAULT_LIFETIME: Duration = Duration::from_mins(5);
/// Longest lifetime that is believed: a token is renewed once a day in any case.
const LONGEST_LIFETIME: Duration = Duration::from_hours(24);
/// Minimum time between two requests for a token, whether they failed or the upstream refused the token.
const PAUSE: Duration = Duration::from_secs(5);

/// Access token, as the header that it is sent in.
#[derive(Clone)]
pub(super) struct Token {
    header: HeaderValue,
    /// Granted scopes, separated by spaces, if the answer named them.
    scope: Option<String>,
    issued_at: Instant,
    renew_at: Instant,
    expires_at: Instant,
}

#[derive(Deserialize)]
struct Issued {
    access_token: String,
    #[serde(default)]
    token_type: Option<String>,
    #[serde(default)]
    scope: Option<serde_json::Value>,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
}

impl Token {
    /// Creates a bearer token that was requested at `begun`. `None` if its text is empty or cannot stand in a header.
    pub(super) fn new(text: &str, begun: Instant, lifetime: Duration) -> Option<Self> {
        if text.is_empty() {
            return None;
        }
        let mut header = HeaderValue::from_str(&format!("Bearer {text}")).ok()?;
        header.set_sensitive(true);
        let lifetime = bounded(lifetime);
        let renew_at = begun + lifetime.mul_f64(rand::rng().random_range(RENEW_AT));
        Some(Self { header, scope: None, issued_at: begun, renew_at, expires_at: begun + lifetime })
    }

    /// Reads the answer of a token endpoint (RFC 6749, section 5.1). `None` if it is no bearer token.
    pub(super) fn read(body: &[u8], begun: Instant) -> Option<Self> {
        let issued: Issued = serde_json::from_slice(body).ok()?;
        let is_other = issued.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer"));
        if is_other {
            None
        } else {
            let token = Self::new(&issued.access_token, begun, lifetime(issued.expires_in.as_ref()))?;
            let scope = issued.scope.and_then(|scope| Some(scope.as_str()?.to_owned()));
            Some(Self { scope, ..token })
        }
    }

    /// Returns the value of the header `Authorization`.
    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }
}

/// Lifetime that an answer's `expires_in` stands for: seconds, as a number or (ServiceNow in some releases) as a text.
fn lifetime(expires_in: Option<&serde_json::Value>) -> Duration {
    let seconds = expires_in.and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
    bounded(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default())
}

/// Limits a lifetime to what is believed; zero means that none is known.
fn bounded(lifetime: Duration) -> Duration {
    if lifetime.is_zero() { DEFAULT_LIFETIME } else { lifetime.min(LONGEST_LIFETIME) }
}

/// Failure of a request for a token. The text names neither the endpoint nor a remedy: the caller knows both.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{}", chain(.0))]
    Unanswered(reqwest::Error),
    #[error(transparent)]
    Broken(#[from] Broken),
    #[error("it answered {}{}", .status.as_u16(), .code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
    Refused { status: StatusCode, code: Option<String> },
}

/// Creates the client for requests to one endpoint of credentials or keys.
pub fn client(url: &Url) -> Result<Client, reqwest::Error> {
    with_proxy_for(super::http_client(), url).timeout(TIMEOUT).connect_timeout(TIMEOUT / 2).build()
}

/// Sends a request for a token, and reads the answer. `secrets` are those of the request, which no error text may hold.
pub(super) async fn ask(request: RequestBuilder, secrets: &[&str]) -> Result<(HeaderMap, Bytes), Failure> {
    let sent = request.header(ACCEPT, "application/json").send().await;
    let response = sent.map_err(Failure::Unanswered)?;
    let (status, headers) = (response.status(), response.headers().clone());
    let body = read_capped(response, MAX_ANSWER).await?;
    if status.is_success() {
        return Ok((headers, body));
    }
    Err(Failure::Refused { status, code: error_code(&body, secrets) })
}

/// Returns the error code of a refusal: RFC 6749, section 5.2, or the `status` of Google's APIs. Never its description, which could
/// repeat the request, and no code that is a part of a secret.
fn error_code(body: &[u8], secrets: &[&str]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let code = body.pointer("/error/status").or_else(|| body.get("error"))?.as_str()?;
    let is_code = !code.is_empty()
        && code.len() <= 40
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let is_secret = |secret: &&str| !secret.is_empty() && (code.contains(*secret) || secret.contains(code));
    let is_one = secrets.iter().any(is_secret) || mask(code, secrets) != code;
    (is_code && !is_one).then(|| code.to_owned())
}

/// Current token of one client. One request serves all calls that wait for it. While a renewal fails, the old token is used until it
/// expires.
#[derive(Default)]
pub(super) struct TokenCache(Mutex<Current>);

#[derive(Default)]
struct Current {
    token: Option<Token>,
    /// Time and error of the last request that failed.
    failed: Option<(Instant, String)>,
}

impl TokenCache {
    /// Returns the header with a token that lasts. `request` is polled only if a token is to be requested.
    pub(super) async fn header(
        &self,
        request: impl Future<Output = Result<Token, String>> + Send,
    ) -> Result<HeaderValue, String> {
        let mut current = self.0.lock().await;
        let now = Instant::now();
        let known = current.token.clone().filter(|token| now < token.expires_at);
        let token = match known {
            Some(token) if now < token.renew_at => token,
            // It still works: a renewal that fails is tried again later.
            Some(token) => current.renew(request).await.unwrap_or(token),
            None => current.renew(request).await?,
        };
        Ok(token.header)
    }

    /// Returns the scopes of the current token.
    pub(super) async fn scope(&self) -> Option<String> {
        self.0.lock().await.token.as_ref()?.scope.clone()
    }

    /// Requests a new token, unless this one was issued a moment ago: then the call that was refused had the one before. Returns true if
    /// another attempt may help.
    pub(super) async fn refresh(&self, request: impl Future<Output = Result<Token, String>> + Send) -> bool {
        let mut current = self.0.lock().await;
        if current.token.as_ref().is_some_and(|token| token.issued_at.elapsed() < PAUSE) {
            return true;
        }
        current.token = None;
        current.renew(request).await.is_ok()
    }
}

impl Current {
    /// Requests a token, unless the last request failed a moment ago. The lock is held, so that others wait for the same answer.
    async fn renew(
        &mut self,
        request: impl Future<Output = Result<Token, String>> + Send,
    ) -> Result<Token, String> {
        if let Some((at, error)) = &self.failed
            && at.elapsed() < PAUSE
        {
            return Err(error.clone());
        }
        match request.await {
            Ok(token) => {
                *self = Self { token: Some(token.clone()), failed: None };
                Ok(token)
            }
            Err(error) => {
                self.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lifetime_is_read_from_numbers_and_texts_and_is_bounded() {
        let cases = [
            (Some(json!(1800)), 1800),
            (Some(json!("1799")), 1799),
            (Some(json!(0)), 300),
            (Some(json!(-5)), 300),
            (Some(json!("soon")), 300),
            (Some(json!(1e300)), 300),
            (Some(json!(10_000_000)), 86_400),
            (None, 300),
        ];
        for (given, seconds) in cases {
            assert_eq!(lifetime(given.as_ref()), Duration::from_secs(seconds), "{given:?}");
        }
    }

    #[test]
    fn an_error_code_is_a_word_and_no_part_of_a_secret() {
        let cases = [
            (json!({ "error": "invalid_grant", "error_description": "s3cret" }), Some("invalid_grant")),
            (
                json!({ "error": { "status": "PERMISSION_DENIED", "message": "s3cret" } }),
                Some("PERMISSION_DENIED"),
            ),
            (json!({ "error": "s3cret" }), None),
            (json!({ "error": "s3cr" }), None),
            (json!({ "error": "a-s3cret-b" }), None),
            (json!({ "error": "two words" }), None),
            (json!({ "error": "" }), None),
            (json!({ "error": { "code": 403 } }), None),
            (json!([]), None),
        ];
        for (body, code) in cases {
            assert_eq!(error_code(body.to_string().as_bytes(), &["", "s3cret"]).as_deref(), code, "{body}");
        }
    }
}
