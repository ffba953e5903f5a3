//! Order by great-circle distance, times each region's bias.
//!
//! Only the nearest [`NEAREST_MAX`] are ordered by it; the others follow as declared. With every region in its
//! own order there would be nearly as many client classes as places. Distances count in whole metres, so that
//! regions in one city tie, and ties keep the order of declaration.

use crate::ids::RegionId;
use crate::place::{EARTH_RADIUS_KM, Location};

use super::map::Region;

/// How many regions a distance orders; those behind them are a fixed tail.
pub(super) const NEAREST_MAX: usize = 4;

/// A place on the unit sphere. Chords between such points are cheaper than haversines: one client is measured
/// against every region.
#[derive(Clone, Copy, Debug)]
struct Point([f64; 3]);

/// Where a region stands, ready to be measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    pub(super) region: RegionId,
    /// `None` is farther than everything.
    point: Option<Point>,
    /// Metres of a great circle per radian, times the bias.
    metres_per_radian: f64,
}

impl Site {
    pub(super) fn new(id: RegionId, region: &Region) -> Self {
        Self {
            region: id,
            point: region.location.map(Point::of),
            metres_per_radian: EARTH_RADIUS_KM * 1000.0 * region.bias,
        }
    }
}

/// The nearest sites: their positions, the nearest first; [`NONE`] where there are fewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Nearest([u16; NEAREST_MAX]);

impl Nearest {
    /// Finds them. Two clients with the same have the same order.
    pub(super) fn of(sites: &[Site], from: Location) -> Self {
        let mut nearest = [(u64::MAX, NONE); NEAREST_MAX];
        let from = Point::of(from);
        let mut limit = f64::INFINITY;
        for (at, site) in (0..NONE).zip(sites) {
            let Some(point) = site.point else { continue };
            let chord_squared = from.chord_squared(point);
            // An arc is never shorter than its chord: most regions are ruled out without root and arc sine.
            if chord_squared * site.metres_per_radian * site.metres_per_radian > limit {
                continue;
            }
            let arc = 2.0 * (chord_squared.sqrt() / 2.0).min(1.0).asin();
            // Saturates, and no distance on Earth times a sane bias comes near 2^64 metres.
            let entry = ((arc * site.metres_per_radian).round() as u64, at);
            if let Some(place) = nearest.iter().position(|other| entry < *other) {
                nearest[place..].rotate_right(1);
                nearest[place] = entry;
                limit = (nearest[NEAREST_MAX - 1].0 as f64 + 1.0).powi(2);
            }
        }
        Self(nearest.map(|(_, at)| at))
    }

    /// Appends the regions of the sites: these first, then the others as they come.
    pub(super) fn extend(self, order: &mut Vec<RegionId>, sites: &[Site]) {
        let near = self.0.iter().filter_map(|at| sites.get(usize::from(*at)));
        order.extend(near.map(|site| site.region));
        let far = (0..NONE).zip(sites).filter(|(at, _)| !self.0.contains(at));
        order.extend(far.map(|(_, site)| site.region));
    }
}

impl Point {
    fn of(location: Location) -> Self {
        let (latitude, longitude) = (location.latitude().to_radians(), location.longitude().to_radians());
        let across = latitude.cos();
        Self([across * longitude.cos(), across * longitude.sin(), latitude.sin()])
    }

    fn chord_squared(self, other: Self) -> f64 {
        let [x, y, z] = [0, 1, 2].map(|axis| self.0[axis] - other.0[axis]);
        x * x + y * y + z * z
    }
}

/// No site; `config` bounds the regions below it.
const NONE: u16 = u16::MAX;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn region(latitude: f64, longitude: f64, bias: f64) -> Region {
        let location = Some(Location::new(latitude, longitude).unwrap());
        Region { name: String::new(), continent: None, location, bias }
    }

    fn order(regions: &[Region], from: Location) -> Vec<usize> {
        let sites: Vec<_> = regions
            .iter()
            .enumerate()
            .map(|(at, region)| Site::new(RegionId::from_index(at), region))
            .collect();
        let mut order = Vec::new();
        Nearest::of(&sites, from).extend(&mut order, &sites);
        order.into_iter().map(RegionId::index).collect()
    }

    #[test]
    fn the_fifth_and_later_keep_the_order_of_declaration() {
        let regions: Vec<_> = [60, 10, 50, 20, 40, 30].map(|lon| region(0.0, f64::from(lon), 1.0)).into();
        assert_eq!(order(&regions, Location::new(0.0, 0.0).unwrap()), [1, 3, 5, 4, 0, 2]);
    }

    #[test]
    fn regions_in_one_place_keep_the_order_of_declaration() {
        let regions: Vec<_> = (0..6).map(|_| region(53.35, -6.26, 1.0)).collect();
        assert_eq!(order(&regions, Location::new(40.0, -74.0).unwrap()), [0, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_bias_draws_and_repels() {
        let from = Location::new(0.0, 0.0).unwrap();
        assert_eq!(order(&[region(0.0, 10.0, 1.0), region(0.0, 15.0, 0.5)], from), [1, 0]);
        assert_eq!(order(&[region(0.0, 10.0, 2.0), region(0.0, 15.0, 1.0)], from), [1, 0]);
    }

    #[test]
    fn the_way_across_the_date_line_is_short() {
        let from = Location::new(0.0, 179.0).unwrap();
        assert_eq!(order(&[region(0.0, 170.0, 1.0), region(0.0, -179.0, 1.0)], from), [1, 0]);
    }

    #[test]
    fn a_region_without_a_place_is_farthest() {
        let nowhere = Region { location: None, ..region(0.0, 0.0, 1.0) };
        assert_eq!(order(&[nowhere, region(0.0, 179.0, 1.0)], Location::new(0.0, 0.0).unwrap()), [1, 0]);
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_the_haversine(
            places in prop::collection::vec((-90.0..=90.0, -180.0..=180.0, 0.25..4.0), 1..20),
            (latitude, longitude) in (-90.0..=90.0, -180.0..=180.0),
        ) {
            let regions: Vec<_> = places.iter().map(|(lat, lon, bias)| region(*lat, *lon, *bias)).collect();
            let from = Location::new(latitude, longitude).unwrap();
            let distance =
                |at: &usize| from.distance_km(regions[*at].location.unwrap()) * regions[*at].bias;
            let order = order(&regions, from);
            let near = order.len().min(NEAREST_MAX);
            for pair in order[..near].windows(2) {
                prop_assert!(distance(&pair[0]) <= distance(&pair[1]) + 0.01);
            }
            for far in &order[near..] {
                prop_assert!(distance(&order[near - 1]) <= distance(far) + 0.01);
            }
            prop_assert!(order[near..].is_sorted());
        }
    }
}
