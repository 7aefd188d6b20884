//! Matrix products and attention.

pub mod attention;
pub mod gemm;
pub mod linear;
pub mod matmul;
