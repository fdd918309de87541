//! One language of the mini world (`data/mini/languages/*.toml`): its words and its grammar, both as data. The format
//! of the files is described in `data/mini/README.md`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::world::{AdjectiveId, AdverbId, NounId, VerbId, WORLD};

/// The universal part-of-speech tags, as CoNLL-U writes them.
pub const UPOS: [&str; 17] = [
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM", "PART", "PRON", "PROPN", "PUNCT", "SCONJ",
    "SYM", "VERB", "X",
];

/// One word of a form or pattern; `tag` is set on the words that don't take their tag from the concept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    pub text: String,
    pub tag: Option<&'static str>,
}

/// The forms of one concept, or a pattern (`in/ADP ~`) that may depend on case and agreement class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forms {
    /// Agreement class of a noun; empty where the language has none.
    pub class: String,
    default: Vec<Word>,
    keyed: BTreeMap<String, Vec<Word>>,
}

impl Forms {
    /// Reads `class: default | key=form | …`.
    pub fn parse(text: &str) -> Result<Forms, String> {
        let (class, forms) = match text.split_once(": ") {
            Some((class, forms)) => (class.trim().to_owned(), forms),
            None => (String::new(), text),
        };
        let mut parts = forms.split('|').map(str::trim);
        let default = words(parts.next().unwrap_or_default())?;
        let mut keyed = BTreeMap::new();
        for part in parts {
            let (key, form) = part.split_once('=').ok_or_else(|| format!("`{part}` in `{text}` has no `key=`"))?;
            keyed.insert(key.to_owned(), words(form)?);
        }
        Ok(Forms { class, default, keyed })
    }

    /// The words for a case and agreement class: `case.class`, else `case`, else `class`, else the default.
    pub fn get(&self, case: &str, class: &str) -> &[Word] {
        self.keyed
            .get(&format!("{case}.{class}"))
            .or_else(|| self.keyed.get(case))
            .or_else(|| self.keyed.get(class))
            .unwrap_or(&self.default)
    }

    /// Whether the case (or class) has a form of its own.
    pub fn has(&self, key: &str) -> bool {
        self.keyed.contains_key(key)
    }

    /// The citation form: the head of the default form.
    pub fn citation(&self) -> &str {
        self.default.get(head_word(&self.default)).map_or("", |word| &word.text)
    }
}

/// Position of the head of a form: the untagged word, or, where every word is tagged (a question word with its
/// particle), the first content word.
pub fn head_word(words: &[Word]) -> usize {
    let content = |word: &Word| !matches!(word.tag, Some("ADP" | "PART" | "DET" | "AUX"));
    words.iter().position(|w| w.tag.is_none()).or_else(|| words.iter().position(content)).unwrap_or(0)
}

fn words(text: &str) -> Result<Vec<Word>, String> {
    text.split_whitespace()
        .map(|word| match word.rsplit_once('/') {
            None => Ok(Word { text: word.to_owned(), tag: None }),
            Some((form, tag)) => {
                let tag = UPOS.iter().find(|t| **t == tag).ok_or_else(|| format!("`{word}` has no universal tag"))?;
                Ok(Word { text: form.to_owned(), tag: Some(tag) })
            }
        })
        .collect()
}

/// Where adjectives stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Before,
    After,
}

/// Order of the constituents of a clause, each a list of slot names.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    pub statement: String,
    /// With the time adverb first; without it the adverb is simply moved to the front.
    pub fronted: Option<String>,
    /// Questions; without it the question word stays where its answer would stand.
    pub question: Option<String>,
    pub adjective: Side,
}

/// Function words and patterns.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grammar {
    #[serde(default = "nothing")]
    pub article: Forms,
    #[serde(default)]
    pub definite_prefix: String,
    #[serde(default = "bare")]
    pub subject: Forms,
    #[serde(default = "bare")]
    pub object: Forms,
    #[serde(default = "bare")]
    pub place: Forms,
    pub located: Option<Forms>,
    pub companion: Forms,
    pub count: Forms,
    pub at_least: Forms,
    #[serde(default = "bare")]
    pub negation: Forms,
    pub negation_slot: Option<Forms>,
    pub auxiliary: Option<Forms>,
    pub and: Forms,
    pub stop: Forms,
    #[serde(default = "nothing")]
    pub question_begin: Forms,
    pub question_end: Forms,
    #[serde(default)]
    pub vowels: String,
    #[serde(default)]
    pub before_vowel: BTreeMap<String, String>,
    #[serde(default)]
    pub contractions: BTreeMap<String, String>,
    #[serde(default)]
    pub capital: BTreeMap<char, char>,
}

/// The copula before a quality, a kind and a place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copula {
    pub quality: Forms,
    pub kind: Forms,
    pub located: Forms,
}

/// Question words, by what they ask for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    pub person: Forms,
    pub thing: Forms,
    pub object: Forms,
    pub kind: Forms,
    pub place: Forms,
    pub located: Option<Forms>,
    pub number: Forms,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LanguageFile {
    code: String,
    iso3: String,
    name: String,
    #[serde(default)]
    cased: bool,
    #[serde(default = "yes")]
    spaces: bool,
    #[serde(default)]
    name_class: BTreeMap<String, String>,
    order: Order,
    grammar: Grammar,
    copula: Copula,
    ask: Ask,
    nouns: BTreeMap<String, Forms>,
    verbs: BTreeMap<String, Forms>,
    adjectives: BTreeMap<String, Forms>,
    adverbs: BTreeMap<String, Forms>,
}

/// A language, its words in the order of the world's concepts.
#[derive(Debug)]
pub struct Language {
    /// ISO 639-1.
    pub code: String,
    /// ISO 639-3, as Tatoeba names its files.
    pub iso3: String,
    /// English name, as in the folder names of Universal Dependencies.
    pub name: String,
    /// Whether a sentence begins with a capital.
    pub cased: bool,
    /// Whether words are separated by spaces.
    pub spaces: bool,
    name_class: BTreeMap<String, String>,
    pub order: Order,
    pub grammar: Grammar,
    pub copula: Copula,
    pub ask: Ask,
    nouns: Vec<Forms>,
    verbs: Vec<Forms>,
    adjectives: Vec<Forms>,
    adverbs: Vec<Forms>,
}

impl<'de> Deserialize<'de> for Forms {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Forms::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn yes() -> bool {
    true
}

fn nothing() -> Forms {
    Forms { class: String::new(), default: Vec::new(), keyed: BTreeMap::new() }
}

fn bare() -> Forms {
    Forms { default: vec![Word { text: "~".to_owned(), tag: None }], ..nothing() }
}

/// The words of `kind` in the order of the world's `keys`; one word too few or too many is an error.
fn in_order<'k>(
    kind: &str,
    mut entries: BTreeMap<String, Forms>,
    keys: impl Iterator<Item = &'k String>,
) -> Result<Vec<Forms>, String> {
    let found = keys
        .map(|key| entries.remove(key).ok_or_else(|| format!("no {kind} `{key}`")))
        .collect::<Result<Vec<_>, _>>()?;
    match entries.keys().next() {
        Some(key) => Err(format!("the world has no {kind} `{key}`")),
        None => Ok(found),
    }
}

impl Language {
    /// Reads a language file; the error names the missing or superfluous word.
    pub fn parse(text: &str) -> Result<Language, String> {
        let file: LanguageFile = toml::from_str(text).map_err(|e| e.to_string())?;
        Ok(Language {
            code: file.code,
            iso3: file.iso3,
            name: file.name,
            cased: file.cased,
            spaces: file.spaces,
            name_class: file.name_class,
            order: file.order,
            grammar: file.grammar,
            copula: file.copula,
            ask: file.ask,
            nouns: in_order("noun", file.nouns, WORLD.nouns.iter().map(|n| &n.key))?,
            verbs: in_order("verb", file.verbs, WORLD.verbs.iter().map(|v| &v.key))?,
            adjectives: in_order("adjective", file.adjectives, WORLD.adjectives.iter().map(|a| &a.key))?,
            adverbs: in_order("adverb", file.adverbs, WORLD.adverbs.iter().map(|a| &a.key))?,
        })
    }

    /// The forms of a noun.
    pub fn noun(&self, id: NounId) -> &Forms {
        &self.nouns[id.0]
    }

    /// The forms of a verb.
    pub fn verb(&self, id: VerbId) -> &Forms {
        &self.verbs[id.0]
    }

    /// The forms of an adjective.
    pub fn adjective(&self, id: AdjectiveId) -> &Forms {
        &self.adjectives[id.0]
    }

    /// The forms of an adverb.
    pub fn adverb(&self, id: AdverbId) -> &Forms {
        &self.adverbs[id.0]
    }

    /// The agreement class of names that the world calls `class`.
    pub fn name_class<'a>(&'a self, class: &'a str) -> &'a str {
        self.name_class.get(class).map_or(class, String::as_str)
    }
}

/// The lexicons and grammars, English first.
pub const TEXTS: [&str; 13] = [
    include_str!("../../../data/mini/languages/en.toml"),
    include_str!("../../../data/mini/languages/de.toml"),
    include_str!("../../../data/mini/languages/es.toml"),
    include_str!("../../../data/mini/languages/fr.toml"),
    include_str!("../../../data/mini/languages/fi.toml"),
    include_str!("../../../data/mini/languages/ru.toml"),
    include_str!("../../../data/mini/languages/tr.toml"),
    include_str!("../../../data/mini/languages/sw.toml"),
    include_str!("../../../data/mini/languages/ar.toml"),
    include_str!("../../../data/mini/languages/hi.toml"),
    include_str!("../../../data/mini/languages/ta.toml"),
    include_str!("../../../data/mini/languages/zh.toml"),
    include_str!("../../../data/mini/languages/ja.toml"),
];

/// Every language, English first.
pub static LANGUAGES: LazyLock<Vec<Language>> = LazyLock::new(|| {
    TEXTS
        .iter()
        .map(|text| Language::parse(text).expect("the embedded languages are complete: a test reads each"))
        .collect()
});

/// English: the language of the intermediate tasks and of the training data.
pub fn english() -> &'static Language {
    &LANGUAGES[0]
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    /// The script of a letter, as far as the mini edition's languages need it.
    fn script(letter: char) -> &'static str {
        match letter {
            'a'..='z' | 'A'..='Z' | 'À'..='ɏ' => "Latin",
            'Ѐ'..='ӿ' => "Cyrillic",
            '\u{600}'..='\u{6ff}' => "Arabic",
            '\u{900}'..='\u{97f}' => "Devanagari",
            '\u{b80}'..='\u{bff}' => "Tamil",
            '\u{3040}'..='\u{30ff}' => "Kana",
            '\u{4e00}'..='\u{9fff}' => "Han",
            other => panic!("`{other}` is of a script that no language should use"),
        }
    }

    #[test]
    fn there_are_languages_and_scripts_enough() {
        let words = LANGUAGES.iter().flat_map(|l| l.nouns.iter().map(Forms::citation));
        let scripts: BTreeSet<_> = words.flat_map(str::chars).filter(|c| c.is_alphabetic()).map(script).collect();
        assert!(LANGUAGES.len() >= 12 && scripts.len() >= 6, "{} languages, {scripts:?}", LANGUAGES.len());
        let codes: HashSet<_> = LANGUAGES.iter().map(|l| &l.code).collect();
        assert_eq!(codes.len(), LANGUAGES.len());
        assert_eq!(english().code, "en");
    }

    #[test]
    fn every_concept_has_a_word_of_its_own_in_every_language() {
        for language in LANGUAGES.iter() {
            for lexicon in [&language.nouns, &language.verbs, &language.adjectives, &language.adverbs] {
                // A light verb with its noun (Turkish `dans ediyor`) is told apart by the noun.
                let form = |forms: &Forms| forms.default.iter().map(|w| w.text.clone()).collect::<Vec<_>>();
                let distinct: HashSet<_> = lexicon.iter().map(form).collect();
                assert_eq!(distinct.len(), lexicon.len(), "{} uses a word for two concepts", language.code);
                assert!(lexicon.iter().all(|forms| !forms.citation().is_empty()), "{}", language.code);
            }
        }
    }

    #[test]
    fn a_missing_or_unknown_word_is_named() {
        let text = include_str!("../../../data/mini/languages/de.toml");
        let without = Language::parse(&text.replace("dog = \"m: Hund | count=Hunde\"\n", "")).unwrap_err();
        assert_eq!(without, "no noun `dog`");
        let unknown = Language::parse(&text.replace("[verbs]\n", "[verbs]\nfly = \"fliegt\"\n")).unwrap_err();
        assert_eq!(unknown, "the world has no verb `fly`");
        let tag = Language::parse(&text.replace("nicht/PART", "nicht/NEG")).unwrap_err();
        assert!(tag.contains("`nicht/NEG` has no universal tag"), "{tag}");
    }

    #[test]
    fn forms_fall_back_from_case_and_class_to_the_default() {
        let forms = Forms::parse("m: das | m=der | f=die | acc.m=den | loc=dem | loc.f=der").unwrap();
        let get = |case, class| forms.get(case, class)[0].text.as_str();
        assert_eq!([get("nom", "m"), get("acc", "m"), get("acc", "f"), get("acc", "n")], ["der", "den", "die", "das"]);
        assert_eq!([get("loc", "m"), get("loc", "f")], ["dem", "der"]);
        assert_eq!(forms.class, "m");
        assert!(Forms::parse("a | b").unwrap_err().contains("has no `key=`"));
    }
}
