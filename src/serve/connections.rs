//! The connections of the server: at most a number of them, each closed when it is silent for too long.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep, sleep};

/// Number of connections at a time. A browser has a few for each of its windows.
const MOST: usize = 256;

/// Time for the head of a request, also between two requests.
const HEAD: Duration = Duration::from_secs(20);

/// Time in which a client must take some of an answer.
const STALLED: Duration = Duration::from_secs(30);

/// Largest head of a request, in bytes.
const LARGEST_HEAD: usize = 32 << 10;

/// Answers requests until the process ends.
pub async fn answer(listener: TcpListener, router: Router) {
    let free = Arc::new(Semaphore::new(MOST));
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // The client has gone, or there are too many open files, which is better a moment later.
                tracing::debug!("a connection cannot be accepted: {error}");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // More than that are closed at once: whoever waits learns it.
        let Ok(place) = Arc::clone(&free).try_acquire_owned() else { continue };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let io = TokioIo::new(Patient::of(stream));
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(LARGEST_HEAD);
            if let Err(error) = http.serve_connection(io, service).await {
                tracing::debug!("a connection ended: {error}");
            }
            drop(place);
        });
    }
}

/// A connection whose client must read: one that takes nothing for [`STALLED`] is an error.
struct Patient {
    stream: TcpStream,
    /// The end of the patience, since the client has taken nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Patient {
    fn of(stream: TcpStream) -> Self {
        // Events are small, and should not wait for more.
        drop(stream.set_nodelay(true));
        Self { stream, stalled: None }
    }

    /// Counts the time in which nothing was written.
    fn waiting<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let end = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + STALLED)));
        match end.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.waiting(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
