//! Words for tests: `World::of("eu: a b; us: c*3")`, `world.board("eu1 down")`.
//!
//! Regions are numbered as written, and the first two letters name them; endpoints are "eu1", "eu2" in the order
//! written. A letter is an IPv4 address, a capital one an IPv6 address; `*3` is a weight.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::health::verdict::{Share, Standing, State};
use crate::ids::{EndpointId, MapId, RegionId};

use super::lots::key_of;
use super::map::{Class, Fence};
use super::select::{Selection, Situation, select};
use super::service::*;
use super::variant::{Layout, Variant, lay_out};

/// A service, and what its regions and endpoints are called.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) service: Service,
    regions: Vec<String>,
    endpoints: Vec<String>,
}

/// The standing of each endpoint.
pub(super) type Board = Vec<Standing>;

impl World {
    pub(super) fn of(text: &str) -> Self {
        let (mut regions, mut endpoints, mut stand) = (Vec::new(), Vec::new(), Vec::new());
        for (at, part) in text.split(';').enumerate() {
            let (head, tail) = part.split_once(':').unwrap();
            let (name, weight) = weighted(head.trim());
            let mut region = ServiceRegion {
                region: RegionId::from_index(at),
                key: key_of(name),
                tier: Tier::Primary,
                weight,
                cname: None,
                endpoints: Vec::new(),
            };
            for (number, word) in tail.split_whitespace().enumerate() {
                let (letter, weight) = weighted(word);
                let id = EndpointId::from_index(endpoints.len());
                region.endpoints.push(Endpoint { id, address: address(letter), weight, target: None });
                endpoints.push(format!("{name}{}", number + 1));
            }
            regions.push(name.to_owned());
            stand.push(region);
        }
        let service = Service {
            name: "www".to_owned(),
            names: Vec::new(),
            map: MapId(0),
            regions: stand,
            answer: AnswerKind::Addresses,
            bindings: Vec::new(),
            count: AnswerCount::All,
            threshold: Share::of_1024(512),
            families: Families::Together,
            ttl: TtlPolicy { steady: 30, suspect: 5, moved: 10, floor: 1 },
            when_all_down: WhenAllDown::FailOpen,
            salt: 7,
        };
        Self { service, regions, endpoints }
    }

    pub(super) fn tier(mut self, region: &str, tier: Tier) -> Self {
        let at = self.region(region).index();
        self.service.regions[at].tier = tier;
        self
    }

    pub(super) fn region(&self, name: &str) -> RegionId {
        RegionId::from_index(self.regions.iter().position(|other| other == name).expect(name))
    }

    pub(super) fn name(&self, region: RegionId) -> &str {
        &self.regions[region.index()]
    }

    /// "eu us | ap, prefer": the order, the end of the inside, the fence. "weighted" is one more word.
    pub(super) fn class(&self, text: &str) -> Class {
        let (order, words) = text.split_once(',').unwrap_or((text, ""));
        let (inside, outside) = order.split_once('|').unwrap_or((order, ""));
        let ids = |names: &str| names.split_whitespace().map(|name| self.region(name)).collect::<Vec<_>>();
        let fence = match words {
            _ if words.contains("hard") => Fence::Hard,
            _ if words.contains("prefer") => Fence::Prefer,
            _ => Fence::None,
        };
        Class {
            order: [ids(inside), ids(outside)].concat().into(),
            inside: ids(inside).len() as u16,
            fence,
            weighted: words.contains("weighted"),
            vantage: None,
        }
    }

    /// Everything up but for "eu1 down, us drained, ap1 recovering 25%". A region's name means all of its
    /// endpoints.
    pub(super) fn board(&self, text: &str) -> Board {
        let mut board = vec![Standing::UP; self.endpoints.len()];
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let mut words = part.split_whitespace();
            let name = words.next().unwrap();
            let standing = standing(words.next().unwrap(), words.next());
            let mut found = false;
            for (at, endpoint) in self.endpoints.iter().enumerate() {
                if endpoint == name || endpoint.trim_end_matches(|c: char| c.is_ascii_digit()) == name {
                    board[at] = standing;
                    found = true;
                }
            }
            assert!(found, "{name} is no endpoint");
        }
        board
    }

    pub(super) fn select(&self, class: &str, board: &str) -> Selection {
        let (class, board) = (self.class(class), self.board(board));
        self.situation(&class, &|id| board[id.index()], select)
    }

    pub(super) fn lay_out(&self, class: &str, board: &str) -> Layout {
        self.lay_out_on(&self.class(class), &self.board(board))
    }

    pub(super) fn lay_out_on(&self, class: &Class, board: &[Standing]) -> Layout {
        self.situation(class, &|id| board[id.index()], |situation| lay_out(situation, &select(situation)))
    }

    fn situation<T>(
        &self,
        class: &Class,
        standings: &dyn Fn(EndpointId) -> Standing,
        then: impl Fn(&Situation<'_>) -> T,
    ) -> T {
        then(&Situation { service: &self.service, class, family: None, standings })
    }

    /// The regions that get lots, with how many: "eu 1024" or "eu 256, us 768".
    pub(super) fn shares(&self, layout: &Layout) -> String {
        let mut counts = vec![0; self.regions.len()];
        for lot in 0..1024 {
            if let Some(region) = layout.region_of(lot) {
                counts[region.index()] += 1;
            }
        }
        let parts = self.regions.iter().zip(counts).filter(|(_, count)| *count > 0);
        parts.map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
    }
}

impl Layout {
    pub(super) fn variant_of(&self, lot: u16) -> &Variant {
        &self.variants[self.lots.as_ref().map_or(0, |lots| usize::from(lots[usize::from(lot)]))]
    }

    pub(super) fn region_of(&self, lot: u16) -> Option<RegionId> {
        if self.variants.is_empty() { None } else { self.variant_of(lot).region }
    }

    /// All addresses of each variant as letters, in order: "a b".
    pub(super) fn letters(&self, variant: usize) -> String {
        let Variant { v4, v6, .. } = &self.variants[variant];
        let v4 = v4.iter().map(|address| char::from(address.octets()[3]).to_string());
        let v6 = v6.iter().map(|address| char::from(address.octets()[15]).to_string());
        v4.chain(v6).collect::<Vec<_>>().join(" ")
    }
}

fn weighted(word: &str) -> (&str, u32) {
    word.split_once('*').map_or((word, 1), |(word, weight)| (word, weight.parse().unwrap()))
}

fn address(letter: &str) -> IpAddr {
    let octet = letter.as_bytes()[0];
    if octet.is_ascii_uppercase() {
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, u16::from(octet)).into()
    } else {
        Ipv4Addr::new(192, 0, 2, octet).into()
    }
}

pub(super) fn standing(word: &str, share: Option<&str>) -> Standing {
    let share = share.map_or(Share::WHOLE, |text| {
        Share::of_ratio(text.trim_end_matches('%').parse::<f64>().unwrap() / 100.0)
    });
    match word {
        "up" => Standing::UP,
        "unknown" => Standing { state: State::Unknown, ..Standing::UP },
        "suspect" => Standing { state: State::Suspect, ..Standing::UP },
        "down" => Standing { state: State::Down, ..Standing::UP },
        "forced" => Standing { state: State::Down, forced_down: true, ..Standing::UP },
        "drained" => Standing { ramp: Share::NONE, ..Standing::UP },
        "held" => Standing { state: State::Recovering, ramp: Share::NONE, ..Standing::UP },
        "recovering" => Standing { state: State::Recovering, ramp: share, ..Standing::UP },
        "draining" => Standing { ramp: share, ..Standing::UP },
        "usable" => Standing { usable: share, ..Standing::UP },
        _ => panic!("{word} is no standing"),
    }
}
