//! What holds in every state: properties over generated services, classes and boards.

use proptest::prelude::*;

use crate::health::verdict::{Share, Standing};
use crate::ids::RegionId;
use crate::net::Family;

use super::fitness::Fitness;
use super::map::{Class, Fence};
use super::select::{Outcome, Situation, first_preference, select, select_first};
use super::service::{AnswerCount, Tier};
use super::testing::{Board, World, standing};
use super::variant::{Layout, lay_out};

fn worlds() -> impl Strategy<Value = World> {
    let endpoint = (prop::sample::select(vec!["a", "b", "c", "A", "B"]), 0..4_u32);
    let region = (prop::collection::vec(endpoint, 1..4), 0..4_u32, 0..3_u8);
    (prop::collection::vec(region, 1..5), 0..4_u8, any::<u64>()).prop_map(|(regions, count, salt)| {
        let text: Vec<String> = regions
            .iter()
            .enumerate()
            .map(|(at, (endpoints, weight, _))| {
                // Both families everywhere, as `check` wants it.
                let words = endpoints.iter().map(|(letter, weight)| format!("{letter}*{weight}"));
                format!("r{at}x*{weight}: z Z {}", words.collect::<Vec<_>>().join(" "))
            })
            .collect();
        let mut world = World::of(&text.join(";"));
        for (region, (_, _, tier)) in world.service.regions.iter_mut().zip(&regions) {
            region.tier = [Tier::Primary, Tier::Warm, Tier::LastResort][usize::from(*tier)];
        }
        world.service.count = if count == 0 { AnswerCount::All } else { AnswerCount::AtMost(count) };
        world.service.salt = salt;
        world
    })
}

fn standings() -> impl Strategy<Value = Standing> {
    let words = vec![
        "up", "up", "up", "up", "down", "down", "down", "suspect", "unknown", "forced", "drained", "held",
    ];
    prop_oneof![
        4 => prop::sample::select(words).prop_map(|word| standing(word, None)),
        1 => (0..=4_u16).prop_map(|quarter| ramping(quarter * 256)),
        1 => (1..=4_u16).prop_map(|quarter| usable(quarter * 256)),
    ]
}

fn ramping(parts: u16) -> Standing {
    Standing { ramp: Share::of_1024(parts), ..standing("recovering", None) }
}

fn usable(parts: u16) -> Standing {
    Standing { usable: Share::of_1024(parts), ..Standing::UP }
}

/// A world, a class of it and two boards: the second differs from the first in one region only.
fn scenes() -> impl Strategy<Value = (World, Class, Board, Board, RegionId)> {
    worlds().prop_flat_map(|world| {
        let regions = world.service.regions.len();
        let endpoints = world.service.regions.iter().map(|region| region.endpoints.len()).sum::<usize>();
        let boards = || prop::collection::vec(standings(), endpoints);
        let order = Just((0..regions).map(RegionId::from_index).collect::<Vec<_>>()).prop_shuffle();
        let fence = prop::sample::select(vec![Fence::None, Fence::Prefer, Fence::Hard]);
        (order, 1..=regions, fence, any::<bool>(), boards(), boards(), 0..regions).prop_map(
            move |(order, inside, fence, weighted, board, other, changed)| {
                let class =
                    Class { order: order.into(), inside: inside as u16, fence, weighted, vantage: None };
                let mut after = board.clone();
                for endpoint in &world.service.regions[changed].endpoints {
                    after[endpoint.id.index()] = other[endpoint.id.index()];
                }
                (world.clone(), class, board, after, RegionId::from_index(changed))
            },
        )
    })
}

fn answers(world: &World, class: &Class, board: &[Standing]) -> (Outcome, Layout) {
    let standings = |id: crate::ids::EndpointId| board[id.index()];
    let situation = Situation { service: &world.service, class, family: None, standings: &standings };
    let selection = select(&situation);
    (selection.outcome, lay_out(&situation, &selection))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_answer_is_never_empty_unless_everything_is_forced_down((world, class, board, ..) in scenes()) {
        let (outcome, layout) = answers(&world, &class, &board);
        let may_serve = |region: &RegionId| class.order[..usize::from(class.inside)].contains(region) || class.fence != Fence::Hard;
        let alive = world.service.regions.iter().filter(|region| may_serve(&region.region)).any(|region| {
            region.endpoints.iter().any(|endpoint| !board[endpoint.id.index()].forced_down)
        });
        prop_assert_eq!(outcome == Outcome::ForcedDown, !alive);
        prop_assert_eq!(layout.variants.is_empty(), !alive);
        for variant in &layout.variants {
            prop_assert!(!variant.v4.is_empty() || !variant.v6.is_empty());
            if !matches!(outcome, Outcome::FailOpen(_)) {
                prop_assert!(!variant.v4.is_empty() && !variant.v6.is_empty());
            }
        }
    }

    #[test]
    fn a_hard_fence_is_never_left_and_what_is_forced_down_never_served((world, class, board, ..) in scenes()) {
        let (_, layout) = answers(&world, &class, &board);
        for variant in &layout.variants {
            let region = variant.region.unwrap();
            let place = class.order.iter().position(|other| *other == region).unwrap();
            prop_assert!(class.fence != Fence::Hard || place < usize::from(class.inside));
            let alive: Vec<_> = world.service.regions[region.index()].endpoints.iter()
                .filter(|endpoint| !board[endpoint.id.index()].forced_down)
                .map(|endpoint| endpoint.address)
                .collect();
            prop_assert!(variant.v4.iter().all(|address| alive.contains(&(*address).into())));
            prop_assert!(variant.v6.iter().all(|address| alive.contains(&(*address).into())));
        }
    }

    #[test]
    fn a_preferring_fence_is_left_only_for_lots_that_a_ramp_inside_does_not_hold(
        (world, class, board, ..) in scenes(),
    ) {
        let class = Class { fence: Fence::Prefer, ..class };
        let board: Board = board.iter().map(without_share).collect();
        let (outcome, layout) = answers(&world, &class, &board);
        let inside = &class.order[..usize::from(class.inside)];
        let works = |region: &RegionId| {
            let endpoints = &world.service.regions[region.index()].endpoints;
            let usable = |v4: bool| {
                endpoints.iter().filter(|endpoint| endpoint.address.is_ipv4() == v4).any(|endpoint| {
                    Fitness::of(board[endpoint.id.index()]) == Fitness::Usable
                })
            };
            usable(true) && usable(false)
        };
        if inside.iter().any(works) {
            prop_assert!(!matches!(outcome, Outcome::FailOpen(_)));
            prop_assert!(layout.variants.iter().all(|variant| inside.contains(&variant.region.unwrap())));
        }
    }

    #[test]
    fn equal_inputs_make_equal_answers((world, class, board, ..) in scenes()) {
        prop_assert_eq!(answers(&world, &class, &board), answers(&world, &class, &board));
    }

    #[test]
    fn the_short_way_to_the_first_preference_leads_to_the_same_answers((world, class, board, ..) in scenes()) {
        let standings = |id: crate::ids::EndpointId| board[id.index()];
        for family in [None, Some(Family::V4), Some(Family::V6)] {
            let situation = Situation { service: &world.service, class: &class, family, standings: &standings };
            let Some(first) = first_preference(&world.service, &class, family) else { continue };
            let whole = select(&situation);
            if let Some(short) = select_first(&situation, first) {
                prop_assert_eq!(short.outcome, whole.outcome);
                prop_assert_eq!(lay_out(&situation, &short), lay_out(&situation, &whole));
            } else {
                let alone = whole.outcome == Outcome::Preferred && whole.serving.first() == Some(&0);
                prop_assert!(!alone, "the long way was not needed");
            }
        }
    }

    #[test]
    fn the_ttl_is_between_floor_and_steady((world, class, board, ..) in scenes(), ttls in any::<[u16; 4]>()) {
        let mut world = world;
        let mut sorted = ttls.map(u32::from);
        sorted.sort_unstable();
        let [floor, suspect, moved, steady] = sorted;
        world.service.ttl = super::service::TtlPolicy { steady, suspect, moved, floor };
        let (_, layout) = answers(&world, &class, &board);
        prop_assert!(layout.variants.iter().all(|variant| (floor..=steady).contains(&variant.ttl)));
    }

    #[test]
    fn a_change_in_one_region_moves_no_lot_between_two_others(
        (world, class, board, after, changed) in scenes(),
    ) {
        let (_, before) = answers(&world, &class, &board);
        let (_, after) = answers(&world, &class, &after);
        for lot in 0..1024 {
            let (from, to) = (before.region_of(lot), after.region_of(lot));
            if let (Some(from), Some(to)) = (from, to) {
                prop_assert!(from == to || from == changed || to == changed, "lot {lot}: {from:?} {to:?}");
            }
        }
    }

    #[test]
    fn a_lot_moves_at_most_once_while_one_region_is_on_a_ramp((world, class, board, _, ramped) in scenes()) {
        let steps: Vec<Layout> = [0, 50, 256, 300, 512, 1000, 1024]
            .map(|parts| answers(&world, &class, &with_all_of(&world, &board, ramped, ramping(parts))).1)
            .into();
        for lot in 0..1024 {
            let moves = steps.windows(2).filter(|pair| pair[0].region_of(lot) != pair[1].region_of(lot)).count();
            prop_assert!(moves <= 1, "lot {lot} moved {moves} times");
        }
    }

    #[test]
    fn as_the_share_of_a_region_sinks_each_lot_leaves_it_once(
        (world, class, board, _, sinking) in scenes(),
    ) {
        // From the threshold down it is passed over, where there is anybody else.
        let steps: Vec<Layout> = [1024, 1000, 900, 700, 512]
            .map(|parts| answers(&world, &class, &with_all_of(&world, &board, sinking, usable(parts))).1)
            .into();
        for lot in 0..1024 {
            let held: Vec<bool> = steps.iter().map(|step| step.region_of(lot) == Some(sinking)).collect();
            let moves = steps.windows(2).filter(|pair| pair[0].region_of(lot) != pair[1].region_of(lot)).count();
            prop_assert!(moves <= 1, "lot {lot} moved {moves} times");
            prop_assert!(held.windows(2).all(|pair| pair[0] || !pair[1]), "lot {lot} came to it: {held:?}");
        }
    }

    #[test]
    fn a_degraded_region_gets_no_more_than_its_share_where_others_have_room(
        (world, class, _, _, degraded) in scenes(), parts in 512..1024_u16,
    ) {
        let class = Class { fence: Fence::None, ..class };
        let all_up = vec![Standing::UP; world.service.regions.iter().map(|region| region.endpoints.len()).sum()];
        let mut world = world;
        world.service.regions.iter_mut().for_each(|region| region.tier = Tier::Primary);
        let board = with_all_of(&world, &all_up, degraded, usable(parts));
        let (_, layout) = answers(&world, &class, &board);
        let held = (0..1024).filter(|lot| layout.region_of(*lot) == Some(degraded)).count();
        prop_assert!(world.service.regions.len() == 1 || held <= parts.into(), "{held} of {parts}");
    }
}

/// With all lots or none: what has a share of them is up.
fn without_share(standing: &Standing) -> Standing {
    let whole = [Share::NONE, Share::WHOLE].contains(&standing.lots());
    if whole { *standing } else { Standing::UP }
}

/// The board with all endpoints of one region like this.
fn with_all_of(world: &World, board: &[Standing], region: RegionId, standing: Standing) -> Board {
    let mut board = board.to_vec();
    for endpoint in &world.service.regions[region.index()].endpoints {
        board[endpoint.id.index()] = standing;
    }
    board
}
