//! Counters of one worker. One writer, many readers: the worker adds with plain loads and stores, whoever
//! scrapes sums over the workers. No locked instruction in the query path.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::limit::Rates;
use super::respond::Transport;
use crate::wire::code::Rcode;
use crate::wire::cookie::Standing;

/// A number that one thread adds to and any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// How many response codes are counted apart; those beyond count as the last.
pub const RCODES: usize = 24;

/// What one worker counts. A worker of one transport has one of these.
#[derive(Debug)]
pub struct Counters {
    /// Messages taken from the socket; the rim counts them, before it calls `respond`.
    pub received: Counter,
    /// Replies by response code.
    pub replies: [Counter; RCODES],
    /// Messages that deserve no reply: too short, replies themselves, or turned away at the door by the rim.
    pub ignored: Counter,
    /// Replies with TC set.
    pub truncated: Counter,
    /// Replies that the socket did not take; the rim counts them.
    pub send_failed: Counter,
    /// Queries with a client subnet option.
    pub client_subnet: Counter,
    /// Queries with a cookie, by what it was worth: of the client alone, valid, invalid.
    pub cookies: [Counter; 3],
    /// Replies that were not sent since their network had its share.
    pub rate_limited: Counter,
    /// Truncated replies that were sent in their place.
    pub slipped: Counter,
    /// What the networks had of late; for workers of UDP.
    pub rates: Rates,
    /// Answers of steered names, by the table's counter numbers.
    pub answers: Box<[Counter]>,
}

/// All workers' counters, for whoever sums them up.
#[derive(Debug, Default)]
pub struct Registry {
    places: Mutex<Vec<(Transport, Arc<Counters>)>>,
    /// What the networks of limited replies are told apart by: see [`Rates::new`].
    network_key: [u8; 16],
}

/// A worker's place in a [`Registry`], and the counters that stand there.
#[derive(Debug)]
pub struct Tally {
    registry: Arc<Registry>,
    place: usize,
    counters: Arc<Counters>,
}

impl Counter {
    /// Adds `amount`. Only the owning worker may call it.
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// The number so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Counters {
    /// All zero, with room for `answers` counters of steered answers.
    #[must_use]
    pub fn new(answers: usize) -> Self {
        Self {
            received: Counter::default(),
            replies: Default::default(),
            ignored: Counter::default(),
            truncated: Counter::default(),
            send_failed: Counter::default(),
            client_subnet: Counter::default(),
            cookies: Default::default(),
            rate_limited: Counter::default(),
            slipped: Counter::default(),
            rates: Rates::default(),
            answers: (0..answers).map(|_| Counter::default()).collect(),
        }
    }

    /// The same numbers with room for at least `answers` counters of steered answers.
    #[must_use]
    pub fn grown(&self, answers: usize) -> Self {
        let grown = Self { rates: self.rates.emptied(), ..Self::new(answers.max(self.answers.len())) };
        grown.merge(self);
        grown
    }

    /// Adds all of `other`, which has no more counters of steered answers than this.
    pub fn merge(&self, other: &Counters) {
        for (total, part) in self.singles().zip(other.singles()) {
            total.add(part.get());
        }
        for (total, part) in self.replies.iter().zip(&other.replies) {
            total.add(part.get());
        }
        for (total, part) in self.answers.iter().zip(&other.answers) {
            total.add(part.get());
        }
    }

    /// All but those that are counted by code or by answer.
    fn singles(&self) -> impl Iterator<Item = &Counter> {
        let Self { received, ignored, truncated, send_failed, client_subnet, rate_limited, slipped, .. } =
            self;
        [received, ignored, truncated, send_failed, client_subnet, rate_limited, slipped]
            .into_iter()
            .chain(&self.cookies)
    }

    /// Counts a query's cookie.
    pub fn cookie(&self, standing: Standing) {
        self.cookies[standing as usize].add(1);
    }

    /// Counts a reply.
    pub fn reply(&self, rcode: Rcode) {
        self.replies[usize::from(rcode.0).min(RCODES - 1)].add(1);
    }
}

impl Registry {
    /// A registry of nobody yet, with the key for [`Rates::new`].
    #[must_use]
    pub fn new(network_key: [u8; 16]) -> Self {
        Self { network_key, ..Self::default() }
    }

    /// A new worker's counters. They stay in the registry when the worker ends, so that sums never fall.
    #[must_use]
    pub fn enlist(self: &Arc<Self>, transport: Transport, answers: usize) -> Tally {
        let rates = if transport == Transport::Udp { Rates::new(self.network_key) } else { Rates::default() };
        let counters = Arc::new(Counters { rates, ..Counters::new(answers) });
        let mut places = self.places();
        places.push((transport, Arc::clone(&counters)));
        let place = places.len() - 1;
        drop(places);
        Tally { registry: Arc::clone(self), place, counters }
    }

    /// What every worker counted so far, to be summed by transport.
    #[must_use]
    pub fn counters(&self) -> Vec<(Transport, Arc<Counters>)> {
        self.places().clone()
    }

    fn places(&self) -> MutexGuard<'_, Vec<(Transport, Arc<Counters>)>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    /// Makes room for `answers` counters of steered answers. It allocates only when there is none yet, and then twice
    /// what is needed or near it: new verdicts bring new counters one by one, and each time all of them are copied.
    pub fn fit(&mut self, answers: usize) {
        if answers > self.counters.answers.len() {
            self.counters = Arc::new(self.counters.grown(answers.next_power_of_two()));
            self.registry.places()[self.place].1 = Arc::clone(&self.counters);
        }
    }
}

impl Deref for Tally {
    type Target = Counters;

    fn deref(&self) -> &Counters {
        &self.counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_that_grows_keeps_its_numbers_and_its_place() {
        let registry = Arc::new(Registry::default());
        let mut udp = registry.enlist(Transport::Udp, 1);
        let tcp = registry.enlist(Transport::Tcp, 1);
        udp.answers[0].add(3);
        udp.received.add(5);
        udp.fit(1);
        udp.fit(4);
        udp.answers[3].add(1);
        tcp.received.add(7);
        let seen = registry.counters();
        assert_eq!([seen[0].0, seen[1].0], [Transport::Udp, Transport::Tcp]);
        assert_eq!([seen[0].1.received.get(), seen[1].1.received.get()], [5, 7]);
        assert_eq!(seen[0].1.answers.iter().map(Counter::get).collect::<Vec<_>>(), [3, 0, 0, 1]);
        udp.fit(5);
        assert_eq!(udp.answers.len(), 8, "room for the next ones too");
    }
}
