//! The folder of a fleet: the authority and its key, its list of revoked certificates, and what was made for servers
//! and agents.
//!
//! ```text
//!  authority.pem  authority.key  revoked.pem  servers/ns1.pem .key  agents/dublin-1.pem .key
//! ```
//!
//! Every file is for its owner alone, and appears whole or not at all, since servers and agents may be reading.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::Holder;
use super::make::{self, Made};
use crate::credentials::certificate::Certificate;
use crate::credentials::revoked;
use crate::time::WallTime;

/// A fleet's folder with its authority.
pub(super) struct Fleet {
    folder: PathBuf,
    authority: Made,
}

/// A certificate in the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Whom it is for; the authority when absent.
    pub(super) holder: Option<Holder>,
    /// Names and addresses of a server.
    pub(super) hosts: Vec<String>,
    pub(super) path: PathBuf,
    pub(super) revoked: bool,
    begins: WallTime,
    ends: WallTime,
}

const AUTHORITY: &str = "authority";
const SERVERS: &str = "servers";
const AGENTS: &str = "agents";
const DAY_MILLIS: u64 = 24 * 3600 * 1000;

impl Fleet {
    /// Makes the folder with a new authority that has revoked nothing.
    pub(super) fn found(folder: &Path, now: WallTime) -> Result<Self, String> {
        let key = folder.join(AUTHORITY).with_extension("key");
        if key.exists() {
            return Err(format!("{} is there already; name a new folder for a new authority", key.display()));
        }
        let authority = make::authority(now).map_err(|error| error.to_string())?;
        for part in [folder, &folder.join(SERVERS), &folder.join(AGENTS)] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(part);
            made.map_err(|error| format!("{}: {error}", part.display()))?;
        }
        let fleet = Self { folder: folder.to_owned(), authority };
        write(&key, &fleet.authority.key)?;
        write(&key.with_extension("pem"), &fleet.authority.certificate)?;
        fleet.write_list(&BTreeMap::new(), now)?;
        Ok(fleet)
    }

    /// The fleet of a folder that was made before.
    pub(super) fn open(folder: &Path) -> Result<Self, String> {
        let path = folder.join(AUTHORITY);
        let read = |extension: &str| {
            let path = path.with_extension(extension);
            fs::read_to_string(&path).map_err(|error| {
                format!("{}: {error}; `rhumb cert init` makes a new authority", path.display())
            })
        };
        Ok(Self {
            folder: folder.to_owned(),
            authority: Made { certificate: read("pem")?, key: read("key")? },
        })
    }

    /// Whether somebody has a certificate.
    pub(super) fn has(&self, holder: &Holder) -> bool {
        self.path(holder).exists()
    }

    /// Makes a certificate. The one before it, if any, is kept as `NAME.previous.pem`, so that it can be revoked.
    pub(super) fn issue(&self, holder: &Holder, hosts: &[String], now: WallTime) -> Result<(), String> {
        let made =
            make::certificate(&self.authority, holder, hosts, now).map_err(|error| error.to_string())?;
        let path = self.path(holder);
        if path.exists() {
            let previous = previous(&path);
            fs::copy(&path, &previous).map_err(|error| format!("{}: {error}", previous.display()))?;
        }
        write(&path.with_extension("key"), &made.key)?;
        write(&path, &made.certificate)
    }

    /// Puts all certificates of these on the list; how many there are.
    pub(super) fn revoke(&self, holders: &[Holder], now: WallTime) -> Result<usize, String> {
        let mut list = self.list()?;
        let mut count = 0;
        for holder in holders {
            let path = self.path(holder);
            for path in [previous(&path), path].iter().filter(|path| path.exists()) {
                list.entry(read_certificate(path)?.serial).or_insert(now);
                count += 1;
            }
        }
        self.write_list(&list, now)?;
        Ok(count)
    }

    /// All certificates, the authority first.
    pub(super) fn all(&self) -> Result<Vec<Held>, String> {
        let list = self.list()?;
        let mut all = vec![held(None, self.folder.join(AUTHORITY).with_extension("pem"), &list)?];
        for (folder, parse) in [(SERVERS, server as fn(&str) -> Option<Holder>), (AGENTS, agent)] {
            let mut found = Vec::new();
            for entry in fs::read_dir(self.folder.join(folder)).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let stem = name.strip_suffix(".pem").filter(|stem| !stem.ends_with(PREVIOUS));
                if let Some(holder) = stem.and_then(parse) {
                    found.push(held(Some(holder), entry.path(), &list)?);
                }
            }
            found.sort_by(|a, b| a.holder.cmp(&b.holder));
            all.extend(found);
        }
        Ok(all)
    }

    /// Where the list of revoked certificates is.
    pub(super) fn revocations(&self) -> PathBuf {
        self.folder.join("revoked.pem")
    }

    /// The serials of revoked certificates with the time of their revocation.
    fn list(&self) -> Result<BTreeMap<Vec<u8>, WallTime>, String> {
        let path = self.revocations();
        let octets = fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let list = revoked(&octets).map_err(|fault| format!("{}: {fault}", path.display()))?;
        Ok(list.into_iter().collect())
    }

    fn write_list(&self, list: &BTreeMap<Vec<u8>, WallTime>, now: WallTime) -> Result<(), String> {
        let list: Vec<_> = list.iter().map(|(serial, at)| (serial.clone(), *at)).collect();
        let made = make::list(&self.authority, &list, now).map_err(|error| error.to_string())?;
        write(&self.revocations(), &made)
    }

    fn path(&self, holder: &Holder) -> PathBuf {
        match holder {
            Holder::Server(name) => self.folder.join(SERVERS).join(format!("{name}.pem")),
            Holder::Agent(agent) => {
                self.folder.join(AGENTS).join(format!("{}-{}.pem", agent.vantage, agent.agent))
            }
        }
    }
}

impl Held {
    /// What people call it.
    pub(super) fn title(&self) -> String {
        self.holder.as_ref().map_or("the authority".to_owned(), ToString::to_string)
    }

    /// How many days it has still, counted up.
    pub(super) fn days_left(&self, now: WallTime) -> u64 {
        self.ends.0.saturating_sub(now.0).div_ceil(DAY_MILLIS)
    }

    /// Whether less than a third of its life is left.
    pub(super) fn is_ageing(&self, now: WallTime) -> bool {
        let life = self.ends.since(self.begins);
        self.ends.since(now) < life / 3 || life == Duration::ZERO
    }
}

const PREVIOUS: &str = ".previous";

fn previous(path: &Path) -> PathBuf {
    path.with_extension("previous.pem")
}

fn server(stem: &str) -> Option<Holder> {
    stem.parse().ok()
}

fn agent(stem: &str) -> Option<Holder> {
    let (vantage, number) = stem.rsplit_once('-')?;
    format!("{vantage}/{number}").parse().ok()
}

fn held(holder: Option<Holder>, path: PathBuf, list: &BTreeMap<Vec<u8>, WallTime>) -> Result<Held, String> {
    let certificate = read_certificate(&path)?;
    Ok(Held {
        holder,
        revoked: list.contains_key(&certificate.serial),
        hosts: certificate.names,
        path,
        begins: certificate.begins,
        ends: certificate.expires,
    })
}

fn read_certificate(path: &Path) -> Result<Certificate, String> {
    let der = CertificateDer::from_pem_file(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Certificate::of(&der).map_err(|fault| format!("{}: {fault}", path.display()))
}

/// Writes a file that only its owner reads, beside its place, and moves it there.
fn write(path: &Path, text: &str) -> Result<(), String> {
    let fault = |error: std::io::Error| format!("{}: {error}", path.display());
    let beside = path.with_extension("new");
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fault(error)),
        _ => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(fault)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(fault)?;
    fs::rename(&beside, path).map_err(fault)
}
