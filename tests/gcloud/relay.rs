//! A relay between a store and an emulator that can lose answers, and be cut.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// What the request holds whose answer is to be lost; `None` while nothing is.
type Losing = Arc<Mutex<Option<String>>>;

/// Passes everything on, until it is told to lose an answer or is cut.
pub(crate) struct Relay {
    address: SocketAddr,
    losing: Losing,
    /// What the connections hang on; `None` while the relay is cut.
    line: Arc<Mutex<Option<CancellationToken>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Relay {
    /// A relay to `host`.
    pub(crate) async fn to(host: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let losing = Losing::default();
        let line = Arc::new(Mutex::new(Some(CancellationToken::new())));
        let accepting = tokio::spawn({
            let (losing, line) = (Arc::clone(&losing), Arc::clone(&line));
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let Some(whole) = line.lock().unwrap().clone() else { continue };
                    if let Ok(server) = TcpStream::connect(&host).await {
                        tokio::spawn(whole.run_until_cancelled_owned(relay(
                            client,
                            server,
                            Arc::clone(&losing),
                        )));
                    }
                }
            }
        });
        Self { address, losing, line, accepting }
    }

    /// Breaks every connection at once, whatever was under way on it, and lets nobody through any more.
    pub(crate) fn cut(&self) {
        if let Some(line) = self.line.lock().unwrap().take() {
            line.cancel();
        }
    }

    /// Lets everybody through again.
    pub(crate) fn mend(&self) {
        *self.line.lock().unwrap() = Some(CancellationToken::new());
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// The next request that holds `text` arrives and is carried out, but its connection breaks before the answer.
    pub(crate) fn lose_next_answer_to(&self, text: &str) {
        *self.losing.lock().unwrap() = Some(text.to_owned());
    }

    /// Whether that has happened.
    pub(crate) fn has_lost_it(&self) -> bool {
        self.losing.lock().unwrap().is_none()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn relay(client: TcpStream, server: TcpStream, losing: Losing) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let (mut request, mut answer) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = from_client.read(&mut request) => match read {
                Ok(0) | Err(_) => return,
                Ok(size) => {
                    if to_server.write_all(&request[..size]).await.is_err() {
                        return;
                    }
                    if is_awaited(&request[..size], &losing) {
                        // The rest of it, and time to carry it out.
                        let rest = async {
                            while let Ok(size @ 1..) = from_client.read(&mut request).await {
                                if to_server.write_all(&request[..size]).await.is_err() {
                                    return;
                                }
                            }
                        };
                        let _ = tokio::time::timeout(Duration::from_millis(500), rest).await;
                        return;
                    }
                }
            },
            read = from_server.read(&mut answer) => match read {
                Ok(0) | Err(_) => return,
                Ok(size) => {
                    if to_client.write_all(&answer[..size]).await.is_err() {
                        return;
                    }
                }
            },
        }
    }
}

/// Whether the answer to this is to be lost; it is, once.
fn is_awaited(request: &[u8], losing: &Losing) -> bool {
    let mut losing = losing.lock().unwrap();
    let found =
        losing.as_ref().is_some_and(|text| request.windows(text.len()).any(|part| part == text.as_bytes()));
    if found {
        *losing = None;
    }
    found
}
