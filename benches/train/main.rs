//! The training bench: tokens a second of a forward pass and of a whole training step, through the functions that a
//! training calls. `benches/train.sh` runs it beside the same work in PyTorch.
//!
//! A row is a shape of encoder at a number of positions; a pass is `forward` (the loss in evaluation, without gradients)
//! or `step` (loss with dropout, gradients, their norm clipped, AdamW). Each row and pass is measured in a process of its
//! own, so that its peak memory is its own: this program starts itself again for each.

mod measure;
mod peak;
mod shapes;

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::process::{Command, ExitCode, Stdio};

use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use shapes::{Row, rows};
use trestle::model::{DeviceChoice, OpenDevice, device};

/// What went wrong, for people.
type Failure = Box<dyn Error + Send + Sync>;

/// What is timed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pass {
    /// The loss of a batch in evaluation: no dropout, no gradients.
    Forward,
    /// The loss with dropout, gradients, the norm clipped, AdamW.
    Step,
}

/// As in a study file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Precision {
    F32,
    F16,
}

/// Measures forward passes and training steps of encoders with random weights: tokens a second, FLOP/s and the share of
/// the device's peak, memory.
///
/// A token's FLOPs are those of the matrix products of the layers, a multiplication and an addition each: 2 · (4 · width² +
/// 2 · width · feed-forward width) + 4 · positions · width a layer, three times that for a step (the backward pass counts
/// twice). Embeddings, head, softmax, LayerNorm, GELU and optimiser count as time, not as FLOPs; so does what gradient
/// checkpointing computes again.
///
/// On a CPU the peak is that of a 2048³ matrix product in f32 by the gemm crate, measured in the same run on the same threads.
/// On a GPU it is the maker's figure (dense, without TF32 for f32) where the card is known, else a 4096³ product on it.
#[derive(Debug, Parser)]
#[command(name = "train", bin_name = "train", version)]
struct Arguments {
    /// Rows, with commas between [default: all; see --list]
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Passes, with commas between
    #[arg(long, value_delimiter = ',', default_value = "forward,step")]
    passes: Vec<Pass>,
    /// `auto` takes a GPU where there is one
    #[arg(long, default_value = "flex")]
    device: DeviceChoice,
    /// Numbers in matrix products; f16 needs a device that has them, and scales the loss
    #[arg(long, default_value = "f32")]
    precision: Precision,
    /// Computes each layer again in the backward pass rather than keep what it holds
    #[arg(long)]
    gradient_checkpointing: bool,
    /// Threads on the CPU [default: all]
    #[arg(long)]
    threads: Option<usize>,
    /// Tokens a batch, instead of each shape's own number
    #[arg(long)]
    batch_tokens: Option<usize>,
    /// Seconds to measure each row and pass, after the warm-up
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Stretches into which those are cut: the median and the best are told
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// Lists the rows and ends
    #[arg(long)]
    list: bool,
    /// Measures the peak and ends
    #[arg(long)]
    peak: bool,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
    /// As cargo says to benches
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    fn threads(&self) -> usize {
        self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
    }

    /// The rows asked for, with their batches.
    fn wanted(&self, on_gpu: bool) -> Result<Vec<Row>, String> {
        let all = rows(on_gpu, self.batch_tokens);
        if self.rows.is_empty() {
            return Ok(all);
        }
        let find = |name: &String| {
            let names = || all.iter().map(|row| row.name.as_str()).collect::<Vec<_>>().join(", ");
            let found = all.iter().find(|row| row.name == *name).cloned();
            found.ok_or_else(|| format!("unknown row {name:?}; expected one of {}", names()))
        };
        self.rows.iter().map(find).collect()
    }
}

fn main() -> ExitCode {
    trestle::train::keep_freed_memory();
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.repeats == 0 || arguments.threads() == 0 || !arguments.seconds.is_finite() {
        return Err("--repeats and --threads must be at least 1, --seconds a number".into());
    }
    let alone = arguments.rows.len() == 1 && arguments.passes.len() == 1 && arguments.json;
    if !(alone || arguments.list || arguments.peak) {
        return table(arguments);
    }
    let opened = device::open(arguments.device)?;
    if arguments.precision == Precision::F16 {
        opened.check_precision(trestle::model::Precision::F16)?;
    }
    if arguments.list {
        return list(&arguments.wanted(opened.is_gpu())?, &opened, arguments);
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads()).build()?;
    if arguments.peak {
        return print_peak(&pool.install(|| peak::peak(&opened, arguments))?, arguments.json);
    }
    let row = arguments.wanted(opened.is_gpu())?.remove(0);
    println!("{}", pool.install(|| measure::measure(&row, arguments.passes[0], &opened, arguments))?);
    Ok(())
}

fn list(rows: &[Row], opened: &OpenDevice, arguments: &Arguments) -> Result<(), Failure> {
    if arguments.json {
        let rows: Vec<Value> = rows.iter().map(Row::described).collect();
        println!("{}", json!({ "device": opened.description, "kind": opened.kind(), "rows": rows }));
        return Ok(());
    }
    println!("device: {}", opened.description);
    for row in rows {
        let config = &row.config;
        println!(
            "{:16} {} layers of width {}, {} words; batches of {} rows of {} tokens",
            row.name, config.num_hidden_layers, config.hidden_size, config.vocab_size, row.rows, row.positions
        );
    }
    Ok(())
}

fn print_peak(peak: &Value, as_json: bool) -> Result<(), Failure> {
    if as_json {
        println!("{peak}");
    } else {
        println!("{}: {:.1} GFLOP/s ({})", text(peak, "device"), number(peak, "flops") / 1e9, text(peak, "source"));
    }
    Ok(())
}

/// Each row and pass in a process of its own; lines as they come. This process opens no device: a GPU's memory would be held
/// beside the rows' processes.
fn table(arguments: &Arguments) -> Result<(), Failure> {
    let again = |more: &[&str]| -> Result<Value, Failure> {
        let precision = if arguments.precision == Precision::F16 { "f16" } else { "f32" };
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["--json", "--device", arguments.device.name(), "--precision", precision]);
        command.args(["--threads", &arguments.threads().to_string(), "--seconds", &arguments.seconds.to_string()]);
        command.args(["--repeats", &arguments.repeats.to_string()]);
        if let Some(tokens) = arguments.batch_tokens {
            command.args(["--batch-tokens", &tokens.to_string()]);
        }
        if arguments.gradient_checkpointing {
            command.arg("--gradient-checkpointing");
        }
        let output = command.args(more).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("{} ended with {}", more.join(" "), output.status).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let names = arguments.rows.join(",");
    let listing = ["--list", "--rows", &names];
    let listed = again(if names.is_empty() { &listing[..1] } else { &listing })?;
    let peak = again(&["--peak"])?;
    if !arguments.json {
        print_peak(&peak, false)?;
        println!(
            "{:16} {:8} {:>9} {:>12} {:>12} {:>10} {:>8} {:>11}",
            "row", "pass", "batch", "tokens/s", "best", "GFLOP/s", "of peak", "memory MiB"
        );
    }
    for row in listed["rows"].as_array().into_iter().flatten() {
        let row_name = text(row, "row");
        for pass in &arguments.passes {
            let name = pass.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
            if std::io::stderr().is_terminal() {
                eprint!("{row_name} {name} …\r");
            }
            let mut measured = again(&["--rows", row_name, "--passes", &name])?;
            let share = number(&measured, "flops_per_second") / number(&peak, "flops");
            if arguments.json {
                measured["share_of_peak"] = json!(share);
                println!("{measured}");
                continue;
            }
            let memory = measured["device_bytes"].as_f64().unwrap_or_else(|| number(&measured, "resident_bytes"));
            println!(
                "{:16} {:8} {:>9} {:>12.0} {:>12.0} {:>10.1} {:>7.1}% {:>11.0}",
                row_name,
                name,
                format!("{}×{}", row["rows"], row["positions"]),
                number(&measured, "tokens_per_second"),
                number(&measured, "best_tokens_per_second"),
                number(&measured, "flops_per_second") / 1e9,
                100.0 * share,
                memory / f64::from(1 << 20)
            );
            std::io::stdout().flush()?;
        }
    }
    Ok(())
}

fn number(value: &Value, field: &str) -> f64 {
    value[field].as_f64().unwrap_or(f64::NAN)
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}
