//! The device that tensors live on, chosen at run time: a GPU through Vulkan, or the CPU (burn's flex backend).

use std::fmt;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use burn::tensor::wgpu::{WgpuBackend, wgpu};
use burn::tensor::{DType, Device, DeviceKind as Adapter};
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

/// What computes: results of the two differ in rounding, so it is part of what identifies a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// A GPU through Vulkan.
    Vulkan,
    /// The CPU.
    Flex,
}

impl DeviceKind {
    /// The name used in keys and tables.
    pub fn name(self) -> &'static str {
        match self {
            DeviceKind::Vulkan => DeviceChoice::Vulkan.name(),
            DeviceKind::Flex => DeviceChoice::Flex.name(),
        }
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
    /// What computes.
    pub fn kind(&self) -> DeviceKind {
        if self.on_cpu() { DeviceKind::Flex } else { DeviceKind::Vulkan }
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

/// A device that was asked for, and is opened when something first computes on it: planning needs its kind alone.
#[derive(Debug)]
pub struct ChosenDevice {
    choice: DeviceChoice,
    found: OnceLock<Found>,
    open: Mutex<Option<OpenDevice>>,
}

impl ChosenDevice {
    /// What `choice` comes to here; nothing is looked for yet.
    pub fn new(choice: DeviceChoice) -> Self {
        Self { choice, found: OnceLock::new(), open: Mutex::new(None) }
    }

    /// What it computes with. Only `auto` has to look for it, once; a GPU that is asked for by name need not be here.
    pub fn kind(&self) -> DeviceKind {
        match self.choice {
            DeviceChoice::Vulkan => DeviceKind::Vulkan,
            DeviceChoice::Flex => DeviceKind::Flex,
            DeviceChoice::Auto => self.found().map_or(DeviceKind::Flex, |found| found.kind()),
        }
    }

    /// Whether this is a GPU.
    pub fn is_gpu(&self) -> bool {
        self.kind() == DeviceKind::Vulkan
    }

    /// As [`OpenDevice::description`], of the device that would be opened.
    ///
    /// # Errors
    /// When Vulkan is asked for and there is no real GPU.
    pub fn description(&self) -> Result<String, ModelError> {
        Ok(self.found()?.description())
    }

    /// The device, opened by the first call.
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(&self) -> Result<OpenDevice, ModelError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        match &*open {
            Some(device) => Ok(device.clone()),
            None => Ok(open.insert(self.found()?.open(self.choice)?).clone()),
        }
    }

    fn found(&self) -> Result<&Found, ModelError> {
        match self.found.get() {
            Some(found) => Ok(found),
            None => {
                let found = find(self.choice)?;
                Ok(self.found.get_or_init(|| found))
            }
        }
    }
}

/// What a choice comes to on this machine.
#[derive(Debug)]
enum Found {
    Cpu,
    /// The adapter's place in the driver's order, how burn counts it, and its name.
    Gpu(usize, Adapter, String),
}

/// Looks for the device of `choice` without opening it.
fn find(choice: DeviceChoice) -> Result<Found, ModelError> {
    if choice == DeviceChoice::Flex {
        return Ok(Found::Cpu);
    }
    let _loader = opened();
    let adapters = adapters();
    let Some(index) = best(&adapters) else {
        return match choice {
            DeviceChoice::Vulkan => Err(ModelError::Device { device: choice.name(), problem: why_no_gpu(&adapters) }),
            DeviceChoice::Auto | DeviceChoice::Flex => Ok(Found::Cpu),
        };
    };
    let class = adapters[index].info.device_type;
    let same_class = adapters[..index].iter().filter(|adapter| adapter.info.device_type == class).count();
    let adapter = match class {
        wgpu::DeviceType::DiscreteGpu => Adapter::DiscreteGpu(same_class),
        wgpu::DeviceType::IntegratedGpu => Adapter::IntegratedGpu(same_class),
        _ => Adapter::VirtualGpu(same_class),
    };
    Ok(Found::Gpu(index, adapter, adapters[index].info.name.clone()))
}

impl Found {
    fn kind(&self) -> DeviceKind {
        match self {
            Found::Cpu => DeviceKind::Flex,
            Found::Gpu(..) => DeviceKind::Vulkan,
        }
    }

    fn description(&self) -> String {
        match self {
            Found::Cpu => "cpu (flex)".to_owned(),
            Found::Gpu(_, _, name) => format!("{name} (vulkan)"),
        }
    }

    fn open(&self, choice: DeviceChoice) -> Result<OpenDevice, ModelError> {
        let Found::Gpu(index, adapter, _) = self else {
            return Ok(OpenDevice { device: Device::flex(), description: self.description() });
        };
        let mut opened = opened();
        let device = match opened.iter().find(|(known, _)| known == index) {
            Some((_, device)) => device.clone(),
            None => {
                let options = Device::wgpu_options().device_kind(adapter.clone()).graphics_api(WgpuBackend::Vulkan);
                let device = options.init().map_err(|error| ModelError::Device {
                    device: choice.name(),
                    problem: format!("{error}; use --device flex for the CPU"),
                })?;
                opened.push((*index, device.clone()));
                device
            }
        };
        Ok(OpenDevice { device, description: self.description() })
    }
}

/// Opens the device of `choice`.
///
/// # Errors
/// When Vulkan is asked for and there is no real GPU, or its driver refuses.
pub fn open(choice: DeviceChoice) -> Result<OpenDevice, ModelError> {
    find(choice)?.open(choice)
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
            let options = Device::wgpu_options().device_kind(Adapter::Cpu).graphics_api(WgpuBackend::Vulkan);
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
    fn a_chosen_device_has_its_kind_before_it_is_looked_for() {
        let gpu = ChosenDevice::new(DeviceChoice::Vulkan);
        assert_eq!((gpu.kind(), gpu.found.get().is_none()), (DeviceKind::Vulkan, true));
        assert_eq!(gpu.description().is_ok(), list().note.is_none());
        let auto = ChosenDevice::new(DeviceChoice::Auto);
        let opened = open(DeviceChoice::Auto).unwrap();
        assert_eq!((auto.is_gpu(), auto.description().unwrap()), (opened.is_gpu(), opened.description.clone()));
        assert!(auto.open.lock().unwrap().is_none(), "it was opened before it was needed");
        assert_eq!(auto.open().unwrap().description, opened.description);
        let cpu = ChosenDevice::new(DeviceChoice::Flex);
        assert!(cpu.kind() == DeviceKind::Flex && cpu.open().unwrap().on_cpu());
        // What stands in keys.
        assert_eq!(serde_json::json!([gpu.kind(), cpu.kind()]), serde_json::json!(["vulkan", "flex"]));
    }

    #[test]
    fn choices_parse_back() {
        for choice in [DeviceChoice::Auto, DeviceChoice::Vulkan, DeviceChoice::Flex] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert!("cuda".parse::<DeviceChoice>().unwrap_err().contains("vulkan"));
    }
}
