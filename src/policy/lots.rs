//! Lots: the 1,024 buckets into which clients fall, so that a choice that is shared out sticks to each client.
//!
//! Every hash here is fixed for ever and made of integers alone: all nodes, platforms and versions must put a
//! client in the same lot, or a fleet would give one client several answers.

use std::net::IpAddr;

use crate::health::verdict::Share;
use crate::net::embedded_v4;

/// How many lots there are; the grain of a [`Share`].
pub const LOTS: u16 = 1024;

/// How many bits of an IPv4 address decide its lot.
pub const LOT_BITS_V4: u8 = 24;
/// How many bits of an IPv6 address decide its lot, where no IPv4 address is inside.
pub const LOT_BITS_V6: u8 = 48;

/// The lot of a client, by its /24 or /48. An IPv4 address carried inside an IPv6 one is the client.
#[must_use]
pub fn lot(client: IpAddr, salt: u64) -> u16 {
    // The ten highest bits: always below LOTS.
    (mix(network_number(client) ^ mix(salt)) >> 54) as u16
}

/// How many bits of this very address decide its lot: no answer that a lot chose may be said to hold for a
/// wider network (RFC 7871 section 7.2.1).
#[must_use]
pub fn lot_depth(client: IpAddr) -> u8 {
    match client {
        IpAddr::V4(_) => LOT_BITS_V4,
        IpAddr::V6(v6) => embedded_v4(v6).map_or(LOT_BITS_V6, |inside| inside.offset + LOT_BITS_V4),
    }
}

/// A number for a thing with a name: what its lots fall by, and the salt of a service that sets none.
#[must_use]
pub fn key_of(name: &str) -> u64 {
    key_of_octets(name.as_bytes())
}

/// A number for an address, by which an endpoint's lots fall.
#[must_use]
pub fn key_of_address(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(v4) => key_of_octets(&v4.octets()),
        IpAddr::V6(v6) => key_of_octets(&v6.octets()),
    }
}

/// The order in which a growing share gains lots. It depends on the salt alone, and not on what a draw gives
/// to them.
#[derive(Clone, Copy, Debug, Default)]
pub struct LotOrder(u64);

impl LotOrder {
    /// The order of a salt.
    #[must_use]
    pub fn of(salt: u64) -> Self {
        Self(mix(salt ^ ORDER_DOMAIN))
    }

    /// The order for a region's ramps, and those of its endpoints: a region on a ramp and the endpoint that it
    /// is on a ramp for take the same lots.
    pub(super) fn of_region(service_salt: u64, region_key: u64) -> Self {
        Self::of(mix(service_salt) ^ region_key)
    }

    /// Whether a share holds this lot. A share that grows only gains lots.
    #[must_use]
    pub fn covers(self, share: Share, lot: u16) -> bool {
        self.rank(lot) < share.parts()
    }

    /// The place of a lot in this order: a permutation, since each step is one on ten bits.
    fn rank(self, lot: u16) -> u16 {
        let mut place = (u64::from(lot) ^ self.0) & MASK;
        for step in 1..4 {
            let piece = self.0 >> (16 * step);
            place = place.wrapping_mul(piece << 1 | 1).wrapping_add(piece >> 6) & MASK;
            place ^= place >> 5;
        }
        // Masked to ten bits above.
        place as u16
    }
}

/// Spreads every bit of a number over all bits (a xor-shift and multiply finaliser, Stafford's variant 13).
#[must_use]
pub(super) fn mix(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// The client's /24 or /48 as a number; the families never share one.
fn network_number(client: IpAddr) -> u64 {
    match client {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> (32 - LOT_BITS_V4)),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(inside) => network_number(inside.address.into()),
            // 48 bits are left of 128.
            None => 1 << 63 | (v6.to_bits() >> (128 - LOT_BITS_V6)) as u64,
        },
    }
}

/// FNV-1a, whose weak high bits the mixing repairs.
fn key_of_octets(octets: &[u8]) -> u64 {
    mix(octets
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3)))
}

/// The ten bits of a lot.
const MASK: u64 = LOTS as u64 - 1;
/// Keeps the order of lots apart from every other use of the salt.
const ORDER_DOMAIN: u64 = 0x7261_6e6b_206f_6620;

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn lot_of(client: &str, salt: u64) -> u16 {
        lot(client.parse().unwrap(), salt)
    }

    /// Chi-square of the lots of consecutive networks: 1,023 degrees of freedom, deviation about 45.
    fn chi_square(lots: impl Iterator<Item = u16>) -> f64 {
        let mut counts = [0_u32; LOTS as usize];
        let mut total = 0.0;
        for lot in lots {
            counts[usize::from(lot)] += 1;
            total += 1.0;
        }
        let expected = total / f64::from(LOTS);
        counts.iter().map(|count| (f64::from(*count) - expected).powi(2) / expected).sum()
    }

    #[test]
    fn lots_are_those_of_every_other_version() {
        let vectors = [
            ("203.0.113.7", 0, 1001),
            ("203.0.113.7", 2, 13),
            ("0.0.0.0", 0, 668),
            ("255.255.255.255", u64::MAX, 404),
            ("2001:db8:1::1", 0, 571),
            ("::", 0, 334),
        ];
        for (client, salt, expected) in vectors {
            assert_eq!(lot_of(client, salt), expected, "{client} {salt}");
        }
        assert_eq!(key_of("eu-west"), 0xcd50_c147_7487_7cb6);
        assert_eq!(key_of_address("192.0.2.1".parse().unwrap()), 0x7d72_555d_50da_3b6a);
        assert_eq!((0..4).map(|lot| LotOrder::of(7).rank(lot)).collect::<Vec<_>>(), [245, 380, 672, 448]);
    }

    #[test]
    fn a_lot_is_that_of_the_network() {
        assert_eq!(lot_of("203.0.113.0", 5), lot_of("203.0.113.255", 5));
        assert_eq!(lot_of("2001:db8:1::", 5), lot_of("2001:db8:1:ffff::1", 5));
        let differing = (0..100).filter(|salt| lot_of("203.0.113.0", *salt) != lot_of("203.0.112.0", *salt));
        assert!(differing.count() > 95);
    }

    #[test]
    fn a_client_behind_a_transition_mechanism_keeps_its_lot() {
        let cases = [
            ("2002:cb00:7107:1::1", 40),
            ("2001:0:4136:e378:8000:63bf:34ff:8ef8", 120),
            ("64:ff9b::203.0.113.7", 120),
            ("::ffff:203.0.113.7", 120),
        ];
        for (client, depth) in cases {
            assert_eq!(lot_of(client, 9), lot_of("203.0.113.99", 9), "{client}");
            assert_eq!(lot_depth(client.parse().unwrap()), depth, "{client}");
        }
        assert_eq!(lot_depth("203.0.113.7".parse().unwrap()), 24);
        assert_eq!(lot_depth("2001:db8::".parse().unwrap()), 48);
    }

    #[test]
    fn consecutive_networks_fill_the_lots_evenly() {
        for salt in 0..8 {
            let v4 = (0..100_000).map(|n| lot(Ipv4Addr::from_bits((0x0a00_0000 + n) << 8).into(), salt));
            let v6 = (0..100_000_u128).map(|n| lot(Ipv6Addr::from_bits(n << 80).into(), salt));
            for chi in [chi_square(v4), chi_square(v6)] {
                assert!((840.0..1210.0).contains(&chi), "{chi}");
            }
        }
    }

    #[test]
    fn a_share_of_lots_holds_exactly_so_many_and_only_grows() {
        for salt in 0..64 {
            let mut seen = [false; LOTS as usize];
            (0..LOTS).for_each(|lot| seen[usize::from(LotOrder::of(salt).rank(lot))] = true);
            assert!(seen.iter().all(|seen| *seen), "the order of lots is a permutation");
        }
        let covered = |parts| {
            (0..LOTS).filter(|lot| LotOrder::of(3).covers(Share::of_1024(parts), *lot)).collect::<Vec<_>>()
        };
        assert_eq!(covered(0).len(), 0);
        assert_eq!(covered(256).len(), 256);
        assert_eq!(covered(1024).len(), 1024);
        assert!(covered(100).iter().all(|lot| covered(101).contains(lot)));
    }

    #[test]
    fn a_share_of_lots_is_no_run_of_them() {
        for salt in 0..64 {
            let low = (0..LOTS / 2).filter(|lot| LotOrder::of(salt).rank(*lot) < LOTS / 2).count();
            let even = (0..LOTS).step_by(2).filter(|lot| LotOrder::of(salt).rank(*lot) < LOTS / 2).count();
            assert!((128..384).contains(&low) && (128..384).contains(&even), "{salt}: {low} {even}");
        }
    }
}
