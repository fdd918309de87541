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
