//! Addresses that people give for a case: each has to be one of the configured system (`R31`: an ID is valid only in its own system).

use reqwest::Url;

/// Returns the path of an address within the system at `home`: empty, or with a slash at its beginning. The error of an address of another
/// system names both.
///
/// `http` counts as `https`, to which it usually redirects: only the default ports differ then, which are not written.
pub(super) fn path_within<'a>(address: &'a Url, home: &Url) -> Result<&'a str, String> {
    let host = |url: &Url| url.host_str().map(str::to_lowercase);
    let origin = |url: &Url| (url.scheme().to_owned(), url.port_or_known_default());
    let is_same_port = origin(address) == origin(home) || (address.port().is_none() && home.port().is_none());
    let path = address.path().strip_prefix(home.path().trim_end_matches('/'));
    let path = path.filter(|path| path.is_empty() || path.starts_with('/'));
    path.filter(|_| host(address) == host(home) && is_same_port).ok_or_else(|| {
        format!(
            "the address is of {}, which is another system: this connector works with {}",
            address.host_str().unwrap_or("no host"),
            home.as_str().trim_end_matches('/')
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_within_one_system_only() {
        for (address, home, path) in [
            ("https://a.example/browse/A-1", "https://a.example", Some("/browse/A-1")),
            ("http://A.example/browse/A-1", "https://a.example/", Some("/browse/A-1")),
            ("https://a.example:443/x", "https://a.example", Some("/x")),
            ("https://a.example/jira", "https://a.example/jira/", Some("")),
            ("https://a.example/jira/browse/A-1", "https://a.example/jira", Some("/browse/A-1")),
            ("https://a.example/jira2/browse/A-1", "https://a.example/jira", None),
            ("https://a.example:8443/x", "https://a.example", None),
            ("https://a.example:8443/x", "http://a.example:8443", None),
            ("http://127.0.0.1:8082/x", "http://127.0.0.1:8085", None),
            ("https://a.example.evil.test/x", "https://a.example", None),
            ("https://a.example@evil.test/x", "https://a.example", None),
        ] {
            let (url, home) = (address.parse::<Url>().unwrap(), home.parse::<Url>().unwrap());
            match (path_within(&url, &home), path) {
                (Ok(found), Some(path)) => assert_eq!(found, path, "{address}"),
                (Err(problem), None) => assert!(problem.contains("is another system"), "{problem}"),
                (found, path) => panic!("{address}: {found:?} instead of {path:?}"),
            }
        }
    }
}
