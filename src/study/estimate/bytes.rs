//! Bytes that stages leave. The factors are those of Parquet as the store writes it: of large tables those of English text, which
//! compresses to a third or so, of small ones mostly the file's own schema and footer, as the mini edition has them. They are rough.

use super::number::{Basis, Estimate};
use super::tables::Table;
use crate::task::EncoderSizes;

/// Bytes of a table without rows.
const FILE: f64 = 3_500.0;
/// Bytes of the scores of no example: three tables.
const SCORE_FILES: f64 = 13_000.0;
/// Bytes of a canonical row beside its words: identifier, language, label.
const ROW: f64 = 12.0;
/// Bytes of a word, compressed.
const WORD: f64 = 2.6;
/// Bytes of a token in model inputs, compressed.
const TOKEN: f64 = 1.6;
/// Bytes of a prediction with its probabilities.
const PREDICTION: f64 = 30.0;
/// Bytes of an example's scores.
const SCORE: f64 = 12.0;
/// Bytes of what a cell adds to the analysis.
const CELL: f64 = 1_100.0;
/// Bytes of an entry of `tokenizer.json`: XLM-R's 250,002 take nine million.
const ENTRY: f64 = 36.0;
/// Bytes of a number in weights and vectors.
const NUMBER: f64 = 4.0;

/// A profile, or the overlap: a table of some rows.
pub(super) const REPORT: Option<Estimate> = Some(Estimate { value: 10_000.0, basis: Basis::Assumed });

fn each(count: Option<Estimate>, bytes: f64) -> Option<Estimate> {
    Some(count?.map(|count| count * bytes).resting_on(Basis::Declared))
}

/// Canonical tables.
pub(super) fn canonical(tables: &[Table]) -> Option<Estimate> {
    let one = |table: &Table| {
        let row = table.words.map(|words| ROW + WORD * words).resting_on(Basis::Declared);
        Some(table.examples?.times(row).map(|bytes| bytes + FILE))
    };
    Estimate::sum(tables.iter().map(one))
}

/// Model inputs: so many tokens in so many tables.
pub(super) fn tokenized(tokens: Option<Estimate>, tables: usize) -> Option<Estimate> {
    each(tokens, TOKEN).map(|bytes| bytes.map(|bytes| bytes + FILE * tables as f64))
}

/// A tokenizer of so many entries.
pub(super) fn tokenizer(vocabulary: Option<Estimate>) -> Option<Estimate> {
    each(vocabulary, ENTRY)
}

/// A trained model: every parameter of the encoder. Heads are small beside it.
pub(super) fn model(encoder: Option<(EncoderSizes, Basis)>) -> Option<Estimate> {
    let (sizes, basis) = encoder?;
    Some(Estimate::new(sizes.parameters() * NUMBER, basis.max(Basis::Published)))
}

/// The vectors of so many sentences, one for each layer.
pub(super) fn vectors(
    sentences: Option<Estimate>,
    encoder: Option<(EncoderSizes, Basis)>,
    layers: usize,
) -> Option<Estimate> {
    let (sizes, basis) = encoder?;
    Some(sentences?.map(|sentences| sentences * (sizes.hidden_size * layers) as f64 * NUMBER).resting_on(basis))
}

/// Predictions, a table a language.
pub(super) fn predictions(examples: Option<Estimate>, languages: usize) -> Option<Estimate> {
    each(examples, PREDICTION).map(|bytes| bytes.map(|bytes| bytes + FILE * languages as f64))
}

/// Scores, those of each example among them.
pub(super) fn scores(examples: Option<Estimate>) -> Option<Estimate> {
    each(examples, SCORE).map(|bytes| bytes.map(|bytes| bytes + SCORE_FILES))
}

/// Comparisons and aggregates of so many cells.
pub(super) fn analysis(cells: usize) -> Option<Estimate> {
    Some(Estimate::new(cells as f64 * CELL, Basis::Assumed))
}
