//! What a task's tables hold: one row a split and language.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch};
use arrow::datatypes::{Field, UInt32Type};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::AuditError;
use super::fold::{Folder, count_words};
use super::texts::{fold_rows, text_columns};
use crate::distinct::Seen;
use crate::error::Error;
use crate::progress::{Progress, check};
use crate::schema::row::table_row;
use crate::schema::{Columnar, Unreadable};
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

table_row! {
    /// One table, described.
    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    pub struct Profile: "profiles" {
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
        pub labels: Labels,
        /// Spans: the share of questions with an answer.
        pub answerable_share: Option<f64>,
        /// What the tokenizer makes of them.
        #[serde(flatten)]
        pub tokens: Option<TokenProfile>,
    }
}

table_row! {
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
}

/// Labels and how often they occur.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(pub Vec<(String, u64)>);

table_row! {
    /// [`Labels`] as columns: two lists of one length.
    struct LabelLists {
        labels: Vec<String>,
        label_counts: Vec<u64>,
    }
}

impl<'a> Columnar<'a> for Labels {
    type Arrays = (&'a ListArray, &'a ListArray);

    fn fields(name: &str, fields: &mut Vec<Field>) {
        LabelLists::fields(name, fields);
    }

    fn arrays<'v>(values: impl Iterator<Item = Option<&'v Self>> + Clone, arrays: &mut Vec<ArrayRef>) {
        let lists = |Labels(labels): &Labels| {
            let (labels, label_counts) = labels.iter().cloned().unzip();
            LabelLists { labels, label_counts }
        };
        let lists: Vec<Option<LabelLists>> = values.map(|labels| labels.map(lists)).collect();
        LabelLists::arrays(lists.iter().map(Option::as_ref), arrays);
    }

    fn bind(columns: &mut std::slice::Iter<'a, ArrayRef>) -> Option<Self::Arrays> {
        LabelLists::bind(columns)
    }

    fn is_null(arrays: &Self::Arrays, row: usize) -> bool {
        LabelLists::is_null(arrays, row)
    }

    fn get(arrays: &Self::Arrays, row: usize) -> Result<Self, Unreadable> {
        let LabelLists { labels, label_counts } = LabelLists::get(arrays, row)?;
        if labels.len() != label_counts.len() {
            let problem = format!("{} counts of {} labels", label_counts.len(), labels.len());
            return Err(Unreadable { column: "label_counts", problem });
        }
        Ok(Self(labels.into_iter().zip(label_counts).collect()))
    }
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
    shard::write_rows(&output.join("profiles.parquet"), metadata, &profiles)?;
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
            labels: Labels(labels),
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

#[cfg(test)]
mod tests;
