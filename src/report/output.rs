//! A query's rows as a terminal table, CSV, JSON or Parquet.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::csv;
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::json;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{Cell, CellAlignment, Table, presets};

use super::ReportError;
use crate::error::IoContext;
use crate::fs::{replace, replace_with};
use crate::shard;

/// How rows are written to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputFormat {
    /// For the eye: at most `limit` rows, and how many there are.
    Table {
        /// Most rows to show.
        limit: usize,
    },
    /// Comma-separated, with a header; null is empty.
    Csv,
    /// One array of objects.
    Json,
}

/// Writes `rows` to `out`.
///
/// # Errors
/// [`ReportError::Output`] for a column that the format can't hold (lists in CSV) and where `out` can't be written.
pub fn write_rows(rows: &RecordBatch, format: OutputFormat, out: &mut dyn Write) -> Result<(), ReportError> {
    match format {
        OutputFormat::Table { limit } => {
            let failed = |message: String| ReportError::Output { format: "table", message };
            let text = table(rows, limit).map_err(|e| failed(e.to_string()))?;
            writeln!(out, "{text}").map_err(|e| failed(e.to_string()))
        }
        OutputFormat::Csv => csv::Writer::new(out).write(rows).map_err(|e| ReportError::Output {
            format: "csv",
            message: format!("{e}; choose json or parquet, or take one item (`list[1]`)"),
        }),
        OutputFormat::Json => {
            let failed = |e: arrow::error::ArrowError| ReportError::Output { format: "json", message: e.to_string() };
            let mut writer =
                json::WriterBuilder::new().with_explicit_nulls(true).build::<_, json::writer::JsonArray>(&mut *out);
            writer.write(rows).map_err(failed)?;
            writer.finish().map_err(failed)?;
            writeln!(out).map_err(|e| ReportError::Output { format: "json", message: e.to_string() })
        }
    }
}

/// Writes `rows` to the Parquet file `path`, which appears whole or not at all.
pub fn write_parquet(rows: &RecordBatch, path: &Path) -> Result<(), ReportError> {
    replace(path, |beside| {
        shard::write_table(beside, rows.schema_ref(), &[], std::slice::from_ref(rows))?;
        Ok(())
    })
}

/// Writes `rows` to the file `path` as [`write_rows`] does; it appears whole or not at all.
pub fn write_file(rows: &RecordBatch, format: OutputFormat, path: &Path) -> Result<(), ReportError> {
    replace(path, |beside| {
        let mut file = BufWriter::new(File::create(beside).at("create", path)?);
        write_rows(rows, format, &mut file)?;
        Ok(file.flush().at("write", path)?)
    })
}

/// Writes `text` to the file `path`; it appears whole or not at all.
pub fn write_text(text: &str, path: &Path) -> Result<(), ReportError> {
    Ok(replace_with(path, text.as_bytes())?)
}

fn table(rows: &RecordBatch, limit: usize) -> Result<String, arrow::error::ArrowError> {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED);
    let shown = rows.slice(0, rows.num_rows().min(limit));
    let mut columns = Vec::with_capacity(shown.num_columns());
    for (field, column) in shown.schema_ref().fields().iter().zip(shown.columns()) {
        columns.push((field.name(), field.data_type().is_numeric(), texts(column)?));
    }
    table.set_header(columns.iter().map(|(name, ..)| name));
    for row in 0..shown.num_rows() {
        table.add_row(columns.iter().map(|(_, is_number, texts)| {
            let alignment = if *is_number { CellAlignment::Right } else { CellAlignment::Left };
            Cell::new(&texts[row]).set_alignment(alignment)
        }));
    }
    let rows = rows.num_rows();
    let count = match rows {
        1 => "1 row".to_owned(),
        _ if rows > limit => format!("{rows} rows, the first {limit} shown"),
        _ => format!("{rows} rows"),
    };
    Ok(format!("{table}\n{count}"))
}

fn texts(column: &dyn Array) -> Result<Vec<String>, arrow::error::ArrowError> {
    let rows = 0..column.len();
    Ok(match column.data_type() {
        DataType::Float64 => column.as_primitive::<Float64Type>().iter().map(number).collect(),
        DataType::Float32 => column.as_primitive::<Float32Type>().iter().map(|v| number(v.map(f64::from))).collect(),
        _ => {
            let formatter = ArrayFormatter::try_new(column, &FormatOptions::default().with_null(NULL))?;
            rows.map(|row| formatter.value(row).try_to_string()).collect::<Result<_, _>>()?
        }
    })
}

const NULL: &str = "null";

/// Four decimals, trailing zeros cut; very small and very large numbers with an exponent.
fn number(value: Option<f64>) -> String {
    let Some(value) = value else { return NULL.to_owned() };
    let size = value.abs();
    if !value.is_finite() || size == 0.0 {
        return format!("{value:?}");
    }
    if !(1e-3..1e9).contains(&size) {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.4}");
    let cut = text.trim_end_matches('0');
    if cut.ends_with('.') { format!("{cut}0") } else { cut.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, ListBuilder, StringArray, StringBuilder};

    fn rows() -> RecordBatch {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("сказка, \"quoted\""), None, Some("b")]));
        let values: ArrayRef = Arc::new(Float64Array::from(vec![63.20504, 1e-5, 7.0]));
        RecordBatch::try_from_iter([("name", names), ("value", values)]).unwrap()
    }

    fn written(rows: &RecordBatch, format: OutputFormat) -> String {
        let mut out = Vec::new();
        write_rows(rows, format, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_rounds_numbers_and_says_what_it_leaves_out() {
        let text = written(&rows(), OutputFormat::Table { limit: 2 });
        assert!(text.contains("63.205 ") && text.contains("1.000e-5") && text.contains("null"), "{text}");
        assert!(text.ends_with("3 rows, the first 2 shown\n"), "{text}");
        assert!(!text.contains("7.0"), "{text}");
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let text = written(&rows(), OutputFormat::Csv);
        assert_eq!(text, "name,value\n\"сказка, \"\"quoted\"\"\",63.20504\n,0.00001\nb,7.0\n");
    }

    #[test]
    fn json_is_one_array_with_nulls() {
        let text = written(&rows(), OutputFormat::Json);
        let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(parsed[1], serde_json::json!({"name": null, "value": 1e-5}));
        assert_eq!(parsed.as_array().unwrap().len(), 3);
        let none = written(&rows().slice(0, 0), OutputFormat::Json);
        assert_eq!(none.trim(), "[]");
    }

    #[test]
    fn a_list_is_refused_in_csv_with_a_way_out() {
        let mut lists = ListBuilder::new(StringBuilder::new());
        lists.append_value([Some("a")]);
        let rows = RecordBatch::try_from_iter([("words", Arc::new(lists.finish()) as ArrayRef)]).unwrap();
        let error = write_rows(&rows, OutputFormat::Csv, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("json or parquet"), "{error}");
    }

    #[test]
    fn parquet_comes_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.parquet");
        write_parquet(&rows(), &path).unwrap();
        assert_eq!(shard::read_table(&path).unwrap().1, [rows()]);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_text_takes_a_files_place_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page.html");
        std::fs::write(dir.path().join("page.html.partial"), "another's").unwrap();
        for text in ["first", "second"] {
            write_text(text, &path).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::read_to_string(dir.path().join("page.html.partial")).unwrap(), "another's");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_holds_what_a_stream_would_and_a_failure_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.csv");
        write_file(&rows(), OutputFormat::Csv, &path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), written(&rows(), OutputFormat::Csv));
        let mut lists = ListBuilder::new(StringBuilder::new());
        lists.append_value([Some("a")]);
        let refused = RecordBatch::try_from_iter([("words", Arc::new(lists.finish()) as ArrayRef)]).unwrap();
        write_file(&refused, OutputFormat::Csv, &path).unwrap_err();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), written(&rows(), OutputFormat::Csv));
        // Nor where the file is written but can't have its place.
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        write_file(&rows(), OutputFormat::Csv, &dir.path().join("folder")).unwrap_err();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
