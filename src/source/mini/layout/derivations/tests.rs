use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::source::mini::generated;

/// A category: atomic, with a feature or none, or a function with its slash.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Category {
    Atom(String, Option<String>),
    Function(Box<Category>, char, Box<Category>),
}

use Category::{Atom, Function};

/// Reads a category, a combinatory categorial grammar's from the left: `S\NP/NP` is `(S\NP)/NP`.
fn category(text: &str) -> Category {
    let (category, rest) = sequence(text);
    assert_eq!(rest, "", "{text}");
    category
}

fn sequence(text: &str) -> (Category, &str) {
    let (mut left, mut rest) = item(text);
    while let Some(slash) = rest.chars().next().filter(|c| ['/', '\\'].contains(c)) {
        let (right, after) = item(&rest[1..]);
        left = Function(Box::new(left), slash, Box::new(right));
        rest = after;
    }
    (left, rest)
}

fn item(text: &str) -> (Category, &str) {
    if let Some(inner) = text.strip_prefix('(') {
        let (category, rest) = sequence(inner);
        return (category, rest.strip_prefix(')').unwrap());
    }
    let end = text.find(['/', '\\', '(', ')', '[']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        // A conjunct is not a feature of the sentence.
        Some(("conj", _)) | None => (Atom(name.to_owned(), None), rest),
        Some((feature, rest)) => (Atom(name.to_owned(), Some(feature.to_owned())), rest),
    }
}

/// Whether the argument `wanted` takes `given`; a feature that only one of them has is bound to `feature`.
fn matches(wanted: &Category, given: &Category, feature: &mut Option<String>) -> bool {
    match (wanted, given) {
        (Atom(a, wanted), Atom(b, given)) => {
            if wanted.is_none() && a == "S" {
                feature.clone_from(given);
            }
            // The feature of a noun phrase with an article (`nb`) never keeps it from being an argument.
            a == b && (wanted == given || wanted.is_none() || given.is_none())
        }
        (Function(a, slash, b), Function(c, other, d)) => {
            slash == other && matches(a, c, feature) && matches(b, d, feature)
        }
        _ => false,
    }
}

/// The category with the bound feature on its sentences without one.
fn bound(category: &Category, feature: &Option<String>) -> Category {
    match category {
        Atom(name, None) if name == "S" => Atom(name.clone(), feature.clone()),
        Atom(..) => category.clone(),
        Function(a, slash, b) => Function(Box::new(bound(a, feature)), *slash, Box::new(bound(b, feature))),
    }
}

/// What two neighbours make: application, composition, crossed composition.
fn combinations(left: &Category, right: &Category) -> Vec<Category> {
    let mut found = Vec::new();
    let mut feature = None;
    if let Function(result, '/', argument) = left {
        if matches(argument, right, &mut feature) {
            found.push(bound(result, &feature));
        }
        if let Function(inner, '/', last) = right
            && matches(argument, inner, &mut feature)
        {
            found.push(Function(Box::new(bound(result, &feature)), '/', last.clone()));
        }
    }
    if let Function(result, '\\', argument) = right {
        feature = None;
        if matches(argument, left, &mut feature) {
            found.push(bound(result, &feature));
        }
        if let Function(inner, '/', last) = left
            && matches(argument, inner, &mut feature)
        {
            found.push(Function(Box::new(bound(result, &feature)), '/', last.clone()));
        }
    }
    found
}

/// A constituent read from a file: its category as written, and its words.
struct Constituent<'t> {
    category: &'t str,
    words: Vec<&'t str>,
}

/// Reads a constituent, checks every step in it, and returns what follows it.
fn constituent(text: &str) -> (Constituent<'_>, &str) {
    if let Some(rest) = text.strip_prefix("(<L ") {
        let (fields, rest) = rest.split_once(">)").unwrap();
        let fields: Vec<_> = fields.split(' ').collect();
        let [category, tag, original_tag, word, predicate] = fields[..] else { panic!("{fields:?}") };
        assert!(tag == original_tag && predicate == category, "{fields:?}");
        return (Constituent { category, words: vec![word] }, rest);
    }
    let (fields, mut rest) = text.strip_prefix("(<T ").unwrap().split_once("> ").unwrap();
    let fields: Vec<_> = fields.split(' ').collect();
    let (category_text, head, count) = (fields[0], fields[1].parse::<usize>().unwrap(), fields[2].parse().unwrap());
    let mut children = Vec::new();
    while !rest.starts_with(')') {
        let (child, after) = constituent(rest);
        children.push(child);
        rest = after.strip_prefix(' ').unwrap();
    }
    assert!(children.len() == count && head < count, "{text}");
    let written: Vec<_> = children.iter().map(|child| child.category).collect();
    assert!(legal(category_text, &written), "{written:?} make no {category_text}");
    let words = children.into_iter().flat_map(|child| child.words).collect();
    (Constituent { category: category_text, words }, &rest[1..])
}

/// Whether the children may make up the parent.
fn legal(parent: &str, children: &[&str]) -> bool {
    match children {
        ["N"] => parent == "NP",
        [whole, "." | "," | "RRB"] | ["LRB", whole] => parent == *whole,
        ["conj", conjunct] => parent == format!("{conjunct}[conj]"),
        [first, second] if second.ends_with("[conj]") => parent == *first && *second == format!("{first}[conj]"),
        [first, second] => {
            let mut none = None;
            let made = combinations(&category(first), &category(second));
            made.iter()
                .any(|made| matches(&category(parent), made, &mut none) && matches(made, &category(parent), &mut none))
        }
        _ => false,
    }
}

fn files(section: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(section).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn every_step_of_every_derivation_is_a_legal_combination() {
    let dir = generated("ccgbank_1_1", 0.4, 1);
    let mut categories = HashSet::new();
    let (mut train, mut evaluation) = (HashSet::new(), HashSet::new());
    for section in 0..SECTIONS {
        let mut sentences = 0;
        for path in files(&dir.path().join(format!("data/AUTO/{section:02}"))) {
            let document = path.file_stem().unwrap().to_str().unwrap().to_owned();
            assert!(document.starts_with(&format!("wsj_{section:02}")) && document.len() == 8, "{document}");
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<_> = text.lines().collect();
            for (number, pair) in lines.chunks(2).enumerate() {
                assert_eq!(pair[0], format!("ID={document}.{} PARSER=GOLD NUMPARSE=1", number + 1));
                let (sentence, rest) = constituent(pair[1]);
                assert_eq!(rest, "");
                assert!(["S[dcl]", "S[wq]"].contains(&sentence.category), "{}", pair[1]);
                let split = if (2..=21).contains(&section) { &mut train } else { &mut evaluation };
                split.insert(sentence.words.join(" "));
                categories.extend(pair[1].split("<L ").skip(1).map(|leaf| leaf.split(' ').next().unwrap().to_owned()));
                sentences += 1;
            }
        }
        assert!(sentences >= 60, "{sentences} sentences in section {section}");
    }
    assert!(train.is_disjoint(&evaluation));
    assert!(categories.len() > 20, "{categories:?}");
    for expected in [r"(S[dcl]\NP)/NP", "NP[nb]/N", "conj", "LRB", ",", "S[wq]/(S[q]/NP)"] {
        assert!(categories.contains(expected), "no {expected}");
    }
}

#[test]
fn the_check_refuses_what_the_grammar_does_not_allow() {
    let legal_step = |text: &str| std::panic::catch_unwind(|| constituent(text)).is_ok();
    assert!(legal_step(r"(<T S[dcl] 1 2> (<T NP 0 1> (<L N NNP NNP A N>) ) (<L S[dcl]\NP VBZ VBZ b S[dcl]\NP>) )"));
    assert!(!legal_step(r"(<T S[dcl] 1 2> (<L N NNP NNP A N>) (<L S[dcl]\NP VBZ VBZ b S[dcl]\NP>) )"));
    assert!(!legal_step(r"(<T S[b] 1 2> (<T NP 0 1> (<L N NNP NNP A N>) ) (<L S[dcl]\NP VBZ VBZ b S[dcl]\NP>) )"));
    assert!(!legal_step(r"(<T NP 1 2> (<L N/N JJ JJ a N/N>) (<L N NN NN b N>) )"));
}
