//! Original distributions below a data directory: a path of a task file is a file there, the same file compressed by gzip,
//! or a file in an archive that stands for a leading folder of the path.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::archive::{Archives, ENDINGS};
use super::pattern::{files_below, matches};
use super::{SourceError, Stored};
use crate::error::FileError;

/// How the name of a file ends that has to be unpacked by other means.
const FOREIGN: [&str; 7] = [".bz2", ".tbz2", ".xz", ".txz", ".zst", ".7z", ".rar"];

/// A raw file that was found.
pub(super) struct Found {
    /// Its path below the data directory, as if it lay there unpacked.
    pub(super) name: String,
    /// Where it is: what messages say.
    pub(super) path: PathBuf,
    /// How it lies there.
    pub(super) stored: Stored,
}

/// Every file below `root` that matches `pattern`, by name. Archives are looked into only where there is no such file
/// outside them.
pub(super) fn find(root: &Path, pattern: &str, archives: &mut Archives) -> Result<Vec<Found>, SourceError> {
    let pattern = pattern.strip_suffix(".gz").unwrap_or(pattern);
    let mut found = outside(root, pattern)?;
    if found.is_empty() {
        for (folder, rest) in leading_folders(pattern) {
            for path in archives_for(root, folder)? {
                inside(root, &path, rest, archives, &mut found)?;
            }
        }
    }
    Ok(found.into_values().collect())
}

/// The files that match and lie below `root` themselves, plain or compressed by gzip.
fn outside(root: &Path, pattern: &str) -> Result<BTreeMap<String, Found>, FileError> {
    let mut found = BTreeMap::new();
    for pattern in [pattern, &format!("{pattern}.gz")] {
        for file in files_below(root, pattern)? {
            if is_archive(&file) {
                continue;
            }
            let (name, stored) = match file.strip_suffix(".gz") {
                Some(name) => (name, Stored::Gzip),
                None => (file.as_str(), Stored::Plain),
            };
            let path = root.join(&file);
            found.entry(name.to_owned()).or_insert_with(|| Found { name: name.to_owned(), path, stored });
        }
    }
    Ok(found)
}

fn is_archive(name: &str) -> bool {
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// `a/b/c`: `a` and `b/c`, then `a/b` and `c`.
fn leading_folders(pattern: &str) -> impl Iterator<Item = (&str, &str)> {
    pattern.match_indices('/').map(|(at, _)| (&pattern[..at], &pattern[at + 1..]))
}

/// The archives that stand for the folders that match `folder`.
fn archives_for(root: &Path, folder: &str) -> Result<Vec<String>, FileError> {
    let found = ENDINGS.iter().map(|ending| files_below(root, &format!("{folder}{ending}")));
    Ok(found.collect::<Result<Vec<_>, _>>()?.concat())
}

/// Adds those files of the archive at `path` (below `root`) that match `rest`.
fn inside(
    root: &Path,
    path: &str,
    rest: &str,
    archives: &mut Archives,
    found: &mut BTreeMap<String, Found>,
) -> Result<(), SourceError> {
    let archive = root.join(path);
    let folder = ENDINGS.iter().rev().find_map(|ending| path.strip_suffix(ending)).unwrap_or(path);
    for (member, whole, below) in archives.list(&archive)?.files() {
        if is_archive(whole) || whole.ends_with(".gz") {
            continue;
        }
        let Some(name) = [Some(whole), below].into_iter().flatten().find(|name| matches(rest, name)) else { continue };
        let name = format!("{folder}/{name}");
        let path = PathBuf::from(format!("{}!{whole}", archive.display()));
        let new = Found { name: name.clone(), path, stored: Stored::Member(member.clone()) };
        if let Some(other) = found.get(&name) {
            return Err(SourceError::Ambiguous { name, first: other.path.clone(), second: new.path });
        }
        found.insert(name, new);
    }
    Ok(())
}

/// Where nothing matches `pattern`: what is there that has to be unpacked first, and why.
pub(super) fn packed(
    root: &Path,
    pattern: &str,
    archives: &mut Archives,
) -> Result<Option<(PathBuf, &'static str)>, SourceError> {
    let pattern = pattern.strip_suffix(".gz").unwrap_or(pattern);
    let folders = leading_folders(pattern).map(|(folder, _)| folder);
    for path in folders.chain([pattern]) {
        for ending in FOREIGN {
            for middle in ["", ".tar"] {
                if let Some(file) = files_below(root, &format!("{path}{middle}{ending}"))?.first() {
                    return Ok(Some((root.join(file), "is compressed in a way that is not read here")));
                }
            }
        }
    }
    for (folder, rest) in leading_folders(pattern) {
        let nested: Vec<String> = leading_folders(rest)
            .flat_map(|(inner, _)| ENDINGS.iter().map(move |ending| format!("{inner}{ending}")))
            .chain([format!("{rest}.gz")])
            .collect();
        for path in archives_for(root, folder)? {
            let archive = root.join(path);
            let listing = archives.list(&archive)?;
            let mut names = listing.files().flat_map(|(_, whole, below)| [Some(whole), below]).flatten();
            if names.any(|name| nested.iter().any(|pattern| matches(pattern, name))) {
                return Ok(Some((archive, "holds what is asked for in files that are packed themselves")));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
