//! The self-test of cooperative matrices on a device.

use crate::{
    backend::{
        device::{DeviceSession, Engine},
        gpu::cooperative::{Matrices, Settled},
    },
    error::{Error, Result},
    graph::Graph,
    ops::product::matmul::MatMul,
    shape::Shape,
    tensor::{DType, RunStrings, Tensor},
};

/// Compares products of known numbers with those of the tiled kernel, repeatedly because a race shows only sometimes.
///
/// `load` loads a graph with weights in f16 on the device, with the given matrices.
///
/// # Errors
/// If products differ too much or two runs differ at all.
pub(super) fn run(way: Matrices, load: impl Fn(Graph, Option<Settled>) -> Result<Engine>) -> Result<()> {
    for k in DEPTHS {
        let want = products(&*load(product(k)?, None)?, k)?;
        let tested = load(product(k)?, Some(Ok(way)))?;
        let mut first: Option<Vec<f32>> = None;
        for _ in 0..REPEATS {
            let got = products(&*tested, k)?;
            let apart = error_of(&want, &got);
            if apart.is_nan() || apart >= MOST_APART {
                return Err(Error::internal(format!("squared error {apart:e} in products of {k} summands")));
            }
            if first.get_or_insert_with(|| got.clone()) != &got {
                return Err(Error::internal(format!("two runs differ in products of {k} summands")));
            }
        }
    }
    Ok(())
}

/// Rows and columns of the tested products: one whole tile, and one that reaches past the end.
const TESTED: [usize; 2] = [70, 80];
/// Numbers of summands of the tested products.
const DEPTHS: [usize; 4] = [16, 64, 768, 3072];
/// Runs of each product.
const REPEATS: usize = 4;
/// Maximum of the squared differences relative to the squares.
///
/// All factors are exact in f16, so only the order of summation differs.
const MOST_APART: f64 = 1e-8;

/// Numbers between -1 and 1 that are exact in f16.
fn numbers(count: usize, step: usize) -> Vec<f32> {
    (0..count).map(|i| (i * step % 61) as f32 / 32.0 - 0.9375).collect()
}

/// A product of `k` summands as a graph.
fn product(k: usize) -> Result<Graph> {
    let [m, n] = TESTED;
    let mut graph = Graph::new("self-test");
    let x = graph.input("x", DType::F32, Shape::fixed(&[m, k]));
    let w = graph.constant("w", Tensor::new([k, n], &numbers(k * n, 37))?);
    let y = graph.apply("product", MatMul {}, &[x, w])?;
    graph.output("y", y);
    Ok(graph)
}

/// Runs the product of `k` summands.
fn products(session: &dyn DeviceSession, k: usize) -> Result<Vec<f32>> {
    let x = numbers(TESTED[0] * k, 29);
    let write = |_: usize, bytes: &mut [u8], _: &mut RunStrings| {
        bytes.copy_from_slice(bytemuck::cast_slice(&x));
        Ok(())
    };
    session.run_to(&|_| Ok(()), &write, &|_| None, |outputs| Ok(bytemuck::pod_collect_to_vec(outputs.get(0).1)))
}

/// The squared differences relative to the squares.
fn error_of(want: &[f32], got: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let apart: f64 = want.iter().zip(got).map(|(want, got)| square(want - got)).sum();
    apart / want.iter().copied().map(square).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_measured() {
        assert!(error_of(&[1.0, 2.0], &[1.0, 2.0]) < MOST_APART);
        assert!(error_of(&[1.0, 2.0], &[1.0, 2.01]) > MOST_APART);
        assert!(error_of(&[1.0, 2.0], &[1.0, f32::NAN]).is_nan());
    }
}
