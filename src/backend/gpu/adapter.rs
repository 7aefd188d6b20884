//! The adapters of a machine, and the choice among them.

use std::{fmt, sync::OnceLock};

use crate::error::{Error, ErrorKind, Result};

/// What kind of device an adapter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdapterType {
    /// A graphics card with memory of its own.
    Discrete,
    /// A graphics processor that shares the processor's memory.
    Integrated,
    /// A graphics processor handed to a virtual machine.
    Virtual,
    /// A program that does on the processor what a graphics processor would.
    Software,
    /// The driver does not say.
    Other,
}

impl fmt::Display for AdapterType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AdapterType::Discrete => "discrete",
            AdapterType::Integrated => "integrated",
            AdapterType::Virtual => "virtual",
            AdapterType::Software => "software",
            AdapterType::Other => "other",
        })
    }
}

/// An adapter that a model could run on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adapter {
    /// Its position in the list, by which it can be chosen.
    pub index: usize,
    /// The device's name.
    pub name: String,
    /// The driver and its version.
    pub driver: String,
    /// The interface it is reached by: `vulkan`, `metal` or `dx12`.
    pub interface: String,
    /// What kind of device it is.
    pub kind: AdapterType,
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}, {}, {})", self.index, self.name, self.kind, self.interface, self.driver)
    }
}

fn instance() -> &'static wgpu::Instance {
    static INSTANCE: OnceLock<wgpu::Instance> = OnceLock::new();
    INSTANCE.get_or_init(|| {
        let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
        // Without the flags that the environment of a debug build would set: validation layers are no part of a run.
        let flags = wgpu::InstanceFlags::empty();
        wgpu::Instance::new(wgpu::InstanceDescriptor {
            backends,
            flags,
            ..wgpu::InstanceDescriptor::new_without_display_handle()
        })
    })
}

/// All adapters, looked for once: drivers are loaded for it.
fn all() -> &'static [(Adapter, wgpu::Adapter)] {
    static ALL: OnceLock<Vec<(Adapter, wgpu::Adapter)>> = OnceLock::new();
    ALL.get_or_init(look)
}

fn look() -> Vec<(Adapter, wgpu::Adapter)> {
    let found = pollster::block_on(instance().enumerate_adapters(wgpu::Backends::all()));
    let describe = |(index, adapter): (usize, wgpu::Adapter)| {
        let info = adapter.get_info();
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => AdapterType::Discrete,
            wgpu::DeviceType::IntegratedGpu => AdapterType::Integrated,
            wgpu::DeviceType::VirtualGpu => AdapterType::Virtual,
            wgpu::DeviceType::Cpu => AdapterType::Software,
            wgpu::DeviceType::Other => AdapterType::Other,
        };
        let driver = format!("{} {}", info.driver, info.driver_info).trim().to_owned();
        let interface = info.backend.to_str().to_owned();
        (Adapter { index, name: info.name, driver, interface, kind }, adapter)
    };
    found.into_iter().enumerate().map(describe).collect()
}

/// The adapters of this machine, software ones too.
pub fn adapters() -> Vec<Adapter> {
    all().iter().map(|(adapter, _)| adapter.clone()).collect()
}

/// The adapter that `choice` asks for: its number, a part of its name, `high-performance` or `low-power`. Without a
/// choice the fastest kind that is no software.
///
/// # Errors
/// When there is none such; the message lists those that there are.
pub(super) fn choose(choice: Option<&str>) -> Result<(Adapter, wgpu::Adapter)> {
    let all = all();
    let adapters: Vec<&Adapter> = all.iter().map(|(adapter, _)| adapter).collect();
    let position = pick(&adapters, choice);
    let listed: Vec<String> = all.iter().map(|(adapter, _)| format!("`{adapter}`")).collect();
    let listed = if listed.is_empty() { "none (is a Vulkan driver installed?)".to_owned() } else { listed.join(", ") };
    match (position, choice) {
        (Some(position), _) => Ok(all[position].clone()),
        (None, Some(choice)) => {
            Err(Error::new(ErrorKind::Device, format!("no graphics adapter is `{choice}`; there are: {listed}")))
        }
        (None, None) => {
            let what = format!(
                "there is no graphics processor; a software adapter is taken by name only; there are: {listed}"
            );
            Err(Error::new(ErrorKind::Device, what))
        }
    }
}

fn pick(adapters: &[&Adapter], choice: Option<&str>) -> Option<usize> {
    let best =
        |order: &[AdapterType]| order.iter().find_map(|kind| adapters.iter().position(|adapter| adapter.kind == *kind));
    use AdapterType::{Discrete, Integrated, Other, Virtual};
    match choice {
        None | Some("high-performance") => best(&[Discrete, Virtual, Integrated, Other]),
        Some("low-power") => best(&[Integrated, Virtual, Discrete, Other]),
        Some(choice) => match choice.parse::<usize>() {
            Ok(index) => adapters.iter().position(|adapter| adapter.index == index),
            Err(_) => {
                let choice = choice.to_lowercase();
                adapters.iter().position(|adapter| adapter.name.to_lowercase().contains(&choice))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(index: usize, name: &str, kind: AdapterType) -> Adapter {
        Adapter { index, name: name.to_owned(), driver: String::new(), interface: "vulkan".to_owned(), kind }
    }

    #[test]
    fn a_software_adapter_is_taken_by_name_or_number_only() {
        let software = adapter(0, "llvmpipe (LLVM)", AdapterType::Software);
        let card = adapter(1, "Card", AdapterType::Discrete);
        let chip = adapter(2, "Chip", AdapterType::Integrated);
        let all = [&software, &card, &chip];
        assert_eq!(pick(&all[..1], None), None);
        assert_eq!(pick(&all[..1], Some("high-performance")), None);
        assert_eq!(pick(&all, None), Some(1));
        assert_eq!(pick(&all, Some("low-power")), Some(2));
        assert_eq!(pick(&all, Some("LLVMpipe")), Some(0));
        assert_eq!(pick(&all, Some("0")), Some(0));
        assert_eq!(pick(&all, Some("7")), None);
        assert_eq!(pick(&all, Some("radeon")), None);
    }
}
