//! The HTTP layer of every client: timeouts, retries, rate limit, credentials, size limits (`R21`: manners towards an upstream).
//!
//! An [`Upstream`] knows HTTP and the retry rules; it knows nothing of cases. No request goes to an address taken from an answer, except
//! for a download's redirects to allowed hosts, and those carry no credentials. [`Announced`] detects an answer that is not the requested
//! file, for all systems alike.

mod advice;
mod closed;
mod credentials;
mod google;
mod json;
mod masking;
mod oauth;
mod pace;
mod skew;
mod streaming;
mod tls;
mod token;
mod upstream;
mod variables;

pub use advice::{Advice, Remedies};
pub use credentials::{
    Credentials, FindProvider, GoogleCredentials, HeaderCredentials, NoCredentials, basic, bearer,
};
pub use google::{GoogleFile, find_google};
pub use json::decode;
pub use oauth::{ClientCredentials, TokenEndpoint, TokenRequest};
pub use pace::{Pace, WriteLimit};
pub use streaming::Announced;
pub use tls::install_tls;
pub use token::client as endpoint_client;
pub use upstream::{
    AnswerMemory, Body, Broken, Call, Created, Dialect, ErrorText, Gateway, Listing, MAX_ANSWER, RetryPolicy,
    Stranger, Upstream, UpstreamSettings, chain, read_capped,
};
pub use variables::{certificate_problem, proxy_problems};

/// Returns the base configuration of every HTTP client of the program. It follows no redirect, and neither requests nor decompresses
/// compressed answers, whatever features other crates enable in `reqwest`: a few bytes could become gigabytes, and the announced length
/// would no longer be that of the content (`R17`: files).
pub fn http_client() -> reqwest::ClientBuilder {
    tls::configure(reqwest::Client::builder())
        .user_agent(concat!("casebridge/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
}
