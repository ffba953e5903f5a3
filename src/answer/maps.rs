//! Compiles a map: what the databases and the operator's rules say of every address becomes client classes and
//! the tree that finds them.

use std::collections::HashSet;
use std::net::IpAddr;

use crate::beside::beside;
use crate::geo::database::{Database, PlaceId};
use crate::geo::spans::{Address, Spans, together};
use crate::geo::tree::{Steps, Tree};
use crate::ids::ClassId;
use crate::net::embedded_v4;
use crate::place::Place;
use crate::policy::classify::{Classifier, Why};
use crate::policy::map::{Class, Map, Matcher, Region};

/// What is known of addresses.
#[derive(Debug, Default)]
pub struct Databases {
    /// Cities with subdivisions and coordinates; believed over the countries where both know an address.
    pub cities: Option<Database>,
    /// Countries.
    pub countries: Option<Database>,
    /// Autonomous systems.
    pub networks: Option<Database>,
}

/// A map, compiled.
#[derive(Debug)]
pub struct CompiledMap {
    /// Its classes, by id.
    pub classes: Vec<Class>,
    /// Client to class.
    pub tree: Tree,
}

/// What makes a client of its class. Clients whom different rules put into equal classes share one class, so this is
/// found for the client anew.
#[must_use]
pub fn why(map: &Map, regions: &[Region], databases: &Databases, client: IpAddr) -> Why {
    let client = match client {
        IpAddr::V6(v6) => embedded_v4(v6).map_or(client, |inside| IpAddr::V4(inside.address)),
        IpAddr::V4(_) => client,
    };
    let named = map.network_rules().filter(|(prefix, _)| prefix.contains(client));
    let rule = named.max_by_key(|(prefix, _)| prefix.length()).map(|(_, at)| at);
    let mut classifier = map.classes(regions);
    let class = classifier.class_of(&databases.place_of(client), rule);
    classifier.why(class)
}

/// Position of a rule among a map's rules.
type RuleAt = u16;

/// Compiles `map`. `regions` are all there are, by id.
#[must_use]
pub fn compile(map: &Map, regions: &[Region], databases: &Databases) -> CompiledMap {
    let v4_by = |mut classifier| {
        (family(map, databases, &mut classifier, Database::v4, |classes| Steps::v4(classes)), classifier)
    };
    let v6_by = |mut classifier| {
        (family(map, databases, &mut classifier, Database::v6, |classes| Steps::v6(classes)), classifier)
    };
    // A start waits for both families.
    let ((v6, of_v6), (v4, mut classifier)) =
        beside(|| v6_by(map.classes(regions)), || v4_by(map.classes(regions)));
    let (v6, classifier) = match classifier.absorb(of_v6) {
        Some(ids) => (v6.renamed(|class| ids[class.index()]), classifier),
        None => v6_by(classifier),
    };
    CompiledMap { classes: classifier.into_classes(), tree: Tree::new(v4, v6) }
}

/// What `compile` makes of where each class of a family begins.
fn family<A: Address, T>(
    map: &Map,
    databases: &Databases,
    classifier: &mut Classifier<'_>,
    spans: fn(&Database) -> &Spans<A, PlaceId>,
    compile: impl FnOnce(&mut dyn Iterator<Item = (A, ClassId)>) -> T,
) -> T {
    let unknown = Spans::uniform(PlaceId::UNKNOWN);
    let [cities, countries, systems] = [&databases.cities, &databases.countries, &databases.networks]
        .map(|database| database.as_ref().map_or(&unknown, spans));
    let rules = map.network_rules().map(|(prefix, at)| (prefix, Some(at as RuleAt)));
    let rules = Spans::uniform(None).overlay(rules);
    // Systems that no rule names make no difference, and would cut the spans into many times more.
    let named = systems_named(map);
    let networks = systems.map(|id| {
        let system = databases.networks.as_ref().and_then(|database| database.record(id)?.asn);
        if system.is_some_and(|system| named.contains(&system)) { id } else { PlaceId::UNKNOWN }
    });
    // Read together on the way, never held together: a city database has millions of networks, and most of the
    // classes of neighbours are one.
    let places = together(cities.steps(), countries.steps());
    let known = together(places, networks.steps());
    let mut recent = Recent::default();
    let mut classes = together(known, rules.steps()).map(|(start, (((city, country), network), rule))| {
        let class = recent.class_of(([city, country, network], rule), || {
            let place = databases.place([city, country, network]);
            classifier.class_of(&place, rule.map(usize::from))
        });
        (start, class)
    });
    compile(&mut classes)
}

/// What the records of city, country and network are, and which rule names the network.
type Known = ([PlaceId; 3], Option<RuleAt>);

/// The classes met last, since a million networks are of a few hundred countries and each start waits for them.
struct Recent(Vec<Option<(Known, ClassId)>>);

/// More than there are countries.
const RECENT: usize = 1 << 12;

impl Default for Recent {
    fn default() -> Self {
        Self(vec![None; RECENT])
    }
}

impl Recent {
    fn class_of(&mut self, known: Known, find: impl FnOnce() -> ClassId) -> ClassId {
        let ([city, country, network], rule) = known;
        // Ids count from zero; each factor spreads them, and the rest is dropped on purpose.
        let spread = city.index().wrapping_mul(0x9e37_79b1)
            ^ country.index()
            ^ network.index().wrapping_mul(0x85eb_ca6b)
            ^ usize::from(rule.map_or(0, |rule| rule.wrapping_add(1))).wrapping_mul(0x27d4_eb2f);
        let place = &mut self.0[(spread ^ spread >> 12) % RECENT];
        match place {
            Some((of, class)) if *of == known => *class,
            _ => place.insert((known, find())).1,
        }
    }
}

fn systems_named(map: &Map) -> HashSet<u32> {
    let systems = map.rules.iter().filter_map(|rule| match rule.matcher {
        Matcher::Asn(system) => Some(system),
        _ => None,
    });
    systems.collect()
}

impl Databases {
    /// What is known of where an address is.
    fn place_of(&self, address: IpAddr) -> Place {
        let at = |database: &Option<Database>| database.as_ref().map(|database| database.place(address).0);
        of_all(at(&self.cities), at(&self.countries), at(&self.networks))
    }

    /// The same in words.
    #[must_use]
    pub fn describe(&self, address: IpAddr) -> String {
        let known = self.place_of(address);
        let words = [
            known.country.map(|country| format!("country {country}")),
            known.subdivision.map(|subdivision| format!("subdivision {subdivision}")),
            known.continent.map(|continent| format!("continent {continent}")),
            known.asn.map(|asn| format!("AS{asn}")),
            known.location.map(|at| format!("near {:.2}, {:.2}", at.latitude(), at.longitude())),
        ];
        let words: Vec<String> = words.into_iter().flatten().collect();
        if words.is_empty() { "no database knows it".to_owned() } else { words.join(", ") }
    }

    /// What the records of city, country and network say together.
    fn place(&self, [city, country, network]: [PlaceId; 3]) -> Place {
        let record = |database: &Option<Database>, id| {
            database.as_ref().and_then(|database| database.record(id)).copied()
        };
        of_all(record(&self.cities, city), record(&self.countries, country), record(&self.networks, network))
    }
}

/// The city's word over the country's where it knows the country at all; the number of the network beside it.
fn of_all(city: Option<Place>, country: Option<Place>, network: Option<Place>) -> Place {
    let known = city.filter(|city| city.country.is_some()).or(country).or(city).unwrap_or_default();
    Place { asn: network.and_then(|network| network.asn).or(known.asn), ..known }
}
