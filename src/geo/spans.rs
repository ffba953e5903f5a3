//! A step function over one address family: sorted ranges that cover every address once, each with a value.
//! Databases, ASN lists and the operator's rules are brought into this shape, laid over and zipped together,
//! and a [`Tree`](super::tree::Tree) is compiled from the last of them. It is the shape to build with, not
//! the one to answer queries from.

use std::fmt::Debug;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::{BitXor, Shl, Shr};

use crate::net::{EMBEDDING_RANGES, Prefix};

/// Unsigned numbers that stand for addresses, or for the first bits of them.
pub trait Bits:
    Copy + Ord + Debug + BitXor<Output = Self> + Shl<u32, Output = Self> + Shr<u32, Output = Self>
{
    /// How many bits there are.
    const WIDTH: u32;
    /// All zero.
    const FIRST: Self;
    /// All one.
    const LAST: Self;
    /// The number that follows; `None` behind the last.
    fn next(self) -> Option<Self>;
    /// The number before; `None` before the first.
    fn previous(self) -> Option<Self>;
    /// How many leading bits are zero.
    fn leading_zeros(self) -> u32;
    /// The first `count` bits as an index, at most 32.
    fn leading(self, count: u32) -> usize;
}

/// The bits of a whole address: `u32` is IPv4, `u128` is IPv6.
pub trait Address: Bits {
    /// The bits by which most networks are told apart: all of IPv4, the first half of IPv6.
    type Key: Bits;
    /// The bits of `address`; `None` when it is of the other family.
    fn of(address: IpAddr) -> Option<Self>;
    /// The address that these bits are.
    fn address(self) -> IpAddr;
    /// The first bits.
    fn key(self) -> Self::Key;
    /// The first address that begins with `key`.
    fn from_key(key: Self::Key) -> Self;
}

macro_rules! bits {
    ($($bits:ty)*) => {$(
        impl Bits for $bits {
            const WIDTH: u32 = <$bits>::BITS;
            const FIRST: Self = 0;
            const LAST: Self = <$bits>::MAX;

            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }
            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }
            fn leading_zeros(self) -> u32 {
                self.leading_zeros()
            }
            fn leading(self, count: u32) -> usize {
                // Two shifts, because none may be as wide as the number; what is left has 32 bits at most.
                (self >> 1 >> (<$bits>::BITS - 1 - count)) as usize
            }
        }
    )*};
}

bits!(u32 u64 u128);

impl Address for u32 {
    type Key = u32;

    fn of(address: IpAddr) -> Option<Self> {
        if let IpAddr::V4(address) = address { Some(address.to_bits()) } else { None }
    }
    fn address(self) -> IpAddr {
        Ipv4Addr::from_bits(self).into()
    }
    fn key(self) -> u32 {
        self
    }
    fn from_key(key: u32) -> Self {
        key
    }
}

impl Address for u128 {
    type Key = u64;

    fn of(address: IpAddr) -> Option<Self> {
        if let IpAddr::V6(address) = address { Some(address.to_bits()) } else { None }
    }
    fn address(self) -> IpAddr {
        Ipv6Addr::from_bits(self).into()
    }
    fn key(self) -> u64 {
        (self >> 64) as u64
    }
    fn from_key(key: u64) -> Self {
        Self::from(key) << 64
    }
}

/// A step function over the addresses of one family. Neighbouring spans differ in value, so two of them that
/// say the same are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spans<A, T> {
    /// The first address of each span, ascending; the first span begins at the family's first address.
    starts: Vec<A>,
    /// The value of each span.
    values: Vec<T>,
}

/// One step of [`Spans`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span<A, T> {
    /// Its first address.
    pub first: A,
    /// Its last address.
    pub last: A,
    /// What holds for all its addresses.
    pub value: T,
}

impl<A: Address, T: Copy + Eq> Spans<A, T> {
    /// The same value everywhere.
    #[must_use]
    pub fn uniform(value: T) -> Self {
        Self { starts: vec![A::FIRST], values: vec![value] }
    }

    /// How many spans there are.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "there is always one span")]
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// The spans in the order of their addresses.
    pub fn iter(&self) -> impl Iterator<Item = Span<A, T>> + '_ {
        (0..self.len()).map(|index| self.span(index))
    }

    /// The span that holds `address`. Complexity is O(log n) in the number of spans.
    #[must_use]
    pub fn around(&self, address: A) -> Span<A, T> {
        self.span(self.starts.partition_point(|start| *start <= address) - 1)
    }

    /// Where each value begins, in the order of the addresses: spans on their way to become others, which need not
    /// all be there at once. [`Spans::of_steps`] is the way back.
    pub fn steps(&self) -> impl Iterator<Item = (A, T)> {
        self.starts.iter().copied().zip(self.values.iter().copied())
    }

    /// Spans of steps in the order of their addresses, of which the first begins at the family's first address. Equal
    /// neighbours become one.
    #[must_use]
    pub fn of_steps(steps: impl Iterator<Item = (A, T)>) -> Self {
        // Not by doubling: see `Builder::new`.
        let mut spans = Spans::with_capacity(steps.size_hint().1.unwrap_or(0));
        steps.for_each(|(start, value)| spans.push(start, value));
        spans.shrink();
        spans
    }

    /// The same steps with other values; equal neighbours become one.
    #[must_use]
    pub fn map<U: Copy + Eq>(&self, mut change: impl FnMut(T) -> U) -> Spans<A, U> {
        Spans::of_steps(self.steps().map(|(start, value)| (start, change(value))))
    }

    /// The same spans with other values, which differ where these do.
    #[must_use]
    pub fn renamed(mut self, rename: impl Fn(T) -> T) -> Self {
        self.values.iter_mut().for_each(|value| *value = rename(*value));
        self
    }

    /// Both functions read together, address by address. Complexity is O(n + m) in their spans.
    #[must_use]
    pub fn zip<U: Copy + Eq, V: Copy + Eq>(
        &self,
        other: &Spans<A, U>,
        mut join: impl FnMut(T, U) -> V,
    ) -> Spans<A, V> {
        Spans::of_steps(together(self.steps(), other.steps()).map(|(start, (a, b))| (start, join(a, b))))
    }

    /// These spans with prefixes laid over them: inside prefixes that overlap, the longest holds; of equal
    /// ones, the last given. Prefixes of the other family are passed over.
    #[must_use]
    pub fn overlay(&self, prefixes: impl IntoIterator<Item = (Prefix, T)>) -> Self {
        let mut layers: Vec<Layer<A, T>> = prefixes.into_iter().filter_map(Layer::of).collect();
        layers.sort_by_key(|layer| (layer.first, layer.length));
        let over = flatten(&layers);
        self.zip(&over, |under, over| over.unwrap_or(under))
    }

    /// The span at a position in their order.
    fn span(&self, index: usize) -> Span<A, T> {
        let last = match self.starts.get(index + 1) {
            Some(next) => next.previous().expect("a later span begins behind the first address"),
            None => A::LAST,
        };
        Span { first: self.starts[index], last, value: self.values[index] }
    }

    /// No spans yet, and room for some.
    fn with_capacity(capacity: usize) -> Self {
        Self { starts: Vec::with_capacity(capacity), values: Vec::with_capacity(capacity) }
    }

    /// Gives back what room was not needed.
    fn shrink(&mut self) {
        self.starts.shrink_to_fit();
        self.values.shrink_to_fit();
    }

    /// Begins a span at `start`, which lies behind the last one's start or upon it; then it takes its place.
    fn push(&mut self, start: A, value: T) {
        if self.starts.last() == Some(&start) {
            self.starts.pop();
            self.values.pop();
        }
        if self.values.last() != Some(&value) {
            self.starts.push(start);
            self.values.push(value);
        }
    }
}

impl<A: Bits, T> Span<A, T> {
    /// The length of the shortest prefix around `address` that lies inside this span; 0 when it is the whole
    /// family. `address` must lie inside.
    #[must_use]
    pub fn depth(&self, address: A) -> u8 {
        // A prefix leaves out a neighbour as soon as it is longer than what the two have in common.
        let without = |other: A| (address ^ other).leading_zeros() + 1;
        let below = self.first.previous().map_or(0, without);
        let above = self.last.next().map_or(0, without);
        u8::try_from(below.max(above)).expect("no address has more than 128 bits")
    }
}

impl<T> Span<u128, T> {
    /// The part of this span around `address` up to the nearest ranges that carry IPv4 addresses: what holds
    /// in those is told by the spans of IPv4. `address` must lie inside the span and outside those ranges.
    #[must_use]
    pub fn native(mut self, address: u128) -> Self {
        for range in EMBEDDING_RANGES {
            let (Some(first), Some(last)) = (u128::of(range.first()), u128::of(range.last())) else {
                continue;
            };
            if last < address {
                self.first = self.first.max(last + 1);
            } else {
                self.last = self.last.min(first - 1);
            }
        }
        self
    }
}

/// Spans that grow range by range.
pub(super) struct Builder<A, T> {
    spans: Spans<A, T>,
    /// The address behind the last range; `None` behind the family's last address.
    free: Option<A>,
    rest: T,
}

impl<A: Address, T: Copy + Eq> Builder<A, T> {
    /// `rest` will hold between the ranges. There is room for `expected` spans, more than there will be as a rule: the
    /// system finds memory for what is written to, and what was not is given back without a copy, while growing by
    /// doubling would hold old and new together, three times of what is needed in the worst moment.
    pub(super) fn new(rest: T, expected: usize) -> Self {
        Self { spans: Spans::with_capacity(expected), free: Some(A::FIRST), rest }
    }

    /// Adds a range behind the last one.
    ///
    /// # Panics
    /// When it is not behind the last one.
    pub(super) fn add(&mut self, range: Span<A, T>) {
        let begin = self.free.filter(|begin| *begin <= range.first && range.first <= range.last);
        let begin = begin.expect("ranges ascend and do not overlap");
        if begin < range.first {
            self.spans.push(begin, self.rest);
        }
        self.spans.push(range.first, range.value);
        self.free = range.last.next();
    }

    /// The spans, with nothing more to come.
    pub(super) fn finish(mut self) -> Spans<A, T> {
        if let Some(begin) = self.free {
            self.spans.push(begin, self.rest);
        }
        self.spans.shrink();
        self.spans
    }
}

/// The steps of two functions read together, address by address. Both must know how many they have at most.
pub fn together<A: Address, T: Copy, U: Copy>(
    mut here: impl Iterator<Item = (A, T)>,
    mut there: impl Iterator<Item = (A, U)>,
) -> impl Iterator<Item = (A, (T, U))> {
    let (mut next_here, mut next_there) = (here.next(), there.next());
    let mut values = (None, None);
    let most = [here.size_hint().1, there.size_hint().1]
        .into_iter()
        .try_fold(2, |sum: usize, part| sum.checked_add(part?));
    let both = std::iter::from_fn(move || {
        let start = match (&next_here, &next_there) {
            (Some((a, _)), Some((b, _))) => *a.min(b),
            (Some((only, _)), None) | (None, Some((only, _))) => *only,
            (None, None) => return None,
        };
        if let Some((_, value)) = next_here.take_if(|(first, _)| *first == start) {
            values.0 = Some(value);
            next_here = here.next();
        }
        if let Some((_, value)) = next_there.take_if(|(first, _)| *first == start) {
            values.1 = Some(value);
            next_there = there.next();
        }
        let (Some(a), Some(b)) = values else { unreachable!("both begin at the family's first address") };
        Some((start, (a, b)))
    });
    // No more than of both, which whoever makes room for them asks.
    both.take(most.expect("steps are counted"))
}

/// The spans of steps in the order of their addresses, one after the other, none of them held; of the steps the first
/// begins at the family's first address. Equal neighbours become one.
pub(super) fn spans_of<A: Address, T: Copy + Eq>(
    mut steps: impl Iterator<Item = (A, T)>,
) -> impl Iterator<Item = Span<A, T>> {
    let most = steps.size_hint().1.expect("steps are counted");
    let mut begun = steps.next();
    let spans = std::iter::from_fn(move || {
        let (first, value) = begun?;
        begun = steps.find(|(_, next)| *next != value);
        let last =
            begun.map(|(start, _)| start.previous().expect("a later span begins behind the first address"));
        Some(Span { first, last: last.unwrap_or(A::LAST), value })
    });
    spans.take(most)
}

/// A prefix as a range.
struct Layer<A, T> {
    first: A,
    last: A,
    length: u8,
    value: T,
}

impl<A: Address, T> Layer<A, T> {
    fn of((prefix, value): (Prefix, T)) -> Option<Self> {
        let (first, last) = (A::of(prefix.first())?, A::of(prefix.last())?);
        Some(Self { first, last, length: prefix.length(), value })
    }
}

/// The longest layer at each address. Layers come sorted by first address, then length, so that those which
/// hold an address are a stack: each lies inside the one below it.
fn flatten<A: Address, T: Copy + Eq>(layers: &[Layer<A, T>]) -> Spans<A, Option<T>> {
    let mut spans = Spans::uniform(None);
    let mut open: Vec<&Layer<A, T>> = Vec::new();
    for layer in layers {
        close_before(Some(layer.first), &mut open, &mut spans);
        spans.push(layer.first, Some(layer.value));
        open.push(layer);
    }
    close_before(None, &mut open, &mut spans);
    spans
}

/// Ends the layers that end before `address`, or all of them: behind each, the one below it holds again.
fn close_before<A: Address, T: Copy + Eq>(
    address: Option<A>,
    open: &mut Vec<&Layer<A, T>>,
    spans: &mut Spans<A, Option<T>>,
) {
    while let Some(ended) = open.pop_if(|layer| address.is_none_or(|address| layer.last < address)) {
        if let Some(after) = ended.last.next() {
            spans.push(after, open.last().map(|below| below.value));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn v4(text: &str) -> u32 {
        u32::of(text.parse().unwrap()).unwrap()
    }

    /// Small prefixes crowded at both ends of the family and in its middle.
    fn any_prefix() -> impl Strategy<Value = Prefix> {
        let corner = prop_oneof![Just(0_u32), Just(u32::MAX), Just(0x7fff_ffff), Just(0x8000_0000)];
        (corner, 0..=9_u32, 0..=32_u8).prop_map(|(corner, distance, length)| {
            let address = IpAddr::from((corner ^ distance).to_be_bytes());
            Prefix::holding(address, length).unwrap()
        })
    }

    fn longest(prefixes: &[(Prefix, u8)], address: u32) -> u8 {
        let address = IpAddr::from(address.to_be_bytes());
        let holding = prefixes.iter().filter(|(prefix, _)| prefix.contains(address));
        holding.max_by_key(|(prefix, _)| prefix.length()).map_or(0, |(_, value)| *value)
    }

    proptest! {
        #[test]
        fn the_longest_prefix_holds(
            prefixes in proptest::collection::vec((any_prefix(), 0..4_u8), 0..12),
            probes in proptest::collection::vec(any_prefix(), 30),
        ) {
            let spans = Spans::<u32, u8>::uniform(0).overlay(prefixes.clone());
            for probe in probes.iter().flat_map(|prefix| [prefix.first(), prefix.last()]) {
                let address = u32::of(probe).unwrap();
                let span = spans.around(address);
                prop_assert!(span.first <= address && address <= span.last);
                prop_assert_eq!(span.value, longest(&prefixes, address));
            }
            prop_assert!(spans.values.windows(2).all(|pair| pair[0] != pair[1]));
            prop_assert!(spans.starts.windows(2).all(|pair| pair[0] < pair[1]));
        }

        #[test]
        fn zip_reads_both(
            a in proptest::collection::vec((any_prefix(), 0..4_u8), 0..8),
            b in proptest::collection::vec((any_prefix(), 0..4_u8), 0..8),
            probes in proptest::collection::vec(any_prefix(), 30),
        ) {
            let (a, b) = (Spans::uniform(0).overlay(a), Spans::uniform(0).overlay(b));
            let both = a.zip(&b, |x, y| (x, y));
            for probe in probes.iter().flat_map(|prefix| [prefix.first(), prefix.last()]) {
                let address = u32::of(probe).unwrap();
                prop_assert_eq!(both.around(address).value, (a.around(address).value, b.around(address).value));
            }
            prop_assert_eq!(both.map(|(x, _)| x), a);
            prop_assert_eq!(both.map(|(_, y)| y), b);
        }

        #[test]
        fn depth_is_the_shortest_prefix_inside_the_span(
            prefixes in proptest::collection::vec((any_prefix(), 0..4_u8), 0..8),
            probe in any_prefix(),
        ) {
            let spans = Spans::<u32, u8>::uniform(0).overlay(prefixes);
            let span = spans.around(u32::of(probe.first()).unwrap());
            let inside = |length: u8| {
                let scope = Prefix::holding(probe.first(), length).unwrap();
                span.first <= u32::of(scope.first()).unwrap() && u32::of(scope.last()).unwrap() <= span.last
            };
            let depth = span.depth(u32::of(probe.first()).unwrap());
            prop_assert!(inside(depth));
            prop_assert!(depth == 0 || !inside(depth - 1));
        }
    }

    #[test]
    fn ranges_leave_the_rest_between_them() {
        let range = |first, last, value| Span { first: v4(first), last: v4(last), value };
        let mut builder = Builder::new(0, 0);
        builder.add(range("0.0.0.0", "9.255.255.255", 0));
        builder.add(range("10.0.0.0", "10.0.0.0", 1));
        builder.add(range("10.0.0.1", "10.0.0.5", 1));
        builder.add(range("255.255.255.255", "255.255.255.255", 2));
        let spans = builder.finish();
        let values: Vec<_> = spans.iter().map(|span| (span.first, span.value)).collect();
        assert_eq!(
            values,
            [(0, 0), (v4("10.0.0.0"), 1), (v4("10.0.0.6"), 0), (u32::MAX, 2)],
            "equal neighbours are one span"
        );
    }

    #[test]
    fn of_equal_prefixes_the_last_given_holds() {
        let net = prefix("192.0.2.0/24");
        let spans = Spans::uniform(0).overlay([(net, 1), (prefix("2001:db8::/32"), 9), (net, 2)]);
        assert_eq!(spans.around(v4("192.0.2.7")).value, 2);
        assert_eq!(spans.len(), 3);
    }

    #[test]
    fn the_whole_family_is_one_span() {
        let spans = Spans::<u128, u8>::uniform(0).overlay([(prefix("::/0"), 7)]);
        assert_eq!(spans, Spans::uniform(7));
        assert_eq!(spans.around(5).depth(5), 0);
    }
}
