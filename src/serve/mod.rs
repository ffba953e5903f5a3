//! The listeners: UDP by one thread per worker and address, TCP and the encrypted transports on tokio, all in front of
//! one `respond`. They hold sockets and little knowledge of DNS: the two octets of length that a stream puts before a
//! message, and what [`skim`] reads.
//!
//! [`Listeners::bind`] opens every socket or says what is wrong; [`Listeners::start`] answers; [`Running::stop`]
//! ends it. `mmsg` is the one file with `unsafe`.

mod accept;
mod bind;
mod closing;
pub mod descriptors;
mod framed;
pub mod https;
#[expect(unsafe_code, reason = "recvmmsg and sendmmsg; each use has its proof beside it")]
mod mmsg;
mod office;
mod phase;
mod proxy;
mod quic;
mod quic_socket;
mod seats;
pub mod skim;
mod turns;
mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::warn;

pub use bind::BindFault;
pub use seats::{ConnectionCounts, Limits};

use crate::answer::count::{Counters, Registry};
use crate::answer::respond::{Action, Envelope, Transport, respond};
use crate::answer::table::AnswerTable;
use crate::credentials::PublicSide;
use crate::net::Prefix;
use crate::process::handed::{Handed, Label};
use crate::process::priority;
use crate::publish::Published;
use accept::Speech;
use bind::{Bound, BoundEncrypted};
use office::Office;
use seats::Seats;

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The addresses, each for UDP and TCP. Port 0 stands for any port, the same for both.
    pub listen: Vec<SocketAddr>,
    /// UDP threads and sockets per address; as a rule one per core.
    pub workers: NonZeroUsize,
    /// Whether worker n is bound to processor n. Only of use where the network card's queues are bound likewise.
    pub pin_workers: bool,
    /// What the clients by TCP may take up.
    pub tcp: Limits,
    /// Networks of load balancers: whatever comes from there begins with who the client is, but for QUIC.
    pub proxies: Arc<[Prefix]>,
    /// The encrypted transports, if any.
    pub encrypted: Option<Encrypted>,
    /// How clients are named in the log.
    pub clients: ClientNames,
    /// What limited replies tell networks apart by; nobody outside may know it.
    pub network_key: [u8; 16],
}

/// Where and how to listen for encrypted queries.
#[derive(Clone, Debug)]
pub struct Encrypted {
    /// What clients are shown; new connections see its latest.
    pub side: watch::Receiver<Arc<PublicSide>>,
    /// DNS over TLS.
    pub tls: Listener,
    /// DNS over HTTPS.
    pub https: Listener,
    /// The path at which messages are taken by HTTPS.
    pub path: Arc<str>,
    /// DNS over QUIC.
    pub quic: Listener,
}

/// One encrypted transport.
#[derive(Clone, Debug, Default)]
pub struct Listener {
    /// The addresses; none where it is not served.
    pub listen: Vec<SocketAddr>,
    /// What its clients may take up.
    pub limits: Limits,
}

/// How clients are named in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientNames {
    /// By their /24 or /48: enough to see where trouble comes from, too little to tell who asked.
    #[default]
    Shortened,
    /// By their address.
    Whole,
}

impl ClientNames {
    /// The client's name.
    #[must_use]
    pub fn shown(self, client: IpAddr) -> String {
        match self {
            Self::Whole => client.to_string(),
            Self::Shortened => {
                let length = if client.is_ipv4() { 24 } else { 48 };
                format!("{}/{length}", crate::net::truncate(client, length))
            }
        }
    }
}

/// What answers a message: [`respond`], or its stand-in in a test of the sockets.
pub trait Responder:
    Fn(&AnswerTable, &[u8], Envelope, &mut [u8], &Counters) -> Action + Clone + Send + Sync + 'static
{
}

impl<F> Responder for F where
    F: Fn(&AnswerTable, &[u8], Envelope, &mut [u8], &Counters) -> Action + Clone + Send + Sync + 'static
{
}

/// All sockets, open and not yet answered from. What arrives meanwhile waits in the kernel.
#[derive(Debug)]
pub struct Listeners {
    bound: Vec<Bound>,
    encrypted: Vec<BoundEncrypted>,
    settings: Settings,
}

/// The listeners at work. Dropped without [`Running::stop`], they go on for as long as the process.
#[derive(Debug)]
#[must_use = "without it the listeners cannot be stopped"]
pub struct Running {
    stop: Arc<AtomicBool>,
    workers: Vec<thread::JoinHandle<()>>,
    seats: Vec<(Transport, Arc<Seats>)>,
    /// What watches the seats.
    keepers: Vec<AbortHandle>,
    /// What takes connections.
    tasks: Vec<AbortHandle>,
    registry: Arc<Registry>,
    pulses: Vec<Pulse>,
    copies: Vec<(Label, OwnedFd)>,
}

/// Grows as long as a worker goes round, whether there are queries or not.
type Pulse = Arc<AtomicU64>;

/// How often it is looked whether the last connection has gone.
const LEAVE_LOOK: Duration = Duration::from_millis(20);

impl Listeners {
    /// Opens all sockets, or none.
    ///
    /// # Errors
    /// The first address that cannot be had, why, and what would be right.
    pub fn bind(settings: &Settings) -> Result<Self, BindFault> {
        Self::obtain(settings, &mut Handed::default())
    }

    /// [`Listeners::bind`], but sockets that were handed over for an address of the settings are taken instead.
    ///
    /// # Errors
    /// As [`Listeners::bind`].
    pub fn obtain(settings: &Settings, handed: &mut Handed) -> Result<Self, BindFault> {
        let bound = bind::bind_all(&settings.listen, settings.workers, handed)?;
        let mut encrypted = Vec::new();
        for (transport, listener) in settings.encrypted.iter().flat_map(Encrypted::listeners) {
            encrypted.extend(bind::bind_encrypted(&listener.listen, transport, handed)?);
        }
        Ok(Self { bound, encrypted, settings: settings.clone() })
    }

    /// The addresses listened on by UDP and TCP, with their real ports, in the order of the settings.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.bound.iter().map(|bound| bound.address).collect()
    }

    /// The addresses listened on by an encrypted transport, with their real ports.
    #[must_use]
    pub fn encrypted_addrs(&self, transport: Transport) -> Vec<SocketAddr> {
        let of_transport = self.encrypted.iter().filter(|bound| bound.transport == transport);
        of_transport.map(|bound| bound.address).collect()
    }

    /// Answers from what is published: UDP on threads of its own, all else on `runtime`, whose time and I/O drivers
    /// must be enabled.
    ///
    /// # Errors
    /// When a thread cannot be started, or the runtime does not take a socket.
    pub fn start(self, published: &Arc<Published>, runtime: &Handle) -> io::Result<Running> {
        self.start_with(respond, published, runtime)
    }

    /// [`Listeners::start`] with another responder.
    ///
    /// # Errors
    /// As [`Listeners::start`].
    pub fn start_with(
        self,
        respond: impl Responder,
        published: &Arc<Published>,
        runtime: &Handle,
    ) -> io::Result<Running> {
        let mut running = Running {
            stop: Arc::default(),
            workers: Vec::new(),
            seats: Vec::new(),
            keepers: Vec::new(),
            tasks: Vec::new(),
            registry: Arc::new(Registry::new(self.settings.network_key)),
            pulses: Vec::new(),
            copies: Vec::new(),
        };
        match self.launch(&mut running, respond, published, runtime) {
            Ok(()) => Ok(running),
            Err(error) => {
                running.stop();
                Err(error)
            }
        }
    }

    fn launch(
        self,
        running: &mut Running,
        respond: impl Responder,
        published: &Arc<Published>,
        runtime: &Handle,
    ) -> io::Result<()> {
        let Self { bound, encrypted, settings } = self;
        let office = |running: &Running, transport| {
            let registry = running.registry();
            Arc::new(Office::new(respond.clone(), transport, Arc::clone(published), registry))
        };
        let door = |running: &mut Running, transport, limits, speech| {
            Arc::new(accept::Door {
                seats: running.seat(transport, limits, settings.clients, runtime),
                office: office(running, transport),
                proxies: Arc::clone(&settings.proxies),
                speech,
            })
        };
        let plain = door(running, Transport::Tcp, settings.tcp, Speech::Plain);
        for bound in bound {
            running.copies.extend(bound.copies()?);
            for (number, socket) in bound.udp.into_iter().enumerate() {
                let table = published.reader();
                let worker = udp::Worker {
                    socket,
                    address: bound.address,
                    packet_info: bind::is_wildcard(bound.address),
                    proxies: Arc::clone(&settings.proxies),
                    tally: running.registry.enlist(Transport::Udp, table.answer_counters()),
                    table,
                    respond: respond.clone(),
                    stop: Arc::clone(&running.stop),
                    pulse: running.pulse(),
                };
                running.employ(worker, settings.pin_workers.then_some(number))?;
            }
            running.tasks.push(accept::listen(bound.tcp.into(), &plain, runtime)?);
        }
        let Some(side) = &settings.encrypted else { return Ok(()) };
        let tls = door(running, Transport::Tls, side.tls.limits, Speech::Tls(side.side.clone()));
        let speech = Speech::Https(side.side.clone(), Arc::clone(&side.path));
        let https = door(running, Transport::Https, side.https.limits, speech);
        let quic = Arc::new(quic::Door {
            seats: running.seat(Transport::Quic, side.quic.limits, settings.clients, runtime),
            office: office(running, Transport::Quic),
            stop: Arc::clone(&running.stop),
        });
        for bound in encrypted {
            running.copies.push(bound.copy()?);
            let socket = bound.socket;
            running.tasks.push(match bound.transport {
                Transport::Tls => accept::listen(socket.into(), &tls, runtime)?,
                Transport::Https => accept::listen(socket.into(), &https, runtime)?,
                _ => quic::listen(socket.into(), &quic, side.side.clone(), runtime)?,
            });
        }
        Ok(())
    }
}

impl Encrypted {
    fn listeners(&self) -> [(Transport, &Listener); 3] {
        [(Transport::Tls, &self.tls), (Transport::Https, &self.https), (Transport::Quic, &self.quic)]
    }
}

impl Running {
    /// What all workers count: one entry per UDP thread, and per thread that ever answered TCP.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }

    /// What became of the connections of one transport so far.
    #[must_use]
    pub fn connections(&self, transport: Transport) -> ConnectionCounts {
        let of_transport = self.seats.iter().find(|(of, _)| *of == transport);
        of_transport.map(|(_, seats)| seats.counts()).unwrap_or_default()
    }

    /// [`Running::connections`] of every transport by name, for whoever asks later.
    pub fn connection_counts(
        &self,
    ) -> impl Fn() -> Vec<(Transport, &'static str, u64)> + Send + Sync + use<> {
        let seats = self.seats.clone();
        move || {
            let named = seats.iter().flat_map(|(transport, seats)| {
                seats.counts().named().map(|(what, count)| (*transport, what, count))
            });
            named.collect()
        }
    }

    /// Takes the copies of the sockets that a successor is to be handed. What is read from them is missing here.
    pub fn take_copies(&mut self) -> Vec<(Label, OwnedFd)> {
        std::mem::take(&mut self.copies)
    }

    /// One number per UDP worker, which grows at least every half second while the worker is well.
    pub fn pulses(&self) -> impl Fn() -> Vec<u64> + Send + Sync + use<> {
        let pulses = self.pulses.clone();
        move || pulses.iter().map(|pulse| pulse.load(Ordering::Relaxed)).collect()
    }

    /// Stops reading from sockets that a successor reads from too. By UDP and TCP nothing is lost: what was received
    /// is answered, connections that wait to be accepted are left to the successor, open ones go on. Those by QUIC
    /// are closed, since all of them share a socket. Takes half a second at most. [`Running::finish`] comes next.
    pub fn stop_reading(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.drain(..).for_each(|task| task.abort());
        self.seats_of(Transport::Quic).for_each(Seats::close);
        self.workers.drain(..).for_each(join);
    }

    /// Waits until the last connection has gone, but no longer than `patience`; then all has ended.
    pub async fn finish(self, patience: Duration) {
        let gone = async {
            while self.seats.iter().any(|(_, seats)| seats.counts().open > 0) {
                tokio::time::sleep(LEAVE_LOOK).await;
            }
        };
        // Who stays longer finds the connection closed, as after any idle time.
        let _ = tokio::time::timeout(patience, gone).await;
        self.stop();
    }

    /// Ends all listeners and waits for the UDP threads, which takes half a second at most. Connections are closed
    /// where they are.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.iter().chain(&self.keepers).for_each(AbortHandle::abort);
        self.seats.iter().for_each(|(_, seats)| seats.close());
        self.workers.into_iter().for_each(join);
    }

    fn seats_of(&self, transport: Transport) -> impl Iterator<Item = &Seats> {
        self.seats.iter().filter(move |(of, _)| *of == transport).map(|(_, seats)| &**seats)
    }

    fn pulse(&mut self) -> Pulse {
        let pulse = Pulse::default();
        self.pulses.push(Arc::clone(&pulse));
        pulse
    }

    fn seat(
        &mut self,
        transport: Transport,
        limits: Limits,
        clients: ClientNames,
        runtime: &Handle,
    ) -> Arc<Seats> {
        let (seats, keeper) = Seats::open(transport, limits, clients, runtime);
        self.seats.push((transport, Arc::clone(&seats)));
        self.keepers.push(keeper);
        seats
    }

    fn employ(&mut self, worker: udp::Worker<impl Responder>, processor: Option<usize>) -> io::Result<()> {
        let thread = thread::Builder::new().name(format!("udp {}", worker.address)).spawn(move || {
            if let Some(processor) = processor
                && let Err(error) = mmsg::pin_to_processor(processor)
            {
                warn!(processor, %error, "a UDP worker cannot be bound to its processor");
            }
            priority::take_short_turns();
            worker.run();
        })?;
        self.workers.push(thread);
        Ok(())
    }
}

fn join(worker: thread::JoinHandle<()>) {
    if worker.join().is_err() {
        warn!("a UDP worker had panicked");
    }
}

#[cfg(test)]
mod tests;
