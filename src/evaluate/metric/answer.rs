//! Answers normalised and compared as the SQuAD and MLQA scripts do.
//!
//! The scripts put an answer through four passes over strings and a regular expression. Here it is one pass over its
//! characters into a buffer that is used again for the next answer, by the classes of [`super::character`]; ASCII text, which
//! most answers are, takes a pass over bytes.

use super::character::{CAPITAL, PUNCTUATION, SPACE, WORD, class};

/// How an answer becomes the tokens that are compared: lower case, punctuation deleted, articles dropped, and the rest
/// split at white space.
#[derive(Debug, Clone, Copy)]
pub struct Normalization {
    unicode_punctuation: bool,
    articles: &'static [&'static str],
    /// Alif and lam become a space wherever they stand together.
    alif_lam: bool,
    split_ideographs: bool,
}

impl Normalization {
    /// The SQuAD v1.1 script (Rajpurkar et al. 2016, `evaluate-v1.1.py`), which XTREME applies to every language of
    /// XQuAD and TyDi QA: ASCII punctuation and English articles, words between white space. Thai and Chinese answers
    /// are mostly one token then, and other punctuation stays.
    pub const SQUAD: Normalization = Normalization {
        unicode_punctuation: false,
        articles: &["a", "an", "the"],
        alif_lam: false,
        split_ideographs: false,
    };

    /// MLQA's script (Lewis et al. 2020, `mlqa_evaluation_v1.py`) for answers in `language`; `None` for a language
    /// outside its seven. Unicode punctuation, the language's articles; Chinese ideographs (U+4E00 to U+9FA5) are
    /// tokens each. In Arabic every alif-lam becomes a space, also inside a word: the script's slip, kept.
    pub fn mlqa(language: &str) -> Option<Normalization> {
        let articles: &[&str] = match language {
            "en" => &["a", "an", "the"],
            "es" => &["un", "una", "unos", "unas", "el", "la", "los", "las"],
            "de" => &["ein", "eine", "einen", "einem", "eines", "einer", "der", "die", "das", "den", "dem", "des"],
            "vi" => &["của", "là", "cái", "chiếc", "những"],
            "ar" | "hi" | "zh" => &[],
            _ => return None,
        };
        Some(Normalization {
            unicode_punctuation: true,
            articles,
            alif_lam: language == "ar",
            split_ideographs: language == "zh",
        })
    }

    /// The tokens of `text`, one space between two.
    pub fn tokens(&self, text: &str) -> String {
        let mut tokens = Tokens::default();
        tokens.fill(self, text);
        String::from_utf8_lossy(&tokens.bytes).into_owned()
    }
}

/// Compares answers under one normalisation; keeps its buffers from one question to the next.
#[derive(Debug)]
pub struct Answers {
    normalization: Normalization,
    predicted: Tokens,
    gold: Tokens,
}

impl Answers {
    /// Answers under `normalization`.
    pub fn new(normalization: Normalization) -> Self {
        Self { normalization, predicted: Tokens::default(), gold: Tokens::default() }
    }

    /// The best exact match (0 or 1) and the best F1 (0 to 1) of `predicted` over the gold answers, each on its own; zeros
    /// where there is none.
    pub fn score<'a>(&mut self, gold: impl IntoIterator<Item = &'a str>, predicted: &str) -> (f64, f64) {
        self.predicted.fill(&self.normalization, predicted);
        let (mut exact, mut f1) = (0.0, 0.0);
        let mut before = None;
        for text in gold {
            // Annotators often agree.
            if before.replace(text) == Some(text) {
                continue;
            }
            if text == predicted {
                self.gold.clone_from(&self.predicted);
            } else {
                self.gold.fill(&self.normalization, text);
            }
            if self.gold.bytes == self.predicted.bytes {
                exact = 1.0;
            }
            f1 = f64::max(f1, self.predicted.f1(&self.gold));
        }
        (exact, f1)
    }

    /// Whether nothing of `text` is left after normalisation.
    pub fn is_empty(&mut self, text: &str) -> bool {
        self.gold.fill(&self.normalization, text);
        self.gold.bytes.is_empty()
    }
}

/// A text's tokens, in buffers that can be filled again.
#[derive(Debug, Default)]
struct Tokens {
    /// The tokens, one space between two.
    bytes: Vec<u8>,
    /// Where the tokens end in `bytes`.
    ends: Vec<usize>,
    /// Where the token that is being written begins.
    token: usize,
    /// Where the word does that is being written, if one is.
    word: Option<usize>,
}

impl Clone for Tokens {
    fn clone(&self) -> Self {
        let mut copy = Tokens::default();
        copy.clone_from(self);
        copy
    }

    fn clone_from(&mut self, other: &Self) {
        self.bytes.clone_from(&other.bytes);
        self.ends.clone_from(&other.ends);
    }
}

impl Tokens {
    fn fill(&mut self, normalization: &Normalization, text: &str) {
        self.bytes.clear();
        self.ends.clear();
        self.token = 0;
        self.word = None;
        if text.is_ascii() {
            self.fill_ascii(normalization, text.as_bytes());
        } else if text.contains('Σ') {
            // At the end of a word it has a lower case of its own.
            self.fill_any(normalization, &text.to_lowercase());
        } else {
            self.fill_any(normalization, text);
        }
        self.end_word(normalization);
        self.end_token();
        // The space after the last token.
        self.bytes.pop();
    }

    fn fill_ascii(&mut self, normalization: &Normalization, text: &[u8]) {
        for byte in text {
            match byte {
                b'a'..=b'z' | b'0'..=b'9' | b'A'..=b'Z' => {
                    self.word.get_or_insert(self.bytes.len());
                    self.bytes.push(byte.to_ascii_lowercase());
                }
                b'\t'..=b'\r' | 0x1c..=b' ' => {
                    self.end_word(normalization);
                    self.end_token();
                }
                b'!'..=b'~' => {}
                _ => {
                    self.end_word(normalization);
                    self.bytes.push(*byte);
                }
            }
        }
    }

    fn fill_any(&mut self, normalization: &Normalization, text: &str) {
        for c in text.chars() {
            let class = class(c);
            if class & CAPITAL == 0 {
                self.push(normalization, c, class);
            } else {
                c.to_lowercase().for_each(|c| self.push(normalization, c, super::character::class(c)));
            }
        }
    }

    fn push(&mut self, normalization: &Normalization, c: char, class: u8) {
        const ALIF: &[u8] = "ا".as_bytes();
        let deleted =
            if normalization.unicode_punctuation { class & PUNCTUATION != 0 } else { c.is_ascii_punctuation() };
        if deleted {
            return;
        }
        if class & SPACE != 0 {
            self.end_word(normalization);
            self.end_token();
            return;
        }
        if normalization.alif_lam && c == 'ل' && self.bytes[self.token..].ends_with(ALIF) {
            self.bytes.truncate(self.bytes.len() - ALIF.len());
            self.word = None;
            self.end_token();
            return;
        }
        let alone = normalization.split_ideographs && ('\u{4e00}'..='\u{9fa5}').contains(&c);
        if alone {
            self.end_token();
        }
        if class & WORD != 0 {
            self.word.get_or_insert(self.bytes.len());
        } else {
            self.end_word(normalization);
        }
        self.bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        if alone {
            self.end_token();
        }
    }

    /// A word ends, which is dropped if it is an article: a space takes its place.
    fn end_word(&mut self, normalization: &Normalization) {
        let Some(begin) = self.word.take() else { return };
        let word = &self.bytes[begin..];
        if word.len() <= LONGEST_ARTICLE && normalization.articles.iter().any(|article| article.as_bytes() == word) {
            self.bytes.truncate(begin);
            self.end_token();
        }
    }

    fn end_token(&mut self) {
        if self.bytes.len() > self.token {
            self.ends.push(self.bytes.len());
            self.bytes.push(b' ');
            self.token = self.bytes.len();
        }
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().map(|end| end + 1));
        begins.zip(&self.ends).map(|(begin, &end)| &self.bytes[begin..end])
    }

    /// The harmonic mean of the shares of tokens in common with `gold`, each token as often as it occurs in both; 0 if there
    /// is none, also where both are empty.
    fn f1(&self, gold: &Tokens) -> f64 {
        let common = if self.bytes == gold.bytes { self.ends.len() } else { self.common(gold) };
        if common == 0 {
            return 0.0;
        }
        let precision = common as f64 / self.ends.len() as f64;
        let recall = common as f64 / gold.ends.len() as f64;
        2.0 * precision * recall / (precision + recall)
    }

    fn common(&self, gold: &Tokens) -> usize {
        if gold.ends.len() <= 64 {
            // Bits stand for the gold tokens that have no partner yet.
            let mut left = u64::MAX;
            return self
                .iter()
                .filter(|token| {
                    let same = |&(place, other): &(usize, &[u8])| left >> place & 1 == 1 && other == *token;
                    let partner = gold.iter().enumerate().find(same);
                    partner.inspect(|(place, _)| left &= !(1 << place)).is_some()
                })
                .count();
        }
        let sorted = |tokens: &'_ Tokens| -> Vec<Vec<u8>> {
            let mut tokens: Vec<Vec<u8>> = tokens.iter().map(<[u8]>::to_vec).collect();
            tokens.sort_unstable();
            tokens
        };
        let (own, gold) = (sorted(self), sorted(gold));
        let mut others = gold.iter().peekable();
        own.iter()
            .filter(|token| {
                while others.next_if(|other| other < token).is_some() {}
                others.next_if_eq(token).is_some()
            })
            .count()
    }
}

/// Bytes of the longest article.
const LONGEST_ARTICLE: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn joined(normalization: Normalization, text: &str) -> String {
        normalization.tokens(text).replace(' ', "|")
    }

    fn mlqa(language: &str, text: &str) -> String {
        joined(Normalization::mlqa(language).unwrap(), text)
    }

    #[test]
    fn squad_drops_english_articles_and_ascii_punctuation() {
        assert_eq!(joined(Normalization::SQUAD, "The  U.S.-led team, an «élite»"), "usled|team|«élite»");
        assert_eq!(joined(Normalization::SQUAD, "The U.S.-led team, an 'elite'"), "usled|team|elite");
        assert_eq!(joined(Normalization::SQUAD, "a_b a\u{301} the2"), "ab|\u{301}|the2");
        assert_eq!(joined(Normalization::SQUAD, "x a\u{1}an\u{1}b the"), "x|\u{1}|\u{1}b");
        assert_eq!(joined(Normalization::SQUAD, "中国 的。"), "中国|的。");
        assert_eq!(joined(Normalization::SQUAD, "x\u{1f}y\u{a0}z"), "x|y|z");
        assert_eq!(joined(Normalization::SQUAD, "ΟΔΟΣ ΣΑΣ"), "οδος|σας");
    }

    #[test]
    fn mlqa_knows_the_language() {
        assert_eq!(mlqa("de", "Die «Häuser» einer Stadt"), "häuser|stadt");
        assert_eq!(mlqa("es", "la casa de los años"), "casa|de|años");
        assert_eq!(mlqa("vi", "những cái nhà"), "nhà");
        assert_eq!(mlqa("hi", "the राम।"), "the|राम");
        assert_eq!(mlqa("zh", "在1998年，the北京 dm"), "在|1998|年|the|北|京|dm");
        assert_eq!(mlqa("ar", "البيت والمال"), "بيت|و|م");
        assert_eq!(mlqa("ar", "االل ا ل ا.ل"), "ا|ل|ا|ل");
        assert!(Normalization::mlqa("fi").is_none());
    }

    #[test]
    fn the_longest_article_is_no_longer_than_said() {
        let languages =
            ["en", "es", "de", "vi", "ar", "hi", "zh"].map(|language| Normalization::mlqa(language).unwrap());
        let lengths = languages.iter().flat_map(|normalization| normalization.articles).map(|article| article.len());
        assert_eq!(lengths.max(), Some("những".len()));
        assert!("những".len() <= LONGEST_ARTICLE, "{}", "những".len());
    }

    /// F1 of texts whose words are their tokens.
    fn f1(predicted: &str, gold: &str) -> f64 {
        Answers::new(Normalization::SQUAD).score([gold], predicted).1
    }

    #[test]
    fn repeated_tokens_count_as_often_as_in_both() {
        assert!((f1("x x x y", "x x z") - 2.0 * (0.5 * (2.0 / 3.0)) / (0.5 + 2.0 / 3.0)).abs() < 1e-12);
        assert_eq!(f1("", ""), 0.0);
    }

    proptest! {
        #[test]
        fn long_answers_are_compared_as_short_ones(words in proptest::collection::vec((0u8..40, 0u8..40), 65..120)) {
            let text = |side: fn(&(u8, u8)) -> u8| words.iter().map(|pair| format!("w{}", side(pair))).collect::<Vec<_>>();
            let (left, right) = (text(|pair| pair.0), text(|pair| pair.1));
            let mut rest = right.clone();
            let common = left.iter().filter(|word| {
                let place = rest.iter().position(|other| other == *word);
                place.inspect(|place| { rest.swap_remove(*place); }).is_some()
            }).count();
            let share = common as f64 / words.len() as f64;
            prop_assert!((f1(&left.join(" "), &right.join(" ")) - share).abs() < 1e-12);
        }

        #[test]
        fn ascii_takes_no_other_way(text in "[ -~\t\u{1}\u{1c}\u{7f}]{0,24}") {
            let mut tokens = Tokens::default();
            tokens.fill_any(&Normalization::SQUAD, &text);
            tokens.end_word(&Normalization::SQUAD);
            tokens.end_token();
            tokens.bytes.pop();
            prop_assert_eq!(Normalization::SQUAD.tokens(&text).into_bytes(), tokens.bytes);
        }
    }
}
