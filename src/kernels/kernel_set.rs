//! The instruction set that kernels use, chosen from the CPU's features or by name.

use std::fmt;

#[cfg(target_arch = "x86_64")]
use crate::kernels::amx::{Amx, amx};
use crate::{
    error::{Error, ErrorKind, Result},
    kernels::simd::{self, Kernel},
};

/// A compiled variant of every CPU kernel.
///
/// A value exists only on a CPU that can run it: holding one is the permission to use it. Results
/// are bit-identical within one set; between sets they differ by rounding.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KernelSet(Set);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512Amx,
    #[cfg(target_arch = "x86_64")]
    Avx512Bf16,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl KernelSet {
    /// The set for any CPU, vectorized by the compiler.
    pub const PORTABLE: Self = Self(Set::Portable);

    /// The fastest set that this CPU can run for products of f32.
    #[doc(hidden)]
    pub fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if simd::avx512::detected() {
                return Self(Set::Avx512);
            }
            if simd::avx2::detected() {
                return Self(Set::Avx2);
            }
        }
        Self::PORTABLE
    }

    /// The fastest set that this CPU can run for products of bf16.
    #[doc(hidden)]
    pub fn detect_bf16() -> Self {
        Self::available_bf16().first().copied().unwrap_or(Self::PORTABLE)
    }

    /// The fastest set that this CPU can run for products of 8-bit integers.
    #[doc(hidden)]
    pub fn detect_int8() -> Self {
        Self::available_int8().first().copied().unwrap_or(Self::PORTABLE)
    }

    /// Every set that this CPU can run for products of 8-bit integers, the fastest first.
    #[doc(hidden)]
    pub fn available_int8() -> Vec<Self> {
        let names = ["avx512-amx", "avx512-bf16", "avx512-vnni", "avx512", "avx2-vnni", "avx2", "portable"];
        names.into_iter().filter_map(|name| Self::named(name).ok()).collect()
    }

    /// Every set that this CPU can run for products of f32, the fastest first.
    pub fn available() -> Vec<Self> {
        ["avx512", "avx2", "portable"].into_iter().filter_map(|name| Self::named(name).ok()).collect()
    }

    /// Every set that this CPU can run, for products of bf16, the fastest first.
    #[doc(hidden)]
    pub fn available_bf16() -> Vec<Self> {
        let own = ["avx512-amx", "avx512-bf16"].into_iter().filter_map(|name| Self::named(name).ok());
        own.chain(Self::available()).collect()
    }

    /// Whether the set has instructions for products of bf16.
    ///
    /// Without, they are emulated and no faster than products of f32.
    #[doc(hidden)]
    pub fn has_bf16(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Amx | Set::Avx512Bf16 => true,
            _ => false,
        }
    }

    /// The set of as many lanes with the fastest exact products of integers, whose bits are the same.
    pub(crate) fn for_integers(self) -> Self {
        let better: &[&str] = match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 | Set::Avx512Vnni | Set::Avx512Bf16 => &["avx512-amx", "avx512-vnni"],
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => &["avx2-vnni"],
            _ => &[],
        };
        better.iter().find_map(|name| Self::named(name).ok()).unwrap_or(self)
    }

    /// Whether the set has an instruction that multiplies four bytes at a time.
    pub(crate) fn has_vnni(self) -> bool {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Amx | Set::Avx512Bf16 | Set::Avx512Vnni | Set::Avx2Vnni => true,
            _ => false,
        }
    }

    /// Whether its kernels have sixteen lanes.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn has_avx512(self) -> bool {
        matches!(self.0, Set::Avx512Amx | Set::Avx512Bf16 | Set::Avx512Vnni | Set::Avx512)
    }

    /// Whether the set has AMX tiles of bf16.
    pub(crate) fn has_amx(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self.0 == Set::Avx512Amx;
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// Steps of K in one instruction, of pairs of bf16 or of four bytes.
    pub(crate) fn steps_at_once(self) -> usize {
        if self.has_amx() { 16 } else { 1 }
    }

    /// The reason why a faster set for bf16 and bytes is not used although the processor supports it.
    pub(crate) fn refused_amx() -> Option<&'static str> {
        #[cfg(target_arch = "x86_64")]
        if simd::avx512::detected_bf16() && amx() == Amx::Refused {
            return Some("the system does not permit this process to use AMX: the next kernel set is used");
        }
        None
    }

    /// The set of AMX tiles on any processor with AVX-512 BF16; without AMX, plain loops emulate
    /// the tiles.
    #[cfg(all(test, target_arch = "x86_64"))]
    pub(crate) fn amx_for_tests() -> Option<Self> {
        simd::avx512::detected_bf16().then_some(Self(Set::Avx512Amx))
    }

    /// The set called `name`: `avx512-amx`, `avx512-bf16`, `avx512-vnni`, `avx512`, `avx2-vnni`,
    /// `avx2` or `portable`.
    ///
    /// The first three differ from `avx512`, and `avx2-vnni` from `avx2`, only for products of bf16
    /// and of 8-bit integers.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an unknown name, `Device` if this CPU lacks the instructions.
    pub fn named(name: &str) -> Result<Self> {
        let lacking = || {
            let message = format!("this CPU cannot run the kernel set `{name}`; `portable` runs everywhere");
            Err(Error::new(ErrorKind::Device, message))
        };
        match name {
            #[cfg(target_arch = "x86_64")]
            "avx512-amx" if simd::avx512::detected_bf16() && amx() == Amx::Ready => Ok(Self(Set::Avx512Amx)),
            #[cfg(target_arch = "x86_64")]
            "avx512-bf16" if simd::avx512::detected_bf16() => Ok(Self(Set::Avx512Bf16)),
            #[cfg(target_arch = "x86_64")]
            "avx512-vnni" if simd::avx512::detected_vnni() => Ok(Self(Set::Avx512Vnni)),
            #[cfg(target_arch = "x86_64")]
            "avx512" if simd::avx512::detected() => Ok(Self(Set::Avx512)),
            #[cfg(target_arch = "x86_64")]
            "avx2-vnni" if simd::avx2::detected_vnni() => Ok(Self(Set::Avx2Vnni)),
            #[cfg(target_arch = "x86_64")]
            "avx2" if simd::avx2::detected() => Ok(Self(Set::Avx2)),
            "avx512-amx" | "avx512-bf16" | "avx512-vnni" | "avx512" | "avx2-vnni" | "avx2" => lacking(),
            "portable" => Ok(Self::PORTABLE),
            _ => Err(Error::invalid_input(format!(
                "unknown kernel set `{name}`: one of avx512-amx, avx512-bf16, avx512-vnni, avx512, avx2-vnni, avx2, portable"
            ))),
        }
    }

    /// The name that [`named`](Self::named) accepts.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Amx => "avx512-amx",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Bf16 => "avx512-bf16",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni => "avx512-vnni",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2Vnni => "avx2-vnni",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            Set::Portable => "portable",
        }
    }

    /// Runs `kernel` compiled for this set.
    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            // SAFETY: a `KernelSet` of this variant is made only after its features were detected.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 | Set::Avx512Vnni | Set::Avx512Bf16 | Set::Avx512Amx => unsafe { simd::avx512::run(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 | Set::Avx2Vnni => unsafe { simd::avx2::run(kernel) },
            Set::Portable => simd::portable::run(kernel),
        }
    }

    /// As [`run`](Self::run), also with the set's instructions for products of bf16, if any.
    pub(crate) fn run_bf16<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            // SAFETY: as in `run`.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Bf16 | Set::Avx512Amx => unsafe { simd::avx512::run_bf16(kernel) },
            _ => self.run(kernel),
        }
    }

    /// As [`run`](Self::run), also with the set's instructions for products of bytes, if any.
    pub(crate) fn run_integers<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            // SAFETY: as in `run`.
            #[cfg(target_arch = "x86_64")]
            Set::Avx512Vnni | Set::Avx512Bf16 | Set::Avx512Amx => unsafe { simd::avx512::run_vnni(kernel) },
            // SAFETY: as in `run`.
            #[cfg(target_arch = "x86_64")]
            Set::Avx2Vnni => unsafe { simd::avx2::run_vnni(kernel) },
            _ => self.run(kernel),
        }
    }
}

impl fmt::Debug for KernelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for KernelSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
