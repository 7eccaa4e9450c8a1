//! The texts by which a case says what it mirrors (`R10`). Kept word for word: a person reads them, and a search finds them.

/// First line of the description of a company case that was created from a Google case.
pub const COMPANY_DESCRIPTION_HEADER: &str = "CONTENT MIRRORED FROM GOOGLE SUPPORT:";

const GOOGLE_DESCRIPTION_PREFIX: &str = "CONTENT MIRRORED FROM COMPANY CASE ";

/// First line of the description of a Google case that was created from a company case.
#[must_use]
pub fn google_description_header(company_case_id: &str) -> String {
    format!("{GOOGLE_DESCRIPTION_PREFIX}{company_case_id}:")
}

/// The company case that a Google case's description says it mirrors.
#[must_use]
pub fn company_case_of_description(description: &str) -> Option<&str> {
    let first = description.lines().next()?.trim_end();
    first.strip_prefix(GOOGLE_DESCRIPTION_PREFIX)?.strip_suffix(':').filter(|id| !id.is_empty())
}

/// The comment that the Google case of every pair carries.
#[must_use]
pub fn now_syncing(company_case_id: &str) -> String {
    format!("This case is now syncing with Company Case: {company_case_id}")
}
