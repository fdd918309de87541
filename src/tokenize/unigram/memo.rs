//! What words became, so that a word that comes again is not segmented again.

/// Words that are remembered; once there are more, all are forgotten.
const WORDS: usize = 1 << 16;
/// Places for them: a power of two.
const SLOTS: usize = 2 * WORDS;
/// The longest word that is remembered, in bytes: its offsets fit a byte each.
pub(super) const LONGEST: usize = 80;

/// Tokens by word. The words, one after another, and their tokens, one after another, stand in a vector each.
#[derive(Debug)]
pub(super) struct Memo {
    slots: Vec<Slot>,
    entries: Vec<Entry>,
    words: Vec<u8>,
    ids: Vec<u32>,
    offsets: Vec<[u8; 2]>,
}

/// Where a word may be found: a part of its hash, and its entry plus one (0: the slot is free).
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    hash: u32,
    entry: u32,
}

/// Where a word and its tokens end; they begin where those of the entry before it end.
#[derive(Debug, Clone, Copy)]
struct Entry {
    word: u32,
    token: u32,
}

impl Memo {
    pub(super) fn new() -> Self {
        let start = Entry { word: 0, token: 0 };
        let slots = vec![Slot::default(); SLOTS];
        Self { slots, entries: vec![start], words: Vec::new(), ids: Vec::new(), offsets: Vec::new() }
    }

    /// The ids of `word` and their offsets into it (none where none were put in).
    #[inline]
    pub(super) fn get(&self, word: &[u8], hash: u64) -> Option<(&[u32], &[[u8; 2]])> {
        let mut place = hash as usize % SLOTS;
        loop {
            let slot = self.slots[place];
            if slot.entry == 0 {
                return None;
            }
            if slot.hash == (hash >> 32) as u32 {
                let (from, to) = (self.entries[slot.entry as usize - 1], self.entries[slot.entry as usize]);
                if &self.words[from.word as usize..to.word as usize] == word {
                    let tokens = from.token as usize..to.token as usize;
                    return Some((&self.ids[tokens.clone()], self.offsets.get(tokens).unwrap_or_default()));
                }
            }
            place = (place + 1) % SLOTS;
        }
    }

    /// Remembers a word that is not there yet, of at most [`LONGEST`] bytes. Offsets are put in with every word or with
    /// none.
    pub(super) fn insert(&mut self, word: &[u8], hash: u64, ids: &[u32], offsets: impl Iterator<Item = [u8; 2]>) {
        if self.entries.len() > WORDS {
            *self = Self::new();
        }
        let mut place = hash as usize % SLOTS;
        while self.slots[place].entry != 0 {
            place = (place + 1) % SLOTS;
        }
        self.slots[place] = Slot { hash: (hash >> 32) as u32, entry: self.entries.len() as u32 };
        self.words.extend_from_slice(word);
        self.ids.extend_from_slice(ids);
        self.offsets.extend(offsets);
        self.entries.push(Entry { word: self.words.len() as u32, token: self.ids.len() as u32 });
    }
}

/// A hash of a short word: 8 bytes at a time, multiplied and folded.
#[inline]
pub(super) fn hash(word: &[u8]) -> u64 {
    const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93];
    let fold = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        product as u64 ^ (product >> 64) as u64
    };
    let mut state = word.len() as u64 ^ FACTORS[1];
    let (chunks, rest) = word.as_chunks::<8>();
    for chunk in chunks {
        state = fold(state ^ u64::from_le_bytes(*chunk), FACTORS[0]);
    }
    let tail = rest.iter().fold(0, |tail, &byte| tail << 8 | u64::from(byte));
    fold(fold(state ^ tail, FACTORS[0]), FACTORS[1])
}
