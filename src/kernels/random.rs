//! Numbers that look random and depend on a seed and a place alone, so that each run draws the same ones.

/// The odd number that SplitMix64 adds for each draw: 2^64 over the golden ratio.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// 64 bits for a place (SplitMix64; Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
pub(crate) fn bits(seed: u64, place: u64) -> u64 {
    // Seeds are mixed too, as those of neighbouring numbers would give streams that overlap.
    mix(mix(seed.wrapping_add(STEP)).wrapping_add(place.wrapping_add(1).wrapping_mul(STEP)))
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// A number of [0, 1), one of 2^`digits` in equal distances, so that it is exact in a type with as many binary digits.
pub(crate) fn unit(seed: u64, place: u64, digits: u32) -> f64 {
    (bits(seed, place) >> (64 - digits)) as f64 / (1u64 << digits) as f64
}

/// A number of the normal distribution with mean 0 and deviation 1, by the method of Box and Muller.
pub(crate) fn normal(seed: u64, place: u64) -> f64 {
    let (radius, angle) = (1.0 - unit(seed, 2 * place, 53), unit(seed, 2 * place + 1, 53));
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: u64 = 200_000;

    /// Mean, deviation, and the correlation of each number with the next.
    fn moments(draw: impl Fn(u64) -> f64) -> [f64; 3] {
        let all: Vec<f64> = (0..COUNT).map(draw).collect();
        let mean = all.iter().sum::<f64>() / COUNT as f64;
        let variance = all.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / COUNT as f64;
        let beside = all.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>() / COUNT as f64;
        [mean, variance.sqrt(), beside / variance]
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        let close = |found: [f64; 3], mean: f64, deviation: f64| {
            let off = [found[0] - mean, found[1] - deviation, found[2]];
            assert!(off.iter().all(|off| off.abs() < 0.01), "{found:?}");
        };
        for seed in [0, 1, 2, u64::MAX] {
            close(moments(|place| unit(seed, place, 24)), 0.5, (1.0f64 / 12.0).sqrt());
            close(moments(|place| normal(seed, place)), 0.0, 1.0);
            // Streams of neighbouring seeds have nothing in common.
            close(moments(|place| normal(seed.wrapping_add(place & 1), place >> 1)), 0.0, 1.0);
            let inside = (0..COUNT).filter(|&place| normal(seed, place).abs() < 1.0).count() as f64 / COUNT as f64;
            assert!((inside - 0.6827).abs() < 0.005, "{inside}");
        }
        assert!((0..COUNT).all(|place| (0.0..1.0).contains(&unit(5, place, 8))));
        assert_eq!(unit(5, 7, 53), unit(5, 7, 53));
    }

    /// The first numbers of Vigna's splitmix64.c from the state 1234567.
    #[test]
    fn bits_are_those_of_splitmix64() {
        let state = 1_234_567u64;
        let draw = |place: u64| mix(state.wrapping_add((place + 1).wrapping_mul(STEP)));
        assert_eq!([draw(0), draw(1)], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
    }
}
