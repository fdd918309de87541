//! Groups of words under construction, and how they combine.

use super::clause::Part;
use super::language::{Side, Word, head_word};
use super::sentence::Token;

/// Relation of a group's head until its governor is known.
pub const UNATTACHED: &str = "root";

/// Words that belong together. Heads are positions in the group; the words without one depend on something outside it,
/// the first of them being the group's head.
pub type Group = Vec<Token>;

/// The words of one form: the head takes `tag` where it has none, the others depend on it.
pub fn content(words: &[Word], lemma: &str, tag: &'static str, part: Part) -> Group {
    let head = head_word(words);
    let token = |(index, word): (usize, &Word)| {
        let tag = word.tag.unwrap_or(tag);
        let is_head = index == head;
        Token {
            form: word.text.clone(),
            lemma: if is_head { lemma.to_owned() } else { word.text.clone() },
            tag,
            head: (!is_head).then_some(head),
            relation: if is_head { UNATTACHED } else { relation(tag) },
            part,
        }
    };
    words.iter().enumerate().map(token).collect()
}

/// Words that depend, each by itself, on something outside: a copula with its negation, punctuation, a conjunction.
pub fn function(words: &[Word], tag: &'static str) -> Group {
    let token = |word: &Word| {
        let tag = word.tag.unwrap_or(tag);
        let (form, lemma) = (word.text.clone(), word.text.clone());
        Token { form, lemma, tag, head: None, relation: relation(tag), part: Part::Other }
    };
    words.iter().map(token).collect()
}

/// A pattern with its holes filled. `hole`, for `~`, is the head of the whole; `numeral`, for `#`, and the pattern's own
/// words depend on it. Without a numeral `#` is the hole.
pub fn fill(pattern: &[Word], hole: Group, numeral: Option<Group>) -> Group {
    let (no_numeral, mut hole, mut numeral) = (numeral.is_none(), Some(hole), numeral);
    let mut group = Group::new();
    let mut dependents = Vec::new();
    let mut head = 0;
    for word in pattern {
        let start = group.len();
        match word.text.as_str() {
            text if text == "~" || (text == "#" && no_numeral) => {
                let inner = hole.take().unwrap_or_default();
                head = start + head_of(&inner);
                append(&mut group, inner);
            }
            "#" => {
                let mut inner = numeral.take().unwrap_or_default();
                name_relation(&mut inner, "nummod");
                dependents.push(start + head_of(&inner));
                append(&mut group, inner);
            }
            _ => {
                group.extend(function(std::slice::from_ref(word), "ADP"));
                dependents.push(start);
            }
        }
    }
    for dependent in dependents {
        if let Some(token) = group.get_mut(dependent) {
            token.head = Some(head);
        }
    }
    group
}

/// `dependent` beside `group`, on the given side, depending on the group's head.
pub fn attach(group: Group, mut dependent: Group, relation: &'static str, side: Side) -> Group {
    name_relation(&mut dependent, relation);
    let (head, offset) = (head_of(&group), dependent.len());
    let (mut whole, rest, head, outside) = match side {
        Side::Before => (dependent, group, head + offset, 0..offset),
        Side::After => {
            let outside = group.len()..group.len() + offset;
            (group, dependent, head, outside)
        }
    };
    append(&mut whole, rest);
    adopt(&mut whole[outside], head);
    whole
}

/// Makes `head` the governor of every word that lacks one.
pub fn adopt(tokens: &mut [Token], head: usize) {
    for token in tokens.iter_mut().filter(|t| t.head.is_none()) {
        token.head = Some(head);
    }
}

/// Gives the group's head its relation to the governor to come.
pub fn name_relation(group: &mut Group, relation: &'static str) {
    for token in group.iter_mut().filter(|t| t.head.is_none() && t.relation == UNATTACHED) {
        token.relation = relation;
    }
}

/// Position of the group's head.
pub fn head_of(group: &Group) -> usize {
    group.iter().position(|t| t.head.is_none()).unwrap_or(0)
}

/// Appends a group, shifting its heads.
pub fn append(group: &mut Group, mut tail: Group) {
    let offset = group.len();
    for token in &mut tail {
        token.head = token.head.map(|h| h + offset);
    }
    group.append(&mut tail);
}

/// The relation of a function word to its head, by its tag.
fn relation(tag: &str) -> &'static str {
    match tag {
        "DET" | "PRON" => "det",
        "ADP" => "case",
        "AUX" => "aux",
        "NUM" => "nummod",
        "ADJ" => "amod",
        "NOUN" => "compound",
        "CCONJ" => "cc",
        "PUNCT" => "punct",
        _ => "advmod",
    }
}
