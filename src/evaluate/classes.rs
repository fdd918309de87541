//! Examples by what they contribute: to a resample it does not matter *which* example was drawn, only what it adds.
//!
//! An example enters every statistic here through its [`Statistics`] alone, so examples with equal statistics are one
//! class. A bootstrap resample is a multinomial draw over classes, which is drawn class by class from conditional
//! binomials: a million right and wrong answers cost one binomial, not a million draws. Classes of few examples are
//! drawn example by example, which is as exact, and cheaper there.
//!
//! Where several runs scored the same examples, an example's row holds what it adds to each of them, so that they meet
//! the same resamples. In a task whose languages are translations of one another (`parallel` in its file: XNLI, XQuAD,
//! MLQA) the unit is not the example but the *item*, with what it adds in every language that has it: an item that is hard
//! is hard in all of them, and an interval of a mean over languages that drew them one by one would be too narrow. Items are
//! drawn from all that any of the languages has (the cluster bootstrap: Davison and Hinkley 1997, section 3.8), so where a
//! language lacks some, the number of its examples varies from one resample to the next.

use std::collections::HashMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution};

use super::hash::IdMap;
use super::metric::Statistics;

/// Places of [`Statistics`].
pub(super) const PLACES: usize = size_of::<Statistics>() / size_of::<f64>();

/// Classes of at least so many examples are drawn by binomials.
const LARGE: u32 = 8;

/// One language's examples, as one or several runs scored them.
#[derive(Debug, Clone)]
pub struct Sample<'a> {
    /// The language.
    pub language: &'a str,
    /// The examples' ids, in ascending order.
    pub ids: &'a [String],
    /// What each example contributes, in the ids' order, for each run.
    pub runs: Vec<&'a [Statistics]>,
}

/// The examples of a language, or the items of several languages, by class.
pub(super) struct Block {
    /// Its languages.
    pub languages: Vec<String>,
    /// Where each column of a row stands in the totals of all samples.
    pub places: Vec<usize>,
    /// One row a class: what an example (or item) of it adds to each place.
    pub rows: Vec<f64>,
    /// Examples in each class; in descending order.
    pub counts: Vec<u32>,
    /// Classes drawn by binomials.
    large: usize,
    /// The class of each example of the others.
    small: Vec<u32>,
}

/// The blocks of `samples`, all of which have the same number of runs: one a language, or one for all languages of a
/// `parallel` task. Sample `s` and run `r` stand at [`PLACES`]` * (s * runs + r)` of the totals.
pub(super) fn blocks(samples: &[Sample<'_>], parallel: bool) -> Vec<Block> {
    let by_example = || samples.iter().map(|sample| sample.runs.clone()).collect::<Vec<_>>();
    let members: Vec<usize> = (0..samples.len()).collect();
    if !parallel {
        let runs = by_example();
        return members.chunks(1).map(|one| Block::new(samples, &runs, one)).collect();
    }
    if samples.is_empty() {
        return Vec::new();
    }
    let items = samples.iter().flat_map(|sample| sample.ids.iter().map(|id| item(id)));
    let mut places: IdMap<'_, usize> = IdMap::default();
    for item in items {
        let next = places.len();
        places.entry(item).or_insert(next);
    }
    let in_order = |sample: &Sample<'_>| {
        sample.ids.len() == places.len() && sample.ids.iter().enumerate().all(|(at, id)| places[item(id)] == at)
    };
    if samples.iter().all(in_order) {
        return vec![Block::new(samples, &by_example(), &members)];
    }
    let of_run = |sample: &Sample<'_>, run: &[Statistics]| {
        let mut sums = vec![Statistics::default(); places.len()];
        for (id, statistics) in sample.ids.iter().zip(run) {
            let sum = &mut sums[places[item(id)]];
            sum.iter_mut().zip(statistics).for_each(|(sum, value)| *sum += value);
        }
        sums
    };
    let sums: Vec<Vec<Vec<Statistics>>> =
        samples.iter().map(|sample| sample.runs.iter().map(|run| of_run(sample, run)).collect()).collect();
    let runs: Vec<Vec<&[Statistics]>> = sums.iter().map(|runs| runs.iter().map(Vec::as_slice).collect()).collect();
    vec![Block::new(samples, &runs, &members)]
}

/// What an example of a parallel task is a translation of: its id, without the language of the question that `mlqa_cross` puts
/// before it (`ar/…`).
fn item(id: &str) -> &str {
    let is_language = |code: &str| code.len() == 2 && code.bytes().all(|byte| byte.is_ascii_lowercase());
    id.split_once('/').filter(|(code, _)| is_language(code)).map_or(id, |(_, item)| item)
}

impl Block {
    /// The block of some samples (`members`), whose runs are `runs` by sample: all of the same examples, or items.
    fn new(samples: &[Sample<'_>], runs: &[Vec<&[Statistics]>], members: &[usize]) -> Self {
        let count = runs[members[0]].len();
        let examples = runs[members[0]].first().map_or(0, |run| run.len());
        // A place that no example of the block adds to is no column.
        let mut columns = Vec::new();
        for &sample in members {
            for (run, statistics) in runs[sample].iter().enumerate() {
                let used = |place: &usize| statistics.iter().any(|example| example[*place] != 0.0);
                let of_run = (0..PLACES).filter(used).map(|place| (sample, run, place));
                columns.extend(of_run);
            }
        }
        let value = |example: usize, &(sample, run, place): &(usize, usize, usize)| -> f64 {
            // Adding zero makes a negative zero positive: one class.
            runs[sample][run][example][place] + 0.0
        };
        let mut known: HashMap<Vec<u64>, u32> = HashMap::new();
        let mut row = Vec::with_capacity(columns.len());
        for example in 0..examples {
            row.clear();
            row.extend(columns.iter().map(|column| value(example, column).to_bits()));
            match known.get_mut(&row) {
                Some(count) => *count += 1,
                None => drop(known.insert(row.clone(), 1)),
            }
        }
        // By count, then by value: the order of the examples leaves no trace.
        let mut classes: Vec<(Vec<u64>, u32)> = known.into_iter().collect();
        classes.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let counts: Vec<u32> = classes.iter().map(|(_, count)| *count).collect();
        let large = counts.partition_point(|count| *count >= LARGE);
        let of_small =
            (large..counts.len()).flat_map(|class| std::iter::repeat_n(class as u32, counts[class] as usize));
        Block {
            languages: members.iter().map(|&sample| samples[sample].language.to_owned()).collect(),
            places: columns.iter().map(|(sample, run, place)| PLACES * (sample * count + run) + place).collect(),
            rows: classes.iter().flat_map(|(row, _)| row.iter().map(|bits| f64::from_bits(*bits))).collect(),
            small: of_small.collect(),
            large,
            counts,
        }
    }

    /// What one example of a class adds, column by column.
    pub fn row(&self, class: usize) -> &[f64] {
        &self.rows[class * self.places.len()..(class + 1) * self.places.len()]
    }

    /// Adds the examples of the block, each once, to the totals of all samples.
    pub fn add_all(&self, totals: &mut [f64]) {
        self.add(&self.counts, totals);
    }

    /// Adds as many examples as there are, drawn with replacement.
    pub fn add_resample(&self, random: &mut ChaCha8Rng, totals: &mut [f64]) {
        let mut drawn = vec![0_u32; self.counts.len()];
        let examples: u32 = self.counts.iter().sum();
        let (mut left, mut among) = (u64::from(examples), u64::from(examples));
        for (drawn, &members) in drawn.iter_mut().zip(&self.counts[..self.large]) {
            let share = f64::from(members) / among as f64;
            let binomial = Binomial::new(left, share.min(1.0)).expect("a share is from 0 to 1");
            let count = binomial.sample(random).min(left);
            *drawn = count as u32;
            left -= count;
            among -= u64::from(members);
        }
        // Where no small class is, the last large one has taken what was left: its share was 1.
        if !self.small.is_empty() {
            for _ in 0..left {
                drawn[self.small[random.random_range(0..self.small.len())] as usize] += 1;
            }
        }
        self.add(&drawn, totals);
    }

    /// Adds so many examples of each class, in the classes' order.
    fn add(&self, counts: &[u32], totals: &mut [f64]) {
        let mut sums = vec![0.0; self.places.len()];
        for (class, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = f64::from(*count);
            for (sum, value) in sums.iter_mut().zip(self.row(class)) {
                *sum += count * value;
            }
        }
        for (sum, place) in sums.iter().zip(&self.places) {
            totals[*place] += sum;
        }
    }
}

/// The totals of all samples as they are, by sample and then by run.
pub(super) fn observed(samples: &[Sample<'_>]) -> Vec<Statistics> {
    let runs = samples.first().map_or(0, |sample| sample.runs.len());
    let mut totals = vec![0.0; PLACES * samples.len() * runs];
    blocks(samples, false).iter().for_each(|block| block.add_all(&mut totals));
    statistics(&totals)
}

/// Totals of all samples as [`Statistics`], by sample and then by run.
pub(super) fn statistics(totals: &[f64]) -> Vec<Statistics> {
    let statistics = |places: &[f64]| -> Statistics { std::array::from_fn(|place| places[place]) };
    totals.chunks_exact(PLACES).map(statistics).collect()
}
