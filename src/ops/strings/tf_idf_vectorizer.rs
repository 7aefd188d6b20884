//! `TfIdfVectorizer`: how often sequences of a list occur in each row.

use std::{collections::HashMap, sync::Arc};

#[cfg(feature = "onnx")]
use crate::ops::strings::tokenizer::Tokenizer;
use crate::{
    error::{Error, Result},
    graph::Fact,
    op::{
        Accuracy, Case, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator,
        first_result,
    },
    ops::{strings::ON_THE_HOST, tabular::Labels, tokens},
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// The most columns of the result.
const MOST_COLUMNS: i64 = 1 << 24;

/// For each row a column for each sequence of the pool: its number, its weight where it occurs, or
/// their product.
///
/// A sequence may leave out items: the same number between each two.
#[derive(Clone, Debug, PartialEq)]
pub struct TfIdfVectorizer {
    /// What a column holds.
    pub mode: Mode,
    /// The items of all sequences, those of length 1 first, then 2, and so on.
    pub pool: Labels,
    /// Where the sequences of each length begin in the pool.
    pub starts: Vec<usize>,
    /// The column of each sequence.
    pub columns: Vec<usize>,
    /// The weight of each column; none: 1.
    pub weights: Vec<f32>,
    /// The lengths of sequences that count.
    pub lengths: (usize, usize),
    /// Items that a sequence may leave out between two.
    pub most_skipped: usize,
    /// Whether an element is a list of tokens.
    pub lists: bool,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// How often the sequence occurs.
    Tf,
    /// Its weight, if it occurs.
    Idf,
    /// The product of both.
    TfIdf,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "TfIdfVectorizer",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Exact,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let mode = match node.string("mode")?.as_deref() {
        Some("TF") => Mode::Tf,
        Some("IDF") => Mode::Idf,
        Some("TFIDF") => Mode::TfIdf,
        other => return Err(Error::invalid_model(format!("the mode {other:?}"))),
    };
    let pool = Labels::decode(node, "pool_int64s", "pool_strings")?;
    let sizes = |list: Option<Vec<i64>>, name: &str| {
        let list = list.ok_or_else(|| Error::invalid_model(format!("`{name}` is missing")))?;
        let size = |&size: &i64| usize::try_from(size).ok().filter(|_| size < MOST_COLUMNS);
        let sizes = list.iter().map(size).collect::<Option<Vec<_>>>();
        sizes.ok_or_else(|| Error::invalid_model(format!("`{name}` holds a number below 0 or past {MOST_COLUMNS}")))
    };
    let starts = sizes(node.ints("ngram_counts")?, "ngram_counts")?;
    let columns = sizes(node.ints("ngram_indexes")?, "ngram_indexes")?;
    let weights = node.floats("weights")?.unwrap_or_default();
    let mut number = |name: &str| -> Result<usize> {
        let number = node.int(name)?.ok_or_else(|| Error::invalid_model(format!("`{name}` is missing")))?;
        usize::try_from(number).map_err(|_| Error::invalid_model(format!("`{name}` is {number}")))
    };
    let lengths = (number("min_gram_length")?, number("max_gram_length")?);
    let most_skipped = number("max_skip_count")?;
    let tokenizer = tokens::maker(node);
    let lists = tokenizer.is_some();
    #[cfg(feature = "onnx")]
    if let (Some(Tokenizer { padding, .. }), Labels::Strings(pool)) = (tokenizer.and_then(|node| node.op()), &pool)
        && pool.contains(padding)
    {
        return Err(Error::unsupported(format!("the padding `{padding}` of tokens would be counted")));
    }
    let this = TfIdfVectorizer { mode, pool, starts, columns, weights, lengths, most_skipped, lists };
    this.check()?;
    Ok(Arc::new(this))
}

impl TfIdfVectorizer {
    /// The length of sequences and the items of all sequences of that length.
    fn parts(&self) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> {
        let ends = self.starts.iter().skip(1).copied().chain([self.pool.len()]);
        self.starts.iter().zip(ends).enumerate().map(|(index, (&start, end))| (index + 1, start..end))
    }

    fn check(&self) -> Result<()> {
        let (least, most) = self.lengths;
        if least == 0 || least > most || most > self.starts.len() {
            let known = self.starts.len();
            return Err(Error::invalid_model(format!("sequences of length {least} to {most}, of {known} lengths")));
        }
        let mut sequences = 0;
        for (length, items) in self.parts() {
            if items.start > items.end || items.end > self.pool.len() || !items.len().is_multiple_of(length) {
                return Err(Error::invalid_model(format!("items {items:?} are no sequences of length {length}")));
            }
            sequences += items.len() / length;
        }
        if sequences != self.columns.len() || self.starts.first() != Some(&0) {
            let columns = self.columns.len();
            return Err(Error::invalid_model(format!("{columns} indexes of {sequences} sequences")));
        }
        if !self.weights.is_empty() && self.weights.len() < self.width() {
            let weights = self.weights.len();
            return Err(Error::invalid_model(format!("{weights} weights of {} columns", self.width())));
        }
        Ok(())
    }

    /// The number of columns.
    fn width(&self) -> usize {
        self.columns.iter().max().map_or(0, |last| last + 1)
    }
}

impl Operator for TfIdfVectorizer {
    fn def(&self) -> &'static OpDef {
        &DEF
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        let fits = match self.pool {
            Labels::Strings(_) => input.dtype == DType::String,
            Labels::Integers(_) => matches!(input.dtype, DType::I32 | DType::I64),
        };
        if !fits {
            return Err(Error::invalid_model(format!("{input} is not of the pool's type")));
        }
        if self.lists && !matches!(input.shape.dims(), [_, one] if one.as_fixed() == Some(1)) {
            return Err(Error::unsupported("tokens of several texts in one row"));
        }
        let width = Dim::from(self.width());
        let shape = match input.shape.dims() {
            [_] => Shape::new([width]),
            [rows, _] => Shape::new([rows.clone(), width]),
            dims => return Err(Error::invalid_model(format!("sequences in {} dimensions", dims.len()))),
        };
        Ok(vec![Fact::new(DType::F32, shape)])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let is_matrix = inputs.fact(0)?.shape.rank() == 2;
        (is_matrix && axes[0] == Some(0)).then(|| vec![Some(0)])
    }
}

struct Kernel {
    op: TfIdfVectorizer,
    width: usize,
    /// From a state and an item to the next state and the column of a sequence that ends there.
    steps: HashMap<(u32, u64), (u32, Option<usize>)>,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: &TfIdfVectorizer = request.op()?;
    let items = op.pool.elements(request);
    let (mut steps, mut states, mut columns) = (HashMap::new(), 0u32, op.columns.iter());
    for (length, part) in op.parts() {
        for sequence in items[part].chunks_exact(length) {
            let column = columns.next().copied();
            if !(op.lengths.0..=op.lengths.1).contains(&length) {
                continue;
            }
            let mut state = 0;
            for (index, &item) in sequence.iter().enumerate() {
                let step: &mut (u32, Option<usize>) = steps.entry((state, item)).or_insert_with(|| {
                    states += 1;
                    (states, None)
                });
                if index + 1 == length {
                    step.1 = column;
                }
                state = step.0;
            }
        }
    }
    Ok(Box::new(Kernel { width: op.width(), op: op.clone(), steps }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let Io { outputs, strings, .. } = io;
        let output = first_result(outputs)?.slice::<f32>()?;
        output.fill(0.0);
        let items = input.shape.last().copied().unwrap_or(0);
        let mut row = Vec::new();
        for (index, counts) in output.chunks_exact_mut(self.width.max(1)).enumerate() {
            let range = index * items..(index + 1) * items;
            row.clear();
            match input.dtype {
                DType::I32 => {
                    row.extend(input.slice::<i32>()?[range].iter().map(|&item| i64::from(item).cast_unsigned()))
                }
                DType::I64 => row.extend(input.slice::<i64>()?[range].iter().map(|item| item.cast_unsigned())),
                _ if self.op.lists => {
                    input.slice::<u64>()?[range].iter().for_each(|&list| tokens::numbers(strings, list, &mut row));
                }
                _ => row.extend_from_slice(&input.slice::<u64>()?[range]),
            }
            self.count(&row, counts);
            self.weigh(counts);
        }
        Ok(())
    }
}

impl Kernel {
    /// Counts the sequences of a row.
    fn count(&self, row: &[u64], counts: &mut [f32]) {
        let (mut least, most) = self.op.lengths;
        for distance in 1..=self.op.most_skipped.min(row.len()) + 1 {
            for start in 0..row.len() {
                let mut state = 0;
                for (length, item) in (1..=most).zip(row[start..].iter().step_by(distance)) {
                    let Some(&(next, column)) = self.steps.get(&(state, *item)) else { break };
                    if let Some(column) = column.filter(|_| length >= least) {
                        counts[column] += 1.0;
                    }
                    state = next;
                }
            }
            // A single item leaves nothing out: it counts once.
            if least == 1 {
                least = 2;
                if most == 1 {
                    break;
                }
            }
        }
    }

    fn weigh(&self, counts: &mut [f32]) {
        for (column, count) in counts.iter_mut().enumerate() {
            let weight = self.op.weights.get(column).copied().unwrap_or(1.0);
            *count = match self.op.mode {
                Mode::Tf => *count,
                Mode::Idf if *count > 0.0 => weight,
                Mode::Idf => 0.0,
                Mode::TfIdf => *count * weight,
            };
        }
    }
}

fn cases() -> Vec<Case> {
    let of = |mode, lengths, most_skipped| TfIdfVectorizer {
        mode,
        pool: Labels::Integers(vec![2, 3, 5, 4, 5, 6, 7, 8, 6, 7]),
        starts: vec![0, 4],
        columns: vec![0, 1, 2, 3, 4, 5, 6],
        weights: vec![1.0, 2.0, 0.5, 3.0, 4.0, 0.25, 1.5],
        lengths,
        most_skipped,
        lists: false,
    };
    let rows = [1i64, 1, 3, 3, 3, 7, 8, 6, 7, 5, 6, 8, 2, 5];
    let words = TfIdfVectorizer {
        pool: Labels::Strings(["a", "b", "b", "c"].map(String::from).to_vec()),
        starts: vec![0, 2],
        columns: vec![2, 0, 1],
        weights: Vec::new(),
        ..of(Mode::Tf, (1, 2), 0)
    };
    let texts = Tensor::from_strings([2, 4], &["a", "b", "c", "a", "", "b", "b", "c"]).expect("eight strings");
    let small = Tensor::new([4], &[5i32, 6, 7, 8]).expect("four integers");
    vec![
        Case::new("single items", of(Mode::Tf, (1, 1), 0)).integers(&[2, 7], &rows),
        Case::new("pairs", of(Mode::Tf, (2, 2), 0)).integers(&[2, 7], &rows),
        Case::new("skipped", of(Mode::Tf, (1, 2), 5)).integers(&[2, 7], &rows),
        Case::new("weights", of(Mode::Idf, (1, 2), 1)).integers(&[14], &rows),
        Case::new("both", of(Mode::TfIdf, (1, 2), 1)).integers(&[2, 7], &rows),
        Case::new("strings", words).tensor(texts),
        Case::new("small", of(Mode::Tf, (1, 2), 0)).tensor(small),
        Case::new("empty", of(Mode::Tf, (1, 2), 0)).integers(&[0, 3], &[]),
    ]
}
