//! What fits: truncation of pairs, windows over long contexts, windows over words.

use std::ops::Range;

/// How many tokens two texts of `first` and `second` tokens keep where `room` tokens fit: the longer one gives first, as
/// the `longest_first` strategy of Hugging Face tokenizers does (an odd token goes to the longer).
pub(super) fn longest_first(first: usize, second: usize, room: usize) -> (usize, usize) {
    if first + second <= room {
        return (first, second);
    }
    let short = first.min(second).min(room / 2);
    let long = room - short;
    if first > second { (long, short) } else { (short, long) }
}

/// Token ranges of at most `room` tokens that cover `tokens` tokens, each beginning `overlap` tokens before the end of
/// the one before it; one empty range where there are no tokens.
pub(super) fn windows(tokens: usize, room: usize, overlap: usize) -> Vec<Range<usize>> {
    debug_assert!(overlap < room);
    let (mut windows, mut begin) = (Vec::new(), 0);
    loop {
        let end = tokens.min(begin + room);
        windows.push(begin..end);
        if end == tokens {
            return windows;
        }
        begin = end - overlap;
    }
}

/// Ranges of whole words, as many as fit `room` tokens each, without overlap; one empty range where there are no words.
/// No word may be longer than `room`.
pub(super) fn word_windows(lengths: &[usize], room: usize) -> Vec<Range<usize>> {
    let mut windows = Vec::new();
    let (mut begin, mut tokens) = (0, 0);
    for (index, &length) in lengths.iter().enumerate() {
        if tokens + length > room {
            windows.push(begin..index);
            (begin, tokens) = (index, 0);
        }
        tokens += length;
    }
    windows.push(begin..lengths.len());
    windows
}

/// First and last token of the bytes `answer` (begin, end) of a text whose tokens stand at `offsets`: the last token that
/// begins at or before it, the first one that ends at or after it.
pub(super) fn answer_tokens(offsets: &[(u32, u32)], answer: (u32, u32)) -> Option<(usize, usize)> {
    let start = offsets.partition_point(|token| token.0 <= answer.0).checked_sub(1)?;
    let end = offsets.partition_point(|token| token.1 < answer.1);
    // One character may become several tokens with the same offsets: the two searches then cross.
    (end < offsets.len()).then(|| (start.min(end), start.max(end)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokenizers::{Encoding, Token, TruncationDirection, TruncationParams, TruncationStrategy, truncate_encodings};

    fn encoding(tokens: usize) -> Encoding {
        Encoding::from_tokens((0..tokens).map(|i| Token::new(i as u32, String::new(), (i, i + 1))).collect(), 0)
    }

    proptest! {
        #[test]
        fn pairs_are_truncated_as_the_library_does(first in 0usize..40, second in 0usize..40, room in 2usize..50) {
            let params = TruncationParams {
                direction: TruncationDirection::Right,
                max_length: room,
                strategy: TruncationStrategy::LongestFirst,
                stride: 0,
            };
            let (a, b) = truncate_encodings(encoding(first), Some(encoding(second)), &params).unwrap();
            prop_assert_eq!(longest_first(first, second, room), (a.len(), b.unwrap().len()));
        }

        #[test]
        fn windows_are_those_of_the_library(tokens in 0usize..200, room in 2usize..50, share in 0.0f64..1.0) {
            let overlap = ((room - 1) as f64 * share) as usize;
            let found = windows(tokens, room, overlap);
            let mut whole = encoding(tokens);
            whole.truncate(room, overlap, TruncationDirection::Right);
            let mut lengths = vec![whole.len()];
            lengths.extend(whole.get_overflowing().iter().map(Encoding::len));
            prop_assert_eq!(found.iter().map(Range::len).collect::<Vec<_>>(), lengths);
            prop_assert_eq!(found[0].start, 0);
            prop_assert_eq!(found.last().unwrap().end, tokens);
            prop_assert!(found.windows(2).all(|pair| pair[0].end - pair[1].start == overlap));
        }

        #[test]
        fn every_word_is_in_one_window(lengths in prop::collection::vec(1usize..8, 0..60), room in 8usize..30) {
            let found = word_windows(&lengths, room);
            prop_assert_eq!(found[0].start, 0);
            prop_assert_eq!(found.last().unwrap().end, lengths.len());
            prop_assert!(found.windows(2).all(|pair| pair[0].end == pair[1].start && !pair[0].is_empty()));
            prop_assert!(found.iter().all(|window| lengths[window.clone()].iter().sum::<usize>() <= room));
        }

        #[test]
        fn an_answer_made_of_whole_tokens_is_found(
            widths in prop::collection::vec((0u32..4, 1u32..6), 1..40), pick in any::<(prop::sample::Index, prop::sample::Index)>()
        ) {
            let mut offsets = Vec::new();
            let mut at = 0;
            for (gap, width) in widths {
                offsets.push((at + gap, at + gap + width));
                at += gap + width;
            }
            let (a, b) = (pick.0.index(offsets.len()), pick.1.index(offsets.len()));
            let (a, b) = (a.min(b), a.max(b));
            prop_assert_eq!(answer_tokens(&offsets, (offsets[a].0, offsets[b].1)), Some((a, b)));
        }
    }

    #[test]
    fn tokens_of_one_character_are_not_crossed() {
        // `6½`: one token for the digit, three that share the fraction's bytes.
        let offsets = [(0, 1), (1, 3), (1, 3), (1, 3)];
        assert_eq!(answer_tokens(&offsets, (1, 3)), Some((1, 3)));
        assert_eq!(answer_tokens(&offsets, (0, 3)), Some((0, 1)));
    }
}
