//! The lock file: which bytes each file on the hub had when it was first fetched. `pipeline/sources.lock` is under
//! version control, so that everybody who runs the pipeline reads the same bytes.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::SourceError;
use crate::error::IoContext;
use crate::fs::{folder, replace_with};

const HEAD: &str = "# Written by `trestle fetch`: the resolved revision and the digest of every file taken from the hub.\n\
                    # Checked ever after; not to be edited by hand.\n\n";

/// What kind of repository a file is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepoKind {
    /// A dataset.
    Dataset,
    /// A model.
    Model,
}

/// One file on the hub, pinned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockEntry {
    /// Dataset or model.
    pub kind: RepoKind,
    /// `owner/name`.
    pub repo: String,
    /// The branch, tag or commit that the task or model file asks for.
    pub revision: String,
    /// The path within the repository.
    pub path: String,
    /// The commit that the revision stood for.
    pub commit: String,
    /// sha256 of the bytes, in hexadecimal.
    pub sha256: String,
    /// The size.
    pub bytes: u64,
}

/// Every file that the lock file at `path` pins; none where there is no such file.
///
/// # Errors
/// [`SourceError::Lock`] where it is none of ours.
pub fn locked_files(path: &Path) -> Result<Vec<LockEntry>, SourceError> {
    Ok(Lock::load(path)?.entries)
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lock {
    version: u32,
    #[serde(default, rename = "file")]
    entries: Vec<LockEntry>,
}

impl Lock {
    const VERSION: u32 = 1;

    /// Reads the lock file; one that does not exist is empty.
    pub(super) fn load(path: &Path) -> Result<Self, SourceError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self { version: Self::VERSION, entries: Vec::new() });
            }
            Err(e) => return Err(crate::error::FileError::new("read", path, e).into()),
        };
        let wrong = |message: String| SourceError::Lock { lock: path.to_owned(), message };
        let lock: Lock = toml::from_str(&text).map_err(|e| wrong(e.to_string().trim().to_owned()))?;
        if lock.version != Self::VERSION {
            return Err(wrong(format!(
                "its version is {}, this Trestle reads version {}",
                lock.version,
                Self::VERSION
            )));
        }
        let digest =
            |entry: &LockEntry| entry.sha256.len() == 64 && entry.sha256.bytes().all(|b| b.is_ascii_hexdigit());
        match lock.entries.iter().find(|entry| !digest(entry)) {
            Some(entry) => {
                Err(wrong(format!("the sha256 of {}/{} is not 64 hexadecimal digits", entry.repo, entry.path)))
            }
            None => Ok(lock),
        }
    }

    /// Writes the lock file: whole, or not at all.
    pub(super) fn save(&self, path: &Path) -> Result<(), SourceError> {
        let folder = folder(path);
        std::fs::create_dir_all(folder).at("create directory", folder)?;
        let body = toml::to_string(self).expect("a lock of strings and numbers is TOML");
        Ok(replace_with(path, format!("{HEAD}{body}").as_bytes())?)
    }

    /// The entries of one repository at one revision.
    pub(super) fn of<'a>(
        &'a self,
        kind: RepoKind,
        repo: &'a str,
        revision: &'a str,
    ) -> impl Iterator<Item = &'a LockEntry> {
        self.entries.iter().filter(move |e| e.kind == kind && e.repo == repo && e.revision == revision)
    }

    /// Adds an entry, keeping the order by repository, revision and path.
    pub(super) fn add(&mut self, entry: LockEntry) {
        let at = self.entries.partition_point(|other| *other < entry);
        self.entries.insert(at, entry);
    }
}
