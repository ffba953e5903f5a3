//! `[geoip]`: the databases that tell where clients are, and where in their records it stands.

use std::path::PathBuf;

use crate::config::table::{Section, Table};

/// The databases, each a MaxMind file; all may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GeoIp {
    /// Countries and continents.
    pub country: Option<PathBuf>,
    /// Countries, continents, subdivisions and coordinates.
    pub city: Option<PathBuf>,
    /// Autonomous systems.
    pub asn: Option<PathBuf>,
    /// Where in a record what stands.
    pub fields: FieldPaths,
}

/// Paths of fields in a record, their parts separated by dots, as "location.latitude"; the usual places when
/// absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct FieldPaths {
    pub country: Option<String>,
    pub continent: Option<String>,
    pub subdivision: Option<String>,
    pub latitude: Option<String>,
    pub longitude: Option<String>,
    pub asn: Option<String>,
}

pub(in crate::config) const GEOIP: Section =
    Section { path: "geoip", keys: &["country", "city", "asn", "fields"] };
pub(in crate::config) const FIELDS: Section = Section {
    path: "geoip.fields",
    keys: &["country", "continent", "subdivision", "latitude", "longitude", "asn"],
};

/// Reads `[geoip]`.
pub(in crate::config) fn read_geoip(top: Table) -> GeoIp {
    let table = top.table("geoip", &GEOIP);
    let path = |key: &str| table.value(key)?.path("geoip/country.mmdb");
    GeoIp {
        country: path("country"),
        city: path("city"),
        asn: path("asn"),
        fields: read_fields(table.table("fields", &FIELDS)),
    }
}

fn read_fields(table: Table) -> FieldPaths {
    let field = |key: &str| {
        let value = table.value(key)?;
        let text = value.text("country.iso_code")?;
        if text.split('.').any(str::is_empty) {
            value.error("a part of the path is empty", "write parts with one dot between them");
        }
        Some(text.to_owned())
    };
    FieldPaths {
        country: field("country"),
        continent: field("continent"),
        subdivision: field("subdivision"),
        latitude: field("latitude"),
        longitude: field("longitude"),
        asn: field("asn"),
    }
}
