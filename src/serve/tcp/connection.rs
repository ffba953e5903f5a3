//! One TCP connection: read what is there, answer it, write the replies, read on. No more is read while replies
//! wait to be written, so a client that does not read is soon not listened to, and [`Seats`] ends it.
//!
//! While the client is silent, a connection holds its socket, a task, and no buffer.
//!
//! [`Seats`]: super::Seats

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;

use super::seats::{Phase, Seat};
use super::{LENGTH_OCTETS, MESSAGE_OCTETS_MAX, Office, next_message};
use crate::serve::Responder;

/// The room for queries that a connection starts with, in octets: a dozen of them.
const INBOX_OCTETS_MIN: usize = 1024;

/// The most that a connection reads before it answers, in octets: one message of any length fits.
const INBOX_OCTETS_MAX: usize = LENGTH_OCTETS + MESSAGE_OCTETS_MAX;

/// A connection in service.
struct Connection<R> {
    stream: TcpStream,
    source: IpAddr,
    seat: Seat,
    office: Arc<Office<R>>,
    inbox: Inbox,
    /// Replies that the kernel did not take at once.
    unsent: Vec<u8>,
}

/// Octets received and not yet answered.
#[derive(Default)]
struct Inbox {
    octets: Vec<u8>,
    filled: usize,
}

/// Serves a connection until either side ends it.
pub(super) async fn serve<R: Responder>(
    stream: TcpStream,
    source: IpAddr,
    seat: Seat,
    office: Arc<Office<R>>,
) {
    let mut connection =
        Connection { stream, source, seat, office, inbox: Inbox::default(), unsent: Vec::new() };
    // How a connection failed is the client's business; it is closed either way.
    let _ = connection.converse().await;
}

impl<R: Responder> Connection<R> {
    async fn converse(&mut self) -> io::Result<()> {
        // A client that has closed its side still got its replies: they were written before this read.
        while self.inbox.read(&mut self.stream).await? > 0 {
            let mut answered = false;
            while self.inbox.has_message() {
                self.answer()?;
                self.flush().await?;
                answered = true;
            }
            if !self.inbox.is_in_step() {
                return Ok(());
            }
            self.mark(answered);
        }
        Ok(())
    }

    /// Answers what is there, up to a full desk, and writes what the kernel takes at once.
    fn answer(&mut self) -> io::Result<()> {
        let Self { stream, source, office, inbox, unsent, .. } = self;
        let (taken, sent) = office.answer(inbox.filled(), *source, |replies| {
            if replies.is_empty() {
                return Ok(());
            }
            let written = match stream.try_write(replies) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                written => written?,
            };
            unsent.extend_from_slice(&replies[written..]);
            Ok(())
        });
        inbox.take(taken);
        sent
    }

    async fn flush(&mut self) -> io::Result<()> {
        if !self.unsent.is_empty() {
            self.seat.enter(Phase::Writing);
            self.stream.write_all(&self.unsent).await?;
            self.unsent = Vec::new();
        }
        Ok(())
    }

    /// A message has its time from its first octet; more octets give it no more.
    fn mark(&mut self, answered: bool) {
        let phase = if self.inbox.filled().is_empty() { Phase::Idle } else { Phase::Reading };
        if answered || self.seat.phase() != phase {
            self.seat.enter(phase);
        }
    }
}

impl Inbox {
    fn filled(&self) -> &[u8] {
        &self.octets[..self.filled]
    }

    fn has_message(&self) -> bool {
        matches!(next_message(self.filled()), Ok(Some(_)))
    }

    fn is_in_step(&self) -> bool {
        next_message(self.filled()).is_ok()
    }

    /// Waits for octets; how many came, zero when the client sends no more.
    async fn read(&mut self, stream: &mut TcpStream) -> io::Result<usize> {
        poll_fn(|context| {
            self.make_room();
            let mut room = ReadBuf::new(&mut self.octets[self.filled..]);
            match Pin::new(&mut *stream).poll_read(context, &mut room) {
                Poll::Ready(result) => {
                    let count = room.filled().len();
                    self.filled += count;
                    Poll::Ready(result.map(|()| count))
                }
                Poll::Pending => {
                    if self.filled == 0 {
                        self.octets = Vec::new();
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }

    /// A message that is not whole is shorter than the largest, so a full inbox can always grow.
    fn make_room(&mut self) {
        if self.filled == self.octets.len() {
            let octets = (self.octets.len() * 4).clamp(INBOX_OCTETS_MIN, INBOX_OCTETS_MAX);
            self.octets.resize(octets, 0);
        }
    }

    fn take(&mut self, octets: usize) {
        self.octets.copy_within(octets..self.filled, 0);
        self.filled -= octets;
    }
}
