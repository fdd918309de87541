//! Sentences found for queries: ranked lists, and pairs taken from two heaps of sentences.

/// How far down a ranked list is looked.
pub const DEPTH: usize = 20;

/// The average precision (0 to 1) of the first [`DEPTH`] entries of a ranked list, given as whether each is a right one, for a
/// query with `gold` right ones: the mean over them of the precision at their places, 0 for those that were not found (for
/// those beyond the twentieth, which can not be, there is no place).
///
/// LAReQA's mAP (Roy et al. 2020, arXiv 2004.05484), whose right answers to a question are the sentences that answer it in any
/// language. The code that XTREME-R points to (`third_party/utils_lareqa.py`, `mean_avg_prec`) takes the whole list; XTREME-R
/// reports mAP@20 and has no script for it, so the cut is our reading of the name, in its usual definition.
pub fn average_precision(ranked: impl IntoIterator<Item = bool>, gold: usize) -> f64 {
    let (mut found, mut sum) = (0, 0.0);
    for (place, right) in ranked.into_iter().take(DEPTH).enumerate() {
        if right {
            found += 1;
            sum += f64::from(found) / (place + 1) as f64;
        }
    }
    let possible = gold.min(DEPTH);
    if possible > 0 { sum / possible as f64 } else { 0.0 }
}

/// One over the place of the first right entry among the first [`DEPTH`] of a ranked list; 0 if there is none.
///
/// Mewsli-X in XTREME-R (Ruder et al. 2021; `third_party/utils_mewslix.py`), which calls the mean over mentions mAP@20, since
/// with one right entity the two are the same.
pub fn reciprocal_rank(ranked: impl IntoIterator<Item = bool>) -> f64 {
    ranked.into_iter().take(DEPTH).position(|right| right).map_or(0.0, |place| 1.0 / (place + 1) as f64)
}

/// The score from which on mined pairs are taken, such that their F1 is the highest: `pairs` are scores with whether the pair
/// is right, `gold` the number of right pairs there are. 0 where none is right.
///
/// The rule of LASER's BUCC scripts and jiant: down the pairs sorted by score, F1 is taken after each; behind the first place
/// where it is highest, the threshold is half-way to the next score (at the end of the list, the last score). Pairs of equal
/// scores are taken or left together: the scripts stop among them as well, at an F1 that no threshold gives.
pub fn pair_threshold(pairs: &mut [(f32, bool)], gold: usize) -> f64 {
    pairs.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let (mut correct, mut best, mut threshold) = (0_usize, 0.0, 0.0);
    let mut taken = 0_usize;
    for equal in pairs.chunk_by(|a, b| a.0 == b.0) {
        taken += equal.len();
        correct += equal.iter().filter(|pair| pair.1).count();
        // F1 is twice the right pairs over all that were taken and all that there are.
        let f1 = 2.0 * correct as f64 / (taken + gold) as f64;
        if f1 > best {
            best = f1;
            let last = f64::from(equal[0].0);
            threshold = pairs.get(taken).map_or(last, |next| f64::midpoint(last, f64::from(next.0)));
        }
    }
    threshold
}

/// A question that may have no answer: what its best span would score, and what no answer would.
#[derive(Debug, Clone, Copy)]
pub struct Alternative {
    /// The score of no answer less that of the best span.
    pub difference: f64,
    /// What the span scores, 0 to 1.
    pub span: f64,
    /// What no answer scores, 0 to 1.
    pub none: f64,
}

/// The threshold for which the scores add up to the most, if no answer is predicted where the difference is above it: the
/// lowest of the best ones. `None` where there is no question.
///
/// The SQuAD v2.0 script's `find_best_thresh` (Rajpurkar et al. 2018), but that questions of equal differences are decided
/// together, and that predicting no answer anywhere has a threshold below all differences instead of 0, which is below all
/// probabilities.
pub fn null_threshold(questions: &mut [Alternative]) -> Option<f64> {
    questions.sort_unstable_by(|a, b| a.difference.total_cmp(&b.difference));
    let mut sum: f64 = questions.iter().map(|question| question.none).sum();
    let mut best = sum;
    let mut threshold = questions.first()?.difference.next_down();
    for equal in questions.chunk_by(|a, b| a.difference == b.difference) {
        sum += equal.iter().map(|question| question.span - question.none).sum::<f64>();
        // Sums of thirds and sevenths differ in the last digits with the order of adding up.
        if sum > best + 1e-9 {
            best = sum;
            threshold = equal[0].difference;
        }
    }
    Some(threshold)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    #[test]
    fn average_precision_by_hand() {
        let ranked = [true, false, true, false, false, true];
        let expected = (1.0 + 2.0 / 3.0 + 3.0 / 6.0) / 4.0;
        assert!((average_precision(ranked, 4) - expected).abs() < 1e-12);
        assert_eq!(average_precision([true; 30], 25), 1.0);
        assert_eq!(average_precision([false; 20].into_iter().chain([true]), 1), 0.0);
        assert_eq!(average_precision([], 0), 0.0);
    }

    #[test]
    fn the_first_right_entry_counts() {
        assert_eq!(reciprocal_rank([false, false, true, true]), 1.0 / 3.0);
        assert_eq!(reciprocal_rank([false; 20].into_iter().chain([true])), 0.0);
    }

    fn f1(pairs: &[(f32, bool)], gold: usize, threshold: f64) -> f64 {
        let taken: Vec<_> = pairs.iter().filter(|pair| f64::from(pair.0) >= threshold).collect();
        let correct = taken.iter().filter(|pair| pair.1).count() as f64;
        if correct > 0.0 { 2.0 * correct / (taken.len() + gold) as f64 } else { 0.0 }
    }

    #[test]
    fn the_threshold_is_half_way_to_the_next_pair() {
        let mut pairs = [(1.5, true), (1.0, false), (1.25, true), (1.125, false)];
        assert_eq!(pair_threshold(&mut pairs, 2), f64::midpoint(1.25, 1.125));
        assert_eq!(pair_threshold(&mut [(1.5, true)], 1), 1.5);
        assert_eq!(pair_threshold(&mut [(1.5, false)], 1), 0.0);
    }

    proptest! {
        #[test]
        fn no_threshold_gives_more(pairs in vec((0u8..12, any::<bool>()), 0..30), more in 0usize..10) {
            let mut pairs: Vec<(f32, bool)> = pairs.into_iter().map(|(score, right)| (f32::from(score) / 4.0, right)).collect();
            let gold = pairs.iter().filter(|pair| pair.1).count() + more;
            let own = pair_threshold(&mut pairs, gold);
            let own = f1(&pairs, gold, own);
            for threshold in -1..50 {
                prop_assert!(f1(&pairs, gold, f64::from(threshold) / 16.0) <= own + 1e-12);
            }
        }

        #[test]
        fn no_decision_scores_more(questions in vec((-6i8..6, 0u8..4, any::<bool>()), 1..30)) {
            let mut questions: Vec<Alternative> = questions
                .into_iter()
                .map(|(difference, span, answerable)| Alternative {
                    difference: f64::from(difference),
                    span: if answerable { f64::from(span) / 3.0 } else { 0.0 },
                    none: if answerable { 0.0 } else { 1.0 },
                })
                .collect();
            let own = null_threshold(&mut questions).unwrap();
            let sum = |threshold: f64| -> f64 {
                questions.iter().map(|q| if q.difference > threshold { q.none } else { q.span }).sum()
            };
            for threshold in -14..14 {
                prop_assert!(sum(f64::from(threshold) / 2.0) <= sum(own) + 1e-9);
            }
        }
    }
}
