//! Loading on a GPU: kernels made, weights uploaded, and values placed on the device or the host.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize},
    },
};

use crate::{
    backend::{
        device::Engine,
        gpu::{
            adapter::AdapterType,
            buffer,
            cooperative::Settled,
            device::GpuDevice,
            loaded::{LoadedGraph, Step, StepKernel, Transfers},
            operand::{WeightFormat, WeightId},
            program::Programs,
            residence::{Inputs, Residence, Results},
            self_test,
            session::{
                GpuSession, Refused,
                nodes::{Maker, Nodes, upload},
            },
        },
        options::GpuOptions,
    },
    error::{Context, Error, ErrorKind, Result},
    graph::{Graph, ValueId},
    kernels::KernelSet,
    plan::{Plan, RunCap},
};

impl GpuSession {
    /// Opens the adapter, makes the kernel of every node, and moves the weights to the device.
    ///
    /// # Errors
    /// If there is no such adapter, or a constant does not fit the device.
    pub(crate) fn load(
        graph: Graph,
        options: &GpuOptions,
        kernel_set: KernelSet,
        format: WeightFormat,
    ) -> Result<Self> {
        let device = GpuDevice::open(options)?;
        let load_product = |graph: Graph, matrices: Option<Settled>| -> Result<Engine> {
            let format = WeightFormat::F16;
            Ok(Box::new(Self::load_on(device.clone(), graph, KernelSet::PORTABLE, format, matrices)?))
        };
        let matrices = match format {
            _ if !options.cooperative_matrices => None,
            WeightFormat::F32 => Some(Err("they multiply f16, which was not asked for".to_owned())),
            WeightFormat::F16 => Some(device.matrices(|way| self_test::run(way, load_product))),
        };
        Self::load_on(device.clone(), graph, kernel_set, format, matrices)
    }

    /// Loads a graph on an open device; `matrices` is `None` unless they are requested.
    fn load_on(
        device: Arc<GpuDevice>,
        mut graph: Graph,
        kernel_set: KernelSet,
        format: WeightFormat,
        matrices: Option<Settled>,
    ) -> Result<Self> {
        graph.verify()?;
        if format == WeightFormat::F16 && !device.unpacks_f16 {
            let what = format!("the shaders of the adapter `{}` take no f16; use precision f32", device.adapter);
            return Err(Error::new(ErrorKind::Device, what));
        }
        let programs = Programs::new(device.subgroups);
        let forms = (format, matrices.as_ref().and_then(|settled| settled.as_ref().ok().copied()));
        let mut nodes = Nodes::default();
        let maker = Maker { graph: &graph, device: &device, programs: &programs, kernel_set, forms };
        for node in graph.nodes() {
            nodes.add(&maker, node)?;
        }
        let Nodes { steps, operands, packed, buffers, host, host_packed, .. } = nodes;
        let plan = Plan::new(&graph, |node, operand| packed[node].contains(&operand));
        let needs = Needs::of(&graph, &plan, &steps, &operands);
        let constants = move_constants(&mut graph, &device, &needs)?;
        device.check()?;
        let by_matrices = matrices.map(|settled| settled.map(|_| programs.has("cooperative")));
        let run_bytes = AtomicUsize::new(most_run_bytes(&device));
        let profile = device.hooks.profiled.then(Mutex::default);
        let residence = Residence {
            device,
            plan,
            constants,
            weights: in_order(buffers),
            needs_device: needs.device,
            operands,
            staging: AtomicU64::new(0),
        };
        let loaded = LoadedGraph { graph, residence, steps, transfers: Transfers::default(), profile };
        Ok(Self {
            weight_bytes: weight_bytes(&loaded) + host_packed.bytes(),
            loaded,
            workspaces: Mutex::default(),
            scratch: AtomicU64::new(0),
            run_bytes,
            refused: Mutex::new(Refused::default()),
            host,
            by_matrices,
            cap: RunCap::default(),
        })
    }
}

/// For each root value whether the device and the host use it.
struct Needs {
    device: Vec<bool>,
    host: Vec<bool>,
}

impl Needs {
    fn of(graph: &Graph, plan: &Plan, steps: &[Step], operands: &[(Inputs, Results)]) -> Self {
        let mut needs = Self { device: vec![false; graph.value_count()], host: vec![false; graph.value_count()] };
        for &id in graph.outputs() {
            needs.host[plan.root_of(id).index()] = true;
        }
        for (step, (inputs, outputs)) in steps.iter().zip(operands) {
            let needs = match step.kernel {
                StepKernel::Device(_) => &mut needs.device,
                StepKernel::Host(_) => &mut needs.host,
            };
            for id in inputs.iter().flatten().chain(outputs) {
                needs[plan.root_of(*id).index()] = true;
            }
        }
        needs
    }
}

/// Uploads the constants that the device uses, and drops those that the host does not.
fn move_constants(graph: &mut Graph, device: &GpuDevice, needs: &Needs) -> Result<HashMap<ValueId, wgpu::Buffer>> {
    let mut constants = HashMap::new();
    for index in 0..graph.value_count() {
        let id = ValueId(index as u32);
        if let Some(tensor) = graph.constant_of(id)
            && needs.device[index]
        {
            let mut bytes = Vec::new();
            let place = || format!("constant `{}`", graph.value(id).name);
            buffer::encode(tensor.dtype(), tensor.bytes(), &mut bytes).context(place)?;
            constants.insert(id, upload(device, "a constant", &bytes).context(place)?);
        }
        if !needs.host[index] {
            graph.values[index].constant = None;
        }
    }
    Ok(constants)
}

/// The buffers of packed constants, ordered by number.
fn in_order(mut buffers: Vec<(WeightId, wgpu::Buffer)>) -> Vec<wgpu::Buffer> {
    buffers.sort_by_key(|(id, _)| id.0);
    buffers.into_iter().map(|(_, buffer)| buffer).collect()
}

/// Bytes of weights on the device, and of those on the host outside shared packed constants.
fn weight_bytes(loaded: &LoadedGraph) -> usize {
    let LoadedGraph { graph, residence, steps, .. } = loaded;
    let host_kernels = steps.iter().map(|step| match &step.kernel {
        StepKernel::Host(kernel) => kernel.packed_bytes(),
        StepKernel::Device(_) => 0,
    });
    let left = graph.values.iter().filter_map(|value| value.constant.as_ref()).map(|tensor| tensor.bytes().len());
    let on_device = residence.weights.iter().chain(residence.constants.values()).map(|buffer| buffer.size() as usize);
    left.sum::<usize>() + on_device.sum::<usize>() + host_kernels.sum::<usize>()
}

/// First target for the bytes of values of a run: enough to keep a GPU busy for about a tenth of a second.
fn most_run_bytes(device: &GpuDevice) -> usize {
    let most = match device.adapter.kind {
        AdapterType::Software => 16 << 20,
        _ => 512 << 20,
    };
    most.min(device.binding_limit as usize)
}
