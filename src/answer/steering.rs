//! What a steered name is answered from: for every client class a choice, for every choice one or more
//! prepared variants, of which the client's lot picks. A query looks up its class and copies a variant.

use std::net::IpAddr;
use std::sync::Arc;

use crate::geo::tree::Tree;
use crate::ids::MapId;
use crate::policy::lots;
use crate::wire::code::{Rcode, RecordType};

/// One service, compiled for the verdicts of one moment.
#[derive(Debug)]
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

/// A variant for a client, and the depth to which it depends on the client.
#[derive(Clone, Copy, Debug)]
pub struct Steered<'t> {
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
        Steered { variant: &self.variants[variant as usize], scope }
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

    /// Whether there is nothing to be given, and that is no error.
    #[must_use]
    pub fn is_no_data(&self) -> bool {
        self.rcode == Rcode::NOERROR && self.records.is_empty()
    }

    /// The records that answer a question for `rtype`: how many, and their octets.
    #[must_use]
    pub fn answer(&self, rtype: RecordType) -> Option<(u16, &[u8])> {
        let wanted = |kind: RecordType| kind == rtype || kind == RecordType::CNAME;
        self.records.iter().find(|(kind, _, _)| wanted(*kind)).map(|(_, count, octets)| (*count, &**octets))
    }
}
