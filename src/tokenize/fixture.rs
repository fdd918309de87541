//! Small tokenizers and canonical tables for the tests of this area.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int32Array, ListArray, ListBuilder, RecordBatch, StringArray,
    StringBuilder, UInt32Array, UInt32Builder,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int32Type, UInt32Type};

use super::{TableOutcome, TokenizeRequest, Tokenizer, tokenize, train_unigram};
use crate::error::Error;
use crate::progress::Quiet;
use crate::schema;
use crate::shard::{read_table, write_table};
use crate::task::{Format, Split};

/// Lines in several scripts, with letters of one to four bytes, no space between some words, and decomposed letters.
pub(super) const LINES: [&str; 12] = [
    "the old boat lies near the green bridge",
    "a small bird sings on the old bridge",
    "das alte Boot liegt an der grünen Brücke",
    "pieni lintu laulaa vanhalla sillalla",
    "старая лодка лежит у зелёного моста",
    "маленькая птица поёт на старом мосту",
    "पुरानी नाव हरे पुल के पास है",
    "छोटी चिड़िया पुराने पुल पर गाती है",
    "旧船停在绿桥旁边，小鸟在桥上唱歌",
    "古い船は緑の橋の近くにある",
    "القارب القديم قرب الجسر الأخضر",
    "cafe\u{301} 6½ 𠮷 ok",
];

/// The items of a `list<utf8>` column; `None` for a null list.
pub(super) fn lists(rows: &[Option<Vec<String>>]) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(Field::new("item", DataType::Utf8, false));
    for row in rows {
        row.iter().flatten().for_each(|item| builder.values().append_value(item));
        builder.append(row.is_some());
    }
    Arc::new(builder.finish())
}

/// The items of a `list<uint32>` column.
pub(super) fn numbers(rows: &[Vec<u32>]) -> ArrayRef {
    let mut builder = ListBuilder::new(UInt32Builder::new()).with_field(Field::new("item", DataType::UInt32, false));
    for row in rows {
        builder.values().append_slice(row);
        builder.append(true);
    }
    Arc::new(builder.finish())
}

pub(super) fn strings(rows: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(rows))
}

pub(super) fn optional_strings(rows: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(rows.to_vec()))
}

pub(super) fn optional_numbers(rows: &[Option<u32>]) -> ArrayRef {
    Arc::new(UInt32Array::from(rows.to_vec()))
}

pub(super) fn booleans(rows: &[bool]) -> ArrayRef {
    Arc::new(BooleanArray::from(rows.to_vec()))
}

/// Writes a canonical table: `columns` are those after `example_id` (`row-0`, `row-1`, …) and `language` (`xx`).
pub(super) fn canonical(path: &Path, format: Format, columns: Vec<ArrayRef>) -> PathBuf {
    let rows = columns[0].len();
    let ids: Vec<String> = (0..rows).map(|row| format!("row-{row}")).collect();
    let mut all: Vec<ArrayRef> = vec![Arc::new(StringArray::from(ids)), strings(&vec!["xx"; rows])];
    all.extend(columns);
    let schema = &schema::canonical(format).schema;
    let batch = RecordBatch::try_new(schema.clone(), all).unwrap();
    write_table(path, schema, &[], &[batch]).unwrap();
    path.to_owned()
}

/// A Unigram tokenizer trained on [`LINES`].
pub(super) fn unigram() -> &'static Tokenizer {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    TOKENIZER.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let table = canonical(&dir.path().join("text.parquet"), Format::Text, vec![strings(&LINES)]);
        let output = dir.path().join("tokenizer.json");
        train_unigram(&[table], 300, 1_000_000, &output, &AtomicBool::new(false)).unwrap();
        Tokenizer::load(&output).unwrap()
    })
}

/// The `tokenizer.json` of a BERT WordPiece tokenizer of a few words.
pub(super) fn bert_json() -> serde_json::Value {
    let tokens =
        ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "old", "boat", "##s", "lie", "near", "bridge", "."];
    let vocab: serde_json::Map<String, serde_json::Value> =
        tokens.iter().enumerate().map(|(id, token)| ((*token).to_owned(), id.into())).collect();
    let added: Vec<_> = (0..5)
        .map(|id| {
            serde_json::json!({"id": id, "content": tokens[id], "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    serde_json::json!({
        "version": "1.0",
        // A length in the file, as sentence encoders publish it, must not cut anything here.
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 4}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": added,
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab},
    })
}

/// Loads a tokenizer from its JSON.
pub(super) fn tokenizer(json: &serde_json::Value) -> Result<Tokenizer, super::TokenizeError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.json");
    std::fs::write(&path, json.to_string()).unwrap();
    Tokenizer::load(&path)
}

/// A request without tables.
pub(super) fn request<'a>(format: Format, labels: &'a [String], tokenizer: &'a Tokenizer) -> TokenizeRequest<'a> {
    TokenizeRequest {
        format,
        labels,
        open_labels: false,
        tokenizer,
        max_length: 64,
        stride: 16,
        max_question: 16,
        tables: &[],
    }
}

/// Tokenises a canonical table of `columns`; the batch written and what was counted.
pub(super) fn run(request: &TokenizeRequest, columns: Vec<ArrayRef>) -> Result<(RecordBatch, TableOutcome), Error> {
    let dir = tempfile::tempdir().unwrap();
    let path = canonical(&dir.path().join("table.parquet"), request.format, columns);
    let tables = [(Split::Train, "xx".to_owned(), path)];
    let request = TokenizeRequest { tables: &tables, ..*request };
    let outcome = tokenize(&request, dir.path(), &[], &Quiet, &AtomicBool::new(false))?;
    let outcome = outcome.tables.into_iter().next().unwrap();
    let (schema, batches) = read_table(&dir.path().join(&outcome.path)).unwrap();
    Ok((concat_batches(&schema, &batches).unwrap(), outcome))
}

/// The labels of a test task.
pub(super) fn labels(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn list<'a>(batch: &'a RecordBatch, column: &str) -> &'a ListArray {
    batch.column_by_name(column).unwrap().as_list()
}

/// A row of a `list<uint32>` column.
pub(super) fn ids(batch: &RecordBatch, column: &str, row: usize) -> Vec<u32> {
    list(batch, column).value(row).as_primitive::<UInt32Type>().values().to_vec()
}

/// A row of a `list<int32>` column.
pub(super) fn signed(batch: &RecordBatch, column: &str, row: usize) -> Vec<i32> {
    list(batch, column).value(row).as_primitive::<Int32Type>().values().to_vec()
}

/// A row of a `list<list<uint32>>` column.
pub(super) fn nested(batch: &RecordBatch, column: &str, row: usize) -> Vec<Vec<u32>> {
    let row = list(batch, column).value(row);
    let row: &ListArray = row.as_list();
    (0..row.len()).map(|item| row.value(item).as_primitive::<UInt32Type>().values().to_vec()).collect()
}

/// A `uint32` column.
pub(super) fn column(batch: &RecordBatch, name: &str) -> Vec<u32> {
    batch.column_by_name(name).unwrap().as_primitive::<UInt32Type>().values().to_vec()
}

/// The column `label`.
pub(super) fn label_column(batch: &RecordBatch) -> Vec<i32> {
    let column: &Int32Array = batch.column_by_name("label").unwrap().as_primitive();
    column.values().to_vec()
}

/// The message of a failure.
pub(super) fn message<T>(result: Result<T, impl std::fmt::Display>) -> String {
    result.err().expect("a failure").to_string()
}
