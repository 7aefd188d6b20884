//! What a GPU session contributes to a job's report.

use std::sync::{PoisonError, atomic::Ordering};

use crate::backend::{
    device::{DeviceReport, DeviceSession},
    gpu::session::GpuSession,
};

impl GpuSession {
    /// Describes the device, with notes on steps on the host, transfers, matrices and refused runs.
    pub(super) fn device_report(&self) -> DeviceReport {
        let mut notes = Vec::new();
        if !self.host.is_empty() {
            let named: Vec<String> =
                self.host.iter().map(|host| format!("{} ({})", host.operator, host.reason)).collect();
            let (down, up) = (
                self.loaded.transfers.to_host.load(Ordering::Relaxed),
                self.loaded.transfers.to_device.load(Ordering::Relaxed),
            );
            notes.push(format!(
                "on the cpu inside the gpu session: {}; moved for them so far: {down} bytes down, {up} bytes up",
                named.join(", ")
            ));
        }
        let running = self.loaded.transfers.running.load(Ordering::Relaxed);
        if running > 0 {
            let share = self.loaded.transfers.moving.load(Ordering::Relaxed) as f64 / running as f64;
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
        DeviceReport {
            device: format!("gpu {}", self.adapter()),
            kernel_set: match (self.loaded.residence.device.subgroups, &self.by_matrices) {
                (false, Some(Ok(true))) => "wgsl with cooperative matrices",
                (true, Some(Ok(true))) => "wgsl with subgroups and cooperative matrices",
                (false, _) => "wgsl",
                (true, _) => "wgsl with subgroups",
            },
            notes,
        }
    }
}
