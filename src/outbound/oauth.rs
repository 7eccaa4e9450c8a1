//! OAuth 2.0 client credentials (RFC 6749, section 4.4): access tokens that the connector requests itself, and renews before they expire.

use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::{StatusCode, Url};
use serde::Serialize;
use tokio::time::Instant;

use super::credentials::Credentials;
use super::token::{self, Failure, Token, TokenCache};
use super::upstream::chain;
use crate::clock::{Clock as _, SystemClock};

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
    /// Key of the configuration that gave the URL. `None` if it is the system's only one.
    pub key: Option<&'static str>,
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
    tokens: TokenCache,
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

impl ClientCredentials {
    /// Creates the credentials of one client. Makes no request yet. Fails if the TLS stack cannot be set up.
    pub fn new(endpoint: TokenEndpoint, client_id: &str, client_secret: &str) -> Result<Self, String> {
        let http = token::client(&endpoint.url).map_err(|error| chain(&error))?;
        let (client_id, client_secret) = (client_id.trim().to_owned(), client_secret.trim().to_owned());
        Ok(Self { endpoint, client_id, client_secret, http, tokens: TokenCache::default() })
    }

    async fn request(&self) -> Result<Token, String> {
        let url = &self.endpoint.url;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let place = format!("{}{port}{}", url.host_str().unwrap_or_default(), url.path());
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
        let request = self.http.post(url.clone());
        let request = match self.endpoint.request {
            TokenRequest::Json => request.json(&asked),
            TokenRequest::Form => request.form(&asked),
        };
        let begun = Instant::now();
        let answer = token::ask(request, &[&self.client_secret]).await;
        let (_, body) = answer.map_err(|failure| failed(format!("{failure}{}", self.advice(&failure))))?;
        Token::read(&body, begun).ok_or_else(|| {
            failed(format!("the answer is no OAuth token{}; {}", self.check_address(), self.endpoint.advice))
        })
    }

    /// Returns the advice for a client that is refused, or an endpoint that is not reached or is none; nothing for another failure.
    fn advice(&self, failure: &Failure) -> String {
        match failure {
            // A token endpoint names the reason of a refusal (RFC 6749, section 5.2).
            Failure::Refused {
                status: StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN,
                code: Some(_),
            } => format!("; {}", self.endpoint.advice),
            Failure::Refused {
                status:
                    StatusCode::BAD_REQUEST
                    | StatusCode::UNAUTHORIZED
                    | StatusCode::FORBIDDEN
                    | StatusCode::NOT_FOUND,
                ..
            } => format!("{}; {}", self.check_address(), self.endpoint.advice),
            Failure::Refused { status, .. }
                if status.is_redirection()
                    || (status.is_client_error() && *status != StatusCode::TOO_MANY_REQUESTS) =>
            {
                self.check_address()
            }
            // The credentials were not seen by anybody.
            Failure::Unanswered(_) => format!(
                "{}; check that this host can be reached from here: its name, the firewall, HTTPS_PROXY and NO_PROXY \
                 (docs/networks.md)",
                self.check_address()
            ),
            Failure::Refused { .. } | Failure::Broken(_) => String::new(),
        }
    }

    /// Returns the advice for a wrong address; nothing if no key gave it.
    fn check_address(&self) -> String {
        self.endpoint.key.map(|key| format!("; check {key}")).unwrap_or_default()
    }
}

#[async_trait]
impl Credentials for ClientCredentials {
    async fn header(&self) -> Result<Option<(HeaderName, HeaderValue)>, String> {
        Ok(Some((AUTHORIZATION, self.tokens.header(self.request()).await?)))
    }

    async fn refresh(&self) -> bool {
        self.tokens.refresh(self.request()).await
    }

    async fn granted_scope(&self) -> Option<String> {
        self.tokens.scope().await
    }
}
