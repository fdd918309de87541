//! `QQP` and `x-final` (PAWS-X).

#[cfg(test)]
mod tests;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{Target, drawn, spoken};
use crate::error::FileError;
use crate::source::mini::clause::Utterance;
use crate::source::mini::language::{Language, english};
use crate::source::mini::paraphrase::{self, Questions, Statements};
use crate::source::mini::realize::Realizer;
use crate::source::mini::sentence::Sentence;

/// The splits of each layout at size 1.
pub const QQP: [(&str, usize); 3] = [("train", 5000), ("dev", 600), ("test", 600)];
pub const PAWS: [(&str, usize); 3] = [("train", 3000), ("dev_2k", 200), ("test_2k", 300)];

/// How people ask. `~` is the question with a capital, `#` without one.
const FRAMES: [&str; 6] = [
    "~",
    "~ Does anyone know?",
    "Can you tell me: #",
    "I want to know something. ~",
    "What do you think, #",
    "\"~\" How do I answer this?",
];
/// Share of questions with a quotation mark that nothing closes: the files have no quoting, and a reader that believes
/// in it swallows the lines that follow.
const STRAY_QUOTE: f64 = 0.02;
/// Share of rows with a line end in the second question, which cuts them into two lines without all columns.
pub const BROKEN: f64 = 0.002;

/// A question in its frame.
fn framed(question: &Utterance, frame: usize) -> String {
    let sentence = Realizer::new(english()).sentence(question);
    let text = sentence.text();
    let small = if sentence.tokens[0].tag == "PROPN" { text.clone() } else { text[..1].to_lowercase() + &text[1..] };
    FRAMES[frame].replace('~', &text).replace('#', &small)
}

/// Writes the QQP files as GLUE has them; the test file has neither labels nor the questions' own identifiers.
pub fn qqp(target: &mut Target) -> Result<(), FileError> {
    for (split, size) in QQP {
        let mut file = target.begin(format!("{split}.tsv"))?;
        let labelled = split != "test";
        let header =
            if labelled { "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate" } else { "id\tquestion1\tquestion2" };
        file.line(header)?;
        for index in 0..target.count(size) {
            let mut rng = target.rng(split, index);
            let draw = |rng: &mut ChaCha8Rng| paraphrase::questions(FRAMES.len(), rng);
            // The same two questions the other way round are the same pair.
            let Questions { questions, frames, duplicate } = drawn(split != "train", &mut rng, draw, |drawn| {
                let mut texts = drawn.questions.clone().map(|question| framed(&question, 0));
                texts.sort();
                texts.join("\t")
            });
            let [first, second] = [0, 1].map(|side| framed(&questions[side], frames[side]));
            let second = if rng.random_bool(BROKEN) { second.replacen(' ', "\n", 1) } else { second };
            let quote = if rng.random_bool(STRAY_QUOTE) { "\"" } else { "" };
            let row = if labelled {
                let label = u8::from(duplicate);
                format!("{index}\t{}\t{}\t{quote}{first}\t{second}\t{label}", 2 * index + 1, 2 * index + 2)
            } else {
                format!("{index}\t{quote}{first}\t{second}")
            };
            file.line(&row)?;
        }
        file.finish()?;
    }
    Ok(())
}

/// PAWS-X's own languages.
const PAWS_LANGUAGES: [&str; 7] = ["de", "en", "es", "fr", "ja", "ko", "zh"];

/// A pair for training or for evaluation.
fn statements(evaluation: bool, rng: &mut ChaCha8Rng) -> Statements {
    drawn(evaluation, rng, paraphrase::statements, |drawn| {
        let mut texts = sentences(drawn, english()).map(|sentence| sentence.text());
        texts.sort();
        texts.join("\t")
    })
}

fn sentences(pair: &Statements, language: &Language) -> [Sentence; 2] {
    let mut realizer = Realizer::new(language);
    pair.statements.clone().map(|clauses| realizer.sentence(&Utterance::Statement(clauses)))
}

/// Writes the PAWS-X files: the same pairs in every language; English, the original, in tokens.
pub fn paws_x(target: &mut Target) -> Result<(), FileError> {
    for language in spoken(&PAWS_LANGUAGES) {
        let is_english = language.code == "en";
        for (split, size) in PAWS {
            let name = if split == "train" && !is_english { "translated_train" } else { split };
            let mut file = target.begin(format!("{}/{name}.tsv", language.code))?;
            file.line("id\tsentence1\tsentence2\tlabel")?;
            for index in 0..target.count(size) {
                let pair = statements(split != "train", &mut target.rng(split, index));
                let written = |sentence: Sentence| if is_english { sentence.tokenized() } else { sentence.text() };
                let [first, second] = sentences(&pair, language).map(written);
                file.line(&format!("{}\t{first}\t{second}\t{}", index + 1, u8::from(pair.paraphrase)))?;
            }
            file.finish()?;
        }
    }
    Ok(())
}
