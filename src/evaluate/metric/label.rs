//! Labels: the confusion of gold and predicted ones.

use super::{Statistics, Values, padded, percent, precision_recall_f1};

/// What one example contributes to [`Metric::BinaryF1`](crate::task::Metric::BinaryF1), where `gold` and `predicted` say
/// whether the label is the positive one.
pub fn binary(gold: bool, predicted: bool) -> Statistics {
    let number = |truth: bool| f64::from(u8::from(truth));
    padded([number(gold && predicted), number(predicted), number(gold), number(gold == predicted), 1.0])
}

/// Accuracy, F1, precision, recall and correlation of two labels.
pub(super) fn binary_values(&[both, predicted, gold, correct, total, ..]: &Statistics) -> Values {
    let (precision, recall, f1) = precision_recall_f1(both, predicted, gold);
    let product = predicted * (total - predicted) * gold * (total - gold);
    // Both labels' counts: the covariance times the square of `total`.
    let covariance = both * total - predicted * gold;
    padded([percent(correct, total), f1, precision, recall, correlation(covariance, product)])
}

/// What one example contributes to [`Metric::Mcc`](crate::task::Metric::Mcc); `gold` and `predicted` are places in the
/// task's list of at most three labels.
pub fn matthews(gold: usize, predicted: usize) -> Statistics {
    let mut statistics = padded([f64::from(u8::from(gold == predicted)), 1.0]);
    for (label, first) in [(gold, 2), (predicted, 5)] {
        if let Some(count) = statistics.get_mut(first + label).filter(|_| label < 3) {
            *count += 1.0;
        }
    }
    statistics
}

/// The correlation of up to three labels.
pub(super) fn matthews_value(&[correct, total, g0, g1, g2, p0, p1, p2]: &Statistics) -> f64 {
    let expected = g0 * p0 + g1 * p1 + g2 * p2;
    let spread = |a: f64, b: f64, c: f64| total * total - a * a - b * b - c * c;
    correlation(correct * total - expected, spread(g0, g1, g2) * spread(p0, p1, p2))
}

/// -100 to 100; 0 where one side is constant.
fn correlation(covariance: f64, product: f64) -> f64 {
    if product > 0.0 { 100.0 * covariance / product.sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::super::total;
    use super::*;
    use crate::task::Metric;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Pearson's correlation of two 0/1 variables: what Matthews' is for two labels.
    fn pearson(pairs: &[(bool, bool)]) -> f64 {
        let n = pairs.len() as f64;
        let x: Vec<f64> = pairs.iter().map(|pair| f64::from(u8::from(pair.0))).collect();
        let y: Vec<f64> = pairs.iter().map(|pair| f64::from(u8::from(pair.1))).collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / n;
        let (mx, my) = (mean(&x), mean(&y));
        let sum = |f: &dyn Fn(usize) -> f64| (0..pairs.len()).map(f).sum::<f64>();
        let covariance = sum(&|i| (x[i] - mx) * (y[i] - my));
        let (vx, vy) = (sum(&|i| (x[i] - mx).powi(2)), sum(&|i| (y[i] - my).powi(2)));
        if vx * vy > 1e-12 { 100.0 * covariance / (vx * vy).sqrt() } else { 0.0 }
    }

    proptest! {
        #[test]
        fn two_labels_by_their_definitions(pairs in vec((any::<bool>(), any::<bool>()), 1..40)) {
            let sum = total(&pairs.iter().map(|pair| binary(pair.0, pair.1)).collect::<Vec<_>>());
            let [accuracy, f1, precision, recall, mcc, ..] = Metric::BinaryF1.combine(&sum);
            let count = |gold: bool, predicted: bool| pairs.iter().filter(|pair| **pair == (gold, predicted)).count() as f64;
            let (tp, fp, fn_, tn) = (count(true, true), count(false, true), count(true, false), count(false, false));
            let ratio = |part: f64, whole: f64| if whole > 0.0 { 100.0 * part / whole } else { 0.0 };
            for (value, expected) in [
                (accuracy, ratio(tp + tn, pairs.len() as f64)),
                (f1, ratio(2.0 * tp, 2.0 * tp + fp + fn_)),
                (precision, ratio(tp, tp + fp)),
                (recall, ratio(tp, tp + fn_)),
                (mcc, pearson(&pairs)),
            ] {
                prop_assert!((value - expected).abs() < 1e-9, "{value} {expected}");
            }
            let places = total(&pairs.iter().map(|pair| matthews(pair.0.into(), pair.1.into())).collect::<Vec<_>>());
            prop_assert!((Metric::Mcc.combine(&places)[0] - pearson(&pairs)).abs() < 1e-9);
        }

        #[test]
        fn three_labels_by_gorodkins_sum(pairs in vec((0usize..3, 0usize..3), 1..40)) {
            let sum = total(&pairs.iter().map(|pair| matthews(pair.0, pair.1)).collect::<Vec<_>>());
            let c = |k: usize, l: usize| pairs.iter().filter(|pair| **pair == (k, l)).count() as f64;
            let mut numerator = 0.0;
            for (k, l, m) in (0..27).map(|i| (i / 9, i / 3 % 3, i % 3)) {
                numerator += c(k, k) * c(l, m) - c(k, l) * c(m, k);
            }
            let side = |of: &dyn Fn(usize) -> f64| {
                (0..3).map(|k| of(k) * (pairs.len() as f64 - of(k))).sum::<f64>()
            };
            let rows = side(&|k| (0..3).map(|l| c(k, l)).sum());
            let columns = side(&|k| (0..3).map(|l| c(l, k)).sum());
            let expected = if rows * columns > 0.0 { 100.0 * numerator / (rows * columns).sqrt() } else { 0.0 };
            let value = Metric::Mcc.combine(&sum)[0];
            prop_assert!((value - expected).abs() < 1e-9, "{value} {expected}");
        }
    }
}
