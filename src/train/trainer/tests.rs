//! Micro-batches, memory that is too small, damaged checkpoints, and what a person sees.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use arrow::array::AsArray;
use arrow::datatypes::{Float32Type, UInt32Type};

use super::train_within;
use crate::error::{Error, ExitCode, Result};
use crate::model::device::open_for_tests;
use crate::model::weights::{Parameter, load_stored};
use crate::progress::{Progress, Quiet};
use crate::shard::read_table;
use crate::task::Format;
use crate::train::tensorboard::tests::scalars;
use crate::train::tests::{StopAt, TRAINED, bytes, request, run, task};
use crate::train::{CheckpointEvery, TrainOutcome, TrainRequest};

/// Keeps what it is told.
#[derive(Default)]
struct Told {
    notes: Mutex<Vec<String>>,
    lines: Mutex<Vec<String>>,
}

impl Progress for Told {
    fn start(&self, _total: u64, _what: &str) {}
    fn advance(&self, _done: u64, message: &str) {
        self.lines.lock().unwrap().push(message.to_owned());
    }
    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.to_owned());
    }
    fn finish(&self) {}
}

fn done(request: &TrainRequest, folder: &Path) -> TrainOutcome {
    run(request, folder, &Quiet, &AtomicBool::new(false)).unwrap()
}

/// Trains where micro-batches of more than `memory` padded tokens run out of memory.
fn within(memory: usize, request: &TrainRequest, folder: &Path, progress: &dyn Progress) -> Result<TrainOutcome> {
    let output = folder.join("output");
    std::fs::create_dir_all(&output).unwrap();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| train_within(memory, request, &output, progress))
}

/// The log's columns of steps: losses, tokens, micro-batches.
fn log(folder: &Path) -> (Vec<f32>, Vec<u32>, Vec<u32>) {
    let (_, batches) = read_table(&folder.join("output/training_log.parquet")).unwrap();
    let whole = |name: &str| {
        let column = batches[0].column_by_name(name).unwrap();
        column.as_primitive::<UInt32Type>().iter().flatten().collect::<Vec<u32>>()
    };
    let losses = batches[0].column_by_name("loss").unwrap().as_primitive::<Float32Type>().iter().flatten().collect();
    (losses, whole("tokens"), whole("micro_batches"))
}

#[test]
fn micro_batches_train_the_same_model() {
    for format in TRAINED {
        let directory = tempfile::tempdir().unwrap();
        let mut request = request(directory.path(), vec![task(directory.path(), format)], 12);
        let hyper = &mut request.hyperparameters;
        (hyper.dropout, hyper.accumulation, hyper.eval_every, hyper.learning_rate) = (Some(0.0), 2, 4, 1e-3);
        let (whole, parts) = (directory.path().join("whole"), directory.path().join("parts"));
        done(&request, &whole);
        request.hyperparameters.micro_batch_tokens = Some(32);
        done(&request, &parts);
        let ((losses, tokens, one), (in_parts, same_tokens, several)) = (log(&whole), log(&parts));
        assert!(one.iter().all(|count| *count == 2) && several.iter().any(|count| *count > 3), "{several:?}");
        assert!(tokens == same_tokens && tokens.iter().all(|count| *count > 50), "{tokens:?}");
        for (a, b) in losses.iter().zip(&in_parts) {
            assert!((a - b).abs() < 2e-4 * a.abs().max(1.0), "{format}: {losses:?} {in_parts:?}");
        }
    }
}

#[test]
fn micro_batches_go_on_to_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let tasks = TRAINED.iter().map(|format| task(directory.path(), *format)).collect();
    let mut request = request(directory.path(), tasks, 20);
    let hyper = &mut request.hyperparameters;
    (hyper.micro_batch_tokens, hyper.accumulation, hyper.eval_every, hyper.patience) = (Some(48), 2, 3, 2);
    let (whole, parts) = (directory.path().join("whole"), directory.path().join("parts"));
    let outcome = done(&request, &whole);
    assert!(outcome.steps < 20, "it is to stop early: {outcome:?}");
    for steps in [2, 3, outcome.steps - 1] {
        let stop = AtomicBool::new(false);
        let error = run(&request, &parts, &StopAt(steps, &stop), &stop).unwrap_err();
        assert!(matches!(error, Error::Interrupted), "{error}");
    }
    assert_eq!(done(&request, &parts), outcome);
    assert!(bytes(&whole) == bytes(&parts));
}

#[test]
fn too_little_memory_halves_the_micro_batches_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut request = request(directory.path(), vec![task(directory.path(), Format::Classification)], 6);
    request.hyperparameters.dropout = Some(0.0);
    request.hyperparameters.eval_every = 3;
    let (whole, parts) = (directory.path().join("whole"), directory.path().join("parts"));
    done(&request, &whole);
    let told = Told::default();
    let outcome = within(40, &request, &parts, &told).unwrap();
    // Batches are of 8 rows of 8 or 16 tokens: 128 or 64 are halved until they fit into 40.
    assert_eq!(outcome.micro_batch_tokens, Some(32), "{outcome:?}");
    let notes = told.notes.lock().unwrap();
    assert!(notes[0].contains("too large for the device's memory") && notes[0].contains("toy-classification"));
    assert!(notes[notes.len() - 2].contains("micro_batch_tokens = 32"), "{notes:?}");
    let ((losses, ..), (in_parts, _, several)) = (log(&whole), log(&parts));
    assert!(several.iter().all(|count| *count >= 2), "{several:?}");
    for (a, b) in losses.iter().zip(&in_parts) {
        assert!((a - b).abs() < 1e-3, "the step began again from the same parameters: {losses:?} {in_parts:?}");
    }

    let error = within(4, &request, &directory.path().join("none"), &Quiet).unwrap_err();
    assert!(error.to_string().contains("one instance of task toy-classification (16 padded tokens)"), "{error}");
    assert_eq!(error.exit(), ExitCode::Training);
}

#[test]
fn a_training_goes_on_from_the_checkpoint_before_a_damaged_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut request = request(directory.path(), vec![task(directory.path(), Format::WordTagging)], 12);
    request.upkeep.checkpoint_every = CheckpointEvery::Steps(2);
    let (whole, parts) = (directory.path().join("whole"), directory.path().join("parts"));
    done(&request, &whole);
    let stop = AtomicBool::new(false);
    run(&request, &parts, &StopAt(9, &stop), &stop).unwrap_err();
    let mut names: Vec<_> =
        std::fs::read_dir(parts.join("scratch")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert_eq!(names.len(), 2, "{names:?}");
    let file = std::fs::File::options().write(true).open(&names[1]).unwrap();
    file.set_len(10_000).unwrap();
    let told = Told::default();
    run(&request, &parts, &told, &AtomicBool::new(false)).unwrap();
    assert!(told.notes.lock().unwrap()[0].contains("it is cut off; taking the checkpoint before it"));
    assert!(bytes(&whole) == bytes(&parts));
}

#[test]
fn a_loss_that_runs_away_leaves_the_last_good_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let mut request = request(directory.path(), vec![task(directory.path(), Format::Classification)], 50);
    (request.hyperparameters.learning_rate, request.hyperparameters.warmup_share) = (1e30, 0.0);
    request.upkeep.checkpoint_every = CheckpointEvery::Steps(1);
    let error = run(&request, directory.path(), &Quiet, &AtomicBool::new(false)).unwrap_err();
    assert!(error.to_string().contains("the last checkpoint is kept"), "{error}");
    // It is read, and fails at the same step again.
    let again = run(&request, directory.path(), &Quiet, &AtomicBool::new(false)).unwrap_err();
    assert_eq!(error.to_string(), again.to_string());
    assert!(std::fs::read_dir(directory.path().join("scratch")).unwrap().count() > 0);
}

#[test]
fn the_best_parameters_are_the_ones_written() {
    let directory = tempfile::tempdir().unwrap();
    let mut request = request(directory.path(), vec![task(directory.path(), Format::Classification)], 400);
    request.hyperparameters.patience = 3;
    let outcome = done(&request, directory.path());
    assert!(outcome.best_step.unwrap() < outcome.steps, "{outcome:?}");
    // The same training, ended at the best step, which is then its last.
    let mut short = request.clone();
    short.hyperparameters.eval_every = 0;
    let stop = AtomicBool::new(false);
    let cut = directory.path().join("cut");
    run(&short, &cut, &StopAt(outcome.best_step.unwrap(), &stop), &stop).unwrap_err();
    let scratch = std::fs::read_dir(cut.join("scratch")).unwrap().next().unwrap().unwrap().path();
    let checkpoint = std::fs::read(scratch).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&checkpoint).unwrap();
    let view = tensors.tensor("model/roberta.embeddings.word_embeddings.weight").unwrap();
    let model = load_stored(&directory.path().join("output"), &request.device.device).unwrap();
    let words = crate::model::weights::values(model.encoder.word_embeddings()).unwrap();
    assert!(crate::model::weights::f32s(view.data()) == words);
}

#[test]
fn a_person_sees_where_a_training_stands() {
    let directory = tempfile::tempdir().unwrap();
    let request = request(directory.path(), vec![task(directory.path(), Format::Classification)], 20);
    let told = Told::default();
    run(&request, directory.path(), &told, &AtomicBool::new(false)).unwrap();
    let lines = told.lines.lock().unwrap();
    let line = lines.last().unwrap();
    for part in ["loss ", ", rate 5.6e-4, ", " tokens/s, ", "0s left"] {
        assert!(line.contains(part), "{line}");
    }
    let notes = told.notes.lock().unwrap();
    assert!(notes.len() == 1 && notes[0].starts_with("20 of 20 steps, loss "), "{notes:?}");
    assert!(notes[0].contains(", best score ") && notes[0].contains(" after step "), "{notes:?}");
}

#[test]
fn event_files_hold_every_step_once_however_often_a_training_is_cut() {
    let directory = tempfile::tempdir().unwrap();
    let tasks = vec![task(directory.path(), Format::Classification), task(directory.path(), Format::WordTagging)];
    let mut request = request(directory.path(), tasks, 20);
    let board = directory.path().join("board/study/training");
    request.upkeep.tensorboard = Some(board.clone());
    request.upkeep.checkpoint_every = CheckpointEvery::Steps(4);
    let folder = directory.path().join("parts");
    for steps in [6, 15] {
        let stop = AtomicBool::new(false);
        let error = run(&request, &folder, &StopAt(steps, &stop), &stop).unwrap_err();
        assert!(matches!(error, Error::Interrupted), "{error}");
        // As if it had been killed: the newest checkpoint, of the stop itself, is not there.
        let newest = folder.join(format!("scratch/checkpoint-{steps:010}.safetensors"));
        std::fs::remove_file(newest).unwrap();
    }
    done(&request, &folder);
    let found = scalars(&board);
    let of = |tag: &str| -> Vec<(u64, f32)> {
        found.iter().filter(|(name, ..)| name == tag).map(|(_, step, value)| (*step, *value)).collect()
    };
    let (losses, ..) = log(&folder);
    let expected: Vec<(u64, f32)> = (1..=20).zip(losses).collect();
    assert_eq!(of("train/loss"), expected);
    assert_eq!(of("train/learning_rate").len(), 20);
    assert_eq!(of("train/loss/toy-classification").len() + of("train/loss/toy-word-tagging").len(), 20);
    assert_eq!(
        of("validation/toy-word-tagging/word_accuracy").iter().map(|(step, _)| *step).collect::<Vec<_>>(),
        [10, 20]
    );
    assert_eq!(of("validation/score").len(), 2);
}

/// The largest difference between any two parameters of two trained models.
fn apart(one: &Path, other: &Path, device: &burn::tensor::Device) -> f32 {
    let parameters = |folder: &Path| -> Vec<f32> {
        let mut model = load_stored(&folder.join("output"), device).unwrap();
        let slots = model.parameters().into_iter();
        slots.flat_map(|(_, slot)| Parameter::read(slot).unwrap().values).collect()
    };
    parameters(one).iter().zip(parameters(other)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// On a GPU sums are added up in any order, so that two trainings differ; one that was cut off differs no more.
#[test]
#[ignore = "needs a GPU or `make smoke-wgpu`"]
fn wgpu_trainings_that_were_stopped_go_on_within_the_noise_of_two_that_were_not() {
    for format in TRAINED {
        let directory = tempfile::tempdir().unwrap();
        let mut request = request(directory.path(), vec![task(directory.path(), format)], 24);
        request.device = open_for_tests();
        (request.hyperparameters.learning_rate, request.hyperparameters.eval_every) = (1e-3, 6);
        let [one, two, cut] = ["one", "two", "cut"].map(|name| directory.path().join(name));
        done(&request, &one);
        done(&request, &two);
        for steps in [7, 16] {
            let stop = AtomicBool::new(false);
            let error = run(&request, &cut, &StopAt(steps, &stop), &stop).unwrap_err();
            assert!(matches!(error, Error::Interrupted), "{error}");
        }
        done(&request, &cut);
        let host = burn::tensor::Device::flex();
        let (noise, found) = (apart(&one, &two, &host), apart(&one, &cut, &host));
        eprintln!("{format}: {noise:e} between two trainings, {found:e} from one that was cut off twice");
        assert!(found <= 10.0 * noise.max(1e-6), "{format}: {found:e} against {noise:e}");
    }
}
