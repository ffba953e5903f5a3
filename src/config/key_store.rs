//! Keys of zones on disk: the folder's files `K<zone>+<algorithm>+<tag>.key` and `.private`, read, written, guarded.
//! A private file that others than its owner may read is refused: its key would have to be replaced.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use super::limit::{KEY_FILES_MAX, ZONE_KEYS_MAX};
use super::secret::{self, SecretFault};
use crate::dnssec::key::Key;
use crate::dnssec::key_file::{self, KEY_FILE_OCTETS_MAX, KeyFault, stem};
use crate::name::Name;
use crate::time::WallTime;

/// What helps where a file is there and cannot be opened.
const READABLE: &str = "let the user that the server runs as own and read it";
/// What helps where two files make no key.
const WHOLE: &str =
    "put both files back as they were made, or move both away, if the parent does not name the key";
/// What helps where a key cannot sign here.
const FOREIGN: &str = "go over to 13 or 15 where the zone was signed, until the parent names that key alone; then move \
                       both files of this one away";

/// A key and the file of its private half.
#[derive(Debug)]
pub struct StoredKey {
    /// The key.
    pub key: Key,
    /// Its `.private` file.
    pub file: PathBuf,
}

/// What is wrong with a file of a key, or with the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFault {
    /// What is wrong.
    pub secret: SecretFault,
    /// What would be right; empty where the message says so.
    pub help: &'static str,
}

/// All keys of a zone in a folder, in the order of their files' names; or everything that is wrong with them. A public
/// half that stands alone is a fault until its key is to leave the zone: a zone whose parent names it would go bogus.
pub fn read(folder: &Path, zone: &Name, now: WallTime) -> Result<Vec<StoredKey>, Vec<StoreFault>> {
    let files = key_files(folder, zone).map_err(|fault| vec![fault])?;
    let mut keys = Vec::new();
    let mut faults: Vec<_> =
        lonely(&files).filter(|file| !is_gone(file, now)).map(|file| without_private(file)).collect();
    for file in files.into_iter().filter(|file| is_private(file)) {
        match read_key(&file, zone) {
            Ok(key) => keys.push(StoredKey { key, file }),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(keys) } else { Err(faults) }
}

/// The files of a zone's private keys in a folder, as far as it can be read.
pub(super) fn private_files(folder: &Path, zone: &Name) -> Vec<PathBuf> {
    let files = key_files(folder, zone).unwrap_or_default();
    files.into_iter().filter(|file| is_private(file)).collect()
}

/// The files of a zone's keys in a folder, of either half.
fn key_files(folder: &Path, zone: &Name) -> Result<Vec<PathBuf>, StoreFault> {
    let unreadable = |error: io::Error| {
        let message = format!("the folder {} cannot be read: {error}", folder.display());
        let help = match error.kind() {
            io::ErrorKind::NotFound => "`rhumb dnssec make` makes it, with a key in it",
            _ => "let the user that the server runs as read it",
        };
        StoreFault { secret: SecretFault::unopened(folder, message), help }
    };
    let whole = stem(zone, 0, 0);
    let start = whole[..whole.len() - "000+00000".len()].to_ascii_lowercase();
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)?.take(KEY_FILES_MAX) {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // BIND writes names in lower case and leaves the final dot.
        let is_of_zone = name.to_ascii_lowercase().starts_with(&start);
        if is_of_zone && (is_private(&path) || is_public(&path)) {
            files.push(path);
        }
    }
    let keys = files.iter().filter(|file| is_private(file)).count();
    if keys > ZONE_KEYS_MAX {
        let message =
            format!("{keys} keys of {zone} are in {}; at most {ZONE_KEYS_MAX} are taken", folder.display());
        return Err(StoreFault { secret: message.into(), help: "move those away that are gone" });
    }
    files.sort();
    Ok(files)
}

fn is_private(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "private")
}

fn is_public(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "key")
}

/// Public halves without their private ones.
fn lonely(files: &[PathBuf]) -> impl Iterator<Item = &PathBuf> {
    files.iter().filter(|file| is_public(file) && !files.contains(&file.with_extension("private")))
}

/// Whether a public half says itself that its key has left the zone.
fn is_gone(public: &Path, now: WallTime) -> bool {
    let text = File::open(public).ok().and_then(|mut file| read_text(&mut file).ok());
    text.and_then(|text| key_file::public_delete(&text)).is_some_and(|delete| delete <= now)
}

fn without_private(public: &Path) -> StoreFault {
    let message = format!("{}: its private half is not beside it", public.display());
    let help = "put the .private file here, since a key that is kept elsewhere cannot sign; or move the .key file away, if \
                the key was taken out of use";
    StoreFault { secret: message.into(), help }
}

fn read_key(file: &Path, zone: &Name) -> Result<Key, StoreFault> {
    let private = secret::read(file, KEY_FILE_OCTETS_MAX as u64).map_err(|secret| {
        let help = if secret.unopened.is_some() { READABLE } else { "" };
        StoreFault { secret, help }
    })?;
    let key = with_public(file, &private)?;
    if key.owner() != zone {
        let message = format!("{}: it is a key of {}, not of {zone}", file.display(), key.owner());
        return Err(StoreFault { secret: message.into(), help: WHOLE });
    }
    Ok(key)
}

/// The key of both halves.
fn with_public(file: &Path, private: &[u8]) -> Result<Key, StoreFault> {
    let fault = |why: String| {
        let message = format!("{}: {why}", file.display());
        StoreFault { secret: message.into(), help: WHOLE }
    };
    let private = std::str::from_utf8(private).map_err(|_| fault("it is no text".to_owned()))?;
    let public = file.with_extension("key");
    let mut open = File::open(&public).map_err(|error| {
        let help = if error.kind() == io::ErrorKind::NotFound { WHOLE } else { READABLE };
        let message = format!("{} cannot be read: {error}", public.display());
        StoreFault { secret: SecretFault::unopened(&public, message), help }
    })?;
    let public = read_text(&mut open).map_err(fault)?;
    key_file::read(&public, private).map_err(|why| {
        let help = if matches!(why, KeyFault::Algorithm(_)) { FOREIGN } else { WHOLE };
        StoreFault { help, ..fault(why.to_string()) }
    })
}

fn read_text(file: &mut File) -> Result<String, String> {
    let mut text = String::new();
    let limit = KEY_FILE_OCTETS_MAX as u64;
    let read = file
        .take(limit + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("it cannot be read: {error}"))?;
    if read as u64 > limit { Err("it is too long for a key".to_owned()) } else { Ok(text) }
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.help {
            "" => write!(f, "{}", self.secret),
            help => write!(f, "{}; {help}", self.secret),
        }
    }
}

/// The user and the group that a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Owner {
    user: u32,
    group: u32,
}

const ROOT: u32 = 0;

impl Owner {
    fn of(found: &Metadata) -> Self {
        Self { user: found.uid(), group: found.gid() }
    }

    /// Whose a file is to be that `self` writes. The server reads keys as a user of its own: what root writes for it goes
    /// to who had the file until now, or has the folder. Others cannot give files away.
    fn heir(self, replaced: Option<Self>, folder: Self) -> Self {
        if self.user == ROOT { replaced.unwrap_or(folder) } else { self }
    }
}

/// Writes both files of a key, each whole or not at all. `ttl` is that of the DNSKEY set. Gives the private one.
pub fn write(folder: &Path, key: &Key, ttl: u32) -> io::Result<PathBuf> {
    let stem = stem(key.owner(), key.algorithm().number(), key.tag());
    let private = folder.join(format!("{stem}.private"));
    put(folder, &format!("{stem}.key"), &key_file::write_public(key, ttl), 0o644)?;
    put(folder, &format!("{stem}.private"), &key_file::write_private(key), 0o600)?;
    Ok(private)
}

fn put(folder: &Path, name: &str, text: &str, mode: u32) -> io::Result<()> {
    let path = folder.join(name);
    let beside = folder.join(format!("{name}.new"));
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
    let ours = Owner::of(&file.metadata()?);
    let replaced = fs::metadata(&path).ok().map(|found| Owner::of(&found));
    let heir = ours.heir(replaced, Owner::of(&fs::metadata(folder)?));
    if heir != ours {
        fchown(&file, Some(heir.user), Some(heir.group))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::dnssec::Algorithm;
    use crate::dnssec::key::ZONE_KEY;
    use crate::dnssec::timing::Timing;

    const NOW: WallTime = WallTime(1_767_225_600_000);

    fn key(zone: &str) -> Key {
        Key::generate(zone.parse().unwrap(), ZONE_KEY, Algorithm::Ed25519, Timing::default())
    }

    #[test]
    fn a_zone_has_its_own_keys_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        for zone in ["example.com", "example.com", "www.example.com", "example.org", "."] {
            write(folder.path(), &key(zone), 3600).unwrap();
        }
        let count = |zone: &str| read(folder.path(), &zone.parse().unwrap(), NOW).unwrap().len();
        assert_eq!(["example.com", "www.example.com", ".", "com"].map(count), [2, 1, 1, 0]);
    }

    #[test]
    fn a_private_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = write(folder.path(), &key("example.com"), 3600).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let faults = read(folder.path(), &"example.com".parse().unwrap(), NOW).unwrap_err();
            assert!(
                faults[0].secret.message.contains("others than its owner may open this secret"),
                "{faults:?}"
            );
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(read(folder.path(), &"example.com".parse().unwrap(), NOW).is_ok());
    }

    #[test]
    fn every_fault_of_every_key_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let files = [(); 2].map(|()| write(folder.path(), &key("example.com"), 3600).unwrap());
        fs::remove_file(files[0].with_extension("key")).unwrap();
        fs::write(files[1].with_extension("key"), "; nothing").unwrap();
        assert_eq!(read(folder.path(), &"example.com".parse().unwrap(), NOW).unwrap_err().len(), 2);
        assert!(read(&folder.path().join("none"), &"example.com".parse().unwrap(), NOW).is_err());
    }

    #[test]
    fn a_public_half_alone_is_a_fault_until_its_key_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &key("example.com"), 3600).unwrap();
        let mut lonely = key("example.com");
        lonely.timing.delete = Some(WallTime(NOW.0 + 1000));
        let private = write(folder.path(), &lonely, 3600).unwrap();
        fs::remove_file(&private).unwrap();
        let read = |now: WallTime| read(folder.path(), &"example.com".parse().unwrap(), now);
        let fault = read(NOW).unwrap_err().remove(0).to_string();
        assert!(fault.contains(private.with_extension("key").to_str().unwrap()), "{fault}");
        assert!(fault.contains("its private half is not beside it; put the .private file here"), "{fault}");
        assert_eq!(read(WallTime(NOW.0 + 1000)).unwrap().len(), 1);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_helped_by_what_is_done_to_that_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = write(folder.path(), &key("example.com"), 3600).unwrap();
        let help = || read(folder.path(), &"example.com".parse().unwrap(), NOW).unwrap_err()[0].help;
        let (public, private) = (file.with_extension("key"), fs::read(&file).unwrap());
        let text = fs::read_to_string(&public).unwrap();
        fs::write(&public, text.replace(" 3 15 ", " 3 8 ")).unwrap();
        assert_eq!(help(), FOREIGN);
        fs::write(&public, text).unwrap();
        fs::write(&file, "nothing").unwrap();
        assert_eq!(help(), WHOLE);
        fs::write(&file, private).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(help(), "", "the message says it");
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(&file, &file).unwrap();
        assert_eq!(help(), READABLE);
    }

    #[test]
    fn what_root_writes_belongs_to_who_had_it_or_has_the_folder() {
        let [root, server, admin] =
            [(0, 0), (70, 71), (1000, 1000)].map(|(user, group)| Owner { user, group });
        assert_eq!(root.heir(Some(server), admin), server);
        assert_eq!(root.heir(None, server), server);
        assert_eq!(admin.heir(Some(server), root), admin, "who is not root cannot give a file away");
    }

    /// As root the files are a stranger's; as another user they stay that user's.
    #[test]
    fn the_owner_of_files_outlives_their_replacement() {
        let folder = tempfile::tempdir().unwrap();
        let ours = Owner::of(&fs::metadata(folder.path()).unwrap());
        let owner = if ours.user == ROOT { Owner { user: 4321, group: 1234 } } else { ours };
        let of = |file: &Path| Owner::of(&fs::metadata(file).unwrap());
        let key = key("example.com");
        let file = write(folder.path(), &key, 3600).unwrap();
        assert_eq!(of(&file), ours);
        for file in [&file, &file.with_extension("key")] {
            std::os::unix::fs::chown(file, Some(owner.user), Some(owner.group)).unwrap();
        }
        write(folder.path(), &key, 60).unwrap();
        assert_eq!([of(&file), of(&file.with_extension("key"))], [owner; 2]);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
