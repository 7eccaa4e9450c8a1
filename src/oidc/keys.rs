//! Cache of the keys that an issuer signs its tokens with (a JSON Web Key Set, RFC 7517).

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::header::CACHE_CONTROL;
use reqwest::{Client, Url};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::Algorithm;
use crate::outbound::{endpoint_client, read_capped};

/// Maximum size of a key set, in bytes.
const MAX_KEYS: usize = 256 * 1024;
/// Minimum time between two requests: a forged token may name any key.
const PAUSE: Duration = Duration::from_mins(1);
/// Lifetime of a key set whose answer names none.
const DEFAULT_AGE: Duration = Duration::from_hours(1);
/// Longest lifetime that is believed.
const LONGEST_AGE: Duration = Duration::from_hours(24);
/// Time after its lifetime for which a key set is used while no new one can be read.
const STALE: Duration = Duration::from_hours(24);

/// Public key.
#[derive(Clone)]
enum Key {
    /// RSA: modulus and exponent.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// Point on P-256, uncompressed (SEC 1, 2.3.3).
    P256(Vec<u8>),
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<WireKey>,
}

#[derive(Deserialize)]
struct WireKey {
    #[serde(default)]
    kid: String,
    #[serde(default)]
    kty: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
}

impl WireKey {
    /// Returns the key with its ID; `None` if it is of no known kind.
    fn read(self) -> Option<(String, Key)> {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
        let key = match (self.kty.as_str(), self.crv.as_str()) {
            ("RSA", _) => Key::Rsa { n: decode(&self.n)?, e: decode(&self.e)? },
            ("EC", "P-256") => {
                let (x, y) = (decode(&self.x)?, decode(&self.y)?);
                if (x.len(), y.len()) != (32, 32) {
                    return None;
                }
                Key::P256([&[4][..], &x, &y].concat())
            }
            _ => return None,
        };
        Some((self.kid, key))
    }
}

#[derive(Default)]
struct Cached {
    keys: HashMap<String, Key>,
    asked_at: Option<Instant>,
    fresh_until: Option<Instant>,
}

/// Reason why a signature is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyError {
    /// The key set has no such key, or the signature is another one's.
    Wrong,
    /// The key set could not be read.
    Unreadable(String),
}

/// Keys of an issuer, read when they are needed and kept as long as the issuer allows. One request serves all that wait for it.
pub(super) struct Keys {
    url: Url,
    http: Client,
    cached: Mutex<Cached>,
}

impl Keys {
    pub(super) fn new(url: Url) -> Result<Self, reqwest::Error> {
        let http = endpoint_client(&url)?;
        Ok(Self { url, http, cached: Mutex::default() })
    }

    /// Verifies a signature by the key with that ID, which must be of the algorithm's kind.
    pub(super) async fn verify(
        &self,
        algorithm: Algorithm,
        kid: &str,
        signed: &[u8],
        signature: &[u8],
    ) -> Result<(), KeyError> {
        let verified = match (algorithm, self.key(kid).await?) {
            (Algorithm::Rs256, Key::Rsa { n, e }) => {
                RsaPublicKeyComponents { n: &n, e: &e }.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
            }
            (Algorithm::Es256, Key::P256(point)) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(signed, signature)
            }
            (Algorithm::Rs256, Key::P256(_)) | (Algorithm::Es256, Key::Rsa { .. }) => {
                return Err(KeyError::Wrong);
            }
        };
        verified.map_err(|_| KeyError::Wrong)
    }

    async fn key(&self, kid: &str) -> Result<Key, KeyError> {
        let mut cached = self.cached.lock().await;
        let now = Instant::now();
        let is_fresh = cached.fresh_until.is_some_and(|until| now < until);
        if let Some(key) = cached.keys.get(kid).filter(|_| is_fresh) {
            return Ok(key.clone());
        }
        // An issuer adds a new key before it signs with it, so an unknown key in a fresh set is forged, or the set was changed early.
        let may_ask = cached.asked_at.is_none_or(|asked| now - asked >= PAUSE);
        let mut failure = None;
        if may_ask {
            cached.asked_at = Some(now);
            match self.read().await {
                Ok((keys, age)) => {
                    cached.keys = keys;
                    cached.fresh_until = Some(now + age);
                }
                Err(error) => {
                    tracing::warn!("the keys of an issuer of tokens cannot be read: {error}");
                    failure = Some(error);
                }
            }
        }
        let is_usable = cached.fresh_until.is_some_and(|until| now < until + STALE);
        match cached.keys.get(kid).filter(|_| is_usable) {
            Some(key) => Ok(key.clone()),
            None if is_usable && failure.is_none() => Err(KeyError::Wrong),
            None => Err(KeyError::Unreadable(failure.unwrap_or_else(|| "they could not be read".to_owned()))),
        }
    }

    async fn read(&self) -> Result<(HashMap<String, Key>, Duration), String> {
        let host = self.url.host_str().unwrap_or_default();
        let sent = self.http.get(self.url.clone()).send().await;
        let response = sent.map_err(|error| format!("{host} was not reached: {}", error.without_url()))?;
        if !response.status().is_success() {
            return Err(format!("{host} answered {}", response.status().as_u16()));
        }
        let control = response.headers().get(CACHE_CONTROL).and_then(|value| value.to_str().ok());
        let age = max_age(control.unwrap_or_default());
        let body = read_capped(response, MAX_KEYS).await.map_err(|error| format!("{host}: {error}"))?;
        let read: KeySet =
            serde_json::from_slice(&body).map_err(|_| format!("{host} answered with no JSON Web Key Set"))?;
        let keys: HashMap<_, _> = read.keys.into_iter().filter_map(WireKey::read).collect();
        if keys.is_empty() {
            Err(format!("{host} answered with no key that can be used"))
        } else {
            Ok((keys, age))
        }
    }
}

/// Returns the lifetime that a `Cache-Control` header names, within bounds.
fn max_age(control: &str) -> Duration {
    let seconds = control.split(',').find_map(|part| part.trim().strip_prefix("max-age=")?.parse().ok());
    seconds.map_or(DEFAULT_AGE, |seconds| Duration::from_secs(seconds).clamp(PAUSE, LONGEST_AGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_kept_as_long_as_the_issuer_allows() {
        for (control, seconds) in [
            ("public, max-age=21000, must-revalidate", 21_000),
            ("max-age=1", 60),
            ("max-age=99999999999", 86_400),
            ("no-cache", 3_600),
            ("max-age=soon", 3_600),
            ("", 3_600),
        ] {
            assert_eq!(max_age(control), Duration::from_secs(seconds), "{control}");
        }
    }
}
