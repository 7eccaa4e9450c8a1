//! OAuth 2.0 client credentials (RFC 6749, section 4.4): access tokens that the connector requests itself, and renews before they expire.

use std::time::Duration;

use async_trait::async_trait;
use rand::RngExt as _;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::{StatusCode, Url};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::credentials::Credentials;
use super::upstream::{chain, read_capped};
use crate::clock::{Clock as _, SystemClock};

/// Part of a token's lifetime after which it is renewed, at the latest. Each instance draws its own, so that not all renew at once.
const RENEW_AT: std::ops::RangeInclusive<f64> = 0.7..=0.8;
/// Lifetime of a token whose answer names none. RFC 6749 only recommends `expires_in`.
const DEFAULT_LIFETIME: Duration = Duration::from_mins(5);
/// Longest lifetime that is believed: a token is renewed once a day in any case.
const LONGEST_LIFETIME: Duration = Duration::from_hours(24);
/// Time limit of a request for a token. Calls of the upstream wait for it.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Minimum time between two requests for a token, whether they failed or the upstream refused the token.
const PAUSE: Duration = Duration::from_secs(5);
/// Maximum size of the endpoint's answer that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Encoding of a request for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRequest {
    /// A JSON object.
    Json,
    /// `application/x-www-form-urlencoded`, the standard's own.
    Form,
}

/// Endpoint that issues access tokens, and the way to ask it.
#[derive(Debug, Clone)]
pub struct TokenEndpoint {
    /// Its URL. The host may be another than the API's.
    pub url: Url,
    /// Encoding of the request.
    pub request: TokenRequest,
    /// Scopes to ask for, separated by spaces. `None` asks for the client's own.
    pub scope: Option<&'static str>,
    /// Lifetime to ask for, in seconds, where the endpoint takes one.
    pub expires_in: Option<u64>,
    /// Advice for a person whose client is refused: the settings to check on the system's side.
    pub advice: &'static str,
}

/// Credentials of an OAuth client: a bearer token that is requested when it is first needed, before it expires, and after a 401.
///
/// One request serves all calls that wait for it. While a renewal fails, the old token is used until it expires.
pub struct ClientCredentials {
    endpoint: TokenEndpoint,
    client_id: String,
    client_secret: String,
    http: reqwest::Client,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    token: Option<Token>,
    /// Time and error of the last request that failed.
    failed: Option<(Instant, String)>,
}

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    issued_at: Instant,
    renew_at: Instant,
    expires_at: Instant,
}

#[derive(Serialize)]
struct Asked<'a> {
    grant_type: &'static str,
    client_id: &'a str,
    client_secret: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Issued {
    access_token: String,
    #[serde(default)]
    token_type: Option<String>,
    #[serde(default)]
    expires_in: Option<serde_json::Value>,
}

impl ClientCredentials {
    /// Creates the credentials of one client. Makes no request yet. Fails if the TLS stack cannot be set up.
    pub fn new(endpoint: TokenEndpoint, client_id: &str, client_secret: &str) -> Result<Self, String> {
        let builder = super::upstream::with_proxy_for(super::http_client(), &endpoint.url);
        let http =
            builder.timeout(TIMEOUT).connect_timeout(TIMEOUT / 2).build().map_err(|error| chain(&error))?;
        let (client_id, client_secret) = (client_id.trim().to_owned(), client_secret.trim().to_owned());
        Ok(Self { endpoint, client_id, client_secret, http, current: Mutex::default() })
    }

    /// Requests a token, unless the last request failed a moment ago. The lock is held, so that others wait for the same answer.
    async fn renew(&self, current: &mut Current) -> Result<Token, String> {
        if let Some((at, error)) = &current.failed
            && at.elapsed() < PAUSE
        {
            return Err(error.clone());
        }
        match self.request().await {
            Ok(token) => {
                *current = Current { token: Some(token.clone()), failed: None };
                Ok(token)
            }
            Err(error) => {
                current.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn request(&self) -> Result<Token, String> {
        let url = &self.endpoint.url;
        let place = format!("{}{}", url.host_str().unwrap_or_default(), url.path());
        let failed =
            |why: String| format!("no access token for client {:?} from {place}: {why}", self.client_id);
        if SystemClock.now() < chrono::DateTime::UNIX_EPOCH {
            return Err(failed(super::credentials::BEFORE_1970.to_owned()));
        }
        let asked = Asked {
            grant_type: "client_credentials",
            client_id: &self.client_id,
            client_secret: &self.client_secret,
            scope: self.endpoint.scope,
            expires_in: self.endpoint.expires_in,
        };
        let request = self.http.post(url.clone()).header(reqwest::header::ACCEPT, "application/json");
        let request = match self.endpoint.request {
            TokenRequest::Json => request.json(&asked),
            TokenRequest::Form => request.form(&asked),
        };
        let begun = Instant::now();
        let response = request.send().await.map_err(|error| failed(chain(&error)))?;
        let status = response.status();
        let body = read_capped(response, MAX_ANSWER).await.map_err(|broken| failed(broken.to_string()))?;
        if !status.is_success() {
            return Err(failed(self.refusal(status, &body)));
        }
        let unreadable =
            || failed(format!("the answer is no OAuth token; check the address. {}", self.endpoint.advice));
        let issued: Issued = serde_json::from_slice(&body).map_err(|_| unreadable())?;
        if issued.access_token.is_empty()
            || issued.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer"))
        {
            return Err(unreadable());
        }
        let mut header =
            HeaderValue::from_str(&format!("Bearer {}", issued.access_token)).map_err(|_| unreadable())?;
        header.set_sensitive(true);
        let lifetime = lifetime(issued.expires_in.as_ref());
        let renew_after = lifetime.mul_f64(rand::rng().random_range(RENEW_AT));
        Ok(Token { header, issued_at: begun, renew_at: begun + renew_after, expires_at: begun + lifetime })
    }

    /// Describes a refusal by its standard error code (RFC 6749, section 5.2). Never by its description, which could repeat the request.
    fn refusal(&self, status: StatusCode, body: &[u8]) -> String {
        #[derive(Deserialize)]
        struct Refused {
            error: String,
        }
        let code = serde_json::from_slice::<Refused>(body).map(|refused| refused.error).ok();
        let is_code = |code: &String| {
            code.len() <= 40 && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        let code = code.filter(|code| is_code(code) && !code.contains(&self.client_secret));
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        let advice = match status {
            StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND => {
                format!("; {}", self.endpoint.advice)
            }
            _ => String::new(),
        };
        format!("it answered {}{code}{advice}", status.as_u16())
    }
}

/// Lifetime that an answer's `expires_in` stands for: seconds, as a number or (ServiceNow in some releases) as a text.
fn lifetime(expires_in: Option<&serde_json::Value>) -> Duration {
    let seconds = expires_in.and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|lifetime| !lifetime.is_zero())
        .map_or(DEFAULT_LIFETIME, |lifetime| lifetime.min(LONGEST_LIFETIME))
}

#[async_trait]
impl Credentials for ClientCredentials {
    async fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        let mut current = self.current.lock().await;
        let now = Instant::now();
        let known = current.token.clone().filter(|token| now < token.expires_at);
        let token = match known {
            Some(token) if now < token.renew_at => token,
            // It still works: a renewal that fails is tried again later.
            Some(token) => self.renew(&mut current).await.unwrap_or(token),
            None => self.renew(&mut current).await?,
        };
        Ok(Some((AUTHORIZATION, token.header)))
    }

    /// Requests a new token, unless this one was issued a moment ago: then the call that was refused had the one before.
    async fn refresh(&self) -> bool {
        let mut current = self.current.lock().await;
        if current.token.as_ref().is_some_and(|token| token.issued_at.elapsed() < PAUSE) {
            return true;
        }
        current.token = None;
        self.renew(&mut current).await.is_ok()
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
}
