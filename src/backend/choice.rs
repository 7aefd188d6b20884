//! The choice between forms of a model: devices and precisions, measured on a sample of the inputs.

mod form;
mod rounded;
mod trial;

use std::{
    fmt,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
};

pub(in crate::backend) use form::Form;
use form::RunSample;
pub(in crate::backend) use rounded::Rounded;

use crate::backend::{device::Engine, options::Precision};

/// Number of inputs in a sample.
pub(crate) const SAMPLE: usize = 32;

/// The form of a model: settled, or candidates that wait for the first sample.
pub(crate) struct Choice {
    form: OnceLock<Form>,
    candidates: Mutex<Option<Candidates>>,
    /// Chunks in flight that the most demanding candidate wants.
    in_flight: usize,
}

/// The forms of a model that a sample decides between.
pub(crate) struct Candidates {
    /// The form on the CPU, or on the only device; in f32 if the precision is open.
    pub(crate) own: Form,
    /// Its forms in reduced precisions, if the precision is open.
    pub(crate) rounded: Vec<Rounded>,
    pub(crate) gpu: Option<Rival>,
}

/// The form on a GPU, in f32 if the precision is open.
pub(crate) struct Rival {
    pub(crate) engine: Engine,
    pub(crate) precision: Precision,
    pub(crate) rounded: Option<Rounded>,
    /// Factor on its measured speed; 1 except in tests.
    pub(crate) favoured: u32,
}

impl Choice {
    /// A form that needs no sample.
    pub(crate) fn fixed(engine: Engine, precision: Precision) -> Self {
        let form = OnceLock::from(Form { engine, precision, note: None });
        Self { form, candidates: Mutex::default(), in_flight: 1 }
    }

    /// Leaves the choice to the first sample.
    pub(crate) fn between(candidates: Candidates) -> Self {
        let own = candidates.own.engine.in_flight();
        let in_flight = candidates.gpu.as_ref().map_or(own, |gpu| gpu.engine.in_flight());
        Self { form: OnceLock::new(), candidates: Mutex::new(Some(candidates)), in_flight }
    }

    /// Returns the form if it is settled.
    pub(crate) fn get(&self) -> Option<&Form> {
        self.form.get()
    }

    /// Number of chunks that keep the form busy; of the most demanding candidate until it is settled.
    pub(crate) fn in_flight(&self) -> usize {
        self.get().map_or(self.in_flight, |form| form.engine.in_flight())
    }

    /// Returns the form, settling it with `run` if needed; other callers wait meanwhile.
    ///
    /// `run` must not start work that another thread of the pool could steal. While this thread waited for such work,
    /// it could steal a chunk itself, and that chunk would wait for the form.
    pub(crate) fn settle(&self, run: &mut RunSample<'_>) -> &Form {
        if let Some(form) = self.form.get() {
            return form;
        }
        let mut candidates: MutexGuard<'_, _> = self.candidates.lock().unwrap_or_else(PoisonError::into_inner);
        self.form.get_or_init(|| {
            let candidates = candidates.take().expect("candidates are kept until the form is settled");
            candidates.choose(run)
        })
    }
}

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Some(form) => form.engine.fmt(f),
            None => f.write_str("Choice(open)"),
        }
    }
}

impl Candidates {
    /// Returns the fastest form and drops the others.
    fn choose(self, run: &mut RunSample<'_>) -> Form {
        let Self { own, rounded, gpu } = self;
        let own = if rounded.is_empty() { own } else { rounded::choose(own.engine, rounded, run) };
        let Some(Rival { engine, precision, rounded, favoured }) = gpu else { return own };
        let gpu = match rounded {
            Some(rounded) => rounded::choose(engine, vec![rounded], run),
            None => Form { engine, precision, note: None },
        };
        trial::choose(own, gpu, favoured, run)
    }
}
