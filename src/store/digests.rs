//! Digests of files outside the store (weights, tokenizers), so that a plan does not read gigabytes each time.
//!
//! `<root>/digests.json` holds, for each canonical path, size, time of change and inode, and the digest that the file had then. It is
//! written whole or not at all, the last writer wins, and whoever can't read it does without: it saves time, nothing else.
//! A file that was changed so that all three stayed is only found by those who hash again ([`Digests::verifying`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::{Problem, Store, StoreError, digest_file};
use crate::error::IoContext;
use crate::fs::replace_with;

const FILE_NAME: &str = "digests.json";
const VERSION: u32 = 1;

/// File systems count time in steps of up to two seconds: a file that was changed a moment ago may change again and keep its time.
const SETTLED: Duration = Duration::from_secs(3);

/// What tells whether a file is still the one that was hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    bytes: u64,
    /// Nanoseconds since 1970.
    modified: u64,
    inode: u64,
}

impl Stamp {
    /// None where the system does not say when the file was changed.
    fn of(metadata: &Metadata) -> Option<Self> {
        let since = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        Some(Self { bytes: metadata.len(), modified: u64::try_from(since.as_nanos()).ok()?, inode: inode(metadata) })
    }

    fn is_settled(&self) -> bool {
        let changed = UNIX_EPOCH + Duration::from_nanos(self.modified);
        SystemTime::now().duration_since(changed).is_ok_and(|age| age > SETTLED)
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_metadata: &Metadata) -> u64 {
    0
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    stamp: Stamp,
    blake3: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    version: u32,
    files: BTreeMap<PathBuf, Entry>,
}

/// The digests of files outside a store.
#[derive(Debug)]
pub struct Digests {
    root: PathBuf,
    verify: bool,
    known: Mutex<Option<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    files: BTreeMap<PathBuf, Entry>,
    /// Hashed by this process.
    hashed: BTreeSet<PathBuf>,
}

impl Digests {
    /// Those that `store` keeps. Nothing is read before the first question.
    pub fn of(store: &Store) -> Self {
        Self { root: store.root().to_owned(), verify: false, known: Mutex::new(None) }
    }

    /// Hashes every file that is asked for once more, and refuses one that differs though its size and time do not.
    pub fn verifying(self) -> Self {
        Self { verify: true, ..self }
    }

    /// blake3 of the content of the file at `path`, in hexadecimal.
    ///
    /// # Errors
    /// A file that can't be read; [`StoreError::Altered`] where digests are verified.
    pub fn file(&self, path: &Path) -> Result<String, StoreError> {
        let canonical = std::fs::canonicalize(path).at("open", path)?;
        let stamp = Stamp::of(&std::fs::metadata(&canonical).at("read", path)?);
        // Held while hashing: of two who need the same file one reads it.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.get_or_insert_with(|| Known { files: self.read(), hashed: BTreeSet::new() });
        let kept = known.files.get(&canonical).filter(|entry| Some(&entry.stamp) == stamp.as_ref());
        if let Some(entry) = kept.filter(|_| !self.verify || known.hashed.contains(&canonical)) {
            return Ok(entry.blake3.clone());
        }
        let blake3 = digest_file(&canonical)?;
        if kept.is_some_and(|entry| entry.blake3 != blake3) {
            return Err(StoreError::Altered { path: canonical });
        }
        // Another stamp by now: the file is being written, and the digest is of neither state.
        let after = std::fs::metadata(&canonical).ok().and_then(|metadata| Stamp::of(&metadata));
        if let Some(stamp) = stamp.filter(|stamp| after.as_ref() == Some(stamp) && stamp.is_settled()) {
            known.hashed.insert(canonical.clone());
            if kept.is_none() {
                known.files.insert(canonical, Entry { stamp, blake3: blake3.clone() });
                // Without the cache the next process hashes again, that is all.
                let _ = self.write(&known.files);
            }
        }
        Ok(blake3)
    }

    /// Hashes every known file that is still there as it was, by its size and time. Returns how many these are and which differ.
    ///
    /// # Errors
    /// None: a file that can't be read is a problem like others.
    pub fn verify(&self) -> (usize, Vec<Problem>) {
        let files = self.read();
        let unchanged = files.iter().filter(|(path, entry)| {
            std::fs::metadata(path).ok().and_then(|metadata| Stamp::of(&metadata)).as_ref() == Some(&entry.stamp)
        });
        let checked: Vec<Option<Problem>> = unchanged
            .map(|(path, entry)| {
                let message = match digest_file(path) {
                    Ok(digest) if digest == entry.blake3 => return None,
                    Ok(_) => StoreError::Altered { path: path.clone() }.to_string(),
                    Err(e) => e.to_string(),
                };
                Some(Problem { path: path.clone(), message })
            })
            .collect();
        (checked.len(), checked.into_iter().flatten().collect())
    }

    /// What the file holds; nothing where it is none of ours.
    fn read(&self) -> BTreeMap<PathBuf, Entry> {
        let text = std::fs::read(self.root.join(FILE_NAME)).unwrap_or_default();
        let file: Option<File> = serde_json::from_slice(&text).ok();
        file.filter(|file| file.version == VERSION).map(|file| file.files).unwrap_or_default()
    }

    /// Adds `files` to what others have written meanwhile. A store that is not there yet is not made for this.
    fn write(&self, files: &BTreeMap<PathBuf, Entry>) -> Result<(), StoreError> {
        if !self.root.is_dir() {
            return Ok(());
        }
        let path = self.root.join(FILE_NAME);
        let mut all = self.read();
        all.extend(files.clone());
        let text = serde_json::to_vec_pretty(&File { version: VERSION, files: all })
            .map_err(|e| StoreError::Manifest { path: path.clone(), message: e.to_string() })?;
        Ok(replace_with(&path, &text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A store, and a file outside it that was last changed long ago.
    fn house(text: &str) -> (tempfile::TempDir, Store, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("home");
        std::fs::create_dir(&home).unwrap();
        let file = dir.path().join("weights");
        write(&file, text, 1_000);
        (dir, Store::new(&home), file)
    }

    /// Writes without making another file, and sets the time.
    fn write(file: &Path, text: &str, second: u64) {
        std::fs::write(file, text).unwrap();
        let handle = std::fs::File::options().append(true).open(file).unwrap();
        handle.set_modified(UNIX_EPOCH + Duration::from_secs(second)).unwrap();
    }

    fn blake3(text: &str) -> String {
        blake3::hash(text.as_bytes()).to_hex().to_string()
    }

    #[test]
    fn a_digest_is_kept_until_size_or_time_change() {
        let (_dir, store, file) = house("one");
        assert_eq!(Digests::of(&store).file(&file).unwrap(), blake3("one"));
        // Kept: nobody read the file again.
        write(&file, "two", 1_000);
        assert_eq!(Digests::of(&store).file(&file).unwrap(), blake3("one"));
        write(&file, "two", 2_000);
        assert_eq!(Digests::of(&store).file(&file).unwrap(), blake3("two"));
        write(&file, "three", 2_000);
        assert_eq!(Digests::of(&store).file(&file).unwrap(), blake3("three"));
        assert!(Digests::of(&store).file(&file.with_file_name("absent")).is_err());
    }

    #[test]
    fn a_file_changed_behind_its_time_is_refused_by_those_who_verify() {
        let (_dir, store, file) = house("one");
        Digests::of(&store).file(&file).unwrap();
        assert_eq!(Digests::of(&store).verifying().file(&file).unwrap(), blake3("one"));
        assert!(matches!(Digests::of(&store).verify(), (1, problems) if problems.is_empty()));
        write(&file, "two", 1_000);
        let error = Digests::of(&store).verifying().file(&file).unwrap_err();
        assert!(matches!(error, StoreError::Altered { .. }) && error.to_string().contains("weights"), "{error}");
        let (files, problems) = Digests::of(&store).verify();
        assert_eq!((files, problems.len()), (1, 1));
        // What its time tells is no fault.
        write(&file, "two", 3_000);
        assert_eq!(Digests::of(&store).verify(), (0, vec![]));
        assert_eq!(Digests::of(&store).verifying().file(&file).unwrap(), blake3("two"));
    }

    #[test]
    fn a_file_that_may_still_change_within_its_time_is_not_kept() {
        let (_dir, store, file) = house("one");
        std::fs::write(&file, "now").unwrap();
        assert_eq!(Digests::of(&store).file(&file).unwrap(), blake3("now"));
        assert!(!store.root().join(FILE_NAME).exists());
    }

    #[test]
    fn a_broken_cache_is_made_anew_and_a_store_is_not_made_for_it() {
        let (_dir, store, file) = house("one");
        for broken in ["", "{", "{\"version\": 7, \"files\": {}}", "[1]"] {
            std::fs::write(store.root().join(FILE_NAME), broken).unwrap();
            assert_eq!(Digests::of(&store).file(&file).unwrap(), blake3("one"));
            assert_eq!(Digests::of(&store).read().len(), 1, "{broken}");
        }
        let nowhere = Store::new(&store.root().join("absent"));
        assert_eq!(Digests::of(&nowhere).file(&file).unwrap(), blake3("one"));
        assert!(!nowhere.root().exists());
    }

    #[test]
    fn what_another_process_added_stays() {
        let (dir, store, file) = house("one");
        let (first, second) = (Digests::of(&store), Digests::of(&store));
        let other = dir.path().join("tokenizer");
        write(&other, "other", 1_000);
        // Both have read the empty cache before either writes.
        first.known.lock().unwrap().get_or_insert_default();
        second.known.lock().unwrap().get_or_insert_default();
        first.file(&file).unwrap();
        second.file(&other).unwrap();
        assert_eq!(Digests::of(&store).read().len(), 2);
    }
}
