//! What a connection may send without asking anything. Pings, settings, resets, empty frames, endless headers and
//! whatever else is thought of next have this in common: many octets and no answered request. So they are counted
//! below TLS, and beyond a limit the connection ends.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::serve::seats::{Phase, Seat};

/// Octets that a client may send between two answers: four of the longest messages, or thousands of frames.
const OCTETS_UNANSWERED_MAX: u64 = 256 * 1024;

/// Octets since the last answer.
#[derive(Debug, Default)]
pub(in crate::serve) struct Meter(AtomicU64);

/// A stream whose octets are counted, and whose seat is told when the client does not read.
#[derive(Debug)]
pub(in crate::serve) struct Metered<S> {
    stream: S,
    meter: Arc<Meter>,
    seat: Arc<Seat>,
    /// The last write found no room.
    blocked: bool,
}

impl Meter {
    /// A request was answered.
    pub(super) fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn add(&self, octets: usize) -> io::Result<()> {
        let sum = self.0.fetch_add(octets as u64, Ordering::Relaxed) + octets as u64;
        if sum > OCTETS_UNANSWERED_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "many octets and no request"));
        }
        Ok(())
    }
}

impl<S> Metered<S> {
    pub(in crate::serve) fn new(stream: S, seat: Arc<Seat>) -> Self {
        Self { stream, meter: Arc::default(), seat, blocked: false }
    }

    pub(in crate::serve) fn meter(&self) -> Arc<Meter> {
        Arc::clone(&self.meter)
    }

    /// A client that does not read has its time from the first write that found no room.
    fn note<T>(&mut self, written: &Poll<T>) {
        let blocked = written.is_pending();
        if blocked == self.blocked || self.seat.phase().is_of_handshake() {
            return;
        }
        self.blocked = blocked;
        self.seat.enter(if blocked { Phase::Writing } else { Phase::Idle });
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = room.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, room);
        if let Poll::Ready(Ok(())) = read {
            self.meter.add(room.filled().len() - before)?;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, octets);
        self.note(&written);
        written
    }

    // TLS writes what ends a handshake in one call, and would lose all but the first part: the alert.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
