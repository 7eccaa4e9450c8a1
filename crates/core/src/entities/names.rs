//! Names and IDs of cases, checked once where they enter the program.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Primary key of a [`CaseMapping`](super::CaseMapping): an integer that the store assigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MappingId(pub i64);

impl fmt::Display for MappingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Reason why a text is not the name of a case.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not a Google case name.
    #[error(
        "{0:?} is not the name of a Google case: expected organizations/ORGANIZATION/cases/NUMBER or \
         projects/PROJECT/cases/NUMBER"
    )]
    Google(String),
    /// Not a company case ID.
    #[error(
        "{0:?} is not the ID of a company case: expected 1 to 128 ASCII letters, digits and ._-, not beginning with a dot"
    )]
    Company(String),
}

/// Full name of a Google case: `organizations/{organization}/cases/{number}` or `projects/{project}/cases/{number}`.
///
/// Two names with the same number denote the same case (`R9`: one mapping per case). Compare the [`number`](Self::number), and keep the
/// name that was seen first.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GoogleCaseName(String);

impl GoogleCaseName {
    /// Host of Google Cloud's console.
    pub const CONSOLE: &str = "console.cloud.google.com";

    /// Parses a name. Each part may contain only letters, digits and `.:_-` (the number no colon), so that the name can be used in a URL as
    /// it is.
    pub fn parse(name: &str) -> Result<Self, NameError> {
        let refused = || NameError::Google(name.chars().take(200).collect());
        let word = |part: &str| {
            (1..=128).contains(&part.len())
                && !part.starts_with('.')
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".:_-".contains(&byte))
        };
        let parts: Vec<&str> = name.split('/').collect();
        match parts.as_slice() {
            // A colon in the last part would call a method of CSAPI: `…/cases/5:close`.
            ["organizations" | "projects", parent, "cases", number]
                if word(parent) && word(number) && !number.contains(':') =>
            {
                Ok(Self(name.to_owned()))
            }
            _ => Err(refused()),
        }
    }

    /// Returns the whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the number of the case: its identity, whichever parent the name has (`R9`: one mapping per case).
    #[must_use]
    pub fn number(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the address of the case's page in the console. The form is not documented; it is the one that the console itself shows, in
    /// links that people have published (2023 to 2026): `/support/cases/detail/v2/NUMBER?project=ID` and `?organizationId=NUMBER`.
    #[must_use]
    pub fn address(&self) -> String {
        let parent = self.0.split_once("/cases/").map_or("", |(parent, _)| parent);
        let (kind, id) = parent.split_once('/').unwrap_or_default();
        let parameter = if kind == "organizations" { "organizationId" } else { "project" };
        format!("https://{}/support/cases/detail/v2/{}?{parameter}={id}", Self::CONSOLE, self.number())
    }
}

impl fmt::Display for GoogleCaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for GoogleCaseName {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        Self::parse(&name)
    }
}

impl From<GoogleCaseName> for String {
    fn from(name: GoogleCaseName) -> Self {
        name.0
    }
}

/// ID of a case in the CRM, which never changes. It is text, since some CRMs have no integer IDs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CompanyCaseId(String);

impl CompanyCaseId {
    /// Parses an ID: 1 to 128 characters, only letters, digits and `._-`. The IDs of every supported CRM have this form.
    pub fn parse(id: &str) -> Result<Self, NameError> {
        let sound = (1..=128).contains(&id.len())
            && !id.starts_with('.')
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        if sound { Ok(Self(id.to_owned())) } else { Err(NameError::Company(id.chars().take(200).collect())) }
    }

    /// Returns the ID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CompanyCaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for CompanyCaseId {
    type Error = NameError;

    fn try_from(id: String) -> Result<Self, NameError> {
        Self::parse(&id)
    }
}

impl From<CompanyCaseId> for String {
    fn from(id: CompanyCaseId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn google_names_are_checked_and_identified_by_number() {
        for (name, number) in [
            ("organizations/123/cases/456", Some("456")),
            ("projects/my-project/cases/51234456", Some("51234456")),
            ("projects/example.com:p/cases/5", Some("5")),
            ("organizations/1/cases/", None),
            ("organizations/1/cases/2/comments/3", None),
            ("organizations/../cases/2", None),
            ("organizations/1/cases/2?x=1", None),
            ("organizations/1/cases/5:close", None),
            ("folders/1/cases/2", None),
            ("", None),
        ] {
            let parsed = GoogleCaseName::parse(name);
            assert_eq!(parsed.as_ref().ok().map(GoogleCaseName::number), number, "{name}");
        }
    }

    #[test]
    fn company_ids_are_checked() {
        for (id, sound) in [
            ("10001", true),
            ("a1b2-c3_d.4", true),
            ("", false),
            ("a/b", false),
            ("..", false),
            ("a b", false),
        ] {
            assert_eq!(CompanyCaseId::parse(id).is_ok(), sound, "{id}");
        }
        // People are told what is allowed: "é" is one visible character as well.
        let refused = CompanyCaseId::parse("é").unwrap_err().to_string();
        assert!(refused.contains("1 to 128 ASCII letters, digits and ._-"), "{refused}");
    }
}
