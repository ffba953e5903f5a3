//! `serve`: the wiring of a server, top to bottom, no cleverness. [`Server`] is also what the demo runs.
//!
//! ```text
//!  probing agent --reports--> control task --tables--> UDP workers, TCP tasks
//!       ^                      ^      |
//!       +---- targets ---------|------+     operator's socket, signals --requests--> control task
//! ```
//!
//! Connections of clients have a runtime of their own, so that no crowd of them holds up a verdict.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tracing::{info, warn};

use super::log;
use super::said::{Failure, Outcome, Said};
use crate::agent::chance::Chance;
use crate::agent::run::Snapshot;
use crate::agent::world::Targets;
use crate::answer::respond::Transport;
use crate::clock;
use crate::config::generation::{self, Generation};
use crate::config::{self, Config, Log, LogFormat};
use crate::control;
use crate::control::intake::Intake;
use crate::control::metrics::Metrics;
use crate::control::run::{Control, INBOX_MAX, InForce, Message};
use crate::control::saved::SavedFile;
use crate::control::socket::OperatorSocket;
use crate::credentials::{self, Contents, PublicSide};
use crate::ids::VantageId;
use crate::serve::{
    BindFault, ClientNames, Encrypted, Limits, Listener, Listeners, Running, Settings, descriptors, priority,
};

/// A server at work, with a runtime of its own.
#[derive(Debug)]
pub(super) struct Server {
    /// Dropped last: what runs on it ends with it.
    runtime: Runtime,
    /// What serves the connections of clients.
    clients: Runtime,
    listeners: Running,
    addresses: Vec<SocketAddr>,
    signals: Signals,
    inbox: mpsc::Sender<Message>,
    stop: watch::Sender<bool>,
    control: tokio::task::JoinHandle<()>,
}

/// The signals that a server follows.
#[derive(Debug)]
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// Why a server cannot start.
#[derive(Debug)]
pub(super) enum StartFault {
    /// An address for queries.
    Listen(BindFault),
    /// The address for metrics.
    Metrics(SocketAddr, io::Error),
    /// The address for gauges.
    Gauges(SocketAddr, io::Error),
    /// The operator's socket.
    OperatorSocket(PathBuf, io::Error),
    /// The address or the certificates for agents.
    Agents(String),
    /// The certificate for encrypted transports.
    Certificate(String),
    /// Threads, or the runtime.
    Runtime(io::Error),
}

/// How long a start waits for the first verdicts before it answers; what is not known by then is served.
const FIRST_ROUND_MAX: Duration = Duration::from_secs(3);
/// Snapshots that wait for their turn at most; a full queue drops the oldest, and each is whole. Few, since each has
/// the recent outcomes of every target.
const SNAPSHOTS_MAX: usize = 2;
/// How long an end may take; a probe of a file on a dead share could take for ever.
const STOP_MAX: Duration = Duration::from_secs(2);

impl Server {
    /// Starts answering from `generation`, which was loaded from `path`. The sockets open once every endpoint is
    /// judged, or after [`FIRST_ROUND_MAX`].
    pub(super) fn start(generation: Generation, path: PathBuf) -> Result<Self, StartFault> {
        let runtime = Builder::new_multi_thread().enable_all().build().map_err(StartFault::Runtime)?;
        let clients = client_runtime().map_err(StartFault::Runtime)?;
        let config = Arc::clone(&generation.config);
        let certificate = certificate(&config).map_err(StartFault::Certificate)?;
        let mut settings = settings(&config, certificate.as_ref().map(|(_, side)| side.subscribe()));
        if descriptors::share(&mut settings, descriptors::raise()) {
            warn!("the limit of open files is too low for the connections configured; fewer are taken");
        }
        // A start that must fail for an address fails at once, not after the first round.
        drop(Listeners::bind(&settings).map_err(StartFault::Listen)?);

        let metrics = Arc::new(Metrics::default());
        let (inbox, messages) = mpsc::channel(INBOX_MAX);
        let (stop, stopped) = watch::channel(false);
        let guard = runtime.enter();
        // From here on a signal is taken; before, it would end the process the hard way, a reload's included.
        let signals = Signals::new().map_err(StartFault::Runtime)?;
        let socket = OperatorSocket::bind(&config.server.control_socket)
            .map_err(|error| StartFault::OperatorSocket(config.server.control_socket.clone(), error))?;
        if let Some(address) = config.metrics_listen {
            let listener = runtime
                .block_on(control::http::bind(address))
                .map_err(|error| StartFault::Metrics(address, error))?;
            runtime.spawn(control::http::serve(listener, Arc::clone(&metrics)));
        }
        if let Some(address) = config.gauges_listen {
            let listener = runtime
                .block_on(control::gauges::bind(address))
                .map_err(|error| StartFault::Gauges(address, error))?;
            runtime.spawn(control::gauges::serve(listener, inbox.clone()));
        }
        let saved = SavedFile::inside(&config.server.state_directory);
        let (task, published, in_force) =
            Control::new(generation, path, Arc::clone(&metrics), saved, inbox.clone());
        if let Some(agents) = &config.agents {
            let intake = runtime.block_on(Intake::bind(agents)).map_err(StartFault::Agents)?;
            let (rechecks, metrics) = (task.rechecks(), Arc::clone(&metrics));
            info!(listen = ?intake.address().ok(), "taking agents' reports");
            runtime.spawn(intake.serve(in_force.clone(), rechecks, inbox.clone(), metrics));
        }
        if let Some((contents, side)) = certificate {
            runtime.spawn(follow(&config, contents, side, Arc::clone(&metrics)));
        }
        let control = runtime.spawn(task.run(messages, stopped));
        runtime.spawn(socket.serve(inbox.clone()));
        runtime.spawn(probe(in_force.clone(), inbox.clone()));
        runtime.block_on(first_round(in_force));
        drop(guard);

        let listeners = Listeners::bind(&settings).map_err(StartFault::Listen)?;
        let addresses = listeners.local_addrs();
        for transport in [Transport::Tls, Transport::Https, Transport::Quic] {
            let listen = listeners.encrypted_addrs(transport);
            if !listen.is_empty() {
                info!(%transport, ?listen, "answering over an encrypted transport");
            }
        }
        let listeners = listeners.start(&published, clients.handle()).map_err(StartFault::Runtime)?;
        metrics.of_workers(listeners.registry(), listeners.connection_counts());
        // The task lives as long as this.
        let _ = inbox.blocking_send(Message::Listening(addresses.clone()));
        Ok(Self { runtime, clients, listeners, addresses, signals, inbox, stop, control })
    }

    /// The addresses that queries are taken on, with their real ports.
    #[must_use]
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits for a signal that ends the server; SIGHUP is a reload.
    fn wait(&mut self) {
        let Self { runtime, signals, inbox, .. } = self;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = signals.hangup.recv() => {
                        // The task lives as long as this.
                        let _ = inbox.send(Message::Reload).await;
                    }
                    _ = signals.terminate.recv() => return,
                    _ = signals.interrupt.recv() => return,
                }
            }
        });
    }

    /// Stops answering, then writes what is to be kept.
    pub(super) fn stop(self) {
        self.listeners.stop();
        self.clients.shutdown_timeout(STOP_MAX);
        self.stop.send_replace(true);
        // A control task that panicked has ended the process already.
        let _ = self.runtime.block_on(self.control);
        self.runtime.shutdown_timeout(STOP_MAX);
    }
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Serves the configuration in the file `path` until a signal ends it. With `json` it logs for programs, whatever
/// the configuration says.
pub(super) fn run(path: &Path, json: bool) -> Outcome {
    let (generation, warnings) =
        generation::load(path, clock::wall()).map_err(|found| Failure::faults(&found))?;
    let written = generation.config.log;
    log::start(&Log { format: if json { LogFormat::Json } else { written.format }, ..written });
    for warning in &warnings {
        warn!("{warning}");
    }
    let mut server = Server::start(generation, path.to_owned()).map_err(|fault| {
        log::finish();
        Failure::failed(fault.to_string())
    })?;
    info!(version = env!("CARGO_PKG_VERSION"), listen = ?server.addresses(), "answering");
    server.wait();
    info!("stopping");
    server.stop();
    log::finish();
    Ok(Said { text: String::new(), json: json!({ "done": true }), remarks: Vec::new() })
}

/// A runtime whose threads step back behind all others.
fn client_runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .thread_name("clients")
        .on_thread_start(priority::step_back)
        .enable_all()
        .build()
}

/// What clients of encrypted transports are shown, with the files it was made of.
type Shown = (Contents, watch::Sender<Arc<PublicSide>>);

/// What clients of encrypted transports are shown, if there are to be any.
fn certificate(config: &Config) -> Result<Option<Shown>, String> {
    let Some(certificate) = &config.server.encrypted.certificate else { return Ok(None) };
    let contents = Contents::read(&certificate.files)?;
    let side = PublicSide::new(&contents)?;
    Ok(Some((contents, watch::Sender::new(Arc::new(side)))))
}

/// Follows the certificate's files, and tells when the latest of them ends.
fn follow(
    config: &Config,
    contents: Contents,
    side: watch::Sender<Arc<PublicSide>>,
    metrics: Arc<Metrics>,
) -> impl Future<Output = ()> + Send + use<> {
    let files = config.server.encrypted.certificate.as_ref().map(|certificate| certificate.files.clone());
    let files = files.expect("what is shown was read from files");
    let mut shown = side.subscribe();
    let tell = async move {
        loop {
            metrics.public_certificate(shown.borrow_and_update().expires);
            if shown.changed().await.is_err() {
                return;
            }
        }
    };
    async move {
        tokio::join!(tell, credentials::follow(files, contents, PublicSide::new, side));
    }
}

fn settings(config: &Config, side: Option<watch::Receiver<Arc<PublicSide>>>) -> Settings {
    let server = &config.server;
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let workers = server.workers.and_then(|workers| NonZeroUsize::new(workers.into()));
    let clients = if config.log.shorten_clients { ClientNames::Shortened } else { ClientNames::Whole };
    let encrypted = &server.encrypted;
    Settings {
        listen: server.listen.clone(),
        workers: workers.unwrap_or(cores),
        pin_workers: false,
        tcp: limits(&server.tcp),
        proxies: server.proxies.as_slice().into(),
        encrypted: side.map(|side| Encrypted {
            side,
            tls: listener(&encrypted.tls),
            https: listener(&encrypted.https),
            path: encrypted.path.as_str().into(),
            quic: listener(&encrypted.quic),
        }),
        clients,
    }
}

fn listener(written: &config::Listener) -> Listener {
    Listener { listen: written.listen.clone(), limits: limits(&written.limits) }
}

fn limits(written: &config::Limits) -> Limits {
    Limits {
        connections: written.connections as usize,
        connections_per_client: written.connections_per_address as usize,
        queries: written.queries_per_connection.into(),
        streams: written.streams,
        idle: written.idle_timeout,
        lifetime: written.lifetime,
        ..Limits::default()
    }
}

/// Waits until every endpoint is judged, or for [`FIRST_ROUND_MAX`].
async fn first_round(mut in_force: watch::Receiver<InForce>) {
    let judged = in_force.wait_for(|in_force| in_force.unjudged == 0);
    let timely = tokio::time::timeout(FIRST_ROUND_MAX, judged).await.is_ok();
    if !timely {
        let unjudged = in_force.borrow().unjudged;
        warn!(unjudged, "not every endpoint is judged yet; those are served");
    }
}

/// Probes what is in force, inside this process, and tells the control task. Where vantages are configured, that is
/// the agents' affair, and nothing is probed here.
async fn probe(mut in_force: watch::Receiver<InForce>, inbox: mpsc::Sender<Message>) {
    let first = targets(&in_force.borrow_and_update());
    let current = Arc::new(Mutex::new(first.clone()));
    let (targets_sender, targets_receiver) = watch::channel(first.1);
    let (reports, snapshots) = broadcast::channel(SNAPSHOTS_MAX);
    // Its own failures it rechecks by itself, and there is nobody else here to see any.
    let (_, rechecks) = mpsc::channel(1);
    let (illness, chance) = (Arc::default(), Chance::of_system());
    tokio::spawn(crate::agent::run::run(targets_receiver, reports, rechecks, illness, chance));
    tokio::spawn(forward(snapshots, Arc::clone(&current), inbox));
    let mut number = first.0;
    while in_force.changed().await.is_ok() {
        let latest = in_force.borrow_and_update().clone();
        if latest.number != number {
            number = latest.number;
            let next = targets(&latest);
            *current.lock().unwrap_or_else(PoisonError::into_inner) = next.clone();
            targets_sender.send_replace(next.1);
        }
    }
}

/// What is to be probed, with the number of the configuration that says so.
fn targets(in_force: &InForce) -> (u64, Arc<Targets>) {
    let config = &in_force.config;
    let probed_here = config.vantages.is_empty();
    let targets = Targets {
        probes: config.probes.clone(),
        targets: if probed_here { config.targets.clone() } else { Vec::new() },
        vantage: VantageId(0),
        agent: 0,
    };
    (in_force.number, Arc::new(targets))
}

/// Hands the agent's snapshots on, with the number of the configuration that they are about.
async fn forward(
    mut snapshots: broadcast::Receiver<Arc<Snapshot>>,
    current: Arc<Mutex<(u64, Arc<Targets>)>>,
    inbox: mpsc::Sender<Message>,
) {
    let turns = Arc::new(Semaphore::new(1));
    loop {
        let turn = Arc::clone(&turns).acquire_owned().await.expect("the semaphore is never closed");
        let message = match snapshots.recv().await {
            Ok(snapshot) => {
                let (number, targets) = current.lock().unwrap_or_else(PoisonError::into_inner).clone();
                if !Arc::ptr_eq(&targets, &snapshot.targets) || targets.targets.is_empty() {
                    continue; // A reload overtook it, or others probe.
                }
                Message::Report { number, report: Arc::clone(&snapshot.report), turn }
            }
            Err(broadcast::error::RecvError::Lagged(missed)) => Message::MissedReports(missed),
            Err(broadcast::error::RecvError::Closed) => return,
        };
        if inbox.send(message).await.is_err() {
            return;
        }
    }
}

impl fmt::Display for StartFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(fault) => write!(f, "{fault}"),
            Self::Metrics(address, error) => write!(f, "metrics.listen: {address} cannot be had: {error}"),
            Self::Gauges(address, error) => write!(f, "gauges.listen: {address} cannot be had: {error}"),
            Self::OperatorSocket(path, error) => {
                write!(f, "server.control-socket: {} cannot be bound: {error}", path.display())
            }
            Self::Certificate(fault) => write!(f, "server.tls: {fault}"),
            Self::Agents(fault) => write!(f, "agents: {fault}"),
            Self::Runtime(error) => write!(f, "the server cannot start: {error}"),
        }
    }
}
