//! The raw formats and file layouts of the original datasets.

#[cfg(test)]
mod bayes;
pub mod choices;
pub mod derivations;
pub mod entailment;
pub mod entities;
mod json;
pub mod lines;
pub mod paraphrases;
pub mod reading;
pub mod retrieval;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::MiniOptions;
use super::language::{LANGUAGES, Language};
use crate::error::{FileError, IoContext};

/// Where a layout writes, and what changes its bytes.
pub struct Target<'a> {
    pub dir: &'a Path,
    pub layout: &'a str,
    pub options: &'a MiniOptions,
    /// Relative paths of the files begun.
    pub files: Vec<PathBuf>,
}

impl Target<'_> {
    /// Begins a file; folders are made as needed.
    pub fn begin(&mut self, relative: impl Into<PathBuf>) -> Result<RawFile, FileError> {
        let relative = relative.into();
        let path = self.dir.join(&relative);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).at("create directory", folder)?;
        }
        let writer = BufWriter::new(File::create(&path).at("create", &path)?);
        self.files.push(relative);
        Ok(RawFile { writer, path })
    }

    /// The generator of one example: it depends on the seed, the layout, the purpose and the index alone, so that no
    /// example's bytes depend on what was written before.
    pub fn rng(&self, purpose: &str, index: usize) -> ChaCha8Rng {
        self.rng_of(self.layout, purpose, index)
    }

    /// The generator of an example of another layout, of which this one holds a translation or another edition.
    pub fn rng_of(&self, layout: &str, purpose: &str, index: usize) -> ChaCha8Rng {
        let name = format!("{}\0{layout}\0{purpose}\0{index}", self.options.seed);
        ChaCha8Rng::from_seed(*blake3::hash(name.as_bytes()).as_bytes())
    }

    /// A number of examples, scaled by the size asked for; never none.
    pub fn count(&self, at_default_size: usize) -> usize {
        scaled(self.options, at_default_size)
    }
}

/// A number of examples, scaled by the size asked for; never none.
pub fn scaled(options: &MiniOptions, at_default_size: usize) -> usize {
    ((at_default_size as f64 * options.size).round() as usize).max(1)
}

/// A file being written, which names itself in errors.
pub struct RawFile {
    writer: BufWriter<File>,
    path: PathBuf,
}

impl RawFile {
    /// Writes text as it is.
    pub fn text(&mut self, text: &str) -> Result<(), FileError> {
        self.writer.write_all(text.as_bytes()).at("write", &self.path)
    }

    /// Writes a line.
    pub fn line(&mut self, line: &str) -> Result<(), FileError> {
        self.text(line)?;
        self.text("\n")
    }

    /// Writes what is still buffered.
    pub fn finish(mut self) -> Result<(), FileError> {
        self.writer.flush().at("write", &self.path)
    }
}

/// The mini edition's languages among those of an original, in the mini edition's order.
pub fn spoken(codes: &[&str]) -> impl Iterator<Item = &'static Language> {
    LANGUAGES.iter().filter(move |language| codes.contains(&language.code.as_str()))
}

/// Draws until the draw is for evaluation or for training, as asked. Which of them it is for, its text decides (one in
/// eight is for evaluation), so that nothing is in both at any size.
pub fn drawn<T>(
    evaluation: bool,
    rng: &mut ChaCha8Rng,
    mut draw: impl FnMut(&mut ChaCha8Rng) -> T,
    text: impl Fn(&T) -> String,
) -> T {
    loop {
        let candidate = draw(rng);
        let digest = blake3::hash(text(&candidate).as_bytes());
        if digest.as_bytes()[0].is_multiple_of(8) == evaluation {
            return candidate;
        }
    }
}

/// Lower-case hexadecimal digits, as identifiers have.
pub fn hexadecimal(digits: usize, rng: &mut ChaCha8Rng) -> String {
    (0..digits).map(|_| char::from_digit(rng.random_range(0..16), 16).expect("below 16")).collect()
}
