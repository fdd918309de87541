//! Random clauses: what may happen in the mini world.

use std::sync::LazyLock;

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::clause::{Clause, Head, NounPhrase, Part, Predicate, Quantity, Utterance};
use super::world::{AdjectiveId, AdverbId, AdverbSlot, NameId, NounId, Relation, VerbId, WORLD};

/// One of `items`. The world's lists are never empty, which its test proves.
pub fn pick<T: Copy>(items: &[T], rng: &mut ChaCha8Rng) -> T {
    *items.choose(rng).expect("the world's lists are not empty")
}

/// A person's name.
pub fn name(rng: &mut ChaCha8Rng) -> NameId {
    NameId(rng.random_range(0..WORLD.names.len()))
}

/// An adverb for a slot.
pub fn adverb(slot: AdverbSlot, rng: &mut ChaCha8Rng) -> AdverbId {
    let adverbs: Vec<_> =
        (0..WORLD.adverbs.len()).map(AdverbId).filter(|id| WORLD.adverbs[id.0].slot == slot).collect();
    pick(&adverbs, rng)
}

/// A number that the languages can count to.
pub fn number(rng: &mut ChaCha8Rng) -> u32 {
    pick(&WORLD.numbers, rng)
}

/// An adjective for a noun, where any is said of it.
pub fn quality(noun: NounId, rng: &mut ChaCha8Rng) -> Option<AdjectiveId> {
    WORLD.qualities(noun).choose(rng).copied()
}

/// A person or, where `animals`, sometimes an animal.
pub fn actor(animals: bool, rng: &mut ChaCha8Rng) -> NounPhrase {
    let kind = match rng.random_range(0..100) {
        0..65 => return NounPhrase::name(name(rng)),
        80.. if animals => "animal",
        _ => "person",
    };
    let noun = pick(&WORLD.category_named(kind).members, rng);
    let adjective = if rng.random_bool(0.15) { quality(noun, rng) } else { None };
    NounPhrase { adjective, ..NounPhrase::noun(noun) }
}

/// Something that the verb may be done to, with an adjective or a quantity now and then.
pub fn object(verb: VerbId, rng: &mut ChaCha8Rng) -> NounPhrase {
    let category = &WORLD.categories[pick(&WORLD.verb(verb).objects, rng).0];
    let noun = match category.noun {
        Some(hypernym) if rng.random_bool(0.15) => hypernym,
        _ => pick(&category.members, rng),
    };
    let mut np = NounPhrase::noun(noun);
    if category.countable && rng.random_bool(0.25) {
        np.quantity = Some(Quantity { number: number(rng), at_least: rng.random_bool(0.3) });
    } else if rng.random_bool(0.35) {
        np.adjective = quality(noun, rng);
    }
    np
}

/// A verb, transitive or not, that isn't reserved for facts.
pub fn verb(transitive: bool, rng: &mut ChaCha8Rng) -> VerbId {
    let suits = |id: &VerbId| !WORLD.verb(*id).fact && WORLD.verb(*id).objects.is_empty() != transitive;
    let verbs: Vec<_> = (0..WORLD.verbs.len()).map(VerbId).filter(suits).collect();
    pick(&verbs, rng)
}

/// Somebody does something; no modifiers but those of its nouns.
pub fn event(transitive: bool, rng: &mut ChaCha8Rng) -> Clause {
    let verb = verb(transitive, rng);
    let subject = actor(WORLD.verb(verb).animals, rng);
    Clause::new(subject, Predicate::Act(verb, transitive.then(|| object(verb, rng))))
}

/// Another name than that of the subject.
pub fn companion(subject: &NounPhrase, rng: &mut ChaCha8Rng) -> NameId {
    loop {
        let other = name(rng);
        if subject.head != Head::Name(other) {
            return other;
        }
    }
}

/// Any clause: an event with modifiers, or what somebody or something is or where it is.
pub fn clause(places: &[NounId], rng: &mut ChaCha8Rng) -> Clause {
    let mut clause = match rng.random_range(0..100) {
        roll @ 0..72 => {
            let mut clause = event(roll < 48, rng);
            clause.place = rng.random_bool(0.45).then(|| pick(places, rng));
            clause.manner = rng.random_bool(0.15).then(|| adverb(AdverbSlot::Manner, rng));
            clause.companion = rng.random_bool(0.15).then(|| companion(&clause.subject, rng));
            clause
        }
        72..87 => state(rng),
        87..93 => Clause::new(NounPhrase::name(name(rng)), Predicate::Kind(pick(&WORLD.occupations(), rng))),
        _ => Clause::new(actor(true, rng), Predicate::Located(pick(places, rng))),
    };
    clause.time = rng.random_bool(0.2).then(|| adverb(AdverbSlot::Time, rng));
    clause.time_first = clause.time.is_some() && rng.random_bool(0.3);
    clause.negated = rng.random_bool(0.2);
    clause
}

/// A single sentence of any sort.
pub fn utterance(rng: &mut ChaCha8Rng) -> Utterance {
    let places = &WORLD.category_named("place").members;
    let clause = clause(places, rng);
    match rng.random_range(0..100) {
        0..20 => question(&clause, rng).map_or(Utterance::Statement(vec![clause]), |(question, _)| question),
        20..32 => Utterance::Statement(vec![clause, self::clause(places, rng)]),
        32..38 => Utterance::Statement(vec![pick(&FACTS, rng)]),
        _ => Utterance::Statement(vec![clause]),
    }
}

/// Something or somebody has a quality.
pub fn state(rng: &mut ChaCha8Rng) -> Clause {
    if rng.random_bool(0.4) {
        let adjective = pick(&WORLD.name_qualities(), rng);
        return Clause::new(NounPhrase::name(name(rng)), Predicate::Quality(adjective));
    }
    let described: Vec<_> = WORLD.categories.iter().filter(|c| !WORLD.qualities(c.members[0]).is_empty()).collect();
    let noun = pick(&pick(&described, rng).members, rng);
    let adjective = pick(&WORLD.qualities(noun), rng);
    Clause::new(NounPhrase::noun(noun), Predicate::Quality(adjective))
}

/// What a person is known for: the same few things in every text of every language, whatever the seed, as encyclopedias
/// tell the same of the same people in many languages. Names being shared, this ties the languages together.
pub static HABITS: LazyLock<Vec<Clause>> = LazyLock::new(|| {
    let all_places = &WORLD.category_named("place").members;
    let of = |name: NameId| {
        let mut rng = ChaCha8Rng::seed_from_u64(name.0 as u64);
        let haunts = [pick(all_places, &mut rng), pick(all_places, &mut rng)];
        let subject = NounPhrase::name(name);
        let mut habits: Vec<_> = (0..HABITS_PER_PERSON)
            .map(|index| {
                let mut habit = Clause { subject, ..event(index % 3 != 0, &mut rng) };
                habit.place = (index % 2 == 0).then(|| pick(&haunts, &mut rng));
                habit
            })
            .collect();
        habits.push(Clause::new(subject, Predicate::Kind(pick(&WORLD.occupations(), &mut rng))));
        habits.push(Clause::new(subject, Predicate::Quality(pick(&WORLD.name_qualities(), &mut rng))));
        habits
    };
    (0..WORLD.names.len()).flat_map(|index| of(NameId(index))).collect()
});

/// Events in [`HABITS`] for each person.
const HABITS_PER_PERSON: usize = 9;

/// A question that the clause answers, and the part it asks for; none where the clause can't be asked about.
pub fn question(clause: &Clause, rng: &mut ChaCha8Rng) -> Option<(Utterance, Part)> {
    let mut parts = Vec::new();
    match clause.predicate {
        Predicate::Act(_, object) => {
            parts.push(Part::Subject);
            parts.extend(clause.place.map(|_| Part::Place));
            parts.extend(
                object.map(|np| if np.quantity.is_some_and(|q| !q.at_least) { Part::Number } else { Part::Object }),
            );
        }
        Predicate::Located(_) | Predicate::Kind(_) => parts.push(Part::Complement),
        Predicate::Quality(_) => {}
    }
    let part = *parts.choose(rng)?;
    Some((ask(clause, part), part))
}

/// The question about one part, reduced to what identifies the clause.
pub fn ask(clause: &Clause, part: Part) -> Utterance {
    let mut asked = Clause { companion: None, manner: None, time: None, time_first: false, ..*clause };
    let transitive = clause.object().is_some();
    if part != Part::Place && (transitive || part != Part::Subject) {
        asked.place = None;
    }
    if part == Part::Place
        && let Some(object) = clause.object()
    {
        asked = asked.with_object(NounPhrase { quantity: None, ..object });
    }
    Utterance::Question(asked, part)
}

/// A fact of the world as a clause.
pub fn fact(relation: Relation, subject: NounId, object: NounId) -> Clause {
    let subject = NounPhrase::noun(subject);
    match relation {
        Relation::Work | Relation::Live => {
            let verb = WORLD.verb_named(if relation == Relation::Work { "work" } else { "live" });
            Clause { place: Some(object), ..Clause::new(subject, Predicate::Act(verb, None)) }
        }
        Relation::Eat => {
            let verb = WORLD.verb_named("eat");
            Clause::new(subject, Predicate::Act(verb, Some(NounPhrase::noun(object))))
        }
        Relation::Located => Clause::new(subject, Predicate::Located(object)),
    }
}

/// Every fact: the tables of the world, and what categories each noun belongs to.
pub static FACTS: LazyLock<Vec<Clause>> = LazyLock::new(|| {
    let nouns = (0..WORLD.nouns.len()).map(NounId);
    let kinds = nouns.flat_map(|noun| {
        let kinds = WORLD.hypernyms(noun).into_iter();
        kinds.map(move |kind| Clause::new(NounPhrase::noun(noun), Predicate::Kind(kind)))
    });
    WORLD.facts.iter().map(|(relation, subject, object)| fact(*relation, *subject, *object)).chain(kinds).collect()
});
