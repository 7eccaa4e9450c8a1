//! Content on its way, in constant memory: watched for silence, and whole or not at all (`R17`).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use reqwest::{Request, Response};
use tokio::time::Instant;

use super::upstream::chain;
use crate::cases::{ApiError, ByteStream, Download};

/// What is known of content that is being sent.
#[derive(Debug)]
struct Progress {
    /// When the last piece went out.
    at: Instant,
    /// Whether that was the last one: from then on, the upstream may have all of it.
    whole: bool,
    /// Why there will be no more.
    failure: Option<String>,
}

impl Progress {
    fn new(announced: Option<u64>) -> Self {
        // Of a body of no bytes, the request's head is all there is.
        Self { at: Instant::now(), whole: announced == Some(0), failure: None }
    }
}

/// Content that is being sent.
#[derive(Debug, Clone)]
pub(super) struct Sending(Arc<Mutex<Progress>>);

impl Sending {
    /// A body out of a stream, broken off if the stream fails or is not as long as announced.
    pub(super) fn of_stream(content: ByteStream, announced: Option<u64>) -> (Self, reqwest::Body) {
        let sending = Self(Arc::new(Mutex::new(Progress::new(announced))));
        let body = reqwest::Body::wrap_stream(sending.clone().whole(content, announced));
        (sending, body)
    }

    /// The same for the body that a request has already; its announced length is in the headers.
    pub(super) fn of_request(request: &mut Request) -> Option<Self> {
        let body = request.body_mut().take()?;
        let announced = request
            .headers()
            .get(reqwest::header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse().ok());
        let sending = Self(Arc::new(Mutex::new(Progress::new(announced))));
        let content = axum::body::Body::new(body).into_data_stream();
        *request.body_mut() = Some(reqwest::Body::wrap_stream(sending.clone().whole(content, announced)));
        Some(sending)
    }

    /// Waits for what sends the content, but not through a silence of `longest`; `None` after one.
    pub(super) async fn watch<T>(&self, longest: Duration, send: impl Future<Output = T>) -> Option<T> {
        let mut send = std::pin::pin!(send);
        loop {
            let deadline = self.progress(|progress| progress.at) + longest;
            match tokio::time::timeout_at(deadline, &mut send).await {
                Ok(outcome) => return Some(outcome),
                Err(_) if self.progress(|progress| progress.at) + longest <= Instant::now() => return None,
                // Something went out meanwhile.
                Err(_) => {}
            }
        }
    }

    /// Why the content did not come to its end, if it failed.
    pub(super) fn failure(&self) -> Option<String> {
        self.progress(|progress| progress.failure.clone())
    }

    /// Whether the upstream may have all of it. If not, the request never came to its end, and nobody takes it for whole.
    pub(super) fn is_whole(&self) -> bool {
        self.progress(|progress| progress.whole)
    }

    fn progress<T>(&self, look: impl FnOnce(&mut Progress) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The content, one piece behind: the last one is let go only when it is certain that it is the last, and that all of them
    /// are as long as announced. Otherwise a server that has received what `Content-Length` says would take it for whole.
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
        let start = State { content, held: None, received: 0, done: false };
        stream::unfold(start, move |mut state| {
            let sending = self.clone();
            async move {
                if state.done {
                    return None;
                }
                let reason = loop {
                    match state.content.next().await {
                        Some(Ok(piece)) if piece.is_empty() => {}
                        Some(Ok(piece)) => {
                            state.received += piece.len() as u64;
                            if let Some(announced) = announced.filter(|announced| state.received > *announced)
                            {
                                break format!("the content is longer than the {announced} bytes announced");
                            }
                            if let Some(before) = state.held.replace(piece) {
                                sending.progress(|progress| progress.at = Instant::now());
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
                            sending.progress(|progress| {
                                progress.at = Instant::now();
                                progress.whole = true;
                            });
                            return state.held.take().map(|last| (Ok(last), state));
                        }
                    }
                };
                state.done = true;
                sending.progress(|progress| progress.failure = Some(reason.clone()));
                Some((Err(std::io::Error::other(reason)), state))
            }
        })
    }
}

/// What went wrong first: the error of the system that the content comes from, if there is one among the causes.
fn origin(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    loop {
        if let Some(error) = error.downcast_ref::<ApiError>() {
            return error.to_string();
        }
        match error.source() {
            Some(source) => error = source,
            None => return super::shorten(&error.to_string()),
        }
    }
}

/// An answer's body as a download: ends with an error if it breaks off, falls silent for longer than `longest`, or ends
/// before its announced length. `failed` makes the error.
pub(super) fn arriving(
    response: Response,
    longest: Duration,
    failed: impl Fn(String) -> ApiError + Send + 'static,
) -> Download {
    let size = response.content_length();
    let pieces = Box::pin(response.bytes_stream());
    let content = stream::unfold(
        (pieces, failed, 0_u64, false),
        move |(mut pieces, failed, received, done)| async move {
            if done {
                return None;
            }
            let (piece, received, done) = match tokio::time::timeout(longest, pieces.next()).await {
                Ok(Some(Ok(piece))) => {
                    let received = received + piece.len() as u64;
                    (Ok(piece), received, false)
                }
                Ok(Some(Err(error))) => {
                    (Err(format!("the download broke off: {}", chain(&error))), received, true)
                }
                Ok(None) => match size.filter(|size| *size != received) {
                    Some(size) => {
                        (Err(format!("the download ended after {received} of {size} bytes")), received, true)
                    }
                    None => return None,
                },
                Err(_) => (Err(format!("the download fell silent after {received} bytes")), received, true),
            };
            let piece = piece.map_err(&failed);
            Some((piece, (pieces, failed, received, done)))
        },
    );
    Download { size, content: Box::pin(content) }
}
