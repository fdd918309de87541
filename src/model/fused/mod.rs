//! The encoder's own kernels for the CPU: f32, forward and backward.
//!
//! A tensor operation of the CPU backend reads its operands from memory and writes a fresh result, and its backward pass is made
//! of many such operations. For encoders of this size that costs several times what the matrix products do. Here a layer is one
//! operation of the backend ([`layer`]), and so are the embeddings ([`embeddings`]): blocks of tokens go through everything
//! while they are on a core's cache, the products run at the speed of the machine, and the gradients are written out by hand.
//!
//! burn sees them as a backend extension: [`FusedOps`] on the CPU backend computes, and on its autodiff decorator keeps what the
//! backward pass needs and registers the gradients. Results do not depend on the number of threads: work is divided by sizes
//! alone, and every sum has a fixed order. They may differ in the last bits between processors with different vector units, as
//! those of any matrix product do.

mod activation;
mod attention;
mod buffers;
mod decoder;
mod embeddings;
mod layer;
mod loss;
pub(crate) mod matrix;
mod rows;
mod sizes;
#[cfg(test)]
mod tests;
mod weights;

use std::fmt::Debug;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::{base::Checkpointer, strategy::CheckpointStrategy};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, ExtensionType, Flex, TensorMetadata, backend_extension};
use burn::tensor::{Shape, TensorData};

pub(super) use activation::GeluCall;
pub(super) use buffers::Buffers;
pub(super) use decoder::DecoderCall;
pub(super) use embeddings::EmbeddingsCall;
pub(super) use layer::LayerCall;
pub(super) use sizes::Sizes;

/// A function of matrices and vectors with a backward pass.
trait Operation: Debug + Send + Sync + 'static {
    /// What the backward pass needs besides the inputs.
    type Kept: Debug + Send + Sync;

    /// The shape of the output.
    fn shape(&self) -> [usize; 2];

    /// The output, and what the backward pass needs where `keep`.
    fn forward(&self, inputs: &[&[f32]], keep: bool) -> (Vec<f32>, Option<Self::Kept>);

    /// The gradients of all inputs, in their order, from that of the output.
    fn backward(&self, inputs: &[&[f32]], kept: &Self::Kept, gradient: Vec<f32>) -> Vec<Vec<f32>>;
}

/// The weight and bias of a linear map or a LayerNorm.
#[derive(ExtensionType)]
pub(super) struct Affine<B: Backend> {
    pub weight: FloatTensor<B>,
    pub bias: FloatTensor<B>,
}

impl<B: Backend> Affine<B> {
    fn list(self) -> [FloatTensor<B>; 2] {
        [self.weight, self.bias]
    }
}

/// What a transformer layer reads.
#[derive(ExtensionType)]
pub(super) struct LayerInputs<B: Backend> {
    /// The hidden states, `[tokens, width]`.
    pub hidden: FloatTensor<B>,
    #[extension_type]
    pub query: Affine<B>,
    #[extension_type]
    pub key: Affine<B>,
    #[extension_type]
    pub value: Affine<B>,
    #[extension_type]
    pub context: Affine<B>,
    #[extension_type]
    pub middle_norm: Affine<B>,
    #[extension_type]
    pub inner: Affine<B>,
    #[extension_type]
    pub output: Affine<B>,
    #[extension_type]
    pub output_norm: Affine<B>,
}

impl<B: Backend> LayerInputs<B> {
    /// In the order in which [`layer`] reads them.
    fn list(self) -> Vec<FloatTensor<B>> {
        let pairs = [
            self.query,
            self.key,
            self.value,
            self.context,
            self.middle_norm,
            self.inner,
            self.output,
            self.output_norm,
        ];
        std::iter::once(self.hidden).chain(pairs.into_iter().flat_map(Affine::list)).collect()
    }
}

/// What the embeddings read: tables, and the LayerNorm.
#[derive(ExtensionType)]
pub(super) struct EmbeddingInputs<B: Backend> {
    pub words: FloatTensor<B>,
    pub positions: FloatTensor<B>,
    pub types: FloatTensor<B>,
    #[extension_type]
    pub norm: Affine<B>,
}

impl<B: Backend> EmbeddingInputs<B> {
    /// In the order in which [`embeddings`] reads them.
    fn list(self) -> Vec<FloatTensor<B>> {
        [self.words, self.positions, self.types].into_iter().chain(self.norm.list()).collect()
    }
}

/// What the decoder of a masked-LM head reads.
#[derive(ExtensionType)]
pub(super) struct DecoderInputs<B: Backend> {
    /// Rows, `[rows, width]`.
    pub hidden: FloatTensor<B>,
    /// Word embeddings, `[vocabulary, width]`, and the decoder's bias.
    #[extension_type]
    pub words: Affine<B>,
}

impl<B: Backend> DecoderInputs<B> {
    /// In the order in which [`decoder`] reads them.
    fn list(self) -> Vec<FloatTensor<B>> {
        std::iter::once(self.hidden).chain(self.words.list()).collect()
    }
}

/// Operations that the CPU backend has beyond burn's.
#[backend_extension(Flex, Autodiff)]
pub(super) trait FusedOps: Backend {
    /// A transformer layer.
    fn encoder_layer(#[extension_type] inputs: LayerInputs<Self>, call: LayerCall) -> FloatTensor<Self>;

    /// The sum of the embeddings with its LayerNorm and dropout.
    fn embed(#[extension_type] inputs: EmbeddingInputs<Self>, call: EmbeddingsCall) -> FloatTensor<Self>;

    /// The logits of a masked-LM head, `[rows, vocabulary]`.
    fn decode(#[extension_type] inputs: DecoderInputs<Self>, call: DecoderCall) -> FloatTensor<Self>;

    /// GELU in its exact form, element by element.
    fn gelu(input: FloatTensor<Self>, call: GeluCall) -> FloatTensor<Self>;

    /// The mean cross-entropy, `[1]`, of `logits [rows, classes]` against one class a row.
    fn cross_entropy(logits: FloatTensor<Self>, classes: Vec<i32>) -> FloatTensor<Self>;
}

impl FusedOps for Flex {
    fn encoder_layer(inputs: LayerInputs<Self>, call: LayerCall) -> FloatTensor<Self> {
        compute(&contiguous(inputs.list()), &call, false).0
    }

    fn embed(inputs: EmbeddingInputs<Self>, call: EmbeddingsCall) -> FloatTensor<Self> {
        compute(&contiguous(inputs.list()), &call, false).0
    }

    fn decode(inputs: DecoderInputs<Self>, call: DecoderCall) -> FloatTensor<Self> {
        compute(&contiguous(inputs.list()), &call, false).0
    }

    fn gelu(input: FloatTensor<Self>, call: GeluCall) -> FloatTensor<Self> {
        compute(&contiguous(vec![input]), &call, false).0
    }

    fn cross_entropy(logits: FloatTensor<Self>, classes: Vec<i32>) -> FloatTensor<Self> {
        loss_and_gradient(logits, &classes).0
    }
}

impl<C: CheckpointStrategy> FusedOps for Autodiff<Flex, C> {
    fn encoder_layer(inputs: LayerInputs<Self>, call: LayerCall) -> FloatTensor<Self> {
        track::<_, C, { layer::INPUTS }>(inputs.list(), call)
    }

    fn embed(inputs: EmbeddingInputs<Self>, call: EmbeddingsCall) -> FloatTensor<Self> {
        track::<_, C, { embeddings::INPUTS }>(inputs.list(), call)
    }

    fn decode(inputs: DecoderInputs<Self>, call: DecoderCall) -> FloatTensor<Self> {
        track::<_, C, { decoder::INPUTS }>(inputs.list(), call)
    }

    fn gelu(input: FloatTensor<Self>, call: GeluCall) -> FloatTensor<Self> {
        track::<_, C, 1>(vec![input], call)
    }

    fn cross_entropy(logits: FloatTensor<Self>, classes: Vec<i32>) -> FloatTensor<Self> {
        let node = logits.node();
        let (loss, gradient) = loss_and_gradient(logits.into_primitive(), &classes);
        match CrossEntropy.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(step) => step.finish(gradient, loss),
            OpsKind::UnTracked(step) => step.finish(loss),
        }
    }
}

fn contiguous(inputs: Vec<FlexTensor>) -> Vec<FlexTensor> {
    inputs.iter().map(FlexTensor::to_contiguous).collect()
}

/// Runs `operation` on contiguous tensors.
fn compute<O: Operation>(inputs: &[FlexTensor], operation: &O, keep: bool) -> (FlexTensor, Option<O::Kept>) {
    let (output, kept) = operation.forward(&slices(inputs), keep);
    (FlexTensor::from_data(TensorData::new(output, operation.shape())), kept)
}

fn slices(inputs: &[FlexTensor]) -> Vec<&[f32]> {
    inputs.iter().map(|input| input.as_slice().expect("the inputs are f32 and contiguous")).collect()
}

/// Runs `operation` on `N` tracked tensors and registers its backward pass.
fn track<O: Operation, C: CheckpointStrategy, const N: usize>(
    inputs: Vec<FloatTensor<Autodiff<Flex, C>>>,
    operation: O,
) -> FloatTensor<Autodiff<Flex, C>> {
    #[derive(Debug)]
    struct Step<O>(std::marker::PhantomData<O>);

    #[derive(Debug)]
    struct State<O: Operation> {
        inputs: Vec<FlexTensor>,
        operation: O,
        kept: O::Kept,
    }

    impl<O: Operation, const N: usize> Backward<Flex, N> for Step<O> {
        type State = Arc<State<O>>;

        fn backward(self, ops: Ops<Self::State, N>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
            let gradient = gradients.consume::<Flex>(&ops.node).into_data();
            let gradient = gradient.try_into_vec().expect("gradients on the CPU are f32");
            let State { inputs, operation, kept } = &*ops.state;
            let found = operation.backward(&slices(inputs), kept, gradient);
            for ((parent, found), input) in ops.parents.iter().zip(found).zip(inputs) {
                if let Some(parent) = parent {
                    let found = FlexTensor::from_data(TensorData::new(found, input.shape()));
                    gradients.register::<Flex>(parent.id, found);
                }
            }
        }
    }

    let nodes = inputs.iter().map(|input| input.node()).collect::<Vec<_>>();
    let nodes: [_; N] = nodes.try_into().expect("as many inputs as the operation has");
    let inputs = contiguous(inputs.into_iter().map(|input| input.into_primitive()).collect());
    match Step::<O>(std::marker::PhantomData).prepare::<C>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(step) => {
            let (output, kept) = compute(&inputs, &operation, true);
            let kept = kept.expect("kept, as asked");
            step.finish(Arc::new(State { inputs, operation, kept }), output)
        }
        OpsKind::UnTracked(step) => step.finish(compute(&inputs, &operation, false).0),
    }
}

/// The backward pass of the mean cross-entropy, whose state is the gradient for an upstream gradient of 1.
#[derive(Debug)]
struct CrossEntropy;

impl Backward<Flex, 1> for CrossEntropy {
    type State = FlexTensor;

    fn backward(self, ops: Ops<Self::State, 1>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let upstream = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let [upstream] = slices(std::slice::from_ref(&upstream))[0] else { unreachable!("a loss is one number") };
        let mut gradient = ops.state;
        if *upstream != 1.0 {
            gradient.storage_mut::<f32>().iter_mut().for_each(|value| *value *= upstream);
        }
        if let [Some(parent)] = ops.parents {
            gradients.register::<Flex>(parent.id, gradient);
        }
    }
}

/// The mean cross-entropy of `logits`, and its gradient in the same memory where nobody else holds the logits.
fn loss_and_gradient(logits: FlexTensor, classes: &[i32]) -> (FlexTensor, FlexTensor) {
    let shape = logits.shape();
    let mut values: Vec<f32> = logits.into_data().try_into_vec().expect("logits on the CPU are f32");
    let loss = loss::cross_entropy(&mut values, shape[1], classes);
    let tensor = |values, shape: Shape| FlexTensor::from_data(TensorData::new(values, shape));
    (tensor(vec![loss], [1].into()), tensor(values, shape))
}
