//! A sentence in one language: words with their analysis, the text they make up, and where in it each word stands.

use std::fmt::Write as _;
use std::ops::Range;

use super::clause::Part;

/// A syntactic word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub form: String,
    pub lemma: String,
    /// Universal part-of-speech tag.
    pub tag: &'static str,
    /// Position of the head; none for the root.
    pub head: Option<usize>,
    /// Dependency relation to the head.
    pub relation: &'static str,
    pub part: Part,
}

/// Words written as one (German `im` for `in dem`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contraction {
    pub words: Range<usize>,
    pub form: String,
}

/// A sentence of one language.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    pub tokens: Vec<Token>,
    pub contractions: Vec<Contraction>,
    /// Whether the language separates words by spaces.
    pub spaces: bool,
}

/// Whether the character belongs to a script written without spaces.
fn unspaced(c: char) -> bool {
    matches!(c, '\u{3000}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ff00}'..='\u{ffef}')
}

impl Sentence {
    /// What is written: contractions and the words outside them, in order, with the words that each covers.
    pub fn written(&self) -> Vec<(Range<usize>, &str)> {
        let mut written = Vec::new();
        let mut word = 0;
        while word < self.tokens.len() {
            match self.contractions.iter().find(|c| c.words.start == word) {
                Some(c) => {
                    written.push((c.words.clone(), c.form.as_str()));
                    word = c.words.end;
                }
                None => {
                    written.push((word..word + 1, self.tokens[word].form.as_str()));
                    word += 1;
                }
            }
        }
        written
    }

    /// Whether a space stands between two neighbours in writing.
    fn spaced(&self, left: (&Range<usize>, &str), right: (&Range<usize>, &str)) -> bool {
        let punctuation = |range: &Range<usize>| self.tokens[range.start].tag == "PUNCT";
        let opening = left.1 == "¿";
        let (last, first) = (left.1.chars().last(), right.1.chars().next());
        let unspaced_edge = last.is_some_and(unspaced) || first.is_some_and(unspaced);
        !(opening || punctuation(right.0) || left.1.ends_with('\'') || (!self.spaces && unspaced_edge))
    }

    /// The text, and for each word its range in Unicode code points (words of a contraction share its range).
    pub fn text_with_positions(&self) -> (String, Vec<Range<usize>>) {
        let mut text = String::new();
        let mut position = 0;
        let mut positions = vec![0..0; self.tokens.len()];
        let written = self.written();
        for (index, (range, form)) in written.iter().enumerate() {
            if index > 0 && self.spaced((&written[index - 1].0, written[index - 1].1), (range, form)) {
                text.push(' ');
                position += 1;
            }
            let end = position + form.chars().count();
            text.push_str(form);
            positions[range.clone()].fill(position..end);
            position = end;
        }
        (text, positions)
    }

    /// The text.
    pub fn text(&self) -> String {
        self.text_with_positions().0
    }

    /// The words as written, separated by single spaces.
    pub fn tokenized(&self) -> String {
        self.written().iter().map(|(_, form)| *form).collect::<Vec<_>>().join(" ")
    }

    /// The span of a part in the text (code points), and its words as the text has them; none where the sentence lacks
    /// the part. Articles and adpositions don't belong to the span.
    pub fn span(&self, part: Part) -> Option<(Range<usize>, String)> {
        let (text, positions) = self.text_with_positions();
        let mut ranges = self.tokens.iter().zip(&positions).filter(|(t, _)| t.part == part).map(|(_, range)| range);
        let first = ranges.next()?;
        let span = first.start..ranges.next_back().unwrap_or(first).end;
        let answer = text.chars().skip(span.start).take(span.len()).collect();
        Some((span, answer))
    }

    /// Puts several words, of which the first is the head, in the place of one.
    pub fn replace(&mut self, position: usize, words: &[String]) {
        let longer = words.len() - 1;
        let moved = |index: usize| if index > position { index + longer } else { index };
        for token in &mut self.tokens {
            token.head = token.head.map(moved);
        }
        for contraction in &mut self.contractions {
            contraction.words = moved(contraction.words.start)..moved(contraction.words.end - 1) + 1;
        }
        let replaced = self.tokens.remove(position);
        let word = |(index, word): (usize, &String)| {
            let (form, lemma) = (word.clone(), word.clone());
            match index {
                0 => Token { form, lemma, ..replaced.clone() },
                _ => Token { form, lemma, head: Some(position), relation: "flat", ..replaced.clone() },
            }
        };
        self.tokens.splice(position..position, words.iter().enumerate().map(word));
    }

    /// A right-branching binary bracketing.
    pub fn binary_parse(&self) -> String {
        let words: Vec<&str> = self.tokens.iter().map(|t| t.form.as_str()).collect();
        match words.split_last() {
            None => String::new(),
            Some((last, rest)) => {
                let open: String = rest.iter().fold(String::new(), |mut s, word| {
                    let _ = write!(s, "( {word} ");
                    s
                });
                format!("{open}{last}{}", " )".repeat(rest.len()))
            }
        }
    }

    /// A flat bracketing with universal part-of-speech tags.
    pub fn parse(&self) -> String {
        let words: Vec<String> = self.tokens.iter().map(|t| format!("({} {})", t.tag, t.form)).collect();
        format!("(ROOT (S {}))", words.join(" "))
    }

    /// The sentence in CoNLL-U, with its comments and the empty line after it.
    pub fn conllu(&self, id: &str) -> String {
        let mut out = format!("# sent_id = {id}\n# text = {}\n", self.text());
        let written = self.written();
        for (index, (range, form)) in written.iter().enumerate() {
            let glued = match written.get(index + 1) {
                Some((next, next_form)) => !self.spaced((range, form), (next, next_form)),
                None => false,
            };
            let space = if glued { "SpaceAfter=No" } else { "_" };
            if range.len() > 1 {
                let _ = writeln!(out, "{}-{}\t{form}\t_\t_\t_\t_\t_\t_\t_\t{space}", range.start + 1, range.end);
            }
            for word in range.clone() {
                let t = &self.tokens[word];
                let head = t.head.map_or(0, |h| h + 1);
                let space = if range.len() > 1 { "_" } else { space };
                let _ = writeln!(
                    out,
                    "{}\t{}\t{}\t{}\t_\t_\t{head}\t{}\t_\t{space}",
                    word + 1,
                    t.form,
                    t.lemma,
                    t.tag,
                    t.relation
                );
            }
        }
        out.push('\n');
        out
    }
}
