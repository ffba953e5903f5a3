//! `serve`: the wiring of a server, top to bottom, no cleverness. [`Server`] is also what the demo runs.
//!
//! ```text
//!  probing agent --reports--> control task --tables--> UDP workers, TCP tasks
//!       ^                      ^      |
//!       +---- targets ---------|------+     operator's socket, signals --requests--> control task
//! ```

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
use crate::clock;
use crate::config::generation::{self, Generation};
use crate::config::{Config, Log, LogFormat};
use crate::control;
use crate::control::intake::Intake;
use crate::control::metrics::Metrics;
use crate::control::run::{Control, INBOX_MAX, InForce, Message};
use crate::control::saved::SavedFile;
use crate::control::socket::OperatorSocket;
use crate::ids::VantageId;
use crate::publish::Published;
use crate::serve::{BindFault, ClientNames, Listeners, Running, Settings, TcpLimits};

/// A server at work, with a runtime of its own.
#[derive(Debug)]
pub(super) struct Server {
    /// Dropped last: what runs on it ends with it.
    runtime: Runtime,
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
    /// The operator's socket.
    OperatorSocket(PathBuf, io::Error),
    /// The address or the certificates for agents.
    Agents(String),
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
        let config = Arc::clone(&generation.config);
        // A start that must fail for an address fails at once, not after the first round.
        drop(Listeners::bind(&settings(&config)).map_err(StartFault::Listen)?);

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
        let saved = SavedFile::inside(&config.server.state_directory);
        let (task, published, in_force) =
            Control::new(generation, path, Arc::clone(&metrics), saved, inbox.clone());
        if let Some(agents) = &config.agents {
            let intake = runtime.block_on(Intake::bind(agents)).map_err(StartFault::Agents)?;
            let (rechecks, metrics) = (task.rechecks(), Arc::clone(&metrics));
            info!(listen = ?intake.address().ok(), "taking agents' reports");
            runtime.spawn(intake.serve(in_force.clone(), rechecks, inbox.clone(), metrics));
        }
        let control = runtime.spawn(task.run(messages, stopped));
        runtime.spawn(socket.serve(inbox.clone()));
        runtime.spawn(probe(in_force.clone(), inbox.clone()));
        runtime.block_on(first_round(in_force));
        drop(guard);

        let (listeners, addresses) = listen(&config, &published, &runtime)?;
        metrics.of_workers(listeners.registry(), listeners.connection_counts());
        // The task lives as long as this.
        let _ = inbox.blocking_send(Message::Listening(addresses.clone()));
        Ok(Self { runtime, listeners, addresses, signals, inbox, stop, control })
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

fn listen(
    config: &Config,
    published: &Arc<Published>,
    runtime: &Runtime,
) -> Result<(Running, Vec<SocketAddr>), StartFault> {
    let listeners = Listeners::bind(&settings(config)).map_err(StartFault::Listen)?;
    let addresses = listeners.local_addrs();
    let running = listeners.start(published, runtime.handle()).map_err(StartFault::Runtime)?;
    Ok((running, addresses))
}

fn settings(config: &Config) -> Settings {
    let server = &config.server;
    let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let workers = server.workers.and_then(|workers| NonZeroUsize::new(workers.into()));
    let tcp = TcpLimits {
        connections: server.tcp.connections as usize,
        connections_per_client: server.tcp.connections_per_address as usize,
        idle: server.tcp.idle_timeout,
        ..TcpLimits::default()
    };
    let clients = if config.log.shorten_clients { ClientNames::Shortened } else { ClientNames::Whole };
    Settings {
        listen: server.listen.clone(),
        workers: workers.unwrap_or(cores),
        pin_workers: false,
        tcp,
        clients,
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
    tokio::spawn(crate::agent::run::run(targets_receiver, reports, rechecks, Chance::of_system()));
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
            Self::OperatorSocket(path, error) => {
                write!(f, "server.control-socket: {} cannot be bound: {error}", path.display())
            }
            Self::Agents(fault) => write!(f, "agents: {fault}"),
            Self::Runtime(error) => write!(f, "the server cannot start: {error}"),
        }
    }
}
