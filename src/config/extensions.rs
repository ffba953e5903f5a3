//! What the configuration wants of the protocol's extensions, with the secrets that it names read.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Config;
use super::limit::SECRETS_OCTETS_MAX;
use crate::answer::extensions::{Cookies, Extensions};
use crate::fault::Fault;
use crate::wire::cookie::{Secret, Secrets};

/// Permissions of others than the owner: a secret that they may read is none.
const MODE_OF_OTHERS: u32 = 0o077;

/// Reads what there is to read. Cookies without a file of secrets are left to the process, which can make one up.
pub(super) fn read(config: &Config) -> Result<Extensions, Box<Fault>> {
    let wanted = &config.server.extensions;
    let secrets = match &wanted.cookies.secrets {
        Some((file, span)) => Some(read_secrets(file).map_err(|message| {
            let help = "write one secret of 32 hexadecimal digits per line into a file that its owner alone may read";
            Box::new(config.error(*span, format!("{}: {message}", file.display()), help.to_owned()))
        })?),
        None => None,
    };
    let cookies = secrets.filter(|_| wanted.cookies.answer);
    let tenths = config.server.tcp.idle_timeout.as_millis() / 100;
    Ok(Extensions {
        cookies: cookies.map(|secrets| Cookies { secrets, required: wanted.cookies.required }),
        nsid: wanted.nsid.as_ref().map(|text| text.as_bytes().into()),
        chaos: wanted.chaos.clone(),
        report_channel: wanted.error_reports.as_ref().map(|name| name.as_wire().into()),
        tcp_keepalive: u16::try_from(tenths).unwrap_or(u16::MAX),
        rate_limit: wanted.rate_limit.clone(),
    })
}

fn read_secrets(path: &Path) -> Result<Secrets, String> {
    let unreadable = |error: std::io::Error| format!("the secrets cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
    if mode & MODE_OF_OTHERS != 0 {
        return Err(format!(
            "others than the owner may read or write the secrets (mode {mode:04o}); make it 0600"
        ));
    }
    let mut text = String::new();
    file.take(SECRETS_OCTETS_MAX).read_to_string(&mut text).map_err(unreadable)?;
    Secrets::parse(&text).map_err(|fault| fault.to_string())
}

/// Gives cookies a secret that the process made up, where the configuration wants cookies and names no secrets.
pub(super) fn lend_secret(config: &Config, extensions: &mut Extensions, secret: Secret) {
    let wanted = &config.server.extensions.cookies;
    if wanted.answer && extensions.cookies.is_none() {
        extensions.cookies = Some(Cookies { secrets: Secrets::new(secret), required: wanted.required });
    }
}
