//! What exporters write as many nodes becomes one, and the results stay.

use approx::assert_abs_diff_eq;
use gristmill::{
    DType, Device, Session, SessionOptions, Tensor, Tensors,
    testing::{
        graph::{Graph, ValueId},
        ops::{
            conv::Conv,
            index::gather::{Gather, OutOfRange},
            moves::{expand::Expand, reshape::Reshape, transpose::Transpose},
            norm::softmax::Softmax,
            pointwise::{Binary, BinaryFunction, Unary, UnaryFunction, cast::Cast},
            pool::{GlobalPool, PoolFunction},
            product::matmul::MatMul,
            reduce::{Reduce, ReduceFunction},
        },
        shape::{Dim, Shape},
    },
};

/// A graph under construction, with short names for what exporters write.
struct Sketch(Graph);

impl Sketch {
    fn new() -> Self {
        Self(Graph::new("sketch"))
    }
    fn input(&mut self, name: &str, dims: &[usize]) -> ValueId {
        let batch = Dim::symbol(self.0.symbol("batch"));
        let shape = std::iter::once(batch).chain(dims.iter().map(|&dim| Dim::from(dim))).collect();
        self.0.input(name, DType::F32, shape)
    }
    fn numbers(&mut self, shape: &[usize], seed: f32) -> ValueId {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count).map(|index| ((index as f32 + seed) * 0.7).sin()).collect();
        self.0.constant("numbers", Tensor::new(shape, &values).unwrap())
    }
    fn scalar(&mut self, value: f32) -> ValueId {
        self.0.constant("scalar", Tensor::scalar(value))
    }
    fn unary(&mut self, function: UnaryFunction, x: ValueId) -> ValueId {
        self.0.apply("unary", Unary { function }, &[x]).unwrap()
    }
    fn binary(&mut self, function: BinaryFunction, a: ValueId, b: ValueId) -> ValueId {
        self.0.apply("binary", Binary { function }, &[a, b]).unwrap()
    }
    fn mul(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.binary(BinaryFunction::Mul, a, b)
    }
    fn add(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.binary(BinaryFunction::Add, a, b)
    }
    fn reduce(&mut self, function: ReduceFunction, x: ValueId, axis: i64, keep_dims: bool) -> ValueId {
        self.0.apply("reduce", Reduce { function, axes: Some(vec![axis]), keep_dims }, &[x]).unwrap()
    }
    fn matmul(&mut self, a: ValueId, b: ValueId) -> ValueId {
        self.0.apply("product", MatMul {}, &[a, b]).unwrap()
    }
    fn transpose(&mut self, x: ValueId, perm: &[usize]) -> ValueId {
        self.0.apply("transpose", Transpose { perm: Some(perm.to_vec()) }, &[x]).unwrap()
    }

    /// Runs the graph as it is and rewritten, holds the results together, and gives the operators that are left.
    fn operators(mut self, output: ValueId) -> Vec<&'static str> {
        self.0.output("y", output);
        let inputs = self.0.inputs().iter().enumerate().fold(Tensors::new(), |inputs, (position, &id)| {
            let value = self.0.value(id);
            let shape: Vec<usize> =
                value.fact.shape.dims().iter().map(|d| d.as_fixed().unwrap_or(3) as usize).collect();
            let count: usize = shape.iter().product();
            let tensor = if value.fact.dtype == DType::F32 {
                let numbers: Vec<f32> = (0..count).map(|i| ((i * 7 + position) as f32 * 0.37).sin() * 2.0).collect();
                Tensor::new(shape, &numbers).unwrap()
            } else {
                // Ids within a table of five rows and on both sides of it.
                let ids: Vec<i32> = (0..count).map(|i| (i % 8) as i32 - 1).collect();
                Tensor::new(shape, &ids).unwrap()
            };
            inputs.with(value.name.as_str(), tensor)
        });
        let options = SessionOptions::on(Device::Cpu);
        let plain = Session::load(self.0.clone(), &options.clone().keep_graph()).unwrap();
        let rewritten = Session::load(self.0, &options).unwrap();
        let want = plain.run(&inputs).unwrap();
        let got = rewritten.run(&inputs).unwrap();
        let (got, want) = (got.get("y").unwrap(), want.get("y").unwrap());
        assert_eq!(got.shape(), want.shape());
        for (got, want) in got.as_slice::<f32>().unwrap().iter().zip(want.as_slice::<f32>().unwrap()) {
            assert_abs_diff_eq!(got, want, epsilon = 2e-5);
        }
        rewritten.graph().nodes().iter().map(|node| node.op.def().name).collect()
    }
}

fn gelu_erf(sketch: &mut Sketch, x: ValueId, root: f32) -> ValueId {
    let root = sketch.scalar(root);
    let argument = sketch.binary(BinaryFunction::Div, x, root);
    let erf = sketch.unary(UnaryFunction::Erf, argument);
    let one = sketch.scalar(1.0);
    let gate = sketch.add(erf, one);
    let product = sketch.mul(x, gate);
    let half = sketch.scalar(0.5);
    sketch.mul(product, half)
}

fn gelu_tanh(sketch: &mut Sketch, x: ValueId) -> ValueId {
    let [cubic, root, one, half] = [0.044_715, 0.797_884_6, 1.0, 0.5].map(|value| sketch.scalar(value));
    let a = sketch.mul(cubic, x);
    let b = sketch.mul(x, a);
    let c = sketch.mul(x, b);
    let sum = sketch.add(x, c);
    let argument = sketch.mul(root, sum);
    let tanh = sketch.unary(UnaryFunction::Tanh, argument);
    let gate = sketch.add(one, tanh);
    let gate = sketch.mul(half, gate);
    sketch.mul(x, gate)
}

#[test]
fn gelu_in_both_forms() {
    let mut sketch = Sketch::new();
    let x = sketch.input("x", &[7]);
    let y = gelu_erf(&mut sketch, x, std::f32::consts::SQRT_2);
    assert_eq!(sketch.operators(y), ["Gelu"]);
    let mut sketch = Sketch::new();
    let x = sketch.input("x", &[7]);
    let y = gelu_tanh(&mut sketch, x);
    assert_eq!(sketch.operators(y), ["GeluTanh"]);
}

#[test]
fn what_only_looks_like_gelu_stays() {
    let mut sketch = Sketch::new();
    let x = sketch.input("x", &[7]);
    let y = gelu_erf(&mut sketch, x, 1.5);
    assert!(!sketch.operators(y).contains(&"Gelu"));
}

#[test]
fn softmax_as_a_converter_writes_it() {
    let mut sketch = Sketch::new();
    let x = sketch.input("x", &[9]);
    let maximum = sketch.reduce(ReduceFunction::Max, x, 1, false);
    let infinity = sketch.scalar(f32::NEG_INFINITY);
    let maximum = sketch.binary(BinaryFunction::Max, infinity, maximum);
    let column = |sketch: &mut Sketch, value| {
        let batch = Dim::symbol(sketch.0.symbol("batch"));
        let shape = vec![batch.clone(), Dim::from(1)];
        let value = sketch.0.apply("reshape", Reshape { shape: shape.clone(), zero_copies: false }, &[value]).unwrap();
        sketch.0.apply("expand", Expand { shape }, &[value]).unwrap()
    };
    let maximum = column(&mut sketch, maximum);
    let difference = sketch.binary(BinaryFunction::Sub, x, maximum);
    let exponential = sketch.unary(UnaryFunction::Exp, difference);
    let sum = sketch.reduce(ReduceFunction::Sum, exponential, 1, false);
    let sum = column(&mut sketch, sum);
    let y = sketch.binary(BinaryFunction::Div, exponential, sum);
    assert_eq!(sketch.operators(y), ["Softmax"]);
}

#[test]
fn layer_norm_over_the_last_axis() {
    let mut sketch = Sketch::new();
    let x = sketch.input("x", &[5, 12]);
    let mean = sketch.reduce(ReduceFunction::Mean, x, -1, true);
    let difference = sketch.binary(BinaryFunction::Sub, x, mean);
    let two = sketch.scalar(2.0);
    let square = sketch.binary(BinaryFunction::Pow, difference, two);
    let variance = sketch.reduce(ReduceFunction::Mean, square, -1, true);
    let epsilon = sketch.scalar(1e-5);
    let sum = sketch.add(variance, epsilon);
    let root = sketch.unary(UnaryFunction::Sqrt, sum);
    let normal = sketch.binary(BinaryFunction::Div, difference, root);
    let (scale, bias) = (sketch.numbers(&[12], 1.0), sketch.numbers(&[12], 2.0));
    let scaled = sketch.mul(normal, scale);
    let y = sketch.add(scaled, bias);
    assert_eq!(sketch.operators(y), ["LayerNormalization"]);
}

#[test]
fn layer_norm_over_a_middle_axis_from_sums_of_squares() {
    let mut sketch = Sketch::new();
    let x = sketch.input("x", &[8, 6]);
    let eighth = sketch.scalar(0.125);
    let sum = sketch.reduce(ReduceFunction::Sum, x, 1, false);
    let square = sketch.mul(x, x);
    let squares = sketch.reduce(ReduceFunction::Sum, square, 1, false);
    let squares = sketch.mul(squares, eighth);
    let mean = sketch.mul(sum, eighth);
    let squared_mean = sketch.mul(mean, mean);
    let variance = sketch.binary(BinaryFunction::Sub, squares, squared_mean);
    let zero = sketch.scalar(0.0);
    let variance = sketch.binary(BinaryFunction::Max, zero, variance);
    let batch = Dim::symbol(sketch.0.symbol("batch"));
    let row = Reshape { shape: vec![batch, Dim::from(1), Dim::from(6)], zero_copies: false };
    let variance = sketch.0.apply("row", row.clone(), &[variance]).unwrap();
    let epsilon = sketch.scalar(1e-6);
    let variance = sketch.add(variance, epsilon);
    let root = sketch.unary(UnaryFunction::Sqrt, variance);
    let inverse = sketch.unary(UnaryFunction::Reciprocal, root);
    let scale = sketch.numbers(&[1, 8, 1], 3.0);
    let factor = sketch.mul(inverse, scale);
    let mean = sketch.0.apply("row", row, &[mean]).unwrap();
    let difference = sketch.binary(BinaryFunction::Sub, x, mean);
    let product = sketch.mul(difference, factor);
    let bias = sketch.numbers(&[1, 8, 1], 4.0);
    let y = sketch.add(product, bias);
    assert_eq!(sketch.operators(y), ["LayerNormalization"]);
}

#[test]
fn a_one_hot_product_and_what_follows_is_one_look_up() {
    let mut sketch = Sketch::new();
    let batch = Dim::symbol(sketch.0.symbol("batch"));
    let shape: Shape = [batch.clone(), Dim::from(4), Dim::from(1)].into_iter().collect();
    let ids = sketch.0.input("ids", DType::I32, shape);
    let expand = Expand { shape: vec![batch, Dim::from(4), Dim::from(5)] };
    let ids = sketch.0.apply("expand", expand, &[ids]).unwrap();
    let range = sketch.0.constant("range", Tensor::new([1, 1, 5], &[0i32, 1, 2, 3, 4]).unwrap());
    let hot = sketch.binary(BinaryFunction::Equal, ids, range);
    let hot = sketch.0.apply("cast", Cast { to: DType::F32 }, &[hot]).unwrap();
    let table = sketch.numbers(&[5, 6], 1.0);
    let rows = sketch.matmul(hot, table);
    let bias = sketch.numbers(&[1, 1, 6], 2.0);
    let sum = sketch.add(rows, bias);
    let y = gelu_tanh(&mut sketch, sum);
    let left = sketch.operators(y);
    assert_eq!(left, ["Reshape", "Gather"]);
}

#[test]
fn a_product_takes_what_follows_it() {
    let mut sketch = Sketch::new();
    let x = sketch.input("x", &[6, 16]);
    let (weights, bias) = (sketch.numbers(&[16, 24], 1.0), sketch.numbers(&[24], 2.0));
    let product = sketch.matmul(x, weights);
    let hidden = sketch.add(bias, product);
    let hidden = gelu_erf(&mut sketch, hidden, std::f32::consts::SQRT_2);
    let (weights, bias) = (sketch.numbers(&[24, 16], 3.0), sketch.numbers(&[16], 4.0));
    let product = sketch.matmul(hidden, weights);
    let sum = sketch.add(product, bias);
    let y = sketch.add(sum, x);
    assert_eq!(sketch.operators(y), ["Linear", "Linear"]);
}

#[test]
fn a_value_that_others_use_is_not_taken() {
    let mut sketch = Sketch::new();
    let x = sketch.input("x", &[6, 16]);
    let weights = sketch.numbers(&[16, 16], 1.0);
    let product = sketch.matmul(x, weights);
    let active = sketch.unary(UnaryFunction::Relu, product);
    let y = sketch.add(active, product);
    let left = sketch.operators(y);
    assert_eq!(left[0], "Linear");
    assert!(left.len() > 1, "{left:?}");
}

#[test]
fn attention_from_its_parts() {
    let (heads, size) = (2, 4);
    let mut sketch = Sketch::new();
    let x = sketch.input("x", &[5, heads * size]);
    let batch = Dim::symbol(sketch.0.symbol("batch"));
    let split = Reshape { shape: vec![batch, Dim::from(5), Dim::from(heads), Dim::from(size)], zero_copies: false };
    let head = |sketch: &mut Sketch, seed: f32, perm: &[usize]| {
        let weights = sketch.numbers(&[heads * size, heads * size], seed);
        let product = sketch.matmul(x, weights);
        let product = sketch.0.apply("split", split.clone(), &[product]).unwrap();
        sketch.transpose(product, perm)
    };
    let q = head(&mut sketch, 1.0, &[0, 2, 1, 3]);
    let k = head(&mut sketch, 2.0, &[0, 2, 3, 1]);
    let v = head(&mut sketch, 3.0, &[0, 2, 1, 3]);
    let scores = sketch.matmul(q, k);
    let two = sketch.scalar(2.0);
    let scores = sketch.binary(BinaryFunction::Div, scores, two);
    let mask = sketch.numbers(&[1, 1, 1, 5], 9.0);
    let scores = sketch.add(scores, mask);
    let weights = sketch.0.apply("softmax", Softmax::over(3), &[scores]).unwrap();
    let y = sketch.matmul(weights, v);
    let left = sketch.operators(y);
    assert!(left.contains(&"Attention") && !left.contains(&"MatMul") && !left.contains(&"Softmax"), "{left:?}");
}

#[test]
fn a_convolution_of_one_dimension_with_channels_last_and_a_maximum() {
    let mut sketch = Sketch::new();
    let x = sketch.input("x", &[9, 6]);
    let batch = Dim::symbol(sketch.0.symbol("batch"));
    let shape = vec![batch.clone(), Dim::from(9), Dim::from(6), Dim::from(1)];
    let x = sketch.0.apply("unsqueeze", Reshape { shape, zero_copies: false }, &[x]).unwrap();
    let x = sketch.transpose(x, &[0, 2, 1, 3]);
    let weights = sketch.numbers(&[4, 6, 3, 1], 1.0);
    let y = sketch.0.apply("conv", Conv::new(vec![3, 1]), &[x, weights]).unwrap();
    let shape = vec![batch, Dim::from(4), Dim::from(7)];
    let y = sketch.0.apply("squeeze", Reshape { shape, zero_copies: false }, &[y]).unwrap();
    let bias = sketch.numbers(&[1, 4, 1], 2.0);
    let y = sketch.add(y, bias);
    let y = gelu_tanh(&mut sketch, y);
    let y = sketch.0.apply("max", GlobalPool { function: PoolFunction::Max }, &[y]).unwrap();
    assert_eq!(sketch.operators(y), ["Conv", "Reshape"]);
}

/// `(x - mean) / sqrt(variance(x) + 1)` of nine numbers in rows, where the variance comes from elsewhere.
fn normalized(variance: impl Fn(&mut Sketch, ValueId, ValueId) -> ValueId) -> Vec<&'static str> {
    let mut sketch = Sketch::new();
    let x = sketch.0.input("x", DType::F32, Shape::fixed(&[3, 3]));
    let mean = sketch.reduce(ReduceFunction::Mean, x, -1, true);
    let difference = sketch.binary(BinaryFunction::Sub, x, mean);
    let variance = variance(&mut sketch, x, difference);
    let one = sketch.scalar(1.0);
    let sum = sketch.add(variance, one);
    let root = sketch.unary(UnaryFunction::Sqrt, sum);
    let y = sketch.binary(BinaryFunction::Div, difference, root);
    sketch.operators(y)
}

#[test]
fn a_variance_that_lies_along_the_columns_is_no_layer_norm() {
    let kept = normalized(|sketch, _, difference| {
        let square = sketch.mul(difference, difference);
        sketch.reduce(ReduceFunction::Mean, square, -1, true)
    });
    assert_eq!(kept, ["LayerNormalization"]);
    let lost = normalized(|sketch, _, difference| {
        let square = sketch.mul(difference, difference);
        sketch.reduce(ReduceFunction::Mean, square, -1, false)
    });
    assert!(!lost.contains(&"LayerNormalization"), "{lost:?}");
    let expanded = normalized(|sketch, _, difference| {
        let square = sketch.mul(difference, difference);
        let variance = sketch.reduce(ReduceFunction::Mean, square, -1, false);
        sketch.0.apply("expand", Expand { shape: vec![Dim::from(3), Dim::from(3)] }, &[variance]).unwrap()
    });
    assert!(!expanded.contains(&"LayerNormalization"), "{expanded:?}");
}

#[test]
fn a_squared_mean_that_lies_along_the_columns_is_no_layer_norm() {
    let with_mean = |keep_dims: bool| {
        normalized(move |sketch, x, _| {
            let square = sketch.mul(x, x);
            let squares = sketch.reduce(ReduceFunction::Mean, square, -1, true);
            let mean = sketch.reduce(ReduceFunction::Mean, x, -1, keep_dims);
            let squared_mean = sketch.mul(mean, mean);
            sketch.binary(BinaryFunction::Sub, squares, squared_mean)
        })
    };
    assert_eq!(with_mean(true), ["LayerNormalization"]);
    let lost = with_mean(false);
    assert!(!lost.contains(&"LayerNormalization"), "{lost:?}");
}

#[test]
fn a_sum_that_lies_along_the_columns_is_no_softmax() {
    let mut sketch = Sketch::new();
    let x = sketch.0.input("x", DType::F32, Shape::fixed(&[3, 3]));
    let column = |sketch: &mut Sketch, value, shape: &[usize]| {
        let shape: Vec<Dim> = shape.iter().map(|&dim| Dim::from(dim)).collect();
        sketch.0.apply("expand", Expand { shape }, &[value]).unwrap()
    };
    let maximum = sketch.reduce(ReduceFunction::Max, x, 1, true);
    let difference = sketch.binary(BinaryFunction::Sub, x, maximum);
    let exponential = sketch.unary(UnaryFunction::Exp, difference);
    let sum = sketch.reduce(ReduceFunction::Sum, exponential, 1, false);
    let sum = column(&mut sketch, sum, &[3, 3]);
    let y = sketch.binary(BinaryFunction::Div, exponential, sum);
    let left = sketch.operators(y);
    assert!(!left.contains(&"Softmax"), "{left:?}");
}

/// Attention of `[batch, 2, 5, 4]` on constant keys and values of these shapes.
fn attention_on(keys: &[usize], values: &[usize], size: f32) -> Vec<&'static str> {
    let mut sketch = Sketch::new();
    let q = sketch.input("q", &[2, 5, 4]);
    let (keys, values) = (sketch.numbers(keys, 1.0), sketch.numbers(values, 2.0));
    let size = sketch.scalar(size);
    let scores = sketch.matmul(q, keys);
    let scores = sketch.mul(scores, size);
    let weights = sketch.0.apply("softmax", Softmax::over(3), &[scores]).unwrap();
    let y = sketch.matmul(weights, values);
    sketch.operators(y)
}

#[test]
fn keys_and_values_that_items_share_are_not_attentions() {
    for (keys, values) in [
        (&[1, 2, 4, 7][..], &[1, 2, 7, 6][..]),
        (&[1, 1, 4, 7], &[1, 2, 7, 6]),
        (&[4, 7], &[1, 2, 7, 6]),
        (&[1, 2, 4, 7], &[7, 6]),
    ] {
        let left = attention_on(keys, values, 0.5);
        assert!(!left.contains(&"Attention"), "{left:?}");
    }
}

#[test]
fn attention_of_huge_scores_is_finite() {
    let mut sketch = Sketch::new();
    let dims = [1, 1, 1].map(Dim::from);
    let batch = Dim::symbol(sketch.0.symbol("batch"));
    let shape: Shape = std::iter::once(batch.clone()).chain(dims).collect();
    let q = sketch.0.input("q", DType::F32, shape);
    let pair = |sketch: &mut Sketch, name: &str, shape: [usize; 3]| {
        let shape: Shape = std::iter::once(batch.clone()).chain(shape.map(Dim::from)).collect();
        sketch.0.input(name, DType::F32, shape)
    };
    let (keys, values) = (pair(&mut sketch, "keys", [1, 1, 2]), pair(&mut sketch, "values", [1, 2, 1]));
    let huge = sketch.scalar(3.3e12);
    let (scale, scores) = (sketch.scalar(std::f32::consts::FRAC_1_SQRT_2), sketch.matmul(q, keys));
    let scores = sketch.mul(scores, scale);
    let scores = sketch.mul(scores, huge);
    let weights = sketch.0.apply("softmax", Softmax::over(3), &[scores]).unwrap();
    let y = sketch.matmul(weights, values);
    assert!(sketch.operators(y).contains(&"Attention"));
}

#[test]
fn a_row_that_no_look_up_reads_does_not_fail() {
    let mut graph = Graph::new("look-up");
    let n = Dim::symbol(graph.symbol("n"));
    let ids = graph.input("ids", DType::I64, [n].into_iter().collect());
    let table = graph.constant("table", Tensor::new([3], &[0i64, 5, 2]).unwrap());
    let ten = graph.constant("ten", Tensor::scalar(10i64));
    let rows = graph.apply("rows", Gather { axis: 0, outside: OutOfRange::Error }, &[table, ids]).unwrap();
    let y = graph.apply("quotient", Binary { function: BinaryFunction::Div }, &[ten, rows]).unwrap();
    graph.output("y", y);
    let session = Session::load(graph, &SessionOptions::on(Device::Cpu)).unwrap();
    let run = |ids: &[i64]| session.run(&Tensors::from([("ids", Tensor::new([ids.len()], ids).unwrap())]));
    assert_eq!(run(&[1, 2, 2]).unwrap().get("y").unwrap().as_slice::<i64>().unwrap(), [2, 5, 5]);
    assert!(run(&[0]).unwrap_err().to_string().contains("divisor"));
}

#[test]
fn a_constant_that_is_widened_to_a_dynamic_size_is_checked_at_run_time() {
    let mut graph = Graph::new("widened");
    let n = Dim::symbol(graph.symbol("n"));
    let x = graph.input("x", DType::F32, [n.clone()].into_iter().collect());
    let column = graph.constant("column", Tensor::new([4, 1], &[1f32, 2.0, 3.0, 4.0]).unwrap());
    let y = graph.apply("y", Expand { shape: vec![n, Dim::from(1)] }, &[column]).unwrap();
    graph.output("y", y);
    graph.output("x", x);
    let session = Session::load(graph, &SessionOptions::on(Device::Cpu)).unwrap();
    let run = |n: usize| session.run(&Tensors::from([("x", Tensor::new([n], &vec![0f32; n]).unwrap())]));
    for n in [1, 4] {
        assert_eq!(run(n).unwrap().get("y").unwrap().as_slice::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
    }
    assert!(run(3).is_err());
}
