//! `multinli_1.0`, its translations `XNLI-MT-1.0`, `XNLI-1.0`, `snli_1.0` and `anli_v1.0`.

#[cfg(test)]
mod tests;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{Target, drawn, hexadecimal, json, spoken};
use crate::error::FileError;
use crate::source::mini::clause::{Clause, Utterance};
use crate::source::mini::inference::{self, Label, Pair};
use crate::source::mini::language::{Language, english};
use crate::source::mini::realize::Realizer;
use crate::source::mini::sample;
use crate::source::mini::sentence::Sentence;
use crate::source::mini::text::joined;
use crate::source::mini::world::{Genre, NounId, WORLD};

/// Pairs in `multinli_1.0_train.jsonl` at size 1.
pub const TRAIN: usize = 6000;
/// Pairs in each MultiNLI development file at size 1.
pub const DEVELOPMENT: usize = 600;
/// Pairs for each language in `xnli.dev.tsv` at size 1.
pub const XNLI_DEVELOPMENT: usize = 250;
/// Pairs for each language in `xnli.test.tsv` at size 1.
pub const XNLI_TEST: usize = 400;
/// SNLI's splits at size 1.
pub const SNLI: [(&str, usize); 3] = [("train", 6000), ("dev", 600), ("test", 600)];
/// ANLI's splits at size 1, in each round.
pub const ANLI: [(&str, usize); 3] = [("train", 2000), ("dev", 300), ("test", 300)];
/// What surrounds the premise in each of ANLI's rounds: sentences about somebody else, and among them lures, which say
/// of somebody else what the hypothesis says.
const ROUNDS: [Round; 3] =
    [Round { others: 1, lures: 0 }, Round { others: 2, lures: 1 }, Round { others: 3, lures: 2 }];
/// Draws of a lure before a context goes without it.
const LURE_ATTEMPTS: usize = 20;
/// Share of pairs whose annotators found no majority, as MultiNLI and SNLI have.
pub const UNDECIDED: f64 = 0.02;
/// Five annotators who found no majority.
const NO_MAJORITY: [&str; 5] = ["neutral", "entailment", "neutral", "contradiction", "entailment"];

fn genre(mismatched: bool, rng: &mut ChaCha8Rng) -> &'static Genre {
    let genres: Vec<_> = WORLD.genres.iter().filter(|g| g.mismatched == mismatched).collect();
    sample::pick(&genres, rng)
}

/// Premise and hypothesis, each as one sentence.
fn sentences(pair: &Pair, language: &Language) -> [Sentence; 2] {
    let mut realizer = Realizer::new(language);
    [pair.premise.clone(), vec![pair.hypothesis]].map(|clauses| realizer.sentence(&Utterance::Statement(clauses)))
}

/// A random pair for training or for evaluation.
fn pair(evaluation: bool, places: &[NounId], rng: &mut ChaCha8Rng) -> Pair {
    let text = |pair: &Pair| sentences(pair, english()).map(|sentence| sentence.text()).join("\t");
    drawn(evaluation, rng, |rng| inference::pair(places, rng), text)
}

/// Five annotators' labels with at least three for `label`.
fn annotations(label: Label, rng: &mut ChaCha8Rng) -> Vec<&'static str> {
    let mut labels = vec![label.name(); 3];
    labels.extend((0..2).map(|_| if rng.random_bool(0.8) { label } else { sample::pick(&Label::ALL, rng) }.name()));
    labels.shuffle(rng);
    labels
}

/// A pair with what its annotators said of it.
struct Annotated {
    genre: &'static Genre,
    pair: Pair,
    /// The majority's label, or `-`.
    gold: &'static str,
    labels: Vec<&'static str>,
}

/// A pair of a MultiNLI file.
fn annotated(split: &str, rng: &mut ChaCha8Rng) -> Annotated {
    let genre = genre(split == "dev_mismatched", rng);
    let pair = pair(split != "train", &genre.places, rng);
    let (gold, labels) = judged(pair.label, split != "train", rng);
    Annotated { genre, pair, gold, labels }
}

/// The majority's label (now and then there is none: `-`), and those of one annotator or of `five`.
fn judged(label: Label, five: bool, rng: &mut ChaCha8Rng) -> (&'static str, Vec<&'static str>) {
    let labels = if five { annotations(label, rng) } else { vec![label.name()] };
    if rng.random_bool(UNDECIDED) { ("-", NO_MAJORITY.to_vec()) } else { (label.name(), labels) }
}

/// The fields of MultiNLI and SNLI that hold the sentences and their parses.
fn sentence_fields([premise, hypothesis]: &[Sentence; 2]) -> [(&'static str, String); 6] {
    [
        ("sentence1", json::value(premise.text())),
        ("sentence1_binary_parse", json::value(premise.binary_parse())),
        ("sentence1_parse", json::value(premise.parse())),
        ("sentence2", json::value(hypothesis.text())),
        ("sentence2_binary_parse", json::value(hypothesis.binary_parse())),
        ("sentence2_parse", json::value(hypothesis.parse())),
    ]
}

/// Writes the MultiNLI files.
pub fn multinli(target: &mut Target) -> Result<(), FileError> {
    for (split, size) in [("train", TRAIN), ("dev_matched", DEVELOPMENT), ("dev_mismatched", DEVELOPMENT)] {
        let mut file = target.begin(format!("multinli_1.0_{split}.jsonl"))?;
        for index in 0..target.count(size) {
            let mut rng = target.rng(split, index);
            let Annotated { genre, pair, gold, labels } = annotated(split, &mut rng);
            let prompt = (rng.random_range(0..100_000) * 1_000_000 + index as u64).to_string();
            let mut fields = vec![
                ("annotator_labels", json::strings(&labels)),
                ("genre", json::value(&genre.key)),
                ("gold_label", json::value(gold)),
                ("pairID", json::value(format!("{prompt}{}", pair.label.initial()))),
                ("promptID", json::value(&prompt)),
            ];
            fields.extend(sentence_fields(&sentences(&pair, english())));
            file.line(&json::object(&fields))?;
        }
        file.finish()?;
    }
    Ok(())
}

/// Writes MultiNLI's training pairs, those without a majority left out, in each of XNLI's languages.
pub fn multinli_translated(target: &mut Target) -> Result<(), FileError> {
    for language in spoken(&XNLI_LANGUAGES) {
        let mut file = target.begin(format!("multinli/multinli.train.{}.tsv", language.code))?;
        file.line("premise\thypo\tlabel")?;
        for index in 0..target.count(TRAIN) {
            let Annotated { pair, gold, .. } = annotated("train", &mut target.rng_of("multinli_1.0", "train", index));
            if gold == "-" {
                continue;
            }
            let [premise, hypothesis] = sentences(&pair, language).map(|sentence| sentence.tokenized());
            let label = if pair.label == Label::Contradiction { "contradictory" } else { gold };
            file.line(&format!("{premise}\t{hypothesis}\t{label}"))?;
        }
        file.finish()?;
    }
    Ok(())
}

/// Writes the SNLI files.
pub fn snli(target: &mut Target) -> Result<(), FileError> {
    let places = &WORLD.category_named("place").members;
    for (split, size) in SNLI {
        let mut file = target.begin(format!("snli_1.0_{split}.jsonl"))?;
        for index in 0..target.count(size) {
            let mut rng = target.rng(split, index);
            let pair = pair(split != "train", places, &mut rng);
            let (gold, labels) = judged(pair.label, split != "train", &mut rng);
            let caption = format!("{}.jpg#{}", rng.random_range(0..10_000) * 1_000_000 + index as u64, index % 5);
            let mut fields = vec![
                ("annotator_labels", json::strings(&labels)),
                ("captionID", json::value(&caption)),
                ("gold_label", json::value(gold)),
                ("pairID", json::value(format!("{caption}r1{}", pair.label.initial()))),
            ];
            fields.extend(sentence_fields(&sentences(&pair, english())));
            file.line(&json::object(&fields))?;
        }
        file.finish()?;
    }
    Ok(())
}

/// How much of a context of ANLI is beside the point.
#[derive(Clone, Copy)]
struct Round {
    others: usize,
    lures: usize,
}

/// The premise's clauses among others that are about somebody else and so don't touch the label.
fn context(pair: &Pair, round: Round, rng: &mut ChaCha8Rng) -> Vec<Clause> {
    let places = &WORLD.category_named("place").members;
    let mut clauses = pair.premise.clone();
    let mut about: Vec<_> = clauses.iter().chain([&pair.hypothesis]).flat_map(Clause::heads).collect();
    for index in 0..round.others {
        // A kind of which there are few may have nobody left: then there is one lure fewer.
        let mut lures_to_try = if index < round.lures { LURE_ATTEMPTS } else { 0 };
        let other = loop {
            let lure = lures_to_try > 0;
            lures_to_try -= usize::from(lure);
            let other = if lure { inference::of_another(&pair.hypothesis, rng) } else { sample::clause(places, rng) };
            if other.heads().iter().all(|head| !about.contains(head)) {
                break Clause { companion: None, time_first: false, negated: rng.random_bool(0.3), ..other };
            }
        };
        about.extend(other.heads());
        clauses.push(other);
    }
    clauses.shuffle(rng);
    clauses
}

/// Writes ANLI's three rounds: each hides the premise among more sentences, and more alike, than the one before.
pub fn anli(target: &mut Target) -> Result<(), FileError> {
    let places = &WORLD.category_named("place").members;
    for (number, round) in (1..).zip(ROUNDS) {
        for (split, size) in ANLI {
            let mut file = target.begin(format!("R{number}/{split}.jsonl"))?;
            for index in 0..target.count(size) {
                let mut rng = target.rng(&format!("R{number} {split}"), index);
                let pair = pair(split != "train", places, &mut rng);
                let context = context(&pair, round, &mut rng).into_iter().map(|c| Utterance::Statement(vec![c]));
                let mut realizer = Realizer::new(english());
                let [_, hypothesis] = sentences(&pair, english());
                // Evaluation pairs are those that fooled the round's model.
                let fooled = split != "train" || rng.random_bool(0.3);
                let wrong: Vec<_> = Label::ALL.into_iter().filter(|label| *label != pair.label).collect();
                let guess = if fooled { sample::pick(&wrong, &mut rng) } else { pair.label };
                let genre =
                    if number < 3 { "wikipedia" } else { sample::pick(&["news", "fiction", "spoken"], &mut rng) };
                let uid = [8, 4, 4, 4, 12].map(|digits| hexadecimal(digits, &mut rng)).join("-");
                file.line(&json::ascii(&json::object(&[
                    ("uid", json::value(uid)),
                    ("context", json::value(joined(&mut realizer, &context.collect::<Vec<_>>(), english()))),
                    ("hypothesis", json::value(hypothesis.text())),
                    ("label", json::value(pair.label.initial())),
                    ("model_label", json::value(guess.initial())),
                    ("emturk", json::value(split == "test")),
                    ("genre", json::value(genre)),
                    ("reason", json::value("")),
                    ("tag", json::value(format!("r{number}_{split}"))),
                ])))?;
            }
            file.finish()?;
        }
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
        for language in spoken(&XNLI_LANGUAGES) {
            for index in 0..target.count(size) {
                let mut rng = target.rng(split, index);
                let mismatched = rng.random_bool(0.5);
                let genre = genre(mismatched, &mut rng);
                let pair = pair(true, &genre.places, &mut rng);
                let [premise, hypothesis] = sentences(&pair, language);
                // XNLI leaves the four parse columns empty.
                file.line(&format!(
                    "{}\t{}\t\t\t\t\t{}\t{}\t{number}\t{number}\t{}\t{}\t{}\t{}\tTrue",
                    language.code,
                    pair.label.name(),
                    premise.text(),
                    hypothesis.text(),
                    genre.key,
                    annotations(pair.label, &mut rng).join("\t"),
                    premise.tokenized(),
                    hypothesis.tokenized(),
                    number = index + 1,
                ))?;
            }
        }
        file.finish()?;
    }
    Ok(())
}
