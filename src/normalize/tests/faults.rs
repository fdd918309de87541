//! What a raw file can do wrong: each with the file, the row or line, and the example in the message.

use super::*;

fn fault(task: &str, text: &str) -> String {
    let name = if task.contains("squad-json") { "x.json" } else { "train-1.tsv" };
    World::new(task, &[(name, text)]).run().unwrap_err()
}

#[test]
fn labels() {
    assert_eq!(
        fault(PAIRS, "x\ta\tb\tyes\nx\tc\td\tmaybe\n"),
        "train-1.tsv, row 1, example 1: label \"maybe\" is none of the task's (yes, no)"
    );
    let numbered = PAIRS.replace(", label FROM", ", CAST(label AS INT) AS label FROM");
    let beyond = "column `label` holds a number that is no index into the task's 2 labels";
    assert_eq!(fault(&numbered, "x\ta\tb\t1\nx\tc\td\t2\n"), format!("train-1.tsv, row 1, example 1: {beyond}"));
    assert_eq!(fault(&numbered, "x\ta\tb\t-1\n"), format!("train-1.tsv, row 0, example 0: {beyond}"));
}

#[test]
fn texts_and_ids() {
    let blank = "is blank; take such rows out with WHERE if they are meant to be there";
    assert_eq!(
        fault(PAIRS, "x\ta\tb\tyes\nx\t \tb\tyes\n"),
        format!("train-1.tsv, row 1, example 1: column `text_a` {blank}")
    );
    let named = PAIRS.replace("SELECT a", "SELECT language AS example_id, a");
    assert_eq!(
        fault(&named, "n1\ta\tb\tyes\nn2\ta\tb\tyes\nn1\tc\td\tno\n"),
        "train-1.tsv, row 2, example n1: its example_id is that of an earlier row of the same split and language"
    );
    // Farther apart than the ids that memory holds.
    let far: String = (0..70_000).map(|row| format!("n{}\ta\tb\tyes\n", row % 69_999)).collect();
    assert_eq!(
        fault(&named, &far),
        "train-1.tsv, row 69999, example n0: its example_id is that of an earlier row of the same split and language"
    );
    assert_eq!(fault(&named, "\ta\tb\tyes\n"), "train-1.tsv, row 0, example : its example_id is empty");
    let null = PAIRS.replace("b AS text_b", "CASE WHEN b = 'b' THEN b END AS text_b");
    assert_eq!(
        fault(&null, "x\ta\tb\tyes\nx\ta\tc\tyes\n"),
        "train-1.tsv, row 1, example 1: column `text_b` must not be null"
    );
}

#[test]
fn the_row_is_counted_within_its_file() {
    let world =
        World::new(PAIRS, &[("train-1.tsv", "x\ta\tb\tyes\n"), ("train-2.tsv", "x\ta\tb\tno\nx\ta\tb\tmaybe\n")]);
    assert!(world.run().unwrap_err().starts_with("train-2.tsv, row 1, example 2: label"));
}

#[test]
fn languages() {
    let task = PAIRS.replace("SELECT a", "SELECT language, a");
    assert_eq!(
        fault(&task, "en\ta\tb\tyes\ntlh\tc\td\tno\n"),
        "train-1.tsv, row 1, example 1: language `tlh` is none of the task's (en de fi)"
    );
    assert_eq!(
        fault(&task, "de\ta\tb\tyes\n"),
        "task toy, split train: no row of toy/train-1.tsv becomes an example; look at the WHERE clause of its SQL"
    );
}

#[test]
fn two_files_for_one_table() {
    let same = PAIRS.replace("SELECT a", "SELECT 'en' AS language, a");
    let world = World::new(&same, &[("de.tsv", "x\ta\tb\tyes\n"), ("fi.tsv", "x\ta\tb\tyes\n")]);
    let raw = world.raw(&["de", "fi"], &[Split::Test]);
    let (languages, limits) = (["en".to_owned()], BTreeMap::new());
    let known = world.task.known_languages(&SourceLanguage::default());
    let terms = terms(&world.task, &known);
    let request = NormalizeRequest { terms, raw: &raw, languages: &languages, limits: &limits };
    let error = normalize(&request, &world.out(), &[], &Quiet, &AtomicBool::new(false)).unwrap_err().to_string();
    assert_eq!(
        error,
        "task toy, split test: two of its language files both give rows of language en; mend `language` in the SQL"
    );
}

#[test]
fn columns() {
    let extra = PAIRS.replace("label FROM", "label, a AS premise FROM");
    assert_eq!(
        fault(&extra, "x\ta\tb\tyes\n"),
        "the SQL of task toy does not give a pair-classification table from train-1.tsv: it has no column `premise`; \
         its columns are example_id, language, text_a, text_b, label"
    );
    let lacking = PAIRS.replace("b AS text_b, ", "");
    assert!(fault(&lacking, "x\ta\tb\tyes\n").contains("column `text_b` is missing; add it to the SELECT list"));
    let unknown = PAIRS.replace("a AS text_a", "premise AS text_a");
    let message = fault(&unknown, "x\ta\tb\tyes\n");
    assert!(
        message.contains("premise")
            && message.ends_with("the raw columns are language, a, b, label, row, lang, split, file"),
        "{message}"
    );
    let aggregate = PAIRS.replace("FROM raw", "FROM raw ORDER BY a");
    assert!(fault(&aggregate, "x\ta\tb\tyes\n").starts_with("the SQL of task toy uses ORDER BY"));
}

#[test]
fn answers() {
    let spans = |context: &str, answers: &str| fault(SPANS, &squad(context, answers));
    assert_eq!(
        spans("Zürich war", r#"{"text": "war", "answer_start": 8}"#),
        "x.json, row 0, example q: the answer \"war\" does not stand at character 8 of its context, but \"ar\" does"
    );
    assert!(spans("short", r#"{"text": "x", "answer_start": 99}"#).contains("does not stand at character 99"));
    assert!(spans("short", r#"{"text": "", "answer_start": 0}"#).contains("does not stand at character 0"));
    assert!(
        spans("short", r#"{"text": "x", "answer_start": -1}"#)
            .starts_with("x.json, row 0, example q: column `answer_starts` is not")
    );
    let bytes = format!("{SPANS}answer_offsets = \"byte\"\n");
    let message = fault(&bytes, &squad("éx", r#"{"text": "x", "answer_start": 1}"#));
    assert!(message.contains("does not stand at byte 1"), "{message}");
    let claims = SPANS.replace("FROM raw", ", true AS answerable FROM raw");
    assert_eq!(
        fault(&claims, &squad("c", "")),
        "x.json, row 0, example q: it has no answer, but `answerable` says otherwise"
    );
}

const TAGS: &str = r#"
    format = "word-tagging"
    labels = ["NOUN", "VERB"]
    [source.directory]
    layout = "toy"
    reader = "token-tag-tsv"
    files = { train = "train-1.tsv" }
    [normalize]
    sql = "SELECT words, tags FROM raw"
"#;

#[test]
fn tags() {
    let world = World::new(TAGS, &[("train-1.tsv", "cats\tNOUN\nrun\tVERB\n\ndogs\tNOUN\n")]);
    assert_eq!(world.run().unwrap().labels, BTreeMap::from([("NOUN".to_owned(), 2), ("VERB".to_owned(), 1)]));
    assert_eq!(
        fault(TAGS, "cats\tNOUN\n\nrun\tVERBS\n"),
        "train-1.tsv, row 1, example 1: tag \"VERBS\" is none of the task's (NOUN, VERB)"
    );
    assert_eq!(fault(TAGS, "cats\tNOUN\n \tNOUN\n"), "train-1.tsv, row 0, example 0: word 2 is blank");
    let uneven = TAGS.replace("token-tag-tsv", "jsonl");
    let message = fault(&uneven, "{\"words\": [\"a\", \"b\"], \"tags\": [\"NOUN\"]}\n");
    assert_eq!(message, "train-1.tsv, row 0, example 0: 2 words, but 1 tags");
    let message = fault(&uneven, "{\"words\": [], \"tags\": []}\n{\"words\": [\"a\"], \"tags\": [\"NOUN\"]}\n");
    assert_eq!(message, "train-1.tsv, row 0, example 0: it has no words");
    let message = fault(&uneven, "{\"words\": [\"a\", null], \"tags\": [\"NOUN\", \"NOUN\"]}\n");
    assert_eq!(message, "train-1.tsv, row 0, example 0: column `words` holds a list with a null in it");
    let message =
        fault(&uneven, "{\"words\": [\"a\"], \"tags\": [0]}\n{\"words\": [\"a\", \"b\"], \"tags\": [1, 2]}\n");
    assert!(message.starts_with("train-1.tsv, row 1, example 1: column `tags` holds a number"), "{message}");
}

#[test]
fn choices() {
    let task = r#"
        format = "multiple-choice"
        [source.directory]
        layout = "toy"
        reader = "jsonl"
        files = { train = "train-1.tsv" }
        [normalize]
        sql = "SELECT choices, label FROM raw"
    "#;
    let fault = |text: &str| fault(task, text);
    assert_eq!(
        fault("{\"choices\": [\"a\", \"b\"], \"label\": 2}\n"),
        "train-1.tsv, row 0, example 0: label 2 is no index into its 2 choices"
    );
    assert_eq!(
        fault("{\"choices\": [\"a\"], \"label\": 0}\n"),
        "train-1.tsv, row 0, example 0: 1 choices, should be 2 or more"
    );
    assert!(
        fault("{\"choices\": [\"a\", \"b\"], \"label\": -1}\n")
            .starts_with("train-1.tsv, row 0, example 0: column `label` is not")
    );
    assert!(fault("{\"choices\": \"a\", \"label\": 0}\n").contains("column `choices` is not a list"));
}

#[test]
fn counts() {
    let task = format!("{PAIRS}[expect]\ntrain = 2\n");
    let world = World::new(&task, &[("train-1.tsv", "x\ta\tb\tyes\n")]);
    world.run().unwrap();
    let message = world.run_with(&["en"], &[Split::Train], &[], true).unwrap_err();
    assert_eq!(
        message,
        "task toy, split train, language en: 1 examples, but `expect` says 2; the raw files are not the published ones"
    );
}

#[test]
fn invalid_utf8_and_truncation_pass_through_with_their_place() {
    let world = World::new(PAIRS, &[]);
    let path = world.dir.path().join("toy/train-1.tsv");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, b"x\ta\tb\tyes\nx\t\xff\tb\tyes\n").unwrap();
    assert!(world.run().unwrap_err().starts_with("train-1.tsv:2: byte 3 of the line is not valid UTF-8"));
    let cut = SPANS.replace("squad-json", "parquet");
    let world = World::new(&cut, &[("x.json", "PAR1 and no more")]);
    assert!(world.run().unwrap_err().starts_with("x.json: not a readable parquet file"));
}

#[test]
fn words_of_wikiann() {
    let task = r#"
        format = "word-tagging"
        labels = ["O", "B-LOC"]
        [source.directory]
        layout = "toy"
        reader = "wikiann"
        files = { train = "train-1.tsv" }
        [normalize]
        sql = "SELECT words, tags FROM raw"
    "#;
    let fault = |text: &str| fault(task, text);
    assert_eq!(fault("en:a\tO\n\nen:b\tO\nen: \tO\n"), "train-1.tsv, row 1, example 1: word 2 is blank");
    assert_eq!(fault("en:a\tB-PER\n"), "train-1.tsv, row 0, example 0: tag \"B-PER\" is none of the task's (O, B-LOC)");
    for nothing in ["", "\n\n", "en:a O\n"] {
        assert!(fault(nothing).starts_with("task toy, split train: no row of toy/train-1.tsv becomes an example"));
    }
}
