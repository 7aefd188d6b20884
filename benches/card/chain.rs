//! Times of a product by the difference of a long and a short chain: what surrounds the products cancels out.

use std::time::Instant;

use gristmill::{
    DType, Session, SessionOptions, Tensor, Tensors,
    testing::{
        graph::Graph,
        ops::{
            moves::slice::{Part, Slice},
            pointwise::{Binary, BinaryFunction},
            product::matmul::MatMul,
        },
        shape::{Dim, Shape},
    },
};

use crate::{Failure, weights::Random};

/// A chain of products of a `rows x size` matrix with one constant `size x size` matrix.
///
/// The rows are made on the device from one, and one row comes back, so that little is transferred.
fn chain(rows: usize, size: usize, depth: usize, weights: &Tensor) -> Result<Graph, Failure> {
    let mut graph = Graph::new("chain");
    let x = graph.input("x", DType::F32, Shape::fixed(&[1, size]));
    let column = Tensor::new([rows, 1], &Random(7).vector(rows, 1.0))?;
    let column = graph.constant("column", column);
    let mut value = graph.apply("rows", Binary { function: BinaryFunction::Add }, &[x, column])?;
    let weights = graph.constant("w", weights.clone());
    for number in 0..depth {
        value = graph.apply(&format!("product {number}"), MatMul {}, &[value, weights])?;
    }
    let part = Part { axis: 0, start: Dim::from(0), end: Dim::from(1), step: 1 };
    let y = graph.apply("row", Slice { parts: vec![part] }, &[value])?;
    graph.output("y", y);
    Ok(graph)
}

/// Seconds of one product, and the kernel set that a session told.
pub fn product_seconds(
    (rows, size): (usize, usize),
    [short, long]: [usize; 2],
    options: &SessionOptions,
    weights: &Tensor,
) -> Result<(f64, gristmill::Description), Failure> {
    let inputs = Tensors::from([("x", Tensor::new([1, size], &Random(9).vector(size, 1.0))?)]);
    let mut seconds = [0.0; 2];
    let mut told = None;
    for (depth, seconds) in [short, long].into_iter().zip(&mut seconds) {
        let session = Session::load(chain(rows, size, depth, weights)?, &options.clone().keep_graph())?;
        *seconds = least_seconds(4, || session.run(&inputs).map(drop))?;
        told = Some(gristmill::Inference::describe(&session));
    }
    let each = (seconds[1] - seconds[0]) / (long - short) as f64;
    if each <= 0.0 {
        return Err(format!("{long} products took {:.2e} s, {short} took {:.2e} s", seconds[1], seconds[0]).into());
    }
    Ok((each, told.ok_or("there was no session")?))
}

/// The least time of a call that is repeated, after one that does not count.
pub fn least_seconds(times: usize, mut call: impl FnMut() -> gristmill::Result<()>) -> Result<f64, Failure> {
    call()?;
    let mut least = f64::INFINITY;
    for _ in 0..times {
        let started = Instant::now();
        call()?;
        least = least.min(started.elapsed().as_secs_f64());
    }
    Ok(least)
}
