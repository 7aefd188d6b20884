//! An opened adapter: device, queue, limits, compiled pipelines and faults.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use crate::{
    backend::{
        gpu::{
            adapter::{self, Adapter},
            cooperative::{self, Matrices, Settled},
            faults::Faults,
            limits::{exceeded, limits, subgroups},
            program::Pipeline,
        },
        options::{GpuOptions, TestHooks},
    },
    error::{Error, ErrorKind, Result},
};

/// Default time of a submission after which the device counts as lost.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Compiled programs by their source, each behind a lock that its compilation holds.
type Pipelines = HashMap<Arc<str>, Arc<Mutex<Option<Arc<Pipeline>>>>>;

/// An opened adapter, shared by all sessions with equal options.
pub(crate) struct GpuDevice {
    pub adapter: Adapter,
    pub device: wgpu::Device,
    pub queue: wgpu::Queue,
    pub limits: wgpu::Limits,
    /// Whether shaders check indices and loops at run time.
    pub checked: bool,
    /// Whether shaders reduce rows by subgroup operations.
    pub subgroups: bool,
    /// Whether shaders can unpack f16.
    pub unpacks_f16: bool,
    /// The cooperative matrices that the adapter offers.
    offered_matrices: Settled,
    /// The cooperative matrices in use, once tested.
    settled_matrices: OnceLock<Settled>,
    /// Maximum bytes of one binding.
    pub binding_limit: u64,
    pub(super) pipelines: Mutex<Pipelines>,
    /// Faults and limits that a test planted.
    pub(super) hooks: TestHooks,
    timeout: Duration,
    runs: AtomicU64,
    faults: Arc<Faults>,
}

impl GpuDevice {
    /// Opens the adapter that the options select, or returns the device if it is open already.
    ///
    /// # Errors
    /// If there is no such adapter, or it lacks what every shader needs.
    pub(crate) fn open(options: &GpuOptions) -> Result<Arc<Self>> {
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
        let refused = |what: String| Error::new(ErrorKind::Device, format!("the adapter `{adapter}`{what}"));
        let mut features = wgpu::Features::IMMEDIATES;
        if !handle.features().contains(features) {
            return Err(refused(" takes no immediate data, which every shader needs".to_owned()));
        }
        let subgroups = subgroups(&handle, options.subgroups).map_err(|what| refused(format!(" {what}")))?;
        features.set(wgpu::Features::SUBGROUP, subgroups);
        let timed = options.hooks.profiled && handle.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        features.set(wgpu::Features::TIMESTAMP_QUERY, timed);
        let offered_matrices = cooperative::offered(options, &handle);
        features.set(cooperative::features(), offered_matrices == Ok(Matrices::Instructions));
        let limits = limits(&handle);
        if let Some(what) = exceeded(&limits, options.hooks.invocation_limit) {
            return Err(refused(what));
        }
        let request = handle.request_device(&wgpu::DeviceDescriptor {
            label: Some("gristmill"),
            required_features: features,
            required_limits: limits.clone(),
            experimental_features: cooperative::agreement(&offered_matrices),
            memory_hints: wgpu::MemoryHints::Performance,
            ..Default::default()
        });
        let (device, queue) = pollster::block_on(request).map_err(|error| refused(format!(": {error}")))?;
        let faults = Faults::of(&device);
        let binding_limit = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        Ok(Self {
            adapter,
            device,
            queue,
            limits,
            checked: options.checked_shaders,
            subgroups,
            unpacks_f16: handle.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::SHADER_F16_IN_F32),
            offered_matrices,
            settled_matrices: OnceLock::new(),
            binding_limit: options.binding_limit.map_or(binding_limit, |own| own.min(binding_limit)),
            pipelines: Mutex::default(),
            hooks: options.hooks.clone(),
            timeout: options.timeout.unwrap_or(TIMEOUT),
            runs: AtomicU64::new(0),
            faults,
        })
    }

    /// Returns how this device multiplies cooperative matrices; `test` decides on first use.
    pub(crate) fn matrices(&self, test: impl FnOnce(Matrices) -> Result<()>) -> Settled {
        self.settled_matrices.get_or_init(|| cooperative::settle(&self.offered_matrices, test)).clone()
    }

    /// Counts a run, and loses the device if a test planted that.
    pub(crate) fn count_run(&self) {
        let run = self.runs.fetch_add(1, Ordering::Relaxed) + 1;
        if self.hooks.lost_in_run == Some(run) {
            self.device.destroy();
        }
    }

    /// Whether the device is lost for good.
    pub(crate) fn is_lost(&self) -> bool {
        // The driver reports a loss during a poll.
        let _status = self.device.poll(wgpu::PollType::Poll);
        self.faults.is_lost()
    }

    /// Returns the first error that the driver reported since the last check.
    ///
    /// # Errors
    /// That error, or one that the device is lost.
    pub(crate) fn check(&self) -> Result<()> {
        let first = self.faults.take();
        match first {
            Some((kind, message)) => Err(Error::new(kind, format!("adapter `{}`: {message}", self.adapter))),
            None if self.is_lost() => {
                Err(Error::new(ErrorKind::Device, format!("adapter `{}`: the device was lost", self.adapter)))
            }
            None => Ok(()),
        }
    }

    /// Waits for a submission.
    ///
    /// # Errors
    /// If it takes too long or the device is lost.
    pub(crate) fn wait(&self, submission: wgpu::SubmissionIndex) -> Result<()> {
        let poll = wgpu::PollType::Wait { submission_index: Some(submission), timeout: Some(self.timeout) };
        if let Err(error) = self.device.poll(poll) {
            self.check()?;
            self.faults.lose();
            let what = match error {
                wgpu::PollError::Timeout => format!("a run was not done after {:?}", self.timeout),
                other => other.to_string(),
            };
            return Err(Error::new(ErrorKind::Device, format!("adapter `{}`: {what}", self.adapter)));
        }
        self.check()
    }

    /// Creates a buffer of at least `bytes`.
    ///
    /// # Errors
    /// If it exceeds the limit of a binding, or memory runs out.
    pub(crate) fn buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        self.make_buffer(label, bytes, usage, false)
    }

    /// Creates a buffer that is mapped for writing.
    ///
    /// # Errors
    /// As [`buffer`](Self::buffer).
    pub(crate) fn mapped_buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages) -> Result<wgpu::Buffer> {
        self.make_buffer(label, bytes, usage, true)
    }

    fn make_buffer(&self, label: &str, bytes: u64, usage: wgpu::BufferUsages, mapped: bool) -> Result<wgpu::Buffer> {
        let size = bytes.max(4).next_multiple_of(256);
        let is_bound = usage.contains(wgpu::BufferUsages::STORAGE);
        let limit = if is_bound { self.binding_limit } else { self.limits.max_buffer_size };
        if bytes > limit {
            return Err(Error::limit(format!("{label} of {bytes} bytes, where this device takes at most {limit}")));
        }
        if is_bound && self.hooks.memory_limit.is_some_and(|limit| bytes > limit) {
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

impl fmt::Debug for GpuDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GpuDevice").field("adapter", &self.adapter).finish_non_exhaustive()
    }
}
