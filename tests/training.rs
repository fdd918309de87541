//! Trainings through the binary: cut off at any moment, watched, and stopped by a full disk.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use support::Trestle;

/// Four kinds of task in one training of 80 steps, with a checkpoint after each.
const TRAIN: &[&str] =
    &["train", "resume", "--phase", "intermediate", "--device", "flex", "--workers", "1", "--checkpoint-every", "1"];

/// The steps of the checkpoints that lie in the store.
fn checkpoints(trestle: &Trestle) -> BTreeSet<u64> {
    let scratch = trestle.home().join("scratch/train");
    let below = |folder: PathBuf| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    // By key, then by try.
    below(scratch)
        .flat_map(below)
        .flat_map(below)
        .filter_map(|file| {
            let name = file.file_name().unwrap().to_str().unwrap();
            name.strip_prefix("checkpoint-")?.strip_suffix(".safetensors")?.parse().ok()
        })
        .collect()
}

#[cfg(unix)]
#[test]
fn a_training_killed_at_ten_random_steps_goes_on_to_the_same_bytes() {
    let whole = Trestle::new();
    whole.ok(TRAIN);

    let cut = Trestle::new();
    cut.ok(&["train", "resume", "--phase", "pretrain", "--device", "flex"]);
    let board = cut.dir.path().join("board");
    let train = [TRAIN, &["--tensorboard", board.to_str().unwrap()]].concat();
    let random = RandomState::new();
    let draw = |what: u64, below: u64| random.hash_one(what) % below;
    let mut steps: Vec<u64> = (0..10).map(|number| 1 + draw(number, 70)).collect();
    steps.sort_unstable();
    let mut killed = 0;
    for (number, step) in steps.iter().enumerate() {
        let before = checkpoints(&cut).last().copied().unwrap_or(0);
        let started = Instant::now();
        let mut child = cut.spawn(&train);
        // The step, and up to two steps' time more, so that the kill falls anywhere between two checkpoints or into one.
        while checkpoints(&cut).last().is_none_or(|newest| *newest < *step.max(&(before + 1))) {
            assert!(started.elapsed() < Duration::from_secs(120), "no checkpoint of step {step}; steps {steps:?}");
            assert!(child.try_wait().unwrap().is_none(), "it ended before step {step}; steps {steps:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(draw(100 + number as u64, 20_000)));
        killed += u64::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert_eq!(killed, 10, "steps {steps:?}");
    cut.ok(&train);
    assert_eq!(whole.digests(), cut.digests(), "steps {steps:?}");
    assert_eq!(checkpoints(&cut).len(), 0);
    // Each run went on where the one before it was cut off: one from the start would have removed the event files.
    let files = std::fs::read_dir(board.join("resume/intermediate/all/seed-1")).unwrap().count();
    assert_eq!(files, 11, "steps {steps:?}");
}

#[test]
fn a_training_tells_what_came_of_it_and_writes_event_files() {
    let trestle = Trestle::new();
    let board = trestle.dir.path().join("board");
    let said = trestle.ok(&[TRAIN, &["--tensorboard", board.to_str().unwrap()]].concat());
    let summary = said.err.lines().find(|line| line.contains("intermediate/all/seed-1: ")).unwrap_or_default();
    for part in ["of 80 steps, loss ", ", best score ", " after step ", " tokens/s"] {
        assert!(summary.contains(part), "{}", said.err);
    }
    let folder: PathBuf = board.join("resume/intermediate/all/seed-1");
    let names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 1);
    assert!(names[0].to_str().unwrap().starts_with("events.out.tfevents."), "{names:?}");
    let bytes = std::fs::read(folder.join(&names[0])).unwrap();
    for tag in ["train/loss/ccg", "train/learning_rate", "validation/squad_v1/window_span_score", "validation/score"] {
        assert!(bytes.windows(tag.len()).any(|window| window == tag.as_bytes()), "{tag}");
    }

    // Neither flag changes what is made: another run finds it.
    let again = trestle.ok(&["train", "resume", "--phase", "intermediate", "--device", "flex"]);
    assert!(again.err.contains("\n0 stages run"), "{}", again.err);
    let wrong = trestle.run(&["train", "resume", "--checkpoint-every", "often"]);
    assert!(wrong.code == 2 && wrong.err.contains("neither a number of steps (500) nor a time"), "{}", wrong.err);
}

#[test]
fn weights_that_do_not_fit_a_training_are_found_when_it_is_planned() {
    let trestle = Trestle::new();
    let folder = trestle.dir.path().join("files");
    for part in ["studies", "models"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
    }
    std::fs::copy(support::fixtures().join("models/tiny.toml"), folder.join("models/tiny.toml")).unwrap();
    let study = std::fs::read_to_string(support::fixtures().join("studies/resume.toml")).unwrap();
    let wrong = study.replace("ccg = 1 }", "cgc = 1 }").replace("id = \"resume\"", "id = \"weights\"");
    std::fs::write(folder.join("studies/weights.toml"), wrong).unwrap();
    let mut command = trestle.command(&["plan", "weights"]);
    let said = support::said(&command.arg("--tasks").arg(&folder).output().unwrap());
    assert_eq!(said.code, 3, "{}", said.err);
    assert!(said.err.contains("sampling.weights names no weight for task ccg"), "{}", said.err);
}
