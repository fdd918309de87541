//! What leads to what (`data/mini/causes.toml`): the knowledge that the tasks about everyday reasoning ask for.

use std::sync::LazyLock;

use rand::RngExt;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::clause::{Clause, Head, NounPhrase, Predicate};
use super::sample;
use super::world::{AdjectiveId, CategoryId, NameId, NounId, VerbId, WORLD, World};

/// The rules' text.
pub const TEXT: &str = include_str!("../../../data/mini/causes.toml");

/// Who or what has a role in a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// The person the rule is about.
    Actor,
    /// Another person.
    Other,
    Thing,
}

/// What a role does, perhaps to the thing, or is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Happening {
    Does(Role, VerbId),
    DoesToThing(Role, VerbId),
    Is(Role, AdjectiveId),
}

/// A rule: the cause leads to the effect.
#[derive(Debug)]
struct Rule {
    cause: Happening,
    effect: Happening,
    /// Categories of the thing; empty where none has a role.
    of: Vec<CategoryId>,
}

/// Whom the rules are applied to.
#[derive(Debug, Clone, Copy)]
pub struct Cast {
    pub actor: NameId,
    other: NameId,
    thing: NounId,
}

/// A rule with its roles filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    pub cause: Clause,
    pub effect: Clause,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesFile {
    rules: Vec<RuleFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    cause: String,
    effect: String,
    #[serde(default)]
    of: Vec<String>,
}

static RULES: LazyLock<Vec<Rule>> =
    LazyLock::new(|| parse(TEXT, &WORLD).expect("the embedded rules name what the world has: a test reads them"));

/// Reads `causes.toml`; the error says what isn't understood.
fn parse(text: &str, world: &World) -> Result<Vec<Rule>, String> {
    let file: RulesFile = toml::from_str(text).map_err(|e| e.to_string())?;
    let category = |key: &String| {
        world
            .categories
            .iter()
            .position(|c| c.key == *key)
            .map(CategoryId)
            .ok_or_else(|| format!("no category `{key}`"))
    };
    let rule = |rule: &RuleFile| {
        Ok(Rule {
            cause: happening(&rule.cause, world)?,
            effect: happening(&rule.effect, world)?,
            of: rule.of.iter().map(category).collect::<Result<_, String>>()?,
        })
    };
    file.rules.iter().map(rule).collect()
}

/// Reads `A lose X`, `A cry` or `A is sad`.
fn happening(text: &str, world: &World) -> Result<Happening, String> {
    let verb =
        |key: &str| world.verbs.iter().position(|v| v.key == key).map(VerbId).ok_or_else(|| format!("no verb `{key}`"));
    let adjective = |key: &str| {
        let position = world.adjectives.iter().position(|a| a.key == key);
        position.map(AdjectiveId).ok_or_else(|| format!("no adjective `{key}`"))
    };
    let words: Vec<_> = text.split(' ').collect();
    let role = match words[0] {
        "A" => Role::Actor,
        "B" => Role::Other,
        "X" => Role::Thing,
        other => return Err(format!("no role `{other}`")),
    };
    match words[1..] {
        ["is", quality] => Ok(Happening::Is(role, adjective(quality)?)),
        [action, "X"] => Ok(Happening::DoesToThing(role, verb(action)?)),
        [action] => Ok(Happening::Does(role, verb(action)?)),
        _ => Err(format!("`{text}` is neither an action nor a state")),
    }
}

impl Happening {
    fn clause(self, cast: &Cast) -> Clause {
        let thing = NounPhrase::noun(cast.thing);
        let subject = |role| match role {
            Role::Actor => NounPhrase::name(cast.actor),
            Role::Other => NounPhrase::name(cast.other),
            Role::Thing => thing,
        };
        match self {
            Happening::Does(role, verb) => Clause::new(subject(role), Predicate::Act(verb, None)),
            Happening::DoesToThing(role, verb) => Clause::new(subject(role), Predicate::Act(verb, Some(thing))),
            Happening::Is(role, adjective) => Clause::new(subject(role), Predicate::Quality(adjective)),
        }
    }
}

/// Every rule that applies to the cast.
fn links(cast: &Cast) -> Vec<Link> {
    let category = WORLD.noun(cast.thing).category;
    let applying = RULES.iter().filter(|rule| rule.of.is_empty() || rule.of.contains(&category));
    applying.map(|rule| Link { cause: rule.cause.clause(cast), effect: rule.effect.clause(cast) }).collect()
}

/// Whether `effect` follows from `cause`, directly or by way of something else, or is the same.
fn follows(effect: &Clause, cause: &Clause, links: &[Link]) -> bool {
    let mut reached = vec![*cause];
    let mut next = 0;
    while next < reached.len() {
        let further = links.iter().filter(|link| link.cause == reached[next]).map(|link| link.effect);
        let new: Vec<_> = further.filter(|clause| !reached.contains(clause)).collect();
        reached.extend(new);
        next += 1;
    }
    reached.contains(effect)
}

/// `N` links with one cast, none of whose effects follows from another's cause: asked for the effect of any one of the
/// causes, or for the cause of any one of the effects, it alone among them is right. All are as likely, so that which is
/// asked for, and nothing else, decides.
pub fn alternatives<const N: usize>(rng: &mut ChaCha8Rng, suits: impl Fn(&Link, &Cast) -> bool) -> (Cast, [Link; N]) {
    loop {
        let actor = sample::name(rng);
        let other = sample::companion(&NounPhrase::name(actor), rng);
        let categories: Vec<_> = RULES.iter().flat_map(|rule| rule.of.iter().copied()).collect();
        let thing = sample::pick(&WORLD.categories[sample::pick(&categories, rng).0].members, rng);
        let cast = Cast { actor, other, thing };
        let all = links(&cast);
        let mut order: Vec<_> = all.iter().copied().filter(|link| suits(link, &cast)).collect();
        order.shuffle(rng);
        let mut chosen: Vec<Link> = Vec::new();
        for link in order {
            let apart = |a: &Link, b: &Link| !follows(&a.effect, &b.cause, &all) && !follows(&b.effect, &a.cause, &all);
            if chosen.len() < N && chosen.iter().all(|other| apart(&link, other)) {
                chosen.push(link);
            }
        }
        if let Ok(chosen) = chosen.try_into() {
            return (cast, chosen);
        }
    }
}

/// The clause with a place or a time now and then, as one tells it.
pub fn told(clause: Clause, rng: &mut ChaCha8Rng) -> Clause {
    let places = &WORLD.category_named("place").members;
    let mut told = clause;
    if clause.takes_modifiers() {
        told.place = places.choose(rng).copied().filter(|_| rng.random_bool(0.5));
    }
    told.time = rng.random_bool(0.25).then(|| sample::adverb(super::world::AdverbSlot::Time, rng));
    told.time_first = told.time.is_some() && rng.random_bool(0.3);
    told
}

/// Somebody of neither role does something.
pub fn bystander(cast: &Cast, rng: &mut ChaCha8Rng) -> Clause {
    let places = &WORLD.category_named("place").members;
    let roles = [Head::Name(cast.actor), Head::Name(cast.other), Head::Noun(cast.thing)];
    loop {
        let clause = sample::clause(places, rng);
        if clause.heads().iter().all(|head| !roles.contains(head)) {
            return clause;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn rules_are_about_what_their_verbs_and_adjectives_are_said_of() {
        for rule in RULES.iter() {
            for happening in [rule.cause, rule.effect] {
                match happening {
                    Happening::Does(_, verb) => assert!(WORLD.verb(verb).objects.is_empty(), "{rule:?}"),
                    Happening::DoesToThing(_, verb) => {
                        assert!(rule.of.iter().all(|c| WORLD.verb(verb).objects.contains(c)), "{rule:?}")
                    }
                    Happening::Is(Role::Thing, id) => {
                        assert!(rule.of.iter().all(|c| WORLD.adjectives[id.0].of.contains(c)), "{rule:?}")
                    }
                    Happening::Is(_, id) => assert!(WORLD.adjectives[id.0].of_names, "{rule:?}"),
                }
            }
        }
    }

    #[test]
    fn one_alternative_alone_is_right() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for _ in 0..300 {
            let (cast, alternatives) = alternatives::<4>(&mut rng, |_, _| true);
            for (asked, link) in alternatives.iter().enumerate() {
                let right = |clause: fn(&Link) -> Clause, test: &dyn Fn(&Clause) -> bool| -> Vec<usize> {
                    (0..4).filter(|index| test(&clause(&alternatives[*index]))).collect()
                };
                let all = links(&cast);
                assert_eq!(right(|l| l.effect, &|effect| follows(effect, &link.cause, &all)), [asked]);
                assert_eq!(right(|l| l.cause, &|cause| follows(&link.effect, cause, &all)), [asked]);
            }
        }
    }

    #[test]
    fn what_follows_may_take_steps() {
        let rng = &mut ChaCha8Rng::seed_from_u64(6);
        let cast = Cast { actor: sample::name(rng), other: sample::name(rng), thing: NounId(0) };
        let clause = |text: &str| happening(text, &WORLD).unwrap().clause(&cast);
        let all = links(&cast);
        assert!(follows(&clause("A cry"), &clause("A wait"), &all));
        assert!(!follows(&clause("A wait"), &clause("A cry"), &all));
    }

    #[test]
    fn an_unknown_word_is_named() {
        let wrong = |from: &str, to: &str| parse(&TEXT.replace(from, to), &WORLD).unwrap_err();
        assert_eq!(wrong("A lose X", "A steal X"), "no verb `steal`");
        assert_eq!(wrong("A lose X", "C lose X"), "no role `C`");
        assert_eq!(wrong("A is sad", "A is blank"), "no adjective `blank`");
        assert_eq!(wrong("\"tool\"", "\"gadget\""), "no category `gadget`");
        assert_eq!(wrong("A lose X", "A lose X now"), "`A lose X now` is neither an action nor a state");
    }
}
