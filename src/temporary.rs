//! Files beside their place, until they are whole.

use std::io;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// A file in `folder` that goes when dropped, to be persisted under its own name. It has the mode of any other new file, as the
/// umask allows, where `tempfile`'s own choice is its owner's alone.
pub(crate) fn temporary_file(folder: &Path) -> io::Result<NamedTempFile> {
    let mut builder = Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_has_the_mode_of_any_new_file() {
        let dir = tempfile::tempdir().unwrap();
        let other = dir.path().join("other");
        std::fs::write(&other, "").unwrap();
        let file = temporary_file(dir.path()).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        assert_eq!(mode(file.path()), mode(&other));
    }
}
