//! `TreeEnsembleRegressor`: sums, averages or extremes of the leaves that each row reaches.

use std::sync::Arc;

use crate::{
    error::{Error, Result},
    graph::Fact,
    kernels,
    op::{
        Accuracy, Case, CpuKernel, CpuState, GpuState, Inputs, Io, KernelRequest, OnnxNode, OpDef, Operator, Shapes,
        first_result,
    },
    ops::tabular::{
        ON_THE_HOST, PostTransform, Trees, rows,
        trees::{self, Aggregate, Names},
    },
    shape::{Dim, Shape},
    tensor::{DType, View},
};

/// One number for each row of features and target.
///
/// Features are compared in their own precision; weights are summed in double precision, in the
/// order of the trees.
#[derive(Clone, Debug)]
pub struct TreeEnsembleRegressor {
    /// The trees.
    pub trees: Trees,
    /// The number of targets.
    pub targets: usize,
    /// How the weights of the trees are combined.
    pub aggregate: Aggregate,
    /// Added to each target; of no target or of all.
    pub base: Vec<f64>,
    /// What happens to the sums.
    pub post_transform: PostTransform,
    /// The result's type.
    pub to: DType,
    /// Which operator of ONNX it is.
    pub(super) def: &'static OpDef,
}

pub(crate) static DEF: OpDef = OpDef {
    name: "ai.onnx.ml.TreeEnsembleRegressor",
    onnx: Some(decode),
    cases,
    accuracy: Accuracy::Pointwise,
    cpu: CpuState::Kernel(kernel),
    gpu: GpuState::Host(ON_THE_HOST),
};

const NAMES: Names =
    Names { ids: "target_ids", nodes: "target_nodeids", trees: "target_treeids", weights: "target_weights" };

fn decode(node: &mut OnnxNode<'_>) -> Result<Arc<dyn Operator>> {
    let targets = node.int("n_targets")?.unwrap_or(1);
    let targets = usize::try_from(targets).ok().filter(|&targets| targets > 0 && targets <= u32::MAX as usize);
    let targets = targets.ok_or_else(|| Error::invalid_model("`n_targets` must be positive"))?;
    let trees::Read { trees, .. } = trees::read(node, &NAMES, targets)?;
    Ok(Arc::new(TreeEnsembleRegressor {
        trees,
        targets,
        aggregate: Aggregate::decode(node)?,
        base: base(node, targets)?,
        post_transform: PostTransform::decode(node)?,
        to: DType::F32,
        def: &DEF,
    }))
}

/// The attribute `base_values`, for no target or for all.
pub(super) fn base(node: &mut OnnxNode<'_>, targets: usize) -> Result<Vec<f64>> {
    let base = trees::numbers(node, "base_values")?.doubles();
    match base.len() {
        0 => Ok(base),
        own if own == targets => Ok(base),
        own => Err(Error::invalid_model(format!("{own} base values of {targets} targets"))),
    }
}

impl Operator for TreeEnsembleRegressor {
    fn def(&self) -> &'static OpDef {
        self.def
    }

    fn infer(&self, inputs: &Inputs<'_>) -> Result<Vec<Fact>> {
        inputs.expect(1, 1)?;
        let input = inputs.required(0)?;
        if input.dtype != DType::F16 {
            rows::check_numbers(input)?;
        }
        self.trees.check(input)?;
        let (count, _) = rows::table(input)?;
        Ok(vec![Fact::new(self.to, Shape::new([count, Dim::from(self.targets)]))])
    }

    fn batch_axes(&self, inputs: &Inputs<'_>, axes: &[Option<usize>], _size: &Dim) -> Option<Vec<Option<usize>>> {
        rows::batch_axes(inputs, axes, 1)
    }
}

struct Kernel {
    op: TreeEnsembleRegressor,
    from: DType,
}

/// The kernel of `TreeEnsembleRegressor` and of `TreeEnsemble`.
pub(super) fn kernel(request: &KernelRequest<'_>) -> Result<Box<dyn CpuKernel>> {
    let op: &TreeEnsembleRegressor = request.op()?;
    Ok(Box::new(Kernel { op: op.clone(), from: request.input(0)?.dtype }))
}

impl CpuKernel for Kernel {
    fn scratch_bytes(&self, shapes: &Shapes<'_>) -> usize {
        self.op.trees.scratch_bytes(shapes, self.from, self.op.targets)
    }

    fn run(&self, io: &mut Io<'_>) -> Result<()> {
        let op = &self.op;
        let Io { inputs, outputs, scratch, .. } = io;
        let input = inputs.first().copied().flatten().ok_or_else(|| Error::internal("a kernel misses its operand"))?;
        let output = first_result(outputs)?;
        let scores = op.trees.score(input, op.aggregate, op.targets, scratch)?;
        for scores in scores.chunks_exact_mut(op.targets) {
            scores.iter_mut().zip(&op.base).for_each(|(score, base)| *score += base);
            op.post_transform.apply(scores);
        }
        let scores = View { dtype: DType::F64, shape: output.shape, bytes: bytemuck::cast_slice(scores) };
        kernels::cast(scores, output)
    }

    fn packed_bytes(&self) -> usize {
        self.op.trees.bytes()
    }
}

fn cases() -> Vec<Case> {
    trees::cases::regressors(&DEF)
}
