//! Maps beside the regions that they order and the databases that place their clients.

use std::collections::HashSet;

use crate::config::findings::Findings;
use crate::config::section::geoip::GeoIp;
use crate::config::section::map::MapRead;
use crate::config::table::Entry;
use crate::ids::RegionId;
use crate::policy::map::{Matcher, Order, Region};

/// Checks maps against regions and databases.
pub(in crate::config) fn check_maps(
    maps: &[MapRead],
    regions: &[Region],
    region_entries: &[Entry],
    geoip: &GeoIp,
    findings: &Findings,
) {
    check_locations(maps, regions, region_entries, findings);
    let places = geoip.country.is_some() || geoip.city.is_some();
    for read in maps {
        if read.map.order == Order::Nearest && !places {
            findings.warning(
                read.order_span,
                "no database tells where clients are, so none of them is near to anything",
                "name one: [geoip] country = \"geoip/country.mmdb\"",
            );
        }
        for (rule, span) in read.map.rules.iter().zip(&read.rule_spans) {
            let (missing, key) = match rule.matcher {
                Matcher::Asn(_) => (geoip.asn.is_none(), "asn"),
                Matcher::Subdivision(..) => {
                    (geoip.city.is_none() && geoip.fields.subdivision.is_none(), "city")
                }
                Matcher::Country(_) | Matcher::Continent(_) => (!places, "country"),
                Matcher::Network(_) | Matcher::Default => continue,
            };
            if missing {
                let help = format!("name one: [geoip] {key} = \"geoip/{key}.mmdb\"");
                findings.warning(*span, "no database tells which clients these are", help);
            }
        }
    }
}

/// Each region that an order by distance needs to place, told once, where the region was written.
fn check_locations(maps: &[MapRead], regions: &[Region], entries: &[Entry], findings: &Findings) {
    let mut told = HashSet::new();
    for read in maps {
        let all = (0..regions.len()).map(RegionId::from_index);
        let by_map = (read.map.order == Order::Nearest).then_some(all).into_iter().flatten();
        let rules = read.map.rules.iter().filter(|rule| rule.order == Some(Order::Nearest));
        for region in by_map.chain(rules.flat_map(|rule| rule.regions.iter().copied())) {
            if regions[region.index()].location.is_none() && told.insert(region) {
                findings.error(
                    entries[region.index()].span,
                    format!(
                        "the region has no location, but the map {:?} orders it by distance",
                        read.map.name
                    ),
                    "write location = [latitude, longitude] in degrees",
                );
            }
        }
    }
}
