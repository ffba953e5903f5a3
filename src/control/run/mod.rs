//! The one task that owns the state: it takes what agents and operators send, steps, publishes, tells.
//!
//! ```text
//!  agents ------ Message::Report --->+           +---> Published (the workers renew)
//!  operator ---- Message::Operator ->|  control  |---> log, metrics, verdict file
//!  SIGHUP ------ Message::Reload --->|           |---> InForce (what agents are to probe)
//!  loader ------ Message::Loaded --->+           +---> the operator's answer
//! ```
//!
//! Files are read beside it, so that verdicts go on while a large zone loads.

mod challenges;
mod save;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, broadcast, mpsc, oneshot, watch};
use tokio::task;
use tracing::{error, info, warn};

use crate::answer::signed::SignedZone;
use crate::answer::table::AnswerTable;
use crate::clock;
use crate::config::Config;
use crate::config::generation::{self, Generation, Loaded};
use crate::control::gauges;
use crate::control::metrics::Metrics;
use crate::control::news::News;
use crate::control::request::{Request, Response};
use crate::control::saved::SavedFile;
use crate::control::secret;
use crate::control::state::{Effects, Event, State};
use crate::control::tell;
use crate::fault::Fault;
use crate::health::outcome::Report;
use crate::ids::{TargetId, ZoneId};
use crate::name::Name;
use crate::process::supervisor::Supervisor;
use crate::process::{Confined, heap, priority};
use crate::publish::Published;
use crate::time::Moment;
use crate::wire::cookie::Secret;

/// What is sent to the task.
#[derive(Debug)]
pub enum Message {
    /// An agent tells what it sees.
    Report {
        /// The configuration whose targets it counts: [`InForce::number`].
        number: u64,
        /// What it sees.
        report: Arc<Report>,
        /// Given back when the report was taken, so that no agent fills the inbox with more of what is large.
        turn: OwnedSemaphorePermit,
    },
    /// So many reports were missed because they came too fast.
    MissedReports(u64),
    /// An operator asks.
    Operator(Request, oneshot::Sender<Response>),
    /// Read everything anew; nobody waits for the answer.
    Reload,
    /// What [`Control`] reads beside itself came to this.
    Loaded(Box<Loaded>),
    /// Queries are taken on these addresses from now on; behind those of an encrypted transport stands which.
    Listening(Vec<String>),
    /// What [`Control`] writes beside itself is written, or not.
    Saved(io::Result<()>),
    /// A successor is about to read the verdicts: write them, say so, and write no more.
    HandOver(oneshot::Sender<()>),
    /// The successor did not come.
    KeepOn,
    /// What [`Control`] signs beside itself is signed: zones of the configuration of that number.
    Resigned(u64, Vec<(ZoneId, Result<Arc<SignedZone>, String>)>),
}

/// The configuration in force, for those who probe.
#[derive(Clone, Debug)]
pub struct InForce {
    /// Counts configurations.
    pub number: u64,
    /// The configuration.
    pub config: Arc<Config>,
    /// How many probed endpoints are not judged yet.
    pub unjudged: usize,
}

/// What every agent should probe again at once.
#[derive(Clone, Debug)]
pub struct Rechecks {
    /// The configuration whose targets are counted.
    pub number: u64,
    /// The targets.
    pub targets: Arc<[TargetId]>,
}

/// How many messages wait at most; agents are slowed before the task falls behind further.
pub const INBOX_MAX: usize = 1024;
/// Messages that are taken at a time: what came meanwhile is judged together.
const TOGETHER_MAX: usize = 64;
/// How many rechecks wait for an agent's connection; what is dropped is probed in its turn.
pub(super) const RECHECKS_MAX: usize = 256;
/// How often tables that nobody holds any more are freed, and what should be on disk is written.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// The task's belongings.
#[derive(Debug)]
pub struct Control {
    pub(super) state: State,
    /// Where the configuration is read from again.
    path: PathBuf,
    published: Arc<Published>,
    in_force: watch::Sender<InForce>,
    rechecks: broadcast::Sender<Rechecks>,
    /// What agents are to be told to probe again.
    news: News,
    pub(super) metrics: Arc<Metrics>,
    saved: SavedFile,
    /// When verdicts are to be written next.
    save_due: Moment,
    /// When they were written last, or began to be.
    save_began: Moment,
    /// They are being written.
    saving: bool,
    /// A successor writes from now on.
    handed_over: bool,
    /// The last time they could be written; a fault of the disk is told when it begins and when it ends.
    save_works: bool,
    /// The configuration that the process was started with: some of it holds until the process ends.
    started_with: Arc<Config>,
    /// The addresses that queries are taken on; none before the sockets are open.
    listening: Vec<String>,
    /// Those who wait for the load under way.
    loading: Option<Vec<oneshot::Sender<Response>>>,
    /// Those who asked while it was under way: what it reads may be older than what they mean.
    waiting: Vec<oneshot::Sender<Response>>,
    reload_again: bool,
    watched: Watched,
    /// What cookies are made with where the configuration names no secrets; kept over reloads.
    secret: Secret,
    /// Zones are being signed anew.
    pub(super) resigning: bool,
    /// Those who set or cleared challenges at a name, and wait until these are in force.
    pub(super) challenging: Vec<(Name, oneshot::Sender<Response>)>,
    /// Zones that could not be signed anew, and why: told once.
    pub(super) unsigned: BTreeMap<Name, String>,
    /// For the loader to answer by.
    pub(super) inbox: mpsc::Sender<Message>,
}

/// Who watches over the task, and what it must not touch any more.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// Who is told of reloads.
    pub supervisor: Supervisor,
    /// Grows at least every second while the task is well.
    pub pulse: Arc<AtomicU64>,
    /// Where alone files can be read, where something holds that.
    pub confined: Option<Confined>,
}

impl Control {
    /// The task for a generation that was just loaded from `path`, and what it publishes. Verdicts of an earlier
    /// life are taken from `saved`.
    pub fn new(
        mut generation: Generation,
        path: PathBuf,
        metrics: Arc<Metrics>,
        saved: SavedFile,
        inbox: mpsc::Sender<Message>,
        watched: Watched,
    ) -> (Self, Arc<Published>, watch::Receiver<InForce>) {
        let secret = Secret::new(secret::made_up());
        generation.lend_secret(secret);
        let started_with = Arc::clone(&generation.config);
        let (verdicts, age) = saved.read(clock::wall());
        let state = State::new(generation, &verdicts, age, clock::now());
        let published = Arc::new(Published::new(Arc::clone(state.table())));
        let (in_force, followed) = watch::channel(in_force(&state));
        metrics.follow(&state);
        let control = Self {
            state,
            path,
            published: Arc::clone(&published),
            in_force,
            rechecks: broadcast::Sender::new(RECHECKS_MAX),
            news: News::new(clock::now()),
            metrics,
            saved,
            save_due: clock::now() + save::EVERY,
            save_began: Moment::START,
            saving: false,
            handed_over: false,
            save_works: true,
            started_with,
            listening: Vec::new(),
            loading: None,
            waiting: Vec::new(),
            reload_again: false,
            watched,
            secret,
            resigning: false,
            challenging: Vec::new(),
            unsigned: BTreeMap::new(),
            inbox,
        };
        (control, published, followed)
    }

    /// Where it tells what every agent should probe again at once.
    #[must_use]
    pub fn rechecks(&self) -> broadcast::Sender<Rechecks> {
        self.rechecks.clone()
    }

    /// Whether something is known of an earlier life.
    #[must_use]
    pub fn remembers(&self) -> bool {
        !self.state.board().saved(clock::now()).is_empty()
    }

    /// Takes messages until every sender but its own is told to stop; then writes what is to be kept.
    pub async fn run(mut self, mut messages: mpsc::Receiver<Message>, mut stop: watch::Receiver<bool>) {
        let mut housekeeping = clock::now() + HOUSEKEEPING;
        let mut came = Vec::with_capacity(TOGETHER_MAX);
        loop {
            let now = clock::now();
            self.watched.pulse.fetch_add(1, Ordering::Relaxed);
            let wakes = [self.state.wake(), self.news.due(), self.save_wake(), Some(housekeeping)];
            let wake = wakes.into_iter().flatten().min().expect("there is always housekeeping");
            tokio::select! {
                count = messages.recv_many(&mut came, TOGETHER_MAX) => match count {
                    0 => break,
                    _ => self.take_all(came.drain(..)),
                },
                () = tokio::time::sleep(wake.since(now)) => {
                    let now = clock::now();
                    self.step(Event::Tick, now);
                    self.tell_news(now);
                    if housekeeping <= now {
                        housekeeping = now + HOUSEKEEPING;
                        self.keep_house();
                    }
                    self.save_when_due(now);
                }
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        if !self.handed_over {
            self.save_last().await;
        }
    }

    /// Takes messages in their order, and reports that follow each other together.
    fn take_all(&mut self, messages: impl Iterator<Item = Message>) {
        let (mut generation, mut reports, mut turns) = (0, Vec::new(), Vec::new());
        for message in messages {
            match message {
                Message::Report { number, report, turn } => {
                    if number != generation {
                        self.take_reports(generation, std::mem::take(&mut reports));
                    }
                    generation = number;
                    reports.push(report);
                    turns.push(turn);
                }
                other => {
                    self.take_reports(generation, std::mem::take(&mut reports));
                    self.take(other);
                }
            }
        }
        self.take_reports(generation, reports);
    }

    fn take_reports(&mut self, generation: u64, reports: Vec<Arc<Report>>) {
        if reports.is_empty() {
            return;
        }
        if generation == self.state.number() {
            let config = &self.state.generation().config;
            reports.iter().for_each(|report| self.metrics.report(report, config));
        }
        self.step(Event::Reports { generation, reports }, clock::now());
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Report { .. } => unreachable!("reports are taken together"),
            Message::MissedReports(count) => self.metrics.missed_reports(count),
            Message::Reload => self.reload(None),
            Message::Loaded(loaded) => self.loaded(*loaded),
            Message::Listening(addresses) => self.listening = addresses,
            Message::Saved(result) => self.saved(result),
            Message::HandOver(reply) => self.hand_over(reply),
            Message::KeepOn => self.handed_over = false,
            Message::Resigned(generation, zones) => self.resigned(generation, zones),
            Message::Operator(Request::Reload, reply) => self.reload(Some(reply)),
            Message::Operator(Request::SetChallenge { name, token, seconds }, reply) => {
                let set = self.set_challenge(&name, &token, seconds);
                self.answer_challenger(set, reply);
            }
            Message::Operator(Request::ClearChallenge { name, token }, reply) => {
                let cleared = self.clear_challenge(&name, token);
                self.answer_challenger(cleared, reply);
            }
            Message::Operator(request, reply) => {
                let response = self.answer(request);
                // Whoever asked may have gone.
                let _ = reply.send(response);
            }
        }
    }

    fn answer(&mut self, request: Request) -> Response {
        match request {
            Request::Status => {
                let status = tell::status(&self.state, &self.listening, clock::now());
                Response::Status(Box::new(status))
            }
            Request::Explain { name, rtype, client, down } => {
                tell::explain(&self.state, &name, &rtype, client, &down)
            }
            Request::FailBack { service, region } => {
                match tell::waiting_endpoints(&self.state, &service, region.as_deref()) {
                    Ok(endpoints) => {
                        let count = endpoints.len();
                        self.step(Event::AllowFailBack(endpoints), clock::now());
                        Response::FailBackAllowed { endpoints: count }
                    }
                    Err(fault) => Response::Failed { faults: vec![fault] },
                }
            }
            Request::Gauges { told } => match gauges::meanings(&self.state.generation().config, &told) {
                Ok(meanings) => {
                    let gauges = meanings.len();
                    self.step(Event::Gauges(meanings), clock::now());
                    Response::GaugesTold { gauges }
                }
                Err(faults) => Response::Failed { faults },
            },
            Request::Reload | Request::SetChallenge { .. } | Request::ClearChallenge { .. } => {
                unreachable!("what is done beside is answered when it is done")
            }
            Request::TakeOver => unreachable!("the socket hands over"),
        }
    }

    /// Puts a table in force that differs in nothing that verdicts are about.
    fn publish(&mut self, table: Option<Arc<AnswerTable>>) {
        if let Some(table) = table {
            self.published.publish(table);
            self.metrics.follow(&self.state);
        }
    }

    pub(super) fn step(&mut self, event: Event, now: Moment) {
        let effects = self.state.step(event, now);
        if effects.table.is_some() {
            self.metrics.built(clock::now().since(now));
        }
        self.follow(effects);
    }

    fn follow(&mut self, effects: Effects) {
        let Effects { table, change, refused, .. } = effects;
        let is_new = table.is_some();
        if let Some(table) = table {
            self.published.publish(table);
            self.save_soon(clock::now());
        }
        refused.into_iter().for_each(|refused| self.metrics.refused(refused));
        if !change.rechecks.is_empty() {
            self.news.add(&change.rechecks);
            self.tell_news(clock::now());
        }
        self.metrics.late_outcomes(change.late);
        tell::log(&change, &self.state);
        if is_new || change.touches_answers() || !change.notices.is_empty() {
            self.metrics.follow(&self.state);
        }
        let unjudged = self.state.board().unjudged();
        if self.in_force.borrow().unjudged != unjudged {
            self.in_force.send_modify(|in_force| in_force.unjudged = unjudged);
        }
    }

    fn tell_news(&mut self, now: Moment) {
        if let Some(targets) = self.news.take(now) {
            // Without agents there is nobody to tell.
            let _ = self.rechecks.send(Rechecks { number: self.state.number(), targets: targets.into() });
        }
    }

    fn reload(&mut self, reply: Option<oneshot::Sender<Response>>) {
        if self.loading.is_some() {
            self.waiting.extend(reply);
            self.reload_again = true;
            return;
        }
        self.loading = Some(reply.into_iter().collect());
        self.watched.supervisor.reloading();
        let (path, inbox) = (self.path.clone(), self.inbox.clone());
        let signed = self.state.table().signed_zones().map(Arc::clone).collect();
        task::spawn_blocking(move || {
            let loaded = priority::stepped_back(|| {
                let loaded = generation::reload(&path, clock::wall(), signed);
                loaded.inspect(|(generation, _)| generation.plan.places().for_each(heap::into_large_pages))
            });
            // The task has gone only when the process ends.
            let _ = inbox.blocking_send(Message::Loaded(Box::new(loaded)));
        });
    }

    fn loaded(&mut self, loaded: Loaded) {
        let response = match loaded {
            Ok((mut generation, warnings)) => {
                generation.lend_secret(self.secret);
                generation.keep_limits_of(&self.started_with);
                self.put_in_force(generation, &warnings)
            }
            Err(mut faults) => {
                if let Some(confined) = &self.watched.confined {
                    faults.iter_mut().for_each(|fault| explain(fault, confined));
                }
                for fault in &faults {
                    error!("{}", fault.in_one_line());
                }
                error!("the reload failed; what was in force stays in force");
                self.metrics.reloaded(false);
                Response::Failed { faults: faults.iter().map(ToString::to_string).collect() }
            }
        };
        for reply in self.loading.take().into_iter().flatten() {
            let _ = reply.send(response.clone());
        }
        self.watched.supervisor.ready();
        if std::mem::take(&mut self.reload_again) {
            self.reload(None);
            self.loading = Some(std::mem::take(&mut self.waiting));
        }
    }

    fn put_in_force(&mut self, generation: Generation, warnings: &[Fault]) -> Response {
        for warning in warnings {
            warn!("{}", warning.in_one_line());
        }
        let mut warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
        for key in tell::needs_restart(&self.started_with, &generation.config) {
            warn!(key, "is new, but takes a restart");
            warnings.push(format!("warning: {key} is new, but takes a restart"));
        }
        self.metrics.renumber_targets(&self.state.generation().config, &generation.config);
        // Compiling every service takes a while with thousands of them; the other tasks go on.
        task::block_in_place(|| self.step(Event::Reload(Box::new(generation)), clock::now()));
        self.news = News::new(clock::now());
        self.in_force.send_replace(in_force(&self.state));
        self.metrics.follow(&self.state);
        self.metrics.reloaded(true);
        let generation = self.state.table().generation();
        info!(generation, "the new configuration is live");
        Response::Reloaded { generation, warnings }
    }

    fn keep_house(&mut self) {
        self.published.reap();
        // Parts that do not vote change without changing a verdict.
        if !self.state.generation().config.derived.is_empty() {
            self.metrics.follow(&self.state);
        }
        self.keep_signed();
    }
}

/// A file that cannot be reached since the start is no matter of its mode, whatever the system says.
fn explain(fault: &mut Fault, confined: &Confined) {
    if let Some(why) = fault.unopened.as_deref().and_then(|file| confined.forbids(file)) {
        fault.help = why;
    }
}

fn in_force(state: &State) -> InForce {
    InForce {
        number: state.number(),
        config: Arc::clone(&state.generation().config),
        unjudged: state.board().unjudged(),
    }
}
