//! The pieces of a vocabulary as a double array, to find every piece that a text begins with.

/// One byte further from the root: `units[base ^ byte]` is the child of a node with `base`, if its label is that byte.
///
/// A unit holds, from the lowest bit: the label (8 bits), whether it is taken (1), its own base (24), and the id of
/// the piece that ends here plus one (31; 0 where none does). No two nodes share a base, so that the label alone tells
/// a child; base 0 is nobody's, and leaves have it.
#[derive(Debug)]
pub(super) struct Trie {
    units: Vec<u64>,
    root: u32,
}

/// A place in the trie: a node's base.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node(u32);

const TAKEN: u64 = 1 << 8;
const BASE_BITS: u32 = 24;
const BASE_SHIFT: u32 = 9;
const ID_SHIFT: u32 = BASE_SHIFT + BASE_BITS;
/// Units that `base ^ byte` may reach.
const BLOCK: usize = 256;
/// Free units that a node is tried on before it gets a new block.
const TRIES: usize = 64;

impl Trie {
    /// The trie of `pieces`, sorted by their bytes and without repetition; ids are below 2^31 - 1. `None` for more than
    /// it can address: vocabularies of more than 10 million bytes, say.
    pub(super) fn build(pieces: &[(&str, u32)]) -> Option<Self> {
        Builder::default().build(pieces)
    }

    pub(super) fn root(&self) -> Node {
        Node(self.root)
    }

    /// The child by `byte`, and the piece that ends there.
    #[inline]
    pub(super) fn step(&self, node: Node, byte: u8) -> Option<(Node, Option<u32>)> {
        let unit = self.units[(node.0 ^ u32::from(byte)) as usize];
        if unit & (TAKEN | 0xff) != TAKEN | u64::from(byte) {
            return None;
        }
        let base = (unit >> BASE_SHIFT) as u32 & ((1 << BASE_BITS) - 1);
        Some((Node(base), ((unit >> ID_SHIFT) as u32).checked_sub(1)))
    }
}

/// Packs nodes into units. Free units form a ring through unit 0, which is never used.
#[derive(Default)]
struct Builder {
    units: Vec<u64>,
    /// Whether a node has this base.
    used: Vec<bool>,
    next: Vec<u32>,
    previous: Vec<u32>,
}

impl Builder {
    fn build(mut self, pieces: &[(&str, u32)]) -> Option<Trie> {
        self.grow()?;
        self.used[0] = true;
        self.take(0);
        let (mut root, mut children) = (0, Vec::with_capacity(BLOCK));
        // Pieces that begin alike: the unit that stands for that beginning (none: the root), its length, their range.
        let mut pending = vec![(None, 0, 0..pieces.len())];
        while let Some((parent, depth, mut range)) = pending.pop() {
            if range.start < range.end && pieces[range.start].0.len() == depth {
                range.start += 1;
            }
            children.clear();
            let mut begin = range.start;
            while begin < range.end {
                let label = pieces[begin].0.as_bytes()[depth];
                let rest = &pieces[begin..range.end];
                let end = begin + rest.partition_point(|piece| piece.0.as_bytes()[depth] == label);
                children.push((label, begin..end));
                begin = end;
            }
            let Some((first, _)) = children.first() else { continue };
            let base = self.place(*first, &children)?;
            match parent {
                None => root = base as u32,
                Some(unit) => self.units[unit] |= (base as u64) << BASE_SHIFT,
            }
            for (label, range) in children.drain(..).rev() {
                let (piece, id) = pieces[range.start];
                let id = if piece.len() == depth + 1 { u64::from(id) + 1 } else { 0 };
                self.units[base ^ usize::from(label)] |= u64::from(label) | id << ID_SHIFT;
                pending.push((Some(base ^ usize::from(label)), depth + 1, range));
            }
        }
        Some(Trie { units: self.units, root })
    }

    /// Takes the units of `children` (whose first label is `first`) under a base of their own.
    fn place(&mut self, first: u8, children: &[(u8, std::ops::Range<usize>)]) -> Option<usize> {
        let mut free = self.next[0] as usize;
        for _ in 0..TRIES {
            if free == 0 {
                break;
            }
            let base = free ^ usize::from(first);
            let fits = |(label, _): &(u8, _)| self.units[base ^ usize::from(*label)] & TAKEN == 0;
            if !self.used[base] && children.iter().all(fits) {
                return Some(self.claim(base, children));
            }
            free = self.next[free] as usize;
        }
        // What was tried in vain is given up, so that it isn't tried for every node to come.
        for _ in 0..TRIES {
            let stale = self.next[0] as usize;
            if stale == 0 {
                break;
            }
            self.unlink(stale);
        }
        let base = self.grow()?;
        Some(self.claim(base, children))
    }

    fn claim(&mut self, base: usize, children: &[(u8, std::ops::Range<usize>)]) -> usize {
        self.used[base] = true;
        for (label, _) in children {
            self.take(base ^ usize::from(*label));
        }
        base
    }

    fn take(&mut self, unit: usize) {
        self.units[unit] |= TAKEN;
        self.unlink(unit);
    }

    fn unlink(&mut self, unit: usize) {
        let (next, previous) = (self.next[unit], self.previous[unit]);
        self.next[previous as usize] = next;
        self.previous[next as usize] = previous;
        // Out of the ring, so that a second time changes nothing.
        (self.next[unit], self.previous[unit]) = (unit as u32, unit as u32);
    }

    /// A new block of free units at the end of the ring: its begin.
    fn grow(&mut self) -> Option<usize> {
        let begin = self.units.len();
        let end = begin + BLOCK;
        if end > 1 << BASE_BITS {
            return None;
        }
        self.units.resize(end, 0);
        self.used.resize(end, false);
        for unit in begin as u32..end as u32 {
            self.next.push(unit + 1);
            self.previous.push(unit.saturating_sub(1));
        }
        let last = if begin == 0 { 0 } else { self.previous[0] };
        self.next[end - 1] = 0;
        self.previous[0] = end as u32 - 1;
        if begin > 0 {
            self.next[last as usize] = begin as u32;
            self.previous[begin] = last;
        }
        Some(begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Every piece that `text` begins with, shortest first: length and id.
    fn prefixes(trie: &Trie, text: &str) -> Vec<(usize, u32)> {
        let (mut node, mut found) = (trie.root(), Vec::new());
        for (index, byte) in text.bytes().enumerate() {
            let Some((child, id)) = trie.step(node, byte) else { break };
            found.extend(id.map(|id| (index + 1, id)));
            node = child;
        }
        found
    }

    proptest! {
        #[test]
        fn it_finds_what_a_map_finds(
            pieces in prop::collection::btree_map("[a-e\0]{1,6}|[а-яé语言]{1,4}|\\PC{1,3}", 0u32..1 << 30, 0..400),
            texts in prop::collection::vec("[a-e\0]{0,9}|[а-яé语言]{0,6}|\\PC{0,6}", 20),
        ) {
            let pieces: BTreeMap<String, u32> = pieces;
            let sorted: Vec<(&str, u32)> = pieces.iter().map(|(piece, &id)| (piece.as_str(), id)).collect();
            let trie = Trie::build(&sorted).unwrap();
            for text in texts.iter().chain(pieces.keys()) {
                let ends = (1..=text.len()).filter(|&end| text.is_char_boundary(end));
                let want: Vec<(usize, u32)> = ends.filter_map(|end| Some((end, *pieces.get(&text[..end])?))).collect();
                prop_assert_eq!(prefixes(&trie, text), want);
            }
        }
    }

    #[test]
    fn a_large_vocabulary_is_packed_densely() {
        let character = |number: u32| char::from_u32(0x4e00 + number % 20_000).unwrap();
        let pieces: BTreeMap<String, u32> = (0..60_000u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 4, i))
            .map(|(mixed, i)| ((0..mixed % 4 + 1).map(|j| character(mixed >> (5 * j))).collect(), i))
            .collect();
        let sorted: Vec<(&str, u32)> = pieces.iter().map(|(piece, &id)| (piece.as_str(), id)).collect();
        let trie = Trie::build(&sorted).unwrap();
        for (piece, id) in &sorted {
            assert_eq!(prefixes(&trie, piece).last(), Some(&(piece.len(), *id)));
        }
        let taken = trie.units.iter().filter(|&&unit| unit & TAKEN != 0).count();
        assert!(taken * 10 > trie.units.len() * 7, "{taken} of {}", trie.units.len());
    }
}
