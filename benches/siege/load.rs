//! Queries by UDP at a constant rate, whatever the replies do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rhumb::process::priority;
use rhumb::time::Moment;

use super::server::question;
use super::stamped::{Stamped, now};

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) sent: u64,
    /// Of each reply, when the query was sent and how long the reply took.
    replies: Vec<(Moment, Duration)>,
}

/// What the delays of each second were.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delays(Vec<Second>);

#[derive(Clone, Copy, Debug)]
struct Second {
    p50: Duration,
    p99: Duration,
}

/// Queries in a second.
const RATE: u64 = 5_000;
/// What is not answered by then is lost.
const LOST_AFTER: Duration = Duration::from_millis(1000);

/// Asks until told to stop.
pub(crate) fn run(server: SocketAddr, stop: impl Fn() -> bool) -> Heard {
    let socket = Stamped::connect(server, LOST_AFTER);
    let sent_at: Vec<AtomicU64> = (0..=u16::MAX).map(|_| AtomicU64::new(0)).collect();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let listener = scope.spawn(|| listen(&socket, &sent_at, &ended));
        priority::take_short_turns();
        let begin = now();
        let mut sent = 0u64;
        while !stop() {
            let due = now().since(begin).as_micros() as u64 * RATE / 1_000_000;
            while sent < due {
                let id = sent as u16;
                sent_at[usize::from(id)].store(now().0, Ordering::Relaxed);
                socket.send(&question(id));
                sent += 1;
            }
            thread::sleep(Duration::from_micros(100));
        }
        ended.store(true, Ordering::Relaxed);
        Heard { sent, replies: listener.join().unwrap() }
    })
}

impl Heard {
    /// Queries that were never answered.
    pub(crate) fn lost(&self) -> u64 {
        self.sent - self.replies.len() as u64
    }

    /// The delays of the queries that were sent between two moments.
    pub(crate) fn between(&self, from: Moment, to: Moment) -> Delays {
        let within = self.replies.iter().filter(|(sent, _)| (from..to).contains(sent));
        Delays::new(within.map(|(sent, delay)| (sent.since(from).as_secs(), *delay)))
    }
}

impl Delays {
    /// Of queries, each with the second in which it was sent.
    fn new(queries: impl Iterator<Item = (u64, Duration)>) -> Self {
        let mut seconds: BTreeMap<u64, Vec<Duration>> = BTreeMap::new();
        queries.for_each(|(second, delay)| seconds.entry(second).or_default().push(delay));
        seconds.values_mut().for_each(|delays| delays.sort_unstable());
        // The last second is not whole.
        let whole = seconds.into_values().filter(|delays| delays.len() * 2 >= RATE as usize);
        Self(whole.map(|delays| Second { p50: part(&delays, 50), p99: part(&delays, 99) }).collect())
    }

    /// These and those.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// The median of the seconds' p50.
    pub(crate) fn p50(&self) -> Duration {
        median(self.0.iter().map(|second| second.p50))
    }

    /// The median of the seconds' p99: one second in which the machine was elsewhere does not tell.
    pub(crate) fn p99(&self) -> Duration {
        median(self.0.iter().map(|second| second.p99))
    }
}

fn median(durations: impl Iterator<Item = Duration>) -> Duration {
    let mut durations: Vec<Duration> = durations.collect();
    durations.sort_unstable();
    part(&durations, 50)
}

fn part(sorted: &[Duration], part: usize) -> Duration {
    sorted.get(sorted.len() * part / 100).copied().unwrap_or_default()
}

fn listen(socket: &Stamped, sent_at: &[AtomicU64], ended: &AtomicBool) -> Vec<(Moment, Duration)> {
    // Else the listener would wait for whoever has its processor, and the socket might not have room for so long.
    priority::take_short_turns();
    let mut replies = Vec::with_capacity(400_000);
    let mut reply = [0; 512];
    loop {
        match socket.receive(&mut reply) {
            Ok(came) => {
                let id = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
                let sent = Moment(sent_at[id].swap(0, Ordering::Relaxed));
                assert_ne!(sent, Moment(0), "no query is answered twice");
                replies.push((sent, came.since(sent)));
            }
            Err(_) if ended.load(Ordering::Relaxed) => return replies,
            Err(_) => {}
        }
    }
}
