//! Parses a reference to a ticket as a person types it (`R31`: an ID is valid only in its own system): its number, or its address from a
//! browser.

use reqwest::Url;

use crate::crm::reference::path_within;

/// Returns the number of the ticket that `reference` means. An address has to be one of this Zendesk. The error says which forms are
/// accepted.
///
/// Forms of addresses: `/agent/tickets/123`, and `/agent/#/tickets/123` of older workspaces; `/hc/requests/123` and
/// `/hc/en-us/requests/123` of the help center; `/tickets/123` and `/requests/123`, which lead to those; `/api/v2/tickets/123.json`.
pub(super) fn ticket(reference: &str, home: &Url) -> Result<u64, String> {
    let reference = reference.trim();
    if !reference.contains("://") {
        let number = reference.strip_prefix('#').unwrap_or(reference);
        return number_in(number)
            .ok_or_else(|| "that is no ticket: give its number (123 or #123) or its address".to_owned());
    }
    let address = Url::parse(reference).map_err(|error| format!("the address cannot be read: {error}"))?;
    let path = path_within(&address, home)?;
    let fragment = address.fragment().filter(|fragment| fragment.starts_with('/'));
    let parts: Vec<&str> = path
        .split('/')
        .chain(fragment.into_iter().flat_map(|fragment| fragment.split('/')))
        .filter(|part| !part.is_empty())
        .collect();
    let named = parts.windows(2).find_map(|pair| {
        let is_list = matches!(pair[0], "tickets" | "requests");
        is_list.then(|| number_in(pair[1].strip_suffix(".json").unwrap_or(pair[1]))).flatten()
    });
    named.ok_or_else(|| "the address names no ticket: give one such as …/agent/tickets/123".to_owned())
}

fn number_in(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_named_by_number_or_address_of_this_zendesk() {
        let usual: Url = "https://example.zendesk.com".parse().unwrap();
        let below: Url = "http://host.example:8082/zendesk/".parse().unwrap();
        for (home, reference, expected) in [
            (&usual, " 123 ", Ok(123)),
            (&usual, "#123", Ok(123)),
            (&usual, "https://example.zendesk.com/agent/tickets/123", Ok(123)),
            (&usual, "https://EXAMPLE.zendesk.com/agent/tickets/123/events?x=1", Ok(123)),
            (&usual, "http://example.zendesk.com/agent/#/tickets/123", Ok(123)),
            (&usual, "https://example.zendesk.com/hc/requests/123", Ok(123)),
            (&usual, "https://example.zendesk.com/hc/en-us/requests/123#comment-5", Ok(123)),
            (&usual, "https://example.zendesk.com/tickets/123/", Ok(123)),
            (&usual, "https://example.zendesk.com/api/v2/tickets/123.json", Ok(123)),
            (&below, "http://host.example:8082/zendesk/agent/tickets/4", Ok(4)),
            (&below, "http://host.example:8082/agent/tickets/4", Err("another system")),
            (
                &below,
                "http://host.example:8083/zendesk/agent/tickets/4",
                Err("http://host.example:8082/zendesk"),
            ),
            (&usual, "https://other.zendesk.com/agent/tickets/123", Err("https://example.zendesk.com")),
            (&usual, "https://example.zendesk.com.evil.example/agent/tickets/123", Err("another system")),
            (&usual, "https://example.zendesk.com@evil.example/agent/tickets/123", Err("another system")),
            (&usual, "https://example.zendesk.com/agent/users/123", Err("names no ticket")),
            (&usual, "https://example.zendesk.com/agent/tickets/new/1", Err("names no ticket")),
            (&usual, "https://", Err("cannot be read")),
            (&usual, "SUP-1", Err("123 or #123")),
            (&usual, "#", Err("123 or #123")),
            (&usual, "", Err("123 or #123")),
            (&usual, "99999999999999999999999", Err("123 or #123")),
        ] {
            match (ticket(reference, home), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{reference}"),
                (Err(problem), Err(hint)) => assert!(problem.contains(hint), "{reference}: {problem}"),
                (found, expected) => panic!("{reference}: {found:?} instead of {expected:?}"),
            }
        }
    }
}
