//! Messages that a sandbox sends by itself: webhooks, and what CSAPI publishes.
//!
//! They leave in order, one after the other, unless [`Faults::set_sending`] asks for something else. A receiver that does not accept one is
//! tried a few times more, as the vendors do. Only plain HTTP is spoken: the receivers are on this machine.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use url::Url;

use super::faults::Faults;

/// Number of times that a message is sent to a receiver that does not accept it.
const ATTEMPTS: u32 = 5;
/// Pause after the first attempt; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Timeout of an attempt.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Called with the receiver's status when a message was accepted or given up; `None` if there was no answer.
pub(crate) type Told = Box<dyn FnOnce(Option<u16>) + Send>;

/// Message on its way out.
pub(crate) struct Parcel {
    pub(crate) url: Url,
    /// Headers besides `Host`, `Content-Length` and `Content-Type`.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Headers of a message that somebody else forged: the same without a valid proof.
    pub(crate) forged: Vec<(&'static str, String)>,
    /// JSON.
    pub(crate) body: String,
    pub(crate) told: Option<Told>,
}

/// Sender of a sandbox's messages. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Outbox(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    queue: Option<mpsc::UnboundedSender<(Duration, u32, Parcel)>>,
    /// Message that waits until the next one was sent.
    held: Option<Parcel>,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Outbox")
    }
}

impl Outbox {
    /// Sends a message in the manner that the faults ask for. Outside of a runtime nothing is sent.
    pub(crate) fn send(&self, faults: &Faults, mut parcel: Parcel) {
        let manner = faults.sending();
        if manner.lost {
            return;
        }
        if manner.forged {
            parcel.headers.clone_from(&parcel.forged);
        }
        let late = Duration::from_millis(manner.late_ms);
        let times = if manner.twice { 2 } else { 1 };
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if manner.reversed && inner.held.is_none() {
            inner.held = Some(parcel);
            return;
        }
        let held = inner.held.take();
        for parcel in [Some(parcel), held].into_iter().flatten() {
            inner.queue((late, times, parcel));
        }
    }
}

impl Inner {
    fn queue(&mut self, work: (Duration, u32, Parcel)) {
        let work = match &self.queue {
            // The worker is gone if its runtime is.
            Some(queue) => match queue.send(work) {
                Ok(()) => return,
                Err(mpsc::error::SendError(work)) => work,
            },
            None => work,
        };
        let Ok(runtime) = Handle::try_current() else {
            tracing::warn!("a sandbox sends no message outside of a runtime");
            return;
        };
        let (sender, mut receiver) = mpsc::unbounded_channel::<(Duration, u32, Parcel)>();
        runtime.spawn(async move {
            while let Some((late, times, parcel)) = receiver.recv().await {
                tokio::time::sleep(late).await;
                deliver(times, parcel).await;
            }
        });
        // The receiver was just made, so it takes the work.
        let _ = sender.send(work);
        self.queue = Some(sender);
    }
}

async fn deliver(times: u32, parcel: Parcel) {
    let Parcel { url, headers, body, told, .. } = parcel;
    let mut status = None;
    for _ in 0..times {
        let mut pause = FIRST_PAUSE;
        for _ in 0..ATTEMPTS {
            status = post(&url, &headers, &body).await.ok();
            // A refusal stands, unless the receiver is busy or broken.
            if status.is_some_and(|status| !matches!(status, 408 | 409 | 425 | 429 | 500..)) {
                break;
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }
    if let Some(told) = told {
        told(status);
    }
}

/// Sends one request, and returns the status of the answer.
pub(crate) async fn post(url: &Url, headers: &[(&str, String)], body: &str) -> std::io::Result<u16> {
    let exchange = async {
        let odd = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
        let host = url.host_str().ok_or_else(|| odd("no host"))?;
        if url.scheme() != "http" {
            return Err(odd("a sandbox speaks plain HTTP only"));
        }
        let port = url.port_or_known_default().unwrap_or(80);
        let mut stream = TcpStream::connect((host.trim_matches(['[', ']']), port)).await?;
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let mut request = format!(
            "POST {}{query} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
             Connection: close\r\n",
            url.path(),
            body.len()
        );
        for (name, value) in headers {
            for part in [name, ": ", value, "\r\n"] {
                request.push_str(part);
            }
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(64 * 1024).read_to_end(&mut answer).await?;
        let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let status = std::str::from_utf8(line).ok().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        status.ok_or_else(|| odd("the answer is not HTTP"))
    };
    tokio::time::timeout(TIMEOUT, exchange).await?
}
