//! Secrets: the configuration names their place, and never holds their value.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Place where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretRef {
    /// `env:NAME`: an environment variable.
    Environment(String),
    /// `file:PATH`: a file; white space at its end is not part of the secret.
    File(PathBuf),
    /// `secret://projects/P/secrets/S/versions/V`: Secret Manager.
    SecretManager(String),
}

/// Value of a secret. `Debug` hides it, it has no `Display` and no `Serialize`, and `==` takes the same time wherever two values differ. It
/// compares digests, so that the length does not show either.
#[derive(Clone)]
pub struct Secret(String);

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        Sha256::digest(&self.0).ct_eq(&Sha256::digest(&other.0)).into()
    }
}

impl Eq for Secret {}

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Returns the value, for the one place that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns true if a caller sent this secret. Takes the same time wherever the two differ; an empty secret is never right.
    #[must_use]
    pub fn is_proven_by(&self, sent: &str) -> bool {
        !self.0.is_empty() && *self == Self::new(sent)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Reason why a secret could not be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set, or empty.
    #[error("the environment variable {0} is not set, or empty")]
    Environment(String),
    /// The variable is not among those of the file that is checked, or empty.
    #[error(
        "{0} is not among the file's env_variables, or empty; a variable of this shell does not count, since App Engine will not have it"
    )]
    NotInFile(String),
    /// The file cannot be read.
    #[error("the file {path} cannot be read: {reason}")]
    File {
        /// Path of the file.
        path: String,
        /// Reason why it cannot be read.
        reason: String,
    },
    /// Secret Manager did not return the secret.
    #[error("Secret Manager: {0}")]
    SecretManager(String),
    /// No credentials can be made from the value.
    #[error("{0}")]
    Unusable(String),
}

impl FromStr for SecretRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("env:").filter(|name| !name.is_empty()) {
            Ok(Self::Environment(name.to_owned()))
        } else if let Some(path) = text.strip_prefix("file:").filter(|path| !path.is_empty()) {
            Ok(Self::File(PathBuf::from(path)))
        } else if let Some(name) = text.strip_prefix("secret://").filter(|name| is_version(name)) {
            Ok(Self::SecretManager(name.to_owned()))
        } else {
            Err("env:NAME, file:PATH or secret://projects/P/secrets/S/versions/V; a secret itself does not belong in the \
                 configuration"
                .to_owned())
        }
    }
}

fn is_version(name: &str) -> bool {
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:".contains(&b))
    };
    let parts: Vec<&str> = name.split('/').collect();
    matches!(parts.as_slice(), ["projects", p, "secrets", s, "versions", v] if word(p) && word(s) && word(v))
}

impl SecretRef {
    /// Reads a secret that is on this machine. Fails for a secret in Secret Manager, which [`SecretRef::resolve`] reads.
    pub fn read_local(&self) -> Result<Secret, SecretError> {
        match self {
            Self::Environment(name) => match std::env::var(name) {
                Ok(value) if !value.trim().is_empty() => Ok(Secret::new(value.trim())),
                _ => Err(SecretError::Environment(name.clone())),
            },
            Self::File(path) => match std::fs::read_to_string(path) {
                Ok(value) if value.trim().is_empty() => Err(SecretError::File {
                    path: path.display().to_string(),
                    reason: "it is empty".to_owned(),
                }),
                Ok(value) => Ok(Secret::new(value.trim_end())),
                Err(error) => {
                    Err(SecretError::File { path: path.display().to_string(), reason: error.to_string() })
                }
            },
            Self::SecretManager(version) => {
                Err(SecretError::SecretManager(format!("{version} is not on this machine")))
            }
        }
    }
}
