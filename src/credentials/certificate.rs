//! What a certificate says: who it is for, what for, and until when. rustls judges whether it can be believed, and
//! tells none of this.

use rustls::pki_types::CertificateRevocationListDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use crate::exchange::identity::Identity;
use crate::time::WallTime;

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The agent it is for; why there is none, when there is none.
    pub identity: Result<Identity, String>,
    /// Names and addresses of a server.
    pub names: Vec<String>,
    /// When it begins.
    pub begins: WallTime,
    /// When it ends.
    pub expires: WallTime,
    /// Its number with its authority, without leading zeros.
    pub serial: Vec<u8>,
    /// Whether it may stand for an agent, and for a server.
    purposes: (bool, bool),
}

/// What a certificate is shown for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// By a server, to agents.
    Server,
    /// By an agent, to servers.
    Agent,
}

impl Certificate {
    /// Reads a certificate.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of(der: &[u8]) -> Result<Self, String> {
        let (_, parsed) =
            X509Certificate::from_der(der).map_err(|error| format!("this is no certificate: {error}"))?;
        let alternative = parsed.subject_alternative_name().map_err(|error| error.to_string())?;
        let alternative = alternative.map(|extension| &extension.value.general_names);
        let usage = parsed.extended_key_usage().map_err(|error| error.to_string())?;
        let usage = usage.map_or((false, false), |usage| (usage.value.client_auth, usage.value.server_auth));
        let mut names = Vec::new();
        let mut identities = Vec::new();
        for name in alternative.into_iter().flatten() {
            match name {
                GeneralName::URI(uri) => identities.extend(Identity::of_uri(uri)),
                GeneralName::DNSName(name) => names.push((*name).to_owned()),
                GeneralName::IPAddress(octets) => names.extend(address(octets)),
                _ => {}
            }
        }
        Ok(Self {
            identity: only(identities),
            names,
            begins: wall(parsed.validity().not_before),
            expires: wall(parsed.validity().not_after),
            serial: without_leading_zeros(parsed.raw_serial()),
            purposes: usage,
        })
    }

    /// Whether it may be shown for `purpose`; what to do, when not. The other side would only say "bad certificate".
    pub fn check_purpose(&self, purpose: Purpose) -> Result<(), String> {
        let (agent, server) = self.purposes;
        match purpose {
            Purpose::Server if !server => {
                Err("the certificate is none of a server; make one by `rhumb cert issue --server`".to_owned())
            }
            Purpose::Agent if !agent => {
                Err("the certificate is none of an agent; make one by `rhumb cert issue --agent`".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// The serials on lists of revoked certificates in PEM form, without leading zeros, each with its time.
///
/// # Errors
/// When a list cannot be read.
pub fn revoked(octets: &[u8]) -> Result<Vec<(Vec<u8>, WallTime)>, String> {
    let mut all = Vec::new();
    for list in CertificateRevocationListDer::pem_slice_iter(octets) {
        let list = list.map_err(|error| error.to_string())?;
        let (_, parsed) = CertificateRevocationList::from_der(&list)
            .map_err(|error| format!("this is no list of revoked certificates: {error}"))?;
        let entries = parsed.iter_revoked_certificates();
        all.extend(entries.map(|one| (without_leading_zeros(one.raw_serial()), wall(one.revocation_date))));
    }
    Ok(all)
}

fn wall(time: ASN1Time) -> WallTime {
    WallTime(u64::try_from(time.timestamp().saturating_mul(1000)).unwrap_or(0))
}

/// The one identity of a certificate: with two of them it would be anybody's guess.
fn only(
    mut found: Vec<Result<Identity, crate::exchange::identity::IdentityFault>>,
) -> Result<Identity, String> {
    match found.len() {
        0 => Err("the certificate names no agent".to_owned()),
        1 => found.remove(0).map_err(|fault| format!("the certificate names no agent: {fault}")),
        _ => Err("the certificate names several agents".to_owned()),
    }
}

fn address(octets: &[u8]) -> Option<String> {
    let four = <[u8; 4]>::try_from(octets).ok().map(std::net::IpAddr::from);
    let sixteen = || <[u8; 16]>::try_from(octets).ok().map(std::net::IpAddr::from);
    four.or_else(sixteen).map(|address| address.to_string())
}

/// DER puts a zero before a number whose first bit is set; lists and certificates are compared without.
#[must_use]
fn without_leading_zeros(octets: &[u8]) -> Vec<u8> {
    let zeros = octets.iter().take_while(|octet| **octet == 0).count();
    octets[zeros..].to_vec()
}
