//! Whether a device uses cooperative matrices: if requested, offered by the adapter and tested.

use crate::{backend::options::GpuOptions, error::Result};

/// How cooperative matrices are multiplied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matrices {
    /// By the adapter's instructions.
    Instructions,
    /// By loops that emulate the instructions, for tests.
    Loops,
}

/// How cooperative matrices are multiplied, or why they are not used.
pub(crate) type Settled = std::result::Result<Matrices, String>;

/// The features of a device that the instructions need.
pub(super) fn features() -> wgpu::Features {
    wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16
}

/// Enables wgpu's experimental features if the adapter's instructions are to be used.
#[allow(unsafe_code, reason = "wgpu calls cooperative matrices experimental")]
pub(super) fn agreement(matrices: &Settled) -> wgpu::ExperimentalFeatures {
    match matrices {
        // SAFETY: the caller has opted in to cooperative matrices. The only shader that uses them is the library's own
        // and keeps every matrix within what it binds; the device is tested before the first use.
        Ok(Matrices::Instructions) => unsafe { wgpu::ExperimentalFeatures::enabled() },
        _ => wgpu::ExperimentalFeatures::disabled(),
    }
}

/// Returns what the adapter offers, if the options request it.
pub(super) fn offered(options: &GpuOptions, handle: &wgpu::Adapter) -> Settled {
    if !options.cooperative_matrices {
        return Err("they were not asked for".to_owned());
    }
    if options.hooks.emulated_matrices {
        return Ok(Matrices::Loops);
    }
    let info = handle.get_info();
    let subgroups = [info.subgroup_min_size, info.subgroup_max_size];
    missing(handle.features(), subgroups, &handle.cooperative_matrix_properties())
        .map_or(Ok(Matrices::Instructions), |what| Err(what.to_owned()))
}

/// Returns what an adapter lacks for the shader, if anything.
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

/// Decides to use what is offered unless it fails `test`.
pub(super) fn settle(offered: &Settled, test: impl FnOnce(Matrices) -> Result<()>) -> Settled {
    let way = offered.clone()?;
    match test(way) {
        Ok(()) => Ok(way),
        Err(error) => Err(format!("the self-test failed: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn what_is_missing_is_named() {
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
        let text = |has, subgroups, properties| missing(has, subgroups, properties).unwrap_or_default();
        assert_eq!(missing(features(), [32, 32], &fits), None);
        assert!(text(wgpu::Features::SHADER_F16, [32, 32], &fits).contains("has none"));
        assert!(text(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX, [32, 32], &fits).contains("16 bits"));
        assert!(text(features(), [16, 32], &fits).contains("subgroups"));
        assert!(text(features(), [32, 32], &halves).contains("sums in f32"));
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
}
