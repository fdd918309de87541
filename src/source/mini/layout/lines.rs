//! `ud-treebanks-v2.5`, `tatoeba-v1` and `text`.

use std::collections::HashSet;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::Target;
use crate::error::FileError;
use crate::source::mini::clause::Utterance;
use crate::source::mini::language::{LANGUAGES, english};
use crate::source::mini::realize::Realizer;
use crate::source::mini::sample;
use crate::source::mini::text;
use crate::source::mini::world::WORLD;

/// Sentences of the treebanks at size 1; only English has a training file.
const TREEBANK: [(&str, usize); 3] = [("train", 2000), ("dev", 200), ("test", 200)];
/// Sentence pairs for each language at size 1.
const TATOEBA: usize = 300;
/// Lines of text for each language at size 1.
const TEXT: usize = 2500;

/// A single sentence of any sort.
fn utterance(rng: &mut ChaCha8Rng) -> Utterance {
    let places = &WORLD.category_named("place").members;
    let clause = sample::clause(places, rng);
    match rng.random_range(0..100) {
        0..20 => sample::question(&clause, rng).map_or(Utterance::Statement(vec![clause]), |(question, _)| question),
        20..32 => Utterance::Statement(vec![clause, sample::clause(places, rng)]),
        32..38 => Utterance::Statement(vec![sample::pick(&sample::FACTS, rng)]),
        _ => Utterance::Statement(vec![clause]),
    }
}

/// Writes the treebanks.
pub fn treebanks(target: &mut Target) -> Result<(), FileError> {
    for language in LANGUAGES.iter() {
        for (split, size) in TREEBANK {
            if split == "train" && language.code != "en" {
                continue;
            }
            let code = &language.code;
            let mut file = target.begin(format!("UD_{}-Mini/{code}_mini-ud-{split}.conllu", language.name))?;
            for index in 0..target.count(size) {
                let utterance = utterance(&mut target.rng(&format!("{code} {split}"), index));
                let sentence = Realizer::new(language).sentence(&utterance);
                file.text(&sentence.conllu(&format!("{code}-mini-{split}-{}", index + 1)))?;
            }
            file.finish()?;
        }
    }
    Ok(())
}

/// Writes the sentence pairs: line by line translations, no sentence twice on either side.
pub fn tatoeba(target: &mut Target) -> Result<(), FileError> {
    for language in LANGUAGES.iter().filter(|l| l.code != "en") {
        let pair = format!("tatoeba.{}-eng", language.iso3);
        let mut other_file = target.begin(format!("{pair}.{}", language.iso3))?;
        let mut english_file = target.begin(format!("{pair}.eng"))?;
        let mut seen = HashSet::new();
        let (mut written, mut index) = (0, 0);
        while written < target.count(TATOEBA) {
            let utterance = utterance(&mut target.rng(&language.code, index));
            index += 1;
            let other = Realizer::new(language).sentence(&utterance).text();
            let translation = Realizer::new(english()).sentence(&utterance).text();
            let digests = [&other, &translation].map(|text| blake3::hash(text.as_bytes()));
            if digests.iter().any(|digest| seen.contains(digest)) {
                continue;
            }
            seen.extend(digests);
            other_file.line(&other)?;
            english_file.line(&translation)?;
            written += 1;
        }
        other_file.finish()?;
        english_file.finish()?;
    }
    Ok(())
}

/// Writes the text, one file a language.
pub fn plain_text(target: &mut Target) -> Result<(), FileError> {
    let options = target.options;
    for language in LANGUAGES.iter() {
        let mut file = target.begin(format!("{}.txt", language.code))?;
        for index in 0..target.count(TEXT) {
            let rng = target.rng(&language.code, index);
            file.line(&text::line(language, options.parallel_share, options.code_switched_share, rng))?;
        }
        file.finish()?;
    }
    Ok(())
}
