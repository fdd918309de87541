//! Tasks by themselves, without a study: loaded, composed, tokenised.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::path::Path;

use support::Trestle;

const PART: &str = r#"
id = "NAME"
format = "pair-classification"
role = "intermediate"
suites = ["house"]
labels = ["yes", "no"]
license = "CC0-1.0"
[source.directory]
layout = "house"
reader = "tsv"
files = { train = "NAME-train.tsv", validation = "NAME-dev.tsv" }
[normalize]
sql = "SELECT id AS example_id, a AS text_a, b AS text_b, label FROM raw"
[expect]
train = 2
"#;

const WHOLE: &str = r#"
id = "whole"
format = "pair-classification"
role = "intermediate"
suites = ["house"]
labels = ["yes", "no"]
license = "CC0-1.0"
parts = ["second", "first"]
[expect]
train = 4
validation = 2
"#;

/// Two tasks of two training rows and one development row each, and one composed of both.
fn house(root: &Path, whole: &str) {
    let tasks = root.join("tasks");
    let data = root.join("data/house");
    std::fs::create_dir_all(&tasks).unwrap();
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(tasks.join("whole.toml"), whole).unwrap();
    for name in ["first", "second"] {
        std::fs::write(tasks.join(format!("{name}.toml")), PART.replace("NAME", name)).unwrap();
        let header = "id\ta\tb\tlabel\n";
        let train = format!("{header}1\t{name} is here\tit is\tyes\n2\t{name} is here\tit is not\tno\n");
        std::fs::write(data.join(format!("{name}-train.tsv")), train).unwrap();
        std::fs::write(data.join(format!("{name}-dev.tsv")), format!("{header}1\t{name} sleeps\tit rests\tyes\n"))
            .unwrap();
    }
}

fn path(root: &Path, name: &str) -> String {
    root.join(name).to_string_lossy().into_owned()
}

#[test]
fn a_composed_task_holds_the_rows_of_its_parts() {
    let trestle = Trestle::new();
    let root = trestle.dir.path();
    house(root, WHOLE);
    let (tasks, data) = (path(root, "tasks"), path(root, "data"));
    let made = trestle.ok(&["normalize", "--suite", "house", "--tasks", &tasks, "--data", &data, "--json"]);
    let manifests: Vec<serde_json::Value> = made.json();
    assert_eq!(manifests.len(), 3);
    let sql = "SELECT example_id, text_a, label FROM canonical_whole WHERE split = 'train'";
    let rows = trestle.ok(&["query", sql, "--format", "csv", "--tasks", &tasks]);
    let expected = "example_id,text_a,label\nsecond/1,second is here,yes\nsecond/2,second is here,no\n\
                    first/1,first is here,yes\nfirst/2,first is here,no\n";
    assert_eq!(rows.out, expected);

    // The same rows again cost nothing; another order of the parts is another task.
    let again = trestle.ok(&["normalize", "--task", "whole", "--tasks", &tasks, "--data", &data]);
    assert!(again.err.contains("0 stages run"), "{}", again.err);
    house(root, &WHOLE.replace(r#"["second", "first"]"#, r#"["first", "second"]"#));
    let other = trestle.ok(&["normalize", "--task", "whole", "--tasks", &tasks, "--data", &data]);
    assert!(other.err.contains("1 stages run"), "{}", other.err);
}

#[test]
fn an_archive_is_as_good_as_its_folder() {
    let trestle = Trestle::new();
    let root = trestle.dir.path();
    house(root, WHOLE);
    let (tasks, data) = (path(root, "tasks"), path(root, "data"));
    let arguments = ["normalize", "--suite", "house", "--tasks", &tasks, "--data", &data];
    trestle.ok(&arguments);
    let folder = root.join("data/house");
    let packed = std::fs::File::create(root.join("data/house.tar.gz")).unwrap();
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(packed, flate2::Compression::default()));
    archive.append_dir_all("house", &folder).unwrap();
    archive.into_inner().unwrap().finish().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let again = trestle.ok(&arguments);
    assert!(again.err.contains("0 stages run"), "{}", again.err);

    // Made anew from the archive, the tables are the same bytes.
    let before = trestle.digests();
    std::fs::remove_dir_all(trestle.home()).unwrap();
    trestle.ok(&arguments);
    assert_eq!(trestle.digests(), before);

    let whole = std::fs::read(root.join("data/house.tar.gz")).unwrap();
    std::fs::write(root.join("data/house.tar.gz"), &whole[..whole.len() / 2]).unwrap();
    let said = trestle.run(&arguments);
    assert_eq!(said.code, 4, "{}", said.err);
    assert!(said.err.contains("house.tar.gz: damaged (it ends too early); download or copy it again"), "{}", said.err);
}

#[test]
fn counts_of_a_composed_task_are_checked() {
    let trestle = Trestle::new();
    let root = trestle.dir.path();
    house(root, &WHOLE.replace("train = 4", "train = 5"));
    let (tasks, data) = (path(root, "tasks"), path(root, "data"));
    let arguments = ["normalize", "--task", "whole", "--tasks", &tasks, "--data", &data];
    let said = trestle.run(&arguments);
    assert_eq!(said.code, 9, "{}", said.err);
    assert!(said.err.contains("whole") && said.err.contains('4') && said.err.contains('5'), "{}", said.err);
    trestle.ok(&[&arguments[..], &["--allow-count-drift"]].concat());
}

#[test]
fn what_a_choice_of_tasks_can_do_wrong_is_said() {
    let trestle = Trestle::new();
    for (arguments, code, says) in [
        (&["normalize", "--task", "nli"][..], 3, "`nli`"),
        (&["normalize", "--suite", "glue"][..], 3, "trestle task list"),
        (&["normalize", "mini", "--edition", "mini"][..], 2, "--edition"),
        (&["tokenize", "--model", "gpt"][..], 3, "`gpt`"),
        (&["normalize", "--task", "mnli", "--data", "/nowhere"][..], 5, "/nowhere"),
    ] {
        let said = trestle.run(arguments);
        assert_eq!(said.code, code, "{arguments:?}: {}", said.err);
        assert!(said.err.contains(says), "{arguments:?}: {}", said.err);
    }
}

#[test]
fn a_target_without_a_metric_is_read_but_not_studied() {
    let trestle = Trestle::new();
    let root = trestle.dir.path();
    house(root, WHOLE);
    let tasks = root.join("tasks");
    let target = PART.replace("NAME", "goal").replace("\"intermediate\"", "\"target\"");
    std::fs::write(tasks.join("goal.toml"), target).unwrap();
    let study = std::fs::read_to_string(support::fixtures().join("studies/tiny.toml")).unwrap();
    let study = study.replace("id = \"tiny\"", "id = \"goal\"").replace("targets = [", "targets = [\"goal\", ");
    std::fs::create_dir_all(tasks.join("studies")).unwrap();
    std::fs::write(tasks.join("studies/goal.toml"), study).unwrap();
    let said = trestle.run(&["plan", "goal", "--tasks", &tasks.to_string_lossy()]);
    assert_eq!(said.code, 3, "{}", said.err);
    assert!(said.err.contains("`goal` has no metric"), "{}", said.err);
}

/// Where code may name a task of `pipeline/tasks`: file, task, and why. `text` is not looked for: it is a format and a column as
/// well, and the task that a tokenizer is trained on where tasks are read without a study.
const NAMED: [(&str, &str, &str); 2] = [
    ("report/html/words.rs", "udpos", "the page's words about XTREME's way of scoring parts of speech"),
    ("task/metric.rs", "mlqa", "the name of a metric"),
];

/// Where code may say that a language is English, and why.
const ENGLISH: [(&str, &str); 4] = [
    ("evaluate/metric/answer.rs", "articles are a language's own"),
    ("exchange/croissant.rs", "the language of metadata"),
    ("study/estimate/text.rs", "the language in which task files count words"),
    ("task/language.rs", "the source language of studies that name none"),
];

/// The files of code that hold one of `literals`, with it; tests are passed over, and the mini edition, which writes data in the layouts
/// of tasks, in English first.
fn holding<'a>(literals: &[&'a str]) -> Vec<(String, &'a str)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut folders, mut found) = (vec![root.clone()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // The last two are compiled into tests alone.
            if ["tests", "mini", "tests.rs", "fixture.rs", "minilm.rs"].contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            if path.extension().is_none_or(|suffix| suffix != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
            let file = path.strip_prefix(&root).unwrap().to_string_lossy().into_owned();
            let held = literals.iter().filter(|literal| code.contains(&format!("\"{literal}\"")));
            found.extend(held.map(|literal| (file.clone(), *literal)));
        }
    }
    found.sort();
    found
}

#[test]
fn no_code_knows_a_task_or_a_suite_by_name() {
    let registry = trestle::task::Registry::load(&[]).unwrap();
    let ids = registry.tasks().map(|task| task.id.as_str()).chain(registry.suites().map(|suite| suite.id.as_str()));
    // The suite where the command line names none, and the layout of files, have the name of one.
    let ids: Vec<&str> = ids.filter(|id| !["text", "xtreme"].contains(id)).collect();
    let allowed: Vec<(String, &str)> = NAMED.iter().map(|(file, id, _)| ((*file).to_owned(), *id)).collect();
    assert_eq!(holding(&ids), allowed, "a task is known by what its file says: format, metric, labels, suite");
}

#[test]
fn no_code_knows_which_language_a_study_trains_in() {
    let allowed: Vec<(String, &str)> = ENGLISH.iter().map(|(file, _)| ((*file).to_owned(), "en")).collect();
    assert_eq!(holding(&["en"]), allowed, "the source language is a study's: ask it");
}

/// A suite of one's own is averaged, exported, scored and chosen by as a shipped one.
#[test]
fn a_suite_is_a_file() {
    let trestle = Trestle::new();
    let root = trestle.dir.path();
    let folder = root.join("own/suites");
    std::fs::create_dir_all(&folder).unwrap();
    let suite = "id = \"house\"\ntitle = \"The house's\"\n\
        [[tasks]]\nid = \"udpos\"\nlanguages = [\"de\", \"zh\"]\n[[tasks]]\nid = \"xnli\"\nlanguages = [\"zh\", \"de\", \"fr\"]\n\
        [[groups]]\nid = \"tags\"\ntasks = [\"udpos\"]\n";
    std::fs::write(folder.join("house.toml"), suite).unwrap();
    let own = path(root, "own");
    let run = |arguments: &[&str]| trestle.run(&[arguments, &["--tasks", &own]].concat());
    let made = run(&["run", "tiny", "--device", "flex", "--workers", "2", "--quiet"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let means = "SELECT \"group\", mean, missing FROM aggregates WHERE target = 'house' AND row = 'mnli'";
    let means = trestle.query(means);
    let values: Vec<f64> = means.iter().map(|row| row["mean"].as_f64().unwrap()).collect();
    let (groups, missing) = (&means[0]["group"], &means[0]["missing"]);
    assert_eq!((means.len(), groups.as_str(), missing.as_str()), (2, Some("all"), Some("xnli/fr")));
    assert_eq!(means[1]["group"], "tags");
    let task = |target: &str, metric: &str| {
        let sql = format!(
            "SELECT AVG(value) AS mean FROM scores WHERE target = '{target}' AND row = 'mnli' AND metric = '{metric}' \
             AND language IN ('de', 'zh')"
        );
        trestle.query(&sql)[0]["mean"].as_f64().unwrap()
    };
    let (tags, labels) = (task("udpos", "f1"), task("xnli", "accuracy"));
    assert!((values[1] - tags).abs() < 1e-9 && (values[0] - f64::midpoint(tags, labels)).abs() < 1e-9, "{means:?}");

    let out = path(root, "submission");
    let arguments =
        ["export", "submission", "tiny", "--row", "mnli", "--suite", "house", "--with-labels", "--output", &out];
    let said = run(&arguments);
    assert!(
        said.code == 0 && ["udpos: de zh\n", "xnli: de zh\n"].iter().all(|line| said.out.contains(line)),
        "{}",
        said.out
    );
    let (predictions, labels) = (path(root, "submission/predictions"), path(root, "submission/labels"));
    let arguments = ["score", "--predictions", &predictions, "--labels", &labels, "--suite", "house", "--json"];
    let refused = run(&arguments);
    assert!(refused.code == 5 && refused.err.contains("house lacks xnli/fr"), "{}", refused.err);
    let scored: serde_json::Value = run(&[&arguments[..], &["--allow-missing"]].concat()).json();
    assert!((scored["means"][0]["value"].as_f64().unwrap() - values[0]).abs() < 1e-9, "{scored}");

    let listed = run(&["task", "show", "udpos"]);
    assert!(listed.out.contains("house, xtreme, xtreme-r") && listed.out.contains("XTREME-R"), "{}", listed.out);
    for command in
        [&["score", "--predictions", ".", "--labels", "."][..], &["import", "predictions", ".", "--name", "x"]]
    {
        let said = run(&[command, &["--suite", "hose"]].concat());
        let says = "--suite names an unknown suite `hose`; known: house, xtreme, xtreme-r";
        assert!(said.code == 3 && said.err.contains(says), "{}", said.err);
    }
}
