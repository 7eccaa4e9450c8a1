//! TLS of every client: what the machine trusts, and nothing else.

use std::sync::OnceLock;

use rustls::ClientConfig;
use rustls_platform_verifier::ConfigVerifierExt as _;

/// Installs the program's TLS crypto provider, which every client needs. Does nothing if it is installed already.
pub fn install_tls() {
    // An error means that another thread installed the same provider first.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// Gives a client the TLS configuration that all clients share. Without it each client would read the certificates of the machine anew:
/// there are hundreds, which takes tens of milliseconds. If that fails, the client tries it as well when it is built, and says why.
pub(super) fn configure(builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
    static SHARED: OnceLock<Option<ClientConfig>> = OnceLock::new();
    install_tls();
    let shared = SHARED.get_or_init(|| {
        let mut config = ClientConfig::with_platform_verifier().ok()?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Some(config)
    });
    match shared {
        Some(config) => builder.tls_backend_preconfigured(config.clone()),
        None => builder,
    }
}
