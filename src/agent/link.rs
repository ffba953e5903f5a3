//! The link to one server: reports go up, orders come down, each over a connection of its own. What fails is tried
//! again after a pause that grows and is different each time; of reports that could not be sent only the newest
//! is kept, and its ages are those of the moment in which it is sent.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Response, StatusCode, redirect, retry};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};

use super::chance::Chance;
use super::metrics::{Metrics, Sent};
use super::probe::Only;
use super::run::Snapshot;
use crate::clock;
use crate::config::agent::ServerAddress;
use crate::credentials::AgentSide;
use crate::exchange::order::{LINE_OCTETS_MAX, Order, TargetName};
use crate::exchange::report::{Head, write};
use crate::exchange::{ORDERS_PATH, REPORT_PATH};
use crate::time::Moment;

/// The newest snapshot, as it is to be reported.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) snapshot: Arc<Snapshot>,
    /// The names of its targets, by id.
    pub(super) names: Arc<[TargetName]>,
    /// Whether the control targets are reached.
    pub(super) control: Option<bool>,
}

/// A report that is not taken by then would come too late to count.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the first word of a server may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// A server that says nothing for so long is gone: it says something every second.
const SILENCE_MAX: Duration = Duration::from_secs(4);
/// The pause before a second try, at most; it doubles with each further one.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The pause before any try, at most.
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Characters of a server's reason that are logged.
const REASON_CHARS_MAX: usize = 200;

/// Sends the newest of `outgoing` to the server, which is `number` here, until there is no more.
pub(super) async fn report(
    number: usize,
    server: ServerAddress,
    mut side: watch::Receiver<Arc<AgentSide>>,
    mut outgoing: watch::Receiver<Option<Outgoing>>,
    metrics: Arc<Metrics>,
    mut chance: Chance,
) {
    let mut client = client(&server, &side.borrow_and_update());
    let mut uplink = Uplink::default();
    let mut state = LinkState::new(&server.name, "reports");
    let mut pause = Pause::default();
    loop {
        tokio::select! {
            changed = outgoing.changed() => if changed.is_err() { return },
            changed = side.changed() => {
                if changed.is_err() {
                    return;
                }
                client = self::client(&server, &side.borrow_and_update());
                continue;
            }
        }
        let Some(latest) = outgoing.borrow_and_update().clone() else { continue };
        let agent = side.borrow().identity.to_string();
        let sent = send(&server, &client, &latest, agent, uplink.is_lossy()).await;
        let was_lossy = uplink.is_lossy();
        uplink.note(matches!(sent, Err(Unsent::TimedOut)));
        if uplink.is_lossy() != was_lossy {
            metrics.illness().link_turned(uplink.is_lossy());
        }
        metrics.reported(number, Unsent::counted(&sent));
        match sent {
            Ok(()) => {
                pause = Pause::default();
                state.is(Ok(()));
            }
            // The server was reached and does not want this one; the next may be another matter.
            Err(Unsent::Refused(why)) => state.is(Err(why)),
            Err(Unsent::TimedOut) => state.is(Err("timed out".to_owned())),
            Err(Unsent::Failed(why)) => {
                state.is(Err(why));
                sleep(pause.next(&mut chance)).await;
            }
        }
    }
}

/// Hands the orders of the server on, with `number`, which is the server's here, until nobody takes them.
pub(super) async fn listen(
    number: usize,
    server: ServerAddress,
    mut side: watch::Receiver<Arc<AgentSide>>,
    heard: mpsc::Sender<(usize, Order)>,
    mut chance: Chance,
) {
    let mut state = LinkState::new(&server.name, "orders");
    let mut pause = Pause::default();
    loop {
        let client = client(&server, &side.borrow_and_update());
        let why = tokio::select! {
            why = hear(number, &server, &client, &heard, &mut state, &mut pause) => why,
            changed = side.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            () = heard.closed() => return,
        };
        state.is(Err(why));
        sleep(pause.next(&mut chance)).await;
    }
}

/// Why a report was not taken.
enum Unsent {
    TimedOut,
    Refused(String),
    Failed(String),
}

impl Unsent {
    fn counted(sent: &Result<(), Self>) -> Sent {
        match sent {
            Ok(()) => Sent::Taken,
            Err(Self::TimedOut) => Sent::TimedOut,
            Err(Self::Refused(_)) => Sent::Refused,
            Err(Self::Failed(_)) => Sent::Failed,
        }
    }
}

async fn send(
    server: &ServerAddress,
    client: &Result<Client, String>,
    outgoing: &Outgoing,
    agent: String,
    lossy: bool,
) -> Result<(), Unsent> {
    let client = client.as_ref().map_err(|why| Unsent::Failed(why.clone()))?;
    let now = clock::now();
    let report = &outgoing.snapshot.report;
    let head = Head {
        agent,
        clock: now.since(Moment::START),
        control: outgoing.control,
        lagging: report.lagging || lossy,
    };
    let octets = write(report, &head, &outgoing.names, now.since(outgoing.snapshot.made));
    let sending = client.post(url(server, REPORT_PATH)).body(octets).send();
    let response = match timeout(SEND_TIMEOUT, sending).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => return Err(Unsent::Failed(with_causes(&error))),
        Err(_) => return Err(Unsent::TimedOut),
    };
    if response.status() == StatusCode::NO_CONTENT {
        return Ok(());
    }
    Err(Unsent::Refused(reason(response).await))
}

/// Hears orders until the connection ends; why it did.
async fn hear(
    number: usize,
    server: &ServerAddress,
    client: &Result<Client, String>,
    heard: &mpsc::Sender<(usize, Order)>,
    state: &mut LinkState<'_>,
    pause: &mut Pause,
) -> String {
    let client = match client {
        Ok(client) => client,
        Err(why) => return why.clone(),
    };
    let mut response = match timeout(ANSWER_TIMEOUT, client.get(url(server, ORDERS_PATH)).send()).await {
        Ok(Ok(response)) if response.status() == StatusCode::OK => response,
        Ok(Ok(response)) => return reason(response).await,
        Ok(Err(error)) => return with_causes(&error),
        Err(_) => return "timed out".to_owned(),
    };
    let mut line = Vec::new();
    loop {
        let chunk = match timeout(SILENCE_MAX, response.chunk()).await {
            Ok(Ok(Some(chunk))) => chunk,
            Ok(Ok(None)) => return "the server ended the connection".to_owned(),
            Ok(Err(error)) => return with_causes(&error),
            Err(_) => return "the server fell silent".to_owned(),
        };
        let mut parts = chunk.split(|octet| *octet == b'\n');
        line.extend_from_slice(parts.next().unwrap_or_default());
        for part in parts {
            let order = match serde_json::from_slice(&line) {
                Ok(order) => order,
                Err(error) => return format!("an order cannot be read: {error}"),
            };
            state.is(Ok(()));
            *pause = Pause::default();
            if heard.send((number, order)).await.is_err() {
                return "the agent stops".to_owned();
            }
            line = part.to_vec();
        }
        if line.len() > LINE_OCTETS_MAX {
            return format!("an order is longer than {LINE_OCTETS_MAX} octets");
        }
    }
}

fn client(server: &ServerAddress, side: &AgentSide) -> Result<Client, String> {
    Client::builder()
        .tls_backend_preconfigured(side.config.clone())
        .dns_resolver(Only(server.address))
        .user_agent(concat!("rhumb/", env!("CARGO_PKG_VERSION")))
        .http1_only()
        .pool_max_idle_per_host(1)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .build()
        .map_err(|error| with_causes(&error))
}

fn url(server: &ServerAddress, path: &str) -> String {
    match &server.server_name {
        Some(name) => format!("https://{name}:{}{path}", server.address.port()),
        None => format!("https://{}{path}", server.address),
    }
}

/// What a server says of a request that it does not take, bounded.
async fn reason(mut response: Response) -> String {
    let status = response.status();
    let body = timeout(SEND_TIMEOUT, response.chunk()).await.ok().and_then(Result::ok).flatten();
    let text = String::from_utf8_lossy(&body.unwrap_or_default()).into_owned();
    let text = text.trim().chars().filter(|letter| !letter.is_control()).take(REASON_CHARS_MAX);
    format!("{status}: {}", text.collect::<String>())
}

fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |cause| (*cause).source());
    causes.last().map(ToString::to_string).unwrap_or_default()
}

/// The agent's own way to the server, as the last sends tell it: where half of them time out, what it sees may be
/// its own loss too. Refused connections are no loss: a server that restarts must find its agents' votes again.
#[derive(Clone, Copy, Debug, Default)]
struct Uplink(u8);

impl Uplink {
    fn note(&mut self, timed_out: bool) {
        self.0 = self.0 << 1 | u8::from(timed_out);
    }

    fn is_lossy(self) -> bool {
        self.0.count_ones() * 2 >= u8::BITS
    }
}

/// Pauses between tries: up to twice as long each time, and never two agents in step.
#[derive(Clone, Copy, Debug)]
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(PAUSE_MIN)
    }
}

impl Pause {
    fn next(&mut self, chance: &mut Chance) -> Duration {
        let most = self.0;
        self.0 = (most * 2).min(PAUSE_MAX);
        most.mul_f64(0.5 + chance.ratio() / 2.0)
    }
}

/// Whether the link stands, so that each change is logged once.
struct LinkState<'n> {
    server: &'n str,
    what: &'static str,
    known: Option<Result<(), String>>,
}

impl<'n> LinkState<'n> {
    fn new(server: &'n str, what: &'static str) -> Self {
        Self { server, what, known: None }
    }

    fn is(&mut self, state: Result<(), String>) {
        if self.known.as_ref() == Some(&state) {
            return;
        }
        let Self { server, what, .. } = self;
        match &state {
            Ok(()) => tracing::info!(server, "{what}: the link stands"),
            Err(why) => tracing::warn!(server, why, "{what}: the link is down"),
        }
        self.known = Some(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_uplink_is_lossy_while_half_of_the_last_sends_time_out() {
        let mut uplink = Uplink::default();
        for _ in 0..3 {
            uplink.note(true);
        }
        assert!(!uplink.is_lossy());
        uplink.note(true);
        assert!(uplink.is_lossy());
        for _ in 0..4 {
            assert!(uplink.is_lossy());
            uplink.note(false);
        }
        uplink.note(false);
        assert!(!uplink.is_lossy());
    }

    #[test]
    fn pauses_grow_to_their_limit_and_differ() {
        let mut pause = Pause::default();
        let mut chance = Chance::seeded(3);
        let pauses: Vec<_> = (0..20).map(|_| pause.next(&mut chance)).collect();
        assert!(pauses[0] <= PAUSE_MIN && pauses[0] >= PAUSE_MIN / 2);
        assert!(pauses[10..].iter().all(|pause| *pause <= PAUSE_MAX && *pause >= PAUSE_MAX / 2));
        assert_ne!(pauses[18], pauses[19]);
    }
}
