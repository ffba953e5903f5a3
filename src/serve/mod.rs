//! The listeners: UDP by one thread per worker and address, TCP on tokio, all in front of one `respond`. They hold
//! sockets and no knowledge of DNS beyond the two octets of length that TCP puts before a message.
//!
//! [`Listeners::bind`] opens every socket or says what is wrong; [`Listeners::start`] answers; [`Running::stop`]
//! ends it. `mmsg` is the one file with `unsafe`.

mod bind;
#[expect(unsafe_code, reason = "recvmmsg and sendmmsg; each use has its proof beside it")]
mod mmsg;
mod tcp;
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
use tokio::task::AbortHandle;
use tracing::warn;

pub use bind::BindFault;
pub use tcp::{ConnectionCounts, TcpLimits};

use crate::answer::count::{Counters, Registry};
use crate::answer::respond::{Action, Transport, respond};
use crate::answer::table::AnswerTable;
use crate::process::handed::{Handed, Label};
use crate::publish::Published;
use bind::Bound;

/// Where and how to listen.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The addresses, each for UDP and TCP. Port 0 stands for any port, the same for both.
    pub listen: Vec<SocketAddr>,
    /// UDP threads and sockets per address; as a rule one per core.
    pub workers: NonZeroUsize,
    /// Whether worker n is bound to processor n. Only of use where the network card's queues are bound likewise.
    pub pin_workers: bool,
    /// What a TCP client may ask of the server.
    pub tcp: TcpLimits,
    /// How clients are named in the log.
    pub clients: ClientNames,
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
    Fn(&AnswerTable, &[u8], IpAddr, Transport, &mut [u8], &Counters) -> Action + Clone + Send + Sync + 'static
{
}

impl<F> Responder for F where
    F: Fn(&AnswerTable, &[u8], IpAddr, Transport, &mut [u8], &Counters) -> Action
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// All sockets, open and not yet answered from. What arrives meanwhile waits in the kernel.
#[derive(Debug)]
pub struct Listeners {
    bound: Vec<Bound>,
    pin_workers: bool,
    tcp: TcpLimits,
    clients: ClientNames,
}

/// The listeners at work. Dropped without [`Running::stop`], they go on for as long as the process.
#[derive(Debug)]
#[must_use = "without it the listeners cannot be stopped"]
pub struct Running {
    stop: Arc<AtomicBool>,
    workers: Vec<thread::JoinHandle<()>>,
    tcp: Arc<tcp::Seats>,
    /// What watches the seats.
    keeper: AbortHandle,
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
        Ok(Self { bound, pin_workers: settings.pin_workers, tcp: settings.tcp, clients: settings.clients })
    }

    /// The addresses listened on, with their real ports, in the order of the settings.
    #[must_use]
    pub fn local_addrs(&self) -> Vec<SocketAddr> {
        self.bound.iter().map(|bound| bound.address).collect()
    }

    /// Answers from what is published: UDP on threads of its own, TCP on `runtime`, whose time and I/O drivers must
    /// be enabled.
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
        let (seats, keeper) = tcp::Seats::open(self.tcp, self.clients, runtime);
        let mut running = Running {
            stop: Arc::default(),
            workers: Vec::new(),
            tcp: seats,
            keeper,
            tasks: Vec::new(),
            registry: Arc::default(),
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
        let office = tcp::Office::new(respond.clone(), Arc::clone(published), running.registry());
        let office = Arc::new(office);
        for bound in self.bound {
            running.copies.extend(bound.copies()?);
            for (number, socket) in bound.udp.into_iter().enumerate() {
                let table = published.reader();
                let worker = udp::Worker {
                    socket,
                    address: bound.address,
                    packet_info: bind::is_wildcard(bound.address),
                    tally: running.registry.enlist(Transport::Udp, table.answer_counters()),
                    table,
                    respond: respond.clone(),
                    stop: Arc::clone(&running.stop),
                    pulse: running.pulse(),
                };
                running.employ(worker, self.pin_workers.then_some(number))?;
            }
            running.tasks.push(tcp::listen(bound.tcp.into(), &running.tcp, &office, runtime)?);
        }
        Ok(())
    }
}

impl Running {
    /// What all workers count: one entry per UDP thread, and per thread that ever answered TCP.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry)
    }

    /// What became of TCP connections so far.
    #[must_use]
    pub fn connections(&self) -> ConnectionCounts {
        self.tcp.counts()
    }

    /// [`Running::connections`] by name, for whoever asks later.
    pub fn connection_counts(&self) -> impl Fn() -> Vec<(&'static str, u64)> + Send + Sync + use<> {
        let seats = Arc::clone(&self.tcp);
        move || {
            let ConnectionCounts { open, accepted, refused, evicted, timed_out, accept_failed } =
                seats.counts();
            vec![
                ("open", open),
                ("accepted", accepted),
                ("refused", refused),
                ("evicted", evicted),
                ("timed-out", timed_out),
                ("accept-failed", accept_failed),
            ]
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

    /// Stops reading from sockets that a successor reads from too, and loses nothing by it: what was received is
    /// answered, connections that wait to be accepted are left to the successor. Takes half a second at most.
    /// [`Running::finish`] comes next.
    pub fn stop_reading(&mut self) {
        self.tasks.drain(..).for_each(|task| task.abort());
        self.stop.store(true, Ordering::Relaxed);
        self.workers.drain(..).for_each(join);
    }

    /// Waits until the last connection has gone, but no longer than `patience`; then all has ended.
    pub async fn finish(self, patience: Duration) {
        let gone = async {
            while self.tcp.counts().open > 0 {
                tokio::time::sleep(LEAVE_LOOK).await;
            }
        };
        // Who stays longer finds the connection closed, as after any idle time.
        let _ = tokio::time::timeout(patience, gone).await;
        self.tcp.close();
        self.keeper.abort();
    }

    /// Ends all listeners and waits for the UDP threads, which takes half a second at most. TCP connections are
    /// closed where they are.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.iter().for_each(AbortHandle::abort);
        self.keeper.abort();
        self.tcp.close();
        self.workers.into_iter().for_each(join);
    }

    fn pulse(&mut self) -> Pulse {
        let pulse = Pulse::default();
        self.pulses.push(Arc::clone(&pulse));
        pulse
    }

    fn employ(&mut self, worker: udp::Worker<impl Responder>, processor: Option<usize>) -> io::Result<()> {
        let thread = thread::Builder::new().name(format!("udp {}", worker.address)).spawn(move || {
            if let Some(processor) = processor
                && let Err(error) = mmsg::pin_to_processor(processor)
            {
                warn!(processor, %error, "a UDP worker cannot be bound to its processor");
            }
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
