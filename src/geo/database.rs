//! Databases in the MaxMind DB format, and the only file that names their reader. A file is read whole, walked
//! to its last network, each distinct record decoded once, and then dropped: what stays are spans over
//! decoded places, so that nothing in it can fail after loading. (The reader's own `verify` is not used: it
//! refuses files without a description, which are common, and walks everything a second time.)

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::{IpAddr, Ipv6Addr};

use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader};
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::layout::{self, Field, Layout, Scalar, Step};
use super::search_tree::{Record, SearchTree, TreeFault};
use super::spans::{Address, Bits, Builder, Span, Spans};
use crate::beside::beside;
use crate::net::{self, EMBEDDING_RANGES, Prefix};
use crate::place::Place;

/// A database, decoded and checked.
#[derive(Clone, Debug)]
pub struct Database {
    metadata: Metadata,
    /// The distinct records in the order in which the networks first name them.
    places: Vec<Place>,
    v4: Spans<u32, PlaceId>,
    v6: Spans<u128, PlaceId>,
}

/// A distinct record of one database; or that it has none, [`PlaceId::UNKNOWN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceId(u32);

/// What a database says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The kind of database in its maker's words: "GeoLite2-City".
    pub kind: String,
    /// When it was built, in seconds since 1970.
    pub build_epoch: u64,
    /// How many networks have a record; an IPv4 network counts once, wherever IPv6 repeats it.
    pub networks: usize,
    /// 4 when it knows IPv4 only, else 6.
    pub ip_version: u16,
    /// What some record tells, of all that was sought. What is completed by country is not among it.
    pub fields: Vec<Field>,
}

/// Why a database is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseFault {
    /// There is nothing in the file.
    Empty,
    /// More octets than [`OCTETS_MAX`].
    TooLarge(usize),
    /// More networks than [`NETWORKS_MAX`].
    TooManyNetworks,
    /// No end of a MaxMind DB; what the file looks like instead, if it is known.
    Foreign(Option<&'static str>),
    /// It begins or ends well but contradicts itself; where.
    Damaged(String),
    /// It is well-formed, but none of its networks has a record.
    Hollow,
    /// No record has any of the fields that were asked for.
    WrongType {
        /// The fields, with the paths at which they were sought.
        sought: Vec<(Field, Vec<String>)>,
        /// The kind of database in its maker's words.
        kind: String,
        /// The fields of its first record.
        present: Vec<String>,
    },
}

/// The largest file that is read: twice the largest database on the market.
pub const OCTETS_MAX: usize = 2 << 30;

/// The most networks that are read: twice those of the largest free city database.
pub const NETWORKS_MAX: usize = 1 << 24;

/// How many times over the networks of a search tree may be reached. Writers share subtrees between a few
/// ranges; a damaged tree can be shared without end.
const SHARING_MAX: usize = 4;

impl Database {
    /// Decodes and checks a file's octets.
    ///
    /// # Errors
    /// When they are no database, a damaged one, or one without the fields that `layout` needs.
    pub fn from_octets(octets: Vec<u8>, layout: &Layout) -> Result<Self, DatabaseFault> {
        if octets.is_empty() {
            return Err(DatabaseFault::Empty);
        }
        if octets.len() > OCTETS_MAX {
            return Err(DatabaseFault::TooLarge(octets.len()));
        }
        let tail = &octets[octets.len().saturating_sub(METADATA_OCTETS_MAX)..];
        if !tail.windows(METADATA_MARKER.len()).any(|window| window == METADATA_MARKER) {
            return Err(DatabaseFault::Foreign(other_kind(&octets)));
        }
        let reader = Reader::from_source(&octets[..]).map_err(damaged)?;
        let (nodes, version) = (reader.metadata().node_count, reader.metadata().ip_version);
        let tree = SearchTree::new(&octets, nodes, reader.metadata().record_size, version)?;
        let of_v6 = if version == 6 { native_v6() } else { Vec::new() };
        // A start waits for both.
        let (v6, v4) = beside(
            || walk::<u128>(&tree, &of_v6, Records::new(&reader, layout)),
            || walk::<u32>(&tree, &[whole_v4()], Records::new(&reader, layout)),
        );
        let ((v4, mut records), (v6, others)) = (v4?, v6?);
        let ids = records.absorb(others)?;
        let v6 = v6.renamed(|id| ids[id.index()]);
        records.satisfy(layout, &reader)?;
        let metadata = Metadata {
            kind: reader.metadata().database_type.clone(),
            build_epoch: reader.metadata().build_epoch,
            networks: records.networks,
            ip_version: reader.metadata().ip_version,
            fields: records.fields(),
        };
        let places = records.places.into_iter().map(layout::complete).collect();
        Ok(Self { metadata, places, v4, v6 })
    }

    /// What the database says of itself.
    #[must_use]
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Where `address` is, and the prefix around it for which that holds. An IPv4 address inside an IPv6 one
    /// counts in its place.
    #[must_use]
    pub fn place(&self, address: IpAddr) -> (Place, Prefix) {
        let (id, length) = match address {
            IpAddr::V4(v4) => around(&self.v4, v4.to_bits()),
            IpAddr::V6(v6) => match net::embedded_v4(v6) {
                Some(inside) => {
                    let (id, length) = around(&self.v4, inside.address.to_bits());
                    (id, inside.offset + length)
                }
                None => {
                    let span = self.v6.around(v6.to_bits()).native(v6.to_bits());
                    (span.value, span.depth(v6.to_bits()))
                }
            },
        };
        let prefix = Prefix::holding(address, length).expect("a depth fits its family");
        (self.record(id).copied().unwrap_or_default(), prefix)
    }

    /// The record of an id that this database gave; `None` for [`PlaceId::UNKNOWN`].
    #[must_use]
    pub fn record(&self, id: PlaceId) -> Option<&Place> {
        id.0.checked_sub(1).map(|index| &self.places[index as usize])
    }

    /// Every id of this database, the unknown one first; [`PlaceId::index`] counts in this order.
    pub fn ids(&self) -> impl Iterator<Item = PlaceId> + use<> {
        (0..=u32::try_from(self.places.len()).expect("ids were given by counting in u32")).map(PlaceId)
    }

    /// The records of the IPv4 addresses.
    #[must_use]
    pub fn v4(&self) -> &Spans<u32, PlaceId> {
        &self.v4
    }

    /// The records of the IPv6 addresses. Of those that carry an IPv4 address, and of `::/96`, under which
    /// the format keeps IPv4 and no client has an address, nothing is known here.
    #[must_use]
    pub fn v6(&self) -> &Spans<u128, PlaceId> {
        &self.v6
    }

    /// Both families with each record judged once.
    #[must_use]
    pub fn spans<T: Copy + Eq>(
        &self,
        mut judge: impl FnMut(Option<&Place>) -> T,
    ) -> (Spans<u32, T>, Spans<u128, T>) {
        let judged: Vec<T> = self.ids().map(|id| judge(self.record(id))).collect();
        (self.v4.map(|id| judged[id.index()]), self.v6.map(|id| judged[id.index()]))
    }
}

impl PlaceId {
    /// No record: nothing is known.
    pub const UNKNOWN: Self = Self(0);

    /// Its position among [`Database::ids`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// The metadata stand within so many octets of the file's end (MaxMind DB specification 2.0).
const METADATA_OCTETS_MAX: usize = 128 << 10;

/// The octets before the metadata.
const METADATA_MARKER: &[u8] = b"\xab\xcd\xefMaxMind.com";

fn around<A: Address>(spans: &Spans<A, PlaceId>, address: A) -> (PlaceId, u8) {
    let span = spans.around(address);
    (span.value, span.depth(address))
}

fn whole_v4() -> Prefix {
    Prefix::holding(IpAddr::from([0; 4]), 0).expect("every length from 0 is one")
}

/// What is left of IPv6 without the ranges that carry IPv4 addresses and without `::/96`, in order.
fn native_v6() -> Vec<Prefix> {
    let compatible = Prefix::holding(Ipv6Addr::UNSPECIFIED.into(), 96).expect("96 fits IPv6");
    let holes = EMBEDDING_RANGES.into_iter().chain([compatible]).map(|range| (range, false));
    let native = Spans::<u128, bool>::uniform(true).overlay(holes);
    native.iter().filter(|span| span.value).flat_map(prefixes).collect()
}

/// The fewest prefixes that make up a span, in order.
fn prefixes(span: Span<u128, bool>) -> Vec<Prefix> {
    let mut prefixes = Vec::new();
    let mut next = Some(span.first);
    while let Some(first) = next.filter(|first| *first <= span.last) {
        // Around a span's first address, no prefix inside it begins elsewhere.
        let length = Span { first, ..span }.depth(first);
        let prefix =
            Prefix::holding(Ipv6Addr::from_bits(first).into(), length).expect("a depth fits its family");
        next = u128::of(prefix.last()).and_then(Bits::next);
        prefixes.push(prefix);
    }
    prefixes
}

/// The records of all networks inside `ranges`, which ascend and do not overlap.
fn walk<'a, A: Address>(
    tree: &SearchTree<'_>,
    ranges: &[Prefix],
    mut records: Records<'a>,
) -> Result<(Spans<A, PlaceId>, Records<'a>), DatabaseFault> {
    let expected = (records.nodes() + 1).min(NETWORKS_MAX);
    let mut spans = Builder::new(PlaceId::UNKNOWN, expected);
    for range in ranges {
        tree.walk(*range, |network: Span<A, Record>| {
            records.count()?;
            if tree.is_data(network.value) {
                let value = records.id_of(network.value, network.first)?;
                spans.add(Span { first: network.first, last: network.last, value });
            }
            Ok::<(), DatabaseFault>(())
        })?;
    }
    Ok((spans.finish(), records))
}

/// The distinct records met on a walk.
struct Records<'a> {
    reader: &'a Reader<&'a [u8]>,
    /// By field, the paths of the layout in the reader's words.
    paths: [Vec<Vec<PathElement<'a>>>; Field::ALL.len()],
    /// Ids by what leads to the record.
    ids: HashMap<Record, PlaceId, BuildHasherDefault<Spread>>,
    /// The last of them: neighbours are often alike.
    last: (Record, PlaceId),
    /// Records as they are, not yet completed.
    places: Vec<Place>,
    /// The fields of the first record.
    present: Vec<String>,
    /// Networks with a record.
    networks: usize,
    /// How many more networks, with or without a record, the search tree can have.
    left: usize,
}

impl<'a> Records<'a> {
    fn new(reader: &'a Reader<&'a [u8]>, layout: &'a Layout) -> Self {
        let element = |step: &'a Step| match step {
            Step::Key(key) => PathElement::Key(key),
            Step::Index(index) => PathElement::Index(*index),
        };
        let elements =
            |field| layout.paths(field).iter().map(|path| path.steps().iter().map(element).collect());
        let nodes = reader.metadata().node_count as usize;
        Self {
            paths: Field::ALL.map(|field| elements(field).collect()),
            reader,
            ids: HashMap::default(),
            // No record: the first node is not data.
            last: (0, PlaceId::UNKNOWN),
            places: Vec::new(),
            present: Vec::new(),
            networks: 0,
            left: (nodes + 1).saturating_mul(SHARING_MAX) + native_v6().len(),
        }
    }

    fn nodes(&self) -> usize {
        self.reader.metadata().node_count as usize
    }

    /// Takes in what was met on another walk: which id each of its ids is here.
    fn absorb(&mut self, others: Self) -> Result<Vec<PlaceId>, DatabaseFault> {
        self.add_networks(others.networks)?;
        let mut records: Vec<(PlaceId, Record)> =
            others.ids.into_iter().map(|(record, id)| (id, record)).collect();
        records.sort_unstable();
        if self.places.is_empty() {
            self.present = others.present;
        }
        let mut ids = vec![PlaceId::UNKNOWN];
        for ((_, record), place) in records.into_iter().zip(others.places) {
            ids.push(self.ids.get(&record).copied().unwrap_or_else(|| self.keep(record, place)));
        }
        Ok(ids)
    }

    /// One more network, with or without a record.
    fn count(&mut self) -> Result<(), DatabaseFault> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            DatabaseFault::Damaged("its search tree leads to the same nodes again and again".to_owned())
        })?;
        Ok(())
    }

    /// The id of the record of the network that begins with `address`, decoded if it is new.
    fn id_of<A: Address>(&mut self, record: Record, address: A) -> Result<PlaceId, DatabaseFault> {
        self.add_networks(1)?;
        if self.last.0 != record {
            let known = self.ids.get(&record).copied();
            self.last = (record, known.map_or_else(|| self.add(record, address.address()), Ok)?);
        }
        Ok(self.last.1)
    }

    fn add(&mut self, record: Record, address: IpAddr) -> Result<PlaceId, DatabaseFault> {
        let found = self.reader.lookup(address).map_err(damaged)?;
        if self.places.is_empty() {
            self.present = keys(&found);
        }
        let place = self.decode(&found)?;
        Ok(self.keep(record, place))
    }

    fn keep(&mut self, record: Record, place: Place) -> PlaceId {
        self.places.push(place);
        let id = PlaceId(u32::try_from(self.places.len()).expect("a file of 2 GiB has fewer records"));
        self.ids.insert(record, id);
        id
    }

    fn add_networks(&mut self, count: usize) -> Result<(), DatabaseFault> {
        self.networks += count;
        if self.networks > NETWORKS_MAX { Err(DatabaseFault::TooManyNetworks) } else { Ok(()) }
    }

    fn decode(&self, record: &LookupResult<'_, &[u8]>) -> Result<Place, DatabaseFault> {
        let country = self.read(record, Field::Country, Scalar::word)?;
        let latitude = self.read(record, Field::Latitude, Scalar::degrees)?;
        let longitude = self.read(record, Field::Longitude, Scalar::degrees)?;
        Ok(Place {
            country,
            continent: self.read(record, Field::Continent, Scalar::word)?,
            subdivision: self.read(record, Field::Subdivision, |value| value.subdivision(country))?,
            asn: self.read(record, Field::Asn, Scalar::asn)?,
            location: layout::location(latitude, longitude),
        })
    }

    /// The first value of a field that makes sense.
    fn read<V>(
        &self,
        record: &LookupResult<'_, &[u8]>,
        field: Field,
        parse: impl Fn(&Scalar) -> Option<V>,
    ) -> Result<Option<V>, DatabaseFault> {
        for path in &self.paths[field as usize] {
            match record.decode_path::<Scalar>(path) {
                Ok(value) => {
                    if let Some(value) = value.as_ref().and_then(&parse) {
                        return Ok(Some(value));
                    }
                }
                // The path leads through something that is no map or list: another layout.
                Err(MaxMindDbError::Decoding { .. }) => {}
                Err(error) => return Err(damaged(error)),
            }
        }
        Ok(None)
    }

    /// What some record tells.
    fn fields(&self) -> Vec<Field> {
        let told = |field: &Field| self.places.iter().any(|place| layout::tells(place, *field));
        Field::ALL.into_iter().filter(told).collect()
    }

    /// Refuses a database that lacks what the layout needs.
    fn satisfy(&self, layout: &Layout, reader: &Reader<&[u8]>) -> Result<(), DatabaseFault> {
        if self.networks == 0 {
            return Err(DatabaseFault::Hollow);
        }
        let told = self.fields();
        let met = |group: &&Vec<Field>| group.iter().any(|field| told.contains(field));
        let Some(lacking) = layout.needs().iter().find(|group| !met(group)) else {
            return Ok(());
        };
        let paths = |field: &Field| layout.paths(*field).iter().map(ToString::to_string).collect();
        Err(DatabaseFault::WrongType {
            sought: lacking.iter().map(|field| (*field, paths(field))).collect(),
            kind: reader.metadata().database_type.clone(),
            present: self.present.clone(),
        })
    }
}

/// Spreads what leads to records over a table. The file is the operator's, so that nobody chooses collisions.
#[derive(Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, _: &[u8]) {
        unreachable!("records are numbers")
    }
    fn write_u32(&mut self, record: u32) {
        // Fibonacci hashing; a table takes bits from both ends.
        let spread = u64::from(record).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = spread ^ spread >> 32;
    }
}

impl From<TreeFault> for DatabaseFault {
    fn from(fault: TreeFault) -> Self {
        Self::Damaged(fault.to_string())
    }
}

/// The fields of a record, if it is a map.
fn keys(record: &LookupResult<'_, &[u8]>) -> Vec<String> {
    let fields = record.decode::<HashMap<String, IgnoredAny>>().ok().flatten();
    let mut keys: Vec<String> = fields.unwrap_or_default().into_keys().collect();
    keys.sort();
    keys
}

fn damaged(error: MaxMindDbError) -> DatabaseFault {
    DatabaseFault::Damaged(error.to_string())
}

/// What the file looks like, by its first octets.
fn other_kind(octets: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 4] = [
        (b"\x1f\x8b", "a gzip archive; unpack it first"),
        (b"PK", "a zip archive; unpack it first"),
        (b"<", "a web page; the download went wrong"),
        (b"version https://git-lfs", "a git-lfs pointer; fetch the file itself"),
    ];
    kinds.into_iter().find(|(start, _)| octets.starts_with(start)).map(|(_, kind)| kind)
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: serde::Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        source.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a record")
    }
    fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar::Text(text.to_owned()))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar::Whole(number))
    }
    fn visit_i64<E>(self, number: i64) -> Result<Scalar, E> {
        // The format has signed numbers of 32 bits only, so the cast of what is not one keeps its order.
        Ok(i32::try_from(number).map_or(Scalar::Other, |number| Scalar::Real(f64::from(number))))
    }
    fn visit_f64<E>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar::Real(number))
    }
    fn visit_u128<E>(self, _: u128) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }
    fn visit_bytes<E>(self, _: &[u8]) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }
    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Scalar, S::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
    fn visit_map<M: MapAccess<'de>>(self, mut entries: M) -> Result<Scalar, M::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

impl fmt::Display for DatabaseFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the file is empty; a MaxMind DB file (.mmdb) is needed"),
            Self::TooLarge(octets) => {
                write!(f, "the file has {octets} octets; at most {OCTETS_MAX} are read")
            }
            Self::TooManyNetworks => {
                write!(
                    f,
                    "the database has more than {NETWORKS_MAX} networks, which is the most that are read"
                )
            }
            Self::Foreign(Some(kind)) => write!(f, "this is no MaxMind DB file (.mmdb) but {kind}"),
            Self::Foreign(None) => f.write_str(
                "the file does not end like a MaxMind DB file (.mmdb): it is of another kind, or cut short",
            ),
            Self::Damaged(how) => write!(f, "the database is damaged or cut short: {how}; fetch it again"),
            Self::Hollow => f.write_str("no network in the database has a record; fetch it again"),
            Self::WrongType { sought, kind, present } => {
                write!(f, "no record of this {kind:?} database tells ")?;
                for (position, (field, paths)) in sought.iter().enumerate() {
                    let or = if position == 0 { "" } else { ", or " };
                    write!(f, "{or}{} (sought at {})", field.as_str(), paths.join(", "))?;
                }
                write!(f, "; its first record has {}", present.join(", "))?;
                f.write_str("; give a database of the right type, or the path of the field")
            }
        }
    }
}

impl std::error::Error for DatabaseFault {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::place::{Continent, Location};

    const NESTED: &[u8] = include_bytes!("../../tests/fixtures/geo/nested-city.mmdb");
    const FLAT: &[u8] = include_bytes!("../../tests/fixtures/geo/flat-city.mmdb");
    const ASN: &[u8] = include_bytes!("../../tests/fixtures/geo/asn.mmdb");
    const IPV4_ONLY: &[u8] = include_bytes!("../../tests/fixtures/geo/ipv4-only.mmdb");
    const HOLLOW: &[u8] = include_bytes!("../../tests/fixtures/geo/hollow.mmdb");

    fn places(octets: &[u8]) -> Database {
        Database::from_octets(octets.to_vec(), &Layout::places()).unwrap()
    }

    fn fault(octets: &[u8]) -> DatabaseFault {
        Database::from_octets(octets.to_vec(), &Layout::places()).unwrap_err()
    }

    /// `country/subdivision scope`, with a dash for what is unknown.
    fn told(database: &Database, address: &str) -> String {
        let (place, prefix) = database.place(address.parse().unwrap());
        let country = place.country.map_or("-".to_owned(), |country| country.to_string());
        let subdivision = place.subdivision.map_or("-".to_owned(), |subdivision| subdivision.to_string());
        format!("{country}/{subdivision} {prefix}")
    }

    #[test]
    fn the_nested_layout_is_read() {
        let database = places(NESTED);
        for (address, expected) in [
            ("192.0.2.1", "US/CA 192.0.2.0/25"),
            ("192.0.2.200", "US/NY 192.0.2.128/25"),
            ("198.51.100.1", "IE/- 198.51.100.0/24"),
            ("203.0.113.1", "JP/- 203.0.113.0/24"),
            ("203.0.112.255", "-/- 203.0.112.0/24"),
            ("2001:db8::1", "IE/L 2001:db8::/33"),
            ("2001:db8:ffff::1", "DE/- 2001:db8:8000::/33"),
            ("ffff::", "-/- 8000::/1"),
            // Of these nothing is known either way, but IPv4 clients lie between them.
            ("2003::", "-/- 2003::/16"),
        ] {
            assert_eq!(told(&database, address), expected, "{address}");
        }
        let (place, _) = database.place("192.0.2.1".parse().unwrap());
        assert_eq!(place.location, Location::new(37.75, -122.5).ok());
        assert_eq!(place.continent, Some(Continent::NorthAmerica));
    }

    #[test]
    fn an_ipv4_address_inside_an_ipv6_one_counts() {
        let database = places(NESTED);
        for (address, expected) in [
            ("::ffff:192.0.2.200", "US/NY 192.0.2.128/25"),
            ("2002:c000:2c8:5::1", "US/NY 2002:c000:280::/41"),
            ("64:ff9b::192.0.2.200", "US/NY 64:ff9b::c000:280/121"),
            // Teredo carries it inverted: 192.0.2.200 is 3fff:fd37.
            ("2001:0:1:2:3:4:3fff:fd37", "US/NY 2001:0:1:2:3:4:3fff:fd00/121"),
        ] {
            assert_eq!(told(&database, address), expected, "{address}");
        }
        assert_eq!(told(&database, "::192.0.2.200"), "-/- ::/81", "IPv4-compatible addresses are nobody's");
    }

    #[test]
    fn aliases_of_ipv4_are_counted_once() {
        let metadata = places(NESTED).metadata().clone();
        let expected = Metadata {
            kind: "Test-City".into(),
            build_epoch: 1_767_225_600,
            networks: 6,
            ip_version: 6,
            fields: vec![
                Field::Country,
                Field::Continent,
                Field::Subdivision,
                Field::Latitude,
                Field::Longitude,
            ],
        };
        assert_eq!(metadata, expected);
    }

    #[test]
    fn flat_layouts_are_read() {
        let database = places(FLAT);
        let at = |address: &str| database.place(address.parse().unwrap()).0;
        assert_eq!(told(&database, "192.0.2.1"), "US/CA 192.0.2.0/24");
        assert_eq!(at("192.0.2.1").location, Location::new(37.75, -122.5).ok());
        assert_eq!(at("192.0.2.1").continent, Some(Continent::NorthAmerica), "by the country");
        assert_eq!(at("198.51.100.1").asn, Some(64500));
        assert_eq!(told(&database, "198.51.100.1"), "IE/- 198.51.100.0/24", "a name is no subdivision");
        assert_eq!(told(&database, "203.0.113.1"), "-/- 203.0.113.0/24");
        assert_eq!(told(&database, "2001:db8::1"), "DE/- 2001:db8::/32");
    }

    #[test]
    fn a_path_of_the_operator_replaces_the_known_ones() {
        let layout = Layout::places().with(Field::Country, "nested.land".parse().unwrap());
        let database = Database::from_octets(FLAT.to_vec(), &layout).unwrap();
        assert_eq!(told(&database, "203.0.113.1"), "JP/- 203.0.113.0/24");
        assert_eq!(told(&database, "192.0.2.1"), "-/- 192.0.2.0/24");
    }

    #[test]
    fn autonomous_systems_are_read() {
        let database = Database::from_octets(ASN.to_vec(), &Layout::networks()).unwrap();
        let (v4, v6) = database.spans(|place| place.and_then(|place| place.asn));
        assert_eq!(v4.iter().filter_map(|span| span.value).collect::<Vec<_>>(), [64500]);
        assert_eq!(v6.iter().filter_map(|span| span.value).collect::<Vec<_>>(), [64501]);
    }

    #[test]
    fn a_database_of_ipv4_knows_nothing_of_ipv6() {
        let database = places(IPV4_ONLY);
        assert_eq!(told(&database, "127.255.255.255"), "IE/- 0.0.0.0/1");
        assert_eq!(told(&database, "255.255.255.255"), "AU/- 255.255.255.255/32");
        assert_eq!(told(&database, "255.255.255.254"), "-/- 255.255.255.254/32");
        assert_eq!(told(&database, "2001:db8::1"), "-/- 2001:800::/21");
        assert_eq!(told(&database, "2002:7f00:1::"), "IE/- 2002::/17");
        assert_eq!(database.metadata().ip_version, 4);
    }

    #[test]
    fn what_is_no_database_is_refused_with_what_it_is() {
        let says = |octets: &[u8], words: &str| {
            let said = fault(octets).to_string();
            assert!(said.contains(words), "{said:?} lacks {words:?}");
        };
        says(b"", "the file is empty");
        says(b"\x1f\x8b\x08\0\0", "a gzip archive; unpack it first");
        says(b"<!DOCTYPE html><title>404</title>", "a web page");
        says(b"country_code,IE", "another kind, or cut short");
        says(&NESTED[..NESTED.len() / 2], "cut short");
        says(&NESTED[..NESTED.len() - 9], "damaged or cut short");
        says(&NESTED[9..], "damaged");
        says(HOLLOW, "no network in the database has a record");
    }

    #[test]
    fn a_database_of_the_wrong_type_is_refused_with_what_it_has() {
        assert_eq!(
            fault(ASN).to_string(),
            "no record of this \"Test-ASN\" database tells country (sought at country.iso_code, \
             registered_country.iso_code, country_code, country), or continent (sought at continent.code, \
             continent_code, continent), or latitude (sought at location.latitude, latitude, lat); its first \
             record has autonomous_system_number, autonomous_system_organization; give a database of the right \
             type, or the path of the field"
        );
        let asn_wanted = Database::from_octets(NESTED.to_vec(), &Layout::networks()).unwrap_err();
        assert!(
            asn_wanted.to_string().contains("tells asn (sought at autonomous_system_number"),
            "{asn_wanted}"
        );
        let layout = Layout::places().with(Field::Asn, "network.as".parse().unwrap());
        let absent = Database::from_octets(NESTED.to_vec(), &layout).unwrap_err();
        assert!(absent.to_string().contains("sought at network.as"), "{absent}");
    }

    /// `nested-city.mmdb` has nodes of 7 octets; both records of node `index` now lead to node `target`.
    fn with_node(index: usize, target: u8) -> Vec<u8> {
        let mut octets = NESTED.to_vec();
        octets[index * 7..][..7].copy_from_slice(&[0, 0, target, 0, 0, 0, target]);
        octets
    }

    #[test]
    fn a_search_tree_that_loops_or_fans_out_without_end_is_refused() {
        assert!(matches!(fault(&with_node(5, 5)), DatabaseFault::Damaged(_)));
        assert!(matches!(fault(&with_node(9, 0)), DatabaseFault::Damaged(_)));
        let mut fan = NESTED.to_vec();
        for node in 0..120_u8 {
            let next = node + 1;
            fan[usize::from(node) * 7..][..7].copy_from_slice(&[0, 0, next, 0, 0, 0, next]);
        }
        assert!(matches!(fault(&fan), DatabaseFault::Damaged(_)));
    }

    const PROBES: [&str; 8] = [
        "0.0.0.0",
        "192.0.2.200",
        "255.255.255.255",
        "::",
        "2001:db8::1",
        "2002:c000:2c8::",
        "2001::",
        "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn damage_is_refused_or_harmless(
            file in 0..4_usize,
            flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in proptest::option::of(any::<prop::sample::Index>()),
        ) {
            let mut octets = [NESTED, FLAT, ASN, IPV4_ONLY][file].to_vec();
            for (at, value) in flips {
                let at = at.index(octets.len());
                octets[at] = value;
            }
            octets.truncate(cut.map_or(octets.len(), |cut| cut.index(octets.len())));
            for layout in [Layout::places(), Layout::networks()] {
                match Database::from_octets(octets.clone(), &layout) {
                    Err(fault) => prop_assert!(!fault.to_string().is_empty()),
                    Ok(database) => for probe in PROBES {
                        let address = probe.parse().unwrap();
                        let (_, prefix) = database.place(address);
                        let mapped = prefix.family() != net::Family::of(address);
                        prop_assert!(mapped || prefix.contains(address));
                    }
                }
            }
        }
    }

    mod shipped {
        use super::*;
        use crate::geo::centroids;

        fn database() -> Database {
            places(&std::fs::read("geoip/country.mmdb").expect("tests run at the repository's root"))
        }

        /// Universities, national networks and providers that have held their addresses for decades.
        const CLIENTS: [(&str, &str); 44] = [
            ("134.226.1.1", "IE"),    // Trinity College Dublin
            ("131.111.8.42", "GB"),   // University of Cambridge
            ("212.58.244.20", "GB"),  // BBC
            ("130.149.7.201", "DE"),  // TU Berlin
            ("193.51.208.13", "FR"),  // RENATER
            ("130.206.1.2", "ES"),    // RedIRIS
            ("131.175.1.1", "IT"),    // Politecnico di Milano
            ("193.136.1.1", "PT"),    // FCCN
            ("192.87.106.101", "NL"), // SURF
            ("134.58.1.1", "BE"),     // KU Leuven
            ("129.132.1.1", "CH"),    // ETH Zurich
            ("131.130.1.1", "AT"),    // University of Vienna
            ("147.32.1.1", "CZ"),     // Czech Technical University
            ("195.187.1.1", "PL"),    // NASK
            ("130.225.1.1", "DK"),    // DeiC
            ("130.238.7.10", "SE"),   // Uppsala University
            ("129.240.1.1", "NO"),    // University of Oslo
            ("128.214.1.1", "FI"),    // University of Helsinki
            ("130.208.1.1", "IS"),    // University of Iceland
            ("147.102.1.1", "GR"),    // NTUA
            ("144.122.1.1", "TR"),    // METU
            ("77.88.8.8", "RU"),      // Yandex
            ("133.11.0.1", "JP"),     // University of Tokyo
            ("166.111.8.28", "CN"),   // Tsinghua University
            ("168.126.63.1", "KR"),   // KT
            ("140.112.1.1", "TW"),    // National Taiwan University
            ("137.132.1.1", "SG"),    // NUS
            ("164.100.78.177", "IN"), // NIC
            ("161.200.1.1", "TH"),    // Chulalongkorn University
            ("132.66.11.168", "IL"),  // Tel Aviv University
            ("139.130.4.5", "AU"),    // Telstra
            ("130.216.1.1", "NZ"),    // University of Auckland
            ("18.9.22.69", "US"),     // MIT
            ("128.100.1.1", "CA"),    // University of Toronto
            ("132.248.10.2", "MX"),   // UNAM
            ("200.160.2.3", "BR"),    // NIC.br
            ("157.92.1.1", "AR"),     // University of Buenos Aires
            ("146.83.1.1", "CL"),     // REUNA
            ("137.158.1.1", "ZA"),    // University of Cape Town
            ("2001:770::1", "IE"),    // HEAnet
            ("2001:638::1", "DE"),    // DFN
            ("2001:da8::1", "CN"),    // CERNET
            ("2001:388::1", "AU"),    // AARNet
            ("2804:14c::1", "BR"),    // Claro
        ];

        #[test]
        fn clients_are_where_they_are() {
            let database = database();
            for (address, country) in CLIENTS {
                let (place, prefix) = database.place(address.parse().unwrap());
                assert_eq!(
                    place.country.map(|found| found.to_string()).as_deref(),
                    Some(country),
                    "{address}"
                );
                assert!(prefix.contains(address.parse().unwrap()));
                assert!(place.location.is_some() && place.continent.is_some(), "{address}");
            }
        }

        #[test]
        fn every_country_in_it_has_a_centre() {
            let database = database();
            for place in database.ids().filter_map(|id| database.record(id)) {
                let country = place.country.expect("every record names a country");
                assert!(centroids::find(country).is_some(), "{country}");
            }
        }
    }
}
