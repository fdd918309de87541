//! `trestle task check`, `new` and `show` through the binary: planted faults and planted overlaps in mini data.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value;
use support::{Said, Trestle};

/// The mini edition's files of some tasks as a data directory.
struct World {
    trestle: Trestle,
    data: PathBuf,
}

impl World {
    fn new(tasks: &str) -> Self {
        let trestle = Trestle::new();
        trestle.ok(&["normalize", "--edition", "mini", "--mini-size", "0.05", "--task", tasks]);
        let data = trestle.dir.path().join("data");
        for made in trestle.manifests().iter().filter(|m| m["stage"] == "generate") {
            copy(&trestle.home().join("artifacts/generate").join(made["key"].as_str().unwrap()), &data);
        }
        Self { trestle, data }
    }

    fn check(&self, more: &[&str]) -> Said {
        let data = self.data.to_string_lossy().into_owned();
        self.trestle.run(&[&["task", "check", "--data", &data, "--quiet"], more].concat())
    }

    /// The verdicts by task.
    fn json(&self, more: &[&str]) -> Vec<Value> {
        self.check(&[more, &["--json"]].concat()).json()
    }

    fn edit(&self, name: &str, change: impl FnOnce(String) -> String) {
        let path = self.data.join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, change(text)).unwrap();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() { copy(&entry.path(), &target) } else { drop(std::fs::copy(entry.path(), target)) }
    }
}

/// Rows of `task`'s split in `language` found in mnli's training data by `field`.
fn found(checks: &[Value], task: &str, split: &str, language: &str, field: &str) -> u64 {
    let check = checks.iter().find(|check| check["task"] == task).unwrap();
    let mut rows = check["overlap"].as_array().unwrap().iter().filter(|row| {
        row["source_task"] == "mnli"
            && row["source_split"] == "train"
            && row["kind"] == "exact"
            && (&row["split"], &row["language"], &row["field"]) == (&split.into(), &language.into(), &field.into())
    });
    rows.next().map_or(0, |row| row["found"].as_u64().unwrap())
}

#[test]
fn planted_overlaps_are_counted() {
    let world = World::new("mnli,xnli");
    let ids = ["mnli", "xnli", "--allow-count-drift"];
    let before = world.json(&ids);
    assert_eq!(found(&before, "xnli", "test", "en", "example"), 0);
    assert_eq!(found(&before, "xnli", "test", "de", "example"), 0);

    // Every third German test pair goes into the English training data, in capitals and without its full stops.
    let test = std::fs::read_to_string(world.data.join("XNLI-1.0/xnli.test.tsv")).unwrap();
    let german = test.lines().filter(|line| line.starts_with("de\t")).step_by(3);
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut planted = String::new();
    for (number, line) in german.enumerate() {
        let cells: Vec<&str> = line.split('\t').collect();
        let (premise, hypothesis) =
            (cells[6].to_uppercase().replace('.', ""), cells[7].to_uppercase().replace('.', ""));
        let row = serde_json::json!({
            "gold_label": cells[1], "sentence1": premise, "sentence2": hypothesis, "pairID": format!("planted-{number}"),
        });
        planted += &format!("{row}\n");
        pairs.push((premise, hypothesis));
    }
    pairs.sort();
    pairs.dedup();
    assert!(pairs.len() > 3);
    world.edit("multinli_1.0/multinli_1.0_train.jsonl", |text| text + &planted);
    let said = world.check(&ids);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("xnli: test de: ") && said.out.contains("share their example (exact) with mnli train"));
    let after = world.json(&ids);
    assert!(found(&after, "xnli", "test", "de", "example") >= pairs.len() as u64);
    assert_eq!(found(&after, "xnli", "test", "en", "example"), 0);

    // The same, as a table in results.
    let sql =
        "SELECT found FROM overlap WHERE source_task = 'mnli' AND task = 'xnli' AND split = 'test' AND language = 'de'
               AND field = 'example'";
    let rows = world.trestle.ok(&["query", sql, "--format", "json"]);
    let rows: Vec<Value> = rows.json();
    assert_eq!(rows[0]["found"], found(&after, "xnli", "test", "de", "example"));
    let sql = "SELECT SUM(examples) AS n FROM profiles WHERE study = 'check' AND task = 'xnli' AND language = 'de'";
    let rows: Vec<Value> = world.trestle.query(sql);
    assert_eq!(
        rows[0]["n"],
        test.lines().filter(|line| line.starts_with("de\t")).count() + {
            let dev = std::fs::read_to_string(world.data.join("XNLI-1.0/xnli.dev.tsv")).unwrap();
            dev.lines().filter(|line| line.starts_with("de\t")).count()
        }
    );
}

#[test]
fn one_bad_task_does_not_hide_the_others() {
    let world = World::new("mnli,xnli,tatoeba");
    // Fewer rows than published, and told for every table.
    let differs = world.check(&["mnli", "xnli"]);
    assert_eq!(differs.code, 9, "{}", differs.err);
    assert!(differs.out.contains("mnli: train en has ") && differs.out.contains("but 392,702 were published"));
    assert!(differs.out.contains("xnli: test de has ") && differs.out.contains("but 5,010 were published"));

    // The check takes such tables; whoever does not, refuses them when it finds them as when it makes them.
    let data = world.data.to_string_lossy().into_owned();
    let normalize = ["normalize", "--task", "mnli", "--data", &data];
    let found = world.trestle.run(&normalize);
    assert_eq!(found.code, 9, "{}", found.err);
    assert!(found.err.contains("mnli") && found.err.contains("392702"), "{}", found.err);
    let taken = world.trestle.ok(&[&normalize[..], &["--allow-count-drift"]].concat());
    assert!(taken.err.contains("\n0 stages run"), "{}", taken.err);
    assert_eq!(world.trestle.run(&normalize).code, 9);

    world.edit("multinli_1.0/multinli_1.0_train.jsonl", |text| {
        let (first, others) = text.split_once('\n').unwrap();
        let mut row: Value = serde_json::from_str(first).unwrap();
        row["gold_label"] = "maybe".into();
        format!("{row}\n{others}")
    });
    let bad = world.check(&["mnli", "tatoeba", "--allow-count-drift"]);
    assert_eq!(bad.code, 4, "{}", bad.err);
    let line = bad.out.lines().find(|line| line.starts_with("mnli: ")).unwrap();
    assert!(line.contains("multinli_1.0_train.jsonl") && line.contains("\"maybe\""), "{line}");
    assert!(bad.out.contains("2 tasks: 1 fine, 0 with other counts, 1 bad, 0 missing"), "{}", bad.out);
    let checks = world.json(&["mnli", "tatoeba", "--allow-count-drift"]);
    assert_eq!((&checks[0]["verdict"], &checks[0]["exit"]), (&"bad".into(), &4.into()));
    assert_eq!((&checks[1]["verdict"], checks[1]["tables"].as_array().unwrap().len()), (&"fine".into(), 12));
}

#[test]
fn what_is_not_here_is_listed() {
    let world = World::new("tatoeba");
    let all = world.check(&["--all", "--allow-count-drift"]);
    assert_eq!(all.code, 0, "{}", all.err);
    let missing = all.out.lines().find(|line| line.starts_with("missing: mnli:")).unwrap();
    assert!(missing.contains("multinli_1.0/multinli_1.0_train.jsonl"), "{missing}");
    let named = world.check(&["tatoeba", "mnli", "--allow-count-drift"]);
    assert_eq!(named.code, 5, "{}", named.out);
    std::fs::remove_dir_all(world.data.join("tatoeba-v1")).unwrap();
    assert_eq!(world.check(&["--all"]).code, 5);
    assert_eq!(world.check(&[]).code, 2);
    assert_eq!(world.check(&["walks"]).code, 3);
}

#[test]
fn a_task_is_shown_with_its_rows_once_they_are_loaded() {
    let world = World::new("xnli");
    let loaded = world.trestle.ok(&["task", "show", "xnli"]).out;
    assert!(loaded.contains("not profiled yet") && loaded.contains("text_a"), "{loaded}");
    world.check(&["xnli", "--allow-count-drift"]);
    let card = world.trestle.ok(&["task", "show", "xnli"]).out;
    for words in ["CC BY-NC 4.0", "entailment", "validation: 2,490 in each language", "tokens/word", "example_id"] {
        assert!(card.contains(words), "{words}: {card}");
    }
    let json: Value = world.trestle.ok(&["task", "show", "xnli", "--json"]).json();
    let samples: Vec<&Value> = json["samples"].as_array().unwrap().iter().map(|row| &row["language"]).collect();
    assert_eq!(samples, ["en", "en", "ar", "ar"]);
    assert_eq!(json["tables"].as_array().unwrap().len(), 20);
    let fresh = Trestle::new().ok(&["task", "show", "xnli"]).out;
    assert!(fresh.contains("trestle task check xnli"), "{fresh}");
}

#[test]
fn a_new_task_is_valid_and_overwrites_nothing() {
    let trestle = Trestle::new();
    let tasks = trestle.dir.path().join("tasks").to_string_lossy().into_owned();
    let new = |more: &[&str]| trestle.run(&[&["task", "new", "--directory", &tasks], more].concat());
    for (id, format) in [("a", "pair-classification"), ("b", "span-extraction"), ("c", "word-tagging"), ("d", "text")] {
        let made = new(&[id, "--format", format]);
        assert_eq!(made.code, 0, "{}", made.err);
        assert!(made.out.contains(&format!("trestle task check {id}")));
        assert_eq!(trestle.run(&["task", "show", id, "--tasks", &tasks]).code, 0);
    }
    for (arguments, code, says) in [
        (&["a", "--format", "text"][..], 3, "exists already"),
        (&["mnli", "--format", "text"], 3, "exists already"),
        (&["Toy", "--format", "text"], 3, "lower-case"),
        (&["e", "--format", "novel"], 2, "novel"),
        (&["e", "--format", "text", "--labels", "x"], 3, "takes no `labels`"),
        (&["e", "--format", "text", "--example", "/nowhere/train.jsonl"], 5, "/nowhere/train.jsonl"),
        (&["e", "--format", "text", "--example", "/nowhere/train.xls"], 3, "--reader"),
    ] {
        let said = new(arguments);
        assert_eq!(said.code, code, "{arguments:?}: {}", said.err);
        assert!(said.err.contains(says), "{arguments:?}: {}", said.err);
    }
    assert_eq!(std::fs::read_dir(&tasks).unwrap().count(), 4);
}
