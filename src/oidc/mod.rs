//! Tokens of an issuer that proves an identity (OpenID Connect): a JSON Web Token (RFC 7519), signed with a key of the issuer's key set.

mod keys;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use keys::{KeyError, Keys};

/// Maximum length of a token.
const MAX_TOKEN: usize = 16 * 1024;
/// Difference of the clocks that is tolerated, in seconds.
const LEEWAY: i64 = 60;

/// Algorithm of an issuer's signatures. A token that names another one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// RSA with SHA-256.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// Reason why a token proves nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenError {
    /// Not a JSON Web Token, or one that is signed with another algorithm than the issuer's.
    Malformed,
    /// Its claims are not accepted, for this reason.
    Refused(&'static str),
    /// No key of the issuer has signed it.
    Unsigned,
    /// The keys cannot be read now.
    Unavailable(String),
}

/// Verifier of the tokens of one issuer. Its keys are read when they are first needed.
pub struct Issuer {
    keys: Keys,
    algorithm: Algorithm,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
}

impl Issuer {
    /// Creates the verifier for an issuer whose keys are at that URL.
    pub fn new(keys_url: Url, algorithm: Algorithm) -> Result<Self, reqwest::Error> {
        Ok(Self { keys: Keys::new(keys_url)?, algorithm })
    }

    /// Verifies a token and returns its claims. `check` decides about the claims first: it costs nothing, and a forged token should cost no
    /// request for keys.
    pub async fn verify<C: DeserializeOwned>(
        &self,
        token: &str,
        check: impl FnOnce(&C) -> Result<(), &'static str>,
    ) -> Result<C, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Malformed)?;
        if header.alg != self.algorithm.name() {
            return Err(TokenError::Malformed);
        }
        let claims: C = serde_json::from_slice(&decode(claims)?).map_err(|_| TokenError::Malformed)?;
        check(&claims).map_err(TokenError::Refused)?;
        let signature = decode(signature)?;
        match self.keys.verify(self.algorithm, &header.kid, signed.as_bytes(), &signature).await {
            Ok(()) => Ok(claims),
            Err(KeyError::Wrong) => Err(TokenError::Unsigned),
            Err(KeyError::Unreadable(reason)) => Err(TokenError::Unavailable(reason)),
        }
    }
}

/// Checks the times of a token, in seconds since 1970, at `now`.
pub fn check_times(issued_at: i64, expires_at: i64, now: i64) -> Result<(), &'static str> {
    if expires_at.saturating_add(LEEWAY) < now {
        Err("the token has expired")
    } else if issued_at.saturating_sub(LEEWAY) > now {
        Err("the token is not valid yet")
    } else {
        Ok(())
    }
}
