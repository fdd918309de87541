//! Rows as types: a struct whose fields are a table's columns.
//!
//! [`table_row!`] declares the struct, and with it how its rows become a batch and are read from one. The table's contract
//! stays its schema file, which analysts read as well: [`TableRow::columns`] says what the struct makes of it, and a test holds
//! the two together for every table of the results.
//!
//! A field that is itself such a struct stands for as many columns ([`Setting`](crate::evaluate::Setting) is `layer` and
//! `pooling`). Rows may borrow their texts, so that a long table can be read without copying them.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, ListArray, RecordBatch, StringArray,
    UInt32Array, UInt64Array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};

use super::{SchemaError, Table, table};
use crate::task::Split;

/// A cell that holds none of its type's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The column, as far as it is known.
    pub column: &'static str,
    /// What is wrong with what stands there.
    pub problem: String,
}

impl Unreadable {
    /// The same in `column`, unless a column within it is named already.
    pub fn within(self, column: &'static str) -> Self {
        if self.column.is_empty() { Self { column, ..self } } else { self }
    }
}

/// What one cell holds.
pub trait Scalar<'a>: Sized {
    /// A column of such values.
    type Array: Array + 'static;

    /// The column's type.
    fn data_type() -> DataType;

    /// A column of `values`; the second pass over them gives the same.
    fn array<'v>(values: impl Iterator<Item = Option<&'v Self>> + Clone) -> ArrayRef
    where
        Self: 'v;

    /// The value in `row`, where there is one.
    ///
    /// # Errors
    /// What is wrong with it.
    fn value(array: &'a Self::Array, row: usize) -> Result<Self, String>;
}

/// What one or more columns hold: a [`Scalar`], one that may be absent, or a struct of `table_row!`.
pub trait Columnar<'a>: Sized {
    /// Its columns in a batch.
    type Arrays;

    /// Adds its columns; a single one is called `name`.
    fn fields(name: &str, fields: &mut Vec<Field>);

    /// Adds the arrays of those columns.
    fn arrays<'v>(values: impl Iterator<Item = Option<&'v Self>> + Clone, arrays: &mut Vec<ArrayRef>)
    where
        Self: 'v;

    /// Takes its columns from those that are left of a batch; none where they are not of its types.
    fn bind(columns: &mut std::slice::Iter<'a, ArrayRef>) -> Option<Self::Arrays>;

    /// Whether all of its columns are null in `row`.
    fn is_null(arrays: &Self::Arrays, row: usize) -> bool;

    /// The value in `row`.
    ///
    /// # Errors
    /// [`Unreadable`] with the column.
    fn get(arrays: &Self::Arrays, row: usize) -> Result<Self, Unreadable>;
}

/// A row of a table of `schemas/`.
pub trait TableRow<'a>: Columnar<'a> {
    /// The table's id.
    const TABLE: &'static str;

    /// The table's contract.
    fn table() -> &'static Table {
        table(Self::TABLE)
    }

    /// The columns of the struct, which are those of [`Self::table`].
    fn columns() -> Vec<Field> {
        let mut fields = Vec::new();
        Self::fields("", &mut fields);
        fields
    }

    /// `rows` as a batch of their table.
    fn batch(rows: &[Self]) -> RecordBatch {
        let mut arrays = Vec::with_capacity(Self::table().schema.fields().len());
        Self::arrays(rows.iter().map(Some), &mut arrays);
        RecordBatch::try_new(Self::table().schema.clone(), arrays).expect("a test holds row types to their schemas")
    }

    /// The rows of `batch`, which is held to the table's contract first.
    ///
    /// # Errors
    /// A batch that is not of this table; of an item, a cell that can't be read, by column and row.
    fn rows(batch: &'a RecordBatch) -> Result<impl Iterator<Item = Result<Self, SchemaError>>, SchemaError> {
        Self::table().check(batch)?;
        let arrays = Self::bind(&mut batch.columns().iter()).expect("a test holds row types to their schemas");
        let read = move |row| {
            Self::get(&arrays, row).map_err(|Unreadable { column, problem }| SchemaError::Value {
                table: Self::TABLE.to_owned(),
                column: column.to_owned(),
                row: row + 1,
                problem,
            })
        };
        Ok((0..batch.num_rows()).map(read))
    }
}

impl<'a, T: Scalar<'a>> Columnar<'a> for T
where
    T::Array: 'a,
{
    type Arrays = &'a T::Array;

    fn fields(name: &str, fields: &mut Vec<Field>) {
        fields.push(Field::new(name, T::data_type(), false));
    }

    fn arrays<'v>(values: impl Iterator<Item = Option<&'v Self>> + Clone, arrays: &mut Vec<ArrayRef>)
    where
        Self: 'v,
    {
        arrays.push(T::array(values));
    }

    fn bind(columns: &mut std::slice::Iter<'a, ArrayRef>) -> Option<Self::Arrays> {
        columns.next()?.as_any().downcast_ref()
    }

    fn is_null(array: &Self::Arrays, row: usize) -> bool {
        array.is_null(row)
    }

    fn get(array: &Self::Arrays, row: usize) -> Result<Self, Unreadable> {
        let value = if array.is_null(row) { Err("is null".to_owned()) } else { T::value(array, row) };
        value.map_err(|problem| Unreadable { column: "", problem })
    }
}

impl<'a, T: Columnar<'a>> Columnar<'a> for Option<T> {
    type Arrays = T::Arrays;

    fn fields(name: &str, fields: &mut Vec<Field>) {
        let before = fields.len();
        T::fields(name, fields);
        for field in &mut fields[before..] {
            field.set_nullable(true);
        }
    }

    fn arrays<'v>(values: impl Iterator<Item = Option<&'v Self>> + Clone, arrays: &mut Vec<ArrayRef>)
    where
        Self: 'v,
    {
        T::arrays(values.map(|value| value.and_then(Option::as_ref)), arrays);
    }

    fn bind(columns: &mut std::slice::Iter<'a, ArrayRef>) -> Option<Self::Arrays> {
        T::bind(columns)
    }

    fn is_null(arrays: &Self::Arrays, row: usize) -> bool {
        T::is_null(arrays, row)
    }

    fn get(arrays: &Self::Arrays, row: usize) -> Result<Self, Unreadable> {
        if T::is_null(arrays, row) { Ok(None) } else { T::get(arrays, row).map(Some) }
    }
}

macro_rules! primitive {
    ($($type:ty => $array:ident, $data_type:ident;)+) => {$(
        impl<'a> Scalar<'a> for $type {
            type Array = $array;

            fn data_type() -> DataType {
                DataType::$data_type
            }

            fn array<'v>(values: impl Iterator<Item = Option<&'v Self>> + Clone) -> ArrayRef {
                Arc::new(values.map(|value| value.copied()).collect::<$array>())
            }

            fn value(array: &'a Self::Array, row: usize) -> Result<Self, String> {
                Ok(array.value(row))
            }
        }
    )+};
}

primitive! {
    bool => BooleanArray, Boolean;
    i32 => Int32Array, Int32;
    u32 => UInt32Array, UInt32;
    u64 => UInt64Array, UInt64;
    f32 => Float32Array, Float32;
    f64 => Float64Array, Float64;
}

/// Makes scalars of types that become a text by the first expression and come from one by the second, which gives none for
/// a text that it does not know.
macro_rules! text_scalar {
    ($($type:ty: $write:expr, $read:expr;)+) => {$(
        impl<'a> Scalar<'a> for $type {
            type Array = StringArray;

            fn data_type() -> DataType {
                DataType::Utf8
            }

            fn array<'v>(values: impl Iterator<Item = Option<&'v Self>> + Clone) -> ArrayRef
            where
                Self: 'v,
            {
                let write: fn(&'v Self) -> &'v str = $write;
                Arc::new(values.map(|value| value.map(write)).collect::<StringArray>())
            }

            fn value(array: &'a Self::Array, row: usize) -> Result<Self, String> {
                let text = array.value(row);
                let read: fn(&'a str) -> Option<Self> = $read;
                read(text).ok_or_else(|| format!("`{text}` is unknown"))
            }
        }
    )+};
}

text_scalar! {
    String: |text| text.as_str(), |text| Some(text.to_owned());
    &'a str: |text| text, |text| Some(text);
    Split: |split| split.name(), Split::named;
}

impl<'a, T: Scalar<'a>> Scalar<'a> for Vec<T> {
    type Array = ListArray;

    fn data_type() -> DataType {
        DataType::List(Arc::new(Field::new("item", T::data_type(), false)))
    }

    fn array<'v>(values: impl Iterator<Item = Option<&'v Self>> + Clone) -> ArrayRef
    where
        Self: 'v,
    {
        let lengths = OffsetBuffer::from_lengths(values.clone().map(|list| list.map_or(0, Vec::len)));
        let nulls: NullBuffer = values.clone().map(|list| list.is_some()).collect();
        let items = T::array(values.flatten().flatten().map(Some));
        let item = Arc::new(Field::new("item", T::data_type(), false));
        Arc::new(ListArray::new(item, lengths, items, (nulls.null_count() > 0).then_some(nulls)))
    }

    fn value(array: &'a Self::Array, row: usize) -> Result<Self, String> {
        let items: &T::Array = array.values().as_any().downcast_ref().ok_or("its items are of another type")?;
        let offsets = array.value_offsets();
        (offsets[row] as usize..offsets[row + 1] as usize).map(|item| T::value(items, item)).collect()
    }
}

/// Declares a struct whose fields are columns, in their order, and with `: "id"` behind its name the row of that table of
/// `schemas/`. It may have one lifetime, that of the batch from which it borrows.
macro_rules! table_row {
    ($(#[$meta:meta])* $vis:vis struct $name:ident<$life:lifetime> $(: $table:literal)? { $($body:tt)+ }) => {
        $crate::schema::row::table_row!(
            @declare [$(#[$meta])* $vis struct $name<$life>] [$life] [$name<$life>] [$($table)?] $($body)+
        );
    };
    ($(#[$meta:meta])* $vis:vis struct $name:ident $(: $table:literal)? { $($body:tt)+ }) => {
        $crate::schema::row::table_row!(
            @declare [$(#[$meta])* $vis struct $name] ['a] [$name] [$($table)?] $($body)+
        );
    };
    (
        @declare [$($head:tt)+] [$life:lifetime] [$row:ty] [$($table:literal)?]
        $($(#[$field_meta:meta])* $field_vis:vis $field:ident: $type:ty,)+
    ) => {
        $($head)+ {
            $($(#[$field_meta])* $field_vis $field: $type,)+
        }

        impl<$life> $crate::schema::row::Columnar<$life> for $row {
            type Arrays = ($(<$type as $crate::schema::row::Columnar<$life>>::Arrays,)+);

            fn fields(_: &str, fields: &mut Vec<::arrow::datatypes::Field>) {
                $(<$type as $crate::schema::row::Columnar<$life>>::fields(stringify!($field), fields);)+
            }

            fn arrays<'v>(
                values: impl Iterator<Item = Option<&'v Self>> + Clone,
                arrays: &mut Vec<::arrow::array::ArrayRef>,
            ) where
                Self: 'v,
            {
                $(<$type as $crate::schema::row::Columnar<$life>>::arrays(
                    values.clone().map(|value| value.map(|value| &value.$field)),
                    arrays,
                );)+
            }

            fn bind(columns: &mut ::std::slice::Iter<$life, ::arrow::array::ArrayRef>) -> Option<Self::Arrays> {
                Some(($(<$type as $crate::schema::row::Columnar<$life>>::bind(columns)?,)+))
            }

            fn is_null(arrays: &Self::Arrays, place: usize) -> bool {
                let ($($field,)+) = arrays;
                $(<$type as $crate::schema::row::Columnar<$life>>::is_null($field, place))&&+
            }

            fn get(arrays: &Self::Arrays, place: usize) -> Result<Self, $crate::schema::row::Unreadable> {
                let ($($field,)+) = arrays;
                Ok(Self {
                    $($field: <$type as $crate::schema::row::Columnar<$life>>::get($field, place)
                        .map_err(|unreadable| unreadable.within(stringify!($field)))?,)+
                })
            }
        }

        $(impl<$life> $crate::schema::row::TableRow<$life> for $row {
            const TABLE: &'static str = $table;
        })?
    };
}

pub(crate) use table_row;

#[cfg(test)]
mod tests;
