//! `trestle compare` through the binary, on results whose differences are known.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Builder, Int32Array, ListBuilder, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field};
use serde_json::{Value, json};
use support::Trestle;

/// One row and seed on one target: the languages with which examples are right.
struct Run<'a> {
    row: &'a str,
    seed: u64,
    layer: Option<i32>,
    languages: Vec<(&'a str, Vec<bool>)>,
}

fn run<'a>(row: &'a str, seed: u64, languages: Vec<(&'a str, Vec<bool>)>) -> Run<'a> {
    Run { row, seed, layer: None, languages }
}

/// The first `right` of `of` examples are right.
fn first(right: usize, of: usize) -> Vec<bool> {
    (0..of).map(|example| example < right).collect()
}

fn text<'a>(values: impl IntoIterator<Item = &'a str>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn write(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    trestle::shard::write_table(path, &batch.schema(), &[], &[batch]).unwrap();
}

/// Writes what the study's results hold of one target: example scores of accuracies, and the runs behind them.
fn publish(home: &Path, study: &str, target: &str, runs: &[Run<'_>]) {
    let part = format!("study={study}/target={target}/part-00000.parquet");
    let mut rows: Vec<(&Run<'_>, &str, String, bool)> = Vec::new();
    for run in runs {
        for (language, examples) in &run.languages {
            rows.extend(
                examples.iter().enumerate().map(|(id, right)| (run, *language, format!("{language}-{id:04}"), *right)),
            );
        }
    }
    let item = Field::new("item", DataType::Float64, false);
    let mut statistics = ListBuilder::new(Float64Builder::new()).with_field(item);
    for (.., right) in &rows {
        statistics.values().append_slice(&[f64::from(u8::from(*right)), 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        statistics.append(true);
    }
    write(
        &home.join("results/example_scores").join(&part),
        vec![
            ("row", text(rows.iter().map(|row| row.0.row))),
            ("seed", Arc::new(UInt64Array::from_iter_values(rows.iter().map(|row| row.0.seed)))),
            ("language", text(rows.iter().map(|row| row.1))),
            ("layer", Arc::new(rows.iter().map(|row| row.0.layer).collect::<Int32Array>())),
            ("pooling", Arc::new(rows.iter().map(|row| row.0.layer.map(|_| "mean")).collect::<StringArray>())),
            ("example_id", text(rows.iter().map(|row| row.2.as_str()))),
            ("statistics", Arc::new(statistics.finish())),
        ],
    );
    let parameters = r#"{"model": {"retrieval": {"layers": [2, 1], "pooling": "mean"}}}"#;
    write(
        &home.join("results/runs").join(&part),
        vec![("row", text(runs.iter().map(|run| run.row))), ("parameters", text(runs.iter().map(|_| parameters)))],
    );
}

/// Results in which row `mnli` is better on xnli in Finnish, alike in Swahili, and worse on pawsx.
fn published() -> Trestle {
    let trestle = Trestle::new();
    let home = trestle.home();
    let of = |fi, sw| vec![("en", first(80, 100)), ("fi", first(fi, 100)), ("sw", first(sw, 100))];
    publish(&home, "known", "xnli", &[run("none", 1, of(40, 40)), run("mnli", 1, of(70, 41))]);
    let of = |de| vec![("de", first(de, 200)), ("en", first(150, 200))];
    publish(&home, "known", "pawsx", &[run("none", 1, of(120)), run("mnli", 1, of(90))]);
    trestle
}

fn differences(trestle: &Trestle, arguments: &[&str]) -> (i32, Vec<Value>) {
    let arguments = [&["compare"], arguments, &["--json"]].concat();
    let said = trestle.run(&arguments);
    let report: Value = said.json();
    (said.code, report["differences"].as_array().unwrap().clone())
}

/// `target scope difference verdict` of each.
fn shown(differences: &[Value]) -> Vec<String> {
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    let one = |one: &Value| {
        let number = one["difference"].as_f64().unwrap();
        format!("{} {} {number:.1} {}", text(one, "target"), text(one, "scope"), text(one, "verdict"))
    };
    differences.iter().map(one).collect()
}

#[test]
fn what_is_worse_makes_the_exit_code() {
    let trestle = published();
    let (code, found) = differences(&trestle, &["known/none", "known/mnli"]);
    assert_eq!(shown(&found), ["pawsx non-english -15.0 worse", "xnli non-english 15.5 better"]);
    assert_eq!(code, 9);
    let xnli = ["known/none", "known/mnli", "--target", "xnli"];
    assert_eq!(differences(&trestle, &xnli).0, 0);
    assert_eq!(differences(&trestle, &[&xnli[..], &["--fail-on", "any"]].concat()).0, 9);
    assert_eq!(differences(&trestle, &["known/none", "known/mnli", "--fail-on", "never"]).0, 0);
    // The other way round nothing is worse on pawsx.
    let (code, found) = differences(&trestle, &["known/mnli", "known/none", "--target", "pawsx"]);
    assert_eq!((code, shown(&found)), (0, vec!["pawsx non-english 15.0 better".to_owned()]));
    assert_eq!(differences(&trestle, &["known", "known"]).0, 0);
}

#[test]
fn languages_and_groups_have_their_own_differences() {
    let trestle = published();
    let of = |arguments: &[&str]| {
        let arguments = [&["known/none", "known/mnli", "--target", "xnli"], arguments].concat();
        differences(&trestle, &arguments)
    };
    let by_language = ["xnli en 0.0 no-clear-difference", "xnli fi 30.0 better", "xnli sw 1.0 no-clear-difference"];
    assert_eq!(shown(&of(&["--language", "all"]).1), by_language);
    assert_eq!(shown(&of(&["--language", "fi,sw"]).1), by_language[1..]);
    let by_family = ["xnli family=Niger-Congo 1.0 no-clear-difference", "xnli family=Uralic 30.0 better"];
    assert_eq!(shown(&of(&["--group", "family"]).1), by_family);
    assert_eq!(
        shown(&of(&["--group", "resource"]).1),
        ["xnli resource=high 30.0 better", "xnli resource=low 1.0 no-clear-difference"]
    );
    // One example of Swahili went one way: p is 1, and Holm's correction leaves it there.
    let swahili = &of(&["--language", "all"]).1[2];
    assert_eq!(
        (swahili["p_value"].as_f64(), swahili["p_adjusted"].as_f64(), swahili["examples"].as_u64()),
        (Some(1.0), Some(1.0), Some(100))
    );
}

#[test]
fn the_formats_say_the_same() {
    let trestle = published();
    let of = |format: &str| trestle.run(&["compare", "known/none", "known/mnli", "--format", format]).out;
    let table = of("table");
    for want in
        ["A: known/none", "−15.0", "+15.5", "worse", "better", "Holm's correction over 2 differences", "One seed"]
    {
        assert!(table.contains(want), "{want} is not in\n{table}");
    }
    let markdown = of("markdown");
    let lines: Vec<&str> = markdown.lines().filter(|line| line.starts_with('|')).collect();
    assert!(
        lines.len() == 4 && lines.iter().all(|line| line.matches('|').count() == lines[0].matches('|').count()),
        "{markdown}"
    );
    let csv = of("csv");
    let mut lines = csv.lines();
    let head: Vec<&str> = lines.next().unwrap().split(',').collect();
    let line: Vec<&str> = lines.next().unwrap().split(',').collect();
    let field = |name: &str| line[head.iter().position(|column| *column == name).unwrap()];
    assert_eq!((field("target"), field("difference"), field("verdict")), ("pawsx", "-15.0", "worse"));
    assert_eq!(of("json"), trestle.run(&["compare", "known/none", "known/mnli", "--json"]).out);
}

#[test]
fn two_stores_are_compared_row_by_row_and_seed_by_seed() {
    let (before, after) = (Trestle::new(), Trestle::new());
    let of = |fi| vec![("fi", first(fi, 300))];
    let seeds = |row, base: usize| (1..4).map(move |seed| run(row, seed, of(base + seed as usize)));
    let rows: Vec<Run<'_>> = seeds("none", 100).chain(seeds("mnli", 150)).chain([run("ccg", 1, of(90))]).collect();
    publish(&before.home(), "known", "xnli", &rows);
    let rows: Vec<Run<'_>> = seeds("none", 100).chain(seeds("mnli", 100)).collect();
    publish(&after.home(), "known", "xnli", &rows);
    let home_b = after.home().display().to_string();
    let said = before.run(&["compare", "known", "known", "--home-b", &home_b, "--json"]);
    assert_eq!(said.code, 9, "{}{}", said.out, said.err);
    let report: Value = said.json();
    let rows: Vec<(&str, u64, &str)> = report["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["row"].as_str().unwrap(), one["seeds"].as_u64().unwrap(), one["verdict"].as_str().unwrap()))
        .collect();
    assert_eq!(rows, [("none", 3, "no-clear-difference"), ("mnli", 3, "worse")]);
    assert_eq!(report["not_compared"], json!(["xnli, ccg: only in A"]));
    let home_b = before.home().display().to_string();
    let said = after.run(&["compare", "known", "known", "--home-b", &home_b]);
    assert!(said.out.contains("not compared: xnli, ccg: only in B"), "{}", said.out);
}

#[test]
fn what_was_asked_for_and_is_not_there_is_told() {
    let trestle = published();
    let not_compared = |arguments: &[&str]| -> Value {
        let report: Value = trestle.run(&[&["compare"], arguments, &["--json"]].concat()).json();
        report["not_compared"].clone()
    };
    let rows = ["known/none", "known/mnli"];
    let told = not_compared(&[&rows[..], &["--language", "de,fi"]].concat());
    assert_eq!(told, json!(["pawsx: no language `fi`", "xnli: no language `de`"]));
    assert_eq!(not_compared(&[&rows[..], &["--language", "all"]].concat()), json!([]));
    let csv = trestle.run(&["compare", rows[0], rows[1], "--language", "de,fi", "--format", "csv"]);
    assert_eq!(csv.err, "not compared: pawsx: no language `fi`\nnot compared: xnli: no language `de`\n");
    let english = |row| run(row, 1, vec![("en", first(40, 100))]);
    publish(&trestle.home(), "known", "udpos", &[english("none"), english("mnli")]);
    let told = not_compared(&[&rows[..], &["--group", "family"]].concat());
    assert_eq!(told, json!(["udpos: only the source language, which is in no group by family"]));

    // Seeds that one of them has alone; of two single ones, those are compared.
    let of = |row, seed| run(row, seed, vec![("fi", first(40, 100))]);
    let seeds = [of("none", 1), of("none", 2), of("none", 3), of("mnli", 1), of("ccg", 2), of("ccg", 4)];
    publish(&trestle.home(), "seeds", "xnli", &seeds);
    assert_eq!(not_compared(&["seeds/none", "seeds/mnli"]), json!(["xnli, seed-2, seed-3: only in A"]));
    let told = not_compared(&["seeds/ccg", "seeds/none"]);
    assert_eq!(told, json!(["xnli, seed-4: only in A", "xnli, seed-1, seed-3: only in B"]));
    let two = [of("none", 2), of("mnli", 7), of("ccg", 2)];
    publish(&trestle.home(), "two", "xnli", &two);
    let told = not_compared(&["seeds", "two"]);
    assert_eq!(told, json!(["xnli, none, seed-1, seed-3: only in A", "xnli, ccg, seed-4: only in A"]));
}

#[test]
fn each_number_of_seeds_is_described() {
    let trestle = Trestle::new();
    let of = |row, seed| run(row, seed, vec![("fi", first(40 + seed as usize, 100))]);
    let three = |row| (1..4).map(move |seed| of(row, seed));
    publish(&trestle.home(), "mixed", "xnli", &three("none").chain(three("mnli")).collect::<Vec<_>>());
    publish(&trestle.home(), "mixed", "pawsx", &[of("none", 1), of("mnli", 1)]);
    let said = trestle.ok(&["compare", "mixed/none", "mixed/mnli"]).out;
    for want in [
        "p: one seed (pawsx): approximate randomisation of examples, 9999 trials; 3 seeds (xnli): approximate \
         randomisation of examples, 9999 trials; seeds by Student's t with 2 degrees of freedom; Holm's correction",
        "One seed (pawsx): this is about these models",
    ] {
        assert!(said.contains(want), "{want} is not in\n{said}");
    }
    // The rows of a target may differ, too.
    publish(&trestle.home(), "rows", "xnli", &three("none").chain([of("mnli", 1)]).collect::<Vec<_>>());
    let said = trestle.ok(&["compare", "rows", "rows"]).out;
    assert!(said.contains("one seed (xnli, mnli): ") && said.contains("3 seeds (xnli, none): "), "{said}");
    let said = trestle.ok(&["compare", "mixed/none", "mixed/mnli", "--target", "xnli"]).out;
    assert!(said.contains("p: approximate randomisation") && !said.contains("ne seed"), "{said}");
}

#[test]
fn retrieval_is_compared_at_the_layer_that_tables_show() {
    let trestle = Trestle::new();
    let at = |row, layer, fi| Run { layer, ..run(row, 1, vec![("fi", first(fi, 100))]) };
    let rows = [
        at("chance", None, 2),
        at("none", Some(1), 10),
        at("none", Some(2), 40),
        at("mnli", Some(1), 10),
        at("mnli", Some(2), 60),
    ];
    publish(&trestle.home(), "known", "tatoeba", &rows);
    let (_, found) = differences(&trestle, &["known/none", "known/mnli"]);
    assert_eq!((found.len(), found[0]["layer"].as_i64(), found[0]["difference"].as_f64()), (1, Some(2), Some(20.0)));
    // A baseline has no layers: it is compared with that one.
    let (_, found) = differences(&trestle, &["known/chance", "known/none"]);
    assert_eq!((found.len(), found[0]["layer"].as_i64(), found[0]["difference"].as_f64()), (1, Some(2), Some(38.0)));
}

#[test]
fn what_can_not_be_compared_is_refused_by_name() {
    let trestle = published();
    let fails = |arguments: &[&str]| {
        let said = trestle.run(&[&["compare"], arguments].concat());
        (said.code, said.err)
    };
    let of = |fi| vec![("en", first(80, 100)), ("fi", first(fi, 99)), ("sw", first(40, 100))];
    publish(&trestle.home(), "shorter", "xnli", &[run("none", 1, of(40))]);
    let (code, message) = fails(&["known/none", "shorter/none"]);
    assert_eq!(code, 4, "{message}");
    assert!(message.contains("example `fi-0099` of language `fi` was scored in one of them alone"), "{message}");
    let (code, message) = fails(&["known/none", "known/hellaswag"]);
    assert_eq!(
        (code, message.trim()),
        (3, "error: the results of study known have no row `hellaswag`; choose one of none, mnli")
    );
    for operands in [["known/mnli", "known"], ["known", "known/mnli"]] {
        let (code, message) = fails(&operands);
        let says = "known is a whole study and known/mnli is not: name a row of it, known/ROW, or compare two studies";
        assert_eq!((code, message.trim()), (2, format!("error: {says}").as_str()));
    }
    let (code, message) = fails(&["known/none", "unknown/none"]);
    assert!(code == 5 && message.contains("study unknown has no results"), "{message}");
    for (choice, says) in [
        (
            ["--target", "xnli,udpos"],
            "neither known/none (A) nor known/mnli (B) has target `udpos`; there is: pawsx, xnli",
        ),
        (
            ["--language", "de,ru"],
            "neither known/none (A) nor known/mnli (B) has language `ru`; there is: de, en, fi, sw",
        ),
    ] {
        let (code, message) = fails(&[&["known/none", "known/mnli"], &choice[..]].concat());
        assert_eq!((code, message.trim()), (3, format!("error: {says}").as_str()));
    }
    // The row has other targets, and so has the other side.
    publish(&trestle.home(), "later", "udpos", &[run("none", 1, of(40))]);
    let (code, message) = fails(&["known/none", "later/none", "--target", "xnli,udpos"]);
    assert!(code == 5 && message.contains("can't be compared: xnli: only in A; udpos: only in B"), "{message}");
    let (code, message) = fails(&["known/none", "known/mnli", "--language", "xx"]);
    assert!(code == 3 && message.contains("xx"), "{message}");
    let (code, message) = fails(&["known/none", "0123456789ab"]);
    assert!(code == 5 && message.contains("no score artifacts"), "{message}");
    let missing = trestle.dir.path().join("nowhere");
    let (code, _) = fails(&["known/none", "abc:score/xnli/none/seed-1", "--home-b", &missing.display().to_string()]);
    assert!(code == 5 && !missing.exists());
}

#[test]
fn a_study_that_was_run_can_be_compared_and_agrees_with_its_own_analysis() {
    let trestle = Trestle::new();
    trestle.ok(&["run", "tiny", "--device", "flex", "--workers", "2"]);
    let (code, found) = differences(&trestle, &["tiny/none", "tiny/mnli", "--target", "udpos"]);
    assert!(code == 0 && found.len() == 1, "{found:?}");
    let rows = trestle.ok(&[
        "query",
        "SELECT difference, ci_low, ci_high, p_value, minimum_detectable FROM comparisons \
         WHERE target = 'udpos' AND row = 'mnli' AND scope = 'non-english'",
        "--format",
        "json",
    ]);
    let rows: Vec<Value> = rows.json();
    for name in ["difference", "ci_low", "ci_high", "p_value", "minimum_detectable"] {
        assert_eq!(rows[0][name], found[0][name], "{name}");
    }
    // By key, as one score artifact.
    let keys = trestle.ok(&[
        "query",
        "SELECT score_key FROM runs WHERE target = 'udpos' AND row <> 'chance'",
        "--format",
        "csv",
    ]);
    let keys: Vec<&str> = keys.out.lines().skip(1).collect();
    let (_, by_key) = differences(&trestle, &[&keys[0][..12], &keys[1][..12]]);
    assert_eq!(by_key[0]["difference"], found[0]["difference"]);
    let said = trestle.run(&["compare", &keys[0][..12], "tiny"]);
    assert!(said.code == 2 && said.err.contains("tiny is a whole study"), "{}", said.err);
}
