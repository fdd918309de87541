//! Outputs that appear whole or not at all, and never in the place of something.

use std::path::{Path, PathBuf};

use super::ExchangeError;
use crate::error::{FileError, IoContext};
use crate::fs::{create_with, folder, settle, sync};

/// A directory beside the one that it will be, gone unless it is finished.
pub struct OutputDir {
    unfinished: PathBuf,
    output: PathBuf,
}

impl OutputDir {
    /// Begins `output`, which must not exist.
    pub fn create(output: &Path) -> Result<Self, ExchangeError> {
        if output.symlink_metadata().is_ok() {
            return Err(ExchangeError::Exists { path: output.to_owned() });
        }
        let parent = folder(output);
        std::fs::create_dir_all(parent).at("create directory", parent)?;
        let name = output.file_name().unwrap_or_default().to_string_lossy();
        let unfinished = parent.join(format!(".{name}.unfinished-{}", std::process::id()));
        std::fs::create_dir(&unfinished).at("create directory", &unfinished)?;
        Ok(Self { unfinished, output: output.to_owned() })
    }

    /// Where its files are to be written.
    pub fn path(&self) -> &Path {
        &self.unfinished
    }

    /// Makes every file durable and gives the directory its name.
    pub fn finish(self) -> Result<(), ExchangeError> {
        sync_all(&self.unfinished)?;
        // An empty directory that came meanwhile would be replaced; anything else stands in the way.
        if self.output.symlink_metadata().is_ok() {
            return Err(ExchangeError::Exists { path: self.output.clone() });
        }
        Ok(settle(&self.unfinished, &self.output)?)
    }
}

impl Drop for OutputDir {
    fn drop(&mut self) {
        // It has another name by now where all went well.
        let _ = std::fs::remove_dir_all(&self.unfinished);
    }
}

/// Writes `text` to `path`, where nothing may be.
pub fn write_new(path: &Path, text: &str) -> Result<(), ExchangeError> {
    let folder = folder(path);
    std::fs::create_dir_all(folder).at("create directory", folder)?;
    create_with(path, text.as_bytes()).map_err(|error| match error.source.kind() {
        std::io::ErrorKind::AlreadyExists => ExchangeError::Exists { path: path.to_owned() },
        _ => error.into(),
    })
}

fn sync_all(folder: &Path) -> Result<(), FileError> {
    for entry in std::fs::read_dir(folder).at("read directory", folder)? {
        let path = entry.at("read directory", folder)?.path();
        if path.is_dir() { sync_all(&path)? } else { sync(&path)? }
    }
    sync(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_stays_and_what_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("a/out");
        let given_up = OutputDir::create(&place).unwrap();
        std::fs::write(given_up.path().join("file"), "half").unwrap();
        drop(given_up);
        assert_eq!(std::fs::read_dir(dir.path().join("a")).unwrap().count(), 0);
        let done = OutputDir::create(&place).unwrap();
        std::fs::write(done.path().join("file"), "whole").unwrap();
        done.finish().unwrap();
        assert_eq!(std::fs::read_to_string(place.join("file")).unwrap(), "whole");
        assert!(OutputDir::create(&place).is_err());
        write_new(&place.join("new"), "x").unwrap();
        let error = write_new(&place.join("file"), "other").unwrap_err();
        assert!(error.to_string().contains("exists already"), "{error}");
        assert_eq!(std::fs::read_to_string(place.join("file")).unwrap(), "whole");
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 2);
    }
}
