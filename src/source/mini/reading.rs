//! Short passages, and questions that each have one answer in them.

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::clause::{Clause, Head, NounPhrase, Part, Predicate, Utterance};
use super::sample;
use super::world::{NounId, VerbId, WORLD};

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

/// A question like one about the sentence that nothing in the passage answers, and the part that seems to answer it:
/// somebody of the passage is asked about who does something else, or something is asked about that nobody does.
pub fn unanswerable(passage: &Passage, sentence: usize, rng: &mut ChaCha8Rng) -> Option<Question> {
    let clause = passage.sentences[sentence];
    let (_, part) = sample::question(&clause, rng)?;
    let does = |head: Option<Head>, verb: VerbId| {
        passage.sentences.iter().any(|other| {
            matches!(other.predicate, Predicate::Act(done, _) if done == verb || WORLD.verb(done).synonym == Some(verb))
                && head.is_none_or(|head| other.subject.head == head)
        })
    };
    let animal = |np: &NounPhrase| np.noun_id().is_some_and(|noun| WORLD.category(noun).key == "animal");
    let Predicate::Act(verb, object) = clause.predicate else { return None };
    let could = |other: &NounPhrase| WORLD.verb(verb).animals || !animal(other);
    let others = passage.sentences.iter().map(|other| other.subject);
    let idle: Vec<_> = others.filter(|other| could(other) && !does(Some(other.head), verb)).collect();
    let asked = match idle.choose(rng).filter(|_| part != Part::Subject && rng.random_bool(0.5)) {
        Some(other) => Clause { subject: *other, ..clause },
        None => {
            let suits = |id: &VerbId| {
                let verb = WORLD.verb(*id);
                let takes = object.map_or(verb.objects.is_empty(), |np| {
                    np.noun_id().is_some_and(|noun| verb.objects.contains(&WORLD.noun(noun).category))
                });
                takes && !verb.fact && (verb.animals || !animal(&clause.subject)) && !does(None, *id)
            };
            let verbs: Vec<_> = (0..WORLD.verbs.len()).map(VerbId).filter(suits).collect();
            Clause { predicate: Predicate::Act(*verbs.choose(rng)?, object), ..clause }
        }
    };
    Some(Question { question: sample::ask(&asked, part), sentence, part })
}
