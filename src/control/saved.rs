//! The last verdicts on disk, so that a restart does not forget who is down. Written beside and renamed over, so
//! that a crash leaves the old file or the new one, never half of one.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::warn;

use crate::health::machine::SavedVerdict;
use crate::time::WallTime;

/// Where verdicts are kept.
#[derive(Clone, Debug)]
pub struct SavedFile {
    path: PathBuf,
    /// Held while it is written: two at a time would write into each other's half.
    writing: Arc<Mutex<()>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Saved<V> {
    written: WallTime,
    verdicts: V,
}

/// A larger file is not ours.
const OCTETS_MAX: u64 = 256 << 20;

impl SavedFile {
    /// The file in the state folder.
    #[must_use]
    pub fn inside(folder: &Path) -> Self {
        Self { path: folder.join("verdicts.json"), writing: Arc::default() }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The verdicts and how old they are. What cannot be read is as if it were not there, and said once: a start
    /// must not fail for it.
    #[must_use]
    pub fn read(&self, now: WallTime) -> (Vec<SavedVerdict>, Duration) {
        match self.try_read() {
            Ok(saved) => (saved.verdicts, now.since(saved.written)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => (Vec::new(), Duration::ZERO),
            Err(error) => {
                warn!(%error, file = %self.path.display(), "the saved verdicts cannot be read and are forgotten");
                (Vec::new(), Duration::ZERO)
            }
        }
    }

    fn try_read(&self) -> io::Result<Saved<Vec<SavedVerdict>>> {
        if fs::metadata(&self.path)?.len() > OCTETS_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is too large"));
        }
        Ok(serde_json::from_slice(&fs::read(&self.path)?)?)
    }

    /// Writes verdicts so that they are there whole or not at all.
    pub fn write(&self, verdicts: &[SavedVerdict], now: WallTime) -> io::Result<()> {
        let octets = serde_json::to_vec_pretty(&Saved { written: now, verdicts })?;
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let beside = self.path.with_extension("json.new");
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = fs::File::create(&beside)?;
        file.write_all(&octets)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)?;
        // The name is on the disk only once the folder is.
        match self.path.parent() {
            Some(folder) => fs::File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::verdict::{Share, State};

    fn verdict(key: &str) -> SavedVerdict {
        SavedVerdict {
            key: key.to_owned(),
            state: State::Down,
            held_ms: 5,
            step: None,
            penalty: 1000.0,
            suppressed_ms: 0,
            allowed: false,
            usable: Share::WHOLE,
        }
    }

    #[test]
    fn what_was_written_is_read_with_its_age() {
        let folder = tempfile::tempdir().unwrap();
        let file = SavedFile::inside(&folder.path().join("new"));
        assert_eq!(file.read(WallTime(0)), (Vec::new(), Duration::ZERO), "nothing yet");
        file.write(&[verdict("eu/www/192.0.2.1")], WallTime(1_000)).unwrap();
        let (verdicts, age) = file.read(WallTime(4_500));
        assert_eq!((verdicts, age), (vec![verdict("eu/www/192.0.2.1")], Duration::from_millis(3_500)));
    }

    #[test]
    fn a_damaged_file_is_as_if_it_were_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = SavedFile::inside(folder.path());
        file.write(&[verdict("a")], WallTime(1)).unwrap();
        let whole = fs::read(file.path()).unwrap();
        for cut in [0, 1, whole.len() / 2, whole.len() - 3] {
            fs::write(file.path(), &whole[..cut]).unwrap();
            assert_eq!(file.read(WallTime(2)).0, Vec::new());
        }
    }
}
