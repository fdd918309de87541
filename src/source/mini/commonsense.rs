//! Questions with five choices that ask for the facts of the world.

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::clause::{Clause, NounPhrase, Part, Predicate, Utterance};
use super::sample::{self, FACTS};
use super::world::{AdverbSlot, NounId, WORLD};

/// A question, perhaps after a sentence that sets the scene, and its choices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub stem: Vec<Utterance>,
    /// The concept that the question is about.
    pub concept: NounId,
    pub choices: Vec<NounId>,
    /// Position of the right choice.
    pub answer: usize,
}

/// Number of choices, as in CommonsenseQA.
pub const CHOICES: usize = 5;

/// A random question.
pub fn choice(rng: &mut ChaCha8Rng) -> Choice {
    let fact = if rng.random_bool(0.65) {
        let (relation, subject, object) = sample::pick(&WORLD.facts, rng);
        sample::fact(relation, subject, object)
    } else {
        let kinds = FACTS.iter().copied().filter(|fact| matches!(fact.predicate, Predicate::Kind(_)));
        sample::pick(&kinds.collect::<Vec<_>>(), rng)
    };
    let (subject, object) = ends(&fact);
    // Half of the questions ask for the subject: who works in the school?
    if rng.random_bool(0.5) && !matches!(fact.predicate, Predicate::Kind(_)) {
        let rivals = rivals(subject, |other| holds(&Clause { subject: NounPhrase::noun(other), ..fact }));
        let stem = vec![sample::ask(&fact, Part::Subject)];
        return shuffled(with_time(stem, rng), object, subject, rivals, rng);
    }
    let part = match fact.predicate {
        Predicate::Act(_, None) => Part::Place,
        Predicate::Act(_, Some(_)) => Part::Object,
        _ => Part::Complement,
    };
    let rivals = rivals(object, |other| holds(&with_object(&fact, other)));
    let mut stem = vec![sample::ask(&fact, part)];
    if WORLD.occupations().contains(&subject) && part == Part::Place && rng.random_bool(0.5) {
        let person = NounPhrase::name(sample::name(rng));
        stem = vec![
            Utterance::Statement(vec![Clause::new(person, Predicate::Kind(subject))]),
            sample::ask(&Clause { subject: person, ..fact }, part),
        ];
    }
    shuffled(with_time(stem, rng), subject, object, rivals, rng)
}

/// Subject of a fact, and the place, food or kind.
fn ends(fact: &Clause) -> (NounId, NounId) {
    let object = match fact.predicate {
        Predicate::Act(_, object) => object.and_then(|np| np.noun_id()).or(fact.place),
        Predicate::Kind(noun) | Predicate::Located(noun) => Some(noun),
        Predicate::Quality(_) => None,
    };
    fact.subject.noun_id().zip(object).expect("a fact relates two nouns")
}

/// The fact with another place, food or kind.
fn with_object(fact: &Clause, object: NounId) -> Clause {
    match fact.predicate {
        Predicate::Act(_, None) => Clause { place: Some(object), ..*fact },
        Predicate::Act(..) => fact.with_object(NounPhrase::noun(object)),
        Predicate::Located(_) => Clause { predicate: Predicate::Located(object), ..*fact },
        _ => Clause { predicate: Predicate::Kind(object), ..*fact },
    }
}

/// Whether the world states it.
fn holds(clause: &Clause) -> bool {
    FACTS.contains(clause)
}

/// Nouns that could be the answer but aren't: hypernyms beside a hypernym, else things that are the answer to another
/// question of the same kind or belong to the same category.
fn rivals(answer: NounId, right: impl Fn(NounId) -> bool) -> Vec<NounId> {
    let entry = WORLD.noun(answer);
    let alike = |other: NounId| match entry.hypernym {
        true => WORLD.noun(other).hypernym,
        false => !WORLD.noun(other).hypernym && same_kind(answer, other),
    };
    (0..WORLD.nouns.len()).map(NounId).filter(|other| *other != answer && alike(*other) && !right(*other)).collect()
}

/// Whether both are places, persons, animals, things to eat, or none of these.
fn same_kind(a: NounId, b: NounId) -> bool {
    let kind = |noun: NounId| match WORLD.category(noun).key.as_str() {
        key @ ("place" | "person" | "animal") => key,
        "food" | "fruit" | "vegetable" | "plant" => "food",
        _ => "thing",
    };
    kind(a) == kind(b)
}

/// Adds a time adverb to the question now and then, so that one fact gives many stems.
fn with_time(mut stem: Vec<Utterance>, rng: &mut ChaCha8Rng) -> Vec<Utterance> {
    if rng.random_bool(0.4)
        && let Some(Utterance::Question(clause, _)) = stem.last_mut()
        && clause.takes_modifiers()
    {
        clause.time = Some(sample::adverb(AdverbSlot::Time, rng));
    }
    stem
}

fn shuffled(
    stem: Vec<Utterance>,
    concept: NounId,
    right: NounId,
    mut rivals: Vec<NounId>,
    rng: &mut ChaCha8Rng,
) -> Choice {
    rivals.shuffle(rng);
    let mut choices: Vec<_> = rivals.into_iter().take(CHOICES - 1).collect();
    let answer = rng.random_range(0..CHOICES);
    choices.insert(answer, right);
    Choice { stem, concept, choices, answer }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    /// The question's clause with a choice put in the place of what is asked for.
    fn answered(question: &Clause, part: Part, choice: NounId) -> Clause {
        let clause = Clause { time: None, ..*question };
        match part {
            Part::Subject => Clause { subject: NounPhrase::noun(choice), ..clause },
            _ => with_object(&clause, choice),
        }
    }

    #[test]
    fn one_choice_alone_is_right() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for _ in 0..500 {
            let Choice { stem, choices, answer, .. } = choice(&mut rng);
            let [Utterance::Question(question, part)] = stem[..] else { continue };
            assert_eq!(choices.len(), CHOICES);
            let right: Vec<_> =
                (0..CHOICES).filter(|index| holds(&answered(&question, part, choices[*index]))).collect();
            assert_eq!(right, [answer], "{question:?} {choices:?}");
        }
    }

    #[test]
    fn answers_stand_anywhere_among_the_choices() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut counts = [0; CHOICES];
        for _ in 0..1000 {
            counts[choice(&mut rng).answer] += 1;
        }
        assert!(counts.iter().all(|count| (150..250).contains(count)), "{counts:?}");
    }
}
