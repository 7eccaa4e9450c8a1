//! Variables of the environment that the clients obey: proxies and certificates. A wrong value is ignored without an error of theirs.

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::cases::Trouble;

/// Variable that names the certificates to trust.
const CERTIFICATES: &str = "SSL_CERT_FILE";
/// Variables of a proxy for the addresses that the connector calls. Of each pair the first that is set counts.
const VARIABLES: [[&str; 2]; 2] = [["HTTPS_PROXY", "https_proxy"], ["ALL_PROXY", "all_proxy"]];
/// Form of a proxy's address.
const FORM: &str =
    "an address like http://proxy.example:3128, with user:password@ before the host if it asks for one";

/// Returns the problems of the proxies that the environment names; `variable` reads one of its variables. The HTTP client ignores an address
/// that it cannot read without a word, so that every call would go out directly. The value is not shown: it may hold a password.
pub fn proxy_problems(variable: impl Fn(&str) -> Option<String>) -> Vec<Trouble> {
    let given = |names: [&'static str; 2]| {
        names.into_iter().find_map(|name| variable(name).map(|value| (name, value)))
    };
    VARIABLES
        .into_iter()
        .filter_map(given)
        .filter(|(_, value)| !value.is_empty())
        .filter_map(|(name, value)| {
            let why = problem(&value)?;
            let hint = format!("set {name} to {FORM} (docs/networks.md)");
            Some(Trouble::failed(format!("{name} {why}"), hint))
        })
        .collect()
}

/// Returns the problem of the file of certificates that the environment names: without it no other system is trusted.
pub fn certificate_problem(variable: impl Fn(&str) -> Option<String>) -> Option<Trouble> {
    let path = variable(CERTIFICATES).filter(|path| !path.is_empty())?;
    let why = match std::fs::read(&path) {
        Err(error) => format!("cannot be read: {error}"),
        Ok(file) if CertificateDer::pem_slice_iter(&file).any(|found| found.is_ok()) => return None,
        Ok(_) => "holds no certificate in PEM".to_owned(),
    };
    let hint = format!(
        "name a file with every certificate authority that is trusted in {CERTIFICATES}, or unset it (docs/networks.md)"
    );
    Some(Trouble::failed(format!("{CERTIFICATES}: {path} {why}"), hint))
}

/// Returns why the client cannot use a proxy at this address. Reads it like the client itself.
fn problem(address: &str) -> Option<&'static str> {
    let anywhere = "https://example.com".parse().ok()?;
    let proxy = Matcher::builder().all(address).build().intercept(&anywhere);
    // A port that is no number is read as none, and the default one would take its place.
    match proxy.filter(|proxy| Url::parse(&proxy.uri().to_string()).is_ok()) {
        None => Some("is no address of a proxy, and is ignored"),
        Some(proxy) if matches!(proxy.uri().scheme_str(), Some("http" | "https")) => None,
        Some(_) => Some("names a SOCKS proxy, which the connector does not speak to"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_that_the_client_would_ignore_is_told_without_its_password() {
        for (name, value, why) in [
            ("HTTPS_PROXY", "http://proxy.example:3128", None),
            ("HTTPS_PROXY", "https://user:secret@proxy.example:3128", None),
            ("HTTPS_PROXY", "proxy.example:3128", None),
            ("HTTPS_PROXY", "proxy.example", None),
            ("HTTPS_PROXY", "", None),
            ("https_proxy", "http//secret", Some("https_proxy is no address")),
            ("HTTPS_PROXY", " http://secret.example:3128", Some("HTTPS_PROXY is no address")),
            ("HTTPS_PROXY", "http://user:secret word@proxy.example", Some("HTTPS_PROXY is no address")),
            ("HTTPS_PROXY", "http://proxy.example:secret", Some("HTTPS_PROXY is no address")),
            ("HTTPS_PROXY", "ftp://secret.example", Some("HTTPS_PROXY is no address")),
            ("ALL_PROXY", "socks5://secret.example:1080", Some("ALL_PROXY names a SOCKS proxy")),
        ] {
            let problems = proxy_problems(|asked| (asked == name).then(|| value.to_owned()));
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            match why {
                None => assert_eq!(texts, Vec::<String>::new(), "{value}"),
                Some(why) => {
                    assert_eq!(texts.len(), 1, "{value}: {texts:?}");
                    assert!(texts[0].starts_with(why) && !texts[0].contains("secret"), "{value}: {texts:?}");
                }
            }
        }
    }

    #[test]
    fn a_file_of_certificates_that_cannot_be_used_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let told = |path: &std::path::Path| {
            let path = path.to_str().unwrap().to_owned();
            certificate_problem(move |asked| (asked == "SSL_CERT_FILE").then(|| path.clone()))
                .map(|problem| problem.to_string())
        };
        assert!(told(&file).unwrap().contains("ca.pem cannot be read"));
        std::fs::write(&file, "no certificate").unwrap();
        assert!(told(&file).unwrap().contains("ca.pem holds no certificate in PEM"));
        std::fs::write(&file, "-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n").unwrap();
        assert_eq!(told(&file), None);
        assert_eq!(certificate_problem(|_| Some(String::new())), None);
    }
}
