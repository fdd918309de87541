//! Looking after a store: verification of every byte, and removal of what crashed processes left.

use std::path::PathBuf;

use rayon::prelude::*;
use serde::Serialize;

use super::transaction::remove_dir;
use super::{Store, StoreError, digest_file, lock_file, subdirectories};
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

    /// Finds outputs, checkpoints and parts of downloads that no running process owns; removes them unless `dry_run`. With
    /// `keep_checkpoints` those stay that a cut-off training or transfer goes on from.
    pub fn collect_garbage(&self, dry_run: bool, keep_checkpoints: bool) -> Result<Vec<Garbage>, StoreError> {
        let mut candidates: Vec<(PathBuf, PathBuf)> = Vec::new();
        for dir in subdirectories(&self.artifacts_dir().join(".tmp"))? {
            let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
            candidates.push((dir, self.lock_path(&name)));
        }
        if !keep_checkpoints {
            for stage in subdirectories(&self.root.join("scratch"))? {
                for dir in subdirectories(&stage)? {
                    let part = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    let name = format!("{}-{}", part(&stage), part(&dir));
                    candidates.push((dir, self.lock_path(&name)));
                }
            }
            let partial = subdirectories(&self.raw_dir())?.into_iter().find(|dir| dir.ends_with(hub::PARTIAL));
            candidates.extend(partial.map(|dir| (dir, self.raw_dir().join(hub::GUARD))));
        }
        let mut garbage = Vec::new();
        for (path, lock_path) in candidates {
            // Held until the directory is gone.
            let lock = lock_file(&lock_path)?;
            if lock.try_lock().is_err() {
                continue;
            }
            garbage.push(Garbage { bytes: size(&path)?, path: path.clone() });
            if !dry_run {
                remove_dir(&path)?;
            }
        }
        Ok(garbage)
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
