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
use crate::source::mini::world::{Genre, NounId, WORLD};

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

/// A random pair for training or for evaluation. Which of them a pair is for, its English text decides (one in eight is
/// for evaluation), so that no evaluation pair is in the training file at any size.
fn pair(evaluation: bool, places: &[NounId], rng: &mut ChaCha8Rng) -> Pair {
    loop {
        let pair = inference::pair(places, rng);
        let mut english = Realizer::new(english());
        let premise = english.sentence(&Utterance::Statement(pair.premise.clone())).text();
        let hypothesis = english.sentence(&Utterance::Statement(vec![pair.hypothesis])).text();
        let digest = blake3::hash(format!("{premise}\t{hypothesis}").as_bytes());
        if digest.as_bytes()[0].is_multiple_of(8) == evaluation {
            return pair;
        }
    }
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
            let pair = pair(split != "train", &genre.places, &mut rng);
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
                let Pair { premise, hypothesis, label } = pair(true, &genre.places, &mut rng);
                let mut realizer = Realizer::new(language);
                let premise = realizer.sentence(&Utterance::Statement(premise));
                let hypothesis = realizer.sentence(&Utterance::Statement(vec![hypothesis]));
                // XNLI leaves the four parse columns empty.
                file.line(&format!(
                    "{}\t{}\t\t\t\t\t{}\t{}\t{number}\t{number}\t{}\t{}\t{}\t{}\tTrue",
                    language.code,
                    label.name(),
                    premise.text(),
                    hypothesis.text(),
                    genre.key,
                    annotations(label, &mut rng).join("\t"),
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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};
    use std::fs;
    use std::path::Path;

    use serde_json::Value;

    use super::*;
    use crate::source::mini::generated;

    fn rows(dir: &Path, file: &str) -> Vec<Value> {
        let text = fs::read_to_string(dir.join(file)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Premise, hypothesis and label of the decided pairs.
    fn decided(rows: &[Value]) -> Vec<(String, String, String)> {
        let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
        let pairs = rows.iter().map(|r| (text(r, "sentence1"), text(r, "sentence2"), text(r, "gold_label")));
        pairs.filter(|pair| pair.2 != "-").collect()
    }

    /// Share of `test` that a naive Bayes classifier (add-one smoothing), trained on `train`, labels rightly; `words` says
    /// what it sees.
    fn naive_bayes(
        train: &[(String, String, String)],
        test: &[(String, String, String)],
        words: impl Fn(&str, &str) -> Vec<String>,
    ) -> f64 {
        let mut counts: BTreeMap<&str, (f64, HashMap<String, f64>, f64)> = BTreeMap::new();
        let mut vocabulary = HashSet::new();
        for (premise, hypothesis, label) in train {
            let (examples, seen, total) = counts.entry(label).or_default();
            *examples += 1.0;
            for word in words(premise, hypothesis) {
                vocabulary.insert(word.clone());
                *seen.entry(word).or_default() += 1.0;
                *total += 1.0;
            }
        }
        let right = test.iter().filter(|(premise, hypothesis, label)| {
            let score = |(examples, seen, total): &(f64, HashMap<String, f64>, f64)| {
                let word = |w| ((seen.get(&w).unwrap_or(&0.0) + 1.0) / (total + vocabulary.len() as f64)).ln();
                examples.ln() + words(premise, hypothesis).into_iter().map(word).sum::<f64>()
            };
            let best = counts.iter().max_by(|a, b| score(a.1).total_cmp(&score(b.1))).unwrap();
            best.0 == label
        });
        right.count() as f64 / test.len() as f64
    }

    #[test]
    fn the_hypothesis_alone_does_not_give_the_label_away() {
        let dir = generated("multinli_1.0", 1.0, 1);
        let train = decided(&rows(dir.path(), "multinli_1.0_train.jsonl"));
        let test = decided(&rows(dir.path(), "multinli_1.0_dev_matched.jsonl"));
        let alone = naive_bayes(&train, &test, |_, hypothesis| hypothesis.split(' ').map(str::to_owned).collect());
        assert!(alone < 0.42, "{alone} from the words of the hypothesis; chance is 0.33");
        // The same classifier does find what is there to find: which words the other sentence lacks.
        let difference = |a: &str, b: &str, mark: &str| -> Vec<String> {
            a.split(' ').filter(|w| !b.split(' ').any(|o| o == *w)).map(|w| format!("{mark}{w}")).collect()
        };
        let compared = naive_bayes(&train, &test, |premise, hypothesis| {
            [difference(premise, hypothesis, "-"), difference(hypothesis, premise, "+")].concat()
        });
        assert!(compared > 0.5, "{compared} from the words that differ");
    }

    #[test]
    fn labels_are_balanced_and_some_pairs_undecided() {
        let dir = generated("multinli_1.0", 0.5, 2);
        let rows = rows(dir.path(), "multinli_1.0_train.jsonl");
        let share = |label: &str| rows.iter().filter(|r| r["gold_label"] == label).count() as f64 / rows.len() as f64;
        for label in Label::ALL {
            assert!((0.29..0.37).contains(&share(label.name())), "{} {}", label.name(), share(label.name()));
        }
        assert!((0.005..0.04).contains(&share("-")), "{}", share("-"));
    }

    #[test]
    fn development_labels_are_majorities_and_genres_stay_apart() {
        let dir = generated("multinli_1.0", 0.1, 3);
        let [train, matched, mismatched] =
            ["train", "dev_matched", "dev_mismatched"].map(|s| rows(dir.path(), &format!("multinli_1.0_{s}.jsonl")));
        let genres = |rows: &[Value]| -> HashSet<String> { rows.iter().map(|r| r["genre"].to_string()).collect() };
        assert!(genres(&matched).is_subset(&genres(&train)) && genres(&mismatched).is_disjoint(&genres(&train)));
        for row in matched.iter().chain(&mismatched) {
            let labels = row["annotator_labels"].as_array().unwrap();
            let votes = labels.iter().filter(|label| **label == row["gold_label"]).count();
            assert_eq!(labels.len(), 5);
            assert!(votes >= 3 || row["gold_label"] == "-", "{row}");
        }
    }

    #[test]
    fn xnli_is_parallel_and_unseen_in_training() {
        let train_dir = generated("multinli_1.0", 1.0, 1);
        let train = decided(&rows(train_dir.path(), "multinli_1.0_train.jsonl"));
        let seen: HashSet<_> =
            train.iter().map(|(premise, hypothesis, _)| (premise.as_str(), hypothesis.as_str())).collect();
        let dir = generated("XNLI-1.0", 1.0, 1);
        for file in ["xnli.dev.tsv", "xnli.test.tsv"] {
            let text = fs::read_to_string(dir.path().join(file)).unwrap();
            let mut by_language: BTreeMap<&str, Vec<Vec<&str>>> = BTreeMap::new();
            let columns = text.lines().next().unwrap().split('\t').count();
            assert_eq!(columns, 19);
            for row in text.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>()) {
                assert_eq!(row.len(), columns);
                by_language.entry(row[0]).or_default().push(row);
            }
            assert_eq!(
                by_language.len(),
                XNLI_LANGUAGES.iter().filter(|code| LANGUAGES.iter().any(|l| l.code == **code)).count()
            );
            let english = &by_language["en"];
            for rows in by_language.values() {
                // Everything but the language, the sentences and their tokens is the same.
                let shared = |rows: &[Vec<&str>]| -> Vec<String> {
                    rows.iter().map(|r| format!("{} {}", r[1], r[8..16].join(" "))).collect()
                };
                assert_eq!(shared(rows), shared(english));
            }
            assert!(english.iter().all(|row| !seen.contains(&(row[6], row[7]))), "{file} repeats training pairs");
        }
    }
}
