use clap::Args;

use super::{Context, print, print_json};
use crate::error::{ExitCode, Result};
use crate::study::{Rescoring, rescore};

/// Differences of one artifact that are printed at most.
const SHOWN: usize = 20;

#[derive(Debug, Args)]
#[command(
    after_help = "Scores are computed from the predictions and the gold in the store, and compared with those in the store to the \
    last bit. Exit codes: 0 all are the same, 5 an input is gone, 9 a difference, or predictions or gold that can't be scored.\n\n\
    Examples:\n  trestle rescore\n  trestle rescore mini --json"
)]
pub struct RescoreArgs {
    /// Only the scores that this study published [default: every score in the store].
    #[arg(value_name = "STUDY")]
    study: Option<String>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(context: &Context, args: &RescoreArgs) -> Result<ExitCode> {
    let rescored = rescore(&context.existing_store()?, &context.registry, args.study.as_deref())?;
    let count = |wanted: fn(&Rescoring) -> bool| rescored.iter().filter(|one| wanted(&one.verdict)).count();
    let different = count(|verdict| matches!(verdict, Rescoring::Different { .. }));
    let unscorable = count(|verdict| matches!(verdict, Rescoring::Unscorable { .. }));
    let missing = count(|verdict| matches!(verdict, Rescoring::MissingInput { .. }));
    let outdated = count(|verdict| matches!(verdict, Rescoring::Outdated { .. }));
    if args.json {
        print_json(&rescored);
    } else {
        for one in &rescored {
            match &one.verdict {
                Rescoring::Equal => (),
                Rescoring::Different { differences } => {
                    print(&format!("{} ({}): {} differences", one.label, &one.key[..12], differences.len()));
                    for found in differences.iter().take(SHOWN) {
                        let row = found.row.map(|row| format!(" row {row}")).unwrap_or_default();
                        let (stored, recomputed) = (&found.stored, &found.recomputed);
                        print(&format!(
                            "  {}{row} {}: stored {stored}, recomputed {recomputed}",
                            found.file, found.column
                        ));
                    }
                    if differences.len() > SHOWN {
                        print(&format!("  and {} more (--json lists all)", differences.len() - SHOWN));
                    }
                }
                Rescoring::Unscorable { why } => {
                    print(&format!("{} ({}): can't be scored: {why}", one.label, &one.key[..12]))
                }
                Rescoring::MissingInput { input } => {
                    print(&format!("{}: its {input} is gone from the store", one.label))
                }
                Rescoring::Outdated { why } => print(&format!("{}: not compared: {why}", one.label)),
            }
        }
        let rows: u64 = rescored.iter().filter(|one| one.verdict == Rescoring::Equal).map(|one| one.rows).sum();
        let equal = rescored.len() - different - unscorable - missing - outdated;
        print(&format!(
            "{} score artifacts: {equal} the same ({rows} score rows), {different} different, {unscorable} that can't be \
             scored, {missing} without their inputs, {outdated} not compared",
            rescored.len()
        ));
    }
    Ok(match (different + unscorable, missing) {
        (0, 0) => ExitCode::Success,
        (0, _) => ExitCode::Missing,
        _ => ExitCode::Mismatch,
    })
}
