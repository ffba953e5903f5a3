//! The files that a configuration names: what its process goes on reading.

use std::path::{Path, PathBuf};

use super::agent::AgentConfig;
use super::probe::{Probe, ProbeKind, TlsTrust};
use super::section::agents::CertificateFiles;
use super::{Config, key_store};

/// Every file that a server reads again: at a reload, at a probe, or because it follows it.
#[must_use]
pub fn of_server(path: &Path, config: &Config) -> Vec<PathBuf> {
    let geoip = &config.geoip;
    let databases = [&geoip.country, &geoip.city, &geoip.asn];
    let mut files = vec![path.to_owned()];
    files.extend(config.zones.iter().map(|zone| zone.file.clone()));
    files.extend(databases.into_iter().flatten().cloned());
    let keyed = config.zones.iter().filter_map(|zone| Some((&zone.origin, zone.dnssec.as_ref()?)));
    files.extend(keyed.flat_map(|(origin, keys)| key_store::private_files(&keys.folder, origin)));
    files.extend(config.agents.iter().flat_map(|agents| of_certificates(&agents.files)));
    files.extend(config.probes.iter().filter_map(of_probe).cloned());
    files.extend(config.server.encrypted.certificate.iter().flat_map(|shown| of_certificates(&shown.files)));
    files.extend(config.server.extensions.cookies.secrets.iter().map(|(file, _)| file.clone()));
    files
}

/// Every folder that a server reads again, whatever files come to be in it.
#[must_use]
pub fn folders_of_server(config: &Config) -> Vec<PathBuf> {
    let keyed = config.zones.iter().filter_map(|zone| zone.dnssec.as_ref());
    keyed.map(|keys| keys.folder.clone()).collect()
}

/// Every file that an agent reads again; folders that it permits are read beside.
#[must_use]
pub fn of_agent(path: &Path, config: &AgentConfig) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    files.extend(of_certificates(&config.files));
    files
}

fn of_certificates(files: &CertificateFiles) -> Vec<PathBuf> {
    let CertificateFiles { certificate, key, authorities, revocations } = files;
    [certificate, key].into_iter().chain(authorities).chain(revocations).cloned().collect()
}

fn of_probe(probe: &Probe) -> Option<&PathBuf> {
    match &probe.kind {
        ProbeKind::File { path, .. } => Some(path),
        ProbeKind::Tls(tls) => trusted(&tls.trust),
        ProbeKind::Http(http) => http.tls.as_ref().and_then(trusted),
        ProbeKind::Journey(journey) => journey.tls.as_ref().and_then(trusted),
        ProbeKind::Tcp { .. }
        | ProbeKind::Dns(_)
        | ProbeKind::Icmp
        | ProbeKind::Gauge(_)
        | ProbeKind::Composed(_) => None,
    }
}

fn trusted(trust: &TlsTrust) -> Option<&PathBuf> {
    match trust {
        TlsTrust::File(path) => Some(path),
        TlsTrust::System | TlsTrust::Anything => None,
    }
}
