//! How much the mini edition will write, without writing it.

use super::MiniOptions;
use super::layout::{choices, derivations, entailment, entities, lines, paraphrases, reading, retrieval, scaled};
use crate::task::Split;

/// Examples of one language in one split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MiniSize {
    /// So many.
    Exactly(u64),
    /// So many on average; how many in truth, the draws decide.
    About(f64),
}

impl MiniSize {
    /// The number.
    pub fn examples(self) -> f64 {
        match self {
            MiniSize::Exactly(examples) => examples as f64,
            MiniSize::About(examples) => examples,
        }
    }
}

/// Questions that a passage is asked: up to three, and hardly ever fewer.
const QUESTIONS: f64 = 3.0;

/// How many examples a task whose raw files have `layout` has in each language of `split`; none where the layout has no such
/// split, or where nobody has counted.
pub fn size(layout: &str, options: &MiniOptions, split: Split) -> Option<MiniSize> {
    let count = |at_default_size: usize| scaled(options, at_default_size);
    let exactly = |sizes: [Option<usize>; 3]| Some(MiniSize::Exactly(count(sizes[split as usize]?) as u64));
    let three = |sizes: [(&str, usize); 3]| exactly(sizes.map(|(_, size)| Some(size)));
    let about =
        |sizes: [Option<usize>; 3], each: f64| Some(MiniSize::About(count(sizes[split as usize]?) as f64 * each));
    let decided = 1.0 - entailment::UNDECIDED;
    let two = |[(_, first), (_, second)]: [(&str, usize); 2]| [Some(first), Some(second)];
    match layout {
        "multinli_1.0" => about([Some(entailment::TRAIN), Some(entailment::DEVELOPMENT), None], decided),
        "XNLI-MT-1.0" => about([Some(entailment::TRAIN), None, None], decided),
        "XNLI-1.0" => exactly([None, Some(entailment::XNLI_DEVELOPMENT), Some(entailment::XNLI_TEST)]),
        "snli_1.0" => about(entailment::SNLI.map(|(_, size)| Some(size)), decided),
        "anli_v1.0" => three(entailment::ANLI),
        "QQP" => about(paraphrases::QQP.map(|(_, size)| Some(size)), 1.0 - paraphrases::BROKEN),
        "x-final" => three(paraphrases::PAWS),
        "squad-1.1" | "squad-2.0" | "squad-translate-train" | "mlqa-translate-train" => {
            let [train, validation] = two(reading::SQUAD);
            about([train, validation, None], QUESTIONS)
        }
        "xquad" => about([None, None, Some(reading::XQUAD)], QUESTIONS),
        "tydiqa" | "tydiqa-translate-train" => {
            // One question of each article, which are dealt out to the languages in turn. Evaluation is on the development split.
            let [(_, train), (_, development)] = reading::TYDIQA;
            let languages = reading::tydiqa_languages() as f64;
            about([Some(train), Some(development), Some(development)], 1.0 / languages)
        }
        "commonsenseqa" => three(choices::COMMONSENSE_QA),
        "hellaswag" => three(choices::HELLASWAG),
        "socialIQa_v1.4" => three(choices::SOCIAL_IQA),
        "cosmosqa" => three(choices::COSMOS_QA),
        "COPA" => {
            let [train, validation] = two(choices::COPA);
            exactly([train, validation, None])
        }
        "xcopa" => {
            let [validation, test] = two(choices::XCOPA);
            exactly([None, validation, test])
        }
        "ccgbank_1_1" => {
            let evaluation = count(derivations::EVALUATION_SECTION);
            let train = derivations::TRAINING.count() * count(derivations::TRAIN_SECTION);
            Some(MiniSize::Exactly(if split == Split::Train { train } else { evaluation } as u64))
        }
        "ud-treebanks-v2.5" => three(lines::TREEBANK),
        "panx_dataset" => three(entities::PANX),
        // Each line is a query in English and a sentence to be found.
        "tatoeba-v1" => (split == Split::Test).then(|| MiniSize::Exactly(2 * count(retrieval::TATOEBA) as u64)),
        "bucc2018" => {
            let [(_, sample), (_, training)] = retrieval::BUCC;
            let rows =
                |[others, english, _]: [usize; 3]| Some(MiniSize::Exactly((count(others) + count(english)) as u64));
            match split {
                Split::Train => None,
                Split::Validation => rows(sample),
                Split::Test => rows(training),
            }
        }
        "text" => exactly([Some(lines::TEXT), None, None]),
        _ => None,
    }
}

/// The mean number of words, as blanks divide them, that an encoder reads of an English example of `layout`; none where nobody
/// has counted. It does not depend on the size.
pub fn words(layout: &str) -> Option<f64> {
    let counted = [
        ("multinli_1.0", 13.8),
        ("XNLI-MT-1.0", 13.8),
        ("XNLI-1.0", 14.2),
        ("snli_1.0", 13.9),
        ("anli_v1.0", 25.0),
        ("QQP", 15.7),
        ("x-final", 25.1),
        ("squad-1.1", 28.8),
        ("squad-2.0", 28.9),
        ("squad-translate-train", 28.8),
        ("xquad", 29.1),
        ("xquad-r", 5.5),
        ("MLQA_V1", 28.2),
        ("mlqa-translate-train", 28.8),
        ("tydiqa", 28.6),
        ("tydiqa-translate-train", 28.6),
        // Of several choices, each with the question.
        ("commonsenseqa", 30.5),
        ("hellaswag", 39.7),
        ("socialIQa_v1.4", 59.0),
        ("cosmosqa", 143.0),
        ("COPA", 37.4),
        ("xcopa", 35.0),
        ("ccgbank_1_1", 7.5),
        ("ud-treebanks-v2.5", 7.3),
        ("panx_dataset", 6.6),
        ("tatoeba-v1", 6.0),
        ("bucc2018", 12.6),
        ("mewsli-x", 10.3),
        ("text", 10.8),
    ];
    counted.iter().find(|(name, _)| *name == layout).map(|(_, words)| *words)
}

#[cfg(test)]
mod tests {
    use super::super::{LAYOUTS, generated};
    use super::*;

    #[test]
    fn sizes_are_those_of_what_is_written() {
        let options = MiniOptions { size: 0.03, ..MiniOptions::default() };
        let lines = |layout: &str, file: &str| {
            let text = std::fs::read_to_string(generated(layout, 0.03, 1).path().join(file)).unwrap();
            text.lines().count() as u64
        };
        for (layout, split, file) in [
            ("text", Split::Train, "de.txt"),
            ("commonsenseqa", Split::Train, "train_rand_split.jsonl"),
            ("anli_v1.0", Split::Test, "R2/test.jsonl"),
            ("COPA", Split::Validation, "val.jsonl"),
        ] {
            assert_eq!(size(layout, &options, split), Some(MiniSize::Exactly(lines(layout, file))), "{layout}");
        }
        // A line without a majority now and then.
        let pairs = size("snli_1.0", &options, Split::Train).unwrap().examples();
        let written = lines("snli_1.0", "snli_1.0_train.jsonl") as f64;
        assert!(pairs < written && pairs > 0.95 * written);
        assert_eq!(size("text", &options, Split::Test), None);
        assert!(LAYOUTS.iter().all(|layout| words(layout).is_some()));
    }
}
