use clap::{Args, CommandFactory};

use super::Cli;
use crate::error::{ExitCode, Result};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  trestle completions bash > ~/.local/share/bash-completion/completions/trestle")]
pub struct CompletionsArgs {
    /// The shell.
    shell: clap_complete::Shell,
}

pub fn run(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "trestle", &mut script);
    super::print(String::from_utf8_lossy(&script).trim_end());
    Ok(ExitCode::Success)
}
