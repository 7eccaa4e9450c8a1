//! What several CRMs need for the content that they are sent and send: titles, media types.

use reqwest::header::HeaderValue;
use reqwest::multipart::Part;

/// A title as one line, which is never empty: white space and control characters are single spaces.
pub(super) fn one_line(title: &str) -> String {
    let words = title.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = words.collect::<Vec<_>>().join(" ");
    if line.is_empty() { "(no title)".to_owned() } else { line }
}

/// The media type, if it is one. Bodies of some types are read as the parameters of a request by the usual web frameworks, whatever
/// the address: such a file travels as bytes.
pub(super) fn media_type(text: Option<&str>) -> HeaderValue {
    const PARAMETERS: [&str; 3] = ["multipart/", "application/x-www-form-urlencoded", "application/json"];
    let is_read = |text: &str| PARAMETERS.iter().any(|kind| text.to_ascii_lowercase().starts_with(kind));
    text.filter(|text| !is_read(text.trim()))
        .filter(|text| text.len() <= 200 && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)))
        .filter(|text| Part::text("").mime_str(text).is_ok())
        .and_then(|text| HeaderValue::from_str(text).ok())
        .unwrap_or_else(|| HeaderValue::from_static("application/octet-stream"))
}
