//! Keys of zones on disk: the folder's files `K<zone>+<algorithm>+<tag>.key` and `.private`, read, written, guarded.
//! A private file that others than its owner may read is refused: its key would have to be replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::limit::{KEY_FILES_MAX, ZONE_KEYS_MAX};
use super::secret::{self, SecretFault};
use crate::dnssec::key::Key;
use crate::dnssec::key_file::{self, KEY_FILE_OCTETS_MAX, stem};
use crate::name::Name;

/// A key and the file of its private half.
#[derive(Debug)]
pub struct StoredKey {
    /// The key.
    pub key: Key,
    /// Its `.private` file.
    pub file: PathBuf,
}

/// All keys of a zone in a folder, in the order of their files' names; or everything that is wrong with them.
pub fn read(folder: &Path, zone: &Name) -> Result<Vec<StoredKey>, Vec<SecretFault>> {
    let files = private_files(folder, zone).map_err(|fault| vec![fault])?;
    let mut keys = Vec::new();
    let mut faults = Vec::new();
    for file in files {
        match read_key(&file, zone) {
            Ok(key) => keys.push(StoredKey { key, file }),
            Err(fault) => faults.push(fault),
        }
    }
    if faults.is_empty() { Ok(keys) } else { Err(faults) }
}

/// The files of a zone's private keys in a folder.
pub(super) fn private_files(folder: &Path, zone: &Name) -> Result<Vec<PathBuf>, SecretFault> {
    let unreadable = |error: io::Error| {
        SecretFault::unopened(folder, format!("the folder {} cannot be read: {error}", folder.display()))
    };
    let whole = stem(zone, 0, 0);
    let start = &whole[..whole.len() - "000+00000".len()];
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)?.take(KEY_FILES_MAX) {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // BIND writes names in lower case and leaves the final dot.
        if name.to_ascii_lowercase().starts_with(&start.to_ascii_lowercase()) && name.ends_with(".private") {
            files.push(path);
        }
    }
    if files.len() > ZONE_KEYS_MAX {
        return Err(format!(
            "{} keys of {zone} are in {}; at most {ZONE_KEYS_MAX} are taken",
            files.len(),
            folder.display()
        )
        .into());
    }
    files.sort();
    Ok(files)
}

fn read_key(file: &Path, zone: &Name) -> Result<Key, SecretFault> {
    let private = secret::read(file, KEY_FILE_OCTETS_MAX as u64)?;
    let key = with_public(file, &private)?;
    if key.owner() != zone {
        return Err(format!("{}: it is a key of {}, not of {zone}", file.display(), key.owner()).into());
    }
    Ok(key)
}

/// The key of both halves.
fn with_public(file: &Path, private: &[u8]) -> Result<Key, SecretFault> {
    let fault = |why: String| format!("{}: {why}", file.display());
    let private = std::str::from_utf8(private).map_err(|_| fault("it is no text".to_owned()))?;
    let public = file.with_extension("key");
    let mut open = File::open(&public).map_err(|error| {
        SecretFault::unopened(&public, format!("{} cannot be read: {error}", public.display()))
    })?;
    let public = read_text(&mut open).map_err(fault)?;
    Ok(key_file::read(&public, private).map_err(|why| fault(why.to_string()))?)
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

/// Writes both files of a key, each whole or not at all. `ttl` is that of the DNSKEY set. Gives the private one.
pub fn write(folder: &Path, key: &Key, ttl: u32) -> io::Result<PathBuf> {
    let stem = stem(key.owner(), key.algorithm().number(), key.tag());
    let private = folder.join(format!("{stem}.private"));
    put(&folder.join(format!("{stem}.key")), &key_file::write_public(key, ttl), 0o644)?;
    put(&private, &key_file::write_private(key), 0o600)?;
    Ok(private)
}

fn put(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let _ = fs::remove_file(&beside);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
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

    fn key(zone: &str) -> Key {
        Key::generate(zone.parse().unwrap(), ZONE_KEY, Algorithm::Ed25519, Timing::default())
    }

    #[test]
    fn a_zone_has_its_own_keys_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        for zone in ["example.com", "example.com", "www.example.com", "example.org", "."] {
            write(folder.path(), &key(zone), 3600).unwrap();
        }
        let count = |zone: &str| read(folder.path(), &zone.parse().unwrap()).unwrap().len();
        assert_eq!(["example.com", "www.example.com", ".", "com"].map(count), [2, 1, 1, 0]);
    }

    #[test]
    fn a_private_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = write(folder.path(), &key("example.com"), 3600).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let faults = read(folder.path(), &"example.com".parse().unwrap()).unwrap_err();
            assert!(faults[0].message.contains("others than its owner may open this secret"), "{faults:?}");
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(read(folder.path(), &"example.com".parse().unwrap()).is_ok());
    }

    #[test]
    fn every_fault_of_every_key_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let files = [(); 2].map(|()| write(folder.path(), &key("example.com"), 3600).unwrap());
        fs::remove_file(files[0].with_extension("key")).unwrap();
        fs::write(files[1].with_extension("key"), "; nothing").unwrap();
        assert_eq!(read(folder.path(), &"example.com".parse().unwrap()).unwrap_err().len(), 2);
        assert!(read(&folder.path().join("none"), &"example.com".parse().unwrap()).is_err());
    }
}
