use clap::Args;

use super::named::{ByLabel, Named};
use super::{Context, plan, print, print_json};
use crate::error::{ExitCode, Result};
use crate::store::{Artifact, Explanation};
use crate::study::State;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  trestle explain normalize/mnli\n  trestle explain target/xnli/mnli/seed-1 --study mini\n  \
    trestle explain 3f9a0c"
)]
pub struct ExplainArgs {
    #[command(flatten)]
    named: Named,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(context: &Context, args: &ExplainArgs) -> Result<ExitCode> {
    if let Some(artifact) = args.named.by_key(context)? {
        show(&artifact, args.json);
        return Ok(ExitCode::Success);
    }
    let ByLabel { resolved, states, index, artifact } = args.named.by_label(context)?;
    let state = &states[index];
    if let Some(artifact) = &artifact {
        show(artifact, args.json);
        return Ok(ExitCode::Success);
    }
    if args.json {
        print_json(state);
        return Ok(ExitCode::Success);
    }
    print(&format!("{}: {}", state.label, plan::describe(&state.state)));
    if let State::Due { reason: Explanation::Differs { nearest, differences }, .. } = &state.state {
        print(&format!("compared with {nearest}:"));
        for difference in differences {
            let value = |side: &Option<String>| side.clone().unwrap_or_else(|| "absent".to_owned());
            print(&format!("  {}: {} -> {}", difference.what, value(&difference.had), value(&difference.wants)));
        }
    }
    if let State::Waiting { .. } = &state.state {
        // What has to run first is the reason: the stages before it that are due.
        for index in resolved.graph.closure(|node| node.label == state.label) {
            if let before @ State::Due { .. } = &states[index].state {
                print(&format!("  {}: {}", states[index].label, plan::describe(before)));
            }
        }
    }
    Ok(ExitCode::Success)
}

fn show(artifact: &Artifact, json: bool) {
    let manifest = &artifact.manifest;
    if json {
        print_json(manifest);
        return;
    }
    print(&format!("{} {} ({})", manifest.stage, manifest.key, manifest.label));
    print(&format!("  directory: {}", artifact.dir.display()));
    print(&format!("  made by trestle {} in {:.1} s", manifest.tool_version, manifest.seconds));
    print(&format!("  parameters: {}", manifest.parameters));
    for (name, input) in &manifest.inputs {
        let from = match (&input.stage, &input.key) {
            (Some(stage), Some(key)) => format!("{stage} {}", key.short()),
            _ => "outside".to_owned(),
        };
        print(&format!("  input {name}: {from}, content {}", &input.digest[..12.min(input.digest.len())]));
    }
    for file in &manifest.files {
        let rows = file.rows.map(|rows| format!(", {rows} rows")).unwrap_or_default();
        print(&format!("  file {} ({} bytes{rows})", file.path, file.bytes));
    }
}
