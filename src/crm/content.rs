//! Helpers for content that several CRM adapters share: people's texts, titles, media types.

use reqwest::header::HeaderValue;
use reqwest::multipart::Part;

/// A person's text as plain text.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    /// The text.
    pub(super) now: String,
    /// The text as version 0.1 read it, if that differs (`R14`: copies are known by ID).
    pub(super) earlier: Option<String>,
}

impl Text {
    /// Creates a text that version 0.1 read in the same way.
    pub(super) fn of(now: String) -> Self {
        Self { now, earlier: None }
    }

    /// Creates a text that version 0.1 read as `earlier`.
    pub(super) fn new(now: String, earlier: String) -> Self {
        let differs = now != earlier;
        Self { now, earlier: Some(earlier).filter(|_| differs) }
    }
}

/// Turns a title into one non-empty line: each run of white space and control characters becomes a space.
pub(super) fn one_line(title: &str) -> String {
    let words = title.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    if line.is_empty() { "(no title)".to_owned() } else { line }
}

/// Returns the media type if it is valid and safe, else `application/octet-stream`. Common web frameworks parse bodies of some types as
/// request parameters, whatever the address; files of those types are sent as bytes.
pub(super) fn media_type(text: Option<&str>) -> HeaderValue {
    const PARAMETERS: [&str; 3] = ["multipart/", "application/x-www-form-urlencoded", "application/json"];
    let is_read = |text: &str| PARAMETERS.iter().any(|kind| text.to_ascii_lowercase().starts_with(kind));
    text.filter(|text| !is_read(text.trim()))
        .filter(|text| text.len() <= 200 && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)))
        .filter(|text| Part::text("").mime_str(text).is_ok())
        .and_then(|text| HeaderValue::from_str(text).ok())
        .unwrap_or_else(|| HeaderValue::from_static("application/octet-stream"))
}
