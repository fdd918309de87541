use std::sync::Arc;

use arrow::array::{Array, AsArray, Int8Array, ListBuilder, StringBuilder, StructArray, UInt32Builder};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int64Type, Schema};

use super::*;
use crate::source::{RawFile, Stored};
use crate::task::Split;

mod corpora;
mod fuzz;

/// The whole of `bytes` as `reader` reads it; an error's words, with the file called `FILE`.
fn read_with(
    reader: Reader,
    columns: Option<&[&str]>,
    bytes: &[u8],
    language: Option<&str>,
) -> Result<RecordBatch, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("FILE");
    std::fs::write(&path, bytes).unwrap();
    let columns = columns.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    let part = RawPart { columns, ..RawPart::plain(path.clone(), reader) };
    let batches = open_part(&part, language, None).and_then(|batches| batches.collect::<Result<Vec<_>, _>>());
    let batches = batches.map_err(|e| e.to_string().replace(&path.display().to_string(), "FILE"))?;
    let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    Ok(concat_batches(&schema, &batches).unwrap())
}

fn read(reader: Reader, columns: Option<&[&str]>, bytes: impl AsRef<[u8]>) -> Result<RecordBatch, String> {
    read_with(reader, columns, bytes.as_ref(), None)
}

fn fault(reader: Reader, columns: Option<&[&str]>, bytes: impl AsRef<[u8]>) -> String {
    read(reader, columns, bytes).unwrap_err()
}

/// A batch as lines of JSON, to compare with.
fn json(batch: &RecordBatch) -> String {
    let mut out = Vec::new();
    let mut writer = arrow::json::LineDelimitedWriter::new(&mut out);
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn lines_keep_blank_ones_and_drop_line_ends() {
    let batch = read(Reader::Lines, None, "\u{feff}één\r\n\n twee\u{2028}drie ").unwrap();
    assert_eq!(json(&batch), "{\"text\":\"één\"}\n{\"text\":\"\"}\n{\"text\":\" twee\u{2028}drie \"}\n");
    assert_eq!(read(Reader::Lines, Some(&["gold"]), "a\n").unwrap().schema().field(0).name(), "gold");
    assert_eq!(read(Reader::Lines, None, "").unwrap().num_rows(), 0);
}

#[test]
fn lines_faults() {
    let fault = |bytes: &[u8]| fault(Reader::Lines, None, bytes);
    let expected =
        |line, byte| format!("FILE:{line}: byte {byte} of the line is not valid UTF-8; convert the file to UTF-8");
    assert_eq!(fault(b"fine\nb\xffad\n"), expected(2, 2));
    assert_eq!(fault(b"\xff"), expected(1, 1));
    assert_eq!(
        fault(
            "latin: \u{e9}"
                .replace('\u{e9}', "")
                .as_bytes()
                .iter()
                .chain(b"\xe9")
                .copied()
                .collect::<Vec<_>>()
                .as_slice()
        ),
        expected(1, 8)
    );
    assert_eq!(fault(b"cut \xe4\xb8"), expected(1, 5));
    assert_eq!(fault(b"surrogate \xed\xa0\x80\n"), expected(1, 11));
}

#[test]
fn tsv_does_not_quote() {
    let batch = read(Reader::Tsv, None, "a\t\tc\r\n\"x\t'y\tz\"\r\n").unwrap();
    assert_eq!(json(&batch), "{\"a\":\"\\\"x\",\"column_1\":\"'y\",\"c\":\"z\\\"\"}\n");
    let batch = read(Reader::Tsv, Some(&["p", "q"]), "1\t2\n3\t\n").unwrap();
    assert_eq!(json(&batch), "{\"p\":\"1\",\"q\":\"2\"}\n{\"p\":\"3\",\"q\":\"\"}\n");
}

#[test]
fn tsv_faults() {
    let fault = |columns, text: &str| fault(Reader::Tsv, columns, text);
    assert_eq!(fault(None, "a\tb\n1\t2\n1\t2\t3\n"), "FILE:3: 3 columns, should be 2");
    assert_eq!(fault(None, "a\tb\n1\n"), "FILE:2: 1 columns, should be 2");
    assert_eq!(fault(None, "a\tb\n1\t2\n\n"), "FILE:3: 1 columns, should be 2");
    assert_eq!(fault(None, "a\ta\n"), "FILE:1: the header names column `a` twice; give `columns` in the task file");
    assert_eq!(fault(None, ""), "FILE: the file is empty, but should begin with a header");
    assert_eq!(fault(Some(&["a"]), "1\t2\n"), "FILE:1: 2 columns, should be 1");
    let bytes = super::tests::fault(Reader::Tsv, None, b"a\tb\n1\t\xff\n");
    assert_eq!(bytes, "FILE:2: byte 3 of the line is not valid UTF-8; convert the file to UTF-8");
}

#[test]
fn csv_quotes() {
    let batch = read(Reader::Csv, None, "a,b\n\"x, \"\"y\"\"\",\"two\nlines\"\n").unwrap();
    assert_eq!(json(&batch), "{\"a\":\"x, \\\"y\\\"\",\"b\":\"two\\nlines\"}\n");
    let batch = read(Reader::Csv, Some(&["p", "q"]), "1,2\n").unwrap();
    assert_eq!(json(&batch), "{\"p\":\"1\",\"q\":\"2\"}\n");
}

#[test]
fn csv_faults() {
    let fault = |columns, bytes: &[u8]| fault(Reader::Csv, columns, bytes);
    assert_eq!(fault(None, b"a,b\n\"two\nlines\",1\n1,2,3\n"), "FILE:4: 3 columns, should be 2");
    assert_eq!(fault(None, b"a,b\n1\n"), "FILE:2: 1 columns, should be 2");
    assert_eq!(fault(None, b"a,a\n"), "FILE:1: the header names column `a` twice; give `columns` in the task file");
    assert_eq!(fault(None, b""), "FILE: the file is empty, but should begin with a header");
    assert_eq!(fault(None, b"a,b\n1,\xff\n"), "FILE:2: field 2 is not valid UTF-8; convert the file to UTF-8");
    assert_eq!(fault(Some(&["a"]), b"1,2\n"), "FILE:1: 2 columns, should be 1");
}

#[test]
fn jsonl_flattens_and_unites_the_types_of_all_lines() {
    let text = r#"{"id": 1, "q": {"stem": "s", "choices": [{"label": "A", "text": "x"}, {"label": "B", "text": "y"}]}}

{"id": "two", "late": 3, "q": {"stem": null, "choices": []}}
{"id": null, "late": 0.5, "q": null}
"#;
    let batch = read(Reader::Jsonl, None, text).unwrap();
    assert_eq!(
        json(&batch),
        "{\"id\":\"1\",\"q_choices_label\":[\"A\",\"B\"],\"q_choices_text\":[\"x\",\"y\"],\"q_stem\":\"s\"}\n\
         {\"id\":\"two\",\"q_choices_label\":[],\"q_choices_text\":[],\"late\":3.0}\n{\"late\":0.5}\n"
    );
    assert_eq!(read(Reader::Jsonl, None, "").unwrap().num_rows(), 0);
}

#[test]
fn jsonl_faults() {
    let fault = |bytes: &[u8]| fault(Reader::Jsonl, None, bytes);
    assert_eq!(fault(b"{\"a\": 1}\n{\"a\": \n"), "FILE:2: not JSON: EOF while parsing a value at line 1 column 6");
    assert_eq!(fault(b"{\"a\": 1}\n\n[1]\n"), "FILE:3: a JSON value, but not an object");
    assert_eq!(fault(b"{\"a\": 1} {\"a\": 2}\n"), "FILE:1: not JSON: trailing characters at line 1 column 10");
    assert!(fault(b"{\"a\": 1}\n{\"a\": {\"b\": 2}}\n").starts_with("FILE:2: does not fit the lines before it: "));
    assert_eq!(
        fault(b"{\"a\": \"\xff\"}\n"),
        "FILE:1: byte 8 of the line is not valid UTF-8; convert the file to UTF-8"
    );
    assert!(fault(b"{\"a_b\": 1, \"a\": {\"b\": 2}}\n").contains("two columns flatten to the name `a_b`"));
    let scalar_then_list = fault(b"{\"a\": 1}\n{\"a\": [1]}\n");
    assert!(scalar_then_list.starts_with("FILE:1: "), "{scalar_then_list}");
}

const SQUAD: &str = r#"{"version": "1.1", "data": [
  {"paragraphs": [{"qas": [{"id": "q1", "question": "Who?", "answers": [{"text": "é", "answer_start": 2}]}], "context": "a é"}], "title": "T"},
  {"title": "U", "paragraphs": [{"context": "b", "qas": [{"id": "q2", "question": "What?", "is_impossible": true, "plausible_answers": []}]}]}
]}"#;

#[test]
fn squad_takes_fields_in_any_order() {
    let batch = read(Reader::SquadJson, None, SQUAD).unwrap();
    assert_eq!(
        json(&batch),
        "{\"id\":\"q1\",\"title\":\"T\",\"context\":\"a é\",\"question\":\"Who?\",\"answers_text\":[\"é\"],\"answers_start\":[2],\"is_impossible\":false}\n\
         {\"id\":\"q2\",\"title\":\"U\",\"context\":\"b\",\"question\":\"What?\",\"answers_text\":[],\"answers_start\":[],\"is_impossible\":true}\n"
    );
}

#[test]
fn squad_faults() {
    let fault = |bytes: &[u8]| fault(Reader::SquadJson, None, bytes);
    let cut = fault(&SQUAD.as_bytes()[..SQUAD.len() / 2]);
    assert!(cut.starts_with("FILE:2: not SQuAD JSON: EOF while parsing"), "{cut}");
    assert_eq!(fault(b"{\"version\": 1}"), "FILE:1: not SQuAD JSON: missing field `data` at line 1 column 14");
    assert!(
        fault(SQUAD.replace("\"context\": \"b\", ", "").as_bytes())
            .starts_with("FILE:3: not SQuAD JSON: missing field `context`")
    );
    assert!(
        fault(SQUAD.replace("\"answer_start\": 2", "\"answer_start\": \"2\"").as_bytes())
            .contains("FILE:2: not SQuAD JSON: invalid type: string \"2\", expected i64")
    );
    assert!(fault(format!("{SQUAD} x").as_bytes()).starts_with("FILE:4: not SQuAD JSON: trailing characters"));
    assert!(
        fault(&SQUAD.bytes().map(|b| if b == b'W' { 0xff } else { b }).collect::<Vec<_>>())
            .starts_with("FILE:2: not SQuAD JSON: ")
    );
    assert!(fault(b"[1, 2]").contains("expected an object with the list `data`"));
}

#[test]
fn token_tags_become_sentences() {
    let batch = read(Reader::TokenTagTsv, None, "\n\nA\tDET\ncat\tNOUN\n\n\nGo\tVERB").unwrap();
    assert_eq!(
        json(&batch),
        "{\"words\":[\"A\",\"cat\"],\"tags\":[\"DET\",\"NOUN\"]}\n{\"words\":[\"Go\"],\"tags\":[\"VERB\"]}\n"
    );
}

#[test]
fn token_tag_faults() {
    let fault = |bytes: &[u8]| fault(Reader::TokenTagTsv, None, bytes);
    let shape = |line| format!("FILE:{line}: should be a word, a tab and a tag, or blank between sentences");
    assert_eq!(fault(b"A\tDET\ncat NOUN\n"), shape(2));
    assert_eq!(fault(b"A\tDET\tx\n"), shape(1));
    assert_eq!(fault(b"\tDET\n"), shape(1));
    assert_eq!(fault(b"A\t\n"), shape(1));
    assert_eq!(fault(b"A\tDET\n \n"), shape(2));
    assert_eq!(fault(b"A\tDET\n\xff\tX\n"), "FILE:2: byte 1 of the line is not valid UTF-8; convert the file to UTF-8");
}

fn conllu(rows: &[(&str, &str, &str, &str)]) -> String {
    let line =
        |(id, form, tag, head): &(&str, &str, &str, &str)| format!("{id}\t{form}\t_\t{tag}\t_\t_\t{head}\t_\t_\t_\n");
    rows.iter().map(line).collect::<String>() + "\n"
}

#[test]
fn conllu_fuses_multi_word_tokens() {
    // `du`: its article hangs from the noun, its preposition too, so the preference decides; `vámonos`: the verb is nearer
    // to the root than the pronoun.
    let du = [("1-2", "du", "_", "_"), ("1", "de", "ADP", "3"), ("2", "le", "DET", "3"), ("3", "roi", "NOUN", "0")];
    let vamonos =
        [("1-2", "vámonos", "_", "_"), ("1", "nos", "PRON", "2"), ("2", "vamos", "AUX", "0"), ("2.1", "x", "X", "_")];
    let text = format!("# sent_id = s-1\n# text = du roi\n{}# a comment\n{}", conllu(&du), conllu(&vamonos));
    let batch = read_with(Reader::Conllu, None, text.as_bytes(), Some("fr")).unwrap();
    assert_eq!(
        json(&batch),
        "{\"sent_id\":\"s-1\",\"words\":[\"du\",\"roi\"],\"tags\":[\"ADP\",\"NOUN\"]}\n{\"words\":[\"vámonos\"],\"tags\":[\"AUX\"]}\n"
    );
}

#[test]
fn conllu_cleans_words_and_drops_sentences_without_text() {
    let hidden = conllu(&[("1", "_", "NOUN", "0"), ("2", "_", "VERB", "1"), ("3", "the", "DET", "1")]);
    let shown =
        conllu(&[("1", "10 000", "NUM", "2"), ("2", "می\u{200c}شود", "VERB", "0"), ("3", "\u{200c}", "X", "2")]);
    let batch = read(Reader::Conllu, None, format!("{hidden}{shown}")).unwrap();
    assert_eq!(json(&batch), "{\"words\":[\"10000\",\"میشود\",\"\u{200c}\"],\"tags\":[\"NUM\",\"VERB\",\"X\"]}\n");
}

#[test]
fn conllu_faults() {
    let fault = |text: &str| fault(Reader::Conllu, None, text);
    let ok = ("1", "a", "X", "0");
    assert_eq!(fault("1\ta\t_\tX\n"), "FILE:1: 4 columns, should be 10");
    assert_eq!(fault(&conllu(&[ok, ("3", "b", "X", "1")])), "FILE:2: token id `3` should be 2");
    assert_eq!(fault(&conllu(&[("x", "b", "X", "1")])), "FILE:1: token id `x` should be 1");
    assert_eq!(fault(&conllu(&[ok, ("2", "b", "X", "one")])), "FILE:2: head `one` should be a number");
    assert_eq!(fault(&conllu(&[("2-1", "ab", "_", "_")])), "FILE:1: token id `2-1` should begin at 1");
    assert_eq!(
        fault(&conllu(&[("1-3", "ab", "_", "_"), ok])),
        "FILE:3: the multi-word token 1-3 goes past the sentence's end"
    );
    assert_eq!(fault(&conllu(&[ok, ("2-3", "ab", "_", "_")])), "FILE:3: the multi-word token 2-3 has no tokens");
    assert_eq!(
        fault(&conllu(&[("1-2", "a", "_", "_"), ("1-2", "a", "_", "_")])),
        "FILE:2: token id `1-2` should begin at 1"
    );
}

fn parquet_bytes(batch: &RecordBatch) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(&mut out, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    out
}

fn nested() -> RecordBatch {
    let mut texts = ListBuilder::new(StringBuilder::new());
    texts.append_value([Some("x"), Some("y")]);
    texts.append_value([] as [Option<&str>; 0]);
    let mut starts = ListBuilder::new(UInt32Builder::new());
    starts.append_value([Some(3), Some(5)]);
    starts.append_value([] as [Option<u32>; 0]);
    let answers = StructArray::from(vec![
        (
            Arc::new(Field::new("text", DataType::new_list(DataType::Utf8, true), true)),
            Arc::new(texts.finish()) as ArrayRef,
        ),
        (
            Arc::new(Field::new("answer_start", DataType::new_list(DataType::UInt32, true), true)),
            Arc::new(starts.finish()),
        ),
    ]);
    let label: ArrayRef = Arc::new(Int8Array::from(vec![Some(1), None]));
    RecordBatch::try_from_iter([("answers", Arc::new(answers) as ArrayRef), ("label", label)]).unwrap()
}

#[test]
fn parquet_flattens() {
    let batch = read(Reader::Parquet, None, parquet_bytes(&nested())).unwrap();
    assert_eq!(
        json(&batch),
        "{\"answers_text\":[\"x\",\"y\"],\"answers_answer_start\":[3,5],\"label\":1}\n{\"answers_text\":[],\"answers_answer_start\":[]}\n"
    );
    assert_eq!(batch.column_by_name("label").unwrap().as_primitive::<Int64Type>().value(0), 1);
}

#[test]
fn parquet_reads_only_what_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.parquet");
    std::fs::write(&path, parquet_bytes(&nested())).unwrap();
    let part = RawPart::plain(path, Reader::Parquet);
    let columns = |wanted: &[&str]| {
        let wanted = wanted.iter().map(|name| (*name).to_owned()).collect();
        let batch = parquet::open(&part, Some(&wanted)).unwrap().next().unwrap().unwrap();
        batch.schema().fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(columns(&["label"]), "label");
    assert_eq!(columns(&["answers_text"]), "answers_text answers_answer_start");
    assert_eq!(columns(&[]), "answers_text answers_answer_start");
}

#[test]
fn parquet_faults() {
    let bytes = parquet_bytes(&nested());
    let mut flipped = bytes.clone();
    flipped[bytes.len() - 6] ^= 0xff;
    for broken in [&b""[..], b"PAR1", b"not parquet at all", &bytes[..bytes.len() / 2], &bytes[4..], &flipped] {
        let message = fault(Reader::Parquet, None, broken);
        assert!(message.starts_with("FILE: not a readable parquet file ("), "{message}");
        assert!(message.ends_with("it may be truncated: fetch or copy it again"), "{message}");
    }
    let part = RawPart { stored: Stored::Gzip, ..RawPart::plain("x.parquet.gz".into(), Reader::Parquet) };
    let message = parquet::open(&part, None).err().unwrap().to_string();
    assert!(message.starts_with("x.parquet.gz: ") && message.ends_with("unpack it first"), "{message}");
}

#[test]
fn flattening_keeps_the_nulls_of_parents() {
    let child: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1, 2, 3]));
    let nulls = arrow::buffer::NullBuffer::from(vec![true, false, true]);
    let fields = vec![Field::new("b", DataType::Int64, false)].into();
    let parent: ArrayRef = Arc::new(StructArray::new(fields, vec![child], Some(nulls)));
    let flat = flatten::flatten(&RecordBatch::try_from_iter([("a", parent)]).unwrap()).unwrap();
    assert_eq!(flat[0].0, "a_b");
    assert_eq!(flat[0].1.null_count(), 1);
    assert!(flat[0].1.is_null(1));
}

fn beside(files: &[(&str, &str)]) -> Result<Vec<RecordBatch>, String> {
    let dir = tempfile::tempdir().unwrap();
    let parts = files.iter().map(|(name, text)| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let columns = Some(vec![name.trim_end_matches('2').to_owned()]);
        RawPart { columns, ..RawPart::plain(path, Reader::Lines) }
    });
    let file = RawFile { split: Split::Test, language: None, parts: parts.collect(), sql: None };
    let rows = open(&file, None).and_then(|batches| batches.collect::<Result<Vec<_>, _>>());
    rows.map_err(|e| e.to_string().replace(&format!("{}/", dir.path().display()), ""))
}

#[test]
fn files_beside_each_other_pair_up_or_are_named() {
    let many: String = (0..3000).map(|i| format!("{i}\n")).collect();
    let batches = beside(&[("a", &many), ("b", &many)]).unwrap();
    let rows = concat_batches(&batches[0].schema(), &batches).unwrap();
    assert_eq!((rows.num_rows(), rows.num_columns()), (3000, 2));
    assert_eq!(rows.column(0).as_string::<i32>(), rows.column(1).as_string::<i32>());
    let message = beside(&[("a", &many), ("b", &many.replace("2999\n", ""))]).unwrap_err();
    assert_eq!(
        message,
        "b ends after 2999 rows, but a beside it goes on: files side by side must have the same number of rows"
    );
    let message = beside(&[("a", ""), ("b", "x\n")]).unwrap_err();
    assert!(message.starts_with("a ends after 0 rows, but b"), "{message}");
    let message = beside(&[("a", "x\n"), ("a2", "y\n")]).unwrap_err();
    assert_eq!(message, "a2: column `a` is in a file beside it too; give `columns` in the task file");
}

#[test]
fn readers_stream_in_batches() {
    let text: String = (0..2500).map(|i| format!("w{i}\tX\n\n")).collect();
    let batch = read(Reader::TokenTagTsv, None, &text).unwrap();
    assert_eq!(batch.num_rows(), 2500);
    let questions: Vec<String> =
        (0..2500).map(|i| format!(r#"{{"id": "{i}", "question": "?", "answers": []}}"#)).collect();
    let squad = format!(r#"{{"data": [{{"paragraphs": [{{"context": "c", "qas": [{}]}}]}}]}}"#, questions.join(","));
    let batch = read(Reader::SquadJson, None, &squad).unwrap();
    assert_eq!(batch.column_by_name("id").unwrap().as_string::<i32>().value(2499), "2499");
    let lines: String = (0..2500).map(|i| format!("{{\"a\": {i}}}\n")).collect();
    assert_eq!(read(Reader::Jsonl, None, &lines).unwrap().num_rows(), 2500);
}

#[test]
fn a_reader_that_is_dropped_early_ends_its_thread() {
    let questions: Vec<String> = (0..20_000).map(|i| format!(r#"{{"id": "{i}", "question": "?"}}"#)).collect();
    let article = |qas: &str| format!(r#"{{"paragraphs": [{{"context": "c", "qas": [{qas}]}}]}}"#);
    let text = format!(r#"{{"data": [{}]}}"#, article(&questions.join(",")));
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.json");
    std::fs::write(&path, text).unwrap();
    let mut batches = squad::open(&RawPart::plain(path, Reader::SquadJson)).unwrap();
    assert_eq!(batches.next().unwrap().unwrap().num_rows(), BATCH_ROWS);
    drop(batches);
}

#[test]
fn a_missing_file_is_named() {
    for reader in [
        Reader::Parquet,
        Reader::Jsonl,
        Reader::Csv,
        Reader::Tsv,
        Reader::SquadJson,
        Reader::TokenTagTsv,
        Reader::Conllu,
        Reader::Lines,
        Reader::RaggedTsv,
        Reader::CcgAuto,
        Reader::Wikiann,
        Reader::XquadR,
        Reader::MewsliX,
    ] {
        let path = PathBuf::from("/nowhere/FILE");
        let part = RawPart::plain(path, reader);
        let error = open_part(&part, None, None).err().unwrap();
        assert!(error.to_string().contains("/nowhere/FILE"), "{error}");
        assert_eq!(error.exit(), crate::error::ExitCode::Missing);
    }
}
