//! The fused kernels against the composed operations, and their independence of threads.

use burn::tensor::{Device, Tensor, TensorData};
use proptest::prelude::*;

use crate::model::config::tests::tiny;
use crate::model::random::{normal, stream};
use crate::model::weights::{initialize, values};
use crate::model::{Architecture, Dropout, EncoderConfig, Model, TokenBatch};
use crate::train::optimizer::Gradients;

/// Names and gradients after the hidden states.
type Found = (Vec<f32>, Vec<(String, Vec<f32>)>);

fn config(architecture: Architecture, heads: usize, head_width: usize, inner: usize, dropout: f64) -> EncoderConfig {
    EncoderConfig {
        hidden_size: heads * head_width,
        num_attention_heads: heads,
        intermediate_size: inner,
        hidden_dropout_prob: dropout,
        attention_probs_dropout_prob: dropout,
        initializer_range: 0.3,
        ..tiny(architecture)
    }
}

/// A model whose vectors are not ones and zeros either.
fn model(config: &EncoderConfig) -> Model {
    use crate::model::layers::Slot;
    let mut model = initialize(config, &[], 7, &Device::flex());
    for (index, (_, slot)) in model.parameters().into_iter().enumerate() {
        if let Slot::Vector(tensor) = slot {
            let width = tensor.dims()[0];
            let noise = normal(&mut stream(9, "noise", &[index as u64]), width, 0.2);
            tensor.inplace(|tensor| tensor + Tensor::from_data(TensorData::new(noise, [width]), &Device::flex()));
        }
    }
    model
}

fn batch(lengths: &[usize], pad: u32, typed: bool) -> TokenBatch {
    let ids: Vec<Vec<u32>> = lengths
        .iter()
        .enumerate()
        .map(|(row, n)| (0..*n).map(|i| 5 + ((row * 7 + i * 3) % 20) as u32).collect())
        .collect();
    let types: Vec<Vec<u32>> =
        ids.iter().map(|ids| (0..ids.len()).map(|i| u32::from(typed && i % 3 == 1)).collect()).collect();
    TokenBatch::new(ids.iter().zip(&types).map(|(ids, types)| (&ids[..], &types[..])), pad, 1, 40)
}

/// Hidden states, and the gradients of all parameters for a random gradient of the hidden states.
fn run(model: &Model, batch: &TokenBatch, dropout: &Dropout, fused: bool) -> Found {
    let mut model = model.clone().tracked();
    let dropout = &mut dropout.clone();
    let hidden =
        if fused { model.encoder.forward(batch, dropout) } else { model.encoder.forward_composed(batch, dropout) };
    let [tokens, width] = hidden.dims();
    let upstream = normal(&mut stream(3, "upstream", &[]), tokens * width, 1.0);
    let upstream = Tensor::<2>::from_data(TensorData::new(upstream, [tokens, width]), &Device::flex());
    let loss = (hidden.clone() * upstream).sum();
    let gradients = Gradients::of(&loss, &mut model).named(&mut model);
    let gradients = gradients.into_iter().map(|(name, gradient)| {
        let gradient = gradient.unwrap_or_else(|| panic!("{name} has a gradient"));
        (name, values(gradient).unwrap())
    });
    (values(hidden).unwrap(), gradients.collect())
}

fn assert_agree(found: &Found, expected: &Found) {
    let close = |name: &str, found: &[f32], expected: &[f32]| {
        assert_eq!(found.len(), expected.len(), "{name}");
        // Key biases shift all scores of a query alike: their gradient is rounding of numbers around 10 and nothing else.
        let largest = expected.iter().fold(0.0f32, |a, b| a.max(b.abs()));
        let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst <= 5e-5 * largest.max(4.0), "{name}: off by {worst} of {largest}");
    };
    close("hidden states", &found.0, &expected.0);
    for ((name, found), (other, expected)) in found.1.iter().zip(&expected.1) {
        assert_eq!(name, other);
        close(name, found, expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fused_and_composed_agree_in_values_and_gradients(
        bert in any::<bool>(),
        heads in 1usize..5,
        head_width in 1usize..20,
        inner in 1usize..90,
        lengths in prop::collection::vec(1usize..24, 1..6),
        typed in any::<bool>(),
        rate in prop::sample::select(vec![0.0, 0.1, 0.5]),
        seed in any::<u64>(),
    ) {
        let architecture = if bert { Architecture::Bert } else { Architecture::XlmRoberta };
        let config = config(architecture, heads, head_width + 3, inner, rate);
        let (model, batch) = (model(&config), batch(&lengths, config.pad_token_id, typed && bert));
        let dropout = Dropout::host(seed);
        assert_agree(&run(&model, &batch, &dropout, true), &run(&model, &batch, &dropout, false));
        let plain = model.encoder.forward(&batch, &mut Dropout::off());
        let states = model.encoder.hidden_states(&batch);
        assert_eq!(values(plain).unwrap(), values(states[states.len() - 1].clone()).unwrap());
    }
}

#[test]
fn width_48_with_3_heads_agrees_beyond_one_block() {
    let config = config(Architecture::Bert, 3, 16, 192, 0.1);
    let lengths: Vec<usize> = (0..40).map(|row| 40 - row % 17).collect();
    let (model, batch) = (model(&config), batch(&lengths, config.pad_token_id, true));
    let dropout = Dropout::host(5);
    assert_agree(&run(&model, &batch, &dropout, true), &run(&model, &batch, &dropout, false));
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let config = config(Architecture::XlmRoberta, 4, 16, 256, 0.1);
    let lengths: Vec<usize> = (0..24).map(|row| 38 - row % 11).collect();
    let (model, batch) = (model(&config), batch(&lengths, config.pad_token_id, false));
    let found = [1, 2, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        // Twice, since the second run meets used buffers.
        pool.install(|| [0, 1].map(|_| run(&model, &batch, &Dropout::host(5), true)))
    });
    assert!(found.iter().flatten().all(|run| *run == found[0][0]));
}

#[test]
fn the_decoder_agrees_with_the_composed_operations() {
    let config = EncoderConfig { vocab_size: 8_300, ..config(Architecture::Bert, 2, 4, 16, 0.0) };
    let (rows, width) = (7, config.hidden_size);
    let random = |purpose: &str, count: usize| normal(&mut stream(4, purpose, &[]), count, 1.0);
    let tensor =
        |values: Vec<f32>, shape: [usize; 2]| Tensor::<2>::from_data(TensorData::new(values, shape), &Device::flex());
    let upstream = tensor(random("upstream", rows * config.vocab_size), [rows, config.vocab_size]);
    let found = [true, false].map(|fused| {
        let model = model(&config).tracked();
        let hidden = tensor(random("hidden", rows * width), [rows, width]).autodiff().require_grad();
        let bias = Tensor::<1>::from_data(
            TensorData::new(random("bias", config.vocab_size), [config.vocab_size]),
            &Device::flex(),
        );
        let bias = bias.autodiff().require_grad();
        let words = model.encoder.word_embeddings();
        let logits = if fused {
            model.encoder.decode(hidden.clone(), &bias)
        } else {
            hidden.clone().matmul(words.clone().transpose()) + bias.clone().reshape([1, config.vocab_size])
        };
        let gradients = (logits.clone() * upstream.clone()).sum().backward();
        let all = vec![
            ("hidden".to_owned(), values(hidden.grad(&gradients).unwrap()).unwrap()),
            ("words".to_owned(), values(words.grad(&gradients).unwrap()).unwrap()),
            ("bias".to_owned(), values(bias.grad(&gradients).unwrap()).unwrap()),
        ];
        (values(logits).unwrap(), all)
    });
    assert_agree(&found[0], &found[1]);
}
