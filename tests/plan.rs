//! Plans: on a machine without anything, and beside what the store holds.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;
use support::Trestle;

/// A number of a stage's cost, and what it rests on.
fn number<'a>(stage: &'a Value, name: &str) -> (f64, &'a str) {
    let number = &stage["cost"][name];
    (number["value"].as_f64().unwrap_or_else(|| panic!("{name} of {stage}")), number["basis"].as_str().unwrap())
}

#[test]
fn the_study_is_planned_on_a_machine_with_nothing_fetched() {
    let trestle = Trestle::new();
    let lock = trestle.dir.path().join("sources.lock");
    let arguments = ["plan", "intermediate", "--offline", "--device", "vulkan", "--lock", lock.to_str().unwrap()];
    let said = trestle.ok(&arguments);
    insta::assert_snapshot!("plan-intermediate", abbreviated(&said.out));
    let stages: Vec<Value> = trestle.ok(&[&arguments[..], &["--json", "--speed", "60"]].concat()).json();
    // What is not here is named with what brings it, and nothing behind it has a key.
    let find = |label: &str| stages.iter().find(|stage| stage["label"] == label).unwrap();
    let mnli = find("normalize/mnli");
    assert_eq!(
        (&mnli["state"], &mnli["remedy"]),
        (&"missing".into(), &"trestle fetch intermediate --task mnli".into())
    );
    assert_eq!(number(mnli, "examples"), (402_517.0, "published"));
    assert_eq!(find("tokenizer")["remedy"], "trestle fetch intermediate");
    assert!(stages.iter().all(|stage| stage["key"].is_null() && stage["state"] != "done"));
    let training = find("intermediate/mnli/seed-1");
    assert_eq!(training["needs"], serde_json::json!(["tokenizer", "tokenize/mnli"]));
    let (seconds, flops) = (number(training, "seconds").0, number(training, "flops").0);
    assert!((seconds * 60e12 / flops - 1.0).abs() < 1e-9);
    assert_eq!(std::fs::read_dir(trestle.dir.path()).unwrap().count(), 0, "nothing is made");
}

/// A plan with one seed of three, and of the targets one.
fn abbreviated(plan: &str) -> String {
    let mut short = String::new();
    for line in plan.lines() {
        let other_seed = ["seed-2", "seed-3"].iter().any(|seed| line.split(' ').next().unwrap().ends_with(seed));
        let target =
            ["target/", "predict/", "score/", "embed/", "baseline/"].iter().any(|stage| line.starts_with(stage));
        let shown = line.contains("/xnli") || line.contains("/tatoeba");
        if !other_seed && (!target || shown) {
            writeln!(short, "{line}").unwrap();
        }
    }
    short
}

#[test]
fn a_gpu_that_is_not_here_keeps_a_run_from_starting_and_no_plan_from_being_made() {
    let trestle = Trestle::new();
    let devices: Value = trestle.ok(&["devices", "--json"]).json();
    let plan = trestle.ok(&["plan", "tiny", "--device", "vulkan"]);
    assert!(plan.out.contains("pretrain"), "{}", plan.out);
    if !devices["note"].is_null() {
        let run = trestle.run(&["run", "tiny", "--device", "vulkan"]);
        assert_eq!(run.code, 8, "{}", run.err);
        assert!(run.err.contains(devices["note"].as_str().unwrap()), "{}", run.err);
        assert!(!trestle.home().exists(), "stages ran before the device was looked for");
    }
}

#[test]
fn what_was_estimated_comes_out() {
    let trestle = Trestle::new();
    let before = trestle.plan("tiny");
    trestle.ok(&["run", "tiny", "--device", "flex", "--workers", "2", "--quiet"]);
    let after = trestle.plan("tiny");
    for (label, stage) in &before {
        let done = &after[label];
        assert_eq!(done["state"], "done", "{label}");
        assert_eq!(number(done, "bytes").1, "measured");
        assert!(number(done, "seconds").0 > 0.0);
        if label.starts_with("normalize/") {
            let ((guessed, basis), (rows, _)) = (number(stage, "examples"), number(done, "examples"));
            if basis == "generated" {
                assert_eq!(guessed, rows, "{label}");
            } else {
                assert!((0.85..1.15).contains(&(guessed / rows)), "{label}: {guessed} for {rows}");
            }
        }
        let within = |name: &str, factor: f64| {
            let (guessed, real) = (number(stage, name).0, number(done, name).0);
            let wrong = if guessed == real { 1.0 } else { guessed / real };
            assert!((1.0 / factor..factor).contains(&wrong), "{label}: {guessed} {name} for {real}");
        };
        within("tokens", 1.5);
        within("flops", 1.5);
        if ["normalize", "tokenize", "train", "embed"].contains(&stage["stage"].as_str().unwrap()) {
            within("bytes", 4.0);
        }
    }
    let exact =
        before.values().filter(|stage| stage["stage"] == "normalize" && number(stage, "examples").1 == "generated");
    assert!(exact.count() >= 4);
    // What was trained tells how long more of it would take.
    let more = trestle.ok(&["plan", "tiny", "--seed", "1,2", "--json"]).json::<Vec<Value>>();
    let second = more.iter().find(|stage| stage["label"] == "target/xnli/none/seed-2").unwrap();
    assert_eq!(number(second, "seconds").1, "scaled");
    assert!(trestle.ok(&["plan", "tiny"]).out.contains("measured in"));
}

/// Sets a file's time to an hour ago.
fn age(file: &Path) {
    let handle = std::fs::File::options().append(true).open(file).unwrap();
    handle.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
}

#[test]
fn weights_are_hashed_once_and_verified_when_asked() {
    let trestle = Trestle::tiny();
    let encoder = trestle.dir.path().join("encoder");
    let encoder = encoder.to_str().unwrap();
    trestle.ok(&["export", "model", "pretrain", "--study", "tiny", "--output", encoder]);
    let file = Path::new(encoder).join("tokenizer.json");
    age(&file);
    let plan = |more: &[&str]| trestle.run(&[&["plan", "tiny", "--encoder", encoder, "--json"][..], more].concat());
    let key = |said: &support::Said| {
        let stages: Vec<Value> = said.json();
        stages.iter().find(|stage| stage["label"] == "tokenizer").unwrap()["key"].as_str().unwrap().to_owned()
    };
    let first = key(&plan(&[]));
    assert!(trestle.home().join("digests.json").is_file());
    assert_eq!(key(&plan(&["--verify"])), first);
    // Other bytes of the same size and time: only hashing tells.
    let bytes = std::fs::read(&file).unwrap();
    let mut other = bytes.clone();
    let last = other.len() - 1;
    other[last] = if other[last] == b'\n' { b' ' } else { b'\n' };
    std::fs::write(&file, &other).unwrap();
    age(&file);
    assert_eq!(key(&plan(&[])), first);
    for arguments in
        [&["plan", "tiny", "--encoder", encoder, "--verify"][..], &["run", "tiny", "--encoder", encoder, "--verify"]]
    {
        let said = trestle.run(arguments);
        assert_eq!(said.code, 9, "{}", said.err);
        assert!(said.err.contains("tokenizer.json"), "{}", said.err);
    }
    let verified = trestle.run(&["verify"]);
    assert!(verified.code == 9 && verified.out.contains("tokenizer.json"), "{}", verified.out);
    // Changed as files are: another key, and nothing to refuse.
    std::fs::write(&file, &other).unwrap();
    let second = plan(&["--verify"]);
    assert_ne!(key(&second), first);
    // A broken cache costs time, nothing else.
    std::fs::write(trestle.home().join("digests.json"), "{").unwrap();
    assert_eq!(key(&plan(&[])), key(&second));
}

/// Ten thousand stages and more, none of which is due to anything but the grid.
#[test]
#[ignore = "a time, which a busy machine does not keep"]
fn ten_thousand_stages_are_planned_in_two_seconds() {
    let trestle = Trestle::new();
    let text = std::fs::read_to_string(support::fixtures().join("studies/tiny.toml")).unwrap();
    let seeds: Vec<String> = (1..=300).map(|seed| seed.to_string()).collect();
    let text = text
        .replace("id = \"tiny\"", "id = \"wide\"")
        .replace("seeds = [1]", &format!("seeds = [{}]", seeds.join(", ")));
    let folder = trestle.dir.path().join("files/studies");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("wide.toml"), text).unwrap();
    let arguments = ["plan", "wide", "--device", "flex", "--tasks", folder.parent().unwrap().to_str().unwrap()];
    let started = Instant::now();
    let said = trestle.ok(&arguments);
    let took = started.elapsed();
    let stages = said.out.lines().filter(|line| line.contains("seed-")).count();
    println!("{stages} stages of cells planned in {took:?}");
    assert!(stages >= 10_000 && took < Duration::from_secs(2), "{stages} stages in {took:?}");
}
