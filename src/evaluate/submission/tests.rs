use std::path::PathBuf;
use std::time::Instant;

use super::*;
use serde_json::Value;
use tempfile::TempDir;

/// A submission of some tasks with the same text in every language, on both sides.
struct Fixture {
    dir: TempDir,
    registry: Registry,
    suite: &'static str,
}

impl Fixture {
    fn new(suite: &'static str, tasks: &[(&str, &str)]) -> Self {
        let fixture = Fixture { dir: tempfile::tempdir().unwrap(), registry: Registry::load(&[]).unwrap(), suite };
        for (task, text) in tasks {
            for language in fixture.languages(task) {
                for side in ["labels", "predictions"] {
                    fixture.write(side, task, language, text);
                }
            }
        }
        fixture
    }

    fn suite(&self) -> &Suite {
        self.registry.suite(self.suite, "the test").unwrap()
    }

    fn languages(&self, task: &str) -> &[String] {
        self.suite().languages(task)
    }

    fn path(&self, side: &str, task: &str, language: &str) -> PathBuf {
        let of_suite = self.suite().task(task).unwrap();
        let scoring = Scoring::of(of_suite, self.registry.task(task, "the test").unwrap()).unwrap();
        scoring.shape().file(&self.dir.path().join(side), task, language)
    }

    fn write(&self, side: &str, task: &str, language: &str, text: impl AsRef<[u8]>) {
        let path = self.path(side, task, language);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn score(&self, tasks: &[&str], allow_missing: bool) -> Result<Submission, EvaluateError> {
        let (predictions, labels) = (self.dir.path().join("predictions"), self.dir.path().join("labels"));
        let (predictions, labels) = (&*predictions, &*labels);
        let (registry, suite) = (&self.registry, self.suite());
        score_submission(&SubmissionRequest { predictions, labels, registry, suite, tasks, allow_missing })
    }

    fn fails(&self, tasks: &[&str]) -> String {
        let message = self.score(tasks, false).unwrap_err().to_string();
        message.replace(&format!("{}/", self.dir.path().display()), "")
    }
}

const QUESTIONS: &str = r#"{"data": [{"paragraphs": [{"context": "", "qas": [
    {"id": "1", "answers": [{"text": "x", "answer_start": 0}]},
    {"id": "2", "answers": [{"text": "y \"z\"", "answer_start": 0}]}]}]}]}"#;

/// Question answering with right answers, and other ones in Finnish.
fn answered(finnish: &str) -> Fixture {
    let fixture = Fixture::new("xtreme", &[("tydiqa", QUESTIONS)]);
    for language in fixture.languages("tydiqa") {
        fixture.write("predictions", "tydiqa", language, r#"{"1": "X.", "2": "y \"z\""}"#);
    }
    fixture.write("predictions", "tydiqa", "fi", finnish);
    fixture
}

#[test]
fn pairs_are_a_set() {
    let fixture = Fixture::new("xtreme", &[("bucc2018", "a\tx\nb\ty\nc\tz\n")]);
    fixture.write("predictions", "bucc2018", "fr", "c\tz\na\tx\na\tx\nb\tx\nd\tx\n");
    let scores = fixture.score(&["bucc2018"], false).unwrap().scores;
    let french: Vec<f64> = scores.iter().map(|score| score.languages[1].1).collect();
    for (value, expected) in french.iter().zip([400.0 / 7.0, 50.0, 200.0 / 3.0]) {
        assert!((value - expected).abs() < 1e-9, "{french:?}");
    }
    assert!((scores[1].average - 87.5).abs() < 1e-9);
    fixture.write("predictions", "bucc2018", "fr", "c\tz\na x\n");
    let message = "predictions/bucc2018/test-fr.tsv: line 2: `a x` is no pair; write two ids with a tab between";
    assert_eq!(fixture.fails(&["bucc2018"]), message);
}

#[test]
fn every_question_has_one_answer() {
    let scores = answered(r#"{"2": "the Y z.", "1": "w"}"#).score(&["tydiqa"], false).unwrap().scores;
    assert_eq!((scores[0].metric, scores[0].languages[3].1, scores[0].languages[4].1), ("exact_match", 50.0, 100.0));
    let fails = |finnish: &str| answered(finnish).fails(&["tydiqa"]);
    let missing = fails(r#"{"2": "y"}"#);
    assert!(
        missing.starts_with("predictions/tydiqa/test-fi.json: example `1`: has no prediction; give every"),
        "{missing}"
    );
    let extra = fails(r#"{"1": "x", "2": "y", "9": "z"}"#);
    let expected = "predictions/tydiqa/test-fi.json: example `9`: is no question of labels/tydiqa/test-fi.json; score the split that was predicted";
    assert_eq!(extra, expected);
    let twice = fails(r#"{"1": "x", "2": "y", "1": "z"}"#);
    assert_eq!(twice, "predictions/tydiqa/test-fi.json: example `1`: stands twice; keep one entry for each");
    let wrong = fails(r#"{"1": "x", "2": 5}"#);
    assert!(wrong.contains("invalid type: integer `5`, expected a string"), "{wrong}");
    let tags = fails("NOUN\nVERB\n");
    assert!(tags.ends_with("; expected one object of question id to answer"), "{tags}");
}

#[test]
fn unanswered_questions_count_as_wrong_where_that_is_allowed() {
    let submission = answered(r#"{"2": "y"}"#).score(&["tydiqa"], true).unwrap();
    let exact = &submission.scores[0];
    assert_eq!((exact.languages[3].1, exact.unanswered), (0.0, 1));
    assert!((submission.scores[1].languages[3].1 - 100.0 / 3.0).abs() < 1e-9);
}

#[test]
fn labels_that_are_blank_are_refused() {
    let fixture = answered(r#"{"1": "x", "2": "y"}"#);
    fixture.write(
        "labels",
        "tydiqa",
        "fi",
        r#"{"data": [{"paragraphs": [{"qas": [{"id": "1", "answers": []}, {"id": "2", "answers": []}]}]}]}"#,
    );
    let message =
        "labels/tydiqa/test-fi.json: example `1`: has no answer in the labels; take labels that are not blanked";
    assert_eq!(fixture.fails(&["tydiqa"]), message);
}

#[test]
fn labels_of_no_task_are_refused_even_where_the_predictions_have_them() {
    for (suite, task, language, good, blank, line, label) in [
        ("xtreme", "xnli", "sw", "neutral\nneutral\n", "neutral\n\n", 2, ""),
        ("xtreme", "pawsx", "ja", "0\n1\n", "2\n1\n", 1, "2"),
        ("xtreme", "tatoeba", "fi", "0\n1\n", "0\n-\n", 2, "-"),
        ("xtreme", "udpos", "fi", "X\n\nX\nX\n", "X\n\nX\nNN\n", 4, "NN"),
        ("xtreme-r", "xcopa", "qu", "{\"label\": 0}\n", "{\"label\": 2}\n", 1, "2"),
    ] {
        let fixture = Fixture::new(suite, &[(task, good)]);
        fixture.write("labels", task, language, blank);
        let path = fixture.path("labels", task, language);
        let name = path.file_name().unwrap().to_string_lossy();
        let message = format!(
            "labels/{task}/{name}: line {line}: `{label}` is no label of {task}; take labels that are not blanked"
        );
        assert_eq!(fixture.fails(&[task]), message);
        fixture.write("predictions", task, language, blank);
        assert_eq!(fixture.fails(&[task]), message);
    }
}

#[test]
fn lines_and_tags_must_match_the_labels() {
    let lines = Fixture::new("xtreme", &[("pawsx", "0\n1\n1\n")]);
    let fails = |text: &[u8]| {
        lines.write("predictions", "pawsx", "ja", text);
        lines.fails(&["pawsx"])
    };
    let short =
        "predictions/pawsx/test-ja.tsv: 2 lines, but 3 in labels/pawsx/test-ja.tsv; give one prediction for each";
    assert_eq!(fails(b"0\n1\n"), short);
    let long =
        "predictions/pawsx/test-ja.tsv: 4 lines, but 3 in labels/pawsx/test-ja.tsv; give one prediction for each";
    assert_eq!(fails(b"0\n1\n1\n0\n"), long);
    let unknown = "predictions/pawsx/test-ja.tsv: line 3: `yes` is no label of pawsx; write one of 0, 1";
    assert_eq!(fails(b"0\n1\nyes\n"), unknown);
    let json = "predictions/pawsx/test-ja.tsv: line 1: is JSON; this task has one label a line";
    assert_eq!(fails(b"{\"0\": 1}"), json);
    let empty =
        "predictions/pawsx/test-ja.tsv: line 1: the file is empty; expected a line or an entry for each example";
    assert_eq!(fails(b"\n"), empty);
    let encoding = "predictions/pawsx/test-ja.tsv: line 2: is not UTF-8; save the file in that encoding";
    assert_eq!(fails(b"0\n\xff\n1\n"), encoding);

    let tags = Fixture::new("xtreme", &[("udpos", "X\nX\n\nX\n")]);
    let fails = |text: &str| {
        tags.write("predictions", "udpos", "fi", text);
        tags.fails(&["udpos"])
    };
    let count = "predictions/udpos/test-fi.tsv: 2 tags in sentence 2, but 1 in labels/udpos/test-fi.tsv; give one prediction for each";
    assert_eq!(fails("X\nX\n\nX\nX\n"), count);
    let sentences =
        "predictions/udpos/test-fi.tsv: 1 sentences, but 2 in labels/udpos/test-fi.tsv; give one prediction for each";
    assert_eq!(fails("X\nX\nX\n"), sentences);
    let unknown = fails("X\nX\n\nB-PER\n");
    assert!(
        unknown.starts_with("predictions/udpos/test-fi.tsv: line 4: `B-PER` is no label of udpos; write one of ADJ, "),
        "{unknown}"
    );

    let numbers = Fixture::new("xtreme", &[("tatoeba", "3\n1\n")]);
    numbers.write("predictions", "tatoeba", "fi", "3\n-1\n");
    assert!(numbers.fails(&["tatoeba"]).contains("line 2: `-1` is no label of tatoeba; write the number of the line"));
}

#[test]
fn choices_stand_in_objects() {
    let fixture = Fixture::new("xtreme-r", &[("xcopa", "{\"label\": 0}\n{\"premise\": \"p\", \"label\": 1}\n")]);
    fixture.write("predictions", "xcopa", "qu", "{\"label\": 1}\n{\"label\": 1}\n");
    let score = &fixture.score(&["xcopa"], false).unwrap().scores[0];
    assert_eq!(score.languages[4], ("qu".to_owned(), 50.0));
    fixture.write("predictions", "xcopa", "qu", "{\"label\": 1}\n{\"label\": 2}\n");
    assert!(fixture.fails(&["xcopa"]).ends_with("test-qu.jsonl: line 2: `2` is no choice of xcopa; write 0 or 1"));
    fixture.write("predictions", "xcopa", "qu", "{\"label\": 1}\n1\n");
    let wrong = fixture.fails(&["xcopa"]);
    assert!(
        wrong.contains("test-qu.jsonl: line 2: ") && wrong.ends_with("; expected one object with a number `label`"),
        "{wrong}"
    );
}

#[test]
fn ranked_lists_are_scored_by_place() {
    let labels = r#"{"q1": ["de:a", "fr:b"], "q2": ["de:c"]}"#;
    let fixture = Fixture::new("xtreme-r", &[("lareqa", labels), ("mewslix", r#"{"m": ["Q7"]}"#)]);
    fixture.write("predictions", "lareqa", "ar", r#"{"q1": ["fr:b", "de:x", "de:a"], "q2": ["de:a", "de:c"]}"#);
    fixture.write("predictions", "mewslix", "ar", r#"{"m": ["Q1", "Q2", "Q7"]}"#);
    let submission = fixture.score(&["lareqa", "mewslix"], false).unwrap();
    let first = |place: usize| submission.scores[place].languages[0].1;
    assert!((first(0) - 100.0 * ((1.0 + 2.0 / 3.0) / 2.0 + 0.5) / 2.0).abs() < 1e-9);
    assert!((first(1) - 100.0 / 3.0).abs() < 1e-9);
    fixture.write("predictions", "mewslix", "ar", r#"{"m": ["Q1", "Q1"]}"#);
    assert!(fixture.fails(&["mewslix"]).ends_with("example `m`: `Q1` stands twice in its list; rank each once"));
}

#[test]
fn a_long_list_is_looked_through_once() {
    let fixture = Fixture::new("xtreme-r", &[("mewslix", r#"{"m": ["Q7"]}"#)]);
    let ids: Vec<String> = (0..100_000).map(|id| format!("\"Q{id}\"")).collect();
    fixture.write("predictions", "mewslix", "ar", format!("{{\"m\": [{}]}}", ids.join(", ")));
    let begun = Instant::now();
    assert_eq!(fixture.score(&["mewslix"], false).unwrap().scores[0].languages[0].1, 12.5);
    // Each id against each of the others takes minutes.
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn what_lacks_is_an_error_or_said() {
    let fixture = Fixture::new("xtreme", &[("pawsx", "0\n"), ("xnli", "neutral\n")]);
    let tasks = fixture.fails(&[]);
    assert!(tasks.starts_with("xtreme lacks panx, udpos, bucc2018, tatoeba, xquad, mlqa, tydiqa; add them"), "{tasks}");
    let chosen = fixture.score(&["pawsx", "xnli"], false).unwrap().means;
    assert_eq!(chosen.iter().map(|mean| mean.group.as_str()).collect::<Vec<_>>(), ["classification"]);
    for language in ["sw", "ur"] {
        fs::remove_file(fixture.path("predictions", "xnli", language)).unwrap();
    }
    assert!(fixture.fails(&["xnli"]).starts_with("xtreme lacks xnli/sw, xnli/ur; add them"));
    let submission = fixture.score(&[], true).unwrap();
    assert_eq!(submission.scores[1].missing, ["sw", "ur"]);
    assert_eq!(submission.scores[1].languages.len(), 13);
    let all = &submission.means[0];
    assert_eq!((all.tasks, &all.missing[..3]), (2, &["xnli/sw", "xnli/ur", "panx"].map(str::to_owned)[..]));
    // Nothing at all is no mean.
    for language in fixture.languages("pawsx") {
        fs::remove_file(fixture.path("labels", "pawsx", language)).unwrap();
    }
    let named = |tasks: &[&str]| fixture.score(tasks, true).map_err(|error| error.to_string());
    assert_eq!(named(&[]).unwrap().scores.len(), 1);
    assert_eq!(named(&["xnli"]).unwrap().scores.len(), 1);
    for tasks in [&["pawsx"][..], &["pawsx", "xnli"]] {
        assert!(named(tasks).unwrap_err().starts_with("xtreme lacks pawsx; add them"), "{tasks:?}");
    }
    assert!(named(&["panx"]).unwrap_err().starts_with("xtreme lacks panx; add them"));
    for language in fixture.languages("xnli") {
        let _ = fs::remove_file(fixture.path("predictions", "xnli", language));
    }
    assert!(named(&[]).unwrap_err().starts_with("xtreme lacks pawsx, xnli, panx, "));
}

#[test]
fn a_folder_of_something_else_is_refused() {
    let fixture = Fixture::new("xtreme", &[("pawsx", "0\n")]);
    let other = Fixture { suite: "xtreme-r", ..fixture };
    let message = other.fails(&[]);
    assert!(
        message.contains("no folder of a task of xtreme-r (it has pawsx); give the folder that holds xnli, "),
        "{message}"
    );
    let unknown = other.fails(&["glue"]);
    assert!(unknown.starts_with("unknown task `glue`; choose one of xnli, "), "{unknown}");
    let absent = Path::new("no/such/folder");
    let request = SubmissionRequest {
        predictions: absent,
        labels: absent,
        registry: &other.registry,
        suite: other.suite(),
        tasks: &[],
        allow_missing: true,
    };
    assert!(
        score_submission(&request).unwrap_err().to_string().starts_with("failed to read directory no/such/folder: ")
    );
}

/// Scores of the mock by task, language and metric, compared with what evaluate.py says; how many were compared.
fn compare(suite: &str, allow_missing: bool) -> usize {
    let mock = PathBuf::from(std::env::var_os("TRESTLE_SHARED").unwrap()).join("real/xtreme_mock");
    let text = fs::read_to_string(mock.join("expected_scores.seqeval-0.0.12.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    let (predictions, labels) = (&*mock.join("predictions"), &*mock.join("labels"));
    let registry = Registry::load(&[]).unwrap();
    let suite = registry.suite(suite, "the test").unwrap();
    let request = SubmissionRequest { predictions, labels, registry: &registry, suite, tasks: &[], allow_missing };
    let submission = score_submission(&request).unwrap();
    let mut compared = 0;
    for score in &submission.scores {
        let count = score.languages.len();
        let expected = expected[&suite.id][&score.task].as_object().unwrap();
        assert_eq!(expected.len(), count + 1, "{}", score.task);
        let average = (format!("_avg_over_{count}_languages"), score.average);
        for (language, value) in score.languages.iter().chain([&average]) {
            let expected = expected[language][score.metric].as_f64().unwrap();
            assert!((value - expected).abs() < 1e-9, "{} {language} {}: {value} {expected}", score.task, score.metric);
            compared += 1;
        }
        let first = &score.languages[0].0;
        let own = submission.scores.iter().filter(|other| other.task == score.task).count();
        assert_eq!(expected[first].as_object().unwrap().len(), own, "{}", score.task);
    }
    compared
}

#[test]
#[ignore = "needs TRESTLE_SHARED"]
fn the_mock_submission_scores_as_evaluate_py_scores_it() {
    // (7 + 15 + 36 + 3) accuracies, (40 + 33 + 4 + 3) × 3 of tags and pairs, (11 + 7 + 9 + 3) × 2 of answers.
    assert_eq!(compare("xtreme", false), 61 + 240 + 60);
    // (15 + 36 + 2) accuracies, (40 + 33 + 2) × 3 of tags, (11 + 1) of entities, (11 + 7 + 9 + 3) × 2 of answers.
    assert_eq!(compare("xtreme-r", true), 53 + 225 + 12 + 60);
}

#[test]
#[ignore = "needs TRESTLE_SHARED"]
fn the_mock_averages_are_those_that_its_test_pins() {
    let mock = PathBuf::from(std::env::var_os("TRESTLE_SHARED").unwrap()).join("real/xtreme_mock");
    let (predictions, labels) = (&*mock.join("predictions"), &*mock.join("labels"));
    let registry = Registry::load(&[]).unwrap();
    let average = |suite: &str, task: &str, metric: &str| {
        let (registry, suite) = (&registry, registry.suite(suite, "the test").unwrap());
        let request = SubmissionRequest { predictions, labels, registry, suite, tasks: &[task], allow_missing: true };
        let scores = score_submission(&request).unwrap().scores;
        scores.iter().find(|score| score.metric == metric).unwrap().average
    };
    for (task, metric, pinned) in [
        ("pawsx", "accuracy", 51.428_571_428_571_43),
        ("xnli", "accuracy", 30.666_666_666_666_668),
        ("panx", "f1", 57.507_936_507_936_52),
        ("udpos", "f1", 70.217_460_483_546_93),
        ("bucc2018", "f1", 55.0),
        ("tatoeba", "accuracy", 53.611_111_111_111_114),
        ("xquad", "exact_match", 77.272_727_272_727_27),
        ("xquad", "f1", 79.958_677_685_950_4),
        ("mlqa", "exact_match", 57.142_857_142_857_146),
        ("mlqa", "f1", 81.768_707_482_993_21),
        ("tydiqa", "exact_match", 88.888_888_888_888_89),
        ("tydiqa", "f1", 97.222_222_222_222_23),
    ] {
        assert_eq!(average("xtreme", task, metric), pinned, "{task} {metric}");
    }
    assert_eq!(average("xtreme-r", "mewslix", "map@20"), 14.390_251_561_304_19);
}
