//! `[geoip]`: the databases that tell where clients are, and where in their records it stands.

use std::path::PathBuf;

use crate::config::value::{Findings, Section, Table};

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
pub(in crate::config) fn read_geoip(top: Table, findings: &mut Findings) -> GeoIp {
    let Some(table) = top.value("geoip").and_then(|value| value.table(&GEOIP, findings)) else {
        return GeoIp::default();
    };
    let path = |key: &str, findings: &mut Findings| {
        table.value(key).and_then(|value| value.path("geoip/country.mmdb", findings))
    };
    GeoIp {
        country: path("country", findings),
        city: path("city", findings),
        asn: path("asn", findings),
        fields: read_fields(table, findings),
    }
}

fn read_fields(geoip: Table, findings: &mut Findings) -> FieldPaths {
    let Some(table) = geoip.value("fields").and_then(|value| value.table(&FIELDS, findings)) else {
        return FieldPaths::default();
    };
    let field = |key: &str, findings: &mut Findings| {
        let value = table.value(key)?;
        let text = value.text("country.iso_code", findings)?;
        if text.split('.').any(str::is_empty) {
            findings.error(
                value.span(),
                "a part of the path is empty",
                "write parts with one dot between them",
            );
        }
        Some(text.to_owned())
    };
    FieldPaths {
        country: field("country", findings),
        continent: field("continent", findings),
        subdivision: field("subdivision", findings),
        latitude: field("latitude", findings),
        longitude: field("longitude", findings),
        asn: field("asn", findings),
    }
}
