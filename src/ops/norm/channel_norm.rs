//! Normalizations with a scale and a bias for each channel (axis 1).

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels::{
        KernelSet,
        moments::mean_and_variance,
        simd::{self, PairFunction, Side},
    },
    op::{Accuracy, Case, CpuKernel, CpuState, Fill, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator},
    shape::{Condition, Dim, Shape},
    tensor::DType,
};

/// `(x - mean) / sqrt(variance + epsilon) * scale + bias` for each channel.
///
/// Operands: `x` of `[N, C, ...]`, `scale`, `bias`; for [`Statistics::Given`] also `mean` and
/// `variance`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelNorm {
    /// The source of mean and variance.
    pub statistics: Statistics,
    /// Added to the variance.
    pub epsilon: f32,
}

/// The source of a [`ChannelNorm`]'s mean and variance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Statistics {
    /// Operands: ONNX's `BatchNormalization`.
    Given,
    /// Each channel of each item: ONNX's `InstanceNormalization`.
    Channel,
    /// Groups of adjacent channels of each item: ONNX's `GroupNormalization`.
    Group {
        /// The number of groups.
        groups: usize,
        /// Whether `scale` and `bias` are per group, as in ONNX before opset 21.
        grouped_weights: bool,
    },
}

macro_rules! def {
    ($name:literal, $decode:ident, $statistics:expr, $shader:literal) => {
        OpDef {
            name: $name,
            onnx: Some($decode),
            cases: || cases($statistics),
            accuracy: Accuracy::Reduction,
            cpu: CpuState::Kernel(kernel),
            gpu: GpuState::Kernel($shader),
        }
    };
}
pub(crate) static BATCH: OpDef = def!("BatchNormalization", decode_batch, Statistics::Given, "batch_norm");
pub(crate) static INSTANCE: OpDef = def!("InstanceNormalization", decode_instance, Statistics::Channel, "norm");
pub(crate) static GROUP: OpDef =
    def!("GroupNormalization", decode_group, Statistics::Group { groups: 3, grouped_weights: false }, "norm");

fn decode_batch(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let epsilon = node.float("epsilon")?.unwrap_or(1e-5);
    // The momentum matters in training only.
    node.float("momentum")?;
    // Up to opset 6, training is the default; up to 8, there are statistics for each position.
    let trains = node.opset() < 7 && !node.flag("is_test", false)?;
    if node.opset() < 9 && !node.flag("spatial", true)? {
        return Err(Error::unsupported("BatchNormalization with statistics for each position (`spatial` is 0)"));
    }
    if node.flag("training_mode", false)? || trains || node.output_count() > 1 {
        return Err(Error::unsupported("BatchNormalization in training"));
    }
    Ok(Arc::new(ChannelNorm { statistics: Statistics::Given, epsilon }))
}

fn decode_instance(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    Ok(Arc::new(ChannelNorm { statistics: Statistics::Channel, epsilon: node.float("epsilon")?.unwrap_or(1e-5) }))
}

fn decode_group(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let epsilon = node.float("epsilon")?.unwrap_or(1e-5);
    let groups = node.int("num_groups")?.and_then(|groups| usize::try_from(groups).ok());
    let groups = groups.ok_or_else(|| Error::invalid_model("`num_groups` is missing or negative"))?;
    if let Some(stash) = node.int("stash_type")?
        && stash != 1
    {
        return Err(Error::unsupported(format!("`stash_type` is {stash}, expected 1 (f32)")));
    }
    let grouped_weights = node.opset() < 21;
    Ok(Arc::new(ChannelNorm { statistics: Statistics::Group { groups, grouped_weights }, epsilon }))
}

impl Operator for ChannelNorm {
    fn def(&self) -> &'static OpDef {
        match self.statistics {
            Statistics::Given => &BATCH,
            Statistics::Channel => &INSTANCE,
            Statistics::Group { .. } => &GROUP,
        }
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        let operands = if self.statistics == Statistics::Given { 5 } else { 3 };
        inputs.expect(operands, operands)?;
        let input = inputs.required(0)?;
        let channels = input.shape.dims().get(1).filter(|_| input.dtype == DType::F32);
        let channels = channels.ok_or_else(|| Error::unsupported(format!("a norm of the channels of {input}")))?;
        let (mut channels, mut weights) = (channels.clone(), None);
        if let Statistics::Group { groups, grouped_weights } = self.statistics {
            let groups = Dim::from(groups);
            let whole = &channels.floor_div(&groups) * &groups;
            inputs
                .assume(Condition::equal("the channels in groups", &channels, &whole))
                .map_err(|_| Error::invalid_model(format!("{channels} channels in {groups} groups")))?;
            weights = grouped_weights.then_some(groups);
        }
        for index in 1..operands {
            let own = inputs.required(index)?;
            let expected = weights.as_ref().unwrap_or(&channels);
            let misfit = || Error::invalid_model(format!("operand {index} is {own}, expected f32[{expected}]"));
            let [size] = own.shape.dims() else { return Err(misfit()) };
            if own.dtype != DType::F32 {
                return Err(misfit());
            }
            let size = inputs.equal("an operand of one number per channel", expected, size).map_err(|_| misfit())?;
            if weights.is_none() {
                channels = size;
            }
        }
        let mut dims = input.shape.dims().to_vec();
        dims[1] = channels;
        Ok(vec![Fact::new(input.dtype, Shape::new(dims))])
    }

    fn batch_axes(&self, _inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        let apart = match axes[0] {
            None | Some(0) => true,
            Some(1) => false,
            Some(_) => self.statistics == Statistics::Given,
        };
        (apart && axes[1..].iter().all(Option::is_none)).then(|| vec![axes[0]])
    }
}

struct Kernel {
    op: ChannelNorm,
    set: KernelSet,
}

fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    Ok(Box::new(Kernel { op: *request.op::<ChannelNorm>()?, set: request.kernel_set() }))
}

impl CpuKernel for Kernel {
    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let input = io.input(0)?;
        let (scale, bias) = (io.input(1)?.slice::<f32>()?, io.input(2)?.slice::<f32>()?);
        let given = match self.op.statistics {
            Statistics::Given => Some((io.input(3)?.slice::<f32>()?, io.input(4)?.slice::<f32>()?)),
            _ => None,
        };
        let channels = input.shape[1];
        let plane: usize = input.shape[2..].iter().product();
        let (groups, grouped_weights) = match self.op.statistics {
            Statistics::Group { groups, grouped_weights } => (groups, grouped_weights),
            _ => (channels, false),
        };
        let output = io.output(0)?.slice::<f32>()?;
        if output.is_empty() {
            return Ok(());
        }
        let in_group = channels / groups;
        let parts = input.slice::<f32>()?.chunks_exact(in_group * plane).zip(output.chunks_exact_mut(in_group * plane));
        for (part, (from, to)) in parts.enumerate() {
            let group = part % groups;
            let (mean, variance) = match given {
                Some((means, variances)) => (f64::from(means[group]), f64::from(variances[group])),
                None => mean_and_variance(from),
            };
            let factor = 1.0 / (variance + f64::from(self.op.epsilon)).sqrt();
            let planes = from.chunks_exact(plane).zip(to.chunks_exact_mut(plane));
            for (index, (from, to)) in planes.enumerate() {
                let weight = if grouped_weights { group } else { group * in_group + index };
                let factor = (factor * f64::from(scale[weight])) as f32;
                // The mean is subtracted first: it may be much larger than the difference.
                simd::combine(self.set, PairFunction::Sub, Side::Each(from), Side::One(mean as f32), to)?;
                simd::combine_in_place(self.set, PairFunction::Mul, to, Side::One(factor), false)?;
                simd::combine_in_place(self.set, PairFunction::Add, to, Side::One(bias[weight]), false)?;
            }
        }
        Ok(())
    }
}

fn cases(statistics: Statistics) -> Vec<Case> {
    let weights = |case: Case, count: usize| {
        let case = case.constant(&[count], Fill::Spread).constant(&[count], Fill::Spread);
        match statistics {
            Statistics::Given => case.constant(&[count], Fill::Spread).constant(&[count], Fill::Positive),
            _ => case,
        }
    };
    let case = |name: &str| Case::new(name, ChannelNorm { statistics, epsilon: 1e-3 });
    let mut cases = vec![
        weights(case("images").value(&[2, 6, 5, 7], Fill::Spread), 6),
        weights(case("sequences").value(&[3, 3, 19], Fill::Spread), 3),
        weights(case("large").value(&[1, 3, 4, 4], Fill::Large), 3),
        weights(case("none").value(&[0, 3, 4], Fill::Spread), 3),
    ];
    if let Statistics::Group { groups, .. } = statistics {
        let grouped = ChannelNorm { statistics: Statistics::Group { groups, grouped_weights: true }, epsilon: 1e-5 };
        cases.push(weights(Case::new("a weight a group", grouped).value(&[2, 6, 5], Fill::Spread), groups));
    }
    if statistics == Statistics::Given {
        cases.push(weights(case("rows").value(&[4, 9], Fill::Spread), 9));
    }
    cases
}
