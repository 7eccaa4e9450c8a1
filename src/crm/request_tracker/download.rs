//! Extracts an attachment's content from the JSON that Request Tracker wraps it in, in constant memory.
//!
//! REST 2 has no other way: `GET /attachment/{id}` returns one object whose `Content` is the content in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use crate::cases::{ApiError, ApiErrorKind, ByteStream};

/// Number of bytes of a key that are compared.
const LONGEST_KEY: usize = 32;

/// Position of the reader in the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between strings.
    Outside,
    /// In a string; with `key`, one that may be a key of the object.
    Text { key: bool },
    /// In the string of the content.
    Content,
}

/// Reads the object piece by piece.
#[expect(clippy::struct_excessive_bools, reason = "where in a JSON text the reader stands")]
struct Reader {
    place: Place,
    escaped: bool,
    depth: u32,
    /// True after a colon: a value follows.
    value: bool,
    key: Vec<u8>,
    /// Characters of base64 that do not make a group yet.
    group: Vec<u8>,
    found: bool,
    ended: bool,
    /// True once the first character was read and was that of an object.
    begun: bool,
}

/// Reason why an answer has no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    /// The answer is incomplete.
    Broken(&'static str),
    /// The answer is something else (`R34`: other content in place of a file).
    Other(&'static str),
}

impl Reader {
    const fn new() -> Self {
        Self {
            place: Place::Outside,
            escaped: false,
            depth: 0,
            value: false,
            key: Vec::new(),
            group: Vec::new(),
            found: false,
            ended: false,
            begun: false,
        }
    }

    /// Reads a piece and returns the part of the content that is in it.
    fn take(&mut self, piece: &[u8]) -> Result<Bytes, Problem> {
        for &byte in piece {
            if !self.begun && !byte.is_ascii_whitespace() {
                if byte != b'{' {
                    return Err(Problem::Other(
                        "what came is not the answer with the file, but a page or something else",
                    ));
                }
                self.begun = true;
            }
            match self.place {
                Place::Outside => self.outside(byte),
                Place::Text { key } => {
                    if self.escaped {
                        self.escaped = false;
                    } else if byte == b'\\' {
                        self.escaped = true;
                    } else if byte == b'"' {
                        self.place = Place::Outside;
                    } else if key && self.key.len() < LONGEST_KEY {
                        self.key.push(byte);
                    }
                }
                Place::Content => match byte {
                    // Line breaks come as `\n`; a slash may come escaped.
                    _ if self.escaped => {
                        self.escaped = false;
                        if byte == b'/' {
                            self.group.push(byte);
                        }
                    }
                    b'\\' => self.escaped = true,
                    b'"' => self.place = Place::Outside,
                    _ => self.group.push(byte),
                },
            }
        }
        let whole = self.group.len() / 4 * 4;
        let rest = self.group.split_off(whole);
        let content =
            STANDARD.decode(&self.group).map_err(|_| Problem::Other("the content is not base64"))?;
        self.group = rest;
        Ok(content.into())
    }

    fn outside(&mut self, byte: u8) {
        match byte {
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.ended = self.depth == 0;
            }
            b':' => {
                self.value = true;
                // Null counts as found, with empty content.
                self.found |= self.depth == 1 && self.key == b"Content";
            }
            b',' => self.value = false,
            b'"' => {
                let at_top = self.depth == 1;
                self.place = if self.value && at_top && self.key == b"Content" {
                    Place::Content
                } else {
                    let key = at_top && !self.value;
                    if key {
                        self.key.clear();
                    }
                    Place::Text { key }
                };
            }
            _ => {}
        }
    }

    /// Checks that the answer was complete.
    fn finish(&self) -> Result<(), Problem> {
        if !self.ended {
            Err(Problem::Broken("the answer broke off"))
        } else if !self.found {
            Err(Problem::Other("the answer has no content"))
        } else if self.group.is_empty() {
            Ok(())
        } else {
            Err(Problem::Broken("the content's base64 broke off"))
        }
    }
}

/// Extracts the content of an attachment from the answer `json`. `size` is the announced size, if it is reliable. The stream ends with an
/// error if the answer is incomplete (`R17`: files), is something else, or the content is not as long as announced (`R34`: other content in
/// place of a file).
pub(super) fn content(json: ByteStream, size: Option<u64>, call: String) -> ByteStream {
    let failed = move |problem: Problem| {
        let (kind, message) = match problem {
            Problem::Broken(message) => (ApiErrorKind::Uncertain, message),
            Problem::Other(message) => (ApiErrorKind::WrongContent, message),
        };
        ApiError::new(kind, super::NAME, call.clone(), message)
    };
    let start = (json, Reader::new(), 0_u64, false, failed);
    let pieces =
        stream::unfold(start, move |(mut json, mut reader, mut received, done, failed)| async move {
            if done {
                return None;
            }
            let (piece, done) = match json.next().await {
                Some(Ok(piece)) => match reader.take(&piece) {
                    Ok(content) => {
                        received += content.len() as u64;
                        (Ok(content), false)
                    }
                    Err(problem) => (Err(failed(problem)), true),
                },
                Some(Err(error)) => (Err(error), true),
                None => match (reader.finish(), size) {
                    (Err(problem), _) => (Err(failed(problem)), true),
                    (Ok(()), Some(size)) if size != received => {
                        let error = failed(Problem::Other(""));
                        let message = format!("the download ended after {received} of {size} bytes");
                        (Err(ApiError { message, ..error }), true)
                    }
                    (Ok(()), _) => return None,
                },
            };
            Some((piece, (json, reader, received, done, failed)))
        });
    Box::pin(pieces.filter(|piece| std::future::ready(!piece.as_ref().is_ok_and(Bytes::is_empty))))
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::*;

    async fn read(json: &str, size: Option<u64>, pieces: usize) -> Result<Vec<u8>, ApiError> {
        let pieces: Vec<_> =
            json.as_bytes().chunks(pieces).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let stream = content(Box::pin(stream::iter(pieces)), size, "GET attachment 1".to_owned());
        let found: Result<Vec<Bytes>, ApiError> = stream.try_collect().await;
        found.map(|found| found.concat())
    }

    #[tokio::test]
    async fn the_content_is_found_and_must_be_whole() {
        let json = r#"{"a": {"Content": "xxxx"}, "Subject": "Content", "q": "say \"Content\": ", "n": [1, "Content"],
            "Content" : "aGVs\nbG8\/\n", "Headers": "}\\"}"#;
        for pieces in [1, 2, 3, 7, 1000] {
            assert_eq!(read(json, Some(6), pieces).await.unwrap(), b"hello?");
            let error = read(json, Some(7), pieces).await.unwrap_err();
            assert_eq!(error.kind, ApiErrorKind::WrongContent);
            assert!(error.message.contains("6 of 7"), "{error}");
            assert_eq!(read(r#"{"Content": null}"#, Some(0), pieces).await.unwrap(), b"");
            for (json, kind, problem) in [
                (r#"{"Content": "aGVsbG8/"#, ApiErrorKind::Uncertain, "broke off"),
                (r#"{"Content": "aGVsb"}"#, ApiErrorKind::Uncertain, "base64 broke off"),
                ("", ApiErrorKind::Uncertain, "broke off"),
                (r#"{"Content": "****"}"#, ApiErrorKind::WrongContent, "not base64"),
                (r#"{"id": 1}"#, ApiErrorKind::WrongContent, "no content"),
                ("\n <!DOCTYPE html><p>{\"Content\": \"aGVsbG8/\"}", ApiErrorKind::WrongContent, "a page"),
                (r#"[{"Content": "aGVsbG8/"}]"#, ApiErrorKind::WrongContent, "something else"),
            ] {
                let error = read(json, None, pieces).await.unwrap_err();
                assert_eq!(error.kind, kind, "{json}");
                assert!(error.message.contains(problem), "{json}: {error}");
            }
        }
    }
}
