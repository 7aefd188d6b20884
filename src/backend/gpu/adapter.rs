//! The graphics adapters of this machine, and the selection of one.

use std::{fmt, sync::OnceLock};

use crate::{
    backend::gpu::instance::instance,
    error::{Error, ErrorKind, Result},
};

/// Kind of a graphics adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdapterType {
    /// A graphics card with its own memory.
    Discrete,
    /// A GPU that shares memory with the CPU.
    Integrated,
    /// A GPU passed through to a virtual machine.
    Virtual,
    /// A software renderer on the CPU.
    Software,
    /// Unknown to the driver.
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

/// A graphics adapter that a model can run on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Adapter {
    /// Position in the list, by which it can be selected.
    pub index: usize,
    /// The device's name.
    pub name: String,
    /// The driver and its version.
    pub driver: String,
    /// The graphics API: `vulkan`, `metal` or `dx12`.
    pub interface: String,
    /// The kind of adapter.
    pub kind: AdapterType,
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}, {}, {})", self.index, self.name, self.kind, self.interface, self.driver)
    }
}

/// All adapters, enumerated once because that loads drivers.
fn all() -> &'static [(Adapter, wgpu::Adapter)] {
    static ALL: OnceLock<Vec<(Adapter, wgpu::Adapter)>> = OnceLock::new();
    ALL.get_or_init(look)
}

/// Enumerates the adapters.
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

/// Lists the adapters of this machine, including software adapters.
pub fn adapters() -> Vec<Adapter> {
    all().iter().map(|(adapter, _)| adapter.clone()).collect()
}

/// The adapters that a choice names, each by a choice of its own.
///
/// `all` are the adapters like the fastest one, of its kind and interface; names and numbers may stand in a list with
/// commas.
pub(super) fn choices(choice: Option<&str>) -> Vec<Option<String>> {
    let adapters: Vec<&Adapter> = all().iter().map(|(adapter, _)| adapter).collect();
    listed(&adapters, choice)
}

fn listed(adapters: &[&Adapter], choice: Option<&str>) -> Vec<Option<String>> {
    match choice {
        Some("all") => match pick(adapters, None) {
            Some(best) => {
                let like =
                    |own: &&&Adapter| own.kind == adapters[best].kind && own.interface == adapters[best].interface;
                adapters.iter().filter(like).map(|own| Some(own.index.to_string())).collect()
            }
            // Refused as the choice of none is.
            None => vec![None],
        },
        Some(names) if names.contains(',') && pick(adapters, choice).is_none() => {
            names.split(',').map(|name| Some(name.trim().to_owned())).collect()
        }
        _ => vec![choice.map(str::to_owned)],
    }
}

/// Selects an adapter by number, part of its name, `high-performance` or `low-power`.
///
/// Without a choice it is the fastest kind that is not software.
///
/// # Errors
/// If no adapter matches; the message lists the adapters.
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

/// The position of the selected adapter.
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
                let choice = choice.trim().to_lowercase();
                let is_name = choice.contains(char::is_alphanumeric);
                adapters.iter().position(|adapter| is_name && adapter.name.to_lowercase().contains(&choice))
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
        assert_eq!((pick(&all, Some("")), pick(&all, Some(" , "))), (None, None));
    }

    #[test]
    fn choices_of_several_are_taken_apart() {
        let all = [
            adapter(0, "llvmpipe", AdapterType::Software),
            adapter(1, "Card, large", AdapterType::Discrete),
            adapter(2, "Card, large", AdapterType::Discrete),
            Adapter { interface: "dx12".to_owned(), ..adapter(3, "Card, large", AdapterType::Discrete) },
            adapter(4, "Chip", AdapterType::Integrated),
        ];
        let all: Vec<&Adapter> = all.iter().collect();
        let of = |choice| listed(&all, choice);
        let some = |names: &[&str]| names.iter().map(|&name| Some(name.to_owned())).collect::<Vec<_>>();
        assert_eq!(of(None), [None]);
        assert_eq!(of(Some("chip")), some(&["chip"]));
        assert_eq!(of(Some("card, large")), some(&["card, large"]));
        assert_eq!(of(Some("0, chip,0")), some(&["0", "chip", "0"]));
        assert_eq!(of(Some("1,")), some(&["1", ""]));
        assert_eq!(of(Some("all")), some(&["1", "2"]));
        assert_eq!(listed(&all[..1], Some("all")), [None]);
    }
}
