//! The inventory of concepts (`data/mini/world.toml`): which nouns, verbs, adjectives and adverbs there are, how they
//! exclude or imply one another, and the facts that hold. Nothing here belongs to one language.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// Position of a noun in [`World::nouns`], and of its words in each language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NounId(pub usize);
/// Position of a verb in [`World::verbs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VerbId(pub usize);
/// Position of an adjective in [`World::adjectives`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AdjectiveId(pub usize);
/// Position of an adverb in [`World::adverbs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AdverbId(pub usize);
/// Position of a person's name in [`World::names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NameId(pub usize);
/// Position of a category in [`World::categories`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CategoryId(pub usize);

/// A person's name, written the same in every language.
#[derive(Debug)]
pub struct Name {
    pub text: String,
    /// Agreement class as `world.toml` has it: `m` or `f`.
    pub class: String,
}

/// A noun concept.
#[derive(Debug)]
pub struct Noun {
    pub key: String,
    pub category: CategoryId,
    /// Whether it names its whole category (`fruit`) rather than a member of it (`apple`).
    pub hypernym: bool,
}

/// A category of nouns.
#[derive(Debug)]
pub struct Category {
    pub key: String,
    /// The noun that names the category, where there is one.
    pub noun: Option<NounId>,
    pub parent: Option<CategoryId>,
    pub animate: bool,
    pub countable: bool,
    pub members: Vec<NounId>,
}

/// A verb concept.
#[derive(Debug)]
pub struct Verb {
    pub key: String,
    /// Categories of its objects; empty for an intransitive verb.
    pub objects: Vec<CategoryId>,
    pub opposite: Option<VerbId>,
    pub synonym: Option<VerbId>,
    pub animals: bool,
    /// Whether only the facts use it.
    pub fact: bool,
}

/// An adjective concept.
#[derive(Debug)]
pub struct Adjective {
    pub key: String,
    /// Members of one group exclude each other, synonyms apart.
    pub group: String,
    pub synonym: Option<AdjectiveId>,
    /// Categories it is said of.
    pub of: Vec<CategoryId>,
    /// Whether it is said of persons by name.
    pub of_names: bool,
}

/// Where an adverb stands in the clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdverbSlot {
    Time,
    Manner,
}

/// An adverb concept.
#[derive(Debug)]
pub struct Adverb {
    pub key: String,
    pub slot: AdverbSlot,
    pub opposite: Option<AdverbId>,
}

/// A genre of the inference corpus.
#[derive(Debug)]
pub struct Genre {
    pub key: String,
    pub mismatched: bool,
    pub places: Vec<NounId>,
}

/// A kind of world knowledge other than category membership.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Relation {
    /// Where a person works.
    Work,
    /// Where an animal lives.
    Live,
    /// What an animal eats.
    Eat,
    /// Where a thing is.
    Located,
}

/// The whole inventory.
#[derive(Debug)]
pub struct World {
    pub numbers: Vec<u32>,
    pub names: Vec<Name>,
    pub categories: Vec<Category>,
    pub nouns: Vec<Noun>,
    pub verbs: Vec<Verb>,
    pub adjectives: Vec<Adjective>,
    pub adverbs: Vec<Adverb>,
    pub genres: Vec<Genre>,
    /// What holds: relation, whom or what it is about, and the place or food.
    pub facts: Vec<(Relation, NounId, NounId)>,
}

/// The world's text.
pub const TEXT: &str = include_str!("../../../data/mini/world.toml");

/// The one world, read from the embedded data.
pub static WORLD: LazyLock<World> =
    LazyLock::new(|| World::parse(TEXT).expect("the embedded world is complete: a test reads it"));

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WorldFile {
    numbers: Vec<u32>,
    names: BTreeMap<String, Vec<String>>,
    categories: BTreeMap<String, CategoryFile>,
    verbs: BTreeMap<String, VerbFile>,
    adjectives: BTreeMap<String, AdjectiveFile>,
    adverbs: BTreeMap<String, AdverbFile>,
    facts: BTreeMap<Relation, BTreeMap<String, String>>,
    genres: BTreeMap<String, GenreFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CategoryFile {
    noun: Option<String>,
    parent: Option<String>,
    #[serde(default)]
    animate: bool,
    #[serde(default)]
    countable: bool,
    members: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerbFile {
    #[serde(default)]
    objects: Vec<String>,
    opposite: Option<String>,
    synonym: Option<String>,
    #[serde(default)]
    animals: bool,
    #[serde(default)]
    fact: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdjectiveFile {
    group: String,
    synonym: Option<String>,
    of: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdverbFile {
    slot: AdverbSlot,
    opposite: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GenreFile {
    #[serde(default)]
    mismatched: bool,
    places: Vec<String>,
}

/// Position of `key` among the sorted keys of a table.
fn position<T>(table: &BTreeMap<String, T>, key: &str) -> Result<usize, String> {
    table.keys().position(|k| k == key).ok_or_else(|| format!("no concept `{key}`"))
}

impl World {
    /// Reads `world.toml`; the error says which concept is missing.
    pub fn parse(text: &str) -> Result<World, String> {
        let file: WorldFile = toml::from_str(text).map_err(|e| e.to_string())?;
        let mut nouns: Vec<Noun> = Vec::new();
        for (index, category) in file.categories.values().enumerate() {
            let noun = |key: &String, hypernym| Noun { key: key.clone(), category: CategoryId(index), hypernym };
            nouns.extend(category.noun.iter().map(|key| noun(key, true)));
            nouns.extend(category.members.iter().map(|key| noun(key, false)));
        }
        let noun = |key: &String| {
            nouns.iter().position(|n| n.key == *key).map(NounId).ok_or_else(|| format!("no noun `{key}`"))
        };
        let category = |key: &String| position(&file.categories, key).map(CategoryId);
        let verb = |key: &String| position(&file.verbs, key).map(VerbId);
        let adjective = |key: &String| position(&file.adjectives, key).map(AdjectiveId);
        let adverb = |key: &String| position(&file.adverbs, key).map(AdverbId);

        let mut categories = Vec::new();
        for (key, c) in &file.categories {
            categories.push(Category {
                key: key.clone(),
                noun: c.noun.as_ref().map(noun).transpose()?,
                parent: c.parent.as_ref().map(category).transpose()?,
                animate: c.animate,
                countable: c.countable,
                members: c.members.iter().map(noun).collect::<Result<_, _>>()?,
            });
        }
        let mut verbs = Vec::new();
        for (key, v) in &file.verbs {
            verbs.push(Verb {
                key: key.clone(),
                objects: v.objects.iter().map(category).collect::<Result<_, _>>()?,
                opposite: v.opposite.as_ref().map(verb).transpose()?,
                synonym: v.synonym.as_ref().map(verb).transpose()?,
                animals: v.animals,
                fact: v.fact,
            });
        }
        let mut adjectives = Vec::new();
        for (key, a) in &file.adjectives {
            adjectives.push(Adjective {
                key: key.clone(),
                group: a.group.clone(),
                synonym: a.synonym.as_ref().map(adjective).transpose()?,
                of: a.of.iter().filter(|of| *of != "name").map(category).collect::<Result<_, _>>()?,
                of_names: a.of.iter().any(|of| of == "name"),
            });
        }
        let mut adverbs = Vec::new();
        for (key, a) in &file.adverbs {
            let opposite = a.opposite.as_ref().map(adverb).transpose()?;
            adverbs.push(Adverb { key: key.clone(), slot: a.slot, opposite });
        }
        let mut genres = Vec::new();
        for (key, g) in &file.genres {
            let places = g.places.iter().map(noun).collect::<Result<_, _>>()?;
            genres.push(Genre { key: key.clone(), mismatched: g.mismatched, places });
        }
        let mut facts = Vec::new();
        for (relation, table) in &file.facts {
            for (subject, object) in table {
                facts.push((*relation, noun(subject)?, noun(object)?));
            }
        }
        let names = file
            .names
            .iter()
            .flat_map(|(class, names)| names.iter().map(|text| Name { text: text.clone(), class: class.clone() }))
            .collect();
        Ok(World { numbers: file.numbers, names, categories, nouns, verbs, adjectives, adverbs, genres, facts })
    }

    /// The noun's entry.
    pub fn noun(&self, id: NounId) -> &Noun {
        &self.nouns[id.0]
    }

    /// The verb's entry.
    pub fn verb(&self, id: VerbId) -> &Verb {
        &self.verbs[id.0]
    }

    /// The category that a noun is in or names.
    pub fn category(&self, noun: NounId) -> &Category {
        &self.categories[self.noun(noun).category.0]
    }

    /// The category with this key; a key that `world.toml` lacks is a bug, found by every test that generates.
    pub fn category_named(&self, key: &str) -> &Category {
        self.categories.iter().find(|c| c.key == key).expect("world.toml has the category")
    }

    /// The verb with this key, as [`World::category_named`].
    pub fn verb_named(&self, key: &str) -> VerbId {
        self.verbs.iter().position(|v| v.key == key).map(VerbId).expect("world.toml has the verb")
    }

    /// What persons may be, one at a time: the subjects of the facts about work.
    pub fn occupations(&self) -> Vec<NounId> {
        self.facts.iter().filter(|(relation, ..)| *relation == Relation::Work).map(|(_, person, _)| *person).collect()
    }

    /// The nouns that name a member's category and those above it, nearest first.
    pub fn hypernyms(&self, noun: NounId) -> Vec<NounId> {
        let mut found = Vec::new();
        let mut category = Some(self.noun(noun).category);
        while let Some(id) = category {
            found.extend(self.categories[id.0].noun.filter(|h| *h != noun));
            category = self.categories[id.0].parent;
        }
        found
    }

    /// Members of the category that `hypernym` names, those of the categories below it included.
    pub fn hyponyms(&self, hypernym: NounId) -> Vec<NounId> {
        (0..self.nouns.len())
            .map(NounId)
            .filter(|n| !self.noun(*n).hypernym && self.hypernyms(*n).contains(&hypernym))
            .collect()
    }

    /// Adjectives said of a noun.
    pub fn qualities(&self, noun: NounId) -> Vec<AdjectiveId> {
        let category = self.noun(noun).category;
        self.matching_adjectives(|a| a.of.contains(&category))
    }

    /// Adjectives said of persons by name.
    pub fn name_qualities(&self) -> Vec<AdjectiveId> {
        self.matching_adjectives(|a| a.of_names)
    }

    fn matching_adjectives(&self, keep: impl Fn(&Adjective) -> bool) -> Vec<AdjectiveId> {
        (0..self.adjectives.len()).map(AdjectiveId).filter(|id| keep(&self.adjectives[id.0])).collect()
    }

    /// Whether two adjectives can't hold of one thing at once.
    pub fn exclude(&self, a: AdjectiveId, b: AdjectiveId) -> bool {
        let (first, second) = (&self.adjectives[a.0], &self.adjectives[b.0]);
        a != b && first.group == second.group && first.synonym != Some(b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_is_as_big_as_it_should_be() {
        let concepts = WORLD.nouns.len() + WORLD.verbs.len() + WORLD.adjectives.len() + WORLD.adverbs.len();
        assert!((150..=200).contains(&concepts), "{concepts} concepts");
        assert!(WORLD.categories.iter().all(|c| !c.members.is_empty()));
        assert!(WORLD.genres.iter().all(|g| g.places.len() > 1));
        assert!(!WORLD.numbers.is_empty() && !WORLD.names.is_empty());
    }

    #[test]
    fn opposites_and_synonyms_are_mutual() {
        for (index, verb) in WORLD.verbs.iter().enumerate() {
            assert!(verb.opposite.is_none_or(|o| WORLD.verb(o).opposite == Some(VerbId(index))), "{}", verb.key);
            assert!(verb.synonym.is_none_or(|s| WORLD.verb(s).synonym == Some(VerbId(index))), "{}", verb.key);
        }
        for (index, adjective) in WORLD.adjectives.iter().enumerate() {
            let back = |s: AdjectiveId| WORLD.adjectives[s.0].synonym == Some(AdjectiveId(index));
            assert!(adjective.synonym.is_none_or(back), "{}", adjective.key);
        }
        for (index, adverb) in WORLD.adverbs.iter().enumerate() {
            let back = |o: AdverbId| WORLD.adverbs[o.0].opposite == Some(AdverbId(index));
            assert!(adverb.opposite.is_none_or(back), "{}", adverb.key);
        }
    }

    #[test]
    fn categories_nest() {
        let noun = |key: &str| NounId(WORLD.nouns.iter().position(|n| n.key == key).unwrap());
        assert_eq!(WORLD.hypernyms(noun("apple")), [noun("fruit"), noun("food")]);
        assert!(WORLD.hyponyms(noun("food")).contains(&noun("apple")));
        assert!(!WORLD.hyponyms(noun("food")).contains(&noun("fruit")));
    }

    #[test]
    fn an_unknown_concept_is_named() {
        let text = include_str!("../../../data/mini/world.toml");
        assert_eq!(World::parse(&text.replace("dog = \"meat\"", "wolf = \"meat\"")).unwrap_err(), "no noun `wolf`");
        let opposite = World::parse(&text.replace("opposite = \"sell\"", "opposite = \"steal\"")).unwrap_err();
        assert_eq!(opposite, "no concept `steal`");
    }
}
