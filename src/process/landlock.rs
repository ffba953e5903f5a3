//! Landlock: of the file system only what is needed stays in reach, whatever the process is made to do.
//!
//! No network rules: probes connect to whatever port an operator names, and a later reload may name more. A rule
//! that lets everything through is none.

use std::path::{Path, PathBuf};

use ::landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, LandlockStatus, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::{Confined, Enforced};

/// The newest interface that is asked for. Older kernels enforce what they know of it.
const NEWEST: ABI = ABI::V6;

/// What the system's libraries read whenever a name is looked up (a control target may be a name) or the system's
/// authorities are asked for. Those that are missing are left out.
const OF_THE_SYSTEM: &[&str] = &[
    "/etc/resolv.conf",
    "/run/systemd/resolve",
    "/run/NetworkManager",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ld.so.cache",
    "/etc/ssl",
    "/etc/pki",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/lib",
    "/lib",
    "/lib64",
    "/etc/localtime",
    "/proc/self",
    "/sys/fs/cgroup",
    "/dev/null",
    "/dev/urandom",
];
/// Variables that name the system's authorities elsewhere.
const AUTHORITIES: &[&str] = &["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// Leaves in reach what is below `read` and, for writing too, below `written`; what came of it, and the folders.
pub(super) fn confine(read: &[PathBuf], written: &[PathBuf]) -> (Enforced, Option<Confined>) {
    match restrict(read, written) {
        Ok(Some(what)) => {
            let folders = read.iter().chain(written).cloned().collect();
            (Enforced::Holds(what), Some(Confined(folders)))
        }
        Ok(None) => {
            (Enforced::Missing("this kernel has no Landlock, or it is switched off".to_owned()), None)
        }
        Err(error) => (Enforced::Missing(error.to_string()), None),
    }
}

fn restrict(read: &[PathBuf], written: &[PathBuf]) -> Result<Option<String>, RulesetError> {
    let authorities: Vec<PathBuf> =
        AUTHORITIES.iter().filter_map(std::env::var_os).map(PathBuf::from).collect();
    let system = OF_THE_SYSTEM.iter().map(Path::new);
    let read =
        read.iter().map(PathBuf::as_path).chain(system).chain(authorities.iter().map(PathBuf::as_path));
    let reading = AccessFs::ReadFile | AccessFs::ReadDir;
    let writing = reading
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::MakeSock
        | AccessFs::MakeDir
        | AccessFs::RemoveFile
        | AccessFs::RemoveDir
        | AccessFs::Refer;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        // No signals to processes outside; abstract sockets stay, a supervisor may listen at one.
        .scope(Scope::Signal)?
        .create()?
        .add_rules(path_beneath_rules(read, reading))?
        .add_rules(path_beneath_rules(written, writing))?
        .restrict_self()?;
    let level = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => format!("ABI {}", effective_abi as i32),
        _ => return Ok(None),
    };
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Some(level),
        RulesetStatus::PartiallyEnforced => Some(format!("{level}, in part")),
        RulesetStatus::NotEnforced => None,
    })
}
