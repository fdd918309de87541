//! `panx_dataset` (WikiANN) and `mewsli-x`.
//!
//! Mewsli-X is written as its released schema describes it: `wikinews_mentions-{dev,test}.jsonl`, an article a line with
//! its mentions, and `candidate_set_entities.jsonl`, an entity a line with its description in one language. The optional
//! `section_title` and `metadata` are left out.

#[cfg(test)]
mod tests;

use std::ops::Range;

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::{RawFile, Target, drawn, hexadecimal, json, spoken};
use crate::error::FileError;
use crate::source::mini::clause::{Clause, Head, NounPhrase, Part, Predicate, Utterance};
use crate::source::mini::entity::{self, ENTITIES, Entity};
use crate::source::mini::language::{LANGUAGES, Language};
use crate::source::mini::realize::Realizer;
use crate::source::mini::sample;
use crate::source::mini::world::{NounId, WORLD};

/// Sentences of PAN-X for each language at size 1.
pub const PANX: [(&str, usize); 3] = [("train", 1500), ("dev", 200), ("test", 250)];
/// Articles of Mewsli-X, all languages together, at size 1.
const MEWSLI: [(&str, usize); 2] = [("dev", 350), ("test", 700)];
/// How much is known of each entity of Mewsli-X: its description tells all of it, articles one thing at a time.
const KNOWN: usize = 3;

/// A word and its tag.
type Tagged = (String, String);

/// The words with the tags of an entity.
fn tagged(words: &[String], class: &str) -> Vec<Tagged> {
    let tag = |index| if index == 0 { format!("B-{class}") } else { format!("I-{class}") };
    words.iter().enumerate().map(|(index, word)| (word.clone(), tag(index))).collect()
}

fn outside(word: &str) -> Tagged {
    (word.to_owned(), "O".to_owned())
}

/// A sentence of PAN-X: a clause about an entity, perhaps under a dateline; a list; or a heading.
fn panx_sentence(language: &Language, rng: &mut ChaCha8Rng) -> Vec<Tagged> {
    let first = Entity::random(rng);
    let name = |entity: Entity| tagged(&entity.words(language), entity.class());
    match rng.random_range(0..10) {
        0..6 => clause_about(first, language, rng),
        6..8 => {
            let and = language.grammar.and.get("", "")[0].text.as_str();
            let mut list = name(first);
            for separator in if rng.random_bool(0.5) { vec![and] } else { vec![",", and] } {
                list.push(outside(separator));
                list.extend(name(Entity::random(rng)));
            }
            list
        }
        8 => [name(first), vec![outside("(")], name(Entity::random(rng)), vec![outside(")")]].concat(),
        _ => [vec![outside("''")], name(first), vec![outside("''")]].concat(),
    }
}

fn clause_about(entity: Entity, language: &Language, rng: &mut ChaCha8Rng) -> Vec<Tagged> {
    let places = &WORLD.category_named("place").members;
    let clause = named_clause(places, rng);
    let mut sentence = Realizer::new(language).sentence(&Utterance::Statement(vec![clause]));
    let named = entity::put(&mut sentence, Part::Subject, &entity.words(language)).unwrap_or_default();
    let mut words = Vec::new();
    if rng.random_bool(0.2) {
        let city = Entity::city(rng);
        words.extend(tagged(&city.words(language), city.class()));
        words.push(outside(":"));
    }
    for (covered, form) in sentence.written() {
        words.push(if covered.start == named.start {
            (form.to_owned(), format!("B-{}", entity.class()))
        } else if named.contains(&covered.start) {
            (form.to_owned(), format!("I-{}", entity.class()))
        } else if sentence.tokens[covered.start].tag == "PROPN" {
            (form.to_owned(), "B-PER".to_owned())
        } else {
            outside(form)
        });
    }
    words
}

/// A clause about somebody by name.
fn named_clause(places: &[NounId], rng: &mut ChaCha8Rng) -> Clause {
    loop {
        let clause = sample::clause(places, rng);
        if matches!(clause.subject.head, Head::Name(_)) {
            return clause;
        }
    }
}

/// The characters one by one, as WikiANN has the languages without spaces.
fn characters(words: Vec<Tagged>) -> Vec<Tagged> {
    let split = |(word, tag): Tagged| {
        let inside = tag.replacen("B-", "I-", 1);
        let tags = std::iter::once(tag).chain(std::iter::repeat(inside));
        word.chars().zip(tags).map(|(c, tag)| (c.to_string(), tag)).collect::<Vec<_>>()
    };
    words.into_iter().flat_map(split).collect()
}

/// Writes the PAN-X files: sentences of its own for each language.
pub fn panx(target: &mut Target) -> Result<(), FileError> {
    for language in LANGUAGES.iter() {
        for (split, size) in PANX {
            let code = &language.code;
            let mut file = target.begin(format!("{code}/{split}"))?;
            for index in 0..target.count(size) {
                let mut rng = target.rng(&format!("{code} {split}"), index);
                let draw = |rng: &mut ChaCha8Rng| panx_sentence(language, rng);
                let text =
                    |words: &Vec<Tagged>| words.iter().map(|(word, _)| word.as_str()).collect::<Vec<_>>().join(" ");
                let words = drawn(split != "train", &mut rng, draw, text);
                for (word, tag) in if language.spaces { words } else { characters(words) } {
                    file.line(&format!("{code}:{word}\t{tag}"))?;
                }
                file.line("")?;
            }
            file.finish()?;
        }
    }
    Ok(())
}

/// Mewsli-X's own languages of articles.
const MEWSLI_LANGUAGES: [&str; 11] = ["ar", "de", "en", "es", "fa", "ja", "pl", "ro", "ta", "tr", "uk"];

/// What is known of an entity: what it does, and what it is.
fn known(target: &Target, entity: usize) -> Vec<Clause> {
    let mut rng = target.rng("known", entity);
    // The name stands for the entity's, which takes its place in the sentence.
    let subject = match ENTITIES[entity] {
        Entity::Person(name, _) => NounPhrase::name(name),
        _ => NounPhrase::name(sample::name(&mut rng)),
    };
    let places = &WORLD.category_named("place").members;
    (0..KNOWN)
        .map(|index| match index {
            0 if matches!(ENTITIES[entity], Entity::Person(..)) => {
                Clause::new(subject, Predicate::Kind(sample::pick(&WORLD.occupations(), &mut rng)))
            }
            0 => Clause::new(subject, Predicate::Quality(sample::pick(&WORLD.name_qualities(), &mut rng))),
            _ => {
                let place = Some(sample::pick(places, &mut rng));
                Clause { subject, place, ..sample::event(true, &mut rng) }
            }
        })
        .collect()
}

/// Text under construction, with the ranges of its sentences in Unicode code points.
#[derive(Default)]
struct Text {
    text: String,
    length: usize,
    sentences: Vec<Range<usize>>,
}

impl Text {
    /// Adds a sentence after `gap`; returns where it starts.
    fn add(&mut self, gap: &str, sentence: &str) -> usize {
        let gap = if self.text.is_empty() { "" } else { gap };
        self.text.push_str(gap);
        self.text.push_str(sentence);
        let start = self.length + gap.chars().count();
        self.length = start + sentence.chars().count();
        self.sentences.push(start..self.length);
        start
    }

    fn spans(&self) -> String {
        json::list(self.sentences.iter().map(|range| json::object(&span(range))))
    }
}

fn span(range: &Range<usize>) -> [(&'static str, String); 2] {
    [("start", json::value(range.start)), ("end", json::value(range.end))]
}

/// The entity's identifier, as Wikidata has them.
fn entity_identifier(entity: usize) -> String {
    format!("Q{}", 1000 + entity)
}

/// Writes the candidates: each entity once, described in one of the languages.
fn candidates(target: &Target, mut file: RawFile) -> Result<(), FileError> {
    for (index, entity) in ENTITIES.iter().enumerate() {
        let mut rng = target.rng("candidate", index);
        let language = &LANGUAGES[rng.random_range(0..LANGUAGES.len())];
        let gap = if language.spaces { " " } else { "" };
        let mut description = Text::default();
        for clause in known(target, index) {
            let mut sentence = Realizer::new(language).sentence(&Utterance::Statement(vec![clause]));
            entity::put(&mut sentence, Part::Subject, &entity.words(language));
            description.add(gap, &sentence.text());
        }
        let (code, id) = (&language.code, entity_identifier(index));
        file.line(&json::object(&[
            ("entity_id", json::value(&id)),
            ("title", json::value(entity.name(language))),
            ("description", json::value(&description.text)),
            ("sentence_spans", description.spans()),
            ("description_language", json::value(code)),
            ("description_url", json::value(format!("mini:{code}/{id}"))),
        ]))?;
    }
    file.finish()
}

/// An article: a title, and sentences of which one or two mention an entity in telling something known of it.
fn mentions(target: &Target, split: &str, index: usize, language: &Language) -> String {
    let mut rng = target.rng(split, index);
    let places = &WORLD.category_named("place").members;
    let gap = if language.spaces { " " } else { "" };
    // The splits are about different entities.
    let mut entity = || loop {
        let entity = rng.random_range(0..ENTITIES.len());
        if (entity % 3 == 0) == (split == "dev") {
            return entity;
        }
    };
    let about: Vec<usize> = (0..1 + index % 2).map(|_| entity()).collect();
    let title = ENTITIES[about[0]].name(language);
    let mut text = Text::default();
    text.add("", &title);
    let mut listed = Vec::new();
    for entity in about {
        let mut filler = || Utterance::Statement(vec![sample::clause(places, &mut rng)]);
        let filler = Realizer::new(language).sentence(&filler()).text();
        let first = text.sentences.len() == 1;
        text.add(if first { "\n\n" } else { gap }, &filler);
        let facts = known(target, entity);
        let told = facts.choose(&mut rng).copied().unwrap_or(facts[0]);
        let mut words = ENTITIES[entity].words(language);
        // A person goes by one name where the context tells who it is.
        if matches!(ENTITIES[entity], Entity::Person(..)) && rng.random_bool(0.5) {
            words = vec![words.swap_remove(rng.random_range(0..2))];
        }
        let mut sentence = Realizer::new(language).sentence(&Utterance::Statement(vec![told]));
        entity::put(&mut sentence, Part::Subject, &words);
        let start = text.add(gap, &sentence.text());
        if let Some((range, mention)) = sentence.span(Part::Subject) {
            let range = start + range.start..start + range.end;
            let mut mention_span = span(&range).to_vec();
            mention_span.push(("text", json::value(mention)));
            listed.push(json::object(&[
                ("example_id", json::value(hexadecimal(32, &mut rng))),
                ("mention_span", json::object(&mention_span)),
                ("entity_id", json::value(entity_identifier(entity))),
            ]));
        }
    }
    let id = format!("{}-{split}{index}", language.code);
    let context = json::object(&[
        ("document_title", json::value(title)),
        ("document_url", json::value(format!("mini:{id}"))),
        ("document_id", json::value(&id)),
        ("language", json::value(&language.code)),
        ("text", json::value(&text.text)),
        ("sentence_spans", text.spans()),
    ]);
    json::object(&[("context", context), ("mentions", json::list(listed))])
}

/// Writes the Mewsli-X files.
pub fn mewsli_x(target: &mut Target) -> Result<(), FileError> {
    let file = target.begin("candidate_set_entities.jsonl")?;
    candidates(target, file)?;
    let languages: Vec<_> = spoken(&MEWSLI_LANGUAGES).collect();
    for (split, size) in MEWSLI {
        let mut file = target.begin(format!("wikinews_mentions-{split}.jsonl"))?;
        for index in 0..target.count(size) {
            file.line(&mentions(target, split, index, languages[index % languages.len()]))?;
        }
        file.finish()?;
    }
    Ok(())
}
