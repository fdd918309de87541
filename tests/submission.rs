//! A row in XTREME's layout: it is scored there as it is in the store, and comes back as it left.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;
use support::Trestle;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Values by task, language and metric.
type Scores = BTreeMap<String, f64>;

/// The score rows of a row in the store that are of one of `tasks`.
fn stored(trestle: &Trestle, study: &str, row: &str, tasks: &[&str]) -> Scores {
    let sql = format!(
        "SELECT target, language, metric, value FROM scores WHERE study = '{study}' AND intermediate = '{row}' \
         AND (layer IS NULL OR layer = 1) AND target IN ('{}')",
        tasks.join("', '")
    );
    let rows = trestle.query(&sql).into_iter();
    rows.map(|row| {
        let name = ["target", "language", "metric"].map(|name| row[name].as_str().unwrap().to_owned()).join(" ");
        (name, row["value"].as_f64().unwrap())
    })
    .collect()
}

/// What `score` says of a folder that has predictions and labels.
fn scored(trestle: &Trestle, out: &Path, suite: &str) -> Scores {
    let (predictions, labels) = (out.join("predictions"), out.join("labels"));
    let folders = ["score", "--predictions", text(&predictions), "--labels", text(&labels)];
    let submission: Value =
        trestle.ok(&[&folders[..], &["--suite", suite, "--allow-missing", "--json"]].concat()).json();
    let mut found = Scores::new();
    for score in submission["scores"].as_array().unwrap() {
        for language in score["languages"].as_array().unwrap() {
            let name = format!(
                "{} {} {}",
                score["task"].as_str().unwrap(),
                language[0].as_str().unwrap(),
                score["metric"].as_str().unwrap()
            );
            found.insert(name, language[1].as_f64().unwrap());
        }
    }
    found
}

#[test]
fn every_task_has_the_same_scores_in_the_store_and_outside_and_when_it_comes_back() {
    let trestle = Trestle::tiny();
    trestle.ok(&["run", "tiny-retrieval", "--device", "flex", "--workers", "2", "--quiet"]);
    choices(&trestle);
    for (study, row, suite, tasks) in [
        ("tiny", "mnli", "xtreme", &["xnli", "udpos", "xquad", "tatoeba"][..]),
        ("tiny", "mnli", "xtreme-r", &["xnli", "udpos", "xquad", "tatoeba"]),
        ("tiny-retrieval", "none", "xtreme", &["bucc2018", "tatoeba"]),
        ("tiny-retrieval", "none", "xtreme-r", &["lareqa", "mewslix", "tatoeba"]),
        ("imported", "choices", "xtreme-r", &["xcopa"]),
    ] {
        let name = format!("{study}-{suite}");
        let out = trestle.dir.path().join(&name);
        trestle.ok(&[
            "export",
            "submission",
            study,
            "--row",
            row,
            "--suite",
            suite,
            "--with-labels",
            "--output",
            text(&out),
        ]);
        let ours = stored(&trestle, study, row, tasks);
        let outside = scored(&trestle, &out, suite);
        for task in tasks {
            assert!(outside.keys().any(|name| name.starts_with(task)), "{task}: {outside:?}");
        }
        for (name, value) in &outside {
            assert!((value - ours[name]).abs() < 1e-9, "{study} {suite} {name}: {value} {}", ours[name]);
        }
        // The script has the first three values of a metric.
        let languages = |scores: &Scores| -> Vec<String> {
            let name = |name: &String| name.split(' ').take(2).collect::<Vec<_>>().join(" ");
            let mut names: Vec<String> = scores.keys().map(name).collect();
            names.dedup();
            names
        };
        assert_eq!(languages(&ours), languages(&outside), "{study} {suite}");
        let predictions = out.join("predictions");
        trestle.ok(&["import", "predictions", text(&predictions), "--suite", suite, "--name", &name]);
        assert_eq!(stored(&trestle, "imported", &name, tasks), ours, "{study} {suite}");
    }
}

/// An import of XCOPA, the first choice everywhere: no study of the tests has that task.
fn choices(trestle: &Trestle) {
    trestle.ok(&["normalize", "--task", "xcopa", "--suite", "xtreme-r", "--edition", "mini", "--quiet"]);
    let folder = trestle.dir.path().join("choices");
    std::fs::create_dir_all(folder.join("xcopa")).unwrap();
    let counts = "SELECT language, COUNT(*) AS n FROM canonical_xcopa WHERE split = 'test' GROUP BY language";
    for row in trestle.query(counts) {
        let file = folder.join(format!("xcopa/test-{}.jsonl", row["language"].as_str().unwrap()));
        let lines = row["n"].as_u64().unwrap() as usize;
        std::fs::write(file, "{\"label\": 0}\n".repeat(lines)).unwrap();
    }
    trestle.ok(&["import", "predictions", text(&folder), "--suite", "xtreme-r", "--name", "choices"]);
}
