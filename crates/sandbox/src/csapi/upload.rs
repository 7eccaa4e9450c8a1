//! Uploads, streamed: the raw body, or `multipart/related` with the metadata as JSON in the first part and the file in
//! the second.

use axum::body::{Body, BodyDataStream};
use futures_util::StreamExt as _;

use super::content::Sink;
use super::wire::ApiError;

/// Maximum size in bytes of everything before the file in a `multipart/related` body.
const LARGEST_HEAD: usize = 64 * 1024;

/// Receiver of an upload. A file larger than `limit` bytes is read to its end and discarded, so that the caller gets to read the answer.
pub(super) struct Intake<'a> {
    pub(super) sink: Sink<'a>,
    pub(super) limit: Option<u64>,
    too_large: bool,
}

impl<'a> Intake<'a> {
    pub(super) fn new(sink: Sink<'a>, limit: Option<u64>) -> Self {
        Self { sink, limit, too_large: false }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> Result<(), ApiError> {
        let size = self.sink.size() + bytes.len() as u64;
        if self.too_large || self.limit.is_some_and(|limit| size > limit) {
            self.too_large = true;
        } else {
            self.sink.write(bytes).await?;
        }
        Ok(())
    }

    pub(super) fn done(self) -> Result<Sink<'a>, ApiError> {
        match self.limit {
            Some(limit) if self.too_large => {
                Err(ApiError::invalid(format!("The attachment is larger than {limit} bytes.")))
            }
            Some(_) | None => Ok(self.sink),
        }
    }
}

/// Reads a body that is nothing but the file.
pub(super) async fn raw(body: Body, intake: &mut Intake<'_>) -> Result<(), ApiError> {
    let mut stream = body.into_data_stream();
    while let Some(piece) = stream.next().await {
        intake.write(&piece.map_err(|_| ended_early())?).await?;
    }
    Ok(())
}

/// Parts of a `multipart/related` body other than the file's content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Related {
    /// The first part: JSON.
    pub(super) metadata: Vec<u8>,
    /// The second part's content type.
    pub(super) mime_type: Option<String>,
}

/// Reads a `multipart/related` body (RFC 2387). Lines end in CRLF or, as Python's mail package writes them, in LF.
pub(super) async fn related(
    body: Body,
    content_type: &str,
    intake: &mut Intake<'_>,
) -> Result<Related, ApiError> {
    let boundary = boundary(content_type)
        .ok_or_else(|| ApiError::invalid("The Content-Type of a multipart upload needs a boundary."))?;
    let mut incoming = Incoming { stream: body.into_data_stream(), buffer: Vec::new() };

    let opening = format!("--{boundary}");
    incoming.take_until(opening.as_bytes()).await?;
    let rest_of_line = incoming.peek_until(b"\n").await?;
    let newline: &[u8] = if rest_of_line.ends_with(b"\r") { b"\r\n" } else { b"\n" };
    let delimiter = [newline, opening.as_bytes()].concat();
    let end_of_head = newline.repeat(2);

    // Keep the line end of the boundary in front of the headers, so that a part without headers needs no special case.
    incoming.peek_until(newline).await?;
    let head = incoming.take_until(&end_of_head).await?;
    check_encoding(&head)?;
    let metadata = incoming.take_until(&delimiter).await?;
    if incoming.peek_until(newline).await?.starts_with(b"--") {
        return Err(ApiError::invalid("The multipart upload has only one part."));
    }
    let head = incoming.take_until(&end_of_head).await?;
    check_encoding(&head)?;

    loop {
        if let Some(position) = find(&incoming.buffer, &delimiter) {
            intake.write(&incoming.buffer[..position]).await?;
            break;
        }
        // The last bytes of the buffer may be the beginning of the delimiter.
        let certain = incoming.buffer.len().saturating_sub(delimiter.len() - 1);
        intake.write(&incoming.buffer[..certain]).await?;
        incoming.buffer.drain(..certain);
        if !incoming.fill().await? {
            return Err(ended_early());
        }
    }
    while incoming.fill().await? {
        incoming.buffer.clear();
    }
    Ok(Related { metadata, mime_type: header(&head, "content-type") })
}

struct Incoming {
    stream: BodyDataStream,
    buffer: Vec<u8>,
}

impl Incoming {
    /// Reads the next piece into the buffer; false at the end of the body.
    async fn fill(&mut self) -> Result<bool, ApiError> {
        match self.stream.next().await {
            Some(piece) => {
                self.buffer.extend_from_slice(&piece.map_err(|_| ended_early())?);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    async fn find(&mut self, mark: &[u8]) -> Result<usize, ApiError> {
        loop {
            if let Some(position) = find(&self.buffer, mark) {
                return Ok(position);
            }
            if self.buffer.len() > LARGEST_HEAD {
                return Err(ApiError::invalid("The multipart upload's metadata is too large."));
            }
            if !self.fill().await? {
                return Err(ended_early());
            }
        }
    }

    /// Returns the bytes before a mark, and removes them and the mark from the buffer.
    async fn take_until(&mut self, mark: &[u8]) -> Result<Vec<u8>, ApiError> {
        let position = self.find(mark).await?;
        let taken = self.buffer[..position].to_vec();
        self.buffer.drain(..position + mark.len());
        Ok(taken)
    }

    /// Returns the bytes before a mark, and leaves the buffer unchanged.
    async fn peek_until(&mut self, mark: &[u8]) -> Result<Vec<u8>, ApiError> {
        let position = self.find(mark).await?;
        Ok(self.buffer[..position].to_vec())
    }
}

fn ended_early() -> ApiError {
    ApiError::invalid("The upload ended before it was complete.")
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut start = 0;
    while let Some(position) = haystack[start..].iter().position(|&byte| byte == first) {
        start += position;
        if haystack[start..].starts_with(needle) {
            return Some(start);
        }
        start += 1;
    }
    None
}

fn boundary(content_type: &str) -> Option<String> {
    let parameter = content_type.split(';').map(str::trim).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.eq_ignore_ascii_case("boundary").then_some(value)
    })?;
    let boundary = parameter.trim_matches('"');
    (!boundary.is_empty()).then(|| boundary.to_owned())
}

/// Returns the value of a header in a part's head.
fn header(head: &[u8], wanted: &str) -> Option<String> {
    String::from_utf8_lossy(head).lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.trim().eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
    })
}

fn check_encoding(head: &[u8]) -> Result<(), ApiError> {
    match header(head, "content-transfer-encoding") {
        Some(encoding) if !["binary", "8bit", "7bit"].contains(&encoding.to_lowercase().as_str()) => Err(
            ApiError::invalid(format!("Content-Transfer-Encoding {encoding} is not supported; send binary.")),
        ),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::content::{Content, Files};
    use super::*;

    /// Parses a body that arrives in pieces of `pieces` bytes; returns the parts and the file.
    async fn read(body: &[u8], pieces: usize) -> Result<(Related, Vec<u8>), ApiError> {
        let files = Files::scratch();
        let mut intake = Intake::new(files.sink(true), None);
        let pieces: Vec<_> =
            body.chunks(pieces).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let related = related(body, "multipart/related; boundary=\"=b=\"", &mut intake).await?;
        let Content::Memory(bytes) = intake.done()?.finish().await? else { panic!("small") };
        Ok((related, bytes.to_vec()))
    }

    #[tokio::test]
    async fn a_related_body_is_read_however_it_is_cut() {
        let file = b"\r\n--=b\n\n--=\r\n=b=\n--\r";
        for newline in ["\r\n", "\n"] {
            let lines = [
                "--=b=",
                "Content-Type: application/json",
                "",
                "{}",
                "--=b=",
                "content-type: image/png",
                "",
                "",
            ];
            let body =
                [lines.join(newline).as_bytes(), file, newline.as_bytes(), b"--=b=--", newline.as_bytes()]
                    .concat();
            for pieces in [1, 2, 3, 7, 1000] {
                let (related, bytes) = read(&body, pieces).await.unwrap();
                assert_eq!(related.metadata, b"{}");
                assert_eq!(related.mime_type.as_deref(), Some("image/png"));
                assert_eq!(bytes, file, "{newline:?} {pieces}");
            }
        }
    }

    #[tokio::test]
    async fn a_related_body_that_is_not_whole_is_refused() {
        let whole = b"--=b=\n\n{}\n--=b=\n\nfile\n--=b=--";
        assert_eq!(read(whole, 5).await.unwrap().1, b"file");
        for cut in 0..whole.len() - 2 {
            assert!(read(&whole[..cut], 100).await.is_err(), "{cut}");
        }
        assert!(read(b"--=b=\n\n{}\n--=b=--\n", 100).await.is_err(), "only one part");
        assert!(
            read(b"--=b=\nContent-Transfer-Encoding: base64\n\n{}\n--=b=\n\nx\n--=b=--", 9).await.is_err()
        );
    }
}
