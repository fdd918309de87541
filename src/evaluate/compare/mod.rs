//! Two runs on the same examples: how far apart they are, and whether that is more than chance.
//!
//! A *run* is what one model scored; two rows of a study are compared seed by seed, each pair trained with the same seed.
//! Everything is about the *difference* B less A of the headline number (of question answering the mean of F1 and exact
//! match, taken within each resample), by language and by group of languages.
//!
//! - **Interval**: the paired percentile bootstrap (Efron 1979; for systems compared on one test set, Koehn 2004):
//!   examples are drawn with replacement, and both runs of all seeds meet the same draws. Languages are drawn
//!   independently unless they are translations of one another: then items are ([`super::bootstrap`]).
//! - **p-value**: approximate randomisation (Noreen 1989). If A and B are alike, their outputs for an example could as
//!   well be exchanged. In each trial a coin decides for every example (in all seeds, and for all translations of an item)
//!   whether they are; p is the share of trials whose difference is at least as large as the one found, in either
//!   direction: (hits + 1) / (trials + 1).
//! - **Seeds**: with one seed, interval and p-value are about these two trained models, not about how they were
//!   trained. With several, the mean difference over seeds has a variance of its own, estimated by s² / seeds from the
//!   differences of the seeds; draws of Student's t with seeds − 1 degrees of freedom, times that standard error, are
//!   added to every resample (many to each, so that its tails are known well) and to every trial. So two or three seeds
//!   widen an interval a great deal: they say little about what a fourth would do. What examples and seeds do together
//!   is counted in both: the interval is rather too wide than too narrow.
//! - **Minimum detectable difference**: the true difference that a two-sided test at the 5% level finds four times out
//!   of five, before correction: (z(0.975) + z(0.8)) times the bootstrap's standard error with one seed. With several,
//!   the quantiles are those of the draws of examples and seeds together, as Bloom (1995) takes those of Student's t.
//! - **Many comparisons**: Holm's step-down correction (1979, [`holm`]) over one family: the chance that any of it is called
//!   significant by chance alone stays at 5%. In the analysis of a study a family is all comparisons of one scope, in
//!   `trestle compare` all differences that are shown, whatever their scopes.
//!
//! A threshold that was tuned stays as it was tuned in every resample.

mod randomize;
mod runs;

use rand_distr::{Distribution, StudentT};

use super::bootstrap::{CONFIDENCE, Sample, interval, quantile, resample, standard_error};
use super::groups::Group;
use super::metric::{Statistics, total};
use super::number::{Number, headline};
use super::random::generator;
use super::{EvaluateError, classes};
use serde::Serialize;

use crate::task::Metric;

pub use runs::{Examples, Run, Runs, read_published, read_runs};

/// The level below which a corrected p-value is called significant.
pub const SIGNIFICANT: f64 = 0.05;

/// How often a difference as large as the minimum detectable one is found.
const POWER: f64 = 0.8;

/// z(0.975) + z([`POWER`]): quantiles of the normal distribution.
const DETECTABLE: f64 = 1.959_963_984_540_054 + 0.841_621_233_572_914_3;

/// Draws of Student's t, and as many of the other sign, for each resample.
const SEED_DRAWS: usize = 32;

/// Differences that rounding alone makes, in points.
const ROUNDING: f64 = 1e-9;

/// What to compare.
#[derive(Debug, Clone)]
pub struct CompareRequest<'a> {
    /// What is compared, for errors: `xnli: mini/none and mini/mnli`.
    pub what: &'a str,
    /// How both were scored.
    pub metric: Metric,
    /// Whether the languages' examples are translations of one another ([`crate::task::Task::parallel`]).
    pub parallel: bool,
    /// Runs A and B of each seed.
    pub pairs: &'a [(&'a Run, &'a Run)],
    /// Languages and groups of them, over the languages in the order of [`Run`].
    pub scopes: &'a [Group],
    /// Seeds every draw.
    pub seed: u64,
    /// Resamples behind each interval.
    pub resamples: usize,
    /// Trials behind each p-value.
    pub trials: usize,
}

/// The difference of two runs in one scope.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// A language's code or a group's name.
    pub scope: String,
    /// Languages in the scope.
    pub languages: usize,
    /// Pairs of runs.
    pub seeds: usize,
    /// Examples in the scope, over its languages.
    pub examples: u64,
    /// A's number, mean over the seeds, 0 to 100.
    pub a: f64,
    /// B's.
    pub b: f64,
    /// B less A, in points.
    pub difference: f64,
    /// Lower end of its 95% interval.
    pub ci_low: f64,
    /// Upper end.
    pub ci_high: f64,
    /// Two-sided, of one comparison by itself.
    pub p_value: f64,
    /// Points.
    pub minimum_detectable: f64,
}

/// Compares A and B in every scope.
///
/// # Errors
/// [`EvaluateError::Unpaired`] where the runs have not the same languages and examples, the first difference named.
pub fn compare(request: &CompareRequest<'_>) -> Result<Vec<Comparison>, EvaluateError> {
    let Some((first, _)) = request.pairs.first() else { return Ok(Vec::new()) };
    for (a, b) in request.pairs {
        for run in [a, b] {
            same_examples(first, run)
                .map_err(|problem| EvaluateError::Unpaired { what: request.what.to_owned(), problem })?;
        }
    }
    let (of_a, of_b) = (request.pairs.iter().map(|(a, _)| *a), request.pairs.iter().map(|(_, b)| *b));
    let runs: Vec<&Run> = of_a.chain(of_b).collect();
    let samples: Vec<Sample<'_>> = first
        .languages
        .iter()
        .map(|(language, examples)| Sample {
            language,
            ids: &examples.ids,
            runs: runs.iter().map(|run| run.languages[language].statistics.as_slice()).collect(),
        })
        .collect();

    let observed = observed(request, &samples);
    let number = headline(request.metric);
    let of = |totals: &[Statistics]| differences(request, &number, totals);
    let drawn = resample(&samples, request.parallel, request.seed, request.resamples, of);
    let trials = randomize::randomize(&samples, request.parallel, request.seed, request.trials, of);
    let with_resamples = seed_noise(request, "resamples", request.resamples * SEED_DRAWS);
    let with_trials = seed_noise(request, "trials", request.trials);

    let of_scope = |(place, scope): (usize, &Group)| {
        let (a, b) = (mean(&observed.a[place]), mean(&observed.b[place]));
        let by_seed: Vec<f64> = observed.a[place].iter().zip(&observed.b[place]).map(|(a, b)| b - a).collect();
        let difference = mean(&by_seed);
        let of_seeds = standard_error(&by_seed) / (by_seed.len() as f64).sqrt();
        let of_examples: Vec<f64> = drawn.iter().map(|values| values[place]).collect();
        let spread = match &with_resamples {
            None => of_examples,
            Some(noise) => {
                let of_resample = |(value, noise): (&f64, &[f64])| -> Vec<f64> {
                    noise.iter().flat_map(|t| [value + of_seeds * t, value - of_seeds * t]).collect()
                };
                of_examples.iter().zip(noise.chunks_exact(SEED_DRAWS)).flat_map(of_resample).collect()
            }
        };
        let minimum_detectable = match with_resamples {
            None => DETECTABLE * standard_error(&spread),
            Some(_) => detectable(&spread),
        };
        let (ci_low, ci_high) = interval(spread);
        let noise = |trial: usize| with_trials.as_ref().map_or(0.0, |noise| of_seeds * noise[trial]);
        let by_chance = trials.iter().enumerate().map(|(trial, values)| values[place] + noise(trial));
        let hits = by_chance.filter(|value| value.abs() >= difference.abs() - ROUNDING).count();
        let members = scope.members.iter().chain(&scope.less);
        Comparison {
            scope: scope.name.clone(),
            languages: scope.languages(),
            seeds: request.pairs.len(),
            examples: members.map(|&place| samples[place].ids.len() as u64).sum(),
            a,
            b,
            difference,
            ci_low,
            ci_high,
            p_value: (hits + 1) as f64 / (request.trials + 1) as f64,
            minimum_detectable,
        }
    };
    Ok(request.scopes.iter().enumerate().map(of_scope).collect())
}

/// How a p-value was computed, for the table.
pub fn method(trials: usize, seeds: usize) -> String {
    let examples = format!("approximate randomisation of examples, {trials} trials");
    if seeds > 1 { format!("{examples}; seeds by Student's t with {} degrees of freedom", seeds - 1) } else { examples }
}

/// Holm's correction of the p-values of one family of comparisons: the k-th smallest of n is multiplied by n + 1 − k, and none
/// becomes smaller than the one before it, nor larger than 1. In the order given.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut least = 0.0_f64;
    for (rank, place) in order.into_iter().enumerate() {
        least = least.max((p_values[place] * (p_values.len() - rank) as f64).min(1.0));
        adjusted[place] = least;
    }
    adjusted
}

/// The first difference between the examples of two runs.
fn same_examples(one: &Run, other: &Run) -> Result<(), String> {
    let only = |a: &Run, b: &Run| a.languages.keys().find(|code| !b.languages.contains_key(*code)).cloned();
    if let Some(language) = only(one, other).or_else(|| only(other, one)) {
        return Err(format!("language `{language}` was scored in one of them alone"));
    }
    for (language, examples) in &one.languages {
        let others = &other.languages[language];
        let pairs = examples.ids.iter().zip(&others.ids);
        let end = examples.ids.len().min(others.ids.len());
        let first = pairs.into_iter().position(|(a, b)| a != b).unwrap_or(end);
        let id = match (examples.ids.get(first), others.ids.get(first)) {
            (None, None) => continue,
            // Of two ids in ascending order, the other run does not have the smaller.
            (Some(a), Some(b)) => a.min(b),
            (Some(id), None) | (None, Some(id)) => id,
        };
        return Err(format!("example `{id}` of language `{language}` was scored in one of them alone"));
    }
    Ok(())
}

/// The headline number of each language of a run, in the languages' order.
pub fn language_numbers(metric: Metric, run: &Run) -> Vec<f64> {
    let number = headline(metric);
    run.languages.values().map(|examples| number.of(&metric.combine(&total(&examples.statistics)))).collect()
}

/// The numbers of A and of B, by scope and then by seed.
struct Observed {
    a: Vec<Vec<f64>>,
    b: Vec<Vec<f64>>,
}

fn observed(request: &CompareRequest<'_>, samples: &[Sample<'_>]) -> Observed {
    let totals = classes::observed(samples);
    let (seeds, number) = (request.pairs.len(), headline(request.metric));
    let of_run = |run: usize| -> Vec<f64> {
        totals.chunks_exact(2 * seeds).map(|language| number.of(&request.metric.combine(&language[run]))).collect()
    };
    let by_run: Vec<Vec<f64>> = (0..2 * seeds).map(of_run).collect();
    let of = |runs: std::ops::Range<usize>| -> Vec<Vec<f64>> {
        request.scopes.iter().map(|scope| runs.clone().map(|run| scope.value(&by_run[run])).collect()).collect()
    };
    Observed { a: of(0..seeds), b: of(seeds..2 * seeds) }
}

/// B less A in each scope, mean over seeds.
fn differences(request: &CompareRequest<'_>, number: &Number, totals: &[Statistics]) -> Vec<f64> {
    let seeds = request.pairs.len();
    let of_language = |runs: &[Statistics]| -> f64 {
        let number = |run: &Statistics| number.of(&request.metric.combine(run));
        let (a, b) = runs.split_at(seeds);
        (b.iter().map(number).sum::<f64>() - a.iter().map(number).sum::<f64>()) / seeds as f64
    };
    let languages: Vec<f64> = totals.chunks_exact(2 * seeds).map(of_language).collect();
    request.scopes.iter().map(|scope| scope.value(&languages)).collect()
}

/// Draws of Student's t, to be scaled by the seeds' standard error; none for one seed.
fn seed_noise(request: &CompareRequest<'_>, purpose: &str, draws: usize) -> Option<Vec<f64>> {
    let freedom = request.pairs.len().checked_sub(2)? + 1;
    let student = StudentT::new(freedom as f64).expect("degrees of freedom are positive");
    let mut random = generator(request.seed, &["seeds", purpose]);
    Some((0..draws).map(|_| student.sample(&mut random)).collect())
}

/// The distance from zero that a test at the 5% level needs, and how far below its mean a value is one time in five: of
/// values that are spread like these.
fn detectable(spread: &[f64]) -> f64 {
    let center = mean(spread);
    let far = quantile(spread.iter().map(|value| (value - center).abs()), CONFIDENCE);
    far + quantile(spread.iter().map(|value| value - center), POWER)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Each language of a run as a scope of its own.
pub fn languages(run: &Run) -> Vec<Group> {
    let each = run.languages.keys().enumerate();
    each.map(|(place, code)| Group { name: code.clone(), members: vec![place], less: vec![], missing: vec![] })
        .collect()
}

#[cfg(test)]
mod tests;
