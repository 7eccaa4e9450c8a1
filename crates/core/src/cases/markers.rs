//! Texts by which a case names the case that it mirrors (`R10`: knowing one's own cases), and by which a search finds it after a lost
//! answer (`R13`: unknown write outcome). They are kept word for word: people read them, and searches look for them. Copies are known by
//! ID, not by text (`R14`: copies are known by ID).
//!
//! A company case is named together with its address, since its ID is valid only in its own system (`R31`: an ID is valid only in its own
//! system). Texts of version 0.1 contain the ID alone.

use std::fmt;

use crate::entities::CompanyCaseId;

/// First line of the description of a company case that was created from a Google case.
pub const COMPANY_DESCRIPTION_HEADER: &str = "CONTENT MIRRORED FROM GOOGLE SUPPORT:";

const GOOGLE_HEADER_START: &str = "CONTENT MIRRORED FROM COMPANY CASE ";
const GOOGLE_HEADER_END: char = ':';
const NOW_SYNCING_START: &str = "This case is now syncing with Company Case: ";

/// Name of a company case in texts outside its own system: `10003 (SUP-3, https://example.atlassian.net/browse/SUP-3)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompanyCase<'a> {
    /// ID of the case.
    pub id: &'a str,
    /// Name that people use for the case, if it is not the ID.
    pub key: Option<&'a str>,
    /// Address of the case, or of its system; `None` only in texts of version 0.1.
    pub address: Option<&'a str>,
}

impl<'a> CompanyCase<'a> {
    /// Parses a text that `Display` wrote. The key is left out, since nothing depends on it.
    fn parse(text: &'a str) -> Option<Self> {
        let (id, address) = match text.split_once(" (") {
            None => (text, None),
            Some((id, rest)) => {
                let rest = rest.strip_suffix(')')?;
                let address = rest.rsplit_once(", ").map_or(rest, |(_, address)| address);
                let is_address = address.starts_with("https://") || address.starts_with("http://");
                (id, Some(address).filter(|address| is_address && !address.contains(char::is_whitespace)))
            }
        };
        // Brackets that contain no address were written by a person.
        if CompanyCaseId::parse(id).is_err() || (address.is_none() && text.len() > id.len()) {
            return None;
        }
        Some(Self { id, key: None, address })
    }

    /// Returns true if the case belongs to the system with that address (`R31`: an ID is valid only in its own system); `None` if the text
    /// has no address.
    #[must_use]
    pub fn is_of(&self, home: &str) -> Option<bool> {
        self.address.map(|address| is_within(address, home))
    }
}

impl fmt::Display for CompanyCase<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)?;
        match (self.key.filter(|key| *key != self.id), self.address) {
            (Some(key), Some(address)) => write!(f, " ({key}, {address})"),
            (None, Some(address)) => write!(f, " ({address})"),
            (_, None) => Ok(()),
        }
    }
}

/// Returns true if an address lies within a system: it has the same scheme, host and port, and lies under the path of the system.
#[must_use]
pub fn is_within(address: &str, home: &str) -> bool {
    let home = home.trim_end_matches('/');
    let Some((start, rest)) = address.split_at_checked(home.len()) else { return false };
    start.eq_ignore_ascii_case(home) && (rest.is_empty() || rest.starts_with(['/', '?', '#']))
}

/// Returns the first line of the description of a Google case that was created from a company case (`R10`: knowing one's own cases). The
/// line names the company case.
#[must_use]
pub fn google_description_header(company: &CompanyCase<'_>) -> String {
    format!("{GOOGLE_HEADER_START}{company}{GOOGLE_HEADER_END}")
}

/// Returns the text to search for a [`google_description_header`]: the beginning of every such header with that company case ID, of
/// whichever system.
#[must_use]
pub fn google_description_search(company_case_id: &str) -> String {
    format!("{GOOGLE_HEADER_START}{company_case_id}")
}

/// Returns the company case that the first line of a Google case's description names, if the line is exactly a
/// [`google_description_header`]. White space at the end of the line is ignored: systems are free to trim it, and to end lines with CR LF.
#[must_use]
pub fn company_case_of_description(description: &str) -> Option<CompanyCase<'_>> {
    let line = description.lines().next()?.trim_end();
    CompanyCase::parse(line.strip_prefix(GOOGLE_HEADER_START)?.strip_suffix(GOOGLE_HEADER_END)?)
}

/// Returns the comment that the connector adds to the Google case of every pair.
#[must_use]
pub fn now_syncing(company: &CompanyCase<'_>) -> String {
    format!("{NOW_SYNCING_START}{company}")
}

/// Returns the text to search for a [`now_syncing`]: the beginning of every such comment with that company case ID, of whichever system.
#[must_use]
pub fn now_syncing_search(company_case_id: &str) -> String {
    format!("{NOW_SYNCING_START}{company_case_id}")
}

/// Returns the company case that a comment names as the counterpart, if the whole comment is a [`now_syncing`].
#[must_use]
pub fn company_case_of_comment(body: &str) -> Option<CompanyCase<'_>> {
    CompanyCase::parse(body.trim().strip_prefix(NOW_SYNCING_START)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_exact_first_line_names_a_company_case() {
        for (description, expected) in [
            ("CONTENT MIRRORED FROM COMPANY CASE 10001:", Some(("10001", None))),
            ("CONTENT MIRRORED FROM COMPANY CASE a-b_c.4:\nThe disk is full", Some(("a-b_c.4", None))),
            ("CONTENT MIRRORED FROM COMPANY CASE 10001: \r\nThe disk is full", Some(("10001", None))),
            (
                "CONTENT MIRRORED FROM COMPANY CASE 7 (https://a.example):",
                Some(("7", Some("https://a.example"))),
            ),
            (
                "CONTENT MIRRORED FROM COMPANY CASE 7 (A-1, https://a.example/browse/A-1):\nx",
                Some(("7", Some("https://a.example/browse/A-1"))),
            ),
            ("CONTENT MIRRORED FROM COMPANY CASE 7 (A-1):", None),
            ("CONTENT MIRRORED FROM COMPANY CASE 7 (A-1, javascript:x):", None),
            ("CONTENT MIRRORED FROM COMPANY CASE 7 (https://a.example b):", None),
            ("CONTENT MIRRORED FROM COMPANY CASE 10001", None),
            ("CONTENT MIRRORED FROM COMPANY CASE :", None),
            ("CONTENT MIRRORED FROM COMPANY CASE 1/2:", None),
            (" CONTENT MIRRORED FROM COMPANY CASE 10001:", None),
            ("content mirrored from company case 10001:", None),
            ("> CONTENT MIRRORED FROM COMPANY CASE 10001:", None),
            ("Hello\nCONTENT MIRRORED FROM COMPANY CASE 10001:", None),
            ("\nCONTENT MIRRORED FROM COMPANY CASE 10001:", None),
            (COMPANY_DESCRIPTION_HEADER, None),
            ("", None),
        ] {
            let found = company_case_of_description(description).map(|company| (company.id, company.address));
            assert_eq!(found, expected, "{description:?}");
        }
    }

    #[test]
    fn a_company_case_is_named_with_its_home() {
        let address = "https://desk.example/browse/SUP-3";
        for (company, text) in [
            (
                CompanyCase { id: "10003", key: Some("SUP-3"), address: Some(address) },
                format!("10003 (SUP-3, {address})"),
            ),
            (CompanyCase { id: "789", key: None, address: Some(address) }, format!("789 ({address})")),
            (CompanyCase { id: "789", key: None, address: None }, "789".to_owned()),
        ] {
            assert_eq!(company.to_string(), text);
            let read = CompanyCase { key: None, ..company };
            let header = google_description_header(&company);
            assert_eq!(company_case_of_description(&header), Some(read));
            assert!(header.starts_with(&google_description_search(company.id)));
            let notice = now_syncing(&company);
            assert_eq!(company_case_of_comment(&notice), Some(read));
            assert!(notice.starts_with(&now_syncing_search(company.id)));
        }
    }

    #[test]
    fn an_id_is_of_one_home_only() {
        for (address, home, within) in [
            ("https://a.example/browse/A-1", "https://a.example", true),
            ("https://A.example/browse/A-1", "https://a.example/", true),
            ("https://a.example", "https://a.example", true),
            ("https://a.example/jira/browse/A-1", "https://a.example/jira", true),
            ("https://a.example/jira2/browse/A-1", "https://a.example/jira", false),
            ("https://a.example.evil.test/browse/A-1", "https://a.example", false),
            ("https://a.example:8443/x", "https://a.example", false),
            ("http://127.0.0.1:8082/x", "http://127.0.0.1:8085", false),
            ("http://a.example/x", "https://a.example", false),
            ("https://a", "https://a.example", false),
        ] {
            assert_eq!(is_within(address, home), within, "{address} in {home}");
        }
    }
}
