//! The task files that ship with Trestle, against the shapes in which their data are published.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, ListBuilder, StringArray, StringBuilder, StructArray};
use arrow::array::{Int32Builder, Int64Builder};
use arrow::datatypes::Field;

use super::*;
use crate::task::{DirectorySource, Registry};

fn shipped() -> Registry {
    Registry::load(&[]).unwrap()
}

#[test]
fn every_sql_is_row_local() {
    let registry = shipped();
    let mut checked = 0;
    for task in registry.tasks() {
        let hub = task.source.hub.as_ref().map(|source| source.sql.as_deref());
        let directory = task.source.directory.as_ref().map(|source| source.sql.as_deref());
        for own in [hub, directory].into_iter().flatten() {
            Query::parse(&task.id, own.unwrap_or(&task.normalize.sql)).unwrap();
            checked += 1;
        }
    }
    assert!(checked >= 16, "{checked}");
}

fn strings(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

/// One list of strings for each row.
fn lists(rows: &[&[&str]]) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for row in rows {
        builder.append_value(row.iter().map(Some));
    }
    Arc::new(builder.finish())
}

fn structs(children: Vec<(&str, ArrayRef)>) -> ArrayRef {
    let children = children.into_iter().map(|(name, child)| {
        let field = Arc::new(Field::new(name, child.data_type().clone(), true));
        (field, child)
    });
    Arc::new(StructArray::from(children.collect::<Vec<_>>()))
}

/// The canonical table that the hub source of the shipped task `id` makes of a Parquet file with `columns`.
fn from_hub(id: &str, split: Split, language: &str, columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    let mut task = shipped().task(id, "the test").unwrap().clone();
    let hub = task.source.hub.take().unwrap();
    let files = BTreeMap::from([(split, hub.files[&split].clone())]);
    let pattern = hub.files[&split].paths()[0].to_owned();
    task.source.directory = Some(DirectorySource {
        layout: "toy".to_owned(),
        reader: hub.reader,
        files,
        columns: hub.columns,
        sql: hub.sql,
    });
    task.normalize.answer_offsets = hub.answer_offsets.unwrap_or(task.normalize.answer_offsets);
    let mut world = World::new(PAIRS, &[]);
    world.task = task;
    let registry = shipped();
    let known = registry.language(language, "the test").unwrap();
    let path = pattern.replace("{lang}", language).replace("{lang3}", &known.iso3).replace("{name}", &known.name);
    // The `*` of a folder stands for a language, that of a file for its number.
    let path = world.dir.path().join("toy").join(path.replace(".*/", ".ar/").replace('*', "00000-of-00001"));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    crate::shard::write_table(&path, &batch.schema(), &[], std::slice::from_ref(&batch)).unwrap();
    world.run_with(&[language], &[split], &[], false).unwrap();
    world.table(split, language)
}

#[test]
fn pairs_on_the_hub() {
    for (id, split, language) in [("mnli", Split::Train, "en"), ("xnli", Split::Test, "sw")] {
        let label: ArrayRef = Arc::new(Int64Array::from(vec![2, 0, 1]));
        let columns =
            vec![("premise", strings(&["p", "q", "r"])), ("hypothesis", strings(&["a", "b", "c"])), ("label", label)];
        let table = from_hub(id, split, language, columns);
        assert_eq!(texts(&table, "label"), ["contradiction", "entailment", "neutral"]);
        assert_eq!(texts(&table, "text_b"), ["a", "b", "c"]);
        assert_eq!(texts(&table, "language"), [language; 3]);
    }
}

#[test]
fn other_pairs_on_the_hub() {
    let number = |values: &[i64]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
    let columns = vec![
        ("uid", strings(&["u", "v"])),
        ("premise", strings(&["p", "q"])),
        ("hypothesis", strings(&["a", "b"])),
        ("label", number(&[2, 0])),
        ("reason", strings(&["", ""])),
    ];
    for id in ["anli_r1", "anli_r2", "anli_r3"] {
        let table = from_hub(id, Split::Validation, "en", columns.clone());
        assert_eq!(texts(&table, "example_id"), ["u", "v"]);
        assert_eq!(texts(&table, "label"), ["contradiction", "entailment"]);
    }
    let columns = vec![
        ("premise", strings(&["p", "q", "r"])),
        ("hypothesis", strings(&["a", "b", "c"])),
        ("label", number(&[1, -1, 0])),
    ];
    assert_eq!(texts(&from_hub("snli", Split::Train, "en", columns), "label"), ["neutral", "entailment"]);
    let columns = vec![
        ("question1", strings(&["p", "q", "r"])),
        ("question2", strings(&["a", " ", "c"])),
        ("label", number(&[1, 0, 0])),
        ("idx", number(&[7, 8, 9])),
    ];
    let table = from_hub("qqp", Split::Train, "en", columns);
    assert_eq!(texts(&table, "example_id"), ["7", "9"]);
    assert_eq!(texts(&table, "label"), ["duplicate", "not_duplicate"]);
    let columns = vec![
        ("id", number(&[1, 2])),
        ("sentence1", strings(&["p", "q"])),
        ("sentence2", strings(&["a", "b"])),
        ("label", number(&[0, 1])),
    ];
    for (id, split, language) in [("pawsx", Split::Test, "ko"), ("pawsx_translated", Split::Train, "fr")] {
        assert_eq!(texts(&from_hub(id, split, language, columns.clone()), "label"), ["0", "1"]);
    }
}

/// Id, context, and answers with their starts.
type QuestionRow<'a> = (&'a str, &'a str, &'a [(&'a str, i32)]);

/// The hub's columns of `rows`.
fn questions(rows: &[QuestionRow]) -> Vec<(&'static str, ArrayRef)> {
    let mut starts = ListBuilder::new(Int32Builder::new());
    let mut answers = ListBuilder::new(StringBuilder::new());
    for (_, _, given) in rows {
        answers.append_value(given.iter().map(|(text, _)| Some(*text)));
        starts.append_value(given.iter().map(|(_, start)| Some(*start)));
    }
    let answers = structs(vec![("text", Arc::new(answers.finish())), ("answer_start", Arc::new(starts.finish()))]);
    let of =
        |pick: fn(&QuestionRow) -> String| Arc::new(StringArray::from_iter_values(rows.iter().map(pick))) as ArrayRef;
    let question = Arc::new(StringArray::from_iter_values(rows.iter().map(|_| "?")));
    vec![
        ("id", of(|row| row.0.to_owned())),
        ("context", of(|row| row.1.to_owned())),
        ("question", question),
        ("answers", answers),
    ]
}

#[test]
fn other_questions_on_the_hub() {
    let table = from_hub("squad_v2", Split::Train, "en", questions(&[("a", "x y", &[("y", 2)]), ("b", "x y", &[])]));
    assert_eq!(texts(&table, "answerable"), ["true", "false"]);
    // The hub's copies have lost a blank before these contexts.
    let moved: &[(&str, i32)] = &[("دو", 4), ("سه", 7)];
    for id in ["xquad", "mlqa", "mlqa_cross"] {
        let table = from_hub(id, Split::Test, "de", questions(&[("a", "یک دو سه", moved)]));
        assert_eq!(texts(&table, "answer_starts"), ["[5, 10]"], "{id}");
        assert_eq!(texts(&table, "example_id"), [if id == "mlqa_cross" { "ar/a" } else { "a" }]);
    }
    let rows = questions(&[("english-1-0", "x y", &[("y", 2)]), ("swahili--2-0", "x y", &[("y", 2)])]);
    assert_eq!(texts(&from_hub("tydiqa", Split::Test, "sw", rows.clone()), "example_id"), ["swahili--2-0"]);
    assert_eq!(texts(&from_hub("tydiqa", Split::Train, "en", rows), "example_id"), ["english-1-0"]);
}

#[test]
fn other_choices_on_the_hub() {
    let number = |value: i32| Arc::new(Int32Array::from(vec![value])) as ArrayRef;
    let columns = vec![
        ("ind", number(4)),
        ("ctx_a", strings(&["A man sits."])),
        ("ctx_b", strings(&["he"])),
        ("endings", lists(&[&["a", "b", "c", "d"]])),
        ("split", strings(&["train"])),
        ("label", strings(&["3"])),
    ];
    let table = from_hub("hellaswag", Split::Validation, "en", columns);
    assert_eq!(
        (texts(&table, "choices"), texts(&table, "label")),
        (vec!["[he a, he b, he c, he d]".into()], vec!["3".into()])
    );
    let answers = |names: &[&'static str]| -> Vec<(&'static str, ArrayRef)> {
        names.iter().map(|name| (*name, strings(&[&name[name.len() - 1..]]))).collect()
    };
    let mut columns = answers(&["answer0", "answer1", "answer2", "answer3"]);
    columns.extend([
        ("id", strings(&["i"])),
        ("context", strings(&["c"])),
        ("question", strings(&["?"])),
        ("label", number(2)),
    ]);
    let table = from_hub("cosmosqa", Split::Validation, "en", columns);
    assert_eq!((texts(&table, "choices"), texts(&table, "label")), (vec!["[0, 1, 2, 3]".into()], vec!["2".into()]));
    let mut columns = answers(&["answerA", "answerB", "answerC"]);
    columns.extend([("context", strings(&["c"])), ("question", strings(&["?"])), ("label", strings(&["3"]))]);
    let table = from_hub("socialiqa", Split::Validation, "en", columns);
    assert_eq!((texts(&table, "choices"), texts(&table, "label")), (vec!["[A, B, C]".into()], vec!["2".into()]));
    for (id, language) in [("copa", "en"), ("xcopa", "qu")] {
        let mut columns = answers(&["choice1", "choice2"]);
        columns.extend([
            ("premise", strings(&["p"])),
            ("question", strings(&["effect"])),
            ("idx", number(5)),
            ("label", number(1)),
        ]);
        let table = from_hub(id, Split::Validation, language, columns);
        assert_eq!(texts(&table, "question"), ["p What happened as a result?"]);
        assert_eq!((texts(&table, "choices"), texts(&table, "label")), (vec!["[1, 2]".into()], vec!["1".into()]));
    }
}

#[test]
fn questions_on_the_hub() {
    for (id, split, language) in [("squad_v1", Split::Train, "en"), ("xquad", Split::Test, "ru")] {
        let mut starts = ListBuilder::new(Int32Builder::new());
        starts.append_value([Some(4)]);
        let answers = structs(vec![("text", lists(&[&["кот"]])), ("answer_start", Arc::new(starts.finish()))]);
        let texts_of = [("id", "q1"), ("context", "Вот кот"), ("question", "Кто?")];
        let mut columns: Vec<_> = texts_of.iter().map(|(name, text)| (*name, strings(&[text]))).collect();
        columns.push(("answers", answers));
        let table = from_hub(id, split, language, columns);
        assert_eq!(texts(&table, "example_id"), ["q1"]);
        assert_eq!(texts(&table, "answer_starts"), ["[7]"]);
    }
}

#[test]
fn choices_on_the_hub() {
    let choices =
        structs(vec![("label", lists(&[&["A", "B", "C", "D", "E"]])), ("text", lists(&[&["a", "b", "c", "d", "e"]]))]);
    let columns = vec![
        ("id", strings(&["i"])),
        ("question", strings(&["Where?"])),
        ("question_concept", strings(&["x"])),
        ("choices", choices),
        ("answerKey", strings(&["D"])),
    ];
    let table = from_hub("commonsenseqa", Split::Validation, "en", columns);
    assert_eq!(texts(&table, "choices"), ["[a, b, c, d, e]"]);
    assert_eq!(texts(&table, "label"), ["3"]);
}

#[test]
fn tags_on_the_hub() {
    let mut tags = ListBuilder::new(Int64Builder::new());
    tags.append_value([Some(5), Some(7), Some(15)]);
    let columns =
        vec![("tokens", lists(&[&["the", "cat", "sleeps"]])), ("pos_tags", Arc::new(tags.finish()) as ArrayRef)];
    let table = from_hub("udpos", Split::Validation, "fi", columns);
    assert_eq!(texts(&table, "tags"), ["[DET, NOUN, VERB]"]);
    let mut tags = ListBuilder::new(Int64Builder::new());
    tags.append_value([Some(5), Some(0)]);
    let columns = vec![("tokens", lists(&[&["Köln", "ist"]])), ("ner_tags", Arc::new(tags.finish()) as ArrayRef)];
    let table = from_hub("panx", Split::Test, "de", columns);
    assert_eq!(texts(&table, "tags"), ["[B-LOC, O]"]);
}

#[test]
fn sentences_and_articles_on_the_hub() {
    let columns = vec![
        ("source_sentence", strings(&["Hei.\n", "Ei.\n"])),
        ("target_sentence", strings(&["Hi.\n", "No.\n"])),
        ("source_lang", strings(&["fin", "fin"])),
        ("target_lang", strings(&["eng", "eng"])),
    ];
    let table = from_hub("tatoeba", Split::Test, "fi", columns);
    assert_eq!(texts(&table, "text"), ["Hi.", "Hei.", "No.", "Ei."]);
    assert_eq!(texts(&table, "gold"), ["0", "-", "1", "-"]);
    let number: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let columns = vec![
        ("id", strings(&["1", "2"])),
        ("views", number),
        ("title", strings(&["t", "u"])),
        ("text", strings(&["An article.\nOf lines.", ""])),
    ];
    let table = from_hub("text", Split::Train, "sw", columns);
    assert_eq!(texts(&table, "text"), ["An article.\nOf lines."]);
}

/// The shipped task `id` over the published folder `from`, which stands for `at` in the task's layout; rows by split and
/// language.
fn from_directory(id: &str, at: &str, from: &str, splits: &[Split], languages: &[&str]) -> Vec<(Split, String, u64)> {
    let registry = shipped();
    let task = registry.task(id, "the test").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let layout = &task.source.directory.as_ref().unwrap().layout;
    let link = if at.is_empty() { dir.path().join(layout) } else { dir.path().join(layout).join(at) };
    std::fs::create_dir_all(link.parent().unwrap()).unwrap();
    std::os::unix::fs::symlink(super::real::shared().join(from), link).unwrap();
    let chosen: Vec<&Language> = languages.iter().map(|code| registry.language(code, id).unwrap()).collect();
    let raw = resolve(task, &Origin::Directory { root: dir.path() }, &chosen, splits, true).unwrap();
    let (languages, limits) = (languages.iter().map(|code| (*code).to_owned()).collect::<Vec<_>>(), BTreeMap::new());
    let known = task.known_languages(&SourceLanguage::default());
    let terms = terms(task, &known);
    let request = NormalizeRequest { terms, raw: &raw, languages: &languages, limits: &limits };
    let outcome = normalize(&request, &dir.path().join("out"), &[], &Quiet, &AtomicBool::new(false)).unwrap();
    outcome.tables.into_iter().map(|table| (table.split, table.language, table.rows)).collect()
}

#[test]
#[ignore = "needs TRESTLE_SHARED"]
fn the_original_distributions_as_published() {
    use Split::{Test, Train, Validation};
    type Case<'a> = (&'a str, &'a str, &'a [Split], &'a [&'a str], &'a [u64]);
    let cases: &[Case] = &[
        ("mnli", "mnli/hf_dummy_multinli_1.0/multinli_1.0.zip/multinli_1.0", &[Train, Validation], &["en"], &[5, 5]),
        ("anli_r1", "anli/layout/anli_v0.1.zip/anli_v0.1", &[Train, Validation, Test], &["en"], &[5, 5, 5]),
        ("anli_r3", "anli/layout/anli_v0.1.zip/anli_v0.1", &[Train, Validation, Test], &["en"], &[5, 5, 5]),
        ("snli", "snli/excerpt", &[Train, Validation, Test], &["en"], &[5, 5, 5]),
        ("qqp", "qqp/layout/QQP", &[Train, Validation], &["en"], &[3, 2]),
        ("squad_v2", "squad/layout_v2.0", &[Train, Validation], &["en"], &[2, 2]),
        ("hellaswag", "hellaswag/layout", &[Train, Validation], &["en"], &[2, 2]),
        ("cosmosqa", "cosmosqa/layout", &[Train, Validation], &["en"], &[2, 2]),
        ("socialiqa", "siqa", &[Validation, Test], &["en"], &[1_954, 2_224]),
        ("commonsenseqa", "commonsenseqa", &[Train, Validation], &["en"], &[9_741, 1_221]),
        ("mlqa_translated", "mlqa/layout/mlqa-translate-train", &[Train, Validation], &["de"], &[1, 1]),
        ("xnli", "xnli/layout/XNLI-1.0", &[Validation, Test], &["ar"], &[2, 2]),
        ("pawsx", "pawsx/layout/en/x-final.tar.gz/x-final", &[Train, Validation, Test], &["en"], &[4, 4, 4]),
        ("pawsx_translated", "pawsx/layout/ko/x-final.tar.gz/x-final", &[Train], &["ko"], &[4]),
        ("xquad", "xquad", &[Test], &["ar", "zh"], &[1_190, 1_190]),
        ("mlqa", "mlqa", &[Validation], &["de", "hi"], &[512, 507]),
        ("mlqa_cross", "mlqa", &[Validation], &["de"], &[1_584]),
        ("tydiqa", "tydiqa/layout", &[Validation, Test], &["ar"], &[1, 1]),
        ("tatoeba", "tatoeba/v1", &[Test], &["ta"], &[614]),
        ("xcopa", "xcopa", &[Validation, Test], &["et"], &[100, 500]),
        ("lareqa", "lareqa", &[Test], &["en", "zh"], &[2_370, 2_386]),
    ];
    let mut wrong = Vec::new();
    for (id, from, splits, languages, rows) in cases {
        let found = from_directory(id, "", from, splits, languages);
        if found.iter().map(|table| table.2).collect::<Vec<_>>() != *rows {
            wrong.push((id, found));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
    for language in ["de", "en", "fi", "ja", "sw", "ta", "th", "zh"] {
        let from = format!("panx/layout/{language}/{language}.tar.gz");
        let found = from_directory("panx", language, &from, &[Train, Validation, Test], &[language]);
        assert_eq!(found.iter().map(|table| table.2).collect::<Vec<_>>(), [1, 1, 1], "{language}");
    }
}
