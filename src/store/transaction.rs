//! One artifact on its way into the store.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::lease::{Held, Token};
use super::{Artifact, FileEntry, Identity, Key, Manifest, Scratch, Store, StoreError, digest_file, manifest};
use crate::error::{FileError, IoContext};

/// What [`Store::begin`] found.
pub enum Begin {
    /// The artifact is there: another process made it meanwhile.
    Done(Box<Artifact>),
    /// It is ours to make.
    Open(Box<Transaction>),
    /// Another process makes it; where it is known, which one.
    Busy(Option<Token>),
}

/// A committed artifact, and by whom.
#[derive(Debug)]
pub enum Committed {
    /// What the transaction wrote.
    Ours(Artifact),
    /// Another process committed it first, and that stays; what the transaction wrote is gone.
    Theirs(Artifact),
}

impl Committed {
    /// The artifact, whoever made it.
    pub fn artifact(self) -> Artifact {
        match self {
            Committed::Ours(artifact) | Committed::Theirs(artifact) => artifact,
        }
    }
}

/// Work on one key under a lease. Dropped without [`Transaction::commit`], its outputs vanish and its scratch directory
/// stays, so that the next try can go on from a checkpoint.
pub struct Transaction {
    identity: Identity,
    key: Key,
    /// Its own: no other process, nor another try of this one, writes there.
    dir: PathBuf,
    scratch: Scratch,
    destination: PathBuf,
    started: Instant,
    lease: Option<Held>,
}

/// A file that tells the directory of a transaction from one of its name that was made anew after it was swept away, in which
/// what was written before is missing.
const MARK: &str = ".transaction";

/// How long a directory that lacks a manifest is looked at before it counts as broken: another process's commit may be seen
/// in parts.
const SEEN_WHOLE: Duration = Duration::from_secs(5);

impl Transaction {
    pub(super) fn open(store: &Store, identity: Identity, key: Key, lease: Held) -> Result<Self, StoreError> {
        let name = format!("{}-{key}", identity.stage);
        let temporary = store.temporary_dir();
        if let Some(dead) = lease.mark_of_dead() {
            remove_dir(&temporary.join(format!("{name}~{dead}")))?;
        }
        let dir = temporary.join(format!("{name}~{}", lease.mark()));
        std::fs::create_dir_all(&dir).at("create directory", &dir)?;
        std::fs::write(dir.join(MARK), "").at("write", dir.join(MARK))?;
        let scratch =
            Scratch::open(&store.scratch_dir(&identity.stage, &key), lease.generation(), lease.follows_ended())?;
        let destination = store.artifact_dir(&identity.stage, &key);
        Ok(Self { identity, key, dir, scratch, destination, started: Instant::now(), lease: Some(lease) })
    }

    /// The artifact's key.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// Where the outputs are to be written.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Directories that outlive a crash, for checkpoints.
    pub fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Makes everything in [`Transaction::dir`] durable and visible at once, with `statistics` in the manifest; unless the
    /// artifact was committed by another process meanwhile, which then stays.
    pub fn commit(mut self, statistics: Value) -> Result<Committed, StoreError> {
        let committed = match self.publish(statistics) {
            Ok(committed) => committed,
            // A process that slept through its lease may find its outputs swept away and the artifact there.
            Err(error) => match Manifest::read(&self.destination) {
                Ok(Some(manifest)) => Committed::Theirs(Artifact { dir: self.destination.clone(), manifest }),
                _ => return Err(error),
            },
        };
        if let Some(lease) = self.lease.take() {
            let (Committed::Ours(artifact) | Committed::Theirs(artifact)) = &committed;
            lease.done(&artifact.manifest.digest);
        }
        self.scratch.remove()?;
        Ok(committed)
    }

    fn publish(&self, statistics: Value) -> Result<Committed, StoreError> {
        let mark = self.dir.join(MARK);
        std::fs::remove_file(&mark).at("remove", &mark)?;
        let mut files = Vec::new();
        self.collect(&self.dir, &mut files)?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let seconds = (self.started.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        let manifest = Manifest::new(&self.identity, self.key.clone(), files, statistics, seconds);
        manifest.write(&self.dir)?;
        sync(&self.dir)?;
        let ours = std::fs::read(self.dir.join(manifest::FILE_NAME)).at("read", &self.dir)?;
        let stage_dir = self.destination.parent().unwrap_or(&self.dir).to_owned();
        std::fs::create_dir_all(&stage_dir).at("create directory", &stage_dir)?;
        let lease = self.lease.as_ref().expect("a transaction gives its lease up when it ends");
        let there = lease.commit(&self.dir, &self.destination, manifest::FILE_NAME).at("commit", &self.destination)?;
        sync(&stage_dir)?;
        let dir = self.destination.clone();
        if there == ours {
            return Ok(Committed::Ours(Artifact { dir, manifest }));
        }
        let manifest = Manifest::read(&dir)?.ok_or_else(|| StoreError::InTheWay { path: dir.clone() })?;
        Ok(Committed::Theirs(Artifact { dir, manifest }))
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
        // Best effort, and before the lease is given up: what stays is swept by `gc`. After a commit nothing is there.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Fails where something stands in `destination` that is no artifact: it can't be replaced, since that could remove what
/// another process commits.
pub(super) fn check_free(destination: &Path) -> Result<(), StoreError> {
    let asked = Instant::now();
    while std::fs::read_dir(destination).is_ok_and(|mut entries| entries.next().is_some()) {
        if Manifest::read(destination)?.is_some() {
            return Ok(());
        }
        if asked.elapsed() >= SEEN_WHOLE {
            return Err(StoreError::InTheWay { path: destination.to_owned() });
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Removes the directory of a transaction whose process seems dead: at one stroke, so that it can't commit half of it if it
/// lives on.
pub(super) fn sweep(path: &Path) -> Result<(), FileError> {
    let gone = path.with_extension("gone");
    match std::fs::rename(path, &gone) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
        renamed => {
            renamed.at("rename", path)?;
            remove_dir(&gone)
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
