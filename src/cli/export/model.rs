use std::path::PathBuf;

use clap::Args;

use crate::cli::named::Named;
use crate::cli::{Context, print};
use crate::error::{ExitCode, Result};
use crate::model::weights::ExportedHead;
use crate::study::{ExportRequest, StudyError, export};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  trestle export model target/xnli/mnli/seed-1 --study mini --output ~/models/xnli\n  \
    trestle export model intermediate/multi/seed-1 --study mini --head squad_v1 --output ~/models/squad\n  \
    trestle export model 3f9a0c --without-head --shard-size 2GB --output ~/models/encoder"
)]
pub struct ModelArgs {
    /// The directory to write; it must not exist.
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// The task whose head to take, of a model with several.
    #[arg(long, value_name = "TASK", conflicts_with = "without_head")]
    head: Option<String>,
    /// Takes the encoder by itself.
    #[arg(long)]
    without_head: bool,
    /// Spreads weights over files of at most this size: a number with kB, MB or GB.
    #[arg(long, value_name = "SIZE", default_value = "5GB", value_parser = parse_size)]
    shard_size: u64,
    #[command(flatten)]
    named: Named,
}

/// Bytes, in the powers of ten that transformers takes for the same setting.
fn parse_size(text: &str) -> std::result::Result<u64, String> {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000), ("KB", 1_000)];
    let (number, unit) = units
        .into_iter()
        .find_map(|(unit, size)| text.strip_suffix(unit).map(|number| (number, size)))
        .ok_or("must be a number with kB, MB or GB, as in 5GB")?;
    let number: u64 = number.trim().parse().map_err(|error| format!("{number}: {error}"))?;
    number.checked_mul(unit).filter(|size| *size > 0).ok_or_else(|| "must be more than nothing".to_owned())
}

pub fn run(context: &Context, args: &ModelArgs) -> Result<ExitCode> {
    let store = context.existing_store()?;
    let artifact = match args.named.by_key(context)? {
        Some(artifact) => artifact,
        None => args
            .named
            .by_label(context)?
            .artifact
            .ok_or_else(|| StudyError::NotMade { study: args.named.study.clone(), label: args.named.name.clone() })?,
    };
    let head = match (&args.head, args.without_head) {
        (Some(task), _) => ExportedHead::Of(task.clone()),
        (None, true) => ExportedHead::None,
        (None, false) => ExportedHead::Only,
    };
    let request = ExportRequest { artifact: &artifact, head, output: &args.output, shard_size: args.shard_size };
    let exported = export(&request, &store, &context.registry)?;
    let head = exported.head.map_or("without a head".to_owned(), |head| format!("with the head for {}", head.task));
    print(&format!("{}  {} {head}", args.output.display(), artifact.manifest.label));
    Ok(ExitCode::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_transformers() {
        assert_eq!(parse_size("5GB"), Ok(5_000_000_000));
        assert_eq!(parse_size("200 kB"), Ok(200_000));
        for wrong in ["5", "0MB", "GB", "-1GB", "99999999999999GB", "5GiB"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
