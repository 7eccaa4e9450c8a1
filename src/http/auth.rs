//! Authentication and authorisation of callers (`R5`: callers).

use std::net::SocketAddr;

use axum::http::{HeaderMap, StatusCode, header};

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

/// Headers that only a proxy adds.
const PASSED_ON: [&str; 11] = [
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
    "x-client-ip",
    "x-original-host",
    "true-client-ip",
    "cf-connecting-ip",
];

/// True if a proxy has passed the request on, so that the peer's address is the proxy's.
pub(super) fn was_passed_on(headers: &HeaderMap) -> bool {
    PASSED_ON.iter().any(|name| headers.contains_key(*name))
}

/// Requests of a browser that count as those of a person at this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Browser {
    /// Only those of a typed address.
    Refused,
    /// Also those of this service's own pages.
    OwnPages,
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
        let identity = self.recognise(headers, Browser::Refused)?;
        let allowed = match (access, identity) {
            // The pages identify an operator in more ways: see `page::operator`.
            (Access::Operators, _)
            | (Access::People | Access::Cron | Access::Open | Access::Signed, Identity::Queue)
            | (Access::People | Access::Tasks | Access::Open | Access::Signed, Identity::Cron)
            | (_, Identity::Anybody) => false,
            (_, Identity::Person) | (Access::Tasks, Identity::Queue) | (Access::Cron, Identity::Cron) => true,
        };
        if allowed {
            Ok(identity)
        } else {
            Err(Problem::new(StatusCode::FORBIDDEN, "This caller may not do this"))
        }
    }

    /// Identifies the caller, whatever they want.
    pub(super) fn recognise(&self, headers: &HeaderMap, browser: Browser) -> Result<Identity, Problem> {
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
            if self.internal_token.is_proven_by(token) {
                return Ok(if is_cron() { Identity::Cron } else { Identity::Queue });
            }
            return match self.admin_token {
                Some(expected) if expected.is_proven_by(token) => Ok(Identity::Person),
                Some(_) => Err(unauthorized("the token is not the right one")),
                None => Err(unauthorized("no token is right: set server.admin_token")),
            };
        }
        match self.local_refusal(headers, browser) {
            None => Ok(Identity::Person),
            Some(reason) => Err(unauthorized(&reason)),
        }
    }

    /// Returns the reason why the caller does not count as a person at this machine, for whom no token is needed. `None`: they do count.
    /// Excludes pages in a browser, which may come from any site, and requests that a proxy passes on: its peer address is local, whoever
    /// called it.
    fn local_refusal(&self, headers: &HeaderMap, browser: Browser) -> Option<String> {
        const SEND: &str = "send the admin token: Authorization: Bearer …";
        if self.trust != Trust::Loopback || self.admin_token.is_some() {
            return Some(SEND.to_owned());
        }
        let set = |why: &str| Some(format!("{why}: set server.admin_token, and {SEND}"));
        if !self.peer.is_some_and(|peer| peer.ip().is_loopback()) {
            return set("without an admin token only people on this machine are let in");
        }
        if let Some(name) = PASSED_ON.iter().find(|name| headers.contains_key(**name)) {
            return set(&format!(
                "a proxy passed the request on (header {name}), so nobody knows if a person on this machine sent it"
            ));
        }
        let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
        let host = text("host").unwrap_or_default();
        let name = host
            .rsplit_once(':')
            .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
            .map_or(host, |(name, _)| name);
        if !matches!(name, "localhost" | "127.0.0.1" | "[::1]") {
            return set("the Host header names another machine than this one");
        }
        let own = browser == Browser::OwnPages;
        let is_own_site =
            text("sec-fetch-site").is_none_or(|site| site == "none" || (own && site == "same-origin"));
        let is_own_origin = text("origin")
            .is_none_or(|origin| own && origin.split_once("://").is_some_and(|(_, origin)| origin == host));
        if is_own_site && is_own_origin {
            return None;
        }
        set("another page in a browser sent the request; type the address, or")
    }
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "The caller did not prove who they are").detail(detail.to_owned())
}
