//! XQuAD-R, the data of LAReQA: SQuAD's nested JSON whose paragraphs say where their sentences are. Every sentence is a row of
//! the index, named by the numbers of its paragraph and itself, and every question a query, whose gold is the sentence in which
//! its answer begins: `id`, `side`, `text`, `gold`.

use std::sync::Arc;

use arrow::array::{ArrayBuilder, ArrayRef, RecordBatch, StringBuilder};

use super::squad::{Paragraph, Question, Rows, stream};
use super::{Batches, NormalizeError, RawPart, batch};

/// Reads `part`.
pub(super) fn open(part: &RawPart) -> Result<Batches, NormalizeError> {
    stream::<Sentences>(part)
}

#[derive(Default)]
struct Sentences {
    /// Paragraphs seen.
    paragraphs: usize,
    /// Where each sentence of the last paragraph is, in code points.
    spans: Vec<(usize, usize)>,
    /// `id`, `side`, `text`, `gold`.
    columns: [StringBuilder; 4],
}

impl Sentences {
    fn push(&mut self, values: [&str; 3], gold: Option<&str>) {
        for (column, value) in self.columns.iter_mut().zip(values) {
            column.append_value(value);
        }
        self.columns[3].append_option(gold);
    }

    fn name(&self, sentence: usize) -> String {
        format!("paragraph-{}-sentence-{}", self.paragraphs, sentence + 1)
    }
}

impl Rows for Sentences {
    fn paragraph(&mut self, title: &str, paragraph: &Paragraph) -> Result<(), String> {
        self.paragraphs += 1;
        let number = self.paragraphs;
        let breaks = paragraph.sentence_breaks.as_ref();
        let breaks = breaks.ok_or_else(|| format!("paragraph {number} (in \"{title}\") has no `sentence_breaks`"))?;
        let context = &paragraph.context;
        let bytes: Vec<usize> = context.char_indices().map(|(byte, _)| byte).chain([context.len()]).collect();
        for (index, &(from, to)) in breaks.iter().enumerate() {
            let sentence = bytes.get(from).zip(bytes.get(to)).and_then(|(from, to)| context.get(*from..*to));
            let sentence = sentence.ok_or_else(|| {
                let last = bytes.len() - 1;
                format!("paragraph {number}: its sentence from {from} to {to} is not within its {last} characters")
            })?;
            let name = self.name(index);
            self.push([&name, "index", sentence], None);
        }
        self.spans.clone_from(breaks);
        Ok(())
    }

    fn question(&mut self, _: &Paragraph, question: &Question) -> Result<(), String> {
        let start = question.answers.first().and_then(|answer| usize::try_from(answer.answer_start).ok());
        let holds = |&(from, to): &(usize, usize)| start.is_some_and(|start| (from..to).contains(&start));
        let Some(sentence) = self.spans.iter().position(holds) else {
            return Err(format!("no sentence of its paragraph holds the answer of question {}", question.id));
        };
        let gold = self.name(sentence);
        self.push([&question.id, "query", &question.question], Some(&gold));
        Ok(())
    }

    fn len(&self) -> usize {
        self.columns[0].len()
    }

    fn take(&mut self) -> Option<RecordBatch> {
        let columns = self.columns.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        batch(["id", "side", "text", "gold"].into_iter().map(str::to_owned).zip(columns).collect())
    }
}
