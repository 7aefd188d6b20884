//! The forms of a model that are loaded first, and those that a sample may prefer.

use crate::{
    backend::{
        choice::{Candidates, Choice, Form, Rival, Rounded},
        device::Engine,
        load::Loaded,
        options::{Device, Precision, SessionOptions},
    },
    error::{Error, Result},
    graph::Graph,
    kernels::{KernelSet, gemm::Factors},
};

/// The arithmetic of the first form that is loaded.
pub(super) struct Arithmetic {
    /// The precision asked for; f32 where a sample decides.
    precision: Precision,
    /// How the CPU holds the factors of products.
    pub factors: Factors,
    pub kernel_set: KernelSet,
}

impl Arithmetic {
    /// Checks the precision against the device and selects the kernel set.
    ///
    /// # Errors
    /// If the device does not support the precision.
    pub(super) fn of(options: &SessionOptions, notes: &mut Vec<String>) -> Result<Self> {
        let (precision, factors) = precision(options)?;
        let kernel_set = options.kernel_set.unwrap_or_else(|| match factors {
            Factors::F32 => KernelSet::detect(),
            Factors::Bf16 => KernelSet::detect_bf16(),
            Factors::Bytes | Factors::Words => KernelSet::detect_int8(),
        });
        let factors = if factors.are_integers() { Factors::integers(kernel_set) } else { factors };
        if factors != Factors::F32 && options.kernel_set.is_none() {
            notes.extend(KernelSet::refused_amx().map(str::to_owned));
        }
        if factors == Factors::Bf16 && !kernel_set.has_bf16() {
            notes.push(format!("bf16 is emulated by the kernel set {kernel_set}: no faster than f32"));
        }
        Ok(Self { precision, factors, kernel_set })
    }
}

/// The precision to load first, and how the CPU holds the factors of products in it.
fn precision(options: &SessionOptions) -> Result<(Precision, Factors)> {
    match options.precision {
        Precision::F32 => Ok((Precision::F32, Factors::F32)),
        Precision::Bf16 if options.device == Device::Gpu => {
            Err(Error::unsupported("precision bf16 is built on the cpu only; on a gpu use f32 or f16"))
        }
        Precision::Bf16 => Ok((Precision::Bf16, Factors::Bf16)),
        Precision::Int8 if options.device == Device::Gpu => {
            Err(Error::unsupported("precision int8 is built on the cpu only; on a gpu use f32 or f16"))
        }
        Precision::Int8 => Ok((Precision::Int8, Factors::Bytes)),
        Precision::F16 if options.device == Device::Cpu => {
            Err(Error::unsupported("precision f16 is built on a gpu only; on the cpu use f32, bf16 or int8"))
        }
        Precision::F16 => Ok((Precision::F16, Factors::F32)),
        Precision::Auto { min_cosine } if !(-1.0..=1.0).contains(&min_cosine) => {
            Err(Error::invalid_input(format!("a least cosine of {min_cosine}; it is within -1 and 1")))
        }
        Precision::Auto { .. } => Ok((Precision::F32, Factors::F32)),
    }
}

/// The choice between the loaded forms and those that can be made of `original`.
///
/// Also returns the precision if no sample decides it.
pub(super) fn choice(
    loaded: Loaded,
    original: Option<Graph>,
    options: &SessionOptions,
    arithmetic: &Arithmetic,
    notes: &mut Vec<String>,
) -> (Choice, Option<Precision>) {
    let Loaded { engine, gpu } = loaded;
    let &Arithmetic { precision, kernel_set, .. } = arithmetic;
    let on_cpu = engine.report().device == "cpu";
    let own_precision = if precision == Precision::F16 && on_cpu { Precision::F32 } else { precision };
    let note = (own_precision != precision).then(|| "precision f32: f16 is built on a gpu only".to_owned());
    let (rounded, gpu_rounded) = reduced_forms(original, options, kernel_set, on_cpu, gpu.is_some());
    let is_known = rounded.is_empty() && (gpu.is_none() || own_precision == precision);
    let known_precision = is_known.then_some(own_precision);
    if rounded.is_empty() && gpu.is_none() {
        notes.extend(note);
        return (Choice::fixed(engine, own_precision), known_precision);
    }
    let own = Form { engine, precision: own_precision, note };
    let rival = |engine: Engine| Rival {
        engine,
        precision,
        rounded: gpu_rounded,
        favoured: options.gpu.hooks.favoured.unwrap_or(1),
    };
    (Choice::between(Candidates { own, rounded, gpu: gpu.map(rival) }), known_precision)
}

/// The reduced-precision rivals of the own form and of the GPU's, for `Precision::Auto`.
fn reduced_forms(
    original: Option<Graph>,
    options: &SessionOptions,
    kernel_set: KernelSet,
    on_cpu: bool,
    has_gpu: bool,
) -> (Vec<Rounded>, Option<Rounded>) {
    let (Precision::Auto { min_cosine }, Some(graph)) = (options.precision, original) else {
        return (Vec::new(), None);
    };
    if !on_cpu {
        return (vec![Rounded::f16(graph, options, kernel_set, min_cosine)], None);
    }
    let on_gpu = has_gpu.then(|| Rounded::f16(graph.clone(), options, kernel_set, min_cosine));
    let set = |detect: fn() -> KernelSet| options.kernel_set.unwrap_or_else(detect);
    let on_cpu = vec![
        Rounded::bf16(graph.clone(), options, set(KernelSet::detect_bf16), min_cosine),
        Rounded::int8(graph, options, set(KernelSet::detect_int8), min_cosine),
    ];
    (on_cpu, on_gpu)
}
