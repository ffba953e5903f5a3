//! Keys of zones on disk: the folder's files `K<zone>+<algorithm>+<tag>.key` and `.private`, read, written, guarded.
//! A private file that others than its owner may read is refused: its key would have to be replaced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::limit::{KEY_FILES_MAX, ZONE_KEYS_MAX};
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

/// The bits of a file's mode that let others than its owner do something.
const OTHERS: u32 = 0o077;

/// All keys of a zone in a folder, in the order of their files' names; or everything that is wrong with them.
pub fn read(folder: &Path, zone: &Name) -> Result<Vec<StoredKey>, Vec<String>> {
    let files = private_files(folder, zone).map_err(|fault| vec![fault])?;
    let mut keys = Vec::new();
    let mut faults = Vec::new();
    for file in files {
        match read_key(&file, zone) {
            Ok(key) => keys.push(StoredKey { key, file }),
            Err(fault) => faults.push(format!("{}: {fault}", file.display())),
        }
    }
    if faults.is_empty() { Ok(keys) } else { Err(faults) }
}

fn private_files(folder: &Path, zone: &Name) -> Result<Vec<PathBuf>, String> {
    let unreadable = |error: io::Error| format!("the folder {} cannot be read: {error}", folder.display());
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
        ));
    }
    files.sort();
    Ok(files)
}

fn read_key(file: &Path, zone: &Name) -> Result<Key, String> {
    let mut private = File::open(file).map_err(|error| format!("it cannot be read: {error}"))?;
    let metadata = private.metadata().map_err(|error| format!("it cannot be read: {error}"))?;
    if metadata.permissions().mode() & OTHERS != 0 {
        let mode = metadata.permissions().mode() & 0o777;
        return Err(format!(
            "others may use this private key (mode {mode:04o}); chmod 0600 it, and think of a new key"
        ));
    }
    let private = read_text(&mut private)?;
    let public = file.with_extension("key");
    let mut open =
        File::open(&public).map_err(|error| format!("{} cannot be read: {error}", public.display()))?;
    let key = key_file::read(&read_text(&mut open)?, &private).map_err(|fault| fault.to_string())?;
    if key.owner() != zone {
        return Err(format!("it is a key of {}, not of {zone}", key.owner()));
    }
    Ok(key)
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
