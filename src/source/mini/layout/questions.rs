//! `squad-1.1`, `xquad` and `commonsenseqa`.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::{RawFile, Target, json};
use crate::error::FileError;
use crate::source::mini::clause::Utterance;
use crate::source::mini::commonsense::{self, CHOICES};
use crate::source::mini::language::{LANGUAGES, Language, english};
use crate::source::mini::reading::{self, Passage};
use crate::source::mini::realize::Realizer;
use crate::source::mini::sample;
use crate::source::mini::text::joined;
use crate::source::mini::world::WORLD;

/// Passages, of up to three questions each, at size 1.
const SQUAD_TRAIN: usize = 1000;
const SQUAD_DEVELOPMENT: usize = 120;
const XQUAD: usize = 70;
/// Passages in one article.
const ARTICLE: usize = 10;
/// CommonsenseQA's splits at size 1.
const CHOICE_FILES: [(&str, usize); 3] =
    [("train_rand_split", 3000), ("dev_rand_split", 400), ("test_rand_split_no_answers", 400)];

#[derive(Serialize)]
struct Answer {
    /// In Unicode code points.
    answer_start: usize,
    text: String,
}

#[derive(Serialize)]
struct Asked {
    answers: Vec<Answer>,
    id: String,
    question: String,
}

#[derive(Serialize)]
struct Paragraph {
    context: String,
    qas: Vec<Asked>,
}

/// A 24-digit hexadecimal identifier, as SQuAD's questions have.
fn identifier(rng: &mut ChaCha8Rng) -> String {
    format!("{:024x}", rng.random::<u128>() >> 32)
}

/// A passage with its questions in one language. Identifiers depend on the passage, not on the language.
fn paragraph(passage: &Passage, language: &Language, mut rng: ChaCha8Rng) -> Paragraph {
    let mut realizer = Realizer::new(language);
    let sentences: Vec<_> =
        passage.sentences.iter().map(|clause| realizer.sentence(&Utterance::Statement(vec![*clause]))).collect();
    let gap = if language.spaces { " " } else { "" };
    let texts: Vec<_> = sentences.iter().map(|s| s.text()).collect();
    let start = |index: usize| texts[..index].iter().map(|t| t.chars().count() + gap.len()).sum::<usize>();
    let ask = |asked: &reading::Question| {
        let id = identifier(&mut rng);
        let (span, text) = sentences[asked.sentence].span(asked.part)?;
        let answers = vec![Answer { answer_start: start(asked.sentence) + span.start, text }];
        Some(Asked { answers, id, question: realizer.sentence(&asked.question).text() })
    };
    Paragraph { qas: passage.questions.iter().filter_map(ask).collect(), context: texts.join(gap) }
}

/// Writes one file of SQuAD's nesting, a paragraph at a time.
fn articles(
    target: &Target,
    mut file: RawFile,
    purpose: &str,
    passages: usize,
    language: &Language,
) -> Result<(), FileError> {
    file.text(r#"{"data": ["#)?;
    for index in 0..passages {
        let article = index / ARTICLE;
        let genre = sample::pick(&WORLD.genres.iter().collect::<Vec<_>>(), &mut target.rng(purpose, article));
        if index % ARTICLE == 0 {
            let separator = if index == 0 { "" } else { "]}, " };
            file.text(&format!(r#"{separator}{{"title": "{}_{article}", "paragraphs": ["#, genre.key))?;
        } else {
            file.text(", ")?;
        }
        let mut rng = target.rng(&format!("{purpose} passage"), index);
        let passage = reading::passage(&genre.places, &mut rng);
        file.text(&json(&paragraph(&passage, language, rng)))?;
    }
    file.line(r#"]}], "version": "1.1"}"#)?;
    file.finish()
}

/// Writes the SQuAD 1.1 files.
pub fn squad(target: &mut Target) -> Result<(), FileError> {
    for (split, passages) in [("train", SQUAD_TRAIN), ("dev", SQUAD_DEVELOPMENT)] {
        let file = target.begin(format!("{split}-v1.1.json"))?;
        articles(target, file, split, target.count(passages), english())?;
    }
    Ok(())
}

/// Writes the XQuAD files: the same passages and questions in every language.
pub fn xquad(target: &mut Target) -> Result<(), FileError> {
    for language in LANGUAGES.iter() {
        let file = target.begin(format!("xquad.{}.json", language.code))?;
        articles(target, file, "test", target.count(XQUAD), language)?;
    }
    Ok(())
}

#[derive(Serialize)]
struct Lettered<'a> {
    label: &'a str,
    text: String,
}

#[derive(Serialize)]
struct Stem<'a> {
    question_concept: String,
    choices: Vec<Lettered<'a>>,
    stem: String,
}

#[derive(Serialize)]
struct ChoiceRow<'a> {
    #[serde(rename = "answerKey", skip_serializing_if = "str::is_empty")]
    answer_key: &'a str,
    id: String,
    question: Stem<'a>,
}

const LETTERS: [&str; CHOICES] = ["A", "B", "C", "D", "E"];

/// Writes the CommonsenseQA files; the test file has no answers.
pub fn commonsenseqa(target: &mut Target) -> Result<(), FileError> {
    let name = |noun| english().noun(noun).citation().to_owned();
    for (split, size) in CHOICE_FILES {
        let mut file = target.begin(format!("{split}.jsonl"))?;
        for index in 0..target.count(size) {
            let mut rng = target.rng(split, index);
            let choice = commonsense::choice(&mut rng);
            let choices = choice.choices.iter().zip(LETTERS);
            file.line(&json(&ChoiceRow {
                answer_key: if split.ends_with("no_answers") { "" } else { LETTERS[choice.answer] },
                id: format!("{:032x}", rng.random::<u128>()),
                question: Stem {
                    question_concept: name(choice.concept),
                    choices: choices.map(|(noun, label)| Lettered { label, text: name(*noun) }).collect(),
                    stem: joined(&mut Realizer::new(english()), &choice.stem, english()),
                },
            }))?;
        }
        file.finish()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::source::mini::generated;

    fn paragraphs(path: &Path) -> Vec<Value> {
        let file: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        assert_eq!(file["version"], "1.1");
        let articles = file["data"].as_array().unwrap();
        articles.iter().flat_map(|article| article["paragraphs"].as_array().unwrap().clone()).collect()
    }

    /// Checks every answer of a paragraph against its context; returns the questions' identifiers.
    fn check(paragraph: &Value) -> Vec<String> {
        let context: Vec<char> = paragraph["context"].as_str().unwrap().chars().collect();
        let check = |asked: &Value| {
            for answer in asked["answers"].as_array().unwrap() {
                let (start, text) =
                    (answer["answer_start"].as_u64().unwrap() as usize, answer["text"].as_str().unwrap());
                let end = start + text.chars().count();
                assert_eq!(context[start..end].iter().collect::<String>(), text, "{asked}");
                assert!(!text.is_empty() && text.trim() == text);
            }
            asked["id"].as_str().unwrap().to_owned()
        };
        paragraph["qas"].as_array().unwrap().iter().map(check).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn answers_stand_where_they_are_said_to(seed: u64) {
            let dir = generated("xquad", 0.2, seed);
            let identifiers = |language: &Language| -> Vec<Vec<String>> {
                let path = dir.path().join(format!("xquad.{}.json", language.code));
                paragraphs(&path).iter().map(check).collect()
            };
            let english = identifiers(english());
            for language in LANGUAGES.iter() {
                prop_assert_eq!(&identifiers(language), &english, "questions of {}", &language.code);
            }
        }
    }

    #[test]
    fn squad_has_enough_distinct_questions_on_unseen_passages() {
        let dir = generated("squad-1.1", 1.0, 1);
        let [train, development] = ["train", "dev"].map(|s| paragraphs(&dir.path().join(format!("{s}-v1.1.json"))));
        let identifiers: Vec<_> = train.iter().chain(&development).flat_map(check).collect();
        assert!(identifiers.len() > 2800, "{} questions", identifiers.len());
        assert_eq!(identifiers.iter().collect::<HashSet<_>>().len(), identifiers.len());
        let seen: HashSet<_> = train.iter().map(|p| p["context"].as_str().unwrap()).collect();
        assert!(development.iter().all(|p| !seen.contains(p["context"].as_str().unwrap())));
        assert!(seen.iter().all(|context| context.split(' ').count() < 80));
    }

    #[test]
    fn commonsenseqa_has_answers_in_train_and_dev_only_and_little_overlap() {
        let dir = generated("commonsenseqa", 1.0, 1);
        let rows = |split: &str| -> Vec<Value> {
            let text = fs::read_to_string(dir.path().join(format!("{split}.jsonl"))).unwrap();
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let question = |row: &Value| {
            let mut choices: Vec<_> =
                row["question"]["choices"].as_array().unwrap().iter().map(|c| c["text"].to_string()).collect();
            choices.sort();
            format!("{} {choices:?}", row["question"]["stem"])
        };
        let [train, development, test] = CHOICE_FILES.map(|(split, _)| rows(split));
        assert!(train.iter().chain(&development).all(|row| LETTERS.contains(&row["answerKey"].as_str().unwrap())));
        assert!(test.iter().all(|row| row.get("answerKey").is_none()));
        let seen: HashSet<_> = train.iter().map(question).collect();
        let overlap = development.iter().filter(|row| seen.contains(&question(row))).count();
        assert!(
            overlap * 20 <= development.len(),
            "{overlap} of {} questions are in the training file",
            development.len()
        );
    }
}
