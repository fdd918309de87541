use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::super::groups;
use super::super::metric::{accuracy, padded};
use super::*;
use crate::task::SourceLanguage;

/// A run of one language with ids 0, 1, …
fn run(statistics: Vec<Statistics>) -> Run {
    runs([("fi", "", statistics)])
}

/// A run of several languages; ids begin with the prefix.
fn runs<const N: usize>(languages: [(&str, &str, Vec<Statistics>); N]) -> Run {
    let examples = |prefix: &str, statistics: Vec<Statistics>| Examples {
        ids: (0..statistics.len()).map(|number| format!("{prefix}{number:06}")).collect(),
        statistics,
    };
    let languages = languages.into_iter().map(|(code, prefix, s)| (code.to_owned(), examples(prefix, s)));
    Run { languages: languages.collect() }
}

fn request<'a>(metric: Metric, pairs: &'a [(&'a Run, &'a Run)], scopes: &'a [Group]) -> CompareRequest<'a> {
    CompareRequest {
        what: "task: a and b",
        metric,
        parallel: false,
        pairs,
        scopes,
        seed: 1,
        resamples: 500,
        trials: 999,
    }
}

/// One comparison over the only language.
fn compared(metric: Metric, pairs: &[(&Run, &Run)]) -> Comparison {
    let scopes = languages(pairs[0].0);
    compare(&request(metric, pairs, &scopes)).unwrap().remove(0)
}

/// Accuracies of examples of which `both` are right in A and B, `a` and `b` in one of them, `neither` in none.
fn counts(both: usize, a: usize, b: usize, neither: usize) -> (Run, Run) {
    let side = |of_a: bool, of_b: bool| {
        let parts = [(true, both), (of_a, a), (of_b, b), (false, neither)];
        run(parts.into_iter().flat_map(|(right, count)| std::iter::repeat_n(accuracy(right), count)).collect())
    };
    (side(true, false), side(false, true))
}

/// Exact match and F1 of answers.
fn answers(values: &[(f64, f64)]) -> Run {
    run(values.iter().map(|(exact, f1)| padded([*exact, *f1, 1.0])).collect())
}

#[test]
fn the_p_value_of_an_accuracy_is_the_sign_tests() {
    // Two-sided p of scipy 1.17.1: scipy.stats.binomtest(b, a + b).pvalue, exact.
    for (a, b, exact) in
        [(5, 15, 0.041_389_465), (40, 60, 0.056_887_934), (1, 9, 0.021_484_375), (180, 220, 0.051_040_223)]
    {
        let (one, other) = counts(300, a, b, 100);
        let scopes = languages(&one);
        let pairs = [(&one, &other)];
        let found = compare(&CompareRequest { trials: 20_000, ..request(Metric::Accuracy, &pairs, &scopes) })
            .unwrap()
            .remove(0);
        // Four standard errors of a share of 20,000 trials.
        let slack = 4.0 * (exact * (1.0 - exact) / 20_000.0_f64).sqrt() + 1e-4;
        assert!((found.p_value - exact).abs() < slack, "{a} {b}: {} for {exact}", found.p_value);
        let expected = 100.0 * (b as f64 - a as f64) / (400 + a + b) as f64;
        assert!((found.difference - expected).abs() < 1e-9);
    }
}

#[test]
fn question_answering_agrees_with_scipy() {
    // Both runs' (exact match, F1) of twelve questions. With d = 50 * (em + f1) of B less that of A, scipy 1.17.1 has
    // permutation_test((b, a), mean(x) - mean(y), permutation_type="samples", n_resamples=inf): p = 0.2265625, and
    // bootstrap((b, a), ..., paired=True, method="percentile", n_resamples=100000, rng=default_rng(1)): -6.875 to 39.375
    // with standard error 11.785.
    let a = answers(&[
        (1.0, 1.0),
        (0.0, 0.5),
        (0.0, 0.0),
        (1.0, 1.0),
        (0.0, 0.4),
        (0.0, 0.8),
        (1.0, 1.0),
        (0.0, 0.0),
        (0.0, 0.25),
        (1.0, 1.0),
        (0.0, 0.6),
        (0.0, 0.0),
    ]);
    let b = answers(&[
        (1.0, 1.0),
        (1.0, 1.0),
        (0.0, 0.5),
        (1.0, 1.0),
        (0.0, 0.4),
        (1.0, 1.0),
        (0.0, 0.75),
        (0.0, 0.5),
        (1.0, 1.0),
        (1.0, 1.0),
        (0.0, 0.0),
        (0.0, 0.25),
    ]);
    let scopes = languages(&a);
    let pairs = [(&a, &b)];
    let found =
        compare(&CompareRequest { resamples: 20_000, trials: 20_000, ..request(Metric::Squad, &pairs, &scopes) })
            .unwrap()
            .remove(0);
    assert!((found.a - 43.958_333_333).abs() < 1e-6 && (found.b - 60.0).abs() < 1e-9 && found.examples == 12);
    assert!((found.difference - 16.041_666_667).abs() < 1e-6);
    assert!((found.p_value - 0.226_562_5).abs() < 0.012, "{}", found.p_value);
    assert!((found.ci_low + 6.875).abs() < 0.7 && (found.ci_high - 39.375).abs() < 0.7, "{found:?}");
    assert!((found.minimum_detectable / (11.785 * 2.801_585) - 1.0).abs() < 0.03, "{}", found.minimum_detectable);
}

/// Whether each of `count` answers is right, with a probability that `easy` gives it.
fn drawn(random: &mut ChaCha8Rng, easy: &[f64], shift: f64) -> Vec<Statistics> {
    easy.iter().map(|share| accuracy(random.random::<f64>() < share + shift)).collect()
}

#[test]
fn under_the_null_p_values_are_uniform() {
    // 400 pairs of runs that answer alike: shares of p at most 0.05, 0.1 and 0.5 within four standard errors. p-values of
    // counts are coarse, so they are held from below less tightly.
    let mut random = generator(4, &["test", "null"]);
    let mut found = Vec::new();
    for _ in 0..400 {
        let easy: Vec<f64> = (0..150).map(|_| random.random()).collect();
        let (a, b) = (run(drawn(&mut random, &easy, 0.0)), run(drawn(&mut random, &easy, 0.0)));
        let scopes = languages(&a);
        let pairs = [(&a, &b)];
        let request = CompareRequest {
            seed: random.random(),
            resamples: 1,
            trials: 399,
            ..request(Metric::Accuracy, &pairs, &scopes)
        };
        found.push(compare(&request).unwrap()[0].p_value);
    }
    for level in [0.05, 0.1, 0.5] {
        let share = found.iter().filter(|p| **p <= level).count() as f64 / 400.0;
        let slack = 4.0 * (level * (1.0 - level) / 400.0_f64).sqrt();
        assert!(share < level + slack && share > level * 0.6 - slack, "{level}: {share}");
    }
}

#[test]
fn an_effect_as_large_as_the_minimum_detectable_is_found_four_times_out_of_five() {
    let mut random = generator(5, &["test", "power"]);
    let easy: Vec<f64> = (0..600).map(|_| 0.2 + 0.5 * random.random::<f64>()).collect();
    let pair = |random: &mut ChaCha8Rng, shift| (run(drawn(random, &easy, 0.0)), run(drawn(random, &easy, shift)));
    let (a, b) = pair(&mut random, 0.0);
    let detectable = compared(Metric::Accuracy, &[(&a, &b)]).minimum_detectable;
    let mut hits = 0;
    for _ in 0..200 {
        let (a, b) = pair(&mut random, detectable / 100.0);
        let scopes = languages(&a);
        let pairs = [(&a, &b)];
        let request = CompareRequest { resamples: 1, trials: 399, ..request(Metric::Accuracy, &pairs, &scopes) };
        hits += usize::from(compare(&request).unwrap()[0].p_value < 0.05);
    }
    assert!((140..=180).contains(&hits), "{hits} of 200 at {detectable} points");
}

#[test]
fn with_seeds_of_their_own_it_is_found_as_often() {
    // Three pairs of runs, whose differences vary by the draws of examples and by a draw of the seed.
    let mut random = generator(9, &["test", "power of seeds"]);
    let easy: Vec<f64> = (0..400).map(|_| 0.2 + 0.4 * random.random::<f64>()).collect();
    let pairs = |random: &mut ChaCha8Rng, shift: f64| -> Vec<(Run, Run)> {
        let pair = |random: &mut ChaCha8Rng| {
            let normal: f64 = rand_distr::StandardNormal.sample(random);
            (run(drawn(random, &easy, 0.0)), run(drawn(random, &easy, shift + 0.03 * normal)))
        };
        (0..3).map(|_| pair(random)).collect()
    };
    let compared = |pairs: &[(Run, Run)], resamples| {
        let pairs: Vec<(&Run, &Run)> = pairs.iter().map(|(a, b)| (a, b)).collect();
        let scopes = languages(pairs[0].0);
        let request = CompareRequest { resamples, trials: 399, ..request(Metric::Accuracy, &pairs, &scopes) };
        compare(&request).unwrap().remove(0)
    };
    // What it is depends on how far apart three seeds happen to be: the root of the mean square of many such.
    let squares = (0..60).map(|_| compared(&pairs(&mut random, 0.0), 200).minimum_detectable.powi(2));
    let detectable = (squares.sum::<f64>() / 60.0).sqrt();
    let found = |pairs: Vec<(Run, Run)>| compared(&pairs, 1).p_value < 0.05;
    let hits = (0..200).filter(|_| found(pairs(&mut random, detectable / 100.0))).count();
    assert!((136..=180).contains(&hits), "{hits} of 200 at {detectable} points");
}

#[test]
fn translations_of_one_test_set_are_exchanged_together() {
    // What is drawn for an item holds in all four languages, so there is no more in them than in one, also where each lacks an
    // item. Taken for unrelated examples, they would show effects that are not there.
    let mut random = generator(6, &["test", "translations"]);
    let mut hits = [0, 0, 0];
    for _ in 0..150 {
        let easy = vec![0.5; 100];
        let (a, b) = (drawn(&mut random, &easy, 0.0), drawn(&mut random, &easy, 0.0));
        for (case, (parallel, lacking)) in [(true, 0), (true, 1), (false, 0)].into_iter().enumerate() {
            let all = |s: &[Statistics]| {
                let mut run = runs(["de", "sw", "th", "zh"].map(|code| (code, "", s.to_vec())));
                for (place, examples) in run.languages.values_mut().enumerate().take(4 * lacking) {
                    examples.ids.remove(place);
                    examples.statistics.remove(place);
                }
                run
            };
            let (a, b) = (all(&a), all(&b));
            let scopes: Vec<Group> = groups(&["de", "sw", "th", "zh"], &BTreeMap::new(), &SourceLanguage::default())
                .into_iter()
                .take(1)
                .collect();
            let pairs = [(&a, &b)];
            let request =
                CompareRequest { parallel, resamples: 1, trials: 199, ..request(Metric::Accuracy, &pairs, &scopes) };
            hits[case] += usize::from(compare(&request).unwrap()[0].p_value <= 0.05);
        }
    }
    assert!(hits[0] <= 16 && hits[1] <= 16, "{hits:?}");
    assert!(hits[2] >= 30, "{hits:?}");
}

#[test]
fn seeds_that_differ_widen_the_interval_and_equal_ones_do_not() {
    let (a, b) = counts(400, 30, 60, 200);
    let one = compared(Metric::Accuracy, &[(&a, &b)]);
    let equal = compared(Metric::Accuracy, &[(&a, &b), (&a, &b), (&a, &b)]);
    assert_eq!((equal.seeds, equal.difference), (3, one.difference));
    assert!((equal.minimum_detectable / one.minimum_detectable - 1.0).abs() < 0.08);
    let (_, better) = counts(400, 30, 110, 150);
    let (_, worse) = counts(400, 30, 10, 250);
    // A is right in 430 of 690; the three Bs in 30, 80 and −20 more.
    let a = run(a.languages["fi"].statistics.clone());
    let spread = compared(Metric::Accuracy, &[(&a, &b), (&a, &better), (&a, &worse)]);
    assert!((spread.difference - one.difference).abs() < 1e-9, "{spread:?}");
    let width = |c: &Comparison| c.ci_high - c.ci_low;
    assert!(width(&spread) > 3.0 * width(&one) && spread.p_value > 0.2 && one.p_value < 0.01, "{spread:?} {one:?}");
}

#[test]
fn an_interval_over_seeds_covers_what_another_seed_would_do() {
    // Three seeds each shift B by a draw of their own around 3 points: the interval should hold 3 in 95 of 100 cases.
    let mut random = generator(8, &["test", "coverage"]);
    let easy: Vec<f64> = (0..200).map(|_| 0.3 + 0.3 * random.random::<f64>()).collect();
    let mut held = 0;
    for _ in 0..200 {
        let a = run(drawn(&mut random, &easy, 0.0));
        let seeds: Vec<Run> = (0..3)
            .map(|_| {
                let shift = 0.03 + 0.06 * (random.random::<f64>() + random.random::<f64>() - 1.0);
                run(drawn(&mut random, &easy, shift))
            })
            .collect();
        let bases: Vec<Run> = (0..3).map(|_| run(drawn(&mut random, &easy, 0.0))).collect();
        let pairs: Vec<(&Run, &Run)> = bases.iter().zip(&seeds).collect();
        let scopes = languages(&a);
        let request = CompareRequest { resamples: 300, trials: 1, ..request(Metric::Accuracy, &pairs, &scopes) };
        let found = &compare(&request).unwrap()[0];
        held += usize::from(found.ci_low <= 3.0 && 3.0 <= found.ci_high);
    }
    assert!(held >= 184, "{held} of 200");
}

#[test]
fn groups_weigh_languages_alike() {
    let (a, b) = (vec![accuracy(false); 10], vec![accuracy(true); 10]);
    let small = |right| vec![accuracy(right); 2];
    let one = runs([("de", "", a.clone()), ("en", "e", a.clone()), ("sw", "s", small(true))]);
    let other = runs([("de", "", b), ("en", "e", a), ("sw", "s", small(true))]);
    let codes: Vec<&str> = one.languages.keys().map(String::as_str).collect();
    let scopes: Vec<Group> =
        languages(&one).into_iter().chain(groups(&codes, &BTreeMap::new(), &SourceLanguage::default())).collect();
    let found = compare(&request(Metric::Accuracy, &[(&one, &other)], &scopes)).unwrap();
    let shown: Vec<(&str, f64, u64)> = found.iter().map(|c| (c.scope.as_str(), c.difference, c.examples)).collect();
    let expected = [
        ("de", 100.0, 10),
        ("en", 0.0, 10),
        ("sw", 0.0, 2),
        ("all", 100.0 / 3.0, 22),
        ("non-english", 50.0, 12),
        ("english", 0.0, 10),
        ("english-gap", -50.0, 22),
    ];
    for ((scope, difference, examples), want) in shown.iter().zip(expected) {
        assert!((*scope, *examples) == (want.0, want.2) && (difference - want.1).abs() < 1e-9, "{shown:?}");
    }
    assert_eq!(shown.len(), 7);
}

#[test]
fn runs_of_other_examples_are_refused_by_name() {
    let fails = |a: &Run, b: &Run| {
        let scopes = languages(a);
        compare(&request(Metric::Accuracy, &[(a, b)], &scopes)).unwrap_err().to_string()
    };
    let (a, _) = counts(2, 0, 0, 0);
    let (longer, _) = counts(3, 0, 0, 0);
    let other = runs([("fi", "", vec![accuracy(true)]), ("de", "", vec![accuracy(true)])]);
    let of = |problem: &str| format!("task: a and b can't be compared: {problem}; compare runs of the same data");
    assert_eq!(fails(&a, &longer), of("example `000002` of language `fi` was scored in one of them alone"));
    assert_eq!(fails(&longer, &a), of("example `000002` of language `fi` was scored in one of them alone"));
    assert_eq!(fails(&a, &other), of("language `de` was scored in one of them alone"));
    let shifted = runs([("fi", "x", vec![accuracy(true); 2])]);
    assert_eq!(fails(&shifted, &a), of("example `000000` of language `fi` was scored in one of them alone"));
}

#[test]
fn holm_as_r_has_it() {
    // p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") in R: 0.03 0.06 0.06 0.02.
    let close = |found: &[f64], want: &[f64]| {
        found.iter().zip(want).all(|(f, w)| (f - w).abs() < 1e-12) && found.len() == want.len()
    };
    assert!(close(&holm(&[0.01, 0.04, 0.03, 0.005]), &[0.03, 0.06, 0.06, 0.02]));
    assert!(close(&holm(&[0.5, 0.6]), &[1.0, 1.0]));
    assert!(close(&holm(&[0.03]), &[0.03]) && holm(&[]).is_empty());
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let (a, b) = counts(50, 11, 20, 13);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| compared(Metric::Accuracy, &[(&a, &b), (&a, &a)]))
    };
    assert_eq!(with(1), with(5));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_run_and_itself_do_not_differ(values in vec((0..2_u32, 0.0..1.0_f64), 1..40), seeds in 1..3_usize) {
        let run = answers(&values.iter().map(|(exact, f1)| (f64::from(*exact), *f1)).collect::<Vec<_>>());
        let pairs = vec![(&run, &run); seeds];
        let found = compared(Metric::Squad, &pairs);
        prop_assert_eq!((found.difference, found.ci_low, found.ci_high, found.p_value), (0.0, 0.0, 0.0, 1.0));
        prop_assert_eq!(found.minimum_detectable, 0.0);
    }

    #[test]
    fn exchanging_the_runs_changes_the_sign_alone(a in vec(0.0..1.0_f64, 20), b in vec(0.0..1.0_f64, 20)) {
        let of = |values: &[f64]| answers(&values.iter().map(|f1| (f64::from(*f1 > 0.9), *f1)).collect::<Vec<_>>());
        let (a, b) = (of(&a), of(&b));
        let (there, back) = (compared(Metric::Squad, &[(&a, &b)]), compared(Metric::Squad, &[(&b, &a)]));
        prop_assert!((there.difference + back.difference).abs() < 1e-9);
        prop_assert!((there.p_value - back.p_value).abs() < 0.08, "{} {}", there.p_value, back.p_value);
        prop_assert!((there.minimum_detectable / back.minimum_detectable - 1.0).abs() < 0.25);
    }

    #[test]
    fn corrected_p_values_keep_their_order_and_are_no_smaller(values in vec(0.0..=1.0_f64, 0..12)) {
        let adjusted = holm(&values);
        for (place, value) in values.iter().enumerate() {
            prop_assert!(adjusted[place] >= *value && adjusted[place] <= 1.0);
            for (other, smaller) in values.iter().enumerate().filter(|(_, v)| *v < value) {
                prop_assert!(adjusted[other] <= adjusted[place], "{} {}", smaller, value);
            }
        }
    }
}
