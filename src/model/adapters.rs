//! The devices of this machine: what they are, and what they can do for a training.

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use burn::tensor::wgpu::wgpu;
use serde::Serialize;

use super::device::opened;
use super::memory;

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
    /// Bytes of memory: the largest heap that is the GPU's own, or the machine's; none where the system does not say.
    pub memory: Option<u64>,
    /// Bytes of the largest buffer that a kernel can use: no tensor may be larger. None for the CPU, which has no limit.
    pub largest_buffer: Option<u64>,
    /// Whether `precision = "f16"` can be computed.
    pub f16: bool,
    /// Products that the GPU's matrix units (cooperative matrices) make, as `16x16x16 f16 to f32`: only these make 16 bits
    /// faster than 32 by more than the memory they save.
    pub matrices: Vec<String>,
    /// Whether `auto` takes this one.
    pub chosen_by_auto: bool,
}

/// The Cargo features of this binary that decide how GPUs are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Build {
    /// Kernels are handed over as SPIR-V, with which alone matrix units can be used; WGSL otherwise.
    pub vulkan: bool,
    /// Operations between matrix products are fused into one kernel.
    pub fusion: bool,
    /// Kernels are chosen by trying several.
    pub autotune: bool,
}

impl Build {
    /// This binary's.
    pub const THIS: Self = Self {
        vulkan: cfg!(feature = "vulkan"),
        fusion: cfg!(feature = "fusion"),
        autotune: cfg!(feature = "autotune"),
    };
}

/// What `trestle devices` shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceList {
    /// Vulkan adapters in the driver's order, then the CPU.
    pub devices: Vec<DeviceInfo>,
    /// Why no GPU can be used, in words; none where one can.
    pub note: Option<String>,
    /// What this binary was built with.
    pub build: Build,
}

/// Every device there is, and a word on Vulkan where it can't be used.
pub fn list() -> DeviceList {
    let adapters = {
        let _loader = opened();
        adapters()
    };
    let chosen = best(&adapters);
    let mut devices: Vec<DeviceInfo> = adapters
        .iter()
        .enumerate()
        .map(|(index, adapter)| DeviceInfo {
            backend: "vulkan",
            name: adapter.info.name.clone(),
            driver: format!("{} {}", adapter.info.driver, adapter.info.driver_info).trim().to_owned(),
            class: class(adapter.info.device_type),
            memory: adapter.memory,
            largest_buffer: Some(adapter.largest_buffer),
            f16: adapter.f16,
            matrices: adapter.matrices.clone(),
            chosen_by_auto: chosen == Some(index),
        })
        .collect();
    devices.push(DeviceInfo {
        backend: "flex",
        name: cpu_name(),
        driver: String::new(),
        class: DeviceClass::Cpu,
        memory: memory::total(),
        largest_buffer: None,
        f16: true,
        matrices: Vec::new(),
        chosen_by_auto: chosen.is_none(),
    });
    DeviceList { devices, note: chosen.is_none().then(|| why_no_gpu(&adapters)), build: Build::THIS }
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
pub(super) fn best(adapters: &[Adapter]) -> Option<usize> {
    let rank = |adapter: &Adapter| match adapter.info.device_type {
        _ if is_rasteriser(&adapter.info.name) => None,
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

/// An adapter of the Vulkan loader.
pub(super) struct Adapter {
    /// As wgpu describes it.
    pub info: wgpu::AdapterInfo,
    memory: Option<u64>,
    largest_buffer: u64,
    f16: bool,
    matrices: Vec<String>,
}

impl Adapter {
    fn of(adapter: &wgpu::Adapter) -> Self {
        let matrices = adapter.cooperative_matrix_properties();
        let mut matrices: Vec<String> = matrices
            .iter()
            .map(|unit| {
                let [ab, cr] = [unit.ab_type, unit.cr_type].map(|kind| format!("{kind:?}").to_lowercase());
                format!("{}x{}x{} {ab} to {cr}", unit.m_size, unit.n_size, unit.k_size)
            })
            .collect();
        matrices.sort();
        matrices.dedup();
        Self {
            info: adapter.get_info(),
            memory: own_memory(adapter),
            largest_buffer: adapter.limits().max_storage_buffer_binding_size,
            f16: adapter.features().contains(wgpu::Features::SHADER_F16),
            matrices,
        }
    }
}

/// Bytes of the largest heap that is local to the device: a card's own memory, or an integrated GPU's share of the machine's.
#[cfg(any(target_os = "linux", target_os = "windows"))]
fn own_memory(adapter: &wgpu::Adapter) -> Option<u64> {
    /// `VK_MEMORY_HEAP_DEVICE_LOCAL_BIT`
    const DEVICE_LOCAL: u32 = 1;
    // SAFETY: the handle is only read, and not longer than `adapter` lives.
    let adapter = unsafe { adapter.as_hal::<wgpu::hal::api::Vulkan>() }?;
    let instance = adapter.shared_instance().raw_instance();
    // SAFETY: the physical device is one of this instance.
    let memory = unsafe { instance.get_physical_device_memory_properties(adapter.raw_physical_device()) };
    let heaps = &memory.memory_heaps[..memory.memory_heap_count as usize];
    heaps.iter().filter(|heap| heap.flags.as_raw() & DEVICE_LOCAL != 0).map(|heap| heap.size).max()
}

#[cfg(not(any(target_os = "linux", target_os = "windows")))]
fn own_memory(_adapter: &wgpu::Adapter) -> Option<u64> {
    None
}

/// To be called while no other thread is in the Vulkan loader.
pub(super) fn adapters() -> Vec<Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: wgpu::Backends::VULKAN,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let listing = pin!(instance.enumerate_adapters(wgpu::Backends::VULKAN));
    // Outside a browser the list is there at the first poll.
    match listing.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(adapters) => adapters.iter().map(Adapter::of).collect(),
        Poll::Pending => Vec::new(),
    }
}

pub(super) fn why_no_gpu(adapters: &[Adapter]) -> String {
    if !adapters.is_empty() {
        let names: Vec<&str> = adapters.iter().map(|adapter| adapter.info.name.as_str()).collect();
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
    fn the_cpu_is_always_listed() {
        let list = list();
        let cpu = list.devices.last().unwrap();
        assert_eq!((cpu.backend, cpu.class), ("flex", DeviceClass::Cpu));
        assert_eq!(list.devices.iter().filter(|device| device.chosen_by_auto).count(), 1);
        assert_eq!(list.note.is_some(), cpu.chosen_by_auto);
    }

    #[test]
    fn adapters_say_what_they_can_do() {
        // Whatever this machine has; Mesa's rasteriser at least where it is installed.
        for device in list().devices.iter().filter(|device| device.backend == "vulkan") {
            assert!(device.memory.is_some_and(|memory| memory >= 1 << 26), "{device:?}");
            assert!(device.largest_buffer.is_some_and(|largest| largest >= 1 << 27), "{device:?}");
        }
    }

    #[test]
    fn software_rasterisers_are_known_by_name_too() {
        for name in ["llvmpipe (LLVM 15.0.6, 256 bits)", "SwiftShader Device (LLVM 10.0.0)"] {
            assert!(is_rasteriser(name));
        }
        assert!(!is_rasteriser("NVIDIA H100 80GB HBM3"));
    }
}
