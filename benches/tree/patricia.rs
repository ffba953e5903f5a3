//! The same map as a Patricia tree (D. R. Morrison, "PATRICIA", Journal of the ACM 15, 1968), to hold the product's tree
//! against: each fork tells one bit of the address, bits in which nothing differs are skipped, and what was skipped is
//! compared at the leaf. Forks are four octets, two side by side; addresses of the class that the database has nothing on
//! have no leaf. It is as small and as quick as that layout was made here; the server does not use it.

use std::net::IpAddr;

use rhumb::geo::spans::{Address, Bits, Span, Spans};
use rhumb::geo::tree::Hit;
use rhumb::ids::ClassId;
use rhumb::net::embedded_v4;

/// Both families. IPv6 is told apart by its first 64 bits; a /64 that is split has no leaf.
pub(crate) struct Patricia {
    v4: Family<u32>,
    v6: Family<u64>,
}

struct Family<K> {
    /// The root, then the two ways on from each fork.
    links: Vec<Link>,
    /// In ascending order.
    leaves: Vec<Leaf<K>>,
}

/// If the highest bit is set, the position of a leaf. If not, 25 bits are the position of two more links, and 6 are which
/// bit of the address chooses between them.
#[derive(Clone, Copy)]
struct Link(u32);

/// A prefix of which all addresses are of one class, and none that is shorter is.
struct Leaf<K> {
    first: K,
    class: ClassId,
    length: u8,
}

impl Patricia {
    pub(crate) fn new(v4: &Spans<u32, ClassId>, v6: &Spans<u128, ClassId>, unknown: ClassId) -> Self {
        Self { v4: Family::new(v4, unknown), v6: Family::new(v6, unknown) }
    }

    /// The class of the client at `address`, or `unknown`.
    pub(crate) fn find(&self, address: IpAddr, unknown: ClassId) -> Hit {
        match address {
            IpAddr::V4(v4) => self.v4.find(v4.to_bits(), unknown),
            IpAddr::V6(v6) => match embedded_v4(v6) {
                Some(inside) => {
                    let hit = self.v4.find(inside.address.to_bits(), unknown);
                    Hit { depth: inside.offset + hit.depth, ..hit }
                }
                None => self.v6.find(v6.to_bits().key(), unknown),
            },
        }
    }

    /// How many octets it occupies.
    pub(crate) fn octets(&self) -> usize {
        self.v4.octets() + self.v6.octets()
    }
}

impl<K: Bits> Family<K> {
    fn new<A: Address<Key = K>>(spans: &Spans<A, ClassId>, unknown: ClassId) -> Self {
        let known = spans.iter().filter(|span| span.value != unknown);
        let leaves: Vec<Leaf<K>> = known.filter_map(whole_keys).flat_map(prefixes).collect();
        let mut links = vec![Link(0)];
        fork(&mut links, 0, &leaves, 0);
        links.shrink_to_fit();
        Self { links, leaves }
    }

    fn find(&self, key: K, unknown: ClassId) -> Hit {
        let mut link = self.links[0];
        while let Some((ways, bit)) = link.fork() {
            link = self.links[ways + (key << bit).leading(1)];
        }
        let leaf = &self.leaves[link.leaf()];
        let shared = (key ^ leaf.first).leading_zeros() as u8;
        if shared < leaf.length {
            return Hit { class: unknown, depth: shared + 1 };
        }
        Hit { class: leaf.class, depth: leaf.length }
    }

    fn octets(&self) -> usize {
        size_of_val(&*self.links) + size_of_val(&*self.leaves)
    }
}

impl Link {
    fn of_fork(ways: usize, bit: u32) -> Self {
        assert!(ways < 1 << 25, "more forks than there is room to count");
        Self((ways as u32) << 6 | bit)
    }

    fn of_leaf(position: usize) -> Self {
        Self(1 << 31 | position as u32)
    }

    fn fork(self) -> Option<(usize, u32)> {
        (self.0 >> 31 == 0).then_some(((self.0 >> 6) as usize, self.0 & 0x3f))
    }

    fn leaf(self) -> usize {
        (self.0 & 0x7fff_ffff) as usize
    }
}

/// Has the link at `position` lead to `leaves`, the first of which is the leaf number `before`.
fn fork<K: Bits>(links: &mut Vec<Link>, position: usize, leaves: &[Leaf<K>], before: usize) {
    let [first, .., last] = leaves else {
        links[position] = Link::of_leaf(before);
        return;
    };
    let bit = (first.first ^ last.first).leading_zeros();
    let ways = links.len();
    links[position] = Link::of_fork(ways, bit);
    links.extend([Link(0); 2]);
    let left = leaves.partition_point(|leaf| (leaf.first << bit).leading(1) == 0);
    fork(links, ways, &leaves[..left], before);
    fork(links, ways + 1, &leaves[left..], before + left);
}

/// The span as keys; those that it has only in part are left out, as is a span that has none whole.
fn whole_keys<A: Address>(span: Span<A, ClassId>) -> Option<Span<A::Key, ClassId>> {
    let begins_key = |address: A| A::from_key(address.key()) == address;
    let (first, last) = (span.first.key(), span.last.key());
    let first = if begins_key(span.first) { first } else { first.next()? };
    let last = if span.last.next().is_none_or(begins_key) { last } else { last.previous()? };
    (first <= last).then_some(Span { first, last, value: span.value })
}

/// The fewest prefixes that the span is.
fn prefixes<K: Bits>(span: Span<K, ClassId>) -> impl Iterator<Item = Leaf<K>> {
    let mut rest = Some(span.first);
    std::iter::from_fn(move || {
        let first = rest.filter(|first| *first <= span.last)?;
        let length = Span { first, ..span }.depth(first);
        // Two shifts, because none may be as wide as the number.
        let behind = if length == 0 { K::LAST } else { K::LAST >> 1 >> u32::from(length - 1) };
        rest = (first ^ behind).next();
        Some(Leaf { first, class: span.value, length })
    })
}
