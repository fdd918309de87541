//! The search against its definition: every pair, in 64 bits.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, ListArray, RecordBatch, StringArray};
use arrow::datatypes::Float32Type;
use burn::tensor::Device;
use rand::RngExt;

use super::*;
use crate::evaluate::random::generator;
use crate::model::{DeviceChoice, device as devices};
use crate::progress::Quiet;
use crate::shard::write_table;
use crate::task::{Pooling, Split};

fn random(rows: usize, dim: usize, purpose: &str) -> Vec<f32> {
    let mut random = generator(1, &[purpose]);
    (0..rows * dim).map(|_| random.random_range(-1.0..1.0)).collect()
}

fn settings(memory: u64) -> SearchSettings {
    SearchSettings { device: devices::open(DeviceChoice::Flex).unwrap(), memory }
}

fn vectors(values: &[f32], dim: usize) -> Vectors {
    Vectors::of(values, dim, Similarity::Cosine).unwrap()
}

/// The same in a scratch file.
fn scratched(values: &[f32], dim: usize) -> Vectors {
    let mut all = Collector::new(Similarity::Cosine, Room { memory: 0, scratch: std::env::temp_dir() });
    for (row, vector) in values.chunks(dim).enumerate() {
        all.push(Path::new("vectors"), &row.to_string(), vector).unwrap();
    }
    let all = all.in_a_file().unwrap();
    assert!(!all.in_memory());
    all
}

fn both(sides: [&Vectors; 2], count: usize, memory: u64) -> [Neighbours; 2] {
    nearest_both(sides, count, &settings(memory), &Quiet, &AtomicBool::new(false)).unwrap()
}

/// All cosines of a row with the other side's, the highest first.
fn ranked(query: &[f32], index: &[f32]) -> Vec<(u32, f64)> {
    let dim = query.len();
    let product = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum() };
    let cosine = |v: &[f32]| product(query, v) / (product(query, query) * product(v, v)).sqrt();
    let mut all: Vec<(u32, f64)> =
        index.chunks(dim).enumerate().map(|(row, vector)| (row as u32, cosine(vector))).collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all
}

fn assert_nearest(found: &Neighbours, queries: &[f32], index: &[f32], dim: usize) {
    for (row, query) in queries.chunks(dim).enumerate() {
        let expected = ranked(query, index);
        assert_eq!(found.of(row).len(), found.count());
        for ((place, cosine), (expected_place, expected)) in found.of(row).iter().zip(&expected) {
            assert!((cosine - expected).abs() < 1e-6, "row {row}: {cosine}, not {expected}");
            let near_tie = expected_place != place;
            assert!(!near_tie || expected - ranked_cosine(query, index, dim, *place) < 1e-6);
        }
    }
}

fn ranked_cosine(query: &[f32], index: &[f32], dim: usize, place: u32) -> f64 {
    ranked(query, &index[place as usize * dim..][..dim])[0].1
}

#[test]
fn neighbours_of_both_sides_are_those_of_the_definition() {
    for (rows, columns, dim, count) in [(1, 1, 1, 1), (3, 2, 7, 5), (130, 501, 37, 4), (790, 50, 16, 3)] {
        let (q, i) = (random(rows, dim, "queries"), random(columns, dim, "index"));
        let (queries, index) = (vectors(&q, dim), vectors(&i, dim));
        let found = both([&queries, &index], count, 1 << 30);
        assert_eq!([found[0].count(), found[1].count()], [count.min(columns), count.min(rows)]);
        assert_nearest(&found[0], &q, &i, dim);
        assert_nearest(&found[1], &i, &q, dim);
        let forward = nearest(&queries, &index, count, &settings(1 << 30), &Quiet, &AtomicBool::new(false)).unwrap();
        assert_eq!(forward, found[0]);
    }
}

#[test]
fn neither_memory_nor_threads_change_a_bit() {
    let dim = 24;
    let (q, i) = (random(1700, dim, "queries"), random(1100, dim, "index"));
    let (queries, index) = (vectors(&q, dim), vectors(&i, dim));
    let expected = both([&queries, &index], 4, 1 << 30);
    let (on_disk, index_on_disk) = (scratched(&q, dim), scratched(&i, dim));
    // So little memory that beside the lists (half of it) blocks are single tiles.
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let found = pool.install(|| both([&on_disk, &index_on_disk], 4, 800_000));
        assert_eq!(found, expected, "{threads} threads");
    }
}

#[test]
fn equals_go_to_the_lowest_row_and_length_does_not_count() {
    let dim = 24;
    let mut index = random(1600, dim, "index");
    let copy = index[1500 * dim..1501 * dim].to_vec();
    // More of them than there are spare candidates, in tiles of all kinds.
    for row in [20, 479, 480, 700, 960, 1100, 1200, 1300, 1400, 1599] {
        index[row * dim..(row + 1) * dim].copy_from_slice(&copy);
    }
    index[10 * dim..11 * dim].iter_mut().for_each(|x| *x *= 1e6);
    let query: Vec<f32> = copy.iter().map(|x| x * 3.0).collect();
    let found =
        nearest(&vectors(&query, dim), &vectors(&index, dim), 3, &settings(1 << 30), &Quiet, &AtomicBool::new(false));
    let found = found.unwrap();
    assert_eq!(found.of(0).iter().map(|found| found.0).collect::<Vec<_>>(), [20, 479, 480]);
    assert!((found.of(0)[0].1 - 1.0).abs() < 1e-6);
}

#[test]
fn a_tensor_device_finds_the_same() {
    assert_device_agrees(&Device::flex());
}

#[test]
#[ignore = "needs a GPU or `make smoke-wgpu`"]
fn wgpu_finds_the_same_neighbours() {
    assert_device_agrees(&devices::open_for_tests().device);
}

/// Tiles of a tensor device, the last of them smaller, against the CPU's.
fn assert_device_agrees(on: &Device) {
    let (dim, count) = (20, 4);
    let (q, i) = (random(150, dim, "queries"), random(205, dim, "index"));
    let (queries, index) = (vectors(&q, dim), vectors(&i, dim));
    let tile = Tile { rows: 64, columns: 96 };
    let keep = count + SPARE;
    let lists = [SideLists::new(150, tile.rows, keep), SideLists::new(205, tile.columns, keep)];
    let blocks = [queries.block(0..150).unwrap(), index.block(0..205).unwrap()];
    let blocks = [(&blocks[0], 150), (&blocks[1], 205)].map(|(values, rows)| Block { first: 0, rows, values });
    let stop = AtomicBool::new(false);
    super::device::meet(on, tile, [&blocks[0], &blocks[1]], &lists, &|_| (), &stop).unwrap();
    let settings = settings(1 << 30);
    let search = Search { sides: [&queries, &index], settings: &settings, progress: &Quiet, stop: &stop };
    let expected = both([&queries, &index], count, 1 << 30);
    for side in [0, 1] {
        assert_eq!(search.exact(side, &lists[side], count).unwrap(), expected[side]);
    }
}

#[test]
fn sides_that_do_not_fit_are_refused() {
    let fails = |queries: &Vectors, index: &Vectors| {
        nearest(queries, index, 1, &settings(1 << 10), &Quiet, &AtomicBool::new(false)).unwrap_err().to_string()
    };
    let (two, three) = (vectors(&[1.0, 2.0], 2), vectors(&[1.0, 2.0, 3.0], 3));
    assert!(fails(&two, &three).starts_with("queries have 2 numbers and index vectors 3;"));
    assert!(fails(&vectors(&[], 2), &two).starts_with("there is no vector"));
    let stopped = nearest(&two, &two, 1, &settings(1 << 10), &Quiet, &AtomicBool::new(true));
    assert!(matches!(stopped, Err(crate::error::Error::Interrupted)));
}

#[test]
fn lists_that_memory_has_no_room_for_are_refused() {
    let (queries, index) = (vectors(&random(100, 4, "queries"), 4), vectors(&random(2000, 4, "index"), 4));
    let found = |count, memory| {
        nearest(&queries, &index, count, &settings(memory), &Quiet, &AtomicBool::new(false)).map_err(|e| e.to_string())
    };
    // 100 lists of 1,004 candidates and 1,000 results, twice.
    let said = found(1000, 4_000_000).unwrap_err();
    assert_eq!(said, "the lists of neighbours need --memory 5MB, and have 4MB; give that much, or ask for fewer");
    assert_eq!(found(1000, 5_000_000).unwrap().count(), 1000);
    assert_eq!(found(10, 100_000).unwrap().count(), 10);
}

#[test]
fn products_that_are_not_numbers_are_an_error() {
    let one = vectors(&[1.0, 2.0], 2);
    let (settings, stop) = (settings(1 << 20), AtomicBool::new(false));
    let search = Search { sides: [&one, &one], settings: &settings, progress: &Quiet, stop: &stop };
    let said = search.exact(0, &SideLists::new(1, 1, 1), 1).unwrap_err().to_string();
    assert_eq!(said, "the device failed while searching: some of its products are not numbers");
}

/// Pairs as the description of the method has them, one by one.
fn mined_by_definition(x: &[f32], y: &[f32], dim: usize, settings: MiningSettings) -> Vec<(usize, usize, f64)> {
    let near = |own: &[f32], other: &[f32]| -> Vec<Vec<(u32, f64)>> {
        own.chunks(dim).map(|row| ranked(row, other).into_iter().take(settings.neighbours).collect()).collect()
    };
    let (forward, backward) = (near(x, y), near(y, x));
    let mean = |list: &[(u32, f64)]| list.iter().map(|found| found.1).sum::<f64>() / list.len() as f64;
    let score = |source: usize, target: usize, cosine: f64| {
        let mean = (mean(&forward[source]) + mean(&backward[target])) / 2.0;
        match settings.margin {
            Margin::Ratio => cosine / mean,
            Margin::Distance => cosine - mean,
            Margin::Absolute => cosine,
        }
    };
    let highest = |pairs: Vec<(usize, usize, f64)>| pairs.into_iter().max_by(|a, b| a.2.total_cmp(&b.2)).unwrap();
    let mut all = Vec::new();
    for (source, found) in forward.iter().enumerate() {
        let of = |(target, cosine): &(u32, f64)| (source, *target as usize, score(source, *target as usize, *cosine));
        all.push(highest(found.iter().map(of).collect()));
    }
    for (target, found) in backward.iter().enumerate() {
        let of = |(source, cosine): &(u32, f64)| (*source as usize, target, score(*source as usize, target, *cosine));
        all.push(highest(found.iter().map(of).collect()));
    }
    all.sort_by(|a, b| b.2.total_cmp(&a.2));
    let mut kept: Vec<(usize, usize, f64)> = Vec::new();
    for pair in all {
        if pair.2 > 0.0 && kept.iter().all(|other| other.0 != pair.0 && other.1 != pair.1) {
            kept.push(pair);
        }
    }
    kept
}

#[test]
fn a_ratio_to_a_mean_that_is_not_above_zero_is_no_pair() {
    let opposite = [&vectors(&[1.0, 0.0], 2), &vectors(&[-1.0, 0.0, -1.0, 1.0], 2)];
    let across = [&vectors(&[1.0, 0.0], 2), &vectors(&[0.0, 1.0], 2)];
    for sides in [opposite, across] {
        let found = mine(sides, MiningSettings::default(), &settings(1 << 30), &Quiet, &AtomicBool::new(false));
        assert_eq!(found.unwrap(), []);
    }
    // Less the mean, the nearer of two opposites is still the better.
    let distance = MiningSettings { margin: Margin::Distance, ..MiningSettings::default() };
    let found = mine(opposite, distance, &settings(1 << 30), &Quiet, &AtomicBool::new(false)).unwrap();
    assert_eq!(found.iter().map(|pair| (pair.source, pair.target)).collect::<Vec<_>>(), [(0, 1)]);
}

#[test]
fn combinations_of_equal_vectors_are_made_one_by_one() {
    let equal = |count: u32| {
        let mut all = Collector::distinct(Similarity::Cosine, Room { memory: 0, scratch: std::env::temp_dir() });
        (0..count).for_each(|row| all.push(Path::new("vectors"), &row.to_string(), &[1.0]).unwrap());
        all.finish().unwrap()
    };
    let pair = Mined { source: 0, target: 0, score: 1.0 };
    let all: Vec<_> = pair.combinations([&equal(2), &equal(2)]).collect();
    assert_eq!(all, [(0, 0, 0), (0, 1, 1), (1, 0, 0), (1, 1, 1)]);
    // All of them together would take 160 GB.
    let [sources, targets] = [equal(100_000), equal(100_000)];
    assert_eq!(pair.combinations([&sources, &targets]).nth(200_001), Some((2, 1, 1)));
}

#[test]
fn a_task_whose_repeats_make_too_many_pairs_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("embeddings.parquet");
    let rows = 4_600;
    let text =
        |of: &dyn Fn(usize) -> String| -> ArrayRef { Arc::new(StringArray::from_iter_values((0..rows).map(of))) };
    let side = |row: usize| if row.is_multiple_of(2) { "query" } else { "index" };
    let lists = ListArray::from_iter_primitive::<Float32Type, _, _>((0..rows).map(|_| Some([Some(1.0)])));
    let batch = RecordBatch::try_from_iter([
        ("side", text(&|row| side(row).to_owned())),
        ("example_id", text(&|row| format!("{}-{row}", side(row)))),
        ("layer", Arc::new(Int32Array::from(vec![1; rows])) as ArrayRef),
        ("vector", Arc::new(lists)),
    ]);
    let batch = batch.unwrap();
    write_table(&path, &batch.schema(), &[], &[batch]).unwrap();
    let request = RetrieveRequest {
        task: "bucc2018".into(),
        files: vec![(Split::Test, "de".into(), path)],
        layers: vec![1],
        pooling: Pooling::Mean,
        method: Method::Mining(MiningSettings::default()),
        shared_index: false,
        device: devices::open(DeviceChoice::Flex).unwrap(),
        memory: 1 << 30,
    };
    let said = retrieve(&request, directory.path(), &[], &Quiet, &AtomicBool::new(false)).unwrap_err().to_string();
    assert_eq!(
        said,
        "sentences that repeat make 5290000 pairs: `query-0` stands for 2300 equal queries, `index-1` for 2300 equal index \
         sentences; leave repeats out of the task's data"
    );
}

#[test]
fn mined_pairs_are_those_of_the_definition() {
    let dim = 12;
    // Translations in another order, with noise, among sentences that have none.
    let x: Vec<f32> = random(90, dim, "source").iter().map(|value| value + 1.0).collect();
    let mut y: Vec<f32> = random(70, dim, "target").iter().map(|value| value + 1.0).collect();
    for (pair, noise) in random(30, dim, "noise").chunks(dim).enumerate() {
        let translation: Vec<f32> =
            x[pair * 2 * dim..][..dim].iter().zip(noise).map(|(value, noise)| value + 0.1 * noise).collect();
        y[(69 - 2 * pair) * dim..][..dim].copy_from_slice(&translation);
    }
    for margin in [Margin::Ratio, Margin::Distance, Margin::Absolute] {
        let mining = MiningSettings { neighbours: 4, margin };
        let sides = [&vectors(&x, dim), &vectors(&y, dim)];
        let found = mine(sides, mining, &settings(1 << 30), &Quiet, &AtomicBool::new(false)).unwrap();
        let expected = mined_by_definition(&x, &y, dim, mining);
        let rows: Vec<(usize, usize)> = found.iter().map(|pair| (pair.source as usize, pair.target as usize)).collect();
        assert_eq!(rows, expected.iter().map(|pair| (pair.0, pair.1)).collect::<Vec<_>>(), "{margin:?}");
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found.score - expected.2).abs() < 1e-5);
        }
        let true_pairs = (0..30).filter(|pair| rows.contains(&(2 * pair, 69 - 2 * pair))).count();
        assert!(true_pairs >= 25, "{margin:?}: {true_pairs}");
    }
}
