//! Pointwise functions over a comb of all bit patterns.

use crate::oracle;
use crate::support::{assert_bits, each_set};
use gristmill::testing::kernels::Activation;
use gristmill::testing::kernels::simd::{map, map_in_place};

/// What is allowed: `ulp` units in the last place of the true result, or `absolute`, or `relative` to `max(1, |x|)`.
struct Bound {
    ulp: f64,
    absolute: f64,
    scaled: f64,
}

fn ulp(x: f64) -> f64 {
    let x = (x.abs() as f32).min(f32::MAX);
    f64::from(f32::from_bits(x.to_bits() + 1)) - f64::from(x)
}

#[track_caller]
fn check(activation: Activation, f: impl Fn(f64) -> f64, bound: Bound) {
    // A prime step visits every exponent and mantissas of all sorts.
    let mut x: Vec<f32> = (0..=u32::MAX).step_by(4099).map(f32::from_bits).collect();
    let mut near: Vec<f32> = (-120_000..120_000).map(|i| i as f32 * 1.0e-3 * 1.007).collect();
    x.append(&mut near);
    x.extend([0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::MIN, f32::from_bits(1)]);
    each_set(|set| {
        let mut y = vec![9.0; x.len()];
        map(set, activation, &x, &mut y).unwrap();
        let mut worst = (0.0, 0.0);
        for (&x, &y) in x.iter().zip(&y) {
            let wanted = f(f64::from(x));
            if x.is_nan() || wanted.is_nan() {
                assert!(y.is_nan(), "{set} {activation:?}({x:e}) is {y:e}");
                continue;
            }
            let rounded = wanted as f32;
            if y == rounded {
                continue;
            }
            let error = (f64::from(y) - wanted).abs();
            let fine = error <= bound.ulp * ulp(wanted)
                || error <= bound.absolute
                || error <= bound.scaled * f64::from(x).abs().max(1.0);
            assert!(fine, "{set} {activation:?}({x:e}) is {y:e}, not {wanted:e}: {} ulp", error / ulp(wanted));
            if wanted.abs() > 1e-36 && error / ulp(wanted) > worst.0 {
                worst = (error / ulp(wanted), f64::from(x));
            }
        }
        println!("{set} {activation:?}: {:.2} ulp at {:e}", worst.0, worst.1);
        map_in_place(set, activation, &mut y);
        let mut again = x.clone();
        map_in_place(set, activation, &mut again);
        map_in_place(set, activation, &mut again);
        if !matches!(activation, Activation::Exp | Activation::Reciprocal | Activation::Sqrt) {
            let nan = |x: &f32| if x.is_nan() { 0.0 } else { *x };
            let (y, again): (Vec<_>, Vec<_>) = (y.iter().map(nan).collect(), again.iter().map(nan).collect());
            assert_bits(&y, &again, "in place");
        }
    });
}

const fn within_ulp(ulp: f64) -> Bound {
    Bound { ulp, absolute: 0.0, scaled: 0.0 }
}

#[test]
fn exp_is_within_two_ulp() {
    check(Activation::Exp, f64::exp, within_ulp(2.0));
}

#[test]
fn erf_is_within_six_ulp() {
    check(Activation::Erf, oracle::erf, within_ulp(6.0));
}

#[test]
fn tanh_is_within_four_ulp() {
    check(Activation::Tanh, f64::tanh, within_ulp(4.0));
}

#[test]
fn gelus_are_within_their_bound() {
    check(Activation::Gelu, oracle::gelu, Bound { ulp: 0.0, absolute: 0.0, scaled: 3e-7 });
    check(Activation::GeluTanh, oracle::gelu_tanh, Bound { ulp: 0.0, absolute: 0.0, scaled: 3e-7 });
}

#[test]
fn sigmoid_and_silu_are_within_four_ulp_of_normal_results() {
    let bound = || Bound { ulp: 4.0, absolute: 1.2e-38, scaled: 0.0 };
    check(Activation::Sigmoid, oracle::sigmoid, bound());
    check(Activation::Silu, oracle::silu, Bound { absolute: 1e-36, ..bound() });
}

#[test]
fn plain_functions_are_exact() {
    check(Activation::None, |x| x, within_ulp(0.0));
    check(Activation::Relu, |x| if x < 0.0 { 0.0 } else { x }, within_ulp(0.0));
    check(Activation::Abs, f64::abs, within_ulp(0.0));
    check(Activation::Neg, |x| -x, within_ulp(0.0));
    check(Activation::Sqrt, f64::sqrt, within_ulp(0.5));
    check(Activation::Reciprocal, |x| 1.0 / x, within_ulp(0.5));
    check(Activation::LeakyRelu { slope: 0.25 }, |x| if x < 0.0 { x * 0.25 } else { x }, within_ulp(0.5));
    check(
        Activation::Clip { low: -1.5, high: 2.0 },
        |x| if x.is_nan() { x } else { x.clamp(-1.5, 2.0) },
        within_ulp(0.0),
    );
    let hard = |x: f64, alpha: f64, beta: f64| (alpha * x + beta).clamp(0.0, 1.0);
    let bound = || Bound { ulp: 1.0, absolute: 1e-7, scaled: 0.0 };
    check(Activation::HardSigmoid { alpha: 0.25, beta: 0.5 }, |x| hard(x, 0.25, 0.5), bound());
    check(
        Activation::HardSwish,
        |x| if x < -3.0 { 0.0 } else { x * hard(x, 1.0 / 6.0, 0.5) },
        Bound { scaled: 3e-7, ..bound() },
    );
}

#[test]
fn an_element_does_not_depend_on_its_place() {
    let x = crate::support::numbers(100, 7);
    each_set(|set| {
        for activation in [Activation::Gelu, Activation::Exp, Activation::Tanh] {
            let mut whole = x.clone();
            map_in_place(set, activation, &mut whole);
            for (i, &x) in x.iter().enumerate() {
                let mut one = [x];
                map_in_place(set, activation, &mut one);
                assert_bits(&one, &whole[i..][..1], "alone and in company");
            }
        }
    });
}

#[test]
fn lengths_that_differ_are_an_error() {
    each_set(|set| assert!(map(set, Activation::Relu, &[1.0], &mut []).is_err()));
}
