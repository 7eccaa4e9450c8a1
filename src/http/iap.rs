//! Identity-Aware Proxy: Google's front end signs in the person, and says who it is in a signed header.
//!
//! Source: "Securing your app with signed headers", cloud.google.com/iap/docs/signed-headers-howto (November 2026).

use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use url::Url;

use super::Problem;
use crate::oidc::{Algorithm, Issuer, TokenError, check_times};

/// Header with the token.
const HEADER: &str = "x-goog-iap-jwt-assertion";
/// Name under which the proxy issues its tokens.
const ISSUER: &str = "https://cloud.google.com/iap";

/// Verifier of the proxy's header: `[server.iap]`.
pub struct Iap {
    issuer: Issuer,
    audience: String,
    people: Vec<String>,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    exp: i64,
    iat: i64,
    #[serde(default)]
    email: String,
}

impl Iap {
    /// Creates the verifier. Only tokens for `audience` count, and only the email addresses of `people`.
    pub fn new(audience: String, people: Vec<String>, keys_url: Url) -> Result<Self, reqwest::Error> {
        Ok(Self { issuer: Issuer::new(keys_url, Algorithm::Es256)?, audience, people })
    }

    /// Returns the email address of the person who sends a request. `None` if the request did not come through the proxy.
    pub(super) async fn person(
        &self,
        headers: &HeaderMap,
        now: DateTime<Utc>,
    ) -> Result<Option<String>, Problem> {
        let Some(token) = headers.get(HEADER) else { return Ok(None) };
        let checked =
            self.issuer.verify(token.to_str().unwrap_or_default(), |claims| self.check(claims, now));
        let refused = |status: StatusCode, why: &str| {
            Problem::new(status, "Identity-Aware Proxy did not prove who calls").detail(why.to_owned())
        };
        let claims = checked.await.map_err(|error| match error {
            TokenError::Malformed => {
                refused(StatusCode::FORBIDDEN, "the header is no JSON Web Token signed with ES256")
            }
            TokenError::Refused(why) => refused(StatusCode::FORBIDDEN, why),
            TokenError::Unsigned => refused(StatusCode::FORBIDDEN, "the token is not signed by the proxy"),
            TokenError::Unavailable(why) => {
                tracing::warn!("a token of Identity-Aware Proxy cannot be verified: {why}");
                refused(StatusCode::INTERNAL_SERVER_ERROR, &format!("the token cannot be verified: {why}"))
            }
        })?;
        if self.people.iter().any(|person| person.eq_ignore_ascii_case(&claims.email)) {
            return Ok(Some(claims.email));
        }
        Err(Problem::new(StatusCode::FORBIDDEN, "This person may not do this")
            .detail("their email address is not in server.iap.people".to_owned()))
    }

    fn check(&self, claims: &Claims, now: DateTime<Utc>) -> Result<(), &'static str> {
        if claims.iss != ISSUER {
            return Err("the token was not issued by Identity-Aware Proxy");
        }
        if claims.aud != self.audience {
            return Err("the token is for another audience than server.iap.audience");
        }
        check_times(claims.iat, claims.exp, now.timestamp())
    }
}
