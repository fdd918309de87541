//! Chunks of tags: counted as seqeval 0.0.12 counts them, and strictly.

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

/// Counts the chunks of one sentence; both sides have one tag per word.
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
/// seqeval lays sentences end to end with an O between them; see [`Chunker`] for the one way in which that matters.
pub fn chunk_counts<G: AsRef<str>, P: AsRef<str>>(gold: &[G], predicted: &[P]) -> ChunkCounts {
    Chunker::between().count(gold.iter().map(AsRef::as_ref).zip(predicted.iter().map(AsRef::as_ref)))
}

/// Counts chunks sentence after sentence, as one call of seqeval with all of them does.
///
/// Sentences do not touch each other, but for tags of no scheme in use: a chunk that ends and has never begun (the mark of
/// its first tag begins nothing, and the tag before it was outside and of the same kind: `O-X` and then `N-X`) counts from
/// where the last chunk began, be it in an earlier sentence; and before the first sentence the kind is empty instead of
/// `O`. [`stray`](Self::stray) says whether there was such a chunk since the chunker was made.
#[derive(Debug, Clone, Copy)]
pub struct Chunker {
    gold: Side<'static>,
    predicted: Side<'static>,
    position: usize,
}

impl Chunker {
    /// A chunker at the beginning of a file.
    pub fn new() -> Self {
        let side = Side { tag: Tag { mark: b'O', kind: "" }, ..Side::OUTSIDE };
        Self { gold: side, predicted: side, position: 0 }
    }

    /// A chunker that has seen sentences without a chunk.
    pub fn between() -> Self {
        Self { gold: Side::OUTSIDE, predicted: Side::OUTSIDE, position: 0 }
    }

    /// Whether a chunk that never began has been counted.
    pub fn stray(&self) -> bool {
        self.gold.stray || self.predicted.stray
    }

    /// Counts the chunks of the next sentence, given as pairs of gold and predicted tag.
    pub fn count<'a>(&mut self, tags: impl Iterator<Item = (&'a str, &'a str)>) -> ChunkCounts {
        let mut counts = ChunkCounts::default();
        let mut sides: (Side<'a>, Side<'a>) = (self.gold, self.predicted);
        let outside = (Tag::OUTSIDE, Tag::OUTSIDE);
        let tags = tags.map(|(gold, predicted)| (Tag::new(gold), Tag::new(predicted))).chain([outside]);
        for (gold, predicted) in tags {
            let left = sides.0.step(gold, self.position);
            let right = sides.1.step(predicted, self.position);
            counts.gold += usize::from(left.is_some());
            counts.predicted += usize::from(right.is_some());
            counts.correct += usize::from(left.is_some() && left == right);
            self.position += 1;
        }
        (self.gold, self.predicted) = (sides.0.after(), sides.1.after());
        counts
    }
}

impl Default for Chunker {
    fn default() -> Self {
        Self::new()
    }
}

/// One tagging on the way through a sentence.
#[derive(Debug, Clone, Copy)]
struct Side<'a> {
    tag: Tag<'a>,
    /// Where the last chunk began.
    begin: usize,
    /// Whether the chunk that the last tag is in has begun.
    begun: bool,
    /// Whether one ended that had not.
    stray: bool,
}

impl<'a> Side<'a> {
    const OUTSIDE: Side<'static> = Side { tag: Tag::OUTSIDE, begin: 0, begun: false, stray: false };

    /// Goes on to `tag` at `position`; the kind and the beginning of the chunk that ends before it, if one does.
    fn step(&mut self, tag: Tag<'a>, position: usize) -> Option<(&'a str, usize)> {
        let ended = self.tag.ends_before(tag).then_some((self.tag.kind, self.begin));
        if ended.is_some() {
            self.stray |= !self.begun;
            self.begun = false;
        }
        if tag.begins_after(self.tag) {
            self.begin = position;
            self.begun = true;
        }
        self.tag = tag;
        ended
    }

    /// What the next sentence needs to know.
    fn after(self) -> Side<'static> {
        Side { tag: Tag::OUTSIDE, begin: self.begin, begun: false, stray: self.stray }
    }
}

#[derive(Debug, Clone, Copy)]
struct Tag<'a> {
    /// The first byte: marks are ASCII, and no other character begins with their bytes.
    mark: u8,
    kind: &'a str,
}

impl<'a> Tag<'a> {
    const OUTSIDE: Tag<'static> = Tag { mark: b'O', kind: "O" };

    fn new(tag: &'a str) -> Self {
        let bytes = tag.as_bytes();
        let kind = bytes.iter().rposition(|&byte| byte == b'-').map_or(tag, |hyphen| &tag[hyphen + 1..]);
        Tag { mark: bytes.first().copied().unwrap_or(0), kind }
    }

    fn outside(self) -> bool {
        matches!(self.mark, b'O' | b'.')
    }

    /// Whether a chunk that `self` is in ends before `next`.
    fn ends_before(self, next: Tag) -> bool {
        match self.mark {
            b'E' | b'S' => true,
            b'B' | b'I' if matches!(next.mark, b'B' | b'S' | b'O') => true,
            _ => !self.outside() && self.kind != next.kind,
        }
    }

    /// Whether a chunk begins with `self`, which follows `previous`.
    fn begins_after(self, previous: Tag) -> bool {
        match self.mark {
            b'B' | b'S' => true,
            b'E' | b'I' if matches!(previous.mark, b'E' | b'S' | b'O') => true,
            _ => !self.outside() && self.kind != previous.kind,
        }
    }
}

/// Counts the chunks of one sentence that are well-formed, given as pairs of gold and predicted tag. The definition is our
/// own, without the accidents of [`chunk_counts`]:
///
/// - `B-x` begins a chunk of kind x (what stands after the first hyphen), `I-x` goes on with it and `E-x` ends it; `S-x` is
///   one of a single word. An `I` or `E` that does not go on with a chunk of its kind is in none: so in IOB2 this is what
///   conlleval's successors call strict.
/// - `O`, `_` and the empty tag are in no chunk.
/// - Of any other tag, a part of speech in particular, each longest run is a chunk.
pub fn strict_counts<'a>(tags: impl Iterator<Item = (&'a str, &'a str)>) -> ChunkCounts {
    let mut counts = ChunkCounts::default();
    let (mut gold, mut predicted) = (Strict::default(), Strict::default());
    let end = ("O", "O");
    for (position, (left, right)) in tags.chain([end]).enumerate() {
        let (left, right) = (gold.step(left, position), predicted.step(right, position));
        counts.gold += usize::from(left.is_some());
        counts.predicted += usize::from(right.is_some());
        counts.correct += usize::from(left.is_some() && left == right);
    }
    counts
}

/// A chunk that a strict reading is in.
#[derive(Default)]
struct Strict<'a> {
    /// Kind, first word, and whether `I` and `E` go on with it.
    open: Option<(&'a str, usize, bool)>,
    /// It ends with the word before, whatever comes.
    closed: bool,
}

impl<'a> Strict<'a> {
    /// Goes on to `tag`; the kind and beginning of the chunk that ends before it.
    fn step(&mut self, tag: &'a str, position: usize) -> Option<(&'a str, usize)> {
        let (mark, kind) = match tag.split_once('-') {
            Some((mark @ ("B" | "I" | "E" | "S"), kind)) => (mark, kind),
            _ if matches!(tag, "O" | "_" | "") => ("O", ""),
            _ => ("", tag),
        };
        let goes_on = !self.closed
            && self.open.is_some_and(|(open, _, marked)| open == kind && marked == matches!(mark, "I" | "E"))
            && mark != "O";
        if goes_on {
            self.closed = mark == "E";
            return None;
        }
        let ended = self.open.take().map(|(kind, begin, _)| (kind, begin));
        self.open = match mark {
            "B" | "S" => Some((kind, position, true)),
            "" => Some((kind, position, false)),
            _ => None,
        };
        self.closed = mark == "S";
        ended
    }
}

/// Precision, recall and F1 of `correct` things out of `predicted` against `gold`, each from 0 to 100. A ratio over
/// nothing is 0.
pub fn precision_recall_f1(correct: f64, predicted: f64, gold: f64) -> (f64, f64, f64) {
    let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let (precision, recall) = (ratio(correct, predicted), ratio(correct, gold));
    let f1 = ratio(2.0 * precision * recall, precision + recall);
    (100.0 * precision, 100.0 * recall, 100.0 * f1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// The chunks of one tagging, with the place after their last word.
    fn list(tags: &str) -> Vec<(String, usize, usize)> {
        let mut side = Side::OUTSIDE;
        let tags = tags.split(' ').map(Tag::new).chain([Tag::OUTSIDE]).enumerate();
        let chunk = |(position, tag)| Some((side.step(tag, position)?, position));
        tags.filter_map(chunk).map(|((kind, begin), end)| (kind.to_owned(), begin, end)).collect()
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

    #[test]
    fn a_chunk_that_never_began_counts_from_the_last_that_did() {
        let mut chunker = Chunker::new();
        let first = chunker.count([("B-X", "B-X"), ("O", "O")].into_iter());
        assert_eq!((first.correct, chunker.stray()), (1, false));
        let second = chunker.count([("O-X", "O-X"), ("N-X", "N-X")].into_iter());
        assert_eq!((second.correct, chunker.stray()), (1, true));
        let mut other = Chunker::new();
        // One side's last chunk began elsewhere, so the stray ones differ.
        other.count([("O", "O"), ("B-X", "O")].into_iter());
        assert_eq!(other.count([("O-X", "O-X"), ("N-X", "N-X")].into_iter()).correct, 0);
    }

    fn strict(tags: &str) -> ChunkCounts {
        let tags: Vec<&str> = tags.split(' ').collect();
        strict_counts(tags.iter().copied().zip(tags.iter().copied()))
    }

    #[test]
    fn strictly_only_well_formed_chunks_count() {
        let of = |count| ChunkCounts { correct: count, predicted: count, gold: count };
        assert_eq!(strict("B-PER I-PER O B-LOC"), of(2));
        assert_eq!(strict("O I-PER I-PER I-LOC"), of(0));
        assert_eq!(strict("B-PER I-LOC I-LOC"), of(1));
        assert_eq!(strict("B-PER I-PER E-PER I-PER S-LOC S-LOC I-LOC"), of(3));
        assert_eq!(strict("SYM SYM SCONJ NOUN NOUN OTHER INTJ INTJ _"), of(5));
        let gold = ["B-PER", "I-PER"];
        let inside = ["I-PER", "I-PER"];
        let counts = strict_counts(gold.into_iter().zip(inside));
        assert_eq!(counts, ChunkCounts { correct: 0, predicted: 0, gold: 1 });
        assert_eq!(chunk_counts(&gold, &inside).correct, 1);
    }

    /// Strict chunks written down in another way: every stretch is tried.
    fn stretches(tags: &[&str]) -> Vec<(String, usize, usize)> {
        let mut found = Vec::new();
        for begin in 0..tags.len() {
            for end in begin + 1..=tags.len() {
                let stretch = &tags[begin..end];
                let kind = stretch[0].split_once('-').map_or(stretch[0], |(_, kind)| kind);
                let marked = |mark: &str, tag: &str| tag == format!("{mark}-{kind}");
                let marked_chunk = match stretch {
                    [one] => {
                        marked("S", one)
                            || (marked("B", one)
                                && !tags.get(end).is_some_and(|next| marked("I", next) || marked("E", next)))
                    }
                    [first, middle @ .., last] => {
                        let goes_on = tags.get(end).is_some_and(|next| marked("I", next) || marked("E", next));
                        marked("B", first)
                            && middle.iter().all(|tag| marked("I", tag))
                            && (marked("E", last) || (marked("I", last) && !goes_on))
                    }
                    [] => false,
                };
                let bare = !stretch[0].contains('-')
                    && stretch[0] != "O"
                    && stretch.iter().all(|tag| *tag == stretch[0])
                    && (begin == 0 || tags[begin - 1] != stretch[0])
                    && tags.get(end) != Some(&stretch[0]);
                if marked_chunk || bare {
                    found.push((kind.to_owned(), begin, end));
                }
            }
        }
        found
    }

    proptest! {
        #[test]
        fn strict_chunks_are_the_well_formed_stretches(
            pairs in vec((0usize..10, 0usize..10), 1..12)
        ) {
            const TAGS: [&str; 10] = ["O", "B-X", "I-X", "E-X", "S-X", "B-Y", "I-Y", "NOUN", "SYM", "E-Y"];
            let gold: Vec<&str> = pairs.iter().map(|pair| TAGS[pair.0]).collect();
            let predicted: Vec<&str> = pairs.iter().map(|pair| TAGS[pair.1]).collect();
            let (left, right) = (stretches(&gold), stretches(&predicted));
            let expected = ChunkCounts {
                correct: left.iter().filter(|chunk| right.contains(chunk)).count(),
                predicted: right.len(),
                gold: left.len(),
            };
            prop_assert_eq!(strict_counts(gold.into_iter().zip(predicted)), expected);
        }
    }
}
