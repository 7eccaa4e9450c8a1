//! How every client talks to its upstream: timeouts, retries, rate limit, credentials, sizes (`R21`).
//!
//! An [`Upstream`] knows HTTP and what may be tried again; it knows nothing of cases. No request goes to an address that
//! an answer names, but for a download's redirects to hosts that are allowed for, and those carry no credentials. What comes
//! in place of a file is judged here as well, for all systems alike: [`Announced`].

mod credentials;
mod json;
mod skew;
mod streaming;
mod upstream;

pub use credentials::{
    Credentials, FindProvider, GoogleCredentials, HeaderCredentials, NoCredentials, basic, bearer,
};
pub use json::decode;
pub use streaming::Announced;
pub use upstream::{
    Body, Broken, Call, Created, Dialect, ErrorText, Listing, MAX_ANSWER, RetryPolicy, Stranger, Upstream,
    UpstreamSettings, read_capped,
};

/// Installs the one TLS crypto provider of the program, unless it is there: a client cannot be built without.
pub fn install_tls() {
    // An error says that somebody was faster, with the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// What every client of the program begins with: it follows no redirect by itself, and neither asks for packed answers nor
/// unpacks any, whatever the libraries beside it switch on in `reqwest`: a few bytes could become gigabytes, and the announced
/// length would no longer be that of the content (`R17`).
pub fn http_client() -> reqwest::ClientBuilder {
    install_tls();
    reqwest::Client::builder()
        .user_agent(concat!("casebridge/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
}
