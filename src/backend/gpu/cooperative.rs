//! Whether a device multiplies by cooperative matrices: asked for, offered, and tested before they are used.

use std::sync::Arc;

use crate::{
    backend::{
        device::DeviceSession,
        gpu::{GpuDevice, WeightFormat, session::GpuSession},
        options::GpuOptions,
    },
    error::{Error, Result},
    graph::Graph,
    kernels::KernelSet,
    ops::product::matmul::MatMul,
    shape::Shape,
    tensor::{DType, Tensor},
};

/// What multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matrices {
    /// The adapter's instructions.
    Instructions,
    /// Loops in their place, for tests.
    Loops,
}

/// What multiplies, or why nothing does.
pub(crate) type Settled = std::result::Result<Matrices, String>;

/// The features that the instructions need.
pub(super) fn features() -> wgpu::Features {
    wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16
}

/// The agreement to use what wgpu calls experimental, if `matrices` are to be its instructions.
#[allow(unsafe_code, reason = "wgpu asks for consent to its experimental features")]
pub(super) fn agreement(matrices: &Settled) -> wgpu::ExperimentalFeatures {
    match matrices {
        // SAFETY: the caller has opted in to cooperative matrices. The one shader that has them is the library's own and
        // keeps every matrix within what it binds; whether a device computes it rightly is tested before it is used.
        Ok(Matrices::Instructions) => unsafe { wgpu::ExperimentalFeatures::enabled() },
        _ => wgpu::ExperimentalFeatures::disabled(),
    }
}

/// What the adapter could multiply with, if the options ask for it.
pub(super) fn offered(options: &GpuOptions, handle: &wgpu::Adapter) -> Settled {
    if !options.cooperative_matrices {
        return Err("they were not asked for".to_owned());
    }
    if options.emulated_matrices {
        return Ok(Matrices::Loops);
    }
    let info = handle.get_info();
    let subgroups = [info.subgroup_min_size, info.subgroup_max_size];
    missing(handle.features(), subgroups, &handle.cooperative_matrix_properties())
        .map_or(Ok(Matrices::Instructions), |what| Err(what.to_owned()))
}

/// What an adapter lacks for the shader, if anything.
fn missing(
    has: wgpu::Features,
    subgroups: [u32; 2],
    properties: &[wgpu::CooperativeMatrixProperties],
) -> Option<&'static str> {
    use wgpu::CooperativeScalarType::{F16, F32};
    let fits = |own: &wgpu::CooperativeMatrixProperties| {
        (own.m_size, own.n_size, own.k_size, own.ab_type, own.cr_type) == (16, 16, 16, F16, F32)
            && !own.saturating_accumulation
    };
    if !has.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX) {
        return Some("the adapter has none");
    }
    if !has.contains(wgpu::Features::SHADER_F16) {
        return Some("the adapter has no numbers of 16 bits in shaders");
    }
    if subgroups != [32, 32] {
        return Some("the adapter's subgroups are not always of 32 invocations");
    }
    (!properties.iter().any(fits)).then_some("the adapter has none of 16 x 16 f16 with sums in f32")
}

/// What is used of what is offered: nothing that fails `test`.
fn settle(offered: &Settled, test: impl FnOnce(Matrices) -> Result<()>) -> Settled {
    let way = offered.clone()?;
    match test(way) {
        Ok(()) => Ok(way),
        Err(error) => Err(format!("the self-test failed: {error}")),
    }
}

impl GpuDevice {
    /// What multiplies on this device; tested on first need.
    pub fn matrices(self: &Arc<Self>) -> Settled {
        self.settled_matrices.get_or_init(|| settle(&self.offered_matrices, |way| self.test(way))).clone()
    }

    /// Compares products of known numbers with those of the tiled kernel, again and again: a race shows now and then.
    fn test(self: &Arc<Self>, way: Matrices) -> Result<()> {
        for k in DEPTHS {
            let session = |matrices| {
                GpuSession::load_on(self.clone(), product(k)?, KernelSet::PORTABLE, WeightFormat::F16, matrices)
            };
            let want = run(&session(None)?, k)?;
            let tested = session(Some(Ok(way)))?;
            let mut first: Option<Vec<f32>> = None;
            for _ in 0..REPEATS {
                let got = run(&tested, k)?;
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
}

/// Rows and columns of the products that are tested: a tile, and one that reaches past the end.
const TESTED: [usize; 2] = [70, 80];
/// Summands of the products that are tested.
const DEPTHS: [usize; 4] = [16, 64, 768, 3072];
const REPEATS: usize = 4;
/// The squared differences over the squares. All factors are exact in f16: only the order of sums differs.
const MOST_APART: f64 = 1e-8;

/// Numbers that f16 has, between -1 and 1.
fn numbers(count: usize, step: usize) -> Vec<f32> {
    (0..count).map(|i| (i * step % 61) as f32 / 32.0 - 0.9375).collect()
}

fn product(k: usize) -> Result<Graph> {
    let [m, n] = TESTED;
    let mut graph = Graph::new("self-test");
    let x = graph.input("x", DType::F32, Shape::fixed(&[m, k]));
    let w = graph.constant("w", Tensor::new([k, n], &numbers(k * n, 37))?);
    let y = graph.apply("product", MatMul {}, &[x, w])?;
    graph.output("y", y);
    Ok(graph)
}

fn run(session: &GpuSession, k: usize) -> Result<Vec<f32>> {
    let x = numbers(TESTED[0] * k, 29);
    let write = |_: usize, bytes: &mut [u8]| {
        bytes.copy_from_slice(bytemuck::cast_slice(&x));
        Ok(())
    };
    let session: &dyn DeviceSession = session;
    session.run_to(&|_| Ok(()), &write, |outputs| Ok(bytemuck::pod_collect_to_vec(outputs.get(0).1)))
}

fn error_of(want: &[f32], got: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let apart: f64 = want.iter().zip(got).map(|(want, got)| square(want - got)).sum();
    apart / want.iter().copied().map(square).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        let of = |m_size, cr_type| wgpu::CooperativeMatrixProperties {
            m_size,
            n_size: 16,
            k_size: 16,
            ab_type: wgpu::CooperativeScalarType::F16,
            cr_type,
            saturating_accumulation: false,
        };
        let fits = [of(8, wgpu::CooperativeScalarType::F32), of(16, wgpu::CooperativeScalarType::F32)];
        let halves = [of(16, wgpu::CooperativeScalarType::F16)];
        let told = |has, subgroups, properties| missing(has, subgroups, properties).unwrap_or_default();
        assert_eq!(missing(features(), [32, 32], &fits), None);
        assert!(told(wgpu::Features::SHADER_F16, [32, 32], &fits).contains("has none"));
        assert!(told(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, [32, 32], &fits).contains("16 bits"));
        assert!(told(features(), [16, 32], &fits).contains("subgroups"));
        assert!(told(features(), [32, 32], &halves).contains("sums in f32"));
    }

    #[test]
    fn what_fails_its_test_is_not_used() {
        let offered = Ok(Matrices::Instructions);
        assert_eq!(settle(&offered, |_| Ok(())), offered);
        let failed = settle(&offered, |_| Err(Error::internal("1 is not 2"))).unwrap_err();
        assert!(failed.contains("self-test failed") && failed.contains("1 is not 2"), "{failed}");
        let absent = settle(&Err("the adapter has none".to_owned()), |_| panic!("there is nothing to test"));
        assert_eq!(absent.unwrap_err(), "the adapter has none");
    }

    #[test]
    fn errors_are_seen() {
        assert!(error_of(&[1.0, 2.0], &[1.0, 2.0]) < MOST_APART);
        assert!(error_of(&[1.0, 2.0], &[1.0, 2.01]) > MOST_APART);
        assert!(error_of(&[1.0, 2.0], &[1.0, f32::NAN]).is_nan());
    }
}
