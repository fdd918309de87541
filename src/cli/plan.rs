use clap::Args;

use super::study_args::StudyArgs;
use super::{Context, print, print_json};
use crate::error::{ExitCode, Result};
use crate::store::Explanation;
use crate::study::{Inspected, State, inspect};

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  trestle plan mini --mini-size 2\n  trestle plan mini --json | jq '.[] | select(.state == \"due\")'"
)]
pub struct PlanArgs {
    #[command(flatten)]
    study: StudyArgs,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(context: &Context, args: &PlanArgs) -> Result<ExitCode> {
    let resolved = args.study.resolve(context)?;
    let setup = resolved.setup(context)?;
    let (states, _) = inspect(&setup, &resolved.graph)?;
    if args.json {
        print_json(&states);
        return Ok(ExitCode::Success);
    }
    let width = states.iter().map(|s| s.label.len()).max().unwrap_or(0);
    for stage in &states {
        print(&format!("{:width$}  {}", stage.label, describe(&stage.state)));
    }
    let count = |wanted: fn(&Inspected) -> bool| states.iter().filter(|stage| wanted(stage)).count();
    let done = count(|stage| matches!(stage.state, State::Done { .. }));
    let due = count(|stage| matches!(stage.state, State::Due { .. }));
    let waiting = states.len() - done - due;
    print(&format!("{} stages: {done} done, {due} due, {waiting} waiting for inputs", states.len()));
    Ok(ExitCode::Success)
}

/// One line about a state.
pub fn describe(state: &State) -> String {
    match state {
        State::Done { key } => format!("done     {}", short(key)),
        State::Due { reason: Explanation::Differs { differences, .. }, .. } => {
            let names: Vec<&str> = differences.iter().map(|d| d.what.as_str()).collect();
            format!("due      changed: {}", names.join(", "))
        }
        State::Due { .. } => "due      never made".to_owned(),
        State::Waiting { inputs } => format!("waiting  for {}", inputs.join(", ")),
    }
}

fn short(key: &str) -> &str {
    &key[..12.min(key.len())]
}
