//! Where in a database's record each part of a place stands. Without a word from the operator the layouts in
//! use are tried in turn: MaxMind's nested one, then the flat ones; a path in the configuration replaces them.
//! Reading the file is not done here, only the meaning of the values found.

use std::fmt;
use std::str::FromStr;

use super::centroids;
use crate::place::{Country, Location, Place, Subdivision};

/// A part of a place that a database may tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Field {
    Country,
    Continent,
    Subdivision,
    Latitude,
    Longitude,
    Asn,
}

/// The way to a value in a record: keys of maps and positions in lists, written `subdivisions.0.iso_code`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<Step>);

/// One step of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// Text that is no path: empty, or with an empty step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPathFault(String);

/// Which fields are read from a database, and where they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// By field, the paths that are tried in turn.
    paths: [Vec<FieldPath>; Field::ALL.len()],
    /// Groups of fields: of each group, at least one record must have one field. Else the database is of the
    /// wrong type.
    needs: Vec<Vec<Field>>,
}

/// A value in a record, as far as places are made of such.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scalar {
    Text(String),
    Whole(u64),
    Real(f64),
    /// A map, a list, octets, true or false.
    Other,
}

impl Field {
    /// All of them.
    pub const ALL: [Field; 6] =
        [Self::Country, Self::Continent, Self::Subdivision, Self::Latitude, Self::Longitude, Self::Asn];

    /// The word for it in the configuration.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Country => "country",
            Self::Continent => "continent",
            Self::Subdivision => "subdivision",
            Self::Latitude => "latitude",
            Self::Longitude => "longitude",
            Self::Asn => "asn",
        }
    }

    /// The paths of the layouts in use: GeoIP2 and GeoLite2 first, then the flat ones of DB-IP, IPinfo and
    /// their converters.
    ///
    /// Where MaxMind does not know the country of the client, the country in which the network is registered
    /// stands in: for choosing a region it is better evidence than none. An operator to whom it is not writes
    /// `country = "country.iso_code"`.
    fn well_known(self) -> &'static [&'static str] {
        match self {
            Self::Country => &["country.iso_code", "registered_country.iso_code", "country_code", "country"],
            Self::Continent => &["continent.code", "continent_code", "continent"],
            Self::Subdivision => &["subdivisions.0.iso_code", "subdivision", "region_code", "state1"],
            Self::Latitude => &["location.latitude", "latitude", "lat"],
            Self::Longitude => &["location.longitude", "longitude", "lng"],
            Self::Asn => &["autonomous_system_number", "asn", "as_number"],
        }
    }
}

impl Layout {
    /// For a country or city database: every field is read where it is found, and some record must tell a
    /// country, a continent or a latitude.
    #[must_use]
    pub fn places() -> Self {
        Self {
            paths: Field::ALL.map(well_known_paths),
            needs: vec![vec![Field::Country, Field::Continent, Field::Latitude]],
        }
    }

    /// For a database of autonomous systems: nothing but the number is read.
    #[must_use]
    pub fn networks() -> Self {
        let mut layout = Self { paths: Default::default(), needs: vec![vec![Field::Asn]] };
        layout.paths[Field::Asn as usize] = well_known_paths(Field::Asn);
        layout
    }

    /// The same layout with `field` read at `path` and nowhere else; some record must have it there.
    #[must_use]
    pub fn with(mut self, field: Field, path: FieldPath) -> Self {
        self.paths[field as usize] = vec![path];
        self.needs.push(vec![field]);
        self
    }

    /// The groups of fields of which each must occur.
    pub(super) fn needs(&self) -> &[Vec<Field>] {
        &self.needs
    }

    /// The paths at which `field` is sought.
    pub(super) fn paths(&self, field: Field) -> &[FieldPath] {
        &self.paths[field as usize]
    }
}

/// Continent and coordinates of the country, where the record does not tell them.
pub(super) fn complete(place: Place) -> Place {
    let centroid = place.country.and_then(centroids::find);
    Place {
        continent: place.continent.or(centroid.map(|centroid| centroid.continent)),
        location: place.location.or(centroid.map(|centroid| centroid.location)),
        ..place
    }
}

/// Coordinates, if both are there and on the globe.
pub(super) fn location(latitude: Option<f64>, longitude: Option<f64>) -> Option<Location> {
    latitude.zip(longitude).and_then(|(latitude, longitude)| Location::new(latitude, longitude).ok())
}

/// Whether the place has `field`.
pub(super) fn tells(place: &Place, field: Field) -> bool {
    match field {
        Field::Country => place.country.is_some(),
        Field::Continent => place.continent.is_some(),
        Field::Subdivision => place.subdivision.is_some(),
        Field::Latitude | Field::Longitude => place.location.is_some(),
        Field::Asn => place.asn.is_some(),
    }
}

impl FieldPath {
    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl Scalar {
    /// A country or a continent.
    pub(super) fn word<V: FromStr>(&self) -> Option<V> {
        if let Self::Text(text) = self { text.parse().ok() } else { None }
    }

    /// `CA`, or `US-CA` where the country is `US`.
    pub(super) fn subdivision(&self, country: Option<Country>) -> Option<Subdivision> {
        let Self::Text(text) = self else { return None };
        let local = match (text.split_once('-'), country) {
            (Some((owner, local)), Some(country)) if owner.eq_ignore_ascii_case(country.as_str()) => local,
            _ => text,
        };
        local.parse().ok()
    }

    /// `64500`, `"64500"`, `"AS64500"`; 0 is no autonomous system (RFC 7607).
    pub(super) fn asn(&self) -> Option<u32> {
        let number = match self {
            Self::Whole(number) => u32::try_from(*number).ok(),
            Self::Text(text) => text.trim_start_matches(['A', 'S', 'a', 's']).parse().ok(),
            _ => None,
        };
        number.filter(|number| *number != 0)
    }

    /// A latitude or a longitude, not yet judged.
    pub(super) fn degrees(&self) -> Option<f64> {
        match self {
            Self::Real(degrees) => Some(*degrees),
            Self::Whole(degrees) => u32::try_from(*degrees).ok().map(f64::from),
            Self::Text(text) => text.parse().ok(),
            Self::Other => None,
        }
    }
}

impl FromStr for FieldPath {
    type Err = FieldPathFault;

    fn from_str(text: &str) -> Result<Self, FieldPathFault> {
        let step = |word: &str| match word.parse() {
            _ if word.is_empty() => None,
            Ok(index) => Some(Step::Index(index)),
            Err(_) => Some(Step::Key(word.to_owned())),
        };
        let steps: Option<Vec<Step>> = text.split('.').map(step).collect();
        steps.map(Self).ok_or_else(|| FieldPathFault(text.to_owned()))
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            let dot = if position == 0 { "" } else { "." };
            match step {
                Step::Key(key) => write!(f, "{dot}{key}")?,
                Step::Index(index) => write!(f, "{dot}{index}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for FieldPathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is no path to a field; write keys and positions with dots between, such as \
             \"country_code\" or \"subdivisions.0.iso_code\"",
            self.0
        )
    }
}

impl std::error::Error for FieldPathFault {}

fn well_known_paths(field: Field) -> Vec<FieldPath> {
    field.well_known().iter().map(|path| path.parse().expect("well-known paths are paths")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::Continent;

    fn text(text: &str) -> Scalar {
        Scalar::Text(text.to_owned())
    }

    #[test]
    fn paths_are_read_as_written() {
        for path in ["country_code", "country.iso_code", "subdivisions.0.iso_code"] {
            assert_eq!(path.parse::<FieldPath>().unwrap().to_string(), path);
        }
        for path in ["", ".", "a.", ".a", "a..b"] {
            assert!(path.parse::<FieldPath>().is_err(), "{path:?}");
        }
    }

    #[test]
    fn asns_are_read_with_and_without_their_letters() {
        assert_eq!(Scalar::Whole(64500).asn(), Some(64500));
        assert_eq!(text("AS64500").asn(), Some(64500));
        assert_eq!(text("64500").asn(), Some(64500));
        for none in
            [Scalar::Whole(0), Scalar::Whole(1 << 32), text("AS"), text("64500 Example"), Scalar::Other]
        {
            assert_eq!(none.asn(), None, "{none:?}");
        }
    }

    #[test]
    fn subdivisions_lose_their_own_country_and_no_other() {
        let us: Country = "US".parse().unwrap();
        assert_eq!(text("us-ca").subdivision(Some(us)), text("CA").subdivision(None));
        assert_eq!(text("MX-CA").subdivision(Some(us)), None);
        assert_eq!(text("California").subdivision(Some(us)), None);
    }

    #[test]
    fn a_country_lends_its_continent_and_centre_only_where_they_are_missing() {
        let country = Some("IE".parse().unwrap());
        let bare = complete(Place { country, ..Place::default() });
        assert_eq!(bare.continent, Some(Continent::Europe));
        assert!(bare.location.is_some());
        let told = Place {
            country,
            continent: Some(Continent::Asia),
            location: Location::new(1.0, 2.0).ok(),
            ..bare
        };
        assert_eq!(complete(told), told);
    }
}
