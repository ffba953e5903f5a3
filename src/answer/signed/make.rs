//! Signs a zone: every set that it answers for with authority, the DS sets and proofs of its cuts, never what is
//! below them (RFC 4035 section 2.2). What an earlier making has signed, and what has not changed since, is carried
//! over unless it is due.

use std::sync::Arc;

use super::chain::{Chain, NewLink};
use super::{Records, SignedZone};
use crate::answer::challenges::{Challenges, TTL};
use crate::answer::names::{Builder, Kind, NewEntry};
use crate::answer::records::{Encoder, Role, Source};
use crate::answer::zones::ZonesFault;
use crate::dnssec::denial::{Denial, hash_label, nsec_data};
use crate::dnssec::signer::{Set, Signer, expiration, sorted};
use crate::dnssec::wall;
use crate::ids::ZoneId;
use crate::name::{self, Name};
use crate::time::WallTime;
use crate::wire::code::RecordType;
use crate::zone::rdata;
use crate::zone::{Owner, Situation, Zone};

/// What a signed zone was made of, and until when it will do.
#[derive(Debug)]
pub struct Made {
    /// The zone.
    pub zone: Arc<Zone>,
    /// Its keys and rules.
    pub signer: Arc<Signer>,
    /// Its steered names.
    pub steered: Arc<[SteeredTypes]>,
    /// The challenges that stand in it.
    pub challenges: Arc<Challenges>,
    /// When it must be made anew.
    pub due: WallTime,
}

/// A steered name of a zone, in canonical order among others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SteeredTypes {
    /// The name.
    pub name: Name,
    /// The types that the service takes over from the zone file.
    pub taken: Vec<RecordType>,
    /// The types that the service answers with when nothing is wanting.
    pub answered: Vec<RecordType>,
}

/// A name that has a proof, or signatures, or both.
struct Node<'z> {
    name: &'z [u8],
    /// What the zone file has there.
    owner: Option<Owner<'z>>,
    steered: Option<&'z SteeredTypes>,
    /// The data of TXT records that stand there for a while, in the place of those of the file.
    challenge: Option<&'z [Box<[u8]>]>,
}

/// The making under way.
struct Making<'m> {
    zone: &'m Zone,
    signer: &'m Signer,
    before: Option<&'m SignedZone>,
    /// Whether what an earlier making signed is of the very same zone.
    same_zone: bool,
    now: WallTime,
    due: Option<WallTime>,
    expires: WallTime,
}

impl SignedZone {
    /// Signs `zone` at `now`. `before` is an earlier making, of this zone or of an older state of it.
    pub fn make(
        zone: Arc<Zone>,
        signer: Arc<Signer>,
        steered: Arc<[SteeredTypes]>,
        challenges: Arc<Challenges>,
        before: Option<&SignedZone>,
        now: WallTime,
    ) -> Result<Self, ZonesFault> {
        let made_before = before.and_then(|before| before.made.as_ref());
        let mut making = Making {
            zone: &zone,
            signer: &signer,
            before: before.filter(|_| made_before.is_some_and(|made| made.signer.knows_same_keys(&signer))),
            same_zone: made_before.is_some_and(|made| Arc::ptr_eq(&made.zone, &zone)),
            now,
            due: signer.next_change(now),
            expires: WallTime(u64::MAX),
        };
        let nodes = nodes(&zone, &steered, &challenges);
        let mut builder = Builder::default();
        for node in &nodes {
            let records = making.signatures(node)?;
            let entry = NewEntry {
                name: node.name,
                kind: Kind::Inside,
                zone: ZoneId(0),
                service: None,
                parent_side: None,
                records: &records,
            };
            builder.add(entry).map_err(|_| ZonesFault::TooManyNames)?;
        }
        let chain = making.chain(&nodes)?;
        let due = making.due.unwrap_or(WallTime(u64::MAX));
        let (origin, expires) = (zone.origin().clone(), making.expires);
        let made = Made { zone, signer, steered, challenges, due };
        Ok(Self { origin, names: builder.finish(), chain, expires, made: Some(made) })
    }

    /// The zone signed anew at `now` with these challenges; none where it was signed elsewhere. What is signed already
    /// and not due is taken over.
    #[must_use]
    pub fn anew(&self, challenges: Arc<Challenges>, now: WallTime) -> Option<Result<Self, ZonesFault>> {
        let made = self.made.as_ref()?;
        let (zone, signer) = (Arc::clone(&made.zone), Arc::clone(&made.signer));
        Some(Self::make(zone, signer, Arc::clone(&made.steered), challenges, Some(self), now))
    }

    /// The challenges that stand in it.
    #[must_use]
    pub fn challenges(&self) -> Option<&Challenges> {
        self.made.as_ref().map(|made| &*made.challenges)
    }
}

/// All names with authority, and the cuts, in canonical order; empty non-terminals too.
fn nodes<'z>(zone: &'z Zone, steered: &'z [SteeredTypes], challenges: &'z Challenges) -> Vec<Node<'z>> {
    let steered_at = |name: &[u8]| {
        let order = |of: &SteeredTypes| name::canonical_order(of.name.as_wire(), name);
        steered.binary_search_by(order).ok().map(|at| &steered[at])
    };
    let authoritative = zone.owners().filter(|owner| owner.situation() != Situation::BelowCut);
    let mut nodes: Vec<Node<'z>> = authoritative
        .map(|owner| {
            let (name, steered) = (owner.name(), steered_at(owner.name()));
            Node { name, owner: Some(owner), steered, challenge: challenges.at(name) }
        })
        .collect();
    let apex_octets = zone.origin().as_wire().len();
    let in_file = nodes.len();
    for of in steered {
        let inside = name::suffixes(of.name.as_wire()).take_while(|suffix| suffix.len() > apex_octets);
        // An ancestor may be steered too, and then comes by itself.
        for (depth, name) in inside.enumerate() {
            if zone.find(name).is_none() && (depth == 0 || steered_at(name).is_none()) {
                let steered = (depth == 0).then_some(of);
                nodes.push(Node { name, owner: None, steered, challenge: challenges.at(name) });
            }
        }
    }
    for name in challenges.names().filter(|name| zone.find(name).is_none()) {
        nodes.push(Node { name, owner: None, steered: steered_at(name), challenge: challenges.at(name) });
    }
    if nodes.len() > in_file {
        nodes.sort_by(|a, b| name::canonical_order(a.name, b.name));
        nodes.dedup_by(|b, a| a.name == b.name);
    }
    nodes
}

impl<'z> Node<'z> {
    fn is_cut(&self) -> bool {
        self.owner.is_some_and(|owner| owner.situation() == Situation::Cut)
    }

    /// The types of the zone file that are answered at the name: at a cut, those of the parent's side.
    fn file_types(&self) -> impl Iterator<Item = RecordType> {
        let (is_cut, taken) = (self.is_cut(), self.steered.map_or(&[][..], |of| &of.taken));
        let is_challenged = self.challenge.is_some();
        let types = self.owner.into_iter().flat_map(|owner| owner.rrsets()).map(|set| set.rtype());
        types.filter(move |rtype| {
            let on_parent_side = matches!(*rtype, RecordType::NS | RecordType::DS);
            let is_replaced = is_challenged && *rtype == RecordType::TXT;
            !is_replaced && !taken.contains(rtype) && (!is_cut || on_parent_side)
        })
    }

    /// The types of the zone file that are signed at the name.
    fn signed_types(&self) -> impl Iterator<Item = RecordType> {
        let is_cut = self.is_cut();
        self.file_types().filter(move |rtype| !is_cut || *rtype == RecordType::DS)
    }

    fn is_empty(&self) -> bool {
        self.steered.is_none() && self.challenge.is_none() && self.file_types().next().is_none()
    }
}

impl<'m> Making<'m> {
    /// The signatures of a name, and at the apex the sets that signing adds.
    fn signatures(&mut self, node: &Node<'_>) -> Result<Vec<u8>, ZonesFault> {
        let mut records = Vec::new();
        if let Some(owner) = node.owner {
            for rtype in node.signed_types() {
                let set = owner.rrset(rtype).expect("the type is one of the owner's");
                let data = set.rdata().map(|data| rdata::canonical(rtype, data)).collect();
                let set = Set { owner: node.name, rtype, ttl: set.ttl(), data };
                let kept = self.kept_of_zone(&set);
                self.sign(&set, kept, &mut records)?;
            }
        }
        if self.is_apex(node) {
            for set in self.added() {
                self.add(&set, &mut records)?;
            }
        }
        if let Some(values) = node.challenge {
            let data = sorted(values.iter().map(|data| data.to_vec()).collect());
            self.add(&Set { owner: node.name, rtype: RecordType::TXT, ttl: TTL, data }, &mut records)?;
        }
        Ok(records)
    }

    /// Appends a set that is not of the zone file, signed.
    fn add(&mut self, set: &Set<'_>, records: &mut Vec<u8>) -> Result<(), ZonesFault> {
        let before = self.before.and_then(|before| before.added(set.owner, set.rtype));
        let same = before.is_some_and(|records| is_same(&records, set));
        let kept = self.before.filter(|_| same).and_then(|it| it.signature(set.owner, set.rtype));
        encode(set, Role::Answer, set.rtype, &set.data, records)?;
        self.sign(set, kept, records)
    }

    fn is_apex(&self, node: &Node<'_>) -> bool {
        node.name == self.zone.origin().as_wire()
    }

    /// The sets that signing adds to the apex.
    fn added(&self) -> Vec<Set<'m>> {
        let (signer, now) = (self.signer, self.now);
        let set = |rtype, ttl, data| Set { owner: self.zone.origin().as_wire(), rtype, ttl, data };
        let ttl = signer.rules().dnskey_ttl;
        let mut added = vec![
            set(RecordType::DNSKEY, ttl, signer.dnskeys(now)),
            set(RecordType::CDS, ttl, signer.cds(now)),
            set(RecordType::CDNSKEY, ttl, signer.cdnskeys(now)),
        ];
        if let Denial::Nsec3(nsec3) = &signer.rules().denial {
            added.push(set(RecordType::NSEC3PARAM, self.negative_ttl(), vec![nsec3.parameters()]));
        }
        added.retain(|set| !set.data.is_empty());
        added
    }

    /// How long a negative answer may be cached, which is how long a proof may be (RFC 9077).
    fn negative_ttl(&self) -> u32 {
        let soa = self.zone.soa();
        let data = soa.rdata().next().expect("a zone has one SOA record");
        let (_, minimum) = data.split_last_chunk().expect("MINIMUM ends the data of an SOA record");
        soa.ttl().min(u32::from_be_bytes(*minimum))
    }

    /// The signatures that an earlier making has over a set of the zone file that has not changed.
    fn kept_of_zone(&self, set: &Set<'_>) -> Option<Records<'m>> {
        let before = self.before?;
        let was_challenged = before.challenges().is_some_and(|challenges| challenges.at(set.owner).is_some());
        if was_challenged && set.rtype == RecordType::TXT {
            return None;
        }
        let same = self.same_zone || {
            let zone = &before.made.as_ref()?.zone;
            let other = zone.find(set.owner)?.rrset(set.rtype)?;
            let data = other.rdata().map(|data| rdata::canonical(set.rtype, data));
            other.ttl() == set.ttl && data.eq(set.data.iter().cloned())
        };
        same.then(|| before.signature(set.owner, set.rtype)).flatten()
    }

    /// Appends the signatures over a set: those kept, where they will do, else new ones.
    fn sign(
        &mut self,
        set: &Set<'_>,
        kept: Option<Records<'_>>,
        out: &mut Vec<u8>,
    ) -> Result<(), ZonesFault> {
        let will_do = |records: &Records<'_>| self.signer.will_do(set.rtype, records.plain_data(), self.now);
        let rrsigs = match kept.filter(will_do) {
            Some(records) => records.plain_data().map(<[u8]>::to_vec).collect(),
            None => self.signer.sign(set, self.now),
        };
        let renewals = rrsigs.iter().map(|rrsig| self.signer.renewal(rrsig));
        self.due = self.due.into_iter().chain(renewals).min();
        let ends = rrsigs.iter().map(|rrsig| wall(expiration(rrsig)));
        self.expires = ends.fold(self.expires, WallTime::min);
        encode(set, Role::Signature, RecordType::RRSIG, &rrsigs, out)
    }

    fn chain(&mut self, nodes: &[Node<'_>]) -> Result<Chain, ZonesFault> {
        let denial = self.signer.rules().denial.clone();
        let links = match &denial {
            Denial::Nsec => {
                let nodes: Vec<_> = nodes.iter().filter(|node| !node.is_empty()).collect();
                let next = nodes.iter().cycle().skip(1);
                let pairs = nodes.iter().zip(next);
                pairs.map(|(node, next)| self.nsec(node, next.name)).collect::<Result<Vec<_>, _>>()?
            }
            Denial::Nsec3(nsec3) => {
                let mut hashed: Vec<_> = nodes.iter().map(|node| (nsec3.hash(node.name), node)).collect();
                hashed.sort_by_key(|(hash, _)| *hash);
                let next = hashed.iter().map(|(hash, _)| hash).cycle().skip(1);
                let mut links = Vec::with_capacity(hashed.len());
                for ((hash, node), next) in hashed.iter().zip(next) {
                    let owner = [&hash_label(hash), self.zone.origin().as_wire()].concat();
                    let data = nsec3.data(next, &mut self.types(node));
                    links.push(self.link(hash, &owner, data)?);
                }
                links
            }
        };
        Ok(Chain::new(denial, self.zone.origin().label_count(), links))
    }

    fn nsec(&mut self, node: &Node<'_>, next: &[u8]) -> Result<NewLink, ZonesFault> {
        let mut types = self.types(node);
        types.extend([RecordType::NSEC.0, RecordType::RRSIG.0]);
        let place = Denial::Nsec.place(node.name, self.zone.origin().label_count());
        self.link(place.as_octets(), node.name, nsec_data(next, &mut types))
    }

    fn link(&mut self, place: &[u8], owner: &[u8], data: Vec<u8>) -> Result<NewLink, ZonesFault> {
        let rtype = self.signer.rules().denial.rtype();
        let set = Set { owner, rtype, ttl: self.negative_ttl(), data: vec![data] };
        let before = self.before.map(SignedZone::chain);
        let before = before.filter(|chain| *chain.denial() == self.signer.rules().denial);
        let before = before.and_then(|chain| chain.at_place(place));
        let kept = before.filter(|link| is_same(&link.record, &set)).map(|link| link.signatures);
        let mut sets = Vec::new();
        encode(&set, Role::Answer, rtype, &set.data, &mut sets)?;
        self.sign(&set, kept, &mut sets)?;
        let prefix = owner[..owner.len() - self.zone.origin().as_wire().len()].to_vec();
        Ok(NewLink { place: place.to_vec(), prefix, sets })
    }

    /// The types at a name: RRSIG among them where something is signed there beside its proof.
    fn types(&self, node: &Node<'_>) -> Vec<u16> {
        let mut types: Vec<u16> = node.file_types().map(|rtype| rtype.0).collect();
        let steered = node.steered.map_or(&[][..], |of| &of.answered);
        types.extend(steered.iter().map(|rtype| rtype.0));
        types.extend(node.challenge.map(|_| RecordType::TXT.0));
        let is_beside = !steered.is_empty() || node.challenge.is_some();
        let mut signed = is_beside || node.signed_types().next().is_some();
        if self.is_apex(node) {
            types.extend(self.added().iter().map(|set| set.rtype.0));
            signed = true;
        }
        if signed {
            types.push(RecordType::RRSIG.0);
        }
        types
    }
}

/// Whether records are the very ones of a set.
fn is_same(records: &Records<'_>, set: &Set<'_>) -> bool {
    records.ttl() == set.ttl && records.plain_data().eq(set.data.iter().map(Vec::as_slice))
}

/// Appends records of the set's owner and TTL.
fn encode(
    set: &Set<'_>,
    role: Role,
    rtype: RecordType,
    data: &[Vec<u8>],
    out: &mut Vec<u8>,
) -> Result<(), ZonesFault> {
    let sources = data.iter().map(|rdata| Source { owner: None, rtype, ttl: set.ttl, rdata });
    Encoder::at(set.owner)
        .encode(role, set.rtype, sources, out)
        .map_err(|_| ZonesFault::TooLarge(Name::from_checked(set.owner), rtype))
}
