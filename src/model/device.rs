//! The device that tensors live on, chosen at run time: a GPU through Vulkan, or the CPU (burn's flex backend).

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::wgpu::{WgpuBackend, wgpu};
use burn::tensor::{DType, Device, DeviceKind};
use serde::{Deserialize, Serialize};

use super::adapters::{adapters, best, why_no_gpu};
use super::{ModelError, Precision};

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceChoice {
    /// A real GPU where there is one, else the CPU.
    #[default]
    Auto,
    /// A GPU through Vulkan; an error where there is none.
    Vulkan,
    /// The CPU.
    Flex,
}

impl DeviceChoice {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            DeviceChoice::Auto => "auto",
            DeviceChoice::Vulkan => "vulkan",
            DeviceChoice::Flex => "flex",
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [DeviceChoice::Auto, DeviceChoice::Vulkan, DeviceChoice::Flex]
            .into_iter()
            .find(|choice| choice.name() == text)
            .ok_or_else(|| format!("unknown device {text:?}; expected auto, vulkan or flex"))
    }
}

/// A device ready for use.
#[derive(Debug, Clone)]
pub struct OpenDevice {
    /// To make tensors on.
    pub device: Device,
    /// What was opened, for the user: `cpu (flex)` or the GPU's name.
    pub description: String,
}

impl OpenDevice {
    /// `flex` or `vulkan`: results of the two differ in rounding, so it is part of what identifies a training.
    pub fn kind(&self) -> &'static str {
        if self.on_cpu() { DeviceChoice::Flex.name() } else { DeviceChoice::Vulkan.name() }
    }

    /// Whether this is a GPU.
    pub fn is_gpu(&self) -> bool {
        !self.on_cpu()
    }

    /// # Errors
    /// When the device can't multiply in `precision`.
    pub fn check_precision(&self, precision: Precision) -> Result<(), ModelError> {
        if precision == Precision::F16 && !self.device.supports_dtype(DType::F16) {
            let problem = "it has no 16-bit arithmetic (shader-f16 in `trestle devices`); set precision = \"f32\"";
            return Err(ModelError::Precision { device: self.description.clone(), problem });
        }
        Ok(())
    }

    /// Whether this is the CPU.
    pub fn on_cpu(&self) -> bool {
        self.device == Device::flex()
    }
}

/// GPUs already opened in this process, by their place among the adapters. The runtime of a device can be set up once only;
/// the lock also keeps the Vulkan loader from being entered by two threads, which crashes it.
static OPENED: Mutex<Vec<(usize, Device)>> = Mutex::new(Vec::new());

/// The GPUs already opened. While the guard is held, no other thread is in the Vulkan loader.
pub(super) fn opened() -> MutexGuard<'static, Vec<(usize, Device)>> {
    OPENED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Opens the device of `choice`.
///
/// # Errors
/// When Vulkan is asked for and there is no real GPU, or its driver refuses.
pub fn open(choice: DeviceChoice) -> Result<OpenDevice, ModelError> {
    let cpu = || OpenDevice { device: Device::flex(), description: "cpu (flex)".into() };
    if choice == DeviceChoice::Flex {
        return Ok(cpu());
    }
    let mut opened = opened();
    let adapters = adapters();
    let Some(index) = best(&adapters) else {
        return match choice {
            DeviceChoice::Vulkan => Err(ModelError::Device { device: choice.name(), problem: why_no_gpu(&adapters) }),
            DeviceChoice::Auto | DeviceChoice::Flex => Ok(cpu()),
        };
    };
    let description = format!("{} (vulkan)", adapters[index].info.name);
    if let Some((_, device)) = opened.iter().find(|(known, _)| *known == index) {
        return Ok(OpenDevice { device: device.clone(), description });
    }
    let same_class =
        adapters[..index].iter().filter(|adapter| adapter.info.device_type == adapters[index].info.device_type).count();
    let kind = match adapters[index].info.device_type {
        wgpu::DeviceType::DiscreteGpu => DeviceKind::DiscreteGpu(same_class),
        wgpu::DeviceType::IntegratedGpu => DeviceKind::IntegratedGpu(same_class),
        _ => DeviceKind::VirtualGpu(same_class),
    };
    let device =
        Device::wgpu_options().device_kind(kind).graphics_api(WgpuBackend::Vulkan).init().map_err(|error| {
            ModelError::Device { device: choice.name(), problem: format!("{error}; use --device flex for the CPU") }
        })?;
    opened.push((index, device.clone()));
    Ok(OpenDevice { device, description })
}

/// The adapter that tests of the GPU path run on: the GPU, where there is one, else the software rasteriser, but only when
/// asked for by name (`TRESTLE_SMOKE=software`) and in a build without SPIR-V, with which rasterisers crash. A test that
/// gets neither fails.
#[cfg(test)]
pub(crate) fn open_for_tests() -> OpenDevice {
    let error = match open(DeviceChoice::Vulkan) {
        Ok(device) => return device,
        Err(error) => error,
    };
    let asked = std::env::var("TRESTLE_SMOKE").is_ok_and(|adapter| adapter == "software");
    assert!(asked && !cfg!(feature = "vulkan"), "{error}; `make smoke-wgpu` runs this on a software rasteriser");
    const SOFTWARE: usize = usize::MAX;
    let mut opened = opened();
    let device = match opened.iter().find(|(known, _)| *known == SOFTWARE) {
        Some((_, device)) => device.clone(),
        None => {
            let options = Device::wgpu_options().device_kind(DeviceKind::Cpu).graphics_api(WgpuBackend::Vulkan);
            let device = options.init().expect("Mesa's software rasteriser (Debian package mesa-vulkan-drivers) opens");
            opened.push((SOFTWARE, device.clone()));
            device
        }
    };
    OpenDevice { device, description: "software rasteriser (vulkan)".into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::adapters::list;

    #[test]
    fn auto_opens_what_the_list_says_and_vulkan_fails_in_words() {
        let list = list();
        if let Some(note) = list.note {
            assert!(open(DeviceChoice::Auto).unwrap().on_cpu());
            let error = open(DeviceChoice::Vulkan).unwrap_err().to_string();
            assert!(error.contains(&note), "{error}");
        } else {
            assert!(!open(DeviceChoice::Auto).unwrap().on_cpu());
        }
        assert!(open(DeviceChoice::Flex).unwrap().on_cpu());
    }

    #[test]
    fn choices_parse_back() {
        for choice in [DeviceChoice::Auto, DeviceChoice::Vulkan, DeviceChoice::Flex] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert!("cuda".parse::<DeviceChoice>().unwrap_err().contains("vulkan"));
    }
}
