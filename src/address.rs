//! Addresses in the configuration, to which credentials are sent.

use url::{Host, Url};

/// Reads an address. Fails with what is expected: https, since credentials would cross the network unencrypted (plain http is for this
/// machine only), and neither user, password nor query.
pub(crate) fn read(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.query().is_none()
            && url.username().is_empty()
            && url.password().is_none()
    });
    let url = url.ok_or("an https:// address without user, password and query")?;
    if url.scheme() == "http" && !is_loopback(&url) {
        return Err("https (http is for addresses of this machine only)");
    }
    Ok(url)
}

/// True if an address is one of this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
