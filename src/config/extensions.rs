//! What the configuration wants of the protocol's extensions, with the secrets that it names read.

use std::path::Path;

use super::limit::SECRETS_OCTETS_MAX;
use super::secret::SecretFault;
use super::section::stream::Limits;
use super::{Config, secret};
use crate::answer::extensions::{Cookies, Extensions, Keepalive};
use crate::fault::Fault;
use crate::wire::cookie::{Secret, Secrets};

/// Reads what there is to read. Cookies without a file of secrets are left to the process, which can make one up.
pub(super) fn read(config: &Config) -> Result<Extensions, Box<Fault>> {
    let wanted = &config.server.extensions;
    let secrets = match &wanted.cookies.secrets {
        Some((file, span)) => Some(read_secrets(file).map_err(|SecretFault { message, unopened }| {
            let help = "write one secret of 32 hexadecimal digits per line into a file that its owner alone may read";
            Box::new(Fault { unopened, ..config.error(*span, message, help.to_owned()) })
        })?),
        None => None,
    };
    let cookies = secrets.filter(|_| wanted.cookies.answer);
    Ok(Extensions {
        cookies: cookies.map(|secrets| Cookies { secrets, required: wanted.cookies.required }),
        nsid: wanted.nsid.as_ref().map(|text| text.as_bytes().into()),
        chaos: wanted.chaos.clone(),
        report_channel: wanted.error_reports.as_ref().map(|(name, _)| name.as_wire().into()),
        keepalive: keepalive(config),
        rate_limit: wanted.rate_limit.clone(),
        amplification: wanted.amplification,
    })
}

/// How long connections may be idle by the limits of a configuration.
pub(super) fn keepalive(config: &Config) -> Keepalive {
    let tenths = |limits: &Limits| u16::try_from(limits.idle_timeout.as_millis() / 100).unwrap_or(u16::MAX);
    Keepalive { tcp: tenths(&config.server.tcp), tls: tenths(&config.server.encrypted.tls.limits) }
}

fn read_secrets(path: &Path) -> Result<Secrets, SecretFault> {
    let octets = secret::read(path, SECRETS_OCTETS_MAX)?;
    let fault = |why: String| format!("{}: {why}", path.display());
    let text = std::str::from_utf8(&octets).map_err(|_| fault("holds octets that are no text".to_owned()))?;
    Ok(Secrets::parse(text).map_err(|why| fault(why.to_string()))?)
}

/// Gives cookies a secret that the process made up, where the configuration wants cookies and names no secrets.
pub(super) fn lend_secret(config: &Config, extensions: &mut Extensions, secret: Secret) {
    let wanted = &config.server.extensions.cookies;
    if wanted.answer && extensions.cookies.is_none() {
        extensions.cookies = Some(Cookies { secrets: Secrets::new(secret), required: wanted.required });
    }
}
