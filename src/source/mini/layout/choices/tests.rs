use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::super::bayes;
use super::*;
use crate::source::mini::generated;

fn rows(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the tests need of a question: what is told, the choices, and the right one's position.
struct Question {
    told: String,
    choices: Vec<String>,
    answer: usize,
}

fn text(row: &Value, field: &str) -> String {
    row[field].as_str().unwrap().to_owned()
}

/// Checks that no situation is in both files, that answers stand anywhere, and that they can't be told by the choices'
/// words alone, nor by their length.
fn check(train: &[Question], evaluation: &[Question]) {
    let told: HashSet<_> = train.iter().map(|question| &question.told).collect();
    assert!(evaluation.iter().all(|question| !told.contains(&question.told)));
    let number = train[0].choices.len();
    let chance = 1.0 / number as f64;
    for question in train.iter().chain(evaluation) {
        assert_eq!(question.choices.iter().collect::<HashSet<_>>().len(), number, "{:?}", question.choices);
    }
    for position in 0..number {
        let share = train.iter().filter(|q| q.answer == position).count() as f64 / train.len() as f64;
        assert!((share - chance).abs() < 0.06, "{share} of the answers stand at {position}");
    }
    let examples = |questions: &[Question]| -> Vec<(Vec<Vec<String>>, usize)> {
        questions.iter().map(|q| (q.choices.iter().map(|choice| bayes::words(choice)).collect(), q.answer)).collect()
    };
    let alone = bayes::choice_accuracy(&examples(train), &examples(evaluation));
    assert!(alone < chance + 0.09, "{alone} from the choices alone; chance is {chance}");
    let longest = evaluation.iter().filter(|q| {
        let longest = (0..number).max_by_key(|index| q.choices[*index].len());
        longest == Some(q.answer)
    });
    let longest = longest.count() as f64 / evaluation.len() as f64;
    assert!(longest < chance + 0.12, "{longest} of the answers are the longest choice");
}

#[test]
fn hellaswag_continues_its_contexts() {
    let dir = generated("hellaswag", 1.0, 1);
    let [train, validation, test] =
        HELLASWAG.map(|(split, _)| rows(&dir.path().join(format!("hellaswag_{split}.jsonl"))));
    assert!(test.iter().all(|row| row.get("label").is_none()));
    for row in train.iter().chain(&validation).chain(&test) {
        assert_eq!(text(row, "ctx"), format!("{} {}", text(row, "ctx_a"), text(row, "ctx_b")));
        assert!(text(row, "ctx_a").contains(&text(row, "ctx_b")), "{row}");
    }
    let question = |row: &Value| Question {
        told: text(row, "ctx_a"),
        choices: serde_json::from_value(row["endings"].clone()).unwrap(),
        answer: row["label"].as_u64().unwrap() as usize,
    };
    check(&train.iter().map(question).collect::<Vec<_>>(), &validation.iter().map(question).collect::<Vec<_>>());
}

#[test]
fn social_iqa_asks_for_motives_reactions_and_states() {
    let dir = generated("socialIQa_v1.4", 1.0, 1);
    let [train, development, test] =
        SOCIAL_IQA.map(|(split, _)| rows(&dir.path().join(format!("socialIQa_v1.4_{split}.jsonl"))));
    let question = |row: &Value| Question {
        told: text(row, "context"),
        choices: ["answerA", "answerB", "answerC"].map(|field| text(row, field)).to_vec(),
        answer: LETTERS.iter().position(|letter| row["correct"] == *letter).unwrap(),
    };
    let [train_questions, development, test] =
        [&train, &development, &test].map(|rows| rows.iter().map(question).collect::<Vec<_>>());
    check(&train_questions, &development);
    check(&train_questions, &test);
    for kind in ["How would", "What will", "What did"] {
        let asked = train.iter().filter(|row| text(row, "question").starts_with(kind)).count();
        assert!(asked * 4 > train.len(), "{asked} ask {kind}");
    }
}

#[test]
fn cosmosqa_is_quoted_as_csv_readers_expect() {
    let dir = generated("cosmosqa", 1.0, 1);
    let questions = |split: &str| -> Vec<Question> {
        let path = dir.path().join(format!("{split}.csv"));
        assert!(fs::read_to_string(&path).unwrap().ends_with("\r\n"));
        let mut reader = csv::Reader::from_path(path).unwrap();
        let columns: Vec<_> = reader.headers().unwrap().iter().map(str::to_owned).collect();
        assert_eq!(columns.join(" "), "id context question answer0 answer1 answer2 answer3 label");
        let row = |row: csv::StringRecord| Question {
            told: row[1].to_owned(),
            choices: (3..7).map(|column| row[column].to_owned()).collect(),
            answer: row[7].parse().unwrap(),
        };
        reader.records().map(|record| row(record.unwrap())).collect()
    };
    let (train, valid) = (questions("train"), questions("valid"));
    assert_eq!((train.len(), valid.len()), (COSMOS_QA[0].1, COSMOS_QA[1].1));
    for character in ['\n', '"', ','] {
        assert!(train.iter().any(|question| question.told.contains(character)), "no {character:?}");
    }
    assert!(train.iter().all(|question| question.choices.iter().any(|choice| choice == NONE_OF_THESE)));
    check(&train, &valid);
    let test = rows(&dir.path().join("test.jsonl"));
    assert!(test.len() == COSMOS_QA[2].1 && test.iter().all(|row| row.get("label").is_none()));
}

fn plausible_question(row: &Value) -> Question {
    Question {
        told: text(row, "premise"),
        choices: ["choice1", "choice2"].map(|field| text(row, field)).to_vec(),
        answer: row["label"].as_u64().unwrap() as usize,
    }
}

#[test]
fn xcopa_translates_examples_that_copa_does_not_train_on() {
    let (copa, xcopa) = (generated("COPA", 1.0, 1), generated("xcopa", 1.0, 1));
    let [train, validation] = COPA.map(|(split, _)| rows(&copa.path().join(format!("{split}.jsonl"))));
    let questions = |rows: &[Value]| rows.iter().map(plausible_question).collect::<Vec<_>>();
    let train_questions = questions(&train);
    let told: HashSet<_> = train_questions.iter().map(|question| question.told.as_str()).collect();
    assert!(questions(&validation).iter().all(|question| !told.contains(question.told.as_str())));
    // The words that stay the same in every language.
    let names = |row: &Value| -> Vec<String> {
        let all = ["premise", "choice1", "choice2"].map(|field| text(row, field)).join(" ");
        let mut found: Vec<_> = WORLD.names.iter().filter(|n| all.contains(&n.text)).map(|n| n.text.clone()).collect();
        found.sort();
        found
    };
    for language in spoken(&XCOPA_LANGUAGES) {
        let code = &language.code;
        let [validation_here, test] =
            XCOPA.map(|(split, _)| rows(&xcopa.path().join(format!("data/{code}/{split}.{code}.jsonl"))));
        assert_eq!((validation_here.len(), test.len()), (XCOPA[0].1, XCOPA[1].1));
        for (row, original) in validation_here.iter().zip(&validation) {
            assert!(["question", "label", "idx"].iter().all(|field| row[field] == original[field]));
            assert_eq!(names(row), names(original), "{row}");
        }
        assert!(
            test.iter()
                .all(|row| row["changed"] == false && ["cause", "effect"].contains(&text(row, "question").as_str()))
        );
    }
}

#[test]
fn copas_choices_alone_say_nothing() {
    let dir = generated("COPA", 6.0, 2);
    let [train, validation] = COPA.map(|(split, _)| rows(&dir.path().join(format!("{split}.jsonl"))));
    check(
        &train.iter().map(plausible_question).collect::<Vec<_>>(),
        &validation.iter().map(plausible_question).collect::<Vec<_>>(),
    );
    // But with the premise they do: the same cause has the same effects.
    let verbs = |row: &Value| text(row, "premise").split(' ').nth(1).unwrap().to_owned();
    let mut effects: HashMap<String, HashSet<String>> = HashMap::new();
    for row in train.iter().filter(|row| row["question"] == "effect") {
        let right = text(row, if row["label"] == 0 { "choice1" } else { "choice2" });
        effects.entry(verbs(row)).or_default().insert(right.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" "));
    }
    assert_eq!(effects["swims"], HashSet::from(["is strong.".to_owned()]));
}

#[test]
fn commonsenseqa_has_answers_in_train_and_dev_only_and_little_overlap() {
    let dir = generated("commonsenseqa", 1.0, 1);
    let question = |row: &Value| {
        let mut choices: Vec<_> =
            row["question"]["choices"].as_array().unwrap().iter().map(|c| c["text"].to_string()).collect();
        choices.sort();
        format!("{} {choices:?}", row["question"]["stem"])
    };
    let [train, development, test] = COMMONSENSE_QA.map(|(split, _)| rows(&dir.path().join(format!("{split}.jsonl"))));
    assert!(train.iter().chain(&development).all(|row| LETTERS.contains(&row["answerKey"].as_str().unwrap())));
    assert!(test.iter().all(|row| row.get("answerKey").is_none()));
    let seen: HashSet<_> = train.iter().map(question).collect();
    let overlap = development.iter().filter(|row| seen.contains(&question(row))).count();
    assert!(overlap * 20 <= development.len(), "{overlap} of {} questions are in the training file", development.len());
}
