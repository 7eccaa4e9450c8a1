//! Server that sends exactly the bytes that a test gives it, and records its requests.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::Url;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Request that the server got.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Method, for example `GET`.
    pub method: String,
    /// Path and query, as sent on the wire.
    pub target: String,
    /// Headers, with names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body, without any chunked framing.
    pub body: Vec<u8>,
    /// True if the request arrived completely.
    pub complete: bool,
}

impl Asked {
    /// Returns a header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Answer: pieces of bytes, each after a pause; then the connection is closed.
#[derive(Debug, Clone, Default)]
pub struct Say(Vec<(Duration, Vec<u8>)>);

impl Say {
    /// Closes the connection without an answer.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Sends these bytes.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::nothing().then(Duration::ZERO, bytes)
    }

    /// Sends a whole answer.
    pub fn status(status: u16, headers: &str, body: &str) -> Self {
        Self::raw(format!("{}content-length: {}\r\n\r\n{body}", Self::head(status, headers), body.len()))
    }

    /// Sends 200 with JSON.
    pub fn json(body: &str) -> Self {
        Self::status(200, "content-type: application/json\r\n", body)
    }

    /// Sends more bytes after a pause.
    pub fn then(mut self, pause: Duration, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.push((pause, bytes.into()));
        self
    }

    /// Returns the head of an answer without the empty line at its end.
    pub fn head(status: u16, headers: &str) -> String {
        format!("HTTP/1.1 {status} Status\r\nconnection: close\r\n{headers}")
    }
}

/// Running server, which ends with the test.
pub struct Scripted {
    /// URL of the server.
    pub url: Url,
    asked: Arc<Mutex<Vec<Asked>>>,
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
}

impl Scripted {
    /// Starts a server that computes its answer from the request; the number counts requests from 0.
    pub async fn new(say: impl Fn(usize, &Asked) -> Say + Send + Sync + 'static) -> Self {
        Self::thinking(move |number, asked| {
            let say = say(number, &asked);
            Box::pin(async { say })
        })
        .await
    }

    /// Starts a server that computes its answer asynchronously.
    pub async fn thinking(
        say: impl Fn(usize, Asked) -> BoxFuture<'static, Say> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let log = Arc::clone(&asked);
        let say = Arc::new(say);
        let (begun, ended): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
        let counts = (Arc::clone(&begun), Arc::clone(&ended));
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                counts.0.fetch_add(1, Ordering::SeqCst);
                let (log, say, ended) = (Arc::clone(&log), Arc::clone(&say), Arc::clone(&counts.1));
                tokio::spawn(async move {
                    converse(connection, &log, say.as_ref()).await;
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        Self { url, asked, begun, ended }
    }

    /// Waits until at least one connection was made and all have ended.
    pub async fn quiet(&self) {
        loop {
            let ended = self.ended.load(Ordering::SeqCst);
            if ended > 0 && ended == self.begun.load(Ordering::SeqCst) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Starts a server that sends these answers in order, and repeats the last one.
    pub async fn answers(answers: Vec<Say>) -> Self {
        Self::new(move |number, _| answers[number.min(answers.len() - 1)].clone()).await
    }

    /// Returns the requests so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn converse(
    mut connection: TcpStream,
    log: &Mutex<Vec<Asked>>,
    say: &(impl Fn(usize, Asked) -> BoxFuture<'static, Say> + Send + Sync),
) {
    let Some(request) = hear(&mut connection).await else { return };
    let number = {
        let mut log = log.lock().unwrap();
        log.push(request.clone());
        log.len() - 1
    };
    for (pause, bytes) in say(number, request).await.0 {
        tokio::time::sleep(pause).await;
        if connection.write_all(&bytes).await.is_err() {
            return;
        }
    }
    let _ = connection.shutdown().await;
}

/// Reads a request; `None` if the connection ended before the end of its head.
async fn hear(connection: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(at) = find(&bytes, b"\r\n\r\n") {
            break at;
        }
        more(connection, &mut bytes).await?;
    };
    let head = String::from_utf8(bytes.drain(..head_end + 4).collect()).unwrap();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut asked = Asked { method: first.next()?, target: first.next()?, headers, ..Asked::default() };
    if asked.header("transfer-encoding").is_some() {
        loop {
            let Some(line) = find(&bytes, b"\r\n") else {
                if more(connection, &mut bytes).await.is_none() {
                    return Some(asked);
                }
                continue;
            };
            let size = usize::from_str_radix(std::str::from_utf8(&bytes[..line]).unwrap(), 16).unwrap();
            if bytes.len() < line + 2 + size + 2 {
                if more(connection, &mut bytes).await.is_none() {
                    return Some(asked);
                }
                continue;
            }
            asked.body.extend_from_slice(&bytes[line + 2..line + 2 + size]);
            bytes.drain(..line + 2 + size + 2);
            if size == 0 {
                asked.complete = true;
                return Some(asked);
            }
        }
    }
    let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < length {
        if more(connection, &mut bytes).await.is_none() {
            asked.body = bytes;
            return Some(asked);
        }
    }
    asked.body = bytes;
    asked.complete = true;
    Some(asked)
}

async fn more(connection: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<()> {
    bytes.reserve(16 * 1024);
    match connection.read_buf(bytes).await {
        Ok(0) | Err(_) => None,
        Ok(_) => Some(()),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
