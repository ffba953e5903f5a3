//! The files as they are, and what rustls makes of them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::certificate::Certificate;
use crate::config::{CertificateFiles, secret};
use crate::time::WallTime;

/// The longest file in octets.
const FILE_OCTETS_MAX: u64 = 4 * 1024 * 1024;

/// What the files hold, so that a change is noticed whatever the clock of the disk says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    certificate: Octets,
    key: Octets,
    authorities: Vec<Octets>,
    revocations: Vec<Octets>,
}

/// A file and what it holds; a key's octets must not show in a log.
#[derive(Clone, Default, PartialEq, Eq)]
struct Octets {
    path: PathBuf,
    octets: Vec<u8>,
}

impl Contents {
    /// Reads the files, which may block.
    ///
    /// # Errors
    /// When one of them cannot be read, or others than its owner may read the key; which, and why.
    pub fn read(files: &CertificateFiles) -> Result<Self, String> {
        let all = |paths: &[PathBuf]| -> Result<Vec<Octets>, String> {
            paths.iter().map(|path| Octets::read(path)).collect()
        };
        Ok(Self {
            certificate: Octets::read(&files.certificate)?,
            key: Octets::read_secret(&files.key)?,
            authorities: all(&files.authorities)?,
            revocations: all(&files.revocations)?,
        })
    }

    /// What is wrong with the dates of the certificate at `now`; a chain is as good as its first.
    #[must_use]
    pub fn untimely(&self, now: WallTime) -> Option<String> {
        let chain = self.certificate.certificates().ok()?;
        let Certificate { begins, expires, .. } = Certificate::of(&chain[0]).ok()?;
        let (how, when) = match () {
            () if now >= expires => ("ended", expires),
            () if now < begins => ("begins", begins),
            () => return None,
        };
        let day = when.day();
        Some(
            self.certificate.fault(format_args!("the certificate {how} on {day}: the other side refuses it")),
        )
    }
}

impl Octets {
    fn read(path: &Path) -> Result<Self, String> {
        let fault = |why: String| format!("{}: {why}", path.display());
        let file = File::open(path).map_err(|error| fault(error.to_string()))?;
        let mut octets = Vec::new();
        file.take(FILE_OCTETS_MAX + 1).read_to_end(&mut octets).map_err(|error| fault(error.to_string()))?;
        if octets.len() as u64 > FILE_OCTETS_MAX {
            return Err(fault(format!("the file is longer than {FILE_OCTETS_MAX} octets")));
        }
        Ok(Self { path: path.to_owned(), octets })
    }

    fn read_secret(path: &Path) -> Result<Self, String> {
        Ok(Self {
            path: path.to_owned(),
            octets: secret::read(path, FILE_OCTETS_MAX).map_err(|fault| fault.message)?,
        })
    }

    fn fault(&self, why: impl std::fmt::Display) -> String {
        format!("{}: {why}", self.path.display())
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, String> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.octets).collect();
        let certificates = read.map_err(|error| self.fault(error))?;
        if certificates.is_empty() {
            return Err(self.fault("holds no certificate in PEM form"));
        }
        Ok(certificates)
    }
}

impl std::fmt::Debug for Octets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

/// What the files hold, parsed.
pub(super) struct Material {
    /// Never empty; the own certificate comes first.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) authorities: RootCertStore,
    pub(super) revocations: Vec<CertificateRevocationListDer<'static>>,
}

impl Material {
    pub(super) fn of(contents: &Contents) -> Result<Self, String> {
        let mut authorities = RootCertStore::empty();
        for file in &contents.authorities {
            for certificate in file.certificates()? {
                authorities.add(certificate).map_err(|error| file.fault(error))?;
            }
        }
        let mut revocations = Vec::new();
        for file in &contents.revocations {
            for list in CertificateRevocationListDer::pem_slice_iter(&file.octets) {
                revocations.push(list.map_err(|error| file.fault(error))?);
            }
        }
        let key = PrivateKeyDer::from_pem_slice(&contents.key.octets);
        Ok(Self {
            chain: contents.certificate.certificates()?,
            key: key.map_err(|error| contents.key.fault(error))?,
            authorities,
            revocations,
        })
    }
}
