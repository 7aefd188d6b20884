//! A session as an [`Inference`] over named tensors.

use crate::{
    backend::{
        choice::SAMPLE,
        options::Precision,
        session::{Session, runs::MIN_PACKED_ROWS},
    },
    error::Result,
    graph::Batching,
    inference::{Description, Hints, Inference, Slots},
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

    fn input_bytes(&self, input: &Tensors) -> usize {
        input.byte_len()
    }

    fn output_bytes(&self, output: &Tensors) -> usize {
        output.byte_len()
    }

    fn hints(&self) -> Hints {
        let form = self.choice.get();
        let in_flight = form.map_or_else(|| self.choice.in_flight(), |form| form.engine.in_flight());
        let scratch_bytes = form.map_or(0, |form| form.engine.scratch_bytes());
        // A GPU's chunks grow by measurement.
        let packed_on_cpu = in_flight < 2 && matches!(self.batching, Batching::Packed { .. });
        // A GPU compiles shaders in its first run, so the time of that run predicts nothing.
        let measures = form.is_none() || (in_flight > 1 && scratch_bytes == 0);
        Hints {
            preferred_chunk_cost: packed_on_cpu.then_some(MIN_PACKED_ROWS as u64),
            first_chunk_items: if measures { SAMPLE } else { 1 },
            scratch_bytes,
            in_flight,
        }
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
            scratch_bytes_per_worker: form.map_or(0, |form| form.engine.scratch_bytes()) as u64,
            load_seconds: self.load_seconds,
            model_fingerprint: self.fingerprint.clone(),
            options: self.options.clone(),
            notes: self.notes.iter().cloned().chain(note).chain(notes).chain(self.not_a_number.note()).collect(),
            ..Description::default()
        }
    }
}
