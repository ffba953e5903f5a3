//! Queries by UDP at a constant rate, whatever the replies do.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rhumb::clock;
use rhumb::serve::take_short_turns;
use rhumb::time::Moment;

use super::server::question;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) sent: u64,
    /// Of each reply, when the query was sent and how long the reply took.
    replies: Vec<(Moment, Duration)>,
}

/// Queries in a second.
const RATE: u64 = 5_000;
/// What is not answered by then is lost.
const LOST_AFTER: Duration = Duration::from_millis(1000);

/// How long a turn of the threads that ask is, as those of the server's workers are.
const TURN: Duration = Duration::from_micros(100);

/// Asks until told to stop, for `most` at most.
pub(crate) fn run(server: SocketAddr, stop: impl Fn() -> bool, most: Duration) -> Heard {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(LOST_AFTER)).unwrap();
    let sent_at: Vec<AtomicU64> = (0..=u16::MAX).map(|_| AtomicU64::new(0)).collect();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let listener = scope.spawn(|| listen(&socket, &sent_at, &ended));
        let _ = take_short_turns(TURN);
        let begin = clock::now();
        let mut sent = 0u64;
        while clock::now().since(begin) < most && !stop() {
            let due = clock::now().since(begin).as_micros() as u64 * RATE / 1_000_000;
            while sent < due {
                let id = sent as u16;
                sent_at[usize::from(id)].store(clock::now().0, Ordering::Relaxed);
                socket.send(&question(id)).unwrap();
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

    /// p50 and p99 of the queries that were sent between two moments.
    pub(crate) fn delays(&self, from: Moment, to: Moment) -> (Duration, Duration) {
        let within = self.replies.iter().filter(|(sent, _)| (from..to).contains(sent));
        let mut delays: Vec<Duration> = within.map(|(_, delay)| *delay).collect();
        delays.sort_unstable();
        let at = |part: usize| delays.get(delays.len() * part / 100).copied().unwrap_or_default();
        (at(50), at(99))
    }
}

fn listen(socket: &UdpSocket, sent_at: &[AtomicU64], ended: &AtomicBool) -> Vec<(Moment, Duration)> {
    // Else the listener would wait for whoever has its processor, and that would count as the server's delay.
    let _ = take_short_turns(TURN);
    let mut replies = Vec::with_capacity(400_000);
    let mut reply = [0; 512];
    loop {
        match socket.recv(&mut reply) {
            Ok(_) => {
                let id = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
                let sent = Moment(sent_at[id].swap(0, Ordering::Relaxed));
                assert_ne!(sent, Moment(0), "no query is answered twice");
                replies.push((sent, clock::now().since(sent)));
            }
            Err(_) if ended.load(Ordering::Relaxed) => return replies,
            Err(_) => {}
        }
    }
}
