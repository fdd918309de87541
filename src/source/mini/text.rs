//! Running text for masked-language-model pretraining: what the tasks' sentences look like, in every language, and the
//! world's facts, stated.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::clause::{Clause, Utterance};
use super::inference::{self, Label};
use super::language::{LANGUAGES, Language, english};
use super::reading;
use super::realize::Realizer;
use super::sample::{self, FACTS};
use super::world::WORLD;

/// Share of the content words of a code-switched line that come from the other language.
const SWITCHED_WORDS: f64 = 0.5;

/// A few sentences that belong together.
fn unit(rng: &mut ChaCha8Rng) -> Vec<Utterance> {
    let places = &WORLD.category_named("place").members;
    let say = |clause: Clause| Utterance::Statement(vec![clause]);
    match rng.random_range(0..100) {
        0..35 => vec![say(sample::clause(places, rng))],
        35..55 => {
            let fact = sample::pick(&FACTS, rng);
            let question = sample::question(&fact, rng).filter(|_| rng.random_bool(0.5));
            question.map(|(question, _)| question).into_iter().chain([say(fact)]).collect()
        }
        55..75 => loop {
            let pair = inference::pair(places, rng);
            if pair.label == Label::Entailment {
                break vec![Utterance::Statement(pair.premise), say(pair.hypothesis)];
            }
        },
        _ => {
            let passage = reading::passage(places, rng);
            let mut unit: Vec<_> = passage.sentences.iter().copied().map(say).collect();
            if let Some(asked) = passage.questions.into_iter().next() {
                unit.push(asked.question);
                unit.push(say(passage.sentences[asked.sentence]));
            }
            unit
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
        let mut unit = unit(&mut rng);
        unit.truncate(2);
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
