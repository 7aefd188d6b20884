//! The kernels as plain loops in double precision.

#![allow(dead_code, reason = "each test file uses a part")]

/// Row-major `m x k` times `k x n`.
pub fn product(a: &[f32], b: &[f32], m: usize, n: usize, k: usize) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            for p in 0..k {
                c[i * n + j] += f64::from(a[i * k + p]) * f64::from(b[p * n + j]);
            }
        }
    }
    c
}

pub fn softmax(row: &mut [f64]) {
    let largest = row.iter().fold(f64::NEG_INFINITY, |a, &b| if b > a || b.is_nan() { b } else { a });
    row.iter_mut().for_each(|x| *x = (*x - largest).exp());
    let sum: f64 = row.iter().sum();
    row.iter_mut().for_each(|x| *x /= sum);
}

pub fn layer_norm(row: &mut [f64], scale: &[f32], bias: Option<&[f32]>, epsilon: f32) {
    let n = row.len() as f64;
    let mean = row.iter().sum::<f64>() / n;
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    for (i, x) in row.iter_mut().enumerate() {
        let bias = bias.map_or(0.0, |bias| f64::from(bias[i]));
        *x = (*x - mean) / (variance + f64::from(epsilon)).sqrt() * f64::from(scale[i]) + bias;
    }
}

/// By the series `2 / sqrt(pi) e^-x^2 (x + 2 x^3 / 3 + 4 x^5 / 15 + ...)`, whose terms are all of one sign.
pub fn erf(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut i) = (x, 0.0, 1.0);
    while sum + term != sum {
        sum += term;
        term *= 2.0 * x * x / (i + 2.0);
        i += 2.0;
    }
    sum * (-x * x).exp() * std::f64::consts::FRAC_2_SQRT_PI
}

pub fn gelu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { 0.0 } else { 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)) }
}

pub fn gelu_tanh(x: f64) -> f64 {
    if x < -1e6 { 0.0 } else { 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044715 * x * x * x)).tanh()) }
}

pub fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

pub fn silu(x: f64) -> f64 {
    if x == f64::NEG_INFINITY { 0.0 } else { x * sigmoid(x) }
}

/// `(q k^T scale + mask) softmaxed v` for one head: `q` is `m x d`, `k` and `v` are `s x d`, `mask` is `m x s`.
pub fn attention(q: &[f32], k: &[f32], v: &[f32], d: usize, scale: f32, mask: Option<&[f32]>) -> Vec<f64> {
    let (m, s) = (q.len() / d, k.len() / d);
    let mut out = Vec::new();
    for i in 0..m {
        let mut scores: Vec<f64> = (0..s)
            .map(|j| {
                let dot: f64 = (0..d).map(|p| f64::from(q[i * d + p]) * f64::from(k[j * d + p])).sum();
                dot * f64::from(scale) + mask.map_or(0.0, |mask| f64::from(mask[i * s + j]))
            })
            .collect();
        softmax(&mut scores);
        out.extend((0..d).map(|p| (0..s).map(|j| scores[j] * f64::from(v[j * d + p])).sum::<f64>()));
    }
    out
}
