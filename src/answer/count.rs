//! Counters of one worker. One writer, many readers: the worker adds with plain loads and stores, whoever
//! scrapes sums over the workers. No locked instruction in the query path.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::wire::code::Rcode;

/// A number that one thread adds to and any thread reads.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// How many response codes are counted apart; those beyond count as the last.
pub const RCODES: usize = 24;

/// What one worker counts. A worker of one transport has one of these.
#[derive(Debug)]
pub struct Counters {
    /// Messages taken from the socket.
    pub received: Counter,
    /// Replies by response code.
    pub replies: [Counter; RCODES],
    /// Messages that deserve no reply: too short, replies themselves.
    pub ignored: Counter,
    /// Replies with TC set.
    pub truncated: Counter,
    /// Replies that the socket did not take.
    pub send_failed: Counter,
    /// Queries with a client subnet option.
    pub client_subnet: Counter,
    /// Answers of steered names, by the table's counter numbers.
    pub answers: Box<[Counter]>,
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
            answers: (0..answers).map(|_| Counter::default()).collect(),
        }
    }

    /// The same numbers with room for at least `answers` counters of steered answers.
    #[must_use]
    pub fn grown(&self, answers: usize) -> Self {
        let grown = Self::new(answers.max(self.answers.len()));
        grown.merge(self);
        grown
    }

    /// Adds all of `other`, which has no more counters of steered answers than this.
    pub fn merge(&self, other: &Counters) {
        let single = |c: &Counters| {
            [&c.received, &c.ignored, &c.truncated, &c.send_failed, &c.client_subnet].map(Counter::get)
        };
        let totals = [&self.received, &self.ignored, &self.truncated, &self.send_failed, &self.client_subnet];
        for (total, part) in totals.into_iter().zip(single(other)) {
            total.add(part);
        }
        for (total, part) in self.replies.iter().zip(&other.replies) {
            total.add(part.get());
        }
        for (total, part) in self.answers.iter().zip(&other.answers) {
            total.add(part.get());
        }
    }

    /// Counts a reply.
    pub fn reply(&self, rcode: Rcode) {
        self.replies[usize::from(rcode.0).min(RCODES - 1)].add(1);
    }
}
