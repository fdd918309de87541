//! Span extraction: windows over the context, each with the whole question before it.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Builder};
use arrow::datatypes::UInt32Type;

use super::encoder::Encodings;
use super::length::{answer_tokens, windows};
use super::rows::{Counts, Names, Place, Sequences, ids_builder, items, uint32};
use super::{RowProblem, TokenizeRequest};
use crate::error::Error;
use crate::shard::Columns;

/// The instances of a batch: one a window. Positions are those of the first answer, 0 and 0 in windows that don't hold
/// the whole of it.
pub(super) fn instances<'a>(
    request: &TokenizeRequest,
    mut encodings: Encodings<'_, 'a>,
    place: &Place<'a>,
    batch: &'a RecordBatch,
    counts: &mut Counts,
) -> Result<Vec<ArrayRef>, Error> {
    let columns = Columns::new(place.path, batch);
    let (contexts, questions) = (columns.text("context")?, columns.text("question")?);
    let (texts, starts) = (columns.list("answer_texts")?, columns.list("answer_starts")?);
    let answerable = columns.boolean("answerable")?;
    let start_values = starts.values().as_primitive::<UInt32Type>();

    let template = request.tokenizer.pair();
    let (mut names, mut sequences) = (Names::default(), Sequences::new());
    let mut ranges = [const { Vec::<u32>::new() }; 4];
    let (mut offsets, mut flat) = (ids_builder(), Vec::new());
    for row in 0..batch.num_rows() {
        let text = contexts.value(row);
        let lengths = (items(texts, row).len(), starts.value_length(row) as usize);
        if lengths.0 != lengths.1 {
            let (first, second) = ("answer_texts", "answer_starts");
            let problem = RowProblem::Lengths { first, first_length: lengths.0, second, second_length: lengths.1 };
            return Err(place.error(row, problem).into());
        }
        let first_start = starts.value_offsets()[row] as usize;
        let mut answer = None;
        for (index, answer_text) in items(texts, row).enumerate() {
            let start = start_values.value(first_start + index);
            let found = text.get(start as usize..).is_some_and(|rest| rest.starts_with(answer_text));
            if !found {
                return Err(place.error(row, RowProblem::Answer { answer: answer_text.to_owned(), start }).into());
            }
            answer = answer.or(Some((start, start + uint32(answer_text.len()))));
        }
        let (question, context) = (encodings.encode(questions.value(row))?, encodings.encode(text)?);
        let (question, context, context_offsets) =
            (encodings.ids(&question), encodings.ids(&context), encodings.offsets(&context));
        let kept = question.len().min(request.max_question);
        counts.truncated_examples += u64::from(kept < question.len());
        let question = &question[..kept];
        let answer = answer
            .filter(|answer| answerable.value(row) && answer.0 < answer.1)
            .and_then(|answer| answer_tokens(context_offsets, answer));

        let begin = template.second_begin(kept);
        let room = request.max_length - template.specials() - kept;
        for (number, window) in windows(context.len(), room, request.stride).into_iter().enumerate() {
            let inside = answer.filter(|&(first, last)| window.start <= first && last < window.end);
            let (first, last) = inside.map_or((0, 0), |(a, b)| (begin + a - window.start, begin + b - window.start));
            for (column, value) in ranges.iter_mut().zip([first, last, begin, begin + window.len()]) {
                column.push(uint32(value));
            }
            let pairs = offsets.values();
            pairs.append_value_n(0, 2 * begin);
            flat.clear();
            flat.extend(context_offsets[window.clone()].iter().flat_map(|&(from, to)| [from, to]));
            pairs.append_slice(&flat);
            pairs.append_value_n(0, 2 * template.after.ids.len());
            offsets.append(true);
            counts.unknown_tokens += request.unknown(question) + request.unknown(&context[window.clone()]);
            names.push(place.example_ids.value(row), number);
            sequences.push(template, question, &context[window], counts);
        }
    }
    let mut arrays = names.finish();
    arrays.extend(sequences.finish());
    arrays.extend(ranges.map(|values| {
        let mut column = UInt32Builder::with_capacity(values.len());
        column.append_slice(&values);
        Arc::new(column.finish()) as ArrayRef
    }));
    arrays.push(Arc::new(offsets.finish()));
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;
    use crate::error::ExitCode;
    use crate::task::Format;
    use proptest::prelude::*;

    /// The columns of one example whose answer is the first `answer` in `context`.
    fn example(context: &str, question: &str, answer: Option<&str>) -> Vec<ArrayRef> {
        let start = answer.map(|answer| uint32(context.find(answer).unwrap()));
        vec![
            strings(&[context]),
            strings(&[question]),
            lists(&[Some(answer.map(str::to_owned).into_iter().collect())]),
            numbers(&[start.into_iter().collect()]),
            booleans(&[answer.is_some()]),
        ]
    }

    /// The text from the first to the last token of the answer, in each window that has one.
    fn answers<'a>(batch: &RecordBatch, context: &'a str) -> Vec<&'a str> {
        let (starts, ends) = (column(batch, "start_position"), column(batch, "end_position"));
        let mut found = Vec::new();
        for row in 0..batch.num_rows() {
            let offsets = ids(batch, "offsets", row);
            let (start, end) = (starts[row] as usize, ends[row] as usize);
            if (start, end) != (0, 0) {
                found.push(&context[offsets[2 * start] as usize..offsets[2 * end + 1] as usize]);
            }
        }
        found
    }

    #[test]
    fn positions_slice_the_answer_out_of_text_in_any_script() {
        let request = request(Format::SpanExtraction, &[], unigram());
        let cases = [
            ("the  old boat, 6½ green", "6½"),
            ("das alte Boot liegt an der grünen Brücke", "grünen Brücke"),
            ("छोटी चिड़िया पुराने पुल पर गाती है", "पुराने पुल"),
            ("旧船停在绿桥旁边，小鸟在桥上唱歌", "旧船停在绿桥旁边，小鸟在桥上唱歌"),
            ("a cafe\u{301} 𠮷 ok", "cafe\u{301}"),
            ("القارب القديم قرب الجسر الأخضر", "الجسر"),
        ];
        for (context, answer) in cases {
            let (batch, outcome) = run(&request, example(context, "where", Some(answer))).unwrap();
            assert_eq!(answers(&batch, context), [answer]);
            assert_eq!(outcome.instances, 1);
        }
    }

    #[test]
    fn bert_windows_hold_the_question_and_overlap() {
        let tokenizer = tokenizer(&bert_json()).unwrap();
        let request = TokenizeRequest {
            max_length: 10,
            stride: 2,
            max_question: 2,
            ..request(Format::SpanExtraction, &[], &tokenizer)
        };
        let context = "the old boat lies near the bridge.";
        let (batch, outcome) = run(&request, example(context, "the boat near", Some("near the"))).unwrap();
        // Context tokens: the old boat lie ##s near the bridge . ; five a window, two shared.
        assert_eq!(ids(&batch, "input_ids", 0), [2, 5, 7, 3, 5, 6, 7, 9, 8, 3]);
        assert_eq!(ids(&batch, "input_ids", 1), [2, 5, 7, 3, 9, 8, 10, 5, 11, 3]);
        assert_eq!(ids(&batch, "input_ids", 2), [2, 5, 7, 3, 5, 11, 12, 3]);
        assert_eq!(ids(&batch, "type_ids", 2), [0, 0, 0, 0, 1, 1, 1, 1]);
        assert_eq!(column(&batch, "window"), [0, 1, 2]);
        assert_eq!(column(&batch, "start_position"), [0, 6, 0]);
        assert_eq!(column(&batch, "end_position"), [0, 7, 0]);
        assert_eq!(column(&batch, "context_begin"), [4, 4, 4]);
        assert_eq!(column(&batch, "context_end"), [9, 9, 7]);
        assert_eq!(ids(&batch, "offsets", 2), [0, 0, 0, 0, 0, 0, 0, 0, 23, 26, 27, 33, 33, 34, 0, 0]);
        assert_eq!(outcome.truncated_examples, 1);
    }

    #[test]
    fn no_answer_and_an_empty_context_point_at_the_first_token() {
        let request = request(Format::SpanExtraction, &[], unigram());
        for context in ["the old boat", ""] {
            let (batch, _) = run(&request, example(context, "where", None)).unwrap();
            assert_eq!(batch.num_rows(), 1);
            assert_eq!((column(&batch, "start_position"), column(&batch, "end_position")), (vec![0], vec![0]));
        }
    }

    #[test]
    fn a_wrong_position_is_named() {
        let request = request(Format::SpanExtraction, &[], unigram());
        // Beside the answer, within a character, beyond the end.
        for start in [2, 1, 99] {
            let mut columns = example("é boat", "what", Some("boat"));
            columns[3] = numbers(&[vec![start]]);
            let error = run(&request, columns).err().unwrap();
            assert_eq!(error.exit(), ExitCode::Data);
            let text = error.to_string();
            assert!(
                text.contains("row 0") && text.contains(&format!("`boat` does not stand at byte {start}")),
                "{text}"
            );
        }
        let mut columns = example("é boat", "what", Some("boat"));
        columns[3] = numbers(&[vec![]]);
        let text = message(run(&request, columns));
        assert!(text.contains("differ in length: 1 and 0"), "{text}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn windows_cover_the_context(
            words in prop::collection::vec(prop::sample::select(LINES.iter().flat_map(|l| l.split(' ')).collect::<Vec<_>>()), 1..60),
            question in prop::collection::vec(prop::sample::select(vec!["old", "桥", "पुल", "zzz"]), 0..12),
            (max_question, stride, spare) in (1usize..8, 0usize..8, 1usize..20),
            pick in any::<(prop::sample::Index, prop::sample::Index)>(),
        ) {
            let context = words.join(" ");
            let (a, b) = (pick.0.index(words.len()), pick.1.index(words.len()));
            let (a, b) = (a.min(b), a.max(b));
            let begin = words[..a].iter().map(|w| w.len() + 1).sum::<usize>();
            let answer = words[a..=b].join(" ");
            let mut columns = example(&context, &question.join(" "), Some(&answer));
            columns[3] = numbers(&[vec![uint32(begin)]]);
            let max_length = 4 + max_question + stride + spare;
            let request = TokenizeRequest { max_length, stride, max_question, ..request(Format::SpanExtraction, &[], unigram()) };
            let (batch, outcome) = run(&request, columns).unwrap();

            let whole = unigram().encode(&context, true).unwrap();
            let mut next = 0;
            let mut tokens = 0;
            for row in 0..batch.num_rows() {
                let (input, offsets) = (ids(&batch, "input_ids", row), ids(&batch, "offsets", row));
                let (from, to) = (column(&batch, "context_begin")[row] as usize, column(&batch, "context_end")[row] as usize);
                prop_assert!(input.len() <= max_length && offsets.len() == 2 * input.len());
                prop_assert_eq!(to + 1, input.len());
                prop_assert!(offsets[..2 * from].iter().chain(&offsets[2 * to..]).all(|&offset| offset == 0));
                let begin = if row == 0 { 0 } else { next - stride };
                prop_assert_eq!(&input[from..to], &whole.ids[begin..begin + to - from]);
                let pairs: Vec<(u32, u32)> = offsets[2 * from..2 * to].chunks(2).map(|pair| (pair[0], pair[1])).collect();
                prop_assert_eq!(&pairs[..], &whole.offsets[begin..begin + to - from]);
                prop_assert!(pairs.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1));
                next = begin + to - from;
                tokens += input.len() as u64;
            }
            prop_assert_eq!(next, whole.ids.len());
            prop_assert_eq!(outcome.tokens, tokens);
            prop_assert!(answers(&batch, &context).iter().all(|found| *found == answer));
        }
    }

    /// Context, question, answer and its byte offset, of every question of a SQuAD v1.1 file.
    fn squad(path: &std::path::Path) -> Vec<[String; 4]> {
        let file: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let list = |value: &serde_json::Value| value.as_array().unwrap().clone();
        let mut rows = Vec::new();
        for paragraph in list(&file["data"]).iter().flat_map(|article| list(&article["paragraphs"])) {
            let context = text(&paragraph["context"]);
            for question in list(&paragraph["qas"]) {
                let answer = &question["answers"][0];
                let start = answer["answer_start"].as_u64().unwrap() as usize;
                let start = context.char_indices().nth(start).unwrap().0;
                rows.push([context.clone(), text(&question["question"]), text(&answer["text"]), start.to_string()]);
            }
        }
        rows
    }

    /// What SQuAD's metric compares, but for the English articles.
    fn normalize_answer(text: &str) -> String {
        let kept: String = text.to_lowercase().chars().filter(|c| !c.is_ascii_punctuation()).collect();
        kept.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    #[ignore = "needs TRESTLE_SHARED"]
    fn xquad_answers_come_back_from_their_positions() {
        let shared = std::path::PathBuf::from(std::env::var("TRESTLE_SHARED").unwrap()).join("real");
        let tokenizer = crate::tokenize::Tokenizer::load(&shared.join("xlmr/tokenizer.json")).unwrap();
        for language in ["en", "de", "es", "ar", "hi", "zh", "ru", "tr"] {
            let rows = squad(&shared.join(format!("xquad/xquad.{language}.json")));
            let texts = |index: usize| rows.iter().map(|row| row[index].as_str()).collect::<Vec<_>>();
            let columns = vec![
                strings(&texts(0)),
                strings(&texts(1)),
                lists(&rows.iter().map(|row| Some(vec![row[2].clone()])).collect::<Vec<_>>()),
                numbers(&rows.iter().map(|row| vec![row[3].parse().unwrap()]).collect::<Vec<_>>()),
                booleans(&vec![true; rows.len()]),
            ];
            let request = TokenizeRequest {
                max_length: 384,
                stride: 128,
                max_question: 64,
                ..request(Format::SpanExtraction, &[], &tokenizer)
            };
            let (batch, outcome) = run(&request, columns).unwrap();
            let mut found = vec![None; rows.len()];
            let (starts, ends) = (column(&batch, "start_position"), column(&batch, "end_position"));
            let names: &arrow::array::StringArray = batch.column(0).as_string();
            for instance in 0..batch.num_rows() {
                let (start, end) = (starts[instance] as usize, ends[instance] as usize);
                if (start, end) != (0, 0) {
                    let row: usize = names.value(instance)[4..].parse().unwrap();
                    let offsets = ids(&batch, "offsets", instance);
                    let text = &rows[row][0][offsets[2 * start] as usize..offsets[2 * end + 1] as usize];
                    assert!(found[row].is_none_or(|before| before == text), "windows disagree on row {row}");
                    found[row] = Some(text);
                }
            }
            let (mut exact, mut alike) = (0, 0);
            for (row, found) in rows.iter().zip(&found) {
                let (answer, found) = (&row[2][..], found.expect("a window holds the answer"));
                exact += usize::from(found == answer);
                alike += usize::from(normalize_answer(found) == normalize_answer(answer));
                if found != answer {
                    println!("  {answer:?} came back as {found:?}");
                }
                // Exact wherever the tokenizer has tokens that begin and end where the answer does.
                let start: u32 = row[3].parse().unwrap();
                let offsets = tokenizer.encode(&row[0], true).unwrap().offsets;
                let begins = offsets.iter().any(|token| token.0 == start && token.1 > start);
                let ends = offsets.iter().any(|token| token.1 == start + uint32(answer.len()));
                assert!(found == answer || (found.contains(answer) && !(begins && ends)), "{answer:?} {found:?}");
            }
            let share = |count: usize| 100.0 * count as f64 / rows.len() as f64;
            println!(
                "{language}: {:.1}% exact, {:.1}% as the metric sees them, {outcome:?}",
                share(exact),
                share(alike)
            );
            assert!(share(exact) > 95.0 && share(alike) > 98.5);
        }
    }
}
