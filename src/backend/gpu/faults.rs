//! Errors that a driver reports outside of calls.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use crate::error::ErrorKind;

/// Errors that the driver reported and no run has taken yet.
#[derive(Default)]
pub(super) struct Faults {
    lost: AtomicBool,
    first: Mutex<Option<(ErrorKind, String)>>,
}

impl Faults {
    /// Collects what the driver of a device reports from now on.
    pub(super) fn of(device: &wgpu::Device) -> Arc<Self> {
        let faults = Arc::new(Self::default());
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
            lost.lose();
            lost.note(ErrorKind::Device, format!("the device was lost ({reason:?}): {message}"));
        });
        faults
    }

    /// Keeps the first fault until a run takes it.
    fn note(&self, kind: ErrorKind, message: String) {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert((kind, message));
    }

    /// Marks the device as lost.
    pub(super) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }

    /// Whether the device is lost.
    pub(super) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }

    /// Takes the first fault since the last call.
    pub(super) fn take(&self) -> Option<(ErrorKind, String)> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
