//! candle models as an [`Inference`] (feature `candle`).
//!
//! One worker makes each call, on tensors in main memory. candle's matrix products split their work
//! over the rayon pool that they are called in, which is the pool of the workers, so they start no
//! further threads. Its element-wise operators use threads of candle's own from 65,536 elements on,
//! shared by all calls. candle reads their number from the environment once: start the process with
//! `CANDLE_NUM_THREADS=1` to have none. A note in the report says if such threads may start.

use std::{env, fmt};

use candle_core::Tensor;

use crate::{
    error::{Error, Result},
    inference::{Description, Inference, Slots},
};

/// The environment variable with the number of threads for candle's element-wise operators.
const THREADS: &str = "CANDLE_NUM_THREADS";

/// A candle model: a function from tensor to tensor that all workers call.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use gristmill::{bulk, candle::CandleModel};
/// let double = CandleModel::per_item(|tensor: &Tensor| tensor * 2.0);
/// let items = [[1_f32, 2.0], [3.0, 4.0]].map(|row| Tensor::new(&row, &Device::Cpu).unwrap());
/// let doubled: Vec<Vec<f32>> = bulk::map(double, items).map(|row| row.unwrap().to_vec1().unwrap()).collect();
/// assert_eq!(doubled, [[2.0, 4.0], [6.0, 8.0]]);
/// ```
pub struct CandleModel<F> {
    call: F,
    stacked: bool,
    fingerprint: String,
}

impl<F> CandleModel<F>
where
    F: Fn(&Tensor) -> candle_core::Result<Tensor> + Send + Sync,
{
    /// Makes a model that calls `call` with one item at a time.
    pub fn per_item(call: F) -> Self {
        Self { call, stacked: false, fingerprint: String::new() }
    }

    /// Makes a model that calls `call` with stacked items of a chunk.
    ///
    /// Items of the same shape and type are stacked along a new first axis, `[items, ...]`. `call`
    /// must return one row per item, `[items, ...]`, and rows must not affect one another. Whether
    /// a row's bits depend on the number of rows is up to candle.
    pub fn stacked(call: F) -> Self {
        Self { stacked: true, ..Self::per_item(call) }
    }

    /// Sets a name for the weights in reports and caches: equal weights, equal name.
    #[must_use]
    pub fn fingerprint(mut self, name: impl Into<String>) -> Self {
        self.fingerprint = name.into();
        self
    }

    fn call(&self, input: &Tensor) -> Result<Tensor> {
        (self.call)(input).map_err(Error::user)
    }

    /// Runs items of the same shape and type as one stack.
    fn call_stacked(&self, chunk: &[&Tensor], alike: &[usize], out: &mut Slots<'_, Tensor>) -> Result<()> {
        let items: Vec<&Tensor> = alike.iter().map(|&place| chunk[place]).collect();
        let stacked = Tensor::stack(&items, 0).map_err(Error::user)?;
        let results = self.call(&stacked)?;
        if results.dims().first() != Some(&alike.len()) {
            let (count, shape) = (alike.len(), results.dims());
            return Err(Error::invalid_model(format!("{count} items stacked give {shape:?}, not one row an item")));
        }
        for (row, &place) in alike.iter().enumerate() {
            // Copies the row, because a view would keep the results of the whole chunk alive.
            match results.get(row).and_then(|row| row.force_contiguous()) {
                Ok(result) => out.set(place, result),
                Err(error) => out.fail(place, Error::user(error)),
            }
        }
        Ok(())
    }
}

impl<F> Inference for CandleModel<F>
where
    F: Fn(&Tensor) -> candle_core::Result<Tensor> + Send + Sync,
{
    type Input = Tensor;
    type Output = Tensor;

    fn infer(&self, chunk: &[&Tensor], out: &mut Slots<'_, Tensor>) -> Result<()> {
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (place, item) in chunk.iter().enumerate() {
            if !item.device().is_cpu() {
                out.fail(place, Error::invalid_input("the tensor is not in main memory; move it to `Device::Cpu`"));
                continue;
            }
            let alike = |group: &&mut Vec<usize>| {
                let first = chunk[group[0]];
                self.stacked && first.shape() == item.shape() && first.dtype() == item.dtype()
            };
            match groups.iter_mut().find(alike) {
                Some(group) => group.push(place),
                None => groups.push(vec![place]),
            }
        }
        for group in groups {
            if self.stacked {
                self.call_stacked(chunk, &group, out)?;
            } else {
                for place in group {
                    match crate::threads::panics::catch(|| self.call(chunk[place])) {
                        Ok(result) => out.set(place, result),
                        Err(error) => out.fail(place, error),
                    }
                }
            }
        }
        Ok(())
    }

    fn cost(&self, input: &Tensor) -> u64 {
        input.elem_count() as u64
    }

    fn input_bytes(&self, input: &Tensor) -> usize {
        bytes(input)
    }

    fn output_bytes(&self, output: &Tensor) -> usize {
        bytes(output)
    }

    fn describe(&self) -> Description {
        let own = own_threads();
        let note = (own > 0).then(|| {
            format!(
                "candle may start {own} threads of its own for large element-wise operators, beside the workers; \
                 {THREADS}=1 in the environment of the process keeps it from that"
            )
        });
        Description {
            device: "cpu".into(),
            kernel_set: "candle".into(),
            model_fingerprint: self.fingerprint.clone().into(),
            notes: note.into_iter().collect(),
            ..Description::default()
        }
    }
}

fn bytes(tensor: &Tensor) -> usize {
    tensor.elem_count().saturating_mul(tensor.dtype().size_in_bytes()).saturating_add(size_of::<Tensor>())
}

/// The number of candle's own threads besides the calling thread, counted as candle counts them.
fn own_threads() -> usize {
    let asked = env::var(THREADS).ok().and_then(|text| text.parse::<usize>().ok()).filter(|&threads| threads > 0);
    asked.unwrap_or_else(candle_core::utils::get_num_threads) - 1
}

impl<F> fmt::Debug for CandleModel<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CandleModel").field("stacked", &self.stacked).finish_non_exhaustive()
    }
}
