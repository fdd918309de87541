//! The multiple choice layouts: `commonsenseqa`, and, from what leads to what, `hellaswag`, `socialIQa_v1.4`, `cosmosqa`,
//! `COPA` and `xcopa`.

#[cfg(test)]
mod tests;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{Target, drawn, hexadecimal, json, spoken};
use crate::error::FileError;
use crate::source::mini::causality::{self, Cast, Link};
use crate::source::mini::clause::{Clause, NounPhrase, Part, Predicate, Utterance};
use crate::source::mini::commonsense::{self, CHOICES};
use crate::source::mini::language::{Language, english};
use crate::source::mini::realize::Realizer;
use crate::source::mini::sample;
use crate::source::mini::sentence::Sentence;
use crate::source::mini::text::joined;
use crate::source::mini::world::WORLD;

/// The splits of each layout at size 1, under the names of their files.
pub const COMMONSENSE_QA: [(&str, usize); 3] =
    [("train_rand_split", 3000), ("dev_rand_split", 400), ("test_rand_split_no_answers", 400)];
pub const HELLASWAG: [(&str, usize); 3] = [("train", 3000), ("val", 400), ("test", 400)];
pub const SOCIAL_IQA: [(&str, usize); 3] = [("trn", 3000), ("dev", 300), ("tst", 300)];
pub const COSMOS_QA: [(&str, usize); 3] = [("train", 2500), ("valid", 300), ("test", 300)];
pub const COPA: [(&str, usize); 2] = [("train", 1000), ("val", 100)];
pub const XCOPA: [(&str, usize); 2] = [("val", 100), ("test", 250)];

const LETTERS: [&str; CHOICES] = ["A", "B", "C", "D", "E"];

fn sentence(clause: &Clause, language: &Language) -> Sentence {
    Realizer::new(language).sentence(&Utterance::Statement(vec![*clause]))
}

/// Sentences one after the other, in English.
fn story(clauses: &[Clause]) -> String {
    let statements: Vec<_> = clauses.iter().map(|clause| Utterance::Statement(vec![*clause])).collect();
    joined(&mut Realizer::new(english()), &statements, english())
}

/// What a clause about a person by name says of them: `buys the car`, `is sad`.
fn said(clause: &Clause) -> String {
    words(&sentence(clause, english()), |part, _| part != Part::Subject)
}

/// The infinitive of what a person by name does: `buy the car`.
fn infinitive(clause: &Clause) -> String {
    let denied = sentence(&Clause { negated: true, ..*clause }, english());
    words(&denied, |part, tag| part != Part::Subject && !matches!(tag, "AUX" | "PART"))
}

/// The words to keep, by part and tag, but for the punctuation.
fn words(sentence: &Sentence, keep: impl Fn(Part, &str) -> bool) -> String {
    let kept = sentence.tokens.iter().filter(|token| token.tag != "PUNCT" && keep(token.part, token.tag));
    kept.map(|token| token.form.as_str()).collect::<Vec<_>>().join(" ")
}

/// The clause inside an English question: no full stop, and no capital but a name's.
fn embedded(clause: &Clause) -> String {
    let sentence = sentence(clause, english());
    let text = words(&sentence, |_, _| true);
    if sentence.tokens[0].tag == "PROPN" { text } else { text[..1].to_lowercase() + &text[1..] }
}

/// Whether cause and effect are about the person whom the cast has for it.
fn about_actor(link: &Link, cast: &Cast) -> bool {
    [link.cause, link.effect].iter().all(|clause| clause.subject == NounPhrase::name(cast.actor))
}

/// Writes the CommonsenseQA files; the test file has no answers.
pub fn commonsenseqa(target: &mut Target) -> Result<(), FileError> {
    let name = |noun| english().noun(noun).citation().to_owned();
    for (split, size) in COMMONSENSE_QA {
        let mut file = target.begin(format!("{split}.jsonl"))?;
        for index in 0..target.count(size) {
            let mut rng = target.rng(split, index);
            let choice = commonsense::choice(&mut rng);
            let lettered = choice.choices.iter().zip(LETTERS).map(|(noun, letter)| {
                json::object(&[("label", json::value(letter)), ("text", json::value(name(*noun)))])
            });
            let stem = joined(&mut Realizer::new(english()), &choice.stem, english());
            let question = json::object(&[
                ("question_concept", json::value(name(choice.concept))),
                ("choices", json::list(lettered)),
                ("stem", json::value(stem)),
            ]);
            let mut fields =
                vec![("id", json::value(format!("{:032x}", rng.random::<u128>()))), ("question", question)];
            if !split.ends_with("no_answers") {
                fields.insert(0, ("answerKey", json::value(LETTERS[choice.answer])));
            }
            file.line(&json::object(&fields))?;
        }
        file.finish()?;
    }
    Ok(())
}

/// What happened, and four ways to go on.
struct Continuation {
    cast: Cast,
    told: Vec<Clause>,
    links: [Link; 4],
    answer: usize,
}

fn continuation(rng: &mut ChaCha8Rng) -> Continuation {
    let (cast, links) = causality::alternatives(rng, about_actor);
    let answer = rng.random_range(0..links.len());
    let mut told = vec![causality::told(links[answer].cause, rng)];
    if rng.random_bool(0.6) {
        told.insert(0, causality::bystander(&cast, rng));
    }
    Continuation { cast, told, links, answer }
}

/// Writes the HellaSwag files; the test file has no labels.
pub fn hellaswag(target: &mut Target) -> Result<(), FileError> {
    for (split, size) in HELLASWAG {
        let mut file = target.begin(format!("hellaswag_{split}.jsonl"))?;
        for index in 0..target.count(size) {
            let mut rng = target.rng(split, index);
            let Continuation { cast, told, links, answer } =
                drawn(split != "train", &mut rng, continuation, |drawn| story(&drawn.told));
            let (before, subject) = (story(&told), &WORLD.names[cast.actor.0].text);
            let activity = match links[answer].cause.predicate {
                Predicate::Act(verb, _) => english().verb(verb).get("neg", "")[0].text.clone(),
                _ => "be".to_owned(),
            };
            let zero_shot = split != "train" && rng.random_bool(0.5);
            let mut fields = vec![
                ("ind", json::value(index)),
                ("activity_label", json::value(activity)),
                ("ctx_a", json::value(&before)),
                ("ctx_b", json::value(subject)),
                ("ctx", json::value(format!("{before} {subject}"))),
                ("split", json::value(split)),
                ("split_type", json::value(if zero_shot { "zeroshot" } else { "indomain" })),
                ("label", json::value(answer)),
                ("endings", json::strings(&links.map(|link| said(&link.effect) + "."))),
                ("source_id", json::value(format!("mini~v_{}", hexadecimal(11, &mut rng)))),
            ];
            fields.retain(|(key, _)| split != "test" || *key != "label");
            file.line(&json::object(&fields))?;
        }
        file.finish()?;
    }
    Ok(())
}

/// A question about a person in a situation.
struct Social {
    told: Vec<Clause>,
    question: String,
    answers: [String; 3],
    correct: usize,
}

fn social(rng: &mut ChaCha8Rng) -> Social {
    let acts = |clause: &Clause| matches!(clause.predicate, Predicate::Act(..));
    let correct = rng.random_range(0..3);
    let ask = rng.random_range(0..3);
    let (cast, links): (_, [Link; 3]) = causality::alternatives(rng, |link, cast| match ask {
        0 => about_actor(link, cast) && !acts(&link.effect),
        1 => about_actor(link, cast) && acts(&link.effect),
        _ => link.cause.subject == NounPhrase::name(cast.actor) && acts(&link.cause),
    });
    let name = &WORLD.names[cast.actor.0].text;
    let Link { cause, effect } = links[correct];
    let (given, question, answers) = match ask {
        0 => (cause, format!("How would {name} feel afterwards?"), links.map(|link| feeling(&link.effect))),
        1 => (cause, format!("What will {name} want to do next?"), links.map(|link| infinitive(&link.effect))),
        _ => (effect, format!("What did {name} do before this?"), links.map(|link| infinitive(&link.cause))),
    };
    let mut told = vec![causality::told(given, rng)];
    if rng.random_bool(0.3) {
        told.push(causality::bystander(&cast, rng));
    }
    Social { told, question, answers, correct }
}

/// The quality that the clause states: `sad`.
fn feeling(clause: &Clause) -> String {
    words(&sentence(clause, english()), |part, _| part == Part::Complement)
}

/// Writes the SocialIQA files.
pub fn social_iqa(target: &mut Target) -> Result<(), FileError> {
    for (split, size) in SOCIAL_IQA {
        let mut file = target.begin(format!("socialIQa_v1.4_{split}.jsonl"))?;
        for index in 0..target.count(size) {
            let mut rng = target.rng(split, index);
            let Social { told, question, answers: [a, b, c], correct } =
                drawn(split != "trn", &mut rng, social, |drawn| story(&drawn.told));
            file.line(&json::object(&[
                ("context", json::value(story(&told))),
                ("question", json::value(question)),
                ("answerA", json::value(a)),
                ("answerB", json::value(b)),
                ("answerC", json::value(c)),
                ("correct", json::value(LETTERS[correct])),
            ]))?;
        }
        file.finish()?;
    }
    Ok(())
}

/// The answer that CosmosQA gives among each question's four, as all of its text in tokens.
const NONE_OF_THESE: &str = "None of the above choices .";

/// A question about a narrative.
struct Narrative {
    context: String,
    question: String,
    answers: Vec<String>,
    label: usize,
}

fn narrative(rng: &mut ChaCha8Rng) -> Narrative {
    let (cast, links): (_, [Link; 4]) = causality::alternatives(rng, |_, _| true);
    // The first link is what happened. For one question in four none of the choices is it.
    let shown = if rng.random_bool(0.25) { 1..4 } else { 0..3 };
    let tokens = |clause: &Clause| sentence(clause, english()).tokenized();
    let (given, question, choice): (_, _, fn(&Link) -> Clause) = if rng.random_bool(0.5) {
        (links[0].cause, format!("What may happen after {} ?", embedded(&links[0].cause)), |link| link.effect)
    } else {
        (links[0].effect, format!("Why may it be that {} ?", embedded(&links[0].effect)), |link| link.cause)
    };
    let mut told: Vec<_> = (0..rng.random_range(1..4)).map(|_| causality::bystander(&cast, rng)).collect();
    told.push(causality::told(given, rng));
    told.shuffle(rng);
    let mut context = String::new();
    for clause in &told {
        let gap = if context.is_empty() {
            ""
        } else if rng.random_bool(0.15) {
            "\n"
        } else {
            " "
        };
        context.push_str(gap);
        // Blogs tell what people say.
        let teller = &WORLD.names[sample::name(rng).0].text;
        match rng.random_range(0..10) {
            0 => context.push_str(&format!("\" {} \" , {teller} says .", tokens(clause).trim_end_matches(" ."))),
            1 => context.push_str(&format!("Well , {} .", embedded(clause))),
            _ => context.push_str(&tokens(clause)),
        }
    }
    let mut choices: Vec<_> = shown.clone().map(Some).chain([None]).collect();
    choices.shuffle(rng);
    let right = if shown.contains(&0) { Some(0) } else { None };
    let label = choices.iter().position(|choice| *choice == right).unwrap_or_default();
    let text = |index: Option<usize>| index.map_or(NONE_OF_THESE.to_owned(), |index| tokens(&choice(&links[index])));
    Narrative { context, question, answers: choices.into_iter().map(text).collect(), label }
}

/// An identifier of CosmosQA: those of the workers' tasks, the blog's and the question's.
fn cosmos_identifier(index: usize, rng: &mut ChaCha8Rng) -> String {
    let mut task = |length: usize| -> String {
        (0..length).map(|_| char::from(sample::pick(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", rng))).collect()
    };
    format!("3{}##3{}##A{}##Blog_{index}##q1_a1##3{}", task(29), task(29), task(13), task(29))
}

/// One row of CSV, as CosmosQA's files have it: quoted where needed, with Windows line ends.
fn csv_row(fields: &[String]) -> String {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(fields).expect("memory takes every record");
    String::from_utf8(writer.into_inner().expect("memory is always flushed")).expect("fields are strings")
}

/// Writes the CosmosQA files: CSV with answers, and JSON lines without.
pub fn cosmosqa(target: &mut Target) -> Result<(), FileError> {
    const COLUMNS: [&str; 8] = ["id", "context", "question", "answer0", "answer1", "answer2", "answer3", "label"];
    for (split, size) in COSMOS_QA {
        let labelled = split != "test";
        let mut file = target.begin(if labelled { format!("{split}.csv") } else { format!("{split}.jsonl") })?;
        if labelled {
            file.text(&csv_row(&COLUMNS.map(str::to_owned)))?;
        }
        for index in 0..target.count(size) {
            let mut rng = target.rng(split, index);
            let Narrative { context, question, answers, label } =
                drawn(split != "train", &mut rng, narrative, |drawn| drawn.context.clone());
            let mut fields = vec![cosmos_identifier(index, &mut rng), context, question];
            fields.extend(answers);
            if labelled {
                fields.push(label.to_string());
                file.text(&csv_row(&fields))?;
            } else {
                let fields = COLUMNS.iter().zip(&fields).map(|(key, field)| (*key, json::value(field)));
                file.line(&json::object(&fields.collect::<Vec<_>>()))?;
            }
        }
        file.finish()?;
    }
    Ok(())
}

/// A premise and its more plausible cause or effect, beside another.
struct Plausible {
    question: &'static str,
    premise: Clause,
    choices: [Clause; 2],
    label: usize,
}

fn plausible(rng: &mut ChaCha8Rng) -> Plausible {
    let (_, links): (_, [Link; 2]) = causality::alternatives(rng, |_, _| true);
    let label = rng.random_range(0..2);
    let (question, given, choices) = if rng.random_bool(0.5) {
        ("effect", links[label].cause, links.map(|link| link.effect))
    } else {
        ("cause", links[label].effect, links.map(|link| link.cause))
    };
    Plausible { question, premise: causality::told(given, rng), choices, label }
}

/// The fields of a row of COPA in one language.
fn plausible_fields(example: &Plausible, index: usize, language: &Language) -> Vec<(&'static str, String)> {
    let text = |clause: &Clause| json::value(sentence(clause, language).text());
    let [first, second] = &example.choices;
    vec![
        ("premise", text(&example.premise)),
        ("choice1", text(first)),
        ("choice2", text(second)),
        ("question", json::value(example.question)),
        ("label", json::value(example.label)),
        ("idx", json::value(index)),
    ]
}

/// An example for training or for evaluation, which its premise decides.
fn drawn_plausible(evaluation: bool, rng: &mut ChaCha8Rng) -> Plausible {
    drawn(evaluation, rng, plausible, |drawn| story(&[drawn.premise]))
}

/// Writes the COPA files.
pub fn copa(target: &mut Target) -> Result<(), FileError> {
    for (split, size) in COPA {
        let mut file = target.begin(format!("{split}.jsonl"))?;
        for index in 0..target.count(size) {
            let example = drawn_plausible(split != "train", &mut target.rng(split, index));
            file.line(&json::object(&plausible_fields(&example, index, english())))?;
        }
        file.finish()?;
    }
    Ok(())
}

/// XCOPA's own languages.
const XCOPA_LANGUAGES: [&str; 11] = ["et", "ht", "id", "it", "qu", "sw", "ta", "th", "tr", "vi", "zh"];

/// Writes the XCOPA files: the same examples in every language, those for validation COPA's own.
pub fn xcopa(target: &mut Target) -> Result<(), FileError> {
    for language in spoken(&XCOPA_LANGUAGES) {
        for (split, size) in XCOPA {
            let mut file = target.begin(format!("data/{0}/{split}.{0}.jsonl", language.code))?;
            for index in 0..target.count(size) {
                let example = drawn_plausible(true, &mut target.rng_of("COPA", split, index));
                let mut fields = plausible_fields(&example, index, language);
                fields.push(("changed", json::value(false)));
                file.line(&json::object(&fields))?;
            }
            file.finish()?;
        }
    }
    Ok(())
}
