//! candle models in bulk (feature `candle`): any function of tensors as an [`Inference`].
//!
//! Every call is made by one worker, on tensors in main memory. candle's products split their work over the rayon pool
//! that they are called in, which is the workers' own, so no further threads start for them. Its element-wise
//! operators are another matter: from 65,536 elements on they use threads of candle's own, all calls in turn. candle
//! reads how many from the environment, once: start the process with `CANDLE_NUM_THREADS=1` and there are none. A
//! note in the report says so where they may start.

use std::{env, fmt};

use candle_core::Tensor;

use crate::{
    error::{Error, Result},
    inference::{Description, Inference, Slots},
};

/// What candle reads to know how many threads its element-wise operators have.
const THREADS: &str = "CANDLE_NUM_THREADS";

/// A candle model: a function from a tensor to a tensor, which every worker calls.
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
    /// Calls `call` with one item at a time.
    pub fn per_item(call: F) -> Self {
        Self { call, stacked: false, fingerprint: String::new() }
    }

    /// Calls `call` with the items of a chunk that are alike in shape and type, stacked along a new first axis, `[items,
    /// ...]`. It must return one row an item, `[items, ...]`, and must not let rows touch one another; whether a row's
    /// bits depend on how many there are is candle's affair.
    pub fn stacked(call: F) -> Self {
        Self { stacked: true, ..Self::per_item(call) }
    }

    /// Names the weights in reports, and to a cache of results: equal weights, equal name.
    #[must_use]
    pub fn fingerprint(mut self, name: impl Into<String>) -> Self {
        self.fingerprint = name.into();
        self
    }

    fn call(&self, input: &Tensor) -> Result<Tensor> {
        (self.call)(input).map_err(Error::user)
    }

    /// The results of items alike.
    fn call_stacked(&self, chunk: &[&Tensor], alike: &[usize], out: &mut Slots<'_, Tensor>) -> Result<()> {
        let items: Vec<&Tensor> = alike.iter().map(|&place| chunk[place]).collect();
        let stacked = Tensor::stack(&items, 0).map_err(Error::user)?;
        let results = self.call(&stacked)?;
        if results.dims().first() != Some(&alike.len()) {
            let (count, shape) = (alike.len(), results.dims());
            return Err(Error::invalid_model(format!("{count} items stacked give {shape:?}, not one row an item")));
        }
        for (row, &place) in alike.iter().enumerate() {
            // A copy: a view would keep the whole chunk's results as long as any of them.
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

/// Threads that candle adds to those that call its element-wise operators, as it counts them itself.
fn own_threads() -> usize {
    let asked = env::var(THREADS).ok().and_then(|text| text.parse::<usize>().ok()).filter(|&threads| threads > 0);
    asked.unwrap_or_else(candle_core::utils::get_num_threads) - 1
}

impl<F> fmt::Debug for CandleModel<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CandleModel").field("stacked", &self.stacked).finish_non_exhaustive()
    }
}
