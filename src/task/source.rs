//! Where a task's raw files are, how they are read, and how their rows become canonical ones.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Split;

/// How raw bytes become raw columns. Every reader adds `split` (utf8), `row` (int64, 0-based within the files of a split
/// and language), `lang` (utf8, from `{lang}` in the path, else null) and `file` (utf8, the file's name below the data
/// directory or on the hub; the first file's where several stand side by side).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reader {
    /// Parquet; structs and lists of structs flatten to `parent_child` columns.
    Parquet,
    /// One JSON object a line; nested values flatten as in Parquet.
    Jsonl,
    /// RFC 4180 with a header, or without one where `columns` names them.
    Csv,
    /// Tab-separated, no quoting, with a header, or without one where `columns` names them.
    Tsv,
    /// As [`Reader::Tsv`], but the columns that a short line lacks are null.
    RaggedTsv,
    /// SQuAD's nested JSON: `id, title, context, question, answers_text, answers_start, is_impossible`.
    SquadJson,
    /// `word TAB tag` lines, blank line between sentences: `words, tags`.
    TokenTagTsv,
    /// CoNLL-U: `sent_id, words, tags` (UPOS), a multi-word token read as its surface form.
    Conllu,
    /// One text a line: `text`, or the name in `columns`.
    Lines,
    /// CCGbank's AUTO files: `id, words, tags` (lexical categories).
    CcgAuto,
    /// WikiANN as PAN-X is shipped, `xx:word TAB tag` lines: `words, tags`.
    Wikiann,
    /// Three files side by side, sentences of a language, English sentences (both `id TAB text`) and gold pairs
    /// (`id TAB id`): `id, side, text, gold`.
    Bucc,
    /// XQuAD-R: SQuAD's nested JSON with `sentence_breaks` in each paragraph: `id, side, text, gold`.
    XquadR,
    /// Mewsli-X's mentions: one row a mention, `id, language, document_id,
    /// document_title, sentence, mention, mention_start, mention_end, entity_id`; offsets count the sentence's code points.
    MewsliX,
}

/// The raw files of one split: a path, a path with its own reader, several files read side by side, or several read one
/// after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "files are a path, { path, reader?, columns?, sql? }, a list of these (side by side), or { sequence = […] }"
)]
pub enum FileSpec {
    /// A path relative to the source's root. `{lang}`, `{lang3}` and `{name}` stand for a language's ISO 639-1 code,
    /// ISO 639-3 code and English name; `*` and `?` match within one path segment.
    Path(String),
    /// A path with its own reader or column names.
    With {
        /// As in [`FileSpec::Path`].
        path: String,
        /// Instead of the source's reader.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reader: Option<Reader>,
        /// Column names of a file without a header.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        columns: Option<Vec<String>>,
        /// Instead of the source's SQL.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        sql: Option<String>,
    },
    /// Files with the same number of rows, whose columns stand side by side.
    Beside(Vec<FileSpec>),
    /// Files whose rows follow one another, each with its own reader and SQL.
    Sequence {
        /// In order.
        sequence: Vec<FileSpec>,
    },
}

impl FileSpec {
    /// The paths, in order.
    pub fn paths(&self) -> Vec<&str> {
        match self {
            FileSpec::Path(path) | FileSpec::With { path, .. } => vec![path],
            FileSpec::Beside(parts) | FileSpec::Sequence { sequence: parts } => {
                parts.iter().flat_map(FileSpec::paths).collect()
            }
        }
    }

    pub(super) fn has_own_sql(&self) -> bool {
        match self {
            FileSpec::Path(_) | FileSpec::Beside(_) => false,
            FileSpec::With { sql, .. } => sql.is_some(),
            FileSpec::Sequence { sequence } => sequence.iter().all(FileSpec::has_own_sql),
        }
    }

    /// A sequence stands at the top only, and files side by side share one SQL.
    pub(super) fn is_well_formed(&self) -> bool {
        let plain = |spec: &FileSpec| matches!(spec, FileSpec::Path(_) | FileSpec::With { .. });
        let beside = |parts: &[FileSpec]| parts.iter().all(|part| plain(part) && !part.has_own_sql());
        let step = |spec: &FileSpec| match spec {
            FileSpec::Beside(parts) => beside(parts),
            other => plain(other),
        };
        match self {
            FileSpec::Sequence { sequence } => !sequence.is_empty() && sequence.iter().all(step),
            other => step(other),
        }
    }

    /// Whether any path holds a language placeholder.
    pub fn is_per_language(&self) -> bool {
        self.paths().iter().any(|p| ["{lang}", "{lang3}", "{name}"].iter().any(|mark| p.contains(mark)))
    }
}

/// Files on the Hugging Face hub.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubSource {
    /// `owner/name` of a dataset repository.
    pub repo: String,
    /// Branch, tag or commit; the lock file pins the commit it resolved to.
    #[serde(default = "main_revision")]
    pub revision: String,
    /// How to read the files.
    pub reader: Reader,
    /// Files per split.
    pub files: BTreeMap<Split, FileSpec>,
    /// Column names of files without a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Instead of the task's own SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// Instead of the task's own unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_offsets: Option<OffsetUnit>,
}

pub(super) fn main_revision() -> String {
    "main".to_owned()
}

/// The original distribution in a local directory: what `--data DIR` points at, and what the mini edition generates.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirectorySource {
    /// The dataset's folder below the data directory, and the name of the layout that the mini edition writes.
    pub layout: String,
    /// How to read the files.
    pub reader: Reader,
    /// Files per split, relative to `layout`.
    pub files: BTreeMap<Split, FileSpec>,
    /// Column names of files without a header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// Instead of the task's own SQL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
}

/// Where the raw files come from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sources {
    /// The hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubSource>,
    /// A local directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectorySource>,
}

/// The unit in which a source gives answer offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OffsetUnit {
    /// Unicode code points, as Python counts: SQuAD and its family.
    #[default]
    CodePoint,
    /// UTF-8 bytes: TyDiQA's raw form.
    Byte,
    /// Code points before blanks around contexts and answers were cut off, as some of the hub's copies were made: a
    /// question's answers stand where they are said to, or all moved by the same few characters.
    CodePointBeforeStrip,
}

/// From raw columns to the canonical table.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalize {
    /// `SELECT … FROM raw …`, row by row: no aggregate over several rows, since batches stream through it. Its columns
    /// are the canonical ones; `example_id` defaults to `row`, `language` to `lang` or `en`.
    #[serde(default)]
    pub sql: String,
    /// Columns of the SQL's result that together form the canonical list `choices`, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    /// Unit of `answer_starts` in the SQL's result.
    #[serde(default)]
    pub answer_offsets: OffsetUnit,
}
