//! Requests for Google's access tokens, for each origin that a file describes.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use reqwest::{Client, RequestBuilder, Url};
use ring::rand::SystemRandom;
use ring::signature::RSA_PKCS1_SHA256;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::super::credentials::GoogleCredentials;
use super::super::skew;
use super::super::token::{self, Failure, Token};
use super::super::upstream::chain;
use super::file::{External, Impersonation, Key, Origin, Subject, User};
use crate::clock::{Clock as _, SystemClock};

/// Longest time between `iat` and `exp` of an assertion, in seconds (developers.google.com/identity/protocols/oauth2/service-account).
const ASSERTION_SECONDS: i64 = 3_600;
/// Time by which an assertion is dated back, in seconds: one of the future is refused. Google's own clients do the same.
const DATED_BACK_SECONDS: i64 = 10;

/// Requests a token. The error text names the endpoint and what to do, and holds no secret.
pub(super) fn token_of(origin: &Origin) -> BoxFuture<'_, Result<Token, String>> {
    Box::pin(async move {
        match origin {
            Origin::User(user) => refreshed(user).await,
            Origin::Key(key) => asserted(key).await,
            Origin::External(external) => exchanged(external).await,
            Origin::Impersonated { origin, impersonation } => {
                let own = token_of(origin).await?;
                impersonated(&own, impersonation).await
            }
        }
    })
}

fn scopes() -> String {
    GoogleCredentials::CLOUD_PLATFORM.join(" ")
}

/// Requests a token for a person (RFC 6749, section 6).
async fn refreshed(user: &User) -> Result<Token, String> {
    let form = [
        ("grant_type", "refresh_token"),
        ("client_id", &user.client_id),
        ("client_secret", &user.client_secret),
        ("refresh_token", &user.refresh_token),
    ];
    let endpoint = Endpoint {
        url: &user.token_url,
        secrets: &[&user.client_secret, &user.refresh_token],
        advice: "the sign-in has expired or was revoked: run `gcloud auth application-default login` again",
    };
    endpoint.token(|http| http.post(user.token_url.clone()).form(&form)).await
}

/// Requests a token for a service account with its key (RFC 7523).
async fn asserted(key: &Key) -> Result<Token, String> {
    let issued_at = SystemClock.now().timestamp() - DATED_BACK_SECONDS;
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": key.id });
    let claims = json!({
        "iss": key.email,
        "scope": scopes(),
        "aud": key.token_url.as_str(),
        "iat": issued_at,
        "exp": issued_at + ASSERTION_SECONDS,
    });
    let encode = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let mut signature = vec![0; key.pair.public().modulus_len()];
    key.pair
        .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
        .map_err(|_| format!("the key of {} cannot sign", key.email))?;
    let assertion = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature));
    let form = [("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"), ("assertion", &assertion)];
    let advice = format!(
        "see with gcloud's `iam service-accounts keys list` that this key of {} still exists, that the account is not disabled, and \
         that this machine's clock is right",
        key.email
    );
    let endpoint = Endpoint { url: &key.token_url, secrets: &[&assertion], advice: &advice };
    endpoint.token(|http| http.post(key.token_url.clone()).form(&form)).await
}

/// Exchanges somebody else's token for one of Google's (RFC 8693; cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token).
async fn exchanged(external: &External) -> Result<Token, String> {
    let (subject_token, place) = subject_token(external).await?;
    let scope = scopes();
    let mut form = vec![
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
        ("audience", &external.audience),
        ("scope", &scope),
        ("subject_token_type", &external.subject_token_type),
        ("subject_token", &subject_token),
    ];
    // Only where no client authenticates itself (google.aip.dev/auth/4117).
    let options = external.user_project.as_ref().map(|project| json!({ "userProject": project }).to_string());
    if external.client.is_none()
        && let Some(options) = &options
    {
        form.push(("options", options));
    }
    let advice = format!(
        "see that the token from {place} has not expired, that the file's `audience` names an enabled provider, and that the provider's \
         issuer, audiences and attribute condition fit the token: gcloud's `iam workload-identity-pools providers describe` shows them"
    );
    let mut secrets = vec![subject_token.as_str()];
    secrets.extend(external.client.as_ref().map(|(_, secret)| secret.as_str()));
    let endpoint = Endpoint { url: &external.token_url, secrets: &secrets, advice: &advice };
    let ask = |http: &Client| {
        let request = http.post(external.token_url.clone()).form(&form);
        match &external.client {
            Some((id, secret)) => request.basic_auth(id, Some(secret)),
            None => request,
        }
    };
    endpoint.token(ask).await
}

/// Reads the token to exchange; returns it with the place that it came from.
async fn subject_token(external: &External) -> Result<(String, String), String> {
    let (place, text) = match &external.subject {
        Subject::File(path) => {
            let place = path.display().to_string();
            let text = tokio::fs::read(path).await.map_err(|error| {
                format!(
                    "{place}, which `credential_source.file` names, cannot be read ({error}): let your identity provider's token be \
                     written there, and the service's user read it"
                )
            })?;
            (place, Bytes::from(text))
        }
        Subject::Url { url, headers } => {
            let endpoint = Endpoint {
                url,
                secrets: &[],
                advice: "see that `credential_source.url` and its headers are what your identity provider asks for",
            };
            let (_, text) = endpoint.answer(|http| http.get(url.clone()).headers(headers.clone())).await?;
            (endpoint.place(), text)
        }
    };
    let found = match &external.field {
        None => std::str::from_utf8(&text).ok().map(|text| text.trim().to_owned()),
        Some(field) => serde_json::from_slice::<Value>(&text)
            .ok()
            .and_then(|json| Some(json.get(field)?.as_str()?.trim().to_owned())),
    };
    let token = found.filter(|token| !token.is_empty()).ok_or_else(|| match &external.field {
        None => format!("{place} holds no token: it is empty or no text"),
        Some(field) => format!(
            "{place} holds no token: it is no JSON with a text in the field {field:?}, which `credential_source.format` names"
        ),
    })?;
    Ok((token, place))
}

/// Requests a token of a service account with a token that may act as it
/// (cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken).
async fn impersonated(own: &Token, impersonation: &Impersonation) -> Result<Token, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Generated {
        access_token: String,
        expire_time: DateTime<Utc>,
    }
    let Impersonation { url, delegates, lifetime } = impersonation;
    let mut body = json!({
        "scope": GoogleCredentials::CLOUD_PLATFORM,
        "lifetime": format!("{}s", lifetime.as_secs()),
    });
    if !delegates.is_empty() {
        body["delegates"] = json!(delegates);
    }
    let header = own.header();
    let secret = header.to_str().ok().and_then(|header| header.strip_prefix("Bearer ")).unwrap_or_default();
    let endpoint = Endpoint {
        url,
        secrets: &[secret],
        advice: "see that the service account exists, that the API is enabled (`gcloud services enable iamcredentials.googleapis.com`), and \
                 that whoever the file stands for may act as the account: roles/iam.workloadIdentityUser for a workload identity pool, else \
                 roles/iam.serviceAccountTokenCreator; a lifetime of more than an hour takes an organisation policy",
    };
    let begun = Instant::now();
    let ask = |http: &Client| http.post(url.clone()).header(AUTHORIZATION, header.clone()).json(&body);
    let (headers, answer) = endpoint.answer(ask).await?;
    let generated: Option<Generated> = serde_json::from_slice(&answer).ok();
    let token = generated.and_then(|generated| {
        // By the clock that wrote the end, if the answer shows it; never more than was asked for.
        let now = skew::date(&headers).unwrap_or_else(|| SystemClock.now());
        let left = (generated.expire_time - now).to_std().unwrap_or(Duration::ZERO);
        Token::new(&generated.access_token, begun, left.min(*lifetime))
    });
    token.ok_or_else(|| endpoint.unreadable())
}

/// Endpoint that is asked once.
struct Endpoint<'a> {
    url: &'a Url,
    /// Secrets of the request, which no error code may hold.
    secrets: &'a [&'a str],
    /// Advice for a person whose request is refused.
    advice: &'a str,
}

impl Endpoint<'_> {
    /// Returns the address for an error text, without its query, which may hold a secret.
    fn place(&self) -> String {
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}{}", self.url.host_str().unwrap_or_default(), self.url.path())
    }

    fn unreadable(&self) -> String {
        format!("the answer of {} is no token: check that address", self.place())
    }

    async fn token(&self, request: impl FnOnce(&Client) -> RequestBuilder) -> Result<Token, String> {
        let begun = Instant::now();
        let (_, body) = self.answer(request).await?;
        Token::read(&body, begun).ok_or_else(|| self.unreadable())
    }

    /// Sends the request. The client is made anew each time, so that new certificates of a network's own CA take effect as well.
    async fn answer(
        &self,
        request: impl FnOnce(&Client) -> RequestBuilder,
    ) -> Result<(HeaderMap, Bytes), String> {
        let failed = |why: String| format!("{}: {why}", self.place());
        let http = token::client(self.url).map_err(|error| failed(chain(&error)))?;
        token::ask(request(&http), self.secrets).await.map_err(|failure| match &failure {
            Failure::Unanswered(error) => failed(failure.to_string() + advice(error)),
            Failure::Refused { status, .. } if status.is_client_error() => {
                failed(format!("{failure}; {}", self.advice))
            }
            Failure::Refused { .. } | Failure::Broken(_) => failed(failure.to_string()),
        })
    }
}

/// Returns advice for a request that came to no answer.
fn advice(error: &reqwest::Error) -> &'static str {
    if chain(error).contains("certificate") {
        "; if this network has a CA of its own, name its file in SSL_CERT_FILE (docs/networks.md)"
    } else if error.is_connect() {
        "; if this network has a proxy, name it in HTTPS_PROXY, else let its firewall pass this host (docs/networks.md)"
    } else {
        ""
    }
}
