//! Examples by what they contribute: to a resample it does not matter *which* example was drawn, only what it adds.
//!
//! An example enters every statistic here through its [`Statistics`] alone, so examples with equal statistics are one
//! class. A bootstrap resample is a multinomial draw over classes, which is drawn class by class from conditional
//! binomials: a million right and wrong answers cost one binomial, not a million draws. Classes of few examples are
//! drawn example by example, which is as exact, and cheaper there.
//!
//! Where several runs scored the same examples, an example's row holds what it adds to each of them, so that they meet
//! the same resamples. Languages whose examples have the same ids (translations of one test set: XNLI, XQuAD, PAWS-X) are
//! one [`Block`] for the same reason: an item that is hard is hard in every language, and an interval of a mean over
//! languages that draws them one by one would be too narrow. Where equal ids mean nothing (rows that are only
//! numbered) this costs time and changes nothing else: the pairing of unrelated examples adds no covariance.

use std::collections::HashMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Binomial, Distribution};

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

/// The examples of a language, or of several languages that have the same ones, by class.
pub(super) struct Block {
    /// Its languages.
    pub languages: Vec<String>,
    /// Where each column of a row stands in the totals of all samples.
    pub places: Vec<usize>,
    /// One row a class: what an example of it adds to each place.
    pub rows: Vec<f64>,
    /// Examples in each class; in descending order.
    pub counts: Vec<u32>,
    /// Classes drawn by binomials.
    large: usize,
    /// The class of each example of the others.
    small: Vec<u32>,
}

/// The blocks of `samples`, all of which have the same number of runs. Sample `s` and run `r` stand at
/// [`PLACES`]` * (s * runs + r)` of the totals.
pub(super) fn blocks(samples: &[Sample<'_>]) -> Vec<Block> {
    together(samples).into_iter().map(|block| Block::new(samples, block)).collect()
}

/// The places of the samples that have the same examples, and so are drawn together; most are alone.
pub(super) fn together(samples: &[Sample<'_>]) -> Vec<Vec<usize>> {
    let mut together: Vec<Vec<usize>> = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        match together.iter_mut().find(|block| samples[block[0]].ids == sample.ids) {
            Some(block) => block.push(index),
            None => together.push(vec![index]),
        }
    }
    together
}

impl Block {
    fn new(samples: &[Sample<'_>], members: Vec<usize>) -> Self {
        let runs = samples[members[0]].runs.len();
        let examples = samples[members[0]].ids.len();
        // A place that no example of the block adds to is no column.
        let mut columns = Vec::new();
        for &sample in &members {
            for (run, statistics) in samples[sample].runs.iter().enumerate() {
                let used = |place: &usize| statistics.iter().any(|example| example[*place] != 0.0);
                let of_run = (0..PLACES).filter(used).map(|place| (sample, run, place));
                columns.extend(of_run);
            }
        }
        let value = |example: usize, &(sample, run, place): &(usize, usize, usize)| -> f64 {
            // Adding zero makes a negative zero positive: one class.
            samples[sample].runs[run][example][place] + 0.0
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
            places: columns.iter().map(|(sample, run, place)| PLACES * (sample * runs + run) + place).collect(),
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
    blocks(samples).iter().for_each(|block| block.add_all(&mut totals));
    statistics(&totals)
}

/// Totals of all samples as [`Statistics`], by sample and then by run.
pub(super) fn statistics(totals: &[f64]) -> Vec<Statistics> {
    let statistics = |places: &[f64]| -> Statistics { std::array::from_fn(|place| places[place]) };
    totals.chunks_exact(PLACES).map(statistics).collect()
}
