//! Files of lines, read as Python reads them.

use std::borrow::Cow;
use std::fs;
use std::ops::Range;
use std::path::Path;

use super::Shape;
use crate::error::IoContext;
use crate::evaluate::EvaluateError;
use crate::evaluate::metric::is_space;

/// What some editors write before a text in UTF-8.
const MARK: char = '\u{feff}';

/// The text of a file, which must be UTF-8, without the mark of that encoding before it.
pub(crate) fn utf8(path: &Path) -> Result<String, EvaluateError> {
    let bytes = fs::read(path).at("read", path)?;
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let line = 1 + error.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
        line_error(path, line, "is not UTF-8; save the file in that encoding")
    })?;
    if text.starts_with(MARK) {
        text.drain(..MARK.len_utf8());
    }
    Ok(text)
}

/// The same of a file that must hold something.
pub(crate) fn read(path: &Path) -> Result<String, EvaluateError> {
    let text = utf8(path)?;
    if text.chars().all(is_space) {
        return Err(line_error(path, 1, "the file is empty; expected a line or an entry for each example"));
    }
    // A carriage return alone ends a line, too.
    let alone = |(at, _): (usize, _)| text.as_bytes().get(at + 1) != Some(&b'\n');
    let alone = text.match_indices('\r').any(alone);
    Ok(if alone { text.replace("\r\n", "\n").replace('\r', "\n") } else { text })
}

/// Reads a file of which nothing is JSON.
pub(crate) fn read_lines(path: &Path, shape: Shape) -> Result<String, EvaluateError> {
    let text = read(path)?;
    if text.starts_with(['{', '[']) {
        return Err(line_error(path, 1, format!("is JSON; {}", shape.expected())));
    }
    Ok(text)
}

/// The error about a line, counted from 1.
pub(super) fn line_error(path: &Path, line: usize, problem: impl Into<String>) -> EvaluateError {
    EvaluateError::Line { path: path.to_owned(), line, problem: problem.into() }
}

/// The number of the line of `text` that `part`, a slice of it, is in.
pub(super) fn line_of(text: &str, part: &str) -> usize {
    let at = (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize).min(text.len());
    1 + text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count()
}

/// Whether `label` is a number as it is written for a line: 0, or digits that don't begin with one.
pub(crate) fn is_number(label: &str) -> bool {
    label == "0" || (!label.is_empty() && !label.starts_with('0') && label.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The pairs of a file, a line each: two ids with a tab between.
pub(crate) fn pairs<'a>(path: &Path, text: &'a str) -> Result<Vec<&'a str>, EvaluateError> {
    let pair = |(number, line): (usize, &'a str)| {
        if line.matches('\t').count() == 1 {
            return Ok(line);
        }
        let problem = format!("`{}` is no pair; write two ids with a tab between", shown(line));
        Err(line_error(path, number + 1, problem))
    };
    Lines(text).enumerate().map(pair).collect()
}

/// A word of an input, as an error shows it.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(40) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// The lines of a text without the white space around them.
#[derive(Clone)]
pub(crate) struct Lines<'a>(pub &'a str);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        if self.0.is_empty() {
            return None;
        }
        let end = newline(self.0.as_bytes());
        let line = &self.0[..end.unwrap_or(self.0.len())];
        self.0 = end.map_or("", |end| &self.0[end + 1..]);
        Some(stripped(line))
    }
}

/// Where the first line ends. Lines are short, so that a search in large steps would not pay.
fn newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

fn stripped(line: &str) -> &str {
    let plain = |byte: Option<&u8>| byte.is_none_or(|byte| (b'!'..=b'~').contains(byte));
    let bytes = line.as_bytes();
    if plain(bytes.first()) && plain(bytes.last()) { line } else { line.trim_matches(is_space) }
}

/// Where the sentences of a file of tags are. A blank line ends a sentence, be it empty; so does the end of the file, unless
/// empty.
pub(crate) fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut sentences = Vec::with_capacity(text.len() / 64);
    let (mut begin, mut at) = (0, 0);
    let bytes = text.as_bytes();
    while at < bytes.len() {
        let end = newline(&bytes[at..]).map_or(bytes.len(), |length| at + length);
        let tagged = matches!(bytes[at], b'!'..=b'~') || !stripped(&text[at..end]).is_empty();
        if !tagged {
            sentences.push(begin..at);
            begin = (end + 1).min(bytes.len());
        }
        at = end + 1;
    }
    if begin < bytes.len() {
        sentences.push(begin..bytes.len());
    }
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_pythons() {
        let lines: Vec<&str> = Lines(" a\u{1f}\n\n\u{a0}b c\r\nd").collect();
        assert_eq!(lines, ["a", "", "b c", "d"]);
        assert_eq!(Lines("a\n").count(), 1);
    }

    #[test]
    fn numbers_are_written_in_one_way() {
        assert!(["0", "7", "10"].into_iter().all(is_number));
        assert!(!["", "+1", "-1", "01", "00", "1.0", "1 2", "\u{0663}"].into_iter().any(is_number));
    }

    #[test]
    fn blank_lines_end_sentences() {
        let text = "X\nY\n\n\n\u{2003}\nX\n \nY";
        let found: Vec<Vec<&str>> = sentences(text).into_iter().map(|range| Lines(&text[range]).collect()).collect();
        assert_eq!(found, [vec!["X", "Y"], vec![], vec![], vec!["X"], vec!["Y"]]);
        assert_eq!(sentences("X\n\n").len(), 1);
    }

    #[test]
    fn carriage_returns_end_lines_and_marks_are_left_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "a\rb\r\nc").unwrap();
        assert_eq!(Lines(&read(file.path()).unwrap()).collect::<Vec<_>>(), ["a", "b", "c"]);
        std::fs::write(file.path(), "\u{feff}a\r\nb").unwrap();
        assert_eq!(Lines(&read(file.path()).unwrap()).collect::<Vec<_>>(), ["a", "b"]);
        std::fs::write(file.path(), b"a\nb\xff\n").unwrap();
        assert!(
            read(file.path())
                .unwrap_err()
                .to_string()
                .ends_with(": line 2: is not UTF-8; save the file in that encoding")
        );
    }
}
