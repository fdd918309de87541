//! The device that tensors live on, chosen at run time: a GPU through Vulkan, or the CPU (burn's flex backend).

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::str::FromStr;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use burn::tensor::wgpu::{WgpuBackend, wgpu};
use burn::tensor::{DType, Device, DeviceKind};
use serde::{Deserialize, Serialize};

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

/// What kind of hardware an adapter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceClass {
    /// A card of its own.
    DiscreteGpu,
    /// A GPU beside the CPU.
    IntegratedGpu,
    /// A GPU handed to a virtual machine.
    VirtualGpu,
    /// Vulkan computed on the CPU (llvmpipe, SwiftShader): listed, never used.
    SoftwareRasteriser,
    /// Something the driver does not classify: listed, never used.
    Other,
    /// The CPU itself, through flex.
    Cpu,
}

/// One line of `trestle devices`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceInfo {
    /// `vulkan` or `flex`.
    pub backend: &'static str,
    /// The hardware's name.
    pub name: String,
    /// Driver name and version; empty for the CPU.
    pub driver: String,
    /// Kind of hardware.
    pub class: DeviceClass,
    /// Whether `auto` takes this one.
    pub chosen_by_auto: bool,
}

/// What `trestle devices` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceList {
    /// Vulkan adapters in the driver's order, then the CPU.
    pub devices: Vec<DeviceInfo>,
    /// Why no GPU can be used, in words; none where one can.
    pub note: Option<String>,
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

/// Opens the device of `choice`.
///
/// # Errors
/// When Vulkan is asked for and there is no real GPU, or its driver refuses.
pub fn open(choice: DeviceChoice) -> Result<OpenDevice, ModelError> {
    let cpu = || OpenDevice { device: Device::flex(), description: "cpu (flex)".into() };
    if choice == DeviceChoice::Flex {
        return Ok(cpu());
    }
    let mut opened = OPENED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let adapters = adapters();
    let Some(index) = best(&adapters) else {
        return match choice {
            DeviceChoice::Vulkan => Err(ModelError::Device { device: choice.name(), problem: why_no_gpu(&adapters) }),
            DeviceChoice::Auto | DeviceChoice::Flex => Ok(cpu()),
        };
    };
    let description = format!("{} (vulkan)", adapters[index].name);
    if let Some((_, device)) = opened.iter().find(|(known, _)| *known == index) {
        return Ok(OpenDevice { device: device.clone(), description });
    }
    let same_class =
        adapters[..index].iter().filter(|adapter| adapter.device_type == adapters[index].device_type).count();
    let kind = match adapters[index].device_type {
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
    let mut opened = OPENED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
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

/// Every device there is, and a word on Vulkan where it can't be used.
pub fn list() -> DeviceList {
    let adapters = {
        let _loader = OPENED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        adapters()
    };
    let chosen = best(&adapters);
    let mut devices: Vec<DeviceInfo> = adapters
        .iter()
        .enumerate()
        .map(|(index, adapter)| DeviceInfo {
            backend: "vulkan",
            name: adapter.name.clone(),
            driver: format!("{} {}", adapter.driver, adapter.driver_info).trim().to_owned(),
            class: class(adapter.device_type),
            chosen_by_auto: chosen == Some(index),
        })
        .collect();
    devices.push(DeviceInfo {
        backend: "flex",
        name: cpu_name(),
        driver: String::new(),
        class: DeviceClass::Cpu,
        chosen_by_auto: chosen.is_none(),
    });
    DeviceList { devices, note: chosen.is_none().then(|| why_no_gpu(&adapters)) }
}

fn class(kind: wgpu::DeviceType) -> DeviceClass {
    match kind {
        wgpu::DeviceType::DiscreteGpu => DeviceClass::DiscreteGpu,
        wgpu::DeviceType::IntegratedGpu => DeviceClass::IntegratedGpu,
        wgpu::DeviceType::VirtualGpu => DeviceClass::VirtualGpu,
        wgpu::DeviceType::Cpu => DeviceClass::SoftwareRasteriser,
        wgpu::DeviceType::Other => DeviceClass::Other,
    }
}

/// The adapter to use: a card before an integrated GPU before a virtual one; nothing else is a real GPU. Rasterisers that
/// call themselves a GPU are told by their names.
fn best(adapters: &[wgpu::AdapterInfo]) -> Option<usize> {
    let rank = |adapter: &wgpu::AdapterInfo| match adapter.device_type {
        _ if is_rasteriser(&adapter.name) => None,
        wgpu::DeviceType::DiscreteGpu => Some(0),
        wgpu::DeviceType::IntegratedGpu => Some(1),
        wgpu::DeviceType::VirtualGpu => Some(2),
        wgpu::DeviceType::Cpu | wgpu::DeviceType::Other => None,
    };
    let ranked = adapters.iter().enumerate().filter_map(|(index, adapter)| Some((rank(adapter)?, index)));
    ranked.min().map(|(_, index)| index)
}

fn is_rasteriser(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["llvmpipe", "lavapipe", "swiftshader"].iter().any(|rasteriser| name.contains(rasteriser))
}

fn adapters() -> Vec<wgpu::AdapterInfo> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let listing = pin!(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    // Outside a browser the list is there at the first poll.
    match listing.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(adapters) => adapters.iter().map(wgpu::Adapter::get_info).collect(),
        Poll::Pending => Vec::new(),
    }
}

fn why_no_gpu(adapters: &[wgpu::AdapterInfo]) -> String {
    if !adapters.is_empty() {
        let names: Vec<&str> = adapters.iter().map(|adapter| adapter.name.as_str()).collect();
        return format!("Vulkan has only software devices ({}), which are not used", names.join(", "));
    }
    let loader = library_directories().iter().any(|directory| directory.join("libvulkan.so.1").exists());
    let driver = ["/etc/vulkan/icd.d", "/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d"]
        .iter()
        .any(|directory| Path::new(directory).read_dir().is_ok_and(|mut files| files.next().is_some()))
        || std::env::var_os("VK_DRIVER_FILES").or_else(|| std::env::var_os("VK_ICD_FILENAMES")).is_some();
    match (loader, driver) {
        (false, _) => "no Vulkan loader found (libvulkan.so.1; Debian package libvulkan1)".into(),
        (true, false) => "the Vulkan loader is there but no driver is registered (no file in vulkan/icd.d)".into(),
        (true, true) => "the Vulkan loader and a driver are there, but the driver offers no device".into(),
    }
}

fn library_directories() -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> =
        std::env::var_os("LD_LIBRARY_PATH").map(|paths| std::env::split_paths(&paths).collect()).unwrap_or_default();
    let triplet = format!("{}-linux-gnu", std::env::consts::ARCH);
    for root in ["/usr/lib", "/lib", "/usr/lib64", "/lib64", "/usr/local/lib"] {
        directories.push(PathBuf::from(root));
        directories.push(Path::new(root).join(&triplet));
    }
    directories
}

fn cpu_name() -> String {
    let model = std::fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    });
    model.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_is_always_listed_and_opens() {
        let list = list();
        let cpu = list.devices.last().unwrap();
        assert_eq!((cpu.backend, cpu.class), ("flex", DeviceClass::Cpu));
        assert_eq!(list.devices.iter().filter(|device| device.chosen_by_auto).count(), 1);
        assert_eq!(list.note.is_some(), cpu.chosen_by_auto);
        assert!(open(DeviceChoice::Flex).unwrap().on_cpu());
    }

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
    }

    #[test]
    fn software_rasterisers_are_known_by_name_too() {
        for name in ["llvmpipe (LLVM 15.0.6, 256 bits)", "SwiftShader Device (LLVM 10.0.0)"] {
            assert!(is_rasteriser(name));
        }
        assert!(!is_rasteriser("NVIDIA H100 80GB HBM3"));
    }

    #[test]
    fn choices_parse_back() {
        for choice in [DeviceChoice::Auto, DeviceChoice::Vulkan, DeviceChoice::Flex] {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
        assert!("cuda".parse::<DeviceChoice>().unwrap_err().contains("vulkan"));
    }
}
