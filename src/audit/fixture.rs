//! Canonical tables for tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, ListBuilder, RecordBatch, StringArray, StringBuilder, UInt32Array};
use arrow::datatypes::{DataType, Field};

use crate::schema;
use crate::shard::write_table;
use crate::task::Format;

pub(super) fn texts(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub(super) fn maybe(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

pub(super) fn numbers(values: &[Option<u32>]) -> ArrayRef {
    Arc::new(UInt32Array::from(values.to_vec()))
}

pub(super) fn booleans(values: &[bool]) -> ArrayRef {
    Arc::new(BooleanArray::from(values.to_vec()))
}

pub(super) fn lists(values: &[&[&str]]) -> ArrayRef {
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(Field::new("item", DataType::Utf8, false));
    for value in values {
        lists.append_value(value.iter().map(Some));
    }
    Arc::new(lists.finish())
}

/// Writes a canonical table of `format`: ids `row-0`, `row-1`, …, and the columns after `language`.
pub(super) fn table(path: &Path, format: Format, language: &str, columns: Vec<ArrayRef>) -> PathBuf {
    let rows = columns[0].len();
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("row-{row}"))));
    let languages: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(language, rows)));
    let columns = [ids, languages].into_iter().chain(columns).collect();
    let batch = RecordBatch::try_new(schema::canonical(format).schema.clone(), columns).unwrap();
    write_table(path, &schema::canonical(format).schema, &[], &[batch]).unwrap();
    path.to_owned()
}
