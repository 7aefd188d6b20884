//! The CPU kernel of ONNX's `Attention`: one query after another.

use crate::{
    error::{Error, Result},
    op::Io,
    ops::{
        product::attention::standard::{Scores, StandardAttention},
        wide,
    },
    tensor::{DType, View},
};

/// Numbers of `[batch, heads, length, size]`, whatever their order in memory.
struct Heads {
    numbers: Vec<f64>,
    batch: usize,
    heads: usize,
    length: usize,
    size: usize,
    /// Whether the heads come after the positions.
    late: bool,
}

impl Heads {
    fn new(view: View<'_>, heads: Option<usize>) -> Result<Self> {
        let numbers = wide::read(view)?;
        match (view.shape, heads) {
            (&[batch, heads, length, size], _) => Ok(Self { numbers, batch, heads, length, size, late: false }),
            (&[batch, length, width], Some(heads)) => {
                Ok(Self { numbers, batch, heads, length, size: width / heads, late: true })
            }
            (shape, _) => Err(Error::internal(format!("attention over {shape:?} was not refused"))),
        }
    }

    fn row(&self, item: usize, head: usize, at: usize) -> &[f64] {
        let row = match self.late {
            true => (item * self.length + at) * self.heads + head,
            false => (item * self.heads + head) * self.length + at,
        };
        &self.numbers[row * self.size..][..self.size]
    }

    /// The rows of `past` and then these.
    fn after(self, past: Option<View<'_>>) -> Result<Self> {
        let Some(view) = past else { return if self.late { Ok(self.joined(None)) } else { Ok(self) } };
        let past = Self::new(view, None)?;
        if (past.batch, past.heads, past.size) != (self.batch, self.heads, self.size) {
            let (own, due) = (view.shape, [self.batch, self.heads, self.length, self.size]);
            return Err(Error::invalid_input(format!("earlier keys or values {own:?} before {due:?}")));
        }
        Ok(self.joined(Some(&past)))
    }

    fn joined(&self, past: Option<&Self>) -> Self {
        let mut numbers = Vec::with_capacity(self.numbers.len() + past.map_or(0, |past| past.numbers.len()));
        for item in 0..self.batch {
            for head in 0..self.heads {
                if let Some(past) = past {
                    (0..past.length).for_each(|at| numbers.extend_from_slice(past.row(item, head, at)));
                }
                (0..self.length).for_each(|at| numbers.extend_from_slice(self.row(item, head, at)));
            }
        }
        let length = self.length + past.map_or(0, |past| past.length);
        Self { numbers, length, late: false, ..*self }
    }
}

/// What is added to scores: minus infinity where a key does not count.
struct Mask<'a> {
    numbers: Vec<f64>,
    shape: &'a [usize],
}

impl<'a> Mask<'a> {
    fn new(view: View<'a>, whole: [usize; 4]) -> Result<Self> {
        let numbers = match view.dtype {
            DType::Bool => {
                view.slice::<u8>()?.iter().map(|&keep| if keep == 0 { f64::NEG_INFINITY } else { 0.0 }).collect()
            }
            _ => wide::read(view)?,
        };
        let skipped = 4 - view.shape.len();
        let fits = |(axis, &own): (usize, &usize)| own == 1 || own == whole[axis + skipped];
        // Keys past the mask's end do not count.
        let (last, leading) = (view.shape.last(), &view.shape[..view.shape.len().saturating_sub(1)]);
        if leading.iter().enumerate().all(fits) && last.is_none_or(|&last| last <= whole[3]) {
            return Ok(Self { numbers, shape: view.shape });
        }
        Err(Error::invalid_input(format!("a mask of shape {:?} for scores of shape {whole:?}", view.shape)))
    }

    fn at(&self, index: [usize; 4], keys: usize) -> f64 {
        let skipped = 4 - self.shape.len();
        let mut place = 0;
        for (axis, &size) in self.shape.iter().enumerate() {
            let at = index[axis + skipped];
            let broadcast = size == 1 && !(axis + skipped == 3 && keys > 1);
            if !broadcast && at >= size {
                return f64::NEG_INFINITY;
            }
            place = place * size + if broadcast { 0 } else { at };
        }
        self.numbers[place]
    }
}

pub(super) fn run(op: &StandardAttention, io: &mut Io<'_>) -> Result<()> {
    let optional = |index: usize| io.inputs.get(index).copied().flatten();
    let (of_q, of_kv) = op.heads.unzip();
    let q = Heads::new(io.input(0)?, of_q)?;
    let past = optional(4).map_or(0, |past| past.shape[2]);
    let k = Heads::new(io.input(1)?, of_kv)?.after(optional(4))?;
    let v = Heads::new(io.input(2)?, of_kv)?.after(optional(5))?;
    let alike = q.batch == k.batch && k.batch == v.batch && k.heads == v.heads && k.length == v.length;
    if !alike || q.size != k.size || k.heads == 0 || !q.heads.is_multiple_of(k.heads) {
        return Err(Error::invalid_input("queries, keys and values that do not fit each other"));
    }
    let whole = [q.batch, q.heads, q.length, k.length];
    let mask = optional(3).map(|view| Mask::new(view, whole)).transpose()?;
    let lengths = optional(6).map(|view| view.slice::<i64>()).transpose()?;
    if lengths.is_some_and(|lengths| lengths.len() != q.batch) {
        return Err(Error::invalid_input(format!("lengths of keys for {} items", q.batch)));
    }
    let scale = op.scale.map_or_else(|| 1.0 / (q.size as f64).sqrt(), f64::from);
    let cap = f64::from(op.softcap);
    let mut y = vec![0.0; q.batch * q.heads * q.length * v.size];
    let mut all = vec![0.0; if op.results > 3 { whole.iter().product() } else { 0 }];
    let mut scores = vec![0.0; k.length];
    for item in 0..q.batch {
        // The position of the first query among the keys.
        let offset = lengths.map_or(past as i64, |lengths| lengths[item] - q.length as i64);
        for head in 0..q.heads {
            let group = head / (q.heads / k.heads);
            for query in 0..q.length {
                let (row, mut masked) = (q.row(item, head, query), true);
                let kept = &mut all[..];
                let start = ((item * q.heads + head) * q.length + query) * k.length;
                let mut keep = |key: usize, which: Scores, score: f64| {
                    if op.scores == which && !kept.is_empty() {
                        kept[start + key] = score;
                    }
                };
                for (key, to) in scores.iter_mut().enumerate() {
                    let product: f64 = row.iter().zip(k.row(item, group, key)).map(|(a, b)| a * b).sum();
                    let product = product * scale;
                    keep(key, Scores::Products, product);
                    let capped = if cap > 0.0 { (product / cap).tanh() * cap } else { product };
                    keep(key, Scores::Capped, capped);
                    let distance = key as i64 - (query as i64 + offset);
                    let inside = !(op.causal && distance > 0)
                        && op.window[0].is_none_or(|left| -distance <= left as i64)
                        && op.window[1].is_none_or(|right| distance <= right as i64)
                        && lengths.is_none_or(|lengths| (key as i64) < lengths[item]);
                    let bias = if inside { 0.0 } else { f64::NEG_INFINITY };
                    let bias = bias + mask.as_ref().map_or(0.0, |mask| mask.at([item, head, query, key], k.length));
                    masked &= bias == f64::NEG_INFINITY;
                    keep(key, Scores::Masked, capped + bias);
                    *to = capped + bias;
                }
                softmax(&mut scores, masked);
                let start = match q.late {
                    true => (item * q.length + query) * q.heads + head,
                    false => (item * q.heads + head) * q.length + query,
                };
                let to = &mut y[start * v.size..][..v.size];
                for (key, &weight) in scores.iter().enumerate() {
                    keep(key, Scores::Softmax, weight);
                    if weight != 0.0 {
                        to.iter_mut().zip(v.row(item, group, key)).for_each(|(to, x)| *to += weight * x);
                    }
                }
            }
        }
    }
    let results = [&y, &k.numbers, &v.numbers, &all];
    io.outputs.iter_mut().zip(results).try_for_each(|(to, numbers)| wide::write(to, numbers))
}

/// The softmax of a row; zeros where no key counts.
fn softmax(scores: &mut [f64], masked: bool) {
    if masked {
        return scores.fill(0.0);
    }
    let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    scores.iter_mut().for_each(|x| *x = (*x - most).exp());
    let sum: f64 = scores.iter().sum();
    scores.iter_mut().for_each(|x| *x /= sum);
}
