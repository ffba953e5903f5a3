//! One probe of one target: what is done on the wire, and what it tells. One file per kind.
//!
//! A [`Finding`] is about the target alone. What goes wrong on our own side (no file descriptor left, a state
//! file that is missing) is [`Finding::Nothing`]: silence is not down.

mod dns;
mod file;
mod http;
mod icmp;
mod journey;
mod tcp;
mod tls;

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::illness::patience;
use crate::config::probe::{DnsProbe, Probe, ProbeKind, Target};
use crate::health::outcome::Failure;
use crate::health::verdict::Share;

pub(super) use http::Only;

/// What one probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The target works.
    Pass,
    /// It works, and so much of it is usable: less than the whole, more than nothing.
    PassInPart(Share),
    /// The target does not work.
    Fail(Failure),
    /// Nothing was learned of the target; why not, or no words where that was told already.
    Nothing(String),
}

/// A target made ready: what can be read, parsed and built once is.
pub struct Prober {
    address: SocketAddr,
    timeout: Duration,
    interval: Duration,
    kind: Kind,
}

enum Kind {
    Http(http::HttpTarget),
    Tcp,
    Tls(tls::TlsTarget),
    Dns(DnsProbe),
    File {
        file: Arc<file::StateFile>,
        key: String,
        /// Who gets the outcomes knows of shares.
        shares: bool,
    },
    Icmp(Arc<icmp::Echoes>),
    Journey(Box<journey::JourneyTarget>),
    /// The probe could not be made ready; why not.
    Unready(String),
}

/// What the targets of one configuration share: authorities that were read and state files.
#[derive(Default)]
pub struct Shared {
    trust: tls::TrustCache,
    files: HashMap<std::path::PathBuf, Arc<file::StateFile>>,
    echoes: Arc<icmp::Echoes>,
}

/// The longest text of a failure in characters: it travels in every report and stands in logs.
pub const FAILURE_TEXT_MAX: usize = 120;

impl Prober {
    /// Makes a target ready. Reads certificate files, so it may block. Never fails: a target that cannot be
    /// probed finds nothing.
    #[must_use]
    pub fn new(target: &Target, probe: &Probe, shared: &mut Shared) -> Self {
        let kind = match &probe.kind {
            ProbeKind::Http(spec) => {
                http::HttpTarget::new(target.address, spec, &mut shared.trust).map(Kind::Http)
            }
            ProbeKind::Tcp { .. } => Ok(Kind::Tcp),
            ProbeKind::Tls(spec) => {
                tls::TlsTarget::new(target.address, spec, &mut shared.trust).map(Kind::Tls)
            }
            ProbeKind::Dns(spec) => Ok(Kind::Dns(spec.clone())),
            ProbeKind::File { path, shares } => {
                let file = shared.files.entry(path.clone()).or_insert_with(|| file::StateFile::new(path));
                Ok(Kind::File { file: file.clone(), key: target.key.clone(), shares: *shares })
            }
            ProbeKind::Journey(spec) => {
                let made = journey::JourneyTarget::new(target.address, spec, &mut shared.trust);
                made.map(|journey| Kind::Journey(Box::new(journey)))
            }
            ProbeKind::Icmp => Ok(Kind::Icmp(Arc::clone(&shared.echoes))),
            ProbeKind::Gauge(_) | ProbeKind::Composed(_) => Err("nothing is to be probed".to_owned()),
        };
        let kind = kind.unwrap_or_else(Kind::Unready);
        Self { address: target.address, timeout: probe.timeout, interval: probe.interval, kind }
    }

    /// Probes once. `id` numbers the query of a DNS or ICMP probe; an agent that is ill itself waits longer.
    pub async fn probe(&self, id: u16, is_ill: bool) -> Finding {
        let work = async {
            match &self.kind {
                Kind::Http(http) => http.probe().await,
                Kind::Tcp => tcp::probe(self.address).await,
                Kind::Tls(tls) => tls.probe().await,
                Kind::Dns(spec) => dns::probe(self.address, spec, id).await,
                Kind::File { file, key, shares } => match file.probe(key).await {
                    Finding::PassInPart(_) if !shares => Finding::Pass,
                    finding => finding,
                },
                Kind::Journey(journey) => journey.probe().await,
                Kind::Icmp(echoes) => echoes.probe(self.address, id).await,
                Kind::Unready(why) => Finding::Nothing(why.clone()),
            }
        };
        let timeout = patience(self.timeout, self.interval, is_ill);
        match (tokio::time::timeout(timeout, work).await, &self.kind) {
            (Ok(finding), _) => finding,
            (Err(_), Kind::File { .. }) => {
                Finding::Nothing("the state file cannot be read in time".to_owned())
            }
            (Err(_), Kind::Journey(journey)) => journey.failed_by(&Failure::TimedOut),
            (Err(_), _) => Finding::Fail(Failure::TimedOut),
        }
    }
}

/// What an error on the way to the target tells of it: the first cause that says something, from the outside in.
fn finding_of(error: &(dyn Error + 'static)) -> Finding {
    let mut last = error;
    for cause in std::iter::successors(Some(error), |cause| (*cause).source()) {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Finding::Fail(Failure::Tls(bounded(tls)));
        }
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return finding_of_io(io);
        }
        last = cause;
    }
    Finding::Fail(match last.to_string() {
        // hyper's words; its type is not ours to name. Were they to change, a test below says so.
        text if text.contains("closed before message completed") || text.contains("end of file") => {
            Failure::Reset
        }
        text => Failure::Other(bounded(text)),
    })
}

fn finding_of_io(error: &io::Error) -> Finding {
    use io::ErrorKind as Kind;
    // Layers wrap one such error in another, and TLS its own in that.
    if let Some(inner) = error.get_ref()
        && (inner.is::<rustls::Error>() || inner.is::<io::Error>())
    {
        return finding_of(inner);
    }
    if is_our_own(error) {
        return Finding::Nothing(bounded(error));
    }
    Finding::Fail(match error.kind() {
        Kind::ConnectionRefused => Failure::Refused,
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof => {
            Failure::Reset
        }
        Kind::TimedOut => Failure::TimedOut,
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown | Kind::PermissionDenied => {
            Failure::Unreachable(bounded(error))
        }
        _ => Failure::Other(bounded(error)),
    })
}

/// Whether the error is about this machine's means rather than the target: memory, ports, file descriptors.
fn is_our_own(error: &io::Error) -> bool {
    /// ENFILE, EMFILE and ENOBUFS of Linux, for which the standard library has no words.
    const SYSTEM_FILES: i32 = 23;
    const PROCESS_FILES: i32 = 24;
    const BUFFERS: i32 = 105;
    matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::AddrNotAvailable)
        || matches!(error.raw_os_error(), Some(SYSTEM_FILES | PROCESS_FILES | BUFFERS))
}

/// The text of a cause in one line, cut to [`FAILURE_TEXT_MAX`].
fn bounded(cause: impl std::fmt::Display) -> String {
    let text = cause.to_string();
    let letters = text.chars().take(FAILURE_TEXT_MAX);
    letters.map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn what_fails_on_our_side_is_no_evidence_against_the_target() {
        for code in [23, 24, 105] {
            let finding = finding_of_io(&io::Error::from_raw_os_error(code));
            assert!(matches!(finding, Finding::Nothing(_)), "{finding:?}");
        }
        let finding = finding_of_io(&io::Error::from_raw_os_error(113));
        assert!(matches!(finding, Finding::Fail(Failure::Unreachable(_))), "{finding:?}");
    }

    #[test]
    fn texts_are_short_and_in_one_line() {
        let text = bounded(format!("a\nb{}", "é".repeat(200)));
        assert!(text.starts_with("a bé"));
        assert_eq!(text.chars().count(), FAILURE_TEXT_MAX);
    }
}
