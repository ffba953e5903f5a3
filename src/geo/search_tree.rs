//! The search tree of a MaxMind DB: nodes of two records each, whose bits lead from an address to a place in the file's
//! data. Read in the order of addresses and as numbers alone; what is in the data is the affair of the format's reader.
//!
//! The reader has an iteration of its own, which makes an address, a prefix and a judgement of aliases for each of a
//! million networks: it took three times as long, and a start waits for it.

use std::net::{IpAddr, Ipv4Addr};

use super::spans::{Address, Bits, Span};
use crate::net::Prefix;

/// What a record leads to: a node below [`SearchTree`]'s count of them, nothing at that count, data above it.
pub(super) type Record = u32;

/// The nodes of a file.
pub(super) struct SearchTree<'o> {
    nodes: &'o [u8],
    count: u32,
    width: RecordWidth,
    ip_version: u16,
}

/// Bits of a record.
#[derive(Clone, Copy)]
enum RecordWidth {
    Bits24,
    Bits28,
    Bits32,
}

/// Why a tree cannot be walked.
#[derive(Debug)]
pub(super) enum TreeFault {
    /// The file has fewer octets than its nodes.
    Short,
    /// Records of a width that the format does not have.
    Width(u16),
    /// Below the last bit of an address there is one more node.
    Deep,
}

impl<'o> SearchTree<'o> {
    /// The tree at the start of a file's octets; the rest is what its metadata say.
    pub(super) fn new(octets: &'o [u8], count: u32, width: u16, ip_version: u16) -> Result<Self, TreeFault> {
        let (width, octets_of_node) = match width {
            24 => (RecordWidth::Bits24, 6),
            28 => (RecordWidth::Bits28, 7),
            32 => (RecordWidth::Bits32, 8),
            other => return Err(TreeFault::Width(other)),
        };
        let nodes = (count as usize).checked_mul(octets_of_node).and_then(|length| octets.get(..length));
        Ok(Self { nodes: nodes.ok_or(TreeFault::Short)?, count, width, ip_version })
    }

    /// Whether the record leads to data.
    pub(super) fn is_data(&self, record: Record) -> bool {
        record > self.count
    }

    /// Shows `visit` what the tree says inside `range`, span by span in the order of their addresses; those that
    /// reach beyond it are cut to it.
    pub(super) fn walk<A: Address, F: From<TreeFault>>(
        &self,
        range: Prefix,
        mut visit: impl FnMut(Span<A, Record>) -> Result<(), F>,
    ) -> Result<(), F> {
        let first = A::of(range.first()).expect("a walk stays in its family");
        let mut record = self.root::<A>();
        for depth in 0..u32::from(range.length()) {
            record = if self.is_node(record) { self.child(record, bit(first, depth)) } else { record };
        }
        let mut waiting = Vec::with_capacity(A::WIDTH as usize);
        waiting.push((record, first, u32::from(range.length())));
        while let Some((record, first, depth)) = waiting.pop() {
            if !self.is_node(record) {
                visit(Span { first, last: first ^ below::<A>(depth), value: record })?;
            } else if depth == A::WIDTH {
                return Err(TreeFault::Deep.into());
            } else {
                let second = first ^ top::<A>() >> depth;
                waiting.push((self.child(record, true), second, depth + 1));
                waiting.push((self.child(record, false), first, depth + 1));
            }
        }
        Ok(())
    }

    /// Where a family begins: in a tree of IPv6, IPv4 is what follows 96 zeros.
    fn root<A: Address>(&self) -> Record {
        let is_v4 = A::of(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).is_some();
        let zeros = if is_v4 && self.ip_version == 6 { 96 } else { 0 };
        (0..zeros).fold(0, |record, _| if self.is_node(record) { self.child(record, false) } else { record })
    }

    fn is_node(&self, record: Record) -> bool {
        record < self.count
    }

    fn child(&self, node: Record, second: bool) -> Record {
        let at = node as usize;
        let octets = |begin: usize| {
            let octets = self.nodes[begin..begin + 3].first_chunk::<3>().expect("three were taken");
            u32::from_be_bytes([0, octets[0], octets[1], octets[2]])
        };
        match self.width {
            RecordWidth::Bits24 => octets(at * 6 + 3 * usize::from(second)),
            RecordWidth::Bits28 => {
                // The octet between the two has the high bits of both.
                let middle = u32::from(self.nodes[at * 7 + 3]);
                let high = if second { middle & 0x0f } else { middle >> 4 };
                high << 24 | octets(at * 7 + 4 * usize::from(second))
            }
            RecordWidth::Bits32 => {
                let begin = at * 8 + 4 * usize::from(second);
                u32::from(self.nodes[begin]) << 24 | octets(begin + 1)
            }
        }
    }
}

fn top<A: Bits>() -> A {
    A::LAST ^ A::LAST >> 1
}

/// All bits behind the first `depth`.
fn below<A: Bits>(depth: u32) -> A {
    if depth == A::WIDTH { A::FIRST } else { A::LAST >> depth }
}

fn bit<A: Bits>(address: A, depth: u32) -> bool {
    address << depth >> (A::WIDTH - 1) != A::FIRST
}

impl std::fmt::Display for TreeFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Short => f.write_str("its search tree ends early"),
            Self::Width(bits) => write!(f, "its search tree has records of {bits} bits, not of 24, 28 or 32"),
            Self::Deep => f.write_str("its search tree is deeper than an address"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One node per line of records, as the file has them.
    fn octets(records: &[[u32; 2]], width: u16) -> Vec<u8> {
        let node = |[first, second]: &[u32; 2]| {
            let (a, b) = (first.to_be_bytes(), second.to_be_bytes());
            match width {
                24 => [&a[1..], &b[1..]].concat(),
                28 => [&a[1..], &[a[0] << 4 | b[0]], &b[1..]].concat(),
                _ => [a, b].concat(),
            }
        };
        records.iter().flat_map(node).collect()
    }

    fn walked(records: &[[u32; 2]], width: u16, ip_version: u16, range: &str) -> Result<Vec<String>, String> {
        let octets = octets(records, width);
        let tree = SearchTree::new(&octets, records.len() as u32, width, ip_version).unwrap();
        let mut told = Vec::new();
        let visit = |span: Span<u32, Record>| {
            told.push(format!("{:x}-{:x} {}", span.first, span.last, span.value));
            Ok::<(), TreeFault>(())
        };
        tree.walk(range.parse().unwrap(), visit).map_err(|fault| fault.to_string())?;
        Ok(told)
    }

    #[test]
    fn every_width_leads_to_the_same() {
        for width in [24, 28, 32] {
            let far = if width == 24 { 0xff_ffff } else { 0xfff_ffff };
            let told = walked(&[[1, far], [2, 20]], width, 4, "0.0.0.0/0").unwrap();
            let expected = [
                "0-3fffffff 2".to_owned(),
                "40000000-7fffffff 20".to_owned(),
                format!("80000000-ffffffff {far}"),
            ];
            assert_eq!(told, expected, "{width}");
        }
    }

    #[test]
    fn a_walk_stays_inside_its_range() {
        let records = [[1, 30], [20, 21]];
        assert_eq!(walked(&records, 24, 4, "64.0.0.0/2").unwrap(), ["40000000-7fffffff 21"]);
        assert_eq!(walked(&records, 24, 4, "192.0.2.0/24").unwrap(), ["c0000200-c00002ff 30"]);
        assert_eq!(walked(&records, 24, 4, "192.0.2.1/32").unwrap(), ["c0000201-c0000201 30"]);
    }

    #[test]
    fn ipv4_is_found_behind_96_zeros_or_where_they_end() {
        let zeros: Vec<[u32; 2]> = (0..96).map(|node| [node + 1, 500]).chain([[20 + 96, 21 + 96]]).collect();
        assert_eq!(walked(&zeros, 24, 6, "0.0.0.0/0").unwrap(), ["0-7fffffff 116", "80000000-ffffffff 117"]);
        assert_eq!(walked(&[[9, 1]], 24, 6, "0.0.0.0/0").unwrap(), ["0-ffffffff 9"]);
    }

    #[test]
    fn a_tree_without_an_end_is_a_fault() {
        assert_eq!(
            walked(&[[0, 5]], 28, 4, "0.0.0.0/0").unwrap_err(),
            "its search tree is deeper than an address"
        );
        assert!(SearchTree::new(&[0; 5], 1, 24, 4).is_err());
        assert!(SearchTree::new(&[0; 50], 1, 20, 4).is_err());
    }
}
