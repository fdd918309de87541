//! Whatever the bytes, a reader gives rows or an error.

use proptest::prelude::*;

use super::*;

/// Bytes that look enough like the format to reach into it.
fn nearly(alphabet: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => proptest::sample::select(alphabet).prop_map(|piece| piece.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..4),
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

/// A valid file with a few bytes taken out, put in or changed.
fn damaged(valid: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let damage = (0..valid.len(), 0..6usize, proptest::collection::vec(any::<u8>(), 0..3));
    proptest::collection::vec(damage, 1..4).prop_map(move |damages| {
        let mut bytes = valid.as_bytes().to_vec();
        for (at, cut, put) in damages {
            let at = at.min(bytes.len());
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, put);
        }
        bytes
    })
}

const TREEBANK: &str = "# sent_id = s\n1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_\n1\tde\tde\tADP\t_\t_\t3\tcase\t_\t_\n\
                        2\tle\tle\tDET\t_\t_\t3\tdet\t_\t_\n3\troi\troi\tNOUN\t_\t_\t0\troot\t_\t_\n\
                        3.1\tx\t_\t_\t_\t_\t_\t_\t_\t_\n\n1\tOui\toui\tINTJ\t_\t_\t0\troot\t_\t_\n\n";
const QUESTIONS: &str = r#"{"version": "1", "data": [{"title": "T", "paragraphs": [{"context": "a é b", "sentence_breaks": [[0, 3], [4, 5]],
    "qas": [{"id": "q", "question": "?", "answers": [{"text": "é", "answer_start": 2}], "is_impossible": false}]}]}]}"#;
const DERIVATIONS: &str = "ID=wsj_0001.1 PARSER=GOLD NUMPARSE=1\n\
                           (<T S 0 2> (<T NP 0 1> (<L N NN NN Öl N>) ) (<L S\\NP VB VB is (S\\NP)_1>) )\n\
                           ID=wsj_0001.2 PARSER=GOLD NUMPARSE=1\n(<L . . . . .>)\n";
const TAGGED: &str = "de:Anton\tB-PER\nde:ist\tO\n\nde:Köln\tB-LOC\n\n";

/// A derivation over `leaves` (category and word) that branches to the right.
fn derivation(leaves: &[(String, String)]) -> String {
    let mut line = String::from("ID=a\n");
    for (index, (category, word)) in leaves.iter().enumerate() {
        if index + 1 < leaves.len() {
            line.push_str("(<T S 0 2> ");
        }
        line.push_str(&format!("(<L {category} X X {word} {category}>) "));
    }
    line + &") ".repeat(leaves.len() - 1) + "\n"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn conllu_never_panics(bytes in nearly(&["\t", "\n", "1", "2", "1-2", "2.1", "_", "0", "a", "# sent_id = x\n", "1\ta\t_\tX\t_\t_\t0\t_\t_\t_\n"])) {
        let _ = read(Reader::Conllu, None, &bytes);
    }

    #[test]
    fn token_tag_never_panics(bytes in nearly(&["\t", "\n", "word", "TAG", "\n\n", "\r\n"])) {
        let _ = read(Reader::TokenTagTsv, None, &bytes);
    }

    #[test]
    fn squad_never_panics(bytes in nearly(&["{", "}", "[", "]", ",", ":", "\"data\":[", "\"paragraphs\":[", "\"context\":\"c\"", "\"qas\":[", "\"id\":\"i\"", "\"question\":\"q\"", "1", "null"])) {
        let _ = read(Reader::SquadJson, None, &bytes);
    }

    #[test]
    fn ccg_never_panics(bytes in nearly(&["ID=a\n", "\n", "(<T ", "(<L ", "N ", "0 ", "2> ", ">)", ")", " ", "(<L N NN NN cat N>) ", "(<T S 0 1> "])) {
        let _ = read(Reader::CcgAuto, None, &bytes);
    }

    #[test]
    fn damaged_files_give_rows_or_a_named_error(
        treebank in damaged(TREEBANK), questions in damaged(QUESTIONS), derivations in damaged(DERIVATIONS), tagged in damaged(TAGGED),
    ) {
        for (reader, bytes) in [
            (Reader::Conllu, &treebank),
            (Reader::SquadJson, &questions),
            (Reader::XquadR, &questions),
            (Reader::CcgAuto, &derivations),
            (Reader::TokenTagTsv, &tagged),
            (Reader::Wikiann, &tagged),
        ] {
            if let Err(message) = read(reader, None, bytes) {
                prop_assert!(message.starts_with("FILE"), "{message}");
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        use Reader::{CcgAuto, Conllu, Csv, Jsonl, MewsliX, Parquet, SquadJson, TokenTagTsv, Wikiann};
        for reader in [Conllu, SquadJson, CcgAuto, TokenTagTsv, Wikiann, MewsliX, Jsonl, Csv, Parquet] {
            let _ = read(reader, None, &bytes);
        }
    }

    #[test]
    fn leaves_come_back_as_they_were(leaves in proptest::collection::vec(("[A-Z/\\\\\\[\\]()]{1,6}", "[^\\s]{1,6}"), 1..12)) {
        let batch = read(Reader::CcgAuto, None, derivation(&leaves)).unwrap();
        let column = |name: &str| -> Vec<String> {
            let list = batch.column_by_name(name).unwrap().as_list::<i32>().value(0);
            list.as_string::<i32>().iter().flatten().map(str::to_owned).collect()
        };
        let (categories, words): (Vec<String>, Vec<String>) = leaves.into_iter().unzip();
        prop_assert_eq!(column("tags"), categories);
        prop_assert_eq!(column("words"), words);
    }

    #[test]
    fn jsonl_never_panics(bytes in nearly(&["{", "}", "[", "]", ",", ":", "\"a\":", "\"b\"", "1", "null", "{\"a\":1}\n", "\n"])) {
        let _ = read(Reader::Jsonl, None, &bytes);
    }

    #[test]
    fn csv_never_panics(bytes in nearly(&["\"", ",", "\n", "a", "\r\n", "a,b\n"])) {
        let _ = read(Reader::Csv, None, &bytes);
    }

    #[test]
    fn token_tags_come_back_as_they_were(sentences in proptest::collection::vec(proptest::collection::vec("[a-zα-ω_]{1,5}", 1..6), 0..8)) {
        let text: String = sentences.iter().map(|s| s.iter().map(|w| format!("{w}\tX\n")).collect::<String>() + "\n").collect();
        let batch = read(Reader::TokenTagTsv, None, &text).unwrap();
        let found: Vec<Vec<String>> = batch.column_by_name("words").map_or_else(Vec::new, |words| {
            words.as_list::<i32>().iter().flatten().map(|s| s.as_string::<i32>().iter().flatten().map(str::to_owned).collect()).collect()
        });
        prop_assert_eq!(found, sentences);
    }
}
