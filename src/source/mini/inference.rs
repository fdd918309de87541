//! Pairs of sentences whose relation is known by construction.
//!
//! The hypothesis is drawn first, then the label, uniformly and independently of it; only then is a premise made that
//! stands in that relation to the hypothesis. So the hypothesis alone says nothing about the label.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::clause::{Clause, Head, NounPhrase, Predicate, Quantity};
use super::sample;
use super::world::{AdverbSlot, NounId, WORLD};

/// The relation of premise to hypothesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Label {
    Entailment,
    Neutral,
    Contradiction,
}

impl Label {
    /// Every label.
    pub const ALL: [Label; 3] = [Label::Entailment, Label::Neutral, Label::Contradiction];

    /// The label as MultiNLI and XNLI write it.
    pub fn name(self) -> &'static str {
        match self {
            Label::Entailment => "entailment",
            Label::Neutral => "neutral",
            Label::Contradiction => "contradiction",
        }
    }

    /// The letter that stands for it in ANLI and in the identifiers of MultiNLI and SNLI.
    pub fn initial(self) -> &'static str {
        &self.name()[..1]
    }
}

/// A premise, a hypothesis and their relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// One clause or two.
    pub premise: Vec<Clause>,
    pub hypothesis: Clause,
    pub label: Label,
}

/// A way to make the premise from the hypothesis; none where it doesn't apply.
type Rule = fn(&Clause, &[NounId], &mut ChaCha8Rng) -> Option<Vec<Clause>>;

const ENTAILING: [Rule; 7] = [add_modifier, add_modifier, specify, say_otherwise, count_exactly, assert_opposite, join];
const EXCLUDING: [Rule; 4] = [flip, oppose, elsewhere, count_differently];
const UNRELATED: [Rule; 6] = [drop_modifier, drop_modifier, generalise, count_loosely, change_subject, change_event];

/// A random pair; what happens, happens in one of `places`.
pub fn pair(places: &[NounId], rng: &mut ChaCha8Rng) -> Pair {
    let hypothesis = sample::clause(places, rng);
    let label = sample::pick(&Label::ALL, rng);
    related(hypothesis, label, places, rng)
}

/// A premise from which the clause follows.
pub fn entailed_by(hypothesis: &Clause, places: &[NounId], rng: &mut ChaCha8Rng) -> Pair {
    related(*hypothesis, Label::Entailment, places, rng)
}

/// A premise that stands in the relation to the hypothesis.
fn related(hypothesis: Clause, label: Label, places: &[NounId], rng: &mut ChaCha8Rng) -> Pair {
    let rules: &[Rule] = match label {
        Label::Entailment => &ENTAILING,
        Label::Neutral => &UNRELATED,
        Label::Contradiction => &EXCLUDING,
    };
    let premises: Vec<_> = rules.iter().filter_map(|rule| rule(&hypothesis, places, rng)).collect();
    let mut premise = premises.choose(rng).expect("of each label one rule applies to every clause").clone();
    if label != Label::Entailment && rng.random_bool(0.15) {
        premise = beside(premise[0], &hypothesis, places, rng);
    }
    Pair { premise, hypothesis, label }
}

/// A clause and another, about somebody that neither it nor the hypothesis is about, in either order.
fn beside(clause: Clause, hypothesis: &Clause, places: &[NounId], rng: &mut ChaCha8Rng) -> Vec<Clause> {
    let taken = [clause.subject.head, hypothesis.subject.head];
    let other = loop {
        let other = Clause { time: None, time_first: false, ..sample::clause(places, rng) };
        if !taken.contains(&other.subject.head) {
            break other;
        }
    };
    let clause = Clause { time_first: false, ..clause };
    if rng.random_bool(0.5) { vec![clause, other] } else { vec![other, clause] }
}

/// Says the same and something else about somebody else.
fn join(hypothesis: &Clause, places: &[NounId], rng: &mut ChaCha8Rng) -> Option<Vec<Clause>> {
    Some(beside(*hypothesis, hypothesis, places, rng))
}

/// Says more than the hypothesis: whoever washes the red car in the park washes the car.
fn add_modifier(hypothesis: &Clause, places: &[NounId], rng: &mut ChaCha8Rng) -> Option<Vec<Clause>> {
    if hypothesis.negated || !hypothesis.takes_modifiers() {
        return None;
    }
    let mut premise = *hypothesis;
    while premise == *hypothesis {
        if premise.place.is_none() && rng.random_bool(0.5) {
            premise.place = Some(sample::pick(places, rng));
        }
        if premise.manner.is_none() && rng.random_bool(0.25) {
            premise.manner = Some(sample::adverb(AdverbSlot::Manner, rng));
        }
        if premise.time.is_none() && rng.random_bool(0.25) {
            premise.time = Some(sample::adverb(AdverbSlot::Time, rng));
        }
        if premise.companion.is_none() && rng.random_bool(0.25) {
            premise.companion = Some(sample::companion(&premise.subject, rng));
        }
        if let Some(NounPhrase { head: Head::Noun(noun), adjective: None, quantity: None }) = premise.object()
            && rng.random_bool(0.3)
        {
            premise =
                premise.with_object(NounPhrase { adjective: sample::quality(noun, rng), ..NounPhrase::noun(noun) });
        }
        // A clause that has every modifier already can't be added to.
        let full = premise.place.is_some() && premise.manner.is_some() && premise.time.is_some();
        if full && premise.companion.is_some() && premise == *hypothesis {
            return None;
        }
    }
    Some(vec![premise])
}

/// Replaces a category by one of its members: whoever eats the apple eats the fruit.
fn specify(hypothesis: &Clause, _: &[NounId], rng: &mut ChaCha8Rng) -> Option<Vec<Clause>> {
    let object = hypothesis.object().filter(|_| !hypothesis.negated)?;
    let Head::Noun(noun) = object.head else { return None };
    let members = WORLD.hyponyms(noun);
    let member = Head::Noun(*members.choose(rng)?);
    Some(vec![hypothesis.with_object(NounPhrase { head: member, ..object })])
}

/// Another word or another order for the same.
fn say_otherwise(hypothesis: &Clause, _: &[NounId], _: &mut ChaCha8Rng) -> Option<Vec<Clause>> {
    let mut premise = *hypothesis;
    match hypothesis.predicate {
        Predicate::Act(verb, object) => {
            if let Some(synonym) = WORLD.verb(verb).synonym {
                premise.predicate = Predicate::Act(synonym, object);
            }
        }
        Predicate::Quality(adjective) => {
            if let Some(synonym) = WORLD.adjectives[adjective.0].synonym {
                premise.predicate = Predicate::Quality(synonym);
            }
        }
        _ => {}
    }
    if premise.time.is_some() {
        premise.time_first = !premise.time_first;
    }
    (premise != *hypothesis).then(|| vec![premise])
}

/// An exact number for "at least": whoever buys 7 apples buys at least 5.
fn count_exactly(hypothesis: &Clause, _: &[NounId], rng: &mut ChaCha8Rng) -> Option<Vec<Clause>> {
    let object = hypothesis.object().filter(|_| !hypothesis.negated)?;
    let least = object.quantity.filter(|q| q.at_least)?.number;
    let number = WORLD.numbers.iter().copied().filter(|n| *n >= least).collect::<Vec<_>>();
    let quantity = Some(Quantity { number: sample::pick(&number, rng), at_least: false });
    Some(vec![hypothesis.with_object(NounPhrase { quantity, ..object })])
}

/// What excludes a denied quality: a green thing is not red.
fn assert_opposite(hypothesis: &Clause, _: &[NounId], rng: &mut ChaCha8Rng) -> Option<Vec<Clause>> {
    if !hypothesis.negated {
        return None;
    }
    let premise = Clause { negated: false, ..*hypothesis };
    Some(vec![Clause { predicate: excluding_quality(&premise, rng)?, ..premise }])
}

/// A quality that the subject can't have together with the one predicated.
fn excluding_quality(clause: &Clause, rng: &mut ChaCha8Rng) -> Option<Predicate> {
    let Predicate::Quality(adjective) = clause.predicate else { return None };
    let possible = match clause.subject.head {
        Head::Name(_) => WORLD.name_qualities(),
        Head::Noun(noun) => WORLD.qualities(noun),
    };
    let excluding: Vec<_> = possible.into_iter().filter(|other| WORLD.exclude(adjective, *other)).collect();
    excluding.choose(rng).map(|other| Predicate::Quality(*other))
}

/// The denial of the hypothesis, or of what it denies.
fn flip(hypothesis: &Clause, _: &[NounId], _: &mut ChaCha8Rng) -> Option<Vec<Clause>> {
    Some(vec![Clause { negated: !hypothesis.negated, ..*hypothesis }])
}

/// An opposite verb, manner, quality or colour, or another occupation.
fn oppose(hypothesis: &Clause, _: &[NounId], rng: &mut ChaCha8Rng) -> Option<Vec<Clause>> {
    if hypothesis.negated {
        return None;
    }
    let mut premises = Vec::new();
    let with = |predicate| Clause { predicate, ..*hypothesis };
    match hypothesis.predicate {
        Predicate::Act(verb, object) => {
            premises.extend(WORLD.verb(verb).opposite.map(|opposite| with(Predicate::Act(opposite, object))));
            if let Some(NounPhrase { head: Head::Noun(noun), adjective: Some(adjective), .. }) = object {
                let others = WORLD.qualities(noun).into_iter().filter(|other| WORLD.exclude(adjective, *other));
                premises.extend(others.collect::<Vec<_>>().choose(rng).map(|other| {
                    hypothesis.with_object(NounPhrase { adjective: Some(*other), ..NounPhrase::noun(noun) })
                }));
            }
        }
        Predicate::Kind(kind) => {
            let others: Vec<_> = WORLD.occupations().into_iter().filter(|other| *other != kind).collect();
            premises.extend(others.choose(rng).map(|other| with(Predicate::Kind(*other))));
        }
        _ => premises.extend(excluding_quality(hypothesis, rng).map(with)),
    }
    if let Some(manner) = hypothesis.manner {
        let opposite = WORLD.adverbs[manner.0].opposite;
        premises.extend(opposite.map(|opposite| Clause { manner: Some(opposite), ..*hypothesis }));
    }
    premises.choose(rng).map(|premise| vec![*premise])
}

/// The same in another place.
fn elsewhere(hypothesis: &Clause, places: &[NounId], rng: &mut ChaCha8Rng) -> Option<Vec<Clause>> {
    if hypothesis.negated {
        return None;
    }
    let other = |place: NounId, rng: &mut ChaCha8Rng| {
        let others: Vec<_> = places.iter().copied().filter(|p| *p != place).collect();
        sample::pick(&others, rng)
    };
    let mut premise = *hypothesis;
    if let Predicate::Located(place) = hypothesis.predicate {
        premise.predicate = Predicate::Located(other(place, rng));
    } else {
        premise.place = Some(other(hypothesis.place?, rng));
    }
    Some(vec![premise])
}

/// A number that the hypothesis excludes.
fn count_differently(hypothesis: &Clause, _: &[NounId], rng: &mut ChaCha8Rng) -> Option<Vec<Clause>> {
    let object = hypothesis.object().filter(|_| !hypothesis.negated)?;
    let claimed = object.quantity?;
    let excluded = |n: &u32| if claimed.at_least { *n < claimed.number } else { *n != claimed.number };
    let numbers: Vec<_> = WORLD.numbers.iter().copied().filter(excluded).collect();
    let quantity = Some(Quantity { number: *numbers.choose(rng)?, at_least: false });
    Some(vec![hypothesis.with_object(NounPhrase { quantity, ..object })])
}

/// Leaves out something that the hypothesis adds.
fn drop_modifier(hypothesis: &Clause, _: &[NounId], rng: &mut ChaCha8Rng) -> Option<Vec<Clause>> {
    if hypothesis.negated {
        return None;
    }
    let mut premises = Vec::new();
    if hypothesis.place.is_some() {
        premises.push(Clause { place: None, ..*hypothesis });
    }
    if hypothesis.companion.is_some() {
        premises.push(Clause { companion: None, ..*hypothesis });
    }
    if hypothesis.time.is_some() {
        premises.push(Clause { time: None, time_first: false, ..*hypothesis });
    }
    if hypothesis.manner.is_some() {
        premises.push(Clause { manner: None, ..*hypothesis });
    }
    if let Some(object) = hypothesis.object().filter(|o| o.adjective.is_some()) {
        premises.push(hypothesis.with_object(NounPhrase { adjective: None, ..object }));
    }
    premises.choose(rng).map(|premise| vec![*premise])
}

/// Replaces a member by its category: who eats the fruit need not eat the apple.
fn generalise(hypothesis: &Clause, _: &[NounId], rng: &mut ChaCha8Rng) -> Option<Vec<Clause>> {
    let object = hypothesis.object().filter(|_| !hypothesis.negated)?;
    let Head::Noun(noun) = object.head else { return None };
    let category = Head::Noun(*WORLD.hypernyms(noun).choose(rng)?);
    Some(vec![hypothesis.with_object(NounPhrase { head: category, ..object })])
}

/// "At least" for an exact number: who buys at least 5 apples need not buy 7.
fn count_loosely(hypothesis: &Clause, _: &[NounId], rng: &mut ChaCha8Rng) -> Option<Vec<Clause>> {
    let object = hypothesis.object().filter(|_| !hypothesis.negated)?;
    let exact = object.quantity.filter(|q| !q.at_least)?.number;
    let numbers: Vec<_> = WORLD.numbers.iter().copied().filter(|n| *n <= exact).collect();
    let quantity = Some(Quantity { number: sample::pick(&numbers, rng), at_least: true });
    Some(vec![hypothesis.with_object(NounPhrase { quantity, ..object })])
}

/// The same of somebody else.
fn change_subject(hypothesis: &Clause, _: &[NounId], rng: &mut ChaCha8Rng) -> Option<Vec<Clause>> {
    Some(vec![of_another(hypothesis, rng)])
}

/// The same of somebody else of the same kind.
pub fn of_another(clause: &Clause, rng: &mut ChaCha8Rng) -> Clause {
    let subject = match clause.subject.head {
        Head::Name(_) => NounPhrase::name(sample::companion(&clause.subject, rng)),
        Head::Noun(noun) => {
            let members: Vec<_> = WORLD.category(noun).members.iter().copied().filter(|n| *n != noun).collect();
            NounPhrase { head: Head::Noun(sample::pick(&members, rng)), ..clause.subject }
        }
    };
    let companion = clause.companion.filter(|name| subject.head != Head::Name(*name));
    Clause { subject, companion, ..*clause }
}

/// Something else about the same person or thing.
fn change_event(hypothesis: &Clause, places: &[NounId], rng: &mut ChaCha8Rng) -> Option<Vec<Clause>> {
    let Head::Name(subject) = hypothesis.subject.head else { return None };
    let is_somewhere = |clause: &Clause| clause.place.is_some() || matches!(clause.predicate, Predicate::Located(_));
    loop {
        let other = Clause { subject: hypothesis.subject, ..sample::clause(places, rng) };
        let possible = match (other.predicate, hypothesis.predicate) {
            (Predicate::Act(a, _), Predicate::Act(b, _)) => {
                a != b && WORLD.verb(a).opposite != Some(b) && WORLD.verb(a).synonym != Some(b)
            }
            (Predicate::Quality(a), _) if !WORLD.adjectives[a.0].of_names => false,
            // Somebody who is somewhere can't be elsewhere, nor two kinds of person at once.
            (Predicate::Act(..), _) | (_, Predicate::Act(..)) => !(is_somewhere(&other) && is_somewhere(hypothesis)),
            _ => false,
        };
        if possible && other.companion != Some(subject) {
            return Some(vec![other]);
        }
    }
}
