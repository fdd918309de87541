//! Which hashes of a table's rows are different, exactly and in bounded memory. What memory does not hold goes to a
//! temporary file in sorted runs, which are merged at the end.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{FileError, IoContext};

/// Hashes in memory at most.
const RECENT: usize = 1 << 16;

/// Bytes of an entry in a run: hash and row.
const ENTRY: usize = 24;

/// Entries of each run in memory while runs are merged.
const BUFFERED: usize = 512;

/// What a row is known by: of ids half of their blake3, so that two with the same 128 bits are the same id.
pub(crate) type Hash = u128;

/// The hashes of a table so far, each with the row that it comes from.
pub(crate) struct Seen {
    /// Where temporary files may be.
    directory: PathBuf,
    limit: usize,
    recent: HashMap<Hash, i64>,
    runs: Option<Runs>,
}

/// Sorted runs of entries, one after the other in a file without a name.
struct Runs {
    file: File,
    lengths: Vec<usize>,
}

/// A hash that two rows have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Twice {
    /// The hash.
    pub hash: Hash,
    /// The later row.
    pub row: i64,
}

/// The hash by which `id` is known.
pub(crate) fn hash(id: &str) -> Hash {
    let hash = blake3::hash(id.as_bytes());
    let (half, _) = hash.as_bytes().split_at(16);
    Hash::from_le_bytes(half.try_into().expect("it is 16 bytes long"))
}

impl Seen {
    /// No hashes yet; those that memory does not hold will go below `directory`.
    pub(crate) fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), limit: RECENT, recent: HashMap::new(), runs: None }
    }

    /// Adds the hash of row `row`; false if a recent row has it too. Rows longer ago are told by [`Self::twice`].
    pub(crate) fn insert(&mut self, hash: Hash, row: i64) -> Result<bool, FileError> {
        if self.recent.len() >= self.limit {
            self.spill()?;
        }
        Ok(self.recent.insert(hash, row).is_none())
    }

    /// A hash that two rows have, if [`Self::insert`] did not tell of it.
    pub(crate) fn twice(mut self) -> Result<Option<Twice>, FileError> {
        let (mut last, mut twice) = (None, None);
        self.merge(|hash, row| {
            if last == Some(hash) {
                twice = Some(Twice { hash, row });
            }
            last = Some(hash);
            twice.is_none()
        })?;
        Ok(twice)
    }

    /// How many different hashes were added.
    pub(crate) fn count(mut self) -> Result<u64, FileError> {
        if self.runs.is_none() {
            return Ok(self.recent.len() as u64);
        }
        let (mut last, mut count) = (None, 0);
        self.merge(|hash, _| {
            count += u64::from(last != Some(hash));
            last = Some(hash);
            true
        })?;
        Ok(count)
    }

    /// Gives the entries of all runs in order, as long as `next` returns true. None, if memory holds everything.
    fn merge(&mut self, next: impl FnMut(Hash, i64) -> bool) -> Result<(), FileError> {
        if self.runs.is_some() {
            self.spill()?;
        }
        self.runs.take().map_or(Ok(()), |runs| runs.merge(next)).at("read a temporary file in", &self.directory)
    }

    /// Makes a run of the entries in memory.
    fn spill(&mut self) -> Result<(), FileError> {
        let mut entries: Vec<(Hash, i64)> = self.recent.drain().collect();
        entries.sort_unstable();
        let runs = match &mut self.runs {
            Some(runs) => runs,
            None => {
                let file = tempfile::tempfile_in(&self.directory).at("create a temporary file in", &self.directory)?;
                self.runs.insert(Runs { file, lengths: Vec::new() })
            }
        };
        runs.push(&entries).at("write a temporary file in", &self.directory)
    }
}

impl Runs {
    fn push(&mut self, entries: &[(Hash, i64)]) -> std::io::Result<()> {
        let mut output = BufWriter::new(&self.file);
        for (hash, row) in entries {
            output.write_all(&hash.to_le_bytes())?;
            output.write_all(&row.to_le_bytes())?;
        }
        output.flush()?;
        self.lengths.push(entries.len());
        Ok(())
    }

    /// Gives the entries of all runs in order, as long as `next` returns true.
    fn merge(mut self, mut next: impl FnMut(Hash, i64) -> bool) -> std::io::Result<()> {
        let mut begin = 0;
        let mut runs: Vec<Run> = Vec::with_capacity(self.lengths.len());
        for &entries in &self.lengths {
            runs.push(Run { begin, left: entries, buffer: Vec::new() });
            begin += (entries * ENTRY) as u64;
        }
        let mut least = BinaryHeap::with_capacity(runs.len());
        for (number, run) in runs.iter_mut().enumerate() {
            least.extend(run.next(&mut self.file)?.map(|entry| Reverse((entry, number))));
        }
        while let Some(Reverse(((hash, row), number))) = least.pop() {
            if !next(hash, row) {
                break;
            }
            least.extend(runs[number].next(&mut self.file)?.map(|entry| Reverse((entry, number))));
        }
        Ok(())
    }
}

/// What is left of a run.
struct Run {
    /// The byte at which entries that are not in the buffer begin.
    begin: u64,
    /// How many of those there are.
    left: usize,
    /// The entries before them, the next one last.
    buffer: Vec<(Hash, i64)>,
}

impl Run {
    fn next(&mut self, file: &mut File) -> std::io::Result<Option<(Hash, i64)>> {
        if self.buffer.is_empty() && self.left > 0 {
            let entries = self.left.min(BUFFERED);
            let mut bytes = vec![0; entries * ENTRY];
            file.seek(SeekFrom::Start(self.begin))?;
            file.read_exact(&mut bytes)?;
            self.begin += bytes.len() as u64;
            self.left -= entries;
            self.buffer.extend(bytes.chunks_exact(ENTRY).rev().map(|entry| {
                let (hash, row) = entry.split_at(16);
                let hash = Hash::from_le_bytes(hash.try_into().expect("it is 16 bytes long"));
                (hash, i64::from_le_bytes(row.try_into().expect("it is 8 bytes long")))
            }));
        }
        Ok(self.buffer.pop())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn an_id_is_found_twice_exactly_where_it_stands_twice(
            ids in prop::collection::vec(0u32..4_000, 0..200),
            limit in 1usize..40,
        ) {
            let directory = tempfile::tempdir().unwrap();
            let mut seen = Seen { limit, ..Seen::new(directory.path()) };
            let (mut known, mut first) = (HashSet::new(), None);
            let mut found_at_once = None;
            for (row, id) in (0..).zip(&ids) {
                if !known.insert(id) {
                    first = first.or(Some(row));
                }
                if !seen.insert(hash(&id.to_string()), row).unwrap() {
                    found_at_once = Some(row);
                    break;
                }
            }
            match (found_at_once, first) {
                (Some(row), Some(first)) => prop_assert!(first <= row),
                (Some(_), None) => prop_assert!(false, "an id was taken for another"),
                (None, first) => {
                    let twice = seen.twice().unwrap();
                    prop_assert_eq!(twice.is_some(), first.is_some());
                    if let Some(Twice { hash: found, row }) = twice {
                        let id = ids[row as usize];
                        prop_assert_eq!(found, hash(&id.to_string()));
                        prop_assert!(ids[..row as usize].contains(&id));
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn different_hashes_are_counted(hashes in prop::collection::vec(0u128..60, 0..200), limit in 1usize..40) {
            let directory = tempfile::tempdir().unwrap();
            let mut seen = Seen { limit, ..Seen::new(directory.path()) };
            for (row, hash) in (0..).zip(&hashes) {
                seen.insert(*hash, row).unwrap();
            }
            prop_assert_eq!(seen.count().unwrap(), hashes.iter().collect::<HashSet<_>>().len() as u64);
        }
    }

    #[test]
    fn runs_longer_than_a_buffer_are_merged() {
        let directory = tempfile::tempdir().unwrap();
        let fill = |again: Option<i64>| {
            let mut seen = Seen { limit: 3 * BUFFERED, ..Seen::new(directory.path()) };
            for row in 0..10 * BUFFERED as i64 {
                assert!(seen.insert(hash(&row.to_string()), row).unwrap());
            }
            if let Some(id) = again {
                assert!(seen.insert(hash(&id.to_string()), -1).unwrap());
            }
            seen.twice().unwrap()
        };
        assert_eq!(fill(None), None);
        assert_eq!(fill(Some(77)), Some(Twice { hash: hash("77"), row: 77 }));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
