//! Derives from an answer's headers which user it is for (`R26`: empty answers need proof).
//!
//! Sources: `LoginReason` of Seraph, Jira's login filter (docs.atlassian.com, apidocs of atlassian-seraph 2.6); "Special headers" of the
//! Jira Cloud platform REST API (`X-AAccountId`). `X-AUSERNAME` is not documented: Data Center sends it with every answer, and field
//! reports agree on `anonymous` for an unknown caller. Several clients report that Cloud answers a search with an expired token with 200,
//! no issues and `AUTHENTICATED_FAILED` (jira.js 418, raycast/extensions 27550).

use reqwest::header::HeaderMap;

/// Header with the result of the login, on both deployments.
const LOGIN_REASON: &str = "x-seraph-loginreason";
/// Header with the account ID of the user that the answer is for, on Cloud.
const CLOUD_USER: &str = "x-aaccountid";
/// Header with the name of the user that the answer is for, on Data Center.
const DATA_CENTER_USER: &str = "x-ausername";
/// Value of that header for an unknown caller.
const NOBODY: &str = "anonymous";

/// Value of the login's result for a user whose credentials are not looked at.
pub(super) const DENIED: &str = "AUTHENTICATION_DENIED";
/// Value of the login's result for a user who may not sign in.
pub(super) const FORBIDDEN: &str = "AUTHORISATION_FAILED";

/// Returns the reason if the headers show that an answer is for another user than the connector's.
#[must_use]
pub(super) fn stranger(headers: &HeaderMap) -> Option<String> {
    let reasons: Vec<&str> = values(headers, LOGIN_REASON).collect();
    let has = |wanted: &str| reasons.iter().any(|reason| reason.eq_ignore_ascii_case(wanted));
    let what = if has(DENIED) {
        "Jira does not even look at the credentials (X-Seraph-LoginReason: AUTHENTICATION_DENIED), most likely since it asks this user \
         for a CAPTCHA"
    } else if has("AUTHENTICATED_FAILED") {
        "Jira does not accept the credentials (X-Seraph-LoginReason: AUTHENTICATED_FAILED)"
    } else if has(FORBIDDEN) {
        "the user may not sign in (X-Seraph-LoginReason: AUTHORISATION_FAILED)"
    } else if has("OUT") && !has("OK") {
        "Jira has signed the user out (X-Seraph-LoginReason: OUT)"
    } else if values(headers, DATA_CENTER_USER).any(|user| user.eq_ignore_ascii_case(NOBODY)) {
        "Jira takes the connector for a visitor that nobody knows (X-AUSERNAME: anonymous); the credentials do not count any more, or do \
         not arrive, as behind a proxy that drops the header Authorization"
    } else {
        return None;
    };
    Some(what.to_owned())
}

/// Reports if the headers prove that the answer is for a user that Jira knows.
pub(super) fn is_known(headers: &HeaderMap) -> bool {
    let named = |header| values(headers, header).any(|user| !user.eq_ignore_ascii_case(NOBODY));
    let signed_in = values(headers, LOGIN_REASON).any(|reason| reason.eq_ignore_ascii_case("OK"));
    stranger(headers).is_none() && (named(CLOUD_USER) || named(DATA_CENTER_USER) || signed_in)
}

/// Returns the values of a header; each of its lines may have several. `X-Seraph-LoginReason: OUT, OK` has been seen.
fn values<'a>(headers: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn headers_tell_for_whom_an_answer_is() {
        for (headers, known, expected) in [
            (&[][..], false, None),
            (&[("X-AAccountId", "5b10a2844c20165700ede21g")], true, None),
            (&[("X-AAccountId", "")], false, None),
            (&[("X-AUSERNAME", "casebridge")], true, None),
            (&[("X-AUSERNAME", "anonymous")], false, Some("X-AUSERNAME: anonymous")),
            (&[("X-Seraph-LoginReason", "OK")], true, None),
            (&[("X-Seraph-LoginReason", "OUT, OK")], true, None),
            (&[("X-Seraph-LoginReason", "OUT")], false, Some("LoginReason: OUT")),
            (&[("X-Seraph-LoginReason", "something new")], false, None),
            (
                &[("X-Seraph-LoginReason", "AUTHENTICATED_FAILED")],
                false,
                Some("does not accept the credentials"),
            ),
            (&[("X-Seraph-LoginReason", "AUTHENTICATION_DENIED")], false, Some("CAPTCHA")),
            (&[("X-Seraph-LoginReason", "AUTHORISATION_FAILED")], false, Some("may not sign in")),
            (
                &[("X-Seraph-LoginReason", "AUTHENTICATED_FAILED"), ("X-Seraph-LoginReason", "OK")],
                false,
                Some("AUTHENTICATED_FAILED"),
            ),
            (
                &[("X-Seraph-LoginReason", "AUTHENTICATED_FAILED"), ("X-AUSERNAME", "casebridge")],
                false,
                Some("AUTHENTICATED_FAILED"),
            ),
        ] {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                map.append(name, HeaderValue::from_static(value));
            }
            assert_eq!(is_known(&map), known, "{headers:?}");
            match (stranger(&map), expected) {
                (None, None) => {}
                // The keys are those of the configuration, which is not known here.
                (Some(said), Some(hint)) => {
                    assert!(said.contains(hint) && !said.contains("company."), "{said}");
                }
                (said, expected) => panic!("{headers:?}: {said:?} instead of {expected:?}"),
            }
        }
    }
}
