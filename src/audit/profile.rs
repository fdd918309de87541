//! What a task's tables hold: one row a split and language.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::{
    Array, ArrayRef, AsArray, Float64Array, ListBuilder, RecordBatch, StringArray, StringBuilder, UInt32Array,
    UInt64Array, UInt64Builder,
};
use arrow::datatypes::{DataType, Field, Float64Type, UInt32Type, UInt64Type};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::AuditError;
use super::fold::{Folder, count_words};
use super::texts::{fold_rows, text_columns};
use crate::distinct::Seen;
use crate::error::Error;
use crate::progress::{Progress, check};
use crate::schema;
use crate::shard::{self, Columns, read_batches};
use crate::task::{Format, Split};

/// Which tables to describe.
pub struct ProfileRequest<'a> {
    /// The task's id.
    pub task: &'a str,
    /// The format of its tables.
    pub format: Format,
    /// Its labels or tags, in order; their counts are listed in this order.
    pub labels: &'a [String],
    /// Split, language and file of each canonical table.
    pub tables: &'a [(Split, String, PathBuf)],
    /// What tokenising these tables gave; none where they are not tokenised.
    pub tokens: Option<&'a [TokenCounts]>,
}

/// What tokenising gave for one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenCounts {
    /// The table's split.
    pub split: Split,
    /// The table's language.
    pub language: String,
    /// Rows of the tokenised table.
    pub instances: u64,
    /// Tokens of all instances, special tokens included.
    pub tokens: u64,
    /// Special tokens that frame one encoded sequence.
    pub framing: u64,
    /// Unknown tokens.
    pub unknown_tokens: u64,
    /// Examples that lost text to the maximum length.
    pub truncated_examples: u64,
}

/// One table, described.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// The task's id.
    pub task: String,
    /// Its split.
    pub split: Split,
    /// Its language, ISO 639-1.
    pub language: String,
    /// Rows.
    pub examples: u64,
    /// Words of all texts; see `schemas/profiles.json` for what a word is.
    pub words: u64,
    /// Characters (code points) of all texts.
    pub characters: u64,
    /// Characters of an example's texts together: mean, median, 95th percentile, most.
    pub length_mean: f64,
    /// Half of the examples are no longer than this.
    pub length_median: u32,
    /// 95 of 100 examples are no longer than this.
    pub length_p95: u32,
    /// The longest example.
    pub length_max: u32,
    /// Rows whose texts are those of an earlier row of the table.
    pub duplicates: u64,
    /// How many examples (tagging: words) have each label, in the task's order; rows without gold are not counted.
    pub labels: Vec<(String, u64)>,
    /// Spans: the share of questions with an answer.
    pub answerable_share: Option<f64>,
    /// What the tokenizer makes of them.
    #[serde(flatten)]
    pub tokens: Option<TokenProfile>,
}

/// What a tokenizer makes of a table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TokenProfile {
    /// Rows of the tokenised table.
    pub instances: u64,
    /// Tokens of all instances, special tokens left out.
    pub tokens: u64,
    /// Tokens for each word that was encoded: the tokenizer's fertility.
    pub tokens_per_word: f64,
    /// Share of those tokens that are the unknown token.
    pub unknown_share: f64,
    /// Share of the examples that lost text to the maximum length.
    pub truncated_share: f64,
}

/// What [`profile`] found, in the order of the request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProfileOutcome {
    /// One a table.
    pub profiles: Vec<Profile>,
}

/// Describes every table of `request` and writes `profiles.parquet` into `output`, in the schema `profiles`, on the
/// current rayon pool, one thread a table. Memory: a batch and a count a different length, for each; what duplicates are
/// told by goes to temporary files in `output` where it gets large.
///
/// # Errors
/// A table that is missing, broken or not canonical, named; a failed write; `stop`.
pub fn profile(
    request: &ProfileRequest,
    output: &Path,
    metadata: &[(&str, &str)],
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<ProfileOutcome, Error> {
    progress.start(0, "rows");
    let done = AtomicU64::new(0);
    let described: Vec<Result<Profile, Error>> = request
        .tables
        .par_iter()
        .map(|(split, language, path)| {
            let mut count = Count::new(request);
            let mut seen = Seen::new(output);
            for batch in read_batches(path)? {
                check(stop)?;
                let batch = batch?;
                count.add(path, &batch, &mut seen)?;
                let rows = batch.num_rows() as u64;
                progress.advance(done.fetch_add(rows, Ordering::Relaxed) + rows, "");
            }
            let different = seen.count().map_err(AuditError::File)?;
            Ok(count.finish(*split, language, different))
        })
        .collect();
    let profiles = described.into_iter().collect::<Result<Vec<_>, _>>()?;
    progress.finish();
    let table = schema::table("profiles");
    let schema_metadata = table.metadata();
    let metadata: Vec<(&str, &str)> =
        metadata.iter().copied().chain(schema_metadata.iter().map(|(key, value)| (*key, value.as_str()))).collect();
    let batch = profile_rows(&profiles);
    shard::write_table(&output.join("profiles.parquet"), &table.schema, &metadata, &[batch])?;
    Ok(ProfileOutcome { profiles })
}

/// A table under way.
struct Count<'a> {
    request: &'a ProfileRequest<'a>,
    folder: Folder,
    examples: u64,
    words: u64,
    characters: u64,
    /// Words as the tokenizer meets them: what stands beside each choice is encoded as often as there are choices.
    encoded_words: u64,
    /// Sequences of multiple choice, one a choice.
    choices: u64,
    lengths: BTreeMap<u32, u64>,
    labels: BTreeMap<String, u64>,
}

impl<'a> Count<'a> {
    fn new(request: &'a ProfileRequest<'a>) -> Self {
        Self {
            request,
            folder: Folder::default(),
            examples: 0,
            words: 0,
            characters: 0,
            encoded_words: 0,
            choices: 0,
            lengths: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }

    fn add(&mut self, path: &Path, batch: &RecordBatch, seen: &mut Seen) -> Result<(), Error> {
        let format = self.request.format;
        let columns = text_columns(format, path, batch)?;
        let tables = Columns::new(path, batch);
        let choices = (format == Format::MultipleChoice).then(|| tables.list("choices")).transpose()?;
        let words = (format == Format::WordTagging).then(|| tables.list("words")).transpose()?;
        for hash in fold_rows(&columns, &mut self.folder, |_, _, _, _| ()) {
            seen.insert(u128::from(hash), 0).map_err(AuditError::File)?;
        }
        for row in 0..batch.num_rows() {
            let repeated = choices.map_or(1, |choices| choices.value_length(row) as u64);
            let mut length = 0;
            for column in &columns {
                let Some(text) = column.texts[row].as_deref() else { continue };
                let count = words.map_or_else(|| count_words(text), |words| words.value_length(row) as u64);
                self.words += count;
                self.encoded_words += count * if column.field == "choices" { 1 } else { repeated };
                length += text.chars().count() as u64;
            }
            // The spaces between tagged words, or between choices, are ours.
            let gaps = words.or(choices).map_or(0, |list| list.value_length(row).saturating_sub(1) as u64);
            length -= gaps.min(length);
            self.choices += repeated;
            self.characters += length;
            *self.lengths.entry(u32::try_from(length).unwrap_or(u32::MAX)).or_insert(0) += 1;
        }
        self.examples += batch.num_rows() as u64;
        self.count_labels(batch);
        Ok(())
    }

    fn count_labels(&mut self, batch: &RecordBatch) {
        let mut count = |label: &str| match self.labels.get_mut(label) {
            Some(count) => *count += 1,
            None => drop(self.labels.insert(label.to_owned(), 1)),
        };
        let column = |name: &str| batch.column_by_name(name).map(AsRef::as_ref);
        let label = column("label");
        if let Some(labels) = label.and_then(|c: &dyn Array| c.as_string_opt::<i32>()) {
            labels.iter().flatten().for_each(&mut count);
        } else if let Some(labels) = label.and_then(|c| c.as_primitive_opt::<UInt32Type>()) {
            labels.iter().flatten().for_each(|label| count(&label.to_string()));
        } else if let Some(tags) = column("tags").and_then(|c| c.as_list_opt::<i32>()) {
            tags.iter().flatten().for_each(|tags| tags.as_string::<i32>().iter().flatten().for_each(&mut count));
        } else if let Some(answerable) = column("answerable").and_then(|c| c.as_boolean_opt()) {
            answerable.iter().flatten().for_each(|yes| count(if yes { ANSWERABLE } else { UNANSWERABLE }));
        }
    }

    /// The smallest length that `share` of the examples do not exceed.
    fn quantile(&self, share: f64) -> u32 {
        let wanted = (share * self.examples as f64).ceil() as u64;
        let mut below = 0;
        let reached = self.lengths.iter().find(|(_, count)| {
            below += **count;
            below >= wanted
        });
        reached.map_or(0, |(length, _)| *length)
    }

    /// The profile of a table in which `different` rows have different texts.
    fn finish(mut self, split: Split, language: &str, different: u64) -> Profile {
        let tokens = self.request.tokens.into_iter().flatten();
        let tokens = tokens.filter(|t| t.split == split && t.language == language).map(|t| self.tokens(t)).next();
        let (length_median, length_p95) = (self.quantile(0.5), self.quantile(0.95));
        let mut labels: Vec<(String, u64)> = Vec::new();
        for label in self.request.labels {
            labels.extend(self.labels.remove_entry(label));
        }
        // Numbered choices, and whether there is an answer.
        let mut others: Vec<(String, u64)> = self.labels.into_iter().collect();
        others.sort_by(|a, b| (a.0.len(), &a.0).cmp(&(b.0.len(), &b.0)));
        labels.extend(others);
        let count = |name: &str| labels.iter().find(|(label, _)| label == name).map_or(0, |(_, count)| *count);
        let answerable_share = (self.request.format == Format::SpanExtraction && self.examples > 0)
            .then(|| count(ANSWERABLE) as f64 / self.examples as f64);
        Profile {
            task: self.request.task.to_owned(),
            split,
            language: language.to_owned(),
            examples: self.examples,
            words: self.words,
            characters: self.characters,
            length_mean: ratio(self.characters, self.examples),
            length_median,
            length_p95,
            length_max: self.lengths.last_key_value().map_or(0, |(length, _)| *length),
            duplicates: self.examples - different,
            labels,
            answerable_share,
            tokens,
        }
    }

    fn tokens(&self, counts: &TokenCounts) -> TokenProfile {
        let sequences = if self.request.format == Format::MultipleChoice { self.choices } else { counts.instances };
        let tokens = counts.tokens.saturating_sub(sequences * counts.framing);
        TokenProfile {
            instances: counts.instances,
            tokens,
            tokens_per_word: ratio(tokens, self.encoded_words),
            unknown_share: ratio(counts.unknown_tokens, tokens),
            truncated_share: ratio(counts.truncated_examples, self.examples),
        }
    }
}

/// Names under which span extraction counts its examples, as `normalize` does.
const ANSWERABLE: &str = "answerable";
const UNANSWERABLE: &str = "unanswerable";

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// `profiles` as rows of the schema of that name.
pub(crate) fn profile_rows(profiles: &[Profile]) -> RecordBatch {
    let texts = |of: &dyn Fn(&Profile) -> String| Arc::new(StringArray::from_iter_values(profiles.iter().map(of))) as _;
    let counts = |of: &dyn Fn(&Profile) -> u64| Arc::new(UInt64Array::from_iter_values(profiles.iter().map(of))) as _;
    let lengths = |of: &dyn Fn(&Profile) -> u32| Arc::new(UInt32Array::from_iter_values(profiles.iter().map(of))) as _;
    let shares = |of: &dyn Fn(&TokenProfile) -> f64| {
        Arc::new(profiles.iter().map(|p| p.tokens.as_ref().map(of)).collect::<Float64Array>()) as ArrayRef
    };
    let tokens = |of: &dyn Fn(&TokenProfile) -> u64| {
        Arc::new(profiles.iter().map(|p| p.tokens.as_ref().map(of)).collect::<UInt64Array>()) as ArrayRef
    };
    let mut labels = ListBuilder::new(StringBuilder::new()).with_field(Field::new("item", DataType::Utf8, false));
    let mut label_counts =
        ListBuilder::new(UInt64Builder::new()).with_field(Field::new("item", DataType::UInt64, false));
    for profile in profiles {
        labels.append_value(profile.labels.iter().map(|(label, _)| Some(label)));
        label_counts.append_value(profile.labels.iter().map(|(_, count)| Some(*count)));
    }
    let columns: Vec<ArrayRef> = vec![
        texts(&|p| p.task.clone()),
        texts(&|p| p.split.name().to_owned()),
        texts(&|p| p.language.clone()),
        counts(&|p| p.examples),
        counts(&|p| p.words),
        counts(&|p| p.characters),
        Arc::new(Float64Array::from_iter_values(profiles.iter().map(|p| p.length_mean))),
        lengths(&|p| p.length_median),
        lengths(&|p| p.length_p95),
        lengths(&|p| p.length_max),
        counts(&|p| p.duplicates),
        Arc::new(labels.finish()),
        Arc::new(label_counts.finish()),
        Arc::new(profiles.iter().map(|p| p.answerable_share).collect::<Float64Array>()),
        tokens(&|t| t.instances),
        tokens(&|t| t.tokens),
        shares(&|t| t.tokens_per_word),
        shares(&|t| t.unknown_share),
        shares(&|t| t.truncated_share),
    ];
    RecordBatch::try_new(schema::table("profiles").schema.clone(), columns)
        .expect("the columns are built in the schema's order")
}

impl Profile {
    /// The rows of `batch`, which must be of the schema `profiles`.
    pub fn rows(batch: &RecordBatch) -> Vec<Self> {
        let text = |name: &str| batch[name].as_string::<i32>();
        let count = |name: &str| batch[name].as_primitive::<UInt64Type>();
        let length = |name: &str| batch[name].as_primitive::<UInt32Type>();
        let share = |name: &str| batch[name].as_primitive::<Float64Type>();
        let list = |name: &str, row: usize| batch[name].as_list::<i32>().value(row);
        let row = |row: usize| {
            let labels = list("labels", row);
            let labels = labels.as_string::<i32>().iter().flatten().map(str::to_owned);
            let counts = list("label_counts", row);
            Self {
                task: text("task").value(row).to_owned(),
                split: Split::named(text("split").value(row)).unwrap_or(Split::Test),
                language: text("language").value(row).to_owned(),
                examples: count("examples").value(row),
                words: count("words").value(row),
                characters: count("characters").value(row),
                length_mean: share("length_mean").value(row),
                length_median: length("length_median").value(row),
                length_p95: length("length_p95").value(row),
                length_max: length("length_max").value(row),
                duplicates: count("duplicates").value(row),
                labels: labels.zip(counts.as_primitive::<UInt64Type>().values().iter().copied()).collect(),
                answerable_share: share("answerable_share").iter().nth(row).flatten(),
                tokens: count("instances").is_valid(row).then(|| TokenProfile {
                    instances: count("instances").value(row),
                    tokens: count("tokens").value(row),
                    tokens_per_word: share("tokens_per_word").value(row),
                    unknown_share: share("unknown_share").value(row),
                    truncated_share: share("truncated_share").value(row),
                }),
            }
        };
        (0..batch.num_rows()).map(row).collect()
    }
}

#[cfg(test)]
mod tests;
