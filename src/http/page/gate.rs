//! Identity of an operator in a browser, and the protection of forms: a signed cookie, the origin of the request, a token in each form
//! (`R5`: callers).

use std::net::SocketAddr;

use axum::http::{HeaderMap, StatusCode, header};
use chrono::{DateTime, Duration, Utc};
use ring::hmac;

use crate::config::Trust;

use super::super::api::{ADMIN, LOCAL};
use super::super::auth::Browser;
use super::super::{Identity, Problem, Proof, Service};

/// Lifetime of a sign-in.
const LIFETIME: Duration = Duration::hours(8);
/// Name of the cookie. With `__Host-`, a browser takes it from this host by https only.
const NAME: &str = "casebridge";

/// Operator whose identity is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Operator {
    /// Name for logs and notes.
    pub(super) name: String,
    /// Value that the tokens of this operator's forms are bound to. `None`: the proof is a header, which no other site can send.
    session: Option<String>,
    /// True if the operator signed in and can sign out.
    pub(super) signed_in: bool,
}

/// Identifies the operator who sends a request for a page.
pub(in super::super) async fn operator(
    service: &Service,
    headers: &HeaderMap,
    peer: Option<SocketAddr>,
) -> Result<Operator, Problem> {
    if let Some(iap) = &service.iap
        && let Some(name) = iap.person(headers, service.deps.clock.now()).await?
    {
        let session = Some(format!("iap {name}"));
        return Ok(Operator { name, session, signed_in: false });
    }
    let proof = Proof {
        trust: service.trust,
        admin_token: service.admin_token.as_ref(),
        internal_token: &service.internal_token,
        peer,
    };
    let refused = match proof.recognise(headers, Browser::OwnPages) {
        Ok(Identity::Person) if headers.contains_key(header::AUTHORIZATION) => {
            let name = ADMIN.to_owned();
            return Ok(Operator { name, session: None, signed_in: false });
        }
        Ok(Identity::Person) => {
            let (name, session) = (LOCAL.to_owned(), Some("loopback".to_owned()));
            return Ok(Operator { name, session, signed_in: false });
        }
        Ok(Identity::Queue | Identity::Cron | Identity::Anybody) => {
            return Err(Problem::new(StatusCode::FORBIDDEN, "This caller may not do this"));
        }
        Err(problem) => problem,
    };
    if headers.contains_key(header::AUTHORIZATION) {
        return Err(refused);
    }
    match signed_in(service, headers) {
        Some(session) => {
            let name = "the holder of the admin token (page)".to_owned();
            Ok(Operator { name, session: Some(session), signed_in: true })
        }
        None => Err(refused),
    }
}

/// Returns the value of the cookie, if it is signed and has not expired.
fn signed_in(service: &Service, headers: &HeaderMap) -> Option<String> {
    service.admin_token.as_ref()?;
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let names = [NAME.to_owned(), format!("__Host-{NAME}")];
    pairs
        .filter(|(name, _)| names.iter().any(|known| known == name))
        .map(|(_, value)| value)
        .find(|value| is_valid(service, value, service.deps.clock.now()))
        .map(str::to_owned)
}

fn is_valid(service: &Service, value: &str, now: DateTime<Utc>) -> bool {
    let Some((signed, mac)) = value.rsplit_once('.') else { return false };
    let Some((until, _)) = signed.split_once('.') else { return false };
    let Ok(mac) = hex::decode(mac) else { return false };
    if hmac::verify(&key(service, "cookie"), signed.as_bytes(), &mac).is_err() {
        return false;
    }
    // A time further ahead than a sign-in lasts was written before the clock was set back.
    until.parse().is_ok_and(|until: i64| until > now.timestamp() && until <= (now + LIFETIME).timestamp())
}

/// Returns the key for one purpose. It is made of the admin token, so that a new token ends all sign-ins and every instance knows the key;
/// without one, of the token that this process drew.
fn key(service: &Service, purpose: &str) -> hmac::Key {
    let secret = service.admin_token.as_ref().unwrap_or(&service.internal_token);
    let root = hmac::Key::new(hmac::HMAC_SHA256, secret.reveal().as_bytes());
    let derived = hmac::sign(&root, format!("casebridge pages: {purpose}").as_bytes());
    hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
}

/// Returns the `Set-Cookie` header of a new sign-in if the token is the admin token.
pub(super) fn sign_in(service: &Service, headers: &HeaderMap, token: &str) -> Option<String> {
    let expected = service.admin_token.as_ref()?;
    if !expected.is_proven_by(token.trim()) {
        return None;
    }
    let until = (service.deps.clock.now() + LIFETIME).timestamp();
    let signed = format!("{until}.{}", hex::encode(rand::random::<[u8; 16]>()));
    let mac = hex::encode(hmac::sign(&key(service, "cookie"), signed.as_bytes()));
    Some(cookie(service, headers, &format!("{signed}.{mac}"), LIFETIME.num_seconds()))
}

/// Returns the `Set-Cookie` header that ends a sign-in.
pub(super) fn sign_out(service: &Service, headers: &HeaderMap) -> String {
    cookie(service, headers, "", 0)
}

fn cookie(service: &Service, headers: &HeaderMap, value: &str, seconds: i64) -> String {
    let forwarded = headers.get("x-forwarded-proto").is_some_and(|proto| proto == "https");
    let (prefix, secure) = if forwarded || service.trust == Trust::AppEngineHeaders {
        ("__Host-", "; Secure")
    } else {
        ("", "")
    };
    format!("{prefix}{NAME}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Checks that a form was sent by a page of this service: a browser says where a request comes from, and no page can change that.
pub(super) fn same_origin(headers: &HeaderMap) -> Result<(), Problem> {
    if headers.contains_key(header::AUTHORIZATION) {
        // No page of another site can send that.
        return Ok(());
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_ours = match (text("sec-fetch-site"), text("origin")) {
        (Some(site), _) => site == "same-origin",
        (None, Some(origin)) => {
            let host = origin.split_once("://").map(|(_, host)| host);
            host.is_some() && ["host", "x-forwarded-host"].iter().any(|name| text(name) == host)
        }
        (None, None) => false,
    };
    if is_ours { Ok(()) } else { Err(foreign()) }
}

fn foreign() -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "The form was not sent by a page of this service").detail(
        "open the page again and send its form; scripts use POST /api/v1/mappings/{case}/{action}".to_owned(),
    )
}

/// Returns the token for this operator's forms.
pub(super) fn form_token(service: &Service, operator: &Operator) -> String {
    let session = operator.session.as_deref().unwrap_or_default();
    hex::encode(hmac::sign(&key(service, "form"), session.as_bytes()))
}

/// Checks the origin and the token of a form.
pub(super) fn check_form(
    service: &Service,
    operator: &Operator,
    headers: &HeaderMap,
    token: Option<&str>,
) -> Result<(), Problem> {
    let Some(session) = &operator.session else { return Ok(()) };
    same_origin(headers)?;
    let token = token.and_then(|token| hex::decode(token).ok()).unwrap_or_default();
    hmac::verify(&key(service, "form"), session.as_bytes(), &token).map_err(|_| foreign())
}
