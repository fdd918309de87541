//! From words to tokens and instances, before anything is tokenised.

use super::number::{Basis, Estimate};
use crate::task::{Format, Lengths, TokenizerSource};

/// Tokens for each English word, as blanks divide words. XLM-R's tokenizer makes 1.22 (CosmosQA) to 1.52 (TyDiQA) of those of twenty
/// corpora of the study, 1.4 on average; other tokenizers of some 250,000 entries do alike.
const LARGE_VOCABULARY: f64 = 1.4;
/// The same of a tokenizer that a study trains on its own text: the mini edition's of 4,000 entries on its own English makes 1.44 to 1.49.
const OWN_VOCABULARY: f64 = 1.5;
/// Tokens of a text in another language for those of its English counterpart: XLM-R's on XNLI 0.86 (zh) to 1.31 (el), 1.10 on average; on
/// XQuAD 1.11; on PAWS-X 1.06. Word tagging, whose texts are no translations, has more.
const OTHER_LANGUAGE: f64 = 1.1;

/// The language in which task files count words ([`crate::task::Sketch`]), whatever a study trains in.
const COUNTED: &str = "en";

/// Special tokens around one text, and around two.
const SINGLE: f64 = 2.0;
const PAIR: f64 = 4.0;

/// Words of an English example where nobody has counted them: about the mean of the study's tasks of the format. Plain text is taken to
/// be longer than any encoder reads at once.
pub fn default_words(format: Format) -> Estimate {
    let words = match format {
        Format::Classification => 20.0,
        Format::PairClassification => 35.0,
        Format::MultipleChoice => 130.0,
        Format::SpanExtraction => 140.0,
        Format::WordTagging => 15.0,
        Format::SentenceRetrieval => 12.0,
        Format::Text => 1_000.0,
    };
    Estimate::new(words, Basis::Assumed)
}

/// What a tokenizer makes of texts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fertility(Estimate);

impl Fertility {
    /// By where the tokenizer comes from.
    pub fn of(tokenizer: &TokenizerSource) -> Self {
        let tokens = if tokenizer.is_trained() { OWN_VOCABULARY } else { LARGE_VOCABULARY };
        Self(Estimate::new(tokens, Basis::Declared))
    }

    /// Tokens of `words` English words, were they said in `language`.
    fn tokens(self, words: Estimate, language: &str) -> Estimate {
        let other = if language == COUNTED { 1.0 } else { OTHER_LANGUAGE };
        words.times(self.0).map(|tokens| tokens * other)
    }
}

/// What the encoder reads of an example.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    /// Instances: windows of a long context, else one.
    pub windows: f64,
    /// Tokens of an instance, special tokens included, in all its rows.
    pub tokens: Estimate,
    /// Tokens of a row: attention is within rows. Several choices are a row each.
    pub row: f64,
}

impl Shape {
    /// Of an example of `words` English words, told in `language`. All examples are taken to be as long as the mean: those that
    /// are longer have more windows, or lose more to the maximum length.
    pub fn of(
        format: Format,
        choices: usize,
        words: Estimate,
        language: &str,
        fertility: Fertility,
        lengths: &Lengths,
    ) -> Self {
        let text = fertility.tokens(words, language);
        let longest = lengths.of(format) as f64;
        let one = |frame: f64| {
            let tokens = text.map(|tokens| (tokens + frame).min(longest));
            Shape { windows: 1.0, tokens, row: tokens.value }
        };
        match format {
            Format::Classification | Format::WordTagging | Format::SentenceRetrieval | Format::Text => one(SINGLE),
            Format::PairClassification => one(PAIR),
            Format::MultipleChoice => {
                let choices = choices.max(1) as f64;
                let row = (text.value / choices + PAIR).min(longest);
                Shape { windows: 1.0, tokens: text.map(|_| row * choices), row }
            }
            Format::SpanExtraction => {
                // A window repeats the question and, but for the first, `stride` tokens of the context.
                let question = (text.value * QUESTION).min(lengths.question as f64);
                let context = text.value - question;
                let room = (longest - question - PAIR).max(1.0);
                let step = (room - lengths.stride as f64).max(1.0);
                let windows = 1.0 + ((context - room) / step).ceil().max(0.0);
                let read = context + (windows - 1.0) * lengths.stride as f64 + windows * (question + PAIR);
                Shape { windows, tokens: text.map(|_| read / windows), row: read / windows }
            }
        }
    }
}

/// Share of the question in question and context together: SQuAD's 14 of 200 tokens.
const QUESTION: f64 = 0.07;

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths() -> Lengths {
        Lengths { default: 256, span_extraction: 384, stride: 128, question: 64 }
    }

    fn shape(format: Format, words: f64, language: &str) -> Shape {
        let words = Estimate::new(words, Basis::Declared);
        Shape::of(format, 4, words, language, Fertility::of(&TokenizerSource::Encoder), &lengths())
    }

    #[test]
    fn real_corpora_come_out_within_a_third() {
        // Words, and tokens an example that XLM-R's tokenizer makes of the real files with special tokens and windows.
        for (format, words, language, tokens) in [
            (Format::PairClassification, 31.6, "en", 47.7),  // MNLI
            (Format::PairClassification, 64.9, "en", 100.8), // ANLI, first round
            (Format::MultipleChoice, 151.0, "en", 214.5),    // HellaSwag
            (Format::MultipleChoice, 373.0, "en", 470.3),    // CosmosQA
            (Format::SpanExtraction, 143.9, "en", 223.8),    // SQuAD 2.0
            (Format::SpanExtraction, 137.0, "de", 234.1),    // XQuAD
            (Format::WordTagging, 17.7, "en", 25.0),         // UD-POS
            (Format::PairClassification, 27.5, "sw", 44.1),  // XNLI
            (Format::PairClassification, 27.5, "zh", 36.6),
        ] {
            let shape = shape(format, words, language);
            let factor = shape.windows * shape.tokens.value / tokens;
            assert!((0.75..1.33).contains(&factor), "{format} of {words} words in {language}: {factor}");
        }
    }

    #[test]
    fn longer_texts_are_never_less_and_rows_never_longer_than_allowed() {
        for format in Format::ALL {
            let mut before = 0.0;
            for words in [1.0, 5.0, 20.0, 100.0, 250.0, 300.0, 1_000.0, 5_000.0] {
                let shape = shape(format, words, "en");
                let read = shape.windows * shape.tokens.value;
                assert!(
                    read >= before && shape.row <= lengths().of(format) as f64 + 1e-9,
                    "{format}, {words} words: {shape:?}"
                );
                before = read;
            }
        }
    }

    #[test]
    fn several_choices_are_rows_of_their_own() {
        let shape = shape(Format::MultipleChoice, 100.0, "en");
        assert_eq!((shape.tokens.value, shape.row), (100.0 * 1.4 + 16.0, 39.0));
    }
}
