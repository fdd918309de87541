//! Word tagging: each word encoded alone, its first sub-word stands for it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Builder, ListBuilder, RecordBatch, UInt32Builder};
use arrow::datatypes::{DataType, Field};

use super::encoder::Encodings;
use super::length::word_windows;
use super::rows::{Counts, Names, Place, Sequences, ids_builder, items, uint32};
use super::{RowProblem, TokenizeRequest};
use crate::error::Error;
use crate::shard::Columns;

/// The instances of a batch: one a window of whole words. A word without sub-words, or with more than one window holds,
/// becomes the unknown token (the latter counts as a truncated example).
pub(super) fn instances<'a>(
    request: &TokenizeRequest,
    mut encodings: Encodings<'_, 'a>,
    place: &Place<'a>,
    batch: &'a RecordBatch,
    counts: &mut Counts,
) -> Result<Vec<ArrayRef>, Error> {
    let columns = Columns::new(place.path, batch);
    let (words, tags) = (columns.list("words")?, columns.list("tags")?);

    let template = request.tokenizer.single();
    let room = request.max_length - template.specials();
    let unknown = [request.tokenizer.special().unk];
    let (mut names, mut sequences) = (Names::default(), Sequences::new());
    let mut first_words = UInt32Builder::new();
    let mut positions = ids_builder();
    let mut labels = ListBuilder::new(Int32Builder::new()).with_field(Field::new("item", DataType::Int32, false));
    let mut ids = Vec::new();
    for row in 0..batch.num_rows() {
        let tokens = items(words, row).map(|word| encodings.encode(word)).collect::<Result<Vec<_>, _>>()?;
        let mut truncated = false;
        let pieces: Vec<&[u32]> = tokens
            .iter()
            .map(|tokens| {
                let ids = encodings.ids(tokens);
                truncated |= ids.len() > room;
                if ids.is_empty() || ids.len() > room { &unknown } else { ids }
            })
            .collect();
        let gold: Vec<i32> = if tags.is_null(row) {
            vec![-1; pieces.len()]
        } else {
            items(tags, row).map(|tag| place.label(row, "tags", Some(tag), request)).collect::<Result<_, _>>()?
        };
        if gold.len() != pieces.len() {
            let (first, second) = ("words", "tags");
            let problem = RowProblem::Lengths { first, first_length: pieces.len(), second, second_length: gold.len() };
            return Err(place.error(row, problem).into());
        }
        counts.words += pieces.len() as u64;
        counts.truncated_examples += u64::from(truncated);

        let lengths: Vec<usize> = pieces.iter().map(|piece| piece.len()).collect();
        for (number, window) in word_windows(&lengths, room).into_iter().enumerate() {
            ids.clear();
            for piece in &pieces[window.clone()] {
                positions.values().append_value(uint32(template.first_begin() + ids.len()));
                ids.extend_from_slice(piece);
            }
            positions.append(true);
            labels.values().append_slice(&gold[window.clone()]);
            labels.append(true);
            first_words.append_value(uint32(window.start));
            counts.unknown_tokens += request.unknown(&ids);
            names.push(place.example_ids.value(row), number);
            sequences.push(template, &ids, &[], counts);
        }
    }
    let mut arrays = names.finish();
    arrays.extend(sequences.finish());
    arrays.extend([
        Arc::new(first_words.finish()) as ArrayRef,
        Arc::new(positions.finish()),
        Arc::new(labels.finish()),
    ]);
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;
    use crate::task::Format;
    use proptest::prelude::*;

    fn row(items: &[&str]) -> Option<Vec<String>> {
        Some(items.iter().map(|item| (*item).to_owned()).collect())
    }

    #[test]
    fn the_first_sub_word_carries_the_label() {
        let tokenizer = tokenizer(&bert_json()).unwrap();
        let labels = labels(&["DET", "NOUN", "VERB"]);
        let request = TokenizeRequest { max_length: 7, ..request(Format::WordTagging, &labels, &tokenizer) };
        // A zero-width space has no sub-word; `boatsssss` has more than fit.
        let words = lists(&[row(&["The", "boats", "lies", "\u{200b}"]), row(&["boatsssss"]), row(&[])]);
        let tags = lists(&[row(&["DET", "NOUN", "VERB", "DET"]), None, row(&[])]);
        let (batch, outcome) = run(&request, vec![words, tags]).unwrap();
        // [CLS] the boat ##s lie ##s [SEP], then [CLS] [UNK] [SEP]
        assert_eq!(ids(&batch, "input_ids", 0), [2, 5, 7, 8, 9, 8, 3]);
        assert_eq!(ids(&batch, "word_positions", 0), [1, 2, 4]);
        assert_eq!(signed(&batch, "labels", 0), [0, 1, 2]);
        assert_eq!(ids(&batch, "input_ids", 1), [2, 1, 3]);
        assert_eq!(signed(&batch, "labels", 1), [0]);
        assert_eq!((ids(&batch, "input_ids", 2), signed(&batch, "labels", 2)), (vec![2, 1, 3], vec![-1]));
        assert_eq!((ids(&batch, "input_ids", 3), signed(&batch, "labels", 3)), (vec![2, 3], vec![]));
        assert_eq!(column(&batch, "window"), [0, 1, 0, 0]);
        assert_eq!(column(&batch, "first_word"), [0, 3, 0, 0]);
        assert_eq!((outcome.examples, outcome.instances, outcome.words), (3, 4, Some(5)));
        assert_eq!((outcome.unknown_tokens, outcome.truncated_examples), (2, 1));
    }

    #[test]
    fn unknown_tags_and_lists_of_different_lengths_are_named() {
        let labels = labels(&["NOUN"]);
        let request = request(Format::WordTagging, &labels, unigram());
        let text = message(run(&request, vec![lists(&[row(&["a"])]), lists(&[row(&["VERB"])])]));
        assert!(text.contains("`tags`") && text.contains("`VERB`"), "{text}");
        let open = TokenizeRequest { open_labels: true, ..request };
        let (batch, _) = run(&open, vec![lists(&[row(&["a", "b"])]), lists(&[row(&["VERB", "NOUN"])])]).unwrap();
        assert_eq!(signed(&batch, "labels", 0), [-1, 0]);
        let text = message(run(&request, vec![lists(&[row(&["a", "b"])]), lists(&[row(&["NOUN"])])]));
        assert!(text.contains("`words` and `tags` differ in length: 2 and 1"), "{text}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn each_word_is_covered_once(
            words in prop::collection::vec("\\PC{0,12}|[a-z]{1,5}|[а-я]{1,30}", 0..40),
            max_length in 3usize..40,
        ) {
            let labels: Vec<String> = (0..words.len()).map(|index| index.to_string()).collect();
            let request = TokenizeRequest { max_length, ..request(Format::WordTagging, &labels, unigram()) };
            let columns = vec![lists(&[Some(words.clone())]), lists(&[Some(labels.clone())])];
            let (batch, outcome) = run(&request, columns).unwrap();
            let mut next = 0;
            for row in 0..batch.num_rows() {
                let (input, positions) = (ids(&batch, "input_ids", row), ids(&batch, "word_positions", row));
                prop_assert!(input.len() <= max_length);
                prop_assert_eq!(column(&batch, "first_word")[row], next);
                let gold: Vec<i32> = (next as i32..next as i32 + positions.len() as i32).collect();
                prop_assert_eq!(signed(&batch, "labels", row), gold);
                let ends = positions.iter().skip(1).copied().chain([input.len() as u32 - 1]).take(positions.len());
                for (&from, to) in positions.iter().zip(ends) {
                    let mut want = unigram().encode(&words[next as usize], false).unwrap().ids;
                    if want.is_empty() || want.len() > max_length - 2 {
                        want = vec![unigram().special().unk];
                    }
                    prop_assert_eq!(&input[from as usize..to as usize], &want[..]);
                    next += 1;
                }
            }
            prop_assert_eq!(next as usize, words.len());
            prop_assert_eq!(outcome.words, Some(words.len() as u64));
        }
    }
}
