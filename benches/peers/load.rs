//! The load: queries over a few sockets, either as fast as replies come (closed loop) or at a rate whatever the
//! replies do (open loop).

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::datagrams::{self, Datagrams};

/// How queries are offered.
#[derive(Clone, Copy)]
pub(crate) enum Offer {
    /// So many are always under way.
    Outstanding(usize),
    /// So many a second.
    Rate(f64),
    /// So many a second, asleep in between: for a processor that others use too. It goes before all of them.
    Polite(f64),
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) sent: u64,
    pub(crate) answered: u64,
    pub(crate) seconds: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// How long the generator stood still, in pauses of a millisecond and more, while it should have asked.
    pub(crate) stood: Duration,
}

const SOCKETS: usize = 8;
/// Queries of one call of the kernel in an open loop: as if they came from as many resolvers at once.
const BURST: usize = 4;
/// What is not answered by then is not under way any more.
const LOST_AFTER: Duration = Duration::from_millis(100);
/// What is not answered so long after the last query is lost.
const LATE_MAX: Duration = Duration::from_millis(500);
/// A round takes far less; whoever needs longer had no processor.
const PAUSE_MIN: Duration = Duration::from_millis(1);

struct Lane {
    socket: UdpSocket,
    next_id: u16,
    under_way: usize,
    heard_at: Instant,
    /// When the query of each id was sent.
    sent_at: Box<[Instant]>,
}

/// Asks for `time`.
pub(crate) fn run(server: SocketAddr, queries: &[Vec<u8>], offer: Offer, time: Duration) -> Heard {
    let _first = matches!(offer, Offer::Polite(_)).then(datagrams::Manners::first);
    let begin = Instant::now();
    let mut lanes: Vec<Lane> = (0..SOCKETS).map(|_| Lane::new(server, begin)).collect();
    let mut batch = Datagrams::new(64);
    let mut queries = queries.iter().cycle();
    let (mut heard, mut delays) = (Heard::default(), Vec::new());
    let (mut lane, mut last_round) = (0, begin);
    while begin.elapsed() < time {
        let round = Instant::now();
        heard.stood += Some(round - last_round).filter(|pause| *pause >= PAUSE_MIN).unwrap_or_default();
        (lane, last_round) = ((lane + 1) % SOCKETS, round);
        let due = match offer {
            Offer::Outstanding(all) => (all / SOCKETS).saturating_sub(lanes[lane].under_way),
            Offer::Rate(rate) | Offer::Polite(rate) => {
                let behind = begin.elapsed().as_secs_f64() * rate - heard.sent as f64;
                if behind >= BURST as f64 { BURST } else { 0 }
            }
        };
        heard.sent += lanes[lane].ask(due.min(64), &mut queries, &mut batch);
        heard.answered += lanes[lane].listen(&mut batch, &mut delays);
        if let Offer::Polite(rate) = offer
            && due == 0
        {
            heard.answered += lanes.iter_mut().map(|lane| lane.listen(&mut batch, &mut delays)).sum::<u64>();
            let next = Duration::from_secs_f64((heard.sent as f64 + BURST as f64) / rate);
            let sockets = lanes.iter().map(|lane| &lane.socket);
            datagrams::wait(sockets, next.saturating_sub(begin.elapsed()));
            last_round = Instant::now();
        }
    }
    heard.seconds = begin.elapsed().as_secs_f64();
    let end = Instant::now();
    while heard.answered < heard.sent && end.elapsed() < LATE_MAX {
        heard.answered += lanes.iter_mut().map(|lane| lane.listen(&mut batch, &mut delays)).sum::<u64>();
    }
    delays.sort_unstable();
    let at = |part: usize| delays.get(delays.len() * part / 100).copied().unwrap_or_default();
    Heard { p50: at(50), p99: at(99), ..heard }
}

impl Lane {
    fn new(server: SocketAddr, now: Instant) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        socket.connect(server).expect("loopback is there");
        socket.set_nonblocking(true).expect("sockets can be told not to wait");
        Self { socket, next_id: 0, under_way: 0, heard_at: now, sent_at: vec![now; 1 << 16].into() }
    }

    fn ask<'q>(
        &mut self,
        count: usize,
        queries: &mut impl Iterator<Item = &'q Vec<u8>>,
        batch: &mut Datagrams,
    ) -> u64 {
        if count == 0 {
            return 0;
        }
        let now = Instant::now();
        for at in 0..count {
            batch.fill(at, queries.next().expect("the queries go round"));
            let id = self.next_id.wrapping_add(at as u16);
            batch.octets(at)[..2].copy_from_slice(&id.to_be_bytes());
            self.sent_at[usize::from(id)] = now;
        }
        let sent = batch.send(&self.socket, count, false).unwrap_or(0);
        self.next_id = self.next_id.wrapping_add(sent as u16);
        self.under_way += sent;
        sent as u64
    }

    fn listen(&mut self, batch: &mut Datagrams, delays: &mut Vec<Duration>) -> u64 {
        let received = batch.receive(&self.socket, libc::MSG_DONTWAIT);
        if received == 0 {
            if self.heard_at.elapsed() > LOST_AFTER {
                self.under_way = 0;
            }
            return 0;
        }
        let now = Instant::now();
        self.heard_at = now;
        self.under_way = self.under_way.saturating_sub(received);
        for at in 0..received {
            let octets = batch.octets(at);
            let id = u16::from_be_bytes([octets[0], octets[1]]);
            delays.push(now - self.sent_at[usize::from(id)]);
        }
        received as u64
    }
}

/// Connections that stay open, and how many queries are under way on each.
const CONNECTIONS: usize = 16;
const PER_CONNECTION: usize = 10;

struct Line {
    server: SocketAddr,
    stream: TcpStream,
    next_id: u16,
    under_way: usize,
    sent_at: Box<[Instant]>,
    /// Octets that the kernel has not taken.
    unsent: Vec<u8>,
    /// Octets received that are no whole message yet.
    inbox: Vec<u8>,
}

/// Asks for `time` over connections that stay open, with some queries always under way on each.
pub(crate) fn run_tcp(server: SocketAddr, queries: &[Vec<u8>], time: Duration) -> Heard {
    let begin = Instant::now();
    let mut lines: Vec<Line> = (0..CONNECTIONS).map(|_| Line::new(server, begin)).collect();
    let mut queries = queries.iter().cycle();
    let (mut heard, mut delays) = (Heard::default(), Vec::new());
    while begin.elapsed() < time {
        for line in &mut lines {
            heard.sent += line.ask(&mut queries);
            heard.answered += line.listen(&mut delays);
        }
    }
    heard.seconds = begin.elapsed().as_secs_f64();
    let end = Instant::now();
    while heard.answered < heard.sent && end.elapsed() < LATE_MAX {
        heard.answered += lines.iter_mut().map(|line| line.listen(&mut delays)).sum::<u64>();
    }
    delays.sort_unstable();
    let at = |part: usize| delays.get(delays.len() * part / 100).copied().unwrap_or_default();
    Heard { p50: at(50), p99: at(99), ..heard }
}

impl Line {
    fn new(server: SocketAddr, now: Instant) -> Self {
        let stream = TcpStream::connect(server).expect("the server answers by TCP too");
        stream.set_nodelay(true).expect("sockets can be told not to wait");
        stream.set_nonblocking(true).expect("sockets can be told not to wait");
        let sent_at = vec![now; 1 << 16].into();
        Self { server, stream, next_id: 0, under_way: 0, sent_at, unsent: Vec::new(), inbox: Vec::new() }
    }

    fn ask<'q>(&mut self, queries: &mut impl Iterator<Item = &'q Vec<u8>>) -> u64 {
        let due = PER_CONNECTION - self.under_way;
        let now = Instant::now();
        for query in queries.take(due) {
            self.unsent.extend_from_slice(&(query.len() as u16).to_be_bytes());
            self.unsent.extend_from_slice(&self.next_id.to_be_bytes());
            self.unsent.extend_from_slice(&query[2..]);
            self.sent_at[usize::from(self.next_id)] = now;
            self.next_id = self.next_id.wrapping_add(1);
        }
        self.under_way += due;
        match self.stream.write(&self.unsent) {
            Ok(written) => drop(self.unsent.drain(..written)),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        due as u64
    }

    fn listen(&mut self, delays: &mut Vec<Duration>) -> u64 {
        let mut room = [0; 1 << 14];
        match self.stream.read(&mut room) {
            // What was under way counts as lost.
            Ok(0) => {
                *self = Self::new(self.server, Instant::now());
                return 0;
            }
            Ok(count) => self.inbox.extend_from_slice(&room[..count]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        let (now, mut taken, mut count) = (Instant::now(), 0, 0);
        while let Some([a, b, rest @ ..]) = self.inbox.get(taken..)
            && let Some([id_a, id_b, ..]) = rest.get(..usize::from(u16::from_be_bytes([*a, *b])))
        {
            delays.push(now - self.sent_at[usize::from(u16::from_be_bytes([*id_a, *id_b]))]);
            taken += 2 + usize::from(u16::from_be_bytes([*a, *b]));
            count += 1;
        }
        self.inbox.drain(..taken);
        self.under_way -= count;
        count as u64
    }
}
