//! English sentences as derivations of combinatory categorial grammar, in the analyses and categories of CCGbank.
//!
//! Each node is one step: application (`X/Y Y` or `Y X\Y` to `X`), composition (`X/Y Y/Z` to `X/Z`), crossed composition
//! (`X/Z X\X` to `X/Z`: "does not"), a noun as a noun phrase, a conjunct, or punctuation that changes nothing. A category
//! without a feature (`S\NP`) combines with the same category with any.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::clause::{Clause, Head, NounPhrase, Part, Predicate, Quantity, Utterance};
use super::language::{Word, english};
use super::world::{AdverbId, NounId, VerbId, WORLD};

const ADVERB: &str = r"(S\NP)\(S\NP)";

/// A derivation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Derivation {
    /// A word with its category and its part of speech in the Penn Treebank's tags.
    Word { category: &'static str, tag: &'static str, word: String },
    /// A step; `head` is the position of the child that is its head.
    Step { category: &'static str, head: usize, children: Vec<Derivation> },
}

use Derivation::{Step, Word as Leaf};

impl Derivation {
    /// The tree in one line of CCGbank's AUTO format. The last field of a word, in the original its category with
    /// numbered arguments, is the plain category.
    pub fn auto(&self) -> String {
        match self {
            Leaf { category, tag, word } => format!("(<L {category} {tag} {tag} {word} {category}>)"),
            Step { category, head, children } => {
                let inner: Vec<_> = children.iter().map(Derivation::auto).collect();
                format!("(<T {category} {head} {}> {} )", children.len(), inner.join(" "))
            }
        }
    }

    /// The words.
    pub fn words(&self) -> Vec<&str> {
        match self {
            Leaf { word, .. } => vec![word],
            Step { children, .. } => children.iter().flat_map(Derivation::words).collect(),
        }
    }

    /// Writes the first word with a capital.
    fn capitalise(&mut self) {
        match self {
            Leaf { word, .. } => *word = word[..1].to_uppercase() + &word[1..],
            Step { children, .. } => children[0].capitalise(),
        }
    }
}

fn leaf(category: &'static str, tag: &'static str, word: impl Into<String>) -> Derivation {
    Leaf { category, tag, word: word.into() }
}

fn step<const N: usize>(category: &'static str, head: usize, children: [Derivation; N]) -> Derivation {
    Step { category, head, children: children.into() }
}

fn text(words: &[Word]) -> &str {
    &words[0].text
}

/// How the optional parts of a sentence are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Style {
    /// A comma after what comes before the subject.
    pub comma: bool,
    /// Brackets around the time at the end.
    pub brackets: bool,
}

impl Style {
    /// A random style.
    pub fn random(rng: &mut ChaCha8Rng) -> Style {
        Style { comma: rng.random_bool(0.5), brackets: rng.random_bool(0.1) }
    }
}

/// The derivation of a sentence; none for a question about a number, or a question that denies something.
pub fn derive(utterance: &Utterance, style: Style) -> Option<Derivation> {
    let (mut sentence, stop) = match utterance {
        Utterance::Statement(clauses) => {
            let mut parts = clauses.iter().map(|clause| statement(clause, style)).rev();
            let mut whole = parts.next()?;
            for part in parts {
                let conjunct = step("S[dcl][conj]", 1, [leaf("conj", "CC", "and"), whole]);
                whole = step("S[dcl]", 0, [part, conjunct]);
            }
            (whole, ".")
        }
        Utterance::Question(clause, _) if clause.negated => return None,
        Utterance::Question(clause, asked) => (question(clause, *asked, style)?, "?"),
    };
    sentence.capitalise();
    let category = if stop == "?" { "S[wq]" } else { "S[dcl]" };
    Some(step(category, 0, [sentence, leaf(".", ".", stop)]))
}

fn statement(clause: &Clause, style: Style) -> Derivation {
    let time_last = Clause { time: clause.time.filter(|_| !clause.time_first), ..*clause };
    let sentence = step("S[dcl]", 1, [noun_phrase(&clause.subject), verb_phrase(&time_last, style)]);
    match clause.time.filter(|_| clause.time_first) {
        Some(id) => {
            let mut adverb = leaf("S/S", "RB", adverb_form(id));
            if style.comma {
                adverb = step("S/S", 0, [adverb, leaf(",", ",", ",")]);
            }
            step("S[dcl]", 1, [adverb, sentence])
        }
        None => sentence,
    }
}

fn question(clause: &Clause, asked: Part, style: Style) -> Option<Derivation> {
    let person = match clause.subject.head {
        Head::Name(_) => true,
        Head::Noun(id) => WORLD.category(id).key == "person",
    };
    let does = || leaf(r"(S[q]/(S[b]\NP))/NP", "VBZ", "does");
    Some(match (asked, clause.predicate) {
        (Part::Subject, _) => {
            let word = leaf(r"S[wq]/(S[dcl]\NP)", "WP", if person { "who" } else { "what" });
            step("S[wq]", 0, [word, verb_phrase(clause, style)])
        }
        (Part::Object, Predicate::Act(verb, _)) => {
            let subject = step(r"S[q]/(S[b]\NP)", 0, [does(), noun_phrase(&clause.subject)]);
            let base = leaf(r"(S[b]\NP)/NP", "VB", verb_form(verb, true));
            let gap = step("S[q]/NP", 0, [subject, base]);
            step("S[wq]", 0, [leaf("S[wq]/(S[q]/NP)", "WP", "what"), gap])
        }
        (Part::Place, Predicate::Act(verb, object)) => {
            let subject = step(r"S[q]/(S[b]\NP)", 0, [does(), noun_phrase(&clause.subject)]);
            let whole = step("S[q]", 0, [subject, act(verb, object, true)]);
            step("S[wq]", 0, [leaf("S[wq]/S[q]", "WRB", "where"), whole])
        }
        _ => return None,
    })
}

/// The predicate and what modifies it, in English's order: manner, companion, place, time.
fn verb_phrase(clause: &Clause, style: Style) -> Derivation {
    let not = || leaf(ADVERB, "RB", "not");
    let copula = |category: &'static str| {
        let is = leaf(category, "VBZ", "is");
        if clause.negated { step(category, 0, [is, not()]) } else { is }
    };
    let base = clause.negated && matches!(clause.predicate, Predicate::Act(..));
    let mut phrase = match clause.predicate {
        Predicate::Act(verb, object) => act(verb, object, base),
        Predicate::Quality(id) => {
            let quality = leaf(r"S[adj]\NP", "JJ", text(english().adjective(id).get("pred", "")));
            step(r"S[dcl]\NP", 0, [copula(r"(S[dcl]\NP)/(S[adj]\NP)"), quality])
        }
        Predicate::Kind(noun) => {
            let word = text(english().noun(noun).get("", ""));
            let article = if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
            let kind = step("NP", 1, [leaf("NP[nb]/N", "DT", article), leaf("N", "NN", word)]);
            step(r"S[dcl]\NP", 0, [copula(r"(S[dcl]\NP)/NP"), kind])
        }
        Predicate::Located(place) => {
            let place = step("PP", 0, [leaf("PP/NP", "IN", preposition(place)), noun_phrase(&NounPhrase::noun(place))]);
            step(r"S[dcl]\NP", 0, [copula(r"(S[dcl]\NP)/PP"), place])
        }
    };
    let category = if base { r"S[b]\NP" } else { r"S[dcl]\NP" };
    let adjunct = |preposition: &str, np: NounPhrase| {
        step(ADVERB, 0, [leaf(r"((S\NP)\(S\NP))/NP", "IN", preposition), noun_phrase(&np)])
    };
    let time = clause.time.map(|id| {
        let adverb = leaf(ADVERB, "RB", adverb_form(id));
        if !style.brackets {
            return adverb;
        }
        let closed = step(ADVERB, 0, [adverb, leaf("RRB", "-RRB-", "-RRB-")]);
        step(ADVERB, 1, [leaf("LRB", "-LRB-", "-LRB-"), closed])
    });
    let adjuncts = [
        clause.manner.map(|id| leaf(ADVERB, "RB", adverb_form(id))),
        clause.companion.map(|name| adjunct("with", NounPhrase::name(name))),
        clause.place.map(|place| adjunct(preposition(place), NounPhrase::noun(place))),
        time,
    ];
    for adjunct in adjuncts.into_iter().flatten() {
        phrase = step(category, 0, [phrase, adjunct]);
    }
    if base {
        let auxiliary = r"(S[dcl]\NP)/(S[b]\NP)";
        let denied = step(auxiliary, 0, [leaf(auxiliary, "VBZ", "does"), not()]);
        phrase = step(r"S[dcl]\NP", 0, [denied, phrase]);
    }
    phrase
}

/// The verb with its object, finite or, after an auxiliary, in its base form.
fn act(verb: VerbId, object: Option<NounPhrase>, base: bool) -> Derivation {
    let (intransitive, transitive, tag) = match base {
        true => (r"S[b]\NP", r"(S[b]\NP)/NP", "VB"),
        false => (r"S[dcl]\NP", r"(S[dcl]\NP)/NP", "VBZ"),
    };
    match object {
        Some(np) => step(intransitive, 0, [leaf(transitive, tag, verb_form(verb, base)), noun_phrase(&np)]),
        None => leaf(intransitive, tag, verb_form(verb, base)),
    }
}

fn noun_phrase(np: &NounPhrase) -> Derivation {
    let noun = match np.head {
        Head::Name(id) => return step("NP", 0, [leaf("N", "NNP", &WORLD.names[id.0].text)]),
        Head::Noun(noun) => noun,
    };
    if let Some(Quantity { number, at_least }) = np.quantity {
        let mut count = leaf("N/N", "CD", number.to_string());
        if at_least {
            let at = leaf(r"((N/N)/(N/N))/(S[asup]\NP)", "IN", "at");
            let least = leaf(r"S[asup]\NP", "JJS", "least");
            count = step("N/N", 1, [step("(N/N)/(N/N)", 0, [at, least]), count]);
        }
        let counted = leaf("N", "NNS", text(english().noun(noun).get("count", "")));
        return step("NP", 0, [step("N", 1, [count, counted])]);
    }
    let mut group = leaf("N", "NN", text(english().noun(noun).get("", "")));
    if let Some(id) = np.adjective {
        group = step("N", 1, [leaf("N/N", "JJ", text(english().adjective(id).get("", ""))), group]);
    }
    step("NP", 1, [leaf("NP[nb]/N", "DT", "the"), group])
}

fn verb_form(verb: VerbId, base: bool) -> &'static str {
    text(english().verb(verb).get(if base { "neg" } else { "" }, ""))
}

fn adverb_form(id: AdverbId) -> &'static str {
    text(english().adverb(id).get("", ""))
}

/// The preposition that English puts before the place.
fn preposition(place: NounId) -> &'static str {
    let own = english().noun(place);
    text(if own.has("at") { own.get("at", "") } else { english().grammar.place.get("", "") })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::source::mini::realize::Realizer;
    use crate::source::mini::sample;

    #[test]
    fn derivations_have_the_words_of_the_sentences() {
        let (mut derived, mut asked) = (0, 0);
        for seed in 0..500 {
            let utterance = sample::utterance(&mut ChaCha8Rng::seed_from_u64(seed));
            if let Some(derivation) = derive(&utterance, Style::default()) {
                let sentence = Realizer::new(english()).sentence(&utterance);
                assert_eq!(derivation.words().join(" "), sentence.tokenized());
                derived += 1;
                asked += usize::from(matches!(utterance, Utterance::Question(..)));
            }
        }
        assert!(derived > 400 && asked > 20, "{derived} sentences, {asked} of them questions");
    }

    #[test]
    fn brackets_and_commas_are_written_as_the_treebank_does() {
        let noun = |key: &str| NounId(WORLD.nouns.iter().position(|n| n.key == key).unwrap());
        let now = AdverbId(WORLD.adverbs.iter().position(|a| a.key == "now").unwrap());
        let clause = Clause {
            time: Some(now),
            ..Clause::new(NounPhrase::noun(noun("dog")), Predicate::Located(noun("garden")))
        };
        let style = Style { comma: true, brackets: true };
        let words = |clause: Clause| derive(&Utterance::Statement(vec![clause]), style).unwrap().words().join(" ");
        assert_eq!(words(clause), "The dog is in the garden -LRB- now -RRB- .");
        assert_eq!(words(Clause { time_first: true, ..clause }), "Now , the dog is in the garden .");
    }
}
