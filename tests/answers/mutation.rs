//! Queries as dig, kdig, delv and unbound send them, and what damage and malice make of them. Shared with the benchmark
//! `reliability`, which sends them through sockets.

#[path = "zone.rs"]
mod zone;

use rhumb::agent::chance::Chance;

pub(crate) use zone::{CONFIGURATION, ZONE};

/// The queries as hexadecimal digits, with the command that sent each above it.
pub(crate) const CORPUS: &str = include_str!("../corpora/queries.hex");

/// A number below `end`.
pub(crate) fn below(chance: &mut Chance, end: usize) -> usize {
    (chance.bits() % end.max(1) as u64) as usize
}

/// The genuine queries.
pub(crate) fn corpus() -> Vec<Vec<u8>> {
    let lines = CORPUS.lines().filter(|line| !line.starts_with('#'));
    let octet = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    lines.map(|line| line.as_bytes().chunks(2).map(octet).collect()).collect()
}

/// One mutation, as damage and malice make them.
pub(crate) fn mutate(packet: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    const TELLING: [u8; 12] = [0, 1, 2, 0x0a, 0x29, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xfa, 0xff];
    let at = below(chance, packet.len());
    match below(chance, 10) {
        _ if packet.is_empty() => packet.push(chance.bits() as u8),
        0 => packet[at] = chance.bits() as u8,
        1 => packet[at] ^= 1 << below(chance, 8),
        2 => packet[at] = TELLING[below(chance, TELLING.len())],
        3 => packet.truncate(at),
        4 => packet.insert(at, TELLING[below(chance, TELLING.len())]),
        5 => drop(packet.remove(at)),
        6 => {
            let end = (at + below(chance, 24)).min(packet.len());
            let part = packet[at..end].to_vec();
            let to = below(chance, packet.len());
            packet.splice(to..to, part);
        }
        7 => {
            packet.truncate(at);
            packet.extend_from_slice(&other[below(chance, other.len())..]);
        }
        8 => {
            // A count of the header, which small numbers make interesting.
            let field = 4 + 2 * below(chance, 4);
            if let Some(count) = packet.get_mut(field..field + 2) {
                count.copy_from_slice(&[0, below(chance, 4) as u8]);
            }
        }
        _ => packet.extend((0..below(chance, 40)).map(|_| chance.bits() as u8)),
    }
}
