//! How every client talks to its upstream: timeouts, retries, rate limit, credentials, sizes (`R21`).
//!
//! An [`Upstream`] knows HTTP and what may be tried again; it knows nothing of cases. No request goes to an address that
//! an answer names, but for a download's redirects to hosts that are allowed for, and those carry no credentials.

mod credentials;
mod json;
mod streaming;
mod upstream;

pub use credentials::{Credentials, GoogleCredentials, HeaderCredentials, NoCredentials, basic, bearer};
pub use json::decode;
pub use upstream::{Body, Call, Created, RetryPolicy, Upstream, UpstreamSettings, shorten};

/// Installs the one TLS crypto provider of the program, unless it is there: a client cannot be built without.
pub fn install_tls() {
    // An error says that somebody was faster, with the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
}
