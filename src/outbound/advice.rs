//! Remedies that the errors of calls end with. `check` shows the same ones: whoever reads the error of a poll or a sync finds there what to
//! do, and needs no second command.

use reqwest::Url;

use crate::cases::{ApiError, ApiErrorKind};

/// Finds the remedy for a failed call, as far as there is one for a person to apply.
pub type Advice = Box<dyn Fn(&ApiError) -> Option<String> + Send + Sync>;

/// Remedy for a connection whose certificate is not trusted.
const CERTIFICATE: &str = "if the system, or a proxy on the way, has a certificate authority of its own, name its file in SSL_CERT_FILE \
                           (docs/networks.md)";
/// Remedy for a proxy that does not let a connection through.
const PROXY: &str = "check HTTPS_PROXY and NO_PROXY, and that the proxy lets the connector through to this host (docs/networks.md)";

/// Words of the message about an answer that is for another user than the connector's.
pub(super) const STRANGER: &str = "is for somebody else than the connector's user";

/// End of the message about a download that another host has.
pub(super) const FOREIGN_HOST: &str = "which is not among the hosts that are allowed for";

/// Returns the hint for an error. `None` if its message names the remedy itself.
pub(super) fn of(error: &ApiError, advice: Option<&Advice>) -> Option<String> {
    if error.message.contains(STRANGER) {
        return advice.and_then(|advice| advice(error));
    }
    // A message of this program, and not of the system: see `Upstream::refusal`.
    let is_ours =
        error.status.is_none() || matches!(error.kind, ApiErrorKind::Unreadable | ApiErrorKind::WrongContent);
    if is_ours && names_remedy(&error.message) {
        return None;
    }
    of_network(error).map(str::to_owned).or_else(|| advice.and_then(|advice| advice(error)))
}

/// Ends of the keys that hold an address.
const ADDRESSES: [&str; 2] = [".base_url", ".gateway_url"];

/// Adds the configured address to a hint that names its key: whoever reads the hint sees a wrong one at once.
pub(super) fn with_address(hint: &str, address: &Url) -> String {
    let named = ADDRESSES.into_iter().find_map(|key| Some((key, hint.split_once(key)?)));
    match named {
        Some((key, (before, after))) => {
            format!("{before}{key} ({}){after}", address.as_str().trim_end_matches('/'))
        }
        None => hint.to_owned(),
    }
}

/// Names the gateway's key in place of the site's: the calls go to the gateway.
pub(super) fn for_gateway(hint: &str, key: &str) -> String {
    hint.replace("company.base_url", key)
}

/// Reports if a message of this program names the setting to check.
fn names_remedy(message: &str) -> bool {
    ["company.", "google.", "base_url", "HTTPS_PROXY", "`timedatectl"].iter().any(|key| message.contains(key))
}

/// Returns the remedy for a call that went wrong on the way, whatever the system.
fn of_network(error: &ApiError) -> Option<&'static str> {
    if error.status.is_some() || error.kind == ApiErrorKind::Unauthorized {
        return None;
    }
    let message = error.message.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if has(&["certificate", "unknownissuer"]) {
        Some(CERTIFICATE)
    } else if has(&["proxy", "tunnel"]) {
        Some(PROXY)
    } else {
        None
    }
}

/// Remedies of one CRM, by the kind of failure.
pub struct Remedies {
    /// Remedy for credentials that are not accepted.
    pub sign_in: String,
    /// Remedies for a missing right, by method and part of the path. The first that fits counts.
    pub rights: Vec<(&'static str, &'static str, String)>,
    /// Remedy for a missing right to any other call.
    pub right: String,
    /// Ends of the paths that every system of the kind has: a 404 there means another address, and not a missing item.
    pub fixed: Vec<String>,
    /// Remedy for a wrong address.
    pub address: String,
    /// Remedies for refusals, and for answers to somebody else than the connector's user, by a part of the message.
    pub refusals: Vec<(&'static str, String)>,
    /// Key of the configuration that allows for other hosts of files. `None` if the system keeps its files itself.
    pub download_hosts: Option<&'static str>,
    /// Remedy for a system that does not answer, or answers with an error of its own.
    pub reach: String,
}

impl Remedies {
    /// Makes the advice of the remedies.
    #[must_use]
    pub fn advice(self) -> Advice {
        Box::new(move |error| match self.download_hosts {
            Some(key) if error.message.ends_with(FOREIGN_HOST) => {
                Some(format!("if it is {}'s own, add it to {key}", error.upstream))
            }
            Some(_) | None => self.find(error).map(str::to_owned),
        })
    }

    fn find(&self, error: &ApiError) -> Option<&str> {
        let refused = self.refusals.iter().find(|(part, _)| error.message.contains(part));
        if error.message.contains(STRANGER) {
            return Some(refused.map_or(&self.sign_in, |(_, remedy)| remedy));
        }
        match (error.kind, error.status) {
            (ApiErrorKind::Unauthorized | ApiErrorKind::Refused, Some(_)) if refused.is_some() => {
                refused.map(|(_, remedy)| remedy.as_str())
            }
            (ApiErrorKind::Unauthorized, Some(403)) => Some(self.missing_right(&error.call)),
            (ApiErrorKind::Unauthorized, _) => Some(&self.sign_in),
            (ApiErrorKind::NotFound, _) if self.fixed.iter().any(|end| error.call.ends_with(end)) => {
                Some(&self.address)
            }
            (ApiErrorKind::Unreadable, _) | (ApiErrorKind::Refused, Some(300..=399)) => Some(&self.address),
            (ApiErrorKind::NotApplied, None) | (ApiErrorKind::Uncertain, _) => Some(&self.reach),
            (
                // With a status, the limit of a rate, or two writes that collided: both pass.
                ApiErrorKind::NotApplied
                | ApiErrorKind::NotFound
                | ApiErrorKind::Refused
                | ApiErrorKind::Unacceptable
                | ApiErrorKind::Unsupported
                | ApiErrorKind::WrongContent,
                _,
            ) => None,
        }
    }

    fn missing_right(&self, call: &str) -> &str {
        let (method, path) = call.split_once(' ').unwrap_or_default();
        let fits = |known: &&(&str, &str, String)| known.0 == method && path.contains(known.1);
        self.rights.iter().find(fits).map_or(&self.right, |(_, _, remedy)| remedy)
    }
}
