//! Resolvers that ask a server, cache what they are told and hand it on. What is counted is how long they hand
//! out an address that does not work. They cost nothing while no answer changes: when one does, each asks at the
//! next of the times at which it would have asked anyway.

use std::net::IpAddr;
use std::time::Duration;

use super::build::{client, region_of};
use crate::agent::chance::Chance;
use crate::answer::steering::Variant;
use crate::answer::table::AnswerTable;
use crate::ids::ServiceId;
use crate::time::Moment;
use crate::wire::code::RecordType;

/// How a resolver treats TTLs. The parts are those that were measured in the wild, see docs/evidence.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Keeps to them.
    Honest,
    /// Keeps nothing: asks for each client.
    Cacheless,
    /// Keeps everything for at least [`EXTENDED`].
    Extends,
    /// Keeps an answer for [`PINNED`].
    Pins,
}

const EXTENDED: Duration = Duration::from_secs(300);
const PINNED: Duration = Duration::from_secs(3600);
/// Between two clients of a resolver that keeps nothing.
const CLIENTS_EVERY: Duration = Duration::from_millis(500);

/// What a resolver holds of a service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    /// The region that the address it holds stands for.
    pub(super) region: Option<usize>,
    asked_at: Moment,
    kept: Duration,
    /// It will ask at this moment, which is in the world's queue.
    pub(super) asks_at: Option<Moment>,
}

/// A resolver.
pub(super) struct Resolver {
    pub(super) server: usize,
    address: IpAddr,
    habit: Habit,
    /// By service.
    pub(super) held: Vec<Held>,
}

impl Resolver {
    pub(super) fn new(
        number: usize,
        regions: usize,
        servers: usize,
        services: usize,
        chance: &mut Chance,
    ) -> Self {
        let habit = match chance.ratio() {
            ..0.30 => Habit::Cacheless,
            ..0.387 => Habit::Extends,
            ..0.40 => Habit::Pins,
            _ => Habit::Honest,
        };
        // As if each had asked at some moment of the steady TTL before the start.
        let mut held = || Held {
            region: None,
            asked_at: Moment::START,
            kept: Duration::from_millis(chance.bits() % 30_000),
            asks_at: None,
        };
        Self {
            held: (0..services).map(|_| held()).collect(),
            server: number % servers,
            address: client(number % regions, number / regions),
            habit,
        }
    }

    /// An answer changed: when it notices.
    pub(super) fn asks_next(&mut self, service: usize, now: Moment) -> Option<Moment> {
        let held = &mut self.held[service];
        if held.asks_at.is_some() {
            return None;
        }
        let kept = held.kept.max(Duration::from_millis(1));
        let rounds = now.since(held.asked_at).as_nanos() / kept.as_nanos() + 1;
        held.asks_at = Some(held.asked_at + kept.saturating_mul(u32::try_from(rounds).unwrap_or(u32::MAX)));
        held.asks_at
    }

    /// Asks and keeps the answer. Gives the region that it hands out from now on.
    pub(super) fn ask(&mut self, service: usize, table: &AnswerTable, now: Moment) -> Option<usize> {
        let (region, ttl) = given(table, service, self.address).unzip();
        let ttl = Duration::from_secs(ttl.unwrap_or(1).into());
        let kept = match self.habit {
            Habit::Honest => ttl,
            Habit::Cacheless => CLIENTS_EVERY,
            Habit::Extends => ttl.max(EXTENDED),
            Habit::Pins => PINNED,
        };
        self.held[service] = Held { region, asked_at: now, kept, asks_at: None };
        region
    }
}

/// The region and the TTL that a client is given first, if any.
pub(super) fn given(table: &AnswerTable, service: usize, client: IpAddr) -> Option<(usize, u32)> {
    let steering = table.service(ServiceId::from_index(service));
    let steered = steering.steer(table.tree(steering.map), client, RecordType::A);
    addresses(steered.variant).next()
}

/// How many octets an address record of a steered answer has: a pointer, type, class, TTL, length, address.
const RECORD_OCTETS: usize = 16;

/// The region of every address of a variant, and its TTL.
pub(super) fn addresses(variant: &Variant) -> impl Iterator<Item = (usize, u32)> + '_ {
    let records = variant.records.iter().filter(|(rtype, ..)| *rtype == RecordType::A);
    records.flat_map(|(_, _, octets)| octets.chunks_exact(RECORD_OCTETS)).map(|record| {
        let four = |at: usize| [record[at], record[at + 1], record[at + 2], record[at + 3]];
        (region_of(four(12)), u32::from_be_bytes(four(6)))
    })
}
