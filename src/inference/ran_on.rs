//! The devices on which a call of a model ran, which may change during the call.

use std::{cell::RefCell, mem, sync::Arc};

/// The devices that a call of a model has recorded; empty if the model records none.
pub(crate) type Devices = Vec<Arc<str>>;

thread_local! {
    static RECORDED: RefCell<Devices> = const { RefCell::new(Vec::new()) };
}

/// Records that the current call of a model ran on `device`.
///
/// Models that can change their device call this within
/// [`Inference::infer`](crate::Inference::infer), on its thread.
pub(crate) fn record(device: &Arc<str>) {
    RECORDED.with_borrow_mut(|devices| {
        if !devices.contains(device) {
            devices.push(device.clone());
        }
    });
}

/// Runs `work` and returns its result with the devices recorded meanwhile.
pub(crate) fn recorded<R>(work: impl FnOnce() -> R) -> (R, Devices) {
    /// Restores the devices recorded by an outer call, also after a panic.
    struct Restore(Devices);
    impl Drop for Restore {
        fn drop(&mut self) {
            RECORDED.set(mem::take(&mut self.0));
        }
    }
    let restore = Restore(RECORDED.take());
    let result = work();
    let devices = RECORDED.take();
    drop(restore);
    (result, devices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_reach_the_innermost_caller_alone() {
        let (gpu, cpu): (Arc<str>, Arc<str>) = ("gpu".into(), "cpu".into());
        let (inner, outer) = recorded(|| {
            record(&gpu);
            record(&gpu);
            recorded(|| record(&cpu)).1
        });
        assert_eq!((&inner[..], &outer[..]), (&[cpu][..], &[gpu.clone()][..]));
        let panicked = std::panic::catch_unwind(|| {
            recorded(|| {
                record(&gpu);
                panic!("as planned")
            })
        });
        assert!(panicked.is_err());
        assert!(recorded(|| ()).1.is_empty());
    }
}
