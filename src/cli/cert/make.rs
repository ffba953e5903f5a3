//! Makes certificates and lists of revoked ones.

use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};

use time::OffsetDateTime;

use super::Holder;
use crate::time::WallTime;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Ten years: to change it takes a visit to every machine.
const AUTHORITY_LIFE: Duration = Duration::from_secs(3650 * 24 * 3600);
/// A year and a month: renewed once a year it never ends.
const LIFE: Duration = Duration::from_secs(397 * 24 * 3600);
/// Clocks of other machines may be behind.
const BACKDATED: Duration = DAY;
/// A list that is overdue is believed all the same; this is for those who look.
const LIST_LIFE: Duration = AUTHORITY_LIFE;

/// A certificate and its key in PEM form.
pub(super) struct Made {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// A new authority.
pub(super) fn authority(now: WallTime) -> Result<Made, rcgen::Error> {
    let mut parameters = CertificateParams::new(Vec::<String>::new())?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    // Two authorities of a rotation must differ by name, for a list says by name whose it is.
    parameters.distinguished_name.push(DnType::CommonName, format!("Rhumb fleet {}", now.0));
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    live(&mut parameters, now, AUTHORITY_LIFE);
    let key = KeyPair::generate()?;
    Ok(Made { certificate: parameters.self_signed(&key)?.pem(), key: key.serialize_pem() })
}

/// A certificate of the authority, with a new key. `hosts` are a server's names and addresses.
pub(super) fn certificate(
    authority: &Made,
    holder: &Holder,
    hosts: &[String],
    now: WallTime,
) -> Result<Made, rcgen::Error> {
    let mut parameters = CertificateParams::new(hosts.to_vec())?;
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, holder.to_string());
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.use_authority_key_identifier_extension = true;
    match holder {
        Holder::Server(_) => parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth],
        Holder::Agent(identity) => {
            parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            parameters.subject_alt_names = vec![SanType::URI(identity.uri().try_into()?)];
        }
    }
    live(&mut parameters, now, LIFE);
    let key = KeyPair::generate()?;
    let issuer = issuer(authority)?;
    Ok(Made { certificate: parameters.signed_by(&key, &issuer)?.pem(), key: key.serialize_pem() })
}

/// The list of revoked certificates, each by its serial with the time of its revocation.
pub(super) fn list(
    authority: &Made,
    revoked: &[(Vec<u8>, WallTime)],
    now: WallTime,
) -> Result<String, rcgen::Error> {
    let entry = |(serial, at): &(Vec<u8>, WallTime)| RevokedCertParams {
        serial_number: SerialNumber::from_slice(serial),
        revocation_time: time_of(*at),
        reason_code: None,
        invalidity_date: None,
    };
    let parameters = CertificateRevocationListParams {
        this_update: time_of(now) - BACKDATED,
        next_update: time_of(now) + LIST_LIFE,
        // Grows with every list.
        crl_number: SerialNumber::from_slice(&now.0.to_be_bytes()),
        issuing_distribution_point: None,
        revoked_certs: revoked.iter().map(entry).collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    parameters.signed_by(&issuer(authority)?)?.pem()
}

fn issuer(authority: &Made) -> Result<Issuer<'static, KeyPair>, rcgen::Error> {
    Issuer::from_ca_cert_pem(&authority.certificate, KeyPair::from_pem(&authority.key)?)
}

fn live(parameters: &mut CertificateParams, now: WallTime, life: Duration) {
    parameters.not_before = time_of(now) - BACKDATED;
    parameters.not_after = time_of(now) + life;
}

fn time_of(wall: WallTime) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::from_secs(wall.0 / 1000)
}
