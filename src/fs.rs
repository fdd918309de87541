//! Files that appear whole or not at all.
//!
//! What is written goes to a file beside its place, is made durable, and is renamed. Whoever reads finds the old content or the
//! new one, and a crash leaves at most a hidden file beside. The store's commit and its leases have stricter rules, and their
//! own code.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

use crate::error::{FileError, IoContext};

/// Puts in the place of `path` what `write` writes to a file beside it. Where that fails, what was there stays.
pub(crate) fn replace<E: From<FileError>>(path: &Path, write: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let beside = temporary_file(path).at("write", path)?;
    write(beside.path())?;
    // By another handle than the writer's, which has gone: what is synced is the file.
    sync(beside.path())?;
    beside.persist(path).map_err(|e| e.error).at("write", path)?;
    Ok(sync(folder(path))?)
}

/// Puts a file of these bytes in the place of `path`.
pub(crate) fn replace_with(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace(path, |beside| std::fs::write(beside, bytes).at("write", path))
}

/// Makes a file of these bytes at `path`, where nothing may be: whatever stands there stays, and is an error of the kind
/// [`io::ErrorKind::AlreadyExists`].
pub(crate) fn create_with(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let mut beside = temporary_file(path).at("write", path)?;
    beside.write_all(bytes).and_then(|()| beside.as_file().sync_all()).at("write", path)?;
    beside.persist_noclobber(path).map_err(|e| e.error).at("write", path)?;
    sync(folder(path))
}

/// Gives the finished file or directory at `from` its place, on the same file system.
pub(crate) fn settle(from: &Path, path: &Path) -> Result<(), FileError> {
    sync(from)?;
    std::fs::rename(from, path).at("move into place", path)?;
    sync(folder(path))
}

/// Makes a file's content, or a directory's entries, durable.
pub(crate) fn sync(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|file| file.sync_all()).at("sync", path)
}

/// The folder that `path` lies in.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A hidden file beside `path` that goes when dropped. It has the mode of any other new file, as the umask allows, where
/// `tempfile`'s own choice is its owner's alone.
fn temporary_file(path: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    builder.prefix(".trestle-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(dir).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[cfg(unix)]
    #[test]
    fn a_file_has_the_mode_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (other, own) = (dir.path().join("other"), dir.path().join("own"));
        std::fs::write(&other, "").unwrap();
        replace_with(&own, b"").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(&own), mode(&other));
    }

    #[test]
    fn what_fails_leaves_what_was_there_and_nothing_beside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        replace_with(&path, b"old").unwrap();
        let failed = replace(&path, |beside| {
            std::fs::write(beside, "half").at("write", beside)?;
            Err(FileError::new("write", beside, io::ErrorKind::StorageFull.into()))
        });
        assert_eq!(failed.unwrap_err().source.kind(), io::ErrorKind::StorageFull);
        assert_eq!((std::fs::read(&path).unwrap(), names(dir.path())), (b"old".to_vec(), vec!["file".to_owned()]));
        // Nor where it is written and can't have its place.
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        let error = replace_with(&dir.path().join("folder"), b"new").unwrap_err();
        assert!(error.to_string().contains("folder"), "{error}");
        assert_eq!(names(dir.path()), ["file", "folder"]);
    }

    #[test]
    fn a_new_file_takes_no_other_ones_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        create_with(&path, b"first").unwrap();
        let error = create_with(&path, b"second").unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((std::fs::read(&path).unwrap(), names(dir.path())), (b"first".to_vec(), vec!["file".to_owned()]));
    }

    #[test]
    fn files_and_directories_settle() {
        let dir = tempfile::tempdir().unwrap();
        let (file, folder) = (dir.path().join("file.part"), dir.path().join("folder.part"));
        std::fs::write(&file, "whole").unwrap();
        std::fs::create_dir(&folder).unwrap();
        settle(&file, &dir.path().join("file")).unwrap();
        settle(&folder, &dir.path().join("folder")).unwrap();
        assert_eq!(names(dir.path()), ["file", "folder"]);
        let missing = settle(&file, &dir.path().join("file")).unwrap_err();
        assert_eq!(missing.path, file);
    }
}
