//! One artifact on its way into the store.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;

use super::{Artifact, FileEntry, Identity, Key, Manifest, Store, StoreError, digest_file};
use crate::error::{FileError, IoContext};

/// What [`Store::begin`] found.
pub enum Begin {
    /// The artifact is there: another process made it meanwhile.
    Done(Box<Artifact>),
    /// It is ours to make.
    Open(Box<Transaction>),
}

/// Exclusive work on one key. Dropped without [`Transaction::commit`], its outputs vanish and its scratch directory
/// stays, so that the next try can go on from a checkpoint.
pub struct Transaction {
    identity: Identity,
    key: Key,
    dir: PathBuf,
    scratch: PathBuf,
    destination: PathBuf,
    started: Instant,
    committed: bool,
    // Released by the operating system with the process, however it ends.
    _lock: File,
}

impl Transaction {
    pub(super) fn open(store: &Store, identity: Identity, key: Key, lock: File) -> Result<Self, StoreError> {
        // The lock makes the name ours: whatever stands there is a dead process's.
        let dir = store.artifacts_dir().join(".tmp").join(format!("{}-{key}", identity.stage));
        remove_dir(&dir)?;
        std::fs::create_dir_all(&dir).at("create directory", &dir)?;
        let scratch = store.scratch_dir(&identity.stage, &key);
        let destination = store.artifact_dir(&identity.stage, &key);
        Ok(Self { identity, key, dir, scratch, destination, started: Instant::now(), committed: false, _lock: lock })
    }

    /// The artifact's key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Where the outputs are to be written.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A directory that outlives a crash, for checkpoints; created when first used by its owner.
    pub fn scratch(&self) -> &Path {
        &self.scratch
    }

    /// Makes everything in [`Transaction::dir`] durable and visible at once, with `statistics` in the manifest.
    pub fn commit(mut self, statistics: Value) -> Result<Artifact, StoreError> {
        let mut files = Vec::new();
        self.collect(&self.dir, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let seconds = (self.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        let manifest = Manifest::new(&self.identity, self.key.clone(), files, statistics, seconds);
        manifest.write(&self.dir)?;
        sync(&self.dir)?;
        let stage_dir = self.destination.parent().unwrap_or(&self.dir).to_owned();
        std::fs::create_dir_all(&stage_dir).at("create directory", &stage_dir)?;
        // A directory without a manifest is no artifact; it can only stand in the way.
        remove_dir(&self.destination)?;
        std::fs::rename(&self.dir, &self.destination).at("rename", &self.destination)?;
        sync(&stage_dir)?;
        self.committed = true;
        remove_dir(&self.scratch)?;
        Ok(Artifact { dir: self.destination.clone(), manifest })
    }

    /// Hashes and syncs every file below `folder`.
    fn collect(&self, folder: &Path, files: &mut Vec<FileEntry>) -> Result<(), StoreError> {
        for entry in std::fs::read_dir(folder).at("read directory", folder)? {
            let path = entry.at("read directory", folder)?.path();
            if path.is_dir() {
                self.collect(&path, files)?;
                sync(&path)?;
                continue;
            }
            sync(&path)?;
            let relative = path.strip_prefix(&self.dir).unwrap_or(&path);
            let parts: Vec<_> = relative.components().map(|part| part.as_os_str().to_string_lossy()).collect();
            let rows = match path.extension().is_some_and(|e| e == "parquet") {
                true => Some(crate::shard::read_batches(&path)?.rows() as u64),
                false => None,
            };
            files.push(FileEntry {
                path: parts.join("/"),
                bytes: path.metadata().at("read", &path)?.len(),
                blake3: digest_file(&path)?,
                rows,
            });
        }
        Ok(())
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if !self.committed {
            // Best effort: what stays is swept by the next transaction on this key, or by `gc`.
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

/// Removes a directory and all in it, if it is there.
pub(super) fn remove_dir(path: &Path) -> Result<(), FileError> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(FileError::new("remove", path, e)),
        _ => Ok(()),
    }
}

/// Makes a file's or directory's content durable.
pub(super) fn sync(path: &Path) -> Result<(), FileError> {
    let file = File::open(path).at("open", path)?;
    file.sync_all().at("sync", path)
}
