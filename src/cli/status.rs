use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::{Context, print, print_json};
use crate::error::{ExitCode, Result};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  trestle status --json")]
pub struct StatusArgs {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Default, Serialize)]
struct StageStatus {
    artifacts: usize,
    files: usize,
    rows: u64,
    bytes: u64,
    seconds: f64,
}

pub fn run(context: &Context, args: &StatusArgs) -> Result<ExitCode> {
    let store = context.existing_store()?;
    let mut stages: BTreeMap<String, StageStatus> = BTreeMap::new();
    for artifact in store.list()? {
        let status = stages.entry(artifact.manifest.stage.clone()).or_default();
        status.artifacts += 1;
        status.files += artifact.manifest.files.len();
        status.rows += artifact.manifest.files.iter().filter_map(|file| file.rows).sum::<u64>();
        status.bytes += artifact.manifest.files.iter().map(|file| file.bytes).sum::<u64>();
        status.seconds += artifact.manifest.seconds;
    }
    let left = store.find_garbage(false)?.garbage;
    if args.json {
        print_json(&serde_json::json!({"home": context.home, "stages": stages, "interrupted": left}));
        return Ok(ExitCode::Success);
    }
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["stage", "artifacts", "files", "rows", "MiB", "seconds"]);
    for (stage, status) in &stages {
        table.add_row([
            stage.clone(),
            status.artifacts.to_string(),
            status.files.to_string(),
            status.rows.to_string(),
            format!("{:.1}", status.bytes as f64 / (1024.0 * 1024.0)),
            format!("{:.1}", status.seconds),
        ]);
    }
    print(&table.to_string());
    if !left.is_empty() {
        let bytes: u64 = left.iter().map(|garbage| garbage.bytes).sum();
        print(&format!(
            "{} interrupted stages or transfers hold {bytes} bytes: run again to go on, or `trestle gc`",
            left.len()
        ));
    }
    Ok(ExitCode::Success)
}
