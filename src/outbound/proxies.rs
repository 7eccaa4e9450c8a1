//! Proxies that the environment names.

use hyper_util::client::proxy::matcher::Matcher;
use reqwest::Url;

use crate::cases::Trouble;

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

/// Returns why the client cannot use a proxy at this address. Reads it like the client itself.
fn problem(address: &str) -> Option<&'static str> {
    let anywhere = Url::parse("https://example.com").ok()?.as_str().parse().ok()?;
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
}
