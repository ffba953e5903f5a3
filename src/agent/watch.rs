//! An idle connection to each address that is probed by TCP. Its loss is no evidence, only a reason to probe
//! now: a process that dies is noticed at once rather than at its next turn.
//!
//! Many servers close idle connections, and that must not look like dying over and over. So a watch learns how
//! long it is let stay, and renews its connection before that; where it is not let stay at all, it pauses longer
//! and longer. [`Patience`] is that judgement, pure.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::chance::Chance;
use super::plan::JITTER;
use crate::clock;

/// No connection is held longer, so that a forgotten one in some gateway on the way is not relied upon.
pub const HOLD_MAX: Duration = Duration::from_secs(300);
/// A server that does not let an idle connection stay this long is not worth watching.
pub const HOLD_MIN: Duration = Duration::from_secs(1);
/// From a loss to the next connection, at least.
pub const PAUSE_MIN: Duration = Duration::from_millis(100);
/// From a loss to the next connection, at most.
pub const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Between attempts while the server takes no connection, at most: one that comes back is watched again soon.
pub const RETRY_MAX: Duration = Duration::from_secs(2);
/// The first connections of all watches are spread over so long.
pub const FIRST_PAUSE_MAX: Duration = Duration::from_millis(250);
/// A connection that is not made by then is tried again later.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A server that sends more than so many octets unasked is not idle; its connection is given up.
pub const OCTETS_MAX: usize = 64 * 1024;

/// Holds a connection to `address` for as long as the task lives, and tells `lost` each time the other side
/// ends one. What finds the channel full is dropped: a probe that is not hurried comes in its turn.
pub async fn hold(address: SocketAddr, lost: mpsc::Sender<SocketAddr>, mut chance: Chance) {
    let mut patience = Patience::default();
    sleep(FIRST_PAUSE_MAX.mul_f64(chance.ratio())).await;
    loop {
        match connect(address).await {
            Ok(stream) => {
                let began = clock::now();
                match timeout(chance.around(patience.hold, JITTER), until_ended(stream)).await {
                    Err(_) => patience.renewed(),
                    Ok(End::Lost) => {
                        let _ = lost.try_send(address);
                        patience.lost(clock::now().since(began));
                    }
                    Ok(End::Busy) => patience.pause = PAUSE_MAX,
                }
            }
            Err(_) => patience.refused(),
        }
        sleep(chance.around(patience.pause, JITTER)).await;
    }
}

/// How long to hold the next connection, and how long to wait before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// After so long the watch itself renews the connection.
    pub hold: Duration,
    /// So long it waits before the next one.
    pub pause: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { hold: HOLD_MAX, pause: PAUSE_MIN }
    }
}

impl Patience {
    /// The other side ended the connection after it was held so long: next time, be earlier.
    pub fn lost(&mut self, held: Duration) {
        self.hold = (held * 3 / 4).clamp(HOLD_MIN, HOLD_MAX);
        self.pause = if held < HOLD_MIN { (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX) } else { PAUSE_MIN };
    }

    /// The connection stood until it was renewed. A server that restarted looked like one that closes idle
    /// connections, so the time grows again, by little: each time it grows too far costs a probe.
    pub fn renewed(&mut self) {
        self.hold = (self.hold * 65 / 64).min(HOLD_MAX);
        self.pause = Duration::ZERO;
    }

    /// The server took no connection.
    pub fn refused(&mut self) {
        self.pause = self.pause.max((self.pause * 2).clamp(PAUSE_MIN, RETRY_MAX));
    }
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await?
}

/// How the other side ended a watch.
enum End {
    /// It closed or broke the connection.
    Lost,
    /// It would not stop sending.
    Busy,
}

async fn until_ended(mut stream: TcpStream) -> End {
    let mut buffer = [0; 1024];
    let mut octets = 0;
    while octets <= OCTETS_MAX {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return End::Lost,
            Ok(length) => octets += length,
        }
    }
    End::Busy
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a server that closes what is idle for `idle`; gives how often the loss was told in `span`.
    fn losses(idle: Duration, span: Duration) -> u32 {
        let mut patience = Patience::default();
        let (mut now, mut losses) = (Duration::ZERO, 0);
        while now < span {
            if idle < patience.hold {
                now += idle;
                losses += 1;
                patience.lost(idle);
            } else {
                now += patience.hold;
                patience.renewed();
            }
            now += patience.pause;
        }
        losses
    }

    #[test]
    fn a_server_that_closes_idle_connections_hurries_few_probes() {
        let hour = Duration::from_secs(3600);
        for (idle_ms, at_most) in [(0, 130), (10, 130), (900, 130), (1_100, 500), (5_000, 90), (60_000, 10)] {
            let losses = losses(Duration::from_millis(idle_ms), hour);
            assert!((1..=at_most).contains(&losses), "idle {idle_ms} ms: {losses} losses");
        }
    }

    #[test]
    fn a_server_that_restarted_is_soon_held_as_long_as_before() {
        let mut patience = Patience::default();
        patience.lost(Duration::from_secs(40));
        assert_eq!(patience.hold, Duration::from_secs(30));
        let mut renewals = 0;
        while patience.hold < HOLD_MAX {
            patience.renewed();
            renewals += 1;
        }
        assert!(renewals < 200);
    }

    #[test]
    fn a_server_that_turns_to_closing_at_once_is_left_alone_for_longer_and_longer() {
        let mut patience = Patience::default();
        patience.renewed();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            patience.lost(Duration::ZERO);
            pauses.push(patience.pause);
        }
        assert_eq!(pauses[..3], [PAUSE_MIN, PAUSE_MIN * 2, PAUSE_MIN * 4]);
        assert_eq!(pauses[11], PAUSE_MAX);
    }

    #[test]
    fn a_server_that_is_away_is_tried_less_and_less_often() {
        let mut patience = Patience::default();
        for _ in 0..20 {
            patience.refused();
        }
        assert_eq!(patience.pause, RETRY_MAX);
        patience.lost(Duration::from_secs(20));
        assert_eq!(patience.pause, PAUSE_MIN);
    }
}
