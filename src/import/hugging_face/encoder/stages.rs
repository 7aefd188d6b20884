//! What runs behind the last layer: pooling, products, norms.

#[cfg(feature = "vision")]
mod attention_pool;

#[cfg(feature = "vision")]
pub(in crate::import::hugging_face) use attention_pool::AttentionPool;

use crate::{
    error::{Error, Result},
    graph::{Graph, ValueId},
    import::hugging_face::{
        Pooling,
        encoder::tensors::{Affine, Norm},
        weights::Weights,
    },
    kernels::Activation,
    ops::{
        moves::{
            concat::Concat,
            slice::{Part, Slice},
        },
        norm::{l2_normalize::L2Normalize, layer_norm::LayerNorm},
        pointwise::{Binary, BinaryFunction},
        pool::segment_pool::SegmentPool,
        product::linear::Linear,
    },
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// The minimum length by which a vector is divided.
const NORMALIZE_EPSILON: f32 = 1e-12;

/// The columns of a block of a large product.
const BLOCK: usize = 4096;

/// The input with 0 for the token whose vector is a text's, and minus infinity for all others.
pub(crate) const ENDS: &str = "text_end";

/// A step behind the last layer.
#[derive(Debug)]
pub(in crate::import::hugging_face) enum Stage {
    /// The rows of each text become one, in several ways side by side.
    Pool(Vec<Pooling>),
    /// The rows of each text become one, that of the token that the input [`ENDS`] marks.
    PoolAtEnd,
    /// The rows of each image become one by a head with attention.
    #[cfg(feature = "vision")]
    AttentionPool(Box<AttentionPool>),
    /// A product of each row.
    Product(Product),
    /// The largest of each column of a product among a text's rows.
    MaxOfProduct { source: usize, affine: Affine },
    /// A norm of each row by mean and variance.
    Norm { source: usize, norm: Norm, epsilon: f32 },
    /// Each row divided by its length.
    Normalize,
    /// The first columns of each row.
    Truncate(usize),
}

/// A product of each row, with an activation.
#[derive(Debug)]
pub(in crate::import::hugging_face) struct Product {
    /// The weights that hold it.
    pub(in crate::import::hugging_face) source: usize,
    pub(in crate::import::hugging_face) affine: Affine,
    pub(in crate::import::hugging_face) activation: Activation,
    pub(in crate::import::hugging_face) residual: Residual,
}

/// What is added to a product.
#[derive(Debug)]
pub(in crate::import::hugging_face) enum Residual {
    Nothing,
    Input,
    Product(Affine),
}

/// Adds stages behind `x` to a graph, under names that begin with `prefix`; `offsets` are the rows where texts begin.
pub(in crate::import::hugging_face) fn build(
    graph: &mut Graph,
    sources: &[Weights],
    prefix: &str,
    stages: &[Stage],
    [mut x, offsets]: [ValueId; 2],
) -> Result<ValueId> {
    for (index, stage) in stages.iter().enumerate() {
        let name = |part: &str| if index < 2 { format!("{prefix}{part}") } else { format!("{prefix}{part}.{index}") };
        x = match stage {
            Stage::Pool(modes) => pool(graph, &name("pooling"), modes, [x, offsets])?,
            Stage::PoolAtEnd => pool_at_end(graph, &name("pooling"), [x, offsets])?,
            #[cfg(feature = "vision")]
            Stage::AttentionPool(head) => head.build(graph, source_of(sources, head.source)?, [x, offsets])?,
            Stage::Product(product) => product.build(graph, sources, &name("dense"), x)?,
            Stage::MaxOfProduct { source, affine } => {
                max_of_product(graph, source_of(sources, *source)?, &name("words"), affine, [x, offsets])?
            }
            Stage::Norm { source, norm, epsilon } => {
                let mut operands = vec![x];
                for part in [Some(&norm.scale), norm.bias.as_ref()].into_iter().flatten() {
                    operands.push(graph.constant(name(part.name()), source_of(sources, *source)?.plain(part)?));
                }
                graph.apply(&name("layer_norm"), LayerNorm { axes: vec![1], epsilon: *epsilon }, &operands)?
            }
            Stage::Normalize => graph.apply(&name("normalize"), L2Normalize { epsilon: NORMALIZE_EPSILON }, &[x])?,
            Stage::Truncate(width) => {
                let width = i64::try_from(*width).map_err(|_| Error::internal("a width past 63 bits"))?;
                let part = Part { axis: 1, start: Dim::number(0), end: Dim::number(width), step: 1 };
                graph.apply(&name("truncate"), Slice { parts: vec![part] }, &[x])?
            }
        };
    }
    Ok(x)
}

fn pool(graph: &mut Graph, name: &str, modes: &[Pooling], operands: [ValueId; 2]) -> Result<ValueId> {
    if let [mode] = *modes {
        return graph.apply(name, SegmentPool { mode }, &operands);
    }
    let each = modes.iter().map(|&mode| graph.apply(&format!("{name}.{mode:?}"), SegmentPool { mode }, &operands));
    let each = each.collect::<Result<Vec<_>>>()?;
    graph.apply(name, Concat { axis: -1 }, &each)
}

/// The largest of each column, where only one row is above minus infinity.
fn pool_at_end(graph: &mut Graph, name: &str, [x, offsets]: [ValueId; 2]) -> Result<ValueId> {
    let rows = graph.fact(x).shape.dims().first().cloned();
    let rows = rows.ok_or_else(|| Error::internal("rows that are a number"))?;
    let ends = graph.input(ENDS, DType::F32, Shape::new(vec![rows, Dim::from(1)]));
    let marked = graph.apply(&format!("{name}.end"), Binary { function: BinaryFunction::Add }, &[x, ends])?;
    graph.apply(name, SegmentPool { mode: Pooling::Max }, &[marked, offsets])
}

/// A product whose columns are many, block by block, so that no block of it is large.
fn max_of_product(
    graph: &mut Graph,
    weights: &Weights,
    name: &str,
    affine: &Affine,
    [x, offsets]: [ValueId; 2],
) -> Result<ValueId> {
    let bias = affine.bias.as_ref().map(|bias| weights.plain(bias)).transpose()?;
    let bias = bias.as_ref().map(|bias| bias.as_slice::<f32>()).transpose()?;
    let mut blocks = Vec::new();
    for start in affine.rows.clone().step_by(BLOCK) {
        let rows = start..affine.rows.end.min(start + BLOCK);
        let name = format!("{name}.{start}");
        let matrix = weights.transposed(&[(&affine.weight, rows.clone())])?;
        let mut operands = vec![x, graph.constant(format!("{name}.weight"), matrix)];
        if let Some(bias) = bias {
            let own = bias.get(rows.clone()).ok_or_else(|| Error::internal("a bias that is too short"))?;
            operands.push(graph.constant(format!("{name}.bias"), Tensor::new([own.len()], own)?));
        }
        let product = graph.apply(&name, Linear::default(), &operands)?;
        let mode = Pooling::Max;
        blocks.push(graph.apply(&format!("{name}.pooling"), SegmentPool { mode }, &[product, offsets])?);
    }
    match blocks[..] {
        [only] => Ok(only),
        _ => graph.apply(name, Concat { axis: -1 }, &blocks),
    }
}

fn source_of(sources: &[Weights], index: usize) -> Result<&Weights> {
    sources.get(index).ok_or_else(|| Error::internal("a stage without its weights"))
}

impl Product {
    fn build(&self, graph: &mut Graph, sources: &[Weights], name: &str, x: ValueId) -> Result<ValueId> {
        let weights = source_of(sources, self.source)?;
        let made = linear(graph, weights, name, &self.affine, self.activation, x)?;
        let added = match &self.residual {
            Residual::Nothing => return Ok(made),
            Residual::Input => x,
            Residual::Product(affine) => {
                linear(graph, weights, &format!("{name}.residual"), affine, Activation::None, x)?
            }
        };
        graph.apply(&format!("{name}.add"), Binary { function: BinaryFunction::Add }, &[made, added])
    }
}

fn linear(
    graph: &mut Graph,
    weights: &Weights,
    name: &str,
    affine: &Affine,
    activation: Activation,
    x: ValueId,
) -> Result<ValueId> {
    let matrix = weights.transposed(&[(&affine.weight, affine.rows.clone())])?;
    let mut operands = vec![x, graph.constant(format!("{name}.weight"), matrix)];
    if let Some(bias) = &affine.bias {
        operands.push(graph.constant(format!("{name}.bias"), weights.plain(bias)?));
    }
    graph.apply(name, Linear { activation, ..Linear::default() }, &operands)
}
