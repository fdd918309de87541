//! Views through the binary: tables made of tables, as targets, as training data and under their own names.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use support::Trestle;

#[test]
fn halves_of_a_task_are_scored_as_its_metric_scores_them_apart() {
    let trestle = Trestle::new();
    trestle.ok(&["run", "tiny-views", "--device", "flex", "--workers", "2", "--quiet"]);
    let scores: BTreeMap<(String, String, String), f64> = trestle
        .query("SELECT target, row, metric, value FROM scores")
        .into_iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap().to_owned();
            ((text("target"), text("row"), text("metric")), row["value"].as_f64().unwrap())
        })
        .collect();
    let score = |target: &str, row: &str, metric: &str| scores[&(target.to_owned(), row.to_owned(), metric.to_owned())];
    for row in ["chance", "none", "half"] {
        for (whole, half, metric) in [
            ("has_answer_f1", "squad_v2~answerable", "f1"),
            ("has_answer_exact_match", "squad_v2~answerable", "exact_match"),
            ("no_answer_accuracy", "squad_v2~unanswerable", "exact_match"),
        ] {
            assert_eq!(score("squad_v2", row, whole), score(half, row, metric), "{row} {half} {metric}");
        }
    }

    // One training answers for the task and both halves, and the row's training has seen answerable questions alone.
    let trainings = |label: &str| {
        let of = |manifest: &Value| manifest["stage"] == "train" && manifest["label"].as_str().unwrap().contains(label);
        trestle.manifests().into_iter().filter(of).collect::<Vec<_>>()
    };
    let tasks = |label: &str| -> Vec<String> {
        trainings(label).iter().map(|m| m["parameters"]["tasks"][0]["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        tasks(":target/").iter().filter(|task| task.starts_with("squad_v2")).collect::<Vec<_>>(),
        ["squad_v2"; 2]
    );
    assert_eq!(tasks(":intermediate/half"), ["squad_v2~answerable"]);

    // What is left out is counted, and the tables can be asked for.
    let count = |table: &str, where_: &str| {
        let sql = format!("SELECT COUNT(*) AS n FROM {table} WHERE split = 'validation' {where_}");
        trestle.query(&sql)[0]["n"].as_u64().unwrap()
    };
    let [all, with, without] = ["squad_v2", "squad_v2__answerable", "squad_v2__unanswerable"]
        .map(|name| count(&format!("canonical_{name}"), ""));
    assert!(with > 0 && without > 0 && with + without == all, "{with} {without} {all}");
    let views: Vec<Value> = trestle.manifests().into_iter().filter(|manifest| manifest["stage"] == "view").collect();
    assert_eq!(views.len(), 2);
    let unanswerable = views.iter().find(|m| m["parameters"]["task"] == "squad_v2~unanswerable").unwrap();
    assert_eq!(unanswerable["statistics"]["left_out"], with, "{unanswerable}");

    let profiles = trestle.query("SELECT task, split, examples FROM profiles WHERE task LIKE 'squad_v2~%'");
    assert_eq!(profiles.len(), 3, "two splits of what is trained on, one of what is only scored: {profiles:?}");
    let explained = trestle.ok(&["explain", "tiny-views/squad_v2~answerable/half/seed-1/en/f1"]).out;
    assert!(
        explained.contains("normalize/squad_v2~answerable") && explained.contains("normalize/squad_v2"),
        "{explained}"
    );
    let plan: Vec<Value> = trestle.ok(&["plan", "tiny-views", "--mini-size", "0.06", "--json"]).json();
    let planned = plan.iter().find(|stage| stage["label"] == "normalize/squad_v2~answerable").unwrap();
    assert_eq!(planned["cost"]["examples"]["basis"], "limited", "{planned}");
    let shown = trestle.ok(&["task", "show", "squad_v2~answerable"]).out;
    assert!(shown.contains("made of      squad_v2") && shown.contains("trained on   squad_v2"), "{shown}");
}

#[test]
fn a_view_is_normalised_and_checked_by_its_name() {
    let trestle = Trestle::new();
    let mini = ["--edition", "mini", "--mini-size", "0.05"];
    let view = "squad_v2~unanswerable";
    let said = trestle.ok(&[&["normalize", "--task", view][..], &mini].concat());
    assert!(said.out.contains("normalize/squad_v2~unanswerable"), "{}", said.out);
    let said = trestle.ok(&[&["task", "check", view, "--json"][..], &mini].concat());
    let checks: Vec<Value> = said.json();
    assert_eq!((checks[0]["task"].as_str(), checks[0]["verdict"].as_str()), (Some(view), Some("fine")), "{checks:?}");
}

#[test]
fn views_that_can_not_be_are_refused_before_anything_runs() {
    let trestle = Trestle::new();
    for (id, says) in [
        ("squad_v2~nosuch", "there is no transform `nosuch`; there are: answerable, unanswerable"),
        ("squad_v2~answerable.2", "it takes nothing after a dot"),
        ("mnli~answerable", "mnli has no such questions"),
        ("nosuch~answerable", "unknown task `nosuch`"),
        ("squad_v2~", "names no data"),
    ] {
        let said = trestle.run(&["normalize", "--task", id, "--edition", "mini"]);
        assert_eq!(said.code, 3, "{id}: {}", said.err);
        assert!(said.err.contains(says), "{id}: {}", said.err);
    }
    assert_eq!(trestle.run(&["task", "show", "squad_v2~nosuch"]).code, 3);
    assert!(!trestle.home().join("artifacts").exists());
}

#[test]
fn limits_and_suites_and_parts_are_of_tasks_that_have_a_file() {
    let trestle = Trestle::new();
    let folder = trestle.dir.path().join("more");
    let refused = |path: &str, text: &str, arguments: &[&str]| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        let said = trestle.run(&[arguments, &["--tasks", folder.to_str().unwrap()]].concat());
        std::fs::remove_file(path).unwrap();
        assert_eq!(said.code, 3, "{}", said.err);
        said.err
    };
    let study = std::fs::read_to_string(support::fixtures().join("studies/tiny-views.toml")).unwrap();
    let limited = study.replace("tiny-views", "limited") + "\n[task_limits.\"squad_v2~answerable\"]\ntrain = 5\n";
    let said = refused("studies/limited.toml", &limited, &["plan", "limited"]);
    assert!(said.contains("names the view `squad_v2~answerable`; limit what it is made of, squad_v2"), "{said}");
    let suite = "id = \"halves\"\ntitle = \"Halves\"\ngroups = []\n[[tasks]]\nid = \"squad_v2~answerable\"\nlanguages = [\"en\"]\n";
    let said = refused("suites/halves.toml", suite, &["task", "list"]);
    assert!(said.contains("names the view `squad_v2~answerable`"), "{said}");
    // A task that is a part of itself, by way of a view.
    let own = "id = \"own\"\nformat = \"span-extraction\"\nrole = \"intermediate\"\nunanswerable = true\nlicense = \"CC0\"\n\
               parts = [\"own~answerable\"]\n";
    let said = refused("own.toml", own, &["task", "list"]);
    assert!(said.contains("its part `own~answerable` is a view"), "{said}");
}
