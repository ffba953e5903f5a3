//! Queries by UDP at a constant rate, whatever the replies do.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rhumb::clock;

use super::server::question;

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

/// Queries in a second.
const RATE: u64 = 5_000;
/// What is not answered by then is lost.
const LOST_AFTER: Duration = Duration::from_millis(1000);

/// Asks until told to stop, for `most` at most.
pub(crate) fn run(server: SocketAddr, stop: impl Fn() -> bool, most: Duration) -> Heard {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(server).unwrap();
    socket.set_read_timeout(Some(LOST_AFTER)).unwrap();
    let sent_at: Vec<AtomicU64> = (0..=u16::MAX).map(|_| AtomicU64::new(0)).collect();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let listener = scope.spawn(|| listen(&socket, &sent_at, &ended));
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
        let mut delays = listener.join().unwrap();
        delays.sort_unstable();
        let at = |share: f64| delays.get((delays.len() as f64 * share) as usize).copied().unwrap_or_default();
        Heard { sent, answered: delays.len() as u64, p50: at(0.5), p99: at(0.99) }
    })
}

fn listen(socket: &UdpSocket, sent_at: &[AtomicU64], ended: &AtomicBool) -> Vec<Duration> {
    let mut delays = Vec::with_capacity(200_000);
    let mut reply = [0; 512];
    loop {
        match socket.recv(&mut reply) {
            Ok(_) => {
                let id = usize::from(u16::from_be_bytes([reply[0], reply[1]]));
                let sent = sent_at[id].swap(0, Ordering::Relaxed);
                assert_ne!(sent, 0, "no query is answered twice");
                delays.push(Duration::from_nanos(clock::now().0 - sent));
            }
            Err(_) if ended.load(Ordering::Relaxed) => return delays,
            Err(_) => {}
        }
    }
}
