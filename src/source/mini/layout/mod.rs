//! The raw formats and file layouts of the original datasets.

pub mod lines;
pub mod pairs;
pub mod questions;

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::MiniOptions;
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
        let name = format!("{}\0{}\0{purpose}\0{index}", self.options.seed, self.layout);
        ChaCha8Rng::from_seed(*blake3::hash(name.as_bytes()).as_bytes())
    }

    /// A number of examples, scaled by the size asked for; never none.
    pub fn count(&self, at_default_size: usize) -> usize {
        ((at_default_size as f64 * self.options.size).round() as usize).max(1)
    }
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

/// A value as one line of JSON.
pub fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("rows of strings and numbers are always JSON")
}
