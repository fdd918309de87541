//! Named entities (`data/mini/entities.toml`): persons by full name, cities, and organisations named after them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::clause::Part;
use super::language::{LANGUAGES, Language};
use super::sample;
use super::sentence::Sentence;
use super::world::{NameId, WORLD};

/// The entities' text.
pub const TEXT: &str = include_str!("../../../data/mini/entities.toml");

static NAMES: LazyLock<EntitiesFile> =
    LazyLock::new(|| parse(TEXT).expect("the embedded entities are complete: a test reads them"));

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntitiesFile {
    family_names: Vec<String>,
    cities: BTreeMap<String, Vec<String>>,
    organisations: BTreeMap<String, Vec<String>>,
}

/// Reads `entities.toml`; the error says which language is missing or has too few.
fn parse(text: &str) -> Result<EntitiesFile, String> {
    let file: EntitiesFile = toml::from_str(text).map_err(|e| e.to_string())?;
    for (kind, names) in [("cities", &file.cities), ("organisations", &file.organisations)] {
        let needed = names.get("en").map_or(0, Vec::len);
        for language in LANGUAGES.iter() {
            if names.get(&language.code).map_or(0, Vec::len) != needed {
                return Err(format!("`{}` doesn't name as many {kind} as English", language.code));
            }
        }
    }
    Ok(file)
}

/// A named entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entity {
    /// First and family name.
    Person(NameId, usize),
    City(usize),
    /// Its kind and the city that it is named after.
    Organisation(usize, usize),
}

/// Every entity, in an order of their own.
pub static ENTITIES: LazyLock<Vec<Entity>> = LazyLock::new(|| {
    let (families, cities) = (NAMES.family_names.len(), NAMES.cities["en"].len());
    let persons = (0..WORLD.names.len()).flat_map(|name| (0..families).map(move |f| Entity::Person(NameId(name), f)));
    let kinds = 0..NAMES.organisations["en"].len();
    let organisations = kinds.flat_map(|kind| (0..cities).map(move |city| Entity::Organisation(kind, city)));
    persons.chain((0..cities).map(Entity::City)).chain(organisations).collect()
});

impl Entity {
    /// A city.
    pub fn city(rng: &mut ChaCha8Rng) -> Entity {
        Entity::City(rng.random_range(0..NAMES.cities["en"].len()))
    }

    /// An entity; of each class as many.
    pub fn random(rng: &mut ChaCha8Rng) -> Entity {
        match rng.random_range(0..3) {
            0 => Entity::Person(sample::name(rng), rng.random_range(0..NAMES.family_names.len())),
            1 => Entity::city(rng),
            _ => {
                let kind = rng.random_range(0..NAMES.organisations["en"].len());
                Entity::Organisation(kind, rng.random_range(0..NAMES.cities["en"].len()))
            }
        }
    }

    /// The class as PAN-X writes it.
    pub fn class(self) -> &'static str {
        match self {
            Entity::Person(..) => "PER",
            Entity::City(_) => "LOC",
            Entity::Organisation(..) => "ORG",
        }
    }

    /// The words of its name.
    pub fn words(self, language: &Language) -> Vec<String> {
        let city = |city: usize| &NAMES.cities[&language.code][city];
        let name = match self {
            Entity::Person(name, family) => {
                format!("{} {}", WORLD.names[name.0].text, NAMES.family_names[family])
            }
            Entity::City(index) => city(index).clone(),
            Entity::Organisation(kind, index) => NAMES.organisations[&language.code][kind].replace('~', city(index)),
        };
        name.split(' ').map(str::to_owned).collect()
    }

    /// Its name as the language writes it.
    pub fn name(self, language: &Language) -> String {
        let words = self.words(language);
        let together = !language.spaces && words.iter().any(|word| !word.is_ascii());
        words.join(if together { "" } else { " " })
    }
}

/// The sentence with the name of the person that has `part` replaced; the range of the words that took its place. None
/// where no name has that part.
pub fn put(sentence: &mut Sentence, part: Part, words: &[String]) -> Option<std::ops::Range<usize>> {
    let position = sentence.tokens.iter().position(|token| token.part == part && token.tag == "PROPN")?;
    sentence.replace(position, words);
    Some(position..position + words.len())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::source::mini::clause::{Clause, NounPhrase, Predicate, Utterance};
    use crate::source::mini::language::english;
    use crate::source::mini::realize::Realizer;

    #[test]
    fn every_language_names_every_entity_and_no_two_alike() {
        for language in LANGUAGES.iter() {
            let names: HashSet<_> = ENTITIES.iter().map(|entity| entity.name(language)).collect();
            assert_eq!(names.len(), ENTITIES.len(), "{}", language.code);
        }
        let error = parse(&TEXT.replace("\"Rom\", ", "")).unwrap_err();
        assert_eq!(error, "`de` doesn't name as many cities as English");
    }

    #[test]
    fn a_name_of_several_words_keeps_the_tree() {
        let clause = Clause {
            companion: Some(NameId(1)),
            ..Clause::new(NounPhrase::name(NameId(0)), Predicate::Act(WORLD.verb_named("sing"), None))
        };
        let mut sentence = Realizer::new(english()).sentence(&Utterance::Statement(vec![clause]));
        let bare = sentence.clone();
        let words = ["Otto", "Emil", "Berg"].map(str::to_owned);
        assert_eq!(put(&mut sentence, Part::Subject, &words), Some(0..3));
        assert_eq!(sentence.text(), bare.text().replacen(&WORLD.names[0].text, "Otto Emil Berg", 1));
        assert_eq!(sentence.tokens.iter().filter(|token| token.head.is_none()).count(), 1);
        let head = |sentence: &Sentence, word: &str| {
            let token = sentence.tokens.iter().find(|token| token.form == word).unwrap();
            token.head.map(|head| sentence.tokens[head].form.clone())
        };
        for word in ["with", &WORLD.names[1].text, "sings"] {
            assert_eq!(head(&sentence, word), head(&bare, word), "{word}");
        }
        assert_eq!(head(&sentence, "Berg").as_deref(), Some("Otto"));
    }
}
