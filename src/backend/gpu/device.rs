//! An opened adapter: device, queue, limits, compiled pipelines, and what has gone wrong with it.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    backend::{
        gpu::{
            adapter::{self, Adapter},
            cooperative::{self, Matrices, Settled},
            pipeline::Pipeline,
        },
        options::GpuOptions,
    },
    error::{Error, ErrorKind, Result},
};

/// The longest that a submission may take before the device counts as lost.
const TIMEOUT: Duration = Duration::from_secs(120);

/// An opened adapter, shared by all sessions that chose it alike.
pub(crate) struct GpuDevice {
    pub adapter: Adapter,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub limits: wgpu::Limits,
    /// Whether shaders check indices and loops while they run.
    pub checked: bool,
    /// Whether shaders add up rows by subgroups.
    pub subgroups: bool,
    /// Whether shaders can take f16 apart.
    pub unpacks_f16: bool,
    /// What could multiply cooperative matrices, and what does since it was tested.
    pub(super) offered_matrices: Settled,
    pub(super) settled_matrices: OnceLock<Settled>,
    /// The most bytes that one binding may have.
    pub binding_limit: u64,
    pub(super) pipelines: Mutex<HashMap<Arc<str>, Arc<Pipeline>>>,
    /// A mistake that a test has put into the shaders.
    pub(super) planted: Option<(String, String)>,
    /// The largest buffer that a test wants there to be memory for.
    memory_limit: Option<u64>,
    /// The run in which a test wants the device lost.
    lost_in_run: Option<u64>,
    timeout: Duration,
    runs: AtomicU64,
    faults: Arc<Faults>,
}

/// What the driver has told, until a run takes notice.
#[derive(Default)]
struct Faults {
    lost: AtomicBool,
    first: Mutex<Option<(ErrorKind, String)>>,
}

impl Faults {
    fn note(&self, kind: ErrorKind, message: String) {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((kind, message));
    }
}

impl GpuDevice {
    /// Opens the adapter that the options choose, or hands out the device that is open already.
    ///
    /// # Errors
    /// When there is no such adapter, or it lacks what every shader needs.
    pub fn open(options: &GpuOptions) -> Result<Arc<Self>> {
        static OPEN: Mutex<Vec<(GpuOptions, Weak<GpuDevice>)>> = Mutex::new(Vec::new());
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, device)| device.upgrade().is_some_and(|device| !device.is_lost()));
        let found = open.iter().find(|(own, _)| own == options).and_then(|(_, device)| device.upgrade());
        if let Some(device) = found {
            return Ok(device);
        }
        let device = Arc::new(Self::open_new(options)?);
        open.push((options.clone(), Arc::downgrade(&device)));
        Ok(device)
    }

    fn open_new(options: &GpuOptions) -> Result<Self> {
        let (adapter, handle) = adapter::choose(options.adapter.as_deref())?;
        let has = handle.limits();
        let mut features = wgpu::Features::IMMEDIATES;
        if !handle.features().contains(features) {
            let what = format!("the adapter `{adapter}` takes no immediate data, which every shader needs");
            return Err(Error::new(ErrorKind::Device, what));
        }
        let subgroups = subgroups(&handle, options.subgroups)
            .map_err(|what| Error::new(ErrorKind::Device, format!("the adapter `{adapter}` {what}")))?;
        features.set(wgpu::Features::SUBGROUP, subgroups);
        let offered_matrices = cooperative::offered(options, &handle);
        features.set(cooperative::features(), offered_matrices == Ok(Matrices::Instructions));
        // What is wanted, or as much of it as the adapter has.
        let wanted = wgpu::Limits {
            max_storage_buffer_binding_size: has.max_storage_buffer_binding_size.min(1 << 31),
            max_buffer_size: has.max_buffer_size.min(1 << 31),
            max_immediate_size: has.max_immediate_size.min(128),
            max_compute_workgroup_storage_size: has.max_compute_workgroup_storage_size.min(32 << 10),
            ..wgpu::Limits::default().or_worse_values_from(&has)
        };
        let invocations = wanted.max_compute_invocations_per_workgroup;
        let invocations = options.hooks.invocation_limit.map_or(invocations, |own| own.min(invocations));
        let needs = [
            ("bytes of immediate data", wanted.max_immediate_size, 128),
            ("invocations in a workgroup", invocations, 256),
            ("bytes of memory in a workgroup", wanted.max_compute_workgroup_storage_size, 16 << 10),
            ("storage buffers in a shader", wanted.max_storage_buffers_per_shader_stage, 8),
        ];
        if let Some((what, has, needed)) = needs.into_iter().find(|(_, has, needed)| has < needed) {
            let what = format!("the adapter `{adapter}` takes {has} {what}, where shaders need {needed}");
            return Err(Error::new(ErrorKind::Device, what));
        }
        let request = handle.request_device(&wgpu::DeviceDescriptor {
            label: Some("gristmill"),
            required_features: features,
            required_limits: wanted.clone(),
            experimental_features: cooperative::agreement(&offered_matrices),
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        });
        let opened = pollster::block_on(request);
        let (device, queue) =
            opened.map_err(|error| Error::new(ErrorKind::Device, format!("the adapter `{adapter}`: {error}")))?;
        let faults = Arc::new(Faults::default());
        let uncaptured = faults.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let kind = match &error {
                wgpu::Error::OutOfMemory { .. } => ErrorKind::Limit,
                _ => ErrorKind::Device,
            };
            uncaptured.note(kind, error.to_string());
        }));
        let lost = faults.clone();
        device.set_device_lost_callback(move |reason, message| {
            lost.lost.store(true, Ordering::Release);
            lost.note(ErrorKind::Device, format!("the device was lost ({reason:?}): {message}"));
        });
        let binding_limit = wanted.max_storage_buffer_binding_size.min(wanted.max_buffer_size);
        Ok(Self {
            adapter,
            device,
            queue,
            limits: wanted,
            checked: options.checked_shaders,
            subgroups,
            unpacks_f16: handle.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::SHADER_F16_IN_F32),
            offered_matrices,
            settled_matrices: OnceLock::new(),
            binding_limit: options.binding_limit.map_or(binding_limit, |own| own.min(binding_limit)),
            pipelines: Mutex::default(),
            planted: options.hooks.planted.clone(),
            memory_limit: options.hooks.memory_limit,
            lost_in_run: options.hooks.lost_in_run,
            timeout: options.timeout.unwrap_or(TIMEOUT),
            runs: AtomicU64::new(0),
            faults,
        })
    }

    /// Counts a run, and loses the device where a test has asked for it.
    pub fn count_run(&self) {
        let run = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        if self.lost_in_run == Some(run) {
            self.device.destroy();
        }
    }

    /// Whether the device is gone for good.
    pub fn is_lost(&self) -> bool {
        // The driver's word comes with a poll.
        let _status = self.device.poll(wgpu::PollType::Poll);
        self.faults.lost.load(Ordering::Acquire)
    }

    /// What the driver has told since it was asked last.
    pub fn check(&self) -> Result<()> {
        let first = self.faults.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        match first {
            Some((kind, message)) => Err(Error::new(kind, format!("adapter `{}`: {message}", self.adapter))),
            None if self.is_lost() => {
                Err(Error::new(ErrorKind::Device, format!("adapter `{}`: the device was lost", self.adapter)))
            }
            None => Ok(()),
        }
    }

    /// Waits until a submission is done.
    ///
    /// # Errors
    /// When it takes too long or the device is lost.
    pub fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        let poll = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(self.timeout) };
        if let Err(error) = self.device.poll(poll) {
            self.check()?;
            self.faults.lost.store(true, Ordering::Release);
            let what = match error {
                wgpu::PollError::Timeout => format!("a run was not done after {:?}", self.timeout),
                other => other.to_string(),
            };
            return Err(Error::new(ErrorKind::Device, format!("adapter `{}`: {what}", self.adapter)));
        }
        self.check()
    }

    /// A buffer of at least `bytes`.
    ///
    /// # Errors
    /// When it is larger than a binding may be, or there is no memory for it.
    pub fn buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        self.make_buffer(label, bytes, usage, false)
    }

    /// As [`buffer`](Self::buffer), and the host can write it until it is unmapped.
    pub fn mapped_buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        self.make_buffer(label, bytes, usage, true)
    }

    fn make_buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages, mapped: bool) -> Result<wgpu::Buffer> {
        let size = bytes.max(4).next_multiple_of(256);
        let is_bound = usage.contains(wgpu::BufferUsages::STORAGE);
        let limit = if is_bound { self.binding_limit } else { self.limits.max_buffer_size };
        if bytes > limit {
            return Err(Error::limit(format!("{label} of {bytes} bytes, where this device takes at most {limit}")));
        }
        if is_bound && self.memory_limit.is_some_and(|limit| bytes > limit) {
            return Err(Error::limit(format!("{label} of {bytes} bytes: out of memory, as a test has asked for")));
        }
        let scope = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(label),
            size,
            usage,
            mapped_at_creation: mapped,
        });
        match pollster::block_on(scope.pop()) {
            Some(error) => Err(Error::limit(format!("{label} of {bytes} bytes: {error}"))),
            None => Ok(buffer),
        }
    }
}

/// Whether an adapter's subgroups are used: where it has some, of sizes that the shaders are written for, and `asked`
/// does not say otherwise.
fn subgroups(handle: &wgpu::Adapter, asked: Option<bool>) -> std::result::Result<bool, &'static str> {
    let info = handle.get_info();
    let fits = info.subgroup_min_size >= 4 && info.subgroup_max_size <= 128;
    let has = handle.features().contains(wgpu::Features::SUBGROUP) && fits;
    match asked {
        Some(true) if !has => Err("has no subgroups of 4 to 128 invocations"),
        asked => Ok(asked.unwrap_or(has)),
    }
}

impl fmt::Debug for GpuDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuDevice").field("adapter", &self.adapter).finish_non_exhaustive()
    }
}
