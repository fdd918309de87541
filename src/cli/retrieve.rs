use std::path::PathBuf;

use clap::Args;

use super::Context;
use super::search_args::SearchArgs;
use crate::error::{ExitCode, Result};
use crate::evaluate::retrieval::Similarity;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  trestle retrieve --queries questions.parquet --index passages.safetensors --top 20 \
    --output found.parquet\n  trestle retrieve --queries part-00000.parquet --index part-00000.parquet --layer 14 \
    --output found.parquet\n\nA table with a column `side`, as the stage `embed` writes it, may be both files."
)]
pub struct RetrieveArgs {
    /// Embeddings of the queries: Parquet, or safetensors with a row a vector.
    #[arg(long, value_name = "FILE")]
    queries: PathBuf,
    /// Embeddings to look among.
    #[arg(long, value_name = "FILE")]
    index: PathBuf,
    /// How many to find for each query, 1 to 1,000; their lists count towards --memory.
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    top: u32,
    /// How vectors are compared.
    #[arg(long, value_enum, default_value_t = Similarity::Cosine)]
    similarity: Similarity,
    #[command(flatten)]
    search: SearchArgs,
}

pub fn run(context: &Context, args: &RetrieveArgs) -> Result<ExitCode> {
    let search = args.search.resolve(&args.queries, &args.index, args.similarity)?;
    args.search.perform(context, "retrieve", |progress| search.retrieve(args.top as usize, progress, &context.stop))
}
