//! Secrets on disk: keys of certificates and zones, secrets of cookies. One way to read them all, which refuses a
//! file that others than its owner may read or change: such a key is known to whoever was on the machine.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The bits of a file's mode that let others than its owner in.
const OTHERS: u32 = 0o077;

/// Why there is no secret to be had from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFault {
    /// What is wrong, and what would be right.
    pub message: String,
    /// The file or folder that could not be opened, where that is what is wrong.
    pub unopened: Option<Box<Path>>,
}

impl SecretFault {
    /// `path` could not be opened.
    #[must_use]
    pub fn unopened(path: &Path, message: String) -> Self {
        Self { message, unopened: Some(path.into()) }
    }
}

impl From<String> for SecretFault {
    fn from(message: String) -> Self {
        Self { message, unopened: None }
    }
}

impl fmt::Display for SecretFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SecretFault {}

/// Reads a secret of at most `octets_max` octets.
///
/// # Errors
/// When the file cannot be read, is no regular file, is longer, or when others may read or change it; what would be
/// right.
pub fn read(path: &Path, octets_max: u64) -> Result<Vec<u8>, SecretFault> {
    let fault = |why: String| SecretFault::from(format!("{}: {why}", path.display()));
    let unreadable = |error: std::io::Error| fault(error.to_string());
    // Of the file that is read, not of what the path names a moment earlier.
    let file =
        File::open(path).map_err(|error| SecretFault { unopened: Some(path.into()), ..unreadable(error) })?;
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() {
        return Err(fault("it is not a regular file".to_owned()));
    }
    let mode = found.permissions().mode() & 0o777;
    if mode & OTHERS != 0 {
        return Err(fault(format!(
            "others than its owner may open this secret: its mode is {mode:04o}; make it 0600 (chmod 600), and make \
             a new one if somebody has"
        )));
    }
    let mut octets = Vec::new();
    file.take(octets_max + 1).read_to_end(&mut octets).map_err(unreadable)?;
    if octets.len() as u64 > octets_max {
        return Err(fault(format!("the file is longer than {octets_max} octets")));
    }
    Ok(octets)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_secret_is_its_owners_or_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "secret").unwrap();
        for (mode, good) in [
            (0o600, true),
            (0o400, true),
            (0o700, true),
            (0o640, false),
            (0o604, false),
            (0o620, false),
            (0o644, false),
        ] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let read = read(&file, 100);
            assert_eq!(read.is_ok(), good, "{mode:o}: {read:?}");
            assert!(
                good || read.unwrap_err().message.contains(&format!("its mode is {mode:04o}; make it 0600"))
            );
        }
    }

    #[test]
    fn a_secret_is_a_file_of_bounded_length() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        fs::write(&file, "secret").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read(&file, 6).unwrap(), b"secret");
        assert!(read(&file, 5).unwrap_err().message.contains("longer than 5 octets"));
        assert!(read(folder.path(), 5).unwrap_err().message.contains("not a regular file"));
        assert!(read(&folder.path().join("none"), 5).is_err());
    }
}
