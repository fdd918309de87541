//! Agreement with transformers: hidden states, logits, losses, gradients and training curves of two small random models; on
//! the CPU and on a GPU, in 32 and in 16 bits.

use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use serde_json::Value;

use super::device::open_for_tests;
use super::heads::{HeadKind, HeadSpec, choice_loss, span_loss};
use super::kernels::cross_entropy;
use super::weights::{HeadSource, load, values};
use super::{Dropout, Model, Precision, TokenBatch};
use crate::train::optimizer::{AdamW, Gradients};

const HEADS: [(&str, HeadKind, usize); 5] = [
    ("sequence_classification", HeadKind::SequenceClassification, 3),
    ("multiple_choice", HeadKind::MultipleChoice, 0),
    ("question_answering", HeadKind::Span, 0),
    ("token_classification", HeadKind::TokenClassification, 7),
    ("masked_lm", HeadKind::MaskedLm, 0),
];

/// How far from the reference a way to compute may be.
#[derive(Clone, Copy)]
struct Way<'a> {
    device: &'a Device,
    precision: Precision,
    /// Of hidden states, logits and losses, absolute.
    values: f64,
    /// Of a parameter's gradient norm, relative and absolute.
    norms: (f64, f64),
    /// Of losses in training, absolute.
    losses: f64,
    /// Of the global gradient norm in training, relative.
    norm: f64,
}

/// In f32 what the reference itself asks for. In 16 bits products round to 11 binary digits, 1 in 2,048.
fn way(device: &Device, precision: Precision) -> Way<'_> {
    match precision {
        // Key biases shift all scores of a query alike: their gradient is rounding and nothing else, hence the absolute part.
        Precision::F32 => Way { device, precision, values: 1e-4, norms: (1e-3, 2e-7), losses: 1e-3, norm: 5e-3 },
        Precision::F16 => Way { device, precision, values: 1e-2, norms: (2e-2, 5e-4), losses: 1e-2, norm: 2e-2 },
    }
}

struct Oracle<'a> {
    directory: PathBuf,
    expected: Value,
    way: Way<'a>,
}

impl<'a> Oracle<'a> {
    fn open(architecture: &str, way: Way<'a>) -> Self {
        let shared = std::env::var("TRESTLE_SHARED").expect("TRESTLE_SHARED names the folder of reference values");
        let directory = PathBuf::from(shared).join("oracle").join(architecture);
        let text = std::fs::read_to_string(directory.join("expected.json")).unwrap();
        Self { directory, expected: serde_json::from_str(&text).unwrap(), way }
    }

    fn both(way: Way<'a>) -> [Self; 2] {
        [Self::open("bert", way), Self::open("xlm-roberta", way)]
    }

    fn model(&self, name: &str, kind: HeadKind, labels: usize) -> Model {
        let labels = (0..labels).map(|label| label.to_string()).collect();
        let head = HeadSpec::new("oracle", kind, labels);
        let mut loaded = load(&self.directory.join(name), &[head], HeadSource::Stored, self.way.device).unwrap();
        assert!(loaded.new.is_empty() && loaded.dropped.is_empty());
        loaded.model.encoder.precision = self.way.precision;
        loaded.model
    }

    fn batch(&self, kind: HeadKind) -> TokenBatch {
        let (ids, mask, types) = if kind == HeadKind::MultipleChoice {
            let inputs = &self.expected["multiple_choice_inputs"];
            (&inputs["input_ids"], &inputs["attention_mask"], &Value::Null)
        } else {
            (&self.expected["input_ids"], &self.expected["attention_mask"], &self.expected["token_type_ids"])
        };
        let (ids, mask) = (rows(ids), rows(mask));
        let types = if types.is_null() { vec![Vec::new(); ids.len()] } else { rows(types) };
        let cut: Vec<(Vec<u32>, Vec<u32>)> = ids
            .iter()
            .zip(&mask)
            .zip(&types)
            .map(|((ids, mask), types)| {
                let length = mask.iter().filter(|bit| **bit == 1).count();
                (ids[..length].to_vec(), types[..length.min(types.len())].to_vec())
            })
            .collect();
        let pad = self.expected["pad"].as_u64().unwrap() as u32;
        let batch = TokenBatch::new(cut.iter().map(|(ids, types)| (&ids[..], &types[..])), pad, 1, 40);
        assert_eq!((batch.rows, batch.width), (ids.len(), ids[0].len()));
        batch
    }

    /// Logits (of all rows or tokens) and loss.
    fn run(&self, model: &Model, name: &str) -> (Tensor<2>, Tensor<1>) {
        let kind = model.heads[0].spec.kind;
        let batch = self.batch(kind);
        let off = &mut Dropout::off();
        let hidden = model.encoder.forward(&batch, off);
        let head = &model.heads[0].head;
        let labels = &self.expected["heads"][name]["labels"];
        let flat = |name: &str| numbers(&labels[name]).iter().map(|v| *v as i32).collect::<Vec<_>>();
        match kind {
            HeadKind::SequenceClassification => {
                let logits = head.rows(&model.encoder, hidden, batch.rows, off);
                (logits.clone(), cross_entropy(logits, flat("labels")))
            }
            HeadKind::MultipleChoice => {
                let logits = head.rows(&model.encoder, hidden, batch.rows, off);
                (logits.clone(), choice_loss(logits, 4, flat("labels")))
            }
            HeadKind::Span => {
                let logits = head.tokens(&model.encoder, hidden, None, off);
                let loss = span_loss(logits.clone(), &batch, flat("start_positions"), flat("end_positions"));
                (logits, loss)
            }
            HeadKind::TokenClassification | HeadKind::MaskedLm => {
                let labels = flat("labels");
                let places: Vec<i32> = (0..labels.len() as i32).filter(|place| labels[*place as usize] >= 0).collect();
                let classes = places.iter().map(|place| labels[*place as usize]).collect();
                let chosen = head.tokens(&model.encoder, hidden.clone(), Some(places), off);
                let all = head.tokens(&model.encoder, hidden, None, off);
                (all, cross_entropy(chosen, classes))
            }
        }
    }
}

/// Gradients of `loss`, by way of a scaled loss as in trainings in 16 bits.
fn gradients(loss: &Tensor<1>, model: &mut Model) -> Gradients {
    const SCALE: f32 = 1024.0;
    let gradients = match model.encoder.precision {
        Precision::F32 => Gradients::of(loss, model),
        Precision::F16 => Gradients::of(&(loss.clone() * SCALE), model).scaled(SCALE.recip()),
    };
    if model.heads[0].spec.kind == HeadKind::Span { gradients.without_padding(model) } else { gradients }
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(items) => items.iter().flat_map(numbers).collect(),
        other => vec![other.as_f64().unwrap()],
    }
}

fn rows(value: &Value) -> Vec<Vec<u32>> {
    let row = |row: &Value| numbers(row).iter().map(|v| *v as u32).collect();
    let outer = value.as_array().unwrap();
    // Multiple choice nests once more: examples of choices.
    if outer[0][0].is_array() {
        outer.iter().flat_map(|example| example.as_array().unwrap().iter().map(row)).collect()
    } else {
        outer.iter().map(row).collect()
    }
}

fn assert_close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found.iter().zip(expected).map(|(f, e)| (f64::from(*f) - e).abs()).fold(0.0, f64::max);
    assert!(worst <= tolerance, "{what}: off by {worst}");
}

fn host<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    values(tensor).unwrap()
}

fn hidden_states_agree(way: Way<'_>) {
    for oracle in Oracle::both(way) {
        let mut bare = load(&oracle.directory.join("encoder"), &[], HeadSource::Stored, way.device).unwrap().model;
        bare.encoder.precision = way.precision;
        let batch = oracle.batch(HeadKind::Span);
        let states = bare.encoder.hidden_states(&batch);
        let expected = oracle.expected["hidden_states"].as_array().unwrap();
        assert_eq!(states.len(), expected.len());
        let last = host(bare.encoder.forward(&batch, &mut Dropout::off()));
        let twice: Vec<f64> = last.iter().map(|value| f64::from(*value)).collect();
        assert_close(&host(states[states.len() - 1].clone()), &twice, 1e-6, "the last hidden state");
        for (layer, (state, expected)) in states.into_iter().zip(expected).enumerate() {
            assert_close(&host(state), &numbers(expected), way.values, &format!("hidden state {layer}"));
        }
    }
}

fn logits_losses_and_gradients_agree(way: Way<'_>) {
    for oracle in Oracle::both(way) {
        for (name, kind, labels) in HEADS {
            let expected = &oracle.expected["heads"][name];
            let mut model = oracle.model(name, kind, labels).tracked();
            let (logits, loss) = oracle.run(&model, name);
            let logits = host(logits);
            if kind == HeadKind::Span {
                for (side, key) in ["start_logits", "end_logits"].iter().enumerate() {
                    let found: Vec<f32> = logits.iter().skip(side).step_by(2).copied().collect();
                    assert_close(&found, &numbers(&expected[*key]), way.values, key);
                }
            } else {
                assert_close(&logits, &numbers(&expected["logits"]), way.values, name);
            }
            assert_close(&host(loss.clone()), &numbers(&expected["loss"]), way.values, "loss");

            let gradients = gradients(&loss, &mut model).named(&mut model);
            // The tied decoder is one parameter with the word embeddings; XLM-R's list names it after the decoder.
            let tied =
                |found: &str| found.replace("roberta.embeddings.word_embeddings.weight", "lm_head.decoder.weight");
            let norms = expected["grad_norms"].as_object().unwrap();
            let mut compared = 0;
            for (parameter, gradient) in gradients {
                let expected = norms.get(&parameter).or_else(|| norms.get(&tied(&parameter)));
                let Some(gradient) = gradient else {
                    assert!(expected.is_none(), "{parameter} has no gradient");
                    continue;
                };
                let expected = expected.unwrap_or_else(|| panic!("{parameter} is not expected")).as_f64().unwrap();
                let norm = host(gradient).iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
                assert!(
                    (norm - expected).abs() <= way.norms.0 * expected + way.norms.1,
                    "{name} {parameter}: {norm}, not {expected}"
                );
                compared += 1;
            }
            assert_eq!(compared, norms.len(), "{name}");
        }
    }
}

fn training_curves_agree(way: Way<'_>) {
    for oracle in Oracle::both(way) {
        for (name, kind, labels) in HEADS {
            let mut model = oracle.model(name, kind, labels).tracked();
            let mut optimizer = AdamW::new(&mut model, 1e-8, 0.01, 1.0);
            let curve = oracle.expected["heads"][name]["training"]["curve"].as_array().unwrap();
            assert_eq!(curve.len(), 12);
            for point in curve {
                let (_, loss) = oracle.run(&model, name);
                let gradients = gradients(&loss, &mut model);
                let rate = point["lr"].as_f64().unwrap();
                let norm = optimizer.step(&mut model, gradients, rate).unwrap();
                let what = format!("{name} step {}", point["step"]);
                assert_close(&host(loss), &numbers(&point["loss"]), way.losses, &what);
                let expected = point["grad_norm"].as_f64().unwrap();
                assert_close(&host(norm), &[expected], way.norm * expected, &what);
            }
        }
    }
}

/// The three comparisons as tests of one way to compute.
macro_rules! compared {
    ($reason:literal, $device:expr, $precision:expr) => {
        use super::*;

        #[test]
        #[ignore = $reason]
        fn hidden_states() {
            hidden_states_agree(way(&$device, $precision));
        }

        #[test]
        #[ignore = $reason]
        fn logits_losses_and_gradients() {
            logits_losses_and_gradients_agree(way(&$device, $precision));
        }

        #[test]
        #[ignore = $reason]
        fn training_curves() {
            training_curves_agree(way(&$device, $precision));
        }
    };
}

mod cpu {
    compared!("needs TRESTLE_SHARED", Device::flex(), Precision::F32);
}

mod cpu_in_16_bits {
    compared!("needs TRESTLE_SHARED", Device::flex(), Precision::F16);
}

mod wgpu {
    compared!("needs a GPU or `make smoke-wgpu`, and TRESTLE_SHARED", open_for_tests().device, Precision::F32);
}

mod wgpu_in_16_bits {
    compared!("needs a GPU or `make smoke-wgpu`, and TRESTLE_SHARED", open_for_tests().device, Precision::F16);
}
