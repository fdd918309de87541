use crate::error::ExitCode;

/// What goes wrong with schemas.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// A schema file is broken.
    #[error("a schema file is broken: {0}")]
    File(String),
    /// A column is absent or out of order.
    #[error("table {table} lacks column `{column}` in its place (found: {found}); mend the SELECT list")]
    Column {
        /// The table's id.
        table: String,
        /// The column.
        column: String,
        /// The columns there are.
        found: String,
    },
    /// A column has another type.
    #[error("table {table}: column `{column}` is {found}, must be {want}; add a CAST to the SQL")]
    Type {
        /// The table's id.
        table: String,
        /// The column.
        column: String,
        /// The contract's type.
        want: String,
        /// The batch's type.
        found: String,
    },
    /// A null where none may be.
    #[error("table {table}: column `{column}` must not be null")]
    Null {
        /// The table's id.
        table: String,
        /// The column.
        column: String,
    },
    /// A column that the contract does not know.
    #[error("table {table} has no column `{column}`; take it out of the SELECT list")]
    Extra {
        /// The table's id.
        table: String,
        /// The column.
        column: String,
    },
    /// A cell that holds none of its type's values.
    #[error("table {table}, column `{column}`, row {row}: {problem}; make the table again")]
    Value {
        /// The table's id.
        table: String,
        /// The column.
        column: String,
        /// The row, counted from 1.
        row: usize,
        /// What is wrong.
        problem: String,
    },
}

impl SchemaError {
    /// The exit code of this failure.
    pub fn exit(&self) -> ExitCode {
        match self {
            SchemaError::File(_) => ExitCode::Internal,
            _ => ExitCode::Data,
        }
    }
}
