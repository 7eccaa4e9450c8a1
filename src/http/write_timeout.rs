//! Timeout of writing: hyper has none, so a caller who takes no answer would keep its connection for ever.

use std::io::{Error, ErrorKind, IoSlice, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Stream that fails to write if its peer has not taken all that was offered at once within a time. A peer that takes a little now and then
/// gets no more time.
pub(super) struct WriteTimeout<S> {
    stream: S,
    timeout: Duration,
    /// Deadline of what is offered; `None` if all was taken.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    pub(super) const fn new(stream: S, timeout: Duration) -> Self {
        Self { stream, timeout, deadline: None }
    }

    fn checked(
        &mut self,
        context: &mut Context<'_>,
        offered: usize,
        written: Poll<Result<usize>>,
    ) -> Poll<Result<usize>> {
        if matches!(written, Poll::Ready(Ok(taken)) if taken == offered) {
            self.deadline = None;
            return written;
        }
        let timeout = self.timeout;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(timeout)));
        match deadline.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(Error::new(ErrorKind::TimedOut, "the answer was not taken"))),
            Poll::Pending => written,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, offered: &[u8]) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, offered);
        this.checked(context, offered.len(), written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        offered: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, offered);
        this.checked(context, offered.iter().map(|slice| slice.len()).sum(), written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(context, buffer)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::Instant;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_takes_nothing_or_too_little_ends_the_write() {
        for taken_each_second in [0, 1, 100] {
            let (stream, mut peer) = duplex(10);
            let mut stream = WriteTimeout::new(stream, TIMEOUT);
            let began = Instant::now();
            let taking = async {
                let mut buffer = vec![0; taken_each_second];
                loop {
                    sleep(Duration::from_secs(1)).await;
                    if taken_each_second > 0 && peer.read(&mut buffer).await.is_err() {
                        return;
                    }
                }
            };
            let written = tokio::select! {
                written = stream.write_all(&[7; 100]) => written,
                () = taking => panic!("the peer ended"),
            };
            let (timed_out, slow) = (written.is_err(), taken_each_second < 100);
            assert_eq!(timed_out, slow, "{taken_each_second} bytes each second");
            assert_eq!(began.elapsed() >= TIMEOUT, slow, "{taken_each_second} bytes each second");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_between_two_writes_is_no_timeout() {
        let (stream, mut peer) = duplex(10);
        let mut stream = WriteTimeout::new(stream, TIMEOUT);
        for _ in 0..3 {
            stream.write_all(&[7; 10]).await.unwrap();
            sleep(TIMEOUT * 2).await;
            peer.read_exact(&mut [0; 10]).await.unwrap();
        }
    }
}
