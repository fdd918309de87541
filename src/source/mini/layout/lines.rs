//! `ud-treebanks-v2.5` and `text`.

use super::Target;
use crate::error::FileError;
use crate::source::mini::language::LANGUAGES;
use crate::source::mini::realize::Realizer;
use crate::source::mini::sample;
use crate::source::mini::text;

/// Sentences of the treebanks at size 1; only English has a training file.
pub const TREEBANK: [(&str, usize); 3] = [("train", 2000), ("dev", 200), ("test", 200)];
/// Lines of text for each language at size 1.
pub const TEXT: usize = 2500;

/// Writes the treebanks.
pub fn treebanks(target: &mut Target) -> Result<(), FileError> {
    for language in LANGUAGES.iter() {
        for (split, size) in TREEBANK {
            if split == "train" && language.code != "en" {
                continue;
            }
            let code = &language.code;
            let mut file = target.begin(format!("UD_{}-Mini/{code}_mini-ud-{split}.conllu", language.name))?;
            for index in 0..target.count(size) {
                let utterance = sample::utterance(&mut target.rng(&format!("{code} {split}"), index));
                let sentence = Realizer::new(language).sentence(&utterance);
                file.text(&sentence.conllu(&format!("{code}-mini-{split}-{}", index + 1)))?;
            }
            file.finish()?;
        }
    }
    Ok(())
}

/// Writes the text, one file a language.
pub fn plain_text(target: &mut Target) -> Result<(), FileError> {
    let options = target.options;
    for language in LANGUAGES.iter() {
        let mut file = target.begin(format!("{}.txt", language.code))?;
        for index in 0..target.count(TEXT) {
            let rng = target.rng(&language.code, index);
            file.line(&text::line(language, options.parallel_share, options.code_switched_share, rng))?;
        }
        file.finish()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;
    use crate::source::mini::generated;
    use crate::source::mini::language::UPOS;

    /// Checks one sentence of a CoNLL-U file: columns, identifiers, tags, heads, and that the words make up the text.
    fn check(block: &str) {
        let text = block.lines().find_map(|l| l.strip_prefix("# text = ")).unwrap();
        assert!(block.starts_with("# sent_id = "), "{block}");
        let rows: Vec<Vec<&str>> =
            block.lines().filter(|l| !l.starts_with('#')).map(|l| l.split('\t').collect()).collect();
        let words = rows.iter().filter(|row| !row[0].contains('-')).count();
        let (mut word, mut covered, mut roots, mut written) = (0, 0, 0, String::new());
        for row in rows {
            assert_eq!(row.len(), 10, "{block}");
            assert!(row.iter().all(|column| !column.is_empty()), "{block}");
            let mut surface = true;
            if let Some((first, last)) = row[0].split_once('-') {
                assert_eq!(first.parse::<usize>().unwrap(), word + 1);
                covered = last.parse().unwrap();
                assert!(row[2..9].iter().all(|column| *column == "_"), "{block}");
            } else {
                word += 1;
                assert_eq!(row[0], word.to_string(), "{block}");
                assert!(UPOS.contains(&row[3]), "{block}");
                let head: usize = row[6].parse().unwrap();
                assert!(head <= words && head != word, "{block}");
                assert_eq!(head == 0, row[7] == "root", "{block}");
                roots += usize::from(head == 0);
                surface = word > covered;
            }
            if surface {
                written.push_str(row[1]);
                if row[9] != "SpaceAfter=No" {
                    written.push(' ');
                }
            }
        }
        assert_eq!(roots, 1, "{block}");
        assert_eq!(written.trim_end(), text);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]

        #[test]
        fn treebanks_are_well_formed(seed: u64) {
            let dir = generated("ud-treebanks-v2.5", 0.1, seed);
            for language in LANGUAGES.iter() {
                let folder = dir.path().join(format!("UD_{}-Mini", language.name));
                for split in ["dev", "test"] {
                    let file = folder.join(format!("{}_mini-ud-{split}.conllu", language.code));
                    let text = fs::read_to_string(file).unwrap();
                    prop_assert_eq!(text.matches("\n\n").count(), 20);
                    text.trim_end().split("\n\n").for_each(check);
                }
                prop_assert_eq!(folder.join(format!("{}_mini-ud-train.conllu", language.code)).exists(), language.code == "en");
            }
        }
    }

    #[test]
    fn some_words_are_contracted() {
        let dir = generated("ud-treebanks-v2.5", 1.0, 1);
        for (name, code, form) in [("German", "de", "im"), ("Spanish", "es", "al"), ("French", "fr", "au")] {
            let path = dir.path().join(format!("UD_{name}-Mini/{code}_mini-ud-test.conllu"));
            let text = fs::read_to_string(path).unwrap();
            let contracted = text
                .lines()
                .filter(|l| l.split('\t').next().unwrap().contains('-') && l.split('\t').nth(1) == Some(form));
            assert!(contracted.count() > 0, "no `{form}` in {name}");
        }
    }

    #[test]
    fn text_states_the_facts_and_follows_its_shares() {
        let dir = generated("text", 1.0, 1);
        let english = fs::read_to_string(dir.path().join("en.txt")).unwrap();
        assert_eq!(english.lines().count(), TEXT);
        assert!(english.contains("The teacher works in the school.") && english.contains("Where does"));
        let foreign = english.lines().filter(|line| !line.is_ascii()).count() as f64 / TEXT as f64;
        assert!((0.4..0.85).contains(&foreign), "{foreign} of the English lines hold another language's letters");
    }
}
