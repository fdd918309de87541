//! Predictions in and out, scores and data in other forms, through the binary.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::Trestle;

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_submission_that_comes_back_has_the_scores_it_had() {
    let trestle = Trestle::tiny();
    let out = trestle.dir.path().join("out");
    let said = trestle.ok(&["export", "submission", "tiny", "--row", "mnli", "--with-labels", "--output", text(&out)]);
    assert!(said.out.contains("xquad: de en zh") && said.out.contains("not in this study: bucc2018"), "{}", said.out);
    let again = trestle.run(&["export", "submission", "tiny", "--row", "mnli", "--output", text(&out)]);
    assert_eq!(again.code, 3, "nothing is overwritten");
    assert!(again.err.contains("exists already"), "{}", again.err);

    let folder = out.join("predictions");
    let note = ["--note", "its own submission"];
    trestle.ok(&[&["import", "predictions", text(&folder), "--name", "copy"], &note[..]].concat());
    // Gold as predictions: nothing is missing then.
    trestle.ok(&["import", "predictions", text(&labels_as_predictions(&out)), "--name", "gold"]);

    let rows = |study: &str, row: &str| -> BTreeMap<String, String> {
        let sql = format!(
            "SELECT target, language, metric, value, ci_low, ci_high FROM scores WHERE study = '{study}' AND row = '{row}' \
             AND (layer IS NULL OR layer = 1)"
        );
        let rows = trestle.query(&sql).into_iter();
        rows.map(|row| {
            let name = ["target", "language", "metric"].map(|name| row[name].as_str().unwrap().to_owned()).join(" ");
            (name, format!("{} {} {}", row["value"], row["ci_low"], row["ci_high"]))
        })
        .collect()
    };
    let ours = rows("tiny", "mnli");
    assert!(ours.len() > 20 && ours == rows("imported", "copy"), "{ours:#?}\n{:#?}", rows("imported", "copy"));
    assert!(rows("imported", "gold").values().all(|value| value == "100.0 100.0 100.0"));

    let table = trestle.ok(&["report", "imported"]).out;
    assert!(table.contains("copy") && table.contains("gold") && table.contains("tatoeba"), "{table}");
    let compared = trestle.run(&["compare", "imported/gold", "imported/copy", "--target", "xnli", "--json"]);
    assert_eq!(compared.code, 9, "worse than gold: {}{}", compared.out, compared.err);
    let page = trestle.ok(&["report", "imported", "--format", "html"]).out;
    assert!(
        page.contains("no: another world (mini edition)") && !page.contains("<td class=\"words\">yes</td>"),
        "{page}"
    );
    assert!(page.contains("The mini edition is synthetic") && !page.contains("full: the real datasets"), "{page}");
    assert!(!page.contains("every cell is finished"), "{page}");
    let told = trestle.ok(&["explain", "imported/xnli/copy/de"]).out;
    assert!(told.contains("its own submission") && told.contains("file:xnli/test-de.tsv"), "{told}");
    trestle.ok(&["rescore", "imported"]);
    assert_eq!(trestle.ok(&["verify"]).code, 0);

    // Tables of another program; a name stands for what was imported last.
    let tables = trestle.dir.path().join("tables/xnli");
    std::fs::create_dir_all(&tables).unwrap();
    for (language, suffix) in [("de", "csv"), ("en", "parquet"), ("zh", "csv")] {
        let file = tables.join(format!("{language}.{suffix}"));
        let sql = format!(
            "SELECT example_id, prediction, confidence FROM predictions WHERE study = 'tiny' AND target = 'xnli' AND \
             row = 'chance' AND language = '{language}'"
        );
        trestle.ok(&["query", &sql, "--output", text(&file)]);
    }
    let tables = tables.parent().unwrap();
    trestle.ok(&["import", "predictions", text(tables), "--layout", "table", "--name", "copy"]);
    let of_xnli = |rows: BTreeMap<String, String>| -> BTreeMap<String, String> {
        rows.into_iter().filter(|(name, _)| name.starts_with("xnli")).collect()
    };
    assert_eq!(of_xnli(rows("tiny", "chance")), of_xnli(rows("imported", "copy")));
    trestle.ok(&["import", "predictions", text(&folder), "--name", "copy", "--task", "xnli"]);
    assert_eq!(of_xnli(ours), of_xnli(rows("imported", "copy")));
}

/// The labels of a submission in the form of predictions: only answers have another one.
fn labels_as_predictions(out: &Path) -> PathBuf {
    let labels = out.join("labels");
    for entry in std::fs::read_dir(labels.join("xquad")).unwrap().flatten() {
        let gold: Value = serde_json::from_slice(&std::fs::read(entry.path()).unwrap()).unwrap();
        let questions = gold["data"].as_array().unwrap().iter().map(|article| &article["paragraphs"][0]["qas"][0]);
        let answers: serde_json::Map<String, Value> =
            questions.map(|qa| (qa["id"].as_str().unwrap().to_owned(), qa["answers"][0]["text"].clone())).collect();
        std::fs::write(entry.path(), Value::Object(answers).to_string()).unwrap();
    }
    labels
}

/// A store with gold, and a folder of right predictions.
fn prepared() -> (Trestle, PathBuf) {
    let trestle = Trestle::new();
    trestle.ok(&["normalize", "tiny", "--quiet"]);
    let folder = trestle.dir.path().join("system");
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    for language in ["de", "en", "zh"] {
        let rows = |column: &str, task: &str| -> Vec<Value> {
            let sql =
                format!("SELECT {column} AS x FROM canonical_{task} WHERE split = 'test' AND language = '{language}'");
            trestle.query(&sql).into_iter().map(|row| row["x"].clone()).collect()
        };
        let labels: Vec<String> = rows("label", "xnli").iter().map(|x| x.as_str().unwrap().to_owned()).collect();
        write(&format!("xnli/test-{language}.tsv"), labels.join("\n") + "\n");
        let tags = rows("tags", "udpos");
        let sentences = tags.iter().map(|x| {
            x.as_array().unwrap().iter().map(|tag| tag.as_str().unwrap().to_owned() + "\n").collect::<String>() + "\n"
        });
        write(&format!("udpos/test-{language}.tsv"), sentences.collect());
        let answers: serde_json::Map<String, Value> =
            rows("example_id", "xquad").iter().map(|x| (x.as_str().unwrap().to_owned(), "x".into())).collect();
        write(&format!("xquad/test-{language}.json"), Value::Object(answers).to_string());
        if language != "en" {
            let count = rows("side", "tatoeba").iter().filter(|side| *side == "query").count();
            write(&format!("tatoeba/test-{language}.tsv"), "0\n".repeat(count));
        }
    }
    (trestle, folder)
}

#[test]
fn wrong_files_are_refused_by_name_and_nothing_is_kept() {
    let (trestle, folder) = prepared();
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    let check = |name: &str, bytes: &[u8], code: i32, says: &str| {
        let path = folder.join(name);
        let before = std::fs::read(&path).ok();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        let said = trestle.run(&["import", "predictions", text(&folder), "--name", "wrong"]);
        assert_eq!(said.code, code, "{name}: {}{}", said.out, said.err);
        assert!(said.err.contains(says), "{name}: `{says}` is not in {}", said.err);
        assert!(!said.err.contains("panicked"), "{}", said.err);
        match before {
            Some(before) => std::fs::write(&path, before).unwrap(),
            None => {
                std::fs::remove_file(&path).unwrap();
                // A folder of its own goes with it.
                let _ = std::fs::remove_dir(path.parent().unwrap());
            }
        }
    };
    let labels = read("xnli/test-de.tsv");
    let short = labels.lines().skip(1).map(|line| line.to_owned() + "\n").collect::<String>();
    check("xnli/test-de.tsv", short.as_bytes(), 5, "test-de.tsv: 19 lines, but 20 examples in ");
    check(
        "xnli/test-de.tsv",
        (labels.clone() + "neutral\n").as_bytes(),
        4,
        "test-de.tsv: 21 lines, but 20 examples in ",
    );
    check(
        "xnli/test-de.tsv",
        labels.replacen("neutral", "maybe", 1).as_bytes(),
        4,
        "`maybe` is no label of task xnli; its labels: ",
    );
    check("xnli/test-de.tsv", b"", 4, "test-de.tsv: line 1: the file is empty");
    check("xnli/test-de.tsv", b"neutral\nneu\xfftral\n", 4, "test-de.tsv: line 2: is not UTF-8");
    check("xnli/test-sw.tsv", labels.as_bytes(), 4, "has no language `sw`; it has de, en, zh");
    check("xnli/test-de.csv", b"", 0, "");
    let tags = read("udpos/test-de.tsv");
    check("udpos/test-de.tsv", (tags.clone() + "NOUN\n").as_bytes(), 4, " sentences, but ");
    check("udpos/test-de.tsv", ("NOUN\n".to_owned() + &tags).as_bytes(), 4, "test-de.tsv: line 1: ");
    check("udpos/test-de.tsv", ("NOUN\n".to_owned() + &tags).as_bytes(), 4, "; give one a word");
    check(
        "udpos/test-de.tsv",
        tags.replacen("NOUN", "NOON", 1).as_bytes(),
        4,
        "`NOON` is no tag of task udpos; its tags: ADJ, ",
    );
    let answers = read("xquad/test-de.json");
    let first = answers.split('"').nth(1).unwrap().to_owned();
    check(
        "xquad/test-de.json",
        answers.replacen(&first, "not-asked", 1).as_bytes(),
        4,
        "`not-asked` is not in the gold, ",
    );
    let one_less = answers.replacen(&format!("\"{first}\":\"x\","), "", 1);
    check("xquad/test-de.json", one_less.as_bytes(), 5, &format!("no prediction for example `{first}`"));
    let twice = answers.replacen('{', &format!("{{\"{first}\":\"y\","), 1);
    check("xquad/test-de.json", twice.as_bytes(), 4, &format!("example `{first}`: stands twice"));
    check("xquad/test-de.json", b"[1]", 4, "expected one object of question id to answer");
    check("xquad/test-de.json", tags.as_bytes(), 4, "expected one object of question id to answer");
    let numbers = read("tatoeba/test-de.tsv");
    check(
        "tatoeba/test-de.tsv",
        numbers.replacen('0', "99", 1).as_bytes(),
        4,
        "line 1: `99` is not the line of one of 15 sentences",
    );
    check("tatoeba/test-de.tsv", numbers.replacen('0', "en-0", 1).as_bytes(), 4, "line 1: `en-0` is not the line");
    check("tatoeba/test-de.tsv", numbers.replacen('0', "+1", 1).as_bytes(), 4, "line 1: `+1` is not the line");
    // What an editor leaves is read as the score command reads it: a mark before the text, carriage returns.
    check("xnli/test-de.tsv", format!("\u{feff}{}", labels.replace('\n', "\r")).as_bytes(), 0, "");
    check("xcopa/test-et.tsv", b"0\n", 3, "folder `xcopa` is of no task of suite xtreme (it is of xtreme-r)");
    check("glue/test-en.tsv", b"0\n", 3, "folder `glue` is of no task of suite xtreme; ");
    check(
        "pawsx/test-de.tsv",
        b"0\n",
        5,
        "the store holds no canonical table of split test of task `pawsx`; make it with `trestle normalize",
    );
    check("panx/panx.json", b"{}", 3, "expected panx/test-LANGUAGE.tsv, and found panx.json; is it another task's?");
    assert!(trestle.artifacts("import").len() <= 5, "of those that pass");

    let run = |arguments: &[&str]| trestle.run(&[&["import", "predictions"], arguments].concat());
    std::fs::remove_file(folder.join("xnli/test-zh.tsv")).unwrap();
    let said = run(&[text(&folder), "--name", "wrong"]);
    assert_eq!(said.code, 5, "{}", said.err);
    assert!(said.err.contains("no predictions in `zh`, which the gold of task xnli has"), "{}", said.err);
    let said = run(&[text(&folder), "--name", "wrong", "--task", "xcopa"]);
    assert!(said.code == 3 && said.err.contains("suite xtreme has no task `xcopa`"), "{}", said.err);
    for name in ["", "chance", "a/b", "../up", "a b"] {
        let said = run(&[text(&folder), "--name", name]);
        assert!(said.code == 2 && said.err.contains("can't be a system's name"), "{name}: {}", said.err);
    }
    let empty = trestle.dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let said = run(&[text(&empty), "--name", "wrong"]);
    assert!(said.code == 3 && said.err.contains("has no folder of a task of suite xtreme"), "{}", said.err);
    assert_eq!(run(&[text(&trestle.dir.path().join("gone")), "--name", "wrong"]).code, 5);
}

#[test]
fn wrong_tables_are_refused_by_row_and_column() {
    let (trestle, _) = prepared();
    let folder = trestle.dir.path().join("tables");
    std::fs::create_dir_all(folder.join("xnli")).unwrap();
    let ids = trestle.query("SELECT example_id FROM canonical_xnli WHERE split = 'test' AND language = 'de'");
    let ids: Vec<&str> = ids.iter().map(|row| row["example_id"].as_str().unwrap()).collect();
    let table = |header: &str, row: &dyn Fn(usize, &str) -> String| {
        let rows: String = ids.iter().enumerate().map(|(place, id)| row(place, id) + "\n").collect();
        format!("{header}\n{rows}")
    };
    let good = table("example_id,prediction", &|_, id| format!("{id},neutral"));
    for language in ["de", "en", "zh"] {
        std::fs::write(folder.join(format!("xnli/{language}.csv")), &good).unwrap();
    }
    let import = || trestle.run(&["import", "predictions", text(&folder), "--layout", "table", "--name", "wrong"]);
    for (content, code, says) in [
        (
            table("example_id,label", &|_, id| format!("{id},neutral")),
            4,
            "has no column `prediction`; its columns may be",
        ),
        (table("example_id,prediction,tongue", &|_, id| format!("{id},neutral,x")), 4, "has a column `tongue`"),
        (
            table("example_id,prediction,language", &|_, id| format!("{id},neutral,fi")),
            4,
            "row 1: is of language `fi`; this file is of `de`",
        ),
        (
            table("example_id,prediction,confidence", &|_, id| format!("{id},neutral,sure")),
            4,
            "row 1: `sure` in column `confidence` is not a number",
        ),
        (
            table("example_id,prediction,null_score_difference", &|_, id| format!("{id},neutral,NaN")),
            4,
            "row 1: its null_score_difference is not a number",
        ),
        (
            table("example_id,prediction,prediction", &|_, id| format!("{id},maybe,neutral")),
            4,
            "has a column `prediction` twice; keep one",
        ),
        (table("example_id,prediction,pooling", &|_, id| format!("{id},neutral,max")), 4, "`max` is no pooling"),
        (
            table("example_id,prediction", &|place, id| format!("{},neutral", if place == 3 { "9999" } else { id })),
            4,
            "row 4: `9999` is not in the gold",
        ),
        (good.clone() + &format!("{},neutral\n", ids[2]), 4, "row 21: `3` is answered twice"),
        (good.lines().take(20).collect::<Vec<_>>().join("\n"), 5, "no prediction for example `20`"),
        (good.replacen("neutral", "", 1), 4, "row 1: `` is no label"),
        ("example_id,prediction\n".to_owned(), 4, "is empty"),
        ("example_id,prediction\n1,neutral,x\n".to_owned(), 4, "is no CSV table"),
    ] {
        std::fs::write(folder.join("xnli/de.csv"), content).unwrap();
        let said = import();
        assert_eq!(said.code, code, "{says}: {}", said.err);
        assert!(said.err.contains(says), "`{says}` is not in {}", said.err);
    }
    std::fs::write(folder.join("xnli/de.csv"), &good).unwrap();
    std::fs::write(folder.join("xnli/de.parquet"), b"PAR1").unwrap();
    let said = import();
    assert!(said.code == 3 && said.err.contains("two files for one language"), "{}", said.err);
    std::fs::remove_file(folder.join("xnli/de.csv")).unwrap();
    let said = import();
    assert!(said.code == 4 && said.err.contains("de.parquet"), "{}", said.err);
    assert!(trestle.artifacts("import").is_empty() && !trestle.home().join("results/scores").exists());
}

#[test]
fn scores_and_data_leave_in_other_forms() {
    let trestle = Trestle::tiny();
    let out = |name: &str| trestle.dir.path().join("out").join(name);
    let value = trestle.query(
        "SELECT value FROM scores WHERE target = 'xnli' AND row = 'multi' AND language = 'zh' AND study = 'tiny'",
    );
    let value = value[0]["value"].as_f64().unwrap();
    let export =
        |what: &str, name: &str| trestle.ok(&["export", what, "tiny", "--row", "multi", "--output", text(&out(name))]);
    let read = |name: &str| -> Value { serde_json::from_slice(&std::fs::read(out(name)).unwrap()).unwrap() };
    export("mteb", "mteb");
    let file = read("mteb/xnli.json");
    let chinese = file["scores"]["test"].as_array().unwrap().iter().find(|entry| entry["hf_subset"] == "zh").unwrap();
    assert!((chinese["main_score"].as_f64().unwrap() * 100.0 - value).abs() < 1e-9);
    assert_eq!(chinese["languages"][0], "cmn-Hani");
    export("lm-eval", "lm.json");
    assert_eq!(read("lm.json")["results"]["xnli_zh"]["accuracy,none"], chinese["accuracy"]);
    export("model-index", "card.md");
    let card = std::fs::read_to_string(out("card.md")).unwrap();
    assert!(card.contains(&format!("value: {value:?}")), "{card}");
    // Only metrics, and no file with another mode than any other new one.
    let told = [std::fs::read_to_string(out("lm.json")).unwrap(), read("mteb/xquad.json").to_string(), card];
    assert!(told.iter().all(|text| text.contains("exact_match") && !text.contains("mean of")));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let plain = out("plain");
        std::fs::write(&plain, "").unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        for name in ["lm.json", "card.md", "mteb/xnli.json", "mteb/model_meta.json"] {
            assert_eq!(mode(&out(name)), mode(&plain), "{name}");
        }
    }
    // A model for each target, and a revision that all of them make.
    let of_task = |task: &str| read("lm.json")["configs"][format!("{task}_zh")]["metadata"]["model_key"].clone();
    let manifests = trestle.manifests();
    for task in ["xnli", "xquad", "udpos"] {
        let label = format!("tiny:target/{task}/multi/seed-1");
        let model = manifests.iter().find(|m| m["stage"] == "train" && m["label"] == label).unwrap();
        assert_eq!(
            (&of_task(task), &read(&format!("mteb/{task}.json"))["scores"]["test"][0]["model_key"]),
            (&model["key"], &model["key"])
        );
    }
    let revision = &read("lm.json")["config"]["model_revision"];
    assert_eq!(revision, &read("mteb/model_meta.json")["revision"]);
    assert!(manifests.iter().all(|m| m["key"] != *revision), "no single model's");
    trestle.ok(&["export", "croissant", "--task", "xnli,tatoeba", "--output", text(&out("data"))]);
    let metadata = read("data/xnli/croissant.json");
    // Invented rows are not the dataset that the task file cites.
    assert_eq!(metadata["creator"], serde_json::json!({"@type": "sc:Organization", "name": "Trestle"}));
    assert_eq!(metadata["license"], "https://spdx.org/licenses/Apache-2.0");
    assert!(metadata["description"].as_str().unwrap().contains("mini edition"), "{metadata}");
    assert!(["url", "citeAs", "datePublished"].iter().all(|name| metadata.get(name).is_none()), "{metadata}");
    let normalized = manifests.iter().find(|m| m["label"] == "tiny:normalize/xnli").unwrap();
    assert_eq!(metadata["version"], format!("1.0.0+{}", &normalized["digest"].as_str().unwrap()[..12]));
    let file = metadata["distribution"].as_array().unwrap().iter().find(|file| file["@id"] == "test.parquet").unwrap();
    let bytes = std::fs::read(out("data/xnli/test.parquet")).unwrap();
    assert_eq!(file["contentSize"], format!("{} B", bytes.len()));
    let digest: String = sha2::Digest::finalize(<sha2::Sha256 as sha2::Digest>::new_with_prefix(&bytes))
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(file["sha256"], digest);
    let said = trestle.run(&["export", "croissant", "--task", "pawsx", "--output", text(&out("none"))]);
    assert!(said.code == 5 && !out("none").exists(), "{}", said.err);
    let said = trestle.run(&["export", "mteb", "tiny", "--row", "snli", "--output", text(&out("none"))]);
    assert!(
        said.code == 3 && said.err.contains("no row `snli` in results; there is: chance, mnli, multi, none"),
        "{}",
        said.err
    );
}

/// Raw files of a task whose gold is the mock's labels, in the layout of its original.
fn raw_of_mock(labels: &Path, task: &trestle::task::Task, language: &trestle::task::Language, data: &Path) {
    let code = language.code.as_str();
    let json_or_lines = labels.join(format!("{}/test-{code}", task.id));
    let lines = || std::fs::read_to_string(json_or_lines.with_extension("tsv")).unwrap();
    let write = |name: String, text: String| {
        let path = data.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let words = |word: &dyn Fn(usize, &str) -> String| -> String {
        let line = |(at, tag): (usize, &str)| if tag.is_empty() { "\n".to_owned() } else { word(at, tag) + "\n" };
        lines().lines().enumerate().map(line).collect()
    };
    match task.id.as_str() {
        "xquad" | "mlqa" => {
            let name = match task.id.as_str() {
                "xquad" => format!("xquad/xquad.{code}.json"),
                _ => format!("MLQA_V1/test/test-context-{code}-question-{code}.json"),
            };
            write(name, std::fs::read_to_string(json_or_lines.with_extension("json")).unwrap());
        }
        "pawsx" => {
            let rows =
                lines().lines().enumerate().map(|(at, label)| format!("{at}\ta\tb\t{label}\n")).collect::<String>();
            write(format!("x-final/{code}/test_2k.tsv"), format!("id\tsentence1\tsentence2\tlabel\n{rows}"));
        }
        "panx" => write(format!("panx_dataset/{code}/test"), words(&|at, tag| format!("{code}:w{at}\t{tag}"))),
        _ => {
            let row = |at: usize, tag: &str| format!("{}\tw{at}\t_\t{tag}\t_\t_\t0\troot\t_\t_", at + 1);
            // Numbers begin again with each sentence.
            let mut number = 0;
            let text: String = lines()
                .lines()
                .map(|tag| {
                    number = if tag.is_empty() { 0 } else { number + 1 };
                    if tag.is_empty() { "\n".to_owned() } else { row(number - 1, tag) + "\n" }
                })
                .collect();
            write(format!("ud-treebanks-v2.5/UD_{}-Mock/{code}_mock-ud-test.conllu", language.name), text);
        }
    }
}

#[test]
#[ignore = "needs TRESTLE_SHARED"]
fn the_mock_submission_scores_as_evaluate_py_scores_it_and_leaves_as_it_came() {
    let mock = support::shared().join("real/xtreme_mock");
    let expected: Value =
        serde_json::from_slice(&std::fs::read(mock.join("expected_scores.seqeval-0.0.12.json")).unwrap()).unwrap();
    let registry = trestle::task::Registry::load(&[]).unwrap();
    let trestle = Trestle::new();
    let (data, files) = (trestle.dir.path().join("data"), trestle.dir.path().join("tasks"));
    std::fs::create_dir_all(&files).unwrap();
    let tasks = ["xquad", "mlqa", "pawsx", "panx", "udpos"];
    for id in tasks {
        let mut task = registry.task(id, "").unwrap().clone();
        for language in &task.languages {
            raw_of_mock(&mock.join("labels"), &task, registry.language(language, "").unwrap(), &data);
        }
        // The test split alone, in any number of examples.
        task.source.hub = None;
        task.source.directory.as_mut().unwrap().files.retain(|split, _| *split == trestle::task::Split::Test);
        task.expect.clear();
        std::fs::write(files.join(format!("{id}.toml")), toml::to_string(&task).unwrap()).unwrap();
    }
    let run = |arguments: &[&str]| {
        let output = trestle.command(arguments).arg("--tasks").arg(&files).output().unwrap();
        let said = support::said(&output);
        assert_eq!(said.code, 0, "{arguments:?}: {}{}", said.out, said.err);
        said
    };
    let chosen = tasks.join(",");
    let mock_predictions = mock.join("predictions");
    let import = ["import", "predictions", text(&mock_predictions), "--name", "mock", "--task", &chosen];
    run(&[&import[..], &["--data", text(&data), "--allow-count-drift", "--quiet"]].concat());
    let page = run(&["report", "imported", "--format", "html"]).out;
    assert!(page.contains("full: the real datasets") && !page.contains("mini edition"), "{page}");
    let mut compared = 0;
    for row in trestle.query("SELECT target, language, metric, value FROM scores WHERE study = 'imported'") {
        let [target, language, metric] = ["target", "language", "metric"].map(|name| row[name].as_str().unwrap());
        // Rows beside the official ones are checked where metrics are.
        let Some(expected) = expected["xtreme"][target][language][metric].as_f64() else { continue };
        let value = row["value"].as_f64().unwrap();
        assert!((value - expected).abs() < 1e-9, "{target} {language} {metric}: {value} {expected}");
        compared += 1;
    }
    assert_eq!(compared, (11 + 7) * 2 + 7 + (40 + 33) * 3);

    let out = trestle.dir.path().join("out");
    run(&["export", "submission", "imported", "--row", "mock", "--with-labels", "--output", text(&out)]);
    for side in ["predictions", "labels"] {
        for id in tasks {
            for entry in std::fs::read_dir(mock.join(side).join(id)).unwrap().flatten() {
                let [theirs, ours] = [entry.path(), out.join(side).join(id).join(entry.file_name())]
                    .map(|path| std::fs::read_to_string(path).unwrap());
                if entry.path().extension().is_some_and(|suffix| suffix == "tsv") {
                    assert_eq!(theirs.trim_end(), ours.trim_end(), "{}", entry.path().display());
                } else if side == "predictions" {
                    let [theirs, ours] = [theirs, ours].map(|text| serde_json::from_str::<Value>(&text).unwrap());
                    assert_eq!(theirs, ours, "{}", entry.path().display());
                }
            }
        }
    }
    let folders =
        ["--predictions", text(&out.join("predictions")), "--labels", text(&out.join("labels"))].map(str::to_owned);
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    run(&[&["score", "--suite", "xtreme", "--task", &chosen], &folders[..]].concat());
}
