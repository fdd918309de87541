//! The mini edition: a small multilingual world that the project writes itself.
//!
//! One inventory of concepts (`data/mini/world.toml`), one grammar over it, and for each language a file of words and
//! word-order data (`data/mini/languages/`). From random clauses over the concepts every task is generated in the raw
//! format and file layout of its original, at any size, so that the readers see what they see in the real data.
//! Labels are right by construction. Languages share concepts, persons' names (Latin script) and numerals (digits).
//!
//! Every example is generated from the seed, the layout, the split and its index alone: no byte depends on the order
//! of calls, and nothing but one example is held in memory (but for the digests that keep Tatoeba's sentences distinct).

mod clause;
mod commonsense;
mod inference;
mod language;
mod layout;
mod phrase;
mod reading;
mod realize;
mod sample;
mod sentence;
mod text;
mod world;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use self::language::LANGUAGES;
use self::layout::{Target, lines, pairs, questions};
use super::SourceError;

/// Options of the mini edition: everything that changes its bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MiniOptions {
    /// Factor on the number of examples, above 0; the vocabulary stays the same.
    pub size: f64,
    /// Seed of everything random.
    pub seed: u64,
    /// Share of the `text` lines that hold sentences and their translation, 0 to 1.
    pub parallel_share: f64,
    /// Share of the `text` lines that take half of their content words from another language, 0 to 1.
    pub code_switched_share: f64,
}

impl Default for MiniOptions {
    fn default() -> Self {
        Self { size: 1.0, seed: 1, parallel_share: 0.35, code_switched_share: 0.5 }
    }
}

impl MiniOptions {
    /// Checks the ranges.
    fn check(&self) -> Result<(), SourceError> {
        let wrong = |field, value, expected| Err(SourceError::MiniOption { field, value, expected });
        if !(self.size > 0.0 && self.size.is_finite()) {
            return wrong("size", self.size, "a number above 0");
        }
        for (field, share) in
            [("parallel_share", self.parallel_share), ("code_switched_share", self.code_switched_share)]
        {
            if !(0.0..=1.0).contains(&share) {
                return wrong(field, share, "a share between 0 and 1");
            }
        }
        let sum = self.parallel_share + self.code_switched_share;
        if sum > 1.0 {
            return wrong("parallel_share + code_switched_share", sum, "at most 1 together");
        }
        Ok(())
    }
}

/// The layouts that [`generate`] writes, named as their originals' folders are.
pub const LAYOUTS: &[&str] =
    &["multinli_1.0", "XNLI-1.0", "squad-1.1", "xquad", "commonsenseqa", "ud-treebanks-v2.5", "tatoeba-v1", "text"];

/// The languages of the mini edition, ISO 639-1, English first.
pub fn languages() -> Vec<String> {
    LANGUAGES.iter().map(|language| language.code.clone()).collect()
}

/// Writes the raw files of one original dataset (`layout`, one of [`LAYOUTS`]) below `dir`, streaming; returns the
/// files written, as paths relative to `dir`.
///
/// # Errors
/// An unknown layout, an option out of its range, or a file that can't be written.
pub fn generate(layout: &str, options: &MiniOptions, dir: &Path) -> Result<Vec<PathBuf>, SourceError> {
    options.check()?;
    let mut target = Target { dir, layout, options, files: Vec::new() };
    match layout {
        "multinli_1.0" => pairs::multinli(&mut target)?,
        "XNLI-1.0" => pairs::xnli(&mut target)?,
        "squad-1.1" => questions::squad(&mut target)?,
        "xquad" => questions::xquad(&mut target)?,
        "commonsenseqa" => questions::commonsenseqa(&mut target)?,
        "ud-treebanks-v2.5" => lines::treebanks(&mut target)?,
        "tatoeba-v1" => lines::tatoeba(&mut target)?,
        "text" => lines::plain_text(&mut target)?,
        _ => return Err(SourceError::UnknownMiniLayout { layout: layout.to_owned() }),
    }
    Ok(target.files)
}

/// A generated layout in a folder of its own, for the tests of the writers.
#[cfg(test)]
pub(crate) fn generated(layout: &str, size: f64, seed: u64) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let files = generate(layout, &MiniOptions { size, seed, ..MiniOptions::default() }, dir.path()).unwrap();
    assert!(files.iter().all(|file| dir.path().join(file).is_file()));
    dir
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::*;

    /// Relative path and bytes of every file of a layout.
    fn bytes(layout: &str, options: &MiniOptions) -> BTreeMap<PathBuf, Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let files = generate(layout, options, dir.path()).unwrap();
        files.into_iter().map(|file| (file.clone(), fs::read(dir.path().join(file)).unwrap())).collect()
    }

    #[test]
    fn bytes_depend_on_layout_and_options_alone() {
        let options = MiniOptions { size: 0.02, ..MiniOptions::default() };
        let forwards: Vec<_> = LAYOUTS.iter().map(|layout| bytes(layout, &options)).collect();
        let mut backwards: Vec<_> = LAYOUTS.iter().rev().map(|layout| bytes(layout, &options)).collect();
        backwards.reverse();
        assert!(forwards == backwards);
        for (layout, files) in LAYOUTS.iter().zip(&forwards) {
            let other = bytes(layout, &MiniOptions { seed: 2, ..options.clone() });
            assert!(files.iter().all(|(path, content)| other[path] != *content), "{layout} ignores the seed");
        }
    }

    #[test]
    fn the_shares_change_the_text_alone() {
        let options = MiniOptions { size: 0.02, ..MiniOptions::default() };
        for changed in [
            MiniOptions { parallel_share: 0.1, ..options.clone() },
            MiniOptions { code_switched_share: 0.1, ..options.clone() },
        ] {
            for layout in LAYOUTS {
                let same = bytes(layout, &options) == bytes(layout, &changed);
                assert_eq!(same, *layout != "text", "{layout}");
            }
        }
    }

    #[test]
    fn sizes_scale_the_examples() {
        let lines = |size| {
            let files = bytes("multinli_1.0", &MiniOptions { size, ..MiniOptions::default() });
            files[Path::new("multinli_1.0_train.jsonl")].iter().filter(|byte| **byte == b'\n').count()
        };
        assert_eq!((lines(0.01), lines(0.05)), (60, 300));
    }

    #[test]
    fn bad_requests_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let refused =
            |layout: &str, options: MiniOptions| generate(layout, &options, dir.path()).unwrap_err().to_string();
        let options = MiniOptions::default();
        assert!(
            refused("snli_1.0", options.clone()).contains("unknown mini layout `snli_1.0`; use one of multinli_1.0")
        );
        for size in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(refused("text", MiniOptions { size, ..options.clone() }).contains("`size`"));
        }
        assert!(refused("text", MiniOptions { parallel_share: 1.5, ..options.clone() }).contains("`parallel_share`"));
        assert!(refused("text", MiniOptions { parallel_share: 0.8, ..options }).contains("at most 1 together"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing half-written");
    }
}
