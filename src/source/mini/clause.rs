//! What a sentence says, before any language: clauses over the world's concepts, and questions about them.

use super::world::{AdjectiveId, AdverbId, NameId, NounId, VerbId};

/// How many: exactly `number`, or that many or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Quantity {
    pub number: u32,
    pub at_least: bool,
}

/// Whom or what a noun phrase names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Head {
    Name(NameId),
    Noun(NounId),
}

/// A noun with at most one of an adjective and a quantity, or a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NounPhrase {
    pub head: Head,
    pub adjective: Option<AdjectiveId>,
    pub quantity: Option<Quantity>,
}

impl NounPhrase {
    /// The noun alone.
    pub fn noun(noun: NounId) -> Self {
        Self { head: Head::Noun(noun), adjective: None, quantity: None }
    }

    /// The noun, unless it is a name.
    pub fn noun_id(&self) -> Option<NounId> {
        match self.head {
            Head::Noun(noun) => Some(noun),
            Head::Name(_) => None,
        }
    }

    /// A person by name.
    pub fn name(name: NameId) -> Self {
        Self { head: Head::Name(name), adjective: None, quantity: None }
    }
}

/// What is said of the subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Predicate {
    /// Does something, to an object where the verb is transitive.
    Act(VerbId, Option<NounPhrase>),
    /// Is red.
    Quality(AdjectiveId),
    /// Is an animal.
    Kind(NounId),
    /// Is in a place.
    Located(NounId),
}

/// One clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Clause {
    pub subject: NounPhrase,
    pub predicate: Predicate,
    pub negated: bool,
    pub place: Option<NounId>,
    pub companion: Option<NameId>,
    pub time: Option<AdverbId>,
    pub manner: Option<AdverbId>,
    /// Whether the time adverb opens the sentence: another order, the same meaning.
    pub time_first: bool,
}

impl Clause {
    /// An affirmative clause without modifiers.
    pub fn new(subject: NounPhrase, predicate: Predicate) -> Self {
        Self {
            subject,
            predicate,
            negated: false,
            place: None,
            companion: None,
            time: None,
            manner: None,
            time_first: false,
        }
    }

    /// The object of a transitive verb.
    pub fn object(&self) -> Option<NounPhrase> {
        match self.predicate {
            Predicate::Act(_, object) => object,
            _ => None,
        }
    }

    /// The same clause with another object; unchanged where it has none.
    pub fn with_object(mut self, object: NounPhrase) -> Self {
        if let Predicate::Act(verb, Some(_)) = self.predicate {
            self.predicate = Predicate::Act(verb, Some(object));
        }
        self
    }

    /// Whom the clause is about: its subject and who is with it.
    pub fn heads(&self) -> Vec<Head> {
        [self.subject.head].into_iter().chain(self.companion.map(Head::Name)).collect()
    }

    /// Whether the place adverbial, rather than the predicate, may say where.
    pub fn takes_modifiers(&self) -> bool {
        matches!(self.predicate, Predicate::Act(..))
    }
}

/// A part of a clause: what a question asks for, and where its answer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    Subject,
    Object,
    /// The number of the object.
    Number,
    /// The kind, quality or place that the predicate states.
    Complement,
    Place,
    Other,
}

/// A sentence: one clause, two joined by "and", or a question about one part of a clause.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Utterance {
    Statement(Vec<Clause>),
    Question(Clause, Part),
}
