//! The vectors of one side of a search: in memory, or, where they are too many, in a scratch file.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::error::IoContext;
use crate::evaluate::EvaluateError;

/// Numbers that are written to a scratch file at a time.
const WRITTEN: usize = 1 << 20;
/// The largest square of a vector's length of which 32-bit products may be taken. Of two such vectors neither the product nor any
/// part of its sum is larger, by Cauchy and Schwarz; half of what 32 bits hold leaves room for rounding.
const LONGEST: f64 = f32::MAX as f64 / 2.0;

/// How similar two vectors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Similarity {
    /// Their cosine, from -1 to 1: each is scaled to length one.
    #[default]
    Cosine,
    /// Their inner product as they are.
    InnerProduct,
}

/// Where vectors may lie.
#[derive(Debug, Clone)]
pub struct Room {
    /// Bytes that they may take in memory; what is more goes to a file.
    pub memory: u64,
    /// The directory of that file, which has no name: it vanishes with the process, however that ends.
    pub scratch: PathBuf,
}

/// Takes vectors in, one at a time.
#[derive(Debug)]
pub struct Collector {
    room: Room,
    similarity: Similarity,
    dim: usize,
    rows: usize,
    values: Vec<f32>,
    file: Option<File>,
    distinct: Option<Distinct>,
}

/// Which rows are the same vector.
#[derive(Debug, Default)]
struct Distinct {
    /// The row that holds a vector, by the vector's digest.
    places: HashMap<[u8; 16], u32>,
    /// For each row, the numbers of the vectors given that it stands for.
    given: Vec<Vec<u32>>,
    total: u32,
}

impl Collector {
    /// For vectors that will be compared by `similarity`.
    pub fn new(similarity: Similarity, room: Room) -> Self {
        Self { room, similarity, dim: 0, rows: 0, values: Vec::new(), file: None, distinct: None }
    }

    /// As [`Collector::new`], but a vector that came before is not kept again: see [`Vectors::members`].
    pub fn distinct(similarity: Similarity, room: Room) -> Self {
        Self { distinct: Some(Distinct::default()), ..Self::new(similarity, room) }
    }

    /// Takes the vector called `id` of the file `origin`, which both stand in errors.
    ///
    /// # Errors
    /// A vector of another width than those before it, one with a number that is not finite, under
    /// [`Similarity::Cosine`] one of zeros, under [`Similarity::InnerProduct`] one whose products may be more than 32
    /// bits hold, more than `u32::MAX` vectors, and a scratch file that can't be written.
    pub fn push(&mut self, origin: &Path, id: &str, vector: &[f32]) -> Result<(), EvaluateError> {
        let problem = |problem: String| Err(EvaluateError::example(origin, id, problem));
        if self.dim == 0 {
            self.dim = vector.len();
        }
        if vector.is_empty() {
            return problem("its vector is empty; embed it again".to_owned());
        }
        if vector.len() != self.dim {
            let (found, expected) = (vector.len(), self.dim);
            return problem(format!(
                "its vector has {found} numbers, but {expected} in the rows before; embed all alike"
            ));
        }
        let square: f64 = vector.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        if !square.is_finite() {
            return problem("its vector has a number that is not finite; embed it again".to_owned());
        }
        let start = self.values.len();
        match self.similarity {
            Similarity::InnerProduct if square > LONGEST => {
                return problem("its vector is too long for 32-bit products; scale all vectors alike".to_owned());
            }
            Similarity::InnerProduct => self.values.extend_from_slice(vector),
            Similarity::Cosine if square == 0.0 => {
                return problem("its vector is all zeros, which has no direction; leave the row out".to_owned());
            }
            Similarity::Cosine => {
                let scale = square.sqrt().recip();
                self.values.extend(vector.iter().map(|&x| (f64::from(x) * scale) as f32));
            }
        }
        if let Some(distinct) = &mut self.distinct
            && distinct.is_known(&self.values[start..])
        {
            self.values.truncate(start);
            return Ok(());
        }
        self.rows += 1;
        if self.rows > u32::MAX as usize {
            return problem("is one too many: rows are numbered in 32 bits; split the file".to_owned());
        }
        let in_memory = self.room.memory / size_of::<f32>() as u64;
        let fits = self.file.is_none() && self.values.len() as u64 <= in_memory;
        if !fits && self.values.len() >= WRITTEN { self.spill() } else { Ok(()) }
    }

    /// Moves what is in memory to the scratch file.
    fn spill(&mut self) -> Result<(), EvaluateError> {
        let scratch = &self.room.scratch;
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile_in(scratch).at("create a scratch file in", scratch)?);
        }
        if let Some(file) = &mut self.file {
            for part in self.values.chunks(WRITTEN) {
                let bytes: Vec<u8> = part.iter().flat_map(|value| value.to_le_bytes()).collect();
                file.write_all(&bytes).at("write a scratch file in", scratch)?;
            }
        }
        self.values.clear();
        self.values.shrink_to(WRITTEN);
        Ok(())
    }

    /// As [`Collector::finish`], in a scratch file however few there are.
    #[cfg(test)]
    pub(super) fn in_a_file(mut self) -> Result<Vectors, EvaluateError> {
        self.spill()?;
        self.finish()
    }

    /// All that was taken.
    ///
    /// # Errors
    /// A scratch file that can't be written.
    pub fn finish(mut self) -> Result<Vectors, EvaluateError> {
        if self.file.is_some() && !self.values.is_empty() {
            self.spill()?;
        }
        let place = match self.file {
            Some(file) => Place::Scratch(file, self.room.scratch),
            None => Place::Memory(self.values),
        };
        let given = self.distinct.map(|distinct| distinct.given);
        Ok(Vectors { dim: self.dim, rows: self.rows, place, given })
    }
}

impl Distinct {
    /// Whether `vector` came before; either way the next number given is now its own.
    fn is_known(&mut self, vector: &[f32]) -> bool {
        let mut hasher = blake3::Hasher::new();
        for value in vector {
            // There are two zeros, which are equal.
            hasher.update(&(value + 0.0).to_le_bytes());
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        let number = self.total;
        self.total += 1;
        let next = self.given.len() as u32;
        let place = *self.places.entry(digest).or_insert(next);
        if place == next {
            self.given.push(vec![number]);
            return false;
        }
        self.given[place as usize].push(number);
        true
    }
}

#[derive(Debug)]
enum Place {
    Memory(Vec<f32>),
    Scratch(File, PathBuf),
}

/// Vectors of one width, in the order in which they were given.
#[derive(Debug)]
pub struct Vectors {
    dim: usize,
    rows: usize,
    place: Place,
    given: Option<Vec<Vec<u32>>>,
}

impl Vectors {
    /// Vectors that are in memory: rows of `dim` numbers one after another, scaled as `similarity` asks.
    ///
    /// # Errors
    /// As [`Collector::push`]; rows are named by their numbers.
    pub fn of(values: &[f32], dim: usize, similarity: Similarity) -> Result<Self, EvaluateError> {
        let mut all = Collector::new(similarity, Room { memory: u64::MAX, scratch: std::env::temp_dir() });
        for (row, vector) in values.chunks(dim.max(1)).enumerate() {
            all.push(Path::new("vectors"), &row.to_string(), vector)?;
        }
        all.finish()
    }

    /// Numbers of a vector; 0 where there is no vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// How many there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The numbers, from 0, of the vectors given to a [`Collector::distinct`] that are this row; elsewhere each is a row of its
    /// own.
    pub fn members(&self, row: u32) -> impl Iterator<Item = u32> + Clone + '_ {
        let (own, given) = match &self.given {
            Some(given) => (None, given[row as usize].as_slice()),
            None => (Some(row), [].as_slice()),
        };
        own.into_iter().chain(given.iter().copied())
    }

    /// Whether they are all in memory, so that blocks of them take no more.
    pub(super) fn in_memory(&self) -> bool {
        matches!(self.place, Place::Memory(_))
    }

    /// The numbers of some rows.
    ///
    /// # Errors
    /// A scratch file that can't be read.
    pub(super) fn block(&self, rows: Range<usize>) -> Result<Cow<'_, [f32]>, EvaluateError> {
        let range = rows.start * self.dim..rows.end * self.dim;
        match &self.place {
            Place::Memory(values) => Ok(Cow::Borrowed(&values[range])),
            Place::Scratch(file, scratch) => {
                let mut values = Vec::with_capacity(range.len());
                let mut bytes = vec![0; size_of::<f32>() * WRITTEN.min(range.len())];
                let mut at = range.start;
                while at < range.end {
                    let bytes = &mut bytes[..size_of::<f32>() * WRITTEN.min(range.end - at)];
                    let offset = (at * size_of::<f32>()) as u64;
                    file.read_exact_at(bytes, offset).at("read a scratch file in", scratch)?;
                    let (numbers, _) = bytes.as_chunks::<4>();
                    values.extend(numbers.iter().map(|number| f32::from_le_bytes(*number)));
                    at += numbers.len();
                }
                Ok(Cow::Owned(values))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn collected(rows: &[Vec<f32>], memory: u64, distinct: bool) -> Vectors {
        let room = Room { memory, scratch: std::env::temp_dir() };
        let mut all = if distinct {
            Collector::distinct(Similarity::InnerProduct, room)
        } else {
            Collector::new(Similarity::InnerProduct, room)
        };
        for (row, vector) in rows.iter().enumerate() {
            all.push(Path::new("file"), &row.to_string(), vector).unwrap();
        }
        all.finish().unwrap()
    }

    #[test]
    fn a_scratch_file_gives_what_memory_gives() {
        let dim = 1000;
        let rows: Vec<Vec<f32>> = (0..2500).map(|row| (0..dim).map(|i| (row * dim + i) as f32).collect()).collect();
        let (memory, scratch) = (collected(&rows, u64::MAX, false), collected(&rows, 1, false));
        assert!(memory.in_memory() && !scratch.in_memory());
        for range in [0..0, 0..1, 1040..1060, 3..2500] {
            assert_eq!(memory.block(range.clone()).unwrap(), scratch.block(range).unwrap());
        }
    }

    #[test]
    fn what_is_no_vector_is_refused_by_name() {
        let fails = |rows: &[&[f32]]| {
            let mut all = Collector::new(Similarity::Cosine, Room { memory: 0, scratch: std::env::temp_dir() });
            let mut pushed = rows.iter().map(|row| all.push(Path::new("a.parquet"), "x", row));
            pushed.find_map(Result::err).unwrap().to_string()
        };
        assert!(
            fails(&[&[1.0, f32::NAN]])
                .starts_with("a.parquet: example `x`: its vector has a number that is not finite")
        );
        assert!(fails(&[&[1.0, 2.0], &[1.0]]).contains("has 1 numbers, but 2 in the rows before"));
        assert!(fails(&[&[0.0, -0.0]]).contains("all zeros"));
        assert!(fails(&[&[]]).contains("is empty"));
    }

    #[test]
    fn inner_products_are_of_vectors_whose_products_32_bits_hold() {
        let push = |similarity, vector: &[f32]| {
            let mut all = Collector::new(similarity, Room { memory: 0, scratch: std::env::temp_dir() });
            all.push(Path::new("a.parquet"), "x", vector).map_err(|e| e.to_string())
        };
        let long = [1e25, -1e25];
        let said = push(Similarity::InnerProduct, &long).unwrap_err();
        assert_eq!(said, "a.parquet: example `x`: its vector is too long for 32-bit products; scale all vectors alike");
        assert_eq!(push(Similarity::InnerProduct, &[9e18, 9e18]), Ok(()));
        assert_eq!(push(Similarity::Cosine, &long), Ok(()));
    }

    proptest! {
        #[test]
        fn equal_vectors_share_a_row(picks in proptest::collection::vec(0u8..4, 1..30)) {
            let rows: Vec<Vec<f32>> = picks.iter().map(|&pick| vec![f32::from(pick), 1.0]).collect();
            let found = collected(&rows, u64::MAX, true);
            let total: usize = (0..found.rows()).map(|row| found.members(row as u32).count()).sum();
            prop_assert_eq!(total, picks.len());
            for row in 0..found.rows() {
                let (members, vector) = (found.members(row as u32), found.block(row..row + 1).unwrap());
                prop_assert!(members.clone().all(|member| rows[member as usize] == *vector));
                prop_assert!(members.is_sorted());
            }
            let mut different = picks.clone();
            different.sort_unstable();
            different.dedup();
            prop_assert_eq!(found.rows(), different.len());
        }
    }
}
