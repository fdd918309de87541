//! Percentile bootstrap intervals (Efron 1979): what a score might have been on other examples of the same kind.
//!
//! Examples are drawn with replacement within each language. The draws depend on the seed, the language and the number
//! of examples alone, so all metrics, layers and models of a language meet the same resamples: differences between them
//! can be taken resample by resample. Resamples are drawn in parallel, each from its own stream of the generator.

use rand::RngExt;
use rayon::prelude::*;

use super::metric::{Statistics, Values, total};
use super::random::generator;
use crate::task::Metric;

/// The share of resamples inside an interval.
pub const CONFIDENCE: f64 = 0.95;

/// The metric's values on `resamples` draws of as many examples as there are, with replacement.
pub fn resample(metric: Metric, statistics: &[Statistics], language: &str, seed: u64, resamples: usize) -> Vec<Values> {
    let base = generator(seed, &["bootstrap", language]);
    let draw = |stream: usize| {
        let mut random = base.clone();
        random.set_stream(stream as u64);
        let drawn = statistics.iter().map(|_| &statistics[random.random_range(0..statistics.len())]);
        metric.combine(&total(drawn))
    };
    (0..resamples).into_par_iter().map(draw).collect()
}

/// Resample by resample, the mean over languages, each of which has the same number of resamples.
pub fn mean(languages: &[&[Values]]) -> Vec<Values> {
    let resamples = languages.first().map_or(0, |first| first.len());
    let at = |resample: usize| -> Values {
        std::array::from_fn(|row| {
            languages.iter().map(|values| values[resample][row]).sum::<f64>() / languages.len() as f64
        })
    };
    (0..resamples).map(at).collect()
}

/// The bounds between which the middle [`CONFIDENCE`] of the resampled values of a metric's `row` lies, by linear
/// interpolation between the two nearest ranks. There must be at least one resample.
pub fn interval(resamples: &[Values], row: usize) -> (f64, f64) {
    let mut values: Vec<f64> = resamples.iter().map(|values| values[row]).collect();
    values.sort_by(f64::total_cmp);
    let quantile = |share: f64| {
        let rank = share * (values.len() - 1) as f64;
        let (low, high) = (values[rank.floor() as usize], values[rank.ceil() as usize]);
        low + (high - low) * rank.fract()
    };
    let tail = (1.0 - CONFIDENCE) / 2.0;
    (quantile(tail), quantile(1.0 - tail))
}

#[cfg(test)]
mod tests {
    use super::super::metric::accuracy;
    use super::*;

    fn coin(correct: usize, wrong: usize) -> Vec<Statistics> {
        let side = |right, count| std::iter::repeat_n(accuracy(right), count);
        side(true, correct).chain(side(false, wrong)).collect()
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let statistics = coin(30, 70);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| resample(Metric::Accuracy, &statistics, "fi", 7, 200))
        };
        assert_eq!(with(1), with(5));
    }

    #[test]
    fn seed_and_language_choose_the_draws() {
        let statistics = coin(30, 70);
        let draws = |language, seed| resample(Metric::Accuracy, &statistics, language, seed, 50);
        assert_ne!(draws("fi", 7), draws("fi", 8));
        assert_ne!(draws("fi", 7), draws("sw", 7));
    }

    #[test]
    fn the_interval_is_the_normal_one_for_many_examples() {
        let (low, high) = interval(&resample(Metric::Accuracy, &coin(2_500, 2_500), "fi", 7, 4_000), 0);
        // 1.96 standard errors of a share of one half among 5,000: 1.386 points.
        assert!((low - 48.614).abs() < 0.15 && (high - 51.386).abs() < 0.15, "{low} {high}");
    }

    #[test]
    fn the_mean_over_languages_is_narrower_than_one_language() {
        let languages: Vec<_> = ["de", "fi", "sw", "zh"]
            .iter()
            .map(|language| resample(Metric::Accuracy, &coin(500, 500), language, 7, 2_000))
            .collect();
        let slices: Vec<&[Values]> = languages.iter().map(Vec::as_slice).collect();
        let width = |values: &[Values]| interval(values, 0).1 - interval(values, 0).0;
        let ratio = width(&mean(&slices)) / width(slices[0]);
        assert!((ratio - 0.5).abs() < 0.05, "{ratio}");
    }

    #[test]
    fn quantiles_interpolate() {
        let values: Vec<Values> = (0..=100).map(|v| super::super::metric::padded([f64::from(v)])).collect();
        let (low, high) = interval(&values, 0);
        assert!((low - 2.5).abs() < 1e-9 && (high - 97.5).abs() < 1e-9, "{low} {high}");
        assert_eq!(interval(&values[..1], 0), (0.0, 0.0));
    }
}
