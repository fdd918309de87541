//! The pieces that encoder and heads are made of, and the walk over their parameters.

use burn::tensor::activation::softmax;
use burn::tensor::module::{layer_norm, linear};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use super::config::Precision;
use super::dropout::Dropout;

/// Where a parameter lives while it is visited. A linear map is stored as `[inputs, outputs]`, the transpose of the
/// transformers layout `[outputs, inputs]`: readers and writers of weight files swap it, everything else need not care.
pub enum Slot<'a> {
    /// A bias or a LayerNorm weight: never decayed.
    Vector(&'a mut Tensor<1>),
    /// An embedding table, as in the file.
    Table(&'a mut Tensor<2>),
    /// The matrix of a linear map, transposed in the file.
    Map(&'a mut Tensor<2>),
}

impl Slot<'_> {
    /// The shape as it is in memory.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Slot::Vector(tensor) => tensor.dims().to_vec(),
            Slot::Table(tensor) | Slot::Map(tensor) => tensor.dims().to_vec(),
        }
    }

    /// Whether weight decay applies: to matrices, not to biases and LayerNorm weights.
    pub fn decays(&self) -> bool {
        !matches!(self, Slot::Vector(_))
    }
}

/// Called with the transformers name of each parameter, always in the same order.
pub type Visitor<'a, 'b> = dyn FnMut(String, Slot<'a>) + 'b;

/// A linear map with bias: `x · weight + bias`.
#[derive(Clone, Debug)]
pub struct Dense {
    /// `[inputs, outputs]`.
    pub weight: Tensor<2>,
    /// `[outputs]`.
    pub bias: Tensor<1>,
}

impl Dense {
    /// Zeros, to be filled by [`super::weights`].
    pub fn new(inputs: usize, outputs: usize, device: &Device) -> Self {
        Self { weight: Tensor::zeros([inputs, outputs], device), bias: Tensor::zeros([outputs], device) }
    }

    /// `[…, inputs]` to `[…, outputs]`, both f32. The bias is added, and its gradient summed, in f32 in either precision.
    pub fn forward<const D: usize>(&self, input: Tensor<D>, precision: Precision) -> Tensor<D> {
        match precision {
            Precision::F32 => linear(input, self.weight.clone(), Some(self.bias.clone())),
            Precision::F16 => {
                let product = linear(input.cast(DType::F16), self.weight.clone().cast(DType::F16), None);
                product.cast(DType::F32) + self.bias.clone().unsqueeze()
            }
        }
    }

    /// Visits `{name}.weight` and `{name}.bias`.
    pub fn visit<'a>(&'a mut self, name: &str, visitor: &mut Visitor<'a, '_>) {
        visitor(format!("{name}.weight"), Slot::Map(&mut self.weight));
        visitor(format!("{name}.bias"), Slot::Vector(&mut self.bias));
    }
}

/// LayerNorm over the last dimension.
#[derive(Clone, Debug)]
pub struct Norm {
    /// `[width]`.
    pub weight: Tensor<1>,
    /// `[width]`.
    pub bias: Tensor<1>,
    epsilon: f64,
}

impl Norm {
    /// Ones and zeros.
    pub fn new(width: usize, epsilon: f64, device: &Device) -> Self {
        Self { weight: Tensor::ones([width], device), bias: Tensor::zeros([width], device), epsilon }
    }

    /// Same shape as `input`.
    pub fn forward<const D: usize>(&self, input: Tensor<D>) -> Tensor<D> {
        layer_norm(input, self.weight.clone(), Some(self.bias.clone()), self.epsilon)
    }

    /// Visits `{name}.weight` and `{name}.bias`.
    pub fn visit<'a>(&'a mut self, name: &str, visitor: &mut Visitor<'a, '_>) {
        visitor(format!("{name}.weight"), Slot::Vector(&mut self.weight));
        visitor(format!("{name}.bias"), Slot::Vector(&mut self.bias));
    }
}

/// Rows `ids` of `table [rows, width]`, as `[ids, width]`.
///
/// Two ways with the same values and gradients: `select` copies whole rows and is fast on the CPU, but its backward pass
/// runs one thread a column on the GPU, serially over the ids; `gather` with expanded ids scatters in parallel there.
pub fn lookup(table: Tensor<2>, ids: Tensor<1, Int>, on_cpu: bool) -> Tensor<2> {
    if on_cpu {
        table.select(0, ids)
    } else {
        let [count] = ids.dims();
        let [_, width] = table.dims();
        table.gather(0, ids.reshape([count, 1]).expand([count, width]))
    }
}

/// Integers on the device.
pub fn integers<const D: usize>(values: Vec<i32>, shape: [usize; D], device: &Device) -> Tensor<D, Int> {
    Tensor::from_data(TensorData::new(values, shape), (device, DType::I32))
}

/// The matrix product of two f32 tensors as f32, multiplied in `precision`.
///
/// The casts are part of the graph: gradients come back through them as f32, so that parameters, their gradients and the
/// optimizer never are anything else. Only products are worth halving: they are most of the work, and 16-bit operands are the
/// only way to a GPU's matrix units. What lies between them (softmax, LayerNorm, GELU, dropout, residual sums, losses)
/// is limited by memory, fuses with the casts, and loses digits or overflows (at 65,504) in 16 bits.
pub fn product<const D: usize>(left: Tensor<D>, right: Tensor<D>, precision: Precision) -> Tensor<D> {
    match precision {
        Precision::F32 => left.matmul(right),
        Precision::F16 => left.cast(DType::F16).matmul(right.cast(DType::F16)).cast(DType::F32),
    }
}

/// Scaled dot-product attention with dropout on the probabilities, as transformers' eager implementation.
///
/// `query`, `key`, `value`: `[batch, heads, positions, width]`; `mask`: `[batch, 1, 1, positions]`, 0 where a position may be
/// attended and a very negative number where not.
pub fn attend(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    mask: Option<Tensor<4>>,
    dropout: &mut Dropout,
    rate: f64,
    precision: Precision,
) -> Tensor<4> {
    let [_, _, _, width] = query.dims();
    let scores = product(query * (1.0 / (width as f64).sqrt()), key.swap_dims(2, 3), precision);
    let scores = match mask {
        Some(mask) => scores + mask,
        None => scores,
    };
    product(dropout.apply(softmax(scores, 3), rate), value, precision)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lookups_have_the_same_values_and_gradients() {
        let device = Device::flex().autodiff();
        let data: Vec<f32> = (0..20).map(|v| v as f32 * 0.3 - 2.0).collect();
        let mut results = Vec::new();
        for on_cpu in [true, false] {
            let table = Tensor::<2>::from_data(TensorData::new(data.clone(), [5, 4]), &device).require_grad();
            let rows = lookup(table.clone(), integers(vec![1, 4, 1, 0, 1], [5], &device), on_cpu);
            let loss = (rows.clone() * rows.clone()).sum();
            let gradients = loss.backward();
            results.push((rows.into_data(), table.grad(&gradients).unwrap().into_data()));
        }
        assert_eq!(results[0], results[1]);
    }
}
