use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;

use serde_json::Value;

use super::*;
use crate::source::mini::generated;

#[test]
fn panx_has_tagged_words_of_its_language_and_every_class() {
    let dir = generated("panx_dataset", 0.5, 1);
    for language in LANGUAGES.iter() {
        let mut seen: HashMap<&str, HashSet<String>> = HashMap::new();
        for (split, size) in PANX {
            let text = fs::read_to_string(dir.path().join(format!("{}/{split}", language.code))).unwrap();
            let mut classes: BTreeMap<String, usize> = BTreeMap::new();
            let sentences: Vec<_> = text.trim_end_matches('\n').split("\n\n").collect();
            assert_eq!(sentences.len(), size / 2, "{} {split}", language.code);
            for sentence in sentences {
                let mut before = "O".to_owned();
                for line in sentence.lines() {
                    let (word, tag) = line.split_once('\t').unwrap();
                    let word = word.strip_prefix(&format!("{}:", language.code)).unwrap();
                    assert!(!word.is_empty() && !word.contains(' '), "{line}");
                    assert!(language.spaces || word.chars().count() == 1, "{line}");
                    if let Some(class) = tag.strip_prefix("I-") {
                        assert!(before.ends_with(class), "{line} goes on with nothing\n{sentence}");
                    } else if let Some(class) = tag.strip_prefix("B-") {
                        *classes.entry(class.to_owned()).or_default() += 1;
                    } else {
                        assert_eq!(tag, "O", "{line}");
                    }
                    before = tag.to_owned();
                }
                seen.entry(split).or_default().insert(sentence.to_owned());
            }
            let found: Vec<_> = classes.keys().map(String::as_str).collect();
            assert_eq!(found, ["LOC", "ORG", "PER"], "{} {split}", language.code);
        }
        assert!(seen["train"].is_disjoint(&seen["dev"]) && seen["train"].is_disjoint(&seen["test"]));
    }
}

/// Checks that spans of sentences cut the text without a rest but for the gaps between them.
fn check_spans(text: &str, spans: &Value) {
    let characters: Vec<char> = text.chars().collect();
    let mut end = 0;
    for span in spans.as_array().unwrap() {
        let [start, next] = ["start", "end"].map(|key| span[key].as_u64().unwrap() as usize);
        assert!(start < next && characters[end..start].iter().all(|c| c.is_whitespace()), "{text}");
        end = next;
    }
    assert_eq!(end, characters.len(), "{text}");
}

#[test]
fn mewslis_mentions_are_in_their_articles_and_their_entities_among_the_candidates() {
    let dir = generated("mewsli-x", 1.0, 1);
    let rows = |file: &str| -> Vec<Value> {
        let text = fs::read_to_string(dir.path().join(file)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let candidates = rows("candidate_set_entities.jsonl");
    let mut titles = HashMap::new();
    for candidate in &candidates {
        let (description, title) = (candidate["description"].as_str().unwrap(), candidate["title"].as_str().unwrap());
        check_spans(description, &candidate["sentence_spans"]);
        assert_eq!(description.matches(title).count(), KNOWN, "{candidate}");
        titles.insert(candidate["entity_id"].as_str().unwrap(), title);
    }
    assert_eq!(titles.len(), candidates.len());
    let languages: HashSet<_> = candidates.iter().map(|c| c["description_language"].as_str().unwrap()).collect();
    assert_eq!(languages.len(), LANGUAGES.len());
    let mut examples = HashSet::new();
    let entities = ["dev", "test"].map(|split| {
        let mut entities = HashSet::new();
        let mut articles: BTreeMap<String, usize> = BTreeMap::new();
        for article in rows(&format!("wikinews_mentions-{split}.jsonl")) {
            let context = &article["context"];
            let text = context["text"].as_str().unwrap();
            check_spans(text, &context["sentence_spans"]);
            *articles.entry(context["language"].as_str().unwrap().to_owned()).or_default() += 1;
            for mention in article["mentions"].as_array().unwrap() {
                let span = &mention["mention_span"];
                let [start, end] = ["start", "end"].map(|key| span[key].as_u64().unwrap() as usize);
                let cut: String = text.chars().skip(start).take(end - start).collect();
                assert_eq!(span["text"], cut, "{article}");
                let entity = mention["entity_id"].as_str().unwrap();
                let index: usize = entity[1..].parse::<usize>().unwrap() - 1000;
                // Persons are called the same in every language.
                let person = matches!(ENTITIES[index], Entity::Person(..));
                assert!(!person || titles[entity].contains(&cut), "{mention}");
                entities.insert(entity.to_owned());
                assert!(examples.insert(mention["example_id"].to_string()), "{mention}");
            }
        }
        assert_eq!(articles.len(), spoken(&MEWSLI_LANGUAGES).count());
        entities
    });
    assert!(entities[0].is_disjoint(&entities[1]));
    assert!(entities.iter().flatten().all(|entity| titles.contains_key(entity.as_str())));
}
