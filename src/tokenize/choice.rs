//! Multiple choice: one sequence a choice, each the pair of the prompt and the choice.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Builder, ListBuilder, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field};

use super::encoder::Encodings;
use super::length::longest_first;
use super::rows::{Counts, Names, Place, ids_builder, items, write};
use super::{RowProblem, TokenizeRequest};
use crate::error::Error;
use crate::shard::Columns;

/// The prompt: context and question with a space between them, or the one that is there.
fn prompt<'a>(context: &'a StringArray, question: &'a StringArray, row: usize) -> Cow<'a, str> {
    let part = |column: &'a StringArray| Some(column).filter(|c| c.is_valid(row)).map_or("", |c| c.value(row));
    match (part(context), part(question)) {
        (context, "") => context.into(),
        ("", question) => question.into(),
        (context, question) => format!("{context} {question}").into(),
    }
}

/// The instances of a batch; prompt and choice are truncated to the maximum length, the longer first.
pub(super) fn instances<'a>(
    request: &TokenizeRequest,
    mut encodings: Encodings<'_, 'a>,
    place: &Place<'a>,
    batch: &'a RecordBatch,
    counts: &mut Counts,
) -> Result<Vec<ArrayRef>, Error> {
    let columns = Columns::new(place.path, batch);
    let (context, question) = (columns.text("context")?, columns.text("question")?);
    let (choices, gold) = (columns.list("choices")?, columns.uint32("label")?);

    let template = request.tokenizer.pair();
    let room = request.max_length - template.specials();
    let mut names = Names::default();
    let item = Arc::new(Field::new_list("item", Field::new("item", DataType::UInt32, false), false));
    let mut ids = ListBuilder::new(ids_builder()).with_field(item.clone());
    let mut type_ids = ListBuilder::new(ids_builder()).with_field(item);
    let mut labels = Int32Builder::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let count = items(choices, row).len();
        if count == 0 {
            return Err(place.error(row, RowProblem::NoChoices).into());
        }
        let label = Some(gold).filter(|gold| gold.is_valid(row)).map(|gold| gold.value(row));
        if let Some(label) = label.filter(|&label| label as usize >= count) {
            return Err(place.error(row, RowProblem::Choice { label, choices: count }).into());
        }
        labels.append_value(label.and_then(|label| i32::try_from(label).ok()).unwrap_or(-1));

        let prompt = encodings.encode(prompt(context, question, row))?;
        let mut truncated = false;
        for choice in items(choices, row) {
            let choice = encodings.encode(choice)?;
            let (prompt, choice) = (encodings.ids(&prompt), encodings.ids(&choice));
            let kept = longest_first(prompt.len(), choice.len(), room);
            truncated |= kept != (prompt.len(), choice.len());
            let (prompt, choice) = (&prompt[..kept.0], &choice[..kept.1]);
            counts.unknown_tokens += request.unknown(prompt) + request.unknown(choice);
            let (ids, type_ids) = (ids.values(), type_ids.values());
            counts.tokens += write(template, prompt, choice, ids.values(), type_ids.values()) as u64;
            ids.append(true);
            type_ids.append(true);
        }
        ids.append(true);
        type_ids.append(true);
        counts.truncated_examples += u64::from(truncated);
        names.push(place.example_ids.value(row), 0);
    }
    let mut arrays = names.finish();
    arrays.extend([Arc::new(ids.finish()) as ArrayRef, Arc::new(type_ids.finish()), Arc::new(labels.finish())]);
    Ok(arrays)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::*;
    use crate::task::Format;

    fn some(items: &[&str]) -> Option<Vec<String>> {
        Some(items.iter().map(|item| (*item).to_owned()).collect())
    }

    #[test]
    fn each_choice_is_paired_with_context_and_question() {
        let tokenizer = tokenizer(&bert_json()).unwrap();
        let request = TokenizeRequest { max_length: 8, ..request(Format::MultipleChoice, &[], &tokenizer) };
        let columns = vec![
            optional_strings(&[Some("the boat"), None, Some("near")]),
            optional_strings(&[Some("old"), Some("bridge"), None]),
            lists(&[some(&["near", "near the bridge"]), some(&["the"]), some(&["lie", "lie", "old"])]),
            optional_numbers(&[Some(1), Some(0), None]),
        ];
        let (batch, outcome) = run(&request, columns).unwrap();
        let ids = nested(&batch, "choice_input_ids", 0);
        assert_eq!(ids, [vec![2, 5, 7, 6, 3, 10, 3], vec![2, 5, 7, 3, 10, 5, 11, 3]]);
        let types = nested(&batch, "choice_type_ids", 0);
        assert_eq!(types, [vec![0, 0, 0, 0, 0, 1, 1], vec![0, 0, 0, 0, 1, 1, 1, 1]]);
        assert_eq!(nested(&batch, "choice_input_ids", 1), [[2, 11, 3, 5, 3]]);
        assert_eq!(nested(&batch, "choice_input_ids", 2), [[2, 10, 3, 9, 3], [2, 10, 3, 9, 3], [2, 10, 3, 6, 3]]);
        assert_eq!(label_column(&batch), [1, 0, -1]);
        assert_eq!((outcome.instances, outcome.tokens, outcome.truncated_examples), (3, 35, 1));
    }

    #[test]
    fn a_label_beyond_the_choices_and_an_empty_list_are_named() {
        let request = request(Format::MultipleChoice, &[], unigram());
        let columns = |choices, label| {
            vec![
                optional_strings(&[None]),
                optional_strings(&[Some("q")]),
                lists(&[choices]),
                optional_numbers(&[label]),
            ]
        };
        let text = message(run(&request, columns(some(&["a", "b"]), Some(2))));
        assert!(text.contains("row 0") && text.contains("choice 2 does not exist, there are 2"), "{text}");
        let text = message(run(&request, columns(some(&[]), None)));
        assert!(text.contains("`choices`: it is empty"), "{text}");
    }
}
