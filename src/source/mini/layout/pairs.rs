//! `multinli_1.0` and `XNLI-1.0`.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{Target, json};
use crate::error::FileError;
use crate::source::mini::clause::Utterance;
use crate::source::mini::inference::{self, Label, Pair};
use crate::source::mini::language::{LANGUAGES, english};
use crate::source::mini::realize::Realizer;
use crate::source::mini::sample;
use crate::source::mini::world::{Genre, WORLD};

/// Pairs in `multinli_1.0_train.jsonl` at size 1.
const TRAIN: usize = 6000;
/// Pairs in each MultiNLI development file at size 1.
const DEVELOPMENT: usize = 600;
/// Pairs for each language in `xnli.dev.tsv` at size 1.
const XNLI_DEVELOPMENT: usize = 250;
/// Pairs for each language in `xnli.test.tsv` at size 1.
const XNLI_TEST: usize = 400;
/// Share of pairs whose annotators found no majority, as MultiNLI has.
const UNDECIDED: f64 = 0.02;

/// A row of MultiNLI.
#[derive(Serialize)]
struct Row<'a> {
    annotator_labels: Vec<&'a str>,
    genre: &'a str,
    gold_label: &'a str,
    #[serde(rename = "pairID")]
    pair_id: String,
    #[serde(rename = "promptID")]
    prompt_id: String,
    sentence1: String,
    sentence1_binary_parse: String,
    sentence1_parse: String,
    sentence2: String,
    sentence2_binary_parse: String,
    sentence2_parse: String,
}

fn genre(mismatched: bool, rng: &mut ChaCha8Rng) -> &'static Genre {
    let genres: Vec<_> = WORLD.genres.iter().filter(|g| g.mismatched == mismatched).collect();
    sample::pick(&genres, rng)
}

/// Five annotators' labels with at least three for `label`.
fn annotations(label: Label, rng: &mut ChaCha8Rng) -> Vec<&'static str> {
    let mut labels = vec![label.name(); 3];
    labels.extend((0..2).map(|_| if rng.random_bool(0.8) { label } else { sample::pick(&Label::ALL, rng) }.name()));
    labels.shuffle(rng);
    labels
}

/// Writes the MultiNLI files.
pub fn multinli(target: &mut Target) -> Result<(), FileError> {
    let files = [("train", false, TRAIN), ("dev_matched", false, DEVELOPMENT), ("dev_mismatched", true, DEVELOPMENT)];
    for (split, mismatched, size) in files {
        let mut file = target.begin(format!("multinli_1.0_{split}.jsonl"))?;
        for index in 0..target.count(size) {
            let mut rng = target.rng(split, index);
            let genre = genre(mismatched, &mut rng);
            let pair = inference::pair(&genre.places, &mut rng);
            let mut gold_label = pair.label.name();
            let mut annotator_labels = vec![gold_label];
            if split != "train" {
                annotator_labels = annotations(pair.label, &mut rng);
            }
            if rng.random_bool(UNDECIDED) {
                gold_label = "-";
                annotator_labels = vec!["neutral", "entailment", "neutral", "contradiction", "entailment"];
            }
            let prompt_id = (rng.random_range(0..100_000) * 1_000_000 + index as u64).to_string();
            let mut english = Realizer::new(english());
            let premise = english.sentence(&Utterance::Statement(pair.premise));
            let hypothesis = english.sentence(&Utterance::Statement(vec![pair.hypothesis]));
            file.line(&json(&Row {
                annotator_labels,
                genre: &genre.key,
                gold_label,
                pair_id: format!("{prompt_id}{}", &pair.label.name()[..1]),
                prompt_id,
                sentence1: premise.text(),
                sentence1_binary_parse: premise.binary_parse(),
                sentence1_parse: premise.parse(),
                sentence2: hypothesis.text(),
                sentence2_binary_parse: hypothesis.binary_parse(),
                sentence2_parse: hypothesis.parse(),
            }))?;
        }
        file.finish()?;
    }
    Ok(())
}

/// XNLI's own languages: the mini edition writes those of them that it speaks.
const XNLI_LANGUAGES: [&str; 15] =
    ["ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh"];
const XNLI_HEADER: &str = "language\tgold_label\tsentence1_binary_parse\tsentence2_binary_parse\tsentence1_parse\t\
     sentence2_parse\tsentence1\tsentence2\tpromptID\tpairID\tgenre\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\t\
     sentence1_tokenized\tsentence2_tokenized\tmatch";

/// Writes the XNLI files: the same pairs in every language, one language after the other.
pub fn xnli(target: &mut Target) -> Result<(), FileError> {
    for (split, size) in [("dev", XNLI_DEVELOPMENT), ("test", XNLI_TEST)] {
        let mut file = target.begin(format!("xnli.{split}.tsv"))?;
        file.line(XNLI_HEADER)?;
        for language in LANGUAGES.iter().filter(|language| XNLI_LANGUAGES.contains(&language.code.as_str())) {
            for index in 0..target.count(size) {
                let mut rng = target.rng(split, index);
                let mismatched = rng.random_bool(0.5);
                let genre = genre(mismatched, &mut rng);
                let Pair { premise, hypothesis, label } = inference::pair(&genre.places, &mut rng);
                let mut realizer = Realizer::new(language);
                let premise = realizer.sentence(&Utterance::Statement(premise));
                let hypothesis = realizer.sentence(&Utterance::Statement(vec![hypothesis]));
                // XNLI leaves the four parse columns empty.
                file.line(&format!(
                    "{}\t{}\t\t\t\t\t{}\t{}\t{prompt}\t{pair}\t{}\t{}\t{}\t{}\tTrue",
                    language.code,
                    label.name(),
                    premise.text(),
                    hypothesis.text(),
                    genre.key,
                    annotations(label, &mut rng).join("\t"),
                    premise.tokenized(),
                    hypothesis.tokenized(),
                    prompt = index + 1,
                    pair = index + 1,
                ))?;
            }
        }
        file.finish()?;
    }
    Ok(())
}
