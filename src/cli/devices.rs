use clap::Args;

use super::{print, print_json};
use crate::error::{ExitCode, Result};
use crate::model::DeviceList;
use crate::model::adapters::{self, Build};

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  trestle devices --json")]
pub struct DevicesArgs {
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

pub fn run(args: &DevicesArgs) -> Result<ExitCode> {
    let found = adapters::list();
    if args.json {
        print_json(&found);
    } else {
        lines(&found).iter().for_each(|line| print(line));
    }
    Ok(ExitCode::Success)
}

/// Two lines a device (what it is, what it can do), then notes.
fn lines(found: &DeviceList) -> Vec<String> {
    let mut lines = Vec::new();
    for device in &found.devices {
        let mark = if device.chosen_by_auto { "*" } else { " " };
        let class = serde_json::to_value(device.class).unwrap_or_default();
        let class = class.as_str().unwrap_or_default().to_owned();
        let line = format!("{mark} {:<7} {class:<19} {} {}", device.backend, device.name, device.driver);
        lines.push(line.trim_end().to_owned());
        let mut can = Vec::new();
        can.push(device.memory.map_or("memory unknown".into(), |bytes| format!("{} memory", gibibytes(bytes))));
        can.extend(device.largest_buffer.map(|bytes| format!("tensors up to {}", gibibytes(bytes))));
        if device.largest_buffer.is_some() {
            can.push(if device.f16 { "f16" } else { "no f16" }.into());
            can.push(match device.matrices.as_slice() {
                [] => "no matrix units (cooperative matrices)".into(),
                units => format!("matrix units {}", units.join(", ")),
            });
        }
        lines.push(format!("  {:<7} {:<19} {}", "", "", can.join("; ")));
    }
    lines.extend(found.note.clone());
    lines.push("* what --device auto takes".into());
    let Build { vulkan, fusion, autotune } = found.build;
    let with = |on: bool, what: &str| if on { what.to_owned() } else { format!("no {what}") };
    let shaders = if vulkan { "SPIR-V kernels" } else { "WGSL kernels, which use no matrix units" };
    lines.push(format!("This binary: {shaders}; {}; {}", with(fusion, "fusion"), with(autotune, "autotune")));
    lines
}

fn gibibytes(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DeviceInfo;
    use crate::model::adapters::DeviceClass;

    #[test]
    fn a_card_and_the_cpu_are_described_in_words_and_in_json() {
        let card = DeviceInfo {
            backend: "vulkan",
            name: "Some GPU".into(),
            driver: "driver 1.2".into(),
            class: DeviceClass::DiscreteGpu,
            memory: Some(80 << 30),
            largest_buffer: Some(2 << 30),
            f16: true,
            matrices: vec!["16x16x16 f16 to f32".into()],
            chosen_by_auto: true,
        };
        let poor = DeviceInfo {
            class: DeviceClass::IntegratedGpu,
            memory: None,
            f16: false,
            matrices: Vec::new(),
            chosen_by_auto: false,
            ..card.clone()
        };
        let cpu = DeviceInfo {
            backend: "flex",
            name: "Some CPU".into(),
            driver: String::new(),
            class: DeviceClass::Cpu,
            memory: Some(16 << 30),
            largest_buffer: None,
            ..poor.clone()
        };
        let build = Build { vulkan: false, fusion: true, autotune: false };
        let list = DeviceList { devices: vec![card, poor, cpu], note: None, build };
        let expected = "\
* vulkan  discrete-gpu        Some GPU driver 1.2
                              80.0 GiB memory; tensors up to 2.0 GiB; f16; matrix units 16x16x16 f16 to f32
  vulkan  integrated-gpu      Some GPU driver 1.2
                              memory unknown; tensors up to 2.0 GiB; no f16; no matrix units (cooperative matrices)
  flex    cpu                 Some CPU
                              16.0 GiB memory
* what --device auto takes
This binary: WGSL kernels, which use no matrix units; fusion; no autotune";
        assert_eq!(lines(&list).join("\n"), expected);
        let json = serde_json::to_value(&list).unwrap();
        assert_eq!(json["devices"][0]["matrices"][0], "16x16x16 f16 to f32");
        assert_eq!((&json["devices"][1]["f16"], &json["devices"][1]["memory"]), (&false.into(), &None::<u64>.into()));
        assert_eq!(json["build"]["fusion"], true);
    }
}
