//! Authentication and authorisation of callers (`R5`: callers).

use std::net::SocketAddr;

use axum::http::{HeaderMap, StatusCode, header};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Access, Problem, bearer};
use crate::cases::Trouble;
use crate::config::{Secret, Trust};
use crate::tasks::Caller;

/// Minimum length of an admin token that cannot be guessed, in bytes: 16 characters of `openssl rand -hex` are 64 bits.
const SHORTEST_ADMIN_TOKEN: usize = 16;

/// Returns the danger of an admin token that is too short. It is no reason not to start: version 0.1 took any token, and a service that no
/// longer syncs after an upgrade harms more than a token that its log and `casebridge check` complain about.
#[must_use]
pub fn token_problem(admin_token: &Secret) -> Option<Trouble> {
    (admin_token.reveal().len() < SHORTEST_ADMIN_TOKEN).then(|| {
        Trouble::failed(
            format!("server.admin_token has fewer than {SHORTEST_ADMIN_TOKEN} characters: whoever reaches the port can guess it"),
            "make a new one with `openssl rand -hex 32`, and tell it to whoever calls the service",
        )
    })
}

/// Caller whose identity is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// Person with the admin token, or at this machine where no token is configured.
    Person,
    /// Queue that delivers a task.
    Queue,
    /// Cron job.
    Cron,
    /// Any caller, such as a health check. Accepted for open routes, and for those whose handler verifies a message's own proof.
    Anybody,
}

impl Identity {
    /// Returns the kind of caller that the tasks distinguish.
    #[must_use]
    pub const fn caller(self) -> Caller {
        match self {
            Self::Queue | Self::Cron => Caller::Queue,
            Self::Person | Self::Anybody => Caller::Person,
        }
    }
}

/// Accepted proofs of identity, and the peer of one request.
#[derive(Debug, Clone, Copy)]
pub struct Proof<'a> {
    /// Proof of a caller who sends no token.
    pub trust: Trust,
    /// Admin token that people send, if one is configured.
    pub admin_token: Option<&'a Secret>,
    /// Token that the embedded queue and cron send.
    pub internal_token: &'a Secret,
    /// Address of the peer. On App Engine the peer is a local proxy, so its address proves nothing there.
    pub peer: Option<SocketAddr>,
}

impl Proof<'_> {
    /// Identifies the caller and checks that it may use a route with this access. Returns 401 if no proof is sent or the proof is wrong,
    /// 403 if the identified caller may not use the route.
    pub fn identity(&self, headers: &HeaderMap, access: Access) -> Result<Identity, Problem> {
        if matches!(access, Access::Open | Access::Signed) {
            return Ok(Identity::Anybody);
        }
        let identity = self.recognise(headers)?;
        let allowed = match (access, identity) {
            (_, Identity::Person) | (Access::Tasks, Identity::Queue) | (Access::Cron, Identity::Cron) => true,
            (Access::People | Access::Cron | Access::Open | Access::Signed, Identity::Queue)
            | (Access::People | Access::Tasks | Access::Open | Access::Signed, Identity::Cron)
            | (_, Identity::Anybody) => false,
        };
        if allowed {
            Ok(identity)
        } else {
            Err(Problem::new(StatusCode::FORBIDDEN, "This caller may not do this"))
        }
    }

    fn recognise(&self, headers: &HeaderMap) -> Result<Identity, Problem> {
        let is_cron = || headers.get("x-appengine-cron").is_some_and(|value| value == "true");
        let is_queue = || headers.contains_key("x-appengine-queuename");
        if self.trust == Trust::AppEngineHeaders {
            // App Engine strips these headers from requests that come from outside.
            if is_cron() {
                return Ok(Identity::Cron);
            }
            if is_queue() {
                return Ok(Identity::Queue);
            }
        }
        if headers.contains_key(header::AUTHORIZATION) {
            let Some(token) = bearer(headers) else { return Err(unauthorized("the scheme must be Bearer")) };
            if same(token, self.internal_token) {
                return Ok(if is_cron() { Identity::Cron } else { Identity::Queue });
            }
            return match self.admin_token {
                Some(expected) if same(token, expected) => Ok(Identity::Person),
                Some(_) => Err(unauthorized("the token is not the right one")),
                None => Err(unauthorized("no token is right: set server.admin_token")),
            };
        }
        if self.is_local_person(headers) {
            return Ok(Identity::Person);
        }
        Err(unauthorized("send the admin token: Authorization: Bearer …"))
    }

    /// True if the caller is a person at this machine and no admin token is configured. Excludes pages in a browser, which may come from
    /// any site, and requests that a proxy passes on.
    fn is_local_person(&self, headers: &HeaderMap) -> bool {
        let passed_on = ["origin", "forwarded", "x-forwarded-for", "sec-fetch-site"].iter().any(|name| {
            headers.contains_key(*name) && headers.get(*name).is_none_or(|value| value != "none")
        });
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
        let name = host
            .rsplit_once(':')
            .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
            .map_or(host, |(name, _)| name);
        self.trust == Trust::Loopback
            && self.admin_token.is_none()
            && self.peer.is_some_and(|peer| peer.ip().is_loopback())
            && matches!(name, "localhost" | "127.0.0.1" | "[::1]")
            && !passed_on
    }
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "The caller did not prove who they are").detail(detail.to_owned())
}

/// Compares in constant time. Both sides are hashed first, so that the length does not show either.
fn same(token: &str, expected: &Secret) -> bool {
    let expected = expected.reveal();
    !expected.is_empty() && bool::from(Sha256::digest(token).ct_eq(&Sha256::digest(expected)))
}
