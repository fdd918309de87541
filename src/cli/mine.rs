use std::path::PathBuf;

use clap::Args;

use super::Context;
use super::search_args::SearchArgs;
use crate::error::{ExitCode, Result};
use crate::evaluate::retrieval::{Margin, MiningSettings, Similarity};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  trestle mine --source de.safetensors --target en.safetensors --output pairs.parquet\n  \
    trestle mine --source part-00000.parquet --target part-00000.parquet --threshold 1.06 --output pairs.parquet\n\n\
    A table with a column `side`, as the stage `embed` writes it, may be both files: source is `query`, target `index`."
)]
pub struct MineArgs {
    /// Embeddings of one side's sentences: Parquet, or safetensors with a row a vector.
    #[arg(long, value_name = "FILE")]
    source: PathBuf,
    /// Embeddings of the other side's.
    #[arg(long, value_name = "FILE")]
    target: PathBuf,
    /// Nearest sentences of the other side that a sentence may be paired with, and whose mean its cosines are set against:
    /// 1 to 100 (the method is meant for a handful).
    #[arg(long, value_name = "K", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100))]
    neighbours: u32,
    /// What a pair's score is.
    #[arg(long, value_enum, default_value_t = Margin::Ratio)]
    margin: Margin,
    /// Only pairs that score above X, a number from 0; what scores 0 or less is never a pair.
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = parse_threshold)]
    threshold: f64,
    #[command(flatten)]
    search: SearchArgs,
}

fn parse_threshold(text: &str) -> std::result::Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "must be a number from 0".to_owned())
}

pub fn run(context: &Context, args: &MineArgs) -> Result<ExitCode> {
    let search = args.search.resolve(&args.source, &args.target, Similarity::Cosine)?;
    let settings = MiningSettings { neighbours: args.neighbours as usize, margin: args.margin };
    args.search.perform(context, "mine", |progress| search.mine(settings, args.threshold, progress, &context.stop))
}
