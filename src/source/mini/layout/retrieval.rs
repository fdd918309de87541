//! `tatoeba-v1` and `bucc2018`: sentences and their translations.

use std::collections::HashSet;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Target, spoken};
use crate::error::FileError;
use crate::source::mini::clause::Utterance;
use crate::source::mini::language::{LANGUAGES, Language, english};
use crate::source::mini::realize::Realizer;
use crate::source::mini::sample;
use crate::source::mini::world::WORLD;

/// Sentence pairs for each language at size 1.
pub const TATOEBA: usize = 300;
/// BUCC's splits at size 1: sentences of the other language, of English, and pairs among them.
pub const BUCC: [(&str, [usize; 3]); 2] = [("sample", [500, 700, 20]), ("training", [1500, 2100, 60])];

/// Writes the sentence pairs: line by line translations, no sentence twice on either side.
pub fn tatoeba(target: &mut Target) -> Result<(), FileError> {
    for language in LANGUAGES.iter().filter(|l| l.code != "en") {
        let pair = format!("tatoeba.{}-eng", language.iso3);
        let mut other_file = target.begin(format!("{pair}.{}", language.iso3))?;
        let mut english_file = target.begin(format!("{pair}.eng"))?;
        let mut seen = HashSet::new();
        let (mut written, mut index) = (0, 0);
        while written < target.count(TATOEBA) {
            let utterance = sample::utterance(&mut target.rng(&language.code, index));
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

/// BUCC's own languages, each with English.
const BUCC_LANGUAGES: [&str; 4] = ["de", "fr", "ru", "zh"];

/// What a sentence of BUCC is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It stands in both languages.
    Both,
    /// It has no counterpart.
    Other,
    English,
}

/// A sentence of two clauses. What it may be used for, its text decides, so that no sentence without a counterpart
/// happens to be the translation of another.
fn comparable(role: Use, rng: &mut ChaCha8Rng) -> Utterance {
    let places = &WORLD.category_named("place").members;
    loop {
        let utterance = Utterance::Statement(vec![sample::clause(places, rng), sample::clause(places, rng)]);
        let text = Realizer::new(english()).sentence(&utterance).text();
        let decided =
            [Use::Both, Use::Other, Use::English][usize::from(blake3::hash(text.as_bytes()).as_bytes()[0]) % 3];
        if decided == role {
            return utterance;
        }
    }
}

/// Where the counterparts stand in one side of a corpus: one in each of as many stretches of equal length.
struct Side {
    sentences: usize,
    pairs: usize,
}

impl Side {
    /// The pairs' stretch that a sentence is in, where it is the sentence that the stretch has for them.
    fn pair_at(&self, target: &Target, purpose: &str, sentence: usize) -> Option<usize> {
        let stretch = (sentence * self.pairs / self.sentences).min(self.pairs - 1);
        (self.sentence_of(target, purpose, stretch) == sentence).then_some(stretch)
    }

    fn sentence_of(&self, target: &Target, purpose: &str, stretch: usize) -> usize {
        let first = |stretch: usize| (stretch * self.sentences).div_ceil(self.pairs);
        target.rng(&format!("{purpose} stretch"), stretch).random_range(first(stretch)..first(stretch + 1))
    }
}

/// Writes one split of one pair of languages.
fn bucc_split(target: &mut Target, language: &Language, split: &str, sizes: [usize; 3]) -> Result<(), FileError> {
    let [others, englishes, pairs] = sizes.map(|size| target.count(size));
    let code = &language.code;
    let path = |side: &str| format!("{code}-en/{code}-en.{split}.{side}");
    // The other language's stretch number k goes with English's k * step, modulo their number: no two with the same.
    let step = (pairs / 2..).find(|step| greatest_common_divisor(*step, pairs) == 1).unwrap_or(1);
    let purpose = |use_of: Use| format!("{code} {split} {use_of:?}");
    let sides = [(language, Use::Other, others), (english(), Use::English, englishes)];
    for (side_language, alone, sentences) in sides {
        let mut file = target.begin(path(&side_language.code))?;
        let side = Side { sentences, pairs };
        for index in 0..sentences {
            let utterance = match side.pair_at(target, &purpose(alone), index) {
                Some(stretch) => {
                    let pair = if alone == Use::Other { stretch * step % pairs } else { stretch };
                    comparable(Use::Both, &mut target.rng(&purpose(Use::Both), pair))
                }
                None => comparable(alone, &mut target.rng(&purpose(alone), index)),
            };
            let text = Realizer::new(side_language).sentence(&utterance).text();
            file.line(&format!("{}-{:09}\t{text}", side_language.code, index + 1))?;
        }
        file.finish()?;
    }
    let mut file = target.begin(path("gold"))?;
    let [other_side, english_side] = [others, englishes].map(|sentences| Side { sentences, pairs });
    for stretch in 0..pairs {
        let other = other_side.sentence_of(target, &purpose(Use::Other), stretch) + 1;
        let english = english_side.sentence_of(target, &purpose(Use::English), stretch * step % pairs) + 1;
        file.line(&format!("{code}-{other:09}\ten-{english:09}"))?;
    }
    file.finish()
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Writes the BUCC files: two sets of sentences, few of which have a counterpart in the other.
pub fn bucc(target: &mut Target) -> Result<(), FileError> {
    for language in spoken(&BUCC_LANGUAGES) {
        for (split, sizes) in BUCC {
            bucc_split(target, language, split, sizes)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rand::SeedableRng;

    use super::*;
    use crate::source::mini::generated;
    use crate::source::mini::world::WORLD;

    /// The names and numerals of a sentence: they are the same in every language.
    fn anchors(line: &str) -> Vec<String> {
        let words: HashSet<_> = line.split(|c: char| !c.is_ascii_alphanumeric()).collect();
        let names = WORLD.names.iter().map(|n| n.text.clone());
        names.chain(WORLD.numbers.iter().map(u32::to_string)).filter(|a| words.contains(a.as_str())).collect()
    }

    #[test]
    fn tatoeba_is_aligned_and_repeats_nothing() {
        let dir = generated("tatoeba-v1", 1.0, 1);
        for language in LANGUAGES.iter().filter(|l| l.code != "en") {
            let read = |side: &str| {
                let path = dir.path().join(format!("tatoeba.{}-eng.{side}", language.iso3));
                fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
            };
            let (other, english) = (read(&language.iso3), read("eng"));
            assert_eq!((other.len(), english.len()), (TATOEBA, TATOEBA));
            for side in [&other, &english] {
                assert_eq!(side.iter().collect::<HashSet<_>>().len(), TATOEBA, "{}", language.code);
            }
            assert!(other.iter().zip(&english).all(|(a, b)| anchors(a) == anchors(b)), "{}", language.code);
        }
    }

    #[test]
    fn bucc_has_few_pairs_and_no_others() {
        let dir = generated("bucc2018", 0.7, 1);
        for language in spoken(&BUCC_LANGUAGES) {
            for (split, sizes) in BUCC {
                let code = &language.code;
                let path = |side: &str| dir.path().join(format!("{code}-en/{code}-en.{split}.{side}"));
                let sentences = |side: &str| -> Vec<(String, String)> {
                    let text = fs::read_to_string(path(side)).unwrap();
                    let rows: Vec<_> = text.lines().map(|line| line.split_once('\t').unwrap()).collect();
                    for (index, (id, _)) in rows.iter().enumerate() {
                        assert_eq!(*id, format!("{side}-{:09}", index + 1));
                    }
                    rows.into_iter().map(|(id, text)| (id.to_owned(), text.to_owned())).collect()
                };
                let (others, englishes) = (sentences(code), sentences("en"));
                let gold = fs::read_to_string(path("gold")).unwrap();
                let gold: Vec<_> = gold.lines().map(|line| line.split_once('\t').unwrap()).collect();
                let expected = sizes.map(|size| (size as f64 * 0.7).round() as usize);
                assert_eq!([others.len(), englishes.len(), gold.len()], expected);
                assert!(gold.is_sorted());
                for side in
                    [gold.iter().map(|pair| pair.0).collect::<HashSet<_>>(), gold.iter().map(|pair| pair.1).collect()]
                {
                    assert_eq!(side.len(), gold.len(), "a sentence is in two pairs");
                }
                // The pairs don't stand in the same order on both sides.
                assert!(!gold.iter().map(|pair| pair.1).is_sorted(), "{code} {split}");
                let find = |sentences: &[(String, String)], id: &str| {
                    sentences.iter().find(|(other, _)| other == id).unwrap().1.clone()
                };
                for (other, english) in &gold {
                    let pair = [find(&others, other), find(&englishes, english)];
                    assert_eq!(anchors(&pair[0]), anchors(&pair[1]), "{pair:?}");
                }
            }
        }
    }

    #[test]
    fn no_sentence_without_a_counterpart_translates_another() {
        let text = |role, seed| {
            let utterance = comparable(role, &mut ChaCha8Rng::seed_from_u64(seed));
            Realizer::new(english()).sentence(&utterance).text()
        };
        let [both, other, english] = [Use::Both, Use::Other, Use::English]
            .map(|role| (0..500).map(|seed| text(role, seed)).collect::<HashSet<_>>());
        assert!(both.is_disjoint(&other) && both.is_disjoint(&english) && other.is_disjoint(&english));
    }
}
