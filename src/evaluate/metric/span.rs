//! Chunks of tags, counted as seqeval 0.0.12 counts them.

/// How many chunks two taggings of a sentence have, and have in common.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChunkCounts {
    /// Chunks of the same kind over the same words in both.
    pub correct: usize,
    /// Chunks of the prediction.
    pub predicted: usize,
    /// Chunks of gold.
    pub gold: usize,
}

/// Counts the chunks of one sentence; both slices have one tag per word.
///
/// The definition is that of `seqeval.metrics` 0.0.12 (<https://pypi.org/project/seqeval/0.0.12/>), which XTREME's
/// scores rest on. A tag is a *mark*, its first character, and a *kind*, what stands after its last `-` (all of it, if
/// there is none). Marks B, I, E, S and O mean begin, inside, end, single and outside, and `.` means outside too, except
/// that nothing happens after it. Whatever the mark, a change of kind ends a chunk and begins another; so a chunk may
/// begin with I, and:
///
/// - Bare part-of-speech tags are chunks: each run of the same tag is one.
/// - Bare tags that begin with S or E (SYM, SCONJ) stand for themselves: each word is a chunk, even in a run.
/// - Bare tags that begin with I (INTJ) or B join a run as I or B would; ones that begin with O are outside.
///
/// Later versions of seqeval take the kind from the second character on, and give other numbers for bare tags.
///
/// seqeval lays sentences end to end with an O between them. For any scheme in use that is the same as each sentence on
/// its own, as here; only a kind carried by an O tag and by another mark at once (`O-X`, `N-X`) could begin a chunk in
/// an earlier sentence there.
pub fn chunk_counts<G: AsRef<str>, P: AsRef<str>>(gold: &[G], predicted: &[P]) -> ChunkCounts {
    let (gold, predicted) = (chunks(gold), chunks(predicted));
    let mut counts = ChunkCounts { correct: 0, predicted: predicted.len(), gold: gold.len() };
    // At most one chunk ends at a word, so both lists rise strictly by `end`.
    let mut others = predicted.iter().peekable();
    for chunk in &gold {
        while others.next_if(|other| other.end < chunk.end).is_some() {}
        counts.correct += usize::from(others.next_if_eq(&chunk).is_some());
    }
    counts
}

/// Precision, recall and F1 of `correct` things out of `predicted` against `gold`, each from 0 to 100. A ratio over
/// nothing is 0.
pub fn precision_recall_f1(correct: f64, predicted: f64, gold: f64) -> (f64, f64, f64) {
    let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let (precision, recall) = (ratio(correct, predicted), ratio(correct, gold));
    let f1 = ratio(2.0 * precision * recall, precision + recall);
    (100.0 * precision, 100.0 * recall, 100.0 * f1)
}

/// A chunk of the words `begin..end`.
#[derive(Debug, PartialEq, Eq)]
struct Chunk<'a> {
    kind: &'a str,
    begin: usize,
    end: usize,
}

#[derive(Clone, Copy)]
struct Tag<'a> {
    mark: Option<char>,
    kind: &'a str,
}

impl<'a> Tag<'a> {
    const OUTSIDE: Tag<'static> = Tag { mark: Some('O'), kind: "O" };

    fn new(tag: &'a str) -> Self {
        Tag { mark: tag.chars().next(), kind: tag.rsplit('-').next().unwrap_or(tag) }
    }

    fn outside(self) -> bool {
        matches!(self.mark, Some('O' | '.'))
    }

    /// Whether a chunk that `self` is in ends before `next`.
    fn ends_before(self, next: Tag) -> bool {
        match self.mark {
            Some('E' | 'S') => true,
            Some('B' | 'I') if matches!(next.mark, Some('B' | 'S' | 'O')) => true,
            _ => !self.outside() && self.kind != next.kind,
        }
    }

    /// Whether a chunk begins with `self`, which follows `previous`.
    fn begins_after(self, previous: Tag) -> bool {
        match self.mark {
            Some('B' | 'S') => true,
            Some('E' | 'I') if matches!(previous.mark, Some('E' | 'S' | 'O')) => true,
            _ => !self.outside() && self.kind != previous.kind,
        }
    }
}

fn chunks<T: AsRef<str>>(tags: &[T]) -> Vec<Chunk<'_>> {
    let mut chunks = Vec::new();
    let mut begin = 0;
    let mut previous = Tag::OUTSIDE;
    let tags = tags.iter().map(|tag| Tag::new(tag.as_ref())).chain([Tag::OUTSIDE]);
    for (position, tag) in tags.enumerate() {
        if previous.ends_before(tag) {
            chunks.push(Chunk { kind: previous.kind, begin, end: position });
        }
        if tag.begins_after(previous) {
            begin = position;
        }
        previous = tag;
    }
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(tags: &str) -> Vec<(String, usize, usize)> {
        let tags: Vec<&str> = tags.split(' ').collect();
        chunks(&tags).into_iter().map(|c| (c.kind.to_owned(), c.begin, c.end)).collect()
    }

    fn expect(tags: &str, expected: &[(&str, usize, usize)]) {
        let expected: Vec<_> = expected.iter().map(|&(kind, begin, end)| (kind.to_owned(), begin, end)).collect();
        assert_eq!(list(tags), expected, "{tags}");
    }

    #[test]
    fn names_in_iob2() {
        expect("B-PER I-PER O B-LOC", &[("PER", 0, 2), ("LOC", 3, 4)]);
        expect("B-PER B-PER I-PER", &[("PER", 0, 1), ("PER", 1, 3)]);
    }

    #[test]
    fn a_chunk_may_begin_with_inside() {
        expect("O I-PER I-PER I-LOC", &[("PER", 1, 3), ("LOC", 3, 4)]);
    }

    #[test]
    fn single_and_end_marks() {
        expect("S-LOC S-LOC B-PER I-PER E-PER E-PER", &[("LOC", 0, 1), ("LOC", 1, 2), ("PER", 2, 5), ("PER", 5, 6)]);
    }

    #[test]
    fn parts_of_speech_make_runs() {
        expect("NOUN NOUN VERB", &[("NOUN", 0, 2), ("VERB", 2, 3)]);
        expect("SYM SYM SCONJ", &[("SYM", 0, 1), ("SYM", 1, 2), ("SCONJ", 2, 3)]);
        expect("INTJ INTJ X", &[("INTJ", 0, 2), ("X", 2, 3)]);
    }

    #[test]
    fn the_kind_stands_after_the_last_hyphen() {
        expect("B-A-B I-C-B", &[("B", 0, 2)]);
    }

    #[test]
    fn wrong_bounds_and_wrong_kinds_do_not_count() {
        let gold = ["B-PER", "I-PER", "O", "B-LOC"];
        let predicted = ["B-PER", "O", "O", "B-ORG"];
        assert_eq!(chunk_counts(&gold, &predicted), ChunkCounts { correct: 0, predicted: 2, gold: 2 });
        assert_eq!(chunk_counts(&gold, &gold), ChunkCounts { correct: 2, predicted: 2, gold: 2 });
    }
}
