//! SQuAD's nested JSON: one row a question, `id, title, context, question, answers_text, answers_start, is_impossible`.
//!
//! The file is parsed on a thread of its own, article by article, and rows come through a short channel: memory holds
//! an article and two batches, however long the file is.

use std::fmt;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use arrow::array::{ArrayBuilder, ArrayRef, BooleanBuilder, Int64Builder, ListBuilder, RecordBatch, StringBuilder};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::ahead::Ahead;
use super::{Batches, NormalizeError, RawPart, batch};
use crate::error::FileError;
use crate::shard::BATCH_ROWS;

#[derive(Deserialize)]
struct Article {
    #[serde(default)]
    title: String,
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
pub(super) struct Paragraph {
    pub context: String,
    pub qas: Vec<Question>,
    /// The sentences of the context, in code points: from, to. Only XQuAD-R has them.
    #[serde(default)]
    pub sentence_breaks: Option<Vec<(usize, usize)>>,
}

#[derive(Deserialize)]
pub(super) struct Question {
    pub id: String,
    pub question: String,
    /// Absent where a test set is published without its gold.
    #[serde(default)]
    pub answers: Vec<Answer>,
    #[serde(default)]
    is_impossible: bool,
}

#[derive(Deserialize)]
pub(super) struct Answer {
    text: String,
    pub answer_start: i64,
}

/// What becomes of a file's paragraphs and questions.
pub(super) trait Rows: Default {
    /// Takes in a paragraph of the article `title`, before its questions. An error says what is wrong with it.
    fn paragraph(&mut self, title: &str, paragraph: &Paragraph) -> Result<(), String>;

    /// Takes in a question of the paragraph that [`Self::paragraph`] took in last.
    fn question(&mut self, paragraph: &Paragraph, question: &Question) -> Result<(), String>;

    /// The number of rows taken in.
    fn len(&self) -> usize;

    /// The rows taken in, and none left.
    fn take(&mut self) -> Option<RecordBatch>;
}

/// Reads `part`, one row a question.
pub(super) fn open(part: &RawPart) -> Result<Batches, NormalizeError> {
    stream::<Questions>(part)
}

/// Reads `part` into the rows of `R`.
pub(super) fn stream<R: Rows>(part: &RawPart) -> Result<Batches, NormalizeError> {
    let input = part.open()?;
    let path = part.path.clone();
    Ok(Box::new(Ahead::new(&part.path, move |sender| parse::<R>(&path, input, sender))?))
}

/// Parses the file and sends its rows; stops where the receiver is gone.
fn parse<R: Rows>(path: &Path, input: impl Read, sender: &SyncSender<Result<RecordBatch, NormalizeError>>) {
    let mut input = serde_json::Deserializer::from_reader(BufReader::with_capacity(1 << 16, input));
    let mut feed = Feed { rows: R::default(), sender };
    let parsed = Root(&mut feed).deserialize(&mut input).and_then(|()| input.end());
    let last = match parsed {
        Ok(()) => feed.rows.take().map(Ok),
        Err(e) if e.is_io() => Some(Err(FileError::new("read", path, e.into()).into())),
        Err(e) => {
            let line = u64::try_from(e.line()).unwrap_or(0);
            Some(Err(NormalizeError::line(path, line, format!("not SQuAD JSON: {e}"))))
        }
    };
    if let Some(last) = last {
        // An error here means that nobody wants the rows any more.
        let _ = sender.send(last);
    }
}

/// Rows on their way to the receiver.
struct Feed<'a, R> {
    rows: R,
    sender: &'a SyncSender<Result<RecordBatch, NormalizeError>>,
}

impl<R: Rows> Feed<'_, R> {
    /// Takes the article in, and sends each full batch.
    fn push(&mut self, article: &Article) -> Result<(), String> {
        for paragraph in &article.paragraphs {
            self.rows.paragraph(&article.title, paragraph)?;
            for question in &paragraph.qas {
                self.rows.question(paragraph, question)?;
                if self.rows.len() >= BATCH_ROWS
                    && let Some(batch) = self.rows.take()
                {
                    self.sender.send(Ok(batch)).map_err(|_| "nobody reads on")?;
                }
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Questions {
    title: String,
    texts: [StringBuilder; 4],
    answers: ListBuilder<StringBuilder>,
    starts: ListBuilder<Int64Builder>,
    impossible: BooleanBuilder,
}

impl Rows for Questions {
    fn paragraph(&mut self, title: &str, _: &Paragraph) -> Result<(), String> {
        title.clone_into(&mut self.title);
        Ok(())
    }

    fn question(&mut self, paragraph: &Paragraph, question: &Question) -> Result<(), String> {
        let values = [&question.id, &self.title, &paragraph.context, &question.question];
        for (column, value) in self.texts.iter_mut().zip(values) {
            column.append_value(value);
        }
        for answer in &question.answers {
            self.answers.values().append_value(&answer.text);
            self.starts.values().append_value(answer.answer_start);
        }
        self.answers.append(true);
        self.starts.append(true);
        self.impossible.append_value(question.is_impossible);
        Ok(())
    }

    fn len(&self) -> usize {
        self.impossible.len()
    }

    fn take(&mut self) -> Option<RecordBatch> {
        let names = ["id", "title", "context", "question"];
        let texts = self.texts.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        let mut columns: Vec<_> = names.iter().map(|name| (*name).to_owned()).zip(texts).collect();
        columns.push(("answers_text".to_owned(), Arc::new(self.answers.finish())));
        columns.push(("answers_start".to_owned(), Arc::new(self.starts.finish())));
        columns.push(("is_impossible".to_owned(), Arc::new(self.impossible.finish())));
        batch(columns)
    }
}

/// The object at the top, whose `data` is a list of articles.
struct Root<'a, 'b, R>(&'a mut Feed<'b, R>);

impl<'de, R: Rows> DeserializeSeed<'de> for Root<'_, '_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_map(self)
    }
}

impl<'de, R: Rows> Visitor<'de> for Root<'_, '_, R> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object with the list `data`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut found = false;
        while let Some(key) = map.next_key::<String>()? {
            if key == "data" && !found {
                map.next_value_seed(Articles(&mut *self.0))?;
                found = true;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        if found { Ok(()) } else { Err(A::Error::missing_field("data")) }
    }
}

struct Articles<'a, 'b, R>(&'a mut Feed<'b, R>);

impl<'de, R: Rows> DeserializeSeed<'de> for Articles<'_, '_, R> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_seq(self)
    }
}

impl<'de, R: Rows> Visitor<'de> for Articles<'_, '_, R> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a list of articles")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut articles: A) -> Result<(), A::Error> {
        while let Some(article) = articles.next_element::<Article>()? {
            self.0.push(&article).map_err(A::Error::custom)?;
        }
        Ok(())
    }
}
