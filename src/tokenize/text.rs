//! Classification, pair classification, retrieval and plain text: one or two texts a row, one instance each.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Builder, RecordBatch};

use super::TokenizeRequest;
use super::encoder::Encodings;
use super::length::longest_first;
use super::rows::{Counts, Names, Place, Sequences};
use crate::error::Error;
use crate::shard::Columns;
use crate::task::Format;

/// The instances of a batch, truncated to the maximum length (the longer of two texts first).
pub(super) fn instances<'a>(
    request: &TokenizeRequest,
    mut encodings: Encodings<'_, 'a>,
    place: &Place<'a>,
    batch: &'a RecordBatch,
    counts: &mut Counts,
) -> Result<Vec<ArrayRef>, Error> {
    let columns = Columns::new(place.path, batch);
    let labelled = matches!(request.format, Format::Classification | Format::PairClassification);
    let first = columns.text(if labelled { "text_a" } else { "text" })?;
    let second = if request.format == Format::PairClassification { Some(columns.text("text_b")?) } else { None };

    let template = if second.is_some() { request.tokenizer.pair() } else { request.tokenizer.single() };
    let room = request.max_length - template.specials();
    let (mut names, mut sequences) = (Names::default(), Sequences::new());
    for row in 0..batch.num_rows() {
        let a = encodings.encode(first.value(row))?;
        let b = second.map(|second| encodings.encode(second.value(row))).transpose()?;
        let (a, b) = (encodings.ids(&a), b.as_ref().map_or(&[][..], |b| encodings.ids(b)));
        let kept = if second.is_some() { longest_first(a.len(), b.len(), room) } else { (a.len().min(room), 0) };
        counts.unknown_tokens += request.unknown(&a[..kept.0]) + request.unknown(&b[..kept.1]);
        counts.truncated_examples += u64::from(kept.0 + kept.1 < a.len() + b.len());
        names.push(place.example_ids.value(row), 0);
        sequences.push(template, &a[..kept.0], &b[..kept.1], counts);
    }
    let mut arrays = names.finish();
    arrays.extend(sequences.finish());
    if labelled {
        let gold = columns.text("label")?;
        let mut labels = Int32Builder::with_capacity(gold.len());
        for (row, label) in gold.iter().enumerate() {
            labels.append_value(place.label(row, "label", label, request)?);
        }
        arrays.push(Arc::new(labels.finish()));
    } else if request.format == Format::SentenceRetrieval {
        arrays.push(Arc::new(columns.text("side")?.clone()));
    }
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use crate::error::ExitCode;
    use crate::task::Format;

    #[test]
    fn a_bert_pair_has_its_special_tokens_and_types() {
        let tokenizer = tokenizer(&bert_json()).unwrap();
        let labels = labels(&["no", "yes"]);
        let request = request(Format::PairClassification, &labels, &tokenizer);
        let (first, second) = (strings(&["The old boats.", "boat"]), strings(&["the zebra lies", ""]));
        let gold = optional_strings(&[Some("yes"), None]);
        let (batch, outcome) = run(&request, vec![first, second, gold]).unwrap();
        // [CLS] the old boat ##s . [SEP] the [UNK] lie ##s [SEP]
        assert_eq!(ids(&batch, "input_ids", 0), [2, 5, 6, 7, 8, 12, 3, 5, 1, 9, 8, 3]);
        assert_eq!(ids(&batch, "type_ids", 0), [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]);
        assert_eq!(ids(&batch, "input_ids", 1), [2, 7, 3, 3]);
        assert_eq!(ids(&batch, "type_ids", 1), [0, 0, 0, 1]);
        assert_eq!(label_column(&batch), [1, -1]);
        assert_eq!((outcome.examples, outcome.instances, outcome.tokens), (2, 2, 16));
        assert_eq!((outcome.unknown_tokens, outcome.truncated_examples), (1, 0));
    }

    #[test]
    fn an_xlm_r_pair_has_four_special_tokens_and_one_type() {
        let labels = labels(&["no"]);
        let request = request(Format::PairClassification, &labels, unigram());
        let texts = vec![strings(&["old boat"]), strings(&["the bridge"]), optional_strings(&[None])];
        let (batch, _) = run(&request, texts).unwrap();
        let (a, b) =
            (unigram().encode("old boat", false).unwrap().ids, unigram().encode("the bridge", false).unwrap().ids);
        let want: Vec<u32> = [vec![0], a, vec![2, 2], b, vec![2]].concat();
        assert_eq!(ids(&batch, "input_ids", 0), want);
        assert_eq!(ids(&batch, "type_ids", 0), vec![0; want.len()]);
    }

    #[test]
    fn the_longer_text_gives_first() {
        let tokenizer = tokenizer(&bert_json()).unwrap();
        let request = super::TokenizeRequest { max_length: 9, ..request(Format::PairClassification, &[], &tokenizer) };
        let texts = vec![strings(&["the the the the the the the"]), strings(&["old old"]), optional_strings(&[None])];
        let (batch, outcome) = run(&request, texts).unwrap();
        assert_eq!(ids(&batch, "input_ids", 0), [2, 5, 5, 5, 5, 3, 6, 6, 3]);
        assert_eq!(outcome.truncated_examples, 1);
    }

    #[test]
    fn single_texts_are_framed_and_cut() {
        let request = super::TokenizeRequest { max_length: 6, ..request(Format::SentenceRetrieval, &[], unigram()) };
        let texts = strings(&["the old boat lies near the green bridge", ""]);
        let columns = vec![strings(&["query", "index"]), texts, optional_strings(&[Some("row-1"), None])];
        let (batch, outcome) = run(&request, columns).unwrap();
        let all = unigram().encode("the old boat lies near the green bridge", false).unwrap().ids;
        assert_eq!(ids(&batch, "input_ids", 0), [&[0], &all[..4], &[2]].concat());
        assert_eq!(ids(&batch, "input_ids", 1), [0, 2]);
        assert_eq!(outcome.truncated_examples, 1);
    }

    #[test]
    fn an_unknown_label_is_named_with_its_row() {
        let labels = labels(&["entailment", "neutral"]);
        let request = request(Format::Classification, &labels, unigram());
        let columns = vec![strings(&["a", "b"]), optional_strings(&[Some("neutral"), Some("hidden")])];
        let error = run(&request, columns).err().unwrap();
        assert_eq!(error.exit(), ExitCode::Data);
        let text = error.to_string();
        for part in ["table.parquet", "row 1", "`row-1`", "`label`", "`hidden`", "entailment, neutral"] {
            assert!(text.contains(part), "{text}");
        }
    }
}
