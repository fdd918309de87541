//! From clauses to sentences: one grammar for every language, driven by the language's data.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::clause::{Clause, Head, NounPhrase, Part, Predicate, Quantity, Utterance};
use super::language::{Forms, Language, Side, Word};
use super::phrase::{Group, UNATTACHED, adopt, append, attach, content, fill, function, head_of, name_relation};
use super::sentence::{Contraction, Sentence};
use super::world::{AdverbId, NounId, VerbId, WORLD};

/// Puts clauses into words of one language, or, code-switched, partly of another.
pub struct Realizer<'a> {
    language: &'a Language,
    switch: Option<(&'a Language, f64, ChaCha8Rng)>,
}

impl<'a> Realizer<'a> {
    /// Into one language.
    pub fn new(language: &'a Language) -> Self {
        Self { language, switch: None }
    }

    /// Grammar and function words of `language`, each content word with probability `share` from `other`.
    pub fn code_switched(language: &'a Language, other: &'a Language, share: f64, rng: ChaCha8Rng) -> Self {
        Self { language, switch: Some((other, share, rng)) }
    }

    /// The sentence for an utterance.
    pub fn sentence(&mut self, utterance: &Utterance) -> Sentence {
        let grammar = &self.language.grammar;
        let mut tokens = Group::new();
        let end = match utterance {
            Utterance::Statement(clauses) => {
                for (index, clause) in clauses.iter().enumerate() {
                    let mut conjunct = self.clause(clause, None);
                    if index > 0 {
                        conjunct = attach(conjunct, function(grammar.and.get("", ""), "CCONJ"), "cc", Side::Before);
                        name_relation(&mut conjunct, "conj");
                        tokens = attach(tokens, conjunct, "conj", Side::After);
                    } else {
                        tokens = conjunct;
                    }
                }
                &grammar.stop
            }
            Utterance::Question(clause, asked) => {
                let begin = function(grammar.question_begin.get("", ""), "PUNCT");
                tokens = attach(self.clause(clause, Some(*asked)), begin, "punct", Side::Before);
                &grammar.question_end
            }
        };
        self.written(attach(tokens, function(end.get("", ""), "PUNCT"), "punct", Side::After))
    }

    /// The language that the next content word comes from.
    fn source(&mut self) -> &'a Language {
        if let Some((other, share, rng)) = &mut self.switch
            && rng.random_bool(*share)
        {
            return other;
        }
        self.language
    }

    fn class_of(&self, np: &NounPhrase) -> &'a str {
        match np.head {
            Head::Name(id) => self.language.name_class(&WORLD.names[id.0].class),
            Head::Noun(id) => &self.language.noun(id).class,
        }
    }

    /// A noun phrase in a case, without the mark of its role.
    fn noun_phrase(&mut self, np: &NounPhrase, case: &str, part: Part) -> Group {
        let noun = match np.head {
            Head::Noun(id) => id,
            Head::Name(id) => {
                let text = &WORLD.names[id.0].text;
                return content(&[Word { text: text.clone(), tag: None }], text, "PROPN", part);
            }
        };
        let (language, class) = (self.language, self.class_of(np));
        let case = if np.quantity.is_some() { "count" } else { case };
        let mut word = |forms: &dyn Fn(&'a Language) -> &'a Forms, class: &str, tag: &'static str| {
            let source = self.source();
            let forms = forms(source);
            let mut group = content(forms.get(case, class), forms.citation(), tag, part);
            if std::ptr::eq(source, language) && !matches!(case, "count" | "kind") {
                let head = head_of(&group);
                group[head].form.insert_str(0, &language.grammar.definite_prefix);
            }
            group
        };
        let mut group = word(&|l| l.noun(noun), "", "NOUN");
        if let Some(id) = np.adjective {
            group = attach(group, word(&|l| l.adjective(id), class, "ADJ"), "amod", language.order.adjective);
        }
        attach(group, function(language.grammar.article.get(case, class), "DET"), "det", Side::Before)
    }

    /// The object, counted where it has a quantity; with `how_many` the question stands in the number's place.
    fn object(&mut self, np: &NounPhrase, how_many: bool) -> Group {
        let class = self.class_of(np);
        let group = self.noun_phrase(np, "acc", Part::Object);
        let grammar = &self.language.grammar;
        let group = match np.quantity {
            None => group,
            Some(_) if how_many => fill(self.language.ask.number.get("", class), group, None),
            Some(Quantity { number, at_least }) => {
                let text = number.to_string();
                let mut numeral = content(&[Word { text: text.clone(), tag: None }], &text, "NUM", Part::Number);
                if at_least {
                    numeral = fill(grammar.at_least.get("", ""), numeral, None);
                }
                fill(grammar.count.get("", class), group, Some(numeral))
            }
        };
        let animate = matches!(np.head, Head::Noun(id) if WORLD.category(id).animate);
        fill(grammar.object.get(if animate { "animate" } else { "" }, ""), group, None)
    }

    /// A place with its adposition.
    fn place(&mut self, place: NounId, located: bool) -> Group {
        let part = if located { Part::Complement } else { Part::Place };
        let group = self.noun_phrase(&NounPhrase::noun(place), "loc", part);
        let grammar = &self.language.grammar;
        let own = self.language.noun(place);
        let pattern = match &grammar.located {
            _ if own.has("at") => own.get("at", ""),
            Some(pattern) if located => pattern.get("", ""),
            _ => grammar.place.get("", ""),
        };
        fill(pattern, group, None)
    }

    fn adverb(&mut self, id: AdverbId) -> Group {
        let forms = self.source().adverb(id);
        content(forms.get("", ""), forms.citation(), "ADV", Part::Other)
    }

    /// The word that asks for a part of the clause other than the number.
    fn question_word(&self, clause: &Clause, asked: Part) -> Group {
        let ask = &self.language.ask;
        let person = match clause.subject.head {
            Head::Name(_) => true,
            Head::Noun(id) => WORLD.category(id).key == "person",
        };
        let forms = match (asked, clause.predicate) {
            (Part::Subject, _) if person => &ask.person,
            (Part::Subject, _) => &ask.thing,
            (Part::Complement, Predicate::Located(_)) => ask.located.as_ref().unwrap_or(&ask.place),
            (Part::Complement, _) => &ask.kind,
            (Part::Place, _) => &ask.place,
            _ => &ask.object,
        };
        content(forms.get("", ""), forms.citation(), "PRON", Part::Other)
    }

    /// The slot where a part stands: its own, unless it is asked for and the language moves the question word.
    fn slot(&self, part: Part, slot: &'static str, asked: Option<Part>) -> &'static str {
        if asked == Some(part) && self.language.order.question.is_some() { "asked" } else { slot }
    }

    /// The auxiliary of a question about anything but the subject, in languages that have one.
    fn auxiliary(&self, asked: Option<Part>) -> Option<&'a Forms> {
        self.language.grammar.auxiliary.as_ref().filter(|_| asked.is_some_and(|part| part != Part::Subject))
    }

    /// The class that the predicate agrees with. A question about the subject doesn't give the subject's away.
    fn agreement(&self, clause: &Clause, asked: Option<Part>) -> &'a str {
        match clause.subject.head {
            Head::Noun(id) if asked == Some(Part::Subject) => match WORLD.category(id).noun {
                Some(hypernym) if WORLD.category(id).key != "person" => &self.language.noun(hypernym).class,
                _ => self.language.name_class("m"),
            },
            Head::Name(_) if asked == Some(Part::Subject) => self.language.name_class("m"),
            _ => self.class_of(&clause.subject),
        }
    }

    /// Fills the slots of verb and object; the verb's is the root.
    fn act(
        &mut self,
        clause: &Clause,
        verb: VerbId,
        object: Option<NounPhrase>,
        asked: Option<Part>,
        slots: &mut Slots,
    ) -> &'static str {
        let grammar = &self.language.grammar;
        let class = self.agreement(clause, asked);
        let auxiliary = self.auxiliary(asked);
        let source = self.source();
        // The form that goes with this language's auxiliary would be a negative in some others.
        let with_auxiliary = auxiliary.is_some() && std::ptr::eq(source, self.language);
        let case = if clause.negated || with_auxiliary { "neg" } else { "" };
        let forms = source.verb(verb);
        let mut group = content(forms.get(case, class), forms.citation(), "VERB", Part::Other);
        if clause.negated {
            group = fill(grammar.negation.get("", class), group, None);
        }
        slots.put("verb", group, UNATTACHED);
        if let Some(auxiliary) = auxiliary {
            slots.put("auxiliary", function(auxiliary.get("", class), "AUX"), "aux");
        }
        if asked == Some(Part::Object) {
            slots.put(self.slot(Part::Object, "object", asked), self.question_word(clause, Part::Object), "obj");
        } else if let Some(np) = object {
            let group = self.object(&np, asked == Some(Part::Number));
            slots.put(self.slot(Part::Number, "object", asked), group, "obj");
        }
        "verb"
    }

    /// Fills the slots of the predicate and says which of them is the root.
    fn predicate(&mut self, clause: &Clause, asked: Option<Part>, slots: &mut Slots) -> &'static str {
        let language = self.language;
        let class = self.agreement(clause, asked);
        let case = if clause.negated { "neg" } else { "" };
        let (copula, complement) = match clause.predicate {
            Predicate::Act(verb, object) => return self.act(clause, verb, object, asked, slots),
            Predicate::Quality(id) => {
                let forms = self.source().adjective(id);
                let case = if clause.negated && forms.has("neg") { "neg" } else { "pred" };
                let group = content(forms.get(case, class), forms.citation(), "ADJ", Part::Complement);
                (&language.copula.quality, group)
            }
            Predicate::Kind(noun) => {
                (&language.copula.kind, self.noun_phrase(&NounPhrase::noun(noun), "kind", Part::Complement))
            }
            Predicate::Located(noun) => (&language.copula.located, self.place(noun, true)),
        };
        let mut copula = function(copula.get(case, class), "AUX");
        for token in copula.iter_mut().filter(|t| t.tag == "AUX") {
            token.relation = "cop";
        }
        slots.put(if self.auxiliary(asked).is_some() { "auxiliary" } else { "verb" }, copula, "cop");
        let complement = match asked {
            Some(Part::Complement) => self.question_word(clause, Part::Complement),
            _ => complement,
        };
        let root = self.slot(Part::Complement, "complement", asked);
        slots.put(root, complement, UNATTACHED);
        root
    }

    /// The clause without punctuation; `asked` names the part that a question asks for.
    fn clause(&mut self, clause: &Clause, asked: Option<Part>) -> Group {
        let (grammar, order) = (&self.language.grammar, &self.language.order);
        let mut slots = Slots::default();
        let root = self.predicate(clause, asked, &mut slots);
        if asked == Some(Part::Subject) {
            let slot = self.slot(Part::Subject, "subject", asked);
            slots.put(slot, self.question_word(clause, Part::Subject), "nsubj");
        } else {
            let group = self.noun_phrase(&clause.subject, "nom", Part::Subject);
            slots.put("subject", fill(grammar.subject.get("", ""), group, None), "nsubj");
        }
        if let Some(slot) = grammar.negation_slot.as_ref().filter(|_| clause.negated) {
            slots.put("negation", function(slot.get("", ""), "PART"), "advmod");
        }
        if asked == Some(Part::Place) {
            slots.put(self.slot(Part::Place, "place", asked), self.question_word(clause, Part::Place), "advmod");
        } else if let Some(place) = clause.place {
            slots.put("place", self.place(place, false), "obl");
        }
        if let Some(name) = clause.companion {
            let group = self.noun_phrase(&NounPhrase::name(name), "", Part::Other);
            slots.put("companion", fill(grammar.companion.get("", ""), group, None), "obl");
        }
        for (slot, adverb) in [("time", clause.time), ("manner", clause.manner)] {
            if let Some(id) = adverb {
                slots.put(slot, self.adverb(id), "advmod");
            }
        }
        let fronted = format!("time {}", order.statement.replace("time", ""));
        let template = match &order.question {
            Some(question) if asked.is_some() => question,
            _ if clause.time_first => order.fronted.as_ref().unwrap_or(&fronted),
            _ => &order.statement,
        };
        slots.assemble(template, root)
    }

    /// Elision, contraction and the capital: what writing does to the words.
    fn written(&self, mut tokens: Group) -> Sentence {
        let grammar = &self.language.grammar;
        let vowel = |form: &str| form.chars().next().is_some_and(|c| grammar.vowels.contains(c));
        for index in 1..tokens.len() {
            let next_is_vowel = vowel(&tokens[index].form);
            let word = &mut tokens[index - 1];
            if let Some(elided) = grammar.before_vowel.get(&word.form).filter(|_| next_is_vowel) {
                word.form.clone_from(elided);
            }
        }
        let mut contractions = Vec::new();
        for index in 1..tokens.len() {
            let pair = format!("{} {}", tokens[index - 1].form, tokens[index].form);
            if let Some(form) = grammar.contractions.get(&pair) {
                contractions.push(Contraction { words: index - 1..index + 1, form: form.clone() });
            }
        }
        if self.language.cased
            && let Some(first) = tokens.iter_mut().find(|t| t.tag != "PUNCT")
        {
            let mut letters = first.form.chars();
            if let Some(letter) = letters.next() {
                let capital = match grammar.capital.get(&letter) {
                    Some(capital) => capital.to_string(),
                    None => letter.to_uppercase().collect(),
                };
                first.form = capital + letters.as_str();
            }
        }
        Sentence { tokens, contractions, spaces: self.language.spaces }
    }
}

/// The constituents of a clause, by the name of their slot in the order templates.
#[derive(Default)]
struct Slots(Vec<(&'static str, Group)>);

impl Slots {
    fn put(&mut self, slot: &'static str, mut group: Group, relation: &'static str) {
        name_relation(&mut group, relation);
        self.0.push((slot, group));
    }

    /// Puts the groups in the order of the template; everything depends on the head of the `root` slot.
    fn assemble(mut self, template: &str, root: &str) -> Group {
        let mut tokens = Group::new();
        let mut head = 0;
        for slot in template.split_whitespace() {
            if let Some(index) = self.0.iter().position(|(name, _)| *name == slot) {
                let (name, group) = self.0.swap_remove(index);
                if name == root {
                    head = tokens.len() + head_of(&group);
                }
                append(&mut tokens, group);
            }
        }
        adopt(&mut tokens, head);
        tokens[head].head = None;
        tokens
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::source::mini::language::LANGUAGES;
    use crate::source::mini::sample;
    use crate::source::mini::world::{AdjectiveId, NameId};

    fn noun(key: &str) -> NounId {
        NounId(WORLD.nouns.iter().position(|n| n.key == key).unwrap())
    }

    /// Anna (a feminine name) buys something in the garden, now.
    fn purchase(object: NounPhrase) -> Clause {
        let anna = NameId(WORLD.names.iter().position(|n| n.text == "Anna").unwrap());
        let now = AdverbId(WORLD.adverbs.iter().position(|a| a.key == "now").unwrap());
        Clause {
            place: Some(noun("garden")),
            time: Some(now),
            ..Clause::new(NounPhrase::name(anna), Predicate::Act(WORLD.verb_named("buy"), Some(object)))
        }
    }

    fn text(code: &str, utterance: &Utterance) -> String {
        let language = LANGUAGES.iter().find(|l| l.code == code).unwrap();
        Realizer::new(language).sentence(utterance).text()
    }

    #[test]
    fn word_order_case_and_agreement_follow_the_language() {
        let red = AdjectiveId(WORLD.adjectives.iter().position(|a| a.key == "red").unwrap());
        let hat = NounPhrase { adjective: Some(red), ..NounPhrase::noun(noun("hat")) };
        let statement = Utterance::Statement(vec![purchase(hat)]);
        let expected = [
            ("en", "Anna buys the red hat in the garden now."),
            ("de", "Anna kauft jetzt den roten Hut im Garten."),
            ("es", "Anna compra el sombrero rojo en el jardín ahora."),
            ("fr", "Anna achète le chapeau rouge dans le jardin maintenant."),
            ("fi", "Anna ostaa nyt punaisen hatun puutarhassa."),
            ("ru", "Anna сейчас покупает красную шляпу в саду."),
            ("tr", "Anna şimdi bahçede kırmızı şapkayı alıyor."),
            ("sw", "Anna ananunua kofia nyekundu katika bustani sasa."),
            ("ar", "تشتري Anna القبعة الحمراء في الحديقة الآن."),
            ("hi", "Anna अभी बगीचे में लाल टोपी खरीदती है।"),
            ("ta", "Anna இப்போது தோட்டத்தில் சிவப்பு தொப்பியை வாங்குகிறார்."),
            ("zh", "Anna现在在花园里买红色帽子。"),
            ("ja", "Annaは今庭で赤い帽子を買う。"),
        ];
        for (code, sentence) in expected {
            assert_eq!(text(code, &statement), sentence);
        }
    }

    #[test]
    fn negation_numbers_and_questions_follow_the_language() {
        let quantity = Some(Quantity { number: 7, at_least: true });
        let apples = NounPhrase { quantity, ..NounPhrase::noun(noun("apple")) };
        let mut clause = Clause { place: None, time: None, negated: true, ..purchase(apples) };
        let denial = Utterance::Statement(vec![clause]);
        assert_eq!(text("en", &denial), "Anna does not buy at least 7 apples.");
        assert_eq!(text("fr", &denial), "Anna n'achète pas au moins 7 pommes.");
        assert_eq!(text("fi", &denial), "Anna ei osta vähintään 7 omenaa.");
        assert_eq!(text("ja", &denial), "Annaは少なくとも7個のりんごを買わない。");
        clause.negated = false;
        assert_eq!(text("en", &Utterance::Question(clause, Part::Number)), "How many apples does Anna buy?");
        assert_eq!(text("de", &Utterance::Question(clause, Part::Object)), "Was kauft Anna?");
        assert_eq!(text("es", &Utterance::Question(clause, Part::Number)), "¿Cuántas manzanas compra Anna?");
        // The masculine form of a question about the subject doesn't say that she is a woman.
        assert_eq!(text("ar", &Utterance::Question(clause, Part::Subject)), "من يشتري على الأقل 7 تفاحات؟");
        assert_eq!(text("zh", &Utterance::Question(clause, Part::Place)), "Anna在哪里买至少7个苹果？");
    }

    #[test]
    fn code_switching_keeps_the_grammar_and_swaps_the_words() {
        let language = |code: &str| LANGUAGES.iter().find(|l| l.code == code).unwrap();
        let statement = Utterance::Statement(vec![purchase(NounPhrase::noun(noun("hat")))]);
        let rng = ChaCha8Rng::seed_from_u64(1);
        let mut all = Realizer::code_switched(language("en"), language("de"), 1.0, rng.clone());
        assert_eq!(all.sentence(&statement).text(), "Anna kauft the Hut in the Garten jetzt.");
        let mut none = Realizer::code_switched(language("en"), language("de"), 0.0, rng);
        assert_eq!(none.sentence(&statement).text(), text("en", &statement));
    }

    #[test]
    fn every_sentence_is_a_tree_in_every_language() {
        let places = &WORLD.category_named("place").members;
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let clauses = vec![sample::clause(places, &mut rng), sample::clause(places, &mut rng)];
            for language in LANGUAGES.iter() {
                let sentence = Realizer::new(language).sentence(&Utterance::Statement(clauses.clone()));
                let roots = sentence.tokens.iter().filter(|t| t.head.is_none()).count();
                assert_eq!(roots, 1, "{}", sentence.text());
                for mut word in 0..sentence.tokens.len() {
                    let mut steps = 0;
                    while let Some(head) = sentence.tokens[word].head {
                        word = head;
                        steps += 1;
                        assert!(steps <= sentence.tokens.len(), "a cycle in {}", sentence.text());
                    }
                }
            }
        }
    }
}
