//! `ccgbank_1_1`: the AUTO files.

#[cfg(test)]
mod tests;

use std::ops::RangeInclusive;

use rand_chacha::ChaCha8Rng;

use super::{Target, drawn};
use crate::error::FileError;
use crate::source::mini::derivation::{self, Derivation, Style};
use crate::source::mini::sample;

/// Sections of the Wall Street Journal: by convention 02 to 21 are for training, 00 for development and 23 for the test.
const SECTIONS: usize = 25;
pub const TRAINING: RangeInclusive<usize> = 2..=21;
/// Sentences of a section for training and of one for evaluation, at size 1.
pub const TRAIN_SECTION: usize = 150;
pub const EVALUATION_SECTION: usize = 250;
/// Sentences of a file, unless the section would need more than a hundred files.
const FILE: usize = 25;

/// A sentence that can be derived, for training or for evaluation.
fn derivation(evaluation: bool, rng: &mut ChaCha8Rng) -> Derivation {
    let draw = |rng: &mut ChaCha8Rng| loop {
        let utterance = sample::utterance(rng);
        if let Some(derivation) = derivation::derive(&utterance, Style::random(rng)) {
            return derivation;
        }
    };
    drawn(evaluation, rng, draw, |derivation| derivation.words().join(" "))
}

/// Writes the files, `data/AUTO/SS/wsj_SSNN.auto`, of all sections.
pub fn ccgbank(target: &mut Target) -> Result<(), FileError> {
    for section in 0..SECTIONS {
        let evaluation = !TRAINING.contains(&section);
        let sentences = target.count(if evaluation { EVALUATION_SECTION } else { TRAIN_SECTION });
        let file_size = sentences.div_ceil(100).max(FILE);
        for (number, first) in (0..sentences).step_by(file_size).enumerate() {
            let document = format!("wsj_{section:02}{number:02}");
            let mut file = target.begin(format!("data/AUTO/{section:02}/{document}.auto"))?;
            for index in first..(first + file_size).min(sentences) {
                let mut rng = target.rng(&format!("section {section}"), index);
                file.line(&format!("ID={document}.{} PARSER=GOLD NUMPARSE=1", index - first + 1))?;
                file.line(&derivation(evaluation, &mut rng).auto())?;
            }
            file.finish()?;
        }
    }
    Ok(())
}
