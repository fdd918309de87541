//! A tokenizer loaded from its file, and the shape of the sequences it makes.

use std::path::{Path, PathBuf};

use tokenizers::{Encoding, PostProcessor, Token};

use super::TokenizeError;
use super::offsets::clean_offsets;
use super::unigram::{Scratch, Unigram};
use crate::error::IoContext;

/// Begins a word in SentencePiece vocabularies.
const WORD_START: &str = "▁";

/// The names that the families give to special tokens.
const PAD: [&str; 2] = ["<pad>", "[PAD]"];
const MASK: [&str; 2] = ["<mask>", "[MASK]"];
const UNK: [&str; 2] = ["<unk>", "[UNK]"];

/// Ids of the tokens that have a role of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialTokens {
    /// Opens every sequence: `<s>`, `[CLS]`.
    pub cls: u32,
    /// Closes every sequence: `</s>`, `[SEP]`.
    pub sep: u32,
    /// Fills batches up: `<pad>`, `[PAD]`.
    pub pad: u32,
    /// Stands for a hidden token in masked-LM training: `<mask>`, `[MASK]`.
    pub mask: u32,
    /// Stands for what the vocabulary lacks: `<unk>`, `[UNK]`.
    pub unk: u32,
}

/// Special tokens that stand together: ids and type ids, equally long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fixed {
    pub ids: Vec<u32>,
    pub type_ids: Vec<u32>,
}

impl Fixed {
    fn len(&self) -> usize {
        self.ids.len()
    }
}

/// How a tokenizer frames one text (`before`, text, `after`) or two (`before`, first, `between`, second, `after`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Template {
    pub before: Fixed,
    pub first_type: u32,
    pub between: Fixed,
    pub second_type: u32,
    pub after: Fixed,
}

impl Template {
    /// Reads the template off the tokenizer's own post-processor: frames one token a text and looks what came out.
    fn probe(processor: &impl PostProcessor, pair: bool) -> tokenizers::Result<Self> {
        let text = |type_id| Encoding::from_tokens(vec![Token::new(0, String::from("x"), (0, 1))], type_id);
        let framed = processor.process(text(0), pair.then(|| text(1)), true)?;
        let mut template = Template::default();
        let mut texts = 0;
        let rows = framed.get_ids().iter().zip(framed.get_type_ids()).zip(framed.get_special_tokens_mask());
        for ((&id, &type_id), &special) in rows {
            let fixed = match (special, texts) {
                (0, 0) => {
                    (template.first_type, texts) = (type_id, 1);
                    continue;
                }
                (0, _) => {
                    (template.second_type, texts) = (type_id, 2);
                    continue;
                }
                (_, 0) => &mut template.before,
                (_, 1) if pair => &mut template.between,
                _ => &mut template.after,
            };
            fixed.ids.push(id);
            fixed.type_ids.push(type_id);
        }
        Ok(template)
    }

    /// Number of special tokens.
    pub(super) fn specials(&self) -> usize {
        self.before.len() + self.between.len() + self.after.len()
    }

    /// Token index of the first text.
    pub(super) fn first_begin(&self) -> usize {
        self.before.len()
    }

    /// Token index of the second text, after a first one of `first` tokens.
    pub(super) fn second_begin(&self, first: usize) -> usize {
        self.before.len() + first + self.between.len()
    }
}

/// The tokens of one text, or of several one after another, without special tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Encoded {
    pub ids: Vec<u32>,
    /// Begin and end of each token: byte offsets into the text. Empty where they were not asked for.
    pub offsets: Vec<(u32, u32)>,
}

/// A Hugging Face `tokenizer.json`.
pub struct Tokenizer {
    path: PathBuf,
    engine: Engine,
    digest: String,
    special: SpecialTokens,
    single: Template,
    pair: Template,
}

/// What encodes: our own code where it knows the kind of tokenizer, else the library. Both give the same tokens.
enum Engine {
    Unigram(Box<Unigram>),
    Library(Box<tokenizers::Tokenizer>),
}

/// Working memory of a [`Tokenizer`], for one thread at a time.
pub(super) enum Memory {
    Unigram(Box<Scratch>),
    Library { with_offsets: bool },
}

impl Tokenizer {
    /// Loads `path`. Truncation and padding that the file asks for are ignored: lengths are the request's.
    ///
    /// # Errors
    /// The file is missing, is no tokenizer, or lacks one of the tokens of [`SpecialTokens`].
    pub fn load(path: &Path) -> Result<Self, TokenizeError> {
        let bytes = std::fs::read(path).at("read", path)?;
        match Unigram::recognize(&bytes) {
            Some((unigram, processor)) => Self::new(path, &bytes, Engine::Unigram(Box::new(unigram)), Some(&processor)),
            None => Self::with_library(path, &bytes),
        }
    }

    fn with_library(path: &Path, bytes: &[u8]) -> Result<Self, TokenizeError> {
        let fail = |e: tokenizers::Error| TokenizeError::tokenizer(path, e.to_string());
        let mut library = tokenizers::Tokenizer::from_bytes(bytes).map_err(fail)?;
        library.with_truncation(None).map_err(fail)?.with_padding(None);
        let processor = library.get_post_processor().cloned();
        Self::new(path, bytes, Engine::Library(Box::new(library)), processor.as_ref())
    }

    fn new(
        path: &Path,
        bytes: &[u8],
        engine: Engine,
        processor: Option<&impl PostProcessor>,
    ) -> Result<Self, TokenizeError> {
        let fail = |message: String| TokenizeError::tokenizer(path, message);
        let unframed = || fail("its post-processor puts no special tokens around texts".to_owned());
        let processor = processor.ok_or_else(unframed)?;
        let single = Template::probe(processor, false).map_err(|e| fail(e.to_string()))?;
        let pair = Template::probe(processor, true).map_err(|e| fail(e.to_string()))?;

        let token = |names: [&str; 2]| {
            let id = names.into_iter().find_map(|name| engine.token_to_id(name));
            id.ok_or_else(|| fail(format!("it has neither `{}` nor `{}`", names[0], names[1])))
        };
        let (pad, mask, unk) = (token(PAD)?, token(MASK)?, token(UNK)?);
        let framed = single.before.ids.first().copied().zip(single.after.ids.first().copied());
        let (cls, sep) = framed
            .filter(|_| pair.before.len() > 0 && pair.between.len() > 0 && pair.after.len() > 0)
            .ok_or_else(unframed)?;
        let special = SpecialTokens { cls, sep, pad, mask, unk };
        let digest = blake3::hash(bytes).to_hex().to_string();
        Ok(Self { path: path.to_owned(), engine, digest, special, single, pair })
    }

    /// blake3 of the file, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Number of ids: one more than the largest.
    pub fn vocabulary_size(&self) -> usize {
        match &self.engine {
            Engine::Unigram(unigram) => unigram.size(),
            Engine::Library(library) => {
                let added = library.get_added_tokens_decoder().into_keys().max().map_or(0, |id| id as usize + 1);
                added.max(library.get_vocab_size(false))
            }
        }
    }

    /// Ids of the tokens that have a role of their own.
    pub fn special(&self) -> SpecialTokens {
        self.special
    }

    /// What transformers reads from `tokenizer_config.json` beside this file: a fast tokenizer, the names of the special tokens,
    /// the longest input in tokens, and the names of what the model takes.
    ///
    /// # Errors
    /// When a special token has neither family's name.
    pub fn transformers_config(&self, longest: usize, inputs: &[&str]) -> Result<serde_json::Value, TokenizeError> {
        let name = |id: u32, names: [&'static str; 2]| {
            let name = names.into_iter().find(|name| self.engine.token_to_id(name) == Some(id));
            name.ok_or_else(|| {
                TokenizeError::tokenizer(&self.path, format!("token {id} is neither `{}` nor `{}`", names[0], names[1]))
            })
        };
        let special = self.special;
        let (cls, sep) = (name(special.cls, ["<s>", "[CLS]"])?, name(special.sep, ["</s>", "[SEP]"])?);
        let mut config = serde_json::json!({
            "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": longest, "model_input_names": inputs,
            "cls_token": cls, "sep_token": sep, "pad_token": name(special.pad, PAD)?,
            "mask_token": name(special.mask, MASK)?, "unk_token": name(special.unk, UNK)?,
        });
        if cls == "<s>" {
            // The family's sentence tokens are the same ones under other names.
            (config["bos_token"], config["eos_token"]) = (cls.into(), sep.into());
        }
        Ok(config)
    }

    /// The frame of one text.
    pub(super) fn single(&self) -> &Template {
        &self.single
    }

    /// The frame of two texts.
    pub(super) fn pair(&self) -> &Template {
        &self.pair
    }

    /// The bytes from which on a text is faster found among others than encoded.
    pub(super) fn worth_remembering(&self) -> usize {
        match self.engine {
            Engine::Unigram(_) => 32,
            Engine::Library(_) => 0,
        }
    }

    /// Working memory for [`Self::encode_into`]; `with_offsets` says whether encodings hold byte offsets.
    pub(super) fn memory(&self, with_offsets: bool) -> Memory {
        match self.engine {
            Engine::Unigram(_) => Memory::Unigram(Box::new(Scratch::new(with_offsets))),
            Engine::Library(_) => Memory::Library { with_offsets },
        }
    }

    /// Appends the tokens of one text to `out`, without special tokens. `memory` is this tokenizer's own.
    pub(super) fn encode_into(&self, text: &str, memory: &mut Memory, out: &mut Encoded) -> Result<(), TokenizeError> {
        match (&self.engine, memory) {
            (Engine::Unigram(unigram), Memory::Unigram(scratch)) => unigram.encode(text, scratch, out),
            (Engine::Library(library), Memory::Library { with_offsets }) => {
                encode_with(library, text, *with_offsets, out)
            }
            _ => unreachable!("memory comes from the tokenizer that it is used with"),
        }
        .map_err(|e| TokenizeError::tokenizer(&self.path, e.to_string()))
    }
}

impl Engine {
    fn token_to_id(&self, token: &str) -> Option<u32> {
        match self {
            Engine::Unigram(unigram) => unigram.token_to_id(token),
            Engine::Library(library) => library.token_to_id(token),
        }
    }
}

fn encode_with(
    library: &tokenizers::Tokenizer,
    text: &str,
    with_offsets: bool,
    out: &mut Encoded,
) -> tokenizers::Result<()> {
    let encoding = if with_offsets { library.encode(text, false)? } else { library.encode_fast(text, false)? };
    out.ids.extend_from_slice(encoding.get_ids());
    if with_offsets {
        let begin = out.offsets.len();
        // Arrow's strings are addressed by 31 bits, so the text is shorter than 4 GiB.
        out.offsets.extend(encoding.get_offsets().iter().map(|&(from, to)| (from as u32, to as u32)));
        let tokens = encoding.get_tokens();
        clean_offsets(text, &mut out.offsets[begin..], |index| tokens[index] == WORD_START);
    }
    Ok(())
}

#[cfg(test)]
impl Tokenizer {
    /// The same tokenizer by the library alone.
    pub(super) fn load_library(path: &Path) -> Result<Self, TokenizeError> {
        Self::with_library(path, &std::fs::read(path).at("read", path)?)
    }

    /// Whether our own code encodes.
    pub(super) fn is_native(&self) -> bool {
        matches!(self.engine, Engine::Unigram(_))
    }

    /// Encodes one text without special tokens.
    pub(super) fn encode(&self, text: &str, with_offsets: bool) -> Result<Encoded, TokenizeError> {
        let mut encoded = Encoded::default();
        self.encode_into(text, &mut self.memory(with_offsets), &mut encoded)?;
        Ok(encoded)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{LINES, bert_json, message, tokenizer, unigram};
    use super::*;
    use crate::error::ExitCode;

    #[test]
    fn bert_and_xlm_r_frames_are_read_off_the_file() {
        let bert = tokenizer(&bert_json()).unwrap();
        assert_eq!(bert.special(), SpecialTokens { cls: 2, sep: 3, pad: 0, mask: 4, unk: 1 });
        assert_eq!(bert.vocabulary_size(), 13);
        let fixed = |ids: &[u32], type_ids: &[u32]| Fixed { ids: ids.to_vec(), type_ids: type_ids.to_vec() };
        let pair = Template {
            before: fixed(&[2], &[0]),
            first_type: 0,
            between: fixed(&[3], &[0]),
            second_type: 1,
            after: fixed(&[3], &[1]),
        };
        assert_eq!(bert.pair(), &pair);
        let single = Template { between: Fixed::default(), second_type: 0, after: fixed(&[3], &[0]), ..pair };
        assert_eq!(bert.single(), &single);

        let last = unigram().vocabulary_size() as u32 - 1;
        assert_eq!(unigram().special(), SpecialTokens { cls: 0, sep: 2, pad: 1, mask: last, unk: 3 });
        assert_eq!(unigram().pair().between, fixed(&[2, 2], &[0, 0]));
    }

    #[test]
    fn transformers_is_told_each_family_s_names() {
        let bert = tokenizer(&bert_json()).unwrap();
        let found = bert.transformers_config(512, &["input_ids"]).unwrap();
        let expected = serde_json::json!({
            "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 512, "model_input_names": ["input_ids"],
            "cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]", "unk_token": "[UNK]",
        });
        assert_eq!(found, expected);
        let found = unigram().transformers_config(128, &[]).unwrap();
        assert_eq!((&found["bos_token"], &found["eos_token"]), (&"<s>".into(), &"</s>".into()));
        assert_eq!((&found["mask_token"], &found["unk_token"]), (&"<mask>".into(), &"<unk>".into()));
    }

    #[test]
    fn a_length_in_the_file_cuts_nothing() {
        let bert = tokenizer(&bert_json()).unwrap();
        assert_eq!(bert.encode("the old boat near the bridge", false).unwrap().ids, [5, 6, 7, 10, 5, 11]);
    }

    #[test]
    fn missing_broken_and_unfit_files_are_named() {
        let error = Tokenizer::load(Path::new("/nowhere/tokenizer.json")).err().unwrap();
        assert_eq!(error.exit(), ExitCode::Missing);
        assert!(error.to_string().contains("/nowhere/tokenizer.json"), "{error}");

        let text = message(tokenizer(&serde_json::json!({"model": 1})));
        assert!(text.contains("tokenizer.json is not a usable tokenizer"), "{text}");

        let mut json = bert_json();
        json["model"]["vocab"].as_object_mut().unwrap().remove("[MASK]");
        json["added_tokens"].as_array_mut().unwrap().pop();
        let text = message(tokenizer(&json));
        assert!(text.contains("neither `<mask>` nor `[MASK]`"), "{text}");

        let mut json = bert_json();
        json["post_processor"] = serde_json::Value::Null;
        let text = message(tokenizer(&json));
        assert!(text.contains("no special tokens around texts"), "{text}");
    }

    #[test]
    fn offsets_slice_clean_text() {
        for line in LINES.into_iter().chain(["  two  spaces \t tab ", "x\u{301}\u{302}y \u{200b} z", ""]) {
            let encoded = unigram().encode(line, true).unwrap();
            assert_eq!(encoded.ids, unigram().encode(line, false).unwrap().ids);
            assert_eq!(encoded.ids.len(), encoded.offsets.len());
            let mut covered = String::new();
            let mut end = 0;
            for &(from, to) in &encoded.offsets {
                let slice = &line[from as usize..to as usize];
                assert_eq!(slice, slice.trim());
                // Tokens of one character share its bytes.
                if from >= end {
                    covered.push_str(slice);
                    end = to;
                }
            }
            let letters: String = line.chars().filter(|c| !c.is_whitespace()).collect();
            assert_eq!(covered, letters);
        }
    }

    #[test]
    fn a_lone_word_start_covers_nothing_and_marks_stay_with_their_letter() {
        let mut json = bert_json();
        json["normalizer"] = serde_json::json!({"type": "NFC"});
        json["pre_tokenizer"] = serde_json::json!({"type": "Metaspace", "replacement": WORD_START,
            "prepend_scheme": "always", "split": true});
        json["model"] = serde_json::json!({"type": "Unigram", "unk_id": 1, "byte_fallback": false, "vocab": [
            ["[PAD]", 0.0], ["[UNK]", 0.0], ["[CLS]", 0.0], ["[SEP]", 0.0], ["[MASK]", 0.0],
            [WORD_START, -1.0], ["桥上", -1.0], ["é", -1.0], ["a", -1.0]]});
        let tokenizer = tokenizer(&json).unwrap();
        let encoded = tokenizer.encode("桥上 ae\u{301}a", true).unwrap();
        assert_eq!(encoded.ids, [5, 6, 5, 8, 7, 8]);
        assert_eq!(encoded.offsets, [(0, 0), (0, 6), (7, 7), (7, 8), (8, 11), (11, 12)]);
    }

    #[test]
    #[ignore = "needs TRESTLE_SHARED"]
    fn xlm_r_gives_the_published_ids() {
        let folder = Path::new(&std::env::var("TRESTLE_SHARED").unwrap()).join("real/xlmr");
        let tokenizer = Tokenizer::load(&folder.join("tokenizer.json")).unwrap();
        assert_eq!(tokenizer.special(), SpecialTokens { cls: 0, sep: 2, pad: 1, mask: 250_001, unk: 3 });
        assert_eq!(tokenizer.vocabulary_size(), 250_002);
        let cases: Vec<serde_json::Value> =
            serde_json::from_slice(&std::fs::read(folder.join("expected_ids.json")).unwrap()).unwrap();
        assert!(cases.len() > 10);
        // Some are marked as SentencePiece's own, where Hugging Face's differ.
        for case in cases.iter().filter(|case| case["applies"].as_str().unwrap().contains("hf")) {
            let text = case["text"].as_str().unwrap();
            let want: Vec<u64> = case["ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap()).collect();
            let (template, second) = match case.get("pair").and_then(|pair| pair.as_str()) {
                Some(second) => (tokenizer.pair(), tokenizer.encode(second, false).unwrap().ids),
                None => (tokenizer.single(), Vec::new()),
            };
            let first = tokenizer.encode(text, false).unwrap().ids;
            let Template { before, between, after, .. } = template;
            let found = [&before.ids, &first, &between.ids, &second, &after.ids].map(|ids| &ids[..]).concat();
            assert_eq!(found.into_iter().map(u64::from).collect::<Vec<_>>(), want, "{text}");
        }
    }
}
