//! Spans from the logits of a [`HeadKind::Span`](super::HeadKind) head.

use std::ops::Range;

/// Longest answer, in tokens: SQuAD's custom, and jiant's.
const MAX_ANSWER_TOKENS: usize = 30;

/// First and last token of the span of at most 30 tokens in `context` whose start and end logit have the
/// highest sum, and that sum; the first of several. None where there is no token. `logits` holds start and end in turn for each
/// token of the window. A sum that is no number stands behind every other.
pub fn best_span(logits: &[f32], context: Range<usize>) -> Option<((usize, usize), f32)> {
    let mut best: Option<((usize, usize), f32)> = None;
    for first in context.clone() {
        for last in first..(first + MAX_ANSWER_TOKENS).min(context.end) {
            let score = logits[2 * first] + logits[2 * last + 1];
            if best.is_none_or(|(_, highest)| score > highest || (highest.is_nan() && !score.is_nan())) {
                best = Some(((first, last), score));
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logits() -> Vec<f32> {
        let mut logits = vec![0.0f32; 2 * 60];
        logits[2 * 10] = 5.0; // start at 10
        logits[2 * 50 + 1] = 9.0; // end at 50: too far
        logits[2 * 12 + 1] = 3.0; // end at 12
        logits
    }

    #[test]
    fn the_best_span_stays_in_the_context_and_within_its_length() {
        assert_eq!(best_span(&logits(), 5..45).unwrap(), ((10, 12), 8.0));
        assert_eq!(best_span(&logits(), 45..60).unwrap().0, (45, 50));
        assert!(best_span(&logits(), 7..7).is_none());
        // Of equal spans the first.
        assert_eq!(best_span(&[0.0; 20], 3..6).unwrap().0, (3, 3));
    }

    #[test]
    fn what_is_no_number_is_not_the_best() {
        let mut logits = logits();
        logits[2 * 5] = f32::NAN;
        assert_eq!(best_span(&logits, 5..45).unwrap(), ((10, 12), 8.0));
        let (span, score) = best_span(&[f32::NAN; 8], 1..3).unwrap();
        assert!(span == (1, 1) && score.is_nan());
    }
}
