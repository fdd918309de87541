use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use rand::SeedableRng;
use serde_json::Value;

use super::super::bayes;
use super::*;
use crate::source::mini::clause::{Clause, Part, Predicate};
use crate::source::mini::generated;

/// The paragraphs of a file of any form.
fn paragraphs(path: &Path) -> Vec<Value> {
    let file: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let articles = file["data"].as_array().unwrap();
    articles.iter().flat_map(|article| article["paragraphs"].as_array().unwrap().clone()).collect()
}

/// Checks every answer of a paragraph against its context; returns the questions' identifiers.
fn check(paragraph: &Value) -> Vec<String> {
    let context: Vec<char> = paragraph["context"].as_str().unwrap().chars().collect();
    let check = |asked: &Value| {
        for answer in asked["answers"].as_array().unwrap() {
            let (start, text) = (answer["answer_start"].as_u64().unwrap() as usize, answer["text"].as_str().unwrap());
            let end = start + text.chars().count();
            assert_eq!(context[start..end].iter().collect::<String>(), text, "{asked}");
            assert!(!text.is_empty() && text.trim() == text);
        }
        asked["id"].as_str().unwrap().to_owned()
    };
    paragraph["qas"].as_array().unwrap().iter().map(check).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn answers_stand_where_they_are_said_to(seed: u64) {
        let dir = generated("xquad", 0.2, seed);
        let identifiers = |language: &Language| -> Vec<Vec<String>> {
            let path = dir.path().join(format!("xquad.{}.json", language.code));
            paragraphs(&path).iter().map(check).collect()
        };
        let english = identifiers(english());
        for language in spoken(&XQUAD_LANGUAGES) {
            prop_assert_eq!(&identifiers(language), &english, "questions of {}", &language.code);
        }
    }
}

#[test]
fn squad_has_enough_distinct_questions_on_unseen_passages() {
    let dir = generated("squad-1.1", 1.0, 1);
    let [train, development] = ["train", "dev"].map(|s| paragraphs(&dir.path().join(format!("{s}-v1.1.json"))));
    let identifiers: Vec<_> = train.iter().chain(&development).flat_map(check).collect();
    assert!(identifiers.len() > 2800, "{} questions", identifiers.len());
    assert_eq!(identifiers.iter().collect::<HashSet<_>>().len(), identifiers.len());
    let seen: HashSet<_> = train.iter().map(|p| p["context"].as_str().unwrap()).collect();
    assert!(development.iter().all(|p| !seen.contains(p["context"].as_str().unwrap())));
    assert!(seen.iter().all(|context| context.split(' ').count() < 80));
}

fn questions(path: &Path) -> Vec<Value> {
    paragraphs(path).iter().flat_map(|paragraph| paragraph["qas"].as_array().unwrap().clone()).collect()
}

#[test]
fn squad_2_asks_what_its_passages_do_not_answer_and_does_not_show_it() {
    let dir = generated("squad-2.0", 1.0, 1);
    let examples = ["train", "dev"].map(|split| -> Vec<bayes::Example> {
        let mut examples = Vec::new();
        for paragraph in &paragraphs(&dir.path().join(format!("{split}-v2.0.json"))) {
            check(paragraph);
            for asked in paragraph["qas"].as_array().unwrap() {
                let impossible = asked["is_impossible"].as_bool().unwrap();
                let answers = asked["answers"].as_array().unwrap();
                let expected = if impossible {
                    0
                } else if split == "dev" {
                    3
                } else {
                    1
                };
                assert_eq!(answers.len(), expected, "{asked}");
                assert_eq!(asked.get("plausible_answers").is_some(), impossible, "{asked}");
                if impossible {
                    // What seems to answer stands in the context as an answer would.
                    let mut seeming = paragraph.clone();
                    seeming["qas"] = serde_json::json!([{"id": "", "answers": asked["plausible_answers"]}]);
                    check(&seeming);
                }
                examples.push((bayes::words(asked["question"].as_str().unwrap()), impossible.to_string()));
            }
        }
        examples
    });
    let [train, development] = &examples;
    let share = train.iter().filter(|(_, label)| label == "true").count() as f64 / train.len() as f64;
    assert!((0.3..0.45).contains(&share), "{share} have no answer");
    let alone = bayes::accuracy(train, development);
    assert!(alone < 1.0 - share + 0.06, "{alone} from the words of the question, {share} have no answer");
    assert!(train.len() > 2500 && development.len() > 250, "{} and {}", train.len(), development.len());
}

#[test]
fn what_cannot_be_answered_is_not_in_the_passage() {
    let mut found = 0;
    for seed in 0..300 {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let passage = reading::passage(&WORLD.category_named("place").members, rng);
        let Some(asked) = reading::unanswerable(&passage, 0, rng) else { continue };
        let Utterance::Question(clause, part) = asked.question else { panic!("{asked:?}") };
        let act = |clause: &Clause| match clause.predicate {
            Predicate::Act(verb, _) => verb,
            _ => panic!("{clause:?}"),
        };
        let alike = |told: &&Clause| {
            act(told) == act(&clause) && (part == Part::Subject || told.subject.head == clause.subject.head)
        };
        assert_eq!(passage.sentences.iter().find(alike), None, "{clause:?}");
        found += 1;
    }
    assert!(found > 250, "{found}");
}

#[test]
fn mlqa_shares_questions_and_answers_between_its_pairs_of_languages() {
    let dir = generated("MLQA_V1", 0.5, 1);
    let mut by_split = Vec::new();
    for split in ["dev", "test"] {
        let file = |context: &Language, question: &Language| {
            dir.path().join(format!("{split}/{split}-context-{}-question-{}.json", context.code, question.code))
        };
        let identified = |context: &Language, question: &Language| -> BTreeMap<String, Value> {
            paragraphs(&file(context, question)).iter().for_each(|paragraph| drop(check(paragraph)));
            let questions = questions(&file(context, question));
            questions.into_iter().map(|asked| (asked["id"].as_str().unwrap().to_owned(), asked)).collect()
        };
        let all = identified(english(), english());
        for context in spoken(&MLQA_LANGUAGES) {
            let own = identified(context, context);
            assert!(own.len() * 3 > all.len() && (context.code == "en" || own.len() < all.len()), "{}", context.code);
            for question in spoken(&MLQA_LANGUAGES) {
                let asked = identified(context, question);
                let both: Vec<_> = own.keys().filter(|id| identified(question, question).contains_key(*id)).collect();
                assert_eq!(asked.keys().collect::<Vec<_>>(), both);
                assert!(asked.iter().all(|(id, asked)| id.len() == 40 && asked["answers"] == own[id]["answers"]));
            }
        }
        by_split.push(all.into_keys().collect::<HashSet<_>>());
    }
    assert!(by_split[0].is_disjoint(&by_split[1]));
}

#[test]
fn tydiqas_languages_ask_about_passages_of_their_own() {
    let dir = generated("tydiqa", 0.3, 1);
    let mut contexts = HashSet::new();
    for split in ["train", "dev"] {
        let path = dir.path().join(format!("tydiqa-goldp-v1.1-{split}.json"));
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for paragraph in paragraphs(&path) {
            assert!(contexts.insert(paragraph["context"].as_str().unwrap().to_owned()));
            let [id] = &check(&paragraph)[..] else { panic!("{paragraph}") };
            let (rest, last) = id.rsplit_once('-').unwrap();
            let (language, number) = rest.split_once('-').unwrap();
            assert!(number.parse::<i64>().is_ok() && last.parse::<u32>().is_ok(), "{id}");
            *counts.entry(language.to_owned()).or_default() += 1;
        }
        let names: Vec<_> = counts.keys().map(String::as_str).collect();
        assert_eq!(names, ["arabic", "english", "finnish", "russian", "swahili"]);
        let needed = if split == "train" { 180 } else { 25 };
        assert!(counts.values().all(|count| *count > needed), "{counts:?}");
    }
}

#[test]
fn translations_keep_the_originals_questions() {
    let squad = generated("squad-1.1", 0.1, 5);
    let tydiqa = generated("tydiqa", 0.1, 5);
    let identifiers = |path: &Path| -> Vec<String> { paragraphs(path).iter().flat_map(check).collect() };
    let [train, development] =
        ["train", "dev"].map(|split| identifiers(&squad.path().join(format!("{split}-v1.1.json"))));
    let translated = |layout: &str, names: &dyn Fn(&str) -> String, languages: &[&str], original: &[String]| {
        let dir = generated(layout, 0.1, 5);
        for language in spoken(languages).filter(|language| language.code != "en") {
            assert_eq!(identifiers(&dir.path().join(names(&language.code))), original, "{layout} {}", language.code);
        }
    };
    let name = |code: &str| format!("squad.translate.train.en-{code}.json");
    translated("squad-translate-train", &name, &XQUAD_LANGUAGES, &train);
    for (split, original) in [("train", &train), ("dev", &development)] {
        let name = |code: &str| format!("{code}_squad-translate-train-{split}-v1.1.json");
        translated("mlqa-translate-train", &name, &MLQA_LANGUAGES, original);
    }
    let mut english = identifiers(&tydiqa.path().join("tydiqa-goldp-v1.1-train.json"));
    english.retain(|id| id.starts_with("english-"));
    assert!(english.len() > 50);
    let name = |code: &str| format!("tydiqa.translate.train.en-{code}.json");
    translated("tydiqa-translate-train", &name, &TYDIQA_LANGUAGES, &english);
}

#[test]
fn sentence_breaks_cut_xquads_passages_and_hold_one_answer_each() {
    let (dir, original) = (generated("xquad-r", 0.5, 1), generated("xquad", 0.5, 1));
    for language in spoken(&XQUAD_LANGUAGES) {
        let cut = paragraphs(&dir.path().join(format!("{}.json", language.code)));
        let same = paragraphs(&original.path().join(format!("xquad.{}.json", language.code)));
        assert_eq!(cut.len(), same.len());
        for (paragraph, same) in cut.iter().zip(&same) {
            assert!(paragraph["context"] == same["context"] && paragraph["qas"] == same["qas"]);
            let context: Vec<char> = paragraph["context"].as_str().unwrap().chars().collect();
            let breaks: Vec<[usize; 2]> = serde_json::from_value(paragraph["sentence_breaks"].clone()).unwrap();
            let cut: Vec<String> = breaks.iter().map(|[start, end]| context[*start..*end].iter().collect()).collect();
            assert_eq!(serde_json::json!(cut), paragraph["sentences"]);
            assert_eq!(breaks.last().unwrap()[1], context.len());
            for asked in paragraph["qas"].as_array().unwrap() {
                let start = asked["answers"][0]["answer_start"].as_u64().unwrap() as usize;
                let end = start + asked["answers"][0]["text"].as_str().unwrap().chars().count();
                assert_eq!(breaks.iter().filter(|[first, last]| *first <= start && end <= *last).count(), 1, "{asked}");
            }
        }
    }
}
