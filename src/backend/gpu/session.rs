//! A model loaded on a GPU: kernels in order, a plan, and the memory that runs lease.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use smallvec::SmallVec;

use crate::{
    backend::{
        device::{BindSizes, DeviceSession, HostOperator, ReadOutputs, Told, WriteInput},
        gpu::{
            GpuDevice,
            adapter::{Adapter, AdapterType},
            buffer,
            cooperative::Settled,
            kernel::{GpuKernel, GpuRequest, Made, WeightFormat, WeightId, Weights},
            kernels,
            memory::Workspace,
            run::Run,
            shader::Programs,
        },
        options::GpuOptions,
    },
    error::{Context, Error, ErrorKind, Result},
    graph::{Graph, ValueId},
    kernels::{KernelSet, gemm::Factors},
    op::{CpuKernel, CpuState, GpuState, KernelRequest, PackedConstants},
    plan::Plan,
    shape::Bindings,
};

type Inputs = SmallVec<[Option<ValueId>; 6]>;
type Results = SmallVec<[ValueId; 2]>;

/// What lives on the device as long as the session does, and where each value of a run lives.
pub(crate) struct Residence {
    pub device: Arc<GpuDevice>,
    pub plan: Plan,
    /// Constants that kernels bind as they are.
    pub constants: HashMap<ValueId, wgpu::Buffer>,
    /// Constants that kernels have packed.
    pub weights: Vec<wgpu::Buffer>,
    /// For each root value whether a step on the device reads or writes it.
    pub needs_device: Vec<bool>,
    /// Each step's operands and results.
    pub operands: Vec<(Inputs, Results)>,
    /// How many staging buffers were made so far, both ways.
    pub staging: AtomicU64,
}

impl Residence {
    pub fn value_count(&self) -> usize {
        self.needs_device.len()
    }

    pub fn input_of(&self, step: usize, index: usize) -> Result<ValueId> {
        let id = self.operands[step].0.get(index).copied().flatten();
        id.ok_or_else(|| Error::internal(format!("a kernel misses operand {index}")))
    }

    pub fn output_of(&self, step: usize, index: usize) -> Result<ValueId> {
        let id = self.operands[step].1.get(index).copied();
        id.ok_or_else(|| Error::internal(format!("a kernel misses result {index}")))
    }
}

/// How a step runs.
pub(crate) enum StepKernel {
    Device(Box<dyn GpuKernel>),
    Host(Box<dyn CpuKernel>),
}

pub(crate) struct Step {
    /// What errors call it.
    pub name: String,
    pub kernel: StepKernel,
}

/// What moved for steps on the host, and the time that went to moving, over all runs so far.
#[derive(Default)]
pub(crate) struct Transfers {
    /// Nanoseconds of this thread's work to send inputs and to take results, and those of whole runs.
    pub moving: AtomicU64,
    pub running: AtomicU64,
    pub to_host: AtomicU64,
    pub to_device: AtomicU64,
}

/// A model loaded on a GPU. One copy of the weights serves any number of threads; each run under way costs one set of
/// buffers.
pub(crate) struct GpuSession {
    pub(super) graph: Graph,
    pub(super) residence: Residence,
    pub(super) steps: Vec<Step>,
    pub(super) transfers: Transfers,
    workspaces: Mutex<Vec<Workspace>>,
    scratch: AtomicU64,
    /// Bytes of values that a run should stay within: less once the device has refused a run.
    run_bytes: AtomicUsize,
    refused: Mutex<Refused>,
    weight_bytes: usize,
    /// Nodes that run on the host: operator and reason, each once.
    host: Vec<HostOperator>,
    /// Where it was asked for: whether a product is computed by cooperative matrices, or why none is.
    by_matrices: Option<std::result::Result<bool, String>>,
}

/// Runs that the device had no memory for.
#[derive(Default)]
struct Refused {
    runs: usize,
    /// What it said of the first.
    first: String,
}

impl GpuSession {
    /// Opens the adapter, makes every node's kernel, sends the weights to the device and drops them here.
    ///
    /// # Errors
    /// When there is no such adapter, or a constant does not fit the device.
    pub fn load(graph: Graph, options: &GpuOptions, kernel_set: KernelSet, format: WeightFormat) -> Result<Self> {
        let device = GpuDevice::open(options)?;
        let matrices = match format {
            _ if !options.cooperative_matrices => None,
            WeightFormat::F32 => Some(Err("they multiply f16, which was not asked for".to_owned())),
            WeightFormat::F16 => Some(device.matrices()),
        };
        Self::load_on(device, graph, kernel_set, format, matrices)
    }

    /// As `load`, on an open adapter. `matrices` is `None` where nobody asks for them.
    pub fn load_on(
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
        let packed_here = PackedConstants::default();
        let weights = Weights::default();
        let mut buffers: Vec<(WeightId, wgpu::Buffer)> = Vec::new();
        let mut taken: Vec<SmallVec<[usize; 4]>> = Vec::with_capacity(graph.nodes().len());
        let mut steps = Vec::new();
        let mut operands = Vec::new();
        let mut host: Vec<HostOperator> = Vec::new();
        for node in graph.nodes() {
            let def = node.op.def();
            if let CpuState::View = def.cpu {
                taken.push(SmallVec::new());
                continue;
            }
            let request = GpuRequest::new(&graph, node, &programs, &weights, device.binding_limit, forms);
            let made = match def.gpu {
                GpuState::Kernel(_) if let Some(reason) = request.uncarried() => Made::Host(reason),
                GpuState::Kernel(stem) => kernels::find(stem)?(&request).context(|| node.describe())?,
                GpuState::Host(reason) => Made::Host(reason),
                GpuState::Pending | GpuState::View | GpuState::Folded => Made::Host("no shader yet"),
            };
            let (kernel, own) = match made {
                Made::Kernel(kernel) => (StepKernel::Device(kernel), request.taken()),
                Made::Host(reason) => {
                    let CpuState::Kernel(make) = def.cpu else {
                        return Err(Error::unsupported(format!("{} has no kernel", node.describe())));
                    };
                    if !host.contains(&(def.name, reason)) {
                        host.push((def.name, reason));
                    }
                    let request = KernelRequest::new(&graph, node, kernel_set, Factors::F32, &packed_here);
                    let kernel = make(&request).context(|| node.describe())?;
                    (StepKernel::Host(kernel), request.taken())
                }
            };
            for (id, bytes) in weights.take_pending() {
                buffers.push((id, upload(&device, "weights", &bytes).context(|| node.describe())?));
            }
            let keep = |(position, id): (usize, &Option<ValueId>)| id.filter(|_| !own.contains(&position));
            operands.push((
                node.inputs.iter().enumerate().map(keep).collect::<Inputs>(),
                node.outputs.iter().copied().collect::<Results>(),
            ));
            taken.push(own);
            steps.push(Step { name: node.describe(), kernel });
        }
        buffers.sort_by_key(|(id, _)| id.0);
        let plan = Plan::new(&graph, |node, operand| taken[node].contains(&operand));
        let mut residence = Residence {
            device,
            constants: HashMap::new(),
            weights: buffers.into_iter().map(|(_, buffer)| buffer).collect(),
            needs_device: vec![false; graph.value_count()],
            operands,
            plan,
            staging: AtomicU64::new(0),
        };
        let mut needs_host = vec![false; graph.value_count()];
        for &id in graph.outputs() {
            needs_host[residence.plan.root_of(id).index()] = true;
        }
        for (step, (inputs, outputs)) in steps.iter().zip(&residence.operands) {
            let needs = match step.kernel {
                StepKernel::Device(_) => &mut residence.needs_device,
                StepKernel::Host(_) => &mut needs_host,
            };
            for id in inputs.iter().flatten().chain(outputs) {
                needs[residence.plan.root_of(*id).index()] = true;
            }
        }
        for (index, needs_host) in needs_host.into_iter().enumerate() {
            let id = ValueId(index as u32);
            if let Some(tensor) = graph.constant_of(id)
                && residence.needs_device[index]
            {
                let mut bytes = Vec::new();
                let place = || format!("constant `{}`", graph.value(id).name);
                buffer::encode(tensor.dtype(), tensor.bytes(), &mut bytes).context(place)?;
                let buffer = upload(&residence.device, "a constant", &bytes).context(place)?;
                residence.constants.insert(id, buffer);
            }
            if !needs_host {
                graph.values[index].constant = None;
            }
        }
        residence.device.check()?;
        let kernels_here = steps.iter().map(|step| match &step.kernel {
            StepKernel::Host(kernel) => kernel.packed_bytes(),
            StepKernel::Device(_) => 0,
        });
        let left = graph.values.iter().filter_map(|value| value.constant.as_ref()).map(|tensor| tensor.bytes().len());
        let there = residence.weights.iter().chain(residence.constants.values()).map(|buffer| buffer.size() as usize);
        let weight_bytes =
            left.sum::<usize>() + there.sum::<usize>() + kernels_here.sum::<usize>() + packed_here.bytes();
        let run_bytes = most_run_bytes(&residence.device);
        Ok(Self {
            graph,
            residence,
            steps,
            transfers: Transfers::default(),
            workspaces: Mutex::default(),
            scratch: AtomicU64::new(0),
            run_bytes: AtomicUsize::new(run_bytes),
            refused: Mutex::default(),
            weight_bytes,
            host,
            by_matrices: matrices.map(|settled| settled.map(|_| programs.has("cooperative"))),
        })
    }

    /// The adapter it runs on.
    pub fn adapter(&self) -> &Adapter {
        &self.residence.device.adapter
    }

    /// Whether the device is gone.
    pub fn is_lost(&self) -> bool {
        self.residence.device.is_lost()
    }
}

impl DeviceSession for GpuSession {
    fn graph(&self) -> &Graph {
        &self.graph
    }

    fn weight_bytes(&self) -> usize {
        self.weight_bytes
    }

    fn scratch_bytes(&self) -> usize {
        self.scratch.load(Ordering::Relaxed) as usize
    }

    fn value_bytes(&self, bindings: &Bindings) -> Result<usize> {
        let mut sizes = crate::plan::Sizes::default();
        self.residence.plan.evaluate(bindings, &mut sizes)?;
        Ok(self.residence.slot_bytes(&sizes)?.iter().sum::<u64>() as usize)
    }

    fn run_bytes(&self) -> usize {
        self.run_bytes.load(Ordering::Relaxed)
    }

    /// Steps on the host, and the bytes that moved for them, are worth a note.
    fn told(&self) -> Told {
        let mut notes = Vec::new();
        if !self.host.is_empty() {
            let named: Vec<String> = self.host.iter().map(|(name, reason)| format!("{name} ({reason})")).collect();
            let (down, up) =
                (self.transfers.to_host.load(Ordering::Relaxed), self.transfers.to_device.load(Ordering::Relaxed));
            notes.push(format!(
                "on the cpu inside the gpu session: {}; moved for them so far: {down} bytes down, {up} bytes up",
                named.join(", ")
            ));
        }
        let running = self.transfers.running.load(Ordering::Relaxed);
        if running > 0 {
            let share = self.transfers.moving.load(Ordering::Relaxed) as f64 / running as f64;
            notes.push(format!("transfers took {:.1} % of the time of runs on the gpu", 100.0 * share));
        }
        match &self.by_matrices {
            Some(Err(why)) => notes.push(format!("cooperative matrices are not used: {why}")),
            Some(Ok(false)) => notes.push("cooperative matrices are not used: no product fits them".to_owned()),
            Some(Ok(true)) | None => {}
        }
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.runs > 0 {
            notes.push(format!(
                "the gpu refused {} runs, which were halved until it took them, and runs hold at most {} bytes since; \
                 the first: {}",
                refused.runs,
                self.run_bytes(),
                refused.first
            ));
        }
        drop(refused);
        Told {
            device: format!("gpu {}", self.adapter()),
            kernel_set: match (self.residence.device.subgroups, &self.by_matrices) {
                (false, Some(Ok(true))) => "wgsl with cooperative matrices",
                (true, Some(Ok(true))) => "wgsl with subgroups and cooperative matrices",
                (false, _) => "wgsl",
                (true, _) => "wgsl with subgroups",
            },
            notes,
        }
    }

    fn host_operators(&self) -> Vec<HostOperator> {
        self.host.clone()
    }

    fn staging_buffers(&self) -> u64 {
        self.residence.staging.load(Ordering::Relaxed)
    }

    fn run(&self, bind: &BindSizes<'_>, write_input: &WriteInput<'_>, read_outputs: &ReadOutputs<'_>) -> Result<()> {
        let result = self.run_once(bind, write_input, read_outputs);
        if let Err(error) = &result
            && error.kind() == ErrorKind::Limit
        {
            self.note_refused(bind, error);
        }
        result
    }
}

impl GpuSession {
    fn run_once(
        &self,
        bind: &BindSizes<'_>,
        write_input: &WriteInput<'_>,
        read_outputs: &ReadOutputs<'_>,
    ) -> Result<()> {
        self.residence.device.count_run();
        let mut memory = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        memory.bindings.clear();
        bind(&mut memory.bindings)?;
        self.residence.plan.evaluate(&memory.bindings, &mut memory.sizes)?;
        let mut run = Run::begin(self, memory)?;
        let started = Instant::now();
        for position in 0..self.graph.inputs().len() {
            run.write_input(position, write_input)?;
        }
        self.transfers.moving.fetch_add(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
        for step in 0..self.steps.len() {
            run.step(step).context(|| self.steps[step].name.clone())?;
        }
        let outputs = run.finish()?;
        self.transfers.running.fetch_add(started.elapsed().as_nanos() as u64, Ordering::Relaxed);
        let result = read_outputs(&outputs);
        let memory = outputs.memory;
        self.scratch.fetch_max(memory.bytes(), Ordering::Relaxed);
        self.workspaces.lock().unwrap_or_else(PoisonError::into_inner).push(memory);
        result
    }

    /// A run was too large for the device: those that come hold half as much, and what is kept for them is let go.
    fn note_refused(&self, bind: &BindSizes<'_>, error: &Error) {
        let mut sizes = Bindings::default();
        if let Ok(()) = bind(&mut sizes)
            && let Ok(bytes) = self.value_bytes(&sizes)
        {
            self.run_bytes.fetch_min((bytes / 2).max(1), Ordering::Relaxed);
        }
        self.workspaces.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.runs == 0 {
            refused.first = error.to_string();
        }
        refused.runs += 1;
        tracing::warn!(error = %error, "the gpu refused a run");
    }
}

/// Bytes of values that a run takes at most to begin with: enough to fill a graphics processor for about a tenth of a
/// second.
fn most_run_bytes(device: &GpuDevice) -> usize {
    let most = match device.adapter.kind {
        AdapterType::Software => 16 << 20,
        _ => 512 << 20,
    };
    most.min(device.binding_limit as usize)
}

impl std::fmt::Debug for GpuSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GpuSession")
            .field("graph", &self.graph.name)
            .field("adapter", self.adapter())
            .finish_non_exhaustive()
    }
}

/// A read-only buffer that holds `bytes`.
fn upload(device: &GpuDevice, label: &str, bytes: &[u8]) -> Result<wgpu::Buffer> {
    let buffer =
        device.buffer(label, bytes.len() as u64, wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST)?;
    if !bytes.is_empty() {
        device.queue.write_buffer(&buffer, 0, bytes);
    }
    Ok(buffer)
}
