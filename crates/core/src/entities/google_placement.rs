//! Place and details of a new Google case: what a `[[route]]` and the company case's own fields decide.

use serde::{Deserialize, Serialize};

/// Values of a new Google case that take the place of those in `[google]`. They are part of the write-ahead record of the creation (`R13`:
/// unknown write outcome), so that it is repeated with the same values.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GooglePlacement {
    /// Organisation or project that the case is created in: `projects/shop-prod`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Classification: its ID, or words of its display name before they were looked up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classification: Option<String>,
    /// Language of the case, BCP 47.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language_code: Option<String>,
    /// Time zone of the case: `+01:00` or an IANA name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// True for a test case, which no agent looks at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_case: Option<bool>,
    /// Email addresses that get Google's mails about the case from its beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribers: Option<Vec<String>>,
}

impl GooglePlacement {
    /// All keys, as in `google` of a route.
    pub const KEYS: [&'static str; 6] =
        ["parent", "classification", "language_code", "time_zone", "test_case", "subscribers"];

    /// True if nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Describes the values for people, such as `parent projects/shop-prod, language_code de`. Of subscribers, it has the number only.
    #[must_use]
    pub fn describe(&self) -> String {
        let texts = [
            ("parent", &self.parent),
            ("classification", &self.classification),
            ("language_code", &self.language_code),
            ("time_zone", &self.time_zone),
        ];
        let texts = texts.into_iter().filter_map(|(key, value)| Some(format!("{key} {}", value.as_ref()?)));
        let test_case = self.test_case.map(|test_case| format!("test_case {test_case}"));
        let subscribers = self.subscribers.as_ref().map(|all| format!("{} subscribers", all.len()));
        texts.chain(test_case).chain(subscribers).collect::<Vec<_>>().join(", ")
    }
}
