use std::collections::HashSet;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::source::mini::generated;

fn paragraphs(path: &Path) -> Vec<Value> {
    let file: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(file["version"], "1.1");
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
        for language in LANGUAGES.iter() {
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
