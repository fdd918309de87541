//! Looking after a store: verification of every byte, and removal of what crashed processes left.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use rayon::prelude::*;
use serde::Serialize;

use super::transaction::{remove_dir, sweep};
use super::{Claimed, Store, StoreError, Token, digest_file, lease, subdirectories};
use crate::error::IoContext;
use crate::source::hub;

/// A file that is not what its manifest says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub message: String,
}

/// A directory that no artifact needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Garbage {
    /// The directory.
    pub path: PathBuf,
    /// Bytes in it.
    pub bytes: u64,
}

/// What [`Store::find_garbage`] found, or [`Store::collect_garbage`] did.
#[derive(Debug, Default)]
pub struct Swept {
    /// What nobody owns, and is gone after a collection.
    pub garbage: Vec<Garbage>,
    /// Records of work that is over, removed.
    pub leases: usize,
    /// Other processes that live; with any, leases stay.
    pub living: usize,
}

impl Store {
    /// Hashes every file of every artifact and compares with the manifests. Returns the number of files and what is
    /// wrong with any.
    pub fn verify(&self) -> Result<(usize, Vec<Problem>), StoreError> {
        let artifacts = self.list()?;
        let files: Vec<_> = artifacts
            .iter()
            .flat_map(|artifact| artifact.manifest.files.iter().map(|file| (artifact.dir.join(&file.path), file)))
            .collect();
        let mut problems: Vec<Problem> = files
            .par_iter()
            .filter_map(|(path, file)| {
                let message = match digest_file(path) {
                    Ok(digest) if digest == file.blake3 => return None,
                    Ok(_) => "its content is not what the manifest says".to_owned(),
                    Err(e) => e.to_string(),
                };
                Some(Problem { path: path.clone(), message })
            })
            .collect();
        problems.sort_by(|a, b| a.path.cmp(&b.path));
        Ok((files.len(), problems))
    }

    /// Finds outputs, checkpoints and parts of downloads that no living process owns. With `keep_checkpoints` those stay that
    /// a cut-off training or transfer goes on from.
    ///
    /// Of processes on other machines that have not said goodbye, nothing is known without waiting: they count as living.
    pub fn find_garbage(&self, keep_checkpoints: bool) -> Result<Swept, StoreError> {
        let living = self.leases().may_live()?;
        let owned = self.owned(&living)?;
        let mut swept = Swept { living: living.len(), ..Swept::default() };
        for (path, lease) in self.leftovers(&living, keep_checkpoints)? {
            if lease.is_none_or(|name| !owned.contains(&name)) {
                swept.garbage.push(Garbage { bytes: size(&path)?, path });
            }
        }
        Ok(swept)
    }

    /// Removes what [`Store::find_garbage`] finds, and the leases that are over. Waits up to two minutes for a beat of
    /// processes on other machines that have not said goodbye; `waiting` is told of them. None once `stop` is set.
    pub fn collect_garbage(
        &self,
        keep_checkpoints: bool,
        stop: &AtomicBool,
        waiting: impl FnMut(&[Token]),
    ) -> Result<Option<Swept>, StoreError> {
        let Some(living) = self.leases().living(stop, waiting)? else { return Ok(None) };
        let mut swept = Swept { living: living.len(), ..Swept::default() };
        // First, so that none of them keeps what it was about.
        if living.is_empty() {
            swept.leases = self.leases().clear()?;
        }
        for (path, lease) in self.leftovers(&living, keep_checkpoints)? {
            // Under the lease, so that nobody begins with what goes.
            let lease = match lease.map(|name| self.leases().claim(&name)).transpose()? {
                Some(Claimed::Busy(_)) => continue,
                Some(Claimed::Mine(held)) => Some(held),
                None => None,
            };
            swept.garbage.push(Garbage { bytes: size(&path)?, path: path.clone() });
            sweep(&path)?;
            drop(lease);
        }
        // Locks of the operating system, by which versions before leases kept processes apart.
        remove_dir(&self.root.join("locks"))?;
        Ok(Some(swept))
    }

    /// The names of the leases that workers among `living` hold.
    fn owned(&self, living: &BTreeSet<String>) -> Result<BTreeSet<String>, StoreError> {
        let holders = self.leases().holders()?.into_iter();
        Ok(holders.filter(|(_, holder)| living.contains(&holder.id)).map(|(name, _)| name).collect())
    }

    /// What nobody may own, each with the lease of whoever does; outputs belong to one worker, and need none.
    fn leftovers(
        &self,
        living: &BTreeSet<String>,
        keep_checkpoints: bool,
    ) -> Result<Vec<(PathBuf, Option<String>)>, StoreError> {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut found: Vec<(PathBuf, Option<String>)> = Vec::new();
        for dir in subdirectories(&self.temporary_dir())? {
            if lease::marked_by(&name(&dir)).is_none_or(|worker| !living.contains(worker)) {
                found.push((dir, None));
            }
        }
        if !keep_checkpoints {
            for stage in subdirectories(&self.root.join("scratch"))? {
                for dir in subdirectories(&stage)? {
                    let lease = format!("{}-{}", name(&stage), name(&dir));
                    found.push((dir, Some(lease)));
                }
            }
            let partial = subdirectories(&self.raw_dir())?.into_iter().find(|dir| dir.ends_with(hub::PARTIAL));
            found.extend(partial.map(|dir| (dir, Some(hub::FETCHING.to_owned()))));
        }
        Ok(found)
    }
}

fn size(path: &std::path::Path) -> Result<u64, StoreError> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(path).at("read directory", path)? {
        let entry = entry.at("read directory", path)?.path();
        bytes += if entry.is_dir() { size(&entry)? } else { entry.metadata().at("read", &entry)?.len() };
    }
    Ok(bytes)
}
