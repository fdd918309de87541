//! Words: how they are counted, and how texts are folded to be compared.

use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

use unicode_normalization::char::is_combining_mark;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// Odd multiplier of polynomial hashes (Knuth's for 64 bits).
const BASE: u64 = 6_364_136_223_846_793_005;

/// What a hash stands for: hashes of different kinds never meet.
#[derive(Clone, Copy)]
#[repr(u64)]
pub(super) enum Kind {
    Word = 0x9E37_79B9_7F4A_7C15,
    Text = 0xC2B2_AE3D_27D4_EB4F,
    /// A text without letters and digits, by its bytes.
    Bytes = 0x1656_67B1_9E37_79F9,
    Example = 0x27D4_EB2F_1656_67C5,
    Gram = 0xD6E8_FEB8_6659_FD93,
}

/// Spreads each bit of `value` over the whole (the finaliser of SplitMix64, a bijection).
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// The hash of a sequence of hashes, in order.
pub(super) fn sequence(hashes: impl IntoIterator<Item = u64>, kind: Kind) -> u64 {
    mix(hashes.into_iter().fold(kind as u64, |sum, hash| mix(sum.wrapping_mul(BASE).wrapping_add(hash))))
}

fn bytes(text: &[u8], kind: Kind) -> u64 {
    mix(text.iter().fold(kind as u64, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)))
}

/// Whether `letter` belongs to a script that is written without spaces between words.
fn is_unspaced(letter: char) -> bool {
    matches!(u32::from(letter),
        0x0E00..=0x0EFF // Thai, Lao
        | 0x1000..=0x109F | 0xA9E0..=0xA9FF | 0xAA60..=0xAA7F // Myanmar
        | 0x1780..=0x17FF // Khmer
        | 0x3005..=0x3007 | 0x3040..=0x30FF | 0x31F0..=0x31FF // iteration marks, Hiragana, Katakana
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x20000..=0x3FFFF // Han
        | 0xFF66..=0xFF9D // half-width Katakana
    )
}

/// A bit a character of the two planes that nearly all text is written in: the standard library's own search through its
/// tables took half of the time of a profile.
static ALPHANUMERIC: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let bit = |code: u32| u64::from(char::from_u32(code).is_some_and(char::is_alphanumeric));
    (0..0x2_0000 / 64).map(|block| (0..64).fold(0, |bits, place| bits | bit(64 * block + place) << place)).collect()
});

/// [`char::is_alphanumeric`], faster.
fn is_alphanumeric(c: char) -> bool {
    let code = u32::from(c) as usize;
    ALPHANUMERIC.get(code / 64).map_or_else(|| c.is_alphanumeric(), |bits| bits >> (code % 64) & 1 == 1)
}

/// The number of words of a text: stretches without white space that hold a letter or digit; each letter of an unspaced
/// script is a word of its own (and its vowel signs and tone marks belong to it).
pub(super) fn count_words(text: &str) -> u64 {
    let mut words = 0;
    let mut counted = false;
    for c in text.chars() {
        if c.is_whitespace() {
            counted = false;
        } else if is_unspaced(c) {
            words += u64::from(is_alphanumeric(c) && !is_combining_mark(c));
            counted = false;
        } else if !counted && is_alphanumeric(c) {
            words += 1;
            counted = true;
        }
    }
    words
}

/// Invisible characters that join, hint or mark: folding takes them out of the word they stand in.
fn is_ignorable(c: char) -> bool {
    matches!(u32::from(c), 0x00AD | 0x200B..=0x200F | 0x2060 | 0xFE00..=0xFE0F | 0xFEFF)
}

/// Folds texts, one after the other, into the hashes of their words.
#[derive(Default)]
pub(super) struct Folder {
    words: Vec<u64>,
    word: String,
}

impl Folder {
    /// The folded words of `text`.
    pub(super) fn fold(&mut self, text: &str) -> &[u64] {
        self.words.clear();
        // Normalisation never reaches across a space, so that what is ASCII can go the short way.
        for stretch in text.split([' ', '\n', '\t']) {
            if stretch.is_ascii() {
                let runs = stretch.as_bytes().split(|byte| !byte.is_ascii_alphanumeric());
                for run in runs.filter(|run| !run.is_empty()) {
                    self.word.extend(run.iter().map(|byte| char::from(byte.to_ascii_lowercase())));
                    self.end_word();
                }
                continue;
            }
            // Most texts are in normal form already, and that is quickly seen.
            if is_nfkc_quick(stretch.chars()) == IsNormalized::Yes {
                self.fold_letters(stretch.chars());
            } else {
                self.fold_letters(stretch.nfkc());
            }
            self.end_word();
        }
        &self.words
    }

    /// Folds a stretch that NFKC leaves as it is.
    fn fold_letters(&mut self, stretch: impl Iterator<Item = char>) {
        for c in stretch.flat_map(char::to_lowercase).filter(|c| !is_ignorable(*c)) {
            if is_unspaced(c) && is_alphanumeric(c) && !is_combining_mark(c) {
                self.end_word();
                self.word.push(c);
            } else if is_alphanumeric(c) || is_combining_mark(c) {
                if self.word.chars().next_back().is_some_and(is_unspaced) && !is_combining_mark(c) {
                    self.end_word();
                }
                self.word.push(c);
            } else {
                self.end_word();
            }
        }
    }

    fn end_word(&mut self) {
        if !self.word.is_empty() {
            self.words.push(bytes(self.word.as_bytes(), Kind::Word));
            self.word.clear();
        }
    }
}

/// The hash of a text whose folded words are `words`; a text without letters and digits is taken as it is.
pub(super) fn text_hash(text: &str, words: &[u64]) -> u64 {
    if words.is_empty() { bytes(text.as_bytes(), Kind::Bytes) } else { sequence(words.iter().copied(), Kind::Text) }
}

/// The hash of each run of `size` neighbouring words, in order.
pub(super) fn grams(words: &[u64], size: usize) -> impl Iterator<Item = u64> + '_ {
    let highest = BASE.wrapping_pow(u32::try_from(size.saturating_sub(1)).unwrap_or(u32::MAX));
    let mut sum = 0u64;
    words.iter().enumerate().filter_map(move |(index, &word)| {
        if let Some(&gone) = index.checked_sub(size).and_then(|before| words.get(before)) {
            sum = sum.wrapping_sub(gone.wrapping_mul(highest));
        }
        sum = sum.wrapping_mul(BASE).wrapping_add(word);
        (index + 1 >= size).then(|| mix(sum ^ Kind::Gram as u64))
    })
}

/// Hashes that are already spread need no second hashing.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, &byte| mix(sum ^ u64::from(byte)));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// For maps and sets of hashes.
pub(super) type ByHash = BuildHasherDefault<Spread>;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn letters_and_digits_are_those_of_the_standard_library() {
        assert!(('\0'..=char::MAX).all(|c| is_alphanumeric(c) == c.is_alphanumeric()));
    }

    /// The folded words, by the book: the whole text normalised, then cut.
    pub(in super::super) fn naive_words(text: &str) -> Vec<String> {
        let folded: Vec<char> = text.nfkc().flat_map(char::to_lowercase).filter(|c| !is_ignorable(*c)).collect();
        let mut words: Vec<String> = Vec::new();
        let mut open = false;
        for c in folded {
            let mark = is_combining_mark(c);
            if !mark && is_unspaced(c) && c.is_alphanumeric() {
                words.push(c.to_string());
                open = true;
            } else if mark || c.is_alphanumeric() {
                let last_unspaced = words.last().is_some_and(|w| w.chars().next_back().is_some_and(is_unspaced));
                match words.last_mut() {
                    Some(word) if open && (mark || !last_unspaced) => word.push(c),
                    _ => words.push(c.to_string()),
                }
                open = true;
            } else {
                open = false;
            }
        }
        words
    }

    fn folded(text: &str) -> Vec<u64> {
        Folder::default().fold(text).to_vec()
    }

    #[test]
    fn punctuation_case_and_width_do_not_matter() {
        assert_eq!(folded("The Norman dynasty, (in 1066)."), folded("the norman  dynasty in\n1066"));
        assert_eq!(folded("ＡＢＣ　１２"), folded("abc 12"));
        assert_eq!(folded("caf\u{e9}"), folded("cafe\u{301}"));
        assert_eq!(folded("می\u{200c}خواهم"), folded("میخواهم"));
        assert_ne!(folded("ab c"), folded("a bc"));
        assert_ne!(folded("one two"), folded("two one"));
    }

    #[test]
    fn marks_stay_with_their_letters() {
        assert_eq!(folded("हिन्दी भाषा").len(), 2);
        assert_eq!(folded("我是 abc。ภาษา").len(), 2 + 1 + 4);
    }

    #[test]
    fn words_are_counted() {
        for (text, words) in [
            ("It's a well-known fact, isn't it?", 6),
            (" - … ! ", 0),
            ("", 0),
            ("हिन्दी भाषा।", 2),
            ("我喜欢 Rust 语言。", 6),
            ("東京タワー", 5),
            ("ภาษาไทย", 7),
            ("ที่นี่", 2),
            ("7 гномов", 2),
        ] {
            assert_eq!(count_words(text), words, "{text}");
        }
    }

    proptest! {
        #[test]
        fn hashes_are_equal_where_the_words_are(texts in prop::collection::vec("[aAbß ，.1１한日カｶ्नิ\u{301}\u{200d}ﬁ]{0,12}", 2..12)) {
            let naive: Vec<_> = texts.iter().map(|text| naive_words(text)).collect();
            let hashed: Vec<_> = texts.iter().map(|text| folded(text)).collect();
            for a in 0..texts.len() {
                prop_assert_eq!(naive[a].len(), hashed[a].len());
                for b in 0..a {
                    prop_assert_eq!(naive[a] == naive[b], hashed[a] == hashed[b], "{:?} {:?}", texts[a], texts[b]);
                }
            }
        }

        #[test]
        fn grams_are_equal_where_the_runs_are(words in prop::collection::vec(0u64..3, 0..40), size in 1usize..5) {
            let words: Vec<u64> = words.into_iter().map(mix).collect();
            let hashed: Vec<u64> = grams(&words, size).collect();
            let runs: Vec<&[u64]> = words.windows(size).collect();
            prop_assert_eq!(hashed.len(), runs.len());
            for a in 0..runs.len() {
                for b in 0..a {
                    prop_assert_eq!(runs[a] == runs[b], hashed[a] == hashed[b]);
                }
            }
        }
    }
}
