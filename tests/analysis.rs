//! `docs/analysis.md`, replayed over a small study: its commands run, its queries answer, and DuckDB gives the same answers.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::Trestle;

const PAGE: &str = include_str!("../docs/analysis.md");

/// The page's blocks of a language, with the block after each.
fn blocks(language: &str) -> Vec<(String, String)> {
    let parts: Vec<&str> = PAGE.split("```").collect();
    let fence = format!("{language}\n");
    let block = |at: usize| parts.get(at).map(|part| part.split_once('\n').unwrap_or_default().1.trim_end().to_owned());
    (1..parts.len())
        .step_by(2)
        .filter(|at| parts[*at].starts_with(&fence))
        .map(|at| (block(at).unwrap(), block(at + 2).unwrap_or_default()))
        .collect()
}

/// The page's queries, about the study for the tests.
fn queries() -> Vec<(String, String)> {
    let queries = blocks("sql").into_iter().map(|(sql, answer)| (sql.replace("'mini'", "'tiny'"), answer));
    queries.collect()
}

/// A finished study, and the page's commands run beside its store.
fn replayed() -> Trestle {
    let trestle = Trestle::new();
    for (commands, _) in blocks("console") {
        for command in commands.lines() {
            let arguments = command.strip_prefix("$ trestle ").unwrap();
            if arguments == "run mini" {
                trestle.ok(&["run", "tiny", "--device", "flex", "--workers", "2", "--quiet"]);
                continue;
            }
            let (sql, output) = arguments.strip_prefix("query \"").unwrap().split_once("\" --output ").unwrap();
            let said = trestle.command(&["query", sql, "--output", output]).current_dir(trestle.dir.path()).output();
            assert_eq!(support::said(&said.unwrap()).code, 0, "{command}");
        }
    }
    trestle
}

fn answer(trestle: &Trestle, sql: &str) -> Vec<Value> {
    trestle.query(sql)
}

#[test]
fn the_queries_of_the_page_answer_with_the_columns_it_shows() {
    let trestle = replayed();
    let queries = queries();
    assert_eq!(queries.len(), 4);
    for (sql, shown) in queries {
        let rows = answer(&trestle, &sql);
        assert!(!rows.is_empty(), "{sql}");
        let header: Vec<&str> = shown.lines().nth(1).unwrap().trim_matches('│').split('┆').map(str::trim).collect();
        let table = trestle.ok(&["query", &sql]).out;
        let columns: Vec<&str> = table.lines().nth(1).unwrap().trim_matches('│').split('┆').map(str::trim).collect();
        assert_eq!(header, columns, "{sql}");
    }
}

/// Runs the statements of the first argument, then each query of the second; prints a list of lists of objects.
const DUCKDB: &str = "
import sys, json, duckdb
connection = duckdb.connect()
connection.execute(sys.argv[1])
answers = []
for query in json.loads(sys.argv[2]):
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    answers.append([dict(zip(names, row)) for row in cursor.fetchall()])
print(json.dumps(answers))
";

#[test]
#[ignore = "needs TRESTLE_ANALYSIS_PYTHON with duckdb"]
fn analysis_python_duckdb_gives_the_same_answers() {
    let python = std::env::var("TRESTLE_ANALYSIS_PYTHON").unwrap();
    let trestle = replayed();
    let place: &Path = trestle.dir.path();
    let setup: Vec<String> = blocks("duckdb").into_iter().map(|(setup, _)| setup).collect();
    let queries: Vec<String> = queries().into_iter().map(|(sql, _)| sql).collect();
    let mut command = Command::new(python);
    command.args(["-c", DUCKDB, &setup.join("\n"), &json!(queries).to_string()]).current_dir(place);
    let said = support::said(&command.output().unwrap());
    assert_eq!(said.code, 0, "{}", said.err);
    let answers: Vec<Vec<Value>> = said.json();
    assert_eq!(answers.len(), queries.len());
    for (sql, theirs) in queries.iter().zip(answers) {
        let ours = answer(&trestle, sql);
        assert_eq!(ours.len(), theirs.len(), "{sql}\n{ours:?}\n{theirs:?}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let (ours, theirs) = (ours.as_object().unwrap(), theirs.as_object().unwrap());
            assert_eq!(ours.len(), theirs.len());
            for (name, value) in ours {
                // Means are summed in another order there.
                let close = match (value.as_f64(), theirs[name].as_f64()) {
                    (Some(ours), Some(theirs)) => (ours - theirs).abs() < 1e-9,
                    _ => *value == theirs[name],
                };
                assert!(close, "{sql}\n{name}: {value} is not {}", theirs[name]);
            }
        }
    }
}
