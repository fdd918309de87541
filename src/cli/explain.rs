use clap::Args;
use serde_json::Value;

use super::named::{ByLabel, Named};
use super::{Context, plan, print, print_json};
use crate::error::{Error, ExitCode, Result};
use crate::report::{OutputFormat, write_rows};
use crate::store::{Artifact, Explanation};
use crate::study::{Kind, Label, RowName, ScoreRows, Scores, State, StudyError, provenance, provenance_tree};

#[derive(Debug, Args)]
#[command(
    after_help = "A score row is STUDY/TARGET/ROW[/seed-N][/LANGUAGE or GROUP][/METRIC][@LAYER]: shown with everything that it \
    was made from, down to raw files and their entries in the lock file. So is a score artifact, by label or key.\n\n\
    Examples:\n  trestle explain mini/xnli/mnli/seed-1/sw\n  trestle explain mini/tatoeba/none/non-english@2 --json\n  \
    trestle explain normalize/mnli\n  trestle explain target/xnli/mnli/seed-1 --study mini\n  trestle explain 3f9a0c"
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
        tell(context, args, &artifact)?;
        return Ok(ExitCode::Success);
    }
    let row = RowName::parse(&args.named.name);
    if !crate::report::runs(&context.store().results_dir(), Some(row.study()))?.is_empty() {
        return score_row(context, args, &row);
    }
    let by_label = args.named.by_label(context);
    if let Err(Error::Study(StudyError::NoSuchNode { .. })) = &by_label
        && args.named.name.split('/').count() > 2
        && !Label::begins_in_grid(row.study())
    {
        return score_row(context, args, &row);
    }
    let ByLabel { resolved, states, index, artifact } = by_label?;
    let state = &states[index];
    if let Some(artifact) = &artifact {
        tell(context, args, artifact)?;
        return Ok(ExitCode::Success);
    }
    if args.json {
        print_json(state);
        return Ok(ExitCode::Success);
    }
    print(&format!("{}: {}", state.label, plan::describe_line(&state.state)));
    if let State::Due { reason: Explanation::Differs { nearest, differences }, .. } = &state.state {
        print(&format!("compared with {nearest}:"));
        for difference in differences {
            let value = |side: &Option<String>| side.clone().unwrap_or_else(|| "absent".to_owned());
            print(&format!("  {}: {} -> {}", difference.what, value(&difference.had), value(&difference.wants)));
        }
    }
    if let State::Waiting { .. } = &state.state {
        // What has to run first is the reason: the stages before it that are due.
        for index in resolved.graph.closure(|node| node.label.to_string() == state.label) {
            if let before @ State::Due { .. } = &states[index].state {
                print(&format!("  {}: {}", states[index].label, plan::describe_line(before)));
            }
        }
    }
    Ok(ExitCode::Success)
}

/// A number, and everything that it was made from.
fn score_row(context: &Context, args: &ExplainArgs, row: &RowName) -> Result<ExitCode> {
    let store = context.store();
    let ScoreRows { run, artifact, rows } = row.find(&store)?;
    let steps = provenance(&store, &artifact, &args.named.changes.lock)?;
    let mut shown = Vec::new();
    if args.json {
        write_rows(&rows, OutputFormat::Json, &mut shown)?;
        let scores: Value = serde_json::from_slice(&shown).unwrap_or_default();
        print_json(&serde_json::json!({
            "study": run.study, "target": run.at.target, "row": run.at.row, "seed": run.at.seed,
            "scores": scores, "made_from": steps,
        }));
        return Ok(ExitCode::Success);
    }
    write_rows(&rows, OutputFormat::Table { limit: usize::MAX }, &mut shown)?;
    print(&format!("{}: {} after {}, seed {}", run.study, run.at.target, run.at.row, run.at.seed));
    print(String::from_utf8_lossy(&shown).trim_end());
    print(&provenance_tree(&steps));
    Ok(ExitCode::Success)
}

/// A score with everything that it was made from; another artifact with its own inputs.
fn tell(context: &Context, args: &ExplainArgs, artifact: &Artifact) -> Result<()> {
    if !Scores::is(artifact) {
        show(artifact, args.json);
        return Ok(());
    }
    let steps = provenance(&context.store(), artifact, &args.named.changes.lock)?;
    if args.json {
        print_json(&serde_json::json!({ "made_from": steps }));
    } else {
        print(&provenance_tree(&steps));
    }
    Ok(())
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
