//! A continent and one point for each country, for databases that tell the country only.
//!
//! The point is roughly where the country's people are rather than the middle of its area, since it stands
//! for clients: Russia's lies near the Volga, Canada's near Ottawa. It is good to a degree or two, which is
//! enough to rank regions an ocean apart and not to choose between neighbours.

use crate::place::Continent::{self, Africa, Antarctica, Asia, Europe, NorthAmerica, Oceania, SouthAmerica};
use crate::place::{Country, Location};

/// What is known of a country without asking a database.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Centroid {
    /// The continent on which most of its people live, as MaxMind counts: Russia and Cyprus in Europe, Turkey
    /// in Asia.
    pub continent: Continent,
    /// Where its people are, on average.
    pub location: Location,
}

/// The continent and the centre of a country of ISO 3166-1, or of Kosovo (XK).
#[must_use]
pub fn find(country: Country) -> Option<Centroid> {
    let row = TABLE.binary_search_by_key(&country.as_str(), |row| row.0).ok()?;
    let (_, continent, latitude, longitude) = TABLE[row];
    let location = Location::new(latitude, longitude).expect("the table holds points on the globe");
    Some(Centroid { continent, location })
}

/// Code, continent, latitude, longitude; sorted by code.
#[rustfmt::skip]
const TABLE: [(&str, Continent, f64, f64); 250] = [
    ("AD", Europe, 42.5, 1.5), ("AE", Asia, 25.0, 55.0),
    ("AF", Asia, 34.5, 68.0), ("AG", NorthAmerica, 17.1, -61.8),
    ("AI", NorthAmerica, 18.2, -63.1), ("AL", Europe, 41.0, 20.0),
    ("AM", Asia, 40.2, 45.0), ("AO", Africa, -10.5, 15.0),
    ("AQ", Antarctica, -80.0, 0.0), ("AR", SouthAmerica, -33.5, -61.0),
    ("AS", Oceania, -14.3, -170.7), ("AT", Europe, 47.5, 14.5),
    ("AU", Oceania, -34.0, 147.0), ("AW", NorthAmerica, 12.5, -70.0),
    ("AX", Europe, 60.2, 20.0), ("AZ", Asia, 40.3, 47.7),
    ("BA", Europe, 44.2, 17.8), ("BB", NorthAmerica, 13.2, -59.5),
    ("BD", Asia, 24.0, 90.0), ("BE", Europe, 50.6, 4.6),
    ("BF", Africa, 12.3, -1.7), ("BG", Europe, 42.7, 25.3),
    ("BH", Asia, 26.0, 50.5), ("BI", Africa, -3.3, 29.9),
    ("BJ", Africa, 9.6, 2.3), ("BL", NorthAmerica, 17.9, -62.8),
    ("BM", NorthAmerica, 32.3, -64.8), ("BN", Asia, 4.5, 114.7),
    ("BO", SouthAmerica, -17.2, -65.5), ("BQ", NorthAmerica, 12.2, -68.3),
    ("BR", SouthAmerica, -20.0, -46.0), ("BS", NorthAmerica, 24.5, -76.5),
    ("BT", Asia, 27.4, 90.4), ("BV", Antarctica, -54.4, 3.4),
    ("BW", Africa, -23.5, 26.5), ("BY", Europe, 53.5, 28.0),
    ("BZ", NorthAmerica, 17.2, -88.7), ("CA", NorthAmerica, 46.0, -79.0),
    ("CC", Asia, -12.1, 96.9), ("CD", Africa, -3.5, 22.5),
    ("CF", Africa, 6.6, 20.5), ("CG", Africa, -0.8, 15.2),
    ("CH", Europe, 46.8, 8.2), ("CI", Africa, 7.6, -5.6),
    ("CK", Oceania, -21.2, -159.8), ("CL", SouthAmerica, -33.8, -71.0),
    ("CM", Africa, 5.7, 12.7), ("CN", Asia, 32.5, 112.5),
    ("CO", SouthAmerica, 5.2, -74.6), ("CR", NorthAmerica, 10.0, -84.2),
    ("CU", NorthAmerica, 22.0, -79.8), ("CV", Africa, 15.9, -24.0),
    ("CW", NorthAmerica, 12.2, -69.0), ("CX", Asia, -10.5, 105.7),
    ("CY", Europe, 35.0, 33.2), ("CZ", Europe, 49.7, 15.3),
    ("DE", Europe, 51.1, 10.4), ("DJ", Africa, 11.7, 42.6),
    ("DK", Europe, 56.0, 10.0), ("DM", NorthAmerica, 15.4, -61.4),
    ("DO", NorthAmerica, 18.9, -70.5), ("DZ", Africa, 36.0, 3.5),
    ("EC", SouthAmerica, -1.5, -79.3), ("EE", Europe, 58.7, 25.5),
    ("EG", Africa, 30.0, 31.2), ("EH", Africa, 26.5, -12.8),
    ("ER", Africa, 15.4, 38.8), ("ES", Europe, 39.8, -3.0),
    ("ET", Africa, 9.0, 39.0), ("FI", Europe, 61.5, 24.8),
    ("FJ", Oceania, -17.8, 178.0), ("FK", SouthAmerica, -51.7, -59.4),
    ("FM", Oceania, 6.9, 158.2), ("FO", Europe, 62.0, -6.9),
    ("FR", Europe, 47.0, 2.4), ("GA", Africa, -0.6, 11.8),
    ("GB", Europe, 52.8, -1.8), ("GD", NorthAmerica, 12.1, -61.7),
    ("GE", Asia, 42.2, 43.5), ("GF", SouthAmerica, 4.8, -52.5),
    ("GG", Europe, 49.5, -2.6), ("GH", Africa, 7.9, -1.2),
    ("GI", Europe, 36.1, -5.3), ("GL", NorthAmerica, 65.5, -51.5),
    ("GM", Africa, 13.5, -15.4), ("GN", Africa, 10.4, -10.9),
    ("GP", NorthAmerica, 16.2, -61.5), ("GQ", Africa, 1.7, 10.3),
    ("GR", Europe, 39.0, 22.6), ("GS", Antarctica, -54.4, -36.8),
    ("GT", NorthAmerica, 15.7, -90.4), ("GU", Oceania, 13.4, 144.8),
    ("GW", Africa, 12.0, -14.9), ("GY", SouthAmerica, 6.6, -58.1),
    ("HK", Asia, 22.3, 114.2), ("HM", Antarctica, -53.1, 73.5),
    ("HN", NorthAmerica, 14.8, -86.6), ("HR", Europe, 45.1, 16.4),
    ("HT", NorthAmerica, 19.0, -72.7), ("HU", Europe, 47.2, 19.4),
    ("ID", Asia, -6.8, 109.0), ("IE", Europe, 53.2, -8.1),
    ("IL", Asia, 31.4, 35.0), ("IM", Europe, 54.2, -4.5),
    ("IN", Asia, 22.5, 80.0), ("IO", Asia, -6.3, 72.0),
    ("IQ", Asia, 33.0, 43.7), ("IR", Asia, 34.0, 51.5),
    ("IS", Europe, 64.3, -21.0), ("IT", Europe, 43.0, 11.8),
    ("JE", Europe, 49.2, -2.1), ("JM", NorthAmerica, 18.2, -77.3),
    ("JO", Asia, 32.0, 36.0), ("JP", Asia, 35.5, 137.5),
    ("KE", Africa, -0.6, 37.0), ("KG", Asia, 41.5, 74.6),
    ("KH", Asia, 12.7, 104.9), ("KI", Oceania, 1.4, 173.0),
    ("KM", Africa, -11.9, 43.7), ("KN", NorthAmerica, 17.3, -62.7),
    ("KP", Asia, 40.2, 127.2), ("KR", Asia, 36.4, 127.8),
    ("KW", Asia, 29.3, 47.6), ("KY", NorthAmerica, 19.4, -81.0),
    ("KZ", Asia, 46.5, 70.0), ("LA", Asia, 18.5, 103.8),
    ("LB", Asia, 33.9, 35.9), ("LC", NorthAmerica, 13.9, -61.0),
    ("LI", Europe, 47.1, 9.5), ("LK", Asia, 7.6, 80.7),
    ("LR", Africa, 6.5, -9.3), ("LS", Africa, -29.6, 28.2),
    ("LT", Europe, 55.3, 23.9), ("LU", Europe, 49.8, 6.1),
    ("LV", Europe, 56.9, 24.9), ("LY", Africa, 32.0, 16.0),
    ("MA", Africa, 33.0, -6.8), ("MC", Europe, 43.7, 7.4),
    ("MD", Europe, 47.2, 28.5), ("ME", Europe, 42.8, 19.2),
    ("MF", NorthAmerica, 18.1, -63.1), ("MG", Africa, -19.0, 47.3),
    ("MH", Oceania, 7.1, 171.2), ("MK", Europe, 41.6, 21.7),
    ("ML", Africa, 13.5, -6.5), ("MM", Asia, 21.2, 96.5),
    ("MN", Asia, 47.5, 105.0), ("MO", Asia, 22.2, 113.5),
    ("MP", Oceania, 15.2, 145.7), ("MQ", NorthAmerica, 14.7, -61.0),
    ("MR", Africa, 18.0, -13.5), ("MS", NorthAmerica, 16.7, -62.2),
    ("MT", Europe, 35.9, 14.4), ("MU", Africa, -20.3, 57.6),
    ("MV", Asia, 3.2, 73.2), ("MW", Africa, -13.2, 34.3),
    ("MX", NorthAmerica, 20.0, -100.0), ("MY", Asia, 3.4, 102.5),
    ("MZ", Africa, -17.3, 35.5), ("NA", Africa, -20.0, 17.0),
    ("NC", Oceania, -21.3, 165.7), ("NE", Africa, 13.5, 6.0),
    ("NF", Oceania, -29.0, 168.0), ("NG", Africa, 9.6, 8.1),
    ("NI", NorthAmerica, 12.8, -85.0), ("NL", Europe, 52.2, 5.6),
    ("NO", Europe, 60.5, 9.0), ("NP", Asia, 27.6, 84.7),
    ("NR", Oceania, -0.5, 166.9), ("NU", Oceania, -19.0, -169.9),
    ("NZ", Oceania, -38.5, 175.0), ("OM", Asia, 23.0, 57.8),
    ("PA", NorthAmerica, 8.5, -80.1), ("PE", SouthAmerica, -11.0, -76.2),
    ("PF", Oceania, -17.7, -149.4), ("PG", Oceania, -6.3, 146.0),
    ("PH", Asia, 13.5, 122.0), ("PK", Asia, 30.5, 71.5),
    ("PL", Europe, 52.1, 19.4), ("PM", NorthAmerica, 46.9, -56.3),
    ("PN", Oceania, -25.1, -130.1), ("PR", NorthAmerica, 18.2, -66.5),
    ("PS", Asia, 31.9, 35.2), ("PT", Europe, 39.6, -8.5),
    ("PW", Oceania, 7.5, 134.6), ("PY", SouthAmerica, -25.4, -57.0),
    ("QA", Asia, 25.3, 51.2), ("RE", Africa, -21.1, 55.5),
    ("RO", Europe, 45.9, 25.0), ("RS", Europe, 44.2, 20.8),
    ("RU", Europe, 56.0, 50.0), ("RW", Africa, -2.0, 29.9),
    ("SA", Asia, 24.0, 44.0), ("SB", Oceania, -8.9, 159.6),
    ("SC", Africa, -4.7, 55.5), ("SD", Africa, 14.8, 32.0),
    ("SE", Europe, 58.9, 15.5), ("SG", Asia, 1.4, 103.8),
    ("SH", Africa, -15.9, -5.7), ("SI", Europe, 46.1, 14.8),
    ("SJ", Europe, 78.2, 15.6), ("SK", Europe, 48.7, 19.5),
    ("SL", Africa, 8.6, -11.8), ("SM", Europe, 43.9, 12.5),
    ("SN", Africa, 14.4, -14.5), ("SO", Africa, 3.5, 45.0),
    ("SR", SouthAmerica, 5.7, -55.2), ("SS", Africa, 7.3, 30.2),
    ("ST", Africa, 0.4, 6.7), ("SV", NorthAmerica, 13.7, -88.9),
    ("SX", NorthAmerica, 18.0, -63.1), ("SY", Asia, 35.0, 37.0),
    ("SZ", Africa, -26.6, 31.5), ("TC", NorthAmerica, 21.8, -71.8),
    ("TD", Africa, 11.5, 16.5), ("TF", Antarctica, -49.3, 69.5),
    ("TG", Africa, 8.5, 1.0), ("TH", Asia, 14.5, 101.0),
    ("TJ", Asia, 38.5, 71.0), ("TK", Oceania, -9.2, -171.8),
    ("TL", Asia, -8.8, 125.9), ("TM", Asia, 38.5, 60.0),
    ("TN", Africa, 35.8, 10.0), ("TO", Oceania, -21.2, -175.2),
    ("TR", Asia, 39.3, 33.0), ("TT", NorthAmerica, 10.5, -61.3),
    ("TV", Oceania, -8.5, 179.2), ("TW", Asia, 23.8, 121.0),
    ("TZ", Africa, -6.3, 34.8), ("UA", Europe, 49.0, 31.4),
    ("UG", Africa, 1.3, 32.4), ("UM", Oceania, 19.3, 166.6),
    ("US", NorthAmerica, 38.0, -92.0), ("UY", SouthAmerica, -34.3, -56.0),
    ("UZ", Asia, 40.5, 68.0), ("VA", Europe, 41.9, 12.5),
    ("VC", NorthAmerica, 13.2, -61.2), ("VE", SouthAmerica, 9.8, -67.5),
    ("VG", NorthAmerica, 18.4, -64.6), ("VI", NorthAmerica, 18.1, -64.8),
    ("VN", Asia, 15.8, 106.8), ("VU", Oceania, -16.2, 167.7),
    ("WF", Oceania, -13.8, -177.2), ("WS", Oceania, -13.8, -172.2),
    ("XK", Europe, 42.6, 20.9), ("YE", Asia, 14.5, 45.0),
    ("YT", Africa, -12.8, 45.2), ("ZA", Africa, -28.0, 28.3),
    ("ZM", Africa, -13.5, 27.8), ("ZW", Africa, -19.0, 29.9),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// South, north, west, east. East of the date line is written beyond 180.
    fn bounds(continent: Continent) -> [f64; 4] {
        match continent {
            Africa => [-35.0, 37.5, -25.5, 58.0],
            Antarctica => [-90.0, -45.0, -180.0, 180.0],
            Asia => [-13.0, 56.0, 26.0, 150.0],
            Europe => [34.5, 79.0, -25.0, 60.0],
            NorthAmerica => [7.0, 75.0, -141.0, -50.0],
            Oceania => [-48.0, 20.0, 110.0, 231.0],
            SouthAmerica => [-56.0, 13.0, -82.0, -34.0],
        }
    }

    #[test]
    fn every_country_lies_within_its_continent() {
        for (code, continent, latitude, longitude) in TABLE {
            let [south, north, west, east] = bounds(continent);
            let longitude =
                if continent == Oceania && longitude < 0.0 { longitude + 360.0 } else { longitude };
            assert!((south..=north).contains(&latitude), "{code} {latitude}");
            assert!((west..=east).contains(&longitude), "{code} {longitude}");
        }
    }

    #[test]
    fn every_row_is_found_by_its_own_code() {
        assert!(TABLE.windows(2).all(|rows| rows[0].0 < rows[1].0), "sorted, none twice");
        for row in TABLE {
            assert_eq!(find(row.0.parse().unwrap()).map(|found| found.continent), Some(row.1), "{}", row.0);
        }
        assert_eq!(find("ZZ".parse().unwrap()), None);
    }

    #[test]
    fn some_distances_are_as_on_the_globe() {
        let far = |from: &str, to: &str| {
            let at = |code: &str| find(code.parse().unwrap()).unwrap().location;
            at(from).distance_km(at(to))
        };
        for (from, to, shortest, longest) in [
            ("IE", "GB", 200.0, 600.0),
            ("PT", "ES", 300.0, 700.0),
            ("US", "CA", 800.0, 2000.0),
            ("AU", "NZ", 2000.0, 3200.0),
            ("JP", "KR", 600.0, 1200.0),
            ("FJ", "WS", 900.0, 1400.0),
            ("BR", "PT", 6500.0, 9000.0),
        ] {
            let distance = far(from, to);
            assert!((shortest..longest).contains(&distance), "{from} to {to}: {distance} km");
        }
    }
}
