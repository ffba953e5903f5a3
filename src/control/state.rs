//! The pure heart of the server: the one owner of what changes, and the one way for an answer to change. An
//! event goes in with the time; what came of it comes out, the next table among it. No sockets, clocks, logs.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::challenge::{Challenge, ChallengeBook, ChallengeFault};
use crate::answer::compile::{CounterNumbers, Plan, Standings};
use crate::answer::compile_signed::DueZone;
use crate::answer::signed::SignedZone;
use crate::answer::table::AnswerTable;
use crate::config::generation::Generation;
use crate::dnssec::signatures::Signatures;
use crate::health::board::{Board, Refusal};
use crate::health::evidence::Change;
use crate::health::machine::SavedVerdict;
use crate::health::outcome::{Failure, Report};
use crate::health::verdict::{Share, Standing, State as Verdict};
use crate::ids::{EndpointId, RegionId, ServiceId, TargetId, ZoneId};
use crate::name::Name;
use crate::policy::map::Class;
use crate::time::{Moment, WallTime};
use std::time::Duration;

/// Something that may change an answer.
#[derive(Debug)]
pub enum Event {
    /// Agents tell what they see. Reports that came together are judged together: what a target's agents say anew
    /// is weighed once, however many of them say it.
    Reports {
        /// The generation whose targets the reports count; of another one they mean nothing.
        generation: u64,
        /// What they see.
        reports: Vec<Arc<Report>>,
    },
    /// Somebody outside tells what gauges show: what it means for each target.
    Gauges(Vec<(TargetId, Result<Share, Failure>)>),
    /// Time has passed.
    Tick,
    /// The configuration, a zone or a database is new.
    Reload(Box<Generation>),
    /// A person sets a challenge, which was checked against the names that are served.
    SetChallenge(Challenge),
    /// A person takes away the challenges at a name, or the one with the token.
    ClearChallenge(Name, Option<String>),
    /// A person lets endpoints come back that wait for it.
    AllowFailBack(Vec<EndpointId>),
    /// The time of day, told now and then where zones are signed: signatures that are due are made anew.
    Daytime(WallTime),
    /// Zones that were signed anew beside.
    Resigned {
        /// The configuration whose zones they are; of another one they mean nothing.
        generation: u64,
        /// The zones.
        zones: Vec<(ZoneId, Arc<SignedZone>)>,
    },
}

/// What came of an event.
#[derive(Debug, Default)]
pub struct Effects {
    /// The table that is to be answered from now on.
    pub table: Option<Arc<AnswerTable>>,
    /// What changed of what is believed.
    pub change: Change,
    /// Why reports were not taken.
    pub refused: Vec<Refused>,
    /// Why a challenge was not set.
    pub challenge_fault: Option<ChallengeFault>,
}

/// Why a report was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is about the targets of another generation: a reload overtook it.
    OtherGeneration,
    /// The board refused it.
    Board(Refusal),
}

/// All that is in force.
#[derive(Debug)]
pub struct State {
    generation: Generation,
    /// Counts reloads, so that reports of an earlier one are told apart.
    number: u64,
    board: Board,
    table: Arc<AnswerTable>,
    counters: CounterNumbers,
    challenges: ChallengeBook,
    service_of: Vec<ServiceId>,
    signing: Signing,
}

/// What signing carries from table to table.
#[derive(Debug)]
struct Signing {
    signatures: Signatures,
    /// When the first signature of a service's answers is due.
    due: Option<WallTime>,
    /// Services whose answers after the loss of a region are to be signed ahead; it is done when nothing else is.
    ahead: BTreeSet<ServiceId>,
    /// The time of day, and when it was told.
    daytime: (WallTime, Moment),
}

/// How many services are signed ahead at once, so that no verdict waits for long.
const AHEAD_AT_ONCE: usize = 16;

impl Signing {
    /// The time of day at `now`, by what was told of it last.
    fn daytime(&self, now: Moment) -> WallTime {
        let (told, at) = self.daytime;
        WallTime(told.0 + now.since(at).as_millis() as u64)
    }

    /// Signs services of a table, and notes them to be signed ahead.
    fn sign(&mut self, plan: &Plan, table: &mut AnswerTable, services: &[ServiceId], now: Moment) {
        let daytime = self.daytime(now);
        plan.sign(table, services.iter().copied(), &mut self.signatures, daytime);
        self.ahead.extend(services.iter().copied().filter(|service| plan.signs(*service)));
        self.due = self.signatures.renewal();
    }

    /// Signs all services of a table.
    fn sign_all(&mut self, plan: &Plan, table: &mut AnswerTable, now: Moment) {
        self.signatures.next_round(self.daytime(now));
        self.ahead.clear();
        let all: Vec<_> = (0..plan.services.len()).map(ServiceId::from_index).collect();
        self.sign(plan, table, &all, now);
    }

    /// Signs some of what waits to be signed ahead.
    fn sign_ahead(&mut self, plan: &Plan, standings: &dyn Standings, now: Moment) {
        let daytime = self.daytime(now);
        for _ in 0..AHEAD_AT_ONCE {
            let Some(service) = self.ahead.pop_first() else { return };
            plan.sign_ahead(service, standings, &mut self.signatures, daytime);
            self.due = self.signatures.renewal();
        }
    }
}

impl State {
    /// The state at a start. `saved` are the last verdicts of an earlier life, so old.
    #[must_use]
    pub fn new(generation: Generation, saved: &[SavedVerdict], age: Duration, now: Moment) -> Self {
        let mut board = Board::new(generation.board.clone(), now);
        board.restore(saved, age, now);
        let mut counters = CounterNumbers::default();
        let mut table = generation.plan.table(1, &Believed(&board), &mut counters);
        let service_of = services_of_endpoints(&generation.plan);
        let daytime = (generation.loaded, now);
        let mut signing =
            Signing { signatures: Signatures::default(), due: None, ahead: BTreeSet::new(), daytime };
        signing.sign_all(&generation.plan, &mut table, now);
        let challenges = ChallengeBook::default();
        let table = Arc::new(table);
        Self { generation, number: 1, board, table, counters, challenges, service_of, signing }
    }

    /// Takes an event. This is the only way in which anything changes.
    pub fn step(&mut self, event: Event, now: Moment) -> Effects {
        match event {
            Event::Reports { generation, reports } if generation != self.number => {
                let refused = vec![Refused::OtherGeneration; reports.len()];
                Effects { refused, ..Effects::default() }
            }
            Event::Reports { reports, .. } => {
                let heard = reports.iter().map(|report| self.board.hear(report, now));
                let refused = heard.filter_map(Result::err).map(Refused::Board).collect();
                let change = self.board.settle_in_turn(now);
                Effects { refused, ..self.follow(change, now) }
            }
            Event::Gauges(told) => {
                let mut change = Change::default();
                for (target, outcome) in told {
                    let usable = *outcome.as_ref().unwrap_or(&Share::NONE);
                    change.absorb(self.board.push(target, &outcome.map(|_| ()), usable, now));
                }
                self.follow(change, now)
            }
            Event::Tick => {
                let change = self.board.tick(now);
                self.signing.sign_ahead(&self.generation.plan, &Believed(&self.board), now);
                let ended = self.challenges.expire(now);
                let effects = self.follow(change, now);
                if ended > 0 { self.with_challenges(effects) } else { effects }
            }
            Event::SetChallenge(challenge) => match self.challenges.set(challenge) {
                Ok(()) => self.with_challenges(Effects::default()),
                Err(fault) => Effects { challenge_fault: Some(fault), ..Effects::default() },
            },
            Event::ClearChallenge(name, token) => match self.challenges.clear(&name, token.as_deref()) {
                0 => Effects::default(),
                _ => self.with_challenges(Effects::default()),
            },
            Event::Daytime(daytime) => self.tell_daytime(daytime, now),
            Event::Resigned { generation, zones } if generation == self.number => self.resigned(zones, now),
            Event::Resigned { .. } => Effects::default(),
            Event::AllowFailBack(endpoints) => {
                let mut change = Change::default();
                for endpoint in endpoints {
                    change.absorb(self.board.allow(endpoint, now));
                }
                self.follow(change, now)
            }
            Event::Reload(generation) => self.reload(*generation, now),
        }
    }

    /// When to send [`Event::Tick`], if nothing happens before.
    #[must_use]
    pub fn wake(&self) -> Option<Moment> {
        if !self.signing.ahead.is_empty() {
            return Some(Moment::START);
        }
        let ends = self.challenges.next_end();
        self.board.wake().into_iter().chain(ends).min()
    }

    /// The table of these effects, or the one in force, with the challenges that are set now. Zones that are signed here
    /// have theirs once they were signed anew: [`State::due_zones`].
    fn with_challenges(&mut self, effects: Effects) -> Effects {
        let answerable = self.generation.plan.answerable(&self.challenges.compiled());
        if answerable == *self.table.challenges() {
            return effects;
        }
        let mut table = AnswerTable::clone(&self.table).next();
        table.set_challenges(answerable);
        self.table = Arc::new(table);
        Effects { table: Some(Arc::clone(&self.table)), ..effects }
    }

    /// Zones whose signatures or keys are due at `daytime`, or whose challenges are not those that are set: to be signed
    /// anew beside, for [`Event::Resigned`].
    #[must_use]
    pub fn due_zones(&self, daytime: WallTime) -> Vec<DueZone> {
        self.generation.plan.due_zones(&self.challenges.compiled(), daytime)
    }

    /// How many signatures of services' answers were made.
    #[must_use]
    pub fn signatures_made(&self) -> u64 {
        self.signing.signatures.made()
    }

    fn tell_daytime(&mut self, daytime: WallTime, now: Moment) -> Effects {
        self.signing.daytime = (daytime, now);
        if self.signing.due.is_none_or(|due| daytime < due) {
            return Effects::default();
        }
        self.sign_anew(AnswerTable::clone(&self.table), now)
    }

    fn resigned(&mut self, zones: Vec<(ZoneId, Arc<SignedZone>)>, now: Moment) -> Effects {
        let mut table = AnswerTable::clone(&self.table);
        self.generation.plan.replace_signed(zones, &mut table);
        table.set_challenges(self.generation.plan.answerable(&self.challenges.compiled()));
        // Keys may have taken over from others, and proofs for clients that want for a type name what stands next in the
        // chain: zones and services change at once.
        self.sign_anew(table, now)
    }

    fn sign_anew(&mut self, table: AnswerTable, now: Moment) -> Effects {
        let mut table = table.next();
        self.signing.sign_all(&self.generation.plan, &mut table, now);
        self.table = Arc::new(table);
        Effects { table: Some(Arc::clone(&self.table)), ..Effects::default() }
    }

    fn follow(&mut self, change: Change, now: Moment) -> Effects {
        let mut touched: Vec<ServiceId> = change
            .transitions
            .iter()
            .map(|transition| transition.endpoint)
            .chain(change.moves.iter().map(|moved| moved.endpoint))
            .map(|endpoint| self.service_of[endpoint.index()])
            .collect();
        touched.sort_unstable();
        touched.dedup();
        let table = (!touched.is_empty()).then(|| self.recompile(&touched, now));
        Effects { table, change, ..Effects::default() }
    }

    fn recompile(&mut self, touched: &[ServiceId], now: Moment) -> Arc<AnswerTable> {
        let (plan, believed) = (&self.generation.plan, Believed(&self.board));
        let mut next = plan.next_table(&self.table, touched, &believed, &mut self.counters);
        self.signing.sign(plan, &mut next, touched, now);
        self.table = Arc::new(next);
        Arc::clone(&self.table)
    }

    fn reload(&mut self, mut generation: Generation, now: Moment) -> Effects {
        let (board, change) = Board::rebuilt(generation.board.clone(), &self.board, now);
        self.board = board;
        generation.plan.keep_equal(&self.generation.plan);
        self.generation = generation;
        self.number += 1;
        self.service_of = services_of_endpoints(&self.generation.plan);
        let believed = Believed(&self.board);
        let number = self.table.generation() + 1;
        let mut table = self.generation.plan.table(number, &believed, &mut self.counters);
        table.keep_equal(&self.table);
        self.signing.daytime = (self.generation.loaded, now);
        self.signing.sign_all(&self.generation.plan, &mut table, now);
        self.table = Arc::new(table);
        let effects = Effects { table: Some(Arc::clone(&self.table)), change, ..Effects::default() };
        self.with_challenges(effects)
    }

    /// Counts reloads; what [`Event::Reports`] must bear.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The configuration in force with what it comes to.
    #[must_use]
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// The table in force.
    #[must_use]
    pub fn table(&self) -> &Arc<AnswerTable> {
        &self.table
    }

    /// The challenges that are set.
    #[must_use]
    pub fn challenges(&self) -> &[Challenge] {
        self.challenges.all()
    }

    /// Whether challenges are answered at a name as they are set, or will never be, since there is no place for any.
    #[must_use]
    pub fn is_challenged(&self, name: &Name) -> bool {
        let (name, set) = (name.as_wire(), self.challenges.compiled());
        self.table.challenges().at(name) == set.at(name) || !self.generation.plan.has_place_for(name)
    }

    /// What is believed.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// What the counters of steered answers count.
    #[must_use]
    pub fn counters(&self) -> &CounterNumbers {
        &self.counters
    }

    /// The table as it would be if `regions` were down, and the standings it was made for.
    #[must_use]
    pub fn supposing_down(&self, regions: &[RegionId]) -> (AnswerTable, Supposed<'_>) {
        let supposed = Supposed::new(&self.generation.plan, Believed(&self.board), regions);
        // The counters of what is only supposed are forgotten with it.
        let mut counters = CounterNumbers::default();
        let plan = &self.generation.plan;
        let mut table = plan.table(self.table.generation(), &supposed, &mut counters);
        let all = (0..plan.services.len()).map(ServiceId::from_index);
        plan.sign(&mut table, all, &mut Signatures::default(), self.signing.daytime.0);
        (table, supposed)
    }
}

/// What the board believes.
#[derive(Clone, Copy, Debug)]
pub struct Believed<'b>(pub &'b Board);

impl Standings for Believed<'_> {
    fn of(&self, endpoint: EndpointId, class: &Class) -> Standing {
        match class.vantage {
            Some(vantage) => self.0.standing_from(vantage, endpoint),
            None => self.0.standing(endpoint),
        }
    }
}

/// What is believed, but for regions that are supposed to be down.
#[derive(Debug)]
pub struct Supposed<'b> {
    believed: Believed<'b>,
    down: Vec<bool>,
}

impl<'b> Supposed<'b> {
    fn new(plan: &Plan, believed: Believed<'b>, regions: &[RegionId]) -> Self {
        let all = plan.services.iter().flat_map(|service| &service.regions);
        let mut down = vec![false; all.clone().map(|region| region.endpoints.len()).sum()];
        for region in all.filter(|region| regions.contains(&region.region)) {
            for endpoint in &region.endpoints {
                down[endpoint.id.index()] = true;
            }
        }
        Self { believed, down }
    }
}

impl Standings for Supposed<'_> {
    fn of(&self, endpoint: EndpointId, class: &Class) -> Standing {
        let standing = self.believed.of(endpoint, class);
        if self.down[endpoint.index()] { Standing { state: Verdict::Down, ..standing } } else { standing }
    }
}

fn services_of_endpoints(plan: &Plan) -> Vec<ServiceId> {
    let counted = plan.services.iter().enumerate().flat_map(|(service, believed)| {
        let endpoints = believed.regions.iter().flat_map(|region| &region.endpoints);
        endpoints.map(move |endpoint| (endpoint.id, ServiceId::from_index(service)))
    });
    let mut counted: Vec<_> = counted.collect();
    counted.sort_unstable();
    counted.into_iter().map(|(_, service)| service).collect()
}
