//! A connection of messages behind their length, in clear or inside TLS (RFC 7766, RFC 7858): read what is there,
//! answer it, write the replies, read on. No more is read while replies wait to be written, so a client that does not
//! read is soon not listened to, and the keeper of the seats ends it. Answering waits for nothing, so that order is
//! the order of asking and nobody is held up by it.
//!
//! It works by turns, and has one no longer than it takes to answer a thousand queries, so that nobody waits for long because
//! others ask much.
//!
//! While the client is silent, a connection holds its socket, its seat, a task, and no buffer but those of TLS.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::task::yield_now;

use super::Responder;
use super::office::{Allowed, LENGTH_OCTETS, MESSAGE_OCTETS_MAX, Office, next_message};
use super::seats::{Phase, Seat};

/// The room for queries that a connection starts with, in octets: a dozen of them.
const INBOX_OCTETS_MIN: usize = 1024;

/// The most that a connection reads before it answers, in octets: one message of any length fits.
const INBOX_OCTETS_MAX: usize = LENGTH_OCTETS + MESSAGE_OCTETS_MAX;

/// After how many messages a connection lets others go on. A desk has room for about as many replies.
const IN_A_ROW: u64 = 1024;

/// A connection in service.
struct Connection<S, R> {
    stream: S,
    source: IpAddr,
    seat: Arc<Seat>,
    office: Arc<Office<R>>,
    inbox: Inbox,
    /// Replies that the stream did not take at once.
    unsent: Vec<u8>,
    /// Queries that may still be asked.
    left: u64,
    /// Messages taken since it let others go on.
    in_a_row: u64,
}

/// Octets received and not yet answered.
#[derive(Default)]
struct Inbox {
    octets: Vec<u8>,
    filled: usize,
}

/// Serves a connection until either side ends it.
pub(super) async fn serve<S: AsyncRead + AsyncWrite + Unpin, R: Responder>(
    stream: S,
    source: IpAddr,
    seat: Seat,
    office: &Arc<Office<R>>,
) {
    let (left, seat, office) = (seat.limits().queries, Arc::new(seat), Arc::clone(office));
    let (inbox, unsent) = (Inbox::default(), Vec::new());
    let mut connection =
        Connection { stream, source, seat: Arc::clone(&seat), office, inbox, unsent, left, in_a_row: 0 };
    // How a connection failed is the client's business; it is closed either way.
    if seat.by_turns(connection.converse()).await.is_ok() {
        // Inside TLS the end is said, so that nobody takes a cut for it.
        connection.seat.enter(Phase::Writing);
        let _ = connection.stream.shutdown().await;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, R: Responder> Connection<S, R> {
    async fn converse(&mut self) -> io::Result<()> {
        // A client that has closed its side still got its replies: they were written before this read.
        while self.inbox.read(&mut self.stream).await? > 0 {
            let mut answered = false;
            while self.inbox.has_message() {
                if self.left == 0 {
                    self.seat.break_off();
                    return self.part().await;
                }
                poll_fn(|context| Poll::Ready(self.answer(context))).await?;
                self.flush().await?;
                self.let_others_go_on().await;
                answered = true;
            }
            if !self.inbox.is_in_step() {
                self.seat.break_off();
                return Ok(());
            }
            self.mark(answered);
        }
        Ok(())
    }

    /// Says the end and waits for the client's. Were the connection closed before, queries that come still would make
    /// the kernel take back what replies are under way.
    async fn part(&mut self) -> io::Result<()> {
        self.seat.enter(Phase::Writing);
        self.stream.shutdown().await?;
        loop {
            self.inbox.filled = 0;
            if self.inbox.read(&mut self.stream).await? == 0 {
                return Ok(());
            }
        }
    }

    /// Answers what is there, up to a full desk, and writes what the stream takes at once.
    fn answer(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Self { stream, source, office, inbox, unsent, left, in_a_row, .. } = self;
        let allowed = Allowed { now: IN_A_ROW - *in_a_row, in_all: *left };
        let (answered, sent) = office.answer(inbox.filled(), allowed, *source, |replies| {
            let mut written = 0;
            while written < replies.len() {
                match Pin::new(&mut *stream).poll_write(context, &replies[written..]) {
                    Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Poll::Ready(count) => written += count?,
                    Poll::Pending => break,
                }
            }
            unsent.extend_from_slice(&replies[written..]);
            Ok(())
        });
        inbox.take(answered.octets);
        *left -= answered.messages;
        *in_a_row += answered.messages;
        sent
    }

    async fn let_others_go_on(&mut self) {
        if self.in_a_row >= IN_A_ROW {
            self.in_a_row = 0;
            self.seat.has_asked_much();
            // It was answered just now; that it waits for its turn is not the client's silence.
            self.mark(true);
            yield_now().await;
        }
    }

    /// Waits until all replies are with the kernel.
    async fn flush(&mut self) -> io::Result<()> {
        if self.unsent.is_empty() {
            let flushed =
                poll_fn(|context| Poll::Ready(Pin::new(&mut self.stream).poll_flush(context))).await;
            if let Poll::Ready(flushed) = flushed {
                return flushed;
            }
        }
        self.seat.enter(Phase::Writing);
        self.stream.write_all(&self.unsent).await?;
        self.unsent = Vec::new();
        self.stream.flush().await
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
    async fn read(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<usize> {
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
