//! Where messages of all transports but UDP are answered: a few desks, each with room for replies and counters that
//! nobody else writes to meanwhile. What a message says is the responder's affair.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Responder;
use crate::answer::count::{Registry, Tally};
use crate::answer::respond::{Action, Envelope, Transport};
use crate::clock;
use crate::publish::Published;

/// The longest message: what two octets of length can say.
pub(super) const MESSAGE_OCTETS_MAX: usize = 65_535;

/// The octets of length before each message.
pub(super) const LENGTH_OCTETS: usize = 2;

/// A message is at least a header (RFC 1035 section 4.1.1); a shorter one says that the stream is out of step.
const MESSAGE_OCTETS_MIN: usize = 12;

/// Replies are collected up to so many octets, then written before more queries are answered.
const REPLIES_OCTETS: usize = 65_536;

/// What the connections of one transport share: how to answer, and the desks to do it at.
pub(super) struct Office<R> {
    respond: R,
    transport: Transport,
    published: Arc<Published>,
    registry: Arc<Registry>,
    desks: Mutex<Vec<Desk>>,
}

/// What one thread needs while it answers. No connection keeps one while it waits, so there are never more than
/// threads, however many connections there are.
struct Desk {
    tally: Tally,
    replies: Box<[u8]>,
}

/// How many more messages of a connection are answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowed {
    /// Before others go on.
    pub(super) now: u64,
    /// Until it is ended.
    pub(super) in_all: u64,
}

/// What came of the messages at the start of some octets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Answered {
    /// Octets that were taken.
    pub(super) octets: usize,
    /// Messages that were taken, answered or not.
    pub(super) messages: u64,
}

impl<R: Responder> Office<R> {
    pub(super) fn new(
        respond: R,
        transport: Transport,
        published: Arc<Published>,
        registry: Arc<Registry>,
    ) -> Self {
        Self { respond, transport, published, registry, desks: Mutex::default() }
    }

    /// How its messages come.
    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    /// Answers one message and hands the reply to `take`, if it deserves one.
    pub(super) fn answer_one<T>(
        &self,
        message: &[u8],
        source: IpAddr,
        take: impl FnOnce(&[u8]) -> T,
    ) -> Option<T> {
        self.at_desk(|office, desk| {
            let table = office.published.current();
            desk.tally.fit(table.answer_counters());
            desk.tally.received.add(1);
            let Desk { tally, replies } = desk;
            let reply = &mut replies[..MESSAGE_OCTETS_MAX];
            match (office.respond)(&table, message, office.envelope(source), reply, tally) {
                Action::Ignore => None,
                Action::Send(octets) => Some(take(&reply[..octets])),
            }
        })
    }

    /// Answers the whole messages at the start of `octets`, as far as they are allowed and their replies have room, and
    /// hands the replies to `send`; what came of them, and what `send` returned.
    pub(super) fn answer<T>(
        &self,
        octets: &[u8],
        allowed: Allowed,
        source: IpAddr,
        send: impl FnOnce(&[u8]) -> T,
    ) -> (Answered, T) {
        self.at_desk(|office, desk| {
            let (answered, written) = office.answer_at(desk, octets, allowed, source);
            (answered, send(&desk.replies[..written]))
        })
    }

    fn at_desk<T>(&self, work: impl FnOnce(&Self, &mut Desk) -> T) -> T {
        let mut desk = self.desks().pop().unwrap_or_else(|| self.furnish());
        let done = work(self, &mut desk);
        self.desks().push(desk);
        done
    }

    /// What came of the messages, and how many octets of replies were written. The table is not kept: an idle
    /// connection, or an idle desk, would hold it for as long as it is idle.
    fn answer_at(
        &self,
        desk: &mut Desk,
        octets: &[u8],
        allowed: Allowed,
        source: IpAddr,
    ) -> (Answered, usize) {
        let table = self.published.current();
        let envelope = self.envelope(source);
        desk.tally.fit(table.answer_counters());
        let (mut answered, mut written) = (Answered::default(), 0);
        while written <= REPLIES_OCTETS
            && answered.messages < allowed.now.min(allowed.in_all)
            && let Ok(Some(message)) = next_message(&octets[answered.octets..])
        {
            desk.tally.received.add(1);
            let (length, reply) = desk.replies[written..].split_at_mut(LENGTH_OCTETS);
            let reply = &mut reply[..MESSAGE_OCTETS_MAX];
            let envelope = Envelope { is_last: answered.messages + 1 == allowed.in_all, ..envelope };
            if let Action::Send(octets) = (self.respond)(&table, message, envelope, reply, &desk.tally) {
                let prefix = u16::try_from(octets).expect("a reply is no longer than its buffer");
                length.copy_from_slice(&prefix.to_be_bytes());
                written += LENGTH_OCTETS + octets;
            }
            answered.octets += LENGTH_OCTETS + message.len();
            answered.messages += 1;
        }
        (answered, written)
    }

    fn envelope(&self, source: IpAddr) -> Envelope {
        Envelope { source, transport: self.transport, at: clock::wall(), is_last: false }
    }

    fn furnish(&self) -> Desk {
        let octets = REPLIES_OCTETS + LENGTH_OCTETS + MESSAGE_OCTETS_MAX;
        Desk { tally: self.registry.enlist(self.transport, 0), replies: vec![0; octets].into() }
    }

    fn desks(&self) -> MutexGuard<'_, Vec<Desk>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream does not hold messages where they should be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfStep;

/// The whole message at the start of `octets`, if it has all arrived.
pub(super) fn next_message(octets: &[u8]) -> Result<Option<&[u8]>, OutOfStep> {
    let Some((length, rest)) = octets.split_first_chunk::<LENGTH_OCTETS>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(*length));
    if length < MESSAGE_OCTETS_MIN {
        return Err(OutOfStep);
    }
    Ok(rest.get(..length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_when_it_is_whole() {
        let mut octets = vec![0, 12];
        octets.extend([7; 12]);
        for length in 0..octets.len() {
            assert_eq!(next_message(&octets[..length]), Ok(None), "{length}");
        }
        assert_eq!(next_message(&octets), Ok(Some(&[7; 12][..])));
        octets.push(0);
        assert_eq!(next_message(&octets), Ok(Some(&[7; 12][..])));
    }

    #[test]
    fn a_length_too_short_for_a_header_is_out_of_step() {
        for length in 0..12 {
            assert_eq!(next_message(&[0, length, 1, 2, 3]), Err(OutOfStep), "{length}");
        }
    }
}
