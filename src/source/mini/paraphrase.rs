//! Pairs of questions and pairs of statements that mean the same, or nearly.
//!
//! In both, the second is made by the same steps whatever the label; only then is something changed where they are not
//! to mean the same. So neither of the two alone, nor how much the second was reworded, says anything about the label.

use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::clause::{Clause, Head, NounPhrase, Part, Predicate, Utterance};
use super::inference;
use super::language::english;
use super::realize::Realizer;
use super::sample;
use super::world::{AdjectiveId, AdverbSlot, NounId, WORLD};

/// Two questions, each with the frame that it is asked in (a position below `frames`), and whether they are duplicates.
#[derive(Debug, Clone)]
pub struct Questions {
    pub questions: [Utterance; 2],
    pub frames: [usize; 2],
    pub duplicate: bool,
}

/// A random pair of questions, asked in two of a number of frames, three in eight of them duplicates.
pub fn questions(frames: usize, rng: &mut ChaCha8Rng) -> Questions {
    let places = &WORLD.category_named("place").members;
    let duplicate = rng.random_bool(0.375);
    loop {
        let clause = Clause { negated: false, ..sample::clause(places, rng) };
        let Some((first, part)) = sample::question(&clause, rng) else { continue };
        let (clause, part) = if duplicate { (clause, part) } else { other_question(&clause, part, rng) };
        let asked = sample::ask(&clause, part);
        if !duplicate && same(&asked, &first) {
            continue;
        }
        let second = if rng.random_bool(0.5) { sample::ask(&with_synonyms(&clause), part) } else { asked };
        let frames = [rng.random_range(0..frames), rng.random_range(0..frames)];
        if frames[0] != frames[1] || text(&first) != text(&second) {
            return Questions { questions: [first, second], frames, duplicate };
        }
    }
}

/// Another question, close by: about somebody or something else, or another part.
fn other_question(clause: &Clause, part: Part, rng: &mut ChaCha8Rng) -> (Clause, Part) {
    match rng.random_range(0..3) {
        0 => (inference::of_another(clause, rng), part),
        1 => (another_object(clause, rng), part),
        _ => match sample::question(clause, rng) {
            Some((_, other)) => (*clause, other),
            None => (*clause, part),
        },
    }
}

/// The clause with another object of the same category, or done otherwise where it has none.
fn another_object(clause: &Clause, rng: &mut ChaCha8Rng) -> Clause {
    match (clause.predicate, clause.object().and_then(|object| object.noun_id())) {
        (_, Some(noun)) => {
            let others = &WORLD.category(noun).members;
            clause.with_object(NounPhrase {
                head: Head::Noun(sample::pick(others, rng)),
                adjective: None,
                quantity: None,
            })
        }
        (Predicate::Act(..), None) => Clause { predicate: Predicate::Act(sample::verb(false, rng), None), ..*clause },
        _ => *clause,
    }
}

/// What a question says. It needn't say everything that its clause has, so that questions are compared by their texts.
fn text(question: &Utterance) -> String {
    Realizer::new(english()).sentence(question).text()
}

/// Whether two questions are the same but for synonyms.
fn same(a: &Utterance, b: &Utterance) -> bool {
    let Utterance::Question(clause, part) = a else { return false };
    text(a) == text(b) || text(&Utterance::Question(with_synonyms(clause), *part)) == text(b)
}

/// The clause with each word that has a synonym replaced by it.
fn with_synonyms(clause: &Clause) -> Clause {
    let quality = |id: AdjectiveId| WORLD.adjectives[id.0].synonym.unwrap_or(id);
    let predicate = match clause.predicate {
        Predicate::Act(verb, object) => Predicate::Act(
            WORLD.verb(verb).synonym.unwrap_or(verb),
            object.map(|np| NounPhrase { adjective: np.adjective.map(quality), ..np }),
        ),
        Predicate::Quality(id) => Predicate::Quality(quality(id)),
        other => other,
    };
    Clause { predicate, ..*clause }
}

/// Two statements, of two clauses each, and whether one paraphrases the other.
#[derive(Debug, Clone)]
pub struct Statements {
    pub statements: [Vec<Clause>; 2],
    pub paraphrase: bool,
}

/// A random pair of statements, half of them paraphrases. The others differ in who does what, or where, and in nothing
/// else: they have the same words.
pub fn statements(rng: &mut ChaCha8Rng) -> Statements {
    let places = &WORLD.category_named("place").members;
    let paraphrase = rng.random_bool(0.5);
    loop {
        let mut first = [event(places, rng), event(places, rng)];
        first[1].time_first = false;
        let exchanged = exchange(&first, rng);
        let (Some(exchanged), true) = (exchanged, first[0].subject != first[1].subject) else { continue };
        let mut second = if paraphrase { first } else { exchanged };
        if rng.random_bool(0.6) {
            second.reverse();
        }
        if rng.random_bool(0.5) {
            second = second.map(|clause| with_synonyms(&clause));
        }
        if second[0].time.is_some() && rng.random_bool(0.5) {
            second[0].time_first = !second[0].time_first;
        }
        second[1].time_first = false;
        if second != first {
            return Statements { statements: [first.to_vec(), second.to_vec()], paraphrase };
        }
    }
}

/// Somebody by name does something, somewhere or not.
fn event(places: &[NounId], rng: &mut ChaCha8Rng) -> Clause {
    let mut event = sample::event(rng.random_bool(0.7), rng);
    event.subject = NounPhrase::name(sample::name(rng));
    event.place = rng.random_bool(0.6).then(|| sample::pick(places, rng));
    event.time = rng.random_bool(0.3).then(|| sample::adverb(AdverbSlot::Time, rng));
    event.time_first = event.time.is_some() && rng.random_bool(0.3);
    event
}

/// The same clauses with their subjects, places or objects exchanged; none where that would not change the meaning.
fn exchange([a, b]: &[Clause; 2], rng: &mut ChaCha8Rng) -> Option<[Clause; 2]> {
    let mut exchanged = vec![[Clause { subject: b.subject, ..*a }, Clause { subject: a.subject, ..*b }]];
    if let (Some(_), Some(_)) = (a.place, b.place) {
        exchanged.push([Clause { place: b.place, ..*a }, Clause { place: a.place, ..*b }]);
    }
    if let (Some(of_a), Some(of_b)) = (a.object(), b.object())
        && takes(a, &of_b)
        && takes(b, &of_a)
    {
        exchanged.push([a.with_object(of_b), b.with_object(of_a)]);
    }
    // Of two synonyms one stands for both.
    let plain = |clause: &Clause| {
        let clause = Clause { time_first: false, ..*clause };
        let other = with_synonyms(&clause);
        if format!("{other:?}") < format!("{clause:?}") { other } else { clause }
    };
    let meaning = |[a, b]: &[Clause; 2]| [plain(a), plain(b)];
    let original = meaning(&[*a, *b]);
    let reversed = [original[1], original[0]];
    exchanged.retain(|pair| meaning(pair) != original && meaning(pair) != reversed);
    exchanged.choose(rng).copied()
}

/// Whether what the clause's verb means may be done to the object.
fn takes(clause: &Clause, object: &NounPhrase) -> bool {
    match (clause.predicate, object.noun_id()) {
        (Predicate::Act(verb, _), Some(noun)) => WORLD.verb(verb).objects.contains(&WORLD.noun(noun).category),
        _ => false,
    }
}
