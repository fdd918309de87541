use std::path::PathBuf;

use arrow::array::AsArray;

use super::*;
use crate::progress::Quiet;
use crate::shard::{read_batches, read_table};
use crate::source::{Origin, resolve};
use crate::task::{Language, Languages, SourceLanguage};

mod faults;
mod real;
mod shipped;

/// A data directory with the files of one layout, and a task over it.
struct World {
    dir: tempfile::TempDir,
    task: Task,
}

/// What a run gives, or the words of its error with the directory cut off.
type Outcome = Result<NormalizeOutcome, String>;

impl World {
    fn new(task: &str, files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join("toy").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let head = "id = \"toy\"\nrole = \"intermediate\"\nlicense = \"CC0-1.0\"\n";
        Self { dir, task: Task::parse(&format!("{head}{task}"), "toy.toml").unwrap() }
    }

    fn raw(&self, languages: &[&str], splits: &[Split]) -> RawTask {
        let all = Languages::parse(include_str!("../../data/languages.toml"), "languages.toml").unwrap();
        let languages: Vec<&Language> = languages.iter().map(|code| all.get(code).unwrap()).collect();
        resolve(&self.task, &Origin::Directory { root: self.dir.path() }, &languages, splits, true).unwrap()
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn run_with(&self, languages: &[&str], splits: &[Split], limits: &[(Split, u64)], check_counts: bool) -> Outcome {
        let raw = self.raw(languages, splits);
        let languages: Vec<String> = languages.iter().map(|code| (*code).to_owned()).collect();
        let limits = limits.iter().copied().collect();
        let known = self.task.known_languages(&SourceLanguage::default());
        let terms = terms(&self.task, &known);
        let request = NormalizeRequest { terms, raw: &raw, languages: &languages, limits: &limits };
        let outcome = normalize(&request, &self.out(), &[("trestle.key", "k")], &Quiet, &AtomicBool::new(false));
        let checked = outcome.and_then(|outcome| {
            let whole = outcome.tables.iter().filter(|table| !limits.contains_key(&table.split));
            if check_counts {
                super::check_counts(&self.task, whole)?
            }
            Ok(outcome)
        });
        checked.map_err(|e| e.to_string().replace(&format!("{}/toy/", self.dir.path().display()), ""))
    }

    fn run(&self) -> Outcome {
        self.run_with(&["en"], &[Split::Train], &[], false)
    }

    fn table(&self, split: Split, language: &str) -> RecordBatch {
        let (schema, batches) = read_table(&self.out().join(crate::shard::table_path(split.name(), language))).unwrap();
        arrow::compute::concat_batches(&schema, &batches).unwrap()
    }

    /// A column of English training examples as text.
    fn column(&self, name: &str) -> Vec<String> {
        texts(&self.table(Split::Train, "en"), name)
    }
}

/// What the rows of `task`, which may be in the languages `known`, are to be.
fn terms<'a>(task: &'a Task, known: &'a [String]) -> Terms<'a> {
    Terms {
        id: &task.id,
        format: task.format,
        labels: &task.labels,
        open_labels: task.open_labels,
        choices: &task.normalize.choices,
        languages: known,
    }
}

fn texts(table: &RecordBatch, name: &str) -> Vec<String> {
    let column = table.column_by_name(name).unwrap();
    let options = arrow::util::display::FormatOptions::default().with_null("-");
    let format = arrow::util::display::ArrayFormatter::try_new(column, &options).unwrap();
    (0..table.num_rows()).map(|row| format.value(row).to_string()).collect()
}

const PAIRS: &str = r#"
    format = "pair-classification"
    labels = ["yes", "no"]
    languages = ["en", "de", "fi"]
    [source.directory]
    layout = "toy"
    reader = "tsv"
    columns = ["language", "a", "b", "label"]
    files = { train = "train-*.tsv", test = "{lang}.tsv" }
    [normalize]
    sql = "SELECT a AS text_a, b AS text_b, label FROM raw"
"#;

#[test]
fn defaults_fill_what_the_sql_leaves_out() {
    let world = World::new(PAIRS, &[("train-1.tsv", "x\ta\tb\tyes\nx\tc\td\tno\n"), ("train-2.tsv", "x\te\tf\tno\n")]);
    let outcome = world.run().unwrap();
    assert_eq!(world.column("example_id"), ["0", "1", "2"]);
    assert_eq!(world.column("language"), ["en", "en", "en"]);
    assert_eq!(world.column("label"), ["yes", "no", "no"]);
    assert_eq!(outcome.tables[0].rows, 3);
    assert_eq!(outcome.labels, BTreeMap::from([("yes".to_owned(), 1), ("no".to_owned(), 2)]));
    let batches = read_batches(&world.out().join(&outcome.tables[0].path)).unwrap();
    assert_eq!(batches.metadata("trestle.key"), Some("k"));
    assert_eq!(batches.metadata("trestle.schema"), Some("pair-classification"));
}

#[test]
fn rows_go_to_the_table_of_their_language() {
    let task = PAIRS.replace("SELECT a", "SELECT language, a");
    let text = "de\ta\tb\tyes\nen\tc\td\tno\nfi\te\tf\tno\nde\tg\th\tno\n";
    let world = World::new(&task, &[("train-1.tsv", text)]);
    let outcome = world.run_with(&["de", "en"], &[Split::Train], &[], false).unwrap();
    let rows: Vec<_> = outcome.tables.iter().map(|t| (t.language.as_str(), t.rows)).collect();
    assert_eq!(rows, [("de", 2), ("en", 1)]);
    assert_eq!(texts(&world.table(Split::Train, "de"), "example_id"), ["0", "3"]);
}

#[test]
fn numbers_and_null_stand_for_labels_and_unknown_gold() {
    let task = PAIRS.replace("label FROM raw", "TRY_CAST(label AS INT) AS label FROM raw");
    let world = World::new(&task, &[("train-1.tsv", "en\ta\tb\t1\nen\tc\td\tx\nen\te\tf\t0\n")]);
    world.run().unwrap();
    assert_eq!(world.column("label"), ["no", "-", "yes"]);
}

#[test]
fn limits_take_the_first_rows_of_each_language() {
    let lines: String = (0..5000).map(|i| format!("en\ta {i}\tb\tyes\n")).collect();
    let broken = format!("{lines}not a row\n");
    let world = World::new(PAIRS, &[("train-1.tsv", &broken)]);
    let outcome = world.run_with(&["en"], &[Split::Train], &[(Split::Train, 1500)], true).unwrap();
    assert_eq!(outcome.tables[0].rows, 1500);
    assert_eq!(world.column("text_a").last().unwrap(), "a 1499");
    assert!(world.run().unwrap_err().contains("train-1.tsv:5001: 1 columns"));
}

#[test]
fn retrieval_gives_both_sides_of_each_row() {
    let task = r#"
        format = "sentence-retrieval"
        languages = ["de"]
        [source.directory]
        layout = "toy"
        reader = "lines"
        files = { test = [{ path = "x.{lang3}", columns = ["sentence"] }, { path = "x.eng", columns = ["english"] }] }
        [normalize]
        sql = """SELECT CONCAT('en-', CAST(row AS VARCHAR)) AS example_id, 'query' AS side, english AS text, CAST(row AS VARCHAR) AS gold FROM raw
                 UNION ALL SELECT CAST(row AS VARCHAR) AS example_id, 'index' AS side, sentence AS text, NULL AS gold FROM raw"""
    "#;
    let world = World::new(task, &[("x.deu", "Ja.\nNein.\n"), ("x.eng", "Yes.\nNo.\n")]);
    world.run_with(&["de"], &[Split::Test], &[], false).unwrap();
    let table = world.table(Split::Test, "de");
    assert_eq!(texts(&table, "example_id"), ["en-0", "0", "en-1", "1"]);
    assert_eq!(texts(&table, "side"), ["query", "index", "query", "index"]);
    assert_eq!(texts(&table, "text"), ["Yes.", "Ja.", "No.", "Nein."]);
    assert_eq!(texts(&table, "gold"), ["0", "-", "1", "-"]);
}

const SPANS: &str = r#"
    format = "span-extraction"
    [source.directory]
    layout = "toy"
    reader = "squad-json"
    files = { train = "x.json" }
    [normalize]
    sql = "SELECT id AS example_id, context, question, answers_text AS answer_texts, answers_start AS answer_starts FROM raw"
"#;

fn squad(context: &str, answers: &str) -> String {
    format!(
        r#"{{"data": [{{"paragraphs": [{{"context": "{context}", "qas": [{{"id": "q", "question": "?", "answers": [{answers}]}}]}}]}}]}}"#
    )
}

#[test]
fn answers_are_found_by_byte() {
    let context = "Zürich 東京 \u{1f600} end";
    let answers = r#"{"text": "end", "answer_start": 12}, {"text": "東京", "answer_start": 7}, {"text": "Zürich", "answer_start": 0}"#;
    let world = World::new(SPANS, &[("x.json", &squad(context, answers))]);
    let outcome = world.run().unwrap();
    let table = world.table(Split::Train, "en");
    let starts = table.column_by_name("answer_starts").unwrap().as_list::<i32>().value(0);
    let starts = starts.as_primitive::<arrow::datatypes::UInt32Type>().values().to_vec();
    assert_eq!(starts, ["end", "東京", "Zürich"].map(|text| context.find(text).unwrap() as u32));
    assert_eq!(world.column("answerable"), ["true"]);
    assert_eq!(outcome.labels, BTreeMap::from([("answerable".to_owned(), 1)]));
    let none = World::new(SPANS, &[("x.json", &squad("c", ""))]);
    none.run().unwrap();
    assert_eq!(none.column("answerable"), ["false"]);
}

#[test]
fn choices_come_from_a_list_or_from_columns() {
    let task = r#"
        format = "multiple-choice"
        [source.directory]
        layout = "toy"
        reader = "tsv"
        files = { train = "x.tsv" }
        [normalize]
        sql = "SELECT q AS question, a, b, CAST(label AS INT) AS label FROM raw"
        choices = ["b", "a"]
    "#;
    let world = World::new(task, &[("x.tsv", "q\ta\tb\tlabel\nwhat\tx\ty\t1\nwho\tz\tw\t0\n")]);
    let outcome = world.run().unwrap();
    assert_eq!(world.column("choices"), ["[y, x]", "[w, z]"]);
    assert_eq!(world.column("context"), ["-", "-"]);
    assert_eq!(outcome.labels, BTreeMap::from([("0".to_owned(), 1), ("1".to_owned(), 1)]));
}

#[test]
fn the_raw_columns_say_where_a_row_comes_from() {
    let task = PAIRS.replace("[\"language\", \"a\", \"b\", \"label\"]", "[\"row\", \"a\", \"b\", \"label\"]").replace(
        "SELECT a",
        "SELECT CONCAT(raw_row, '/', lang, '/', split, '/', CAST(row AS VARCHAR)) AS example_id, a",
    );
    let world = World::new(&task, &[("fi.tsv", "own\ta\tb\tyes\n")]);
    world.run_with(&["fi"], &[Split::Test], &[], false).unwrap();
    assert_eq!(texts(&world.table(Split::Test, "fi"), "example_id"), ["own/fi/test/0"]);
}

/// A text task over `files` read by `reader`, and the texts of German and Finnish that it gives.
fn read_texts(reader: &str, pattern: &str, sql: &str, files: &[(&str, &str)]) -> [Vec<String>; 2] {
    let task = format!(
        "format = \"text\"\nlanguages = [\"de\", \"fi\"]\n[source.directory]\nlayout = \"toy\"\nreader = \"{reader}\"\n\
         files = {{ train = \"{pattern}\" }}\n[normalize]\nsql = \"{sql}\"\n"
    );
    let world = World::new(&task, files);
    world.run_with(&["de", "fi"], &[Split::Train], &[], false).unwrap();
    ["de", "fi"].map(|language| texts(&world.table(Split::Train, language), "text"))
}

#[test]
fn texts_have_their_language_in_the_path_or_in_a_column() {
    let expected = [vec!["Ja.".to_owned(), "Nein.".to_owned()], vec!["Ei.".to_owned()]];
    let sql = "SELECT text FROM raw WHERE text <> ''";
    let lines = [("de.txt", "Ja.\n\nNein.\n"), ("fi.txt", "Ei.\n")];
    assert_eq!(read_texts("lines", "{lang}.txt", sql, &lines), expected);
    let rows = [
        ("de/1.jsonl", "{\"text\": \"Ja.\"}\n"),
        ("de/2.jsonl", "{\"text\": \"Nein.\"}\n"),
        ("fi/1.jsonl", "{\"text\": \"Ei.\"}\n"),
    ];
    assert_eq!(read_texts("jsonl", "{lang}/*.jsonl", sql, &rows), expected);
    let column = "{\"code\": \"de\", \"text\": \"Ja.\"}\n{\"code\": \"fi\", \"text\": \"Ei.\"}\n{\"code\": \"de\", \"text\": \"Nein.\"}\n";
    let sql = "SELECT text, code AS language FROM raw";
    assert_eq!(read_texts("jsonl", "*.jsonl", sql, &[("all.jsonl", column)]), expected);
}

const CATEGORIES: &str = r#"
    format = "word-tagging"
    open_labels = true
    [source.directory]
    layout = "toy"
    reader = "token-tag-tsv"
    files = { train = { sequence = ["a/*.tsv", { path = "b.tsv", sql = "SELECT CONCAT('b-', CAST(row AS VARCHAR)) AS example_id, words, tags FROM raw" }] }, test = "test.tsv" }
    [normalize]
    sql = "SELECT words, tags FROM raw"
"#;

#[test]
fn an_open_label_set_is_that_of_the_training_split() {
    let files =
        [("a/2.tsv", "x\tN/N\n"), ("a/1.tsv", "y\tNP\nz\tN\n"), ("b.tsv", "u\tS\n\nv\tN\n"), ("test.tsv", "w\tPP\n")];
    let world = World::new(CATEGORIES, &files);
    let outcome = world.run_with(&["en"], &[Split::Train, Split::Test], &[], false).unwrap();
    assert_eq!(outcome.label_set, ["N", "N/N", "NP", "S"]);
    assert_eq!(outcome.labels.len(), 5);
    assert_eq!(world.column("example_id"), ["0", "1", "b-2", "b-3"]);
    assert_eq!(world.column("words"), ["[y, z]", "[x]", "[u]", "[v]"]);
    let closed = World::new(PAIRS, &[("train-1.tsv", "x\ta\tb\tyes\n")]);
    assert_eq!(closed.run().unwrap().label_set, ["yes", "no"]);
}

#[test]
fn the_file_of_a_row_is_known() {
    let task = PAIRS.replace("SELECT a", "SELECT CONCAT(file, '#', CAST(row AS VARCHAR)) AS example_id, a");
    let world = World::new(&task, &[("train-1.tsv", "x\ta\tb\tyes\n"), ("train-2.tsv", "x\ta\tb\tno\n")]);
    world.run().unwrap();
    assert_eq!(world.column("example_id"), ["toy/train-1.tsv#0", "toy/train-2.tsv#1"]);
}

#[test]
fn the_bytes_do_not_depend_on_the_number_of_threads() {
    let lines = |seed: usize| (0..3000).map(|i| format!("x\ttext {} {i}\tb\tyes\n", i * seed)).collect::<String>();
    let files: Vec<(String, String)> =
        ["en", "de", "fi"].iter().enumerate().map(|(seed, l)| (format!("{l}.tsv"), lines(seed))).collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let world = World::new(PAIRS, &files);
    let digests = |threads: usize| {
        std::fs::remove_dir_all(world.out()).ok();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let outcome = pool.install(|| world.run_with(&["fi", "en", "de"], &[Split::Test], &[], false)).unwrap();
        let bytes = |table: &NormalizedTable| blake3::hash(&std::fs::read(world.out().join(&table.path)).unwrap());
        outcome.tables.iter().map(|table| (table.language.clone(), bytes(table))).collect::<Vec<_>>()
    };
    let one = digests(1);
    assert_eq!(one.len(), 3);
    assert_eq!(one, digests(4));
}

#[test]
fn a_run_stops_when_it_is_told_to() {
    let world = World::new(PAIRS, &[("train-1.tsv", "x\ta\tb\tyes\n")]);
    let raw = world.raw(&["en"], &[Split::Train]);
    let (languages, limits) = (["en".to_owned()], BTreeMap::new());
    let known = world.task.known_languages(&SourceLanguage::default());
    let terms = terms(&world.task, &known);
    let request = NormalizeRequest { terms, raw: &raw, languages: &languages, limits: &limits };
    let outcome = normalize(&request, &world.out(), &[], &Quiet, &AtomicBool::new(true));
    assert!(matches!(outcome, Err(Error::Interrupted)));
}
