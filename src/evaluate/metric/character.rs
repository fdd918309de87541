//! What the scripts' regular expressions and string methods take a character for.
//!
//! Python asks its `unicodedata`, whose version depends on Python's (14.0 in 3.11, 16.0 in 3.14); this asks the tables of the
//! `regex` crate. Characters that a version does not know yet are in no class there: new punctuation stays in an answer.

use std::sync::LazyLock;

use regex::Regex;

/// A word character of Python's `\w`: letters, numbers, underscore. A combining mark is none, so an article before one still
/// stands alone.
pub(super) const WORD: u8 = 1;
/// Unicode's punctuation, and ASCII's, which also has symbols.
pub(super) const PUNCTUATION: u8 = 2;
/// What `str.isspace` is true of: Unicode's white space and four separators that Unicode leaves out.
pub(super) const SPACE: u8 = 4;
/// What has another lower case than itself.
pub(super) const CAPITAL: u8 = 8;

/// The classes of every character, by code point.
static CLASSES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    // Beyond the third plane there are tags and private characters, which are in no class.
    let all: String = (0..0x4_0000).filter_map(char::from_u32).collect();
    let mut classes = vec![0; u32::from(char::MAX) as usize + 1];
    let patterns =
        [(WORD, r"[\p{L}\p{N}_]+"), (PUNCTUATION, r"[\p{P}$+<=>^`|~]+"), (SPACE, r"[\p{White_Space}\x1c-\x1f]+")];
    for (class, pattern) in patterns {
        let pattern = Regex::new(pattern).expect("the pattern is valid");
        for c in pattern.find_iter(&all).flat_map(|run| run.as_str().chars()) {
            classes[c as usize] |= class;
        }
    }
    for c in all.chars().filter(|c| !c.to_lowercase().eq([*c])) {
        classes[c as usize] |= CAPITAL;
    }
    classes
});

/// The classes of `c`, added up.
pub(super) fn class(c: char) -> u8 {
    CLASSES[c as usize]
}

/// Whether `str.strip` would take `c` off the ends of a line.
pub(in crate::evaluate) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_some_characters() {
        for c in ['a', 'é', '中', '९', '²', '_', 'ⅷ'] {
            assert!(class(c) & WORD != 0, "{c}");
        }
        for c in ['.', '。', '«', '$', '~', '_', '।'] {
            assert!(class(c) & PUNCTUATION != 0, "{c}");
        }
        for c in ['\u{301}', '€', '\u{200d}'] {
            assert_eq!(class(c), 0, "{c}");
        }
        let every = || (0..=u32::from(char::MAX)).filter_map(char::from_u32);
        assert!(every().all(|c| (class(c) & SPACE != 0) == is_space(c)));
    }

    #[test]
    fn no_class_has_a_character_beyond_the_third_plane() {
        let beyond: String = (0x4_0000..=u32::from(char::MAX)).filter_map(char::from_u32).collect();
        let classes = Regex::new(r"[\p{L}\p{N}\p{P}\p{White_Space}]").unwrap();
        assert_eq!(classes.find(&beyond).map(|found| found.as_str()), None);
        assert!(beyond.chars().all(|c| c.to_lowercase().eq([c])));
    }
}
