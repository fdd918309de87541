//! Answers normalised and compared as the SQuAD v1.1 and MLQA scripts do.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// A maximal run of what the scripts' regular expressions take for word characters: letters, numbers, underscore. A
/// combining mark is none, so an article before one still stands alone.
static WORD: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[\p{L}\p{N}_]+").expect("the pattern is valid"));

/// Unicode's punctuation and ASCII's, which also has symbols.
static PUNCTUATION: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"[\p{P}$+<=>^`|~]+").expect("the pattern is valid"));

/// How an answer becomes the tokens that are compared: lower case, punctuation deleted, articles dropped, and the rest
/// split at white space.
#[derive(Debug, Clone, Copy)]
pub struct Normalization {
    unicode_punctuation: bool,
    articles: &'static [&'static str],
    /// Letters that become a space wherever they stand.
    prefix: Option<&'static str>,
    split_ideographs: bool,
}

impl Normalization {
    /// The SQuAD v1.1 script (Rajpurkar et al. 2016, `evaluate-v1.1.py`), which XTREME applies to every language of
    /// XQuAD and TyDi QA: ASCII punctuation and English articles, words between white space. Thai and Chinese answers
    /// are mostly one token then, and other punctuation stays.
    pub const SQUAD: Normalization = Normalization {
        unicode_punctuation: false,
        articles: &["a", "an", "the"],
        prefix: None,
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
            prefix: (language == "ar").then_some("ال"),
            split_ideographs: language == "zh",
        })
    }

    /// The tokens of `text`.
    pub fn tokens(&self, text: &str) -> Vec<String> {
        let mut text = text.to_lowercase();
        if self.unicode_punctuation {
            text = PUNCTUATION.replace_all(&text, "").into_owned();
        } else {
            text.retain(|c| !c.is_ascii_punctuation());
        }
        if !self.articles.is_empty() {
            let blank = |word: &Captures<'_>| match &word[0] {
                article if self.articles.contains(&article) => " ".to_owned(),
                word => word.to_owned(),
            };
            text = WORD.replace_all(&text, blank).into_owned();
        }
        if let Some(prefix) = self.prefix {
            text = text.replace(prefix, " ");
        }
        if self.split_ideographs {
            let apart = |c: char| if ('\u{4e00}'..='\u{9fa5}').contains(&c) { vec![' ', c, ' '] } else { vec![c] };
            text = text.chars().flat_map(apart).collect();
        }
        text.split(is_space).filter(|token| !token.is_empty()).map(str::to_owned).collect()
    }
}

/// Python's `str.isspace`: Unicode's white space and four separators that Unicode leaves out.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The harmonic mean of the shares of tokens in common, each token as often as it occurs in both; 0 if there is none,
/// also where both are empty.
pub(super) fn f1(predicted: &[String], gold: &[String]) -> f64 {
    let mut left: HashMap<&str, usize> = HashMap::new();
    for token in gold {
        *left.entry(token).or_default() += 1;
    }
    let mut common = 0_u32;
    for token in predicted {
        if let Some(count) = left.get_mut(token.as_str()).filter(|count| **count > 0) {
            *count -= 1;
            common += 1;
        }
    }
    if common == 0 {
        return 0.0;
    }
    let precision = f64::from(common) / predicted.len() as f64;
    let recall = f64::from(common) / gold.len() as f64;
    2.0 * precision * recall / (precision + recall)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(normalization: Normalization, text: &str) -> String {
        normalization.tokens(text).join("|")
    }

    fn mlqa(language: &str, text: &str) -> String {
        joined(Normalization::mlqa(language).unwrap(), text)
    }

    #[test]
    fn squad_drops_english_articles_and_ascii_punctuation() {
        assert_eq!(joined(Normalization::SQUAD, "The  U.S.-led team, an «élite»"), "usled|team|«élite»");
        assert_eq!(joined(Normalization::SQUAD, "a_b a\u{301} the2"), "ab|\u{301}|the2");
        assert_eq!(joined(Normalization::SQUAD, "中国 的。"), "中国|的。");
        assert_eq!(joined(Normalization::SQUAD, "x\u{1f}y\u{a0}z"), "x|y|z");
    }

    #[test]
    fn mlqa_knows_the_language() {
        assert_eq!(mlqa("de", "Die «Häuser» einer Stadt"), "häuser|stadt");
        assert_eq!(mlqa("es", "la casa de los años"), "casa|de|años");
        assert_eq!(mlqa("vi", "những cái nhà"), "nhà");
        assert_eq!(mlqa("hi", "the राम।"), "the|राम");
        assert_eq!(mlqa("zh", "在1998年，the北京 dm"), "在|1998|年|the|北|京|dm");
        assert_eq!(mlqa("ar", "البيت والمال"), "بيت|و|م");
        assert!(Normalization::mlqa("fi").is_none());
    }

    #[test]
    fn repeated_tokens_count_as_often_as_in_both() {
        let tokens = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(
            (f1(&tokens("x x x y"), &tokens("x x z")) - 2.0 * (0.5 * (2.0 / 3.0)) / (0.5 + 2.0 / 3.0)).abs() < 1e-12
        );
        assert_eq!(f1(&[], &[]), 0.0);
    }
}
