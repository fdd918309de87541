//! A whole study through the binary: made once, resumed after anything, and only what changed made again.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::Trestle;

const RUN: &[&str] = &["run", "tiny", "--device", "flex", "--workers", "2"];

/// The labels that stand due, or behind something due, in a plan.
fn not_done(trestle: &Trestle, study: &str) -> BTreeSet<String> {
    trestle.plan(study).into_iter().filter(|(_, s)| s["state"] != "done").map(|(label, _)| label).collect()
}

#[test]
fn a_study_runs_once_and_what_it_made_can_be_used() {
    let trestle = Trestle::new();
    let first = trestle.ok(RUN);
    assert!(first.out.contains("xnli") && first.out.contains("chance"), "{}", first.out);

    let started = Instant::now();
    let second = trestle.ok(RUN);
    assert!(second.err.contains("\n0 stages run"), "{}", second.err);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(first.out, second.out);

    let rows = trestle.ok(&[
        "query",
        "SELECT target, row, value FROM summaries WHERE metric = 'accuracy' ORDER BY target, row",
        "--format",
        "csv",
    ]);
    assert!(rows.out.lines().any(|line| line.starts_with("xnli,chance,")), "{}", rows.out);
    let joined = trestle.ok(&[
        "query",
        "SELECT COUNT(*) AS n FROM predictions p JOIN canonical_xnli c ON p.example_id = c.example_id \
         AND p.language = c.language WHERE p.target = 'xnli' AND p.row = 'chance'",
        "--format",
        "csv",
    ]);
    let count: u64 = joined.out.lines().nth(1).unwrap().parse().unwrap();
    assert!(count > 0);

    let html = std::fs::read_to_string(trestle.home().join("results/report-tiny.html")).unwrap();
    assert!(html.contains("<html") && !html.contains("http://") && !html.contains("src=\"http"));
    assert_eq!(trestle.ok(&["verify"]).code, 0);

    // Every format of the report, on standard output and as a file that is whole or not there.
    let formats = [
        ("html", "<!doctype html>"),
        ("table", "tiny: "),
        ("markdown", "**tiny: "),
        ("latex", "% Needs \\usepackage{booktabs}."),
        ("csv", "study,target,metric,"),
        ("json", "{"),
    ];
    for (format, begins) in formats {
        let shown = trestle.ok(&["report", "tiny", "--format", format]).out;
        assert!(shown.starts_with(begins), "{format}: {shown}");
        let file = trestle.dir.path().join(format);
        trestle.ok(&["report", "tiny", "--format", format, "--output", file.to_str().unwrap()]);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), shown, "{format}");
    }
    assert_eq!(trestle.ok(&["report", "tiny", "--format", "html"]).out, html);
    let nowhere = trestle.dir.path().join("absent/report.html");
    let failed = trestle.run(&["report", "tiny", "--format", "html", "--output", nowhere.to_str().unwrap()]);
    assert!(failed.code == 5 && failed.err.contains("absent/report.html"), "{}", failed.err);
    let left = std::fs::read_dir(trestle.dir.path()).unwrap().flatten();
    assert!(left.map(|entry| entry.file_name()).all(|name| !name.to_string_lossy().contains("partial")));

    // A score row leads back to the model, the data and the code.
    let runs = trestle.ok(&["query", "SELECT model_key, predict_key, code_version FROM runs", "--format", "csv"]);
    let line = runs.out.lines().find(|line| line.len() > 140 && !line.starts_with("model_key")).unwrap();
    let key = line.split(',').next().unwrap();
    let explained = trestle.ok(&["explain", key]);
    assert!(explained.out.contains("tokens:") && explained.out.contains("tokenizer"), "{}", explained.out);

    // A changed byte is found.
    let manifest = trestle.manifests().into_iter().find(|m| m["stage"] == "tokenizer").unwrap();
    let file =
        trestle.home().join("artifacts/tokenizer").join(manifest["key"].as_str().unwrap()).join("tokenizer.json");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[10] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let verify = trestle.run(&["verify"]);
    assert_eq!(verify.code, 9, "{}", verify.out);
    assert!(verify.out.contains("tokenizer.json"));
}

#[test]
fn one_worker_and_two_make_the_same_bytes() {
    let (one, two) = (Trestle::new(), Trestle::new());
    one.ok(&["run", "tiny", "--device", "flex", "--workers", "1"]);
    two.ok(RUN);
    assert_eq!(one.digests(), two.digests());
}

#[test]
fn two_processes_on_one_store_share_the_work() {
    let (trestle, alone) = (Trestle::new(), Trestle::new());
    let both = [trestle.spawn(RUN), trestle.spawn(RUN)].map(|child| support::said(&child.wait_with_output().unwrap()));
    let label = |line: &str| Some(line.strip_prefix('[')?.split_once("] ")?.1.split_once(' ')?.0.to_owned());
    let made = both.each_ref().map(|said| said.err.lines().filter_map(label).collect::<Vec<String>>());
    for (said, made) in both.iter().zip(&made) {
        assert_eq!(said.code, 0, "{}", said.err);
        assert!(made.len() > 5 && !said.err.contains("for nothing"), "{}", said.err);
    }
    let all: Vec<&String> = made.iter().flatten().collect();
    let distinct: BTreeSet<&String> = all.iter().copied().collect();
    assert_eq!(all.len(), distinct.len(), "a stage was made twice: {made:?}");
    assert_eq!(both[0].out, both[1].out);
    alone.ok(RUN);
    assert_eq!(trestle.digests(), alone.digests());
    assert_eq!(trestle.ok(&["gc", "--dry-run", "--json"]).out.trim(), "[]");
    // The first to end has left records for the other, which may not have seen yet what it committed.
    trestle.ok(&["gc"]);
    let left = ["leases", "workers"].map(|folder| trestle.home().join(folder).exists());
    assert_eq!(left, [false, false]);
}

#[cfg(unix)]
#[test]
fn killed_at_any_moment_it_goes_on_to_the_same_bytes() {
    let whole = Trestle::new();
    whole.ok(RUN);
    let cut = Trestle::new();
    // Later and later, until a run ends by itself.
    for pause in [30, 120, 250, 500, 800, 1200, 1800] {
        let mut child = cut.spawn(RUN);
        std::thread::sleep(Duration::from_millis(pause));
        // SIGKILL: no handler runs, nothing is cleaned up.
        child.kill().unwrap();
        child.wait().unwrap();
    }
    cut.ok(RUN);
    assert_eq!(whole.digests(), cut.digests());
    assert_eq!(cut.ok(&["verify"]).code, 0);
    let left = cut.ok(&["gc", "--dry-run", "--json"]);
    assert_eq!(left.out.trim(), "[]");
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_cleanly_and_the_next_run_goes_on() {
    let trestle = Trestle::new();
    let child = trestle.spawn(RUN);
    std::thread::sleep(Duration::from_millis(700));
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(kill.success());
    let said = support::said(&child.wait_with_output().unwrap());
    if said.code != 0 {
        assert_eq!(said.code, 130, "{}", said.err);
        assert!(said.err.contains("run the same command again"), "{}", said.err);
    }
    assert_eq!(trestle.ok(&["verify"]).code, 0);
    trestle.ok(RUN);
}

#[test]
fn only_what_depends_on_a_change_is_made_again_and_explain_says_why() {
    let trestle = Trestle::new();
    trestle.ok(RUN);
    let all: BTreeSet<String> = trestle.plan("tiny").into_keys().collect();
    assert!(not_done(&trestle, "tiny").is_empty());
    let changed = |study: &str| not_done(&trestle, study);
    let with = |prefixes: &[&str]| -> BTreeSet<String> {
        all.iter().filter(|label| prefixes.iter().any(|p| label.starts_with(p))).cloned().collect()
    };
    let model_stages = ["pretrain", "intermediate/", "target/", "embed/", "predict/"];
    let scores = |set: BTreeSet<String>| -> BTreeSet<String> {
        set.into_iter()
            .chain(all.iter().filter(|l| l.starts_with("score/") && !l.ends_with("/chance")).cloned())
            .chain(["analyze".to_owned()])
            .collect()
    };
    // Another learning rate in the target phase of one target: that target's trainings and what follows.
    let rate = changed("tiny-rate");
    let expected: BTreeSet<String> = all
        .iter()
        .filter(|l| {
            let after = ["target/xnli/", "predict/xnli/", "score/xnli/", "analyze"];
            after.iter().any(|p| l.starts_with(p)) && !l.ends_with("/chance")
        })
        .cloned()
        .collect();
    assert_eq!(rate, expected);
    // Another tokenizer: everything from it on, no data.
    assert_eq!(
        changed("tiny-vocabulary"),
        scores(with(&[&["tokenizer", "tokenize/", "profile/"][..], &model_stages].concat()))
    );
    // Another source: everything.
    let source = changed("tiny-source");
    assert_eq!(source, all);

    let explain = |study: &str, label: &str| trestle.ok(&["explain", label, "--study", study]).out;
    // The label belongs to the study's name, so a study of the same name with a change shows what differs.
    let seed = trestle.ok(&["explain", "target/xnli/none/seed-1", "--study", "tiny"]).out;
    assert!(seed.contains("input parent"), "{seed}");
    let size = trestle.ok(&["explain", "generate/multinli_1.0", "--study", "tiny", "--mini-size", "0.07"]).out;
    assert!(size.contains("parameter options.size"), "{size}");
    let behind = trestle.ok(&["explain", "normalize/mnli", "--study", "tiny", "--mini-size", "0.07"]).out;
    assert!(behind.contains("generate/multinli_1.0"), "{behind}");
    assert!(explain("tiny-vocabulary", "tokenizer").contains("due"));
}

#[test]
fn another_seed_makes_other_models_of_the_same_data() {
    let trestle = Trestle::new();
    trestle.ok(RUN);
    let plan: BTreeMap<String, _> = {
        let out = trestle.ok(&["plan", "tiny", "--seed", "2", "--json"]).out;
        let states: Vec<serde_json::Value> = serde_json::from_str(&out).unwrap();
        states.into_iter().map(|s| (s["label"].as_str().unwrap().to_owned(), s)).collect()
    };
    for (label, state) in plan {
        let data = ["generate/", "normalize/", "tokenizer", "tokenize/", "profile/", "overlap"]
            .iter()
            .any(|p| label.starts_with(p));
        assert_eq!(state["state"] == "done", data, "{label}: {state}");
    }
}

/// Shipped tasks with training data in German: a target's own, and those of an intermediate task.
fn german_tasks(folder: &Path) {
    let changed = |text: &str, changes: &[(&str, &str)]| {
        changes.iter().fold(text.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        })
    };
    let target = changed(
        include_str!("../pipeline/tasks/xtreme/pawsx.toml"),
        &[("id = \"pawsx\"", "id = \"pawsx_de\""), ("\"en/train.tsv\"", "\"{lang}/translated_train.tsv\"")],
    );
    let translated = include_str!("../pipeline/tasks/intermediate/mnli_translated.toml");
    let languages = translated.lines().find(|line| line.starts_with("languages = ")).unwrap();
    let intermediate =
        changed(translated, &[("id = \"mnli_translated\"", "id = \"mnli_de\""), (languages, "languages = [\"de\"]")]);
    std::fs::create_dir_all(folder.join("studies")).unwrap();
    std::fs::write(folder.join("pawsx_de.toml"), target).unwrap();
    std::fs::write(folder.join("mnli_de.toml"), intermediate).unwrap();
}

#[test]
fn a_study_trains_in_its_source_language_and_counts_transfer_from_it() {
    let trestle = Trestle::new();
    let folder = trestle.dir.path().join("tasks");
    german_tasks(&folder);
    let folder = folder.to_str().unwrap();
    let run = |arguments: &[&str]| trestle.run(&[arguments, &["--tasks", folder]].concat());
    let made = run(&["run", "tiny-german", "--device", "flex", "--workers", "2", "--quiet"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let rows = |sql: &str| -> Vec<Value> { run(&["query", sql, "--format", "json"]).json() };

    // What is learnt, and what a checkpoint is chosen by, is German.
    for (task, splits) in [("pawsx_de", "'train', 'validation'"), ("mnli_de", "'train', 'validation'")] {
        let sql = format!("SELECT DISTINCT language FROM canonical_{task} WHERE split IN ({splits})");
        assert_eq!(rows(&sql), [json!({"language": "de"})], "{task}");
    }
    let log =
        "SELECT COUNT(*) AS n FROM training_log WHERE phase = 'target' AND metric IS NOT NULL AND value IS NOT NULL";
    assert!(rows(log)[0]["n"].as_u64().unwrap() > 0);
    for manifest in trestle.manifests() {
        let source = &manifest["parameters"]["source"];
        match manifest["stage"].as_str().unwrap() {
            "score" | "baseline" | "analyze" => assert_eq!(source, "de", "{}", manifest["label"]),
            "train" => assert!(!manifest["parameters"].to_string().contains("\"en\""), "{}", manifest["label"]),
            _ => {}
        }
    }

    let value = |sql: &str| rows(sql)[0]["value"].as_f64().unwrap();
    let score = |language: &str| {
        let of_row = "row = 'mnli_de' AND metric = 'accuracy'";
        value(&format!("SELECT value FROM scores WHERE {of_row} AND language = '{language}'"))
    };
    let groups =
        rows("SELECT \"group\", languages, value FROM summaries WHERE row = 'mnli_de' AND metric = 'accuracy'");
    let group = |name: &str| groups.iter().find(|row| row["group"] == name);
    let of = |name: &str| group(name).unwrap_or_else(|| panic!("no group {name}"))["value"].as_f64().unwrap();
    let (german, others) = (score("de"), f64::midpoint(score("en"), score("zh")));
    assert_eq!((of("source"), of("non-source")), (german, others));
    assert!((of("source-gap") - (german - others)).abs() < 1e-9);
    // English is one of the others, and German is in no group by trait.
    assert_eq!(
        (of("family=Indo-European"), &group("family=Indo-European").unwrap()["languages"]),
        (score("en"), &json!(1))
    );
    assert!(["english", "non-english", "english-gap"].iter().all(|name| group(name).is_none()));
    for (table, column) in [("comparisons", "scope"), ("aggregates", "group")] {
        let names = rows(&format!("SELECT DISTINCT \"{column}\" AS name FROM {table}"));
        assert!(
            names.contains(&json!({"name": "non-source"})) && !names.contains(&json!({"name": "english"})),
            "{names:?}"
        );
    }

    let report = run(&["report", "tiny-german", "--format", "markdown"]).out;
    for says in ["non-German languages", "German (de) stands beside them", "; de "] {
        assert!(report.contains(says), "`{says}` is not in {report}");
    }
    let header = run(&["report", "tiny-german", "--format", "csv"]).out;
    assert!(
        header.starts_with("study,target,metric,") && header.lines().next().unwrap().contains(",source,"),
        "{header}"
    );
    let page = run(&["report", "tiny-german", "--format", "html"]).out;
    assert!(page.contains("German gap") && !page.contains("English gap"));
    let compared = run(&["compare", "tiny-german/none", "tiny-german/mnli_de", "--json"]);
    assert_eq!(compared.json::<Value>()["differences"][0]["scope"], "non-source", "{}", compared.out);
    let rescored = run(&["rescore"]);
    assert_eq!(rescored.code, 0, "{}{}", rescored.out, rescored.err);
}

#[test]
fn a_study_is_told_that_its_source_language_is_not_that_of_its_data() {
    let trestle = Trestle::new();
    let folder = trestle.dir.path().join("tasks");
    german_tasks(&folder);
    let study = include_str!("fixtures/studies/tiny-german.toml").replace("tiny-german", "wrong");
    let refused = |from: &str, to: &str| {
        assert!(study.contains(from), "{from}");
        std::fs::write(folder.join("studies/wrong.toml"), study.replace(from, to)).unwrap();
        let said = trestle.run(&["plan", "wrong", "--tasks", folder.to_str().unwrap()]);
        assert_eq!(said.code, 3, "{}", said.err);
        said.err
    };
    // XNLI is fine-tuned on MNLI, which is English.
    let said = refused("[\"pawsx_de\"]", "[\"xnli\"]");
    assert!(said.contains("study wrong trains in `de`, and task `mnli` has training data in `en` alone"), "{said}");
    // PAWS-X's file of training data is in English, as is found out when its rows are there.
    std::fs::write(folder.join("studies/wrong.toml"), study.replace("[\"pawsx_de\"]", "[\"pawsx\"]")).unwrap();
    let said = trestle.run(&["run", "wrong", "--device", "flex", "--quiet", "--tasks", folder.to_str().unwrap()]);
    assert!(said.code == 3 && said.err.contains("`pawsx` has no training data in de, but in en"), "{}", said.err);
    let said = refused("source = \"de\"\n", "");
    assert!(said.contains("study wrong trains in `en`, and task `mnli_de` has training data in `de` alone"), "{said}");
    let said = refused("source = \"de\"", "source = \"tlh\"");
    assert!(said.contains("`source` of study wrong names an unknown language `tlh`"), "{said}");
}
