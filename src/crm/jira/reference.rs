//! Parses a reference to an issue as a person types it (`R31`: an ID is valid only in its own system): its ID, its key, or its address from
//! a browser.

use reqwest::Url;

use crate::crm::reference::path_within;

/// Returns the ID or the key in `reference`. An address has to be one of this Jira. The error says which forms are accepted.
///
/// Forms of addresses on Jira's pages: `/browse/SUP-1`, `/projects/SUP/issues/SUP-1`, `/projects/SUP/queues/custom/3/SUP-1`,
/// `/servicedesk/customer/portal/2/SUP-1`, `…/boards/4?selectedIssue=SUP-1`, `/rest/api/2/issue/10001`.
pub(super) fn issue(reference: &str, home: &Url) -> Result<String, String> {
    let reference = reference.trim();
    if !reference.contains("://") {
        return if is_id(reference) || is_key(reference) {
            Ok(reference.to_owned())
        } else {
            Err("that is no issue: give its ID (10001), its key (SUP-1) or its address".to_owned())
        };
    }
    let address = Url::parse(reference).map_err(|error| format!("the address cannot be read: {error}"))?;
    let path = path_within(&address, home)?;
    let chosen =
        address.query_pairs().find(|(name, _)| name == "selectedIssue").map(|(_, key)| key.into_owned());
    let mut parts = path.split('/').filter(|part| !part.is_empty()).rev();
    let last = parts.next().unwrap_or_default();
    let by_id = is_id(last) && parts.next() == Some("issue");
    chosen.filter(|key| is_key(key)).or_else(|| (is_key(last) || by_id).then(|| last.to_owned())).ok_or_else(
        || "the address names no issue: give one that ends with its key, such as …/browse/SUP-1".to_owned(),
    )
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Reports if a text looks like `SUP-1`. An administrator of Data Center may allow other letters in the keys of projects.
fn is_key(text: &str) -> bool {
    text.rsplit_once('-').is_some_and(|(project, number)| {
        is_id(number)
            && project.chars().next().is_some_and(char::is_alphabetic)
            && project.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
    })
}

/// Returns the key of the project from the key of an issue.
pub(super) fn project(key: &str) -> Option<&str> {
    is_key(key).then(|| key.rsplit_once('-')).flatten().map(|(project, _)| project)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issue_is_named_by_id_key_or_address_of_this_jira() {
        let cloud: Url = "https://example.atlassian.net".parse().unwrap();
        let below: Url = "https://host.example:8443/jira/".parse().unwrap();
        for (home, reference, expected) in [
            (&cloud, " 10001 ", Ok("10001")),
            (&cloud, "SUP-1", Ok("SUP-1")),
            (&cloud, "sup-1", Ok("sup-1")),
            (&cloud, "A_B2-17", Ok("A_B2-17")),
            (&cloud, "https://example.atlassian.net/browse/SUP-1", Ok("SUP-1")),
            (&cloud, "http://EXAMPLE.atlassian.net/browse/SUP-1?focusedCommentId=7#comment-7", Ok("SUP-1")),
            (&cloud, "https://example.atlassian.net/projects/SUP/queues/custom/3/SUP-1/", Ok("SUP-1")),
            (&cloud, "https://example.atlassian.net/servicedesk/customer/portal/2/SUP-1", Ok("SUP-1")),
            (
                &cloud,
                "https://example.atlassian.net/jira/software/c/projects/SUP/boards/4?selectedIssue=SUP-9",
                Ok("SUP-9"),
            ),
            (&cloud, "https://example.atlassian.net/rest/api/2/issue/10001", Ok("10001")),
            (&below, "https://host.example:8443/jira/browse/SUP-1", Ok("SUP-1")),
            (&below, "https://host.example:8443/browse/SUP-1", Err("https://host.example:8443/jira")),
            (&below, "https://host.example:8443/jira2/browse/SUP-1", Err("another system")),
            (&below, "https://host.example/jira/browse/SUP-1", Err("another system")),
            (&cloud, "https://other.atlassian.net/browse/SUP-1", Err("another system")),
            (&cloud, "https://example.atlassian.net.evil.example/browse/SUP-1", Err("another system")),
            (&cloud, "https://example.atlassian.net/projects/SUP", Err("names no issue")),
            (&cloud, "https://example.atlassian.net/projects/10001", Err("names no issue")),
            (&cloud, "https://", Err("cannot be read")),
            (&cloud, "SUP 1", Err("its key (SUP-1)")),
            (&cloud, "../10001", Err("its ID")),
            (&cloud, "SUP-", Err("its ID")),
            (&cloud, "", Err("its ID")),
        ] {
            match (issue(reference, home), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{reference}"),
                (Err(problem), Err(hint)) => assert!(problem.contains(hint), "{reference}: {problem}"),
                (found, expected) => panic!("{reference}: {found:?} instead of {expected:?}"),
            }
        }
        assert_eq!(project("SUP-12"), Some("SUP"));
        assert_eq!(project("12"), None);
    }
}
