//! Bad input: one clear error that names the file and the row or field, a documented exit code, nothing half-written.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::{Path, PathBuf};

use support::{Said, Trestle};

/// A data directory in the originals' layouts, generated once per test, and a study that reads it.
struct World {
    trestle: Trestle,
    data: PathBuf,
}

impl World {
    fn new() -> Self {
        let trestle = Trestle::new();
        let made = trestle.ok(&["normalize", "tiny", "--json"]);
        assert!(!made.out.is_empty());
        let data = trestle.dir.path().join("data");
        for artifact in trestle.manifests().iter().filter(|m| m["stage"] == "generate") {
            let from = trestle.home().join("artifacts/generate").join(artifact["key"].as_str().unwrap());
            copy(&from, &data);
        }
        std::fs::remove_dir_all(trestle.home()).unwrap();
        Self { trestle, data }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.data.join(name)
    }

    fn edit(&self, name: &str, change: impl FnOnce(String) -> String) {
        let path = self.file(name);
        let text = std::fs::read_to_string(&path).unwrap();
        let changed = change(text.clone());
        assert_ne!(text, changed, "the edit of {name} changed nothing");
        std::fs::write(path, changed).unwrap();
    }

    fn normalize(&self, task: &str) -> Said {
        let data = self.data.to_string_lossy().into_owned();
        self.trestle.run(&["normalize", "tiny", "--task", task, "--data", &data, "--allow-count-drift"])
    }

    /// Expects `normalize` to fail with `code`, in one line that holds each of `words`, and to leave nothing behind.
    fn refused(&self, task: &str, code: i32, words: &[&str]) {
        let before = self.trestle.digests();
        let said = self.normalize(task);
        assert_eq!(said.code, code, "{}", said.err);
        let line = said.err.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        for word in words {
            assert!(line.contains(word), "no `{word}` in: {line}");
        }
        assert!(!said.err.contains("panicked"), "{}", said.err);
        assert_eq!(before, self.trestle.digests());
        let temporary = std::fs::read_dir(self.trestle.home().join("artifacts/.tmp")).map_or(0, Iterator::count);
        assert_eq!(temporary, 0, "something half-written stayed");
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy(&entry.path(), &target);
        } else if entry.file_name() != "manifest.json" {
            std::fs::create_dir_all(to).unwrap();
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn the_untouched_world_is_accepted() {
    let world = World::new();
    for task in ["mnli", "xnli", "udpos", "squad_v1", "xquad", "tatoeba", "commonsenseqa"] {
        let said = world.normalize(task);
        assert_eq!(said.code, 0, "{task}: {}", said.err);
    }
}

#[test]
fn a_missing_file() {
    let world = World::new();
    std::fs::remove_file(world.file("multinli_1.0/multinli_1.0_train.jsonl")).unwrap();
    world.refused("mnli", 5, &["multinli_1.0_train.jsonl"]);
}

#[test]
fn invalid_utf8() {
    let world = World::new();
    let path = world.file("XNLI-1.0/xnli.test.tsv");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] = 0xff;
    std::fs::write(&path, bytes).unwrap();
    world.refused("xnli", 4, &["xnli.test.tsv:", "UTF-8"]);
}

#[test]
fn a_label_outside_the_set() {
    let world = World::new();
    world.edit("multinli_1.0/multinli_1.0_train.jsonl", |text| {
        text.replacen("\"gold_label\": \"neutral\"", "\"gold_label\": \"perhaps\"", 1).replacen(
            "\"gold_label\":\"neutral\"",
            "\"gold_label\":\"perhaps\"",
            1,
        )
    });
    world.refused("mnli", 4, &["multinli_1.0_train.jsonl", "perhaps", "neutral"]);
}

#[test]
fn an_answer_that_its_offset_does_not_slice_to() {
    let world = World::new();
    world.edit("squad-1.1/train-v1.1.json", |text| {
        let at = text.find("\"answer_start\":").unwrap() + "\"answer_start\":".len();
        let digits = text[at..].trim_start().chars().take_while(char::is_ascii_digit).count();
        let from = at + text[at..].len() - text[at..].trim_start().len();
        format!("{}{}{}", &text[..from], 1_000_000, &text[from + digits..])
    });
    world.refused("squad_v1", 4, &["train-v1.1.json", "1000000"]);
}

#[test]
fn a_line_with_too_few_columns() {
    let world = World::new();
    world.edit("XNLI-1.0/xnli.test.tsv", |text| {
        let mut lines: Vec<&str> = text.lines().collect();
        lines[3] = "en\tneutral\tonly";
        lines.join("\n") + "\n"
    });
    world.refused("xnli", 4, &["xnli.test.tsv:4", "3 columns", "19"]);
}

#[test]
fn a_broken_conllu_sentence() {
    let world = World::new();
    world.edit("ud-treebanks-v2.5/UD_English-Mini/en_mini-ud-train.conllu", |text| {
        text.replacen("\tNOUN\t", "\tNOWN\t", 1)
    });
    world.refused("udpos", 4, &["en_mini-ud-train.conllu", "NOWN"]);
}

#[test]
fn sides_of_different_lengths() {
    let world = World::new();
    world.edit("tatoeba-v1/tatoeba.deu-eng.deu", |text| text.lines().skip(1).fold(String::new(), |a, l| a + l + "\n"));
    world.refused("tatoeba", 4, &["tatoeba.deu-eng.deu"]);
}

#[test]
fn a_truncated_parquet_shard() {
    let trestle = Trestle::new();
    trestle.ok(&["normalize", "tiny", "--task", "xnli"]);
    let manifest = trestle.manifests().into_iter().find(|m| m["stage"] == "normalize").unwrap();
    let file = trestle.home().join("artifacts/normalize").join(manifest["key"].as_str().unwrap());
    let file = file.join(manifest["files"][0]["path"].as_str().unwrap());
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let said = trestle.run(&["tokenize", "tiny", "--task", "xnli"]);
    assert_eq!(said.code, 4, "{}", said.err);
    assert!(said.err.contains("part-00000.parquet") && said.err.contains("truncated"), "{}", said.err);
    assert_eq!(trestle.run(&["verify"]).code, 9);
}

#[test]
fn a_study_that_names_an_unknown_task() {
    let trestle = Trestle::new();
    let folder = trestle.dir.path().join("more/studies");
    std::fs::create_dir_all(&folder).unwrap();
    let text = std::fs::read_to_string(support::fixtures().join("studies/tiny.toml")).unwrap();
    let text = text.replace("id = \"tiny\"", "id = \"wrong\"").replace("\"xnli\"", "\"xnly\"");
    std::fs::write(folder.join("wrong.toml"), text).unwrap();
    let said = trestle.run(&["run", "wrong", "--tasks", &folder.parent().unwrap().to_string_lossy()]);
    assert_eq!(said.code, 3, "{}", said.err);
    assert!(said.err.contains("unknown task `xnly`") && said.err.contains("wrong"), "{}", said.err);
}

#[test]
fn unknown_names_are_told_with_the_known_ones() {
    let trestle = Trestle::new();
    for (arguments, says) in [
        (&["run", "nothing"][..], "unknown study `nothing`"),
        (&["task", "show", "nothing"], "unknown task `nothing`"),
        (&["run", "tiny", "--languages", "xx"], "unknown language `xx`"),
    ] {
        let said = trestle.run(arguments);
        assert_eq!(said.code, 3, "{}", said.err);
        assert!(said.err.contains(says) && said.err.contains("known: "), "{}", said.err);
    }
    trestle.ok(&["normalize", "tiny", "--task", "mnli", "--quiet"]);
    let said = trestle.run(&["query", "SELECT * FROM nothing"]);
    assert_eq!(said.code, 2, "{}", said.err);
    assert!(said.err.contains("nothing") && said.err.contains("reference"), "{}", said.err);
}

#[test]
fn a_folder_is_scored_without_a_study() {
    let trestle = Trestle::new();
    let score = ["score", "--predictions", "predictions", "--labels", "labels"];
    for (argument, more) in [
        ("[STUDY]", &["nosuchstudy"][..]),
        ("--target <TASK>", &["--target", "xnli"]),
        ("--seed <N>", &["--seed", "99"]),
        ("--device <DEVICE>", &["--device", "vulkan"]),
        ("--data <DIR>", &["--data", "/nonexistent"]),
        ("--workers <N>", &["--workers", "2"]),
    ] {
        let said = trestle.run(&[&score[..], more].concat());
        assert_eq!(said.code, 2, "{more:?}: {}", said.err);
        assert!(said.err.contains("cannot be used with") && said.err.contains(argument), "{more:?}: {}", said.err);
    }
}

#[test]
fn rows_that_have_no_place_to_go() {
    let trestle = Trestle::new();
    trestle.ok(&["normalize", "tiny", "--task", "mnli", "--quiet"]);
    let folder = trestle.dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    let query = |output: &Path, more: &[&str]| {
        let sql = "SELECT a.language FROM languages a CROSS JOIN languages b";
        trestle.run(&[&["query", sql, "--output", output.to_str().unwrap()], more].concat())
    };
    for (output, more, says) in [
        (folder.join("big.tsv"), &[][..], "ends in none of .csv, .json and .parquet"),
        (folder.join("big"), &[], "choose with --format"),
        (folder.clone(), &["--format", "csv"], "is a directory"),
        (folder.join(".."), &[], "is a directory"),
        (PathBuf::from("."), &["--format", "parquet"], "is a directory"),
    ] {
        let said = query(&output, more);
        assert_eq!(said.code, 2, "{}: {}", output.display(), said.err);
        assert!(said.err.contains(says) && said.err.contains(output.to_str().unwrap()), "{}", said.err);
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
    }
    // Only what is printed is cut.
    for (name, more, lines) in [("all.txt", &[][..], 2_500), ("few.txt", &["--rows", "3"], 8), ("all.CSV", &[], 2_500)]
    {
        let file = folder.join(name);
        let format: &[&str] = if name.ends_with("txt") { &["--format", "table"] } else { &[] };
        assert_eq!(query(&file, &[format, more].concat()).code, 0);
        let found = std::fs::read_to_string(&file).unwrap().lines().count();
        assert!(if lines > 100 { found > lines } else { found == lines }, "{name}: {found} lines");
    }
    assert!(
        trestle
            .ok(&["query", "SELECT a.language FROM languages a CROSS JOIN languages b"])
            .out
            .contains("the first 200 shown")
    );
}

#[test]
fn statements_that_change_something() {
    let trestle = Trestle::new();
    trestle.ok(&["normalize", "tiny", "--task", "mnli", "--quiet"]);
    for sql in [
        "DROP TABLE languages",
        "TRUNCATE TABLE languages",
        "DELETE FROM languages WHERE language = 'de'",
        "EXPLAIN DELETE FROM languages",
        "INSERT INTO languages VALUES ('xx')",
        "CREATE TABLE copy AS SELECT * FROM languages",
        "UPDATE languages SET language = 'xx'",
    ] {
        let said = trestle.run(&["query", sql]);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{sql}: {}", said.err);
        assert!(said.err.contains("only SELECT, WITH, SHOW TABLES, DESCRIBE and EXPLAIN"), "{sql}: {}", said.err);
    }
    let said = trestle.run(&["query", "SELECT 1 WHERE EXISTS (SELECT * FROM languages) AND 2 IN (SELECT 1)"]);
    assert_eq!(said.code, 2, "{}", said.err);
    let message = said.err.split("; tables: ").next().unwrap();
    assert!(message.len() < 350 && said.err.lines().count() == 1, "{}", said.err);
    for sql in [
        "EXPLAIN SELECT * FROM languages",
        "WITH a AS (SELECT 1 AS x) SELECT x FROM a",
        "SHOW TABLES",
        "DESCRIBE languages",
    ] {
        assert!(!trestle.query(sql).is_empty(), "{sql}");
    }
}

#[test]
fn a_store_that_is_not_there() {
    let trestle = Trestle::new();
    let none = format!("no store at {}", trestle.home().display());
    let output = trestle.dir.path().join("out");
    let output = ["--output", output.to_str().unwrap()];
    for arguments in [
        &["query", "SELECT * FROM languages"][..],
        &["status"],
        &["verify"],
        &["gc"],
        &["rescore"],
        &["report", "imported"],
        &[&["export", "lm-eval", "tiny", "--row", "mnli"], &output[..]].concat(),
        &[&["export", "submission", "tiny", "--row", "mnli"], &output[..]].concat(),
        &[&["export", "croissant", "--task", "xnli"], &output[..]].concat(),
        &[&["export", "model", "target/xnli/mnli/seed-1", "--study", "tiny"], &output[..]].concat(),
    ] {
        let said = trestle.run(arguments);
        assert_eq!(said.code, 5, "{arguments:?}: {}", said.err);
        assert!(said.err.contains(&none) && said.err.contains("--home"), "{arguments:?}: {}", said.err);
    }
    // These have something to say all the same.
    for (arguments, code) in [
        (&["plan", "tiny"][..], 0),
        (&["explain", "normalize/mnli", "--study", "tiny"], 0),
        (&["task", "show", "xnli"], 0),
        (&["report", "tiny"], 5),
        (&["compare", "abcdef", "123456"], 5),
    ] {
        let said = trestle.run(arguments);
        assert_eq!(said.code, code, "{arguments:?}: {}", said.err);
    }
    assert_eq!(std::fs::read_dir(trestle.dir.path()).unwrap().count(), 0, "nothing is made");
}

#[cfg(unix)]
#[test]
fn a_store_that_cannot_be_written() {
    let trestle = Trestle::new();
    // A file where the store's directory should be: refused whoever runs it (permissions don't stop root).
    std::fs::write(trestle.home(), "in the way").unwrap();
    let said = trestle.run(&["normalize", "tiny", "--task", "xnli"]);
    assert_eq!(said.code, 6, "{}", said.err);
    assert!(said.err.contains("work"), "{}", said.err);
}

#[cfg(target_os = "linux")]
#[test]
#[ignore = "needs the right to mount a file system (TRESTLE_SHARED's runs have it)"]
fn shared_a_full_and_a_read_only_disk() {
    let trestle = Trestle::new();
    let mounted = support::Mounted::new(&trestle.home(), "size=1m").expect("mounting needs root");
    let said = trestle.run(&["normalize", "tiny", "--mini-size", "3"]);
    assert_eq!(said.code, 6, "{}", said.err);
    assert!(said.err.contains("free some space"), "{}", said.err);
    assert_eq!(std::fs::read_dir(trestle.home().join("artifacts/.tmp")).unwrap().count(), 0);
    assert_eq!(trestle.run(&["verify"]).code, 0);
    mounted.remount_read_only();
    let said = trestle.run(&["normalize", "tiny", "--mini-size", "2"]);
    assert_eq!(said.code, 6, "{}", said.err);
    assert!(said.err.contains("Read-only") || said.err.contains("read-only"), "{}", said.err);
}

#[test]
fn a_lease_time_that_is_none_is_refused() {
    let trestle = Trestle::new();
    for value in ["soon", "0", "-1"] {
        let mut command = trestle.command(&["plan", "tiny"]);
        let said = support::said(&command.env("TRESTLE_LEASE_SECONDS", value).output().unwrap());
        assert_eq!(said.code, 2, "{}", said.err);
        assert!(said.err.contains(&format!("TRESTLE_LEASE_SECONDS is `{value}`")), "{}", said.err);
    }
}
