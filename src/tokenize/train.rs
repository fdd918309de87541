//! Trains a Unigram tokenizer laid out as XLM-R's, with the same bytes for the same text.
//!
//! The library's trainer is not reproducible as it stands: it takes the words in the order of a hash map with a random
//! seed, adds floating-point sums in the order in which threads end, and gives characters that its EM step dropped their
//! scores in the order of a random hash set. So the words are sorted here, training runs on a pool of one thread, and
//! those scores are dealt out again (`settle`).

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde::{Deserialize, Serialize};
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::normalizers::NFKC;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    AddedToken, NormalizedString, Normalizer, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

use super::TokenizeError;
use crate::error::{Error, IoContext};
use crate::progress::check;
use crate::shard::{Columns, read_batches};

/// The first ids, in their order: XLM-R's.
const FIRST: [&str; 4] = ["<s>", "<pad>", "</s>", "<unk>"];
const UNKNOWN: usize = 3;
/// The last id.
const MASK: &str = "<mask>";
/// The trainer's own unknown piece; a word that holds it would end training with a panic, as would its word separator.
const RESERVED: [&str; 2] = ["<UNK>", "\0"];
/// By how much the trainer raises the score of each further character that EM dropped.
const DROPPED_STEP: f64 = 0.0001;

/// What a tokenizer was trained on, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizerStatistics {
    /// Rows read.
    pub lines: u64,
    /// Words in them, separated by white space.
    pub words: u64,
    /// Different words after normalisation.
    pub distinct_words: u64,
    /// Different characters after normalisation, the word-start mark included.
    pub characters: u64,
    /// Entries of the vocabulary, special tokens included: as many as asked for, or fewer where the text gives no more.
    pub vocabulary: u64,
}

fn training(source: impl std::fmt::Display) -> TokenizeError {
    TokenizeError::Training { message: source.to_string() }
}

fn pre_tokenizer() -> Sequence {
    let metaspace = Metaspace::new('▁', PrependScheme::Always, true);
    Sequence::new(vec![PreTokenizerWrapper::from(WhitespaceSplit), PreTokenizerWrapper::from(metaspace)])
}

/// The words of a text as the tokenizer will see them: normalised, each with its word-start mark.
fn words(text: &str, pre_tokenizer: &Sequence) -> tokenizers::Result<Vec<String>> {
    let mut normalized = NormalizedString::from(text);
    NFKC.normalize(&mut normalized)?;
    let mut split = PreTokenizedString::from(normalized);
    pre_tokenizer.pre_tokenize(&mut split)?;
    let words = split.get_splits(OffsetReferential::Original, OffsetType::Byte);
    Ok(words.into_iter().map(|(word, _, _)| word.to_owned()).collect())
}

/// Trains a Unigram tokenizer on the column `text` of canonical `text` tables and writes its `tokenizer.json` to `output`.
///
/// Layout as XLM-R's: `<s>`=0, `<pad>`=1, `</s>`=2, `<unk>`=3, pieces by falling score, `<mask>` last; NFKC; words split at
/// white space and begun with `▁`; sequences `<s> A </s>` and `<s> A </s></s> B </s>`. The bytes depend on the tables' rows
/// and on `vocabulary` (entries, special tokens included) alone. Of a longer table, `lines_each` lines or a few less are
/// read, evenly spaced: memory grows with the number of different words, and where words are not separated by spaces that is
/// with the number of lines.
///
/// # Errors
/// A table that can't be read, no text, a vocabulary too small for the text's characters, a failed write, or `stop`
/// (looked at between batches; the training itself, seconds to minutes, runs through).
pub fn train_unigram(
    tables: &[PathBuf],
    vocabulary: u32,
    lines_each: u64,
    output: &Path,
    stop: &AtomicBool,
) -> Result<TokenizerStatistics, Error> {
    let pre_tokenizer = pre_tokenizer();
    let mut counts: HashMap<String, u32> = HashMap::new();
    let (mut lines, mut total) = (0, 0);
    for path in tables {
        let batches = read_batches(path)?;
        let step = (batches.rows() as u64).div_ceil(lines_each.max(1)).max(1);
        let mut row = 0;
        for batch in batches {
            check(stop)?;
            let batch = batch?;
            let column = Columns::new(path, &batch).text("text")?;
            let chosen = (row..).zip(column).filter(|(row, _)| row % step == 0);
            let texts: Vec<&str> = chosen.filter_map(|(_, text)| text).collect();
            row += batch.num_rows() as u64;
            lines += texts.len() as u64;
            let split: Vec<tokenizers::Result<Vec<String>>> =
                texts.into_par_iter().map(|text| words(text, &pre_tokenizer)).collect();
            for words in split {
                let words = words.map_err(training)?;
                total += words.len() as u64;
                for word in words {
                    let count = counts.entry(word).or_default();
                    *count = count.saturating_add(1);
                }
            }
        }
    }
    counts.retain(|word, _| RESERVED.iter().all(|reserved| !word.contains(reserved)));
    let mut sorted: Vec<(String, u32)> = counts.into_iter().collect();
    sorted.sort_unstable();
    if sorted.is_empty() {
        let tables = tables.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ");
        return Err(TokenizeError::NoText { tables }.into());
    }
    let characters = sorted.iter().flat_map(|(word, _)| word.chars()).collect::<BTreeSet<char>>().len();
    let specials = FIRST.len() + 1;
    // One piece beside the characters: the trainer fills the vocabulary up only while there is room.
    let least = characters + specials + 1;
    if (vocabulary as usize) < least {
        return Err(TokenizeError::Vocabulary { vocabulary, characters, least }.into());
    }
    let statistics = TokenizerStatistics {
        lines,
        words: total,
        distinct_words: sorted.len() as u64,
        characters: characters as u64,
        vocabulary: 0,
    };
    check(stop)?;

    let trainer = UnigramTrainer::builder()
        .show_progress(false)
        .vocab_size(vocabulary - specials as u32)
        .build()
        .map_err(training)?;
    let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(training)?;
    let mut model = Unigram::default();
    single.install(|| trainer.do_train(sorted, &mut model)).map_err(training)?;
    check(stop)?;

    let pieces = settle(model.iter().cloned().collect());
    let fixed = FIRST.iter().map(|token| ((*token).to_owned(), 0.0));
    let entries: Vec<(String, f64)> = fixed.chain(pieces).chain([(MASK.to_owned(), 0.0)]).collect();
    let statistics = TokenizerStatistics { vocabulary: entries.len() as u64, ..statistics };
    let text = assemble(entries, pre_tokenizer).and_then(|tokenizer| tokenizer.to_string(false)).map_err(training)?;
    if let Some(parent) = output.parent() {
        std::fs::create_dir_all(parent).at("create directory", parent)?;
    }
    let mut file = File::create(output).at("create", output)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).at("write", output)?;
    Ok(statistics)
}

/// The trainer's pieces in an order and with scores that don't depend on chance.
///
/// Characters that EM dropped come back with the scores `lowest`, `lowest` + step, `lowest` + 2 steps, … dealt out in
/// random order: they are found by those scores (with any other character that happens to have one of them) and the
/// scores dealt out again in the order of the characters. Then pieces are sorted by falling score, and by themselves
/// where scores are equal.
fn settle(mut pieces: Vec<(String, f64)>) -> Vec<(String, f64)> {
    let lowest = pieces.iter().map(|piece| piece.1).fold(f64::INFINITY, f64::min);
    let characters: Vec<usize> = (0..pieces.len()).filter(|&i| pieces[i].0.chars().nth(1).is_none()).collect();
    let (mut dropped, mut penalty) = (Vec::new(), 0.0);
    loop {
        let level = characters.iter().copied().filter(|&index| pieces[index].1 == lowest + penalty);
        let before = dropped.len();
        dropped.extend(level);
        if dropped.len() == before {
            break;
        }
        // Added up one by one, as the trainer does, so that the scores are equal to the last bit.
        penalty += DROPPED_STEP;
    }
    let scores: Vec<f64> = dropped.iter().map(|&index| pieces[index].1).collect();
    dropped.sort_by(|&a, &b| pieces[a].0.cmp(&pieces[b].0));
    for (index, score) in dropped.into_iter().zip(scores) {
        pieces[index].1 = score;
    }
    pieces.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    pieces
}

fn assemble(entries: Vec<(String, f64)>, pre_tokenizer: Sequence) -> tokenizers::Result<tokenizers::Tokenizer> {
    let id = |token: &str| {
        let index = FIRST.iter().position(|first| *first == token);
        (token.to_owned(), index.unwrap_or(entries.len() - 1) as u32)
    };
    let template = TemplateProcessing::builder()
        .try_single("<s> $A </s>")?
        .try_pair("<s> $A </s> </s> $B </s>")?
        .special_tokens(vec![id("<s>"), id("</s>")])
        .build()?;
    let metaspace = Metaspace::new('▁', PrependScheme::Always, true);
    let mut tokenizer = tokenizers::Tokenizer::new(Unigram::from(entries, Some(UNKNOWN), false)?);
    tokenizer.with_normalizer(Some(NFKC))?;
    tokenizer.with_pre_tokenizer(Some(pre_tokenizer));
    tokenizer.with_post_processor(Some(template));
    tokenizer.with_decoder(Some(metaspace));
    let special = FIRST.iter().map(|token| AddedToken::from(*token, true));
    tokenizer.add_special_tokens(special.chain([AddedToken::from(MASK, true).lstrip(true)]))?;
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{LINES, canonical, message, strings};
    use super::*;
    use crate::error::ExitCode;
    use crate::task::Format;

    fn train(lines: &[&str], vocabulary: u32) -> Result<(TokenizerStatistics, Vec<u8>), Error> {
        let dir = tempfile::tempdir().unwrap();
        let table = canonical(&dir.path().join("text.parquet"), Format::Text, vec![strings(lines)]);
        let output = dir.path().join("tokenizer/tokenizer.json");
        let statistics = train_unigram(&[table], vocabulary, 1_000_000, &output, &AtomicBool::new(false))?;
        Ok((statistics, std::fs::read(output).unwrap()))
    }

    #[test]
    fn the_layout_is_that_of_xlm_r() {
        let (statistics, bytes) = train(&LINES, 300).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let vocab = json["model"]["vocab"].as_array().unwrap();
        assert_eq!(vocab.len() as u64, statistics.vocabulary);
        assert_eq!(statistics.lines, LINES.len() as u64);
        let names: Vec<&str> = vocab.iter().map(|entry| entry[0].as_str().unwrap()).collect();
        assert_eq!(names[..4], FIRST);
        assert_eq!(names.last(), Some(&MASK));
        let scores: Vec<f64> = vocab[4..vocab.len() - 1].iter().map(|entry| entry[1].as_f64().unwrap()).collect();
        assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]));
        assert_eq!(json["model"]["unk_id"], UNKNOWN);
    }

    #[test]
    fn every_training_character_is_known() {
        let (_, bytes) = train(&LINES, 300).unwrap();
        let tokenizer = tokenizers::Tokenizer::from_bytes(bytes).unwrap();
        for line in LINES {
            assert!(!tokenizer.encode(line, true).unwrap().get_ids().contains(&(UNKNOWN as u32)), "{line}");
        }
        let letter = tokenizer.encode("a", false).unwrap().get_ids().to_vec();
        let pair: Vec<u32> = [&[0], &letter[..], &[2, 2], &letter, &[2]].concat();
        assert_eq!(tokenizer.encode(("a", "a"), true).unwrap().get_ids(), pair);
        let decoded = tokenizer.decode(tokenizer.encode(LINES[0], true).unwrap().get_ids(), true).unwrap();
        assert_eq!(decoded, LINES[0]);
    }

    #[test]
    fn the_bytes_depend_on_the_text_alone() {
        // Many words of many letters each, so that EM drops characters and many scores are equal.
        let lines: Vec<String> = (0..400u32)
            .map(|i| (0..6).map(|j| char::from_u32(0x4e00 + (i * 7 + j * 131) % 500).unwrap()).collect())
            .collect();
        let mut lines: Vec<&str> = lines.iter().map(String::as_str).chain(LINES).collect();
        let (_, first) = train(&lines, 700).unwrap();
        lines.reverse();
        for threads in [1, 4] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (_, again) = pool.install(|| train(&lines, 700)).unwrap();
            assert!(first == again, "another order, {threads} threads");
        }
    }

    #[test]
    fn dropped_characters_get_their_scores_in_their_own_order() {
        let piece = |text: &str, score: f64| (text.to_owned(), score);
        let pieces = |dropped: [&str; 3]| {
            let [a, b, c] = dropped;
            let scores = [-9.0, -9.0 + DROPPED_STEP, -9.0 + (DROPPED_STEP + DROPPED_STEP)];
            vec![
                piece("x", -1.0),
                piece("xy", -9.0),
                piece(a, scores[0]),
                piece(b, scores[1]),
                piece(c, scores[2]),
                piece("y", -1.0),
            ]
        };
        let settled = settle(pieces(["p", "q", "r"]));
        assert_eq!(settled, settle(pieces(["r", "p", "q"])));
        let order: Vec<&str> = settled.iter().map(|piece| piece.0.as_str()).collect();
        assert_eq!(order, ["x", "y", "r", "q", "p", "xy"]);
    }

    #[test]
    fn text_that_the_trainer_cannot_take_is_left_out() {
        let odd = ["the old <UNK> boat", "nul\0byte here", "the boat lies <s> near"];
        let (_, bytes) = train(&[&LINES[..], &odd].concat(), 300).unwrap();
        assert!(tokenizers::Tokenizer::from_bytes(bytes).is_ok());
    }

    #[test]
    fn too_small_a_vocabulary_and_no_text_are_refused() {
        let error = train(&LINES, 50).err().unwrap();
        assert_eq!(error.exit(), ExitCode::Config);
        let text = error.to_string();
        let least: u32 = text.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(train(&LINES, least).is_ok() && train(&LINES, least - 1).is_err(), "{text}");
        let text = message(train(&["", " \t"], 300));
        assert!(text.contains("no text") && text.contains("text.parquet"), "{text}");
    }
}
