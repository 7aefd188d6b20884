//! A session as an [`Inference`] over named tensors.

use crate::{
    backend::{
        choice::SAMPLE,
        options::Precision,
        session::{Session, runs::MIN_PACKED_ROWS},
    },
    error::Result,
    graph::Batching,
    inference::{Description, Inference, Slots},
    tensor::Tensors,
};

impl Inference for Session {
    type Input = Tensors;
    type Output = Tensors;

    fn infer(&self, chunk: &[&Tensors], out: &mut Slots<'_, Tensors>) -> Result<()> {
        let form = match self.choice.get() {
            Some(form) => form,
            // A chunk whose items are all invalid is no sample.
            None => {
                let errors: Vec<_> = chunk.iter().map_while(|item| self.bind(item).err()).collect();
                if errors.len() == chunk.len() {
                    errors.into_iter().enumerate().for_each(|(index, error)| out.fail(index, error));
                    return Ok(());
                }
                self.form_by(chunk)
            }
        };
        self.infer_on(&*form.engine, chunk, out);
        Ok(())
    }

    fn cost(&self, input: &Tensors) -> u64 {
        let first = self.inputs.first().and_then(|named| input.get(&named.name));
        match self.batching {
            Batching::Rows { .. } | Batching::Packed { .. } => {
                first.and_then(|tensor| tensor.shape().first()).map_or(1, |&rows| rows as u64)
            }
            _ => first.map_or(1, |tensor| tensor.len() as u64),
        }
    }

    fn preferred_chunk_cost(&self) -> Option<u64> {
        // A GPU's chunks grow by measurement.
        let on_cpu = self.choice.in_flight() < 2;
        (on_cpu && matches!(self.batching, Batching::Packed { .. })).then_some(MIN_PACKED_ROWS as u64)
    }

    fn scratch_bytes(&self) -> usize {
        self.choice.get().map_or(0, |form| form.engine.scratch_bytes())
    }

    fn first_chunk_items(&self) -> usize {
        match self.choice.get() {
            None => SAMPLE,
            // A GPU compiles shaders in its first run, so the time of that run predicts nothing.
            Some(form) if form.engine.in_flight() > 1 && form.engine.scratch_bytes() == 0 => SAMPLE,
            Some(_) => 1,
        }
    }

    fn input_bytes(&self, input: &Tensors) -> usize {
        input.byte_len()
    }

    fn output_bytes(&self, output: &Tensors) -> usize {
        output.byte_len()
    }

    fn in_flight(&self) -> usize {
        self.choice.in_flight()
    }

    fn describe(&self) -> Description {
        let form = self.choice.get();
        let report = form.map(|form| form.engine.report());
        let (device, kernel_set, notes) = match report {
            Some(report) => (report.device, report.kernel_set, report.notes),
            None if self.choice.in_flight() > 1 => ("auto".to_owned(), self.loaded.0.name(), Vec::new()),
            None => ("cpu".to_owned(), self.loaded.0.name(), Vec::new()),
        };
        let note = form.and_then(|form| form.note.clone());
        Description {
            device,
            kernel_set: kernel_set.to_owned(),
            precision: self.precision().unwrap_or(Precision::AUTO).name().to_owned(),
            scratch_bytes_per_worker: self.scratch_bytes() as u64,
            load_seconds: self.load_seconds,
            model_fingerprint: self.fingerprint.clone(),
            options: self.options.clone(),
            notes: self.notes.iter().cloned().chain(note).chain(notes).collect(),
            ..Description::default()
        }
    }
}
