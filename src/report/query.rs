//! SQL over results, canonical tables and published scores: Polars runs it, our shard reader feeds it. What is asked about the
//! tables themselves (SHOW TABLES, DESCRIBE) is answered here, from their schemas, and reads no file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray, UInt32Array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use polars::prelude::{DataFrame, IntoLazy};
use polars::sql::{SQLContext, extract_table_identifiers};
use sqlparser::ast::{ObjectName, ShowStatementOptions, Statement};
use sqlparser::dialect::GenericDialect;
use sqlparser::parser::{Parser, ParserError, ParserOptions};

use super::ReportError;
use super::results::check_version;
use crate::schema::{self, described, type_name};
use crate::shard::{self, frame};
use crate::task::{DataId, Format};

/// A table that a query may name.
#[derive(Debug, Clone)]
pub struct QueryTable {
    /// The name in SQL.
    pub name: String,
    /// What a row is.
    pub description: String,
    /// Its columns; their metadata may hold a `description`.
    pub columns: Vec<FieldRef>,
    /// Its rows.
    pub rows: Rows,
}

/// Where a table's rows are.
#[derive(Debug, Clone)]
pub enum Rows {
    /// Parquet files of one schema, read when a query names the table. Each path segment `key=value` between `root` and
    /// the file adds a text column `key`, unless the file has one of that name.
    Files {
        /// The directory above the partitions.
        root: PathBuf,
        /// The files, in the order in which their rows stand.
        files: Vec<PathBuf>,
    },
    /// Batches of one schema.
    Memory(Vec<RecordBatch>),
}

/// Most characters of the engine's words in an error, which may hold a syntax tree: room for a table's columns.
const LONGEST_MESSAGE: usize = 300;

/// What a statement asks for.
enum Asked {
    /// Which tables there are.
    Tables,
    /// Which columns the table of this name has.
    Columns(String),
    /// Rows, which the engine finds.
    Rows,
}

/// Runs one SQL statement (Polars' dialect) over `tables` and returns its rows: SELECT, WITH, EXPLAIN, SHOW TABLES, which lists
/// them all, or DESCRIBE (SHOW COLUMNS FROM), which lists the columns of one. Only tables whose rows are asked for are read.
///
/// # Errors
/// [`ReportError::Sql`] for SQL that does not parse, would change something, names what is not there, or asks for what the
/// engine can't do; it lists the tables. Files that can't be read, named.
pub fn query(sql: &str, tables: &[QueryTable]) -> Result<RecordBatch, ReportError> {
    let failed = |message: String| {
        let mut names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        names.sort_unstable();
        let line = message.lines().next().unwrap_or_default();
        let cut = line.char_indices().nth(LONGEST_MESSAGE).map(|(end, _)| format!("{}…", &line[..end]));
        let message = cut.unwrap_or_else(|| line.to_owned());
        let tables = if names.is_empty() { "none yet, run a study first".to_owned() } else { names.join(", ") };
        ReportError::Sql { message, tables }
    };
    let statements = parse(sql).map_err(|e| failed(e.to_string()))?;
    match asked(&statements) {
        Some(Asked::Tables) => return Ok(shown(tables)),
        Some(Asked::Columns(name)) => {
            let table = tables.iter().find(|table| table.name == name);
            return table.map(columns_of).ok_or_else(|| failed(format!("there is no table `{name}`")));
        }
        Some(Asked::Rows) => (),
        None => {
            let known = "only SELECT, WITH, SHOW TABLES, DESCRIBE and EXPLAIN are run, and no file is changed";
            return Err(failed(known.to_owned()));
        }
    }
    let named = extract_table_identifiers(sql, false, true).map_err(|e| failed(e.to_string()))?;
    let of_name = |name: &str| tables.iter().filter(|table| table.name == name).count();
    if let Some(name) = named.iter().find(|name| of_name(name) > 1) {
        return Err(failed(format!(
            "`{name}` is the table of more than one task: give their files ids that differ in more than signs"
        )));
    }
    let mut context = SQLContext::new();
    for table in tables {
        let rows = if named.contains(&table.name) { load(&table.rows)? } else { DataFrame::empty() };
        context.register(&table.name, rows.lazy());
    }
    // The engine panics where a statement needs a feature that it was built without.
    let outcome = catch_unwind(AssertUnwindSafe(|| context.execute(sql)?.collect()));
    let rows = outcome.map_err(|_| failed("the engine does not support this statement".to_owned()))?;
    Ok(frame::from_polars(&rows.map_err(|e| failed(e.to_string()))?)?)
}

/// The statements of `sql`, as the engine parses them.
fn parse(sql: &str) -> Result<Vec<Statement>, ParserError> {
    let options = ParserOptions { trailing_commas: true, ..ParserOptions::default() };
    Parser::new(&GenericDialect).with_options(options).try_with_sql(sql)?.parse_statements()
}

/// What `statements` ask for; none where it is more than to read.
fn asked(statements: &[Statement]) -> Option<Asked> {
    let nothing_else = |options: &ShowStatementOptions| {
        options.starts_with.is_none()
            && options.limit.is_none()
            && options.limit_from.is_none()
            && options.filter_position.is_none()
    };
    match statements {
        [Statement::ShowTables { show_options, .. }] => {
            (nothing_else(show_options) && show_options.show_in.is_none()).then_some(Asked::Tables)
        }
        [Statement::ShowColumns { show_options, .. }] if nothing_else(show_options) => {
            show_options.show_in.as_ref()?.parent_name.as_ref().map(named)
        }
        [Statement::ExplainTable { table_name, .. }] => Some(named(table_name)),
        statements => statements.iter().all(reads).then_some(Asked::Rows),
    }
}

fn named(table: &ObjectName) -> Asked {
    let parts: Vec<String> =
        table.0.iter().map(|part| part.as_ident().map_or(part.to_string(), |id| id.value.clone())).collect();
    Asked::Columns(parts.join("."))
}

/// Whether a statement only reads rows. The engine would run others on its own copies of the tables and print what is left of them,
/// as if that had become of the files.
fn reads(statement: &Statement) -> bool {
    match statement {
        Statement::Query(_) => true,
        Statement::Explain { statement, .. } => reads(statement),
        _ => false,
    }
}

/// What there is to query, by name.
fn shown(tables: &[QueryTable]) -> RecordBatch {
    let mut tables: Vec<&QueryTable> = tables.iter().collect();
    tables.sort_unstable_by_key(|table| &table.name);
    let columns = tables.iter().map(|table| table.columns.len() as u32);
    let all: [(&str, ArrayRef); 3] = [
        ("table", Arc::new(StringArray::from_iter_values(tables.iter().map(|table| &table.name)))),
        ("columns", Arc::new(UInt32Array::from_iter_values(columns))),
        ("description", Arc::new(StringArray::from_iter_values(tables.iter().map(|table| &table.description)))),
    ];
    RecordBatch::try_from_iter(all).expect("every column has a value for each table")
}

/// The columns of a table, in their order.
fn columns_of(table: &QueryTable) -> RecordBatch {
    let columns = || table.columns.iter();
    let all: [(&str, ArrayRef); 4] = [
        ("column", Arc::new(StringArray::from_iter_values(columns().map(|column| column.name())))),
        ("type", Arc::new(StringArray::from_iter_values(columns().map(|column| type_name(column.data_type()))))),
        ("nullable", Arc::new(columns().map(|column| Some(column.is_nullable())).collect::<BooleanArray>())),
        ("description", Arc::new(StringArray::from_iter_values(columns().map(|column| described(column))))),
    ];
    RecordBatch::try_from_iter(all).expect("every column has a value for each column of the table")
}

/// The canonical tables of `task`, in the files below `root`. Of a task whose format is not known here, the first file tells the
/// columns.
pub fn canonical_table(task: &str, format: Option<Format>, root: PathBuf, files: Vec<PathBuf>) -> QueryTable {
    let first = files.first().and_then(|file| shard::read_as_filed(file).ok());
    let schema = match (format, first) {
        (Some(format), first) => {
            let keys = first.map(|batches| batches.keys()).unwrap_or_default();
            schema::canonical(format).schema_with(|name| keys.has(name))
        }
        (None, Some(first)) => first.schema(),
        (None, None) => Arc::new(Schema::empty()),
    };
    let row = format.map_or("", |format| schema::canonical(format).description.as_str());
    let what = ("description".to_owned(), "`train`, `validation` or `test`.".to_owned());
    let split = Field::new("split", DataType::Utf8, false).with_metadata(std::collections::HashMap::from([what]));
    QueryTable {
        name: format!("canonical_{}", identifier(task)),
        description: format!("Data of task {task}. {row}").trim_end().to_owned(),
        columns: std::iter::once(Arc::new(split)).chain(schema.fields().iter().cloned()).collect(),
        rows: Rows::Files { root, files },
    }
}

/// The name of a task or view as part of a name in SQL: letters, digits and `_`, two of them where a transform begins.
fn identifier(task: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    task.replace(DataId::VIEW, "__").chars().map(plain).collect()
}

fn load(rows: &Rows) -> Result<DataFrame, ReportError> {
    let batches = match rows {
        Rows::Memory(batches) => batches,
        Rows::Files { root, files } => &read_files(root, files)?,
    };
    Ok(frame::to_polars(batches)?)
}

fn read_files(root: &Path, files: &[PathBuf]) -> Result<Vec<RecordBatch>, ReportError> {
    let mut batches = Vec::new();
    for file in files {
        let reader = shard::read_as_filed(file)?;
        check_version(file, &reader)?;
        let partitions = partitions(root, file, &reader.schema());
        let first = RecordBatch::new_empty(reader.schema());
        batches.push(with_partitions(&first, &partitions));
        for batch in reader {
            batches.push(with_partitions(&batch?, &partitions));
        }
    }
    Ok(batches)
}

/// The columns that the path of `file` below `root` adds to a table of `schema`.
fn partitions(root: &Path, file: &Path, schema: &Schema) -> Vec<(String, String)> {
    let below = file.strip_prefix(root).unwrap_or(file);
    let segments = below.parent().into_iter().flat_map(Path::iter);
    segments
        .filter_map(|segment| segment.to_str()?.split_once('='))
        .filter(|(key, _)| schema.field_with_name(key).is_err())
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn with_partitions(batch: &RecordBatch, partitions: &[(String, String)]) -> RecordBatch {
    let mut fields: Vec<Arc<Field>> =
        partitions.iter().map(|(key, _)| Arc::new(Field::new(key, DataType::Utf8, false))).collect();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(fields.len() + batch.num_columns());
    for (_, value) in partitions {
        let repeated = std::iter::repeat_n(value, batch.num_rows());
        columns.push(Arc::new(StringArray::from_iter_values(repeated)));
    }
    fields.extend(batch.schema_ref().fields().iter().cloned());
    columns.extend(batch.columns().iter().cloned());
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("every column has the batch's length")
}

#[cfg(test)]
mod tests {
    use super::super::{ResultsTable, fixture, publish, results_tables};
    use super::*;
    use crate::store::Leases;
    use arrow::array::AsArray;
    use arrow::datatypes::{Float64Type, Int64Type, UInt32Type, UInt64Type};
    use std::sync::atomic::AtomicBool;

    fn tables() -> (tempfile::TempDir, Vec<QueryTable>) {
        let dir = tempfile::tempdir().unwrap();
        let results = fixture::results(dir.path());
        publish(&results, &dir.path().join("results"), &Leases::new(dir.path()), &AtomicBool::new(false)).unwrap();
        let tables = results_tables(&dir.path().join("results")).unwrap();
        (dir, tables)
    }

    fn texts<'a>(batch: &'a RecordBatch, column: &str) -> Vec<&'a str> {
        batch[column].as_string::<i32>().iter().flatten().collect()
    }

    #[test]
    fn scores_are_averaged_per_target_and_row() {
        let (_dir, tables) = tables();
        let sql = "SELECT target, row, AVG(value) AS mean FROM scores WHERE metric = 'f1'
                   GROUP BY target, row ORDER BY 1, 2";
        let batch = query(sql, &tables).unwrap();
        assert_eq!(texts(&batch, "target"), ["xquad"; 3]);
        assert_eq!(texts(&batch, "row"), ["chance", "mnli", "none"]);
        let want = |row: &str| {
            let cells = [1, 2].into_iter().flat_map(|seed| ["de", "en", "sw"].map(|l| fixture::value(row, seed, l)));
            cells.sum::<f64>() / 6.0
        };
        for (row, mean) in ["chance", "mnli", "none"].iter().zip(batch["mean"].as_primitive::<Float64Type>().values()) {
            assert!((mean - want(row)).abs() < 1e-9, "{row}: {mean}");
        }
    }

    #[test]
    fn tables_join_on_their_keys() {
        let (_dir, tables) = tables();
        let sql = "SELECT r.study, r.target, r.seed, COUNT(*) AS rows FROM runs r JOIN predictions p
                   ON r.predict_key = p.predict_key WHERE r.row = 'mnli'
                   GROUP BY r.study, r.target, r.seed ORDER BY r.target, r.seed";
        let batch = query(sql, &tables).unwrap();
        assert_eq!(texts(&batch, "study"), ["small"; 6]);
        assert_eq!(batch["seed"].as_primitive::<UInt64Type>().values(), &[1, 2, 1, 2, 1, 2]);
        let rows = arrow::compute::cast(&batch["rows"], &DataType::Int64).unwrap();
        assert_eq!(rows.as_primitive::<Int64Type>().values(), &[4, 4, 6, 6, 6, 6]);
    }

    #[test]
    fn common_table_expressions_windows_and_lists_work() {
        let (_dir, tables) = tables();
        let sql = "WITH last AS (SELECT phase, MAX(step) AS steps FROM training_log GROUP BY phase)
                   SELECT phase, steps FROM last ORDER BY phase";
        let batch = query(sql, &tables).unwrap();
        assert_eq!(texts(&batch, "phase"), ["intermediate", "pretrain", "target"]);
        assert_eq!(batch["steps"].as_primitive::<UInt32Type>().values(), &[40; 3]);
        let sql = "SELECT row, ROW_NUMBER() OVER (PARTITION BY target ORDER BY seed) AS place FROM runs";
        assert_eq!(query(sql, &tables).unwrap().num_rows(), 15);
        let batch = query("SELECT intermediate_tasks FROM runs WHERE row = 'mnli' LIMIT 1", &tables).unwrap();
        assert_eq!(batch.column(0).as_list::<i32>().value(0).as_string::<i32>().value(0), "mnli");
    }

    #[test]
    fn only_named_tables_are_read() {
        let (_dir, mut tables) = tables();
        let gone = Rows::Files { root: PathBuf::new(), files: vec![PathBuf::from("/nowhere/part.parquet")] };
        let (description, columns) = ("Rows that are not there.".to_owned(), Vec::new());
        tables.push(QueryTable { name: "canonical_gone".to_owned(), description, columns, rows: gone });
        assert_eq!(query("SELECT COUNT(*) FROM runs", &tables).unwrap().num_rows(), 1);
        let shown = query("SHOW TABLES", &tables).unwrap();
        assert_eq!(
            shown.column(0).as_string::<i32>().iter().flatten().collect::<Vec<_>>(),
            [
                "canonical_gone",
                "comparisons",
                "example_scores",
                "overlap",
                "predictions",
                "profiles",
                "runs",
                "scores",
                "summaries",
                "training_log"
            ]
        );
        let message = query("SELECT * FROM canonical_gone", &tables).unwrap_err().to_string();
        assert!(message.contains("/nowhere/part.parquet"), "{message}");
    }

    #[test]
    fn what_tables_and_columns_mean_can_be_asked() {
        let (_dir, tables) = tables();
        let shown = query("SHOW TABLES", &tables).unwrap();
        assert_eq!(
            shown.schema().fields().iter().map(|f| f.name().as_str()).collect::<Vec<_>>(),
            ["table", "columns", "description"]
        );
        let place = texts(&shown, "table").iter().position(|name| *name == "scores").unwrap();
        assert_eq!(texts(&shown, "description")[place], ResultsTable::Scores.description());
        let statements = [
            "DESCRIBE training_log",
            "DESC training_log",
            "SHOW COLUMNS FROM training_log",
            "describe \"training_log\"",
        ];
        for sql in statements {
            let columns = query(sql, &tables).unwrap();
            let names = texts(&columns, "column");
            assert_eq!(names[..4], ["study", "target", "row", "seed"], "{sql}");
            assert_eq!(names[7..10], ["phase", "task", "step"], "{sql}");
            let loss = names.iter().position(|name| *name == "loss").unwrap();
            assert_eq!(texts(&columns, "type")[loss], "float32");
            assert_eq!(texts(&columns, "description")[loss], "Training loss of the step.");
            assert!(columns["nullable"].as_boolean().value(loss) && !columns["nullable"].as_boolean().value(0));
        }
    }

    #[test]
    fn the_columns_that_are_described_are_those_that_are_there() {
        let (_dir, tables) = tables();
        for table in &tables {
            let rows = query(&format!("SELECT * FROM {} LIMIT 0", table.name), &tables).unwrap();
            let found: Vec<String> = rows.schema().fields().iter().map(|field| field.name().clone()).collect();
            assert_eq!(texts(&columns_of(table), "column"), found, "{}", table.name);
        }
    }

    #[test]
    fn a_canonical_table_says_what_its_format_is() {
        let (root, files) = (PathBuf::from("canonical"), Vec::new());
        let table = canonical_table("squad-v1", Some(Format::SpanExtraction), root, files);
        assert_eq!(table.name, "canonical_squad_v1");
        assert!(table.description.starts_with("Data of task squad-v1. "), "{}", table.description);
        let names: Vec<&str> = table.columns.iter().map(|column| column.name().as_str()).collect();
        assert_eq!(names[..2], ["split", "example_id"]);
    }

    #[test]
    fn wrong_sql_lists_the_tables_there_are() {
        let (_dir, tables) = tables();
        let wrong = [
            "SELEC 1",
            "SELECT * FROM score",
            "SELECT tongue FROM scores",
            "SELECT 1; SELECT 2",
            "SELECT * FROM read_parquet('/etc/passwd')",
            "SELECT CAST(value AS UINT1) FROM scores",
            "DELETE FROM scores",
            "DESCRIBE score",
            "SHOW TABLES LIKE 'score%'",
            "SHOW COLUMNS",
            "",
        ];
        for sql in wrong {
            let error = query(sql, &tables).unwrap_err();
            let message = error.to_string();
            assert!(
                message
                    .contains("example_scores, overlap, predictions, profiles, runs, scores, summaries, training_log"),
                "{sql}: {message}"
            );
            assert_eq!(error.exit(), crate::error::ExitCode::Usage);
        }
    }

    #[test]
    fn a_column_of_the_file_wins_over_its_path() {
        let schema = Schema::new(vec![Field::new("language", DataType::Utf8, false)]);
        let root = Path::new("/canonical");
        let file = root.join("split=test/language=sw/part-00000.parquet");
        assert_eq!(partitions(root, &file, &schema), [("split".to_owned(), "test".to_owned())]);
    }
}
