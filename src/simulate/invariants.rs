//! What must hold at every step, whatever befalls the world. Each check knows the truth, which no server does,
//! and none uses the code that it checks.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::build::{FENCED, HOLD, TTL_DOUBT, TTL_STEADY, client, fenced_client};
use super::resolvers::addresses;
use super::scenario::Health;
use super::truth::{SETTLED, Truth};
use crate::answer::steering::{Choice, Pick, Steering};
use crate::answer::table::AnswerTable;
use crate::health::board::Board;
use crate::health::evidence::{Move, Transition};
use crate::health::machine::Why;
use crate::health::verdict::{Share, State};
use crate::ids::{EndpointId, ServiceId};
use crate::policy::lots::LOTS;
use crate::time::Moment;
use crate::wire::code::Rcode;

/// What was seen of one server that later steps are held against.
pub(super) struct Witness {
    server: usize,
    vantages: usize,
    regions: usize,
    generation: u64,
    withdrawals: Vec<Withdrawal>,
    /// Endpoints whose last change left them without traffic.
    idle: HashSet<EndpointId>,
    /// By service and client class: which lots moved in the ramp that is under way.
    ramps: HashMap<(usize, usize), Ramp>,
}

#[derive(Clone, Copy)]
struct Withdrawal {
    at: Moment,
    endpoint: EndpointId,
    corroborated: bool,
}

#[derive(Clone)]
struct Ramp {
    regions: Vec<u8>,
    moved: Vec<bool>,
}

/// What is dead for all is withdrawn within this, if the vantages can see it: the interval, four time-outs with
/// their rechecks, a report, and what ran on before.
pub(super) const WITHDRAWN_WITHIN: Duration = Duration::from_secs(15);
/// A lone agent has seen failures this long before it moves clients; somewhat less than the rule has.
const LONE_WAIT: Duration = Duration::from_millis(4_500);
/// Where more than this part of all probes fails, chance alone may move the clients of a lone agent.
const LOSS_OF_MOVES: f64 = 0.01;
/// No more withdrawals of one endpoint in this time ...
const FLAPS_WITHIN: Duration = Duration::from_secs(600);
/// ... than this: three until it is suppressed, and as many after.
const FLAPS_MAX: usize = 7;
/// The most that comes back at first.
const FIRST_STEP_MAX: Share = Share::of_1024(64);

/// A region of which less is usable is passed over: the default.
const THRESHOLD: Share = Share::of_1024(512);

type Verdict = Result<(), String>;

impl Witness {
    pub(super) fn new(server: usize, vantages: usize, regions: usize) -> Self {
        Self {
            server,
            vantages,
            regions,
            generation: 0,
            withdrawals: Vec::new(),
            idle: HashSet::new(),
            ramps: HashMap::new(),
        }
    }

    /// These served nobody before it began to look.
    pub(super) fn knows_idle(&mut self, endpoints: impl Iterator<Item = EndpointId>) {
        self.idle.extend(endpoints);
    }

    fn place(&self, endpoint: EndpointId) -> (usize, usize) {
        (endpoint.index() / self.regions, endpoint.index() % self.regions)
    }

    /// A verdict changed.
    pub(super) fn transition(&mut self, one: &Transition, truth: &Truth, now: Moment) -> Verdict {
        let (service, _) = self.place(one.endpoint);
        if !matches!(one.why, Why::RampStep) {
            self.ramps.retain(|(of, _), _| *of != service);
        }
        let verdict = match one.why {
            Why::Votes if one.to == State::Down => self.withdrawal(one, truth, now),
            Why::RampBegins => self.comes_back(one, now),
            _ => Ok(()),
        };
        if one.standing.ramp == Share::NONE {
            self.idle.insert(one.endpoint);
        } else {
            self.idle.remove(&one.endpoint);
        }
        verdict
    }

    fn withdrawal(&mut self, one: &Transition, truth: &Truth, now: Moment) -> Verdict {
        let (_, region) = self.place(one.endpoint);
        self.could_not_reach(one, region, truth, now)?;
        // From the hold nothing is taken; it served nobody.
        let votes = &one.evidence.votes;
        if self.idle.contains(&one.endpoint) {
            return Ok(());
        }
        let corroborated = votes.fails == votes.eligible;
        let withdrawal = Withdrawal { at: now, endpoint: one.endpoint, corroborated };
        let verdict = self.within_speed_limit(&withdrawal).and_then(|()| self.within_flaps(&withdrawal));
        self.withdrawals.push(withdrawal);
        verdict
    }

    /// No withdrawal of what a quorum could reach, nor where too few can say.
    fn could_not_reach(&self, one: &Transition, region: usize, truth: &Truth, now: Moment) -> Verdict {
        let sure = |vantage: &usize| truth.surely_reaches(*vantage, region, now);
        let has_say = |v: usize| !truth.has_no_say(v, now) || truth.saw_it_before(v, region, now);
        let may_fail = (0..self.vantages).filter(|v| !sure(v) && has_say(*v)).count();
        let reaches = (0..self.vantages)
            .filter(|v| sure(v) && truth.surely_sees(*v, now) && truth.surely_heard(*v, self.server, now))
            .count();
        // Where probes fail by chance, who reaches it may be silent for a moment: taken for blind, or in doubt.
        let outvoted = if truth.loss > LOSS_OF_MOVES {
            may_fail * 3 < self.vantages
        } else {
            may_fail * 3 < (may_fail + reaches) * 2
        };
        if outvoted || may_fail == 0 {
            return Err(format!(
                "{} is withdrawn, which at most {may_fail} vantages can see fail and {reaches} surely reach",
                one.key
            ));
        }
        let audible = truth.audible(self.server, now);
        if audible * 2 < self.vantages {
            return Err(format!("{} is withdrawn, and only {audible} vantages can be heard", one.key));
        }
        Ok(())
    }

    fn within_speed_limit(&self, new: &Withdrawal) -> Verdict {
        if new.corroborated {
            return Ok(());
        }
        let (service, region) = self.place(new.endpoint);
        let others = || {
            self.withdrawals.iter().filter(move |past| {
                let (of, at) = self.place(past.endpoint);
                of == service && at != region
            })
        };
        if others().any(|past| new.at.since(past.at) < Duration::from_secs(10)) {
            return Err("two regions of a service are withdrawn within ten seconds".to_owned());
        }
        let mut recent: Vec<_> = others()
            .filter(|past| new.at.since(past.at) < Duration::from_secs(60))
            .map(|past| past.endpoint)
            .collect();
        recent.sort_unstable();
        recent.dedup();
        if !recent.is_empty() && (recent.len() + 1) * 2 > self.regions {
            return Err("more than half of a service is withdrawn within a minute".to_owned());
        }
        Ok(())
    }

    fn within_flaps(&self, new: &Withdrawal) -> Verdict {
        let flaps = self.withdrawals.iter().filter(|past| past.endpoint == new.endpoint);
        let recent = flaps.filter(|past| new.at.since(past.at) < FLAPS_WITHIN).count() + 1;
        if recent > FLAPS_MAX {
            return Err(format!("an endpoint is withdrawn {recent} times in ten minutes"));
        }
        Ok(())
    }

    fn comes_back(&self, one: &Transition, now: Moment) -> Verdict {
        let last = self.withdrawals.iter().rev().find(|past| past.endpoint == one.endpoint);
        if last.is_some_and(|past| now.since(past.at) < HOLD) {
            return Err(format!("{} comes back before its hold is over", one.key));
        }
        if one.standing.ramp > FIRST_STEP_MAX {
            return Err(format!("{} comes back with {} at once", one.key, one.standing.ramp));
        }
        Ok(())
    }

    /// A vantage moves the clients near it.
    pub(super) fn moved(&self, one: &Move, truth: &Truth, now: Moment) -> Verdict {
        let (_, region) = self.place(one.endpoint);
        let vantage = one.vantage.index();
        if !one.unreachable {
            return Ok(());
        }
        if truth.surely_reaches(vantage, region, now) && truth.loss <= LOSS_OF_MOVES {
            return Err(format!("vantage {vantage} moves its clients from {}, which it reaches", one.key));
        }
        let (health, path) = (truth.health(region), truth.path(vantage, region));
        let broken = now.since(health.since);
        let newly = health.value != Health::Works && broken < LONE_WAIT && health.former > SETTLED;
        if newly
            && truth.surely_sees(vantage, now)
            && truth.loss == 0.0
            && path.value == 0.0
            && now.since(path.since) > SETTLED
        {
            return Err(format!("vantage {vantage} moves its clients from {} after {broken:?}", one.key));
        }
        Ok(())
    }

    /// A server answers from another table.
    pub(super) fn table(
        &mut self,
        old: &AnswerTable,
        new: &AnswerTable,
        services: usize,
        board: &Board,
    ) -> Verdict {
        if new.generation() < self.generation {
            return Err(format!("generation {} follows {}", new.generation(), self.generation));
        }
        self.generation = new.generation();
        for service in 0..services {
            let id = ServiceId::from_index(service);
            if !std::ptr::eq(old.service(id), new.service(id)) || old.generation() == new.generation() {
                self.answers(service, new, board)?;
            }
        }
        Ok(())
    }

    fn answers(&mut self, service: usize, table: &AnswerTable, board: &Board) -> Verdict {
        let steering = table.service(ServiceId::from_index(service));
        for choice in &steering.choices {
            each_variant(choice, &mut |variant| self.answer(steering, variant, service, board))?;
        }
        let fenced = choice_of(steering, table, fenced_client());
        each_variant(fenced, &mut |variant| {
            let outside = addresses(&steering.variants[variant]).any(|(region, _)| region >= FENCED);
            if outside { Err("a fenced client is given a region outside".to_owned()) } else { Ok(()) }
        })?;
        for region in 0..self.regions {
            let choice = choice_of(steering, table, client(region, 0));
            self.lots(service, region, steering, choice, table.generation(), board)?;
        }
        Ok(())
    }

    /// Never empty, and never kept for longer than the verdicts bear.
    fn answer(&self, steering: &Steering, variant: usize, service: usize, board: &Board) -> Verdict {
        let variant = &steering.variants[variant];
        if variant.rcode != Rcode::NOERROR || addresses(variant).next().is_none() {
            return Err("an answer is empty".to_owned());
        }
        for (region, ttl) in addresses(variant) {
            let endpoint = EndpointId::from_index(service * self.regions + region);
            let doubted = board.standing(endpoint).state == State::Suspect;
            let limit = if doubted { TTL_DOUBT } else { TTL_STEADY };
            if ttl == 0 || ttl > limit {
                return Err(format!("a TTL is {ttl} s and may be {limit} s"));
            }
        }
        Ok(())
    }

    /// No lot moves twice in one ramp.
    fn lots(
        &mut self,
        service: usize,
        class: usize,
        steering: &Steering,
        choice: &Choice,
        generation: u64,
        board: &Board,
    ) -> Verdict {
        let state = |region| board.standing(EndpointId::from_index(service * self.regions + region)).state;
        let recovering = (0..self.regions).filter(|&region| state(region) == State::Recovering).count();
        let regions = regions_by_lot(steering, choice);
        self.within_shares(service, &regions, board)?;
        let key = (service, class);
        let others_up =
            (0..self.regions).all(|r| matches!(state(r), State::Up | State::Recovering | State::Down));
        if recovering > 1 || !others_up {
            self.ramps.remove(&key);
            return Ok(());
        }
        let Some(ramp) = self.ramps.get_mut(&key) else {
            if recovering == 1 {
                self.ramps.insert(key, Ramp { moved: vec![false; regions.len()], regions });
            }
            return Ok(());
        };
        for (lot, (was, is)) in ramp.regions.iter().zip(&regions).enumerate() {
            if was != is && std::mem::replace(&mut ramp.moved[lot], true) {
                return Err(format!("lot {lot} moves twice in one ramp (generation {generation})"));
            }
        }
        ramp.regions = regions;
        if recovering == 0 {
            self.ramps.remove(&key);
        }
        Ok(())
    }

    /// A degraded region gets no more lots than its share where another has room, and none below the threshold.
    fn within_shares(&self, service: usize, regions: &[u8], board: &Board) -> Verdict {
        let standing = |region| board.standing(EndpointId::from_index(service * self.regions + region));
        let has_room = |region: usize| {
            let standing = standing(region);
            standing.state != State::Down && (standing.usable, standing.ramp) == (Share::WHOLE, Share::WHOLE)
        };
        for region in 0..self.regions {
            let usable = standing(region).usable;
            let serves =
                usable > Share::NONE && usable < Share::WHOLE && standing(region).ramp == Share::WHOLE;
            if !serves || !(0..self.regions).any(has_room) {
                continue;
            }
            let may = if usable < THRESHOLD { 0 } else { usize::from(usable.parts()) };
            let held = regions.iter().filter(|held| usize::from(**held) == region).count();
            if held > may {
                return Err(format!("region {region} is usable by {usable} and holds {held} lots"));
            }
        }
        Ok(())
    }

    /// What is dead for all vantages since `since` is withdrawn by now.
    pub(super) fn is_withdrawn(
        &self,
        endpoint: EndpointId,
        board: &Board,
        truth: &Truth,
        now: Moment,
    ) -> Verdict {
        let heard = |v: &usize| truth.sees_all(*v, now) && truth.surely_heard(*v, self.server, now);
        let seeing = (0..self.vantages).filter(heard).count();
        let audible = truth.audible(self.server, now);
        let agree = if truth.dead_regions() * 2 > self.regions {
            seeing == audible
        } else {
            seeing * 3 >= audible * 2
        };
        let enough = agree && seeing * 2 >= self.vantages;
        let standing = board.standing(endpoint);
        if enough && standing.state != State::Down && standing.ramp != Share::NONE {
            return Err(format!(
                "endpoint {} is dead for {WITHDRAWN_WITHIN:?}, {seeing} vantages see it, and it is {}",
                endpoint.index(),
                standing.state
            ));
        }
        Ok(())
    }

    /// Two nodes that heard the same answer the same.
    pub(super) fn alike(one: &AnswerTable, other: &AnswerTable, services: usize) -> Verdict {
        let alike = (0..services).map(ServiceId::from_index).all(|id| {
            let (a, b) = (one.service(id), other.service(id));
            a.choices == b.choices && a.variants == b.variants && a.salt == b.salt
        });
        if alike && one.generation() == other.generation() {
            return Ok(());
        }
        Err("two nodes that heard the same answer differently".to_owned())
    }
}

fn choice_of<'t>(steering: &'t Steering, table: &AnswerTable, client: std::net::IpAddr) -> &'t Choice {
    let class = table.tree(steering.map).find(client).class;
    &steering.choices[usize::from(steering.by_class[class.index()])]
}

/// Calls `check` for every variant that a choice may give.
fn each_variant(choice: &Choice, check: &mut dyn FnMut(usize) -> Verdict) -> Verdict {
    match &choice.v4 {
        Pick::One(variant) => check(*variant as usize),
        Pick::Lots(lots) => lots.variants.iter().try_for_each(|variant| check(*variant as usize)),
    }
}

/// The region that each lot is given, by the first address; 255 for none.
fn regions_by_lot(steering: &Steering, choice: &Choice) -> Vec<u8> {
    let region = |variant: u32| {
        let first = addresses(&steering.variants[variant as usize]).next();
        first.map_or(u8::MAX, |(region, _)| region as u8)
    };
    match &choice.v4 {
        Pick::One(variant) => vec![region(*variant); LOTS.into()],
        Pick::Lots(lots) => (0..LOTS).map(|lot| region(lots.of(lot))).collect(),
    }
}
