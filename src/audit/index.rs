//! The evaluation side of an overlap: the texts of its tables, and the hashes by which they are found in others.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rayon::prelude::*;

use super::fold::{ByHash, Folder, grams};
use super::overlap::GRAM;
use super::texts::{EXAMPLE, TextColumn, fold_rows, has_example, text_columns};
use super::{AuditError, AuditTable};
use crate::error::Error;
use crate::progress::check;
use crate::shard::{Batches, read_batches};
use crate::task::Format;

/// How texts are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    /// The whole text.
    Exact,
    /// A run of [`GRAM`] words.
    Gram,
}

/// One field of one table, compared in one way.
pub(super) struct Group {
    /// Index of the table.
    pub table: usize,
    pub field: &'static str,
    pub by: Match,
    /// Each row that has such a text, and the text's number.
    pub rows: Vec<(u32, u32)>,
}

/// Numbered texts, each with the hashes any of which gives it away.
#[derive(Default)]
struct Texts<T> {
    hashes: Vec<T>,
    /// Where each text's hashes end.
    ends: Vec<u32>,
}

impl<T> Texts<T> {
    fn close(&mut self) -> Result<u32, AuditError> {
        let number = |length: usize| u32::try_from(length).map_err(|_| AuditError::TooMany { most: u32::MAX });
        self.ends.push(number(self.hashes.len())?);
        number(self.ends.len() - 1)
    }

    fn iter(&self) -> impl Iterator<Item = &[T]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, &end)| &self.hashes[begin as usize..end as usize])
    }
}

/// The texts of some evaluation tables.
#[derive(Default)]
pub(super) struct Index {
    /// The number of each hash.
    numbers: HashMap<u64, u32, ByHash>,
    texts: Texts<u32>,
    pub groups: Vec<Group>,
}

/// What a scan has met: a bit a hash of the index.
pub(super) struct Met(Vec<AtomicU64>);

impl Met {
    fn mark(&self, number: u32) {
        self.0[number as usize / 64].fetch_or(1 << (number % 64), Ordering::Relaxed);
    }

    fn holds(&self, number: u32) -> bool {
        self.0[number as usize / 64].load(Ordering::Relaxed) & (1 << (number % 64)) != 0
    }
}

/// Tables that are read side by side while the index is built.
const TABLES_AT_ONCE: usize = 16;
/// Batches that are scanned side by side.
const BATCHES_AT_ONCE: usize = 16;

impl Index {
    /// Reads the tables at `evaluated` in `tables`.
    pub(super) fn build(tables: &[&AuditTable], evaluated: &[usize], stop: &AtomicBool) -> Result<Self, Error> {
        let mut index = Self::default();
        for some in evaluated.chunks(TABLES_AT_ONCE) {
            let sketches: Vec<Result<Sketch, Error>> =
                some.par_iter().map(|&table| Sketch::read(table, tables[table], stop)).collect();
            for sketch in sketches {
                index.add(sketch?)?;
            }
        }
        Ok(index)
    }

    fn add(&mut self, sketch: Sketch) -> Result<(), AuditError> {
        let first = self.texts.ends.len();
        for hashes in sketch.texts.iter() {
            for &hash in hashes {
                let next = self.numbers.len();
                let number = match self.numbers.entry(hash) {
                    Entry::Occupied(entry) => *entry.get(),
                    Entry::Vacant(entry) => {
                        *entry.insert(u32::try_from(next).map_err(|_| AuditError::TooMany { most: u32::MAX })?)
                    }
                };
                self.texts.hashes.push(number);
            }
            self.texts.close()?;
        }
        let first = u32::try_from(first).map_err(|_| AuditError::TooMany { most: u32::MAX })?;
        self.groups.extend(sketch.groups.into_iter().map(|mut group| {
            group.rows.iter_mut().for_each(|(_, text)| *text += first);
            group
        }));
        Ok(())
    }

    /// Different hashes.
    pub(super) fn hashes(&self) -> usize {
        self.numbers.len()
    }

    /// Bytes of memory that the index takes.
    pub(super) fn bytes(&self) -> u64 {
        let rows: usize = self.groups.iter().map(|group| group.rows.len()).sum();
        // A map's slot is a key, a value, padding and a control byte.
        let bytes = self.numbers.capacity() * 17 + (self.texts.hashes.len() + self.texts.ends.len()) * 4 + rows * 8;
        bytes as u64
    }

    pub(super) fn nothing_met(&self) -> Met {
        Met((0..self.numbers.len().div_ceil(64)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Marks in `met` every hash that a text of the table `path` has, and tells `each` how many rows were read.
    pub(super) fn scan(
        &self,
        format: Format,
        path: &Path,
        met: &Met,
        stop: &AtomicBool,
        each: impl Fn(u64),
    ) -> Result<(), Error> {
        let mut batches: Batches = read_batches(path)?;
        loop {
            check(stop)?;
            let some: Vec<_> = batches.by_ref().take(BATCHES_AT_ONCE).collect::<Result<_, _>>()?;
            if some.is_empty() {
                return Ok(());
            }
            some.par_iter().try_for_each(|batch| -> Result<(), Error> {
                let columns = text_columns(format, path, batch)?;
                let find = |hash: u64| {
                    if let Some(&number) = self.numbers.get(&hash) {
                        met.mark(number);
                    }
                };
                let examples = fold_rows(&columns, &mut Folder::default(), |column, _, hash, words| {
                    if let Some(words) = words.filter(|_| column.alone) {
                        find(hash);
                        grams(words, GRAM).for_each(find);
                    }
                });
                if has_example(format) {
                    examples.into_iter().for_each(find);
                }
                Ok(())
            })?;
            each(some.iter().map(|batch| batch.num_rows() as u64).sum());
        }
    }

    /// For each text, whether any of its hashes was met.
    pub(super) fn found(&self, met: &Met) -> Vec<bool> {
        self.texts.iter().map(|numbers| numbers.iter().any(|&number| met.holds(number))).collect()
    }
}

/// The index of one table.
struct Sketch {
    groups: Vec<Group>,
    texts: Texts<u64>,
    /// Number of each text by its hash: the whole, and its runs if it has any.
    known: HashMap<u64, (u32, Option<u32>), ByHash>,
}

impl Sketch {
    fn read(index: usize, table: &AuditTable, stop: &AtomicBool) -> Result<Self, Error> {
        let mut sketch = Self { groups: Vec::new(), texts: Texts::default(), known: HashMap::default() };
        let mut folder = Folder::default();
        let mut first_row = 0;
        let mut failed = None;
        for batch in read_batches(&table.path)? {
            check(stop)?;
            let batch = batch?;
            let columns = text_columns(table.format, &table.path, &batch)?;
            let examples = fold_rows(&columns, &mut folder, |column, row, hash, words| {
                let added = sketch.add_text(index, column, first_row + row as u32, hash, words);
                failed = added.err().or(failed.take());
            });
            if has_example(table.format) {
                for (row, hash) in (first_row..).zip(examples) {
                    let text = sketch.whole(hash)?;
                    sketch.group(index, EXAMPLE, Match::Exact).rows.push((row, text));
                }
            }
            if let Some(error) = failed {
                return Err(error.into());
            }
            first_row += batch.num_rows() as u32;
        }
        sketch.groups.retain(|group| !group.rows.is_empty());
        Ok(sketch)
    }

    fn add_text(
        &mut self,
        table: usize,
        column: &TextColumn,
        row: u32,
        hash: u64,
        words: Option<&[u64]>,
    ) -> Result<(), AuditError> {
        if !column.alone {
            return Ok(());
        }
        let (whole, runs) = match (self.known.get(&hash), words) {
            (Some(known), _) => *known,
            (None, words) => {
                let whole = self.whole(hash)?;
                let before = self.texts.hashes.len();
                self.texts.hashes.extend(grams(words.unwrap_or_default(), GRAM));
                let runs = (self.texts.hashes.len() > before).then(|| self.texts.close()).transpose()?;
                self.known.insert(hash, (whole, runs));
                (whole, runs)
            }
        };
        self.group(table, column.field, Match::Exact).rows.push((row, whole));
        if let Some(runs) = runs {
            self.group(table, column.field, Match::Gram).rows.push((row, runs));
        }
        Ok(())
    }

    fn whole(&mut self, hash: u64) -> Result<u32, AuditError> {
        self.texts.hashes.push(hash);
        self.texts.close()
    }

    fn group(&mut self, table: usize, field: &'static str, by: Match) -> &mut Group {
        let place = self.groups.iter().position(|group| group.field == field && group.by == by);
        let place = place.unwrap_or_else(|| {
            self.groups.push(Group { table, field, by, rows: Vec::new() });
            self.groups.len() - 1
        });
        &mut self.groups[place]
    }
}
