//! Percentile bootstrap intervals (Efron 1979): what a score might have been on other examples of the same kind.
//!
//! Examples are drawn with replacement within each language (of a task whose languages are translations of one another,
//! the items are drawn, in all of them at once). Resamples are drawn in parallel, each from its own stream of a
//! generator that the seed and the languages choose: the number of threads and the order of examples change nothing.
//! How a resample is drawn without drawing every example is told in `classes.rs`.

use rayon::prelude::*;

use super::classes::{PLACES, blocks, statistics};
use super::metric::{Statistics, Values};
use super::random::generator;
use crate::task::Metric;

pub use super::classes::Sample;

/// The share of resamples inside an interval.
pub const CONFIDENCE: f64 = 0.95;

/// What `of` makes of each of `resamples` draws. It gets the sums of the drawn examples' statistics: by sample and, within
/// a sample, by run, which all see the same draws. All samples have the same number of runs. Those of a `parallel` task are drawn by
/// item.
pub fn resample<T: Send>(
    samples: &[Sample<'_>],
    parallel: bool,
    seed: u64,
    resamples: usize,
    of: impl Fn(&[Statistics]) -> T + Sync,
) -> Vec<T> {
    let blocks = blocks(samples, parallel);
    let runs = samples.first().map_or(0, |sample| sample.runs.len());
    let bases: Vec<_> = blocks
        .iter()
        .map(|block| {
            let languages = block.languages.iter().map(String::as_str);
            generator(seed, &std::iter::once("bootstrap").chain(languages).collect::<Vec<_>>())
        })
        .collect();
    let draw = |stream: usize| {
        let mut totals = vec![0.0; PLACES * samples.len() * runs];
        for (block, base) in blocks.iter().zip(&bases) {
            let mut random = base.clone();
            random.set_stream(stream as u64);
            block.add_resample(&mut random, &mut totals);
        }
        of(&statistics(&totals))
    };
    (0..resamples).into_par_iter().map(draw).collect()
}

/// The metric's values in each resample, by language: of a `parallel` task all languages see the same draws of items.
pub fn values(metric: Metric, samples: &[Sample<'_>], parallel: bool, seed: u64, resamples: usize) -> Vec<Vec<Values>> {
    let of = |totals: &[Statistics]| totals.iter().map(|total| metric.combine(total)).collect::<Vec<_>>();
    let drawn = resample(samples, parallel, seed, resamples, of);
    (0..samples.len()).map(|language| drawn.iter().map(|values| values[language]).collect()).collect()
}

/// The bounds between which the middle [`CONFIDENCE`] of some resampled values lies. There must be at least one value.
pub fn interval(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let mut values: Vec<f64> = values.into_iter().collect();
    let tail = (1.0 - CONFIDENCE) / 2.0;
    (quantile_of(&mut values, tail), quantile_of(&mut values, 1.0 - tail))
}

/// The value below which a share of some values lies, by linear interpolation between the two nearest ranks. There must be at
/// least one value.
pub fn quantile(values: impl IntoIterator<Item = f64>, share: f64) -> f64 {
    quantile_of(&mut values.into_iter().collect::<Vec<_>>(), share)
}

fn quantile_of(values: &mut [f64], share: f64) -> f64 {
    let rank = share * (values.len() - 1) as f64;
    let (_, low, above) = values.select_nth_unstable_by(rank.floor() as usize, f64::total_cmp);
    let high = above.iter().copied().min_by(f64::total_cmp).unwrap_or(*low);
    *low + (high - *low) * rank.fract()
}

/// The standard deviation of some resampled values: the bootstrap's standard error. 0 for fewer than two.
pub fn standard_error(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::metric::accuracy;
    use super::*;
    use rand::RngExt;

    fn ids(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("{number:07}")).collect()
    }

    fn coin(correct: usize, wrong: usize) -> Vec<Statistics> {
        let side = |right, count| std::iter::repeat_n(accuracy(right), count);
        side(true, correct).chain(side(false, wrong)).collect()
    }

    /// Accuracies of one language's resamples.
    fn accuracies(language: &str, examples: &[Statistics], seed: u64, resamples: usize) -> Vec<f64> {
        let ids = ids(examples.len());
        let samples = [Sample { language, ids: &ids, runs: vec![examples] }];
        resample(&samples, false, seed, resamples, |totals| Metric::Accuracy.combine(&totals[0])[0])
    }

    /// Statistics such as answers have: exact match, F1 (a few values are frequent, many are rare), one.
    fn answers(count: usize) -> Vec<Statistics> {
        let mut random = generator(3, &["test", "answers"]);
        let mut one = || {
            let f1 = if random.random::<f64>() < 0.6 {
                f64::from(random.random_range(0..3_u32)) / 2.0
            } else {
                random.random()
            };
            let mut statistics = Statistics::default();
            statistics[..3].copy_from_slice(&[f64::from(u8::from(f1 == 1.0)), f1, 1.0]);
            statistics
        };
        (0..count).map(|_| one()).collect()
    }

    /// The same, drawn example by example: what the definition says.
    fn drawn_directly(examples: &[Statistics], resamples: usize, place: usize) -> Vec<f64> {
        let mut random = generator(11, &["test", "direct"]);
        let mut draw = || (0..examples.len()).map(|_| examples[random.random_range(0..examples.len())][place]).sum();
        (0..resamples).map(|_| draw()).collect()
    }

    /// The largest distance between two empirical distribution functions (Kolmogorov and Smirnov).
    fn distance(a: &[f64], b: &[f64]) -> f64 {
        let sorted = |values: &[f64]| {
            let mut values = values.to_vec();
            values.sort_by(f64::total_cmp);
            values
        };
        let (a, b) = (sorted(a), sorted(b));
        let below = |values: &[f64], at: f64| values.partition_point(|v| *v <= at + 1e-9) as f64 / values.len() as f64;
        a.iter().chain(&b).map(|&at| (below(&a, at) - below(&b, at)).abs()).fold(0.0, f64::max)
    }

    #[test]
    fn the_number_of_threads_and_the_order_of_examples_change_nothing() {
        let examples = answers(200);
        let with = |threads, examples: &[Statistics]| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let ids = ids(examples.len());
            let samples = [Sample { language: "fi", ids: &ids, runs: vec![examples] }];
            pool.install(|| resample(&samples, false, 7, 100, |totals| totals.to_vec()))
        };
        assert_eq!(with(1, &examples), with(5, &examples));
        let reversed: Vec<Statistics> = examples.iter().rev().copied().collect();
        assert_eq!(with(1, &examples), with(1, &reversed));
    }

    #[test]
    fn seed_and_language_choose_the_draws() {
        let statistics = coin(30, 70);
        let draws = |language, seed| accuracies(language, &statistics, seed, 50);
        assert_eq!(draws("fi", 7), draws("fi", 7));
        assert_ne!(draws("fi", 7), draws("fi", 8));
        assert_ne!(draws("fi", 7), draws("sw", 7));
    }

    #[test]
    fn draws_by_class_are_distributed_as_draws_of_examples() {
        // The critical distance of two samples of 3,000 at the 0.1% level is 1.95 * sqrt(2 / 3000) = 0.0503. The seeds are
        // fixed: the test says the same each time.
        const DRAWS: usize = 3_000;
        let samples = [answers(400), answers(37), coin(390, 10), coin(5, 3)];
        for (examples, place) in samples.iter().flat_map(|s| [(s, 0), (s, 1)]) {
            let ids = ids(examples.len());
            let sample = [Sample { language: "fi", ids: &ids, runs: vec![examples] }];
            let by_class = resample(&sample, false, 5, DRAWS, |totals| totals[0][place]);
            let directly = drawn_directly(examples, DRAWS, place);
            let found = distance(&by_class, &directly);
            assert!(found < 0.0503, "{} examples, place {place}: {found}", examples.len());
        }
        // What the test can see: one example more.
        let shifted: Vec<f64> = drawn_directly(&samples[2], DRAWS, 0).iter().map(|sum| sum + 1.0).collect();
        assert!(distance(&drawn_directly(&samples[2], DRAWS, 0), &shifted) > 0.0503);
    }

    #[test]
    fn every_resample_has_as_many_examples_as_there_are() {
        for examples in [coin(1_000, 3), coin(1, 0), coin(9, 8), coin(2, 3)] {
            let ids = ids(examples.len());
            let sample = [Sample { language: "fi", ids: &ids, runs: vec![&examples] }];
            let sizes = resample(&sample, false, 5, 200, |totals| totals[0][1]);
            assert!(sizes.iter().all(|size| *size == examples.len() as f64));
        }
    }

    #[test]
    fn the_interval_of_an_accuracy_is_the_binomials() {
        // 2.5% and 97.5% quantiles of Binomial(n, k/n), as scipy 1.17.1's binom.ppf has them.
        for (correct, of, low, high) in
            [(2_500, 5_000, 2_431.0, 2_569.0), (30, 100, 21.0, 39.0), (97, 100, 93.0, 100.0)]
        {
            let found = interval(accuracies("fi", &coin(correct, of - correct), 7, 20_000));
            let count = |percent: f64| percent * of as f64 / 100.0;
            let slack = if of > 1_000 { 2.5 } else { 1e-9 };
            assert!(
                (count(found.0) - low).abs() <= slack && (count(found.1) - high).abs() <= slack,
                "{correct} of {of}: {found:?}"
            );
        }
    }

    #[test]
    fn a_million_examples_give_the_standard_error_of_the_share() {
        let found = standard_error(&accuracies("fi", &coin(800_000, 200_000), 7, 2_000));
        let expected = 100.0 * (0.8 * 0.2 / 1e6_f64).sqrt();
        assert!((found / expected - 1.0).abs() < 0.06, "{found} {expected}");
    }

    /// The standard error of the mean accuracy over four languages, of which each has the items that `has` gives it: an even one
    /// of 1,000 is right in all of them.
    fn of_four(parallel: bool, has: impl Fn(usize, usize) -> bool) -> f64 {
        let languages = ["de", "fi", "sw", "zh"];
        let items = |language: usize| (0..1_000).filter(|item| has(language, *item)).collect::<Vec<_>>();
        let items: Vec<Vec<usize>> = (0..4).map(items).collect();
        let ids: Vec<Vec<String>> =
            items.iter().map(|items| items.iter().map(|item| format!("{item:04}")).collect()).collect();
        let right: Vec<Vec<Statistics>> =
            items.iter().map(|items| items.iter().map(|item| accuracy(item % 2 == 0)).collect()).collect();
        let sample = |place: usize| Sample { language: languages[place], ids: &ids[place], runs: vec![&right[place]] };
        let samples: Vec<Sample<'_>> = (0..4).map(sample).collect();
        let means = resample(&samples, parallel, 7, 2_000, |totals| {
            totals.iter().map(|total| Metric::Accuracy.combine(total)[0]).sum::<f64>() / 4.0
        });
        standard_error(&means)
    }

    #[test]
    fn translations_are_drawn_together_and_other_languages_apart() {
        let one = 100.0 * (0.25 / 1_000.0_f64).sqrt();
        for (parallel, expected) in [(false, 0.5), (true, 1.0)] {
            let found = of_four(parallel, |_, _| true) / one;
            assert!((found - expected).abs() < 0.05, "{parallel}: {found}");
        }
        // Each language lacks an item of its own: hardly a difference.
        let found = of_four(true, |language, item| item != language * 7) / one;
        assert!((found - 1.0).abs() < 0.05, "{found}");
        // Each has every second pair of items, by turns of its own. An item is in as many languages as there are bits in its
        // number divided by two; the variance of the mean is that of the mean over items of their shares in it.
        let has = |language: usize, item: usize| (item / 2) >> language & 1 == 1;
        let share = |item: usize| (0..4).filter(|language| has(*language, item)).count() as f64;
        let size = |language: usize| (0..1_000).filter(|item| has(language, *item)).count() as f64;
        let mean_size = (0..4).map(size).sum::<f64>() / 4.0;
        let squares: f64 = (0..1_000).map(|item| (share(item) / 4.0).powi(2)).sum();
        let expected = 100.0 * (0.25 * squares).sqrt() / mean_size;
        let found = of_four(true, has);
        assert!((found / expected - 1.0).abs() < 0.05, "{found} {expected}");
    }

    #[test]
    fn questions_in_several_languages_about_one_passage_are_one_item() {
        let languages = ["ar", "de", "en"];
        let ids: Vec<String> =
            languages.iter().flat_map(|code| (0..300).map(move |item| format!("{code}/{item:03}"))).collect();
        let right: Vec<Statistics> = (0..900).map(|at| accuracy(at % 300 < 150)).collect();
        let sample = [Sample { language: "zh", ids: &ids, runs: vec![&right] }];
        let error = |parallel| {
            standard_error(
                &values(Metric::Accuracy, &sample, parallel, 7, 2_000)[0].iter().map(|v| v[0]).collect::<Vec<_>>(),
            )
        };
        let ratio = error(true) / error(false);
        assert!((ratio / 3.0_f64.sqrt() - 1.0).abs() < 0.06, "{ratio}");
    }

    #[test]
    fn a_language_by_itself_has_the_same_draws_beside_others() {
        let (de, sw) = (answers(60), answers(61));
        let (few, many) = (ids(60), ids(61));
        let samples = [("de", &few, &de), ("sw", &many, &sw)].map(|(language, ids, examples)| Sample {
            language,
            ids,
            runs: vec![examples.as_slice()],
        });
        let beside = values(Metric::Squad, &samples, false, 7, 40);
        for (place, sample) in samples.iter().enumerate() {
            assert_eq!(values(Metric::Squad, std::slice::from_ref(sample), false, 7, 40), beside[place..=place]);
        }
    }

    #[test]
    fn quantiles_interpolate() {
        let (low, high) = interval((0..=100).map(f64::from));
        assert!((low - 2.5).abs() < 1e-9 && (high - 97.5).abs() < 1e-9, "{low} {high}");
        assert_eq!(interval([3.0]), (3.0, 3.0));
        assert_eq!((quantile([4.0, 1.0, 3.0], 1.0), quantile([4.0, 1.0, 3.0], 0.25)), (4.0, 2.0));
        assert_eq!(standard_error(&[3.0]), 0.0);
        assert!((standard_error(&[1.0, 2.0, 3.0, 4.0]) - (5.0_f64 / 3.0).sqrt()).abs() < 1e-12);
    }
}
