//! A naive Bayes classifier with add-one smoothing: what simple cues give away, for the tests of the writers.

use std::collections::{BTreeMap, HashMap, HashSet};

/// A bag of words and its label.
pub type Example = (Vec<String>, String);

/// The words of a text.
pub fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

struct Classifier {
    /// For each label: examples, words, and how often each word is among them.
    labels: BTreeMap<String, (f64, f64, HashMap<String, f64>)>,
    vocabulary: f64,
}

impl Classifier {
    fn trained(examples: &[Example]) -> Classifier {
        let mut labels: BTreeMap<String, (f64, f64, HashMap<String, f64>)> = BTreeMap::new();
        for (words, label) in examples {
            let (examples, total, counts) = labels.entry(label.clone()).or_default();
            *examples += 1.0;
            *total += words.len() as f64;
            for word in words {
                *counts.entry(word.clone()).or_default() += 1.0;
            }
        }
        let vocabulary: HashSet<_> = examples.iter().flat_map(|(words, _)| words).collect();
        Classifier { vocabulary: vocabulary.len() as f64, labels }
    }

    fn score(&self, words: &[String], label: &str) -> f64 {
        let (examples, total, counts) = &self.labels[label];
        let word = |w: &String| ((counts.get(w).unwrap_or(&0.0) + 1.0) / (total + self.vocabulary)).ln();
        examples.ln() + words.iter().map(word).sum::<f64>()
    }
}

/// Share of `test` that a classifier trained on `train` labels rightly.
pub fn accuracy(train: &[Example], test: &[Example]) -> f64 {
    let classifier = Classifier::trained(train);
    let right = test.iter().filter(|(words, label)| {
        let score = |label: &String| classifier.score(words, label);
        classifier.labels.keys().max_by(|a, b| score(a).total_cmp(&score(b))) == Some(label)
    });
    right.count() as f64 / test.len() as f64
}

/// Share of questions, each its choices and the position of the right one, that a classifier of choices answers rightly.
pub fn choice_accuracy(train: &[(Vec<Vec<String>>, usize)], test: &[(Vec<Vec<String>>, usize)]) -> f64 {
    let choices = train.iter().flat_map(|(choices, answer)| {
        choices.iter().enumerate().map(move |(index, words)| (words.clone(), (index == *answer).to_string()))
    });
    let classifier = Classifier::trained(&choices.collect::<Vec<_>>());
    let right = test.iter().filter(|(choices, answer)| {
        let score = |words: &[String]| classifier.score(words, "true") - classifier.score(words, "false");
        let best = (0..choices.len()).max_by(|a, b| score(&choices[*a]).total_cmp(&score(&choices[*b])));
        best == Some(*answer)
    });
    right.count() as f64 / test.len() as f64
}

#[test]
fn the_classifier_finds_what_is_there_to_find() {
    let example = |text: &str, label: &str| (words(text), label.to_owned());
    let train = [example("a b b", "x"), example("b c", "x"), example("c d d", "y")];
    assert_eq!(accuracy(&train, &[example("b", "x"), example("d c", "y"), example("d", "x")]), 2.0 / 3.0);
    let question = |choices: [&str; 2], answer| (choices.map(words).to_vec(), answer);
    let train = [question(["a x", "b"], 0), question(["b", "a"], 1)];
    assert_eq!(choice_accuracy(&train, &[question(["b y", "a y"], 1)]), 1.0);
}
