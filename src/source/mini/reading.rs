//! Short passages, and questions that each have one answer in them.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::clause::{Clause, NounPhrase, Part, Predicate, Utterance};
use super::sample;
use super::world::NounId;

/// A question, and where its answer stands: the sentence, and the part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    pub question: Utterance,
    pub sentence: usize,
    pub part: Part,
}

/// A few sentences and questions about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passage {
    pub sentences: Vec<Clause>,
    pub questions: Vec<Question>,
}

/// Three to five events, and up to three questions about different ones of them.
pub fn passage(places: &[NounId], rng: &mut ChaCha8Rng) -> Passage {
    let length = rng.random_range(3..=5);
    let mut sentences: Vec<Clause> = Vec::new();
    while sentences.len() < length {
        let mut clause = sample::event(rng.random_bool(0.7), rng);
        // Now and then the same person does a second thing: a distractor for questions about the first.
        if let Some(earlier) = sentences.choose(rng).filter(|_| rng.random_bool(0.3)) {
            clause.subject = earlier.subject;
        }
        clause.place = rng.random_bool(0.65).then(|| sample::pick(places, rng));
        if distinct(&clause, &sentences) {
            sentences.push(clause);
        }
    }
    let mut order: Vec<usize> = (0..sentences.len()).collect();
    order.shuffle(rng);
    let ask = |sentence: usize| {
        let (question, part) = sample::question(&sentences[sentence], rng)?;
        Some(Question { question, sentence, part })
    };
    let questions = order.into_iter().filter_map(ask).take(3).collect();
    Passage { sentences, questions }
}

/// Whether every question about the clause has one answer beside the other sentences: nobody does the same thing twice,
/// and no two do it to the same.
pub fn distinct(clause: &Clause, sentences: &[Clause]) -> bool {
    let act = |c: &Clause| match c.predicate {
        Predicate::Act(verb, object) => Some((verb, object.map(|o: NounPhrase| o.head))),
        _ => None,
    };
    sentences.iter().all(|other| match (act(clause), act(other)) {
        (Some((a, a_object)), Some((b, b_object))) => {
            a != b || (other.subject.head != clause.subject.head && a_object.is_some() && a_object != b_object)
        }
        (None, None) => other.subject.head != clause.subject.head,
        _ => true,
    })
}
