use std::collections::HashSet;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::fixture::*;
use super::super::fold::tests::naive_words;
use super::*;
use crate::error::ExitCode;
use crate::progress::Quiet;

fn audit_table(task: &str, role: Role, split: Split, language: &str, format: Format, path: PathBuf) -> AuditTable {
    AuditTable { task: task.to_owned(), format, role, split, language: language.to_owned(), path }
}

fn compared(tables: &[AuditTable], output: &Path) -> OverlapOutcome {
    overlap(&OverlapRequest { tables }, output, &[], &Quiet, &AtomicBool::new(false)).unwrap()
}

type Pair = (String, String);
type Found = (String, String, u64, u64, Option<String>);

fn found_row(row: Overlap) -> Found {
    (row.field, row.kind, row.compared, row.found, row.example)
}

fn pairs(dir: &Path, name: &str, rows: &[Pair]) -> PathBuf {
    let side = |of: fn(&Pair) -> &String| texts(&rows.iter().map(|row| of(row).as_str()).collect::<Vec<_>>());
    let columns = vec![side(|row| &row.0), side(|row| &row.1), maybe(&vec![None; rows.len()])];
    table(&dir.join(name), Format::PairClassification, "en", columns)
}

/// Rows of `evaluated` that are in `source`, by field and kind: compared, found, and the first.
fn naive(source: &[Pair], evaluated: &[Pair]) -> Vec<Found> {
    let words = |text: &String| naive_words(text);
    let runs = |text: &String| -> Vec<Vec<String>> { words(text).windows(GRAM).map(<[String]>::to_vec).collect() };
    let all: Vec<&String> = source.iter().flat_map(|(a, b)| [a, b]).collect();
    let whole: HashSet<Vec<String>> = all.iter().map(|text| words(text)).collect();
    let grams: HashSet<Vec<String>> = all.iter().flat_map(|text| runs(text)).collect();
    let both: HashSet<[Vec<String>; 2]> = source.iter().map(|(a, b)| [words(a), words(b)]).collect();
    let mut counts = Vec::new();
    let mut count = |field: &str, kind: &str, rows: Vec<Option<bool>>| {
        let compared = rows.iter().flatten().count() as u64;
        let found = rows.iter().filter(|row| **row == Some(true)).count() as u64;
        let first = rows.iter().position(|row| *row == Some(true)).map(|row| format!("row-{row}"));
        if compared > 0 {
            counts.push((field.to_owned(), kind.to_owned(), compared, found, first));
        }
    };
    for (field, of) in [("text_a", (|row| &row.0) as fn(&Pair) -> &String), ("text_b", |row| &row.1)] {
        count(field, "exact", evaluated.iter().map(|row| Some(whole.contains(&words(of(row))))).collect());
        let found = |runs: Vec<Vec<String>>| (!runs.is_empty()).then(|| runs.iter().any(|run| grams.contains(run)));
        count(field, "13-gram", evaluated.iter().map(|row| found(runs(of(row)))).collect());
    }
    count("example", "exact", evaluated.iter().map(|(a, b)| Some(both.contains(&[words(a), words(b)]))).collect());
    counts.sort();
    counts
}

/// Stretches of one text whose words repeat with a period, so that long runs meet, in changing dress.
fn text() -> impl Strategy<Value = String> {
    (0usize..6, 1usize..22, 0usize..3, any::<bool>()).prop_map(|(begin, length, dress, odd)| {
        let words = (begin..begin + length).map(|place| ["tea", "日", "Ärger", "is", "2", "the"][place % 6].to_owned());
        let mut words: Vec<String> = words.collect();
        if odd {
            words[length / 2] = "different".to_owned();
        }
        match dress {
            0 => words.join(" "),
            1 => words.join(" ,\n").to_uppercase(),
            _ => format!("({})!", words.join("\t… ")),
        }
    })
}

proptest! {
    #[test]
    fn counts_are_those_of_sets_of_strings(
        source in prop::collection::vec((text(), text()), 1..12),
        evaluated in prop::collection::vec((text(), text()), 1..12),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let format = Format::PairClassification;
        let tables = [
            audit_table("target", Role::Target, Split::Test, "en", format, pairs(dir.path(), "b", &evaluated)),
            audit_table("source", Role::Intermediate, Split::Train, "en", format, pairs(dir.path(), "a", &source)),
        ];
        let outcome = compared(&tables, dir.path());
        let mut found: Vec<_> =
            outcome.rows.into_iter().map(found_row).collect();
        found.sort();
        prop_assert_eq!(found, naive(&source, &evaluated));
        prop_assert_eq!(outcome.searched, source.len() as u64);
    }
}

/// Many rows in several tables: more than a batch, more than one language.
fn world(dir: &Path) -> Vec<AuditTable> {
    let lines = |from: usize, to: usize| -> Vec<Pair> {
        let line = |i: usize| (0..16).map(|k| format!("w{}", i * 31 + k * k)).collect::<Vec<_>>().join(" ");
        (from..to).map(|i| (line(i), line(i + 100_000))).collect()
    };
    let format = Format::PairClassification;
    let (target, intermediate) = (Role::Target, Role::Intermediate);
    vec![
        audit_table("mnli", intermediate, Split::Train, "en", format, pairs(dir, "a", &lines(0, 3_000))),
        audit_table("mnli", intermediate, Split::Train, "de", format, pairs(dir, "b", &lines(3_000, 20_000))),
        audit_table("mnli", intermediate, Split::Validation, "en", format, pairs(dir, "c", &lines(2_990, 3_010))),
        audit_table("xnli", target, Split::Validation, "en", format, pairs(dir, "d", &lines(90_000, 90_100))),
        audit_table("xnli", target, Split::Test, "en", format, pairs(dir, "e", &lines(90_090, 90_200))),
        audit_table("xnli", target, Split::Test, "sw", format, pairs(dir, "f", &lines(95_000, 95_010))),
        audit_table("pawsx", target, Split::Train, "en", format, pairs(dir, "g", &lines(95_005, 95_007))),
    ]
}

#[test]
fn each_pair_that_may_leak_is_compared_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let outcome = compared(&world(dir.path()), dir.path());
    let of = |field: &str| -> Vec<(String, u64, u64, Option<&str>)> {
        let rows = outcome.rows.iter().filter(|row| row.field == field && row.kind == "exact");
        rows.map(|row| {
            let (source, to) =
                (format!("{} {}", row.source_task, row.source_split), format!("{} {}", row.task, row.split));
            (format!("{source} → {to} {}", row.language), row.compared, row.found, row.example.as_deref())
        })
        .collect()
    };
    assert_eq!(
        of("example"),
        [
            ("mnli train → mnli validation en".to_owned(), 20, 20, Some("row-0")),
            ("mnli train → xnli validation en".to_owned(), 100, 0, None),
            ("mnli train → xnli test en".to_owned(), 110, 0, None),
            ("pawsx train → xnli validation en".to_owned(), 100, 0, None),
            ("pawsx train → xnli test en".to_owned(), 110, 0, None),
            // No Swahili in the source, but something was found.
            ("pawsx train → xnli test sw".to_owned(), 10, 2, Some("row-5")),
            ("xnli validation → xnli test en".to_owned(), 110, 10, Some("row-0")),
        ]
    );
    let file = read_batches(&dir.path().join("overlap.parquet")).unwrap();
    assert_eq!(file.rows(), outcome.rows.len());
    let rows = shard::table_rows(&dir.path().join("overlap.parquet")).unwrap();
    assert_eq!(rows.collect::<Result<Vec<Overlap>, _>>().unwrap(), outcome.rows);
    assert!(outcome.index_bytes > outcome.hashes * 12);
}

#[test]
fn the_bytes_depend_on_neither_threads_nor_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut tables = world(dir.path());
    let mut bytes = |threads: usize| {
        tables.reverse();
        let out = dir.path().join(threads.to_string());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| compared(&tables, &out));
        std::fs::read(out.join("overlap.parquet")).unwrap()
    };
    assert!(bytes(1) == bytes(4));
}

#[test]
fn contexts_and_questions_are_found_in_any_field() {
    let dir = tempfile::tempdir().unwrap();
    let long = "one two three four five six seven eight nine ten eleven twelve thirteen";
    let spans = |name: &str, rows: &[(&str, &str)]| {
        let none: Vec<&[&str]> = vec![&[]; rows.len()];
        let starts = {
            let item = arrow::datatypes::Field::new("item", arrow::datatypes::DataType::UInt32, false);
            let mut lists = arrow::array::ListBuilder::new(arrow::array::UInt32Builder::new()).with_field(item);
            rows.iter().for_each(|_| lists.append_value([]));
            Arc::new(lists.finish())
        };
        let columns = vec![
            texts(&rows.iter().map(|row| row.0).collect::<Vec<_>>()),
            texts(&rows.iter().map(|row| row.1).collect::<Vec<_>>()),
            lists(&none),
            starts,
            booleans(&vec![false; rows.len()]),
        ];
        table(&dir.path().join(name), Format::SpanExtraction, "en", columns)
    };
    let longer = format!("Zero {long}, fourteen.");
    let evaluated = spans("b", &[(&longer, "who is it"), (&longer, "what"), ("short", "Where?")]);
    let source = pairs(dir.path(), "a", &[(long.to_owned(), "Who, is it?".to_owned())]);
    let tables = [
        audit_table("squad", Role::Target, Split::Validation, "en", Format::SpanExtraction, evaluated),
        audit_table("mnli", Role::Intermediate, Split::Train, "en", Format::PairClassification, source),
    ];
    let rows = compared(&tables, dir.path()).rows;
    let rows: Vec<_> =
        rows.iter().map(|row| (row.field.as_str(), row.kind.as_str(), row.compared, row.found)).collect();
    assert_eq!(
        rows,
        [
            ("context", "exact", 3, 0),
            ("context", "13-gram", 2, 2),
            ("question", "exact", 3, 1),
            ("example", "exact", 3, 0)
        ]
    );
}

#[test]
fn broken_tables_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut tables = world(dir.path());
    std::fs::write(&tables[1].path, "PAR1").unwrap();
    let fail = |tables: &[AuditTable], stop: bool| {
        overlap(&OverlapRequest { tables }, dir.path(), &[], &Quiet, &AtomicBool::new(stop)).unwrap_err()
    };
    let error = fail(&tables, false);
    assert!(error.exit() == ExitCode::Data && error.to_string().contains("/b is not"), "{error}");
    tables[1].path = dir.path().join("absent");
    assert_eq!(fail(&tables, false).exit(), ExitCode::Missing);
    tables.remove(1);
    tables[3].format = Format::Text;
    let error = fail(&tables, false);
    assert!(error.exit() == ExitCode::Data && error.to_string().contains("text"), "{error}");
    tables.remove(3);
    assert_eq!(fail(&tables, true).exit(), ExitCode::Interrupted);
}

#[test]
#[ignore = "needs TRESTLE_SHARED"]
fn xquad_comes_from_squad() {
    let shared = PathBuf::from(std::env::var("TRESTLE_SHARED").unwrap());
    let read = |name: &str| -> Vec<(String, String)> {
        let text = std::fs::read_to_string(shared.join("real").join(name)).unwrap();
        let file: serde_json::Value = serde_json::from_str(&text).unwrap();
        let paragraphs = file["data"].as_array().unwrap().iter().flat_map(|d| d["paragraphs"].as_array().unwrap());
        let questions = paragraphs.flat_map(|paragraph| {
            let context = paragraph["context"].as_str().unwrap();
            let questions = paragraph["qas"].as_array().unwrap().iter();
            questions.map(move |question| (context.to_owned(), question["question"].as_str().unwrap().to_owned()))
        });
        questions.collect()
    };
    let dir = tempfile::tempdir().unwrap();
    let squad = read("squad/cs224n/dev-v2.0.json");
    // Passages of the English edition that the course's copy of the development set holds; of translations, none.
    for (language, whole) in [("en", 340), ("de", 0)] {
        let xquad = read(&format!("xquad/xquad.{language}.json"));
        assert_eq!(xquad.len(), 1190);
        let tables = [
            audit_table(
                "squad",
                Role::Intermediate,
                Split::Train,
                "en",
                Format::PairClassification,
                pairs(dir.path(), "a", &squad),
            ),
            audit_table(
                "xquad",
                Role::Target,
                Split::Test,
                "en",
                Format::PairClassification,
                pairs(dir.path(), "b", &xquad),
            ),
        ];
        let outcome = compared(&tables, dir.path());
        let mut found: Vec<_> = outcome.rows.into_iter().map(found_row).collect();
        found.sort();
        assert_eq!(found, naive(&squad, &xquad));
        let contexts =
            found.iter().find(|(field, kind, ..)| (field.as_str(), kind.as_str()) == ("text_a", "exact")).unwrap();
        assert_eq!((contexts.2, contexts.3), (1190, whole));
    }
}
