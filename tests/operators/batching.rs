//! What operators say of the rows of a batch: on every case of each operator, for any choice of axes that it grants, each
//! row alone gives the bits that it gives among the others.

use gristmill::{
    DType, Device, Session, SessionOptions, Tensor, Tensors,
    testing::{
        graph::{Batching, Graph, ValueId},
        op::{Case, CaseInput, CpuState, Inputs},
        ops,
        shape::{Dim, Shape},
    },
};

/// Operators that grant no axis on any case: they read no rows, or rows meet in them.
const NEVER: [&str; 37] = [
    "AffineGrid",
    "Bernoulli",
    "BlackmanWindow",
    "Compress",
    "ConstantOfShape",
    "Deferred",
    "DisentangledAttention",
    "DynamicQuantizeLinear",
    "EyeLike",
    "HammingWindow",
    "HannWindow",
    "If",
    "LookUpPool",
    "Loop",
    "MaxPoolWithIndices",
    "MaxUnpool",
    "Measured",
    "MelWeightMatrix",
    "Multinomial",
    "NonMaxSuppression",
    "NonZero",
    "PackedAttention",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
    "Range",
    "RotaryHeads",
    "Scan",
    "ScatterND",
    "SegmentPool",
    "SegmentWindows",
    "Size",
    "StringSplit",
    "Unique",
    "ai.onnx.ml.DictVectorizer",
    "com.microsoft.DynamicQuantizeLSTM",
];

/// One choice of axes for a case: the rows of each operand lie along its axis.
struct Choice {
    axes: Vec<Option<usize>>,
    rows: usize,
}

/// All choices that give at least one operand an axis, where there are as many rows in each, and more than one.
fn choices(case: &Case) -> Vec<Choice> {
    let mut all: Vec<Vec<Option<usize>>> = vec![Vec::new()];
    for input in &case.inputs {
        let axes = match input {
            CaseInput::Value(tensor) => tensor.shape().len(),
            CaseInput::Constant(_) | CaseInput::Absent => 0,
        };
        let with = |axes_so_far: &Vec<Option<usize>>, axis| axes_so_far.iter().copied().chain([axis]).collect();
        all = all.iter().flat_map(|so_far| (0..axes).map(Some).chain([None]).map(|axis| with(so_far, axis))).collect();
    }
    let rows_of = |axes: &[Option<usize>]| {
        let along = |(input, axis): (&CaseInput, &Option<usize>)| match (input, axis) {
            (CaseInput::Value(tensor), Some(axis)) => Some(tensor.shape()[*axis]),
            _ => None,
        };
        let rows: Vec<usize> = case.inputs.iter().zip(axes).filter_map(along).collect();
        rows.first().copied().filter(|first| *first > 1 && rows.iter().all(|own| own == first))
    };
    all.into_iter().filter_map(|axes| rows_of(&axes).map(|rows| Choice { axes, rows })).collect()
}

/// The case's one node, its rows counted by a symbol, and what it says of them; `None` if it does not take such operands.
fn granted(case: &Case, choice: &Choice) -> Option<(Graph, Vec<Option<usize>>)> {
    let mut graph = Graph::new("case");
    let size = Dim::symbol(graph.symbol("rows"));
    let mut ids: Vec<Option<ValueId>> = Vec::new();
    for (index, (input, axis)) in case.inputs.iter().zip(&choice.axes).enumerate() {
        ids.push(match input {
            CaseInput::Value(tensor) => {
                let mut dims: Vec<Dim> = tensor.shape().iter().map(|&dim| Dim::from(dim)).collect();
                if let Some(axis) = axis {
                    dims[*axis] = size.clone();
                }
                Some(graph.input(format!("x{index}"), tensor.dtype(), Shape::new(dims)))
            }
            CaseInput::Constant(tensor) => Some(graph.constant(format!("c{index}"), tensor.clone())),
            CaseInput::Absent => None,
        });
    }
    let outputs = graph.node("node", case.op.clone(), ids.clone()).ok()?;
    for (index, id) in outputs.iter().enumerate() {
        graph.output(format!("y{index}"), *id);
    }
    let axes = case.op.batch_axes(&Inputs::new(&graph, &ids), &choice.axes, &size)?;
    graph.set_batching(Batching::Single { reason: "rows are put together by hand".into() });
    Some((graph, axes))
}

/// Row `row` along `axis`, which stays with a size of one.
fn row_of(tensor: &Tensor, axis: usize, row: usize) -> Tensor {
    let mut shape = tensor.shape().to_vec();
    if let Ok(texts) = tensor.as_strings() {
        let inner = shape[axis + 1..].iter().product::<usize>();
        let own = texts.chunks(inner.max(1)).skip(row).step_by(shape[axis]).flatten().copied();
        shape[axis] = 1;
        return Tensor::from_strings(shape, &own.collect::<Vec<_>>()).unwrap();
    }
    let inner: usize = shape[axis + 1..].iter().product::<usize>() * tensor.dtype().size();
    let bytes = tensor.bytes().chunks(inner.max(1)).skip(row).step_by(shape[axis]).flatten().copied();
    shape[axis] = 1;
    Tensor::from_bytes(tensor.dtype(), shape, &bytes.collect::<Vec<u8>>()).unwrap()
}

fn run(session: &Session, case: &Case, pick: impl Fn(usize, &Tensor) -> Tensor) -> gristmill::Result<Vec<Tensor>> {
    let mut inputs = Tensors::new();
    for (index, input) in case.inputs.iter().enumerate() {
        if let CaseInput::Value(tensor) = input {
            inputs.insert(format!("x{index}"), pick(index, tensor));
        }
    }
    Ok(session.run(&inputs)?.iter().map(|(_, tensor)| tensor.clone()).collect())
}

/// The same bits, or both not a number: its sign and payload are nobody's.
fn same(a: &Tensor, b: &Tensor) -> bool {
    if a.dtype() != DType::F32 || a.shape() != b.shape() {
        return a == b;
    }
    let (a, b) = (a.as_slice::<f32>().unwrap(), b.as_slice::<f32>().unwrap());
    a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()))
}

/// Where rows that are said not to meet do.
fn meeting(case: &Case, choice: &Choice) -> Option<Result<(), String>> {
    let (graph, axes) = granted(case, choice)?;
    let session = Session::load(graph, &SessionOptions::on(Device::Cpu)).ok()?;
    let whole = run(&session, case, |_, tensor| tensor.clone()).ok()?;
    let wrong = |what: String| Some(Err(format!("`{}`, rows along {:?}: {what}", case.name, choice.axes)));
    for row in 0..choice.rows {
        let pick = |index: usize, tensor: &Tensor| match choice.axes[index] {
            Some(axis) => row_of(tensor, axis, row),
            None => tensor.clone(),
        };
        let alone = match run(&session, case, pick) {
            Ok(alone) => alone,
            Err(error) => return wrong(format!("row {row} alone fails: {error}")),
        };
        for (index, (alone, (whole, axis))) in alone.iter().zip(whole.iter().zip(&axes)).enumerate() {
            if axis.is_some_and(|axis| whole.shape().get(axis) != Some(&choice.rows)) {
                return wrong(format!("output {index} has no {} rows along {axis:?}: {whole:?}", choice.rows));
            }
            let among = axis.map_or_else(|| whole.clone(), |axis| row_of(whole, axis, row));
            if !same(alone, &among) {
                return wrong(format!(
                    "row {row} of output {index} along {axis:?} is {alone:?} alone, {among:?} among the others"
                ));
            }
        }
    }
    Some(Ok(()))
}

#[test]
fn a_row_alone_gives_what_it_gives_among_others() {
    let (mut failures, mut never, mut count) = (Vec::new(), Vec::new(), 0);
    for def in ops::all().iter().filter(|def| !matches!(def.cpu, CpuState::Folded)) {
        let mut held = 0;
        for case in (def.cases)() {
            for outcome in choices(&case).iter().filter_map(|choice| meeting(&case, choice)) {
                match outcome {
                    Ok(()) => held += 1,
                    Err(what) => failures.push(format!("{} {what}", def.name)),
                }
            }
        }
        count += held;
        // Operators on sequences have no cases.
        if held == 0 && !(def.cases)().is_empty() {
            never.push(def.name);
        }
    }
    println!("{count} choices of axes");
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(never, NEVER);
}
