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
