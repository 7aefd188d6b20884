//! On which device a call of a model ran: a device may be lost on the way.

use std::{cell::RefCell, mem, sync::Arc};

/// The devices that some call of a model ran on; none where it told of none.
pub(crate) type Devices = Vec<Arc<str>>;

thread_local! {
    static TOLD: RefCell<Devices> = const { RefCell::new(Vec::new()) };
}

/// Says on which device the thread's model has run what it was called with. Called from within
/// [`Inference::infer`](crate::Inference::infer), on its thread, by models that can change their device.
pub(crate) fn record(device: &Arc<str>) {
    TOLD.with_borrow_mut(|told| {
        if !told.contains(device) {
            told.push(device.clone());
        }
    });
}

/// Runs `work`, and gives the devices that it has told of.
pub(crate) fn recorded<R>(work: impl FnOnce() -> R) -> (R, Devices) {
    /// Restores what was told before, after a panic too.
    struct Restore(Devices);
    impl Drop for Restore {
        fn drop(&mut self) {
            TOLD.set(mem::take(&mut self.0));
        }
    }
    let restore = Restore(TOLD.take());
    let result = work();
    let told = TOLD.take();
    drop(restore);
    (result, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_heard_by_the_caller_and_by_nobody_else() {
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
