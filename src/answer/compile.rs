//! Makes answer tables. A [`Plan`] is what a configuration, its zones and its databases come to: everything that
//! does not depend on verdicts. With the standings of the moment it makes a table; a verdict that changed
//! remakes the services that it touches and shares the rest.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::compile_signed::Dnssec;
use super::encode;
use super::extensions::Extensions;
use super::maps::{self, CompiledMap, Databases};
use super::names::Names;
use super::reason;
use super::steering::{Answers, Choice, Lots, Pick, Steering, Variant};
use super::table::{AnswerTable, Services, ZoneTop};
use super::zones::{self, SteeredNames, ZonesFault};
use crate::beside::beside;
use crate::geo::tree::Tree;
use crate::health::verdict::Standing;
use crate::ids::{ClassId, EndpointId, MapId, RegionId, ServiceId, VantageId};
use crate::net::Family;
use crate::policy::map::{Class, Map, Region};
use crate::policy::select::{First, Outcome, Selection, Situation, first_preference, select, select_first};
use crate::policy::service::{AnswerKind, Families, Service, ServiceRegion, Tier};
use crate::policy::variant::{self, Reason, lay_out};
use crate::wire::code::RecordType;
use crate::zone::Zone;

/// What a plan is made of.
#[derive(Debug)]
pub struct World {
    /// The zones served.
    pub zones: Vec<Zone>,
    /// All regions, by id.
    pub regions: Vec<Region>,
    /// The vantage that stands in each region, by region id, if any does: it speaks for the clients whose first
    /// region that is.
    pub vantages: Vec<Option<VantageId>>,
    /// All maps, by id.
    pub maps: Vec<Map>,
    /// All services, by id.
    pub services: Vec<Service>,
    /// What is known of addresses.
    pub databases: Databases,
    /// What of it is signed.
    pub dnssec: Dnssec,
}

/// Everything that tables of one generation of the configuration share.
#[derive(Debug)]
pub struct Plan {
    /// All regions, by id.
    pub regions: Vec<Region>,
    /// All services, by id.
    pub services: Vec<Service>,
    /// The maps' names and classes, by id.
    pub maps: Vec<PlannedMap>,
    /// What is known of addresses, for explanations; no query reads them.
    pub databases: Databases,
    /// What is wanted of the protocol's extensions.
    pub extensions: Arc<Extensions>,
    pub(super) names: Arc<Names>,
    pub(super) zones: Arc<[ZoneTop]>,
    pub(super) trees: Arc<[Tree]>,
    /// The classes as each service sees them, by service id.
    views: Vec<Arc<View>>,
}

/// A map of a plan.
#[derive(Debug)]
pub struct PlannedMap {
    /// As it is believed.
    pub map: Map,
    /// Its classes, by id.
    pub classes: Vec<Class>,
}

/// The classes of a map as a service sees them: only its own regions count, so that many classes are one. What
/// a verdict changes is computed once per distinct class, not once per class.
#[derive(Debug)]
struct View {
    distinct: Vec<Class>,
    /// By distinct class: its first preference, for IPv4 and IPv6 where they choose apart.
    firsts: Vec<[Option<First>; 2]>,
    by_class: Arc<[u16]>,
}

/// What views depend on: services of the same shape share one.
#[derive(PartialEq, Eq, Hash)]
struct Shape {
    map: MapId,
    families: Families,
    regions: Vec<ShapeOfRegion>,
}

/// Of a region, its tier, whether it has weight, and addresses of which families.
type ShapeOfRegion = (RegionId, Tier, bool, [bool; 2]);

/// Numbers of the counters of steered answers, given once in the life of a process, so that a counter keeps its
/// meaning over reloads.
#[derive(Debug, Default)]
pub struct CounterNumbers {
    /// By the positions of service and region in `names`, and what is special about the answer.
    numbers: HashMap<(u32, Option<u32>, Special), u32>,
    keys: Vec<CounterKey>,
    /// Names of services and regions.
    positions: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

/// What a counter of steered answers counts. There may be one for every region of thousands of services, so that the
/// words are shared.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CounterKey {
    /// The service's name.
    pub service: Arc<str>,
    /// The region's name; `None` where no region answers.
    pub region: Option<Arc<str>>,
    /// What is special about the answer.
    pub special: Special,
}

/// What is special about an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Special {
    /// Of one that somebody gives.
    Given(Reason),
    /// Of one where nothing may be given.
    Empty(Outcome),
}

impl Plan {
    /// Compiles everything that does not depend on verdicts.
    pub fn new(world: World) -> Result<Self, Vec<ZonesFault>> {
        let World { zones, regions, vantages, maps, services, databases, dnssec } = world;
        let compile = || -> Vec<CompiledMap> {
            maps.iter().map(|map| maps::compile(map, &regions, &databases)).collect()
        };
        // Names and maps know nothing of each other, and a start waits for both.
        let (compiled, named) = beside(compile, || {
            let steered = steered_names(&services);
            zones::compile(&zones, &steered).and_then(|(names, mut tops)| {
                dnssec.sign(zones, &names, &steered, &services, &mut tops)?;
                Ok((names, tops))
            })
        });
        let (names, tops) = named?;
        let mut trees = Vec::new();
        let mut planned = Vec::new();
        for (map, CompiledMap { mut classes, tree }) in maps.into_iter().zip(compiled) {
            for class in &mut classes {
                let nearest = class.order.first().and_then(|region| vantages.get(region.index()));
                class.vantage = nearest.copied().flatten();
            }
            trees.push(tree);
            planned.push(PlannedMap { map, classes });
        }
        let views = views(&services, &planned);
        Ok(Self {
            regions,
            services,
            maps: planned,
            databases,
            extensions: Arc::default(),
            names: Arc::new(names),
            zones: tops.into(),
            trees: trees.into(),
            views,
        })
    }

    /// The table for the standings of the moment.
    #[must_use]
    pub fn table(
        &self,
        generation: u64,
        standings: &dyn Standings,
        numbers: &mut CounterNumbers,
    ) -> AnswerTable {
        let all = (0..self.services.len()).map(ServiceId::from_index);
        let services: Vec<_> =
            all.map(|service| Arc::new(self.steering(service, standings, numbers))).collect();
        AnswerTable {
            signatures: Box::default(),
            generation,
            names: Arc::clone(&self.names),
            zones: Arc::clone(&self.zones),
            trees: Arc::clone(&self.trees),
            services: Services::new(&services),
            answer_counters: numbers.keys.len(),
            extensions: Arc::clone(&self.extensions),
            challenges: Arc::default(),
        }
    }

    /// The next table: `touched` services for the standings of the moment, the others as they are in `table`,
    /// which this plan made.
    #[must_use]
    pub fn next_table(
        &self,
        table: &AnswerTable,
        touched: &[ServiceId],
        standings: &dyn Standings,
        numbers: &mut CounterNumbers,
    ) -> AnswerTable {
        let mut next = table.clone();
        next.generation += 1;
        for service in touched {
            next.services.replace(*service, Arc::new(self.steering(*service, standings, numbers)));
            if let Some(signatures) = next.signatures.get_mut(service.index()) {
                *signatures = Arc::default();
            }
        }
        next.answer_counters = numbers.keys.len();
        next
    }

    pub(super) fn steering(
        &self,
        id: ServiceId,
        standings: &dyn Standings,
        numbers: &mut CounterNumbers,
    ) -> Steering {
        let service = &self.services[id.index()];
        let view = &self.views[id.index()];
        let mut variants = Variants {
            plan: self,
            service,
            service_name: numbers.position(&service.name),
            numbers,
            known: HashMap::new(),
            encoded: Vec::new(),
            all_down: false,
        };
        let classes = view.distinct.iter().zip(&view.firsts);
        let choices = classes.map(|(class, firsts)| variants.choice(class, *firsts, standings)).collect();
        Steering {
            map: service.map,
            salt: service.salt,
            answers: answers(service),
            by_class: Arc::clone(&view.by_class),
            choices,
            all_down: variants.all_down,
            variants: variants.encoded.into(),
            lots_by_design: variant::lots_choose(service, &view.distinct),
            negative_ttl_max: service.ttl.steady,
        }
    }

    /// A region's name.
    #[must_use]
    pub fn region_name(&self, region: RegionId) -> &str {
        &self.regions[region.index()].name
    }

    /// The tree of a map.
    #[must_use]
    pub fn tree(&self, map: MapId) -> &Tree {
        &self.trees[map.index()]
    }

    /// The names of all zones.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// The class of a map as a service sees it.
    #[must_use]
    pub fn class_seen_by(&self, service: ServiceId, class: ClassId) -> &Class {
        let view = &self.views[service.index()];
        &view.distinct[usize::from(view.by_class[class.index()])]
    }
}

/// What is believed of endpoints, as a class sees them.
pub trait Standings {
    /// The standing of `endpoint` for clients of `class`.
    fn of(&self, endpoint: EndpointId, class: &Class) -> Standing;
}

impl<F: Fn(EndpointId) -> Standing> Standings for F {
    fn of(&self, endpoint: EndpointId, _: &Class) -> Standing {
        self(endpoint)
    }
}

/// The distinct variants of one service.
struct Variants<'p, 'n> {
    plan: &'p Plan,
    service: &'p Service,
    /// Position of the service's name among the counters' names.
    service_name: u32,
    numbers: &'n mut CounterNumbers,
    /// Where each stands that is encoded, by what it says: two classes that are given the same addresses may be told
    /// different reasons.
    known: HashMap<(Option<variant::Variant>, Outcome, Option<String>), u32>,
    encoded: Vec<Variant>,
    all_down: bool,
}

impl Variants<'_, '_> {
    fn choice(&mut self, class: &Class, firsts: [Option<First>; 2], standings: &dyn Standings) -> Choice {
        match self.service.families {
            Families::Together => {
                let pick = self.pick(class, None, firsts[0], standings);
                Choice { v4: pick.clone(), v6: pick, v6_alone: false }
            }
            Families::Independent => {
                let v4 = self.pick(class, Some(Family::V4), firsts[0], standings);
                let v6 = self.pick(class, Some(Family::V6), firsts[1], standings);
                let v6_alone = matches!(v4, Pick::One(at) if self.encoded[at as usize].is_no_data());
                Choice { v4, v6, v6_alone }
            }
        }
    }

    fn pick(
        &mut self,
        class: &Class,
        family: Option<Family>,
        first: Option<First>,
        standings: &dyn Standings,
    ) -> Pick {
        let believed = |endpoint| standings.of(endpoint, class);
        let situation = Situation { service: self.service, class, family, standings: &believed };
        let selection = first.and_then(|first| select_first(&situation, first));
        let selection = selection.unwrap_or_else(|| select(&situation));
        self.all_down |= selection.outcome.is_all_down();
        let layout = lay_out(&situation, &selection);
        if layout.variants.is_empty() {
            return Pick::One(self.number(None, &selection));
        }
        let variants: Box<[u32]> =
            layout.variants.into_iter().map(|variant| self.number(Some(variant), &selection)).collect();
        match layout.lots {
            None => Pick::One(variants[0]),
            Some(lots) => Pick::Lots(Lots { lots, variants }),
        }
    }

    /// The position of a variant among the encoded ones.
    fn number(&mut self, laid_out: Option<variant::Variant>, selection: &Selection) -> u32 {
        let name = |region| self.plan.region_name(region);
        let text = reason::text(&self.service.name, laid_out.as_ref(), selection, &name);
        let key = (laid_out, selection.outcome, text);
        if let Some(at) = self.known.get(&key) {
            return *at;
        }
        let text = &key.2;
        let counter = self.counter(key.0.as_ref(), selection.outcome);
        let encoded = match &key.0 {
            Some(laid_out) => encode::variant(self.service, laid_out, text.as_deref(), counter),
            None if selection.outcome == Outcome::Absent => encode::no_data(counter),
            None => encode::servfail(text.as_deref().unwrap_or_default(), counter),
        };
        let at = u32::try_from(self.encoded.len()).expect("config bounds the regions of a service");
        self.known.insert(key, at);
        self.encoded.push(encoded);
        at
    }

    fn counter(&mut self, laid_out: Option<&variant::Variant>, outcome: Outcome) -> u32 {
        let region = laid_out.and_then(|variant| variant.region);
        let region = region.map(|region| self.numbers.position(self.plan.region_name(region)));
        let special = laid_out.map_or(Special::Empty(outcome), |variant| Special::Given(variant.reason));
        self.numbers.number(self.service_name, region, special)
    }
}

impl CounterNumbers {
    /// The position of a name of a service or a region.
    fn position(&mut self, name: &str) -> u32 {
        if let Some(position) = self.positions.get(name) {
            return *position;
        }
        let position = u32::try_from(self.names.len()).expect("services and regions are bounded");
        let name: Arc<str> = name.into();
        self.names.push(Arc::clone(&name));
        self.positions.insert(name, position);
        position
    }

    /// The counter of answers of a service and a region, whose names stand at these positions.
    fn number(&mut self, service: u32, region: Option<u32>, special: Special) -> u32 {
        let Self { numbers, keys, names, .. } = self;
        *numbers.entry((service, region, special)).or_insert_with(|| {
            let name = |position: u32| Arc::clone(&names[position as usize]);
            keys.push(CounterKey { service: name(service), region: region.map(name), special });
            u32::try_from(keys.len() - 1).expect("services, regions and reasons are bounded")
        })
    }

    /// What each counter counts, by number.
    #[must_use]
    pub fn keys(&self) -> &[CounterKey] {
        &self.keys
    }
}

impl fmt::Display for Special {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given(reason) => reason.fmt(f),
            Self::Empty(outcome) => outcome.fmt(f),
        }
    }
}

fn steered_names(services: &[Service]) -> SteeredNames {
    let of_service = |(index, service): (usize, &Service)| {
        let taken: Vec<RecordType> = match service.answer {
            AnswerKind::Addresses => {
                let bindings = service.bindings.iter().map(|binding| binding.rtype);
                [RecordType::A, RecordType::AAAA].into_iter().chain(bindings).collect()
            }
            AnswerKind::Cname => {
                vec![RecordType::A, RecordType::AAAA, RecordType::CNAME, RecordType::HTTPS, RecordType::SVCB]
            }
        };
        let id = ServiceId::from_index(index);
        service.names.clone().into_iter().map(move |name| (name, (id, taken.clone())))
    };
    // All at once, so that they are sorted once and not looked for one by one.
    services.iter().enumerate().flat_map(of_service).collect()
}

pub(super) fn answers(service: &Service) -> Answers {
    if service.answer == AnswerKind::Cname {
        return Answers::Cname;
    }
    let addresses =
        || service.regions.iter().flat_map(|region| &region.endpoints).map(|endpoint| endpoint.address);
    let mut types = Vec::new();
    if addresses().any(|address| address.is_ipv4()) {
        types.push(RecordType::A);
    }
    if addresses().any(|address| address.is_ipv6()) {
        types.push(RecordType::AAAA);
    }
    for binding in &service.bindings {
        if !types.contains(&binding.rtype) {
            types.push(binding.rtype);
        }
    }
    Answers::Types(types)
}

/// The view of each service.
fn views(services: &[Service], maps: &[PlannedMap]) -> Vec<Arc<View>> {
    let mut known: HashMap<Shape, Arc<View>> = HashMap::new();
    let view_of = |service: &Service| {
        let classes = &maps[service.map.index()].classes;
        let view = known.entry(shape(service)).or_insert_with(|| Arc::new(View::new(classes, service)));
        Arc::clone(view)
    };
    services.iter().map(view_of).collect()
}

fn shape(service: &Service) -> Shape {
    let region = |region: &ServiceRegion| {
        let has = |family| region.endpoints.iter().any(|endpoint| Family::of(endpoint.address) == family);
        (region.region, region.tier, region.weight > 0, [Family::V4, Family::V6].map(has))
    };
    Shape {
        map: service.map,
        families: service.families,
        regions: service.regions.iter().map(region).collect(),
    }
}

impl View {
    fn new(classes: &[Class], service: &Service) -> Self {
        let regions: Vec<RegionId> = service.regions.iter().map(|region| region.region).collect();
        let mut positions: HashMap<Class, u16> = HashMap::new();
        let mut distinct = Vec::new();
        let by_class = classes.iter().map(|class| {
            *positions.entry(seen(class, &regions)).or_insert_with_key(|class| {
                distinct.push(class.clone());
                u16::try_from(distinct.len() - 1).expect("there are no more than classes")
            })
        });
        let by_class = by_class.collect();
        let families = match service.families {
            Families::Together => [None, None],
            Families::Independent => [Some(Family::V4), Some(Family::V6)],
        };
        let first = |class| families.map(|family| first_preference(service, class, family));
        Self { firsts: distinct.iter().map(first).collect(), distinct, by_class }
    }
}

/// A class without the regions that a service does not stand in.
fn seen(class: &Class, regions: &[RegionId]) -> Class {
    let stands = |region: &&RegionId| regions.contains(region);
    let inside = class.order[..usize::from(class.inside)].iter().filter(stands).count();
    Class {
        order: class.order.iter().filter(stands).copied().collect(),
        inside: inside as u16,
        ..class.clone()
    }
}
