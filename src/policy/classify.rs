//! From where a client is to its class: the most specific rule of a map, then the order of regions that the
//! rule, or the map, makes for that place.
//!
//! The compiler asks for every network of a database, so answers are remembered by place, and equal classes
//! are one class: a city database has some 200,000 places, a map has a few hundred classes.

use std::collections::HashMap;
use std::fmt;

use crate::ids::{ClassId, RegionId};
use crate::net::Prefix;
use crate::place::{Continent, Location, Place};

use super::map::{Class, Fence, Map, Matcher, Order, Region, Rule};
use super::nearest::{Nearest, Site};

/// How many classes a map has at most: what a [`ClassId`] counts. Beyond, a new class is that of a client
/// whose place is not known, under the same rule.
pub const CLASSES_MAX: usize = 1 << 16;

/// Why a client is in its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Why {
    /// The rule that names it; `None` where the map's own order holds.
    pub rule: Option<Matcher>,
    /// What ordered the regions.
    pub by: By,
}

/// What orders regions for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum By {
    /// As listed.
    List,
    /// Nearest first.
    Distance,
    /// Those of the client's continent first, since its coordinates are not known.
    Continent(Continent),
    /// As declared, since nothing is known of where the client is.
    Declaration,
    /// By lot.
    Weight,
}

/// Turns places into classes, for one map.
#[derive(Debug)]
pub struct Classifier<'a> {
    map: &'a Map,
    regions: &'a [Region],
    rules: RuleIndex,
    /// One per rule, then the map's own.
    recipes: Vec<Recipe>,
    remembered: HashMap<(usize, Spot), ClassId>,
    ids: HashMap<Class, ClassId>,
    classes: Vec<Class>,
    whys: Vec<Why>,
}

impl Map {
    /// A classifier, with no class yet. `regions` are all there are, by id.
    #[must_use]
    pub fn classes<'a>(&'a self, regions: &'a [Region]) -> Classifier<'a> {
        let recipes = self.rules.iter().map(Some).chain([None]).map(|rule| Recipe::new(self, rule, regions));
        Classifier {
            map: self,
            regions,
            rules: RuleIndex::new(&self.rules),
            recipes: recipes.collect(),
            remembered: HashMap::new(),
            ids: HashMap::new(),
            classes: Vec::new(),
            whys: Vec::new(),
        }
    }

    /// The networks that have rules of their own, each with its rule's position.
    pub fn network_rules(&self) -> impl Iterator<Item = (Prefix, usize)> {
        self.rules.iter().enumerate().filter_map(|(at, rule)| match rule.matcher {
            Matcher::Network(prefix) => Some((prefix, at)),
            _ => None,
        })
    }
}

impl Classifier<'_> {
    /// The class of a client at `place`, inside the network of rule `network_rule` if any.
    pub fn class_of(&mut self, place: &Place, network_rule: Option<usize>) -> ClassId {
        let rule = network_rule.or_else(|| self.rules.most_specific(place));
        let recipe = rule.unwrap_or(self.map.rules.len());
        let spot = if self.recipes[recipe].minds_place { Spot::of(place) } else { Spot::Anywhere };
        self.remember(recipe, spot, |classifier| match (spot, place.location) {
            (Spot::At(..), Some(location)) => {
                let near = classifier.recipes[recipe].nearest(location);
                classifier
                    .remember(recipe, Spot::Near(near), |classifier| classifier.intern(recipe, place, spot))
            }
            _ => classifier.intern(recipe, place, spot),
        })
    }

    /// All classes so far, by id.
    #[must_use]
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// What made the class: where several rules make the same, the one that was met first.
    #[must_use]
    pub fn why(&self, class: ClassId) -> Why {
        self.whys[class.index()]
    }

    /// The classes, by id.
    #[must_use]
    pub fn into_classes(self) -> Vec<Class> {
        self.classes
    }

    /// Takes in the classes of another classifier of the map: what each is here. `None` where there might be more than
    /// [`CLASSES_MAX`] together, so that places must be told apart less well.
    pub fn absorb(&mut self, other: Self) -> Option<Vec<ClassId>> {
        if self.classes.len() + other.classes.len() + self.recipes.len() >= CLASSES_MAX {
            return None;
        }
        let theirs = other.classes.into_iter().zip(other.whys);
        Some(theirs.map(|(class, why)| self.number(class, why)).collect())
    }

    fn number(&mut self, class: Class, why: Why) -> ClassId {
        if let Some(id) = self.ids.get(&class) {
            return *id;
        }
        let id = ClassId::from_index(self.classes.len());
        self.whys.push(why);
        self.classes.push(class.clone());
        self.ids.insert(class, id);
        id
    }

    fn remember(&mut self, recipe: usize, spot: Spot, find: impl FnOnce(&mut Self) -> ClassId) -> ClassId {
        if let Some(id) = self.remembered.get(&(recipe, spot)) {
            return *id;
        }
        let id = find(self);
        self.remembered.insert((recipe, spot), id);
        id
    }

    fn intern(&mut self, recipe: usize, place: &Place, spot: Spot) -> ClassId {
        let class = self.recipes[recipe].class(place, self.regions);
        if let Some(id) = self.ids.get(&class) {
            return *id;
        }
        // One class is kept free for each recipe, so that this ends.
        if self.classes.len() + self.recipes.len() >= CLASSES_MAX && spot != Spot::Anywhere {
            return self.intern(recipe, &Place::default(), Spot::Anywhere);
        }
        let rule = self.map.rules.get(recipe).map(|rule| rule.matcher);
        let by = self.recipes[recipe].inside.by(place);
        self.number(class, Why { rule, by })
    }
}

/// What of a place an order may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Spot {
    /// On nothing.
    Anywhere,
    /// The bits of latitude and longitude.
    At(u64, u64),
    On(Option<Continent>),
    /// On the nearest regions inside and outside: many coordinates share these.
    Near([Nearest; 2]),
}

impl Spot {
    fn of(place: &Place) -> Self {
        place.location.map_or(Self::On(place.continent), |location| {
            Self::At(location.latitude().to_bits(), location.longitude().to_bits())
        })
    }
}

/// The rules by what they match, networks apart. One table per kind: most maps use one or two, and an empty
/// table costs nothing to ask.
#[derive(Debug, Default)]
struct RuleIndex {
    asn: HashMap<Matcher, usize>,
    subdivision: HashMap<Matcher, usize>,
    country: HashMap<Matcher, usize>,
    continent: HashMap<Matcher, usize>,
    default: Option<usize>,
}

impl RuleIndex {
    fn new(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        // The first of equal matchers holds, though `config` lets no two pass.
        for (at, rule) in rules.iter().enumerate().rev() {
            match rule.matcher {
                Matcher::Network(_) => None,
                Matcher::Asn(_) => index.asn.insert(rule.matcher, at),
                Matcher::Subdivision(..) => index.subdivision.insert(rule.matcher, at),
                Matcher::Country(_) => index.country.insert(rule.matcher, at),
                Matcher::Continent(_) => index.continent.insert(rule.matcher, at),
                Matcher::Default => index.default.replace(at),
            };
        }
        index
    }

    fn most_specific(&self, place: &Place) -> Option<usize> {
        let find = |table: &HashMap<Matcher, usize>, matcher: Option<Matcher>| {
            matcher.and_then(|matcher| table.get(&matcher).copied())
        };
        let subdivision = place.country.zip(place.subdivision);
        find(&self.asn, place.asn.map(Matcher::Asn))
            .or_else(|| {
                find(
                    &self.subdivision,
                    subdivision.map(|(country, part)| Matcher::Subdivision(country, part)),
                )
            })
            .or_else(|| find(&self.country, place.country.map(Matcher::Country)))
            .or_else(|| find(&self.continent, place.continent.map(Matcher::Continent)))
            .or(self.default)
    }
}

/// How one rule, or the map itself, makes a class of a place.
#[derive(Debug)]
struct Recipe {
    inside: Part,
    outside: Part,
    fence: Fence,
    weighted: bool,
    inside_count: u16,
    /// Whether clients at different places may get different classes.
    minds_place: bool,
}

impl Recipe {
    fn new(map: &Map, rule: Option<&Rule>, regions: &[Region]) -> Self {
        let everything: Vec<RegionId> = (0..regions.len()).map(RegionId::from_index).collect();
        let named = rule.map_or(&[][..], |rule| &rule.regions);
        let own_order = rule.and_then(|rule| rule.order.as_ref());
        // A rule that names no region only chooses an order, and has no inside to fence.
        let Some(rule) = rule.filter(|_| !named.is_empty()) else {
            let order = own_order.unwrap_or(&map.order);
            return Self::assemble(
                Part::new(order, &everything, regions),
                Part::empty(),
                Fence::None,
                *order == Order::Weighted,
            );
        };
        let inside = match own_order {
            Some(order) => Part::new(order, named, regions),
            None => Part::new(&Order::Listed(named.to_vec()), named, regions),
        };
        let others: Vec<RegionId> = everything.into_iter().filter(|region| !named.contains(region)).collect();
        let outside =
            if rule.fence == Fence::Hard { Part::empty() } else { Part::new(&map.order, &others, regions) };
        Self::assemble(inside, outside, rule.fence, own_order == Some(&Order::Weighted))
    }

    fn assemble(inside: Part, outside: Part, fence: Fence, weighted: bool) -> Self {
        let bounded = fence != Fence::None || weighted;
        let count = inside.len() + if bounded { 0 } else { outside.len() };
        let inside_count = u16::try_from(count).expect("a region's id is 16 bits wide");
        let minds_place = [&inside, &outside].iter().any(|part| matches!(part, Part::Nearest(_)));
        Self { inside, outside, fence, weighted, inside_count, minds_place }
    }

    fn nearest(&self, location: Location) -> [Nearest; 2] {
        [&self.inside, &self.outside].map(|part| match part {
            Part::Nearest(sites) => Nearest::of(sites, location),
            Part::Listed(_) | Part::Weighted(_) => Nearest::of(&[], location),
        })
    }

    fn class(&self, place: &Place, regions: &[Region]) -> Class {
        let mut order = Vec::with_capacity(self.inside.len() + self.outside.len());
        self.inside.extend(&mut order, place, regions);
        self.outside.extend(&mut order, place, regions);
        Class {
            order: order.into(),
            inside: self.inside_count,
            fence: self.fence,
            weighted: self.weighted,
            vantage: None,
        }
    }
}

/// Some regions and how they are ordered.
#[derive(Debug)]
enum Part {
    Listed(Vec<RegionId>),
    /// As declared here; lots decide later.
    Weighted(Vec<RegionId>),
    Nearest(Vec<Site>),
}

impl Part {
    fn empty() -> Self {
        Self::Listed(Vec::new())
    }

    /// `members` may repeat; each region is taken once.
    fn new(order: &Order, members: &[RegionId], regions: &[Region]) -> Self {
        let mut declared = members.to_vec();
        declared.sort_unstable();
        declared.dedup();
        match order {
            Order::Listed(list) => {
                let mut listed = Vec::with_capacity(declared.len());
                for region in list.iter().filter(|region| members.contains(region)).chain(&declared) {
                    if !listed.contains(region) {
                        listed.push(*region);
                    }
                }
                Self::Listed(listed)
            }
            Order::Weighted => Self::Weighted(declared),
            Order::Nearest => {
                Self::Nearest(declared.into_iter().map(|id| Site::new(id, &regions[id.index()])).collect())
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Listed(regions) | Self::Weighted(regions) => regions.len(),
            Self::Nearest(sites) => sites.len(),
        }
    }

    fn extend(&self, order: &mut Vec<RegionId>, place: &Place, regions: &[Region]) {
        match (self, place.location) {
            (Self::Listed(listed) | Self::Weighted(listed), _) => order.extend(listed),
            (Self::Nearest(sites), Some(location)) => Nearest::of(sites, location).extend(order, sites),
            (Self::Nearest(sites), None) => {
                let is_far = |region: &RegionId| {
                    place.continent.is_some() && regions[region.index()].continent != place.continent
                };
                let start = order.len();
                order.extend(sites.iter().map(|site| site.region));
                order[start..].sort_by_key(is_far);
            }
        }
    }

    fn by(&self, place: &Place) -> By {
        match (self, place.location, place.continent) {
            (Self::Listed(_), ..) => By::List,
            (Self::Weighted(_), ..) => By::Weight,
            (Self::Nearest(_), Some(_), _) => By::Distance,
            (Self::Nearest(_), None, Some(continent)) => By::Continent(continent),
            (Self::Nearest(_), None, None) => By::Declaration,
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rule {
            Some(matcher) => write!(f, "rule {matcher}, {}", self.by),
            None => write!(f, "no rule, the map's order: {}", self.by),
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List => f.write_str("as listed"),
            Self::Distance => f.write_str("nearest first"),
            Self::Continent(continent) => {
                write!(f, "regions of {} first, coordinates not known", continent.as_str())
            }
            Self::Declaration => f.write_str("as declared, place not known"),
            Self::Weight => f.write_str("by weight"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions() -> Vec<Region> {
        let all = [
            ("eu", Continent::Europe, (53.35, -6.26)),
            ("us", Continent::NorthAmerica, (40.7, -74.0)),
            ("ap", Continent::Asia, (35.7, 139.7)),
            ("de", Continent::Europe, (50.1, 8.7)),
            ("sa", Continent::SouthAmerica, (-23.5, -46.6)),
            ("af", Continent::Africa, (-33.9, 18.4)),
        ];
        all.map(|(name, continent, (latitude, longitude))| Region {
            name: name.to_owned(),
            continent: Some(continent),
            location: Some(Location::new(latitude, longitude).unwrap()),
            bias: 1.0,
        })
        .into()
    }

    fn ids(names: &str) -> Vec<RegionId> {
        let find = |name| regions().iter().position(|region| region.name == name).unwrap();
        names.split_whitespace().map(|name| RegionId::from_index(find(name))).collect()
    }

    fn matcher(text: &str) -> Matcher {
        match text.split_once(':') {
            Some(("net", prefix)) => Matcher::Network(prefix.parse().unwrap()),
            Some(("asn", number)) => Matcher::Asn(number.parse().unwrap()),
            Some(("subdivision", code)) => {
                let (country, part) = code.split_once('-').unwrap();
                Matcher::Subdivision(country.parse().unwrap(), part.parse().unwrap())
            }
            Some(("country", code)) => Matcher::Country(code.parse().unwrap()),
            Some(("continent", code)) => Matcher::Continent(code.parse().unwrap()),
            _ => Matcher::Default,
        }
    }

    fn rule(text: &str, regions: &str, order: Option<Order>, fence: Fence) -> Rule {
        Rule { matcher: matcher(text), regions: ids(regions), order, fence }
    }

    fn map(order: Order, rules: Vec<Rule>) -> Map {
        Map { name: "world".to_owned(), order, rules }
    }

    /// A place in "IE EU 53.3/-6.2 US-CA AS64500": any of these.
    fn place(text: &str) -> Place {
        let mut place = Place::default();
        for word in text.split_whitespace() {
            if let Some((latitude, longitude)) = word.split_once('/') {
                place.location =
                    Some(Location::new(latitude.parse().unwrap(), longitude.parse().unwrap()).unwrap());
            } else if let Some(number) = word.strip_prefix("AS").filter(|number| !number.is_empty()) {
                place.asn = Some(number.parse().unwrap());
            } else if let Some((country, part)) = word.split_once('-') {
                place.country = Some(country.parse().unwrap());
                place.subdivision = Some(part.parse().unwrap());
            } else if let Ok(continent) = word.parse() {
                place.continent = Some(continent);
            } else {
                place.country = Some(word.parse().unwrap());
            }
        }
        place
    }

    /// The order, with a bar behind the inside, and why.
    fn classify(map: &Map, at: &str, network_rule: Option<usize>) -> (String, String) {
        let regions = regions();
        let mut classifier = map.classes(&regions);
        let id = classifier.class_of(&place(at), network_rule);
        let class = &classifier.classes()[id.index()];
        let mut names: Vec<_> = class.order.iter().map(|id| regions[id.index()].name.as_str()).collect();
        names.insert(usize::from(class.inside), "|");
        (names.join(" "), classifier.why(id).to_string())
    }

    fn order(map: &Map, at: &str) -> String {
        classify(map, at, None).0
    }

    #[test]
    fn the_most_specific_rule_wins() {
        let rules =
            ["default", "continent:NA", "country:US", "subdivision:US-CA", "asn:64500", "net:203.0.113.0/24"];
        let names = ["af", "sa", "us", "ap", "de", "eu"];
        let rules = rules.iter().zip(names).map(|(text, name)| rule(text, name, None, Fence::Hard)).collect();
        let map = map(Order::Nearest, rules);
        for (at, network_rule, expected) in [
            ("US-CA NA AS64500", Some(5), "eu |"),
            ("US-CA NA AS64500", None, "de |"),
            ("US-CA NA AS64501", None, "ap |"),
            ("US-NY NA", None, "us |"),
            ("CA NA", None, "sa |"),
            ("", None, "af |"),
        ] {
            assert_eq!(classify(&map, at, network_rule).0, expected, "{at}");
        }
        assert_eq!(map.network_rules().collect::<Vec<_>>(), [("203.0.113.0/24".parse().unwrap(), 5)]);
    }

    #[test]
    fn the_map_s_own_order_holds_for_the_rest() {
        let listed = map(Order::Listed(ids("us eu us")), Vec::new());
        assert_eq!(
            classify(&listed, "IE", None),
            ("us eu ap de sa af |".into(), "no rule, the map's order: as listed".into())
        );
        let nearest = map(Order::Nearest, Vec::new());
        let (order, why) = classify(&nearest, "IE EU 53.3/-6.2", None);
        assert_eq!(
            (order.as_str(), why.as_str()),
            ("eu de us sa ap af |", "no rule, the map's order: nearest first")
        );
    }

    #[test]
    fn without_coordinates_the_continent_decides_and_else_the_declaration() {
        let map = map(Order::Nearest, Vec::new());
        assert_eq!(order(&map, "EU"), "eu de us ap sa af |");
        assert_eq!(order(&map, "AS"), "ap eu us de sa af |");
        assert_eq!(order(&map, "IE"), "eu us ap de sa af |");
    }

    #[test]
    fn a_fence_bars_prefers_or_only_orders() {
        for (fence, expected) in [
            (Fence::Hard, "us eu |"),
            (Fence::Prefer, "us eu | de sa ap af"),
            (Fence::None, "us eu de sa ap af |"),
        ] {
            let rules = vec![rule("country:IE", "us eu us", None, fence)];
            assert_eq!(order(&map(Order::Nearest, rules), "IE 53.3/-6.2"), expected);
        }
        let rules = vec![rule("country:IE", "us ap eu", Some(Order::Nearest), Fence::Prefer)];
        let (order, why) = classify(&map(Order::Listed(ids("af")), rules), "IE 53.3/-6.2", None);
        assert_eq!((order.as_str(), why.as_str()), ("eu us ap | af de sa", "rule country:IE, nearest first"));
    }

    #[test]
    fn a_rule_without_regions_only_chooses_an_order() {
        let rules = vec![rule("country:IE", "", Some(Order::Listed(ids("af"))), Fence::Hard)];
        assert_eq!(order(&map(Order::Nearest, rules), "IE 53.3/-6.2"), "af eu us ap de sa |");
    }

    #[test]
    fn weights_hold_for_the_regions_that_a_rule_names() {
        let regions = regions();
        let rules = vec![rule("country:IE", "us eu", Some(Order::Weighted), Fence::None)];
        let map = map(Order::Weighted, rules);
        let mut classifier = map.classes(&regions);
        let ids = [classifier.class_of(&place("IE"), None), classifier.class_of(&place("FR"), None)];
        let found =
            ids.map(|id| &classifier.classes()[id.index()]).map(|class| (class.weighted, class.inside));
        assert_eq!(found, [(true, 2), (true, 6)]);
    }

    #[test]
    fn equal_classes_are_one() {
        let regions = regions();
        let rules = vec![
            rule("country:IE", "eu us", None, Fence::Hard),
            rule("country:FR", "eu us", None, Fence::Hard),
        ];
        let map = map(Order::Nearest, rules);
        let mut classifier = map.classes(&regions);
        let [ireland, france] = ["IE", "FR"].map(|country| classifier.class_of(&place(country), None));
        assert_eq!(ireland, france);
        let [here, there] = ["53.3/-6.2", "53.4/-6.3"].map(|spot| classifier.class_of(&place(spot), None));
        assert_eq!(here, there);
        assert_eq!(classifier.classes().len(), 2);
    }

    #[test]
    fn classes_of_two_classifiers_become_those_of_one_unless_they_are_too_many() {
        let (regions, map) = (regions(), map(Order::Nearest, Vec::new()));
        let [ireland, brazil, japan] = ["53.3/-6.2", "-23.5/-46.6", "35.7/139.7"].map(place);
        let classifier = |places: &[Place]| {
            let mut classifier = map.classes(&regions);
            for place in places {
                classifier.class_of(place, None);
            }
            classifier
        };
        let mut one = classifier(&[ireland, brazil]);
        let other = classifier(&[japan, brazil]);
        assert_eq!(one.absorb(other), Some(vec![ClassId(2), ClassId(1)]));
        assert_eq!(one.into_classes(), classifier(&[ireland, brazil, japan]).into_classes());
        let mut full = classifier(&[ireland]);
        full.classes = vec![full.classes[0].clone(); CLASSES_MAX - 2];
        assert_eq!(full.absorb(classifier(&[brazil])), None);
    }
}
