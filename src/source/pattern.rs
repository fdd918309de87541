//! Path patterns of task files: `{lang}`, `{lang3}` and `{name}` for a language, `*` and `?` within one path segment.

use std::path::{Path, PathBuf};

use crate::error::{FileError, IoContext};
use crate::task::Language;

/// `pattern` with the placeholders replaced by `language`'s code, ISO 639-3 code and English name (spaces as `_`, as in
/// the names of treebanks).
pub(super) fn expand(pattern: &str, language: Option<&Language>) -> String {
    let Some(language) = language else { return pattern.to_owned() };
    pattern
        .replace("{lang}", &language.code)
        .replace("{lang3}", &language.iso3)
        .replace("{name}", &language.name.replace(' ', "_"))
}

/// Whether the whole of `path` (segments separated by `/`) matches `pattern`.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let mut segments = path.split('/');
    pattern.split('/').all(|wanted| segments.next().is_some_and(|segment| segment_matches(wanted, segment)))
        && segments.next().is_none()
}

/// `*` stands for any run of characters, `?` for one. Linear in the segment but for one point of return: the last `*`.
fn segment_matches(pattern: &str, segment: &str) -> bool {
    // `..` on a hub would be a way out of the store.
    if matches!(segment, "." | "..") {
        return false;
    }
    let (pattern, segment): (Vec<char>, Vec<char>) = (pattern.chars().collect(), segment.chars().collect());
    let (mut p, mut s) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while s < segment.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, s));
                p += 1;
            }
            Some(&c) if c == '?' || c == segment[s] => {
                p += 1;
                s += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    s = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// The files below `root` that match `pattern`, as paths relative to `root` in lexicographic order. A part of the path
/// that does not exist matches nothing.
pub(super) fn files_below(root: &Path, pattern: &str) -> Result<Vec<String>, FileError> {
    let mut found = vec![String::new()];
    for wanted in pattern.split('/') {
        let mut next = Vec::new();
        for prefix in &found {
            let folder: PathBuf = root.join(prefix);
            let join = |name: &str| if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
            if !wanted.contains(['*', '?']) {
                if folder.join(wanted).exists() {
                    next.push(join(wanted));
                }
                continue;
            }
            if !folder.is_dir() {
                continue;
            }
            for entry in std::fs::read_dir(&folder).at("read directory", &folder)? {
                let name = entry.at("read directory", &folder)?.file_name();
                // A name that is not UTF-8 can't be written in a task file, so no pattern means it.
                if let Some(name) = name.to_str()
                    && !name.starts_with('.')
                    && segment_matches(wanted, name)
                {
                    next.push(join(name));
                }
            }
        }
        found = next;
    }
    found.retain(|path| root.join(path).is_file());
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn wildcards_stay_within_a_segment() {
        for (pattern, path, expected) in [
            ("a/b.txt", "a/b.txt", true),
            ("a/*.txt", "a/b.txt", true),
            ("a/*.txt", "a/b/c.txt", false),
            ("*.txt", "a/b.txt", false),
            ("train-*-of-?.parquet", "train-00000-of-2.parquet", true),
            ("train-*-of-?.parquet", "train-00000-of-12.parquet", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b*", "xxbxxaxx", false),
            ("**", "", true),
            ("é?", "éé", true),
            ("*/x", "../x", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    proptest! {
        #[test]
        fn a_star_for_any_part_still_matches(text in "[a-c]{0,8}", from in 0usize..9, to in 0usize..9) {
            let (from, to) = (from.min(text.len()), to.min(text.len()));
            let (from, to) = (from.min(to), from.max(to));
            let pattern = format!("{}*{}", &text[..from], &text[to..]);
            prop_assert!(matches(&pattern, &text));
        }
    }

    #[test]
    fn files_are_found_in_order_and_folders_are_not_files() {
        let dir = tempfile::tempdir().unwrap();
        for name in
            ["UD_X-B/x_b.conllu", "UD_X-A/x_a.conllu", "UD_X-A/notes.txt", "UD_Y-A/y_a.conllu", "UD_X-C/d.conllu/e"]
        {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        let found = files_below(dir.path(), "UD_X-*/*.conllu").unwrap();
        assert_eq!(found, ["UD_X-A/x_a.conllu", "UD_X-B/x_b.conllu"]);
        assert!(files_below(dir.path(), "nowhere/*.conllu").unwrap().is_empty());
        assert!(files_below(dir.path(), "UD_X-A").unwrap().is_empty());
    }
}
