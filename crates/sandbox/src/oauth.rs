//! Access tokens of the sandboxes: issued to one OAuth client by the grant `client_credentials`, valid for a while, revoked on request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq as _;

/// An OAuth client and its tokens. Copies share the tokens.
#[derive(Debug, Clone)]
pub struct OauthClient {
    id: String,
    lifetime: Duration,
    /// Scopes of its tokens; `None`: all that the system has.
    scopes: Option<String>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    secret: String,
    issued: HashMap<String, Instant>,
    count: usize,
}

impl PartialEq for OauthClient {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.state, &other.state)
    }
}

impl Eq for OauthClient {}

impl OauthClient {
    /// Creates a client whose tokens expire after `lifetime`.
    #[must_use]
    pub fn new(id: &str, secret: &str, lifetime: Duration) -> Self {
        let state = State { secret: secret.to_owned(), issued: HashMap::new(), count: 0 };
        Self { id: id.to_owned(), lifetime, scopes: None, state: Arc::new(Mutex::new(state)) }
    }

    /// Limits the scopes of the tokens, where the system's clients have fixed ones.
    #[must_use]
    pub fn with_scopes(self, scopes: &str) -> Self {
        Self { scopes: Some(scopes.to_owned()), ..self }
    }

    /// Returns the scopes of the tokens, or `all`.
    pub(crate) fn scopes_or<'a>(&'a self, all: &'a str) -> &'a str {
        self.scopes.as_deref().unwrap_or(all)
    }

    /// Replaces the client's secret. Tokens that were issued stay valid.
    pub fn rotate(&self, secret: &str) {
        secret.clone_into(&mut self.state().secret);
    }

    /// Ends all tokens at once: the next call gets 401.
    pub fn revoke(&self) {
        self.state().issued.clear();
    }

    /// Number of tokens issued so far.
    #[must_use]
    pub fn issued(&self) -> usize {
        self.state().count
    }

    /// Lifetime of a token, in seconds.
    pub(crate) fn lifetime_seconds(&self) -> u64 {
        self.lifetime.as_secs()
    }

    /// Issues a token. `None` if the client is another, or its secret is wrong.
    pub(crate) fn issue(&self, id: &str, secret: &str) -> Option<String> {
        let mut state = self.state();
        let matches =
            id.as_bytes().ct_eq(self.id.as_bytes()) & secret.as_bytes().ct_eq(state.secret.as_bytes());
        if !bool::from(matches) {
            return None;
        }
        let token = hex::encode(rand::random::<[u8; 24]>());
        state.count += 1;
        state.issued.insert(token.clone(), Instant::now());
        Some(token)
    }

    /// True if the request's headers hold a valid token.
    pub(crate) fn accepts(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(token) = sent.and_then(|value| value.strip_prefix("Bearer ")) else { return false };
        self.state().issued.get(token).is_some_and(|issued| issued.elapsed() < self.lifetime)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
