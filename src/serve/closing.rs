//! Inside TLS an end is said, so that nobody takes a cut for it (RFC 8446 section 6.1): also of a connection whose time is
//! over, which is dropped wherever it is.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

/// A stream inside TLS that says its end when it is dropped, as far as the kernel has room for the word.
#[derive(Debug)]
pub(super) struct Closing<S: AsyncRead + AsyncWrite + Unpin>(pub(super) TlsStream<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Closing<S> {
    fn stream(&mut self) -> Pin<&mut TlsStream<S>> {
        Pin::new(&mut self.0)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drop for Closing<S> {
    fn drop(&mut self) {
        // Nobody waits for it any more; what was said already is not said again.
        let _ = self.stream().poll_shutdown(&mut Context::from_waker(Waker::noop()));
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Closing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(context, room)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Closing<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(context, octets)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(context)
    }
}
