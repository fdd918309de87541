//! Arrow tables to Polars frames and back: the one place where the two memory layouts meet.
//!
//! The arrays cross through the Arrow C data interface, which shares their buffers; only types that Trestle's tables
//! do not use (small integers, large and view strings, dictionaries, fixed-size lists) are cast to those they do.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, NullArray, RecordBatch, RecordBatchOptions, make_array, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi, to_ffi};
use polars::prelude::{Column, CompatLevel, DataFrame, PlSmallStr, Series};
use polars_arrow::datatypes::{ArrowDataType as PolarsType, Field as PolarsField};
use polars_arrow::ffi;

use super::ShardError;

/// The rows of `batches`, which must share one schema, as a frame of as many columns. No batch gives no column: for an
/// empty table hand over one empty batch.
///
/// # Errors
/// [`ShardError::Frame`] where a column's type has no counterpart in Polars (maps, unions, intervals).
pub fn to_polars(batches: &[RecordBatch]) -> Result<DataFrame, ShardError> {
    let Some(first) = batches.first() else { return Ok(DataFrame::empty()) };
    let mut columns = Vec::with_capacity(first.num_columns());
    for (index, field) in first.schema_ref().fields().iter().enumerate() {
        let name = field.name();
        let chunks =
            batches.iter().map(|batch| import_chunk(name, batch.column(index))).collect::<Result<Vec<_>, _>>()?;
        let series =
            Series::try_from((PlSmallStr::from(name.as_str()), chunks)).map_err(|e| ShardError::frame(name, e))?;
        columns.push(Column::from(series));
    }
    let rows = batches.iter().map(RecordBatch::num_rows).sum();
    DataFrame::new(rows, columns).map_err(|e| ShardError::frame("*", e))
}

/// The frame as one batch. Every column, and every list's item, is nullable; strings are `utf8`, lists `list`, integers
/// of 32 or 64 bits: cast to a table's schema where another is due.
///
/// # Errors
/// [`ShardError::Frame`] where a column's type is none that [`to_polars`] takes, or where text or lists outgrow the 2 GiB
/// that 32-bit offsets reach.
pub fn from_polars(frame: &DataFrame) -> Result<RecordBatch, ShardError> {
    let mut fields = Vec::with_capacity(frame.width());
    let mut arrays = Vec::with_capacity(frame.width());
    for column in frame.columns() {
        let array = export_column(column)?;
        fields.push(Field::new(column.name().as_str(), array.data_type().clone(), true));
        arrays.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(frame.height()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &options)
        .map_err(|e| ShardError::frame("*", e))
}

fn import_chunk(name: &str, array: &ArrayRef) -> Result<polars::prelude::ArrayRef, ShardError> {
    let array = simplify(name, array)?;
    let (array, schema) = to_ffi(&array.to_data()).map_err(|e| ShardError::frame(name, e))?;
    // SAFETY: both crates declare the C data interface's structures (`repr(C)`, same fields); each value is moved, so
    // it is released once, and its producer (arrow) upholds the interface's contract.
    unsafe {
        let array = std::mem::transmute::<FFI_ArrowArray, ffi::ArrowArray>(array);
        let schema = std::mem::transmute::<FFI_ArrowSchema, ffi::ArrowSchema>(schema);
        let field = ffi::import_field_from_c(&schema).map_err(|e| ShardError::frame(name, e))?;
        ffi::import_array_from_c(array, field.dtype).map_err(|e| ShardError::frame(name, e))
    }
}

fn export_column(column: &Column) -> Result<ArrayRef, ShardError> {
    let name = column.name();
    if column.dtype().is_null() {
        // Polars exports a buffer with it, which the interface does not allow.
        return Ok(Arc::new(NullArray::new(column.len())));
    }
    let array = column.clone().rechunk_to_arrow(CompatLevel::oldest());
    if *array.dtype() == PolarsType::Null {
        // The two sides disagree on how many buffers an array of nulls has: none is the specification's number.
        return Ok(new_null_array(&DataType::Null, array.len()));
    }
    let schema = ffi::export_field_to_c(&PolarsField::new(name.clone(), array.dtype().clone(), true));
    let array = ffi::export_array_to_c(array);
    // SAFETY: as in `import_chunk`, with Polars as the producer.
    let data = unsafe {
        let array = std::mem::transmute::<ffi::ArrowArray, FFI_ArrowArray>(array);
        let schema = std::mem::transmute::<ffi::ArrowSchema, FFI_ArrowSchema>(schema);
        from_ffi(array, &schema).map_err(|e| ShardError::frame(name, e))?
    };
    simplify(name, &make_array(data))
}

/// `array` in the type that [`simple_type`] names for its own.
fn simplify(name: &str, array: &ArrayRef) -> Result<ArrayRef, ShardError> {
    let found = array.data_type();
    let simple = simple_type(found).ok_or_else(|| ShardError::frame(name, format!("type {found} is not supported")))?;
    if simple == *found {
        return Ok(array.clone());
    }
    cast(array, &simple).map_err(|e| ShardError::frame(name, e))
}

/// The type, of those that both sides hold, which takes every value of `found`.
fn simple_type(found: &DataType) -> Option<DataType> {
    let item = |field: &FieldRef| Some(Arc::new(Field::new("item", simple_type(field.data_type())?, true)));
    Some(match found {
        DataType::Int8 | DataType::Int16 => DataType::Int32,
        DataType::UInt8 | DataType::UInt16 => DataType::UInt32,
        DataType::Float16 => DataType::Float32,
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::Binary,
        DataType::Dictionary(_, value) => simple_type(value)?,
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            DataType::List(item(field)?)
        }
        DataType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|field| Some(Field::new(field.name(), simple_type(field.data_type())?, true)))
                .collect::<Option<Vec<_>>>()?
                .into(),
        ),
        DataType::Null
        | DataType::Boolean
        | DataType::Int32
        | DataType::Int64
        | DataType::UInt32
        | DataType::UInt64
        | DataType::Float32
        | DataType::Float64
        | DataType::Utf8
        | DataType::Binary
        | DataType::Date32
        | DataType::Timestamp(_, _)
        | DataType::Decimal128(_, _) => found.clone(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{
        AsArray, BooleanArray, DictionaryArray, Float32Array, Float64Array, Int8Array, Int32Array, Int64Array,
        ListBuilder, StringArray, StringBuilder, UInt32Array, UInt32Builder,
    };
    use arrow::datatypes::{Int32Type, UInt32Type};
    use polars::prelude::IntoLazy;
    use polars::sql::SQLContext;

    fn nullable_batch() -> RecordBatch {
        let mut words = ListBuilder::new(StringBuilder::new());
        words.append_value([Some("uno"), None, Some("третий")]);
        words.append_null();
        words.append_value([] as [Option<&str>; 0]);
        let mut ids = ListBuilder::new(ListBuilder::new(UInt32Builder::new()));
        ids.values().append_value([Some(1), Some(2)]);
        ids.values().append_value([] as [Option<u32>; 0]);
        ids.append(true);
        ids.append(false);
        ids.append(true);
        let columns: [(&str, ArrayRef); 8] = [
            ("text", Arc::new(StringArray::from(vec![Some("a"), None, Some("a longer text than a view inlines")]))),
            ("flag", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
            ("signed", Arc::new(Int32Array::from(vec![Some(-1), None, Some(i32::MAX)]))),
            ("long", Arc::new(Int64Array::from(vec![Some(i64::MIN), None, Some(0)]))),
            ("single", Arc::new(Float32Array::from(vec![Some(0.1), None, Some(f32::INFINITY)]))),
            ("double", Arc::new(Float64Array::from(vec![Some(0.1), None, Some(1e300)]))),
            ("words", Arc::new(words.finish())),
            ("ids", Arc::new(ids.finish())),
        ];
        RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
    }

    #[test]
    fn a_table_comes_back_as_it_went() {
        let batch = nullable_batch();
        let back = from_polars(&to_polars(std::slice::from_ref(&batch)).unwrap()).unwrap();
        assert_eq!(back, batch);
    }

    #[test]
    fn a_column_of_nulls_alone_comes_back() {
        let nulls: ArrayRef = Arc::new(NullArray::new(3));
        let batch = RecordBatch::try_from_iter_with_nullable([("gold", nulls, true)]).unwrap();
        assert_eq!(from_polars(&to_polars(std::slice::from_ref(&batch)).unwrap()).unwrap(), batch);
    }

    #[test]
    fn batches_and_slices_are_joined_in_order() {
        let batch = nullable_batch();
        let parts = [batch.slice(1, 2), batch.slice(0, 1), batch.slice(2, 0)];
        let frame = to_polars(&parts).unwrap();
        let want = arrow::compute::concat_batches(&batch.schema(), &parts).unwrap();
        assert_eq!(from_polars(&frame).unwrap(), want);
    }

    #[test]
    fn an_empty_table_keeps_its_columns() {
        let empty = RecordBatch::new_empty(nullable_batch().schema());
        let frame = to_polars(std::slice::from_ref(&empty)).unwrap();
        assert_eq!((frame.height(), frame.width()), (0, 8));
        assert_eq!(from_polars(&frame).unwrap(), empty);
    }

    #[test]
    fn foreign_types_become_those_of_our_tables() {
        let dictionary: DictionaryArray<Int32Type> = ["x", "y", "x"].into_iter().collect();
        let columns: [(&str, ArrayRef); 2] =
            [("label", Arc::new(dictionary)), ("gold", Arc::new(Int8Array::from(vec![0, 1, -1])))];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let back = from_polars(&to_polars(&[batch]).unwrap()).unwrap();
        assert_eq!(back.column(0).as_string::<i32>(), &StringArray::from(vec!["x", "y", "x"]));
        assert_eq!(back.column(1).as_primitive::<Int32Type>().values(), &[0, 1, -1]);
    }

    #[test]
    fn sql_runs_over_a_converted_table() {
        let ids: ArrayRef = Arc::new(UInt32Array::from(vec![3, 1, 2]));
        let names: ArrayRef = Arc::new(StringArray::from(vec!["c", "a", "b"]));
        let batch = RecordBatch::try_from_iter([("id", ids), ("name", names)]).unwrap();
        let mut context = SQLContext::new();
        context.register("raw", to_polars(&[batch]).unwrap().lazy());
        let frame = context.execute("SELECT id, name || '!' AS text FROM raw WHERE id > 1 ORDER BY id").unwrap();
        let out = from_polars(&frame.collect().unwrap()).unwrap();
        assert_eq!(out.column(0).as_primitive::<UInt32Type>().values(), &[2, 3]);
        assert_eq!(out.column(1).as_string::<i32>(), &StringArray::from(vec!["b!", "c!"]));
    }

    #[test]
    fn a_type_without_counterpart_is_refused_by_name() {
        let interval = arrow::array::IntervalYearMonthArray::from(vec![1]);
        let batch = RecordBatch::try_from_iter([("span", Arc::new(interval) as ArrayRef)]).unwrap();
        let message = to_polars(&[batch]).unwrap_err().to_string();
        assert!(message.contains("span"), "{message}");
    }
}
