//! The compiled map that all workers share: client address to client class, with the depth that becomes the
//! ECS scope. How a class comes about, and what a depth is raised to where lots choose, is not known here.
//!
//! Each family is a sorted array of steps: where a class begins, and which. Slots lead to the few steps that
//! matter: the first 16 bits of the address choose a slot, and where that holds more steps than fit in a cache
//! line or two, as many bits more as there are steps for choose another. Most IPv4 clients are found in three
//! cache lines, IPv6 clients in three to five. The depth follows from the steps on either side by arithmetic.
//! IPv6 is searched by its first 64 bits; a /64 that is split, which is rare, has its spans beside.

use std::net::IpAddr;
use std::ops::Range;

use super::spans::{Address, Bits, Builder, Span, Spans, spans_of, together};
use crate::ids::ClassId;
use crate::net::{self, EMBEDDING_RANGES};

/// Client address to client class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    v4: Steps<u32>,
    v6: Steps<u128>,
}

/// What a client address finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The class of the client.
    pub class: ClassId,
    /// The length of the shortest prefix around the address within which every client is of this class; 0
    /// when the whole family is.
    pub depth: u8,
}

/// One family of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps<A: Address> {
    /// The first 2^[`TOP_BITS`] by the first bits of the address, then those that they lead to.
    slots: Vec<Slot>,
    /// In ascending order; the first begins at the family's first address.
    steps: Vec<Step<A::Key>>,
    /// The spans that begin or end inside of a key.
    splits: Spans<A, Option<ClassId>>,
}

/// The addresses that share some first bits. If the highest bit is set, more slots lead on: 26 bits are the
/// position of the first, 5 how many bits of the address choose among them. If it is not, the steps inside are
/// among those from a position in 26 bits, as many as two to the power of 5 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot(u32);

/// Where a class begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step<K> {
    /// The first key.
    first: K,
    /// The class of all addresses up to the next step.
    class: ClassId,
    /// Whether this is one key in which the bits behind it tell classes apart.
    split: bool,
}

/// How many bits of the address choose the first slot.
const TOP_BITS: u32 = 16;

/// The most bits that choose among the slots behind a slot.
const MORE_BITS_MAX: u32 = 16;

/// The fewest bits that choose among them: steps that share a long prefix are not to be a long way down.
const MORE_BITS_MIN: u32 = 4;

/// The most steps inside a slot that are searched without more slots.
const STEPS_MAX: usize = 8;

/// So many steps have about one slot more.
const STEPS_PER_SLOT: usize = 2;

/// How many steps or slots a slot can tell apart; where slots run out, more steps are searched by halving.
const POSITIONS: usize = 1 << 26;

/// Of so many addresses at most what they are found by is brought near at once.
const NEAR_MAX: usize = 64;

/// Stands for a class where nobody looks.
const NOBODY: ClassId = ClassId(0);

impl Tree {
    /// The tree of both families. The ranges of IPv6 that carry IPv4 addresses are answered from `v4`.
    #[must_use]
    pub fn new(v4: Steps<u32>, v6: Steps<u128>) -> Self {
        Self { v4, v6 }
    }

    /// The class of the client at `address`.
    #[must_use]
    pub fn find(&self, address: IpAddr) -> Hit {
        match address {
            IpAddr::V4(v4) => self.v4.find(v4.to_bits()),
            IpAddr::V6(v6) => match net::embedded_v4(v6) {
                Some(inside) => {
                    let hit = self.v4.find(inside.address.to_bits());
                    Hit { depth: inside.offset + hit.depth, ..hit }
                }
                None => self.v6.find(v6.to_bits()),
            },
        }
    }

    /// Reads what these addresses are found by, each step for all of them before the next, so that no read waits for
    /// another's end. It is for addresses of clients: of others the wrong places may be read. The number means
    /// nothing, but somebody must want it.
    #[must_use]
    pub fn bring_near(&self, addresses: &[IpAddr]) -> u32 {
        self.v4.bring_near(addresses) ^ self.v6.bring_near(addresses)
    }

    /// Where it lies: slots and steps of either family.
    #[must_use]
    pub fn places(&self) -> [Range<*const u8>; 4] {
        let ([a, b], [c, d]) = (self.v4.places(), self.v6.places());
        [a, b, c, d]
    }

    /// How many octets it occupies.
    #[must_use]
    pub fn octets(&self) -> usize {
        self.v4.octets() + self.v6.octets()
    }
}

impl Steps<u32> {
    /// Compiles where each class of IPv4 begins, as [`Spans::steps`] tells it: millions of steps where the database tells
    /// cities, which are not held twice.
    #[must_use]
    pub fn v4(classes: impl Iterator<Item = (u32, ClassId)>) -> Self {
        Self::build(spans_of(classes.map(|(start, class)| (start, Some(class)))))
    }
}

impl Steps<u128> {
    /// The same of IPv6. Whatever is said of the ranges that carry IPv4 addresses, nobody is looked up there, and no depth
    /// of any other address reaches into them.
    #[must_use]
    pub fn v6(classes: impl Iterator<Item = (u128, ClassId)>) -> Self {
        let holes = Spans::uniform(false).overlay(EMBEDDING_RANGES.map(|range| (range, true)));
        let outside = together(classes, holes.steps());
        Self::build(spans_of(outside.map(|(start, (class, hole))| (start, (!hole).then_some(class)))))
    }
}

impl<A: Address> Steps<A> {
    /// The same with other classes, which differ where these do.
    #[must_use]
    pub fn renamed(mut self, rename: impl Fn(ClassId) -> ClassId) -> Self {
        self.steps.iter_mut().for_each(|step| step.class = rename(step.class));
        Self { splits: self.splits.renamed(|class| class.map(&rename)), ..self }
    }

    /// Spans without a class are such as nobody looks up: they only keep depths out.
    fn build(spans: impl Iterator<Item = Span<A, Option<ClassId>>>) -> Self {
        let (steps, splits) = steps_of(spans);
        Self { slots: slots_of(&steps), splits, steps }
    }

    fn places(&self) -> [Range<*const u8>; 2] {
        let (slots, steps) = (self.slots.as_ptr_range(), self.steps.as_ptr_range());
        [slots.start.cast()..slots.end.cast(), steps.start.cast()..steps.end.cast()]
    }

    #[inline]
    fn find(&self, address: A) -> Hit {
        let key = address.key();
        let mut slot = self.slots[key.leading(TOP_BITS)];
        let mut rest = key << TOP_BITS;
        while let Some((first, bits)) = slot.more() {
            slot = self.slots[first + rest.leading(bits)];
            rest = rest << bits;
        }
        // Steps of later slots lie behind the key and do no harm.
        let (begin, count) = slot.steps();
        let near = &self.steps[begin..self.steps.len().min(begin + count)];
        let behind = begin + near.partition_point(|step| step.first <= key);
        // The first step begins at the first address, so there is always one before.
        let step = self.steps[behind - 1];
        if step.split {
            return self.find_split(address);
        }
        let last = self.steps.get(behind).and_then(|next| next.first.previous()).unwrap_or(A::Key::LAST);
        Hit { class: step.class, depth: Span { first: step.first, last, value: () }.depth(key) }
    }

    fn bring_near(&self, addresses: &[IpAddr]) -> u32 {
        let keys = || addresses.iter().filter_map(|address| A::of(*address)).map(A::key);
        let mut slots = [(Slot(0), A::Key::FIRST); NEAR_MAX];
        for (near, key) in slots.iter_mut().zip(keys()) {
            *near = (self.slots[key.leading(TOP_BITS)], key << TOP_BITS);
        }
        let mut sum = 0;
        for (slot, rest) in slots.iter().take(keys().count()) {
            // What lies behind more slots than one is far from where most clients are.
            let slot = slot.more().map_or(*slot, |(first, bits)| self.slots[first + rest.leading(bits)]);
            let (begin, _) = slot.steps();
            sum ^= self.steps.get(begin).map_or(0, |step| u32::from(step.class.0));
        }
        sum
    }

    #[cold]
    fn find_split(&self, address: A) -> Hit {
        let span = self.splits.around(address);
        Hit { class: span.value.unwrap_or(NOBODY), depth: span.depth(address) }
    }

    fn octets(&self) -> usize {
        size_of_val(&*self.slots)
            + size_of_val(&*self.steps)
            + self.splits.len() * (size_of::<A>() + size_of::<Option<ClassId>>())
    }
}

impl Slot {
    fn of_more(first: usize, bits: u32) -> Self {
        Self(1 << 31 | position(first) << 5 | bits)
    }

    fn of_steps(steps: Range<usize>) -> Self {
        Self(position(steps.start) << 5 | steps.len().next_power_of_two().ilog2())
    }

    /// The position of more slots, and how many bits choose among them.
    #[inline]
    fn more(self) -> Option<(usize, u32)> {
        let (first, bits) = (self.0 << 1 >> 6, self.0 & 0x1f);
        (self.0 >> 31 == 1).then_some((first as usize, bits))
    }

    /// The position of the first step inside, or behind it where there is none; and how many may be inside.
    #[inline]
    fn steps(self) -> (usize, usize) {
        ((self.0 >> 5) as usize, 1 << (self.0 & 0x1f))
    }
}

fn position(number: usize) -> u32 {
    assert!(number < POSITIONS, "databases of at most NETWORKS_MAX networks have fewer steps");
    number as u32
}

/// One step for each span that holds a whole key, and one for each key that is split; and the spans that begin or end
/// inside of a key. There is room for a step from each span, of which the system finds memory for what is written to.
#[expect(clippy::type_complexity, reason = "the two halves of a family")]
fn steps_of<A: Address>(
    spans: impl Iterator<Item = Span<A, Option<ClassId>>>,
) -> (Vec<Step<A::Key>>, Spans<A, Option<ClassId>>) {
    let mut steps: Vec<Step<A::Key>> = Vec::with_capacity(spans.size_hint().1.unwrap_or(0));
    let mut splits = Builder::new(None, 0);
    for span in spans {
        let class = span.value.unwrap_or(NOBODY);
        let (first, last) = (span.first.key(), span.last.key());
        let begin = if begins_key(span.first) { Some(first) } else { first.next() };
        let ends_split = span.last.next().is_some_and(|next| !begins_key(next));
        if let Some(begin) = begin.filter(|begin| *begin < last || *begin == last && !ends_split) {
            steps.push(Step { first: begin, class, split: false });
        }
        if ends_split && steps.last().is_none_or(|step| step.first != last || !step.split) {
            steps.push(Step { first: last, class: NOBODY, split: true });
        }
        if ends_split || !begins_key(span.first) {
            splits.add(span);
        }
    }
    steps.shrink_to_fit();
    (steps, splits.finish())
}

fn begins_key<A: Address>(address: A) -> bool {
    A::from_key(address.key()) == address
}

/// The slots that lead to the steps.
fn slots_of<K: Bits>(steps: &[Step<K>]) -> Vec<Slot> {
    let mut slots = Vec::new();
    fill(&mut slots, steps, 0..steps.len(), 0, TOP_BITS);
    slots.shrink_to_fit();
    slots
}

/// Adds the slots that `bits` of the address choose, `above` the bits behind that those of `inside` share.
fn fill<K: Bits>(slots: &mut Vec<Slot>, steps: &[Step<K>], inside: Range<usize>, above: u32, bits: u32) {
    let first = slots.len();
    slots.resize(first + (1 << bits), Slot(0));
    let mut begin = inside.start;
    for slot in 0..1 << bits {
        let here = |step: &&Step<K>| (step.first << above).leading(bits) == slot;
        let end = begin + steps[begin..inside.end].iter().take_while(here).count();
        let more = bits_for(end - begin).min(K::WIDTH - above - bits);
        let position = slots.len();
        slots[first + slot] = if end - begin <= STEPS_MAX || position + (1 << more) > POSITIONS {
            Slot::of_steps(begin..end)
        } else {
            fill(slots, steps, begin..end, above + bits, more);
            Slot::of_more(position, more)
        };
        begin = end;
    }
}

/// How many bits choose among the slots for so many steps.
fn bits_for(steps: usize) -> u32 {
    (steps / STEPS_PER_SLOT).next_power_of_two().ilog2().clamp(MORE_BITS_MIN, MORE_BITS_MAX)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::net::Prefix;

    const A: ClassId = ClassId(0);
    const B: ClassId = ClassId(1);

    fn tree(rules: &[(&str, ClassId)]) -> Tree {
        let rules: Vec<(Prefix, ClassId)> =
            rules.iter().map(|(prefix, class)| (prefix.parse().unwrap(), *class)).collect();
        build(&rules)
    }

    fn build(rules: &[(Prefix, ClassId)]) -> Tree {
        let v4 = Spans::uniform(A).overlay(rules.iter().copied());
        let v6 = Spans::uniform(A).overlay(rules.iter().copied());
        Tree::new(Steps::v4(v4.steps()), Steps::v6(v6.steps()))
    }

    /// `class/depth` of an address.
    fn hit(tree: &Tree, address: &str) -> String {
        let hit = tree.find(address.parse().unwrap());
        format!("{}/{}", hit.class.0, hit.depth)
    }

    #[test]
    fn one_class_is_of_depth_zero() {
        let tree = tree(&[]);
        for address in ["0.0.0.0", "255.255.255.255", "192.0.2.1"] {
            assert_eq!(hit(&tree, address), "0/0", "{address}");
        }
    }

    #[test]
    fn depth_is_that_of_the_neighbours() {
        let tree = tree(&[("192.0.2.0/24", B), ("255.255.255.255/32", B), ("0.0.0.0/32", B)]);
        for (address, expected) in [
            ("192.0.2.1", "1/24"),
            ("192.0.3.1", "0/24"),
            ("192.0.0.1", "0/23"),
            ("128.0.0.1", "0/2"),
            ("255.255.255.255", "1/32"),
            ("255.255.255.254", "0/32"),
            ("0.0.0.0", "1/32"),
            ("0.0.0.1", "0/32"),
            ("0.0.0.2", "0/31"),
            ("64.0.0.0", "0/2"),
        ] {
            assert_eq!(hit(&tree, address), expected, "{address}");
        }
    }

    #[test]
    fn ipv4_inside_ipv6_is_found_with_its_offset() {
        let tree = tree(&[("192.0.2.0/24", B), ("2002::/16", B), ("::/80", B)]);
        for (address, expected) in [
            ("2002:c000:201::1", "1/40"),
            ("2002:c000:301::1", "0/40"),
            ("::ffff:192.0.2.1", "1/120"),
            ("64:ff9b::192.0.2.1", "1/120"),
            ("2001:0:1:2:3:4:3fff:fdfe", "1/120"),
        ] {
            assert_eq!(hit(&tree, address), expected, "{address}");
        }
    }

    #[test]
    fn no_other_depth_reaches_into_the_ranges_of_ipv4() {
        let tree = tree(&[]);
        for (address, expected) in [
            ("2003::", "0/16"),
            ("2000::", "0/16"),
            ("2001:1::", "0/32"),
            ("2001:8000::", "0/17"),
            ("64:ff9b::1:0:0", "0/96"),
            ("64:ff9b:1::", "0/48"),
            ("::1", "0/81"),
            ("::fffe:0:1", "0/96"),
            ("::1:0:0:0", "0/80"),
            ("8000::", "0/1"),
            ("2002::", "0/16"),
        ] {
            assert_eq!(hit(&tree, address), expected, "{address}");
        }
    }

    #[test]
    fn crowded_networks_are_found_one_by_one() {
        let networks = |from: u32, length: u8| {
            (0..300_u32).map(move |host| {
                let v6 = Ipv6Addr::from_bits(u128::from(from + host) << (128 - length));
                (Prefix::holding(v6.into(), length).unwrap(), ClassId(1 + (host % 2) as u16))
            })
        };
        // Many side by side under one long prefix, and nothing between the crowds.
        let rules: Vec<_> =
            networks(0x2001_0db8, 32).chain(networks(7, 64)).chain(networks(0xffff_0000, 64)).collect();
        let tree = build(&rules);
        for (rule, class) in rules {
            assert_eq!(tree.find(rule.first()), Hit { class, depth: rule.length() });
            assert_eq!(tree.find(rule.last()), Hit { class, depth: rule.length() });
        }
    }

    #[test]
    fn a_split_64_is_found_by_all_its_bits() {
        let tree =
            tree(&[("2001:db8:1:2:8000::/65", B), ("2001:db8:1:2::7/128", B), ("2001:db8:1:3::/64", B)]);
        for (address, expected) in [
            ("2001:db8:1:1:ffff::", "0/63"),
            ("2001:db8:1:2::6", "0/128"),
            ("2001:db8:1:2::7", "1/128"),
            ("2001:db8:1:2::8", "0/125"),
            ("2001:db8:1:2:7fff::", "0/66"),
            ("2001:db8:1:2:8000::", "1/65"),
            ("2001:db8:1:3::", "1/64"),
            ("2001:db8:1:4::", "0/62"),
        ] {
            assert_eq!(hit(&tree, address), expected, "{address}");
        }
    }

    /// Addresses crowded where trees go wrong: the ends of the families, of /64s and of the ranges of IPv4.
    fn any_address() -> impl Strategy<Value = IpAddr> {
        let corner = prop::sample::select(vec![
            0,
            u128::MAX,
            1 << 32,
            0xffff << 32,
            0x1_0000 << 32,
            0x64_ff9b << 96,
            (0x64_ff9b << 96) + (1 << 32),
            0x2001 << 112,
            0x2001_0001 << 96,
            0x2002 << 112,
            0x2002_c000_0200 << 80,
            0x2003 << 112,
            0x2001_0db8 << 96,
            (0x2001_0db8 << 96) + (1 << 64),
            1 << 127,
        ]);
        let v6 = (corner, -3..3_i128, prop::sample::select(vec![0, 32, 64, 80, 111]))
            .prop_map(|(corner, distance, shift)| corner.wrapping_add((distance << shift).cast_unsigned()))
            .prop_map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits)));
        let corner =
            prop::sample::select(vec![0, u32::MAX, 0xc000_0200, 0x7fff_ffff, 0x8000_0000, 0xc000_ffff]);
        let v4 = (corner, -3..3_i32, prop::sample::select(vec![0, 8, 15, 16, 24]))
            .prop_map(|(corner, distance, shift)| corner.wrapping_add((distance << shift).cast_unsigned()))
            .prop_map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits)));
        prop_oneof![v4, v6.clone(), v6]
    }

    fn any_rules() -> impl Strategy<Value = Vec<(Prefix, ClassId)>> {
        let rule = (any_address(), 0..=128_u8, 0..3_u16).prop_map(|(address, length, class)| {
            let length = length.min(net::Family::of(address).bits());
            (Prefix::holding(address, length).unwrap(), ClassId(class))
        });
        prop::collection::vec(rule, 0..20)
    }

    /// What the rules say, one by one: the longest that holds the client, the last given of equal ones.
    fn class_of(rules: &[(Prefix, ClassId)], address: IpAddr) -> ClassId {
        let client = match address {
            IpAddr::V6(v6) => net::embedded_v4(v6).map_or(address, |inside| inside.address.into()),
            IpAddr::V4(_) => address,
        };
        let holding = rules.iter().filter(|(prefix, _)| prefix.contains(client));
        holding.max_by_key(|(prefix, _)| prefix.length()).map_or(A, |(_, class)| *class)
    }

    /// An address of the other one's scope: its first `depth` bits are the same, the others are chosen.
    fn within(address: IpAddr, depth: u8, chosen: u128) -> IpAddr {
        match address {
            IpAddr::V4(v4) => {
                let keep = u32::MAX.checked_shl(32 - u32::from(depth)).unwrap_or(0);
                Ipv4Addr::from_bits(v4.to_bits() & keep | (chosen as u32) & !keep).into()
            }
            IpAddr::V6(v6) => {
                let keep = u128::MAX.checked_shl(128 - u32::from(depth)).unwrap_or(0);
                Ipv6Addr::from_bits(v6.to_bits() & keep | chosen & !keep).into()
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_scope_is_of_one_class_and_could_not_be_wider(
            rules in any_rules(),
            clients in prop::collection::vec(any_address(), 20),
            others in prop::collection::vec(prop_oneof![any::<u128>(), Just(0), Just(u128::MAX)], 10),
        ) {
            let tree = build(&rules);
            for client in clients {
                let hit = tree.find(client);
                prop_assert_eq!(hit.class, class_of(&rules, client), "{}", client);
                for other in others.iter().map(|other| within(client, hit.depth, *other)) {
                    prop_assert_eq!(tree.find(other), Hit { depth: tree.find(other).depth, ..hit });
                    prop_assert!(tree.find(other).depth <= hit.depth, "{}/{} holds {}", client, hit.depth, other);
                }
                // One bit less, and a rule's edge or a range of IPv4 lies inside.
                let Some(wider) = hit.depth.checked_sub(1).and_then(|length| Prefix::holding(client, length)) else {
                    continue;
                };
                let carried = matches!(client, IpAddr::V6(v6) if net::embedded_v4(v6).is_some());
                let hole = EMBEDDING_RANGES.iter().any(|range| wider.contains(range.first()));
                let mut edges = rules.iter().flat_map(|(rule, _)| edges(*rule));
                let other = edges.any(|edge| wider.contains(edge) && tree.find(edge).class != hit.class);
                prop_assert!(carried || hole || other, "{} has depth {}", client, hit.depth);
            }
        }
    }

    /// The ends of a prefix and the addresses beside them.
    fn edges(prefix: Prefix) -> Vec<IpAddr> {
        match (prefix.first(), prefix.last()) {
            (IpAddr::V4(first), IpAddr::V4(last)) => {
                let (first, last) = (first.to_bits(), last.to_bits());
                let edges = [first.wrapping_sub(1), first, last, last.wrapping_add(1)];
                edges.map(|bits| Ipv4Addr::from_bits(bits).into()).into()
            }
            (IpAddr::V6(first), IpAddr::V6(last)) => {
                let (first, last) = (first.to_bits(), last.to_bits());
                let edges = [first.wrapping_sub(1), first, last, last.wrapping_add(1)];
                edges.map(|bits| Ipv6Addr::from_bits(bits).into()).into()
            }
            _ => unreachable!("both ends are of one family"),
        }
    }
}
