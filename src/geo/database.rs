//! Databases in the MaxMind DB format, and the only file that names their reader. A file is read whole, walked
//! to its last network, each distinct record decoded once, and then dropped: what stays are spans over
//! decoded places, so that nothing in it can fail after loading.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader, WithinOptions};
use serde::Deserialize;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::layout::{self, Field, Layout, Scalar, Step};
use super::spans::{Bits, Builder, Span, Spans};
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
}

/// Why a database is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseFault {
    /// There is nothing in the file.
    Empty,
    /// More octets than [`OCTETS_MAX`].
    TooLarge(usize),
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
        let reader = Reader::from_source(octets).map_err(damaged)?;
        let mut records = Records::new(&reader, layout);
        let v4 = walk(&reader, &[whole_v4()], &mut records)?;
        let v6 = if reader.metadata().ip_version == 6 {
            walk(&reader, &native_v6(), &mut records)?
        } else {
            Spans::uniform(PlaceId::UNKNOWN)
        };
        records.satisfy(layout, &reader)?;
        let metadata = Metadata {
            kind: reader.metadata().database_type.clone(),
            build_epoch: reader.metadata().build_epoch,
            networks: records.networks,
            ip_version: reader.metadata().ip_version,
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
                None => around(&self.v6, v6.to_bits()),
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

fn around<A: Bits>(spans: &Spans<A, PlaceId>, address: A) -> (PlaceId, u8) {
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
fn walk<A: Bits>(
    reader: &Reader<Vec<u8>>,
    ranges: &[Prefix],
    records: &mut Records<'_>,
) -> Result<Spans<A, PlaceId>, DatabaseFault> {
    let options = WithinOptions::default().include_aliased_networks().include_networks_without_data();
    let mut spans = Builder::new(PlaceId::UNKNOWN);
    for range in ranges {
        let cidr = format!("{range}").parse().expect("a prefix is written like any other network");
        let (first, last) = (bound(range.first()), bound(range.last()));
        for network in reader.within(cidr, options).map_err(damaged)? {
            let network = network.map_err(damaged)?;
            let Some(value) = records.id_of(&network)? else { continue };
            let cidr = network.network().map_err(damaged)?;
            // A network may be wider than the range, and an IPv4 range lie in an IPv6 network.
            let first = A::of(cidr.network()).map_or(first, |bits| bits.max(first));
            let last = A::of(cidr.broadcast()).map_or(last, |bits| bits.min(last));
            spans.add(Span { first, last, value });
        }
    }
    Ok(spans.finish())
}

fn bound<A: Bits>(address: IpAddr) -> A {
    A::of(address).expect("a walk stays in its family")
}

/// The distinct records met on a walk.
struct Records<'a> {
    /// By field, the paths of the layout in the reader's words.
    paths: [Vec<Vec<PathElement<'a>>>; Field::ALL.len()],
    /// Ids by the record's offset in the file.
    ids: HashMap<usize, PlaceId>,
    /// Records as they are, not yet completed.
    places: Vec<Place>,
    /// Networks with a record.
    networks: usize,
    /// How many more networks, with or without a record, the search tree can have.
    left: usize,
}

impl<'a> Records<'a> {
    fn new(reader: &Reader<Vec<u8>>, layout: &'a Layout) -> Self {
        let element = |step: &'a Step| match step {
            Step::Key(key) => PathElement::Key(key),
            Step::Index(index) => PathElement::Index(*index),
        };
        let elements =
            |field| layout.paths(field).iter().map(|path| path.steps().iter().map(element).collect());
        let nodes = reader.metadata().node_count as usize;
        Self {
            paths: Field::ALL.map(|field| elements(field).collect()),
            ids: HashMap::new(),
            places: Vec::new(),
            networks: 0,
            left: (nodes + 1).saturating_mul(SHARING_MAX) + native_v6().len(),
        }
    }

    /// The id of a network's record, decoded if it is new; `None` when the network has none.
    fn id_of(&mut self, network: &LookupResult<'_, Vec<u8>>) -> Result<Option<PlaceId>, DatabaseFault> {
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            DatabaseFault::Damaged("its search tree leads to the same nodes again and again".to_owned())
        })?;
        let Some(offset) = network.offset() else { return Ok(None) };
        self.networks += 1;
        if let Some(id) = self.ids.get(&offset) {
            return Ok(Some(*id));
        }
        self.places.push(self.decode(network)?);
        let id = PlaceId(u32::try_from(self.places.len()).expect("a file of 2 GiB has fewer records"));
        self.ids.insert(offset, id);
        Ok(Some(id))
    }

    fn decode(&self, record: &LookupResult<'_, Vec<u8>>) -> Result<Place, DatabaseFault> {
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
        record: &LookupResult<'_, Vec<u8>>,
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

    /// Refuses a database that lacks what the layout needs.
    fn satisfy(&self, layout: &Layout, reader: &Reader<Vec<u8>>) -> Result<(), DatabaseFault> {
        if self.networks == 0 {
            return Err(DatabaseFault::Hollow);
        }
        let told = |field: &Field| self.places.iter().any(|place| layout::tells(place, *field));
        let Some(lacking) = layout.needs().iter().find(|group| !group.iter().any(told)) else {
            return Ok(());
        };
        let paths = |field: &Field| layout.paths(*field).iter().map(ToString::to_string).collect();
        Err(DatabaseFault::WrongType {
            sought: lacking.iter().map(|field| (*field, paths(field))).collect(),
            kind: reader.metadata().database_type.clone(),
            present: first_record_keys(reader),
        })
    }
}

/// The fields of the first record, if it is a map.
fn first_record_keys(reader: &Reader<Vec<u8>>) -> Vec<String> {
    let first = reader.networks(WithinOptions::default()).ok().and_then(|mut networks| networks.next());
    let record =
        first.and_then(Result::ok).and_then(|record| record.decode::<HashMap<String, IgnoredAny>>().ok());
    let mut keys: Vec<String> = record.flatten().unwrap_or_default().into_keys().collect();
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
            Self::Foreign(Some(kind)) => write!(f, "this is no MaxMind DB file (.mmdb) but {kind}"),
            Self::Foreign(None) => f.write_str(
                "the file does not end like a MaxMind DB file (.mmdb): it is of another kind, or cut short",
            ),
            Self::Damaged(how) => write!(f, "the database is damaged or cut short: {how}; fetch it again"),
            Self::Hollow => f.write_str("no network in the database has a record; fetch it again"),
            Self::WrongType { sought, kind, present } => {
                write!(f, "no record of this {kind:?} database has a ")?;
                for (position, (field, paths)) in sought.iter().enumerate() {
                    let or = if position == 0 { "" } else { "; or a " };
                    write!(f, "{or}{} (sought at {})", field.as_str(), paths.join(", "))?;
                }
                write!(f, "; its first record has {}", present.join(", "))?;
                f.write_str("; give a database of the right type, or the path of the field")
            }
        }
    }
}

impl std::error::Error for DatabaseFault {}
