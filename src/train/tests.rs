//! Trainings of a tiny encoder on made-up shards, through the public functions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, Int32Array, ListArray, RecordBatch, StringArray, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};

use super::{Hyperparameters, TrainRequest, TrainTask, Upkeep, train};
use crate::error::Error;
use crate::model::random::{below, stream};
use crate::model::weights::load_stored;
use crate::model::{DeviceChoice, HeadKind, Precision, device};
use crate::progress::{Progress, Quiet};
use crate::schema::tokenized;
use crate::shard::{read_table, write_table};
use crate::store::Scratch;
use crate::task::{Format, FromScratch};

/// Ids 0 to 4 are special; 5 to 14 mean nothing; 15 + label says the label.
const LABELS: u32 = 3;
const VOCABULARY: u32 = 20;

fn lists<T: Clone>(rows: &[Vec<T>], array: impl Fn(Vec<T>) -> ArrayRef) -> ArrayRef {
    let values = array(rows.concat());
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(Vec::len));
    Arc::new(ListArray::new(Arc::new(Field::new("item", values.data_type().clone(), false)), offsets, values, None))
}

fn uint_lists(rows: &[Vec<u32>]) -> ArrayRef {
    lists(rows, |values| Arc::new(UInt32Array::from(values)))
}

fn int_lists(rows: &[Vec<i32>]) -> ArrayRef {
    lists(rows, |values| Arc::new(Int32Array::from(values)))
}

fn nested(rows: &[Vec<Vec<u32>>]) -> ArrayRef {
    let inner = uint_lists(&rows.concat());
    let offsets = OffsetBuffer::from_lengths(rows.iter().map(Vec::len));
    let item = Field::new("item", DataType::new_list(DataType::UInt32, false), false);
    Arc::new(ListArray::new(Arc::new(item), offsets, inner, None))
}

/// Writes a shard of `count` instances of `format`, each of which can be got right from its tokens.
fn shard(directory: &Path, name: &str, format: Format, count: usize) -> PathBuf {
    let mut rng = stream(9, name, &[]);
    let mut draw = |bound: u32| below(&mut rng, bound as usize) as u32;
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values((0..count).map(|row| row.to_string())));
    let windows: ArrayRef = Arc::new(UInt32Array::from(vec![0; count]));
    let mut rows: Vec<Vec<u32>> =
        (0..count as u32).map(|row| (0..4 + row % 9).map(|_| 5 + draw(10)).collect()).collect();
    let labels: Vec<u32> = (0..count).map(|_| draw(LABELS)).collect();
    let places: Vec<usize> = rows.iter().enumerate().map(|(row, tokens)| 1 + row % (tokens.len() - 2)).collect();
    let whole =
        |rows: &[Vec<u32>]| -> Vec<Vec<u32>> { rows.iter().map(|row| [&[0], &row[..], &[2]].concat()).collect() };
    let zeros = |rows: &[Vec<u32>]| -> Vec<Vec<u32>> { rows.iter().map(|row| vec![0; row.len()]).collect() };
    let classes: ArrayRef = Arc::new(Int32Array::from_iter_values(labels.iter().map(|label| *label as i32)));
    if format != Format::Text && format != Format::MultipleChoice {
        for ((row, place), label) in rows.iter_mut().zip(&places).zip(&labels) {
            row[*place] = 15 + label;
        }
    }
    let rows = whole(&rows);
    let mut columns = vec![ids, windows, uint_lists(&rows), uint_lists(&zeros(&rows))];
    match format {
        Format::Classification | Format::PairClassification => columns.push(classes),
        Format::MultipleChoice => {
            // Three choices; the right one holds token 15.
            let choices: Vec<Vec<Vec<u32>>> = rows
                .iter()
                .zip(&labels)
                .map(|(row, label)| {
                    (0..3).map(|choice| [&row[..], &[if choice == *label { 15 } else { 16 }]].concat()).collect()
                })
                .collect();
            let types: Vec<Vec<Vec<u32>>> = choices.iter().map(|choice| zeros(choice)).collect();
            columns.truncate(2);
            columns.extend([nested(&choices), nested(&types), classes]);
        }
        Format::SpanExtraction => {
            let at = |shift: u32| -> ArrayRef {
                Arc::new(UInt32Array::from_iter_values(places.iter().map(|place| *place as u32 + shift)))
            };
            let ends = UInt32Array::from_iter_values(rows.iter().map(|row| row.len() as u32 - 1));
            let offsets: Vec<Vec<u32>> = rows.iter().map(|row| (0..2 * row.len() as u32).collect()).collect();
            let begins = UInt32Array::from(vec![1; count]);
            columns.extend([at(1), at(1), Arc::new(begins), Arc::new(ends), uint_lists(&offsets)]);
        }
        Format::WordTagging => {
            let words: Vec<Vec<u32>> = rows.iter().map(|row| (1..row.len() as u32 - 1).collect()).collect();
            let tags: Vec<Vec<i32>> = rows
                .iter()
                .map(|row| row[1..row.len() - 1].iter().map(|id| if *id >= 15 { *id as i32 - 15 } else { 0 }).collect())
                .collect();
            columns.extend([
                Arc::new(UInt32Array::from(vec![0; count])) as ArrayRef,
                uint_lists(&words),
                int_lists(&tags),
            ]);
        }
        Format::Text => {}
        Format::SentenceRetrieval => panic!("not trained"),
    }
    let table = tokenized(format);
    let batch = RecordBatch::try_new(table.schema.clone(), columns).unwrap();
    let path = directory.join(format!("{name}.parquet"));
    write_table(&path, &table.schema, &[], &[batch]).unwrap();
    path
}

/// A word-level `tokenizer.json` with XLM-R's special tokens.
fn tokenizer(directory: &Path) -> PathBuf {
    let specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"];
    let words: Vec<String> = (0..VOCABULARY as usize)
        .map(|id| specials.get(id).map_or_else(|| format!("w{id}"), |word| (*word).into()))
        .collect();
    let vocabulary: serde_json::Map<String, serde_json::Value> =
        words.iter().enumerate().map(|(id, word)| (word.clone(), id.into())).collect();
    let added: Vec<serde_json::Value> = specials
        .iter()
        .enumerate()
        .map(|(id, word)| {
            serde_json::json!({"id": id, "content": word, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        })
        .collect();
    let text = serde_json::json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": added,
        "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"}});
    let path = directory.join("tokenizer.json");
    std::fs::write(&path, text.to_string()).unwrap();
    path
}

pub(super) fn task(directory: &Path, format: Format) -> TrainTask {
    let labelled = matches!(format, Format::Classification | Format::PairClassification | Format::WordTagging);
    TrainTask {
        id: format!("toy-{format}"),
        format,
        head: None,
        labels: if labelled { ["a", "b", "c"].map(String::from).to_vec() } else { Vec::new() },
        train: vec![shard(directory, &format!("{format}-train"), format, 600)],
        validation: vec![shard(directory, &format!("{format}-validation"), format, 40)],
    }
}

fn sizes() -> FromScratch {
    FromScratch {
        model_type: "xlm-roberta".into(),
        hidden_size: 32,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 32,
        max_length: 24,
        hidden_dropout: 0.1,
        attention_dropout: 0.1,
    }
}

pub(super) fn request(directory: &Path, tasks: Vec<TrainTask>, steps: u64) -> TrainRequest {
    TrainRequest {
        parent: None,
        from_scratch: Some(sizes()),
        tokenizer: tokenizer(directory),
        tasks,
        hyperparameters: Hyperparameters {
            learning_rate: 1e-2,
            batch_size: 8,
            max_steps: Some(steps),
            eval_every: 10,
            ..Hyperparameters::default()
        },
        seed: 3,
        device: device::open(DeviceChoice::Flex).unwrap(),
        upkeep: Upkeep::default(),
    }
}

/// Trains in a pool of one thread, as the executor does, into folders of its own.
pub(super) fn run(
    request: &TrainRequest,
    folder: &Path,
    progress: &dyn Progress,
    stop: &AtomicBool,
) -> Result<super::TrainOutcome, Error> {
    let (output, scratch) = (folder.join("output"), folder.join("scratch"));
    std::fs::create_dir_all(&output).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| train(request, &output, &Scratch::alone(&scratch), progress, stop))
}

pub(super) fn bytes(folder: &Path) -> Vec<Vec<u8>> {
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(folder.join("output")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.len() >= 4, "{names:?}");
    names.iter().map(|name| std::fs::read(name).unwrap()).collect()
}

/// Asks for a stop after some steps, as Ctrl-C does.
pub(super) struct StopAt<'a>(pub u64, pub &'a AtomicBool);

impl Progress for StopAt<'_> {
    fn start(&self, _total: u64, _what: &str) {}
    fn advance(&self, done: u64, _message: &str) {
        if done == self.0 {
            self.1.store(true, Ordering::Relaxed);
        }
    }
    fn note(&self, _text: &str) {}
    fn finish(&self) {}
}

pub(super) const TRAINED: [Format; 5] =
    [Format::PairClassification, Format::MultipleChoice, Format::SpanExtraction, Format::WordTagging, Format::Text];

#[test]
fn every_format_but_text_is_learnt() {
    for format in &TRAINED[..4] {
        let directory = tempfile::tempdir().unwrap();
        let mut request = request(directory.path(), vec![task(directory.path(), *format)], 300);
        let hyper = &mut request.hyperparameters;
        (hyper.dropout, hyper.learning_rate, hyper.batch_size) = (Some(0.0), 3e-3, 32);
        let outcome = run(&request, directory.path(), &Quiet, &AtomicBool::new(false)).unwrap();
        assert!(outcome.best_score.unwrap() > 0.9, "{format}: {outcome:?}");
        let model = load_stored(&directory.path().join("output"), &request.device.device).unwrap();
        assert_eq!(model.heads[0].spec.task, format!("toy-{format}"));
    }
}

#[test]
fn a_training_that_was_stopped_goes_on_to_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let mut tasks: Vec<TrainTask> = TRAINED.iter().map(|format| task(directory.path(), *format)).collect();
    tasks.push(TrainTask { id: "again".into(), head: Some("both".into()), ..tasks[0].clone() });
    tasks[0].head = Some("both".into());
    let mut request = request(directory.path(), tasks, 20);
    request.hyperparameters.accumulation = 2;
    request.hyperparameters.eval_every = 6;
    let (whole, parts) = (directory.path().join("whole"), directory.path().join("parts"));
    run(&request, &whole, &Quiet, &AtomicBool::new(false)).unwrap();
    for steps in [7, 13] {
        let stop = AtomicBool::new(false);
        let error = run(&request, &parts, &StopAt(steps, &stop), &stop).unwrap_err();
        assert!(matches!(error, Error::Interrupted), "{error}");
    }
    run(&request, &parts, &Quiet, &AtomicBool::new(false)).unwrap();
    assert!(bytes(&whole) == bytes(&parts));

    request.seed += 1;
    let error = run(&request, &parts, &Quiet, &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(error.contains("another training"), "{error}");
}

#[test]
fn trainings_side_by_side_do_not_disturb_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let requests: Vec<TrainRequest> = (0..4)
        .map(|seed| {
            let tasks = vec![task(directory.path(), Format::PairClassification), task(directory.path(), Format::Text)];
            TrainRequest { seed, ..request(directory.path(), tasks, 15) }
        })
        .collect();
    let folder = |kind: &str, seed: u64| directory.path().join(format!("{kind}-{seed}"));
    for request in &requests {
        run(request, &folder("alone", request.seed), &Quiet, &AtomicBool::new(false)).unwrap();
    }
    std::thread::scope(|scope| {
        for request in &requests {
            let folder = folder("beside", request.seed);
            scope.spawn(move || run(request, &folder, &Quiet, &AtomicBool::new(false)).unwrap());
        }
    });
    for seed in 0..4 {
        assert!(bytes(&folder("alone", seed)) == bytes(&folder("beside", seed)), "seed {seed}");
    }
    assert!(bytes(&folder("alone", 0)) != bytes(&folder("alone", 1)));
}

#[test]
fn an_encoder_moves_on_and_its_heads_stay_behind() {
    let directory = tempfile::tempdir().unwrap();
    let first = request(directory.path(), vec![task(directory.path(), Format::Text)], 4);
    run(&first, &directory.path().join("first"), &Quiet, &AtomicBool::new(false)).unwrap();
    let parent = directory.path().join("first/output");
    let from = |format: Format, rate: f64, folder: &str| {
        let mut next = request(directory.path(), vec![task(directory.path(), format)], 1);
        (next.parent, next.from_scratch) = (Some(parent.clone()), None);
        (next.hyperparameters.learning_rate, next.hyperparameters.weight_decay) = (rate, 0.0);
        let outcome = run(&next, &directory.path().join(folder), &Quiet, &AtomicBool::new(false)).unwrap();
        (outcome, load_stored(&directory.path().join(folder).join("output"), &next.device.device).unwrap())
    };
    let old = load_stored(&parent, &first.device.device).unwrap();
    let words = |model: &crate::model::Model| model.encoder.word_embeddings().into_data();

    let (outcome, model) = from(Format::MultipleChoice, 1e-12, "second");
    assert_eq!(model.heads[0].spec.kind, HeadKind::MultipleChoice);
    assert!(outcome.new_parameters.iter().any(|name| name == "roberta.pooler.dense.weight"), "{outcome:?}");
    assert!(outcome.new_parameters.iter().all(|name| !name.contains("embeddings")), "{outcome:?}");
    assert_eq!(outcome.dropped_parameters.len(), 5, "{outcome:?}");
    assert!(outcome.dropped_parameters.iter().all(|name| name.starts_with("lm_head.")), "{outcome:?}");
    words(&model).assert_approx_eq::<f32>(&words(&old), burn::tensor::Tolerance::absolute(1e-9));

    // A masked-LM head is part of what was pretrained: it goes on into more masked-LM training.
    let (outcome, _) = from(Format::Text, 1e-12, "third");
    assert!(outcome.new_parameters.is_empty() && outcome.dropped_parameters.is_empty(), "{outcome:?}");
}

#[test]
fn tasks_that_share_a_head_train_it_together() {
    let directory = tempfile::tempdir().unwrap();
    let one = TrainTask { head: Some("both".into()), ..task(directory.path(), Format::PairClassification) };
    let other = TrainTask { head: Some("both".into()), ..task(directory.path(), Format::Classification) };
    let third = task(directory.path(), Format::MultipleChoice);
    let mut request = request(directory.path(), vec![one.clone(), third.clone(), other.clone()], 200);
    request.hyperparameters.learning_rate = 3e-3;
    let load = |request: &TrainRequest, folder: &str| {
        let folder = directory.path().join(folder);
        run(request, &folder, &Quiet, &AtomicBool::new(false)).unwrap();
        load_stored(&folder.join("output"), &request.device.device).unwrap()
    };
    let mut model = load(&request, "three");
    let specs: Vec<_> = model.heads.iter().map(|head| head.spec.clone()).collect();
    assert_eq!(specs.len(), 2);
    assert_eq!((specs[0].task.as_str(), &specs[0].shared_by), ("both", &vec![one.id.clone(), other.id.clone()]));
    assert!(specs[0].serves(&one.id) && specs[0].serves(&other.id) && !specs[0].serves("both"));
    assert!(specs[1].serves(&third.id) && specs[1].shared_by.is_empty());
    let names: Vec<String> = model.parameters().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.iter().filter(|name| name.starts_with("both/classifier.out_proj")).count(), 2);

    // One head for all tasks has transformers' own names.
    request.tasks = vec![one.clone(), other.clone()];
    let mut model = load(&request, "two");
    assert!(model.heads.len() == 1 && model.parameters().iter().all(|(name, _)| !name.contains('/')));

    let fails = |tasks: Vec<TrainTask>| {
        let request = TrainRequest { tasks, ..request.clone() };
        run(&request, &directory.path().join("wrong"), &Quiet, &AtomicBool::new(false)).unwrap_err().to_string()
    };
    let labels = ["a", "c", "b"].map(String::from).to_vec();
    let message = fails(vec![one.clone(), TrainTask { labels, ..other.clone() }]);
    assert!(message.contains("toy-pair-classification and toy-classification (head both) can't share"), "{message}");
    let message = fails(vec![one.clone(), TrainTask { head: Some("both".into()), ..third }]);
    assert!(message.contains("differ in format"), "{message}");
    let message = fails(vec![one, TrainTask { id: "both".into(), head: None, ..other }]);
    assert!(message.contains("another name"), "{message}");
}

#[test]
fn the_log_holds_every_step_and_evaluation() {
    let directory = tempfile::tempdir().unwrap();
    let request = request(directory.path(), vec![task(directory.path(), Format::WordTagging)], 25);
    let outcome = run(&request, directory.path(), &Quiet, &AtomicBool::new(false)).unwrap();
    let (_, batches) = read_table(&directory.path().join("output/training_log.parquet")).unwrap();
    crate::schema::table("training-log").check(&batches[0]).unwrap();
    // 25 steps; evaluations after steps 10, 20 and 25, with metric and loss each.
    assert_eq!(batches[0].num_rows(), 25 + 6);
    assert_eq!((outcome.steps, outcome.planned_steps), (25, 25));
}

#[test]
fn training_stops_when_it_no_longer_improves() {
    let directory = tempfile::tempdir().unwrap();
    let mut request = request(directory.path(), vec![task(directory.path(), Format::Classification)], 400);
    request.hyperparameters.patience = 2;
    let outcome = run(&request, directory.path(), &Quiet, &AtomicBool::new(false)).unwrap();
    assert!(outcome.steps < 400);
    assert_eq!(outcome.steps, outcome.best_step.unwrap() + 20);
}

#[test]
fn a_loss_that_runs_away_is_an_error_with_its_step() {
    let directory = tempfile::tempdir().unwrap();
    let mut request = request(directory.path(), vec![task(directory.path(), Format::Classification)], 50);
    request.hyperparameters.learning_rate = 1e30;
    let error = run(&request, directory.path(), &Quiet, &AtomicBool::new(false)).unwrap_err();
    assert!(error.to_string().contains("lower learning_rate"), "{error}");
    assert_eq!(error.exit(), crate::error::ExitCode::Training);
}

#[test]
fn a_row_that_does_not_fit_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut request = request(directory.path(), vec![task(directory.path(), Format::Classification)], 5);
    request.from_scratch = Some(FromScratch { max_length: 6, ..sizes() });
    let error = run(&request, directory.path(), &Quiet, &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(error.contains("classification-train.parquet row 1: 7 tokens"), "{error}");

    request.from_scratch = Some(sizes());
    request.tasks[0].labels.truncate(2);
    let error = run(&request, directory.path(), &Quiet, &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(error.contains("label 2"), "{error}");

    request.tasks[0].train.clear();
    let error = run(&request, directory.path(), &Quiet, &AtomicBool::new(false)).unwrap_err().to_string();
    assert!(error.contains("no rows to train on"), "{error}");
}

#[test]
fn hyperparameters_read_from_toml_with_defaults_and_refuse_what_they_do_not_know() {
    let read = |text: &str| toml::from_str::<Hyperparameters>(text);
    let some = read("learning_rate = 3e-4\nmax_steps = 10\nsampling = \"uniform\"").unwrap();
    assert_eq!((some.learning_rate, some.max_steps, some.batch_size), (3e-4, Some(10), 32));
    assert!(read("learning_rat = 3e-4").is_err());
    assert!(Hyperparameters { masking_share: 1.0, ..Hyperparameters::default() }.check(&[]).is_err());
    assert!(Hyperparameters { learning_rate: f64::NAN, ..Hyperparameters::default() }.check(&[]).is_err());
}

/// Writes infinity over the embedding of one word in the model in `directory`, as a broken parent may have it.
fn poison(directory: &Path, word: usize) {
    let path = directory.join("model.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    let (start, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let table = metadata.info("roberta.embeddings.word_embeddings.weight").unwrap();
    let width = table.shape[1] * size_of::<f32>();
    let row = 8 + start + table.data_offsets.0 + word * width;
    let mut bytes = bytes.clone();
    for value in bytes[row..row + width].chunks_exact_mut(size_of::<f32>()) {
        value.copy_from_slice(&f32::INFINITY.to_le_bytes());
    }
    std::fs::write(&path, bytes).unwrap();
}

#[test]
fn a_poisoned_batch_is_left_out_under_a_loss_scale_and_training_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = request(directory.path(), vec![task(directory.path(), Format::Classification)], 1);
    first.from_scratch = Some(FromScratch { hidden_dropout: 0.0, attention_dropout: 0.0, ..sizes() });
    run(&first, &directory.path().join("first"), &Quiet, &AtomicBool::new(false)).unwrap();
    let parent = directory.path().join("first/output");
    // No row but this one holds the word, whose hidden states are then no numbers.
    let word = VOCABULARY - 2;
    poison(&parent, word as usize);
    let train = &first.tasks[0].train[0];
    let (schema, batches) = read_table(train).unwrap();
    let ids = batches[0].schema().index_of("input_ids").unwrap();
    let mut rows: Vec<Vec<u32>> = (0..batches[0].num_rows())
        .map(|row| crate::train::data::uint32s(arrow::array::AsArray::as_list(batches[0].column(ids)), row))
        .collect();
    assert!(rows.iter().flatten().all(|id| *id != word));
    let last = rows[17].len() - 2;
    rows[17][last] = word;
    let mut columns = batches[0].columns().to_vec();
    columns[ids] = uint_lists(&rows);
    write_table(train, &schema, &[], &[RecordBatch::try_new(schema.clone(), columns).unwrap()]).unwrap();

    let mut next = request(directory.path(), vec![first.tasks[0].clone()], 150);
    (next.parent, next.from_scratch) = (Some(parent), None);
    let hyper = &mut next.hyperparameters;
    (hyper.learning_rate, hyper.batch_size) = (3e-3, 32);
    let in_f32 = run(&next, &directory.path().join("f32"), &Quiet, &AtomicBool::new(false)).unwrap_err();
    assert!(in_f32.to_string().contains("is not finite at step"), "{in_f32}");

    next.hyperparameters.precision = Precision::F16;
    let outcome = run(&next, &directory.path().join("f16"), &Quiet, &AtomicBool::new(false)).unwrap();
    assert!(outcome.best_score.unwrap() > 0.9, "{outcome:?}");
    // 600 rows in batches of 32: the row comes once in 19 steps.
    assert!((7..=8).contains(&outcome.skipped_steps), "{outcome:?}");
}

#[test]
fn a_training_in_16_bits_that_runs_away_fails_at_scale_1() {
    let directory = tempfile::tempdir().unwrap();
    let mut request = request(directory.path(), vec![task(directory.path(), Format::Classification)], 50);
    (request.hyperparameters.learning_rate, request.hyperparameters.precision) = (1e30, Precision::F16);
    let error = run(&request, directory.path(), &Quiet, &AtomicBool::new(false)).unwrap_err();
    // Sixteen halvings from 65,536, each of which skips a step.
    assert!(
        error.to_string().contains("is not finite at step") && error.to_string().contains("learning_rate"),
        "{error}"
    );
    assert_eq!(error.exit(), crate::error::ExitCode::Training);
}

#[test]
fn a_training_in_16_bits_goes_on_to_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let mut request = request(directory.path(), vec![task(directory.path(), Format::SpanExtraction)], 8);
    (request.hyperparameters.precision, request.hyperparameters.gradient_checkpointing) = (Precision::F16, true);
    let (whole, parts) = (directory.path().join("whole"), directory.path().join("parts"));
    run(&request, &whole, &Quiet, &AtomicBool::new(false)).unwrap();
    let stop = AtomicBool::new(false);
    assert!(matches!(run(&request, &parts, &StopAt(5, &stop), &stop), Err(Error::Interrupted)));
    run(&request, &parts, &Quiet, &AtomicBool::new(false)).unwrap();
    assert!(bytes(&whole) == bytes(&parts));
}
