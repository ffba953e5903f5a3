//! Zone files from disk, bounded and confined: a zone includes only what lies in the folder of its own file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path};

use super::read::TEXT_OCTETS_MAX;
use super::store::Zone;
use crate::fault::{Fault, Severity};
use crate::name::Name;

/// Reads the zone `origin` from `file`; as [`super::read`], with `$INCLUDE` confined to the folder of `file`.
pub fn load(origin: &Name, file: &Path) -> Result<(Zone, Vec<Fault>), Vec<Fault>> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let octets = read_bounded(file).map_err(|error| vec![unreadable(file, &error)])?;
    super::read(origin, file, &octets, &mut |path| include(folder, path))
}

/// Reads a file that is inside the folder once every symbolic link is followed.
fn include(folder: &Path, path: &Path) -> io::Result<Vec<u8>> {
    let outside =
        || io::Error::new(io::ErrorKind::PermissionDenied, "it is outside of the folder of the zone");
    if !path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(outside());
    }
    let resolved = fs::canonicalize(folder.join(path))?;
    if !resolved.starts_with(fs::canonicalize(folder)?) {
        return Err(outside());
    }
    read_bounded(&resolved)
}

/// Reads a regular file of bounded length; pipes and devices could go on for ever.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let refuse = |why: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if !fs::metadata(path)?.is_file() {
        return refuse("it is not a regular file");
    }
    let file = File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if length > TEXT_OCTETS_MAX {
        return refuse("it is longer than a zone may be");
    }
    let mut octets = Vec::with_capacity(length + 1);
    // A file may grow while it is read.
    file.take(TEXT_OCTETS_MAX as u64 + 1).read_to_end(&mut octets)?;
    Ok(octets)
}

fn unreadable(file: &Path, error: &io::Error) -> Fault {
    Fault {
        severity: Severity::Error,
        file: file.to_string_lossy().into(),
        spot: None,
        message: format!("the zone file cannot be read: {error}"),
        help: "name a readable master file".to_owned(),
        unopened: Some(file.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "@ 60 SOA ns. a. 1 1 1 1 1\n@ 60 NS ns.\n";

    /// Loads a zone that includes `path`, from a folder with a file inside, one outside, and links to both.
    fn including(path: &str) -> Result<usize, String> {
        let place = tempfile::tempdir().unwrap();
        let zones = place.path().join("zones");
        fs::create_dir_all(zones.join("sub")).unwrap();
        fs::write(zones.join("sub/inside"), "a 60 A 192.0.2.1\n").unwrap();
        fs::write(place.path().join("outside"), "a 60 A 192.0.2.1\n").unwrap();
        std::os::unix::fs::symlink(place.path().join("outside"), zones.join("link-out")).unwrap();
        std::os::unix::fs::symlink("sub/inside", zones.join("link-in")).unwrap();
        let path = path.replace("PLACE", place.path().to_str().unwrap());
        let file = zones.join("zone");
        fs::write(&file, format!("{HEAD}$INCLUDE {path}\n")).unwrap();
        load(&"example.com".parse().unwrap(), &file)
            .map(|(zone, _)| zone.record_count())
            .map_err(|faults| faults[0].message.clone())
    }

    #[test]
    fn includes_are_confined_to_the_folder_of_the_zone() {
        assert_eq!(including("sub/inside"), Ok(3));
        assert_eq!(including("./sub/inside"), Ok(3));
        assert_eq!(including("link-in"), Ok(3));
        let outside = Err("the file cannot be read: it is outside of the folder of the zone".to_owned());
        for path in ["../outside", "sub/../../outside", "link-out", "PLACE/outside", "/etc/passwd"] {
            assert_eq!(including(path), outside, "{path}");
        }
        assert_eq!(including("sub"), Err("the file cannot be read: it is not a regular file".to_owned()));
        assert!(including("nothing").is_err());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_a_fault() {
        let origin = "example.com".parse().unwrap();
        let long = tempfile::NamedTempFile::new().unwrap();
        long.as_file().set_len(TEXT_OCTETS_MAX as u64 + 1).unwrap();
        for path in ["/nonexistent/zone", "/dev/zero", "/", long.path().to_str().unwrap()] {
            let faults = load(&origin, Path::new(path)).unwrap_err();
            assert!(faults[0].message.starts_with("the zone file cannot be read"), "{path}");
        }
    }
}
