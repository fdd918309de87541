//! Our tokens against the library's.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use proptest::prelude::*;
use rayon::iter::ParallelIterator;
use rayon::slice::ParallelSlice;

use crate::task::Format;
use crate::tokenize::Tokenizer;
use crate::tokenize::fixture::{LINES, bert_json, canonical, strings, tokenizer};
use crate::tokenize::tokenizer::Encoded;
use crate::tokenize::train_unigram;

/// A tokenizer by our own code and by the library.
struct Both {
    ours: Tokenizer,
    library: Tokenizer,
}

impl Both {
    fn load(path: &Path) -> Self {
        let both = Self { ours: Tokenizer::load(path).unwrap(), library: Tokenizer::load_library(path).unwrap() };
        assert!(both.ours.is_native() && !both.library.is_native());
        assert_eq!(both.ours.special(), both.library.special());
        assert_eq!(both.ours.vocabulary_size(), both.library.vocabulary_size());
        assert_eq!((both.ours.single(), both.ours.pair()), (both.library.single(), both.library.pair()));
        both
    }

    /// Encodes `texts` one after another with one memory, each with and without offsets, and twice, so that the second
    /// time finds words remembered.
    fn check<T: AsRef<str>>(&self, texts: &[T]) {
        let mut memories = [true, false].map(|with_offsets| (with_offsets, self.ours.memory(with_offsets)));
        for text in texts.iter().map(AsRef::as_ref) {
            let want = self.library.encode(text, true).unwrap();
            for (with_offsets, memory) in &mut memories {
                for _ in 0..2 {
                    let mut found = Encoded::default();
                    self.ours.encode_into(text, memory, &mut found).unwrap();
                    assert_eq!(found.ids, want.ids, "{text:?}");
                    let offsets = if *with_offsets { &want.offsets[..] } else { &[] };
                    assert_eq!(found.offsets, offsets, "{text:?}");
                }
            }
        }
    }
}

/// A tokenizer as `train_unigram` writes it.
fn trained() -> &'static Both {
    static BOTH: OnceLock<Both> = OnceLock::new();
    BOTH.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let table = canonical(&dir.path().join("text.parquet"), Format::Text, vec![strings(&LINES)]);
        let output = dir.path().join("tokenizer.json");
        train_unigram(&[table], 300, 1_000_000, &output, &std::sync::atomic::AtomicBool::new(false)).unwrap();
        Both::load(&output)
    })
}

fn shared() -> PathBuf {
    PathBuf::from(std::env::var("TRESTLE_SHARED").unwrap()).join("real")
}

fn xlm_r() -> &'static Both {
    static BOTH: OnceLock<Both> = OnceLock::new();
    BOTH.get_or_init(|| Both::load(&shared().join("xlmr/tokenizer.json")))
}

/// Characters and strings that normalisation, splitting or segmentation treats in a way of its own.
const ODD: [&str; 78] = [
    " ",
    " ",
    " ",
    "  ",
    "\t",
    "\n",
    "\r\n",
    "\r",
    "\u{a0}",
    "\u{3000}",
    "\u{2028}",
    "\u{1680}",
    "\u{200b}",
    "\u{200c}",
    "\u{200d}",
    "\u{feff}",
    "\u{ad}",
    "\0",
    "\u{1}",
    "\u{1e}",
    "\u{7f}",
    "\u{85}",
    "▁",
    "▁▁",
    "▁a",
    "<s>",
    "</s>",
    "<pad>",
    "<unk>",
    "<mask>",
    " <mask> ",
    "<",
    ">",
    "＜s＞",
    "e\u{301}",
    "\u{301}",
    "a\u{308}\u{323}",
    "u\u{31b}\u{301}",
    "ﬁ",
    "①",
    "™",
    "™\u{1e}",
    "½",
    "…",
    "㎏",
    "ｶﾞ",
    "Ａ",
    "！",
    "é",
    "ǆ",
    "ß",
    "İ",
    "\u{110bd}",
    "\u{600}",
    "\u{6dd}",
    "\u{1100}\u{1161}\u{11a8}",
    "한국",
    "가\u{11a8}",
    "क\u{94d}ष",
    "क\u{93c}",
    "नी",
    "ำ",
    "ก\u{e31}",
    "ا\u{653}",
    "ﷺ",
    "か\u{3099}",
    "👩‍👩‍👧",
    "👍🏽",
    "🇩🇪🇫🇷",
    "❤\u{fe0f}",
    "1\u{fe0f}\u{20e3}",
    "𠮷",
    "\u{10ffff}",
    "\u{378}",
    "语言",
    "лодка",
    "bridge",
    "cafe\u{301}",
];

fn text() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(ODD.to_vec()).prop_map(str::to_owned);
    let line = prop::sample::select(LINES.to_vec()).prop_map(str::to_owned);
    let marks = "[\u{300}-\u{36f}\u{1ab0}-\u{1aff}\u{3099}\u{309a}\u{64b}-\u{655}\u{93c}\u{94d}]";
    let part = prop_oneof![8 => odd, 1 => line, 4 => "\\PC", 3 => "[a-zA-Z0-9.,]{1,4}", 2 => marks, 1 => any::<char>().prop_map(String::from)];
    prop::collection::vec(part, 0..14).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn any_text_has_the_librarys_tokens_under_nfkc(text in text()) {
        trained().check(&[text]);
    }

    #[test]
    #[ignore = "needs TRESTLE_SHARED"]
    fn any_text_has_the_librarys_tokens_with_xlm_r(text in text()) {
        xlm_r().check(&[text]);
    }
}

#[test]
fn every_line_has_the_librarys_tokens() {
    trained().check(&LINES);
    trained().check(&ODD);
}

#[test]
#[ignore = "needs TRESTLE_SHARED"]
fn every_character_has_the_librarys_tokens() {
    // Of those that mean nothing (unassigned or for private use), a sample.
    let meaningless = regex::Regex::new(r"[\p{Cn}\p{Co}]").unwrap();
    let kept = |c: &char| (*c as u32).is_multiple_of(128) || !meaningless.is_match(c.encode_utf8(&mut [0; 4]));
    let characters: Vec<char> = ('\0'..=char::MAX).filter(kept).collect();
    // Made before the threads begin: training waits for threads of its own, which might then wait for it.
    let both = [trained(), xlm_r()];
    characters.par_chunks(4_096).for_each(|characters| {
        let around = |c| {
            let mixed = format!("{c} x{c} {c}y 语{c}语 {c}\u{301} e{c} x {c}");
            [
                mixed,
                format!("x {c}"),
                format!("x{c} y"),
                format!("语{c}语 y"),
                format!("x {c}\u{301}"),
                format!("{c}y z"),
            ]
        };
        let texts: Vec<String> = characters.iter().flat_map(around).collect();
        both.iter().for_each(|both| both.check(&texts));
    });
}

/// Every string of a JSON value.
fn strings_of(value: &serde_json::Value, texts: &mut HashSet<String>) {
    match value {
        serde_json::Value::String(text) => _ = texts.insert(text.clone()),
        serde_json::Value::Array(items) => items.iter().for_each(|item| strings_of(item, texts)),
        serde_json::Value::Object(fields) => fields.values().for_each(|item| strings_of(item, texts)),
        _ => {}
    }
}

/// Every text of the files below `folder`: the strings of JSON, the lines and the fields of anything else.
fn texts_below(folder: &Path, texts: &mut HashSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts_below(&path, texts);
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            if let Ok(value) = serde_json::from_str(&text) {
                strings_of(&value, texts);
                continue;
            }
            for line in text.lines() {
                match serde_json::from_str(line) {
                    Ok(value) => strings_of(&value, texts),
                    Err(_) => texts.extend([line].into_iter().chain(line.split('\t')).map(str::to_owned)),
                }
            }
        }
    }
}

#[test]
#[ignore = "needs TRESTLE_SHARED"]
fn every_real_text_has_the_librarys_tokens() {
    for folder in std::fs::read_dir(shared()).unwrap() {
        let folder = folder.unwrap().path();
        if folder.ends_with("xlmr") || !folder.is_dir() {
            continue;
        }
        let mut texts = HashSet::new();
        texts_below(&folder, &mut texts);
        let texts: Vec<String> = texts.into_iter().collect();
        println!("{}: {} texts", folder.display(), texts.len());
        texts.par_chunks(1_024).for_each(|texts| xlm_r().check(texts));
    }
}

#[test]
fn other_pipelines_are_left_to_the_library() {
    let native = |json: &serde_json::Value| tokenizer(json).unwrap().is_native();
    assert!(!native(&bert_json()));
    let mut json = bert_json();
    json["normalizer"] = serde_json::json!({"type": "NFKC"});
    json["pre_tokenizer"] = serde_json::json!({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"},
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}]});
    json["model"] = serde_json::json!({"type": "Unigram", "unk_id": 1, "byte_fallback": false, "vocab": [
        ["[PAD]", 0.0], ["[UNK]", 0.0], ["[CLS]", 0.0], ["[SEP]", 0.0], ["[MASK]", 0.0], ["▁a", -1.0]]});
    assert!(native(&json));
    for (pointer, value) in [
        ("/normalizer", serde_json::json!({"type": "NFC"})),
        ("/normalizer", serde_json::Value::Null),
        ("/pre_tokenizer/pretokenizers/1/prepend_scheme", "first".into()),
        ("/pre_tokenizer/pretokenizers/1/split", false.into()),
        ("/pre_tokenizer/pretokenizers/1/replacement", "_".into()),
        ("/pre_tokenizer/pretokenizers/0", serde_json::json!({"type": "Whitespace"})),
        ("/model/byte_fallback", true.into()),
        ("/added_tokens/0/normalized", true.into()),
        ("/added_tokens/0/single_word", true.into()),
        ("/added_tokens/0/rstrip", true.into()),
        ("/added_tokens/0/id", 4.into()),
    ] {
        let mut other = json.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        assert!(!native(&other), "{pointer}");
    }
}
