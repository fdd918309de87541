//! Offsets that slice clean text.

use std::sync::LazyLock;

use regex::Regex;

/// Marks that a normaliser may compose with the letter before them, and then leave out of its offsets.
static COMBINING: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\p{M}+").expect("a constant pattern"));

/// Makes the library's byte offsets slice clean text: no white space at either end, combining marks kept with their
/// letter, nothing for a lone word-start mark (the library gives it the next token's first letter), whole characters,
/// and neither begins nor ends ever go back. `is_mark` says of a token whether it is a lone word-start mark; it is asked
/// once a token, in order.
pub(super) fn clean_offsets(text: &str, offsets: &mut [(u32, u32)], mut is_mark: impl FnMut(usize) -> bool) {
    let (mut least_begin, mut least_end) = (0, 0);
    for index in 0..offsets.len() {
        let begin = text.floor_char_boundary(offsets[index].0 as usize);
        let mut end = text.ceil_char_boundary(offsets[index].1 as usize).max(begin);
        let next = offsets.get(index + 1).map_or(text.len(), |next| text.floor_char_boundary(next.0 as usize));
        if next > end && !text.as_bytes()[end].is_ascii() {
            end += COMBINING.find(&text[end..next]).map_or(0, |marks| marks.len());
        }
        let slice = &text[begin..end];
        let first = end - slice.trim_start().len();
        let length = if is_mark(index) { 0 } else { slice.trim().len() };
        let begin = (first as u32).max(least_begin);
        let end = ((first + length) as u32).max(least_end).max(begin);
        (least_begin, least_end) = (begin, end);
        offsets[index] = (begin, end);
    }
}
