//! The profile of one run: counts, and times by the device's timestamps.

use std::sync::mpsc;

use crate::{
    backend::{
        gpu::{device::GpuDevice, loaded::LoadedGraph},
        profile::{RunProfile, StepProfile},
    },
    error::{Error, ErrorKind, Result},
};

/// The counts of a run, and its timestamps if the adapter has them.
pub(super) struct Timing {
    pub profile: RunProfile,
    stamps: Option<Stamps>,
}

/// Two timestamps for each step that has run on the device.
struct Stamps {
    set: wgpu::QuerySet,
    /// The step of each pair.
    steps: Vec<usize>,
}

impl Timing {
    /// A profile of the steps of a graph, without counts.
    pub(super) fn of(loaded: &LoadedGraph) -> Self {
        let device = &loaded.residence.device;
        let count = 2 * loaded.steps.len() as u32;
        let steps = loaded.steps.iter().map(|step| StepProfile { name: step.name.clone(), ..StepProfile::default() });
        let profile = RunProfile { runs: 1, steps: steps.collect(), ..RunProfile::default() };
        let has = device.device.features().contains(wgpu::Features::TIMESTAMP_QUERY);
        let stamps = (has && (1..=wgpu::QUERY_SET_MAX_QUERIES).contains(&count)).then(|| {
            let ty = wgpu::QueryType::Timestamp;
            let set = device.device.create_query_set(&wgpu::QuerySetDescriptor { label: Some("steps"), ty, count });
            Stamps { set, steps: Vec::new() }
        });
        Self { profile, stamps }
    }

    /// Where the pass of a step writes its timestamps.
    pub(super) fn next(&mut self, step: usize) -> Option<wgpu::ComputePassTimestampWrites<'_>> {
        let stamps = self.stamps.as_mut()?;
        let first = 2 * stamps.steps.len() as u32;
        stamps.steps.push(step);
        Some(wgpu::ComputePassTimestampWrites {
            query_set: &stamps.set,
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        })
    }

    /// Reads the timestamps of a run that is done.
    ///
    /// # Errors
    /// If the device fails.
    pub(super) fn read(&mut self, device: &GpuDevice) -> Result<()> {
        let Some(Stamps { set, steps }) = self.stamps.as_ref().filter(|stamps| !stamps.steps.is_empty()) else {
            return Ok(());
        };
        let bytes = 16 * steps.len() as u64;
        let resolve = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = device.buffer("timestamps", bytes, resolve)?;
        let usage = wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::MAP_READ;
        let read = device.buffer("timestamps", bytes, usage)?;
        let mut encoder = device.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encoder.resolve_query_set(set, 0..2 * steps.len() as u32, &resolved, 0);
        encoder.copy_buffer_to_buffer(&resolved, 0, &read, 0, bytes);
        let (sender, receiver) = mpsc::channel();
        encoder.map_buffer_on_submit(&read, wgpu::MapMode::Read, 0..bytes, move |result| {
            // The receiver is gone if the wait has failed.
            let _sent = sender.send(result);
        });
        device.wait(device.queue.submit([encoder.finish()]))?;
        let failed = |what: String| Error::new(ErrorKind::Device, format!("reading timestamps: {what}"));
        receiver.recv().map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))?;
        let mapped = read.get_mapped_range(0..bytes).map_err(|error| failed(error.to_string()))?;
        let ticks: Vec<u64> = bytemuck::pod_collect_to_vec(&mapped[..]);
        for (&step, pair) in steps.iter().zip(ticks.chunks_exact(2)) {
            let nanoseconds = pair[1].saturating_sub(pair[0]) as f64 * f64::from(device.queue.get_timestamp_period());
            self.profile.steps[step].nanoseconds += nanoseconds as u64;
        }
        self.profile.is_timed = true;
        Ok(())
    }
}
