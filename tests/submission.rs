//! A row in XTREME's layout: it is scored there as it is in the store, and comes back as it left. What only some tasks have:
//! pairs, rankings, languages that a suite added.

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
        "SELECT target, language, metric, value FROM scores WHERE study = '{study}' AND row = '{row}' \
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

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn pairs_and_rankings_are_checked_before_anything_is_kept() {
    let trestle = Trestle::new();
    trestle.ok(&["normalize", "tiny-retrieval", "--quiet"]);
    let ids = |task: &str, language: &str, side: &str| -> Vec<String> {
        let sql = format!(
            "SELECT example_id FROM canonical_{task} WHERE split = 'test' AND language = '{language}' AND side = '{side}'"
        );
        trestle.query(&sql).iter().map(|row| row["example_id"].as_str().unwrap().to_owned()).collect()
    };
    let folder = trestle.dir.path().join("system");
    let import = |layout: &str, task: &str| {
        let suite = if task == "lareqa" { "xtreme-r" } else { "xtreme" };
        let choice = ["--layout", layout, "--suite", suite, "--task", task, "--name", "system"];
        trestle.run(&[&["import", "predictions", text(&folder)], &choice[..]].concat())
    };

    // A query may have several counterparts, and a pair stands for itself however often it is written.
    for language in ["de", "zh"] {
        let (queries, index) = (ids("bucc2018", language, "query"), ids("bucc2018", language, "index"));
        let line = |found: usize| format!("{}\t{}\n", queries[0], index[found]);
        write(&folder.join(format!("bucc2018/test-{language}.tsv")), &[line(1), line(0), line(1)].concat());
    }
    let said = import("xtreme", "bucc2018");
    assert_eq!(said.code, 0, "{}", said.err);
    let ranks = "SELECT rank, prediction FROM predictions WHERE study = 'imported' AND language = 'de' ORDER BY rank";
    let index = ids("bucc2018", "de", "index");
    let expected = [
        serde_json::json!({"rank": 1, "prediction": index[1]}),
        serde_json::json!({"rank": 2, "prediction": index[0]}),
    ];
    assert_eq!(trestle.query(ranks), expected);
    let german = folder.join("bucc2018/test-de.tsv");
    let labels = trestle.dir.path().join("labels");
    write(&labels.join("bucc2018/test-de.tsv"), &std::fs::read_to_string(&german).unwrap());
    let score = ["score", "--predictions", text(&folder), "--labels", text(&labels), "--task", "bucc2018"];
    for content in ["", "\n", "\u{feff}"] {
        write(&german, content);
        for said in [import("xtreme", "bucc2018"), trestle.run(&[&score[..], &["--allow-missing"]].concat())] {
            assert_eq!(said.code, 4, "{}", said.err);
            assert!(said.err.contains("test-de.tsv: line 1: the file is empty; expected a line"), "{}", said.err);
        }
    }

    let kept = trestle.artifacts("import").len();
    let answer = ids("lareqa", "en", "index").swap_remove(0);
    let ranking = |language: &str, layer: u32, ranks: &[(&str, u32)]| {
        let row = |query: &String| -> String {
            ranks.iter().map(|(language, rank)| format!("{query},{language}:{answer},{rank},{layer}\n")).collect()
        };
        let rows: String = ids("lareqa", language, "query").iter().map(row).collect();
        write(&folder.join(format!("lareqa/{language}.csv")), &format!("example_id,prediction,rank,layer\n{rows}"));
    };
    for (layer, ranks, code, says) in [
        (0, &[("en", 1), ("en", 2)][..], 4, "de.csv: row 2: `en:"),
        (0, &[("en", 1), ("de", 1)], 4, "de.csv: row 2: "),
        (0, &[], 4, "de.csv: is empty"),
        (1, &[("en", 1)], 5, "en.csv: predictions for layers 0, but 1 in the languages before"),
        (0, &[("en", 3)], 0, ""),
    ] {
        ["en", "zh"].iter().for_each(|language| ranking(language, 0, &[("en", 1)]));
        ranking("de", layer, ranks);
        let said = import("table", "lareqa");
        assert_eq!(said.code, code, "{}", said.err);
        assert!(said.err.contains(says), "`{says}` is not in {}", said.err);
        assert_eq!(trestle.artifacts("import").len(), kept + usize::from(code == 0), "{says}");
    }
}

#[test]
fn an_import_is_in_the_languages_of_its_suite() {
    let trestle = Trestle::new();
    let mut task = trestle::task::Registry::load(&[]).unwrap().task("panx", "").unwrap().clone();
    task.languages = ["de", "en"].map(str::to_owned).into();
    let files = trestle.dir.path().join("tasks");
    write(&files.join("panx.toml"), &toml::to_string(&task).unwrap());
    for (suite, languages) in [("xtreme", "\"de\", \"en\""), ("xtreme-r", "\"de\", \"en\", \"fi\"")] {
        let text = format!(
            "id = \"{suite}\"\ntitle = \"\"\ngroups = []\n[[tasks]]\nid = \"panx\"\nlanguages = [{languages}]\n"
        );
        write(&files.join(format!("suites/{suite}.toml")), &text);
    }
    let run =
        |arguments: &[&str]| support::said(&trestle.command(arguments).arg("--tasks").arg(&files).output().unwrap());
    let made = run(&["normalize", "--task", "panx", "--suite", "xtreme-r", "--mini-size", "0.05", "--quiet"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let folder = trestle.dir.path().join("system");
    let give = |language: &str| {
        let sql = format!("SELECT tags FROM canonical_panx WHERE split = 'test' AND language = '{language}'");
        let sentence = |row: &Value| "O\n".repeat(row["tags"].as_array().unwrap().len()) + "\n";
        let text: String = trestle.query(&sql).iter().map(sentence).collect();
        write(&folder.join(format!("panx/test-{language}.tsv")), &text);
    };
    let import = |suite: &str| run(&["import", "predictions", text(&folder), "--suite", suite, "--name", "system"]);
    ["de", "en"].into_iter().for_each(give);
    let said = import("xtreme");
    assert_eq!(said.code, 0, "{}", said.err);
    let scored = trestle.query("SELECT DISTINCT language FROM scores WHERE study = 'imported' ORDER BY language");
    assert_eq!(scored, ["de", "en"].map(|language| serde_json::json!({"language": language})));
    // What that suite does not have is not missing.
    let whole = "SELECT DISTINCT missing FROM summaries WHERE study = 'imported' AND \"group\" = 'all'";
    assert_eq!(trestle.query(whole), [serde_json::json!({"missing": ""})]);
    let said = run(&["rescore", "imported"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let said = import("xtreme-r");
    assert!(said.code == 5 && said.err.contains("no predictions in `fi`"), "{}", said.err);
    give("fi");
    let said = import("xtreme");
    assert!(
        said.code == 4 && said.err.contains("for suite xtreme has no language `fi`; it has de, en"),
        "{}",
        said.err
    );
    let said = import("xtreme-r");
    assert_eq!(said.code, 0, "{}", said.err);
    // Finnish, which it has, is in the groups by its traits.
    let family = "SELECT DISTINCT languages FROM summaries WHERE study = 'imported' AND \"group\" = 'family=Uralic'";
    assert_eq!(trestle.query(family), [serde_json::json!({"languages": 1})]);
    for (suite, languages) in [("xtreme", "panx: de en\n"), ("xtreme-r", "panx: de en fi\n")] {
        let out = trestle.dir.path().join(suite);
        let said =
            run(&["export", "submission", "imported", "--row", "system", "--suite", suite, "--output", text(&out)]);
        assert!(said.code == 0 && said.out.contains(languages), "{}{}", said.out, said.err);
    }
}
