//! HTTP connections, with limits on their number, on the time and size of a request's head, and on the time to take an answer.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::write_timeout::WriteTimeout;
use crate::clock::shows_a_date;
use crate::config::Platform;

/// Pause after a connection could not be accepted, mostly because all file handles are in use.
const BREATH: Duration = Duration::from_secs(1);

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
    /// Maximum number of connections. Further callers wait until a connection ends.
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
    let room = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    loop {
        let next = async {
            // The semaphore is never closed, so `acquire_owned` does not fail.
            let place = Arc::clone(&room).acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            next = next => next,
            () = stop.cancelled() => break,
        };
        match accepted {
            // No answer can be dated before 1970 (R36: clock skew). The caller retries, and is served once the clock is right.
            Ok(_) if !shows_a_date() => {
                tracing::warn!("a connection was closed: this machine's clock is before 1970; set it");
                tokio::time::sleep(BREATH).await;
            }
            Ok((stream, peer)) => {
                let converse = converse(stream, peer, router.clone(), limits, stop.clone());
                connections.spawn(async move {
                    converse.await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::debug!("a connection could not be accepted: {error}");
                // If the caller has already gone, the next connection may still be fine, so there is no pause.
                if !is_about_the_caller(&error) {
                    tokio::time::sleep(BREATH).await;
                }
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

async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) {
    let service = router.map_request(move |request: Request<_>| from(peer, request));
    let mut builder = Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_header_size(limits.head_bytes)
        .max_headers(MAX_HEADERS);
    let service = TowerToHyperService::new(service);
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
            () = stop.cancelled(), if !stopping => {
                connection.as_mut().graceful_shutdown();
                stopping = true;
            }
        }
    }
}

/// Attaches the peer's address to a request.
fn from<B>(peer: SocketAddr, mut request: Request<B>) -> Request
where
    B: axum::body::HttpBody<Data = axum::body::Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    request.extensions_mut().insert(ConnectInfo(peer));
    request.map(Body::new)
}
