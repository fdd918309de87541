//! `docs/tables.md`, held to what the code says of its tables.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write as _;
use std::path::Path;

use arrow::datatypes::FieldRef;
use trestle::report::{ResultsTable, languages_table, reference_table};
use trestle::schema::{described, type_name};
use trestle::task::Registry;

const HEAD: &str = "\
# The tables

<!-- Written by the code: `make docs` writes it again. -->

What `trestle query` knows beside each task's data (`canonical_<task>`). `trestle query \"SHOW TABLES\"` lists what a store has of
them, `trestle query \"DESCRIBE scores\"` the columns of one.

The tables of results lie below `work/results/`, a folder each. The columns that are marked as a folder stand in the paths of a
table's files and not in the files: Trestle, DuckDB, Polars and pandas add them. Groups of languages are named here as of
studies from English; of those from another language they are `source`, `non-source` and `source-gap`
([analysis.md](analysis.md)).
";

/// A table's part of the page.
fn part(page: &mut String, name: &str, description: &str, columns: &[FieldRef], folders: usize) {
    write!(page, "\n## `{name}`\n\n{description}\n\n| column | type | meaning |\n|---|---|---|\n").unwrap();
    for (place, column) in columns.iter().enumerate() {
        let mut kind = type_name(column.data_type());
        if place < folders {
            kind += ", a folder";
        } else if column.is_nullable() {
            kind += ", or null";
        }
        let meaning = described(column);
        assert!(!meaning.is_empty() && !meaning.contains('|'), "{name}.{}: {meaning}", column.name());
        writeln!(page, "| `{}` | {kind} | {meaning} |", column.name()).unwrap();
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for table in ResultsTable::ALL {
        part(&mut page, table.name(), table.description(), &table.columns(), table.partitions().len());
    }
    let registry = Registry::load(&[]).unwrap();
    for table in [languages_table(registry.languages()), reference_table().unwrap()] {
        part(&mut page, &table.name, &table.description, &table.columns, 0);
    }
    page
}

#[test]
fn the_page_of_tables_is_what_the_code_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/tables.md");
    match std::env::var("TRESTLE_DOCS").as_deref() {
        Ok("write") => std::fs::write(&path, page()).unwrap(),
        Ok(other) => panic!("TRESTLE_DOCS is `{other}`; it can be `write`"),
        Err(_) => {
            let found = std::fs::read_to_string(&path).unwrap();
            let differing = found.lines().zip(page().lines()).position(|(found, wanted)| found != wanted);
            let line = differing.unwrap_or_else(|| found.lines().count().min(page().lines().count())) + 1;
            assert!(
                found == page(),
                "docs/tables.md differs from the code at line {line}: `make docs` writes it again"
            );
        }
    }
}
