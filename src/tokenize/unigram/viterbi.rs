//! The most probable pieces of a word, found as the library finds them: same sums in the same order, so the same ties.

use super::trie::{Node, Trie};

/// What a character that the vocabulary lacks costs beside the rarest piece.
const UNKNOWN_PENALTY: f64 = 10.0;

/// The bytes of the word-start mark `▁`.
const MARK: [u8; 3] = [0xe2, 0x96, 0x81];

/// A vocabulary with its scores.
#[derive(Debug)]
pub(super) struct Model {
    trie: Trie,
    scores: Vec<f64>,
    unknown: u32,
    unknown_score: f64,
    /// The piece that is a word-start mark alone, and the place of the longer ones that begin with it.
    mark: Option<u32>,
    after_mark: Option<Node>,
}

/// A piece of a word: its id, and where it begins and ends. Places are counted in bytes of the word without its mark,
/// plus one: 0 is before the mark, 1 after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    pub id: u32,
    pub begin: usize,
    pub end: usize,
}

/// The best way to a place.
#[derive(Debug, Clone, Copy)]
struct Step {
    score: f64,
    from: u32,
    id: u32,
}

const UNREACHED: Step = Step { score: 0.0, from: u32::MAX, id: 0 };

/// Working memory of [`Model::segment`].
#[derive(Debug, Default)]
pub(super) struct Lattice {
    steps: Vec<Step>,
    /// The pieces found, in order.
    pub pieces: Vec<Piece>,
}

impl Model {
    /// The model of `vocabulary`, whose index is the id; where a piece stands twice, the later id counts. `None` where
    /// the unknown token is not in it, where scores could make an unknown character cheaper than a known piece, or
    /// where it is too large.
    pub(super) fn new<'a>(vocabulary: impl Iterator<Item = (&'a str, f64)>, unknown: usize) -> Option<Self> {
        let (mut pieces, mut scores) = (Vec::new(), Vec::new());
        for (piece, score) in vocabulary {
            pieces.push((piece, u32::try_from(scores.len()).ok()?));
            scores.push(score);
        }
        let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
        if unknown >= scores.len() || least > 0.0 {
            return None;
        }
        pieces.sort_unstable_by(|a, b| a.0.cmp(b.0).then(b.1.cmp(&a.1)));
        pieces.dedup_by(|a, b| a.0 == b.0);
        let trie = Trie::build(&pieces)?;
        let mark = MARK.into_iter().try_fold((trie.root(), None), |(node, _), byte| trie.step(node, byte));
        Some(Self {
            trie,
            scores,
            unknown: u32::try_from(unknown).ok()?,
            unknown_score: least - UNKNOWN_PENALTY,
            mark: mark.and_then(|(_, id)| id),
            after_mark: mark.map(|(node, _)| node),
        })
    }

    /// The id of a piece.
    pub(super) fn id(&self, piece: &str) -> Option<u32> {
        let end = piece.bytes().try_fold((self.trie.root(), None), |(node, _), byte| self.trie.step(node, byte));
        end.and_then(|(_, id)| id)
    }

    /// Cuts the word `▁word` into `lattice.pieces`. `word` itself holds no mark and is shorter than 4 GiB.
    pub(super) fn segment(&self, word: &str, lattice: &mut Lattice) {
        let bytes = word.as_bytes();
        let Lattice { steps, pieces } = lattice;
        steps.clear();
        steps.resize(bytes.len() + 2, UNREACHED);

        steps[0].from = 0;
        let (id, score) = self.mark.map_or((self.unknown, self.unknown_score), |id| (id, self.scores[id as usize]));
        steps[1] = Step { score, from: 0, id };
        if let Some(node) = self.after_mark {
            self.relax(steps, bytes, 0, 0, 0.0, node);
        }
        let mut begin = 0;
        while begin < bytes.len() {
            let here = steps[begin + 1].score;
            let width = width(bytes[begin]);
            let known = self.relax(steps, bytes, begin, begin + 1, here, self.trie.root());
            if !known {
                let id = self.unknown;
                offer(
                    &mut steps[begin + width + 1],
                    Step { score: self.unknown_score + here, from: begin as u32 + 1, id },
                );
            }
            begin += width;
        }

        pieces.clear();
        let mut end = bytes.len() + 1;
        while end > 0 {
            let step = steps[end];
            let begin = step.from as usize;
            match pieces.last_mut() {
                // Unknown characters side by side are one token.
                Some(after) if step.id == self.unknown && after.id == self.unknown => after.begin = begin,
                _ => pieces.push(Piece { id: step.id, begin, end }),
            }
            end = begin;
        }
        pieces.reverse();
    }

    /// Offers every piece that continues `node` with the bytes from `begin` on; whether one of them is the first
    /// character alone.
    #[inline]
    fn relax(&self, steps: &mut [Step], bytes: &[u8], begin: usize, from: usize, here: f64, mut node: Node) -> bool {
        let Some(&first) = bytes.get(begin) else { return false };
        let single = begin + width(first);
        let mut known = false;
        for (index, &byte) in bytes.iter().enumerate().skip(begin) {
            let Some((child, id)) = self.trie.step(node, byte) else { break };
            node = child;
            if let Some(id) = id {
                let score = self.scores[id as usize] + here;
                offer(&mut steps[index + 2], Step { score, from: from as u32, id });
                known |= index + 1 == single;
            }
        }
        known
    }
}

/// Takes the new step where there is none or it is better; the earlier one stays where both are equal.
#[inline]
fn offer(known: &mut Step, new: Step) {
    if known.from == u32::MAX || new.score > known.score {
        *known = new;
    }
}

/// Bytes of the character that begins with `first`.
#[inline]
fn width(first: u8) -> usize {
    match first {
        0..0x80 => 1,
        0x80..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    }
}
