//! Every number of a study of every format and phase, held against the one that `tests/golden` keeps: see its README.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float32Type, Float64Type};
use arrow::util::display::array_value_to_string;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;
use support::Trestle;

const STUDY: &str = "golden";

/// A table of the results, the columns that name one of its rows, and whether its golden is packed: too large to be read.
type Kept = (&'static str, &'static [&'static str], bool);

const KEPT: [Kept; 10] = [
    ("runs", &["target", "row", "seed"], false),
    ("scores", &["target", "row", "seed", "split", "language", "layer", "pooling", "metric"], false),
    ("summaries", &["target", "row", "seed", "split", "layer", "pooling", "metric", "group"], true),
    (
        "example_scores",
        &["target", "row", "seed", "split", "language", "layer", "pooling", "language_b", "example_id"],
        true,
    ),
    (
        "predictions",
        &["target", "row", "seed", "split", "language", "layer", "pooling", "language_b", "example_id", "rank"],
        true,
    ),
    ("training_log", &["target", "row", "seed", "phase", "task", "step", "metric"], true),
    ("comparisons", &["target", "row", "baseline", "layer", "pooling", "metric", "scope"], true),
    ("aggregates", &["target", "row", "layer", "pooling", "metric", "group"], true),
    ("profiles", &["task", "split", "language"], false),
    ("overlap", &["source_task", "source_split", "task", "split", "language", "field", "kind"], false),
];

/// Columns that hold keys, versions, or what is part of a key.
const LEFT_OUT: [&str; 7] =
    ["model_key", "predict_key", "score_key", "tokenizer_digest", "data_keys", "parameters", "code_version"];

/// By how much numbers may differ on other processors: absolutely, or relative to the larger where that is more.
const TOLERANCE: f64 = 1e-6;

/// How many differences of a table are told.
const TOLD: usize = 8;

const NULL: &str = "\\N";

/// A table as text. Numbers are in the shortest form that reads back as exactly the same, so that equal texts are equal bits.
#[derive(Debug, Clone, Default, PartialEq)]
struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// The rows of a results table of the study: its files' columns, and those that stand in their paths.
    fn of_results(results: &Path, name: &str) -> Self {
        let mut table = Self::default();
        let mut folders = vec![(results.join(name).join(format!("study={STUDY}")), Vec::new())];
        while let Some((folder, partition)) = folders.pop() {
            for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
                let path = entry.unwrap().path();
                let inner = path.file_name().unwrap().to_str().unwrap();
                match inner.split_once('=') {
                    Some((column, value)) => {
                        let own = (column.to_owned(), escaped(value));
                        folders.push((path.clone(), [partition.clone(), vec![own]].concat()));
                    }
                    None => table.read(&path, &partition),
                }
            }
        }
        table
    }

    fn read(&mut self, path: &Path, partition: &[(String, String)]) {
        let batches = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
        for batch in batches.build().unwrap().map(Result::unwrap) {
            let schema = batch.schema();
            let kept = |place: &usize| !LEFT_OUT.contains(&schema.field(*place).name().as_str());
            let places: Vec<usize> = (0..batch.num_columns()).filter(kept).collect();
            let names = places.iter().map(|place| schema.field(*place).name().clone());
            let columns: Vec<String> = partition.iter().map(|(column, _)| column.clone()).chain(names).collect();
            if self.columns.is_empty() {
                self.columns = columns;
            } else {
                assert_eq!(self.columns, columns, "{}", path.display());
            }
            let values = || partition.iter().map(|(_, value)| value.clone());
            let row = |row| values().chain(places.iter().map(|place| text(batch.column(*place), row))).collect();
            self.rows.extend((0..batch.num_rows()).map(row));
        }
    }

    fn parse(text: &str) -> Self {
        let cells = |line: &str| line.split('\t').map(str::to_owned).collect();
        let mut lines = text.lines();
        Self { columns: lines.next().map(cells).unwrap_or_default(), rows: lines.map(cells).collect() }
    }

    /// Tab-separated lines in the order of the coordinates.
    fn print(&self, coordinates: &[&str]) -> String {
        let lines = self.by(coordinates).into_values().map(|row| row.join("\t"));
        std::iter::once(self.columns.join("\t")).chain(lines).fold(String::new(), |text, line| text + &line + "\n")
    }

    fn place(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|known| known == column)
    }

    /// The rows by their coordinates, which must tell any two apart.
    fn by(&self, coordinates: &[&str]) -> BTreeMap<Vec<&str>, &Vec<String>> {
        let places: Vec<Option<usize>> = coordinates.iter().map(|column| self.place(column)).collect();
        let mut rows = BTreeMap::new();
        for row in &self.rows {
            let key: Vec<&str> = places.iter().map(|place| place.map_or("", |place| &row[place])).collect();
            if let Some(other) = rows.insert(key, row) {
                panic!("{coordinates:?} name two rows:\n{}\n{}", other.join("\t"), row.join("\t"));
            }
        }
        rows
    }
}

/// A value as text, null and lists included.
fn text(values: &dyn Array, row: usize) -> String {
    if values.is_null(row) {
        return NULL.to_owned();
    }
    match values.data_type() {
        DataType::Utf8 => escaped(values.as_string::<i32>().value(row)),
        DataType::Float32 => format!("{:?}", values.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => format!("{:?}", values.as_primitive::<Float64Type>().value(row)),
        DataType::List(_) => {
            let list = values.as_list::<i32>().value(row);
            let items: Vec<String> = (0..list.len()).map(|item| text(&list, item)).collect();
            format!("[{}]", items.join(" "))
        }
        _ => array_value_to_string(values, row).unwrap(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

/// From the names in the golden to today's.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Mapping {
    /// Columns of any table.
    columns: BTreeMap<String, String>,
    /// Columns of one table, which go before those of any.
    tables: BTreeMap<String, BTreeMap<String, String>>,
    /// Columns whose beginning is a column of its own today.
    divided: Vec<Divided>,
}

/// A name that had a language before it, which is a column of its own today.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Divided {
    tables: Vec<String>,
    /// The targets whose names were so; the language of others is null.
    targets: Vec<String>,
    column: String,
    between: char,
    language: String,
}

impl Divided {
    fn divide(&self, table: &mut Table) {
        let (target, column) = (table.place("target").unwrap(), table.place(&self.column).unwrap());
        table.columns.push(self.language.clone());
        for row in &mut table.rows {
            let parts = self.targets.contains(&row[target]).then(|| {
                let (language, name) = row[column].split_once(self.between).unwrap_or_else(|| panic!("{row:?}"));
                (language.to_owned(), name.to_owned())
            });
            let (language, name) = parts.unwrap_or_else(|| (NULL.to_owned(), row[column].clone()));
            row[column] = name;
            row.push(language);
        }
    }
}

impl Mapping {
    /// A golden table as it would be written today.
    fn today(&self, name: &str, mut golden: Table) -> Table {
        for column in &mut golden.columns {
            let own = self.tables.get(name).and_then(|columns| columns.get(column));
            if let Some(renamed) = own.or_else(|| self.columns.get(column)) {
                column.clone_from(renamed);
            }
        }
        let divided = self.divided.iter().filter(|divided| divided.tables.iter().any(|table| table == name));
        divided.for_each(|divided| divided.divide(&mut golden));
        golden
    }

    fn is_empty(&self) -> bool {
        self.columns.is_empty() && self.tables.is_empty() && self.divided.is_empty()
    }
}

/// How `today` differs from `golden`, a line each; without a `tolerance`, every bit counts. With one, what is ranked for a query may
/// also change places where the golden is as sure of both.
fn compare(coordinates: &[&str], golden: &Table, today: &Table, tolerance: Option<f64>) -> Vec<String> {
    let mut found = Vec::new();
    let lacking = |one: &Table, other: &Table, what: &str| -> Vec<String> {
        let columns = one.columns.iter().filter(|column| other.place(column).is_none());
        columns.map(|column| format!("column `{column}` {what}")).collect()
    };
    found.extend(lacking(golden, today, "is missing"));
    found.extend(lacking(today, golden, "is not in the golden"));
    let named = |key: &[&str]| {
        let parts = coordinates.iter().zip(key).filter(|(_, value)| **value != NULL);
        parts.map(|(column, value)| format!("{column}={value}")).collect::<Vec<_>>().join(" ")
    };
    let shared: Vec<(&String, usize, usize)> = golden
        .columns
        .iter()
        .enumerate()
        .filter_map(|(place, column)| Some((column, place, today.place(column)?)))
        .collect();
    let (was, is) = (golden.by(coordinates), today.by(coordinates));
    let ranked = coordinates.iter().position(|column| *column == "rank").filter(|_| tolerance.is_some());
    let by_prediction: Vec<&str> = coordinates
        .iter()
        .map(|column| if *column == "rank" { "prediction" } else { column })
        .chain(["prediction_language"])
        .collect();
    let places = ranked.map(|rank| (rank, golden.by(&by_prediction)));
    let changed_places = |key: &[&str], row: &[String], tolerance: f64| {
        let Some((rank, places)) = &places else { return false };
        let value = |column: &str| today.place(column).map_or("", |place| row[place].as_str());
        let mut other = key.to_vec();
        other[*rank] = value("prediction");
        other.push(value("prediction_language"));
        let sure = golden.place("confidence").and_then(|place| Some(&places.get(&other)?[place]));
        sure.is_some_and(|sure| close(sure, value("confidence"), tolerance))
    };
    for (key, old) in &was {
        let Some(new) = is.get(key) else {
            found.push(format!("row {}: is missing", named(key)));
            continue;
        };
        for (column, place, now) in &shared {
            let (old, value) = (&old[*place], &new[*now]);
            let allowed = |tolerance| {
                close(old, value, tolerance)
                    || (column.starts_with("prediction") && changed_places(key, new, tolerance))
            };
            if old != value && !tolerance.is_some_and(allowed) {
                found.push(format!("row {}: `{column}` was {old}, is {value}", named(key)));
            }
        }
    }
    found.extend(is.keys().filter(|key| !was.contains_key(*key)).map(|key| format!("row {}: is new", named(key))));
    found
}

/// Whether two texts are numbers, or lists of numbers, that differ by no more than the tolerance.
fn close(a: &str, b: &str, tolerance: f64) -> bool {
    let numbers = |text: &str| -> Option<Vec<f64>> {
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        inner.split(' ').map(|number| number.parse().ok()).collect()
    };
    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= tolerance * a.abs().max(b.abs()).max(1.0);
    match (numbers(a), numbers(b)) {
        (Some(a), Some(b)) => a.len() == b.len() && a.iter().zip(&b).all(near),
        _ => false,
    }
}

/// What the last bits of a matrix product depend on: the vector units, and the level-1 cache by which long sums are cut.
fn processor() -> String {
    let mut lines = vec![std::env::consts::ARCH.to_owned()];
    #[cfg(target_arch = "x86_64")]
    {
        macro_rules! add {
            ($($feature:tt)*) => {$(
                if std::is_x86_feature_detected!($feature) {
                    lines.push($feature.to_owned());
                }
            )*};
        }
        add!("sse4.1" "sse4.2" "avx" "avx2" "fma" "f16c" "avx512f" "avx512bw" "avx512cd" "avx512dq" "avx512vl");
    }
    let cache = |name: &str| fs::read_to_string(Path::new("/sys/devices/system/cpu/cpu0/cache/index0").join(name));
    if let (Ok(size), Ok(ways)) = (cache("size"), cache("ways_of_associativity")) {
        lines.push(format!("level-1 cache {}, {} ways", size.trim(), ways.trim()));
    }
    lines.join("\n") + "\n"
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn read_golden(name: &str, packed: bool) -> Table {
    let mut text = String::new();
    if packed {
        let file = File::open(golden(&format!("{name}.tsv.gz"))).unwrap();
        GzDecoder::new(file).read_to_string(&mut text).unwrap();
    } else {
        text = fs::read_to_string(golden(&format!("{name}.tsv"))).unwrap();
    }
    Table::parse(&text)
}

fn write_golden((name, coordinates, packed): Kept, table: &Table) {
    let text = table.print(coordinates);
    if packed {
        let mut file = GzEncoder::new(File::create(golden(&format!("{name}.tsv.gz"))).unwrap(), Compression::best());
        file.write_all(text.as_bytes()).unwrap();
        file.finish().unwrap();
    } else {
        fs::write(golden(&format!("{name}.tsv")), text).unwrap();
    }
}

/// What a person should know of a passing test as well, past the test runner, which keeps what is printed to itself.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
fn every_number_of_the_golden_study_stands() {
    let trestle = Trestle::new();
    trestle.ok(&["run", STUDY, "--device", "flex", "--workers", "2", "--quiet"]);
    let results = trestle.home().join("results");
    let made: BTreeSet<String> = fs::read_dir(&results)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join(format!("study={STUDY}")).is_dir())
        .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
        .collect();
    let kept: BTreeSet<String> = KEPT.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(made, kept, "tables of the results, tables kept");

    let mapping: Mapping = toml::from_str(&fs::read_to_string(golden("mapping.toml")).unwrap()).unwrap();
    match std::env::var("TRESTLE_GOLDEN").as_deref() {
        Ok("write") => {
            assert!(
                mapping.is_empty(),
                "a golden with today's names needs no mapping: empty tests/golden/mapping.toml"
            );
            for kept in KEPT {
                write_golden(kept, &Table::of_results(&results, kept.0));
            }
            fs::write(golden("processor.txt"), processor()).unwrap();
            return;
        }
        Ok(other) => panic!("TRESTLE_GOLDEN is `{other}`; it can be `write`"),
        Err(_) => (),
    }
    let makers = fs::read_to_string(golden("processor.txt")).unwrap();
    let tolerance = (processor() != makers).then_some(TOLERANCE);
    if tolerance.is_some() {
        say(&format!("golden: this processor is not the golden's, so numbers are compared to {TOLERANCE:e}"));
    }
    let mut told = String::new();
    for (name, coordinates, packed) in KEPT {
        let golden = mapping.today(name, read_golden(name, packed));
        let found = compare(coordinates, &golden, &Table::of_results(&results, name), tolerance);
        if !found.is_empty() {
            writeln!(told, "{name}: {} differences", found.len()).unwrap();
            found.iter().take(TOLD).for_each(|line| writeln!(told, "  {line}").unwrap());
        }
    }
    assert!(told.is_empty(), "numbers that must not change have changed (see tests/golden/README.md):\n{told}");
}

#[test]
#[ignore = "takes minutes; make golden-pipeline runs it"]
fn golden_pipeline_prints_the_table_of_the_readme() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, shown) = readme.split_once("```text\nmini: ").expect("the README shows what `make pipeline` prints");
    let shown = format!("mini: {}", shown.split_once("\n```").unwrap().0);
    let printed = Trestle::new().ok(&["run", "mini", "--device", "flex", "--quiet"]).out;
    let lines = || shown.lines().zip(printed.lines().chain(std::iter::repeat("")));
    let differing: Vec<_> = lines().filter(|(shown, printed)| shown != printed).collect();
    let others = if processor() == fs::read_to_string(golden("processor.txt")).unwrap() {
        ""
    } else {
        "\nThis processor is not the golden's: over thousands of steps that shows in the table."
    };
    assert!(differing.is_empty(), "README and run differ in {} lines: {differing:#?}{others}", differing.len());
}

const COORDINATES: [&str; 2] = ["language", "layer"];

fn sample() -> Table {
    Table::parse("language\tlayer\tvalue\tterms\nde\t1\t0.1\t[1.0 2.5]\nen\t\\N\t33.333333333333336\t[0.0 -1e-9]\n")
}

/// The differences between the sample and itself with `from` changed into `to`.
fn changed(from: &str, to: &str, tolerance: Option<f64>) -> Vec<String> {
    let text = sample().print(&COORDINATES);
    assert!(text.contains(from), "{text}");
    compare(&COORDINATES, &sample(), &Table::parse(&text.replace(from, to)), tolerance)
}

#[test]
fn a_comparison_finds_every_kind_of_difference() {
    assert_eq!(compare(&COORDINATES, &sample(), &sample(), None), [""; 0]);
    let next = format!("{:?}", 0.1f64.next_up());
    assert_eq!(changed("0.1", &next, None), [format!("row language=de layer=1: `value` was 0.1, is {next}")]);
    assert_eq!(changed("2.5", "2.5000002", None).len(), 1);
    assert_eq!(changed("en\t\\N\t33.333333333333336\t[0.0 -1e-9]\n", "", None), ["row language=en: is missing"]);
    assert_eq!(
        changed("de\t1", "fi\t1", None),
        ["row language=de layer=1: is missing", "row language=fi layer=1: is new"]
    );
    assert_eq!(changed("value", "score", None), ["column `value` is missing", "column `score` is not in the golden"]);
    let same_name = std::panic::catch_unwind(|| changed("en\t\\N", "de\t1", None));
    assert!(same_name.is_err(), "coordinates that name two rows");
}

#[test]
fn other_processors_may_differ_by_a_millionth_and_no_more() {
    for (from, to) in [("0.1", "0.1000002"), ("33.333333333333336", "33.33334"), ("2.5", "2.5000002"), ("-1e-9", "0.0")]
    {
        assert_eq!(changed(from, to, None).len(), 1, "{from}");
        assert_eq!(changed(from, to, Some(TOLERANCE)), [""; 0], "{from}");
    }
    for (from, to) in [("0.1", "0.100002"), ("33.333333333333336", "33.3334"), ("0.1", "NaN"), ("0.1", "\\N")] {
        assert_eq!(changed(from, to, Some(TOLERANCE)).len(), 1, "{from} {to}");
    }
    assert_eq!(changed("[1.0 2.5]", "[1.0]", Some(TOLERANCE)).len(), 1);
    assert_eq!(changed("de\t", "fi\t", Some(TOLERANCE)).len(), 2);
}

#[test]
fn what_is_ranked_may_change_places_only_among_equals_and_on_other_processors() {
    let table = |rows: &str| Table::parse(&format!("query\trank\tprediction\tconfidence\n{rows}"));
    let golden = table("q\t1\ta\t0.9\nq\t2\tb\t0.5\nq\t3\tc\t0.5\n");
    let found = |rows: &str, tolerance| compare(&["query", "rank"], &golden, &table(rows), tolerance);
    let equals = "q\t1\ta\t0.9\nq\t2\tc\t0.5000002\nq\t3\tb\t0.5\n";
    assert_eq!(found(equals, Some(TOLERANCE)), [""; 0]);
    assert_eq!(found(equals, None).len(), 3);
    let others = "q\t1\tb\t0.9\nq\t2\ta\t0.5\nq\t3\tc\t0.5\n";
    assert_eq!(found(others, Some(TOLERANCE)).len(), 2);
    assert_eq!(found("q\t1\ta\t0.9\nq\t2\tb\t0.5\nq\t3\td\t0.5\n", Some(TOLERANCE)).len(), 1);
}

#[test]
fn a_mapping_renames_columns_of_all_tables_or_of_one() {
    let mapping: Mapping =
        toml::from_str("[columns]\nlanguage = \"subset\"\nvalue = \"score\"\n[tables.other]\nvalue = \"points\"")
            .unwrap();
    assert_eq!(mapping.today("scores", sample()).columns, ["subset", "layer", "score", "terms"]);
    assert_eq!(mapping.today("other", sample()).columns, ["subset", "layer", "points", "terms"]);
    assert_eq!(mapping.today("other", sample()).rows, sample().rows);
    assert_eq!(Mapping::default().today("scores", sample()), sample());
    assert!(toml::from_str::<Mapping>("[column]\nlanguage = \"subset\"").is_err());
}

#[test]
fn a_mapping_divides_names_of_some_targets() {
    let mapping = "[[divided]]\ntables = [\"predictions\"]\ntargets = [\"pairs\"]\ncolumn = \"example_id\"\nbetween = \"/\"\n\
                   language = \"language_b\"";
    let mapping: Mapping = toml::from_str(mapping).unwrap();
    let table = Table::parse("target\texample_id\npairs\tde/a/1\nothers\tb/2\n");
    let today = Table::parse("target\texample_id\tlanguage_b\npairs\ta/1\tde\nothers\tb/2\t\\N\n");
    assert_eq!(mapping.today("predictions", table.clone()), today);
    assert_eq!(mapping.today("scores", table.clone()), table);
}

#[test]
fn numbers_are_written_to_the_last_bit_and_texts_whole() {
    use arrow::array::{Float32Array, Float64Array, StringArray, UInt64Array};
    let floats: Vec<f32> = vec![0.1, -0.0, f32::MIN_POSITIVE, 16_777_217.0, f32::MAX, 1.0f32.next_up()];
    let array = Float32Array::from(floats.clone());
    for (row, float) in floats.iter().enumerate() {
        assert_eq!(text(&array, row).parse::<f32>().unwrap().to_bits(), float.to_bits());
    }
    let doubles = [0.1f64, -0.0, f64::MIN_POSITIVE, 1e300, f64::EPSILON, 1.0f64.next_up(), f64::INFINITY];
    let array = Float64Array::from(doubles.to_vec());
    for (row, double) in doubles.iter().enumerate() {
        assert_eq!(text(&array, row).parse::<f64>().unwrap().to_bits(), double.to_bits());
    }
    assert_eq!(text(&UInt64Array::from(vec![u64::MAX]), 0), "18446744073709551615");
    let texts = StringArray::from(vec![Some("a\tb\nc\\N"), Some(""), None]);
    assert_eq!([0, 1, 2].map(|row| text(&texts, row)), ["a\\tb\\nc\\\\N", "", NULL]);
    let table = Table { columns: vec!["a".into(), "b".into()], rows: vec![vec![text(&texts, 0), text(&texts, 1)]] };
    assert_eq!(Table::parse(&table.print(&["a"])), table);
}
