//! `serve`: the wiring of a server, top to bottom, no cleverness. [`Server`] is also what the demo runs.
//!
//! ```text
//!  probing agent --reports--> control task --tables--> UDP workers, TCP tasks
//!       ^                      ^      |
//!       +---- targets ---------|------+     operator's socket, signals --requests--> control task
//! ```
//!
//! Connections of clients have a runtime of their own, so that no crowd of them holds up a verdict.

mod opened;
mod settings;
mod watchdog;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio::task::AbortHandle;
use tracing::{info, warn};

use self::opened::{Local, Opened};
use super::said::{Failure, Outcome, Said};
use super::{Configuration, check, log};
use crate::agent::chance::Chance;
use crate::agent::record::Telling;
use crate::agent::run::Snapshot;
use crate::agent::world::Targets;
use crate::answer::respond::Transport;
use crate::clock;
use crate::config::generation::{self, Generation};
use crate::config::probe::ProbeKind;
use crate::config::{self, Config, Log, LogFormat};
use crate::control;
use crate::control::intake::Intake;
use crate::control::metrics::Metrics;
use crate::control::run::{Control, INBOX_MAX, InForce, Message, Watched};
use crate::control::saved::SavedFile;
use crate::control::socket::Heirs;
use crate::control::succession::{Successor, TAKE_OVER_WITHIN};
use crate::ids::VantageId;
use crate::process::handed::Estate;
use crate::process::supervisor::Supervisor;
use crate::process::{self, HardenFault, Needs, heap, panics, priority};
use crate::serve::descriptors::TooFew;
use crate::serve::{BindFault, Running};

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
    /// A successor is there.
    left: watch::Sender<bool>,
    /// What takes connections other than queries.
    takers: Vec<AbortHandle>,
    arrivals: mpsc::Receiver<Successor>,
    control: tokio::task::JoinHandle<()>,
    supervisor: Supervisor,
    /// Held as long as the server lives.
    _state_lock: std::fs::File,
}

/// The signals that a server follows.
#[derive(Debug)]
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

/// What `serve` is told.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    configuration: Configuration,
    /// Take over from the server that runs with this configuration, without losing a query: it ends once this one
    /// answers. Where none runs, start as usual.
    #[arg(long)]
    take_over: bool,
}

/// Why a server cannot start.
#[derive(Debug)]
pub(super) enum StartFault {
    /// The limit of open files.
    Descriptors(TooFew),
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
    /// The folder of the state.
    StateDirectory(PathBuf, io::Error),
    /// The sockets of a supervisor.
    Environment(io::Error),
    /// The sockets of a predecessor.
    TakeOver(io::Error),
    /// What must be given up, or kept.
    Harden(HardenFault),
    /// Threads, or the runtime.
    Runtime(io::Error),
    /// A signal ended it before it answered; no fault.
    Ended,
}

/// How long a start waits for the first verdicts before it answers; what is not known by then is served.
const FIRST_ROUND_MAX: Duration = Duration::from_secs(3);
/// Snapshots that wait for their turn at most; a full queue drops the oldest, and the next tells what it told.
const SNAPSHOTS_MAX: usize = 2;
/// How long an end may take; a probe of a file on a dead share could take for ever.
const STOP_MAX: Duration = Duration::from_secs(2);
/// How long clients' connections may last after a successor has taken over: as long as an idle one lasts by default.
const FINISH_MAX: Duration = Duration::from_secs(10);

impl Server {
    /// Starts answering from `generation`, which was loaded from `path`, without anything given up.
    pub(super) fn start(generation: Generation, path: PathBuf) -> Result<Self, StartFault> {
        let opened = Opened::new(&generation.config, false)?;
        Self::begin(generation, path, opened, Watched::default())
    }

    /// Starts answering at sockets that are open already. Until every endpoint is judged, or for
    /// [`FIRST_ROUND_MAX`], queries wait, unless something is known of an earlier life.
    fn begin(
        generation: Generation,
        path: PathBuf,
        mut opened: Opened,
        watched: Watched,
    ) -> Result<Self, StartFault> {
        let runtime = Builder::new_multi_thread()
            .on_thread_start(priority::give_way)
            .enable_all()
            .build()
            .map_err(StartFault::Runtime)?;
        let clients = client_runtime().map_err(StartFault::Runtime)?;
        let config = Arc::clone(&generation.config);
        if opened.fewer_connections {
            warn!("the limit of open files is too low for the connections configured; fewer are taken");
        }
        let local = opened.local(&config)?;
        let metrics = Arc::new(Metrics::default());
        let (inbox, messages) = mpsc::channel(INBOX_MAX);
        let (stop, stopped) = watch::channel(false);
        let (left, leaving) = watch::channel(false);
        let (successors, arrivals) = mpsc::channel(1);
        let guard = runtime.enter();
        // From here on a signal is taken; before, it would end the process the hard way, a reload's included.
        let mut signals = Signals::new().map_err(StartFault::Runtime)?;
        let estate = Estate::default();
        estate.add(opened.copies(&config).map_err(StartFault::Runtime)?);
        estate.add(local.copies().map_err(StartFault::Runtime)?);
        let Local { operator, state_lock, predecessor } = local;
        let heirs = Heirs { estate: estate.clone(), successors, patience: TAKE_OVER_WITHIN };
        let mut operator = Some(operator.serve(inbox.clone(), heirs, leaving));
        // A predecessor serves operators as long as it answers queries.
        if predecessor.is_none() {
            operator.take().into_iter().for_each(|operator| drop(runtime.spawn(operator)));
        }

        let mut takers = Vec::new();
        if let Some(listener) = opened.metrics {
            takers.push(runtime.spawn(control::http::serve(listener, metrics.shown())).abort_handle());
        }
        if let Some(listener) = opened.gauges {
            takers.push(runtime.spawn(control::gauges::serve(listener, inbox.clone())).abort_handle());
        }
        let saved = SavedFile::inside(&config.server.state_directory);
        let (pulse, supervisor) = (Arc::clone(&watched.pulse), watched.supervisor.clone());
        // It compiles everything, which a predecessor's workers are not to wait for.
        let (task, published, in_force) = priority::giving_way(|| {
            Control::new(generation, path, Arc::clone(&metrics), saved, inbox.clone(), watched)
        });
        if let (Some(agents), Some(listener)) = (&config.agents, opened.agents) {
            let intake = Intake::new(agents, listener).map_err(StartFault::Agents)?;
            let (rechecks, metrics) = (task.rechecks(), Arc::clone(&metrics));
            info!(listen = ?intake.address().ok(), "taking agents' reports");
            let intake = intake.serve(in_force.clone(), rechecks, inbox.clone(), metrics);
            takers.push(runtime.spawn(intake).abort_handle());
        }
        let remembers = task.remembers();
        if let Some(shown) = opened.shown {
            runtime.spawn(shown.follow(Arc::clone(&metrics)));
        }
        let control = runtime.spawn(task.run(messages, stopped));
        runtime.spawn(probe(in_force.clone(), inbox.clone()));
        if !remembers && !runtime.block_on(first_round(in_force, &mut signals)) {
            runtime.shutdown_timeout(STOP_MAX);
            return Err(StartFault::Ended);
        }
        drop(guard);

        let addresses = opened.listeners.local_addrs();
        let mut listening: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        for transport in [Transport::Tls, Transport::Https, Transport::Quic] {
            let listen = opened.listeners.encrypted_addrs(transport);
            if !listen.is_empty() {
                info!(%transport, ?listen, "answering over an encrypted transport");
            }
            listening.extend(listen.iter().map(|address| format!("{address} ({transport})")));
        }
        let mut listeners =
            opened.listeners.start(&published, clients.handle()).map_err(StartFault::Runtime)?;
        // Workers, whom this thread was ahead for, have been started.
        priority::no_longer_ahead();
        estate.add(listeners.take_copies());
        metrics.of_workers(listeners.registry(), listeners.connection_counts());
        // The task lives as long as this.
        let _ = inbox.blocking_send(Message::Listening(listening));
        opened::dismiss(predecessor);
        operator.into_iter().for_each(|operator| drop(runtime.spawn(operator)));
        runtime.spawn(watchdog::watch(supervisor.clone(), pulse, listeners.pulses()));
        supervisor.ready();
        Ok(Self {
            runtime,
            clients,
            listeners,
            addresses,
            signals,
            inbox,
            stop,
            left,
            takers,
            arrivals,
            control,
            supervisor,
            _state_lock: state_lock,
        })
    }

    /// The addresses that queries are taken on, with their real ports.
    #[must_use]
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Waits for what ends the server: a signal, or a successor that answers in its place. SIGHUP is a reload.
    fn wait(&mut self) -> Option<Successor> {
        let Self { runtime, signals: Signals { hangup, terminate, interrupt }, inbox, arrivals, .. } = self;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = hangup.recv() => {
                        // The task lives as long as this.
                        let _ = inbox.send(Message::Reload).await;
                    }
                    Some(successor) = arrivals.recv() => return Some(successor),
                    _ = terminate.recv() => return None,
                    _ = interrupt.recv() => return None,
                }
            }
        })
    }

    /// Stops answering, then writes what is to be kept.
    pub(super) fn stop(self) {
        self.supervisor.stopping();
        self.listeners.stop();
        self.clients.shutdown_timeout(STOP_MAX);
        self.stop.send_replace(true);
        // A control task that panicked has ended the process already.
        let _ = self.runtime.block_on(self.control);
        self.runtime.shutdown_timeout(STOP_MAX);
    }

    /// Leaves the sockets to a successor: stops reading, then finishes what is open. The verdicts are the successor's
    /// to write, and the supervisor is its to speak to.
    fn leave(mut self, successor: Successor) {
        self.left.send_replace(true);
        self.takers.iter().for_each(AbortHandle::abort);
        self.listeners.stop_reading();
        if let Err(error) = successor.left() {
            warn!(%error, "the successor has gone already");
        }
        info!("a successor answers; finishing the open connections");
        self.runtime.block_on(self.listeners.finish(FINISH_MAX));
        self.clients.shutdown_timeout(STOP_MAX);
        self.stop.send_replace(true);
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

    /// Waits for a signal that ends the server.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Serves the configuration that is named until a signal or a successor ends it. With `json` it logs for programs,
/// whatever the configuration says.
pub(super) fn run(arguments: &Arguments, json: bool) -> Outcome {
    panics::end_process(json);
    heap::return_what_is_freed();
    let path = arguments.configuration.path();
    let (generation, warnings) =
        generation::load(path, clock::wall()).map_err(|found| Failure::faults(&found))?;
    generation.plan.places().for_each(heap::into_large_pages);
    let config = Arc::clone(&generation.config);
    // A fault of the configuration does not heal by trying again, which the exit code tells the supervisor. Warnings of
    // certificates come from whoever follows them.
    check::beside(&config, clock::wall()).map_err(|faults| Failure::faults(&faults))?;
    let format = if json { LogFormat::Json } else { config.log.format };
    panics::end_process(format == LogFormat::Json);
    let failed = |fault: StartFault| {
        log::finish();
        Failure::failed(fault.to_string())
    };
    // In this order, and before the first thread: opening may need root, and what is given up holds for threads that
    // start later.
    let opened = Opened::new(&config, arguments.take_over).map_err(failed)?;
    priority::permit_going_ahead();
    let hardened = process::harden(&config.hardening, &needs(path, &config))
        .map_err(|fault| failed(StartFault::Harden(fault)))?;
    log::start(&Log { format, ..config.log });
    for warning in &warnings {
        warn!("{}", warning.in_one_line());
    }
    log::hardened(&hardened);
    let supervisor = Supervisor::of_environment();
    let watched = Watched { supervisor, pulse: Arc::default(), confined: hardened.confined };
    let mut server = match Server::begin(generation, path.to_owned(), opened, watched) {
        Ok(server) => server,
        Err(StartFault::Ended) => return Ok(done()),
        Err(fault) => return Err(failed(fault)),
    };
    info!(version = env!("CARGO_PKG_VERSION"), listen = ?server.addresses(), "answering");
    match server.wait() {
        Some(successor) => server.leave(successor),
        None => {
            info!("stopping");
            server.stop();
        }
    }
    Ok(done())
}

fn done() -> Said {
    log::finish();
    Said { text: String::new(), json: json!({ "done": true }), remarks: Vec::new() }
}

/// What a server goes on needing of the file system.
fn needs(path: &Path, config: &Config) -> Needs {
    let server = &config.server;
    let socket = server.control_socket.parent().map(Path::to_owned);
    let written = socket.into_iter().chain([server.state_directory.clone()]);
    Needs {
        files: config::files::of_server(path, config),
        folders: config::files::folders_of_server(config),
        written: written
            .map(|folder| if folder.as_os_str().is_empty() { ".".into() } else { folder })
            .collect(),
    }
}

/// A runtime whose threads step back behind all others: one more than there are processors, since connections work by
/// turns, and one thread has none.
fn client_runtime() -> io::Result<Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    Builder::new_multi_thread()
        .worker_threads(processors + 1)
        .thread_name("clients")
        .on_thread_start(priority::step_back)
        .enable_all()
        .build()
}

/// Waits until every endpoint is judged, or for [`FIRST_ROUND_MAX`]; false when a signal ends the server before.
async fn first_round(mut in_force: watch::Receiver<InForce>, signals: &mut Signals) -> bool {
    let judged = in_force.wait_for(|in_force| in_force.unjudged == 0);
    let timely = tokio::select! {
        judged = tokio::time::timeout(FIRST_ROUND_MAX, judged) => judged.is_ok(),
        () = signals.end() => return false,
    };
    if !timely {
        let unjudged = in_force.borrow().unjudged;
        warn!(unjudged, "not every endpoint is judged yet; those are served");
    }
    true
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
    let (metrics, chance) = (Arc::default(), Chance::of_system());
    tokio::spawn(crate::agent::run::run(targets_receiver, Telling::News, reports, rechecks, metrics, chance));
    tokio::spawn(forward(snapshots, Arc::clone(&current), inbox));
    let mut number = first.0;
    while in_force.changed().await.is_ok() {
        let latest = in_force.borrow_and_update().clone();
        if latest.number != number {
            number = latest.number;
            let mut present = current.lock().unwrap_or_else(PoisonError::into_inner);
            // Thousands of targets are made ready anew only where they are others.
            let next =
                if is_of(&present.1, &latest.config) { Arc::clone(&present.1) } else { targets(&latest).1 };
            *present = (number, Arc::clone(&next));
            drop(present);
            targets_sender.send_replace(next);
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

/// Whether these targets are what a configuration has probed here, and nothing else is read for them.
fn is_of(targets: &Targets, config: &Config) -> bool {
    let probed: &[_] = if config.vantages.is_empty() { &config.targets } else { &[] };
    let mut kinds = config.probes.iter().map(|probe| &probe.kind);
    targets.targets == probed && targets.probes == config.probes && !kinds.any(ProbeKind::reads_certificates)
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
            Self::Descriptors(fault) => write!(f, "{fault}"),
            Self::Listen(fault) => write!(f, "{fault}"),
            Self::Metrics(address, error) => write!(f, "metrics.listen: {address} cannot be had: {error}"),
            Self::Gauges(address, error) => write!(f, "gauges.listen: {address} cannot be had: {error}"),
            Self::OperatorSocket(path, error) => {
                write!(f, "server.control-socket: {} cannot be bound: {error}", path.display())
            }
            Self::Certificate(fault) => write!(f, "server.tls: {fault}"),
            Self::Agents(fault) => write!(f, "agents: {fault}"),
            Self::StateDirectory(path, error) => {
                write!(f, "server.state-directory: {} cannot be used: {error}", path.display())
            }
            Self::Environment(error) => write!(f, "the sockets of the supervisor cannot be used: {error}"),
            Self::TakeOver(error) => {
                write!(f, "the server that runs here did not hand over, and goes on: {error}")
            }
            Self::Harden(fault) => write!(f, "{fault}"),
            Self::Ended => f.write_str("a signal ended the start"),
            Self::Runtime(error) => write!(f, "the server cannot start: {error}"),
        }
    }
}
