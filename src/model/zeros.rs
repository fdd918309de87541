//! The zeros of dropout at one place of the model.

use burn::tensor::{DType, Device, Int, Tensor};

use super::elementary::vectorised;

/// Draws that are made together.
const GROUP: usize = 16;
/// Multipliers of MurmurHash3's finaliser.
const FIRST: u32 = 0x85eb_ca6b;
const SECOND: u32 = 0xc2b2_ae35;

/// The zeros of one place: a function of the element's index. The probability is rounded to a multiple of 1/65,536.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Zeros {
    low: u32,
    high: u32,
    threshold: u32,
    keep: f32,
}

impl Zeros {
    /// Zeros with probability `rate`, above 0 and below 1.
    pub(super) fn new(seed: u64, rate: f64) -> Self {
        Self {
            low: seed as u32,
            high: (seed >> 32) as u32,
            threshold: (rate * 65_536.0).round() as u32,
            keep: (1.0 / (1.0 - rate)) as f32,
        }
    }

    /// What elements `start..start + factors.len()` are multiplied by: 0 or `1 / (1 - rate)`.
    pub fn factors(&self, start: usize, factors: &mut [f32]) {
        fill(self, start, factors);
    }

    /// [`Zeros::factors`] of elements `0..count`, computed by `device` in signed integers of 32 bits, which wrap around as
    /// unsigned ones do (of those, kernels take no constant above 2^31).
    pub fn factors_on(&self, device: &Device, count: usize) -> Tensor<1> {
        let pairs = Tensor::<1, Int>::arange(0..count.div_ceil(2) as i64, (device, DType::I32));
        let drawn = mixed(mixed(pairs.bitwise_xor_scalar(self.low as i32)) + self.high as i32);
        let halves = [drawn.clone().bitwise_and_scalar(0xffff), shifted(drawn, 16)];
        let kept = Tensor::stack::<2>(halves.into(), 1).greater_equal_elem(self.threshold as i32).float();
        let [pairs, _] = kept.dims();
        kept.reshape([2 * pairs]).narrow(0, 0, count).cast(DType::F32) * self.keep
    }

    /// [`Zeros::factors`] for loops that are vectorised themselves.
    #[inline(always)]
    pub(super) fn fill(&self, start: usize, factors: &mut [f32]) {
        let pick = |drawn: u32| if drawn < self.threshold { 0.0 } else { self.keep };
        let odd = !start.is_multiple_of(2) && !factors.is_empty();
        let (first, factors) = factors.split_at_mut(usize::from(odd));
        if let [first] = first {
            *first = pick(self.draw((start / 2) as u32) >> 16);
        }
        let mut pair = start.div_ceil(2) as u32;
        let mut groups = factors.chunks_exact_mut(2 * GROUP);
        for group in &mut groups {
            let mut drawn = [0u32; GROUP];
            for (index, drawn) in drawn.iter_mut().enumerate() {
                *drawn = self.draw(pair.wrapping_add(index as u32)).to_le();
            }
            pair = pair.wrapping_add(GROUP as u32);
            // SAFETY: both are 64 bytes in which every pattern is a number.
            let halves: [u16; 2 * GROUP] = unsafe { std::mem::transmute(drawn) };
            for (factor, half) in group.iter_mut().zip(halves) {
                *factor = pick(u32::from(u16::from_le(half)));
            }
        }
        for factors in groups.into_remainder().chunks_mut(2) {
            let drawn = self.draw(pair);
            pair = pair.wrapping_add(1);
            factors[0] = pick(drawn & 0xffff);
            if let Some(second) = factors.get_mut(1) {
                *second = pick(drawn >> 16);
            }
        }
    }

    /// 32 bits for two neighbouring elements: a counter through two rounds of MurmurHash3's finaliser, keyed before each.
    #[inline(always)]
    fn draw(&self, pair: u32) -> u32 {
        mix(mix(pair ^ self.low).wrapping_add(self.high))
    }
}

vectorised! {
    fn fill(zeros: &Zeros, start: usize, factors: &mut [f32]) {
        zeros.fill(start, factors);
    }
}

/// [`mix`] of each element.
fn mixed(bits: Tensor<1, Int>) -> Tensor<1, Int> {
    let folded = |bits: Tensor<1, Int>, by| bits.clone().bitwise_xor(shifted(bits, by));
    folded(folded(folded(bits, 16) * FIRST as i32, 13) * SECOND as i32, 16)
}

/// Each element's bits, `by` places to the right, with zeros from the left.
fn shifted(bits: Tensor<1, Int>, by: u32) -> Tensor<1, Int> {
    bits.bitwise_right_shift_scalar(by as i32).bitwise_and_scalar((u32::MAX >> by) as i32)
}

#[inline(always)]
fn mix(mut bits: u32) -> u32 {
    bits ^= bits >> 16;
    bits = bits.wrapping_mul(FIRST);
    bits ^= bits >> 13;
    bits = bits.wrapping_mul(SECOND);
    bits ^ (bits >> 16)
}
