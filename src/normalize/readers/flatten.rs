//! Nested columns as flat ones: a struct becomes one column a child, named `parent_child`; a list of structs becomes one
//! list a child; and leaves take one of the few types of raw columns. So SQL needs no nested access.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, RecordBatch, make_array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;

/// The flat columns of `batch`. An error where two get the same name, or a leaf has a type that no text or number can
/// stand for.
pub(super) fn flatten(batch: &RecordBatch) -> Result<Vec<(String, ArrayRef)>, ArrowError> {
    let mut flat = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        leaves(field.name(), column, &mut flat)?;
    }
    let mut names = std::collections::BTreeSet::new();
    if let Some((twice, _)) = flat.iter().find(|(name, _)| !names.insert(name.clone())) {
        return Err(ArrowError::SchemaError(format!("two columns flatten to the name `{twice}`")));
    }
    Ok(flat)
}

fn leaves(name: &str, column: &ArrayRef, flat: &mut Vec<(String, ArrayRef)>) -> Result<(), ArrowError> {
    match column.data_type() {
        DataType::Struct(_) => {
            let parent = column.as_struct();
            for (field, child) in parent.fields().iter().zip(parent.columns()) {
                let child = with_nulls_of(child, parent.nulls())?;
                leaves(&format!("{name}_{}", field.name()), &child, flat)?;
            }
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let mut items = Vec::new();
            leaves(name, list.values(), &mut items)?;
            for (name, values) in items {
                let field = Arc::new(Field::new("item", values.data_type().clone(), true));
                let list = ListArray::try_new(field, list.offsets().clone(), values, list.nulls().cloned())?;
                flat.push((name, Arc::new(list)));
            }
        }
        DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => {
            leaves(name, &cast(column, &DataType::List(item.clone()))?, flat)?;
        }
        leaf => flat.push((name.to_owned(), cast(column, &raw_type(leaf))?)),
    }
    Ok(())
}

/// `child` with a null wherever its parent has one.
fn with_nulls_of(child: &ArrayRef, parent: Option<&NullBuffer>) -> Result<ArrayRef, ArrowError> {
    if parent.is_none() || child.data_type() == &DataType::Null {
        return Ok(child.clone());
    }
    let nulls = NullBuffer::union(child.nulls(), parent);
    Ok(make_array(child.to_data().into_builder().nulls(nulls).build()?))
}

/// The raw column type that stands for a leaf type.
fn raw_type(leaf: &DataType) -> DataType {
    match leaf {
        DataType::Boolean => DataType::Boolean,
        DataType::UInt64 => DataType::UInt64,
        leaf if leaf.is_integer() => DataType::Int64,
        leaf if leaf.is_floating() => DataType::Float64,
        DataType::Dictionary(_, value) => raw_type(value),
        _ => DataType::Utf8,
    }
}
