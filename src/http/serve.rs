//! HTTP connections, with limits on their number, on the time and size of a request's head, and on the time to take an answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::Problem;
use super::places::{Place, Places};
use super::write_timeout::WriteTimeout;
use crate::clock::shows_a_date;
use crate::config::Platform;

/// Pause after a connection could not be accepted, mostly because all file handles are in use.
const BREATH: Duration = Duration::from_secs(1);

/// Pause after a connection was closed to free a file handle.
const SHORT_BREATH: Duration = Duration::from_millis(20);
/// Interval at which it is logged that connections cannot be accepted.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// Maximum number of headers in a request; one with more is answered with 431.
const MAX_HEADERS: usize = 100;

/// Limits on the resources that callers may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Timeout of a request's head, counted from the start of the connection or from the answer before. An idle connection is closed after
    /// the same time.
    pub head: Duration,
    /// Maximum size of a head, in bytes; a larger one is answered with 431.
    pub head_bytes: usize,
    /// Maximum number of connections. A further caller takes the place of the connection that waits longest for a request, or for its
    /// answer to be taken. If each is being answered, it waits until one ends.
    pub connections: usize,
    /// Time in which a caller has to take what is written at once, some 100 kB at most or one answer.
    pub write: Duration,
}

impl Limits {
    /// Returns the usual limits for the platform.
    #[must_use]
    pub const fn on(platform: Platform) -> Self {
        let head = match platform {
            // Longer than the queue's own client keeps an idle connection (90 s), so that the client closes it first.
            Platform::Local => Duration::from_mins(2),
            // Longer than Google's front ends keep an idle connection (600 s: "Backend service keepalive timeout", Cloud Load Balancing): a
            // request that is sent while the connection closes is lost. Only the front ends can reach an instance.
            Platform::AppEngine => Duration::from_secs(620),
        };
        Self { head, head_bytes: 64 * 1024, connections: 512, write: Duration::from_secs(30) }
    }
}

/// Serves HTTP/1.1 until `stop` is cancelled, then lets each open connection finish its request. The router gets the peer's address
/// ([`ConnectInfo`]).
pub async fn serve(listener: TcpListener, router: Router, limits: Limits, stop: CancellationToken) {
    let places = Places::new(limits.connections);
    let connections = TaskTracker::new();
    let mut told = None;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            // No answer can be dated before 1970 (R36: clock skew). The caller retries, and is served once the clock is right.
            Ok(_) if !shows_a_date() => {
                tracing::warn!("a connection was closed: this machine's clock is before 1970; set it");
                tokio::time::sleep(BREATH).await;
            }
            Ok((stream, peer)) => {
                let place = tokio::select! {
                    place = places.take() => place,
                    () = stop.cancelled() => break,
                };
                connections.spawn(converse(stream, peer, router.clone(), limits, place, stop.clone()));
            }
            // If the caller has already gone, the next connection may still be fine, so there is no pause.
            Err(error) if is_about_the_caller(&error) => {
                tracing::debug!("a connection could not be accepted: {error}");
            }
            Err(error) => {
                if told.is_none_or(|told: Instant| told.elapsed() >= TOLD_EVERY) {
                    told = Some(Instant::now());
                    tracing::error!("no connection can be accepted: {error}; {}", remedy(&error));
                }
                let is_freed = is_short_of_handles(&error) && places.evict();
                tokio::time::sleep(if is_freed { SHORT_BREATH } else { BREATH }).await;
            }
        }
    }
    connections.close();
    connections.wait().await;
}

fn is_about_the_caller(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// True if the process or the machine has no file handle left: `EMFILE` and `ENFILE`, which have these numbers on Linux and macOS.
fn is_short_of_handles(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

fn remedy(error: &std::io::Error) -> &'static str {
    if is_short_of_handles(error) {
        "all file handles are in use: allow for more (`ulimit -n 4096`, or `LimitNOFILE=4096` in systemd's unit); connections that wait \
         for their caller are closed, and the service goes on as soon as handles are free"
    } else {
        "the service tries again every second"
    }
}

async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    place: Place,
    stop: CancellationToken,
) {
    let place = Arc::new(place);
    let service = service_fn(|request| answer(router.clone(), Arc::clone(&place), peer, request));
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_header_size(limits.head_bytes)
        .max_headers(MAX_HEADERS);
    let stream = TokioIo::new(WriteTimeout::new(stream, limits.write));
    let mut connection = pin!(builder.serve_connection(stream, service));
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::trace!("a connection ended early: {error}");
                }
                return;
            }
            () = place.evicted() => {
                tracing::debug!("a connection was closed to make room for another one");
                return;
            }
            () = stop.cancelled(), if !stopping => {
                connection.as_mut().graceful_shutdown();
                stopping = true;
            }
        }
    }
}

/// Answers one request, with the peer's address attached. Meanwhile its connection keeps its place.
async fn answer(
    router: Router,
    place: Arc<Place>,
    peer: SocketAddr,
    request: hyper::Request<Incoming>,
) -> Result<Response, Infallible> {
    if !place.work() {
        // Nothing is begun for a caller who will get no answer: the connection is about to be closed.
        return Ok(
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "There are too many connections").into_response()
        );
    }
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    let answered = router.oneshot(request).await;
    place.wait();
    answered
}
