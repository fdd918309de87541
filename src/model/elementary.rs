//! Elementary functions on the CPU, written so that the compiler vectorises the loops around them.
//!
//! [`vectorised!`] compiles a loop once for every processor, once for AVX2 and once for AVX-512, and picks at run time. No fused
//! multiply-add is used and every sum has a fixed number of lanes, so all three give the same bits.

/// Partial sums that a reduction is divided into, whatever the processor.
pub(crate) const LANES: usize = 16;

macro_rules! vectorised {
    ($(#[$doc:meta])* $visibility:vis fn $name:ident($($argument:ident: $kind:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$doc])*
        #[expect(clippy::allow_attributes, reason = "whether a lint applies depends on the function")]
        #[allow(clippy::too_many_arguments, reason = "operands and sizes of one pass over memory")]
        $visibility fn $name($($argument: $kind),*) $(-> $result)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments, reason = "as above")]
            fn body($($argument: $kind),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
                #[allow(clippy::too_many_arguments, reason = "as above")]
                fn widest($($argument: $kind),*) $(-> $result)? {
                    body($($argument),*)
                }
                #[target_feature(enable = "avx2")]
                #[allow(clippy::too_many_arguments, reason = "as above")]
                fn wide($($argument: $kind),*) $(-> $result)? {
                    body($($argument),*)
                }
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                {
                    // SAFETY: the processor has just been found to have the features.
                    return unsafe { widest($($argument),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has just been found to have the feature.
                    return unsafe { wide($($argument),*) };
                }
            }
            body($($argument),*)
        }
    };
}
pub(crate) use vectorised;

/// The sum of `term(index)` for indices below `count`: in [`LANES`] lanes, which are added pairwise, and what is left.
#[inline(always)]
pub(crate) fn sum(count: usize, mut term: impl FnMut(usize) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let whole = count - count % LANES;
    for start in (0..whole).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
    }
    let mut rest = 0.0;
    for index in whole..count {
        rest += term(index);
    }
    total(lanes) + rest
}

/// The lanes added pairwise.
#[inline(always)]
pub(crate) fn total(mut lanes: [f32; LANES]) -> f32 {
    for half in [8, 4, 2, 1] {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
    }
    lanes[0]
}

/// The largest of `values`, numbers only; negative infinity where there is none.
#[inline(always)]
pub(crate) fn highest(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, b| if *b > a { *b } else { a })
}

/// Φ(x) and φ(x). The error function is Abramowitz and Stegun's 7.1.26, good to 1.5e-7.
#[inline(always)]
pub(crate) fn normal(x: f32) -> (f32, f32) {
    const INVERSE_SQRT_TAU: f32 = 0.398_942_3;
    let bell = exp_negative(-0.5 * x * x);
    let t = 1.0 / (1.0 + 0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2 * x.abs());
    let series = t * (0.254_829_6 + t * (-0.284_496_72 + t * (1.421_413_8 + t * (-1.453_152_1 + t * 1.061_405_4))));
    let upper = 0.5 * series * bell;
    (if x < 0.0 { upper } else { 1.0 - upper }, INVERSE_SQRT_TAU * bell)
}

/// e^x for x ≤ 0, to about 2e-7 relative; 0 below −87.
#[inline(always)]
pub(crate) fn exp_negative(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5 · 2^23: adding it leaves the nearest integer in the low bits
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let clamped = if x < -87.0 { -87.0 } else { x };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let rest = clamped - whole * LN_2_HIGH - whole * LN_2_LOW;
    // Cephes' polynomial.
    let tail =
        0.166_666_65 + rest * (0.041_665_796 + rest * (0.008_333_452 + rest * (0.001_398_2 + rest * 1.987_569e-4)));
    let series = 1.0 + rest + rest * rest * (0.5 + rest * tail);
    let exponent = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    if x < -87.0 { 0.0 } else { series * exponent }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_close_everywhere() {
        for step in 0..88_000 {
            let x = -(step as f32) * 1e-3;
            let (found, expected) = (f64::from(exp_negative(x)), f64::from(x).exp());
            assert!((found - expected).abs() <= 4e-7 * expected + 1e-37, "{x}: {found} {expected}");
        }
        assert_eq!((exp_negative(0.0), exp_negative(-1e9), exp_negative(f32::NEG_INFINITY)), (1.0, 0.0, 0.0));
        assert!(exp_negative(f32::NAN).is_nan());
    }
}
