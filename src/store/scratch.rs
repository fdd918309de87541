//! Room for what a cut-off stage goes on from.

use std::path::{Path, PathBuf};

use super::subdirectories;
use super::transaction::remove_dir;
use crate::error::{FileError, IoContext};

/// The directories of one key for checkpoints: one's own to write, and those of earlier tries to go on from. They outlive a
/// crash and go with the commit. A try writes to its own alone, since the one before it may only have seemed dead.
#[derive(Debug, Clone)]
pub struct Scratch {
    own: PathBuf,
    earlier: Vec<PathBuf>,
}

impl Scratch {
    /// A directory that no other try has to do with.
    pub fn alone(own: &Path) -> Self {
        Self { own: own.to_owned(), earlier: Vec::new() }
    }

    /// That of try `generation` of the key whose directories lie in `folder`. Where the try before it is certain to have
    /// ended, its directory becomes this one's.
    pub(super) fn open(folder: &Path, generation: u64, ended: bool) -> Result<Self, FileError> {
        let own = folder.join(generation.to_string());
        let before = folder.join((generation - 1).to_string());
        if ended && before.is_dir() && !own.exists() {
            std::fs::rename(&before, &own).at("rename", &before)?;
        }
        let mut earlier = subdirectories(folder)?;
        earlier.retain(|path| *path != own);
        Ok(Self { own, earlier })
    }

    /// To be written to, by its owner alone; made when first used.
    pub fn own(&self) -> &Path {
        &self.own
    }

    /// To be read: one's own, and those that earlier tries have left.
    pub fn all(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(self.own.as_path()).chain(self.earlier.iter().map(PathBuf::as_path))
    }

    /// Removes them all: the work is done.
    pub(super) fn remove(&self) -> Result<(), FileError> {
        self.all().try_for_each(remove_dir)?;
        // The folder of the key, unless a try that seemed dead has written there again.
        if let Some(folder) = self.own.parent() {
            let _ = std::fs::remove_dir(folder);
        }
        Ok(())
    }
}
