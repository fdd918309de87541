//! Typed access to the columns of a batch, with the file and the column named when they are not what they should be.

use std::path::Path;

use arrow::array::{
    Array, AsArray, BooleanArray, Float32Array, Int32Array, ListArray, RecordBatch, StringArray, UInt32Array,
    UInt64Array,
};
use arrow::datatypes::{Float32Type, Int32Type, UInt32Type, UInt64Type};

use super::ShardError;

/// A batch together with the file it came from, for errors.
pub struct Columns<'a> {
    path: &'a Path,
    batch: &'a RecordBatch,
}

impl<'a> Columns<'a> {
    /// Looks columns up in `batch`, which was read from `path`.
    pub fn new(path: &'a Path, batch: &'a RecordBatch) -> Self {
        Self { path, batch }
    }

    fn typed<T>(
        &self,
        name: &str,
        expected: &'static str,
        cast: impl FnOnce(&'a dyn Array) -> Option<&'a T>,
    ) -> Result<&'a T, ShardError> {
        self.batch.column_by_name(name).and_then(|column| cast(column.as_ref())).ok_or_else(|| ShardError::Column {
            path: self.path.to_owned(),
            column: name.to_owned(),
            expected,
        })
    }

    /// A `utf8` column.
    pub fn text(&self, name: &str) -> Result<&'a StringArray, ShardError> {
        self.typed(name, "utf8", |c| c.as_string_opt::<i32>())
    }

    /// A `uint32` column.
    pub fn uint32(&self, name: &str) -> Result<&'a UInt32Array, ShardError> {
        self.typed(name, "uint32", |c| c.as_primitive_opt::<UInt32Type>())
    }

    /// A `uint64` column.
    pub fn uint64(&self, name: &str) -> Result<&'a UInt64Array, ShardError> {
        self.typed(name, "uint64", |c| c.as_primitive_opt::<UInt64Type>())
    }

    /// An `int32` column.
    pub fn int32(&self, name: &str) -> Result<&'a Int32Array, ShardError> {
        self.typed(name, "int32", |c| c.as_primitive_opt::<Int32Type>())
    }

    /// A `float32` column.
    pub fn float32(&self, name: &str) -> Result<&'a Float32Array, ShardError> {
        self.typed(name, "float32", |c| c.as_primitive_opt::<Float32Type>())
    }

    /// A `bool` column.
    pub fn boolean(&self, name: &str) -> Result<&'a BooleanArray, ShardError> {
        self.typed(name, "bool", |c| c.as_boolean_opt())
    }

    /// A list column of any item type.
    pub fn list(&self, name: &str) -> Result<&'a ListArray, ShardError> {
        self.typed(name, "a list", |c| c.as_list_opt::<i32>())
    }
}
