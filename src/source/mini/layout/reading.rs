//! The reading comprehension layouts: `squad-1.1`, `squad-2.0`, `xquad`, `xquad-r`, `MLQA_V1`, `tydiqa` and the
//! translated training sets.

#[cfg(test)]
mod tests;

use std::ops::Range;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Target, hexadecimal, json, spoken};
use crate::error::FileError;
use crate::source::mini::clause::Utterance;
use crate::source::mini::language::{Language, english};
use crate::source::mini::reading::{self, Passage};
use crate::source::mini::realize::Realizer;
use crate::source::mini::sample;
use crate::source::mini::sentence::Sentence;
use crate::source::mini::world::{Genre, WORLD};

/// Passages, of up to three questions each, at size 1.
pub const SQUAD: [(&str, usize); 2] = [("train", 1000), ("dev", 120)];
pub const XQUAD: usize = 70;
const MLQA: [(&str, usize); 2] = [("dev", 30), ("test", 60)];
/// Passages of one question each, all languages together, at size 1.
pub const TYDIQA: [(&str, usize); 2] = [("train", 3500), ("dev", 500)];
/// Passages in one article.
const ARTICLE: usize = 10;
/// Share of SQuAD 2.0's questions that the passage doesn't answer.
const UNANSWERABLE: f64 = 0.4;

/// How a file of SQuAD's nesting is written: every publisher has another order of the keys.
struct Form {
    opening: &'static str,
    closing: &'static str,
    article: [&'static str; 2],
    paragraph: &'static [&'static str],
    question: &'static [&'static str],
    answer: [&'static str; 2],
    /// Annotators who give the same answer.
    annotators: usize,
    /// Whether characters beyond ASCII are escaped.
    ascii: bool,
}

const SQUAD_1: Form = Form {
    opening: r#"{"data": ["#,
    closing: r#"], "version": "1.1"}"#,
    article: ["title", "paragraphs"],
    paragraph: &["context", "qas"],
    question: &["answers", "question", "id"],
    answer: ["answer_start", "text"],
    annotators: 1,
    ascii: true,
};
const SQUAD_2: Form = Form {
    opening: r#"{"version": "v2.0", "data": ["#,
    closing: "]}",
    paragraph: &["qas", "context"],
    question: &["plausible_answers", "question", "id", "answers", "is_impossible"],
    answer: ["text", "answer_start"],
    ..SQUAD_1
};
const XQUAD_FORM: Form = Form { article: ["paragraphs", "title"], question: &["answers", "id", "question"], ..SQUAD_1 };
const XQUAD_R: Form = Form { paragraph: &["context", "qas", "sentence_breaks", "sentences"], ..XQUAD_FORM };
const MLQA_FORM: Form = Form {
    opening: r#"{"version": 1.0, "data": ["#,
    closing: "]}",
    question: &["id", "question", "answers"],
    answer: ["text", "answer_start"],
    ..SQUAD_1
};
const MLQA_TRANSLATED: Form = Form { opening: r#"{"data": ["#, question: &["question", "id", "answers"], ..MLQA_FORM };
const TYDIQA_TRAIN: Form =
    Form { closing: r#"], "version": "TyDiQA-GoldP-1.1-for-SQuAD-1.1"}"#, ascii: false, ..XQUAD_FORM };
const TYDIQA_DEVELOPMENT: Form = Form {
    closing: TYDIQA_TRAIN.closing,
    paragraph: &["qas", "context"],
    question: &["question", "answers", "id"],
    answer: ["text", "answer_start"],
    annotators: 2,
    ascii: false,
    ..SQUAD_1
};

/// A piece of the context: its range in Unicode code points, and its text.
type Piece = (Range<usize>, String);

/// A question in one language. Without an answer it has one that only seems right.
struct Asked {
    id: String,
    question: String,
    answer: Option<Piece>,
    plausible: Option<Piece>,
}

/// A passage with its questions in one language.
struct Paragraph {
    context: String,
    sentences: Vec<Sentence>,
    /// Where each sentence stands, in Unicode code points.
    breaks: Vec<Range<usize>>,
    asked: Vec<Asked>,
}

impl Paragraph {
    /// The passage's sentences in `language`; no questions yet.
    fn new(passage: &Passage, language: &Language) -> Paragraph {
        let mut realizer = Realizer::new(language);
        let statements = passage.sentences.iter().map(|clause| Utterance::Statement(vec![*clause]));
        let sentences: Vec<_> = statements.map(|statement| realizer.sentence(&statement)).collect();
        let texts: Vec<_> = sentences.iter().map(Sentence::text).collect();
        let gap = if language.spaces { " " } else { "" };
        let mut end = 0;
        let breaks = texts.iter().enumerate().map(|(index, text)| {
            let start = end + if index > 0 { gap.len() } else { 0 };
            end = start + text.chars().count();
            start..end
        });
        Paragraph { breaks: breaks.collect(), context: texts.join(gap), sentences, asked: Vec::new() }
    }

    /// The passage in `language` with its questions in `question_language`. Identifiers depend on the passage alone.
    fn asking(
        passage: &Passage,
        language: &Language,
        question_language: &Language,
        mut identifier: impl FnMut() -> String,
    ) -> Paragraph {
        let mut paragraph = Paragraph::new(passage, language);
        let mut realizer = Realizer::new(question_language);
        for asked in &passage.questions {
            let id = identifier();
            if let Some(piece) = paragraph.piece(asked) {
                let question = realizer.sentence(&asked.question).text();
                paragraph.asked.push(Asked { id, question, answer: Some(piece), plausible: None });
            }
        }
        paragraph
    }

    /// Where the part that the question asks for stands in the context.
    fn piece(&self, asked: &reading::Question) -> Option<Piece> {
        let (span, text) = self.sentences[asked.sentence].span(asked.part)?;
        let start = self.breaks[asked.sentence].start + span.start;
        Some((start..start + span.len(), text))
    }

    /// The paragraph as JSON; none without a question.
    fn json(&self, form: &Form) -> Option<String> {
        if self.asked.is_empty() {
            return None;
        }
        let field = |key: &&'static str| match *key {
            "context" => (*key, json::value(&self.context)),
            "qas" => (*key, json::list(self.asked.iter().map(|asked| asked.json(form)))),
            "sentence_breaks" => {
                (*key, json::list(self.breaks.iter().map(|b| json::list([b.start, b.end].map(json::value)))))
            }
            _ => (*key, json::list(self.sentences.iter().map(|sentence| json::value(sentence.text())))),
        };
        let json = json::object(&form.paragraph.iter().map(field).collect::<Vec<_>>());
        Some(if form.ascii { json::ascii(&json) } else { json })
    }
}

impl Asked {
    fn json(&self, form: &Form) -> String {
        let answers = |pieces: Vec<&Piece>| {
            let answer = |(range, text): &Piece| {
                json::object(&form.answer.map(|key| match key {
                    "text" => (key, json::value(text)),
                    _ => (key, json::value(range.start)),
                }))
            };
            json::list(pieces.into_iter().map(answer))
        };
        let field = |key: &&'static str| {
            let json = match *key {
                "plausible_answers" => answers(vec![self.plausible.as_ref()?]),
                "answers" => {
                    answers(self.answer.iter().flat_map(|a| std::iter::repeat_n(a, form.annotators)).collect())
                }
                "is_impossible" => json::value(self.answer.is_none()),
                "id" => json::value(&self.id),
                _ => json::value(&self.question),
            };
            Some((*key, json))
        };
        json::object(&form.question.iter().filter_map(field).collect::<Vec<_>>())
    }
}

/// Where passages come from: the same for a layout and for those that translate it.
struct Series {
    layout: &'static str,
    purpose: &'static str,
}

impl Series {
    /// The genre of the article that holds the passage.
    fn genre(&self, target: &Target, index: usize) -> &'static Genre {
        let mut rng = target.rng_of(self.layout, self.purpose, index / ARTICLE);
        sample::pick(&WORLD.genres.iter().collect::<Vec<_>>(), &mut rng)
    }

    /// A passage, and the generator for its identifiers.
    fn passage(&self, target: &Target, index: usize) -> (Passage, ChaCha8Rng) {
        let mut rng = target.rng_of(self.layout, &format!("{} passage", self.purpose), index);
        (reading::passage(&self.genre(target, index).places, &mut rng), rng)
    }

    /// Writes a file of passages, an article at a time; those without a question are left out.
    fn write(
        &self,
        target: &mut Target,
        path: String,
        form: &Form,
        passages: usize,
        paragraph: impl Fn(Passage, ChaCha8Rng) -> Paragraph,
    ) -> Result<(), FileError> {
        let count = target.count(passages);
        write(target, path, form, 0..count.div_ceil(ARTICLE), |target, number| {
            let first = number * ARTICLE;
            let rendered = (first..(first + ARTICLE).min(count)).filter_map(|index| {
                let (passage, rng) = self.passage(target, index);
                paragraph(passage, rng).json(form)
            });
            let paragraphs: Vec<_> = rendered.collect();
            let title = format!("{}_{number}", self.genre(target, first).key);
            (!paragraphs.is_empty()).then(|| article(form, &title, paragraphs))
        })
    }
}

/// Writes a file of the articles that `article` renders; those it has nothing for are left out.
fn write(
    target: &mut Target,
    path: String,
    form: &Form,
    articles: impl Iterator<Item = usize>,
    article: impl Fn(&Target, usize) -> Option<String>,
) -> Result<(), FileError> {
    let mut file = target.begin(path)?;
    file.text(form.opening)?;
    let mut separator = "";
    for article in articles.filter_map(|number| article(target, number)) {
        file.text(separator)?;
        file.text(&article)?;
        separator = ", ";
    }
    file.line(form.closing)?;
    file.finish()
}

fn article(form: &Form, title: &str, paragraphs: Vec<String>) -> String {
    let paragraphs = json::list(paragraphs);
    json::object(&form.article.map(|key| match key {
        "title" => (key, json::value(title)),
        _ => (key, paragraphs.clone()),
    }))
}

/// A 24-digit hexadecimal identifier, as SQuAD's questions have.
fn identifier(rng: &mut ChaCha8Rng) -> String {
    format!("{:024x}", rng.random::<u128>() >> 32)
}

/// The passage and its questions in one language, under SQuAD's identifiers.
fn translated(passage: &Passage, language: &Language, mut rng: ChaCha8Rng) -> Paragraph {
    Paragraph::asking(passage, language, language, || identifier(&mut rng))
}

fn squad_series(purpose: &'static str) -> Series {
    Series { layout: "squad-1.1", purpose }
}

/// Writes the SQuAD 1.1 files.
pub fn squad(target: &mut Target) -> Result<(), FileError> {
    for (split, passages) in SQUAD {
        let render = |passage: Passage, rng| translated(&passage, english(), rng);
        squad_series(split).write(target, format!("{split}-v1.1.json"), &SQUAD_1, passages, render)?;
    }
    Ok(())
}

/// Writes SQuAD 1.1's training passages in XQuAD's languages, as XTREME names the files.
pub fn squad_translated(target: &mut Target) -> Result<(), FileError> {
    for language in spoken(&XQUAD_LANGUAGES).filter(|language| language.code != "en") {
        let path = format!("squad.translate.train.en-{}.json", language.code);
        let render = |passage: Passage, rng| translated(&passage, language, rng);
        squad_series("train").write(target, path, &SQUAD_1, SQUAD[0].1, render)?;
    }
    Ok(())
}

/// Writes both of SQuAD 1.1's files in MLQA's languages, as MLQA names them.
pub fn mlqa_translated(target: &mut Target) -> Result<(), FileError> {
    for language in spoken(&MLQA_LANGUAGES).filter(|language| language.code != "en") {
        for (split, passages) in SQUAD {
            let path = format!("{}_squad-translate-train-{split}-v1.1.json", language.code);
            let render = |passage: Passage, rng| translated(&passage, language, rng);
            squad_series(split).write(target, path, &MLQA_TRANSLATED, passages, render)?;
        }
    }
    Ok(())
}

/// Writes the SQuAD 2.0 files: passages of their own, some of whose questions have no answer.
pub fn squad_2(target: &mut Target) -> Result<(), FileError> {
    for (split, passages) in SQUAD {
        let form = Form { annotators: if split == "dev" { 3 } else { 1 }, ..SQUAD_2 };
        let render = |passage: Passage, mut rng: ChaCha8Rng| partly_answered(&passage, &mut rng);
        Series { layout: "squad-2.0", purpose: split }.write(
            target,
            format!("{split}-v2.0.json"),
            &form,
            passages,
            render,
        )?;
    }
    Ok(())
}

/// An English passage; some questions about it are changed so that it doesn't answer them.
fn partly_answered(passage: &Passage, rng: &mut ChaCha8Rng) -> Paragraph {
    let mut paragraph = Paragraph::new(passage, english());
    for answerable in &passage.questions {
        let id = identifier(rng);
        let changed =
            if rng.random_bool(UNANSWERABLE) { reading::unanswerable(passage, answerable.sentence, rng) } else { None };
        let asked = changed.as_ref().unwrap_or(answerable);
        if let Some(piece) = paragraph.piece(asked) {
            let question = Realizer::new(english()).sentence(&asked.question).text();
            let (answer, plausible) = if changed.is_some() { (None, Some(piece)) } else { (Some(piece), None) };
            paragraph.asked.push(Asked { id, question, answer, plausible });
        }
    }
    paragraph
}

/// The languages of XQuAD's professional translations, which XQuAD-R shares.
const XQUAD_LANGUAGES: [&str; 11] = ["ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"];

/// Writes the XQuAD files: the same passages and questions in every language.
pub fn xquad(target: &mut Target) -> Result<(), FileError> {
    for language in spoken(&XQUAD_LANGUAGES) {
        let render = |passage: Passage, rng| translated(&passage, language, rng);
        let path = format!("xquad.{}.json", language.code);
        Series { layout: "xquad", purpose: "test" }.write(target, path, &XQUAD_FORM, XQUAD, render)?;
    }
    Ok(())
}

/// Writes the XQuAD-R files: XQuAD's passages with the ranges of their sentences.
pub fn xquad_r(target: &mut Target) -> Result<(), FileError> {
    for language in spoken(&XQUAD_LANGUAGES) {
        let render = |passage: Passage, rng| translated(&passage, language, rng);
        let path = format!("{}.json", language.code);
        Series { layout: "xquad", purpose: "test" }.write(target, path, &XQUAD_R, XQUAD, render)?;
    }
    Ok(())
}

/// MLQA's own languages.
const MLQA_LANGUAGES: [&str; 7] = ["en", "es", "de", "ar", "hi", "vi", "zh"];

/// Whether MLQA has the question in the language: all are in English, and most in some of the other languages.
fn has(language: &Language, id: &str) -> bool {
    language.code == "en" || blake3::hash(format!("{id} {}", language.code).as_bytes()).as_bytes()[0] < 160
}

/// Writes the MLQA files: every language of the context with every language of the question.
pub fn mlqa(target: &mut Target) -> Result<(), FileError> {
    for (split, passages) in MLQA {
        for context in spoken(&MLQA_LANGUAGES) {
            for question in spoken(&MLQA_LANGUAGES) {
                let path = format!("{split}/{split}-context-{}-question-{}.json", context.code, question.code);
                let render = |passage: Passage, mut rng: ChaCha8Rng| {
                    let mut paragraph = Paragraph::asking(&passage, context, question, || hexadecimal(40, &mut rng));
                    paragraph.asked.retain(|asked| has(context, &asked.id) && has(question, &asked.id));
                    paragraph
                };
                Series { layout: "MLQA_V1", purpose: split }.write(target, path, &MLQA_FORM, passages, render)?;
            }
        }
    }
    Ok(())
}

/// TyDiQA's own languages.
const TYDIQA_LANGUAGES: [&str; 9] = ["ar", "bn", "en", "fi", "id", "ko", "ru", "sw", "te"];

/// How many of TyDiQA's languages are written, in turn.
pub fn tydiqa_languages() -> usize {
    spoken(&TYDIQA_LANGUAGES).count()
}

/// An article of TyDiQA with its one question: language by language in turn, each with passages of its own. None where
/// the passage has no question.
fn tydiqa_article(
    target: &Target,
    split: &'static str,
    index: usize,
    language: &Language,
    asked_in: &Language,
    form: &Form,
) -> Option<String> {
    let (mut passage, mut rng) = Series { layout: "tydiqa", purpose: split }.passage(target, index);
    passage.questions.truncate(1);
    let id = format!("{}-{}-{}", asked_in.name.to_lowercase(), rng.random::<i64>(), rng.random_range(0..30));
    let paragraph = Paragraph::asking(&passage, language, language, || id.clone()).json(form)?;
    Some(article(form, &format!("{}_{index}", asked_in.code), vec![paragraph]))
}

/// Writes the TyDiQA gold passage files: all languages in one, nothing parallel.
pub fn tydiqa(target: &mut Target) -> Result<(), FileError> {
    let languages: Vec<_> = spoken(&TYDIQA_LANGUAGES).collect();
    for ((split, passages), form) in TYDIQA.into_iter().zip([TYDIQA_TRAIN, TYDIQA_DEVELOPMENT]) {
        let path = format!("tydiqa-goldp-v1.1-{split}.json");
        let articles = 0..target.count(passages);
        write(target, path, &form, articles, |target, index| {
            let language = languages[index % languages.len()];
            tydiqa_article(target, split, index, language, language, &form)
        })?;
    }
    Ok(())
}

/// Writes TyDiQA's English training articles in its other languages, as XTREME names the files.
pub fn tydiqa_translated(target: &mut Target) -> Result<(), FileError> {
    let languages = tydiqa_languages();
    for language in spoken(&TYDIQA_LANGUAGES).filter(|language| language.code != "en") {
        let path = format!("tydiqa.translate.train.en-{}.json", language.code);
        // English comes first in the mini edition, and so in every round of the languages.
        let english_articles = (0..target.count(TYDIQA[0].1)).step_by(languages);
        write(target, path, &TYDIQA_TRAIN, english_articles, |target, index| {
            tydiqa_article(target, "train", index, language, english(), &TYDIQA_TRAIN)
        })?;
    }
    Ok(())
}
