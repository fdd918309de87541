//! Which task each step trains, and which instances each batch holds. Both are functions of the seed and of counters, so that
//! a training which goes on after a kill draws what it would have drawn.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::data::Instances;
use crate::model::random::{shuffle, stream, uniform};

/// Batches that are sorted by length together: enough for little padding, few enough for random neighbours.
const SORTED_BATCHES: usize = 64;

/// How a multi-task training divides its steps among tasks, one task a step.
///
/// It does not change how many steps an epoch has: as many as one pass over the instances of every task (those that count)
/// takes. So in an epoch a task that is drawn more often than its share of instances goes over them more than once.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Sampling {
    /// Every task alike.
    Uniform,
    /// By the number of instances.
    #[default]
    Proportional,
    /// By `min(instances, examples_cap) ^ (1 / temperature)`.
    Temperature {
        /// 1: proportional; large: uniform.
        temperature: f64,
        /// Instances beyond this do not count.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        examples_cap: Option<u64>,
    },
    /// By the weight given to each task (jiant's specified probabilities).
    Weights(BTreeMap<String, f64>),
}

impl Sampling {
    /// The instances that count of a task with `instances`.
    pub fn counted(&self, instances: usize) -> usize {
        match self {
            Sampling::Temperature { examples_cap: Some(cap), .. } => {
                instances.min(usize::try_from(*cap).unwrap_or(usize::MAX))
            }
            _ => instances,
        }
    }

    /// # Errors
    /// When a value is outside its range, or the weights are not those of `tasks`.
    pub fn check(&self, tasks: &[&str]) -> Result<(), String> {
        match self {
            Sampling::Uniform | Sampling::Proportional => Ok(()),
            Sampling::Temperature { temperature, examples_cap } => {
                let fine = temperature.is_finite() && *temperature > 0.0 && *examples_cap != Some(0);
                let problem = "sampling needs a temperature above 0 and an examples_cap of at least 1";
                if fine { Ok(()) } else { Err(problem.into()) }
            }
            Sampling::Weights(weights) => {
                if let Some((task, weight)) = weights.iter().find(|(_, weight)| !(weight.is_finite() && **weight > 0.0))
                {
                    return Err(format!("sampling.weights gives {task} {weight}; expected a number above 0"));
                }
                if let Some(task) = tasks.iter().find(|task| !weights.contains_key(**task)) {
                    return Err(format!("sampling.weights names no weight for task {task}"));
                }
                match weights.keys().find(|name| !tasks.contains(&name.as_str())) {
                    Some(name) => Err(format!(
                        "sampling.weights names {name}, which this training does not have; its tasks are {}",
                        tasks.join(", ")
                    )),
                    None => Ok(()),
                }
            }
        }
    }

    /// The share of the steps of each of `tasks` (name and instances); they sum to 1.
    pub fn shares(&self, tasks: &[(&str, usize)]) -> Vec<f64> {
        let weight = |(name, instances): &(&str, usize)| match self {
            Sampling::Uniform => 1.0,
            Sampling::Proportional => *instances as f64,
            Sampling::Temperature { temperature, .. } => (self.counted(*instances) as f64).powf(1.0 / temperature),
            Sampling::Weights(weights) => weights.get(*name).copied().unwrap_or(0.0),
        };
        let weights: Vec<f64> = tasks.iter().map(weight).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / sum).collect()
    }
}

/// The task of each step.
pub struct TaskSampler {
    seed: u64,
    shares: Vec<f64>,
}

impl TaskSampler {
    /// Draws tasks with the given `shares`.
    pub fn new(seed: u64, shares: Vec<f64>) -> Self {
        Self { seed, shares }
    }

    /// The index of the task that `step` (from 0) trains.
    pub fn task(&self, step: u64) -> usize {
        if self.shares.len() == 1 {
            return 0;
        }
        let mut drawn = uniform(&mut stream(self.seed, "task", &[step]));
        for (task, share) in self.shares.iter().enumerate() {
            if drawn < *share {
                return task;
            }
            drawn -= share;
        }
        self.shares.len() - 1
    }
}

/// How often an epoch draws from each language of a task, whose instances stand language by language.
#[derive(Debug, Clone, PartialEq)]
pub struct Languages {
    /// Where each language's instances end.
    ends: Vec<u32>,
    /// Instances of each language in an epoch; they sum to as many as there are.
    quotas: Vec<u32>,
}

impl Languages {
    /// Languages that end at `ends`, drawn in proportion to their size to the power `smoothing`.
    pub fn new(ends: Vec<u32>, smoothing: f64) -> Self {
        let sizes = sizes(&ends);
        let total = ends.last().copied().unwrap_or(0);
        let weights: Vec<f64> = sizes.iter().map(|size| f64::from(*size).powf(smoothing)).collect();
        let sum: f64 = weights.iter().sum();
        // Cumulative rounding: the quotas sum to the total, and each is within one of its share.
        let mut done = 0;
        let mut share = 0.0;
        let mut quotas: Vec<u32> = Vec::with_capacity(sizes.len());
        for weight in weights {
            share += weight / sum.max(f64::MIN_POSITIVE) * f64::from(total);
            let upto = (share.round() as u32).min(total);
            quotas.push(upto - done);
            done = upto;
        }
        Self { ends, quotas }
    }

    /// The instances of an epoch, not yet in random order: of each language whole passes, and a random part of one.
    fn epoch(&self, mut part: impl FnMut(&mut Vec<u32>)) -> Vec<u32> {
        let mut order = Vec::with_capacity(self.ends.last().map_or(0, |end| *end as usize));
        for ((end, size), quota) in self.ends.iter().zip(sizes(&self.ends)).zip(&self.quotas) {
            let all = end - size..*end;
            for _ in 0..quota.checked_div(size).unwrap_or(0) {
                order.extend(all.clone());
            }
            let left = quota.checked_rem(size).unwrap_or(0);
            if left > 0 {
                let mut rest: Vec<u32> = all.collect();
                part(&mut rest);
                order.extend(&rest[..left as usize]);
            }
        }
        order
    }
}

fn sizes(ends: &[u32]) -> Vec<u32> {
    ends.iter().enumerate().map(|(index, end)| end - if index == 0 { 0 } else { ends[index - 1] }).collect()
}

/// The batches of one task, epoch after epoch: shuffled, then sorted by length in stretches so that batches hold rows of
/// like length, then in random order.
pub struct BatchStream {
    seed: u64,
    task: u64,
    batch_size: usize,
    languages: Languages,
    epoch: Option<u64>,
    batches: Vec<Vec<u32>>,
}

impl BatchStream {
    /// The stream of the task at index `task`.
    pub fn new(seed: u64, task: usize, batch_size: usize, languages: Languages) -> Self {
        Self { seed, task: task as u64, batch_size, languages, epoch: None, batches: Vec::new() }
    }

    /// The instances of batch `index`, counted through all epochs from 0.
    pub fn batch(&mut self, instances: &Instances, index: u64) -> &[u32] {
        let each = instances.len().div_ceil(self.batch_size) as u64;
        let epoch = index / each;
        if self.epoch != Some(epoch) {
            self.batches = self.shuffled(instances, epoch);
            self.epoch = Some(epoch);
        }
        &self.batches[(index % each) as usize]
    }

    fn shuffled(&self, instances: &Instances, epoch: u64) -> Vec<Vec<u32>> {
        let mut rng = stream(self.seed, "order", &[self.task, epoch]);
        let mut order = self.languages.epoch(|rest| shuffle(&mut rng, rest));
        shuffle(&mut rng, &mut order);
        for stretch in order.chunks_mut(self.batch_size * SORTED_BATCHES) {
            stretch.sort_by_key(|index| instances.length(*index as usize));
        }
        let mut batches: Vec<Vec<u32>> = order.chunks(self.batch_size).map(<[u32]>::to_vec).collect();
        shuffle(&mut rng, &mut batches);
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_follow_the_definition() {
        let (small, large) = ([("a", 10), ("b", 30)], [("a", 100), ("b", 900)]);
        assert_eq!(Sampling::Uniform.shares(&small), [0.5, 0.5]);
        assert_eq!(Sampling::Proportional.shares(&small), [0.25, 0.75]);
        let temperature = |temperature, examples_cap| Sampling::Temperature { temperature, examples_cap };
        assert_eq!(temperature(2.0, None).shares(&large), [0.25, 0.75]);
        assert_eq!(temperature(1.0, Some(100)).shares(&large), [0.5, 0.5]);
        assert_eq!(weights(&[("b", 1.0), ("a", 4.0)]).shares(&large), [0.8, 0.2]);
    }

    fn weights(weights: &[(&str, f64)]) -> Sampling {
        Sampling::Weights(weights.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect())
    }

    #[test]
    fn weights_are_those_of_the_tasks() {
        let tasks = ["mnli", "text"];
        let problem = |sampling: Sampling| sampling.check(&tasks).unwrap_err();
        assert_eq!(weights(&[("mnli", 4.0), ("text", 1.0)]).check(&tasks), Ok(()));
        assert!(problem(weights(&[("mnli", 4.0)])).contains("no weight for task text"));
        assert!(problem(weights(&[("mnli", 4.0), ("text", 0.0)])).contains("gives text 0; expected"));
        let other = problem(weights(&[("mnli", 4.0), ("text", 1.0), ("mnil", 1.0)]));
        assert!(other.contains("names mnil") && other.contains("mnli, text"), "{other}");
        assert!(problem(Sampling::Temperature { temperature: 0.0, examples_cap: None }).contains("above 0"));
    }

    #[test]
    fn smoothing_lifts_small_languages() {
        // 10,000 and 100 rows to the power 0.3: shares of 0.7992 and 0.2008.
        let ends = vec![10_000, 10_100];
        let languages = Languages::new(ends.clone(), 0.3);
        assert_eq!(languages.quotas, [8_072, 2_028]);
        let order = languages.epoch(|_| {});
        let mut times = vec![0; 10_100];
        order.iter().for_each(|index| times[*index as usize] += 1);
        assert!(times[..10_000].iter().all(|times| *times <= 1));
        assert!(times[10_000..].iter().all(|times| *times == 20 || *times == 21));
        let all: Vec<u32> = (0..10_100).collect();
        assert_eq!(Languages::new(ends, 1.0).epoch(|_| {}), all);
        assert_eq!(Languages::new(vec![0, 5], 0.3).epoch(|_| {}), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn tasks_are_drawn_by_their_shares_and_by_the_step_alone() {
        let sampler = TaskSampler::new(5, vec![0.2, 0.5, 0.3]);
        let mut counts = [0; 3];
        for step in 0..10_000 {
            counts[sampler.task(step)] += 1;
        }
        for (count, share) in counts.iter().zip([2000, 5000, 3000]) {
            assert!(i32::abs(count - share) < 200, "{counts:?}");
        }
        assert_eq!(sampler.task(77), TaskSampler::new(5, vec![0.2, 0.5, 0.3]).task(77));
    }

    #[test]
    fn sampling_reads_from_toml() {
        #[derive(Deserialize)]
        struct File {
            sampling: Sampling,
        }
        let read = |text: &str| toml::from_str::<File>(text).map(|file| file.sampling);
        assert_eq!(read("sampling = \"uniform\"").unwrap(), Sampling::Uniform);
        let temperature = Sampling::Temperature { temperature: 2.0, examples_cap: Some(9) };
        assert_eq!(read("sampling.temperature = { temperature = 2.0, examples_cap = 9 }").unwrap(), temperature);
        assert!(read("sampling.temperature = { temperature = 2.0, cap = 9 }").is_err());
        let specified = weights(&[("mnli", 4.0), ("text", 1.5)]);
        assert_eq!(read("sampling.weights = { mnli = 4, text = 1.5 }").unwrap(), specified);
    }
}
