use clap::Args;

use super::{print, print_json};
use crate::error::{ExitCode, Result};
use crate::model;

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  trestle devices --json")]
pub struct DevicesArgs {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &DevicesArgs) -> Result<ExitCode> {
    let found = model::device::list();
    if args.json {
        print_json(&found);
        return Ok(ExitCode::Success);
    }
    for device in &found.devices {
        let mark = if device.chosen_by_auto { "*" } else { " " };
        let class = serde_json::to_value(device.class).unwrap_or_default();
        let class = class.as_str().unwrap_or_default().to_owned();
        print(format!("{mark} {:<7} {class:<19} {} {}", device.backend, device.name, device.driver).trim_end());
    }
    if let Some(note) = &found.note {
        print(note);
    }
    print("* what --device auto takes");
    Ok(ExitCode::Success)
}
