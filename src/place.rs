//! Where a client or a region is: country, continent, subdivision, network, coordinates.
//! What a database says of an address is a [`Place`]; all its parts may be missing.

use std::fmt;
use std::str::FromStr;

/// ISO 3166-1 alpha-2, upper case: "IE".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

/// ISO 3166-2 without the country: up to three letters or digits, upper case, zero-padded: "CA", "75".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subdivision([u8; 3]);

/// The seven continents as the databases write them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Continent {
    Africa,
    Antarctica,
    Asia,
    Europe,
    NorthAmerica,
    Oceania,
    SouthAmerica,
}

/// Coordinates in degrees: latitude in [-90, 90], longitude in [-180, 180]; always finite.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Location {
    latitude: f64,
    longitude: f64,
}

/// What is known of where an address is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    /// The country.
    pub country: Option<Country>,
    /// The continent; of the country where the database does not say.
    pub continent: Option<Continent>,
    /// The first-level subdivision of the country: state, province, region.
    pub subdivision: Option<Subdivision>,
    /// The autonomous system that announces the address.
    pub asn: Option<u32>,
    /// The coordinates; the country's centre where the database has none.
    pub location: Option<Location>,
}

/// A word that names no country, continent or subdivision, or a number that is no coordinate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceFault {
    /// Not two letters.
    Country(String),
    /// None of AF, AN, AS, EU, NA, OC, SA.
    Continent(String),
    /// Not one to three letters or digits.
    Subdivision(String),
    /// Not a latitude and a longitude.
    Location,
}

/// Mean radius of the Earth in kilometres (IUGG).
pub const EARTH_RADIUS_KM: f64 = 6371.0088;

impl Location {
    /// Coordinates, if they are on the globe.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, PlaceFault> {
        let on_globe = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        if on_globe { Ok(Self { latitude, longitude }) } else { Err(PlaceFault::Location) }
    }

    /// Degrees north of the equator.
    #[must_use]
    pub fn latitude(self) -> f64 {
        self.latitude
    }

    /// Degrees east of Greenwich.
    #[must_use]
    pub fn longitude(self) -> f64 {
        self.longitude
    }

    /// Great-circle distance in kilometres, by the haversine formula.
    #[must_use]
    pub fn distance_km(self, other: Location) -> f64 {
        let (lat1, lat2) = (self.latitude.to_radians(), other.latitude.to_radians());
        let half_lat = ((lat2 - lat1) / 2.0).sin();
        let half_lon = ((other.longitude - self.longitude).to_radians() / 2.0).sin();
        let h = half_lat * half_lat + lat1.cos() * lat2.cos() * half_lon * half_lon;
        2.0 * EARTH_RADIUS_KM * h.sqrt().min(1.0).asin()
    }
}

impl Country {
    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a country is two ASCII letters")
    }
}

impl Subdivision {
    /// The letters and digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(3);
        std::str::from_utf8(&self.0[..length]).expect("a subdivision is ASCII letters and digits")
    }
}

impl Continent {
    /// All of them, in the order of their codes.
    pub const ALL: [Continent; 7] = [
        Continent::Africa,
        Continent::Antarctica,
        Continent::Asia,
        Continent::Europe,
        Continent::NorthAmerica,
        Continent::Oceania,
        Continent::SouthAmerica,
    ];

    /// The two-letter code.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Continent::Africa => "AF",
            Continent::Antarctica => "AN",
            Continent::Asia => "AS",
            Continent::Europe => "EU",
            Continent::NorthAmerica => "NA",
            Continent::Oceania => "OC",
            Continent::SouthAmerica => "SA",
        }
    }
}

impl FromStr for Country {
    type Err = PlaceFault;

    fn from_str(text: &str) -> Result<Self, PlaceFault> {
        match *text.as_bytes() {
            [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
                Ok(Self([a.to_ascii_uppercase(), b.to_ascii_uppercase()]))
            }
            _ => Err(PlaceFault::Country(text.to_owned())),
        }
    }
}

impl FromStr for Subdivision {
    type Err = PlaceFault;

    fn from_str(text: &str) -> Result<Self, PlaceFault> {
        let bytes = text.as_bytes();
        if bytes.is_empty() || bytes.len() > 3 || !bytes.iter().all(u8::is_ascii_alphanumeric) {
            return Err(PlaceFault::Subdivision(text.to_owned()));
        }
        let mut code = [0; 3];
        code[..bytes.len()].copy_from_slice(bytes);
        code.make_ascii_uppercase();
        Ok(Self(code))
    }
}

impl FromStr for Continent {
    type Err = PlaceFault;

    fn from_str(text: &str) -> Result<Self, PlaceFault> {
        Self::ALL
            .into_iter()
            .find(|continent| continent.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| PlaceFault::Continent(text.to_owned()))
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Continent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for PlaceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Country(text) => {
                write!(f, "{text:?} is no country; write two letters of ISO 3166-1, such as \"IE\"")
            }
            Self::Continent(text) => {
                write!(f, "{text:?} is no continent; write one of AF, AN, AS, EU, NA, OC, SA")
            }
            Self::Subdivision(text) => write!(
                f,
                "{text:?} is no subdivision; write the part of ISO 3166-2 after the country, such as \"CA\""
            ),
            Self::Location => f.write_str("no place on the globe; write [latitude, longitude] in degrees"),
        }
    }
}

impl std::error::Error for PlaceFault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dublin_to_new_york_is_about_5100_km() {
        let dublin = Location::new(53.35, -6.26).unwrap();
        let new_york = Location::new(40.71, -74.01).unwrap();
        let distance = dublin.distance_km(new_york);
        assert!((5090.0..5130.0).contains(&distance), "{distance}");
    }

    #[test]
    fn antipodes_are_half_the_circumference_apart() {
        let here = Location::new(10.0, 20.0).unwrap();
        let there = Location::new(-10.0, -160.0).unwrap();
        assert!((here.distance_km(there) - 20_015.0).abs() < 1.0);
    }

    #[test]
    fn codes_are_read_in_either_case_and_nothing_else_is() {
        assert_eq!("ie".parse::<Country>().unwrap().as_str(), "IE");
        assert_eq!("eu".parse::<Continent>(), Ok(Continent::Europe));
        assert_eq!("75".parse::<Subdivision>().unwrap().as_str(), "75");
        assert!("IRL".parse::<Country>().is_err());
        assert!("".parse::<Subdivision>().is_err());
        assert!(Location::new(f64::NAN, 0.0).is_err());
        assert!(Location::new(90.5, 0.0).is_err());
    }
}
