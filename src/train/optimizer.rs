//! AdamW over the parameters of a model, with the global norm of the gradients clipped and a linear schedule.
//!
//! burn's optimizer clips each tensor on its own, keeps its state by ids that weight files lose, and passes over memory
//! some ten times a step. This one clips the norm over all parameters, keeps its state by parameter, and on the CPU
//! makes one pass, divided among threads: burn's CPU tensors hand their buffer over and take it back without a copy. On
//! a GPU it composes tensor operations, which fuse there. A test holds the two to the same numbers.

use burn::tensor::{DType, Device, Tensor, TensorData};
use rayon::prelude::*;

use crate::model::elementary::{LANES, vectorised};
use crate::model::layers::Slot;
use crate::model::{Architecture, Model, ModelError, failure};

const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;

/// The learning rate of `step` (from 0) of `steps`: up in equal steps to `peak` over the first `warm_up` steps, then down in
/// equal steps that would reach 0 after the last.
pub fn learning_rate(step: u64, steps: u64, warm_up: u64, peak: f64) -> f64 {
    if step < warm_up {
        peak * (step + 1) as f64 / warm_up as f64
    } else {
        peak * steps.saturating_sub(step) as f64 / (steps - warm_up).max(1) as f64
    }
}

/// What weight decay leaves of each element of a matrix in a step at `rate`: the factor that [`AdamW`] multiplies by.
pub fn kept(rate: f64, weight_decay: f64) -> f32 {
    (1.0 - rate * weight_decay) as f32
}

/// The gradients of a model's parameters, flat, in the order of [`Model::parameters`]; none where a parameter took no part.
pub struct Gradients(Vec<Option<Tensor<1>>>);

impl Gradients {
    /// Backpropagates from `loss` to the parameters of `model`.
    pub fn of(loss: &Tensor<1>, model: &mut Model) -> Self {
        Self::taken(&mut loss.backward(), model)
    }

    /// Those of the parameters of `model` among all `gradients` of a backward pass.
    pub fn taken(gradients: &mut burn::tensor::Gradients, model: &mut Model) -> Self {
        let flat = |slot: Slot<'_>| match slot {
            Slot::Vector(tensor) => tensor.grad_remove(gradients),
            Slot::Table(tensor) | Slot::Map(tensor) => {
                let [rows, columns] = tensor.dims();
                Some(tensor.grad_remove(gradients)?.reshape([rows * columns]))
            }
        };
        Self(model.parameters().into_iter().map(|(_, slot)| slot).map(flat).collect())
    }

    /// Zeroes what the embedding lookup gave to the padding token, as PyTorch's `padding_idx` does. Needed where the loss
    /// reads hidden states of padding, which only that of spans does; not allowed with a masked-LM head, whose decoder
    /// shares the table and does move the padding row.
    pub fn without_padding(mut self, model: &mut Model) -> Self {
        let config = model.encoder.config.clone();
        let start = config.pad_token_id as usize * config.hidden_size;
        for ((name, _), gradient) in model.parameters().into_iter().zip(&mut self.0) {
            let padded = name.ends_with("embeddings.word_embeddings.weight")
                || name.ends_with("embeddings.position_embeddings.weight")
                    && config.model_type == Architecture::XlmRoberta;
            if padded {
                *gradient =
                    gradient.take().map(|gradient| gradient.slice_fill(start..start + config.hidden_size, 0.0f32));
            }
        }
        self
    }

    /// Adds the gradients of another batch.
    pub fn add(&mut self, other: Self) {
        for (sum, term) in self.0.iter_mut().zip(other.0) {
            *sum = match (sum.take(), term) {
                (Some(sum), Some(term)) => Some(sum + term),
                (sum, term) => sum.or(term),
            };
        }
    }

    /// The same times `factor`.
    pub fn scaled(self, factor: f32) -> Self {
        Self(self.0.into_iter().map(|gradient| Some(gradient? * factor)).collect())
    }

    /// Their global norm, `[1]`.
    pub fn norm(&self) -> Tensor<1> {
        let squares: Vec<Tensor<1>> = self.0.iter().flatten().map(|gradient| gradient.clone().square().sum()).collect();
        Tensor::cat(squares, 0).sum().sqrt()
    }

    /// One gradient after another, with the names of the parameters, for tests.
    #[cfg(test)]
    pub fn named(self, model: &mut Model) -> Vec<(String, Option<Tensor<1>>)> {
        model.parameters().into_iter().map(|(name, _)| name).zip(self.0).collect()
    }
}

/// What AdamW remembers of one parameter.
#[derive(Debug, Clone)]
pub struct Moments {
    /// Steps that this parameter took part in.
    pub steps: u32,
    /// Running mean of the gradient, flat, in memory layout.
    pub first: Tensor<1>,
    /// Running mean of its square.
    pub second: Tensor<1>,
}

/// AdamW as PyTorch defines it: betas 0.9 and 0.999, decoupled weight decay on matrices only.
pub struct AdamW {
    epsilon: f64,
    weight_decay: f64,
    max_norm: f64,
    on_cpu: bool,
    /// In the order of [`Model::parameters`]; none where a parameter has taken no part yet.
    pub moments: Vec<Option<Moments>>,
}

/// The numbers of one update that are the same for all elements of a parameter.
struct Update {
    keep: f32,
    step_size: f64,
    correction: f64,
    epsilon: f64,
}

impl AdamW {
    /// An optimizer for `model` that has not stepped. `max_norm` 0 turns clipping off.
    pub fn new(model: &mut Model, epsilon: f64, weight_decay: f64, max_norm: f64) -> Self {
        let on_cpu = model.encoder.on_cpu();
        Self { epsilon, weight_decay, max_norm, on_cpu, moments: model.parameters().iter().map(|_| None).collect() }
    }

    /// Moves the parameters of `model` against `gradients` and returns their global norm before clipping, `[1]`, which on
    /// a GPU is not computed before it is read.
    ///
    /// # Errors
    /// When the device fails to hand over a tensor.
    pub fn step(&mut self, model: &mut Model, gradients: Gradients, rate: f64) -> Result<Tensor<1>, ModelError> {
        let device = model.encoder.device.clone();
        if self.on_cpu {
            self.step_host(model, gradients, rate, &device)
        } else {
            Ok(self.step_device(model, gradients, rate, &device))
        }
    }

    fn update(&self, slot: &Slot<'_>, steps: u32, rate: f64) -> Update {
        let bias = |beta: f64| 1.0 - beta.powi(steps as i32);
        Update {
            keep: if slot.decays() { kept(rate, self.weight_decay) } else { 1.0 },
            step_size: rate / bias(BETA_1),
            correction: bias(BETA_2).sqrt(),
            epsilon: self.epsilon,
        }
    }

    fn step_host(
        &mut self,
        model: &mut Model,
        gradients: Gradients,
        rate: f64,
        device: &Device,
    ) -> Result<Tensor<1>, ModelError> {
        let gradients: Vec<Option<TensorData>> =
            gradients.0.into_iter().map(|gradient| gradient.map(data).transpose()).collect::<Result<_, _>>()?;
        let widths: Vec<Option<usize>> = model.parameters().iter().map(|(_, slot)| table_width(slot)).collect();
        let norm = norm(&gradients, &widths);
        let scale = clip(norm, self.max_norm) as f32;
        let mut slots: Vec<Slot<'_>> = model.parameters().into_iter().map(|(_, slot)| slot).collect();
        let mut held = Vec::new();
        for (index, (slot, gradient)) in slots.iter_mut().zip(gradients).enumerate() {
            let Some(gradient) = gradient else { continue };
            let (steps, first, second) = match self.moments[index].take() {
                Some(moments) => (moments.steps + 1, data(moments.first)?, data(moments.second)?),
                None => {
                    let zeros = || TensorData::zeros::<f32, _>([gradient.num_elements()]);
                    (1, zeros(), zeros())
                }
            };
            let update = self.update(slot, steps, rate);
            let values = match slot {
                Slot::Vector(tensor) => data(tensor.extract())?,
                Slot::Table(tensor) | Slot::Map(tensor) => data(tensor.extract())?,
            };
            held.push(Held { index, steps, update, values, gradient, first, second });
        }
        let blocks: Vec<Block<'_>> = held.iter_mut().flat_map(Held::blocks).collect();
        if blocks.len() > 1 {
            blocks.into_par_iter().for_each(|block| block.apply(scale));
        } else {
            blocks.into_iter().for_each(|block| block.apply(scale));
        }
        for Held { index, steps, values, first, second, .. } in held {
            match &mut slots[index] {
                Slot::Vector(tensor) => **tensor = tracked(values, device),
                Slot::Table(tensor) | Slot::Map(tensor) => **tensor = tracked(values, device),
            }
            let moment = |data| Tensor::from_data(data, (device, DType::F32));
            self.moments[index] = Some(Moments { steps, first: moment(first), second: moment(second) });
        }
        Ok(Tensor::from_data(TensorData::new(vec![norm as f32], [1]), (device, DType::F32)))
    }

    fn step_device(&mut self, model: &mut Model, gradients: Gradients, rate: f64, device: &Device) -> Tensor<1> {
        let norm = gradients.norm();
        let scale = if self.max_norm > 0.0 {
            ((norm.clone() + 1e-6).recip() * self.max_norm).clamp_max(1.0)
        } else {
            Tensor::ones([1], device)
        };
        for (index, ((_, slot), gradient)) in model.parameters().into_iter().zip(gradients.0).enumerate() {
            let Some(gradient) = gradient else { continue };
            let gradient = gradient * scale.clone();
            let moments = self.moments[index].take().unwrap_or_else(|| Moments {
                steps: 0,
                first: gradient.zeros_like(),
                second: gradient.zeros_like(),
            });
            let steps = moments.steps + 1;
            let first = moments.first * BETA_1 + gradient.clone() * (1.0 - BETA_1);
            let second = moments.second * BETA_2 + gradient.square() * (1.0 - BETA_2);
            let update = self.update(&slot, steps, rate);
            let denominator = second.clone().sqrt() / update.correction + update.epsilon;
            let step = first.clone() / denominator * update.step_size;
            match slot {
                Slot::Vector(tensor) => {
                    tensor.inplace(|tensor| (tensor.inner() * update.keep - step).autodiff().require_grad());
                }
                Slot::Table(tensor) | Slot::Map(tensor) => tensor.inplace(|tensor| {
                    let step = step.reshape(tensor.dims());
                    (tensor.inner() * update.keep - step).autodiff().require_grad()
                }),
            }
            self.moments[index] = Some(Moments { steps, first, second });
        }
        norm
    }
}

/// The factor that brings `norm` down to `max_norm`, as PyTorch's `clip_grad_norm_` has it.
fn clip(norm: f64, max_norm: f64) -> f64 {
    if max_norm > 0.0 { (max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 }
}

/// Elements that one task of the thread pool works on: sums over them are the same whatever the number of threads.
const BLOCK: usize = 65_536;

/// Elements of a row, of a parameter that is a table.
fn table_width(slot: &Slot<'_>) -> Option<usize> {
    match slot {
        Slot::Table(tensor) => Some(tensor.dims()[1]),
        Slot::Vector(_) | Slot::Map(_) => None,
    }
}

/// The global norm of `gradients`, of which those of tables have a width. Tables are added up row by row, so that rows of zeros
/// change no bit: with a trimmed vocabulary they are not there.
fn norm(gradients: &[Option<TensorData>], widths: &[Option<usize>]) -> f64 {
    let blocks: Vec<&[f32]> = gradients
        .iter()
        .zip(widths)
        .filter_map(|(gradient, width)| Some(floats(gradient.as_ref()?).chunks(width.unwrap_or(BLOCK))))
        .flatten()
        .collect();
    let squares: Vec<f64> = if blocks.len() > 1 {
        blocks.into_par_iter().map(square_sum).collect()
    } else {
        blocks.into_iter().map(square_sum).collect()
    };
    squares.iter().sum::<f64>().sqrt()
}

/// A parameter out of its tensor, with all that an update reads and writes.
struct Held {
    index: usize,
    steps: u32,
    update: Update,
    values: TensorData,
    gradient: TensorData,
    first: TensorData,
    second: TensorData,
}

impl Held {
    fn blocks(&mut self) -> impl Iterator<Item = Block<'_>> {
        let update = &self.update;
        let moments = floats_mut(&mut self.first).chunks_mut(BLOCK).zip(floats_mut(&mut self.second).chunks_mut(BLOCK));
        let parts =
            floats_mut(&mut self.values).chunks_mut(BLOCK).zip(floats(&self.gradient).chunks(BLOCK)).zip(moments);
        parts.map(move |((values, gradient), (first, second))| Block { update, values, gradient, first, second })
    }
}

/// A stretch of a parameter.
struct Block<'a> {
    update: &'a Update,
    values: &'a mut [f32],
    gradient: &'a [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
}

impl Block<'_> {
    fn apply(self, scale: f32) {
        apply(self.update, scale, self.values, self.gradient, self.first, self.second);
    }
}

vectorised! {
    /// The sum of squares, in lanes of f64, always added in the same order.
    fn square_sum(values: &[f32]) -> f64 {
        let mut sums = [0.0f64; LANES];
        let chunks = values.chunks_exact(LANES);
        for (sum, value) in sums.iter_mut().zip(chunks.remainder()) {
            *sum += f64::from(*value) * f64::from(*value);
        }
        for chunk in chunks {
            for (sum, value) in sums.iter_mut().zip(chunk) {
                *sum += f64::from(*value) * f64::from(*value);
            }
        }
        sums.iter().sum::<f64>()
    }
}

vectorised! {
    /// One pass of AdamW over elements whose gradient is to be multiplied by `scale`.
    fn apply(
        update: &Update,
        scale: f32,
        values: &mut [f32],
        gradient: &[f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        let (beta_1, beta_2) = (BETA_1 as f32, BETA_2 as f32);
        let (rest_1, rest_2) = ((1.0 - BETA_1) as f32, (1.0 - BETA_2) as f32);
        let (keep, step_size) = (update.keep, update.step_size as f32);
        let (correction, epsilon) = ((1.0 / update.correction) as f32, update.epsilon as f32);
        for (((value, gradient), first), second) in values.iter_mut().zip(gradient).zip(first).zip(second) {
            let gradient = gradient * scale;
            *first = beta_1 * *first + rest_1 * gradient;
            *second = beta_2 * *second + rest_2 * (gradient * gradient);
            *value = *value * keep - step_size * (*first / (second.sqrt() * correction + epsilon));
        }
    }
}

/// A parameter from its numbers, tracked.
fn tracked<const D: usize>(values: TensorData, device: &Device) -> Tensor<D> {
    Tensor::from_data(values, (device, DType::F32)).autodiff().require_grad()
}

fn data<const D: usize>(tensor: Tensor<D>) -> Result<TensorData, ModelError> {
    tensor.without_autodiff().try_into_data().map_err(|error| failure("stepping the optimizer", &error.to_string()))
}

fn floats(data: &TensorData) -> &[f32] {
    data.as_slice().expect("parameters, gradients and moments are f32")
}

fn floats_mut(data: &mut TensorData) -> &mut [f32] {
    data.as_mut_slice().expect("parameters, gradients and moments are f32")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::tests::tiny;
    use crate::model::weights::{Parameter, initialize};
    use crate::model::{Dropout, HeadKind, HeadSpec, TokenBatch};

    #[test]
    fn the_schedule_rises_to_the_peak_and_falls_to_nothing() {
        let rates: Vec<f64> = (0..12).map(|step| learning_rate(step, 12, 3, 9.0)).collect();
        assert_eq!(rates, [3.0, 6.0, 9.0, 9.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0]);
        assert_eq!(learning_rate(0, 10, 0, 1.0), 1.0);
        assert_eq!(learning_rate(9, 10, 0, 1.0), 0.1);
    }

    #[test]
    fn rows_of_zeros_change_no_bit_of_the_norm() {
        let row = |row: usize| (0..12).map(move |at| ((row * 12 + at) as f32 * 0.37).sin());
        let rows: Vec<f32> = (0..40_000).flat_map(row).collect();
        let padded: Vec<f32> = (0..40_000).flat_map(|at| row(at).chain([0.0; 12].repeat(at % 7))).collect();
        let table = |values: Vec<f32>| {
            let count = values.len();
            Some(TensorData::new(values, [count]))
        };
        let other = table((0..1_000).map(|at| at as f32 * 1e-3).collect());
        let of =
            |rows: Vec<f32>| norm(&[other.clone(), None, table(rows), other.clone()], &[None, None, Some(12), None]);
        assert_eq!(of(rows).to_bits(), of(padded).to_bits());
    }

    #[test]
    fn both_ways_of_stepping_give_the_same_parameters() {
        let device = Device::flex();
        let head = HeadSpec::new("t", HeadKind::SequenceClassification, vec!["a".into(), "b".into()]);
        let start = initialize(&tiny(Architecture::XlmRoberta), &[head], 1, &device);
        let rows: [(&[u32], &[u32]); 2] = [(&[5, 6, 7], &[]), (&[8, 9], &[])];
        let batch = TokenBatch::new(rows.iter().copied(), 1, 4, 40);
        let train = |on_cpu: bool| {
            let mut model = start.clone().tracked();
            let mut optimizer = AdamW::new(&mut model, 1e-8, 0.01, 1.0);
            optimizer.on_cpu = on_cpu;
            let mut norms = Vec::new();
            for _ in 0..4 {
                let hidden = model.encoder.forward(&batch, &mut Dropout::off());
                let logits = model.heads[0].head.rows(&model.encoder, hidden, batch.rows, &mut Dropout::off());
                let loss = logits.square().sum();
                let gradients = Gradients::of(&loss, &mut model);
                norms.push(optimizer.step(&mut model, gradients, 1e-2).unwrap().into_scalar::<f32>());
            }
            let parameters: Vec<(String, Parameter)> =
                model.parameters().into_iter().map(|(name, slot)| (name, Parameter::read(slot).unwrap())).collect();
            (norms, parameters)
        };
        let (host, device) = (train(true), train(false));
        for (a, b) in host.0.iter().zip(&device.0) {
            assert!((a / b - 1.0).abs() < 1e-5, "{a} {b}");
        }
        for ((name, a), (_, b)) in host.1.iter().zip(&device.1) {
            let difference = a.values.iter().zip(&b.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference < 2e-5, "{name} {difference}");
        }
    }
}
