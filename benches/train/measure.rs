//! One row and pass, timed in this process.

use std::time::Instant;

use burn::tensor::Tensor;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use trestle::model::random::{below, stream};
use trestle::model::weights::initialize;
use trestle::model::{self, Dropout, HeadKind, HeadSpec, Model, OpenDevice, TokenBatch};
use trestle::train::backward::{Keep, backward};
use trestle::train::optimizer::AdamW;
use trestle::train::scaler::{LossScale, Verdict};
use trestle::train::step::{Batch, BatchTargets, loss};

use super::shapes::Row;
use super::{Arguments, Failure, Pass, Precision};

/// Labels of the classifier, as NLI has.
const LABELS: usize = 3;
/// Different batches, used in turn.
const BATCHES: u64 = 8;
/// Steps before anything is timed: the first ones fill the pools and, on a GPU, compile and choose kernels.
const WARM_UP: usize = 3;
const GPU_WARM_UP: usize = 10;
const SEED: u64 = 1;

/// The model, its optimizer and what they are fed.
struct Bench<'a> {
    model: Model,
    optimizer: AdamW,
    batches: Vec<Batch>,
    pass: Pass,
    opened: &'a OpenDevice,
    keep: Keep,
    /// Of the loss, in 16 bits.
    scale: Option<LossScale>,
    steps: u64,
    skipped: u64,
    /// Of the last step, still on the device.
    last: Option<Tensor<1>>,
}

impl Bench<'_> {
    fn step(&mut self) -> Result<(), Failure> {
        let batch = &self.batches[(self.steps % BATCHES) as usize];
        self.steps += 1;
        let result = match self.pass {
            Pass::Forward => loss(&self.model, 0, batch, &mut Dropout::off()),
            Pass::Step => {
                let mut dropout =
                    if self.opened.on_cpu() { Dropout::host(self.steps) } else { Dropout::device(self.steps) };
                let scale = self.scale.map_or(1.0, |scale| scale.scale());
                let (mut loss, mut gradients) =
                    backward(&mut self.model, 0, batch, f64::from(scale), self.keep, &mut dropout);
                let mut moves = true;
                if let Some(scale) = &mut self.scale {
                    let unscale = scale.scale().recip();
                    (gradients, loss) = (gradients.scaled(unscale), loss * unscale);
                    moves = scale.update(number(gradients.norm())?.is_finite()) == Verdict::Step;
                }
                if moves {
                    self.optimizer.step(&mut self.model, gradients, 1e-5)?;
                } else {
                    self.skipped += 1;
                }
                loss
            }
        };
        self.last = Some(result);
        Ok(())
    }

    /// Seconds of `steps` steps, from an idle device to an idle device.
    fn stretch(&mut self, steps: usize) -> Result<f64, Failure> {
        let began = Instant::now();
        for _ in 0..steps {
            self.step()?;
        }
        self.wait()?;
        Ok(began.elapsed().as_secs_f64())
    }

    /// Waits for the device and returns the last loss.
    fn wait(&mut self) -> Result<f32, Failure> {
        let loss = number(self.last.clone().ok_or("no step was done")?)?;
        self.opened.device.sync()?;
        Ok(loss)
    }
}

/// A tensor of one element, read from the device.
fn number(tensor: Tensor<1>) -> Result<f32, Failure> {
    Ok(tensor.into_data().convert::<f32>().try_into_vec::<f32>()?[0])
}

/// Measures `pass` of `row`; the fields are those of the JSON output.
pub fn measure(row: &Row, pass: Pass, opened: &OpenDevice, arguments: &Arguments) -> Result<Value, Failure> {
    let labels = (0..LABELS).map(|label| label.to_string()).collect();
    let heads = [HeadSpec::new("bench", HeadKind::SequenceClassification, labels)];
    let mut model = initialize(&row.config, &heads, SEED, &opened.device);
    if arguments.precision == Precision::F16 {
        model.encoder.precision = model::Precision::F16;
    }
    let parameters: usize = model.parameters().iter().map(|(_, slot)| slot.shape().iter().product::<usize>()).sum();
    let optimizer = AdamW::new(&mut model, 1e-8, 0.01, 1.0);
    if pass == Pass::Step {
        model = model.tracked();
    }
    let batches = (0..BATCHES).map(|number| batch(row, number)).collect();
    let keep = if arguments.gradient_checkpointing { Keep::LayerInputs } else { Keep::Everything };
    let scale = (arguments.precision == Precision::F16).then(LossScale::default);
    let mut bench = Bench { model, optimizer, batches, pass, opened, keep, scale, steps: 0, skipped: 0, last: None };
    let began = Instant::now();
    let first_loss = bench.stretch(1).and_then(|_| bench.wait())?;
    bench.stretch(if opened.is_gpu() { GPU_WARM_UP } else { WARM_UP } - 1)?;
    let warm_up = began.elapsed().as_secs_f64();

    // As many steps a stretch as fill its share of the time, by the time of one more.
    let one = bench.stretch(1)?;
    let steps = (arguments.seconds / arguments.repeats as f64 / one).round().clamp(1.0, 10_000.0) as usize;
    let mut seconds = Vec::with_capacity(arguments.repeats);
    for _ in 0..arguments.repeats {
        seconds.push(bench.stretch(steps)? / steps as f64);
    }
    let last_loss = bench.wait()?;
    if bench.skipped == bench.steps {
        return Err("no gradient was finite: every step was skipped".into());
    }
    if !first_loss.is_finite() || !last_loss.is_finite() {
        return Err(format!("the loss is not a number: {first_loss} at first, {last_loss} at last").into());
    }
    let mut sorted = seconds.clone();
    sorted.sort_by(f64::total_cmp);
    let median = (sorted[(sorted.len() - 1) / 2] + sorted[sorted.len() / 2]) / 2.0;
    let tokens = row.tokens() as f64;
    let flops = row.forward_flops() * if pass == Pass::Step { 3.0 } else { 1.0 };
    let device_bytes = opened.device.memory_pool_usage().filter(|_| opened.is_gpu()).map(|usage| usage.bytes_reserved);
    Ok(json!({
        "tool": "trestle",
        "row": row.name,
        "pass": if pass == Pass::Step { "step" } else { "forward" },
        "precision": if arguments.precision == Precision::F16 { "f16" } else { "f32" },
        "gradient_checkpointing": arguments.gradient_checkpointing,
        "device": opened.description,
        "threads": arguments.threads(),
        "rows": row.rows,
        "positions": row.positions,
        "parameters": parameters,
        "warm_up_seconds": warm_up,
        "steps_a_stretch": steps,
        "seconds": seconds,
        "tokens_per_second": tokens / median,
        "best_tokens_per_second": tokens / sorted[0],
        "flops_per_token": flops,
        "flops_per_second": flops * tokens / median,
        "resident_bytes": peak_resident(),
        "device_bytes": device_bytes,
        "first_loss": first_loss,
        "last_loss": last_loss,
        "skipped_steps": bench.skipped,
    }))
}

/// Random words and labels; nothing is padded.
fn batch(row: &Row, number: u64) -> Batch {
    let mut rng: ChaCha8Rng = stream(SEED, "bench batch", &[number]);
    let (first, vocabulary) = (5, row.config.vocab_size);
    let mut word = || (first + below(&mut rng, vocabulary - first)) as u32;
    let ids: Vec<Vec<u32>> = (0..row.rows).map(|_| (0..row.positions).map(|_| word()).collect()).collect();
    let types: &[u32] = &[];
    let tokens = TokenBatch::new(ids.iter().map(|ids| (&ids[..], types)), row.config.pad_token_id, 1, row.positions);
    let labels = (0..row.rows).map(|_| below(&mut rng, LABELS) as i32).collect();
    Batch { tokens, targets: BatchTargets::Classes(labels) }
}

/// The largest resident set of this process so far, in bytes; none where the system does not tell.
fn peak_resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
