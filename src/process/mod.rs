//! What this process may do, who watches over it, and what it was handed: users and capabilities, Landlock, the
//! filter of system calls, the end by a panic, the supervisor's protocol, descriptors from another process. It knows
//! the system and nothing of DNS.
//!
//! [`harden`] gives up in one step what is not needed once the sockets are open. It must come before the first
//! thread: capabilities and Landlock hold for the thread that gives them up and those that it starts later.

mod filter;
pub mod handed;
#[expect(unsafe_code, reason = "mallopt has no safe form")]
pub mod heap;
mod landlock;
pub mod lock;
pub mod panics;
pub mod priority;
mod privileges;
#[expect(unsafe_code, reason = "sched_getattr and sched_setattr have no safe form")]
mod scheduler;
pub mod supervisor;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use crate::config::Hardening;

pub use privileges::Owner;

/// What the process goes on needing of the file system.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// Files that are read again by a reload or a probe. Their folders stay readable, so that a file may be replaced.
    pub files: Vec<PathBuf>,
    /// Folders that are read, each with all below it.
    pub folders: Vec<PathBuf>,
    /// Folders that are written to; made where they are missing.
    pub written: Vec<PathBuf>,
}

/// What became of the hardening, for the log.
#[derive(Clone, Debug, Default)]
pub struct Hardened {
    /// The user that the process runs as now, where it changed.
    pub user: Option<String>,
    /// The process runs as root all the same.
    pub root: bool,
    /// What Landlock came to.
    pub landlock: Enforced,
    /// What the filter of system calls came to.
    pub filter: Enforced,
    /// Where alone files can be read from now on; `None` where nothing holds that.
    pub confined: Option<Confined>,
}

/// Where alone files can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confined(Vec<PathBuf>);

/// How far a means of the kernel is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Enforced {
    /// The configuration switches it off.
    #[default]
    Off,
    /// The kernel does not have it; why.
    Missing(String),
    /// It holds; what of it.
    Holds(String),
}

/// Why a process that was to be hardened must not go on.
#[derive(Debug, PartialEq, Eq)]
pub struct HardenFault(String);

impl Needs {
    /// The folders of the files, as they are named and as they are once every symbolic link is followed, and those
    /// that are read anyhow.
    fn read(&self) -> Vec<PathBuf> {
        let folder_of = |path: &Path| path.parent().map(whole);
        let named = self.files.iter().filter_map(|file| folder_of(file));
        let real = self.files.iter().filter_map(|file| folder_of(&fs::canonicalize(file).ok()?));
        let mut all: Vec<PathBuf> =
            named.chain(real).chain(self.folders.iter().map(|path| whole(path))).collect();
        all.sort();
        all.dedup();
        all
    }
}

/// The folder of a file that was named without one is the current folder.
fn whole(path: &Path) -> PathBuf {
    if path.as_os_str().is_empty() { PathBuf::from(".") } else { path.to_owned() }
}

/// Gives up whatever is not needed, in this order: the user and his groups, capabilities, core dumps, ways to gain
/// privileges, the file system but for `needs`, system calls that a name server has no use for. What the kernel
/// does not have is left out and told; what would leave the process unable to go on is a fault.
///
/// # Errors
/// When the user cannot be found or become, or could not read or write what `needs` names.
pub fn harden(hardening: &Hardening, needs: &Needs) -> Result<Hardened, HardenFault> {
    let owner = Owner::find(hardening.user.as_deref(), hardening.group.as_deref())?;
    for folder in &needs.written {
        provide(folder, owner.as_ref())?;
    }
    privileges::give_up(owner.as_ref())?;
    check_access(needs, owner.as_ref())?;
    let (landlock, confined) = match hardening.landlock {
        true => landlock::confine(&needs.read(), &needs.written),
        false => (Enforced::Off, None),
    };
    let filter = if hardening.system_call_filter { filter::install() } else { Enforced::Off };
    let root = rustix::process::geteuid().is_root();
    Ok(Hardened { user: owner.map(|owner| owner.name), root, landlock, filter, confined })
}

/// Whether the user and the group to become are known to this system.
///
/// # Errors
/// When one of them is not.
pub fn check_owner(hardening: &Hardening) -> Result<(), HardenFault> {
    Owner::find(hardening.user.as_deref(), hardening.group.as_deref()).map(drop)
}

/// Makes a folder that is missing, and gives it to its owner.
fn provide(folder: &Path, owner: Option<&Owner>) -> Result<(), HardenFault> {
    let fault = |error: std::io::Error| HardenFault(format!("{} cannot be made: {error}", folder.display()));
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(fault)?;
    match owner {
        Some(owner) => std::os::unix::fs::chown(folder, Some(owner.user), Some(owner.group)).map_err(fault),
        None => Ok(()),
    }
}

/// Whether this user can do from now on what was done so far perhaps by root: every fault at once. What is missing
/// is none, since it may come.
fn check_access(needs: &Needs, owner: Option<&Owner>) -> Result<(), HardenFault> {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    use rustix::io::Errno;
    let denied = |path: &Path, access| {
        matches!(
            accessat(CWD, path, access, AtFlags::EACCESS),
            Err(Errno::ACCESS | Errno::PERM | Errno::ROFS)
        )
    };
    let files = needs.files.iter().filter(|file| denied(file, Access::READ_OK));
    let folders = needs.folders.iter().filter(|folder| denied(folder, Access::READ_OK | Access::EXEC_OK));
    let unreadable = files.chain(folders);
    let mut told: Vec<String> = unreadable.map(|path| format!("{} cannot be read", path.display())).collect();
    let unwritable = needs.written.iter().filter(|folder| denied(folder, Access::WRITE_OK | Access::EXEC_OK));
    told.extend(unwritable.map(|folder| format!("{} cannot be written to", folder.display())));
    told.sort();
    told.dedup();
    if told.is_empty() {
        return Ok(());
    }
    let who = owner.map_or_else(|| "this user".to_owned(), |owner| format!("user {}", owner.name));
    Err(HardenFault(format!(
        "{who} could not go on: {}; change owner or mode (chown, chmod)",
        told.join(", ")
    )))
}

impl Confined {
    /// Why this file cannot be read, if it lies outside.
    #[must_use]
    pub fn forbids(&self, file: &Path) -> Option<String> {
        let file = real(file);
        if self.0.iter().any(|folder| file.starts_with(real(&whole(folder)))) {
            return None;
        }
        let folders: Vec<_> = self.0.iter().map(|folder| folder.display().to_string()).collect();
        Some(format!(
            "since its start the server can read below {} alone (hardening.landlock); keep the file there, or \
             restart the server",
            folders.join(", ")
        ))
    }
}

/// The path once every symbolic link is followed; of a file that is missing, that of its folder.
fn real(path: &Path) -> PathBuf {
    let whole_path = || fs::canonicalize(path).ok();
    let of_folder = || Some(fs::canonicalize(whole(path.parent()?)).ok()?.join(path.file_name()?));
    whole_path().or_else(of_folder).unwrap_or_else(|| path.to_owned())
}

impl fmt::Display for Enforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Missing(why) => write!(f, "not to be had: {why}"),
            Self::Holds(what) => f.write_str(what),
        }
    }
}

impl fmt::Display for HardenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hardening: {}", self.0)
    }
}

impl std::error::Error for HardenFault {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_is_read_are_the_folders_of_files_and_of_what_they_lead_to() {
        let place = tempfile::tempdir().unwrap();
        let at = |path: &str| fs::canonicalize(place.path()).unwrap().join(path);
        fs::create_dir_all(at("store")).unwrap();
        fs::create_dir_all(at("etc")).unwrap();
        fs::write(at("store/1.mmdb"), "").unwrap();
        symlink(at("store/1.mmdb"), at("etc/country.mmdb")).unwrap();
        let needs = Needs { files: vec![at("etc/country.mmdb"), at("none/x")], ..Needs::default() };
        assert_eq!(needs.read(), [at("etc"), at("none"), at("store")]);
        let beside = Needs { files: vec!["rhumb.toml".into()], ..Needs::default() };
        assert!(beside.read().contains(&PathBuf::from(".")));
    }

    #[test]
    fn what_lies_outside_is_told_whether_it_is_there_or_not() {
        let place = tempfile::tempdir().unwrap();
        let inside = place.path().join("inside");
        fs::create_dir(&inside).unwrap();
        fs::write(place.path().join("outside"), "").unwrap();
        symlink(place.path().join("outside"), inside.join("link")).unwrap();
        let confined = Confined(vec![inside.clone()]);
        assert_eq!(confined.forbids(&inside.join("missing")), None);
        assert_eq!(confined.forbids(&inside.join("sub/missing")), None);
        for path in [place.path().join("outside"), inside.join("link"), inside.join("../outside")] {
            assert!(confined.forbids(&path).unwrap().contains("keep the file there"), "{}", path.display());
        }
    }
}
