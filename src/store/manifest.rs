//! `manifest.json`: what an artifact is, what it was made from, what it holds.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Identity, Input, Key, StoreError};
use crate::error::{FileError, IoContext};

pub(super) const FILE_NAME: &str = "manifest.json";

/// One output file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Relative to the artifact's directory, with `/`.
    pub path: String,
    /// Size in bytes.
    pub bytes: u64,
    /// blake3 of the content.
    pub blake3: String,
    /// Rows, of a Parquet file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
}

/// The manifest of one artifact. `seconds` and `tool_version` are told to people; neither is in the key nor in any
/// output's bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The artifact's key.
    pub key: Key,
    /// The stage that made it.
    pub stage: String,
    /// That stage's version.
    pub stage_version: u32,
    /// Its place in a study.
    pub label: String,
    /// Parameters, as they are in the key.
    pub parameters: Value,
    /// Inputs by name.
    pub inputs: BTreeMap<String, Input>,
    /// blake3 over the paths and hashes of all files: what later stages put in their keys.
    pub digest: String,
    /// Every file but this one, sorted by path.
    pub files: Vec<FileEntry>,
    /// Counts that the stage reports.
    pub statistics: Value,
    /// The version of Trestle that made it.
    pub tool_version: String,
    /// How long the stage took.
    pub seconds: f64,
}

impl Manifest {
    pub(super) fn new(identity: &Identity, key: Key, files: Vec<FileEntry>, statistics: Value, seconds: f64) -> Self {
        let listing: String = files.iter().map(|file| format!("{}\0{}\n", file.path, file.blake3)).collect();
        Self {
            key,
            stage: identity.stage.clone(),
            stage_version: identity.version,
            label: identity.label.clone(),
            parameters: identity.parameters.clone(),
            inputs: identity.inputs.clone(),
            digest: super::digest_bytes(listing.as_bytes()),
            files,
            statistics,
            tool_version: env!("TRESTLE_VERSION").to_owned(),
            seconds,
        }
    }

    /// Reads the manifest of the artifact in `dir`; none if there is no artifact.
    pub(super) fn read(dir: &Path) -> Result<Option<Self>, StoreError> {
        let path = dir.join(FILE_NAME);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(FileError::new("read", &path, source).into()),
        };
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| StoreError::Manifest { path: path.clone(), message: e.to_string() })
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), StoreError> {
        let path = dir.join(FILE_NAME);
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| StoreError::Manifest { path: path.clone(), message: e.to_string() })?;
        std::fs::write(&path, text + "\n").at("write", &path)?;
        super::transaction::sync(&path)?;
        Ok(())
    }
}
