//! Retrieval and mining through the binary: over files of embeddings, and as targets of a study.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float32Array, ListArray, RecordBatch, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Float32Type, UInt32Type};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use support::{Said, Trestle};

const WIDTH: usize = 8;
/// A search writes to a scratch file from 2²⁰ numbers on.
const MANY_ROWS: usize = 2_000;
const MANY_WIDTH: usize = 600;

/// Vectors that point in directions of their own: row `i` of one side is nearest to row `i` of the other.
fn vectors(rows: usize, noise: f32) -> Vec<f32> {
    let value = |row: usize, place: usize| ((row * 37 + place * 101) as f32 * 0.7).sin();
    let shift = |row: usize, place: usize| noise * ((row * 11 + place * 7) as f32).cos();
    (0..rows * WIDTH).map(|at| value(at / WIDTH, at % WIDTH) + shift(at / WIDTH, at % WIDTH)).collect()
}

/// Vectors of no direction in common, of so many numbers in all that they do not stay in memory where little of it is given.
fn many(seed: u64) -> Vec<f32> {
    let next = |state: &mut u64| {
        *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Some((*state >> 40) as f32 / (1 << 23) as f32 - 1.0)
    };
    std::iter::repeat_n((), MANY_ROWS * MANY_WIDTH).scan(seed, |state, ()| next(state)).collect()
}

fn safetensors(path: &Path, width: usize, values: &[f32]) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![values.len() / width, width], &bytes).unwrap();
    safetensors::serialize_to_file([("vectors", view)], None, path).unwrap();
}

fn parquet(path: &Path, column: &str, values: &[f32]) {
    let rows = values.len() / WIDTH;
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("s{row}"))));
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let offsets = OffsetBuffer::from_repeated_length(WIDTH, rows);
    let lists: ArrayRef = Arc::new(ListArray::new(item, offsets, Arc::new(Float32Array::from(values.to_vec())), None));
    let batch = RecordBatch::try_from_iter([("example_id", ids), (column, lists)]).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn rows(path: &Path) -> Vec<RecordBatch> {
    let file = std::fs::File::open(path).unwrap();
    ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap).collect()
}

fn texts(batches: &[RecordBatch], column: &str) -> Vec<String> {
    let of = |batch: &RecordBatch| -> Vec<String> {
        batch[column].as_string::<i32>().iter().map(|text| text.unwrap().to_owned()).collect()
    };
    batches.iter().flat_map(of).collect()
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

struct Files {
    trestle: Trestle,
    dir: PathBuf,
}

impl Files {
    fn new() -> Self {
        let trestle = Trestle::new();
        let dir = trestle.dir.path().join("vectors");
        std::fs::create_dir(&dir).unwrap();
        Self { trestle, dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    fn search(&self, command: &str, one: &str, other: &str, more: &[&str]) -> Said {
        self.search_into(command, one, other, "out.parquet", more)
    }

    fn search_into(&self, command: &str, one: &str, other: &str, output: &str, more: &[&str]) -> Said {
        let flags = if command == "mine" { ["--source", "--target"] } else { ["--queries", "--index"] };
        let text = |path: PathBuf| path.to_str().unwrap().to_owned();
        let (one, other, output) = (text(self.path(one)), text(self.path(other)), text(self.path(output)));
        let all =
            [&[command, flags[0], &one, flags[1], &other, "--output", &output, "--device", "flex"], more].concat();
        self.trestle.run(&all)
    }
}

#[test]
fn neighbours_and_pairs_are_found_between_files_of_both_kinds() {
    let files = Files::new();
    safetensors(&files.path("one.safetensors"), WIDTH, &vectors(40, 0.0));
    parquet(&files.path("other.parquet"), "vector", &vectors(60, 0.05));
    let said = files.search("retrieve", "one.safetensors", "other.parquet", &["--top", "3", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let done: Value = said.json();
    assert_eq!((&done["vectors"][0], &done["vectors"][1], &done["rows"]), (&40.into(), &60.into(), &120.into()));
    let found = rows(&files.path("out.parquet"));
    let (queries, index) = (texts(&found, "query_id"), texts(&found, "index_id"));
    let ranks = found[0]["rank"].as_primitive::<UInt32Type>().values().to_vec();
    let similar = found[0]["similarity"].as_primitive::<Float32Type>().values().to_vec();
    for (row, query) in queries.iter().enumerate() {
        assert_eq!(ranks[row] as usize, row % 3 + 1);
        assert!(row % 3 == 0 || similar[row] <= similar[row - 1]);
        assert!(row % 3 > 0 || index[row] == format!("s{query}"), "{query} {}", index[row]);
    }

    let said = files.search("mine", "one.safetensors", "other.parquet", &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    let found = rows(&files.path("out.parquet"));
    let pairs: BTreeSet<(String, String)> =
        texts(&found, "source_id").into_iter().zip(texts(&found, "target_id")).collect();
    let right = (0..40).filter(|row| pairs.contains(&(row.to_string(), format!("s{row}")))).count();
    assert!(right >= 38 && pairs.len() <= 40, "{right} of {}", pairs.len());
    assert_eq!(names(&files.dir), ["one.safetensors", "other.parquet", "out.parquet"].map(str::to_owned).into());
    let none = files.search("mine", "one.safetensors", "other.parquet", &["--threshold", "1000"]);
    assert_eq!(none.code, 0, "{}", none.err);
    assert_eq!(rows(&files.path("out.parquet")).iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
}

#[test]
fn little_memory_gives_the_same_bytes_by_scratch_files_that_are_gone_afterwards() {
    let files = Files::new();
    let one = many(1);
    let other: Vec<f32> = one.iter().zip(many(2)).map(|(value, noise)| value + 0.5 * noise).collect();
    safetensors(&files.path("one.safetensors"), MANY_WIDTH, &one);
    safetensors(&files.path("other.safetensors"), MANY_WIDTH, &other);
    let before = names(&files.dir);
    for (command, count) in [("retrieve", 3 * MANY_ROWS), ("mine", MANY_ROWS)] {
        let more = if command == "mine" { ["--neighbours", "4"] } else { ["--top", "3"] };
        let bytes = ["4GB", "2MB"].map(|memory| {
            let said = files.search(
                command,
                "one.safetensors",
                "other.safetensors",
                &[&more[..], &["--memory", memory]].concat(),
            );
            assert_eq!(said.code, 0, "{memory}: {}", said.err);
            let path = files.path("out.parquet");
            assert_eq!(rows(&path).iter().map(RecordBatch::num_rows).sum::<usize>(), count);
            let bytes = std::fs::read(&path).unwrap();
            std::fs::remove_file(path).unwrap();
            bytes
        });
        assert!(bytes[0] == bytes[1], "{command}");
        assert_eq!(names(&files.dir), before);
    }
    let said = files.search("retrieve", "one.safetensors", "other.safetensors", &["--memory", "1kb"]);
    assert!(
        said.code == 2 && said.err.contains("the lists of neighbours need --memory 1MB, and have 0MB"),
        "{}",
        said.err
    );
}

#[test]
fn each_file_may_have_a_name_of_its_own_for_its_vectors() {
    let files = Files::new();
    safetensors(&files.path("one.safetensors"), WIDTH, &vectors(40, 0.0));
    parquet(&files.path("other.parquet"), "embedding", &vectors(60, 0.05));
    let said = files.search("retrieve", "one.safetensors", "other.parquet", &["--vectors", "vectors,embedding"]);
    assert_eq!(said.code, 0, "{}", said.err);
    for (other, option, value, code, words) in [
        ("other.parquet", "--vectors", "embedding,vectors", 4, "one.safetensors: there is no tensor embedding"),
        ("other.parquet", "--vectors", "a,b,c", 2, "must be one name, or two with a comma between"),
        ("one.safetensors", "--layer", "1", 2, "--layer is for Parquet tables, and both files are safetensors"),
        ("one.safetensors", "--ids", "name", 2, "--ids is for Parquet tables"),
        ("other.parquet", "--layer", "1", 4, "other.parquet: column `layer` is missing"),
        ("one.safetensors", "--top", "1001", 2, "1001 is not in 1..=1000"),
    ] {
        let said = files.search("retrieve", "one.safetensors", other, &[option, value]);
        assert!(said.code == code && said.err.contains(words), "{option} {value}: {} {}", said.code, said.err);
    }
}

#[test]
fn an_output_that_can_not_be_one_is_refused_before_anything_is_read() {
    let files = Files::new();
    std::fs::write(files.path("broken.safetensors"), "no tensors").unwrap();
    std::fs::create_dir(files.path("directory")).unwrap();
    std::fs::hard_link(files.path("broken.safetensors"), files.path("other-name.safetensors")).unwrap();
    let before = names(&files.dir);
    for (output, code, words) in [
        ("directory", 2, "directory: the output is a directory; name another file"),
        ("nowhere/", 2, "nowhere/: the output is a directory"),
        ("broken.safetensors", 2, "broken.safetensors: the output is an input as well"),
        ("other-name.safetensors", 2, "the output is an input as well"),
        ("nowhere/out.parquet", 5, "failed to create a directory in"),
    ] {
        for command in ["retrieve", "mine"] {
            let said = files.search_into(command, "broken.safetensors", "broken.safetensors", output, &[]);
            assert!(said.code == code && said.err.contains(words), "{output}: {} {}", said.code, said.err);
            assert_eq!(names(&files.dir), before);
        }
    }
}

#[test]
fn repeated_vectors_are_one_sentence_with_all_its_names() {
    let files = Files::new();
    let (one, other) = (vectors(30, 0.0), vectors(30, 0.05));
    safetensors(&files.path("one.safetensors"), WIDTH, &[&one[..], &one[3 * WIDTH..4 * WIDTH]].concat());
    safetensors(&files.path("other.safetensors"), WIDTH, &[&other[..], &other[3 * WIDTH..4 * WIDTH]].concat());
    let said = files.search("mine", "one.safetensors", "other.safetensors", &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    let found = rows(&files.path("out.parquet"));
    let pairs: BTreeSet<(String, String)> =
        texts(&found, "source_id").into_iter().zip(texts(&found, "target_id")).collect();
    let pair = |source: &str, target: &str| (source.to_owned(), target.to_owned());
    for both in [pair("3", "3"), pair("3", "30"), pair("30", "3"), pair("30", "30")] {
        assert!(pairs.contains(&both), "{both:?}");
    }
}

#[test]
fn what_can_not_be_searched_is_said_and_leaves_nothing() {
    let files = Files::new();
    safetensors(&files.path("good.safetensors"), WIDTH, &vectors(9, 0.0));
    safetensors(&files.path("narrow.safetensors"), 4, &vectors(9, 0.0));
    safetensors(&files.path("empty.safetensors"), WIDTH, &[]);
    parquet(&files.path("named.parquet"), "embedding", &vectors(9, 0.0));
    let mut broken = vectors(9, 0.0);
    broken[20] = f32::NAN;
    safetensors(&files.path("broken.safetensors"), WIDTH, &broken);
    broken[16..24].fill(0.0);
    safetensors(&files.path("zero.safetensors"), WIDTH, &broken);
    let bytes = std::fs::read(files.path("named.parquet")).unwrap();
    std::fs::write(files.path("cut.parquet"), &bytes[..bytes.len() / 2]).unwrap();
    let before = names(&files.dir);
    for (other, code, words) in [
        ("narrow.safetensors", 4, "queries have 8 numbers and index vectors 4"),
        ("empty.safetensors", 4, "empty.safetensors: holds no vectors"),
        ("named.parquet", 4, "named.parquet: column `vector` is missing"),
        ("broken.safetensors", 4, "broken.safetensors: example `2`: its vector has a number that is not finite"),
        ("zero.safetensors", 4, "zero.safetensors: example `2`: its vector is all zeros"),
        ("cut.parquet", 4, "cut.parquet is not a readable parquet file"),
        ("absent.parquet", 5, "absent.parquet"),
    ] {
        for command in ["retrieve", "mine"] {
            let said = files.search(command, "good.safetensors", other, &[]);
            assert_eq!(said.code, code, "{other}: {}", said.err);
            assert!(said.err.contains(words), "{other}: {}", said.err);
            assert_eq!(names(&files.dir), before, "{other}");
        }
    }
    for (command, option, value) in [
        ("retrieve", "--memory", "much"),
        ("mine", "--threshold", "nan"),
        ("mine", "--threshold", "inf"),
        ("mine", "--threshold=-1", "--json"),
    ] {
        let said = files.search(command, "good.safetensors", "good.safetensors", &[option, value]);
        assert_eq!(said.code, 2, "{option} {value}: {}", said.err);
    }
    let said = files.search("retrieve", "good.safetensors", "good.safetensors", &["--vectors", "others"]);
    assert!(said.code == 4 && said.err.contains("no tensor others"), "{}", said.err);
}

#[test]
fn rows_and_columns_in_which_nothing_is_embedded_are_named() {
    let trestle = Trestle::new();
    for (study, option, name, words) in [
        (
            "tiny-retrieval",
            "--row",
            "nosuch",
            "study tiny-retrieval has no embeddings with --row nosuch; there are some with --target bucc2018, lareqa, \
             mewslix, tatoeba and --row none",
        ),
        (
            "tiny-retrieval",
            "--target",
            "xnli",
            "has no embeddings with --target xnli; there are some with --target bucc2018",
        ),
        (
            "tiny-arms",
            "--target",
            "xnli",
            "study tiny-arms has no embeddings with --target xnli; `trestle plan` lists what there is",
        ),
    ] {
        let said = trestle.run(&["embed", study, option, name]);
        assert!(said.code == 3 && said.err.contains(words), "{}", said.err);
    }
}

#[test]
fn every_kind_of_retrieval_is_a_target_of_a_study() {
    let trestle = Trestle::new();
    const RUN: &[&str] = &["run", "tiny-retrieval", "--device", "flex", "--workers", "2"];
    trestle.ok(RUN);
    let plan = trestle.plan("tiny-retrieval");
    for target in ["tatoeba", "bucc2018", "lareqa", "mewslix"] {
        for stage in ["embed", "predict", "score"] {
            assert!(plan.contains_key(&format!("{stage}/{target}/none/seed-1")), "{stage} {target}: {plan:?}");
        }
    }
    let query = |sql: &str| -> Vec<Value> { trestle.query(sql) };
    // The tiny model has layers 1 and 0; BUCC's mini edition is German and Chinese here.
    let scores = query(
        "SELECT target, layer, pooling, COUNT(*) AS rows FROM scores WHERE row = 'none' \
         GROUP BY target, layer, pooling ORDER BY target, layer",
    );
    let found: Vec<(&str, u64, &str)> = scores
        .iter()
        .map(|row| (row["target"].as_str().unwrap(), row["layer"].as_u64().unwrap(), row["pooling"].as_str().unwrap()))
        .collect();
    let targets = ["bucc2018", "lareqa", "mewslix", "tatoeba"];
    let expected: Vec<_> = targets.iter().flat_map(|target| [(*target, 0, "mean"), (*target, 1, "mean")]).collect();
    assert_eq!(found, expected);
    // Mined in the development split as well, for the threshold.
    let splits = query("SELECT DISTINCT split FROM predictions WHERE target = 'bucc2018' ORDER BY split");
    assert_eq!(splits, [serde_json::json!({"split": "test"}), serde_json::json!({"split": "validation"})]);
    // Ranked twenty deep among all languages.
    let ranked = query(
        "SELECT prediction, prediction_language, rank FROM predictions WHERE target = 'lareqa' AND language = 'de' \
         AND layer = 1 AND row = 'none'",
    );
    let languages: BTreeSet<&str> = ranked.iter().map(|row| row["prediction_language"].as_str().unwrap()).collect();
    assert!(languages.len() > 1, "{languages:?}");
    assert!(ranked.iter().all(|row| !row["prediction"].as_str().unwrap().contains(':')), "{ranked:?}");
    let others =
        query("SELECT COUNT(*) AS n FROM predictions WHERE target = 'tatoeba' AND prediction_language IS NOT NULL");
    assert_eq!(others[0]["n"], 0);
    let highest = ranked.iter().map(|row| row["rank"].as_u64().unwrap()).max();
    assert_eq!(highest, Some(20));

    // Layer and pooling are in the keys: another choice is another artifact, and the same one is found again.
    let other = [RUN, &["--layers", "1", "--pooling", "first-token"]].concat();
    let said = trestle.ok(&other);
    assert!(said.err.contains("embed/tatoeba/none/seed-1"), "{}", said.err);
    let poolings = query("SELECT DISTINCT layer, pooling FROM scores WHERE row = 'none'");
    assert_eq!(poolings, [serde_json::json!({"layer": 1, "pooling": "first-token"})]);
    let again = trestle.ok(&other);
    assert!(again.err.contains("0 stages run"), "{}", again.err);
}
