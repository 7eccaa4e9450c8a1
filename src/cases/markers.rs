//! The texts by which a case says what it mirrors (`R10`), and by which a search finds it after a lost answer (`R13`). Kept word
//! for word: a person reads them, and a search finds them. What has been copied is known by ID, not by text (`R14`).

use crate::entities::CompanyCaseId;

/// The first line of the description of a company case that was made from a Google case.
pub const COMPANY_DESCRIPTION_HEADER: &str = "CONTENT MIRRORED FROM GOOGLE SUPPORT:";

const GOOGLE_HEADER_START: &str = "CONTENT MIRRORED FROM COMPANY CASE ";
const GOOGLE_HEADER_END: char = ':';

/// The first line of the description of a Google case that was made from a company case (`R10`): it names that case.
#[must_use]
pub fn google_description_header(company_case_id: &str) -> String {
    format!("{GOOGLE_HEADER_START}{company_case_id}{GOOGLE_HEADER_END}")
}

/// The company case that the first line of a Google case's description names, if the line is exactly a
/// [`google_description_header`]. White space at its end is not looked at: systems are free to trim it, and to end lines with CR LF.
#[must_use]
pub fn company_case_of_description(description: &str) -> Option<&str> {
    let line = description.lines().next()?.trim_end();
    let id = line.strip_prefix(GOOGLE_HEADER_START)?.strip_suffix(GOOGLE_HEADER_END)?;
    CompanyCaseId::parse(id).is_ok().then_some(id)
}

/// The comment that the Google case of every pair carries.
#[must_use]
pub fn now_syncing(company_case_id: &str) -> String {
    format!("This case is now syncing with Company Case: {company_case_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_exact_first_line_names_a_company_case() {
        for (description, expected) in [
            ("CONTENT MIRRORED FROM COMPANY CASE 10001:", Some("10001")),
            ("CONTENT MIRRORED FROM COMPANY CASE a-b_c.4:\nThe disk is full", Some("a-b_c.4")),
            ("CONTENT MIRRORED FROM COMPANY CASE 10001: \r\nThe disk is full", Some("10001")),
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
            assert_eq!(company_case_of_description(description), expected, "{description:?}");
        }
        assert_eq!(company_case_of_description(&google_description_header("789")), Some("789"));
    }
}
