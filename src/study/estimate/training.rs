//! How long a training is and what it reads: the steps that the trainer will plan (`train/trainer/prepare.rs`), were all instances as long
//! as the mean of their task. A training that stops early does less: these are the most steps that it takes.

use super::number::{Basis, Estimate};
use crate::task::EncoderSizes;
use crate::train::Hyperparameters;

/// One task of a training.
#[derive(Debug, Clone)]
pub struct Mixed {
    /// Its id.
    pub id: String,
    /// Instances of its training split; none where nobody knows.
    pub instances: Option<Estimate>,
    /// Instances of its validation split; zero where it has none.
    pub validation: Option<Estimate>,
    /// Tokens of an instance, in all its rows; none where nobody knows.
    pub tokens: Option<Estimate>,
    /// Tokens of a row.
    pub row: f64,
    /// Whether it is masked-LM training, which decodes the masked tokens.
    pub masked: bool,
}

/// What a training takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Training {
    /// Steps of the optimizer, at most.
    pub steps: Option<Estimate>,
    /// Instances that it learns from, repeated ones counted again.
    pub instances: Option<Estimate>,
    /// Tokens that it learns from, padding left out.
    pub tokens: Option<Estimate>,
    /// Floating-point operations, evaluations included; none without an encoder whose sizes are known.
    pub flops: Option<Estimate>,
}

/// A training of `tasks`; `done` are the steps that it took, where it is over.
pub fn training(
    hyper: &Hyperparameters,
    tasks: &[Mixed],
    encoder: Option<(EncoderSizes, Basis)>,
    done: Option<u64>,
) -> Training {
    let each_step = (hyper.batch_size * hyper.accumulation) as f64;
    let counts: Option<Vec<Estimate>> = tasks.iter().map(|task| task.instances).collect();
    let basis = |counts: &[Estimate]| counts.iter().map(|count| count.basis).max().unwrap_or(Basis::Measured);
    let sized =
        |counts: &[Estimate]| -> Vec<usize> { counts.iter().map(|count| count.value.round() as usize).collect() };
    let steps = match (done, hyper.max_steps, &counts) {
        (Some(steps), ..) => Some(Estimate::new(steps as f64, Basis::Measured)),
        (_, Some(steps), _) => Some(Estimate::new(steps as f64, Basis::Generated)),
        (_, None, Some(counts)) => {
            let epoch: usize = sized(counts)
                .into_iter()
                .map(|count| hyper.sampling.counted(count).div_ceil(hyper.batch_size * hyper.accumulation))
                .sum();
            Some(Estimate::new((hyper.epochs * epoch as f64).ceil(), basis(counts)))
        }
        (_, None, None) => None,
    };
    // Shares of the steps; of tasks of unknown size only those that do not depend on it.
    let shares = match (&counts, tasks) {
        (Some(counts), _) => {
            let named: Vec<(&str, usize)> = tasks.iter().map(|task| task.id.as_str()).zip(sized(counts)).collect();
            Some((hyper.sampling.shares(&named), basis(counts)))
        }
        (None, [_]) => Some((vec![1.0], Basis::Measured)),
        (None, _) => None,
    };
    let instances = steps.map(|steps| steps.map(|steps| steps * each_step));
    let mixed = |weigh: &dyn Fn(&Mixed, Estimate) -> f64| -> Option<Estimate> {
        let (shares, known) = shares.as_ref()?;
        let parts = tasks.iter().zip(shares).map(|(task, share)| {
            let tokens = task.tokens?;
            Some(Estimate::new(share * weigh(task, tokens), tokens.basis).resting_on(*known))
        });
        Estimate::sum(parts)
    };
    let tokens = instances.zip(mixed(&|_, tokens| tokens.value)).map(|(instances, each)| instances.times(each));
    let flops = encoder.and_then(|(sizes, sure)| {
        let forward = |task: &Mixed, tokens: Estimate| {
            let decoded = if task.masked { tokens.value * hyper.masking_share } else { 0.0 };
            sizes.forward(tokens.value, task.row) + sizes.decoder(decoded)
        };
        let passes = if hyper.gradient_checkpointing { 4.0 } else { 3.0 };
        let learning = instances?.times(mixed(&forward)?).map(|forward| forward * passes);
        Some(learning.plus(evaluations(hyper, tasks, steps?, &forward)?).resting_on(sure))
    });
    Training { steps, instances, tokens, flops }
}

/// Operations of the evaluations on the validation split: every so many steps, and after the last one.
fn evaluations(
    hyper: &Hyperparameters,
    tasks: &[Mixed],
    steps: Estimate,
    forward: &dyn Fn(&Mixed, Estimate) -> f64,
) -> Option<Estimate> {
    if hyper.eval_every == 0 {
        return Some(Estimate::ZERO);
    }
    let times = steps.map(|steps| (steps / hyper.eval_every as f64).ceil());
    let one = Estimate::sum(tasks.iter().map(|task| {
        let validation = task.validation?.map(|instances| instances.min(hyper.eval_examples as f64));
        if validation.value == 0.0 {
            return Some(Estimate::ZERO);
        }
        let tokens = task.tokens?;
        Some(validation.times(Estimate::new(forward(task, tokens), tokens.basis)))
    }));
    Some(times.times(one?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Registry;
    use crate::train::sampler::Sampling;

    fn large() -> Option<(EncoderSizes, Basis)> {
        let registry = Registry::load(&[]).unwrap();
        Some((registry.model("xlm-roberta-large", "test").unwrap().sizes.unwrap(), Basis::Published))
    }

    fn mnli() -> Mixed {
        Mixed {
            id: "mnli".to_owned(),
            instances: Some(Estimate::new(392_702.0, Basis::Published)),
            validation: Some(Estimate::new(9_815.0, Basis::Published)),
            tokens: Some(Estimate::new(48.0, Basis::Declared)),
            row: 48.0,
            masked: false,
        }
    }

    /// As in the study.
    fn hyper() -> Hyperparameters {
        Hyperparameters { batch_size: 4, accumulation: 8, epochs: 2.0, ..Hyperparameters::default() }
    }

    #[test]
    fn two_epochs_of_mnli_are_the_steps_and_operations_that_arithmetic_gives() {
        let found = training(&hyper(), &[mnli()], large(), None);
        // 392,702 pairs, 32 a step, twice: what jiant's `max_steps` gives.
        assert_eq!(found.steps, Some(Estimate::new(24_544.0, Basis::Published)));
        assert_eq!(found.tokens.unwrap().value, 24_544.0 * 32.0 * 48.0);
        assert_eq!(found.tokens.unwrap().basis, Basis::Declared);
        // 6 N of each token, 12 L s d for attention, and 25 evaluations of 500 pairs.
        let [n, attention] = [301_989_888.0, 24.0 * 1024.0 * 48.0];
        let learning = 24_544.0 * 32.0 * 48.0 * (6.0 * n + 12.0 * attention);
        let evaluating = 25.0 * 500.0 * 48.0 * (2.0 * n + 4.0 * attention);
        let flops = found.flops.unwrap().value;
        assert!((flops / (learning + evaluating) - 1.0).abs() < 1e-12, "{flops}");
        // Two percent above 6 N alone.
        assert!((1.0..1.03).contains(&(flops / (6.0 * n * found.tokens.unwrap().value))));
    }

    #[test]
    fn more_of_anything_is_never_less() {
        let flops =
            |hyper: &Hyperparameters, tasks: &[Mixed]| training(hyper, tasks, large(), None).flops.unwrap().value;
        let base = flops(&hyper(), &[mnli()]);
        assert!(flops(&Hyperparameters { epochs: 3.0, ..hyper() }, &[mnli()]) > base);
        assert!(flops(&Hyperparameters { eval_every: 100, ..hyper() }, &[mnli()]) > base);
        assert!(flops(&Hyperparameters { gradient_checkpointing: true, ..hyper() }, &[mnli()]) > 1.3 * base);
        let more = Estimate::new(500_000.0, Basis::Published);
        assert!(flops(&hyper(), &[Mixed { instances: Some(more), ..mnli() }]) > base);
        assert!(flops(&hyper(), &[mnli(), Mixed { id: "snli".to_owned(), ..mnli() }]) > 1.9 * base);
        let masked = Mixed { masked: true, ..mnli() };
        // A vocabulary of 250,002 entries for one token in seven: a tenth and more.
        assert!(flops(&hyper(), &[masked]) > 1.1 * base);
    }

    #[test]
    fn what_is_not_known_is_not_guessed() {
        let unknown = Mixed { instances: None, validation: None, ..mnli() };
        let without = training(&hyper(), std::slice::from_ref(&unknown), large(), None);
        assert_eq!((without.steps, without.tokens, without.flops), (None, None, None));
        // Steps that the study gives are known all the same, and so is what one task reads in them.
        let given = Hyperparameters { max_steps: Some(100), eval_every: 0, ..hyper() };
        let found = training(&given, std::slice::from_ref(&unknown), large(), None);
        assert_eq!(found.tokens, Some(Estimate::new(100.0 * 32.0 * 48.0, Basis::Declared)));
        assert!(training(&given, &[unknown, mnli()], large(), None).tokens.is_none());
        assert!(training(&given, &[mnli()], None, None).flops.is_none());
    }

    #[test]
    fn a_training_that_stopped_early_took_the_steps_that_it_took() {
        let found = training(&hyper(), &[mnli()], large(), Some(3_000));
        assert_eq!(found.steps, Some(Estimate::new(3_000.0, Basis::Measured)));
        assert_eq!(found.instances.unwrap().value, 96_000.0);
    }

    #[test]
    fn steps_are_divided_as_the_trainer_divides_them() {
        let long = Mixed { id: "long".to_owned(), tokens: Some(Estimate::new(480.0, Basis::Declared)), ..mnli() };
        let uniform = Hyperparameters { sampling: Sampling::Uniform, max_steps: Some(10), ..hyper() };
        let found = training(&uniform, &[mnli(), long], large(), None);
        assert_eq!(found.tokens.unwrap().value, 10.0 * 32.0 * (48.0 + 480.0) / 2.0);
    }
}
