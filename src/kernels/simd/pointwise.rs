//! Functions of one number, over slices and in epilogues.

use crate::{
    error::{Error, Result},
    kernels::{
        Activation, KernelSet,
        simd::{Kernel, Simd, math},
    },
};

/// A pointwise function as a type, so that loops are compiled for each one.
pub(crate) trait Pointwise: Copy {
    /// The function. Implementors mark it `#[inline(always)]`.
    fn apply<S: Simd>(self, s: S, x: S::F) -> S::F;
}

/// [`Activation::Gelu`] as products of bf16 apply it.
#[derive(Clone, Copy)]
pub(crate) struct GeluNear;

impl Pointwise for GeluNear {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F) -> S::F {
        math::gelu_near(s, x)
    }
}

/// [`Activation::GeluTanh`] as products of bf16 apply it.
#[derive(Clone, Copy)]
pub(crate) struct GeluTanhNear;

impl Pointwise for GeluTanhNear {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F) -> S::F {
        math::gelu_tanh_near(s, x)
    }
}

macro_rules! functions {
    ($($name:ident $({ $($field:ident),* })? => |$s:ident, $x:ident| $body:expr;)*) => {
        /// One type for each [`Activation`].
        pub(crate) mod function {
            use crate::kernels::simd::pointwise::{Pointwise, Simd, math};
            $(
                #[derive(Clone, Copy)]
                pub(crate) struct $name { $($(pub(crate) $field: f32,)*)? }
                impl Pointwise for $name {
                    #[inline(always)]
                    fn apply<S: Simd>(self, $s: S, $x: S::F) -> S::F {
                        $(let Self { $($field),* } = self;)?
                        $body
                    }
                }
            )*
        }
        /// Evaluates `$body` with `$f` bound to the type of the activation.
        macro_rules! with_pointwise {
            ($activation:expr, $f:ident => $with:expr) => {
                match $activation {
                    $($crate::kernels::Activation::$name $({ $($field),* })? => {
                        let $f = $crate::kernels::simd::function::$name { $($($field),*)? };
                        $with
                    })*
                }
            };
        }
    };
}

functions! {
    None => |_s, x| x;
    Relu => |s, x| s.max(s.splat(0.0), x);
    LeakyRelu { slope } => |s, x| s.select_less(x, s.splat(0.0), s.mul(x, s.splat(slope)), x);
    Clip { low, high } => |s, x| s.min(s.splat(high), s.max(s.splat(low), x));
    Gelu => |s, x| math::gelu(s, x);
    GeluTanh => |s, x| math::gelu_tanh(s, x);
    Tanh => |s, x| math::tanh(s, x);
    Sigmoid => |s, x| math::sigmoid(s, x);
    Silu => |s, x| math::silu(s, x);
    HardSigmoid { alpha, beta } =>
        |s, x| s.min(s.splat(1.0), s.max(s.splat(0.0), s.fma(x, s.splat(alpha), s.splat(beta))));
    HardSwish => |s, x| {
        let x = s.max(s.splat(-4.0), x);
        s.mul(x, s.min(s.splat(1.0), s.max(s.splat(0.0), s.fma(x, s.splat(1.0 / 6.0), s.splat(0.5)))))
    };
    Requantized { scale, zero, least, most } => |s, x| {
        // Past all bytes, and near enough to be rounded.
        const FAR: f32 = 65_536.0;
        let x = s.max(s.splat(-FAR * scale), s.min(s.splat(FAR * scale), x));
        let byte = s.add(s.round(s.div_by(x, s.splat(scale), s.splat(1.0 / scale))), s.splat(zero));
        let byte = s.min(s.splat(most), s.max(s.splat(least), byte));
        s.mul(s.sub(s.select_nan(x, s.splat(0.0), byte), s.splat(zero)), s.splat(scale))
    };
    Exp => |s, x| math::exp(s, x);
    Erf => |s, x| math::erf(s, x);
    Abs => |s, x| s.abs(x);
    Neg => |s, x| s.neg(x);
    Sqrt => |s, x| s.sqrt(x);
    Reciprocal => |s, x| s.div(s.splat(1.0), x);
}
pub(crate) use with_pointwise;

/// Applies a function to `len` numbers.
struct Map<F> {
    f: F,
    from: *const f32,
    to: *mut f32,
    len: usize,
}

impl<F> Map<F> {
    /// # Safety
    /// `len` numbers are readable at `from` and writable at `to`, which may be the same.
    #[inline(always)]
    unsafe fn new(f: F, from: *const f32, to: *mut f32, len: usize) -> Self {
        Self { f, from, to, len }
    }
}

impl<F: Pointwise> Kernel for Map<F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Self { f, from, to, len } = self;
        let mut at = 0;
        // SAFETY: `new` requires `len` numbers on both sides; `at` stays below.
        unsafe {
            while at + S::LANES <= len {
                s.store(to.add(at), f.apply(s, s.load(from.add(at))));
                at += S::LANES;
            }
            if at < len {
                s.store_head(to.add(at), len - at, f.apply(s, s.load_head(from.add(at), len - at)));
            }
        }
    }
}

/// Writes `activation` of each element of `input` to `output`.
///
/// # Errors
///
/// `Internal` if the lengths differ.
pub fn map(set: KernelSet, activation: Activation, input: &[f32], output: &mut [f32]) -> Result<()> {
    if input.len() != output.len() {
        return Err(Error::internal(format!("{} numbers mapped to {}", input.len(), output.len())));
    }
    let (from, to, len) = (input.as_ptr(), output.as_mut_ptr(), input.len());
    with_pointwise!(activation, f => {
        // SAFETY: both slices have `len` numbers.
        set.run(unsafe { Map::new(f, from, to, len) });
    });
    Ok(())
}

/// Applies `activation` to each element in place.
pub fn map_in_place(set: KernelSet, activation: Activation, data: &mut [f32]) {
    let (to, len) = (data.as_mut_ptr(), data.len());
    with_pointwise!(activation, f => {
        // SAFETY: the slice has `len` numbers.
        set.run(unsafe { Map::new(f, to, to, len) });
    });
}
