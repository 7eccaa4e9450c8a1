//! Content in transfer, in constant memory: with a limit on silence, and complete or failed (`R17`: files).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use reqwest::header::{CONTENT_TYPE, TRANSFER_ENCODING};
use reqwest::{Request, Response};
use tokio::time::Instant;

use super::upstream::chain;
use crate::cases::{ApiError, ApiErrorKind, Attachment, ByteStream, Download, shorten};
use crate::progress;

/// State of content that is being sent.
#[derive(Debug)]
struct Sent {
    /// Time at which the last piece went out.
    at: Instant,
    /// True once the last piece went out: from then on, the upstream may have the complete content.
    whole: bool,
    /// Reason why the content ended early.
    failure: Option<String>,
}

impl Sent {
    fn new(announced: Option<u64>) -> Self {
        // A request without content is complete with its head.
        Self { at: Instant::now(), whole: announced == Some(0), failure: None }
    }
}

/// Content that is being sent.
#[derive(Debug, Clone)]
pub(super) struct Sending(Arc<Mutex<Sent>>);

impl Sending {
    /// Makes a body from a stream. The body is cut off if the stream fails or its length differs from the announced one.
    pub(super) fn of_stream(content: ByteStream, announced: Option<u64>) -> (Self, reqwest::Body) {
        let sending = Self(Arc::new(Mutex::new(Sent::new(announced))));
        let body = reqwest::Body::wrap_stream(sending.clone().whole(content, announced));
        (sending, body)
    }

    /// Wraps the existing body of a request in the same way; its announced length is in the headers.
    pub(super) fn of_request(request: &mut Request) -> Option<Self> {
        let body = request.body_mut().take()?;
        let announced = request
            .headers()
            .get(reqwest::header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let sending = Self(Arc::new(Mutex::new(Sent::new(announced))));
        let content = axum::body::Body::new(body).into_data_stream();
        *request.body_mut() = Some(reqwest::Body::wrap_stream(sending.clone().whole(content, announced)));
        Some(sending)
    }

    /// Waits for `send`, which sends the content. Returns `None` once no piece went out for `longest`.
    pub(super) async fn watch<T>(&self, longest: Duration, send: impl Future<Output = T>) -> Option<T> {
        let mut send = std::pin::pin!(send);
        loop {
            let deadline = self.sent(|sent| sent.at) + longest;
            match tokio::time::timeout_at(deadline, &mut send).await {
                Ok(outcome) => return Some(outcome),
                Err(_) if self.sent(|sent| sent.at) + longest <= Instant::now() => return None,
                // A piece went out meanwhile.
                Err(_) => {}
            }
        }
    }

    /// Reason why the content ended early, if it did.
    pub(super) fn failure(&self) -> Option<String> {
        self.sent(|sent| sent.failure.clone())
    }

    /// True if the upstream may have the complete content. If not, the request never came to its end, so the upstream cannot take it for
    /// complete.
    pub(super) fn is_whole(&self) -> bool {
        self.sent(|sent| sent.whole)
    }

    fn sent<T>(&self, look: impl FnOnce(&mut Sent) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Passes the content on, one piece late. The last piece is released only once it is known to be the last and the total length is the
    /// announced one. Otherwise a server that has received as many bytes as `Content-Length` announces would take the content for complete.
    fn whole<E>(
        self,
        content: impl Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
        announced: Option<u64>,
    ) -> impl Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static
    where
        E: std::error::Error + Send + 'static,
    {
        struct State<S> {
            content: S,
            held: Option<Bytes>,
            received: u64,
            done: bool,
        }
        // The connection's own task reads the content.
        let task = progress::current();
        let start = State { content, held: None, received: 0, done: false };
        stream::unfold(start, move |mut state| {
            let (sending, task) = (self.clone(), task.clone());
            async move {
                if state.done {
                    return None;
                }
                let reason = loop {
                    match state.content.next().await {
                        Some(Ok(piece)) if piece.is_empty() => {}
                        Some(Ok(piece)) => {
                            state.received += piece.len() as u64;
                            if let Some(task) = &task {
                                task.piece_moved();
                            }
                            if let Some(announced) = announced.filter(|announced| state.received > *announced)
                            {
                                break format!("the content is longer than the {announced} bytes announced");
                            }
                            if let Some(before) = state.held.replace(piece) {
                                sending.sent(|sent| sent.at = Instant::now());
                                return Some((Ok(before), state));
                            }
                        }
                        Some(Err(error)) => break format!("the content broke off: {}", origin(&error)),
                        None => {
                            if let Some(announced) = announced.filter(|announced| state.received < *announced)
                            {
                                break format!(
                                    "the content ended after {} of the {announced} bytes announced",
                                    state.received
                                );
                            }
                            state.done = true;
                            sending.sent(|sent| {
                                sent.at = Instant::now();
                                sent.whole = true;
                            });
                            return state.held.take().map(|last| (Ok(last), state));
                        }
                    }
                };
                state.done = true;
                sending.sent(|sent| sent.failure = Some(reason.clone()));
                Some((Err(std::io::Error::other(reason)), state))
            }
        })
    }
}

/// Describes the first cause of an error: the error of the system that the content comes from, if it is among the causes.
fn origin(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    loop {
        if let Some(error) = error.downcast_ref::<ApiError>() {
            return error.to_string();
        }
        match error.source() {
            Some(source) => error = source,
            None => return shorten(&error.to_string()),
        }
    }
}

/// Description of a file from a system's listing, which the download must agree with (`R34`: other content in place of a file).
#[derive(Debug, Clone)]
pub struct Announced<'a> {
    /// Description of the call in errors: `GET attachment 7 of issue 10001`. Not the path, which may hold a name or a token.
    pub call: String,
    /// Name of the file.
    pub filename: &'a str,
    /// Media type, if the listing gives one.
    pub media_type: Option<&'a str>,
    /// Size in bytes, if the listing gives one.
    pub size: Option<u64>,
    /// Prefixes of the system's download paths, below the base URL. A redirect to any other path of the system is not one to a file.
    pub paths: &'a [&'a str],
}

impl<'a> Announced<'a> {
    /// Takes the description from `attachment`.
    #[must_use]
    pub fn of(attachment: &'a Attachment, call: String, paths: &'a [&'a str]) -> Self {
        Self {
            call,
            filename: &attachment.filename,
            media_type: attachment.media_type.as_deref(),
            size: attachment.size,
            paths,
        }
    }

    /// Reports if the file itself may be an HTML page.
    fn may_be_html(&self) -> bool {
        let name = self.filename.trim_end().to_ascii_lowercase();
        self.media_type.is_some_and(is_html)
            || [".htm", ".html", ".xhtml", ".xht"].iter().any(|ending| name.ends_with(ending))
    }

    /// Reason why an answer is not the file, as far as its head shows.
    pub(super) fn complaint(&self, response: &Response) -> Option<String> {
        let kind = media_type(response);
        if kind.is_some_and(is_html) && !self.may_be_html() {
            return Some(self.a_page_came());
        }
        match (self.size, response.content_length()) {
            (Some(announced), Some(size)) if announced != size => {
                Some(format!("{announced} bytes were announced and {size} are sent: {OTHER_SIZE}"))
            }
            _ => None,
        }
    }

    /// True if the file may begin like an HTML page: a page, or a text that may be the source of one, such as `page.txt`. The name decides
    /// where the type says nothing.
    fn may_begin_as_page(&self) -> bool {
        let name = self.filename.trim_end().to_ascii_lowercase();
        let is_named_text = || SOURCES.iter().any(|ending| name.ends_with(ending));
        let kind = self.media_type.filter(|kind| !is_any(kind));
        self.may_be_html() || kind.map_or_else(is_named_text, is_text)
    }

    /// Reason why the content is not the file, judged by its beginning. The media type of an answer is not believed: a sign-on page may call
    /// itself `application/octet-stream`. A text may begin like a page, since it may be the source of one; but if the answer gives no type,
    /// it may not, and if the answer calls itself something else than a text, it may not be a page to sign on. A file that is a page
    /// itself may be any.
    fn complaint_of_beginning(&self, beginning: &[u8], answered: Option<&str>) -> Option<String> {
        let is_page = begins_a_page(beginning);
        let may_be = self.may_be_html()
            || (self.may_begin_as_page()
                && answered.is_some_and(|kind| is_text(kind) || !is_sign_on(beginning)));
        (is_page && !may_be).then(|| self.a_page_came())
    }

    /// True if more than the first bytes of a page decides if it is the file, given the media type of the answer.
    fn depends_on_page(&self, answered: Option<&str>) -> bool {
        !self.may_be_html() && self.may_begin_as_page() && answered.is_some_and(|kind| !is_text(kind))
    }

    fn a_page_came(&self) -> String {
        let announced = self.media_type.map_or_else(
            || "a file whose name is none of a page".to_owned(),
            |kind| format!("{:?}", shorten(kind)),
        );
        format!(
            "a page (HTML) came in place of the file, which is announced as {announced}: most likely one for people to sign on or \
             of an error; open the file as the connector's user, and see that neither a sign-on nor a proxy stands before files"
        )
    }
}

/// Advice for content of another size.
const OTHER_SIZE: &str =
    "what is sent is not the file, or it was changed meanwhile; open it as the connector's user";

/// Endings of the names of texts that may begin like a page: sources, templates, mails, logs.
const SOURCES: [&str; 18] = [
    ".txt", ".log", ".md", ".xml", ".svg", ".eml", ".mht", ".mhtml", ".php", ".asp", ".aspx", ".jsp", ".erb",
    ".ejs", ".hbs", ".tmpl", ".tpl", ".vue",
];

/// Number of bytes that are examined at the beginning of an answer.
const BEGINNING: usize = 64;
/// Number of bytes that are examined of an answer that begins like a page: where one asks for a password, it does so early.
const BEGINNING_OF_PAGE: usize = 64 << 10;

fn media_type(response: &Response) -> Option<&str> {
    response.headers().get(CONTENT_TYPE)?.to_str().ok().map(str::trim).filter(|kind| !kind.is_empty())
}

/// Reports if a media type is HTML.
fn is_html(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    ["text/html", "application/xhtml+xml"].iter().any(|html| essence.eq_ignore_ascii_case(html))
}

/// Reports if a media type says nothing about the content.
fn is_any(media_type: &str) -> bool {
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    essence.is_empty() || essence.eq_ignore_ascii_case("application/octet-stream")
}

/// Reports if a media type is a text's.
fn is_text(media_type: &str) -> bool {
    let kind = media_type.trim_start().to_ascii_lowercase();
    kind.starts_with("text/") || kind.contains("xml") || kind.contains("php")
}

/// Reports if a page is one for people to sign on: it asks for a password, or sends people on to whoever does (SAML's HTTP POST binding,
/// OpenID Connect's form post).
fn is_sign_on(page: &[u8]) -> bool {
    let signs = ["type=password", "name=samlrequest", "name=samlresponse", "name=id_token"];
    let plain: String = String::from_utf8_lossy(page)
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\''))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    signs.iter().any(|sign| plain.contains(sign))
}

/// Reports if content begins like an HTML page, after white space and a byte order mark.
fn begins_a_page(content: &[u8]) -> bool {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content).trim_ascii_start();
    ["<!doctype html", "<html"].iter().any(|tag| {
        content.get(..tag.len()).is_some_and(|beginning| beginning.eq_ignore_ascii_case(tag.as_bytes()))
    })
}

/// Reports if the end of a body can be distinguished from a broken connection. Not so where the body ends with the connection (RFC 9112,
/// 6.3).
fn says_its_end(response: &Response) -> bool {
    response.version() >= reqwest::Version::HTTP_2
        || response.content_length().is_some()
        || response.headers().contains_key(TRANSFER_ENCODING)
}

/// Turns an answer's body into a download. It ends with an error if it breaks off, sends nothing for `longest`, or has another length than
/// announced. `failed` makes the error.
pub(super) async fn arriving(
    response: Response,
    longest: Duration,
    announced: &Announced<'_>,
    failed: impl Fn(ApiErrorKind, String) -> ApiError + Send + 'static,
) -> Result<Download, ApiError> {
    let own = response.content_length();
    let (size, kind) = (announced.size.or(own), media_type(&response).map(str::to_owned));
    // The kind of error for a download that is too short. If the answer announced its own length or does not mark its end, the connection
    // broke.
    let short = if own.is_none() && says_its_end(&response) {
        ApiErrorKind::WrongContent
    } else {
        ApiErrorKind::Uncertain
    };
    let task = progress::current();
    let mut pieces = Box::pin(response.bytes_stream());
    let mut begun = Vec::new();
    // Read until there are enough bytes to judge. An error or a timeout here shows up again below.
    let mut beginning = Vec::new();
    while beginning.len() < BEGINNING
        || (beginning.len() < BEGINNING_OF_PAGE
            && begins_a_page(&beginning)
            && announced.depends_on_page(kind.as_deref()))
    {
        let Ok(Some(piece)) = tokio::time::timeout(longest, pieces.next()).await else { break };
        let last = piece.is_err();
        beginning.extend(piece.iter().flatten().take(BEGINNING_OF_PAGE - beginning.len()));
        begun.push(piece);
        if last {
            break;
        }
    }
    if let Some(complaint) = announced.complaint_of_beginning(&beginning, kind.as_deref()) {
        return Err(failed(ApiErrorKind::WrongContent, complaint));
    }
    let pieces = Box::pin(stream::iter(begun).chain(pieces));
    let content =
        stream::unfold((pieces, failed, 0_u64, false), move |(mut pieces, failed, received, done)| {
            let task = task.clone();
            async move {
                if done {
                    return None;
                }
                let (piece, received, done) = match tokio::time::timeout(longest, pieces.next()).await {
                    Ok(Some(Ok(piece))) => {
                        let received = received + piece.len() as u64;
                        if let Some(size) = size.filter(|size| *size < received) {
                            let message =
                                format!("more than the {size} bytes announced are sent: {OTHER_SIZE}");
                            (Err((ApiErrorKind::WrongContent, message)), received, true)
                        } else {
                            if let Some(task) = &task {
                                task.piece_moved();
                            }
                            (Ok(piece), received, false)
                        }
                    }
                    Ok(Some(Err(error))) => {
                        let message = format!("the download broke off: {}", chain(&error));
                        (Err((ApiErrorKind::Uncertain, message)), received, true)
                    }
                    Ok(None) => match size.filter(|size| *size != received) {
                        Some(size) => {
                            let message = format!("the download ended after {received} of {size} bytes");
                            (Err((short, message)), received, true)
                        }
                        None => return None,
                    },
                    Err(_) => {
                        if let Some(task) = &task {
                            task.fell_silent();
                        }
                        let message = format!("the download fell silent after {received} bytes");
                        (Err((ApiErrorKind::Uncertain, message)), received, true)
                    }
                };
                let piece = piece.map_err(|(kind, message)| failed(kind, message));
                Some((piece, (pieces, failed, received, done)))
            }
        });
    Ok(Download { size, content: Box::pin(content) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_known_by_its_type_its_name_and_its_beginning() {
        for (kind, expected) in [
            ("text/html", true),
            ("TEXT/HTML; charset=utf-8", true),
            ("application/xhtml+xml", true),
            ("text/plain", false),
            ("text/htmlx", false),
            ("application/json; x=text/html", false),
            ("", false),
        ] {
            assert_eq!(is_html(kind), expected, "{kind}");
        }
        for (content, expected) in [
            ("<!DOCTYPE html><html>", true),
            ("\u{feff}\r\n <HTML lang=de>", true),
            ("<html", true),
            ("<htm", false),
            ("<!doctype svg>", false),
            ("<?xml version=\"1.0\"?><svg/>", false),
            ("text <html>", false),
            ("", false),
        ] {
            assert_eq!(begins_a_page(content.as_bytes()), expected, "{content}");
        }
        for (filename, media_type, expected) in [
            ("report.html", None, true),
            ("REPORT.HTM ", Some("application/octet-stream"), true),
            ("report", Some("text/html;charset=utf-8"), true),
            ("report.html.txt", Some("text/plain"), false),
            ("html", None, false),
        ] {
            let announced = Announced { call: String::new(), filename, media_type, size: None, paths: &[] };
            assert_eq!(announced.may_be_html(), expected, "{filename} {media_type:?}");
        }
        // Announced type, the answer's own, and whether a page and a page to sign on are refused.
        let (bytes, text) = (Some("application/octet-stream"), Some("text/plain"));
        for (media_type, answered, page, sign_on) in [
            (None, bytes, true, true),
            (Some("image/png"), bytes, true, true),
            (Some("image/png"), text, true, true),
            (bytes, bytes, true, true),
            (text, text, false, false),
            (text, Some("TEXT/x-log"), false, false),
            (text, bytes, false, true),
            (Some("application/xml"), bytes, false, true),
            (Some("application/xml"), Some("application/xml"), false, false),
            (text, None, true, true),
            (Some("text/html"), None, false, false),
            (Some("text/html"), bytes, false, false),
        ] {
            let announced =
                Announced { call: String::new(), filename: "a", media_type, size: None, paths: &[] };
            let signs =
                ["<input type=password>", "<input TYPE = 'Password'/>", "<input name=\"SAMLRequest\">"];
            for (rest, refused) in [("Hello", page)].into_iter().chain(signs.map(|sign| (sign, sign_on))) {
                let content = format!("<!doctype html><p>{rest}");
                let complaint = announced.complaint_of_beginning(content.as_bytes(), answered);
                assert_eq!(complaint.is_some(), refused, "{media_type:?} {answered:?} {rest}");
            }
            assert_eq!(announced.complaint_of_beginning(b"\x89PNG type=password", answered), None);
        }
    }

    /// Browsers and systems call a source `application/octet-stream` that they do not know.
    #[test]
    fn a_persons_source_of_a_page_is_no_page_that_came_in_its_place() {
        let bytes = Some("application/octet-stream");
        for (filename, media_type, is_source) in [
            ("index.php", bytes, true),
            ("index.php", Some("application/x-httpd-php"), true),
            ("Login.JSP", bytes, true),
            ("view.vue", None, true),
            ("mail.eml", bytes, true),
            ("trace.log", Some("application/octet-stream; charset=binary"), true),
            ("trace.log", Some("application/gzip"), false),
            ("trace.log.gz", bytes, false),
            ("trace", bytes, false),
            ("photo.png", bytes, false),
        ] {
            let announced = Announced { call: String::new(), filename, media_type, size: None, paths: &[] };
            let refused = |page: &[u8]| announced.complaint_of_beginning(page, bytes).is_some();
            assert_eq!(refused(b"<html><?php greet() ?>"), !is_source, "{filename} {media_type:?}");
            assert!(refused(b"<html><input type='password'>"), "{filename} {media_type:?}");
        }
    }
}
