//! What a steered name is answered from: for every client class a choice, for every choice one or more
//! prepared variants, of which the client's lot picks. A query looks up its class and copies a variant.

use std::net::IpAddr;
use std::sync::Arc;

use crate::geo::tree::Tree;
use crate::ids::MapId;
use crate::policy::lots;
use crate::wire::code::{Rcode, RecordType};

/// One service, compiled for the verdicts of one moment.
#[derive(Debug, PartialEq, Eq)]
pub struct Steering {
    /// Whose tree gives the client's class.
    pub map: MapId,
    /// Makes the lots of this service differ from those of others.
    pub salt: u64,
    /// The types that the service answers for; for a CNAME service, all but what a CNAME may stand beside.
    pub answers: Answers,
    /// The choice of each class.
    pub by_class: Arc<[u16]>,
    /// The distinct choices.
    pub choices: Box<[Choice]>,
    /// The distinct answers.
    pub variants: Box<[Variant]>,
    /// Whether lots choose by design (weights, fewer addresses than there are), whatever the verdicts: the
    /// scope must then be as deep as a lot's prefix even where only one variant is left.
    pub lots_by_design: bool,
    /// Whether some class is answered though nothing that it may be given is usable: an alarm.
    pub all_down: bool,
    /// The longest that a negative answer at its names may be cached, in seconds.
    pub negative_ttl_max: u32,
}

/// Which types a service answers for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answers {
    /// These, among A, AAAA, HTTPS and SVCB.
    Types(Vec<RecordType>),
    /// Everything, by a CNAME.
    Cname,
}

/// What a client class is given: one variant, or one of several by its lot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// For A questions, and for those of types that belong to no family.
    pub v4: Pick,
    /// For AAAA questions; equal to `v4` unless the families are independent.
    pub v6: Pick,
    /// The class has no IPv4 address at all: what belongs to no family follows `v6`.
    pub v6_alone: bool,
}

/// How a variant is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Always this one.
    One(u32),
    /// By lot.
    Lots(Lots),
}

/// Variants that share the lots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lots {
    /// Positions in `variants`, by lot.
    pub lots: Box<[u16; lots::LOTS as usize]>,
    /// Positions among all variants of the service.
    pub variants: Box<[u32]>,
}

/// One prepared answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Variant {
    /// NOERROR, but when there is nothing that may be given.
    pub rcode: Rcode,
    /// Its records by type; owners are pointers to the question.
    pub records: Vec<(RecordType, u16, Box<[u8]>)>,
    /// Data of the extended error that goes with it.
    pub extended_error: Option<Box<[u8]>>,
    /// The counter of answers with this service, region and reason.
    pub counter: u32,
}

/// Octets of a record before its data, the owner being a pointer.
const RECORD_FIXED_OCTETS: usize = 12;

/// A set of the types that services answer with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct TypeSet(u8);

/// The types that services answer with, each a bit of [`TypeSet`].
const STEERED_TYPES: [RecordType; 5] =
    [RecordType::A, RecordType::AAAA, RecordType::CNAME, RecordType::HTTPS, RecordType::SVCB];

/// A variant for a client, and the depth to which it depends on the client.
#[derive(Clone, Copy, Debug)]
pub struct Steered<'t> {
    /// The position of the variant among all of the service.
    pub at: u32,
    /// What to answer.
    pub variant: &'t Variant,
    /// SCOPE PREFIX-LENGTH.
    pub scope: u8,
}

impl Steering {
    /// The variant for a client at `client` who asks for `rtype`.
    #[must_use]
    pub fn steer(&self, tree: &Tree, client: IpAddr, rtype: RecordType) -> Steered<'_> {
        let hit = tree.find(client);
        let choice = &self.choices[usize::from(self.by_class[hit.class.index()])];
        let pick = if choice.asks_v6(rtype) { &choice.v6 } else { &choice.v4 };
        let (variant, by_lot) = match pick {
            Pick::One(variant) => (*variant, self.lots_by_design),
            Pick::Lots(lots) => (lots.of(lots::lot(client, self.salt)), true),
        };
        let scope = if by_lot { hit.depth.max(lots::lot_depth(client)) } else { hit.depth };
        Steered { at: variant, variant: &self.variants[variant as usize], scope }
    }

    /// The types that are there for a client at `client`: all but those that it alone wants for. What an outage withholds
    /// is there too: a resolver that believes proofs (RFC 8198) would go on denying it after the outage.
    #[must_use]
    pub fn types_for(&self, tree: &Tree, client: IpAddr) -> TypeSet {
        self.types_where(|rtype| self.steer(tree, client, rtype).variant.leaves(rtype))
    }

    fn types_where(&self, is_there: impl Fn(RecordType) -> bool) -> TypeSet {
        let all = self.all_types();
        STEERED_TYPES.into_iter().filter(|rtype| all.has(*rtype) && is_there(*rtype)).collect()
    }

    /// What [`Self::types_for`] can come to, for all clients.
    #[must_use]
    pub fn types_left(&self) -> Vec<TypeSet> {
        let mut left = Vec::new();
        for choice in &self.choices {
            let of_pick = |pick: &Pick, v6: bool| -> Vec<TypeSet> {
                let variants = pick.variants().iter().map(|variant| &self.variants[*variant as usize]);
                distinct(variants.map(|variant| {
                    self.types_where(|rtype| choice.asks_v6(rtype) == v6 && variant.leaves(rtype))
                }))
            };
            let v6 = of_pick(&choice.v6, true);
            let both = of_pick(&choice.v4, false).into_iter();
            left.extend(both.flat_map(|v4| v6.iter().map(move |v6| TypeSet(v4.0 | v6.0))));
        }
        distinct(left.into_iter())
    }

    /// All types that the service answers with when nothing is wanting.
    #[must_use]
    pub fn all_types(&self) -> TypeSet {
        match &self.answers {
            Answers::Types(types) => types.iter().copied().collect(),
            Answers::Cname => [RecordType::CNAME].into_iter().collect(),
        }
    }

    /// The first of the types that the service answers with.
    #[must_use]
    pub fn first_type(&self) -> RecordType {
        match &self.answers {
            Answers::Types(types) => *types.first().expect("a service has endpoints"),
            Answers::Cname => RecordType::CNAME,
        }
    }

    /// The first of the types that a client at `client` is given, else the first that an outage withholds; none where
    /// nothing may be given.
    #[must_use]
    pub fn first_type_for(&self, tree: &Tree, client: IpAddr) -> Option<RecordType> {
        let there = self.types_for(tree, client);
        let is_withheld =
            |rtype: &RecordType| self.steer(tree, client, *rtype).variant.rcode != Rcode::NOERROR;
        STEERED_TYPES.into_iter().filter(|rtype| there.has(*rtype)).min_by_key(is_withheld)
    }

    /// Whether the service answers for `rtype`.
    #[must_use]
    pub fn answers(&self, rtype: RecordType) -> bool {
        match &self.answers {
            Answers::Types(types) => types.contains(&rtype),
            Answers::Cname => true,
        }
    }
}

impl Choice {
    fn asks_v6(&self, rtype: RecordType) -> bool {
        rtype == RecordType::AAAA || self.v6_alone && rtype != RecordType::A
    }
}

impl Pick {
    /// The variants that it may come to.
    #[must_use]
    pub fn variants(&self) -> &[u32] {
        match self {
            Self::One(variant) => std::slice::from_ref(variant),
            Self::Lots(lots) => &lots.variants,
        }
    }
}

impl TypeSet {
    /// Whether a type is in it.
    #[must_use]
    pub fn has(self, rtype: RecordType) -> bool {
        STEERED_TYPES.iter().position(|steered| *steered == rtype).is_some_and(|bit| self.0 >> bit & 1 == 1)
    }
}

impl FromIterator<RecordType> for TypeSet {
    fn from_iter<I: IntoIterator<Item = RecordType>>(types: I) -> Self {
        let bit =
            |rtype| STEERED_TYPES.iter().position(|steered| *steered == rtype).map_or(0, |bit| 1 << bit);
        Self(types.into_iter().fold(0, |set, rtype| set | bit(rtype)))
    }
}

fn distinct(sets: impl Iterator<Item = TypeSet>) -> Vec<TypeSet> {
    let mut distinct = Vec::new();
    for set in sets {
        if !distinct.contains(&set) {
            distinct.push(set);
        }
    }
    distinct
}

impl Lots {
    /// The position among all variants of the one that `lot` is given.
    #[must_use]
    pub fn of(&self, lot: u16) -> u32 {
        self.variants[usize::from(self.lots[usize::from(lot)])]
    }
}

impl Variant {
    /// The TTL of its records in seconds, if it has any.
    #[must_use]
    pub fn ttl(&self) -> Option<u32> {
        let (_, _, octets) = self.records.first()?;
        octets.get(6..10).and_then(|ttl| ttl.first_chunk()).map(|ttl| u32::from_be_bytes(*ttl))
    }

    /// The data of each record among the octets of one type.
    pub fn data(octets: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut rest = octets;
        std::iter::from_fn(move || {
            let (head, data) = rest.split_at_checked(RECORD_FIXED_OCTETS)?;
            let length = usize::from(u16::from_be_bytes([head[10], head[11]]));
            let (data, after) = data.split_at(length);
            rest = after;
            Some(data)
        })
    }

    /// Whether there is nothing to be given, and that is no error.
    #[must_use]
    pub fn is_no_data(&self) -> bool {
        self.rcode == Rcode::NOERROR && self.records.is_empty()
    }

    /// Whether a type that its service has is there: it is given, or an outage alone withholds it.
    fn leaves(&self, rtype: RecordType) -> bool {
        self.rcode != Rcode::NOERROR || self.records.iter().any(|(kind, _, _)| *kind == rtype)
    }

    /// The records that answer a question for `rtype`: how many, and their octets.
    #[must_use]
    pub fn answer(&self, rtype: RecordType) -> Option<(u16, &[u8])> {
        let wanted = |kind: RecordType| kind == rtype || kind == RecordType::CNAME;
        self.records.iter().find(|(kind, _, _)| wanted(*kind)).map(|(_, count, octets)| (*count, &**octets))
    }
}
