//! `[agents]`: where agents report, and how both sides know each other. Also the certificates of an agent's own
//! file, which are written alike.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::server::read_socket_address;
use crate::config::findings::Findings;
use crate::config::limit::CERTIFICATE_FILES_MAX;
use crate::config::table::{Section, Table};
use crate::config::text::Span;
use crate::config::value::Value;

/// Where agents report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agents {
    /// The address.
    pub listen: SocketAddr,
    /// Who this server is, and whom it believes.
    pub files: CertificateFiles,
    /// Where it was written.
    pub span: Span,
}

/// The files, in PEM form, by which one side of a connection shows who it is and knows the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// Its certificate, and those between it and the authority, if any.
    pub certificate: PathBuf,
    /// The certificate's key.
    pub key: PathBuf,
    /// The authorities that the other side's certificate may come from: two of them during a rotation.
    pub authorities: Vec<PathBuf>,
    /// Lists of certificates that are not believed any more.
    pub revocations: Vec<PathBuf>,
}

pub(in crate::config) const AGENTS: Section =
    Section { path: "agents", keys: &["listen", "certificate", "key", "authorities", "revocations"] };

/// Reads `[agents]`, if it is there.
pub(in crate::config) fn read_agents(top: Table, findings: &Findings) -> Option<Agents> {
    let value = top.value("agents")?;
    let table = value.table(&AGENTS);
    let listen =
        table.required("listen", "\"0.0.0.0:8453\"").and_then(|v| read_socket_address(v, "0.0.0.0:8453"));
    let files = read_files(table, findings);
    Some(Agents { listen: listen?, files, span: value.span })
}

/// Reads the files of a table that has the keys for them.
pub(in crate::config) fn read_files(table: Table, findings: &Findings) -> CertificateFiles {
    let path = |key: &str, example: &str| {
        let value = table.required(key, &format!("{example:?}"));
        value.and_then(|value| value.path(example)).unwrap_or_else(|| findings.completed(example))
    };
    let read = |value: Option<Value>, example: &str| -> Vec<PathBuf> {
        let list = value.and_then(|value| value.filled_list(example, CERTIFICATE_FILES_MAX));
        list.into_iter().flatten().filter_map(|value| value.path("fleet/authority.pem")).collect()
    };
    CertificateFiles {
        certificate: path("certificate", "fleet/certificate.pem"),
        key: path("key", "fleet/certificate.key"),
        authorities: read(
            table.required("authorities", "[\"fleet/authority.pem\"]"),
            "[\"fleet/authority.pem\"]",
        ),
        revocations: read(table.value("revocations"), "[\"fleet/revoked.pem\"]"),
    }
}
