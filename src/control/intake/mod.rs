//! Where agents report and get their orders: HTTPS, where both sides show certificates. An agent's certificate says
//! who it is and where it stands, and nothing it says itself counts beside it. Everything has a limit: connections,
//! handshakes, octets of heads and bodies, time.
//!
//! Not here: what a report means (`health`), or how connections are taken ([`connections`]).

mod connections;
mod known;
mod memory;
mod orders;
mod refusal;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio::time::timeout;

use self::connections::Peer;
use self::known::Known;
use self::memory::Memory;
use self::refusal::Refusal;
use super::arrival::Stamp;
use super::metrics::Metrics;
use super::run::{INBOX_MAX, InForce, Message, Rechecks};
use crate::clock;
use crate::config::Agents;
use crate::credentials::{self, Contents, ServerSide};
use crate::exchange::identity::Identity;
use crate::exchange::report::{REPORT_OCTETS_MAX, open};
use crate::exchange::{ORDERS_PATH, REPORT_PATH};
use crate::health::board::AGENTS_MAX;
use crate::health::outcome::Report;

/// The intake, bound and with its certificates read.
#[derive(Debug)]
pub struct Intake {
    listener: TcpListener,
    agents: Agents,
    contents: Contents,
    side: ServerSide,
}

/// What all connections share.
#[derive(Debug)]
struct Shared {
    known: watch::Receiver<Arc<Known>>,
    /// The lines that make agents probe again.
    rechecks: broadcast::Sender<Bytes>,
    inbox: mpsc::Sender<Message>,
    metrics: Arc<Metrics>,
    /// What is remembered of each agent between two of its reports.
    memories: Mutex<HashMap<Identity, Arc<Mutex<Memory>>>>,
    /// Taken for each outcome in the reports that wait in the inbox.
    turns: Arc<Semaphore>,
}

/// How many outcomes wait for the control task at most, in the reports of all agents: what is late is worth nothing,
/// and the next report says it all again. Some 60 MB; a thousand agents in step, with a quarter of a thousand targets
/// probed anew, take a quarter of it.
const OUTCOMES_WAITING_MAX: u32 = 1 << 20;
/// A report that waits counts as so many outcomes at least, so that reports cannot fill the inbox, which operators
/// share.
const OUTCOMES_COUNTED_MIN: u32 = 2 * OUTCOMES_WAITING_MAX / INBOX_MAX as u32;
/// Agents that are remembered between two of their reports, those that are gone among them; then all are forgotten,
/// and the next report of each is read whole.
const MEMORIES_MAX: usize = AGENTS_MAX * 2;
/// How long the body of a report may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

impl Intake {
    /// Reads the certificates, to take reports at `listener`. Within a runtime.
    ///
    /// # Errors
    /// When a file is at fault, or the runtime does not take the listener.
    pub fn new(agents: &Agents, listener: StdListener) -> Result<Self, String> {
        let contents = Contents::read(&agents.files)?;
        let side = ServerSide::new(&contents)?;
        let taken = listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener));
        let listener = taken.map_err(|error| error.to_string())?;
        Ok(Self { listener, agents: agents.clone(), contents, side })
    }

    /// The address that is listened on, with its real port.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves agents until it is dropped.
    pub async fn serve(
        self,
        in_force: watch::Receiver<InForce>,
        rechecks: broadcast::Sender<Rechecks>,
        inbox: mpsc::Sender<Message>,
        metrics: Arc<Metrics>,
    ) {
        let first = {
            let in_force = in_force.borrow();
            Arc::new(Known::new(in_force.number, &in_force.config))
        };
        let (known_sender, known) = watch::channel(first);
        let (side_sender, side) = watch::channel(Arc::new(self.side));
        let turns = Arc::new(Semaphore::new(OUTCOMES_WAITING_MAX as usize));
        let lines = orders::recheck_lines();
        let write_rechecks = orders::write_rechecks(rechecks.subscribe(), known.clone(), lines.clone());
        let shared = Shared { known, rechecks: lines, inbox, metrics, memories: Mutex::default(), turns };
        tokio::join!(
            known::follow(in_force, known_sender),
            write_rechecks,
            credentials::follow(self.agents.files, self.contents, ServerSide::new, side_sender),
            connections::accept(self.listener, side, Arc::new(shared)),
        );
    }
}

fn router(shared: Arc<Shared>, peer: Arc<Peer>) -> Router {
    Router::new()
        .route(REPORT_PATH, post(report))
        .route(ORDERS_PATH, get(orders::orders))
        .layer(Extension(peer))
        .with_state(shared)
}

async fn report(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Arc<Peer>>,
    body: Body,
) -> Response {
    match shared.take(&peer.identity, body).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(refusal) => {
            shared.metrics.refused_report(refusal.reason());
            tracing::debug!(agent = %peer.identity, %refusal, "a report was refused");
            (refusal.status(), format!("{refusal}\n")).into_response()
        }
    }
}

impl Shared {
    /// Takes a report of `identity`, or says why not.
    async fn take(&self, identity: &Identity, body: Body) -> Result<(), Refusal> {
        let octets = timeout(BODY_TIMEOUT, to_bytes(body, REPORT_OCTETS_MAX)).await;
        let octets = octets.map_err(|_| Refusal::Slow)?.map_err(|error| Refusal::of_body(&error))?;
        let now = clock::now();
        let known = self.known.borrow().clone();
        let vantage = known.vantage(&identity.vantage).ok_or(Refusal::UnknownVantage)?;
        let opened = open(&octets)?;
        if opened.head.agent != identity.to_string() {
            return Err(Refusal::OtherAgent);
        }
        let stamp = Stamp { boot: opened.boot, number: opened.number, clock: opened.head.clock };
        let memory = self.memory(identity);
        let mut memory = lock(&memory);
        memory.check_time(stamp, now)?;
        memory.begin(known.number, stamp.boot);
        let place = (vantage, identity.agent);
        let received = opened.read(place, |position, name| memory.find(position, name, &known))?;
        self.metrics.unknown_targets(received.unknown);
        let report = Arc::new(received.report);
        let turn = Arc::clone(&self.turns).try_acquire_many_owned(weight(&report));
        let turn = turn.map_err(|_| Refusal::Busy)?;
        let message = Message::Report { number: known.number, report: Arc::clone(&report), turn };
        self.inbox.try_send(message).map_err(|_| Refusal::Busy)?;
        memory.taken(&report.targets);
        Ok(())
    }

    fn memory(&self, identity: &Identity) -> Arc<Mutex<Memory>> {
        let mut memories = lock(&self.memories);
        if let Some(known) = memories.get(identity) {
            return Arc::clone(known);
        }
        // Identities come from certificates of our own authority, so this is a bound and no defence.
        if memories.len() >= MEMORIES_MAX {
            memories.clear();
        }
        Arc::clone(memories.entry(identity.clone()).or_default())
    }
}

/// How many outcomes a report counts as while it waits. The longest report of all may still have its turn.
fn weight(report: &Report) -> u32 {
    let outcomes: usize = report.targets.iter().map(|entry| 1 + entry.outcomes.len()).sum();
    u32::try_from(outcomes).unwrap_or(u32::MAX).clamp(OUTCOMES_COUNTED_MIN, OUTCOMES_WAITING_MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
