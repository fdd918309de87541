//! `trestle export …`: what Trestle made, in the forms that other projects read.

mod model;
mod results;

use clap::{Args, Subcommand};

use super::Context;
use crate::error::{ExitCode, Result};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  trestle export model target/xnli/mnli/seed-1 --study mini --output ~/models/xnli\n  \
    trestle export submission mini --row mnli --suite xtreme --output ~/submission\n  \
    trestle export model-index mini --row mnli --output card.md"
)]
pub struct ExportArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Writes a trained model as a Hugging Face directory.
    Model(Box<model::ModelArgs>),
    /// Writes a row's predictions in XTREME's folder layout.
    Submission(results::SubmissionArgs),
    /// Writes a row's scores as MTEB's result files.
    Mteb(results::RowArgs),
    /// Writes a row's scores as lm-evaluation-harness's results file.
    LmEval(results::RowArgs),
    /// Writes a row's scores as the metadata of a Hugging Face model card.
    ModelIndex(results::RowArgs),
    /// Writes canonical tables with Croissant metadata.
    Croissant(results::CroissantArgs),
}

pub fn run(context: &Context, args: &ExportArgs) -> Result<ExitCode> {
    match &args.what {
        What::Model(args) => model::run(context, args),
        What::Submission(args) => results::submission(context, args),
        What::Mteb(args) => results::mteb(context, args),
        What::LmEval(args) => results::lm_eval(context, args),
        What::ModelIndex(args) => results::model_index(context, args),
        What::Croissant(args) => results::croissant(context, args),
    }
}
