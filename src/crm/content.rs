//! What several CRMs need for the content that they are sent and send: titles, media types, downloads.

use futures_util::StreamExt as _;
use reqwest::header::HeaderValue;
use reqwest::multipart::Part;

use crate::cases::{ApiError, ApiErrorKind, ByteStream};

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

/// A download with errors that `rename` makes our own, and one more if it is not as long as announced (`R17`).
pub(super) fn whole(
    content: ByteStream,
    announced: Option<u64>,
    upstream: &'static str,
    rename: impl Fn(ApiError) -> ApiError + Send + 'static,
) -> ByteStream {
    let mut received: u64 = 0;
    let mut failed = false;
    let content = content.map(Some).chain(futures_util::stream::once(async { None }));
    Box::pin(content.filter_map(move |chunk| {
        let checked = match chunk {
            Some(Ok(chunk)) => {
                received += chunk.len() as u64;
                Some(Ok(chunk))
            }
            Some(Err(error)) => {
                failed = true;
                Some(Err(rename(error)))
            }
            None => announced.filter(|announced| *announced != received && !failed).map(|announced| {
                let message = format!("the download ended after {received} of {announced} bytes");
                Err(rename(ApiError::new(ApiErrorKind::Uncertain, upstream, "", message)))
            }),
        };
        std::future::ready(checked)
    }))
}
