use std::path::PathBuf;

use clap::Args;

use super::watch::Terminal;
use super::{Context, print, print_json};
use crate::error::{ExitCode, Result};
use crate::evaluate::retrieval::{EmbeddingsFile, FileSearch, FileSearched, SideName, Similarity};
use crate::model::{DeviceChoice, device};
use crate::progress::Progress;

/// What searches over files of embeddings take.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// The Parquet file to write.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// The column (Parquet) or tensor (safetensors) with the vectors, in both files or, with a comma between, in the first and in
    /// the second [default: `vector`, or the only tensor].
    #[arg(long, value_name = "NAME[,NAME]", value_parser = parse_names)]
    vectors: Option<[String; 2]>,
    /// The Parquet column that names the rows [default: `example_id`, else row numbers from 0]; safetensors have row numbers.
    #[arg(long, value_name = "NAME")]
    ids: Option<String>,
    /// Only the vectors of this hidden state, by the column `layer`, which every table must have then; of safetensors all count.
    #[arg(long, value_name = "N")]
    layer: Option<i32>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceChoice::Auto)]
    device: DeviceChoice,
    /// Memory for vectors and the lists of their neighbours; vectors that are more lie in a scratch file beside the output
    /// meanwhile.
    #[arg(long, value_name = "SIZE", default_value = "4GB", value_parser = parse_size)]
    memory: u64,
    /// Prints what was done as JSON.
    #[arg(long)]
    json: bool,
}

impl SearchArgs {
    /// The search between two files, of which each may hold both sides.
    pub fn resolve(&self, queries: &PathBuf, index: &PathBuf, similarity: Similarity) -> Result<FileSearch> {
        let [one, other] = self.vectors.clone().map_or([None, None], |names| names.map(Some));
        let file = |path: &PathBuf, vectors: Option<String>, side: SideName| EmbeddingsFile {
            vectors,
            ids: self.ids.clone(),
            layer: self.layer,
            side: Some(side),
            ..EmbeddingsFile::new(path.clone())
        };
        Ok(FileSearch {
            sides: [file(queries, one, SideName::Query), file(index, other, SideName::Index)],
            similarity,
            output: self.output.clone(),
            device: device::open(self.device)?,
            memory: self.memory,
        })
    }

    /// Does `work` under a bar called `label` and says what it did.
    pub fn perform(
        &self,
        context: &Context,
        label: &str,
        work: impl FnOnce(&dyn Progress) -> Result<FileSearched>,
    ) -> Result<ExitCode> {
        let terminal = Terminal::new(1, context.quiet);
        let done = {
            let bar = terminal.bar(label);
            work(bar.as_ref())?
        };
        if self.json {
            print_json(&done);
        } else {
            let FileSearched { vectors: [one, other], width, rows, .. } = &done;
            let (seconds, gflops) = (done.searching_seconds, done.gflops);
            print(&format!(
                "{one} x {other} vectors of {width} numbers, searched in {seconds:.1} s on {} ({gflops:.0} GFLOP/s)",
                done.device
            ));
            print(&format!("{rows} rows: {}", done.output.display()));
        }
        Ok(ExitCode::Success)
    }
}

/// The names of the first and the second file's vectors: `A,B`, or `A` for both.
fn parse_names(text: &str) -> std::result::Result<[String; 2], String> {
    let (one, other) = text.split_once(',').unwrap_or((text, text));
    if one.is_empty() || other.is_empty() || other.contains(',') {
        return Err("must be one name, or two with a comma between".to_owned());
    }
    Ok([one, other].map(str::to_owned))
}

/// A number of bytes: `4GB`, `512MB`, `1.5GiB`.
fn parse_size(text: &str) -> std::result::Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        unit => return Err(format!("unknown unit {unit}; use MB, GB, MiB or GiB")),
    };
    let number: f64 = digits.trim().parse().map_err(|_| "must be a size, as in 4GB".to_owned())?;
    if number > 0.0 && number.is_finite() { Ok((number * unit) as u64) } else { Err("must be above zero".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_have_one_name_or_two() {
        assert_eq!(parse_names("v"), Ok(["v", "v"].map(str::to_owned)));
        assert_eq!(parse_names("v,w"), Ok(["v", "w"].map(str::to_owned)));
        for wrong in ["", ",", "v,", ",w", "v,w,x"] {
            assert!(parse_names(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("4GB"), Ok(4_000_000_000));
        assert_eq!(parse_size("1.5 MiB"), Ok(1_572_864));
        assert_eq!(parse_size("800"), Ok(800));
        for wrong in ["", "GB", "4 apples", "-1GB", "0"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }
}
