//! Running text for masked-language-model pretraining: what the tasks' sentences look like, in every language, and the
//! world's facts, stated.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::clause::{Clause, Utterance};
use super::inference;
use super::language::{LANGUAGES, Language, english};
use super::reading;
use super::realize::Realizer;
use super::sample::{self, FACTS, HABITS};
use super::world::WORLD;

/// Share of the content words of a code-switched line that come from the other language.
const SWITCHED_WORDS: f64 = 0.5;
/// Share of the clauses that tell what a person is known for.
const KNOWN: f64 = 0.6;
/// Sentences of a passage before its question.
const PASSAGE: usize = 3;

/// A clause as texts have it: mostly what a person is known for, with other modifiers now and then, else anything.
fn clause(rng: &mut ChaCha8Rng) -> Clause {
    let any = sample::clause(&WORLD.category_named("place").members, rng);
    if rng.random_bool(KNOWN) { sample::pick(&HABITS, rng) } else { any }
}

/// One sentence: a clause, a fact, or a question that a clause or a fact answers.
fn sentence(rng: &mut ChaCha8Rng) -> Utterance {
    let clause = if rng.random_bool(0.3) { sample::pick(&FACTS, rng) } else { clause(rng) };
    match sample::question(&clause, rng) {
        Some((question, _)) if rng.random_bool(0.2) => question,
        _ => Utterance::Statement(vec![clause]),
    }
}

/// One sentence or a few that belong together: a question with its answer, a sentence and what follows from it, a short
/// passage with a question about it.
fn unit(rng: &mut ChaCha8Rng) -> Vec<Utterance> {
    let say = |clause: Clause| Utterance::Statement(vec![clause]);
    match rng.random_range(0..100) {
        0..45 => vec![sentence(rng)],
        45..60 => {
            let fact = sample::pick(&FACTS, rng);
            sample::question(&fact, rng).map(|(question, _)| question).into_iter().chain([say(fact)]).collect()
        }
        60..80 => {
            let pair = inference::entailed_by(&clause(rng), &WORLD.category_named("place").members, rng);
            vec![Utterance::Statement(pair.premise), say(pair.hypothesis)]
        }
        _ => {
            let mut told = Vec::new();
            while told.len() < PASSAGE {
                let clause = sample::pick(&HABITS, rng);
                if reading::distinct(&clause, &told) {
                    told.push(clause);
                }
            }
            let asked = sample::pick(&told, rng);
            let question = sample::question(&asked, rng).map(|(question, _)| question);
            told.into_iter().map(say).chain(question).chain([say(asked)]).collect()
        }
    }
}

/// The sentences one after the other, as the language writes them.
pub fn joined(realizer: &mut Realizer, utterances: &[Utterance], language: &Language) -> String {
    let sentences: Vec<_> = utterances.iter().map(|utterance| realizer.sentence(utterance).text()).collect();
    sentences.join(if language.spaces { " " } else { "" })
}

/// Another language: English for half of the lines, so that the language of training is every other's neighbour.
fn partner(language: &Language, rng: &mut ChaCha8Rng) -> &'static Language {
    if language.code != "en" && rng.random_bool(0.5) {
        return english();
    }
    loop {
        let other = &LANGUAGES[rng.random_range(0..LANGUAGES.len())];
        if other.code != language.code {
            return other;
        }
    }
}

/// One line of text of a language.
pub fn line(language: &Language, parallel_share: f64, code_switched_share: f64, mut rng: ChaCha8Rng) -> String {
    let roll: f64 = rng.random();
    if roll < parallel_share {
        let unit = [sentence(&mut rng)];
        let other = partner(language, &mut rng);
        let mut halves =
            [joined(&mut Realizer::new(language), &unit, language), joined(&mut Realizer::new(other), &unit, other)];
        if rng.random_bool(0.5) {
            halves.reverse();
        }
        halves.join(" ")
    } else if roll < parallel_share + code_switched_share {
        let unit = unit(&mut rng);
        let other = partner(language, &mut rng);
        joined(&mut Realizer::code_switched(language, other, SWITCHED_WORDS, rng), &unit, language)
    } else {
        joined(&mut Realizer::new(language), &unit(&mut rng), language)
    }
}
