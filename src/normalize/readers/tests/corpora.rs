//! The readers of single corpora: what they make of a file, and what they say of a broken one.

use super::*;

const DERIVATION: &str = "(<T S[dcl] 0 2> (<T NP 0 2> (<L NP[nb]/N DT DT The NP[nb]_1/N_1>) (<L N NN NN cat N>) ) \
                          (<L S[dcl]\\NP VBZ VBZ sleeps (S[dcl]\\NP_2)_3>) ) ";

fn auto(derivation: &str) -> String {
    format!("ID=wsj_0001.1 PARSER=GOLD NUMPARSE=1\n{derivation}\n")
}

#[test]
fn ccg_gives_the_words_and_categories_of_leaves() {
    let text = format!("{}ID=wsj_0001.2 PARSER=GOLD NUMPARSE=1\n(<L . . . <3 .>)\n", auto(DERIVATION));
    assert_eq!(
        json(&read(Reader::CcgAuto, None, text).unwrap()),
        "{\"id\":\"wsj_0001.1\",\"words\":[\"The\",\"cat\",\"sleeps\"],\"tags\":[\"NP[nb]/N\",\"N\",\"S[dcl]\\\\NP\"]}\n\
         {\"id\":\"wsj_0001.2\",\"words\":[\"<3\"],\"tags\":[\".\"]}\n"
    );
    assert_eq!(read(Reader::CcgAuto, None, "").unwrap().num_rows(), 0);
}

#[test]
fn ccg_faults() {
    let fault = |text: &str| fault(Reader::CcgAuto, None, text);
    let broken = |from: &str, to: &str| fault(&auto(&DERIVATION.replace(from, to)));
    assert_eq!(fault(DERIVATION), "FILE:1: a derivation without a line `ID=…` before it; is this an AUTO file?");
    assert_eq!(fault("ID=a\nID=b\n"), "FILE:2: id a has no derivation before this line");
    assert_eq!(fault("ID=a\n"), "FILE:1: the file ends after the line of id a; its derivation is missing");
    assert_eq!(
        broken("S[dcl] 0 2", "S[dcl] 0 3"),
        "FILE:2: the node closed at character 136 says 3 children, but has 2; copy the file again"
    );
    assert_eq!(
        broken("(<L N NN NN cat N>)", "(<L N NN cat N>)"),
        "FILE:2: the leaf at character 67 is not `(<L category tag tag word category>)`"
    );
    assert_eq!(
        broken("(<T NP 0 2>", "(<T NP 0>"),
        "FILE:2: the node at character 17 is not `(<T category head children> …)`"
    );
    assert_eq!(
        fault(&auto(&DERIVATION[..60])),
        "FILE:2: the leaf at character 29 is not `(<L category tag tag word category>)`"
    );
    let open = DERIVATION.rsplit_once(')').unwrap().0;
    assert_eq!(fault(&auto(open)), "FILE:2: the line ends within 1 open brackets; it may be truncated");
    assert_eq!(broken("(<T NP", "x (<T NP"), "FILE:2: `x` at character 17 is neither a node nor a bracket");
    assert_eq!(
        fault(&auto(&format!("{DERIVATION}(<L N NN NN x N>)"))),
        "FILE:2: `(<L` at character 138 stands behind the end of the derivation"
    );
    assert_eq!(fault(&auto(") x")), "FILE:2: `)` at character 1 is neither a node nor a bracket");
}

#[test]
fn wikiann_cuts_prefixes_and_ends_sentences_as_xtreme_does() {
    let text = "de:Anton\tB-PER\nde::\tO\nbare\tO\n \nde:10:30 Uhr\tO\nde:x\tO\ty\nde:Bonn \tB-LOC";
    assert_eq!(
        json(&read(Reader::Wikiann, None, text).unwrap()),
        "{\"words\":[\"Anton\",\":\"],\"tags\":[\"B-PER\",\"O\"]}\n{\"words\":[\"10:30 Uhr\"],\"tags\":[\"O\"]}\n\
         {\"words\":[\"Bonn\"],\"tags\":[\"B-LOC\"]}\n"
    );
}

#[test]
fn wikiann_faults() {
    let message = fault(Reader::Wikiann, None, "Anton\tB-PER\nist\tO\n\n");
    assert_eq!(message, "FILE: no word has a language prefix as in `en:Anton`; read such files with token-tag-tsv");
    let message = fault(Reader::Wikiann, None, b"de:a\tO\n\xff\n");
    assert_eq!(message, "FILE:2: byte 1 of the line is not valid UTF-8; convert the file to UTF-8");
}

/// Three files as BUCC has them, or the error with the folder cut off.
fn bucc(foreign: &str, english: &str, gold: &str) -> Result<String, String> {
    let dir = tempfile::tempdir().unwrap();
    let parts = [("de", foreign), ("en", english), ("gold", gold)].map(|(name, text)| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        RawPart::plain(path, Reader::Bucc)
    });
    let file = RawFile { split: Split::Test, language: Some("de".to_owned()), parts: parts.into(), sql: None };
    let batches = open(&file, None).and_then(|batches| batches.collect::<Result<Vec<_>, _>>());
    let folder = format!("{}/", dir.path().display());
    let batches = batches.map_err(|e| e.to_string().replace(&folder, ""))?;
    Ok(batches.iter().map(json).collect())
}

#[test]
fn bucc_pairs_what_has_a_counterpart() {
    let english = "en-1\tNo.\nen-2\tYes.\nen-3\tYeah.\n";
    assert_eq!(
        bucc("de-1\tJa.\nde-2\tA\tb\n", english, "de-1\ten-2\nde-1\ten-3\n").unwrap(),
        "{\"id\":\"de-1\",\"side\":\"query\",\"text\":\"Ja.\",\"gold\":\"en-2 en-3\"}\n\
         {\"id\":\"de-2\",\"side\":\"query\",\"text\":\"A\\tb\"}\n{\"id\":\"en-1\",\"side\":\"index\",\"text\":\"No.\"}\n\
         {\"id\":\"en-2\",\"side\":\"index\",\"text\":\"Yes.\"}\n{\"id\":\"en-3\",\"side\":\"index\",\"text\":\"Yeah.\"}\n"
    );
}

#[test]
fn bucc_faults() {
    let fault = |foreign, english, gold| bucc(foreign, english, gold).unwrap_err();
    let shape = "should be an id, a tab and a sentence";
    assert_eq!(fault("de-1 Ja.\n", "", ""), format!("de:1: {shape}"));
    assert_eq!(fault("de-1\tJa.\n", "en-1\tYes.\n\n", ""), format!("en:2: {shape}"));
    let ids = "should be a foreign sentence's id, a tab and an English sentence's id";
    assert_eq!(fault("", "", "de-1 en-1\n"), format!("gold:1: {ids}"));
    assert_eq!(fault("", "", "de-1\t\n"), format!("gold:1: {ids}"));
    let lacks = |id| format!("gold: pairs sentence {id}, which the sentence files beside it lack");
    assert_eq!(fault("de-1\tJa.\n", "en-1\tYes.\n", "de-1\ten-2\n"), lacks("en-2"));
    assert_eq!(fault("de-1\tJa.\n", "en-1\tYes.\n", "de-2\ten-1\n"), lacks("de-2"));
    let alone = super::fault(Reader::Bucc, None, "de-1\tJa.\n");
    assert!(alone.starts_with("FILE: is one of BUCC's files, which are read three at a time"), "{alone}");
}

const XQUAD_R: &str = r#"{"data": [{"title": "T", "paragraphs": [{"context": "Är det? Ja 1.",
  "sentence_breaks": [[0, 7], [8, 13]],
  "qas": [{"id": "q1", "question": "Vad?", "answers": [{"text": "1", "answer_start": 11}]}]}]}]}"#;

#[test]
fn xquad_r_gives_sentences_and_questions() {
    assert_eq!(
        json(&read(Reader::XquadR, None, XQUAD_R).unwrap()),
        "{\"id\":\"paragraph-1-sentence-1\",\"side\":\"index\",\"text\":\"Är det?\"}\n\
         {\"id\":\"paragraph-1-sentence-2\",\"side\":\"index\",\"text\":\"Ja 1.\"}\n\
         {\"id\":\"q1\",\"side\":\"query\",\"text\":\"Vad?\",\"gold\":\"paragraph-1-sentence-2\"}\n"
    );
}

#[test]
fn xquad_r_faults() {
    let broken = |from: &str, to: &str| fault(Reader::XquadR, None, XQUAD_R.replace(from, to));
    assert!(broken("sentence_breaks", "breaks").contains("paragraph 1 (in \"T\") has no `sentence_breaks`"));
    assert!(broken("[8, 13]", "[8, 14]").contains("its sentence from 8 to 14 is not within its 13 characters"));
    assert!(broken("[8, 13]", "[13, 8]").contains("its sentence from 13 to 8 is not within"));
    let unheld = "no sentence of its paragraph holds the answer of question q1";
    assert!(broken("\"answer_start\": 11", "\"answer_start\": 7").contains(unheld));
    assert!(broken("{\"text\": \"1\", \"answer_start\": 11}", "").contains(unheld));
    assert!(broken("[[0, 7]", "[[0]").contains("not SQuAD JSON: invalid length 1"));
    assert!(broken("\"data\"", "\"dat\"").contains("missing field `data`"));
}

const MEWSLI: &str = r#"{"context": {"document_title": "D", "document_id": "de-1", "language": "de", "text": "Ä. In Köln war es.\n\nSchön.", "sentence_spans": [{"start": 0, "end": 2}, {"start": 3, "end": 18}, {"start": 20, "end": 26}]}, "mentions": [{"example_id": "e1", "entity_id": "Q365", "mention_span": {"start": 6, "end": 10, "text": "Köln"}}]}"#;

#[test]
fn mewsli_finds_the_sentence_of_a_mention() {
    let across = r#"}}, {"example_id": "e2", "entity_id": "Q1", "mention_span": {"start": 15, "end": 22, "text": "es.\n\nSc"}}]}"#;
    let two = MEWSLI.replace("}}]}", across);
    let head = "\"language\":\"de\",\"document_id\":\"de-1\",\"document_title\":\"D\",\"sentence\":\"In Köln war es.";
    assert_eq!(
        json(&read(Reader::MewsliX, None, format!("{two}\n\n")).unwrap()),
        format!(
            "{{\"id\":\"e1\",{head}\",\"mention\":\"Köln\",\"entity_id\":\"Q365\",\"mention_start\":3,\"mention_end\":7}}\n\
             {{\"id\":\"e2\",{head}\\n\\nSchön.\",\"mention\":\"es.\\n\\nSc\",\"entity_id\":\"Q1\",\"mention_start\":12,\"mention_end\":19}}\n"
        )
    );
}

#[test]
fn mewsli_faults() {
    let broken = |from: &str, to: &str| fault(Reader::MewsliX, None, MEWSLI.replace(from, to));
    assert!(broken("}}]}", "}}").starts_with("FILE:1: not a document with mentions: EOF while parsing"));
    assert!(broken("entity_id", "entity").contains("missing field `entity_id`"));
    assert_eq!(
        broken(r"Ä. In Köln war es.\n\nSchön.", ""),
        "FILE:1: mention e1 stands in a document without text: fill the texts in with the release's own script"
    );
    let misplaced = "FILE:1: mention e1 is \"Köln\", but that does not stand at character";
    assert!(broken("\"start\": 6", "\"start\": 5").starts_with(misplaced));
    assert!(broken("\"start\": 6, \"end\": 10", "\"start\": 26, \"end\": 30").starts_with(misplaced));
    let outside = broken("{\"start\": 3, \"end\": 18}, ", "");
    assert_eq!(outside, "FILE:1: mention e1 stands in none of its document's sentences");
    assert!(broken("\"start\": 0", "\"start\": -1").contains("not a document with mentions: invalid value"));
}

#[test]
fn ragged_lines_have_nulls_behind_their_end() {
    let text = "id\tquestion\tlabel\n1\tWhy\n not?\t1\n2\tHow?\t0\n\n";
    assert_eq!(
        json(&read(Reader::RaggedTsv, None, text).unwrap()),
        "{\"id\":\"1\",\"question\":\"Why\"}\n{\"id\":\" not?\",\"question\":\"1\"}\n\
         {\"id\":\"2\",\"question\":\"How?\",\"label\":\"0\"}\n{\"id\":\"\"}\n"
    );
    let fault = |text: &str| fault(Reader::RaggedTsv, None, text);
    assert_eq!(fault("a\tb\n1\t2\t3\n"), "FILE:2: 3 columns, should be at most 2");
    assert_eq!(fault("a\ta\n"), "FILE:1: the header names column `a` twice; give `columns` in the task file");
    assert_eq!(fault(""), "FILE: the file is empty, but should begin with a header");
    assert_eq!(super::fault(Reader::RaggedTsv, Some(&["a"]), "1\n1\t2\n"), "FILE:2: 2 columns, should be at most 1");
    let bytes = super::fault(Reader::RaggedTsv, None, b"a\tb\n\xff\n");
    assert_eq!(bytes, "FILE:2: byte 1 of the line is not valid UTF-8; convert the file to UTF-8");
}
